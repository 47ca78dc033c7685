//! Several collectors and one lock, in a world of lost connections, slow answers and deaths.

use fastrand::Rng;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn an_answer_holds_for_three_seconds_from_its_question() {
    let mut tenure = Tenure::default();
    assert_eq!(tenure.open_until(), None);
    assert!(!tenure.granted(ms(100), ms(900)));
    assert_eq!(tenure.open_until(), None, "an earlier holder may be left");
    tenure.confirmed(ms(4_899));
    assert!(!tenure.is_settled());
    tenure.confirmed(ms(4_900));
    assert!(tenure.is_settled());
    tenure.clear();
    assert_eq!(tenure.open_until(), Some(ms(7_900)));
}

#[test]
fn who_is_granted_the_lock_again_soon_goes_on() {
    let mut tenure = Tenure::default();
    tenure.granted(ms(0), ms(0));
    tenure.clear();
    tenure.confirmed(ms(10_000));
    assert!(tenure.granted(ms(13_500), ms(13_999)));
    assert_eq!((tenure.number(), tenure.open_until()), (1, Some(ms(16_500))));
    assert!(!tenure.granted(ms(17_000), ms(17_500)), "too late");
    assert_eq!((tenure.number(), tenure.open_until()), (2, None));
    // One that never began has nothing to go on with.
    assert!(!tenure.granted(ms(17_600), ms(17_700)));
    assert_eq!(tenure.number(), 3);
}

/// A mistake in how the tenure is kept, to see that the world below finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// An answer is trusted from when it arrived.
    CountsFromAnswer,
    /// A successor begins at once.
    BeginsAtOnce,
    /// A successor does not ask again before it begins.
    BeginsUnasked,
    /// Whoever was the last to send goes on, whenever it is granted the lock again.
    AlwaysGoesOn,
}

/// A question on its way.
struct Question {
    asked: u64,
    /// When the database answers, and when that arrives.
    at: u64,
    back: u64,
    answer: Option<bool>,
}

#[derive(Default)]
struct Collector {
    tenure: Tenure,
    /// The connection, if it has one; a number that was never used before.
    connection: Option<u64>,
    granted: bool,
    answered: u64,
    question: Option<Question>,
    next: u64,
    /// The longest that a message takes, about.
    slow: u64,
    /// When the lock was granted.
    granted_at: u64,
}

impl Collector {
    fn is_open(&self, now: u64, bug: Bug) -> bool {
        let late = if bug == Bug::CountsFromAnswer {
            self.answered
        } else {
            0
        };
        self.tenure
            .open_until()
            .is_some_and(|until| ms(now) < until + ms(late))
    }
}

/// One history; the moment at which two could send, if there is one.
fn two_at_once(seed: u64, bug: Bug) -> Option<u64> {
    let mut rng = Rng::with_seed(seed);
    let mut collectors: Vec<Collector> = (0..3).map(|_| Collector::default()).collect();
    let (mut holder, mut connections) = (None, 0u64);
    for now in 0..90_000u64 {
        for collector in &mut collectors {
            // Whose way is slow has a slow way for a while.
            if rng.u32(..4_000) == 0 {
                collector.slow = [10, 50, 900, 3_900][rng.usize(..4)];
            }
            if rng.u32(..6_000) == 0 {
                // The server ends the connection, or the network does; the collector learns of it by its next question.
                if holder.is_some() && holder == collector.connection {
                    holder = None;
                }
                if rng.u32(..3) == 0 {
                    // It dies and comes back, and knows nothing.
                    *collector = Collector {
                        next: now + rng.u64(..3_000),
                        ..Collector::default()
                    };
                    continue;
                }
                connections += 1;
                if collector.connection.is_some() {
                    // No lock belongs to this number any more.
                    collector.connection = Some(connections);
                }
            }
            match &mut collector.question {
                None if now >= collector.next => {
                    if collector.connection.is_none() {
                        connections += 1;
                        collector.connection = Some(connections);
                        collector.granted = false;
                    }
                    let (there, back) = (rng.u64(1..=collector.slow + 10), rng.u64(1..=collector.slow + 10));
                    collector.question = Some(Question {
                        asked: now,
                        at: now + there,
                        back: now + there + back,
                        answer: None,
                    });
                }
                Some(question) if question.answer.is_none() && now >= question.at => {
                    if holder.is_none() && !collector.granted {
                        holder = collector.connection;
                    }
                    question.answer = Some(holder == collector.connection);
                }
                Some(question) if now >= question.back => {
                    let (asked, answer) = (question.asked, question.answer == Some(true));
                    collector.question = None;
                    collector.next = now + rng.u64(1..=1_000);
                    if !answer {
                        // Another holds it, or the connection was lost: a new one.
                        collector.connection = None;
                        collector.next = now;
                        continue;
                    }
                    collector.answered = now - asked;
                    if collector.granted {
                        collector.tenure.confirmed(ms(asked));
                    } else {
                        collector.granted = true;
                        let was_cleared = collector.tenure.is_cleared();
                        let goes_on = collector.tenure.granted(ms(asked), ms(now));
                        collector.granted_at = now;
                        if !goes_on && was_cleared && bug == Bug::AlwaysGoesOn {
                            collector.tenure.clear();
                        }
                    }
                    if collector.tenure.is_settled() || bug == Bug::BeginsAtOnce {
                        collector.tenure.clear();
                    }
                }
                _ => {}
            }
            let waited = now >= collector.granted_at + 4_000;
            if bug == Bug::BeginsUnasked && collector.granted && waited {
                collector.tenure.clear();
            }
        }
        if collectors.iter().filter(|c| c.is_open(now, bug)).count() > 1 {
            return Some(now);
        }
    }
    None
}

#[test]
fn two_never_send_at_once() {
    for seed in 0..60 {
        assert_eq!(two_at_once(seed, Bug::None), None, "seed {seed}");
    }
}

#[test]
fn two_would_send_at_once_if_it_were_done_otherwise() {
    for bug in [
        Bug::CountsFromAnswer,
        Bug::BeginsAtOnce,
        Bug::BeginsUnasked,
        Bug::AlwaysGoesOn,
    ] {
        let found = (0..60).find(|seed| two_at_once(*seed, bug).is_some());
        println!("{bug:?}: seed {found:?}");
        assert!(found.is_some(), "{bug:?} was not found");
    }
}

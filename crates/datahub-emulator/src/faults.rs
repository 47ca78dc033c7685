//! Faults on purpose: rules that say which requests go wrong, and how.
//!
//! The first rule that fires decides; delays come on top. A rule counts the requests that match it, so "the
//! third put" and "every tenth" mean the same in every run; a probability draws from its own seed.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::call::CallKind;

/// Which requests a rule is about; what is left out matches all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Matcher {
    /// The kind of call.
    pub call: Option<CallKind>,
    /// The topic, whatever its project.
    pub topic: Option<String>,
    /// The shard in the path: by-shard puts, cursors, gets.
    pub shard: Option<String>,
    /// Only the n-th matching request, from 1.
    pub nth: Option<u64>,
    /// Every n-th matching request.
    pub every: Option<u64>,
    /// Each matching request with this probability.
    pub probability: Option<f64>,
    /// What the probability draws from.
    pub seed: u64,
}

/// Whether a fault strikes before the request is applied or after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing was done.
    #[default]
    Before,
    /// It was done, and the caller does not learn of it.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// An error answer for the whole request.
    Error {
        /// Its code.
        code: String,
        /// Its status; the usual one of the code when left out.
        #[serde(default)]
        status: Option<u16>,
        /// Its message.
        #[serde(default)]
        message: Option<String>,
        /// Whether the request is applied all the same.
        #[serde(default)]
        when: When,
    },
    /// These records are refused: one by one in multi-shard puts, with the whole request in by-shard puts.
    FailRecords {
        /// Places in the request, from 0.
        #[serde(default)]
        indexes: Vec<usize>,
        /// Records whose data contains this text.
        #[serde(default)]
        contains: Option<String>,
        /// The code.
        code: String,
        /// The message.
        #[serde(default)]
        message: Option<String>,
    },
    /// The connection is closed without an answer.
    Drop {
        /// Whether the request is applied first.
        #[serde(default)]
        when: When,
    },
    /// The connection is reset: the caller sees an RST in place of an answer.
    Reset {
        /// Whether the request is applied first.
        #[serde(default)]
        when: When,
    },
    /// The connection is closed at once, and the request is applied this much later.
    LateApply {
        /// Milliseconds.
        ms: u64,
    },
    /// A pause; other rules still apply.
    Delay {
        /// Milliseconds.
        ms: u64,
        /// Whether the request is applied before the pause.
        #[serde(default)]
        when: When,
    },
    /// No answer, ever; the connection stays open.
    Hang {
        /// Whether the request is applied first.
        #[serde(default)]
        when: When,
    },
    /// The true answer, in drops.
    Slow {
        /// Bytes at a time.
        bytes: usize,
        /// Milliseconds between them.
        tick_ms: u64,
    },
    /// A page of HTML as a proxy would send it.
    Html {
        /// Its status; 502 when left out.
        #[serde(default)]
        status: Option<u16>,
        /// Whether the request is applied first.
        #[serde(default)]
        when: When,
    },
    /// The request is applied; the answer is JSON cut in half.
    WrongJson,
    /// The request is applied; the answer ends before its announced length.
    TruncatedBody,
    /// The request is applied; the checksum of the answer's frame is wrong.
    WrongCrc,
}

/// A fault: which requests, how many times, and what happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests.
    #[serde(default, rename = "match")]
    pub matcher: Matcher,
    /// How often it fires; for ever when left out.
    #[serde(default)]
    pub count: Option<u64>,
    /// For how many milliseconds from now it is in force; for ever when left out.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// What happens.
    pub action: Action,
}

impl Rule {
    /// This action on every put, for ever.
    pub fn on_put(action: Action) -> Rule {
        Rule::on(CallKind::Put, action)
    }

    /// This action on every call of a kind, for ever.
    pub fn on(call: CallKind, action: Action) -> Rule {
        let matcher = Matcher {
            call: Some(call),
            ..Matcher::default()
        };
        Rule {
            matcher,
            count: None,
            for_ms: None,
            action,
        }
    }

    /// The same, at most `count` times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Rule {
        self.count = Some(count);
        self
    }

    /// The same, on the n-th matching request alone (from 1).
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Rule {
        self.matcher.nth = Some(nth);
        self
    }
}

/// A rule in force, as `/_emulator/faults` lists it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Armed {
    pub(crate) id: u64,
    #[serde(flatten)]
    rule: Rule,
    /// Requests that matched.
    pub(crate) seen: u64,
    /// Times it fired.
    pub(crate) fired: u64,
    #[serde(skip)]
    random: u64,
    #[serde(skip)]
    until: Option<Instant>,
}

/// What is to go wrong with one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) delay_before: Duration,
    pub(crate) delay_after: Duration,
    pub(crate) action: Option<Action>,
    /// Rules that fired.
    pub(crate) fired: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) rules: Vec<Armed>,
    added: u64,
}

impl Faults {
    /// Arms a rule and gives its id.
    pub(crate) fn add(&mut self, rule: Rule) -> u64 {
        self.added += 1;
        let until = rule
            .for_ms
            .and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        let random = rule.matcher.seed;
        self.rules.push(Armed {
            id: self.added,
            rule,
            seen: 0,
            fired: 0,
            random,
            until,
        });
        self.added
    }

    /// What happens to this request.
    pub(crate) fn plan(&mut self, kind: CallKind, topic: &str, shard: Option<&str>) -> Plan {
        let mut plan = Plan::default();
        for armed in &mut self.rules {
            if !armed.fires(kind, topic, shard, plan.action.is_some()) {
                continue;
            }
            plan.fired += 1;
            match &armed.rule.action {
                Action::Delay {
                    ms,
                    when: When::Before,
                } => plan.delay_before = plan.delay_before.saturating_add(Duration::from_millis(*ms)),
                Action::Delay {
                    ms,
                    when: When::After,
                } => plan.delay_after = plan.delay_after.saturating_add(Duration::from_millis(*ms)),
                action => plan.action = Some(action.clone()),
            }
        }
        plan
    }
}

impl Armed {
    fn fires(&mut self, kind: CallKind, topic: &str, shard: Option<&str>, decided: bool) -> bool {
        let matcher = &self.rule.matcher;
        let matches = matcher.call.is_none_or(|wanted| wanted == kind)
            && matcher
                .topic
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(topic))
            && matcher
                .shard
                .as_ref()
                .is_none_or(|wanted| shard == Some(wanted.as_str()));
        let over = self.until.is_some_and(|until| Instant::now() >= until)
            || self.rule.count.is_some_and(|count| self.fired >= count);
        if !matches || over {
            return false;
        }
        self.seen += 1;
        let chosen = matcher.nth.is_none_or(|nth| self.seen == nth)
            && matcher
                .every
                .is_none_or(|every| self.seen.is_multiple_of(every.max(1)))
            && matcher
                .probability
                .is_none_or(|wanted| draw(&mut self.random) < wanted);
        let delay = matches!(self.rule.action, Action::Delay { .. });
        if !chosen || (decided && !delay) {
            return false;
        }
        self.fired += 1;
        true
    }
}

/// A number in 0..1 (splitmix64).
fn draw(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ z >> 31) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(faults: &mut Faults, times: usize) -> Vec<bool> {
        (0..times)
            .map(|_| faults.plan(CallKind::Put, "t", Some("0")).action.is_some())
            .collect()
    }

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    #[tokio::test]
    async fn rules_count_their_own_requests() {
        let mut faults = Faults::default();
        faults.add(rule(
            r#"{"match":{"call":"put","nth":2},"action":{"kind":"drop"}}"#,
        ));
        assert_eq!(struck(&mut faults, 4), [false, true, false, false]);
        let mut faults = Faults::default();
        faults.add(rule(
            r#"{"match":{"every":2},"count":1,"action":{"kind":"wrong_json"}}"#,
        ));
        assert_eq!(struck(&mut faults, 4), [false, true, false, false]);
        let mut faults = Faults::default();
        faults.add(rule(
            r#"{"match":{"shard":"1"},"action":{"kind":"drop","when":"after"}}"#,
        ));
        assert_eq!(struck(&mut faults, 2), [false, false]);
        assert!(faults.plan(CallKind::Put, "t", Some("1")).action.is_some());
        assert!(faults.plan(CallKind::Put, "t", None).action.is_none());
    }

    #[tokio::test]
    async fn a_probability_is_the_same_in_every_run() {
        let run = |seed: u64| {
            let mut faults = Faults::default();
            let matcher = Matcher {
                probability: Some(0.3),
                seed,
                ..Matcher::default()
            };
            let action = Action::Drop { when: When::Before };
            faults.add(Rule {
                matcher,
                count: None,
                for_ms: None,
                action,
            });
            struck(&mut faults, 1000)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hits = run(7).into_iter().filter(|hit| *hit).count();
        assert!((200..400).contains(&hits), "{hits}");
    }

    #[tokio::test]
    async fn delays_come_on_top_of_the_first_action() {
        let mut faults = Faults::default();
        faults.add(rule(r#"{"action":{"kind":"drop"}}"#));
        faults.add(rule(r#"{"action":{"kind":"delay","ms":5}}"#));
        faults.add(rule(r#"{"action":{"kind":"wrong_crc"}}"#));
        let plan = faults.plan(CallKind::Get, "t", None);
        assert_eq!(plan.action, Some(Action::Drop { when: When::Before }));
        assert_eq!(plan.delay_before, Duration::from_millis(5));
        for _ in 0..1100 {
            faults.add(rule(r#"{"action":{"kind":"delay","ms":18446744073709551615}}"#));
        }
        assert_eq!(faults.plan(CallKind::Get, "t", None).delay_before, Duration::MAX);
        assert!(serde_json::from_str::<Rule>(r#"{"action":{"kind":"nonsense"}}"#).is_err());
        assert!(serde_json::from_str::<Rule>(r#"{"matches":{},"action":{"kind":"drop"}}"#).is_err());
    }
}

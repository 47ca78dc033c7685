//! What holds puts back while the lease is not confirmed: the tenure, shared between who keeps it and who sends.
//!
//! A put begins only while the fence is open, and one that is under way when it closes is given up: nothing of it leaves
//! this process afterwards. What the service has received by then is looked for, as after any lost answer.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Sink;
use crate::delivery::tenure::Tenure;
use crate::record::{Batch, Outcome};
use crate::retry::Reason;

/// Code of a put that was given up because the lease could not be confirmed.
pub const UNCONFIRMED: &str = "lease_unconfirmed";

/// What is known of the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none: this collector sends whatever others do.
    Absent,
    /// The database has not said yet whose it is; and why not, if something failed.
    Asking(Option<Reason>),
    /// Another collector has it.
    Standby,
    /// This collector's connection holds the lock, as far as is known.
    Held,
}

/// The lease, for those who watch it.
#[derive(Clone, Debug)]
pub struct Lease {
    /// What the database says.
    pub standing: Standing,
    tenure: Tenure,
    /// Whether the lock was free when this process first asked for it.
    found_free: bool,
    /// When it closed last, or will, if it ever was open.
    closes: Option<Duration>,
}

impl Lease {
    /// Whether sending has begun in the present tenure.
    pub fn is_cleared(&self) -> bool {
        self.standing == Standing::Absent || self.tenure.is_cleared()
    }

    /// Whether the lock is held for so long already that an earlier holder has certainly stopped.
    pub fn is_settled(&self) -> bool {
        self.standing != Standing::Absent && self.tenure.is_settled()
    }

    fn clear(&mut self) {
        self.tenure.clear();
        self.closes = self.tenure.open_until();
    }
}

/// Open while this collector may send.
#[derive(Clone, Debug)]
pub struct Fence {
    start: Instant,
    lease: Arc<watch::Sender<Lease>>,
}

/// Until when it stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Closed,
    At(Instant),
    Always,
}

impl Fence {
    /// A closed one, before the database was asked.
    pub fn closed() -> Self {
        Self::standing(Standing::Asking(None))
    }

    /// One that is always open.
    pub fn none() -> Self {
        Self::standing(Standing::Absent)
    }

    fn standing(standing: Standing) -> Self {
        Self {
            start: Instant::now(),
            lease: Arc::new(watch::Sender::new(Lease {
                standing,
                tenure: Tenure::default(),
                found_free: true,
                closes: None,
            })),
        }
    }

    /// The lease as it is known now.
    pub fn lease(&self) -> Lease {
        self.lease.borrow().clone()
    }

    fn moment(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    /// The lock cannot be asked for, or not now.
    pub fn asks(&self, obstacle: Option<Reason>) {
        self.lease
            .send_modify(|lease| lease.standing = Standing::Asking(obstacle));
    }

    /// Another collector holds the lock.
    pub fn stands_by(&self) {
        self.lease.send_modify(|lease| {
            lease.standing = Standing::Standby;
            lease.found_free = false;
        });
    }

    /// There is no lease to be had: it is open from now on.
    pub fn opens_for_good(&self) {
        self.lease.send_modify(|lease| lease.standing = Standing::Absent);
    }

    /// The lock was granted, as asked at this time. Says whether nobody else can have been at work since it was held last.
    pub fn granted(&self, asked: Instant) -> bool {
        let (asked, answered) = (self.moment(asked), self.moment(Instant::now()));
        let mut goes_on = false;
        self.lease.send_modify(|lease| {
            goes_on = lease.tenure.granted(asked, answered);
            lease.found_free &= lease.tenure.number() == 1;
            lease.standing = Standing::Held;
            lease.closes = lease.tenure.open_until().or(lease.closes);
        });
        goes_on
    }

    /// The lock is still this collector's, as asked at this time. Says whether the tenure is settled.
    pub fn confirmed(&self, asked: Instant) -> bool {
        let asked = self.moment(asked);
        let mut settled = false;
        self.lease.send_modify(|lease| {
            lease.tenure.confirmed(asked);
            settled = lease.tenure.is_settled();
            lease.closes = lease.tenure.open_until().or(lease.closes);
        });
        settled
    }

    /// Sending may begin.
    pub fn clear(&self) {
        self.lease.send_modify(Lease::clear);
    }

    /// Sending may begin without waiting, because no other collector can be left that sends. Does nothing where one may:
    /// where the lock was not free when it was first asked for.
    pub fn vouch(&self) {
        self.lease.send_if_modified(|lease| {
            let sound = lease.standing == Standing::Held && lease.found_free;
            if sound {
                lease.clear();
            }
            sound
        });
    }

    /// Waits until the lock is granted; says whether it was free when it was first asked for.
    pub async fn held(&self) -> bool {
        let held = |lease: &Lease| matches!(lease.standing, Standing::Held | Standing::Absent);
        self.wait(held).await.found_free
    }

    /// Waits until sending may begin; says in which tenure.
    pub async fn cleared(&self) -> u64 {
        self.wait(Lease::is_cleared).await.tenure.number()
    }

    /// Which tenure this is: while the number stays the same, nobody else has sent.
    pub fn tenure(&self) -> u64 {
        self.lease.borrow().tenure.number()
    }

    async fn wait(&self, wanted: impl FnMut(&Lease) -> bool) -> Lease {
        let mut lease = self.lease.subscribe();
        let found = lease.wait_for(wanted).await.map(|lease| lease.clone());
        // It cannot fail: the sender is in `self`.
        found.unwrap_or_else(|_| self.lease())
    }

    fn until(&self, lease: &Lease) -> Until {
        if lease.standing == Standing::Absent {
            return Until::Always;
        }
        match lease.tenure.open_until().map(|until| self.start + until) {
            Some(at) if Instant::now() < at => Until::At(at),
            Some(_) | None => Until::Closed,
        }
    }

    /// Whether puts ever went out.
    pub fn was_open(&self) -> bool {
        self.lease.borrow().closes.is_some()
    }

    /// Since when puts are held back, if they ever went out.
    pub fn shut_since(&self) -> Option<Instant> {
        let lease = self.lease.borrow();
        let closed = lease.closes.map(|at| self.start + at)?;
        (self.until(&lease) == Until::Closed).then_some(closed)
    }

    /// When the question was asked that confirmed the lease last.
    pub fn confirmed_at(&self) -> Option<Instant> {
        let confirmed = self.lease.borrow().tenure.last_confirmed()?;
        Some(self.start + confirmed)
    }

    /// Whether puts may go out now.
    pub fn is_open(&self) -> bool {
        self.until(&self.lease.borrow()) != Until::Closed
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        self.wait(|lease| self.until(lease) != Until::Closed).await;
    }

    /// Waits until it is closed.
    pub async fn shut(&self) {
        let mut lease = self.lease.subscribe();
        loop {
            let until = {
                let lease = lease.borrow_and_update();
                self.until(&lease)
            };
            let over = async {
                match until {
                    Until::Closed => {}
                    Until::At(at) => sleep_until(at).await,
                    Until::Always => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = over => if !self.is_open() { return },
                _ = lease.changed() => {}
            }
        }
    }
}

impl Fence {
    /// Puts the batch as soon as that is allowed and as long as it is; says how that ended, and how long it took.
    pub(super) async fn put<S: Sink>(&self, sink: &S, batch: &Batch) -> (Outcome, Duration) {
        self.opened().await;
        let begun = Instant::now();
        let outcome = tokio::select! {
            biased;
            () = self.shut() => Outcome::Unknown { reason: unconfirmed() },
            outcome = sink.put(batch) => outcome,
        };
        (outcome, begun.elapsed())
    }
}

/// Why a put was given up.
fn unconfirmed() -> Reason {
    Reason {
        code: UNCONFIRMED,
        message: String::from("the database did not confirm in time that this collector has the lease"),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::delivery::tenure::{FENCE, TAKEOVER};

    #[tokio::test(start_paused = true)]
    async fn it_closes_by_itself_and_opens_when_the_lease_is_confirmed() {
        let fence = Fence::closed();
        assert!(fence.opened().now_or_never().is_none() && !fence.is_open());
        let begun = Instant::now();
        assert!(!fence.granted(begun));
        assert!(!fence.is_open());
        fence.vouch();
        fence.opened().await;
        fence.shut().await;
        assert_eq!(begun.elapsed(), FENCE);
        assert!(fence.opened().now_or_never().is_none());
        fence.confirmed(Instant::now());
        fence.opened().await;
        // Each confirmation puts the end off.
        let (mut shut, second) = (Box::pin(fence.shut()), Duration::from_secs(1));
        for _ in 0..10 {
            assert!(tokio::time::timeout(second, &mut shut).await.is_err());
            fence.confirmed(Instant::now());
        }
        shut.await;
        assert_eq!(begun.elapsed(), FENCE * 2 + second * 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_that_was_not_free_is_vouched_for_by_nobody() {
        let fence = Fence::closed();
        fence.stands_by();
        let granted = Instant::now();
        fence.granted(granted);
        fence.vouch();
        assert!(!fence.held().await && !fence.lease().is_cleared());
        tokio::time::sleep(TAKEOVER).await;
        assert!(fence.confirmed(Instant::now()));
        fence.clear();
        assert_eq!(fence.cleared().await, 1);
        assert!(fence.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_lease_it_is_always_open() {
        let fence = Fence::closed();
        assert!(fence.opened().now_or_never().is_none());
        fence.opens_for_good();
        assert!(fence.held().await && fence.is_open());
        assert!(fence.shut().now_or_never().is_none() && Fence::none().is_open());
    }
}

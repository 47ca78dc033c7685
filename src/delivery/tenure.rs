//! How long a collector may send after the database last said that the lease is its own. Pure.
//!
//! Only one of a group's collectors sends. Who holds the database's lock is known for a moment that is already over when
//! the answer arrives, so a holder trusts each answer for [`FENCE`], counted from the question, and a successor begins only
//! [`TAKEOVER`] after the grant, which is longer, and when it was told once more that it still holds the lock. Whoever was
//! granted the lock again within that time knows that nobody else can have begun in between: it goes on as if it had never
//! been without.
//!
//! What it relies on: the clocks of two machines run equally fast within a quarter, and the lock has one holder at a time.
//! What it cannot do: call back a request that the service had received before.

use std::time::Duration;

/// So long after a question that was answered by "yours" may be sent. Three tries to ask.
pub const FENCE: Duration = Duration::from_secs(3);

/// So long after a grant nothing is sent, because an earlier holder may not know yet that it is none.
pub const TAKEOVER: Duration = Duration::from_secs(4);

/// What is known of the lease, by one clock that never goes back.
#[derive(Clone, Debug, Default)]
pub struct Tenure {
    /// How many grants there were behind which somebody else may have been at work.
    number: u64,
    /// When the last of them was answered.
    since: Duration,
    /// When the last question was asked that was answered by "yours".
    confirmed: Option<Duration>,
    cleared: bool,
}

impl Tenure {
    /// The lock was granted: the question was asked and answered at these times. Says whether the tenure goes on that was
    /// there before.
    pub fn granted(&mut self, asked: Duration, answered: Duration) -> bool {
        let trusted = self.confirmed.map(|at| at.saturating_add(TAKEOVER));
        let goes_on = self.cleared && trusted.is_some_and(|until| answered < until);
        if !goes_on {
            self.number = self.number.saturating_add(1);
            self.since = answered;
            self.cleared = false;
        }
        self.confirmed = Some(asked);
        goes_on
    }

    /// The lock is still the one that was granted last: asked at this time.
    pub fn confirmed(&mut self, asked: Duration) {
        self.confirmed = Some(asked);
    }

    /// Whether an earlier holder has certainly stopped, and nobody else has begun since the grant.
    pub fn is_settled(&self) -> bool {
        let stopped = self.since.saturating_add(TAKEOVER);
        self.confirmed.is_some_and(|asked| asked >= stopped)
    }

    /// Sending may begin: it is settled, or it is known otherwise that no earlier holder is left.
    pub fn clear(&mut self) {
        self.cleared = true;
    }

    /// Whether sending has begun in this tenure.
    pub fn is_cleared(&self) -> bool {
        self.cleared
    }

    /// Which tenure this is: while the number stays the same, nobody else has sent.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When the last question was asked that was answered by "yours".
    pub fn last_confirmed(&self) -> Option<Duration> {
        self.confirmed
    }

    /// Until when may be sent; `None` where nothing may.
    pub fn open_until(&self) -> Option<Duration> {
        let asked = self.confirmed.filter(|_| self.cleared)?;
        Some(asked.saturating_add(FENCE))
    }
}

#[cfg(test)]
mod tests;

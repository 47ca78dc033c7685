//! What happens after a failure, and how long to wait before the next try.
//!
//! [`Disposition`] is the one vocabulary for failures of either side (I10): `sink/outcome.rs` and the source
//! map what they see to it. [`Delays`] is a pure schedule; the async helper for connect loops is the only
//! place that names the `backoff` crate, which is unmaintained and can be replaced by changing this file.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What a failure asks for. There is no "drop".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Try the same again, not before `after` if the server named a time.
    Retry {
        /// The least wait that the server asked for.
        after: Option<Duration>,
    },
    /// The shard no longer takes records: list the shards and deal the records out again.
    Reroute,
    /// A record can never be stored; `Some(index)` in the batch if the server said which.
    Poison(Option<usize>),
    /// Only a person can help. `remedy` says how, as one imperative sentence.
    Halt {
        /// What to do.
        remedy: Cow<'static, str>,
    },
}

/// A short machine-readable cause, and what was seen. Never holds row values or secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable code in snake_case: label of a metric, `reason_code` in `/health`.
    pub code: &'static str,
    /// What the server or the network said, as one sentence without a full stop.
    pub message: String,
}

/// A failure of either side: why, and what has to happen next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What to do about it.
    pub disposition: Disposition,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl Failure {
    /// A failure that may pass: the same is tried again after the usual delay.
    pub fn retry(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            disposition: Disposition::Retry { after: None },
            reason: Reason {
                code,
                message: message.into(),
            },
        }
    }

    /// A failure that only a person can end; `remedy` is one imperative sentence.
    pub fn halt(
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            disposition: Disposition::Halt {
                remedy: remedy.into(),
            },
            reason: Reason {
                code,
                message: message.into(),
            },
        }
    }
}

/// Capped exponential delays with jitter: `base · 2^attempt`, at most `cap`, between half of it and all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// The first delay, before jitter.
    pub base: Duration,
    /// The largest delay, before jitter.
    pub cap: Duration,
}

impl Delays {
    /// The wait before try number `attempt` is repeated; the first failure is attempt 0.
    ///
    /// Half of the delay is fixed and half is random: never zero, never synchronised between collectors.
    pub fn delay(&self, attempt: u32, rng: &mut fastrand::Rng) -> Duration {
        let full = self
            .base
            .saturating_mul(2u32.saturating_pow(attempt.min(20)))
            .min(self.cap);
        let half = full / 2;
        half + half.mul_f64(rng.f64())
    }
}

/// Repeats `operation` until it succeeds or fails for good, without a limit on tries or time.
///
/// `notify` sees every failure that will be repeated, with the wait before the next try.
///
/// # Errors
/// The first failure whose disposition is a halt (or poison): another try would not help.
pub async fn until_ok<T, F, Fut>(
    delays: Delays,
    mut operation: F,
    notify: impl FnMut(Failure, Duration),
) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let schedule = backoff::ExponentialBackoff {
        initial_interval: delays.base,
        current_interval: delays.base,
        max_interval: delays.cap,
        multiplier: 2.0,
        randomization_factor: 0.25,
        // The crate's default gives up after 15 minutes; a relay never does.
        max_elapsed_time: None,
        ..backoff::ExponentialBackoff::default()
    };
    let attempt = || {
        let attempt = operation();
        async move {
            attempt.await.map_err(|failure| match failure.disposition {
                Disposition::Retry { after } => backoff::Error::Transient {
                    err: failure,
                    retry_after: after,
                },
                Disposition::Reroute => backoff::Error::transient(failure),
                Disposition::Poison(_) | Disposition::Halt { .. } => backoff::Error::permanent(failure),
            })
        }
    };
    backoff::future::retry_notify(schedule, attempt, notify).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_keep_half() {
        let delays = Delays {
            base: Duration::from_secs(2),
            cap: Duration::from_secs(30),
        };
        let mut rng = fastrand::Rng::with_seed(1);
        for (attempt, full) in [(0, 2), (1, 4), (2, 8), (3, 16), (4, 30), (40, 30), (u32::MAX, 30)] {
            let full = Duration::from_secs(full);
            for _ in 0..100 {
                let delay = delays.delay(attempt, &mut rng);
                assert!(delay >= full / 2 && delay <= full, "attempt {attempt}: {delay:?}");
            }
        }
    }
}

//! What the pipeline shows of itself, and its loops' signs of life.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::Snapshot;
use crate::position::Position;
use crate::retry::{Failure, Reason};

/// A loop's sign of life: touched at least once a second, whatever the loop waits for.
#[derive(Clone, Debug)]
pub struct Tick {
    start: Instant,
    touched_ms: Arc<AtomicU64>,
}

impl Default for Tick {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            touched_ms: Arc::default(),
        }
    }
}

impl Tick {
    /// Says that the loop is alive.
    pub fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.touched_ms.store(now, Ordering::Relaxed);
    }

    /// Touches it as often as a loop does that waits, for one that has not begun.
    pub async fn keep_touched(&self) {
        loop {
            self.touch();
            tokio::time::sleep(super::IDLE_TICK).await;
        }
    }

    /// Time since the last touch.
    pub fn age(&self) -> Duration {
        let touched = Duration::from_millis(self.touched_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(touched)
    }
}

/// How one kind of call to the sink has been going.
#[derive(Clone, Debug, Default)]
pub struct CallHealth {
    /// When the last successful call ended.
    pub last_success: Option<Instant>,
    /// When the first of the failures since then ended.
    pub failing_since: Option<Instant>,
    /// Failures since the last success.
    pub failures: u32,
    /// The latest of them.
    pub last_failure: Option<Reason>,
    /// When the oldest call that still waits for its answer was started.
    pub oldest_running: Option<Instant>,
}

impl CallHealth {
    /// Takes note of how a call ended.
    pub fn ended(&mut self, failure: Option<&Reason>) {
        match failure {
            None => {
                *self = Self {
                    last_success: Some(Instant::now()),
                    ..Self::default()
                }
            }
            Some(reason) => {
                self.failing_since.get_or_insert_with(Instant::now);
                self.failures = self.failures.saturating_add(1);
                self.last_failure = Some(reason.clone());
            }
        }
    }
}

/// What the pipeline shows of itself; replaced as a whole.
#[derive(Clone, Debug)]
pub struct PipelineStatus {
    /// The core's own view. Its times count from `clock_start`.
    pub core: Snapshot,
    /// The core's zero of time.
    pub clock_start: Instant,
    /// The failure that only a person can end, if any.
    pub halted: Option<Failure>,
    /// Puts and probes.
    pub puts: CallHealth,
    /// Shard listings: made now and then even when nothing is to be put, so that a dead sink is noticed.
    pub listings: CallHealth,
    /// The position in the checkpoint file, once this process has written one.
    pub saved: Option<Position>,
}

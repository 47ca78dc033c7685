//! When the durable position is saved: one write at a time, spaced, repeated until it succeeds.
//!
//! It decides when, never what: the position is the ledger's. A failed write never stops sending and is never
//! forgotten; it shows in the snapshot until a later one succeeds.

use std::time::Duration;

use crate::retry::Reason;

/// The state of saving. Positions are known here by the ledger's version alone.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// The version that is being written.
    writing: Option<u64>,
    /// The newest version that is on disk.
    saved: u64,
    /// No write starts earlier, unless the run is ending.
    not_before: Duration,
    pub(super) failures: u32,
    pub(super) last_failure: Option<Reason>,
    pub(super) saved_at: Option<Duration>,
}

impl Checkpoint {
    /// When `version` has to be written, if it has to; `last` says that nothing will follow it.
    pub(super) fn write_at(&self, version: u64, last: bool) -> Option<Duration> {
        if self.writing.is_some() || self.saved == version {
            return None;
        }
        // The last one need not wait for its turn, but a failing disk is not asked in a tight loop.
        let at_once = last && self.failures == 0;
        Some(if at_once { Duration::ZERO } else { self.not_before })
    }

    pub(super) fn started(&mut self, now: Duration, version: u64, interval: Duration) {
        self.writing = Some(version);
        self.not_before = now.saturating_add(interval);
    }

    pub(super) fn succeeded(&mut self, now: Duration) {
        if let Some(version) = self.writing.take() {
            self.saved = version;
        }
        self.failures = 0;
        self.saved_at = Some(now);
    }

    pub(super) fn failed(&mut self, reason: Reason, retry_at: Duration) {
        self.writing = None;
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(reason);
        self.not_before = self.not_before.max(retry_at);
    }

    /// Whether `version` is on disk and nothing is being written.
    pub(super) fn is_settled(&self, version: u64) -> bool {
        self.writing.is_none() && self.saved == version
    }
}

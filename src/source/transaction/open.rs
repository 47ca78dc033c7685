//! The transaction that is being read: what was seen of it, and what was handed on before a cut. Pure.

use std::sync::Arc;

use crate::change::TableId;
use crate::position::{Gtid, OpenTransaction};
use crate::retry::Failure;
use crate::source::fingerprint::Fingerprint;

/// What becomes of an open transaction's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Yes,
    /// It is in the set of what was read.
    Repeated,
    /// It was committed before the start time.
    TooEarly,
}

/// A file position that costs nothing to copy.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) pos: u64,
}

/// The transaction that is being read.
#[derive(Clone, Debug)]
pub struct Open {
    /// Its identity as records carry it.
    pub id: Arc<str>,
    /// Its GTID as text, where there is one.
    pub gtid_text: Option<Arc<str>>,
    /// Commit time, microseconds since 1970.
    pub ts_us: u64,
    /// Rows seen so far, from its first.
    pub rows: u64,
    /// Over those rows.
    pub fingerprint: Fingerprint,
    /// Captured tables and their rows so far, where somebody wants to know.
    pub captured: Vec<(TableId, u64)>,
    /// Definitions that it changed so far, where somebody wants to know.
    pub definitions: u64,
    pub(super) gtid: Option<Gtid>,
    pub(super) start: Place,
    /// Whether a commit is still to come.
    pub(super) begun: bool,
    /// Whether a statement of its own, later in the binlog, says if it happened.
    pub xa: bool,
    pub(super) follow: Follow,
    /// Rows that were handed on before a cut, and their fingerprint.
    pub(super) before_cut: Option<(u64, u32)>,
}

pub(super) fn changed(message: String) -> Failure {
    Failure::halt(
        "transaction_changed",
        message,
        "compare the transaction's rows downstream with the database, then restart from a position behind it",
    )
}

impl Open {
    /// Whether its rows and definitions are handed on.
    pub fn counts(&self) -> bool {
        self.follow == Follow::Yes
    }

    /// Counts a row of a captured table.
    pub fn count(&mut self, id: &TableId) {
        // Rows of one table come in runs.
        match self.captured.iter_mut().rev().find(|(known, _)| known == id) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.captured.push((id.clone(), 1)),
        }
    }

    /// Rows of it that still have to be passed over.
    pub fn owed(&self) -> u64 {
        self.before_cut
            .map_or(0, |(rows, _)| rows.saturating_sub(self.rows))
    }

    /// To be called when `owed` has come down to nothing.
    ///
    /// # Errors
    /// If the rows passed over are not those that were handed on before the cut.
    pub fn verify(&self) -> Result<(), Failure> {
        match self.before_cut {
            Some((rows, expected)) if self.rows == rows && self.fingerprint.value() != expected => {
                Err(changed(format!(
                    "the first {rows} rows of transaction {} differ from those read before the reconnect",
                    self.id
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn state(&self) -> Option<OpenTransaction> {
        let (rows, fingerprint) = match self.before_cut {
            Some((rows, fingerprint)) if rows > self.rows => (rows, fingerprint),
            Some(_) | None => (self.rows, self.fingerprint.value()),
        };
        (rows > 0).then(|| OpenTransaction {
            id: self.id.to_string(),
            rows,
            fingerprint,
        })
    }
}

//! What is kept already: records behind the position where this run begins which an earlier run brought into the
//! topic or the dead letters.
//!
//! They are known one by one, by their ids, so nothing is inferred from an order: a record that was not seen there is
//! sent.

use std::collections::HashSet;

use crate::record::RecordId;

/// Ids that were seen there and not yet met in this run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    stored: HashSet<RecordId>,
}

impl Memory {
    pub(super) fn new(stored: HashSet<RecordId>) -> Self {
        Self { stored }
    }

    /// Whether the record is kept. It comes only once in a run, so it is forgotten.
    pub(super) fn takes(&mut self, id: &RecordId) -> bool {
        !self.stored.is_empty() && self.stored.remove(id)
    }
}

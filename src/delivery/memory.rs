//! What the topic has already: records that an earlier run stored behind the position where this run begins.
//!
//! They are known one by one, by their ids, so nothing is inferred from an order: a record that was not seen in the
//! topic is sent.

use std::collections::HashSet;

use crate::record::RecordId;

/// Ids that were seen in the topic and not yet met in this run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    stored: HashSet<RecordId>,
}

impl Memory {
    pub(super) fn new(stored: HashSet<RecordId>) -> Self {
        Self { stored }
    }

    /// Whether the topic has the record. It comes only once in a run, so it is forgotten.
    pub(super) fn takes(&mut self, id: &RecordId) -> bool {
        !self.stored.is_empty() && self.stored.remove(id)
    }
}

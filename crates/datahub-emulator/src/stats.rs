//! What was asked and what was done, as counters.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::call::CallKind;

/// Counters since start or reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Connections that were accepted.
    pub connections: u64,
    /// Requests by kind of call, answered or not.
    pub requests: BTreeMap<CallKind, u64>,
    /// Error answers by code; those of fault plans too.
    pub errors: BTreeMap<String, u64>,
    /// Put requests that were applied, at least in part.
    pub puts_applied: u64,
    /// Records that were stored, or counted by a null sink.
    pub records: u64,
    /// Records that were refused one by one in multi-shard puts.
    pub records_refused: u64,
    /// Bytes of put bodies as sent.
    pub wire_bytes: u64,
    /// Bytes of put bodies before compression.
    pub raw_bytes: u64,
    /// Fault actions that were carried out.
    pub faults: u64,
    /// Requests that a fault plan left without an answer: what it had applied before is applied.
    pub hung: u64,
}

//! Counts of events and bytes, added up locally and handed to the metrics a few times a second.

use metrics::{Counter, counter, gauge};

use crate::source::decode;
use crate::source::parked::Shown;
use crate::telemetry::metric;

/// The labels that [`decode::kind_name`] gives.
const KINDS: [&str; 10] = [
    "rows",
    "table_map",
    "gtid",
    "query",
    "xid",
    "heartbeat",
    "rotate",
    "format_description",
    "previous_gtids",
    "other",
];

/// Counters of the source.
pub struct Tally {
    kinds: [(u64, Counter); 10],
    bytes: (u64, Counter),
}

impl Default for Tally {
    /// Looks the counters up, once.
    fn default() -> Self {
        Self {
            kinds: KINDS.map(|kind| (0, counter!(metric::SOURCE_EVENTS_TOTAL, "type" => kind))),
            bytes: (0, counter!(metric::SOURCE_BYTES_TOTAL)),
        }
    }
}

impl Tally {
    /// Counts one event.
    pub fn event(&mut self, kind: u8, bytes: u32) {
        let name = decode::kind_name(kind);
        let at = KINDS.iter().position(|known| *known == name);
        if let Some((count, _)) = at.and_then(|at| self.kinds.get_mut(at)) {
            *count = count.saturating_add(1);
        }
        self.bytes.0 = self.bytes.0.saturating_add(u64::from(bytes));
    }

    /// Hands on what was counted since.
    pub fn flush(&mut self) {
        for (count, counter) in self.kinds.iter_mut().chain([&mut self.bytes]) {
            if *count > 0 {
                counter.increment(std::mem::take(count));
            }
        }
    }

    /// A connection failed.
    pub fn reconnect(reason: &'static str) {
        counter!(metric::SOURCE_RECONNECTS_TOTAL, "reason" => reason).increment(1);
    }

    /// These tables are parked.
    pub fn parked(tables: &[Shown]) {
        gauge!(metric::TABLES_PARKED).set(tables.len() as f64);
        let rows = tables
            .iter()
            .fold(0, |sum: u64, table| sum.saturating_add(table.rows));
        gauge!(metric::ROWS_PARKED).set(rows as f64);
    }

    /// The server was left because nobody takes what is read.
    pub fn park() {
        counter!(metric::SOURCE_PARKS_TOTAL).increment(1);
    }

    /// A stretch of the binlog was lost and passed over.
    pub fn gap() {
        counter!(metric::SOURCE_GAPS_TOTAL).increment(1);
    }

    /// Definitions changed; `kind` is the label.
    pub fn schema_change(kind: &'static str) {
        counter!(metric::SCHEMA_CHANGES_TOTAL, "kind" => kind).increment(1);
    }
}

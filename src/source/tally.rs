//! Counts of events and bytes, added up locally and handed to the metrics a few times a second.

use metrics::{Counter, counter, gauge};

use crate::source::decode;
use crate::source::parked::Shown;
use crate::source::transaction::LeftOut;
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

    /// So much more was left out than before.
    pub fn left_out(before: LeftOut, now: LeftOut) {
        for (kind, before, now) in [
            ("repeated_transactions", before.repeated, now.repeated),
            ("transactions_before_start", before.before_start, now.before_start),
            ("stray_rows", before.stray, now.stray),
        ] {
            // Behind a gap the count begins anew.
            let more = now.checked_sub(before).unwrap_or(now);
            if more > 0 {
                counter!(metric::SOURCE_LEFT_OUT_TOTAL, "kind" => kind).increment(more);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_once() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let of = |repeated, stray| LeftOut {
            repeated,
            before_start: 0,
            stray,
        };
        metrics::with_local_recorder(&recorder, || {
            Tally::left_out(of(0, 0), of(2, 1));
            Tally::left_out(of(2, 1), of(2, 1));
            Tally::left_out(of(2, 1), of(5, 1));
            // Behind a gap it begins anew.
            Tally::left_out(of(5, 1), of(1, 0));
        });
        let text = recorder.handle().render();
        for (kind, count) in [("repeated_transactions", 6), ("stray_rows", 1)] {
            let line = format!("cdc_source_left_out_total{{kind=\"{kind}\"}} {count}");
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(!text.contains("transactions_before_start"), "{text}");
    }
}

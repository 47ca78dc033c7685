//! The pipeline's metrics, registered once: nothing is looked up or formatted on the way of a batch.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::delivery::Snapshot;
use crate::record::{Outcome, Probe};
use crate::retry::{Disposition, Failure, Reason};
use crate::telemetry::metric::{self, label};

use super::intake::Operations;

/// Handles of everything that the driver counts.
pub(super) struct Gauges {
    created: Counter,
    updated: Counter,
    deleted: Counter,
    marks: Counter,
    filtered: Counter,
    acked: Counter,
    suppressed: Counter,
    dead_lettered: Counter,
    dead_letters: Gauge,
    dead_letter_keys: Gauge,
    replayed: Counter,
    discarded: Counter,
    in_flight: Gauge,
    conservation_error: Gauge,
    delivery_lag: Gauge,
    checkpoint_age: Gauge,
    budget_used: Gauge,
    put_duration: Histogram,
    batch_rows: Histogram,
    batch_bytes: Histogram,
    /// Rows counted where they were decoded: the left side of the conservation check.
    decoded: u64,
}

impl Gauges {
    pub(super) fn new(budget_bytes: usize) -> Self {
        gauge!(metric::BUDGET_BYTES).set(lossy(budget_bytes));
        let decoded = |op: &'static str| counter!(metric::ROWS_DECODED_TOTAL, label::OP => op);
        Self {
            created: decoded("c"),
            updated: decoded("u"),
            deleted: decoded("d"),
            marks: decoded("m"),
            filtered: counter!(metric::ROWS_FILTERED_TOTAL),
            acked: counter!(metric::ROWS_ACKED_TOTAL),
            suppressed: counter!(metric::ROWS_SUPPRESSED_TOTAL),
            dead_lettered: counter!(metric::ROWS_DEAD_LETTERED_TOTAL),
            dead_letters: gauge!(metric::DEAD_LETTERS),
            dead_letter_keys: gauge!(metric::DEAD_LETTER_KEYS),
            replayed: counter!(metric::DEAD_LETTERS_REPLAYED_TOTAL),
            discarded: counter!(metric::DEAD_LETTERS_DISCARDED_TOTAL),
            in_flight: gauge!(metric::ROWS_IN_FLIGHT),
            conservation_error: gauge!(metric::CONSERVATION_ERROR_ROWS),
            delivery_lag: gauge!(metric::DELIVERY_LAG_SECONDS),
            checkpoint_age: gauge!(metric::CHECKPOINT_AGE_SECONDS),
            budget_used: gauge!(metric::BUDGET_USED_BYTES),
            put_duration: histogram!(metric::PUT_DURATION_SECONDS),
            batch_rows: histogram!(metric::BATCH_ROWS),
            batch_bytes: histogram!(metric::BATCH_BYTES),
            decoded: 0,
        }
    }

    /// Rows that the source handed on, as counted there.
    pub(super) fn decoded(&mut self, operations: Operations) {
        self.decoded = self.decoded.saturating_add(operations.total());
        self.created.increment(operations.created);
        self.updated.increment(operations.updated);
        self.deleted.increment(operations.deleted);
        self.marks.increment(operations.marks);
    }

    pub(super) fn put(&self, outcome: &Outcome, rows: usize, bytes: usize, took: Duration) {
        let name = match outcome {
            Outcome::Acknowledged => "acknowledged",
            Outcome::Refused(_) => "refused",
            Outcome::Unknown { .. } => "unknown",
            Outcome::Partial(_) => "partial",
        };
        counter!(metric::PUT_REQUESTS_TOTAL, label::OUTCOME => name).increment(1);
        self.put_duration.record(took.as_secs_f64());
        self.batch_rows.record(lossy(rows));
        self.batch_bytes.record(lossy(bytes));
        match outcome {
            Outcome::Acknowledged => {}
            Outcome::Refused(failure) => self.retry(failure),
            Outcome::Unknown { reason } => count_retry(reason),
            Outcome::Partial(refused) => refused
                .iter()
                .take(1)
                .for_each(|(_, failure)| self.retry(failure)),
        }
    }

    pub(super) fn probe(&self, probe: &Probe) {
        let result = match probe {
            Probe::Holds(0) => "none",
            Probe::Holds(_) => "found",
            Probe::Lacks(_) => "in_part",
            Probe::Failed(_) => "failed",
        };
        counter!(metric::PROBES_TOTAL, label::RESULT => result).increment(1);
        if let Probe::Failed(failure) = probe {
            self.retry(failure);
        }
    }

    /// Counts a call that will be repeated.
    #[expect(clippy::unused_self, reason = "all counting goes through one value")]
    pub(super) fn retry(&self, failure: &Failure) {
        match failure.disposition {
            Disposition::Retry { .. } | Disposition::Reroute => count_retry(&failure.reason),
            Disposition::Poison(_) | Disposition::Halt { .. } => {}
        }
    }

    /// Brings every number up to date and compares both sides of the conservation identity.
    pub(super) fn snapshot(&self, core: &Snapshot, now: Duration) {
        let settled = core
            .acked
            .saturating_add(core.filtered)
            .saturating_add(core.suppressed)
            .saturating_add(core.dead_lettered)
            .saturating_add(core.in_flight);
        self.filtered.absolute(core.filtered);
        self.acked.absolute(core.acked);
        self.suppressed.absolute(core.suppressed);
        self.dead_lettered.absolute(core.dead_lettered);
        let letters = &core.dead_letters;
        self.dead_letters.set(letters.letters as f64);
        self.dead_letter_keys.set(letters.keys as f64);
        self.replayed.absolute(letters.replayed);
        self.discarded.absolute(letters.discarded);
        self.in_flight.set(core.in_flight as f64);
        let error = i128::from(self.decoded) - i128::from(settled);
        self.conservation_error.set(error as f64);
        let age = |at: Option<Duration>| at.map_or(0.0, |at| now.saturating_sub(at).as_secs_f64());
        self.delivery_lag.set(age(core.oldest_unacked));
        self.checkpoint_age.set(age(core.persisted_at));
        self.budget_used.set(lossy(core.held_bytes));
    }
}

fn count_retry(reason: &Reason) {
    counter!(metric::RETRIES_TOTAL, label::REASON => reason.code).increment(1);
}

/// Numbers of rows and bytes in memory are far below 2^53.
fn lossy(number: usize) -> f64 {
    number as f64
}

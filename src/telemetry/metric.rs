//! Metric names, with what each one means: a contract with dashboards and alerts. Nothing else names a metric.
//!
//! Names follow Prometheus: base units, the unit in the name, `_total` for counters; every label has few values.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of values in fixed buckets.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub shape: Shape,
    /// Its unit.
    pub unit: Unit,
    /// One sentence, shown as HELP.
    pub help: &'static str,
}

/// Label keys.
pub mod label {
    /// Of `cdc_state`: ok, degraded, starting, reconnecting, parked, standby, halted, draining.
    pub const STATE: &str = "state";
    /// Of `cdc_source_events_total`: the event's type.
    pub const TYPE: &str = "type";
    /// Of `cdc_source_reconnects_total` and `cdc_retries_total`: a reason code.
    pub const REASON: &str = "reason";
    /// Of `cdc_rows_decoded_total`: `c`, `u`, `d`, or `m` for records that are no rows (EMIT_*).
    pub const OP: &str = "op";
    /// Of `cdc_put_requests_total`: how the request ended.
    pub const OUTCOME: &str = "outcome";
    /// Of `cdc_probes_total`: what the read-back showed.
    pub const RESULT: &str = "result";
    /// Of `cdc_schema_changes_total`: what changed. Of `cdc_source_left_out_total`: what was left out.
    pub const KIND: &str = "kind";
    /// Of `cdc_build_info`.
    pub const VERSION: &str = "version";
    /// Of `cdc_build_info`.
    pub const COMMIT: &str = "commit";
}

/// From a request on the same machine to one that a slow service answers just before the timeout.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Up to the service's limit of 10,000.
const ROWS: &[f64] = &[
    1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 10_000.0,
];
/// Up to the service's limit of 4 MB.
const BYTES: &[f64] = &[
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    2_097_152.0,
    4_000_000.0,
];

macro_rules! metrics_table {
    ($($constant:ident = $name:literal, $shape:expr, $unit:ident, $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric that the recorder keeps.
        pub const METRICS: &[Metric] = &[
            $(Metric { name: $name, shape: $shape, unit: Unit::$unit, help: $help },)*
        ];
    };
}

metrics_table! {
    STATE = "cdc_state", Shape::Gauge, Count, "1 for the state the collector is in, 0 for all others.";
    READY = "cdc_ready", Shape::Gauge, Count, "1 while /health/ready answers 200.";
    ALARM = "cdc_alarm", Shape::Gauge, Count, "1 while a call has failed RETRY_MAX_ATTEMPTS times in a row, or the collector is halted.";
    LEASE_HELD = "cdc_lease_held", Shape::Gauge, Count, "1 while this collector may send: the database has confirmed the lease in time, or none is wanted.";
    EPOCH = "cdc_epoch", Shape::Gauge, Count, "The epoch that records are sent in (cdc.epoch); 0 before that is known.";
    SOURCE_LAG_SECONDS = "cdc_source_lag_seconds", Shape::Gauge, Seconds, "Age of the newest event received; 0 while idle heartbeats arrive.";
    DELIVERY_LAG_SECONDS = "cdc_delivery_lag_seconds", Shape::Gauge, Seconds, "Age of the oldest record received and not yet acknowledged.";
    SOURCE_BEHIND_BYTES = "cdc_source_behind_bytes", Shape::Gauge, Bytes, "Binlog written by the database and not yet received.";
    PURGE_ETA_SECONDS = "cdc_purge_eta_seconds", Shape::Gauge, Seconds, "Forecast of the time until the database purges binlog that is still needed; +Inf where the collector is faster, or nothing is purged.";
    CHECKPOINT_AGE_SECONDS = "cdc_checkpoint_age_seconds", Shape::Gauge, Seconds, "Time since the durable position last advanced or was confirmed.";
    SOURCE_EVENTS_TOTAL = "cdc_source_events_total", Shape::Counter, Count, "Binlog events received, by type.";
    SOURCE_BYTES_TOTAL = "cdc_source_bytes_total", Shape::Counter, Bytes, "Bytes of binlog received.";
    SOURCE_RECONNECTS_TOTAL = "cdc_source_reconnects_total", Shape::Counter, Count, "Connections to the database lost or refused, by reason.";
    SOURCE_PARKS_TOTAL = "cdc_source_parks_total", Shape::Counter, Count, "Times that the database was left because DataHub took nothing for long.";
    SOURCE_GAPS_TOTAL = "cdc_source_gaps_total", Shape::Counter, Count, "Stretches of the binlog that the database had purged and that were passed over (ON_POSITION_LOST).";
    SOURCE_LEFT_OUT_TOTAL = "cdc_source_left_out_total", Shape::Counter, Count, "What the database sent and was left out, by kind: repeated_transactions, transactions_before_start, stray_rows.";
    ROWS_DECODED_TOTAL = "cdc_rows_decoded_total", Shape::Counter, Count, "Row changes decoded, by operation; m: records beside the rows (EMIT_*).";
    ROWS_FILTERED_TOTAL = "cdc_rows_filtered_total", Shape::Counter, Count, "Row changes of tables that are not captured.";
    ROWS_ACKED_TOTAL = "cdc_rows_acked_total", Shape::Counter, Count, "Row changes that DataHub acknowledged.";
    ROWS_SUPPRESSED_TOTAL = "cdc_rows_suppressed_total", Shape::Counter, Count, "Row changes not sent again because the topic has them already.";
    ROWS_DEAD_LETTERED_TOTAL = "cdc_rows_dead_lettered_total", Shape::Counter, Count, "Row changes written to the dead-letter file.";
    DEAD_LETTERS = "cdc_dead_letters", Shape::Gauge, Count, "Letters in the dead-letter file.";
    DEAD_LETTER_KEYS = "cdc_dead_letter_keys", Shape::Gauge, Count, "Keys whose later row changes wait behind dead letters.";
    DEAD_LETTERS_REPLAYED_TOTAL = "cdc_dead_letters_replayed_total", Shape::Counter, Count, "Dead letters that were sent again and acknowledged.";
    DEAD_LETTERS_DISCARDED_TOTAL = "cdc_dead_letters_discarded_total", Shape::Counter, Count, "Dead letters that were given up by a person.";
    ROWS_IN_FLIGHT = "cdc_rows_in_flight", Shape::Gauge, Count, "Row changes decoded and not yet settled.";
    CONSERVATION_ERROR_ROWS = "cdc_conservation_error_rows", Shape::Gauge, Count, "Decoded minus acknowledged, filtered, dead-lettered and in flight: anything but 0 is a bug.";
    PUT_REQUESTS_TOTAL = "cdc_put_requests_total", Shape::Counter, Count, "Put requests to DataHub, by outcome.";
    PUT_DURATION_SECONDS = "cdc_put_duration_seconds", Shape::Histogram(SECONDS), Seconds, "Duration of put requests.";
    PROBES_TOTAL = "cdc_probes_total", Shape::Counter, Count, "Read-backs after an unknown outcome, by result.";
    DUPLICATES_SEEN_TOTAL = "cdc_duplicates_seen_total", Shape::Counter, Count, "Records that a read-back found in the topic again under the same cdc.id: requests that the service stored late.";
    RETRIES_TOTAL = "cdc_retries_total", Shape::Counter, Count, "Requests repeated, by reason.";
    BATCH_ROWS = "cdc_batch_rows", Shape::Histogram(ROWS), Count, "Rows of each put request.";
    BATCH_BYTES = "cdc_batch_bytes", Shape::Histogram(BYTES), Bytes, "Bytes of each put request before compression.";
    BUDGET_BYTES = "cdc_budget_bytes", Shape::Gauge, Bytes, "Most bytes of rows that may be held in memory.";
    BUDGET_USED_BYTES = "cdc_budget_used_bytes", Shape::Gauge, Bytes, "Bytes of rows held in memory.";
    SCHEMA_CHANGES_TOTAL = "cdc_schema_changes_total", Shape::Counter, Count, "Schema changes met in the binlog, by kind; and alarms, by code: definitions that rows may not have been read with in time.";
    TABLES_PARKED = "cdc_tables_parked", Shape::Gauge, Count, "Tables whose rows are passed over because no known definition fits them; they are handed on later.";
    ROWS_PARKED = "cdc_rows_parked", Shape::Gauge, Count, "Row changes of parked tables that this run has passed over; they are handed on later.";
    BUILD_INFO = "cdc_build_info", Shape::Gauge, Count, "1; version and commit are in the labels.";
}

/// Tells the recorder the help and the unit of every metric.
pub(super) fn describe() {
    for metric in METRICS {
        match metric.shape {
            Shape::Counter => describe_counter!(metric.name, metric.unit, metric.help),
            Shape::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Shape::Histogram(_) => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

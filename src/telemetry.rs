//! Logs and metrics: set-up of both, and every metric's name. Nothing else names a metric.

/// Metric names: a contract with dashboards and alerts.
pub mod metric {
    #![allow(
        missing_docs,
        reason = "each is described, with its unit, where the recorder is installed"
    )]
    pub const STATE: &str = "cdc_state";
    pub const READY: &str = "cdc_ready";
    pub const SOURCE_LAG_SECONDS: &str = "cdc_source_lag_seconds";
    pub const DELIVERY_LAG_SECONDS: &str = "cdc_delivery_lag_seconds";
    pub const SOURCE_BEHIND_BYTES: &str = "cdc_source_behind_bytes";
    pub const PURGE_ETA_SECONDS: &str = "cdc_purge_eta_seconds";
    pub const CHECKPOINT_AGE_SECONDS: &str = "cdc_checkpoint_age_seconds";
    pub const SOURCE_EVENTS_TOTAL: &str = "cdc_source_events_total";
    pub const SOURCE_BYTES_TOTAL: &str = "cdc_source_bytes_total";
    pub const SOURCE_RECONNECTS_TOTAL: &str = "cdc_source_reconnects_total";
    pub const ROWS_DECODED_TOTAL: &str = "cdc_rows_decoded_total";
    pub const ROWS_FILTERED_TOTAL: &str = "cdc_rows_filtered_total";
    pub const ROWS_ACKED_TOTAL: &str = "cdc_rows_acked_total";
    pub const ROWS_SUPPRESSED_TOTAL: &str = "cdc_rows_suppressed_total";
    pub const ROWS_DEAD_LETTERED_TOTAL: &str = "cdc_rows_dead_lettered_total";
    pub const ROWS_IN_FLIGHT: &str = "cdc_rows_in_flight";
    pub const CONSERVATION_ERROR_ROWS: &str = "cdc_conservation_error_rows";
    pub const PUT_REQUESTS_TOTAL: &str = "cdc_put_requests_total";
    pub const PUT_DURATION_SECONDS: &str = "cdc_put_duration_seconds";
    pub const PROBES_TOTAL: &str = "cdc_probes_total";
    pub const RETRIES_TOTAL: &str = "cdc_retries_total";
    pub const BATCH_ROWS: &str = "cdc_batch_rows";
    pub const BATCH_BYTES: &str = "cdc_batch_bytes";
    pub const BUDGET_BYTES: &str = "cdc_budget_bytes";
    pub const BUDGET_USED_BYTES: &str = "cdc_budget_used_bytes";
    pub const SCHEMA_CHANGES_TOTAL: &str = "cdc_schema_changes_total";
    pub const BUILD_INFO: &str = "cdc_build_info";
}

//! Relays committed row changes from an OceanBase, MySQL or MariaDB binlog to Alibaba Cloud DataHub.
//!
//! ```text
//!  binlog bytes ─▶ source ─▶ encode ─▶ [bounded by bytes] ─▶ pipeline ⇄ delivery core ─▶ sink ─▶ DataHub
//!                                                               │            (pure)                 │
//!  store (checkpoint, dead letters) ◀────────── effects ────────┘◀──────────── outcomes ────────────┘
//!  http ◀── snapshots that source and pipeline publish
//! ```
//!
//! The modules below stand in the order of the flow; each may use those above it, and the two halves, `source`
//! and `sink`, never see each other (`tests/layers.rs` says so).
//!
//! | id | promise | owner |
//! |---|---|---|
//! | I1 | the checkpoint never passes an unresolved record | `delivery/ledger` |
//! | I2 | the durable position only advances; empty, filtered and heartbeat-only stretches advance it too | `delivery/ledger` |
//! | I3 | at most one batch in flight per lane; after a failure the failed record and all after it go first; nothing passes a dead letter of its key | `delivery/lane` |
//! | I4 | a key changes lane only when nothing is in flight on the lanes involved, and in order | [`delivery`] |
//! | I5 | bytes held stay below the budget plus one chunk; no queue is unbounded | [`delivery`] |
//! | I6 | a row is decoded only with the table map and schema in force at its position, or is an error | [`source::decode`] |
//! | I7 | a reconnect continues at exactly the next row, proven by a fingerprint | [`source`] |
//! | I8 | one row change becomes one record with a stable id, or one counted filter decision | [`encode`] |
//! | I9 | a checkpoint (and a history) is the old one or the new one; damaged, newer and foreign ones stop the start | [`store`] |
//! | I10 | every failure has exactly one disposition; unknown means retry, never drop | [`sink::outcome`], [`retry`] |
//! | I11 | what is signed is what is sent; a batch fits the service's limits | [`sink::wire`], [`sink::sign`] |
//! | I12 | no socket opens before the whole configuration is valid; a secret is never printed | [`config`] |
//! | I13 | a health answer never waits for the pipeline | [`http`] |
//! | I14 | rows decoded = acknowledged + filtered + dead-lettered + in flight, as a metric | [`pipeline`] |

// The vocabulary: values without tasks, sockets or files.
pub mod change;
pub mod position;
pub mod record;
pub mod retry;

// What every part may use.
pub mod config;
pub mod telemetry;

// The source half.
pub mod encode;
pub mod source;

// The delivery core.
pub mod delivery;

// The sink half.
pub mod sink;

// The edges.
pub mod http;
pub mod pipeline;
pub mod store;

// The wiring, and the command line.
pub mod app;
pub mod cli;
pub mod explain;

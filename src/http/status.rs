//! Everything that `/health` shows, as plain data. Every number that can grow stale says how old it is.

use serde::Serialize;

use super::verdict::Verdict;
use crate::telemetry;

/// The body of `/health`.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// What it all comes to.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Since when the state has been what it is, RFC 3339.
    pub since: String,
    /// The parts one by one.
    pub components: Components,
    /// How far the checkpoint is; `None` before there is one.
    pub position: Option<PositionStatus>,
    /// How far behind the collector is.
    pub lag: Lag,
    /// What is running.
    pub build: Build,
}

/// The parts.
#[derive(Clone, Debug, Serialize)]
pub struct Components {
    /// The connection to the database.
    pub source: Component,
    /// The tables' schemas.
    pub schema: Component,
    /// The destination.
    pub datahub: DatahubComponent,
    /// The checkpoint file.
    pub checkpoint: Component,
    /// The dead-letter file.
    pub dead_letters: DeadLettersComponent,
    /// What keeps other collectors of the group from sending.
    pub lease: Component,
}

/// The dead letters, and the keys that wait behind them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DeadLettersComponent {
    /// Its state (`none`, `fenced` or `failing`), and what last went wrong.
    #[serde(flatten)]
    pub component: Component,
    /// Letters in the file.
    pub letters: u64,
    /// Keys that they fence.
    pub keys: u64,
    /// Rows in memory that wait behind them.
    pub waiting_rows: u64,
    /// The same by table; the first twenty of them.
    pub tables: Vec<TableLettersStatus>,
}

/// Dead letters of one table.
#[derive(Clone, Debug, Serialize)]
pub struct TableLettersStatus {
    /// `db.table`; `None` for what is told of a transaction, and for letters of older versions.
    pub table: Option<String>,
    /// Letters in the file.
    pub letters: u64,
    /// Keys that they fence.
    pub keys: u64,
}

/// One part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Component {
    /// Its state in one word.
    pub state: String,
    /// Age of the last thing that went well, seconds.
    pub progress_age_seconds: Option<f64>,
    /// What last went wrong; stays after recovery, with its age.
    pub last_error: Option<LastError>,
}

/// What went wrong, without row values or secrets.
#[derive(Clone, Debug, Serialize)]
pub struct LastError {
    /// Stable code.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Its age, seconds.
    pub age_seconds: f64,
}

/// The destination with its shards.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DatahubComponent {
    /// The whole of it.
    #[serde(flatten)]
    pub component: Component,
    /// `project/topic`.
    pub topic: String,
    /// Each active shard.
    pub shards: Vec<ShardStatus>,
}

/// One shard.
#[derive(Clone, Debug, Serialize)]
pub struct ShardStatus {
    /// Its id.
    pub id: String,
    /// idle, sending, probing, waiting or draining.
    pub state: String,
    /// Records that wait for it or are on their way.
    pub waiting_records: u64,
    /// Consecutive failures of its present request.
    pub failures: u32,
}

/// The durable position.
#[derive(Clone, Debug, Serialize)]
pub struct PositionStatus {
    /// Executed GTID set, where the source has one.
    pub gtid: Option<String>,
    /// Binlog file.
    pub file: String,
    /// Offset in it.
    pub pos: u64,
    /// Rows of the open transaction that are behind the position; 0 at a boundary.
    pub rows: u64,
    /// Server that the position belongs to.
    pub server_uuid: String,
    /// Time since it was last saved or confirmed, seconds.
    pub age_seconds: f64,
}

/// How far behind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lag {
    /// Age of the newest event received when it arrived; 0 while idle heartbeats arrive.
    pub source_seconds: Option<f64>,
    /// Age of the oldest record that is not acknowledged; 0 if there is none.
    pub delivery_seconds: f64,
    /// Binlog written and not received.
    pub behind_bytes: Option<u64>,
    /// Forecast of the time until the database purges what is still needed; `None` if that is delivered before.
    pub purge_eta_seconds: Option<f64>,
    /// Age of what the two numbers above rest on, which is asked for only now and then.
    pub behind_age_seconds: Option<f64>,
}

/// What is running.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Build {
    /// Package version.
    pub version: &'static str,
    /// Commit, or `unknown`.
    pub commit: &'static str,
}

impl Build {
    /// This build.
    pub const THIS: Build = Build {
        version: telemetry::VERSION,
        commit: telemetry::COMMIT,
    };
}

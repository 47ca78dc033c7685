//! The effective configuration: defaults → `application.yml` → environment → command line, checked as a whole.
//!
//! Owns I12: no socket opens before every option is valid, all problems are reported at once, and a secret is
//! never printed.

mod check;
pub mod filter;
mod forms;
mod layers;
pub mod options;
mod problem;
mod reader;
mod show;

use std::borrow::Cow;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::position::{FilePosition, GtidSet};
use crate::retry::Delays;
use filter::TableFilter;
use filter::columns::ColumnRules;

pub use check::Loaded;
pub use layers::{Origin, Raw, Sources};
pub use problem::{Problem, Problems};

/// Everything the collector can be told. Checked: whoever holds one need not check again.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where rows come from.
    pub database: DatabaseConfig,
    /// What a record says.
    pub records: RecordsConfig,
    /// Where records go.
    pub datahub: DatahubConfig,
    /// How they get there.
    pub delivery: DeliveryConfig,
    /// What is shown of it.
    pub monitoring: MonitoringConfig,
    /// What is written about it.
    pub logging: LoggingConfig,
    /// Where the checkpoint and dead letters live (`DATA_DIR`).
    pub data_dir: PathBuf,
    /// What keeps all but one collector of a group from sending (`LEASE`).
    pub lease: LeaseKind,
    /// How long a clean stop may take (`SHUTDOWN_TIMEOUT_SECONDS`, 25 s).
    pub shutdown_timeout: Duration,
    /// Whether a halt ends the process with exit code 1 (`EXIT_ON_HALT`).
    pub exit_on_halt: bool,
}

impl Config {
    /// Reads every layer and checks the result.
    ///
    /// # Errors
    /// Every problem at once; none of them shows a secret.
    pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
        Raw::gather(sources).check()
    }
}

/// `LEASE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseKind {
    /// A lock on the source database.
    #[default]
    Database,
    /// Nothing: whoever starts a second collector of a group has two.
    None,
}

/// The source (`DATABASE_*`).
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `DATABASE_HOST`.
    pub host: String,
    /// `DATABASE_PORT`.
    pub port: u16,
    /// `DATABASE_USERNAME`; `user@tenant#cluster` on OceanBase.
    pub username: String,
    /// `DATABASE_PASSWORD` or `DATABASE_PASSWORD_FILE`.
    pub password: Secret,
    /// Who is asked for tables and columns, where that is not the server of the binlog (`DATABASE_OBSERVER_*`).
    pub observer: Option<Observer>,
    /// `DATABASE_SCHEMA` and `DATABASE_TABLES`.
    pub tables: TableFilter,
    /// Transport security (`DATABASE_TLS_*`).
    pub tls: TlsConfig,
    /// The replica id shown to the server (`DATABASE_SERVER_ID`); derived from group and source if unset. Never 0.
    pub server_id: u32,
    /// How often the server is asked for a heartbeat when it has nothing to send (`DATABASE_HEARTBEAT_SECONDS`).
    /// Three of them without a byte mean that the connection is dead.
    pub heartbeat: Duration,
    /// Limit for a TCP connect with handshake, and for each query (`DATABASE_CONNECT_TIMEOUT_SECONDS`, 10 s).
    pub connect_timeout: Duration,
    /// What a table with a column that cannot be relayed does (`TYPE_POLICY`).
    pub types: TypePolicy,
    /// What a table whose rows no known definition fits does (`SCHEMA_POLICY`).
    pub schemas: SchemaPolicy,
    /// Where to start without a checkpoint (`START_POSITION`).
    pub start: StartPosition,
    /// What a position does that the server cannot continue from (`ON_POSITION_LOST`).
    pub position_lost: PositionLost,
    /// How often every captured table's definition is compared with the server's (`SCHEMA_CHECK_SECONDS`); zero for
    /// never.
    pub schema_check: Duration,
}

/// An OceanBase observer beside a binlog instance (`DATABASE_OBSERVER_*`).
#[derive(Clone, Debug)]
pub struct Observer {
    /// `DATABASE_OBSERVER_HOST`.
    pub host: String,
    /// `DATABASE_OBSERVER_PORT`.
    pub port: u16,
    /// `DATABASE_OBSERVER_USERNAME`; `DATABASE_USERNAME` if unset.
    pub username: String,
    /// `DATABASE_OBSERVER_PASSWORD` or `DATABASE_OBSERVER_PASSWORD_FILE`; `DATABASE_PASSWORD` if unset.
    pub password: Secret,
}

impl DatabaseConfig {
    /// Takes passwords from their files again, as they are now.
    ///
    /// # Errors
    /// A file that cannot be read; the password of before stays.
    pub fn read_passwords_again(&mut self) -> std::io::Result<()> {
        if let Some(observer) = &mut self.observer {
            observer.password = observer.password.read_again()?;
        }
        self.password = self.password.read_again()?;
        Ok(())
    }

    /// How to reach the server that knows the tables.
    pub fn of_tables(&self) -> Cow<'_, Self> {
        match &self.observer {
            None => Cow::Borrowed(self),
            Some(observer) => Cow::Owned(Self {
                host: observer.host.clone(),
                port: observer.port,
                username: observer.username.clone(),
                password: observer.password.clone(),
                ..self.clone()
            }),
        }
    }
}

/// `SCHEMA_POLICY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// Pass over the rows of the table until it can be read; let all others flow.
    #[default]
    ParkTable,
    /// Stop and wait for a person.
    Halt,
}

/// `TYPE_POLICY`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TypePolicy {
    /// Stop and wait for a person.
    #[default]
    Halt,
    /// Leave its table out: the rows are counted as filtered.
    SkipTable,
}

/// `ON_POSITION_LOST`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PositionLost {
    /// Stop and wait for a person.
    #[default]
    Halt,
    /// Go on with the oldest that the server has, behind a record of the gap.
    Earliest,
    /// Go on with what is committed from now on, behind a record of the gap.
    Latest,
}

impl PositionLost {
    /// The option's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Earliest => "earliest",
            Self::Latest => "latest",
        }
    }
}

/// Where to start when nothing is known (`START_POSITION`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPosition {
    /// What is committed from now on.
    Latest,
    /// The oldest event that the server still has.
    Earliest,
    /// `gtid:<set>`: everything that is not in the set.
    Gtid(GtidSet),
    /// `file:<name>:<pos>`.
    File(FilePosition),
    /// `timestamp:<rfc3339>`: the first transaction at or after it; microseconds since 1970.
    Timestamp(u64),
}

/// `DATABASE_TLS_MODE`, in MySQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never encrypt.
    Disabled,
    /// Encrypt if the server can.
    Preferred,
    /// Encrypt, whoever the server is.
    Required,
    /// Encrypt, and check the certificate's chain.
    VerifyCa,
    /// Encrypt, check the chain and the host name.
    VerifyIdentity,
}

/// Transport security towards the database.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// How far to go.
    pub mode: TlsMode,
    /// PEM file of accepted authorities (`DATABASE_TLS_CA`); Mozilla's list if unset.
    pub ca: Option<PathBuf>,
    /// PEM files of the client's certificate and key (`DATABASE_TLS_CERT`, `DATABASE_TLS_KEY`): both or none.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// `DATAHUB_COMPRESSION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Bodies as they are.
    None,
    /// One raw LZ4 block.
    Lz4,
    /// The zlib container.
    Deflate,
    /// One zstd frame.
    Zstd,
    /// lz4, and plain from the first refusal of it on.
    Auto,
}

/// What a record says (`ENVELOPE`, `COLUMN_*`, `EMIT_*`).
#[derive(Clone, Debug, Default)]
pub struct RecordsConfig {
    /// `ENVELOPE`.
    pub envelope: Envelope,
    /// `COLUMN_EXCLUDE` and `COLUMN_MASK`.
    pub columns: ColumnRules,
    /// `COLUMN_MASK_KEY`; empty only where nothing is hashed.
    pub hash_key: Secret,
    /// `COLUMN_RULES_ON_KEYS`: whether a column of a primary key may be left out or masked.
    pub rules_on_keys: bool,
    /// `EMIT_TRANSACTIONS` and `EMIT_DDL`.
    pub emits: Emits,
    /// `TUPLE_NAMES`.
    pub tuple_names: TupleNames,
}

/// `TUPLE_NAMES`: what the fields of a TUPLE topic are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TupleNames {
    /// Pieces of the change begin with `__`; columns have their own names.
    #[default]
    Native,
    /// Pieces as Alibaba Cloud DTS names its additional columns by its new rule; columns have their own names.
    Dts,
    /// Pieces as DTS names them by its old rule, and `dts_` before each column's name.
    DtsLegacy,
}

/// Records that are no rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emits {
    /// Where a transaction begins and ends (`EMIT_TRANSACTIONS`).
    pub transactions: bool,
    /// What changes a definition (`EMIT_DDL`).
    pub definitions: bool,
}

/// `ENVELOPE`: what a record looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// Debezium's JSON object without schema.
    #[default]
    Debezium,
    /// Canal's flat JSON message.
    Canal,
    /// Maxwell's JSON.
    Maxwell,
}

/// The destination (`DATAHUB_*`).
#[derive(Clone, Debug)]
pub struct DatahubConfig {
    /// `DATAHUB_ENDPOINT`: scheme, host, optional port; no trailing slash.
    pub endpoint: String,
    /// `DATAHUB_ACCESS_ID` (or `_FILE`).
    pub access_id: Secret,
    /// `DATAHUB_ACCESS_KEY` (or `_FILE`).
    pub access_key: Secret,
    /// `DATAHUB_SECURITY_TOKEN` (or `_FILE`): an STS token.
    pub security_token: Option<Secret>,
    /// `DATAHUB_PROJECT`.
    pub project: String,
    /// `DATAHUB_TOPIC`.
    pub topic: String,
    /// `DATAHUB_CONSUMER_GROUP`: this collector's identity.
    pub group: String,
    /// `DATAHUB_COMPRESSION`.
    pub compression: Compression,
    /// `RESUME_FROM_TOPIC`: look in the topic for what an earlier run delivered.
    pub resume_from_topic: bool,
    /// `DATAHUB_CREATE_TOPIC`: create a missing topic (BLOB) instead of halting.
    pub create_topic: bool,
    /// `DATAHUB_SHARDS`: shards of a topic that is created, 1..=256.
    pub shards: u16,
    /// `DATAHUB_LIFECYCLE_DAYS`: lifetime of records in a topic that is created, 1..=7.
    pub lifecycle_days: u8,
    /// `DATAHUB_TIMEOUT_SECONDS`: limit of one request, well above the service's own.
    pub timeout: Duration,
}

/// Batching, retry and memory (`BATCH_*`, `RETRY_*`, `HEAP_SIZE`).
#[derive(Clone, Debug)]
pub struct DeliveryConfig {
    /// Largest request body before compression, bytes (`BATCH_MAX_BYTES`).
    pub batch_bytes: usize,
    /// Most records of a request (`BATCH_MAX_RECORDS`).
    pub batch_records: usize,
    /// How long an idle lane waits for more before it sends (`BATCH_LINGER_MS`, 0).
    pub linger: Duration,
    /// Upper bound of bytes held by all stages (`HEAP_SIZE`).
    pub budget_bytes: usize,
    /// First and largest wait between tries (`RETRY_BACKOFF_MS`, `RETRY_BACKOFF_MAX_MS`).
    pub delays: Delays,
    /// Consecutive failures of one call that make the collector not ready (`RETRY_MAX_ATTEMPTS`); it never drops.
    pub alarm_attempts: u32,
    /// What a record that the service can never store does (`POISON_POLICY`).
    pub poison: PoisonPolicy,
    /// Most bytes of the dead-letter file (`DEAD_LETTER_MAX_BYTES`).
    pub dead_letter_bytes: u64,
}

/// `POISON_POLICY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoisonPolicy {
    /// Stop and wait for a person.
    Halt,
    /// Write it to the dead-letter file and go on.
    DeadLetter,
}

/// The HTTP side (`MONITORING_*`).
#[derive(Clone, Debug)]
pub struct MonitoringConfig {
    /// Where to listen (`MONITORING_ADDRESS`, `MONITORING_PORT`).
    pub listen: SocketAddr,
    /// Whether a collector that stands by counts as ready (`READY_WHEN_STANDBY`).
    pub ready_when_standby: bool,
    /// Age of the oldest unacknowledged record from which the collector is not ready
    /// (`READY_MAX_UNACKED_SECONDS`).
    pub max_unacked: Duration,
    /// Time until needed binlog is purged below which there is a warning (`PURGE_WARN_SECONDS`).
    pub purge_warn: Duration,
    /// Silence of an internal loop from which the collector is not alive (`LIVENESS_STALL_SECONDS`).
    pub liveness_stall: Duration,
}

/// Log output (`LOG_*`).
#[derive(Clone, Debug)]
pub struct LoggingConfig {
    /// `LOG_LEVEL`: of our own messages; libraries stay at WARN.
    pub level: tracing::Level,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `LOG_DIR`: daily files beside standard output; none if unset.
    pub dir: Option<PathBuf>,
}

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// A value that is never printed, and where it can be read again when it is refused.
#[derive(Clone, Default)]
pub struct Secret {
    value: String,
    /// The file that `<NAME>_FILE` named.
    file: Option<PathBuf>,
}

impl Secret {
    /// A secret given as a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            file: None,
        }
    }

    /// A secret whose value is in a file; a newline at its end is not part of it.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8, or is larger than any secret.
    pub fn from_file(path: &Path) -> std::io::Result<Self> {
        /// A security token has about a kilobyte; a path that leads to a device must not be read for ever.
        const LARGEST: u64 = 64 * 1024;
        let mut value = String::new();
        let read = std::fs::File::open(path)?
            .take(LARGEST + 1)
            .read_to_string(&mut value)?;
        if u64::try_from(read).is_ok_and(|read| read > LARGEST) {
            return Err(std::io::Error::other("it is larger than 64 KiB"));
        }
        let text = value.strip_suffix('\n').unwrap_or(&value);
        Ok(Self {
            value: text.strip_suffix('\r').unwrap_or(text).to_owned(),
            file: Some(path.to_owned()),
        })
    }

    /// The secret as its file has it now, for when it was refused; the same value if there is no file.
    ///
    /// # Errors
    /// The file can no longer be read.
    pub fn read_again(&self) -> std::io::Result<Self> {
        match &self.file {
            Some(path) => Self::from_file(path),
            None => Ok(self.clone()),
        }
    }

    /// The value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

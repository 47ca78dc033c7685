//! What the server must be and allow before the binlog is followed, and what is wrong where it is not.
//!
//! [`inspect`] asks (`observe`), then judges what it saw (`judge`, pure): each finding is a stable code, what was
//! seen, and what to do. Nothing that a server claims about itself is trusted where a question can settle it:
//! an OceanBase without a binlog service says `log_bin = ON`. Read only: no statement here changes the server.
//! It does not look for gaps against a checkpoint; whoever holds one compares it with [`ServerFacts`].

pub mod certificate;
mod columns;
pub mod dump;
mod grants;
mod judge;
mod observe;
mod tables;
pub mod tls;

use std::collections::BTreeSet;

use mysql_async::Conn;
use serde::Serialize;

use crate::change::TableId;
use crate::config::DatabaseConfig;
use crate::position::{FilePosition, Flavour, GtidSet, ServerIdentity};
use crate::retry::{Disposition, Failure};
pub use columns::column_rules;

/// Code of a binlog instance of OceanBase that has no file yet.
pub const NOT_STARTED: &str = "binlog_not_started";

/// Of a failure that may pass.
const MAY_PASS: &str = "it may pass; check the address, and whether the server is up";

/// The kind of server at the other end, by what it calls itself.
///
/// # Errors
/// As [`inspect`].
pub async fn flavour(conn: &mut Conn, config: &DatabaseConfig) -> Result<Flavour, Failure> {
    observe::kind(conn, config).await
}

/// Of a record that is refused for what it is.
const BY_ITS_CONTENT: &str = "read what the service says of the record, and correct the topic's definition";

/// What a server is and where its binlog stands. Fields are empty where a fatal finding says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// Whose history its positions belong to.
    pub identity: ServerIdentity,
    /// `VERSION()`.
    pub version: String,
    /// `@@version_comment`.
    pub version_comment: String,
    /// Whether positions can be GTID sets. False on MariaDB, whose GTIDs have another form.
    pub gtid: bool,
    /// Every transaction that the server has executed.
    pub gtid_executed: Option<GtidSet>,
    /// Those of them that its binlog no longer holds.
    pub gtid_purged: Option<GtidSet>,
    /// The end of the binlog.
    pub head: FilePosition,
    /// Its beginning.
    pub oldest: FilePosition,
    /// The binlog's files in order, with their sizes in bytes.
    pub binlogs: Vec<(String, u64)>,
    /// How long files are kept, in seconds; `None` where unknown or unlimited.
    pub expire_seconds: Option<u64>,
    /// How many bytes of them are kept; `None` where unknown or unlimited.
    pub expire_bytes: Option<u64>,
    /// How long the server waits for a reader that takes nothing before it ends the connection, in seconds; `None`
    /// where unknown.
    pub write_timeout_seconds: Option<u64>,
    /// How many tables the configuration captures now.
    pub captured_tables: usize,
    /// Captured tables, as `db.table`, that are left out for a column that cannot be relayed
    /// (`TYPE_POLICY=skip_table`).
    pub left_out: BTreeSet<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The binlog cannot be followed, or not without losing rows.
    Fatal,
    /// It can, with a risk that somebody should know of.
    Warning,
    /// As it should be.
    Info,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, in snake_case; the `reason_code` where the finding is fatal.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What the server said.
    pub seen: String,
    /// What to do, as an imperative sentence; empty for [`Severity::Info`]. What is to be typed as it stands, a statement or
    /// `NAME=value`, is between backticks.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Finding {
    /// That something is as it should be.
    pub fn info(code: &'static str, seen: impl Into<String>) -> Self {
        Self::new(code, Severity::Info, seen, "")
    }

    /// That something may go wrong.
    pub fn warning(code: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, seen, remedy)
    }

    /// That something keeps the collector from its work.
    pub fn fatal(code: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(code, Severity::Fatal, seen, remedy)
    }

    fn new(
        code: &'static str,
        severity: Severity,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity,
            seen: seen.into(),
            remedy: remedy.into(),
        }
    }
}

impl From<Failure> for Finding {
    /// As a fatal one: what was to be proven was not.
    fn from(failure: Failure) -> Self {
        let remedy = match failure.disposition {
            Disposition::Halt { remedy } => remedy.into_owned(),
            Disposition::Retry { .. } | Disposition::Reroute => MAY_PASS.to_owned(),
            Disposition::Poison(_) => BY_ITS_CONTENT.to_owned(),
        };
        Self::fatal(failure.reason.code, failure.reason.message, remedy)
    }
}

/// Asks the server everything that decides whether its binlog can be followed.
///
/// Each of the statements is bounded by `config.connect_timeout`. Misconfigurations are findings.
///
/// # Errors
/// Only what kept the questions from being answered: the network, a timeout, a binlog service that is down.
pub async fn inspect(
    conn: &mut Conn,
    config: &DatabaseConfig,
) -> Result<(ServerFacts, Vec<Finding>), Failure> {
    let seen = observe::observe(conn, config).await?;
    Ok((judge::facts(&seen), judge::findings(&seen, config.server_id)))
}

/// The captured tables that there are now.
///
/// # Errors
/// As [`inspect`].
pub async fn captured_tables(conn: &mut Conn, config: &DatabaseConfig) -> Result<Vec<TableId>, Failure> {
    Ok(tables::captured(conn, config).await?.tables)
}

/// Whether the findings let the collector go on.
///
/// # Errors
/// The first fatal finding that only a person can put right, as a halt; others are named in its message. If there is none but
/// a binlog that has not begun: that one, to be tried again.
pub fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    let fatal = findings.iter().filter(|f| f.severity == Severity::Fatal);
    let (passing, lasting): (Vec<_>, Vec<_>) = fatal.partition(|f| f.code == NOT_STARTED);
    let mut fatal = lasting.into_iter().chain(passing);
    let Some(first) = fatal.next() else { return Ok(()) };
    let more: Vec<&str> = fatal.map(|f| f.code).collect();
    let message = if more.is_empty() {
        first.seen.clone()
    } else {
        format!("{}; also: {}", first.seen, more.join(", "))
    };
    if first.code == NOT_STARTED {
        return Err(Failure::retry(first.code, message));
    }
    Err(Failure::halt(first.code, message, first.remedy.clone()))
}

#[cfg(test)]
mod tests;

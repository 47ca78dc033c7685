//! What the server must be and allow before the binlog is followed, and what is wrong where it is not.
//!
//! [`inspect`] asks (`observe`), then judges what it saw (`judge`, pure): each finding is a stable code, what was
//! seen, and what to do. Nothing that a server claims about itself is trusted where a question can settle it:
//! an OceanBase without a binlog service says `log_bin = ON`. Read only: no statement here changes the server.
//! It does not look for gaps against a checkpoint; whoever holds one compares it with [`ServerFacts`].

mod columns;
mod grants;
mod judge;
mod observe;
mod tables;

use std::collections::BTreeSet;
use std::fmt;

use mysql_async::Conn;
use serde::Serialize;

use crate::change::TableId;
use crate::config::DatabaseConfig;
use crate::position::{FilePosition, Flavour, GtidSet, ServerIdentity};
use crate::retry::Failure;
pub use columns::column_rules;

/// The kind of server at the other end, by what it calls itself.
///
/// # Errors
/// As [`inspect`].
pub async fn flavour(conn: &mut Conn, config: &DatabaseConfig) -> Result<Flavour, Failure> {
    observe::kind(conn, config).await
}

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
    /// What to do, as an imperative sentence; empty for [`Severity::Info`].
    pub remedy: String,
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
/// The first fatal finding, as a halt; others are counted in its message.
pub fn verdict(findings: &[Finding]) -> Result<(), Failure> {
    let mut fatal = findings.iter().filter(|f| f.severity == Severity::Fatal);
    let Some(first) = fatal.next() else { return Ok(()) };
    let more: Vec<&str> = fatal.map(|f| f.code).collect();
    let message = if more.is_empty() {
        first.seen.clone()
    } else {
        format!("{}; also: {}", first.seen, more.join(", "))
    };
    Err(Failure::halt(first.code, message, first.remedy.clone()))
}

/// Findings as text for a person: the worst first, one line each, the remedy below it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a>(pub &'a [Finding]);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut findings: Vec<&Finding> = self.0.iter().collect();
        findings.sort_by_key(|finding| finding.severity);
        let width = findings
            .iter()
            .map(|finding| finding.code.len())
            .max()
            .unwrap_or(0);
        for finding in findings {
            let word = match finding.severity {
                Severity::Fatal => "FATAL",
                Severity::Warning => "WARN",
                Severity::Info => "ok",
            };
            writeln!(f, "{word:<5}  {:<width$}  {}", finding.code, finding.seen)?;
            if !finding.remedy.is_empty() {
                writeln!(f, "{:<5}  {:<width$}  → {}", "", "", finding.remedy)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Asking: what a server answers, without an opinion on it.

use std::collections::BTreeMap;

use mysql_async::{Conn, Row};

use super::tables::{self, Captured};
use crate::config::DatabaseConfig;
use crate::position::Flavour;
use crate::retry::{Failure, Reason};
use crate::source::connection::{Answer, cell, close, connect, one_text, query, variable};
use crate::source::refusal::{DUMP_REFUSED, MISSING_PRIVILEGES, STATEMENT_UNSUPPORTED, UNKNOWN_VARIABLE};

/// Read as `SELECT @@name`: the form that an OceanBase proxy carries to the binlog instance.
const SELECTED: [&str; 6] = [
    "server_uuid",
    "server_id",
    "gtid_mode",
    "gtid_executed",
    "gtid_purged",
    "net_write_timeout",
];

/// Read as SHOW VARIABLES: a variable that the server does not have is no row, not an error.
const SHOWN: [&str; 18] = [
    "log_bin",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "binlog_row_value_options",
    "log_row_value_options",
    "binlog_transaction_compression",
    "log_bin_compress",
    "binlog_checksum",
    "binlog_expire_logs_seconds",
    "binlog_expire_logs_auto_purge",
    "expire_logs_days",
    "binlog_expire_logs_size",
    "max_binlog_total_size",
    "log_replica_updates",
    "log_slave_updates",
    "time_zone",
    "system_time_zone",
];

/// What a binlog instance says of how long it keeps its files.
const KEPT: [&str; 2] = ["binlog_expire_logs_seconds", "binlog_expire_logs_size"];

/// What a statement that lists something was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Listing<T> {
    /// A result set.
    Rows(Vec<T>),
    /// An OK packet.
    NoResultSet,
    /// An error: the statement is unknown there, or not allowed.
    Refused(Reason),
}

impl<T> Listing<T> {
    pub(super) fn rows(&self) -> &[T] {
        match self {
            Self::Rows(rows) => rows,
            Self::NoResultSet | Self::Refused(_) => &[],
        }
    }
}

/// The row of SHOW MASTER STATUS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BinlogStatus {
    pub(super) file: String,
    pub(super) pos: u64,
    /// Databases whose changes are logged, comma separated; empty means all.
    pub(super) do_db: String,
    /// Databases whose changes are not.
    pub(super) ignore_db: String,
    /// The executed set; empty where the server has none or hides it.
    pub(super) executed: String,
}

/// Everything that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observation {
    pub(super) flavour: Flavour,
    /// Whether tables, versions and most variables are those of another server than the binlog's (`DATABASE_OBSERVER_*`).
    pub(super) has_observer: bool,
    /// `VERSION()`; `None` only at a binlog instance, which knows no functions.
    pub(super) version: Option<String>,
    pub(super) version_comment: String,
    /// System variables, as far as the server has them.
    pub(super) variables: BTreeMap<&'static str, String>,
    pub(super) status: Listing<BinlogStatus>,
    pub(super) binlogs: Listing<(String, u64)>,
    /// `CURRENT_USER()`, the account that the privileges are those of; only asked of MySQL and MariaDB.
    pub(super) account: String,
    /// Lines of SHOW GRANTS; only asked of MySQL and MariaDB.
    pub(super) grants: Listing<String>,
    /// Ids and hosts of the replicas that are connected now.
    pub(super) replicas: Listing<(u64, String)>,
    /// A row for each server that the server itself follows.
    pub(super) sources: Listing<()>,
    pub(super) captured: Captured,
}

impl Observation {
    /// A variable, or nothing.
    pub(super) fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// A variable compared with one of MySQL's spellings of on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        matches!(
            self.variable(name).to_ascii_uppercase().as_str(),
            "ON" | "1" | "TRUE"
        )
    }
}

/// Looks at the server of the binlog, through `conn`, and at the observer where that is another one.
pub(super) async fn observe(conn: &mut Conn, config: &DatabaseConfig) -> Result<Observation, Failure> {
    let mut observer = match &config.observer {
        Some(_) => Some(connect(&config.of_tables()).await?),
        None => None,
    };
    let seen = observe_both(conn, observer.as_mut(), config).await;
    if let Some(observer) = observer {
        close(observer).await;
    }
    seen
}

async fn observe_both(
    conn: &mut Conn,
    mut observer: Option<&mut Conn>,
    config: &DatabaseConfig,
) -> Result<Observation, Failure> {
    let has_observer = observer.is_some();
    let (version, version_comment) = names(observer.as_deref_mut().unwrap_or(conn), config).await?;
    let flavour = flavour(version.as_deref(), &version_comment);
    let mut variables = selected(conn, config, &SELECTED).await?;
    variables.extend(shown(observer.as_deref_mut().unwrap_or(conn), config).await?);
    if has_observer {
        // Of its own files the instance knows more than the observer.
        variables.extend(selected(conn, config, &KEPT).await?);
    }

    let mut status = list(conn, config, "SHOW MASTER STATUS", status_row).await?;
    // MySQL from 8.4 on knows the statement by its new name only; a missing privilege needs no second try.
    let unknown = matches!(&status, Listing::Refused(reason) if reason.code == STATEMENT_UNSUPPORTED);
    if flavour == Flavour::MySql && unknown {
        status = list(conn, config, "SHOW BINARY LOG STATUS", status_row).await?;
    }
    let binlogs = list(conn, config, "SHOW BINARY LOGS", |row| {
        Some((cell(row, 0)?, number(cell(row, 1))))
    })
    .await?;
    let mut seen = Observation {
        flavour,
        has_observer,
        version,
        version_comment,
        variables,
        status,
        binlogs,
        account: String::new(),
        grants: Listing::NoResultSet,
        replicas: Listing::NoResultSet,
        sources: Listing::NoResultSet,
        captured: Captured::default(),
    };
    // A binlog instance has no `information_schema`, and what it makes of the question is undefined.
    if seen.version.is_some() {
        seen.captured = tables::captured(observer.unwrap_or(conn), config).await?;
    }
    match flavour {
        // No privilege is documented or checked there, and replication is not configured in its grammar.
        Flavour::OceanBase => {}
        Flavour::MySql | Flavour::MariaDb => replication(conn, config, &mut seen).await?,
    }
    Ok(seen)
}

/// The kind of server at the other end.
pub(super) async fn kind(conn: &mut Conn, config: &DatabaseConfig) -> Result<Flavour, Failure> {
    let (version, comment) = names(conn, config).await?;
    Ok(flavour(version.as_deref(), &comment))
}

/// What the server calls itself: its version, and the comment to it.
async fn names(conn: &mut Conn, config: &DatabaseConfig) -> Result<(Option<String>, String), Failure> {
    let version = version(conn, config).await?;
    let comment = variable(conn, "version_comment", config.connect_timeout).await?;
    Ok((version, comment.unwrap_or_default()))
}

/// `VERSION()`; `None` where functions are unknown.
async fn version(conn: &mut Conn, config: &DatabaseConfig) -> Result<Option<String>, Failure> {
    let unknown = [UNKNOWN_VARIABLE, STATEMENT_UNSUPPORTED, DUMP_REFUSED];
    match one_text(conn, "SELECT VERSION()", config.connect_timeout).await {
        Err(failure) if unknown.contains(&failure.reason.code) => Ok(None),
        answer => answer,
    }
}

/// What only a server with replication of its own can say.
async fn replication(
    conn: &mut Conn,
    config: &DatabaseConfig,
    seen: &mut Observation,
) -> Result<(), Failure> {
    let account = one_text(conn, "SELECT CURRENT_USER()", config.connect_timeout).await?;
    seen.account = account.unwrap_or_default();
    seen.grants = list(conn, config, "SHOW GRANTS", |row| cell(row, 0)).await?;
    for sql in ["SHOW REPLICAS", "SHOW SLAVE HOSTS"] {
        let replicas = list(conn, config, sql, |row| {
            Some((number(cell(row, 0)), cell(row, 1).unwrap_or_default()))
        })
        .await?;
        seen.replicas = replicas;
        if matches!(seen.replicas, Listing::Rows(_)) {
            break;
        }
    }
    for sql in ["SHOW REPLICA STATUS", "SHOW SLAVE STATUS"] {
        seen.sources = list(conn, config, sql, |_| Some(())).await?;
        if matches!(seen.sources, Listing::Rows(_)) {
            break;
        }
    }
    Ok(())
}

async fn selected(
    conn: &mut Conn,
    config: &DatabaseConfig,
    names: &[&'static str],
) -> Result<BTreeMap<&'static str, String>, Failure> {
    let mut variables = BTreeMap::new();
    for name in names {
        if let Some(value) = variable(conn, name, config.connect_timeout).await? {
            variables.insert(*name, value);
        }
    }
    Ok(variables)
}

async fn shown(conn: &mut Conn, config: &DatabaseConfig) -> Result<BTreeMap<&'static str, String>, Failure> {
    let mut variables = BTreeMap::new();
    for name in SHOWN {
        let sql = format!("SHOW GLOBAL VARIABLES LIKE '{name}'");
        let rows = list(conn, config, &sql, |row| Some((cell(row, 0)?, cell(row, 1)?))).await?;
        // `_` in the pattern matches any character: only the exact name counts.
        let value = rows
            .rows()
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name));
        if let Some((_, value)) = value {
            variables.insert(name, value.clone());
        }
    }
    Ok(variables)
}

/// Asks for a list. A server that refuses the statement itself has answered; anything else is a failure.
async fn list<T>(
    conn: &mut Conn,
    config: &DatabaseConfig,
    sql: &str,
    read: impl Fn(&Row) -> Option<T>,
) -> Result<Listing<T>, Failure> {
    match query(conn, sql, config.connect_timeout).await {
        Ok(Answer::Rows(rows)) => Ok(Listing::Rows(rows.iter().filter_map(read).collect())),
        Ok(Answer::NoResultSet) => Ok(Listing::NoResultSet),
        Err(failure) if is_answer(failure.reason.code) => Ok(Listing::Refused(failure.reason)),
        Err(failure) => Err(failure),
    }
}

/// Whether a refusal says something about the statement and nothing about the connection.
fn is_answer(code: &str) -> bool {
    code == STATEMENT_UNSUPPORTED || code == "binlog_disabled" || MISSING_PRIVILEGES.contains(&code)
}

fn status_row(row: &Row) -> Option<BinlogStatus> {
    Some(BinlogStatus {
        file: cell(row, 0)?,
        pos: number(cell(row, 1)),
        do_db: cell(row, 2).unwrap_or_default(),
        ignore_db: cell(row, 3).unwrap_or_default(),
        executed: cell(row, 4).unwrap_or_default(),
    })
}

/// A number as text; zero where it is none, which no file size and no server id is.
fn number(text: Option<String>) -> u64 {
    text.and_then(|t| t.parse().ok()).unwrap_or(0)
}

/// The kind of server, from what it calls itself.
pub(super) fn flavour(version: Option<&str>, comment: &str) -> Flavour {
    let Some(version) = version else {
        return Flavour::OceanBase;
    };
    let says = |word: &str| {
        version.to_ascii_lowercase().contains(word) || comment.to_ascii_lowercase().contains(word)
    };
    if says("oceanbase") || version.ends_with("-obs") {
        Flavour::OceanBase
    } else if says("mariadb") {
        Flavour::MariaDb
    } else {
        Flavour::MySql
    }
}

//! Reads a table's definition from the server.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::Conn;

use super::derive::charset_of_collation;
use super::{ColumnDefinition, TableDefinition, column_type};
use crate::change::TableId;
use crate::config::DatabaseConfig;
use crate::retry::Failure;
use crate::source::connection::{self, Answer, cell, one_text, query};
use crate::source::refusal;

/// What a connection is told before it is asked for definitions: labels arrive as UTF-8, a backslash is one.
const PREPARATIONS: [&str; 2] = ["SET NAMES utf8mb4", "SET SESSION sql_mode = ''"];

/// A connection to the server that knows the tables, prepared for questions about them.
///
/// # Errors
/// As [`connection::connect`] and [`connection::query`].
pub async fn connect(config: &DatabaseConfig) -> Result<Conn, Failure> {
    let mut conn = connection::connect(&config.of_tables()).await?;
    prepare(&mut conn, config.connect_timeout).await?;
    Ok(conn)
}

/// Prepares a connection for questions about tables.
///
/// # Errors
/// As [`connection::query`].
pub async fn prepare(conn: &mut Conn, timeout: Duration) -> Result<(), Failure> {
    for statement in PREPARATIONS {
        query(conn, statement, timeout).await?;
    }
    Ok(())
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A table's definition as it is now, and the server's clock behind it in seconds since 1970; no definition if there
/// is no such table, or none that the account may see.
///
/// # Errors
/// What the server or the network refused.
pub async fn load(
    conn: &mut Conn,
    id: &TableId,
    timeout: Duration,
) -> Result<(Option<TableDefinition>, u64), Failure> {
    let definition = definition(conn, id, timeout).await?;
    // Asked last: what is in the definition was executed by then.
    let clock = one_text(conn, "SELECT UNIX_TIMESTAMP()", timeout).await?;
    let clock = clock.and_then(|text| text.split('.').next()?.parse().ok());
    // Without a clock any statement may have been executed already.
    Ok((definition, clock.unwrap_or(u64::MAX)))
}

async fn definition(
    conn: &mut Conn,
    id: &TableId,
    timeout: Duration,
) -> Result<Option<TableDefinition>, Failure> {
    let place = format!(
        "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(&id.db),
        literal(&id.table)
    );
    let columns = rows_of(
        conn,
        id,
        &format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, VERSION() \
             FROM information_schema.COLUMNS WHERE {place} ORDER BY ORDINAL_POSITION"
        ),
        timeout,
    )
    .await?;
    if columns.is_empty() {
        return Ok(None);
    }
    let key = rows_of(
        conn,
        id,
        &format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE {place} AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"
        ),
        timeout,
    )
    .await?;
    let collation = rows_of(
        conn,
        id,
        &format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_COLLATION FROM information_schema.TABLES WHERE {place}"
        ),
        timeout,
    )
    .await?;
    let collation = collation.into_iter().flatten().flatten().next();
    let columns = columns.into_iter().map(|row| {
        let mut cells = row.into_iter();
        let mut next = || cells.next().flatten();
        match (next(), next(), next(), next()) {
            (Some(name), Some(shown), charset, version) => Ok(ColumnDefinition {
                name,
                column_type: spelt(shown, version.as_deref()),
                charset,
            }),
            _ => Err(unreadable(id)),
        }
    });
    let primary_key = key
        .into_iter()
        .map(|row| row.into_iter().next().flatten().ok_or_else(|| unreadable(id)));
    Ok(Some(TableDefinition {
        columns: columns.collect::<Result<_, _>>()?,
        primary_key: primary_key.collect::<Result<_, _>>()?,
        charset: collation.and_then(|collation| charset_of_collation(&collation)),
    }))
}

/// A column's type as a server of this version shows it, in one spelling for all servers.
pub fn spelt(shown: String, version: Option<&str>) -> String {
    let is_oceanbase = version.is_some_and(|version| version.to_ascii_lowercase().contains("oceanbase"));
    if is_oceanbase {
        column_type::shown_by_oceanbase(&shown)
    } else {
        shown
    }
}

/// The character set that each database gives to its new tables, by its name.
///
/// # Errors
/// What the server or the network refused.
pub async fn database_charsets(
    conn: &mut Conn,
    timeout: Duration,
) -> Result<BTreeMap<String, String>, Failure> {
    let sql = "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA";
    let rows = match query(conn, sql, timeout).await? {
        Answer::Rows(rows) => rows,
        // Definitions are then asked for one by one, and refused there.
        Answer::NoResultSet => Vec::new(),
    };
    let pairs = rows.iter().filter_map(|row| Some((cell(row, 0)?, cell(row, 1)?)));
    Ok(pairs.collect())
}

fn unreadable(id: &TableId) -> Failure {
    Failure::retry(
        "schema_unreadable",
        format!("information_schema has no name or type for a column of {id}"),
    )
}

/// The answer's rows without their first two columns, which name the table. Where names compare without case,
/// a server answers for its namesakes as well; only the table itself counts.
async fn rows_of(
    conn: &mut Conn,
    id: &TableId,
    sql: &str,
    timeout: Duration,
) -> Result<Vec<Vec<Option<String>>>, Failure> {
    let rows = match query(conn, sql, timeout).await? {
        Answer::Rows(rows) => rows,
        Answer::NoResultSet => {
            return Err(Failure::halt(
                refusal::STATEMENT_UNSUPPORTED,
                "the server does not answer questions about information_schema",
                "connect through the OceanBase proxy (ODP), or name an observer beside the binlog instance (DATABASE_OBSERVER_HOST)",
            ));
        }
    };
    let is_it = |name: Option<String>, wanted: &str| name.is_some_and(|name| name == wanted);
    Ok(rows
        .into_iter()
        .filter(|row| is_it(cell(row, 0), &id.db) && is_it(cell(row, 1), &id.table))
        .map(|row| (2..row.len()).map(|index| cell(&row, index)).collect())
        .collect())
}

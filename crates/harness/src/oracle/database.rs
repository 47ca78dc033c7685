//! The rows that are in the database at the end, read by a plain `SELECT`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use crate::workload::{CommitLog, Key, Table};

/// All rows of the workload's tables.
#[derive(Clone, Debug, Default)]
pub struct DatabaseRows {
    versions: BTreeMap<Key, u64>,
    /// Column values in table order, in the server's text form.
    values: BTreeMap<Key, Vec<Option<String>>>,
    /// Rows that belong to no key.
    strange: Vec<String>,
}

impl DatabaseRows {
    /// Reads them; `schema` is the database that the workload wrote to.
    pub async fn read(conn: &mut Conn, schema: &str) -> Result<DatabaseRows> {
        let mut rows = DatabaseRows::default();
        conn.query_drop("SET NAMES utf8mb4").await?;
        for table in Table::ALL {
            let name = table.name();
            let found: Vec<Row> = conn
                .query(format!("SELECT * FROM `{schema}`.`{name}`"))
                .await
                .with_context(|| format!("reading {name}"))?;
            for row in found {
                rows.add(table, row.unwrap());
            }
        }
        Ok(rows)
    }

    /// Adds a row: all its values in table order, in the server's text form.
    pub fn insert(&mut self, key: Key, version: u64, values: Vec<Option<String>>) {
        self.versions.insert(key, version);
        self.values.insert(key, values);
    }

    fn add(&mut self, table: Table, values: Vec<Value>) {
        let values: Vec<Option<String>> = values.into_iter().map(text).collect();
        let width = table.key_columns().len();
        let key: Vec<String> = values.iter().take(width).flatten().cloned().collect();
        let version = values
            .get(width)
            .cloned()
            .flatten()
            .and_then(|version| version.parse().ok());
        match (Key::parse(table, &key), version) {
            (Some(key), Some(version)) => self.insert(key, version, values),
            _ => self
                .strange
                .push(format!("{} has a row {key:?} that nobody wrote", table.name())),
        }
    }

    /// The version of every row, by key.
    pub fn versions(&self) -> &BTreeMap<Key, u64> {
        &self.versions
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.versions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// Where the rows are not what the commit log says, in words.
    pub fn differences(&self, log: &CommitLog) -> Vec<String> {
        let mut problems = self.strange.clone();
        for table in Table::ALL {
            let expected = log.rows(table);
            for (key, version) in &expected {
                let Some(found) = self.values.get(key) else {
                    problems.push(format!("{key:?} version {version} is missing"));
                    continue;
                };
                for ((column, cell), value) in log.row(*key, *version).iter().zip(found) {
                    if !cell.is_sql(value.as_deref()) {
                        problems.push(format!(
                            "{key:?} version {version}: {column} is {value:?}, was {cell:?}"
                        ));
                    }
                }
            }
            let known = self.versions.keys().filter(|key| key.table == table);
            problems.extend(
                known
                    .filter(|key| !expected.contains_key(key))
                    .map(|key| format!("{key:?} is too many")),
            );
        }
        problems
    }
}

/// The text protocol sends every value as text.
fn text(value: Value) -> Option<String> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    }
}

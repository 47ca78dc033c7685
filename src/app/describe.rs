//! `cdc-collector schema`: the captured tables as whoever reads their records declares them. Relays nothing.

use crate::change::{Charset, ColumnKind};
use crate::config::Config;
use crate::config::filter::columns::{ColumnRules, Treatment};
use crate::encode::{FlinkTable, Generated};
use crate::retry::{Disposition, Failure};
use crate::source::captured::{self, DeclaredTable};

/// What the tables are described for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A Flink SQL CREATE TABLE each, over the records of a BLOB topic.
    Flink,
    /// The record schema of a TUPLE topic each.
    DataHub,
}

/// A description of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Statements, or JSON.
    pub text: String,
    /// What it does not show: one sentence each.
    pub notes: Vec<String>,
}

/// Describes the captured tables as they are now, or the one that is named (`db.table`).
///
/// # Errors
/// The database cannot be asked, or no captured table has that name.
pub async fn describe(
    config: Config,
    language: Language,
    table: Option<&str>,
) -> Result<Description, Failure> {
    let mut tables = Vec::new();
    captured::for_each(&config.database, |found| {
        if table.is_none_or(|name| found.id.to_string() == name) {
            tables.push(shown(found, &config.records.columns));
        }
    })
    .await?;
    if tables.is_empty() {
        let what = table.map_or("no table is captured".to_owned(), |name| {
            format!("{name} is no captured table")
        });
        return Err(Failure::halt(
            "table_not_captured",
            what,
            "name it as db.table, and capture it with DATABASE_SCHEMA and DATABASE_TABLES",
        ));
    }
    Ok(match language {
        Language::Flink => flink(&config, &tables),
        Language::DataHub => datahub(&config, &tables, table.is_some()),
    })
}

/// The table without the columns that are left out; a mask makes text of any other.
fn shown(table: DeclaredTable, rules: &ColumnRules) -> DeclaredTable {
    let DeclaredTable {
        id,
        columns,
        primary_key,
    } = table;
    let key: Vec<String> = primary_key
        .iter()
        .filter_map(|ordinal| columns.get(*ordinal))
        .map(|(name, _)| name.clone())
        .collect();
    let columns: Vec<(String, ColumnKind)> = columns
        .into_iter()
        .filter_map(|(name, kind)| match rules.of(&id.db, &id.table, &name) {
            None => Some((name, kind)),
            Some(Treatment::Exclude) => None,
            Some(Treatment::Constant(_) | Treatment::Hmac) => {
                let charset = Charset::Utf8;
                Some((name, ColumnKind::Text { charset }))
            }
        })
        .collect();
    let place = |name: &String| columns.iter().position(|(column, _)| column == name);
    DeclaredTable {
        primary_key: key.iter().filter_map(place).collect(),
        id,
        columns,
    }
}

fn flink(config: &Config, tables: &[DeclaredTable]) -> Description {
    let topic = format!("{}.{}", config.datahub.project, config.datahub.topic);
    let one_db = tables.windows(2).all(|pair| match pair {
        [a, b] => a.id.db == b.id.db,
        _ => true,
    });
    let statements: Vec<String> = tables
        .iter()
        .map(|table| {
            let name = if one_db {
                table.id.table.clone()
            } else {
                format!("{}_{}", table.id.db, table.id.table)
            };
            FlinkTable {
                name: &name,
                id: &table.id,
                columns: &table.kinds(),
                primary_key: &table.primary_key,
                envelope: config.records.envelope,
                topic: &topic,
            }
            .statement()
        })
        .collect();
    Description {
        text: statements.join("\n"),
        notes: Vec::new(),
    }
}

/// The schema alone where one table was asked for; else an object of them by table.
fn datahub(config: &Config, tables: &[DeclaredTable], alone: bool) -> Description {
    let mut notes = Vec::new();
    let mut schemas = serde_json::Map::new();
    for table in tables {
        let generated = Generated::of(config.records.tuple_names, &table.kinds(), &table.primary_key);
        notes.extend(generated.notes.iter().map(|note| format!("{}: {note}", table.id)));
        schemas.insert(table.id.to_string(), generated.record_schema());
    }
    let text = match schemas.values().next() {
        Some(only) if alone => format!("{only:#}\n"),
        _ => format!("{:#}\n", serde_json::Value::Object(schemas)),
    };
    Description { text, notes }
}

/// A failure as one line for a person.
pub fn sentence(failure: &Failure) -> String {
    let (code, message) = (failure.reason.code, &failure.reason.message);
    match &failure.disposition {
        Disposition::Halt { remedy } => format!("{code}: {message} → {remedy}"),
        Disposition::Retry { .. } | Disposition::Reroute | Disposition::Poison(_) => {
            format!("{code}: {message}")
        }
    }
}

//! Columns that are left out or masked: whether each entry means a column, and whether one of a primary key is among
//! them. Asked only where there are entries; tables that come later are judged when their first row does.

use std::collections::BTreeSet;

use mysql_async::Conn;

use super::tables::{ask, quoted};
use super::{Finding, Severity};
use crate::change::TableId;
use crate::config::filter::columns::ColumnRules;
use crate::config::{DatabaseConfig, RecordsConfig};
use crate::retry::Failure;
use crate::source::connection::cell;

/// One column of a captured table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    table: TableId,
    name: String,
    /// Whether it is part of the primary key.
    is_key: bool,
}

/// Most columns that a finding names.
const NAMED: usize = 5;

/// Looks at the captured tables as they are now.
///
/// # Errors
/// Only what kept the questions from being answered.
pub async fn column_rules(
    conn: &mut Conn,
    database: &DatabaseConfig,
    records: &RecordsConfig,
) -> Result<Vec<Finding>, Failure> {
    let mut columns = Vec::new();
    if records.columns.entries().next().is_none() {
        return Ok(Vec::new());
    }
    for row in ask(
        conn,
        database,
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
    )
    .await?
    {
        let Some(db) = cell(&row, 0).filter(|db| database.tables.touches(db)) else {
            continue;
        };
        let of_schema = format!("WHERE TABLE_SCHEMA = {}", quoted(&db));
        let keys = format!(
            "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.STATISTICS {of_schema} AND INDEX_NAME = 'PRIMARY'"
        );
        let keys: BTreeSet<_> = (ask(conn, database, &keys).await?.iter())
            .map(|row| (cell(row, 0), cell(row, 1)))
            .collect();
        let all = format!("SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS {of_schema}");
        for row in ask(conn, database, &all).await? {
            let (Some(table), Some(name)) = (cell(&row, 0), cell(&row, 1)) else {
                continue;
            };
            if database.tables.captures(&db, &table) {
                columns.push(Column {
                    is_key: keys.contains(&(Some(table.clone()), Some(name.clone()))),
                    table: TableId {
                        db: db.clone(),
                        table,
                    },
                    name,
                });
            }
        }
    }
    Ok(judge(&records.columns, records.rules_on_keys, &columns))
}

fn judge(rules: &ColumnRules, on_keys: bool, columns: &[Column]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let keys: Vec<String> = columns
        .iter()
        .filter(|column| column.is_key && !on_keys)
        .filter(|column| {
            let TableId { db, table } = &column.table;
            rules.of(db, table, &column.name).is_some()
        })
        .map(|column| format!("{}.{}", column.table, column.name))
        .collect();
    if !keys.is_empty() {
        let more = match keys.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named: Vec<&str> = keys.iter().take(NAMED).map(String::as_str).collect();
        findings.push(Finding {
            code: "column_rule_on_key",
            severity: Severity::Fatal,
            seen: format!(
                "columns that are left out or masked are part of a primary key: {}{more}",
                named.join(", ")
            ),
            remedy: "take them out of COLUMN_EXCLUDE and COLUMN_MASK, or set `COLUMN_RULES_ON_KEYS=true` if readers can do without the key".to_owned(),
        });
    }
    for rule in rules.entries() {
        let covers = |column: &Column| rule.covers(&column.table.db, &column.table.table, &column.name);
        if !columns.iter().any(covers) {
            findings.push(Finding {
                code: "column_rule_idle",
                severity: Severity::Warning,
                seen: format!(
                    "no column of a captured table is meant by {} in COLUMN_EXCLUDE or COLUMN_MASK",
                    rule.written
                ),
                remedy: "correct the names, or take the entry out".to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(table: &str, name: &str, is_key: bool) -> Column {
        Column {
            table: TableId {
                db: "shop".to_owned(),
                table: table.to_owned(),
            },
            name: name.to_owned(),
            is_key,
        }
    }

    #[test]
    fn a_rule_on_a_key_is_fatal_and_one_that_means_nothing_is_told() {
        let columns = [
            column("users", "id", true),
            column("users", "phone", false),
            column("orders", "id", false),
        ];
        let judged = |exclude, mask, on_keys| -> Vec<(&'static str, Severity, String)> {
            let rules = ColumnRules::parse(exclude, mask).unwrap();
            let findings = judge(&rules, on_keys, &columns).into_iter();
            findings.map(|f| (f.code, f.severity, f.seen)).collect()
        };
        assert_eq!(judged("users.phone", "orders.id=hmac", false), []);
        let [(code, severity, seen)] = judged("*.i?", "", false).try_into().unwrap();
        assert_eq!((code, severity), ("column_rule_on_key", Severity::Fatal));
        assert!(seen.ends_with("part of a primary key: shop.users.id"), "{seen}");
        assert_eq!(judged("*.i?", "", true), []);
        let idle = judged(
            "users.fone, crm.*.phone",
            "users.fon*=hmac,users.phone=hmac",
            false,
        );
        assert_eq!(idle.len(), 3, "{idle:?}");
        assert!(
            idle.iter()
                .all(|(code, severity, _)| *code == "column_rule_idle" && *severity == Severity::Warning)
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let columns: Vec<Column> = (0..9).map(|n| column("t", &format!("k{n}"), true)).collect();
        let rules = ColumnRules::parse("t.*", "").unwrap();
        let seen = &judge(&rules, false, &columns)[0].seen;
        assert!(seen.ends_with("shop.t.k4 and 4 more"), "{seen}");
    }
}

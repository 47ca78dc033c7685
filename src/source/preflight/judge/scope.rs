//! Judging what the configuration wants captured: may it be read, is it there, can it be relayed. Pure.

use std::collections::BTreeMap;

use super::super::grants::Privileges;
use super::super::observe::{Listing, Observation};
use super::super::tables::{Captured, Column};
use super::super::{Finding, ServerFacts};
use super::names;
use crate::change::TableId;
use crate::config::TypePolicy;
use crate::position::Flavour;
use crate::source::schema::{LEFT_OUT_REMEDY, TABLE_LEFT_OUT, left_out};

/// The statement that lets the account read the binlog.
pub(super) fn grant_replication(seen: &Observation) -> String {
    let account = account(&seen.account);
    format!("run `GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account}`")
}

/// `CURRENT_USER()` as a statement names it: `name@host` as `'name'@'host'`.
fn account(text: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    match text.rsplit_once('@') {
        Some((name, host)) => format!("{}@{}", quoted(name), quoted(host)),
        None => "the account in DATABASE_USERNAME".to_owned(),
    }
}

/// A name as a statement takes it.
fn identifier(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.to_owned()
    } else {
        format!("`{}`", name.replace('`', "``"))
    }
}

pub(super) fn privileges(seen: &Observation, all: &mut Vec<Finding>) {
    let Listing::Rows(lines) = &seen.grants else {
        return;
    };
    let may = Privileges::parse(lines);
    let role = if may.has_roles {
        " (roles count only while active: SET DEFAULT ROLE)"
    } else {
        ""
    };
    let known = |code: &str, all: &[Finding]| all.iter().any(|f| f.code == code);
    if !may.replication_slave && !known("replication_privilege_missing", all) {
        all.push(Finding::fatal(
            "replication_privilege_missing",
            format!("the account lacks REPLICATION SLAVE{role}"),
            grant_replication(seen),
        ));
    }
    let unreadable: Vec<&str> = seen
        .captured
        .schemas
        .iter()
        .filter(|schema| !may.may_select(schema))
        .map(String::as_str)
        .collect();
    if unreadable.is_empty() && may.replication_slave {
        all.push(Finding::info(
            "privileges",
            "the account may read the binlog, and tables of every captured schema",
        ));
    }
    if !unreadable.is_empty() {
        let account = account(&seen.account);
        let grants: Vec<String> = (unreadable.iter())
            .map(|schema| format!("`GRANT SELECT ON {}.* TO {account}`", identifier(schema)))
            .collect();
        all.push(Finding::fatal(
            "select_privilege_missing",
            format!("the account may not SELECT in {}{role}", names(unreadable)),
            format!("run {}", grants.join(", ")),
        ));
    }
}

pub(super) fn tables(seen: &Observation, facts: &ServerFacts, all: &mut Vec<Finding>) {
    let captured = &seen.captured;
    // A binlog instance has no schemas to show; that it is one has been said.
    if seen.version.is_none() {
        return;
    }
    if captured.schemas.is_empty() || !captured.missing.is_empty() {
        let account = account(&seen.account);
        let remedy = match captured.missing.first() {
            Some(name) => {
                let name = identifier(name);
                format!(
                    "correct DATABASE_SCHEMA (names are case-sensitive), or run `CREATE DATABASE {name}` or \
                     `GRANT SELECT ON {name}.* TO {account}`"
                )
            }
            None => "correct DATABASE_SCHEMA (names are case-sensitive), or GRANT SELECT on the schema to the account"
                .to_owned(),
        };
        let seen = if captured.missing.is_empty() {
            "no schema that the account can see matches DATABASE_SCHEMA".to_owned()
        } else {
            format!(
                "not there, or hidden from the account: {}",
                names(&captured.missing)
            )
        };
        all.push(Finding::fatal("schema_missing", seen, remedy));
    } else if captured.tables.is_empty() {
        all.push(Finding::warning(
            "no_table_captured",
            format!(
                "no table of {} matches DATABASE_TABLES now",
                names(&captured.schemas)
            ),
            "set `DATABASE_TABLES=*` or name the tables as they are called; tables that are created later are captured \
             as well",
        ));
    } else {
        let count = captured.tables.len();
        all.push(Finding::info(
            "tables",
            format!("{count} captured, of {}", names(&captured.schemas)),
        ));
    }
    if !captured.keyless.is_empty() {
        all.push(Finding::warning(
            "primary_key_missing",
            format!("without primary key: {}", names(&captured.keyless)),
            "add a primary key to each: until then the whole row decides a record's shard, and updates of one row may \
             be read out of order",
        ));
    }
    columns(seen, facts, all);
}

/// Captured tables that cannot be relayed, and their columns at fault.
pub(super) fn unsupported(captured: &Captured) -> BTreeMap<&TableId, Vec<String>> {
    let mut tables: BTreeMap<&TableId, Vec<String>> = BTreeMap::new();
    for column in &captured.columns {
        if let Some(what) = column.unsupported() {
            let columns = tables.entry(&column.table).or_default();
            columns.push(format!("column {}: {what}", column.name));
        }
    }
    tables
}

fn columns(seen: &Observation, facts: &ServerFacts, all: &mut Vec<Finding>) {
    let of = |wanted: &dyn Fn(&Column) -> bool| -> Vec<String> {
        let columns = seen.captured.columns.iter().filter(|c| wanted(c));
        columns
            .map(|c| format!("{}.{} {}", c.table, c.name, c.column_type))
            .collect()
    };
    let unsupported = unsupported(&seen.captured);
    match seen.captured.types {
        _ if unsupported.is_empty() => {}
        TypePolicy::Halt => all.push(Finding::fatal(
            "column_type_unsupported",
            names(unsupported.iter().flat_map(|(table, columns)| {
                columns.iter().map(move |column| format!("table {table}, {column}"))
            })),
            "change the columns' type or character set, drop COMPRESSED, exclude the tables in DATABASE_TABLES \
             (!db.table), or set `TYPE_POLICY=skip_table`",
        )),
        TypePolicy::SkipTable => all.extend(unsupported.iter().map(|(table, columns)| {
            Finding::warning(TABLE_LEFT_OUT, left_out(table, columns), LEFT_OUT_REMEDY)
        })),
    }
    if seen.flavour != Flavour::OceanBase {
        return;
    }
    let virtuals = of(&|c| c.is_virtual());
    if !virtuals.is_empty() {
        all.push(Finding::warning(
            "generated_column_virtual",
            names(virtuals),
            "make the columns STORED: the binlog service documents no others",
        ));
    }
    let damaged = of(&|c| c.is_damaged_by_old_services());
    let old_service = !facts.gtid && !facts.head.file.is_empty();
    if !damaged.is_empty() && old_service {
        all.push(Finding::warning(
            "value_damage_possible",
            format!(
                "binlog services before 4.x cut large values of {}",
                names(damaged)
            ),
            "use binlog service 4.x",
        ));
    }
}

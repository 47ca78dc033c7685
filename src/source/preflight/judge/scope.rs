//! Judging what the configuration wants captured: may it be read, is it there, can it be relayed. Pure.

use std::collections::BTreeMap;

use super::super::grants::Privileges;
use super::super::observe::{Listing, Observation};
use super::super::tables::{Captured, Column};
use super::super::{Finding, ServerFacts};
use super::{fatal, info, names, warning};
use crate::change::TableId;
use crate::config::TypePolicy;
use crate::position::Flavour;
use crate::source::refusal::{GRANT_REPLICATION, GRANT_SELECT};
use crate::source::schema::{LEFT_OUT_REMEDY, TABLE_LEFT_OUT, left_out};

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
        all.push(fatal(
            "replication_privilege_missing",
            format!("the account lacks REPLICATION SLAVE{role}"),
            GRANT_REPLICATION,
        ));
    }
    let unreadable: Vec<&String> = seen
        .captured
        .schemas
        .iter()
        .filter(|schema| !may.may_select(schema))
        .collect();
    if !unreadable.is_empty() {
        all.push(fatal(
            "select_privilege_missing",
            format!("the account may not SELECT in {}{role}", names(unreadable)),
            GRANT_SELECT,
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
        let seen = if captured.missing.is_empty() {
            "no schema that the account can see matches DATABASE_SCHEMA".to_owned()
        } else {
            format!(
                "not there, or hidden from the account: {}",
                names(&captured.missing)
            )
        };
        all.push(fatal(
            "schema_missing",
            seen,
            "create the schema, correct DATABASE_SCHEMA (names are case-sensitive), or GRANT SELECT on it to the \
             account",
        ));
    } else if captured.tables.is_empty() {
        all.push(warning(
            "no_table_captured",
            format!(
                "no table of {} matches DATABASE_TABLES now",
                names(&captured.schemas)
            ),
            "correct DATABASE_TABLES; tables that are created later are captured as well",
        ));
    } else {
        let count = captured.tables.len();
        all.push(info(
            "tables",
            format!("{count} captured, of {}", names(&captured.schemas)),
        ));
    }
    if !captured.keyless.is_empty() {
        all.push(warning(
            "primary_key_missing",
            format!("without primary key: {}", names(&captured.keyless)),
            "add a primary key: until then the whole row decides a record's shard, and updates of one row may be \
             read out of order",
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
        TypePolicy::Halt => all.push(fatal(
            "column_type_unsupported",
            names(unsupported.iter().flat_map(|(table, columns)| {
                columns.iter().map(move |column| format!("table {table}, {column}"))
            })),
            "change the columns' type or character set, drop COMPRESSED, exclude the tables in DATABASE_TABLES \
             (!db.table), or set TYPE_POLICY=skip_table",
        )),
        TypePolicy::SkipTable => all.extend(unsupported.iter().map(|(table, columns)| {
            warning(TABLE_LEFT_OUT, left_out(table, columns), LEFT_OUT_REMEDY)
        })),
    }
    if seen.flavour != Flavour::OceanBase {
        return;
    }
    let virtuals = of(&|c| c.is_virtual());
    if !virtuals.is_empty() {
        all.push(warning(
            "generated_column_virtual",
            names(virtuals),
            "make the columns STORED: the binlog service documents no others",
        ));
    }
    let damaged = of(&|c| c.is_damaged_by_old_services());
    let old_service = !facts.gtid && !facts.head.file.is_empty();
    if !damaged.is_empty() && old_service {
        all.push(warning(
            "value_damage_possible",
            format!(
                "binlog services before 4.x cut large values of {}",
                names(damaged)
            ),
            "use binlog service 4.x",
        ));
    }
}

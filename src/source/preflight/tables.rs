//! The captured tables: which exist, which lack a primary key, which columns cannot be relayed.

use std::collections::BTreeSet;

use mysql_async::{Conn, Row};

use crate::change::TableId;
use crate::config::{DatabaseConfig, TypePolicy};
use crate::retry::Failure;
use crate::source::connection::{Answer, cell, query};
use crate::source::schema::column_type;
use crate::source::schema::load::spelt;

/// Types that are decoded. Columns of any other are asked for, and judged by [`column_type::parse`].
const TYPES: [&str; 46] = [
    "tinyint",
    "smallint",
    "mediumint",
    "int",
    "integer",
    "bigint",
    "float",
    "double",
    "real",
    "decimal",
    "numeric",
    "bit",
    "bool",
    "boolean",
    "date",
    "datetime",
    "timestamp",
    "time",
    "year",
    "char",
    "varchar",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
    "binary",
    "varbinary",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "enum",
    "set",
    "json",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
    "uuid",
    "inet4",
    "inet6",
];

/// What was found of the captured tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Captured {
    /// Schemas that the configuration can capture tables of and that the account can see.
    pub(super) schemas: Vec<String>,
    /// Schemas that the configuration spells out and the account cannot see.
    pub(super) missing: Vec<String>,
    /// Captured tables.
    pub(super) tables: Vec<TableId>,
    /// Those without a primary key.
    pub(super) keyless: Vec<TableId>,
    /// Columns of them that may need a word.
    pub(super) columns: Vec<Column>,
    /// What the configuration says of columns that cannot be relayed.
    pub(super) types: TypePolicy,
}

/// A column whose type is out of the ordinary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) table: TableId,
    pub(super) name: String,
    /// `information_schema`'s `COLUMN_TYPE`.
    pub(super) column_type: String,
    /// `information_schema`'s `CHARACTER_SET_NAME`.
    pub(super) charset: Option<String>,
    /// `information_schema`'s `EXTRA`.
    pub(super) extra: String,
}

impl Column {
    /// Why rows with this column cannot be relayed at all; `None` if they can.
    pub(super) fn unsupported(&self) -> Option<String> {
        column_type::parse(&self.column_type, self.charset.as_deref()).err()
    }

    /// Whether it is computed at reading and not stored.
    pub(super) fn is_virtual(&self) -> bool {
        self.extra.to_ascii_lowercase().contains("virtual")
    }

    /// Whether binlog services before 4.x damage its larger values.
    pub(super) fn is_damaged_by_old_services(&self) -> bool {
        let kind = self.column_type.to_ascii_lowercase();
        let bits = kind
            .strip_prefix("bit(")
            .and_then(|b| b.trim_end_matches(')').parse().ok());
        (kind.starts_with("bigint") && kind.contains("unsigned")) || bits.is_some_and(|b: u32| b > 31)
    }
}

/// Asks `information_schema`; an answer without a result set counts as empty.
pub(super) async fn captured(conn: &mut Conn, config: &DatabaseConfig) -> Result<Captured, Failure> {
    let mut all = Captured {
        types: config.types,
        ..Captured::default()
    };
    for row in ask(
        conn,
        config,
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA",
    )
    .await?
    {
        let schema = cell(&row, 0).unwrap_or_default();
        if config.tables.touches(&schema) {
            all.schemas.push(schema);
        }
    }
    all.schemas.sort();
    let named: BTreeSet<&str> = config.tables.named_schemas().collect();
    let unseen = |name: &&str| !all.schemas.iter().any(|schema| schema == name);
    all.missing = named.into_iter().filter(unseen).map(str::to_owned).collect();
    for schema in all.schemas.clone() {
        captured_in(conn, config, &schema, &mut all).await?;
    }
    Ok(all)
}

async fn captured_in(
    conn: &mut Conn,
    config: &DatabaseConfig,
    schema: &str,
    all: &mut Captured,
) -> Result<(), Failure> {
    let of_schema = format!("WHERE TABLE_SCHEMA = {}", quoted(schema));
    let tables =
        format!("SELECT TABLE_NAME FROM information_schema.TABLES {of_schema} AND TABLE_TYPE = 'BASE TABLE'");
    let keys = format!(
        "SELECT DISTINCT TABLE_NAME FROM information_schema.STATISTICS {of_schema} AND INDEX_NAME = 'PRIMARY'"
    );
    let known: Vec<String> = TYPES.iter().map(|t| quoted(t)).collect();
    // OceanBase gives a STRING column now this DATA_TYPE, now that. Only what may need a word: all columns of a large schema would cost more memory than the whole relay.
    let columns = format!(
        "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, EXTRA, VERSION() \
         FROM information_schema.COLUMNS {of_schema} \
         AND (DATA_TYPE NOT IN ({}) OR COLUMN_TYPE LIKE '%COMPRESSED%' OR COLUMN_TYPE LIKE '%mariadb-5.3%' OR EXTRA LIKE '%VIRTUAL%' \
         OR COLUMN_TYPE LIKE 'bigint%unsigned%' OR COLUMN_TYPE LIKE 'bit(%' \
         OR COLUMN_TYPE LIKE 'string%' OR (DATA_TYPE IN ('enum', 'set') AND VERSION() LIKE '%OceanBase%') \
         OR CHARACTER_SET_NAME NOT IN ('utf8mb4', 'utf8mb3', 'utf8', 'ascii', 'latin1', 'gbk', 'binary'))",
        known.join(", ")
    );
    let keyed: BTreeSet<Option<String>> = ask(conn, config, &keys)
        .await?
        .iter()
        .map(|row| cell(row, 0))
        .collect();
    let mut names = BTreeSet::new();
    for row in ask(conn, config, &tables).await? {
        let Some(table) = cell(&row, 0) else { continue };
        if config.tables.captures(schema, &table) {
            let id = TableId {
                db: schema.to_owned(),
                table: table.clone(),
            };
            if !keyed.contains(&Some(table.clone())) {
                all.keyless.push(id.clone());
            }
            all.tables.push(id);
            names.insert(table);
        }
    }
    for row in ask(conn, config, &columns).await? {
        let Some(table) = cell(&row, 0).filter(|t| names.contains(t)) else {
            continue;
        };
        all.columns.push(Column {
            table: TableId {
                db: schema.to_owned(),
                table,
            },
            name: cell(&row, 1).unwrap_or_default(),
            column_type: spelt(cell(&row, 2).unwrap_or_default(), cell(&row, 5).as_deref()),
            charset: cell(&row, 3),
            extra: cell(&row, 4).unwrap_or_default(),
        });
    }
    Ok(())
}

/// The rows of an answer; none where there is no result set.
pub(super) async fn ask(conn: &mut Conn, config: &DatabaseConfig, sql: &str) -> Result<Vec<Row>, Failure> {
    Ok(match query(conn, sql, config.connect_timeout).await? {
        Answer::Rows(rows) => rows,
        Answer::NoResultSet => Vec::new(),
    })
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_judged_by_their_type() {
        let column = |column_type: &str, extra: &str| Column {
            table: TableId {
                db: "shop".to_owned(),
                table: "t".to_owned(),
            },
            name: "c".to_owned(),
            column_type: column_type.to_owned(),
            charset: None,
            extra: extra.to_owned(),
        };
        for (kind, unsupported, damaged) in [
            ("int(11)", false, false),
            ("bigint unsigned", false, true),
            ("bigint(20) unsigned", false, true),
            ("bigint(20)", false, false),
            ("bit(31)", false, false),
            ("bit(32)", false, true),
            ("enum('vector','x COMPRESSED*/')", false, false),
            ("varchar(100) /*M!100301 COMPRESSED*/", true, false),
            ("blob /*M!100301 COMPRESSED*/", true, false),
            ("vector(3)", true, false),
            ("VECTOR(3)", true, false),
            ("roaringbitmap", true, false),
            ("array(int)", true, false),
            ("uuid", false, false),
            ("geometry", false, false),
        ] {
            let column = column(kind, "");
            assert_eq!(column.unsupported().is_some(), unsupported, "{kind}");
            assert_eq!(column.is_damaged_by_old_services(), damaged, "{kind}");
        }
        assert!(column("int", "VIRTUAL GENERATED").is_virtual());
        assert!(!column("int", "STORED GENERATED").is_virtual());
    }

    #[test]
    fn what_is_not_asked_for_is_decoded() {
        for kind in TYPES {
            let example = match kind {
                "enum" | "set" => format!("{kind}('a')"),
                kind => kind.to_owned(),
            };
            assert!(column_type::parse(&example, Some("utf8mb4")).is_ok(), "{kind}");
        }
    }

    #[test]
    fn names_survive_quoting() {
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(quoted("a\\b"), "'a\\\\b'");
    }
}

//! Tables as the test believes them to be: a column keeps its identity under any name, type and place, and every
//! value names the identity it belongs to, so that no two columns can be taken for each other.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// A row image by column name.
pub(super) type Image = Map<String, Value>;

/// The identity of the column that tells rows apart. It is the first of every table and is never dropped.
pub(super) const ID: u32 = 0;
/// The identity of a text column that every table has and keeps: it is what a last update of all rows changes.
pub(super) const NOTE: u32 = 1;

/// Character sets that all texts here can be written in, with different bytes.
pub(super) const CHARSETS: [&str; 3] = ["utf8mb4", "latin1", "gbk"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Small,
    SmallUnsigned,
    Int,
    Big,
    Varchar(u16),
    Text,
    Decimal,
    DateTime,
    /// The places of its labels, which are named after the column.
    Enum(Vec<u8>),
}

impl Type {
    pub(super) fn any(rng: &mut Rng) -> Type {
        match rng.u8(0..9) {
            0 => Type::Small,
            1 => Type::SmallUnsigned,
            2 => Type::Int,
            3 => Type::Big,
            4 | 5 => Type::Varchar(20),
            6 => Type::Text,
            7 => [Type::Decimal, Type::DateTime][rng.usize(0..2)].clone(),
            _ => Type::Enum(vec![0, 1, 2]),
        }
    }

    pub(super) fn is_integer(&self) -> bool {
        matches!(self, Type::Small | Type::SmallUnsigned | Type::Int | Type::Big)
    }

    /// Another type that holds the same values.
    pub(super) fn wider(&self, rng: &mut Rng) -> Option<Type> {
        let text = [Type::Varchar(40), Type::Text];
        Some(match self {
            Type::Small => [Type::Int, Type::Big, text[0].clone()][rng.usize(0..3)].clone(),
            Type::SmallUnsigned => [Type::Int, Type::Big][rng.usize(0..2)].clone(),
            Type::Int => [Type::Big, text[0].clone()][rng.usize(0..2)].clone(),
            Type::Big => text[0].clone(),
            Type::Varchar(length) if *length < 300 => {
                [Type::Varchar(length * 2), Type::Varchar(300), Type::Text][rng.usize(0..3)].clone()
            }
            Type::Enum(labels) if labels.len() < 5 && rng.bool() => {
                let mut labels = labels.clone();
                let new = labels.iter().max().expect("a label") + 1;
                labels.insert(rng.usize(0..=labels.len()), new);
                Type::Enum(labels)
            }
            Type::Enum(labels) if rng.bool() => {
                let mut labels = labels.clone();
                labels.rotate_left(1);
                Type::Enum(labels)
            }
            Type::Enum(_) => text[0].clone(),
            Type::Varchar(_) | Type::Text | Type::Decimal | Type::DateTime => return None,
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) identity: u32,
    pub(super) name: String,
    pub(super) kind: Type,
    pub(super) nullable: bool,
}

fn label(identity: u32, place: u8) -> String {
    format!("e{identity}:{}", char::from(b'a' + place))
}

impl Column {
    /// The `n`th value of the column.
    pub(super) fn value(&self, n: i64) -> Value {
        let identity = i64::from(self.identity);
        let sign = if n % 2 == 0 { 1 } else { -1 };
        match &self.kind {
            _ if self.identity == ID => json!(n),
            Type::Small => json!(sign * (identity % 60 * 500 + n % 500)),
            // Nothing that a signed column could hold.
            Type::SmallUnsigned => json!(33_000 + identity % 60 * 500 + n % 500),
            Type::Int => json!(sign * (identity * 1_000_000 + n)),
            Type::Big => json!(sign * (identity * 1_000_000_000_000 + n)),
            Type::Varchar(_) | Type::Text => json!(format!("c{identity}:{n} é")),
            Type::Decimal => json!(format!("{identity}{:04}.{:02}", n % 10_000, identity % 100)),
            Type::DateTime => json!(format!(
                "2{:03}-01-02 03:{:02}:{:02}",
                identity % 1000,
                n / 60 % 60,
                n % 60
            )),
            Type::Enum(labels) => json!(label(
                self.identity,
                *labels
                    .iter()
                    .cycle()
                    .nth(usize::try_from(n % 60).expect("small"))
                    .expect("a label")
            )),
        }
    }

    /// Type and attributes as `CREATE TABLE` takes them.
    pub(super) fn declaration(&self) -> String {
        let kind = match &self.kind {
            Type::Small => "SMALLINT".to_owned(),
            Type::SmallUnsigned => "SMALLINT UNSIGNED".to_owned(),
            Type::Int => "INT".to_owned(),
            Type::Big => "BIGINT".to_owned(),
            Type::Varchar(length) => format!("VARCHAR({length})"),
            Type::Text => "TEXT".to_owned(),
            Type::Decimal => "DECIMAL(12,2)".to_owned(),
            Type::DateTime => "DATETIME".to_owned(),
            Type::Enum(labels) => {
                let labels: Vec<String> = labels
                    .iter()
                    .map(|place| format!("'{}'", label(self.identity, *place)))
                    .collect();
                format!("ENUM({})", labels.join(","))
            }
        };
        format!("{kind}{}", if self.nullable { " NULL" } else { " NOT NULL" })
    }
}

/// A value as SQL.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => format!("'{text}'"),
        Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A row: a value for each identity.
pub(super) type Row = BTreeMap<u32, Value>;

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// Identities of the primary key's columns; empty for none.
    pub(super) key: Vec<u32>,
    pub(super) charset: &'static str,
    /// By the value of [`ID`].
    pub(super) rows: BTreeMap<i64, Row>,
    /// The upper bounds of the partitions by [`ID`], excluded; empty for a table without partitions.
    pub(super) partitions: Vec<i64>,
}

impl Table {
    pub(super) fn column(&self, identity: u32) -> &Column {
        let found = self.columns.iter().find(|column| column.identity == identity);
        found.expect("a column of the table")
    }

    pub(super) fn name_of(&self, identity: u32) -> &str {
        &self.column(identity).name
    }

    /// The row as a rows event shows it.
    pub(super) fn image(&self, row: &Row) -> Image {
        let columns = self.columns.iter();
        columns
            .map(|column| (column.name.clone(), row[&column.identity].clone()))
            .collect()
    }

    /// `PRIMARY KEY (…)`, if there is one.
    pub(super) fn key_clause(&self) -> Option<String> {
        let names: Vec<&str> = self.key.iter().map(|identity| self.name_of(*identity)).collect();
        (!names.is_empty()).then(|| format!("PRIMARY KEY ({})", names.join(", ")))
    }

    /// `PARTITION BY …`, or nothing.
    pub(super) fn partition_clause(&self) -> String {
        if self.partitions.is_empty() {
            return String::new();
        }
        let parts: Vec<String> = self.partitions.iter().map(|bound| partition(*bound)).collect();
        format!(
            " PARTITION BY RANGE ({}) ({})",
            self.name_of(ID),
            parts.join(", ")
        )
    }

    /// The definition behind `CREATE TABLE name`.
    pub(super) fn definition(&self) -> String {
        let columns = self.columns.iter();
        let mut parts: Vec<String> = columns
            .map(|column| format!("{} {}", column.name, column.declaration()))
            .collect();
        parts.extend(self.key_clause());
        format!(
            "({}) DEFAULT CHARSET={}{}",
            parts.join(", "),
            self.charset,
            self.partition_clause()
        )
    }
}

/// One partition, named after its upper bound.
pub(super) fn partition(bound: i64) -> String {
    format!("PARTITION p{bound} VALUES LESS THAN ({bound})")
}

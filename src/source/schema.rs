//! Table schemas: what the server says of a table, and whether that is the table that the binlog means. Pure.
//!
//! The server's answer is authoritative for names, signs, character sets and labels, which a table map may not
//! carry; the table map is authoritative for what is in the row's bytes. Where the two contradict each other
//! nothing is guessed (I6): the caller asks the server again, and halts if they still do.

pub mod column_type;
pub mod derive;
pub mod history;
pub mod load;

use serde::{Deserialize, Serialize};

use crate::change::{Column, ColumnKind, TableId, TableSchema};
use crate::retry::Failure;
use crate::source::rows::{TableMap, WireColumn};
use column_type::Declared;

/// A table as `information_schema` describes it at some moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDefinition {
    /// Its columns, in order.
    pub columns: Vec<ColumnDefinition>,
    /// Names of the primary key's columns, in key order.
    pub primary_key: Vec<String>,
    /// The character set of new texts that name none, if it is known.
    #[serde(default)]
    pub charset: Option<String>,
}

/// A column as `information_schema` describes it at some moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// `COLUMN_TYPE`.
    pub column_type: String,
    /// `CHARACTER_SET_NAME`.
    pub charset: Option<String>,
}

impl TableDefinition {
    /// How it differs from an earlier one in what rows mean: one sentence a column. Another spelling of a type is no
    /// difference; a server may spell it anew after an upgrade.
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let meaning = |column: &ColumnDefinition| {
            column_type::parse(&column.column_type, column.charset.as_deref()).ok()
        };
        let mut found = Vec::new();
        for (number, (now, before)) in self.columns.iter().zip(&earlier.columns).enumerate() {
            let same = now == before || meaning(now).is_some_and(|now| Some(now) == meaning(before));
            if now.name != before.name {
                found.push(format!(
                    "column {} was {} and is {}",
                    number.saturating_add(1),
                    before.name,
                    now.name
                ));
            } else if !same {
                found.push(format!(
                    "column {} was {:.60} and is {:.60}",
                    now.name, before.column_type, now.column_type
                ));
            }
        }
        let (now, before) = (self.columns.len(), earlier.columns.len());
        if now != before {
            found.push(format!("it had {before} columns and has {now}"));
        }
        if self.primary_key != earlier.primary_key {
            found.push(String::from("its primary key is another one"));
        }
        found
    }
}

/// Why a definition is not what a table map describes: one sentence per column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// Another version of the table.
    Contradiction(Vec<String>),
    /// The table, with a type or character set that cannot be read.
    Unsupported(Vec<String>),
}

impl Misfit {
    /// What does not fit, as one sentence.
    pub fn columns(&self) -> String {
        match self {
            Self::Contradiction(columns) | Self::Unsupported(columns) => columns.join(", "),
        }
    }

    /// The halt that names the table and its columns.
    pub fn into_failure(self, id: &TableId, place: &str) -> Failure {
        match self {
            Self::Contradiction(columns) => Failure::halt(
                "schema_contradiction",
                format!(
                    "table {id} in the binlog at {place} is not as information_schema has it now: {}",
                    columns.join(", ")
                ),
                "set binlog_row_metadata=FULL for the future; exclude the table (DATABASE_TABLES), or restart from a position behind the change of its columns",
            ),
            Self::Unsupported(columns) => Failure::halt(
                "schema_unsupported",
                format!("table {id} cannot be read: {}", columns.join(", ")),
                "exclude the table (DATABASE_TABLES), change the columns, or set TYPE_POLICY=skip_table",
            ),
        }
    }
}

/// The code of a table that `TYPE_POLICY=skip_table` leaves out.
pub const TABLE_LEFT_OUT: &str = "table_left_out";
/// What there is to do about one.
pub const LEFT_OUT_REMEDY: &str = "change the columns, or exclude the table (DATABASE_TABLES)";

/// What is said of one, once.
pub fn left_out(id: &TableId, columns: &[String]) -> String {
    format!(
        "table {id} is left out, its rows count as filtered: {}",
        columns.join(", ")
    )
}

/// Puts a definition and a table map together.
///
/// # Errors
/// If the one does not describe the other, or a column cannot be read.
pub fn build(definition: &TableDefinition, map: &TableMap) -> Result<TableSchema, Misfit> {
    let pairs = pair(definition, map)?;
    let (mut columns, mut contradictions, mut unsupported) = (Vec::new(), Vec::new(), Vec::new());
    for (ordinal, (column, wire)) in pairs.into_iter().enumerate() {
        let declared = match column_type::parse(&column.column_type, column.charset.as_deref()) {
            Ok(declared) => declared,
            Err(what) => {
                unsupported.push(format!("column {}: {what}", column.name));
                continue;
            }
        };
        let unsigned = map.unsigned.as_ref().and_then(|all| all.get(ordinal)).copied();
        match fit(declared, unsigned, wire) {
            Some(kind) => columns.push(Column {
                name: column.name.clone(),
                kind,
                declared: column.column_type.as_str().into(),
                nullable: wire.nullable,
                wire: wire.kind,
                meta: wire.meta,
            }),
            None => contradictions.push(format!(
                "column {} is {}{}, the binlog has type {} ({})",
                column.name,
                column.column_type.chars().take(60).collect::<String>(),
                column
                    .charset
                    .as_ref()
                    .map(|c| format!(" {c}"))
                    .unwrap_or_default(),
                wire.kind,
                wire.meta
            )),
        }
    }
    if !contradictions.is_empty() {
        return Err(Misfit::Contradiction(contradictions));
    }
    if !unsupported.is_empty() {
        return Err(Misfit::Unsupported(unsupported));
    }
    let mut primary_key = Vec::with_capacity(definition.primary_key.len());
    for name in &definition.primary_key {
        match columns.iter().position(|column| column.name == *name) {
            Some(index) => primary_key.push(index),
            None => {
                return Err(Misfit::Contradiction(vec![format!(
                    "primary key column {name} is not in the binlog's row"
                )]));
            }
        }
    }
    Ok(TableSchema {
        id: map.id.clone(),
        columns,
        primary_key,
    })
}

/// Each column of the row with its definition: by name where the binlog has names, else by ordinal.
fn pair<'a>(
    definition: &'a TableDefinition,
    map: &'a TableMap,
) -> Result<Vec<(&'a ColumnDefinition, &'a WireColumn)>, Misfit> {
    if let Some(names) = &map.names {
        // Columns added since then do no harm; a column that is gone took its definition with it.
        let mut pairs = Vec::with_capacity(names.len());
        let mut gone = Vec::new();
        for (name, wire) in names.iter().zip(&map.columns) {
            match definition.columns.iter().find(|column| column.name == *name) {
                Some(column) => pairs.push((column, wire)),
                None => gone.push(format!("column {name} of the binlog no longer exists")),
            }
        }
        return if gone.is_empty() {
            Ok(pairs)
        } else {
            Err(Misfit::Contradiction(gone))
        };
    }
    if definition.columns.len() != map.columns.len() {
        return Err(Misfit::Contradiction(vec![format!(
            "it has {} columns, the binlog has {}",
            definition.columns.len(),
            map.columns.len()
        )]));
    }
    Ok(definition.columns.iter().zip(&map.columns).collect())
}

/// The column's kind if the row's bytes can be what was declared.
///
/// Lengths of VARCHAR and TEXT take no part: the row's own length prefix is read, and a column that was
/// widened since then is still the same column.
fn fit(declared: Declared, unsigned: Option<bool>, wire: &WireColumn) -> Option<ColumnKind> {
    if !declared.wire.contains(&wire.kind) {
        return None;
    }
    let digits_agree = |digits: u8| match wire.kind {
        // The types from before 5.6 have no fraction.
        7 | 11 | 12 => digits == 0,
        _ => wire.meta == u16::from(digits),
    };
    let labels_agree = |bytes: usize| usize::from(wire.meta) == bytes;
    let agrees = match &declared.kind {
        ColumnKind::Integer { unsigned: mine, .. } => unsigned.is_none_or(|theirs| theirs == *mine),
        ColumnKind::Decimal { precision, scale } => wire.meta == u16::from_be_bytes([*precision, *scale]),
        ColumnKind::Bit { bits } => wire.meta == u16::from(*bits),
        ColumnKind::DateTime { digits } | ColumnKind::Timestamp { digits } | ColumnKind::Time { digits } => {
            digits_agree(*digits)
        }
        ColumnKind::FixedBinary { length } => usize::from(wire.meta) == *length,
        ColumnKind::Enum { labels } => labels_agree(if labels.len() > 255 { 2 } else { 1 }),
        ColumnKind::Set { labels } => labels_agree(match labels.len().div_ceil(8) {
            bytes @ 0..=4 => bytes.max(1),
            _ => 8,
        }),
        ColumnKind::Uuid | ColumnKind::Inet6 => wire.meta == 16,
        ColumnKind::Inet4 => wire.meta == 4,
        ColumnKind::Float
        | ColumnKind::Double
        | ColumnKind::Date
        | ColumnKind::Year
        | ColumnKind::Text { .. }
        | ColumnKind::Binary
        | ColumnKind::Json
        | ColumnKind::Geometry => true,
    };
    let kind = match (declared.kind, wire.kind) {
        // OceanBase sends a FLOAT of more than 24 bits as the DOUBLE that it is.
        (ColumnKind::Float, 5) => ColumnKind::Double,
        (kind, _) => kind,
    };
    agrees.then_some(kind)
}

#[cfg(test)]
mod tests;

//! Canal's flat JSON message: one message a row change, every value as text.
//!
//! The members and their order are Canal's. Where its spelling loses something, ours differs: binary values are
//! base64 and not bytes taken for Latin-1, TIMESTAMP is UTC with a `Z` and not in some machine's zone, ENUM and SET
//! are their labels and not numbers. `id` is the row's order in its transaction, from 1: the same in every run.

use super::image::{Spelling, write_changed, write_number, write_object};
use super::key::KeyText;
use super::last::LastEvent;
use super::plan::{Failed, Plan, Shown, TableText};
use crate::change::{Column, ColumnKind, Operation, RowChange};
use crate::source::value::write_json_string;

/// Writes messages, and remembers the parts that the next row is likely to share.
#[derive(Debug, Default)]
pub(super) struct Canal {
    now_ms: u64,
    /// What `head` and `tail` were written for.
    last: LastEvent,
    /// From behind the data up to `id`.
    head: Vec<u8>,
    /// From behind the table up to the end.
    tail: Vec<u8>,
}

impl Canal {
    /// From `"isDdl"` up to the old values, and from behind them up to the table.
    pub(super) fn text(table: &Shown<'_>) -> TableText {
        let mut types = b",\"isDdl\":false,\"mysqlType\":".to_vec();
        members(&mut types, &table.columns, |column, out| {
            write_json_string(&column.declared, out);
        });
        types.extend_from_slice(b",\"old\":");
        let mut names = b",\"pkNames\":".to_vec();
        write_names(table, &mut names);
        names.extend_from_slice(b",\"sql\":\"\",\"sqlType\":");
        members(&mut names, &table.columns, |column, out| {
            out.extend_from_slice(itoa::Buffer::new().format(sql_type(column)).as_bytes());
        });
        names.extend_from_slice(b",\"table\":");
        write_json_string(&table.id.table, &mut names);
        [types, names]
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    pub(super) fn set_now(&mut self, ms: u64) {
        if self.now_ms != ms {
            self.now_ms = ms;
            self.last.forget();
        }
    }

    /// Appends the row's message to `out`, and tells `key` where in it the partition key lies. After an error
    /// `out` holds a part of it, which the caller cuts off.
    pub(super) fn write(
        &mut self,
        plan: &Plan,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
        key: &mut KeyText,
    ) -> Result<(), Failed> {
        if !self.last.is(plan, row) {
            self.prepare(plan, row);
        }
        let [types, names] = &plan.text;
        out.extend_from_slice(b"{\"data\":[");
        if let Some(image) = row.after.as_ref().or(row.before.as_ref()) {
            write_object(plan, image, Spelling::Texts, out, Some(&mut *key))?;
        }
        out.extend_from_slice(&self.head);
        write_number(row.row.saturating_add(1), out);
        out.extend_from_slice(types);
        match (&row.before, &row.after) {
            (Some(before), Some(after)) => {
                out.push(b'[');
                write_changed(plan, before, after, Spelling::Texts, out, key)?;
                out.push(b']');
            }
            _ => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(names);
        out.extend_from_slice(&self.tail);
        Ok(())
    }

    /// Writes `head` and `tail`.
    fn prepare(&mut self, plan: &Plan, row: &RowChange<'_>) {
        let meta = row.meta;
        let out = &mut self.head;
        out.clear();
        out.extend_from_slice(b"],\"database\":");
        write_json_string(&plan.schema.id.db, out);
        out.extend_from_slice(b",\"es\":");
        write_number(meta.ts_us / 1000, out);
        out.extend_from_slice(b",\"gtid\":");
        write_json_string(meta.gtid.as_deref().unwrap_or_default(), out);
        out.extend_from_slice(b",\"id\":");
        let out = &mut self.tail;
        out.clear();
        out.extend_from_slice(b",\"ts\":");
        write_number(self.now_ms, out);
        out.extend_from_slice(match row.operation {
            Operation::Create => b",\"type\":\"INSERT\"}",
            Operation::Update => b",\"type\":\"UPDATE\"}",
            Operation::Delete => b",\"type\":\"DELETE\"}",
        });
        self.last.set(plan, row);
    }
}

/// The key's columns in key order, or null.
fn write_names(table: &Shown<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    for column in &table.key {
        out.push(b',');
        write_json_string(&column.name, out);
    }
    match out.get_mut(start) {
        Some(comma) => {
            *comma = b'[';
            out.push(b']');
        }
        None => out.extend_from_slice(b"null"),
    }
}

/// An object with a member a column.
fn members(out: &mut Vec<u8>, columns: &[&Column], value: impl Fn(&Column, &mut Vec<u8>)) {
    out.push(b'{');
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_json_string(&column.name, out);
        out.push(b':');
        value(column, out);
    }
    out.push(b'}');
}

/// The number of `java.sql.Types` that Canal gives. An unsigned integer has the type that holds all its values:
/// Canal says so too, but only in messages with a value that needs it.
fn sql_type(column: &Column) -> i32 {
    const BIT: i32 = -7;
    const BIGINT: i32 = -5;
    const CHAR: i32 = 1;
    const DECIMAL: i32 = 3;
    const INTEGER: i32 = 4;
    const SMALLINT: i32 = 5;
    const VARCHAR: i32 = 12;
    const BLOB: i32 = 2004;
    const CLOB: i32 = 2005;
    let declared = column.declared.to_ascii_lowercase();
    match &column.kind {
        ColumnKind::Integer { bytes, unsigned } => match (bytes, unsigned) {
            (1, false) => -6,
            (1, true) | (2, false) => SMALLINT,
            (2 | 3, true) | (3 | 4, false) => INTEGER,
            (4, true) | (_, false) => BIGINT,
            (_, true) => DECIMAL,
        },
        ColumnKind::Float => 7,
        ColumnKind::Double => 8,
        ColumnKind::Decimal { .. } => DECIMAL,
        ColumnKind::Bit { .. } => BIT,
        ColumnKind::Date => 91,
        ColumnKind::Time { .. } => 92,
        ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } => 93,
        ColumnKind::Text { .. } if declared.starts_with("char") => CHAR,
        ColumnKind::Text { .. } if declared.ends_with("text") => CLOB,
        ColumnKind::FixedBinary { .. } | ColumnKind::Binary => BLOB,
        ColumnKind::Text { .. }
        | ColumnKind::Year
        | ColumnKind::Enum { .. }
        | ColumnKind::Set { .. }
        | ColumnKind::Json
        | ColumnKind::Geometry
        | ColumnKind::Uuid
        | ColumnKind::Inet4
        | ColumnKind::Inet6 => VARCHAR,
    }
}

//! Maxwell's JSON: one object a row change, with the old values of the columns that changed.
//!
//! The members are Maxwell's with `output_binlog_position`, `output_gtid_position`, `output_server_id`,
//! `output_xoffset` and `output_primary_keys` on. A row leaves before the end of its transaction is read, so `commit`
//! and `xid`, which only the end tells, are not there: `gtid` (else the attribute `cdc.id`) tells transactions apart.

use super::image::{Spelling, write_changed, write_number, write_object};
use super::key::KeyText;
use super::last::LastEvent;
use super::plan::{Failed, Plan, Shown, TableText};
use crate::change::{Operation, RowChange};
use crate::source::value::write_json_string;

/// Writes objects, and remembers the parts that the next row is likely to share.
#[derive(Debug, Default)]
pub(super) struct Maxwell {
    /// What `head` was written for.
    last: LastEvent,
    /// From the start up to the row's ordinal.
    head: Vec<u8>,
}

impl Maxwell {
    /// `{"database":"…","table":"…"`, and `,"primary_key_columns":[…]` where there is a key.
    pub(super) fn text(table: &Shown<'_>) -> TableText {
        let mut names = b"{\"database\":".to_vec();
        write_json_string(&table.id.db, &mut names);
        names.extend_from_slice(b",\"table\":");
        write_json_string(&table.id.table, &mut names);
        let mut keys = Vec::new();
        for column in &table.key {
            keys.extend_from_slice(if keys.is_empty() {
                b",\"primary_key_columns\":["
            } else {
                b","
            });
            write_json_string(&column.name, &mut keys);
        }
        if !keys.is_empty() {
            keys.push(b']');
        }
        [names, keys]
    }

    /// Appends the row's object to `out`, and tells `key` where in it the partition key lies. After an error
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
        let [_, keys] = &plan.text;
        out.extend_from_slice(&self.head);
        write_number(row.row, out);
        out.extend_from_slice(b",\"data\":");
        if let Some(image) = row.after.as_ref().or(row.before.as_ref()) {
            write_object(plan, image, Spelling::Arrays, out, Some(&mut *key))?;
        }
        if !keys.is_empty() {
            out.extend_from_slice(keys);
            out.extend_from_slice(b",\"primary_key\":[");
            key.copy_parts(out);
            out.push(b']');
        }
        if let (Some(before), Some(after)) = (&row.before, &row.after) {
            out.extend_from_slice(b",\"old\":");
            write_changed(plan, before, after, Spelling::Arrays, out, key)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Writes `head`.
    fn prepare(&mut self, plan: &Plan, row: &RowChange<'_>) {
        let meta = row.meta;
        let [names, _] = &plan.text;
        let out = &mut self.head;
        out.clear();
        out.extend_from_slice(names);
        out.extend_from_slice(match row.operation {
            Operation::Create => b",\"type\":\"insert\",\"ts\":",
            Operation::Update => b",\"type\":\"update\",\"ts\":",
            Operation::Delete => b",\"type\":\"delete\",\"ts\":",
        });
        write_number(meta.ts_us / 1_000_000, out);
        out.extend_from_slice(b",\"position\":");
        write_json_string(&meta.file, out);
        // The offset belongs into the same text.
        out.pop();
        out.push(b':');
        write_number(meta.pos, out);
        out.push(b'"');
        if let Some(gtid) = &meta.gtid {
            out.extend_from_slice(b",\"gtid\":");
            write_json_string(gtid, out);
        }
        out.extend_from_slice(b",\"server_id\":");
        write_number(u64::from(meta.server_id), out);
        out.extend_from_slice(b",\"xoffset\":");
        self.last.set(plan, row);
    }
}

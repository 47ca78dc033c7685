//! The Debezium JSON envelope without schema: one object a row change.
//!
//! What is the same for many rows is written once: the table's names with its [`Plan`], `source` and
//! `transaction` with every rows event. A row then costs its values and a few copies.

use super::image::{Spelling, write_number, write_object};
use super::key::KeyText;
use super::last::LastEvent;
use super::plan::{Failed, Plan, Shown, TableText};
use crate::change::RowChange;
use crate::position::Flavour;
use crate::source::value::write_json_string;

/// Writes envelopes, and remembers the parts that the next row is likely to share.
#[derive(Debug)]
pub(super) struct Debezium {
    /// `,"source":{"version":"…","connector":"…","name":"…","ts_ms":`
    source: Vec<u8>,
    now_ms: u64,
    /// What `head` and `tail` were written for.
    last: LastEvent,
    /// From `,"source":` up to the row's ordinal.
    head: Vec<u8>,
    /// From behind the row's ordinal up to the order in the transaction.
    tail: Vec<u8>,
}

impl Debezium {
    pub(super) fn new(group: &str, flavour: Flavour) -> Self {
        let mut source = b",\"source\":{\"version\":".to_vec();
        write_json_string(env!("CARGO_PKG_VERSION"), &mut source);
        source.extend_from_slice(b",\"connector\":");
        let connector = match flavour {
            Flavour::MySql => "mysql",
            Flavour::MariaDb => "mariadb",
            Flavour::OceanBase => "oceanbase",
        };
        write_json_string(connector, &mut source);
        source.extend_from_slice(b",\"name\":");
        write_json_string(group, &mut source);
        source.extend_from_slice(b",\"ts_ms\":");
        Self {
            source,
            now_ms: 0,
            last: LastEvent::default(),
            head: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// `"db":"…","table":"…"`
    pub(super) fn text(table: &Shown<'_>) -> TableText {
        let mut text = b"\"db\":".to_vec();
        write_json_string(&table.id.db, &mut text);
        text.extend_from_slice(b",\"table\":");
        write_json_string(&table.id.table, &mut text);
        [text, Vec::new()]
    }

    /// `source` up to the value of its `ts_ms`, and the wall clock in milliseconds.
    pub(super) fn source(&self) -> (&[u8], u64) {
        (&self.source, self.now_ms)
    }

    pub(super) fn set_now(&mut self, ms: u64) {
        if self.now_ms != ms {
            self.now_ms = ms;
            self.last.forget();
        }
    }

    /// Appends the row's envelope to `out`, and tells `key` where in it the partition key lies. After an error
    /// `out` holds a part of it, which the caller cuts off.
    pub(super) fn write(
        &mut self,
        plan: &Plan,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
        key: &mut KeyText,
    ) -> Result<(), Failed> {
        self.prepare(plan, row);
        out.extend_from_slice(b"{\"before\":");
        match &row.before {
            Some(image) => write_object(plan, image, Spelling::Json, out, Some(&mut *key))?,
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"after\":");
        // The before image routes where there is one.
        let key = row.before.is_none().then_some(key);
        match &row.after {
            Some(image) => write_object(plan, image, Spelling::Json, out, key)?,
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(&self.head);
        write_number(row.row, out);
        out.extend_from_slice(&self.tail);
        write_number(row.row.saturating_add(1), out);
        out.extend_from_slice(b"}}");
        Ok(())
    }

    /// Writes `head` and `tail` unless they are this rows event's already.
    fn prepare(&mut self, plan: &Plan, row: &RowChange<'_>) {
        if self.last.is(plan, row) {
            return;
        }
        let meta = row.meta;
        let [names, _] = &plan.text;
        let out = &mut self.head;
        out.clear();
        out.extend_from_slice(&self.source);
        write_number(meta.ts_us / 1000, out);
        out.extend_from_slice(b",\"snapshot\":\"false\",");
        out.extend_from_slice(names);
        out.extend_from_slice(b",\"ts_us\":");
        write_number(meta.ts_us, out);
        out.extend_from_slice(b",\"server_id\":");
        write_number(u64::from(meta.server_id), out);
        out.extend_from_slice(b",\"gtid\":");
        match &meta.gtid {
            Some(gtid) => write_json_string(gtid, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"file\":");
        write_json_string(&meta.file, out);
        out.extend_from_slice(b",\"pos\":");
        write_number(meta.pos, out);
        out.extend_from_slice(b",\"row\":");
        let out = &mut self.tail;
        out.clear();
        out.extend_from_slice(b"},\"op\":\"");
        out.extend_from_slice(row.operation.letter().as_bytes());
        out.extend_from_slice(b"\",\"ts_ms\":");
        write_number(self.now_ms, out);
        out.extend_from_slice(b",\"transaction\":{\"id\":");
        write_json_string(&meta.transaction, out);
        out.extend_from_slice(b",\"total_order\":");
        self.last.set(plan, row);
    }
}

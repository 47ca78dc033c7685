//! A binlog instance: its own files, positions and server id, and the tenant's transactions in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::column::{Shape, Value};
use super::event::{self, Stamp};
use super::script::{Generation, Script};
use super::tenant::{Body, Change, SCHEMA, Transaction};
use crate::workload::Operation;

/// The server id of every service before 4.x.
const V2_SERVER_ID: u32 = 1_147_473_732;

/// Where a file's first event is; four bytes of magic lie before it.
pub(super) const START: usize = 4;

/// A file, as it would lie on the disk.
#[derive(Debug)]
pub(super) struct File {
    pub(super) number: u32,
    pub(super) data: Vec<u8>,
    /// End of the introduction.
    intro: usize,
    /// Bytes that positions behind the introduction count and nobody keeps.
    hole: u64,
    /// The last transaction in front of it.
    pub(super) previous: u64,
    sums: bool,
    /// Where the event is that ends it, once it was ended.
    pub(super) rotation: Option<usize>,
}

impl File {
    pub(super) fn name(&self) -> String {
        format!("mysql-bin.{:06}", self.number)
    }

    /// The position of a place in `data`.
    pub(super) fn position(&self, offset: usize) -> u64 {
        let hole = if offset > self.intro { self.hole } else { 0 };
        offset as u64 + hole
    }

    /// The place in `data` of a position.
    pub(super) fn offset(&self, position: u64) -> usize {
        let hole = if position > self.intro as u64 {
            self.hole
        } else {
            0
        };
        usize::try_from(position.saturating_sub(hole)).unwrap_or(usize::MAX)
    }

    pub(super) fn end(&self) -> u64 {
        self.position(self.data.len())
    }

    /// The event at a place.
    pub(super) fn event(&self, offset: usize) -> Option<&[u8]> {
        let rest = self
            .data
            .get(offset..)
            .filter(|rest| rest.len() >= event::HEADER)?;
        rest.get(..event::size_of(rest))
    }

    /// Whether an event begins at a place, or the file ends there.
    pub(super) fn is_boundary(&self, offset: usize) -> bool {
        let mut at = START;
        while at < offset {
            match self.event(at) {
                Some(event) => at += event.len(),
                None => break,
            }
        }
        at == offset
    }
}

/// An instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) server_id: u32,
    uuid: [u8; 16],
    pub(super) files: Vec<File>,
    /// The last transaction that it has written.
    pub(super) written: u64,
    /// The last one that its files no longer hold.
    pub(super) purged: u64,
    /// Where its files end, if not where the script says.
    pub(super) max_file: Option<usize>,
    /// It stands still: transactions wait.
    pub(super) lags: bool,
    /// Counts the times that all its dumps were ended.
    pub(super) kills: u64,
    next_hole: u64,
    tables: BTreeMap<String, (Arc<Shape>, u64)>,
    /// Table ids are given from here on, in the order in which tables are met.
    first_table: u64,
    next_table: u64,
    next_xid: u64,
}

impl Instance {
    pub(super) fn new(uuid: [u8; 16], server_id: u32, script: &Script) -> Instance {
        let mut instance = Instance {
            server_id,
            uuid,
            files: Vec::new(),
            written: 0,
            purged: 0,
            max_file: None,
            lags: false,
            kills: 0,
            next_hole: 0,
            tables: BTreeMap::new(),
            first_table: 100 + u64::from(server_id % 1_000),
            next_table: 100 + u64::from(server_id % 1_000),
            next_xid: 1,
        };
        instance.begin_file(0, script);
        instance
    }

    fn stamp(&self, kind: u8, timestamp: u32, script: &Script, sum: bool) -> Stamp {
        let server_id = match script.generation {
            Generation::V2 => V2_SERVER_ID,
            Generation::V4 => self.server_id,
        };
        let flags = if kind == event::FORMAT_DESCRIPTION {
            0
        } else {
            event::IN_USE
        };
        Stamp {
            kind,
            timestamp,
            server_id,
            flags,
            sum,
        }
    }

    /// What is in no file: as the last event said it, but made up.
    pub(super) fn made_up(&self, kind: u8, timestamp: u32, flags: u16, sum: bool, script: &Script) -> Stamp {
        Stamp {
            flags,
            ..self.stamp(kind, timestamp, script, sum)
        }
    }

    /// Bytes that the next file's positions count and nobody keeps.
    pub(super) fn leave_hole(&mut self, bytes: u64) {
        self.next_hole = bytes;
    }

    fn begin_file(&mut self, timestamp: u32, script: &Script) {
        let number = self.files.last().map_or(1, |file| file.number + 1);
        self.files.push(File {
            number,
            data: vec![0xfe, b'b', b'i', b'n'],
            intro: usize::MAX,
            hole: std::mem::take(&mut self.next_hole),
            previous: self.written,
            sums: script.sums,
            rotation: None,
        });
        let lengths = script.header_lengths;
        let format = event::format_description(timestamp, lengths, script.sums);
        self.append(event::FORMAT_DESCRIPTION, timestamp, &format, script);
        let previous = event::previous_gtids(&self.uuid, self.written);
        self.append(event::PREVIOUS_GTIDS, timestamp, &previous, script);
        if let Some(file) = self.files.last_mut() {
            file.intro = file.data.len();
        }
    }

    fn append(&mut self, kind: u8, timestamp: u32, body: &[u8], script: &Script) {
        let sums = self.files.last().is_some_and(|file| file.sums);
        let stamp = self.stamp(kind, timestamp, script, sums);
        if let Some(file) = self.files.last_mut() {
            let end = file.data.len() + stamp.size(body);
            let position = file.position(end);
            stamp.put(body, position, &mut file.data);
        }
    }

    /// Ends the file and begins the next.
    pub(super) fn rotate(&mut self, timestamp: u32, script: &Script) {
        let next = self.files.last().map_or(1, |file| file.number + 1);
        let body = event::rotate(&format!("mysql-bin.{next:06}"), START as u64);
        if let Some(file) = self.files.last_mut() {
            file.rotation = Some(file.data.len());
        }
        self.append(event::ROTATE, timestamp, &body, script);
        self.begin_file(timestamp, script);
    }

    /// A new process: tables get their ids anew, where one may have been another's before, and a new file is begun.
    pub(super) fn restart(&mut self, timestamp: u32, script: &Script) {
        self.tables.clear();
        self.next_table = self.first_table;
        self.next_xid = 1;
        self.rotate(timestamp, script);
    }

    /// Writes a transaction.
    pub(super) fn write(&mut self, transaction: &Transaction, script: &Script) {
        let lost = script.loses.contains(&transaction.gno);
        if !lost {
            self.write_rows(transaction, usize::MAX, script);
        }
        self.written = transaction.gno;
        let most = self.max_file.unwrap_or(script.max_file);
        if self.files.last().is_some_and(|file| file.data.len() > most) {
            self.rotate(transaction.seconds(), script);
        }
    }

    /// Writes a transaction's beginning, with at most so many rows of it and then no end. Returns the place where the
    /// file has to be cut for the transaction to be gone.
    pub(super) fn write_half(&mut self, transaction: &Transaction, rows: usize, script: &Script) -> usize {
        let start = self.files.last().map_or(START, |file| file.data.len());
        self.write_rows(transaction, rows, script);
        start
    }

    /// Cuts the newest file.
    pub(super) fn truncate(&mut self, to: usize) {
        if let Some(file) = self.files.last_mut() {
            file.data.truncate(to);
        }
    }

    fn write_rows(&mut self, transaction: &Transaction, rows: usize, script: &Script) {
        let seconds = transaction.seconds();
        let gtid = event::gtid(&self.uuid, transaction.gno, transaction.at_us);
        self.append(event::GTID, seconds, &gtid, script);
        let changes = match &transaction.body {
            Body::Statement(text) => {
                return self.append(event::QUERY, seconds, &event::query(SCHEMA, text), script);
            }
            Body::Rows(changes) => changes,
        };
        self.append(event::QUERY, seconds, &event::query("", "BEGIN"), script);
        for change in changes.iter().take(rows) {
            self.write_change(transaction, change, script);
        }
        if rows >= changes.len() {
            let xid = self.next_xid.to_le_bytes();
            self.next_xid += 1;
            self.append(event::XID, seconds, &xid, script);
        }
    }

    fn write_change(&mut self, transaction: &Transaction, change: &Change, script: &Script) {
        let (name, operation, mut before, mut after) = change.images(transaction.seed);
        let Some(shape) = transaction.shapes.get(name) else {
            panic!("no table {name}");
        };
        let id = match self.tables.get(name) {
            Some((known, id)) if Arc::ptr_eq(known, shape) => *id,
            _ => {
                self.next_table += 1;
                self.tables
                    .insert(name.to_owned(), (Arc::clone(shape), self.next_table));
                self.next_table
            }
        };
        if script.minimal && operation == Operation::Update {
            minimise(shape.key, &mut before, &mut after);
        }
        let seconds = transaction.seconds();
        let map = event::table_map(id, SCHEMA, shape);
        self.append(event::TABLE_MAP, seconds, &map, script);
        let partial = change.is_partial();
        let (kind, images): (u8, Vec<&[Value]>) = match operation {
            Operation::Insert => (event::WRITE_ROWS, vec![&after]),
            Operation::Update if partial => (event::PARTIAL_UPDATE_ROWS, vec![&before, &after]),
            Operation::Update => (event::UPDATE_ROWS, vec![&before, &after]),
            Operation::Delete => (event::DELETE_ROWS, vec![&before]),
        };
        let body = event::rows(id, shape, &images, partial);
        self.append(kind, seconds, &body, script);
    }

    /// Removes all files but the newest so many.
    pub(super) fn purge(&mut self, keep: usize) {
        let from = self.files.len().saturating_sub(keep);
        self.files.drain(..from);
        if let Some(first) = self.files.first() {
            self.purged = first.previous;
        }
    }

    pub(super) fn file(&self, number: u32) -> Option<&File> {
        self.files.iter().find(|file| file.number == number)
    }
}

/// Leaves out of an update what a partial image does not have.
fn minimise(key: usize, before: &mut [Value], after: &mut [Value]) {
    use crate::workload::Cell;
    for (old, new) in before.iter_mut().zip(after.iter_mut()).skip(key) {
        if old == new {
            *new = Value::Cell(Cell::Null);
        }
        *old = Value::Cell(Cell::Null);
    }
}

//! The tenant: tables, rows, and transactions with their numbers; and what the oracle is to know of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use super::column::{Shape, Value};
use super::instance::Instance;
use super::script::Script;
use crate::workload::{self, CommitLog, Key, Operation, Table};

/// The schema that all tables are in.
pub const SCHEMA: &str = crate::servers::SCHEMA;

/// One changed row.
#[derive(Clone, Debug)]
pub enum Change {
    /// A row of the workload, which the oracle knows.
    Known {
        /// Which row.
        key: Key,
        /// What was done.
        operation: Operation,
        /// The version that it makes.
        version: u64,
    },
    /// Any other row.
    Free {
        /// The table.
        table: String,
        /// What was done.
        operation: Operation,
        /// The row before; empty for an insert.
        before: Vec<Value>,
        /// The row afterwards; empty for a delete.
        after: Vec<Value>,
        /// Sent as the difference of a JSON document.
        partial: bool,
    },
}

impl Change {
    /// A row that comes into being.
    pub fn insert(table: &str, row: Vec<Value>) -> Change {
        Change::Free {
            table: table.to_owned(),
            operation: Operation::Insert,
            before: Vec::new(),
            after: row,
            partial: false,
        }
    }

    /// Table, operation, row before and row afterwards.
    pub(super) fn images(&self, seed: u64) -> (&str, Operation, Vec<Value>, Vec<Value>) {
        match self {
            Change::Known {
                key,
                operation,
                version,
            } => {
                let image = |version| -> Vec<Value> {
                    let row = workload::row(seed, *key, version).into_iter();
                    row.map(|(_, cell)| cell.into()).collect()
                };
                let (before, after) = match operation {
                    Operation::Insert => (Vec::new(), image(*version)),
                    Operation::Update => (image(version - 1), image(*version)),
                    Operation::Delete => (image(version - 1), Vec::new()),
                };
                (key.table.name(), *operation, before, after)
            }
            Change::Free {
                table,
                operation,
                before,
                after,
                ..
            } => (table, *operation, before.clone(), after.clone()),
        }
    }

    pub(super) fn is_partial(&self) -> bool {
        matches!(self, Change::Free { partial: true, .. })
    }
}

/// What a transaction does.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Rows(Vec<Change>),
    /// A statement that defines something.
    Statement(String),
}

/// A committed transaction.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) gno: u64,
    /// Microseconds since 1970.
    pub(super) at_us: u64,
    pub(super) seed: u64,
    pub(super) shapes: Arc<BTreeMap<String, Arc<Shape>>>,
    pub(super) body: Body,
}

impl Transaction {
    pub(super) fn seconds(&self) -> u32 {
        u32::try_from(self.at_us / 1_000_000).unwrap_or(u32::MAX)
    }
}

/// Everything behind one lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) uuid: [u8; 16],
    seed: u64,
    rng: Rng,
    pub(super) script: Script,
    pub(super) shapes: Arc<BTreeMap<String, Arc<Shape>>>,
    /// By the rows of the workload: whether it exists, and its version.
    keys: BTreeMap<Key, (bool, u64)>,
    transactions: Vec<Arc<Transaction>>,
    pub(super) instances: Vec<Instance>,
    /// The instance that the proxy asks.
    pub(super) active: usize,
    /// What the observer says of its variables.
    pub(super) variables: BTreeMap<String, String>,
    /// Named locks of the observer, and the connection that took each.
    pub(super) locks: BTreeMap<String, u64>,
    /// Dumps under way: instance, file, and the place up to which it was sent.
    pub(super) dumps: BTreeMap<u64, Progress>,
    /// Requests for a dump so far.
    pub(super) dumps_requested: u64,
    /// Statements, in the order in which they came.
    pub(super) asked: Vec<String>,
    /// Transactions that a client had, and of which the filter sent the end.
    pub(super) leaked: u64,
    next_id: u64,
}

/// How far a dump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) instance: usize,
    pub(super) file: u32,
    pub(super) offset: usize,
}

impl State {
    pub(super) fn new(seed: u64, script: Script) -> State {
        let mut rng = Rng::with_seed(seed);
        let mut uuid = [0; 16];
        rng.fill(&mut uuid);
        let shapes = Table::ALL
            .into_iter()
            .map(|table| (table.name().to_owned(), Arc::new(Shape::of(table))));
        State {
            uuid,
            seed,
            shapes: Arc::new(shapes.collect()),
            keys: BTreeMap::new(),
            transactions: Vec::new(),
            instances: vec![Instance::new(uuid, rng.u32(1_000_000..), &script)],
            active: 0,
            variables: observer_variables(),
            locks: BTreeMap::new(),
            dumps: BTreeMap::new(),
            dumps_requested: 0,
            asked: Vec::new(),
            leaked: 0,
            next_id: 1,
            script,
            rng,
        }
    }

    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        self.rng.u32(..limit.max(1))
    }

    /// The last transaction of the tenant.
    pub(super) fn last(&self) -> u64 {
        self.transactions.len() as u64
    }

    /// A random transaction of the workload, among so many keys.
    pub(super) fn random(&mut self, rows: u32, keys: u32) -> Vec<Change> {
        let rows = self.rng.u32(1..=rows);
        let mut changes = Vec::new();
        for _ in 0..rows {
            let table = if self.rng.bool() {
                Table::Accounts
            } else {
                Table::Stock
            };
            let number = self.rng.u32(..keys);
            changes.push(self.next_change(Key { table, number }));
        }
        changes
    }

    /// The next change of a row: it comes into being, changes, or now and then goes.
    pub(super) fn next_change(&mut self, key: Key) -> Change {
        let goes = self.rng.u32(..4) == 0;
        let (exists, version) = self.keys.entry(key).or_default();
        let operation = match (*exists, goes) {
            (false, _) => Operation::Insert,
            (true, false) => Operation::Update,
            (true, true) => Operation::Delete,
        };
        *exists = operation != Operation::Delete;
        *version += 1;
        Change::Known {
            key,
            operation,
            version: *version,
        }
    }

    /// A transaction with the next number; the log knows it before anybody can read it.
    pub(super) fn number(&mut self, body: Body, log: &CommitLog) -> Arc<Transaction> {
        let at_us = workload::now_us();
        if let Body::Rows(changes) = &body {
            let known = changes.iter().filter_map(|change| match change {
                Change::Known { key, operation, .. } => Some((*key, *operation)),
                Change::Free { .. } => None,
            });
            log.committed(&known.collect::<Vec<_>>(), at_us);
        }
        let transaction = Arc::new(Transaction {
            gno: self.last() + 1,
            at_us,
            seed: self.seed,
            shapes: Arc::clone(&self.shapes),
            body,
        });
        self.transactions.push(Arc::clone(&transaction));
        transaction
    }

    pub(super) fn commit(&mut self, body: Body, log: &CommitLog) -> u64 {
        let transaction = self.number(body, log);
        self.catch_up();
        transaction.gno
    }

    /// Every instance that does not stand still writes what it lacks.
    pub(super) fn catch_up(&mut self) {
        for instance in self.instances.iter_mut().filter(|instance| !instance.lags) {
            let missing = usize::try_from(instance.written).unwrap_or(usize::MAX);
            for transaction in self.transactions.iter().skip(missing) {
                instance.write(transaction, &self.script);
            }
        }
    }

    /// Restarts every instance, and has it write the last so many transactions once more.
    pub(super) fn write_again(&mut self, transactions: usize, timestamp: u32) {
        let from = self.transactions.len().saturating_sub(transactions);
        for instance in &mut self.instances {
            instance.restart(timestamp, &self.script);
            for transaction in self.transactions.iter().skip(from) {
                instance.write(transaction, &self.script);
            }
        }
    }

    /// Gives a table another shape from here on. A table that changes gets a new number in the binlog.
    pub(super) fn define(&mut self, shape: Shape) {
        let shapes = Arc::make_mut(&mut self.shapes);
        shapes.insert(shape.name.clone(), Arc::new(shape));
    }

    /// Whether there is a dump, and all of them have sent what there is.
    pub(super) fn is_drained(&self) -> bool {
        let at_end = |progress: &Progress| {
            let instance = self.instances.get(progress.instance);
            let newest = instance.and_then(|instance| instance.files.last());
            newest.is_some_and(|file| (file.number, file.data.len()) == (progress.file, progress.offset))
        };
        !self.dumps.is_empty() && self.dumps.values().all(at_end)
    }

    /// The rows of the workload that exist: key and version.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Key, u64)> {
        let existing = self.keys.iter().filter(|(_, (exists, _))| *exists);
        existing.map(|(key, (_, version))| (*key, *version))
    }
}

fn observer_variables() -> BTreeMap<String, String> {
    [
        ("log_bin", "ON"),
        ("binlog_format", "ROW"),
        ("binlog_row_image", "FULL"),
        ("binlog_checksum", "CRC32"),
        ("net_write_timeout", "60"),
        ("log_row_value_options", ""),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

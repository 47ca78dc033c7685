//! What was committed, in memory: the truth that the oracle holds the topic against.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::content::{Cell, Key, Table, row};

/// What was done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The row came into being.
    Insert,
    /// It changed.
    Update,
    /// It went.
    Delete,
}

/// One committed change. Its version is its place in its key's list, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// What was done.
    pub operation: Operation,
    /// When the writer asked for the commit: microseconds since 1970, this machine's clock.
    pub at_us: u64,
}

/// All committed changes, by key. Version n of a key is the n-th change; a delete counts as a version of its
/// own, and the row that is deleted carries the version before it.
#[derive(Debug)]
pub struct CommitLog {
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: BTreeMap<Key, Vec<Commit>>,
    changes: u64,
    transactions: u64,
    rolled_back: u64,
    resolved: u64,
}

/// Totals of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Committed row changes.
    pub changes: u64,
    /// Committed transactions.
    pub transactions: u64,
    /// Transactions rolled back on purpose; none of their rows may ever arrive.
    pub rolled_back: u64,
    /// Commits whose outcome was unknown and had to be read back.
    pub resolved: u64,
}

impl CommitLog {
    /// An empty log of rows whose content grows from `seed`.
    pub fn new(seed: u64) -> CommitLog {
        CommitLog { seed, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a committed transaction: its changes in order, each key's continuing its versions.
    pub fn committed(&self, changes: &[(Key, Operation)], at_us: u64) {
        let mut state = self.state();
        for (key, operation) in changes {
            state.keys.entry(*key).or_default().push(Commit { operation: *operation, at_us });
        }
        state.changes += changes.len() as u64;
        state.transactions += 1;
    }

    pub(super) fn rolled_back(&self) {
        self.state().rolled_back += 1;
    }

    pub(super) fn resolved(&self) {
        self.state().resolved += 1;
    }

    /// Totals so far.
    pub fn totals(&self) -> Totals {
        let state = self.state();
        Totals {
            changes: state.changes,
            transactions: state.transactions,
            rolled_back: state.rolled_back,
            resolved: state.resolved,
        }
    }

    /// The changes of every key, each in the order of its versions.
    pub fn snapshot(&self) -> BTreeMap<Key, Vec<Commit>> {
        self.state().keys.clone()
    }

    /// The change that made a key's version, if it was committed.
    pub fn change(&self, key: Key, version: u64) -> Option<Commit> {
        let index = usize::try_from(version.checked_sub(1)?).ok()?;
        self.state().keys.get(&key)?.get(index).copied()
    }

    /// What a key's row holds at a version.
    pub fn row(&self, key: Key, version: u64) -> Vec<(&'static str, Cell)> {
        row(self.seed, key, version)
    }

    /// The version of every row that exists now in a table, by key.
    pub fn rows(&self, table: Table) -> BTreeMap<Key, u64> {
        let state = self.state();
        let of_table = state.keys.iter().filter(|(key, _)| key.table == table);
        of_table
            .filter(|(_, commits)| commits.last().is_some_and(|last| last.operation != Operation::Delete))
            .map(|(key, commits)| (*key, commits.len() as u64))
            .collect()
    }
}

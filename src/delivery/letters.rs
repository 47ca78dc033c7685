//! Dead letters and their fences: what waits behind them, and how they are sent again or given up.
//!
//! A key with a letter in the file is fenced: its later rows go to the file behind it, never past it. The fence falls
//! with the key's last letter. While letters are sent again, the rows of their keys wait in memory, so that a replay
//! has an end; other keys flow.
//!
//! Letters are sent in rounds: read from the file, put in front of their lanes' queues, taken out of the file once
//! the topic has them. Between the first request of a round and the new file no checkpoint is written: what a start
//! reads of a shard reaches back to the last record that its checkpoint covers, and has to meet the letters on its way.
//!
//! Rewriting or reading the file and appending to it exclude each other, so that the counts are exact.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::lane::Limits;
use crate::change::TableId;
use crate::record::letter::{Report, Request, Wanted};
use crate::record::{Key, Record, Seq};
use crate::retry::Reason;

/// Reason code of a record that nobody refused: it waits behind one that was.
pub const KEY_FENCED: &str = "key_fenced";

/// Why it is in the file.
pub(super) fn key_fenced() -> Reason {
    Reason {
        code: KEY_FENCED,
        message: "an earlier record of the key is among the dead letters".to_owned(),
    }
}

/// Letters of one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) keys: u64,
    pub(super) letters: u64,
}

/// Rows of fenced keys on their way to the file.
#[derive(Debug, Default)]
pub(super) enum Write {
    #[default]
    Idle,
    Retry(Duration),
    Running(Vec<Seq>),
}

/// What a request needs of the file next.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Read,
    Remove(Vec<Record>),
    Discard(String),
}

/// Where a request is.
#[derive(Debug)]
pub(super) enum Phase {
    /// The step is due.
    Due(Step, Duration),
    /// The step waits for what is being appended; nothing more is.
    Claimed(Step),
    /// The step is being done.
    Running(Step),
    /// Letters are with the lanes.
    Sending(Round),
}

/// Letters that are being sent again.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Not with a lane yet, in order.
    pub(super) pending: Vec<Record>,
    /// The topic has them.
    pub(super) delivered: Vec<Record>,
    /// Keys of which a letter was refused: the rest of them stays.
    pub(super) refused: HashSet<Key>,
}

/// A request that is being carried out.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) request: Request,
    pub(super) wanted: Wanted,
    pub(super) phase: Phase,
    pub(super) failures: u32,
    pub(super) report: Report,
}

/// The state of everything that has to do with dead letters.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Letters in the file, by key.
    pub(super) fences: HashMap<Key, u64>,
    /// The same by table, for people.
    tables: BTreeMap<Option<Arc<TableId>>, Tally>,
    /// Rows of fenced keys that are not in the file.
    pub(super) waiting: BTreeMap<Seq, Record>,
    /// Hashes of the keys that are being sent again: their rows stay in memory meanwhile.
    pub(super) held: HashSet<u128>,
    pub(super) write: Write,
    pub(super) failures: u32,
    pub(super) last_failure: Option<Reason>,
    pub(super) work: Option<Work>,
    pub(super) replayed: u64,
    pub(super) discarded: u64,
}

impl Letters {
    /// Whether the record has to stay behind letters of its key.
    pub(super) fn fences(&self, record: &Record) -> bool {
        if self.fences.is_empty() || record.is_letter() {
            return false;
        }
        let key = record.key();
        let unknown = Key {
            table: None,
            hash: key.hash,
        };
        self.fences.contains_key(&key) || self.fences.contains_key(&unknown)
    }

    pub(super) fn add(&mut self, key: Key, letters: u64) {
        if letters == 0 {
            return;
        }
        let table = self.tables.entry(key.table.clone()).or_default();
        table.letters = table.letters.saturating_add(letters);
        let before = self.fences.entry(key).or_default();
        table.keys = table.keys.saturating_add(u64::from(*before == 0));
        *before = before.saturating_add(letters);
    }

    pub(super) fn remove(&mut self, key: &Key, letters: u64) {
        let Some(before) = self.fences.get_mut(key) else {
            return;
        };
        let taken = letters.min(*before);
        *before -= taken;
        let is_empty = *before == 0;
        if is_empty {
            self.fences.remove(key);
        }
        if let Some(table) = self.tables.get_mut(&key.table) {
            table.letters = table.letters.saturating_sub(taken);
            table.keys = table.keys.saturating_sub(u64::from(is_empty));
            if table.keys == 0 {
                self.tables.remove(&key.table);
            }
        }
    }

    /// Forgets what is in the file, to be told anew.
    pub(super) fn forget(&mut self) {
        self.fences.clear();
        self.tables.clear();
    }

    /// Takes a row of a fenced key.
    pub(super) fn hold(&mut self, record: Record) {
        self.waiting.insert(record.seq, record);
    }

    /// Rows of fenced keys that are not in the file.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = (Option<&Arc<TableId>>, Tally)> {
        self.tables.iter().map(|(table, tally)| (table.as_ref(), *tally))
    }

    /// Whether the file is wanted as a whole: nothing may be appended.
    pub(super) fn claims_file(&self) -> bool {
        matches!(
            self.work.as_ref().map(|work| &work.phase),
            Some(Phase::Claimed(_) | Phase::Running(_))
        )
    }

    /// Whether letters may be in the topic and in the file: a checkpoint could hide that from the next start.
    pub(super) fn hold_checkpoint(&self) -> bool {
        match self.work.as_ref().map(|work| &work.phase) {
            Some(Phase::Sending(_)) => true,
            Some(Phase::Due(step, _) | Phase::Claimed(step) | Phase::Running(step)) => {
                matches!(step, Step::Remove(_))
            }
            None => false,
        }
    }

    pub(super) fn is_at_work(&self) -> bool {
        self.work.is_some()
    }

    pub(super) fn is_writing(&self) -> bool {
        matches!(self.write, Write::Running(_))
    }

    /// When rows are to be written again that could not be.
    pub(super) fn write_due(&self) -> Option<Duration> {
        match self.write {
            Write::Retry(at) if !self.claims_file() => Some(at),
            Write::Retry(_) | Write::Idle | Write::Running(_) => None,
        }
    }

    /// When the next step of a request is due.
    pub(super) fn work_due(&self) -> Option<Duration> {
        match self.work.as_ref().map(|work| &work.phase) {
            Some(Phase::Due(_, at)) => Some(*at),
            Some(Phase::Claimed(_) | Phase::Running(_) | Phase::Sending(_)) | None => None,
        }
    }

    /// The next rows for the file.
    pub(super) fn writable(&self, limits: Limits) -> Vec<Record> {
        let (mut rows, mut bytes) = (Vec::new(), 0usize);
        for record in self
            .waiting
            .values()
            .filter(|record| !self.held.contains(&record.hash_key))
        {
            bytes = bytes.saturating_add(record.cost());
            if !rows.is_empty() && (bytes > limits.bytes || rows.len() >= limits.records) {
                break;
            }
            rows.push(record.clone());
        }
        rows
    }
}

//! Holds what is in the topic against what was committed.
//!
//! | finding | meaning |
//! |---|---|
//! | lost | a committed change that no record shows |
//! | repeated, same id | a change shown again under the `cdc.id` it had before: a consumer can leave it out |
//! | repeated, other id | a change shown again under another id, or none: nobody can tell |
//! | out of order | a key's change that comes after a later one of the same key, at its first showing |
//! | wrong content | a value, an operation or an image that differs from what was committed |
//! | foreign | a record of a change that was never committed, or of nothing that the workload knows |
//! | final rows | rows that differ between the records, folded by key, and the database |
//!
//! The oracle knows the envelope and the workload, and nothing of how a record came to be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::latency::{Latencies, Summary};
use crate::workload::{Commit, CommitLog, Key, Operation};

mod database;
mod emulator;
mod envelope;

pub use database::DatabaseRows;
pub use emulator::check_topic;

use envelope::Envelope;

/// How many findings are described one by one.
const EXAMPLES: usize = 12;

/// A record of the topic, as the oracle wants it.
#[derive(Clone, Copy, Debug)]
pub struct TopicRecord<'a> {
    /// Id of its shard, a number.
    pub shard: &'a str,
    /// Its sequence number in the shard.
    pub sequence: u64,
    /// Its attribute `cdc.id`.
    pub id: Option<&'a str>,
    /// Its payload, a Debezium JSON object.
    pub payload: &'a [u8],
    /// When the service stored it: microseconds since 1970, this machine's clock; for latencies.
    pub stored_us: Option<u64>,
}

/// Compares all records of a topic with all that was committed, and with the rows that are in the database.
///
/// Records may come in any order; they are read shard by shard. A shard that came from a split or a merge has
/// a higher number than its parents, so a key's records are read in the order they were written.
pub fn check<'a>(
    log: &CommitLog,
    records: impl IntoIterator<Item = TopicRecord<'a>>,
    rows: Option<&DatabaseRows>,
) -> Report {
    let mut records: Vec<TopicRecord<'a>> = records.into_iter().collect();
    // A shard id that is no number sorts last and is still read.
    records.sort_by_key(|record| {
        (
            record.shard.parse::<u64>().unwrap_or(u64::MAX),
            record.shard,
            record.sequence,
        )
    });
    let mut reading = Reading::new(log);
    for record in &records {
        reading.observe(record);
    }
    reading.finish(rows)
}

/// What a key's records showed so far.
#[derive(Default)]
struct History {
    /// By version, from 1: the id under which it was first shown.
    shown: Vec<Option<Arc<str>>>,
    /// The highest version shown.
    highest: u64,
    /// What the last record leaves behind: the row's version, or nothing.
    remaining: Option<u64>,
    /// The same, where a change that is shown again is left out.
    remaining_once: Option<u64>,
}

struct Reading<'a> {
    log: &'a CommitLog,
    truth: BTreeMap<Key, Vec<Commit>>,
    histories: BTreeMap<Key, History>,
    ids: HashMap<Arc<str>, (Key, u64)>,
    report: Report,
}

impl<'a> Reading<'a> {
    fn new(log: &'a CommitLog) -> Reading<'a> {
        let truth = log.snapshot();
        let committed = truth.values().map(|commits| commits.len() as u64).sum();
        let report = Report {
            committed,
            ..Report::default()
        };
        Reading {
            log,
            truth,
            histories: BTreeMap::new(),
            ids: HashMap::new(),
            report,
        }
    }

    fn observe(&mut self, record: &TopicRecord<'_>) {
        self.report.records += 1;
        let place = format!("shard {} sequence {}", record.shard, record.sequence);
        let envelope = match Envelope::parse(record.payload) {
            Ok(envelope) => envelope,
            Err(problem) => {
                self.report.foreign += 1;
                return self.report.example(format!("foreign: {place}: {problem}"));
            }
        };
        let (key, version) = (envelope.key, envelope.version);
        let commit = usize::try_from(version)
            .ok()
            .and_then(|version| self.truth.get(&key)?.get(version.checked_sub(1)?).copied());
        let Some(commit) = commit else {
            self.report.foreign += 1;
            return self.report.example(format!(
                "foreign: {place}: {key:?} version {version} was never committed"
            ));
        };
        if let Err(problem) = envelope.compare(self.log, commit.operation) {
            self.report.wrong_content += 1;
            self.report.example(format!(
                "wrong content: {place}: {key:?} version {version}: {problem}"
            ));
        }
        self.place(record, key, version, commit, &place);
    }

    /// Repetition, identity and order.
    fn place(&mut self, record: &TopicRecord<'_>, key: Key, version: u64, commit: Commit, place: &str) {
        let id: Option<Arc<str>> = record.id.map(Arc::from);
        match &id {
            None => {
                self.report.without_id += 1;
                self.report
                    .example(format!("without cdc.id: {place}: {key:?} version {version}"));
            }
            Some(id) => {
                let owner = *self.ids.entry(Arc::clone(id)).or_insert((key, version));
                if owner != (key, version) {
                    self.report.shared_id += 1;
                    self.report.example(format!(
                        "one id for two changes: {place}: {id} is {owner:?} as well"
                    ));
                }
            }
        }
        let history = self.histories.entry(key).or_default();
        history.remaining = (commit.operation != Operation::Delete).then_some(version);
        let index = usize::try_from(version - 1).unwrap_or(usize::MAX);
        if history.shown.len() <= index {
            // No longer than the key's list of commits, which has this version.
            history.shown.resize(index + 1, None);
        }
        let Some(slot) = history.shown.get_mut(index) else {
            return;
        };
        if let Some(first) = slot {
            // An absent id is stored as an empty one.
            if id.as_ref() == Some(first) {
                self.report.repeated_same_id += 1;
            } else {
                self.report.repeated_other_id += 1;
                let found = id.as_deref().unwrap_or("none");
                self.report.example(format!(
                    "repeated under another id: {place}: {key:?} version {version}: {found}, first {first}"
                ));
            }
            return;
        }
        *slot = Some(id.unwrap_or_else(|| Arc::from("")));
        history.remaining_once = history.remaining;
        if version < history.highest {
            self.report.out_of_order += 1;
            let highest = history.highest;
            self.report.example(format!(
                "out of order: {place}: {key:?} version {version} after {highest}"
            ));
        }
        history.highest = history.highest.max(version);
        if let Some(stored) = record.stored_us {
            self.report.latencies.push_us(stored.saturating_sub(commit.at_us));
        }
    }

    fn finish(mut self, rows: Option<&DatabaseRows>) -> Report {
        for (key, commits) in &self.truth {
            let shown = self
                .histories
                .get(key)
                .map(|history| history.shown.as_slice())
                .unwrap_or_default();
            for index in 0..commits.len() {
                if shown.get(index).is_none_or(Option::is_none) {
                    self.report.lost += 1;
                    self.report
                        .example(format!("lost: {key:?} version {}", index + 1));
                }
            }
        }
        if let Some(rows) = rows {
            self.compare_final(rows);
        }
        self.report
    }

    fn compare_final(&mut self, rows: &DatabaseRows) {
        self.report.final_rows = Some(rows.len() as u64);
        for problem in rows.differences(self.log) {
            self.report.database_differs += 1;
            self.report
                .example(format!("the database differs from the commit log: {problem}"));
        }
        let database = rows.versions();
        let histories = std::mem::take(&mut self.histories);
        let keys: BTreeSet<Key> = histories.keys().chain(database.keys()).copied().collect();
        for key in keys {
            let (expected, history) = (database.get(&key).copied(), histories.get(&key));
            let found = history.and_then(|history| history.remaining);
            if found != expected {
                self.report.final_differs += 1;
                self.report.example(format!(
                    "final row: {key:?}: version {found:?} by the records, {expected:?} in the database"
                ));
            }
            let once = history.and_then(|history| history.remaining_once);
            self.report.final_differs_once += u64::from(once != expected);
        }
    }
}

/// What the oracle found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Changes that were committed.
    pub committed: u64,
    /// Records in the topic.
    pub records: u64,
    /// See the table above.
    pub lost: u64,
    /// See the table above.
    pub repeated_same_id: u64,
    /// See the table above.
    pub repeated_other_id: u64,
    /// See the table above.
    pub out_of_order: u64,
    /// See the table above.
    pub wrong_content: u64,
    /// See the table above.
    pub foreign: u64,
    /// Records without `cdc.id`.
    pub without_id: u64,
    /// Records whose `cdc.id` belongs to another change.
    pub shared_id: u64,
    /// Rows in the database, if they were compared.
    pub final_rows: Option<u64>,
    /// See the table above.
    pub final_differs: u64,
    /// The same for a consumer that leaves out what it has seen, by `cdc.id`.
    pub final_differs_once: u64,
    /// Rows where the database is not what the workload believes: then the workload is wrong, not the relay.
    pub database_differs: u64,
    /// From the request to commit until the service stored the record, first showings only.
    pub latencies: Latencies,
    /// The first findings in words.
    pub examples: Vec<String>,
}

impl Report {
    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
    }

    /// Everything once, in order and right.
    pub fn is_exact(&self) -> bool {
        self.is_effectively_once() && self.repeated_same_id == 0
    }

    /// As [`Report::is_exact`], but repetitions that a consumer can recognise by their id are allowed.
    pub fn is_effectively_once(&self) -> bool {
        self.is_exact_deduplicated() && self.final_differs == 0
    }

    /// As [`Report::is_effectively_once`] for a consumer that leaves out what it has seen: an old change that is
    /// shown again behind a newer one may spoil the rows of one that does not.
    pub fn is_exact_deduplicated(&self) -> bool {
        let bad = [
            self.lost,
            self.repeated_other_id,
            self.out_of_order,
            self.wrong_content,
            self.foreign,
            self.without_id,
            self.shared_id,
            self.final_differs_once,
            self.database_differs,
        ];
        bad.iter().all(|count| *count == 0)
    }

    /// Repetitions of either sort.
    pub fn repeated(&self) -> u64 {
        self.repeated_same_id + self.repeated_other_id
    }

    /// Latency figures, if records carried the time they were stored.
    pub fn latency(&mut self) -> Option<Summary> {
        self.latencies.summary()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [
            ("committed changes", self.committed),
            ("records in the topic", self.records),
            ("lost", self.lost),
            ("repeated, same id", self.repeated_same_id),
            ("repeated, other id", self.repeated_other_id),
            ("out of order", self.out_of_order),
            ("wrong content", self.wrong_content),
            ("foreign", self.foreign),
            ("without id", self.without_id),
            ("one id, two changes", self.shared_id),
        ];
        for (name, count) in lines {
            writeln!(f, "{name:<24} {count:>10}")?;
        }
        if let Some(rows) = self.final_rows {
            writeln!(f, "{:<24} {rows:>10}", "rows in the database")?;
            writeln!(f, "{:<24} {:>10}", "final rows that differ", self.final_differs)?;
        }
        if self.database_differs > 0 {
            writeln!(
                f,
                "{:<24} {:>10}",
                "workload is wrong about", self.database_differs
            )?;
        }
        for example in &self.examples {
            writeln!(f, "  {example}")?;
        }
        Ok(())
    }
}

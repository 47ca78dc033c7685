//! How far back a shard has to be read, and what its newest records say. Pure.
//!
//! A batch of unknown fate is looked for among the records that came after it was first sent. Where those begin is
//! known by counting: a shard numbers its records as it stores them, and has at least those that it acknowledged or
//! showed before. No record of this group ends the search, because it may be a late copy: a request that was given
//! up, sent again, and stored by the service after all, behind records that are newer than it.
//!
//! At the start of a run nothing has been counted. There the search ends behind whole requests of records that lie
//! before the position, more of them than the service may still have been holding ([`LATE_REQUESTS`]).

use std::collections::HashMap;
use std::sync::Arc;

use super::wire::limits;
use crate::position::Position;
use crate::record::{
    ATTRIBUTE_EPOCH, ATTRIBUTE_GROUP, ATTRIBUTE_ID, ATTRIBUTE_LATE, ATTRIBUTE_WATERMARK, Batch, BatchId,
    Outcome, ParseRecordIdError, Probe, RecordId, ShardId, TailRecord,
};

/// How far back a shard is read among other writers' records.
///
/// A batch with so many records behind it is taken for not stored: a bound of effort, which only a very busy topic of
/// several writers can reach.
pub const LOOK_BACK_RECORDS: u64 = 100_000;

/// Requests in a row that a shard may have behind newer ones.
///
/// Those of a lane that the service was holding at once and stored late, and the later parts of one that was stored in
/// part. One is the rule: a request is given up only when the shard was read, and by then the service answers again.
pub const LATE_REQUESTS: usize = 3;

/// Reads in a row that show less of a shard than was there before the batch was sent, until they are believed.
///
/// By then the topic has been made anew under this name, or the service numbers its records otherwise.
const STALE_READS: u32 = 3;

/// Most records of a stretch: what is held of them at once is a few megabytes.
const LARGEST_STRETCH: u64 = 8 * limits::PAGE_RECORDS as u64;

/// What is known of a shard's length.
#[derive(Debug, Default)]
struct Length {
    /// The records that it has at least.
    least: u64,
    /// The newest request, and the least length when it was first sent.
    sent: Option<(BatchId, u64)>,
    /// Reads in a row that showed less.
    stale: u32,
}

/// The least length of each shard that was written to or read.
#[derive(Debug, Default)]
pub struct Lengths(HashMap<ShardId, Length>);

impl Lengths {
    /// A request is about to go out: whatever is stored of it will lie behind what is known now.
    pub fn sends(&mut self, batch: &Batch) {
        let length = self.of(&batch.shard);
        length.sent = Some((batch.id, length.least));
    }

    /// The request was answered.
    pub fn answered(&mut self, batch: &Batch, outcome: &Outcome) {
        let stored = match outcome {
            Outcome::Acknowledged => batch.records.len(),
            Outcome::Partial(refused) => batch.records.len().saturating_sub(refused.len()),
            Outcome::Refused(_) | Outcome::Unknown { .. } => 0,
        };
        let length = self.of(&batch.shard);
        length.least = length.least.saturating_add(stored as u64);
    }

    /// The shard says that its newest record has this number.
    pub fn shows(&mut self, shard: &ShardId, newest: Option<u64>) {
        // One less than that makes, for a shard without records may name the number that its next one will have.
        let length = self.of(shard);
        length.least = length.least.max(newest.unwrap_or_default());
    }

    /// The first number that a record of the batch can have. `None` while the shard shows less than it had before the
    /// batch was sent: such a read says nothing about the batch yet.
    pub fn begin(&mut self, batch: &Batch, newest: Option<u64>) -> Option<u64> {
        let length = self.of(&batch.shard);
        let begin = length.sent.filter(|(id, _)| *id == batch.id).map_or(0, |s| s.1);
        let shown = newest.map_or(0, |newest| newest.saturating_add(1));
        if shown >= begin {
            length.stale = 0;
            return Some(begin);
        }
        length.stale = length.stale.saturating_add(1);
        if length.stale < STALE_READS {
            return None;
        }
        *length = Length {
            sent: Some((batch.id, 0)),
            ..Length::default()
        };
        Some(0)
    }

    fn of(&mut self, shard: &ShardId) -> &mut Length {
        self.0.entry(ShardId::clone(shard)).or_default()
    }
}

/// Which records to read next: from a shard's end backwards, in stretches of growing length.
#[derive(Debug)]
pub struct Window {
    newest: u64,
    /// One behind the next stretch's last record.
    end: u64,
    /// Nothing before this number is of interest.
    begin: u64,
    /// Records of the next stretch.
    size: u64,
    /// The oldest record that is left, if older ones are gone.
    oldest_left: Option<u64>,
}

impl Window {
    /// Back to `begin`, `first` records in the first stretch.
    pub fn new(newest: Option<u64>, begin: u64, first: usize) -> Self {
        Self {
            newest: newest.unwrap_or_default(),
            end: newest.map_or(0, |newest| newest.saturating_add(1)),
            begin,
            size: (first as u64).max(1),
            oldest_left: None,
        }
    }

    /// The numbers of the next older stretch's first and last record.
    pub fn stretch(&mut self) -> Option<(u64, u64)> {
        if self.is_complete() {
            return None;
        }
        let last = self.end.checked_sub(1)?;
        self.end = self.end.saturating_sub(self.size).max(self.begin);
        self.size = (self.size.saturating_mul(2)).clamp(u64::from(limits::PAGE_RECORDS), LARGEST_STRETCH);
        Some((self.end, last))
    }

    /// Nothing older than this record is left in the shard.
    pub fn cut(&mut self, oldest_left: Option<u64>) {
        self.oldest_left = oldest_left;
        self.end = self.begin;
    }

    /// The oldest record that is left, if older ones are gone.
    pub fn oldest_left(&self) -> Option<u64> {
        self.oldest_left
    }

    /// Whether nothing older is there, or is worth looking at.
    pub fn is_complete(&self) -> bool {
        self.end <= self.begin || self.newest.saturating_sub(self.end) >= LOOK_BACK_RECORDS
    }
}

/// The search for a batch of unknown fate.
#[derive(Debug)]
pub struct Search<'a> {
    group: &'a str,
    ids: HashMap<String, usize>,
    /// How often each record of the batch was seen.
    copies: Vec<u32>,
    /// The lowest number of one of them.
    lowest: Option<u64>,
    /// The highest epoch of the group's records.
    epoch: u64,
}

/// What a search ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is there of the batch.
    pub probe: Probe,
    /// Records that are there again, under the same id.
    pub repeated: u64,
}

impl<'a> Search<'a> {
    /// A search for the batch of this group.
    pub fn new(batch: &Batch, group: &'a str) -> Self {
        let indexed = batch.records.iter().enumerate();
        Self {
            group,
            ids: indexed
                .map(|(index, record)| (record.id.to_string(), index))
                .collect(),
            copies: vec![0; batch.records.len()],
            lowest: None,
            epoch: 0,
        }
    }

    /// Takes the next older stretch.
    pub fn look(&mut self, records: &[TailRecord]) {
        for record in records.iter().filter(|record| is_of(record, self.group)) {
            self.epoch = self.epoch.max(epoch_of(record));
            let index = record
                .attributes
                .get(ATTRIBUTE_ID)
                .and_then(|id| self.ids.get(id));
            if let Some(copies) = index.and_then(|index| self.copies.get_mut(*index)) {
                *copies = copies.saturating_add(1);
                self.lowest = Some(
                    self.lowest
                        .map_or(record.sequence, |low| low.min(record.sequence)),
                );
            }
        }
    }

    /// The highest epoch of the group's records that were seen.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether every record was seen.
    pub fn has_all(&self) -> bool {
        self.copies.iter().all(|copies| *copies > 0)
    }

    /// What was found, once there is nothing more to look at. `oldest_left` as [`Window::oldest_left`].
    pub fn finding(&self, oldest_left: Option<u64>) -> Finding {
        let seen = |copies: &&u32| **copies > 0;
        let missing: Vec<usize> = self
            .copies
            .iter()
            .enumerate()
            .filter_map(|(index, copies)| (*copies == 0).then_some(index))
            .collect();
        let prefix = self.copies.iter().take_while(seen).count();
        let suffix = self.copies.iter().rev().take_while(seen).count();
        let len = self.copies.len();
        // A request is stored in one go and in order: where its end is the oldest that is left, its beginning was
        // there, and its time is over.
        let outlived = suffix > 0 && suffix + missing.len() == len && self.lowest == oldest_left;
        let probe = if outlived {
            Probe::Holds(len)
        } else if prefix + missing.len() == len {
            Probe::Holds(prefix)
        } else {
            Probe::Lacks(missing)
        };
        let repeated = self
            .copies
            .iter()
            .map(|copies| u64::from(copies.saturating_sub(1)));
        Finding {
            probe,
            repeated: repeated.sum(),
        }
    }
}

/// A group's records in a shard that a run may meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Those behind the position.
    pub behind: Vec<RecordId>,
    /// Late ones that it covers: they can only come again where their table is parked.
    pub late: Vec<RecordId>,
}

/// The search for a group's records behind a position, from a shard's newest record backwards.
#[derive(Debug)]
pub struct Behind<'a> {
    group: &'a str,
    position: &'a Position,
    found: Found,
    /// The last records of the requests that were passed since the last record behind the position, each once.
    passed: Vec<String>,
}

impl<'a> Behind<'a> {
    /// A search that has seen nothing.
    pub fn new(position: &'a Position, group: &'a str) -> Self {
        Self {
            group,
            position,
            found: Found::default(),
            passed: Vec::new(),
        }
    }

    /// Takes the next older stretch, and says whether everything behind the position has been seen.
    ///
    /// A shard's records are in the binlog's order except for late copies and those that are marked late. Requests that
    /// lie wholly before the position end the search, but not before there are more of them than can be late copies. A
    /// request's last record has a watermark; one that lacks it only makes the search longer. Late records (dead letters
    /// that were sent again, rows that waited for them, rows of a table that was parked, rows that an earlier run left
    /// out) say nothing: they were stored behind others that follow them. They are among what is found, wherever they
    /// come from.
    ///
    /// # Errors
    /// A record of the group has an id that this version does not write.
    pub fn look(&mut self, records: &[TailRecord]) -> Result<bool, ParseRecordIdError> {
        for record in records.iter().rev().filter(|record| is_of(record, self.group)) {
            let Some(text) = record.attributes.get(ATTRIBUTE_ID) else {
                continue;
            };
            let mut id: RecordId = text.parse()?;
            let late = record.attributes.contains_key(ATTRIBUTE_LATE);
            let covered = self.position.covers(&id.transaction, id.row());
            if covered && !late {
                let ends_a_request = record.attributes.contains_key(ATTRIBUTE_WATERMARK);
                if ends_a_request && !self.passed.contains(text) {
                    self.passed.push(text.clone());
                }
                if self.passed.len() > LATE_REQUESTS {
                    return Ok(true);
                }
                continue;
            }
            self.passed.clear();
            let found = if covered {
                &mut self.found.late
            } else {
                &mut self.found.behind
            };
            // A transaction's records come in a row, and share its name.
            if let Some(before) = found.last().filter(|before| before.transaction == id.transaction) {
                id.transaction = Arc::clone(&before.transaction);
            }
            found.push(id);
        }
        Ok(false)
    }

    /// What was found, newest first; the id of a record that is there twice comes twice.
    pub fn found(self) -> Found {
        self.found
    }
}

/// The record's epoch; 0 where it has none, as those of earlier versions.
pub fn epoch_of(record: &TailRecord) -> u64 {
    let text = record.attributes.get(ATTRIBUTE_EPOCH);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Whether the group wrote the record.
pub fn is_of(record: &TailRecord, group: &str) -> bool {
    record
        .attributes
        .get(ATTRIBUTE_GROUP)
        .is_some_and(|of| of == group)
}

#[cfg(test)]
mod tests;

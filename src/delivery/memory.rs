//! What is kept already: records behind the position where this run begins which an earlier run brought into the
//! topic or the dead letters.
//!
//! They are known one by one, by their ids, so nothing is inferred from an order: a record that was not seen there is
//! sent. One that goes to a shard which has records that follow it in the binlog, because an earlier run left it out
//! there or this one replayed a letter early, is marked: a later start must not take it for the end of what the shard
//! has.

use std::collections::{HashMap, HashSet};

use crate::position::Position;
use crate::record::{Record, RecordId, ShardId};

/// Records whose ids are looked through at least before it is seen again which of them the run has passed.
const LEAST: usize = 1_000;

/// The records of earlier runs that this one may meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Behind the position where the run begins, by the shard that has them.
    pub ahead: HashMap<ShardId, HashSet<RecordId>>,
    /// Dead letters, what was given up, and records from before that position that may come once more.
    pub aside: HashSet<RecordId>,
}

impl Stored {
    /// How many there are; one that is in two shards counts twice.
    pub fn len(&self) -> usize {
        self.aside.len() + self.ahead.values().map(HashSet::len).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the record is one of them.
    pub fn contains(&self, id: &RecordId) -> bool {
        self.aside.contains(id) || self.ahead.values().any(|ids| ids.contains(id))
    }
}

/// Ids that were seen there and not yet met in this run.
#[derive(Debug, Default)]
pub(super) struct Memory {
    stored: Stored,
    /// Records since it was last seen which of the ids the run has passed.
    unseen: usize,
}

impl Memory {
    pub(super) fn new(mut stored: Stored) -> Self {
        stored.ahead.retain(|_, ids| !ids.is_empty());
        Self { stored, unseen: 0 }
    }

    /// Whether the record is kept. It comes only once in a run, so it is forgotten.
    pub(super) fn takes(&mut self, id: &RecordId) -> bool {
        let mut is_kept = !self.stored.aside.is_empty() && self.stored.aside.remove(id);
        if !self.stored.ahead.is_empty() {
            for ids in self.stored.ahead.values_mut() {
                is_kept |= ids.remove(id);
            }
            if is_kept {
                self.stored.ahead.retain(|_, ids| !ids.is_empty());
            }
        }
        is_kept
    }

    /// Whether the shard, or any where it is not known yet, has records that this run has still to meet.
    pub(super) fn is_ahead(&self, shard: Option<&ShardId>) -> bool {
        match shard {
            Some(shard) => self.stored.ahead.contains_key(shard),
            None => !self.stored.ahead.is_empty(),
        }
    }

    /// These letters go to the shard now. Says whether it is ahead with one of them: the run has not read so far yet.
    pub(super) fn brings(&mut self, letters: &[Record], shard: &ShardId) -> bool {
        for letter in letters {
            if let Some(id) = self.stored.aside.take(&letter.id) {
                let ids = self.stored.ahead.entry(ShardId::clone(shard)).or_default();
                ids.insert(id);
            }
        }
        self.is_ahead(Some(shard))
    }

    /// The run has read so many records, up to this position. What lies before it is not ahead any more, though it was
    /// not met: it is filtered now, or of a table that is parked.
    pub(super) fn passes(&mut self, records: usize, end: &Position) {
        self.unseen = self.unseen.saturating_add(records);
        if self.unseen < self.stored.len().max(LEAST) {
            return;
        }
        self.unseen = 0;
        let aside = &mut self.stored.aside;
        self.stored.ahead.retain(|_, ids| {
            aside.extend(ids.extract_if(|id| end.covers(&id.transaction, id.row())));
            !ids.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str]) -> HashSet<RecordId> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn at(file: &str) -> Position {
        Position {
            gtid_set: None,
            file: file.parse().unwrap(),
            open: None,
            parked: Vec::new(),
        }
    }

    #[test]
    fn a_shard_is_ahead_until_its_records_were_met_or_passed() {
        let [one, two, three] = ["1", "2", "3"].map(ShardId::from);
        let mut memory = Memory::new(Stored {
            ahead: HashMap::from([
                (ShardId::clone(&one), ids(&["b.1:10:0", "b.1:20:0"])),
                (ShardId::clone(&two), ids(&["b.1:20:0", "b.1:30:1"])),
                (ShardId::clone(&three), HashSet::new()),
            ]),
            aside: ids(&["b.1:5:0"]),
        });
        let ahead = |memory: &Memory| [&one, &two, &three].map(|shard| memory.is_ahead(Some(shard)));
        assert_eq!(ahead(&memory), [true, true, false]);
        assert!(memory.is_ahead(None));
        let mut takes = |id: &str| memory.takes(&id.parse().unwrap());
        assert!(takes("b.1:5:0") && takes("b.1:10:0") && !takes("b.1:10:0"));
        // Where it was stored twice it is gone twice.
        assert!(takes("b.1:20:0") && !takes("b.1:20:0"));
        assert_eq!(ahead(&memory), [false, true, false]);
        memory.passes(LEAST - 1, &at("b.1:40"));
        assert!(memory.is_ahead(Some(&two)), "not looked through yet");
        memory.passes(1, &at("b.1:30"));
        assert!(memory.is_ahead(Some(&two)), "not passed");
        memory.passes(LEAST, &at("b.1:40"));
        assert_eq!((ahead(&memory), memory.is_ahead(None)), ([false; 3], false));
        assert!(memory.takes(&"b.1:30:1".parse().unwrap()), "it is still known");
    }
}

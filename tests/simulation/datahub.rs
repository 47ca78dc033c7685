//! A model of the service: shards that store whole requests of several writers, split and merge, and can be read. It
//! knows nothing of the collector.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_collector::record::{
    ATTRIBUTE_EPOCH, ATTRIBUTE_GROUP, ATTRIBUTE_ID, ATTRIBUTE_LATE, ATTRIBUTE_WATERMARK, Record, RecordId,
    Shard, ShardId, ShardState, TailRecord,
};

/// The group whose collector is put to the test.
pub(super) const GROUP: &str = "ours";
/// Another one, which relays the same binlog: its records have the same ids.
const OTHER_GROUP: &str = "others";

/// What a shard keeps of a record.
struct Entry {
    group: &'static str,
    id: RecordId,
    late: Option<&'static str>,
    epoch: u64,
    watermark: Option<Arc<str>>,
}

/// A shard and what it holds.
pub(super) struct Stored {
    pub(super) shard: Shard,
    log: Vec<Entry>,
}

/// The topic.
pub(super) struct Datahub {
    pub(super) shards: Vec<Stored>,
}

impl Datahub {
    /// A topic whose shards share the hash space; all are still opening.
    pub(super) fn new(count: u32) -> Self {
        let step = u128::MAX / u128::from(count);
        let mut hub = Self { shards: Vec::new() };
        for i in 0..count {
            let end = if i + 1 == count {
                u128::MAX
            } else {
                step * u128::from(i + 1)
            };
            hub.add(step * u128::from(i), end, Vec::new());
        }
        hub
    }

    fn add(&mut self, begin: u128, end: u128, parents: Vec<ShardId>) {
        let shard = Shard {
            id: ShardId::from(self.shards.len().to_string()),
            state: ShardState::Opening,
            begin,
            end,
            parents,
        };
        self.shards.push(Stored {
            shard,
            log: Vec::new(),
        });
    }

    /// All opening shards take records from now on.
    pub(super) fn open_all(&mut self) {
        for stored in &mut self.shards {
            if stored.shard.state == ShardState::Opening {
                stored.shard.state = ShardState::Active;
            }
        }
    }

    fn active(&self) -> Vec<usize> {
        let mut active: Vec<usize> = (0..self.shards.len())
            .filter(|&i| self.shards[i].shard.state == ShardState::Active)
            .collect();
        active.sort_by_key(|&i| self.shards[i].shard.begin);
        active
    }

    /// Splits one of the active shards.
    pub(super) fn split(&mut self, rng: &mut fastrand::Rng) {
        let active = self.active();
        let Some(&at) = rng.choice(&active) else { return };
        let parent = &mut self.shards[at].shard;
        parent.state = ShardState::Closed;
        let (id, begin, end) = (ShardId::clone(&parent.id), parent.begin, parent.end);
        let middle = begin + (end - begin) / 2;
        self.add(begin, middle, vec![ShardId::clone(&id)]);
        self.add(middle, end, vec![id]);
    }

    /// Merges two neighbours.
    pub(super) fn merge(&mut self, rng: &mut fastrand::Rng) {
        let active = self.active();
        let pairs: Vec<(usize, usize)> = active
            .windows(2)
            .map(|pair| (pair[0], pair[1]))
            .filter(|&(a, b)| self.shards[a].shard.end == self.shards[b].shard.begin)
            .collect();
        let Some(&(a, b)) = rng.choice(&pairs) else { return };
        for i in [a, b] {
            self.shards[i].shard.state = ShardState::Closed;
        }
        let parents = vec![
            ShardId::clone(&self.shards[a].shard.id),
            ShardId::clone(&self.shards[b].shard.id),
        ];
        let (begin, end) = (self.shards[a].shard.begin, self.shards[b].shard.end);
        self.add(begin, end, parents);
    }

    pub(super) fn list(&self) -> Vec<Shard> {
        self.shards.iter().map(|stored| stored.shard.clone()).collect()
    }

    fn find(&mut self, id: &ShardId) -> &mut Stored {
        self.shards
            .iter_mut()
            .find(|stored| stored.shard.id == *id)
            .expect("a shard that was listed")
    }

    pub(super) fn takes(&mut self, id: &ShardId) -> bool {
        self.find(id).shard.state == ShardState::Active
    }

    /// Stores records of a collector's epoch, in order, the last of them with this watermark; tells the shard's hash range.
    pub(super) fn store(
        &mut self,
        id: &ShardId,
        records: &[Record],
        watermark: Option<&Arc<str>>,
        epoch: u64,
    ) -> (u128, u128) {
        let stored = self.find(id);
        for (left, record) in (0..records.len()).rev().zip(records) {
            stored.log.push(Entry {
                group: GROUP,
                id: record.id.clone(),
                late: record.late(),
                epoch,
                watermark: watermark.filter(|_| left == 0).cloned(),
            });
        }
        (stored.shard.begin, stored.shard.end)
    }

    /// Another collector stores some of these records in the shard, each at the end of a request.
    pub(super) fn others_store(&mut self, id: &ShardId, records: &[Record], watermark: Option<&Arc<str>>) {
        let entry = |record: &Record| Entry {
            group: OTHER_GROUP,
            id: record.id.clone(),
            late: record.late(),
            epoch: 0,
            watermark: watermark.cloned(),
        };
        self.find(id).log.extend(records.iter().map(entry));
    }

    /// The number of the shard's newest record.
    pub(super) fn newest(&mut self, id: &ShardId) -> Option<u64> {
        let count = u64::try_from(self.find(id).log.len()).unwrap();
        count.checked_sub(1)
    }

    /// The shard's newest watermark of the group.
    pub(super) fn watermark(&mut self, id: &ShardId) -> Option<Arc<str>> {
        let ours = self.find(id).log.iter().filter(|entry| entry.group == GROUP);
        ours.rev().find_map(|entry| entry.watermark.clone())
    }

    /// The group's highest epoch among the newest records of all shards.
    pub(super) fn epoch(&self) -> u64 {
        let ours = |stored: &Stored| {
            stored
                .log
                .iter()
                .rev()
                .find(|entry| entry.group == GROUP)
                .map(|e| e.epoch)
        };
        self.shards.iter().filter_map(ours).max().unwrap_or_default()
    }

    /// The shard's records `first..=last`.
    pub(super) fn read(&mut self, id: &ShardId, (first, last): (u64, u64)) -> Vec<TailRecord> {
        let index = |number| usize::try_from(number).unwrap();
        let entries = &self.find(id).log[index(first)..=index(last)];
        let tail = |(sequence, entry): (u64, &Entry)| {
            let mut attributes = BTreeMap::from([
                (ATTRIBUTE_GROUP.to_owned(), entry.group.to_owned()),
                (ATTRIBUTE_ID.to_owned(), entry.id.to_string()),
                (ATTRIBUTE_EPOCH.to_owned(), entry.epoch.to_string()),
            ]);
            if let Some(how) = entry.late {
                attributes.insert(ATTRIBUTE_LATE.to_owned(), how.to_owned());
            }
            if let Some(watermark) = &entry.watermark {
                attributes.insert(ATTRIBUTE_WATERMARK.to_owned(), watermark.to_string());
            }
            TailRecord { sequence, attributes }
        };
        (first..).zip(entries).map(tail).collect()
    }
}

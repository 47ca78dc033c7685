//! A model of the service: shards that store whole requests, split and merge. It knows nothing of the collector.

use cdc_collector::record::{Batch, Probe, Record, Shard, ShardId, ShardState};

/// A shard and what it holds.
pub(super) struct Stored {
    pub(super) shard: Shard,
    pub(super) log: Vec<Record>,
    /// The newest watermark: the row behind everything that was in the topic when its batch was formed.
    watermark: usize,
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
            watermark: 0,
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

    /// Stores records, in order, the last of them with this watermark; tells the shard's hash range.
    pub(super) fn store(
        &mut self,
        id: &ShardId,
        records: &[Record],
        watermark: Option<usize>,
    ) -> (u128, u128) {
        let stored = self.find(id);
        stored.log.extend_from_slice(records);
        stored.watermark = stored.watermark.max(watermark.unwrap_or(0));
        (stored.shard.begin, stored.shard.end)
    }

    /// The newest watermark of all shards.
    pub(super) fn watermark(&self) -> usize {
        self.shards
            .iter()
            .map(|stored| stored.watermark)
            .max()
            .unwrap_or(0)
    }

    /// Every record that any shard holds.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.shards.iter().flat_map(|stored| &stored.log)
    }

    /// How much of the batch the shard holds: the longest run of it, wherever its first record occurs. A late
    /// copy of an older, shorter request behind it must not hide it.
    pub(super) fn probe(&mut self, batch: &Batch) -> Probe {
        let log = &self.find(&batch.shard).log;
        let run_from = |first: usize| {
            let pairs = log[first..].iter().zip(batch.records.iter());
            pairs.take_while(|(stored, sent)| stored.id == sent.id).count()
        };
        Probe::Holds((0..log.len()).map(run_from).max().unwrap_or(0))
    }
}

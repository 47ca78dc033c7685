//! What must hold, kept by somebody who knows the rows, the service and the disk, but not the core.
//!
//! Every check names the promise that it stands for. The oracle learns from three sides: what the core was given
//! and told, what the core asked for, and what the service and the disk really hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cdc_collector::delivery::{Settings, Snapshot};
use cdc_collector::record::{Batch, BatchId, Record, ShardId, Turn};

/// One row of the simulated binlog.
pub(super) struct Row {
    /// `None` where the filter leaves the row out.
    pub(super) record: Option<Record>,
}

/// Rows, and what is known of each.
pub(super) struct Oracle {
    pub(super) rows: Vec<Row>,
    settings: Settings,
    /// Per key: its rows in order, and how many of them are settled in the outside world.
    keys: BTreeMap<u128, (Vec<usize>, usize)>,
    stored: Vec<u32>,
    /// Whether the topic or the dead letters had the row when the present run began.
    remembered: Vec<bool>,
    /// Repetitions that are excused: one for each request that was stored after it was looked for.
    excused: Vec<u32>,
    /// Whether the row is in the dead-letter file.
    buried: Vec<bool>,
    /// Whether a person has given the row up.
    discarded: Vec<bool>,
    // -- the present run
    start: usize,
    admitted: usize,
    /// Where the run's chunks end: a checkpoint cannot lie anywhere else.
    ends: BTreeSet<usize>,
    told: Vec<bool>,
    told_prefix: usize,
    held: usize,
    largest_chunk: usize,
    busy: BTreeMap<ShardId, (BatchId, Vec<u128>)>,
    doubtful: BTreeMap<BatchId, Duration>,
    pause: BTreeMap<ShardId, Duration>,
    asked_position: usize,
    saved_at: Option<Duration>,
    pub(super) draining: bool,
    /// Whether shards split or merge in this run of the world.
    pub(super) reshaped: bool,
}

impl Oracle {
    pub(super) fn new(rows: Vec<Row>, settings: Settings) -> Self {
        let count = rows.len();
        let mut keys: BTreeMap<u128, (Vec<usize>, usize)> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            if let Some(record) = &row.record {
                keys.entry(record.hash_key).or_default().0.push(index);
            }
        }
        Self {
            rows,
            settings,
            keys,
            stored: vec![0; count],
            remembered: vec![false; count],
            excused: vec![0; count],
            buried: vec![false; count],
            discarded: vec![false; count],
            start: 0,
            admitted: 0,
            ends: BTreeSet::new(),
            told: vec![false; count],
            told_prefix: 0,
            held: 0,
            largest_chunk: 0,
            busy: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            pause: BTreeMap::new(),
            asked_position: 0,
            saved_at: None,
            draining: false,
            reshaped: false,
        }
    }

    /// Which row a record is, by what it says of itself.
    pub(super) fn row_of(&self, record: &Record) -> usize {
        let index = usize::try_from(u64::from_be_bytes(record.payload[..8].try_into().unwrap())).unwrap();
        let own = self.rows[index].record.as_ref().expect("a filtered row was sent");
        assert_eq!(record.id, own.id, "a record changed its identity");
        assert_eq!(record.payload, own.payload, "a record changed its content");
        index
    }

    /// A new run of the core begins at `start`.
    pub(super) fn run_begins(&mut self, start: usize) {
        self.start = start;
        self.admitted = start;
        self.ends = BTreeSet::from([start]);
        self.told.fill(false);
        self.remembered = (0..self.rows.len())
            .map(|row| self.stored[row] > 0 || self.buried[row] || self.discarded[row])
            .collect();
        self.told_prefix = start;
        self.held = 0;
        self.busy.clear();
        self.doubtful.clear();
        self.pause.clear();
        self.asked_position = start;
        self.saved_at = None;
        self.draining = false;
    }

    /// The records from `start` on that are in the file, or that a person has given up.
    pub(super) fn put_aside(&self, start: usize) -> impl Iterator<Item = &Record> {
        (start..self.rows.len())
            .filter(|row| self.buried[*row] || self.discarded[*row])
            .filter_map(|row| self.rows[row].record.as_ref())
    }

    /// Rows that were given to the core: those that were kept when the run began are resolved at once.
    pub(super) fn suppressed(&mut self, rows: std::ops::Range<usize>) {
        let known: Vec<usize> = rows.filter(|row| self.remembered[*row]).collect();
        self.told(&known);
    }

    pub(super) fn admit(&mut self, behind: usize) {
        let cost: usize = self.rows[self.admitted..behind]
            .iter()
            .filter_map(|row| row.record.as_ref().map(Record::cost))
            .sum();
        self.held += cost;
        self.largest_chunk = self.largest_chunk.max(cost);
        self.admitted = behind;
        self.ends.insert(behind);
        self.move_told_prefix();
    }

    pub(super) fn admitted(&self) -> usize {
        self.admitted
    }

    pub(super) fn sends(&mut self, now: Duration, batch: &Batch) {
        assert!(!batch.records.is_empty(), "an empty batch");
        let cost: usize = batch.records.iter().map(Record::cost).sum();
        assert!(
            batch.records.len() == 1 || cost <= self.settings.batch_bytes,
            "a batch of {cost} bytes"
        );
        assert!(
            batch.records.len() <= self.settings.batch_records.max(1),
            "too many records"
        );
        let in_turn = batch.records.iter().filter(|record| record.turn == Turn::InOrder);
        assert!(
            in_turn.is_sorted_by(|a, b| a.seq < b.seq),
            "a batch is out of order"
        );
        let keys: Vec<u128> = batch.records.iter().map(|r| r.hash_key).collect();
        assert!(
            !self.busy.contains_key(&batch.shard),
            "i3: two in flight on shard {}",
            batch.shard
        );
        for (shard, (_, others)) in &self.busy {
            assert!(
                !keys.iter().any(|key| others.contains(key)),
                "i4: a key is in flight on shards {shard} and {}",
                batch.shard
            );
        }
        for record in batch.records.iter() {
            let row = self.row_of(record);
            if record.turn == Turn::Letter {
                assert!(
                    self.buried[row],
                    "row {row} is replayed although it is no dead letter"
                );
            } else {
                assert!(!self.told[row], "row {row} is sent although it is resolved");
            }
        }
        let pause = self.pause.get(&batch.shard).copied().unwrap_or_default();
        assert!(
            self.reshaped || pause <= now,
            "sent {:?} too early",
            pause.saturating_sub(now)
        );
        if let Some(text) = &batch.watermark {
            self.may_be_durable("watermark", super::world::row_behind(text));
        }
        self.busy.insert(ShardId::clone(&batch.shard), (batch.id, keys));
    }

    /// The core was told that these rows are resolved.
    pub(super) fn told(&mut self, rows: &[usize]) {
        for &row in rows {
            assert!(
                !std::mem::replace(&mut self.told[row], true),
                "row {row} is resolved twice"
            );
            self.held -= self.rows[row].record.as_ref().unwrap().cost();
        }
        self.move_told_prefix();
    }

    fn move_told_prefix(&mut self) {
        while self.told_prefix < self.admitted
            && (self.told[self.told_prefix] || self.rows[self.told_prefix].record.is_none())
        {
            self.told_prefix += 1;
        }
    }

    /// The request is answered: the shard is free, not before `pause` if the answer asked for that.
    pub(super) fn answered(&mut self, batch: &Batch, pause: Option<Duration>) {
        let (id, _) = self.busy.remove(&batch.shard).expect("the shard was busy");
        assert_eq!(id, batch.id);
        self.doubtful.remove(&id);
        self.pause
            .insert(ShardId::clone(&batch.shard), pause.unwrap_or_default());
    }

    /// The outcome of the request is unknown: the shard stays busy.
    pub(super) fn in_doubt(&mut self, now: Duration, batch: &Batch) {
        self.doubtful.insert(batch.id, now);
    }

    pub(super) fn probes(&mut self, now: Duration, batch: &Batch) {
        let since = *self.doubtful.get(&batch.id).expect("a probe without a doubt");
        assert!(since + self.settings.probe_delay <= now, "probed too early");
        assert_eq!(
            self.busy[&batch.shard].0, batch.id,
            "the probe is about another batch"
        );
        assert_eq!(self.busy[&batch.shard].1.len(), batch.records.len());
    }

    fn may_be_durable(&self, what: &str, position: usize) {
        assert!(
            position <= self.told_prefix.max(self.start),
            "i1: {what} {position} passes the unresolved row {}",
            self.told_prefix
        );
    }

    pub(super) fn persists(&mut self, now: Duration, position: usize) {
        self.may_be_durable("checkpoint", position);
        assert!(
            position >= self.asked_position,
            "i2: the checkpoint goes back from {} to {position}",
            self.asked_position
        );
        let apart = self.saved_at.map(|at| now - at);
        assert!(
            self.draining || apart.is_none_or(|apart| apart >= self.settings.checkpoint_interval),
            "checkpoints {apart:?} apart"
        );
        self.asked_position = position;
        self.saved_at = Some(now);
    }

    /// The service has stored these records in a shard with this hash range, in this order.
    pub(super) fn stored(&mut self, records: &[Record], range: (u128, u128)) {
        for record in records {
            let row = self.row_of(record);
            let key = record.hash_key;
            assert!(
                range.0 <= key && key <= range.1,
                "row {row} went to a shard of other keys"
            );
            self.stored[row] += 1;
            let excused = self.excused[row] + 1;
            assert!(
                self.stored[row] <= excused,
                "row {row} is repeated without an excuse"
            );
            self.settled(key);
            let (rows, settled) = &self.keys[&key];
            let place = rows.iter().position(|&r| r == row).unwrap();
            assert!(
                place < *settled,
                "row {row} is stored before row {}",
                rows[*settled]
            );
        }
    }

    /// A request of these rows may be stored after the core has looked for it.
    pub(super) fn excuse(&mut self, batch: &Batch) {
        for record in batch.records.iter() {
            let row = self.row_of(record);
            self.excused[row] += 1;
        }
    }

    /// Whether a letter of the row's key is in the file.
    pub(super) fn is_fenced(&self, row: usize) -> bool {
        let key = self.rows[row].record.as_ref().unwrap().hash_key;
        self.keys[&key].0.iter().any(|&other| self.buried[other])
    }

    pub(super) fn buried(&mut self, row: usize) {
        assert!(
            !std::mem::replace(&mut self.buried[row], true),
            "row {row} is buried twice"
        );
        let key = self.rows[row].record.as_ref().unwrap().hash_key;
        for &before in self.keys[&key].0.iter().take_while(|&&before| before < row) {
            let settled = self.stored[before] > 0 || self.buried[before] || self.discarded[before];
            assert!(settled, "row {row} is buried before row {before}");
        }
    }

    /// The row has left the file because the topic has it.
    pub(super) fn removed(&mut self, row: usize) {
        assert!(self.stored[row] > 0, "row {row} leaves the file and is nowhere");
        self.buried[row] = false;
    }

    /// The row has left the file because a person has given it up.
    pub(super) fn discarded(&mut self, row: usize) {
        self.buried[row] = false;
        self.discarded[row] = true;
        let key = self.rows[row].record.as_ref().unwrap().hash_key;
        self.settled(key);
    }

    /// Behind a row that is in the file nothing of its key may be in the topic: that it is put aside settles nothing.
    fn settled(&mut self, key: u128) {
        let (rows, settled) = self.keys.get_mut(&key).unwrap();
        while rows
            .get(*settled)
            .is_some_and(|&row| self.stored[row] > 0 || self.discarded[row])
        {
            *settled += 1;
        }
    }

    /// The core's own numbers against ours.
    pub(super) fn agrees(&self, seen: &Snapshot) {
        let resolved = seen.acked + seen.filtered + seen.suppressed + seen.dead_lettered;
        assert_eq!(seen.decoded, resolved + seen.in_flight, "i14: rows are missing");
        let rows = &self.rows[self.start..self.admitted];
        let in_flight = rows
            .iter()
            .zip(&self.told[self.start..])
            .filter(|(row, told)| row.record.is_some() && !**told)
            .count();
        assert_eq!(seen.decoded, u64::try_from(rows.len()).unwrap(), "i14: decoded");
        assert_eq!(
            seen.in_flight,
            u64::try_from(in_flight).unwrap(),
            "i14: in flight"
        );
        assert_eq!(seen.held_bytes, self.held, "i5: held bytes");
        let bound = self.settings.budget_bytes + self.largest_chunk;
        assert!(
            seen.held_bytes <= bound,
            "i5: {} bytes held of {bound}",
            seen.held_bytes
        );
    }

    /// The drain is over, and the disk holds this position.
    pub(super) fn finished(&self, saved: usize, halted: bool) {
        assert!(self.draining, "finished without a drain");
        assert!(self.busy.is_empty() || halted, "finished with requests in flight");
        let resolved = if halted { self.told_prefix } else { self.admitted };
        let expected = self.ends.range(..=resolved).next_back();
        assert_eq!(Some(&saved), expected, "the drain left the checkpoint behind");
    }

    /// The world ends here: every row is where it belongs.
    pub(super) fn complete(&self, poison: &BTreeSet<usize>) {
        for (index, row) in self.rows.iter().enumerate() {
            let aside = self.buried[index] || self.discarded[index];
            let expected = row.record.is_some() && !aside;
            assert_eq!(self.stored[index] > 0, expected, "row {index}: stored or not");
            assert!(
                aside || !poison.contains(&index),
                "row {index}: poison is put aside"
            );
        }
    }
}

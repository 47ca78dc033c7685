//! One queue per shard: batching, linger, one request in flight, retry order, bisection of poison.
//!
//! Owns I3: at most one batch in flight per lane, and after a failure the failed record and all after it go
//! first. The queue is one ordered list whose front is what is in flight: a record leaves it only when it is
//! resolved, so nothing can overtake it. Dead letters that are sent again stand in front of the rows; they are no
//! part of the ledger. A lane does not know the other lanes, and does not decide what a failure means: it is told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::Ledger;
use crate::record::{Batch, BatchId, Record, Seq, ShardId, Turn};
use crate::retry::Reason;

/// What a batch may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) records: usize,
}

/// Where a lane is in its life: there is room for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is in flight; whatever is queued may go.
    Idle,
    /// The first `count` records are with the service.
    Sent { id: BatchId, count: usize },
    /// Nobody knows whether the first `count` records were stored; the shard is asked at `at`.
    Doubtful { id: BatchId, count: usize, at: Duration },
    /// The shard is being asked.
    Probing { id: BatchId, count: usize },
    /// The service refused; the same records go again at `at`.
    Backoff { at: Duration },
    /// The first record can never be stored: it is being written elsewhere, or will be again at `retry`.
    Burying { reason: Reason, retry: Option<Duration> },
}

/// What is suspected of the records at the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspicion {
    None,
    /// One of the first `n` is poison.
    Among(usize),
    /// The service says it is the one at this index.
    At(usize),
}

/// What left a lane's queue.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// Rows.
    pub(super) records: u64,
    /// Of the rows, by [`Record::cost`].
    pub(super) bytes: usize,
    /// Dead letters that were sent again.
    pub(super) letters: Vec<Record>,
}

/// One shard's records, in order.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) shard: ShardId,
    /// First hash key that is dealt to this lane.
    pub(super) begin: u128,
    /// Whether the shard takes records already; one that is opening only gathers.
    pub(super) open: bool,
    /// Its keys are about to move: nothing new is sent.
    pub(super) leaving: bool,
    /// The shard could not be found when it was asked for a batch of unknown outcome.
    pub(super) missing: bool,
    pub(super) stage: Stage,
    /// Consecutive failures of the call that is due.
    pub(super) failures: u32,
    pub(super) last_failure: Option<Reason>,
    queue: VecDeque<Record>,
    /// So many of the queue's first are dead letters that are sent again.
    letters: usize,
    /// Of the whole queue, by [`wire_cost`].
    bytes: usize,
    linger_until: Option<Duration>,
    suspicion: Suspicion,
}

/// What a record takes in a request: its payload, its identity, and room for names, tags and the group.
fn wire_cost(record: &Record) -> usize {
    record.cost().saturating_add(record.id.transaction.len())
}

impl Lane {
    pub(super) fn new(shard: ShardId, begin: u128, open: bool) -> Self {
        Self {
            shard,
            begin,
            open,
            leaving: false,
            missing: false,
            stage: Stage::Idle,
            failures: 0,
            last_failure: None,
            queue: VecDeque::new(),
            letters: 0,
            bytes: 0,
            linger_until: None,
            suspicion: Suspicion::None,
        }
    }

    /// Queues a record behind all others.
    pub(super) fn push(&mut self, record: Record, linger_until: Duration) {
        if self.queue.is_empty() {
            self.linger_until = Some(linger_until);
        }
        self.bytes = self.bytes.saturating_add(wire_cost(&record));
        self.queue.push_back(record);
    }

    /// Records queued or in flight.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Dead letters among them.
    pub(super) fn letters(&self) -> usize {
        self.letters
    }

    /// Whether dead letters may be put in front now: nothing is in flight, and no place in the queue has a meaning.
    ///
    /// That the first record is to be buried is forgotten over it. It will be refused again, if that still holds: the
    /// letters may be what makes room for it.
    pub(super) fn takes_letters(&self) -> bool {
        let idle = match self.stage {
            Stage::Idle | Stage::Backoff { .. } | Stage::Burying { retry: Some(_), .. } => true,
            Stage::Sent { .. } | Stage::Doubtful { .. } | Stage::Probing { .. } | Stage::Burying { .. } => {
                false
            }
        };
        idle && !self.leaving && self.suspicion == Suspicion::None
    }

    /// Puts dead letters in front, in their order.
    pub(super) fn push_letters(&mut self, letters: Vec<Record>) {
        if let Stage::Burying { .. } = self.stage {
            self.succeeded();
        }
        self.letters = self.letters.saturating_add(letters.len());
        for letter in letters.into_iter().rev() {
            self.bytes = self.bytes.saturating_add(wire_cost(&letter));
            self.queue.push_front(letter);
        }
    }

    /// The shard has records by now that follow those in the queue.
    pub(super) fn falls_behind(&mut self) {
        let in_order = self
            .queue
            .iter_mut()
            .filter(|record| record.turn == Turn::InOrder);
        in_order.for_each(|record| record.turn = Turn::Late);
    }

    /// Takes records out of a queue in which no place has a meaning.
    pub(super) fn take(&mut self, wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
        let (mut taken, mut kept) = (Vec::new(), VecDeque::with_capacity(self.queue.len()));
        for record in self.queue.drain(..) {
            if wanted(&record) {
                self.bytes = self.bytes.saturating_sub(wire_cost(&record));
                self.letters = self.letters.saturating_sub(usize::from(record.is_letter()));
                taken.push(record);
            } else {
                kept.push_back(record);
            }
        }
        self.queue = kept;
        taken
    }

    /// Whether the queue may be dealt out to other lanes: every answer is in.
    pub(super) fn at_rest(&self) -> bool {
        matches!(self.stage, Stage::Idle | Stage::Backoff { .. })
    }

    /// The batch that an answer to `id` is about: its number of records.
    pub(super) fn answers(&self, id: BatchId) -> Option<usize> {
        match self.stage {
            Stage::Sent { id: own, count } | Stage::Probing { id: own, count } if own == id => Some(count),
            Stage::Sent { .. }
            | Stage::Probing { .. }
            | Stage::Idle
            | Stage::Doubtful { .. }
            | Stage::Backoff { .. }
            | Stage::Burying { .. } => None,
        }
    }

    /// When the lane next wants to send, if it may at all.
    pub(super) fn send_at(&self, limits: Limits, draining: bool) -> Option<Duration> {
        if self.queue.is_empty() || !self.open || self.leaving {
            return None;
        }
        match self.stage {
            Stage::Backoff { at } => Some(at),
            Stage::Idle => {
                let full = self.bytes >= limits.bytes || self.queue.len() >= limits.records;
                let at = self.linger_until.unwrap_or_default();
                Some(if full || draining { Duration::ZERO } else { at })
            }
            Stage::Sent { .. } | Stage::Doubtful { .. } | Stage::Probing { .. } | Stage::Burying { .. } => {
                None
            }
        }
    }

    /// Puts the front of the queue in flight, as much as fits beside the watermark.
    pub(super) fn send(&mut self, id: BatchId, limits: Limits, watermark: Option<Arc<str>>) -> Batch {
        let count = self.fitting(limits, watermark.as_ref().map_or(0, |w| w.len()));
        self.linger_until = None;
        self.stage = Stage::Sent { id, count };
        Batch {
            id,
            shard: ShardId::clone(&self.shard),
            records: self.front(count),
            watermark,
        }
    }

    /// How many records the next batch takes: at least one, or a record above the limit would never move.
    fn fitting(&self, limits: Limits, extra: usize) -> usize {
        let most = match self.suspicion {
            Suspicion::None => limits.records,
            Suspicion::Among(n) => limits.records.min(n / 2),
            Suspicion::At(index) => limits.records.min(index),
        };
        let (mut bytes, mut count) = (extra, 0);
        for record in self.queue.iter().take(most) {
            bytes = bytes.saturating_add(wire_cost(record));
            if bytes > limits.bytes {
                break;
            }
            count += 1;
        }
        count.max(1)
    }

    fn front(&self, count: usize) -> Arc<[Record]> {
        self.queue.iter().take(count).cloned().collect()
    }

    /// The batch of unknown outcome, to be looked for in the shard.
    pub(super) fn probe(&mut self, id: BatchId, count: usize) -> Batch {
        self.stage = Stage::Probing { id, count };
        Batch {
            id,
            shard: ShardId::clone(&self.shard),
            records: self.front(count),
            watermark: None,
        }
    }

    /// The record that is being buried.
    pub(super) fn first(&self) -> Option<&Record> {
        self.queue.front()
    }

    /// Resolves the first `count` records and takes them out of the queue.
    pub(super) fn release(&mut self, count: usize, ledger: &mut Ledger) -> Released {
        let mut released = Released::default();
        let mut bytes = 0usize;
        ledger.resolve(
            self.queue
                .drain(..count.min(self.queue.len()))
                .filter_map(|record| {
                    bytes = bytes.saturating_add(wire_cost(&record));
                    if record.is_letter() {
                        released.letters.push(record);
                        return None;
                    }
                    released.records += 1;
                    released.bytes = released.bytes.saturating_add(record.cost());
                    Some(record.seq)
                }),
        );
        self.bytes = self.bytes.saturating_sub(bytes);
        self.letters = self.letters.saturating_sub(released.letters.len());
        self.suspicion = match self.suspicion {
            Suspicion::Among(n) if n > count => Suspicion::Among(n - count),
            Suspicion::At(index) if index >= count => Suspicion::At(index - count),
            Suspicion::None | Suspicion::Among(_) | Suspicion::At(_) => Suspicion::None,
        };
        released
    }

    /// Resolves those of the first `count` records that were not refused; the refused ones stay first, in order.
    pub(super) fn release_except(
        &mut self,
        count: usize,
        refused: &[usize],
        ledger: &mut Ledger,
    ) -> Released {
        let batch: Vec<Record> = self.queue.drain(..count.min(self.queue.len())).collect();
        let mut stored = VecDeque::with_capacity(batch.len());
        let mut kept = Vec::with_capacity(refused.len());
        for (index, record) in batch.into_iter().enumerate() {
            if refused.contains(&index) {
                kept.push(record);
            } else {
                stored.push_back(record);
            }
        }
        let stored_count = stored.len();
        for record in stored.into_iter().rev() {
            self.queue.push_front(record);
        }
        let released = self.release(stored_count, ledger);
        for record in kept.into_iter().rev() {
            self.queue.push_front(record);
        }
        self.suspicion = Suspicion::None;
        released
    }

    /// The service refused the first `count` records because one can never be stored. Says whether it is now
    /// certain which: the first one.
    ///
    /// A record is condemned only when it was refused alone: an index from the service is a hint where to cut.
    pub(super) fn suspect(&mut self, count: usize, index: Option<usize>) -> bool {
        self.stage = Stage::Idle;
        self.suspicion = match index {
            _ if count <= 1 => Suspicion::None,
            Some(index) if index < count => Suspicion::At(index),
            Some(_) | None => Suspicion::Among(count),
        };
        count <= 1
    }

    /// The record at `index` was refused by itself, beside others that were stored.
    pub(super) fn suspect_at(&mut self, index: usize) {
        self.suspicion = Suspicion::At(index);
    }

    /// Notes a failure of the call that is due.
    pub(super) fn failed(&mut self, reason: Reason) {
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(reason);
    }

    /// Notes that the call that was due succeeded.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.missing = false;
        self.stage = Stage::Idle;
    }

    /// Empties the lane, so that its records can be dealt out again.
    pub(super) fn take_all(&mut self) -> VecDeque<Record> {
        self.bytes = 0;
        self.letters = 0;
        std::mem::take(&mut self.queue)
    }

    /// The record that the dead-letter file has or has not taken.
    pub(super) fn buries(&self, seq: Seq) -> bool {
        matches!(self.stage, Stage::Burying { .. }) && self.first().is_some_and(|r| r.seq == seq)
    }
}

//! Which position is durable, and nothing else.
//!
//! Owns I1, the checkpoint never passes an unresolved record, and I2, the durable position only advances, over
//! empty stretches as well. The ledger is the only place that answers "from where may a new run continue".
//! It does not know why a record is resolved (acknowledged, dead-lettered), and it saves nothing.

use std::collections::VecDeque;
use std::time::Duration;

use crate::position::Position;
use crate::record::Seq;

/// Chunks whose records are not all resolved, in order, and the position in front of them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Every entry has at least one record; the first one has an unresolved record.
    open: VecDeque<Entry>,
    /// The `seq` that the next chunk has to start with; `None` before the first record.
    next_seq: Option<Seq>,
    durable: Option<Position>,
    version: u64,
}

#[derive(Debug)]
struct Entry {
    first: Seq,
    /// One behind the last record's `seq`.
    behind: Seq,
    unresolved: u64,
    arrived: Duration,
    end: Position,
}

impl Ledger {
    /// Takes note of `count` records from `first` on, all unresolved, behind which `end` holds.
    ///
    /// # Panics
    /// If `first` is not the successor of the record before: a hole would be a lost row.
    pub(super) fn admit(&mut self, now: Duration, first: Option<Seq>, count: u64, end: Position) {
        let Some(first) = first.filter(|_| count > 0) else {
            // Folded into the entry before it: a stalled sink and endless heartbeats must not grow the queue.
            match self.open.back_mut() {
                Some(last) => last.end = end,
                None => self.advance(end),
            }
            return;
        };
        assert!(
            self.next_seq.is_none_or(|next| next == first),
            "records have to come without holes: {first} follows {:?}",
            self.next_seq
        );
        let behind = first.saturating_add(count);
        self.next_seq = Some(behind);
        self.open.push_back(Entry {
            first,
            behind,
            unresolved: count,
            arrived: now,
            end,
        });
    }

    /// Marks records as resolved, then moves the durable position as far as that allows.
    ///
    /// # Panics
    /// If a record was never admitted or is resolved twice: the position would no longer mean anything.
    pub(super) fn resolve(&mut self, seqs: impl Iterator<Item = Seq>) {
        let mut at = 0;
        for seq in seqs {
            if !self
                .open
                .get(at)
                .is_some_and(|e| e.first <= seq && seq < e.behind)
            {
                at = self.open.partition_point(|e| e.behind <= seq);
            }
            let entry = self
                .open
                .get_mut(at)
                .filter(|e| e.first <= seq && e.unresolved > 0);
            let entry = entry.expect("only admitted, unresolved records are resolved");
            entry.unresolved -= 1;
        }
        while self.open.front().is_some_and(|e| e.unresolved == 0) {
            if let Some(entry) = self.open.pop_front() {
                self.advance(entry.end);
            }
        }
    }

    /// The only place where the durable position changes.
    fn advance(&mut self, end: Position) {
        // An idle source repeats its position with every heartbeat; saving it again would be wasted writes.
        if self.durable.as_ref() != Some(&end) {
            self.durable = Some(end);
            self.version += 1;
        }
    }

    /// The position behind the resolved prefix; `None` before the first chunk is resolved.
    pub(super) fn durable(&self) -> Option<&Position> {
        self.durable.as_ref()
    }

    /// Changes whenever the durable position does; 0 as long as there is none.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether every admitted record is resolved.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the oldest chunk with an unresolved record arrived.
    pub(super) fn oldest_arrival(&self) -> Option<Duration> {
        self.open.front().map(|e| e.arrived)
    }
}

#[cfg(test)]
mod tests;

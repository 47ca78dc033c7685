//! What each answer means for the core: the second half of the state machine, one function per kind of answer.
//!
//! Every failure ends in one of four ways, by its disposition: tried again, dealt out again, narrowed down to one
//! record, or halted. An answer to something that was never asked is a bug of the driver and panics.

use std::time::Duration;

use super::lane::{Lane, Released, Stage};
use super::{Core, routing};
use crate::config::PoisonPolicy;
use crate::record::{BatchId, Outcome, Probe, Record, Seq, Shard, ShardId};
use crate::retry::{Disposition, Failure, Reason};

impl Lane {
    /// Whether an answer is outstanding.
    pub(super) fn is_unanswered(&self) -> bool {
        match self.stage {
            Stage::Sent { .. } | Stage::Probing { .. } | Stage::Burying { retry: None, .. } => true,
            Stage::Idle | Stage::Doubtful { .. } | Stage::Backoff { .. } | Stage::Burying { .. } => false,
        }
    }
}

impl Core {
    /// Takes the answer to [`super::Effect::Send`].
    ///
    /// # Panics
    /// If no batch of that id is unanswered.
    pub fn handle_outcome(&mut self, now: Duration, id: BatchId, outcome: Outcome) {
        let (at, count) = self.asked(id);
        match outcome {
            Outcome::Acknowledged => self.stored(now, at, count),
            Outcome::Refused(failure) => self.refused(now, at, count, &failure),
            Outcome::Unknown { reason } => self.in_doubt(now, at, id, count, reason),
            Outcome::Partial(refused) => self.partly_stored(now, at, id, count, refused),
        }
        self.advance(now);
    }

    /// Takes the answer to [`super::Effect::Probe`].
    ///
    /// # Panics
    /// If no probe of that id is unanswered.
    pub fn handle_probe(&mut self, now: Duration, id: BatchId, probe: Probe) {
        let (at, count) = self.asked(id);
        match probe {
            // The rest was not stored and goes again: after a wait, because the call did fail.
            Probe::Holds(held) if held < count => {
                self.settle(now, at, held);
                let failures = self.lane_mut(at).failures;
                if held > 0 {
                    self.lane_mut(at).succeeded();
                } else {
                    let wait = self
                        .settings
                        .delays
                        .delay(failures.saturating_sub(1), &mut self.rng);
                    self.back_off(at, now.saturating_add(wait));
                }
            }
            Probe::Holds(_) => self.stored(now, at, count),
            Probe::Lacks(missing) => self.stored_except(now, at, count, &missing),
            Probe::Failed(failure) => self.probe_failed(now, at, id, count, failure),
        }
        self.advance(now);
    }

    /// Takes the answer to [`super::Effect::Persist`].
    pub fn handle_persisted(&mut self, now: Duration, done: Result<(), Failure>) {
        match done {
            Ok(()) => self.checkpoint.succeeded(now),
            Err(failure) => {
                let wait = self.wait(self.checkpoint.failures, &failure);
                self.checkpoint.failed(failure.reason, now.saturating_add(wait));
            }
        }
        self.advance(now);
    }

    /// Takes the answer to [`super::Effect::DeadLetter`], by its first record: the records are on disk, or the
    /// writing failed and is repeated.
    ///
    /// # Panics
    /// If that record is not being written.
    pub fn handle_dead_lettered(&mut self, now: Duration, seq: Seq, done: Result<(), Failure>) {
        if self.fenced_written(now, seq, &done) {
            return self.advance(now);
        }
        let at = self.lanes.iter().position(|lane| lane.buries(seq));
        let at = at.expect("an answer belongs to a record that is being buried");
        match done {
            Ok(()) => {
                let key = self.lane_mut(at).first().map(Record::key);
                let released = self.release(at, 1);
                self.counts.dead_lettered = self.counts.dead_lettered.saturating_add(released.records);
                self.lane_mut(at).succeeded();
                if let Some(key) = key {
                    self.close_fence(at, key);
                }
            }
            Err(failure) => {
                let failures = self.lane_mut(at).failures;
                let wait = self.wait(failures, &failure);
                let lane = self.lane_mut(at);
                lane.failed(failure.reason);
                if let Stage::Burying { retry, .. } = &mut lane.stage {
                    *retry = Some(now.saturating_add(wait));
                }
            }
        }
        self.advance(now);
    }

    /// Takes the answer to [`super::Effect::RefreshShards`].
    pub fn handle_shards(&mut self, now: Duration, shards: Result<Vec<Shard>, Failure>) {
        match shards {
            Ok(shards) => {
                let routes = routing::routes(&shards);
                // Keys without an open shard wait: look again soon, not only at the usual interval.
                let complete = routes.first().is_some_and(|first| first.begin == 0);
                let settled = complete && routes.iter().all(|route| route.open);
                let next = if settled {
                    self.refresh.unsettled = 0;
                    self.settings.shard_refresh_interval
                } else {
                    let unsettled = self.refresh.unsettled;
                    self.refresh.unsettled = unsettled.saturating_add(1);
                    let wait = self.settings.delays.delay(unsettled, &mut self.rng);
                    wait.min(self.settings.shard_refresh_interval)
                };
                self.refresh.succeeded(now.saturating_add(next));
                self.known_shards = shards.iter().map(|shard| ShardId::clone(&shard.id)).collect();
                self.incoming = Some(shards);
            }
            Err(failure) => {
                if let Disposition::Halt { .. } = failure.disposition {
                    self.halt(failure.clone());
                }
                let wait = self.wait(self.refresh.failures, &failure);
                self.refresh.failed(failure.reason, now.saturating_add(wait));
            }
        }
        self.advance(now);
    }

    /// The lane that waits for this answer, and how many records it is about.
    fn asked(&self, id: BatchId) -> (usize, usize) {
        self.lanes
            .iter()
            .enumerate()
            .find_map(|(at, lane)| lane.answers(id).map(|count| (at, count)))
            .expect("an answer belongs to a batch that is in flight")
    }

    fn lane_mut(&mut self, at: usize) -> &mut Lane {
        self.lanes
            .get_mut(at)
            .expect("lanes do not change within one input")
    }

    /// Resolves the lane's first `count` records, as far as they are rows.
    fn release(&mut self, at: usize, count: usize) -> Released {
        let lane = self
            .lanes
            .get_mut(at)
            .expect("lanes do not change within one input");
        let released = lane.release(count, &mut self.ledger);
        self.held_bytes = self.held_bytes.saturating_sub(released.bytes);
        released
    }

    /// Counts the lane's first `count` records as stored.
    fn settle(&mut self, now: Duration, at: usize, count: usize) {
        let released = self.release(at, count);
        self.counts.acked = self.counts.acked.saturating_add(released.records);
        self.letters_stored(released.letters);
        if count > 0 {
            self.last_success = Some(now);
        }
    }

    fn stored(&mut self, now: Duration, at: usize, count: usize) {
        self.settle(now, at, count);
        self.lane_mut(at).succeeded();
    }

    fn back_off(&mut self, at: usize, until: Duration) {
        self.lane_mut(at).stage = Stage::Backoff { at: until };
    }

    /// The service stored none of the batch and said why.
    fn refused(&mut self, now: Duration, at: usize, count: usize, failure: &Failure) {
        let lane = self.lane_mut(at);
        let attempt = lane.failures;
        match failure.disposition {
            Disposition::Poison(index) => {
                if lane.suspect(count, index) {
                    self.condemn(now, at, failure.reason.clone());
                }
            }
            Disposition::Retry { .. } | Disposition::Reroute | Disposition::Halt { .. } => {
                lane.failed(failure.reason.clone());
                let wait = self.wait(attempt, failure);
                self.back_off(at, now.saturating_add(wait));
            }
        }
        match failure.disposition {
            Disposition::Reroute => self.refresh.request(),
            Disposition::Halt { .. } => self.halt(failure.clone()),
            Disposition::Retry { .. } | Disposition::Poison(_) => {}
        }
    }

    /// The lane's first record was refused alone: it can never be stored.
    fn condemn(&mut self, now: Duration, at: usize, reason: Reason) {
        if self.lane_mut(at).first().is_some_and(Record::is_letter) {
            return self.letter_refused(at, &reason);
        }
        match self.settings.poison {
            PoisonPolicy::DeadLetter => {
                let retry = Some(now);
                self.lane_mut(at).stage = Stage::Burying { reason, retry };
            }
            PoisonPolicy::Halt => {
                let lane = self.lane_mut(at);
                lane.failed(reason.clone());
                let id = lane.first().map(|record| record.id.to_string());
                let message = format!(
                    "record {} can never be stored in shard {}: {}",
                    id.unwrap_or_default(),
                    lane.shard,
                    reason.message
                );
                self.halt(Failure::halt(
                    reason.code,
                    message,
                    "set POISON_POLICY=dead_letter to put such records aside, or make the topic accept the record, then restart",
                ));
            }
        }
    }

    /// Nobody knows what became of the batch: it is looked for, later.
    fn in_doubt(&mut self, now: Duration, at: usize, id: BatchId, count: usize, reason: Reason) {
        let probe_at = now.saturating_add(self.settings.probe_delay);
        let lane = self.lane_mut(at);
        lane.failed(reason);
        let at = probe_at;
        lane.stage = Stage::Doubtful { id, count, at };
    }

    fn probe_failed(&mut self, now: Duration, at: usize, id: BatchId, count: usize, failure: Failure) {
        let attempt = self.lane_mut(at).failures;
        let wait = self.wait(attempt, &failure);
        let lane = self
            .lanes
            .get_mut(at)
            .expect("lanes do not change within one input");
        let listed = self.known_shards.contains(&lane.shard);
        lane.failed(failure.reason.clone());
        let again = now.saturating_add(wait);
        lane.stage = Stage::Doubtful { id, count, at: again };
        match failure.disposition {
            Disposition::Reroute if lane.missing && !listed => {
                // The shard is gone with all that it held: whatever it stored of the batch cannot be read by
                // anyone, so nothing is lost or seen twice by sending it again.
                lane.stage = Stage::Backoff { at: again };
            }
            Disposition::Reroute => {
                lane.missing = true;
                self.refresh.request();
            }
            Disposition::Halt { .. } => self.halt(failure),
            Disposition::Retry { .. } | Disposition::Poison(_) => {}
        }
    }

    /// Counts the lane's first `count` records as stored, all but these; they are the front of the queue then.
    fn stored_except(&mut self, now: Duration, at: usize, count: usize, missing: &[usize]) {
        let lane = self
            .lanes
            .get_mut(at)
            .expect("lanes do not change within one input");
        let released = lane.release_except(count, missing, &mut self.ledger);
        lane.succeeded();
        self.held_bytes = self.held_bytes.saturating_sub(released.bytes);
        self.counts.acked = self.counts.acked.saturating_add(released.records);
        if released.records > 0 || !released.letters.is_empty() {
            self.last_success = Some(now);
        }
        self.letters_stored(released.letters);
    }

    /// Some records were refused one by one, all others stored.
    fn partly_stored(
        &mut self,
        now: Duration,
        at: usize,
        id: BatchId,
        count: usize,
        mut refused: Vec<(usize, Failure)>,
    ) {
        refused.sort_by_key(|(index, _)| *index);
        refused.dedup_by_key(|(index, _)| *index);
        if refused.last().is_some_and(|(index, _)| *index >= count) {
            let reason = Reason {
                code: "answer_out_of_range",
                message: format!("the service refused a record behind the {count} of the batch"),
            };
            return self.in_doubt(now, at, id, count, reason);
        }
        let indexes: Vec<usize> = refused.iter().map(|(index, _)| *index).collect();
        self.stored_except(now, at, count, &indexes);
        // The refused records are the front of the queue now. What cannot pass by waiting comes first: a halt,
        // then a change of shards; of the rest, the first poison says where to cut.
        let rank = |failure: &Failure| match failure.disposition {
            Disposition::Halt { .. } => 0,
            Disposition::Reroute => 1,
            Disposition::Poison(_) => 2,
            Disposition::Retry { .. } => 3,
        };
        let worst = refused
            .iter()
            .enumerate()
            .min_by_key(|(_, (_, failure))| rank(failure));
        let Some((place, (_, failure))) = worst else {
            return;
        };
        match failure.disposition {
            Disposition::Poison(_) => self.lane_mut(at).suspect_at(place),
            Disposition::Halt { .. } | Disposition::Reroute | Disposition::Retry { .. } => {
                self.refused(now, at, refused.len(), failure);
            }
        }
    }
}

//! What becomes of a request on its way: stored, lost, late, refused, or stored in part, as the weather has it; and of a
//! look at what was stored, among what others write.

use std::collections::BTreeSet;

use cdc_collector::record::{Batch, Outcome, Probe, Record};
use cdc_collector::retry::{Disposition, Failure, Reason};
use cdc_collector::sink::lookback::{LATE_REQUESTS, Lengths, Search, Window};

use super::datahub::GROUP;
use super::world::{Event, World, millis};

impl World {
    pub(super) fn store(&mut self, batch: &Batch, records: &[Record]) {
        self.store_of(self.epoch, batch, records);
    }

    /// Stores what was sent in this epoch.
    pub(super) fn store_of(&mut self, epoch: u64, batch: &Batch, records: &[Record]) {
        if self.hub.takes(&batch.shard) {
            let last = batch.records.last().map(|record| record.id.clone());
            let marked = records.last().map(|record| record.id.clone()) == last;
            let watermark = batch.watermark.as_ref().filter(|_| marked);
            if self.chance(self.weather.others) {
                self.hub.others_store(&batch.shard, records, watermark);
            }
            let range = self.hub.store(&batch.shard, records, watermark, epoch);
            self.oracle.stored(records, range);
            if self.chance(self.weather.others) {
                let some = self.rng.usize(..=records.len());
                self.hub.others_store(&batch.shard, &records[..some], watermark);
            }
        }
    }

    /// Reads the shard back, as the client does.
    pub(super) fn look_up(&mut self, batch: &Batch) -> Probe {
        if self.chance(self.weather.refused) {
            return Probe::Failed(Failure::retry("unavailable", "try later"));
        }
        let mut search = Search::new(batch, GROUP);
        let mut lengths = std::mem::take(&mut self.lengths);
        self.search(&mut lengths, &mut search, batch);
        self.lengths = lengths;
        let finding = search.finding(None);
        self.tally.seen_again += finding.repeated;
        finding.probe
    }

    /// Reads the shard back until the batch is found, as one whose client knows these lengths.
    pub(super) fn search(&mut self, lengths: &mut Lengths, search: &mut Search<'_>, batch: &Batch) {
        let newest = self.hub.newest(&batch.shard);
        let begin = lengths.begin(batch, newest);
        let begin = begin.expect("a shard shows what it acknowledged");
        let mut window = Window::new(newest, begin, batch.records.len());
        while !search.has_all()
            && let Some(stretch) = window.stretch()
        {
            search.look(&self.hub.read(&batch.shard, stretch));
        }
        lengths.shows(&batch.shard, newest);
    }

    /// Requests that the service still holds for this shard.
    fn held_back(&self, batch: &Batch) -> usize {
        let held = self
            .pending()
            .filter(|event| matches!(event, Event::StoreLate(late, true, _) if late.shard == batch.shard));
        held.count()
    }

    /// The request reaches the service, and something becomes of it.
    pub(super) fn arrive(&mut self, batch: Batch) {
        let unknown = Outcome::Unknown {
            reason: Reason {
                code: "timeout",
                message: "no answer".to_owned(),
            },
        };
        if self.chance(self.weather.lost) {
            // Not stored, or stored wholly or in part: the sender cannot know.
            let poisoned = self.poison_in(&batch).is_some();
            let all = batch.records.len();
            let count = *self.rng.choice(&[0, all, all / 2]).unwrap();
            if self.weather.partial > 0 && self.rng.u32(..4) == 0 {
                if self.hub.takes(&batch.shard) {
                    self.serve_in_part(&batch);
                }
            } else if !poisoned {
                self.store(&batch, &batch.records[..count]);
            }
            return self.after(10..60, Event::Answer(batch, unknown));
        }
        let clean = self.poison_in(&batch).is_none();
        if clean && self.chance(self.weather.late) {
            self.at(self.now + millis(60), Event::Answer(batch.clone(), unknown));
            return self.at(self.now + millis(150), Event::StoreLate(batch, false, self.epoch));
        }
        // One fewer than the client allows for: a request that was stored in part looks like several.
        if clean && self.held_back(&batch) + 1 < LATE_REQUESTS && self.chance(self.weather.very_late) {
            self.oracle.excuse(&batch);
            self.at(self.now + millis(60), Event::Answer(batch.clone(), unknown));
            return self.after(150..600, Event::StoreLate(batch, true, self.epoch));
        }
        let outcome = self.serve(&batch);
        self.after(1..15, Event::Answer(batch, outcome));
    }

    pub(super) fn poison_in(&self, batch: &Batch) -> Option<usize> {
        let mut rows = batch.records.iter().map(|record| self.oracle.row_of(record));
        rows.position(|row| self.poison.contains(&row))
    }

    /// What the service does with a request that it answers.
    fn serve(&mut self, batch: &Batch) -> Outcome {
        let refused = |disposition, code| {
            Outcome::Refused(Failure {
                disposition,
                reason: Reason {
                    code,
                    message: "refused".to_owned(),
                },
            })
        };
        if !self.hub.takes(&batch.shard) {
            return refused(Disposition::Reroute, "shard_sealed");
        }
        if self.chance(self.weather.refused) {
            let after = self.rng.bool().then(|| millis(self.rng.u64(..900)));
            return refused(Disposition::Retry { after }, "limit_exceeded");
        }
        if self.chance(self.weather.partial) {
            return self.serve_in_part(batch);
        }
        if let Some(index) = self.poison_in(batch) {
            let named = self.chance(self.weather.poison_named).then_some(index);
            return refused(Disposition::Poison(named), "malformed_record");
        }
        self.store(batch, &batch.records);
        Outcome::Acknowledged
    }

    /// A multi-shard put: poison is refused, and some keys are. Behind a refused record the rest of its key is
    /// refused too: a service that does otherwise breaks the order, and no client can help it.
    fn serve_in_part(&mut self, batch: &Batch) -> Outcome {
        let unlucky = self.rng.u128(..);
        let mut refused_keys = BTreeSet::new();
        let (mut stored, mut refused) = (Vec::new(), Vec::new());
        for (index, record) in batch.records.iter().enumerate() {
            let row = self.oracle.row_of(record);
            let key = record.hash_key;
            if self.poison.contains(&row) {
                let mut failure = Failure::retry("malformed_record", "refused");
                failure.disposition = Disposition::Poison(None);
                refused.push((index, failure));
                refused_keys.insert(key);
            } else if key < unlucky || refused_keys.contains(&key) {
                refused.push((index, Failure::retry("unavailable", "try later")));
            } else {
                stored.push(record.clone());
            }
        }
        self.store(batch, &stored);
        Outcome::Partial(refused)
    }
}

//! One world from one seed: rows, a service with faults, a disk, crashes, and the core in the middle, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cdc_collector::delivery::{Core, Effect, Settings};
use cdc_collector::position::{FilePosition, Flavour, OpenTransaction, Position, ServerIdentity, Watermark};
use cdc_collector::record::letter::Request;
use cdc_collector::record::{Batch, BatchId, Chunk, Outcome, Probe, Record, Shard};
use cdc_collector::retry::{Disposition, Failure};
use cdc_collector::sink::lookback::Lengths;

use super::datahub::Datahub;
use super::letters::LetterCall;
use super::oracle::Oracle;
use super::plan::{FILE, TRANSACTION, Weather, poison, rows, settings, transaction};
use super::standby::{Lease, Zombie};

/// A world that takes more steps than this makes no progress any more.
const MOST_STEPS: u32 = 60_000;

/// What happened, for the test's summary.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) sends: u64,
    pub(super) probes: u64,
    pub(super) crashes: u64,
    pub(super) clean_stops: u64,
    pub(super) halts: u64,
    pub(super) burials: u64,
    pub(super) reshapes: u64,
    pub(super) wipes: u64,
    /// Records that a run found in the topic behind its start.
    pub(super) remembered: u64,
    /// Of these, in sealed shards, without a checkpoint.
    pub(super) of_parents: u64,
    /// Records that were seen twice where a shard was read.
    pub(super) seen_again: u64,
    /// Requests that were stored when the run that had sent them was over.
    pub(super) stored_after_death: u64,
    /// Rows that went to the file behind a row of their key.
    pub(super) fenced: u64,
    /// Letters that left the file because the topic has them.
    pub(super) replayed: u64,
    /// Letters that a person gave up.
    pub(super) discarded: u64,
    /// Requests that were carried out.
    pub(super) reports: u64,
    /// Times that another collector began where the one before had lost its lease.
    pub(super) takeovers: u64,
    /// Replaced collectors that woke up.
    pub(super) woken: u64,
    /// Of these, those that would have sent.
    pub(super) withheld: u64,
    /// Of these, those that saw in the topic that they are replaced.
    pub(super) superseded: u64,
    /// Replaced collectors that were granted the lock again.
    pub(super) granted_again: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sends += other.sends;
        self.probes += other.probes;
        self.crashes += other.crashes;
        self.clean_stops += other.clean_stops;
        self.halts += other.halts;
        self.burials += other.burials;
        self.reshapes += other.reshapes;
        self.wipes += other.wipes;
        self.remembered += other.remembered;
        self.of_parents += other.of_parents;
        self.seen_again += other.seen_again;
        self.stored_after_death += other.stored_after_death;
        self.fenced += other.fenced;
        self.replayed += other.replayed;
        self.discarded += other.discarded;
        self.reports += other.reports;
        self.takeovers += other.takeovers;
        self.woken += other.woken;
        self.withheld += other.withheld;
        self.superseded += other.superseded;
        self.granted_again += other.granted_again;
    }
}

/// Something that will happen.
pub(super) enum Event {
    /// The request reaches the service.
    Arrive(Batch),
    /// The service stores the records of a request that its sender, of this epoch, has given up: before they are looked
    /// for, or after.
    StoreLate(Batch, bool, u64),
    Answer(Batch, Outcome),
    LookUp(Batch),
    Probed(Batch, Probe),
    Saved(usize, bool),
    Buried(Arc<[Record]>, bool),
    /// The file answers.
    Letters(LetterCall, bool),
    /// A person asks for something.
    Ask,
    /// The service takes from now on what it did not.
    Lift,
    List,
    Listed(Result<Vec<Shard>, Failure>),
    Open,
    Split,
    Merge,
    /// The collector that was replaced goes on where it was.
    WakeUp,
}

pub(super) struct World {
    pub(super) rng: fastrand::Rng,
    pub(super) now: Duration,
    pub(super) weather: Weather,
    settings: Settings,
    pub(super) hub: Datahub,
    /// What the present run's client knows of the shards.
    pub(super) lengths: Lengths,
    pub(super) oracle: Oracle,
    pub(super) poison: BTreeSet<usize>,
    /// Rows that the service did not take at one time.
    pub(super) ever_poison: BTreeSet<usize>,
    /// The dead-letter file.
    pub(super) file: Vec<Record>,
    /// The request that waits on disk.
    pub(super) request: Option<Request>,
    /// The checkpoint: its row, and the epoch it was written in.
    pub(super) saved: (usize, u64),
    /// The checkpoint in the other collector's volume.
    pub(super) elsewhere: (usize, u64),
    /// The present run's.
    pub(super) epoch: u64,
    pub(super) lease: Lease,
    pub(super) zombie: Option<Zombie>,
    events: BTreeMap<(Duration, u64), Event>,
    scheduled: u64,
    next_chunk: Duration,
    pub(super) tally: Tally,
}

pub(super) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) fn position(row: usize) -> Position {
    let row = u64::try_from(row).unwrap();
    let rows = row % TRANSACTION;
    Position {
        gtid_set: None,
        file: FilePosition {
            file: FILE.to_owned(),
            pos: row - rows,
        },
        open: (rows > 0).then(|| OpenTransaction {
            id: transaction(row).to_string(),
            rows,
            fingerprint: 0,
        }),
        parked: Vec::new(),
    }
}

/// The row in front of which a position lies.
pub(super) fn row_of(position: &Position) -> usize {
    let rows = position.open.as_ref().map_or(0, |open| open.rows);
    usize::try_from(position.file.pos + rows).unwrap()
}

pub(super) fn server() -> ServerIdentity {
    ServerIdentity {
        flavour: Flavour::MySql,
        server_uuid: "u".to_owned(),
        server_id: 1,
    }
}

/// The row in front of which a position in its text form lies.
pub(super) fn row_behind(text: &str) -> usize {
    let watermark: Watermark = serde_json::from_str(text).unwrap();
    row_of(&watermark.position)
}

/// Lives through the world of this seed; panics where a promise is broken.
pub(super) fn run(seed: u64) -> Tally {
    let mut world = World::new(seed);
    let mut steps = 0;
    while !world.run_core(&mut steps) {}
    world.oracle.complete(&world.poison);
    world.tally
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let weather = Weather::new(&mut rng);
        let settings = settings(&mut rng, seed);
        let rows = rows(&mut rng);
        let poison = poison(&mut rng, &rows);
        let mut world = Self {
            hub: Datahub::new(rng.u32(1..6)),
            lengths: Lengths::default(),
            oracle: Oracle::new(rows, settings.clone()),
            rng,
            now: Duration::ZERO,
            weather,
            settings,
            ever_poison: poison.clone(),
            poison,
            file: Vec::new(),
            request: None,
            saved: (0, 0),
            elsewhere: (0, 0),
            epoch: 0,
            lease: Lease::default(),
            zombie: None,
            events: BTreeMap::new(),
            scheduled: 0,
            next_chunk: Duration::ZERO,
            tally: Tally::default(),
        };
        world.plan_shards();
        world
    }

    /// When the first shards open, and when they split and merge.
    fn plan_shards(&mut self) {
        self.after(0..300, Event::Open);
        for _ in 0..self.rng.u32(0..4) {
            let event = if self.rng.bool() {
                Event::Split
            } else {
                Event::Merge
            };
            self.after(300..2_500, event);
            self.oracle.reshaped = true;
        }
        for _ in 0..self.weather.requests {
            self.after(50..2_500, Event::Ask);
        }
        if self.rng.bool() {
            self.after(300..2_500, Event::Lift);
        }
    }

    pub(super) fn after(&mut self, millis: std::ops::Range<u64>, event: Event) {
        let micros = self.rng.u64(millis.start * 1_000..millis.end * 1_000);
        self.at(self.now + Duration::from_micros(micros), event);
    }

    pub(super) fn at(&mut self, at: Duration, event: Event) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    /// One run of the core from the saved position; whether the world is complete after it.
    fn run_core(&mut self, steps: &mut u32) -> bool {
        self.takes_lease();
        let mut core = Core::new(self.settings.clone());
        let (start, stored) = self.remembers();
        self.oracle.run_begins(start);
        self.tally.remembered += u64::try_from(stored.len()).unwrap();
        core.handle_server(&server());
        core.handle_stored(stored);
        core.handle_fences(self.fences());
        if self.request.is_some() {
            self.after(0..100, Event::Ask);
        }
        let (mut seq, mut next) = (0, start);
        // The read side says where it starts before anything else.
        self.give(&mut core, &mut seq, next, 0);
        loop {
            *steps += 1;
            assert!(*steps < MOST_STEPS, "no progress");
            if self.do_effects(&mut core) {
                return self.end_of_run(&core);
            }
            if self.rng.f64() < self.weather.crash {
                self.tally.crashes += 1;
                self.die();
                self.grants_again();
                return false;
            }
            if self.sleeps_at().is_some_and(|at| self.now >= at) {
                self.falls_asleep(core);
                return false;
            }
            if self.zombie.is_none() && !self.is_replaced() && self.rng.f64() < self.weather.cut_off {
                self.loses_lease();
            }
            let all_read = next == self.oracle.rows.len();
            let asks = self.events.values().any(|event| matches!(event, Event::Ask));
            let at_rest = core.snapshot().in_flight == 0 && !asks && self.request.is_none();
            let done = all_read && (!self.weather.patient || at_rest);
            if core.halted().is_some() || done || self.rng.f64() < self.weather.stop {
                self.oracle.draining = true;
                core.handle_shutdown(self.now);
                if self.do_effects(&mut core) {
                    return self.end_of_run(&core);
                }
            }
            let event = self.events.keys().next().map(|&(at, _)| at);
            let timeout = core.poll_timeout();
            assert!(
                timeout.is_none_or(|at| at > self.now),
                "a timeout that does not end"
            );
            let wanted = core.wants_input() && !all_read;
            let chunk = wanted.then(|| self.next_chunk.max(self.now));
            let sleeps = self.sleeps_at();
            let at = [event, timeout, chunk, sleeps].into_iter().flatten().min();
            self.now = self.now.max(at.expect("stuck: nothing will ever happen again"));
            if sleeps == at {
                continue;
            }
            if timeout == at {
                core.handle_timeout(self.now);
            } else if event == at {
                self.happen(&mut core);
            } else {
                let most = self.oracle.rows.len() - next;
                let count = self.rng.usize(..12).min(most);
                self.give(&mut core, &mut seq, next, count);
                next += count;
                self.next_chunk = self.now + Duration::from_micros(self.rng.u64(..25_000));
            }
        }
    }

    /// Hands the core the next rows.
    fn give(&mut self, core: &mut Core, seq: &mut u64, from: usize, count: usize) {
        let mut records = Vec::new();
        for row in &self.oracle.rows[from..from + count] {
            if let Some(record) = &row.record {
                let mut record = record.clone();
                record.seq = *seq;
                *seq += 1;
                records.push(record);
            }
        }
        let decoded = u64::try_from(count).unwrap();
        let chunk = Chunk {
            filtered: decoded - u64::try_from(records.len()).unwrap(),
            records,
            end: position(from + count),
            decoded,
        };
        self.oracle.admit(from + count);
        self.oracle.suppressed(from..from + count);
        core.handle_chunk(self.now, chunk);
    }

    /// Carries out what the core asks for; whether it has finished.
    fn do_effects(&mut self, core: &mut Core) -> bool {
        let mut finished = false;
        while let Some(effect) = core.poll_effect() {
            assert!(!finished, "something after the end");
            match effect {
                Effect::Send(batch) => {
                    assert!(core.halted().is_none(), "sent after a halt");
                    self.tally.sends += 1;
                    self.oracle.sends(self.now, &batch);
                    self.lengths.sends(&batch);
                    if !self.may_send() {
                        continue;
                    }
                    self.after(1..15, Event::Arrive(batch));
                }
                Effect::Probe(batch) => {
                    self.tally.probes += 1;
                    self.oracle.probes(self.now, &batch);
                    self.after(1..15, Event::LookUp(batch));
                }
                Effect::Persist(position) => {
                    let row = row_of(&position);
                    self.oracle.persists(self.now, row);
                    let good = !self.chance(self.weather.disk);
                    self.after(1..80, Event::Saved(row, good));
                }
                Effect::DeadLetter { records, reason } => {
                    self.may_be_buried(&records, reason.code);
                    let good = !self.chance(self.weather.disk);
                    self.after(1..80, Event::Buried(records, good));
                }
                Effect::ReadLetters { wanted, bytes } => self.call(LetterCall::Read(wanted, bytes)),
                Effect::RemoveLetters(ids) => self.call(LetterCall::Remove(ids)),
                Effect::DiscardLetters { selection, .. } => self.call(LetterCall::Discard(selection)),
                Effect::Report { .. } => {
                    self.tally.reports += 1;
                    self.request = None;
                }
                Effect::RefreshShards => self.after(1..15, Event::List),
                Effect::Finished => finished = true,
            }
        }
        self.oracle.agrees(&core.snapshot());
        finished
    }

    fn happen(&mut self, core: &mut Core) {
        let Some((_, event)) = self.events.pop_first() else {
            return;
        };
        match event {
            Event::Arrive(batch) => self.arrive(batch),
            Event::StoreLate(batch, _, epoch) => self.store_of(epoch, &batch, &batch.records),
            Event::Answer(batch, outcome) => self.answer(core, &batch, outcome),
            Event::LookUp(batch) => {
                let probe = self.look_up(&batch);
                self.after(1..15, Event::Probed(batch, probe));
            }
            Event::Probed(batch, probe) => {
                match &probe {
                    Probe::Holds(count) => self.tell(&batch, |index| index < *count),
                    Probe::Lacks(missing) => self.tell(&batch, |index| !missing.contains(&index)),
                    Probe::Failed(_) => {}
                }
                if let Probe::Failed(_) = probe {
                    self.oracle.in_doubt(self.now - self.settings.probe_delay, &batch);
                } else {
                    self.oracle.answered(&batch, None);
                }
                core.handle_probe(self.now, batch.id, probe);
            }
            Event::Saved(row, good) => {
                // A write that fails may have reached the disk all the same.
                if good || self.rng.u32(..4) == 0 {
                    self.saved = (row, self.epoch);
                }
                let failed = || Failure::retry("disk_full", "no space left");
                core.handle_persisted(self.now, if good { Ok(()) } else { Err(failed()) });
            }
            Event::Buried(records, good) => {
                let seq = records[0].seq;
                if good {
                    self.tally.burials += 1;
                    self.append(&records);
                    let rows: Vec<usize> = records.iter().map(|r| self.oracle.row_of(r)).collect();
                    self.oracle.told(&rows);
                }
                let failed = || Failure::retry("disk_full", "no space left");
                let done = if good { Ok(()) } else { Err(failed()) };
                core.handle_dead_lettered(self.now, seq, done);
            }
            Event::Letters(call, good) => self.answer_letters(core, call, good),
            Event::Ask => self.ask(core),
            Event::Lift => self.poison.clear(),
            Event::List => {
                let failed = self.chance(self.weather.refused);
                let list = self.hub.list();
                let answer = if failed {
                    Err(Failure::retry("unavailable", "try later"))
                } else {
                    Ok(list)
                };
                self.after(1..15, Event::Listed(answer));
            }
            Event::Listed(shards) => core.handle_shards(self.now, shards),
            Event::Open => self.hub.open_all(),
            Event::WakeUp => self.wakes_up(),
            Event::Split | Event::Merge => {
                self.tally.reshapes += 1;
                if matches!(event, Event::Split) {
                    self.hub.split(&mut self.rng);
                } else {
                    self.hub.merge(&mut self.rng);
                }
                self.after(5..400, Event::Open);
            }
        }
    }

    /// Notes which of the batch's rows the core is about to learn are stored.
    fn tell(&mut self, batch: &Batch, stored: impl Fn(usize) -> bool) {
        let indexed = batch.records.iter().enumerate();
        let rows: Vec<usize> = indexed
            .filter(|(index, record)| stored(*index) && !record.is_letter())
            .map(|(_, record)| self.oracle.row_of(record))
            .collect();
        self.oracle.told(&rows);
    }

    fn answer(&mut self, core: &mut Core, batch: &Batch, outcome: Outcome) {
        self.lengths.answered(batch, &outcome);
        let mut pause = None;
        match &outcome {
            Outcome::Acknowledged => self.tell(batch, |_| true),
            Outcome::Partial(refused) => {
                self.tell(batch, |index| refused.iter().all(|(other, _)| *other != index));
            }
            Outcome::Refused(failure) => {
                if let Disposition::Retry { after } = failure.disposition {
                    let least = (self.settings.delays.base / 2).max(after.unwrap_or_default());
                    pause = Some(self.now + least);
                }
            }
            Outcome::Unknown { .. } => {}
        }
        if let Outcome::Unknown { .. } = outcome {
            self.oracle.in_doubt(self.now, batch);
        } else {
            self.oracle.answered(batch, pause);
        }
        let id: BatchId = batch.id;
        core.handle_outcome(self.now, id, outcome);
    }

    /// What will happen.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Event> {
        self.events.values()
    }

    /// Takes the answers that are on their way to the process.
    pub(super) fn take_answers(&mut self) -> Vec<Event> {
        let is_one =
            |event: &Event| matches!(event, Event::Answer(..) | Event::Probed(..) | Event::Listed(_));
        let answers = self.events.extract_if(.., |_, event| is_one(event));
        answers.map(|(_, event)| event).collect()
    }

    /// The process is gone. What was on its way arrives now or never, or when the next run has looked.
    pub(super) fn die(&mut self) {
        for ((at, order), event) in std::mem::take(&mut self.events) {
            let arrives = self.rng.bool();
            match event {
                Event::StoreLate(_, true, _) if self.rng.bool() => {
                    self.tally.stored_after_death += 1;
                    self.events.insert((at, order), event);
                }
                Event::Arrive(batch) | Event::StoreLate(batch, ..) => {
                    if arrives && self.poison_in(&batch).is_none() {
                        self.store(&batch, &batch.records);
                    }
                }
                Event::Saved(row, _) if arrives => self.saved = (row, self.epoch),
                // Whole lines of it, maybe not all.
                Event::Buried(records, _) if arrives => {
                    let count = self.rng.usize(..=records.len());
                    self.append(&records[..count]);
                }
                Event::Letters(call, _) if arrives => {
                    self.change_file(&call);
                }
                Event::Open | Event::Split | Event::Merge | Event::Ask | Event::Lift | Event::WakeUp => {
                    self.events.insert((at, order), event);
                }
                Event::Saved(..)
                | Event::Buried(..)
                | Event::Letters(..)
                | Event::Answer(..)
                | Event::LookUp(..)
                | Event::Probed(..)
                | Event::List
                | Event::Listed(_) => {}
            }
        }
        // The volume went with the container: only the topic remembers.
        // Letters would be lost with it.
        if self.file.is_empty() && self.rng.u32(..4) == 0 {
            self.tally.wipes += 1;
            self.saved = (0, 0);
        }
    }

    /// The core has finished; whether the world is complete.
    fn end_of_run(&mut self, core: &Core) -> bool {
        let halted = core.halted().is_some();
        self.oracle.finished(self.saved.0, halted);
        if halted {
            self.tally.halts += 1;
            self.die();
            // A person makes the topic accept the record.
            self.poison.clear();
            return false;
        }
        self.tally.clean_stops += 1;
        let complete = self.oracle.admitted() == self.oracle.rows.len();
        self.events
            .retain(|_, event| !matches!(event, Event::List | Event::Listed(_) | Event::Letters(..)));
        complete
    }
}

//! One world from one seed: rows, a service with faults, a disk, crashes, and the core in the middle, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cdc_collector::config::PoisonPolicy;
use cdc_collector::delivery::{Core, Effect, Settings};
use cdc_collector::position::{FilePosition, Position};
use cdc_collector::record::{Batch, BatchId, Chunk, Outcome, Probe, Record, RecordId, Shard};
use cdc_collector::retry::{Delays, Disposition, Failure, Reason};

use super::datahub::Datahub;
use super::oracle::{Oracle, Row};

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
    }
}

/// Something that will happen.
enum Event {
    /// The request reaches the service.
    Arrive(Batch),
    /// The service stores the records of a request that its sender has given up.
    StoreLate(Batch),
    Answer(Batch, Outcome),
    LookUp(Batch),
    Probed(Batch, Probe),
    Saved(usize, bool),
    Buried(Record, bool),
    List,
    Listed(Result<Vec<Shard>, Failure>),
    Open,
    Split,
    Merge,
}

/// How bad this world is; all in percent.
struct Weather {
    lost: u32,
    late: u32,
    very_late: u32,
    refused: u32,
    partial: u32,
    disk: u32,
    poison_named: u32,
    crash: f64,
    stop: f64,
}

struct World {
    rng: fastrand::Rng,
    now: Duration,
    weather: Weather,
    settings: Settings,
    hub: Datahub,
    oracle: Oracle,
    poison: BTreeSet<usize>,
    saved: usize,
    events: BTreeMap<(Duration, u64), Event>,
    scheduled: u64,
    next_chunk: Duration,
    tally: Tally,
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn position(row: usize) -> Position {
    Position {
        gtid_set: None,
        file: FilePosition {
            file: "binlog.000001".to_owned(),
            pos: u64::try_from(row).unwrap(),
        },
        open: None,
    }
}

fn rows(rng: &mut fastrand::Rng) -> Vec<Row> {
    let keys: Vec<u128> = (0..rng.u32(1..14)).map(|_| rng.u128(..)).collect();
    let (filtered, hot) = (rng.f64() * 0.4, rng.f64());
    let row = |index: u64, rng: &mut fastrand::Rng| {
        if rng.f64() < filtered {
            return Row { record: None };
        }
        let key = if rng.f64() < hot {
            0
        } else {
            rng.usize(..keys.len())
        };
        let mut payload = index.to_be_bytes().to_vec();
        payload.resize(8 + rng.usize(..300), 0x78);
        let record = Record {
            seq: 0,
            id: RecordId {
                transaction: Arc::from(format!("t:{}", index / 5)),
                row: index % 5,
            },
            hash_key: keys[key],
            payload: Bytes::from(payload),
        };
        Row { record: Some(record) }
    };
    let count = rng.u64(20..220);
    (0..count).map(|index| row(index, rng)).collect()
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
        let bad = rng.bool();
        let up_to = |rng: &mut fastrand::Rng, n: u32| if bad { rng.u32(0..=n) } else { 0 };
        let weather = Weather {
            lost: up_to(&mut rng, 25),
            late: up_to(&mut rng, 12),
            very_late: if rng.u32(..5) == 0 { 3 } else { 0 },
            refused: up_to(&mut rng, 30),
            partial: up_to(&mut rng, 15),
            disk: up_to(&mut rng, 40),
            poison_named: *rng.choice(&[0, 50, 100]).unwrap(),
            crash: if rng.bool() { rng.f64() * 0.02 } else { 0.0 },
            stop: if rng.bool() { rng.f64() * 0.01 } else { 0.0 },
        };
        let settings = Settings {
            batch_bytes: rng.usize(600..6_000),
            batch_records: rng.usize(1..25),
            linger: millis(*rng.choice(&[0, 0, 15]).unwrap()),
            budget_bytes: rng.usize(3_000..40_000),
            delays: Delays {
                base: millis(20),
                cap: millis(400),
            },
            poison: *rng
                .choice(&[PoisonPolicy::DeadLetter, PoisonPolicy::Halt])
                .unwrap(),
            alarm_attempts: 3,
            checkpoint_interval: millis(50),
            shard_refresh_interval: millis(3_000),
            probe_delay: millis(100),
            seed,
        };
        let rows = rows(&mut rng);
        let mut poison = BTreeSet::new();
        if rng.bool() {
            poison = (0..rng.usize(1..5))
                .map(|_| rng.usize(..rows.len()))
                .filter(|&row| rows[row].record.is_some())
                .collect();
        }
        let mut world = Self {
            hub: Datahub::new(rng.u32(1..6)),
            oracle: Oracle::new(rows, settings.clone()),
            rng,
            now: Duration::ZERO,
            weather,
            settings,
            poison,
            saved: 0,
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
    }

    fn after(&mut self, millis: std::ops::Range<u64>, event: Event) {
        let micros = self.rng.u64(millis.start * 1_000..millis.end * 1_000);
        self.at(self.now + Duration::from_micros(micros), event);
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    /// One run of the core from the saved position; whether the world is complete after it.
    fn run_core(&mut self, steps: &mut u32) -> bool {
        let mut core = Core::new(self.settings.clone());
        let start = self.saved;
        self.oracle.run_begins(start);
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
                return false;
            }
            let all_read = next == self.oracle.rows.len();
            if core.halted().is_some() || all_read || self.rng.f64() < self.weather.stop {
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
            let at = [event, timeout, chunk].into_iter().flatten().min();
            self.now = self.now.max(at.expect("stuck: nothing will ever happen again"));
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
            source_ts_us: None,
        };
        self.oracle.admit(from + count);
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
                    self.after(1..15, Event::Arrive(batch));
                }
                Effect::Probe(batch) => {
                    self.tally.probes += 1;
                    self.oracle.probes(self.now, &batch);
                    self.after(1..15, Event::LookUp(batch));
                }
                Effect::Persist(position) => {
                    let row = usize::try_from(position.file.pos).unwrap();
                    self.oracle.persists(self.now, row);
                    let good = !self.chance(self.weather.disk);
                    self.after(1..80, Event::Saved(row, good));
                }
                Effect::DeadLetter { record, .. } => {
                    let row = self.oracle.row_of(&record);
                    assert!(self.poison.contains(&row), "row {row} is buried alive");
                    let good = !self.chance(self.weather.disk);
                    self.after(1..80, Event::Buried(record, good));
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
            Event::StoreLate(batch) => self.store(&batch, &batch.records),
            Event::Answer(batch, outcome) => self.answer(core, &batch, outcome),
            Event::LookUp(batch) => {
                let probe = if self.chance(self.weather.refused) {
                    Probe::Failed(Failure::retry("unavailable", "try later"))
                } else {
                    self.hub.probe(&batch)
                };
                self.after(1..15, Event::Probed(batch, probe));
            }
            Event::Probed(batch, probe) => {
                if let Probe::Holds(count) = probe {
                    self.tell(&batch, |index| index < count);
                    self.oracle.answered(&batch, None);
                } else {
                    self.oracle.in_doubt(self.now - self.settings.probe_delay, &batch);
                }
                core.handle_probe(self.now, batch.id, probe);
            }
            Event::Saved(row, good) => {
                // A write that fails may have reached the disk all the same.
                if good || self.rng.u32(..4) == 0 {
                    self.saved = row;
                }
                let failed = || Failure::retry("disk_full", "no space left");
                core.handle_persisted(self.now, if good { Ok(()) } else { Err(failed()) });
            }
            Event::Buried(record, good) => {
                let row = self.oracle.row_of(&record);
                if good {
                    self.tally.burials += 1;
                    self.oracle.buried(row);
                    self.oracle.told(&[row]);
                }
                let failed = || Failure::retry("disk_full", "no space left");
                let done = if good { Ok(()) } else { Err(failed()) };
                core.handle_dead_lettered(self.now, record.seq, done);
            }
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

    fn store(&mut self, batch: &Batch, records: &[Record]) {
        if self.hub.takes(&batch.shard) {
            let range = self.hub.store(&batch.shard, records);
            self.oracle.stored(records, range);
        }
    }

    /// The request reaches the service, and something becomes of it.
    fn arrive(&mut self, batch: Batch) {
        let unknown = Outcome::Unknown {
            reason: Reason {
                code: "timeout",
                message: "no answer".to_owned(),
            },
        };
        if self.chance(self.weather.lost) {
            // Not stored, or stored wholly or in part: the sender cannot know.
            let poisoned = self.poison_in(&batch).is_some();
            let count = *self
                .rng
                .choice(&[0, batch.records.len(), batch.records.len() / 2])
                .unwrap();
            if !poisoned {
                self.store(&batch, &batch.records[..count]);
            }
            return self.after(10..60, Event::Answer(batch, unknown));
        }
        let clean = self.poison_in(&batch).is_none();
        if clean && self.chance(self.weather.late) {
            self.at(self.now + millis(60), Event::Answer(batch.clone(), unknown));
            return self.at(self.now + millis(150), Event::StoreLate(batch));
        }
        if clean && self.chance(self.weather.very_late) {
            self.oracle.excuse(&batch);
            self.at(self.now + millis(60), Event::Answer(batch.clone(), unknown));
            return self.after(150..600, Event::StoreLate(batch));
        }
        let outcome = self.serve(&batch);
        self.after(1..15, Event::Answer(batch, outcome));
    }

    fn poison_in(&self, batch: &Batch) -> Option<usize> {
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

    /// Notes which of the batch's rows the core is about to learn are stored.
    fn tell(&mut self, batch: &Batch, stored: impl Fn(usize) -> bool) {
        let indexed = batch.records.iter().enumerate();
        let rows: Vec<usize> = indexed
            .filter(|(index, _)| stored(*index))
            .map(|(_, record)| self.oracle.row_of(record))
            .collect();
        self.oracle.told(&rows);
    }

    fn answer(&mut self, core: &mut Core, batch: &Batch, outcome: Outcome) {
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

    /// The process is gone. What was on its way arrives now or never.
    fn die(&mut self) {
        for ((at, order), event) in std::mem::take(&mut self.events) {
            let arrives = self.rng.bool();
            match event {
                Event::Arrive(batch) | Event::StoreLate(batch) => {
                    if arrives && self.poison_in(&batch).is_none() {
                        self.store(&batch, &batch.records);
                    }
                }
                Event::Saved(row, _) if arrives => self.saved = row,
                Event::Buried(record, _) if arrives => {
                    let row = self.oracle.row_of(&record);
                    self.oracle.buried(row);
                }
                Event::Open | Event::Split | Event::Merge => {
                    self.events.insert((at, order), event);
                }
                Event::Saved(..)
                | Event::Buried(..)
                | Event::Answer(..)
                | Event::LookUp(..)
                | Event::Probed(..)
                | Event::List
                | Event::Listed(_) => {}
            }
        }
        self.oracle.run_died(self.saved);
    }

    /// The core has finished; whether the world is complete.
    fn end_of_run(&mut self, core: &Core) -> bool {
        let halted = core.halted().is_some();
        self.oracle.finished(self.saved, halted);
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
            .retain(|_, event| !matches!(event, Event::List | Event::Listed(_)));
        complete
    }
}

//! The delivery core: a state machine that turns chunks into batches and answers into progress.
//!
//! Owns I4, a key changes lane only when nothing is in flight on the lanes involved and what waits is dealt out
//! again in order, and I5, bytes held stay below the budget plus one chunk. I1 and I2 live in `ledger`, I3 in
//! `lane`; what the topic had before the run is in `memory`, dead letters and what waits for them in `letters`. Inputs are the `handle_*` calls, each with `now` (time since any fixed start, never going back);
//! outputs are the effects of [`Core::poll_effect`], to be polled until there are none after every input, and
//! the moment of [`Core::poll_timeout`].
//!
//! It opens no socket and no file, reads no clock, starts no task, logs nothing and counts no metric: that is
//! the driver's part, and the driver decides nothing. There is no way out of the core for a record but being
//! stored or being written to the dead letters.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::config::PoisonPolicy;
use crate::position::{Position, ServerIdentity, Watermark};
use crate::record::letter::{Report, Request, Selection, Wanted};
use crate::record::{Batch, BatchId, Chunk, Record, Shard, ShardId, Turn};
use crate::retry::{Delays, Disposition, Failure, Reason};

mod answers;
mod checkpoint;
mod lane;
mod ledger;
mod letters;
mod memory;
mod replay;
pub mod resume;
mod routing;
mod snapshot;
pub mod tenure;

use checkpoint::Checkpoint;
use lane::{Lane, Limits, Stage};
use ledger::Ledger;
pub use letters::KEY_FENCED;
use letters::Letters;
use memory::Memory;
pub use memory::Stored;
use routing::Refresh;
pub use snapshot::{LaneSnapshot, LaneState, LettersSnapshot, Snapshot, TableLetters};

/// Usual spacing of checkpoint writes: what a crash costs in repeated reading, against fsyncs.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);
/// Usual spacing of shard listings when nothing says that they have changed.
pub const SHARD_REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// Usual wait before a batch of unknown outcome is looked for: the service may still be at it.
pub const PROBE_DELAY: Duration = Duration::from_secs(1);
/// A server that names a longer wait is not believed: the next try would come after anyone had looked.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Batches in memory beyond two per lane (one in flight, one gathering): slack for keys that are not spread evenly.
const SPARE_BATCHES: usize = 4;

/// What the core is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest request body before compression, bytes. A single record above it is sent alone.
    pub batch_bytes: usize,
    /// Most records of a request.
    pub batch_records: usize,
    /// How long an idle lane waits for more before it sends.
    pub linger: Duration,
    /// Upper bound of bytes held; one chunk may come on top.
    pub budget_bytes: usize,
    /// Waits between tries, of every kind of call.
    pub delays: Delays,
    /// What a record that can never be stored does.
    pub poison: PoisonPolicy,
    /// Consecutive failures of one call that raise the alarm in the snapshot.
    pub alarm_attempts: u32,
    /// Least time between two checkpoint writes.
    pub checkpoint_interval: Duration,
    /// Time between two listings of the shards when nothing says that they have changed.
    pub shard_refresh_interval: Duration,
    /// Wait before a batch of unknown outcome is looked for.
    pub probe_delay: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}

/// What the driver has to do. Each is answered once through the matching `handle_*`, except `Report` and `Finished`.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Put the batch; the answer goes to [`Core::handle_outcome`].
    Send(Batch),
    /// Look for the batch among the shard's newest records; the answer goes to [`Core::handle_probe`].
    Probe(Batch),
    /// Write the checkpoint; the answer goes to [`Core::handle_persisted`].
    Persist(Position),
    /// Append the records to the dead letters, all or none; the answer goes to [`Core::handle_dead_lettered`].
    DeadLetter {
        /// One that can never be stored, or some that have to stay behind such a one. Never empty.
        records: Arc<[Record]>,
        /// Why.
        reason: Reason,
    },
    /// Read letters from the file, in order; the answer goes to [`Core::handle_letters`].
    ReadLetters {
        /// Which.
        wanted: Wanted,
        /// So many bytes of them at most, but one at least.
        bytes: usize,
    },
    /// Take the letters with these ids out of the file; the answer goes to [`Core::handle_removed`].
    RemoveLetters(Vec<String>),
    /// Write down that letters are given up and take them out of the file; the answer goes to
    /// [`Core::handle_discarded`].
    DiscardLetters {
        /// Which.
        selection: Selection,
        /// Why.
        reason: String,
    },
    /// A request is carried out. There is no answer.
    Report {
        /// As it was made.
        request: Request,
        /// What became of it.
        report: Report,
    },
    /// List the shards; the answer goes to [`Core::handle_shards`].
    RefreshShards,
    /// The drain is over: everything accepted is resolved and its position saved, or the core is halted.
    Finished,
}

#[derive(Debug, Default)]
struct Counts {
    decoded: u64,
    filtered: u64,
    acked: u64,
    suppressed: u64,
    dead_lettered: u64,
}

/// The state machine. See the module's text.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    rng: fastrand::Rng,
    ledger: Ledger,
    memory: Memory,
    letters: Letters,
    /// Whose positions these are.
    server: Option<ServerIdentity>,
    /// By begin key.
    lanes: Vec<Lane>,
    /// Records for which no shard takes keys yet, in order.
    unrouted: VecDeque<Record>,
    /// A newer list of shards that waits for the lanes it changes to come to rest.
    incoming: Option<Vec<Shard>>,
    /// Ids in the newest list of shards, sealed ones included.
    known_shards: Vec<ShardId>,
    refresh: Refresh,
    checkpoint: Checkpoint,
    effects: VecDeque<Effect>,
    last_batch: u64,
    /// The durable position as text, and the ledger's version that it belongs to.
    watermark: (u64, Option<Arc<str>>),
    counts: Counts,
    held_bytes: usize,
    last_success: Option<Duration>,
    draining: bool,
    finished: bool,
    halted: Option<Failure>,
}

impl Core {
    /// A core that holds nothing; its first effect is `RefreshShards`.
    pub fn new(settings: Settings) -> Self {
        let rng = fastrand::Rng::with_seed(settings.seed);
        let mut core = Self {
            settings,
            rng,
            ledger: Ledger::default(),
            memory: Memory::default(),
            letters: Letters::default(),
            server: None,
            lanes: Vec::new(),
            unrouted: VecDeque::new(),
            incoming: None,
            known_shards: Vec::new(),
            refresh: Refresh::default(),
            checkpoint: Checkpoint::default(),
            effects: VecDeque::new(),
            last_batch: 0,
            watermark: (0, None),
            counts: Counts::default(),
            held_bytes: 0,
            last_success: None,
            draining: false,
            finished: false,
            halted: None,
        };
        core.drive_refresh(Duration::ZERO);
        core
    }

    /// Takes the server whose binlog is read, for the watermarks: without it there are none. To be told before the
    /// first chunk; later calls change nothing.
    pub fn handle_server(&mut self, server: &ServerIdentity) {
        self.server.get_or_insert_with(|| server.clone());
    }

    /// Takes the ids of what the topic and the dead letters have from earlier runs. They are not sent again. To be told
    /// before the first chunk.
    pub fn handle_stored(&mut self, stored: Stored) {
        self.memory = Memory::new(stored);
    }

    /// Takes the next stretch of the binlog.
    ///
    /// # Panics
    /// If its first record does not follow the last one of the chunk before.
    pub fn handle_chunk(&mut self, now: Duration, chunk: Chunk) {
        self.counts.decoded = self.counts.decoded.saturating_add(chunk.decoded);
        self.counts.filtered = self.counts.filtered.saturating_add(chunk.filtered);
        self.held_bytes = self.held_bytes.saturating_add(chunk.bytes());
        let count = u64::try_from(chunk.records.len()).unwrap_or(u64::MAX);
        let read = chunk.records.len();
        let end = self.memory.is_ahead(None).then(|| chunk.end.clone());
        self.ledger
            .admit(now, chunk.records.first().map(|r| r.seq), count, chunk.end);
        for record in chunk.records {
            if self.memory.takes(&record.id) {
                self.suppress(&record);
            } else {
                self.deal(now, record);
            }
        }
        if let Some(end) = end {
            self.memory.passes(read, &end);
        }
        self.advance(now);
    }

    /// Lets time-driven work happen: retries, probes, linger, listings, checkpoints.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
    }

    /// Begins the drain: nothing new is wanted, partial batches go at once, [`Effect::Finished`] comes last.
    ///
    /// How long that may take is the driver's decision: stopping earlier is always safe.
    pub fn handle_shutdown(&mut self, now: Duration) {
        self.draining = true;
        self.advance(now);
    }

    /// The next thing to do, if any.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to call [`Core::handle_timeout`] if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let always = self.checkpoint_due().into_iter().chain(self.letters.work_due());
        if self.halted.is_some() {
            return always.min();
        }
        let lanes = self.lanes.iter().filter_map(|lane| self.lane_due(lane));
        let others = self.refresh.due_at().into_iter().chain(self.letters.write_due());
        lanes.chain(always).chain(others).min()
    }

    /// Whether another chunk is welcome.
    pub fn wants_input(&self) -> bool {
        !self.draining && self.halted.is_none() && self.held_bytes < self.high_water()
    }

    /// The failure that only a person can end, if there was one. Nothing is sent after it.
    pub fn halted(&self) -> Option<&Failure> {
        self.halted.as_ref()
    }

    /// Held bytes from which on no input is wanted.
    ///
    /// A lane sends one batch at a time, so more than the next one in memory buys nothing. There is no bound
    /// per lane: the binlog is one ordered stream, and a slow shard would only stop it sooner.
    fn high_water(&self) -> usize {
        let batches = self.lanes.len().saturating_mul(2).saturating_add(SPARE_BATCHES);
        self.settings
            .batch_bytes
            .saturating_mul(batches)
            .min(self.settings.budget_bytes)
    }

    fn limits(&self) -> Limits {
        Limits {
            bytes: self.settings.batch_bytes,
            records: self.settings.batch_records,
        }
    }

    /// Resolves a record that the topic has already.
    fn suppress(&mut self, record: &Record) {
        self.ledger.resolve(std::iter::once(record.seq));
        self.held_bytes = self.held_bytes.saturating_sub(record.cost());
        self.counts.suppressed = self.counts.suppressed.saturating_add(1);
    }

    /// Gives a record to the lane that its key belongs to, or leaves it behind the letters of its key.
    fn deal(&mut self, now: Duration, mut record: Record) {
        if self.letters.fences(&record) {
            return self.letters.hold(record);
        }
        let linger_until = now.saturating_add(self.settings.linger);
        let at = routing::lane_of(&self.lanes, record.hash_key);
        let lane = at.and_then(|at| self.lanes.get_mut(at));
        if record.turn == Turn::InOrder && self.memory.is_ahead(lane.as_ref().map(|lane| &lane.shard)) {
            record.turn = Turn::Late;
        }
        match lane {
            Some(lane) => lane.push(record, linger_until),
            None => self.unrouted.push_back(record),
        }
    }

    /// Does everything that is due. The end of every input.
    fn advance(&mut self, now: Duration) {
        self.adopt_shards(now);
        self.drive_letters(now);
        if self.halted.is_none() {
            for at in 0..self.lanes.len() {
                self.drive_lane(now, at);
            }
            self.drive_refresh(now);
        }
        self.drive_checkpoint(now);
        self.drive_finish();
    }

    /// When a lane has something to do.
    fn lane_due(&self, lane: &Lane) -> Option<Duration> {
        match lane.stage {
            Stage::Idle | Stage::Backoff { .. } => lane.send_at(self.limits(), self.draining),
            Stage::Doubtful { at, .. } => Some(at),
            Stage::Burying { retry, .. } => retry.filter(|_| !self.letters.claims_file()),
            Stage::Sent { .. } | Stage::Probing { .. } => None,
        }
    }

    fn drive_lane(&mut self, now: Duration, at: usize) {
        let Some(due) = self.lanes.get(at).and_then(|lane| self.lane_due(lane)) else {
            return;
        };
        if due > now {
            return;
        }
        let watermark = self.watermark();
        let (limits, next) = (self.limits(), BatchId(self.last_batch.saturating_add(1)));
        let Some(lane) = self.lanes.get_mut(at) else {
            return;
        };
        match lane.stage {
            Stage::Idle | Stage::Backoff { .. } => {
                self.effects
                    .push_back(Effect::Send(lane.send(next, limits, watermark)));
                self.last_batch = next.0;
            }
            Stage::Doubtful { id, count, .. } => {
                self.effects.push_back(Effect::Probe(lane.probe(id, count)));
            }
            Stage::Burying {
                ref reason,
                ref mut retry,
            } => {
                let reason = reason.clone();
                *retry = None;
                if let Some(record) = lane.first().cloned() {
                    let records = Arc::from([record]);
                    self.effects.push_back(Effect::DeadLetter { records, reason });
                }
            }
            Stage::Sent { .. } | Stage::Probing { .. } => {}
        }
    }

    /// The watermark: the durable position and its server as text; written anew only when the position has changed.
    fn watermark(&mut self) -> Option<Arc<str>> {
        let version = self.ledger.version();
        if self.watermark.0 != version {
            let watermark = self.ledger.durable().cloned().zip(self.server.clone());
            let text = watermark.map(|(position, server)| {
                serde_json::to_string(&Watermark { position, server })
                    .expect("a watermark is made of texts and numbers")
            });
            self.watermark = (version, text.map(Arc::from));
        }
        self.watermark.1.clone()
    }

    fn drive_refresh(&mut self, now: Duration) {
        if self.refresh.due_at().is_some_and(|at| at <= now) {
            self.refresh.started();
            self.effects.push_back(Effect::RefreshShards);
        }
    }

    /// Whether the durable position will not move again: the run ends here.
    fn is_last_position(&self) -> bool {
        let unanswered = self.lanes.iter().any(Lane::is_unanswered);
        let quiet = self.draining && !self.letters.is_at_work();
        quiet && (self.ledger.is_empty() || (self.halted.is_some() && !unanswered))
    }

    /// When the durable position is to be written.
    fn checkpoint_due(&self) -> Option<Duration> {
        if self.letters.hold_checkpoint() {
            return None;
        }
        self.checkpoint
            .write_at(self.ledger.version(), self.is_last_position())
    }

    fn drive_checkpoint(&mut self, now: Duration) {
        let (version, due) = (self.ledger.version(), self.checkpoint_due());
        if due.is_some_and(|at| at <= now)
            && let Some(position) = self.ledger.durable()
        {
            self.effects.push_back(Effect::Persist(position.clone()));
            self.checkpoint
                .started(now, version, self.settings.checkpoint_interval);
        }
    }

    fn drive_finish(&mut self) {
        let saved = self.checkpoint.is_settled(self.ledger.version());
        if !self.finished && saved && self.is_last_position() {
            self.finished = true;
            self.effects.push_back(Effect::Finished);
        }
    }

    /// Switches to the newest list of shards as soon as the lanes that it changes are at rest.
    fn adopt_shards(&mut self, now: Duration) {
        let Some(shards) = &self.incoming else { return };
        let routes = routing::routes(shards);
        let leaving: Vec<bool> = (0..self.lanes.len())
            .map(|at| !routing::keeps_its_keys(&self.lanes, at, &routes))
            .collect();
        for (lane, leaving) in self.lanes.iter_mut().zip(leaving) {
            lane.leaving = leaving;
        }
        if self.lanes.iter().any(|lane| lane.leaving && !lane.at_rest()) {
            return;
        }
        self.incoming = None;
        let (left, mut stay): (Vec<_>, Vec<_>) = self.lanes.drain(..).partition(|lane| lane.leaving);
        let mut waiting: Vec<Record> = std::mem::take(&mut self.unrouted).into();
        for mut lane in left {
            waiting.extend(lane.take_all());
        }
        let (letters, mut waiting): (Vec<Record>, Vec<Record>) =
            waiting.into_iter().partition(Record::is_letter);
        self.letters_return(letters);
        waiting.sort_unstable_by_key(|record| record.seq);
        for route in routes {
            match stay.iter_mut().find(|lane| lane.shard == route.shard) {
                Some(lane) => lane.open = route.open,
                None => stay.push(Lane::new(route.shard, route.begin, route.open)),
            }
        }
        stay.sort_by_key(|lane| lane.begin);
        self.lanes = stay;
        for record in waiting {
            self.deal(now, record);
        }
    }

    /// The wait before try number `attempt` (from 0), or what the server asked for if that is longer.
    fn wait(&mut self, attempt: u32, failure: &Failure) -> Duration {
        let asked = match failure.disposition {
            Disposition::Retry { after } => after.unwrap_or_default().min(LONGEST_WAIT),
            Disposition::Reroute | Disposition::Poison(_) | Disposition::Halt { .. } => Duration::ZERO,
        };
        self.settings.delays.delay(attempt, &mut self.rng).max(asked)
    }

    /// Stops sending for good. The first failure is the one that is told.
    fn halt(&mut self, failure: Failure) {
        self.halted.get_or_insert(failure);
    }
}

#[cfg(test)]
mod tests;

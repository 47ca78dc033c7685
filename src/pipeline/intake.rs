//! The read side's loop: changes from the source through the encoder into the bounded channel.
//!
//! A chunk leaves when it is large enough or when the source has nothing more at hand, so latency is low when
//! traffic is low and chunks are large when it is high. The channel holds a few chunks; when it is full the
//! loop waits, the socket fills, and the server waits with us. For a while: before the server would throw us out, the
//! source leaves it, and comes back when all of the channel is free again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Tick;
use crate::change::{ChangeEvent, Operation};
use crate::encode::{Encoder, Settings, Topic};
use crate::position::ServerIdentity;
use crate::record::Chunk;
use crate::retry::Failure;
use crate::source::{History, Resume, Source, Step};

/// A chunk is sent on once it charges this much to the byte budget. Large enough to amortise the hand-over,
/// small beside a batch.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks that may wait between the two halves: times the chunk's size, the channel's bound in bytes.
pub const CHANNEL_CHUNKS: usize = 4;

/// How often a waiting loop ticks.
const TICK: Duration = Duration::from_secs(1);

/// Rows by what happened to them, and records that are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// INSERT.
    pub created: u64,
    /// UPDATE.
    pub updated: u64,
    /// DELETE.
    pub deleted: u64,
    /// Records that are no rows: begins and ends of transactions, changes of definitions.
    pub marks: u64,
}

impl Operations {
    fn count(&mut self, event: &ChangeEvent<'_>) {
        let operation = match event {
            ChangeEvent::Row(row) => Some(row.operation),
            ChangeEvent::Filtered { operation } => Some(*operation),
            ChangeEvent::Mark(_) => None,
        };
        let counter = match operation {
            Some(Operation::Create) => &mut self.created,
            Some(Operation::Update) => &mut self.updated,
            Some(Operation::Delete) => &mut self.deleted,
            None => &mut self.marks,
        };
        *counter = counter.saturating_add(1);
    }

    /// All of them: each becomes a record or a counted filter decision.
    pub fn total(self) -> u64 {
        self.created
            .saturating_add(self.updated)
            .saturating_add(self.deleted)
            .saturating_add(self.marks)
    }
}

/// What goes through the channel.
#[derive(Debug)]
pub struct Arrival {
    /// The records and the position behind them.
    pub chunk: Chunk,
    /// What the source handed over for it, counted before encoding: the left side of the conservation check.
    pub operations: Operations,
    /// What is known of the tables, if that changed: the checkpoint must not pass this chunk before it is durable.
    pub learnt: Option<History>,
}

/// What has to be known of the topic before anything is read.
#[derive(Debug)]
pub struct Beginning {
    /// What records are made for.
    pub topic: Topic,
    /// Where an earlier run stopped; `None` where the configured start applies.
    pub resume: Option<Resume>,
}

/// The loop's parts.
pub struct Intake {
    source: Source,
    settings: Settings,
    arrivals: mpsc::Sender<Arrival>,
    /// Told to the driver before the first chunk: whose positions these are.
    identity: Arc<OnceLock<ServerIdentity>>,
    /// The wall clock, milliseconds since 1970.
    clock: fn() -> u64,
    tick: Tick,
    /// Whether it waits for room in the channel: the source is then silent because nobody asks it.
    waiting: Arc<AtomicBool>,
    operations: Operations,
    /// Whether the position may have moved since the last chunk.
    moved: bool,
}

/// Why the loop ended without a failure.
enum Ended {
    Stopped,
    DriverGone,
}

impl Intake {
    /// A loop that has read nothing yet.
    pub fn new(
        source: Source,
        settings: Settings,
        arrivals: mpsc::Sender<Arrival>,
        identity: Arc<OnceLock<ServerIdentity>>,
        clock: fn() -> u64,
        tick: Tick,
    ) -> Self {
        Self {
            source,
            settings,
            arrivals,
            identity,
            clock,
            tick,
            waiting: Arc::default(),
            operations: Operations::default(),
            moved: false,
        }
    }

    /// Whether the loop waits for room in the channel; for health.
    pub fn waiting(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.waiting)
    }

    /// Waits until it is known where to begin, and reads until `stop` is cancelled; then closes the connection so
    /// that the server notices at once.
    ///
    /// # Errors
    /// What only a person can end: the source halted, or a row cannot be encoded.
    pub async fn run(
        mut self,
        beginning: oneshot::Receiver<Beginning>,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let Some(Beginning { topic, resume }) = self.begin(beginning, &stop).await else {
            return Ok(());
        };
        if let Some(resume) = resume {
            self.source.resume(resume);
        }
        let result = self.read(&topic, &stop).await;
        self.source.close().await;
        result.map(|_| ())
    }

    /// What to begin with, ticking meanwhile; `None` when it is time to stop, or nobody will say.
    async fn begin(
        &mut self,
        mut beginning: oneshot::Receiver<Beginning>,
        stop: &CancellationToken,
    ) -> Option<Beginning> {
        loop {
            self.tick.touch();
            tokio::select! {
                told = timeout(TICK, &mut beginning) => {
                    if let Ok(told) = told {
                        return told.ok();
                    }
                }
                () = stop.cancelled() => return None,
            }
        }
    }

    async fn read(&mut self, topic: &Topic, stop: &CancellationToken) -> Result<Ended, Failure> {
        let mut encoder = None;
        let ended = self.read_into(&mut encoder, topic, stop).await;
        if ended.is_err() {
            // Whoever goes on behind the trouble relies on everything in front of it being delivered.
            self.send(&mut encoder, stop).await;
        }
        ended
    }

    async fn read_into(
        &mut self,
        encoder: &mut Option<Encoder>,
        topic: &Topic,
        stop: &CancellationToken,
    ) -> Result<Ended, Failure> {
        loop {
            let step = match self.source.ready_step() {
                Some(step) => step?,
                None => {
                    if let Some(ended) = self.send(encoder, stop).await {
                        return Ok(ended);
                    }
                    match self.wait(stop).await? {
                        Some(step) => step,
                        None => return Ok(Ended::Stopped),
                    }
                }
            };
            self.moved = true;
            if matches!(step, Step::Rows) {
                let encoder = match &mut *encoder {
                    Some(encoder) => encoder,
                    none => none.insert(self.encoder(topic)?),
                };
                encoder.set_now((self.clock)());
                let operations = &mut self.operations;
                self.source.rows(|event| {
                    operations.count(&event);
                    encoder.push(&event).map_err(|e| {
                        let (code, remedy) = e.advice();
                        Failure::halt(code, e.to_string(), remedy)
                    })
                })?;
            }
            if encoder.as_ref().is_some_and(|e| e.bytes() >= CHUNK_BYTES)
                && let Some(ended) = self.send(encoder, stop).await
            {
                return Ok(ended);
            }
        }
    }

    /// Waits for the source's next step, ticking; `None` when it is time to stop.
    async fn wait(&mut self, stop: &CancellationToken) -> Result<Option<Step>, Failure> {
        loop {
            self.tick.touch();
            tokio::select! {
                step = timeout(TICK, self.source.next()) => {
                    if let Ok(step) = step {
                        return step.map(Some);
                    }
                }
                () = stop.cancelled() => return Ok(None),
            }
        }
    }

    /// The encoder, made when the first row shows what kind of server it comes from.
    fn encoder(&self, topic: &Topic) -> Result<Encoder, Failure> {
        let identity = self.source.identity().ok_or_else(unidentified)?;
        Ok(match topic {
            Topic::Blob => Encoder::new(&self.settings, identity.flavour),
            Topic::Tuple(topic) => Encoder::tuple(&self.settings, topic.clone()),
        })
    }

    /// Hands on what was encoded, and the position, if there is anything new.
    async fn send(&mut self, encoder: &mut Option<Encoder>, stop: &CancellationToken) -> Option<Ended> {
        self.tick.touch();
        let (Some(end), true) = (self.source.position(), self.moved) else {
            return None;
        };
        if let Some(identity) = self.source.identity() {
            self.identity.get_or_init(|| identity.clone());
        }
        let chunk = match encoder {
            Some(encoder) => encoder.take(end),
            None => Chunk {
                records: Vec::new(),
                end,
                decoded: 0,
                filtered: 0,
            },
        };
        self.moved = false;
        let arrival = Arrival {
            chunk,
            operations: std::mem::take(&mut self.operations),
            learnt: self.source.learnt(),
        };
        let ended = self.hand_over(arrival, stop).await;
        self.waiting.store(false, Ordering::Relaxed);
        ended
    }

    /// Waits for room in the channel, ticking; parks the source if that takes long.
    async fn hand_over(&mut self, arrival: Arrival, stop: &CancellationToken) -> Option<Ended> {
        let mut leave_at = Some(Instant::now() + self.source.patience());
        loop {
            // Who has left comes back for more than a single chunk, or it would not be worth the way.
            let room = leave_at.map_or(self.arrivals.max_capacity(), |_| 1);
            let tick = Instant::now() + TICK;
            let until = leave_at.map_or(tick, |at| tick.min(at));
            tokio::select! {
                places = timeout_at(until, self.arrivals.reserve_many(room)) => match places {
                    Ok(Ok(mut places)) => {
                        if let Some(place) = places.next() {
                            place.send(arrival);
                        }
                        return None;
                    }
                    Ok(Err(_)) => return Some(Ended::DriverGone),
                    Err(_) => {
                        self.tick.touch();
                        self.waiting.store(true, Ordering::Relaxed);
                    }
                },
                () = self.source.watch(), if leave_at.is_none() => {}
                () = stop.cancelled() => return Some(Ended::Stopped),
            }
            if leave_at.is_some_and(|at| Instant::now() >= at) {
                self.source.park().await;
                leave_at = None;
            }
        }
    }
}

fn unidentified() -> Failure {
    Failure::halt(
        "internal",
        "rows arrived before the server was identified",
        "report this as a bug",
    )
}

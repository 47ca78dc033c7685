//! The driver: runs the delivery core against the channel, the sink, the store and the clock.
//!
//! Owns I14: rows decoded = acknowledged + filtered + dead-lettered + in flight, computed from numbers that were
//! counted on different sides and published as a metric. It decides nothing: every choice is an effect that the
//! core asked for, every answer goes back to it.

pub mod fence;
mod gauges;
pub mod intake;
mod letters;
mod report;
mod status;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::delivery::{Core, Effect, Settings, Stored};
use crate::position::{Position, ServerIdentity};
use crate::record::{Batch, BatchId, Key, Outcome, Probe, Seq, Shard};
use crate::retry::Failure;
use crate::sink::{Clock, DataHub};
use crate::source::History;
use crate::store::{Store, stamp};

use fence::Fence;
use gauges::Gauges;
use intake::Arrival;
use letters::{Desk, Done};
use report::{put_failure, report, report_put};

pub use status::{CallHealth, PipelineStatus, Tick};

/// How often the driver wakes when nothing happens: its tick, and the age of the published numbers.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Where batches go. The only trait of the project: the simulation and the tests bring their own.
pub trait Sink: Send + Sync + 'static {
    /// Sends one batch and says how it ended.
    fn put(&self, batch: &Batch) -> impl Future<Output = Outcome> + Send;
    /// Asks which part of a batch of unknown outcome the shard holds.
    fn probe(&self, batch: &Batch) -> impl Future<Output = Probe> + Send;
    /// Lists the topic's shards.
    fn shards(&self) -> impl Future<Output = Result<Vec<Shard>, Failure>> + Send;
}

impl Sink for DataHub {
    async fn put(&self, batch: &Batch) -> Outcome {
        Self::put(self, batch).await
    }

    async fn probe(&self, batch: &Batch) -> Probe {
        Self::probe(self, batch).await
    }

    async fn shards(&self) -> Result<Vec<Shard>, Failure> {
        Self::shards(self).await
    }
}

/// An answer on its way back to the core.
enum Answer {
    Put {
        id: BatchId,
        outcome: Outcome,
        rows: usize,
        bytes: usize,
        took: Duration,
    },
    Probe {
        id: BatchId,
        probe: Probe,
    },
    Shards(Result<Vec<Shard>, Failure>),
    Persisted {
        position: Position,
        /// What was written in front of it.
        learnt: Option<Arc<History>>,
        result: Result<(), Failure>,
    },
    DeadLettered {
        seq: Seq,
        letters: usize,
        code: &'static str,
        result: Result<(), Failure>,
    },
    /// Of dead letters that are in the file, and of requests about them.
    Letters(Done),
}

/// What is known before anything is read.
#[derive(Debug, Default)]
pub struct Known {
    /// Records of earlier runs that the topic or the dead letters have already.
    pub stored: Stored,
    /// How many dead letters each key has.
    pub fences: HashMap<Key, u64>,
    /// Which topic this is: when it was created, seconds since 1970.
    pub topic_created_s: Option<u64>,
    /// The epoch of this run.
    pub epoch: u64,
}

/// The driver and all it holds.
pub struct Pipeline<S> {
    core: Core,
    sink: Arc<S>,
    store: Arc<Store>,
    /// Set by the intake before its first chunk: whose positions these are.
    identity: Arc<OnceLock<ServerIdentity>>,
    topic_created_s: Option<u64>,
    epoch: u64,
    /// What is known of the tables and not on disk yet. Written in front of the next checkpoint: one that passes a
    /// row must never be there without the definition that the row was read with.
    learnt: Option<Arc<History>>,
    running: FuturesUnordered<BoxFuture<'static, Answer>>,
    puts: CallHealth,
    listings: CallHealth,
    /// The position in the checkpoint file, once this process has written one.
    saved: Option<Position>,
    clock_start: Instant,
    status: watch::Sender<PipelineStatus>,
    gauges: Gauges,
    tick: Tick,
    clock: Clock,
    fence: Fence,
    desk: Desk,
}

impl<S: Sink> Pipeline<S> {
    /// A pipeline that has done nothing yet, and where its status can be watched.
    pub fn new(
        settings: Settings,
        sink: Arc<S>,
        store: Arc<Store>,
        identity: Arc<OnceLock<ServerIdentity>>,
        tick: Tick,
        clock: Clock,
        fence: Fence,
    ) -> (Self, watch::Receiver<PipelineStatus>) {
        let gauges = Gauges::new(settings.budget_bytes);
        let core = Core::new(settings);
        let clock_start = Instant::now();
        let (status, watched) = watch::channel(PipelineStatus {
            core: core.snapshot(),
            clock_start,
            halted: None,
            puts: CallHealth::default(),
            listings: CallHealth::default(),
            saved: None,
        });
        let pipeline = Self {
            core,
            sink,
            store,
            identity,
            topic_created_s: None,
            epoch: 0,
            learnt: None,
            running: FuturesUnordered::new(),
            puts: CallHealth::default(),
            listings: CallHealth::default(),
            saved: None,
            clock_start,
            status,
            gauges,
            tick,
            clock,
            fence,
            desk: Desk::default(),
        };
        (pipeline, watched)
    }

    /// Runs until `stop` is cancelled or the channel closes, and everything taken in is delivered.
    ///
    /// How long the drain may take is the caller's decision: dropping the future is always safe.
    pub async fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>, known: Known, stop: CancellationToken) {
        self.core.handle_stored(known.stored);
        self.core.handle_fences(known.fences);
        self.topic_created_s = known.topic_created_s;
        self.epoch = known.epoch;
        let mut open = true;
        loop {
            while let Some(effect) = self.core.poll_effect() {
                if matches!(effect, Effect::Finished) {
                    self.publish();
                    return;
                }
                self.start(effect);
            }
            self.publish();
            self.look_for_request();
            let idle_until = Instant::now() + IDLE_TICK;
            let due = self
                .core
                .poll_timeout()
                .map_or(idle_until, |at| idle_until.min(self.clock_start + at));
            tokio::select! {
                Some(answer) = self.running.next(), if !self.running.is_empty() => self.finish(answer),
                arrival = arrivals.recv(), if open && self.core.wants_input() => match arrival {
                    Some(arrival) => self.admit(arrival),
                    None => {
                        open = false;
                        self.core.handle_shutdown(self.now());
                    }
                },
                () = stop.cancelled(), if open => {
                    open = false;
                    arrivals.close();
                    while let Some(arrival) = arrivals.recv().await {
                        self.admit(arrival);
                    }
                    self.core.handle_shutdown(self.now());
                }
                () = tokio::time::sleep_until(due) => self.core.handle_timeout(self.now()),
            }
        }
    }

    fn now(&self) -> Duration {
        self.clock_start.elapsed()
    }

    fn admit(&mut self, arrival: Arrival) {
        self.gauges.decoded(arrival.operations);
        if let Some(server) = self.identity.get() {
            self.core.handle_server(server);
        }
        if let Some(learnt) = arrival.learnt {
            self.learnt = Some(Arc::new(learnt));
        }
        let now = self.now();
        self.core.handle_chunk(now, arrival.chunk);
    }

    /// Starts what the core asked for; the answer comes back through `finish`.
    fn start(&mut self, effect: Effect) {
        let started = Instant::now();
        let sink = Arc::clone(&self.sink);
        let answer: BoxFuture<'static, Answer> = match effect {
            Effect::Send(batch) => {
                self.puts.oldest_running.get_or_insert(started);
                let fence = self.fence.clone();
                Box::pin(async move {
                    let (outcome, took) = fence.put(&*sink, &batch).await;
                    let bytes = batch.records.iter().map(|r| r.payload.len()).sum();
                    let (id, rows) = (batch.id, batch.records.len());
                    Answer::Put {
                        id,
                        outcome,
                        rows,
                        bytes,
                        took,
                    }
                })
            }
            Effect::Probe(batch) => {
                self.puts.oldest_running.get_or_insert(started);
                Box::pin(async move {
                    Answer::Probe {
                        id: batch.id,
                        probe: sink.probe(&batch).await,
                    }
                })
            }
            Effect::RefreshShards => {
                self.listings.oldest_running.get_or_insert(started);
                Box::pin(async move { Answer::Shards(sink.shards().await) })
            }
            Effect::Persist(position) => {
                let (checkpoint, learnt) = (position.clone(), self.learnt.clone());
                let (noted, created_s, epoch) = (learnt.clone(), self.topic_created_s, self.epoch);
                let written = self.on_disk(move |store, identity| {
                    if let Some(history) = noted {
                        store.write_schemas(identity, &*history)?;
                    }
                    store.write_checkpoint(identity, &checkpoint, created_s, epoch)
                });
                Box::pin(async move {
                    Answer::Persisted {
                        position,
                        learnt,
                        result: written.await,
                    }
                })
            }
            Effect::DeadLetter { records, reason } => {
                let seq = records.first().map_or(0, |record| record.seq);
                let (letters, code, written) = (records.len(), reason.code, stamp((self.clock)()));
                let appended = self.on_disk(move |store, identity| {
                    store.append_dead_letters(identity, &records, &reason, &written)
                });
                Box::pin(async move {
                    Answer::DeadLettered {
                        seq,
                        letters,
                        code,
                        result: appended.await,
                    }
                })
            }
            Effect::ReadLetters { wanted, bytes } => self.read_letters(wanted, bytes),
            Effect::RemoveLetters(ids) => self.remove_letters(ids),
            Effect::DiscardLetters { selection, reason } => self.discard_letters(selection, reason),
            Effect::Report { request, report } => self.tell(request, report),
            Effect::Finished => return,
        };
        self.running.push(answer);
    }

    /// Runs a disk operation that needs to know the server beside the runtime.
    fn on_disk(
        &self,
        operation: impl FnOnce(&Store, &ServerIdentity) -> Result<(), Failure> + Send + 'static,
    ) -> impl Future<Output = Result<(), Failure>> + Send + 'static {
        let identity = Arc::clone(&self.identity);
        self.in_store(move |store| match identity.get() {
            Some(identity) => operation(store, identity),
            None => Err(Failure::retry(
                "source_unknown",
                "the source has not been identified yet",
            )),
        })
    }

    /// Runs a disk operation beside the runtime; a panic in it is a retryable failure.
    fn in_store<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Store) -> Result<T, Failure> + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send + 'static {
        let store = Arc::clone(&self.store);
        let job = tokio::task::spawn_blocking(move || operation(&store));
        async move {
            job.await
                .unwrap_or_else(|e| Err(Failure::retry("store_panicked", format!("a disk operation: {e}"))))
        }
    }

    fn finish(&mut self, answer: Answer) {
        let now = self.now();
        match answer {
            Answer::Put {
                id,
                outcome,
                rows,
                bytes,
                took,
            } => {
                self.gauges.put(&outcome, rows, bytes, took);
                self.puts.ended(put_failure(&outcome));
                report_put(&outcome, rows);
                self.core.handle_outcome(now, id, outcome);
            }
            Answer::Probe { id, probe } => {
                self.gauges.probe(&probe);
                match &probe {
                    Probe::Holds(found) => {
                        self.puts.ended(None);
                        tracing::info!(found, "read the shard back after a lost answer");
                    }
                    Probe::Lacks(missing) => {
                        self.puts.ended(None);
                        tracing::warn!(
                            missing = missing.len(),
                            "read the shard back after a lost answer: it was stored in part; the rest is sent again"
                        );
                    }
                    Probe::Failed(failure) => {
                        self.puts.ended(Some(&failure.reason));
                        report("reading the shard back", failure);
                    }
                }
                self.core.handle_probe(now, id, probe);
            }
            Answer::Shards(result) => {
                self.listings.ended(result.as_ref().err().map(|f| &f.reason));
                if let Err(failure) = &result {
                    self.gauges.retry(failure);
                    report("listing the shards", failure);
                }
                self.core.handle_shards(now, result);
            }
            Answer::Persisted {
                position,
                learnt,
                result,
            } => {
                match &result {
                    Ok(()) => {
                        self.saved = Some(position);
                        // Something newer may have come meanwhile.
                        let is_newest = match (&self.learnt, &learnt) {
                            (Some(newest), Some(written)) => Arc::ptr_eq(newest, written),
                            (Some(_), None) | (None, _) => false,
                        };
                        if is_newest {
                            self.learnt = None;
                        }
                    }
                    Err(failure) => {
                        self.gauges.retry(failure);
                        report("writing the checkpoint", failure);
                    }
                }
                self.core.handle_persisted(now, result);
            }
            Answer::DeadLettered {
                seq,
                letters,
                code,
                result,
            } => {
                self.dead_lettered(letters, code, &result);
                self.core.handle_dead_lettered(now, seq, result);
            }
            Answer::Letters(done) => self.finish_letters(done),
        }
    }

    /// Replaces the published snapshot and the metrics.
    fn publish(&mut self) {
        self.tick.touch();
        let core = self.core.snapshot();
        self.gauges.snapshot(&core, self.now());
        self.status.send_replace(PipelineStatus {
            core,
            clock_start: self.clock_start,
            halted: self.core.halted().cloned(),
            puts: self.puts.clone(),
            listings: self.listings.clone(),
            saved: self.saved.clone(),
        });
    }
}

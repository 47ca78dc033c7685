//! The driver: runs the delivery core against the channel, the sink, the store and the clock.
//!
//! Owns I14: rows decoded = acknowledged + filtered + dead-lettered + in flight, computed from numbers that were
//! counted on different sides and published as a metric. It decides nothing: every choice is an effect that the
//! core asked for, every answer goes back to it.

pub mod intake;
mod gauges;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::delivery::{Core, Effect, Settings, Snapshot};
use crate::position::ServerIdentity;
use crate::record::{Batch, BatchId, Outcome, Probe, Seq, Shard};
use crate::retry::Failure;
use crate::sink::DataHub;
use crate::store::Store;

use gauges::Gauges;
use intake::Arrival;

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

/// What the pipeline shows of itself; replaced as a whole.
#[derive(Clone, Debug)]
pub struct PipelineStatus {
    /// When it was taken; the ages in `core` are relative to `clock_start`.
    pub taken: Instant,
    /// The core's zero of time.
    pub clock_start: Instant,
    /// The core's own view.
    pub core: Snapshot,
    /// The failure that only a person can end, if any.
    pub halted: Option<Failure>,
    /// When the sink last answered a call with success.
    pub last_sink_success: Option<Instant>,
    /// Since when at least one sink call has been failing or unanswered without a success of that kind since.
    pub sink_failing_since: Option<Instant>,
    /// Calls to the sink that wait for an answer.
    pub calls_running: usize,
    /// When the oldest of them was started.
    pub oldest_call: Option<Instant>,
    /// When a checkpoint was last written.
    pub last_checkpoint: Option<Instant>,
}

/// An answer on its way back to the core.
enum Answer {
    Put { id: BatchId, outcome: Outcome, rows: usize, bytes: usize, took: Duration },
    Probe { id: BatchId, probe: Probe },
    Shards(Result<Vec<Shard>, Failure>),
    Persisted(Result<(), Failure>),
    DeadLettered { seq: Seq, result: Result<(), Failure> },
}

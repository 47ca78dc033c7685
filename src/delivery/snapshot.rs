//! What the core shows of itself: everything that health and metrics say about delivery.
//!
//! Owns the core's half of I14: rows in flight are counted from the queues themselves, not derived from the
//! other counters, so that a lost row shows as a difference.

use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::lane::Stage;
use crate::change::TableId;
use crate::position::Position;
use crate::record::ShardId;
use crate::retry::Reason;

/// What a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneState {
    /// Nothing to send.
    Idle,
    /// Records wait for the linger time, for the shard to open, or for the shards to be dealt out again.
    Waiting,
    /// A request is with the service.
    Sending,
    /// The outcome of a request is unknown and is being found out.
    Probing,
    /// The last request was refused; the next try is scheduled.
    BackingOff,
    /// A record that can never be stored is being written to the dead letters.
    Burying,
}

/// One lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSnapshot {
    /// The shard it writes to.
    pub shard: ShardId,
    /// What it is doing.
    pub state: LaneState,
    /// Records queued, in flight included.
    pub records: usize,
    /// Consecutive failures.
    pub failures: u32,
    /// The newest failure, if the last call failed.
    pub last_failure: Option<Reason>,
}

/// Dead letters of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLetters {
    /// The table; `None` for what is told of a transaction, and where it was not written down.
    pub table: Option<Arc<TableId>>,
    /// Keys that are fenced.
    pub keys: u64,
    /// Letters of those keys.
    pub letters: u64,
}

/// The dead letters, and what waits behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LettersSnapshot {
    /// Letters in the file.
    pub letters: u64,
    /// Keys that are fenced by them.
    pub keys: u64,
    /// The same by table; the first of them.
    pub tables: Vec<TableLetters>,
    /// Rows in memory that wait behind them.
    pub waiting: u64,
    /// Letters that were sent again in this run.
    pub replayed: u64,
    /// Letters that were given up in this run.
    pub discarded: u64,
    /// Consecutive failures to write one.
    pub failures: u32,
    /// The newest of them, if the last write failed.
    pub failure: Option<Reason>,
}

/// Most tables that are named.
const NAMED_TABLES: usize = 20;

/// The core's counters and states at one moment. Times are the core's `now`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Rows decoded, filtered ones included.
    pub decoded: u64,
    /// Rows that the table filter left out.
    pub filtered: u64,
    /// Records that the service has stored.
    pub acked: u64,
    /// Records that were not sent because the topic had them already.
    pub suppressed: u64,
    /// Records that went to the dead letters.
    pub dead_lettered: u64,
    /// Records accepted by the core and neither stored nor dead-lettered.
    pub in_flight: u64,
    /// Bytes of those records, as the budget counts them.
    pub held_bytes: usize,
    /// Held bytes from which on no input is wanted.
    pub high_water_bytes: usize,
    /// When the oldest chunk with an unresolved record arrived.
    pub oldest_unacked: Option<Duration>,
    /// The position behind everything resolved.
    pub durable: Option<Position>,
    /// When a checkpoint was last written.
    pub persisted_at: Option<Duration>,
    /// Consecutive failures to write the checkpoint.
    pub persist_failures: u32,
    /// The newest of them, if the last write failed.
    pub persist_failure: Option<Reason>,
    /// Consecutive failures of the worst lane.
    pub failures: u32,
    /// That lane's newest failure.
    pub last_failure: Option<Reason>,
    /// When the service last stored something.
    pub last_success: Option<Duration>,
    /// Whether a call to the service is running or waits to be made.
    pub call_due: bool,
    /// Consecutive failures to list the shards.
    pub refresh_failures: u32,
    /// The newest of them, if the last listing failed.
    pub refresh_failure: Option<Reason>,
    /// The dead letters.
    pub dead_letters: LettersSnapshot,
    /// Whether a call has failed as often in a row as the alarm allows; nothing is dropped, but a person should look.
    pub alarm: bool,
    /// Whether the core is draining.
    pub draining: bool,
    /// Every lane, by begin key of its shard.
    pub lanes: Vec<LaneSnapshot>,
}

impl Core {
    /// Rows in the core's queues, counted there.
    fn rows_held(&self) -> u64 {
        let rows = |lane: &super::lane::Lane| lane.len().saturating_sub(lane.letters());
        let rows = self.lanes.iter().map(rows).sum::<usize>();
        let elsewhere = self.unrouted.len().saturating_add(self.letters.waiting());
        u64::try_from(rows.saturating_add(elsewhere)).unwrap_or(u64::MAX)
    }

    fn letters_snapshot(&self) -> LettersSnapshot {
        let state = &self.letters;
        let burying = |lane: &&super::lane::Lane| matches!(lane.stage, Stage::Burying { .. });
        let lanes = self.lanes.iter().filter(burying);
        let (failures, failure) = lanes
            .map(|lane| (lane.failures, lane.last_failure.as_ref()))
            .chain([(state.failures, state.last_failure.as_ref())])
            .max_by_key(|(failures, _)| *failures)
            .unwrap_or_default();
        let tables = || state.tables();
        LettersSnapshot {
            letters: tables().map(|(_, tally)| tally.letters).sum(),
            keys: tables().map(|(_, tally)| tally.keys).sum(),
            tables: tables()
                .take(NAMED_TABLES)
                .map(|(table, tally)| TableLetters {
                    table: table.cloned(),
                    keys: tally.keys,
                    letters: tally.letters,
                })
                .collect(),
            waiting: u64::try_from(state.waiting()).unwrap_or(u64::MAX),
            replayed: state.replayed,
            discarded: state.discarded,
            failures,
            failure: failure.filter(|_| failures > 0).cloned(),
        }
    }

    /// Everything that health and metrics show. Copies; O(lanes).
    pub fn snapshot(&self) -> Snapshot {
        let lanes: Vec<LaneSnapshot> = self
            .lanes
            .iter()
            .map(|lane| LaneSnapshot {
                shard: ShardId::clone(&lane.shard),
                state: match lane.stage {
                    Stage::Idle if lane.len() == 0 => LaneState::Idle,
                    Stage::Idle => LaneState::Waiting,
                    Stage::Sent { .. } => LaneState::Sending,
                    Stage::Doubtful { .. } | Stage::Probing { .. } => LaneState::Probing,
                    Stage::Backoff { .. } => LaneState::BackingOff,
                    Stage::Burying { .. } => LaneState::Burying,
                },
                records: lane.len(),
                failures: lane.failures,
                last_failure: lane.last_failure.clone().filter(|_| lane.failures > 0),
            })
            .collect();
        let worst = lanes.iter().max_by_key(|lane| lane.failures);
        let failures = worst.map_or(0, |lane| lane.failures);
        let dead_letters = self.letters_snapshot();
        let most = failures
            .max(self.refresh.failures)
            .max(self.checkpoint.failures)
            .max(dead_letters.failures);
        Snapshot {
            decoded: self.counts.decoded,
            filtered: self.counts.filtered,
            acked: self.counts.acked,
            suppressed: self.counts.suppressed,
            dead_lettered: self.counts.dead_lettered,
            in_flight: self.rows_held(),
            held_bytes: self.held_bytes,
            high_water_bytes: self.high_water(),
            oldest_unacked: self.ledger.oldest_arrival(),
            durable: self.ledger.durable().cloned(),
            persisted_at: self.checkpoint.saved_at,
            persist_failures: self.checkpoint.failures,
            persist_failure: (self.checkpoint.failures > 0)
                .then(|| self.checkpoint.last_failure.clone())
                .flatten(),
            failures,
            last_failure: worst.and_then(|lane| lane.last_failure.clone()),
            last_success: self.last_success,
            call_due: !self.ledger.is_empty(),
            refresh_failures: self.refresh.failures,
            refresh_failure: (self.refresh.failures > 0)
                .then(|| self.refresh.last_failure.clone())
                .flatten(),
            dead_letters,
            alarm: most >= self.settings.alarm_attempts.max(1),
            draining: self.draining,
            lanes,
        }
    }
}

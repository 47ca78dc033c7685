//! What the source shows of itself: a snapshot for health and metrics, written by [`Source`](super::Source) alone.
//!
//! It decides nothing. Readers may be late: the newest snapshot replaces the one before.

use std::time::Duration;

use tokio::time::Instant;

use crate::position::{FilePosition, Position, ServerIdentity};
use crate::retry::{Failure, Reason};

/// Where the source is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// Nothing was tried yet.
    Starting,
    /// The first connection is being made and examined.
    Connecting,
    /// The server sends events, or heartbeats when it has none.
    Streaming,
    /// The connection failed; it is tried again for ever.
    Reconnecting {
        /// The latest failure.
        reason: Reason,
        /// Failures since the last event was received.
        attempts: u32,
    },
    /// Only a person can help.
    Halted {
        /// Why, with the remedy.
        failure: Failure,
    },
}

/// A snapshot of the source.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// What it is doing.
    pub state: SourceState,
    /// Since when it is in this state.
    pub since: Instant,
    /// The agreed heartbeat: an idle server is silent for no longer.
    pub heartbeat: Duration,
    /// When the last event or heartbeat arrived.
    pub last_received: Option<Instant>,
    /// Commit time of the last transaction that was read, microseconds since 1970.
    pub last_commit_us: Option<u64>,
    /// Where reading is; refreshed a few times a second.
    pub position: Option<Position>,
    /// Who is at the other end.
    pub identity: Option<ServerIdentity>,
    /// The server's own version text.
    pub server_version: Option<String>,
    /// The end of the server's newest binlog file, as last asked.
    pub head: Option<FilePosition>,
    /// Bytes between `position` and `head`; 0 once everything known was read.
    pub behind_bytes: Option<u64>,
    /// Whether reading has reached the end that the server named last.
    pub caught_up: bool,
    /// Transactions that the server sent again and that were left out.
    pub repeated_transactions: u64,
    /// Transactions before the start time that were left out (`START_POSITION=timestamp:…`).
    pub before_start: u64,
    /// Rows outside any transaction that were left out: a server's known leak, its transaction was read before.
    pub stray_rows: u64,
}

impl SourceStatus {
    /// The snapshot before anything happened.
    pub fn new(heartbeat: Duration) -> Self {
        Self {
            state: SourceState::Starting,
            since: Instant::now(),
            heartbeat,
            last_received: None,
            last_commit_us: None,
            position: None,
            identity: None,
            server_version: None,
            head: None,
            behind_bytes: None,
            caught_up: false,
            repeated_transactions: 0,
            before_start: 0,
            stray_rows: 0,
        }
    }
}

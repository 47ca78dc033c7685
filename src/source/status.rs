//! What the source shows of itself: a snapshot for health and metrics, written by [`Source`](super::Source) alone.
//!
//! It decides nothing. Readers may be late: the newest snapshot replaces the one before.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::position::{FilePosition, Position, ServerIdentity};
use crate::retry::{Failure, Reason};
use crate::source::asking::bytes_behind;
use crate::source::feed::Feed;
use crate::source::parked::Shown;
use crate::source::preflight::ServerFacts;
use crate::source::tally::Tally;
use crate::source::transaction::LeftOut;

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
    /// The connection was given back because nobody takes what is read; it is made again when somebody does.
    Parked,
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
    /// When the last event or heartbeat arrived, or the source came back to where it had left on its own.
    pub last_received: Option<Instant>,
    /// Commit time of the last transaction that was read, microseconds since 1970.
    pub last_commit_us: Option<u64>,
    /// Where reading is; refreshed a few times a second.
    pub position: Option<Position>,
    /// Who is at the other end.
    pub identity: Option<ServerIdentity>,
    /// The server's own version text.
    pub server_version: Option<String>,
    /// How long the server keeps a binlog file; `None` if for ever or unknown.
    pub retention: Option<Duration>,
    /// The end of the server's newest binlog file, as last asked.
    pub head: Option<FilePosition>,
    /// When `head` was asked for.
    pub head_asked: Option<Instant>,
    /// Bytes between `position` and `head`; 0 once everything known was read.
    pub behind_bytes: Option<u64>,
    /// Whether reading has reached the end that the server named last.
    pub caught_up: bool,
    /// Transactions that the server sent again and that were left out.
    pub repeated_transactions: u64,
    /// Transactions before the start time that were left out (`START_POSITION=timestamp:…`).
    pub before_start: u64,
    /// Rows events outside any transaction that were left out: a server's known leak, their transaction was read
    /// before.
    pub stray_rows: u64,
    /// The last doubt about the names that rows were relayed under, and when it arose.
    pub schema_alarm: Option<(Reason, Instant)>,
    /// Tables whose rows are passed over for now.
    pub parked: Vec<Shown>,
    /// The last stretch of the binlog that was lost, and when that was found.
    pub gap: Option<(Reason, Instant)>,
    /// The server's binlog files with their sizes in bytes, oldest first, as of `head_asked`.
    pub files: Arc<[(String, u64)]>,
    /// When files were begun, by the server's clock, as far as they were read: seconds since 1970.
    pub begun: Arc<BTreeMap<String, u64>>,
    /// How many bytes of binlog the server keeps; `None` if all or unknown.
    pub retention_bytes: Option<u64>,
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
            retention: None,
            head: None,
            head_asked: None,
            behind_bytes: None,
            caught_up: false,
            repeated_transactions: 0,
            before_start: 0,
            stray_rows: 0,
            schema_alarm: None,
            parked: Vec::new(),
            gap: None,
            files: Arc::default(),
            begun: Arc::default(),
            retention_bytes: None,
        }
    }
}

/// Most often that a snapshot of a busy source is written.
const PERIOD: Duration = Duration::from_millis(200);

/// Events between two looks at the clock while the source is busy.
const EVENTS_PER_LOOK: u32 = 256;

/// Whether the one file was written before the other, as far as their names say.
fn is_before(file: &str, other: &str) -> bool {
    let place = FilePosition {
        file: file.to_owned(),
        pos: 0,
    };
    place.order(other, 0) == Some(Ordering::Less)
}

/// Writes snapshots, seldom enough to cost nothing.
pub struct Publisher {
    sender: watch::Sender<SourceStatus>,
    last: Instant,
    /// Events since the last look at the clock.
    events: u32,
    /// Whether something happened since the last snapshot.
    dirty: bool,
    files: Arc<[(String, u64)]>,
    /// What was left out by the last snapshot.
    left_out: LeftOut,
}

impl Publisher {
    pub(super) fn new(sender: watch::Sender<SourceStatus>) -> Self {
        Self {
            sender,
            last: Instant::now(),
            events: 0,
            dirty: false,
            files: Arc::default(),
            left_out: LeftOut::default(),
        }
    }

    /// Changes the state, at once.
    pub(super) fn state(&mut self, state: SourceState) {
        self.sender.send_modify(|status| {
            status.state = state;
            status.since = Instant::now();
        });
    }

    /// It goes back to the server that it had left on its own: the silence until now was no fault.
    pub(super) fn returns(&mut self) {
        self.state(SourceState::Connecting);
        self.sender
            .send_modify(|status| status.last_received = Some(Instant::now()));
    }

    /// Names the server.
    pub(super) fn server(&mut self, facts: &ServerFacts) {
        self.files = facts.binlogs.as_slice().into();
        let files = Arc::clone(&self.files);
        self.sender.send_modify(|status| {
            status.identity = Some(facts.identity.clone());
            status.server_version = Some(facts.version.clone());
            status.retention = facts.expire_seconds.map(Duration::from_secs);
            status.retention_bytes = facts.expire_bytes;
            status.files = files;
            status.head = Some(facts.head.clone());
            status.head_asked = Some(Instant::now());
        });
    }

    /// To be asked once an event: whether it is worth a call of [`received`](Self::received).
    pub(super) fn is_due(&mut self) -> bool {
        self.dirty = true;
        self.events = self.events.saturating_add(1);
        self.events >= EVENTS_PER_LOOK
    }

    /// Something arrived.
    pub(super) fn received(&mut self, feed: &Feed, tally: &mut Tally) {
        self.dirty = true;
        self.events = 0;
        let now = Instant::now();
        if now.duration_since(self.last) >= PERIOD {
            self.write(now, feed, tally);
        }
    }

    /// When the snapshot has to be renewed; `None` if nothing happened.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.dirty.then(|| self.last + PERIOD)
    }

    /// Nothing more is there to be read for now.
    pub(super) fn waited(&mut self, feed: &Feed, tally: &mut Tally) {
        self.write(Instant::now(), feed, tally);
    }

    fn write(&mut self, now: Instant, feed: &Feed, tally: &mut Tally) {
        tally.flush();
        self.last = now;
        self.dirty = false;
        let tracker = feed.tracker();
        let position = (!tracker.before_start()).then(|| feed.position());
        let (file, pos) = tracker.read_to();
        let behind = bytes_behind(&self.files, file, pos);
        let left_out = tracker.left_out();
        Tally::left_out(std::mem::replace(&mut self.left_out, left_out), left_out);
        if !feed.tables().parking().is_empty() {
            self.parked(feed);
        }
        self.sender.send_modify(|status| {
            status.last_received = Some(now);
            status.position = position;
            status.last_commit_us = tracker.last_commit_us();
            status.repeated_transactions = left_out.repeated;
            status.before_start = left_out.before_start;
            status.stray_rows = left_out.stray;
            status.behind_bytes = behind.or(status.behind_bytes);
            status.caught_up = behind == Some(0);
        });
    }

    /// Rows may have been relayed with another definition than was in force: counts it, says it, and keeps it to be
    /// shown.
    pub(super) fn schema_alarm(&mut self, reason: Reason) {
        Tally::schema_change(reason.code);
        tracing::warn!(code = reason.code, "{}", reason.message);
        self.sender
            .send_modify(|status| status.schema_alarm = Some((reason, Instant::now())));
    }

    /// A table was parked, or can be read again.
    pub(super) fn parked(&mut self, feed: &Feed) {
        let parked = feed.tables().parking().shown();
        Tally::parked(&parked);
        self.sender.send_modify(|status| status.parked = parked);
    }

    /// The files are others now, under the same names.
    pub(super) fn relocated(&mut self) {
        self.sender
            .send_modify(|status| Arc::make_mut(&mut status.begun).clear());
    }

    /// A stretch of the binlog was lost: keeps it to be shown.
    pub(super) fn gap(&mut self, reason: Reason) {
        self.sender
            .send_modify(|status| status.gap = Some((reason, Instant::now())));
    }

    /// A file's first event was read, which was written at `seconds` since 1970.
    pub(super) fn begun(&mut self, file: &str, seconds: u32) {
        // Some events are made up while they are sent, and have no time.
        if seconds == 0 {
            return;
        }
        let files = Arc::clone(&self.files);
        self.sender.send_modify(|status| {
            let begun = Arc::make_mut(&mut status.begun);
            begun.insert(file.to_owned(), u64::from(seconds));
            // The list may be a few files behind; those that are gone are no longer of use.
            begun.retain(|begun, _| {
                let oldest = files.first().map_or("", |(oldest, _)| oldest);
                !is_before(begun, oldest)
            });
        });
    }

    /// The server named the end of its binlog.
    pub(super) fn head(&mut self, files: &[(String, u64)], behind: Option<u64>) {
        self.files = files.into();
        let list = Arc::clone(&self.files);
        self.sender.send_modify(|status| {
            status.files = list;
            status.head_asked = Some(Instant::now());
            status.head = files.last().map(|(file, pos)| FilePosition {
                file: file.clone(),
                pos: *pos,
            });
            status.behind_bytes = behind;
            status.caught_up = behind == Some(0);
        });
    }
}

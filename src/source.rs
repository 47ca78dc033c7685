//! The read side: connects, resumes and reconnects, and hands on rows in binlog order. Owns I7.
//!
//! I7: a reconnect continues exactly. Within a run and across runs no row is skipped and none is handed on twice;
//! a running fingerprint of the open transaction proves that a re-sent transaction is the one that was begun.
//! This file moves between connecting, waiting and streaming; what events mean is `feed`'s business, and nothing
//! is buffered here but the one rows event being handed on.

pub mod asking;
pub mod audit;
pub mod away;
pub mod captured;
mod chances;
pub mod connection;
pub mod decode;
pub mod failover;
pub mod feed;
pub mod fingerprint;
pub mod forecast;
pub mod intake;
mod learnt;
pub mod lease;
pub mod lost;
pub mod opening;
pub mod parked;
pub mod preflight;
pub mod refusal;
pub mod rows;
#[cfg(test)]
mod sample;
pub mod schema;
pub mod stall;
pub mod status;
pub mod streaming;
pub mod tables;
pub mod tally;
pub mod transaction;
pub mod value;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep};

use crate::change::ChangeEvent;
use crate::config::{DatabaseConfig, RecordsConfig};
use crate::position::{GtidSet, Position, ServerIdentity};
use crate::retry::{Delays, Disposition, Failure, Reason};
use away::Away;
use feed::Feed;
pub use learnt::Learnt;
use opening::Opened;
use parked::{Order, Parking};
use preflight::Severity;
pub use schema::history::History;
use status::Publisher;
pub use status::{SourceState, SourceStatus};
use streaming::{Streaming, Turn};
use tables::Tables;
use tally::Tally;
use transaction::Tracker;

/// Where an earlier run stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The server that the position belongs to.
    pub identity: ServerIdentity,
    /// Everything before it was handed on.
    pub position: Position,
    /// Whether the run that wrote down what it learnt of the tables got exactly so far.
    pub with_history: bool,
}

/// What the source has for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Rows wait: call [`Source::rows`].
    Rows,
    /// A transaction ended, or the position moved in another way; nothing waits.
    Boundary,
    /// The server is there and has nothing to send.
    Heartbeat,
}

/// What the source is doing. Whatever is awaited lives here, so that a dropped call loses nothing.
enum State {
    Idle,
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Failure>> + Send>>),
    Waiting(Pin<Box<Sleep>>),
    Streaming(Box<Streaming>),
    Away(Box<Away>),
    Halted(Failure),
    Closed,
}

/// The binlog as a sequence of steps. Pull-based: nothing is read unless asked for.
pub struct Source {
    config: Arc<DatabaseConfig>,
    delays: Delays,
    alarm_attempts: u32,
    known: Option<(ServerIdentity, Position)>,
    /// Until the first server was examined.
    learnt: Option<Learnt>,
    feed: Option<Feed>,
    records: Arc<RecordsConfig>,
    state: State,
    /// What people want done with parked tables.
    orders: mpsc::Receiver<Order>,
    publisher: Publisher,
    tally: Tally,
    rng: fastrand::Rng,
    /// Failures since the last event.
    attempts: u32,
    /// Refused passwords in a row.
    denied: u32,
    /// Wrong checksums since more was read than before the first of them.
    wrong_sums: u32,
    patience: Duration,
    /// Whether the server refused the position as purged since it last sent events.
    refused: bool,
    /// Transactions that the server has purged, as its stream said.
    purged: GtidSet,
    /// Transactions that the stream left out.
    missing: Option<GtidSet>,
    /// Whether the stream came from another binlog instance than the files of the position.
    elsewhere: bool,
    /// Connections in a row that the server ended before it had sent anything.
    closed_at_once: u32,
    /// Since when the server has less than was read.
    behind_since: Option<Instant>,
}

impl Source {
    /// A source that will connect at the first [`next`](Self::next).
    ///
    /// `alarm_attempts`: refused passwords in a row after which it halts. `learnt`: what an earlier run knew of the
    /// tables.
    pub fn new(
        config: DatabaseConfig,
        delays: Delays,
        alarm_attempts: u32,
        learnt: Option<Learnt>,
        status: watch::Sender<SourceStatus>,
    ) -> Self {
        Self {
            config: Arc::new(config),
            delays,
            alarm_attempts,
            known: None,
            learnt,
            feed: None,
            records: Arc::default(),
            state: State::Idle,
            // Closed: nobody has any.
            orders: mpsc::channel(1).1,
            publisher: Publisher::new(status),
            tally: Tally::default(),
            rng: fastrand::Rng::new(),
            attempts: 0,
            denied: 0,
            wrong_sums: 0,
            patience: away::patience(None),
            refused: false,
            purged: GtidSet::default(),
            missing: None,
            elsewhere: false,
            closed_at_once: 0,
            behind_since: None,
        }
    }

    /// Where an earlier run stopped; wins over the configured start. To be told before the first
    /// [`next`](Self::next).
    pub fn resume(&mut self, resume: Resume) {
        self.known = Some((resume.identity, resume.position));
        if !resume.with_history {
            self.learnt = None;
        }
    }

    /// Takes orders for parked tables from here.
    #[must_use]
    pub fn with_orders(mut self, orders: mpsc::Receiver<Order>) -> Self {
        self.orders = orders;
        self
    }

    /// Says what records are to hold: which are handed on beside the rows, and which columns need a look at the start.
    #[must_use]
    pub fn for_records(mut self, records: RecordsConfig) -> Self {
        self.records = Arc::new(records);
        self
    }

    /// Waits for the next step. Connects and reconnects as needed, without a limit on tries.
    ///
    /// Cancel-safe: a dropped call loses nothing. After [`Step::Rows`] it returns the same again until
    /// [`rows`](Self::rows) was called.
    ///
    /// # Errors
    /// Only what a person must act on; the same again on every later call.
    pub async fn next(&mut self) -> Result<Step, Failure> {
        loop {
            let outcome = match &mut self.state {
                State::Idle => {
                    self.open();
                    continue;
                }
                State::Opening(opening) => match opening.await {
                    Ok(opened) => {
                        self.begin(opened);
                        continue;
                    }
                    Err(failure) => Err(failure),
                },
                State::Waiting(sleep) => {
                    sleep.await;
                    self.state = State::Idle;
                    continue;
                }
                State::Away(_) => {
                    self.publisher.returns();
                    self.state = State::Idle;
                    continue;
                }
                State::Halted(failure) => return Err(failure.clone()),
                State::Closed => std::future::pending().await,
                State::Streaming(streaming) => match &mut self.feed {
                    Some(feed) => {
                        if let Some(turn) = streaming.turn() {
                            self.turn(&turn);
                            continue;
                        }
                        let outcome = streaming
                            .step(
                                &self.config,
                                feed,
                                &mut self.tally,
                                &mut self.publisher,
                                &mut self.orders,
                            )
                            .await;
                        if streaming.made_progress() {
                            (self.attempts, self.denied, self.refused) = (0, 0, false);
                            self.closed_at_once = 0;
                        }
                        outcome
                    }
                    None => {
                        self.state = State::Idle;
                        continue;
                    }
                },
            };
            match outcome {
                Ok(step) => {
                    if step == Step::Boundary && self.wrong_sums > 0 && self.is_past_cut() {
                        self.wrong_sums = 0;
                    }
                    return Ok(step);
                }
                Err(failure) => self.failed(failure)?,
            }
        }
    }

    /// The next step if it is there without waiting.
    pub fn ready_step(&mut self) -> Option<Result<Step, Failure>> {
        self.next().now_or_never()
    }

    /// Hands on every row that waits, in order.
    ///
    /// # Errors
    /// What `f` returned, or a row that cannot be read. The position is then behind the last row that `f` took.
    pub fn rows(&mut self, f: impl FnMut(ChangeEvent<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        match (&self.state, &mut self.feed) {
            (State::Streaming(streaming), Some(feed)) => streaming.rows(feed, f),
            _ => Ok(()),
        }
    }

    /// The point behind everything handed on so far; `None` until the start is known.
    pub fn position(&self) -> Option<Position> {
        match &self.feed {
            Some(feed) if feed.tracker().before_start() => None,
            Some(feed) => Some(feed.position()),
            None => self.known.as_ref().map(|(_, position)| position.clone()),
        }
    }

    /// What is known of the tables if that changed since the last call: to be kept no later than
    /// [`position`](Self::position).
    pub fn learnt(&mut self) -> Option<History> {
        self.feed.as_mut().and_then(Feed::learnt)
    }

    /// The server at the other end, once it was examined.
    pub fn identity(&self) -> Option<&ServerIdentity> {
        self.known.as_ref().map(|(identity, _)| identity)
    }

    /// Ends the connections; the server notices at once. Afterwards [`next`](Self::next) waits for ever.
    pub async fn close(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        match state {
            State::Streaming(streaming) => streaming.close().await,
            State::Away(away) => away.close().await,
            State::Idle | State::Opening(_) | State::Waiting(_) | State::Halted(_) | State::Closed => {}
        }
        self.tally.flush();
    }

    /// Goes on elsewhere, with another stream.
    fn turn(&mut self, turn: &Turn) {
        let (Some(feed), Some((_, position))) = (&mut self.feed, &mut self.known) else {
            return;
        };
        match turn {
            Turn::Back(table) => {
                if let Some(since) = feed.turn_back(table) {
                    tracing::info!(%table, %since, "reading the rows of a parked table");
                    *position = since;
                }
            }
            Turn::GoOn { parked_again } => {
                *position = feed.go_on(*parked_again);
                tracing::info!(%position, "reading all tables again");
            }
        }
        self.publisher.parked(feed);
        let before = std::mem::replace(&mut self.state, State::Idle);
        let attempt = self.attempt();
        self.state = State::Opening(Box::pin(async move {
            if let State::Streaming(streaming) = before {
                streaming.close().await;
            }
            attempt.await
        }));
    }

    fn open(&mut self) {
        if self.attempts == 0 {
            self.publisher.state(SourceState::Connecting);
        }
        self.state = State::Opening(Box::pin(self.attempt()));
    }

    fn begin(&mut self, opened: Opened) {
        let flavour = opened.facts.identity.flavour;
        let begin = opened.begin;
        self.behind_since = None;
        if let Some(gap) = &begin.gap {
            self.leap(gap);
        }
        if begin.moved {
            self.relocate(&opened.facts);
        }
        if self.feed.is_none() {
            for finding in opened.findings.iter().filter(|f| f.severity == Severity::Warning) {
                tracing::warn!(code = finding.code, remedy = finding.remedy, "{}", finding.seen);
            }
        }
        tracing::info!(server = %flavour, version = opened.facts.version, position = %begin.position, "reading the binlog");
        let resumed = self.known.is_some() && begin.gap.is_none();
        self.known = Some((opened.facts.identity.clone(), begin.position.clone()));
        if self.feed.is_none() {
            let history = self.history(&opened.facts, &begin, resumed);
            let parking = Parking::new(&begin.position.parked);
            let tracker = Tracker::new(flavour, begin.position, begin.adopt_previous, begin.not_before);
            let left_out = !resumed && history.tables().next().is_some();
            let tables = Tables::new(history, self.config.types, opened.facts.left_out.clone())
                .left_behind(left_out)
                .with_charsets(flavour, opened.charsets);
            let tables = tables.with_parking(parking);
            let mut feed = Feed::new(tracker, self.config.tables.clone(), tables);
            feed.emit(self.records.emits);
            if let Some(gap) = begin.gap {
                feed.tell(gap);
            }
            self.feed = Some(feed);
        }
        self.patience = away::patience(opened.facts.write_timeout_seconds);
        self.publisher.server(&opened.facts);
        self.publisher.state(SourceState::Streaming);
        self.state = State::Streaming(Box::new(Streaming::new(
            opened.stream,
            opened.asking,
            flavour,
            self.config.heartbeat,
            self.config.schema_check,
            begin.proven,
        )));
    }

    /// Decides between another try and a halt.
    fn failed(&mut self, failure: Failure) -> Result<(), Failure> {
        self.tally.flush();
        let failure = match self.second_chance(&failure) {
            Some(retry) => retry,
            None => failure,
        };
        let after = match &failure.disposition {
            Disposition::Retry { after } => after.unwrap_or(Duration::ZERO),
            Disposition::Halt { .. } if self.give_up(&failure.reason) => return Ok(()),
            Disposition::Halt { .. } => {
                self.publisher.state(SourceState::Halted {
                    failure: failure.clone(),
                });
                self.state = State::Halted(failure.clone());
                return Err(failure);
            }
            // The destination's dispositions; nothing here has them.
            Disposition::Reroute | Disposition::Poison(_) => Duration::ZERO,
        };
        self.cut();
        let delay = self.delays.delay(self.attempts, &mut self.rng).max(after);
        self.attempts = self.attempts.saturating_add(1);
        Tally::reconnect(failure.reason.code);
        tracing::warn!(
            code = failure.reason.code,
            attempt = self.attempts,
            retry_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "the source reconnects: {}",
            failure.reason.message
        );
        self.publisher.state(SourceState::Reconnecting {
            reason: failure.reason,
            attempts: self.attempts,
        });
        self.state = State::Waiting(Box::pin(tokio::time::sleep_until(Instant::now() + delay)));
        Ok(())
    }

    /// Ends the reading of a parked table that cannot be read: the others may well be. Whether there was one.
    fn give_up(&mut self, reason: &Reason) -> bool {
        let Some(feed) = self.feed.as_mut().filter(|feed| feed.is_alone()) else {
            return false;
        };
        tracing::warn!(
            code = reason.code,
            "the rows of a parked table cannot be read, all other tables flow: {}",
            reason.message
        );
        let main = feed.give_up(reason);
        self.publisher.parked(feed);
        if let Some((_, position)) = &mut self.known {
            *position = main;
        }
        self.state = State::Idle;
        true
    }
}

#[cfg(test)]
mod tests;

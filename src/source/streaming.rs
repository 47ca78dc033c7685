//! A dump that runs: event after event into the feed, definitions fetched when the feed asks for them.

mod alarms;
mod parking;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use mysql_async::BinlogStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::change::{ChangeEvent, TableId};
use crate::config::DatabaseConfig;
use crate::position::{FilePosition, Flavour};
use crate::retry::Failure;
use crate::source::Step;
use crate::source::asking::{Asking, Told, bytes_behind};
use crate::source::audit::{Audit, Finding, pause};
use crate::source::decode::{Header, kind};
use crate::source::feed::{Fed, Feed};
use crate::source::intake::{Intake, Taken};
use crate::source::parked::Order;
use crate::source::schema::{LEFT_OUT_REMEDY, TABLE_LEFT_OUT};
use crate::source::stall::{Look, Remedy, Stall};
use crate::source::status::Publisher;
use crate::source::tables;
use crate::source::tally::Tally;
use alarms::{read_late, unannounced};

/// How long after a definition that does not help the server is asked again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How often the server is asked whether a parked table can be read now.
const PARKED_PERIOD: Duration = Duration::from_secs(10);

/// How often the server is asked where its binlog ends.
pub const HEAD_PERIOD: Duration = Duration::from_secs(10);

/// A connection that sends events.
pub struct Streaming {
    intake: Intake,
    asking: Asking,
    /// The event whose rows wait.
    event: Option<Taken>,
    /// What follows once the records that are no rows were handed on.
    then: Option<Step>,
    needs: Option<Needs>,
    next_head: Instant,
    audit: Audit,
    /// The table that the server is being asked about only to compare.
    comparing: Option<TableId>,
    compared: Option<TableId>,
    next_look: Instant,
    progress: bool,
    /// Events that were no heartbeats.
    events: u64,
    stall: Stall,
    /// What ends a silence that is none of the server's.
    stalled: Option<Remedy>,
    /// Whether the start may be saved before anything was read from there.
    proven: bool,
    /// The parked table that the server is being asked about.
    considering: Option<TableId>,
    considered: Option<TableId>,
    next_parked: Instant,
    /// What is to be done with a parked table at the next boundary.
    order: Option<Order>,
    /// Where reading has to go on, with another stream.
    turn: Option<Turn>,
}

/// Why another stream is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// To read a parked table alone, from its first row.
    Back(TableId),
    /// To read all tables again; `parked_again` says whether the one before has to wait once more.
    GoOn {
        /// A row of it still cannot be read.
        parked_again: bool,
    },
}

/// A definition that the next event has to wait for.
struct Needs {
    id: TableId,
    asked: bool,
    /// Looks that did not help.
    looks: u32,
    /// Not asked again before this.
    not_before: Instant,
}

impl Streaming {
    /// Starts on a dump that was just requested; `proven` as in [`Begin`](super::opening::Begin).
    pub fn new(
        stream: BinlogStream,
        asking: Asking,
        flavour: Flavour,
        heartbeat: Duration,
        schema_check: Duration,
        proven: bool,
    ) -> Self {
        Self {
            intake: Intake::new(stream, flavour, heartbeat),
            asking,
            proven,
            event: None,
            then: None,
            needs: None,
            next_head: Instant::now(),
            audit: Audit::default(),
            comparing: None,
            compared: None,
            next_look: Instant::now() + schema_check,
            progress: false,
            events: 0,
            stall: Stall::default(),
            stalled: None,
            considering: None,
            considered: None,
            next_parked: Instant::now(),
            order: None,
            turn: None,
        }
    }

    /// Whether another stream is needed, and why. Nothing waits to be handed on then.
    pub fn turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// Whether the server has sent more than the introduction of a dump.
    pub fn made_progress(&self) -> bool {
        self.progress
    }

    /// Reads until there is something for the driver. Cancel-safe.
    ///
    /// # Errors
    /// Whatever ends this connection.
    pub async fn step(
        &mut self,
        config: &Arc<DatabaseConfig>,
        feed: &mut Feed,
        tally: &mut Tally,
        publisher: &mut Publisher,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<Step, Failure> {
        loop {
            if feed.has_rows() {
                return Ok(Step::Rows);
            }
            if let Some(step) = self.then.take() {
                return Ok(step);
            }
            if self.turn.is_some() {
                return Ok(Step::Boundary);
            }
            if let Some(remedy) = self.stalled.take() {
                if let Some(file) = &remedy.next_file {
                    feed.skip_to(file);
                }
                return Err(remedy.failure);
            }
            if self.needs.is_some() {
                self.define(config, feed, publisher).await?;
                continue;
            }
            if self.order.is_some() {
                self.obey(feed, publisher);
            }
            if let Some(table) = feed.hope() {
                self.turn = Some(Turn::Back(table.clone()));
                continue;
            }
            let taken = match self.intake.arrived() {
                Some(taken) => {
                    if publisher.is_due() {
                        publisher.received(feed, tally);
                        self.ask(config, feed);
                        self.order = self.order.take().or_else(|| orders.try_recv().ok());
                        if let Some(told) = self.asking.answer().now_or_never() {
                            self.told(told, feed, publisher);
                        }
                    }
                    taken
                }
                None => match self.wait(config, feed, tally, publisher, orders).await {
                    Some(taken) => taken,
                    None => continue,
                },
            };
            let taken = taken?;
            let header = taken.header;
            tally.event(header.kind, header.size);
            self.progress |= !is_introduction(&header);
            if !matches!(header.kind, kind::HEARTBEAT | kind::HEARTBEAT_V2) {
                self.events = self.events.saturating_add(1);
            }
            let fed = feed.event(&header, taken.body())?;
            if header.kind == kind::FORMAT_DESCRIPTION {
                publisher.begun(feed.tracker().read_to().0, header.timestamp);
            }
            // The server accepts the start: it can be saved now, and not at the first heartbeat.
            let saves = self.proven && !feed.tracker().before_start();
            if header.kind == kind::FORMAT_DESCRIPTION && fed == Fed::Quiet && saves {
                publisher.received(feed, tally);
                return Ok(Step::Boundary);
            }
            let step = self.outcome(fed, feed, taken, publisher);
            if feed.has_marks() {
                self.then = step;
            } else if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    fn outcome(&mut self, fed: Fed, feed: &Feed, taken: Taken, publisher: &mut Publisher) -> Option<Step> {
        let boundary = (!feed.tracker().before_start()).then_some(Step::Boundary);
        match fed {
            Fed::Quiet => None,
            Fed::Boundary => boundary,
            Fed::Heartbeat => Some(Step::Heartbeat),
            Fed::Rows => {
                self.event = Some(taken);
                Some(Step::Rows)
            }
            Fed::Returned => {
                self.turn = Some(Turn::GoOn { parked_again: false });
                None
            }
            Fed::Ghost(table) => {
                tracing::info!(%table, "left out: a copy that a schema change tool makes of a captured table (CAPTURE_GHOST_TABLES)");
                None
            }
            Fed::Needs(id) => {
                self.needs = Some(Needs {
                    id,
                    asked: false,
                    looks: 0,
                    not_before: Instant::now(),
                });
                None
            }
            Fed::Definition {
                definition,
                boundary: ended,
                doubts,
            } => {
                Tally::schema_change(definition.label());
                // Never the text: it can hold credentials.
                tracing::info!(
                    kind = definition.label(),
                    at = feed.place(),
                    "definitions changed"
                );
                for doubt in doubts {
                    publisher.schema_alarm(read_late(&doubt, feed));
                }
                boundary.filter(|_| ended)
            }
        }
    }

    /// Asks what is due: where the binlog ends, or whether a table is still what it was.
    fn ask(&mut self, config: &Arc<DatabaseConfig>, feed: &Feed) {
        let now = Instant::now();
        if self.asking.is_busy() {
            return;
        }
        if now >= self.next_head {
            self.next_head = now + HEAD_PERIOD;
            self.asking.files(config);
        } else if now >= self.next_parked && self.ask_of_parked(config, feed) {
            let often = config.schema_check.is_zero() || config.schema_check > PARKED_PERIOD;
            self.next_parked = now + if often { PARKED_PERIOD } else { config.schema_check };
        } else if !config.schema_check.is_zero() && now >= self.next_look {
            let tables = feed.tables();
            self.next_look = now + pause(config.schema_check, tables.count());
            if let Some(id) = tables.after(self.compared.as_ref()).cloned() {
                self.asking.definition(config, id.clone());
                self.compared = Some(id.clone());
                self.comparing = Some(id);
            }
        }
    }

    /// Takes the answer to a question that nothing waits for.
    fn told(&mut self, told: Result<Told, Failure>, feed: &mut Feed, publisher: &mut Publisher) {
        let comparing = self.comparing.take();
        let considering = self.considering.take();
        match told {
            Ok(Told::Files { files, executed }) => {
                let tracker = feed.tracker();
                let (file, pos) = tracker.read_to();
                publisher.head(&files, bytes_behind(&files, file, pos));
                if tracker.flavour() == Flavour::OceanBase {
                    let look = Look {
                        files: &files,
                        executed: executed.as_ref(),
                        read: tracker.gtid_set(),
                        file,
                        pos,
                        events: self.events,
                    };
                    self.stalled = self.stall.judge(Instant::now(), &look);
                }
                if let Some((file, pos)) = files.last() {
                    let (file, pos) = (file.clone(), *pos);
                    self.audit.head(&FilePosition { file, pos });
                }
            }
            Ok(Told::Definition { definition, .. }) => {
                if let Some(id) = considering {
                    feed.consider(&id, definition.as_ref());
                    return;
                }
                let Some(id) = comparing else { return };
                let (file, pos) = feed.tracker().read_to();
                let file = file.to_owned();
                let read_to = FilePosition { file, pos };
                match self.audit.judge(&id, feed.in_force(&id), definition, &read_to) {
                    Finding::Fine => {}
                    Finding::Suspicious => self.next_head = Instant::now(),
                    Finding::Unannounced { agreed, differences } => {
                        feed.forget(&id);
                        publisher.schema_alarm(unannounced(&id, agreed.as_ref(), &read_to, &differences));
                    }
                }
            }
            // Nothing that is relayed suffers; the stream itself tells whether the server is there.
            Err(failure) => tracing::debug!(
                code = failure.reason.code,
                "a question to the server has no answer: {}",
                failure.reason.message
            ),
        }
    }

    /// Waits a little for an event, and meanwhile for the answer to a question under way.
    async fn wait(
        &mut self,
        config: &Arc<DatabaseConfig>,
        feed: &mut Feed,
        tally: &mut Tally,
        publisher: &mut Publisher,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Option<Result<Taken, Failure>> {
        let now = Instant::now();
        self.ask(config, feed);
        let busy = self.asking.is_busy();
        let mut until = match (busy, config.schema_check.is_zero()) {
            (true, _) => now + HEAD_PERIOD,
            (false, true) => self.next_head,
            (false, false) => self.next_head.min(self.next_look),
        };
        match publisher.due_at() {
            Some(due) if due <= now => publisher.waited(feed, tally),
            Some(due) => until = until.min(due),
            None => {}
        }
        tokio::select! {
            biased;
            taken = self.intake.next(until) => {
                if taken.is_some() {
                    publisher.received(feed, tally);
                }
                taken
            }
            told = self.asking.answer(), if busy => {
                self.told(told, feed, publisher);
                None
            }
            Some(order) = orders.recv(), if self.order.is_none() => {
                self.order = Some(order);
                None
            }
        }
    }

    /// Fetches the definition that the feed needs.
    async fn define(
        &mut self,
        config: &Arc<DatabaseConfig>,
        feed: &mut Feed,
        publisher: &mut Publisher,
    ) -> Result<(), Failure> {
        let Some(needs) = &mut self.needs else {
            return Ok(());
        };
        if !needs.asked {
            tokio::time::sleep_until(needs.not_before).await;
            if self.asking.is_busy() {
                // The answer to another question; it comes again in a while.
                drop(self.asking.answer().await);
                self.comparing = None;
                self.considering = None;
            }
            self.asking.definition(config, needs.id.clone());
            needs.asked = true;
        }
        let (definition, read_at) = match self.asking.answer().await? {
            Told::Definition { definition, read_at } => (definition, read_at),
            Told::Files { .. } => (None, u64::MAX),
        };
        match feed.define(definition, read_at) {
            Ok(()) => {
                self.needs = None;
                if let Some(notice) = feed.notice() {
                    tracing::warn!(code = TABLE_LEFT_OUT, remedy = LEFT_OUT_REMEDY, "{notice}");
                }
            }
            Err(failure) if needs.looks < tables::looks_worth(&failure) => {
                needs.asked = false;
                needs.looks = needs.looks.saturating_add(1);
                needs.not_before = Instant::now() + LOOK_AGAIN;
            }
            Err(failure) if feed.recall() => {
                // The server has gone on to another version already; the rows are still of the one before.
                tracing::info!(table = %needs.id, at = feed.place(), "read with the definition from before: {}", failure.reason.message);
                self.needs = None;
            }
            Err(failure) => self.park(config, feed, publisher, failure)?,
        }
        Ok(())
    }

    /// Hands on the rows that wait, and the records that are none.
    ///
    /// # Errors
    /// As [`Feed::rows`].
    pub fn rows(
        &self,
        feed: &mut Feed,
        mut f: impl FnMut(ChangeEvent<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        feed.marks(&mut f)?;
        match &self.event {
            Some(taken) => feed.rows(&taken.header, taken.body(), f),
            None => Ok(()),
        }
    }

    /// Ends the dump; the connection for questions stays.
    pub async fn leave(self) -> Asking {
        self.intake.close().await;
        self.asking
    }

    /// Ends both connections.
    pub async fn close(mut self) {
        self.asking.close().await;
        self.intake.close().await;
    }
}

/// What every dump starts with, even one that then ends at once.
fn is_introduction(header: &Header) -> bool {
    matches!(
        header.kind,
        kind::FORMAT_DESCRIPTION | kind::PREVIOUS_GTIDS | kind::MARIADB_GTID_LIST
    ) || (header.kind == kind::ROTATE && header.is_artificial())
}

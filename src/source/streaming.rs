//! A dump that runs: event after event into the feed, definitions fetched when the feed asks for them.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::{BinlogStream, Conn};
use tokio::time::Instant;

use crate::change::{ChangeEvent, TableId};
use crate::config::DatabaseConfig;
use crate::position::Flavour;
use crate::retry::Failure;
use crate::source::Step;
use crate::source::asking::{Asking, Told, bytes_behind};
use crate::source::decode::{Header, kind};
use crate::source::feed::{Fed, Feed};
use crate::source::intake::{Intake, Taken};
use crate::source::status::Publisher;
use crate::source::tables;
use crate::source::tally::Tally;

/// How often the server is asked where its binlog ends.
const HEAD_PERIOD: Duration = Duration::from_secs(10);

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
    progress: bool,
    /// Whether the start may be saved before anything was read from there.
    proven: bool,
}

/// A definition that the next event has to wait for.
struct Needs {
    id: TableId,
    asked: bool,
    /// Whether this is the second look.
    again: bool,
}

impl Streaming {
    /// Starts on a dump that was just requested; `proven` as in [`Begin`](super::opening::Begin).
    pub fn new(
        stream: BinlogStream,
        asking: Conn,
        flavour: Flavour,
        heartbeat: Duration,
        proven: bool,
    ) -> Self {
        Self {
            intake: Intake::new(stream, flavour, heartbeat),
            asking: Asking::new(asking),
            proven,
            event: None,
            then: None,
            needs: None,
            next_head: Instant::now(),
            progress: false,
        }
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
    ) -> Result<Step, Failure> {
        loop {
            if feed.has_rows() {
                return Ok(Step::Rows);
            }
            if let Some(step) = self.then.take() {
                return Ok(step);
            }
            if self.needs.is_some() {
                self.define(config, feed).await?;
                continue;
            }
            let taken = match self.intake.arrived() {
                Some(taken) => {
                    if publisher.is_due() {
                        publisher.received(feed, tally);
                    }
                    taken
                }
                None => match self.wait(config, feed, tally, publisher).await {
                    Some(taken) => taken,
                    None => continue,
                },
            };
            let taken = taken?;
            let header = taken.header;
            tally.event(header.kind, header.size);
            self.progress |= !is_introduction(&header);
            let fed = feed.event(&header, taken.body())?;
            // The server accepts the start: it can be saved now, and not at the first heartbeat.
            let saves = self.proven && !feed.tracker().before_start();
            if header.kind == kind::FORMAT_DESCRIPTION && fed == Fed::Quiet && saves {
                publisher.received(feed, tally);
                return Ok(Step::Boundary);
            }
            let step = self.outcome(fed, feed, taken);
            if feed.has_marks() {
                self.then = step;
            } else if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    fn outcome(&mut self, fed: Fed, feed: &Feed, taken: Taken) -> Option<Step> {
        let boundary = (!feed.tracker().before_start()).then_some(Step::Boundary);
        match fed {
            Fed::Quiet => None,
            Fed::Boundary => boundary,
            Fed::Heartbeat => Some(Step::Heartbeat),
            Fed::Rows => {
                self.event = Some(taken);
                Some(Step::Rows)
            }
            Fed::Needs(id) => {
                self.needs = Some(Needs {
                    id,
                    asked: false,
                    again: false,
                });
                None
            }
            Fed::Definition {
                definition,
                boundary: ended,
            } => {
                Tally::definition(definition);
                // Never the text: it can hold credentials.
                tracing::info!(
                    kind = definition.label(),
                    at = feed.place(),
                    "definitions changed"
                );
                boundary.filter(|_| ended)
            }
        }
    }

    /// Waits a little for an event, and meanwhile for the answer to a question under way.
    async fn wait(
        &mut self,
        config: &Arc<DatabaseConfig>,
        feed: &Feed,
        tally: &mut Tally,
        publisher: &mut Publisher,
    ) -> Option<Result<Taken, Failure>> {
        let now = Instant::now();
        if now >= self.next_head && !self.asking.is_busy() {
            self.next_head = now + HEAD_PERIOD;
            self.asking.files(config);
        }
        let busy = self.asking.is_busy();
        let mut until = if busy { now + HEAD_PERIOD } else { self.next_head };
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
                match told {
                    Ok(Told::Files(files)) => {
                        let (file, pos) = feed.tracker().read_to();
                        publisher.head(&files, bytes_behind(&files, file, pos));
                    }
                    Ok(Told::Definition(_)) => {}
                    // Only a gauge suffers; the stream itself tells whether the server is there.
                    Err(failure) => tracing::debug!(code = failure.reason.code, "the binlog's end is unknown: {}", failure.reason.message),
                }
                None
            }
        }
    }

    /// Fetches the definition that the feed needs.
    async fn define(&mut self, config: &Arc<DatabaseConfig>, feed: &mut Feed) -> Result<(), Failure> {
        let Some(needs) = &mut self.needs else {
            return Ok(());
        };
        if !needs.asked {
            if self.asking.is_busy() {
                // The answer to another question; it comes again in a while.
                drop(self.asking.answer().await);
            }
            self.asking.definition(config, needs.id.clone());
            needs.asked = true;
        }
        let definition = match self.asking.answer().await? {
            Told::Definition(definition) => definition,
            Told::Files(_) => None,
        };
        match feed.define(definition) {
            Ok(()) => self.needs = None,
            // A second look: the first may have fallen into the middle of a change.
            Err(failure) if tables::may_have_raced(&failure) && !needs.again => {
                needs.asked = false;
                needs.again = true;
            }
            Err(failure) => return Err(failure),
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

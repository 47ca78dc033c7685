//! Events in, rows out: the part of the source that needs no network. Pure.
//!
//! Joins the transaction tracker with the tables in force, passes over rows that were handed on before a cut
//! (I7), and refuses rows that it cannot read with certainty (I6).

mod instance;
mod marks;
mod parking;
mod refusals;

use std::fmt;
use std::sync::Arc;

use crate::change::{ChangeEvent, Gap, Mark, RowChange, SourceMeta, TableId};
use crate::config::Emits;
use crate::config::filter::TableFilter;
use crate::position::Position;
use crate::retry::Failure;
use crate::source::decode::query::{Definition, Query};
use crate::source::decode::{self, Header, Meaning};
use crate::source::rows::{DecodeError, RowPair, Rows, RowsEvent, little_endian};
use crate::source::schema::TableDefinition;
use crate::source::schema::history::{History, Point, Touch};
use crate::source::tables::{Doubt, Mapped, Need, Statement, Tables};
use crate::source::transaction::{Act, Tracker};
use marks::Marks;
use parking::pass_over;
use refusals::{prepared_only, rows_of, undecodable, unmapped};

/// What an event led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Nothing to do.
    Quiet,
    /// The position moved to the end of a transaction, or to another file.
    Boundary,
    /// The server is idle.
    Heartbeat,
    /// Rows wait in this event: keep it, and call [`Feed::rows`].
    Rows,
    /// Answer with [`Feed::define`] before the next event.
    Needs(TableId),
    /// Rows follow of a ghost table, for the first time: they are left out.
    Ghost(TableId),
    /// The rows of the parked table are handed on, up to where all others are: see [`Feed::go_on`].
    Returned,
    /// Definitions changed.
    Definition {
        /// How.
        definition: Definition,
        /// Whether the position moved as well.
        boundary: bool,
        /// Tables that may have been read with a definition from behind the statement.
        doubts: Vec<Doubt>,
    },
}

/// A rows event of which rows wait.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// Rows at its start that were handed on, or are none of our business.
    done: u64,
    /// Whether the statement's table maps end with it.
    ends_statement: bool,
}

/// A place in the binlog, to be named if something is wrong there.
struct At {
    file: Arc<str>,
    pos: u64,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.pos)
    }
}

/// The table map id under which servers end a statement without rows.
const NO_TABLE: u64 = 0x00ff_ffff;

/// State of the stream between two events.
#[derive(Debug)]
pub struct Feed {
    tracker: Tracker,
    /// Where all tables are, while a parked one is read alone.
    main: Option<Tracker>,
    tables: Tables,
    filter: TableFilter,
    /// Whether the transaction is a statement that is told twice.
    in_phases: bool,
    pending: Option<Pending>,
    meta: SourceMeta,
    marks: Marks,
    /// Whether the stream's first file is still to come.
    first_file: bool,
}

/// The rows of an event.
enum Images<'a, 'm> {
    Full(Rows<'a, 'm>),
    /// Rows of a table that is not captured, in an event that leaves columns out: only their number counts.
    Counted(u64),
}

impl<'a, 'm> Images<'a, 'm> {
    fn of(event: &RowsEvent<'a>, mapped: &'m Mapped) -> Result<Self, DecodeError> {
        match event.rows(&mapped.map) {
            Err(DecodeError::PartialImage(_)) if mapped.schema.is_none() => {
                event.count(&mapped.map).map(Self::Counted)
            }
            rows => rows.map(Self::Full),
        }
    }
}

impl<'a> Iterator for Images<'a, '_> {
    type Item = Result<RowPair<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Full(rows) => rows.next(),
            Self::Counted(left) => {
                *left = left.checked_sub(1)?;
                Some(Ok((None, None)))
            }
        }
    }
}

/// Where the last event begins.
fn at(tracker: &Tracker) -> Point<'_> {
    let (file, pos) = tracker.event_at();
    Point {
        file,
        pos,
        gtid_set: tracker.gtid_set(),
    }
}

/// Where the last event ends.
fn behind(tracker: &Tracker) -> Point<'_> {
    let (file, pos) = tracker.read_to();
    Point {
        file,
        pos,
        gtid_set: tracker.gtid_set(),
    }
}

impl Feed {
    /// Starts where `tracker` does.
    pub fn new(tracker: Tracker, filter: TableFilter, tables: Tables) -> Self {
        Self {
            tracker,
            main: None,
            tables,
            filter,
            in_phases: false,
            pending: None,
            meta: SourceMeta {
                transaction: Arc::from(""),
                gtid: None,
                file: Arc::from(""),
                pos: 0,
                server_id: 0,
                ts_us: 0,
                late: false,
            },
            marks: Marks::default(),
            first_file: true,
        }
    }

    /// Hands on these records beside the rows.
    pub fn emit(&mut self, emits: Emits) {
        self.marks.emits = emits;
    }

    /// Tells of a gap in front of everything that is read from now on.
    pub fn tell(&mut self, gap: Gap) {
        self.marks.gap = Some(gap);
    }

    /// What was learnt of the tables, for a feed that begins elsewhere.
    pub fn into_history(self) -> History {
        self.tables.into_history(&self.tracker.position())
    }

    /// The tracker, to ask.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// Where the last event is, for texts.
    pub fn place(&self) -> String {
        let (file, pos) = self.tracker.event_at();
        format!("{file}:{pos}")
    }

    /// The stream was cut: what was begun is expected again. Returns the point to start the next stream at.
    pub fn cut(&mut self) -> Position {
        self.pending = None;
        let was_there = !std::mem::replace(&mut self.first_file, true);
        self.tables.new_file();
        let here = self.tracker.cut();
        if self.main.is_some() {
            return here;
        }
        // While the places are those of files that were read: the next stream may bring others.
        if was_there {
            self.tables.cover(&here);
        }
        let parked = self.tables.parking().named(&here, None);
        Position { parked, ..here }
    }

    /// Whether rows wait, or records that are none.
    pub fn has_rows(&self) -> bool {
        self.pending.is_some() || self.has_marks()
    }

    /// Whether records wait that are no rows.
    pub fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Hands on the records that are no rows: they come before everything that is read from now on.
    ///
    /// # Errors
    /// What `f` returned.
    pub fn marks(
        &mut self,
        f: &mut impl FnMut(ChangeEvent<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.marks.hand_on(f)
    }

    /// Takes the next event; `body` is without header and checksum.
    ///
    /// # Errors
    /// Whatever makes it uncertain what was committed.
    pub fn event(&mut self, header: &Header, body: &[u8]) -> Result<Fed, Failure> {
        let meaning = decode::parse(header, body)?;
        if meaning == Meaning::FormatDescription && std::mem::take(&mut self.first_file) {
            self.arrive(header)?;
        }
        let defines = matches!(
            meaning,
            Meaning::Query {
                query: Query::Definition(_),
                ..
            }
        );
        let place = if defines && self.main.is_none() {
            self.marks.place(&mut self.tracker)
        } else {
            None
        };
        if let Meaning::MariaGtid { in_phases, .. } = meaning {
            self.in_phases = in_phases;
        }
        let act = self
            .tracker
            .observe(header, &meaning, |db| self.filter.touches(db))?;
        self.marks.ended(header, &mut self.tracker);
        if self.has_returned() {
            return Ok(Fed::Returned);
        }
        Ok(match act {
            Act::Quiet => Fed::Quiet,
            Act::Boundary => Fed::Boundary,
            Act::Heartbeat => Fed::Heartbeat,
            Act::NewFile => {
                self.tables.new_file();
                Fed::Quiet
            }
            Act::Definition { definition, boundary } => {
                let mut doubts = Vec::new();
                if let Meaning::Query { db, text, .. } = meaning {
                    if definition != Definition::Truncate {
                        // The header has its beginning, the body how long it took.
                        let took = body.get(4..8).map_or(0, little_endian);
                        let executed = u64::from(header.timestamp).saturating_add(took);
                        let session_db = String::from_utf8_lossy(db);
                        let statement = Statement {
                            text,
                            db: &session_db,
                            begins: at(&self.tracker),
                            ends: behind(&self.tracker),
                            executed,
                            in_phases: self.in_phases,
                        };
                        doubts = self.tables.changed(&statement, &self.filter);
                    }
                    if let Some(place) = place {
                        let statement = (definition, db, text);
                        self.marks
                            .definition(place, header, &self.tracker, &self.filter, statement);
                    }
                }
                Fed::Definition {
                    definition,
                    boundary,
                    doubts,
                }
            }
            Act::TableMap => match self.tables.map(body, &self.filter, at(&self.tracker)) {
                Ok(Need::Nothing) => Fed::Quiet,
                Ok(Need::Definition(id)) => Fed::Needs(id),
                Ok(Need::Mention(id)) => Fed::Ghost(id),
                Err(error) => return Err(undecodable(&error, "the table map", &self.place())),
            },
            Act::Rows => self.begin_rows(header, body)?,
        })
    }

    /// Answers [`Fed::Needs`] with what the server said at `read_at`, seconds since 1970.
    ///
    /// # Errors
    /// If the table is gone, cannot be read, or contradicts the binlog.
    pub fn define(&mut self, definition: Option<TableDefinition>, read_at: u64) -> Result<(), Failure> {
        self.tables.define(definition, read_at, at(&self.tracker))
    }

    /// Answers [`Fed::Needs`] from before the last statement, if it is safe; see [`Tables::recall`].
    pub fn recall(&mut self) -> bool {
        self.tables.recall(at(&self.tracker))
    }

    /// The tables, to ask.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The definition that rows of a table are read with from here on.
    pub fn in_force(&self, id: &TableId) -> Option<Arc<TableDefinition>> {
        self.tables.in_force(id, behind(&self.tracker))
    }

    /// A table was changed without a statement: it is read with what the server says from here on.
    pub fn forget(&mut self, id: &TableId) {
        self.tables.forget(id, behind(&self.tracker), Touch::ANYTHING);
    }

    /// What was learnt of the tables since the last call, to be kept together with [`position`](Self::position).
    pub fn learnt(&mut self) -> Option<History> {
        let tracker = &self.tracker;
        self.tables.learnt(|| tracker.position())
    }

    /// As [`Tables::notice`].
    pub fn notice(&mut self) -> Option<String> {
        self.tables.notice()
    }

    /// Looks at a rows event, and passes over what was handed on before a cut.
    fn begin_rows(&mut self, header: &Header, body: &[u8]) -> Result<Fed, Failure> {
        let (file, pos) = self.tracker.event_at();
        let at = At {
            file: Arc::clone(file),
            pos,
        };
        let event = RowsEvent::parse(header.kind, body)
            .map_err(|error| undecodable(&error, "a rows event", &at.to_string()))?;
        if event.table_id == NO_TABLE && event.ends_statement {
            self.tables.end_statement();
            return Ok(Fed::Quiet);
        }
        let (Some(mapped), Some(open)) = (self.tables.get(event.table_id), self.tracker.open_mut()) else {
            return Err(unmapped(event.table_id, &at));
        };
        if open.xa && mapped.schema.is_some() {
            return Err(prepared_only(&open.id, &mapped.map.id));
        }
        let mut rows = Images::of(&event, mapped)
            .map_err(|error| undecodable(&error, &rows_of(mapped), &at.to_string()))?;
        let mut done = 0u64;
        if open.owed() > 0 {
            while open.owed() > 0 {
                let Some(pair) = rows.next() else { break };
                let (before, after) =
                    pair.map_err(|error| undecodable(&error, &rows_of(mapped), &at.to_string()))?;
                if done == 0 {
                    open.fingerprint.enter(event.operation, &mapped.map.id);
                }
                open.fingerprint.row(before.as_ref(), after.as_ref());
                open.rows = open.rows.saturating_add(1);
                done = done.saturating_add(1);
                if self.marks.emits.transactions && mapped.schema.is_some() {
                    open.count(&mapped.map.id);
                }
            }
            if open.owed() == 0 {
                open.verify()?;
            }
        }
        if mapped.passed_over {
            let unseen = pass_over(open, rows, done == 0, event.operation, &mapped.map.id);
            let passed = unseen.map_err(|error| undecodable(&error, &rows_of(mapped), &at.to_string()))?;
            let id = mapped.map.id.clone();
            self.tables.passed(&id, passed);
            if event.ends_statement {
                self.tables.end_statement();
            }
            return Ok(Fed::Quiet);
        }
        let left = rows.next().is_some();
        if !Arc::ptr_eq(&self.meta.transaction, &open.id) {
            self.meta.transaction = Arc::clone(&open.id);
            self.meta.gtid.clone_from(&open.gtid_text);
            self.meta.ts_us = open.ts_us;
        }
        self.meta.file = at.file;
        self.meta.pos = at.pos;
        self.meta.server_id = header.server_id;
        self.meta.late = self.main.is_some();
        if left {
            self.pending = Some(Pending {
                done,
                ends_statement: event.ends_statement,
            });
            return Ok(Fed::Rows);
        }
        if event.ends_statement {
            self.tables.end_statement();
        }
        Ok(Fed::Quiet)
    }

    /// Hands on the rows that wait in the event that [`Fed::Rows`] was returned for.
    ///
    /// # Errors
    /// What `f` returned, or a row that cannot be read. The rows that `f` took before are not handed on again.
    pub fn rows(
        &mut self,
        header: &Header,
        body: &[u8],
        mut f: impl FnMut(ChangeEvent<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(pending) = &mut self.pending else {
            return Ok(());
        };
        let meta = &self.meta;
        let at = At {
            file: Arc::clone(&meta.file),
            pos: meta.pos,
        };
        let event = RowsEvent::parse(header.kind, body)
            .map_err(|error| undecodable(&error, "a rows event", &at.to_string()))?;
        let (Some(mapped), Some(open)) = (self.tables.get(event.table_id), self.tracker.open_mut()) else {
            return Err(unmapped(event.table_id, &at));
        };
        let unreadable = |error: DecodeError| undecodable(&error, &rows_of(mapped), &at.to_string());
        let mut passed = 0u64;
        let mut entered = false;
        for pair in Images::of(&event, mapped).map_err(unreadable)? {
            let (before, after) = pair.map_err(unreadable)?;
            passed = passed.saturating_add(1);
            if passed <= pending.done {
                continue;
            }
            // A table that is read alone comes later than its transactions were told of.
            let counted = self.marks.emits.transactions && mapped.schema.is_some() && self.main.is_none();
            if counted && open.captured.is_empty() {
                f(ChangeEvent::Mark(Mark::Begin { meta }))?;
            }
            f(match &mapped.schema {
                Some(schema) => ChangeEvent::Row(RowChange {
                    operation: event.operation,
                    schema,
                    before,
                    after,
                    meta,
                    row: open.rows,
                }),
                None => ChangeEvent::Filtered {
                    operation: event.operation,
                },
            })?;
            // Not before: a row that `f` did not take leaves no trace.
            if !entered {
                open.fingerprint.enter(event.operation, &mapped.map.id);
                entered = true;
            }
            open.fingerprint.row(before.as_ref(), after.as_ref());
            open.rows = open.rows.saturating_add(1);
            if counted {
                open.count(&mapped.map.id);
            }
            pending.done = passed;
        }
        if pending.ends_statement {
            self.tables.end_statement();
        }
        self.pending = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

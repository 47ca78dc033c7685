//! Where transactions begin and end, and the exact position between any two rows. Pure.
//!
//! The half of I7 that needs no network: events go in with their meaning, out comes what to do with them. After
//! a cut the open transaction is expected again from its start; its first rows are passed over as they were
//! handed on before, and have to show the same fingerprint. The rules of what may move a position:
//! a GTID counts from its commit on, never earlier; heartbeats, made-up events and table maps move nothing.

mod open;
mod statement;

use std::sync::Arc;

use crate::position::{FilePosition, Flavour, Gtid, GtidSet, OpenTransaction, Position};
use crate::retry::Failure;
use crate::source::decode::query::Definition;
use crate::source::decode::{GtidHead, Header, Meaning, kind};
use crate::source::fingerprint::Fingerprint;
use crate::source::{failover, lost};
pub use open::Open;
use open::{Follow, Place, changed};

/// Offset of a file's first event.
pub const FILE_START: u64 = 4;

const MICROS: u64 = 1_000_000;

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    Quiet,
    /// A transaction ended, or the position moved to another file.
    Boundary,
    /// The server is idle.
    Heartbeat,
    /// A new file, or the first one of a stream: its table maps start from nothing.
    NewFile,
    /// Read the table map.
    TableMap,
    /// Read the rows.
    Rows,
    /// Definitions changed; `boundary` says whether a transaction ended with it.
    Definition {
        /// How.
        definition: Definition,
        /// Whether the statement was a transaction of its own.
        boundary: bool,
    },
}

/// Counted decisions to leave something out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Transactions that had been read already.
    pub repeated: u64,
    /// Transactions before the start time.
    pub before_start: u64,
    /// Rows events outside of any transaction.
    pub stray: u64,
}

/// Follows the stream from event to event.
#[derive(Clone, Debug)]
pub struct Tracker {
    flavour: Flavour,
    gtid_set: Option<GtidSet>,
    /// The first PREVIOUS_GTIDS of the stream says what an `earliest` start leaves behind.
    adopt_previous: bool,
    /// Whether the stream's first PREVIOUS_GTIDS is still to come.
    first_previous: bool,
    /// What the oldest file of a server that purged too much follows on, or what a stream left out.
    follows_on: Option<GtidSet>,
    not_before: Option<u64>,
    file: Arc<str>,
    /// End of the last event that is in a file.
    pos: u64,
    /// Start of the last event that is in a file.
    event_start: u64,
    /// End of what needs no second reading.
    boundary: Place,
    open: Option<Open>,
    /// A transaction with counted rows that has ended, until it is asked for.
    ended: Option<Open>,
    cut: Option<OpenTransaction>,
    last_commit_us: Option<u64>,
    left_out: LeftOut,
}

impl Tracker {
    /// Starts at `position`; without a GTID set there, file positions alone count.
    ///
    /// `adopt_previous`: what the first file calls previous counts as read. `not_before`: microseconds since
    /// 1970; transactions before the first one at or after it are left out.
    pub fn new(flavour: Flavour, position: Position, adopt_previous: bool, not_before: Option<u64>) -> Self {
        let boundary = Place {
            file: position.file.file.as_str().into(),
            pos: position.file.pos,
        };
        Self {
            flavour,
            gtid_set: position.gtid_set,
            adopt_previous,
            first_previous: true,
            follows_on: None,
            not_before,
            file: Arc::clone(&boundary.file),
            pos: boundary.pos,
            event_start: boundary.pos,
            boundary,
            open: None,
            ended: None,
            cut: position.open,
            last_commit_us: None,
            left_out: LeftOut::default(),
        }
    }

    /// The point behind the last row that was counted.
    pub fn position(&self) -> Position {
        let open = match &self.open {
            Some(open) if open.follow == Follow::Yes => open.state().or_else(|| self.cut.clone()),
            Some(_) | None => self.cut.clone(),
        };
        let place = match &self.open {
            Some(transaction) if open.is_some() && transaction.follow == Follow::Yes => &transaction.start,
            Some(_) | None => &self.boundary,
        };
        Position {
            gtid_set: self.gtid_set.clone(),
            file: FilePosition {
                file: place.file.to_string(),
                pos: place.pos,
            },
            open,
            parked: Vec::new(),
        }
    }

    /// Where the next event of a new stream has to come from: the stream was cut.
    pub fn cut(&mut self) -> Position {
        let position = self.position();
        self.abandon();
        self.first_previous = true;
        self.boundary = Place {
            file: position.file.file.as_str().into(),
            pos: position.file.pos,
        };
        self.file = Arc::clone(&self.boundary.file);
        self.pos = self.boundary.pos;
        self.event_start = self.boundary.pos;
        position
    }

    /// The files are another binlog instance's now: the next event comes from one of them, and `place` is the first of
    /// all places there. To be told after a cut.
    pub fn relocate(&mut self, place: &FilePosition) {
        self.boundary = Place {
            file: place.file.as_str().into(),
            pos: place.pos,
        };
        self.file = Arc::clone(&self.boundary.file);
        self.pos = place.pos;
        self.event_start = place.pos;
    }

    /// Whose binlog it is.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Whether no transaction is open, nor one that was cut.
    pub fn is_at_boundary(&self) -> bool {
        self.open.is_none() && self.cut.is_none()
    }

    /// The transaction being read, if its rows count.
    pub fn open(&self) -> Option<&Open> {
        self.open.as_ref()
    }

    /// The transaction being read, to count rows in.
    pub fn open_mut(&mut self) -> Option<&mut Open> {
        self.open.as_mut()
    }

    /// The transaction that has just ended, if rows of it were counted.
    pub fn take_ended(&mut self) -> Option<Open> {
        self.ended.take()
    }

    /// The file being read, and the start of the last event in it.
    pub fn event_at(&self) -> (&Arc<str>, u64) {
        (&self.file, self.event_start)
    }

    /// Every transaction that was read, where the source has GTIDs.
    pub fn gtid_set(&self) -> Option<&GtidSet> {
        self.gtid_set.as_ref()
    }

    /// End of the last event that was read.
    pub fn read_to(&self) -> (&str, u64) {
        (&self.file, self.pos)
    }

    /// Transactions that the stream did not bring and that were not read before, as far as it shows: its server has
    /// purged them, or leaves them out.
    pub fn follows_on(&self) -> Option<&GtidSet> {
        self.follows_on.as_ref()
    }

    /// Commit time of the last transaction that ended, microseconds since 1970.
    pub fn last_commit_us(&self) -> Option<u64> {
        self.last_commit_us
    }

    /// What was left out so far.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Whether the start time was not reached yet.
    pub fn before_start(&self) -> bool {
        self.not_before.is_some()
    }

    fn here(&self, pos: u64) -> Place {
        Place {
            file: Arc::clone(&self.file),
            pos,
        }
    }

    /// Moves to the end of an event. The header has 32 bits for it, files can be longer.
    fn advance(&mut self, header: &Header) {
        if header.log_pos == 0 {
            return;
        }
        let wrap = 1u64 << 32;
        let low = u64::from(header.log_pos);
        let next = self.pos.saturating_add(u64::from(header.size));
        let end = if next % wrap == low {
            next
        } else {
            let near = self.pos / wrap * wrap + low;
            let first_event = matches!(
                header.kind,
                kind::FORMAT_DESCRIPTION | kind::PREVIOUS_GTIDS | kind::MARIADB_GTID_LIST
            );
            if near >= self.pos {
                near
            } else if first_event {
                // The file's first events are repeated in front of a start in its middle.
                return;
            } else {
                near + wrap
            }
        };
        self.event_start = end.saturating_sub(u64::from(header.size));
        self.pos = end;
    }

    /// Gives up the open transaction; its rows are expected again.
    fn abandon(&mut self) {
        if let Some(open) = self.open.take()
            && open.follow == Follow::Yes
            && let Some(state) = open.state()
        {
            self.cut = Some(state);
        }
    }

    /// Takes the next event.
    ///
    /// `touches` says whether a database can have captured tables.
    ///
    /// # Errors
    /// Whatever makes it uncertain which rows were committed.
    pub fn observe(
        &mut self,
        header: &Header,
        meaning: &Meaning<'_>,
        touches: impl Fn(&str) -> bool,
    ) -> Result<Act, Failure> {
        if !matches!(meaning, Meaning::Heartbeat | Meaning::Rotate { .. }) {
            self.advance(header);
        }
        let act = match meaning {
            Meaning::Heartbeat => return Ok(Act::Heartbeat),
            Meaning::FormatDescription => {
                self.abandon();
                Act::NewFile
            }
            Meaning::Rotate {
                file,
                pos,
                artificial,
            } => return Ok(self.rotate(file, *pos, *artificial)),
            Meaning::PreviousGtids(set) => self.previous(set.as_ref())?,
            Meaning::Gtid(head) => self.gtid(header, head)?,
            Meaning::Anonymous(head) => self.anonymous(header, head)?,
            Meaning::MariaGtid {
                domain,
                sequence,
                standalone,
                prepared,
                in_phases: _,
            } => {
                let text = format!("{domain}-{}-{sequence}", header.server_id);
                let ts_us = u64::from(header.timestamp).saturating_mul(MICROS);
                // This event stands for the BEGIN of every transaction that is more than one statement.
                self.begin(None, Some(text.into()), ts_us, !standalone)?;
                self.open.iter_mut().for_each(|open| open.xa = *prepared);
                Act::Quiet
            }
            Meaning::Query { db, query, text } => self.query(header, db, *query, text, touches)?,
            Meaning::Commit => self.commit()?,
            Meaning::TableMap => self.followed(Act::TableMap, header)?,
            Meaning::Rows => self.followed(Act::Rows, header)?,
            Meaning::Ignored => Act::Quiet,
        };
        if self.open.is_none() && self.cut.is_none() && header.log_pos != 0 {
            self.boundary = self.here(self.pos);
        }
        Ok(act)
    }

    fn rotate(&mut self, file: &[u8], pos: u64, artificial: bool) -> Act {
        let name = String::from_utf8_lossy(file);
        self.abandon();
        let same = *name == *self.file;
        if artificial && same {
            return Act::Quiet;
        }
        self.file = name.as_ref().into();
        self.pos = pos.max(FILE_START);
        self.event_start = self.pos;
        if self.cut.is_none() {
            // At once: some servers never leave the end of a file that a dump was started at.
            self.boundary = self.here(self.pos);
        }
        Act::Boundary
    }

    fn previous(&mut self, previous: Option<&GtidSet>) -> Result<Act, Failure> {
        let first = std::mem::take(&mut self.first_previous);
        let (Some(mine), Some(previous)) = (&mut self.gtid_set, previous) else {
            return Ok(Act::Quiet);
        };
        if !first || mine.contains_set(previous) {
            return Ok(Act::Quiet);
        }
        if std::mem::take(&mut self.adopt_previous) {
            for (uuid, first, last) in previous.iter() {
                mine.insert_range(uuid, first, last);
            }
            return Ok(Act::Quiet);
        }
        let failure = lost::purged(mine, previous);
        self.follows_on = Some(previous.clone());
        Err(failure)
    }

    fn gtid(&mut self, header: &Header, head: &GtidHead) -> Result<Act, Failure> {
        let gtid = Gtid {
            uuid: head.uuid,
            gno: head.gno,
        };
        let text: Arc<str> = gtid.to_string().into();
        if self.flavour == Flavour::OceanBase
            && let Some(set) = self.gtid_set.as_ref().filter(|set| !set.is_empty())
        {
            // One uuid, and numbers without a gap: there, a server that lacks something says nothing.
            let Some(last) = set.last_gno(head.uuid) else {
                return Err(failover::unknown_source(&text, set));
            };
            let mut missing = GtidSet::default();
            if missing.insert_range(head.uuid, last.saturating_add(1), head.gno.saturating_sub(1)) {
                let failure = lost::left_out(&text, set, &missing);
                self.follows_on = Some(missing);
                return Err(failure);
            }
        }
        let ts_us = self.commit_time(header, head);
        self.begin(Some(gtid), Some(text), ts_us, false)?;
        Ok(Act::Quiet)
    }

    fn anonymous(&mut self, header: &Header, head: &GtidHead) -> Result<Act, Failure> {
        if self.gtid_set.is_some() {
            return Err(Failure::halt(
                "anonymous_transaction",
                format!(
                    "a transaction without a GTID begins at {}:{}",
                    self.file, self.event_start
                ),
                "set gtid_mode=ON on the server, or start from a file position (START_POSITION=file:…)",
            ));
        }
        let ts_us = self.commit_time(header, head);
        self.begin(None, None, ts_us, false)?;
        Ok(Act::Quiet)
    }

    fn commit_time(&self, header: &Header, head: &GtidHead) -> u64 {
        let (seconds, micros) = head.clock;
        let of_clock = (self.flavour == Flavour::OceanBase && seconds > 0 && micros < MICROS)
            .then(|| seconds.saturating_mul(MICROS).saturating_add(micros));
        head.commit_us
            .or(of_clock)
            .unwrap_or_else(|| u64::from(header.timestamp).saturating_mul(MICROS))
    }

    fn begin(
        &mut self,
        gtid: Option<Gtid>,
        gtid_text: Option<Arc<str>>,
        ts_us: u64,
        begun: bool,
    ) -> Result<(), Failure> {
        // A restarted OceanBase instance sends the transaction again that it was in the middle of.
        self.abandon();
        let id = match (&gtid, &gtid_text) {
            (Some(_), Some(text)) => Arc::clone(text),
            (Some(_) | None, _) => format!("{}:{}", self.file, self.event_start).into(),
        };
        let repeated = gtid.is_some_and(|gtid| self.gtid_set.as_ref().is_some_and(|set| set.contains(gtid)));
        let follow = if repeated {
            self.left_out.repeated = self.left_out.repeated.saturating_add(1);
            Follow::Repeated
        } else if self.not_before.is_some_and(|start| ts_us < start) {
            self.left_out.before_start = self.left_out.before_start.saturating_add(1);
            Follow::TooEarly
        } else {
            self.not_before = None;
            Follow::Yes
        };
        let before_cut = match &self.cut {
            Some(cut) if follow == Follow::Yes => {
                if *cut.id != *id {
                    return Err(changed(format!(
                        "transaction {} was read up to row {} and then cut; the server goes on with {id}",
                        cut.id, cut.rows
                    )));
                }
                Some((cut.rows, cut.fingerprint))
            }
            Some(_) | None => None,
        };
        self.open = Some(Open {
            id,
            gtid_text,
            ts_us,
            rows: 0,
            fingerprint: Fingerprint::default(),
            captured: Vec::new(),
            definitions: 0,
            gtid,
            start: self.here(self.event_start),
            begun,
            xa: false,
            follow,
            before_cut,
        });
        Ok(())
    }

    fn commit(&mut self) -> Result<Act, Failure> {
        let Some(open) = self.open.take() else {
            // The end of a transaction that was not begun here, see `followed`.
            return Ok(Act::Quiet);
        };
        let owed = open.owed();
        if owed > 0 {
            return Err(changed(format!(
                "transaction {} ended {owed} rows before the row that was reached before the reconnect",
                open.id
            )));
        }
        if open.follow == Follow::Repeated {
            return Ok(Act::Quiet);
        }
        if let (Some(set), Some(gtid)) = (&mut self.gtid_set, open.gtid) {
            set.insert(gtid);
        }
        if open.follow == Follow::TooEarly {
            return Ok(Act::Quiet);
        }
        self.cut = None;
        self.last_commit_us = Some(open.ts_us);
        if !open.captured.is_empty() {
            self.ended = Some(open);
        }
        Ok(Act::Boundary)
    }
}

#[cfg(test)]
mod tests;

//! The feed's part in parking tables: what is passed over, and the way back to it and on from there.
//!
//! While a parked table is read alone, the tracker follows that reading, and `main` keeps the place where all others are.

use std::cmp::Ordering;

use super::{Feed, Images};
use crate::change::{Operation, TableId};
use crate::position::Position;
use crate::retry::{Failure, Reason};
use crate::source::parked::{Parking, Wish};
use crate::source::rows::DecodeError;
use crate::source::schema::TableDefinition;
use crate::source::transaction::{Open, Tracker};

/// Passes over the rest of an event's rows: they count, and are part of the fingerprint, as all others.
pub(super) fn pass_over(
    open: &mut Open,
    mut rows: Images<'_, '_>,
    is_first: bool,
    operation: Operation,
    id: &TableId,
) -> Result<u64, DecodeError> {
    let mut passed = 0u64;
    let mut unseen = rows.next();
    if is_first && unseen.is_some() {
        open.fingerprint.enter(operation, id);
    }
    while let Some(pair) = unseen {
        let (before, after) = pair?;
        open.fingerprint.row(before.as_ref(), after.as_ref());
        open.rows = open.rows.saturating_add(1);
        passed = passed.saturating_add(1);
        unseen = rows.next();
    }
    Ok(passed)
}

impl Feed {
    /// The point behind everything handed on.
    pub fn position(&self) -> Position {
        let here = self.tracker.position();
        let parking = self.tables.parking();
        match &self.main {
            None => {
                let parked = parking.named(&here, None);
                Position { parked, ..here }
            }
            Some(main) => {
                let main = main.position();
                let parked = parking.named(&main, Some(&here));
                Position { parked, ..main }
            }
        }
    }

    /// Parks the table that a definition is wanted for. `None` if none is, or the failure concerns more than a table.
    pub fn park(&mut self, failure: &Failure) -> Option<TableId> {
        if !Parking::takes(failure) {
            return None;
        }
        self.tables.park(self.tracker.position(), failure.reason.clone())
    }

    /// Whether a parked table is read alone.
    pub fn is_alone(&self) -> bool {
        self.main.is_some()
    }

    /// The parked table that reading can turn back to now.
    pub fn hope(&self) -> Option<&TableId> {
        let at_rest = self.main.is_none() && self.pending.is_none() && !self.has_marks();
        let hope = self.tables.parking().hope().filter(|_| at_rest)?;
        self.tracker.is_at_boundary().then_some(hope)
    }

    /// Reads a parked table alone from its first row on. Returns where that is.
    pub fn turn_back(&mut self, id: &TableId) -> Option<Position> {
        let since = self.tables.parking_mut().begin(id)?;
        let tracker = Tracker::new(self.tracker.flavour(), since.clone(), false, None);
        let main = std::mem::replace(&mut self.tracker, tracker);
        self.tables.turn_back(&main.position());
        self.main = Some(main);
        Some(since)
    }

    /// Whether the table that is read alone has come to where all others are.
    pub(super) fn has_returned(&self) -> bool {
        self.main.as_ref().is_some_and(|main| {
            self.tracker.is_at_boundary()
                && self
                    .tracker
                    .position()
                    .order(&main.position())
                    .is_some_and(Ordering::is_ge)
        })
    }

    /// Reads all tables again, from where they are: returns where that is. `again`: the table that was read alone is
    /// still parked.
    pub fn go_on(&mut self, again: bool) -> Position {
        self.tables.parking_mut().end(again);
        if let Some(main) = self.main.take() {
            self.tracker = main;
        }
        self.cut()
    }

    /// The parked table that is read alone cannot be read for now: reads all others again.
    pub fn give_up(&mut self, reason: &Reason) -> Position {
        self.tables.parking_mut().reached(self.tracker.position());
        self.tables.parking_mut().blame_alone(reason.clone());
        self.go_on(true)
    }

    /// Does what a person wants done with a parked table. At a boundary.
    ///
    /// # Errors
    /// A sentence on why it is not done.
    pub fn obey(&mut self, table: &TableId, wish: &Wish) -> Result<String, String> {
        match wish {
            Wish::Resume(statement) => {
                let described = statement
                    .as_deref()
                    .map(|text| self.tables.described(table, text));
                self.tables.parking_mut().resume(table, described.transpose()?)
            }
            Wish::Skip => {
                let here = self.position();
                self.tables.new_file();
                self.tables.parking_mut().skip(table, &here)
            }
        }
    }

    /// What the server says of a parked table now.
    pub fn consider(&mut self, id: &TableId, definition: Option<&TableDefinition>) {
        self.tables.parking_mut().consider(id, definition);
    }
}

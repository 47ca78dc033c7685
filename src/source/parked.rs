//! Parked tables: whose rows are passed over, and when reading turns back to them. Pure.
//!
//! A table whose rows no known definition fits is parked: its rows are passed over from the first one on, and all other
//! tables flow. The position says so ([`Position::parked`]), so nothing of it is lost. Once there is hope, a server
//! that answers otherwise or a person's word, reading turns back to that row and hands on the rows of this table
//! alone, up to the place that was reached; then it goes on from there with all tables.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::change::TableId;
use crate::position::{FilePosition, Parked, Position};
use crate::retry::{Failure, Reason};
use crate::source::rows::TableMap;
use crate::source::schema::{TableDefinition, build};

/// The code under which a parked table is shown.
pub const TABLE_PARKED: &str = "table_parked";

/// What a person wants to be done with a parked table.
#[derive(Debug)]
pub struct Order {
    /// The table.
    pub table: TableId,
    /// What.
    pub wish: Wish,
    /// Where the answer goes: a sentence on what is done, or on why nothing is.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// See [`Order`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Read its rows, with this CREATE TABLE statement where the server does not know what they were.
    Resume(Option<String>),
    /// Never read the rows that were passed over.
    Skip,
}

/// What is shown of a parked table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The table.
    pub table: TableId,
    /// Why its rows are not read.
    pub reason: Reason,
    /// The place in front of its first row that was not handed on.
    pub since: String,
    /// Rows passed over, in this run.
    pub rows: u64,
}

#[derive(Debug)]
struct Lot {
    since: Position,
    reason: Reason,
    /// What a definition has to fit; unknown after a restart.
    map: Option<TableMap>,
    rows: u64,
}

/// The parked tables.
#[derive(Debug, Default)]
pub struct Parking {
    lots: BTreeMap<TableId, Lot>,
    /// Tables that are worth another try.
    hopes: BTreeSet<TableId>,
    /// The table that is being read alone.
    alone: Option<TableId>,
    /// What a person said that the table was.
    supplied: Option<(TableId, Arc<TableDefinition>)>,
}

impl Parking {
    /// The tables that a position names. Each is worth a try: what stood in the way may be gone.
    pub fn new(parked: &[Parked]) -> Self {
        let reason = Reason {
            code: TABLE_PARKED,
            message: String::from("it was parked in an earlier run"),
        };
        let lot = |parked: &Parked| Lot {
            since: parked.since.clone(),
            reason: reason.clone(),
            map: None,
            rows: 0,
        };
        Self {
            lots: parked.iter().map(|p| (p.table.clone(), lot(p))).collect(),
            hopes: parked.iter().map(|p| p.table.clone()).collect(),
            ..Self::default()
        }
    }

    /// Whether a failure concerns one table alone, so that the others can flow.
    pub fn takes(failure: &Failure) -> bool {
        matches!(failure.reason.code, "schema_contradiction" | "schema_unknown")
    }

    /// Whether rows of this table are none of the present reading's business.
    pub fn passes_over(&self, id: &TableId) -> bool {
        match &self.alone {
            Some(alone) => alone != id,
            None => self.lots.contains_key(id),
        }
    }

    /// The table that is read alone, if one is.
    pub fn alone(&self) -> Option<&TableId> {
        self.alone.as_ref()
    }

    /// Rows were passed over.
    pub fn passed(&mut self, id: &TableId, rows: u64) {
        if self.alone.is_none()
            && let Some(lot) = self.lots.get_mut(id)
        {
            lot.rows = lot.rows.saturating_add(rows);
        }
    }

    /// Parks the table that `map` is of: its rows behind `since` are passed over.
    pub fn park(&mut self, map: TableMap, since: Position, reason: Reason) {
        self.hopes.remove(&map.id);
        let rows = self.lots.get(&map.id).map_or(0, |lot| lot.rows);
        let id = map.id.clone();
        let map = Some(map);
        self.lots.insert(
            id,
            Lot {
                since,
                reason,
                map,
                rows,
            },
        );
    }

    /// What keeps the table that is read alone from being read on.
    pub fn blame_alone(&mut self, reason: Reason) {
        if let Some(lot) = self.alone.as_ref().and_then(|id| self.lots.get_mut(id)) {
            lot.reason = reason;
        }
    }

    /// The next table that is worth a try.
    pub fn hope(&self) -> Option<&TableId> {
        self.hopes.first()
    }

    /// Reads one table alone from now on. Returns from where.
    pub fn begin(&mut self, id: &TableId) -> Option<Position> {
        self.hopes.remove(id);
        let since = self.lots.get(id)?.since.clone();
        self.alone = Some(id.clone());
        Some(since)
    }

    /// The table that is read alone was handed on up to here: from here it is read another time.
    pub fn reached(&mut self, here: Position) {
        if let Some(lot) = self.alone.as_ref().and_then(|id| self.lots.get_mut(id)) {
            lot.since = here;
        }
    }

    /// The table that is read alone has to wait, and is worth another try.
    pub fn interrupt(&mut self) {
        self.hopes.extend(self.alone.take());
    }

    /// Reads all tables from now on. The one that was read alone is parked no more, unless it was parked again
    /// meanwhile (`again`).
    pub fn end(&mut self, again: bool) {
        self.supplied = None;
        if let Some(id) = self.alone.take()
            && !again
        {
            self.lots.remove(&id);
        }
    }

    /// What the position has to name, when reading has come to `main`, and to `alone` with the table that is read
    /// alone.
    pub fn named(&self, main: &Position, alone: Option<&Position>) -> Vec<Parked> {
        let lots = self.lots.iter().map(|(table, lot)| Parked {
            table: table.clone(),
            since: match (alone, &self.alone) {
                (Some(position), Some(id)) if id == table => position.clone(),
                _ => lot.since.clone(),
            },
        });
        // Nothing was passed over there yet.
        lots.filter(|parked| parked.since != *main).collect()
    }

    /// The parked table after `last`, by name, that the server may be asked about; the first one after the last.
    pub fn after(&self, last: Option<&TableId>) -> Option<&TableId> {
        let known = |(_, lot): &(&TableId, &Lot)| lot.map.is_some();
        let behind = last.and_then(|last| {
            let mut rest = self.lots.range((Bound::Excluded(last), Bound::Unbounded));
            rest.find(known)
        });
        behind.or_else(|| self.lots.iter().find(known)).map(|(id, _)| id)
    }

    /// Looks whether what the server says now is what the rows are: then the table is worth a try.
    pub fn consider(&mut self, id: &TableId, definition: Option<&TableDefinition>) {
        let fits = self
            .lots
            .get(id)
            .and_then(|lot| build(definition?, lot.map.as_ref()?).ok());
        if fits.is_some() {
            self.hopes.insert(id.clone());
        }
    }

    /// What a person said that the table's rows are to be read with.
    pub fn supplied(&self, id: &TableId) -> Option<&Arc<TableDefinition>> {
        let (of, definition) = self.supplied.as_ref()?;
        (of == id && self.alone.as_ref() == Some(id)).then_some(definition)
    }

    /// Takes a person's word for what a table is.
    ///
    /// # Errors
    /// A sentence: it is not parked, or its rows are not so.
    pub fn resume(&mut self, id: &TableId, definition: Option<TableDefinition>) -> Result<String, String> {
        let Some(lot) = self.lots.get(id) else {
            return Err(format!("{id} is not parked"));
        };
        if let (Some(definition), Some(map)) = (&definition, &lot.map) {
            build(definition, map)
                .map_err(|misfit| format!("the rows of {id} are not so: {}", misfit.columns()))?;
        }
        if let Some(definition) = definition {
            self.supplied = Some((id.clone(), Arc::new(definition)));
        }
        self.hopes.insert(id.clone());
        Ok(format!("rows of {id} are read from {} on", lot.since))
    }

    /// Gives up the rows that were passed over.
    ///
    /// # Errors
    /// A sentence: it is not parked.
    pub fn skip(&mut self, id: &TableId, here: &Position) -> Result<String, String> {
        let Some(lot) = self.lots.remove(id) else {
            return Err(format!("{id} is not parked"));
        };
        self.hopes.remove(id);
        Ok(format!(
            "rows of {id} from {} to {} are not relayed",
            lot.since, here.file
        ))
    }

    /// Files are another binlog instance's now; `oldest` is the first place in them.
    pub fn relocate(&mut self, oldest: &FilePosition) {
        for lot in self.lots.values_mut() {
            lot.since.file = oldest.clone();
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lots.is_empty()
    }

    /// All of them, to be shown.
    pub fn shown(&self) -> Vec<Shown> {
        let show = |(table, lot): (&TableId, &Lot)| Shown {
            table: table.clone(),
            reason: lot.reason.clone(),
            since: lot.since.to_string(),
            rows: lot.rows,
        };
        self.lots.iter().map(show).collect()
    }
}

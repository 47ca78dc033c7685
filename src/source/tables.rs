//! Which table map and schema are in force. Pure. Owns the bookkeeping of I6.
//!
//! A rows event is read only with a table map of its own statement, and a map only with a schema that was
//! checked against it. Which definition a schema is made of is decided here, and always in the same order: what the
//! history says held at this place, then what the server says now, then what held before a statement that cannot
//! have changed a column's meaning. If none of them is what the table map describes, nothing is guessed.
//!
//! A schema stays the same `Arc` while nothing changed: whoever compiles it may cache by pointer.

mod leaps;
mod naming;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::change::{TableId, TableSchema};
use crate::config::TypePolicy;
use crate::config::filter::TableFilter;
use crate::position::{Flavour, Position};
use crate::retry::{Failure, Reason};
use crate::source::parked::Parking;
use crate::source::rows::{DecodeError, TableMap};
use crate::source::schema::derive::{self, Derived, Scene};
use crate::source::schema::history::{Found, History, Point, Touch, Version};
use crate::source::schema::{Misfit, TableDefinition, build, left_out};
pub use naming::Statement;
use naming::{created, database, is_namesake, may_name};

/// Most table maps kept between statements: they are only a short cut for tables that come again.
const MAX_MAPS: usize = 1024;

/// Table maps and schemas.
#[derive(Debug, Default)]
pub struct Tables {
    maps: HashMap<u64, Mapped>,
    schemas: BTreeMap<TableId, Known>,
    history: History,
    /// Ghost tables that were met and left out.
    ghosts: BTreeSet<TableId>,
    /// Whether what is read was read before: then the history is asked for every table map.
    replays: bool,
    /// Whether the history changed since it was last handed on.
    learnt: bool,
    statement: u64,
    wanted: Option<(Vec<u8>, TableMap)>,
    /// Whose statements these are.
    flavour: Option<Flavour>,
    /// The character set that each database gives to its new tables.
    charsets: BTreeMap<String, String>,
    types: TypePolicy,
    /// Tables that were said to be left out, as `db.table`.
    left_out: BTreeSet<String>,
    notice: Option<String>,
    parking: Parking,
}

/// A table map, and the schema that was checked against it.
#[derive(Debug)]
pub struct Mapped {
    /// The table map.
    pub map: TableMap,
    /// `None` for a table that is not captured, or is passed over.
    pub schema: Option<Arc<TableSchema>>,
    /// Whether its rows are none of this reading's business: see [`Parking`].
    pub passed_over: bool,
    body: Vec<u8>,
    statement: u64,
}

/// What the newest table map of a table was read with.
#[derive(Debug)]
struct Known {
    schema: Arc<TableSchema>,
    /// Whether the table map itself named the columns.
    named: bool,
}

/// What a table map needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: its rows can be read.
    Nothing,
    /// The table's definition from the server, see [`Tables::define`].
    Definition(TableId),
    /// Nothing; but that this ghost table is left out has to be said once.
    Mention(TableId),
}

/// A definition that may have been too new for the rows that were read with it: the server was asked after a
/// statement had been executed that came only later in the binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The table.
    pub id: TableId,
    /// From where on the definition was used; up to the statement.
    pub since: Position,
}

fn table_id(body: &[u8]) -> Option<u64> {
    let [a, b, c, d, e, f] = *body.first_chunk::<6>()?;
    Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

impl Tables {
    /// Tables of which something is known already, see [`History::begin`]; of those in `left_out` it is known that
    /// they cannot be relayed.
    pub fn new(history: History, types: TypePolicy, left_out: BTreeSet<String>) -> Self {
        Self {
            history,
            replays: true,
            types,
            left_out,
            ..Self::default()
        }
    }

    /// What there is to warn of since the last call: a table that is left out, once for each.
    pub fn notice(&mut self) -> Option<String> {
        self.notice.take()
    }

    /// Also derives definitions from statements, see [`mod@derive`].
    #[must_use]
    pub fn with_charsets(mut self, flavour: Flavour, charsets: BTreeMap<String, String>) -> Self {
        self.flavour = Some(flavour);
        self.charsets = charsets;
        self
    }

    /// Tables that are parked already.
    #[must_use]
    pub fn with_parking(mut self, parking: Parking) -> Self {
        self.parking = parking;
        self
    }

    /// The parked tables.
    pub fn parking(&self) -> &Parking {
        &self.parking
    }

    /// The parked tables, to change.
    pub fn parking_mut(&mut self) -> &mut Parking {
        &mut self.parking
    }

    /// Rows of a table were passed over.
    pub fn passed(&mut self, id: &TableId, rows: u64) {
        self.parking.passed(id, rows);
    }

    /// Parks the table that a definition is wanted for; its rows behind `since` are passed over. Returns which.
    pub fn park(&mut self, since: Position, reason: Reason) -> Option<TableId> {
        let (body, map) = self.wanted.take()?;
        let id = map.id.clone();
        self.maps.retain(|_, mapped| mapped.map.id != id);
        self.parking.park(map.clone(), since, reason);
        self.pass_over(body, map);
        Some(id)
    }

    /// What lies before `read_to` is read again: there the history decides.
    pub fn turn_back(&mut self, read_to: &Position) {
        self.new_file();
        self.history.cover(read_to);
        self.replays = true;
    }

    /// A new file or stream: the ids of its tables start from nothing.
    pub fn new_file(&mut self) {
        self.maps.clear();
        self.wanted = None;
    }

    /// The statement's last rows event was read: the next one brings its own table maps.
    pub fn end_statement(&mut self) {
        self.statement = self.statement.wrapping_add(1);
    }

    /// Takes a table map that begins at `at`.
    ///
    /// # Errors
    /// Bytes that are no table map.
    pub fn map(&mut self, body: &[u8], filter: &TableFilter, at: Point<'_>) -> Result<Need, DecodeError> {
        if self.replays && !self.history.replays(at) {
            self.replays = false;
            self.maps.clear();
        }
        if let Some(known) = table_id(body).and_then(|id| self.maps.get_mut(&id))
            && known.body == body
            && (!self.replays || known.schema.is_none())
        {
            known.statement = self.statement;
            return Ok(Need::Nothing);
        }
        let map = TableMap::parse(body)?;
        if self.parking.passes_over(&map.id) {
            self.pass_over(body.to_vec(), map);
            return Ok(Need::Nothing);
        }
        if !filter.captures(&map.id.db, &map.id.table) {
            let id = map.id.clone();
            self.put(body.to_vec(), map, None);
            let ghost = filter.is_ghost(&id.db, &id.table) && self.met_ghost(&id);
            return Ok(if ghost { Need::Mention(id) } else { Need::Nothing });
        }
        let (found, learnt) = match (self.parking.supplied(&map.id), self.history.find(&map.id, at)) {
            // Only as far as it fits: behind the next change it is no longer what was meant.
            (Some(definition), _) if build(definition, &map).is_ok() => {
                (Some(Arc::clone(definition)), Some(0))
            }
            (_, Found::Held(definition)) => (Some(definition), None),
            (_, Found::Later(definition, read_at)) => (Some(definition), Some(read_at)),
            (_, Found::Nothing) => (None, None),
        };
        if let Some(definition) = found
            // The same table under a new id, or another width of it that the definition still covers.
            && let Ok(schema) = build(&definition, &map)
        {
            if let Some(read_at) = learnt {
                self.learn(&map.id, at, &definition, read_at);
            }
            self.accept(body.to_vec(), map, schema);
            return Ok(Need::Nothing);
        }
        let id = map.id.clone();
        self.wanted = Some((body.to_vec(), map));
        Ok(Need::Definition(id))
    }

    /// Whether this is the first time. Forgets them all when there are too many: to say it twice does no harm.
    fn met_ghost(&mut self, id: &TableId) -> bool {
        if self.ghosts.len() >= MAX_MAPS {
            self.ghosts.clear();
        }
        self.ghosts.insert(id.clone())
    }

    fn put(&mut self, body: Vec<u8>, map: TableMap, schema: Option<Arc<TableSchema>>) {
        let statement = self.statement;
        if self.maps.len() >= MAX_MAPS {
            self.maps.retain(|_, mapped| mapped.statement == statement);
        }
        self.maps.insert(
            map.table_id,
            Mapped {
                map,
                schema,
                passed_over: false,
                body,
                statement,
            },
        );
    }

    fn pass_over(&mut self, body: Vec<u8>, map: TableMap) {
        let id = map.table_id;
        self.put(body, map, None);
        if let Some(mapped) = self.maps.get_mut(&id) {
            mapped.passed_over = true;
        }
    }

    fn accept(&mut self, body: Vec<u8>, map: TableMap, schema: TableSchema) {
        let known = self.schemas.remove(&map.id).map(|known| known.schema);
        let known = Known {
            schema: match known {
                Some(known) if *known == schema => known,
                Some(_) | None => Arc::new(schema),
            },
            named: map.names.is_some(),
        };
        let schema = Arc::clone(&known.schema);
        self.schemas.insert(map.id.clone(), known);
        self.put(body, map, Some(schema));
    }

    /// Reads no rows of a table that cannot be relayed.
    fn leave_out(&mut self, body: Vec<u8>, map: TableMap, columns: &[String]) {
        if self.left_out.insert(map.id.to_string()) {
            self.notice = Some(left_out(&map.id, columns));
        }
        self.schemas.remove(&map.id);
        self.put(body, map, None);
    }

    fn learn(&mut self, id: &TableId, at: Point<'_>, definition: &Arc<TableDefinition>, read_at: u64) {
        self.history.learn(id, at, definition, read_at);
        self.learnt = true;
    }

    /// Answers [`Need::Definition`] with what the server said at `read_at`, seconds since 1970. `at` is where the
    /// table map is.
    ///
    /// # Errors
    /// If the table is gone, cannot be read, or is not what the table map describes.
    pub fn define(
        &mut self,
        definition: Option<TableDefinition>,
        read_at: u64,
        at: Point<'_>,
    ) -> Result<(), Failure> {
        let Some((body, map)) = self.wanted.take() else {
            return Ok(());
        };
        let place = format!("{}:{}", at.file, at.pos);
        let built = match &definition {
            Some(definition) => match build(definition, &map) {
                Err(Misfit::Unsupported(columns)) if self.types == TypePolicy::SkipTable => {
                    self.leave_out(body, map, &columns);
                    return Ok(());
                }
                built => built.map_err(|misfit| misfit.into_failure(&map.id, &place)),
            },
            None => Err(Failure::halt(
                "schema_unknown",
                format!(
                    "table {} has rows in the binlog at {place} but is not in information_schema: it was dropped or renamed, or the account may not read it",
                    map.id
                ),
                "grant SELECT on the table, or exclude it (DATABASE_TABLES), or restart from a position behind its last row",
            )),
        };
        match (built, definition) {
            (Ok(schema), Some(definition)) => {
                self.learn(&map.id, at, &Arc::new(definition), read_at);
                self.accept(body, map, schema);
                Ok(())
            }
            (built, _) => {
                self.wanted = Some((body, map));
                built.map(|_| ())
            }
        }
    }

    /// Answers [`Need::Definition`] when the server's answer does not: with the definition from before a statement
    /// that may have changed the table, if by its words it cannot have changed what a column means. Returns whether
    /// there was one.
    pub fn recall(&mut self, at: Point<'_>) -> bool {
        let Some((body, map)) = self.wanted.take() else {
            return false;
        };
        if let Some((definition, read_at)) = self.history.before_mark(&map.id, at)
            && let Ok(schema) = build(&definition, &map)
        {
            self.learn(&map.id, at, &definition, read_at);
            self.accept(body, map, schema);
            return true;
        }
        self.wanted = Some((body, map));
        false
    }

    /// A statement changed definitions: those of the tables that it may name no longer hold, unless its text says what
    /// they are now.
    ///
    /// A table's columns change only in a statement that names the table. Names are looked for anywhere in the
    /// text, so a table too many is read again at times, never one too few.
    pub fn changed(&mut self, statement: &Statement<'_>, filter: &TableFilter) -> Vec<Doubt> {
        let derived = self.derive(statement);
        let at = statement.ends;
        let text = statement.text.to_ascii_lowercase();
        let touch = Touch::of(&text);
        // A statement that is understood changes what it says, and CREATE TABLE what it creates, whatever it copies
        // from. Of any other only the names are looked at.
        let created = created(statement);
        let database = database(statement);
        let concerns = |id: &&TableId| match (&derived, &created, &database) {
            (Some((derived, _)), ..) => derived.keys().any(|changed| is_namesake(changed, id)),
            (None, Some(created), _) => is_namesake(created, id),
            (None, None, Some(db)) => id.db.eq_ignore_ascii_case(db),
            (None, None, None) => may_name(&text, &id.table),
        };
        let alone = self.parking.alone().cloned();
        let read = |id: &&TableId| alone.as_ref().is_none_or(|alone| alone == *id);
        let tables = self.history.tables().filter(read);
        let named: Vec<TableId> = tables.filter(concerns).cloned().collect();
        let mut doubts = Vec::new();
        for id in named {
            let Some(held) = self.forget(&id, at, touch) else {
                continue;
            };
            let by_name = self.schemas.get(&id).is_some_and(|known| known.named);
            let too_new = held.definition.is_some() && held.read_at >= statement.executed;
            if too_new && !by_name && !touch.keeps_meaning() {
                doubts.push(Doubt {
                    id,
                    since: held.since,
                });
            }
        }
        let (derived, read_at) = derived.unwrap_or_default();
        for (id, definition) in derived {
            if let Some(definition) = definition
                && filter.touches(&id.db)
                && alone.as_ref().is_none_or(|alone| *alone == id)
            {
                self.learn(&id, at, &Arc::new(definition), read_at);
                self.maps.clear();
            }
        }
        doubts
    }

    /// What a CREATE TABLE statement makes of a table.
    ///
    /// # Errors
    /// A sentence: it does not create the table, or is not understood wholly.
    pub fn described(&self, id: &TableId, text: &str) -> Result<TableDefinition, String> {
        let flavour = self.flavour.unwrap_or(Flavour::MySql);
        let scene = Scene {
            flavour,
            db: &id.db,
            before: &|_| None,
            database_charset: &|db| self.charsets.get(db).cloned(),
        };
        let derived = derive::derive(text.trim().trim_end_matches(';').as_bytes(), &scene);
        let mut derived = derived.ok_or_else(|| {
            String::from(
                "the statement is not understood wholly: write CREATE TABLE with plain columns, types, character sets and the primary key",
            )
        })?;
        let definition = derived.remove(id).flatten();
        definition.ok_or_else(|| format!("the statement does not create {id}"))
    }

    /// What the statement's text makes of its tables, and when the newest definition was read that it was applied to;
    /// `None` if it is not understood, or where the history decides.
    fn derive(&mut self, statement: &Statement<'_>) -> Option<(Derived, u64)> {
        let replays = self.history.replays(statement.ends) && self.parking.alone().is_none();
        let flavour = self.flavour.filter(|_| !replays && !statement.in_phases)?;
        if let Some(db) = database(statement) {
            // A statement may leave the name out, and mean the session's.
            self.charsets.remove(&db);
            self.charsets.remove(statement.db);
        }
        if let Some((db, charset)) = derive::database_charset(statement.text) {
            self.charsets.insert(db, charset);
        }
        let read_at = Cell::new(0);
        let scene = Scene {
            flavour,
            db: statement.db,
            // Of the place where it begins: met once more, it must not be applied to what it made. Nor may it be
            // applied to what the server said when it had done it.
            before: &|id| {
                let (held, when) = self.history.held(id, statement.begins)?;
                read_at.set(read_at.get().max(when));
                (when < statement.executed).then_some(held)
            },
            database_charset: &|db| self.charsets.get(db).cloned(),
        };
        let derived = derive::derive(statement.text, &scene)?;
        Some((derived, read_at.get()))
    }

    /// What is known of a table no longer holds from `at` on: its next table map is read with what the server says
    /// then. Returns what held before.
    pub fn forget(&mut self, id: &TableId, at: Point<'_>, touch: Touch) -> Option<Version> {
        let held = if self.parking.alone() == Some(id) {
            self.history.changed_anew(id, at, touch)?
        } else {
            self.history.changed(id, at, touch)?
        };
        self.learnt = true;
        // Their schemas no longer hold.
        self.maps.clear();
        Some(held)
    }

    /// The definition that rows of the table at `at` are read with.
    pub fn in_force(&self, id: &TableId, at: Point<'_>) -> Option<Arc<TableDefinition>> {
        match self.history.find(id, at) {
            Found::Held(definition) => Some(definition),
            Found::Later(..) | Found::Nothing => None,
        }
    }

    /// The table after `last`, by name, of those that rows were read of; the first one after the last.
    pub fn after(&self, last: Option<&TableId>) -> Option<&TableId> {
        let behind = last.and_then(|last| {
            let mut rest = self.schemas.range((Bound::Excluded(last), Bound::Unbounded));
            rest.next()
        });
        behind
            .or_else(|| self.schemas.first_key_value())
            .map(|(id, _)| id)
    }

    /// How many tables rows were read of.
    pub fn count(&self) -> usize {
        self.schemas.len()
    }

    /// The history if it has changed since it was last asked for, when everything up to `read_to` was read.
    pub fn learnt(&mut self, read_to: impl FnOnce() -> Position) -> Option<History> {
        std::mem::take(&mut self.learnt).then(|| self.history.snapshot(&read_to()))
    }

    /// The map that a rows event of this statement refers to.
    pub fn get(&self, table_id: u64) -> Option<&Mapped> {
        self.maps
            .get(&table_id)
            .filter(|mapped| mapped.statement == self.statement)
    }
}

/// How many more looks at the server a failure of [`Tables::define`] is worth, 50 ms apart.
///
/// A contradiction may be a look into the middle of a change. A table that is not there may be about to appear: the
/// rows of `CREATE TABLE … SELECT` are sent before the server has committed them, and the table with them.
pub fn looks_worth(failure: &Failure) -> u32 {
    match failure.reason.code {
        "schema_contradiction" => 1,
        "schema_unknown" => 20,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;

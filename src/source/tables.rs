//! Which table map and schema are in force. Pure. Owns the bookkeeping of I6.
//!
//! A rows event is read only with a table map of its own statement, and a map only with a schema that was
//! checked against it. A schema stays the same `Arc` while nothing changed: whoever compiles it may cache by
//! pointer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::change::{TableId, TableSchema};
use crate::config::TypePolicy;
use crate::config::filter::TableFilter;
use crate::retry::Failure;
use crate::source::rows::{DecodeError, TableMap};
use crate::source::schema::{Misfit, TableDefinition, build, left_out};

/// Most table maps kept between statements: they are only a short cut for tables that come again.
const MAX_MAPS: usize = 1024;

/// Table maps and schemas.
#[derive(Debug, Default)]
pub struct Tables {
    maps: HashMap<u64, Mapped>,
    schemas: HashMap<TableId, Known>,
    statement: u64,
    wanted: Option<(Vec<u8>, TableMap)>,
    types: TypePolicy,
    /// Tables that were said to be left out, as `db.table`.
    left_out: BTreeSet<String>,
    notice: Option<String>,
}

/// A table map, and the schema that was checked against it.
#[derive(Debug)]
pub struct Mapped {
    /// The table map.
    pub map: TableMap,
    /// `None` for a table that is not captured.
    pub schema: Option<Arc<TableSchema>>,
    body: Vec<u8>,
    statement: u64,
}

#[derive(Debug)]
struct Known {
    schema: Arc<TableSchema>,
    definition: TableDefinition,
    stale: bool,
}

/// What a table map needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: its rows can be read.
    Nothing,
    /// The table's definition from the server, see [`Tables::define`].
    Definition(TableId),
}

fn table_id(body: &[u8]) -> Option<u64> {
    let [a, b, c, d, e, f] = *body.first_chunk::<6>()?;
    Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

impl Tables {
    /// No tables yet; of those in `left_out` it is known that they cannot be relayed.
    pub fn new(types: TypePolicy, left_out: BTreeSet<String>) -> Self {
        Self {
            types,
            left_out,
            ..Self::default()
        }
    }

    /// What there is to warn of since the last call: a table that is left out, once for each.
    pub fn notice(&mut self) -> Option<String> {
        self.notice.take()
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

    /// Takes a table map.
    ///
    /// # Errors
    /// Bytes that are no table map.
    pub fn map(&mut self, body: &[u8], filter: &TableFilter) -> Result<Need, DecodeError> {
        if let Some(known) = table_id(body).and_then(|id| self.maps.get_mut(&id))
            && known.body == body
        {
            known.statement = self.statement;
            return Ok(Need::Nothing);
        }
        let map = TableMap::parse(body)?;
        if !filter.captures(&map.id.db, &map.id.table) {
            self.put(body.to_vec(), map, None);
            return Ok(Need::Nothing);
        }
        if let Some(known) = self.schemas.get_mut(&map.id).filter(|known| !known.stale)
            // The same table under a new id, or another width of it that the definition still covers.
            && let Ok(schema) = build(&known.definition, &map)
        {
            known.keep(schema);
            let schema = Arc::clone(&known.schema);
            self.put(body.to_vec(), map, Some(schema));
            return Ok(Need::Nothing);
        }
        let id = map.id.clone();
        self.wanted = Some((body.to_vec(), map));
        Ok(Need::Definition(id))
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
                body,
                statement,
            },
        );
    }

    /// Answers [`Need::Definition`]. `place` is where the table map is, for the failure's text.
    ///
    /// # Errors
    /// If the table is gone, cannot be read, or is not what the table map describes.
    pub fn define(&mut self, definition: Option<TableDefinition>, place: &str) -> Result<(), Failure> {
        let Some((body, map)) = self.wanted.take() else {
            return Ok(());
        };
        let Some(definition) = definition else {
            return Err(Failure::halt(
                "schema_unknown",
                format!(
                    "table {} has rows in the binlog at {place} but is not in information_schema: it was dropped or renamed, or the account may not read it",
                    map.id
                ),
                "grant SELECT on the table, or exclude it (DATABASE_TABLES), or restart from a position behind its last row",
            ));
        };
        let schema = match build(&definition, &map) {
            Ok(schema) => schema,
            Err(Misfit::Unsupported(columns)) if self.types == TypePolicy::SkipTable => {
                if self.left_out.insert(map.id.to_string()) {
                    self.notice = Some(left_out(&map.id, &columns));
                }
                self.schemas.remove(&map.id);
                self.put(body, map, None);
                return Ok(());
            }
            Err(misfit) => {
                let failure = misfit.into_failure(&map.id, place);
                self.wanted = Some((body, map));
                return Err(failure);
            }
        };
        let known = match self.schemas.remove(&map.id) {
            Some(mut known) => {
                known.keep(schema);
                known.definition = definition;
                known.stale = false;
                known
            }
            None => Known {
                schema: Arc::new(schema),
                definition,
                stale: false,
            },
        };
        let schema = Arc::clone(&known.schema);
        self.schemas.insert(map.id.clone(), known);
        self.put(body, map, Some(schema));
        Ok(())
    }

    /// A statement changed definitions: the schemas of the tables that it may name are read again.
    ///
    /// A table's columns change only in a statement that names the table. Names are looked for anywhere in the
    /// text, so a table too many is read again at times, never one too few.
    pub fn changed(&mut self, text: &[u8]) {
        let text = text.to_ascii_lowercase();
        let mut any = false;
        for (id, known) in &mut self.schemas {
            if !known.stale && may_name(&text, &id.table) {
                known.stale = true;
                any = true;
            }
        }
        if any {
            // Their maps hold the old schema.
            self.maps.clear();
        }
    }

    /// The map that a rows event of this statement refers to.
    pub fn get(&self, table_id: u64) -> Option<&Mapped> {
        self.maps
            .get(&table_id)
            .filter(|mapped| mapped.statement == self.statement)
    }
}

impl Known {
    fn keep(&mut self, schema: TableSchema) {
        if *self.schema != schema {
            self.schema = Arc::new(schema);
        }
    }
}

/// Whether a lower-case statement may name the table.
fn may_name(text: &[u8], table: &str) -> bool {
    // Such names have several spellings: escaped quotes, case beyond ASCII, other character sets.
    if !table.is_ascii() || table.contains('`') || table.contains('"') {
        return true;
    }
    let name = table.to_ascii_lowercase();
    text.windows(name.len().max(1))
        .any(|window| window == name.as_bytes())
}

/// Whether a failure of [`Tables::define`] is worth a second look at the server.
pub fn may_have_raced(failure: &Failure) -> bool {
    failure.reason.code == "schema_contradiction"
}

#[cfg(test)]
mod tests;

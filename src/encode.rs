//! Row changes to records: envelope, column rules, partition key, identity.
//!
//! Owns I8: every event pushed becomes exactly one record with a stable id, or one counted filter decision.
//! An event that cannot be encoded leaves nothing behind and is an error, never a gap. Pure: the wall clock is
//! an argument. It does not batch and does not know shards; it only says which hash key a record has.
//!
//! **Which key routes.** A record goes where the row *was*: updates and deletes by the key of the before image,
//! creates by that of the after image. So all changes of a key value stay in order up to and including the
//! update that gives it up; behind such an update the row's changes follow under its new key, and two records
//! under different keys have no order between shards.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::change::{ChangeEvent, Gap, Mark, Operation, RowChange, SourceMeta, TableId, TableSchema};
use crate::config::filter::columns::ColumnRules;
use crate::config::{Envelope, Secret};
use crate::position::{Flavour, Position};
use crate::record::{Chunk, Origin, OriginRef, Part, RECORD_OVERHEAD_BYTES, Record, RecordId, Seq, Turn};
use crate::source::value::ValueError;

mod canal;
mod debezium;
mod flink;
mod image;
mod key;
mod last;
mod marks;
mod maxwell;
mod plan;
mod rules;
#[cfg(test)]
mod tests;
mod tuple;
mod writer;

pub use flink::FlinkTable;
use key::KeyText;
use plan::{Cause, Failed, Plan, table_hash};
use rules::Rules;
pub use tuple::{Generated, Misfit, Topic, TupleTopic};
use writer::Writer;

/// What decides over a record's shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// The primary key; the whole row where there is none.
    #[default]
    PrimaryKey,
    /// The table: all its rows stay in one order.
    Table,
}

/// What an encoder has to know about the run, whichever server it reads.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `source.name`: the collector's group.
    pub group: String,
    /// What decides over a record's shard.
    pub routing: Routing,
    /// What a record looks like.
    pub envelope: Envelope,
    /// Columns that are left out or masked.
    pub columns: ColumnRules,
    /// What masked values are hashed with; empty where none are.
    pub hash_key: Secret,
    /// Whether a column of a primary key may be left out or masked.
    pub rules_on_keys: bool,
}

/// A row that cannot be written. Names the place, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A value or an image.
    #[error("{table}, column {column:?} of row {row} in transaction {transaction}: {cause}")]
    Value {
        /// `db.table`.
        table: Box<str>,
        /// The column's name; empty where the image as a whole is wrong.
        column: Box<str>,
        /// The transaction as records name it.
        transaction: Arc<str>,
        /// The row's ordinal in it, from 0.
        row: u64,
        /// What is wrong.
        cause: ValueError,
    },
    /// A rule for a column of a primary key, and nobody said that this is meant.
    #[error("column {column:?} of {table} is left out or masked, but it is part of the primary key")]
    RuleOnKey {
        /// `db.table`.
        table: Box<str>,
        /// The column's name.
        column: Box<str>,
    },
    /// A table that the topic's fields cannot take.
    #[error("{seen} (row {row} in transaction {transaction})", seen = misfit.seen)]
    Misfit {
        /// Why.
        misfit: Misfit,
        /// The transaction as records name it.
        transaction: Arc<str>,
        /// The row's ordinal in it, from 0.
        row: u64,
    },
}

impl EncodeError {
    /// A reason code, and what a person can do.
    pub fn advice(&self) -> (&'static str, Cow<'static, str>) {
        match self {
            Self::Value { .. } => (
                "row_not_encodable",
                Cow::Borrowed("correct the value in the source, or exclude the table with DATABASE_TABLES"),
            ),
            Self::RuleOnKey { .. } => (
                "column_rule_on_key",
                Cow::Borrowed(
                    "take the column out of COLUMN_EXCLUDE and COLUMN_MASK, or set `COLUMN_RULES_ON_KEYS=true` if readers can do without the key",
                ),
            ),
            Self::Misfit { misfit, .. } => (misfit.code, Cow::Owned(misfit.remedy.clone())),
        }
    }
}

/// A record whose bytes are still in the encoder's buffer: they end at `end`, and begin where the last one ends.
#[derive(Debug)]
struct Pending {
    id: RecordId,
    hash_key: u128,
    late: bool,
    /// Place among the origins.
    origin: usize,
    end: usize,
}

/// Most tables whose plans are kept; beyond that all are built anew, which costs microseconds a table.
const MAX_PLANS: usize = 1024;

/// Most bytes that are reserved for the next chunk: an idle collector keeps no more than this.
const MAX_RESERVE: usize = 1 << 20;

/// Turns events into records, and gathers them into chunks.
#[derive(Debug)]
pub struct Encoder {
    writer: Writer,
    rules: Rules,
    routing: Routing,
    key: KeyText,
    /// The plan of the last row's table; rows of one table come in runs.
    current: Option<Arc<Plan>>,
    /// All plans, by the address of their schema. A plan holds its schema, so no address is used twice.
    plans: HashMap<usize, Arc<Plan>>,
    buffer: Vec<u8>,
    pending: Vec<Pending>,
    /// Where the records come from: one for each event.
    origins: Vec<Origin>,
    next_seq: Seq,
    decoded: u64,
    filtered: u64,
}

impl Encoder {
    /// An encoder of rows from this kind of server, whose first record has `seq` 0.
    pub fn new(settings: &Settings, flavour: Flavour) -> Self {
        Self::with(Writer::new(settings, flavour), settings)
    }

    /// An encoder of rows into the fields of a TUPLE topic; the envelope of `settings` has no say there.
    pub fn tuple(settings: &Settings, topic: TupleTopic) -> Self {
        Self::with(Writer::Tuple(tuple::Tuple::new(topic)), settings)
    }

    fn with(writer: Writer, settings: &Settings) -> Self {
        Self {
            writer,
            rules: Rules::new(
                &settings.columns,
                settings.hash_key.expose(),
                settings.rules_on_keys,
            ),
            routing: settings.routing,
            key: KeyText::default(),
            current: None,
            plans: HashMap::new(),
            buffer: Vec::new(),
            pending: Vec::new(),
            origins: Vec::new(),
            next_seq: 0,
            decoded: 0,
            filtered: 0,
        }
    }

    /// The wall clock for the envelopes that follow (`ts_ms`), milliseconds since 1970.
    pub fn set_now(&mut self, ms: u64) {
        self.writer.set_now(ms);
    }

    /// Takes one event: a row becomes a record, a filtered row is counted.
    ///
    /// # Errors
    /// If a value cannot be read or represented. The encoder is then as it was before.
    pub fn push(&mut self, event: &ChangeEvent<'_>) -> Result<(), EncodeError> {
        match event {
            ChangeEvent::Row(row) => self.push_row(row)?,
            ChangeEvent::Filtered { .. } => self.filtered += 1,
            ChangeEvent::Mark(mark) => self.push_mark(mark),
        }
        self.decoded += 1;
        Ok(())
    }

    fn push_mark(&mut self, mark: &Mark<'_>) {
        let by_id = |id: &Arc<str>, part| (Arc::clone(id), part, key::md5(id.as_bytes()));
        let (transaction, part, hash_key) = match mark {
            Mark::Begin { meta } => by_id(&meta.transaction, Part::Begin),
            Mark::End { meta, .. } => by_id(&meta.transaction, Part::End),
            Mark::Gap(gap) => by_id(&gap.id().into(), Part::Gap),
            // With the table's rows, where tables route.
            Mark::Definition {
                meta,
                ordinal,
                change,
            } => {
                let transaction = Arc::clone(&meta.transaction);
                (transaction, Part::Definition(*ordinal), table_hash(&change.id))
            }
        };
        let origin = match mark {
            Mark::Begin { meta } | Mark::End { meta, .. } => self.origin(meta, None),
            Mark::Definition { meta, change, .. } => self.origin(meta, Some(&Arc::new(change.id.clone()))),
            Mark::Gap(gap) => self.origin_of_gap(gap),
        };
        self.writer.write_mark(mark, &mut self.buffer);
        self.pending.push(Pending {
            id: RecordId { transaction, part },
            hash_key,
            // None is told of a table that is read alone.
            late: false,
            origin,
            end: self.buffer.len(),
        });
    }

    fn push_row(&mut self, row: &RowChange<'_>) -> Result<(), EncodeError> {
        let start = self.buffer.len();
        match self.write(row) {
            Ok(hash_key) => {
                let table = self.current.as_ref().map(|plan| Arc::clone(&plan.table));
                let origin = self.origin(row.meta, table.as_ref());
                self.pending.push(Pending {
                    id: RecordId {
                        transaction: Arc::clone(&row.meta.transaction),
                        part: Part::Row(row.row),
                    },
                    hash_key,
                    late: row.meta.late,
                    origin,
                    end: self.buffer.len(),
                });
                Ok(())
            }
            Err(failed) => {
                self.buffer.truncate(start);
                let table = row.schema.id.to_string().into();
                let column = failed.name(row.schema).into();
                Err(match failed.cause {
                    Cause::Misfit(misfit) => EncodeError::Misfit {
                        misfit: *misfit,
                        transaction: Arc::clone(&row.meta.transaction),
                        row: row.row,
                    },
                    Cause::Value(cause) => EncodeError::Value {
                        table,
                        column,
                        transaction: Arc::clone(&row.meta.transaction),
                        row: row.row,
                        cause,
                    },
                    Cause::RuleOnKey => EncodeError::RuleOnKey { table, column },
                })
            }
        }
    }

    /// The place of a record's origin; that of the record before, if it is the same event's.
    fn origin(&mut self, meta: &SourceMeta, table: Option<&Arc<TableId>>) -> usize {
        let same = |last: &Origin| {
            let tables = match (&last.table, table) {
                (Some(last), Some(table)) => Arc::ptr_eq(last, table),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            last.pos == meta.pos && Arc::ptr_eq(&last.file, &meta.file) && tables
        };
        if !self.origins.last().is_some_and(same) {
            self.origins.push(Origin {
                table: table.cloned(),
                gtid: meta.gtid.clone(),
                file: Arc::clone(&meta.file),
                pos: meta.pos,
            });
        }
        self.origins.len() - 1
    }

    /// The place of a gap's origin: where it begins.
    fn origin_of_gap(&mut self, gap: &Gap) -> usize {
        self.origins.push(Origin {
            table: None,
            gtid: None,
            file: Arc::from(gap.from.file.file.as_str()),
            pos: gap.from.file.pos,
        });
        self.origins.len() - 1
    }

    /// Appends the row's envelope to the buffer; returns the hash of its partition key.
    fn write(&mut self, row: &RowChange<'_>) -> Result<u128, Failed> {
        let complete = match row.operation {
            Operation::Create => row.before.is_none() && row.after.is_some(),
            Operation::Update => row.before.is_some() && row.after.is_some(),
            Operation::Delete => row.before.is_some() && row.after.is_none(),
        };
        if !complete {
            return Err(Failed::image("the images do not fit the operation"));
        }
        let plan = self.plan(row.schema)?;
        self.key.begin(plan.keys);
        self.writer.write(&plan, row, &mut self.buffer, &mut self.key)?;
        match self.routing {
            Routing::Table => Ok(plan.table_hash),
            Routing::PrimaryKey if self.writer.shows_key(&plan, row.operation) => {
                Ok(self.key.hash(&self.buffer))
            }
            Routing::PrimaryKey => {
                let image = row.before.as_ref().or(row.after.as_ref());
                image.map_or(Ok(0), |image| self.key.hash_apart(&plan, image))
            }
        }
    }

    fn plan(&mut self, schema: &Arc<TableSchema>) -> Result<Arc<Plan>, Failed> {
        if let Some(plan) = &self.current
            && Arc::ptr_eq(&plan.schema, schema)
        {
            return Ok(Arc::clone(plan));
        }
        let address = Arc::as_ptr(schema).addr();
        let plan = if let Some(plan) = self.plans.get(&address) {
            Arc::clone(plan)
        } else {
            if self.plans.len() >= MAX_PLANS {
                self.plans.clear();
            }
            let mut plan = Plan::new(schema, &self.rules, |table| self.writer.text(table))?;
            plan.fillers = self.writer.fillers(schema)?;
            let plan = Arc::new(plan);
            self.plans.insert(address, Arc::clone(&plan));
            plan
        };
        self.current = Some(Arc::clone(&plan));
        Ok(plan)
    }

    /// What the records since the last [`Encoder::take`] charge to the byte budget.
    pub fn bytes(&self) -> usize {
        self.pending
            .len()
            .saturating_mul(RECORD_OVERHEAD_BYTES)
            .saturating_add(self.buffer.len())
    }

    /// Whether nothing was pushed since the last [`Encoder::take`], not even a filtered row.
    pub fn is_empty(&self) -> bool {
        self.decoded == 0
    }

    /// Hands over what was pushed since the last call, as a chunk that ends at `end`. `seq` goes on over chunks.
    pub fn take(&mut self, end: Position) -> Chunk {
        // The next chunk is likely as large, and a little room more saves the last rows of it a copy of all the
        // others. More than a quarter behind the records would be memory outside of the byte budget.
        let len = self.buffer.len();
        let next = Vec::with_capacity(len.saturating_add(len / 8).min(MAX_RESERVE));
        let mut buffer = std::mem::replace(&mut self.buffer, next);
        if buffer.capacity() - buffer.len() > buffer.len() / 4 {
            buffer.shrink_to_fit();
        }
        let payloads = Bytes::from(buffer);
        let origins: Arc<[Origin]> = self.origins.drain(..).collect();
        let mut begin = 0;
        let mut records = Vec::with_capacity(self.pending.len());
        for pending in self.pending.drain(..) {
            records.push(Record {
                seq: self.next_seq,
                id: pending.id,
                hash_key: pending.hash_key,
                layout: self.writer.layout(),
                payload: payloads.slice(begin..pending.end),
                origin: OriginRef::new(&origins, pending.origin),
                turn: if pending.late { Turn::Late } else { Turn::InOrder },
            });
            begin = pending.end;
            self.next_seq += 1;
        }
        Chunk {
            records,
            end,
            decoded: std::mem::take(&mut self.decoded),
            filtered: std::mem::take(&mut self.filtered),
        }
    }
}

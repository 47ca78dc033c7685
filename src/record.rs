//! What is delivered: records with a stable identity, chunks of them on the way in, batches on the way out.
//!
//! The vocabulary between encode, the delivery core and the sink. Pure values; a payload is shared, never
//! copied, until `sink/wire.rs` writes it into a request body.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use crate::position::Position;
use crate::retry::{Failure, Reason};

pub mod letter;
mod origin;
mod tuple;

pub use origin::{Key, Origin, OriginRef, Turn};
pub use tuple::{FieldKind, Fields, Layout, TopicField, TopicSchema, begin_field, end_field, push_null};

/// A record's place in the order of this run: 0, 1, 2 … without holes, in binlog order.
pub type Seq = u64;

/// A shard's id as the service names it (`"0"`, `"1"` …).
pub type ShardId = Arc<str>;

/// Attribute that carries [`RecordId`]: the same row change has the same id in every run.
pub const ATTRIBUTE_ID: &str = "cdc.id";
/// Attribute on the last record of a batch: everything at or before this position is in the topic.
/// A [`Watermark`](crate::position::Watermark) as JSON.
pub const ATTRIBUTE_WATERMARK: &str = "cdc.wm";
/// Attribute that names the collector's group, so that several groups can share a topic.
pub const ATTRIBUTE_GROUP: &str = "cdc.group";
/// Attribute that says in which run of the group's collectors a record was sent: a decimal number.
///
/// Higher than that of every earlier run whose records were found at the start. Behind a higher one in its shard it comes
/// from a collector that was replaced.
pub const ATTRIBUTE_EPOCH: &str = "cdc.epoch";
/// Attribute of a record that comes behind others which follow it in the binlog.
///
/// A dead letter that was sent again, or a row that waited for that, or because its table was parked, or that an earlier
/// run left out. Its value says which.
pub const ATTRIBUTE_LATE: &str = "cdc.late";

/// The stable identity of a record: its transaction and what of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// `uuid:gno` where the source has GTIDs, else `file:pos` of the transaction's first event.
    pub transaction: Arc<str>,
    /// What of it.
    pub part: Part,
}

impl RecordId {
    /// Which row change of its transaction it is, if it is one.
    pub fn row(&self) -> Option<u64> {
        match self.part {
            Part::Row(row) => Some(row),
            Part::Begin | Part::End | Part::Definition(_) | Part::Gap => None,
        }
    }
}

/// What of a transaction a record is: the last part of its id's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// A row change, by its ordinal in the transaction, from 0; rows that the filter leaves out count.
    Row(u64),
    /// Its begin.
    Begin,
    /// Its end.
    End,
    /// A change of definitions, by its place among those of the transaction, from 0.
    Definition(u64),
    /// No part of a transaction: what lies between two was lost.
    Gap,
}

/// Text that is no [`Part`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what a record's id ends with")]
pub struct ParsePartError;

impl FromStr for Part {
    type Err = ParsePartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse().map_err(|_| ParsePartError);
        match text {
            "begin" => Ok(Self::Begin),
            "end" => Ok(Self::End),
            "gap" => Ok(Self::Gap),
            _ => match text.strip_prefix("ddl") {
                Some(ordinal) => number(ordinal).map(Self::Definition),
                None => number(text).map(Self::Row),
            },
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(ordinal) => ordinal.fmt(f),
            Self::Begin => f.write_str("begin"),
            Self::End => f.write_str("end"),
            Self::Definition(ordinal) => write!(f, "ddl{ordinal}"),
            Self::Gap => f.write_str("gap"),
        }
    }
}

/// Text that is no [`RecordId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a record")]
pub struct ParseRecordIdError;

impl FromStr for RecordId {
    type Err = ParseRecordIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (transaction, part) = text.rsplit_once(':').ok_or(ParseRecordIdError)?;
        Ok(Self {
            transaction: Arc::from(transaction),
            part: part.parse().map_err(|_| ParseRecordIdError)?,
        })
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transaction, self.part)
    }
}

/// One row change, or what else is told of a transaction, ready to be sent.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its place in this run.
    pub seq: Seq,
    /// Its identity across runs.
    pub id: RecordId,
    /// MD5 of the partition key's text as a big-endian number: the hash key the service would use.
    pub hash_key: u128,
    /// What the payload is.
    pub layout: Layout,
    /// The encoded envelope, e.g. a Debezium JSON object; or the fields of a TUPLE topic (`record/tuple.rs`).
    pub payload: Bytes,
    /// The place in the binlog.
    pub origin: OriginRef,
    /// Whether it comes in its turn.
    pub turn: Turn,
}

/// Fixed cost that the byte budget charges per record on top of its payload: the structs around it.
pub const RECORD_OVERHEAD_BYTES: usize = 128;

/// What the read side hands over at once: consecutive records, and the position that holds once all are resolved.
///
/// A chunk may have no records: a filtered or idle stretch moves the position too.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The records in binlog order, with consecutive `seq`.
    pub records: Vec<Record>,
    /// The point right behind the chunk's last row (or boundary).
    pub end: Position,
    /// Rows decoded for this chunk: its records plus `filtered`.
    pub decoded: u64,
    /// Rows that the table filter left out.
    pub filtered: u64,
}

impl Chunk {
    /// What the chunk charges to the byte budget.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(Record::cost).sum()
    }
}

impl Record {
    /// What the record charges to the byte budget, in bytes.
    pub fn cost(&self) -> usize {
        self.payload.len().saturating_add(RECORD_OVERHEAD_BYTES)
    }

    /// What its order is kept for.
    pub fn key(&self) -> Key {
        Key {
            table: self.origin.get().and_then(|origin| origin.table.clone()),
            hash: self.hash_key,
        }
    }

    /// Whether it is a dead letter that is sent again.
    pub fn is_letter(&self) -> bool {
        self.turn == Turn::Letter
    }

    /// The value of [`ATTRIBUTE_LATE`], where it has one.
    pub fn late(&self) -> Option<&'static str> {
        match self.turn {
            Turn::InOrder => None,
            Turn::Late => Some("held_back"),
            Turn::Letter => Some("replayed"),
        }
    }

    /// What is sent: one field for a blob, `None` for NULL.
    pub fn fields(&self) -> Fields<'_> {
        Fields::of(self.layout, &self.payload)
    }
}

/// Identifies one request of the delivery core for as long as it is unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// Records for one shard, sent and accepted or refused as a whole.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Identifies the request.
    pub id: BatchId,
    /// Where it goes.
    pub shard: ShardId,
    /// In order; never empty. Shared: the thread that writes the body needs them for as long as it likes.
    pub records: Arc<[Record]>,
    /// The ledger's durable position when the batch was formed, as JSON; attribute of the last record.
    pub watermark: Option<Arc<str>>,
}

/// A shard's state, as far as a writer cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// Takes records.
    Active,
    /// Will take records soon (`OPENING`).
    Opening,
    /// Sealed by a split or merge (`CLOSING`, `CLOSED`), or a state this version does not know.
    Closed,
}

/// One shard of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: ShardId,
    /// Whether it takes records.
    pub state: ShardState,
    /// First hash key of its range, inclusive.
    pub begin: u128,
    /// End of its range; exclusive, except that the topic's last shard takes its end as well.
    pub end: u128,
    /// The shards that were split or merged into it.
    pub parents: Vec<ShardId>,
}

/// The topic as the service describes it; read once at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// What its records look like.
    pub schema: TopicSchema,
    /// When it was created, seconds since 1970: a topic of the same name that was made anew has another.
    pub created_s: Option<u64>,
}

/// One of a shard's newest records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TailRecord {
    /// The service's sequence number in the shard.
    pub sequence: u64,
    /// The record's attributes.
    pub attributes: BTreeMap<String, String>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service stored every record.
    Acknowledged,
    /// The service did not store the batch, and said why.
    Refused(Failure),
    /// Nobody knows: a timeout, a reset, an unreadable answer. The shard has to be asked.
    Unknown {
        /// What happened, for log and health.
        reason: Reason,
    },
    /// Multi-shard put only: these records (by index) were refused, all others stored.
    Partial(Vec<(usize, Failure)>),
}

/// What a look at a shard's newest records said about a batch of unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The shard holds the batch's first `n` records: 0 is none, its length is all.
    Holds(usize),
    /// The shard holds all of the batch but these records, by index, of which some lie before others that it holds:
    /// a request was stored in part.
    Lacks(Vec<usize>),
    /// The shard could not be read.
    Failed(Failure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_is_written() {
        for (part, text) in [
            (Part::Row(0), "u:7:0"),
            (Part::Row(u64::MAX), "u:7:18446744073709551615"),
            (Part::Begin, "u:7:begin"),
            (Part::End, "u:7:end"),
            (Part::Definition(2), "u:7:ddl2"),
            (Part::Gap, "u:7:gap"),
        ] {
            let transaction = "u:7".into();
            assert_eq!(RecordId { transaction, part }.to_string(), text);
            let (_, last) = text.rsplit_once(':').unwrap();
            assert_eq!(last.parse(), Ok(part));
        }
        for text in ["", "-1", "ddl", "Begin", "1 "] {
            assert_eq!(text.parse::<Part>(), Err(ParsePartError), "{text:?}");
        }
    }
}

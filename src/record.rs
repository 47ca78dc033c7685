//! What is delivered: records with a stable identity, chunks of them on the way in, batches on the way out.
//!
//! The vocabulary between encode, the delivery core and the sink. Pure values; a payload is shared, never
//! copied, until `sink/wire.rs` writes it into a request body.
//!
//! In a TUPLE topic a payload holds one field after the other, in the topic's order: four bytes of length, lowest
//! first, then so many bytes of text. The length `ffffffff` stands for NULL, which has no bytes and is not the same
//! as empty.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use crate::position::Position;
use crate::retry::{Failure, Reason};

/// A record's place in the order of this run: 0, 1, 2 … without holes, in binlog order.
pub type Seq = u64;

/// A shard's id as the service names it (`"0"`, `"1"` …).
pub type ShardId = Arc<str>;

/// Attribute that carries [`RecordId`]: the same row change has the same id in every run.
pub const ATTRIBUTE_ID: &str = "cdc.id";
/// Attribute on the last record of a batch: everything at or before this position is in the topic.
/// A [`Position`] in the JSON form that a checkpoint uses.
pub const ATTRIBUTE_WATERMARK: &str = "cdc.wm";
/// Attribute that names the collector's group, so that several groups can share a topic.
pub const ATTRIBUTE_GROUP: &str = "cdc.group";

/// The stable identity of a record: its transaction and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordId {
    /// `uuid:gno` where the source has GTIDs, else `file:pos` of the transaction's first event.
    pub transaction: Arc<str>,
    /// What of it.
    pub part: Part,
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
        }
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
    /// The encoded envelope, e.g. a Debezium JSON object; or the fields of a TUPLE topic, as above.
    pub payload: Bytes,
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

/// The newest record of a shard.
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
    /// The shard could not be read.
    Failed(Failure),
}

/// The length that stands for NULL.
const NULL: u32 = u32::MAX;

/// What a payload is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// One blob.
    #[default]
    Blob,
    /// Fields, each behind its length.
    Tuple,
}

/// What the topic looks like; read once at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicSchema {
    /// Records are one blob each.
    Blob,
    /// Records have named fields, in this order.
    Tuple(Arc<[TopicField]>),
}

/// One field of a TUPLE topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicField {
    /// Its name; the service compares names without regard to case.
    pub name: String,
    /// Its type.
    pub kind: FieldKind,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// A field's type. All values travel as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// 8 bits, signed.
    TinyInt,
    /// 16 bits, signed.
    SmallInt,
    /// 32 bits, signed.
    Integer,
    /// 64 bits, signed, without the smallest number.
    BigInt,
    /// 32 bits.
    Float,
    /// 64 bits.
    Double,
    /// `true` or `false`.
    Boolean,
    /// Microseconds since 1970.
    Timestamp,
    /// UTF-8.
    String,
    /// Up to 38 digits.
    Decimal,
    /// JSON text.
    Json,
    /// One that this version does not know.
    Unknown,
}

const KINDS: [(FieldKind, &str); 11] = [
    (FieldKind::TinyInt, "TINYINT"),
    (FieldKind::SmallInt, "SMALLINT"),
    (FieldKind::Integer, "INTEGER"),
    (FieldKind::BigInt, "BIGINT"),
    (FieldKind::Float, "FLOAT"),
    (FieldKind::Double, "DOUBLE"),
    (FieldKind::Boolean, "BOOLEAN"),
    (FieldKind::Timestamp, "TIMESTAMP"),
    (FieldKind::String, "STRING"),
    (FieldKind::Decimal, "DECIMAL"),
    (FieldKind::Json, "JSON"),
];

impl FieldKind {
    /// The type of this name, in any case.
    pub fn named(name: &str) -> Self {
        KINDS
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map_or(Self::Unknown, |(kind, _)| *kind)
    }

    /// Its name, in upper case.
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("of an unknown type", |(_, name)| name)
    }
}

/// Begins a field that is not NULL: its text goes behind what `out` holds then. Returns where it begins.
pub fn begin_field(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

/// Ends the field that begins there: its length is known now. False if it is longer than a length can say.
#[must_use]
pub fn end_field(out: &mut [u8], begin: usize) -> bool {
    let length = u32::try_from(out.len().saturating_sub(begin)).unwrap_or(NULL);
    let place = out
        .get_mut(..begin)
        .and_then(|before| before.last_chunk_mut::<4>());
    match place {
        Some(place) if length != NULL => {
            *place = length.to_le_bytes();
            true
        }
        _ => false,
    }
}

/// Appends a NULL.
pub fn push_null(out: &mut Vec<u8>) {
    out.extend_from_slice(&NULL.to_le_bytes());
}

/// The fields of a payload; one for a blob.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    layout: Layout,
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn of(layout: Layout, payload: &'a [u8]) -> Self {
        Self {
            layout,
            rest: Some(payload),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.layout == Layout::Blob {
            return self.rest.take().map(Some);
        }
        let (length, rest) = self.rest?.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if length == NULL {
            self.rest = Some(rest);
            return Some(None);
        }
        let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = Some(rest);
        Some(Some(value))
    }
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

    #[test]
    fn null_is_not_empty_and_a_blob_is_one_field() {
        let mut payload = Vec::new();
        let begin = begin_field(&mut payload);
        payload.extend_from_slice(b"ab");
        assert!(end_field(&mut payload, begin));
        push_null(&mut payload);
        let begin = begin_field(&mut payload);
        assert!(end_field(&mut payload, begin));
        assert_eq!(payload, b"\x02\0\0\0ab\xff\xff\xff\xff\0\0\0\0");
        let fields: Vec<_> = Fields::of(Layout::Tuple, &payload).collect();
        assert_eq!(fields, [Some(b"ab".as_slice()), None, Some(b"")]);
        let blob: Vec<_> = Fields::of(Layout::Blob, b"").collect();
        assert_eq!(blob, [Some(b"".as_slice())]);
        assert_eq!(Fields::of(Layout::Tuple, b"").count(), 0);
    }

    #[test]
    fn types_are_known_by_name() {
        for (kind, name) in KINDS {
            assert_eq!(FieldKind::named(&name.to_ascii_lowercase()), kind);
            assert_eq!(kind.name(), name);
        }
        assert_eq!(FieldKind::named("MAP"), FieldKind::Unknown);
    }
}

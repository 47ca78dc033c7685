//! Where a record came from, which key's order it is part of, and whether it comes in its turn.

use std::fmt;
use std::sync::Arc;

use crate::change::TableId;

/// The place in the binlog that a record was read from; shared by the rows of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The table; `None` for what is told of a transaction.
    pub table: Option<Arc<TableId>>,
    /// The transaction's GTID, where the source has one.
    pub gtid: Option<Arc<str>>,
    /// The binlog file.
    pub file: Arc<str>,
    /// Offset of the event in it, bytes.
    pub pos: u64,
}

/// A record's origin among those of its chunk: one allocation a chunk, however many events it has.
#[derive(Clone, Debug, Default)]
pub struct OriginRef {
    all: Arc<[Origin]>,
    index: usize,
}

impl OriginRef {
    /// The origin at `index` of a chunk's.
    pub fn new(all: &Arc<[Origin]>, index: usize) -> Self {
        Self {
            all: Arc::clone(all),
            index,
        }
    }

    /// The origin, where it is known.
    pub fn get(&self) -> Option<&Origin> {
        self.all.get(self.index)
    }
}

impl From<Origin> for OriginRef {
    fn from(origin: Origin) -> Self {
        Self {
            all: Arc::from([origin]),
            index: 0,
        }
    }
}

/// What the order of records is kept for: the same value of what routes, in the same table.
///
/// Two tables whose keys have the same text share a hash, and a shard, but not an order that anybody relies on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The table; `None` for what is told of a transaction, and where it was not written down.
    pub table: Option<Arc<TableId>>,
    /// MD5 of the key's text.
    pub hash: u128,
}

impl Key {
    /// Whether the two may be one key: an unknown table may be any.
    pub fn meets(&self, other: &Self) -> bool {
        let tables = match (&self.table, &other.table) {
            (Some(mine), Some(theirs)) => mine == theirs,
            (None, _) | (_, None) => true,
        };
        self.hash == other.hash && tables
    }

    /// The hash as it is written everywhere: 32 hexadecimal digits.
    pub fn hash_text(&self) -> String {
        format!("{:032x}", self.hash)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{:032x} of {table}", self.hash),
            None => write!(f, "{:032x}", self.hash),
        }
    }
}

/// Whether a record comes where its place in the binlog is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// It does.
    #[default]
    InOrder,
    /// A row that waited behind dead letters of its key, or because its table was parked: rows that follow it in the binlog
    /// may be in the topic already.
    Late,
    /// A dead letter that is sent again. It is part of no chunk.
    Letter,
}

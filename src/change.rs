//! A row change as it leaves the decoder: still in the binlog's bytes, with everything needed to read them.
//!
//! The vocabulary between source and encode. Row images borrow the event's buffer; nothing is copied until
//! the encoder writes the envelope.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::position::{GtidSet, Position, ServerIdentity};

/// A table's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId {
    /// The database (schema), as the binlog spells it.
    pub db: String,
    /// The table, as the binlog spells it.
    pub table: String,
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.db, self.table)
    }
}

/// A table's columns as they were when the row was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    /// Which table.
    pub id: TableId,
    /// In the order of the row image.
    pub columns: Vec<Column>,
    /// Indexes into `columns` of the primary key, in key order; empty where there is none.
    pub primary_key: Vec<usize>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How its bytes read and print.
    pub kind: ColumnKind,
    /// Its type as the server declares it, such as `varchar(20)` (`COLUMN_TYPE`).
    pub declared: Box<str>,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Type byte of the table map, resolved for ENUM and SET: `WireColumn::kind`.
    pub wire: u8,
    /// What the table map adds to it, normalised: `WireColumn::meta`.
    pub meta: u16,
}

/// A column's type as the output needs it: what the binlog's type byte alone does not say is in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// TINYINT, SMALLINT, MEDIUMINT, INT, BIGINT by `bytes` (1, 2, 3, 4, 8).
    Integer {
        /// Width in the row image.
        bytes: u8,
        /// UNSIGNED.
        unsigned: bool,
    },
    /// FLOAT as 4 bytes.
    Float,
    /// DOUBLE as 8 bytes.
    Double,
    /// DECIMAL(precision, scale).
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// BIT(bits).
    Bit {
        /// 1..=64.
        bits: u8,
    },
    /// DATE.
    Date,
    /// DATETIME(digits).
    DateTime {
        /// Digits behind the seconds, 0..=6.
        digits: u8,
    },
    /// TIMESTAMP(digits).
    Timestamp {
        /// Digits behind the seconds, 0..=6.
        digits: u8,
    },
    /// TIME(digits).
    Time {
        /// Digits behind the seconds, 0..=6.
        digits: u8,
    },
    /// YEAR.
    Year,
    /// CHAR, VARCHAR and the TEXT family.
    Text {
        /// The column's charset.
        charset: Charset,
    },
    /// BINARY(n): the image lacks trailing zero bytes, the output has them.
    FixedBinary {
        /// n.
        length: usize,
    },
    /// VARBINARY and the BLOB family.
    Binary,
    /// ENUM: labels by index, from 1.
    Enum {
        /// The labels, in order.
        labels: Vec<String>,
    },
    /// SET: labels by bit, from bit 0.
    Set {
        /// The labels, in order.
        labels: Vec<String>,
    },
    /// JSON in MySQL's binary form (MariaDB's JSON is a `Text`).
    Json,
    /// GEOMETRY and its subtypes: SRID and WKB.
    Geometry,
    /// MariaDB UUID: 16 bytes in MariaDB's storage order.
    Uuid,
    /// MariaDB INET4: 4 bytes.
    Inet4,
    /// MariaDB INET6: 16 bytes.
    Inet6,
}

/// A MySQL character set, as far as turning it into UTF-8 goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// utf8mb4, utf8mb3: copied as it is once checked.
    Utf8,
    /// ascii: bytes below 0x80.
    Ascii,
    /// gbk.
    Gbk,
    /// gb18030, the edition of 2005.
    Gb18030,
    /// gb18030_2022 (OceanBase).
    Gb18030Of2022,
    /// gb2312.
    Gb2312,
    /// big5.
    Big5,
    /// sjis.
    Sjis,
    /// cp932.
    Cp932,
    /// ujis.
    Ujis,
    /// eucjpms.
    EucJpMs,
    /// euckr.
    EucKr,
    /// utf16: big endian.
    Utf16,
    /// utf16le.
    Utf16Le,
    /// ucs2: big endian.
    Ucs2,
    /// utf32: big endian.
    Utf32,
    /// A single-byte set by MySQL's name for it: latin1, cp1251, koi8r …
    SingleByte(&'static str),
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// INSERT.
    Create,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
}

impl Operation {
    /// Debezium's letter: `c`, `u`, `d`; also the metric label.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
        }
    }
}

/// One side of a row change, in the binlog's own encoding.
#[derive(Clone, Copy, Debug)]
pub struct RowImage<'a> {
    /// One bit a column, 1 = NULL; bit i of byte i/8. All columns are present (row image FULL).
    pub nulls: &'a [u8],
    /// The values of all columns that are not NULL, back to back. Exactly the image: nothing follows.
    pub values: &'a [u8],
}

/// Where a row came from; constant within a rows event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceMeta {
    /// The transaction's identity as records carry it: `uuid:gno` or `file:pos`.
    pub transaction: Arc<str>,
    /// `uuid:gno` where the source has GTIDs (MariaDB: `domain-server-sequence`).
    pub gtid: Option<Arc<str>>,
    /// The binlog file.
    pub file: Arc<str>,
    /// Offset of the rows event in it, bytes.
    pub pos: u64,
    /// The header's server id.
    pub server_id: u32,
    /// Commit time where the source gives it, else the event header's second; microseconds since 1970.
    pub ts_us: u64,
    /// Whether it is handed on behind rows that were committed later: its table was parked.
    pub late: bool,
}

/// One row change.
#[derive(Clone, Debug)]
pub struct RowChange<'a> {
    /// What happened.
    pub operation: Operation,
    /// The table as it was then.
    pub schema: &'a Arc<TableSchema>,
    /// The row before; present for updates and deletes.
    pub before: Option<RowImage<'a>>,
    /// The row after; present for creates and updates.
    pub after: Option<RowImage<'a>>,
    /// Where it came from.
    pub meta: &'a SourceMeta,
    /// The row's ordinal in its transaction, from 0.
    pub row: u64,
}

/// What the decoder hands on, in binlog order.
#[derive(Clone, Debug)]
pub enum ChangeEvent<'a> {
    /// A row of a captured table.
    Row(RowChange<'a>),
    /// A row of a table that is not captured: counted, not relayed.
    Filtered {
        /// What happened.
        operation: Operation,
    },
    /// A record that is no row.
    Mark(Mark<'a>),
}

/// A record that is no row.
#[derive(Clone, Copy, Debug)]
pub enum Mark<'a> {
    /// A transaction with captured rows begins: its first follows.
    Begin {
        /// As its first row has it.
        meta: &'a SourceMeta,
    },
    /// The transaction is committed.
    End {
        /// Its identity, and where its end is.
        meta: &'a SourceMeta,
        /// The captured tables that it changed, and how many rows of each, in the order of their first rows.
        tables: &'a [(TableId, u64)],
    },
    /// The definition of something captured changes: rows that follow have the new one.
    Definition {
        /// Where the statement is.
        meta: &'a SourceMeta,
        /// Its place among the transaction's definitions, from 0.
        ordinal: u64,
        /// What it does.
        change: &'a DefinitionChange,
    },
    /// What lies between was lost: rows that follow come from behind it.
    Gap(&'a Gap),
}

/// A stretch of the binlog that is not relayed, because the server no longer had its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Everything before it was relayed.
    pub from: Position,
    /// Everything behind it is.
    pub to: Position,
    /// The transactions in between, where the source has GTIDs.
    pub lost: Option<GtidSet>,
    /// Whose binlog it is.
    pub server: ServerIdentity,
    /// The operator's choice of where to go on, in the option's word.
    pub chosen: &'static str,
}

impl Gap {
    /// What stands for a transaction in its record's id: the same for the same gap, in every run.
    pub fn id(&self) -> String {
        let rows = self.from.open.as_ref().map_or(0, |open| open.rows);
        format!("{}+{rows}-{}", self.from.file, self.to.file)
    }
}

/// A statement that changes the definition of something captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionChange {
    /// What it does.
    pub definition: Definition,
    /// To what kind of thing.
    pub object: DefinitionObject,
    /// The first captured table that it names; a database has no table name.
    pub id: TableId,
    /// Its text; `None` where that may hold credentials.
    pub sql: Option<Box<str>>,
}

/// What kind of thing a definition is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionObject {
    /// A table.
    Table,
    /// An index of a table.
    Index,
    /// A database.
    Database,
}

/// The first word of a statement that changes definitions; label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// `ALTER`.
    Alter,
    /// `CREATE`.
    Create,
    /// `DROP`.
    Drop,
    /// `RENAME`.
    Rename,
    /// `TRUNCATE`: the columns stay.
    Truncate,
}

impl Definition {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Alter => "alter",
            Self::Create => "create",
            Self::Drop => "drop",
            Self::Rename => "rename",
            Self::Truncate => "truncate",
        }
    }
}

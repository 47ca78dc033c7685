//! One raw binlog event to what it means. Pure.
//!
//! Part of I6: an event whose meaning is not certain is an error, never skipped. Table maps and rows are only
//! named here; their bytes are read by [`rows`](super::rows). Nothing in here remembers an earlier event, see
//! [`transaction`](super::transaction).

mod header;
pub mod query;
pub mod statement;

use crate::position::{GtidSet, Uuid};
use crate::retry::Failure;
use header::FLAG_IGNORABLE;
pub use header::{HEADER_BYTES, Header, repair_rotate};
use query::Query;

/// Event type bytes that are named outside of this file.
pub mod kind {
    #![allow(missing_docs, reason = "the names are the protocol's own")]
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const TABLE_MAP: u8 = 19;
    pub const HEARTBEAT: u8 = 27;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const XA_PREPARE: u8 = 38;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
}

/// What a transaction's first event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GtidHead {
    /// The originating server; zeros in an anonymous one.
    pub uuid: Uuid,
    /// Its number; 0 in an anonymous one.
    pub gno: u64,
    /// The two numbers of the logical clock; OceanBase puts commit seconds and microseconds there.
    pub clock: (u64, u64),
    /// Commit time at the originating server, microseconds since 1970, where the event carries it.
    pub commit_us: Option<u64>,
}

/// What an event means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning<'a> {
    /// The file's first event, sent at every start and file change.
    FormatDescription,
    /// Events go on in another file.
    Rotate {
        /// Its name.
        file: &'a [u8],
        /// Offset in it.
        pos: u64,
        /// Whether the server made it up to name the file that it sends; else the file ends here.
        artificial: bool,
    },
    /// What was committed before the file; `None` in a form (tags) that is not read.
    PreviousGtids(Option<GtidSet>),
    /// A transaction begins.
    Gtid(GtidHead),
    /// A transaction without a GTID begins.
    Anonymous(GtidHead),
    /// A MariaDB transaction begins.
    MariaGtid {
        /// Replication domain.
        domain: u32,
        /// Sequence number in it.
        sequence: u64,
        /// One statement that ends with itself: no commit follows.
        standalone: bool,
        /// An XA transaction that is prepared here and committed or rolled back by a later event.
        prepared: bool,
        /// An ALTER TABLE that is told twice: where it begins, and where it ends.
        in_phases: bool,
    },
    /// A statement.
    Query {
        /// The session's database; may be empty.
        db: &'a [u8],
        /// What kind of statement.
        query: Query,
        /// Its text. Can hold credentials: for scanning only.
        text: &'a [u8],
    },
    /// The transaction is committed.
    Commit,
    /// A table's columns, for the rows events of this statement.
    TableMap,
    /// Row images.
    Rows,
    /// Nothing new.
    Heartbeat,
    /// Of no consequence for rows.
    Ignored,
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn take_slice<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(head)
}

fn malformed(header: &Header) -> Failure {
    Failure::retry(
        "event_malformed",
        format!(
            "event of type {} with {} bytes that ends at {} is cut short",
            header.kind, header.size, header.log_pos
        ),
    )
}

fn gtid_head(mut body: &[u8]) -> Option<GtidHead> {
    let body = &mut body;
    let [_flags] = take(body)?;
    let uuid = Uuid(take(body)?);
    let gno = u64::from_le_bytes(take(body)?);
    let mut head = GtidHead {
        uuid,
        gno,
        clock: (0, 0),
        commit_us: None,
    };
    // 5.6 ends here, 5.7 and OceanBase after the clock, 8.0 goes on with commit times.
    if take(body) != Some([2u8]) {
        return Some(head);
    }
    head.clock = (u64::from_le_bytes(take(body)?), u64::from_le_bytes(take(body)?));
    let seven = |[a, b, c, d, e, f, g]: [u8; 7]| u64::from_le_bytes([a, b, c, d, e, f, g, 0]);
    if let Some(immediate) = take(body).map(seven) {
        // The top bit says that the originating server's commit time follows.
        let top = 1 << 55;
        head.commit_us = if immediate & top == 0 {
            Some(immediate)
        } else {
            Some(take(body).map(seven)?)
        };
    }
    Some(head)
}

fn previous_gtids(mut body: &[u8]) -> Option<Option<GtidSet>> {
    let body = &mut body;
    let count: [u8; 8] = take(body)?;
    // Since 8.3 the first and last byte hold a format number when tags are in use.
    if count.last() != Some(&0) {
        return Some(None);
    }
    let mut set = GtidSet::default();
    for _ in 0..u64::from_le_bytes(count) {
        let uuid = Uuid(take(body)?);
        for _ in 0..u64::from_le_bytes(take(body)?) {
            let first = u64::from_le_bytes(take(body)?);
            let end = u64::from_le_bytes(take(body)?);
            // Half-open; an empty range is legal and means nothing.
            set.insert_range(uuid, first, end.saturating_sub(1));
        }
    }
    Some(Some(set))
}

fn maria_gtid(mut body: &[u8]) -> Option<Meaning<'static>> {
    const STANDALONE: u8 = 0x01;
    const PREPARED_XA: u8 = 0x40;
    const GROUP_COMMIT: u8 = 0x02;
    // Start, commit and rollback of an ALTER TABLE.
    const ALTER_PHASES: u8 = 0x02 | 0x04 | 0x08;
    let body = &mut body;
    let sequence = u64::from_le_bytes(take(body)?);
    let domain = u32::from_le_bytes(take(body)?);
    let [flags] = take(body)?;
    // The commit group has a number; what more there is follows, up to the head's length filled with zeros.
    let behind = if flags & GROUP_COMMIT == 0 { 0 } else { 8 };
    let more = body.get(behind).copied().unwrap_or_default();
    Some(Meaning::MariaGtid {
        domain,
        sequence,
        in_phases: flags & PREPARED_XA == 0 && more & ALTER_PHASES != 0,
        standalone: flags & STANDALONE != 0,
        prepared: flags & PREPARED_XA != 0,
    })
}

fn query(mut body: &[u8]) -> Option<Meaning<'_>> {
    let body = &mut body;
    let _thread_and_time: [u8; 8] = take(body)?;
    let [db_len] = take(body)?;
    let _error_code: [u8; 2] = take(body)?;
    let status_len = u16::from_le_bytes(take(body)?);
    take_slice(body, usize::from(status_len))?;
    let db = take_slice(body, usize::from(db_len))?;
    let [_terminator] = take(body)?;
    Some(Meaning::Query {
        db,
        query: Query::of(body),
        text: body,
    })
}

/// What an event means. `body` is the event without header and checksum.
///
/// # Errors
/// A retryable failure where the bytes end too early; a halt where the event changes rows in a way that is not
/// read, or where its type is unknown and not marked as one that may be passed over.
pub fn parse<'a>(header: &Header, body: &'a [u8]) -> Result<Meaning<'a>, Failure> {
    let meaning = match header.kind {
        kind::QUERY => query(body),
        kind::ROTATE => {
            let mut body = body;
            take(&mut body).map(|pos| Meaning::Rotate {
                file: body,
                pos: u64::from_le_bytes(pos),
                artificial: header.is_artificial(),
            })
        }
        kind::FORMAT_DESCRIPTION => Some(Meaning::FormatDescription),
        kind::XID => Some(Meaning::Commit),
        // The group ends here; what `XA COMMIT` later adds is a group of its own.
        kind::XA_PREPARE => Some(Meaning::Commit),
        kind::TABLE_MAP => Some(Meaning::TableMap),
        23..=25 | 30..=32 => Some(Meaning::Rows),
        kind::HEARTBEAT | kind::HEARTBEAT_V2 => Some(Meaning::Heartbeat),
        kind::GTID => gtid_head(body).map(Meaning::Gtid),
        kind::ANONYMOUS_GTID => gtid_head(body).map(Meaning::Anonymous),
        kind::PREVIOUS_GTIDS => previous_gtids(body).map(Meaning::PreviousGtids),
        kind::MARIADB_GTID => maria_gtid(body),
        // STOP, ROWS_QUERY, IGNORABLE, TRANSACTION_CONTEXT, VIEW_CHANGE; MariaDB's annotation, checkpoint and GTID list.
        kind::STOP | 28 | 29 | 36 | 37 | 160 | 161 | kind::MARIADB_GTID_LIST => Some(Meaning::Ignored),
        _ => return refuse(header),
    };
    meaning.ok_or_else(|| malformed(header))
}

fn refuse(header: &Header) -> Result<Meaning<'static>, Failure> {
    let (code, what, remedy) = match header.kind {
        // INTVAR, RAND, USER_VAR, LOAD DATA and its parts: a statement follows, or is this.
        5 | 6 | 7..=14 | 17 | 18 => (
            "statement_event",
            "a change was logged as a statement, not as rows",
            "set binlog_format=ROW for every session, then restart from a position behind the statement",
        ),
        26 => (
            "incident_event",
            "the server logged an incident: changes may be missing from its binlog",
            "compare the captured tables with what was delivered, then restart from a position behind it",
        ),
        39 => (
            "partial_json_event",
            "an update carries differences of JSON documents",
            "unset binlog_row_value_options (OceanBase: log_row_value_options), then restart from a position behind it",
        ),
        40 => (
            "compressed_transaction",
            "a transaction is compressed",
            "set binlog_transaction_compression=OFF, then restart from a position behind it",
        ),
        42 => (
            "tagged_gtid",
            "a transaction has a tagged GTID",
            "let applications commit without a GTID tag, then restart from a position behind it",
        ),
        165..=171 => (
            "compressed_event",
            "an event is compressed",
            "set log_bin_compress=OFF, then restart from a position behind it",
        ),
        _ if header.flags & FLAG_IGNORABLE != 0 => return Ok(Meaning::Ignored),
        _ => (
            "unknown_event",
            "an event of a type that this version does not know",
            "check the server's release notes for a setting that turns it off, or upgrade the collector",
        ),
    };
    Err(Failure::halt(
        code,
        format!("{what} (type {} that ends at {})", header.kind, header.log_pos),
        remedy,
    ))
}

/// The name under which an event type is counted.
pub fn kind_name(kind: u8) -> &'static str {
    match kind {
        kind::QUERY => "query",
        kind::ROTATE => "rotate",
        kind::FORMAT_DESCRIPTION => "format_description",
        kind::XID => "xid",
        kind::TABLE_MAP => "table_map",
        23..=25 | 30..=32 => "rows",
        kind::HEARTBEAT | kind::HEARTBEAT_V2 => "heartbeat",
        kind::GTID | kind::ANONYMOUS_GTID | kind::MARIADB_GTID => "gtid",
        kind::PREVIOUS_GTIDS | kind::MARIADB_GTID_LIST => "previous_gtids",
        _ => "other",
    }
}

#[cfg(test)]
mod tests;

//! Binlog events, byte by byte, as the binlog service writes them.

use super::column::{Shape, Value, bits};
use super::packet::put_packed;

pub(super) const QUERY: u8 = 2;
pub(super) const ROTATE: u8 = 4;
pub(super) const FORMAT_DESCRIPTION: u8 = 15;
pub(super) const XID: u8 = 16;
pub(super) const TABLE_MAP: u8 = 19;
pub(super) const HEARTBEAT: u8 = 27;
pub(super) const WRITE_ROWS: u8 = 30;
pub(super) const UPDATE_ROWS: u8 = 31;
pub(super) const DELETE_ROWS: u8 = 32;
pub(super) const GTID: u8 = 33;
pub(super) const PREVIOUS_GTIDS: u8 = 35;
pub(super) const PARTIAL_UPDATE_ROWS: u8 = 39;

/// Header flag that OceanBase sets on everything but a file's first event, and checksums.
pub(super) const IN_USE: u16 = 0x1;
/// Header flag of events that are in no file.
pub(super) const ARTIFICIAL: u16 = 0x20;

/// Bytes of a header.
pub(super) const HEADER: usize = 19;

/// Lengths of the fixed parts of all event types; the last one is that of PARTIAL_UPDATE_ROWS, which services before
/// 4.x do not know.
const LENGTHS: [u8; 39] = [
    56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 95, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10,
    42, 42, 0, 18, 52, 0, 10,
];

/// What an event says beside its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) kind: u8,
    pub(super) timestamp: u32,
    pub(super) server_id: u32,
    pub(super) flags: u16,
    /// Whether four bytes of checksum follow.
    pub(super) sum: bool,
}

impl Stamp {
    /// Bytes of an event with this body.
    pub(super) fn size(&self, body: &[u8]) -> usize {
        HEADER + body.len() + if self.sum { 4 } else { 0 }
    }

    /// Puts the event behind `out`; `log_pos` is where it ends in its file.
    pub(super) fn put(&self, body: &[u8], log_pos: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        out.push(self.kind);
        out.extend_from_slice(&self.server_id.to_le_bytes());
        out.extend_from_slice(&(self.size(body) as u32).to_le_bytes());
        // 32 bits of it: files may be longer.
        out.extend_from_slice(&(log_pos as u32).to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(body);
        if self.sum {
            let sum = crc32fast::hash(&out[start..]);
            out.extend_from_slice(&sum.to_le_bytes());
        }
    }

    pub(super) fn event(&self, body: &[u8], log_pos: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size(body));
        self.put(body, log_pos, &mut out);
        out
    }
}

/// The type of an event.
pub(super) fn kind_of(event: &[u8]) -> u8 {
    event[4]
}

/// When it happened, seconds since 1970.
pub(super) fn timestamp_of(event: &[u8]) -> u32 {
    u32::from_le_bytes([event[0], event[1], event[2], event[3]])
}

/// How long it is, header and checksum included.
pub(super) fn size_of(event: &[u8]) -> usize {
    u32::from_le_bytes([event[9], event[10], event[11], event[12]]) as usize
}

/// The number of the transaction that a GTID event begins.
pub(super) fn gno_of(event: &[u8]) -> u64 {
    let bytes = event[HEADER + 17..].first_chunk::<8>();
    bytes.map_or(0, |b| u64::from_le_bytes(*b))
}

pub(super) fn format_description(timestamp: u32, lengths: usize, sums: bool) -> Vec<u8> {
    let mut body = 4u16.to_le_bytes().to_vec();
    let mut version = [0; 50];
    version[..6].copy_from_slice(b"5.7.38");
    body.extend_from_slice(&version);
    body.extend_from_slice(&timestamp.to_le_bytes());
    body.push(HEADER as u8);
    body.extend_from_slice(&LENGTHS[..lengths]);
    // 2 + 50 + 4 + 1, and the lengths themselves.
    body[57 + 14] = 57 + lengths as u8;
    body.push(u8::from(sums));
    body
}

/// `last`: the number of the last transaction before the file.
pub(super) fn previous_gtids(uuid: &[u8; 16], last: u64) -> Vec<u8> {
    let mut body = 1u64.to_le_bytes().to_vec();
    body.extend_from_slice(uuid);
    // Half-open; the first file of all has an empty range.
    for number in [1, 1, last + 1] {
        body.extend_from_slice(&u64::to_le_bytes(number));
    }
    body
}

/// The two numbers of the logical clock are seconds and microseconds of the commit.
pub(super) fn gtid(uuid: &[u8; 16], gno: u64, at_us: u64) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(uuid);
    body.extend_from_slice(&gno.to_le_bytes());
    body.push(2);
    body.extend_from_slice(&(at_us / 1_000_000).to_le_bytes());
    body.extend_from_slice(&(at_us % 1_000_000).to_le_bytes());
    body
}

pub(super) fn query(db: &str, text: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.push(db.len() as u8);
    body.extend_from_slice(&[0, 0]);
    // Flags, then three collations.
    let status = [0, 0, 0, 0, 0, 4, 45, 0, 45, 0, 83, 0];
    body.extend_from_slice(&(status.len() as u16).to_le_bytes());
    body.extend_from_slice(&status);
    body.extend_from_slice(db.as_bytes());
    body.push(0);
    body.extend_from_slice(text.as_bytes());
    body
}

pub(super) fn rotate(file: &str, pos: u64) -> Vec<u8> {
    let mut body = pos.to_le_bytes().to_vec();
    body.extend_from_slice(file.as_bytes());
    body
}

/// A table map without a word of optional metadata.
pub(super) fn table_map(id: u64, db: &str, shape: &Shape) -> Vec<u8> {
    let mut body = id.to_le_bytes()[..6].to_vec();
    body.extend_from_slice(&[1, 0]);
    for name in [db, &shape.name] {
        body.push(name.len() as u8);
        body.extend_from_slice(name.as_bytes());
        body.push(0);
    }
    put_packed(&mut body, shape.columns.len());
    let wires: Vec<(u8, Vec<u8>)> = shape.columns.iter().map(|column| column.kind.wire()).collect();
    body.extend(wires.iter().map(|(kind, _)| *kind));
    let metadata: Vec<u8> = wires.into_iter().flat_map(|(_, metadata)| metadata).collect();
    put_packed(&mut body, metadata.len());
    body.extend_from_slice(&metadata);
    body.extend_from_slice(&shape.nullable_bits());
    body
}

/// The images of one row in an event of its own. `partial`: as PARTIAL_UPDATE_ROWS, with one column marked as partial.
pub(super) fn rows(id: u64, shape: &Shape, images: &[&[Value]], partial: bool) -> Vec<u8> {
    let mut body = id.to_le_bytes()[..6].to_vec();
    // STMT_END; no extra data.
    body.extend_from_slice(&[1, 0, 2, 0]);
    put_packed(&mut body, shape.columns.len());
    for _ in images {
        body.extend(std::iter::repeat_n(0xff, shape.columns.len().div_ceil(8)));
    }
    for (at, image) in images.iter().enumerate() {
        if partial && at == 1 {
            body.extend_from_slice(&[1, 1]);
        }
        body.extend_from_slice(&bits(image.iter().map(Value::is_null)));
        for (value, column) in image.iter().zip(&shape.columns) {
            value.put(&column.kind, &mut body);
        }
    }
    body
}

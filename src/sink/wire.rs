//! Request bodies: records to protobuf, framed with a checksum, compressed where it helps.
//!
//! Owns the other half of I11: a body fits the service's limits, or no request is made. Written by hand straight
//! into one buffer, each payload copied once. Reading answers back is in [`answer`], compression in [`compress`].
//! Does not sign, send, or know what a refusal means.

pub mod answer;
pub mod compress;

use crate::record::{
    ATTRIBUTE_EPOCH, ATTRIBUTE_GROUP, ATTRIBUTE_ID, ATTRIBUTE_LATE, ATTRIBUTE_WATERMARK, Batch, Layout, Part,
    Record,
};
use crate::retry::{Disposition, Failure, Reason};

/// What the service takes at most.
pub mod limits {
    /// Bytes of a request body before compression: 99 % of the 4 MiB that the service accepts, the margin that its own
    /// clients keep.
    pub const BODY_BYTES: usize = 4 * 1024 * 1024 / 100 * 99;
    /// Bytes of one STRING field of a TUPLE topic.
    pub const FIELD_BYTES: usize = 2 * 1024 * 1024;
    /// Records of one put.
    pub const RECORDS: usize = 10_000;
    /// Records of one get.
    pub const PAGE_RECORDS: u32 = 1000;
}

/// First bytes of every framed body.
pub(crate) const MAGIC: [u8; 4] = *b"DHUB";
/// Magic, checksum, payload length: 4 bytes each.
pub const FRAME_BYTES: usize = 12;

/// Where the shard is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// In the path: the request is accepted or refused as a whole.
    ByShard,
    /// In every record: each one has its own fate.
    PerRecord,
}

/// What every record says of its writer.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The group.
    pub group: &'a str,
    /// The epoch, a decimal number.
    pub epoch: &'a str,
}

/// The framed, uncompressed body of a put, in an empty buffer whose room is used.
///
/// A watermark that alone would push the last record over the limit is left out: it only speeds up a later start.
///
/// # Errors
/// `record_too_large` names the first record that no request can hold, `field_too_large` one with a field that no topic
/// takes; `batch_too_large` asks for a smaller batch.
pub fn put_body(
    room: Vec<u8>,
    batch: &Batch,
    writer: Writer<'_>,
    addressing: Addressing,
) -> Result<Vec<u8>, Failure> {
    if batch.records.len() > limits::RECORDS {
        return Err(batch_too_large(batch));
    }
    let shard = match addressing {
        Addressing::ByShard => None,
        Addressing::PerRecord => Some(&*batch.shard),
    };
    let estimate: usize = batch.records.iter().map(Record::cost).sum();
    let mut body = start_frame(room, estimate.min(limits::BODY_BYTES));
    let mut id = String::new();
    let last = batch.records.len().saturating_sub(1);
    for (index, record) in batch.records.iter().enumerate() {
        write_id(&mut id, record);
        if let Some(bytes) = oversized_field(record) {
            return Err(field_too_large(index, bytes));
        }
        let before = body.len();
        let watermark = batch.watermark.as_deref().filter(|_| index == last);
        let attributes = Attributes::of(record, &id, writer, watermark);
        write_entry(&mut body, shard, attributes.list(), record.fields());
        if watermark.is_some() && body.len() > limits::BODY_BYTES {
            body.truncate(before);
            let plain = Attributes::of(record, &id, writer, None);
            write_entry(&mut body, shard, plain.list(), record.fields());
        }
        if body.len() > limits::BODY_BYTES {
            return Err(too_large(batch, writer, shard));
        }
    }
    finish_frame(&mut body);
    Ok(body)
}

/// What a record takes in a put by shard, in bytes: payload, identity, writer and lengths; no watermark.
///
/// A record fits a request of its own if this and the frame's [`FRAME_BYTES`] are within [`limits::BODY_BYTES`].
pub fn record_bytes(record: &Record, writer: Writer<'_>) -> usize {
    entry_bytes(record, writer, None)
}

fn entry_bytes(record: &Record, writer: Writer<'_>, shard: Option<&str>) -> usize {
    let mut id = String::new();
    write_id(&mut id, record);
    let attributes = Attributes::of(record, &id, writer, None);
    delimited(entry_len(shard, attributes.list(), record.fields()))
}

/// A record's attributes, in the order in which they are written.
struct Attributes<'a> {
    pairs: [(&'a str, &'a str); 5],
    len: usize,
}

impl<'a> Attributes<'a> {
    fn of(record: &Record, id: &'a str, writer: Writer<'a>, watermark: Option<&'a str>) -> Self {
        let late = record.late().map(|how| (ATTRIBUTE_LATE, how));
        let watermark = watermark.map(|text| (ATTRIBUTE_WATERMARK, text));
        let always = [
            (ATTRIBUTE_ID, id),
            (ATTRIBUTE_GROUP, writer.group),
            (ATTRIBUTE_EPOCH, writer.epoch),
        ];
        let mut attributes = Self {
            pairs: [("", ""); 5],
            len: 0,
        };
        let all = always.into_iter().chain(late).chain(watermark);
        for (place, pair) in attributes.pairs.iter_mut().zip(all) {
            *place = pair;
            attributes.len += 1;
        }
        attributes
    }

    fn list(&self) -> &[(&'a str, &'a str)] {
        self.pairs.get(..self.len).unwrap_or_default()
    }
}

/// The first field that is larger than any field may be.
fn oversized_field(record: &Record) -> Option<usize> {
    match record.layout {
        Layout::Blob => None,
        Layout::Tuple => record
            .fields()
            .flatten()
            .map(<[u8]>::len)
            .find(|bytes| *bytes > limits::FIELD_BYTES),
    }
}

fn field_too_large(index: usize, bytes: usize) -> Failure {
    Failure {
        disposition: Disposition::Poison(Some(index)),
        reason: Reason {
            code: "field_too_large",
            message: format!(
                "a field has {bytes} bytes, a STRING field takes {} at most",
                limits::FIELD_BYTES
            ),
        },
    }
}

/// The framed body of a get.
pub fn get_body(cursor: &str, limit: u32) -> Vec<u8> {
    let mut body = start_frame(Vec::new(), cursor.len() + 16);
    put_bytes(&mut body, tag::GET_CURSOR, cursor.as_bytes());
    body.push(tag::GET_LIMIT);
    put_varint(&mut body, u64::from(limit));
    finish_frame(&mut body);
    body
}

fn too_large(batch: &Batch, writer: Writer<'_>, shard: Option<&str>) -> Failure {
    let oversized = batch.records.iter().enumerate().find_map(|(index, record)| {
        let bytes = FRAME_BYTES + entry_bytes(record, writer, shard);
        (bytes > limits::BODY_BYTES).then_some((index, bytes))
    });
    match oversized {
        Some((index, bytes)) => Failure {
            disposition: Disposition::Poison(Some(index)),
            reason: Reason {
                code: "record_too_large",
                message: format!(
                    "a record needs a request of {bytes} bytes, the service takes {} at most",
                    limits::BODY_BYTES
                ),
            },
        },
        None => batch_too_large(batch),
    }
}

fn batch_too_large(batch: &Batch) -> Failure {
    Failure {
        disposition: Disposition::Poison(None),
        reason: Reason {
            code: "batch_too_large",
            message: format!(
                "a batch of {} records exceeds {} records or {} bytes",
                batch.records.len(),
                limits::RECORDS,
                limits::BODY_BYTES
            ),
        },
    }
}

/// The text form of the identity, into a buffer that is used again.
fn write_id(out: &mut String, record: &Record) {
    out.clear();
    out.push_str(&record.id.transaction);
    out.push(':');
    match record.id.part {
        Part::Row(ordinal) => out.push_str(itoa::Buffer::new().format(ordinal)),
        // Seldom: formatted as everywhere else.
        part @ (Part::Begin | Part::End | Part::Definition(_) | Part::Gap) => {
            out.push_str(&part.to_string());
        }
    }
}

// Tags: field number · 8 + wire type (0 varint, 2 length-delimited). All fit one byte.
mod tag {
    pub(super) const RECORDS: u8 = 0x0a;
    pub(super) const SHARD_ID: u8 = 0x0a;
    pub(super) const ATTRIBUTES: u8 = 0x42;
    pub(super) const DATA: u8 = 0x4a;
    pub(super) const PAIR: u8 = 0x0a;
    pub(super) const PAIR_KEY: u8 = 0x0a;
    pub(super) const PAIR_VALUE: u8 = 0x12;
    pub(super) const FIELD: u8 = 0x0a;
    pub(super) const FIELD_VALUE: u8 = 0x0a;
    pub(super) const GET_CURSOR: u8 = 0x0a;
    pub(super) const GET_LIMIT: u8 = 0x10;
}

/// One entry of a put; a field of `None` is NULL, which is not the same as empty.
fn write_entry<'f>(
    out: &mut Vec<u8>,
    shard: Option<&str>,
    attributes: &[(&str, &str)],
    fields: impl Iterator<Item = Option<&'f [u8]>> + Clone,
) {
    put_head(out, tag::RECORDS, entry_len(shard, attributes, fields.clone()));
    if let Some(shard) = shard {
        put_bytes(out, tag::SHARD_ID, shard.as_bytes());
    }
    if !attributes.is_empty() {
        put_head(out, tag::ATTRIBUTES, attributes_len(attributes));
        for (key, value) in attributes {
            put_head(out, tag::PAIR, pair_len(key, value));
            put_bytes(out, tag::PAIR_KEY, key.as_bytes());
            put_bytes(out, tag::PAIR_VALUE, value.as_bytes());
        }
    }
    put_head(out, tag::DATA, data_len(fields.clone()));
    for field in fields {
        put_head(out, tag::FIELD, field_len(field));
        if let Some(value) = field {
            put_bytes(out, tag::FIELD_VALUE, value);
        }
    }
}

fn entry_len<'f>(
    shard: Option<&str>,
    attributes: &[(&str, &str)],
    fields: impl Iterator<Item = Option<&'f [u8]>>,
) -> usize {
    let attributes = if attributes.is_empty() {
        0
    } else {
        delimited(attributes_len(attributes))
    };
    shard.map_or(0, |shard| delimited(shard.len())) + attributes + delimited(data_len(fields))
}

fn attributes_len(attributes: &[(&str, &str)]) -> usize {
    attributes
        .iter()
        .map(|(key, value)| delimited(pair_len(key, value)))
        .sum()
}

fn pair_len(key: &str, value: &str) -> usize {
    delimited(key.len()) + delimited(value.len())
}

fn data_len<'f>(fields: impl Iterator<Item = Option<&'f [u8]>>) -> usize {
    fields.map(|field| delimited(field_len(field))).sum()
}

fn field_len(field: Option<&[u8]>) -> usize {
    field.map_or(0, |value| delimited(value.len()))
}

/// Tag, length and `len` bytes of content.
fn delimited(len: usize) -> usize {
    let mut head = 2;
    let mut rest = len >> 7;
    while rest != 0 {
        head += 1;
        rest >>= 7;
    }
    head + len
}

fn put_head(out: &mut Vec<u8>, tag: u8, len: usize) {
    out.push(tag);
    put_varint(out, len as u64);
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    put_head(out, tag, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn start_frame(mut body: Vec<u8>, capacity: usize) -> Vec<u8> {
    body.reserve(FRAME_BYTES + capacity);
    body.extend_from_slice(&MAGIC);
    body.extend_from_slice(&[0; FRAME_BYTES - MAGIC.len()]);
    body
}

/// Fills in what only the complete payload tells: its checksum and its length.
fn finish_frame(body: &mut [u8]) {
    let Some((head, payload)) = body.split_first_chunk_mut::<FRAME_BYTES>() else {
        return;
    };
    let len = u32::try_from(payload.len()).expect("a body is kept far below 4 GiB");
    let [_, _, _, _, rest @ ..] = head;
    let mut fields = [0; FRAME_BYTES - MAGIC.len()];
    let (checksum, length) = fields.split_at_mut(4);
    checksum.copy_from_slice(&crc32c::crc32c(payload).to_be_bytes());
    length.copy_from_slice(&len.to_be_bytes());
    *rest = fields;
}

#[cfg(test)]
pub(super) mod tests;

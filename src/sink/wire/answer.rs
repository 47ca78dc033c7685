//! Answers: frame and protobuf back to values.
//!
//! The bytes come from outside. Every length is checked against what is left, nothing recurses, nothing is
//! allocated beyond the answer's own size, and nothing panics: what cannot be read is an [`Unreadable`].

use std::collections::BTreeMap;

use super::{FRAME_BYTES, MAGIC};
use crate::record::TailRecord;

/// An answer that is not what the protocol says; the text says where it stopped making sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be read: {0}")]
pub struct Unreadable(pub &'static str);

/// One record that a put with per-record addressing refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRecord {
    /// Its index in the request.
    pub index: usize,
    /// The service's error code.
    pub code: String,
    /// The service's message.
    pub message: String,
}

/// One page of records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Where the next page starts.
    pub next_cursor: String,
    /// The records, payloads left out.
    pub records: Vec<TailRecord>,
}

/// The records that a put refused; none means that all were stored.
///
/// # Errors
/// [`Unreadable`], also if the list contradicts its own count or names a record twice or beyond `sent`.
pub fn put_answer(body: &[u8], sent: usize) -> Result<Vec<FailedRecord>, Unreadable> {
    let mut message = Message(payload(body)?);
    let (mut count, mut failed) = (0, Vec::new());
    while let Some((number, value)) = message.next()? {
        match (number, value) {
            (1, Value::Varint(n)) => count = n,
            (2, Value::Bytes(bytes)) => failed.push(failed_record(bytes)?),
            _ => {}
        }
    }
    failed.sort_by_key(|record: &FailedRecord| record.index);
    let twice = failed
        .iter()
        .zip(failed.iter().skip(1))
        .any(|(a, b)| a.index == b.index);
    let beyond = failed.last().is_some_and(|record| record.index >= sent);
    if twice || beyond || count != failed.len() as u64 {
        return Err(Unreadable("its list of failed records contradicts itself"));
    }
    Ok(failed)
}

/// A page of records, in the service's order.
///
/// # Errors
/// [`Unreadable`].
pub fn get_answer(body: &[u8]) -> Result<Page, Unreadable> {
    let mut message = Message(payload(body)?);
    let mut page = Page::default();
    while let Some((number, value)) = message.next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => page.next_cursor = text(bytes)?,
            (4, Value::Bytes(bytes)) => page.records.push(record(bytes)?),
            _ => {}
        }
    }
    Ok(page)
}

/// The checked payload of a frame. A checksum of 0 means "not computed", as it does to the service's own clients.
fn payload(body: &[u8]) -> Result<&[u8], Unreadable> {
    let Some((head, payload)) = body.split_first_chunk::<FRAME_BYTES>() else {
        return Err(Unreadable("it is shorter than a frame"));
    };
    let [m0, m1, m2, m3, c0, c1, c2, c3, l0, l1, l2, l3] = *head;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(Unreadable("it does not start with the frame's magic"));
    }
    if usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])) != Ok(payload.len()) {
        return Err(Unreadable("its length differs from what the frame says"));
    }
    let checksum = u32::from_be_bytes([c0, c1, c2, c3]);
    if checksum != 0 && checksum != crc32c::crc32c(payload) {
        return Err(Unreadable("its checksum does not match"));
    }
    Ok(payload)
}

fn failed_record(bytes: &[u8]) -> Result<FailedRecord, Unreadable> {
    let mut message = Message(bytes);
    let (mut index, mut code, mut text_) = (None, String::new(), String::new());
    while let Some((number, value)) = message.next()? {
        match (number, value) {
            (1, Value::Varint(n)) => index = usize::try_from(n).ok(),
            (2, Value::Bytes(bytes)) => code = text(bytes)?,
            (3, Value::Bytes(bytes)) => text_ = text(bytes)?,
            _ => {}
        }
    }
    Ok(FailedRecord {
        index: index.ok_or(Unreadable("a failed record has no index"))?,
        code,
        message: text_,
    })
}

fn record(bytes: &[u8]) -> Result<TailRecord, Unreadable> {
    let mut message = Message(bytes);
    let (mut sequence, mut attributes) = (None, BTreeMap::new());
    while let Some((number, value)) = message.next()? {
        match (number, value) {
            // Signed on the wire; the top bit set means a negative number, which no stored record has.
            (6, Value::Varint(n)) => sequence = i64::try_from(n).ok().and(Some(n)),
            (8, Value::Bytes(bytes)) => read_attributes(bytes, &mut attributes)?,
            _ => {}
        }
    }
    Ok(TailRecord {
        sequence: sequence.ok_or(Unreadable("a record has no sequence number"))?,
        attributes,
    })
}

fn read_attributes(bytes: &[u8], into: &mut BTreeMap<String, String>) -> Result<(), Unreadable> {
    let mut message = Message(bytes);
    while let Some((number, value)) = message.next()? {
        let (1, Value::Bytes(bytes)) = (number, value) else {
            continue;
        };
        let mut pair = Message(bytes);
        let (mut key, mut value_) = (String::new(), String::new());
        while let Some((number, value)) = pair.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => key = text(bytes)?,
                (2, Value::Bytes(bytes)) => value_ = text(bytes)?,
                _ => {}
            }
        }
        into.insert(key, value_);
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<String, Unreadable> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Unreadable("a text is not UTF-8")),
    }
}

/// The fields of one protobuf message that are left to read.
struct Message<'a>(&'a [u8]);

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A fixed-width number; the protocol has none, a newer one may.
    Fixed,
}

impl<'a> Message<'a> {
    /// The next field's number and value; `None` at the end.
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Unreadable> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed
            }
            2 => {
                let len = usize::try_from(self.varint()?)
                    .map_err(|_| Unreadable("a length exceeds this machine"))?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed
            }
            _ => return Err(Unreadable("a field has an unknown wire type")),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Unreadable("a field is longer than its message"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Unreadable("a number is cut off"))?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Unreadable("a number has more than 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::unhex;
    use super::*;

    fn vector(name: &str) -> Vec<u8> {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/vectors/frames.json")).unwrap();
        let all = vectors["responses"].as_array().unwrap();
        let found = all.iter().find(|v| v["name"] == name).unwrap();
        unhex(found["frame_hex"].as_str().unwrap())
    }

    #[test]
    fn put_answers() {
        assert_eq!(put_answer(&vector("pb_put_all_ok"), 3), Ok(vec![]));
        let failed = put_answer(&vector("pb_put_two_failed"), 4).unwrap();
        let seen: Vec<_> = failed.iter().map(|f| (f.index, f.code.as_str())).collect();
        assert_eq!(seen, [(0, "InvalidShardOperation"), (3, "LimitExceeded")]);
        assert_eq!(failed[0].message, "The specified shard is not active.");
        // The fourth record fails, but only three were sent.
        assert!(put_answer(&vector("pb_put_two_failed"), 3).is_err());
        assert_eq!(put_answer(&vector("pb_put_crc_zero"), 3), Ok(vec![]));
        assert!(put_answer(&vector("pb_put_crc_wrong"), 3).is_err());
    }

    #[test]
    fn pages() {
        let page = get_answer(&vector("pb_get_tuple")).unwrap();
        assert_eq!(page.next_cursor, "30006955b900000000000000000d0001");
        let sequences: Vec<_> = page.records.iter().map(|r| r.sequence).collect();
        assert_eq!(sequences, [10, 11, 12]);
        assert_eq!(page.records[0].attributes["k"], "v");
        assert_eq!(get_answer(&vector("pb_get_blob")).unwrap().records.len(), 1);
        assert_eq!(get_answer(&vector("pb_get_empty")).unwrap().records, []);
    }

    #[test]
    fn a_damaged_answer_is_unreadable_at_every_byte() {
        let good = vector("pb_get_tuple");
        for end in 0..good.len() {
            assert!(get_answer(&good[..end]).is_err(), "cut at {end}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(get_answer(&bad).is_err(), "flipped at {at}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            // With a checksum of 0, so that the reader behind the frame is reached.
            let mut framed = MAGIC.to_vec();
            framed.extend_from_slice(&[0; 4]);
            framed.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
            framed.extend_from_slice(&bytes);
            if let Ok(page) = get_answer(&framed) {
                prop_assert!(page.records.len() <= bytes.len());
            }
            if let Ok(failed) = put_answer(&framed, 10) {
                prop_assert!(failed.len() <= 10);
            }
            prop_assert!(get_answer(&bytes).is_err() || bytes.starts_with(&MAGIC));
        }
    }
}

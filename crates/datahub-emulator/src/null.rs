//! Sinks for benchmarks: puts are taken, measured and thrown away.

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::compression;
use crate::frame;
use crate::refusal::Refusal;

/// What a null sink saw of one put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) wire_bytes: u64,
    pub(crate) raw_bytes: u64,
    /// Zero when the body is compressed and was not opened.
    pub(crate) records: u64,
}

/// Reads a put body to its end without opening it; never holds more than a piece of it.
pub(crate) async fn skip(
    mut body: Incoming,
    encoded: bool,
    raw_size: Option<usize>,
    limit: usize,
) -> Result<Seen, Refusal> {
    let mut seen = Seen::default();
    while let Some(piece) = body.frame().await {
        let piece =
            piece.map_err(|error| Refusal::parameter(format!("The body could not be read: {error}")))?;
        let Ok(data) = piece.into_data() else { continue };
        if seen.wire_bytes == 0 && !encoded {
            frame::header(&data)?;
        }
        seen.wire_bytes += data.len() as u64;
    }
    let raw = raw_size.map_or(seen.wire_bytes, |size| size as u64);
    if raw > limit as u64 {
        return Err(compression::too_large(raw_size.unwrap_or(limit), limit));
    }
    Ok(Seen {
        raw_bytes: raw,
        ..seen
    })
}

/// Checks a put's frame and counts its records.
pub(crate) fn count(frame: &Bytes, wire_bytes: u64) -> Result<Seen, Refusal> {
    let payload = frame::open(frame)?;
    let records = count_records(payload)
        .ok_or_else(|| Refusal::parameter("Parse body failed, Offset: 0: not a list of records"))?;
    Ok(Seen {
        wire_bytes,
        raw_bytes: frame.len() as u64,
        records,
    })
}

/// How many times field 1 occurs: every put message is a list of records in it.
fn count_records(mut payload: Bytes) -> Option<u64> {
    let mut records = 0;
    while payload.has_remaining() {
        if payload.get_u8() != 0x0a {
            return None;
        }
        let length = prost::encoding::decode_varint(&mut payload).ok()?;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= payload.remaining())?;
        payload.advance(length);
        records += 1;
    }
    Some(records)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::messages::{PutRecordsRequest, RecordEntry};

    #[test]
    fn records_are_counted_without_being_read() {
        let entry = RecordEntry {
            data: Some(Bytes::from(vec![1; 300])),
            ..RecordEntry::default()
        };
        let put = PutRecordsRequest {
            records: vec![entry; 5],
        }
        .encode_to_vec();
        let frame = frame::seal(&put);
        assert_eq!(
            count(&frame, 7).unwrap(),
            Seen {
                wire_bytes: 7,
                raw_bytes: frame.len() as u64,
                records: 5
            }
        );
        assert_eq!(count_records(Bytes::from(put[..put.len() - 1].to_vec())), None);
        assert_eq!(count_records(Bytes::from_static(b"\x12\x00")), None);
    }
}

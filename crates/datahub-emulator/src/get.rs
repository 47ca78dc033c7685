//! Getting records in JSON, in protobuf and as batches.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use crate::cursor;
use crate::messages::{
    BinaryRecordEntry, FieldData, GetBinaryRecordsResponse, GetRecordsRequest, GetRecordsResponse,
    RecordAttributes, RecordData, RecordEntry,
};
use crate::put::unreadable;
use crate::refusal::Refusal;
use crate::shard::{Kept, Shard, State, Stored};
use crate::topic::{Moment, RecordKind, Topic};

const MAX_LIMIT: i64 = 1000;
/// An answer stops growing here; one record always fits.
const MAX_ANSWER: usize = 4 << 20;

/// What a get asks for.
pub(crate) struct Wanted {
    cursor: String,
    limit: i64,
}

impl Wanted {
    pub(crate) fn from_json(request: &Value) -> Result<Wanted, Refusal> {
        let cursor = request.get("Cursor").and_then(Value::as_str);
        let cursor = cursor
            .ok_or_else(|| Refusal::new("InvalidCursor", "Cursor is missing"))?
            .to_owned();
        Ok(Wanted {
            cursor,
            limit: request.get("Limit").and_then(Value::as_i64).unwrap_or(1),
        })
    }

    pub(crate) fn from_protobuf(payload: Bytes) -> Result<Wanted, Refusal> {
        let request = GetRecordsRequest::decode(payload).map_err(unreadable)?;
        Ok(Wanted {
            cursor: request.cursor,
            limit: request.limit.unwrap_or(1).into(),
        })
    }
}

/// A stretch of a shard.
struct Stretch<'a> {
    shard: &'a Shard,
    first: usize,
    records: &'a [Stored],
    latest: i64,
    latest_time: i64,
}

impl<'a> Stretch<'a> {
    fn read(topic: &'a Topic, id: &str, wanted: &Wanted, now: Moment<'_>) -> Result<Stretch<'a>, Refusal> {
        let shard = topic.shard(id)?;
        let first = cursor::parse(&wanted.cursor, shard)?;
        if wanted.limit < 1 {
            return Err(Refusal::parameter(format!("Limit is invalid: {}", wanted.limit)));
        }
        if first == shard.records.len() && shard.state(now.ms()) == State::Closed {
            return Err(Refusal::new(
                "InvalidShardOperation",
                "The shard is closed and was read to its end.",
            ));
        }
        let visible = shard.visible(now.us, now.lag_us());
        let limit = usize::try_from(wanted.limit.min(MAX_LIMIT)).unwrap_or(1);
        let all = shard.records.get(first..visible.max(first)).unwrap_or_default();
        let mut size = 0;
        let fits = all.iter().take(limit).take_while(|record| {
            let first = size == 0;
            size += record.data.bytes().len() + record.attributes.len() + 128;
            first || size <= MAX_ANSWER
        });
        let records = all.get(..fits.count()).unwrap_or_default();
        let newest = visible.checked_sub(1).and_then(|last| shard.records.get(last));
        let latest_time = newest.map_or(0, |record| signed(record.system_time_ms));
        Ok(Stretch {
            shard,
            first,
            records,
            latest: signed(visible as u64) - 1,
            latest_time,
        })
    }

    fn cursor(&self, offset: usize) -> String {
        cursor::text(self.shard, self.first + offset)
    }

    fn sequence(&self, offset: usize) -> i64 {
        signed((self.first + offset) as u64)
    }

    fn start(&self) -> i64 {
        if self.records.is_empty() {
            -1
        } else {
            self.sequence(0)
        }
    }

    fn count(&self) -> i32 {
        i32::try_from(self.records.len()).unwrap_or(i32::MAX)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Answers in JSON.
pub(crate) fn json(topic: &Topic, id: &str, wanted: &Wanted, now: Moment<'_>) -> Result<Value, Refusal> {
    let stretch = Stretch::read(topic, id, wanted, now)?;
    let mut records = Vec::with_capacity(stretch.records.len());
    for (offset, record) in stretch.records.iter().enumerate() {
        let data = match &record.data {
            Kept::Blob(bytes) => Value::String(STANDARD.encode(bytes)),
            Kept::Tuple(bytes) => tuple(topic, bytes)?
                .into_iter()
                .map(|field| {
                    field
                        .value
                        .map(|text| String::from_utf8_lossy(&text).into_owned())
                })
                .collect(),
            Kept::Batch(_) => return Err(only_batches()),
        };
        let mut entry = json!({
            "SystemTime": record.system_time_ms,
            "Sequence": stretch.sequence(offset),
            "Cursor": stretch.cursor(offset),
            "NextCursor": stretch.cursor(offset + 1),
            "Data": data,
        });
        if let Some(entry) = entry.as_object_mut().filter(|_| !record.attributes.is_empty()) {
            let pairs = attributes(record)
                .into_iter()
                .map(|(key, value)| (key, Value::String(value)));
            entry.insert("Attributes".to_owned(), Value::Object(pairs.collect()));
        }
        records.push(entry);
    }
    Ok(json!({
        "NextCursor": stretch.cursor(stretch.records.len()),
        "RecordCount": stretch.count(),
        "StartSeq": stretch.start(),
        "Records": records,
        "LatestSeq": stretch.latest,
        "LatestTime": stretch.latest_time,
    }))
}

/// Answers in protobuf, without the frame.
pub(crate) fn protobuf(
    topic: &Topic,
    id: &str,
    wanted: &Wanted,
    now: Moment<'_>,
) -> Result<Vec<u8>, Refusal> {
    let stretch = Stretch::read(topic, id, wanted, now)?;
    let mut records = Vec::with_capacity(stretch.records.len());
    for (offset, record) in stretch.records.iter().enumerate() {
        let data = match &record.data {
            Kept::Blob(bytes) => vec![FieldData {
                value: Some(bytes.clone()),
            }],
            Kept::Tuple(bytes) => tuple(topic, bytes)?,
            Kept::Batch(_) => return Err(only_batches()),
        };
        records.push(RecordEntry {
            shard_id: Some(id.to_owned()),
            cursor: Some(stretch.cursor(offset)),
            next_cursor: Some(stretch.cursor(offset + 1)),
            sequence: Some(stretch.sequence(offset)),
            system_time: Some(signed(record.system_time_ms)),
            attributes: Some(record.attributes.clone()).filter(|attributes| !attributes.is_empty()),
            data: Some(RecordData { data }.encode_to_vec().into()),
            ..RecordEntry::default()
        });
    }
    let answer = GetRecordsResponse {
        next_cursor: stretch.cursor(stretch.records.len()),
        record_count: stretch.count(),
        start_sequence: Some(stretch.start()),
        records,
        latest_sequence: Some(stretch.latest),
        latest_time: Some(stretch.latest_time),
    };
    Ok(answer.encode_to_vec())
}

/// Answers with batches as they came, without the frame.
pub(crate) fn batches(topic: &Topic, id: &str, wanted: &Wanted, now: Moment<'_>) -> Result<Vec<u8>, Refusal> {
    let stretch = Stretch::read(topic, id, wanted, now)?;
    let mut records = Vec::with_capacity(stretch.records.len());
    for (offset, record) in stretch.records.iter().enumerate() {
        let data = match &record.data {
            Kept::Batch(bytes) => bytes.clone(),
            Kept::Blob(bytes) => crate::batch::of_blob(bytes, &attributes(record)).into(),
            Kept::Tuple(_) => {
                let why = "The emulator does not turn tuple records into batches: read them as protobuf.";
                return Err(Refusal::new("InvalidOperation", why));
            }
        };
        records.push(BinaryRecordEntry {
            cursor: Some(stretch.cursor(offset)),
            next_cursor: Some(stretch.cursor(offset + 1)),
            sequence: Some(stretch.sequence(offset)),
            system_time: Some(signed(record.system_time_ms)),
            serial: Some(0),
            data: Some(data),
        });
    }
    let answer = GetBinaryRecordsResponse {
        next_cursor: stretch.cursor(stretch.records.len()),
        record_count: stretch.count(),
        start_sequence: Some(stretch.start()),
        records,
        latest_sequence: Some(stretch.latest),
        latest_time: Some(stretch.latest_time),
    };
    Ok(answer.encode_to_vec())
}

fn only_batches() -> Refusal {
    let why = "The shard holds batches, which the emulator keeps as they are: read them as batches.";
    Refusal::new("InvalidOperation", why)
}

/// The fields of a stored record; a field appended since then is null.
pub(crate) fn tuple(topic: &Topic, encoded: &Bytes) -> Result<Vec<FieldData>, Refusal> {
    let kept = |error: prost::DecodeError| Refusal::new("InternalServerError", error.to_string());
    let mut data = RecordData::decode(encoded.clone()).map_err(kept)?.data;
    if let RecordKind::Tuple(schema) = &topic.kind {
        data.resize(schema.fields.len().max(data.len()), FieldData { value: None });
    }
    Ok(data)
}

/// The attributes of a stored record.
pub(crate) fn attributes(record: &Stored) -> Vec<(String, String)> {
    let attributes = RecordAttributes::decode(record.attributes.clone())
        .unwrap_or_default()
        .attributes;
    attributes
        .into_iter()
        .map(|pair| (pair.key, pair.value))
        .collect()
}

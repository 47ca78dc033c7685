//! Putting records: JSON and protobuf over many shards, protobuf and batches into one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message as _;
use serde_json::{Value, json};

use crate::batch;
use crate::call::Target;
use crate::faults::Action;
use crate::messages::{
    FailedRecord, FieldData, PutBinaryRecordsRequest, PutRecordsRequest, PutRecordsResponse,
    RecordAttributes, RecordData, RecordEntry, StringPair,
};
use crate::refusal::Refusal;
use crate::shard::{Kept, Shard, State, Stored, parse_hash_key, partition_hash};
use crate::topic::{Moment, RecordKind, Topic};
use crate::world::World;

const MAX_RECORDS: usize = 10_000;

/// A record on its way in.
#[derive(Debug)]
pub(crate) struct Arriving {
    shard: Option<String>,
    hash: Option<String>,
    partition: Option<String>,
    attributes: Bytes,
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// Protobuf: an encoded `RecordData`, for either kind of topic.
    Encoded(Bytes),
    /// JSON, one text for each field.
    Texts(Vec<FieldData>),
    /// JSON, a blob.
    Blob(Bytes),
    Batch(Bytes),
}

/// A record that was refused.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) index: usize,
    pub(crate) refusal: Refusal,
}

/// Reads a multi-shard put in JSON.
pub(crate) fn parse_json(request: &Value) -> Result<Vec<Arriving>, Refusal> {
    let records = request.get("Records").and_then(Value::as_array);
    let records = records.ok_or_else(|| Refusal::parameter("Records is missing or invalid"))?;
    records.iter().map(from_json).collect()
}

fn from_json(record: &Value) -> Result<Arriving, Refusal> {
    let text = |key: &str| {
        record
            .get(key)
            .and_then(Value::as_str)
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
    };
    let data = match record.get("Data") {
        Some(Value::String(blob)) => Data::Blob(
            STANDARD
                .decode(blob)
                .map_err(|_| Refusal::malformed("Blob data is not base64"))?
                .into(),
        ),
        Some(Value::Array(fields)) => Data::Texts(
            fields
                .iter()
                .map(|field| match field {
                    Value::Null => Ok(FieldData { value: None }),
                    Value::String(text) => Ok(FieldData {
                        value: Some(Bytes::from(text.clone())),
                    }),
                    _ => Err(Refusal::malformed("A field is neither a string nor null")),
                })
                .collect::<Result<_, _>>()?,
        ),
        _ => return Err(Refusal::malformed("Data is missing or invalid")),
    };
    let mut attributes = RecordAttributes::default();
    if let Some(pairs) = record.get("Attributes").and_then(Value::as_object) {
        for (key, value) in pairs {
            let value = value
                .as_str()
                .ok_or_else(|| Refusal::malformed("An attribute is not a string"))?;
            attributes.attributes.push(StringPair {
                key: key.clone(),
                value: value.to_owned(),
            });
        }
    }
    Ok(Arriving {
        shard: text("ShardId"),
        hash: text("HashKey"),
        partition: text("PartitionKey"),
        attributes: attributes.encode_to_vec().into(),
        data,
    })
}

/// Reads a put in protobuf, out of its frame.
pub(crate) fn parse_protobuf(payload: Bytes) -> Result<Vec<Arriving>, Refusal> {
    let request = PutRecordsRequest::decode(payload).map_err(unreadable)?;
    Ok(request.records.into_iter().map(from_entry).collect())
}

fn from_entry(entry: RecordEntry) -> Arriving {
    // Some clients write empty keys where they mean none.
    let some = |key: Option<String>| key.filter(|key| !key.is_empty());
    Arriving {
        shard: some(entry.shard_id),
        hash: some(entry.hash_key),
        partition: some(entry.partition_key),
        attributes: entry.attributes.unwrap_or_default(),
        data: Data::Encoded(entry.data.unwrap_or_default()),
    }
}

/// Reads a put of batches, out of its frame.
pub(crate) fn parse_batches(payload: Bytes) -> Result<Vec<Arriving>, Refusal> {
    let request = PutBinaryRecordsRequest::decode(payload).map_err(unreadable)?;
    let arriving = |data| Arriving {
        shard: None,
        hash: None,
        partition: None,
        attributes: Bytes::new(),
        data: Data::Batch(data),
    };
    Ok(request
        .records
        .into_iter()
        .map(|entry| arriving(entry.data.unwrap_or_default()))
        .collect())
}

pub(crate) fn unreadable(error: prost::DecodeError) -> Refusal {
    Refusal::parameter(format!("Parse body failed, Offset: 0: {error}"))
}

/// Stores what may be stored. By shard all or nothing; else the refused records are named.
pub(crate) fn put(
    world: &mut World,
    target: &Target,
    records: &[Arriving],
    raw_bytes: usize,
    fault: Option<&Action>,
    now: Moment<'_>,
) -> Result<Vec<Failed>, Refusal> {
    if records.is_empty() || records.len() > MAX_RECORDS {
        return Err(Refusal::parameter(format!(
            "Records: {} given, 1 to {MAX_RECORDS} allowed",
            records.len()
        )));
    }
    let stored_bytes = world.stored_bytes;
    let topic = world.topic(&target.project, &target.topic)?;
    if stored_bytes.saturating_add(raw_bytes as u64) > now.options.max_stored_bytes {
        let limit = now.options.max_stored_bytes;
        let message = format!("The emulator keeps at most {limit} bytes of payload and is full.");
        return Err(Refusal::new("LimitExceeded", message));
    }
    let (added, failed) = match target.shard() {
        Some(id) => (
            put_by_shard(topic, id, records, raw_bytes, fault, now)?,
            Vec::new(),
        ),
        None => put_routed(topic, records, fault, now),
    };
    world.stored_bytes += added;
    world.stored_records += (records.len() - failed.len()) as u64;
    Ok(failed)
}

fn put_by_shard(
    topic: &mut Topic,
    id: &str,
    records: &[Arriving],
    raw_bytes: usize,
    fault: Option<&Action>,
    now: Moment<'_>,
) -> Result<u64, Refusal> {
    writable(topic.shard(id)?, now)?;
    throttle(topic.shard_mut(id)?, raw_bytes, now)?;
    let mut checked = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        checked.push(stored(topic, index, record, fault, now)?);
    }
    let shard = topic.shard_mut(id)?;
    let before = shard.bytes;
    checked.into_iter().for_each(|record| shard.append(record));
    Ok(shard.bytes - before)
}

fn put_routed(
    topic: &mut Topic,
    records: &[Arriving],
    fault: Option<&Action>,
    now: Moment<'_>,
) -> (u64, Vec<Failed>) {
    // Records without any key all go where the service pleases: the first shard that takes them.
    let anywhere = topic
        .shards
        .iter()
        .find(|shard| shard.state(now.ms()) == State::Active)
        .map(|shard| shard.id);
    let (mut added, mut failed) = (0, Vec::new());
    for (index, record) in records.iter().enumerate() {
        let result = routed(topic, record, anywhere)
            .and_then(|id| writable(topic.shard(&id)?, now).map(|()| id))
            .and_then(|id| stored(topic, index, record, fault, now).map(|stored| (id, stored)))
            .and_then(|(id, stored)| {
                added += stored.size();
                topic.shard_mut(&id)?.append(stored);
                Ok(())
            });
        if let Err(refusal) = result {
            failed.push(Failed { index, refusal });
        }
    }
    (added, failed)
}

/// The shard of a record: its shard id, else its hash key, else its partition key.
fn routed(topic: &Topic, record: &Arriving, anywhere: Option<u32>) -> Result<String, Refusal> {
    if let Some(id) = &record.shard {
        if id.parse::<u32>().is_err() {
            return Err(Refusal::new("InvalidShardId", format!("Invalid shard id: {id}")));
        }
        return Ok(id.clone());
    }
    let hash = match (&record.hash, &record.partition) {
        (Some(key), _) => {
            Some(parse_hash_key(key).ok_or_else(|| Refusal::parameter(format!("Invalid hash key: {key}")))?)
        }
        (None, Some(key)) => Some(partition_hash(key)),
        (None, None) => None,
    };
    let shard = hash.map_or(anywhere, |hash| topic.route(hash));
    shard
        .map(|id| id.to_string())
        .ok_or_else(|| Refusal::new("NoSuchShard", "The topic has no active shard."))
}

fn writable(shard: &Shard, now: Moment<'_>) -> Result<(), Refusal> {
    match shard.state(now.ms()) {
        State::Active => Ok(()),
        State::Opening => Err(Refusal::new("ShardNotReady", "The specified shard is not ready.")),
        State::Closed => Err(Refusal::sealed()),
    }
}

fn throttle(shard: &mut Shard, raw_bytes: usize, now: Moment<'_>) -> Result<(), Refusal> {
    let Some(limit) = now.options.rate_limit else {
        return Ok(());
    };
    let window = &mut shard.window;
    if window.second != now.ms() / 1000 {
        *window = crate::shard::Window {
            second: now.ms() / 1000,
            requests: 0,
            bytes: 0,
        };
    }
    if window.requests >= limit.requests_per_second || window.bytes >= limit.bytes_per_second {
        return Err(Refusal::new(
            "LimitExceeded",
            "The query rate or throughput rate is exceeded.",
        ));
    }
    window.requests += 1;
    window.bytes += raw_bytes as u64;
    Ok(())
}

/// A record checked against the topic, in the form in which it is kept.
fn stored(
    topic: &Topic,
    index: usize,
    record: &Arriving,
    fault: Option<&Action>,
    now: Moment<'_>,
) -> Result<Stored, Refusal> {
    spoil(index, record, fault)?;
    RecordAttributes::decode(record.attributes.clone())
        .map_err(|error| Refusal::malformed(format!("Attributes are invalid: {error}")))?;
    let data = match (&topic.kind, &record.data) {
        (RecordKind::Blob, Data::Blob(bytes)) => Kept::Blob(bytes.clone()),
        (RecordKind::Blob, Data::Encoded(bytes)) => {
            let fields = fields(bytes)?;
            let [FieldData { value: Some(value) }] = fields.as_slice() else {
                return Err(not_a_blob());
            };
            Kept::Blob(value.clone())
        }
        (RecordKind::Blob, Data::Texts(_)) => return Err(not_a_blob()),
        (RecordKind::Tuple(_), Data::Blob(_)) => {
            return Err(Refusal::malformed(
                "The record is a blob, the topic is of type TUPLE",
            ));
        }
        (RecordKind::Tuple(schema), Data::Encoded(bytes)) => {
            schema.check(&fields(bytes)?)?;
            Kept::Tuple(bytes.clone())
        }
        (RecordKind::Tuple(schema), Data::Texts(texts)) => {
            schema.check(texts)?;
            Kept::Tuple(RecordData { data: texts.clone() }.encode_to_vec().into())
        }
        (_, Data::Batch(bytes)) => {
            batch::check(bytes)?;
            Kept::Batch(bytes.clone())
        }
    };
    let attributes = record.attributes.clone();
    Ok(Stored {
        system_time_ms: now.ms(),
        arrival_us: now.us,
        attributes,
        data,
    })
}

fn fields(encoded: &Bytes) -> Result<Vec<FieldData>, Refusal> {
    RecordData::decode(encoded.clone())
        .map(|data| data.data)
        .map_err(|error| Refusal::malformed(format!("Record data is invalid: {error}")))
}

fn not_a_blob() -> Refusal {
    Refusal::malformed("Record field size not match: the topic is of type BLOB, a record is one field")
}

/// Refuses a record when a fault plan says so.
fn spoil(index: usize, record: &Arriving, fault: Option<&Action>) -> Result<(), Refusal> {
    let Some(Action::FailRecords {
        indexes,
        contains,
        code,
        message,
    }) = fault
    else {
        return Ok(());
    };
    let named = indexes.contains(&index);
    let found = contains.as_ref().is_some_and(|text| {
        let inside =
            |bytes: &[u8]| !text.is_empty() && bytes.windows(text.len()).any(|w| w == text.as_bytes());
        match &record.data {
            Data::Encoded(bytes) | Data::Blob(bytes) | Data::Batch(bytes) => inside(bytes),
            Data::Texts(texts) => texts
                .iter()
                .filter_map(|text| text.value.as_ref())
                .any(|text| inside(text)),
        }
    });
    if named || found {
        return Err(Refusal::new(
            code,
            message.as_deref().unwrap_or("Refused by a fault plan."),
        ));
    }
    Ok(())
}

/// The answer to a multi-shard put in JSON.
pub(crate) fn json_answer(failed: &[Failed]) -> Value {
    let records: Vec<Value> = failed
        .iter()
        .map(|f| json!({"Index": f.index, "ErrorCode": f.refusal.code, "ErrorMessage": f.refusal.message}))
        .collect();
    json!({"FailedRecordCount": failed.len(), "FailedRecords": records})
}

/// The answer to a multi-shard put in protobuf, without its frame.
pub(crate) fn protobuf_answer(failed: &[Failed]) -> Vec<u8> {
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let failed_records = failed
        .iter()
        .map(|f| FailedRecord {
            index: number(f.index),
            error_code: Some(f.refusal.code.clone()),
            error_message: Some(f.refusal.message.clone()),
        })
        .collect();
    PutRecordsResponse {
        failed_count: Some(number(failed.len())),
        failed_records,
    }
    .encode_to_vec()
}

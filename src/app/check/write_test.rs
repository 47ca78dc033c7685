//! Writes one record and reads it back, over the paths that the relay uses. Only where that was asked for: readers of the
//! topic meet the record.

use std::sync::Arc;

use crate::app::system_time;
use crate::config::{Config, DatahubConfig};
use crate::record::{
    Batch, BatchId, FieldKind, Layout, OriginRef, Outcome, Part, Probe, Record, RecordId, Shard, ShardState,
    TopicField, TopicSchema, Turn, begin_field, end_field, push_null,
};
use crate::retry::{Failure, Reason};
use crate::sink::DataHub;
use crate::source::preflight::Finding;

/// The group that the record says it is of: no collector takes it for its own, and readers can leave it out.
const GROUP: &str = "cdc-collector-check";

/// What the record of a BLOB topic is.
const PAYLOAD: &str = r#"{"cdc_collector":"check --write-test"}"#;

pub(super) async fn run(config: &Config, schema: &TopicSchema, shards: &[Shard]) -> Finding {
    let active = shards.iter().find(|shard| shard.state == ShardState::Active);
    let Some(shard) = active else {
        return super::not_checked("the write test", "no shard takes records");
    };
    match write(config, schema, shard).await {
        Ok(()) => Finding::info(
            "datahub_write",
            format!(
                "a test record was written to shard {} and read back (cdc.group = {GROUP})",
                shard.id
            ),
        ),
        Err(failure) => failure.into(),
    }
}

async fn write(config: &Config, schema: &TopicSchema, shard: &Shard) -> Result<(), Failure> {
    let config = DatahubConfig {
        group: GROUP.to_owned(),
        ..config.datahub.clone()
    };
    let datahub = DataHub::new(&config, system_time)?;
    let batch = Batch {
        id: BatchId(0),
        shard: Arc::clone(&shard.id),
        records: Arc::from([record(schema, shard)?]),
        watermark: None,
    };
    let lost = match datahub.put(&batch).await {
        Outcome::Acknowledged => None,
        Outcome::Refused(failure) => return Err(failure),
        Outcome::Partial(failures) => match failures.into_iter().next() {
            Some((_, failure)) => return Err(failure),
            None => None,
        },
        Outcome::Unknown { reason } => Some(reason),
    };
    match datahub.probe(&batch).await {
        Probe::Holds(1..) => Ok(()),
        Probe::Holds(_) | Probe::Lacks(_) => Err(missing(shard, lost)),
        Probe::Failed(failure) => Err(failure),
    }
}

fn missing(shard: &Shard, lost: Option<Reason>) -> Failure {
    let why = match lost {
        Some(reason) => format!("its request was not answered with success: {reason}"),
        None => "its request was acknowledged".to_owned(),
    };
    Failure::halt(
        "datahub_write_lost",
        format!("the test record is not in shard {}, and {why}", shard.id),
        "check that DATAHUB_ENDPOINT is the service itself, and the service's status; check again",
    )
}

fn record(schema: &TopicSchema, shard: &Shard) -> Result<Record, Failure> {
    let (layout, payload) = match schema {
        TopicSchema::Blob => (Layout::Blob, PAYLOAD.as_bytes().to_vec()),
        TopicSchema::Tuple(fields) => (Layout::Tuple, tuple(fields)?),
    };
    Ok(Record {
        seq: 0,
        id: RecordId {
            transaction: format!("check-{:016x}", fastrand::u64(..)).into(),
            part: Part::Row(0),
        },
        hash_key: shard.begin,
        layout,
        payload: payload.into(),
        origin: OriginRef::default(),
        turn: Turn::InOrder,
    })
}

/// NULL in every field, or the least that it can hold.
fn tuple(fields: &[TopicField]) -> Result<Vec<u8>, Failure> {
    let mut payload = Vec::new();
    for field in fields {
        if field.nullable {
            push_null(&mut payload);
            continue;
        }
        let begin = begin_field(&mut payload);
        payload.extend_from_slice(least(field.kind).as_bytes());
        if !end_field(&mut payload, begin) {
            return Err(Failure::retry(
                "field_too_large",
                "a test record's field is too large",
            ));
        }
    }
    Ok(payload)
}

fn least(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::TinyInt
        | FieldKind::SmallInt
        | FieldKind::Integer
        | FieldKind::BigInt
        | FieldKind::Float
        | FieldKind::Double
        | FieldKind::Timestamp
        | FieldKind::Decimal => "0",
        FieldKind::Boolean => "false",
        FieldKind::Json => "{}",
        FieldKind::String | FieldKind::Unknown => "",
    }
}

//! Takes the records out of the emulator.

use anyhow::{Context, Result};
use datahub_emulator::{Emulator, Payload, StoredRecord};

use super::{DatabaseRows, Report, TopicRecord, check};
use crate::workload::CommitLog;

/// The attribute that carries a record's identity.
const ID: &str = "cdc.id";

/// Compares a BLOB topic of the emulator with all that was committed, and with the rows in the database.
///
/// # Errors
/// If there is no such topic. Whatever is wrong with its records is in the report.
pub fn check_topic(
    emulator: &Emulator,
    project: &str,
    topic: &str,
    log: &CommitLog,
    rows: Option<&DatabaseRows>,
) -> Result<Report> {
    let stored: Vec<StoredRecord> = emulator
        .records(project, topic)
        .context("reading the topic")?
        .collect();
    let shards: Vec<String> = stored.iter().map(|record| record.shard.to_string()).collect();
    let records = stored.iter().zip(&shards).map(|(record, shard)| TopicRecord {
        shard,
        sequence: record.sequence,
        id: record.attribute(ID),
        payload: match &record.data {
            Payload::Blob(bytes) => bytes,
            // Not JSON, and reported as such.
            Payload::Batch(_) | Payload::Tuple(_) => &[],
        },
        stored_us: Some(record.arrival_us),
    });
    Ok(check(log, records, rows))
}

//! What the topic remembers of a group: its newest watermark, and the records behind a position.
//!
//! Both stand in the attributes of the group's own records. Other writers' records are looked past.

use std::sync::Arc;

use super::DataHub;
use super::control::unreadable;
use super::wire::limits;
use crate::position::{Position, Watermark};
use crate::record::{
    ATTRIBUTE_GROUP, ATTRIBUTE_ID, ATTRIBUTE_LATE, ATTRIBUTE_WATERMARK, Part, RecordId, ShardId, TailRecord,
};
use crate::retry::Failure;

/// Records of the first stretch: a few batches at low traffic, one page.
const FIRST_STRETCH: usize = limits::PAGE_RECORDS as usize;

/// What is found of a group in one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Whether the shard has any record of the group.
    pub present: bool,
    /// The newest watermark.
    pub watermark: Option<Watermark>,
}

impl DataHub {
    /// Looks for the group's newest watermark in the shard.
    ///
    /// # Errors
    /// The shard cannot be read, or a record of the group has attributes that this version does not write.
    pub async fn trace(&self, shard: &ShardId) -> Result<Trace, Failure> {
        let mut trace = Trace::default();
        let mut reading = self.backwards(shard, FIRST_STRETCH).await?;
        loop {
            let records = reading.stretch().await?;
            for record in records.iter().rev().filter(|record| self.is_ours(record)) {
                trace.present = true;
                if let Some(text) = record.attributes.get(ATTRIBUTE_WATERMARK) {
                    let watermark = serde_json::from_str(text)
                        .map_err(|error| unreadable(&format!("a watermark cannot be read: {error}")))?;
                    trace.watermark = Some(watermark);
                    return Ok(trace);
                }
            }
            if reading.is_complete() {
                return Ok(trace);
            }
        }
    }

    /// The ids of the group's records in the shard that lie behind `position`, newest first.
    ///
    /// The shard's records are in the binlog's order, so the first one that is not behind it ends the search. Late
    /// ones, of a table that was parked, are not: they were stored behind all that the position speaks of, or it
    /// covers them.
    ///
    /// # Errors
    /// As [`DataHub::trace`].
    pub async fn stored_behind(
        &self,
        shard: &ShardId,
        position: &Position,
    ) -> Result<Vec<RecordId>, Failure> {
        let mut stored = Vec::new();
        let mut reading = self.backwards(shard, FIRST_STRETCH).await?;
        loop {
            let records = reading.stretch().await?;
            for record in records.iter().rev().filter(|record| self.is_ours(record)) {
                let Some(id) = record.attributes.get(ATTRIBUTE_ID) else {
                    continue;
                };
                let mut id: RecordId = id.parse().map_err(|_| unreadable("a record's id is malformed"))?;
                let row = match id.part {
                    Part::Row(row) => Some(row),
                    Part::Begin | Part::End | Part::Definition(_) => None,
                };
                let late = record.attributes.contains_key(ATTRIBUTE_LATE);
                if !late && position.covers(&id.transaction, row) {
                    return Ok(stored);
                }
                // A transaction's records come in a row, and share its name.
                if let Some(before) = stored
                    .last()
                    .filter(|before: &&RecordId| before.transaction == id.transaction)
                {
                    id.transaction = Arc::clone(&before.transaction);
                }
                stored.push(id);
            }
            if reading.is_complete() {
                return Ok(stored);
            }
        }
    }

    fn is_ours(&self, record: &TailRecord) -> bool {
        record.attributes.get(ATTRIBUTE_GROUP) == Some(&self.group)
    }
}

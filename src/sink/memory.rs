//! What the topic remembers of a group: its newest watermark, and the records behind a position.
//!
//! Both stand in the attributes of the group's own records. Other writers' records are looked past.

use super::DataHub;
use super::control::unreadable;
use super::lookback::{Behind, Found, epoch_of, is_of};
use super::wire::limits;
use crate::position::{Position, Watermark};
use crate::record::{ATTRIBUTE_WATERMARK, ShardId};
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
    /// The highest epoch among the newest records; 0 where they have none.
    pub epoch: u64,
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
            for record in records.iter().filter(|record| is_of(record, &self.group)) {
                trace.epoch = trace.epoch.max(epoch_of(record));
            }
            for record in records.iter().rev().filter(|record| is_of(record, &self.group)) {
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

    /// The group's records in the shard that a run from `position` on may meet.
    ///
    /// # Errors
    /// As [`DataHub::trace`].
    pub async fn stored_behind(&self, shard: &ShardId, position: &Position) -> Result<Found, Failure> {
        let mut behind = Behind::new(position, &self.group);
        let mut reading = self.backwards(shard, FIRST_STRETCH).await?;
        while !reading.is_complete() {
            let records = reading.stretch().await?;
            let seen_all = behind.look(&records);
            if seen_all.map_err(|_| unreadable("a record's id is malformed"))? {
                break;
            }
        }
        Ok(behind.found())
    }
}

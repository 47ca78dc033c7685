//! Reading back: a shard's newest records, and what they say about a batch of unknown fate.
//!
//! Records of other writers and of other groups are looked past. What the shard holds of a batch has to be a
//! prefix of it, because the service stores a request's records in their order; anything else is a contradiction
//! that is reported, not interpreted.

use std::collections::HashMap;

use reqwest::Method;

use super::call::{Call, Content};
use super::control::{Point, unreadable};
use super::wire::{self, answer, limits};
use super::{DataHub, outcome};
use crate::record::{ATTRIBUTE_GROUP, ATTRIBUTE_ID, Batch, Probe, ShardId, TailRecord};
use crate::retry::Failure;

/// How far back a shard is read among other writers' records. If none of the newest so many is ours, a batch is taken for
/// not stored: one request's time is far too short for so many to have come after it.
const LOOK_BACK_RECORDS: u64 = 100_000;

impl DataHub {
    /// Asks the shard how much of the batch it holds.
    pub async fn probe(&self, batch: &Batch) -> Probe {
        match self.held(batch).await {
            Ok(count) => Probe::Holds(count),
            Err(failure) => Probe::Failed(failure),
        }
    }

    async fn held(&self, batch: &Batch) -> Result<usize, Failure> {
        let ids: HashMap<String, usize> = batch
            .records
            .iter()
            .enumerate()
            .map(|(index, record)| (record.id.to_string(), index))
            .collect();
        let mut reading = self.backwards(&batch.shard, batch.records.len()).await?;
        let mut ours = Vec::new();
        loop {
            let mut older = self.places(&reading.stretch().await?, &ids);
            older.append(&mut ours);
            ours = older;
            match settle(&ours, batch.records.len(), reading.is_complete()) {
                Finding::Holds(count) => return Ok(count),
                Finding::LookBack => {}
                Finding::Contradiction => {
                    return Err(Failure::retry(
                        "datahub_probe_contradiction",
                        format!(
                            "shard {} holds parts of a batch, but not its beginning",
                            batch.shard
                        ),
                    ));
                }
            }
        }
    }

    /// Starts to read the shard from its end, `first` records in the first stretch.
    pub(super) async fn backwards(&self, shard: &ShardId, first: usize) -> Result<Backwards<'_>, Failure> {
        let newest = self.newest(shard).await?;
        Ok(Backwards {
            datahub: self,
            shard: ShardId::clone(shard),
            newest: newest.unwrap_or_default(),
            end: newest.map_or(0, |newest| newest + 1),
            window: (first as u64).max(1),
            from_oldest: newest.is_none(),
        })
    }

    /// Each of this group's records as its index in a batch, `None` for those of other batches.
    fn places(&self, records: &[TailRecord], ids: &HashMap<String, usize>) -> Vec<Option<usize>> {
        records
            .iter()
            .filter(|record| record.attributes.get(ATTRIBUTE_GROUP) == Some(&self.group))
            .map(|record| ids.get(record.attributes.get(ATTRIBUTE_ID)?).copied())
            .collect()
    }

    /// The newest record's number, as far as the service says: an empty shard may count as 0.
    async fn newest(&self, shard: &ShardId) -> Result<Option<u64>, Failure> {
        match self.cursor(shard, Point::Latest).await {
            Ok(cursor) => Ok(u64::try_from(cursor.sequence).ok()),
            Err(failure) if failure.reason.code == outcome::SEEK_OUT_OF_RANGE => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The records numbered `first..=last` that are still there.
    async fn read(&self, shard: &ShardId, first: u64, last: u64) -> Result<Stretch, Failure> {
        let (mut cursor, from_oldest) = match self.cursor(shard, Point::Sequence(first)).await {
            // Its time is over: what is left begins later.
            Err(failure) if failure.reason.code == outcome::SEEK_OUT_OF_RANGE => {
                (self.cursor(shard, Point::Oldest).await?.cursor, true)
            }
            found => (found?.cursor, false),
        };
        let (mut records, mut next) = (Vec::new(), first);
        while next <= last {
            let wanted = u32::try_from(last - next + 1).unwrap_or(u32::MAX);
            let page = match self.page(shard, &cursor, wanted.min(limits::PAGE_RECORDS)).await {
                // A sealed shard says so at its end.
                Err(failure) if failure.reason.code == outcome::SHARD_SEALED => break,
                page => page?,
            };
            let Some(newest) = page.records.last() else { break };
            if newest.sequence < next {
                return Err(unreadable("a page of records lies before its cursor"));
            }
            next = newest.sequence + 1;
            records.extend(page.records.into_iter().filter(|r| r.sequence <= last));
            cursor = page.next_cursor;
        }
        Ok(Stretch { records, from_oldest })
    }

    /// One page; a smaller one if that is too large to read.
    async fn page(&self, shard: &ShardId, cursor: &str, limit: u32) -> Result<answer::Page, Failure> {
        let mut limit = limit.max(1);
        loop {
            let call = Call {
                method: Method::POST,
                path: self.shard_path(shard),
                content: Content::Protobuf("sub"),
                body: wire::get_body(cursor, limit).into(),
                encoding: None,
            };
            match self.control(&call).await {
                Ok(body) => {
                    return answer::get_answer(&body).map_err(|error| unreadable(error.0));
                }
                Err(failure) if failure.reason.code == outcome::ANSWER_TOO_LARGE && limit > 1 => {
                    limit /= 2;
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Most records of a stretch: what is held of them at once is a few megabytes.
const LARGEST_STRETCH: u64 = 8 * limits::PAGE_RECORDS as u64;

/// A shard, read from its end in stretches of growing length.
pub(super) struct Backwards<'a> {
    datahub: &'a DataHub,
    shard: ShardId,
    newest: u64,
    /// One behind the next stretch's last record.
    end: u64,
    /// Records of the next stretch.
    window: u64,
    from_oldest: bool,
}

impl Backwards<'_> {
    /// The next older stretch, its records in the shard's order; empty where there is none.
    pub(super) async fn stretch(&mut self) -> Result<Vec<TailRecord>, Failure> {
        let Some(last) = self.end.checked_sub(1) else {
            return Ok(Vec::new());
        };
        let first = self.end.saturating_sub(self.window);
        let stretch = self.datahub.read(&self.shard, first, last).await?;
        self.from_oldest |= stretch.from_oldest;
        self.end = first;
        self.window = (self.window.saturating_mul(2)).clamp(u64::from(limits::PAGE_RECORDS), LARGEST_STRETCH);
        Ok(stretch.records)
    }

    /// Whether nothing older is there, or is worth looking at.
    pub(super) fn is_complete(&self) -> bool {
        self.end == 0 || self.from_oldest || self.newest - self.end >= LOOK_BACK_RECORDS
    }
}

/// Some consecutive records of a shard.
struct Stretch {
    records: Vec<TailRecord>,
    /// Nothing older is left in the shard.
    from_oldest: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Holds(usize),
    /// What was read does not reach back far enough to tell.
    LookBack,
    Contradiction,
}

/// What the group's newest records in a shard, oldest first, say about a batch of `len` records.
///
/// Each is its index in the batch, or `None` if it belongs to another one. `complete` means that there is nothing
/// older to read. A batch that is there twice is there.
fn settle(ours: &[Option<usize>], len: usize, complete: bool) -> Finding {
    let mut found = vec![false; len];
    for index in ours.iter().flatten() {
        if let Some(slot) = found.get_mut(*index) {
            *slot = true;
        }
    }
    let prefix = found.iter().take_while(|found| **found).count();
    if found.iter().skip(prefix).any(|found| *found) {
        // The beginning may lie further back, unless something older of ours is in sight.
        let cut_off = matches!(ours.first(), Some(Some(_)));
        return if cut_off && !complete {
            Finding::LookBack
        } else {
            Finding::Contradiction
        };
    }
    if prefix > 0 || complete || !ours.is_empty() {
        Finding::Holds(prefix)
    } else {
        Finding::LookBack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_held_up_to_where_its_records_are() {
        use Finding::{Contradiction, Holds, LookBack};
        for (ours, complete, expected) in [
            (vec![], true, Holds(0)),
            (vec![], false, LookBack),
            (vec![None, None], false, Holds(0)),
            (vec![None, Some(0), Some(1), Some(2)], false, Holds(3)),
            (vec![Some(0), Some(1)], false, Holds(2)),
            (vec![Some(0), Some(1), Some(0), Some(1)], false, Holds(2)),
            (vec![Some(0), Some(1), None], false, Holds(2)),
            (vec![Some(1), Some(2)], false, LookBack),
            (vec![Some(1), Some(2)], true, Contradiction),
            (vec![None, Some(1)], false, Contradiction),
            (vec![None, Some(0), Some(2)], false, Contradiction),
        ] {
            assert_eq!(settle(&ours, 3, complete), expected, "{ours:?} {complete}");
        }
    }
}

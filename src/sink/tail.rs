//! Reading back: a shard's newest records, and what they say about a batch of unknown fate.
//!
//! Records of other writers and of other groups are looked past. What is looked for, how far back and what it means is
//! `lookback`'s; here it is asked for.

use metrics::counter;
use reqwest::Method;

use super::call::{Call, Content};
use super::control::{Point, unreadable};
use super::lookback::{Finding, Search, Window};
use super::wire::{self, answer, limits};
use super::{DataHub, outcome};
use crate::record::{Batch, Probe, ShardId, TailRecord};
use crate::retry::Failure;
use crate::telemetry::metric;

impl DataHub {
    /// Asks the shard how much of the batch it holds.
    pub async fn probe(&self, batch: &Batch) -> Probe {
        let finding = match self.held(batch).await {
            Ok(finding) => finding,
            Err(failure) => return Probe::Failed(failure),
        };
        seen_again(finding.repeated);
        finding.probe
    }

    async fn held(&self, batch: &Batch) -> Result<Finding, Failure> {
        let newest = self.newest(&batch.shard).await?;
        let Some(begin) = self.lengths().begin(batch, newest) else {
            return Err(Failure::retry(
                "datahub_stale_read",
                format!(
                    "shard {} does not show yet all that it acknowledged before",
                    batch.shard
                ),
            ));
        };
        let mut reading = Backwards {
            datahub: self,
            shard: ShardId::clone(&batch.shard),
            window: Window::new(newest, begin, batch.records.len()),
        };
        let mut search = Search::new(batch, &self.group);
        while !search.has_all() && !reading.is_complete() {
            search.look(&reading.stretch().await?);
        }
        self.not_replaced(search.epoch())?;
        self.lengths().shows(&batch.shard, newest);
        Ok(search.finding(reading.window.oldest_left()))
    }

    /// Starts to read the shard from its end, `first` records in the first stretch.
    pub(super) async fn backwards(&self, shard: &ShardId, first: usize) -> Result<Backwards<'_>, Failure> {
        let newest = self.newest(shard).await?;
        self.lengths().shows(shard, newest);
        Ok(Backwards {
            datahub: self,
            shard: ShardId::clone(shard),
            window: Window::new(newest, 0, first),
        })
    }

    /// The newest record's number, as far as the service says: an empty shard may count as 0.
    async fn newest(&self, shard: &ShardId) -> Result<Option<u64>, Failure> {
        match self.cursor(shard, Point::Latest).await {
            Ok(cursor) => Ok(u64::try_from(cursor.sequence).ok()),
            // Nothing was ever in it, its records' time is over, or it was sealed empty.
            Err(failure) if is_end(&failure) => Ok(None),
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
                may_send: None,
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

/// A shard, read from its end in stretches of growing length.
pub(super) struct Backwards<'a> {
    datahub: &'a DataHub,
    shard: ShardId,
    window: Window,
}

impl Backwards<'_> {
    /// The next older stretch, its records in the shard's order; empty where there is none.
    pub(super) async fn stretch(&mut self) -> Result<Vec<TailRecord>, Failure> {
        let Some((first, last)) = self.window.stretch() else {
            return Ok(Vec::new());
        };
        let stretch = self.datahub.read(&self.shard, first, last).await?;
        if stretch.from_oldest {
            let oldest = stretch.records.first().map(|record| record.sequence);
            self.window.cut(oldest);
        }
        Ok(stretch.records)
    }

    /// Whether nothing older is there, or is worth looking at.
    pub(super) fn is_complete(&self) -> bool {
        self.window.is_complete()
    }
}

/// Some consecutive records of a shard.
struct Stretch {
    records: Vec<TailRecord>,
    /// Nothing older is left in the shard.
    from_oldest: bool,
}

/// Whether a failure to point at a shard's records says that it has none there.
fn is_end(failure: &Failure) -> bool {
    matches!(
        failure.reason.code,
        outcome::SEEK_OUT_OF_RANGE | outcome::SHARD_SEALED
    )
}

/// Tells of records that are in the topic more than once: of requests that the service stored late.
pub fn seen_again(records: u64) {
    if records > 0 {
        counter!(metric::DUPLICATES_SEEN_TOTAL).increment(records);
        tracing::warn!(
            records,
            "records are in the topic again under the same cdc.id: a request was stored after it had been looked for"
        );
    }
}

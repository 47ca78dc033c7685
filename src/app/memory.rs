//! Before anything is read: what does the topic know of an earlier run?
//!
//! A container without its volume finds its position here, and one that was killed finds what it had sent behind its
//! checkpoint.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::try_join_all;

use super::view::View;
use crate::delivery::resume::{Saved, decide};
use crate::delivery::{PROBE_DELAY, Stored};
use crate::pipeline::fence::Fence;
use crate::position::{Position, Watermark};
use crate::record::{Key, RecordId, Shard, ShardId};
use crate::retry::{Delays, Disposition, Failure, until_ok};
use crate::sink::{DataHub, Trace, seen_again};
use crate::source::Resume;
use crate::store::{Checkpoint, Store};

/// Shards that are read at the same time.
const AT_ONCE: usize = 8;
/// What is said of a question that is asked again.
const UNREAD: &str = "the topic's newest records cannot be read yet";

/// What a run begins with.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Where the source continues; `None` where the configured start applies.
    pub(super) resume: Option<Resume>,
    /// Records behind that point which need not be sent.
    pub(super) stored: Stored,
    /// The highest epoch of the group that is known.
    pub(super) epoch: u64,
    /// The tenure in which it was read.
    pub(super) tenure: u64,
}

impl Memory {
    /// What the checkpoint alone says.
    pub(super) fn of_file(checkpoint: Option<Checkpoint>) -> Self {
        Self {
            epoch: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.epoch),
            resume: checkpoint.map(|c| Resume {
                identity: c.identity,
                position: c.position,
                with_history: true,
            }),
            stored: Stored::default(),
            tenure: 0,
        }
    }

    /// What the dead letters say: which keys wait behind how many of them. Their records are not put there again, and
    /// neither sent nor put there are those that a person has given up.
    ///
    /// A replay that was cut short may have brought letters into the topic that are still in the file: they leave it
    /// now. `topic_is_read` says that what the topic has is known already.
    ///
    /// # Errors
    /// What only a person can end: a file cannot be read, or the topic may not be.
    pub(super) async fn add_dead_letters(
        &mut self,
        datahub: &DataHub,
        store: &Store,
        topic_is_read: bool,
        delays: Delays,
    ) -> Result<HashMap<Key, u64>, Failure> {
        let position = self.resume.as_ref().map(|resume| &resume.position);
        let (mut letters, mut given_up) = (HashSet::new(), HashSet::new());
        store.discarded(|id| keep_behind(position, id, &mut given_up))?;
        let mut fences = store.letter_keys(|id| {
            letters.insert(id);
        })?;
        if !letters.is_empty() {
            let replayed = match position {
                Some(position) if !topic_is_read => brought(datahub, position, &letters, delays).await?,
                // All that was found behind the position, and every letter, wherever it comes from.
                Some(_) | None => letters
                    .iter()
                    .filter(|id| self.stored.contains(id))
                    .cloned()
                    .collect(),
            };
            if !replayed.is_empty() {
                let ids: HashSet<String> = replayed.iter().map(ToString::to_string).collect();
                let remove = || async { store.remove_letters(&ids) };
                until_ok(delays, remove, warn("dead letters cannot be removed yet")).await?;
                tracing::info!(
                    letters = ids.len(),
                    "dead letters that the topic has are out of their file"
                );
                fences = store.letter_keys(|_| {})?;
            }
        }
        for id in letters {
            keep_behind(position, id, &mut given_up);
        }
        self.stored.aside.extend(given_up);
        Ok(fences)
    }

    /// What the topic and the checkpoint say together. Asks as long as it takes. Where a collector may be left that wrote
    /// what is found, it waits until that one has certainly stopped.
    ///
    /// # Errors
    /// What only a person can end: the two contradict each other, or the topic may not be read.
    pub(super) async fn of_topic(
        datahub: &DataHub,
        created_s: Option<u64>,
        checkpoint: Option<Checkpoint>,
        fence: &Fence,
        delays: Delays,
        view: &View,
    ) -> Result<Self, Failure> {
        let saved = checkpoint.map(|c| Saved {
            watermark: Watermark {
                position: c.position,
                server: c.identity,
            },
            topic_created_s: c.topic_created_s,
            epoch: c.epoch,
        });
        let topic = Reader {
            datahub,
            delays,
            view: Some(view),
        };
        let recalled = || recall(&topic, created_s, saved.clone(), fence);
        until_ok(delays, recalled, warn(UNREAD)).await
    }
}

/// Adds the id of a record that this run may meet: what lies before its beginning will not come, unless a table is parked
/// there whose rows are read after all.
fn keep_behind(position: Option<&Position>, id: RecordId, kept: &mut HashSet<RecordId>) {
    let covers =
        |position: &Position| position.parked.is_empty() && position.covers(&id.transaction, id.row());
    if !position.is_some_and(covers) {
        kept.insert(id);
    }
}

/// Those of the letters that are in the topic.
async fn brought(
    datahub: &DataHub,
    position: &Position,
    letters: &HashSet<RecordId>,
    delays: Delays,
) -> Result<HashSet<RecordId>, Failure> {
    // The service may still be at the last request of a process that was killed a moment ago.
    tokio::time::sleep(PROBE_DELAY).await;
    let topic = Reader {
        datahub,
        delays,
        view: None,
    };
    let look = || async {
        let shards = topic.shards().await?;
        topic.stored(&shards, position).await
    };
    let found = until_ok(delays, look, warn(UNREAD)).await?;
    Ok(letters.iter().filter(|id| found.contains(id)).cloned().collect())
}

fn warn(what: &'static str) -> impl FnMut(Failure, Duration) {
    move |failure, wait| {
        tracing::warn!(code = failure.reason.code, error = %failure.reason.message, wait_ms = wait.as_millis(), "{what}");
    }
}

async fn recall(
    topic: &Reader<'_>,
    created_s: Option<u64>,
    saved: Option<Saved>,
    fence: &Fence,
) -> Result<Memory, Failure> {
    let shards = topic.shards().await?;
    let is_known = |traces: &[Trace]| traces.iter().any(|trace| trace.present);
    let newest = |traces: &[Trace]| traces.iter().map(|trace| trace.epoch).max().unwrap_or_default();
    let own = saved.as_ref().map(|saved| saved.epoch);
    // After a takeover the wait is over that the next lines are about.
    if !fence.lease().is_cleared() || own.is_none() {
        let before = fence.tenure();
        let first = topic.traces(&shards).await?;
        // What the checkpoint's run wrote, or an earlier one, is of a process that is gone: this directory was its own.
        let foreign = match own {
            Some(own) => newest(&first) > own,
            None => is_known(&first),
        };
        if !foreign {
            fence.vouch();
        }
        let tenure = fence.cleared().await;
        if own.is_none() && !foreign && tenure == before {
            return Ok(Memory {
                tenure,
                ..Memory::default()
            });
        }
    }
    let tenure = fence.cleared().await;
    // The service may still be at the last requests of a process that was killed a moment ago; after a takeover it was long
    // ago.
    if !fence.lease().is_settled() {
        tokio::time::sleep(PROBE_DELAY).await;
    }
    let traces = topic.traces(&shards).await?;
    let (is_known, newest) = (is_known(&traces), newest(&traces));
    let watermarks = traces.into_iter().filter_map(|trace| trace.watermark).collect();
    let epoch = own.unwrap_or_default().max(newest);
    let checkpoint = saved.as_ref().map(|saved| saved.watermark.clone());
    let Some(begin) = decide(saved, watermarks, is_known, created_s, newest)? else {
        return Ok(Memory {
            epoch,
            tenure,
            ..Memory::default()
        });
    };
    let with_history = checkpoint.as_ref() == Some(&begin);
    let stored = topic.stored(&shards, &begin.position).await?;
    tracing::info!(position = %begin.position, already_stored = stored.len(), "continuing where the topic and the checkpoint end");
    Ok(Memory {
        resume: Some(Resume {
            identity: begin.server,
            position: begin.position,
            with_history,
        }),
        stored,
        epoch,
        tenure,
    })
}

/// Reads a topic shard by shard, each as often as it takes: where one call in ten fails, all shards of a topic would
/// hardly ever be read without a failure between them.
struct Reader<'a> {
    datahub: &'a DataHub,
    delays: Delays,
    view: Option<&'a View>,
}

impl Reader<'_> {
    async fn shards(&self) -> Result<Vec<Shard>, Failure> {
        self.again(|| self.datahub.shards()).await
    }

    /// Of every shard, sealed ones too: they hold what was delivered before a split or a merge.
    async fn traces(&self, shards: &[Shard]) -> Result<Vec<Trace>, Failure> {
        let mut traces = Vec::with_capacity(shards.len());
        for some in shards.chunks(AT_ONCE) {
            let reads = some
                .iter()
                .map(|shard| self.again(|| self.datahub.trace(&shard.id)));
            traces.extend(try_join_all(reads).await?);
        }
        Ok(traces)
    }

    async fn stored(&self, shards: &[Shard], position: &Position) -> Result<Stored, Failure> {
        let (mut stored, mut repeated) = (Stored::default(), 0);
        for some in shards.chunks(AT_ONCE) {
            let reads = some
                .iter()
                .map(|shard| self.again(|| self.datahub.stored_behind(&shard.id, position)));
            for (shard, found) in some.iter().zip(try_join_all(reads).await?) {
                for id in found.late {
                    repeated += u64::from(!stored.aside.insert(id));
                }
                for id in found.behind {
                    let is_known = stored.contains(&id);
                    let ids = stored.ahead.entry(ShardId::clone(&shard.id)).or_default();
                    ids.insert(id);
                    repeated += u64::from(is_known);
                }
            }
        }
        seen_again(repeated);
        Ok(stored)
    }

    /// Asks until there is an answer, or one that says that the shards are others than those that were listed.
    async fn again<T, F, Fut>(&self, ask: F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let once = || async {
            let answer = ask().await;
            if let Some(view) = self.view {
                view.topic_check(answer.as_ref().err().map(|failure| &failure.reason));
            }
            match answer {
                Err(failure) if matches!(failure.disposition, Disposition::Reroute) => Ok(Err(failure)),
                answer => answer.map(Ok),
            }
        };
        until_ok(self.delays, once, warn(UNREAD)).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::TableId;
    use crate::position::{FilePosition, Parked};

    #[test]
    fn a_letter_from_before_the_start_is_remembered_while_a_table_is_parked() {
        let at = |file: &str| Position {
            gtid_set: None,
            file: file.parse::<FilePosition>().unwrap(),
            open: None,
            parked: Vec::new(),
        };
        let table = TableId {
            db: "d".to_owned(),
            table: "t".to_owned(),
        };
        let since = at("b.1:4");
        let parked = Position {
            parked: vec![Parked { table, since }],
            ..at("b.1:9")
        };
        let cases = [
            (None, "b.1:5:0", true),
            (Some(at("b.1:9")), "b.1:5:0", false),
            (Some(at("b.1:9")), "b.1:9:0", true),
            (Some(parked), "b.1:5:0", true),
        ];
        for (position, id, expected) in cases {
            let mut kept = HashSet::new();
            keep_behind(position.as_ref(), id.parse().unwrap(), &mut kept);
            assert_eq!(kept.len(), usize::from(expected), "{id} at {position:?}");
        }
    }
}

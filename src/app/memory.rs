//! Before anything is read: what does the topic know of an earlier run?
//!
//! A container without its volume finds its position here, and one that was killed finds what it had sent behind its
//! checkpoint.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::view::View;
use crate::delivery::resume::{Saved, decide};
use crate::position::{Position, Watermark};
use crate::record::{RecordId, Shard};
use crate::retry::{Delays, Failure, until_ok};
use crate::sink::{DataHub, Trace, seen_again};
use crate::source::Resume;
use crate::store::{Checkpoint, Store};

/// Shards that are read at the same time.
const AT_ONCE: usize = 8;

/// What a run begins with.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Where the source continues; `None` where the configured start applies.
    pub(super) resume: Option<Resume>,
    /// Records behind that point which need not be sent.
    pub(super) stored: HashSet<RecordId>,
}

impl Memory {
    /// What the checkpoint alone says.
    pub(super) fn of_file(checkpoint: Option<Checkpoint>) -> Self {
        Self {
            resume: checkpoint.map(|c| Resume {
                identity: c.identity,
                position: c.position,
                with_history: true,
            }),
            stored: HashSet::new(),
        }
    }

    /// The records that are in the dead-letter file are not put there again.
    ///
    /// # Errors
    /// A halt: the file cannot be read.
    pub(super) fn add_dead_letters(&mut self, store: &Store) -> Result<(), Failure> {
        let unreadable = |what: String| {
            Failure::halt(
                "dead_letters_unreadable",
                format!("the dead-letter file cannot be read: {what}"),
                "repair the line that is named, or move the file to another place",
            )
        };
        for letter in store.dead_letters().map_err(|e| unreadable(e.to_string()))? {
            let id = letter.id.parse();
            self.stored
                .insert(id.map_err(|e| unreadable(format!("{:?} is {e}", letter.id)))?);
        }
        Ok(())
    }

    /// What the topic and the checkpoint say together. Asks as long as it takes.
    ///
    /// # Errors
    /// What only a person can end: the two contradict each other, or the topic may not be read.
    pub(super) async fn of_topic(
        datahub: &DataHub,
        created_s: Option<u64>,
        checkpoint: Option<Checkpoint>,
        settle: Duration,
        delays: Delays,
        view: &View,
    ) -> Result<Self, Failure> {
        let saved = checkpoint.map(|c| Saved {
            watermark: Watermark {
                position: c.position,
                server: c.identity,
            },
            topic_created_s: c.topic_created_s,
        });
        let recalled = until_ok(
            delays,
            || async {
                let recalled = recall(datahub, created_s, saved.clone(), settle).await;
                view.topic_check(recalled.as_ref().err().map(|failure| &failure.reason));
                recalled
            },
            |failure, wait| {
                tracing::warn!(code = failure.reason.code, error = %failure.reason.message, wait_ms = wait.as_millis(),
                    "the topic's newest records cannot be read yet");
            },
        );
        recalled.await
    }
}

async fn recall(
    datahub: &DataHub,
    created_s: Option<u64>,
    saved: Option<Saved>,
    settle: Duration,
) -> Result<Memory, Failure> {
    let shards = datahub.shards().await?;
    let is_known = |traces: &[Trace]| traces.iter().any(|trace| trace.present);
    if saved.is_none() && !is_known(&traces(datahub, &shards).await?) {
        return Ok(Memory::default());
    }
    let with_history = saved.is_some();
    // The service may still be at the last requests of a process that was killed a moment ago.
    tokio::time::sleep(settle).await;
    let traces = traces(datahub, &shards).await?;
    let is_known = is_known(&traces);
    let watermarks = traces.into_iter().filter_map(|trace| trace.watermark).collect();
    let Some(begin) = decide(saved, watermarks, is_known, created_s)? else {
        return Ok(Memory::default());
    };
    let stored = stored(datahub, &shards, &begin.position).await?;
    tracing::info!(position = %begin.position, already_stored = stored.len(), "continuing where the topic and the checkpoint end");
    Ok(Memory {
        resume: Some(Resume {
            identity: begin.server,
            position: begin.position,
            with_history,
        }),
        stored,
    })
}

/// Of every shard, sealed ones too: they hold what was delivered before a split or a merge.
async fn traces(datahub: &DataHub, shards: &[Shard]) -> Result<Vec<Trace>, Failure> {
    let mut traces = Vec::with_capacity(shards.len());
    for some in shards.chunks(AT_ONCE) {
        traces.extend(try_join_all(some.iter().map(|shard| datahub.trace(&shard.id))).await?);
    }
    Ok(traces)
}

async fn stored(
    datahub: &DataHub,
    shards: &[Shard],
    position: &Position,
) -> Result<HashSet<RecordId>, Failure> {
    let (mut stored, mut repeated) = (HashSet::new(), 0);
    for some in shards.chunks(AT_ONCE) {
        let reads = some
            .iter()
            .map(|shard| datahub.stored_behind(&shard.id, position));
        for id in try_join_all(reads).await?.into_iter().flatten() {
            repeated += u64::from(!stored.insert(id));
        }
    }
    seen_again(repeated);
    Ok(stored)
}

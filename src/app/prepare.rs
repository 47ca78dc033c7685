//! Before anything is read: what the topic is, what records are made for, and what an earlier run brought there.

use metrics::gauge;

use super::memory::Memory;
use super::view::View;
use super::{fields, topic};
use crate::config::Config;
use crate::encode::Topic;
use crate::pipeline::Known;
use crate::pipeline::fence::{Fence, Standing};
use crate::record::TopicSchema;
use crate::retry::Failure;
use crate::sink::DataHub;
use crate::source::Resume;
use crate::store::{Checkpoint, Store};
use crate::telemetry::metric;

/// What has to be known of the topic before anything is read.
pub(super) struct Prepared {
    /// What records are made for.
    pub(super) topic: Topic,
    /// Where the source continues.
    pub(super) resume: Option<Resume>,
    /// What an earlier run left.
    pub(super) known: Known,
}

pub(super) async fn prepare(
    datahub: &DataHub,
    config: &Config,
    store: &Store,
    checkpoint: Option<Checkpoint>,
    view: &View,
    fence: &Fence,
) -> Result<Prepared, Failure> {
    let delays = config.delivery.delays;
    // Nothing of the topic is read while another collector is at work, nor while it may be.
    if !fence.held().await {
        fence.cleared().await;
    }
    let found = topic::prepare(datahub, &config.datahub, delays, view).await?;
    let topic = match found.schema {
        TopicSchema::Blob => Topic::Blob,
        TopicSchema::Tuple(fields) => {
            let topic = fields::of(config, fields)?;
            fields::prepare(config, &topic).await?;
            Topic::Tuple(topic)
        }
    };
    let created_s = found.created_s;
    let (memory, fences) = loop {
        let mut memory = if config.datahub.resume_from_topic {
            Memory::of_topic(datahub, created_s, checkpoint.clone(), fence, delays, view).await?
        } else {
            fence.vouch();
            let tenure = fence.cleared().await;
            Memory {
                tenure,
                ..Memory::of_file(checkpoint.clone())
            }
        };
        let fences = memory
            .add_dead_letters(datahub, store, config.datahub.resume_from_topic, delays)
            .await?;
        if memory.tenure == fence.tenure() {
            break (memory, fences);
        }
        tracing::warn!(
            code = "lease_lost",
            "the lease was lost while the topic was read; it is read again"
        );
    };
    let Memory {
        resume,
        stored,
        epoch: found,
        tenure: _,
    } = memory;
    let epoch = found.saturating_add(1);
    datahub.begin_epoch(
        epoch,
        fence.lease().standing != Standing::Absent && config.datahub.resume_from_topic,
    );
    gauge!(metric::EPOCH).set(epoch as f64);
    if let Some(resume) = &resume
        && let Err(failure) = note(store, resume, created_s, epoch)
    {
        tracing::warn!(code = failure.reason.code, error = %failure.reason.message, "the epoch cannot be written down yet");
    }
    Ok(Prepared {
        topic,
        resume,
        known: Known {
            stored,
            fences,
            topic_created_s: created_s,
            epoch,
        },
    })
}

/// Writes the epoch down before anything is sent in it, so that the next start knows that the records are of this directory's
/// collector, which is gone then. What is known of the tables stays only where it reaches as far as the position.
fn note(store: &Store, resume: &Resume, created_s: Option<u64>, epoch: u64) -> Result<(), Failure> {
    if !resume.with_history {
        store.remove_schemas()?;
    }
    store.write_checkpoint(&resume.identity, &resume.position, created_s, epoch)
}

//! Before anything is read: what the topic is, what records are made for, and what an earlier run brought there.

use super::memory::Memory;
use super::view::View;
use super::{fields, topic};
use crate::config::Config;
use crate::delivery;
use crate::encode::Topic;
use crate::pipeline::Known;
use crate::record::TopicSchema;
use crate::retry::Failure;
use crate::sink::DataHub;
use crate::source::Resume;
use crate::store::{Checkpoint, Store};

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
) -> Result<Prepared, Failure> {
    let delays = config.delivery.delays;
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
    let mut memory = if config.datahub.resume_from_topic {
        Memory::of_topic(
            datahub,
            created_s,
            checkpoint,
            delivery::PROBE_DELAY,
            delays,
            view,
        )
        .await?
    } else {
        Memory::of_file(checkpoint)
    };
    let fences = memory
        .add_dead_letters(datahub, store, config.datahub.resume_from_topic, delays)
        .await?;
    let Memory { resume, stored } = memory;
    Ok(Prepared {
        topic,
        resume,
        known: Known {
            stored,
            fences,
            topic_created_s: created_s,
        },
    })
}

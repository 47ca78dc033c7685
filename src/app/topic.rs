//! Before anything is sent: is there such a topic, and what do its records look like?

use std::time::Duration;

use super::check;
use super::view::View;
use crate::config::DatahubConfig;
use crate::record::TopicFacts;
use crate::retry::{Delays, Failure, until_ok};
use crate::sink::DataHub;
use crate::sink::outcome::NO_SUCH_TOPIC;

/// Waits for DataHub as long as it takes, creates the topic if that is wanted, and says what it looks like.
///
/// # Errors
/// What only a person can end: no such topic, no permission.
pub(super) async fn prepare(
    datahub: &DataHub,
    config: &DatahubConfig,
    delays: Delays,
    view: &View,
) -> Result<TopicFacts, Failure> {
    let examined = until_ok(
        delays,
        || async {
            let found = match datahub.topic().await {
                Err(failure) if config.create_topic && failure.reason.code == NO_SUCH_TOPIC => {
                    tracing::info!(project = %config.project, topic = %config.topic, "creating the topic");
                    match datahub.create_topic().await {
                        Ok(()) => datahub.topic().await,
                        Err(failure) => Err(failure),
                    }
                }
                found => found,
            };
            view.topic_check(found.as_ref().err().map(|failure| &failure.reason));
            found
        },
        |failure, wait: Duration| {
            tracing::warn!(code = failure.reason.code, error = %failure.reason.message, wait_ms = wait.as_millis(),
                "the topic cannot be looked up yet");
        },
    );
    let found = examined.await?;
    check::tell(check::clock(datahub));
    Ok(found)
}

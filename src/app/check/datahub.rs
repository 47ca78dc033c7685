//! DataHub: reached, the signature accepted, the topic as the records need it, and its shards.

use std::sync::Arc;

use super::rate::Rate;
use super::{Extent, not_checked, write_test};
use crate::app::{fields, system_time};
use crate::config::Config;
use crate::record::{Shard, ShardState, TopicSchema};
use crate::retry::Failure;
use crate::sink::DataHub;
use crate::sink::outcome::NO_SUCH_TOPIC;
use crate::source::preflight::{Finding, ServerFacts};

/// Beyond so many seconds between the clocks it is time to act: requests are refused when it is a quarter of an hour.
const CLOCK_SECONDS: u64 = 60;

/// What was found.
#[derive(Default)]
pub(super) struct Seen {
    /// All of it.
    pub(super) findings: Vec<Finding>,
    /// Whether the topic says where an earlier run of the group ended.
    pub(super) is_remembered: bool,
}

pub(super) async fn look(
    config: &Config,
    extent: Extent,
    facts: Option<&ServerFacts>,
    rate: Option<Rate>,
) -> Seen {
    let name = format!("{}/{}", config.datahub.project, config.datahub.topic);
    let mut seen = Seen::default();
    let findings = &mut seen.findings;
    let datahub = match DataHub::new(&config.datahub, system_time) {
        Ok(datahub) => datahub,
        Err(failure) => {
            let what = "DataHub's signature, clock, project, topic and shards";
            findings.extend([failure.into(), not_checked(what, "no request can be made")]);
            return seen;
        }
    };
    let found = datahub.topic().await;
    findings.extend(clock(&datahub));
    let schema = match found {
        Ok(facts) => facts.schema,
        Err(failure) if config.datahub.create_topic && failure.reason.code == NO_SUCH_TOPIC => {
            findings.push(Finding::info(
                "datahub_topic",
                format!("the topic {name} will be created"),
            ));
            findings.extend(rate.and_then(|rate| rate.against(usize::from(config.datahub.shards))));
            if extent.write_test {
                findings.push(not_checked("the write test", "there is no topic yet"));
            }
            return seen;
        }
        Err(failure) => {
            findings.push(failure.into());
            let what = "the topic's type and fields, and its shards";
            findings.push(not_checked(what, "the topic could not be asked"));
            return seen;
        }
    };
    findings.extend(records(config, &schema, facts).await);
    let shards = match datahub.shards().await {
        Ok(shards) => shards,
        Err(failure) => {
            findings.push(failure.into());
            findings.push(not_checked(
                "what the topic remembers of the group, and its room",
                "its shards could not be asked for",
            ));
            return seen;
        }
    };
    findings.extend(room(&name, &shards, rate));
    if extent.write_test {
        findings.push(write_test::run(config, &schema, &shards).await);
    }
    match remembered(config, &datahub, &shards).await {
        Ok(is_remembered) => seen.is_remembered = is_remembered,
        Err(failure) => seen.findings.push(failure.into()),
    }
    seen
}

/// Reads the shards from their ends, as a start does: whether the group's records say how far they go.
async fn remembered(config: &Config, datahub: &DataHub, shards: &[Shard]) -> Result<bool, Failure> {
    let mut any = false;
    if config.datahub.resume_from_topic {
        for shard in shards {
            any |= datahub.trace(&shard.id).await?.watermark.is_some();
        }
    }
    Ok(any)
}

/// Whether the records of the captured tables fit into the topic.
async fn records(config: &Config, schema: &TopicSchema, facts: Option<&ServerFacts>) -> Vec<Finding> {
    let TopicSchema::Tuple(declared) = schema else {
        return Vec::new();
    };
    let topic = match fields::of(config, Arc::clone(declared)) {
        Ok(topic) => topic,
        Err(failure) => return vec![failure.into()],
    };
    if facts.is_none() {
        return vec![not_checked(
            "whether the topic's fields take the captured tables",
            "the tables could not be asked for",
        )];
    }
    match fields::examine(config, &topic).await {
        Ok(findings) => findings,
        Err(failure) => vec![failure.into()],
    }
}

fn room(name: &str, shards: &[Shard], rate: Option<Rate>) -> Vec<Finding> {
    let active = shards
        .iter()
        .filter(|shard| shard.state == ShardState::Active)
        .count();
    let mut findings = vec![if active == 0 {
        Finding::fatal(
            "datahub_no_active_shard",
            format!("none of the {} shards of {name} takes records", shards.len()),
            "look at the topic's shards in the DataHub console: one has to be ACTIVE",
        )
    } else {
        Finding::info(
            "datahub_topic",
            format!("the topic {name} has {active} active shards"),
        )
    }];
    findings.extend(rate.filter(|_| active > 0).and_then(|rate| rate.against(active)));
    findings
}

/// The service's clock against ours, once it has answered. A refused signature says it by itself.
pub(in crate::app) fn clock(datahub: &DataHub) -> Option<Finding> {
    let seconds = datahub.clock_ahead()?;
    let (apart, side) = (
        seconds.unsigned_abs(),
        if seconds > 0 { "behind" } else { "ahead of" },
    );
    let seen = format!("this machine's clock is {apart} s {side} DataHub's");
    Some(if apart > CLOCK_SECONDS {
        Finding::warning(
            "datahub_clock_differs",
            format!("{seen}: requests are refused when it is about 900 s"),
            "set this machine's clock (NTP)",
        )
    } else {
        Finding::info("datahub_clock", seen)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::preflight::Severity;

    #[test]
    fn shards_that_take_nothing_do_not_count() {
        let shards = |states: &[ShardState]| -> Vec<Shard> {
            let shard = |state: &ShardState| Shard {
                id: "0".into(),
                state: *state,
                begin: 0,
                end: 1,
                parents: Vec::new(),
            };
            states.iter().map(shard).collect()
        };
        let judged = |states: &[ShardState]| {
            let findings = room("p/t", &shards(states), None);
            assert_eq!(findings.len(), 1);
            (findings[0].code, findings[0].severity)
        };
        use ShardState::{Active, Closed, Opening};
        assert_eq!(judged(&[Closed, Active]), ("datahub_topic", Severity::Info));
        for none in [&[][..], &[Closed, Opening]] {
            assert_eq!(judged(none), ("datahub_no_active_shard", Severity::Fatal));
        }
    }
}

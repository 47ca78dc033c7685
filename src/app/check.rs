//! `cdc-collector check`: looks at both ends and at this machine, as a start would, and relays nothing.

use super::fields;
use crate::config::Config;
use crate::http;
use crate::record::{ShardState, TopicSchema};
use crate::retry::{Disposition, Failure};
use crate::sink::DataHub;
use crate::sink::outcome::NO_SUCH_TOPIC;
use crate::source::connection;
use crate::source::preflight::{self, Finding, Severity};
use crate::store::Store;

/// What `check` found.
#[derive(Clone, Debug)]
pub struct Report {
    /// For people, one finding a line.
    pub text: String,
    /// Whether the collector could start.
    pub passed: bool,
}

/// Looks at the database, at DataHub, at the data directory and at the port.
pub async fn check(config: Config) -> Report {
    let mut findings = database(&config).await;
    for finding in datahub(&config).await {
        // A TUPLE topic asks the database, too: one failure is one finding.
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings.extend(machine(&config).await);
    Report {
        text: preflight::Report(&findings).to_string(),
        passed: findings.iter().all(|finding| finding.severity != Severity::Fatal),
    }
}

async fn database(config: &Config) -> Vec<Finding> {
    let mut conn = match connection::connect(&config.database).await {
        Ok(conn) => conn,
        Err(failure) => return vec![fatal(failure)],
    };
    let mut findings = match preflight::inspect(&mut conn, &config.database).await {
        Ok((_, findings)) => findings,
        Err(failure) => vec![fatal(failure)],
    };
    if config.database.observer.is_some() {
        connection::close(conn).await;
        conn = match connection::connect(&config.database.of_tables()).await {
            Ok(conn) => conn,
            // Said already.
            Err(_) => return findings,
        };
    }
    match preflight::column_rules(&mut conn, &config.database, &config.records).await {
        Ok(of_rules) => findings.extend(of_rules),
        Err(failure) => findings.push(fatal(failure)),
    }
    connection::close(conn).await;
    findings
}

async fn datahub(config: &Config) -> Vec<Finding> {
    let (project, topic) = (&config.datahub.project, &config.datahub.topic);
    let datahub = match DataHub::new(&config.datahub, super::system_time) {
        Ok(datahub) => datahub,
        Err(failure) => return vec![fatal(failure)],
    };
    let mut findings = Vec::new();
    match datahub.topic().await.map(|topic| topic.schema) {
        Ok(TopicSchema::Blob) => {}
        Ok(TopicSchema::Tuple(fields)) => {
            let examined = match fields::of(config, fields) {
                Ok(topic) => fields::examine(config, &topic).await,
                Err(failure) => Err(failure),
            };
            match examined {
                Ok(of_tables) => findings.extend(of_tables),
                Err(failure) => return vec![fatal(failure)],
            }
        }
        Err(failure) if config.datahub.create_topic && failure.reason.code == NO_SUCH_TOPIC => {
            return vec![fine(
                "datahub_topic",
                format!("the topic {project}/{topic} will be created"),
            )];
        }
        Err(failure) => return vec![fatal(failure)],
    }
    match datahub.shards().await {
        Ok(shards) => {
            let active = shards
                .iter()
                .filter(|shard| shard.state == ShardState::Active)
                .count();
            findings.push(fine(
                "datahub_topic",
                format!("the topic {project}/{topic} has {active} active shards"),
            ));
        }
        Err(failure) => findings.push(fatal(failure)),
    }
    findings
}

async fn machine(config: &Config) -> Vec<Finding> {
    let store = Store::open(&config.data_dir, &config.datahub.group);
    let checkpoint = match store.and_then(|store| store.read_checkpoint()) {
        Ok(Some(checkpoint)) => fine(
            "checkpoint",
            format!("would continue from {}", checkpoint.position),
        ),
        Ok(None) => fine("checkpoint", "there is none; START_POSITION applies".to_owned()),
        Err(failure) => fatal(failure),
    };
    let port = match http::bind(config.monitoring.listen).await {
        Ok(_) => fine("port", format!("{} is free", config.monitoring.listen)),
        Err(failure) => fatal(failure),
    };
    vec![checkpoint, port]
}

fn fine(code: &'static str, seen: String) -> Finding {
    Finding {
        code,
        severity: Severity::Info,
        seen,
        remedy: String::new(),
    }
}

fn fatal(failure: Failure) -> Finding {
    let remedy = match failure.disposition {
        Disposition::Halt { remedy } => remedy.into_owned(),
        Disposition::Retry { .. } | Disposition::Reroute | Disposition::Poison(_) => {
            "it may pass; check the address and whether the server is up".to_owned()
        }
    };
    let Failure { reason, .. } = failure;
    Finding {
        code: reason.code,
        severity: Severity::Fatal,
        seen: reason.message,
        remedy,
    }
}

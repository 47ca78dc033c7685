//! This machine: the data directory with what an earlier run left there, the log directory, the port.

use std::fs;
use std::path::Path;

use super::not_checked;
use crate::config::{Config, PoisonPolicy};
use crate::http;
use crate::position::GtidSet;
use crate::retry::Failure;
use crate::source::History;
use crate::source::opening;
use crate::source::preflight::{Finding, ServerFacts};
use crate::store::{self, Store};

/// So much has to be free where no dead letters are kept: checkpoints and definitions are small.
const LEAST_ROOM: u64 = 64 << 20;

/// `is_remembered`: whether the topic says where an earlier run of the group ended.
pub(super) async fn look(config: &Config, facts: Option<&ServerFacts>, is_remembered: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    match Store::open(&config.data_dir, &config.datahub.group) {
        Ok(store) => {
            findings.push(match store.try_writing() {
                Ok(()) => room(config),
                Err(failure) => failure.into(),
            });
            findings.push(begin(config, &store, facts, is_remembered).unwrap_or_else(Finding::from));
            findings.extend(left_behind(&store));
        }
        Err(failure) => {
            findings.push(failure.into());
            let what = "the checkpoint, the tables' definitions, the dead letters and the free room";
            findings.push(not_checked(what, "the data directory could not be opened"));
        }
    }
    findings.extend(config.logging.dir.as_deref().map(logs));
    findings.push(match http::bind(config.monitoring.listen).await {
        Ok(_) => Finding::info("port", format!("{} is free", config.monitoring.listen)),
        Err(failure) => failure.into(),
    });
    findings
}

/// The room in the data directory.
pub(super) fn room(config: &Config) -> Finding {
    match store::room(&config.data_dir) {
        Ok(free) => enough(config, free),
        // Some file systems do not say.
        Err(_) => Finding::info(
            "data_dir",
            format!("{} does not say how much room it has", config.data_dir.display()),
        ),
    }
}

fn enough(config: &Config, free: u64) -> Finding {
    let dir = config.data_dir.display();
    let seen = format!("{} MiB are free in {dir}", free >> 20);
    let letters = config.delivery.dead_letter_bytes;
    if config.delivery.poison == PoisonPolicy::DeadLetter && free < letters {
        return Finding::warning(
            "disk_space_low",
            format!("{seen}, and dead letters may take {} MiB", letters >> 20),
            format!(
                "make room there, or set `DEAD_LETTER_MAX_BYTES={}m`",
                (free >> 21).max(1)
            ),
        );
    }
    if free < LEAST_ROOM {
        return Finding::warning(
            "disk_space_low",
            seen,
            format!("make room on the file system of {dir}"),
        );
    }
    Finding::info("data_dir", seen)
}

/// Where the relay would go on, and whether the server still has that.
fn begin(
    config: &Config,
    store: &Store,
    facts: Option<&ServerFacts>,
    is_remembered: bool,
) -> Result<Finding, Failure> {
    let checkpoint = store.read_checkpoint()?;
    let from = match &checkpoint {
        Some(checkpoint) => format!("would continue from {}", checkpoint.position),
        None if is_remembered => "there is none; the topic says where to continue".to_owned(),
        None => "there is none; START_POSITION applies".to_owned(),
    };
    // A server without a binlog has nothing to go on with, which has been said.
    let Some(facts) = facts.filter(|facts| !facts.head.file.is_empty()) else {
        return Ok(not_checked(
            "whether the server has the position to start from",
            &format!("its binlog could not be asked for; {from}"),
        ));
    };
    if checkpoint.is_some() || !is_remembered {
        let known = checkpoint.map(|checkpoint| (checkpoint.identity, checkpoint.position));
        // The files of a position may be those of one binlog instance of OceanBase alone.
        let learnt = store.read_schemas::<History>()?;
        let instance = learnt.and_then(|schemas| schemas.tables.instance());
        opening::begin(&config.database, known, facts, GtidSet::default(), instance)?;
    }
    Ok(Finding::info("checkpoint", from))
}

/// What else a start would read.
fn left_behind(store: &Store) -> Vec<Finding> {
    let schemas = store.read_schemas::<History>().map(drop);
    let letters = store.letter_keys(|_| {}).map(|keys| keys.values().sum::<u64>());
    let mut findings: Vec<Finding> = schemas.err().into_iter().map(Finding::from).collect();
    match letters {
        Ok(0) => {}
        Ok(letters) => findings.push(Finding::warning(
            "keys_fenced",
            format!("{letters} dead letters, and later records of their keys, wait for a person"),
            "look at them with `cdc-collector dead-letters list`, correct the cause, and replay or discard them",
        )),
        Err(failure) => findings.push(failure.into()),
    }
    findings
}

fn logs(dir: &Path) -> Finding {
    let trial = dir.join("cdc-collector.trial");
    let written = fs::create_dir_all(dir)
        .and_then(|()| fs::write(&trial, b""))
        .and_then(|()| fs::remove_file(&trial));
    match written {
        Ok(()) => Finding::info("log_dir", format!("{} can be written to", dir.display())),
        Err(error) => Finding::warning(
            "log_dir_unusable",
            format!("log files cannot be written to {}: {error}", dir.display()),
            "make LOG_DIR a directory that the collector's user can write to, or leave it out: the log goes to standard \
             output as well",
        ),
    }
}

//! A TUPLE topic against the captured tables, before the first row: every field filled, every type fitting.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, PositionLost};
use crate::encode::{Misfit, TupleTopic};
use crate::record::TopicField;
use crate::retry::{Failure, until_ok};
use crate::source::captured;
use crate::source::preflight::{self, Finding, Severity};

/// The topic as the encoder needs it.
///
/// # Errors
/// A halt if records are asked for that have no fields.
pub(super) fn of(config: &Config, fields: Arc<[TopicField]>) -> Result<TupleTopic, Failure> {
    let emits = config.records.emits;
    if emits.transactions || emits.definitions || config.database.position_lost != PositionLost::Halt {
        return Err(Failure::halt(
            "tuple_without_marks",
            "a TUPLE topic has no form for records of transactions, definitions and gaps",
            "set `EMIT_TRANSACTIONS=false`, `EMIT_DDL=false` and `ON_POSITION_LOST=halt`, or DATAHUB_TOPIC to a topic of type BLOB",
        ));
    }
    Ok(TupleTopic {
        fields,
        names: config.records.tuple_names,
        rules: config.records.columns.clone(),
    })
}

/// What is wrong with writing the captured tables into the topic, table by table.
///
/// # Errors
/// The database cannot be asked.
pub(super) async fn examine(config: &Config, topic: &TupleTopic) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    captured::for_each(&config.database, |table| {
        let misfits = topic.examine(&table.id, &table.kinds());
        findings.extend(misfits.into_iter().map(finding));
    })
    .await?;
    Ok(findings)
}

/// Waits for the database as long as it takes, and says what is left out.
///
/// # Errors
/// What only a person can end: a table that the topic cannot take, or a database that refuses.
pub(super) async fn prepare(config: &Config, topic: &TupleTopic) -> Result<(), Failure> {
    let examined = until_ok(
        config.delivery.delays,
        || examine(config, topic),
        |failure, wait: Duration| {
            tracing::warn!(code = failure.reason.code, error = %failure.reason.message, wait_ms = wait.as_millis(),
                "the captured tables cannot be compared with the topic yet");
        },
    );
    let findings = examined.await?;
    preflight::verdict(&findings)?;
    for finding in findings {
        tracing::info!(code = finding.code, "{}", finding.seen);
    }
    Ok(())
}

fn finding(misfit: Misfit) -> Finding {
    Finding {
        code: misfit.code,
        severity: if misfit.fatal {
            Severity::Fatal
        } else {
            Severity::Warning
        },
        seen: misfit.seen,
        remedy: misfit.remedy,
    }
}

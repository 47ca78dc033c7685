//! `cdc-collector dead-letters`: shows the dead letters, sends them again, or gives them up.
//!
//! Whoever holds the data directory changes its files. While a collector runs, that is the collector: the command leaves
//! a request and waits for the answer. Otherwise the command holds the directory itself, and replays through the same
//! delivery core and the same client, only without a source.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
use super::{settings, system_time, wall_clock};
use crate::config::Config;
use crate::pipeline::fence::Fence;
use crate::pipeline::{Known, Pipeline, PipelineStatus, Tick};
use crate::record::letter::{Action, Report, Request, Selection};
use crate::retry::{Failure, Reason};
use crate::sink::DataHub;
use crate::store::{DeadLetter, Desk, LettersFile, Progress, Store, stamp};

/// How often an answer is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a running collector may take to notice a request: it looks once a second.
const NOTICED: Duration = Duration::from_secs(30);

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// All letters, one line each, or one JSON object each.
    List {
        /// As JSON, without the payloads.
        json: bool,
    },
    /// One letter, with its payload in readable form.
    Show {
        /// Its id.
        id: String,
    },
    /// Letters are sent again.
    Replay(Selection),
    /// Letters are given up.
    Discard(Selection, String),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LettersReport {
    /// For standard output.
    pub text: String,
    /// Whether everything that was wanted is done.
    pub complete: bool,
}

/// Shows or changes the dead letters.
///
/// # Errors
/// There is no such letter, or it cannot be done now.
pub async fn dead_letters(config: Config, wanted: Letters) -> Result<LettersReport, Failure> {
    let file = LettersFile::of(&config.data_dir, &config.datahub.group);
    match wanted {
        Letters::List { json } => list(&file, json),
        Letters::Show { id } => show(&file, &id),
        Letters::Replay(selection) => change(&config, &file, selection, Action::Replay).await,
        Letters::Discard(selection, reason) => {
            if reason.trim().is_empty() {
                return Err(Failure::halt(
                    "discard_without_reason",
                    "letters are given up for a reason, and none is given",
                    "say why with --reason; it is written to the audit file",
                ));
            }
            change(&config, &file, selection, Action::Discard { reason }).await
        }
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::halt(
        "dead_letters_unreadable",
        format!("the dead letters cannot be read: {error}"),
        "run the command as the collector's user; if a line is damaged, move the file to another place",
    )
}

fn list(file: &LettersFile, json: bool) -> Result<LettersReport, Failure> {
    let mut text = String::new();
    let mut count = 0u64;
    let read = file.each(|letter| {
        count += 1;
        if json {
            text.push_str(&summary(&letter).to_string());
        } else {
            let table = letter.table.as_ref().map(ToString::to_string);
            text.push_str(&format!(
                "{}  {}  {}  {}  {}  {} bytes",
                letter.written.as_deref().unwrap_or("-"),
                letter.id,
                table.as_deref().unwrap_or("-"),
                letter.hash_key,
                letter.reason_code,
                payload_bytes(&letter),
            ));
        }
        text.push('\n');
        Ok(ControlFlow::Continue(()))
    });
    read.map_err(|e| unreadable(&e))?;
    if count == 0 && !json {
        text.push_str("no dead letters\n");
    }
    Ok(LettersReport { text, complete: true })
}

/// A letter without its payload.
fn summary(letter: &DeadLetter) -> serde_json::Value {
    let mut value = serde_json::to_value(letter).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("payload");
        fields.insert("payload_bytes".to_owned(), payload_bytes(letter).into());
    }
    value
}

/// Of four characters of base64, three bytes.
fn payload_bytes(letter: &DeadLetter) -> usize {
    let padding = letter.payload.bytes().rev().take_while(|b| *b == b'=').count();
    (letter.payload.len() / 4 * 3).saturating_sub(padding)
}

fn show(file: &LettersFile, id: &str) -> Result<LettersReport, Failure> {
    let mut found = None;
    let read = file.each(|letter| {
        if letter.id == id {
            found = Some(letter);
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    });
    read.map_err(|e| unreadable(&e))?;
    let letter = found.ok_or_else(|| none_like(&Selection::Id(id.to_owned())))?;
    let record = letter.record().map_err(|e| unreadable(&e))?;
    // JSON as JSON, text as text; what is neither stays in base64 alone.
    let field = |bytes: &[u8]| match (serde_json::from_slice(bytes), std::str::from_utf8(bytes)) {
        (Ok(json @ serde_json::Value::Object(_)), _) => json,
        (_, Ok(text)) => serde_json::Value::from(text),
        (_, Err(_)) => serde_json::Value::Null,
    };
    let fields: Vec<serde_json::Value> = record
        .fields()
        .map(|bytes| bytes.map_or(serde_json::Value::Null, field))
        .collect();
    let mut value = serde_json::to_value(&letter).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("fields".to_owned(), fields.into());
    }
    Ok(LettersReport {
        text: format!("{value:#}\n"),
        complete: true,
    })
}

fn none_like(selection: &Selection) -> Failure {
    Failure::halt(
        "no_such_dead_letter",
        format!("no dead letter is selected by {selection}"),
        "look at them with `cdc-collector dead-letters list`",
    )
}

async fn change(
    config: &Config,
    file: &LettersFile,
    selection: Selection,
    action: Action,
) -> Result<LettersReport, Failure> {
    let mut selected = false;
    let read = file.each(|letter| {
        selected = letter.is_selected(&selection);
        Ok(if selected {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    });
    read.map_err(|e| unreadable(&e))?;
    if !selected {
        return Err(none_like(&selection));
    }
    let desk = Desk::open(&config.data_dir, &config.datahub.group)?;
    let request = Request {
        id: format!("{}-{}", std::process::id(), wall_clock().as_nanos()),
        selection,
        action,
    };
    let report = match Store::open(&config.data_dir, &config.datahub.group) {
        Ok(store) => {
            let store = store.with_letter_limit(config.delivery.dead_letter_bytes);
            alone(config, &desk, store, &request).await?
        }
        Err(failure) if failure.reason.code == "data_dir_in_use" => ask(&desk, &request).await?,
        Err(failure) => return Err(failure),
    };
    Ok(said(&report))
}

fn said(report: &Report) -> LettersReport {
    let mut text = format!(
        "{} replayed, {} discarded, {} refused again\n",
        report.replayed,
        report.discarded,
        report.refused.len()
    );
    for refused in &report.refused {
        text.push_str(&format!("refused: {refused}\n"));
    }
    if let Some(failure) = &report.failure {
        text.push_str(&format!("ended early: {failure}\n"));
    }
    LettersReport {
        text,
        complete: report.refused.is_empty() && report.failure.is_none(),
    }
}

/// Has the collector that holds the directory carry the request out.
async fn ask(desk: &Desk, request: &Request) -> Result<Report, Failure> {
    if let Some(other) = desk.pending() {
        return Err(Failure::halt(
            "dead_letters_busy",
            format!(
                "the collector has a request about {} that is not carried out yet",
                other.selection
            ),
            "wait until it is, then repeat this one",
        ));
    }
    desk.ask(request)?;
    let until = Instant::now() + NOTICED;
    loop {
        match desk.answer(request) {
            Some(Progress::Done(report)) => return Ok(report),
            // From here on it will be carried out, if need be by the next run.
            Some(Progress::Taken) => {}
            None if Instant::now() >= until => {
                desk.withdraw()?;
                return Err(Failure::halt(
                    "dead_letters_unattended",
                    format!(
                        "the collector that holds the directory has not taken the request within {} s",
                        NOTICED.as_secs()
                    ),
                    "see in /health whether it is starting or halted; once it is stopped, this command does the work itself",
                ));
            }
            None => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Carries the request out while no collector runs.
async fn alone(config: &Config, desk: &Desk, store: Store, request: &Request) -> Result<Report, Failure> {
    if let Action::Discard { reason } = &request.action {
        let time = stamp(system_time());
        let (discarded, _) = store.discard_letters(&request.selection, reason, &time)?;
        return Ok(Report {
            discarded,
            ..Report::default()
        });
    }
    let datahub = Arc::new(DataHub::new(&config.datahub, system_time)?);
    // One look before anything is promised; what fails here would fail for ever.
    datahub.topic().await?;
    let store = Arc::new(store);
    let mut memory = Memory::of_file(store.read_checkpoint()?);
    let fences = memory
        .add_dead_letters(&datahub, &store, false, config.delivery.delays)
        .await?;
    if fences.is_empty() {
        return Ok(Report::default());
    }
    desk.ask(request)?;
    // That of the run before: it was this directory's, and is gone.
    datahub.begin_epoch(memory.epoch, false);
    let (pipeline, mut status) = Pipeline::new(
        settings(config),
        datahub,
        store,
        Arc::new(OnceLock::new()),
        Tick::default(),
        system_time,
        Fence::none(),
    );
    // Nothing ever arrives: there is no source.
    let (open, arrivals) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let known = Known {
        fences,
        ..Known::default()
    };
    let attempts = config.delivery.alarm_attempts;
    let result = tokio::select! {
        () = pipeline.run(arrivals, known, stop) => Err(stopped()),
        report = answered(desk, request) => Ok(report),
        failing = status.wait_for(|status| hopeless(status, attempts).is_some()) => {
            Err(failing.ok().and_then(|status| hopeless(&status, attempts)).unwrap_or_else(stopped))
        }
    };
    drop(open);
    desk.withdraw()?;
    result
}

async fn answered(desk: &Desk, request: &Request) -> Report {
    loop {
        if let Some(Progress::Done(report)) = desk.answer(request) {
            return report;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn stopped() -> Failure {
    Failure::retry(
        "replay_stopped",
        "the replay ended before its time; the letters stay",
    )
}

/// Why waiting is of no use to a person at a terminal, if it is not. A collector would go on for ever.
fn hopeless(status: &PipelineStatus, attempts: u32) -> Option<Failure> {
    let core = &status.core;
    let failing = if core.failures >= attempts {
        core.last_failure.as_ref()
    } else {
        core.refresh_failure
            .as_ref()
            .filter(|_| core.refresh_failures >= attempts)
    };
    let of_call = |reason: &Reason| {
        Failure::halt(
            reason.code,
            format!(
                "DataHub does not take the letters, which stay: {}",
                reason.message
            ),
            "correct the cause, then repeat the command",
        )
    };
    status.halted.clone().or_else(|| failing.map(of_call))
}

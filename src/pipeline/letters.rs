//! The driver's part in dead letters: runs what the core asks of the file, and brings it a person's requests.
//!
//! A request is looked for once a second while there are letters that it could be about, and once at the start: an
//! earlier run may have taken one and not have come to its end.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{Answer, Pipeline, Sink, report};
use crate::delivery::KEY_FENCED;
use crate::record::letter::{Report, Request, Selection, Wanted};
use crate::record::{Key, Record};
use crate::retry::Failure;
use crate::store::{Store, stamp};

/// How often a request is looked for: a person waits for it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether a request is being looked for, and when the next look is due.
#[derive(Debug, Default)]
pub(super) struct Desk {
    is_looking: bool,
    next_look: Option<Instant>,
}

/// What was done.
pub(super) enum Done {
    Read(Result<Vec<Record>, Failure>),
    Removed(Result<(), Failure>),
    Discarded(Result<(u64, HashMap<Key, u64>), Failure>),
    Looked(Result<Option<Request>, Failure>),
    Told(Result<(), Failure>),
}

impl<S: Sink> Pipeline<S> {
    pub(super) fn read_letters(&self, wanted: Wanted, bytes: usize) -> BoxFuture<'static, Answer> {
        let read = self.in_store(move |store| store.read_letters(&wanted, bytes));
        Box::pin(async move { Answer::Letters(Done::Read(read.await)) })
    }

    pub(super) fn remove_letters(&self, ids: Vec<String>) -> BoxFuture<'static, Answer> {
        let ids: HashSet<String> = ids.into_iter().collect();
        let removed = self.in_store(move |store| store.remove_letters(&ids));
        Box::pin(async move { Answer::Letters(Done::Removed(removed.await)) })
    }

    pub(super) fn discard_letters(&self, selection: Selection, reason: String) -> BoxFuture<'static, Answer> {
        let time = stamp((self.clock)());
        let discarded = self.in_store(move |store| store.discard_letters(&selection, &reason, &time));
        Box::pin(async move { Answer::Letters(Done::Discarded(discarded.await)) })
    }

    /// Tells whoever made the request what became of it.
    pub(super) fn tell(&self, request: Request, report: Report) -> BoxFuture<'static, Answer> {
        tracing::info!(
            letters = %request.selection,
            replayed = report.replayed,
            discarded = report.discarded,
            refused = report.refused.len(),
            failure = report.failure.as_deref(),
            "a request about dead letters is carried out"
        );
        let told = self.in_store(move |store| store.finish_request(&request, &report));
        Box::pin(async move { Answer::Letters(Done::Told(told.await)) })
    }

    /// Looks whether a person wants something done about the dead letters.
    pub(super) fn look_for_request(&mut self) {
        let now = Instant::now();
        let is_due = match self.desk.next_look {
            None => true,
            Some(at) => at <= now && self.core.has_letters(),
        };
        if self.desk.is_looking || !is_due || !self.core.takes_requests() {
            return;
        }
        self.desk.is_looking = true;
        self.desk.next_look = Some(now + LOOK_EVERY);
        let looked = self.in_store(Store::read_request);
        self.running.push(Box::pin(
            async move { Answer::Letters(Done::Looked(looked.await)) },
        ));
    }

    pub(super) fn finish_letters(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Read(result) => {
                self.note("reading dead letters", result.as_ref().err());
                self.core.handle_letters(now, result);
            }
            Done::Removed(result) => {
                self.note("removing dead letters", result.as_ref().err());
                self.core.handle_removed(now, result);
            }
            Done::Discarded(result) => {
                self.note("discarding dead letters", result.as_ref().err());
                self.core.handle_discarded(now, result);
            }
            Done::Looked(result) => {
                self.desk.is_looking = false;
                match result {
                    // Meanwhile the run may have come to its end: the next one finds the request.
                    Ok(Some(request)) if self.core.takes_requests() => {
                        self.core.handle_request(now, request);
                    }
                    Ok(_) => {}
                    Err(failure) => log(&failure, "a request about dead letters cannot be read"),
                }
            }
            Done::Told(result) => {
                if let Err(failure) = result {
                    log(
                        &failure,
                        "the answer to a request about dead letters cannot be written",
                    );
                }
            }
        }
    }

    /// Says what was added to the dead letters, or why nothing was.
    pub(super) fn dead_lettered(&self, letters: usize, code: &'static str, result: &Result<(), Failure>) {
        match result {
            Ok(()) if code == KEY_FENCED => {
                tracing::debug!(letters, "rows wait behind dead letters of their keys");
            }
            Ok(()) => tracing::warn!(
                letters,
                code,
                "a record that can never be stored is in the dead-letter file; its key waits for a replay or a discard"
            ),
            Err(_) => self.note("writing a dead letter", result.as_ref().err()),
        }
    }

    fn note(&self, what: &'static str, failure: Option<&Failure>) {
        if let Some(failure) = failure {
            self.gauges.retry(failure);
            report(what, failure);
        }
    }
}

fn log(failure: &Failure, what: &'static str) {
    tracing::warn!(code = failure.reason.code, error = %failure.reason.message, "{what}");
}

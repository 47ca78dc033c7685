//! The DataHub client: put a batch, ask a shard what it holds, look at the topic. Knows nothing of the pipeline.
//!
//! Each call is one question with one answer; waiting, repeating and counting are its caller's. The exceptions are
//! keys that are refused (read from their files once more) and a put whose form the service cannot read (sent in the
//! next simpler form, which is remembered). Nothing here logs a record or a key.
//!
//! No proxy is used, whatever the environment says, and no redirect is followed.

mod call;
mod control;
pub mod epoch;
mod guard;
pub mod lookback;
mod memory;
pub mod outcome;
pub mod sign;
mod tail;
pub mod wire;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use reqwest::Method;

pub use call::Clock;
use call::{Answer, Call, Client, Content};
use epoch::Epoch;
pub use guard::MaySend;
use lookback::Lengths;
pub use memory::Trace;
pub use tail::seen_again;
use wire::compress::{Body, Format, Workspace};
use wire::{Addressing, Writer};

use crate::config::{Compression, DatahubConfig};
use crate::record::{Batch, Outcome, ShardId};
use crate::retry::{Disposition, Failure, Reason};

/// Bodies up to this size are made on the spot; larger ones on a thread that may block.
const INLINE_BYTES: usize = 32 * 1024;

/// Most workspaces that are kept: as many bodies as are made at once on most machines.
const KEPT_WORKSPACES: usize = 4;

/// A client of one topic. Its calls may run at the same time; they share connections.
pub struct DataHub {
    client: Client,
    project: String,
    topic: String,
    group: String,
    epoch: OnceLock<Epoch>,
    may_send: OnceLock<MaySend>,
    shards: u16,
    lifecycle_days: u8,
    /// Whether a refused compression may be given up.
    may_unpack: bool,
    form: Mutex<Form>,
    /// How long the shards are at least: where to begin to look for what was sent.
    lengths: Mutex<Lengths>,
    /// Where bodies are made, while none is made there.
    workspaces: Mutex<Vec<Workspace>>,
}

/// How puts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    addressing: Addressing,
    format: Format,
}

/// How one attempt at a put ended.
enum Attempt {
    Done(Outcome),
    /// The service could not read the body in this form and stored nothing.
    Unsuitable(Outcome),
}

impl DataHub {
    /// Sets up a client; nothing is sent yet. `clock` gives the time that requests carry.
    ///
    /// # Errors
    /// The endpoint or a name cannot be part of a request, or the system's certificates cannot be read.
    pub fn new(config: &DatahubConfig, clock: Clock) -> Result<Self, Failure> {
        for name in [&config.project, &config.topic] {
            if !is_plain(name) {
                return Err(Failure::halt(
                    "datahub_invalid_name",
                    format!("{name:?} cannot be the name of a project or topic"),
                    outcome::NAMES,
                ));
            }
        }
        let format = match config.compression {
            Compression::None => Format::Plain,
            Compression::Lz4 | Compression::Auto => Format::Lz4,
            Compression::Deflate => Format::Deflate,
            Compression::Zstd => Format::Zstd,
        };
        Ok(Self {
            client: Client::new(config, clock)?,
            project: config.project.clone(),
            topic: config.topic.clone(),
            group: config.group.clone(),
            epoch: OnceLock::new(),
            may_send: OnceLock::new(),
            shards: config.shards,
            lifecycle_days: config.lifecycle_days,
            may_unpack: config.compression == Compression::Auto,
            form: Mutex::new(Form {
                addressing: Addressing::ByShard,
                format,
            }),
            lengths: Mutex::default(),
            workspaces: Mutex::default(),
        })
    }

    /// From now on puts leave only while that says so; the first word on it counts.
    pub fn send_only_while(&self, may_send: MaySend) {
        self.may_send.get_or_init(|| may_send);
    }

    /// Sends a batch once and says what became of it.
    ///
    /// A form that the service cannot read is a definite refusal, so the batch goes out again at once in a simpler one;
    /// the form that works is kept for the life of the process.
    pub async fn put(&self, batch: &Batch) -> Outcome {
        self.lengths().sends(batch);
        let outcome = self.put_in_some_form(batch).await;
        self.lengths().answered(batch, &outcome);
        if outcome == Outcome::Acknowledged
            && let Some(epoch) = self.epoch.get()
        {
            epoch.is_in_the_topic();
        }
        outcome
    }

    async fn put_in_some_form(&self, batch: &Batch) -> Outcome {
        let current = *self.form.lock().unwrap_or_else(PoisonError::into_inner);
        let first = match self.attempt(batch, current).await {
            Attempt::Done(outcome) => return outcome,
            Attempt::Unsuitable(outcome) => outcome,
        };
        for form in simpler(current, self.may_unpack) {
            let Attempt::Done(outcome) = self.attempt(batch, form).await else {
                continue;
            };
            if matches!(outcome, Outcome::Acknowledged | Outcome::Partial(_)) {
                self.keep(form);
            }
            return outcome;
        }
        first
    }

    /// Remembers a form that works, and says so once.
    fn keep(&self, form: Form) {
        let mut kept = self.form.lock().unwrap_or_else(PoisonError::into_inner);
        if *kept != form {
            *kept = form;
            tracing::info!(
                addressing = ?form.addressing,
                compression = ?form.format,
                "DataHub cannot read puts in the usual form; this one works and is used from now on"
            );
        }
    }

    async fn attempt(&self, batch: &Batch, form: Form) -> Attempt {
        let body = match self.body(batch, form).await {
            Ok(body) => body,
            Err(failure) => return Attempt::Done(Outcome::Refused(failure)),
        };
        let packed = body.encoding.is_some();
        let call = Call {
            method: Method::POST,
            path: match form.addressing {
                Addressing::ByShard => self.shard_path(&batch.shard),
                Addressing::PerRecord => format!("{}/shards", self.topic_path()),
            },
            content: Content::Protobuf("pub"),
            body: body.bytes.into(),
            encoding: body.encoding,
            may_send: self.may_send.get().cloned(),
        };
        let answer = match self.client.call(&call).await {
            Ok(answer) => answer,
            Err(lost) => return Attempt::Done(outcome::put_lost(lost)),
        };
        if answer.is_success() {
            return Attempt::Done(stored(&answer, batch.records.len(), form.addressing));
        }
        if let Some(failure) = outcome::unreadable_body(answer.meaning()) {
            return Attempt::Unsuitable(Outcome::Refused(failure));
        }
        let outcome = outcome::put_refused(answer.meaning());
        // An unknown fate is never a reason to send again: the shard has to be asked first.
        let packing = matches!(&outcome, Outcome::Refused(failure) if may_mean_packing(failure));
        if packing && packed && self.may_unpack {
            Attempt::Unsuitable(outcome)
        } else {
            Attempt::Done(outcome)
        }
    }

    /// Writes and compresses the body, away from the threads that serve sockets if it is large.
    async fn body(&self, batch: &Batch, form: Form) -> Result<Body, Failure> {
        let mut workspace = self.workspaces().pop().unwrap_or_default();
        let bytes: usize = batch.records.iter().map(|r| r.payload.len()).sum();
        let epoch = self.epoch_text();
        let body = if bytes <= INLINE_BYTES {
            let writer = Writer {
                group: &self.group,
                epoch: &epoch,
            };
            make_body(&mut workspace, batch, writer, form)
        } else {
            // Cheap: the payloads are shared.
            let (batch, group) = (batch.clone(), self.group.clone());
            let work = tokio::task::spawn_blocking(move || {
                let writer = Writer {
                    group: &group,
                    epoch: &epoch,
                };
                let body = make_body(&mut workspace, &batch, writer, form);
                (workspace, body)
            });
            match work.await {
                Ok((used, body)) => {
                    workspace = used;
                    body
                }
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return Err(Failure::retry("shutting_down", "the runtime is going down")),
                },
            }
        };
        let mut kept = self.workspaces();
        if kept.len() < KEPT_WORKSPACES {
            kept.push(workspace);
        }
        body
    }

    fn workspaces(&self) -> MutexGuard<'_, Vec<Workspace>> {
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lengths(&self) -> MutexGuard<'_, Lengths> {
        self.lengths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topic_path(&self) -> String {
        format!("/projects/{}/topics/{}", self.project, self.topic)
    }

    fn shard_path(&self, shard: &ShardId) -> String {
        format!("{}/shards/{shard}", self.topic_path())
    }
}

fn make_body(
    workspace: &mut Workspace,
    batch: &Batch,
    writer: Writer<'_>,
    form: Form,
) -> Result<Body, Failure> {
    let raw = wire::put_body(workspace.room(), batch, writer, form.addressing)?;
    Ok(workspace.compress(raw, form.format))
}

/// The forms to try after one that the service could not read, the nearest first.
fn simpler(form: Form, may_unpack: bool) -> impl Iterator<Item = Form> {
    let addressings: &[Addressing] = match form.addressing {
        Addressing::ByShard => &[Addressing::ByShard, Addressing::PerRecord],
        Addressing::PerRecord => &[Addressing::PerRecord],
    };
    let formats: &[Format] = if may_unpack && form.format != Format::Plain {
        &[form.format, Format::Plain]
    } else {
        &[form.format]
    };
    let formats: Vec<Format> = formats.to_vec();
    addressings
        .iter()
        .flat_map(move |addressing| {
            let addressing = *addressing;
            formats
                .clone()
                .into_iter()
                .map(move |format| Form { addressing, format })
        })
        .skip(1)
}

/// What became of the records of a put that the service answered with success.
fn stored(answer: &Answer, sent: usize, addressing: Addressing) -> Outcome {
    // By shard there is nothing to say beyond the status; should it say more, it is heard.
    if addressing == Addressing::ByShard && !answer.body.starts_with(&wire::MAGIC) {
        return match outcome::contradicted(&answer.body) {
            Some(reason) => Outcome::Unknown { reason },
            None => Outcome::Acknowledged,
        };
    }
    let failed = match wire::answer::put_answer(&answer.body, sent) {
        Ok(failed) => failed,
        Err(error) => {
            return Outcome::Unknown {
                reason: unreadable(error.0),
            };
        }
    };
    let failures: Vec<(usize, Failure)> = failed
        .iter()
        .map(|f| (f.index, outcome::record_refused(f.index, &f.code, &f.message)))
        .collect();
    match failures.first() {
        None => Outcome::Acknowledged,
        Some((_, first)) if failures.len() == sent && all_alike(&failures, first) => {
            Outcome::Refused(first.clone())
        }
        Some(_) => Outcome::Partial(failures),
    }
}

/// Whether the records all failed for one reason that is not their own: then the batch as a whole did.
fn all_alike(failures: &[(usize, Failure)], first: &Failure) -> bool {
    !matches!(first.disposition, Disposition::Poison(_))
        && failures.iter().all(|(_, f)| f.disposition == first.disposition)
}

/// Whether a refusal may be due to the compression: no code is documented for that.
fn may_mean_packing(failure: &Failure) -> bool {
    matches!(
        failure.reason.code,
        outcome::INVALID_PARAMETER | outcome::UNKNOWN_ERROR
    )
}

/// Whether a name can stand in a path as it is: a path that needs encoding cannot be signed unambiguously.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    !name.is_empty() && name.bytes().all(plain) && !name.bytes().all(|b| b == b'.')
}

fn unreadable(what: &str) -> Reason {
    Reason {
        code: outcome::UNREADABLE,
        message: format!("DataHub's answer cannot be read: {what}"),
    }
}

#[cfg(test)]
mod tests;

//! Requests about dead letters: how a command on this machine asks the collector that holds the directory.
//!
//! A request is a document that the command writes and the collector picks up, an answer one that the collector writes.
//! Both are replaced as a whole and survive either side: a request that was interrupted is carried out by the next run,
//! and carrying it out twice does no harm. One command at a time, by a lock of its own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::document::{Defect, Form};
use super::{Store, file_name};
use crate::record::letter::{Report, Request};
use crate::retry::Failure;

pub(super) const REQUEST_FILE: &str = "dead-letters.request";
pub(super) const ANSWER_FILE: &str = "dead-letters.answer";

const REQUEST: Form = Form {
    magic: "cdc-collector request",
    format: 1,
};

const ANSWER: Form = Form {
    magic: "cdc-collector answer",
    format: 1,
};

/// What the collector says to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    /// The request's id.
    request: String,
    /// How far it is.
    progress: Progress,
}

/// How far a request is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It is being carried out.
    Taken,
    /// It is carried out.
    Done(Report),
}

/// The command's side.
#[derive(Debug)]
pub struct Desk {
    dir: PathBuf,
    request: PathBuf,
    answer: PathBuf,
    /// Held open for its advisory lock: the answers of two commands could not be told apart.
    _lock: File,
}

impl Desk {
    /// Takes the place of the one command that may ask.
    ///
    /// # Errors
    /// A halt: another command is at it, or the directory cannot be used.
    pub fn open(dir: &Path, group: &str) -> Result<Self, Failure> {
        let name = file_name(group);
        let path = dir.join(format!("{name}.dead-letters.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| unwritable(&path, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Failure::halt(
                    "dead_letters_busy",
                    "another command of this group is at the dead letters",
                    "wait until it has ended, then repeat this one",
                ));
            }
            Err(fs::TryLockError::Error(e)) => return Err(unwritable(&path, &e)),
        }
        Ok(Self {
            dir: dir.to_owned(),
            request: dir.join(format!("{name}.{REQUEST_FILE}")),
            answer: dir.join(format!("{name}.{ANSWER_FILE}")),
            _lock: lock,
        })
    }

    /// The request that waits to be carried out, of a command that did not wait for its end.
    pub fn pending(&self) -> Option<Request> {
        REQUEST.read(&self.request).ok().flatten()
    }

    /// Puts a request where the collector looks.
    ///
    /// # Errors
    /// A halt: it cannot be written.
    pub fn ask(&self, request: &Request) -> Result<(), Failure> {
        REQUEST
            .write(&self.dir, &self.request, request)
            .map_err(|e| unwritable(&self.request, &e))
    }

    /// What the collector has said to this request, if anything.
    pub fn answer(&self, request: &Request) -> Option<Progress> {
        let answer: Answer = ANSWER.read(&self.answer).ok().flatten()?;
        (answer.request == request.id).then_some(answer.progress)
    }

    /// Takes a request back that nobody has taken.
    ///
    /// # Errors
    /// A halt: the file cannot be removed.
    pub fn withdraw(&self) -> Result<(), Failure> {
        remove(&self.request).map_err(|e| unwritable(&self.request, &e))
    }
}

impl Store {
    /// The request that waits, if there is one that is not carried out yet.
    ///
    /// # Errors
    /// A halt: it cannot be read. One that is damaged is removed.
    pub fn read_request(&self) -> Result<Option<Request>, Failure> {
        let request: Option<Request> = REQUEST.read(&self.request).map_err(|defect| {
            let what = match defect {
                Defect::Unreadable(e) => return unwritable(&self.request, &e),
                Defect::Newer(format) => format!("it has format {format}"),
                Defect::Damaged(what) => what,
            };
            // Nobody can carry it out, and the command that made it will say that nobody did.
            let removed = remove(&self.request).is_ok();
            Failure::halt(
                "dead_letter_request_unreadable",
                format!(
                    "a request about dead letters cannot be read ({what}){}",
                    if removed { " and is removed" } else { "" }
                ),
                "use the command of the version that runs",
            )
        })?;
        let Some(request) = request else {
            return Ok(None);
        };
        let answer: Option<Answer> = ANSWER.read(&self.answer).ok().flatten();
        let is_done = answer.is_some_and(|answer| {
            answer.request == request.id && matches!(answer.progress, Progress::Done(_))
        });
        if is_done {
            remove(&self.request).map_err(|e| unwritable(&self.request, &e))?;
            return Ok(None);
        }
        self.say(&request, Progress::Taken)?;
        Ok(Some(request))
    }

    /// Says that a request is carried out, and removes it.
    ///
    /// # Errors
    /// A halt: one of the two failed. The request is then carried out again.
    pub fn finish_request(&self, request: &Request, report: &Report) -> Result<(), Failure> {
        self.say(request, Progress::Done(report.clone()))?;
        remove(&self.request).map_err(|e| unwritable(&self.request, &e))
    }

    fn say(&self, request: &Request, progress: Progress) -> Result<(), Failure> {
        let answer = Answer {
            request: request.id.clone(),
            progress,
        };
        ANSWER
            .write(&self.dir, &self.answer, &answer)
            .map_err(|e| unwritable(&self.answer, &e))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::halt(
        "data_dir_unusable",
        format!("{} cannot be used: {error}", path.display()),
        "make DATA_DIR a directory that the collector's user can write to",
    )
}

#[cfg(test)]
mod tests;

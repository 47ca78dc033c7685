//! What survives the process: the checkpoint, the tables' definitions and the dead letters, in `DATA_DIR`.
//!
//! Owns I9: a checkpoint file is the old one or the new one, and one that is damaged, written by a newer
//! version or made for another group is refused, never guessed at. The only code that renames or fsyncs.
//! It does not decide what to write or when (`delivery`), nor whether a checkpoint fits the server
//! (`source/opening.rs`). What the definitions look like is the source's business (`source/schema/history.rs`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::position::{Position, ServerIdentity};
use crate::retry::Failure;

mod desk;
mod document;
mod letters;
mod orders;
mod room;

pub use desk::{Desk, Progress};
use document::{Defect, Form};
use letters::Appending;
pub use letters::{DeadLetter, LetterPosition, LettersFile, stamp};
pub use orders::{Answer, Order, Orders};
pub use room::room;

const CHECKPOINT: Form = Form {
    magic: "cdc-collector checkpoint",
    format: 1,
};

const SCHEMAS: Form = Form {
    magic: "cdc-collector schemas",
    format: 1,
};

/// A position and the history it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The group that wrote it (`DATAHUB_CONSUMER_GROUP`).
    pub group: String,
    /// The server whose binlog the position is in.
    pub identity: ServerIdentity,
    /// Everything before it is in the topic.
    pub position: Position,
    /// When that topic was created, seconds since 1970, if the service said so.
    #[serde(default)]
    pub topic_created_s: Option<u64>,
    /// The epoch of the run that wrote it; 0 in files of versions that had none.
    #[serde(default)]
    pub epoch: u64,
}

/// What was learnt of the tables, and the server that its places belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schemas<T> {
    /// The group that wrote it (`DATAHUB_CONSUMER_GROUP`).
    pub group: String,
    /// The server whose binlog the places are in.
    pub identity: ServerIdentity,
    /// As the source wrote it.
    pub tables: T,
}

/// The directory of one collector's durable state; locked for as long as the value lives.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    group: String,
    checkpoint: PathBuf,
    schemas: PathBuf,
    audit: PathBuf,
    orders: Orders,
    letters: LettersFile,
    appending: Appending,
    request: PathBuf,
    answer: PathBuf,
    /// Held open for its advisory lock: two collectors on one directory would overwrite each other.
    _lock: File,
}

impl Store {
    /// Opens the directory, creating it if needed, and locks it for this process.
    ///
    /// # Errors
    /// A halt: the directory cannot be made, is not writable, or another collector holds it.
    pub fn open(dir: &Path, group: &str) -> Result<Self, Failure> {
        let unusable = |error: io::Error| unusable(dir, &error);
        fs::create_dir_all(dir).map_err(unusable)?;
        let name = file_name(group);
        let lock_path = dir.join(format!("{name}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Failure::halt(
                    "data_dir_in_use",
                    format!("another collector of group {group} holds {}", lock_path.display()),
                    "stop the other collector, or give this one its own DATA_DIR or DATAHUB_CONSUMER_GROUP",
                ));
            }
            Err(fs::TryLockError::Error(e)) => return Err(unusable(e)),
        }
        let store = Self {
            checkpoint: dir.join(format!("{name}.checkpoint")),
            schemas: dir.join(format!("{name}.schemas")),
            audit: dir.join(format!("{name}.audit.jsonl")),
            orders: Orders::of(dir, &name),
            letters: LettersFile::of(dir, group),
            appending: Appending::default(),
            request: dir.join(format!("{name}.{}", desk::REQUEST_FILE)),
            answer: dir.join(format!("{name}.{}", desk::ANSWER_FILE)),
            dir: dir.to_owned(),
            group: group.to_owned(),
            _lock: lock,
        };
        store.letters.cut_torn().map_err(unusable)?;
        Ok(store)
    }

    /// Reads the checkpoint; `None` if there has never been one.
    ///
    /// # Errors
    /// A halt: the file cannot be read, is damaged, is of a newer format, or belongs to another group.
    pub fn read_checkpoint(&self) -> Result<Option<Checkpoint>, Failure> {
        read_checkpoint(&self.checkpoint, &self.group)
    }

    /// Replaces the checkpoint and returns once it would survive a power cut. Blocks on the disk.
    ///
    /// # Errors
    /// Retryable, code `checkpoint_write`: the old checkpoint is still in place.
    pub fn write_checkpoint(
        &self,
        identity: &ServerIdentity,
        position: &Position,
        topic_created_s: Option<u64>,
        epoch: u64,
    ) -> Result<(), Failure> {
        let checkpoint = Checkpoint {
            group: self.group.clone(),
            identity: identity.clone(),
            position: position.clone(),
            topic_created_s,
            epoch,
        };
        CHECKPOINT
            .write(&self.dir, &self.checkpoint, &checkpoint)
            .map_err(|e| {
                let path = self.checkpoint.display();
                Failure::retry(
                    "checkpoint_write",
                    format!("the checkpoint {path} cannot be written: {e}"),
                )
            })
    }

    /// Reads what was learnt of the tables; `None` if there has never been anything.
    ///
    /// # Errors
    /// A halt: the file cannot be read, is damaged, is of a newer format, or belongs to another group. To go on
    /// without it would be to read rows with definitions that may be newer than they are.
    pub fn read_schemas<T: DeserializeOwned>(&self) -> Result<Option<Schemas<T>>, Failure> {
        /// Removing the file is safe only where nothing was altered that is still to be read.
        const WITHOUT: &str = "restore the file from a copy; or remove it if no captured table was altered since the \
             checkpoint was written";
        let path = self.schemas.display();
        let schemas: Option<Schemas<T>> = SCHEMAS.read(&self.schemas).map_err(|defect| match defect {
            Defect::Unreadable(e) => Failure::halt(
                "schema_history_unreadable",
                format!("the tables' definitions {path} cannot be read: {e}"),
                "make the file readable for the collector's user",
            ),
            Defect::Newer(format) => Failure::halt(
                "schema_history_newer_format",
                format!(
                    "the tables' definitions {path} have format {format}; this version reads up to {}",
                    SCHEMAS.format
                ),
                "run the version that wrote them, or a later one",
            ),
            Defect::Damaged(what) => Failure::halt(
                "schema_history_corrupt",
                format!("the tables' definitions {path} are damaged: {what}"),
                WITHOUT,
            ),
        })?;
        match schemas {
            Some(schemas) if schemas.group != self.group => Err(Failure::halt(
                "schema_history_other_group",
                format!(
                    "the tables' definitions {path} belong to group {}, not {}",
                    schemas.group, self.group
                ),
                "set DATAHUB_CONSUMER_GROUP to the group that wrote them, or use another DATA_DIR",
            )),
            schemas => Ok(schemas),
        }
    }

    /// Replaces what was learnt of the tables and returns once it would survive a power cut. Blocks on the disk.
    ///
    /// # Errors
    /// Retryable, code `schema_history_write`: what was there before is still in place.
    pub fn write_schemas<T: Serialize>(&self, identity: &ServerIdentity, tables: &T) -> Result<(), Failure> {
        let schemas = Schemas {
            group: self.group.clone(),
            identity: identity.clone(),
            tables,
        };
        SCHEMAS.write(&self.dir, &self.schemas, &schemas).map_err(|e| {
            let path = self.schemas.display();
            Failure::retry(
                "schema_history_write",
                format!("the tables' definitions {path} cannot be written: {e}"),
            )
        })
    }

    /// Forgets what was learnt of the tables: it ends before the position that the next checkpoint will have. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// Retryable, code `schema_history_write`: it may still be in place.
    pub fn remove_schemas(&self) -> Result<(), Failure> {
        document::remove(&self.dir, &self.schemas).map_err(|e| {
            let path = self.schemas.display();
            Failure::retry(
                "schema_history_write",
                format!("the tables' definitions {path} cannot be removed: {e}"),
            )
        })
    }

    /// Appends a line to the audit file, of what a person decided, and returns once it would survive a power cut.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// Retryable, code `audit_write`: the line is not in the file.
    pub fn append_audit(&self, line: &impl Serialize) -> Result<(), Failure> {
        let body = serde_json::to_string(line).map_err(io::Error::other);
        body.and_then(|body| letters::append(&self.dir, &self.audit, |out| writeln!(out, "{body}")))
            .map_err(|e| {
                let path = self.audit.display();
                Failure::retry(
                    "audit_write",
                    format!("the audit file {path} cannot be written: {e}"),
                )
            })
    }

    /// What commands beside this collector ask of it.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }
}

fn unusable(dir: &Path, error: &io::Error) -> Failure {
    Failure::halt(
        "data_dir_unusable",
        format!("the data directory {} cannot be used: {error}", dir.display()),
        "make DATA_DIR a directory that the collector's user can write to",
    )
}

fn read_checkpoint(path: &Path, group: &str) -> Result<Option<Checkpoint>, Failure> {
    let shown = path.display();
    let checkpoint: Option<Checkpoint> = CHECKPOINT.read(path).map_err(|defect| match defect {
        Defect::Unreadable(e) => Failure::halt(
            "checkpoint_unreadable",
            format!("the checkpoint {shown} cannot be read: {e}"),
            "make the file readable for the collector's user",
        ),
        Defect::Newer(format) => Failure::halt(
            "checkpoint_newer_format",
            format!(
                "the checkpoint {shown} has format {format}; this version reads up to {}",
                CHECKPOINT.format
            ),
            "run the version that wrote it, or a later one",
        ),
        Defect::Damaged(what) => Failure::halt(
            "checkpoint_corrupt",
            format!("the checkpoint {shown} is damaged: {what}"),
            "restore the file from a copy, or remove it and set START_POSITION to a position that you know \
                 to be delivered",
        ),
    })?;
    let Some(checkpoint) = checkpoint else {
        return Ok(None);
    };
    if checkpoint.group != group {
        return Err(Failure::halt(
            "checkpoint_other_group",
            format!(
                "the checkpoint {shown} belongs to group {}, not {}",
                checkpoint.group, group
            ),
            "set DATAHUB_CONSUMER_GROUP to the checkpoint's group, or use another DATA_DIR",
        ));
    }
    Ok(Some(checkpoint))
}

/// The checkpoint of a group, whether or not a collector is at work on it.
///
/// # Errors
/// As [`Store::read_checkpoint`].
pub fn look(dir: &Path, group: &str) -> Result<Option<Checkpoint>, Failure> {
    read_checkpoint(&dir.join(format!("{}.checkpoint", file_name(group))), group)
}

/// Where orders for a group's collector are left.
pub fn orders(dir: &Path, group: &str) -> Orders {
    Orders::of(dir, &file_name(group))
}

/// Whether a collector is at work on the group's files.
pub fn is_held(dir: &Path, group: &str) -> bool {
    let path = dir.join(format!("{}.lock", file_name(group)));
    let lock = File::open(path).map(|file| file.try_lock_shared());
    matches!(lock, Ok(Err(fs::TryLockError::WouldBlock)))
}

/// A group's name as a file name: what is not a letter, digit, `-` or `_` becomes `_`, and a checksum keeps
/// two groups apart that then look the same.
fn file_name(group: &str) -> String {
    let plain: String = group
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect();
    if plain == group {
        plain
    } else {
        format!("{plain}-{:08x}", crc32fast::hash(group.as_bytes()))
    }
}

#[cfg(test)]
mod tests;

//! What survives the process: the checkpoint, the tables' definitions and the dead letters, in `DATA_DIR`.
//!
//! Owns I9: a checkpoint file is the old one or the new one, and one that is damaged, written by a newer
//! version or made for another group is refused, never guessed at. The only code that renames or fsyncs.
//! It does not decide what to write or when (`delivery`), nor whether a checkpoint fits the server
//! (`source/opening.rs`). What the definitions look like is the source's business (`source/schema/history.rs`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::position::{Position, ServerIdentity};
use crate::record::{Layout, Record};
use crate::retry::{Failure, Reason};

mod document;
mod orders;

use document::{Defect, Form};
pub use orders::{Answer, Order, Orders};

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

/// One record that the service can never store, as a line of the dead-letter file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The record's stable identity.
    pub id: String,
    /// The server it came from.
    pub identity: ServerIdentity,
    /// Its routing hash, 32 hexadecimal digits.
    pub hash_key: String,
    /// Code of the refusal.
    pub reason_code: String,
    /// What the service said.
    pub reason: String,
    /// What the payload is; files from before there was a choice have blobs.
    #[serde(default)]
    pub layout: Layout,
    /// The whole envelope; of a tuple the fields in the topic's order, each behind its length in four bytes, lowest
    /// first, ffffffff for NULL. Base64.
    pub payload: String,
}

/// The directory of one collector's durable state; locked for as long as the value lives.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    group: String,
    checkpoint: PathBuf,
    schemas: PathBuf,
    dead_letters: PathBuf,
    audit: PathBuf,
    orders: Orders,
    /// Held open for its advisory lock: two collectors on one directory would overwrite each other.
    _lock: File,
}

impl Store {
    /// Opens the directory, creating it if needed, and locks it for this process.
    ///
    /// # Errors
    /// A halt: the directory cannot be made, is not writable, or another collector holds it.
    pub fn open(dir: &Path, group: &str) -> Result<Self, Failure> {
        let unusable = |e: io::Error| {
            Failure::halt(
                "data_dir_unusable",
                format!("the data directory {} cannot be used: {e}", dir.display()),
                "make DATA_DIR a directory that the collector's user can write to",
            )
        };
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
            dead_letters: dir.join(format!("{name}.dead-letters.jsonl")),
            audit: dir.join(format!("{name}.audit.jsonl")),
            orders: Orders::of(dir, &name),
            dir: dir.to_owned(),
            group: group.to_owned(),
            _lock: lock,
        };
        store.cut_torn_dead_letter().map_err(unusable)?;
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
    ) -> Result<(), Failure> {
        let checkpoint = Checkpoint {
            group: self.group.clone(),
            identity: identity.clone(),
            position: position.clone(),
            topic_created_s,
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

    /// Appends a record to the dead-letter file and returns once it would survive a power cut. Blocks on the disk.
    ///
    /// # Errors
    /// Retryable, code `dead_letter_write`: the record is not in the file.
    pub fn append_dead_letter(
        &self,
        identity: &ServerIdentity,
        record: &Record,
        reason: &Reason,
    ) -> Result<(), Failure> {
        let letter = DeadLetter {
            id: record.id.to_string(),
            identity: identity.clone(),
            hash_key: format!("{:032x}", record.hash_key),
            reason_code: reason.code.to_owned(),
            reason: reason.message.clone(),
            layout: record.layout,
            payload: base64::engine::general_purpose::STANDARD.encode(&record.payload),
        };
        self.append_line(&letter).map_err(|e| {
            let path = self.dead_letters.display();
            Failure::retry(
                "dead_letter_write",
                format!("the dead-letter file {path} cannot be written: {e}"),
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
        body.and_then(|body| self.append(&self.audit, &format!("{body}\n")))
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

    fn append_line(&self, letter: &DeadLetter) -> io::Result<()> {
        let body = serde_json::to_string(letter).map_err(io::Error::other)?;
        let line = format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()));
        self.append(&self.dead_letters, &line)
    }

    fn append(&self, path: &Path, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let before = file.metadata()?.len();
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
        if written.is_err() {
            // A full disk may have taken half of the line: take it back, so that the next try starts clean.
            file.set_len(before)?;
        }
        written?;
        File::open(&self.dir)?.sync_all()
    }

    /// Reads the dead letters, oldest first.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is damaged; the message names the line.
    pub fn dead_letters(&self) -> io::Result<Vec<DeadLetter>> {
        let text = match fs::read_to_string(&self.dead_letters) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut letters = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let letter = line
                .split_once(' ')
                .filter(|(crc, body)| *crc == format!("{:08x}", crc32fast::hash(body.as_bytes())))
                .and_then(|(_, body)| serde_json::from_str(body).ok());
            letters.push(letter.ok_or_else(|| {
                let path = self.dead_letters.display();
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("line {} of {path} is damaged", number.saturating_add(1)),
                )
            })?);
        }
        Ok(letters)
    }

    /// A last line without its end was never reported as written: its record will come again.
    fn cut_torn_dead_letter(&self) -> io::Result<()> {
        let mut file = match OpenOptions::new().read(true).write(true).open(&self.dead_letters) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at.saturating_add(1));
        if whole < bytes.len() {
            file.set_len(u64::try_from(whole).map_err(io::Error::other)?)?;
            file.rewind()?;
            file.sync_all()?;
        }
        Ok(())
    }
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

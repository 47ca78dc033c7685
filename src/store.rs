//! What survives the process: the checkpoint and the dead letters, in `DATA_DIR`.
//!
//! Owns I9: a checkpoint file is the old one or the new one, and one that is damaged, written by a newer
//! version or made for another group is refused, never guessed at. The only code that renames or fsyncs.
//! It does not decide what to write or when (`delivery`), nor whether a checkpoint fits the server
//! (`delivery/resume.rs`).
//!
//! A checkpoint is one header line, `cdc-collector checkpoint 1 <crc32>`, and one JSON object that a person can
//! read. It is replaced by write to a temporary file → fsync → rename → fsync of the directory: a rename is
//! atomic, but without the two fsyncs a power cut may leave an empty file under the final name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};

use crate::position::{Position, ServerIdentity};
use crate::record::{Layout, Record};
use crate::retry::{Failure, Reason};

const MAGIC: &str = "cdc-collector checkpoint";
const FORMAT: u32 = 1;

/// A position and the history it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The group that wrote it (`DATAHUB_CONSUMER_GROUP`).
    pub group: String,
    /// The server whose binlog the position is in.
    pub identity: ServerIdentity,
    /// Everything before it is in the topic.
    pub position: Position,
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
    dead_letters: PathBuf,
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
            dead_letters: dir.join(format!("{name}.dead-letters.jsonl")),
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
        let path = self.checkpoint.display();
        let bytes = match fs::read(&self.checkpoint) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(Failure::halt(
                    "checkpoint_unreadable",
                    format!("the checkpoint {path} cannot be read: {e}"),
                    "make the file readable for the collector's user",
                ));
            }
        };
        let checkpoint = parse(&bytes).map_err(|defect| match defect {
            Defect::Newer(format) => Failure::halt(
                "checkpoint_newer_format",
                format!("the checkpoint {path} has format {format}; this version reads up to {FORMAT}"),
                "run the version that wrote it, or a later one",
            ),
            Defect::Damaged(what) => Failure::halt(
                "checkpoint_corrupt",
                format!("the checkpoint {path} is damaged: {what}"),
                "restore the file from a copy, or remove it and set START_POSITION to a position that you know \
                 to be delivered",
            ),
        })?;
        if checkpoint.group != self.group {
            return Err(Failure::halt(
                "checkpoint_other_group",
                format!(
                    "the checkpoint {path} belongs to group {}, not {}",
                    checkpoint.group, self.group
                ),
                "set DATAHUB_CONSUMER_GROUP to the checkpoint's group, or use another DATA_DIR",
            ));
        }
        Ok(Some(checkpoint))
    }

    /// Replaces the checkpoint and returns once it would survive a power cut. Blocks on the disk.
    ///
    /// # Errors
    /// Retryable, code `checkpoint_write`: the old checkpoint is still in place.
    pub fn write_checkpoint(&self, identity: &ServerIdentity, position: &Position) -> Result<(), Failure> {
        let checkpoint = Checkpoint {
            group: self.group.clone(),
            identity: identity.clone(),
            position: position.clone(),
        };
        format(&checkpoint)
            .and_then(|bytes| self.replace_checkpoint(&bytes))
            .map_err(|e| {
                let path = self.checkpoint.display();
                Failure::retry(
                    "checkpoint_write",
                    format!("the checkpoint {path} cannot be written: {e}"),
                )
            })
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that renames")]
    fn replace_checkpoint(&self, bytes: &[u8]) -> io::Result<()> {
        let temporary = temporary(&self.checkpoint);
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.checkpoint)?;
        File::open(&self.dir)?.sync_all()
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

    fn append_line(&self, letter: &DeadLetter) -> io::Result<()> {
        let body = serde_json::to_string(letter).map_err(io::Error::other)?;
        let line = format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()));
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.dead_letters)?;
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

enum Defect {
    Newer(u32),
    Damaged(String),
}

fn format(checkpoint: &Checkpoint) -> io::Result<Vec<u8>> {
    let body = serde_json::to_string(checkpoint).map_err(io::Error::other)?;
    Ok(format!(
        "{MAGIC} {FORMAT} {:08x}\n{body}\n",
        crc32fast::hash(body.as_bytes())
    )
    .into_bytes())
}

fn parse(bytes: &[u8]) -> Result<Checkpoint, Defect> {
    let damaged = |what: &str| Defect::Damaged(what.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let (header, rest) = text
        .split_once('\n')
        .ok_or_else(|| damaged("its header line is cut short"))?;
    let mut words = header
        .strip_prefix(MAGIC)
        .ok_or_else(|| damaged("its header line is missing"))?
        .split(' ');
    let (Some(""), Some(version), Some(crc), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(damaged("its header line is malformed"));
    };
    let version: u32 = version
        .parse()
        .map_err(|_| damaged("its format number is malformed"))?;
    if version > FORMAT {
        return Err(Defect::Newer(version));
    }
    if version != FORMAT {
        return Err(damaged("its format number was never used"));
    }
    let body = rest
        .strip_suffix('\n')
        .ok_or_else(|| damaged("its last line is cut short"))?;
    if crc != format!("{:08x}", crc32fast::hash(body.as_bytes())) {
        return Err(damaged("its checksum does not match"));
    }
    serde_json::from_str(body).map_err(|e| Defect::Damaged(e.to_string()))
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
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

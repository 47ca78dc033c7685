//! The dead-letter file: one line a letter, with a checksum, in the order in which they were written.
//!
//! Lines are appended and synced, several at once, all or none; letters leave by a new file that is renamed over the old
//! one, so that the file is the one from before or the one from after. A line without its end was never reported as
//! written. The file is bounded: what does not fit is refused, nothing gives way to it.
//!
//! What is given up is written to the audit file first. Reading needs no lock: an open file stays what it was.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::document::replace_with;
use super::{Store, file_name};
use crate::position::ServerIdentity;
use crate::record::letter::{DEAD_LETTERS_FULL, Selection, Wanted};
use crate::record::{Key, Record, RecordId};
use crate::retry::{Failure, Reason};

mod line;

pub use line::{DeadLetter, LetterPosition, stamp};
use line::{Discarded, Head, damaged, each_line, parse};

/// The dead-letter file of a group.
#[derive(Clone, Debug)]
pub struct LettersFile {
    dir: PathBuf,
    path: PathBuf,
    audit: PathBuf,
}

impl LettersFile {
    /// The file in this directory; it need not be there.
    pub fn of(dir: &Path, group: &str) -> Self {
        let name = file_name(group);
        Self {
            dir: dir.to_owned(),
            path: dir.join(format!("{name}.dead-letters.jsonl")),
            audit: dir.join(format!("{name}.dead-letters.audit.jsonl")),
        }
    }

    /// Shows every letter, oldest first, until `see` has seen enough.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is damaged; the message names the line.
    pub fn each(&self, mut see: impl FnMut(DeadLetter) -> io::Result<ControlFlow<()>>) -> io::Result<()> {
        each_line(&self.path, |line| see(parse(line)?))
    }

    /// The letters that `wanted` means, as far as they fit; one of them in any case.
    fn read(&self, wanted: &Wanted, bytes: usize) -> io::Result<Vec<Record>> {
        let key_of_last = match wanted {
            Wanted::Keys(_) => None,
            Wanted::UpTo(id) => match self.find(id)? {
                Some(head) => Some(head.key()?),
                None => return Ok(Vec::new()),
            },
        };
        let (mut records, mut size) = (Vec::new(), 0usize);
        each_line(&self.path, |line| {
            let head: Head = parse(line)?;
            let key = head.key()?;
            let is_wanted = match (wanted, &key_of_last) {
                (Wanted::Keys(keys), _) => keys.contains(&key),
                (Wanted::UpTo(_), last) => last.as_ref().is_some_and(|last| last.meets(&key)),
            };
            if !is_wanted {
                return Ok(ControlFlow::Continue(()));
            }
            let letter: DeadLetter = parse(line)?;
            let record = letter.record()?;
            size = size.saturating_add(record.cost());
            if !records.is_empty() && size > bytes {
                return Ok(ControlFlow::Break(()));
            }
            records.push(record);
            Ok(match wanted {
                Wanted::UpTo(id) if *id == head.id => ControlFlow::Break(()),
                Wanted::UpTo(_) | Wanted::Keys(_) => ControlFlow::Continue(()),
            })
        })?;
        Ok(records)
    }

    fn find(&self, id: &str) -> io::Result<Option<Head>> {
        let mut found = None;
        each_line(&self.path, |line| {
            let head: Head = parse(line)?;
            if head.id == id {
                found = Some(head);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// Replaces the file by one without the letters of these ids.
    fn remove(&self, ids: &HashSet<String>) -> io::Result<()> {
        replace_with(&self.dir, &self.path, |file| {
            let mut out = BufWriter::new(file);
            each_line(&self.path, |line| {
                let head: Head = parse(line)?;
                if !ids.contains(&head.id) {
                    out.write_all(line.as_bytes())?;
                    out.write_all(b"\n")?;
                }
                Ok(ControlFlow::Continue(()))
            })?;
            out.flush()
        })
    }

    fn len(&self) -> io::Result<u64> {
        match fs::metadata(&self.path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// A last line without its end was never reported as written: its record will come again.
    pub(super) fn cut_torn(&self) -> io::Result<()> {
        for path in [&self.path, &self.audit] {
            let mut file = match OpenOptions::new().read(true).write(true).open(path) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let (mut whole, mut end, mut block) = (0u64, 0u64, vec![0; 1 << 16]);
            loop {
                let read = file.read(&mut block)?;
                let bytes = block.get(..read).unwrap_or_default();
                if bytes.is_empty() {
                    break;
                }
                if let Some(at) = bytes.iter().rposition(|b| *b == b'\n') {
                    whole = end.saturating_add(1).saturating_add(at as u64);
                }
                end = end.saturating_add(read as u64);
            }
            if whole < end {
                file.set_len(whole)?;
                file.rewind()?;
                file.sync_all()?;
            }
        }
        Ok(())
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::halt(
            "dead_letters_unreadable",
            format!(
                "the dead-letter file {} cannot be read: {error}",
                self.path.display()
            ),
            "repair the line that is named, or move the file to another place",
        )
    }
}

/// Appends what `write` writes, all or nothing, and returns once it would survive a power cut.
pub(super) fn append(
    dir: &Path,
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let before = file.metadata()?.len();
    let mut out = BufWriter::new(&file);
    let written = write(&mut out)
        .and_then(|()| out.flush())
        .and_then(|()| file.sync_all());
    // What is left in the buffer after a failure must not be written behind the cut.
    drop(out.into_parts());
    if written.is_err() {
        // A full disk may have taken half of a line: take it back, so that the next try starts clean.
        file.set_len(before)?;
    }
    written?;
    File::open(dir)?.sync_all()
}

/// The right to change the file, and how large it may become.
#[derive(Debug)]
pub(super) struct Appending {
    one_at_a_time: Mutex<()>,
    limit: u64,
}

impl Default for Appending {
    fn default() -> Self {
        Self {
            one_at_a_time: Mutex::new(()),
            limit: u64::MAX,
        }
    }
}

impl Store {
    /// The same with a bound on the dead-letter file, bytes.
    #[must_use]
    pub fn with_letter_limit(mut self, bytes: u64) -> Self {
        self.appending.limit = bytes;
        self
    }

    /// The dead-letter file, to be read.
    pub fn letters(&self) -> &LettersFile {
        &self.letters
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.appending
            .one_at_a_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends records to the dead-letter file, all or none, and returns once they would survive a power cut. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// Retryable, `dead_letters_full` or `dead_letter_write`: none of them is in the file.
    pub fn append_dead_letters(
        &self,
        identity: &ServerIdentity,
        records: &[Record],
        reason: &Reason,
        written: &str,
    ) -> Result<(), Failure> {
        let path = self.letters.path.display();
        let failed = |e: io::Error| {
            Failure::retry(
                "dead_letter_write",
                format!("the dead-letter file {path} cannot be written: {e}"),
            )
        };
        let mut lines = Vec::new();
        for record in records {
            let letter = DeadLetter::new(identity, &self.group, record, reason, written);
            let body = serde_json::to_string(&letter).map_err(|e| failed(e.into()))?;
            let crc = crc32fast::hash(body.as_bytes());
            writeln!(lines, "{crc:08x} {body}").map_err(failed)?;
        }
        let _changing = self.changing();
        let (before, limit) = (self.letters.len().map_err(failed)?, self.appending.limit);
        if before.saturating_add(lines.len() as u64) > limit {
            return Err(Failure::retry(
                DEAD_LETTERS_FULL,
                format!(
                    "the dead-letter file {path} has {before} bytes and takes {limit} at most; {} more do not fit",
                    lines.len()
                ),
            ));
        }
        append(&self.dir, &self.letters.path, |out| out.write_all(&lines)).map_err(failed)
    }

    /// How many letters each key has; `see` is shown each letter's id.
    ///
    /// # Errors
    /// A halt: the file cannot be read.
    pub fn letter_keys(&self, mut see: impl FnMut(RecordId)) -> Result<HashMap<Key, u64>, Failure> {
        let mut keys: HashMap<Key, u64> = HashMap::new();
        let read = each_line(&self.letters.path, |line| {
            let head: Head = parse(line)?;
            let id: RecordId = head.id.parse().map_err(damaged)?;
            see(id);
            let letters = keys.entry(head.key()?).or_default();
            *letters = letters.saturating_add(1);
            Ok(ControlFlow::Continue(()))
        });
        read.map(|()| keys).map_err(|e| self.letters.failure(&e))
    }

    /// Shows the ids of all letters that were ever given up.
    ///
    /// # Errors
    /// A halt: the audit file cannot be read.
    pub fn discarded(&self, mut see: impl FnMut(RecordId)) -> Result<(), Failure> {
        let read = each_line(&self.letters.audit, |line| {
            let gone: Discarded = serde_json::from_str(line).map_err(damaged)?;
            see(gone.id.parse().map_err(damaged)?);
            Ok(ControlFlow::Continue(()))
        });
        read.map_err(|e| {
            Failure::halt(
                "dead_letters_unreadable",
                format!("the audit file of the dead letters cannot be read: {e}"),
                "repair the line that is named, or move the file to another place",
            )
        })
    }

    /// Reads letters to be sent again, in order: as many as fit into so many bytes, and one at least.
    ///
    /// # Errors
    /// A halt: the file cannot be read.
    pub fn read_letters(&self, wanted: &Wanted, bytes: usize) -> Result<Vec<Record>, Failure> {
        self.letters
            .read(wanted, bytes)
            .map_err(|e| self.letters.failure(&e))
    }

    /// Takes letters out of the file, and returns once that would survive a power cut. Blocks on the disk.
    ///
    /// # Errors
    /// Retryable, code `dead_letter_write`: all of them are still in the file, or none is.
    pub fn remove_letters(&self, ids: &HashSet<String>) -> Result<(), Failure> {
        let _changing = self.changing();
        self.letters.remove(ids).map_err(|e| {
            let path = self.letters.path.display();
            Failure::retry(
                "dead_letter_write",
                format!("the dead-letter file {path} cannot be replaced: {e}"),
            )
        })
    }

    /// Gives letters up: a line for each in the audit file, then they leave. Says how many are gone, and how many letters
    /// each key has now.
    ///
    /// # Errors
    /// Retryable, code `dead_letter_write`: nothing has left; a halt, if the file cannot be read.
    pub fn discard_letters(
        &self,
        selection: &Selection,
        reason: &str,
        time: &str,
    ) -> Result<(u64, HashMap<Key, u64>), Failure> {
        let mut ids = HashSet::new();
        each_line(&self.letters.path, |line| {
            let head: Head = parse(line)?;
            if head.is_selected(selection) {
                ids.insert(head.id);
            }
            Ok(ControlFlow::Continue(()))
        })
        .map_err(|e| self.letters.failure(&e))?;
        if ids.is_empty() {
            return Ok((0, self.letter_keys(|_| {})?));
        }
        let audited = append(&self.dir, &self.letters.audit, |out| {
            each_line(&self.letters.path, |line| {
                let head: Head = parse(line)?;
                if ids.contains(&head.id) {
                    let gone = Discarded {
                        time: time.to_owned(),
                        action: "discard".to_owned(),
                        id: head.id,
                        table: head.table,
                        hash_key: head.hash_key,
                        reason_code: head.reason_code,
                        reason: reason.to_owned(),
                    };
                    serde_json::to_writer(&mut *out, &gone)?;
                    out.write_all(b"\n")?;
                }
                Ok(ControlFlow::Continue(()))
            })
        });
        audited.map_err(|e| {
            let path = self.letters.audit.display();
            Failure::retry(
                "dead_letter_write",
                format!("the audit file {path} cannot be written: {e}"),
            )
        })?;
        self.remove_letters(&ids)?;
        Ok((ids.len() as u64, self.letter_keys(|_| {})?))
    }
}

#[cfg(test)]
mod tests;

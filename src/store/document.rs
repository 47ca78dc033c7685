//! A file that is replaced as a whole: the old one or the new one, never a mixture, and never guessed at.
//!
//! One header line, `<magic> <format> <crc32>`, and one JSON object that a person can read. It is replaced by write
//! to a temporary file → fsync → rename → fsync of the directory: a rename is atomic, but without the two fsyncs a
//! power cut may leave an empty file under the final name.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a document is called, and its format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The header line's first words.
    pub(super) magic: &'static str,
    /// The number behind them; one more for every change that an earlier version cannot read.
    pub(super) format: u32,
}

/// Why a document cannot be used.
#[derive(Debug)]
pub(super) enum Defect {
    /// It is there and cannot be read.
    Unreadable(io::Error),
    /// A later version wrote it, in this format.
    Newer(u32),
    /// It is not what was written.
    Damaged(String),
}

impl Form {
    /// The whole file for a body.
    pub(super) fn format<T: Serialize>(self, body: &T) -> io::Result<Vec<u8>> {
        let body = serde_json::to_string(body).map_err(io::Error::other)?;
        let crc = crc32fast::hash(body.as_bytes());
        Ok(format!("{} {} {crc:08x}\n{body}\n", self.magic, self.format).into_bytes())
    }

    /// The body of a whole file.
    pub(super) fn parse<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, Defect> {
        let damaged = |what: &str| Defect::Damaged(what.to_owned());
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
        let (header, rest) = text
            .split_once('\n')
            .ok_or_else(|| damaged("its header line is cut short"))?;
        let mut words = header
            .strip_prefix(self.magic)
            .ok_or_else(|| damaged("its header line is missing"))?
            .split(' ');
        let (Some(""), Some(version), Some(crc), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(damaged("its header line is malformed"));
        };
        let version: u32 = version
            .parse()
            .map_err(|_| damaged("its format number is malformed"))?;
        if version > self.format {
            return Err(Defect::Newer(version));
        }
        if version != self.format {
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

    /// The body of the file at `path`; `None` if there is no file.
    pub(super) fn read<T: DeserializeOwned>(self, path: &Path) -> Result<Option<T>, Defect> {
        match fs::read(path) {
            Ok(bytes) => self.parse(&bytes).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Defect::Unreadable(e)),
        }
    }

    /// Replaces the file at `path` in `dir`, and returns once the new one would survive a power cut.
    pub(super) fn write<T: Serialize>(self, dir: &Path, path: &Path, body: &T) -> io::Result<()> {
        replace(dir, path, &self.format(body)?)
    }
}

fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with(dir, path, |file| file.write_all(bytes))
}

/// Replaces the file at `path` in `dir` by what `write` writes, and returns once the new one would survive a power cut.
#[expect(clippy::disallowed_methods, reason = "the one place that renames")]
pub(super) fn replace_with(
    dir: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary(path);
    let mut file = File::create(&temporary)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(dir)?.sync_all()
}

/// Removes the file at `path` in `dir`, if there is one, and returns once it would stay away after a power cut.
pub(super) fn remove(dir: &Path, path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => File::open(dir)?.sync_all(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

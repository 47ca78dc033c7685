//! A line of the dead-letter file or of the audit file: what it says, and how it is read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::change::TableId;
use crate::position::ServerIdentity;
use crate::record::letter::Selection;
use crate::record::{ATTRIBUTE_GROUP, ATTRIBUTE_ID, Key, Layout, Origin, OriginRef, Record, Turn};
use crate::retry::Reason;

/// One record that the topic does not have, as a line of the dead-letter file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The record's stable identity.
    pub id: String,
    /// When the line was written, RFC 3339. Older versions did not write it, nor what else has a default.
    #[serde(default)]
    pub written: Option<String>,
    /// The table that the row is of.
    #[serde(default)]
    pub table: Option<TableId>,
    /// The event that the row is in.
    #[serde(default)]
    pub position: Option<LetterPosition>,
    /// The server it came from.
    pub identity: ServerIdentity,
    /// Its routing hash, 32 hexadecimal digits.
    pub hash_key: String,
    /// Code of the refusal; `key_fenced` if it is there for an earlier letter's sake.
    pub reason_code: String,
    /// What the service said.
    pub reason: String,
    /// The record's attributes.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What the payload is; files from before there was a choice have blobs.
    #[serde(default)]
    pub layout: Layout,
    /// The whole envelope; of a tuple the fields in the topic's order, each behind its length in four bytes, lowest
    /// first, ffffffff for NULL. Base64.
    pub payload: String,
}

/// A place in the binlog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterPosition {
    /// The transaction's GTID, where the source has one.
    pub gtid: Option<String>,
    /// The binlog file.
    pub file: String,
    /// Offset of the row's event in it.
    pub pos: u64,
}

/// What of a letter tells which one it is.
#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) id: String,
    #[serde(default)]
    pub(super) table: Option<TableId>,
    pub(super) hash_key: String,
    pub(super) reason_code: String,
}

/// A line of the audit file.
#[derive(Serialize, Deserialize)]
pub(super) struct Discarded {
    pub(super) time: String,
    pub(super) action: String,
    pub(super) id: String,
    pub(super) table: Option<TableId>,
    pub(super) hash_key: String,
    pub(super) reason_code: String,
    pub(super) reason: String,
}

/// A moment as it is written in letters.
pub fn stamp(at: SystemTime) -> String {
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default()
}

pub(super) fn damaged(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

fn key(table: Option<&TableId>, hash_key: &str) -> io::Result<Key> {
    Ok(Key {
        table: table.cloned().map(Arc::new),
        hash: u128::from_str_radix(hash_key, 16).map_err(|_| damaged("a hash key is malformed"))?,
    })
}

impl Head {
    pub(super) fn key(&self) -> io::Result<Key> {
        key(self.table.as_ref(), &self.hash_key)
    }

    pub(super) fn is_selected(&self, selection: &Selection) -> bool {
        selects(selection, &self.id, &self.hash_key)
    }
}

fn selects(selection: &Selection, id: &str, hash_key: &str) -> bool {
    match selection {
        Selection::Id(wanted) => wanted == id,
        Selection::Key(wanted) => wanted == hash_key,
        Selection::All => true,
    }
}

impl DeadLetter {
    pub(super) fn new(
        identity: &ServerIdentity,
        group: &str,
        record: &Record,
        reason: &Reason,
        written: &str,
    ) -> Self {
        let origin = record.origin.get();
        let id = record.id.to_string();
        Self {
            written: Some(written.to_owned()),
            table: origin.and_then(|origin| origin.table.as_deref().cloned()),
            position: origin.map(|origin| LetterPosition {
                gtid: origin.gtid.as_deref().map(str::to_owned),
                file: origin.file.as_ref().to_owned(),
                pos: origin.pos,
            }),
            identity: identity.clone(),
            hash_key: format!("{:032x}", record.hash_key),
            reason_code: reason.code.to_owned(),
            reason: reason.message.clone(),
            attributes: [(ATTRIBUTE_ID, id.as_str()), (ATTRIBUTE_GROUP, group)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            layout: record.layout,
            payload: STANDARD.encode(&record.payload),
            id,
        }
    }

    /// The record itself.
    ///
    /// # Errors
    /// A part of it is malformed.
    pub fn record(&self) -> io::Result<Record> {
        let key = key(self.table.as_ref(), &self.hash_key)?;
        let origin = |position: &LetterPosition| Origin {
            table: key.table.clone(),
            gtid: position.gtid.as_deref().map(Arc::from),
            file: Arc::from(position.file.as_str()),
            pos: position.pos,
        };
        Ok(Record {
            seq: 0,
            id: self.id.parse().map_err(damaged)?,
            hash_key: key.hash,
            layout: self.layout,
            payload: STANDARD
                .decode(&self.payload)
                .map_err(|_| damaged("a payload is not base64"))?
                .into(),
            origin: self
                .position
                .as_ref()
                .map(origin)
                .map_or_else(OriginRef::default, OriginRef::from),
            turn: Turn::Letter,
        })
    }

    /// Whether a request means this letter.
    pub fn is_selected(&self, selection: &Selection) -> bool {
        selects(selection, &self.id, &self.hash_key)
    }
}

/// A line's letter, if its checksum is right.
pub(super) fn parse<T: DeserializeOwned>(line: &str) -> io::Result<T> {
    line.split_once(' ')
        .filter(|(crc, body)| *crc == format!("{:08x}", crc32fast::hash(body.as_bytes())))
        .and_then(|(_, body)| serde_json::from_str(body).ok())
        .ok_or_else(|| damaged("it is damaged"))
}

/// Shows every whole line of a file that may be missing; errors name the line.
pub(super) fn each_line(
    path: &Path,
    mut see: impl FnMut(&str) -> io::Result<ControlFlow<()>>,
) -> io::Result<()> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        file.read_until(b'\n', &mut line)?;
        // Without its end it is being written just now.
        let Some(whole) = line.strip_suffix(b"\n") else {
            break;
        };
        let text = std::str::from_utf8(whole).map_err(|_| damaged("it is not text"));
        match text.and_then(&mut see) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(e) => {
                let message = format!("line {number} of {}: {e}", path.display());
                return Err(io::Error::new(e.kind(), message));
            }
        }
    }
    Ok(())
}

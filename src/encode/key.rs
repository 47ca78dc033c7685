//! The partition key's text and its hash, as the service computes it: MD5 of the text's bytes.
//!
//! One key column: its text as the envelope shows it (a JSON string without quotes and escapes). Several: each
//! as `length:text`, so that no two keys run into one another. No key: the row's whole JSON object. The text is the
//! same in every envelope: a number is its digits, whether the envelope puts quotes around it or not.

use std::ops::Range;

use md5::{Digest, Md5};

use super::image::write_key;
use super::plan::{Failed, Plan};
use crate::change::RowImage;

/// Where the key's parts lie in the buffer that the envelope was written to. Reused from row to row.
#[derive(Debug, Default)]
pub(super) struct KeyText {
    /// The key columns' JSON values in key order, or the row's object.
    spans: Vec<Range<usize>>,
    /// The row, where the envelope does not hold it in the form that routes.
    apart: Vec<u8>,
    /// One part of the key.
    part: Vec<u8>,
    /// The parts of a key of several columns.
    joined: Vec<u8>,
}

impl KeyText {
    /// Makes room for the key of the next row: of so many columns, or of the whole row if there are none.
    pub(super) fn begin(&mut self, columns: usize) {
        self.spans.clear();
        self.spans.resize(columns.max(1), 0..0);
    }

    /// A part of the key lies there; the last word counts.
    #[inline]
    pub(super) fn note(&mut self, place: usize, span: Range<usize>) {
        if let Some(noted) = self.spans.get_mut(place) {
            *noted = span;
        }
    }

    /// Appends the parts as they were written to `out`, separated by commas.
    pub(super) fn copy_parts(&self, out: &mut Vec<u8>) {
        let mut first = true;
        for span in self.spans.iter().filter(|span| !span.is_empty()) {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            let (from, len) = (span.start, span.len());
            if out.get(span.clone()).is_some_and(|part| part.len() == len) {
                out.extend_from_within(from..from + len);
            }
        }
    }

    /// Hashes the key of a row that is written for this alone.
    pub(super) fn hash_apart(&mut self, plan: &Plan, image: &RowImage<'_>) -> Result<u128, Failed> {
        let mut apart = std::mem::take(&mut self.apart);
        apart.clear();
        let written = write_key(plan, image, &mut apart, self);
        let hash = self.hash(&apart);
        self.apart = apart;
        written.map(|()| hash)
    }

    /// Hashes the key of the row that was written last.
    pub(super) fn hash(&mut self, buffer: &[u8]) -> u128 {
        let Self {
            spans, part, joined, ..
        } = self;
        if let [only] = spans.as_slice() {
            let json = buffer.get(only.clone()).unwrap_or_default();
            return md5(text(json, part));
        }
        joined.clear();
        for span in spans {
            let json = buffer.get(span.clone()).unwrap_or_default();
            let text = text(json, part);
            joined.extend_from_slice(itoa::Buffer::new().format(text.len()).as_bytes());
            joined.push(b':');
            joined.extend_from_slice(text);
        }
        md5(joined)
    }
}

/// What a JSON value says: the inside of a string, unescaped (into `part` where needed), else the value as it is.
pub(super) fn text<'t>(json: &'t [u8], part: &'t mut Vec<u8>) -> &'t [u8] {
    match json {
        [b'"', inner @ .., b'"'] if inner.contains(&b'\\') => {
            part.clear();
            unescape(inner, part);
            part
        }
        [b'"', inner @ .., b'"'] => inner,
        plain => plain,
    }
}

/// MD5 as a big-endian number.
pub(super) fn md5(text: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(text).into())
}

/// Undoes the JSON escapes that our own writer makes: two-character ones, and `\u00xx`.
fn unescape(json: &[u8], out: &mut Vec<u8>) {
    let mut rest = json.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        match rest.next().copied() {
            Some(b'b') => out.push(0x08),
            Some(b'f') => out.push(0x0c),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b't') => out.push(b'\t'),
            Some(b'u') => {
                let digits = rest.by_ref().take(4);
                let code = digits.fold(0u8, |code, digit| {
                    let value = char::from(*digit).to_digit(16);
                    code << 4 | value.and_then(|v| u8::try_from(v).ok()).unwrap_or_default()
                });
                out.push(code);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
}

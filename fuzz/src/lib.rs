//! What is done with hostile bytes: one function for each parser that reads bytes from outside.
//!
//! A target gives the bytes to the parser and checks what can be checked of any answer; a panic is a finding. It says
//! whether the bytes were understood, so that a kept seed which no longer reaches its parser is noticed.
//!
//! Random bytes seldom get past a checksum or a length. [`mutated`] turns them into changes of a kept seed, and the
//! targets make checksums right where the parser behind them is what is looked for.

mod files;
mod rows;

pub use files::{GROUP, files};
pub use rows::{jsonb, rows};

use cdc_collector::sink::wire::answer::{get_answer, put_answer};
use cdc_collector::source::decode::query::qualifiers;
use cdc_collector::source::decode::statement::{may_hold_credentials, target};
use cdc_collector::source::decode::{self, HEADER_BYTES, Header, Meaning, repair_rotate};

/// What a parser may ask the allocator for: so many bytes for each byte of its input, and [`ALLOCATED_AT_ALL`].
///
/// The most that a byte of valid input becomes is a number of a JSON document, in a buffer that has just doubled.
pub const ALLOCATED_PER_BYTE: u64 = 128;
/// What does not depend on the input: buffers for a file, a table of labels.
pub const ALLOCATED_AT_ALL: u64 = 256 * 1024;

/// A binlog event: its header, its meaning, and the statement in it.
pub fn events(input: &[u8]) -> bool {
    let Some((head, body)) = input.split_first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    let header = Header::parse(head);
    assert_eq!(header.bytes(), *head, "a header is its bytes");
    if let Some((body, sum)) = body.split_last_chunk::<4>() {
        header.checksum_matches(body, *sum);
        repair_rotate(&header, body, Some(*sum));
    }
    repair_rotate(&header, body, None);
    let Ok(meaning) = decode::parse(&header, body) else {
        return false;
    };
    if let Meaning::Query { db, text, .. } = meaning {
        qualifiers(text).for_each(drop);
        if let (Ok(db), Ok(text)) = (std::str::from_utf8(db), std::str::from_utf8(text)) {
            drop(target(text, db));
            may_hold_credentials(text);
        }
    }
    true
}

/// Records sent with the put whose answer is read.
const SENT: usize = 10;

/// An answer to a put and to a get: as it is, and with a frame around it that is right.
pub fn answers(input: &[u8]) -> bool {
    let as_it_is = answer(input);
    as_it_is | answer(&framed(input))
}

fn answer(body: &[u8]) -> bool {
    let page = get_answer(body);
    if let Ok(page) = &page {
        // A record takes a tag, a length and its number.
        assert!(page.records.len() <= body.len() / 4, "records out of nothing");
    }
    let failed = put_answer(body, SENT);
    if let Ok(failed) = &failed {
        assert!(
            failed.iter().all(|record| record.index < SENT),
            "a record that was not sent"
        );
        assert!(
            failed.is_sorted_by(|one, two| one.index < two.index),
            "a record twice"
        );
    }
    page.is_ok() || failed.is_ok()
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut framed = b"DHUB".to_vec();
    framed.extend_from_slice(&crc32c::crc32c(payload).to_be_bytes());
    framed.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(payload);
    framed
}

/// Numbers that lengths and counts are wrong by.
const ODD: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfe, 0xff];

/// One of the seeds, changed as the script says; nothing without seeds. Every script means something.
pub fn mutated(script: &[u8], seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut script = Script(script);
    let Some(mut bytes) = script.choice(seeds).cloned() else {
        return Vec::new();
    };
    while !script.0.is_empty() {
        let at = script.number(bytes.len() + 1);
        let most = script.number(17);
        let until = (at + most).min(bytes.len());
        let byte = script.number(256).to_le_bytes()[0];
        let range = at.min(until)..until;
        match script.number(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(range)),
            2 => bytes.insert(at, byte),
            3 => bytes.extend_from_within(range),
            4 => {
                if let Some(other) = script.choice(seeds) {
                    let from = script.number(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend_from_slice(other.get(from..).unwrap_or_default());
                }
            }
            5 => {
                let odd = ODD
                    .get(usize::from(byte) % ODD.len())
                    .copied()
                    .unwrap_or_default();
                bytes.iter_mut().skip(at).take(most % 9).for_each(|b| *b = odd);
            }
            6 => bytes
                .iter_mut()
                .skip(at)
                .take(1)
                .for_each(|b| *b ^= 1 << (byte % 8)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = byte),
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

/// Longer inputs show nothing new, and cost time.
const LONGEST: usize = 1 << 16;

/// The bytes of a script that are left.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    /// A number below `end`, which is not 0.
    fn number(&mut self, end: usize) -> usize {
        let taken = self.0.len().min(if end > 256 { 2 } else { 1 });
        let (bytes, rest) = self.0.split_at(taken);
        self.0 = rest;
        bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)) % end
    }

    fn choice<'s>(&mut self, seeds: &'s [Vec<u8>]) -> Option<&'s Vec<u8>> {
        let at = if seeds.is_empty() {
            0
        } else {
            self.number(seeds.len())
        };
        seeds.get(at)
    }
}

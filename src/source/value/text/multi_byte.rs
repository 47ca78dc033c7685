//! The multi-byte character sets as MySQL has them: `encoding_rs`'s sets of the same family, corrected.
//!
//! The web's gbk, big5, sjis and the others hold more characters than MySQL's, and some others under the same bytes.
//! So each set becomes a table at its first use: every sequence as `encoding_rs` reads it, then the exceptions.
//! A sequence without a character in MySQL, for which `SELECT` shows a question mark, has none here either.

use std::sync::LazyLock;

use encoding_rs::{DecoderResult, Encoding};

use exceptions::Exceptions;

mod exceptions;

/// The lead byte of EUC-JP's three-byte sequences.
const SINGLE_SHIFT_3: u8 = 0x8f;

/// Characters by their bytes; zero where there is none.
#[derive(Debug)]
pub(super) struct Table {
    /// Bytes from 0x80 on that stand alone.
    single: Vec<u16>,
    /// A byte from 0x80 on, and any byte behind it.
    double: Vec<u16>,
    /// The two bytes behind [`SINGLE_SHIFT_3`], likewise; empty where that is an ordinary byte.
    triple: Vec<u16>,
    /// What differs in sequences of four bytes, whose second is a digit; `None` where there are no such sequences.
    quadruple: Option<Exceptions>,
}

macro_rules! tables {
    ($($name:ident: $family:ident;)*) => {
        $(pub(super) static $name: LazyLock<Table> =
            LazyLock::new(|| Table::new(encoding_rs::$family, exceptions::$name));)*
    };
}

tables! {
    BIG5: BIG5;
    CP932: SHIFT_JIS;
    EUCJPMS: EUC_JP;
    EUCKR: EUC_KR;
    GB18030: GB18030;
    GB18030_2022: GB18030;
    GB2312: GBK;
    GBK: GBK;
    SJIS: SHIFT_JIS;
    UJIS: EUC_JP;
}

impl Table {
    fn new(encoding: &'static Encoding, exceptions: Exceptions) -> Self {
        let high = || 0x80..=u8::MAX;
        let pairs = || high().flat_map(|first| (0..=u8::MAX).map(move |second| [first, second]));
        let code = |sequence: &[u8]| {
            let found = character(encoding, sequence);
            found.and_then(|c| u16::try_from(u32::from(c)).ok()).unwrap_or(0)
        };
        let mut table = Self {
            single: high().map(|byte| code(&[byte])).collect(),
            double: pairs().map(|pair| code(&pair)).collect(),
            triple: Vec::new(),
            quadruple: (encoding == encoding_rs::GB18030).then_some(exceptions),
        };
        if encoding == encoding_rs::EUC_JP {
            let triples = pairs().map(|[second, third]| code(&[SINGLE_SHIFT_3, second, third]));
            table.triple = triples.collect();
        }
        for (first, last, code) in exceptions {
            for sequence in *first..=*last {
                if let Some(entry) = table.entry(sequence) {
                    *entry = nth(*first, *code, sequence);
                }
            }
        }
        table
    }

    /// The place of a sequence of up to three bytes.
    fn entry(&mut self, sequence: u32) -> Option<&mut u16> {
        match sequence.to_be_bytes() {
            [0, 0, 0, byte] => self.single.get_mut(usize::from(byte & 0x7f)),
            [0, 0, first, second] => self.double.get_mut(place(first, second)),
            [0, _, second, third] => self.triple.get_mut(place(second, third)),
            _ => None,
        }
    }

    /// Takes one character off bytes that begin with one from 0x80 on.
    pub(super) fn take(&self, rest: &mut &[u8]) -> Option<char> {
        let bytes = *rest;
        let (first, behind) = bytes.split_first()?;
        let alone = self.single.get(usize::from(first & 0x7f)).copied()?;
        if alone != 0 {
            *rest = behind;
            return char::from_u32(u32::from(alone));
        }
        let (second, behind) = behind.split_first()?;
        let code = if let (Some(exceptions), b'0'..=b'9') = (self.quadruple, second) {
            let (sequence, behind) = bytes.split_first_chunk::<4>()?;
            *rest = behind;
            return quadruple(*sequence, exceptions);
        } else if *first == SINGLE_SHIFT_3 && !self.triple.is_empty() {
            let (third, behind) = behind.split_first()?;
            *rest = behind;
            self.triple.get(place(*second, *third))
        } else {
            *rest = behind;
            self.double.get(place(*first, *second))
        };
        code.filter(|code| **code != 0)
            .and_then(|code| char::from_u32(u32::from(*code)))
    }
}

/// Where the pair stands in a table of pairs; the first byte's highest bit does not count.
fn place(first: u8, second: u8) -> usize {
    usize::from(first & 0x7f) << 8 | usize::from(second)
}

/// The code point of a sequence in the run that begins with `first`.
fn nth(first: u32, code: u16, sequence: u32) -> u16 {
    match code {
        0 => 0,
        code => u16::try_from(u32::from(code) + (sequence - first)).unwrap_or(0),
    }
}

/// A four-byte sequence of GB18030.
fn quadruple(bytes: [u8; 4], exceptions: Exceptions) -> Option<char> {
    let sequence = u32::from_be_bytes(bytes);
    // In order, and few.
    let behind = exceptions.partition_point(|(first, ..)| *first <= sequence);
    match behind.checked_sub(1).and_then(|at| exceptions.get(at)) {
        Some((first, last, code)) if sequence <= *last => {
            let code = nth(*first, *code, sequence);
            char::from_u32(u32::from(code)).filter(|_| code != 0)
        }
        _ => character(encoding_rs::GB18030, &bytes),
    }
}

/// The one character that the bytes are in `encoding_rs`'s set, if they are one.
fn character(encoding: &'static Encoding, bytes: &[u8]) -> Option<char> {
    let mut text = [0; 16];
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (result, _, written) = decoder.decode_to_utf8_without_replacement(bytes, &mut text, true);
    if result != DecoderResult::InputEmpty {
        return None;
    }
    let mut characters = std::str::from_utf8(text.get(..written)?).ok()?.chars();
    let only = characters.next();
    only.filter(|_| characters.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(table: &Table, bytes: &[u8]) -> Option<String> {
        let mut out = Vec::new();
        super::super::write_ascii_and(|rest| table.take(rest), bytes, &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn sequences_of_every_length_are_read() {
        assert_eq!(text(&SJIS, b"a\xb1\x93\xfaz").unwrap(), "aｱ日z");
        assert_eq!(text(&UJIS, b"\x8e\xb1\xc6\xfc\x8f\xb0\xa1").unwrap(), "ｱ日丂");
        assert_eq!(
            text(&GB18030, b"\xd6\xd0\x81\x39\xef\x30\x95\x32\x82\x36").unwrap(),
            "中㐁𠀀"
        );
        for (table, cut) in [
            (&SJIS, &b"\x93"[..]),
            (&UJIS, b"\x8f\xb0"),
            (&GB18030, b"\x82\x35\x95"),
        ] {
            assert_eq!(text(table, cut), None, "{cut:x?}");
        }
    }

    #[test]
    fn exceptions_are_in_order_and_apart() {
        for all in exceptions::ALL {
            assert!(all.windows(2).all(|pair| pair[0].1 < pair[1].0), "{all:x?}");
            assert!(all.iter().all(|(first, last, _)| first <= last), "{all:x?}");
        }
    }
}

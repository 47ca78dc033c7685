//! Text in the column's own charset to JSON strings in UTF-8.
//!
//! The same characters as the server's own conversion to utf8mb4, set by set and byte by byte. Bytes that are not
//! valid in their charset are an error, and so are those for which the server has no character: a replacement
//! would be a silent loss.

use super::ValueError;
use crate::change::Charset;

mod multi_byte;
mod single_byte;

use multi_byte::Table;
pub(in crate::source) use single_byte::known as single_byte_charset;

/// Reads one charset.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    scheme: Scheme,
    /// As MySQL calls it, for errors.
    name: &'static str,
}

#[derive(Clone, Debug)]
enum Scheme {
    Utf8,
    Ascii,
    /// Code points of the bytes from 0x80 on, zero where there is none; the bytes below are ASCII.
    Single(Box<[u16; 128]>),
    Multi(&'static Table),
    Utf16(fn([u8; 2]) -> u16),
    Ucs2,
    Utf32,
}

impl Decoder {
    /// Chooses the decoder.
    ///
    /// # Errors
    /// If nothing is known under the name of a single-byte set.
    pub(super) fn new(charset: Charset) -> Result<Self, ValueError> {
        let (scheme, name) = match charset {
            Charset::Utf8 => (Scheme::Utf8, "utf8mb4"),
            Charset::Ascii => (Scheme::Ascii, "ascii"),
            Charset::Gbk => (Scheme::Multi(&multi_byte::GBK), "gbk"),
            Charset::Gb18030 => (Scheme::Multi(&multi_byte::GB18030), "gb18030"),
            Charset::Gb18030Of2022 => (Scheme::Multi(&multi_byte::GB18030_2022), "gb18030_2022"),
            Charset::Gb2312 => (Scheme::Multi(&multi_byte::GB2312), "gb2312"),
            Charset::Big5 => (Scheme::Multi(&multi_byte::BIG5), "big5"),
            Charset::Sjis => (Scheme::Multi(&multi_byte::SJIS), "sjis"),
            Charset::Cp932 => (Scheme::Multi(&multi_byte::CP932), "cp932"),
            Charset::Ujis => (Scheme::Multi(&multi_byte::UJIS), "ujis"),
            Charset::EucJpMs => (Scheme::Multi(&multi_byte::EUCJPMS), "eucjpms"),
            Charset::EucKr => (Scheme::Multi(&multi_byte::EUCKR), "euckr"),
            Charset::Utf16 => (Scheme::Utf16(u16::from_be_bytes), "utf16"),
            Charset::Utf16Le => (Scheme::Utf16(u16::from_le_bytes), "utf16le"),
            Charset::Ucs2 => (Scheme::Ucs2, "ucs2"),
            Charset::Utf32 => (Scheme::Utf32, "utf32"),
            Charset::SingleByte(name) => {
                let half = single_byte::high_half(name);
                let half = half.ok_or(ValueError::Schema("the column's charset is not supported"))?;
                (Scheme::Single(half), name)
            }
        };
        Ok(Self { scheme, name })
    }

    /// Appends the text as a JSON string.
    pub(super) fn write_json(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        let malformed = ValueError::Charset(self.name);
        out.push(b'"');
        match &self.scheme {
            Scheme::Utf8 => escape(std::str::from_utf8(bytes).map_err(|_| malformed)?, out),
            Scheme::Ascii if !bytes.is_ascii() => return Err(malformed),
            Scheme::Ascii => escape(std::str::from_utf8(bytes).map_err(|_| malformed)?, out),
            Scheme::Single(half) => {
                let take = |rest: &mut &[u8]| {
                    let (byte, behind) = rest.split_first()?;
                    *rest = behind;
                    let code = half.get(usize::from(byte & 0x7f)).filter(|code| **code != 0)?;
                    char::from_u32(u32::from(*code))
                };
                write_ascii_and(take, bytes, out).ok_or(malformed)?;
            }
            Scheme::Multi(table) => {
                write_ascii_and(|rest| table.take(rest), bytes, out).ok_or(malformed)?;
            }
            Scheme::Utf16(unit) => {
                let (units, []) = bytes.as_chunks::<2>() else {
                    return Err(malformed);
                };
                for decoded in char::decode_utf16(units.iter().map(|bytes| unit(*bytes))) {
                    escape_char(decoded.map_err(|_| malformed)?, out);
                }
            }
            Scheme::Ucs2 => {
                let (units, []) = bytes.as_chunks::<2>() else {
                    return Err(malformed);
                };
                for unit in units {
                    let code = u32::from(u16::from_be_bytes(*unit));
                    escape_char(char::from_u32(code).ok_or(malformed)?, out);
                }
            }
            Scheme::Utf32 => {
                let (units, []) = bytes.as_chunks::<4>() else {
                    return Err(malformed);
                };
                for unit in units {
                    let code = u32::from_be_bytes(*unit);
                    escape_char(char::from_u32(code).ok_or(malformed)?, out);
                }
            }
        }
        out.push(b'"');
        Ok(())
    }
}

/// Runs of ASCII are copied at once; `take` takes one character off bytes that begin with one from 0x80 on.
/// `None` if it finds none.
fn write_ascii_and(take: impl Fn(&mut &[u8]) -> Option<char>, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let ascii = rest.iter().take_while(|byte| byte.is_ascii()).count();
        let (plain, behind) = rest.split_at_checked(ascii)?;
        escape(std::str::from_utf8(plain).ok()?, out);
        rest = behind;
        while rest.first().is_some_and(|byte| !byte.is_ascii()) {
            escape_char(take(&mut rest)?, out);
        }
    }
    Some(())
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_json_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Appends `text` as the inside of a JSON string.
pub(super) fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some((clean, special, behind)) = split_at_special(rest) {
        out.extend_from_slice(clean);
        escape_special(special, out);
        rest = behind;
    }
    out.extend_from_slice(rest);
}

fn escape_char(c: char, out: &mut Vec<u8>) {
    escape(c.encode_utf8(&mut [0; 4]), out);
}

/// The bytes before the first one that JSON wants escaped, that byte, and the bytes behind it.
pub(super) fn split_at_special(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    // Whole blocks without a branch a byte: most text has nothing to escape.
    let (blocks, _) = bytes.as_chunks::<16>();
    let clean_blocks = blocks
        .iter()
        .take_while(|block| !block.iter().fold(false, |any, byte| any | is_special(*byte)))
        .count();
    let at = bytes
        .iter()
        .skip(clean_blocks * 16)
        .position(|byte| is_special(*byte))?;
    let (clean, rest) = bytes.split_at_checked(clean_blocks * 16 + at)?;
    let (special, behind) = rest.split_first()?;
    Some((clean, *special, behind))
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn escape_special(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        control => {
            let [high, low] = hex(control);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// A byte as two lower-case hexadecimal digits.
pub(super) fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|nibble| match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' - 10 + nibble,
    })
}

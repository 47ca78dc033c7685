//! Text in the column's own charset to JSON strings in UTF-8.
//!
//! Bytes that are not valid in their charset are an error: a replacement character would be a silent loss.
//! Where `encoding_rs` knows a superset of a MySQL charset (gb2312 by GBK, euckr by UHC, sjis by cp932), the
//! superset decodes it.

use encoding_rs::{DecoderResult, Encoding};

use super::ValueError;
use crate::change::Charset;

/// Reads one charset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    scheme: Scheme,
    /// As MySQL calls it, for errors.
    name: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Scheme {
    Utf8,
    Ascii,
    /// Bytes below 0x80 that stand alone are ASCII in all of these.
    Table(&'static Encoding),
    Utf16(fn([u8; 2]) -> u16),
    Ucs2,
    Utf32,
}

impl Decoder {
    /// Chooses the decoder.
    ///
    /// # Errors
    /// If nothing is known under the label of a single-byte set.
    pub(super) fn new(charset: Charset) -> Result<Self, ValueError> {
        let (scheme, name) = match charset {
            Charset::Utf8 => (Scheme::Utf8, "utf8mb4"),
            Charset::Ascii => (Scheme::Ascii, "ascii"),
            // Its WHATWG form fills the five holes of cp1252 with C1 controls, as MySQL does.
            Charset::Latin1 => (Scheme::Table(encoding_rs::WINDOWS_1252), "latin1"),
            Charset::Gbk => (Scheme::Table(encoding_rs::GBK), "gbk"),
            Charset::Gb18030 => (Scheme::Table(encoding_rs::GB18030), "gb18030"),
            Charset::Gb2312 => (Scheme::Table(encoding_rs::GBK), "gb2312"),
            Charset::Big5 => (Scheme::Table(encoding_rs::BIG5), "big5"),
            Charset::ShiftJis => (Scheme::Table(encoding_rs::SHIFT_JIS), "sjis"),
            Charset::EucJp => (Scheme::Table(encoding_rs::EUC_JP), "ujis"),
            Charset::EucKr => (Scheme::Table(encoding_rs::EUC_KR), "euckr"),
            Charset::Utf16 => (Scheme::Utf16(u16::from_be_bytes), "utf16"),
            Charset::Utf16Le => (Scheme::Utf16(u16::from_le_bytes), "utf16le"),
            Charset::Ucs2 => (Scheme::Ucs2, "ucs2"),
            Charset::Utf32 => (Scheme::Utf32, "utf32"),
            Charset::SingleByte(label) => {
                let encoding = Encoding::for_label_no_replacement(label.as_bytes())
                    .filter(|encoding| encoding.is_single_byte())
                    .ok_or(ValueError::Schema("the column's charset is not supported"))?;
                (Scheme::Table(encoding), label)
            }
        };
        Ok(Self { scheme, name })
    }

    /// Appends the text as a JSON string.
    pub(super) fn write_json(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        let malformed = ValueError::Charset(self.name);
        out.push(b'"');
        match self.scheme {
            Scheme::Utf8 => escape(std::str::from_utf8(bytes).map_err(|_| malformed)?, out),
            Scheme::Ascii if !bytes.is_ascii() => return Err(malformed),
            Scheme::Ascii => escape(std::str::from_utf8(bytes).map_err(|_| malformed)?, out),
            Scheme::Table(_) if bytes.is_ascii() => {
                escape(std::str::from_utf8(bytes).map_err(|_| malformed)?, out);
            }
            Scheme::Table(encoding) => decode(encoding, bytes, out).ok_or(malformed)?,
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

/// Decodes piece by piece through a buffer on the stack; `None` if the bytes are malformed.
fn decode(encoding: &'static Encoding, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut piece = [0; 512];
    let mut rest = bytes;
    loop {
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(rest, &mut piece, true);
        rest = rest.get(read..)?;
        escape(std::str::from_utf8(piece.get(..written)?).ok()?, out);
        match result {
            DecoderResult::InputEmpty => return Some(()),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => return None,
        }
    }
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

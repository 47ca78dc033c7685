//! MySQL's binary JSON to the text that `SELECT` shows for it, already escaped for a JSON string around it.
//!
//! Members are written in stored order; nothing assumes sorted keys (OceanBase does not sort). The document is
//! hostile until proven otherwise: every offset is checked, nesting is limited, and values that overlap (which
//! could unfold a few bytes into gigabytes) run out of a budget.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{ValueError, decimal, signed, temporal, text, write_integer};
use crate::source::rows::little_endian;

#[cfg(test)]
mod tests;

const MALFORMED: ValueError = ValueError::Malformed("JSON document");

/// MySQL refuses documents deeper than 100.
const MAX_DEPTH: u32 = 128;

/// Appends the document's text, without the quotes around it.
pub(super) fn write_escaped(document: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let Some((kind, data)) = document.split_first() else {
        // What INSERT IGNORE leaves behind for an invalid document.
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let mut printer = Printer {
        out,
        budget: document.len(),
    };
    printer.value(*kind, data, 0)
}

struct Printer<'o> {
    out: &'o mut Vec<u8>,
    /// Bytes of the document that may still be claimed: one a value, and a string's or opaque value's own.
    budget: usize,
}

impl Printer<'_> {
    fn claim(&mut self, bytes: usize) -> Result<(), ValueError> {
        self.budget = self.budget.checked_sub(bytes).ok_or(MALFORMED)?;
        Ok(())
    }

    /// `data` begins with the value and may go on behind it.
    fn value(&mut self, kind: u8, data: &[u8], depth: u32) -> Result<(), ValueError> {
        self.claim(1)?;
        let number = |length| data.get(..length).ok_or(MALFORMED);
        match kind {
            0x00..=0x03 => {
                if depth >= MAX_DEPTH {
                    return Err(MALFORMED);
                }
                let large = kind & 1 == 1;
                if kind < 2 {
                    self.object(Container::new(data, large)?, depth)?;
                } else {
                    self.array(Container::new(data, large)?, depth)?;
                }
            }
            0x04 => self.out.extend_from_slice(match data.first() {
                Some(0) => b"null",
                Some(1) => b"true",
                Some(2) => b"false",
                _ => return Err(MALFORMED),
            }),
            0x05 => write_integer(signed(number(2)?), self.out),
            0x06 => write_integer(little_endian(number(2)?), self.out),
            0x07 => write_integer(signed(number(4)?), self.out),
            0x08 => write_integer(little_endian(number(4)?), self.out),
            0x09 => write_integer(signed(number(8)?), self.out),
            0x0a => write_integer(little_endian(number(8)?), self.out),
            0x0b => {
                let bits = little_endian(number(8)?);
                write_double(f64::from_bits(bits), self.out)?;
            }
            0x0c => {
                let bytes = sized(data)?;
                self.string(bytes)?;
            }
            0x0f => {
                let (field_type, data) = data.split_first().ok_or(MALFORMED)?;
                self.opaque(*field_type, sized(data)?)?;
            }
            _ => return Err(MALFORMED),
        }
        Ok(())
    }

    fn object(&mut self, container: Container<'_>, depth: u32) -> Result<(), ValueError> {
        let key_entry = container.offset_bytes + 2;
        let keys = container.entries(0, key_entry)?;
        let values = container.entries(keys.len(), container.offset_bytes + 1)?;
        self.out.push(b'{');
        let pairs = keys
            .chunks_exact(key_entry)
            .zip(values.chunks_exact(container.offset_bytes + 1));
        for (ordinal, (key, value)) in pairs.enumerate() {
            if ordinal > 0 {
                self.out.extend_from_slice(b", ");
            }
            let (offset, length) = key.split_at_checked(container.offset_bytes).ok_or(MALFORMED)?;
            let length = usize::from(length.try_into().map(u16::from_le_bytes).unwrap_or(0));
            let name = container.at(offset)?.get(..length).ok_or(MALFORMED)?;
            self.string(name)?;
            self.out.extend_from_slice(b": ");
            self.entry(&container, value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn array(&mut self, container: Container<'_>, depth: u32) -> Result<(), ValueError> {
        let entry = container.offset_bytes + 1;
        self.out.push(b'[');
        for (ordinal, value) in container.entries(0, entry)?.chunks_exact(entry).enumerate() {
            if ordinal > 0 {
                self.out.extend_from_slice(b", ");
            }
            self.entry(&container, value, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// A value entry: the type, then the value itself if it is small enough, else its offset.
    fn entry(&mut self, container: &Container<'_>, entry: &[u8], depth: u32) -> Result<(), ValueError> {
        let (kind, place) = entry.split_first().ok_or(MALFORMED)?;
        let inline = match kind {
            0x04..=0x06 => true,
            0x07 | 0x08 => container.offset_bytes == 4,
            _ => false,
        };
        let data = if inline { place } else { container.at(place)? };
        self.value(*kind, data, depth + 1)
    }

    fn string(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        self.claim(bytes.len())?;
        let valid = std::str::from_utf8(bytes).map_err(|_| MALFORMED)?;
        self.out.extend_from_slice(b"\\\"");
        let mut rest = valid.as_bytes();
        while let Some((clean, special, behind)) = text::split_at_special(rest) {
            self.out.extend_from_slice(clean);
            self.special(special);
            rest = behind;
        }
        self.out.extend_from_slice(rest);
        self.out.extend_from_slice(b"\\\"");
        Ok(())
    }

    /// A byte that is escaped twice: for the document's text, and for the string around it.
    fn special(&mut self, byte: u8) {
        let [high, low] = text::hex(byte);
        self.out.extend_from_slice(match byte {
            b'"' => br#"\\\""#,
            b'\\' => br"\\\\",
            0x08 => br"\\b",
            0x0c => br"\\f",
            b'\n' => br"\\n",
            b'\r' => br"\\r",
            b'\t' => br"\\t",
            _ => br"\\u00",
        });
        if byte < 0x20 && !matches!(byte, 0x08 | 0x0c | b'\n' | b'\r' | b'\t') {
            self.out.extend_from_slice(&[high, low]);
        }
    }

    /// A value of a column type that JSON itself does not have.
    fn opaque(&mut self, field_type: u8, bytes: &[u8]) -> Result<(), ValueError> {
        self.claim(bytes.len())?;
        if field_type == 246 {
            let [precision, scale, digits @ ..] = bytes else {
                return Err(MALFORMED);
            };
            return decimal::write(digits, *precision, *scale, self.out);
        }
        self.out.extend_from_slice(b"\\\"");
        let packed = bytes.try_into().map(i64::from_le_bytes);
        match (field_type, packed) {
            (7 | 12, Ok(packed)) => temporal::write_packed(packed, self.out)?,
            (10, Ok(packed)) => temporal::write_packed_date(packed, self.out)?,
            (11, Ok(packed)) => temporal::write_packed_time(packed, self.out)?,
            (7 | 10..=12, Err(_)) => return Err(MALFORMED),
            _ => self.base64(field_type, bytes)?,
        }
        self.out.extend_from_slice(b"\\\"");
        Ok(())
    }

    /// `base64:type<n>:…`, broken into lines of 76 characters as the server does.
    fn base64(&mut self, field_type: u8, bytes: &[u8]) -> Result<(), ValueError> {
        self.out.extend_from_slice(b"base64:type");
        write_integer(field_type, self.out);
        self.out.push(b':');
        for (ordinal, line) in bytes.chunks(57).enumerate() {
            if ordinal > 0 {
                self.special(b'\n');
            }
            let mut encoded = [0; 76];
            let length = STANDARD.encode_slice(line, &mut encoded).map_err(|_| MALFORMED)?;
            self.out
                .extend_from_slice(encoded.get(..length).ok_or(MALFORMED)?);
        }
        Ok(())
    }
}

/// An object or array: count, size, entries, then what the entries point to.
struct Container<'a> {
    /// All of it; offsets count from its start.
    bytes: &'a [u8],
    count: usize,
    /// 2 in the small format, 4 in the large one.
    offset_bytes: usize,
}

impl<'a> Container<'a> {
    fn new(data: &'a [u8], large: bool) -> Result<Self, ValueError> {
        let offset_bytes = if large { 4 } else { 2 };
        let count = offset(data.get(..offset_bytes).ok_or(MALFORMED)?)?;
        let size = offset(data.get(offset_bytes..2 * offset_bytes).ok_or(MALFORMED)?)?;
        Ok(Self {
            bytes: data.get(..size).ok_or(MALFORMED)?,
            count,
            offset_bytes,
        })
    }

    /// The table of `count` entries of `length` bytes that begins `skip` bytes behind the head.
    fn entries(&self, skip: usize, length: usize) -> Result<&'a [u8], ValueError> {
        let begin = 2 * self.offset_bytes + skip;
        let bytes = self.count.checked_mul(length).ok_or(MALFORMED)?;
        let rest = self.bytes.get(begin..).ok_or(MALFORMED)?;
        rest.get(..bytes).ok_or(MALFORMED)
    }

    fn at(&self, place: &[u8]) -> Result<&'a [u8], ValueError> {
        self.bytes.get(offset(place)?..).ok_or(MALFORMED)
    }
}

fn offset(bytes: &[u8]) -> Result<usize, ValueError> {
    usize::try_from(little_endian(bytes)).map_err(|_| MALFORMED)
}

/// Bytes behind their own length: seven bits a byte, lowest first, at most five bytes.
fn sized(data: &[u8]) -> Result<&[u8], ValueError> {
    let mut length = 0u64;
    for (ordinal, byte) in data.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * ordinal);
        if byte & 0x80 == 0 {
            let rest = data.get(ordinal + 1..).ok_or(MALFORMED)?;
            let length = usize::try_from(length).map_err(|_| MALFORMED)?;
            return rest.get(..length).ok_or(MALFORMED);
        }
    }
    Err(MALFORMED)
}

/// Decimal exponents beyond which the server changes to the `e` form.
const PLAIN_EXPONENTS: std::ops::RangeInclusive<i32> = -14..=15;

/// More than any shortest form of a number has, zeros included.
const MAX_DIGITS: usize = 32;

/// The shortest digits that read back as the same number, laid out as the server does; a whole number gets `.0`.
fn write_double(number: f64, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if !number.is_finite() {
        return Err(MALFORMED);
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(number.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = || whole.bytes().chain(fraction.bytes());
    let leading = all().take_while(|digit| *digit == b'0').count();
    let mut digits = [b'0'; MAX_DIGITS];
    let mut significant = 0;
    for (ordinal, (to, digit)) in digits.iter_mut().zip(all().skip(leading)).enumerate() {
        *to = digit;
        if digit != b'0' {
            significant = ordinal + 1;
        }
    }
    // Zero has no significant digit, but one has to be shown, in front of the point.
    let point = if significant == 0 {
        1
    } else {
        exponent.parse::<i32>().map_err(|_| MALFORMED)? + i32::try_from(whole.len()).map_err(|_| MALFORMED)?
            - i32::try_from(leading).map_err(|_| MALFORMED)?
    };
    if number.is_sign_negative() {
        out.push(b'-');
    }
    lay_out(digits.get(..significant.max(1)).unwrap_or(b"0"), point, out);
    Ok(())
}

/// Writes `0.digits · 10^point`.
fn lay_out(digits: &[u8], point: i32, out: &mut Vec<u8>) {
    // A large number with a fraction is plain as well: 17 digits with the point before the last one.
    let has_fraction = usize::try_from(point).is_ok_and(|whole| digits.len() > whole);
    if !PLAIN_EXPONENTS.contains(&point) && !has_fraction {
        if let Some((first, rest)) = digits.split_first() {
            out.push(*first);
            if !rest.is_empty() {
                out.push(b'.');
                out.extend_from_slice(rest);
            }
        }
        out.push(b'e');
        write_integer(point - 1, out);
        return;
    }
    let Ok(whole) = usize::try_from(point) else {
        out.extend_from_slice(b"0.");
        let zeros = usize::try_from(point.unsigned_abs()).unwrap_or(0);
        out.extend(std::iter::repeat_n(b'0', zeros));
        out.extend_from_slice(digits);
        return;
    };
    let (integer, fraction) = digits.split_at_checked(whole).unwrap_or((digits, &[]));
    out.extend_from_slice(if whole == 0 { b"0" } else { integer });
    out.extend(std::iter::repeat_n(b'0', whole.saturating_sub(integer.len())));
    out.push(b'.');
    out.extend_from_slice(if fraction.is_empty() { b"0" } else { fraction });
}

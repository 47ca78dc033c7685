//! DECIMAL: groups of nine digits in big-endian bytes, exact, with the scale kept.

use super::ValueError;
use crate::source::rows::{DIGIT_BYTES, decimal_bytes};

const MALFORMED: ValueError = ValueError::Malformed("DECIMAL");

/// Most bytes of a DECIMAL: 65 digits with a ragged group on either side of the point.
const MAX_BYTES: usize = 32;

/// Appends the number's plain text, e.g. `-12.50`; no quotes.
///
/// The highest bit is the sign, inverted; all bits of a negative number are inverted. A negative zero keeps its
/// sign, as the server shows it.
pub(super) fn write(bytes: &[u8], precision: u8, scale: u8, out: &mut Vec<u8>) -> Result<(), ValueError> {
    if decimal_bytes(precision, scale) != Some(bytes.len()) {
        return Err(MALFORMED);
    }
    let mut digits = [0; MAX_BYTES];
    let digits = digits.get_mut(..bytes.len()).ok_or(MALFORMED)?;
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 == 0);
    let mask = if negative { u8::MAX } else { 0 };
    for (to, from) in digits.iter_mut().zip(bytes) {
        *to = *from ^ mask;
    }
    if let Some(first) = digits.first_mut() {
        *first ^= 0x80;
    }
    if negative {
        out.push(b'-');
    }
    let mut groups = Groups { rest: digits };
    let integer = precision.saturating_sub(scale);
    let start = out.len();
    groups.write(integer % 9, start, out)?;
    for _ in 0..integer / 9 {
        groups.write(9, start, out)?;
    }
    if out.len() == start {
        out.push(b'0');
    }
    if scale > 0 {
        out.push(b'.');
        // Digits behind the point are never leading: compare with a place that is not reached.
        for _ in 0..scale / 9 {
            groups.write(9, usize::MAX, out)?;
        }
        groups.write(scale % 9, usize::MAX, out)?;
    }
    Ok(())
}

struct Groups<'a> {
    rest: &'a [u8],
}

impl Groups<'_> {
    /// Appends a group of `digits` digits; without leading zeros as long as `out` ends at `start`.
    fn write(&mut self, digits: u8, start: usize, out: &mut Vec<u8>) -> Result<(), ValueError> {
        let digits = usize::from(digits);
        let length = DIGIT_BYTES.get(digits).ok_or(MALFORMED)?;
        let (group, rest) = self.rest.split_at_checked(*length).ok_or(MALFORMED)?;
        self.rest = rest;
        let number = group
            .iter()
            .fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        let mut text = itoa::Buffer::new();
        let text = text.format(number);
        let zeros = digits.checked_sub(text.len());
        if out.len() == start {
            // `0` in no digits is right, too.
            if number != 0 {
                zeros.ok_or(MALFORMED)?;
                out.extend_from_slice(text.as_bytes());
            }
            return Ok(());
        }
        match zeros {
            Some(zeros) => {
                out.extend(std::iter::repeat_n(b'0', zeros));
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            None if digits == 0 => Ok(()),
            None => Err(MALFORMED),
        }
    }
}

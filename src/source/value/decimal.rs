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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &[u8], precision: u8, scale: u8) -> Result<String, ValueError> {
        let mut out = Vec::new();
        write(bytes, precision, scale, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// The documented layout, from digits: groups of nine, ragged ones outermost.
    fn encode(integer: &str, fraction: &str, negative: bool) -> Vec<u8> {
        let group = |digits: &str| {
            let number: u32 = digits.parse().unwrap_or(0);
            number.to_be_bytes()[4 - DIGIT_BYTES[digits.len()]..].to_vec()
        };
        let (head, groups) = integer.split_at(integer.len() % 9);
        let mut bytes = group(head);
        for chunk in groups.as_bytes().chunks(9).chain(fraction.as_bytes().chunks(9)) {
            bytes.extend(group(std::str::from_utf8(chunk).unwrap()));
        }
        bytes[0] ^= 0x80;
        if negative {
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
        }
        bytes
    }

    #[test]
    fn documented_example() {
        let positive = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        let negative = positive.map(|byte: u8| !byte);
        assert_eq!(text(&positive, 14, 4).unwrap(), "1234567890.1234");
        assert_eq!(text(&negative, 14, 4).unwrap(), "-1234567890.1234");
    }

    #[test]
    fn boundaries() {
        assert_eq!(text(&[0x80], 1, 0).unwrap(), "0");
        assert_eq!(text(&[0x80, 0], 2, 2).unwrap_err(), MALFORMED);
        assert_eq!(text(&[0x80], 2, 2).unwrap(), "0.00");
        assert_eq!(text(&[0x7f], 2, 2).unwrap(), "-0.00");
        assert_eq!(text(&encode("000", "50", true), 5, 2).unwrap(), "-0.50");
        let (integer, fraction) = ("9".repeat(35), "9".repeat(30));
        let most = format!("-{integer}.{fraction}");
        assert_eq!(text(&encode(&integer, &fraction, true), 65, 30).unwrap(), most);
        // 10 in one digit, a billion in nine.
        assert!(text(&[0x80 | 10], 1, 0).is_err());
        assert!(text(&[0xff, 0xff, 0xff, 0xff], 9, 0).is_err());
        assert!(text(&[], 0, 0).is_err());
    }

    proptest! {
        #[test]
        fn any_decimal_round_trips(
            integer in "[0-9]{0,35}",
            fraction in "[0-9]{0,30}",
            negative in any::<bool>(),
        ) {
            prop_assume!(integer.len() + fraction.len() > 0);
            let precision = u8::try_from(integer.len() + fraction.len()).unwrap();
            let scale = u8::try_from(fraction.len()).unwrap();
            let shown = match integer.trim_start_matches('0') {
                "" => "0",
                digits => digits,
            };
            let sign = if negative { "-" } else { "" };
            let point = if scale > 0 { "." } else { "" };
            let expected = format!("{sign}{shown}{point}{fraction}");
            let bytes = encode(&integer, &fraction, negative);
            prop_assert_eq!(text(&bytes, precision, scale).unwrap(), expected);
        }
    }
}

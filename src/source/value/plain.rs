//! One column value as plain text: where a field of its own holds it and no JSON is around it.
//!
//! Numbers are written as JSON has them; strings without quotes and escapes. What a DataHub type narrows (a
//! boolean, 64 bits without the smallest number, an instant) is checked here, value by value.

use super::{Cell, Form, ValueError};

/// What the text has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Whatever the value is: digits, or a string's text.
    Text,
    /// A number of 64 bits other than the smallest.
    BigInt,
    /// `true` for 1, `false` for 0, nothing else.
    Boolean,
    /// Microseconds since 1970.
    Micros,
    /// Text that is valid JSON.
    Json,
}

impl Cell {
    /// Takes one value (not NULL) off the start of `values`, and appends its text to `out`.
    ///
    /// # Errors
    /// As [`Cell::write_json`], and if the value is none that `plain` asks for.
    pub fn write_plain(&self, plain: Plain, values: &mut &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        if plain == Plain::Micros {
            let Form::Temporal(temporal) = &self.form else {
                return Err(ValueError::Unfit("TIMESTAMP"));
            };
            let bytes = self.width.take(values).ok_or(ValueError::Truncated)?;
            super::write_integer(temporal.micros(bytes)?, out);
            return Ok(());
        }
        let start = out.len();
        self.write_json(values, out)?;
        unquote(out, start);
        let text = out.get(start..).unwrap_or_default();
        match plain {
            Plain::Text | Plain::Micros => Ok(()),
            Plain::BigInt if text == b"-9223372036854775808" => Err(ValueError::Unfit("BIGINT")),
            Plain::BigInt => Ok(()),
            Plain::Boolean => {
                let word: &[u8] = match text {
                    b"0" => b"false",
                    b"1" => b"true",
                    _ => return Err(ValueError::Unfit("BOOLEAN")),
                };
                out.truncate(start);
                out.extend_from_slice(word);
                Ok(())
            }
            Plain::Json => match serde_json::from_slice::<serde::de::IgnoredAny>(text) {
                Ok(_) => Ok(()),
                Err(_) => Err(ValueError::Unfit("JSON")),
            },
        }
    }
}

/// Takes quotes and escapes off the JSON string that `out` holds from `start` on; leaves anything else as it is.
///
/// In place: the text is never longer than the JSON.
pub fn unquote(out: &mut Vec<u8>, start: usize) {
    let Some(json) = out.get_mut(start..) else { return };
    let end = json.len().saturating_sub(1);
    if !matches!(json, [b'"', .., b'"']) {
        return;
    }
    let length = if json.contains(&b'\\') {
        unescape(json, end)
    } else {
        json.copy_within(1..end, 0);
        end.saturating_sub(1)
    };
    out.truncate(start.saturating_add(length));
}

/// Moves the text of the JSON string to its beginning; `end` is where its closing quote is. Returns the length.
fn unescape(json: &mut [u8], end: usize) -> usize {
    let (mut read, mut length) = (1, 0);
    let mut put = |json: &mut [u8], byte| {
        if let Some(place) = json.get_mut(length) {
            *place = byte;
        }
        length += 1;
    };
    while read < end {
        let byte = json.get(read).copied().unwrap_or_default();
        read += 1;
        if byte != b'\\' {
            put(json, byte);
            continue;
        }
        let escaped = json.get(read).copied().unwrap_or_default();
        read += 1;
        let byte = match escaped {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                // Our own writer escapes control characters alone: two of the four digits are zeros.
                let digits = json.get(read..).and_then(|rest| rest.first_chunk::<4>());
                read += 4;
                digits.map_or(0, |digits| {
                    digits.iter().fold(0u8, |code, digit| {
                        let value = char::from(*digit).to_digit(16);
                        code << 4 | value.and_then(|v| u8::try_from(v).ok()).unwrap_or_default()
                    })
                })
            }
            other => other,
        };
        put(json, byte);
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::change::{Charset, Column, ColumnKind};
    use crate::source::value::write_json_string;

    fn cell(kind: ColumnKind, wire: u8, meta: u16) -> Cell {
        Cell::new(&Column {
            name: "c".to_owned(),
            kind,
            declared: Box::default(),
            nullable: true,
            wire,
            meta,
        })
        .unwrap()
    }

    fn plain(cell: &Cell, plain: Plain, mut bytes: &[u8]) -> Result<String, ValueError> {
        let mut out = b"before".to_vec();
        cell.write_plain(plain, &mut bytes, &mut out)?;
        assert!(bytes.is_empty());
        Ok(String::from_utf8(out.split_off(6)).unwrap())
    }

    #[test]
    fn numbers_are_as_they_are_and_narrow_types_are_checked() {
        let integer = |bytes, unsigned, wire| cell(ColumnKind::Integer { bytes, unsigned }, wire, 0);
        let (tiny, big) = (integer(1, false, 1), integer(8, false, 8));
        assert_eq!(plain(&tiny, Plain::Text, &[0xff]).unwrap(), "-1");
        assert_eq!(plain(&tiny, Plain::Boolean, &[0]).unwrap(), "false");
        assert_eq!(plain(&tiny, Plain::Boolean, &[1]).unwrap(), "true");
        assert_eq!(
            plain(&tiny, Plain::Boolean, &[2]),
            Err(ValueError::Unfit("BOOLEAN"))
        );
        let number = |n: i64| plain(&big, Plain::BigInt, &n.to_le_bytes());
        assert_eq!(number(i64::MIN), Err(ValueError::Unfit("BIGINT")));
        assert_eq!(number(i64::MIN + 1).unwrap(), (i64::MIN + 1).to_string());
        assert_eq!(number(i64::MAX).unwrap(), i64::MAX.to_string());
    }

    #[test]
    fn an_instant_is_microseconds_and_a_zero_date_is_none() {
        let at = |digits: u8, bytes: &[u8]| {
            let kind = ColumnKind::Timestamp { digits };
            plain(&cell(kind, 17, u16::from(digits)), Plain::Micros, bytes)
        };
        assert_eq!(at(0, &[0, 0, 0, 1]).unwrap(), "1000000");
        assert_eq!(at(2, &[0, 0, 0, 1, 99]).unwrap(), "1990000");
        assert_eq!(at(3, &[0, 0, 0, 1, 0x26, 0x8e]).unwrap(), "1987000");
        assert_eq!(at(6, &[0, 0, 0, 0, 0, 0, 7]).unwrap(), "7");
        assert_eq!(
            at(6, &[0x7f, 0xff, 0xff, 0xff, 0x0f, 0x42, 0x3f]).unwrap(),
            "2147483647999999"
        );
        assert_eq!(at(0, &[0; 4]), Err(ValueError::Unfit("TIMESTAMP")));
        assert!(at(6, &[0, 0, 0, 1, 0xff, 0xff, 0xff]).is_err());
        let old = cell(ColumnKind::Timestamp { digits: 0 }, 7, 0);
        assert_eq!(plain(&old, Plain::Micros, &[2, 0, 0, 0]).unwrap(), "2000000");
    }

    #[test]
    fn json_is_checked_where_a_field_asks_for_it() {
        let charset = Charset::Utf8;
        let text = cell(ColumnKind::Text { charset }, 15, 20);
        let json = |text_: &str| {
            let mut bytes = vec![u8::try_from(text_.len()).unwrap()];
            bytes.extend_from_slice(text_.as_bytes());
            plain(&text, Plain::Json, &bytes)
        };
        assert_eq!(json(r#"{"a": "\n"}"#).unwrap(), r#"{"a": "\n"}"#);
        assert_eq!(json("{"), Err(ValueError::Unfit("JSON")));
        assert_eq!(json(""), Err(ValueError::Unfit("JSON")));
    }

    proptest! {
        #[test]
        fn a_string_comes_back_as_it_was(text in any::<String>(), before in any::<String>()) {
            let mut out = before.clone().into_bytes();
            write_json_string(&text, &mut out);
            unquote(&mut out, before.len());
            prop_assert_eq!(String::from_utf8(out).unwrap(), before + &text);
        }
    }
}

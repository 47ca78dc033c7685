//! Record schemas of TUPLE topics, and what a field's text may be.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::messages::FieldData;
use crate::refusal::Refusal;

/// The longest STRING, bytes.
const MAX_STRING: usize = 2 << 20;
/// 0000-12-31T16:00:00Z and 9999-12-31T15:59:59Z in microseconds: the bounds that the service documents.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_798_400_000_000..=253_402_271_999_000_000;
const DECIMAL_DIGITS: i64 = 38;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldType {
    Tinyint,
    Smallint,
    Integer,
    Bigint,
    Float,
    Double,
    Boolean,
    Timestamp,
    String,
    Decimal,
    Json,
}

const NAMES: [(FieldType, &str); 11] = [
    (FieldType::Tinyint, "TINYINT"),
    (FieldType::Smallint, "SMALLINT"),
    (FieldType::Integer, "INTEGER"),
    (FieldType::Bigint, "BIGINT"),
    (FieldType::Float, "FLOAT"),
    (FieldType::Double, "DOUBLE"),
    (FieldType::Boolean, "BOOLEAN"),
    (FieldType::Timestamp, "TIMESTAMP"),
    (FieldType::String, "STRING"),
    (FieldType::Decimal, "DECIMAL"),
    (FieldType::Json, "JSON"),
];

impl FieldType {
    pub(crate) fn by_name(name: &str) -> Option<FieldType> {
        NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(kind, _)| *kind)
    }

    pub(crate) fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("", |(_, name)| name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: FieldType,
    pub(crate) notnull: bool,
    pub(crate) comment: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) fields: Vec<Field>,
}

impl Schema {
    /// Reads the text that clients send.
    pub(crate) fn parse(text: &str) -> Result<Schema, Refusal> {
        let bad = |why: &str| Refusal::new("InvalidSchema", format!("Record schema is invalid: {why}"));
        let value: Value = serde_json::from_str(text).map_err(|_| bad("not JSON"))?;
        let fields = value
            .get("fields")
            .and_then(Value::as_array)
            .ok_or_else(|| bad("no fields"))?;
        let mut schema = Schema::default();
        for field in fields {
            let name = field
                .get("name")
                .and_then(Value::as_str)
                .ok_or_else(|| bad("a field has no name"))?;
            let kind = field
                .get("type")
                .and_then(Value::as_str)
                .ok_or_else(|| bad("a field has no type"))?;
            let kind = FieldType::by_name(kind).ok_or_else(|| bad(&format!("unknown type {kind}")))?;
            let notnull = field.get("notnull").and_then(Value::as_bool).unwrap_or(false);
            let comment = field
                .get("comment")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            schema.add(Field {
                name: name.to_owned(),
                kind,
                notnull,
                comment,
            })?;
        }
        if schema.fields.is_empty() {
            return Err(bad("no fields"));
        }
        Ok(schema)
    }

    pub(crate) fn add(&mut self, field: Field) -> Result<(), Refusal> {
        let name = &field.name;
        let rest_fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
        // A leading `_` is against the documented rule, but topics that Flink and the like write to have it.
        let fine =
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(rest_fine);
        if !fine || name.len() > 128 || name.eq_ignore_ascii_case("system_time") {
            return Err(Refusal::new(
                "InvalidSchema",
                format!("Field name is invalid: {name}"),
            ));
        }
        if self
            .fields
            .iter()
            .any(|known| known.name.eq_ignore_ascii_case(name))
        {
            return Err(Refusal::new(
                "InvalidSchema",
                format!("Field name is repeated: {name}"),
            ));
        }
        self.fields.push(field);
        Ok(())
    }

    /// The text that the service answers with: upper-case types, defaults left out.
    pub(crate) fn to_text(&self) -> String {
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|field| {
                let mut entry = json!({"name": field.name, "type": field.kind.name()});
                if let Some(entry) = entry.as_object_mut() {
                    if !field.comment.is_empty() {
                        entry.insert("comment".to_owned(), json!(field.comment));
                    }
                    if field.notnull {
                        entry.insert("notnull".to_owned(), json!(true));
                    }
                }
                entry
            })
            .collect();
        json!({ "fields": fields }).to_string()
    }

    /// Checks one record's fields.
    pub(crate) fn check(&self, data: &[FieldData]) -> Result<(), Refusal> {
        if data.len() != self.fields.len() {
            return Err(Refusal::malformed(format!(
                "Record field size not match: expect {}, got {}",
                self.fields.len(),
                data.len()
            )));
        }
        for (field, value) in self.fields.iter().zip(data) {
            match &value.value {
                None if field.notnull => {
                    return Err(Refusal::malformed(format!(
                        "Field [{}] must not be null",
                        field.name
                    )));
                }
                None => {}
                Some(value) => field.kind.check(value)?,
            }
        }
        Ok(())
    }
}

impl FieldType {
    fn check(self, value: &Bytes) -> Result<(), Refusal> {
        let Ok(text) = std::str::from_utf8(value) else {
            return Err(Refusal::malformed("Field value is not UTF-8"));
        };
        let failed = |why: String| {
            let shown: String = text.chars().take(40).collect();
            Err(Refusal::malformed(format!(
                "Parse field value [{shown}] to {} failed: {why}",
                self.name()
            )))
        };
        let integer = |min: i64, max: i64| match text.parse::<i64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(()),
            Ok(_) => failed("over range".to_owned()),
            Err(error) => failed(error.to_string()),
        };
        let float = |max: f64| match text.parse::<f64>() {
            Ok(number) if number.abs() <= max => Ok(()),
            Ok(_) => failed("over range".to_owned()),
            Err(error) => failed(error.to_string()),
        };
        match self {
            FieldType::Tinyint => integer(i8::MIN.into(), i8::MAX.into()),
            FieldType::Smallint => integer(i16::MIN.into(), i16::MAX.into()),
            FieldType::Integer => integer(i32::MIN.into(), i32::MAX.into()),
            // The documented range leaves out the smallest one.
            FieldType::Bigint => integer(-i64::MAX, i64::MAX),
            FieldType::Float => float(f32::MAX.into()),
            FieldType::Double => float(f64::MAX),
            FieldType::Boolean => match text {
                "true" | "false" | "True" | "False" | "TRUE" | "FALSE" | "1" | "0" => Ok(()),
                _ => failed("not a boolean".to_owned()),
            },
            FieldType::Timestamp => match text.parse::<i64>() {
                Ok(us) if TIMESTAMPS.contains(&us) => Ok(()),
                Ok(us) => Err(Refusal::malformed(format!(
                    "Timestamp field value over range: {us}"
                ))),
                Err(error) => failed(error.to_string()),
            },
            FieldType::Decimal => {
                if is_decimal(text) {
                    return Ok(());
                }
                let shown: String = text.chars().take(80).collect();
                Err(Refusal::malformed(format!("Decimal field invalid: {shown}")))
            }
            FieldType::String if text.len() > MAX_STRING => Err(Refusal::malformed(format!(
                "String field is too long: {} bytes, the limit is {MAX_STRING}",
                text.len()
            ))),
            FieldType::String => Ok(()),
            FieldType::Json => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                Ok(_) => Ok(()),
                Err(error) => failed(error.to_string()),
            },
        }
    }
}

/// A decimal number between the bounds of 38 integer digits, an exponent allowed.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let Ok(exponent) = exponent.parse::<i32>() else {
        return false;
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return false;
    }
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    let leading = i64::try_from(all.len() - significant.len()).unwrap_or(i64::MAX);
    let whole = i64::try_from(whole.len()).unwrap_or(i64::MAX);
    significant.is_empty() || whole - leading + i64::from(exponent) <= DECIMAL_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(kind: &str, text: &'static str) -> bool {
        FieldType::by_name(kind)
            .unwrap()
            .check(&Bytes::from_static(text.as_bytes()))
            .is_ok()
    }

    #[test]
    fn ranges_of_every_type() {
        for (kind, text, expected) in [
            ("tinyint", "-128", true),
            ("tinyint", "128", false),
            ("smallint", "32767", true),
            ("smallint", "32768", false),
            ("integer", "-2147483648", true),
            ("integer", "2147483648", false),
            ("bigint", "9223372036854775807", true),
            ("bigint", "-9223372036854775808", false),
            ("bigint", "", false),
            ("double", "1.e+00", true),
            ("double", "1e+300", true),
            ("double", "1e+309", false),
            ("double", "nan", false),
            ("double", "a", false),
            ("float", "3.4e38", true),
            ("float", "3.5e38", false),
            ("boolean", "true", true),
            ("boolean", "yes", false),
            ("timestamp", "253402271999000000", true),
            ("timestamp", "253402271999000001", false),
            ("timestamp", "-62135798400000001", false),
            ("decimal", "-12.50", true),
            ("decimal", "1E+5", true),
            ("decimal", "99999999999999999999999999999999999999", true),
            ("decimal", "100000000000000000000000000000000000000", false),
            ("decimal", "1E+38", false),
            ("decimal", "0.0000000000000000000000000000000000000000001", true),
            ("decimal", "-", false),
            ("decimal", "", false),
            ("json", "{\"a\":1}", true),
            ("json", "{", false),
            ("string", "", true),
        ] {
            assert_eq!(good(kind, text), expected, "{kind} {text}");
        }
        let long = Bytes::from(vec![b'x'; MAX_STRING + 1]);
        assert!(FieldType::String.check(&long.slice(1..)).is_ok());
        assert!(FieldType::String.check(&long).is_err());
        assert!(FieldType::String.check(&Bytes::from_static(b"\xff")).is_err());
    }

    #[test]
    fn schema_text_is_answered_in_upper_case_without_defaults() {
        let text = r#"{"fields":[{"name":"id","type":"bigint","comment":"","notnull":true},{"name":"n","type":"String"}]}"#;
        let schema = Schema::parse(text).unwrap();
        let expected =
            r#"{"fields":[{"name":"id","notnull":true,"type":"BIGINT"},{"name":"n","type":"STRING"}]}"#;
        assert_eq!(schema.to_text(), expected);
        let value = |text: &'static str| FieldData {
            value: Some(Bytes::from_static(text.as_bytes())),
        };
        assert!(schema.check(&[value("1"), FieldData { value: None }]).is_ok());
        assert!(schema.check(&[FieldData { value: None }, value("")]).is_err());
        assert!(
            schema
                .check(&[value("1")])
                .unwrap_err()
                .message
                .starts_with("Record field size not match")
        );
        for bad in [
            "",
            "{}",
            r#"{"fields":[]}"#,
            r#"{"fields":[{"name":"1","type":"string"}]}"#,
        ] {
            assert!(Schema::parse(bad).is_err(), "{bad}");
        }
        let twice = r#"{"fields":[{"name":"a","type":"string"},{"name":"A","type":"string"}]}"#;
        assert!(Schema::parse(twice).is_err());
    }
}

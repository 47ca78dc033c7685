//! One column value of a row image to its JSON text, straight into the output buffer.
//!
//! A table of types: [`Cell::new`] settles once per column how the wire form and the declared type go together,
//! [`Cell::write_json`] then only reads and writes, without allocating. A value that cannot be represented is an
//! error, never NULL and never a guess. Pure; finding the column in the row is `rows.rs`'s business.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::rows::{Width, little_endian};
use crate::change::{Column, ColumnKind};

mod decimal;
mod jsonb;
mod network;
mod plain;
mod temporal;
#[cfg(test)]
mod tests;
mod text;

pub use plain::{Plain, unquote};
use temporal::Temporal;
use text::Decoder;
pub use text::write_json_string;

/// A value that cannot be read or represented. Never holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The image ends before the value does.
    #[error("the row image ends within the value")]
    Truncated,
    /// The bytes are no value of the column's type.
    #[error("the bytes are not a valid {0}")]
    Malformed(&'static str),
    /// The bytes are no text of the column's charset.
    #[error("the bytes are not valid {0} text; correct the row at the source, or exclude the table")]
    Charset(&'static str),
    /// An ENUM or SET value for which the schema has no label.
    #[error("the {0} value has no label in the schema in force")]
    Label(&'static str),
    /// The type that the schema declares cannot have this wire form.
    #[error("a column declared as {declared} cannot have binlog type {wire} (metadata {meta})")]
    Wire {
        /// The declared type.
        declared: &'static str,
        /// The binlog's type byte.
        wire: u8,
        /// Its normalised metadata.
        meta: u16,
    },
    /// A value outside of what its field's type can hold.
    #[error("the value is none that a DataHub {0} can hold")]
    Unfit(&'static str),
    /// A NULL for a field that must not be NULL.
    #[error("the value is NULL, and its field in the topic is declared NOT NULL")]
    Null,
    /// The schema and the image do not go together.
    #[error("{0}")]
    Schema(&'static str),
}

/// How one column's values are read and written. Built once per table.
#[derive(Clone, Debug)]
pub struct Cell {
    width: Width,
    form: Form,
}

/// What the value's bytes are.
#[derive(Clone, Debug)]
enum Form {
    Signed,
    Unsigned,
    Float,
    Double,
    Decimal { precision: u8, scale: u8 },
    Bit,
    Temporal(Temporal),
    Year,
    Text(Decoder),
    FixedBinary { length: usize },
    Binary,
    Enum { labels: Vec<Box<[u8]>> },
    Set { labels: Vec<Box<[u8]>> },
    Json,
    Geometry,
    Uuid,
    Inet4,
    Inet6,
}

impl Cell {
    /// Matches the declared type with the wire form.
    ///
    /// # Errors
    /// If the two contradict each other, or the wire form is one that cannot be read (MariaDB's compressed
    /// columns, TIME and DATETIME with fractions in MariaDB's format before 10.1.2).
    pub fn new(column: &Column) -> Result<Self, ValueError> {
        let wire = column.wire;
        let mismatch = || ValueError::Wire {
            declared: declared(&column.kind),
            wire,
            meta: column.meta,
        };
        let width = Width::of(wire, column.meta).ok_or_else(mismatch)?;
        let string = matches!(wire, 15 | 253 | 254);
        let blob = matches!(wire, 249..=252);
        let temporal = |old: u8, new: u8, digits: u8, form: fn(u8) -> Temporal, before: Temporal| {
            if wire == new && column.meta == u16::from(digits) {
                Some(Form::Temporal(form(digits)))
            } else if wire == old && digits == 0 {
                Some(Form::Temporal(before))
            } else {
                None
            }
        };
        let form = match &column.kind {
            ColumnKind::Integer { bytes, unsigned } => {
                let fits = matches!((wire, bytes), (1, 1) | (2, 2) | (9, 3) | (3, 4) | (8, 8));
                fits.then_some(if *unsigned { Form::Unsigned } else { Form::Signed })
            }
            // OceanBase sends FLOAT(25) and wider as DOUBLE, whatever the declaration says.
            ColumnKind::Float | ColumnKind::Double => match wire {
                4 => Some(Form::Float),
                5 => Some(Form::Double),
                _ => None,
            },
            ColumnKind::Decimal { precision, scale } => (wire == 246
                && column.meta == u16::from_be_bytes([*precision, *scale]))
            .then_some(Form::Decimal {
                precision: *precision,
                scale: *scale,
            }),
            ColumnKind::Bit { bits } => {
                (wire == 16 && column.meta == u16::from(*bits) && *bits <= 64).then_some(Form::Bit)
            }
            ColumnKind::Date => matches!(wire, 10 | 14).then_some(Form::Temporal(Temporal::Date)),
            ColumnKind::DateTime { digits } => {
                temporal(12, 18, *digits, Temporal::DateTime, Temporal::OldDateTime)
            }
            ColumnKind::Timestamp { digits } => {
                temporal(7, 17, *digits, Temporal::Timestamp, Temporal::OldTimestamp)
            }
            ColumnKind::Time { digits } => temporal(11, 19, *digits, Temporal::Time, Temporal::OldTime),
            ColumnKind::Year => (wire == 13).then_some(Form::Year),
            ColumnKind::Text { charset } => {
                if string || blob {
                    Some(Form::Text(Decoder::new(*charset)?))
                } else {
                    None
                }
            }
            ColumnKind::FixedBinary { length } => {
                // Longer ones do not exist: the padding below is from a buffer of this size.
                (string && *length <= MAX_BINARY).then_some(Form::FixedBinary { length: *length })
            }
            ColumnKind::Binary => (string || blob || wire == 242).then_some(Form::Binary),
            ColumnKind::Enum { labels } => (wire == 247).then(|| Form::Enum {
                labels: labels
                    .iter()
                    .map(|label| {
                        let mut json = Vec::new();
                        write_json_string(label, &mut json);
                        json.into()
                    })
                    .collect(),
            }),
            ColumnKind::Set { labels } => (wire == 248 && labels.len() <= 64).then(|| Form::Set {
                labels: labels
                    .iter()
                    .map(|label| {
                        let mut json = Vec::new();
                        text::escape(label, &mut json);
                        json.into()
                    })
                    .collect(),
            }),
            ColumnKind::Json => (wire == 245).then_some(Form::Json),
            ColumnKind::Geometry => (wire == 255).then_some(Form::Geometry),
            ColumnKind::Uuid => (wire == 254).then_some(Form::Uuid),
            ColumnKind::Inet4 => (wire == 254).then_some(Form::Inet4),
            ColumnKind::Inet6 => (wire == 254).then_some(Form::Inet6),
        };
        Ok(Self {
            width,
            form: form.ok_or_else(mismatch)?,
        })
    }

    /// Takes one value (not NULL) off the start of `values` without reading it; its bytes, to compare.
    ///
    /// # Errors
    /// If the image ends before the value does.
    #[inline]
    pub fn skip<'v>(&self, values: &mut &'v [u8]) -> Result<&'v [u8], ValueError> {
        self.width.take(values).ok_or(ValueError::Truncated)
    }

    /// Takes one value (not NULL) off the start of `values`, and appends its JSON form to `out`.
    ///
    /// # Errors
    /// If the bytes are no value of the column's type; `out` may then hold a part of it.
    #[inline]
    pub fn write_json(&self, values: &mut &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
        let bytes = self.width.take(values).ok_or(ValueError::Truncated)?;
        match &self.form {
            Form::Signed => write_integer(signed(bytes), out),
            Form::Unsigned => write_integer(little_endian(bytes), out),
            Form::Text(decoder) => return decoder.write_json(bytes, out),
            Form::Float => {
                let bytes = bytes.try_into().map_err(|_| ValueError::Truncated)?;
                return write_float(f32::from_le_bytes(bytes), "FLOAT", out);
            }
            Form::Double => {
                let bytes = bytes.try_into().map_err(|_| ValueError::Truncated)?;
                return write_float(f64::from_le_bytes(bytes), "DOUBLE", out);
            }
            Form::Decimal { precision, scale } => {
                out.push(b'"');
                decimal::write(bytes, *precision, *scale, out)?;
                out.push(b'"');
            }
            Form::Bit => write_integer(big_endian(bytes), out),
            Form::Temporal(temporal) => {
                out.push(b'"');
                temporal.write(bytes, out)?;
                out.push(b'"');
            }
            Form::Year => {
                let year = little_endian(bytes);
                write_integer(if year == 0 { 0 } else { 1900 + year }, out);
            }
            Form::FixedBinary { length } => write_padded(bytes, *length, out)?,
            Form::Binary => write_base64(bytes, out)?,
            Form::Enum { labels } => write_enum(little_endian(bytes), labels, out)?,
            Form::Set { labels } => write_set(little_endian(bytes), labels, out)?,
            Form::Json => {
                out.push(b'"');
                jsonb::write_escaped(bytes, out)?;
                out.push(b'"');
            }
            Form::Geometry => write_geometry(bytes, out)?,
            Form::Uuid => network::write_uuid(&padded(bytes, "UUID")?, out),
            Form::Inet4 => network::write_inet4(&padded(bytes, "INET4")?, out),
            Form::Inet6 => network::write_inet6(&padded(bytes, "INET6")?, out),
        }
        Ok(())
    }
}

/// What `information_schema` would call it, for errors.
fn declared(kind: &ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Integer { .. } => "an integer",
        ColumnKind::Float => "FLOAT",
        ColumnKind::Double => "DOUBLE",
        ColumnKind::Decimal { .. } => "DECIMAL",
        ColumnKind::Bit { .. } => "BIT",
        ColumnKind::Date => "DATE",
        ColumnKind::DateTime { .. } => "DATETIME",
        ColumnKind::Timestamp { .. } => "TIMESTAMP",
        ColumnKind::Time { .. } => "TIME",
        ColumnKind::Year => "YEAR",
        ColumnKind::Text { .. } => "CHAR, VARCHAR or TEXT",
        ColumnKind::FixedBinary { .. } => "BINARY",
        ColumnKind::Binary => "VARBINARY or BLOB",
        ColumnKind::Enum { .. } => "ENUM",
        ColumnKind::Set { .. } => "SET",
        ColumnKind::Json => "JSON",
        ColumnKind::Geometry => "GEOMETRY",
        ColumnKind::Uuid => "UUID",
        ColumnKind::Inet4 => "INET4",
        ColumnKind::Inet6 => "INET6",
    }
}

fn write_integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Up to eight little-endian bytes in two's complement of their own width.
fn signed(bytes: &[u8]) -> i64 {
    let unused = 64 - 8 * u32::try_from(bytes.len().clamp(1, 8)).unwrap_or(8);
    (little_endian(bytes) << unused).cast_signed() >> unused
}

/// At most eight bytes as a number, highest first.
fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

fn write_float<F: zmij::Float + Into<f64> + Copy>(
    number: F,
    name: &'static str,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    if !number.into().is_finite() {
        return Err(ValueError::Malformed(name));
    }
    out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes());
    Ok(())
}

/// BINARY holds at most this many bytes.
const MAX_BINARY: usize = 255;

/// Base64 of `bytes` followed by zero bytes up to `length`.
fn write_padded(bytes: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut padded = [0; MAX_BINARY];
    let (Some(padded), true) = (padded.get_mut(..length), bytes.len() <= length) else {
        return Err(ValueError::Malformed("BINARY of the declared length"));
    };
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    write_base64(padded, out)
}

/// A fixed-length value whose trailing zero bytes the binlog leaves out.
fn padded<const N: usize>(bytes: &[u8], name: &'static str) -> Result<[u8; N], ValueError> {
    let mut padded = [0; N];
    if bytes.len() > N {
        return Err(ValueError::Malformed(name));
    }
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    Ok(padded)
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    out.push(b'"');
    append_base64(bytes, out)?;
    out.push(b'"');
    Ok(())
}

fn append_base64(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true).ok_or(ValueError::Truncated)?;
    out.resize(start.saturating_add(length), 0);
    STANDARD
        .encode_slice(bytes, out.get_mut(start..).unwrap_or_default())
        .map_err(|_| ValueError::Truncated)?;
    Ok(())
}

/// Index 0 is what a non-strict server stores for an invalid value: the empty string.
fn write_enum(index: u64, labels: &[Box<[u8]>], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let Some(place) = usize::try_from(index).ok().and_then(|i| i.checked_sub(1)) else {
        out.extend_from_slice(b"\"\"");
        return Ok(());
    };
    let label = labels.get(place).ok_or(ValueError::Label("ENUM"))?;
    out.extend_from_slice(label);
    Ok(())
}

fn write_set(bits: u64, labels: &[Box<[u8]>], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let known = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    if bits.checked_shr(known).unwrap_or(0) != 0 {
        return Err(ValueError::Label("SET"));
    }
    out.push(b'"');
    let mut first = true;
    for (bit, label) in labels.iter().enumerate() {
        if bits >> bit & 1 == 1 {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(label);
        }
    }
    out.push(b'"');
    Ok(())
}

fn write_geometry(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let (srid, wkb) = bytes
        .split_first_chunk::<4>()
        .ok_or(ValueError::Malformed("GEOMETRY"))?;
    out.extend_from_slice(b"{\"srid\":");
    write_integer(u32::from_le_bytes(*srid), out);
    out.extend_from_slice(b",\"wkb\":");
    write_base64(wkb, out)?;
    out.push(b'}');
    Ok(())
}

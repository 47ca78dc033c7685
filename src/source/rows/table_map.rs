//! TABLE_MAP events: a table's name and the wire form of its columns.
//!
//! What the optional metadata adds (names, signedness) is kept where a server sends it, as a cross-check only:
//! OceanBase never sends any. What is not needed of it is skipped by its length.

use super::{DecodeError, Reader, little_endian};
use crate::change::TableId;

/// One column as the table map describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireColumn {
    /// The type byte. A STRING (254) that is really an ENUM or SET shows 247 or 248 here.
    pub kind: u8,
    /// What the table map adds, in one form for all types: VARCHAR, CHAR: most bytes · BLOB, JSON, GEOMETRY: bytes
    /// of the length prefix · DECIMAL: `precision << 8 | scale` · BIT: bits · ENUM, SET: bytes in the image ·
    /// TIME, DATETIME, TIMESTAMP of MySQL 5.6 and later: fractional digits · FLOAT, DOUBLE: bytes · else 0.
    pub meta: u16,
    /// Whether it may be NULL.
    pub nullable: bool,
}

/// How long a column's value is in a row image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Always this many bytes.
    Fixed(usize),
    /// A little-endian length of this many bytes (1 to 4), then the value.
    Prefixed(usize),
}

impl Width {
    /// Bytes that the value at the start of `bytes` takes, its length prefix included. `None` if the prefix is
    /// cut short; the value itself may be.
    #[inline]
    pub(in crate::source) fn measure(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Fixed(length) => Some(length),
            Self::Prefixed(1) => bytes.first().map(|n| usize::from(*n) + 1),
            Self::Prefixed(2) => bytes
                .first_chunk::<2>()
                .map(|n| usize::from(u16::from_le_bytes(*n)) + 2),
            Self::Prefixed(prefix) => usize::try_from(little_endian(bytes.get(..prefix)?))
                .ok()?
                .checked_add(prefix),
        }
    }

    /// Splits the value off the start of `bytes`, without its prefix.
    #[inline]
    pub(in crate::source) fn take<'a>(self, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (value, rest) = bytes.split_at_checked(self.measure(bytes)?)?;
        *bytes = rest;
        match self {
            Self::Fixed(_) => Some(value),
            Self::Prefixed(prefix) => value.get(prefix..),
        }
    }

    /// The width of a column, by its resolved type and normalised metadata; `None` for an unknown type.
    pub fn of(kind: u8, meta: u16) -> Option<Self> {
        let [high, low] = meta.to_be_bytes();
        Some(match kind {
            1 | 13 => Self::Fixed(1),
            2 => Self::Fixed(2),
            9 | 10 | 11 | 14 => Self::Fixed(3),
            3 | 4 | 7 => Self::Fixed(4),
            5 | 8 | 12 => Self::Fixed(8),
            6 => Self::Fixed(0),
            15 | 141 | 253 | 254 => Self::Prefixed(if meta > 255 { 2 } else { 1 }),
            16 => Self::Fixed(usize::from(meta).div_ceil(8)),
            17 => Self::Fixed(4 + fraction_bytes(meta)?),
            18 => Self::Fixed(5 + fraction_bytes(meta)?),
            19 => Self::Fixed(3 + fraction_bytes(meta)?),
            140 | 242 | 245 | 249..=252 | 255 => match meta {
                1..=4 => Self::Prefixed(usize::from(meta)),
                _ => return None,
            },
            246 => Self::Fixed(decimal_bytes(high, low)?),
            247 if (1..=2).contains(&meta) => Self::Fixed(usize::from(meta)),
            248 if (1..=8).contains(&meta) => Self::Fixed(usize::from(meta)),
            _ => return None,
        })
    }
}

/// Bytes of a fraction of 0 to 6 digits.
fn fraction_bytes(digits: u16) -> Option<usize> {
    (digits <= 6).then(|| usize::from(digits).div_ceil(2))
}

/// Bytes of 0 to 9 decimal digits as one big-endian group.
pub(in crate::source) const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Bytes of a DECIMAL; `None` unless `scale <= precision <= 65`, `scale <= 38`.
pub(in crate::source) fn decimal_bytes(precision: u8, scale: u8) -> Option<usize> {
    // MariaDB allows 38 digits behind the point, MySQL 30.
    if precision == 0 || precision > 65 || scale > 38 {
        return None;
    }
    let part = |digits: u8| {
        let odd = DIGIT_BYTES.get(usize::from(digits % 9))?;
        Some(usize::from(digits / 9) * 4 + odd)
    };
    Some(part(precision.checked_sub(scale)?)? + part(scale)?)
}

/// A table as the following rows events mean it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMap {
    /// What rows events refer to it by.
    pub table_id: u64,
    /// Which table.
    pub id: TableId,
    /// In the order of the row image.
    pub columns: Vec<WireColumn>,
    /// Column names, where the server sends them (`binlog_row_metadata=FULL`).
    pub names: Option<Vec<String>>,
    /// UNSIGNED by column, where the server sends it; `false` for columns that are not numbers.
    pub unsigned: Option<Vec<bool>>,
    /// `Width::of` each column, so that cutting rows looks nothing up.
    widths: Vec<Width>,
}

/// Most columns that a table can have, of all servers; a larger count is not believed.
const MAX_COLUMNS: usize = 4096;

impl TableMap {
    /// Reads an event's body (without its 19-byte header and its checksum).
    ///
    /// # Errors
    /// Malformed bytes, and column types that this version does not know.
    pub fn parse(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let table_id = reader.uint(6, "cut short in the table id")?;
        reader.take(2, "cut short in the flags")?;
        let db = name(&mut reader)?;
        let table = name(&mut reader)?;
        let count = reader.packed_length("cut short in the column count")?;
        if count > MAX_COLUMNS {
            return Err(reader.error("more than 4096 columns"));
        }
        let kinds = reader.take(count, "cut short in the column types")?;
        let length = reader.packed_length("cut short in the metadata's length")?;
        let mut metadata = Reader {
            offset: reader.offset,
            rest: reader.take(length, "cut short in the column metadata")?,
        };
        let nullable = reader.take(count.div_ceil(8), "cut short in the NULL bits")?;
        let mut columns = Vec::with_capacity(count);
        let mut widths = Vec::with_capacity(count);
        for (ordinal, kind) in kinds.iter().enumerate() {
            let (kind, meta) = resolve(*kind, ordinal, &mut metadata)?;
            let width =
                Width::of(kind, meta).ok_or_else(|| metadata.error("impossible metadata of a column"))?;
            let bits = nullable.get(ordinal / 8).copied().unwrap_or_default();
            columns.push(WireColumn {
                kind,
                meta,
                nullable: bits >> (ordinal % 8) & 1 == 1,
            });
            widths.push(width);
        }
        if !metadata.rest.is_empty() {
            return Err(metadata.error("column metadata is left over"));
        }
        let mut map = Self {
            table_id,
            id: TableId { db, table },
            columns,
            names: None,
            unsigned: None,
            widths,
        };
        map.read_optional(&mut reader)?;
        Ok(map)
    }

    /// How each column lies in an image.
    pub fn widths(&self) -> &[Width] {
        &self.widths
    }

    fn read_optional(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        while !reader.rest.is_empty() {
            let field = reader.byte("cut short in optional metadata")?;
            let length = reader.packed_length("cut short in optional metadata")?;
            let mut value = Reader {
                offset: reader.offset,
                rest: reader.take(length, "cut short in optional metadata")?,
            };
            match field {
                1 => self.unsigned = Some(signedness(&self.columns, &value)?),
                4 => {
                    let mut names = Vec::with_capacity(self.columns.len());
                    for _ in &self.columns {
                        let length = value.packed_length("cut short in a column name")?;
                        names.push(text(&mut value, length)?);
                    }
                    self.names = Some(names);
                }
                // Charsets, labels, keys, visibility: the schema is authoritative for them.
                _ => {}
            }
        }
        Ok(())
    }
}

/// A length byte, the name, a zero byte.
fn name(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let length = reader.packed_length("cut short in a name")?;
    let name = text(reader, length)?;
    if reader.byte("cut short behind a name")? != 0 {
        return Err(reader.error("a name does not end in a zero byte"));
    }
    Ok(name)
}

fn text(reader: &mut Reader<'_>, length: usize) -> Result<String, DecodeError> {
    let at = *reader;
    let bytes = reader.take(length, "cut short in a name")?;
    match std::str::from_utf8(bytes) {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(at.error("a name that is not UTF-8")),
    }
}

/// Reads a column's metadata: its resolved type, and the metadata in the form of [`WireColumn::meta`].
fn resolve(kind: u8, column: usize, metadata: &mut Reader<'_>) -> Result<(u8, u16), DecodeError> {
    let what = "cut short in the column metadata";
    Ok(match kind {
        1..=3 | 6..=14 => (kind, 0),
        4 | 5 | 17..=19 | 140 | 242 | 245 | 249..=252 | 255 => (kind, u16::from(metadata.byte(what)?)),
        15 | 141 | 253 => {
            let low = metadata.byte(what)?;
            (kind, u16::from_le_bytes([low, metadata.byte(what)?]))
        }
        16 => {
            let odd_bits = u16::from(metadata.byte(what)?);
            (kind, u16::from(metadata.byte(what)?) * 8 + odd_bits)
        }
        246 => {
            let precision = metadata.byte(what)?;
            (kind, u16::from_be_bytes([precision, metadata.byte(what)?]))
        }
        247 | 248 | 254 => {
            let real = metadata.byte(what)?;
            let length = u16::from(metadata.byte(what)?);
            // Real types have bits 0x30 set. A CHAR longer than 255 bytes keeps the two high bits of its length
            // there, inverted.
            let high = u16::from(real & 0x30 ^ 0x30) << 4;
            match real | 0x30 {
                enum_or_set @ (247 | 248) if high == 0 => (enum_or_set, length),
                254 => (254, high | length),
                _ => return Err(metadata.error("a string column of unknown real type")),
            }
        }
        _ => return Err(DecodeError::UnknownColumnType { kind, column }),
    })
}

/// One bit a numeric column, highest bit first, padded to bytes.
fn signedness(columns: &[WireColumn], bits: &Reader<'_>) -> Result<Vec<bool>, DecodeError> {
    let mut numeric = 0usize;
    columns
        .iter()
        .map(|column| {
            // YEAR has a bit although it has no sign.
            if !matches!(column.kind, 1..=5 | 8 | 9 | 13 | 246) {
                return Ok(false);
            }
            let byte = bits
                .rest
                .get(numeric / 8)
                .ok_or_else(|| bits.error("cut short in the signedness bits"))?;
            let unsigned = byte << (numeric % 8) & 0x80 != 0;
            numeric += 1;
            Ok(unsigned && column.kind != 13)
        })
        .collect()
}

//! Tables of the tenant: what the observer says of them, and how their rows lie in the binlog.

use crate::workload::{Cell, Table};

/// A column's type, as far as the double writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// INT.
    Int,
    /// INT UNSIGNED.
    IntUnsigned,
    /// BIGINT.
    BigInt,
    /// BIGINT UNSIGNED.
    BigIntUnsigned,
    /// VARCHAR of so many characters, utf8mb4.
    Varchar(u16),
    /// DECIMAL of so many digits, and so many of them behind the point.
    Decimal(u8, u8),
    /// DOUBLE.
    Double,
    /// DATETIME(6).
    DateTime,
    /// TEXT.
    Text,
    /// LONGTEXT.
    LongText,
    /// JSON.
    Json,
    /// ENUM with these labels.
    Enum(&'static [&'static str]),
}

impl Type {
    /// `information_schema`'s COLUMN_TYPE.
    pub(super) fn sql(&self) -> String {
        match self {
            Type::Int => "int(11)".to_owned(),
            Type::IntUnsigned => "int(10) unsigned".to_owned(),
            Type::BigInt => "bigint(20)".to_owned(),
            Type::BigIntUnsigned => "bigint(20) unsigned".to_owned(),
            Type::Varchar(length) => format!("varchar({length})"),
            Type::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
            Type::Double => "double".to_owned(),
            Type::DateTime => "datetime(6)".to_owned(),
            Type::Text => "text".to_owned(),
            Type::LongText => "longtext".to_owned(),
            Type::Json => "json".to_owned(),
            Type::Enum(labels) => format!("enum('{}')", labels.join("','")),
        }
    }

    /// `information_schema`'s CHARACTER_SET_NAME.
    pub(super) fn charset(&self) -> Option<String> {
        let has = matches!(
            self,
            Type::Varchar(_) | Type::Text | Type::LongText | Type::Enum(_)
        );
        has.then(|| "utf8mb4".to_owned())
    }

    /// The type byte of a table map, and what it adds.
    pub(super) fn wire(&self) -> (u8, Vec<u8>) {
        match self {
            Type::Int | Type::IntUnsigned => (3, vec![]),
            Type::BigInt | Type::BigIntUnsigned => (8, vec![]),
            Type::Varchar(length) => (15, (length * 4).to_le_bytes().to_vec()),
            Type::Decimal(precision, scale) => (246, vec![*precision, *scale]),
            Type::Double => (5, vec![8]),
            Type::DateTime => (18, vec![6]),
            Type::Text => (252, vec![2]),
            Type::LongText => (252, vec![4]),
            Type::Json => (245, vec![4]),
            Type::Enum(_) => (254, vec![247, 1]),
        }
    }
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Type,
    /// Whether it may be NULL.
    pub nullable: bool,
}

impl Column {
    /// A column that may not be NULL.
    pub fn new(name: &str, kind: Type) -> Column {
        Column {
            name: name.to_owned(),
            kind,
            nullable: false,
        }
    }

    /// One that may.
    pub fn nullable(name: &str, kind: Type) -> Column {
        Column {
            nullable: true,
            ..Column::new(name, kind)
        }
    }
}

/// A table as it is at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name; all tables are in one schema.
    pub name: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// How many of them, from the first, are the primary key.
    pub key: usize,
}

impl Shape {
    /// A table whose first column is its key.
    pub fn new(name: &str, columns: Vec<Column>) -> Shape {
        Shape {
            name: name.to_owned(),
            columns,
            key: 1,
        }
    }

    /// A table of the workload.
    pub(super) fn of(table: Table) -> Shape {
        use Type::{BigInt, BigIntUnsigned, DateTime, Decimal, Double, Int, IntUnsigned, Text, Varchar};
        let version = Column::new("version", BigIntUnsigned);
        let columns = match table {
            Table::Accounts => vec![
                Column::new("id", BigInt),
                version,
                Column::new("owner", Varchar(80)),
                Column::new("balance", Decimal(20, 4)),
                Column::new("points", BigIntUnsigned),
                Column::nullable("delta", Int),
                Column::new("rate", Double),
                Column::new("opened", DateTime),
                Column::nullable("note", Text),
            ],
            Table::Stock => vec![
                Column::new("warehouse", IntUnsigned),
                Column::new("sku", Varchar(20)),
                version,
                Column::new("amount", Int),
                Column::nullable("label", Varchar(60)),
            ],
            Table::Journal => vec![Column::new("id", Int), version, Column::new("text", Varchar(120))],
        };
        Shape {
            name: table.name().to_owned(),
            columns,
            key: table.key_columns().len(),
        }
    }

    /// The columns' NULL bits of a table map.
    pub(super) fn nullable_bits(&self) -> Vec<u8> {
        bits(self.columns.iter().map(|column| column.nullable))
    }
}

/// Bits from the lowest of the first byte on.
pub(super) fn bits(all: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = vec![0; all.len().div_ceil(8)];
    for (at, set) in all.enumerate() {
        bytes[at / 8] |= u8::from(set) << (at % 8);
    }
    bytes
}

/// A value in a row of the tenant.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A value that the workload knows.
    Cell(Cell),
    /// Bytes as they lie in the image, whatever they may mean.
    Raw(Vec<u8>),
}

impl From<Cell> for Value {
    fn from(cell: Cell) -> Value {
        Value::Cell(cell)
    }
}

impl Value {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Value::Cell(Cell::Null))
    }

    /// Puts the value behind an image.
    ///
    /// # Panics
    /// If the value is none of the type: the test that wrote it is wrong.
    pub(super) fn put(&self, kind: &Type, out: &mut Vec<u8>) {
        let cell = match self {
            Value::Raw(bytes) => return out.extend_from_slice(bytes),
            Value::Cell(cell) => cell,
        };
        match (cell, kind) {
            (Cell::Null, _) => {}
            (Cell::Integer(number), Type::Int | Type::IntUnsigned) => {
                out.extend_from_slice(&(*number as u32).to_le_bytes());
            }
            (Cell::Integer(number), Type::BigInt | Type::BigIntUnsigned) => {
                out.extend_from_slice(&(*number as u64).to_le_bytes());
            }
            (Cell::Integer(index), Type::Enum(_)) => out.push(*index as u8),
            (Cell::Double(number), Type::Double) => out.extend_from_slice(&number.to_le_bytes()),
            (Cell::Decimal(text), Type::Decimal(precision, scale)) => {
                put_decimal(out, text, usize::from(*precision), usize::from(*scale));
            }
            (Cell::Text(text), Type::DateTime) => put_datetime(out, text),
            (Cell::Text(text), Type::Varchar(length)) => {
                put_prefixed(out, text, if length * 4 > 255 { 2 } else { 1 });
            }
            (Cell::Text(text), Type::Text) => put_prefixed(out, text, 2),
            (Cell::Text(text), Type::LongText) => put_prefixed(out, text, 4),
            (cell, kind) => panic!("{cell:?} is no {kind:?}"),
        }
    }
}

fn put_prefixed(out: &mut Vec<u8>, text: &str, width: usize) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes()[..width]);
    out.extend_from_slice(text.as_bytes());
}

/// Groups of nine digits in four bytes, big-endian, the first bit turned; a negative number with all bits turned.
fn put_decimal(out: &mut Vec<u8>, text: &str, precision: usize, scale: usize) {
    const BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
    let negative = text.starts_with('-');
    let (whole, fraction) = text.trim_start_matches('-').split_once('.').unwrap_or((text, ""));
    let whole = format!("{whole:0>width$}", width = precision - scale);
    let fraction = format!("{fraction:0<scale$}");
    let start = out.len();
    let mut group = |digits: &str| {
        if let Ok(number) = digits.parse::<u32>() {
            out.extend_from_slice(&number.to_be_bytes()[4 - BYTES[digits.len()]..]);
        }
    };
    let (odd, full) = whole.split_at(whole.len() % 9);
    group(odd);
    for at in (0..full.len()).step_by(9) {
        group(&full[at..at + 9]);
    }
    for at in (0..fraction.len()).step_by(9) {
        group(&fraction[at..(at + 9).min(fraction.len())]);
    }
    if negative {
        for byte in &mut out[start..] {
            *byte = !*byte;
        }
    }
    out[start] ^= 0x80;
}

/// `YYYY-MM-DD hh:mm:ss.ffffff` in five bytes and three of fraction, big-endian.
fn put_datetime(out: &mut Vec<u8>, text: &str) {
    let mut numbers = text
        .split(['-', ' ', ':', '.'])
        .map(|part| part.parse::<u64>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let (year, month, day) = (next(), next(), next());
    let (hour, minute, second, micros) = (next(), next(), next(), next());
    let date = (year * 13 + month) << 5 | day;
    let time = hour << 12 | minute << 6 | second;
    let packed = (1 << 39) | date << 17 | time;
    out.extend_from_slice(&packed.to_be_bytes()[3..]);
    out.extend_from_slice(&micros.to_be_bytes()[5..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_as_the_servers_write_them() {
        let bytes = |cell: Cell, kind: Type| {
            let mut out = Vec::new();
            Value::Cell(cell).put(&kind, &mut out);
            out
        };
        // The manual's example of a packed DECIMAL.
        assert_eq!(
            bytes(Cell::Decimal("1234567890.1234".to_owned()), Type::Decimal(14, 4)),
            [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2]
        );
        assert_eq!(
            bytes(Cell::Decimal("-1234567890.1234".to_owned()), Type::Decimal(14, 4)),
            [0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d]
        );
        assert_eq!(
            bytes(
                Cell::Text("2026-01-02 03:04:05.000006".to_owned()),
                Type::DateTime
            )[5..],
            [0, 0, 6]
        );
        assert_eq!(bytes(Cell::Integer(-2), Type::Int), [0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(
            bytes(Cell::Text("ab".to_owned()), Type::Varchar(80)),
            [2, 0, b'a', b'b']
        );
        assert_eq!(
            bytes(Cell::Text("ab".to_owned()), Type::Varchar(20)),
            [2, b'a', b'b']
        );
    }
}

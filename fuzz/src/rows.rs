//! Row images: a table map, a rows event cut along it, and every value read as a column that may have that wire form.

use cdc_collector::change::{Charset, Column, ColumnKind};
use cdc_collector::source::rows::{RowsEvent, TableMap, WireColumn};
use cdc_collector::source::value::Cell;

/// The rows event's type byte, the table map's length in two bytes, lowest first, the table map, the rows event.
pub fn rows(input: &[u8]) -> bool {
    let Some(([kind, l0, l1], rest)) = input.split_first_chunk::<3>() else {
        return false;
    };
    let length = usize::from(u16::from_le_bytes([*l0, *l1]));
    let Some((map, body)) = rest.split_at_checked(length) else {
        return false;
    };
    let map = TableMap::parse(map);
    let event = RowsEvent::parse(*kind, body);
    let (Ok(map), Ok(event)) = (map, event) else {
        return false;
    };
    let counted = event.count(&map);
    let Ok(rows) = event.rows(&map) else {
        return false;
    };
    let cells: Vec<Option<Cell>> = (0..).zip(&map.columns).map(|(at, wire)| cell(at, wire)).collect();
    let (mut good, mut seen) = (true, 0u64);
    for row in rows {
        let Ok((before, after)) = row else {
            good = false;
            continue;
        };
        seen += 1;
        for image in before.into_iter().chain(after) {
            write(&cells, image.nulls, image.values);
        }
    }
    if good {
        assert_eq!(counted.ok(), Some(seen), "rows are counted as they are read");
    }
    good
}

/// Writes an image's values as far as there are cells; each is skipped and written alike.
fn write(cells: &[Option<Cell>], nulls: &[u8], mut values: &[u8]) {
    let mut json = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        let Some(cell) = cell else { return };
        if nulls.get(at / 8).is_none_or(|bits| bits >> (at % 8) & 1 == 1) {
            continue;
        }
        let mut skipped = values;
        assert!(
            cell.skip(&mut skipped).is_ok(),
            "a value that was cut out is there"
        );
        json.clear();
        if cell.write_json(&mut values, &mut json).is_ok() {
            assert_eq!(values.len(), skipped.len(), "a value is as long as it is");
            assert_is_json(&json);
        }
        values = skipped;
    }
    assert!(values.is_empty(), "an image is its values");
}

fn assert_is_json(text: &[u8]) {
    let read: Result<serde_json::Value, _> = serde_json::from_slice(text);
    assert!(read.is_ok(), "{} is no JSON", String::from_utf8_lossy(text));
}

/// MySQL's binary form of a JSON document.
pub fn jsonb(input: &[u8]) -> bool {
    let column = WireColumn {
        kind: 245,
        meta: 4,
        nullable: false,
    };
    let Some(cell) = cell(0, &column) else {
        return false;
    };
    let mut value = u32::try_from(input.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes()
        .to_vec();
    value.extend_from_slice(input);
    let mut json = Vec::new();
    let understood = cell.write_json(&mut value.as_slice(), &mut json).is_ok();
    if understood {
        assert_is_json(&json);
    }
    understood
}

/// A cell for a column of this wire form; which of those that it may be follows from its place.
fn cell(at: usize, wire: &WireColumn) -> Option<Cell> {
    let digits = wire.meta.to_le_bytes()[0];
    let kind = match wire.kind {
        1 => integer(1, at),
        2 => integer(2, at),
        3 => integer(4, at),
        8 => integer(8, at),
        9 => integer(3, at),
        4 => ColumnKind::Float,
        5 => ColumnKind::Double,
        7 => ColumnKind::Timestamp { digits: 0 },
        10 | 14 => ColumnKind::Date,
        11 => ColumnKind::Time { digits: 0 },
        12 => ColumnKind::DateTime { digits: 0 },
        13 => ColumnKind::Year,
        16 => ColumnKind::Bit { bits: digits },
        17 => ColumnKind::Timestamp { digits },
        18 => ColumnKind::DateTime { digits },
        19 => ColumnKind::Time { digits },
        15 | 249..=254 => text(at, wire),
        242 => ColumnKind::Binary,
        245 => ColumnKind::Json,
        246 => {
            let [precision, scale] = wire.meta.to_be_bytes();
            ColumnKind::Decimal { precision, scale }
        }
        247 => ColumnKind::Enum { labels: labels(at) },
        248 => ColumnKind::Set { labels: labels(at) },
        255 => ColumnKind::Geometry,
        _ => return None,
    };
    let column = Column {
        name: String::new(),
        kind,
        declared: "".into(),
        nullable: wire.nullable,
        wire: wire.kind,
        meta: wire.meta,
    };
    Cell::new(&column).ok()
}

fn integer(bytes: u8, at: usize) -> ColumnKind {
    ColumnKind::Integer {
        bytes,
        unsigned: at % 2 == 1,
    }
}

fn labels(at: usize) -> Vec<String> {
    let labels = ["a", "it's", "\"\\\u{1}", "ü"].iter().cycle();
    labels.take(at % 65).map(|label| (*label).to_owned()).collect()
}

/// What a string of bytes may be.
fn text(at: usize, wire: &WireColumn) -> ColumnKind {
    let charset = match at % 12 {
        0 => Charset::Utf8,
        1 => Charset::Gbk,
        2 => Charset::Gb18030,
        3 => Charset::Big5,
        4 => Charset::Sjis,
        5 => Charset::EucJpMs,
        6 => Charset::EucKr,
        7 => Charset::Ascii,
        8 => return ColumnKind::Binary,
        9 if wire.kind == 254 => return ColumnKind::Uuid,
        10 if wire.kind == 254 => return ColumnKind::Inet4,
        11 if wire.kind == 254 => return ColumnKind::Inet6,
        _ => {
            let length = usize::from(wire.meta);
            return ColumnKind::FixedBinary { length };
        }
    };
    ColumnKind::Text { charset }
}

//! Synthetic rows as a server sends them: what the benchmark measures and what the allocation test counts.

use std::error::Error;
use std::sync::Arc;

use cdc_collector::change::{
    ChangeEvent, Charset, Column, ColumnKind, Operation, RowChange, SourceMeta, TableSchema,
};
use cdc_collector::config::filter::columns::ColumnRules;
use cdc_collector::config::{Envelope, Secret};
use cdc_collector::encode::{Encoder, Routing, Settings};
use cdc_collector::position::{FilePosition, Flavour, Position};
use cdc_collector::source::rows::{RowsEvent, TableMap};

/// Rows in one event; MySQL fills events up to 8 KiB.
pub(crate) const ROWS: usize = 40;

/// A table, and events that change [`ROWS`] rows of it.
pub(crate) struct Table {
    map: TableMap,
    schema: Arc<TableSchema>,
    inserts: Vec<u8>,
    /// From values to NULLs, in all columns but the key.
    updates: Vec<u8>,
    meta: SourceMeta,
}

/// A column, its metadata bytes in the table map, and one value.
struct Sample {
    kind: ColumnKind,
    wire: u8,
    metadata: Vec<u8>,
    value: Vec<u8>,
}

fn sample(kind: ColumnKind, wire: u8, metadata: &[u8], value: &[u8]) -> Sample {
    Sample {
        kind,
        wire,
        metadata: metadata.to_vec(),
        value: value.to_vec(),
    }
}

/// A value behind its length of `prefix` bytes.
fn sized(prefix: usize, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_le_bytes();
    length
        .into_iter()
        .take(prefix)
        .chain(value.iter().copied())
        .collect()
}

fn text(charset: Charset, wire: u8, metadata: &[u8], prefix: usize, value: &[u8]) -> Sample {
    sample(
        ColumnKind::Text { charset },
        wire,
        metadata,
        &sized(prefix, value),
    )
}

fn fox(length: usize) -> Vec<u8> {
    b"The quick brown fox "
        .iter()
        .copied()
        .cycle()
        .take(length)
        .collect()
}

fn integer(bytes: u8, wire: u8, unsigned: bool) -> Sample {
    let value = 7_654_321_987i64.to_le_bytes();
    let value: Vec<u8> = value.into_iter().take(bytes.into()).collect();
    sample(ColumnKind::Integer { bytes, unsigned }, wire, &[], &value)
}

/// `{"a": 4711, "b": [true, null, "x99"]}` in MySQL's binary form.
const DOCUMENT: &[u8] = b"\x00\x02\x00\x25\x00\x12\x00\x01\x00\x13\x00\x01\x00\x05\x67\x12\x02\x14\x00ab\
    \x03\x00\x11\x00\x04\x01\x00\x04\x00\x00\x0c\x0d\x00\x03x99";

/// (INT, INT, CHAR(120), CHAR(60)).
pub(crate) fn narrow() -> Result<Table, Box<dyn Error>> {
    Table::new(&[
        integer(4, 3, false),
        integer(4, 3, false),
        text(Charset::Utf8, 254, &[0xee, 0xe0], 2, &fox(119)),
        text(Charset::Utf8, 254, &[254, 240], 1, &fox(59)),
    ])
}

/// A key and three columns each of the thirteen most common types.
pub(crate) fn wide() -> Result<Table, Box<dyn Error>> {
    let mut samples = vec![integer(8, 8, false)];
    samples.extend((0..3).flat_map(|_| common()));
    Table::new(&samples)
}

/// One column of every type.
pub(crate) fn every() -> Result<Table, Box<dyn Error>> {
    let labels = || vec!["one".to_owned(), "two".to_owned()];
    let mut samples = vec![integer(8, 8, false)];
    samples.extend(common());
    samples.extend([
        integer(2, 2, true),
        integer(3, 9, false),
        text(Charset::Gbk, 15, &[200, 0], 1, &[0xd6, 0xd0, 0xce, 0xc4]),
        text(Charset::SingleByte("latin1"), 15, &[200, 0], 1, b"na\xefve \x80"),
        text(Charset::Utf16, 15, &[200, 0], 1, &[0x4e, 0x2d, 0, b'"']),
        text(Charset::Utf32, 15, &[200, 0], 1, &[0, 1, 0xf6, 0]),
        sample(ColumnKind::Bit { bits: 9 }, 16, &[1, 1], &[1, 0xff]),
        sample(ColumnKind::Year, 13, &[], &[124]),
        sample(
            ColumnKind::Time { digits: 3 },
            19,
            &[3],
            &[0x80, 0xc8, 0xb8, 0x04, 0xce],
        ),
        sample(
            ColumnKind::DateTime { digits: 0 },
            12,
            &[],
            &20_240_102_030_405u64.to_le_bytes(),
        ),
        sample(
            ColumnKind::FixedBinary { length: 16 },
            254,
            &[254, 16],
            &sized(1, b"abc"),
        ),
        sample(ColumnKind::Enum { labels: labels() }, 254, &[247, 1], &[2]),
        sample(ColumnKind::Set { labels: labels() }, 254, &[248, 1], &[3]),
        sample(
            ColumnKind::Geometry,
            255,
            &[4],
            &sized(4, &[[0; 4].as_slice(), &[1; 21]].concat()),
        ),
        sample(ColumnKind::Uuid, 254, &[254, 16], &sized(1, &[0x5a; 16])),
        sample(ColumnKind::Inet4, 254, &[254, 4], &sized(1, &[192, 168, 0, 1])),
        sample(ColumnKind::Inet6, 254, &[254, 16], &sized(1, &[0x20; 16])),
    ]);
    Table::new(&samples)
}

fn common() -> [Sample; 13] {
    let (precision, scale, digits) = (20, 4, 6);
    let decimal = [0x80, 0, 12, 7, 0x0d, 0xfb, 0x38, 0xd2, 4, 0xd2];
    let datetime = [0x99, 0xb4, 0xba, 0x8b, 0x38, 1, 0xe2, 0x40];
    let words = "été, 東京, 12345678901-12345678901-12345678901";
    [
        integer(4, 3, false),
        integer(8, 8, true),
        integer(1, 1, false),
        sample(
            ColumnKind::Decimal { precision, scale },
            246,
            &[precision, scale],
            &decimal,
        ),
        sample(ColumnKind::Double, 5, &[8], &423_871.123_401_7f64.to_le_bytes()),
        sample(ColumnKind::Float, 4, &[4], &831.4427f32.to_le_bytes()),
        sample(ColumnKind::DateTime { digits }, 18, &[digits], &datetime),
        sample(
            ColumnKind::Timestamp { digits: 3 },
            17,
            &[3],
            &[0x66, 0, 0, 0, 4, 0xce],
        ),
        sample(ColumnKind::Date, 10, &[], &[0x5d, 0xd0, 0x0f]),
        text(Charset::Utf8, 15, &[0x90, 1], 2, &fox(60)),
        text(Charset::Utf8, 252, &[2], 2, words.as_bytes()),
        sample(ColumnKind::Binary, 15, &[40, 0], &sized(1, &[0x5a; 16])),
        sample(ColumnKind::Json, 245, &[4], &sized(4, DOCUMENT)),
    ]
}

fn body(prefix: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    [&[7, 0, 0, 0, 0, 0, 1, 0], prefix, &rest.concat()].concat()
}

/// Where chunks end; it means nothing here.
pub(crate) fn position() -> Position {
    Position {
        gtid_set: None,
        file: FilePosition {
            file: "mysql-bin.000001".to_owned(),
            pos: 4,
        },
        open: None,
        parked: Vec::new(),
    }
}

/// An encoder with the usual settings.
pub(crate) fn encoder(envelope: Envelope) -> Encoder {
    let settings = Settings {
        group: "bench".to_owned(),
        routing: Routing::PrimaryKey,
        envelope,
        columns: ColumnRules::default(),
        hash_key: Secret::new(""),
        rules_on_keys: false,
    };
    Encoder::new(&settings, Flavour::MySql)
}

impl Table {
    fn new(samples: &[Sample]) -> Result<Self, Box<dyn Error>> {
        let count = u8::try_from(samples.len())?;
        let bits = vec![0xff; samples.len().div_ceil(8)];
        let kinds: Vec<u8> = samples.iter().map(|s| s.wire).collect();
        let metadata: Vec<u8> = samples.iter().flat_map(|s| s.metadata.clone()).collect();
        let length = [u8::try_from(metadata.len())?];
        let names = [1, b'd', 0, 1, b't', 0, count];
        let map = TableMap::parse(&body(&names, &[&kinds, &length, &metadata, &bits]))?;
        let row: Vec<u8> = samples.iter().flat_map(|s| s.value.clone()).collect();
        let row = [vec![0; bits.len()], row].concat();
        let key = samples.first().map(|key| key.value.clone()).unwrap_or_default();
        let gone = [vec![0xfe], vec![0xff; bits.len() - 1], key].concat();
        let columns = samples.iter().zip(&map.columns).enumerate();
        let schema = Arc::new(TableSchema {
            id: map.id.clone(),
            columns: columns
                .map(|(ordinal, (sample, wire))| Column {
                    name: format!("column_{ordinal}"),
                    kind: sample.kind.clone(),
                    declared: Box::default(),
                    nullable: wire.nullable,
                    wire: wire.kind,
                    meta: wire.meta,
                })
                .collect(),
            primary_key: vec![0],
        });
        Ok(Self {
            map,
            schema,
            inserts: body(&[2, 0, count], &[&bits, &row.repeat(ROWS)]),
            updates: body(
                &[2, 0, count],
                &[&bits, &bits, &[row, gone].concat().repeat(ROWS)],
            ),
            meta: SourceMeta {
                transaction: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1".into(),
                gtid: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1".into()),
                file: "mysql-bin.000001".into(),
                pos: 4,
                server_id: 1,
                ts_us: 1_700_000_000_000_000,
                late: false,
            },
        })
    }

    /// Columns of a row.
    pub(crate) fn columns(&self) -> usize {
        self.schema.columns.len()
    }

    /// An event as its type and its body.
    fn event(&self, operation: Operation) -> (u8, &[u8]) {
        match operation {
            Operation::Update => (31, &self.updates),
            Operation::Create | Operation::Delete => (30, &self.inserts),
        }
    }

    /// Cuts an event into rows; returns their number.
    pub(crate) fn cut(&self, operation: Operation) -> Result<usize, Box<dyn Error>> {
        let (kind, body) = self.event(operation);
        Ok(RowsEvent::parse(kind, body)?.rows(&self.map)?.count())
    }

    /// Cuts an event and encodes its rows, as those of the `ordinal`th event of a transaction.
    pub(crate) fn encode(
        &mut self,
        operation: Operation,
        ordinal: u64,
        encoder: &mut Encoder,
    ) -> Result<(), Box<dyn Error>> {
        self.meta.pos = ordinal;
        let (kind, body) = self.event(operation);
        let event = RowsEvent::parse(kind, body)?;
        for (row, images) in (0..).zip(event.rows(&self.map)?) {
            let (before, after) = images?;
            encoder.push(&ChangeEvent::Row(RowChange {
                operation: event.operation,
                schema: &self.schema,
                before,
                after,
                meta: &self.meta,
                row,
            }))?;
        }
        Ok(())
    }
}

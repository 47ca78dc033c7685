//! Rows a second from event bytes to envelopes, on one core: `cargo bench --bench encode`.
//!
//! Two synthetic tables: `narrow` (int, int, char(120), char(60)) and `wide` (40 columns of the common types).
//! Measures cutting, decoding, envelope and partition key; no network, no compression.

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]
#![expect(clippy::disallowed_types, reason = "real time is what is measured")]

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cdc_collector::change::{ChangeEvent, Charset, Column, ColumnKind, RowChange, SourceMeta, TableSchema};
use cdc_collector::config::filter::columns::ColumnRules;
use cdc_collector::config::{Envelope, Secret};
use cdc_collector::encode::{Encoder, Routing, Settings};
use cdc_collector::position::{FilePosition, Flavour, Position};
use cdc_collector::source::rows::{RowsEvent, TableMap};

/// Rows in one event; MySQL fills events up to 8 KiB.
const ROWS: usize = 40;
/// Rows in all.
const TOTAL: usize = 1_200_000;

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

fn text(wire: u8, metadata: &[u8], prefix: usize, length: usize) -> Sample {
    let charset = Charset::Utf8;
    let mut value: Vec<u8> = length.to_le_bytes().into_iter().take(prefix).collect();
    value.extend(b"The quick brown fox ".iter().cycle().take(length));
    sample(ColumnKind::Text { charset }, wire, metadata, &value)
}

fn integer(bytes: u8, wire: u8) -> Sample {
    let kind = ColumnKind::Integer {
        bytes,
        unsigned: false,
    };
    let value: Vec<u8> = 7_654_321_987i64
        .to_le_bytes()
        .into_iter()
        .take(bytes.into())
        .collect();
    sample(kind, wire, &[], &value)
}

fn narrow() -> Vec<Sample> {
    vec![
        integer(4, 3),
        integer(4, 3),
        // CHAR(120) and CHAR(60) in utf8mb4.
        text(254, &[0xee, 0xe0], 2, 119),
        text(254, &[254, 240], 1, 59),
    ]
}

fn wide() -> Vec<Sample> {
    let (precision, scale, digits) = (20, 4, 6);
    let mut samples = Vec::new();
    for _ in 0..4 {
        samples.extend([
            integer(8, 8),
            integer(4, 3),
            integer(3, 9),
            sample(ColumnKind::Double, 5, &[8], &1234.5678f64.to_le_bytes()),
            sample(
                ColumnKind::Decimal { precision, scale },
                246,
                &[precision, scale],
                &[0x80, 0, 12, 7, 0x0d, 0xfb, 0x38, 0xd2, 4, 0xd2],
            ),
            sample(
                ColumnKind::DateTime { digits },
                18,
                &[digits],
                &[0x99, 0xb4, 0xba, 0x8b, 0x38, 1, 0xe2, 0x40],
            ),
            sample(ColumnKind::Timestamp { digits: 0 }, 17, &[0], &[0x66, 0, 0, 0]),
            text(15, &[200, 0], 1, 40),
            text(252, &[2], 2, 120),
            sample(
                ColumnKind::Binary,
                15,
                &[64, 0],
                &[&[32][..], &[0x5a; 32]].concat(),
            ),
        ]);
    }
    samples
}

fn body(prefix: &[u8], rest: &[&[u8]]) -> Vec<u8> {
    [&[7, 0, 0, 0, 0, 0, 1, 0], prefix, &rest.concat()].concat()
}

fn run(name: &str, samples: &[Sample]) -> Result<(), Box<dyn Error>> {
    let count = u8::try_from(samples.len())?;
    let bits = vec![0xff; samples.len().div_ceil(8)];
    let kinds: Vec<u8> = samples.iter().map(|s| s.wire).collect();
    let metadata: Vec<u8> = samples.iter().flat_map(|s| s.metadata.clone()).collect();
    let length = [u8::try_from(metadata.len())?];
    let names = [1, b'd', 0, 1, b't', 0, count];
    let map = TableMap::parse(&body(&names, &[&kinds, &length, &metadata, &bits]))?;
    let nulls = vec![0; bits.len()];
    let row: Vec<u8> = samples.iter().flat_map(|s| s.value.clone()).collect();
    let rows = [nulls, row].concat().repeat(ROWS);
    let event = body(&[2, 0, count], &[&bits, &rows]);

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
    let mut meta = SourceMeta {
        transaction: "3e11fa47-71ca-11e1-9e33-c80aa9429562:1".into(),
        gtid: Some("3e11fa47-71ca-11e1-9e33-c80aa9429562:1".into()),
        file: "mysql-bin.000001".into(),
        pos: 4,
        server_id: 1,
        ts_us: 1_700_000_000_000_000,
    };
    let end = Position {
        gtid_set: None,
        file: FilePosition {
            file: "mysql-bin.000001".to_owned(),
            pos: 4,
        },
        open: None,
    };
    let settings = Settings {
        group: "bench".to_owned(),
        routing: Routing::PrimaryKey,
        envelope: Envelope::Debezium,
        columns: ColumnRules::default(),
        hash_key: Secret::new(""),
        rules_on_keys: false,
    };
    let mut encoder = Encoder::new(&settings, Flavour::MySql);
    for pass in ["cut", "encode"] {
        let start = Instant::now();
        let mut bytes = 0;
        for ordinal in 0..TOTAL / ROWS {
            let rows = RowsEvent::parse(30, black_box(&event))?.rows(&map)?;
            if pass == "cut" {
                bytes += rows.count();
                continue;
            }
            meta.pos = u64::try_from(ordinal)?;
            for (row, images) in (0..).zip(rows) {
                let (before, after) = images?;
                encoder.push(&ChangeEvent::Row(RowChange {
                    operation: cdc_collector::change::Operation::Create,
                    schema: &schema,
                    before,
                    after,
                    meta: &meta,
                    row,
                }))?;
            }
            if encoder.bytes() > 1 << 20 {
                bytes += black_box(encoder.take(end.clone())).bytes();
            }
        }
        bytes += black_box(encoder.take(end.clone())).bytes();
        let seconds = start.elapsed().as_secs_f64();
        let thousands = u32::try_from(TOTAL / 1000).map(f64::from)?;
        println!(
            "{name:<7} {pass:<7} {:>8.0} k rows/s  ({bytes} bytes or rows)",
            thousands / seconds
        );
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run("narrow", &narrow())?;
    run("wide", &wide())
}

//! From event bytes to a request's body, on one core: `cargo bench --bench encode`.
//!
//! Rows a second of each step, and how often the allocator was asked on the way, a row and a cell. No network. All
//! rows are alike, so compression is faster here than it ever is: compare its figures with one another only.

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]
#![expect(clippy::disallowed_types, reason = "real time is what is measured")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use cdc_collector::change::Operation;
use cdc_collector::config::Envelope;
use cdc_collector::encode::Encoder;
use cdc_collector::record::{Batch, BatchId, Chunk};
use cdc_collector::sink::wire::compress::{Format, Workspace};
use cdc_collector::sink::wire::{Addressing, Writer, put_body};

mod tables;

use tables::{ROWS, Table, encoder, position};

const WRITER: Writer<'_> = Writer {
    group: "bench",
    epoch: "7",
};
/// Rows that are cut and encoded.
const TOTAL: u64 = 1_200_000;
/// Bytes of a chunk, and so of a body here.
const CHUNK: usize = 1 << 20;
/// Bytes that are written and compressed.
const BODIES: usize = 256 << 20;

/// Prints rows a second.
fn report(table: &str, step: &str, rows: u64, start: Instant) {
    let rate = rows as f64 / start.elapsed().as_secs_f64() / 1000.0;
    println!("{table:<7} {step:<12} {rate:>8.0} k rows/s");
}

/// Encodes until a chunk is full.
fn chunk(table: &mut Table, encoder: &mut Encoder) -> Result<Chunk, Box<dyn Error>> {
    for event in 0.. {
        if encoder.bytes() >= CHUNK {
            break;
        }
        table.encode(Operation::Create, event, encoder)?;
    }
    Ok(encoder.take(position()))
}

fn batch(chunk: &Chunk) -> Batch {
    Batch {
        id: BatchId(1),
        shard: "0".into(),
        records: chunk.records.iter().cloned().collect(),
        watermark: None,
    }
}

fn run(name: &str, mut table: Table) -> Result<(), Box<dyn Error>> {
    let events = TOTAL / ROWS as u64;
    let start = Instant::now();
    let mut rows = 0;
    for _ in 0..events {
        rows += black_box(&table).cut(Operation::Create)? as u64;
    }
    report(name, "cut", rows, start);

    let mut encoder = encoder(Envelope::Debezium);
    let start = Instant::now();
    for event in 0..events {
        black_box(&mut table).encode(Operation::Create, event, &mut encoder)?;
        if encoder.bytes() > CHUNK {
            black_box(encoder.take(position()));
        }
    }
    report(name, "encode", TOTAL, start);
    encoder.take(position());

    let chunk = chunk(&mut table, &mut encoder)?;
    let batch = batch(&chunk);
    let bodies = (BODIES / chunk.bytes()) as u64;
    let rows = bodies * chunk.records.len() as u64;
    let mut workspace = Workspace::default();
    for format in [Format::Plain, Format::Lz4, Format::Zstd] {
        let start = Instant::now();
        let mut sizes = None;
        for _ in 0..bodies {
            let body = put_body(workspace.room(), black_box(&batch), WRITER, Addressing::ByShard);
            let body = workspace.compress(body.map_err(|failure| failure.to_string())?, format);
            sizes = body.encoding.map(|(_, raw)| (black_box(body.bytes).len(), raw));
        }
        report(name, &format!("body, {format:?}"), rows, start);
        if let Some((packed, raw)) = sizes {
            println!("{name:<7} {format:?} makes {packed} of {raw} bytes");
        }
    }
    Ok(())
}

/// Counts what the way of one chunk, from event bytes to body, asks of the allocator once all is warm.
fn count(name: &str, mut table: Table) -> Result<(), Box<dyn Error>> {
    let mut encoder = encoder(Envelope::Debezium);
    chunk(&mut table, &mut encoder)?;
    let (mut rows, mut result) = (0, Ok(()));
    let info = allocation_counter::measure(|| {
        result = chunk(&mut table, &mut encoder).and_then(|chunk| {
            rows = chunk.records.len();
            let body = put_body(Vec::new(), &batch(&chunk), WRITER, Addressing::ByShard);
            black_box(body.map_err(|failure| failure.to_string())?);
            Ok(())
        });
    });
    result?;
    let a_row = info.count_total as f64 / rows as f64;
    println!(
        "{name:<7} {} allocations for {rows} rows: {a_row:.4} a row, {:.5} a cell",
        info.count_total,
        a_row / table.columns() as f64
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run("narrow", tables::narrow()?)?;
    run("wide", tables::wide()?)?;
    count("narrow", tables::narrow()?)?;
    count("wide", tables::wide()?)?;
    count("every", tables::every()?)
}

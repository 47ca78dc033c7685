//! Decoding and encoding ask the allocator for nothing a row, let alone a cell.
//!
//! A binary of its own: its allocator counts.

use cdc_collector::change::Operation;
use cdc_collector::config::Envelope;
use cdc_collector::record::{Batch, BatchId};
use cdc_collector::sink::wire::{Addressing, Writer, put_body};

#[path = "../benches/tables.rs"]
mod tables;

use tables::{ROWS, Table, encoder, position};

/// Rows events in a chunk.
const EVENTS: u64 = 100;
/// What a chunk may cost, however many rows it has: its buffer, its list of records and their growth, the batch's list,
/// the body and its growth.
const PER_CHUNK: u64 = 24;

/// Allocations on the way from event bytes to a request's body.
fn allocations(table: &mut Table, operation: Operation, envelope: Envelope) -> u64 {
    let mut encoder = encoder(envelope);
    let mut relay = || {
        for event in 0..EVENTS {
            let encoded = table.encode(operation, event, &mut encoder);
            encoded.expect("rows that can be encoded");
        }
        let chunk = encoder.take(position());
        assert_eq!(chunk.records.len() as u64, EVENTS * ROWS as u64);
        let batch = Batch {
            id: BatchId(1),
            shard: "0".into(),
            // As many as a body holds.
            records: chunk.records.iter().take(500).cloned().collect(),
            watermark: None,
        };
        let writer = Writer {
            group: "test",
            epoch: "7",
        };
        put_body(Vec::new(), &batch, writer, Addressing::ByShard).expect("a body");
    };
    relay();
    allocation_counter::measure(relay).count_total
}

#[test]
fn a_row_costs_no_allocation() {
    let tables: [(&str, fn() -> _); 3] = [
        ("narrow", tables::narrow),
        ("wide", tables::wide),
        ("every type", tables::every),
    ];
    for (name, table) in tables {
        let mut table = table().expect("a table");
        for envelope in [Envelope::Debezium, Envelope::Canal, Envelope::Maxwell] {
            for operation in [Operation::Create, Operation::Update] {
                let count = allocations(&mut table, operation, envelope);
                let (rows, cells) = (EVENTS * ROWS as u64, table.columns());
                let what = format!("{name}, {envelope:?}, {operation:?}: {count} allocations");
                println!("{what} for {rows} rows of {cells} cells");
                assert!(count <= PER_CHUNK, "{what}, {PER_CHUNK} at most");
            }
        }
    }
}

#[test]
fn cutting_rows_costs_no_allocation() {
    let table = tables::every().expect("a table");
    for operation in [Operation::Create, Operation::Update] {
        let counted = allocation_counter::measure(|| assert_eq!(table.cut(operation).expect("rows"), ROWS));
        assert_eq!(counted.count_total, 0, "{operation:?}");
    }
}

#[test]
fn the_allocator_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![0u8; 100])));
    assert_eq!(counted.count_total, 1);
}

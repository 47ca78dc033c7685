//! What a seed decides before the world begins: weather, settings, rows, poison.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use cdc_collector::config::PoisonPolicy;
use cdc_collector::delivery::Settings;
use cdc_collector::record::{Layout, OriginRef, Part, Record, RecordId, Turn};
use cdc_collector::retry::Delays;

use super::oracle::Row;
use super::world::millis;

/// Rows of a transaction.
pub(super) const TRANSACTION: u64 = 5;

/// The transaction that a row belongs to, by the place where it starts: a row is as long as a byte.
pub(super) fn transaction(row: u64) -> Arc<str> {
    Arc::from(format!("{FILE}:{}", row / TRANSACTION * TRANSACTION))
}

/// The binlog's only file.
pub(super) const FILE: &str = "binlog.000001";

/// How bad this world is; all in percent.
pub(super) struct Weather {
    pub(super) lost: u32,
    pub(super) late: u32,
    pub(super) very_late: u32,
    /// Requests around which somebody else writes into the shard.
    pub(super) others: u32,
    pub(super) refused: u32,
    pub(super) partial: u32,
    pub(super) disk: u32,
    pub(super) poison_named: u32,
    /// How often a person asks for something.
    pub(super) requests: u32,
    pub(super) crash: f64,
    pub(super) stop: f64,
    /// How often the lease is lost.
    pub(super) cut_off: f64,
    /// Whether the world waits for the core to come to rest by itself before it is told to stop.
    pub(super) patient: bool,
}

impl Weather {
    pub(super) fn new(rng: &mut fastrand::Rng) -> Self {
        let bad = rng.bool();
        let up_to = |rng: &mut fastrand::Rng, n: u32| if bad { rng.u32(0..=n) } else { 0 };
        Self {
            lost: up_to(rng, 25),
            late: up_to(rng, 12),
            very_late: if rng.u32(..4) == 0 { 6 } else { 0 },
            others: *rng.choice(&[0, 0, 30]).unwrap(),
            refused: up_to(rng, 30),
            partial: up_to(rng, 15),
            disk: up_to(rng, 40),
            requests: rng.u32(1..8),
            poison_named: *rng.choice(&[0, 50, 100]).unwrap(),
            crash: if rng.bool() { rng.f64() * 0.02 } else { 0.0 },
            stop: if rng.bool() { rng.f64() * 0.01 } else { 0.0 },
            cut_off: if rng.bool() { rng.f64() * 0.02 } else { 0.0 },
            patient: rng.bool(),
        }
    }
}

pub(super) fn settings(rng: &mut fastrand::Rng, seed: u64) -> Settings {
    Settings {
        batch_bytes: rng.usize(600..6_000),
        batch_records: rng.usize(1..25),
        linger: millis(*rng.choice(&[0, 0, 15]).unwrap()),
        budget_bytes: rng.usize(3_000..40_000),
        delays: Delays {
            base: millis(20),
            cap: millis(400),
        },
        poison: *rng
            .choice(&[PoisonPolicy::DeadLetter, PoisonPolicy::Halt])
            .unwrap(),
        alarm_attempts: 3,
        checkpoint_interval: millis(50),
        shard_refresh_interval: millis(3_000),
        probe_delay: millis(100),
        seed,
    }
}

pub(super) fn rows(rng: &mut fastrand::Rng) -> Vec<Row> {
    let keys: Vec<u128> = (0..rng.u32(1..14)).map(|_| rng.u128(..)).collect();
    let (filtered, hot) = (rng.f64() * 0.4, rng.f64());
    let row = |index: u64, rng: &mut fastrand::Rng| {
        if rng.f64() < filtered {
            return Row { record: None };
        }
        let key = if rng.f64() < hot {
            0
        } else {
            rng.usize(..keys.len())
        };
        let mut payload = index.to_be_bytes().to_vec();
        payload.resize(8 + rng.usize(..300), 0x78);
        let record = Record {
            seq: 0,
            id: RecordId {
                transaction: transaction(index),
                part: Part::Row(index % TRANSACTION),
            },
            hash_key: keys[key],
            layout: Layout::Blob,
            payload: Bytes::from(payload),
            origin: OriginRef::default(),
            turn: Turn::InOrder,
        };
        Row { record: Some(record) }
    };
    let count = rng.u64(20..220);
    (0..count).map(|index| row(index, rng)).collect()
}

/// The rows that the service will never take.
pub(super) fn poison(rng: &mut fastrand::Rng, rows: &[Row]) -> BTreeSet<usize> {
    if rng.bool() {
        return BTreeSet::new();
    }
    let some = (0..rng.usize(1..5)).map(|_| rng.usize(..rows.len()));
    some.filter(|&row| rows[row].record.is_some()).collect()
}

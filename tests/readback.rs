//! A shard is read back by the client that the collector uses, from a service that others write to as well: late copies,
//! other groups, sealed and empty shards, records whose time is over, and reads that fail.

use std::time::{Duration, SystemTime};

use cdc_collector::config::{Compression, DatahubConfig, Secret};
use cdc_collector::position::{FilePosition, Flavour, Position, ServerIdentity, Watermark};
use cdc_collector::record::{
    Batch, BatchId, Layout, OriginRef, Outcome, Part, Probe, Record, RecordId, Turn,
};
use cdc_collector::retry::Disposition;
use cdc_collector::sink::DataHub;
use datahub_emulator::{Action, CallKind, Emulator, Rule, When};

use crate::rig::{ACCESS_ID, ACCESS_KEY, PROJECT, TOPIC, emulator};

#[expect(clippy::disallowed_methods, reason = "requests carry the time")]
fn clock() -> SystemTime {
    SystemTime::now()
}

/// A client of its own: it knows of the topic what it has done there itself.
fn client(emulator: &Emulator, group: &str) -> DataHub {
    let config = DatahubConfig {
        endpoint: emulator.endpoint(),
        access_id: Secret::new(ACCESS_ID),
        access_key: Secret::new(ACCESS_KEY),
        security_token: None,
        project: PROJECT.to_owned(),
        topic: TOPIC.to_owned(),
        group: group.to_owned(),
        compression: Compression::None,
        resume_from_topic: true,
        create_topic: false,
        shards: 1,
        lifecycle_days: 1,
        timeout: Duration::from_secs(20),
    };
    DataHub::new(&config, clock).expect("a client")
}

fn watermark() -> String {
    let watermark = Watermark {
        position: position(0),
        server: ServerIdentity {
            flavour: Flavour::MariaDb,
            server_uuid: String::new(),
            server_id: 1,
        },
    };
    serde_json::to_string(&watermark).expect("a text")
}

fn position(pos: u64) -> Position {
    Position {
        gtid_set: None,
        file: FilePosition {
            file: "b.000001".to_owned(),
            pos,
        },
        open: None,
        parked: Vec::new(),
    }
}

/// Request `id` of transactions, one record each; its last record has a watermark.
fn batch(id: u64, transactions: std::ops::Range<u64>) -> Batch {
    let record = |at: u64| Record {
        seq: at,
        id: RecordId {
            transaction: format!("b.000001:{at}").into(),
            part: Part::Row(0),
        },
        hash_key: 0,
        layout: Layout::Blob,
        payload: format!("{{\"row\":{at}}}").into_bytes().into(),
        origin: OriginRef::default(),
        turn: Turn::InOrder,
    };
    Batch {
        id: BatchId(id),
        shard: "0".into(),
        records: transactions.map(record).collect(),
        watermark: Some(watermark().into()),
    }
}

async fn stored(client: &DataHub, batch: &Batch) {
    assert_eq!(client.put(batch).await, Outcome::Acknowledged);
}

/// Sends the batch so that nobody knows what became of it.
async fn lost(emulator: &Emulator, client: &DataHub, batch: &Batch, when: When) {
    emulator.add_fault(Rule::on_put(Action::Drop { when }).times(1));
    let outcome = client.put(batch).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
}

#[tokio::test]
async fn i3_neither_late_copies_nor_other_writers_hide_a_batch() {
    let emulator = emulator(1).await;
    let (ours, others) = (client(&emulator, "ours"), client(&emulator, "others"));
    // What the service stores late comes from nobody who is still there.
    let late = client(&emulator, "ours");
    let (first, second, third) = (batch(1, 0..3), batch(3, 3..8), batch(4, 8..20));

    lost(&emulator, &ours, &first, When::Before).await;
    assert_eq!(ours.probe(&first).await, Probe::Holds(0), "an empty shard");
    stored(&others, &batch(9, 0..2_000)).await;
    stored(&ours, &batch(2, 0..3)).await;
    lost(&emulator, &ours, &second, When::After).await;
    for _ in 0..3 {
        stored(&late, &first).await;
        stored(&others, &second).await;
    }
    assert_eq!(ours.probe(&second).await, Probe::Holds(5), "behind late copies");

    lost(&emulator, &ours, &third, When::Before).await;
    stored(&late, &first).await;
    stored(&others, &third).await;
    assert_eq!(
        ours.probe(&third).await,
        Probe::Holds(0),
        "the other group has it"
    );
    // The late copy is the batch itself, or its beginning.
    lost(&emulator, &ours, &batch(5, 8..20), When::Before).await;
    stored(&late, &batch(4, 8..12)).await;
    assert_eq!(ours.probe(&batch(5, 8..20)).await, Probe::Holds(4));
    stored(&ours, &batch(6, 12..20)).await;
}

#[tokio::test]
async fn i10_a_probe_that_fails_says_nothing_and_can_be_repeated() {
    let emulator = emulator(1).await;
    let ours = client(&emulator, "ours");
    let one = batch(1, 0..3);
    lost(&emulator, &ours, &one, When::After).await;
    let error = || Action::Error {
        code: "InternalServerError".to_owned(),
        status: None,
        message: None,
        when: When::Before,
    };
    let html = || Action::Html {
        status: None,
        when: When::After,
    };
    let faults = [
        (CallKind::Cursor, error()),
        (CallKind::Cursor, html()),
        (CallKind::Cursor, Action::WrongJson),
        (CallKind::Cursor, Action::Drop { when: When::After }),
        (CallKind::Get, error()),
        (CallKind::Get, html()),
        (CallKind::Get, Action::WrongCrc),
        (CallKind::Get, Action::TruncatedBody),
        (CallKind::Get, Action::Drop { when: When::Before }),
    ];
    for (call, action) in faults {
        let name = format!("{call:?} {action:?}");
        emulator.add_fault(Rule::on(call, action).times(1));
        let Probe::Failed(failure) = ours.probe(&one).await else {
            panic!("{name}: an answer");
        };
        assert!(
            matches!(failure.disposition, Disposition::Retry { .. }),
            "{name}: {failure}"
        );
    }
    assert_eq!(ours.probe(&one).await, Probe::Holds(3));
    emulator.stop().await;
    assert!(matches!(ours.probe(&one).await, Probe::Failed(_)));
}

#[tokio::test]
async fn records_whose_time_is_over_are_not_there() {
    let emulator = emulator(1).await;
    let (ours, others) = (client(&emulator, "ours"), client(&emulator, "others"));
    stored(&ours, &batch(1, 0..3)).await;
    lost(&emulator, &ours, &batch(2, 3..6), When::After).await;
    emulator.expire(PROJECT, TOPIC).expect("a topic");
    assert_eq!(ours.probe(&batch(2, 3..6)).await, Probe::Holds(0));
    let nothing = ours.trace(&"0".into()).await.expect("a trace");
    assert!(!nothing.present);
    lost(&emulator, &ours, &batch(3, 3..6), When::After).await;
    stored(&others, &batch(9, 0..3)).await;
    assert_eq!(
        ours.probe(&batch(3, 3..6)).await,
        Probe::Holds(3),
        "behind the oldest"
    );
    assert!(ours.trace(&"0".into()).await.expect("a trace").present);
}

#[tokio::test]
async fn i4_a_sealed_shard_can_be_read() {
    let emulator = emulator(1).await;
    let ours = client(&emulator, "ours");
    stored(&ours, &batch(1, 0..3)).await;
    lost(&emulator, &ours, &batch(2, 3..6), When::After).await;
    let (left, _) = emulator.split(PROJECT, TOPIC, 0).expect("a split");
    emulator.split(PROJECT, TOPIC, left).expect("a split");
    assert_eq!(ours.probe(&batch(2, 3..6)).await, Probe::Holds(3));
    assert!(ours.trace(&"0".into()).await.expect("a trace").present);
    let empty = ours.trace(&left.to_string().into()).await.expect("a trace");
    assert!(!empty.present, "sealed before anything was stored in it");
}

#[tokio::test]
async fn a_start_finds_what_lies_before_late_copies() {
    let emulator = emulator(1).await;
    let (ours, others) = (client(&emulator, "ours"), client(&emulator, "others"));
    for (id, rows) in [(1, 0..5), (2, 5..10), (3, 10..15), (4, 15..20), (5, 20..30)] {
        stored(&ours, &batch(id, rows)).await;
    }
    // Everything before 20 is durable. Two requests from before are stored late, one of them twice.
    for (id, rows) in [(3, 10..15), (4, 15..20), (3, 10..15)] {
        stored(&ours, &batch(id, rows)).await;
        stored(&others, &batch(id, 0..1_000)).await;
    }
    let position = position(20);
    let fresh = client(&emulator, "ours");
    let found = fresh
        .stored_behind(&"0".into(), &position)
        .await
        .expect("a reading");
    let mut found: Vec<String> = found.behind.iter().map(ToString::to_string).collect();
    found.sort();
    let expected: Vec<String> = (20..30).map(|at| format!("b.000001:{at}:0")).collect();
    assert_eq!(found, expected);
}

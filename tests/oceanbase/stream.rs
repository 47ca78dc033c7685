//! Points 4 to 10: what a dump of OceanBase looks like, event by event.

use harness::collector::Collector;
use harness::oceanbase::{Change, Column, Cuts, Damage, Generation, Type};
use harness::workload::Cell;
use serde_json::{Value, json};

use super::{PROJECT, READY, STOPPED, Service, TOPIC};

/// Event types.
const XID: u8 = 16;
const TABLE_MAP: u8 = 19;
const WRITE_ROWS: u8 = 30;
const GTID: u8 = 33;

#[tokio::test(flavor = "multi_thread")]
async fn point_4_the_made_up_rotate_has_no_checksum_and_the_first_event_either_length() {
    for lengths in [38, 39] {
        let service = Service::scripted(4, |script| script.header_lengths = lengths).await;
        let mut collector = service.start().await;
        service.tenant.load(50, 20);
        service.exact(&mut collector).await;
        // A name without its last four letters would be another file.
        service.tenant.rotate();
        service.tenant.load(50, 20);
        service.exact(&mut collector).await;
        let health = collector.health().await.expect("health");
        assert_eq!(health["position"]["file"], "mysql-bin.000002", "{health}");
        service.ends_exact(collector).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn point_4_events_without_checksums_are_refused() {
    let service = Service::scripted(4, |script| script.sums = false).await;
    let mut collector = Collector::start(&service.settings).expect("a start");
    let missing = service.tenant.log().totals().changes;
    service.halts(&mut collector, "checksum_missing", missing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_5_a_damaged_event_is_read_again() {
    let service = Service::new(5).await;
    let mut collector = service.start().await;
    for kind in [GTID, TABLE_MAP, WRITE_ROWS, XID] {
        service
            .tenant
            .script(|script| script.damage = Some(Damage { kind, times: 1 }));
        service.tenant.load(20, 20);
        service.exact(&mut collector).await;
        let left = service.tenant.script_now().damage;
        assert_eq!(left, Some(Damage { kind, times: 0 }));
    }
    let metrics = collector.metrics().await.expect("metrics");
    let reconnects = metrics.value("cdc_source_reconnects_total", &[("reason", "event_checksum")]);
    assert_eq!(reconnects, Some(4.0));
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_5_damage_that_stays_stops_the_relay() {
    for kind in [GTID, WRITE_ROWS] {
        let service = Service::new(5).await;
        let mut collector = service.start().await;
        service.exact(&mut collector).await;
        let before = service.tenant.log().totals().changes;
        let times = u32::MAX;
        service
            .tenant
            .script(|script| script.damage = Some(Damage { kind, times }));
        service.tenant.load(20, 20);
        let missing = service.tenant.log().totals().changes - before;
        service.halts(&mut collector, "event_checksum", missing).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn point_6_commit_times_are_read_to_the_microsecond() {
    let service = Service::new(6).await;
    let mut collector = service.start().await;
    service.tenant.load(50, 20);
    service.exact(&mut collector).await;
    let records = service.emulator.records(PROJECT, TOPIC).expect("the topic");
    let mut times: Vec<u64> = records
        .map(|record| {
            let envelope: Value = serde_json::from_slice(record.blob().expect("a blob")).expect("JSON");
            envelope["source"]["ts_us"].as_u64().expect("a time")
        })
        .collect();
    let log = service.tenant.log().snapshot();
    let mut committed: Vec<u64> = log.into_values().flatten().map(|commit| commit.at_us).collect();
    times.sort_unstable();
    committed.sort_unstable();
    assert_eq!(times, committed);
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_7_table_ids_change_with_statements_and_restarts() {
    let service = Service::new(7).await;
    let collector = service.start().await;
    for round in 0..10 {
        service.tenant.load(10, 20);
        let shape = service.tenant.shape("accounts").expect("a table");
        let text = format!("ALTER TABLE accounts COMMENT 'round {round}'");
        service.tenant.define(shape, Some(&text));
        service.tenant.load(10, 20);
        // Ids are given out anew, in the order in which tables are met: one may have been the other table's.
        service.tenant.restart();
    }
    service.ends_exact(collector).await;
}

/// Heartbeats behind every event and connections that end anywhere: neither moves the position into a transaction.
async fn heartbeats_everywhere(generation: Generation) {
    let service = Service::scripted(8, |script| {
        script.generation = generation;
        script.heartbeat_everywhere = true;
        script.batch = 7;
    })
    .await;
    let mut collector = service.start().await;
    let cuts = Cuts {
        times: 15,
        within: 150,
    };
    service.tenant.script(|script| script.cuts = Some(cuts));
    for round in 0..6 {
        service.tenant.end_dumps();
        service.tenant.load(30, 60);
        let log = service.emulator.records(PROJECT, TOPIC).expect("the topic");
        let before = log.count();
        let more = collector.wait_health("more records", READY, |_| {
            let records = service.emulator.records(PROJECT, TOPIC).expect("the topic");
            records.count() > before + 100
        });
        more.await.expect("progress");
        if round % 2 == 0 {
            collector.kill9().expect("a kill");
            collector = Collector::start(&service.settings).expect("a restart");
        }
    }
    service.exact(&mut collector).await;
    let cuts = service.tenant.script_now().cuts.expect("cuts");
    assert_eq!(cuts.times, 0, "all connections that were to end did");
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_8_heartbeats_move_nothing_where_positions_are_sets() {
    heartbeats_everywhere(Generation::V4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_8_heartbeats_move_nothing_where_positions_are_offsets() {
    heartbeats_everywhere(Generation::V2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_9_a_definition_that_no_event_announces_is_noticed_by_its_table_map() {
    let service = Service::new(9).await;
    let collector = service.start().await;
    service.tenant.load(20, 20);
    // The type stays, its width grows: known rows are still what the oracle expects.
    let mut wider = service.tenant.shape("accounts").expect("a table");
    wider.columns[2].kind = Type::Varchar(200);
    service.tenant.define(wider, None);
    service.tenant.load(20, 20);

    let parts = |columns| harness::oceanbase::Shape::new("parts", columns);
    let id = Column::new("id", Type::Int);
    let (a, b) = (Column::new("a", Type::Int), Column::new("b", Type::Int));
    let row = |numbers: &[i128]| -> Vec<harness::oceanbase::Value> {
        numbers.iter().map(|n| Cell::Integer(*n).into()).collect()
    };
    let announced = "CREATE TABLE parts (id INT NOT NULL PRIMARY KEY, a INT NOT NULL)";
    service
        .tenant
        .define(parts(vec![id.clone(), a.clone()]), Some(announced));
    service
        .tenant
        .commit(vec![Change::insert("parts", row(&[1, 10]))]);
    service.tenant.drained().await.expect("readers");
    while service.images("parts").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    service.tenant.define(parts(vec![id, a, b]), None);
    service
        .tenant
        .commit(vec![Change::insert("parts", row(&[2, 20, 21]))]);
    service.ends_exact_with(collector, &["parts"]).await;
    assert_eq!(
        service.images("parts"),
        [json!({"id": 1, "a": 10}), json!({"id": 2, "a": 20, "b": 21})]
    );
}

/// Nothing on the wire tells of it: what arrives in between carries the old names, and an alarm says so.
#[tokio::test(flavor = "multi_thread")]
async fn point_9_columns_that_swap_unannounced_raise_an_alarm() {
    let service = Service::new(9).await.set("SCHEMA_CHECK_SECONDS", "1");
    let mut collector = service.start().await;
    let shape = |names: [&str; 3]| {
        let columns = names.map(|name| Column::new(name, Type::Int));
        harness::oceanbase::Shape::new("pairs", columns.to_vec())
    };
    let row = |id: i128| {
        let numbers = [id, 10, 20].map(|n| Cell::Integer(n).into());
        vec![Change::insert("pairs", numbers.to_vec())]
    };
    service.tenant.define(
        shape(["id", "a", "b"]),
        Some("CREATE TABLE pairs (id INT NOT NULL PRIMARY KEY, a INT NOT NULL, b INT NOT NULL)"),
    );
    service.tenant.commit(row(1));
    service.caught_up(&mut collector).await;
    service.tenant.define(shape(["id", "b", "a"]), None);
    service.tenant.commit(row(2));
    let alarmed =
        |health: &Value| health["components"]["schema"]["last_error"]["code"] == "schema_changed_silently";
    collector
        .wait_health("an alarm", READY, alarmed)
        .await
        .expect("an alarm");
    service.tenant.commit(row(3));
    service.ends_exact_with(collector, &["pairs"]).await;
    assert_eq!(
        service.images("pairs"),
        [
            json!({"id": 1, "a": 10, "b": 20}),
            json!({"id": 2, "a": 10, "b": 20}),
            json!({"id": 3, "b": 10, "a": 20}),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn point_10_a_transaction_that_a_restart_cut_is_read_once() {
    let service = Service::new(10).await;
    let collector = service.start().await;
    for part in 0..12 {
        service.tenant.load(3, 20);
        service
            .tenant
            .interrupted(11, part, |_| {})
            .await
            .expect("a restart");
        service.tenant.load(3, 20);
    }
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_10_another_transaction_under_the_same_number_is_not_believed() {
    let service = Service::new(10).await;
    let mut collector = service.start().await;
    service.exact(&mut collector).await;
    let before = service.tenant.log().totals().changes;
    let twist = |changes: &mut Vec<Change>| changes.swap(0, 1);
    service.tenant.interrupted(11, 5, twist).await.expect("a restart");
    let missing = service.tenant.log().totals().changes - before - 5;
    service
        .halts(&mut collector, "transaction_changed", missing)
        .await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn point_10_transactions_that_a_restart_writes_again_are_left_out() {
    let service = Service::new(10).await;
    let mut collector = service.start().await;
    for again in [1, 3, 8] {
        service.tenant.load(10, 20);
        service.exact(&mut collector).await;
        service.tenant.restart_writing_again(again);
        service.tenant.load(10, 20);
    }
    service.ends_exact(collector).await;
}

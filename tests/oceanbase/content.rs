//! Points 15 to 17: what rows and files may hold.

use std::time::Duration;

use harness::collector::Collector;
use harness::oceanbase::{Change, Column, Cuts, Generation, Shape, Tenant, Type, Value, json, update};
use harness::workload::Cell;
use serde_json::{Value as Json, json};

use super::{STOPPED, Service};

fn number(n: i128) -> Value {
    Cell::Integer(n).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn point_15_partial_images_are_refused_before_they_are_read() {
    let service = Service::scripted(15, |script| script.minimal = true).await;
    service.tenant.variable("binlog_row_image", "MINIMAL");
    let mut collector = Collector::start(&service.settings).expect("a start");
    let missing = service.tenant.log().totals().changes;
    service.halts(&mut collector, "row_image_not_full", missing).await;
    assert_eq!(service.tenant.dumps_requested(), 0);
}

/// A table of which every column may be NULL.
fn loose() -> Shape {
    let columns = vec![
        Column::new("id", Type::Int),
        Column::nullable("a", Type::Int),
        Column::nullable("b", Type::Int),
    ];
    Shape::new("loose", columns)
}

/// A session may have an image of its own, which no global variable shows. On the wire what it leaves out is NULL, as
/// if it were: nothing can tell. This is what a reader then gets.
#[tokio::test(flavor = "multi_thread")]
async fn point_15_partial_images_of_one_session_cannot_be_told_apart() {
    let service = Service::scripted(15, |script| script.minimal = true).await;
    service.tenant.define(loose(), None);
    let row = |b: i128| vec![number(1), number(5), number(b)];
    service.tenant.commit(vec![update("loose", row(6), row(7))]);
    let mut collector = service.start().await;
    service.caught_up(&mut collector).await;
    assert_eq!(
        service.images("loose"),
        [json!({"id": 1, "a": null, "b": 7})],
        "the 5 is gone, and nothing says so"
    );
    crate::rig::i14_conserved(&collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// Documents, a kind of few labels, and a number behind them.
fn documents() -> Shape {
    let columns = vec![
        Column::new("id", Type::Int),
        Column::nullable("doc", Type::Json),
        Column::new("kind", Type::Enum(&["new", "old"])),
        Column::new("tail", Type::Int),
    ];
    Shape::new("documents", columns)
}

fn document(id: i128, doc: &Json, kind: Value) -> Vec<Value> {
    vec![number(id), Value::Raw(json::column(doc)), kind, number(77)]
}

#[tokio::test(flavor = "multi_thread")]
async fn point_16_documents_in_large_containers_with_unsorted_keys_are_read() {
    let service = Service::new(16).await;
    service.tenant.define(documents(), None);
    let docs = [
        json!({"aaaa": 1, "b": [true, null, "x", -5], "cc": {"zz": 1.5, "y": []}}),
        json!([]),
        json!({}),
        json!("text"),
        json!(9_007_199_254_740_993_i64),
        json!({"long": "ü".repeat(300), "k": null}),
    ];
    let collector = service.start().await;
    for (id, doc) in (0..).zip(&docs) {
        let row = document(id, doc, number(id % 2 + 1));
        service.tenant.commit(vec![Change::insert("documents", row)]);
    }
    service.ends_exact_with(collector, &["documents"]).await;
    let mut images = service.images("documents");
    images.sort_by_key(|image| image["id"].as_i64());
    assert_eq!(images.len(), docs.len());
    for (image, doc) in images.iter().zip(&docs) {
        let text = image["doc"].as_str().expect("a document as text");
        let read: Json = serde_json::from_str(text).expect("a document");
        assert_eq!(read, *doc);
        let label = if image["id"].as_i64() == Some(0) || image["id"] == 2 || image["id"] == 4 {
            "new"
        } else {
            "old"
        };
        assert_eq!((&image["kind"], &image["tail"]), (&json!(label), &json!(77)));
    }
}

/// What cannot be read stops the relay where it is met; everything in front of it is there.
async fn stops_at(change: Change, code: &str) {
    let service = Service::new(16).await;
    service.tenant.define(documents(), None);
    let mut collector = service.start().await;
    service.tenant.load(20, 20);
    let known = document(0, &json!({}), number(1));
    service.tenant.commit(vec![Change::insert("documents", known)]);
    service.exact(&mut collector).await;
    let mut missing = 0;
    // The table is known by now, or the question for its definition would have what is in front of the change handed on.
    let around_it = |tenant: &Tenant| {
        tenant.load(3, 10);
        tenant.commit(vec![change]);
        let there = tenant.log().totals().changes;
        tenant.load(20, 20);
        missing = tenant.log().totals().changes - there;
    };
    service.in_one_go(around_it).await;
    service.halts(&mut collector, code, missing).await;
    assert_eq!(service.images("documents").len(), 1, "what was read before");
}

#[tokio::test(flavor = "multi_thread")]
async fn point_16_what_cannot_be_read_stops_the_relay() {
    let doc = json!({"a": 1});
    let partial = Change::Free {
        table: "documents".to_owned(),
        operation: harness::workload::Operation::Update,
        before: document(1, &doc, number(1)),
        after: document(1, &doc, number(1)),
        partial: true,
    };
    // A value that is none of the labels is written with no byte at all: all behind it is out of place.
    let misaligned = Change::insert("documents", document(1, &doc, Value::Raw(Vec::new())));
    tokio::join!(
        stops_at(partial, "partial_json_event"),
        stops_at(misaligned, "row_undecodable"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn point_17_an_event_of_many_packets_is_read() {
    let service = Service::new(17).await.set("COLUMN_EXCLUDE", "blobs.payload");
    let columns = vec![
        Column::new("id", Type::Int),
        Column::new("payload", Type::LongText),
        Column::new("tail", Type::Int),
    ];
    service.tenant.define(Shape::new("blobs", columns), None);
    let collector = service.start().await;
    // One behind the limit of a packet, and one that takes two full ones.
    for (id, bytes) in [(1, (16 << 20) + 5), (2, 33 << 20)] {
        let payload = Cell::Text("x".repeat(bytes)).into();
        let row = vec![number(id), payload, number(77)];
        service.tenant.commit(vec![Change::insert("blobs", row)]);
        service.tenant.load(10, 10);
    }
    service.ends_exact_with(collector, &["blobs"]).await;
    let mut images = service.images("blobs");
    images.sort_by_key(|image| image["id"].as_i64());
    assert_eq!(
        images,
        [json!({"id": 1, "tail": 77}), json!({"id": 2, "tail": 77})]
    );
}

/// A file whose positions pass 4 GiB while it is read.
async fn beyond_four_gigabytes(generation: Generation) -> (Service, Collector) {
    let service = Service::scripted(17, |script| script.generation = generation).await;
    let mut collector = service.start().await;
    service.exact(&mut collector).await;
    service.tenant.leave_hole((1 << 32) - 40_000);
    service.tenant.rotate();
    service.tenant.load(60, 60);
    service.exact(&mut collector).await;
    let health = collector.health().await.expect("health");
    let position = health["position"]["pos"].as_u64().expect("a position");
    assert!(position > 1 << 32, "{health}");
    assert_eq!(position, service.tenant.end().1);
    (service, collector)
}

#[tokio::test(flavor = "multi_thread")]
async fn point_17_positions_wrap_at_four_gigabytes() {
    let (service, mut collector) = beyond_four_gigabytes(Generation::V4).await;
    let cuts = Cuts {
        times: 5,
        within: 300,
    };
    service.tenant.script(|script| script.cuts = Some(cuts));
    for _ in 0..3 {
        collector.kill9().expect("a kill");
        collector = Collector::start(&service.settings).expect("a restart");
        service.tenant.load(10, 60);
    }
    service.ends_exact(collector).await;
}

/// Without sets the dump is asked for by an offset, for which the protocol has 32 bits.
#[tokio::test(flavor = "multi_thread")]
async fn point_17_an_offset_that_cannot_be_asked_for_stops_the_relay() {
    let (service, mut collector) = beyond_four_gigabytes(Generation::V2).await;
    service.tenant.end_dumps();
    service.halts(&mut collector, "position_beyond_protocol", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_17_a_transaction_of_a_million_rows_arrives_whole() {
    const KNOWN: u32 = 40;
    const EACH: u32 = 25_000;
    let service = Service::new(17).await.set("DATABASE_TABLES", "accounts,stock");
    let mut collector = service.start().await;
    let tenant = service.tenant.clone();
    // Nearly all of them are of a table that is not captured: what counts is that the transaction does not end.
    let log = tenant.log();
    let before = log.totals().changes;
    tokio::task::spawn_blocking(move || tenant.huge(KNOWN, EACH))
        .await
        .expect("a commit");
    let captured = log.totals().changes - before;
    assert_eq!(captured, u64::from(KNOWN));
    // In its middle, behind more rows than two bytes count: they are sent again.
    let in_its_middle = async {
        loop {
            let metrics = collector.metrics().await.expect("metrics");
            let read = metrics.value("cdc_source_events_total", &[("type", "rows")]);
            if read.is_some_and(|rows| rows > 200_000.0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::ARRIVED, in_its_middle)
        .await
        .expect("rows");
    service.tenant.end_dumps();
    service.caught_up(&mut collector).await;
    let metrics = collector.metrics().await.expect("metrics");
    assert!(metrics.count("cdc_rows_decoded_total") >= u64::from(KNOWN * EACH));
    service.ends_exact(collector).await;
}

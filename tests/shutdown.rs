//! The first moment and the last: ready at once, and a stop that delivers what was read, or ends all the same.

use std::time::Duration;

use harness::collector::Collector;
use harness::process::Signal;
use harness::proxy::{Direction, Proxy};
use harness::servers::{Kind, Options};
use harness::workload::Plan;
use tokio::time::Instant;

use crate::rig::{READY, Rig, STOPPED};

/// `SHUTDOWN_TIMEOUT_SECONDS` of the stops that cannot drain.
const DEADLINE: u64 = 3;
/// What the machine may take on top of it, busy with the other tests.
const SLACK: Duration = Duration::from_secs(5);

/// An idle server has nothing to send before its first heartbeat; the start is settled all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_is_ready_before_its_first_heartbeat() {
    let mut rig = Rig::new(Kind::MySql, Options::default(), Plan::default(), 1).await;
    rig.settings = rig.settings.env("DATABASE_HEARTBEAT_SECONDS", "15");
    let mut collector = Collector::start(&rig.settings).expect("a start");
    let took = collector.wait_ready(READY).await.expect("ready");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

fn draining(health: &serde_json::Value) -> bool {
    health["status"] == "draining"
}

/// SIGTERM under load, again and again: each stop is clean, and nothing comes twice after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_under_load_it_repeats_nothing() {
    let plan = Plan {
        pause: Duration::from_millis(5),
        ..Plan::default()
    };
    let rig = Rig::new(Kind::MariaDb, Options::default(), plan, 3).await;
    let mut collector = rig.start().await;
    let stops = async {
        for _ in 0..5 {
            let status = collector.stop(STOPPED).await.expect("an end");
            assert!(status.success(), "{status}");
            let said = collector.output().stdout();
            assert!(said.contains("everything that was read is delivered"), "{said}");
            collector = rig.start().await;
        }
    };
    rig.under_load(stops).await;
    rig.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// A collector with records that DataHub does not take, told to stop.
async fn stopping_before_a_silent_datahub(deadline: u64) -> (Rig, Proxy, Collector) {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 1).await;
    let sink = Proxy::start(rig.emulator.addr()).await.expect("a proxy");
    rig.settings = rig
        .settings
        .env("DATAHUB_ENDPOINT", format!("http://{}", sink.address()))
        .env("SHUTDOWN_TIMEOUT_SECONDS", deadline.to_string());
    let mut collector = rig.start().await;
    sink.blackhole(Direction::Both);
    rig.workload.run(200, |_| {}).await.expect("the workload");
    let waiting = |health: &serde_json::Value| health["lag"]["delivery_seconds"].as_f64() > Some(0.0);
    collector
        .wait_health("record that waits", READY, waiting)
        .await
        .expect("a record");
    collector.sigterm().expect("a signal");
    collector
        .wait_health("drain", READY, draining)
        .await
        .expect("a drain");
    assert_eq!(collector.get("/health/ready").await.expect("an answer").0, 503);
    assert_eq!(collector.get("/health/live").await.expect("an answer").0, 200);
    (rig, sink, collector)
}

/// What it could not deliver by its deadline is delivered after the next start.
async fn catches_up(rig: &Rig, sink: &Proxy) {
    sink.pass();
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    let report = rig.verdict().await;
    assert!(report.is_effectively_once(), "{report}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_ends_a_drain_that_cannot_end() {
    let begun = Instant::now();
    let (rig, sink, mut collector) = stopping_before_a_silent_datahub(DEADLINE).await;
    let told = Instant::now();
    let status = collector
        .wait_exit(Duration::from_secs(DEADLINE) + SLACK)
        .await
        .expect("an end by the deadline");
    assert!(status.success(), "{status}");
    let said = collector.output().stdout();
    assert!(said.contains("the deadline passed"), "{said}");
    println!("told after {:?}, ended {:?} later", told - begun, told.elapsed());
    catches_up(&rig, &sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let (rig, sink, mut collector) = stopping_before_a_silent_datahub(600).await;
    collector.signal(Signal::Int).expect("a second signal");
    let status = collector.wait_exit(SLACK).await.expect("an end at once");
    assert!(status.success(), "{status}");
    assert!(
        collector.output().stdout().contains("second signal"),
        "{}",
        collector.output().stdout()
    );
    catches_up(&rig, &sink).await;
}

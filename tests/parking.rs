//! DataHub is away for longer than the database waits for a reader: the collector leaves in time, and comes back.

use std::time::Duration;

use datahub_emulator::{Action, Rule, When};
use harness::collector::Collector;
use harness::servers::{Kind, Options, Server};
use harness::workload::Plan;

use crate::rig::{ARRIVED, READY, Rig, STOPPED};

/// After so long without a reader the database ends a connection; half of it is ours.
const NET_WRITE_TIMEOUT: u64 = 4;
/// Rows of the transaction in whose middle it is left: far more than all buffers on the way hold.
const ROWS: u64 = 150_000;
/// How long the database keeps its binlog: less than what a collector that does not move is warned of.
const KEPT: u64 = 3_000;
/// Most bytes of records held: two batches for each of two shards and four to spare, the channel, and a chunk.
const HELD: f64 = 8e6;
/// Most memory.
const RESIDENT: u64 = 96 << 20;

fn refusal() -> Action {
    Action::Error {
        code: "InternalServerError".to_owned(),
        status: Some(503),
        message: None,
        when: When::Before,
    }
}

/// Connections that the server lost.
async fn aborted(server: &Server) -> u64 {
    let status = "SHOW GLOBAL STATUS LIKE 'Aborted_clients'";
    let rows: Vec<(String, u64)> = server.query(status).await.expect("a status");
    rows.first().expect("a number").1
}

/// Dumps that the server runs.
async fn dumps(server: &Server) -> usize {
    let list: Vec<mysql_async::Row> = server.query("SHOW PROCESSLIST").await.expect("a list");
    let commands = list.iter().filter_map(|row| row.get::<String, _>(4));
    commands
        .filter(|command| command.starts_with("Binlog Dump"))
        .count()
}

async fn metric(collector: &Collector, name: &str) -> f64 {
    let metrics = collector.metrics().await.expect("metrics");
    metrics.sum(name).unwrap_or_default()
}

async fn left_and_read_on(kind: Kind, fault: Action) {
    let options = Options::default()
        .arg(format!("--net-write-timeout={NET_WRITE_TIMEOUT}"))
        .arg(format!("--binlog-expire-logs-seconds={KEPT}"));
    let mut rig = Rig::new(kind, options, Plan::default(), 2).await;
    rig.settings = rig
        .settings
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "200")
        .env("DATAHUB_TIMEOUT_SECONDS", "5")
        .env("DATABASE_HEARTBEAT_SECONDS", "1");
    let mut collector = rig.start().await;
    rig.workload.run(200, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;

    let before = aborted(&rig.server).await;
    rig.emulator.add_fault(Rule::on_put(fault));
    rig.workload
        .huge_transaction(ROWS)
        .await
        .expect("the transaction");
    let health = collector
        .wait_health("leaving", READY, |health| health["status"] == "parked")
        .await
        .expect("a state");
    assert_eq!(health["reason_code"], "parked", "{health}");
    assert!(
        health["remedy"].as_str().is_some_and(|text| !text.is_empty()),
        "{health}"
    );
    assert_eq!(health["components"]["source"]["state"], "parked", "{health}");
    let probes = [
        collector.get("/health/live").await,
        collector.get("/health/ready").await,
    ];
    assert_eq!(probes.map(|probe| probe.expect("an answer").0), [200, 503]);
    let shown = async {
        // The gauges follow within a second.
        while collector
            .metrics()
            .await
            .expect("metrics")
            .value("cdc_state", &[("state", "parked")])
            != Some(1.0)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY, shown)
        .await
        .expect("the state as a metric");
    let over = async {
        // The server notices the end of a connection when it next writes to it.
        while dumps(&rig.server).await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(READY, over)
        .await
        .expect("the server runs no dump");

    // Longer than the server's patience and than three heartbeats: what is written meanwhile is noticed.
    let behind = |health: &serde_json::Value| health["lag"]["behind_bytes"].as_u64();
    let known = collector
        .wait_health("distance", READY, |health| behind(health) > Some(0))
        .await
        .expect("a distance");
    rig.workload.run(2_000, |_| {}).await.expect("the workload");
    let further = |health: &serde_json::Value| behind(health) > behind(&known);
    let health = collector
        .wait_health("growing distance", READY, further)
        .await
        .expect("a growing distance");
    assert_eq!(health["status"], "parked", "{health}");
    assert_eq!(health["live"], true, "{health}");
    assert!(metric(&collector, "cdc_budget_used_bytes").await < HELD);
    // It stands still while the binlog grows.
    let warned = |health: &serde_json::Value| {
        let eta = health["lag"]["purge_eta_seconds"].as_f64();
        eta.is_some_and(|eta| eta > KEPT as f64 - 600.0 && eta <= KEPT as f64)
            && health["summary"]
                .as_str()
                .is_some_and(|text| text.contains("still needed"))
    };
    collector
        .wait_health("forecast", READY, warned)
        .await
        .expect("a forecast");
    let warnings = collector.output().stdout().matches("purge_near").count();
    assert_eq!(warnings, 1, "once per crossing");

    // Both servers count the end of every dump, an idle replica's as well; nothing came on top.
    let parks = metric(&collector, "cdc_source_parks_total").await;
    let aborted = aborted(&rig.server).await - before;
    assert!(
        aborted as f64 <= parks,
        "{aborted} connections aborted, {parks} left"
    );

    rig.emulator.clear_faults();
    rig.exact(&mut collector).await;
    let parks = metric(&collector, "cdc_source_parks_total").await;
    let lost = metric(&collector, "cdc_source_reconnects_total").await;
    println!("{kind}: left {parks} times");
    assert!(parks >= 1.0);
    assert_eq!(lost, 0.0, "no connection was lost: {}", collector.output().tail());
    let peak = collector.rss_bytes().expect("memory").peak;
    assert!(peak <= RESIDENT, "{} MiB", peak >> 20);
    collector
        .wait_for_status("/health/ready", 200, ARRIVED)
        .await
        .expect("ready again");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// In the middle of a transaction, without being thrown out, and everything is there afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn i7_left_before_the_servers_patience_ends_it_reads_on_at_the_row() {
    tokio::join!(
        left_and_read_on(Kind::MySql, refusal()),
        left_and_read_on(Kind::MariaDb, Action::Hang { when: When::Before }),
    );
}

/// A collector that is told to stop while it is away stops, and the next one reads on.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_it_is_away_it_loses_nothing() {
    let options = Options::default().arg("--net-write-timeout=1");
    let mut rig = Rig::new(Kind::MariaDb, options, Plan::default(), 1).await;
    rig.settings = rig
        .settings
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "200")
        .env("SHUTDOWN_TIMEOUT_SECONDS", "1");
    let mut collector = rig.start().await;
    rig.emulator.add_fault(Rule::on_put(refusal()));
    rig.workload
        .huge_transaction(40_000)
        .await
        .expect("the transaction");
    collector
        .wait_health("leaving", READY, |health| health["status"] == "parked")
        .await
        .expect("a state");
    let status = collector.stop(Duration::from_secs(10)).await.expect("a stop");
    assert!(status.success(), "{status}");
    rig.emulator.clear_faults();
    let mut collector = rig.start().await;
    rig.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

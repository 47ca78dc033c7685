//! A real server, the emulator and the real collector, wired as a user would wire them.

use std::time::Duration;

use datahub_emulator::{Emulator, Options as Service, TopicSpec};
use harness::collector::{Collector, Settings};
use harness::oracle::{DatabaseRows, Report, check_topic};
use harness::servers::{Kind, Options, RELAY, SCHEMA, Server};
use harness::workload::{Plan, Workload};
use mysql_async::prelude::Queryable;

pub(crate) const PROJECT: &str = "realtime_pipeline";
pub(crate) const TOPIC: &str = "cdc_events";
pub(crate) const ACCESS_ID: &str = "emulator-id";
/// Looks like nothing else, so that a search for it in any output means something.
pub(crate) const ACCESS_KEY: &str = "Access-Key-c0ffee-4711";

/// How long a start may take on a machine that is busy with the other tests.
pub(crate) const READY: Duration = Duration::from_secs(30);
/// How long everything committed may take to arrive.
pub(crate) const ARRIVED: Duration = Duration::from_secs(240);
/// How long a clean stop may take.
pub(crate) const STOPPED: Duration = Duration::from_secs(30);

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) emulator: Emulator,
    pub(crate) settings: Settings,
    pub(crate) workload: Workload,
}

pub(crate) async fn emulator(shards: u32) -> Emulator {
    let service = Service {
        access_id: ACCESS_ID.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        create: vec![TopicSpec::blob(PROJECT, TOPIC, shards)],
        ..Service::default()
    };
    Emulator::start(service).await.expect("an emulator")
}

/// The collector's settings between any two addresses.
pub(crate) fn settings(database: std::net::SocketAddr, datahub: &str) -> Settings {
    Settings::new(env!("CARGO_BIN_EXE_cdc-collector"))
        .expect("settings")
        .database(database, RELAY, SCHEMA)
        .datahub(datahub, ACCESS_ID, ACCESS_KEY)
        .topic(PROJECT, TOPIC)
}

impl Rig {
    pub(crate) async fn new(kind: Kind, options: Options, plan: Plan, shards: u32) -> Self {
        let server = Server::start(kind, options).await.expect("a server");
        let workload = Workload::new(server.opts(server.admin()), SCHEMA, plan)
            .await
            .expect("a workload");
        let emulator = emulator(shards).await;
        let settings = settings(server.address(), &emulator.endpoint());
        Self {
            server,
            emulator,
            settings,
            workload,
        }
    }

    pub(crate) async fn start(&self) -> Collector {
        Collector::start_ready(&self.settings, READY)
            .await
            .expect("a collector that becomes ready")
    }

    /// The end of the server's binlog.
    pub(crate) async fn head(&self) -> (String, u64) {
        let status = match self.server.kind() {
            Kind::MySql => "SHOW BINARY LOG STATUS",
            Kind::MariaDb | Kind::Seekdb => "SHOW MASTER STATUS",
        };
        let mut conn = self.server.connect().await.expect("a connection");
        let row: mysql_async::Row = conn
            .query_first(status)
            .await
            .expect("a status")
            .expect("a binlog");
        (row.get(0).expect("a file"), row.get(1).expect("an offset"))
    }

    /// Waits until everything committed so far is acknowledged and behind the checkpoint.
    pub(crate) async fn caught_up(&self, collector: &mut Collector) {
        let (file, pos) = self.head().await;
        let there = |health: &serde_json::Value| {
            let position = &health["position"];
            let reached = (position["file"].as_str(), position["pos"].as_u64());
            // Files sort by name: their numbers are padded.
            matches!(reached, (Some(f), Some(p)) if (f, p) >= (file.as_str(), pos)) && position["rows"] == 0
        };
        // A halt is an answer too: it never gets there.
        let ended = |health: &serde_json::Value| health["status"] == "halted" || there(health);
        let health = collector
            .wait_health("checkpoint at the end of the binlog", ARRIVED, ended)
            .await
            .expect("to catch up");
        assert_ne!(
            health["status"],
            "halted",
            "{health}\n{}",
            collector.output().tail()
        );
    }

    /// What the oracle says of everything committed so far.
    pub(crate) async fn verdict(&self) -> Report {
        let mut conn = self.server.connect().await.expect("a connection");
        let rows = DatabaseRows::read(&mut conn, SCHEMA)
            .await
            .expect("the database's rows");
        check_topic(&self.emulator, PROJECT, TOPIC, &self.workload.log(), Some(&rows)).expect("the topic")
    }
}

/// Every row that was decoded is accounted for.
pub(crate) async fn i14_conserved(collector: &Collector) {
    let metrics = collector.metrics().await.expect("metrics");
    assert_eq!(
        metrics.sum("cdc_conservation_error_rows"),
        Some(0.0),
        "rows are unaccounted for"
    );
    let sum = |name| metrics.sum(name).unwrap_or_default();
    let settled = sum("cdc_rows_acked_total")
        + sum("cdc_rows_filtered_total")
        + sum("cdc_rows_suppressed_total")
        + sum("cdc_rows_dead_lettered_total")
        + sum("cdc_rows_in_flight");
    assert_eq!(sum("cdc_rows_decoded_total"), settled);
}

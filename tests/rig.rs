//! A real server, the emulator and the real collector, wired as a user would wire them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use datahub_emulator::Emulator;
use harness::collector::{Collector, Settings};
use harness::oracle::Report;
use harness::servers::{Kind, Options, Server};
use harness::stage::{self, Stage};
use harness::workload::{Plan, Workload};

pub(crate) use harness::stage::{ACCESS_ID, ACCESS_KEY, ARRIVED, PROJECT, READY, STOPPED, TOPIC};

/// A [`Stage`] whose failures are the test's.
pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) emulator: Emulator,
    pub(crate) settings: Settings,
    pub(crate) workload: Workload,
}

/// The binary under test: the one that was built with the tests, or the one that `CDC_TEST_COLLECTOR` names. The latter is how
/// `cargo run -p harness --bin guards` has a test meet a collector that lacks something.
pub(crate) fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let named = std::env::var_os("CDC_TEST_COLLECTOR");
        named.map_or_else(|| env!("CARGO_BIN_EXE_cdc-collector").into(), PathBuf::from)
    });
    &BINARY
}

pub(crate) async fn emulator(shards: u32) -> Emulator {
    stage::emulator(shards).await.expect("an emulator")
}

/// The collector's settings between any two addresses.
pub(crate) fn settings(database: std::net::SocketAddr, datahub: &str) -> Settings {
    stage::settings(binary(), database, datahub).expect("settings")
}

impl Rig {
    pub(crate) async fn new(kind: Kind, options: Options, plan: Plan, shards: u32) -> Self {
        let stage = Stage::new(binary(), kind, options, plan, shards).await;
        let Stage {
            server,
            emulator,
            settings,
            workload,
        } = stage.expect("a database and an emulator");
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
        self.server.binlog_end().await.expect("a binlog")
    }

    /// Waits until everything committed so far is acknowledged and behind the checkpoint.
    pub(crate) async fn caught_up(&self, collector: &mut Collector) {
        stage::caught_up(&self.server, collector)
            .await
            .expect("to catch up");
    }

    /// What the oracle says of everything committed so far.
    pub(crate) async fn verdict(&self) -> Report {
        stage::verdict(&self.server, &self.emulator, &self.workload)
            .await
            .expect("the topic")
    }
}

/// Every row that was decoded is accounted for.
pub(crate) async fn i14_conserved(collector: &Collector) {
    let metrics = collector.metrics().await.expect("metrics");
    metrics.conserved().expect("an account");
}

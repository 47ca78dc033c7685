//! A database, the emulator and the collector between them, wired as a user would wire them, under a workload that
//! can be judged.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use datahub_emulator::{Emulator, Options as Service, TopicSpec};
use serde_json::Value;

use crate::collector::{Collector, Settings};
use crate::oracle::{DatabaseRows, Report, check_topic};
use crate::servers::{Kind, Options, RELAY, SCHEMA, Server};
use crate::workload::{Plan, Workload};

/// The project.
pub const PROJECT: &str = "realtime_pipeline";
/// The topic.
pub const TOPIC: &str = "cdc_events";
/// The only access id that the emulator lets in.
pub const ACCESS_ID: &str = "emulator-id";
/// Its key. Looks like nothing else, so that a search for it in any output means something.
pub const ACCESS_KEY: &str = "Access-Key-c0ffee-4711";

/// How long a start may take on a machine that is busy with other things.
pub const READY: Duration = Duration::from_secs(30);
/// How long everything committed may take to arrive.
pub const ARRIVED: Duration = Duration::from_secs(240);
/// How long a clean stop may take.
pub const STOPPED: Duration = Duration::from_secs(30);

/// All that is needed to run the collector and to judge it.
pub struct Stage {
    /// The database.
    pub server: Server,
    /// The service.
    pub emulator: Emulator,
    /// The collector's settings.
    pub settings: Settings,
    /// What changes the database's rows.
    pub workload: Workload,
}

/// An emulator with an empty topic.
pub async fn emulator(shards: u32) -> Result<Emulator> {
    let service = Service {
        access_id: ACCESS_ID.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        create: vec![TopicSpec::blob(PROJECT, TOPIC, shards)],
        ..Service::default()
    };
    Emulator::start(service).await.context("starting the emulator")
}

/// The settings of a collector between two addresses.
pub fn settings(binary: &Path, database: SocketAddr, datahub: &str) -> Result<Settings> {
    Ok(Settings::new(binary)?
        .database(database, RELAY, SCHEMA)
        .datahub(datahub, ACCESS_ID, ACCESS_KEY)
        .topic(PROJECT, TOPIC))
}

impl Stage {
    /// Starts the database and the emulator, and makes the workload's tables. The collector is still to be started.
    pub async fn new(binary: &Path, kind: Kind, options: Options, plan: Plan, shards: u32) -> Result<Stage> {
        let server = Server::start(kind, options).await?;
        let workload = Workload::new(server.opts(server.admin()), SCHEMA, plan).await?;
        let emulator = emulator(shards).await?;
        let settings = settings(binary, server.address(), &emulator.endpoint())?;
        Ok(Stage {
            server,
            emulator,
            settings,
            workload,
        })
    }

    /// Starts the collector and waits until it is ready.
    pub async fn start(&self) -> Result<Collector> {
        Collector::start_ready(&self.settings, READY).await
    }

    /// Waits until everything committed so far is acknowledged and behind the checkpoint.
    ///
    /// # Errors
    /// A collector that halts, ends, or does not get there in time.
    pub async fn caught_up(&self, collector: &mut Collector) -> Result<()> {
        caught_up(&self.server, collector).await
    }

    /// What the oracle says of everything committed so far.
    pub async fn verdict(&self) -> Result<Report> {
        verdict(&self.server, &self.emulator, &self.workload).await
    }

    /// Waits until everything has arrived, sees to it that every row is accounted for, and gives the verdict.
    pub async fn settled(&self, collector: &mut Collector) -> Result<Report> {
        self.caught_up(collector).await?;
        collector.metrics().await?.conserved()?;
        self.verdict().await
    }
}

/// [`Stage::caught_up`] for any collector of the server.
pub async fn caught_up(server: &Server, collector: &mut Collector) -> Result<()> {
    let (file, offset) = server.binlog_end().await?;
    let reached = |health: &Value| is_at(health, &file, offset);
    // A halt is an answer too: it never gets there.
    let ended = |health: &Value| health["status"] == "halted" || reached(health);
    let health = collector
        .wait_health("checkpoint at the end of the binlog", ARRIVED, ended)
        .await?;
    if !reached(&health) {
        bail!("halted: {health}\n{}", collector.output().tail());
    }
    Ok(())
}

/// Whether the checkpoint is at this place of the binlog or behind it, between two transactions.
pub fn is_at(health: &Value, file: &str, offset: u64) -> bool {
    reaches(health, file, offset) && health["position"]["rows"] == 0
}

/// Whether the checkpoint is at this place of the binlog or behind it.
pub fn reaches(health: &Value, file: &str, offset: u64) -> bool {
    let position = &health["position"];
    // Files sort by name: their numbers are padded.
    let there = (position["file"].as_str(), position["pos"].as_u64());
    matches!(there, (Some(f), Some(p)) if (f, p) >= (file, offset))
}

/// What the oracle says of a topic, against all that the workload committed and the rows that the database has.
pub async fn verdict(server: &Server, emulator: &Emulator, workload: &Workload) -> Result<Report> {
    let mut conn = server.connect().await?;
    let rows = DatabaseRows::read(&mut conn, SCHEMA).await?;
    conn.disconnect().await.context("closing a connection")?;
    check_topic(emulator, PROJECT, TOPIC, &workload.log(), Some(&rows))
}

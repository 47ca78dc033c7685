//! The collector's wall clock is set: hours forward, hours back, and right again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use datahub_emulator::{Emulator, Options as Service, TopicSpec};
use fastrand::Rng;
use serde_json::Value;

use super::{BOTH, Outcome, Scenario, Terms};
use crate::collector::{Collector, Settings};
use crate::servers::{INSTALL_SCRIPT, Options};
use crate::stage::{self, ACCESS_ID, ACCESS_KEY, PROJECT, READY, STOPPED, Stage, TOPIC};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "clock-jump",
    proves: "a wall clock that jumps changes signatures and the lag that is shown, and nothing else: rows flow on where the \
             service does not look at it; where it does, the relay halts with datahub_clock_skew and goes on from the \
             same row after a start with the right time.",
    steps: "2 shards under load and two collectors, one with a service that looks at clocks and one with a service that \
            does not; the clock of both is set by minutes or hours, forward or back, which the one sees pass and the \
            other refuses when they are hours; then it is right again and the halted one is started; and so on.",
    needs: "MySQL and MariaDB; libfaketime.",
    servers: BOTH,
    run: |terms| Box::pin(jumps(terms)),
}];

/// Beyond it a service that looks at clocks refuses, seconds: the tolerance and a little.
const REFUSED: i64 = 1_000;
/// Below it it does not.
const TOLERATED: i64 = 800;
/// The largest jump, seconds.
const LARGEST: i64 = 48 * 3_600;
/// The most that a clock which is right may show as lag under this load.
const LAG: f64 = 60.0;

/// The collectors' clock.
struct Wall {
    library: PathBuf,
    dir: tempfile::TempDir,
}

impl Wall {
    fn right() -> Result<Wall> {
        let wall = Wall {
            library: library()?,
            dir: tempfile::tempdir().context("creating a directory")?,
        };
        wall.set(0)?;
        Ok(wall)
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }

    /// So many seconds from the machine's time. A reader sees the old one or the new one.
    fn set(&self, offset: i64) -> Result<()> {
        let new = self.dir.path().join("offset.new");
        fs::write(&new, format!("{offset:+}\n")).context("setting the clock")?;
        fs::rename(&new, self.file()).context("setting the clock")
    }

    /// The settings of a collector that lives by it; time that passes is the machine's.
    fn seen_by(&self, settings: Settings) -> Settings {
        settings
            .env("LD_PRELOAD", self.library.display().to_string())
            .env("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
    }
}

/// Where Debian puts it: below the directory of the machine's libraries.
fn library() -> Result<PathBuf> {
    let directories = fs::read_dir("/usr/lib").context("reading /usr/lib")?;
    let triplets = directories.filter_map(|entry| Some(entry.ok()?.path()));
    let libraries = triplets.map(|dir| dir.join("faketime/libfaketimeMT.so.1"));
    let found = libraries
        .chain([Path::new("/usr/lib/faketime/libfaketimeMT.so.1").to_owned()])
        .find(|path| path.is_file());
    found.with_context(|| format!("libfaketime is not installed: run {INSTALL_SCRIPT} faketime"))
}

/// A service that lets any signature pass.
async fn indifferent() -> Result<Emulator> {
    let service = Service {
        access_id: ACCESS_ID.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        verify_signatures: false,
        create: vec![TopicSpec::blob(PROJECT, TOPIC, 2)],
        ..Service::default()
    };
    Emulator::start(service).await.context("starting the emulator")
}

/// Minutes or hours, forward or back.
fn jump(rng: &mut Rng) -> i64 {
    let size = if rng.u32(..4) == 0 {
        rng.i64(60..TOLERATED)
    } else {
        rng.i64(REFUSED..LARGEST)
    };
    if rng.bool() { size } else { -size }
}

async fn jumps(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let wall = Wall::right()?;
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    let indifferent = indifferent().await?;
    let address = stage.server.address();
    let other = stage::settings(&terms.binary, address, &indifferent.endpoint())?;
    let quick = |settings: Settings| {
        let settings = settings
            .env("START_POSITION", "earliest")
            .env("RETRY_BACKOFF_MS", "20")
            .env("DATABASE_HEARTBEAT_SECONDS", "1");
        wall.seen_by(settings)
    };
    let other = quick(other)
        .env("DATABASE_SERVER_ID", "4711")
        .env("DATAHUB_CONSUMER_GROUP", "indifferent");
    stage.settings = quick(stage.settings);
    let mut strict = stage.start().await?;
    let mut free = Collector::start_ready(&other, READY).await?;

    let mut refusals = 0;
    let settings = stage.settings.clone();
    let clocks = async {
        while storm.goes_on() {
            let offset = jump(&mut rng);
            wall.set(offset)?;
            flows(&stage, &mut free, &mut rng).await?;
            let refused = offset.abs() > TOLERATED;
            if refused {
                refusals += 1;
                halts_for_the_clock(&mut strict).await?;
            } else {
                flows(&stage, &mut strict, &mut rng).await?;
            }
            wall.set(0)?;
            if refused {
                strict.stop(STOPPED).await?;
                strict = Collector::start_ready(&settings, READY).await?;
            }
            for collector in [&mut free, &mut strict] {
                flows(&stage, collector, &mut rng).await?;
                let right = |health: &Value| lags(health).iter().all(|lag| *lag < LAG);
                collector
                    .wait_health("lag of a right clock", READY, right)
                    .await?;
            }
        }
        Ok(())
    };
    Box::pin(stage.workload.during(clocks)).await?;
    stage.caught_up(&mut free).await?;
    free.metrics().await?.conserved()?;
    let passed = stage::verdict(&stage.server, &indifferent, &stage.workload).await?;
    ensure!(
        passed.is_exact(),
        "where nobody looks at clocks\n{passed}\n{}",
        free.output().tail()
    );
    let report = stage.settled(&mut strict).await?;
    for collector in [&free, &strict] {
        let said = collector.output().stdout() + &collector.output().stderr();
        ensure!(!said.contains("panicked"), "{said}");
    }
    let note = format!(
        "{refusals} refused; {} rows where nobody looked, exact too",
        passed.committed
    );
    Ok(Outcome::exact(storm.blows, report, note))
}

/// What is committed now is soon behind the checkpoint, and what is shown meanwhile is possible.
async fn flows(stage: &Stage, collector: &mut Collector, rng: &mut Rng) -> Result<()> {
    stage.workload.more(rng.u64(50..300)).await?;
    let (file, offset) = stage.server.binlog_end().await?;
    let there = |health: &Value| stage::reaches(health, &file, offset) && health["ready"] == true;
    let health = collector
        .wait_health("progress by a wrong clock", READY, there)
        .await?;
    let possible = lags(&health).iter().all(|lag| *lag >= 0.0);
    ensure!(possible && health["live"] == true, "{health}");
    // By time that passed, not by the clock.
    let delivery = health["lag"]["delivery_seconds"].as_f64();
    ensure!(delivery.is_some_and(|lag| lag < LAG), "{health}");
    Ok(())
}

/// The lags that `/health` shows.
fn lags(health: &Value) -> Vec<f64> {
    let lag = &health["lag"];
    let names = ["source_seconds", "delivery_seconds", "behind_age_seconds"];
    names.iter().filter_map(|name| lag[*name].as_f64()).collect()
}

async fn halts_for_the_clock(collector: &mut Collector) -> Result<()> {
    let halted = |health: &Value| health["status"] == "halted";
    let health = collector.wait_health("halt", READY, halted).await?;
    let remedy = health["remedy"].as_str().unwrap_or_default();
    ensure!(
        health["reason_code"] == "datahub_clock_skew" && remedy.contains("clock"),
        "{health}"
    );
    ensure!(health["live"] == true && health["ready"] == false, "{health}");
    Ok(())
}

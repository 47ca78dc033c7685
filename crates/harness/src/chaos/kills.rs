//! The collector is killed, stopped, moved and doubled.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use datahub_emulator::Rule;
use fastrand::Rng;

use super::{BOTH, MARIADB, MYSQL, Outcome, Promise, Scenario, Terms, fault_mix};
use crate::collector::Collector;
use crate::ports::free_port;
use crate::servers::Options;
use crate::stage::{self, PROJECT, READY, STOPPED, Stage, TOPIC};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "kill9",
        proves: "kill -9 at any moment, with the data volume kept or lost, loses nothing and repeats nothing.",
        steps: "3 shards under load; kill -9 somewhere in the start-up or after some records, wipe the volume one time \
                in three, start again; and so on.",
        needs: "MySQL and MariaDB.",
        servers: BOTH,
        run: |terms| Box::pin(killed(terms, Vec::new())),
    },
    Scenario {
        name: "kill9-faults",
        proves: "the same while the service misbehaves: what a dead process left in doubt is settled by its successor.",
        steps: "as kill9, with 5 % of the puts applied and then reset, 5 % applied and left without an answer, and of \
                all calls 5 % answered by 429 and 5 % by 500.",
        needs: "MySQL and MariaDB.",
        servers: BOTH,
        run: |terms| {
            let faults = fault_mix(terms.seed);
            Box::pin(killed(terms, faults))
        },
    },
    Scenario {
        name: "filesystem-wiped",
        proves: "a container that comes back without anything of its own continues where its predecessor ended.",
        steps: "3 shards under load; kill -9 or SIGTERM, remove the working directory with checkpoint, definitions and \
                logs, let changes happen, start again; and so on.",
        needs: "MySQL.",
        servers: MYSQL,
        run: |terms| Box::pin(wiped(terms)),
    },
    Scenario {
        name: "sigterm",
        proves: "a stop under load is clean, and the next start repeats nothing.",
        steps: "3 shards under load; SIGTERM after some records, exit code 0 and everything that was read delivered, \
                start again; and so on.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| Box::pin(stopped(terms)),
    },
    Scenario {
        name: "two-collectors",
        proves: "a second collector on the same DATA_DIR is refused; with another directory and LEASE=none both run, and \
                 what comes twice can be told by cdc.id.",
        steps: "a collector under load; a second one of its group on its directory halts with data_dir_in_use; a third \
                one with a directory and a server id of its own relays beside it.",
        needs: "MySQL.",
        servers: MYSQL,
        run: |terms| Box::pin(doubled(terms)),
    },
];

/// How long a killed collector may take to deliver something.
const PROGRESS: Duration = Duration::from_secs(60);

/// A stage of three shards on which a volume may be lost before the topic has anything to remember.
pub(super) async fn stage(terms: &Terms) -> Result<Stage> {
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 3).await?;
    stage.settings = stage
        .settings
        .env("START_POSITION", "earliest")
        .env("RETRY_BACKOFF_MS", "10")
        .env("RETRY_BACKOFF_MAX_MS", "50")
        .env("DATAHUB_TIMEOUT_SECONDS", "5");
    Ok(stage)
}

/// Waits until the topic has up to `most` more records.
async fn some_records(stage: &Stage, rng: &mut Rng, most: u64, collector: &Collector) -> Result<()> {
    let wanted = stage.emulator.count(PROJECT, TOPIC)? + rng.u64(1..=most);
    let come = stage.emulator.wait_for_records(PROJECT, TOPIC, wanted, PROGRESS);
    let come = come.await.ok();
    come.with_context(|| format!("no progress in {PROGRESS:?}\n{}", collector.output().tail()))
        .map(drop)
}

/// Somewhere in the start-up, or later, after some records.
pub(super) async fn any_moment(stage: &Stage, rng: &mut Rng, collector: &Collector) -> Result<()> {
    if rng.u32(..3) == 0 {
        tokio::time::sleep(Duration::from_millis(rng.u64(..1_800))).await;
        return Ok(());
    }
    some_records(stage, rng, 800, collector).await
}

async fn killed(terms: Terms, faults: Vec<Rule>) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let stage = stage(&terms).await?;
    let mut collector = stage.start().await?;
    for fault in faults {
        stage.emulator.add_fault(fault);
    }
    let mut volumes = 0;
    let kills = async {
        while storm.goes_on() {
            any_moment(&stage, &mut rng, &collector).await?;
            collector.kill9()?;
            if rng.u32(..3) == 0 {
                volumes += 1;
                fs::remove_dir_all(stage.settings.data_dir()).context("losing the volume")?;
            }
            collector = Collector::start(&stage.settings)?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(kills)).await?;
    let faults = stage.emulator.stats().faults;
    stage.emulator.clear_faults();
    let report = stage.settled(&mut collector).await?;
    let note = format!("{volumes} volumes lost, {faults} faults");
    Ok(Outcome::exact(storm.blows, report, note))
}

async fn wiped(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let stage = stage(&terms).await?;
    let mut collector = stage.start().await?;
    let mut kills = 0;
    let moves = async {
        while storm.goes_on() {
            some_records(&stage, &mut rng, 800, &collector).await?;
            if rng.bool() {
                kills += 1;
                collector.kill9()?;
            } else {
                collector.stop(STOPPED).await?;
            }
            for entry in fs::read_dir(stage.settings.dir())? {
                let path = entry?.path();
                if path.is_dir() {
                    fs::remove_dir_all(&path)?;
                } else {
                    fs::remove_file(&path)?;
                }
            }
            stage.workload.more(rng.u64(1..300)).await?;
            collector = Collector::start(&stage.settings)?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(moves)).await?;
    let report = stage.settled(&mut collector).await?;
    Ok(Outcome::exact(storm.blows, report, format!("{kills} by kill -9")))
}

async fn stopped(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let stage = stage(&terms).await?;
    let mut collector = stage.start().await?;
    let stops = async {
        while storm.goes_on() {
            some_records(&stage, &mut rng, 800, &collector).await?;
            let status = collector.stop(STOPPED).await?;
            let said = collector.output().stdout();
            ensure!(status.success(), "ended with {status}\n{said}");
            ensure!(said.contains("everything that was read is delivered"), "{said}");
            collector = stage.start().await?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(stops)).await?;
    let report = stage.settled(&mut collector).await?;
    Ok(Outcome::exact(storm.blows, report, ""))
}

async fn doubled(terms: Terms) -> Result<Outcome> {
    let mut storm = terms.storm();
    let stage = stage(&terms).await?;
    let mut collector = stage.start().await?;
    let elsewhere = stage::settings(&terms.binary, stage.server.address(), &stage.emulator.endpoint())?
        .env("START_POSITION", "earliest")
        .env("DATABASE_SERVER_ID", "4711")
        .env("LEASE", "none");
    let beside = async {
        while storm.goes_on() {
            let mut second = Collector::start(&stage.settings.clone().on_port(free_port()?))?;
            let halted = |health: &serde_json::Value| health["status"] == "halted";
            let health = second.wait_health("halt", READY, halted).await?;
            ensure!(health["reason_code"] == "data_dir_in_use", "{health}");
            second.stop(STOPPED).await?;
            stage.workload.more(200).await?;
        }
        let third = Collector::start_ready(&elsewhere, READY).await?;
        stage.workload.more(500).await?;
        Ok(third)
    };
    let mut third = Box::pin(stage.workload.during(beside)).await?;
    stage.settled(&mut third).await?;
    let report = stage.settled(&mut collector).await?;
    ensure!(
        report.repeated_same_id > 0,
        "two collectors delivered nothing twice\n{report}"
    );
    let note = format!("{} records twice, under the same cdc.id", report.repeated_same_id);
    Ok(Outcome::exact(storm.blows, report, note).promising(Promise::Recognisable))
}

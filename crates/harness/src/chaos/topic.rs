//! What is done to the topic and to the keys while the collector runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use datahub_emulator::TopicSpec;
use fastrand::Rng;
use serde_json::Value;

use super::{MARIADB, MYSQL, Outcome, Scenario, Terms};
use crate::collector::Collector;
use crate::proxy::{Cut, Proxy};
use crate::servers::{Options, RELAY};
use crate::stage::{PROJECT, READY, STOPPED, Stage, TOPIC};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "split-merge",
        proves: "keys keep their order through splits and merges of their shards, and a start in between finds what the \
                 parents hold.",
        steps: "2 shards under load; a random shard is split or two neighbours are merged, now and then the collector is \
                killed and started again; and so on.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| Box::pin(reshaped(terms)),
    },
    Scenario {
        name: "topic-recreated",
        proves: "a topic that was deleted, or deleted and made anew, stops the relay with a reason; what the remedy says \
                 puts everything into the new one.",
        steps: "2 shards under load; the topic is deleted and the relay halts, or it is deleted and made anew at once; the \
                next start halts with topic_recreated; the checkpoint is removed and the start is the earliest \
                position; and so on.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| Box::pin(recreated(terms)),
    },
    Scenario {
        name: "credentials-rotated",
        proves: "keys and passwords that change in their files are found when the old ones are refused.",
        steps: "3 shards under load; new keys are written to DATAHUB_ACCESS_ID_FILE and DATAHUB_ACCESS_KEY_FILE and the \
                service takes only them; or a new DATABASE_PASSWORD_FILE, ALTER USER, and the connection is cut; and \
                so on.",
        needs: "MySQL.",
        servers: MYSQL,
        run: |terms| Box::pin(rotated(terms)),
    },
];

/// Shards, closed ones too, up to which a topic is split; the service has 512.
const MOST_SHARDS: usize = 480;
/// Active shards from which a topic is merged rather than split.
const MANY_ACTIVE: usize = 6;

async fn reshaped(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    let mut collector = stage.start().await?;
    let (mut splits, mut kills) = (0, 0);
    let changes = async {
        while stage.emulator.shards(PROJECT, TOPIC)?.len() < MOST_SHARDS && storm.goes_on() {
            splits += u32::from(reshape(&stage, &mut rng)?);
            if rng.u32(..4) == 0 {
                kills += 1;
                collector.kill9()?;
                collector = Collector::start(&stage.settings)?;
            }
            stage.workload.more(rng.u64(1..400)).await?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(changes)).await?;
    let report = stage.settled(&mut collector).await?;
    let note = format!("{splits} of them splits; {kills} kills");
    Ok(Outcome::exact(storm.blows, report, note))
}

/// Splits a shard or merges two; says whether it was a split.
fn reshape(stage: &Stage, rng: &mut Rng) -> Result<bool> {
    let mut active = stage.emulator.shards(PROJECT, TOPIC)?;
    active.retain(|shard| shard.active);
    active.sort_by_key(|shard| shard.begin);
    let split = active.len() < 2 || (active.len() < MANY_ACTIVE && rng.bool());
    if split {
        let chosen = rng.choice(&active).context("no active shard")?;
        let halves = stage.emulator.split(PROJECT, TOPIC, chosen.id);
        halves.map_err(|refusal| anyhow!("splitting {}: {refusal}", chosen.id))?;
    } else {
        let at = rng.usize(..active.len() - 1);
        let (left, right) = (active[at].id, active[at + 1].id);
        let merged = stage.emulator.merge(PROJECT, TOPIC, left, right);
        merged.map_err(|refusal| anyhow!("merging {left} and {right}: {refusal}"))?;
    }
    Ok(split)
}

fn second() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

fn halted(health: &Value) -> bool {
    health["status"] == "halted"
}

async fn recreated(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    stage.settings = stage
        .settings
        .env("START_POSITION", "earliest")
        .env("RETRY_BACKOFF_MS", "20");
    let mut collector = stage.start().await?;
    let mut deleted = 0;
    let anew = async {
        while storm.goes_on() {
            let made = second();
            stage.workload.more(rng.u64(1..300)).await?;
            let saved = |health: &Value| health["position"].is_object();
            collector.wait_health("checkpoint", READY, saved).await?;
            // The service gives the time of creation in seconds.
            while second() <= made {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let without = |stage: &Stage| {
                stage
                    .emulator
                    .delete_topic(PROJECT, TOPIC)
                    .map_err(|e| anyhow!(e))
            };
            if rng.bool() {
                deleted += 1;
                without(&stage)?;
                let health = collector.wait_health("halt", READY, halted).await?;
                ensure!(health["reason_code"] == "datahub_no_such_topic", "{health}");
                create(&stage)?;
            } else {
                without(&stage)?;
                create(&stage)?;
            }
            collector.stop(STOPPED).await?;
            collector = Collector::start(&stage.settings)?;
            let health = collector.wait_health("halt", READY, halted).await?;
            ensure!(health["reason_code"] == "topic_recreated", "{health}");
            let remedy = health["remedy"].as_str().unwrap_or_default();
            ensure!(
                remedy.contains("checkpoint") && remedy.contains("START_POSITION"),
                "{health}"
            );
            collector.stop(STOPPED).await?;
            remove_checkpoint(&stage.settings.data_dir())?;
            // What the relay wrote between the new topic's creation and its halt is no part of a fresh start.
            stage
                .emulator
                .delete_topic(PROJECT, TOPIC)
                .map_err(|e| anyhow!(e))?;
            create(&stage)?;
            collector = stage.start().await?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(anew)).await?;
    let report = stage.settled(&mut collector).await?;
    let note = format!("{deleted} found the topic missing");
    Ok(Outcome::exact(storm.blows, report, note))
}

fn create(stage: &Stage) -> Result<()> {
    let spec = TopicSpec::blob(PROJECT, TOPIC, 2);
    stage
        .emulator
        .create_topic(&spec)
        .map_err(|refusal| anyhow!(refusal))
}

fn remove_checkpoint(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).context("reading the data directory")? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "checkpoint")
        {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

async fn rotated(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 3).await?;
    let proxy = Proxy::start(stage.server.address()).await?;
    let secrets = tempfile::tempdir()?;
    let file = |name: &str| secrets.path().join(name);
    let [id, key, password] = ["id", "key", "password"].map(file);
    write_whole(&id, crate::stage::ACCESS_ID)?;
    write_whole(&key, crate::stage::ACCESS_KEY)?;
    write_whole(&password, RELAY.password)?;
    stage.settings = stage
        .settings
        .without("DATAHUB_ACCESS_ID")
        .without("DATAHUB_ACCESS_KEY")
        .without("DATABASE_PASSWORD")
        .env("DATAHUB_ACCESS_ID_FILE", id.display().to_string())
        .env("DATAHUB_ACCESS_KEY_FILE", key.display().to_string())
        .env("DATABASE_PASSWORD_FILE", password.display().to_string())
        .env("DATABASE_PORT", proxy.port().to_string())
        .env("RETRY_BACKOFF_MS", "20");
    let mut collector = stage.start().await?;
    let (mut passwords, keys_first) = (0, rng.bool());
    let rotations = async {
        while storm.goes_on() {
            let number = storm.blows;
            if number.is_multiple_of(2) == keys_first {
                passwords += 1;
                let new = format!("Rotated-{number}-{:016x}", rng.u64(..));
                write_whole(&password, &new)?;
                let user = RELAY.user;
                let alter = format!("ALTER USER '{user}'@'%' IDENTIFIED BY '{new}'");
                stage.server.execute(&[&alter]).await?;
                proxy.cut(Cut::Reset);
            } else {
                let (new_id, new_key) = (format!("id-{number}"), format!("Key-{:016x}", rng.u64(..)));
                write_whole(&id, &new_id)?;
                write_whole(&key, &new_key)?;
                stage.emulator.set_credentials(&new_id, &new_key);
            }
            stage.workload.more(rng.u64(100..500)).await?;
            collector.wait_ready(READY).await?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(rotations)).await?;
    let report = stage.settled(&mut collector).await?;
    let note = format!("{passwords} of them the database's password");
    Ok(Outcome::exact(storm.blows, report, note))
}

/// A reader sees the old secret or the new one.
fn write_whole(path: &Path, secret: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, secret).with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("writing {}", path.display()))
}

//! The disk: full, and with a checkpoint that is not what was written.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use datahub_emulator::{Action, Rule};

use super::{MARIADB, MYSQL, Outcome, Scenario, Terms};
use crate::collector::{Collector, Settings};
use crate::servers::Options;
use crate::stage::{self, READY, STOPPED, Stage};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "disk-full",
        proves: "a checkpoint that cannot be written stops no record and is said aloud; a crash meanwhile repeats \
                 nothing, and when there is room again the checkpoint goes on.",
        steps: "2 shards under load; the data directory, a file system of 256 KB, is filled until a write fails, and \
                /health says that the checkpoint cannot be written; perhaps kill -9 and a start; then room is made; and \
                so on.",
        needs: "MariaDB; rights to mount a tmpfs, else the checkpoint's temporary name is taken by a directory instead.",
        servers: MARIADB,
        run: |terms| Box::pin(full(terms)),
    },
    Scenario {
        name: "disk-full-letters",
        proves: "a dead letter that cannot be written holds its shard back and is said aloud; when there is room again it is \
                 written, and replayed it completes the topic in order.",
        steps: "2 shards under load, the records of some keys are refused and go to the dead letters; the data directory is \
                filled, /health says that a letter cannot be written; perhaps kill -9 and a start; room is made; and so \
                on. At last the service takes them, and the letters are replayed beside the running collector.",
        needs: "MariaDB; rights to mount a tmpfs.",
        servers: MARIADB,
        run: |terms| Box::pin(letters(terms)),
    },
    Scenario {
        name: "disk-full-logs",
        proves: "log files that cannot be written cost lines of the log and nothing else.",
        steps: "2 shards under load, all that can be logged is logged; the log directory is filled, perhaps kill -9 and a \
                start, room is made; and so on.",
        needs: "MariaDB; rights to mount a tmpfs.",
        servers: MARIADB,
        run: |terms| Box::pin(logs(terms)),
    },
    Scenario {
        name: "checkpoint-truncated",
        proves: "a checkpoint or a history of definitions that lacks its end, at whichever byte, is refused and never \
                 taken for a shorter one.",
        steps: "both files of a run, cut at each of their lengths, several at once in an order from the seed: every start \
                ends with exit code 1 and the reason code; with the whole files the relay goes on.",
        needs: "MySQL.",
        servers: MYSQL,
        run: |terms| Box::pin(truncated(terms)),
    },
];

/// What the records hold that the service does not take: a seventh of the keys of a table.
const REFUSED: &str = "\"warehouse\":1,";

/// What may still be written where a disk is full, bytes: the rest of the page that a file ends in.
const LAST_PAGE: u64 = 4_096;

/// A directory that can be filled.
struct SmallDisk {
    dir: PathBuf,
    mounted: bool,
}

impl SmallDisk {
    /// One of so many KiB.
    fn new(dir: &Path, size: u32) -> Result<SmallDisk> {
        fs::create_dir_all(dir).context("creating the data directory")?;
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}k"), "tmpfs"])
            .arg(dir)
            .output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        Ok(SmallDisk {
            dir: dir.to_owned(),
            mounted,
        })
    }

    /// What stands in the way of a checkpoint.
    fn obstacle(&self) -> PathBuf {
        let name = if self.mounted {
            "ballast"
        } else {
            "cdc-collector-group.checkpoint.new"
        };
        self.dir.join(name)
    }

    fn fill(&self) -> Result<()> {
        let obstacle = self.obstacle();
        if !self.mounted {
            // A checkpoint may be in the middle of using the name.
            while fs::create_dir(&obstacle).is_err() {
                std::thread::yield_now();
            }
            return Ok(());
        }
        let mut ballast = File::create(&obstacle).context("filling the disk")?;
        while ballast.write_all(&[0; 1024]).is_ok() {}
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        let obstacle = self.obstacle();
        let removed = if self.mounted {
            fs::remove_file(&obstacle)
        } else {
            fs::remove_dir(&obstacle)
        };
        removed.context("making room")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            // The collector may hold a file open for a moment longer.
            Command::new("umount").arg("-l").arg(&self.dir).status().ok();
        }
    }
}

async fn full(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    stage.settings = stage
        .settings
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "200");
    let disk = SmallDisk::new(&stage.settings.data_dir(), 256)?;
    let mut collector = stage.start().await?;
    let mut kills = 0;
    let failing = |health: &Value| {
        let text = health.to_string();
        text.contains("checkpoint_write") || text.contains("schema_history_write")
    };
    let fillings = async {
        while storm.goes_on() {
            stage.workload.more(rng.u64(100..500)).await?;
            disk.fill()?;
            collector
                .wait_health("word of the full disk", READY, failing)
                .await?;
            stage.workload.more(rng.u64(100..500)).await?;
            if rng.u32(..3) == 0 {
                kills += 1;
                collector.kill9()?;
                collector = Collector::start(&stage.settings)?;
                collector
                    .wait_health("word of the full disk", READY, failing)
                    .await?;
            }
            let (file, offset) = stage.server.binlog_end().await?;
            disk.make_room()?;
            let saved = |health: &Value| stage::reaches(health, &file, offset);
            collector
                .wait_health("checkpoint after room was made", READY, saved)
                .await?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(fillings)).await?;
    let report = stage.settled(&mut collector).await?;
    let way = if disk.mounted {
        "a full tmpfs"
    } else {
        "a name that is taken"
    };
    collector.stop(STOPPED).await?;
    Ok(Outcome::exact(
        storm.blows,
        report,
        format!("{way}; {kills} kills"),
    ))
}

async fn letters(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    stage.settings = stage
        .settings
        .env("POISON_POLICY", "dead_letter")
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "200");
    stage.emulator.add_fault(Rule::on_put(Action::FailRecords {
        indexes: Vec::new(),
        contains: Some(REFUSED.to_owned()),
        code: "MalformedRecord".to_owned(),
        message: Some("malformed".to_owned()),
    }));
    let disk = SmallDisk::new(&stage.settings.data_dir(), 4_096)?;
    ensure!(disk.mounted, "a tmpfs cannot be mounted here");
    let mut collector = stage.start().await?;
    let mut kills = 0;
    let failing = |health: &Value| health.to_string().contains("dead_letter_write");
    let fillings = async {
        while storm.goes_on() {
            disk.fill()?;
            stage.workload.more(rng.u64(100..300)).await?;
            collector
                .wait_health("word of a letter that waits", READY, failing)
                .await?;
            if rng.u32(..3) == 0 {
                kills += 1;
                collector.kill9()?;
                collector = Collector::start(&stage.settings)?;
                collector
                    .wait_health("word of a letter that waits", READY, failing)
                    .await?;
            }
            let (file, offset) = stage.server.binlog_end().await?;
            disk.make_room()?;
            let saved = |health: &Value| stage::reaches(health, &file, offset);
            collector
                .wait_health("progress after room was made", READY, saved)
                .await?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(fillings)).await?;
    stage.emulator.clear_faults();
    let replay = ["dead-letters", "replay", "--all"];
    let replay = replay
        .iter()
        .fold(stage.settings.clone(), |settings, word| settings.arg(*word));
    let (status, out, err) = replay.run_to_end(READY).await?;
    ensure!(status.success(), "the letters were not replayed: {out}{err}");
    let report = stage.settled(&mut collector).await?;
    collector.stop(STOPPED).await?;
    let note = format!("{kills} kills; {}", out.trim().replace('\n', ", "));
    Ok(Outcome::exact(storm.blows, report, note))
}

/// Bytes of the log files.
fn logged(disk: &SmallDisk) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(&disk.dir)? {
        let entry = entry?;
        if entry.path() != disk.obstacle() {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

async fn logs(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    let dir = stage.settings.dir().join("small-logs");
    let disk = SmallDisk::new(&dir, 256)?;
    ensure!(disk.mounted, "a tmpfs cannot be mounted here");
    stage.settings = stage
        .settings
        .env("LOG_DIR", dir.display().to_string())
        .env("LOG_LEVEL", "debug");
    let mut collector = stage.start().await?;
    let mut kills = 0;
    let fillings = async {
        while storm.goes_on() {
            disk.fill()?;
            let before = logged(&disk)?;
            stage.workload.more(rng.u64(100..500)).await?;
            if rng.u32(..3) == 0 {
                kills += 1;
                collector.kill9()?;
                collector = stage.start().await?;
            }
            let (file, offset) = stage.server.binlog_end().await?;
            let there = |health: &Value| stage::reaches(health, &file, offset);
            collector
                .wait_health("progress beside a full log directory", READY, there)
                .await?;
            let more = logged(&disk)? - before;
            ensure!(more < LAST_PAGE, "{more} bytes were logged on a full disk");
            disk.make_room()?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(fillings)).await?;
    let report = stage.settled(&mut collector).await?;
    collector.stop(STOPPED).await?;
    ensure!(logged(&disk)? > 0, "nothing was logged where there was room");
    Ok(Outcome::exact(storm.blows, report, format!("{kills} kills")))
}

/// Starts at the same time.
const AT_ONCE: usize = 4;

async fn truncated(terms: Terms) -> Result<Outcome> {
    let stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    let mut collector = stage.start().await?;
    stage.workload.run(500, |_| {}).await?;
    stage.caught_up(&mut collector).await?;
    collector.stop(STOPPED).await?;

    let (mut files, mut cuts) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(stage.settings.data_dir())? {
        let path = entry?.path();
        let code = match path.extension().and_then(|extension| extension.to_str()) {
            Some("checkpoint") => "checkpoint_corrupt",
            Some("schemas") => "schema_history_corrupt",
            _ => continue,
        };
        let bytes = fs::read(&path)?;
        let name = path.file_name().context("a name")?.to_owned();
        cuts.extend((0..bytes.len()).map(|length| (name.clone(), length, code)));
        files.push((name, bytes));
    }
    ensure!(files.len() == 2, "a checkpoint and a history were expected");
    let all = cuts.len();
    terms.rng().shuffle(&mut cuts);
    cuts.truncate(usize::try_from(terms.blows).unwrap_or(usize::MAX));

    let until = Instant::now() + terms.time;
    let (mut waiting, mut running, mut tried) = (cuts.into_iter(), JoinSet::new(), 0);
    loop {
        while running.len() < AT_ONCE
            && (tried == 0 || Instant::now() < until)
            && let Some((name, length, code)) = waiting.next()
        {
            tried += 1;
            let settings =
                stage::settings(&terms.binary, stage.server.address(), &stage.emulator.endpoint())?;
            let dir = settings.data_dir();
            fs::create_dir_all(&dir)?;
            for (file, bytes) in &files {
                let kept = if *file == name {
                    bytes.get(..length)
                } else {
                    Some(bytes.as_slice())
                };
                fs::write(dir.join(file), kept.unwrap_or_default())?;
            }
            running.spawn(async move {
                let refused = refused(settings, code).await;
                refused.with_context(|| format!("{} cut at byte {length}", name.display()))
            });
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        ended.context("a start panicked")??;
    }
    // The uncut files are good.
    let mut collector = stage.start().await?;
    stage.workload.run(200, |_| {}).await?;
    let report = stage.settled(&mut collector).await?;
    Ok(Outcome::exact(tried, report, format!("{tried} of {all} lengths")))
}

/// A start that has to end with this code.
async fn refused(settings: Settings, code: &str) -> Result<()> {
    let settings = settings.env("EXIT_ON_HALT", "true");
    let (status, stdout, stderr) = settings.run_to_end(READY + Duration::from_secs(30)).await?;
    if status.code() != Some(1) || !stdout.contains(code) {
        bail!("ended with {status} and without {code}\n{stdout}{stderr}");
    }
    Ok(())
}

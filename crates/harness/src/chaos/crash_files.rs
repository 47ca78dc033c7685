//! kill -9 at every operation of a run on the files of its data directory.
//!
//! A library before the C library's own numbers the operations and kills at one of them: a tracer would count each
//! thread's alone, and the collector writes its files from whichever thread is free.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use datahub_emulator::{Action, Emulator, Rule, When};

use super::crash_points::{Binlog, Deaths, FIRST_SERVER_ID, each};
use super::{MYSQL, Outcome, Scenario, Terms};
use crate::collector::{Collector, Settings};
use crate::oracle::Report;
use crate::servers::Options;
use crate::stage::{self, READY, Stage};
use crate::workload::Plan;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "crash-points-files",
    proves: "there is no operation on a file in DATA_DIR before, after or, where it writes, amid which a death loses or \
             repeats anything: each is tried, not sampled.",
    steps: "one binlog of 6,000 changes and 20 ALTER TABLE, relayed anew for each point in batches of 30; at the n-th \
            mkdir, open for writing, write, truncation, fsync (of the directory too), rename or unlink below DATA_DIR the \
            collector kills itself by SIGKILL, before it or behind half of what it writes; the volume is kept or lost, a \
            successor relays the rest; for every n of an undisturbed run, several at once, in an order from the seed. A \
            death behind an operation leaves what one before the next leaves.",
    needs: "MySQL; a C compiler; a collector that is linked with the machine's C library.",
    servers: MYSQL,
    run: |terms| Box::pin(every_operation(terms)),
}];

/// What the collector is made to load.
const SOURCE: &str = include_str!("crash_files/interpose.c");

/// Parts of the binlog, with a definition changed between them: each is written down.
const PARTS: u64 = 20;
/// Changes in a part: far more in all than what is read ahead of the puts, so that the definitions are not all read at
/// once.
const CHANGES: u64 = 300;
/// Records of a batch: some two hundred batches a run.
const BATCH: u64 = 30;
/// How long the service takes for a put: a run is to last for some checkpoints.
const PUT: Duration = Duration::from_millis(100);

/// Where a collector dies.
#[derive(Clone, Copy, Debug)]
struct Point {
    operation: usize,
    half: bool,
    volume_lost: bool,
}

/// The runs, and the library that ends them.
struct Deadly {
    binlog: Binlog,
    library: PathBuf,
    _dir: tempfile::TempDir,
}

async fn every_operation(terms: Terms) -> Result<Outcome> {
    let dir = tempfile::tempdir().context("creating a directory")?;
    let library = compile(dir.path())?;
    let plan = Plan {
        pause: Duration::ZERO,
        ..terms.plan()
    };
    let stage = Stage::new(&terms.binary, terms.server, Options::default(), plan, 3).await?;
    stage
        .server
        .execute(&["CREATE TABLE altered (id INT PRIMARY KEY)"])
        .await?;
    for part in 0..PARTS {
        stage.workload.run(CHANGES, |_| {}).await?;
        let alter = format!("ALTER TABLE altered ADD COLUMN c{part} INT");
        stage.server.execute(&[&alter]).await?;
    }
    let deadly = Arc::new(Deadly {
        binlog: Binlog::of(stage, terms).await?,
        library,
        _dir: dir,
    });

    let operations = deadly.undisturbed().await?;
    let mut points = Vec::new();
    for (operation, line) in (1..).zip(&operations) {
        for volume_lost in [false, true] {
            let before = Point {
                operation,
                half: false,
                volume_lost,
            };
            points.push(before);
            if kind(line) == "write" {
                points.push(Point { half: true, ..before });
            }
        }
    }
    let all = points.len();
    let deaths = each(&deadly.binlog.terms, points, |point, server_id| {
        let deadly = Arc::clone(&deadly);
        async move { deadly.dies_at(point, server_id).await }
    })
    .await?;
    let Deaths { tried, beyond, total } = deaths;
    let note = format!(
        "{tried} of {all} points ({}), {beyond} not reached",
        kinds(&operations)
    );
    Ok(Outcome::exact(tried - beyond, total, note))
}

fn compile(dir: &Path) -> Result<PathBuf> {
    let (source, library) = (dir.join("interpose.c"), dir.join("interpose.so"));
    fs::write(&source, SOURCE).context("writing the library's source")?;
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .context("running cc")?;
    let said = String::from_utf8_lossy(&compiled.stderr);
    ensure!(compiled.status.success(), "cc: {said}");
    Ok(library)
}

/// The second word of a line of the library's log.
fn kind(line: &str) -> &str {
    line.split(' ').nth(1).unwrap_or_default()
}

/// How many operations of each kind there are.
fn kinds(operations: &[String]) -> String {
    let mut kinds: Vec<&str> = operations.iter().map(|line| kind(line)).collect();
    kinds.sort_unstable();
    let runs = kinds.chunk_by(|one, other| one == other);
    let counted = runs.filter_map(|run| Some(format!("{} {}", run.len(), run.first()?)));
    counted.collect::<Vec<_>>().join(", ")
}

/// A line for each operation that was begun.
fn operations(log: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// One run: its topic, its settings without the library, with it, and the library's log.
struct Run {
    emulator: Emulator,
    settings: Settings,
    numbered: Settings,
    log: PathBuf,
}

impl Deadly {
    async fn run(&self, server_id: u64) -> Result<Run> {
        let (emulator, settings) = self.binlog.collector(server_id).await?;
        emulator.add_fault(Rule::on_put(Action::Delay {
            ms: u64::try_from(PUT.as_millis()).unwrap_or(u64::MAX),
            when: When::Before,
        }));
        // The directory inside is the collector's own to make.
        let dir = settings.data_dir().join("own").display().to_string();
        let settings = settings
            .env("DATA_DIR", &dir)
            .env("BATCH_MAX_RECORDS", BATCH.to_string())
            .env("BATCH_MAX_BYTES", "64k");
        let log = settings.dir().join("operations.txt");
        let numbered = settings
            .clone()
            .env("LD_PRELOAD", self.library.display().to_string())
            .env("CHAOS_DIR", dir)
            .env("CHAOS_LOG", log.display().to_string());
        Ok(Run {
            emulator,
            settings,
            numbered,
            log,
        })
    }

    /// The operations of a run in which nothing happens.
    async fn undisturbed(&self) -> Result<Vec<String>> {
        let run = self.run(FIRST_SERVER_ID).await?;
        let mut collector = Collector::start_ready(&run.numbered, READY).await?;
        let report = self.binlog.settled(&run.emulator, &mut collector).await?;
        ensure!(report.is_exact(), "an undisturbed run is not exact\n{report}");
        let operations = operations(&run.log)?;
        ensure!(
            !operations.is_empty(),
            "the collector's operations are not seen: is it linked statically?"
        );
        Ok(operations)
    }

    /// A run that ends at this point, and its successor; `None` if it was over before it came to it.
    async fn dies_at(&self, point: Point, server_id: u64) -> Result<Option<Report>> {
        let run = self.run(server_id).await?;
        let mut numbered = run.numbered.env("CHAOS_AT", point.operation.to_string());
        if point.half {
            numbered = numbered.env("CHAOS_HALF", "1");
        }
        let (file, offset) = self.binlog.stage.server.binlog_end().await?;
        let mut collector = Collector::start(&numbered)?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = collector.exited()? {
                break status;
            }
            let health = collector.health().await.unwrap_or_default();
            if stage::is_at(&health, &file, offset) {
                return Ok(None);
            }
            if begun.elapsed() > READY {
                bail!(
                    "neither dead nor at the end: {health}\n{}",
                    collector.output().tail()
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let done = operations(&run.log)?;
        ensure!(
            status.signal() == Some(9) && done.len() == point.operation,
            "ended with {status} at operation {}\n{}",
            done.len(),
            collector.output().tail()
        );
        if point.volume_lost {
            fs::remove_dir_all(run.settings.data_dir()).context("losing the volume")?;
        }
        run.emulator.clear_faults();
        let mut successor = Collector::start(&run.settings)?;
        let report = self.binlog.settled(&run.emulator, &mut successor).await?;
        ensure!(
            report.is_exact(),
            "{:?}\n{report}\n{}",
            done.last(),
            successor.output().tail()
        );
        Ok(Some(report))
    }
}

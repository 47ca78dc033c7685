//! Shows the whole thing on one machine: a real MariaDB, a local DataHub, the collector as its users configure it,
//! a workload, and a verdict from an oracle that shares no code with the collector.
//!
//! Started by `scripts/demo.sh`, which installs and builds. Everything that is started here ends with it, however it
//! ends: children are killed by process id when their handles are dropped, and by their guards should we be killed.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use datahub_emulator::{Emulator, Options as Service, TopicSpec};
use harness::collector::{Collector, Settings, binary_beside_us};
use harness::figures::Grouped;
use harness::oracle::{DatabaseRows, Report, check_topic};
use harness::ports::free_port;
use harness::servers::{MariaDb, Options, RELAY, SCHEMA, Server};
use harness::workload::{Plan, Workload};
use tokio::signal::unix::{SignalKind, signal};

mod progress;
mod samples;
mod summary;

use progress::Progress;
use summary::Summary;

const PROJECT: &str = "realtime_pipeline";
const TOPIC: &str = "cdc_events";
const ACCESS_ID: &str = "demo-id";
const ACCESS_KEY: &str = "demo-key";
const SHARDS: u32 = 3;

/// Pause of each of the four writers that makes about 200 transactions a second of all of them.
const PACED: Duration = Duration::from_millis(19);
/// Row changes of the paced phase for each of the burst, and their limits: some seconds, whatever the burst.
const PACED_SHARE: u64 = 20;
const PACED_CHANGES: std::ops::RangeInclusive<u64> = 2_000..=12_000;
/// Longest wait for the collector to become ready, and to catch up with what is committed.
const READY: Duration = Duration::from_secs(30);
const ARRIVED: Duration = Duration::from_secs(120);
/// Longest wait for a clean stop.
const STOPPED: Duration = Duration::from_secs(30);

/// Relays a workload from a real MariaDB to a local DataHub, and says whether everything arrived.
#[derive(Parser)]
struct Flags {
    /// Row changes to relay at full speed.
    #[arg(long)]
    rows: Option<u64>,
    /// Leave everything running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// Row changes that take about 20 s on two processors, which the database has to share with everything else.
const USUAL_ROWS: u64 = 350_000;

#[tokio::main]
async fn main() -> ExitCode {
    match demo(&Flags::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The whole demo; says whether the oracle agrees and all ended well.
async fn demo(flags: &Flags) -> Result<bool> {
    let (mut stage, exact) = or_interrupted(show(flags)).await?;
    if flags.keep {
        wait(&mut stage).await?;
    }
    let clean = or_interrupted(stage.stop()).await?;
    Ok(exact && clean)
}

/// Drops the work on Ctrl-C or SIGTERM, and with it every child.
async fn or_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        asked = asked_to_stop() => asked.and_then(|()| bail!("interrupted; everything is stopped")),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn asked_to_stop() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Row changes to relay at full speed: the flag, else `DEMO_ROWS`, else the usual number.
fn rows(flags: &Flags) -> Result<u64> {
    match (flags.rows, std::env::var("DEMO_ROWS")) {
        (Some(rows), _) => Ok(rows),
        (None, Ok(text)) if !text.is_empty() => text
            .parse()
            .with_context(|| format!("DEMO_ROWS is {text:?}, not a number")),
        (None, _) => Ok(USUAL_ROWS),
    }
}

/// What runs.
struct Stage {
    server: Server,
    emulator: Emulator,
    collector: Collector,
    workload: Workload,
}

/// Everything up to the curl lines; says whether the oracle agrees.
async fn show(flags: &Flags) -> Result<(Stage, bool)> {
    let rows = rows(flags)?;
    let stage = set_up().await?;

    let paced = (rows / PACED_SHARE).clamp(*PACED_CHANGES.start(), *PACED_CHANGES.end());
    println!("\nworkload: inserts, updates and deletes by 4 writers, every version of every row checked");
    phase(&stage, "200 tx/s", paced, PACED).await?;
    // Before the burst: these are the latencies of a database that is not overrun.
    let latency = stage.check(None)?.latency();
    let (changes, took) = phase(&stage, "full speed", rows, Duration::ZERO).await?;

    println!("  comparing every record with what was committed, and the rows they leave with the database's");
    let mut conn = stage.server.connect().await?;
    let database = DatabaseRows::read(&mut conn, SCHEMA).await?;
    conn.disconnect().await?;
    let report = stage.check(Some(&database))?;
    let memory = stage.collector.rss_bytes()?;
    println!(
        "\n{}",
        Summary {
            report: &report,
            changes,
            took,
            latency,
            memory
        }
    );
    for example in &report.examples {
        println!("  {example}");
    }
    samples::print(&stage.emulator, PROJECT, TOPIC)?;
    look(&stage, flags.keep)?;
    let exact = report.is_exact();
    Ok((stage, exact))
}

/// Starts a database, a DataHub and the collector between them, and says how.
async fn set_up() -> Result<Stage> {
    let server = MariaDb::start(Options::default()).await?;
    let version: Vec<String> = server.query("SELECT VERSION()").await?;
    let version = version.first().map(String::as_str).unwrap_or_default();
    println!("database   MariaDB {version} on {}", server.address());
    let plan = Plan {
        max_rows: 200,
        ..Plan::default()
    };
    let workload = Workload::new(server.opts(server.admin()), SCHEMA, plan).await?;

    let service = Service {
        listen: ([127, 0, 0, 1], free_port()?).into(),
        access_id: ACCESS_ID.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        create: vec![TopicSpec::blob(PROJECT, TOPIC, SHARDS)],
        ..Service::default()
    };
    let emulator = Emulator::start(service).await.context("starting the emulator")?;
    println!(
        "DataHub    a local emulator on {}, topic {TOPIC} with {SHARDS} shards",
        emulator.addr()
    );

    let binary = binary_beside_us()?;
    let mut settings = Settings::new(&binary)?;
    let environment = [
        ("DATABASE_HOST", server.address().ip().to_string()),
        ("DATABASE_PORT", server.port().to_string()),
        ("DATABASE_USERNAME", RELAY.user.to_owned()),
        ("DATABASE_PASSWORD", RELAY.password.to_owned()),
        ("DATABASE_SCHEMA", SCHEMA.to_owned()),
        ("DATABASE_TABLES", "*".to_owned()),
        ("DATAHUB_ENDPOINT", emulator.endpoint()),
        ("DATAHUB_ACCESS_ID", ACCESS_ID.to_owned()),
        ("DATAHUB_ACCESS_KEY", ACCESS_KEY.to_owned()),
        ("DATAHUB_PROJECT", PROJECT.to_owned()),
        ("DATAHUB_TOPIC", TOPIC.to_owned()),
        ("MONITORING_PORT", settings.port().to_string()),
    ];
    let mut command = String::new();
    for (name, value) in environment {
        let quoted = if value.contains('*') {
            format!("'{value}'")
        } else {
            value.clone()
        };
        command.push_str(&format!("\n    {name}={quoted} \\"));
        settings = settings.env(name, value);
    }
    println!("collector {command}\n    {}", binary.display());
    let collector = Collector::start_ready(&settings, READY).await?;
    Ok(Stage {
        server,
        emulator,
        collector,
        workload,
    })
}

impl Stage {
    /// What the oracle says of everything committed so far.
    fn check(&self, rows: Option<&DatabaseRows>) -> Result<Report> {
        check_topic(&self.emulator, PROJECT, TOPIC, &self.workload.log(), rows)
    }

    /// Stops everything in the order of the flow; says whether the collector ended as it should.
    async fn stop(mut self) -> Result<bool> {
        let status = self.collector.stop(STOPPED).await?;
        let complaints = self.collector.output().warnings(&[]);
        for line in &complaints {
            println!("the collector complained: {line}");
        }
        if !status.success() {
            println!("the collector ended with {status}");
        }
        self.emulator.stop().await;
        self.server.stop().await?;
        Ok(status.success() && complaints.is_empty())
    }
}

/// Makes so many changes and waits until they are in the topic; returns how many they were and how long it took.
async fn phase(stage: &Stage, name: &str, changes: u64, pause: Duration) -> Result<(u64, Duration)> {
    let already = stage.workload.log().totals().changes;
    let workload = stage.workload.with_pause(pause);
    let mut progress = Progress::new(name, changes);
    let arrived = || {
        stage
            .emulator
            .count(PROJECT, TOPIC)
            .map(|count| count.saturating_sub(already))
    };
    let work = workload.run(changes, |_| {});
    tokio::pin!(work);
    loop {
        let tick = tokio::time::sleep(progress::EVERY);
        tokio::select! {
            done = &mut work => break done?,
            () = tick => progress.show(arrived()?),
        }
    }
    let total = stage.workload.log().totals().changes;
    let arriving = stage.emulator.wait_for_records(PROJECT, TOPIC, total, ARRIVED);
    tokio::pin!(arriving);
    loop {
        let tick = tokio::time::sleep(progress::EVERY);
        tokio::select! {
            // Records that never come are the oracle's business.
            _ = &mut arriving => break,
            () = tick => progress.show(arrived()?),
        }
    }
    Ok((total - already, progress.finish(arrived()?)))
}

/// How to look at what runs.
fn look(stage: &Stage, kept: bool) -> Result<()> {
    let port = stage.collector.port();
    let emulator = stage.emulator.endpoint();
    println!(
        "{}",
        if kept {
            "\nlook around"
        } else {
            "\nlook around (with --keep, which leaves everything running)"
        }
    );
    println!("  curl -s 127.0.0.1:{port}/health");
    println!("  curl -s 127.0.0.1:{port}/metrics | grep ^cdc_rows");
    println!("  curl -s '{emulator}/_emulator/topics/{PROJECT}/{TOPIC}/records?shard=0&limit=1'");
    if kept {
        let (login, port) = (stage.server.admin(), stage.server.port());
        println!(
            "  mariadb -h 127.0.0.1 -P {port} -u {} -p{} {SCHEMA}",
            login.user, login.password
        );
        println!(
            "\nrunning: mariadbd (process {}), cdc-collector (process {}), emulator (in this process); Ctrl-C stops all",
            stage.server.pid()?,
            stage.collector.pid()
        );
    }
    Ok(())
}

/// Waits until somebody presses Ctrl-C or the collector ends.
async fn wait(stage: &mut Stage) -> Result<()> {
    tokio::select! {
        asked = asked_to_stop() => asked?,
        ended = stage.collector.wait_exit(Duration::from_secs(u64::from(u32::MAX))) => {
            bail!("the collector ended by itself: {}\n{}", ended?, stage.collector.output().tail());
        }
    }
    println!("\nstopping");
    Ok(())
}

/// Rows as people read them.
fn grouped(number: u64) -> String {
    Grouped(number).to_string()
}

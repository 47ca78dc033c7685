//! One measurement each: the baseline, the collector under load, the collector with nothing to do.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use harness::collector::{Collector, Settings};
use harness::process::{Process, cpu_time};
use harness::servers::{MySql, Options, RELAY, SCHEMA, Server, deps_dir};

use crate::Bench;

const PROJECT: &str = "realtime_pipeline";
const TOPIC: &str = "cdc_events";
const ACCESS_ID: &str = "bench-id";
const ACCESS_KEY: &str = "bench-key";
/// Longest wait for one run: the slowest load and codec on a busy machine take a tenth of it.
const PATIENCE: Duration = Duration::from_secs(600);
/// Shortest and longest time between two questions how far the collector is. Its answers cost what is measured, so it
/// is asked seldom until the end is near.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
/// Heartbeats, one a second, after which the idle figures are taken.
const IDLE_HEARTBEATS: f64 = 3.0;

/// What one run showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// How long the baseline took.
    pub(crate) baseline: Duration,
    /// From the start of the process until every row was acknowledged.
    pub(crate) wall: Duration,
    /// Processor time of the collector, user and system.
    pub(crate) cpu: Duration,
    /// `VmHWM`, bytes.
    pub(crate) peak: u64,
    /// From the start of the process until `/health/ready` answered 200.
    pub(crate) ready: Duration,
}

/// What a collector with nothing to do showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    pub(crate) ready: Duration,
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

/// A null sink in a process of its own.
struct Sink {
    _process: Process,
    endpoint: String,
}

impl Sink {
    fn start(bench: &Bench) -> Result<Sink> {
        let mut command = Command::new(&bench.emulator);
        command
            .args(["--null", "--create", "--project", PROJECT, "--topic", TOPIC])
            .args(["--shards", &bench.shards.to_string()])
            .args(["--access-id", ACCESS_ID, "--access-key", ACCESS_KEY])
            .stdout(Stdio::piped());
        let mut process = Process::spawn("datahub-emulator", command, None)?;
        let stdout = process.take_stdout().context("stdout was not piped")?;
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("reading the emulator's address")?;
        let endpoint = line.trim().strip_prefix("listening on ");
        let endpoint = endpoint
            .with_context(|| format!("the emulator said {line:?}"))?
            .to_owned();
        Ok(Sink {
            _process: process,
            endpoint,
        })
    }
}

fn settings(bench: &Bench, server: &Server, sink: &Sink) -> Result<Settings> {
    let mut settings = Settings::new(&bench.collector)?
        .database(server.address(), RELAY, SCHEMA)
        .datahub(&sink.endpoint, ACCESS_ID, ACCESS_KEY)
        .topic(PROJECT, TOPIC)
        .env("DATAHUB_COMPRESSION", bench.codec)
        // The server may not have noticed yet that the collector of the run before is gone.
        .env("DATABASE_SERVER_ID", fastrand::u32(2..).to_string());
    for (name, value) in &bench.env {
        settings = settings.env(name, value);
    }
    Ok(settings)
}

/// Reads the whole binlog as the server's own tool does, and writes it to a file.
pub(crate) async fn baseline(bench: &Bench) -> Result<Duration> {
    let dir = tempfile::tempdir().context("creating a directory")?;
    let mut command = mysqlbinlog()?;
    command
        .args([
            "--read-from-remote-server",
            "--raw",
            "--to-last-log",
            "--host=127.0.0.1",
        ])
        .arg(format!("--port={}", bench.server.port()))
        .args([
            format!("--user={}", RELAY.user),
            format!("--password={}", RELAY.password),
        ])
        .args(["--connection-server-id=4711", "binlog.000001"])
        .arg(format!("--result-file={}/", dir.path().display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let begun = Instant::now();
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("running mysqlbinlog")?;
    let took = begun.elapsed();
    if !output.status.success() {
        bail!("mysqlbinlog failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(took)
}

/// `mysqlbinlog` of the unpacked server, else the machine's own.
fn mysqlbinlog() -> Result<Command> {
    let root = deps_dir().join("sid");
    let tool = root.join("usr/bin/mysqlbinlog");
    if !tool.is_file() {
        return Ok(Command::new("mysqlbinlog"));
    }
    let mut libraries = std::fs::read_dir(root.join("usr/lib"))?.filter_map(|entry| Some(entry.ok()?.path()));
    let found = libraries.find_map(|dir| {
        let loader = std::fs::read_dir(&dir)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("ld-linux-"))
            })?;
        Some((loader, dir))
    });
    let (loader, dir) = found.with_context(|| format!("no loader under {}", root.display()))?;
    let mut command = Command::new(loader);
    command
        .arg("--library-path")
        .arg(dir)
        .arg(tool)
        .arg("--no-defaults");
    Ok(command)
}

/// Relays the whole binlog into the null sink.
pub(crate) async fn relay(bench: &Bench) -> Result<Run> {
    let sink = Sink::start(bench)?;
    let settings = settings(bench, &bench.server, &sink)?.env("START_POSITION", "earliest");
    let begun = Instant::now();
    let mut collector = Collector::start(&settings)?;
    if bench.hold {
        eprintln!("collector: process {}", collector.pid());
    }
    let ready = collector.wait_ready(PATIENCE).await?;
    loop {
        let acked = collector.metrics().await?.count("cdc_rows_acked_total");
        if acked >= bench.rows {
            break;
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "{acked} of {} rows within {PATIENCE:?}\n{}",
                bench.rows,
                collector.output().tail()
            );
        }
        tokio::time::sleep(until_next_look(begun.elapsed(), acked, bench.rows)).await;
    }
    let wall = begun.elapsed();
    let (cpu, memory) = (cpu_time(collector.pid())?, collector.rss_bytes()?);
    if bench.hold {
        eprintln!("press Enter to go on");
        std::io::stdin().read_line(&mut String::new())?;
    }
    let metrics = collector.metrics().await?;
    let acked = metrics.count("cdc_rows_acked_total");
    if acked != bench.rows || metrics.sum("cdc_conservation_error_rows") != Some(0.0) {
        bail!("{acked} rows acknowledged, {} were committed", bench.rows);
    }
    collector.stop(PATIENCE).await?;
    collector.expect_no_unexpected_warnings(&[])?;
    Ok(Run {
        baseline: Duration::ZERO,
        wall,
        cpu,
        peak: memory.peak,
        ready,
    })
}

/// Half of the time that the rest will take at the pace so far.
fn until_next_look(elapsed: Duration, acked: u64, rows: u64) -> Duration {
    let (shortest, longest) = LOOK_EVERY;
    if acked == 0 {
        return shortest;
    }
    let rest = rows.saturating_sub(acked) as f64 / acked as f64;
    let wait = (elapsed.as_secs_f64() * rest / 2.0).min(longest.as_secs_f64());
    Duration::from_secs_f64(wait).clamp(shortest, longest)
}

/// A start on a server without a row, and what it occupies after three heartbeats.
pub(crate) async fn idle(bench: &Bench) -> Result<Idle> {
    let mut server = MySql::start(Options::default()).await?;
    let sink = Sink::start(bench)?;
    let settings = settings(bench, &server, &sink)?.env("DATABASE_HEARTBEAT_SECONDS", "1");
    let mut collector = Collector::start(&settings)?;
    let ready = collector.wait_ready(PATIENCE).await?;
    let heartbeats = |metrics: &harness::collector::Metrics| {
        metrics
            .value("cdc_source_events_total", &[("type", "heartbeat")])
            .unwrap_or_default()
    };
    let first = heartbeats(&collector.metrics().await?);
    let begun = Instant::now();
    while heartbeats(&collector.metrics().await?) < first + IDLE_HEARTBEATS {
        if begun.elapsed() > PATIENCE {
            bail!("no heartbeats within {PATIENCE:?}\n{}", collector.output().tail());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let memory = collector.rss_bytes()?;
    collector.stop(PATIENCE).await?;
    server.stop().await?;
    Ok(Idle {
        ready,
        resident: memory.resident,
        peak: memory.peak,
    })
}

//! Measures the collector: a real MySQL with the load in its binlog, the release binary, a sink that keeps nothing.
//!
//! Every run measures the baseline as well, `mysqlbinlog --raw` reading the same binlog from the same server, so
//! that a ratio survives a noisy machine. Server, collector and sink share the machine's processors. The idle
//! figures come from a start of their own on a server where nothing happens.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use harness::servers::{MySql, Options, Server};

mod load;
mod run;
mod table;

use load::Load;
use run::{Run, baseline, idle, relay};

/// Measures rows per second, processor time and memory of the release build.
#[derive(Parser)]
struct Flags {
    /// What the binlog holds.
    #[arg(value_enum)]
    load: Load,
    /// Compression of requests.
    #[arg(long, value_enum, default_value_t = Codec::Lz4)]
    codec: Codec,
    /// Rows to insert, instead of the load's usual number.
    #[arg(long)]
    rows: Option<u64>,
    /// Runs; the figures are medians.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Shards of the topic.
    #[arg(long, default_value_t = 3)]
    shards: u32,
    /// One JSON object per run instead of a table.
    #[arg(long)]
    json: bool,
    /// More variables for the collector, NAME=VALUE.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Print the collector's process id, and leave it alive at the end until Enter is pressed.
    #[arg(long)]
    hold: bool,
}

/// Compression of requests.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Codec {
    None,
    Lz4,
    Deflate,
    Zstd,
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Lz4 => "lz4",
            Codec::Deflate => "deflate",
            Codec::Zstd => "zstd",
        }
    }
}

/// What every run needs to know.
struct Bench {
    server: Server,
    collector: PathBuf,
    emulator: PathBuf,
    codec: &'static str,
    shards: u32,
    env: Vec<(String, String)>,
    hold: bool,
    /// Row changes in the binlog.
    rows: u64,
    /// Bytes of binlog.
    bytes: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match bench(&Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(flags: &Flags) -> Result<()> {
    build()?;
    let mut env = Vec::new();
    for pair in &flags.env {
        let (name, value) = pair
            .split_once('=')
            .with_context(|| format!("{pair} is not NAME=VALUE"))?;
        env.push((name.to_owned(), value.to_owned()));
    }
    let collector = harness::collector::binary_beside_us()?;
    let emulator = collector.with_file_name("datahub-emulator");
    if !emulator.is_file() {
        bail!(
            "no datahub-emulator beside {}: run cargo build --release --workspace",
            collector.display()
        );
    }
    // One file for the whole load, as long as it fits.
    let server = MySql::start(Options::default().arg("--max-binlog-size=1G")).await?;
    let rows = flags.load.fill(&server, flags.rows).await?;
    let bytes = server.binlog_bytes()?;
    let codec = flags.codec.name();
    let bench = Bench {
        server,
        collector,
        emulator,
        codec,
        shards: flags.shards,
        env,
        hold: flags.hold,
        rows,
        bytes,
    };
    let name = flags.load.name();
    if !flags.json {
        table::title(name, &bench);
    }
    let mut runs: Vec<Run> = Vec::new();
    for number in 1..=flags.runs.max(1) {
        let baseline = baseline(&bench).await?;
        let measured = Run {
            baseline,
            ..relay(&bench).await?
        };
        if flags.json {
            println!("{}", table::json(name, number, &bench, &measured));
        } else {
            table::line(&number.to_string(), &bench, &measured);
        }
        runs.push(measured);
    }
    let idle = idle(&bench).await?;
    if flags.json {
        println!("{}", table::idle_json(&idle));
    } else {
        table::summary(&bench, &runs);
        table::idle(&idle);
    }
    Ok(())
}

/// Brings the binaries that are measured up to date: cargo builds only this one before it runs it.
fn build() -> Result<()> {
    if cfg!(debug_assertions) {
        bail!("this is not a release build: cargo run --release -p harness --bin bench");
    }
    let Some(cargo) = std::env::var_os("CARGO") else {
        return Ok(());
    };
    let status = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--workspace", "--bins"])
        .status()?;
    if !status.success() {
        bail!("the release build failed");
    }
    Ok(())
}

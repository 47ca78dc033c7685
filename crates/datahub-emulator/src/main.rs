//! The emulator as a program: flags in, one line with the address out, serves until a signal ends it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use datahub_emulator::{Clock, Emulator, NullSink, Options, TopicSpec};
use tokio::signal::unix::{SignalKind, signal};

/// A strict local DataHub for tests, demos and benchmarks. It keeps everything in memory.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The access id that is let in.
    #[arg(long, default_value = "emulator-id")]
    access_id: String,
    /// Its key.
    #[arg(long, default_value = "emulator-key")]
    access_key: String,
    /// Do not check signatures and clocks.
    #[arg(long)]
    no_verify: bool,
    /// Make the project and the topic at start.
    #[arg(long)]
    create: bool,
    /// Name of the project that --create makes.
    #[arg(long, default_value = "realtime-pipeline")]
    project: String,
    /// Name of the topic that --create makes.
    #[arg(long, default_value = "cdc-events")]
    topic: String,
    /// Shards of that topic.
    #[arg(long, default_value_t = 3)]
    shards: u32,
    /// Record schema of that topic, as JSON; a BLOB topic without.
    #[arg(long)]
    schema: Option<String>,
    /// Refuse names with `-`, as the naming rules say.
    #[arg(long)]
    strict_names: bool,
    /// Throw put records away: unread, or after counting them.
    #[arg(long, value_name = "MODE", num_args = 0..=1, default_missing_value = "skip", require_equals = true)]
    null: Option<Null>,
    /// The most bytes of payload that are kept.
    #[arg(long, default_value_t = 4 << 30)]
    max_bytes: u64,
    /// The largest request body in bytes, before compression.
    #[arg(long, default_value_t = 4 << 20)]
    max_body_bytes: usize,
    /// Milliseconds until a stored record can be read.
    #[arg(long, default_value_t = 0)]
    visibility_lag_ms: u64,
    /// Seconds by which the service's clock is ahead of the machine's; may be negative.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    clock_shift_s: i64,
    /// Milliseconds for which a new shard cannot be split or merged.
    #[arg(long, default_value_t = 5000)]
    shard_guard_ms: u64,
}

/// What a null sink does with a put.
#[derive(Clone, Copy, ValueEnum)]
enum Null {
    /// Nothing: its size is read off the headers.
    Skip,
    /// It is decompressed and its records are counted.
    Count,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("datahub-emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> std::io::Result<()> {
    let spec = TopicSpec {
        project: flags.project,
        topic: flags.topic,
        shards: flags.shards,
        schema: flags.schema,
    };
    let options = Options {
        listen: flags.listen,
        access_id: flags.access_id,
        access_key: flags.access_key,
        verify_signatures: !flags.no_verify,
        create: if flags.create { vec![spec] } else { Vec::new() },
        strict_names: flags.strict_names,
        null: match flags.null {
            None => NullSink::Off,
            Some(Null::Skip) => NullSink::Skip,
            Some(Null::Count) => NullSink::Count,
        },
        max_stored_bytes: flags.max_bytes,
        max_body_bytes: flags.max_body_bytes,
        visibility_lag: Duration::from_millis(flags.visibility_lag_ms),
        clock: if flags.clock_shift_s == 0 {
            Clock::System
        } else {
            Clock::Shifted(flags.clock_shift_s)
        },
        shard_guard: Duration::from_millis(flags.shard_guard_ms),
        ..Options::default()
    };
    // Before the line with the address: who reads it may send a signal at once.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let emulator = Emulator::start(options).await?;
    let mut out = std::io::stdout();
    writeln!(out, "listening on {}", emulator.endpoint())?;
    out.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.stop().await;
    Ok(())
}

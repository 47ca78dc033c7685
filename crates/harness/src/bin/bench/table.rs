//! How the figures are shown.

use std::time::Duration;

use harness::figures::{Grouped, median_and_spread, mib};
use serde_json::{Value, json};

use crate::Bench;
use crate::run::{Idle, Run};

/// A run's figures per row and byte, as they are quoted.
struct Figures {
    rows_per_second: f64,
    megabytes_per_second: f64,
    cpu_seconds_per_million: f64,
    peak_mib: f64,
    ready_ms: f64,
    /// Wall time relative to the baseline's: below 1 is faster.
    relative: f64,
}

impl Figures {
    fn of(bench: &Bench, run: &Run) -> Figures {
        let (rows, seconds) = (bench.rows as f64, run.wall.as_secs_f64());
        Figures {
            rows_per_second: rows / seconds,
            megabytes_per_second: bench.bytes as f64 / 1e6 / seconds,
            cpu_seconds_per_million: run.cpu.as_secs_f64() / rows * 1e6,
            peak_mib: mib(run.peak),
            ready_ms: millis(run.ready),
            relative: seconds / run.baseline.as_secs_f64(),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Load over the last minute: what else the machine was doing.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

pub(crate) fn title(load: &str, bench: &Bench) {
    println!(
        "{load}: {} row changes, {:.0} MB of binlog; {}, {} shards; {} processors, load {} before the first run",
        Grouped(bench.rows),
        bench.bytes as f64 / 1e6,
        bench.codec,
        bench.shards,
        std::thread::available_parallelism().map_or(0, usize::from),
        load_average(),
    );
    println!("run      rows/s    MB/s  CPU s/Mrow  peak MiB  ready ms  wall/mysqlbinlog");
}

pub(crate) fn line(name: &str, bench: &Bench, run: &Run) {
    print(name, &Figures::of(bench, run));
}

fn print(name: &str, figures: &Figures) {
    println!(
        "{name:<6}{:>9}  {:>6.0}  {:>10.2}  {:>8.1}  {:>8.0}  {:>16.2}",
        Grouped(figures.rows_per_second as u64),
        figures.megabytes_per_second,
        figures.cpu_seconds_per_million,
        figures.peak_mib,
        figures.ready_ms,
        figures.relative,
    );
}

/// The middle of all runs, and how far apart they are.
pub(crate) fn summary(bench: &Bench, runs: &[Run]) {
    let all: Vec<Figures> = runs.iter().map(|run| Figures::of(bench, run)).collect();
    let over = |pick: fn(&Figures) -> f64| {
        let figures: Vec<f64> = all.iter().map(pick).collect();
        median_and_spread(&figures).unwrap_or_default()
    };
    let columns = [
        over(|f| f.rows_per_second),
        over(|f| f.megabytes_per_second),
        over(|f| f.cpu_seconds_per_million),
        over(|f| f.peak_mib),
        over(|f| f.ready_ms),
        over(|f| f.relative),
    ];
    for (name, column) in [
        ("median", columns.map(|(median, _)| median)),
        ("spread", columns.map(|(_, spread)| spread)),
    ] {
        let [
            rows_per_second,
            megabytes_per_second,
            cpu_seconds_per_million,
            peak_mib,
            ready_ms,
            relative,
        ] = column;
        print(
            name,
            &Figures {
                rows_per_second,
                megabytes_per_second,
                cpu_seconds_per_million,
                peak_mib,
                ready_ms,
                relative,
            },
        );
    }
}

pub(crate) fn idle(idle: &Idle) {
    println!(
        "idle: {:.1} MiB resident after three heartbeats (peak {:.1}), ready {:.0} ms after its start",
        mib(idle.resident),
        mib(idle.peak),
        millis(idle.ready),
    );
}

pub(crate) fn json(load: &str, number: u32, bench: &Bench, run: &Run) -> Value {
    let figures = Figures::of(bench, run);
    json!({
        "load": load, "run": number, "codec": bench.codec, "shards": bench.shards,
        "rows": bench.rows, "binlog_bytes": bench.bytes,
        "wall_seconds": run.wall.as_secs_f64(), "baseline_seconds": run.baseline.as_secs_f64(),
        "rows_per_second": figures.rows_per_second, "megabytes_per_second": figures.megabytes_per_second,
        "cpu_seconds_per_million_rows": figures.cpu_seconds_per_million,
        "peak_rss_bytes": run.peak, "ready_seconds": run.ready.as_secs_f64(),
        "wall_relative_to_baseline": figures.relative, "load_average": load_average(),
    })
}

pub(crate) fn idle_json(idle: &Idle) -> Value {
    json!({
        "load": "idle", "rss_bytes": idle.resident, "peak_rss_bytes": idle.peak,
        "ready_seconds": idle.ready.as_secs_f64(), "load_average": load_average(),
    })
}

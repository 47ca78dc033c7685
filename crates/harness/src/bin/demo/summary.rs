//! The table at the end.

use std::fmt;
use std::time::Duration;

use harness::figures::mib;
use harness::latency;
use harness::oracle::Report;
use harness::process::Memory;

use crate::grouped;

/// What it shows.
pub(crate) struct Summary<'a> {
    pub(crate) report: &'a Report,
    /// Row changes of the burst, and how long they took.
    pub(crate) changes: u64,
    pub(crate) took: Duration,
    /// Of the paced phase.
    pub(crate) latency: Option<latency::Summary>,
    /// The collector's.
    pub(crate) memory: Memory,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            report,
            changes,
            took,
            latency,
            memory,
        } = self;
        let mut line = |name: &str, value: String, note: &str| {
            writeln!(f, "  {}", format!("{name:<24}{value:>18}   {note}").trim_end())
        };
        line("rows committed", grouped(report.committed), "")?;
        line("records delivered", grouped(report.records), "")?;
        let rate = *changes as f64 / took.as_secs_f64();
        line(
            "rows per second",
            grouped(rate as u64),
            "at full speed, database and workload on the same machine",
        )?;
        if let Some(latency) = latency {
            let value = format!("{} / {} ms", millis(latency.p50), millis(latency.p99));
            line("commit to acknowledged", value, "p50 / p99 at 200 transactions/s")?;
        }
        let (now, peak) = (mib(memory.resident), mib(memory.peak));
        line(
            "collector memory",
            format!("{now:.1} MiB"),
            &format!("at most {peak:.1} MiB"),
        )?;
        line("lost", grouped(report.lost), "")?;
        line("repeated", grouped(report.repeated()), "")?;
        line("out of order", grouped(report.out_of_order), "")?;
        line(
            "wrong content",
            grouped(report.wrong_content + report.foreign),
            "",
        )?;
        let rows = report.final_rows.unwrap_or_default();
        line(
            "final rows that differ",
            grouped(report.final_differs),
            &format!("of {} in the database", grouped(rows)),
        )?;
        let verdict = if report.is_exact() {
            "everything arrived once, in order"
        } else {
            "NOT what was committed"
        };
        write!(f, "  {verdict}")
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}

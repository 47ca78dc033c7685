//! Logs and metrics: the set-up of both.
//!
//! Logs go to standard output and, if asked for, to daily files. Both are written by threads of their own
//! through bounded queues: a stuck pipe or a full disk loses lines, which are counted, and never stops the relay.
//! Messages of our own crate follow `LOG_LEVEL`; libraries stay at WARN. Metrics live in one recorder, whose
//! text form [`Metrics::render`] gives.

pub mod metric;
mod process;

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use metrics::gauge;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, Registry};

use crate::config::{LogFormat, LoggingConfig};
use metric::{METRICS, Shape, label};

/// The package version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from, if the build said so.
pub const COMMIT: &str = match option_env!("CDC_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// Lines that may wait for a slow disk or pipe before further ones are dropped and counted.
const WAITING_LINES: usize = 16_384;

/// Daily files that are kept.
const KEPT_FILES: usize = 14;

/// What has to live as long as the process: dropping it writes the lines that still wait.
#[derive(Debug)]
pub struct Telemetry {
    /// The recorder's reader, for the HTTP side.
    pub metrics: Metrics,
    /// What went wrong without stopping the start, each one sentence. Already logged.
    pub warnings: Vec<String>,
    _guards: Vec<WorkerGuard>,
}

/// The metrics of this process, to be read and to be kept tidy.
#[derive(Clone, Debug)]
pub struct Metrics {
    handle: PrometheusHandle,
    dropped: Vec<ErrorCounter>,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Another subscriber is there already.
    #[error("logs cannot be set up: {0}")]
    Logs(#[from] tracing_subscriber::util::TryInitError),
    /// Another recorder is there already.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] BuildError),
}

/// Sets up logs and metrics for the whole process, once.
///
/// # Errors
/// Something else in the process has set up its own.
pub fn init(config: &LoggingConfig) -> Result<Telemetry, TelemetryError> {
    let mut guards = Vec::new();
    let mut dropped = Vec::new();
    let mut warnings = Vec::new();
    let mut queue = |writer: NonBlocking, guard| {
        dropped.push(writer.error_counter());
        guards.push(guard);
        writer
    };
    let (stdout, guard) = queued("log-stdout", io::stdout());
    let stdout = queue(stdout, guard);
    let files = config.dir.as_deref().and_then(|dir| match open_files(dir) {
        Ok(files) => {
            let (files, guard) = queued("log-files", Watched::new(files));
            Some(queue(files, guard))
        }
        Err(error) => {
            warnings.push(format!(
                "no log files are written, because {} is not usable: {error}",
                dir.display()
            ));
            None
        }
    });
    let colours = io::stdout().is_terminal();
    let mut outputs = vec![output(config.format, colours, stdout)];
    outputs.extend(files.map(|files| output(config.format, false, files)));
    let levels = Targets::new()
        .with_default(LevelFilter::from_level(config.level).min(LevelFilter::WARN))
        .with_target("cdc_collector", config.level);
    tracing_subscriber::registry()
        .with(outputs)
        .with(levels)
        .try_init()?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let handle = builder()?.install_recorder()?;
    first_values();
    Ok(Telemetry {
        metrics: Metrics { handle, dropped },
        warnings,
        _guards: guards,
    })
}

impl Metrics {
    /// Metrics of a recorder that nothing writes to: for tests of what shows them.
    #[cfg(test)]
    pub(crate) fn unregistered() -> Self {
        Self {
            handle: PrometheusBuilder::new().build_recorder().handle(),
            dropped: Vec::new(),
        }
    }

    /// The Prometheus text of everything: ours, and what the kernel knows of the process.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        let dropped: usize = self.dropped.iter().map(ErrorCounter::dropped_lines).sum();
        process::counter(
            &mut text,
            "cdc_log_lines_dropped_total",
            "Log lines lost because standard output or the log disk was too slow.",
            u64::try_from(dropped).unwrap_or(u64::MAX),
        );
        text.push_str(&process::render());
        text
    }

    /// Drains what histograms have gathered; to be called every few seconds, or they grow.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn queued(name: &'static str, writer: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .lossy(true)
        .thread_name(name)
        .finish(writer)
}

fn open_files(dir: &Path) -> Result<RollingFileAppender, String> {
    // The appender's own error hides the cause; a missing directory is the usual one.
    std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("cdc-collector")
        .filename_suffix("log")
        .max_log_files(KEPT_FILES)
        .build(dir)
        .map_err(|error| match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })
}

/// One output in the chosen format.
fn output<W>(format: LogFormat, colours: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours)
        .with_target(false);
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_target(true).boxed(),
    }
}

/// Passes bytes on and says on standard error when they can no longer be written, and when they can again.
struct Watched<W> {
    inner: W,
    failing: bool,
}

impl<W: Write> Watched<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            failing: false,
        }
    }

    fn watch<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let failing = result.is_err();
        if failing != self.failing {
            self.failing = failing;
            let line = match &result {
                Err(error) => format!("log files cannot be written, the relay goes on: {error}"),
                Ok(_) => String::from("log files are written again"),
            };
            // If standard error is gone as well, nobody is left to be told.
            drop(writeln!(io::stderr(), "{line}"));
        }
        result
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        self.watch(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.watch(result)
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Shape::Histogram(buckets) = metric.shape {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    Ok(builder)
}

/// Describes every metric and shows those whose first value is known: a counter that has not counted is 0, which
/// a dashboard cannot tell from "missing" otherwise.
fn first_values() {
    metric::describe();
    gauge!(metric::BUILD_INFO, label::VERSION => VERSION, label::COMMIT => COMMIT).set(1.0);
    for name in [
        metric::SOURCE_BYTES_TOTAL,
        metric::ROWS_FILTERED_TOTAL,
        metric::ROWS_ACKED_TOTAL,
        metric::ROWS_SUPPRESSED_TOTAL,
        metric::ROWS_DEAD_LETTERED_TOTAL,
    ] {
        metrics::counter!(name).increment(0);
    }
    gauge!(metric::CONSERVATION_ERROR_ROWS).set(0.0);
    gauge!(metric::READY).set(0.0);
    gauge!(metric::ALARM).set(0.0);
}

#[cfg(test)]
mod tests;

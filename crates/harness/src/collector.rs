//! The collector itself, as an operator runs it: the real binary, environment variables, a port and a
//! directory.
//!
//! Its environment is empty but for what is set here, so that nothing of the machine leaks into a test.
//! Everything it prints is kept, in memory up to a bound and in files without one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::ports::free_port;
use crate::process::{self, Memory, Process, Signal};
use crate::servers::Login;

mod metrics;
mod output;

pub use metrics::{Labels, Metrics};
pub use output::Output;

/// How long one request to the monitoring port may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How to start a collector. Starting again with the same settings is a restart: same port, same directory,
/// and so the same checkpoint. Clones share the directory; it is removed with the last of them.
#[derive(Clone, Debug)]
pub struct Settings {
    binary: PathBuf,
    env: BTreeMap<String, String>,
    args: Vec<String>,
    port: u16,
    dir: Arc<tempfile::TempDir>,
}

impl Settings {
    /// Settings with a free monitoring port, a directory for data, and logs at INFO as text.
    pub fn new(binary: impl Into<PathBuf>) -> Result<Settings> {
        let dir = tempfile::Builder::new()
            .prefix("collector-")
            .tempdir()
            .context("creating a directory")?;
        let port = free_port()?;
        let settings = Settings {
            binary: binary.into(),
            env: BTreeMap::new(),
            args: Vec::new(),
            port,
            dir: Arc::new(dir),
        };
        let data = settings.data_dir().display().to_string();
        Ok(settings
            .env("MONITORING_PORT", port.to_string())
            .env("MONITORING_ADDRESS", "127.0.0.1")
            .env("DATA_DIR", data))
    }

    /// Another monitoring port than the free one that was chosen.
    #[must_use]
    pub fn on_port(mut self, port: u16) -> Settings {
        self.port = port;
        self.env("MONITORING_PORT", port.to_string())
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Settings {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves an environment variable unset.
    #[must_use]
    pub fn without(mut self, name: &str) -> Settings {
        self.env.remove(name);
        self
    }

    /// Adds a command-line argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Settings {
        self.args.push(argument.into());
        self
    }

    /// Where the database is (a server or a proxy before it), whom to log in as, and what to capture.
    #[must_use]
    pub fn database(self, address: SocketAddr, login: Login, schema: &str) -> Settings {
        self.env("DATABASE_HOST", address.ip().to_string())
            .env("DATABASE_PORT", address.port().to_string())
            .env("DATABASE_USERNAME", login.user)
            .env("DATABASE_PASSWORD", login.password)
            .env("DATABASE_SCHEMA", schema)
    }

    /// Where DataHub is (the emulator or a proxy before it), and the key pair.
    #[must_use]
    pub fn datahub(self, endpoint: &str, access_id: &str, access_key: &str) -> Settings {
        self.env("DATAHUB_ENDPOINT", endpoint)
            .env("DATAHUB_ACCESS_ID", access_id)
            .env("DATAHUB_ACCESS_KEY", access_key)
    }

    /// The project and the topic.
    #[must_use]
    pub fn topic(self, project: &str, topic: &str) -> Settings {
        self.env("DATAHUB_PROJECT", project).env("DATAHUB_TOPIC", topic)
    }

    /// The directory of the checkpoint; outlives a process, not the settings.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The working directory, where the output files are as well.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The monitoring port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a person would type to get the same.
    pub fn command_line(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{name}='{value}'"));
        let words = env
            .chain([self.binary.display().to_string()])
            .chain(self.args.iter().cloned());
        words.collect::<Vec<_>>().join(" ")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(&self.args)
            .current_dir(self.dir.path())
            .env_clear()
            .envs(&self.env);
        // A crash should say where.
        command.env("RUST_BACKTRACE", "1");
        command
    }

    /// Runs it to its end, as `check` or a start with a bad configuration does; gives exit status, stdout, stderr.
    pub async fn run_to_end(&self, timeout: Duration) -> Result<(ExitStatus, String, String)> {
        let mut collector = Collector::start(self)?;
        let status = collector.wait_exit(timeout).await?;
        Ok((status, collector.output.stdout(), collector.output.stderr()))
    }
}

/// A running collector; killed when dropped.
#[derive(Debug)]
pub struct Collector {
    process: Process,
    port: u16,
    output: Output,
    client: reqwest::Client,
    started: Instant,
    _dir: Arc<tempfile::TempDir>,
}

impl Collector {
    /// Starts it; does not wait for anything.
    pub fn start(settings: &Settings) -> Result<Collector> {
        std::fs::create_dir_all(settings.data_dir()).context("creating the data directory")?;
        let mut command = settings.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut process = Process::spawn("cdc-collector", command, None)?;
        let output = Output::capture(&mut process, settings.dir.path())?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(REQUEST_TIMEOUT)
            .build()?;
        let dir = Arc::clone(&settings.dir);
        Ok(Collector {
            process,
            port: settings.port,
            output,
            client,
            started,
            _dir: dir,
        })
    }

    /// Starts it and waits until it is ready.
    pub async fn start_ready(settings: &Settings, timeout: Duration) -> Result<Collector> {
        let mut collector = Collector::start(settings)?;
        collector.wait_ready(timeout).await?;
        Ok(collector)
    }

    /// Status and body of a monitoring endpoint, e.g. `/health/ready`.
    pub async fn get(&self, path: &str) -> Result<(u16, String)> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let response = self
            .client
            .get(&url)
            .send()
            .await
            .with_context(|| format!("asking {url}"))?;
        let status = response.status().as_u16();
        Ok((
            status,
            response.text().await.with_context(|| format!("reading {url}"))?,
        ))
    }

    /// The answer of `/health`.
    pub async fn health(&self) -> Result<Value> {
        let (_, body) = self.get("/health").await?;
        serde_json::from_str(&body).with_context(|| format!("/health is not JSON: {body}"))
    }

    /// The answer of `/metrics`.
    pub async fn metrics(&self) -> Result<Metrics> {
        let (status, body) = self.get("/metrics").await?;
        if status != 200 {
            bail!("/metrics answers {status}");
        }
        Metrics::parse(&body)
    }

    /// Waits until `/health/ready` answers 200; returns the time since the start.
    pub async fn wait_ready(&mut self, timeout: Duration) -> Result<Duration> {
        self.wait_for_status("/health/ready", 200, timeout).await?;
        Ok(self.started.elapsed())
    }

    /// Waits until an endpoint answers with this status.
    pub async fn wait_for_status(&mut self, path: &str, wanted: u16, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let answer = self.get(path).await;
            if matches!(answer, Ok((status, _)) if status == wanted) {
                return Ok(());
            }
            let seen = match answer {
                Ok((status, body)) => format!("answered {status}: {body}"),
                Err(error) => format!("{error:#}"),
            };
            self.check_patience(
                deadline,
                &format!("{path} did not answer {wanted} within {timeout:?}, last {seen}"),
            )?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until `/health` is as wanted; `what` names the wish in the error.
    pub async fn wait_health(
        &mut self,
        what: &str,
        timeout: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + timeout;
        loop {
            let health = self.health().await;
            if let Ok(health) = &health
                && wanted(health)
            {
                return Ok(health.clone());
            }
            let seen = health.map_or_else(|error| format!("{error:#}"), |health| health.to_string());
            self.check_patience(
                deadline,
                &format!("health: no {what} within {timeout:?}, last {seen}"),
            )?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An error if the process has ended or the deadline is over.
    fn check_patience(&mut self, deadline: Instant, complaint: &str) -> Result<()> {
        if let Some(status) = self.process.exited()? {
            bail!(
                "the collector ended with {}\n{}",
                process::describe(status),
                self.output.tail()
            );
        }
        if Instant::now() > deadline {
            bail!("{complaint}\n{}", self.output.tail());
        }
        Ok(())
    }

    /// What it printed so far.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// An error that lists every WARN or ERROR line, and every line on stderr, which holds none of these texts.
    pub fn expect_no_unexpected_warnings(&self, allowed: &[&str]) -> Result<()> {
        let unexpected = self.output.warnings(allowed);
        if !unexpected.is_empty() {
            bail!(
                "the collector complained unexpectedly:\n{}",
                unexpected.join("\n")
            );
        }
        Ok(())
    }

    /// Asks it to end, as an orchestrator does.
    pub fn sigterm(&self) -> Result<()> {
        self.process.signal(Signal::Term)
    }

    /// Sends any signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ends it without a chance to do anything, and waits until it is gone.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Waits for its end; all output is read when this returns.
    pub async fn wait_exit(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let status = self
            .process
            .wait(timeout)
            .await
            .with_context(|| self.output.tail())?;
        self.output.drained(Duration::from_secs(5)).await;
        Ok(status)
    }

    /// Asks it to end and waits for that.
    pub async fn stop(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.sigterm()?;
        self.wait_exit(timeout).await
    }

    /// The exit status, or `None` while it runs.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.exited()
    }

    /// Resident memory in bytes, now and at its peak.
    pub fn rss_bytes(&self) -> Result<Memory> {
        self.process.memory()
    }

    /// Processor time used so far.
    pub fn cpu_time(&self) -> Result<Duration> {
        process::cpu_time(self.process.pid())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The monitoring port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The collector's binary beside the running program: both come out of the same build.
///
/// Integration tests of the package itself have `env!("CARGO_BIN_EXE_cdc-collector")` instead.
pub fn binary_beside_us() -> Result<PathBuf> {
    let us = std::env::current_exe().context("finding the running program")?;
    // Test programs are one level further down, in `deps`.
    let beside = us
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("cdc-collector"))
        .find(|path| path.is_file());
    beside.with_context(|| format!("no cdc-collector beside {}: run cargo build", us.display()))
}

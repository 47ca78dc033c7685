//! One test against one collector.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::build::{Workshop, cargo};

/// Where `tests/rig.rs` looks for the collector to start.
const COLLECTOR: &str = "CDC_TEST_COLLECTOR";

/// The longest that a test may take: several times its own patience.
const LIMIT: Duration = Duration::from_secs(900);

/// Longest part of a failed test's words that is printed, in characters.
const MAX_WORDS: usize = 200;

/// What came of a test.
pub(crate) enum Outcome {
    /// It passed.
    Green,
    /// It failed, and printed this.
    Red { output: String },
    /// It had to be ended.
    Unended,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Green => f.write_str("it passes"),
            Outcome::Red { output } => f.write_str(&words(output)),
            Outcome::Unended => f.write_str("it does not end"),
        }
    }
}

/// What the first panic said, on one line: how it begins, what was compared, and the collector's own reason if it shows one.
fn words(output: &str) -> String {
    let said = output.split_once("panicked at ").map_or(output, |(_, said)| said);
    let lines = said
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with("note: "));
    let (compared, message): (Vec<&str>, Vec<&str>) =
        lines.partition(|line| line.starts_with("  left: ") || line.starts_with(" right: "));
    let message = message.join(" ");
    // What follows is a whole answer of the collector's, as JSON.
    let message = message.split('{').next();
    let clipped = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").chars().take(MAX_WORDS).collect::<String>()
    };
    let reason = output
        .split_once("\"reason_code\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(code, _)| format!("reason_code {code}"));
    let parts = message.into_iter().chain(compared).map(clipped);
    let parts: Vec<String> = parts.chain(reason).filter(|part| !part.is_empty()).collect();
    parts.join("; ")
}

/// The repository's tests.
pub(crate) struct Tests {
    program: PathBuf,
    repository: PathBuf,
    logs: PathBuf,
}

impl Tests {
    /// Builds them if they are not built.
    pub(crate) async fn build(workshop: &Workshop) -> Result<Tests> {
        let output = cargo()
            .args(["test", "--workspace", "--locked", "--test", "tests", "--no-run"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(&workshop.repository)
            .stderr(Stdio::inherit())
            .output()
            .await
            .context("starting cargo")?;
        ensure!(output.status.success(), "the tests do not build");
        let messages = String::from_utf8_lossy(&output.stdout);
        let program = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == "tests")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        let logs = workshop.place.join("logs");
        fs::create_dir_all(&logs)?;
        Ok(Tests {
            program: program.context("cargo names no program of the tests")?,
            repository: workshop.repository.clone(),
            logs,
        })
    }

    /// Runs one of them against a collector. What it prints is kept under the name of what is missing there.
    pub(crate) async fn run(&self, name: &str, collector: &Path, without: &str) -> Result<Outcome> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(["--exact", &format!("oceanbase::{name}")])
            .current_dir(&self.repository)
            .env(COLLECTOR, collector)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let Ok(output) = tokio::time::timeout(LIMIT, command.output()).await else {
            return Ok(Outcome::Unended);
        };
        let output = output.context("starting the tests")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let log = format!("{without}-{}.log", name.replace("::", "-"));
        fs::write(self.logs.join(log), &said).context("keeping what the test said")?;
        if output.status.success() && said.contains("1 passed; 0 failed") {
            return Ok(Outcome::Green);
        }
        if said.contains("0 passed; 1 failed") {
            return Ok(Outcome::Red { output: said });
        }
        bail!("{name} was not run ({}):\n{said}", output.status)
    }
}

//! What a child prints: kept line by line in memory up to a bound, and whole in files.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process::Process;

/// Bytes of the newest lines that are kept of each stream.
const KEPT_BYTES: usize = 4 << 20;
/// Complaints that are kept; a program that complains more often has failed its test anyway.
const KEPT_WARNINGS: usize = 1_000;
/// Lines of each stream in an error message.
const TAIL_LINES: usize = 30;

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    bytes: usize,
    dropped: u64,
    warnings: Vec<String>,
}

/// The captured output of a process.
#[derive(Debug)]
pub struct Output {
    stdout: Arc<Mutex<Lines>>,
    stderr: Arc<Mutex<Lines>>,
    /// Streams that are still open.
    open: Arc<AtomicUsize>,
}

impl Output {
    /// Reads both streams by threads of their own; appends them to `stdout.txt` and `stderr.txt` in `dir`.
    pub(super) fn capture(process: &mut Process, dir: &Path) -> Result<Output> {
        let output = Output {
            stdout: Arc::default(),
            stderr: Arc::default(),
            open: Arc::new(AtomicUsize::new(2)),
        };
        let stdout = process.take_stdout().context("stdout was not piped")?;
        let stderr = process.take_stderr().context("stderr was not piped")?;
        output.read("stdout.txt", stdout, &output.stdout, dir, is_complaint)?;
        output.read("stderr.txt", stderr, &output.stderr, dir, |_| true)?;
        Ok(output)
    }

    fn read(
        &self,
        name: &str,
        stream: impl Read + Send + 'static,
        lines: &Arc<Mutex<Lines>>,
        dir: &Path,
        complaint: fn(&str) -> bool,
    ) -> Result<()> {
        let path = dir.join(name);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        let (lines, open) = (Arc::clone(lines), Arc::clone(&self.open));
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                copy(stream, file, &lines, complaint);
                open.fetch_sub(1, Ordering::Release);
            })
            .context("starting a thread")?;
        Ok(())
    }

    /// The newest part of stdout.
    pub fn stdout(&self) -> String {
        join(&lock(&self.stdout).kept)
    }

    /// The newest part of stderr.
    pub fn stderr(&self) -> String {
        join(&lock(&self.stderr).kept)
    }

    /// Lines that were too old to be kept in memory; they are in the files.
    pub fn dropped_lines(&self) -> u64 {
        lock(&self.stdout).dropped + lock(&self.stderr).dropped
    }

    /// Complaints that hold none of the allowed texts: WARN and ERROR lines, and all of stderr.
    pub fn warnings(&self, allowed: &[&str]) -> Vec<String> {
        let unexpected = |line: &&String| !allowed.iter().any(|text| line.contains(text));
        [&self.stdout, &self.stderr]
            .into_iter()
            .flat_map(|lines| {
                lock(lines)
                    .warnings
                    .iter()
                    .filter(unexpected)
                    .cloned()
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The last lines of both streams, for an error message.
    pub fn tail(&self) -> String {
        let last = |lines: &Arc<Mutex<Lines>>| {
            let lines = lock(lines);
            let skip = lines.kept.len().saturating_sub(TAIL_LINES);
            lines
                .kept
                .iter()
                .skip(skip)
                .map(|line| format!("  {line}\n"))
                .collect::<String>()
        };
        format!("stdout:\n{}stderr:\n{}", last(&self.stdout), last(&self.stderr))
    }

    /// Waits until both streams have ended, which they do shortly after the process.
    pub(super) async fn drained(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        while self.open.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

fn join(lines: &VecDeque<String>) -> String {
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}

fn copy(stream: impl Read, mut file: File, lines: &Mutex<Lines>, complaint: fn(&str) -> bool) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    // An unreadable stream or a full disk ends the capture, as the end of the process does.
    while reader
        .read_until(b'\n', &mut bytes)
        .is_ok_and(|length| length > 0)
    {
        file.write_all(&bytes).ok();
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        bytes.clear();
        let mut lines = lock(lines);
        if complaint(&line) && !line.is_empty() && lines.warnings.len() < KEPT_WARNINGS {
            lines.warnings.push(line.clone());
        }
        lines.bytes += line.len();
        lines.kept.push_back(line);
        while lines.bytes > KEPT_BYTES {
            let Some(oldest) = lines.kept.pop_front() else {
                break;
            };
            lines.bytes -= oldest.len();
            lines.dropped += 1;
        }
    }
}

/// Whether a line of the log, as text or as JSON, is a warning or worse.
fn is_complaint(line: &str) -> bool {
    let level = |level: &str| {
        line.contains(&format!(" {level} "))
            || line.contains(&format!("\"level\":\"{level}\""))
            || line.starts_with(&format!("{level} "))
    };
    level("WARN") || level("ERROR") || line.contains("panicked at")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_recognised_in_both_formats() {
        assert!(is_complaint("2026-01-01T00:00:00Z  WARN source: connection lost"));
        assert!(is_complaint(
            r#"{"timestamp":"x","level":"ERROR","message":"halted"}"#
        ));
        assert!(is_complaint("thread 'main' panicked at src/main.rs"));
        assert!(!is_complaint(
            "2026-01-01T00:00:00Z  INFO source: no WARNING here"
        ));
    }
}

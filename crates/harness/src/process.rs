//! Child processes that cannot outlive the tests: signals by process id, memory, and a guard.
//!
//! Every child gets its own process group, so that Ctrl-C in a terminal reaches only the test, and a guard: a
//! shell that waits on a pipe from us and kills the child when the pipe closes, which it does however we end.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A signal that the tests send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ask to end.
    Term,
    /// Ask to end, as Ctrl-C does.
    Int,
    /// End at once.
    Kill,
    /// Freeze; connections stay open and nothing answers.
    Stop,
    /// Thaw.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Term => "TERM",
            Signal::Int => "INT",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        }
    }
}

/// A child process with its guard; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    guard: Child,
    name: String,
}

impl Process {
    /// Starts `command` in its own process group. `remove_with_us` is deleted by the guard, should we be
    /// killed before we can clean up ourselves.
    pub fn spawn(name: &str, mut command: Command, remove_with_us: Option<&Path>) -> Result<Process> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name} ({program})"))?;
        let guard = Command::new("sh")
            .args(["-c", "read -r _; kill -KILL \"$1\" 2>/dev/null; [ -z \"$2\" ] || rm -rf -- \"$2\"", "sh"])
            .arg(child.id().to_string())
            .arg(remove_with_us.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn();
        let guard = match guard {
            Ok(guard) => guard,
            Err(error) => {
                let mut child = child;
                child.kill().ok();
                child.wait().ok();
                return Err(error).with_context(|| format!("starting the guard of {name}"));
            }
        };
        Ok(Process { child, guard, name: name.to_owned() })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes the child's stdout, if it was piped.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Takes the child's stderr, if it was piped.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// The exit status, or `None` while it runs.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("asking after {}", self.name))
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // `kill` of the shell: the program of that name is not on every machine.
        let status = Command::new("sh")
            .args(["-c", "kill -\"$1\" \"$2\"", "sh", signal.name()])
            .arg(self.pid().to_string())
            .stderr(Stdio::null())
            .status()
            .context("running sh")?;
        if !status.success() {
            bail!("cannot send SIG{} to {} (process {}): it is gone", signal.name(), self.name, self.pid());
        }
        Ok(())
    }

    /// Kills the process and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        if self.exited()?.is_none() {
            self.child.kill().with_context(|| format!("killing {}", self.name))?;
            self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        }
        Ok(())
    }

    /// Waits for its end.
    pub async fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} (process {}) did not end within {timeout:?}", self.name, self.pid());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Resident memory, now and at its highest, in bytes.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.pid())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child first: its id cannot be somebody else's until it is reaped here.
        self.kill().ok();
        self.guard.kill().ok();
        self.guard.wait().ok();
    }
}

/// What a process occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// `VmRSS`: resident now, in bytes.
    pub resident: u64,
    /// `VmHWM`: the most that was ever resident, in bytes.
    pub peak: u64,
}

impl Memory {
    /// Reads `/proc/<pid>/status`.
    pub fn of(pid: u32) -> Result<Memory> {
        let path = format!("/proc/{pid}/status");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let kilobytes = |key: &str| -> Result<u64> {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
                .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
                .with_context(|| format!("{path} has no {key}: the process has ended"))
        };
        Ok(Memory { resident: kilobytes("VmRSS")? * 1024, peak: kilobytes("VmHWM")? * 1024 })
    }
}

/// Processor time used so far (user and system), from `/proc/<pid>/stat`.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The second field is the name in parentheses and may hold anything: count from its end.
    let fields = text.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).with_context(|| format!("{path} is not as expected"))?;
    // USER_HZ is 100 on every Linux that Rust supports.
    Ok(Duration::from_millis((user + system) * 10))
}

/// The last `limit` bytes of a file as text; empty if it cannot be read.
pub fn tail(path: &Path, limit: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// An exit status in words.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

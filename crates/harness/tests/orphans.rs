//! A test program that is killed leaves no server behind.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::process::Memory;
use harness::servers::{MariaDb, Options};

/// Set for the copy of this program that is to be killed.
const VICTIM: &str = "HARNESS_TEST_VICTIM";

#[tokio::test]
async fn a_killed_test_program_takes_its_servers_along() -> Result<()> {
    if std::env::var_os(VICTIM).is_some() {
        let server = MariaDb::start(Options::default()).await?;
        println!("victim {} {}", server.pid()?, server.dir().display());
        return std::future::pending().await;
    }
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--nocapture", "a_killed_test_program"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(victim.stdout.take().context("no stdout")?).lines();
    let line = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("victim ")?.1.to_owned()));
    let line = line.context("the victim ended early")?;
    let (pid, dir) = line.split_once(' ').context("an odd line")?;
    let pid: u32 = pid.parse()?;
    ensure!(Memory::of(pid).is_ok());
    victim.kill()?;
    victim.wait()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while Memory::of(pid).is_ok() || Path::new(dir).exists() {
        ensure!(Instant::now() < deadline, "process {pid} or {dir} is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

//! The collector's handle, tried on a shell script that stands in for the binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use harness::collector::{Collector, Settings};
use harness::servers::RELAY;

const PATIENCE: Duration = Duration::from_secs(20);

/// Settings that run this script.
fn script(dir: &tempfile::TempDir, body: &str) -> Result<Settings> {
    let path = dir.path().join("stand-in");
    fs::write(&path, format!("#!/bin/sh\n{body}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Settings::new(path)
}

#[tokio::test]
async fn passes_the_environment_and_nothing_else() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = script(&dir, "env; pwd")?
        .database("127.0.0.1:2881".parse()?, RELAY, "shop")
        .datahub("http://127.0.0.1:1", "id", "key")
        .topic("p", "t")
        .env("LOG_LEVEL", "DEBUG")
        .without("LOG_LEVEL");
    let (status, stdout, stderr) = settings.run_to_end(PATIENCE).await?;
    ensure!(status.success() && stderr.is_empty(), "{stderr}");
    for line in [
        "DATABASE_HOST=127.0.0.1",
        "DATABASE_PORT=2881",
        "DATABASE_SCHEMA=shop",
        "DATAHUB_TOPIC=t",
    ] {
        ensure!(
            stdout.lines().any(|found| found == line),
            "{line} is missing in {stdout}"
        );
    }
    ensure!(
        !stdout.contains("LOG_LEVEL") && !stdout.contains("CARGO"),
        "{stdout}"
    );
    ensure!(stdout.contains(&settings.dir().display().to_string()));
    Ok(())
}

#[tokio::test]
async fn an_early_end_is_reported_with_its_output() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = script(&dir, "echo cannot go on >&2; exit 78")?;
    let error = Collector::start_ready(&settings, PATIENCE)
        .await
        .expect_err("must fail");
    let text = format!("{error:#}");
    ensure!(text.contains("exit code 78"), "{text}");
    Ok(())
}

#[tokio::test]
async fn complaints_are_found_unless_allowed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = script(
        &dir,
        "echo 'x  INFO a: fine'; echo 'x  WARN a: lost it'; echo oops >&2",
    )?;
    let mut collector = Collector::start(&settings)?;
    collector.wait_exit(PATIENCE).await?;
    let error = collector
        .expect_no_unexpected_warnings(&["oops"])
        .expect_err("one is left");
    ensure!(
        error.to_string().contains("lost it") && !error.to_string().contains("fine"),
        "{error}"
    );
    collector.expect_no_unexpected_warnings(&["oops", "lost it"])
}

#[tokio::test]
async fn ends_by_signal_and_by_force() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let settings = script(
        &dir,
        "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.01; done",
    )?
    .env("PATH", "/usr/bin:/bin");
    let mut collector = Collector::start(&settings)?;
    while !collector.output().stdout().contains("up") {
        tokio::task::yield_now().await;
    }
    ensure!(collector.rss_bytes()?.resident > 0);
    let status = collector.stop(PATIENCE).await?;
    ensure!(status.code() == Some(3) && collector.output().stdout().contains("asked"));
    let mut collector = Collector::start(&settings)?;
    collector.kill9()?;
    ensure!(collector.wait_exit(PATIENCE).await?.code().is_none());
    ensure!(collector.sigterm().is_err());
    Ok(())
}

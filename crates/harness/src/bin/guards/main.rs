//! Takes each guard against OceanBase's binlog service out of a copy of the collector, and runs its tests against that.
//!
//! The tests are the ordinary ones of the repository, built once; only the collector that they start is another one. What
//! they printed is kept beside the copy, below `target/guards`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser};
use harness::guards::{Guard, Test, guards};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

mod build;
mod run;

use build::Workshop;
use run::{Outcome, Tests};

/// Takes guards out of a copy of the collector, one at a time, and says whether its tests notice.
#[derive(Parser)]
#[command(disable_help_flag = true)]
struct Flags {
    /// Guards by a part of their names or their tests' names, or by the number of a behaviour; all of them if none is named.
    wanted: Vec<String>,
    /// Print the guards and do nothing.
    #[arg(long)]
    list: bool,
    /// The most tests that run at once.
    #[arg(long, default_value_t = 3)]
    at_once: usize,
    /// Print this.
    #[arg(long, short)]
    help: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match take_out(&Flags::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("guards: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether every guard is missed by its tests.
async fn take_out(flags: &Flags) -> Result<bool> {
    if flags.help {
        Flags::command().print_help()?;
        return Ok(true);
    }
    let named =
        |guard: &&Guard| flags.wanted.is_empty() || flags.wanted.iter().any(|wanted| guard.is_named(wanted));
    let chosen: Vec<&'static Guard> = guards().filter(named).collect();
    if chosen.is_empty() {
        bail!("no guard is called that: see --list");
    }
    if flags.list {
        for guard in chosen {
            let points: Vec<String> = guard.points.iter().map(u8::to_string).collect();
            println!("{} (point {})", guard.name, points.join(", "));
            guard.tests.iter().for_each(|test| println!("    {}", test.name));
        }
        return Ok(true);
    }
    let workshop = Workshop::set_up().await?;
    let tests = Arc::new(Tests::build(&workshop).await?);
    let places = Arc::new(Semaphore::new(flags.at_once.max(1)));
    let healthy = workshop.build(None).await?;
    Ok(are_green(&chosen, &healthy, &tests, &places).await?
        && are_missed(&chosen, &workshop, &tests, &places).await?)
}

/// Runs every test once against the healthy copy.
async fn are_green(
    chosen: &[&'static Guard],
    collector: &Path,
    tests: &Arc<Tests>,
    places: &Arc<Semaphore>,
) -> Result<bool> {
    let names: BTreeSet<&str> = chosen
        .iter()
        .flat_map(|guard| guard.tests.iter().map(|test| test.name))
        .collect();
    let mut runs = JoinSet::new();
    for name in names {
        let (collector, tests, places) = (collector.to_owned(), Arc::clone(tests), Arc::clone(places));
        runs.spawn(async move {
            let _place = places.acquire_owned().await.context("a place")?;
            anyhow::Ok((name, tests.run(name, &collector, "healthy").await?))
        });
    }
    let mut all = true;
    while let Some(ended) = runs.join_next().await {
        let (name, outcome) = ended.context("a run panicked")??;
        if !matches!(outcome, Outcome::Green) {
            all = false;
            println!("NOT GREEN with every guard in its place: {name}: {outcome}");
        }
    }
    Ok(all)
}

/// Runs each guard's tests against a collector without it, and meanwhile builds the next one.
async fn are_missed(
    chosen: &[&'static Guard],
    workshop: &Workshop,
    tests: &Arc<Tests>,
    places: &Arc<Semaphore>,
) -> Result<bool> {
    let mut runs = JoinSet::new();
    let mut all = true;
    for guard in chosen.iter().copied() {
        let collector = Arc::new(workshop.build(Some(guard)).await?);
        for test in guard.tests {
            // Before it runs: no more collectors are built than can soon be used.
            let place = Arc::clone(places).acquire_owned().await.context("a place")?;
            let (collector, tests) = (Arc::clone(&collector), Arc::clone(tests));
            runs.spawn(async move {
                let begun = Instant::now();
                let outcome = tests.run(test.name, &collector, guard.name).await;
                drop(place);
                outcome.map(|outcome| (guard, test, begun.elapsed(), outcome))
            });
            while let Some(ended) = runs.try_join_next() {
                all &= line(ended.context("a run panicked")??);
            }
        }
    }
    while let Some(ended) = runs.join_next().await {
        all &= line(ended.context("a run panicked")??);
    }
    Ok(all)
}

/// Prints what came of it; whether that is as it should be.
fn line((guard, test, took, outcome): (&Guard, &Test, Duration, Outcome)) -> bool {
    let caught = match &outcome {
        Outcome::Red { output } => output.contains(test.seen),
        Outcome::Green | Outcome::Unended => false,
    };
    let verdict = if caught { "caught" } else { "NOT CAUGHT" };
    println!(
        "{:<36} {verdict:<10} {:>4} s  {}: {outcome}",
        guard.name,
        took.as_secs(),
        test.name
    );
    if let (Outcome::Red { .. }, false) = (&outcome, caught) {
        println!("    it does not say: {}", test.seen);
    }
    caught
}

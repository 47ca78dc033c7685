//! Breaks things under load and counts what is lost, repeated or out of order.
//!
//! Each scenario runs the real collector between a real database and the emulator; `chaos list` says which there are.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser, ValueEnum};
use harness::chaos::{Outcome, Scenario, Terms, scenario, scenarios};
use harness::collector::binary_beside_us;
use harness::servers::Kind;
use tokio::task::JoinSet;

mod table;

/// Breaks things under load and counts what is lost, repeated or out of order.
#[derive(Parser)]
#[command(disable_help_flag = true)]
struct Flags {
    /// Scenarios, or `list` to print what each proves; all of them if none is named.
    scenarios: Vec<String>,
    /// Decides what is done; a random one if it is not given. It is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How long each scenario goes on.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The most kills, cuts or faults of each scenario.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    blows: u64,
    /// Run with this database only, whatever the scenario names.
    #[arg(long, value_enum)]
    server: Option<ServerKind>,
    /// Run each scenario so many times at once, with seeds that follow each other.
    #[arg(long, default_value_t = 1)]
    at_once: u64,
    /// Print this, or what the named scenarios are.
    #[arg(long, short)]
    help: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ServerKind {
    Mysql,
    Mariadb,
}

impl From<ServerKind> for Kind {
    fn from(kind: ServerKind) -> Kind {
        match kind {
            ServerKind::Mysql => Kind::MySql,
            ServerKind::Mariadb => Kind::MariaDb,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match chaos(&Flags::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether every promise was kept.
async fn chaos(flags: &Flags) -> Result<bool> {
    let listed = flags.scenarios.iter().any(|name| name == "list");
    let named = flags.scenarios.iter().filter(|name| *name != "list");
    let known = |name: &String| {
        scenario(name).with_context(|| format!("no scenario is called {name}: see chaos list"))
    };
    let mut chosen: Vec<&Scenario> = named.map(known).collect::<Result<_>>()?;
    if flags.help && chosen.is_empty() && !listed {
        Flags::command().print_help()?;
        return Ok(true);
    }
    if chosen.is_empty() {
        chosen = scenarios().collect();
    }
    if flags.help || listed {
        for scenario in chosen {
            println!("{scenario}");
        }
        return Ok(true);
    }
    if flags.at_once == 0 {
        bail!("--at-once is at least 1");
    }
    let seed = flags.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("seed {seed}, {} s each\n", flags.seconds);
    table::head();
    let mut kept = true;
    for scenario in chosen {
        let servers = flags.server.map(|kind| vec![Kind::from(kind)]);
        for server in servers.unwrap_or_else(|| scenario.servers.to_vec()) {
            let terms = Terms {
                server,
                seed,
                time: Duration::from_secs(flags.seconds),
                blows: flags.blows,
                binary: binary_beside_us()?,
            };
            kept &= run(scenario, &terms, flags.at_once).await?;
        }
    }
    Ok(kept)
}

/// Runs a scenario so many times at once, and prints a line for each.
async fn run(scenario: &'static Scenario, terms: &Terms, at_once: u64) -> Result<bool> {
    let mut runs = JoinSet::new();
    for number in 0..at_once {
        let terms = Terms {
            seed: terms.seed.wrapping_add(number),
            ..terms.clone()
        };
        runs.spawn(async move {
            let begun = Instant::now();
            let result = scenario.run(terms.clone()).await;
            (terms, begun.elapsed(), result)
        });
    }
    let mut kept = true;
    while let Some(ended) = runs.join_next().await {
        let (terms, took, result) = ended.context("a scenario panicked")?;
        kept &= result.as_ref().is_ok_and(Outcome::is_kept);
        table::line(scenario.name, &terms, took, &result);
    }
    Ok(kept)
}

//! The table: one line for each run, and below it what was missed.

use std::time::Duration;

use anyhow::Result;
use harness::chaos::{Outcome, Terms};

/// Prints the table's first line.
pub(crate) fn head() {
    println!(
        "{:<21}{:<9}{:>8}{:>6}{:>8}{:>9}{:>6}{:>9}{:>8}  result",
        "scenario", "server", "seed", "s", "blows", "rows", "lost", "repeated", "order"
    );
}

/// Prints the line of a run.
pub(crate) fn line(scenario: &str, terms: &Terms, took: Duration, result: &Result<Outcome>) {
    let run = format!(
        "{scenario:<21}{:<9}{:>8}{:>6}",
        terms.server.to_string(),
        terms.seed,
        took.as_secs()
    );
    match result {
        Err(error) => println!("{run}{:>40}  FAILED\n{error:#}", ""),
        Ok(outcome) => {
            let report = &outcome.report;
            println!(
                "{run}{:>8}{:>9}{:>6}{:>9}{:>8}  {} {}",
                outcome.blows,
                report.committed,
                report.lost,
                report.repeated(),
                report.out_of_order,
                if outcome.is_kept() { "kept" } else { "MISSED" },
                outcome.note
            );
            if !outcome.is_kept() {
                println!("{report}");
            }
        }
    }
}

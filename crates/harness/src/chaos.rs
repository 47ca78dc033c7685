//! Scenarios that break something under load, again and again, and then hold the topic against what was committed.
//!
//! Each runs the real binary between a real database and the emulator, with faults in the service, in the network or
//! in the processes, and ends in the same way: everything committed has arrived, the oracle compares every record
//! and the final rows, and every row that the collector decoded is accounted for. What is done to it follows from a
//! seed; when it is done depends on the machine. Each is bounded in time and in the number of blows.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;

use crate::oracle::Report;
use crate::servers::Kind;
use crate::workload::Plan;

mod clock;
mod crash_files;
mod crash_points;
mod database;
mod disk;
mod kills;
mod network;
mod outage;
mod service;
mod standby;
mod topic;

pub use service::fault_mix;

/// What comes on top of a scenario's time: starting, arriving and judging.
const PATIENCE: Duration = Duration::from_secs(400);

/// What a scenario is run with.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The kind of database.
    pub server: Kind,
    /// Decides what is done.
    pub seed: u64,
    /// How long it goes on.
    pub time: Duration,
    /// The most blows: kills, cuts, faults.
    pub blows: u64,
    /// The collector.
    pub binary: PathBuf,
}

impl Terms {
    fn rng(&self) -> Rng {
        Rng::with_seed(self.seed)
    }

    /// Writers that leave the machine time for everything else.
    fn plan(&self) -> Plan {
        Plan {
            seed: self.seed,
            pause: Duration::from_millis(15),
            ..Plan::default()
        }
    }

    fn storm(&self) -> Storm {
        Storm {
            until: Instant::now() + self.time,
            left: self.blows,
            blows: 0,
        }
    }
}

/// How long blows go on, and how many there were.
struct Storm {
    until: Instant,
    left: u64,
    blows: u64,
}

impl Storm {
    /// Whether there is to be another blow; there is always a first one.
    fn goes_on(&mut self) -> bool {
        if self.left == 0 || (self.blows > 0 && Instant::now() >= self.until) {
            return false;
        }
        self.left -= 1;
        self.blows += 1;
        true
    }
}

/// What of the topic's state a scenario may leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// Everything once and in order.
    Exact,
    /// What comes twice has the `cdc.id` that it had before, and who leaves it out has everything once and in order.
    Recognisable,
    /// Nothing lost, nothing twice.
    Complete,
}

/// What came of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// How often the collector or the world around it was struck.
    pub blows: u64,
    /// What the oracle says.
    pub report: Report,
    /// What else is worth knowing.
    pub note: String,
    promise: Promise,
}

impl Outcome {
    fn exact(blows: u64, report: Report, note: impl Into<String>) -> Outcome {
        Outcome {
            blows,
            report,
            note: note.into(),
            promise: Promise::Exact,
        }
    }

    fn promising(self, promise: Promise) -> Outcome {
        Outcome { promise, ..self }
    }

    /// Whether what was promised was kept.
    pub fn is_kept(&self) -> bool {
        let report = &self.report;
        match self.promise {
            Promise::Exact => report.is_exact(),
            Promise::Recognisable => report.is_exact_deduplicated(),
            Promise::Complete => {
                let judged = Report {
                    out_of_order: 0,
                    final_differs_once: 0,
                    ..report.clone()
                };
                judged.is_exact_deduplicated() && judged.repeated() == 0
            }
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Result<Outcome>> + Send>>;

/// A scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is known when it passes.
    pub proves: &'static str,
    /// What it does.
    pub steps: &'static str,
    /// What it has to find on the machine, beside the collector's binary.
    pub needs: &'static str,
    /// The databases it is run with when none is asked for.
    pub servers: &'static [Kind],
    run: fn(Terms) -> Running,
}

const MYSQL: &[Kind] = &[Kind::MySql];
const MARIADB: &[Kind] = &[Kind::MariaDb];
const BOTH: &[Kind] = &[Kind::MySql, Kind::MariaDb];

/// All scenarios, in the order in which they are run.
pub fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    let groups: [&[Scenario]; 11] = [
        kills::SCENARIOS,
        crash_points::SCENARIOS,
        crash_files::SCENARIOS,
        database::SCENARIOS,
        network::SCENARIOS,
        service::SCENARIOS,
        topic::SCENARIOS,
        disk::SCENARIOS,
        outage::SCENARIOS,
        clock::SCENARIOS,
        standby::SCENARIOS,
    ];
    groups.into_iter().flatten()
}

/// The scenario of this name.
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    scenarios().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Runs it.
    ///
    /// # Errors
    /// Where it could not be run to its end: something halted, ended or never came that should not have, rows are
    /// unaccounted for, or it takes much longer than it should.
    pub async fn run(&self, terms: Terms) -> Result<Outcome> {
        let limit = terms.time + PATIENCE;
        tokio::time::timeout(limit, (self.run)(terms))
            .await
            .with_context(|| format!("{} did not end within {limit:?}", self.name))?
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        for (word, text) in [
            ("proves", self.proves),
            ("steps", self.steps),
            ("needs", self.needs),
        ] {
            writeln!(f, "  {word:<7}{text}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_says_what_it_is() {
        let names: BTreeSet<&str> = scenarios().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), scenarios().count());
        for scenario in scenarios() {
            let text = [scenario.proves, scenario.steps, scenario.needs];
            assert!(text.iter().all(|text| text.ends_with('.')), "{scenario}");
            assert!(!scenario.servers.is_empty(), "{scenario}");
        }
    }

    #[test]
    fn a_storm_strikes_at_least_once_and_then_as_long_as_it_may() {
        let blows = |time, most| {
            let terms = Terms {
                server: Kind::MySql,
                seed: 1,
                time,
                blows: most,
                binary: PathBuf::new(),
            };
            let mut storm = terms.storm();
            while storm.goes_on() {}
            storm.blows
        };
        assert_eq!(blows(Duration::ZERO, 9), 1);
        assert_eq!(blows(Duration::from_secs(600), 9), 9);
        assert_eq!(blows(Duration::from_secs(600), 0), 0);
    }

    #[test]
    fn a_promise_is_kept_or_not() {
        let judge = |promise, report: Report| Outcome::exact(1, report, "").promising(promise).is_kept();
        let all = [Promise::Exact, Promise::Recognisable, Promise::Complete];
        let kept = |report: Report| all.map(|promise| judge(promise, report.clone()));
        assert_eq!(kept(Report::default()), [true; 3]);
        let lost = Report {
            lost: 1,
            ..Report::default()
        };
        assert_eq!(kept(lost), [false; 3]);
        let twice = Report {
            repeated_same_id: 1,
            final_differs: 1,
            ..Report::default()
        };
        assert_eq!(kept(twice), [false, true, false]);
        let disorder = Report {
            out_of_order: 1,
            final_differs: 1,
            final_differs_once: 1,
            ..Report::default()
        };
        assert_eq!(kept(disorder), [false, false, true]);
    }
}

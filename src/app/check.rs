//! `cdc-collector check`: tries at both ends and on this machine what a start would need, and relays nothing.
//!
//! It proves instead of parsing: it logs in, opens the binlog, signs a request, takes a lock, writes to the disk. What cannot
//! be tried because something before it failed is named, so that a short report is never taken for a good one.
//! [`at_start`] is the part of it that a start does not do by itself, and that is cheap and without effect.

mod database;
mod datahub;
mod machine;
mod rate;
mod report;
mod write_test;

use std::time::Duration;

use crate::config::{Config, Loaded, Problems};
use crate::source::preflight::{Finding, Severity};

pub use report::{Area, Checked, Report};

/// What is asked for beyond the ordinary.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Write a record that is marked as a test, and read it back.
    pub write_test: bool,
    /// How long to watch how fast the binlog grows; zero for not at all.
    pub measure: Duration,
}

/// Looks at the configuration, at the database, at DataHub and at this machine.
pub async fn check(loaded: Result<Loaded, Problems>, extent: Extent) -> Report {
    let mut report = Report::default();
    let Loaded { config, warnings } = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => {
            report.add(Area::Configuration, problems.0.into_iter().map(problem));
            report.add(
                Area::Configuration,
                [not_checked(
                    "the database, DataHub and this machine",
                    "an option is wrong",
                )],
            );
            return report;
        }
    };
    report.add(Area::Configuration, warnings.into_iter().map(doubt));
    let seen = database::look(&config, extent.measure).await;
    report.add(Area::Source, seen.source);
    report.add(Area::Schema, seen.schema);
    let facts = seen.facts.as_ref();
    let topic = datahub::look(&config, extent, facts, seen.rate).await;
    report.add(Area::Datahub, topic.findings);
    report.add(
        Area::Local,
        machine::look(&config, facts, topic.is_remembered).await,
    );
    report
}

/// What a start does not find out by itself and a person may want to know. Tells the log; nothing depends on it.
pub(super) async fn at_start(config: &Config) {
    let mut findings = database::beside(config).await;
    findings.push(machine::room(config));
    tell(findings);
}

/// Writes what is not as it should be into the log.
pub(super) fn tell(findings: impl IntoIterator<Item = Finding>) {
    for finding in findings {
        let Finding {
            code, seen, remedy, ..
        } = &finding;
        if finding.severity != Severity::Info {
            tracing::warn!(code, %remedy, "{seen}");
        }
    }
}

pub(super) use datahub::clock;

fn problem(problem: crate::config::Problem) -> Finding {
    Finding::fatal(problem.code, problem.sentence(), problem.remedy)
}

fn doubt(warning: String) -> Finding {
    Finding::warning(
        "config_doubtful",
        warning,
        "correct the option, if it is not meant so",
    )
}

/// That something could not be tried, and why.
fn not_checked(what: &str, because: &str) -> Finding {
    Finding::warning(
        "not_checked",
        format!("{what}: {because}"),
        "put right what is fatal, and check again",
    )
}

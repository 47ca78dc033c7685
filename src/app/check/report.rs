//! What `check` found, for people and for machines. Pure.

use std::fmt::Write as _;

use serde::Serialize;

use crate::source::preflight::{Finding, Severity};

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// The options.
    Configuration,
    /// The database and its binlog.
    Source,
    /// The captured tables.
    Schema,
    /// The service and the topic.
    Datahub,
    /// This machine.
    Local,
}

/// A finding and what it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What it is about.
    pub area: Area,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Checked>,
}

/// The report as one JSON object.
#[derive(Serialize)]
struct Document<'a> {
    passed: bool,
    findings: &'a [Checked],
}

/// The sequences that a terminal shows as colours.
const RED: &str = "\x1b[31;1m";
const YELLOW: &str = "\x1b[33;1m";
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

impl Report {
    /// Adds findings, unless they are there: two questions may fail for one reason. The worst stay first.
    pub(super) fn add(&mut self, area: Area, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if !self.findings.iter().any(|known| known.finding == finding) {
                self.findings.push(Checked { area, finding });
            }
        }
        self.findings.sort_by_key(|checked| checked.finding.severity);
    }

    /// The findings, the worst first.
    pub fn findings(&self) -> &[Checked] {
        &self.findings
    }

    /// Whether nothing keeps the collector from its work.
    pub fn passed(&self) -> bool {
        let is_fatal = |checked: &Checked| checked.finding.severity == Severity::Fatal;
        !self.findings.iter().any(is_fatal)
    }

    /// For people: aligned, one line a finding and one for its remedy, and a sum at the end.
    pub fn text(&self, coloured: bool) -> String {
        let paint = |colour: &'static str| if coloured { (colour, PLAIN) } else { ("", "") };
        let width = (self.findings.iter())
            .map(|checked| checked.finding.code.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for Checked { finding, .. } in &self.findings {
            let (word, colour) = match finding.severity {
                Severity::Fatal => ("FATAL", RED),
                Severity::Warning => ("WARN", YELLOW),
                Severity::Info => ("ok", GREEN),
            };
            let (begin, end) = paint(colour);
            line(
                &mut text,
                format_args!(
                    "{begin}{word:<5}{end}  {:<width$}  {}",
                    finding.code, finding.seen
                ),
            );
            if !finding.remedy.is_empty() {
                let (begin, end) = paint(DIM);
                line(
                    &mut text,
                    format_args!("{:<5}  {:<width$}  {begin}→ {}{end}", "", "", finding.remedy),
                );
            }
        }
        let count = |severity| {
            let of = |checked: &&Checked| checked.finding.severity == severity;
            self.findings.iter().filter(of).count()
        };
        let (verdict, colour) = if self.passed() {
            ("passed", GREEN)
        } else {
            ("failed", RED)
        };
        let (begin, end) = paint(colour);
        line(
            &mut text,
            format_args!(
                "\n{begin}{verdict}{end}: fatal {}, warnings {}, fine {}; `cdc-collector explain CODE` says more of each",
                count(Severity::Fatal),
                count(Severity::Warning),
                count(Severity::Info),
            ),
        );
        text
    }

    /// For machines: one JSON object.
    ///
    /// # Errors
    /// None in fact: there is nothing in it that JSON cannot say.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&Document {
            passed: self.passed(),
            findings: &self.findings,
        })
    }
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let written = writeln!(text, "{words}");
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add(Area::Source, [Finding::info("server", "MySQL 9")]);
        let off = Finding::fatal("binlog_disabled", "log_bin = OFF", "start it with log_bin");
        report.add(Area::Source, [off.clone()]);
        report.add(
            Area::Local,
            [Finding::warning("disk_space_low", "1 MiB", "make room")],
        );
        report.add(Area::Schema, [off]);
        report
    }

    #[test]
    fn a_report_is_aligned_and_worst_first_and_says_nothing_twice() {
        assert_eq!(
            report().text(false),
            "FATAL  binlog_disabled  log_bin = OFF\n                        → start it with log_bin\n\
             WARN   disk_space_low   1 MiB\n                        → make room\n\
             ok     server           MySQL 9\n\
             \nfailed: fatal 1, warnings 1, fine 1; `cdc-collector explain CODE` says more of each\n"
        );
    }

    #[test]
    fn colours_change_nothing_but_the_colours() {
        let mut text = report().text(true);
        assert!(
            text.starts_with("\x1b[31;1mFATAL\x1b[0m  binlog_disabled"),
            "{text}"
        );
        for sequence in [RED, YELLOW, GREEN, DIM, PLAIN] {
            assert!(text.contains(sequence));
            text = text.replace(sequence, "");
        }
        assert_eq!(text, report().text(false));
    }

    #[test]
    fn machines_get_one_object() {
        let json: serde_json::Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(json["passed"], false);
        assert_eq!(
            json["findings"][0],
            serde_json::json!({
                "area": "source", "code": "binlog_disabled", "severity": "fatal", "seen": "log_bin = OFF",
                "remedy": "start it with log_bin",
            })
        );
        assert_eq!(json["findings"][2]["severity"], "info");
        assert_eq!(json["findings"][2].get("remedy"), None);
        assert!(Report::default().passed());
    }
}

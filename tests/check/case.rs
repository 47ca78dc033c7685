//! One misconfiguration: what `check` must say of it, and what ends it.

use futures_util::StreamExt as _;
use harness::collector::Settings;
use harness::ports::free_port;
use harness::servers::{RELAY, Server};
use serde_json::Value;

use crate::rig::{ACCESS_KEY, READY};

/// Checks that run at once: each is a process, and the machine may be small.
const AT_ONCE: usize = 3;

/// How the remedy is followed.
pub(crate) enum Fix {
    /// The first so many `NAME=value` of the remedy become variables of the collector.
    Env(usize),
    /// The first so many statements of the remedy are run on the server by its administrator.
    Sql(usize),
    /// The remedy names what to correct and cannot know the right value: these settings have it.
    Corrected(Settings),
    /// The remedy says what to do outside of the collector and its database.
    Done(Box<dyn FnOnce() + Send>),
    /// Only somebody else can do it: a clock, the service.
    Elsewhere,
}

/// A misconfiguration.
pub(crate) struct Case {
    pub(crate) code: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) settings: Settings,
    pub(crate) fix: Fix,
    /// Arguments of the command beyond the usual ones.
    pub(crate) more: &'static [&'static str],
}

pub(crate) fn fatal(code: &'static str, settings: Settings, fix: Fix) -> Case {
    Case {
        code,
        severity: "fatal",
        settings,
        fix,
        more: &[],
    }
}

pub(crate) fn warning(code: &'static str, settings: Settings, fix: Fix) -> Case {
    Case {
        severity: "warning",
        ..fatal(code, settings, fix)
    }
}

/// What `check` says, as one object; its exit code is compared with it.
pub(crate) async fn report(settings: &Settings) -> Value {
    report_with(&with_a_port(settings), &[]).await
}

/// The same on a port that is free now: one that was chosen with the settings may be another server's meanwhile.
fn with_a_port(settings: &Settings) -> Settings {
    settings.clone().on_port(free_port().expect("a port"))
}

async fn report_with(settings: &Settings, more: &[&str]) -> Value {
    let command = settings.clone().arg("check").arg("--json").arg("--measure=0");
    let command = more
        .iter()
        .fold(command, |command, argument| command.arg(*argument));
    let (status, stdout, stderr) = command.run_to_end(READY).await.expect("an end");
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}"));
    let passed = report["passed"] == true;
    assert_eq!(status.code(), Some(i32::from(!passed)), "{report:#}");
    let findings = report["findings"].as_array().expect("findings");
    let is_fatal = |finding: &Value| finding["severity"] == "fatal";
    assert_eq!(passed, !findings.iter().any(is_fatal), "{report:#}");
    for finding in findings {
        let told = finding["remedy"]
            .as_str()
            .is_some_and(|remedy| !remedy.is_empty());
        assert_eq!(told, finding["severity"] != "info", "{finding:#}");
        assert!(
            finding["seen"].as_str().is_some_and(|seen| !seen.is_empty()),
            "{finding:#}"
        );
    }
    for secret in [RELAY.password, ACCESS_KEY] {
        assert!(
            !stdout.contains(secret) && !stderr.contains(secret),
            "a secret: {report:#}"
        );
    }
    report
}

/// The finding of a code.
pub(crate) fn finding<'a>(report: &'a Value, code: &str) -> Option<&'a Value> {
    report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .find(|finding| finding["code"] == code)
}

/// What a remedy has between backticks.
fn literal(remedy: &str) -> Vec<&str> {
    remedy.split('`').skip(1).step_by(2).collect()
}

impl Case {
    /// Checks that it is named, follows its remedy, and checks that it is gone and nothing else is in the way.
    pub(crate) async fn prove(self, server: Option<&Server>) -> &'static str {
        let Self {
            code,
            severity,
            settings,
            fix,
            more,
        } = self;
        let chosen = if code == "port_in_use" {
            settings.clone()
        } else {
            with_a_port(&settings)
        };
        let seen = report_with(&chosen, more).await;
        let found = finding(&seen, code).unwrap_or_else(|| panic!("{code} is not found: {seen:#}"));
        assert_eq!(found["severity"], severity, "{found:#}");
        let remedy = found["remedy"].as_str().expect("a remedy").to_owned();
        let literal = literal(&remedy);
        let settings = match fix {
            Fix::Env(count) => {
                let set = |settings: Settings, text: &&str| {
                    let (name, value) = text.split_once('=').unwrap_or_else(|| panic!("{code}: {text}"));
                    settings.env(name, value)
                };
                assert!(literal.len() >= count, "{code}: {remedy}");
                literal[..count].iter().fold(settings, set)
            }
            Fix::Sql(count) => {
                assert!(literal.len() >= count, "{code}: {remedy}");
                let server = server.expect("a server");
                let done = server.execute(&literal[..count]).await;
                done.unwrap_or_else(|e| panic!("{code}: {remedy}: {e:#}"));
                settings
            }
            Fix::Corrected(settings) => settings,
            Fix::Done(follow) => {
                follow();
                settings
            }
            Fix::Elsewhere => return code,
        };
        let after = report(&settings).await;
        let gone = finding(&after, code).is_none();
        assert!(
            gone && after["passed"] == true,
            "{code}, after: {remedy}: {after:#}"
        );
        code
    }
}

/// Proves several that do not disturb each other.
pub(crate) async fn prove(cases: Vec<Case>, server: Option<&Server>) -> Vec<&'static str> {
    futures_util::stream::iter(cases.into_iter().map(|case| case.prove(server)))
        .buffered(AT_ONCE)
        .collect()
        .await
}

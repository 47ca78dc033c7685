//! No secret in any output (I12): everything that the collector prints, serves and writes, in good and in bad
//! times and at every log level, is searched for the password and the key, plain and encoded.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use datahub_emulator::{Action, CallKind, Rule, When};
use harness::collector::{Collector, Settings};
use harness::proxy::{Cut, Proxy};
use harness::servers::{Kind, Login, Options, RELAY, SCHEMA};
use harness::workload::Plan;

use crate::rig::{ACCESS_KEY, READY, Rig, STOPPED};

/// Secrets that are refused are secrets as well: a typing mistake is close to the truth.
const WRONG_PASSWORD: &str = "Wrong-Passw0rd-b71d40";
const WRONG_KEY: &str = "Wrong-Key-5d20f1c9";
const TOKEN: &str = "Sts-Token-93ab55e0";

/// Everything that one collector let out, by where it was.
#[derive(Default)]
struct Let {
    out: Vec<(String, String)>,
}

impl Let {
    fn add(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.out.push((place.into(), text.into()));
    }

    /// Files of a directory and of those below it; the checkpoint and the log files are among them.
    fn files(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.files(&path);
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                self.add(path.display().to_string(), String::from_utf8_lossy(&bytes));
            }
        }
    }

    async fn endpoints(&mut self, collector: &Collector, when: &str) {
        for path in [
            "/",
            "/health",
            "/health/live",
            "/health/ready",
            "/metrics",
            "/no-such-page",
        ] {
            let (_, body) = collector.get(path).await.expect("an answer");
            assert!(!body.is_empty());
            self.add(format!("{path} {when}"), body);
        }
    }

    /// Where a secret stands, and in which form.
    fn leak(&self) -> Option<String> {
        for secret in [RELAY.password, ACCESS_KEY, WRONG_PASSWORD, WRONG_KEY, TOKEN] {
            for form in forms(secret) {
                for (place, text) in &self.out {
                    if text.to_lowercase().contains(&form.to_lowercase()) {
                        return Some(format!("{secret} as {form} in {place}"));
                    }
                }
            }
        }
        None
    }
}

/// A secret as it may be found: plain, quoted, in base64 at each of the three alignments, in hex, as bytes.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut forms = vec![secret.to_owned(), hex, list];
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        forms.push(engine.encode(bytes));
    }
    // Inside a longer text, the first and last characters depend on the neighbours.
    for padding in 1..3 {
        let shifted = STANDARD_NO_PAD.encode([vec![0; padding], bytes.to_vec()].concat());
        let inner = shifted.len() - 3;
        forms.push(shifted.chars().take(inner).skip(4).collect());
    }
    forms
}

/// One life with everything in it: a start, rows, failures of both sides, recovery, a stop.
async fn eventful_life(rig: &Rig, settings: &Settings, proxy: &Proxy, out: &mut Let) {
    let mut collector = Collector::start_ready(settings, READY)
        .await
        .expect("a collector");
    out.endpoints(&collector, "when well").await;
    for (code, status) in [("InternalServerError", 500), ("LimitExceeded", 429)] {
        let action = Action::Error {
            code: code.to_owned(),
            status: Some(status),
            message: None,
            when: When::Before,
        };
        rig.emulator.add_fault(Rule::on_put(action).times(2));
    }
    rig.emulator
        .add_fault(Rule::on_put(Action::Drop { when: When::After }).times(1));
    rig.workload.run(200, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    proxy.refuse();
    proxy.cut(Cut::Reset);
    let lost = |health: &serde_json::Value| health["status"] == "reconnecting";
    collector
        .wait_health("lost connection", READY, lost)
        .await
        .expect("a lost connection");
    out.endpoints(&collector, "when reconnecting").await;
    proxy.pass();
    collector.wait_ready(READY).await.expect("ready again");
    // A key that is refused in the middle of everything.
    let action = Action::Error {
        code: "Unauthorized".to_owned(),
        status: Some(401),
        message: None,
        when: When::Before,
    };
    rig.emulator.add_fault(Rule::on(CallKind::Put, action).times(50));
    rig.workload.run(20, |_| {}).await.expect("the workload");
    let halted = |health: &serde_json::Value| health["status"] == "halted";
    collector
        .wait_health("halt", READY, halted)
        .await
        .expect("a halt");
    out.endpoints(&collector, "when halted").await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    rig.emulator.clear_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn i12_no_secret_in_any_output() {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 1).await;
    let proxy = Proxy::start(rig.server.address()).await.expect("a proxy");
    let mut out = Let::default();
    let logs = rig.settings.dir().join("logs");
    rig.settings = rig
        .settings
        .env("DATABASE_PORT", proxy.port().to_string())
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "100")
        .env("LOG_DIR", logs.display().to_string());
    for (level, format) in [("TRACE", "json"), ("DEBUG", "text")] {
        let settings = rig
            .settings
            .clone()
            .env("LOG_LEVEL", level)
            .env("LOG_FORMAT", format);
        eventful_life(&rig, &settings, &proxy, &mut out).await;
    }
    let traced = rig.settings.clone().env("LOG_LEVEL", "TRACE");
    let wrong = [
        traced.clone().env("DATABASE_PASSWORD", WRONG_PASSWORD),
        traced.clone().env("DATAHUB_ACCESS_KEY", WRONG_KEY),
        traced.clone().env("DATAHUB_SECURITY_TOKEN", TOKEN),
        traced
            .clone()
            .env("DATABASE_USERNAME", RELAY.user)
            .env("DATABASE_PORT", "1"),
    ];
    for (number, settings) in wrong.iter().enumerate() {
        for command in ["config", "check"] {
            let run = settings.clone().arg(command).run_to_end(READY).await;
            let (_, stdout, stderr) = run.expect("an end");
            assert!(!stdout.is_empty());
            out.add(format!("{command} {number} stdout"), stdout);
            out.add(format!("{command} {number} stderr"), stderr);
        }
    }
    for (number, settings) in wrong.iter().take(2).enumerate() {
        let mut collector = Collector::start(settings).expect("a start");
        let halted = |health: &serde_json::Value| health["status"] == "halted";
        collector
            .wait_health("halt", READY, halted)
            .await
            .expect("a halt");
        out.endpoints(&collector, &format!("halted {number}")).await;
        assert!(collector.stop(STOPPED).await.expect("a stop").success());
    }
    // Secrets in the wrong place: what is refused is not repeated.
    let misplaced = rig
        .settings
        .clone()
        .env("DATABASE_PORT", RELAY.password)
        .env("HEAP_SIZE", ACCESS_KEY);
    let (status, stdout, stderr) = misplaced.run_to_end(READY).await.expect("an end");
    assert_eq!(status.code(), Some(78), "{stdout}{stderr}");
    out.add("a bad configuration", stdout + &stderr);
    let login = Login {
        password: WRONG_PASSWORD,
        ..RELAY
    };
    let in_url = rig.settings.clone().database(rig.server.address(), login, SCHEMA);
    let in_url = in_url.env(
        "DATAHUB_ENDPOINT",
        format!("http://{}:{WRONG_KEY}@127.0.0.1:1", RELAY.user),
    );
    let (_, stdout, stderr) = in_url
        .arg("check")
        .arg("--measure=0")
        .run_to_end(READY)
        .await
        .expect("an end");
    out.add("a key in a URL", stdout + &stderr);

    out.files(rig.settings.dir());
    assert!(
        out.out.iter().any(|(place, _)| place.contains("logs/")),
        "no log file"
    );
    assert!(
        out.out.iter().any(|(_, text)| text.contains("TRACE")),
        "nothing at level TRACE"
    );
    assert_eq!(out.leak(), None);
}

/// The search itself finds what is planted.
#[test]
fn a_planted_secret_is_found() {
    for form in forms(ACCESS_KEY) {
        let mut out = Let::default();
        out.add("a place", format!("before {form} after"));
        assert!(out.leak().is_some(), "{form} was overlooked");
    }
}

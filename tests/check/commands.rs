//! The forms of the report, the rate, the write test, and `explain`.

use std::time::Duration;

use cdc_collector::explain;
use datahub_emulator::TopicSpec;
use harness::collector::{Collector, Settings};
use harness::servers::{Kind, Options, Server};
use serde_json::Value;

use crate::rig::{self, PROJECT, READY, STOPPED, TOPIC};

async fn printed(settings: Settings, arguments: &[&str]) -> (Option<i32>, String, String) {
    let settings = arguments
        .iter()
        .fold(settings, |settings, argument| settings.arg(*argument));
    let (status, stdout, stderr) = settings.run_to_end(READY).await.expect("an end");
    (status.code(), stdout, stderr)
}

async fn server() -> Server {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    server
        .execute(&["CREATE TABLE orders (id INT PRIMARY KEY, v LONGBLOB)"])
        .await
        .expect("a table");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_setup_passes_in_both_forms_and_the_test_record_is_read_back() {
    let server = server().await;
    let emulator = rig::emulator(2).await;
    let fields = [("id", "INTEGER"), ("v", "STRING")];
    let mut spec = TopicSpec::tuple(PROJECT, "tuples", 1, &fields);
    let schema = spec.schema.take().expect("a schema");
    spec.schema = Some(schema.replacen("\"name\":\"id\"", "\"notnull\":true,\"name\":\"id\"", 1));
    emulator.create_topic(&spec).expect("a topic");
    let settings = || rig::settings(server.address(), &emulator.endpoint());

    let (code, text, _) = printed(settings(), &["check", "--measure=0", "--write-test"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains('\x1b'), "colours in a pipe: {text}");
    for word in [
        "server",
        "binlog",
        "settings",
        "privileges",
        "retention",
        "time_zone",
        "not_checked",
        "dump",
        "lease",
        "tls",
        "database_clock",
        "tables",
        "datahub_topic",
        "datahub_clock",
        "datahub_write",
        "data_dir",
        "checkpoint",
        "port",
    ] {
        assert!(text.contains(&format!("ok     {word} ")), "{word}: {text}");
    }
    assert!(
        text.trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("passed: fatal 0, "))
    );
    let records: Vec<_> = emulator.records(PROJECT, TOPIC).expect("records").collect();
    assert_eq!(records.len(), 1);
    let group = records[0].attributes.iter().find(|(name, _)| name == "cdc.group");
    assert_eq!(
        group.map(|(_, value)| value.as_str()),
        Some("cdc-collector-check")
    );

    // What it wrote is no record of the group: a collector begins as if it were not there.
    let mut collector = Collector::start_ready(&settings(), READY).await.expect("ready");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    let tuples = settings()
        .topic(PROJECT, "tuples")
        .env("COLUMN_EXCLUDE", "orders.v");
    let (code, text, _) = printed(tuples, &["check", "--json", "--measure=0", "--write-test"]).await;
    let report: Value = serde_json::from_str(&text).expect("an object");
    let written = super::case::finding(&report, "datahub_write");
    let stored = emulator.records(PROJECT, "tuples").expect("records").count();
    assert!(written.is_some() && stored == 1, "{code:?} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_nothing_is_written_and_a_failure_says_so_in_both_forms() {
    let server = server().await;
    let emulator = rig::emulator(1).await;
    let settings = || rig::settings(server.address(), &emulator.endpoint()).env("DATABASE_SERVER_ID", "1");
    let (code, text, _) = printed(settings(), &["check", "--measure=0"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("FATAL  server_id_of_source  "), "{text}");
    let remedy = text.lines().nth(1).expect("a second line");
    assert!(
        remedy.trim_start().starts_with("→ set `DATABASE_SERVER_ID="),
        "{remedy}"
    );
    assert_eq!(
        remedy.chars().position(|c| c == '→'),
        text.lines()
            .next()
            .and_then(|line| line.find("1 is the id of the server")),
        "{text}"
    );
    let (code, text, _) = printed(settings(), &["check", "--json", "--measure=0"]).await;
    let report: Value = serde_json::from_str(&text).expect("an object");
    assert_eq!((code, &report["passed"]), (Some(1), &Value::Bool(false)));
    assert_eq!(emulator.records(PROJECT, TOPIC).expect("records").count(), 0);
}

/// More than a shard takes, for as long as it is watched.
#[tokio::test(flavor = "multi_thread")]
async fn the_binlogs_rate_is_compared_with_the_shards() {
    let server = server().await;
    let emulator = rig::emulator(1).await;
    let settings = rig::settings(server.address(), &emulator.endpoint());
    emulator
        .create_topic(&TopicSpec::blob(PROJECT, "wide", 200))
        .expect("a topic");
    let fill = async {
        for id in 0.. {
            let row = format!("INSERT INTO orders VALUES ({id}, REPEAT('x', 16000000))");
            server.execute(&[&row]).await.expect("a row");
        }
    };
    let measured = async {
        let narrow = printed(settings.clone(), &["check", "--json", "--measure=2"]).await;
        let wide = settings.clone().topic(PROJECT, "wide");
        (narrow, printed(wide, &["check", "--json", "--measure=2"]).await)
    };
    let ((code, narrow, _), (_, wide, _)) = tokio::select! {
        () = fill => panic!("it ends never"),
        both = measured => both,
    };
    let report: Value = serde_json::from_str(&narrow).expect("an object");
    let found = super::case::finding(&report, "shards_too_few").unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(
        (code, &found["severity"]),
        (Some(0), &Value::from("warning")),
        "{found}"
    );
    assert!(super::case::finding(&report, "source_rate").is_some());
    // The remedy is to have more of them.
    let report: Value = serde_json::from_str(&wide).expect("an object");
    assert!(
        super::case::finding(&report, "shards_too_few").is_none(),
        "{report:#}"
    );
}

/// The checks that a start does not do for itself are done beside it, and delay nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_says_what_the_check_says() {
    let server = server().await;
    let emulator = rig::emulator(1).await;
    let settings = rig::settings(server.address(), &emulator.endpoint())
        .env("POISON_POLICY", "dead_letter")
        .env("DEAD_LETTER_MAX_BYTES", "1024g");
    server
        .execute(&["SET GLOBAL binlog_expire_logs_seconds = 3600"])
        .await
        .expect("a setting");
    if cdc_collector::store::room(settings.dir()).expect("the room") >= 1024 << 30 {
        return;
    }
    let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
    let both = async {
        let said = |code: &str| {
            collector
                .output()
                .warnings(&[])
                .iter()
                .any(|line| line.contains(code))
        };
        while !(said("disk_space_low") && said("retention_short")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(READY, both).await.expect("both warnings");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_prints_pages_lists_them_and_knows_what_was_meant() {
    let settings = || Settings::new(rig::binary()).expect("settings");
    let (code, text, _) = printed(settings(), &["explain"]).await;
    let listed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(listed, explain::codes().collect::<Vec<_>>());
    assert_eq!(code, Some(0));
    let (code, text, _) = printed(settings(), &["explain", "binlog_disabled"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(text, include_str!("../../docs/errors/binlog_disabled.md"));
    let (code, _, stderr) = printed(settings(), &["explain", "binlog_disable"]).await;
    assert_eq!(code, Some(1));
    assert!(stderr.contains("did you mean binlog_disabled?"), "{stderr}");
}

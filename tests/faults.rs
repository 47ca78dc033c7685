//! The world breaks under load, and all of it is there afterwards: once, in order and right.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datahub_emulator::{Action, CallKind, Rule, When};
use harness::collector::Collector;
use harness::proxy::{Cut, Direction, Proxy};
use harness::servers::{Kind, Options};
use harness::workload::Plan;
use tokio::time::Instant;

use crate::rig::{ARRIVED, PROJECT, READY, Rig, STOPPED, TOPIC, i14_conserved};

/// How long either side may be silent before the collector says that it is not ready.
const NOTICED: Duration = Duration::from_secs(60);

/// Writers that leave the machine time for everything else.
fn steady() -> Plan {
    Plan {
        pause: Duration::from_millis(5),
        ..Plan::default()
    }
}

impl Rig {
    /// Everything committed is there: once, in order and right.
    pub(crate) async fn exact(&self, collector: &mut Collector) {
        self.caught_up(collector).await;
        let report = self.verdict().await;
        assert!(report.is_exact(), "{report}\n{}", collector.output().tail());
        i14_conserved(collector).await;
    }

    /// Runs the workload for as long as `during` takes, and a little beyond.
    pub(crate) async fn under_load<T>(&self, during: impl Future<Output = T>) -> T {
        let during = self.workload.during(async { Ok(during.await) });
        during.await.expect("the workload")
    }
}

/// Silence on one side for as long as it takes to be noticed, then good weather again; alive all the while.
async fn goes_silent_and_comes_back(collector: &mut Collector, proxy: &Proxy) {
    let live = format!("http://127.0.0.1:{}/health/live", collector.port());
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(READY)
        .build()
        .expect("a client");
    let over = AtomicBool::new(false);
    let alive = async {
        let mut answers = 0_u32;
        while !over.load(Ordering::Relaxed) {
            let answer = client.get(&live).send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), 200);
            answers += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(answers > 10, "{answers} answers");
    };
    let weather = async {
        proxy.blackhole(Direction::Both);
        let begun = Instant::now();
        collector
            .wait_for_status("/health/ready", 503, NOTICED)
            .await
            .expect("not ready");
        println!("silence noticed after {:?}", begun.elapsed());
        let health = collector.health().await.expect("health");
        assert_ne!(health["reason_code"], "ok", "{health}");
        assert!(
            health["remedy"].as_str().is_some_and(|text| !text.is_empty()),
            "{health}"
        );
        proxy.pass();
        let begun = Instant::now();
        collector
            .wait_for_status("/health/ready", 200, NOTICED)
            .await
            .expect("ready again");
        println!("ready again after {:?}", begun.elapsed());
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(alive, weather);
}

/// A collector between two proxies, with nothing but defaults.
async fn between_proxies() -> (Rig, Proxy, Proxy, Collector) {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), steady(), 2).await;
    let source = Proxy::start(rig.server.address()).await.expect("a proxy");
    let sink = Proxy::start(rig.emulator.addr()).await.expect("a proxy");
    rig.settings = rig
        .settings
        .env("DATABASE_PORT", source.port().to_string())
        .env("DATAHUB_ENDPOINT", format!("http://{}", sink.address()));
    let collector = rig.start().await;
    (rig, source, sink, collector)
}

/// Which side goes silent.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Source,
    Sink,
}

/// Either side goes silent without closing anything, under load or idle.
async fn silence(side: Side, loaded: bool) {
    let (rig, source, sink, mut collector) = between_proxies().await;
    let proxy = if side == Side::Source { &source } else { &sink };
    if loaded {
        rig.under_load(goes_silent_and_comes_back(&mut collector, proxy))
            .await;
    } else {
        rig.workload.run(500, |_| {}).await.expect("the workload");
        rig.caught_up(&mut collector).await;
        goes_silent_and_comes_back(&mut collector, proxy).await;
        rig.workload.run(500, |_| {}).await.expect("the workload");
    }
    rig.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_side_is_noticed_within_a_minute_and_survived() {
    tokio::join!(
        silence(Side::Source, false),
        silence(Side::Source, true),
        silence(Side::Sink, false),
        silence(Side::Sink, true),
    );
}

/// The connection to the database is cut at random bytes, by RST and by FIN.
async fn source_is_cut(kind: Kind, cuts: u64) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut rig = Rig::new(kind, Options::default(), Plan { seed, ..steady() }, 2).await;
    let proxy = Proxy::start(rig.server.address()).await.expect("a proxy");
    rig.settings = rig
        .settings
        .env("DATABASE_PORT", proxy.port().to_string())
        .env("RETRY_BACKOFF_MS", "20");
    let mut collector = rig.start().await;
    let storm = async {
        for number in 0..cuts {
            let cut = if rng.bool() { Cut::Reset } else { Cut::Close };
            proxy.cut_after(Direction::ToClient, rng.u64(1..60_000), cut);
            let cut = async {
                while proxy.cuts() <= number {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(READY, cut)
                .await
                .unwrap_or_else(|_| panic!("seed {seed}: no cut {number}"));
        }
    };
    Box::pin(rig.under_load(storm)).await;
    rig.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_cut_twenty_times_under_load_it_continues_at_the_row() {
    tokio::join!(source_is_cut(Kind::MySql, 20), source_is_cut(Kind::MariaDb, 20));
}

/// The database is killed under load and starts again on what it had committed.
async fn database_is_killed(kind: Kind) {
    let mut rig = Rig::new(kind, Options::default(), steady(), 2).await;
    rig.settings = rig.settings.env("RETRY_BACKOFF_MS", "50");
    let mut collector = rig.start().await;
    let workload = rig.workload.clone();
    for _ in 0..2 {
        let log = workload.log();
        let before = log.totals().changes;
        let server = &mut rig.server;
        let killed = async {
            while log.totals().changes < before + 500 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            server.kill().expect("a kill");
            server.restart().await.expect("a restart");
            let resumed = log.totals().changes + 500;
            while log.totals().changes < resumed {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            workload.stop();
        };
        let killed = tokio::time::timeout(ARRIVED, killed);
        let (load, killed) = tokio::join!(workload.run(u64::MAX, |_| {}), killed);
        load.expect("the workload");
        killed.expect("the database comes back");
    }
    rig.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_under_load_loses_and_repeats_nothing() {
    tokio::join!(database_is_killed(Kind::MySql), database_is_killed(Kind::MariaDb));
}

fn every(n: u64, count: u64, action: Action) -> Rule {
    let mut rule = Rule::on_put(action).times(count);
    rule.matcher.every = Some(n);
    rule
}

fn error(code: &str, status: Option<u16>, when: When) -> Action {
    Action::Error {
        code: code.to_owned(),
        status,
        message: None,
        when,
    }
}

/// Faults of every kind, one kind after the other: nothing is lost, and the shard is read back before anything
/// is sent again, so nothing comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn i2_every_fault_of_datahub_leaves_the_topic_exact() {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), steady(), 2).await;
    rig.settings = rig
        .settings
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "200")
        .env("DATAHUB_TIMEOUT_SECONDS", "5");
    let mut collector = rig.start().await;
    let (before, after) = (When::Before, When::After);
    let plans = [
        (
            "429 storm",
            Rule::on_put(error("LimitExceeded", Some(429), before)).times(20),
        ),
        (
            "500 before",
            every(3, 6, error("InternalServerError", Some(500), before)),
        ),
        (
            "500 after",
            every(3, 3, error("InternalServerError", Some(500), after)),
        ),
        (
            "HTML before",
            every(
                3,
                4,
                Action::Html {
                    status: Some(502),
                    when: before,
                },
            ),
        ),
        (
            "HTML after",
            every(
                3,
                3,
                Action::Html {
                    status: Some(502),
                    when: after,
                },
            ),
        ),
        ("dropped", every(3, 4, Action::Drop { when: before })),
        ("answer lost", every(3, 4, Action::Drop { when: after })),
        ("truncated", every(3, 3, Action::TruncatedBody)),
        ("wrong checksum", every(3, 3, Action::WrongCrc)),
        ("hang", every(5, 1, Action::Hang { when: before })),
        ("hang after", every(5, 1, Action::Hang { when: after })),
        (
            "a listing fails",
            Rule::on(
                CallKind::ListShards,
                error("InternalServerError", Some(500), before),
            )
            .times(1),
        ),
        (
            "a shard not ready",
            Rule::on_put(error("ShardNotReady", None, before)).times(3),
        ),
        (
            "some records",
            every(
                4,
                3,
                Action::FailRecords {
                    indexes: vec![0, 2],
                    contains: None,
                    code: "LimitExceeded".to_owned(),
                    message: None,
                },
            ),
        ),
    ];
    let storm = async {
        for (name, rule) in plans {
            let times = rule.count.unwrap_or(1);
            let id = rig.emulator.add_fault(rule);
            let fired = async {
                while rig.emulator.fault_fired(id) < times {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let waited = tokio::time::timeout(Duration::from_secs(60), fired).await;
            waited.unwrap_or_else(|_| panic!("{name}: it did not strike\n{}", collector.output().tail()));
        }
    };
    Box::pin(rig.under_load(storm)).await;
    rig.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// Shards are split and merged under load, and a key's changes stay in order.
#[tokio::test(flavor = "multi_thread")]
async fn i4_shards_split_and_merge_under_load() {
    let rig = Rig::new(Kind::MariaDb, Options::default(), steady(), 2).await;
    let mut collector = rig.start().await;
    let storm = async {
        for _ in 0..3 {
            let shards = rig.emulator.shards(PROJECT, TOPIC).expect("shards");
            let widest = shards
                .iter()
                .filter(|s| s.active)
                .max_by_key(|s| s.end - s.begin)
                .expect("a shard")
                .id;
            let (left, right) = rig.emulator.split(PROJECT, TOPIC, widest).expect("a split");
            rig.workload.more(500).await.expect("the workload goes on");
            rig.emulator.merge(PROJECT, TOPIC, left, right).expect("a merge");
            rig.workload.more(500).await.expect("the workload goes on");
        }
    };
    Box::pin(rig.under_load(storm)).await;
    rig.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// A record that can never be stored stops nothing but itself, if that is wanted; else it stops everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_record_is_put_aside_or_halts() {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 1).await;
    rig.server
        .execute(&["CREATE TABLE notes (id INT PRIMARY KEY, v TEXT)"])
        .await
        .expect("a table");
    rig.settings = rig
        .settings
        .env("RETRY_BACKOFF_MS", "20")
        .env("DATABASE_TABLES", "notes");
    let poison = Action::FailRecords {
        indexes: Vec::new(),
        contains: Some("poisoned apple".to_owned()),
        code: "MalformedRecord".to_owned(),
        message: Some("malformed".to_owned()),
    };
    rig.emulator.add_fault(Rule::on_put(poison));
    let mut collector = rig.start().await;
    let rows: Vec<String> = (0..400)
        .map(|id| {
            format!(
                "({id}, '{}')",
                if id == 137 { "a poisoned apple" } else { "an apple" }
            )
        })
        .collect();
    rig.server
        .execute(&[&format!("INSERT INTO notes VALUES {}", rows.join(","))])
        .await
        .expect("rows");
    let halted = |health: &serde_json::Value| health["status"] == "halted";
    let health = collector
        .wait_health("halt", READY, halted)
        .await
        .expect("a halt");
    assert_eq!(health["reason_code"], "datahub_malformed_record", "{health}");
    assert!(
        health["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("POISON_POLICY")),
        "{health}"
    );
    assert!(
        !health.to_string().contains("poisoned apple"),
        "no values in health"
    );
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    rig.settings = rig.settings.clone().env("POISON_POLICY", "dead_letter");
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    // What was delivered before the halt came again, under the same id: a consumer keeps the first.
    let mut stored = std::collections::BTreeMap::new();
    for record in rig.emulator.records(PROJECT, TOPIC).expect("the topic") {
        let payload =
            serde_json::from_slice::<serde_json::Value>(record.blob().expect("a blob")).expect("JSON");
        let id = record.attribute("cdc.id").expect("an id").to_owned();
        let row = payload["after"]["id"].as_i64().expect("an id");
        assert_eq!(*stored.entry(id).or_insert(row), row);
    }
    let mut stored: Vec<i64> = stored.into_values().collect();
    stored.sort_unstable();
    assert_eq!(stored, (0..400).filter(|id| *id != 137).collect::<Vec<i64>>());
    let letters: Vec<String> = std::fs::read_dir(rig.settings.data_dir())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).expect("text");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(
        letters
            .iter()
            .all(|line| line.contains("datahub_malformed_record")),
        "{letters:?}"
    );
    i14_conserved(&collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// Rows of the transaction that fits into no memory.
const HUGE: u64 = 1_000_000;
/// The most memory that it may take.
const HUGE_BYTES: u64 = 96 << 20;

/// Four shards with a full request each.
const IN_FLIGHT: u64 = 4 * 4_000;

/// A transaction of a million rows streams through in little memory, and killed in its middle goes on at a row.
#[tokio::test(flavor = "multi_thread")]
async fn i7_a_million_rows_in_one_transaction() {
    let rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 4).await;
    let mut collector = rig.start().await;
    let load = rig.workload.huge_transaction(HUGE);
    let killed = async {
        let delivered = rig
            .emulator
            .wait_for_records(PROJECT, TOPIC, HUGE * 2 / 5, ARRIVED)
            .await;
        delivered.expect("the first part");
        let inside = |health: &serde_json::Value| health["position"]["rows"].as_u64() > Some(100_000);
        let health = collector
            .wait_health("position inside the transaction", READY, inside)
            .await;
        let rows = health.expect("a position")["position"]["rows"]
            .as_u64()
            .expect("a number");
        collector.kill9().expect("a kill");
        let stored = rig.emulator.count(PROJECT, TOPIC).expect("a topic");
        assert!(stored < HUGE, "the transaction was over before the kill");
        stored - rows
    };
    let (load, behind) = tokio::join!(load, killed);
    load.expect("the transaction");
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    let peak = collector.rss_bytes().expect("memory").peak;
    assert!(peak <= HUGE_BYTES, "{} MiB", peak >> 20);
    let report = rig.verdict().await;
    assert!(report.is_effectively_once(), "{report}");
    println!(
        "{} of {HUGE} rows came twice, {} MiB at most",
        report.repeated(),
        peak >> 20
    );
    // Only what came behind the checkpoint, and what was on its way when the kill came.
    assert!(
        report.repeated() <= behind + IN_FLIGHT,
        "{behind} behind the checkpoint\n{report}"
    );
    i14_conserved(&collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

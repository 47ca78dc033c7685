//! Two collectors of one group: one is at work, the other stands by and takes over when the first one is gone.

use std::time::Duration;

use cdc_collector::source::lease::{Connection, Grant};
use harness::collector::{Collector, Settings};
use harness::process::Signal;
use harness::proxy::{Cut, Direction, Proxy};
use harness::servers::{Kind, Options, Server};
use harness::workload::Plan;
use tokio::time::Instant;

use crate::preflight;
use crate::rig::{self, PROJECT, READY, Rig, STOPPED, TOPIC, i14_conserved};

/// How long it may take from the death of the one until the other relays.
const TAKEN_OVER: Duration = Duration::from_secs(10);
/// How long the server may take on top of that to give up a connection that is silent.
const SILENCE: Duration = Duration::from_secs(5);
/// What a collector ends with that was replaced.
const SUPERSEDED: i32 = 75;

/// The connection that holds the lease. All versions have to spell the lock alike, or two would be at work.
const HOLDER: &str = "SELECT IS_USED_LOCK('cdc-collector/f250fdec282e70a3c2c9df2a38547b98')";

fn plan() -> Plan {
    Plan {
        pause: Duration::from_millis(5),
        ..Plan::default()
    }
}

/// A rig whose collectors find their first position, and the settings of another collector of the group.
async fn pair(kind: Kind) -> (Rig, Settings) {
    let rig = Rig::new(kind, Options::default(), plan(), 3).await;
    let other = rig::settings(rig.server.address(), &rig.emulator.endpoint());
    (rig, other)
}

async fn standing_by(settings: &Settings) -> Collector {
    let mut collector = Collector::start(settings).expect("a start");
    let stands_by = |health: &serde_json::Value| health["status"] == "standby";
    let health = collector.wait_health("standby", READY, stands_by).await;
    let health = health.expect("a standby");
    assert_eq!(health["components"]["lease"]["state"], "standby", "{health}");
    collector
}

/// Waits until a collector that stood by relays; says how long that took.
async fn takes_over(collector: &mut Collector, limit: Duration) -> Duration {
    let begun = Instant::now();
    let relays = |health: &serde_json::Value| health["status"] == "ok";
    let health = collector.wait_health("takeover", limit, relays).await;
    assert_eq!(
        health.expect("a takeover")["components"]["lease"]["state"],
        "held"
    );
    println!("taken over after {:?}", begun.elapsed());
    begun.elapsed()
}

/// Each shard's records are in the order of their epochs; says which is the last.
fn epochs_in_order(rig: &Rig) -> u64 {
    let mut last = std::collections::BTreeMap::new();
    for record in rig.emulator.records(PROJECT, TOPIC).expect("the topic") {
        let epoch = record.attribute("cdc.epoch").expect("an epoch");
        let epoch: u64 = epoch.parse().expect("a number");
        let before = last.insert(record.shard.to_string(), epoch).unwrap_or_default();
        assert!(
            before <= epoch,
            "epoch {epoch} behind {before} in shard {}",
            record.shard
        );
    }
    last.into_values().max().unwrap_or_default()
}

async fn is_replaced(collector: &mut Collector) {
    let status = collector.wait_exit(READY).await.expect("an end");
    assert_eq!(status.code(), Some(SUPERSEDED), "{}", collector.output().stdout());
}

async fn killed_in_turn(kind: Kind) {
    let (rig, other) = pair(kind).await;
    let other = other.env("READY_WHEN_STANDBY", "true");
    let mut active = rig.start().await;
    rig.workload.run(200, |_| {}).await.expect("the workload");
    let mut standby = standing_by(&other).await;
    assert_eq!(standby.get("/health/ready").await.expect("an answer").0, 200);
    assert_eq!(standby.get("/health/live").await.expect("an answer").0, 200);
    let (mut ours, mut theirs) = (rig.settings.clone(), other);
    let turns = async {
        for _ in 0..4 {
            rig.workload.more(300).await.expect("the workload goes on");
            active.kill9().expect("a kill");
            takes_over(&mut standby, TAKEN_OVER).await;
            active = standing_by(&ours).await;
            std::mem::swap(&mut active, &mut standby);
            std::mem::swap(&mut ours, &mut theirs);
        }
    };
    rig.under_load(turns).await;
    rig.exact(&mut active).await;
    assert_eq!(epochs_in_order(&rig), 5);
    let said = standby.metrics().await.expect("metrics");
    assert_eq!(said.count("cdc_rows_decoded_total"), 0);
    assert!(standby.stop(STOPPED).await.expect("a stop").success());
    assert!(active.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_turn_on_mysql() {
    Box::pin(killed_in_turn(Kind::MySql)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_turn_on_mariadb() {
    Box::pin(killed_in_turn(Kind::MariaDb)).await;
}

/// A standby is not ready unless that is wanted, is alive, ends at once, and takes over from one that is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_waits_for_its_turn() {
    let (rig, other) = pair(Kind::MariaDb).await;
    let mut active = rig.start().await;
    rig.workload.run(200, |_| {}).await.expect("the workload");
    let mut standby = standing_by(&other).await;
    assert_eq!(standby.get("/health/ready").await.expect("an answer").0, 503);
    assert_eq!(standby.get("/health/live").await.expect("an answer").0, 200);
    assert!(standby.stop(STOPPED).await.expect("a stop").success());
    let mut standby = standing_by(&other).await;
    rig.workload.run(200, |_| {}).await.expect("the workload");
    assert!(active.stop(STOPPED).await.expect("a stop").success());
    takes_over(&mut standby, TAKEN_OVER).await;
    rig.exact(&mut standby).await;
    epochs_in_order(&rig);
}

/// The database cannot be reached any more by the one that is at work, and DataHub can.
async fn away_from_the_database(kind: Kind, away: impl Fn(&Proxy), limit: Duration) {
    let (mut rig, other) = pair(kind).await;
    let database = Proxy::start(rig.server.address()).await.expect("a proxy");
    rig.settings = rig
        .settings
        .env("DATABASE_PORT", database.port().to_string())
        .env("RETRY_BACKOFF_MS", "100");
    let mut cut = rig.start().await;
    rig.workload.run(200, |_| {}).await.expect("the workload");
    let mut standby = standing_by(&other).await;
    let replaced = async {
        rig.workload.more(300).await.expect("the workload goes on");
        away(&database);
        takes_over(&mut standby, limit).await;
        let held = cut.metrics().await.expect("metrics");
        assert_eq!(held.sum("cdc_lease_held"), Some(0.0));
        assert_eq!(cut.get("/health/ready").await.expect("an answer").0, 503);
        rig.workload.more(300).await.expect("the workload goes on");
        database.cut(Cut::Reset);
        database.pass();
        is_replaced(&mut cut).await;
    };
    rig.under_load(replaced).await;
    rig.exact(&mut standby).await;
    assert_eq!(epochs_in_order(&rig), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cut_from_the_database_sends_nothing_more() {
    let cut = |proxy: &Proxy| {
        proxy.refuse();
        proxy.cut(Cut::Reset);
    };
    for kind in [Kind::MySql, Kind::MariaDb] {
        Box::pin(away_from_the_database(kind, cut, TAKEN_OVER)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hears_nothing_from_the_database_sends_nothing_more() {
    let silent = |proxy: &Proxy| proxy.blackhole(Direction::Both);
    for kind in [Kind::MySql, Kind::MariaDb] {
        Box::pin(away_from_the_database(kind, silent, TAKEN_OVER + SILENCE)).await;
    }
}

/// A process that is frozen, replaced, and thawed: it finds its time over before it sends anything.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_frozen_sends_nothing_more() {
    for kind in [Kind::MySql, Kind::MariaDb] {
        let (rig, other) = pair(kind).await;
        // MariaDB serves no second reader of one id while it waits for the first.
        let other = other.env("DATABASE_SERVER_ID", "4712");
        let mut frozen = rig.start().await;
        rig.workload.run(200, |_| {}).await.expect("the workload");
        let mut standby = standing_by(&other).await;
        let replaced = async {
            rig.workload.more(300).await.expect("the workload goes on");
            frozen.signal(Signal::Stop).expect("a signal");
            takes_over(&mut standby, TAKEN_OVER + SILENCE).await;
            rig.workload.more(300).await.expect("the workload goes on");
            frozen.signal(Signal::Continue).expect("a signal");
            is_replaced(&mut frozen).await;
        };
        rig.under_load(replaced).await;
        rig.exact(&mut standby).await;
        assert_eq!(epochs_in_order(&rig), 2);
    }
}

async fn kill_the_holder(rig: &Rig) {
    let holder: Vec<Option<u64>> = rig.server.query(HOLDER).await.expect("an answer");
    let id = holder.first().copied().flatten().expect("a holder");
    rig.server
        .execute(&[&format!("KILL {id}")])
        .await
        .expect("a kill");
}

/// An administrator ends the connection that holds the lease: alone, the collector takes it again and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_else_wants_is_taken_again() {
    for kind in [Kind::MySql, Kind::MariaDb] {
        let (rig, _) = pair(kind).await;
        let mut collector = rig.start().await;
        let kills = async {
            for _ in 0..3 {
                rig.workload.more(200).await.expect("the workload goes on");
                kill_the_holder(&rig).await;
                let again = async {
                    while rig.server.query::<Option<u64>>(HOLDER).await.expect("an answer") == [None] {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                tokio::time::timeout(TAKEN_OVER, again)
                    .await
                    .expect("a holder again");
            }
        };
        rig.under_load(kills).await;
        rig.exact(&mut collector).await;
        assert_eq!(epochs_in_order(&rig), 1);
        assert!(collector.stop(STOPPED).await.expect("a stop").success());
    }
}

/// With another one that waits for it, the lease is gone: the collector leaves, and stands by when it is started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_another_one_has_taken_ends_the_process() {
    for kind in [Kind::MySql, Kind::MariaDb] {
        let (rig, other) = pair(kind).await;
        let mut replaced = rig.start().await;
        rig.workload.run(200, |_| {}).await.expect("the workload");
        let mut standby = standing_by(&other).await;
        let kill = async {
            rig.workload.more(300).await.expect("the workload goes on");
            kill_the_holder(&rig).await;
            takes_over(&mut standby, TAKEN_OVER).await;
            is_replaced(&mut replaced).await;
            standing_by(&rig.settings).await
        };
        let mut again = rig.under_load(kill).await;
        rig.exact(&mut standby).await;
        assert_eq!(epochs_in_order(&rig), 2);
        assert!(again.stop(STOPPED).await.expect("a stop").success());
    }
}

/// The database is away for longer than the lease is trusted, and nobody else was at work: what was read is sent after all,
/// by the same process.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_waits_for_the_lease() {
    let (mut rig, _) = pair(Kind::MariaDb).await;
    let database = Proxy::start(rig.server.address()).await.expect("a proxy");
    rig.settings = rig
        .settings
        .env("DATABASE_PORT", database.port().to_string())
        .env("RETRY_BACKOFF_MS", "100");
    let mut collector = rig.start().await;
    let away = async {
        rig.workload.more(300).await.expect("the workload goes on");
        database.refuse();
        database.cut(Cut::Reset);
        let lost = |health: &serde_json::Value| health["status"] == "reconnecting";
        let waited = collector.wait_health("loss", READY, lost).await;
        waited.expect("a lost database");
        database.pass();
        takes_over(&mut collector, READY).await;
    };
    rig.under_load(away).await;
    rig.exact(&mut collector).await;
    i14_conserved(&collector).await;
    assert_eq!(epochs_in_order(&rig), 1);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// What the lease relies on: one holder, which is known by its connection's id, and which is given up when it is silent.
#[tokio::test]
async fn a_lock_ends_with_its_connection() {
    for kind in [Kind::MySql, Kind::MariaDb] {
        let server = Server::start(kind, Options::default()).await.expect("a server");
        let config = preflight::config(&server, server.admin());
        let open = async || {
            Connection::open(&config, "cdc-collector/test")
                .await
                .expect("a connection")
        };
        let (mut first, mut second) = (open().await, open().await);
        assert_eq!(first.take(0).await, Ok(Grant::Ours), "{kind}");
        assert_eq!(first.take(0).await, Ok(Grant::Ours), "{kind}: again");
        let held = Grant::Others(Some(first.id().to_owned()));
        assert_eq!(second.take(0).await, Ok(held), "{kind}");
        assert!(first.is_held().await.expect("an answer") && !second.is_held().await.expect("an answer"));
        first.close().await;
        assert_eq!(second.take(5).await, Ok(Grant::Ours), "{kind}: given back");
        // It says nothing from here on, and is there all the while.
        let mut third = open().await;
        let begun = Instant::now();
        while third.take(1).await.expect("an answer") != Grant::Ours {}
        println!("{kind}: a silent holder is given up after {:?}", begun.elapsed());
        assert!(begun.elapsed() < TAKEN_OVER, "{kind}");
        assert!(second.is_held().await.is_err(), "{kind}");
    }
}

/// OceanBase's engine keeps a lock whose connection has ended: there the collector goes without.
#[tokio::test]
async fn oceanbase_has_no_lock_to_rely_on() {
    let server = Server::start(Kind::Seekdb, Options::default())
        .await
        .expect("a server");
    let config = preflight::config(&server, server.admin());
    let connection = Connection::open(&config, "cdc-collector/test").await;
    assert_eq!(
        connection.expect("a connection").take(0).await,
        Ok(Grant::Unsupported)
    );
}

//! Seeded interleavings of statements that change rows and statements that change tables, with restarts in between.
//!
//! Many interleavings run at once in one server, each in tables of its own on a connection of its own, before one
//! collector that is stopped or killed at a random moment of each group and started again at a later one. What
//! then is in the topic is held against the scripts, record by record: names, values, order, and nothing else.
//! `DDL_SEEDS` asks for another number of interleavings, `DDL_SEED` for that one alone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use harness::collector::Collector;
use harness::servers::{Kind, Options, SCHEMA};
use harness::workload::Plan;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::task::JoinSet;

use super::script::Script;
use super::topic;
use crate::rig::{ARRIVED, PROJECT, READY, Rig, STOPPED, TOPIC, i14_conserved};

/// Interleavings of a plain `cargo test`, on each server.
const SEEDS: u64 = 300;
/// Interleavings between two checks; each group is one life of the collector, and a restart in its middle.
const GROUP: usize = 25;
/// Connections that write at once.
const WRITERS: usize = 5;
/// Statements or transactions of one interleaving.
const STEPS: usize = 20;

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own knob, not configuration of the product"
)]
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a whole number"))
}

/// Runs one statement; without `ALGORITHM=INSTANT` where the server cannot do it that way.
async fn run(conn: &mut Conn, sql: &str) -> Result<(), mysql_async::Error> {
    match conn.query_drop(sql).await {
        Err(mysql_async::Error::Server(_)) if sql.ends_with(INSTANT) => {
            conn.query_drop(&sql[..sql.len() - INSTANT.len()]).await
        }
        other => other,
    }
}

const INSTANT: &str = ", ALGORITHM=INSTANT";

/// Runs scripts one after the other until none is left.
async fn write(opts: Opts, left: Arc<Mutex<VecDeque<Arc<Script>>>>, steps: Arc<AtomicU64>) {
    let mut conn = Conn::new(opts).await.expect("a connection");
    conn.query_drop(format!("USE {SCHEMA}"))
        .await
        .expect("the database");
    conn.query_drop("SET NAMES utf8mb4")
        .await
        .expect("a character set");
    loop {
        let next = left.lock().expect("no writer panicked").pop_front();
        let Some(script) = next else { break };
        for step in &script.steps {
            for sql in &step.sql {
                if let Err(error) = run(&mut conn, sql).await {
                    panic!("seed {}: {sql}: {error}\n{}", script.seed, script.text());
                }
            }
            steps.fetch_add(1, Ordering::Release);
        }
    }
    conn.disconnect().await.expect("an end");
}

async fn reached(steps: &AtomicU64, wanted: u64) {
    let moved = async {
        while steps.load(Ordering::Acquire) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(ARRIVED, moved).await.expect("progress");
}

/// Lets a group of scripts run, and ends and starts the collector meanwhile.
async fn live(rig: &Rig, mut collector: Collector, scripts: &[Arc<Script>], rng: &mut Rng) -> Collector {
    let steps = Arc::new(AtomicU64::new(0));
    let left = Arc::new(Mutex::new(scripts.iter().cloned().collect::<VecDeque<_>>()));
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS.min(scripts.len()) {
        let opts = rig.server.opts(rig.server.admin());
        writers.spawn(write(opts, Arc::clone(&left), Arc::clone(&steps)));
    }
    let total: usize = scripts.iter().map(|script| script.steps.len()).sum();
    let total = total as u64;
    let down = rng.u64(0..total);
    // At once, or after a while in which statements of both kinds pile up.
    let up = if rng.bool() { down } else { rng.u64(down..=total) };
    let restart = async {
        reached(&steps, down).await;
        if rng.bool() {
            collector.kill9().expect("a kill");
        } else {
            collector.stop(STOPPED).await.expect("a stop");
        }
        reached(&steps, up).await;
        Collector::start(&rig.settings).expect("a restart")
    };
    let written = async {
        while let Some(done) = writers.join_next().await {
            done.expect("a writer");
        }
    };
    let ((), mut collector) = tokio::join!(written, restart);
    collector
        .wait_ready(READY)
        .await
        .expect("ready after the restart");
    rig.caught_up(&mut collector).await;
    collector
}

async fn interleavings_arrive_exactly(kind: Kind, options: Options) {
    let first = asked("DDL_SEED");
    let count = if first.is_some() {
        1
    } else {
        asked("DDL_SEEDS").unwrap_or(SEEDS)
    };
    let base = first.unwrap_or_else(|| fastrand::u64(0..1_000_000) * 1000);
    println!("{kind}: seeds {base} to {}", base + count - 1);
    let mut rng = Rng::with_seed(base);
    let rig = Rig::new(kind, options, Plan::default(), 3).await;
    let mut collector = rig.start().await;
    let seeds: Vec<u64> = (base..base + count).collect();
    let (mut records, mut kinds) = (0, BTreeMap::<&str, u32>::new());
    for group in seeds.chunks(GROUP) {
        let scripts: Vec<_> = group
            .iter()
            .map(|seed| Arc::new(Script::new(*seed, STEPS)))
            .collect();
        collector = live(&rig, collector, &scripts, &mut rng).await;
        let seen = topic::read(&rig.emulator, PROJECT, TOPIC);
        let mut conn = rig.server.connect().await.expect("a connection");
        for script in &scripts {
            if let Some(problem) = topic::judge(script, &seen, &mut conn).await {
                panic!(
                    "{kind}, seed {} (DDL_SEED={} for it alone, base {base}):\n{problem}\nits statements:\n{}",
                    script.seed,
                    script.seed,
                    script.text()
                );
            }
            for (kind, times) in &script.kinds {
                *kinds.entry(kind).or_default() += times;
            }
        }
        records = seen.len();
    }
    i14_conserved(&collector).await;
    println!("{kind}: {count} interleavings, {records} changes, {kinds:?}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_random_interleavings_arrive_exactly_from_mysql() {
    interleavings_arrive_exactly(Kind::MySql, Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_random_interleavings_arrive_exactly_from_mariadb() {
    interleavings_arrive_exactly(Kind::MariaDb, Options::default()).await;
}

//! Seeded interleavings of statements that change rows and statements that change tables, with restarts in between.
//!
//! Many interleavings run at once in one server, each in tables of its own on a connection of its own, before one
//! collector that is stopped or killed at a random moment of each group and started again at a later one. What
//! then is in the topic is held against the scripts, record by record: names, values, order, and nothing else.
//! `DDL_SEEDS` asks for another number of interleavings, `DDL_SEED` for those from that seed on (one, if
//! no number is given).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use harness::collector::Collector;
use harness::servers::{Kind, Options, SCHEMA};
use harness::workload::Plan;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::{Mutex, RwLock};
use tokio::task::JoinSet;

use super::script::Script;
use super::topic;
use crate::rig::{ARRIVED, PROJECT, READY, Rig, STOPPED, TOPIC, i14_conserved};

/// Interleavings of a plain `cargo test`, on each server.
const SEEDS: u64 = 300;
/// Interleavings between two checks; each group is one life of the collector, and a restart in its middle.
const GROUP: usize = 25;
/// Connections that write at once.
const WRITERS: usize = 8;
/// Statements or transactions of one interleaving.
const STEPS: usize = 14;

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
    let result = conn.query_drop(sql).await;
    match (&result, sql.strip_suffix(INSTANT)) {
        (Err(mysql_async::Error::Server(_)), Some(plain)) => conn.query_drop(plain).await,
        _ => result,
    }
}

const INSTANT: &str = ", ALGORITHM=INSTANT";

/// What a group's writers and its restarts share.
struct Life {
    rig: Rig,
    pace: Pace,
    collector: Mutex<Collector>,
    left: Mutex<VecDeque<Arc<Script>>>,
    /// Steps that are done.
    steps: AtomicU64,
    /// How often somebody wanted the collector to catch up, and up to which of them it has.
    asked: AtomicU64,
    answered: AtomicU64,
    /// Held by every step; taken as a whole to have no step under way.
    gate: RwLock<()>,
}

/// How far tables may run ahead of the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// A table changes only when the collector has read everything before, and restarts when nothing is under way.
    Following,
    /// As they like: the collector falls behind by any number of changes.
    Free,
}

impl Life {
    /// Waits until the collector has read everything that was committed before the call.
    async fn caught_up(&self) {
        let asked = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut collector = self.collector.lock().await;
        // Whoever waited in front waited for all that had asked by then.
        if self.answered.load(Ordering::Acquire) < asked {
            let all = self.asked.load(Ordering::Acquire);
            self.rig.caught_up(&mut collector).await;
            self.answered.store(all, Ordering::Release);
        }
    }

    /// Runs scripts one after the other until none is left.
    async fn write(self: Arc<Self>) {
        let opts = self.rig.server.opts(self.rig.server.admin());
        let mut conn = Conn::new(opts).await.expect("a connection");
        conn.query_drop(format!("USE {SCHEMA}"))
            .await
            .expect("the database");
        conn.query_drop("SET NAMES utf8mb4")
            .await
            .expect("a character set");
        loop {
            let next = self.left.lock().await.pop_front();
            let Some(script) = next else { break };
            for step in &script.steps {
                if step.is_ddl && self.pace == Pace::Following {
                    self.caught_up().await;
                }
                let _under_way = self.gate.read().await;
                for sql in &step.sql {
                    if let Err(error) = run(&mut conn, sql).await {
                        panic!("seed {}: {sql}: {error}\n{}", script.seed, script.text());
                    }
                }
                self.steps.fetch_add(1, Ordering::Release);
            }
        }
        conn.disconnect().await.expect("an end");
    }

    async fn reached(&self, wanted: u64) {
        let moved = async {
            while self.steps.load(Ordering::Acquire) < wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(ARRIVED, moved).await.expect("progress");
    }

    /// Ends the collector when so many steps are done, and starts it again when `up` are.
    async fn restart(&self, down: u64, up: u64, brutally: bool) {
        self.reached(down).await;
        let quiet = match self.pace {
            Pace::Following => {
                let quiet = self.gate.write().await;
                self.caught_up().await;
                Some(quiet)
            }
            Pace::Free => None,
        };
        let mut collector = self.collector.lock().await;
        if brutally {
            collector.kill9().expect("a kill");
        } else {
            collector.stop(STOPPED).await.expect("a stop");
        }
        if quiet.is_none() {
            self.reached(up).await;
        }
        *collector = Collector::start(&self.rig.settings).expect("a restart");
        let ready = collector
            .wait_health("end of the start", READY, |health| {
                health["ready"] == true || health["status"] == "halted"
            })
            .await
            .expect("ready after the restart");
        assert_eq!(ready["ready"], true, "{ready}");
    }

    /// Lets a group of scripts run, and ends and starts the collector meanwhile.
    async fn group(self: &Arc<Self>, scripts: &[Arc<Script>], rng: &mut Rng) {
        *self.left.lock().await = scripts.iter().cloned().collect();
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS.min(scripts.len()) {
            writers.spawn(Arc::clone(self).write());
        }
        let total: usize = scripts.iter().map(|script| script.steps.len()).sum();
        let begun = self.steps.load(Ordering::Acquire);
        let total = total as u64;
        let down = rng.u64(0..total);
        // At once, or after a while in which statements of both kinds pile up.
        let up = if rng.bool() { down } else { rng.u64(down..=total) };
        let written = async {
            while let Some(done) = writers.join_next().await {
                done.expect("a writer");
            }
        };
        tokio::join!(written, self.restart(begun + down, begun + up, rng.bool()));
        self.caught_up().await;
    }
}

async fn interleavings_arrive_exactly(kind: Kind, options: Options, pace: Pace) {
    let first = asked("DDL_SEED");
    let count = asked("DDL_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let base = first.unwrap_or_else(|| fastrand::u64(0..1_000_000) * 1000);
    println!("{kind}: seeds {base} to {}", base + count - 1);
    let mut rng = Rng::with_seed(base);
    let rig = Rig::new(kind, options, Plan::default(), 3).await;
    let life = Arc::new(Life {
        pace,
        collector: Mutex::new(rig.start().await),
        rig,
        left: Mutex::default(),
        steps: AtomicU64::new(0),
        asked: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        gate: RwLock::new(()),
    });
    let rig = &life.rig;
    let seeds: Vec<u64> = (base..base + count).collect();
    let (mut records, mut kinds) = (0, BTreeMap::<&str, u32>::new());
    for group in seeds.chunks(GROUP) {
        let scripts: Vec<_> = group
            .iter()
            .map(|seed| Arc::new(Script::new(*seed, STEPS)))
            .collect();
        life.group(&scripts, &mut rng).await;
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
    let mut collector = life.collector.lock().await;
    i14_conserved(&collector).await;
    println!("{kind}: {count} interleavings, {records} changes, {kinds:?}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_random_interleavings_arrive_exactly_from_mysql() {
    interleavings_arrive_exactly(Kind::MySql, Options::default(), Pace::Following).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_random_interleavings_arrive_exactly_from_mariadb() {
    interleavings_arrive_exactly(Kind::MariaDb, Options::default(), Pace::Following).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_random_interleavings_arrive_late_and_exactly_from_mysql() {
    interleavings_arrive_exactly(Kind::MySql, Options::default(), Pace::Free).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_random_interleavings_arrive_late_and_exactly_from_mariadb() {
    interleavings_arrive_exactly(Kind::MariaDb, Options::default(), Pace::Free).await;
}

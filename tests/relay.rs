//! The main promise, on real servers: what was committed is in the topic, once, in order and right.

use std::time::Duration;

use harness::collector::Collector;
use harness::servers::{Kind, Options};
use harness::workload::Plan;

use crate::rig::{READY, Rig, STOPPED, i14_conserved};

/// Changes of the long runs.
const CHANGES: u64 = 200_000;

async fn versioned_changes_arrive_exactly(kind: Kind) {
    let rig = Rig::new(
        kind,
        Options::default(),
        Plan {
            max_rows: 200,
            ..Plan::default()
        },
        3,
    )
    .await;
    let mut collector = rig.start().await;
    rig.workload.run(CHANGES, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    let report = rig.verdict().await;
    assert!(report.is_exact(), "{report}");
    i14_conserved(&collector).await;
    let status = collector.stop(STOPPED).await.expect("a clean stop");
    assert!(status.success(), "{status}");
    collector.expect_no_unexpected_warnings(&[]).expect("a quiet log");
}

#[tokio::test(flavor = "multi_thread")]
async fn versioned_changes_arrive_exactly_from_mysql() {
    versioned_changes_arrive_exactly(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versioned_changes_arrive_exactly_from_mariadb() {
    versioned_changes_arrive_exactly(Kind::MariaDb).await;
}

/// kill -9 at random moments under load, at times with the loss of the volume: nothing lost, nothing twice, order kept.
async fn killed_again_and_again(kind: Kind, kills: u32) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let plan = Plan {
        seed,
        pause: Duration::from_millis(2),
        ..Plan::default()
    };
    let mut rig = Rig::new(kind, Options::default(), plan, 3).await;
    // For a volume that is lost before the topic has anything to remember.
    rig.settings = rig.settings.env("START_POSITION", "earliest");
    let mut collector = rig.start().await;
    let workload = rig.workload.clone();
    let mut wiped = 0;
    let mut load = tokio::task::JoinSet::new();
    load.spawn(async move { workload.run(u64::MAX, |_| {}).await });
    for _ in 0..kills {
        let log = rig.workload.log();
        let before = log.totals().changes;
        let more = rng.u64(50..3_000);
        // A random moment under load: so many committed changes later, wherever that finds the collector.
        let moved = tokio::time::timeout(READY, async {
            while log.totals().changes < before + more {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        moved
            .await
            .unwrap_or_else(|_| panic!("seed {seed}: no progress\n{}", collector.output().tail()));
        collector.kill9().expect("a kill");
        if rng.u32(..3) == 0 {
            wiped += 1;
            std::fs::remove_dir_all(rig.settings.data_dir()).expect("a volume to lose");
        }
        collector = Collector::start(&rig.settings).expect("a restart");
    }
    rig.workload.stop();
    load.join_next()
        .await
        .expect("the load")
        .expect("its task")
        .expect("the workload");
    collector
        .wait_ready(READY)
        .await
        .expect("ready after the last restart");
    rig.caught_up(&mut collector).await;
    let report = rig.verdict().await;
    assert!(report.is_exact(), "seed {seed}\n{report}");
    i14_conserved(&collector).await;
    println!(
        "{kills} kills, {wiped} volumes lost: {} changes",
        report.committed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_killed_twenty_times_on_mysql() {
    killed_again_and_again(Kind::MySql, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_killed_twenty_times_on_mariadb() {
    killed_again_and_again(Kind::MariaDb, 20).await;
}

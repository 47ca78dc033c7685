//! Where a run begins: what the topic remembers of an earlier one, and what is done when that is a contradiction.

use std::time::{Duration, SystemTime};

use harness::collector::Collector;
use harness::servers::{Kind, Options};
use harness::workload::Plan;

use crate::rig::{READY, Rig, STOPPED, i14_conserved};

/// Loses the volume of a collector that was killed, and lets changes happen until the next one starts.
async fn without_its_volume(rig: &Rig) {
    let mut collector = rig.start().await;
    rig.workload.run(500, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    collector.kill9().expect("a kill");
    std::fs::remove_dir_all(rig.settings.data_dir()).expect("a volume to lose");
    rig.workload.run(500, |_| {}).await.expect("the workload");
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    i14_conserved(&collector).await;
    collector.stop(STOPPED).await.expect("a clean stop");
}

async fn a_lost_volume_loses_nothing(kind: Kind) {
    let rig = Rig::new(kind, Options::default(), Plan::default(), 3).await;
    without_its_volume(&rig).await;
    let report = rig.verdict().await;
    assert!(report.is_exact(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_lost_volume_loses_nothing_on_mysql() {
    a_lost_volume_loses_nothing(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_lost_volume_loses_nothing_on_mariadb() {
    a_lost_volume_loses_nothing(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_not_to_look_in_the_topic_it_begins_where_it_is_told() {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 3).await;
    rig.settings = rig.settings.env("RESUME_FROM_TOPIC", "false");
    without_its_volume(&rig).await;
    let report = rig.verdict().await;
    assert!(report.lost >= 500 && report.repeated_same_id == 0, "{report}");
}

#[expect(clippy::disallowed_methods, reason = "the service's clock, not the product's")]
fn second() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a clock").as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_halts() {
    let rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 2).await;
    let made = second();
    let mut collector = rig.start().await;
    rig.workload.run(50, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    collector.stop(STOPPED).await.expect("a clean stop");
    // The service gives the time of creation in seconds.
    while second() <= made {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let reset = format!("{}/_emulator/reset", rig.emulator.endpoint());
    let answer = reqwest::Client::new().post(reset).send().await.expect("a reset");
    assert!(answer.status().is_success());
    let mut collector = Collector::start(&rig.settings).expect("a restart");
    let health = collector
        .wait_health("a halt", READY, |health| health["status"] == "halted")
        .await
        .expect("a halt");
    assert_eq!(health["reason_code"], "topic_recreated", "{health}");
    assert!(
        health["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("START_POSITION"))
    );
}

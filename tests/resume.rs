//! Where a run begins: what the topic remembers of an earlier one, and what is done when that is a contradiction.

use std::time::{Duration, SystemTime};

use datahub_emulator::{Action, CallKind, Rule, When};
use harness::collector::Collector;
use harness::servers::{Kind, Options};
use harness::workload::Plan;

use crate::rig::{ARRIVED, PROJECT, READY, Rig, STOPPED, TOPIC, i14_conserved};

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

/// A start asks many questions: each has to be answered once, and not all of them one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_on_with_the_questions_that_are_still_open() {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 8).await;
    rig.settings = rig
        .settings
        .env("RETRY_BACKOFF_MS", "20")
        .env("RETRY_BACKOFF_MAX_MS", "100");
    let mut collector = rig.start().await;
    rig.workload.run(500, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    collector.kill9().expect("a kill");
    std::fs::remove_dir_all(rig.settings.data_dir()).expect("a volume to lose");
    for call in [CallKind::Cursor, CallKind::Get] {
        let mut every_fourth = Rule::on(
            call,
            Action::Error {
                code: "InternalServerError".to_owned(),
                status: None,
                message: None,
                when: When::Before,
            },
        );
        every_fourth.matcher.every = Some(4);
        rig.emulator.add_fault(every_fourth);
    }
    let mut collector = rig.start().await;
    rig.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
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

/// Splits shard `at` and merges its right half with its neighbour `next`; the ids of the two that are open then.
fn reshape(rig: &Rig, at: u32, next: u32) -> (u32, u32) {
    let (left, right) = rig.emulator.split(PROJECT, TOPIC, at).expect("a split");
    let merged = rig.emulator.merge(PROJECT, TOPIC, right, next).expect("a merge");
    (left, merged)
}

/// The records are in sealed shards when the position has to be found there, and the newest ones are not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn i1_a_lost_volume_is_found_in_the_shards_that_were_split_and_merged() {
    let rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 2).await;
    let mut collector = rig.start().await;
    rig.workload.run(500, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    collector.kill9().expect("a kill");
    std::fs::remove_dir_all(rig.settings.data_dir()).expect("a volume to lose");
    let (left, merged) = reshape(&rig, 0, 1);
    let shards = rig.emulator.shards(PROJECT, TOPIC).expect("the shards");
    assert!(
        shards.iter().filter(|s| s.active).all(|s| s.records == 0),
        "{shards:?}"
    );
    rig.workload.run(500, |_| {}).await.expect("the workload");
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    let suppressed = collector
        .metrics()
        .await
        .expect("metrics")
        .sum("cdc_rows_suppressed_total");
    assert!(
        suppressed.is_some_and(|rows| rows >= 1.0),
        "{suppressed:?} rows were known"
    );
    i14_conserved(&collector).await;

    // The same under load: requests are on their way when the shards change and the collector dies.
    let killed = async {
        reshape(&rig, left, merged);
        rig.workload.more(300).await.expect("the workload goes on");
        collector.kill9().expect("a kill");
    };
    Box::pin(rig.under_load(killed)).await;
    std::fs::remove_dir_all(rig.settings.data_dir()).expect("a volume to lose");
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    i14_conserved(&collector).await;
    collector.stop(STOPPED).await.expect("a clean stop");
    let report = rig.verdict().await;
    assert!(report.is_exact(), "{report}");
}

/// A topic without records is no other topic: their time may be over.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_whose_records_time_is_over_is_continued_at_the_checkpoint() {
    let rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 2).await;
    let mut collector = rig.start().await;
    rig.workload.run(300, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    collector.stop(STOPPED).await.expect("a clean stop");
    rig.emulator.expire(PROJECT, TOPIC).expect("a topic");
    rig.workload.run(300, |_| {}).await.expect("the workload");
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    i14_conserved(&collector).await;
    collector.stop(STOPPED).await.expect("a clean stop");
    let report = rig.verdict().await;
    assert!(report.is_exact(), "{report}");
}

/// A request that is stored after it was looked for: its records are there twice under their ids, nothing else is touched,
/// and whoever reads that stretch again says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_stored_late_repeats_itself_and_nothing_else() {
    let mut rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 1).await;
    rig.settings = rig.settings.env("RETRY_BACKOFF_MS", "20");
    let mut collector = rig.start().await;
    rig.workload.run(50, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    let (checkpoint, early) = the_checkpoint(&rig);
    // Far longer than the look for it takes.
    rig.emulator
        .add_fault(Rule::on_put(Action::LateApply { ms: 12_000 }).times(1));
    rig.workload.run(300, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    let repeated = async {
        loop {
            let report = rig.verdict().await;
            if report.repeated() > 0 {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let report = tokio::time::timeout(ARRIVED, repeated)
        .await
        .expect("a late copy");
    // A row that was deleted since comes back for a reader who does not look at the ids.
    let other = report.lost + report.out_of_order + report.wrong_content + report.repeated_other_id;
    assert_eq!(other, 0, "{report}");
    collector.stop(STOPPED).await.expect("a clean stop");

    // An older checkpoint, as from a copy: all that was delivered since is found there and not sent again.
    std::fs::write(checkpoint, early).expect("an older checkpoint");
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    let metrics = collector.metrics().await.expect("metrics");
    let seen = metrics.sum("cdc_duplicates_seen_total").unwrap_or_default();
    assert!(
        (seen - report.repeated() as f64).abs() < 0.5,
        "{seen} seen\n{report}"
    );
    i14_conserved(&collector).await;
    collector.stop(STOPPED).await.expect("a clean stop");
    let again = rig.verdict().await;
    assert_eq!(again.repeated(), report.repeated(), "{again}");
}

/// The checkpoint's file and what is in it.
fn the_checkpoint(rig: &Rig) -> (std::path::PathBuf, Vec<u8>) {
    let files = std::fs::read_dir(rig.settings.data_dir()).expect("a directory");
    let mut paths = files.map(|entry| entry.expect("an entry").path());
    let path = paths.find(|path| path.extension().is_some_and(|e| e == "checkpoint"));
    let path = path.expect("a checkpoint");
    let bytes = std::fs::read(&path).expect("a checkpoint");
    (path, bytes)
}

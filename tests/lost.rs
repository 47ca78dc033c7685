//! The database has purged what was not read: exactly that is named, and it goes on only as it was told to.

use std::time::Duration;

use cdc_collector::position::GtidSet;
use harness::collector::Collector;
use harness::servers::{Kind, Options};
use harness::workload::Plan;
use serde_json::Value;

use crate::rig::{PROJECT, READY, Rig, STOPPED, TOPIC, i14_conserved};

impl Rig {
    async fn binlogs(&self) -> Vec<String> {
        let rows: Vec<mysql_async::Row> = self.server.query("SHOW BINARY LOGS").await.expect("the files");
        rows.iter().map(|row| row.get(0).expect("a name")).collect()
    }

    /// Makes changes while nobody reads, begins a new file and purges all others. Returns the new file, and how many
    /// changes are gone.
    async fn purged(&self) -> (String, u64) {
        let log = self.workload.log();
        let before = log.totals().changes;
        self.workload.run(300, |_| {}).await.expect("the workload");
        self.server
            .execute(&["FLUSH BINARY LOGS"])
            .await
            .expect("a new file");
        let newest = self.binlogs().await.pop().expect("a file");
        let purge = async {
            // A server spares files for readers until it has noticed that they are gone.
            while self.binlogs().await.first() != Some(&newest) {
                let statement = format!("PURGE BINARY LOGS TO '{newest}'");
                self.server.execute(&[&statement]).await.expect("a purge");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY, purge).await.expect("purged files");
        (newest, log.totals().changes - before)
    }

    /// What the server once had, as it says itself; `None` where it has no GTIDs of MySQL's kind.
    async fn set(&self, variable: &str) -> Option<GtidSet> {
        if self.server.kind() != Kind::MySql {
            return None;
        }
        let rows: Vec<String> = self
            .server
            .query(&format!("SELECT @@{variable}"))
            .await
            .expect("a variable");
        Some(rows.first()?.parse().expect("a set"))
    }

    /// The records of gaps, with their ids.
    fn gaps(&self) -> Vec<(String, Value)> {
        let records = self.emulator.records(PROJECT, TOPIC).expect("the topic");
        let read = records.map(|record| {
            let id = record.attribute("cdc.id").expect("an id").to_owned();
            let payload = serde_json::from_slice::<Value>(record.blob().expect("a blob")).expect("JSON");
            (id, payload)
        });
        read.filter(|(_, payload)| payload["op"] == "gap").collect()
    }

    /// Runs until everything is there, and stops; returns the position then.
    async fn once(&self, collector: &mut Collector) -> Value {
        self.caught_up(collector).await;
        i14_conserved(collector).await;
        let health = collector.health().await.expect("health");
        assert!(collector.stop(STOPPED).await.expect("a stop").success());
        health["position"].clone()
    }

    /// Nothing but these changes is missing, and nothing else is wrong.
    async fn lacks(&self, lost: u64, gaps: u64) {
        let report = self.verdict().await;
        assert_eq!((report.lost, report.foreign), (lost, gaps), "{report}");
        assert_eq!(
            (report.repeated(), report.out_of_order, report.wrong_content),
            (0, 0, 0),
            "{report}"
        );
    }
}

async fn a_lost_position(kind: Kind) {
    let mut rig = Rig::new(kind, Options::default(), Plan::default(), 2).await;
    rig.workload.run(300, |_| {}).await.expect("the workload");
    rig.settings = rig.settings.env("START_POSITION", "earliest");
    let mut collector = rig.start().await;
    let from = rig.once(&mut collector).await;
    let read: Option<GtidSet> = from["gtid"].as_str().map(|text| text.parse().expect("a set"));
    let (oldest, mut lost) = rig.purged().await;
    let gone = rig.set("gtid_purged").await.zip(read.as_ref());
    let gone = gone.map(|(purged, read)| purged.without(read));

    let mut collector = Collector::start(&rig.settings).expect("a start");
    let health = collector
        .wait_health("halt", READY, |health| health["status"] == "halted")
        .await
        .expect("a halt");
    assert_eq!(health["reason_code"], "position_purged", "{health}");
    let file = from["file"].as_str().expect("a file");
    let range = match &gone {
        Some(gone) => format!("{} transactions that were not read: {gone};", gone.count()),
        None => format!("from {file}:{} to {oldest}:4,", from["pos"]),
    };
    let summary = health["summary"].as_str().expect("a sentence");
    assert!(summary.contains(&range), "{range}: {summary}");
    assert!(
        health["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("ON_POSITION_LOST")),
        "{health}"
    );
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    assert_eq!(rig.gaps(), []);

    rig.settings = rig.settings.env("ON_POSITION_LOST", "earliest");
    rig.workload.run(200, |_| {}).await.expect("the workload");
    let mut collector = rig.start().await;
    rig.caught_up(&mut collector).await;
    let health = collector.health().await.expect("health");
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(
        health["components"]["source"]["last_error"]["code"], "position_lost",
        "{health}"
    );
    let metrics = collector.metrics().await.expect("metrics");
    assert_eq!(metrics.sum("cdc_source_gaps_total"), Some(1.0));
    assert_eq!(metrics.value("cdc_rows_decoded_total", &[("op", "m")]), Some(1.0));
    rig.once(&mut collector).await;
    let said = collector.output().stdout();
    let said: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("position_lost"))
        .collect();
    assert!(
        said.len() == 1 && said.iter().all(|line| line.contains("ERROR")),
        "{said:?}"
    );
    rig.lacks(lost, 1).await;
    let (id, gap) = rig.gaps().pop().expect("a gap");
    assert_eq!(id, format!("{file}:{}+0-{oldest}:4:gap", from["pos"]));
    assert_eq!(
        (&gap["policy"], &gap["reason"]),
        (&"earliest".into(), &"position_purged".into())
    );
    assert_eq!(gap["from"]["gtids"], from["gtid"]);
    assert_eq!(
        (&gap["from"]["file"], &gap["from"]["pos"]),
        (&from["file"], &from["pos"])
    );
    assert_eq!(
        (&gap["to"]["file"], &gap["to"]["pos"]),
        (&oldest.as_str().into(), &4.into())
    );
    assert_eq!(
        gap["lost_gtids"],
        gone.map_or(Value::Null, |gone| gone.to_string().into())
    );

    // It is told once, and what comes next goes on from there; the newest place leaves out what is still there, too.
    rig.settings = rig.settings.env("ON_POSITION_LOST", "latest");
    let mut collector = rig.start().await;
    rig.once(&mut collector).await;
    assert_eq!(rig.gaps().len(), 1);
    let (_, purged) = rig.purged().await;
    lost += purged;
    let before = rig.workload.log().totals().changes;
    rig.workload.run(100, |_| {}).await.expect("the workload");
    lost += rig.workload.log().totals().changes - before;
    let mut collector = rig.start().await;
    rig.workload.run(200, |_| {}).await.expect("the workload");
    rig.once(&mut collector).await;
    rig.lacks(lost, 2).await;
    // They may lie on different shards, which have no order among them.
    let mut policies: Vec<Value> = rig.gaps().iter().map(|(_, gap)| gap["policy"].clone()).collect();
    policies.sort_by_key(Value::to_string);
    assert_eq!(policies, ["earliest", "latest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_position_halts_with_its_range_or_goes_on_behind_a_record_of_the_gap() {
    tokio::join!(a_lost_position(Kind::MySql), a_lost_position(Kind::MariaDb));
}

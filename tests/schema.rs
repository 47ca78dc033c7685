//! Rows are read with the definition that held where they were written, or not at all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use datahub_emulator::Emulator;
use harness::collector::{Collector, Settings};
use harness::servers::{Kind, Options, Server};
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};

use crate::rig::{self, ARRIVED, PROJECT, READY, STOPPED, TOPIC};

/// A row as it arrived or as the database has it: column to text.
type Cells = BTreeMap<String, String>;

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) emulator: Emulator,
    pub(crate) settings: Settings,
}

impl World {
    pub(crate) async fn new(kind: Kind) -> Self {
        let server = Server::start(kind, Options::default()).await.expect("a server");
        let emulator = rig::emulator(1).await;
        let settings = rig::settings(server.address(), &emulator.endpoint())
            .env("START_POSITION", "earliest")
            // A start in the past is what these tests are about.
            .env("RESUME_FROM_TOPIC", "false");
        Self {
            server,
            emulator,
            settings,
        }
    }

    pub(crate) async fn start(&self) -> Collector {
        Collector::start_ready(&self.settings, READY)
            .await
            .expect("a collector that becomes ready")
    }

    pub(crate) async fn execute(&self, statements: &[&str]) {
        self.server.execute(statements).await.expect("the statements");
    }

    /// Waits until everything in the binlog is delivered and behind the checkpoint.
    pub(crate) async fn caught_up(&self, collector: &mut Collector) {
        let status = match self.server.kind() {
            Kind::MySql => "SHOW BINARY LOG STATUS",
            Kind::MariaDb | Kind::Seekdb => "SHOW MASTER STATUS",
        };
        let rows: Vec<Row> = self.server.query(status).await.expect("a status");
        let (file, pos): (String, u64) = (
            rows[0].get(0).expect("a file"),
            rows[0].get(1).expect("an offset"),
        );
        let there = |health: &serde_json::Value| {
            health["position"]["file"] == file.as_str() && health["position"]["pos"] == pos
        };
        collector
            .wait_health("checkpoint at the end of the binlog", ARRIVED, there)
            .await
            .expect("to catch up");
    }

    /// What the database has under an id.
    async fn row(&self, id: u64) -> Cells {
        let mut conn = self.server.connect().await.expect("a connection");
        let row: Row = conn
            .query_first(format!("SELECT * FROM test.t WHERE id = {id}"))
            .await
            .expect("an answer")
            .expect("a row");
        let names = row.columns();
        let cell = |value: Value| match value {
            Value::Bytes(bytes) => String::from_utf8(bytes).expect("text"),
            Value::NULL
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Date(..)
            | Value::Time(..) => value.as_sql(true),
        };
        names
            .iter()
            .map(|column| column.name_str().into_owned())
            .zip(row.unwrap().into_iter().map(cell))
            .collect()
    }

    /// Everything that arrived, in order.
    fn arrived(&self) -> Vec<Cells> {
        let records = self.emulator.records(PROJECT, TOPIC).expect("the topic");
        records
            .map(|record| {
                let envelope: serde_json::Value =
                    serde_json::from_slice(record.blob().expect("a blob")).expect("JSON");
                let after = envelope["after"].as_object().expect("an image");
                let cell = |value: &serde_json::Value| {
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                };
                after
                    .iter()
                    .map(|(name, value)| (name.clone(), cell(value)))
                    .collect()
            })
            .collect()
    }

    pub(crate) fn file(&self, ending: &str) -> PathBuf {
        let mut found = std::fs::read_dir(self.settings.data_dir())
            .expect("a data directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|e| e == ending));
        found.next().expect("the file")
    }
}

pub(crate) const TABLE: &str = "CREATE TABLE test.t (id INT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, c VARCHAR(10) CHARACTER SET utf8mb4)";

/// Changes of every kind, each followed by a row; most of them keep every column's type.
const CHANGES: [(&str, &str); 7] = [
    ("ALTER TABLE test.t RENAME COLUMN a TO z", "2, -1, 2, 'é'"),
    (
        "ALTER TABLE test.t ADD COLUMN d INT NOT NULL AFTER id",
        "3, 4, -1, 2, 'é'",
    ),
    ("ALTER TABLE test.t DROP COLUMN b", "4, 4, -1, 'é'"),
    (
        "ALTER TABLE test.t RENAME COLUMN d TO z, RENAME COLUMN z TO d",
        "5, 4, -1, 'é'",
    ),
    (
        "ALTER TABLE test.t MODIFY z INT UNSIGNED NOT NULL",
        "6, 4000000000, -1, 'é'",
    ),
    (
        "ALTER TABLE test.t MODIFY c VARCHAR(10) CHARACTER SET latin1",
        "7, 4000000000, -1, 'é'",
    ),
    (
        "RENAME TABLE test.t TO test.old, test.new TO test.t",
        "8, -1, 9, 'é'",
    ),
];

async fn restarted_in_the_past(kind: Kind) {
    let world = World::new(kind).await;
    world
        .execute(&[
            TABLE,
            // Takes the other's name one day, with other names for columns of the same types.
            "CREATE TABLE test.new (id INT PRIMARY KEY, p INT NOT NULL, q INT NOT NULL, r VARCHAR(10) CHARACTER SET latin1)",
            "INSERT INTO test.t VALUES (1, -1, 2, 'é')",
        ])
        .await;
    let mut expected = vec![world.row(1).await];
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    let early = std::fs::read(world.file("checkpoint")).expect("a checkpoint");
    for (change, values) in CHANGES {
        world
            .execute(&[change, &format!("INSERT INTO test.t VALUES ({values})")])
            .await;
        expected.push(world.row(expected.len() as u64 + 1).await);
        world.caught_up(&mut collector).await;
    }
    assert_eq!(world.arrived(), expected);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    // While it is away: rows before and behind a change that no table map shows.
    world.execute(&["INSERT INTO test.t VALUES (9, 1, 2, 'é')"]).await;
    expected.push(world.row(9).await);
    world
        .execute(&[
            "ALTER TABLE test.t RENAME COLUMN p TO q, RENAME COLUMN q TO p",
            "INSERT INTO test.t VALUES (10, 1, 2, 'é')",
        ])
        .await;
    expected.push(world.row(10).await);
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    assert_eq!(world.arrived(), expected);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    // An operator goes back to where everything began.
    std::fs::write(world.file("checkpoint"), &early).expect("the old checkpoint");
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    collector.kill9().expect("a kill");
    let mut twice = expected.clone();
    twice.extend_from_slice(&expected[1..]);
    assert_eq!(world.arrived(), twice);

    // Or without a checkpoint at all; nothing is known of the first row any more than of the next.
    std::fs::remove_file(world.file("checkpoint")).expect("removed");
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    twice.extend_from_slice(&expected);
    assert_eq!(world.arrived(), twice);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    collector
        // Its clock has seconds: a table that is altered in the one in which it was read may have been altered before.
        .expect_no_unexpected_warnings(&["replica_id_registered", "schema_read_late"])
        .expect("no warnings");
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_restarted_in_the_past_rows_are_read_as_they_were_on_mysql() {
    restarted_in_the_past(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_restarted_in_the_past_rows_are_read_as_they_were_on_mariadb() {
    restarted_in_the_past(Kind::MariaDb).await;
}

async fn a_rename_without_an_event_is_alarmed(kind: Kind) {
    let mut world = World::new(kind).await;
    world.settings = world.settings.env("SCHEMA_CHECK_SECONDS", "1");
    world
        .execute(&[TABLE, "INSERT INTO test.t VALUES (1, 1, 2, 'x')"])
        .await;
    let mut expected = vec![world.row(1).await];
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    let mut conn = world.server.connect().await.expect("a connection");
    for statement in [
        "SET sql_log_bin = 0",
        "ALTER TABLE test.t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
        "SET sql_log_bin = 1",
    ] {
        conn.query_drop(statement).await.expect("the statement");
    }
    let health = collector
        .wait_health("alarm", READY, |health| {
            health["components"]["schema"]["state"] == "in_doubt"
        })
        .await
        .expect("an alarm");
    let alarm = &health["components"]["schema"]["last_error"];
    assert_eq!(alarm["code"], "schema_changed_silently");
    let message = alarm["message"].as_str().expect("a message");
    for part in ["test.t", "column 2 was a and is b", "rows from"] {
        assert!(message.contains(part), "{message}");
    }
    let counted = collector.metrics().await.expect("metrics");
    let kind = [("kind", "schema_changed_silently")];
    assert_eq!(counted.value("cdc_schema_changes_total", &kind), Some(1.0));
    world.execute(&["INSERT INTO test.t VALUES (2, 1, 2, 'x')"]).await;
    expected.push(world.row(2).await);
    world.caught_up(&mut collector).await;
    assert_eq!(world.arrived(), expected);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    collector
        .expect_no_unexpected_warnings(&["schema_changed_silently"])
        .expect("no other warnings");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_without_an_event_is_alarmed_on_mysql() {
    a_rename_without_an_event_is_alarmed(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_without_an_event_is_alarmed_on_mariadb() {
    a_rename_without_an_event_is_alarmed(Kind::MariaDb).await;
}

/// Rows of a table that was altered before the collector ever saw it, or a statement that says what it was, can only be
/// read with what the server has now.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_may_be_too_new_are_alarmed() {
    let world = World::new(Kind::MariaDb).await;
    world
        .execute(&[
            &format!("/*!50000 {TABLE} */"),
            "INSERT INTO test.t VALUES (1, 1, 2, 'x')",
            "ALTER TABLE test.t RENAME COLUMN a TO z",
            "INSERT INTO test.t VALUES (2, 1, 2, 'x')",
        ])
        .await;
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    let health = collector.health().await.expect("health");
    let alarm = &health["components"]["schema"]["last_error"];
    assert_eq!(alarm["code"], "schema_read_late", "{health}");
    assert!(
        alarm["message"]
            .as_str()
            .is_some_and(|text| text.contains("test.t")),
        "{health}"
    );
}

async fn a_version_that_nobody_saw_is_refused(kind: Kind) {
    let mut world = World::new(kind).await;
    world.settings = world.settings.env("SCHEMA_POLICY", "halt");
    world
        .execute(&[TABLE, "INSERT INTO test.t VALUES (1, 1, 2, 'x')"])
        .await;
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    world
        .execute(&[
            // What a comment does depends on the server's version: the collector does not judge that.
            "ALTER TABLE test.t /*!50000 ADD COLUMN d INT NOT NULL DEFAULT 1 */",
            "INSERT INTO test.t VALUES (2, 1, 2, 'x', 3)",
            "ALTER TABLE test.t DROP COLUMN d",
        ])
        .await;
    let mut collector = Collector::start(&world.settings).expect("a collector");
    let halted = collector
        .wait_health("halt", READY, |health| health["status"] == "halted")
        .await
        .expect("a halt");
    assert_eq!(halted["reason_code"], "schema_contradiction", "{halted}");
    assert!(
        halted["summary"]
            .as_str()
            .is_some_and(|text| text.contains("test.t")),
        "{halted}"
    );
    assert_eq!(world.arrived(), [world.row(1).await]);
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_version_that_nobody_saw_is_refused_on_mysql() {
    a_version_that_nobody_saw_is_refused(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_version_that_nobody_saw_is_refused_on_mariadb() {
    a_version_that_nobody_saw_is_refused(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_a_damaged_history_halts_and_a_missing_one_does_not() {
    let world = World::new(Kind::MariaDb).await;
    world
        .execute(&[TABLE, "INSERT INTO test.t VALUES (1, 1, 2, 'x')"])
        .await;
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    let path = world.file("schemas");
    let mut bytes = std::fs::read(&path).expect("the history");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).expect("damage");
    let mut collector = Collector::start(&world.settings).expect("a collector");
    let halted = collector
        .wait_health("halt", READY, |health| health["status"] == "halted")
        .await
        .expect("a halt");
    assert_eq!(halted["reason_code"], "schema_history_corrupt", "{halted}");
    assert!(
        halted["remedy"]
            .as_str()
            .is_some_and(|text| text.contains("remove")),
        "{halted}"
    );
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    std::fs::remove_file(&path).expect("removed");
    world.execute(&["INSERT INTO test.t VALUES (2, 1, 2, 'x')"]).await;
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    assert_eq!(world.arrived(), [world.row(1).await, world.row(2).await]);
    assert!(path.exists(), "learnt anew");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// The definition that a row was read with is durable before the checkpoint passes the row.
#[tokio::test(flavor = "multi_thread")]
async fn i9_the_checkpoint_waits_for_the_history() {
    let world = World::new(Kind::MariaDb).await;
    world.execute(&[TABLE]).await;
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    let before = std::fs::read(world.file("checkpoint")).expect("a checkpoint");
    // In the way of the new history, for as long as it is there.
    let obstacle = world.file("checkpoint").with_extension("schemas.new");
    std::fs::create_dir(&obstacle).expect("an obstacle");
    world
        .execute(&[
            "ALTER TABLE test.t MODIFY a BIGINT NOT NULL",
            "INSERT INTO test.t VALUES (1, 1, 2, 'x')",
        ])
        .await;
    let failing = collector
        .wait_health("complaint", READY, |health| {
            health["reason_code"] == "schema_history_write"
        })
        .await
        .expect("a complaint");
    assert!(failing["remedy"].is_string(), "{failing}");
    assert_eq!(world.arrived().len(), 1, "rows flow all the same");
    let during = std::fs::read(world.file("checkpoint")).expect("a checkpoint");
    assert_eq!(during, before, "the checkpoint went on without the history");
    std::fs::remove_dir(&obstacle).expect("out of the way");
    world.caught_up(&mut collector).await;
    assert!(world.file("schemas").exists());
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

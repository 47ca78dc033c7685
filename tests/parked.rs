//! A table that cannot be read waits, alone: nothing of it is lost, and nothing of any other is held up.

use harness::collector::{Collector, Settings};
use harness::servers::Kind;
use serde_json::Value;

use crate::rig::{ARRIVED, PROJECT, READY, STOPPED, TOPIC, i14_conserved};
use crate::schema::{TABLE, World};

/// What the table was for a while, in a form that the collector does not judge by itself.
const UNSEEN: &str = "ALTER TABLE test.t /*!50000 ADD COLUMN d INT NOT NULL DEFAULT 1 */";
/// What a person knows that it was.
const SEEN: &str = "CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, c VARCHAR(10) CHARACTER SET utf8mb4, d INT NOT NULL)";

/// Everything that arrived of a table, in order: the image, and whether the record came late.
fn arrived(world: &World, table: &str) -> Vec<(Value, bool)> {
    let records = world.emulator.records(PROJECT, TOPIC).expect("the topic");
    let of_table = records.filter_map(|record| {
        let envelope: Value = serde_json::from_slice(record.blob().expect("a blob")).expect("JSON");
        let late = record.attribute("cdc.late") == Some("held_back");
        (envelope["source"]["table"] == table).then(|| (envelope["after"].clone(), late))
    });
    of_table.collect()
}

fn ids(rows: &[(Value, bool)]) -> Vec<u64> {
    rows.iter()
        .map(|(row, _)| row["id"].as_u64().expect("an id"))
        .collect()
}

/// Runs `cdc-collector tables …` beside the collector: whether it succeeded, and what it said.
async fn tables(settings: &Settings, arguments: &[&str]) -> (bool, String) {
    let mut settings = settings.clone().arg("tables");
    for argument in arguments {
        settings = settings.arg(*argument);
    }
    let (status, out, err) = settings.run_to_end(READY).await.expect("the command");
    (status.success(), out + &err)
}

/// A world in which the collector knows `t`, and then meets rows of it from a time that nobody saw; the next row is `6`.
async fn parked(kind: Kind) -> (World, Collector) {
    let world = World::new(kind).await;
    world
        .execute(&[
            TABLE,
            "CREATE TABLE test.u (id INT PRIMARY KEY)",
            "INSERT INTO test.t VALUES (1, 1, 2, 'x')",
        ])
        .await;
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    world
        .execute(&[
            UNSEEN,
            "INSERT INTO test.t VALUES (2, 1, 2, 'x', 3)",
            "INSERT INTO test.u VALUES (1)",
            "BEGIN",
            "INSERT INTO test.u VALUES (2)",
            "INSERT INTO test.t VALUES (3, 1, 2, 'x', 4)",
            "INSERT INTO test.u VALUES (3)",
            "COMMIT",
            "ALTER TABLE test.t DROP COLUMN d",
            "INSERT INTO test.t VALUES (4, 1, 2, 'x')",
        ])
        .await;
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    world
        .execute(&[
            "INSERT INTO test.u VALUES (4)",
            "INSERT INTO test.t VALUES (5, 1, 2, 'x')",
        ])
        .await;
    world.caught_up(&mut collector).await;
    assert_eq!(ids(&arrived(&world, "u")), [1, 2, 3, 4]);
    assert_eq!(ids(&arrived(&world, "t")), [1]);
    (world, collector)
}

async fn waits_alone(kind: Kind) {
    let (world, mut collector) = parked(kind).await;
    let health = collector.health().await.expect("health");
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["reason_code"], "table_parked", "{health}");
    assert_eq!(health["components"]["schema"]["state"], "parked", "{health}");
    for part in ["test.t", "4 so far", "all other tables flow"] {
        let summary = health["summary"].as_str().expect("a summary");
        assert!(summary.contains(part), "{summary}");
    }
    let (ready, _) = collector.get("/health/ready").await.expect("an answer");
    assert_eq!(ready, 200, "the other tables flow");
    let metrics = collector.metrics().await.expect("metrics");
    for (name, value) in [
        ("cdc_tables_parked", 1.0),
        ("cdc_rows_parked", 4.0),
        ("cdc_alarm", 1.0),
    ] {
        assert_eq!(metrics.value(name, &[]), Some(value), "{name}");
    }
    i14_conserved(&collector).await;
    let (done, said) = tables(&world.settings, &["list"]).await;
    assert!(done && said.contains("test.t since "), "{said}");

    // It is remembered, and tried once more.
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    let mut collector = world.start().await;
    world.caught_up(&mut collector).await;
    assert_eq!(ids(&arrived(&world, "t")), [1]);

    for (arguments, reason) in [
        (&["resume", "test.u"][..], "test.u is not parked"),
        (&["resume", "t"], "name it as db.table"),
        (&["skip", "test.t", "--reason", " "], "reason"),
    ] {
        let (done, said) = tables(&world.settings, arguments).await;
        assert!(!done && said.contains(reason), "{said}");
    }
    let create = world.settings.dir().join("t.sql");
    std::fs::write(&create, TABLE).expect("a file");
    let file = create.to_str().expect("a path");
    let (done, said) = tables(&world.settings, &["resume", "test.t", "--create", file]).await;
    assert!(
        !done && said.contains("it has 4 columns, the binlog has 5"),
        "not what its rows are: {said}"
    );
    std::fs::write(&create, SEEN).expect("a file");
    let (done, said) = tables(&world.settings, &["resume", "test.t", "--create", file]).await;
    assert!(done && said.contains("are read from"), "{said}");
    collector
        .wait_health("table to be read", ARRIVED, |health| health["status"] == "ok")
        .await
        .expect("no table to be parked");
    world.execute(&["INSERT INTO test.t VALUES (6, 1, 2, 'x')"]).await;
    world.caught_up(&mut collector).await;
    let rows = arrived(&world, "t");
    assert_eq!(ids(&rows), [1, 2, 3, 4, 5, 6]);
    assert_eq!(rows[2].0["d"], 4, "read with what it was told: {rows:?}");
    let late: Vec<bool> = rows.iter().map(|(_, late)| *late).collect();
    assert_eq!(late, [false, true, true, true, true, false]);
    assert_eq!(
        ids(&arrived(&world, "u")),
        [1, 2, 3, 4],
        "nothing of others comes twice"
    );
    i14_conserved(&collector).await;
    let (done, said) = tables(&world.settings, &["list"]).await;
    assert!(done && said.contains("no table is parked"), "{said}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    let (done, said) = tables(&world.settings, &["skip", "test.t", "--reason", "x"]).await;
    assert!(!done && said.contains("no collector of group"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_table_that_cannot_be_read_waits_alone_on_mysql() {
    waits_alone(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_a_table_that_cannot_be_read_waits_alone_on_mariadb() {
    waits_alone(Kind::MariaDb).await;
}

/// What stood in the way goes: the server's table is for a while again what the rows are.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_as_far_as_the_server_knows_it() {
    let (mut world, mut collector) = parked(Kind::MySql).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    world.settings = world.settings.env("SCHEMA_CHECK_SECONDS", "1");
    let mut collector = world.start().await;
    for (statements, read) in [
        (&[UNSEEN, "INSERT INTO test.t VALUES (6, 1, 2, 'x', 7)"][..], 3),
        (&["ALTER TABLE test.t DROP COLUMN d"], 5),
        (&[UNSEEN], 6),
    ] {
        world.execute(statements).await;
        collector
            .wait_health("rows", ARRIVED, |_| arrived(&world, "t").len() >= read)
            .await
            .expect("rows");
    }
    world.caught_up(&mut collector).await;
    assert_eq!(ids(&arrived(&world, "t")), [1, 2, 3, 4, 5, 6]);
    let health = collector.health().await.expect("health");
    assert_eq!(health["status"], "ok", "{health}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// A person may also give its rows up, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_given_up_are_skipped_and_the_next_flow() {
    let (world, mut collector) = parked(Kind::MariaDb).await;
    let (done, said) = tables(&world.settings, &["skip", "test.t", "--reason", "copied by hand"]).await;
    assert!(done && said.contains("are not relayed"), "{said}");
    world.execute(&["INSERT INTO test.t VALUES (6, 1, 2, 'x')"]).await;
    world.caught_up(&mut collector).await;
    assert_eq!(ids(&arrived(&world, "t")), [1, 6]);
    let audit = std::fs::read_to_string(world.file("jsonl")).expect("the audit");
    for part in ["skip_table", "copied by hand", "\"t\""] {
        assert!(audit.contains(part), "{audit}");
    }
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// Says what the table was. A restart goes on by itself, but the definition may have gone with the volume.
async fn resume(world: &World, file: &str) {
    loop {
        let (done, said) = tables(&world.settings, &["resume", "test.t", "--create", file]).await;
        if done || said.contains("is not parked") {
            return;
        }
        assert!(said.contains("try again"), "{said}");
    }
}

/// The topic itself knows which tables wait, and what of them it has.
#[tokio::test(flavor = "multi_thread")]
async fn i1_a_parked_table_outlives_the_volume_and_every_kill() {
    let (mut world, mut collector) = parked(Kind::MySql).await;
    world.settings = world.settings.env("RESUME_FROM_TOPIC", "true");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    let rows: Vec<String> = (100..20_000).map(|id| format!("({id}, 1, 2, 'x')")).collect();
    for rows in rows.chunks(100) {
        world
            .execute(&[&format!("INSERT INTO test.t VALUES {}", rows.join(","))])
            .await;
    }
    let create = world.settings.dir().join("t.sql");
    std::fs::write(&create, SEEN).expect("a file");
    let file = create.to_str().expect("a path");
    let all = 5 + rows.len();
    for attempt in 0..6 {
        let mut collector = world.start().await;
        let before = arrived(&world, "t").len();
        if before == all {
            break;
        }
        resume(&world, file).await;
        let some = |health: &Value| health.is_object() && arrived(&world, "t").len() > before;
        collector.wait_health("rows", ARRIVED, some).await.expect("rows");
        collector.kill9().expect("a kill");
        if attempt % 2 == 0 {
            std::fs::remove_dir_all(world.settings.data_dir()).expect("a volume to lose");
        }
    }
    let mut collector = world.start().await;
    resume(&world, file).await;
    if arrived(&world, "t").len() < all {
        collector
            .wait_health("all rows", ARRIVED, |_| arrived(&world, "t").len() >= all)
            .await
            .expect("all rows");
    }
    world.caught_up(&mut collector).await;
    let expected: Vec<u64> = (1..=5).chain(100..20_000).collect();
    assert_eq!(
        ids(&arrived(&world, "t")),
        expected,
        "lost 0, repeated 0, in order"
    );
    assert_eq!(ids(&arrived(&world, "u")), [1, 2, 3, 4]);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

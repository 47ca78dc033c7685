//! The binlog from one server and the tables from another, through the whole relay. No binlog instance of OceanBase can be
//! had; a MariaDB server plays it, with columns of other names, which nobody may see.

use std::time::Duration;

use harness::collector::Collector;
use harness::servers::{Kind, Options, RELAY, SCHEMA, Server};
use serde_json::{Value, json};

use super::engine;
use crate::rig::{self, ARRIVED, PROJECT, READY, STOPPED, TOPIC};

fn payloads(emulator: &datahub_emulator::Emulator) -> Vec<Value> {
    let records = emulator.records(PROJECT, TOPIC).expect("the topic");
    records
        .map(|record| serde_json::from_slice(record.blob().expect("a blob")).expect("JSON"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i6_rows_of_the_one_server_have_the_names_of_the_other() {
    let Some(observer) = engine().await else { return };
    let binlog = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    let emulator = rig::emulator(1).await;
    binlog
        .execute(&["CREATE TABLE orders (x INT PRIMARY KEY, y VARCHAR(20) CHARACTER SET utf8mb4)"])
        .await
        .expect("a table");
    observer
        .execute(&["CREATE TABLE orders (id INT PRIMARY KEY, note VARCHAR(20))"])
        .await
        .expect("a table");
    let settings = rig::settings(binlog.address(), &emulator.endpoint())
        .database(binlog.address(), binlog.admin(), SCHEMA)
        .env("START_POSITION", "latest")
        .env("SCHEMA_CHECK_SECONDS", "1")
        .env("LEASE", "none")
        .env("DATABASE_OBSERVER_HOST", "127.0.0.1")
        .env("DATABASE_OBSERVER_PORT", observer.port().to_string())
        .env("DATABASE_OBSERVER_USERNAME", RELAY.user)
        .env("DATABASE_OBSERVER_PASSWORD", RELAY.password);
    let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
    binlog
        .execute(&["INSERT INTO orders VALUES (1, 'one'), (2, 'two')"])
        .await
        .expect("rows");
    let rows = |count| emulator.wait_for_records(PROJECT, TOPIC, count, ARRIVED);
    assert_eq!(rows(2).await, Ok(2), "{}", collector.output().tail());
    let after: Vec<Value> = payloads(&emulator)
        .iter()
        .map(|row| row["after"].clone())
        .collect();
    assert_eq!(
        after,
        [json!({"id": 1, "note": "one"}), json!({"id": 2, "note": "two"})]
    );

    // A change that the binlog does not announce is found at the observer.
    observer
        .execute(&["ALTER TABLE orders RENAME COLUMN note TO remark"])
        .await
        .expect("a change");
    let alarmed = |health: &Value| health.to_string().contains("schema_changed_silently");
    collector
        .wait_health("an alarm", Duration::from_secs(60), alarmed)
        .await
        .expect("an alarm");
    binlog
        .execute(&["INSERT INTO orders VALUES (3, 'three')"])
        .await
        .expect("a row");
    assert_eq!(rows(3).await, Ok(3), "{}", collector.output().tail());
    assert_eq!(
        payloads(&emulator)[2]["after"],
        json!({"id": 3, "remark": "three"})
    );
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

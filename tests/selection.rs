//! What is relayed: from which position on, which tables, and how large a row may be.

use std::time::Duration;

use datahub_emulator::{Emulator, TopicSpec};
use harness::collector::{Collector, Settings};
use harness::servers::{Kind, Options, Server};
use mysql_async::prelude::Queryable;

use crate::rig::{self, PROJECT, READY, STOPPED};

async fn head(server: &Server) -> (String, u64) {
    let status = match server.kind() {
        Kind::MySql => "SHOW BINARY LOG STATUS",
        Kind::MariaDb | Kind::Seekdb => "SHOW MASTER STATUS",
    };
    let mut conn = server.connect().await.expect("a connection");
    let row: mysql_async::Row = conn
        .query_first(status)
        .await
        .expect("a status")
        .expect("a binlog");
    (row.get(0).expect("a file"), row.get(1).expect("an offset"))
}

/// The `id` of every row that arrives in a topic of its own within a run from `start`.
async fn ids(server: &Server, emulator: &Emulator, name: &str, settings: Settings) -> Vec<u64> {
    emulator
        .create_topic(&TopicSpec::blob(PROJECT, name, 1))
        .expect("a topic");
    let settings = settings.topic(PROJECT, name).env("DATAHUB_CONSUMER_GROUP", name);
    let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
    let (file, pos) = head(server).await;
    let there = |health: &serde_json::Value| {
        health["position"]["file"] == file.as_str() && health["position"]["pos"] == pos
    };
    collector
        .wait_health("position at the end", READY, there)
        .await
        .expect("the end");
    collector.stop(STOPPED).await.expect("a clean stop");
    let records = emulator.records(PROJECT, name).expect("the topic");
    records
        .map(|record| {
            let envelope: serde_json::Value =
                serde_json::from_slice(record.blob().expect("a blob")).expect("JSON");
            envelope["after"]["id"].as_u64().expect("an id")
        })
        .collect()
}

async fn start_positions_mean_what_they_say(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let emulator = rig::emulator(1).await;
    let insert = |id: u64| format!("INSERT INTO test.t VALUES ({id})");
    server
        .execute(&[
            "CREATE TABLE test.t (id BIGINT PRIMARY KEY)",
            &insert(1),
            &insert(2),
        ])
        .await
        .expect("rows");
    let (file, pos) = head(&server).await;
    let mut conn = server.connect().await.expect("a connection");
    let executed: Option<String> = match kind {
        Kind::MySql => conn.query_first("SELECT @@gtid_executed").await.expect("a set"),
        Kind::MariaDb | Kind::Seekdb => None,
    };
    // Binlog times are whole seconds: what follows has to be in a later one than what came before.
    let before: u64 = conn
        .query_first("SELECT UNIX_TIMESTAMP()")
        .await
        .expect("a time")
        .expect("a time");
    conn.query_drop("SELECT SLEEP(1.1)").await.expect("a pause");
    let second: u64 = conn
        .query_first("SELECT UNIX_TIMESTAMP()")
        .await
        .expect("a time")
        .expect("a time");
    assert!(second > before);
    let text: String = conn
        .query_first("SELECT DATE_FORMAT(UTC_TIMESTAMP(), '%Y-%m-%dT%H:%i:%sZ')")
        .await
        .expect("a time")
        .expect("a time");
    server
        .execute(&[&insert(3), "FLUSH BINARY LOGS", &insert(4)])
        .await
        .expect("rows");

    let from =
        |start: &str| rig::settings(server.address(), &emulator.endpoint()).env("START_POSITION", start);
    assert_eq!(
        ids(&server, &emulator, "from_earliest", from("earliest")).await,
        [1, 2, 3, 4]
    );
    assert_eq!(
        ids(&server, &emulator, "from_latest", from("latest")).await,
        [0u64; 0]
    );
    assert_eq!(
        ids(
            &server,
            &emulator,
            "from_file",
            from(&format!("file:{file}:{pos}"))
        )
        .await,
        [3, 4]
    );
    assert_eq!(
        ids(
            &server,
            &emulator,
            "from_time",
            from(&format!("timestamp:{text}"))
        )
        .await,
        [3, 4]
    );
    if let Some(set) = executed {
        let set = set.replace('\n', "");
        assert_eq!(
            ids(&server, &emulator, "from_gtid", from(&format!("gtid:{set}"))).await,
            [3, 4]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn start_positions_mean_what_they_say_on_mysql() {
    start_positions_mean_what_they_say(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_positions_mean_what_they_say_on_mariadb() {
    start_positions_mean_what_they_say(Kind::MariaDb).await;
}

async fn tables_are_chosen_and_packets_are_huge(kind: Kind) {
    let server = Server::start(kind, Options::default().arg("--max-allowed-packet=128M"))
        .await
        .expect("a server");
    let emulator = rig::emulator(1).await;
    let huge = format!("INSERT INTO other.big SELECT 9, REPEAT('x', {})", 40 << 20);
    server
        .execute(&[
            "CREATE DATABASE other",
            "CREATE TABLE test.orders_1 (id INT PRIMARY KEY)",
            "CREATE TABLE test.orders_tmp (id INT PRIMARY KEY)",
            "CREATE TABLE test.users (id INT PRIMARY KEY)",
            "CREATE TABLE other.big (id INT PRIMARY KEY, body LONGTEXT)",
            "CREATE TABLE other.chosen (id INT PRIMARY KEY)",
            "INSERT INTO test.orders_1 VALUES (1)",
            "INSERT INTO test.orders_tmp VALUES (2)",
            "INSERT INTO test.users VALUES (3)",
            "INSERT INTO other.chosen VALUES (4)",
            // 40 MiB in one event: three packets. Not captured, and so only counted.
            &huge,
            "INSERT INTO test.orders_1 VALUES (5)",
        ])
        .await
        .expect("tables and rows");
    let settings = rig::settings(server.address(), &emulator.endpoint())
        .env("START_POSITION", "earliest")
        .env("DATABASE_TABLES", "orders_*,!orders_tmp,other.chosen");
    assert_eq!(
        ids(&server, &emulator, "chosen", settings.clone()).await,
        [1, 4, 5]
    );

    // The same row captured is more than the service takes: a halt that names it, and nothing behind it is sent.
    let settings = settings
        .env("DATABASE_TABLES", "orders_1,other.*")
        .env("DATAHUB_CONSUMER_GROUP", "too_large");
    let mut collector = Collector::start(&settings).expect("a collector");
    let halted = collector
        .wait_health("halt", Duration::from_secs(60), |health| {
            health["status"] == "halted"
        })
        .await;
    let halted = halted.expect("a halt");
    assert_eq!(halted["reason_code"], "record_too_large", "{halted}");
    assert!(halted["remedy"].is_string(), "{halted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_chosen_and_packets_are_huge_on_mysql() {
    tables_are_chosen_and_packets_are_huge(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_chosen_and_packets_are_huge_on_mariadb() {
    tables_are_chosen_and_packets_are_huge(Kind::MariaDb).await;
}

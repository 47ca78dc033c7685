//! What a record says: each envelope read back by a decoder of its own, column rules, and records beside the rows.

use std::collections::{BTreeMap, HashSet};

use datahub_emulator::{Emulator, TopicSpec};
use harness::collector::{Collector, Settings};
use harness::servers::{Kind, Options, Server};
use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::rig::{self, PROJECT, READY, STOPPED, i14_conserved};

/// A row as texts, in the order of the columns' names.
type Row = BTreeMap<String, Option<String>>;

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

async fn caught_up(server: &Server, collector: &mut Collector) {
    let (file, pos) = head(server).await;
    let there = |health: &Value| {
        let position = &health["position"];
        position["file"] == file.as_str() && position["pos"] == pos
    };
    collector
        .wait_health("position at the end", READY, there)
        .await
        .expect("the end");
}

/// Settings with a topic and a group of their own.
fn settings(server: &Server, emulator: &Emulator, name: &str) -> Settings {
    emulator
        .create_topic(&TopicSpec::blob(PROJECT, name, 1))
        .expect("a topic");
    rig::settings(server.address(), &emulator.endpoint())
        .topic(PROJECT, name)
        .env("DATAHUB_CONSUMER_GROUP", name)
        .env("START_POSITION", "earliest")
}

/// Ids and payloads of a topic of one shard.
fn records(emulator: &Emulator, name: &str) -> Vec<(String, Value)> {
    let records = emulator.records(PROJECT, name).expect("the topic");
    let read = records.map(|record| {
        let id = record.attribute("cdc.id").expect("an id").to_owned();
        let payload = serde_json::from_slice(record.blob().expect("a blob")).expect("JSON");
        (id, payload)
    });
    read.collect()
}

/// Relays everything that the server has, and stops.
async fn relay(
    server: &Server,
    emulator: &Emulator,
    name: &str,
    settings: &Settings,
) -> Vec<(String, Value)> {
    let mut collector = Collector::start_ready(settings, READY).await.expect("ready");
    caught_up(server, &mut collector).await;
    i14_conserved(&collector).await;
    collector.stop(STOPPED).await.expect("a clean stop");
    records(emulator, name)
}

fn row(object: &Value) -> Row {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(labels) => {
            let labels: Vec<&str> = labels
                .iter()
                .map(|label| label.as_str().expect("a label"))
                .collect();
            Some(labels.join(","))
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(value.to_string()),
    };
    let members = object.as_object().expect("an object");
    members
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// The row with the old values put back.
fn before(data: &Row, old: &Value) -> Row {
    let mut row_before = data.clone();
    row_before.extend(row(old));
    row_before
}

/// What a change takes away and what it brings, by each project's own rules.
fn change(envelope: &str, message: &Value) -> [Option<Row>; 2] {
    match envelope {
        "debezium" => {
            let side = |name: &str| (!message[name].is_null()).then(|| row(&message[name]));
            [side("before"), side("after")]
        }
        "canal" => {
            assert_eq!(message["isDdl"], false);
            let data = row(&message["data"][0]);
            match message["type"].as_str().expect("a type") {
                "INSERT" => [None, Some(data)],
                "UPDATE" => [Some(before(&data, &message["old"][0])), Some(data)],
                "DELETE" => [Some(data), None],
                other => panic!("{other}"),
            }
        }
        _ => {
            let data = row(&message["data"]);
            match message["type"].as_str().expect("a type") {
                "insert" => [None, Some(data)],
                "update" => [Some(before(&data, &message["old"])), Some(data)],
                "delete" => [Some(data), None],
                other => panic!("{other}"),
            }
        }
    }
}

const TABLE: &str = "CREATE TABLE test.t (id BIGINT UNSIGNED, part VARCHAR(10), n MEDIUMINT, d DECIMAL(10,3), \
    s SET('a','b','c'), e ENUM('x','y'), dt DATETIME(3), ts TIMESTAMP(6) NULL, ti TIME(1), ye YEAR, bi BIT(9), \
    tx TEXT, ch CHAR(5), PRIMARY KEY (part, id)) CHARACTER SET utf8mb4";

/// The table as texts, spelled as records spell them.
const SELECT: &str = "SELECT JSON_OBJECT('id', CAST(id AS CHAR), 'part', part, 'n', CAST(n AS CHAR), 'd', CAST(d AS CHAR), \
    's', CAST(s AS CHAR), 'e', CAST(e AS CHAR), 'dt', CAST(dt AS CHAR), 'ts', CONCAT(ts, 'Z'), 'ti', CAST(ti AS CHAR), \
    'ye', CAST(ye AS CHAR), 'bi', CAST(bi + 0 AS CHAR), 'tx', tx, 'ch', ch) FROM test.t";

async fn every_envelope_says_what_the_table_holds(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let emulator = rig::emulator(1).await;
    server
        .execute(&[
            TABLE,
            "INSERT INTO test.t VALUES (18446744073709551615, 'a', -8388608, -1.5, 'a,c', 'y', \
             '2024-02-29 01:02:03.456', '2024-02-29 01:02:03.456789', '-01:02:03.5', 1999, b'100000001', \
             'q\"\\\\\\n表😀', 'ü')",
            "INSERT INTO test.t (id, part) VALUES (1, 'a'), (2, 'a'), (3, ''), (4, 'x,\"y')",
            "INSERT INTO test.t (id, part, s, tx) VALUES (5, 'b', '', '')",
            "UPDATE test.t SET tx = 'new', s = 'b' WHERE id = 1",
            "UPDATE test.t SET tx = NULL, n = 0 WHERE id IN (1, 5)",
            "UPDATE test.t SET id = id + 10, part = CONCAT(part, '!') WHERE id IN (2, 4)",
            "DELETE FROM test.t WHERE id = 3",
            "UPDATE test.t SET ch = 'z' WHERE id = 12",
            "DELETE FROM test.t WHERE id = 5",
        ])
        .await
        .expect("rows");
    let mut conn = server.connect().await.expect("a connection");
    conn.query_drop("SET time_zone = '+00:00'").await.expect("UTC");
    let rows: Vec<String> = conn.query(SELECT).await.expect("rows");
    let json = |text: &String| row(&serde_json::from_str::<Value>(text).expect("JSON"));
    let mut expected: Vec<Row> = rows.iter().map(json).collect();
    expected.sort();

    let mut ids = Vec::new();
    for envelope in ["debezium", "canal", "maxwell"] {
        let settings = settings(&server, &emulator, envelope).env("ENVELOPE", envelope);
        let records = relay(&server, &emulator, envelope, &settings).await;
        let mut table: Vec<Row> = Vec::new();
        for (id, message) in &records {
            let [taken, brought] = change(envelope, message);
            if let Some(taken) = taken {
                let at = table.iter().position(|row| *row == taken);
                table.swap_remove(
                    at.unwrap_or_else(|| panic!("{id} changes a row that is not there: {taken:?}")),
                );
            }
            table.extend(brought);
        }
        table.sort();
        assert_eq!(table, expected, "{envelope}");
        ids.push(records.into_iter().map(|(id, _)| id).collect::<Vec<_>>());
    }
    assert!(
        ids[0].len() == 14 && ids[0] == ids[1] && ids[1] == ids[2],
        "{ids:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_envelope_says_what_the_table_holds_on_mysql() {
    every_envelope_says_what_the_table_holds(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_envelope_says_what_the_table_holds_on_mariadb() {
    every_envelope_says_what_the_table_holds(Kind::MariaDb).await;
}

/// Searches every byte that left for the topic, attributes included.
fn no_leak(emulator: &Emulator, name: &str, secrets: &[&str]) {
    for record in emulator.records(PROJECT, name).expect("the topic") {
        let payload = String::from_utf8_lossy(record.blob().expect("a blob"));
        let shown = format!("{record:?}{payload}");
        for secret in secrets {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_masked_or_left_out_is_nowhere_in_the_topic() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    let emulator = rig::emulator(1).await;
    server
        .execute(&[
            "CREATE TABLE test.users (id INT PRIMARY KEY, phone VARCHAR(20), mail VARCHAR(40), name VARCHAR(20), n INT)",
            "CREATE TABLE test.log (line VARCHAR(40), mail VARCHAR(40))",
            "INSERT INTO test.users VALUES (1, 'Tel-0815', 'ada@secret.example', 'Ada', 471147), (2, NULL, NULL, NULL, NULL)",
            "UPDATE test.users SET phone = 'Tel-4711', mail = 'bob@secret.example', n = 471148 WHERE id = 1",
            "UPDATE test.users SET phone = 'Tel-9999' WHERE id = 1",
            "INSERT INTO test.log VALUES ('x', 'ada@secret.example')",
            "DELETE FROM test.users",
        ])
        .await
        .expect("rows");
    const KEY: &str = "mask-key-0123456789";
    let secrets = ["Tel-", "@secret", "Ada", "47114", KEY];
    for envelope in ["debezium", "canal", "maxwell"] {
        let settings = settings(&server, &emulator, envelope)
            .env("ENVELOPE", envelope)
            .env("COLUMN_EXCLUDE", "users.phone")
            .env(
                "COLUMN_MASK",
                "*.mail=hmac,test.users.n=hmac,users.Name=constant:***",
            )
            .env("COLUMN_MASK_KEY", KEY);
        let records = relay(&server, &emulator, envelope, &settings).await;
        assert_eq!(
            records.len(),
            7,
            "one record a row change, whatever of it is shown"
        );
        no_leak(&emulator, envelope, &secrets);
        let inserted = change(envelope, &records[0].1)[1].clone().expect("a row");
        let mail = inserted["mail"].as_deref().expect("a hash").to_owned();
        assert!(
            mail.len() == 64 && !inserted.contains_key("phone"),
            "{inserted:?}"
        );
        assert_eq!(inserted["name"].as_deref(), Some("***"));
        let empty = change(envelope, &records[1].1)[1].clone().expect("a row");
        assert!(
            empty["mail"].is_none() && empty["name"].is_none() && empty["n"].is_none(),
            "NULL stays NULL"
        );
        let logged = change(envelope, &records[4].1)[1].clone().expect("a row");
        assert_eq!(
            logged["mail"].as_deref(),
            Some(mail.as_str()),
            "equal values can still be joined"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_on_a_key_halts_until_it_is_meant() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    let emulator = rig::emulator(1).await;
    server
        .execute(&[
            "CREATE TABLE test.t (id INT PRIMARY KEY, a INT)",
            "INSERT INTO test.t VALUES (471147, 1)",
        ])
        .await
        .expect("rows");
    let settings = settings(&server, &emulator, "keys").env("COLUMN_EXCLUDE", "t.id");
    let mut collector = Collector::start(&settings).expect("a collector");
    let halted = collector
        .wait_health("halt", READY, |health| health["status"] == "halted")
        .await;
    let halted = halted.expect("a halt");
    assert_eq!(halted["reason_code"], "column_rule_on_key", "{halted}");
    collector.stop(STOPPED).await.expect("a stop");
    assert!(records(&emulator, "keys").is_empty());
    let wrong = settings
        .clone()
        .env("COLUMN_MASK", "t.nothing=constant:x")
        .arg("check")
        .arg("--measure=0");
    let (status, printed, _) = wrong.run_to_end(READY).await.expect("a report");
    assert!(
        !status.success() && printed.contains("FATAL  column_rule_on_key"),
        "{printed}"
    );
    assert!(
        printed.contains("column_rule_idle") && printed.contains("t.nothing"),
        "{printed}"
    );
    let settings = settings.env("COLUMN_RULES_ON_KEYS", "true");
    let records = relay(&server, &emulator, "keys", &settings).await;
    assert_eq!(records[0].1["after"], serde_json::json!({"a": 1}));
}

async fn transactions_and_definitions_are_told_in_order(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let emulator = rig::emulator(1).await;
    let settings = settings(&server, &emulator, "marks")
        .env("DATABASE_TABLES", "*,!hidden")
        .env("EMIT_TRANSACTIONS", "true")
        .env("EMIT_DDL", "true");
    server
        .execute(&[
            "CREATE TABLE test.a (id INT PRIMARY KEY)",
            "CREATE TABLE test.b (id INT PRIMARY KEY)",
            "CREATE TABLE test.hidden (id INT PRIMARY KEY)",
            "CREATE USER gone@localhost IDENTIFIED BY 'Cr3dential'",
            "INSERT INTO test.hidden VALUES (1)",
        ])
        .await
        .expect("tables");
    let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
    caught_up(&server, &mut collector).await;
    let mut conn = server.connect().await.expect("a connection");
    for statement in [
        "BEGIN",
        "INSERT INTO test.hidden VALUES (2)",
        "INSERT INTO test.a VALUES (1), (2)",
        "INSERT INTO test.b VALUES (1)",
        "INSERT INTO test.hidden VALUES (3)",
        "UPDATE test.a SET id = id + 10",
        "COMMIT",
    ] {
        conn.query_drop(statement).await.expect(statement);
    }
    // The table's definition is read with its first rows: it must still be the one that they have.
    caught_up(&server, &mut collector).await;
    conn.query_drop("ALTER TABLE test.a ADD x INT")
        .await
        .expect("an alteration");
    caught_up(&server, &mut collector).await;
    i14_conserved(&collector).await;
    let decoded = collector.metrics().await.expect("metrics");
    assert_eq!(
        decoded.value("cdc_rows_decoded_total", &[("op", "m")]),
        Some(6.0),
        "1 database, 2 tables, 1 transaction, 1 column"
    );
    // Killed, so that it may tell some of it again; what it tells is the same.
    collector.kill9().expect("a kill");
    collector.wait_exit(STOPPED).await.expect("an end");
    server
        .execute(&["INSERT INTO test.a VALUES (5, 5)", "TRUNCATE TABLE test.b"])
        .await
        .expect("rows");
    let all = relay(&server, &emulator, "marks", &settings).await;
    let mut seen = HashSet::new();
    let mut first: Vec<&(String, Value)> = all.iter().filter(|(id, _)| seen.insert(id.clone())).collect();
    // The database was made when the server was set up.
    let database = first.remove(0);
    assert_eq!(database.1["databaseName"], "test");
    assert!(database.1["source"]["table"].is_null());
    let word = |message: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match (&message["ddl"], &message["status"]) {
            (Value::Null, Value::Null) => {
                format!("{} {}", text(&message["op"]), text(&message["source"]["table"]))
            }
            (Value::Null, status) => format!("{} {}", text(status), message["event_count"]),
            (ddl, _) => text(ddl),
        }
    };
    let words: Vec<String> = first.iter().map(|(_, message)| word(message)).collect();
    assert_eq!(
        words,
        [
            "CREATE TABLE test.a (id INT PRIMARY KEY)",
            "CREATE TABLE test.b (id INT PRIMARY KEY)",
            "BEGIN null",
            "c a",
            "c a",
            "c b",
            "u a",
            "u a",
            "END 5",
            "ALTER TABLE test.a ADD x INT",
            "BEGIN null",
            "c a",
            "END 1",
            "TRUNCATE TABLE test.b",
        ]
    );
    let end = &first[8];
    let transaction = end.1["id"].as_str().expect("an id");
    assert_eq!(end.0, format!("{transaction}:end"));
    assert_eq!(first[2].0, format!("{transaction}:begin"));
    assert_eq!(
        end.1["data_collections"],
        serde_json::json!([{"data_collection": "test.a", "event_count": 4}, {"data_collection": "test.b", "event_count": 1}])
    );
    // Rows of tables that are not captured count in the order: it is the binlog's.
    let orders: Vec<u64> = (first[3..8].iter())
        .map(|(_, message)| {
            assert_eq!(message["transaction"]["id"], transaction);
            message["transaction"]["total_order"].as_u64().expect("an order")
        })
        .collect();
    assert_eq!(orders, [2, 3, 4, 6, 7]);
    no_leak(&emulator, "marks", &["Cr3dential"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_definitions_are_told_in_order_on_mysql() {
    transactions_and_definitions_are_told_in_order(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_definitions_are_told_in_order_on_mariadb() {
    transactions_and_definitions_are_told_in_order(Kind::MariaDb).await;
}

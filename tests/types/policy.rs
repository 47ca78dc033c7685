//! Types that cannot be relayed: a halt that names table and column, or the table is left out.

use harness::collector::Collector;
use harness::servers::{Kind, Options, Server};
use mysql_async::prelude::Queryable;
use serde_json::Value;

use super::arrivals::Relay;
use crate::rig::{self, READY, i14_conserved};

/// Definitions that are refused, and what is said of them.
fn refused(kind: Kind) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![("VARCHAR(9) CHARACTER SET swe7", "character set swe7")];
    all.extend(match kind {
        Kind::MySql => [("VECTOR(3)", "type vector")],
        Kind::MariaDb | Kind::Seekdb => [("VARCHAR(9) COMPRESSED", "compressed")],
    });
    all
}

async fn refused_types_halt_with_table_and_column(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let emulator = rig::emulator(1).await;
    let settings = rig::settings(server.address(), &emulator.endpoint());
    for (definition, what) in refused(kind) {
        let create = format!("CREATE TABLE odd (id INT PRIMARY KEY, strange {definition})");
        server
            .execute(&["DROP TABLE IF EXISTS odd", &create])
            .await
            .expect("a table");
        let mut collector = Collector::start(&settings).expect("a collector");
        let halted = |health: &Value| health["status"] == "halted";
        let health = collector
            .wait_health("halt", READY, halted)
            .await
            .expect("a halt");
        assert_eq!(health["reason_code"], "column_type_unsupported", "{health}");
        for part in ["test.odd", "strange", what, "TYPE_POLICY"] {
            assert!(health.to_string().contains(part), "{part} is not in {health}");
        }
        collector.kill9().expect("an end");
    }
}

async fn refused_types_leave_their_table_out(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let refused = refused(kind);
    let before: Vec<String> = refused
        .iter()
        .enumerate()
        .map(|(n, (definition, _))| format!("CREATE TABLE odd{n} (id INT PRIMARY KEY, strange {definition})"))
        .collect();
    for create in &before {
        server.execute(&[create]).await.expect(create);
    }
    let mut relay = Relay::start(server, |settings| settings.env("TYPE_POLICY", "skip_table")).await;
    let mut conn = relay.connect().await;
    conn.query_drop("USE test").await.expect("a database");
    let (late, _) = refused[0];
    for statement in [
        "CREATE TABLE even (id INT PRIMARY KEY)",
        &format!("CREATE TABLE late (id INT PRIMARY KEY, strange {late})"),
        "INSERT INTO odd0 (id) VALUES (1), (2)",
        "INSERT INTO odd1 (id) VALUES (3)",
        "INSERT INTO late (id) VALUES (4)",
        "INSERT INTO even VALUES (5)",
        "FLUSH BINARY LOGS",
        "INSERT INTO late (id) VALUES (6)",
        "UPDATE odd1 SET id = 33",
        "DELETE FROM odd0 WHERE id = 1",
    ] {
        conn.query_drop(statement).await.expect(statement);
    }
    relay.caught_up().await;
    for statement in ["ALTER TABLE late DROP strange", "INSERT INTO late VALUES (7)"] {
        conn.query_drop(statement).await.expect(statement);
    }
    relay.caught_up().await;
    let ids: Vec<u64> = relay
        .news()
        .iter()
        .map(|e| e["after"]["id"].as_u64().expect("an id"))
        .collect();
    assert_eq!(ids, [5, 7], "{kind}");
    let metrics = relay.collector.metrics().await.expect("metrics");
    assert_eq!(metrics.sum("cdc_rows_filtered_total"), Some(7.0), "{kind}");
    i14_conserved(&relay.collector).await;
    let warnings = relay.collector.output().warnings(&[]);
    for table in ["test.odd0", "test.odd1", "test.late"] {
        let of_table: Vec<&String> = warnings.iter().filter(|line| line.contains(table)).collect();
        assert_eq!(of_table.len(), 1, "{kind}: {warnings:#?}");
        assert!(of_table[0].contains("strange"), "{of_table:?}");
    }
    assert_eq!(warnings.len(), 3, "{kind}: {warnings:#?}");
}

/// A table that is created while the collector runs.
async fn a_new_table_of_a_refused_type_halts(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let mut relay = Relay::start(server, |settings| settings).await;
    let (definition, what) = refused(kind)[0];
    let create = format!("CREATE TABLE late (id INT PRIMARY KEY, strange {definition})");
    let insert = "INSERT INTO late (id) VALUES (1)";
    relay.server.execute(&[&create, insert]).await.expect("a row");
    let halted = |health: &Value| health["status"] == "halted";
    let health = relay
        .collector
        .wait_health("halt", READY, halted)
        .await
        .expect("a halt");
    assert_eq!(health["reason_code"], "schema_unsupported", "{health}");
    for part in ["test.late", "strange", what, "TYPE_POLICY"] {
        assert!(health.to_string().contains(part), "{part} is not in {health}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_types_halt_or_leave_their_table_out_on_mysql() {
    refused_types_halt_with_table_and_column(Kind::MySql).await;
    refused_types_leave_their_table_out(Kind::MySql).await;
    a_new_table_of_a_refused_type_halts(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_types_halt_or_leave_their_table_out_on_mariadb() {
    refused_types_halt_with_table_and_column(Kind::MariaDb).await;
    refused_types_leave_their_table_out(Kind::MariaDb).await;
    a_new_table_of_a_refused_type_halts(Kind::MariaDb).await;
}

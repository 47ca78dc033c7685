//! What a collector relayed, and what `SELECT` says of the same rows.

use std::collections::BTreeMap;

use datahub_emulator::Emulator;
use harness::collector::{Collector, Settings};
use harness::servers::{Kind, Server};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde_json::Value;

use super::cases::{Form, keep_fractions};
use crate::rig::{self, ARRIVED, PROJECT, READY, TOPIC};

/// A server, a collector that reads its binlog from the beginning, and the topic that it writes to.
pub(super) struct Relay {
    pub(super) server: Server,
    pub(super) emulator: Emulator,
    pub(super) collector: Collector,
    seen: usize,
}

impl Relay {
    pub(super) async fn start(server: Server, change: impl Fn(Settings) -> Settings) -> Self {
        let emulator = rig::emulator(1).await;
        let settings =
            rig::settings(server.address(), &emulator.endpoint()).env("START_POSITION", "earliest");
        let collector = Collector::start_ready(&change(settings), READY)
            .await
            .expect("ready");
        Self {
            server,
            emulator,
            collector,
            seen: 0,
        }
    }

    /// A connection that writes and reads as text arrives: any date is stored, in UTC.
    pub(super) async fn connect(&self) -> Conn {
        let mut conn = self.server.connect().await.expect("a connection");
        for statement in [
            "SET sql_mode = 'ALLOW_INVALID_DATES'",
            "SET time_zone = '+00:00'",
            "SET NAMES utf8mb4",
        ] {
            conn.query_drop(statement).await.expect(statement);
        }
        conn
    }

    /// Waits until everything committed so far is in the topic.
    pub(super) async fn caught_up(&mut self) {
        let status = match self.server.kind() {
            Kind::MySql => "SHOW BINARY LOG STATUS",
            Kind::MariaDb | Kind::Seekdb => "SHOW MASTER STATUS",
        };
        let head: Vec<Row> = self.server.query(status).await.expect("a status");
        let (file, pos): (String, u64) = (
            head[0].get(0).expect("a file"),
            head[0].get(1).expect("an offset"),
        );
        let there = |health: &Value| {
            let position = &health["position"];
            let reached = (position["file"].as_str(), position["pos"].as_u64());
            let reached = matches!(reached, (Some(f), Some(p)) if (f, p) >= (file.as_str(), pos));
            (reached && position["rows"] == 0) || health["status"] == "halted"
        };
        let end = self
            .collector
            .wait_health("checkpoint at the end of the binlog", ARRIVED, there);
        let health = end.await.expect("to catch up");
        assert_ne!(health["status"], "halted", "{health}");
    }

    /// The envelopes that arrived since the last call.
    pub(super) fn news(&mut self) -> Vec<Value> {
        let records = self.emulator.records(PROJECT, TOPIC).expect("the topic");
        let news: Vec<Value> = records
            .skip(self.seen)
            .map(|record| {
                let json = std::str::from_utf8(record.blob().expect("a blob")).expect("UTF-8");
                serde_json::from_str(&keep_fractions(json)).expect("JSON")
            })
            .collect();
        self.seen += news.len();
        news
    }
}

/// The rows of a table by `id`, each column as its form selects it.
pub(super) async fn selected(
    conn: &mut Conn,
    table: &str,
    columns: &[(String, Form)],
) -> BTreeMap<u64, Vec<Option<String>>> {
    let list: Vec<String> = columns.iter().map(|(name, form)| form.select(name)).collect();
    let select = format!("SELECT id, {} FROM {table}", list.join(", "));
    let rows: Vec<Row> = conn.query(select).await.expect("rows");
    let read = |row: Row| {
        let id = row.get(0).expect("an id");
        let cells = (1..row.len()).map(|n| row.get::<Option<Vec<u8>>, _>(n).expect("a column"));
        let text = |cell: Vec<u8>| String::from_utf8(cell).expect("UTF-8");
        (id, cells.map(|cell| cell.map(text)).collect())
    };
    rows.into_iter().map(read).collect()
}

/// Sentences on every column of an image that is not what was selected.
pub(super) fn differences(
    columns: &[(String, Form)],
    definitions: &[String],
    selected: &[Option<String>],
    image: &Value,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (((name, form), definition), expected) in columns.iter().zip(definitions).zip(selected) {
        let arrived = image.get(name);
        let right = match (expected, arrived) {
            (_, None) => false,
            (Some(expected), Some(arrived)) => form.matches(expected, arrived),
            (None, Some(arrived)) => arrived.is_null(),
        };
        if !right {
            wrong.push(format!(
                "{name} {definition:.70}: SELECT says {expected:.200?}, {:.200} arrived",
                arrived.map_or_else(|| "nothing".to_owned(), Value::to_string)
            ));
        }
    }
    wrong
}

//! TUPLE topics: rows arrive by field name, schemas that do not fit are refused before the first row, and what
//! `cdc-collector schema` prints takes the rows that it was printed for.

use datahub_emulator::{Emulator, Options as Service, Payload, StoredRecord, TopicSpec};
use harness::collector::{Collector, Settings};
use harness::servers::{Kind, Options, Server};
use mysql_async::prelude::Queryable;
use serde_json::Value;

use crate::rig::{self, ACCESS_ID, ACCESS_KEY, PROJECT, READY, STOPPED};

pub(crate) const TOPIC: &str = "tuples";

/// An emulator with one TUPLE topic of this schema, in the JSON form that CreateTopic takes.
pub(crate) async fn emulator(shards: u32, schema: &str) -> Emulator {
    let service = Service {
        access_id: ACCESS_ID.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        create: vec![spec(TOPIC, shards, schema)],
        ..Service::default()
    };
    Emulator::start(service).await.expect("an emulator")
}

fn spec(topic: &str, shards: u32, schema: &str) -> TopicSpec {
    TopicSpec {
        schema: Some(schema.to_owned()),
        ..TopicSpec::blob(PROJECT, topic, shards)
    }
}

/// A schema of `name TYPE` or `name TYPE!` (NOT NULL), separated by commas.
pub(crate) fn schema(fields: &str) -> String {
    let field = |field: &str| {
        let (name, kind) = field.trim().split_once(' ').expect("a name and a type");
        serde_json::json!({"name": name, "type": kind.trim_end_matches('!'), "notnull": kind.ends_with('!')})
    };
    let fields: Vec<Value> = fields.split(',').map(field).collect();
    serde_json::json!({ "fields": fields }).to_string()
}

fn settings(server: &Server, emulator: &Emulator) -> Settings {
    rig::settings(server.address(), &emulator.endpoint())
        .topic(PROJECT, TOPIC)
        .env("START_POSITION", "earliest")
}

/// A record's fields as text, `-` for NULL, separated by bars.
fn line(record: &StoredRecord) -> String {
    let Payload::Tuple(fields) = &record.data else {
        panic!("a record of the topic is no tuple")
    };
    let texts: Vec<String> = fields
        .iter()
        .map(|field| match field {
            Some(text) => String::from_utf8(text.to_vec()).expect("UTF-8"),
            None => "-".to_owned(),
        })
        .collect();
    texts.join("|")
}

async fn lines(emulator: &Emulator, count: u64) -> Vec<String> {
    let held = emulator.wait_for_records(PROJECT, TOPIC, count, READY).await;
    held.unwrap_or_else(|held| panic!("{held} of {count} records arrived"));
    emulator
        .records(PROJECT, TOPIC)
        .expect("the topic")
        .map(|record| line(&record))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tables_fill_one_topic_by_field_name() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    server
        .execute(&[
            "CREATE TABLE orders (id BIGINT PRIMARY KEY, Amount DECIMAL(10,2), note TEXT)",
            "CREATE TABLE users (name VARCHAR(20) CHARACTER SET gbk, id INT PRIMARY KEY)",
            "INSERT INTO orders VALUES (1, 12.50, 'a\"b\\n\u{4e2d}'), (2, NULL, '')",
            "INSERT INTO users VALUES ('\u{4e2d}\u{6587}', 3)",
            "UPDATE orders SET id = 4, amount = -1 WHERE id = 1",
            "DELETE FROM orders WHERE id = 2",
        ])
        .await
        .expect("rows");
    let fields = schema(
        "amount DECIMAL, ID BIGINT!, __op STRING!, name STRING, note STRING, __table STRING!, other DOUBLE",
    );
    let emulator = emulator(1, &fields).await;
    let settings = settings(&server, &emulator);
    let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
    let arrived = lines(&emulator, 5).await;
    assert_eq!(
        arrived,
        [
            "12.50|1|c|-|a\"b\n\u{4e2d}|orders|-",
            "-|2|c|-||orders|-",
            "-|3|c|\u{4e2d}\u{6587}|-|users|-",
            "-1.00|4|u|-|a\"b\n\u{4e2d}|orders|-",
            "-|2|d|-||orders|-",
        ]
    );
    let ids: Vec<_> = emulator
        .records(PROJECT, TOPIC)
        .expect("the topic")
        .filter_map(|record| record.attribute("cdc.id").map(str::to_owned))
        .collect();
    assert_eq!(ids.len(), 5);
    rig::i14_conserved(&collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    // A second run finds the topic's tail and sends nothing twice.
    server
        .execute(&["INSERT INTO users VALUES (NULL, 5)"])
        .await
        .expect("a row");
    let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
    let arrived = lines(&emulator, 6).await;
    assert_eq!(arrived[5..], ["-|5|c|-|-|users|-"]);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// What is wrong with a topic, whether it is looked for by `check` or met at the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_fit_is_refused_before_the_first_row() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    server
        .execute(&["CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, at DATETIME, `__op` INT, record_id INT)"])
        .await
        .expect("a table");
    let cases = [
        (
            "overflow",
            "native",
            "id BIGINT",
            "tuple_type_mismatch",
            "declare the field as DECIMAL or STRING",
        ),
        (
            "no_zone",
            "native",
            "at TIMESTAMP",
            "tuple_type_mismatch",
            "declare the field as STRING",
        ),
        (
            "piece",
            "native",
            "__id DOUBLE",
            "tuple_type_mismatch",
            "declare the field as STRING",
        ),
        (
            "unfilled",
            "native",
            "extra STRING!",
            "tuple_field_unfilled",
            "let the field allow NULL",
        ),
        (
            "null_piece",
            "native",
            "__before STRING!",
            "tuple_field_not_null",
            "let the field allow NULL",
        ),
        (
            "two",
            "native",
            "__op STRING",
            "tuple_field_ambiguous",
            "TUPLE_NAMES",
        ),
        (
            "two_dts",
            "dts_legacy",
            "dts_record_id STRING",
            "tuple_field_ambiguous",
            "TUPLE_NAMES",
        ),
    ];
    let emulator = emulator(1, &schema("id DECIMAL, at STRING")).await;
    for (topic, names, fields, code, remedy) in cases {
        emulator
            .create_topic(&spec(topic, 1, &schema(fields)))
            .expect("a topic");
        let own = || {
            settings(&server, &emulator)
                .topic(PROJECT, topic)
                .env("TUPLE_NAMES", names)
        };
        let (status, out, err) = own()
            .arg("check")
            .arg("--measure=0")
            .run_to_end(READY)
            .await
            .expect("an end");
        assert_eq!(status.code(), Some(1), "{topic}: {out}{err}");
        assert!(out.contains(code) && out.contains(remedy), "{topic}: {out}");

        let mut collector = Collector::start(&own()).expect("a start");
        let health = collector
            .wait_health("halted", READY, |health| health["status"] == "halted")
            .await
            .unwrap_or_else(|e| panic!("{topic}: {e:#}\n{}", collector.output().tail()));
        assert_eq!(health["reason_code"], code, "{topic}: {health}");
        assert!(
            health["remedy"]
                .as_str()
                .is_some_and(|text| text.contains(remedy)),
            "{health}"
        );
        assert!(collector.stop(STOPPED).await.expect("a stop").success());
    }
    let (status, out, err) = settings(&server, &emulator)
        .env("EMIT_DDL", "true")
        .arg("check")
        .arg("--measure=0")
        .run_to_end(READY)
        .await
        .expect("an end");
    assert_eq!(status.code(), Some(1), "{out}{err}");
    assert!(
        out.contains("tuple_without_marks") && out.contains("EMIT_DDL"),
        "{out}"
    );
    // What fits is fine, and the columns without a field are named.
    let (status, out, err) = settings(&server, &emulator)
        .arg("check")
        .arg("--measure=0")
        .run_to_end(READY)
        .await
        .expect("an end");
    assert!(status.success(), "{out}{err}");
    assert!(
        out.contains("tuple_column_without_field") && out.contains("__op, record_id"),
        "{out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_at_run_time_halts_and_names_the_place() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    let fields = schema("id INTEGER!, n BIGINT, flag BOOLEAN, txt STRING");
    for (before, broken, code, says) in [
        (
            "INSERT INTO t VALUES (1, 1, 1, 'x')",
            "INSERT INTO t VALUES (2, -9223372036854775808, 0, '')",
            "row_not_encodable",
            "test.t, column \"n\" of row 0",
        ),
        (
            "INSERT INTO t VALUES (1, 1, 0, 'x')",
            "INSERT INTO t VALUES (2, 1, 7, '')",
            "row_not_encodable",
            "test.t, column \"flag\" of row 0",
        ),
        // The table is altered, or another one appears, while the collector runs.
        (
            "INSERT INTO t VALUES (1, 1, 0, 'x')",
            "ALTER TABLE t MODIFY n BIGINT UNSIGNED; INSERT INTO t VALUES (2, 1, 0, '')",
            "tuple_type_mismatch",
            "the column n of test.t is BIGINT UNSIGNED, the field n is BIGINT",
        ),
        (
            "INSERT INTO t VALUES (1, 1, 0, 'x')",
            "CREATE TABLE later (other INT); INSERT INTO later VALUES (1)",
            "tuple_field_unfilled",
            "nothing in test.later fills the field id",
        ),
    ] {
        server
            .execute(&[
                "RESET MASTER",
                "DROP TABLE IF EXISTS t, later",
                "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT, flag TINYINT(1), txt TEXT)",
            ])
            .await
            .expect("a table");
        let emulator = emulator(1, &fields).await;
        let mut collector = Collector::start_ready(&settings(&server, &emulator), READY)
            .await
            .expect("ready");
        server.execute(&[before]).await.expect("a row");
        lines(&emulator, 1).await;
        let statements: Vec<&str> = broken.split("; ").collect();
        server.execute(&statements).await.expect(broken);
        let health = collector
            .wait_health("halted", READY, |health| health["status"] == "halted")
            .await
            .unwrap_or_else(|e| panic!("{broken}: {e:#}\n{}", collector.output().tail()));
        assert_eq!(health["reason_code"], code, "{health}");
        assert!(
            health["summary"].as_str().is_some_and(|text| text.contains(says)),
            "{health}"
        );
        assert!(!health.to_string().contains("922337"), "a value in {health}");
        assert_eq!(emulator.count(PROJECT, TOPIC), Ok(1), "nothing after it is sent");
        assert!(collector.stop(STOPPED).await.expect("a stop").success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_tuple_is_kept_as_a_dead_letter_with_all_its_fields() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    // The service takes STRINGs of 2 MB.
    server
        .execute(&[
            "SET GLOBAL max_allowed_packet = 16777216",
            "CREATE TABLE t (id INT PRIMARY KEY, txt LONGTEXT, n INT)",
            "INSERT INTO t VALUES (1, 'x', NULL), (2, REPEAT('y', 2100000), NULL), (3, 'z', 5)",
        ])
        .await
        .expect("rows");
    let emulator = emulator(1, &schema("n INTEGER, txt STRING, id INTEGER!")).await;
    let settings = settings(&server, &emulator).env("POISON_POLICY", "dead_letter");
    let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
    assert_eq!(lines(&emulator, 2).await, ["-|x|1", "5|z|3"]);
    rig::i14_conserved(&collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    let file = std::fs::read_dir(settings.data_dir())
        .expect("the data directory")
        .filter_map(Result::ok)
        .find(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .ends_with("dead-letters.jsonl")
        })
        .expect("dead letters");
    let text = std::fs::read_to_string(file.path()).expect("text");
    let (_, body) = text.trim_end().split_once(' ').expect("a checksum and a letter");
    let letter: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(letter["layout"], "tuple");
    // NULL; 2,100,000 bytes; "2". The length of the base64 text tells it well enough.
    let payload = letter["payload"].as_str().expect("a payload");
    assert!(payload.starts_with("/////"), "the first field is NULL");
    assert_eq!(payload.len(), (4 + 4 + 2_100_000 + 4 + 1_usize).div_ceil(3) * 4);
}

/// Column definitions of both servers, and a value for each.
const EVERY_TYPE: &[(&str, &str)] = &[
    ("TINYINT", "-128"),
    ("TINYINT UNSIGNED", "255"),
    ("SMALLINT", "-32768"),
    ("SMALLINT UNSIGNED", "65535"),
    ("MEDIUMINT", "-8388608"),
    ("MEDIUMINT UNSIGNED", "16777215"),
    ("INT", "-2147483648"),
    ("INT UNSIGNED", "4294967295"),
    ("BIGINT", "-9223372036854775807"),
    ("BIGINT UNSIGNED", "18446744073709551615"),
    ("FLOAT", "-3.4e38"),
    ("DOUBLE", "1.7976931348623157e308"),
    ("DECIMAL(38,10)", "-1234567890123456789012345678.0123456789"),
    ("DECIMAL(65,30)", "12345678901234567890123456789012345.5"),
    ("BIT(1)", "b'1'"),
    ("BIT(64)", "0xFFFFFFFFFFFFFFFF"),
    ("DATE", "'9999-12-31'"),
    ("DATETIME(6)", "'9999-12-31 23:59:59.999999'"),
    ("TIMESTAMP(6) NULL", "'2038-01-19 03:14:07.999999'"),
    ("TIME(3)", "'-838:59:58.999'"),
    ("YEAR", "2155"),
    ("CHAR(10) CHARACTER SET gbk", "'\u{4e2d}'"),
    ("LONGTEXT", "'a\"\\\\b\\n'"),
    ("BINARY(3)", "'a'"),
    ("BLOB", "UNHEX('00FF')"),
    ("ENUM('a','b')", "'b'"),
    ("SET('x','y')", "'x,y'"),
    ("JSON", "'{\"a\": [1, \"\\\\n\"]}'"),
    ("GEOMETRY", "ST_GeomFromText('POINT(1 2)')"),
];

async fn the_printed_topic_takes_every_type(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let columns: Vec<String> = EVERY_TYPE
        .iter()
        .enumerate()
        .map(|(n, (kind, _))| format!("c{n} {kind}"))
        .collect();
    let values: Vec<&str> = EVERY_TYPE.iter().map(|(_, value)| *value).collect();
    let nulls = vec!["NULL"; EVERY_TYPE.len()];
    let mut conn = server.connect().await.expect("a connection");
    for statement in [
        "SET NAMES utf8mb4".to_owned(),
        "SET time_zone = '+00:00'".to_owned(),
        "CREATE TABLE test.other (v INT)".to_owned(),
        format!(
            "CREATE TABLE test.every (id INT PRIMARY KEY, {})",
            columns.join(", ")
        ),
        format!("INSERT INTO test.every VALUES (1, {})", values.join(", ")),
        format!("INSERT INTO test.every VALUES (2, {})", nulls.join(", ")),
    ] {
        conn.query_drop(&statement).await.expect(&statement);
    }
    let nowhere = emulator(1, &schema("id INTEGER")).await;
    let ask = |words: &'static [&'static str], names: &'static str| {
        let asked = settings(&server, &nowhere).env("TUPLE_NAMES", names);
        words.iter().fold(asked, |asked, word| asked.arg(*word))
    };
    for names in ["native", "dts", "dts_legacy"] {
        let own = ask(&["schema", "datahub", "--table", "test.every"], names);
        let (status, out, err) = own.run_to_end(READY).await.expect("an end");
        assert!(status.success() && err.is_empty(), "{out}{err}");
        let printed: Value = serde_json::from_str(&out).expect("nothing but JSON");
        let emulator = emulator(1, &printed.to_string()).await;
        let relayed = settings(&server, &emulator)
            .env("DATABASE_TABLES", "every")
            .env("TUPLE_NAMES", names);
        let mut collector = Collector::start_ready(&relayed, READY).await.expect("ready");
        let arrived = lines(&emulator, 2).await;
        let count = printed["fields"].as_array().expect("fields").len();
        let prefix = count - EVERY_TYPE.len() - 1;
        let of_columns =
            |line: &str| -> Vec<String> { line.split('|').skip(prefix).map(str::to_owned).collect() };
        let values = of_columns(&arrived[0]);
        assert_eq!(values.len(), EVERY_TYPE.len() + 1, "{arrived:?}");
        for (place, expected) in [
            (0, "1"),
            (9, "-9223372036854775807"),
            (10, "18446744073709551615"),
            (13, "-1234567890123456789012345678.0123456789"),
            (18, "9999-12-31 23:59:59.999999"),
            (19, "2147483647999999"),
            (22, "\u{4e2d}"),
            (23, "a\"\\b\n"),
            (24, "YQAA"),
            (28, r#"{"a": [1, "\n"]}"#),
        ] {
            assert_eq!(values[place], expected, "field {place} of {values:?}");
        }
        assert!(
            of_columns(&arrived[1]).iter().skip(1).all(|text| text == "-"),
            "{arrived:?}"
        );
        assert!(collector.stop(STOPPED).await.expect("a stop").success());
    }

    let (status, out, _) = ask(&["schema", "datahub"], "native")
        .run_to_end(READY)
        .await
        .expect("an end");
    let all: Value = serde_json::from_str(&out).expect("nothing but JSON");
    assert!(
        status.success() && all["test.every"]["fields"].is_array() && all["test.other"]["fields"].is_array()
    );
    let (status, out, err) = ask(&["schema", "flink"], "native")
        .run_to_end(READY)
        .await
        .expect("an end");
    assert!(status.success() && err.is_empty(), "{err}");
    for part in [
        "CREATE TABLE `every` (\n  `id` INT,\n  `c0` TINYINT,",
        "CREATE TABLE `other` (\n  `v` INT,",
        "PRIMARY KEY (`id`) NOT ENFORCED",
        "'format' = 'debezium-json'",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    let (status, out, err) = ask(&["schema", "flink", "--table", "test.none"], "native")
        .run_to_end(READY)
        .await
        .expect("an end");
    assert_eq!((status.code(), out.as_str()), (Some(1), ""));
    assert!(err.contains("table_not_captured"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_topic_takes_every_type_of_mysql() {
    the_printed_topic_takes_every_type(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_topic_takes_every_type_of_mariadb() {
    the_printed_topic_takes_every_type(Kind::MariaDb).await;
}

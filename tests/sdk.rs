//! The official Python SDK reads back what was relayed: another reader than the oracle, written by others.

use std::path::{Path, PathBuf};

use cdc_collector::sink::wire::compress::{Format, Workspace};
use harness::collector::Collector;
use harness::servers::{Kind, Options, Server};
use harness::workload::Plan;
use serde_json::Value;

use crate::rig::{self, ACCESS_ID, ACCESS_KEY, PROJECT, READY, Rig, STOPPED, TOPIC};
use crate::tuple;

/// The interpreter that has the SDK: `$SDK_PYTHON`, else the environment that `scripts/sdk-venv.sh` makes.
fn python_with_sdk() -> Option<PathBuf> {
    let named = std::env::var_os("SDK_PYTHON").map(PathBuf::from);
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let python = named.or_else(|| Some(made).filter(|python| python.exists()));
    if python.is_none() {
        println!("SKIPPED sdk: no Python with the official SDK; make one with scripts/sdk-venv.sh");
    }
    python
}

/// What a script about a topic prints.
async fn run(python: &Path, script: &str, endpoint: &str, topic: &str, more: &[&str]) -> String {
    let about = [endpoint, ACCESS_ID, ACCESS_KEY, PROJECT, topic];
    run_with(python, script, &[&about, more].concat()).await
}

async fn run_with(python: &Path, script: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdk")
        .join(script);
    let output = tokio::process::Command::new(python)
        .arg(script)
        .args(arguments)
        .output()
        .await
        .expect("the interpreter starts");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_reads_every_record() {
    let Some(python) = python_with_sdk() else { return };
    let rig = Rig::new(Kind::MariaDb, Options::default(), Plan::default(), 3).await;
    let mut collector = rig.start().await;
    rig.workload.run(3_000, |_| {}).await.expect("the workload");
    rig.caught_up(&mut collector).await;
    let committed = rig.workload.log().totals().changes;
    let out = run(&python, "read_topic.py", &rig.emulator.endpoint(), TOPIC, &[]).await;
    assert_eq!(out.trim(), format!("records {committed}"));
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// Its decoder of LZ4 is the reference implementation, which is strict about the end of a block.
#[tokio::test]
async fn i11_the_official_sdk_unpacks_the_same_bytes() {
    let Some(python) = python_with_sdk() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let mut rng = fastrand::Rng::with_seed(11);
    let mut workspace = Workspace::default();
    let bodies = 200;
    for body in 0..bodies {
        let (rows, mut raw) = (rng.usize(2..40), workspace.room());
        for id in 0..rows {
            let (amount, day, note) = (rng.u64(..), rng.u8(1..29), "x".repeat(rng.usize(..400)));
            let row = format!(r#"{{"id":{id},"amount":{amount},"at":"2026-11-{day:02}","note":"{note}"}}"#);
            raw.extend_from_slice(row.as_bytes());
        }
        std::fs::write(directory.path().join(format!("{body}.raw")), &raw).expect("written");
        let packed = workspace.compress(raw, Format::Lz4);
        assert!(packed.encoding.is_some(), "rows repeat their names");
        std::fs::write(directory.path().join(format!("{body}.lz4")), &packed.bytes).expect("written");
    }
    let directory = directory.path().to_str().expect("a path in UTF-8");
    let out = run_with(&python, "unpack.py", &[directory]).await;
    assert_eq!(out.trim(), format!("bodies {bodies}"));
}

/// Field, column, and for each row: the value in SQL, its Python type and its text there.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    [(&'static str, &'static str, &'static str); 2],
);

/// Every tuple type that the SDK knows.
const TYPES: &[Case] = &[
    (
        "id",
        "INTEGER!",
        "INT PRIMARY KEY",
        [
            ("-2147483648", "int", "-2147483648"),
            ("2147483647", "int", "2147483647"),
        ],
    ),
    (
        "tiny",
        "TINYINT",
        "TINYINT",
        [("-128", "int", "-128"), ("127", "int", "127")],
    ),
    (
        "small",
        "SMALLINT",
        "SMALLINT",
        [("-32768", "int", "-32768"), ("32767", "int", "32767")],
    ),
    (
        "big",
        "BIGINT",
        "BIGINT",
        [
            ("-9223372036854775807", "int", "-9223372036854775807"),
            ("9007199254740993", "int", "9007199254740993"),
        ],
    ),
    (
        "single",
        "FLOAT",
        "FLOAT",
        [("0.1", "float", "0.1"), ("-3.4e38", "float", "-3.4e+38")],
    ),
    (
        "number",
        "DOUBLE",
        "DOUBLE",
        [
            ("0.1", "float", "0.1"),
            ("1.7976931348623157e308", "float", "1.7976931348623157e+308"),
        ],
    ),
    (
        "flag",
        "BOOLEAN",
        "BOOLEAN",
        [("1", "bool", "True"), ("0", "bool", "False")],
    ),
    (
        "moment",
        "TIMESTAMP",
        "TIMESTAMP(6) NULL",
        [
            ("'2024-01-02 03:04:05.000006'", "int", "1704164645000006"),
            ("'1970-01-01 00:00:01'", "int", "1000000"),
        ],
    ),
    (
        "txt",
        "STRING",
        "TEXT",
        [
            (
                "'h\u{e9}llo\u{4e2d}\"\\\\\\n\u{1f600}'",
                "str",
                "h\u{e9}llo\u{4e2d}\"\\\n\u{1f600}",
            ),
            ("''", "str", ""),
        ],
    ),
    (
        "price",
        "DECIMAL",
        "DECIMAL(38,4)",
        [
            (
                "-1234567890123456789012345678901234.5678",
                "Decimal",
                "-1234567890123456789012345678901234.5678",
            ),
            ("12.5", "Decimal", "12.5000"),
        ],
    ),
    (
        "whole",
        "DECIMAL",
        "BIGINT UNSIGNED",
        [
            ("18446744073709551615", "Decimal", "18446744073709551615"),
            ("0", "Decimal", "0"),
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_reads_tuples_of_every_type_as_the_right_python_values() {
    let Some(python) = python_with_sdk() else { return };
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    let columns: Vec<String> = TYPES
        .iter()
        .map(|(name, _, column, _)| format!("{name} {column}"))
        .collect();
    let row = |n: usize| -> String {
        let values: Vec<&str> = TYPES.iter().map(|(_, _, _, rows)| rows[n].0).collect();
        format!("INSERT INTO t VALUES ({})", values.join(", "))
    };
    server
        .execute(&[
            "SET NAMES utf8mb4",
            "SET time_zone = '+00:00'",
            &format!("CREATE TABLE t ({}) CHARACTER SET utf8mb4", columns.join(", ")),
            &row(0),
            &row(1),
            "INSERT INTO t (id) VALUES (0)",
        ])
        .await
        .expect("rows");
    let fields: Vec<String> = TYPES
        .iter()
        .map(|(name, field, ..)| format!("{name} {field}"))
        .collect();
    let emulator = tuple::emulator(1, &tuple::schema(&fields.join(","))).await;
    let settings = rig::settings(server.address(), &emulator.endpoint())
        .topic(PROJECT, tuple::TOPIC)
        .env("START_POSITION", "earliest");
    let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
    let held = emulator.wait_for_records(PROJECT, tuple::TOPIC, 3, READY).await;
    assert_eq!(held, Ok(3), "{}", collector.output().tail());

    let out = run(&python, "read_tuples.py", &emulator.endpoint(), tuple::TOPIC, &[]).await;
    let records: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let protocols: Vec<&Value> = records.iter().map(|record| &record[0]).collect();
    assert_eq!(protocols, ["JSON", "JSON", "JSON", "PB", "PB", "PB"]);
    for (n, record) in records.iter().enumerate() {
        for (place, (name, field, _, rows)) in TYPES.iter().enumerate() {
            let (kind, text) = match n % 3 {
                2 if *name == "id" => ("int", "0"),
                // By protobuf the SDK shows a NULL text as an empty one, whoever wrote it.
                2 if n > 3 && *field == "STRING" => ("str", ""),
                2 => ("NoneType", "None"),
                row => (rows[row].1, rows[row].2),
            };
            assert_eq!(
                record[1][place],
                serde_json::json!([name, kind, text]),
                "record {n}"
            );
        }
    }
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    // What `schema` prints, the SDK can make a topic of, and that topic takes the same rows.
    let settings = |topic: &str| {
        rig::settings(server.address(), &emulator.endpoint())
            .topic(PROJECT, topic)
            .env("START_POSITION", "earliest")
    };
    let ask = ["schema", "datahub", "--table", "test.t"];
    let asked = ask
        .iter()
        .fold(settings("printed"), |asked, word| asked.arg(*word));
    let (status, printed, err) = asked.run_to_end(READY).await.expect("an end");
    assert!(status.success(), "{err}");
    let endpoint = emulator.endpoint();
    run(&python, "create_topic.py", &endpoint, "printed", &[&printed]).await;
    let mut collector = Collector::start_ready(&settings("printed"), READY)
        .await
        .expect("ready");
    let held = emulator.wait_for_records(PROJECT, "printed", 3, READY).await;
    assert_eq!(held, Ok(3), "{}", collector.output().tail());
    let out = run(&python, "read_tuples.py", &endpoint, "printed", &[]).await;
    assert!(out.contains(r#"["__op", "str", "c"]"#), "{out}");
    assert!(out.contains(r#"["big", "int", "9007199254740993"]"#), "{out}");
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

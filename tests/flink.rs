//! Flink's own formats decode what arrived in the topic, and the changelog that they make of it is the source table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::collector::{Collector, Settings};
use harness::servers::{Kind, Options, Server, deps_dir};
use mysql_async::prelude::Queryable;

use crate::rig::{self, ARRIVED, PROJECT, READY, STOPPED, TOPIC};

/// How long the virtual machine may take for all tables, on a machine that is busy with the other tests.
const DECODED: Duration = Duration::from_secs(240);

const ENVELOPES: [&str; 3] = ["debezium", "canal", "maxwell"];

/// How a column is asked for as text, and how that compares with what Flink has.
#[derive(Clone, Copy)]
enum Form {
    /// The same text.
    Text,
    /// The same number at single precision.
    Single,
    /// The same number.
    Double,
    /// Date and time with six digits behind the point.
    DateTime,
    /// Hexadecimal digits.
    Bytes,
    /// A number's digits.
    Bits,
}

impl Form {
    fn select(self, column: &str) -> String {
        match self {
            Self::Text => format!("CAST({column} AS CHAR)"),
            Self::Single => format!("CAST({column} AS DOUBLE)"),
            Self::Double => column.to_owned(),
            Self::DateTime => format!("DATE_FORMAT({column}, '%Y-%m-%d %H:%i:%s.%f')"),
            Self::Bytes => format!("HEX({column})"),
            Self::Bits => format!("CAST({column} + 0 AS CHAR)"),
        }
    }

    fn same(self, selected: Option<&str>, decoded: Option<&str>) -> bool {
        let (Some(selected), Some(decoded)) = (selected, decoded) else {
            return selected == decoded;
        };
        match self {
            Self::Single => selected.parse::<f32>() == decoded.parse::<f32>(),
            Self::Double => selected.parse::<f64>() == decoded.parse::<f64>(),
            Self::Text | Self::DateTime | Self::Bytes | Self::Bits => selected == decoded,
        }
    }
}

struct Column {
    name: &'static str,
    source: &'static str,
    form: Form,
    /// As SQL literals: of the first, the second and the third row.
    values: [&'static str; 3],
}

const fn column(name: &'static str, source: &'static str, form: Form, values: [&'static str; 3]) -> Column {
    Column {
        name,
        source,
        form,
        values,
    }
}

/// All common types; zero dates are left out, which Flink has no value for.
#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    column("t", "TINYINT", Form::Text, ["-128", "127", "0"]),
    column("tu", "TINYINT UNSIGNED", Form::Text, ["0", "255", "1"]),
    column("s", "SMALLINT", Form::Text, ["-32768", "32767", "0"]),
    column("su", "SMALLINT UNSIGNED", Form::Text, ["0", "65535", "1"]),
    column("m", "MEDIUMINT", Form::Text, ["-8388608", "8388607", "0"]),
    column("mu", "MEDIUMINT UNSIGNED", Form::Text, ["0", "16777215", "1"]),
    column("i", "INT", Form::Text, ["-2147483648", "2147483647", "0"]),
    column("iu", "INT UNSIGNED", Form::Text, ["0", "4294967295", "1"]),
    column("b", "BIGINT", Form::Text, ["-9223372036854775808", "9223372036854775807", "0"]),
    column("bu", "BIGINT UNSIGNED", Form::Text, ["0", "18446744073709551615", "9223372036854775808"]),
    column("n", "DECIMAL(20,4)", Form::Text, ["-9999999999999999.9999", "0.0001", "0"]),
    column("n38", "DECIMAL(38,10)", Form::Text, ["-9999999999999999999999999999.9999999999", "1.5", "0"]),
    column("f", "FLOAT", Form::Single, ["0.1", "-3.4e38", "16777217"]),
    column("d", "DOUBLE", Form::Double, ["0.1", "-1.7976931348623157e308", "2.2250738585072014e-308"]),
    column("bit1", "BIT(1)", Form::Bits, ["b'0'", "b'1'", "b'1'"]),
    column("bit64", "BIT(64)", Form::Bits, ["0", "0xFFFFFFFFFFFFFFFF", "1"]),
    column("da", "DATE", Form::Text, ["'2024-02-29'", "'9999-12-31'", "'1000-01-01'"]),
    column("dt", "DATETIME", Form::DateTime, ["'2024-03-10 02:30:00'", "'9999-12-31 23:59:59'", "'1000-01-01 00:00:00'"]),
    column("dt6", "DATETIME(6)", Form::DateTime, ["'2024-01-02 03:04:05.000001'", "'9999-12-31 23:59:59.999999'", "'1000-01-01 00:00:00'"]),
    column("ts", "TIMESTAMP NULL", Form::DateTime, ["'2024-03-10 02:30:00'", "'2038-01-19 03:14:07'", "'1971-01-01 00:00:01'"]),
    column("ts3", "TIMESTAMP(3) NULL", Form::DateTime, ["'2024-01-02 03:04:05.006'", "'2038-01-19 03:14:07.999'", "'1971-01-01 00:00:01'"]),
    column("ti", "TIME", Form::Text, ["'12:34:56'", "'-838:59:59'", "'838:59:59'"]),
    column("ti3", "TIME(3)", Form::Text, ["'12:34:56.789'", "'-00:00:00.001'", "'00:00:00'"]),
    column("y", "YEAR", Form::Bits, ["1901", "2155", "2024"]),
    column("ch", "CHAR(10) CHARACTER SET utf8mb4", Form::Text, ["'中文'", "''", "'😀\"\\\\'"]),
    column("vc", "VARCHAR(300) CHARACTER SET utf8mb4", Form::Text, ["'数据\\n管道\\t😀'", "' pad '", "'null'"]),
    column("gbk", "VARCHAR(20) CHARACTER SET gbk", Form::Text, ["'中文测试'", "''", "'a,b'"]),
    column("tx", "TEXT CHARACTER SET utf8mb4", Form::Text, ["REPEAT('长😀', 300)", "'{\"a\": 1}'", "'1'"]),
    column("e", "ENUM('a','b,c','é')", Form::Text, ["'a'", "'b,c'", "'é'"]),
    column("se", "SET('x','y','z w')", Form::Text, ["''", "'x,z w'", "'y'"]),
    column("j", "JSON", Form::Text, ["'{\"k\": [1, null, \"中😀\"]}'", "'null'", "'[]'"]),
    column("bi", "BINARY(5)", Form::Bytes, ["X'0100'", "'abcde'", "X'0000000000'"]),
    column("vb", "VARBINARY(300)", Form::Bytes, ["X'00FF00'", "''", "'abc'"]),
    column("bl", "BLOB", Form::Bytes, ["REPEAT(X'00FE', 500)", "''", "X'FF'"]),
    column("order", "INT", Form::Text, ["1", "2", "3"]),
    column("名称", "VARCHAR(20) CHARACTER SET utf8mb4", Form::Text, ["'一'", "'二'", "'三'"]),
];

/// Statements, and how many rows each changes.
fn workload() -> Vec<(String, u64)> {
    let names: Vec<String> = COLUMNS.iter().map(|c| format!("`{}`", c.name)).collect();
    let names = names.join(", ");
    let list = |row: usize| {
        COLUMNS
            .iter()
            .map(|c| c.values[row])
            .collect::<Vec<_>>()
            .join(", ")
    };
    let set = |value: &dyn Fn(&Column) -> &'static str| {
        let pairs: Vec<String> = COLUMNS
            .iter()
            .map(|c| format!("`{}` = {}", c.name, value(c)))
            .collect();
        pairs.join(", ")
    };
    let insert = |id: u64, row: usize| {
        let values = list(row);
        (
            format!("INSERT INTO everything (id, {names}) VALUES ({id}, {values})"),
            1,
        )
    };
    let mut statements: Vec<(String, u64)> = (0..3).map(|row| insert(row as u64 + 1, row)).collect();
    statements.extend([
        insert(5, 0),
        insert(6, 1),
        insert(7, 2),
        ("INSERT INTO everything (id) VALUES (4), (10), (11)".to_owned(), 3),
        // From nothing to values and back, in all columns; then in one of them.
        (
            format!("UPDATE everything SET {} WHERE id = 4", set(&|c| c.values[0])),
            1,
        ),
        (
            format!("UPDATE everything SET {} WHERE id = 2", set(&|_| "NULL")),
            1,
        ),
        (
            format!("UPDATE everything SET {} WHERE id = 3", set(&|c| c.values[1])),
            1,
        ),
        ("UPDATE everything SET vc = NULL WHERE id = 3".to_owned(), 1),
        ("UPDATE everything SET vc = '' WHERE id = 3".to_owned(), 1),
        ("UPDATE everything SET i = 42 WHERE id = 10".to_owned(), 1),
        (
            "UPDATE everything SET i = i + 1, tx = CONCAT(tx, '…') WHERE id IN (1, 4)".to_owned(),
            2,
        ),
        (
            "INSERT INTO everything (id, s) VALUES (2, 7) ON DUPLICATE KEY UPDATE s = 7".to_owned(),
            1,
        ),
        // New keys; two of them are taken over from another row.
        ("UPDATE everything SET id = 101 WHERE id = 1".to_owned(), 1),
        ("UPDATE everything SET f = 2.5 WHERE id = 101".to_owned(), 1),
        (
            "UPDATE everything SET id = id + 1 WHERE id IN (5, 6, 7) ORDER BY id DESC".to_owned(),
            3,
        ),
        // Gone; gone and there again; never seen outside of its transaction.
        ("DELETE FROM everything WHERE id = 6".to_owned(), 1),
        ("DELETE FROM everything WHERE id = 11".to_owned(), 1),
        insert(11, 2),
        ("BEGIN".to_owned(), 0),
        insert(12, 0),
        (
            "UPDATE everything SET id = 13, y = NULL WHERE id = 12".to_owned(),
            1,
        ),
        ("DELETE FROM everything WHERE id = 13".to_owned(), 1),
        ("COMMIT".to_owned(), 0),
    ]);
    statements
}

/// Flink's jars and a JDK, where both are there.
fn flink() -> Option<(PathBuf, PathBuf)> {
    let jars = deps_dir().join("flink/lib");
    let java = match std::env::var_os("JAVA_HOME") {
        Some(home) => Some(Path::new(&home).join("bin/java")),
        None => std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join("java"))
            .find(|java| java.exists()),
    };
    // Only a JDK runs a program from its source.
    let java = java.filter(|java| {
        java.canonicalize()
            .is_ok_and(|java| java.with_file_name("javac").exists())
    })?;
    jars.exists().then_some((jars, java))
}

/// The table that `cdc-collector schema flink` prints, over a file instead of a Kafka topic: Flink's connector for the
/// latter is another package. Columns, key and format stay.
fn over_file(printed: &str, name: &str, file: &Path) -> String {
    let (columns, properties) = printed.split_once(") WITH (").expect("a statement");
    let lines = |text: &str, kept: fn(&str) -> bool| -> Vec<String> {
        let kept = text.lines().filter(|line| line.starts_with("  ") && kept(line));
        kept.map(|line| line.trim_end_matches(',').to_owned()).collect()
    };
    let columns = lines(columns, |line| !line.contains(" METADATA FROM "));
    let format = lines(properties, |line| {
        line.contains("'format'") || line.contains("-json.")
    });
    format!(
        "CREATE TABLE `{name}` (\n{}\n) WITH (\n  'connector' = 'filesystem',\n  'path' = 'file://{}',\n{}\n)",
        columns.join(",\n"),
        file.display(),
        format.join(",\n"),
    )
}

/// The rows of the source table, by key.
async fn selected(server: &Server) -> Vec<Vec<Option<String>>> {
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|c| c.form.select(&format!("`{}`", c.name)))
        .collect();
    let mut conn = server.connect().await.expect("a connection");
    conn.query_drop("SET time_zone = '+00:00', NAMES utf8mb4")
        .await
        .expect("UTC");
    let select = format!(
        "SELECT CAST(id AS CHAR), {} FROM test.everything ORDER BY id",
        columns.join(", ")
    );
    let rows: Vec<mysql_async::Row> = conn.query(select).await.expect("the rows");
    let texts = |row: &mysql_async::Row| {
        (0..row.len())
            .map(|place| row.get(place).expect("a text"))
            .collect()
    };
    rows.iter().map(texts).collect()
}

/// The rows that Flink was left with, by key.
fn decoded(file: &Path) -> Vec<Vec<Option<String>>> {
    let text = std::fs::read_to_string(file).expect("rows that Flink wrote");
    let mut rows: Vec<Vec<Option<String>>> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect();
    rows.sort_by_key(|row| row[0].as_ref().and_then(|id| id.parse::<i64>().ok()));
    rows
}

/// Relays the workload in every envelope and hands it over; returns the source's rows at the end.
async fn relayed(kind: Kind, dir: &Path) -> Vec<Vec<Option<String>>> {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let mut conn = server.connect().await.expect("a connection");
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|c| format!("`{}` {}", c.name, c.source))
        .collect();
    let create = format!(
        "CREATE TABLE everything (id BIGINT PRIMARY KEY, {})",
        columns.join(", ")
    );
    for statement in [
        "USE test",
        "SET NAMES utf8mb4",
        "SET time_zone = '+08:00'",
        &create,
    ] {
        conn.query_drop(statement).await.expect(statement);
    }
    let mut changes = 0;
    for (statement, rows) in workload() {
        conn.query_drop(&statement).await.expect(&statement);
        changes += rows;
    }
    for envelope in ENVELOPES {
        let emulator = rig::emulator(1).await;
        let settings = rig::settings(server.address(), &emulator.endpoint())
            .env("START_POSITION", "earliest")
            .env("ENVELOPE", envelope);
        let mut collector = Collector::start_ready(&settings, READY).await.expect("ready");
        let held = emulator.wait_for_records(PROJECT, TOPIC, changes, ARRIVED).await;
        held.unwrap_or_else(|held| panic!("{held} of {changes} rows arrived\n{}", collector.output().tail()));
        assert!(collector.stop(STOPPED).await.expect("a stop").success());
        let records = emulator.records(PROJECT, TOPIC).expect("the topic");
        let texts: Vec<String> = records
            .map(|record| String::from_utf8(record.blob().expect("a blob").to_vec()).expect("UTF-8"))
            .collect();
        assert_eq!(texts.len() as u64, changes);
        let ask = ["schema", "flink", "--table", "test.everything"];
        let ask = ask.into_iter().fold(settings, Settings::arg);
        let (status, printed, errors) = ask.run_to_end(READY).await.expect("an answer");
        assert!(status.success(), "{errors}");
        let name = format!("{}_{envelope}", kind.item());
        let file = dir.join(format!("{name}.json"));
        std::fs::write(&file, texts.join("\n")).expect("a file");
        std::fs::write(dir.join(format!("{name}.sql")), over_file(&printed, &name, &file)).expect("a file");
    }
    selected(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flinks_formats_make_of_the_topic_is_the_source_table() {
    let Some((jars, java)) = flink() else {
        println!("SKIPPED flink: no Flink or no JDK; scripts/install-test-deps.sh flink installs both");
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let mut sources = Vec::new();
    for kind in [Kind::MySql, Kind::MariaDb] {
        sources.push((kind, relayed(kind, dir.path()).await));
    }

    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flink/ApplyChangelog.java");
    let mut command = tokio::process::Command::new(java);
    command
        // Quick to start; there is little to compute.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"])
        // As Flink's own start scripts open them.
        .args(["java.lang", "java.util", "java.time"].map(|part| format!("--add-opens=java.base/{part}=ALL-UNNAMED")))
        .arg(format!("-Djava.io.tmpdir={}", dir.path().display()))
        .arg("-cp")
        .arg(jars.join("*"))
        .arg(program)
        .arg(dir.path())
        .kill_on_drop(true);
    let output = tokio::time::timeout(DECODED, command.output())
        .await
        .expect("Flink in time")
        .expect("java");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");

    let mut wrong = Vec::new();
    for (kind, source) in &sources {
        for envelope in ENVELOPES {
            let rows = decoded(&dir.path().join(format!("{}_{envelope}.rows", kind.item())));
            let ids =
                |rows: &[Vec<Option<String>>]| rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>();
            assert_eq!(ids(&rows), ids(source), "{kind}, {envelope}: the keys");
            for (expected, row) in source.iter().zip(&rows) {
                for (place, column) in COLUMNS.iter().enumerate() {
                    let (expected, got) = (expected[place + 1].as_deref(), row[place + 1].as_deref());
                    if !column.form.same(expected, got) {
                        wrong.push(format!(
                            "{kind}, {envelope}, row {:?}, {}: SELECT says {expected:.100?}, Flink has {got:.100?}",
                            row[0], column.source
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

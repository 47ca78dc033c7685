//! Every column type at its boundaries: what arrives equals what `SELECT` says, on both servers.

use harness::collector::Collector;
use harness::servers::{Kind, Options, Server};
use mysql_async::prelude::Queryable;
use serde_json::Value;

mod charsets;

use crate::rig::{self, PROJECT, READY, TOPIC};

/// How a column is asked for as text, and how that text compares with the JSON that arrived.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// A JSON number with exactly this text.
    Number,
    /// A JSON number of the same value at single precision.
    Single,
    /// A JSON number of the same value.
    Double,
    /// A JSON string.
    Text,
    /// A JSON string; UTC with a `Z`.
    Instant,
    /// A JSON string of base64.
    Base64,
    /// A JSON string of JSON text.
    Json,
    /// An object of SRID and WKB.
    Geometry,
}

impl Form {
    fn select(self, column: &str) -> String {
        match self {
            Self::Number => format!("CAST({column} + 0 AS CHAR)"),
            Self::Single => format!("CAST(CAST({column} AS DOUBLE) AS CHAR)"),
            // As it is: CAST to CHAR would drop the last digit on MySQL.
            Self::Double => column.to_owned(),
            Self::Text => format!("CONVERT(CAST({column} AS CHAR) USING utf8mb4)"),
            Self::Instant => format!("CONCAT(CAST({column} AS CHAR), 'Z')"),
            Self::Base64 => format!("REPLACE(TO_BASE64({column}), '\\n', '')"),
            Self::Json => format!("CAST({column} AS CHAR)"),
            Self::Geometry => {
                format!(
                    "CONCAT(ST_SRID({column}), ' ', REPLACE(TO_BASE64(ST_AsBinary({column})), '\\n', ''))"
                )
            }
        }
    }

    fn matches(self, selected: &str, arrived: &Value) -> bool {
        match self {
            Self::Number => arrived.is_number() && digits(arrived) == selected,
            Self::Single => {
                arrived.is_number() && digits(arrived).parse::<f32>().ok() == selected.parse::<f32>().ok()
            }
            Self::Double => arrived.as_f64() == selected.parse().ok(),
            Self::Text | Self::Instant | Self::Base64 | Self::Json => arrived == selected,
            Self::Geometry => {
                let (srid, wkb) = selected.split_once(' ').expect("two words");
                digits(&arrived["srid"]) == srid && arrived["wkb"] == wkb
            }
        }
    }
}

/// A number's text, exactly as it arrived.
fn digits(number: &Value) -> String {
    number.to_string()
}

/// Column definition, form, values as SQL literals.
type Case = (&'static str, Form, &'static [&'static str]);

const BOTH: &[Case] = &[
    ("TINYINT", Form::Number, &["-128", "127", "0", "-1"]),
    ("TINYINT UNSIGNED", Form::Number, &["0", "255", "128"]),
    ("SMALLINT", Form::Number, &["-32768", "32767", "-1"]),
    ("SMALLINT UNSIGNED", Form::Number, &["0", "65535"]),
    ("MEDIUMINT", Form::Number, &["-8388608", "8388607", "-1"]),
    ("MEDIUMINT UNSIGNED", Form::Number, &["0", "16777215"]),
    ("INT", Form::Number, &["-2147483648", "2147483647", "-1"]),
    ("INT UNSIGNED", Form::Number, &["0", "4294967295"]),
    (
        "BIGINT",
        Form::Number,
        &["-9223372036854775808", "9223372036854775807", "-1"],
    ),
    (
        "BIGINT UNSIGNED",
        Form::Number,
        &["0", "18446744073709551615", "9223372036854775808"],
    ),
    (
        "DECIMAL(65,30)",
        Form::Text,
        &[
            "-12345678901234567890123456789012345.123456789012345678901234567890",
            "0",
            "0.000000000000000000000000000001",
        ],
    ),
    ("DECIMAL(10,2)", Form::Text, &["-0.01", "99999999.99", "1.5"]),
    ("DECIMAL(9,0)", Form::Text, &["-999999999", "1"]),
    ("FLOAT", Form::Single, &["0.1", "-3.4e38", "1e-38", "16777217"]),
    (
        "DOUBLE",
        Form::Double,
        &[
            "0.1",
            "-1.7976931348623157e308",
            "2.2250738585072014e-308",
            "1e15",
        ],
    ),
    ("BIT(1)", Form::Number, &["b'0'", "b'1'"]),
    ("BIT(9)", Form::Number, &["b'101'", "b'111111111'"]),
    ("BIT(64)", Form::Number, &["0xFFFFFFFFFFFFFFFF", "1"]),
    (
        "DATE",
        Form::Text,
        &[
            "'2024-02-29'",
            "'0000-00-00'",
            "'9999-12-31'",
            "'1000-01-01'",
            "'2024-00-00'",
        ],
    ),
    (
        "DATETIME",
        Form::Text,
        &[
            "'9999-12-31 23:59:59'",
            "'0000-00-00 00:00:00'",
            "'2024-03-10 02:30:00'",
        ],
    ),
    ("DATETIME(1)", Form::Text, &["'2024-01-02 03:04:05.9'"]),
    ("DATETIME(3)", Form::Text, &["'2024-01-02 03:04:05.006'"]),
    (
        "DATETIME(6)",
        Form::Text,
        &["'2024-01-02 03:04:05.000001'", "'1000-01-01 00:00:00.999999'"],
    ),
    (
        "TIMESTAMP NULL",
        Form::Instant,
        &[
            "'1970-01-01 00:00:01'",
            "'2038-01-19 03:14:07'",
            "'0000-00-00 00:00:00'",
        ],
    ),
    ("TIMESTAMP(2) NULL", Form::Instant, &["'2024-01-02 03:04:05.99'"]),
    (
        "TIMESTAMP(6) NULL",
        Form::Instant,
        &["'2024-01-02 03:04:05.000001'"],
    ),
    (
        "TIME",
        Form::Text,
        &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"],
    ),
    (
        "TIME(1)",
        Form::Text,
        &["'-00:00:00.1'", "'-12:34:56.7'", "'12:34:56.7'"],
    ),
    (
        "TIME(2)",
        Form::Text,
        &["'-00:00:00.01'", "'-12:34:56.78'", "'838:59:58.99'"],
    ),
    ("TIME(3)", Form::Text, &["'-00:00:00.001'", "'-12:34:56.789'"]),
    ("TIME(4)", Form::Text, &["'-00:00:00.0001'", "'12:34:56.7891'"]),
    ("TIME(5)", Form::Text, &["'-00:00:00.00001'"]),
    (
        "TIME(6)",
        Form::Text,
        &["'-00:00:00.000001'", "'-838:59:58.999999'", "'01:00:00.5'"],
    ),
    ("YEAR", Form::Number, &["1901", "2155", "0"]),
    (
        "CHAR(10) CHARACTER SET utf8mb4",
        Form::Text,
        &["'héllo'", "''", "'😀\"\\\\\\n\\t'", "'a\\0b'"],
    ),
    (
        "VARCHAR(300) CHARACTER SET utf8mb4",
        Form::Text,
        &["REPEAT('长', 300)", "''", "' pad '"],
    ),
    (
        "VARCHAR(20) CHARACTER SET latin1",
        Form::Text,
        &["'naïve €'", "CONVERT(UNHEX('8190A0FF') USING latin1)"],
    ),
    ("VARCHAR(20) CHARACTER SET gbk", Form::Text, &["'中文测试'"]),
    ("VARCHAR(20) CHARACTER SET big5", Form::Text, &["'中文測試'"]),
    ("VARCHAR(20) CHARACTER SET sjis", Form::Text, &["'日本語カナ'"]),
    ("VARCHAR(20) CHARACTER SET euckr", Form::Text, &["'한국어'"]),
    ("VARCHAR(20) CHARACTER SET ujis", Form::Text, &["'日本語'"]),
    ("VARCHAR(20) CHARACTER SET utf16", Form::Text, &["'a中😀'"]),
    ("VARCHAR(20) CHARACTER SET utf32", Form::Text, &["'a中😀'"]),
    ("VARCHAR(20) CHARACTER SET ucs2", Form::Text, &["'a中'"]),
    ("VARCHAR(20) CHARACTER SET cp1251", Form::Text, &["'Привет'"]),
    ("VARCHAR(20) CHARACTER SET ascii", Form::Text, &["'plain'"]),
    ("TINYTEXT", Form::Text, &["REPEAT('a', 255)"]),
    (
        "MEDIUMTEXT CHARACTER SET gbk",
        Form::Text,
        &["REPEAT('中', 40000)"],
    ),
    (
        "LONGTEXT CHARACTER SET utf8mb4",
        Form::Text,
        &["REPEAT('x', 70000)"],
    ),
    (
        "BINARY(5)",
        Form::Base64,
        &["UNHEX('0100')", "UNHEX('0000000000')", "'abcde'", "''"],
    ),
    ("BINARY(255)", Form::Base64, &["UNHEX('FF')"]),
    ("VARBINARY(300)", Form::Base64, &["UNHEX('00FF00')", "''"]),
    ("BLOB", Form::Base64, &["REPEAT(UNHEX('00FE'), 500)"]),
    ("LONGBLOB", Form::Base64, &["REPEAT(UNHEX('01'), 70000)"]),
    (
        "ENUM('a','b,c','it''s','\u{e9}')",
        Form::Text,
        &["'a'", "'b,c'", "'it''s'", "'\u{e9}'", "99"],
    ),
    ("SET('x','y','z w')", Form::Text, &["''", "'x,z w'", "'y'"]),
    (
        "GEOMETRY",
        Form::Geometry,
        &[
            "ST_GeomFromText('POINT(1 2)')",
            "ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))')",
        ],
    ),
];

const MYSQL: &[Case] = &[
    ("VARCHAR(20) CHARACTER SET gb18030", Form::Text, &["'中文㐀'"]),
    (
        "JSON",
        Form::Json,
        &[
            r#"'{"b": [1, -2, 3.5, true, false, null, "x\\"y"], "a": {}, "aa": 18446744073709551615}'"#,
            "CAST(1.10 AS JSON)",
            "JSON_OBJECT('d', CAST('2024-01-02' AS DATE), 't', CAST('-01:02:03.5' AS TIME(1)), 'dt', CAST('2024-01-02 03:04:05' AS DATETIME))",
            "JSON_ARRAY(CAST(12345678901234567890.123 AS DECIMAL(30,3)), 1e100, 0.1, '')",
            "'null'",
            r#"'[[[[[["deep"]]]]]]'"#,
        ],
    ),
];

const MARIADB: &[Case] = &[
    ("JSON", Form::Json, &[r#"'{"b": 1,   "a": [true]}'"#]),
    (
        "UUID",
        Form::Text,
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'00000000-0000-0000-0000-000000000001'",
        ],
    ),
    ("INET4", Form::Text, &["'192.168.0.255'", "'0.0.0.0'"]),
    (
        "INET6",
        Form::Text,
        &["'::1'", "'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.1'"],
    ),
];

fn enum_of(labels: usize) -> String {
    let labels: Vec<String> = (0..labels).map(|n| format!("'label{n}'")).collect();
    format!("ENUM({})", labels.join(","))
}

async fn what_arrives_is_what_select_says(kind: Kind, own: &[Case]) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let emulator = rig::emulator(1).await;
    let large = enum_of(300);
    let many = format!(
        "SET({})",
        (0..64).map(|n| format!("'m{n}'")).collect::<Vec<_>>().join(",")
    );
    let (first_and_last, all) = (["'label0'", "'label299'"], ["'m0,m63'", "18446744073709551615"]);
    let mut cases: Vec<(&str, Form, &[&str])> = BOTH.iter().chain(own).copied().collect();
    cases.push((&large, Form::Text, &first_and_last));
    cases.push((&many, Form::Text, &all));

    let columns: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(n, (kind, ..))| format!("c{n} {kind}"))
        .collect();
    let create = format!(
        "CREATE TABLE test.types (id INT PRIMARY KEY, {}) ROW_FORMAT=DYNAMIC",
        columns.join(", ")
    );
    let mut conn = server.connect().await.expect("a connection");
    for statement in [
        "SET sql_mode = ''",
        "SET time_zone = '+00:00'",
        "SET NAMES utf8mb4",
        &create,
    ] {
        conn.query_drop(statement).await.expect(statement);
    }
    // One more row than values: it is NULL throughout.
    let rows = cases.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0) + 1;
    for row in 0..rows {
        let values: Vec<&str> = cases
            .iter()
            .map(|(_, _, values)| values.get(row).copied().unwrap_or("NULL"))
            .collect();
        let insert = format!("INSERT INTO test.types VALUES ({row}, {})", values.join(", "));
        conn.query_drop(&insert).await.expect(&insert);
    }

    let settings = rig::settings(server.address(), &emulator.endpoint()).env("START_POSITION", "earliest");
    let collector = Collector::start_ready(&settings, READY).await.expect("ready");
    let held = emulator
        .wait_for_records(PROJECT, TOPIC, rows as u64, READY)
        .await;
    held.unwrap_or_else(|held| panic!("{held} of {rows} rows arrived\n{}", collector.output().tail()));

    let selected: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(n, (_, form, _))| form.select(&format!("c{n}")))
        .collect();
    let select = format!("SELECT {} FROM test.types WHERE id = ", selected.join(", "));
    let mut wrong = Vec::new();
    for record in emulator.records(PROJECT, TOPIC).expect("the topic") {
        let envelope: Value = serde_json::from_slice(record.blob().expect("a blob")).expect("JSON");
        let after = &envelope["after"];
        let row: mysql_async::Row = conn
            .query_first(format!("{select}{}", after["id"]))
            .await
            .expect("a row")
            .expect("a row");
        for (n, (definition, form, _)) in cases.iter().enumerate() {
            let (expected, arrived): (Option<String>, &Value) =
                (row.get(n).expect("a column"), &after[format!("c{n}")]);
            let right = match &expected {
                Some(expected) => form.matches(expected, arrived),
                None => arrived.is_null(),
            };
            if !right {
                wrong.push(format!(
                    "{definition:.60}: SELECT says {expected:.200?}, {arrived:.200} arrived"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_what_select_says_on_mysql() {
    what_arrives_is_what_select_says(Kind::MySql, MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_what_select_says_on_mariadb() {
    what_arrives_is_what_select_says(Kind::MariaDb, MARIADB).await;
}

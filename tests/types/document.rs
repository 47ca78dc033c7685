//! `docs/TYPES.md` shows what arrives: its table is made from the cases of the matrix. `UPDATE=1` writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use datahub_emulator::{Emulator, Payload, TopicSpec};
use harness::collector::{Collector, Settings};
use harness::servers::{Kind, Options, Server};
use serde_json::Value;

use super::cases::{self, Case, fraction, keep_fractions};
use crate::rig::{self, PROJECT, READY};

const BEGIN: &str = "<!-- types:begin -->\n";
const END: &str = "<!-- types:end -->";

/// What the first record of a topic holds, when a collector of its own has written it.
async fn first(settings: &Settings, emulator: &Emulator, topic: &str) -> Payload {
    let settings = settings
        .clone()
        .topic(PROJECT, topic)
        .env("DATAHUB_CONSUMER_GROUP", topic);
    let collector = Collector::start_ready(&settings, READY).await.expect("ready");
    let held = emulator.wait_for_records(PROJECT, topic, 1, READY).await;
    held.unwrap_or_else(|held| panic!("{held} of 1 arrived in {topic}\n{}", collector.output().tail()));
    let mut records = emulator.records(PROJECT, topic).expect("the topic");
    records.next().expect("a record").data
}

/// The columns of the row in a record of this envelope.
async fn row_in(settings: &Settings, emulator: &Emulator, envelope: &str, row: &str) -> Value {
    emulator
        .create_topic(&TopicSpec::blob(PROJECT, envelope, 1))
        .expect("a topic");
    let settings = settings.clone().env("ENVELOPE", envelope);
    let Payload::Blob(json) = first(&settings, emulator, envelope).await else {
        panic!("a topic of blobs")
    };
    let json = keep_fractions(std::str::from_utf8(&json).expect("UTF-8"));
    let record: Value = serde_json::from_str(&json).expect("JSON");
    record.pointer(row).expect("a row").clone()
}

/// The fields that `schema datahub` prints for the table, each with its type and the text that arrives in it.
async fn fields(settings: &Settings, emulator: &Emulator) -> BTreeMap<String, (String, String)> {
    let ask = ["schema", "datahub", "--table", "test.shown"];
    let asked = ask
        .iter()
        .fold(settings.clone(), |settings, word| settings.arg(*word));
    let (status, printed, error) = asked.run_to_end(READY).await.expect("an end");
    assert!(status.success(), "{error}");
    emulator
        .create_topic(&TopicSpec {
            schema: Some(printed.clone()),
            ..TopicSpec::blob(PROJECT, "tuple", 1)
        })
        .expect("a topic");
    let Payload::Tuple(texts) = first(settings, emulator, "tuple").await else {
        panic!("a topic of fields")
    };
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    let declared = printed["fields"].as_array().expect("fields").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    declared
        .zip(texts)
        .map(|(field, held)| {
            let held = held.map(|held| String::from_utf8(held.to_vec()).expect("UTF-8"));
            let held = held.unwrap_or_else(|| "NULL".to_owned());
            (text(&field["name"]), (text(&field["type"]), held))
        })
        .collect()
}

/// The rows of the table for these cases.
async fn rows(kind: Kind, cases: &[Case]) -> Vec<String> {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let list: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(n, case)| format!("c{n} {}", case.definition))
        .collect();
    let values: Vec<&str> = cases.iter().map(|case| case.values[0].as_str()).collect();
    let create = format!("CREATE TABLE shown (id INT PRIMARY KEY, {})", list.join(", "));
    let insert = format!("INSERT INTO shown VALUES (1, {})", values.join(", "));
    let statements = ["SET NAMES utf8mb4", "SET time_zone = '+00:00'", &create, &insert];
    server.execute(&statements).await.expect("a row");

    let emulator = rig::emulator(1).await;
    let settings = rig::settings(server.address(), &emulator.endpoint()).env("START_POSITION", "earliest");
    let debezium = row_in(&settings, &emulator, "debezium", "/after").await;
    let maxwell = row_in(&settings, &emulator, "maxwell", "/data").await;
    let canal = row_in(&settings, &emulator, "canal", "/data/0").await;
    let fields = fields(&settings, &emulator).await;
    let row = |(n, case): (usize, &Case)| {
        let name = format!("c{n}");
        let json = |row: &Value| {
            let value = &row[&name];
            fraction(value).map_or_else(|| value.to_string(), str::to_owned)
        };
        let (field, text) = &fields[&name];
        format!(
            "| {} | `{}` | `{}` | `{}` | `{}` | {field} `{text}` |\n",
            case.label.expect("a label"),
            case.values[0],
            json(&debezium),
            json(&canal),
            json(&maxwell),
        )
    };
    cases.iter().enumerate().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_shows_what_arrives() {
    let labelled = |kind| -> Vec<Case> {
        cases::of(kind)
            .into_iter()
            .filter(|case| case.label.is_some())
            .collect()
    };
    let mysql = labelled(Kind::MySql);
    let known: BTreeSet<_> = mysql.iter().map(|case| case.label).collect();
    let mut mariadb = labelled(Kind::MariaDb);
    mariadb.retain(|case| !known.contains(&case.label));
    let mut table = String::from(
        "\n| type | for example | Debezium | Canal | Maxwell | TUPLE |\n|---|---|---|---|---|---|\n",
    );
    for row in rows(Kind::MySql, &mysql)
        .await
        .into_iter()
        .chain(rows(Kind::MariaDb, &mariadb).await)
    {
        table.push_str(&row);
    }
    table.push('\n');

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/TYPES.md");
    let text = std::fs::read_to_string(&path).expect("docs/TYPES.md");
    let (head, rest) = text.split_once(BEGIN).expect("the beginning of the table");
    let (shown, tail) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).expect("docs/TYPES.md");
        return;
    }
    assert_eq!(
        shown, table,
        "docs/TYPES.md is not what arrives: run this test with UPDATE=1"
    );
}

/// What the page says of character sets is what the product does.
#[test]
fn the_documentation_names_every_character_set() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/TYPES.md");
    let text = std::fs::read_to_string(path).expect("docs/TYPES.md");
    let list = text.split("## Character sets").nth(1).expect("a section");
    let list = list.split("\n## ").next().expect("its end");
    let name = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let names: BTreeSet<&str> = list.split('`').skip(1).step_by(2).filter(name).collect();
    assert_eq!(names.len(), 42, "{names:?}");
    for name in names {
        let decoded = cdc_collector::source::schema::column_type::charset_of(name).is_some();
        assert_eq!(decoded, name != "swe7", "{name}");
    }
}

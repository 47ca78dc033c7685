//! Every character set that a server has: byte by byte the server's own conversion, or refused before the first row.

use std::collections::{BTreeMap, BTreeSet};

use cdc_collector::change::{Column, ColumnKind};
use cdc_collector::source::schema::column_type::charset_of;
use cdc_collector::source::value::Cell;
use harness::servers::{Kind, Options, Server, skip_without};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::Value;

use super::arrivals::{Relay, differences, selected};
use super::cases::Form;

/// The one set that is not decoded.
const REFUSED: [&str; 1] = ["swe7"];

/// Its rows are in no binlog.
const TEMPORARY: &str = "CREATE TEMPORARY TABLE test.sequences (b VARBINARY(4))";

/// What a server has under a name that says how to list its sequences.
fn sequences(charset: &str) -> Vec<Vec<u8>> {
    let one = (0..=255u8).map(|a| vec![a]);
    let two = || (0x80..=255u8).flat_map(|a| (0..=255u8).map(move |b| vec![a, b]));
    match charset {
        "big5" | "gbk" | "gb2312" | "euckr" | "sjis" | "cp932" => one.chain(two()).collect(),
        "ujis" | "eucjpms" => {
            let three = (0xa1..=0xfe_u8).flat_map(|b| (0xa1..=0xfe_u8).map(move |c| vec![0x8f, b, c]));
            one.chain(two()).chain(three).collect()
        }
        "gb18030" | "gb18030_2022" => {
            // All of the basic plane, and a part of what is computed beyond it.
            let leads = (0x81..=0x84_u8)
                .map(|a| (a, 1))
                .chain([(0x85, 9), (0x90, 5), (0xe3, 5), (0xe4, 9)]);
            let four = leads.flat_map(|(a, step)| {
                (b'0'..=b'9').flat_map(move |b| {
                    (0x81..=0xfe_u8)
                        .step_by(step)
                        .flat_map(move |c| (b'0'..=b'9').map(move |d| vec![a, b, c, d]))
                })
            });
            one.chain(two()).chain(four).collect()
        }
        "utf8mb4" | "utf8mb3" => {
            let top = if charset == "utf8mb3" { 0xffff } else { 0x10_ffff };
            code_points(top).map(|c| c.to_string().into_bytes()).collect()
        }
        "ucs2" => (0..=u16::MAX).map(|unit| unit.to_be_bytes().to_vec()).collect(),
        "utf16" | "utf16le" => {
            let bytes = if charset == "utf16" {
                u16::to_be_bytes
            } else {
                u16::to_le_bytes
            };
            let encoded = code_points(0x10_ffff).map(|c| {
                let mut units = [0; 2];
                c.encode_utf16(&mut units)
                    .iter()
                    .flat_map(|unit| bytes(*unit))
                    .collect()
            });
            encoded.collect()
        }
        "utf32" => code_points(0x10_ffff)
            .map(|c| u32::from(c).to_be_bytes().to_vec())
            .collect(),
        _ => one.collect(),
    }
}

/// All of the basic plane, and the edges of the planes beyond it.
fn code_points(top: u32) -> impl Iterator<Item = char> {
    let beyond = (1..=0x10_u32).flat_map(|plane| {
        let plane = plane << 16;
        (plane..plane + 300).chain(plane + 0xff00..plane + 0x1_0000)
    });
    (0..=0xffff)
        .chain(beyond)
        .filter(move |code| *code <= top)
        .filter_map(char::from_u32)
}

/// A binary value that may be NULL.
type Maybe = Option<Vec<u8>>;

/// What the server makes of each sequence: its text, and nothing where it is no character there. MySQL cuts
/// malformed bytes off or answers NULL, MariaDB puts a question mark into their place.
async fn servers_view(conn: &mut Conn, charset: &str) -> BTreeMap<Vec<u8>, Option<String>> {
    let mut view = BTreeMap::new();
    for some in sequences(charset).chunks(4000) {
        let list: Vec<String> = some.iter().map(|bytes| format!("(x'{}')", hex(bytes))).collect();
        conn.query_drop("DELETE FROM test.sequences")
            .await
            .expect("an empty table");
        let insert = format!("INSERT INTO test.sequences VALUES {}", list.join(","));
        conn.query_drop(insert).await.expect("sequences");
        let select = format!(
            "SELECT b, CAST(CONVERT(b USING {charset}) AS BINARY), \
             CAST(CONVERT(CONVERT(b USING {charset}) USING utf8mb4) AS BINARY) FROM test.sequences"
        );
        let rows: Vec<(Vec<u8>, Maybe, Maybe)> = conn.query(select).await.expect(charset);
        for (bytes, kept, text) in rows {
            let text = text.filter(|_| kept.as_ref() == Some(&bytes));
            // MariaDB makes three bytes of half a surrogate pair.
            let text = text.and_then(|text| String::from_utf8(text).ok());
            let text = text.filter(|text| !is_stand_in(text, &bytes, charset));
            view.insert(bytes, text);
        }
    }
    view
}

/// Whether the text is what servers show for bytes that are no character.
fn is_stand_in(text: &str, bytes: &[u8], charset: &str) -> bool {
    let own = |c: char| match charset {
        // U+FFFD is a character there like any other.
        "gb18030" | "gb18030_2022" => bytes == [0x84, 0x31, 0xa4, 0x37] && c == '\u{fffd}',
        name if name.starts_with("utf") || name == "ucs2" => bytes.iter().any(|b| *b > 0x3f),
        _ => false,
    };
    text.is_empty()
        || text.chars().any(|c| match c {
            '?' => !bytes.contains(&b'?'),
            '\u{fffd}' => !own(c),
            _ => false,
        })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What we make of a sequence.
fn our_view(cell: &Cell, bytes: &[u8]) -> Option<String> {
    let mut value = vec![u8::try_from(bytes.len()).expect("a short value")];
    value.extend(bytes);
    let mut out = Vec::new();
    cell.write_json(&mut value.as_slice(), &mut out).ok()?;
    let json: Value = serde_json::from_slice(&out).expect("JSON");
    Some(json.as_str().expect("a string").to_owned())
}

async fn charsets_of(conn: &mut Conn) -> BTreeSet<String> {
    let rows: Vec<mysql_async::Row> = conn.query("SHOW CHARACTER SET").await.expect("character sets");
    let names = rows.iter().map(|row| row.get::<String, _>(0).expect("a name"));
    names.filter(|name| name != "binary").collect()
}

async fn every_character_is_the_servers(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let mut conn = server.connect().await.expect("a connection");
    for statement in [
        "SET sql_mode = ''",
        match kind {
            Kind::Seekdb => "CREATE TABLE test.sequences (b VARBINARY(4))",
            Kind::MySql | Kind::MariaDb => TEMPORARY,
        },
    ] {
        conn.query_drop(statement).await.expect(statement);
    }
    let mut wrong = Vec::new();
    for name in charsets_of(&mut conn).await {
        let Some(charset) = charset_of(&name) else {
            assert!(REFUSED.contains(&name.as_str()), "{name} is refused");
            continue;
        };
        let cell = Cell::new(&Column {
            name: "c".to_owned(),
            kind: ColumnKind::Text { charset },
            declared: "varchar(20)".into(),
            nullable: false,
            wire: 15,
            meta: 20,
        })
        .expect("a cell");
        let view = servers_view(&mut conn, &name).await;
        let characters = view.values().flatten().count();
        println!(
            "{kind} {name}: {characters} characters in {} sequences",
            view.len()
        );
        assert!(characters > 120, "{name}: too few to be a character set");
        let differs = view
            .iter()
            .filter(|(bytes, theirs)| our_view(&cell, bytes) != **theirs);
        wrong.extend(differs.take(20).map(|(bytes, theirs)| {
            let ours = our_view(&cell, bytes);
            format!(
                "{name} {}: the server has {theirs:?}, we have {ours:?}",
                hex(bytes)
            )
        }));
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
}

/// Labels in the set's own letters; where there are such, with a backslash as their last byte.
fn labels(view: &BTreeMap<Vec<u8>, Option<String>>) -> Vec<String> {
    let letters = |wanted: &dyn Fn(&[u8]) -> bool| -> Vec<String> {
        let texts = view
            .iter()
            .filter(|(bytes, _)| wanted(bytes))
            .filter_map(|(_, text)| text.as_ref());
        let texts = texts.filter(|text| !text.is_ascii() && text.chars().all(char::is_alphabetic));
        texts.take(5).cloned().collect()
    };
    let odd = letters(&|bytes| bytes.len() > 1 && bytes.last() == Some(&b'\\'));
    let quotes = letters(&|bytes| bytes.len() > 1 && bytes.last() == Some(&b'\''));
    let usual = letters(&|bytes| !bytes.is_empty());
    let mut labels: Vec<String> = ["a'b".to_owned(), "x\\y".to_owned()].into();
    for letter in odd.into_iter().chain(quotes).chain(usual) {
        let label = format!("{}{letter}{}", labels.len(), letter);
        labels.push(label);
    }
    labels
}

/// All characters of all sets, relayed: in a TEXT, in a CHAR, and as labels.
async fn every_character_arrives(kind: Kind) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let mut relay = Relay::start(server, |settings| settings).await;
    let mut conn = relay.connect().await;
    conn.query_drop(TEMPORARY).await.expect("a table");
    let columns = ["c", "k", "e", "s"].map(|name| (name.to_owned(), Form::Text));
    let mut tables = Vec::new();
    for name in charsets_of(&mut conn).await {
        if REFUSED.contains(&name.as_str()) {
            continue;
        }
        let view = servers_view(&mut conn, &name).await;
        let labels = labels(&view);
        let list: Vec<String> = labels
            .iter()
            .map(|label| format!("'{}'", label.replace('\\', "\\\\").replace('\'', "''")))
            .collect();
        let (list, set) = (list.join(","), format!("CHARACTER SET {name} COLLATE {name}_bin"));
        let create = format!(
            "CREATE TABLE test.{name} (id INT PRIMARY KEY, c TEXT {set}, k CHAR(60) {set}, e ENUM({list}) {set}, \
             s SET({list}) {set})"
        );
        conn.query_drop(&create).await.expect(&create);
        let characters: Vec<&Vec<u8>> = view
            .iter()
            .filter(|(_, text)| text.is_some())
            .map(|(bytes, _)| bytes)
            .collect();
        let rows: Vec<String> = characters
            .chunks(200)
            .enumerate()
            .map(|(id, some)| {
                let text = |count: usize| {
                    some.iter()
                        .take(count)
                        .map(|bytes| hex(bytes))
                        .collect::<String>()
                };
                let (all, few) = (text(200), text(60));
                let bits = id % (1 << labels.len());
                format!(
                    "({id}, CONVERT(x'{all}' USING {name}), CONVERT(x'{few}' USING {name}), {}, {bits})",
                    id % labels.len() + 1
                )
            })
            .collect();
        conn.query_drop(format!("INSERT INTO test.{name} VALUES {}", rows.join(",")))
            .await
            .expect(&name);
        tables.push(name);
    }
    relay.caught_up().await;
    let news = relay.news();
    let mut wrong = Vec::new();
    for name in &tables {
        let rows = selected(&mut conn, &format!("test.{name}"), &columns).await;
        let arrived: Vec<&Value> = news
            .iter()
            .filter(|e| e["source"]["table"] == name.as_str())
            .map(|e| &e["after"])
            .collect();
        assert_eq!(arrived.len(), rows.len(), "{kind} {name}");
        let definitions = columns.clone().map(|(column, _)| format!("{column} in {name}"));
        for image in arrived {
            let id = image["id"].as_u64().expect("an id");
            wrong.extend(differences(&columns, &definitions, &rows[&id], image));
        }
    }
    assert!(
        wrong.is_empty(),
        "{kind}, {} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(30)].join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_arrives_from_mysql() {
    every_character_arrives(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_arrives_from_mariadb() {
    every_character_arrives(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_is_the_servers_on_mysql() {
    every_character_is_the_servers(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_is_the_servers_on_mariadb() {
    every_character_is_the_servers(Kind::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_is_the_servers_on_seekdb() {
    if skip_without(Kind::Seekdb) {
        return;
    }
    every_character_is_the_servers(Kind::Seekdb).await;
}

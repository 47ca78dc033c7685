//! `docs/TYPES.md` shows what arrives: its table is made from the cases of the matrix. `UPDATE=1` writes it.

use std::collections::BTreeSet;
use std::path::Path;

use harness::servers::{Kind, Options, Server};
use mysql_async::prelude::Queryable;

use super::arrivals::Relay;
use super::cases::{self, Case, fraction};

const BEGIN: &str = "<!-- types:begin -->\n";
const END: &str = "<!-- types:end -->";

/// The rows of the table for the cases that have a label.
async fn rows(kind: Kind, cases: &[Case]) -> Vec<String> {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let mut relay = Relay::start(server, |settings| settings).await;
    let mut conn = relay.connect().await;
    let list: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(n, case)| format!("c{n} {}", case.definition))
        .collect();
    let values: Vec<&str> = cases.iter().map(|case| case.values[0].as_str()).collect();
    let create = format!(
        "CREATE TABLE test.shown (id INT PRIMARY KEY, {})",
        list.join(", ")
    );
    let insert = format!("INSERT INTO test.shown VALUES (1, {})", values.join(", "));
    for statement in [create, insert] {
        conn.query_drop(&statement).await.expect(&statement);
    }
    relay.caught_up().await;
    let news = relay.news();
    let image = &news[0]["after"];
    let row = |(n, case): (usize, &Case)| {
        let arrived = &image[format!("c{n}")];
        let shown = fraction(arrived).map_or_else(|| arrived.to_string(), str::to_owned);
        let label = case.label.expect("a label");
        format!("| {label} | `{}` | `{shown}` |\n", case.values[0])
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
    let mut table = String::from("\n| type | for example | Debezium JSON |\n|---|---|---|\n");
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

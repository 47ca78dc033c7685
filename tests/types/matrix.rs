//! Every type, every boundary, and NULL: what arrives equals what `SELECT` says, whatever the table maps tell.

use std::collections::BTreeMap;

use harness::servers::{Kind, Options, Server};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::Value;

use super::arrivals::{Relay, differences, selected};
use super::cases::{self, Case, Form};

/// Columns of one table: a row of MySQL takes at most 65,535 bytes, and less of it inline.
const COLUMNS: usize = 25;

/// A table of some cases.
struct Table {
    name: String,
    /// Name and form.
    columns: Vec<(String, Form)>,
    definitions: Vec<String>,
    rows: usize,
}

impl Table {
    /// Creates it, and inserts a row for each value: the last row is NULL throughout, shorter lists repeat.
    async fn fill(conn: &mut Conn, name: String, cases: &[Case]) -> Self {
        let columns: Vec<(String, Form)> = cases
            .iter()
            .enumerate()
            .map(|(n, case)| (format!("c{n}"), case.form))
            .collect();
        let definitions: Vec<String> = cases.iter().map(|case| case.definition.clone()).collect();
        let list: Vec<String> = columns
            .iter()
            .zip(&definitions)
            .map(|((name, _), definition)| format!("{name} {definition}"))
            .collect();
        let create = format!(
            "CREATE TABLE {name} (id INT PRIMARY KEY, {}) CHARACTER SET utf8mb4",
            list.join(", ")
        );
        conn.query_drop(&create)
            .await
            .unwrap_or_else(|error| panic!("{error}: {create:.300}"));
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let rows = cases.iter().map(|case| case.values.len()).max().unwrap_or(0) + 1;
        for row in 0..rows {
            let value = |case: &Case| match case.values.get(row) {
                _ if case.is_generated() => "DEFAULT".to_owned(),
                Some(value) => value.clone(),
                None if row + 1 == rows || case.values.is_empty() => "NULL".to_owned(),
                None => case.values[row % case.values.len()].clone(),
            };
            let values: Vec<String> = cases.iter().map(value).collect();
            let insert = format!(
                "INSERT INTO {name} (id, {}) VALUES ({row}, {})",
                names.join(", "),
                values.join(", ")
            );
            conn.query_drop(&insert)
                .await
                .unwrap_or_else(|error| panic!("{error}: {insert:.500}"));
        }
        Self {
            name,
            columns,
            definitions,
            rows,
        }
    }
}

/// Columns that are all NULL, none NULL, and any mixture, around the edges of the NULL bits' bytes.
fn null_patterns() -> Vec<Vec<Case>> {
    let table = |columns: usize| {
        let column = |n: usize| {
            let values = (0..6).map(|row| match row {
                0 => "NULL".to_owned(),
                1 => "1".to_owned(),
                row if (n + row).is_multiple_of(row + 1) => "NULL".to_owned(),
                row => (n % 100 + row).to_string(),
            });
            Case {
                definition: "TINYINT".to_owned(),
                form: Form::Number,
                values: values.collect(),
                label: None,
            }
        };
        (0..columns).map(column).collect()
    };
    // With the id one more.
    [6, 7, 8, 62, 63, 64, 1000].map(table).into()
}

async fn what_arrives_is_what_select_says(kind: Kind, metadata: [&str; 2]) {
    let server = Server::start(kind, Options::default()).await.expect("a server");
    let mut relay = Relay::start(server, |settings| settings).await;
    let mut conn = relay.connect().await;
    let all = cases::of(kind);
    let mut tables = Vec::new();
    for level in metadata {
        let set = format!("SET GLOBAL binlog_row_metadata = {level}");
        conn.query_drop(&set).await.expect(&set);
        let groups = all.chunks(COLUMNS).map(<[Case]>::to_vec).chain(null_patterns());
        for (n, group) in groups.enumerate() {
            tables.push(Table::fill(&mut conn, format!("test.{level}_{n}"), &group).await);
        }
    }
    relay.caught_up().await;
    let inserted = relay.news();
    let expected: usize = tables.iter().map(|table| table.rows).sum();
    assert_eq!(inserted.len(), expected, "rows");

    // Every row once more as the image before.
    for table in &tables {
        let update = format!("UPDATE {} SET id = id + 1000", table.name);
        conn.query_drop(&update).await.expect(&update);
    }
    relay.caught_up().await;
    let updated = relay.news();
    assert_eq!(updated.len(), expected, "updates");
    let key = |envelope: &Value, image: &str| {
        (
            envelope["source"]["table"].as_str().map(str::to_owned),
            envelope[image]["id"].as_u64(),
        )
    };
    let befores: BTreeMap<_, _> = updated
        .iter()
        .map(|envelope| (key(envelope, "before"), &envelope["before"]))
        .collect();

    let mut wrong = Vec::new();
    for table in &tables {
        let short = table.name.trim_start_matches("test.");
        let rows = selected(&mut conn, &table.name, &table.columns).await;
        for envelope in updated
            .iter()
            .filter(|envelope| envelope["source"]["table"] == short)
        {
            let id = envelope["after"]["id"].as_u64().expect("an id");
            wrong.extend(differences(
                &table.columns,
                &table.definitions,
                &rows[&id],
                &envelope["after"],
            ));
        }
    }
    for envelope in &inserted {
        // Computed columns depend on the id, and show in the images after the update.
        if befores.get(&key(envelope, "after")) != Some(&&envelope["after"]) {
            wrong.push(format!(
                "{}: the image before is another than was inserted",
                envelope["source"]["table"]
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{kind}, {} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(60)].join("\n")
    );
    relay
        .collector
        .expect_no_unexpected_warnings(&["no_table_captured"])
        .expect("no complaints");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_what_select_says_on_mysql() {
    what_arrives_is_what_select_says(Kind::MySql, ["MINIMAL", "FULL"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_what_select_says_on_mariadb() {
    what_arrives_is_what_select_says(Kind::MariaDb, ["NO_LOG", "FULL"]).await;
}

/// Tables of before MariaDB 10.1.2 keep their times in another form.
#[tokio::test(flavor = "multi_thread")]
async fn times_in_mariadbs_old_form_are_read() {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    let mut relay = Relay::start(server, |settings| settings).await;
    let mut conn = relay.connect().await;
    conn.query_drop("SET GLOBAL mysql56_temporal_format = OFF")
        .await
        .expect("the old form");
    let cases: Vec<Case> = cases::of(Kind::MariaDb)
        .into_iter()
        .filter(|case| ["TIME", "DATETIME", "DATE", "TIMESTAMP NULL"].contains(&case.definition.as_str()))
        .collect();
    assert_eq!(cases.len(), 4);
    let table = Table::fill(&mut conn, "test.old".to_owned(), &cases).await;
    relay.caught_up().await;
    let rows = selected(&mut conn, &table.name, &table.columns).await;
    let news = relay.news();
    assert_eq!(news.len(), rows.len());
    for envelope in news {
        let id = envelope["after"]["id"].as_u64().expect("an id");
        let wrong = differences(&table.columns, &table.definitions, &rows[&id], &envelope["after"]);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

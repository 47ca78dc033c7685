//! OceanBase's own engine, seekdb: what the product makes of it without a binlog service. One engine for all tests here.
#![cfg(test)]

mod beside;
mod tables;
mod types;

use std::sync::Arc;

use cdc_collector::change::TableId;
use cdc_collector::config::filter::TableFilter;
use cdc_collector::config::{DatabaseConfig, Observer, Secret, TlsMode, TypePolicy};
use cdc_collector::position::Flavour;
use cdc_collector::retry::{Disposition, Failure};
use cdc_collector::source::connection;
use cdc_collector::source::preflight::{self, Finding, ServerFacts, Severity, inspect, verdict};
use cdc_collector::source::schema::TableDefinition;
use cdc_collector::source::schema::load;
use harness::servers::{Kind, Login, Options, RELAY, Server, skip_without};
use tokio::sync::OnceCell;

use crate::preflight::config as config_of;

/// The engine, or `None` where it cannot be had. Its guard ends it with the test process.
async fn engine() -> Option<&'static Server> {
    static ENGINE: OnceCell<Server> = OnceCell::const_new();
    if skip_without(Kind::Seekdb) {
        return None;
    }
    let start = || async {
        Server::start(Kind::Seekdb, Options::default())
            .await
            .expect("an engine")
    };
    Some(ENGINE.get_or_init(start).await)
}

/// A database of a test's own, and how to capture it.
async fn database(server: &Server, name: &str, statements: &[&str]) -> DatabaseConfig {
    let (create, enter) = (format!("CREATE DATABASE `{name}`"), format!("USE `{name}`"));
    let all: Vec<&str> = [create.as_str(), enter.as_str()]
        .into_iter()
        .chain(statements.iter().copied())
        .collect();
    server.execute(&all).await.expect("tables");
    DatabaseConfig {
        tables: TableFilter::parse(name, "*").expect("a filter"),
        ..config_of(server, RELAY)
    }
}

async fn look(config: &DatabaseConfig) -> (ServerFacts, Vec<Finding>) {
    let mut conn = connection::connect(config).await.expect("a connection");
    let seen = inspect(&mut conn, config).await.expect("answers");
    connection::close(conn).await;
    seen
}

fn of_code<'f>(findings: &'f [Finding], code: &str) -> Vec<(Severity, &'f str)> {
    let found = findings.iter().filter(|finding| finding.code == code);
    found
        .map(|finding| (finding.severity, finding.seen.as_str()))
        .collect()
}

/// A table as the product loads it.
async fn loaded(config: &DatabaseConfig, db: &str, table: &str) -> Option<TableDefinition> {
    let mut conn = load::connect(config).await.expect("a connection");
    let id = TableId {
        db: db.to_owned(),
        table: table.to_owned(),
    };
    let (definition, read_at) = load::load(&mut conn, &id, config.connect_timeout)
        .await
        .expect("an answer");
    connection::close(conn).await;
    assert!((1_600_000_000..u64::MAX).contains(&read_at), "{read_at}");
    definition
}

/// The column lines of SHOW CREATE TABLE: name and what follows it.
async fn shown(server: &Server, db: &str, table: &str) -> Vec<(String, String)> {
    let rows: Vec<(String, String)> = server
        .query(&format!(
            "SHOW CREATE TABLE `{db}`.`{}`",
            table.replace('`', "``")
        ))
        .await
        .expect("a statement");
    let lines = rows[0].1.lines().skip(1);
    lines
        .map_while(|line| {
            line.trim()
                .strip_prefix('`')
                .and_then(|line| line.split_once("` "))
        })
        .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_recognised_by_a_user_of_its_own_and_by_the_administrator() {
    let Some(server) = engine().await else { return };
    for login in [RELAY, server.admin()] {
        for mode in [TlsMode::Disabled, TlsMode::Preferred] {
            let mut config = config_of(server, login);
            config.tls.mode = mode;
            let mut conn = connection::connect(&config).await.expect("a connection");
            let flavour = preflight::flavour(&mut conn, &config).await;
            assert_eq!(flavour, Ok(Flavour::OceanBase), "{}", login.user);
            connection::close(conn).await;
        }
    }
    let wrong = Login {
        password: "never-print-this",
        ..RELAY
    };
    let failure = connection::connect(&config_of(server, wrong)).await.unwrap_err();
    assert_eq!(failure.reason.code, "database_access_denied", "{failure}");
    assert!(!format!("{failure} {failure:?}").contains(wrong.password));
}

/// It says `log_bin = ON` and has server_uuid, and knows nothing of a binlog.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_binlog_service_the_remedy_names_every_port() {
    let Some(server) = engine().await else { return };
    let statements = ["CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY)"];
    let config = database(server, "verdict", &statements).await;
    let (facts, findings) = look(&config).await;
    assert_eq!(facts.identity.flavour, Flavour::OceanBase);
    assert!(facts.version.contains("OceanBase") && facts.version_comment.contains("seekdb"));
    assert_eq!(facts.captured_tables, 1);
    assert!(!facts.gtid);
    let failure = verdict(&findings).unwrap_err();
    assert_eq!(failure.reason.code, "no_binlog_service", "{findings:#?}");
    assert!(failure.reason.message.contains("log_bin = ON"), "{failure}");
    let of = |failure: &Failure| match &failure.disposition {
        Disposition::Halt { remedy } => remedy.to_string(),
        Disposition::Retry { .. } | Disposition::Reroute | Disposition::Poison(_) => panic!("{failure:?}"),
    };
    let remedy = of(&failure);
    for word in ["2883", "2983", "2881", "binlog_service_ip", "CREATE BINLOG"] {
        assert!(remedy.contains(word), "{word}: {remedy}");
    }
    // An observer that was given twice is no binlog instance.
    let twice = DatabaseConfig {
        observer: Some(Observer {
            host: config.host.clone(),
            port: config.port,
            username: config.username.clone(),
            password: config.password.clone(),
        }),
        ..config
    };
    let (facts, findings) = look(&twice).await;
    assert_eq!(facts.captured_tables, 1);
    let failure = verdict(&findings).unwrap_err();
    assert_eq!(failure.reason.code, "no_binlog_service", "{findings:#?}");
    assert!(of(&failure).contains("8100"), "{failure:?}");
}

/// Whatever only an observer can tell is asked of the observer, with its own login.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_those_of_the_observer_that_is_named() {
    let Some(server) = engine().await else { return };
    let config = database(server, "beside", &["CREATE TABLE t (a INT PRIMARY KEY)"]).await;
    let beside = DatabaseConfig {
        // Nothing may be asked here.
        host: String::from("host.invalid"),
        username: String::from("nobody"),
        password: Secret::new("nothing"),
        observer: Some(Observer {
            host: config.host.clone(),
            port: config.port,
            username: RELAY.user.to_owned(),
            password: Secret::new(RELAY.password),
        }),
        ..config
    };
    let definition = loaded(&beside, "beside", "t").await.expect("a table");
    assert_eq!(definition.primary_key, ["a"]);
    let mut names = Vec::new();
    cdc_collector::source::captured::for_each(&beside, |table| names.push(table.id.to_string()))
        .await
        .expect("tables");
    assert_eq!(names, ["beside.t"]);
}

/// What it refuses, it refuses with table and column; and with TYPE_POLICY=skip_table such a table alone is left out.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_relayed_is_named_with_table_and_column() {
    let Some(server) = engine().await else { return };
    let refused = [
        ("vectors", "VECTOR(3)", "type vector is not supported"),
        ("sparse", "SPARSEVECTOR", "type sparsevector is not supported"),
        ("arrays", "ARRAY(INT)", "type array is not supported"),
        ("maps", "MAP(INT, INT)", "type map is not supported"),
        ("strings", "STRING", "type string is not supported"),
        ("quoted", "ENUM('a', 'it''s')", "labels of enum without escapes"),
        ("slashed", r"SET('a', 'b\\c')", "labels of set without escapes"),
    ];
    let statements: Vec<String> = refused
        .iter()
        .map(|(table, kind, _)| format!("CREATE TABLE {table} (id INT PRIMARY KEY, odd {kind})"))
        .chain([String::from("CREATE TABLE plain (id INT PRIMARY KEY)")])
        .collect();
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let config = database(server, "refused", &statements).await;
    let (_, findings) = look(&config).await;
    let found = of_code(&findings, "column_type_unsupported");
    assert_eq!(found.len(), 1, "{findings:#?}");
    let (severity, seen) = found[0];
    assert_eq!(severity, Severity::Fatal);
    for (table, _, why) in refused {
        let named = format!("table refused.{table}, column odd: ");
        let (_, of_table) = seen
            .split_once(&named)
            .unwrap_or_else(|| panic!("{named}\n{seen}"));
        assert!(
            of_table
                .split(", table ")
                .next()
                .is_some_and(|text| text.contains(why)),
            "{table}: {seen}"
        );
    }
    assert!(!seen.contains("plain"), "{seen}");

    let skipping = DatabaseConfig {
        types: TypePolicy::SkipTable,
        ..config.clone()
    };
    let (facts, findings) = look(&skipping).await;
    assert!(of_code(&findings, "column_type_unsupported").is_empty());
    assert_eq!(
        of_code(&findings, "table_left_out").len(),
        refused.len(),
        "{findings:#?}"
    );
    let expected = refused.map(|(table, ..)| format!("refused.{table}"));
    assert_eq!(facts.left_out, expected.into_iter().collect());
    let mut described = Vec::new();
    cdc_collector::source::captured::for_each(&config, |table| described.push(table.id.table))
        .await
        .expect("tables");
    assert_eq!(described, ["plain"]);
}

/// What the periodic second look relies on.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_shows_in_the_next_look() {
    let Some(server) = engine().await else { return };
    let config = database(
        server,
        "changes",
        &["CREATE TABLE t (id INT PRIMARY KEY, a INT, b INT)"],
    )
    .await;
    let before = Arc::new(loaded(&config, "changes", "t").await.expect("a table"));
    assert_eq!(loaded(&config, "changes", "t").await.as_ref(), Some(&*before));
    let change = [
        "USE changes",
        "ALTER TABLE t RENAME COLUMN a TO c",
        "ALTER TABLE t MODIFY b BIGINT",
    ];
    server.execute(&change).await.expect("a change");
    let after = loaded(&config, "changes", "t").await.expect("a table");
    assert_eq!(
        after.differences(&before),
        [
            "column 2 was a and is c",
            "column b was int(11) and is bigint(20)"
        ]
    );
    server.execute(&["DROP TABLE changes.t"]).await.expect("a change");
    assert_eq!(loaded(&config, "changes", "t").await, None);
}

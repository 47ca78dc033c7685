//! What preflight says of real servers, good and spoiled; how logins, TLS and dumps are refused in fact.
#![cfg(test)]

mod tls;

use std::time::Duration;

use cdc_collector::config::filter::TableFilter;
use cdc_collector::config::{
    DatabaseConfig, PositionLost, Secret, StartPosition, TlsConfig, TlsMode, TypePolicy,
};
use cdc_collector::position::{FilePosition, Flavour, GtidSet};
use cdc_collector::retry::{Disposition, Failure};
use cdc_collector::source::connection::{self, DumpStart};
use cdc_collector::source::preflight::{Finding, ServerFacts, Severity, inspect, verdict};
use cdc_collector::source::refusal;
use futures_util::StreamExt;
use harness::servers::{Login, MariaDb, MySql, Options, RELAY, SCHEMA, Server};

const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) fn config(server: &Server, login: Login) -> DatabaseConfig {
    DatabaseConfig {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        username: login.user.to_owned(),
        password: Secret::new(login.password),
        observer: None,
        tables: TableFilter::parse(SCHEMA, "*").unwrap(),
        tls: TlsConfig {
            mode: TlsMode::Disabled,
            ca: None,
            client: None,
        },
        server_id: 4711,
        heartbeat: Duration::from_secs(1),
        connect_timeout: TIMEOUT,
        types: TypePolicy::Halt,
        schemas: cdc_collector::config::SchemaPolicy::Halt,
        start: StartPosition::Latest,
        position_lost: PositionLost::Halt,
        schema_check: Duration::ZERO,
    }
}

async fn look(config: &DatabaseConfig) -> (ServerFacts, Vec<Finding>) {
    let mut conn = connection::connect(config).await.unwrap();
    let seen = inspect(&mut conn, config).await.unwrap();
    connection::close(conn).await;
    seen
}

async fn fatal(config: &DatabaseConfig) -> Vec<&'static str> {
    let (_, findings) = look(config).await;
    findings
        .iter()
        .filter(|f| f.severity == Severity::Fatal)
        .map(|f| f.code)
        .collect()
}

/// The first failure of a dump from `start`, or none if three events come.
async fn dump(config: &DatabaseConfig, flavour: Flavour, start: DumpStart) -> Option<Failure> {
    let conn = connection::connect(config).await.unwrap();
    let mut stream = match connection::request_dump(conn, flavour, config, &start).await {
        Ok(stream) => stream,
        Err(failure) => return Some(failure),
    };
    for _ in 0..3 {
        let item = tokio::time::timeout(TIMEOUT, stream.next())
            .await
            .expect("an event or a heartbeat in time");
        if let Err(error) = item.expect("the stream never just ends") {
            return Some(refusal::classify_stream(&error));
        }
    }
    None
}

fn at(file: &str, pos: u64) -> DumpStart {
    DumpStart::File(FilePosition {
        file: file.to_owned(),
        pos,
    })
}

fn code(failure: Option<Failure>) -> Option<&'static str> {
    failure.map(|f| f.reason.code)
}

#[tokio::test]
async fn mariadb_passes_and_each_spoiled_setting_is_named() {
    let server = MariaDb::start(Options::default().arg("--max-connections=30"))
        .await
        .unwrap();
    server
        .execute(&[
            "CREATE TABLE orders (id INT PRIMARY KEY, v TEXT)",
            "INSERT INTO orders VALUES (1, 'a')",
            "CREATE USER poor@'%' IDENTIFIED BY 'poor'",
            "GRANT SELECT ON test.* TO poor@'%'",
        ])
        .await
        .unwrap();
    let relay = config(&server, RELAY);
    let (facts, findings) = look(&relay).await;
    assert_eq!(verdict(&findings), Ok(()), "{findings:#?}");
    assert_eq!(
        (facts.identity.flavour, facts.identity.server_id),
        (Flavour::MariaDb, 1)
    );
    assert!(!facts.gtid && facts.captured_tables == 1);
    assert_eq!(facts.head.file, facts.binlogs.last().unwrap().0);

    let oldest = facts.oldest.file.as_str();
    assert_eq!(dump(&relay, Flavour::MariaDb, at(oldest, 4)).await, None);
    assert_eq!(
        dump(&relay, Flavour::MariaDb, DumpStart::File(facts.head.clone())).await,
        None
    );
    assert_eq!(
        code(dump(&relay, Flavour::MariaDb, at(oldest, 1 << 30)).await),
        Some("position_ahead")
    );
    assert_eq!(
        code(dump(&relay, Flavour::MariaDb, at("binlog.009999", 4)).await),
        Some("position_purged")
    );

    let tables = TableFilter::parse("test,nowhere,t*", "*").unwrap();
    assert_eq!(
        fatal(&DatabaseConfig {
            tables,
            ..relay.clone()
        })
        .await,
        ["schema_missing"]
    );

    let poor = config(
        &server,
        Login {
            user: "poor",
            password: "poor",
        },
    );
    assert_eq!(fatal(&poor).await, ["replication_privilege_missing"]);
    let refused = dump(&poor, Flavour::MariaDb, at(oldest, 4)).await;
    assert_eq!(code(refused), Some("replication_privilege_missing"));

    for (setting, good, bad, code) in [
        ("binlog_format", "ROW", "STATEMENT", "binlog_format_not_row"),
        ("binlog_row_image", "FULL", "MINIMAL", "row_image_not_full"),
        ("log_bin_compress", "OFF", "ON", "log_bin_compress_on"),
    ] {
        server
            .execute(&[&format!("SET GLOBAL {setting} = {bad}")])
            .await
            .unwrap();
        assert_eq!(fatal(&relay).await, [code]);
        server
            .execute(&[&format!("SET GLOBAL {setting} = {good}")])
            .await
            .unwrap();
    }
    server
        .execute(&["CREATE TABLE packed (id INT PRIMARY KEY, v TEXT COMPRESSED)"])
        .await
        .unwrap();
    assert_eq!(fatal(&relay).await, ["column_type_unsupported"]);
    assert_eq!(
        fatal(&DatabaseConfig {
            server_id: 1,
            ..relay
        })
        .await,
        ["server_id_of_source", "column_type_unsupported"]
    );
}

#[tokio::test]
async fn mariadb_without_a_binlog_is_named() {
    let server = MariaDb::start(Options::default().arg("--skip-log-bin"))
        .await
        .unwrap();
    assert_eq!(fatal(&config(&server, RELAY)).await, ["binlog_disabled"]);
}

#[tokio::test]
async fn mysql_passes_and_each_spoiled_setting_is_named() {
    let server = MySql::start(Options::default()).await.unwrap();
    server
        .execute(&[
            "CREATE TABLE orders (id INT PRIMARY KEY, v JSON)",
            "INSERT INTO orders VALUES (1, '{}')",
            "CREATE ROLE reader",
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO reader",
            "CREATE USER roled@'%' IDENTIFIED BY 'roled' DEFAULT ROLE reader",
        ])
        .await
        .unwrap();
    let relay = config(&server, RELAY);
    let (facts, findings) = look(&relay).await;
    assert_eq!(verdict(&findings), Ok(()), "{findings:#?}");
    assert!(facts.gtid && facts.identity.flavour == Flavour::MySql && !facts.identity.server_uuid.is_empty());
    let executed = facts.gtid_executed.clone().unwrap();
    assert!(!executed.is_empty());
    let roled = config(
        &server,
        Login {
            user: "roled",
            password: "roled",
        },
    );
    assert_eq!(
        fatal(&roled).await,
        Vec::<&str>::new(),
        "privileges of an active role count"
    );

    let gtid = |set: &GtidSet| dump(&relay, Flavour::MySql, DumpStart::Gtid(set.clone()));
    assert_eq!(gtid(&GtidSet::default()).await, None);
    assert_eq!(gtid(&executed).await, None);
    let ahead = format!("{}:1-99999", facts.identity.server_uuid).parse().unwrap();
    assert_eq!(code(gtid(&ahead).await), Some("position_foreign"));
    assert_eq!(
        code(dump(&relay, Flavour::MySql, at(&facts.head.file, 1 << 30)).await),
        Some("position_ahead")
    );

    for (setting, good, bad, code) in [
        ("binlog_format", "'ROW'", "'STATEMENT'", "binlog_format_not_row"),
        ("binlog_row_image", "'FULL'", "'NOBLOB'", "row_image_not_full"),
        (
            "binlog_row_value_options",
            "''",
            "'PARTIAL_JSON'",
            "row_values_partial",
        ),
        (
            "binlog_transaction_compression",
            "OFF",
            "ON",
            "transaction_compression_on",
        ),
    ] {
        server
            .execute(&[&format!("SET GLOBAL {setting} = {bad}")])
            .await
            .unwrap();
        assert_eq!(fatal(&relay).await, [code]);
        server
            .execute(&[&format!("SET GLOBAL {setting} = {good}")])
            .await
            .unwrap();
    }
    server
        .execute(&["CREATE TABLE points (id INT PRIMARY KEY, v VECTOR(3))"])
        .await
        .unwrap();
    assert_eq!(fatal(&relay).await, ["column_type_unsupported"]);

    // Last: it takes away the beginning.
    server.execute(&["FLUSH BINARY LOGS"]).await.unwrap();
    let newest = look(&relay).await.0.head.file;
    server
        .execute(&[&format!("PURGE BINARY LOGS TO '{newest}'")])
        .await
        .unwrap();
    assert_eq!(code(gtid(&GtidSet::default()).await), Some("position_purged"));
    assert!(!look(&relay).await.0.gtid_purged.unwrap().is_empty());
}

/// One replica id, two readers: the older one is told so, in words that only a person can act on.
#[tokio::test]
async fn a_second_reader_with_the_same_id_is_named() {
    for (server, flavour) in [
        (
            MariaDb::start(Options::default()).await.unwrap(),
            Flavour::MariaDb,
        ),
        (MySql::start(Options::default()).await.unwrap(), Flavour::MySql),
    ] {
        let relay = config(&server, RELAY);
        let head = look(&relay).await.0.head;
        let conn = connection::connect(&relay).await.unwrap();
        let start = DumpStart::File(head.clone());
        let mut older = connection::request_dump(conn, flavour, &relay, &start)
            .await
            .unwrap();
        older.next().await.unwrap().unwrap();
        assert_eq!(dump(&relay, flavour, start).await, None);
        let failure = loop {
            let item = tokio::time::timeout(TIMEOUT, older.next()).await.unwrap();
            if let Err(error) = item.unwrap() {
                break refusal::classify_stream(&error);
            }
        };
        assert_eq!(failure.reason.code, "replica_id_conflict", "{flavour}: {failure}");
        assert!(matches!(failure.disposition, Disposition::Halt { .. }));
    }
}

#[tokio::test]
async fn a_wrong_password_halts_and_is_not_repeated() {
    let wrong = Login {
        password: "never-print-this",
        ..RELAY
    };
    for server in [
        MariaDb::start(Options::default()).await.unwrap(),
        MySql::start(Options::default()).await.unwrap(),
    ] {
        let failure = connection::connect(&config(&server, wrong)).await.unwrap_err();
        assert_eq!(failure.reason.code, "database_access_denied");
        assert!(matches!(failure.disposition, Disposition::Halt { .. }));
        assert!(!format!("{failure} {failure:?}").contains(wrong.password));
    }
}

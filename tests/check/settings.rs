//! Settings of whole servers, one after the other: each is spoiled, named, and put right by the remedy's own statement.

use cdc_collector::source::connection::{self, DumpStart};
use cdc_collector::source::preflight::inspect;
use futures_util::StreamExt as _;
use harness::servers::{Kind, Options, RELAY, Server, skip_without};

use super::case::{Fix, fatal, finding, report, warning};
use crate::preflight::config;
use crate::rig;

async fn with_a_table(kind: Kind, options: Options) -> Server {
    let server = Server::start(kind, options).await.expect("a server");
    server
        .execute(&["CREATE TABLE orders (id INT PRIMARY KEY, v TEXT)"])
        .await
        .expect("a table");
    server
}

/// Spoils the server with each statement, and lets the remedy's first statements put it right.
async fn spoiled(server: &Server, cases: &[(&str, &'static str, &str, usize)]) -> Vec<&'static str> {
    let emulator = rig::emulator(1).await;
    let mut codes = Vec::new();
    for (statement, code, severity, repair) in cases {
        server.execute(&[*statement]).await.expect(statement);
        let settings = rig::settings(server.address(), &emulator.endpoint());
        let case = match *severity {
            "fatal" => fatal(code, settings, Fix::Sql(*repair)),
            _ => warning(code, settings, Fix::Sql(*repair)),
        };
        codes.push(case.prove(Some(server)).await);
    }
    codes
}

pub(crate) async fn mariadb() -> Vec<&'static str> {
    let server = with_a_table(Kind::MariaDb, Options::default()).await;
    spoiled(
        &server,
        &[
            (
                "SET GLOBAL binlog_format = STATEMENT",
                "binlog_format_not_row",
                "fatal",
                1,
            ),
            (
                "SET GLOBAL binlog_row_image = MINIMAL",
                "row_image_not_full",
                "fatal",
                1,
            ),
            (
                "SET GLOBAL log_bin_compress = ON",
                "log_bin_compress_on",
                "fatal",
                1,
            ),
            ("SET GLOBAL binlog_checksum = NONE", "checksum_off", "warning", 1),
            (
                "SET GLOBAL binlog_expire_logs_seconds = 3600",
                "retention_short",
                "warning",
                1,
            ),
        ],
    )
    .await
}

pub(crate) async fn mysql() -> Vec<&'static str> {
    if skip_without(Kind::MySql) {
        return Vec::new();
    }
    let server = with_a_table(Kind::MySql, Options::default()).await;
    let mut codes = spoiled(
        &server,
        &[
            (
                "SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'",
                "row_values_partial",
                "fatal",
                1,
            ),
            (
                "SET GLOBAL binlog_transaction_compression = ON",
                "transaction_compression_on",
                "fatal",
                1,
            ),
            // Both statements of the remedy: the second one alone would do here.
            ("SET GLOBAL gtid_mode = ON_PERMISSIVE", "gtid_off", "warning", 2),
        ],
    )
    .await;
    // Another reader with the collector's id.
    let emulator = rig::emulator(1).await;
    let other = config(&server, RELAY);
    let mut conn = connection::connect(&other).await.expect("a connection");
    let facts = inspect(&mut conn, &other).await.expect("an examination").0;
    let start = DumpStart::File(facts.head);
    let mut stream = connection::request_dump(conn, facts.identity.flavour, &other, &start)
        .await
        .expect("a dump");
    stream.next().await.expect("an event").expect("a good one");
    let settings = rig::settings(server.address(), &emulator.endpoint());
    let settings = settings.env("DATABASE_SERVER_ID", other.server_id.to_string());
    let case = warning("replica_id_registered", settings.clone(), Fix::Env(1));
    codes.push(case.prove(None).await);
    // The probe of the dump has an id of its own: the other reader is still served.
    let served = tokio::time::timeout(rig::READY, stream.next()).await;
    served.expect("a heartbeat").expect("a stream").expect("an event");
    // Last, for the administrator comes without TLS as well.
    server
        .execute(&["SET GLOBAL require_secure_transport = ON"])
        .await
        .expect("a setting");
    let settings = rig::settings(server.address(), &emulator.endpoint());
    let settings = settings.env("DATABASE_TLS_MODE", "disabled");
    codes.push(
        fatal("tls_required_by_server", settings, Fix::Env(1))
            .prove(None)
            .await,
    );
    codes
}

/// What only a start of the server changes.
pub(crate) async fn restarted() -> Vec<&'static str> {
    let mut server = with_a_table(Kind::MariaDb, Options::default().arg("--skip-log-bin")).await;
    let emulator = rig::emulator(1).await;
    let settings = rig::settings(server.address(), &emulator.endpoint());
    let mut codes = Vec::new();
    // The arguments that a remedy names stand in it as they are; for the filter there is nothing to add.
    for (spoil, code, arguments) in [
        (None, "binlog_disabled", 2),
        (Some("--binlog-ignore-db=test"), "schema_not_logged", 0),
        (None, "replica_updates_not_logged", 1),
    ] {
        if let Some(argument) = spoil {
            server
                .restart_with(vec![argument.to_owned()])
                .await
                .expect("a start");
        }
        if code == "replica_updates_not_logged" {
            let source =
                "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = 1, MASTER_USER = 'nobody'";
            let monitor = format!("GRANT REPLICA MONITOR ON *.* TO {}@'%'", RELAY.user);
            server.execute(&[source, &monitor]).await.expect("a source");
        }
        let seen = report(&settings).await;
        let found = finding(&seen, code).unwrap_or_else(|| panic!("{code}: {seen:#}"));
        assert_eq!(found["severity"], "fatal");
        if code == "binlog_disabled" {
            let left_out = finding(&seen, "not_checked").expect("what was not tried");
            let what = left_out["seen"].as_str().expect("a sentence");
            assert!(what.starts_with("whether the binlog can be read: "), "{what}");
        }
        let remedy = found["remedy"].as_str().expect("a remedy");
        let named = remedy.split('`').nth(1).unwrap_or_default();
        let named: Vec<String> = named.split_whitespace().map(str::to_owned).collect();
        assert_eq!(named.len(), arguments, "{remedy}");
        server.restart_with(named).await.expect(remedy);
        let after = report(&settings).await;
        assert_eq!(after["passed"], true, "{code}, after: {remedy}: {after:#}");
        codes.push(code);
    }
    codes
}

/// The engine without its binlog service: nothing that can be put right from here, but for the lease.
pub(crate) async fn oceanbase() -> Vec<&'static str> {
    if skip_without(Kind::Seekdb) {
        return Vec::new();
    }
    let server = Server::start(Kind::Seekdb, Options::default())
        .await
        .expect("a server");
    server
        .execute(&["CREATE TABLE orders (id BIGINT PRIMARY KEY)"])
        .await
        .expect("a table");
    let emulator = rig::emulator(1).await;
    let settings = rig::settings(server.address(), &emulator.endpoint());
    let settings = settings.database(server.address(), server.admin(), harness::servers::SCHEMA);
    let seen = report(&settings).await;
    for (code, severity) in [("no_binlog_service", "fatal"), ("lease_unsupported", "warning")] {
        let found = finding(&seen, code).unwrap_or_else(|| panic!("{code}: {seen:#}"));
        assert_eq!(found["severity"], severity, "{found}");
    }
    let after = report(&settings.env("LEASE", "none")).await;
    assert!(finding(&after, "lease_unsupported").is_none(), "{after:#}");
    vec!["no_binlog_service", "lease_unsupported"]
}

//! Reaching the database: addresses, accounts, captured tables, positions, and TLS.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use cdc_collector::position::{FilePosition, Flavour, Position, ServerIdentity};
use cdc_collector::store::Store;
use datahub_emulator::Emulator;
use harness::collector::Settings;
use harness::ports::free_port;
use harness::servers::{Kind, Login, Options, RELAY, SCHEMA, Server};

use super::authority::{Authority, in_days};
use super::case::{Case, Fix, fatal, prove, warning};
use crate::rig;

/// The group that a collector is of unless it is told.
const GROUP: &str = "cdc-collector-group";

/// Accepts connections and does with each what is given.
fn listener(mut greet: impl FnMut(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            greet(stream.expect("a connection"));
        }
    });
    address
}

fn account(name: &'static str) -> Login {
    Login {
        user: name,
        password: name,
    }
}

pub(crate) async fn accounts_and_tables() -> Vec<&'static str> {
    let server = Server::start(Kind::MariaDb, Options::default().arg("--max-connections=100"))
        .await
        .expect("a server");
    let all = "REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.*";
    let mut statements = vec![
        "CREATE TABLE orders (id INT PRIMARY KEY, v TEXT)".to_owned(),
        "CREATE DATABASE keyless".to_owned(),
        "CREATE TABLE keyless.logs (v INT)".to_owned(),
        "CREATE DATABASE odd".to_owned(),
        "CREATE TABLE odd.fine (id INT PRIMARY KEY)".to_owned(),
        "CREATE TABLE odd.packed (id INT PRIMARY KEY, v TEXT COMPRESSED)".to_owned(),
    ];
    for (name, grants) in [
        ("poor", format!("SELECT ON {SCHEMA}.*")),
        ("blind", "REPLICATION SLAVE, REPLICATION CLIENT ON *.*".to_owned()),
        ("locked", all.to_owned()),
        ("expired", all.to_owned()),
        ("few", all.to_owned()),
    ] {
        statements.push(format!("CREATE USER {name}@'%' IDENTIFIED BY '{name}'"));
        statements.push(format!("GRANT {grants} TO {name}@'%'"));
    }
    statements.extend([
        format!("GRANT INSERT ON {SCHEMA}.* TO blind@'%'"),
        "ALTER USER locked@'%' ACCOUNT LOCK".to_owned(),
        "ALTER USER expired@'%' PASSWORD EXPIRE".to_owned(),
        "ALTER USER few@'%' WITH MAX_USER_CONNECTIONS 1".to_owned(),
    ]);
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    server.execute(&statements).await.expect("tables and accounts");
    let emulator = rig::emulator(1).await;
    let good = || rig::settings(server.address(), &emulator.endpoint());
    let of = |name| good().database(server.address(), account(name), SCHEMA);
    // Statements by which a person does what a remedy can only describe.
    let administrator = |sql: &'static str| {
        let options = server.opts(server.admin());
        Fix::Done(Box::new(move || {
            let run = async move {
                use mysql_async::prelude::Queryable as _;
                let mut conn = mysql_async::Conn::new(options).await?;
                conn.query_drop(sql).await?;
                conn.disconnect().await
            };
            let runtime = tokio::runtime::Handle::current();
            tokio::task::block_in_place(|| runtime.block_on(run)).expect(sql);
        }))
    };
    let wrong_password = Login {
        password: "Wrong-Passw0rd-77ab",
        ..RELAY
    };
    let mut kept = Vec::new();
    let silent = listener(move |stream| kept.push(stream));
    let babbling = listener(|mut stream| drop(stream.write_all(b"\x05\0\0\0hello")));
    let nowhere = SocketAddr::from(([127, 0, 0, 1], free_port().expect("a port")));
    let mut cases = vec![
        fatal(
            "host_unknown",
            good().env("DATABASE_HOST", "no-such-host.invalid"),
            Fix::Corrected(good()),
        ),
        fatal(
            "connection_refused",
            good().database(nowhere, RELAY, SCHEMA),
            Fix::Corrected(good()),
        ),
        fatal(
            "database_timeout",
            good()
                .database(silent, RELAY, SCHEMA)
                .env("DATABASE_CONNECT_TIMEOUT_SECONDS", "1"),
            Fix::Corrected(good()),
        ),
        fatal(
            "protocol_error",
            good().database(babbling, RELAY, SCHEMA),
            Fix::Corrected(good()),
        ),
        fatal(
            "database_access_denied",
            good().database(server.address(), wrong_password, SCHEMA),
            Fix::Corrected(good()),
        ),
        fatal(
            "account_locked",
            of("locked"),
            administrator("ALTER USER locked@'%' ACCOUNT UNLOCK"),
        ),
        fatal(
            "password_expired",
            of("expired"),
            administrator("ALTER USER expired@'%' IDENTIFIED BY 'expired'"),
        ),
        fatal(
            "too_many_connections",
            of("few"),
            administrator("ALTER USER few@'%' WITH MAX_USER_CONNECTIONS 0"),
        ),
        fatal("replication_privilege_missing", of("poor"), Fix::Sql(1)),
        fatal("select_privilege_missing", of("blind"), Fix::Sql(1)),
        fatal(
            "tls_unavailable",
            good().env("DATABASE_TLS_MODE", "required"),
            Fix::Env(1),
        ),
        fatal(
            "server_id_of_source",
            good().env("DATABASE_SERVER_ID", "1"),
            Fix::Env(1),
        ),
        fatal(
            "schema_missing",
            good().env("DATABASE_SCHEMA", "nowhere"),
            Fix::Sql(1),
        ),
        warning(
            "no_table_captured",
            good().env("DATABASE_TABLES", "nothing"),
            Fix::Env(1),
        ),
        warning(
            "primary_key_missing",
            good().env("DATABASE_SCHEMA", "keyless"),
            administrator("ALTER TABLE keyless.logs ADD COLUMN id INT AUTO_INCREMENT PRIMARY KEY"),
        ),
        fatal(
            "column_type_unsupported",
            good().env("DATABASE_SCHEMA", "odd"),
            Fix::Env(1),
        ),
        warning(
            "table_left_out",
            good()
                .env("DATABASE_SCHEMA", "odd")
                .env("TYPE_POLICY", "skip_table"),
            Fix::Corrected(
                good()
                    .env("DATABASE_SCHEMA", "odd")
                    .env("DATABASE_TABLES", "*,!odd.packed"),
            ),
        ),
        fatal(
            "column_rule_on_key",
            good().env("COLUMN_EXCLUDE", "orders.id"),
            Fix::Env(1),
        ),
        warning(
            "column_rule_idle",
            good().env("COLUMN_EXCLUDE", "orders.fone"),
            Fix::Corrected(good().env("COLUMN_EXCLUDE", "orders.v")),
        ),
        fatal(
            "start_gtid_unsupported",
            good().env("START_POSITION", "gtid:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-9"),
            Fix::Env(1),
        ),
    ];
    cases.extend(positions(&server, &emulator));
    prove(cases, Some(&server)).await
}

/// Checkpoints that the server cannot continue from.
fn positions(server: &Server, emulator: &Emulator) -> Vec<Case> {
    let at = |server_id: u64, file: &str| {
        let settings = rig::settings(server.address(), &emulator.endpoint());
        let store = Store::open(&settings.data_dir(), GROUP).expect("a data directory");
        let identity = ServerIdentity {
            flavour: Flavour::MariaDb,
            server_uuid: String::new(),
            server_id,
        };
        let position = Position {
            gtid_set: None,
            file: FilePosition {
                file: file.to_owned(),
                pos: 4,
            },
            open: None,
            parked: Vec::new(),
        };
        let written = store.write_checkpoint(&identity, &position, None, 1);
        written.expect("a checkpoint");
        settings
    };
    let removed = |settings: &Settings| {
        let path = settings.data_dir().join(format!("{GROUP}.checkpoint"));
        Fix::Done(Box::new(move || {
            std::fs::remove_file(path).expect("the checkpoint");
        }))
    };
    let (other, ahead) = (at(77, "binlog.000001"), at(1, "binlog.000099"));
    let (no_other, not_ahead) = (removed(&other), removed(&ahead));
    vec![
        fatal("position_purged", at(1, "binlog.000000"), Fix::Env(1)),
        fatal("position_ahead", ahead, not_ahead),
        fatal("checkpoint_other_server", other, no_other),
    ]
}

/// What can be wrong with certificates on either side.
pub(crate) async fn encryption() -> Vec<&'static str> {
    let authority = Arc::new(Authority::new());
    let (long_ago, soon, far) = (in_days(-40), in_days(2), in_days(90));
    authority.issue(&long_ago, &soon);
    let option = |name: &str, file: &str| format!("--{name}={}", authority.path(file));
    let options = Options::default()
        .arg(option("ssl-ca", "ca.pem"))
        .arg(option("ssl-cert", "server.pem"))
        .arg(option("ssl-key", "server.key"));
    let server = Server::start(Kind::MariaDb, options).await.expect("a server");
    server
        .execute(&["CREATE TABLE orders (id INT PRIMARY KEY, v TEXT)"])
        .await
        .expect("a table");
    let emulator = rig::emulator(1).await;
    let with = |mode: &str, ca: Option<&str>| {
        let settings = rig::settings(server.address(), &emulator.endpoint())
            .env("DATABASE_HOST", "localhost")
            .env("DATABASE_TLS_MODE", mode);
        match ca {
            Some(ca) => settings.env("DATABASE_TLS_CA", authority.path(ca)),
            None => settings,
        }
    };
    let good = || with("verify_identity", Some("ca.pem"));
    let renewed = |from: &str, until: &str| {
        let (authority, from, until) = (Arc::clone(&authority), from.to_owned(), until.to_owned());
        move || authority.issue(&from, &until)
    };
    let client = |key: &str| {
        good()
            .env("DATABASE_TLS_CERT", authority.path("server.pem"))
            .env("DATABASE_TLS_KEY", authority.path(key))
    };
    let cases = vec![
        fatal(
            "tls_unknown_authority",
            with("verify_identity", Some("other.pem")),
            Fix::Corrected(good()),
        ),
        fatal(
            "tls_name_mismatch",
            good().env("DATABASE_HOST", "127.0.0.1"),
            Fix::Env(1),
        ),
        fatal(
            "tls_file_unreadable",
            with("verify_identity", Some("ca.key")),
            Fix::Corrected(good()),
        ),
        fatal(
            "tls_key_unreadable",
            client("server.pem"),
            Fix::Corrected(client("server.key")),
        ),
    ];
    let mut codes = prove(cases, Some(&server)).await;
    // The certificate in the file is renewed by hand; the statement that has the server read it is the remedy's.
    for (code, severity, until) in [
        ("tls_certificate_expires", "warning", &soon),
        ("tls_certificate_expired", "fatal", &in_days(-1)),
    ] {
        renewed(&long_ago, until)();
        server.execute(&["FLUSH SSL"]).await.expect("the certificate");
        let case = Case {
            severity,
            ..fatal(code, good(), Fix::Elsewhere)
        };
        codes.push(case.prove(None).await);
        renewed(&long_ago, &far)();
        let seen = super::case::report(&with("required", None)).await;
        if severity == "fatal" {
            // A mode that checks nothing goes on, and says what it sees.
            let told = super::case::finding(&seen, "tls_certificate_expires").expect("a warning");
            assert!(
                told["seen"]
                    .as_str()
                    .expect("a sentence")
                    .contains("expired 1 days ago"),
                "{told}"
            );
            assert_eq!(seen["passed"], true, "{seen:#}");
        }
        let told = super::case::finding(&seen, "tls_certificate_expires").expect("a warning");
        let remedy = told["remedy"].as_str().expect("a remedy");
        let statement = remedy.split('`').nth(1).expect("a statement");
        server.execute(&[statement]).await.expect(statement);
        let seen = super::case::report(&good()).await;
        let tls = super::case::finding(&seen, "tls").expect("no complaint");
        assert!(
            tls["seen"].as_str().expect("a sentence").contains("89 days"),
            "{tls}"
        );
        assert_eq!(seen["passed"], true, "{seen:#}");
    }
    codes
}

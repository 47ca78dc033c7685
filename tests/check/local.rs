//! This machine: options, the data directory and what is in it, logs, the port.

use std::fs;
use std::net::TcpListener;

use cdc_collector::store::{self, Store};
use harness::collector::Settings;
use harness::ports::free_port;
use harness::servers::{Kind, Options, Server};

use super::case::{Case, Fix, fatal, prove, warning};
use crate::rig;

const GROUP: &str = "cdc-collector-group";

/// The most that dead letters may be given.
const MOST_LETTERS: u64 = 1024 << 30;

pub(crate) async fn this_machine() -> Vec<&'static str> {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    server
        .execute(&["CREATE TABLE orders (id INT PRIMARY KEY, v TEXT)"])
        .await
        .expect("a table");
    let emulator = rig::emulator(1).await;
    let good = || rig::settings(server.address(), &emulator.endpoint());
    let squatter = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = squatter.local_addr().expect("its address").port();
    let held = good();
    let holder = Store::open(&held.data_dir(), GROUP).expect("a data directory");
    let mut cases = options(&good);
    cases.extend(files(&good));
    cases.extend([
        fatal("data_dir_in_use", held, Fix::Done(Box::new(move || drop(holder)))),
        fatal(
            "data_dir_unusable",
            good().env("DATA_DIR", "/dev/null/data"),
            Fix::Corrected(good()),
        ),
        warning(
            "log_dir_unusable",
            good().env("LOG_DIR", "/dev/null/logs"),
            Fix::Corrected(good()),
        ),
        fatal(
            "port_in_use",
            good().on_port(taken),
            Fix::Corrected(good().on_port(free_port().expect("a port"))),
        ),
        fatal(
            "listen_failed",
            good().env("MONITORING_ADDRESS", "192.0.2.1"),
            Fix::Env(1),
        ),
    ]);
    // On a disk that takes them all there is nothing to warn of.
    if store::room(good().dir()).expect("the room") < MOST_LETTERS {
        cases.push(warning(
            "disk_space_low",
            good()
                .env("POISON_POLICY", "dead_letter")
                .env("DEAD_LETTER_MAX_BYTES", "1024g"),
            Fix::Env(1),
        ));
    }
    prove(cases, Some(&server)).await
}

fn options(good: &impl Fn() -> Settings) -> Vec<Case> {
    let corrected = || Fix::Corrected(good());
    vec![
        fatal(
            "config_option_missing",
            good().without("DATABASE_HOST"),
            corrected(),
        ),
        fatal(
            "config_value_invalid",
            good().env("DATABASE_PORT", "many"),
            corrected(),
        ),
        fatal(
            "config_option_unknown",
            good().env("DATABASE_HOTS", "db"),
            corrected(),
        ),
        fatal(
            "config_given_twice",
            good().env("DATABASE_PASSWORD_FILE", "/dev/null"),
            corrected(),
        ),
        fatal(
            "config_file_unreadable",
            good()
                .without("DATABASE_PASSWORD")
                .env("DATABASE_PASSWORD_FILE", "/nowhere/password"),
            corrected(),
        ),
        fatal(
            "config_values_conflict",
            good()
                .env("RETRY_BACKOFF_MS", "5000")
                .env("RETRY_BACKOFF_MAX_MS", "100"),
            corrected(),
        ),
        fatal(
            "config_document_unreadable",
            good().env("APPLICATION_YML", "/nowhere/application.yml"),
            corrected(),
        ),
        warning(
            "config_doubtful",
            good().env("READY_MAX_UNACKED_SECONDS", "100"),
            corrected(),
        ),
    ]
}

/// Files of an earlier run that are not what they should be.
fn files(good: &impl Fn() -> Settings) -> Vec<Case> {
    let damaged = |code, name: &str, text: &str| {
        let settings = good();
        fs::create_dir_all(settings.data_dir()).expect("a directory");
        let path = settings.data_dir().join(format!("{GROUP}.{name}"));
        fs::write(&path, text).expect("a file");
        let moved = Fix::Done(Box::new(move || {
            let aside = path.with_extension("aside");
            fs::copy(&path, aside).expect("a copy");
            fs::remove_file(&path).expect("the file");
        }));
        fatal(code, settings, moved)
    };
    let other = good();
    let store = Store::open(&other.data_dir(), "other").expect("a data directory");
    let identity = cdc_collector::position::ServerIdentity {
        flavour: cdc_collector::position::Flavour::MariaDb,
        server_uuid: String::new(),
        server_id: 1,
    };
    let position = cdc_collector::position::Position {
        gtid_set: None,
        file: cdc_collector::position::FilePosition {
            file: "binlog.000001".to_owned(),
            pos: 4,
        },
        open: None,
        parked: Vec::new(),
    };
    let written = store.write_checkpoint(&identity, &position, None, 1);
    written.expect("a checkpoint");
    let file = |group: &str| other.data_dir().join(format!("{group}.checkpoint"));
    fs::copy(file("other"), file(GROUP)).expect("a copy");
    vec![
        damaged(
            "checkpoint_corrupt",
            "checkpoint",
            "cdc-collector checkpoint 1 00000000\n{}\n",
        ),
        damaged(
            "checkpoint_newer_format",
            "checkpoint",
            "cdc-collector checkpoint 99 00000000\n{}\n",
        ),
        damaged("schema_history_corrupt", "schemas", "nonsense\n"),
        damaged("dead_letters_unreadable", "dead-letters.jsonl", "nonsense\n"),
        fatal(
            "checkpoint_other_group",
            other.clone(),
            Fix::Corrected(other.env("DATAHUB_CONSUMER_GROUP", "other")),
        ),
    ]
}

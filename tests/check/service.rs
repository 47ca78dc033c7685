//! DataHub: addresses, keys, clocks, names, topics that do not fit, a service that refuses, and one that loses.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use datahub_emulator::{
    Action, CallKind, Clock, Emulator, Matcher, NullSink, Options as Service, Rule, TopicSpec, When,
};
use harness::ports::free_port;
use harness::servers::{Kind, Options, Server};
use serde_json::json;

use super::case::{Case, Fix, fatal, finding, prove, report, warning};
use crate::rig::{self, ACCESS_ID, ACCESS_KEY, PROJECT, TOPIC};

async fn service(options: Service) -> Emulator {
    let options = Service {
        access_id: ACCESS_ID.to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        create: vec![TopicSpec::blob(PROJECT, TOPIC, 1)],
        ..options
    };
    Emulator::start(options).await.expect("an emulator")
}

/// A web server that is no DataHub and always says the same.
fn impostor(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 4096];
            // A request without a body comes at once.
            if stream.read(&mut request).is_ok() {
                let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    format!("http://{address}")
}

/// A TUPLE topic: name, type, and whether it may be NULL.
fn tuple(topic: &str, fields: &[(&str, &str, bool)]) -> TopicSpec {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, kind, nullable)| json!({"name": name, "type": kind, "notnull": !nullable}))
        .collect();
    TopicSpec {
        schema: Some(json!({ "fields": fields }).to_string()),
        ..TopicSpec::blob(PROJECT, topic, 1)
    }
}

/// The service refuses to describe the topic with each of these; nobody but its owner can do something about it.
const REFUSALS: [(&str, &str); 8] = [
    ("NoPermission", "datahub_no_permission"),
    ("TopicOffline", "datahub_topic_offline"),
    ("OperationDenied", "datahub_operation_denied"),
    ("ResourceLimit", "datahub_resource_limit"),
    ("LimitExceeded", "datahub_limit_exceeded"),
    ("InternalServerError", "datahub_internal_error"),
    ("ExpiredAccessToken", "datahub_token_expired"),
    ("SomethingNew", "datahub_unknown_error"),
];

pub(crate) async fn datahub() -> Vec<&'static str> {
    let server = Server::start(Kind::MariaDb, Options::default())
        .await
        .expect("a server");
    server
        .execute(&["CREATE TABLE orders (id INT PRIMARY KEY, v TEXT)"])
        .await
        .expect("a table");
    let emulator = service(Service::default()).await;
    for spec in [
        tuple("right", &[("id", "INTEGER", false), ("v", "STRING", true)]),
        tuple("mistyped", &[("id", "TIMESTAMP", true), ("v", "STRING", true)]),
        tuple("partial", &[("id", "INTEGER", true)]),
        tuple(
            "unfilled",
            &[
                ("id", "INTEGER", true),
                ("v", "STRING", true),
                ("nope", "STRING", false),
            ],
        ),
        tuple(
            "not_null",
            &[
                ("id", "INTEGER", true),
                ("v", "STRING", true),
                ("__before", "STRING", false),
            ],
        ),
        TopicSpec::blob(PROJECT, "poison", 1),
    ] {
        emulator.create_topic(&spec).expect("a topic");
    }
    let good = || rig::settings(server.address(), &emulator.endpoint());
    let at = |endpoint: String| good().env("DATAHUB_ENDPOINT", endpoint);
    let of = |topic: &str| good().topic(PROJECT, topic);
    let hour_late = service(Service {
        clock: Clock::Shifted(-3600),
        ..Service::default()
    })
    .await;
    let minutes_late = service(Service {
        clock: Clock::Shifted(-300),
        ..Service::default()
    })
    .await;
    let strict = service(Service {
        strict_names: true,
        ..Service::default()
    })
    .await;
    let forgetful = service(Service {
        null: NullSink::Count,
        ..Service::default()
    })
    .await;
    let nowhere = format!("http://127.0.0.1:{}", free_port().expect("a port"));
    let fitting = || Fix::Corrected(of("right"));
    let mut cases = vec![
        fatal("datahub_unreachable", at(nowhere), Fix::Corrected(good())),
        fatal(
            "datahub_foreign_answer",
            at(impostor("200 OK")),
            Fix::Corrected(good()),
        ),
        fatal(
            "datahub_redirected",
            at(impostor(
                "301 Moved Permanently\r\nLocation: https://elsewhere.invalid/",
            )),
            Fix::Corrected(good()),
        ),
        fatal(
            "datahub_proxy_error",
            at(impostor("502 Bad Gateway")),
            Fix::Corrected(good()),
        ),
        fatal(
            "datahub_unauthorized",
            good().env("DATAHUB_ACCESS_KEY", "Wrong-Key-e8d1"),
            Fix::Corrected(good()),
        ),
        fatal("datahub_clock_skew", at(hour_late.endpoint()), Fix::Elsewhere),
        warning(
            "datahub_clock_differs",
            at(minutes_late.endpoint()),
            Fix::Elsewhere,
        ),
        fatal(
            "datahub_no_such_project",
            good().topic("no_such_project", TOPIC),
            Fix::Corrected(good()),
        ),
        fatal("datahub_no_such_topic", of("no_such_topic"), Fix::Env(1)),
        fatal(
            "datahub_invalid_parameter",
            at(strict.endpoint()).topic(PROJECT, "cdc-events"),
            Fix::Corrected(at(strict.endpoint())),
        ),
        fatal("tuple_type_mismatch", of("mistyped"), fitting()),
        fatal("tuple_field_unfilled", of("unfilled"), fitting()),
        fatal("tuple_field_not_null", of("not_null"), fitting()),
        warning("tuple_column_without_field", of("partial"), fitting()),
        fatal(
            "tuple_without_marks",
            of("right")
                .env("EMIT_DDL", "true")
                .env("ON_POSITION_LOST", "latest"),
            Fix::Env(3),
        ),
        Case {
            more: &["--write-test"],
            ..fatal("datahub_malformed_record", of("poison"), Fix::Elsewhere)
        },
        Case {
            more: &["--write-test"],
            ..fatal("datahub_write_lost", at(forgetful.endpoint()), Fix::Elsewhere)
        },
    ];
    let refuse = |topic: &str, call, code: &str| {
        emulator.add_fault(Rule {
            matcher: Matcher {
                call: Some(call),
                topic: Some(topic.to_owned()),
                ..Matcher::default()
            },
            ..Rule::on(
                call,
                Action::Error {
                    code: code.to_owned(),
                    status: None,
                    message: None,
                    when: When::Before,
                },
            )
        });
    };
    refuse("poison", CallKind::Put, "MalformedRecord");
    for (word, code) in REFUSALS {
        let topic = code.trim_start_matches("datahub_");
        emulator
            .create_topic(&TopicSpec::blob(PROJECT, topic, 1))
            .expect("a topic");
        refuse(topic, CallKind::GetTopic, word);
        cases.push(Case {
            settings: of(topic),
            ..fatal(code, good(), Fix::Elsewhere)
        });
    }
    let codes = prove(cases, Some(&server)).await;
    what_is_left_out_is_named(&good().env("DATAHUB_ACCESS_KEY", "Wrong-Key-e8d1")).await;
    codes
}

/// A report that is cut short by a failure says where.
async fn what_is_left_out_is_named(settings: &harness::collector::Settings) {
    let seen = report(settings).await;
    let left_out = finding(&seen, "not_checked").expect("what was not tried");
    assert_eq!(left_out["area"], "datahub");
    assert_eq!(
        left_out["seen"],
        "the topic's type and fields, and its shards: the topic could not be asked"
    );
}

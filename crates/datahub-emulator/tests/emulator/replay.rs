//! Requests recorded from the official Python and Go SDKs, signatures and all, against a clock that stands at the
//! moment at which they were signed.

use std::collections::BTreeMap;
use std::time::Duration;

use datahub_emulator::{Clock, Emulator, Options, TopicSpec};
use serde::Deserialize;

use crate::raw;

#[derive(Deserialize)]
struct Recorded {
    name: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body_hex: String,
}

const PYTHON_FIELDS: [(&str, &str); 10] = [
    ("f_bigint", "bigint"),
    ("f_double", "double"),
    ("f_boolean", "boolean"),
    ("f_timestamp", "timestamp"),
    ("f_string", "string"),
    ("f_decimal", "decimal"),
    ("f_integer", "integer"),
    ("f_float", "float"),
    ("f_tinyint", "tinyint"),
    ("f_smallint", "smallint"),
];
const GO_FIELDS: [(&str, &str); 12] = [
    ("f1", "boolean"),
    ("f2", "tinyint"),
    ("f3", "smallint"),
    ("f4", "integer"),
    ("f5", "bigint"),
    ("f6", "timestamp"),
    ("f7", "float"),
    ("f8", "double"),
    ("f9", "string"),
    ("f10", "string"),
    ("f11", "json"),
    ("f12", "string"),
];

/// What is refused, for a reason other than the request's form: everything else must be accepted.
fn expected(name: &str) -> &'static str {
    match name {
        "create_project" => "ProjectAlreadyExist",
        "delete_project" => "OperationDenied",
        // The recordings name a subscription that is not there.
        "get_subscription"
        | "delete_subscription"
        | "join_group"
        | "leave_group"
        | "heart_beat"
        | "heartbeat"
        | "sync_group"
        | "open_session"
        | "commit_offset" => "NoSuchSubscription",
        _ if name.starts_with("update_subscription") || name.ends_with("_offsets") => "NoSuchSubscription",
        _ if name.contains("_offsets") => "NoSuchSubscription",
        "get_cursor_sequence" => "SeekOutOfRange",
        "meter_info" => "NoSuchMeteringInfo",
        "extend_shard" => "OperationDenied",
        "register_topic_schema" | "delete_topic_schema" => "InvalidOperation",
        // Registered schemas of another topic, as the recording server had them.
        "get_topic_schema_by_schema" => "ResourceNotFound",
        _ if name.contains("connector") => "InvalidUriSpec",
        _ if name.starts_with("create_") && name.contains("topic") => "TopicAlreadyExist",
        _ => "",
    }
}

async fn replay(date: &str, ms: u64) -> BTreeMap<String, (String, String)> {
    let recorded: Vec<Recorded> = serde_json::from_str(include_str!("../vectors/requests.json")).unwrap();
    let options = Options {
        access_id: "AKID-TEST".into(),
        access_key: "AKSECRET-TEST".into(),
        clock: Clock::Fixed(ms),
        shard_guard: Duration::ZERO,
        create: vec![
            TopicSpec::blob("proj", "blob_t", 3),
            TopicSpec::tuple("proj", "tuple_t", 3, &PYTHON_FIELDS),
            TopicSpec::blob("proj", "blob", 3),
            TopicSpec::tuple("proj", "tuple", 1, &GO_FIELDS),
        ],
        ..Options::default()
    };
    let emulator = Emulator::start(options).await.unwrap();
    let mut wrong = BTreeMap::new();
    let mut count = 0;
    for request in recorded {
        if !request
            .headers
            .iter()
            .any(|(name, value)| name == "Date" && value == date)
        {
            continue;
        }
        count += 1;
        raw::control(emulator.addr(), "POST", "/_emulator/reset", "").await;
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let body = unhex(&request.body_hex);
        let answer = raw::send(emulator.addr(), &request.method, &request.path, &headers, &body)
            .await
            .unwrap();
        let (_, name) = request.name.split_once('/').unwrap();
        let code = answer.code();
        // A recorded signature proves the signing; what is signed there is mostly not a whole request.
        let fine = if name.starts_with("signature/") {
            code != "Unauthorized"
        } else {
            code == expected(name)
        };
        if !fine {
            wrong.insert(
                request.name,
                (code, String::from_utf8_lossy(&answer.body).into_owned()),
            );
        }
    }
    assert!(count >= 30, "only {count} recordings of {date}");
    emulator.stop().await;
    wrong
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[tokio::test]
async fn requests_of_the_python_sdk_are_accepted() {
    let wrong = replay("Thu, 01 Jan 2026 00:00:00 GMT", 1_767_225_600_000).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn requests_of_the_go_sdk_are_accepted() {
    let wrong = replay("Sun, 22 Nov 2026 19:33:45 GMT", 1_795_376_025_000).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_changed_request_or_a_late_one_is_refused() {
    let recorded: Vec<Recorded> = serde_json::from_str(include_str!("../vectors/requests.json")).unwrap();
    let request = recorded
        .into_iter()
        .find(|request| request.name == "python/pb_put_by_shard_lz4")
        .unwrap();
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let body = unhex(&request.body_hex);
    for (shift_s, path, key, expected) in [
        (0, "/projects/proj/topics/blob_t/shards/0", "AKSECRET-TEST", ""),
        (899, "/projects/proj/topics/blob_t/shards/0", "AKSECRET-TEST", ""),
        (
            901,
            "/projects/proj/topics/blob_t/shards/0",
            "AKSECRET-TEST",
            "Unauthorized",
        ),
        (
            -901,
            "/projects/proj/topics/blob_t/shards/0",
            "AKSECRET-TEST",
            "Unauthorized",
        ),
        (
            0,
            "/projects/proj/topics/blob_t/shards/1",
            "AKSECRET-TEST",
            "Unauthorized",
        ),
        (
            0,
            "/projects/proj/topics/blob_t/shards/0",
            "another",
            "Unauthorized",
        ),
    ] {
        let ms = (1_767_225_600_000_i64 + shift_s * 1000) as u64;
        let options = Options {
            access_id: "AKID-TEST".into(),
            access_key: key.into(),
            clock: Clock::Fixed(ms),
            create: vec![TopicSpec::blob("proj", "blob_t", 3)],
            ..Options::default()
        };
        let emulator = Emulator::start(options).await.unwrap();
        let answer = raw::send(emulator.addr(), "POST", path, &headers, &body)
            .await
            .unwrap();
        assert_eq!(answer.code(), expected, "{shift_s} {path} {key}");
    }
}

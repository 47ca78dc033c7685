//! Every fault, seen from the client's side of the socket and from the topic's.

use std::io::ErrorKind;
use std::time::Duration;

use datahub_emulator::{Emulator, Options, Rule, TopicSpec};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::raw::{self, Answer, blobs, call, framed};

const SHARD: &str = "/projects/p/topics/t/shards/0";
const SHARDS: &str = "/projects/p/topics/t/shards";

/// One put of two records under one rule: the answer and how many records are there afterwards.
async fn struck(rule: &str, path: &str) -> (Option<Answer>, u64, Emulator) {
    let create = vec![TopicSpec::blob("prj", "t", 2)];
    let options = Options {
        verify_signatures: false,
        create,
        ..Options::default()
    };
    let emulator = Emulator::start(options).await.unwrap();
    let ids = raw::control(emulator.addr(), "POST", "/_emulator/faults", rule).await;
    let answer = framed(
        emulator.addr(),
        &path.replace("/p/", "/prj/"),
        "pub",
        &blobs(&["good", "poison"]),
    )
    .await;
    assert_eq!(emulator.fault_fired(ids["ids"][0].as_u64().unwrap()), 1, "{rule}");
    let count = emulator.count("prj", "t").unwrap();
    (answer, count, emulator)
}

#[tokio::test]
async fn errors_before_and_after() {
    for (when, stored) in [("before", 0), ("after", 2)] {
        let rule = json!({"match": {"call": "put", "shard": "0"}, "action":
            {"kind": "error", "code": "InternalServerError", "message": "m", "when": when}});
        let (answer, count, emulator) = struck(&rule.to_string(), SHARD).await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status, answer.code().as_str(), count),
            (500, "InternalServerError", stored)
        );
        assert_eq!(
            answer.json()["RequestId"].as_str(),
            answer.header("x-datahub-request-id")
        );
        assert_eq!(emulator.stats().errors["InternalServerError"], 1);
    }
}

#[tokio::test]
async fn dropped_connections_before_and_after() {
    for (when, stored) in [("before", 0), ("after", 2)] {
        let rule = json!({"action": {"kind": "drop", "when": when}}).to_string();
        let (answer, count, _) = struck(&rule, SHARD).await;
        assert!(answer.is_none());
        assert_eq!(count, stored);
    }
}

#[tokio::test]
async fn a_reset_is_no_orderly_end() {
    for (when, stored) in [("before", 0), ("after", 2)] {
        let rule = json!({"action": {"kind": "reset", "when": when}}).to_string();
        let (answer, count, emulator) = struck(&rule, SHARD).await;
        assert!(answer.is_none());
        assert_eq!(count, stored);
        for (kind, orderly) in [("reset", false), ("drop", true)] {
            emulator.clear_faults();
            let rule = json!({"action": {"kind": kind}}).to_string();
            raw::control(emulator.addr(), "POST", "/_emulator/faults", &rule).await;
            let mut stream = TcpStream::connect(emulator.addr()).await.unwrap();
            let request = b"GET /projects HTTP/1.1\r\nHost: emulator\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let end = stream.read(&mut [0; 16]).await.map_err(|error| error.kind());
            let expected = if orderly {
                Ok(0)
            } else {
                Err(ErrorKind::ConnectionReset)
            };
            assert_eq!(end, expected, "{kind}");
        }
    }
}

/// Who waits for a request that hangs finds what it was to apply applied.
#[tokio::test]
async fn a_request_that_hangs_is_counted_when_all_is_done() {
    for (when, stored) in [("before", 0), ("after", 2)] {
        let options = Options {
            verify_signatures: false,
            create: vec![TopicSpec::blob("prj", "t", 2)],
            ..Options::default()
        };
        let emulator = Emulator::start(options).await.unwrap();
        let rule = json!({"action": {"kind": "hang", "when": when}}).to_string();
        raw::control(emulator.addr(), "POST", "/_emulator/faults", &rule).await;
        let path = SHARD.replace("/p/", "/prj/");
        let payload = blobs(&["one", "two"]);
        let hung = async {
            while emulator.stats().hung == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            answer = framed(emulator.addr(), &path, "pub", &payload) => panic!("{answer:?}"),
            () = hung => {}
        }
        assert_eq!(emulator.count("prj", "t"), Ok(stored));
    }
}

#[tokio::test]
async fn a_topic_is_deleted_with_all_that_it_holds() {
    let rule = json!({"match": {"nth": 1}, "action": {"kind": "delay", "ms": 1}}).to_string();
    let (_, count, emulator) = struck(&rule, SHARD).await;
    assert_eq!(count, 2);
    emulator.delete_topic("prj", "t").unwrap();
    assert!(emulator.count("prj", "t").is_err());
    assert!(
        emulator
            .delete_topic("prj", "t")
            .unwrap_err()
            .starts_with("NoSuchTopic")
    );
    emulator.create_topic(&TopicSpec::blob("prj", "t", 2)).unwrap();
    assert_eq!(emulator.count("prj", "t"), Ok(0));
}

#[tokio::test]
async fn a_late_apply_comes_after_the_connection_is_gone() {
    let (answer, count, emulator) = struck(r#"{"action":{"kind":"late_apply","ms":50}}"#, SHARD).await;
    assert!(answer.is_none());
    assert_eq!(count, 0);
    assert_eq!(
        emulator
            .wait_for_records("prj", "t", 2, Duration::from_secs(10))
            .await,
        Ok(2)
    );
}

#[tokio::test]
async fn poison_is_refused_alone_or_with_its_whole_request() {
    let rule = r#"{"action":{"kind":"fail_records","contains":"poison","code":"MalformedRecord"}}"#;
    let (answer, count, _) = struck(rule, SHARD).await;
    assert_eq!((answer.unwrap().code().as_str(), count), ("MalformedRecord", 0));
    let (answer, count, _) = struck(rule, SHARDS).await;
    let body = answer.unwrap().body;
    assert_eq!(count, 1);
    // One failed, at index 1.
    assert!(body[12..].starts_with(&[8, 1, 0x12]), "{body:?}");
    assert!(body.windows(15).any(|window| window == b"MalformedRecord"));
}

#[tokio::test]
async fn broken_answers() {
    let (answer, count, _) = struck(r#"{"action":{"kind":"html"}}"#, SHARDS).await;
    let answer = answer.unwrap();
    assert_eq!(
        (answer.status, answer.header("content-type"), count),
        (502, Some("text/html"), 0)
    );

    let (answer, count, _) = struck(r#"{"action":{"kind":"wrong_json"}}"#, SHARDS).await;
    let answer = answer.unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    assert_eq!((answer.status, count), (200, 2));

    let (answer, count, _) = struck(r#"{"action":{"kind":"wrong_crc"}}"#, SHARDS).await;
    let body = answer.unwrap().body;
    assert!(body.starts_with(b"DHUB") && !body.starts_with(b"DHUB\x6c\x75\xb4\x6a"));
    assert_eq!(count, 2);

    let (answer, count, _) = struck(r#"{"action":{"kind":"truncated_body"}}"#, SHARDS).await;
    let answer = answer.unwrap();
    let announced: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert!(
        answer.body.len() < announced,
        "{} of {announced}",
        answer.body.len()
    );
    assert_eq!(count, 2);

    let (answer, count, _) = struck(r#"{"action":{"kind":"slow","bytes":3,"tick_ms":2}}"#, SHARDS).await;
    assert_eq!(answer.unwrap().body, b"DHUB\x6c\x75\xb4\x6a\0\0\0\x02\x08\0");
    assert_eq!(count, 2);
}

#[tokio::test]
async fn hanging_and_delays() {
    let create = vec![TopicSpec::blob("prj", "t", 1)];
    let options = Options {
        verify_signatures: false,
        create,
        ..Options::default()
    };
    let emulator = Emulator::start(options).await.unwrap();
    let shards = "/projects/prj/topics/t/shards";
    let add = |rule: &str| emulator.add_fault(serde_json::from_str::<Rule>(rule).unwrap());
    add(r#"{"match":{"call":"shards"},"count":1,"action":{"kind":"hang"}}"#);
    let hanging = call(emulator.addr(), "GET", shards, json!(null));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), hanging)
            .await
            .is_err()
    );
    add(r#"{"match":{"call":"list_shards"},"action":{"kind":"delay","ms":60,"when":"after"}}"#);
    let start = tokio::time::Instant::now();
    assert_eq!(
        call(emulator.addr(), "GET", shards, json!(null))
            .await
            .unwrap()
            .status,
        200
    );
    assert!(start.elapsed() >= Duration::from_millis(60));
    emulator.clear_faults();
    add(r#"{"for_ms":0,"action":{"kind":"drop"}}"#);
    assert!(call(emulator.addr(), "GET", shards, json!(null)).await.is_some());
}

//! Calls that the SDK's own test does not reach: limits, hostile bodies, throttling, null sinks, the view from the
//! same process.

use std::time::Duration;

use datahub_emulator::{Emulator, NullSink, Options, Payload, RateLimit, TopicSpec};
use serde_json::{Value, json};

use crate::raw::{self, blobs, call, framed};

const SHARDS: &str = "/projects/p-1/topics/t-1/shards";

async fn start(options: Options) -> Emulator {
    let create = vec![TopicSpec::blob("p-1", "t-1", 2)];
    Emulator::start(Options {
        verify_signatures: false,
        create,
        ..options
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_put_is_seen_from_the_same_process() {
    let emulator = start(Options::default()).await;
    let (path, put) = (format!("{SHARDS}/1"), blobs(&["a", "b", "c"]));
    let (waited, _) = tokio::join!(
        emulator.wait_for_records("p-1", "t-1", 3, Duration::from_secs(10)),
        framed(emulator.addr(), &path, "pub", &put),
    );
    assert_eq!(waited, Ok(3));
    assert_eq!(
        emulator
            .wait_for_records("p-1", "t-1", 4, Duration::from_millis(10))
            .await,
        Err(3)
    );
    let records: Vec<_> = emulator.records("P-1", "T-1").unwrap().collect();
    let texts: Vec<_> = records
        .iter()
        .map(|record| record.blob().unwrap().as_ref())
        .collect();
    assert_eq!(texts, [b"a", b"b", b"c"]);
    for (sequence, record) in (0..).zip(&records) {
        assert_eq!((record.shard, record.sequence), (1, sequence));
        assert_eq!(record.attribute("n"), Some(sequence.to_string().as_str()));
        assert!(record.arrival_us / 1000 == record.system_time_ms && record.arrival_us > 0);
    }
    assert_eq!(
        emulator.read("p-1", "t-1", 1, 2, 9).unwrap().unwrap()[0].data,
        Payload::Blob("c".into())
    );
    assert!(emulator.read("p-1", "t-1", 7, 0, 9).unwrap().is_none());
    assert!(emulator.records("p-1", "nothing").is_err());
    assert_eq!(emulator.stats().records, 3);
    emulator.stop().await;
}

#[tokio::test]
async fn shards_change_at_once_from_the_same_process() {
    let emulator = start(Options::default()).await;
    let too_young = json!({"Action": "split", "ShardId": "0"});
    assert_eq!(
        call(emulator.addr(), "POST", SHARDS, too_young)
            .await
            .unwrap()
            .code(),
        "LimitExceeded"
    );
    assert_eq!(emulator.split("p-1", "t-1", 0), Ok((2, 3)));
    assert_eq!(emulator.merge("p-1", "t-1", 3, 2), Ok(4));
    assert!(emulator.split("p-1", "t-1", 0).is_err());
    let split = raw::control(
        emulator.addr(),
        "POST",
        "/_emulator/topics/p-1/t-1/split",
        r#"{"shard":4}"#,
    )
    .await;
    assert_eq!(split["NewShards"][0]["ShardId"], "5");
    let active: Vec<_> = emulator
        .shards("p-1", "t-1")
        .unwrap()
        .iter()
        .map(|shard| shard.active)
        .collect();
    assert_eq!(active, [false, true, false, false, false, true, true]);
    let sealed = framed(emulator.addr(), &format!("{SHARDS}/0"), "pub", &blobs(&["x"]))
        .await
        .unwrap();
    assert_eq!(sealed.code(), "InvalidShardOperation");
}

#[tokio::test]
async fn limits_are_kept() {
    let options = Options {
        max_stored_bytes: 4_000_000,
        max_body_bytes: 3_000_000,
        ..Options::default()
    };
    let emulator = start(options).await;
    let path = format!("{SHARDS}/0");
    let put = |texts: Vec<String>| {
        let (addr, path) = (emulator.addr(), path.clone());
        async move {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            framed(addr, &path, "pub", &blobs(&texts))
                .await
                .map(|answer| (answer.status, answer.code()))
        }
    };
    assert_eq!(
        put(vec!["x".repeat(2_900_000)]).await.unwrap(),
        (200, String::new())
    );
    assert_eq!(
        put(vec!["x".repeat(2_900_000)]).await.unwrap(),
        (429, "LimitExceeded".into())
    );
    assert_eq!(
        put(vec!["x".repeat(3_000_001)]).await.unwrap(),
        (413, "InvalidParameter".into())
    );
    assert_eq!(
        put(vec![String::new(); 10_001]).await.unwrap(),
        (400, "InvalidParameter".into())
    );
    assert_eq!(put(vec![]).await.unwrap(), (400, "InvalidParameter".into()));
    assert_eq!(
        put(vec![String::new(); 10_000]).await.unwrap(),
        (200, String::new())
    );
}

#[tokio::test]
async fn a_shard_is_throttled_by_the_second() {
    let rate_limit = Some(RateLimit {
        requests_per_second: 2,
        bytes_per_second: 1_000_000,
    });
    let clock = datahub_emulator::Clock::Fixed(1_767_225_600_000);
    let emulator = start(Options {
        rate_limit,
        clock,
        ..Options::default()
    })
    .await;
    let mut codes = Vec::new();
    for shard in ["0", "0", "0", "1"] {
        let path = format!("{SHARDS}/{shard}");
        codes.push(
            framed(emulator.addr(), &path, "pub", &blobs(&["x"]))
                .await
                .unwrap()
                .code(),
        );
    }
    assert_eq!(codes, ["", "", "LimitExceeded", ""]);
}

#[tokio::test]
async fn records_show_only_after_the_lag() {
    let emulator = start(Options {
        visibility_lag: Duration::from_secs(3600),
        ..Options::default()
    })
    .await;
    let path = format!("{SHARDS}/0");
    framed(emulator.addr(), &path, "pub", &blobs(&["x"]))
        .await
        .unwrap();
    let cursor = json!({"Action": "cursor", "Type": "OLDEST"});
    let cursor = call(emulator.addr(), "POST", &path, cursor).await.unwrap().json()["Cursor"].clone();
    let get = json!({"Action": "sub", "Cursor": cursor, "Limit": 10});
    let answer = call(emulator.addr(), "POST", &path, get).await.unwrap().json();
    assert_eq!(
        (&answer["RecordCount"], &answer["NextCursor"]),
        (&json!(0), &cursor)
    );
    assert_eq!(emulator.count("p-1", "t-1"), Ok(1));
}

#[tokio::test]
async fn names_are_a_matter_of_strictness() {
    let options = Options {
        verify_signatures: false,
        strict_names: true,
        ..Options::default()
    };
    let emulator = Emulator::start(options.clone()).await.unwrap();
    let path = "/projects/realtime-pipeline";
    let answer = call(emulator.addr(), "POST", path, json!({"Comment": ""}))
        .await
        .unwrap();
    assert_eq!(answer.code(), "InvalidParameter");
    let answer = call(
        emulator.addr(),
        "GET",
        &format!("{path}/topics/cdc-events"),
        Value::Null,
    )
    .await
    .unwrap();
    assert_eq!(answer.code(), "InvalidParameter");
    let create = vec![TopicSpec::blob("realtime-pipeline", "cdc-events", 1)];
    assert!(Emulator::start(Options { create, ..options }).await.is_err());
}

#[tokio::test]
async fn null_sinks_count_and_keep_nothing() {
    for (null, counted) in [(NullSink::Skip, 0), (NullSink::Count, 2)] {
        let emulator = start(Options {
            null,
            ..Options::default()
        })
        .await;
        let answer = framed(
            emulator.addr(),
            &format!("{SHARDS}/0"),
            "pub",
            &blobs(&["a", "b"]),
        )
        .await
        .unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        let answer = framed(emulator.addr(), SHARDS, "pub", &blobs(&["a", "b"]))
            .await
            .unwrap();
        assert_eq!(answer.body, b"DHUB\x6c\x75\xb4\x6a\0\0\0\x02\x08\0");
        let stats = emulator.stats();
        assert_eq!((stats.puts_applied, stats.records), (2, 2 * counted));
        assert!(stats.raw_bytes > 0);
        assert_eq!(emulator.count("p-1", "t-1"), Ok(0));
    }
}

#[tokio::test]
async fn hostile_requests_are_refused_and_nothing_breaks() {
    let emulator = start(Options::default()).await;
    let addr = emulator.addr();
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"DHUB",
        &[0x0a; 40],
        b"{\"Action\":\"pub\"}",
    ];
    let paths = [
        "/",
        "//",
        "/projects/",
        "/projects/%zz/%",
        "/projects/p-1/topics/t-1/shards/-1",
        "/projects/p-1/topics/t-1/shards/99999999999999999999",
        "/projects/p-1/topics/t-1/shards",
        "/projects/p-1/topics/t-1",
        "/projects/p-1/topics/t-1/subscriptions/x/offsets",
        "/projects/p-1/topics/t-1/subscriptions/x",
        "/projects/p-1/topics/t-1/shards/0",
        "/_emulator/faults",
        "/_emulator/topics/p-1/t-1/records?shard=x",
        "/_emulator/topics/p-1/t-1/split",
        "/_emulator/x",
    ];
    for path in paths {
        for body in bodies {
            for content in [
                "application/json",
                "application/x-protobuf",
                "application/x-binary",
                "text/plain",
                "",
            ] {
                for action in ["pub", "sub", "commit"] {
                    for encoding in ["", "zstd"] {
                        let headers = [
                            ("Content-Type", content),
                            ("x-datahub-request-action", action),
                            ("Content-Encoding", encoding),
                            ("x-datahub-content-raw-size", "41"),
                        ];
                        let answer = raw::send(addr, "POST", path, &headers, body).await;
                        assert!(answer.is_some(), "{path} {body:?} {headers:?}");
                    }
                }
            }
        }
    }
    for bad in ["18446744073709551615", "-1", "x", "4194305"] {
        let headers = [
            ("Content-Type", "application/json"),
            ("Content-Encoding", "lz4"),
            ("x-datahub-content-raw-size", bad),
        ];
        assert!(
            raw::send(addr, "POST", SHARDS, &headers, b"{}")
                .await
                .unwrap()
                .status
                >= 400
        );
    }
    assert_eq!(emulator.count("p-1", "t-1"), Ok(0));
    assert_eq!(call(addr, "GET", SHARDS, Value::Null).await.unwrap().status, 200);
}

#[tokio::test]
async fn control_calls_show_what_is_there() {
    let emulator = start(Options::default()).await;
    let addr = emulator.addr();
    framed(addr, &format!("{SHARDS}/0"), "pub", &blobs(&["{\"a\":1}", "b"]))
        .await
        .unwrap();
    let records = raw::control(
        addr,
        "GET",
        "/_emulator/topics/p-1/t-1/records?shard=0&from=1",
        "",
    )
    .await;
    assert_eq!(records["records"][0]["text"], "b");
    assert_eq!(records["records"][0]["attributes"]["n"], "1");
    framed(addr, &format!("{SHARDS}/1"), "pub", &blobs(&["c"]))
        .await
        .unwrap();
    let repeated = raw::control(
        addr,
        "GET",
        "/_emulator/topics/p-1/t-1/duplicates?attribute=n",
        "",
    )
    .await;
    assert_eq!(
        repeated,
        json!({"distinct": 2, "repeated": 1, "without": 0, "examples": ["0"]})
    );
    let state = raw::control(addr, "GET", "/_emulator/state", "").await;
    assert_eq!(state["topics"][0]["shards"][0]["records"], 2);
    let stats = raw::control(addr, "GET", "/_emulator/stats", "").await;
    assert_eq!(
        (&stats["requests"]["put"], &stats["records"]),
        (&json!(2), &json!(3))
    );
    raw::control(addr, "POST", "/_emulator/reset", "").await;
    assert_eq!(emulator.count("p-1", "t-1"), Ok(0));
}

#[tokio::test]
async fn a_shifted_clock_refuses_and_tells_its_time() {
    let clock = datahub_emulator::Clock::Shifted(3600);
    let emulator = Emulator::start(Options {
        clock,
        ..Options::default()
    })
    .await
    .unwrap();
    let headers = [
        ("Authorization", "DATAHUB emulator-id:c2lnbmF0dXJl"),
        ("Date", "Sun, 22 Nov 2026 19:33:45 GMT"),
    ];
    let answer = raw::send(emulator.addr(), "GET", "/projects", &headers, b"")
        .await
        .unwrap();
    assert_eq!(answer.code(), "Unauthorized");
    assert!(
        answer.json()["ErrorMessage"]
            .as_str()
            .unwrap()
            .contains("time is too large")
    );
    assert!(answer.header("date").unwrap().ends_with("GMT"));
}

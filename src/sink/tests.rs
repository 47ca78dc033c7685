//! The client against a loopback server that answers exactly what a test tells it to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::wire::tests::{batch, unhex};
use super::*;
use crate::config::Secret;
use crate::record::{Probe, Shard, ShardState, TopicSchema};

/// One request as it arrived.
#[derive(Clone, Debug)]
struct Seen {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Which of the server's connections it came over.
    connection: usize,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server does with the next request.
enum Reply {
    /// Status line, extra headers, body; with the service's mark.
    Answer(u16, &'static str, Vec<u8>),
    /// These bytes, then the connection ends.
    Raw(&'static [u8]),
    /// Nothing, until the client gives up; `true` is sent if the client closes the connection.
    Silence(tokio::sync::oneshot::Sender<bool>),
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<(VecDeque<Reply>, Vec<Seen>)>>);

impl Server {
    fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().1.clone()
    }

    async fn serve(self, listener: TcpListener) {
        let mut connections = tokio::task::JoinSet::new();
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(self.clone().connection(stream, connection));
        }
    }

    async fn connection(self, mut stream: TcpStream, connection: usize) {
        while let Some(seen) = read_request(&mut stream, connection).await {
            let reply = {
                let mut state = self.0.lock().unwrap();
                state.1.push(seen);
                state.0.pop_front().expect("a request more than planned")
            };
            match reply {
                Reply::Answer(status, extra, body) => {
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nx-datahub-request-id: r1\r\n{extra}Content-Length: {}\r\n\r\n",
                        body.len()
                    );
                    stream.write_all(head.as_bytes()).await.unwrap();
                    stream.write_all(&body).await.unwrap();
                }
                Reply::Raw(bytes) => {
                    stream.write_all(bytes).await.unwrap();
                    return;
                }
                Reply::Silence(closed) => {
                    let end = stream.read(&mut [0; 1]).await;
                    closed.send(matches!(end, Ok(0) | Err(_))).unwrap();
                    return;
                }
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, connection: usize) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(n, v)| (n.to_lowercase(), v.trim().to_owned()))
        .collect();
    let mut seen = Seen {
        line,
        headers,
        body: Vec::new(),
        connection,
    };
    let length = seen.header("content-length").map_or(0, |l| l.parse().unwrap());
    seen.body = vec![0; length];
    stream.read_exact(&mut seen.body).await.unwrap();
    Some(seen)
}

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn config(endpoint: String) -> DatahubConfig {
    DatahubConfig {
        endpoint,
        access_id: Secret::new("AKID-TEST"),
        access_key: Secret::new("AKSECRET-TEST"),
        security_token: None,
        project: "proj".into(),
        topic: "topic".into(),
        group: "g".into(),
        compression: Compression::None,
        create_topic: false,
        shards: 3,
        lifecycle_days: 7,
        timeout: Duration::from_secs(5),
    }
}

/// A client and the server it talks to, which gives the replies in order.
async fn pair(replies: Vec<Reply>, change: impl FnOnce(&mut DatahubConfig)) -> (DataHub, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(format!("http://{}", listener.local_addr().unwrap()));
    change(&mut config);
    let server = Server::default();
    server.0.lock().unwrap().0.extend(replies);
    #[expect(clippy::disallowed_methods, reason = "a server that ends with its test")]
    tokio::spawn(server.clone().serve(listener));
    (DataHub::new(&config, clock).unwrap(), server)
}

fn ok(body: &[u8]) -> Reply {
    Reply::Answer(200, "", body.to_vec())
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(r#"{{"ErrorCode":"{code}","ErrorMessage":"{message}","RequestId":"r"}}"#);
    Reply::Answer(status, "Content-Type: application/json\r\n", body.into_bytes())
}

fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Acknowledged => "acknowledged",
        Outcome::Refused(failure) => failure.reason.code,
        Outcome::Unknown { reason } => reason.code,
        Outcome::Partial(_) => "partial",
    }
}

#[tokio::test]
async fn i11_a_put_is_signed_as_the_official_client_signs_it() {
    let (datahub, server) = pair(vec![ok(b"")], |_| ()).await;
    let batch = batch(&[b"row"], None);
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /projects/proj/topics/topic/shards/12 HTTP/1.1");
    assert_eq!(seen.header("date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
    assert_eq!(seen.header("x-datahub-request-action"), Some("pub"));
    assert_eq!(seen.header("accept-encoding"), Some(""));
    assert_eq!(seen.header("content-encoding"), None);
    let raw = wire::put_body(&batch, "g", Addressing::ByShard).unwrap();
    assert_eq!(seen.body, raw);
    let signed = sign::string_to_sign(
        "POST",
        seen.header("content-type").unwrap(),
        seen.header("date").unwrap(),
        seen.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())),
        "/projects/proj/topics/topic/shards/12",
    );
    let expected = sign::authorization("AKID-TEST", "AKSECRET-TEST", &signed);
    assert_eq!(seen.header("authorization"), Some(expected.as_str()));
}

#[tokio::test]
async fn i11_a_listing_carries_the_recorded_signature() {
    let (datahub, server) = pair(vec![ok(br#"{"Shards":[]}"#)], |c| c.topic = "tuple_t".into()).await;
    assert_eq!(datahub.shards().await, Ok(vec![]));
    let seen = &server.seen()[0];
    let recorded = "DATAHUB AKID-TEST:aWG0Jw3zvZkwDP7qxB3K5ACYJeE=";
    assert_eq!(seen.header("authorization"), Some(recorded));
}

#[tokio::test]
async fn a_large_batch_is_compressed_and_its_raw_size_signed() {
    let (datahub, server) = pair(vec![ok(b"")], |c| {
        c.compression = Compression::Lz4;
        c.security_token = Some(Secret::new("sts"));
    })
    .await;
    let payload = b"one row looks like the next; ".repeat(20_000);
    let batch = batch(&[&payload], Some("mark"));
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    let seen = &server.seen()[0];
    let raw = wire::put_body(&batch, "g", Addressing::ByShard).unwrap();
    assert_eq!(seen.header("content-encoding"), Some("lz4"));
    assert_eq!(seen.header("x-datahub-security-token"), Some("sts"));
    let size: usize = seen
        .header("x-datahub-content-raw-size")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(lz4_flex::block::decompress(&seen.body, size).unwrap(), raw);
}

#[tokio::test]
async fn i10_each_kind_of_answer_to_a_put_has_its_outcome() {
    let html = b"<html>502</html>".to_vec();
    let cases = vec![
        (ok(b""), "acknowledged"),
        // The answer is lost: the connection ends before, in the middle of, or after the head.
        (Reply::Raw(b""), "datahub_connection_lost"),
        (Reply::Raw(b"HTTP/1.1 20"), "datahub_connection_lost"),
        (
            Reply::Raw(b"HTTP/1.1 200 OK\r\nx-datahub-request-id: r\r\nContent-Length: 9\r\n\r\nabc"),
            "datahub_connection_lost",
        ),
        (Reply::Raw(b"SSH-2.0-x\r\n\r\n"), "datahub_connection_lost"),
        (
            Reply::Answer(502, "Content-Type: text/html\r\n", html),
            "datahub_proxy_error",
        ),
        (error(429, "LimitExceeded", "too fast"), "datahub_limit_exceeded"),
        (
            Reply::Answer(400, "", b"{\"ErrorCode\":".to_vec()),
            "datahub_proxy_error",
        ),
        (
            error(500, "InternalServerError", "oops"),
            "datahub_internal_error",
        ),
        (
            error(400, "InvalidShardOperation", "sealed"),
            "datahub_shard_sealed",
        ),
        (
            error(400, "MalformedRecord", "bad [v]"),
            "datahub_malformed_record",
        ),
        // A login page: success, but not the service's.
        (
            Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            "datahub_foreign_answer",
        ),
        (
            Reply::Answer(302, "Location: http://127.0.0.1:1/\r\n", vec![]),
            "datahub_redirected",
        ),
        (ok(b"DHUB but not really"), "datahub_unreadable_answer"),
    ];
    for (reply, expected) in cases {
        let (datahub, server) = pair(vec![reply], |_| ()).await;
        let outcome = datahub.put(&batch(&[b"a"], None)).await;
        assert_eq!(code(&outcome), expected);
        assert_eq!(server.seen().len(), 1, "never sent twice: {expected}");
        let unknown = [
            "datahub_connection_lost",
            "datahub_proxy_error",
            "datahub_internal_error",
            "datahub_foreign_answer",
            "datahub_redirected",
            "datahub_unreadable_answer",
        ];
        let is_unknown = matches!(outcome, Outcome::Unknown { .. });
        assert_eq!(is_unknown, unknown.contains(&expected), "{expected}");
    }
}

#[tokio::test]
async fn i10_a_timeout_is_unknown_and_closes_the_connection() {
    let (closed, is_closed) = tokio::sync::oneshot::channel();
    let (datahub, server) = pair(vec![ok(b""), Reply::Silence(closed), ok(b"")], |c| {
        c.timeout = Duration::from_millis(300);
    })
    .await;
    let batch = batch(&[b"a"], None);
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    let lost = datahub.put(&batch).await;
    assert!(matches!(lost, Outcome::Unknown { .. }));
    assert_eq!(code(&lost), "datahub_timeout");
    assert!(is_closed.await.unwrap(), "the client left the connection open");
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    let connections: Vec<_> = server.seen().iter().map(|s| s.connection).collect();
    assert_eq!(connections, [0, 0, 1], "kept alive, then replaced");
}

#[tokio::test]
async fn i10_what_was_never_sent_is_refused() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    for endpoint in [
        format!("http://127.0.0.1:{port}"),
        "http://no-such-host.invalid".into(),
    ] {
        let datahub = DataHub::new(&config(endpoint), clock).unwrap();
        let Outcome::Refused(failure) = datahub.put(&batch(&[b"a"], None)).await else {
            panic!("nothing was sent");
        };
        assert_eq!(failure.reason.code, "datahub_unreachable");
        assert!(matches!(failure.disposition, Disposition::Retry { .. }));
    }
}

#[tokio::test]
async fn an_old_service_gets_the_older_form_from_then_on() {
    let unreadable = || error(400, "InvalidParameter", "Parse body failed, Offset: 0");
    let all_ok = unhex("444855426c75b46a000000020800");
    let (datahub, server) = pair(vec![unreadable(), ok(&all_ok), ok(&all_ok)], |_| ()).await;
    let batch = batch(&[b"a", b"b"], None);
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    let lines: Vec<_> = server.seen().iter().map(|s| s.line.clone()).collect();
    let many = "POST /projects/proj/topics/topic/shards HTTP/1.1";
    assert_eq!(lines[1..], [many, many]);
}

#[tokio::test]
async fn automatic_compression_yields_to_the_first_refusal() {
    let (datahub, server) = pair(
        vec![error(400, "InvalidParameter", "encoding"), ok(b""), ok(b"")],
        |c| c.compression = Compression::Auto,
    )
    .await;
    let payload = b"abcdefgh".repeat(100);
    let batch = batch(&[&payload], None);
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    let seen = server.seen();
    let packed: Vec<_> = seen
        .iter()
        .map(|s| s.header("content-encoding").is_some())
        .collect();
    assert_eq!(packed, [true, false, false]);
    assert!(seen.iter().all(|s| s.line.contains("/shards/12 ")));
}

#[tokio::test]
async fn a_put_that_nobody_can_read_is_a_refusal() {
    let unreadable = || error(400, "InvalidParameter", "Parse body failed, Offset: 0");
    let (datahub, _server) = pair(vec![unreadable(), unreadable()], |_| ()).await;
    let outcome = datahub.put(&batch(&[b"a"], None)).await;
    assert_eq!(code(&outcome), "datahub_invalid_parameter");
}

#[tokio::test]
async fn records_that_were_refused_are_told_one_by_one() {
    // Of four records, 0 and 3 failed.
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/vectors/frames.json")).unwrap();
    let answers = vectors["responses"].as_array().unwrap();
    let two_failed = answers.iter().find(|v| v["name"] == "pb_put_two_failed").unwrap();
    let two_failed = unhex(two_failed["frame_hex"].as_str().unwrap());
    let (datahub, _server) = pair(vec![ok(&two_failed)], |_| ()).await;
    datahub.form.lock().unwrap().addressing = Addressing::PerRecord;
    let four = batch(&[b"a", b"b", b"c", b"d"], None);
    let Outcome::Partial(failed) = datahub.put(&four).await else {
        panic!("two records failed");
    };
    let failed: Vec<_> = failed.iter().map(|(i, f)| (*i, f.reason.code)).collect();
    assert_eq!(
        failed,
        [(0, "datahub_shard_sealed"), (3, "datahub_limit_exceeded")]
    );
}

#[tokio::test]
async fn an_oversized_record_never_reaches_the_service() {
    let (datahub, server) = pair(vec![], |_| ()).await;
    let large = vec![1; 5 << 20];
    let outcome = datahub.put(&batch(&[b"a".as_slice(), &large], None)).await;
    assert_eq!(code(&outcome), "record_too_large");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn refused_keys_are_read_from_their_files_again_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "old\n").unwrap();
    let unauthorized = || error(403, "Unauthorized", "no");
    let replies = vec![
        unauthorized(),
        ok(b""),
        unauthorized(),
        unauthorized(),
        unauthorized(),
    ];
    let (datahub, server) = pair(replies, |c| {
        c.access_key = Secret::from_file(file.clone()).unwrap();
    })
    .await;
    let batch = batch(&[b"a"], None);
    std::fs::write(&file, "new\n").unwrap();
    assert_eq!(datahub.put(&batch).await, Outcome::Acknowledged);
    let keys: Vec<_> = server.seen().iter().map(|s| s.headers.clone()).collect();
    assert_ne!(keys[0], keys[1]);
    // Nothing newer: reported at once. Something newer that is refused as well: after one more try.
    assert_eq!(code(&datahub.put(&batch).await), "datahub_unauthorized");
    assert_eq!(server.seen().len(), 3);
    std::fs::write(&file, "newer").unwrap();
    assert_eq!(code(&datahub.put(&batch).await), "datahub_unauthorized");
    assert_eq!(server.seen().len(), 5);
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    let body = br#"{"ErrorCode":"Unauthorized","ErrorMessage":"no"}"#.to_vec();
    let date = "Date: Thu, 01 Jan 2026 02:00:00 GMT\r\n";
    let (datahub, _server) = pair(vec![Reply::Answer(403, date, body)], |_| ()).await;
    let failure = datahub.topic().await.unwrap_err();
    assert_eq!(failure.reason.code, "datahub_clock_skew");
    assert!(failure.reason.message.contains("7200 s behind"), "{failure}");
}

#[tokio::test]
async fn topics_are_blob_or_tuple() {
    let schema = r#"{"fields":[{"name":"id","type":"bigint","notnull":true}]}"#;
    let tuple = serde_json::json!({"RecordType": "TUPLE", "RecordSchema": schema}).to_string();
    let replies = vec![
        ok(br#"{"RecordType":"BLOB","ShardCount":3}"#),
        ok(tuple.as_bytes()),
        ok(b"[]"),
        error(404, "NoSuchTopic", "gone"),
    ];
    let (datahub, _server) = pair(replies, |_| ()).await;
    assert_eq!(datahub.topic().await, Ok(TopicSchema::Blob));
    let fields = vec![("id".to_owned(), "BIGINT".to_owned())];
    assert_eq!(datahub.topic().await, Ok(TopicSchema::Tuple(fields)));
    let odd = datahub.topic().await.unwrap_err();
    assert_eq!(odd.reason.code, "datahub_unreadable_answer");
    let missing = datahub.topic().await.unwrap_err();
    assert_eq!(missing.reason.code, outcome::NO_SUCH_TOPIC);
    assert!(matches!(missing.disposition, Disposition::Halt { .. }));
}

#[tokio::test]
async fn creating_a_topic_that_exists_is_a_success() {
    let replies = vec![
        Reply::Answer(201, "", vec![]),
        error(409, "TopicAlreadyExist", "there"),
        error(404, "NoSuchProject", "gone"),
    ];
    let (datahub, server) = pair(replies, |_| ()).await;
    assert_eq!(datahub.create_topic().await, Ok(()));
    assert_eq!(datahub.create_topic().await, Ok(()));
    let failure = datahub.create_topic().await.unwrap_err();
    assert_eq!(failure.reason.code, "datahub_no_such_project");
    let body: serde_json::Value = serde_json::from_slice(&server.seen()[0].body).unwrap();
    assert_eq!(
        (&body["ShardCount"], &body["RecordType"]),
        (&3.into(), &"BLOB".into())
    );
}

#[tokio::test]
async fn shards_have_ranges_states_and_parents() {
    let body = br#"{"Shards":[
        {"ShardId":"0","State":"CLOSED","BeginHashKey":"00","EndHashKey":"7fffffffffffffff7fffffffffffffff"},
        {"ShardId":"2","State":"ACTIVE","BeginHashKey":"0","EndHashKey":"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
         "ParentShardIds":["0"],"LeftShardId":"4294967295"}],"Protocol":"http1.1","Interval":300000}"#;
    let bad = br#"{"Shards":[{"ShardId":"../0","State":"ACTIVE","BeginHashKey":"0","EndHashKey":"1"}]}"#;
    let (datahub, _server) = pair(vec![ok(body), ok(bad)], |_| ()).await;
    let shard = |id: &str, state, end, parents: &[&str]| Shard {
        id: id.into(),
        state,
        begin: 0,
        end,
        parents: parents.iter().map(|p| ShardId::from(*p)).collect(),
    };
    let half = 0x7fff_ffff_ffff_ffff_7fff_ffff_ffff_ffff;
    assert_eq!(
        datahub.shards().await,
        Ok(vec![
            shard("0", ShardState::Closed, half, &[]),
            shard("2", ShardState::Active, u128::MAX, &["0"]),
        ])
    );
    assert!(datahub.shards().await.is_err());
}

/// A page as the service frames it: sequence numbers, groups and ids.
fn page(records: &[(u64, &str, &str)]) -> Vec<u8> {
    let field =
        |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let pair = |key: &str, value: &str| {
        field(
            1,
            &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
        )
    };
    let mut message = field(1, b"next");
    for (sequence, group, id) in records {
        let attributes = [pair("cdc.group", group), pair("cdc.id", id)].concat();
        let sequence = [6 << 3, u8::try_from(*sequence).unwrap()];
        message.extend(field(4, &[&sequence, &*field(8, &attributes)].concat()));
    }
    let mut framed = b"DHUB".to_vec();
    framed.extend(crc32c::crc32c(&message).to_be_bytes());
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    framed
}

fn cursor(sequence: i64) -> Reply {
    ok(format!(r#"{{"Cursor":"c","RecordTime":0,"Sequence":{sequence}}}"#).as_bytes())
}

fn id(row: u64) -> String {
    format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:7:{row}")
}

#[tokio::test]
async fn a_probe_finds_what_the_shard_holds() {
    let (older, first, second) = ("x:1:0".to_owned(), id(0), id(1));
    let two = batch(&[b"a", b"b"], None);
    let cases: Vec<(&str, Vec<Reply>, Result<usize, &str>)> = vec![
        ("no records at all", vec![cursor(-1)], Ok(0)),
        (
            "an empty shard that counts as 0",
            vec![cursor(0), cursor(0), ok(&page(&[]))],
            Ok(0),
        ),
        (
            "all",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &first), (9, "g", &second)])),
            ],
            Ok(2),
        ),
        (
            "the first, in two pages",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older)])),
                ok(&page(&[(9, "g", &first)])),
            ],
            Ok(1),
        ),
        (
            "none, behind an older one of ours",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older), (9, "h", "y")])),
            ],
            Ok(0),
        ),
        (
            "all, before two foreign ones",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "h", &first), (9, "h", "y")])),
                cursor(0),
                ok(&page(&[(6, "g", &first), (7, "g", &second)])),
            ],
            Ok(2),
        ),
        (
            "records whose time is over",
            vec![
                cursor(9),
                error(400, "SeekOutOfRange", "gone"),
                cursor(9),
                ok(&page(&[(9, "h", &older)])),
            ],
            Ok(0),
        ),
        (
            "a sealed shard at its end",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &first)])),
                error(400, "InvalidShardOperation", "end"),
            ],
            Ok(1),
        ),
        (
            "a hole",
            vec![
                cursor(9),
                cursor(8),
                ok(&page(&[(8, "g", &older), (9, "g", &second)])),
            ],
            Err("datahub_probe_contradiction"),
        ),
        ("no answer", vec![Reply::Raw(b"")], Err("datahub_connection_lost")),
    ];
    for (name, replies, expected) in cases {
        let (datahub, server) = pair(replies, |_| ()).await;
        let found = match datahub.probe(&two).await {
            Probe::Holds(count) => Ok(count),
            Probe::Failed(failure) => Err(failure.reason.code),
        };
        assert_eq!(found, expected, "{name}");
        assert!(server.0.lock().unwrap().0.is_empty(), "{name}: replies left");
    }
}

#[tokio::test]
async fn the_tail_is_the_newest_records_of_all_writers() {
    let records = page(&[(7, "h", "x"), (8, "g", "y"), (9, "g", "z")]);
    let (datahub, server) = pair(vec![cursor(9), cursor(7), ok(&records)], |_| ()).await;
    let tail = datahub.tail(&"12".into(), 3).await.unwrap();
    let ids: Vec<_> = tail
        .iter()
        .map(|r| (r.sequence, &*r.attributes["cdc.id"]))
        .collect();
    assert_eq!(ids, [(7, "x"), (8, "y"), (9, "z")]);
    let seen = server.seen();
    let asked: serde_json::Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!(asked["Sequence"], 7);
    assert_eq!(seen[2].body, wire::get_body("c", 3));
}

#[test]
fn what_cannot_be_asked_is_refused_at_once() {
    type Change = fn(&mut DatahubConfig);
    let cases: [(Change, &str); 4] = [
        (
            |c| c.endpoint = "dh-cn-hangzhou".into(),
            "datahub_invalid_endpoint",
        ),
        (|c| c.endpoint = "ftp://h".into(), "datahub_invalid_endpoint"),
        (|c| c.topic = "a/b".into(), "datahub_invalid_name"),
        (|c| c.project = "..".into(), "datahub_invalid_name"),
    ];
    for (change, expected) in cases {
        let mut config = config("http://127.0.0.1:1".into());
        change(&mut config);
        let failure = DataHub::new(&config, clock).err().unwrap();
        assert_eq!(failure.reason.code, expected);
    }
    // The guide's own names hold a hyphen: the service decides.
    let mut config = config("http://127.0.0.1:1/".into());
    config.project = "realtime-pipeline".into();
    assert!(DataHub::new(&config, clock).is_ok());
}

//! The client against a loopback server: puts, and what may go wrong with one.

mod loopback;
mod reads;

use std::time::Duration;

use loopback::{Reply, clock, code, config, error, ok, pair};
use tokio::net::TcpListener;

use super::wire::tests::{WRITER, batch, unhex};
use super::*;
use crate::config::Secret;

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
    let raw = wire::put_body(Vec::new(), &batch, WRITER, Addressing::ByShard).unwrap();
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
    let raw = wire::put_body(Vec::new(), &batch, WRITER, Addressing::ByShard).unwrap();
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
        (Reply::Reset, "datahub_connection_lost"),
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
        (
            ok(br#"{"ErrorCode":"MalformedRecord","ErrorMessage":"bad"}"#),
            "datahub_unreadable_answer",
        ),
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
    let datahub = DataHub::new(&config(format!("http://127.0.0.1:{port}")), clock).unwrap();
    let Outcome::Refused(failure) = datahub.put(&batch(&[b"a"], None)).await else {
        panic!("nothing was sent");
    };
    assert_eq!(failure.reason.code, "datahub_unreachable");
    assert!(matches!(failure.disposition, Disposition::Retry { .. }));
}

#[tokio::test]
async fn i10_a_failed_tls_handshake_means_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let datahub = DataHub::new(&config(endpoint), clock).unwrap();
    let batch = batch(&[b"a"], None);
    let (outcome, ()) = tokio::join!(datahub.put(&batch), async {
        drop(listener.accept().await.unwrap());
    });
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert_eq!(code(&outcome), "datahub_unreachable");
}

#[tokio::test]
async fn an_old_service_gets_the_older_form_from_then_on() {
    let unreadable = || error(500, "InternalServerError", "Parse body failed, Offset: 0");
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
    assert_eq!(code(&outcome), "datahub_unreadable_body");
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
        c.access_key = Secret::from_file(&file).unwrap();
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

#[test]
fn what_cannot_be_asked_is_refused_at_once() {
    type Change = fn(&mut DatahubConfig);
    let cases: [(Change, &str); 6] = [
        (
            |c| c.endpoint = "dh-cn-hangzhou".into(),
            "datahub_invalid_endpoint",
        ),
        (|c| c.endpoint = "ftp://h".into(), "datahub_invalid_endpoint"),
        (|c| c.endpoint = "http://u:p@h".into(), "datahub_invalid_endpoint"),
        (|c| c.access_id = Secret::new("a\nb"), "datahub_invalid_key"),
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

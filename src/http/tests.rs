use super::status::{Build, Components, DatahubComponent, Lag};
use super::*;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn status(ready: bool) -> Status {
    Status {
        verdict: Verdict {
            status: if ready { State::Ok } else { State::Halted },
            live: true,
            ready,
            reason_code: Cow::Borrowed(if ready { "ok" } else { "no_such_topic" }),
            summary: String::from("what is the case"),
            remedy: (!ready).then_some(Cow::Borrowed("create the topic")),
        },
        since: String::from("2026-01-31T08:00:00Z"),
        components: Components {
            source: status::Component::default(),
            schema: status::Component::default(),
            datahub: DatahubComponent::default(),
            checkpoint: status::Component::default(),
            dead_letters: status::DeadLettersComponent::default(),
            lease: status::Component::default(),
        },
        position: None,
        lag: Lag::default(),
        build: Build::THIS,
    }
}

struct Server {
    address: SocketAddr,
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
    task: tokio::task::JoinSet<io::Result<()>>,
}

async fn server() -> Server {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let ready = Arc::new(AtomicBool::new(true));
    let known = Arc::clone(&ready);
    let stop = CancellationToken::new();
    let mut task = tokio::task::JoinSet::new();
    let metrics = Metrics::unregistered();
    task.spawn(serve(
        listener,
        move || status(known.load(Ordering::Relaxed)),
        metrics,
        stop.clone(),
    ));
    Server {
        address,
        ready,
        stop,
        task,
    }
}

impl Server {
    /// Status code, head and body of one answer.
    async fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            head.to_lowercase(),
            body.to_owned(),
        )
    }

    async fn code(&self, path: &str) -> u16 {
        self.ask("GET", path).await.0
    }
}

#[tokio::test]
async fn probes_follow_the_verdict() {
    let server = server().await;
    for path in ["/health", "/health?strict=1", "/health/live", "/health/ready"] {
        assert_eq!(server.code(path).await, 200, "{path}");
    }
    server.ready.store(false, Ordering::Relaxed);
    for (path, code) in [
        ("/health", 200),
        ("/health?strict=0", 200),
        ("/health?strict=1", 503),
        ("/health?x=1&strict=1", 503),
        ("/health/live", 200),
        ("/health/ready", 503),
    ] {
        assert_eq!(server.code(path).await, code, "{path}");
    }
    let (_, head, body) = server.ask("GET", "/health/ready").await;
    assert!(head.contains("content-type: application/json") && head.contains("cache-control: no-store"));
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["reason_code"], "no_such_topic");
    assert_eq!(body["remedy"], "create the topic");
    let (_, _, body) = server.ask("GET", "/health/live").await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["reason_code"],
        "ok"
    );
}

#[tokio::test]
async fn health_shows_every_part() {
    let server = server().await;
    let (_, _, body) = server.ask("GET", "/health").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    for key in [
        "status",
        "reason_code",
        "since",
        "summary",
        "remedy",
        "components",
        "position",
        "lag",
        "build",
    ] {
        assert!(body.get(key).is_some(), "{key} in {body}");
    }
    for part in ["source", "schema", "datahub", "checkpoint"] {
        assert!(body["components"][part]["state"].is_string(), "{part} in {body}");
    }
    assert!(body["components"]["datahub"]["shards"].is_array());
    assert_eq!(body["build"]["version"], crate::telemetry::VERSION);
}

#[tokio::test]
async fn other_requests_get_proper_answers() {
    let server = server().await;
    let (code, head, body) = server.ask("HEAD", "/health/ready").await;
    assert_eq!((code, body.as_str()), (200, ""));
    assert!(head.contains("content-length"));
    let (code, head, body) = server.ask("GET", "/nothing").await;
    assert_eq!(code, 404);
    assert!(head.contains("application/json") && body.contains("error"));
    assert_eq!(server.ask("POST", "/health").await.0, 405);
    let (_, head, body) = server.ask("GET", "/").await;
    assert!(head.contains("text/plain"));
    for path in ["/health", "/health/live", "/health/ready", "/metrics"] {
        assert!(body.contains(path), "{body}");
    }
    let (_, head, body) = server.ask("GET", "/metrics").await;
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE process_resident_memory_bytes gauge"));
}

#[tokio::test]
async fn i13_answers_come_while_others_are_stuck() {
    let server = server().await;
    // Clients that never finish their request hold a connection each, and nothing else.
    let mut stuck = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
        stuck.push(stream);
    }
    let answer = tokio::time::timeout(Duration::from_secs(5), server.code("/health/live")).await;
    assert_eq!(answer, Ok(200));
}

#[tokio::test]
async fn a_stop_ends_the_server_even_with_a_stuck_client() {
    let mut server = server().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    assert_eq!(server.code("/health").await, 200);
    server.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), server.task.join_next()).await;
    assert!(matches!(ended, Ok(Some(Ok(Ok(()))))), "{ended:?}");
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_remedy() {
    let server = server().await;
    let failure = bind(server.address).await.unwrap_err();
    assert_eq!(failure.reason.code, "port_in_use");
    assert!(failure.reason.message.contains(&server.address.to_string()));
    assert!(
        matches!(&failure.disposition, crate::retry::Disposition::Halt { remedy } if remedy.contains("MONITORING_PORT"))
    );
    let failure = bind("203.0.113.1:1".parse().unwrap()).await.unwrap_err();
    assert!(
        matches!(failure.reason.code, "listen_failed" | "port_not_allowed"),
        "{failure}"
    );
}

#[tokio::test]
async fn forgotten_connections_are_few_and_end() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let app = router(|| status(true), Metrics::unregistered());
    let limited = Limited::new(listener, 2, Duration::from_millis(200));
    tasks.spawn(axum::serve(limited, app).into_future());
    let mut forgotten = Vec::new();
    for _ in 0..4 {
        forgotten.push(TcpStream::connect(address).await.unwrap());
    }
    // All places are taken twice over; they come free when their owners have said nothing for long enough.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
    assert!(
        matches!(read, Ok(Ok(_))) && answer.starts_with("HTTP/1.1 200"),
        "{read:?} {answer}"
    );
    for mut stream in forgotten {
        let end = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 1])).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "{end:?}");
    }
}

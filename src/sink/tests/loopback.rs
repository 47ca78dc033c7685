//! A server that answers exactly what a test tells it to, and a client that talks to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::config::{Compression, DatahubConfig, Secret};
use crate::record::Outcome;
use crate::sink::DataHub;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// Which of the server's connections it came over.
    pub(super) connection: usize,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server does with the next request.
pub(super) enum Reply {
    /// Status line, extra headers, body; with the service's mark.
    Answer(u16, &'static str, Vec<u8>),
    /// These bytes, then the connection ends.
    Raw(&'static [u8]),
    /// A TCP reset.
    Reset,
    /// Nothing, until the client gives up; `true` is sent if the client closes the connection.
    Silence(tokio::sync::oneshot::Sender<bool>),
}

#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<(VecDeque<Reply>, Vec<Seen>)>>);

impl Server {
    /// How many planned replies nobody has asked for.
    pub(super) fn left(&self) -> usize {
        self.0.lock().unwrap().0.len()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
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
                    let answer = [head.as_bytes(), &body].concat();
                    if stream.write_all(&answer).await.is_err() {
                        return; // more than the client wants
                    }
                }
                Reply::Raw(bytes) => {
                    stream.write_all(bytes).await.unwrap();
                    return;
                }
                Reply::Reset => {
                    stream.set_zero_linger().unwrap();
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

pub(super) async fn read_request(stream: &mut TcpStream, connection: usize) -> Option<Seen> {
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

pub(super) fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

pub(super) fn config(endpoint: String) -> DatahubConfig {
    DatahubConfig {
        resume_from_topic: true,
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
pub(super) async fn pair(replies: Vec<Reply>, change: impl FnOnce(&mut DatahubConfig)) -> (DataHub, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config(format!("http://{}", listener.local_addr().unwrap()));
    change(&mut config);
    let server = Server::default();
    server.0.lock().unwrap().0.extend(replies);
    #[expect(clippy::disallowed_methods, reason = "a server that ends with its test")]
    tokio::spawn(server.clone().serve(listener));
    (DataHub::new(&config, clock).unwrap(), server)
}

pub(super) fn ok(body: &[u8]) -> Reply {
    Reply::Answer(200, "", body.to_vec())
}

pub(super) fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(r#"{{"ErrorCode":"{code}","ErrorMessage":"{message}","RequestId":"r"}}"#);
    Reply::Answer(status, "Content-Type: application/json\r\n", body.into_bytes())
}

pub(super) fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Acknowledged => "acknowledged",
        Outcome::Refused(failure) => failure.reason.code,
        Outcome::Unknown { reason } => reason.code,
        Outcome::Partial(_) => "partial",
    }
}

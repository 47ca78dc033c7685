//! Requests and answers as bytes on a socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer as it arrived.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The error code, empty for a good answer.
    pub(crate) fn code(&self) -> String {
        if self.status < 400 {
            return String::new();
        }
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()["ErrorCode"]
            .as_str()
            .expect("errors carry a code")
            .to_owned()
    }
}

/// Sends one request on a connection of its own; `None` if it was closed without an answer.
pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut stream = TcpStream::connect(addr).await.expect("the emulator listens");
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n", body.len());
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the emulator reads");
    stream.write_all(body).await.expect("the emulator reads");
    let mut answer = Vec::new();
    // A reset instead of an end is a dropped connection as well.
    drop(stream.read_to_end(&mut answer).await);
    parse(&answer)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Some(Answer {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    })
}

/// A control call.
pub(crate) async fn control(addr: SocketAddr, method: &str, path: &str, body: &str) -> serde_json::Value {
    let answer = send(addr, method, path, &[], body.as_bytes())
        .await
        .expect("control calls are answered");
    assert!(answer.status < 400, "{method} {path}: {answer:?}");
    answer.json()
}

/// A call without signature, in JSON.
pub(crate) async fn call(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: serde_json::Value,
) -> Option<Answer> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    send(
        addr,
        method,
        path,
        &[("Content-Type", "application/json")],
        body.as_bytes(),
    )
    .await
}

/// A protobuf put or get without signature.
pub(crate) async fn framed(addr: SocketAddr, path: &str, action: &str, payload: &[u8]) -> Option<Answer> {
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("x-datahub-request-action", action),
    ];
    send(addr, "POST", path, &headers, &frame(payload)).await
}

/// A frame whose checksum was not computed.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = b"DHUB\0\0\0\0".to_vec();
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame
}

/// The payload of a put of blobs, each with the attribute `n` = its index.
pub(crate) fn blobs(texts: &[&str]) -> Vec<u8> {
    let field = |tag: u8, bytes: Vec<u8>| {
        let mut out = vec![tag];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(bytes);
        out
    };
    let record = |(n, text): (usize, &&str)| {
        let pair = [
            field(0x0a, b"n".to_vec()),
            field(0x12, n.to_string().into_bytes()),
        ]
        .concat();
        let attributes = field(0x42, field(0x0a, pair));
        let data = field(0x4a, field(0x0a, field(0x0a, text.as_bytes().to_vec())));
        field(0x0a, [attributes, data].concat())
    };
    texts.iter().enumerate().flat_map(record).collect()
}

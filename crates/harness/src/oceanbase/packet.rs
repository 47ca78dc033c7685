//! Packets of the MySQL protocol, and the few that a server sends: greeting, OK, error, result set.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest payload of one packet; a longer one goes on in the next.
const MOST: usize = 0xff_ffff;

const PLUGIN: &[u8] = b"mysql_native_password";

/// Capability flag: a result set ends with an OK packet.
pub(super) const DEPRECATE_EOF: u32 = 0x0100_0000;

/// What the binlog instance offers: LONG_PASSWORD, NO_SCHEMA, IGNORE_SPACE, PROTOCOL_41, INTERACTIVE, RESERVED,
/// SECURE_CONNECTION, PLUGIN_AUTH, and nothing else.
pub(super) const OF_INSTANCE: u32 = 0x1 | 0x10 | 0x100 | 0x200 | 0x400 | 0x4000 | 0x8000 | 0x8_0000;

/// What the proxy offers: everything of a 5.7 server but TLS and compression.
pub(super) const OF_PROXY: u32 = 0x3f_f7df | DEPRECATE_EOF;

/// How fast bytes leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dribble {
    /// So many bytes at once.
    pub(super) bytes: usize,
    /// Then this pause.
    pub(super) pause: Duration,
}

/// A connection that speaks in packets.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    sequence: u8,
    pub(super) capabilities: u32,
}

/// What a client says to log in.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) capabilities: u32,
    pub(super) plugin: Vec<u8>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Wire {
        Wire {
            stream,
            sequence: 0,
            capabilities: 0,
        }
    }

    /// The next command: the sequence of packets starts anew with it. `None` where the client is gone.
    pub(super) async fn command(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.sequence = 0;
        match self.read().await {
            Ok(payload) => Ok(Some(payload)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut payload = Vec::new();
        loop {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head).await?;
            let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
            self.sequence = head[3].wrapping_add(1);
            let start = payload.len();
            payload.resize(start + length, 0);
            self.stream.read_exact(&mut payload[start..]).await?;
            if length < MOST {
                return Ok(payload);
            }
        }
    }

    /// Puts a payload behind `out`, as the packets that it needs.
    pub(super) fn frame(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let mut rest = payload;
        loop {
            let (now, later) = rest.split_at(rest.len().min(MOST));
            out.extend_from_slice(&(now.len() as u32).to_le_bytes()[..3]);
            out.push(self.sequence);
            out.extend_from_slice(now);
            self.sequence = self.sequence.wrapping_add(1);
            rest = later;
            if now.len() < MOST {
                return;
            }
        }
    }

    pub(super) async fn send_raw(&mut self, bytes: &[u8], dribble: Option<Dribble>) -> io::Result<()> {
        let Some(dribble) = dribble else {
            return self.stream.write_all(bytes).await;
        };
        self.stream.set_nodelay(true)?;
        for part in bytes.chunks(dribble.bytes.max(1)) {
            self.stream.write_all(part).await?;
            tokio::time::sleep(dribble.pause).await;
        }
        Ok(())
    }

    pub(super) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        self.frame(payload, &mut out);
        self.stream.write_all(&out).await
    }

    /// Waits until the client says something or goes away: nothing of it is read.
    pub(super) async fn spoken_to(&self) -> io::Result<()> {
        self.stream.peek(&mut [0]).await.map(|_| ())
    }

    pub(super) async fn greet(&mut self, version: &str, thread: u32, capabilities: u32) -> io::Result<()> {
        let mut payload = vec![10];
        payload.extend_from_slice(version.as_bytes());
        payload.push(0);
        payload.extend_from_slice(&thread.to_le_bytes());
        payload.extend_from_slice(b"01234567\0");
        let [a, b, c, d] = capabilities.to_le_bytes();
        payload.extend_from_slice(&[a, b, 33, 2, 0, c, d, 21]);
        payload.extend_from_slice(&[0; 10]);
        payload.extend_from_slice(b"890123456789\0");
        payload.extend_from_slice(PLUGIN);
        payload.push(0);
        self.sequence = 0;
        self.send(&payload).await
    }

    /// Reads what the client answers to the greeting; `None` where it left.
    pub(super) async fn login(&mut self, offered: u32) -> io::Result<Option<Login>> {
        let payload = match self.read().await {
            Ok(payload) => payload,
            // A client that wants TLS leaves when it is not offered.
            Err(_) => return Ok(None),
        };
        let word = payload.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
        let capabilities = word & offered;
        self.capabilities = capabilities;
        Ok(Some(Login {
            capabilities,
            plugin: plugin_of(&payload, word).unwrap_or_default(),
        }))
    }

    pub(super) async fn ok(&mut self) -> io::Result<()> {
        self.send(&[0, 0, 0, 2, 0, 0, 0]).await
    }

    pub(super) async fn error(&mut self, refusal: &Refusal) -> io::Result<()> {
        self.send(&refusal.payload()).await
    }

    /// The end of a binlog stream.
    pub(super) async fn eof(&mut self) -> io::Result<()> {
        self.send(&[0xfe, 0, 0, 2, 0]).await
    }

    pub(super) async fn rows(&mut self, columns: &[String], rows: &[Vec<Option<String>>]) -> io::Result<()> {
        let new_style = self.capabilities & DEPRECATE_EOF != 0;
        let mut out = Vec::new();
        self.frame(&[columns.len() as u8], &mut out);
        for name in columns {
            let mut column = Vec::new();
            for text in ["def", "", "", "", name, name] {
                put_text(&mut column, text.as_bytes());
            }
            column.extend_from_slice(&[0x0c, 33, 0]);
            column.extend_from_slice(&65_535u32.to_le_bytes());
            column.extend_from_slice(&[253, 0, 0, 0, 0, 0]);
            self.frame(&column, &mut out);
        }
        if !new_style {
            self.frame(&[0xfe, 0, 0, 2, 0], &mut out);
        }
        for row in rows {
            let mut payload = Vec::new();
            for cell in row {
                match cell {
                    Some(text) => put_text(&mut payload, text.as_bytes()),
                    None => payload.push(0xfb),
                }
            }
            self.frame(&payload, &mut out);
        }
        let end: &[u8] = if new_style {
            &[0xfe, 0, 0, 2, 0, 0, 0]
        } else {
            &[0xfe, 0, 0, 2, 0]
        };
        self.frame(end, &mut out);
        self.stream.write_all(&out).await
    }
}

/// The client's authentication plugin: behind its name and its answer.
fn plugin_of(payload: &[u8], capabilities: u32) -> Option<Vec<u8>> {
    let mut rest = payload.get(32..)?;
    let user = rest.iter().position(|b| *b == 0)?;
    rest = rest.get(user + 1..)?;
    let answer = usize::from(*rest.first()?);
    rest = rest.get(1 + answer..)?;
    if capabilities & 0x8 != 0 {
        let db = rest.iter().position(|b| *b == 0)?;
        rest = rest.get(db + 1..)?;
    }
    let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    Some(rest[..end].to_vec())
}

/// An integer as the protocol packs it, in front of texts.
pub(super) fn put_packed(out: &mut Vec<u8>, number: usize) {
    match number {
        0..251 => out.push(number as u8),
        251..65_536 => {
            out.push(0xfc);
            out.extend_from_slice(&(number as u16).to_le_bytes());
        }
        65_536..0x100_0000 => {
            out.push(0xfd);
            out.extend_from_slice(&(number as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&(number as u64).to_le_bytes());
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_packed(out, text.len());
    out.extend_from_slice(text);
}

/// An error packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number.
    pub code: u16,
    /// SQLSTATE.
    pub state: &'static str,
    /// Its text.
    pub text: String,
}

impl Refusal {
    /// What every trouble with a dump is numbered.
    pub fn fatal(text: impl Into<String>) -> Refusal {
        Refusal {
            code: 1236,
            state: "HY000",
            text: text.into(),
        }
    }

    /// A statement that is not in the grammar.
    pub fn syntax(near: &str) -> Refusal {
        Refusal {
            code: 1064,
            state: "42000",
            text: format!(
                "You have an error in your SQL syntax; check the manual that corresponds to your OceanBase version for the right syntax to use near '{near}' at line 1"
            ),
        }
    }

    /// What the proxy says when it finds no binlog instance.
    pub fn no_service() -> Refusal {
        Refusal {
            code: 10_102,
            state: "HY000",
            text: String::from("OBProxy connect binlog service failed"),
        }
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = vec![0xff];
        payload.extend_from_slice(&self.code.to_le_bytes());
        payload.push(b'#');
        payload.extend_from_slice(self.state.as_bytes());
        payload.extend_from_slice(self.text.as_bytes());
        payload
    }
}

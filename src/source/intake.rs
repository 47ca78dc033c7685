//! The library's stream to checked events: silence, panics of the library's parser, and checksums.
//!
//! The library neither times out nor verifies, and its parser panics on malformed events; none of that leaves
//! this file as anything but a failure.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use mysql_async::BinlogStream;
use mysql_async::binlog::BinlogChecksumAlg;
use mysql_async::binlog::events::Event;
use tokio::time::Instant;

use crate::position::Flavour;
use crate::retry::Failure;
use crate::source::decode::{self, Header, kind};
use crate::source::refusal;

/// Code of a checksum that does not match.
pub const CHECKSUM: &str = "event_checksum";

/// How many heartbeats may fail to come before the connection counts as dead.
const SILENT_HEARTBEATS: u32 = 3;

/// An event whose checksum was verified.
pub struct Taken {
    /// Its header.
    pub header: Header,
    event: Event,
    /// The body where the library got it wrong.
    repaired: Option<Vec<u8>>,
}

impl Taken {
    /// The event without header and checksum.
    pub fn body(&self) -> &[u8] {
        self.repaired.as_deref().unwrap_or(self.event.data())
    }
}

/// The stream, and how long it has been silent.
pub struct Intake {
    stream: BinlogStream,
    flavour: Flavour,
    heartbeat: Duration,
    silent_since: Instant,
    last_poll: Instant,
}

impl Intake {
    /// Reads from a dump that was just requested.
    pub fn new(stream: BinlogStream, flavour: Flavour, heartbeat: Duration) -> Self {
        let now = Instant::now();
        Self {
            stream,
            flavour,
            heartbeat,
            silent_since: now,
            last_poll: now,
        }
    }

    /// The next event if it has arrived.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn arrived(&mut self) -> Option<Result<Taken, Failure>> {
        let item = AssertUnwindSafe(self.stream.next())
            .catch_unwind()
            .now_or_never()?;
        Some(self.checked(item))
    }

    /// Waits for the next event, but not past `until`: then `None`. Cancel-safe.
    ///
    /// # Errors
    /// A stream that ended, failed, stayed silent for three heartbeats, or brought a wrong checksum.
    pub async fn next(&mut self, until: Instant) -> Option<Result<Taken, Failure>> {
        let now = Instant::now();
        // Time in which nobody asked is not silence: the reader may have been held back for long.
        if now.duration_since(self.last_poll) > self.heartbeat {
            self.silent_since = now;
        }
        self.last_poll = now;
        let limit = self.heartbeat.saturating_mul(SILENT_HEARTBEATS);
        let dead = self.silent_since + limit;
        let next = AssertUnwindSafe(self.stream.next()).catch_unwind();
        // Often enough that `last_poll` tells waiting from not asking.
        let until = until.min(now + self.heartbeat / 2).min(dead);
        match tokio::time::timeout_at(until, next).await {
            Ok(item) => {
                self.silent_since = Instant::now();
                self.last_poll = self.silent_since;
                Some(self.checked(item))
            }
            Err(_elapsed) => {
                self.last_poll = Instant::now();
                (self.last_poll >= dead).then(|| {
                    Err(Failure::retry(
                        "source_silent",
                        format!(
                            "the server sent nothing, not even a heartbeat, for {} s",
                            limit.as_secs_f64()
                        ),
                    ))
                })
            }
        }
    }

    fn checked(
        &self,
        item: Result<Option<mysql_async::Result<Event>>, Box<dyn std::any::Any + Send>>,
    ) -> Result<Taken, Failure> {
        match item {
            Ok(Some(Ok(event))) => verified(event, self.flavour),
            Ok(Some(Err(error))) => Err(refusal::classify_stream(&error)),
            Ok(None) => Err(Failure::retry(
                "connection_closed",
                "the server ended the binlog stream",
            )),
            Err(_panic) => Err(Failure::retry(
                "event_malformed",
                "the server sent an event that cannot be parsed",
            )),
        }
    }

    /// Ends the connection.
    pub async fn close(self) {
        // Nothing depends on the goodbye: the server notices the closed socket as well.
        drop(tokio::time::timeout(Duration::from_secs(2), self.stream.close()).await);
    }
}

fn verified(event: Event, flavour: Flavour) -> Result<Taken, Failure> {
    let raw = event.header();
    let header = Header {
        timestamp: raw.timestamp(),
        kind: raw.event_type_raw(),
        server_id: raw.server_id(),
        size: raw.event_size(),
        log_pos: raw.log_pos(),
        flags: raw.flags_raw(),
    };
    let mut repaired = None;
    let has_sums = match event.footer().get_checksum_alg() {
        Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)) => true,
        Ok(_) | Err(_) => false,
    };
    if header.kind == kind::ROTATE && header.is_artificial() {
        repaired = decode::repair_rotate(&header, event.data(), event.checksum());
    } else if header.kind == kind::FORMAT_DESCRIPTION && !has_sums && flavour == Flavour::OceanBase {
        return Err(Failure::halt(
            "checksum_missing",
            "the binlog service writes events without checksums, which cannot be read with certainty",
            "set binlog_checksum=true on the binlog service",
        ));
    } else if has_sums
        && event
            .checksum()
            .is_some_and(|sum| !header.checksum_matches(event.data(), sum))
    {
        return Err(Failure::retry(
            CHECKSUM,
            format!(
                "the checksum of an event of type {} that ends at {} is wrong",
                header.kind, header.log_pos
            ),
        ));
    }
    Ok(Taken {
        header,
        event,
        repaired,
    })
}

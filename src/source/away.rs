//! Away from the server on purpose, while nobody takes what is read.
//!
//! A server ends a connection that takes nothing for `net_write_timeout`, and counts it as broken. It begins to
//! count when the buffers of both systems are full, which nobody here can see; so the rule is simple and early: half
//! of that time after reading stopped, the dump is closed. Coming back costs a few statements and the open transaction
//! read again, and so does being thrown out. What the server does with its binlog meanwhile is still looked at.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::DatabaseConfig;
use crate::source::asking::{Asking, Told, bytes_behind};
use crate::source::feed::Feed;
use crate::source::status::Publisher;
use crate::source::streaming::HEAD_PERIOD;
use crate::source::tally::Tally;
use crate::source::{Source, SourceState, State};

/// MySQL's and MariaDB's default of `net_write_timeout`, for servers that do not tell.
const WRITE_TIMEOUT_SECONDS: u64 = 60;

/// Longest time that a connection is kept which nobody reads, however patient the server is.
const LONGEST: Duration = Duration::from_secs(30);

/// How long nobody may read before the server is left.
pub fn patience(write_timeout_seconds: Option<u64>) -> Duration {
    let known = write_timeout_seconds.filter(|seconds| *seconds > 0);
    (Duration::from_secs(known.unwrap_or(WRITE_TIMEOUT_SECONDS)) / 2).min(LONGEST)
}

/// The connection for questions, all that is left.
pub struct Away {
    asking: Asking,
    next_look: Instant,
}

impl Away {
    /// Just left; without a connection for questions one is made when it is needed.
    pub fn new(asking: Option<Asking>) -> Self {
        Self {
            // Of the binlog's files alone, which all kinds of servers tell alike.
            asking: asking.unwrap_or_default(),
            next_look: Instant::now(),
        }
    }

    /// Asks for the binlog's files every now and then and publishes them. Does not end; cancel-safe.
    pub async fn watch(&mut self, config: &Arc<DatabaseConfig>, feed: &Feed, publisher: &mut Publisher) {
        loop {
            if !self.asking.is_busy() {
                tokio::time::sleep_until(self.next_look).await;
                self.next_look = Instant::now() + HEAD_PERIOD;
                self.asking.files(config);
            }
            match self.asking.answer().await {
                Ok(Told::Files { files, .. }) => {
                    let (file, pos) = feed.tracker().read_to();
                    publisher.head(&files, bytes_behind(&files, file, pos));
                }
                // The answer to what was asked before; whoever needs it will ask again.
                Ok(Told::Definition { .. }) => {}
                Err(failure) => tracing::debug!(
                    code = failure.reason.code,
                    "a question to the server has no answer: {}",
                    failure.reason.message
                ),
            }
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        self.asking.close().await;
    }
}

impl Source {
    /// How long nobody may call [`next`](Self::next) before the source had better [`park`](Self::park).
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Leaves the server until [`next`](Self::next) is called again, which continues at the same row. For when what
    /// was handed on cannot be delivered, and the server would end a connection that nobody reads.
    pub async fn park(&mut self) {
        let asking = match std::mem::replace(&mut self.state, State::Idle) {
            state @ (State::Halted(_) | State::Closed | State::Away(_)) => {
                self.state = state;
                return;
            }
            State::Streaming(streaming) => Some(streaming.leave().await),
            State::Idle | State::Opening(_) | State::Waiting(_) => None,
        };
        self.cut();
        self.attempts = 0;
        self.tally.flush();
        Tally::park();
        tracing::warn!(
            code = "parked",
            "left the database: nothing that is read can be delivered; it is read on from here when it can"
        );
        self.publisher.state(SourceState::Parked);
        self.state = State::Away(Box::new(Away::new(asking)));
    }

    /// While parked: keeps looking at what the server does with its binlog meanwhile. Does not end; cancel-safe.
    pub async fn watch(&mut self) {
        match (&mut self.state, &self.feed) {
            (State::Away(away), Some(feed)) => {
                away.watch(&self.config, feed, &mut self.publisher).await;
            }
            _ => std::future::pending().await,
        }
    }

    /// The stream is over: the next one goes on where reading was.
    pub(super) fn cut(&mut self) {
        if let (Some(feed), Some((_, position))) = (&mut self.feed, &mut self.known) {
            *position = feed.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_left_well_before_its_patience_ends() {
        for (write_timeout, expected) in [
            (None, 30_000),
            (Some(0), 30_000),
            (Some(1), 500),
            (Some(5), 2_500),
            (Some(60), 30_000),
            (Some(31_536_000), 30_000),
        ] {
            assert_eq!(
                patience(write_timeout),
                Duration::from_millis(expected),
                "{write_timeout:?}"
            );
        }
    }
}

//! The read side: connects, resumes and reconnects, and hands on rows in binlog order. Owns I7.
//!
//! I7: a reconnect continues exactly. Within a run and across runs no row is skipped and none is handed on twice;
//! a running fingerprint of the open transaction proves that a re-sent transaction is the one that was begun.

pub mod connection;
pub mod decode;
mod feed;
mod fingerprint;

pub mod preflight;
pub mod refusal;
pub mod rows;
pub mod schema;
pub mod status;
mod tables;
pub mod transaction;

use tokio::sync::watch;

use crate::change::ChangeEvent;
use crate::config::DatabaseConfig;
use crate::position::{Position, ServerIdentity};
use crate::retry::{Delays, Failure};
pub use status::{SourceState, SourceStatus};

/// Where an earlier run stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The server that the position belongs to.
    pub identity: ServerIdentity,
    /// Everything before it was handed on.
    pub position: Position,
}

/// What the source has for the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Rows wait: call [`Source::rows`].
    Rows,
    /// A transaction ended, or the position moved in another way; nothing waits.
    Boundary,
    /// The server is there and has nothing to send.
    Heartbeat,
}

/// The binlog as a sequence of steps. Pull-based: nothing is read unless asked for.
pub struct Source {
    config: DatabaseConfig,
    delays: Delays,
    alarm_attempts: u32,
    resume: Option<Resume>,
    status: watch::Sender<SourceStatus>,
}

impl Source {
    /// A source that will connect at the first [`next`](Self::next).
    ///
    /// `alarm_attempts`: refused passwords in a row after which it halts. `resume` wins over `config.start`.
    pub fn new(
        config: DatabaseConfig,
        delays: Delays,
        alarm_attempts: u32,
        resume: Option<Resume>,
        status: watch::Sender<SourceStatus>,
    ) -> Self {
        Self {
            config,
            delays,
            alarm_attempts,
            resume,
            status,
        }
    }

    /// Waits for the next step. Connects and reconnects as needed, without a limit on tries.
    ///
    /// Cancel-safe: a dropped call loses nothing. After [`Step::Rows`] it returns the same again until
    /// [`rows`](Self::rows) was called.
    ///
    /// # Errors
    /// Only what a person must act on; the same again on every later call.
    pub async fn next(&mut self) -> Result<Step, Failure> {
        std::future::pending().await
    }

    /// The next step if it is there without waiting.
    pub fn ready_step(&mut self) -> Option<Result<Step, Failure>> {
        None
    }

    /// Hands on every row that waits, in order.
    ///
    /// # Errors
    /// What `f` returned, or a row that cannot be read. The position is then behind the last row that `f` took.
    pub fn rows(
        &mut self,
        f: impl FnMut(ChangeEvent<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let _ = f;
        Ok(())
    }

    /// The point behind everything handed on so far; `None` until the start is known.
    pub fn position(&self) -> Option<Position> {
        None
    }

    /// The server at the other end, once it was examined.
    pub fn identity(&self) -> Option<&ServerIdentity> {
        None
    }

    /// Ends the connections; the server notices at once.
    pub async fn close(&mut self) {
        std::future::ready(()).await;
    }
}

//! Is the server silent because there is nothing to send, or although there is? Pure.
//!
//! Heartbeats alone prove a connection, not a stream. OceanBase's binlog service has three ways to say nothing for ever:
//! a dump that was started at the end of a closed file stays there, a client with more transactions than the server has
//! is sent none up to its own, and a service may be throttled or stuck. What the server says of itself is compared with
//! what was read: only OceanBase is looked at, the others refuse such starts.

use std::time::Duration;

use tokio::time::Instant;

use crate::position::GtidSet;
use crate::retry::Failure;
use crate::source::failover::BEHIND;

/// How long there may be something to read and nothing but heartbeats: a throttled service sends something in less.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long at the end of a closed file. The service floods with heartbeats there.
const PATIENCE_AT_END: Duration = Duration::from_secs(5);

/// Code of a dump that does not leave the end of a file.
const AT_END: &str = "file_end_not_left";

/// Code of a stream that brings nothing although there is something.
const STALLED: &str = "source_stalled";

/// What the server said of itself, and where reading was then.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// The server's files with their sizes in bytes, oldest first.
    pub files: &'a [(String, u64)],
    /// Every transaction that it has; `None` if it does not say.
    pub executed: Option<&'a GtidSet>,
    /// Every transaction that was read; `None` where files alone count.
    pub read: Option<&'a GtidSet>,
    /// The end of the last event that was read.
    pub file: &'a str,
    /// Its offset.
    pub pos: u64,
    /// Events that were no heartbeats, so far.
    pub events: u64,
}

/// What is strange about a look.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doubt {
    /// The file ends here, and this one follows.
    AtEnd(String),
    /// These transactions are still to be sent.
    Unsent(GtidSet),
    /// So many bytes are still to be sent.
    Behind(u64),
    /// These transactions were read and the server does not have them.
    Ahead(GtidSet),
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Remedy {
    /// Why another dump is needed.
    pub failure: Failure,
    /// The file whose beginning it has to start at, where that is not known to the position.
    pub next_file: Option<String>,
}

/// Compares looks.
#[derive(Debug, Default)]
pub struct Stall {
    /// Since when something is strange, and the events by then.
    since: Option<(Instant, u64)>,
}

fn doubt(look: &Look<'_>) -> Option<Doubt> {
    if let Some(read) = look.read {
        // Hidden or not known: nothing to compare.
        let executed = look.executed.filter(|executed| !executed.is_empty())?;
        let (ahead, unsent) = (read.without(executed), executed.without(read));
        return match (ahead.is_empty(), unsent.is_empty()) {
            (false, _) => Some(Doubt::Ahead(ahead)),
            (true, false) => Some(Doubt::Unsent(unsent)),
            (true, true) => None,
        };
    }
    let at = look.files.iter().position(|(name, _)| name == look.file)?;
    let mut rest = look.files.iter().skip(at);
    let (_, size) = rest.next()?;
    let next = rest.next();
    match (look.pos.cmp(size), next) {
        (std::cmp::Ordering::Less, _) => Some(Doubt::Behind(size.saturating_sub(look.pos))),
        (_, Some((next, _))) => Some(Doubt::AtEnd(next.clone())),
        (_, None) => None,
    }
}

impl Stall {
    /// Takes what the server said. A remedy if it has been strange for too long.
    pub fn judge(&mut self, now: Instant, look: &Look<'_>) -> Option<Remedy> {
        let doubt = doubt(look);
        let (Some(doubt), Some((since, events))) = (&doubt, self.since) else {
            self.since = doubt.map(|_| (now, look.events));
            return None;
        };
        if events != look.events {
            self.since = Some((now, look.events));
            return None;
        }
        let seconds = now.duration_since(since).as_secs();
        let patience = match doubt {
            Doubt::AtEnd(_) => PATIENCE_AT_END,
            Doubt::Unsent(_) | Doubt::Behind(_) | Doubt::Ahead(_) => PATIENCE,
        };
        if now.duration_since(since) < patience {
            return None;
        }
        let only = format!("nothing but heartbeats came for {seconds} s");
        let (code, message) = match doubt {
            Doubt::AtEnd(next) => (
                AT_END,
                format!(
                    "{only} at the end of {}, and {next} follows: going on with its beginning",
                    look.file
                ),
            ),
            Doubt::Unsent(unsent) => (
                STALLED,
                format!(
                    "{only}, and the server has {} transactions to send: {unsent}",
                    unsent.count()
                ),
            ),
            Doubt::Behind(bytes) => (
                STALLED,
                format!("{only}, and the server has {bytes} bytes or more to send"),
            ),
            Doubt::Ahead(ahead) => (
                BEHIND,
                format!(
                    "{only}, and {} transactions that were read the server has not: {ahead}",
                    ahead.count()
                ),
            ),
        };
        let next_file = match doubt {
            Doubt::AtEnd(next) => Some(next.clone()),
            Doubt::Unsent(_) | Doubt::Behind(_) | Doubt::Ahead(_) => None,
        };
        self.since = None;
        Some(Remedy {
            failure: Failure::retry(code, message),
            next_file,
        })
    }
}

#[cfg(test)]
mod tests;

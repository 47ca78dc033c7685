//! What can be asked of the dead letters, and what is answered. Values that are also written to disk.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Key;

/// Which letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// The one with this id; where the order asks for it, those of its key before it as well.
    Id(String),
    /// Those whose key has this hash, 32 hexadecimal digits.
    Key(String),
    /// All of them.
    All,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Key(hash) => write!(f, "--key {hash}"),
            Self::All => f.write_str("--all"),
        }
    }
}

/// What becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// They are sent again, key by key in order.
    Replay,
    /// They are given up.
    Discard {
        /// Why; for the audit file.
        reason: String,
    },
}

/// A request of a person. Carrying it out twice does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Tells it from others.
    pub id: String,
    /// Which letters.
    pub selection: Selection,
    /// What becomes of them.
    pub action: Action,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Letters that the topic has now.
    pub replayed: u64,
    /// Letters that are given up.
    pub discarded: u64,
    /// The letters that were refused again, with what the service said. They and those behind them stay.
    pub refused: Vec<String>,
    /// Why it ended before its time, if it did.
    pub failure: Option<String>,
}

/// The letters of the next round of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those of these keys.
    Keys(Arc<HashSet<Key>>),
    /// The one with this id, and in front of it those of its key that are older.
    UpTo(String),
}

/// Most refused letters that a report names.
pub const REPORTED_REFUSALS: usize = 20;

/// Reason code of a letter for which the file has no room.
pub const DEAD_LETTERS_FULL: &str = "dead_letters_full";

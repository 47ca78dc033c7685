//! What a test can have the double do, beyond serving what is there.
//!
//! Every field is one behaviour of the real thing, or one fault. All are off in [`Script::default`], except for what
//! OceanBase always does.

use std::collections::VecDeque;
use std::time::Duration;

use super::packet::Refusal;

/// Which line of the binlog service is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// Without usable GTID sets, and with one server id for all.
    V2,
    /// With GTID sets.
    #[default]
    V4,
}

/// What SHOW MASTER STATUS is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// A file and a position.
    #[default]
    Row,
    /// No row: the instance has no file yet.
    Empty,
    /// Error 1064: an observer answered.
    Syntax,
    /// The proxy found no instance; it then hangs up.
    NoService,
    /// An OK packet.
    NoResult,
}

/// Damage to events on their way: their bytes are what was stored, but for one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Events of this type.
    pub kind: u8,
    /// So many of them, counted over all dumps.
    pub times: u32,
}

/// Connections that end at random places, in the middle of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// So many dumps are cut.
    pub times: u32,
    /// After so many events at most.
    pub within: u32,
}

/// A dump that falls silent while its connection stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// So many dumps.
    pub times: u32,
    /// After so many events.
    pub after: u32,
}

/// The switches.
#[derive(Clone, Debug)]
pub struct Script {
    /// Which line of the service it is.
    pub generation: Generation,
    /// What SHOW MASTER STATUS is answered with.
    pub status: Status,
    /// `gtid_purged` says nothing, whatever was purged.
    pub hides_purged: bool,
    /// A password is asked for, and no other plugin than mysql_native_password taken.
    pub enable_auth: bool,
    /// These dumps are refused, one after the other.
    pub refusals: VecDeque<Refusal>,
    /// So many dumps end without a word after the request.
    pub closed_dumps: u32,
    /// Dumps that may run at once.
    pub max_dumps: usize,
    /// Events in one batch, behind which there is a heartbeat.
    pub batch: usize,
    /// A heartbeat behind every event, whatever it is.
    pub heartbeat_everywhere: bool,
    /// The filter forgets between two batches that it is leaving a transaction out.
    pub leak: bool,
    /// Nothing is sent behind the introduction of a dump, but heartbeats.
    pub holds: bool,
    /// A dump ends with its first file.
    pub ends_with_file: bool,
    /// Bits that turn.
    pub damage: Option<Damage>,
    /// Connections that end.
    pub cuts: Option<Cuts>,
    /// Connections that fall silent.
    pub stall: Option<Stall>,
    /// So many bytes at a time, with a pause between them.
    pub dribble: Option<(usize, Duration)>,
    /// Post-header lengths in the first event of a new file.
    pub header_lengths: usize,
    /// Whether new files have checksums.
    pub sums: bool,
    /// Rows as `binlog_row_image = MINIMAL` has them: what did not change is NULL, and marked as present.
    pub minimal: bool,
    /// These transactions are never written by the instance, although they have their numbers.
    pub loses: Vec<u64>,
    /// A file ends behind the transaction that takes it over so many bytes.
    pub max_file: usize,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            generation: Generation::V4,
            status: Status::Row,
            hides_purged: false,
            enable_auth: false,
            refusals: VecDeque::new(),
            closed_dumps: 0,
            max_dumps: 128,
            batch: 64,
            heartbeat_everywhere: false,
            leak: false,
            holds: false,
            ends_with_file: false,
            damage: None,
            cuts: None,
            stall: None,
            dribble: None,
            header_lengths: 39,
            sums: true,
            minimal: false,
            loses: Vec::new(),
            max_file: 512 << 20,
        }
    }
}

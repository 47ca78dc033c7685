//! The read side's loop: changes from the source through the encoder into the bounded channel.
//!
//! A chunk leaves when it is large enough or when the source has nothing more at hand, so latency is low when
//! traffic is low and chunks are large when it is high. The channel holds a few chunks; when it is full the
//! loop waits, the socket fills, and the server waits with us.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::change::{ChangeEvent, Operation};
use crate::encode::Encoder;
use crate::position::{Flavour, Position, ServerIdentity};
use crate::record::Chunk;
use crate::retry::Failure;
use crate::source::{Source, Step};

use super::Tick;

/// A chunk is sent on once it charges this much to the byte budget. Large enough to amortise the hand-over,
/// small beside a batch.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks that may wait between the two halves: with [`CHUNK_BYTES`] the bound of the channel in bytes.
pub const CHANNEL_CHUNKS: usize = 4;

/// How often a waiting loop ticks.
const TICK: Duration = Duration::from_secs(1);

/// Rows by what happened to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// INSERT.
    pub created: u64,
    /// UPDATE.
    pub updated: u64,
    /// DELETE.
    pub deleted: u64,
}

impl Operations {
    fn count(&mut self, event: &ChangeEvent<'_>) {
        let operation = match event {
            ChangeEvent::Row(row) => row.operation,
            ChangeEvent::Filtered { operation, .. } => *operation,
        };
        let counter = match operation {
            Operation::Create => &mut self.created,
            Operation::Update => &mut self.updated,
            Operation::Delete => &mut self.deleted,
        };
        *counter = counter.saturating_add(1);
    }

    /// All rows.
    pub fn total(self) -> u64 {
        self.created.saturating_add(self.updated).saturating_add(self.deleted)
    }
}

/// What goes through the channel.
#[derive(Debug)]
pub struct Arrival {
    /// The records and the position behind them.
    pub chunk: Chunk,
    /// What the decoder handed over for it, counted before encoding: the left side of the conservation check.
    pub operations: Operations,
}

/// The read side: everything the loop owns.
#[derive(Debug)]
pub struct Intake {
    source: Source,
    encoder: Option<Encoder>,
    make_encoder: fn(Flavour, &EncoderSettings) -> Encoder,
    settings: EncoderSettings,
}

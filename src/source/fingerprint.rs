//! A running checksum over a transaction's rows: proof that a re-sent transaction is the one that was begun (I7).
//!
//! Pure. The sum depends on the rows alone, not on how a server packs them into events: a run of rows of one
//! table and operation starts with its name, then only images follow.

use crate::change::{Operation, RowImage, TableId};

/// The checksum of the rows seen so far.
#[derive(Clone, Debug, Default)]
pub struct Fingerprint {
    hasher: crc32fast::Hasher,
    run: Option<(Operation, TableId)>,
}

impl Fingerprint {
    /// To be called before the first row that counts of an event.
    pub fn enter(&mut self, operation: Operation, table: &TableId) {
        if self
            .run
            .as_ref()
            .is_some_and(|(o, t)| *o == operation && t == table)
        {
            return;
        }
        self.hasher.update(operation.letter().as_bytes());
        for name in [&table.db, &table.table] {
            self.hasher.update(name.as_bytes());
            // No name holds this byte.
            self.hasher.update(&[0]);
        }
        self.run = Some((operation, table.clone()));
    }

    /// Adds one row of the event.
    pub fn row(&mut self, before: Option<&RowImage<'_>>, after: Option<&RowImage<'_>>) {
        for image in [before, after].into_iter().flatten() {
            self.hasher.update(image.nulls);
            self.hasher.update(image.values);
        }
    }

    /// The CRC32 up to here.
    pub fn value(&self) -> u32 {
        self.hasher.clone().finalize()
    }
}

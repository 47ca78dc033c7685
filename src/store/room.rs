//! Whether there is room to write what has to survive, before it is needed.

use std::io;
use std::path::Path;

use super::{Store, document};
use crate::retry::Failure;

/// Written and removed again; a checkpoint is of this size.
const TRIAL: [u8; 4096] = [b'.'; 4096];

/// Bytes that are free for this user on the directory's file system.
///
/// # Errors
/// There is no such directory, or its file system does not say.
pub fn room(dir: &Path) -> io::Result<u64> {
    let told = rustix::fs::statvfs(dir)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

impl Store {
    /// Writes a file as checkpoints are written, and removes it again. Blocks on the disk.
    ///
    /// # Errors
    /// A halt: the file system is full, or does not let it.
    pub fn try_writing(&self) -> Result<(), Failure> {
        let path = self.dir.join("cdc-collector.trial");
        let written = document::replace_with(&self.dir, &path, |file| io::Write::write_all(file, &TRIAL));
        // What is left of it is in nobody's way, and is replaced by the next one.
        let removed = document::remove(&self.dir, &document::temporary(&path))
            .and_then(|()| document::remove(&self.dir, &path));
        written.and(removed).map_err(|error| {
            let dir = self.dir.display();
            if error.kind() == io::ErrorKind::StorageFull {
                Failure::halt(
                    "disk_full",
                    format!("nothing can be written to the data directory {dir}: {error}"),
                    format!("make room on the file system of {dir}"),
                )
            } else {
                super::unusable(&self.dir, &error)
            }
        })
    }
}

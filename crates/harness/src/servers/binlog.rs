//! How much binlog a server has written.

use std::fs;

use anyhow::{Context, Result};

use super::Server;

impl Server {
    /// Bytes of all binlog files on disk.
    pub fn binlog_bytes(&self) -> Result<u64> {
        let mut total = 0;
        for entry in fs::read_dir(self.dir().join("data")).context("reading the data directory")? {
            let entry = entry.context("reading the data directory")?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let number = name.strip_prefix("binlog.").unwrap_or_default();
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
                total += entry.metadata().context("reading the data directory")?.len();
            }
        }
        Ok(total)
    }
}

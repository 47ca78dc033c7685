//! How much binlog a server has written, and where it ends.

use std::fs;

use anyhow::{Context, Result};
use mysql_async::Row;
use mysql_async::prelude::Queryable;

use super::{Kind, Server};

impl Server {
    /// The end of the binlog: a file and an offset.
    ///
    /// # Errors
    /// If there is no binlog.
    pub async fn binlog_end(&self) -> Result<(String, u64)> {
        let status = match self.kind() {
            Kind::MySql => "SHOW BINARY LOG STATUS",
            Kind::MariaDb | Kind::Seekdb => "SHOW MASTER STATUS",
        };
        let mut conn = self.connect().await?;
        let row: Option<Row> = conn.query_first(status).await.context(status)?;
        conn.disconnect().await.context("closing a connection")?;
        let end = row.and_then(|row| Some((row.get(0)?, row.get(1)?)));
        end.context("the server writes no binlog")
    }

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

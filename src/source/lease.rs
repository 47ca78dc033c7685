//! The lock on the database that one collector of a group holds: a connection of its own, and three questions.
//!
//! The server gives the lock back when the connection ends, and it ends the connection when it has heard nothing for
//! `SILENCE`: so a holder that died, and one that cannot be reached any more, both lose it. It takes no privilege and
//! writes nothing. The lock is the server's that was asked: collectors that ask two servers do not see each other.

use std::fmt::Write as _;
use std::time::Duration;

use md5::{Digest as _, Md5};
use mysql_async::Conn;

use crate::config::{DatabaseConfig, DatahubConfig};
use crate::position::Flavour;
use crate::retry::Failure;
use crate::source::connection::{self, Answer, cell};
use crate::source::{preflight, refusal};

/// After so many seconds without a question the server ends the connection. Longer than an answer is trusted.
const SILENCE: u64 = 4;

/// What a question may take on top of the time that the server is to wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a request for the lock ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The lock is this connection's.
    Ours,
    /// It is another connection's, with this id as far as it is known.
    Others(Option<String>),
    /// The server has no such locks, or not as they are needed: OceanBase keeps them when the connection ends.
    Unsupported,
}

/// The lock's name: at most 64 characters, the same for all collectors of a group that write to one topic.
pub fn name(config: &DatahubConfig) -> String {
    let mut name = String::from("cdc-collector/");
    let whole = format!("{}\0{}\0{}", config.project, config.topic, config.group);
    for byte in Md5::digest(whole) {
        // Writing to a string cannot fail.
        let written = write!(name, "{byte:02x}");
        debug_assert!(written.is_ok());
    }
    name
}

/// A connection that may hold the lock.
pub struct Connection {
    conn: Conn,
    /// Its id at the server.
    id: String,
    name: String,
    /// Whether the server's locks end with their connection.
    is_usable: bool,
}

impl Connection {
    /// Connects. The lock is not asked for yet.
    ///
    /// # Errors
    /// As [`connection::connect`] and [`connection::query`].
    pub async fn open(config: &DatabaseConfig, name: &str) -> Result<Self, Failure> {
        let mut conn = connection::connect(&config.of_tables()).await?;
        let flavour = preflight::flavour(&mut conn, config).await?;
        let mut lease = Self {
            conn,
            id: String::new(),
            name: name.to_owned(),
            is_usable: flavour != Flavour::OceanBase,
        };
        if lease.is_usable {
            let limit = config.connect_timeout;
            let silence = format!("SET wait_timeout = {SILENCE}");
            connection::query(&mut lease.conn, &silence, limit).await?;
            let id = connection::one_text(&mut lease.conn, "SELECT CONNECTION_ID()", limit).await?;
            lease.id = id.unwrap_or_default();
        }
        Ok(lease)
    }

    /// Its id at the server.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Asks for the lock, and has the server wait for so many seconds while it is another's.
    ///
    /// # Errors
    /// As [`connection::query`]; afterwards the connection is of no use.
    pub async fn take(&mut self, seconds: u64) -> Result<Grant, Failure> {
        if !self.is_usable {
            return Ok(Grant::Unsupported);
        }
        let sql = format!("SELECT GET_LOCK('{}', {seconds})", self.name);
        let limit = PATIENCE.saturating_add(Duration::from_secs(seconds));
        let answer = match connection::query(&mut self.conn, &sql, limit).await {
            Ok(Answer::Rows(rows)) => rows.first().and_then(|row| cell(row, 0)),
            Ok(Answer::NoResultSet) => return Ok(Grant::Unsupported),
            Err(failure) if failure.reason.code == refusal::STATEMENT_UNSUPPORTED => {
                return Ok(Grant::Unsupported);
            }
            Err(failure) => return Err(failure),
        };
        match answer.as_deref() {
            // A proxy may spread statements over several connections: then a lock is of no use.
            Some("1") if self.is_held().await? => Ok(Grant::Ours),
            Some("1") => Ok(Grant::Unsupported),
            Some("0") => Ok(Grant::Others(self.holder().await?)),
            _ => Err(Failure::retry(
                "lease_refused",
                "the database neither gave the lease nor said that another has it",
            )),
        }
    }

    /// Whether the lock is still this connection's.
    ///
    /// # Errors
    /// As [`Connection::take`].
    pub async fn is_held(&mut self) -> Result<bool, Failure> {
        let sql = format!("SELECT IS_USED_LOCK('{}') = CONNECTION_ID()", self.name);
        let answer = connection::one_text(&mut self.conn, &sql, PATIENCE).await?;
        Ok(answer.as_deref() == Some("1"))
    }

    /// The id of the connection that has the lock, if one has.
    ///
    /// # Errors
    /// As [`Connection::take`].
    pub async fn holder(&mut self) -> Result<Option<String>, Failure> {
        let sql = format!("SELECT IS_USED_LOCK('{}')", self.name);
        connection::one_text(&mut self.conn, &sql, PATIENCE).await
    }

    /// Gives the lock back, if it was held.
    pub async fn close(self) {
        connection::close(self.conn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Compression, Secret};

    fn of(project: &str, topic: &str, group: &str) -> String {
        name(&DatahubConfig {
            endpoint: String::from("http://d"),
            access_id: Secret::new("i"),
            access_key: Secret::new("k"),
            security_token: None,
            project: project.to_owned(),
            topic: topic.to_owned(),
            group: group.to_owned(),
            compression: Compression::None,
            resume_from_topic: true,
            create_topic: false,
            shards: 1,
            lifecycle_days: 1,
            timeout: Duration::from_secs(5),
        })
    }

    #[test]
    fn the_lock_is_the_groups_and_fits() {
        let long = "g".repeat(128);
        let names = [
            of("p", "t", "g"),
            of("pt", "", "g"),
            of("p", "t", &long),
            of("q", "t", "g"),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(
                name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic() && b != b'\''),
                "{name}"
            );
            assert!(!names[..at].contains(name), "{name}");
        }
        assert_eq!(of("p", "t", "g"), names[0]);
    }
}

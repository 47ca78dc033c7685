//! The second connection: table definitions when they are needed, the end of the binlog every now and then.
//!
//! One question at a time. A question under way is kept here, so that whoever waits for it may be dropped and
//! come back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mysql_async::Conn;

use crate::change::TableId;
use crate::config::DatabaseConfig;
use crate::retry::Failure;
use crate::source::connection::{self, Answer, cell};
use crate::source::schema::{TableDefinition, load};

/// What a question was answered with.
#[derive(Debug)]
pub enum Told {
    /// The table's definition; `None` if there is no such table.
    Definition {
        /// As it is now.
        definition: Option<TableDefinition>,
        /// The server's clock behind it, seconds since 1970.
        read_at: u64,
    },
    /// The server's binlog files with their sizes in bytes, oldest first.
    Files(Vec<(String, u64)>),
}

type Reply = (Result<Told, Failure>, Option<Conn>);

/// The connection, or the question that it is busy with.
#[derive(Default)]
pub struct Asking {
    conn: Option<Conn>,
    question: Option<Pin<Box<dyn Future<Output = Reply> + Send>>>,
}

enum Question {
    Definition(TableId),
    Files,
}

impl Asking {
    /// Takes over a connection that was prepared already.
    pub fn new(conn: Conn) -> Self {
        Self {
            conn: Some(conn),
            question: None,
        }
    }

    /// Whether a question is under way.
    pub fn is_busy(&self) -> bool {
        self.question.is_some()
    }

    /// Asks for a table's definition. Only when not busy.
    pub fn definition(&mut self, config: &Arc<DatabaseConfig>, id: TableId) {
        self.ask(config, Question::Definition(id));
    }

    /// Asks for the binlog's files. Only when not busy.
    pub fn files(&mut self, config: &Arc<DatabaseConfig>) {
        self.ask(config, Question::Files);
    }

    fn ask(&mut self, config: &Arc<DatabaseConfig>, question: Question) {
        let conn = self.conn.take();
        let config = Arc::clone(config);
        self.question = Some(Box::pin(async move {
            let mut conn = match conn {
                Some(conn) => conn,
                None => match prepared(&config).await {
                    Ok(conn) => conn,
                    Err(failure) => return (Err(failure), None),
                },
            };
            let answer = match &question {
                Question::Definition(id) => load::load(&mut conn, id, config.connect_timeout)
                    .await
                    .map(|(definition, read_at)| Told::Definition { definition, read_at }),
                Question::Files => files(&mut conn, &config).await.map(Told::Files),
            };
            // After a failure nobody knows what the connection would answer next.
            let conn = answer.is_ok().then_some(conn);
            (answer, conn)
        }));
    }

    /// Waits for the question under way. Cancel-safe.
    ///
    /// # Errors
    /// What the server or the network refused; the connection is made anew for the next question.
    pub async fn answer(&mut self) -> Result<Told, Failure> {
        let Some(question) = &mut self.question else {
            return std::future::pending().await;
        };
        let (answer, conn) = question.await;
        self.question = None;
        self.conn = conn;
        answer
    }

    /// Says goodbye.
    pub async fn close(&mut self) {
        self.question = None;
        if let Some(conn) = self.conn.take() {
            connection::close(conn).await;
        }
    }
}

async fn prepared(config: &DatabaseConfig) -> Result<Conn, Failure> {
    let mut conn = connection::connect(config).await?;
    for statement in load::PREPARATIONS {
        connection::query(&mut conn, statement, config.connect_timeout).await?;
    }
    Ok(conn)
}

async fn files(conn: &mut Conn, config: &DatabaseConfig) -> Result<Vec<(String, u64)>, Failure> {
    let rows = match connection::query(conn, "SHOW BINARY LOGS", config.connect_timeout).await? {
        Answer::Rows(rows) => rows,
        Answer::NoResultSet => Vec::new(),
    };
    Ok(rows
        .iter()
        .filter_map(|row| Some((cell(row, 0)?, cell(row, 1)?.parse().ok()?)))
        .collect())
}

/// Bytes from a place in the binlog to its end; `None` if the file is not among them.
pub fn bytes_behind(files: &[(String, u64)], file: &str, pos: u64) -> Option<u64> {
    let at = files.iter().position(|(name, _)| name == file)?;
    let mut rest = files.iter().skip(at).map(|(_, size)| *size);
    let here = rest.next()?.saturating_sub(pos);
    Some(rest.fold(here, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_spans_files() {
        let files = [("a".to_owned(), 100), ("b".to_owned(), 50), ("c".to_owned(), 30)];
        assert_eq!(bytes_behind(&files, "a", 90), Some(90));
        assert_eq!(bytes_behind(&files, "c", 30), Some(0));
        // The last answer may be older than what was read since.
        assert_eq!(bytes_behind(&files, "c", 40), Some(0));
        assert_eq!(bytes_behind(&files, "d", 4), None);
    }
}

//! The second connection: table definitions when they are needed, the end of the binlog every now and then.
//!
//! Where the binlog comes straight from an OceanBase binlog instance, which knows no tables, definitions are asked for on a
//! third one, at the observer. One question at a time. A question under way is kept here, so that whoever waits for it may be dropped and
//! come back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mysql_async::Conn;

use crate::change::TableId;
use crate::config::DatabaseConfig;
use crate::position::GtidSet;
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
    /// What there is of the binlog.
    Files {
        /// Its files with their sizes in bytes, oldest first.
        files: Vec<(String, u64)>,
        /// Every transaction that the server has, where that was asked for and is told.
        executed: Option<GtidSet>,
    },
}

type Reply = (Result<Told, Failure>, Option<Conn>);

/// The connections, or the question that one of them is busy with.
#[derive(Default)]
pub struct Asking {
    /// To whoever has the binlog.
    binlog: Option<Conn>,
    /// To the observer, where that is another server.
    observer: Option<Conn>,
    /// Whether the question under way is the observer's.
    of_observer: bool,
    /// Whether the executed transactions are worth a question.
    executed: bool,
    question: Option<Pin<Box<dyn Future<Output = Reply> + Send>>>,
}

enum Question {
    Definition(TableId),
    Files,
}

impl Asking {
    /// Takes over connections that were prepared already; the one to the observer, where that is another server than the
    /// one of the binlog. `executed` says whether to ask for the executed transactions as well.
    pub fn new(binlog: Conn, observer: Option<Conn>, executed: bool) -> Self {
        Self {
            binlog: Some(binlog),
            observer,
            executed,
            ..Self::default()
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
        let of_observer = config.observer.is_some() && matches!(question, Question::Definition(_));
        self.of_observer = of_observer;
        let conn = if of_observer {
            self.observer.take()
        } else {
            self.binlog.take()
        };
        let executed = self.executed;
        let config = Arc::clone(config);
        self.question = Some(Box::pin(async move {
            let mut conn = match conn {
                Some(conn) => conn,
                None => match prepared(&config, of_observer).await {
                    Ok(conn) => conn,
                    Err(failure) => return (Err(failure), None),
                },
            };
            let answer = match &question {
                Question::Definition(id) => load::load(&mut conn, id, config.connect_timeout)
                    .await
                    .map(|(definition, read_at)| Told::Definition { definition, read_at }),
                Question::Files => files(&mut conn, &config, executed).await,
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
        if self.of_observer {
            self.observer = conn;
        } else {
            self.binlog = conn;
        }
        answer
    }

    /// Says goodbye.
    pub async fn close(&mut self) {
        self.question = None;
        for conn in [self.binlog.take(), self.observer.take()].into_iter().flatten() {
            connection::close(conn).await;
        }
    }
}

/// A connection for questions about the binlog, or about tables.
async fn prepared(config: &DatabaseConfig, of_observer: bool) -> Result<Conn, Failure> {
    let is_instance = config.observer.is_some() && !of_observer;
    if is_instance {
        return connection::connect(config).await;
    }
    load::connect(config).await
}

async fn files(conn: &mut Conn, config: &DatabaseConfig, executed: bool) -> Result<Told, Failure> {
    let rows = match connection::query(conn, "SHOW BINARY LOGS", config.connect_timeout).await? {
        Answer::Rows(rows) => rows,
        Answer::NoResultSet => Vec::new(),
    };
    let files = rows
        .iter()
        .filter_map(|row| Some((cell(row, 0)?, cell(row, 1)?.parse().ok()?)))
        .collect();
    // Asked last: what is in it and was not sent by then is late.
    let executed = if executed {
        connection::variable(conn, "gtid_executed", config.connect_timeout).await?
    } else {
        None
    };
    let executed = executed.and_then(|set| set.parse().ok());
    Ok(Told::Files { files, executed })
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

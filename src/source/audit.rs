//! The periodic second look: does the server still describe the tables as their rows are read? Pure.
//!
//! A change that keeps every column's type shows neither in a table map nor, where a server leaves the statement
//! out of its binlog, in an event. The server's own description shows it, but of a moment that the stream may not
//! have reached yet. So a difference counts only once it was seen twice, a period apart, and everything that the
//! server had written by the first time was read without meeting a statement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::change::TableId;
use crate::position::FilePosition;
use crate::source::schema::TableDefinition;

/// Shortest time between two questions, so that many tables cannot keep the server busy.
const LEAST_PAUSE: Duration = Duration::from_millis(50);

/// What is known of the tables that were looked at.
#[derive(Debug, Default)]
pub struct Audit {
    looked_at: BTreeMap<TableId, Look>,
}

#[derive(Debug, Default)]
struct Look {
    /// Where reading was when the server last agreed.
    agreed: Option<FilePosition>,
    suspect: Option<Suspect>,
}

/// A difference that may yet be explained by a statement that was not read so far.
#[derive(Debug)]
struct Suspect {
    used: Arc<TableDefinition>,
    seen: TableDefinition,
    /// The end of the binlog after it was seen.
    head: Option<FilePosition>,
}

/// What a look at a table came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All is well, or it is too early to say.
    Fine,
    /// A new difference: [`Audit::head`] has to be told where the binlog ends now.
    Suspicious,
    /// The table was changed, and the binlog does not say so.
    Unannounced {
        /// Where reading was when the server last agreed; `None` if it never did in this run.
        agreed: Option<FilePosition>,
        /// What differs, one sentence a column.
        differences: Vec<String>,
    },
}

/// How long to wait between two tables so that all of them are looked at once in a period.
pub fn pause(period: Duration, tables: usize) -> Duration {
    let tables = u32::try_from(tables).unwrap_or(u32::MAX).max(1);
    (period / tables).max(LEAST_PAUSE)
}

impl Audit {
    /// Compares the definition that a table's rows are read with and the one that the server gave, when everything
    /// before `read_to` was read.
    pub fn judge(
        &mut self,
        id: &TableId,
        used: Option<Arc<TableDefinition>>,
        seen: Option<TableDefinition>,
        read_to: &FilePosition,
    ) -> Finding {
        let look = self.looked_at.entry(id.clone()).or_default();
        let (Some(used), Some(seen)) = (used, seen) else {
            // A statement was met and no row since, or the table is gone.
            look.suspect = None;
            return Finding::Fine;
        };
        let differences = seen.differences(&used);
        if differences.is_empty() {
            look.suspect = None;
            look.agreed = Some(read_to.clone());
            return Finding::Fine;
        }
        match &look.suspect {
            Some(suspect) if suspect.used == used && suspect.seen == seen => match &suspect.head {
                Some(head) if !read_to.order(&head.file, head.pos).is_some_and(|o| o.is_lt()) => {
                    look.suspect = None;
                    Finding::Unannounced {
                        agreed: look.agreed.take(),
                        differences,
                    }
                }
                Some(_) => Finding::Fine,
                None => Finding::Suspicious,
            },
            Some(_) | None => {
                let head = None;
                look.suspect = Some(Suspect { used, seen, head });
                Finding::Suspicious
            }
        }
    }

    /// The end of the binlog, asked for after the last look.
    pub fn head(&mut self, head: &FilePosition) {
        for suspect in self
            .looked_at
            .values_mut()
            .filter_map(|look| look.suspect.as_mut())
        {
            suspect.head.get_or_insert_with(|| head.clone());
        }
    }
}

#[cfg(test)]
mod tests;

//! Starts that leave something out: what was known before is kept, and not trusted behind it.

use super::Tables;
use crate::position::Position;
use crate::source::schema::history::History;

impl Tables {
    /// What is known is handed on although nothing was learnt yet: the start left something out, and a restart behind it
    /// must not take the definitions from before for those that hold there.
    #[must_use]
    pub fn left_behind(mut self, something: bool) -> Self {
        self.learnt |= something;
        self
    }

    /// The history, when everything up to `read_to` was read.
    pub fn into_history(mut self, read_to: &Position) -> History {
        self.history.snapshot(read_to)
    }
}

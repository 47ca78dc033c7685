//! Starts that leave something out: what was known before is kept, and not trusted behind it.

use super::Tables;
use crate::position::Position;
use crate::source::schema::history::{Beginning, Fate, History};

impl Tables {
    /// What is known is handed on although nothing was learnt yet: the start left something out, and a restart behind it
    /// must not take the definitions from before for those that hold there.
    #[must_use]
    pub fn left_behind(mut self, something: bool) -> Self {
        self.learnt |= something;
        self
    }

    /// Everything up to `read_to` was read.
    pub fn cover(&mut self, read_to: &Position) {
        self.history.cover(read_to);
    }

    /// The OceanBase binlog instance that is read, if that is known.
    pub fn instance(&self) -> Option<u64> {
        self.history.instance()
    }

    /// This OceanBase binlog instance is read.
    pub fn set_instance(&mut self, instance: u64) {
        self.learnt |= self.history.set_instance(instance);
    }

    /// Reading goes on in the files of another binlog instance.
    pub fn relocate(&mut self, beginning: Beginning<'_>) -> Fate {
        self.new_file();
        self.schemas.clear();
        self.parking.relocate(beginning.oldest);
        self.replays = true;
        self.learnt = true;
        self.history.begin(beginning)
    }

    /// The history, when everything up to `read_to` was read.
    pub fn into_history(mut self, read_to: &Position) -> History {
        self.history.snapshot(read_to)
    }
}

//! The feed's part in a failover of OceanBase's binlog service: whose files are read.

use super::Feed;
use crate::position::{FilePosition, Flavour};
use crate::retry::Failure;
use crate::source::decode::Header;
use crate::source::failover::{INSTANCE_CHANGED, other_instance};
use crate::source::preflight::ServerFacts;
use crate::source::schema::history::{Beginning, Fate};
use crate::source::transaction::FILE_START;

impl Feed {
    /// The OceanBase binlog instance that is read, if that is known.
    pub fn instance(&self) -> Option<u64> {
        self.tables.instance()
    }

    /// A stream's first event says who sends it. The proxy looks an instance up for each request: who was asked
    /// something before need not be the one.
    pub(super) fn arrive(&mut self, header: &Header) -> Result<(), Failure> {
        if self.tracker.flavour() != Flavour::OceanBase {
            return Ok(());
        }
        let now = u64::from(header.server_id);
        match self.tables.instance().filter(|known| *known != now) {
            None => self.tables.set_instance(now),
            Some(known) if self.tracker.gtid_set().is_some() => {
                return Err(Failure::retry(
                    INSTANCE_CHANGED,
                    format!(
                        "the stream comes from the binlog instance {now}, what was read before from {known}"
                    ),
                ));
            }
            Some(known) => return Err(other_instance(&self.tracker.position().file, known, now)),
        }
        Ok(())
    }

    /// The server does not leave the end of a file: reading goes on with the beginning of the one that follows.
    pub fn skip_to(&mut self, file: &str) {
        self.cut();
        self.tracker.relocate(&FilePosition {
            file: file.to_owned(),
            pos: FILE_START,
        });
    }

    /// The files are another binlog instance's now, the transactions are the same. After a cut.
    pub fn relocate(&mut self, facts: &ServerFacts) -> Fate {
        if let Some(main) = self.main.take() {
            let alone = std::mem::replace(&mut self.tracker, main);
            self.tables.parking_mut().reached(alone.position());
            self.tables.parking_mut().interrupt();
            self.cut();
        }
        self.tracker.relocate(&facts.oldest);
        let start = self.tracker.position();
        self.tables.relocate(Beginning {
            start: &start,
            resumed: true,
            same_server: false,
            oldest: &facts.oldest,
            head: &facts.head,
            executed: facts.gtid_executed.as_ref(),
        })
    }
}

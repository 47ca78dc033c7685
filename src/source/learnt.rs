//! What is known of the tables, over restarts and failovers: whether it holds where reading begins.

use crate::position::ServerIdentity;
use crate::source::failover;
use crate::source::opening::Begin;
use crate::source::preflight::ServerFacts;
use crate::source::schema::history::{Beginning, Fate};
use crate::source::{History, Source};

/// What an earlier run learnt of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learnt {
    /// The server that its places belong to.
    pub identity: ServerIdentity,
    /// What held where.
    pub history: History,
}

impl Source {
    /// What an earlier run learnt, as it holds for this server and this start.
    pub(super) fn history(&mut self, facts: &ServerFacts, begin: &Begin, resumed: bool) -> History {
        let Some(Learnt {
            identity,
            mut history,
        }) = self.learnt.take()
        else {
            return History::default();
        };
        let fate = history.begin(Beginning {
            start: &begin.position,
            resumed,
            same_server: !begin.moved && failover::is_same(&identity, &facts.identity),
            oldest: &facts.oldest,
            head: &facts.head,
            executed: facts.gtid_executed.as_ref(),
        });
        said(fate);
        history
    }

    /// The position's transactions are in the files of another binlog instance.
    pub(super) fn relocate(&mut self, facts: &ServerFacts) {
        self.elsewhere = false;
        let Some(feed) = &mut self.feed else { return };
        tracing::info!(
            server_id = facts.identity.server_id,
            "another binlog instance serves the tenant; going on there by GTID"
        );
        said(feed.relocate(facts));
        self.publisher.relocated();
    }

    /// The OceanBase binlog instance whose files the position names, if that is known.
    pub(super) fn instance(&self) -> Option<u64> {
        match &self.feed {
            _ if self.elsewhere => None,
            Some(feed) => feed.instance(),
            None => self.learnt.as_ref().and_then(|learnt| learnt.history.instance()),
        }
    }
}

/// What became of the definitions that were known.
fn said(fate: Fate) {
    if fate == Fate::Dropped {
        tracing::warn!(
            code = "schema_history_foreign",
            "the definitions learnt earlier belong to another binlog; they are read from the server, as it has them now"
        );
    }
}

//! A position that the server cannot continue from: what exactly was lost, and where it may go on.
//!
//! Where it goes on is an operator's choice (`ON_POSITION_LOST`), never a guess; and whoever reads the topic is told of
//! the gap in front of everything that follows it.

use std::future::Future;
use std::sync::Arc;

use crate::change::Gap;
use crate::config::PositionLost;
use crate::position::{FilePosition, GtidSet, Position};
use crate::retry::{Failure, Reason};
use crate::source::feed::Feed;
use crate::source::opening::{self, Opened};
use crate::source::preflight::ServerFacts;
use crate::source::tally::Tally;
use crate::source::{Learnt, Source};

/// Code of a position that the server has purged.
pub const PURGED: &str = "position_purged";

/// Code of transactions that the stream leaves out.
pub const GAP: &str = "gtid_gap";

/// Code of a gap that was passed over.
const LEAPT: &str = "position_lost";

const REMEDY: &str = "copy the captured tables anew, and set `ON_POSITION_LOST=earliest`, or latest, to go on behind a record of the gap";

/// The server has `purged`, some of which were not read: `read` were.
pub fn purged(read: &GtidSet, purged: &GtidSet) -> Failure {
    let lost = purged.without(read);
    Failure::halt(
        PURGED,
        format!(
            "the server has purged {} transactions that were not read: {lost}; read were {read}, its oldest file follows \
             on {purged}",
            lost.count()
        ),
        REMEDY,
    )
}

/// The server sent `transaction`, and `missing` before it neither now nor earlier.
pub fn left_out(transaction: &str, read: &GtidSet, missing: &GtidSet) -> Failure {
    Failure::halt(
        GAP,
        format!(
            "the server sent transaction {transaction} and not the {} transactions before it, {missing}, which were not read \
             either: read were {read}",
            missing.count()
        ),
        "check the binlog service for lost or purged files; copy the captured tables anew, and set \
         `ON_POSITION_LOST=earliest`, or latest, to go on behind a record of the gap",
    )
}

/// The server no longer has the file of `position`.
pub fn purged_files(position: &Position, oldest: &FilePosition) -> Failure {
    Failure::halt(
        PURGED,
        format!(
            "the server has purged its binlog from {position} to {oldest}, which was not read: the oldest file that it \
             still has is {}",
            oldest.file
        ),
        REMEDY,
    )
}

/// The gap between a lost position and the place that was chosen; `None` if nothing was.
pub fn gap(from: Position, facts: &ServerFacts, purged: &GtidSet, chosen: PositionLost) -> Option<Gap> {
    let (file, reaches) = match chosen {
        PositionLost::Halt => return None,
        PositionLost::Earliest => (&facts.oldest, purged.clone()),
        PositionLost::Latest => (
            &facts.head,
            facts.gtid_executed.clone().unwrap_or_default().with(purged),
        ),
    };
    let lost = from.gtid_set.as_ref().map(|read| reaches.without(read));
    let gtid_set = from.gtid_set.clone().map(|read| read.with(&reaches));
    // A transaction that was read in part may still be there, where others than its neighbours were purged.
    let still_there = |id: &str| match (&gtid_set, id.parse::<GtidSet>()) {
        (Some(set), Ok(one)) => !one.is_empty() && !set.contains_set(&one),
        (Some(_), Err(_)) | (None, _) => false,
    };
    let open = from.open.clone().filter(|open| still_there(&open.id));
    Some(Gap {
        to: Position {
            gtid_set,
            file: file.clone(),
            open,
            parked: from.parked.clone(),
        },
        from,
        lost,
        server: facts.identity.clone(),
        chosen: chosen.name(),
    })
}

impl Source {
    /// Another try to request the dump.
    pub(super) fn attempt(&self) -> impl Future<Output = Result<Opened, Failure>> + Send + use<> {
        let mut config = Arc::clone(&self.config);
        // What is purged of a parked table is that table's loss alone: reading it is given up, and all others go on.
        if self.feed.as_ref().is_some_and(Feed::is_alone) {
            Arc::make_mut(&mut config).position_lost = PositionLost::Halt;
        }
        let (records, known) = (Arc::clone(&self.records), self.known.clone());
        opening::open(config, records, known, self.purged.clone(), self.instance())
    }

    /// Reading goes on behind a gap: says so, and keeps of what was read before only what is known of the tables.
    pub(super) fn leap(&mut self, gap: &Gap) {
        if let (Some(feed), Some((identity, _))) = (self.feed.take(), &self.known) {
            self.learnt = Some(Learnt {
                identity: identity.clone(),
                history: feed.into_history(),
            });
        }
        let transactions = match &gap.lost {
            Some(lost) => format!("{} transactions, {lost}", lost.count()),
            None => String::from("an unknown number of transactions"),
        };
        let message = format!(
            "the binlog from {} to {} was purged before it was read: {transactions}; going on with the {} as \
             ON_POSITION_LOST says, behind a record of the gap: copy the captured tables anew",
            gap.from, gap.to, gap.chosen
        );
        tracing::error!(code = LEAPT, id = gap.id(), "{message}");
        Tally::gap();
        self.publisher.gap(Reason { code: LEAPT, message });
    }
}

#[cfg(test)]
mod tests;

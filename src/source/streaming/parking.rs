//! The stream's part in parking tables: when one is parked, asked about, or ordered to be read.

use std::sync::Arc;

use super::{Streaming, Turn};
use crate::config::{DatabaseConfig, SchemaPolicy};
use crate::retry::Failure;
use crate::source::Step;
use crate::source::feed::Feed;
use crate::source::parked::TABLE_PARKED;
use crate::source::status::Publisher;

impl Streaming {
    /// Parks the table that no definition was found for, where that is what is wanted.
    ///
    /// # Errors
    /// The failure itself: it is not about a table, or tables are not to be parked.
    pub(super) fn park(
        &mut self,
        config: &DatabaseConfig,
        feed: &mut Feed,
        publisher: &mut Publisher,
        failure: Failure,
    ) -> Result<(), Failure> {
        let parks = config.schemas == SchemaPolicy::ParkTable;
        let Some(table) = parks.then(|| feed.park(&failure)).flatten() else {
            return Err(failure);
        };
        self.needs = None;
        if feed.is_alone() {
            self.turn = Some(Turn::GoOn { parked_again: true });
        }
        tracing::warn!(
            code = TABLE_PARKED,
            %table,
            at = feed.place(),
            "its rows are passed over until it can be read, all other tables flow: {}",
            failure.reason.message
        );
        publisher.parked(feed);
        Ok(())
    }

    /// Asks whether a parked table can be read now. Whether there is one to ask about.
    pub(super) fn ask_of_parked(&mut self, config: &Arc<DatabaseConfig>, feed: &Feed) -> bool {
        let parked = feed.tables().parking().after(self.considered.as_ref());
        let Some(id) = parked.filter(|_| !feed.is_alone()).cloned() else {
            return false;
        };
        self.asking.definition(config, id.clone());
        self.considered = Some(id.clone());
        self.considering = Some(id);
        true
    }

    /// Does what a person wants done with a parked table, once no transaction is open.
    pub(super) fn obey(&mut self, feed: &mut Feed, publisher: &mut Publisher) {
        if !feed.is_alone() && !feed.tracker().is_at_boundary() {
            return;
        }
        // Whoever asked may have gone, and with it the wish.
        let Some(order) = self.order.take().filter(|order| !order.answer.is_closed()) else {
            return;
        };
        let done = if feed.is_alone() {
            Err(String::from(
                "rows of a parked table are being read: try again in a moment",
            ))
        } else {
            feed.obey(&order.table, &order.wish)
        };
        if let Ok(sentence) = &done {
            tracing::warn!(code = TABLE_PARKED, "as ordered: {sentence}");
            publisher.parked(feed);
            self.then = Some(Step::Boundary);
        }
        // Nobody but the one who asked needs it.
        drop(order.answer.send(done));
    }
}

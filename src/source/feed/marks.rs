//! Records that are no rows: where a transaction ends, what changed a definition, and what was lost. Pure.
//!
//! The first two are found when their event is read, and wait here until they are handed on, in front of everything
//! that is read after them. Where a transaction begins is told with its first captured row and needs no waiting. Nothing is
//! remembered between runs: what a re-read transaction holds is counted again from its first row.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::change::{ChangeEvent, Definition, DefinitionChange, Gap, Mark, SourceMeta, TableId};
use crate::config::Emits;
use crate::config::filter::TableFilter;
use crate::retry::Failure;
use crate::source::decode::Header;
use crate::source::decode::statement::{may_hold_credentials, target};
use crate::source::transaction::Tracker;

/// What waits to be handed on.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) emits: Emits,
    /// What lies in front of everything that is read.
    pub(super) gap: Option<Gap>,
    waiting: VecDeque<(SourceMeta, Waiting)>,
    /// The transaction of the last definition, and its place there. A transaction that is cut within its definitions
    /// and read again within a run does not tell them twice.
    told: Option<(Arc<str>, u64)>,
}

#[derive(Debug)]
enum Waiting {
    End(Vec<(TableId, u64)>),
    Definition { ordinal: u64, change: DefinitionChange },
}

/// The transaction that a definition belongs to, looked up before its event ends it.
#[derive(Debug)]
pub(super) struct Place {
    /// `None` for a statement outside of any transaction.
    transaction: Option<(Arc<str>, Option<Arc<str>>, u64)>,
    ordinal: u64,
}

impl Marks {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.gap.is_none()
    }

    /// Where a definition stands that is about to be observed; `None` if it is not to be told.
    pub(super) fn place(&self, tracker: &mut Tracker) -> Option<Place> {
        if !self.emits.definitions || tracker.before_start() && tracker.open().is_none() {
            return None;
        }
        let Some(open) = tracker.open_mut() else {
            return Some(Place {
                transaction: None,
                ordinal: 0,
            });
        };
        let ordinal = open.definitions;
        open.definitions = ordinal.saturating_add(1);
        // Before a cut that is still ahead it was told already.
        (open.counts() && open.owed() == 0).then(|| Place {
            transaction: Some((Arc::clone(&open.id), open.gtid_text.clone(), open.ts_us)),
            ordinal,
        })
    }

    /// A definition of something captured waits from now on.
    pub(super) fn definition(
        &mut self,
        place: Place,
        header: &Header,
        tracker: &Tracker,
        filter: &TableFilter,
        (definition, db, text): (Definition, &[u8], &[u8]),
    ) {
        let text = String::from_utf8_lossy(text);
        let Some(target) = target(&text, &String::from_utf8_lossy(db)) else {
            return;
        };
        let captured = target.names.into_iter().find(|id| match id.table.as_str() {
            "" => filter.touches(&id.db),
            table => filter.captures(&id.db, table),
        });
        let Some(id) = captured else { return };
        let (file, pos) = tracker.event_at();
        let (transaction, gtid, ts_us) = place.transaction.unwrap_or_else(|| {
            let seconds = u64::from(header.timestamp);
            (
                format!("{file}:{pos}").into(),
                None,
                seconds.saturating_mul(1_000_000),
            )
        });
        let meta = SourceMeta {
            transaction,
            gtid,
            file: Arc::clone(file),
            pos,
            server_id: header.server_id,
            ts_us,
            late: false,
        };
        let ordinal = place.ordinal;
        if self
            .told
            .as_ref()
            .is_some_and(|(id, last)| **id == *meta.transaction && ordinal <= *last)
        {
            return;
        }
        self.told = Some((Arc::clone(&meta.transaction), ordinal));
        let change = DefinitionChange {
            definition,
            object: target.object,
            id,
            sql: (!may_hold_credentials(&text)).then(|| text.as_ref().into()),
        };
        self.waiting
            .push_back((meta, Waiting::Definition { ordinal, change }));
    }

    /// If a transaction with captured rows has just ended, its end waits from now on.
    pub(super) fn ended(&mut self, header: &Header, tracker: &mut Tracker) {
        let Some(open) = tracker.take_ended() else { return };
        let (file, pos) = tracker.event_at();
        let meta = SourceMeta {
            transaction: open.id,
            gtid: open.gtid_text,
            file: Arc::clone(file),
            pos,
            server_id: header.server_id,
            ts_us: open.ts_us,
            late: false,
        };
        self.waiting.push_back((meta, Waiting::End(open.captured)));
    }

    /// Hands on what waits.
    pub(super) fn hand_on(
        &mut self,
        f: &mut impl FnMut(ChangeEvent<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if let Some(gap) = &self.gap {
            f(ChangeEvent::Mark(Mark::Gap(gap)))?;
            self.gap = None;
        }
        while let Some((meta, waiting)) = self.waiting.front() {
            f(ChangeEvent::Mark(match waiting {
                Waiting::End(tables) => Mark::End { meta, tables },
                Waiting::Definition { ordinal, change } => Mark::Definition {
                    meta,
                    ordinal: *ordinal,
                    change,
                },
            }))?;
            self.waiting.pop_front();
        }
        Ok(())
    }
}

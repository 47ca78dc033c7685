//! Statements and rows, by what they mean for the open transaction. Pure.

use super::{Act, Follow, MICROS, Tracker};
use crate::position::Flavour;
use crate::retry::Failure;
use crate::source::decode::Header;
use crate::source::decode::query::{Query, qualifiers};

impl Tracker {
    pub(super) fn followed(&mut self, act: Act, header: &Header) -> Result<Act, Failure> {
        match &self.open {
            Some(open) if open.follow == Follow::Yes => Ok(act),
            Some(_) => Ok(Act::Quiet),
            // A known leak of OceanBase's GTID filter: the tail of a transaction that was read before, without
            // its GTID. Its commit finds nothing open either, so the position stays.
            None if self.flavour == Flavour::OceanBase && self.gtid_set.is_some() => {
                if act == Act::Rows {
                    self.left_out.stray = self.left_out.stray.saturating_add(1);
                }
                Ok(Act::Quiet)
            }
            None => Err(Failure::halt(
                "rows_outside_transaction",
                format!(
                    "rows outside of any transaction before {}:{} (event type {})",
                    self.file, self.pos, header.kind
                ),
                "start from a position at the beginning of a transaction (START_POSITION)",
            )),
        }
    }

    pub(super) fn query(
        &mut self,
        header: &Header,
        db: &[u8],
        query: Query,
        text: &[u8],
        touches: impl Fn(&str) -> bool,
    ) -> Result<Act, Failure> {
        let begun = self.open.as_ref().is_some_and(|open| open.begun);
        match query {
            Query::Begin | Query::BeginXa => {
                let xa = query == Query::BeginXa;
                match &mut self.open {
                    Some(open) => (open.begun, open.xa) = (true, xa),
                    None if self.gtid_set.is_none() => {
                        let ts_us = u64::from(header.timestamp).saturating_mul(MICROS);
                        self.begin(None, None, ts_us, true)?;
                        self.open.iter_mut().for_each(|open| open.xa = xa);
                    }
                    None => {}
                }
                Ok(Act::Quiet)
            }
            Query::Commit | Query::Finish => self.commit(),
            Query::Rollback => match &self.open {
                Some(open) if open.follow == Follow::Yes && open.rows > 0 => Err(Failure::halt(
                    "transaction_rolled_back",
                    format!(
                        "transaction {} was rolled back after {} rows of it were read",
                        open.id, open.rows
                    ),
                    "compare its rows downstream with the database, then restart from a position behind it",
                )),
                Some(_) | None => self.commit(),
            },
            Query::Nothing => Ok(Act::Quiet),
            Query::Dml => {
                let followed = self.open.as_ref().is_none_or(|open| open.follow == Follow::Yes);
                let db = String::from_utf8_lossy(db);
                let reaches = touches(&db) || qualifiers(text).any(|db| touches(&db));
                if followed && reaches {
                    return Err(Failure::halt(
                        "statement_event",
                        format!(
                            "rows were changed by a statement in database {db:?}, logged without them, before {}:{}",
                            self.file, self.pos
                        ),
                        "set binlog_format=ROW for every session, then restart from a position behind the statement",
                    ));
                }
                if begun { Ok(Act::Quiet) } else { self.commit() }
            }
            Query::Definition(definition) => {
                let boundary = !begun && self.commit()? == Act::Boundary;
                Ok(Act::Definition { definition, boundary })
            }
            Query::Other if begun => Ok(Act::Quiet),
            Query::Other => self.commit(),
        }
    }
}

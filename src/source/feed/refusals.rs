//! What is said of events that cannot be read with certainty.

use super::At;
use crate::change::TableId;
use crate::retry::Failure;
use crate::source::rows::DecodeError;
use crate::source::tables::Mapped;

pub(super) fn undecodable(error: &DecodeError, what: &str, place: &str) -> Failure {
    Failure::halt(
        "row_undecodable",
        format!("{what} at {place} cannot be read: {error}"),
        "do what the message says, then restart from a position behind the event; otherwise report it with the event (mysqlbinlog --hexdump)",
    )
}

pub(super) fn rows_of(mapped: &Mapped) -> String {
    format!("a rows event of table {}", mapped.map.id)
}

pub(super) fn unmapped(table_id: u64, at: &At) -> Failure {
    Failure::halt(
        "table_map_missing",
        format!("the rows event at {at} refers to table id {table_id}, which its statement did not name"),
        "restart from a position at the beginning of a transaction (START_POSITION)",
    )
}

/// An XA transaction is logged when it is prepared; whether it is committed stands elsewhere in the binlog.
pub(super) fn prepared_only(transaction: &str, table: &TableId) -> Failure {
    Failure::halt(
        "xa_transaction",
        format!("the XA transaction {transaction} changes {table}: its rows may still be rolled back"),
        "change captured tables in ordinary transactions, or leave the table out with DATABASE_TABLES; then restart \
         from a position behind it",
    )
}

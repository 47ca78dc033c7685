//! What is said when rows may have been relayed with another definition than was in force.

use crate::change::TableId;
use crate::position::FilePosition;
use crate::retry::Reason;
use crate::source::feed::Feed;
use crate::source::tables::Doubt;

pub(super) fn read_late(doubt: &Doubt, feed: &Feed) -> Reason {
    Reason {
        code: "schema_read_late",
        message: format!(
            "table {} was changed at {}, and the definition that its rows since {} were read with was asked for after \
             that: names, labels or signs in those records may be the newer ones; compare them with the database",
            doubt.id,
            feed.place(),
            doubt.since.file
        ),
    }
}

pub(super) fn unannounced(
    id: &TableId,
    agreed: Option<&FilePosition>,
    read_to: &FilePosition,
    what: &[String],
) -> Reason {
    let since = agreed.map_or_else(|| String::from("the start"), ToString::to_string);
    Reason {
        code: "schema_changed_silently",
        message: format!(
            "table {id} was changed without a statement in the binlog: {}; rows from {read_to} on are read with the \
             new definition, those between {since} and {read_to} were relayed with the old one and cannot be told \
             apart: compare them with the database",
            what.join(", ")
        ),
    }
}

//! What a field's name asks for: a piece of the change, or a column.

use crate::config::TupleNames;
use crate::record::FieldKind;

/// A part of a change that is no column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The record's stable identity, as in its attributes.
    Id,
    /// `c`, `u` or `d`.
    Operation,
    /// The database.
    Db,
    /// The table.
    Table,
    /// When it was committed, microseconds since 1970.
    Micros,
    /// The transaction's GTID.
    Gtid,
    /// The binlog file.
    File,
    /// The rows event's offset in it.
    Pos,
    /// The row's ordinal in its transaction.
    Row,
    /// The row before, as a JSON object.
    Before,
    /// The row after, as a JSON object.
    After,
    /// `I`, `U` or `D`.
    OperationFlag,
    /// The server id.
    Server,
    /// When it was committed; milliseconds where the field is not a TIMESTAMP.
    Time,
    /// `Y` where the columns are those of the row before, else `N`.
    IsBefore,
    /// `Y` where the columns are those of the row after, else `N`.
    IsAfter,
}

impl Piece {
    /// Whether some changes have none.
    pub(super) fn may_be_null(self) -> bool {
        matches!(self, Self::Gtid | Self::Before | Self::After)
    }

    /// The field types that take it; the first is what the generated schema has.
    pub(super) fn kinds(self) -> &'static [FieldKind] {
        match self {
            Self::Micros => &[FieldKind::Timestamp, FieldKind::BigInt, FieldKind::String],
            Self::Time => &[FieldKind::String, FieldKind::BigInt, FieldKind::Timestamp],
            Self::Pos | Self::Row => &[FieldKind::BigInt, FieldKind::String],
            Self::Server => &[FieldKind::String, FieldKind::BigInt],
            Self::Before | Self::After => &[FieldKind::String, FieldKind::Json],
            Self::Id
            | Self::Operation
            | Self::Db
            | Self::Table
            | Self::Gtid
            | Self::File
            | Self::OperationFlag
            | Self::IsBefore
            | Self::IsAfter => &[FieldKind::String],
        }
    }
}

const NATIVE: &[(&str, Piece)] = &[
    ("__id", Piece::Id),
    ("__op", Piece::Operation),
    ("__db", Piece::Db),
    ("__table", Piece::Table),
    ("__ts_us", Piece::Micros),
    ("__gtid", Piece::Gtid),
    ("__file", Piece::File),
    ("__pos", Piece::Pos),
    ("__row", Piece::Row),
    ("__before", Piece::Before),
    ("__after", Piece::After),
];

/// The additional columns of Alibaba Cloud DTS by its old rule. Its new rule puts [`DTS_NEW`] before them.
const DTS: &[(&str, Piece)] = &[
    ("dts_record_id", Piece::Id),
    ("dts_operation_flag", Piece::OperationFlag),
    ("dts_instance_id", Piece::Server),
    ("dts_db_name", Piece::Db),
    ("dts_table_name", Piece::Table),
    ("dts_utc_timestamp", Piece::Time),
    ("dts_before_flag", Piece::IsBefore),
    ("dts_after_flag", Piece::IsAfter),
];

const DTS_NEW: &str = "new_dts_sync_";
/// What the old rule also puts before each column's own name.
const DTS_OLD: &str = "dts_";

/// The piece that a field of this name takes, in any case.
pub(super) fn piece(names: TupleNames, field: &str) -> Option<Piece> {
    let (table, field) = match names {
        TupleNames::Native => (NATIVE, field),
        TupleNames::Dts => (DTS, without(DTS_NEW, field)?),
        TupleNames::DtsLegacy => (DTS, field),
    };
    table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(field))
        .map(|(_, piece)| *piece)
}

/// The column that a field of this name takes, in any case.
pub(super) fn column(names: TupleNames, field: &str) -> Option<&str> {
    match names {
        TupleNames::Native | TupleNames::Dts => Some(field),
        TupleNames::DtsLegacy => without(DTS_OLD, field),
    }
}

/// The fields of the pieces that a generated schema has, and what the column's name gets before it.
pub(super) fn generated(names: TupleNames) -> (Vec<(String, Piece)>, &'static str) {
    let named = |prefix: &str, table: &[(&str, Piece)]| {
        let field = |(name, piece): &(&str, Piece)| (format!("{prefix}{name}"), *piece);
        table.iter().map(field).collect()
    };
    match names {
        TupleNames::Native => (named("", NATIVE), ""),
        TupleNames::Dts => (named(DTS_NEW, DTS), ""),
        TupleNames::DtsLegacy => (named("", DTS), DTS_OLD),
    }
}

fn without<'f>(prefix: &str, field: &'f str) -> Option<&'f str> {
    let (head, rest) = field.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ask_for_pieces_in_each_of_the_styles() {
        use TupleNames::{Dts, DtsLegacy, Native};
        for (names, field, expected, of_column) in [
            (Native, "__op", Some(Piece::Operation), Some("__op")),
            (Native, "__TS_US", Some(Piece::Micros), Some("__TS_US")),
            (Native, "op", None, Some("op")),
            (Native, "dts_record_id", None, Some("dts_record_id")),
            (Dts, "new_dts_sync_dts_record_id", Some(Piece::Id), None),
            (Dts, "dts_record_id", None, Some("dts_record_id")),
            (Dts, "__op", None, Some("__op")),
            (DtsLegacy, "dts_record_id", Some(Piece::Id), Some("record_id")),
            (DtsLegacy, "DTS_Address", None, Some("Address")),
            (DtsLegacy, "address", None, None),
        ] {
            assert_eq!(piece(names, field), expected, "{field}");
            if of_column.is_some() || names == DtsLegacy {
                assert_eq!(column(names, field), of_column, "{field}");
            }
        }
    }

    #[test]
    fn a_generated_schema_asks_for_what_it_names() {
        for names in [TupleNames::Native, TupleNames::Dts, TupleNames::DtsLegacy] {
            let (pieces, prefix) = generated(names);
            for (field, expected) in pieces {
                assert_eq!(piece(names, &field), Some(expected));
            }
            assert_eq!(column(names, &format!("{prefix}c")), Some("c"));
        }
    }
}

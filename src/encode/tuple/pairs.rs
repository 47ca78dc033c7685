//! Which column may fill which field: one table of pairs, each allowed in a form or refused.
//!
//! A pair is allowed if every value of the column has a place in the field, or if the few that have none are
//! found one by one and refused: the smallest BIGINT, a flag other than 0 and 1, a zero date, text that is not
//! JSON. A pair in which values could lose digits or meaning is refused before anything is sent.

use crate::change::ColumnKind;
use crate::record::FieldKind;
use crate::source::value::Plain;

/// Most digits of a DataHub DECIMAL.
const DECIMAL_DIGITS: u8 = 38;

/// How the column's values are written into the field; `None` if they must not be.
pub(super) fn form(column: &ColumnKind, field: FieldKind) -> Option<Plain> {
    match field {
        FieldKind::Unknown => None,
        // Everything has a text, and it is the one that the JSON envelopes show.
        FieldKind::String => Some(Plain::Text),
        FieldKind::TinyInt => fits_integer(column, 7, 2),
        FieldKind::SmallInt => fits_integer(column, 15, 4),
        FieldKind::Integer => fits_integer(column, 31, 9),
        FieldKind::BigInt => fits_integer(column, 63, 18),
        FieldKind::Decimal => fits_decimal(column),
        // Whole numbers up to 2 to the power of 24 and 53 are exact.
        FieldKind::Float => matches!(column, ColumnKind::Float)
            .then_some(Plain::Text)
            .or_else(|| whole(column, 24)),
        FieldKind::Double => matches!(column, ColumnKind::Float | ColumnKind::Double)
            .then_some(Plain::Text)
            .or_else(|| whole(column, 53)),
        FieldKind::Boolean => is_flag(column).then_some(Plain::Boolean),
        FieldKind::Timestamp => matches!(column, ColumnKind::Timestamp { .. }).then_some(Plain::Micros),
        // MariaDB's JSON is text.
        FieldKind::Json if matches!(column, ColumnKind::Text { .. }) => Some(Plain::Json),
        FieldKind::Json => matches!(column, ColumnKind::Json | ColumnKind::Geometry).then_some(Plain::Text),
    }
}

/// The field type that holds every value of the column: what the generated schema has. JSON gets a STRING: the
/// official Python SDK knows no fields of type JSON.
pub(super) fn suggested(column: &ColumnKind) -> FieldKind {
    let exact: &[FieldKind] = if matches!(column, ColumnKind::Timestamp { .. }) {
        &[FieldKind::Timestamp]
    } else if matches!(column, ColumnKind::Decimal { .. }) {
        &[FieldKind::Decimal]
    } else {
        &[
            FieldKind::TinyInt,
            FieldKind::SmallInt,
            FieldKind::Integer,
            FieldKind::BigInt,
            FieldKind::Decimal,
            FieldKind::Float,
            FieldKind::Double,
        ]
    };
    let fits = |kind: &&FieldKind| form(column, **kind).is_some();
    exact.iter().find(fits).copied().unwrap_or(FieldKind::String)
}

/// Why the pair is refused, and what to declare instead.
pub(super) fn objection(column: &ColumnKind, field: FieldKind) -> &'static str {
    match (column, field) {
        (_, FieldKind::Unknown) => "this version does not know the field's type",
        (ColumnKind::DateTime { .. } | ColumnKind::Date | ColumnKind::Time { .. }, FieldKind::Timestamp) => {
            "it has no time zone, so it names no instant"
        }
        (
            ColumnKind::Integer { .. } | ColumnKind::Bit { .. },
            FieldKind::TinyInt | FieldKind::SmallInt | FieldKind::Integer | FieldKind::BigInt,
        ) => "its larger values would overflow",
        (
            ColumnKind::Decimal { .. } | ColumnKind::Integer { .. } | ColumnKind::Bit { .. },
            FieldKind::Float | FieldKind::Double | FieldKind::Decimal,
        ) => "its longer numbers would lose digits",
        (ColumnKind::Float | ColumnKind::Double, FieldKind::Float | FieldKind::Decimal) => {
            "its values would be rounded"
        }
        _ => "the types have nothing in common",
    }
}

/// The column as SQL names it.
pub(super) fn declared(column: &ColumnKind) -> &'static str {
    match column {
        ColumnKind::Integer { bytes, unsigned } => match (bytes, unsigned) {
            (1, false) => "TINYINT",
            (1, true) => "TINYINT UNSIGNED",
            (2, false) => "SMALLINT",
            (2, true) => "SMALLINT UNSIGNED",
            (3, false) => "MEDIUMINT",
            (3, true) => "MEDIUMINT UNSIGNED",
            (4, false) => "INT",
            (4, true) => "INT UNSIGNED",
            (_, false) => "BIGINT",
            (_, true) => "BIGINT UNSIGNED",
        },
        ColumnKind::Float => "FLOAT",
        ColumnKind::Double => "DOUBLE",
        ColumnKind::Decimal { .. } => "DECIMAL",
        ColumnKind::Bit { .. } => "BIT",
        ColumnKind::Date => "DATE",
        ColumnKind::DateTime { .. } => "DATETIME",
        ColumnKind::Timestamp { .. } => "TIMESTAMP",
        ColumnKind::Time { .. } => "TIME",
        ColumnKind::Year => "YEAR",
        ColumnKind::Text { .. } => "CHAR, VARCHAR or TEXT",
        ColumnKind::FixedBinary { .. } => "BINARY",
        ColumnKind::Binary => "VARBINARY or BLOB",
        ColumnKind::Enum { .. } => "ENUM",
        ColumnKind::Set { .. } => "SET",
        ColumnKind::Json => "JSON",
        ColumnKind::Geometry => "GEOMETRY",
        ColumnKind::Uuid => "UUID",
        ColumnKind::Inet4 => "INET4",
        ColumnKind::Inet6 => "INET6",
    }
}

/// Bits that the column's whole numbers take without their sign; `None` where it has none.
fn bits(column: &ColumnKind) -> Option<u32> {
    if let ColumnKind::Integer { bytes, unsigned } = column {
        return Some(8 * u32::from(*bytes) - u32::from(!unsigned));
    }
    if let ColumnKind::Bit { bits } = column {
        return Some(u32::from(*bits));
    }
    matches!(column, ColumnKind::Year).then_some(12)
}

fn whole(column: &ColumnKind, most: u32) -> Option<Plain> {
    (bits(column)? <= most).then_some(Plain::Text)
}

fn fits_integer(column: &ColumnKind, most: u32, digits: u8) -> Option<Plain> {
    if let ColumnKind::Decimal { precision, scale } = column {
        return (*scale == 0 && *precision <= digits).then_some(Plain::Text);
    }
    whole(column, most).map(|text| {
        if bits(column) == Some(63) {
            Plain::BigInt
        } else {
            text
        }
    })
}

fn fits_decimal(column: &ColumnKind) -> Option<Plain> {
    if let ColumnKind::Decimal { precision, .. } = column {
        return (*precision <= DECIMAL_DIGITS).then_some(Plain::Text);
    }
    whole(column, 64)
}

fn is_flag(column: &ColumnKind) -> bool {
    matches!(
        column,
        ColumnKind::Integer { bytes: 1, .. } | ColumnKind::Bit { bits: 1 }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Charset;

    const FIELDS: [FieldKind; 12] = [
        FieldKind::TinyInt,
        FieldKind::SmallInt,
        FieldKind::Integer,
        FieldKind::BigInt,
        FieldKind::Float,
        FieldKind::Double,
        FieldKind::Boolean,
        FieldKind::Timestamp,
        FieldKind::String,
        FieldKind::Decimal,
        FieldKind::Json,
        FieldKind::Unknown,
    ];

    fn integer(bytes: u8, unsigned: bool) -> ColumnKind {
        ColumnKind::Integer { bytes, unsigned }
    }

    fn decimal(precision: u8, scale: u8) -> ColumnKind {
        ColumnKind::Decimal { precision, scale }
    }

    /// Every pair of a column and a field type: allowed are those named here, and nothing else.
    #[test]
    fn every_pair_is_allowed_or_refused() {
        use FieldKind::{
            BigInt, Boolean, Decimal, Double, Float, Integer, Json, SmallInt, String, Timestamp, TinyInt,
        };
        let charset = Charset::Utf8;
        let labels = vec!["a".to_owned()];
        let cases: Vec<(ColumnKind, FieldKind, &[FieldKind])> = vec![
            // column, what the generated schema has, everything else that is allowed beside STRING
            (
                integer(1, false),
                TinyInt,
                &[SmallInt, Integer, BigInt, Float, Double, Boolean, Decimal],
            ),
            (
                integer(1, true),
                SmallInt,
                &[Integer, BigInt, Float, Double, Boolean, Decimal],
            ),
            (
                integer(2, false),
                SmallInt,
                &[Integer, BigInt, Float, Double, Decimal],
            ),
            (integer(2, true), Integer, &[BigInt, Float, Double, Decimal]),
            (integer(3, false), Integer, &[BigInt, Float, Double, Decimal]),
            (integer(3, true), Integer, &[BigInt, Float, Double, Decimal]),
            (integer(4, false), Integer, &[BigInt, Double, Decimal]),
            (integer(4, true), BigInt, &[Double, Decimal]),
            (integer(8, false), BigInt, &[Decimal]),
            (integer(8, true), Decimal, &[]),
            (ColumnKind::Float, Float, &[Double]),
            (ColumnKind::Double, Double, &[]),
            (decimal(2, 0), Decimal, &[TinyInt, SmallInt, Integer, BigInt]),
            (decimal(4, 0), Decimal, &[SmallInt, Integer, BigInt]),
            (decimal(9, 0), Decimal, &[Integer, BigInt]),
            (decimal(18, 0), Decimal, &[BigInt]),
            (decimal(19, 0), Decimal, &[]),
            (decimal(10, 2), Decimal, &[]),
            (decimal(38, 30), Decimal, &[]),
            (decimal(39, 0), String, &[]),
            (decimal(65, 30), String, &[]),
            (
                ColumnKind::Bit { bits: 1 },
                TinyInt,
                &[SmallInt, Integer, BigInt, Float, Double, Boolean, Decimal],
            ),
            (ColumnKind::Bit { bits: 31 }, Integer, &[BigInt, Double, Decimal]),
            (ColumnKind::Bit { bits: 63 }, BigInt, &[Decimal]),
            (ColumnKind::Bit { bits: 64 }, Decimal, &[]),
            (ColumnKind::Date, String, &[]),
            (ColumnKind::DateTime { digits: 6 }, String, &[]),
            (ColumnKind::Timestamp { digits: 0 }, Timestamp, &[]),
            (ColumnKind::Time { digits: 0 }, String, &[]),
            (
                ColumnKind::Year,
                SmallInt,
                &[Integer, BigInt, Float, Double, Decimal],
            ),
            (ColumnKind::Text { charset }, String, &[Json]),
            (ColumnKind::FixedBinary { length: 3 }, String, &[]),
            (ColumnKind::Binary, String, &[]),
            (
                ColumnKind::Enum {
                    labels: labels.clone(),
                },
                String,
                &[],
            ),
            (ColumnKind::Set { labels }, String, &[]),
            (ColumnKind::Json, String, &[Json]),
            (ColumnKind::Geometry, String, &[Json]),
            (ColumnKind::Uuid, String, &[]),
            (ColumnKind::Inet4, String, &[]),
            (ColumnKind::Inet6, String, &[]),
        ];
        for (column, first, others) in cases {
            assert_eq!(suggested(&column), first, "{column:?}");
            for field in FIELDS {
                let allowed = field == first || field == String || others.contains(&field);
                assert_eq!(
                    form(&column, field).is_some(),
                    allowed,
                    "{column:?} into {field:?}"
                );
                assert!(!objection(&column, field).is_empty());
            }
            assert!(!declared(&column).is_empty());
        }
    }

    #[test]
    fn values_that_may_not_fit_are_checked_one_by_one() {
        assert_eq!(form(&integer(8, false), FieldKind::BigInt), Some(Plain::BigInt));
        assert_eq!(
            form(&ColumnKind::Bit { bits: 63 }, FieldKind::BigInt),
            Some(Plain::BigInt)
        );
        assert_eq!(form(&integer(4, true), FieldKind::BigInt), Some(Plain::Text));
        assert_eq!(form(&integer(1, false), FieldKind::Boolean), Some(Plain::Boolean));
        let charset = Charset::Utf8;
        let text = ColumnKind::Text { charset };
        assert_eq!(form(&text, FieldKind::Json), Some(Plain::Json));
        assert_eq!(form(&ColumnKind::Json, FieldKind::Json), Some(Plain::Text));
    }
}

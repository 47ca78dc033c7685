//! A table's columns against a topic's fields: what fills what, or why it cannot be.

use super::TupleTopic;
use super::names::{self, Piece};
use super::pairs;
use crate::change::{Charset, ColumnKind, TableId};
use crate::config::TupleNames;
use crate::config::filter::columns::Treatment;
use crate::record::{FieldKind, TopicField};
use crate::source::value::Plain;

/// What fills a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    /// NULL, always.
    Nothing,
    Piece(Piece),
    /// The column's ordinal, and how its values are written.
    Column(usize, Plain),
}

/// Why a table cannot be written into the topic, or not without a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Stable, in snake_case.
    pub code: &'static str,
    /// Whether nothing can be written before it is mended; else columns are left out.
    pub fatal: bool,
    /// One sentence.
    pub seen: String,
    /// What to do, as an imperative sentence.
    pub remedy: String,
}

/// A column that readers may see.
struct Candidate<'a> {
    /// Its place in the row image.
    ordinal: usize,
    name: &'a str,
    kind: &'a ColumnKind,
}

/// What a mask makes of any column.
const MASKED: ColumnKind = ColumnKind::Text {
    charset: Charset::Utf8,
};

/// What fills each field, in the topic's order, and what is wrong with it.
pub(super) fn examine(
    topic: &TupleTopic,
    table: &TableId,
    columns: &[(&str, &ColumnKind)],
) -> (Vec<Filler>, Vec<Misfit>) {
    let mut misfits = Vec::new();
    let columns: Vec<Candidate<'_>> = columns
        .iter()
        .enumerate()
        .filter_map(|(ordinal, (name, kind))| {
            let kind = match topic.rules.of(&table.db, &table.table, name) {
                None => *kind,
                Some(Treatment::Exclude) => return None,
                Some(Treatment::Constant(_) | Treatment::Hmac) => &MASKED,
            };
            Some(Candidate { ordinal, name, kind })
        })
        .collect();
    let fillers: Vec<Filler> = topic
        .fields
        .iter()
        .map(|field| {
            filler(field, topic.names, table, &columns).unwrap_or_else(|misfit| {
                misfits.push(misfit);
                Filler::Nothing
            })
        })
        .collect();
    let whole_rows = fillers.contains(&Filler::Piece(Piece::After));
    let left_out = columns.iter().filter(|column| {
        let takes_it =
            |filler: &Filler| matches!(filler, Filler::Column(taken, _) if *taken == column.ordinal);
        !whole_rows && !fillers.iter().any(takes_it)
    });
    let left_out: Vec<&str> = left_out.map(|column| column.name).collect();
    // A field that was refused is the reason, and was said.
    if misfits.is_empty() && !left_out.is_empty() {
        misfits.push(Misfit {
            code: "tuple_column_without_field",
            fatal: false,
            seen: format!(
                "the topic has no field for columns of {table}: {}",
                left_out.join(", ")
            ),
            remedy: "append fields of their names to the topic, or one named __after for the whole row; \
                     otherwise they are left out"
                .to_owned(),
        });
    }
    (fillers, misfits)
}

fn filler(
    field: &TopicField,
    names: TupleNames,
    table: &TableId,
    columns: &[Candidate<'_>],
) -> Result<Filler, Misfit> {
    let name = &field.name;
    let misfit = |code, seen: String, remedy: String| Misfit {
        code,
        fatal: true,
        seen,
        remedy,
    };
    let piece = names::piece(names, name);
    let wanted = names::column(names, name);
    let mut found = columns
        .iter()
        .filter(|column| wanted.is_some_and(|wanted| column.name.eq_ignore_ascii_case(wanted)));
    match (piece, found.next(), found.next()) {
        (Some(_), Some(column), _) | (None, Some(column), Some(_)) => Err(misfit(
            "tuple_field_ambiguous",
            format!(
                "the field {name} could take the column {} of {table}, and something else as well",
                column.name
            ),
            "rename the field or the column, or choose other names with TUPLE_NAMES".to_owned(),
        )),
        (Some(piece), None, _) => of_piece(field, piece),
        (None, Some(column), None) => match pairs::form(column.kind, field.kind) {
            Some(form) => Ok(Filler::Column(column.ordinal, form)),
            None => Err(misfit(
                "tuple_type_mismatch",
                format!(
                    "the column {} of {table} is {}, the field {name} is {}: {}",
                    column.name,
                    pairs::declared(column.kind),
                    field.kind.name(),
                    pairs::objection(column.kind, field.kind)
                ),
                format!("declare the field as {}", accepted(column.kind)),
            )),
        },
        (None, None, _) if field.nullable => Ok(Filler::Nothing),
        (None, None, _) => Err(misfit(
            "tuple_field_unfilled",
            format!("nothing in {table} fills the field {name}, which is declared NOT NULL"),
            "let the field allow NULL, rename it to the column that it should take, or exclude the table \
             (DATABASE_TABLES)"
                .to_owned(),
        )),
    }
}

fn of_piece(field: &TopicField, piece: Piece) -> Result<Filler, Misfit> {
    let name = &field.name;
    if !piece.kinds().contains(&field.kind) {
        let kinds: Vec<&str> = piece.kinds().iter().map(|kind| kind.name()).collect();
        return Err(Misfit {
            code: "tuple_type_mismatch",
            fatal: true,
            seen: format!(
                "the field {name} is {}, which cannot hold what its name asks for",
                field.kind.name()
            ),
            remedy: format!("declare the field as {}", kinds.join(" or ")),
        });
    }
    if piece.may_be_null() && !field.nullable {
        return Err(Misfit {
            code: "tuple_field_not_null",
            fatal: true,
            seen: format!("the field {name} is declared NOT NULL, but not every change has it"),
            remedy: "let the field allow NULL".to_owned(),
        });
    }
    Ok(Filler::Piece(piece))
}

/// The field types that take the column, the narrowest first.
fn accepted(kind: &ColumnKind) -> String {
    let first = pairs::suggested(kind);
    if first == FieldKind::String {
        return first.name().to_owned();
    }
    format!("{} or STRING", first.name())
}

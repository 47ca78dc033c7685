//! A TUPLE topic's record: each field takes what its name asks for.
//!
//! A field named like a piece of the change (`__op` and so on) takes that; any other takes the column of its name,
//! from the row after, or from the row before of a delete. Names compare without case, as the service does.
//! Which column may fill which field is settled per table before its first row ([`TupleTopic::examine`], the same at
//! preflight and here). The fields lie in the payload as `record.rs` says.

mod mapping;
mod names;
mod pairs;
mod schema;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::image::{LEFT_OVER, OTHER_COLUMNS, Spelling, write_number, write_object};
use super::plan::{Failed, Plan};
use crate::change::{ColumnKind, Operation, RowChange, RowImage, TableId, TableSchema};
use crate::config::TupleNames;
use crate::config::filter::columns::ColumnRules;
use crate::record::{FieldKind, TopicField, begin_field, end_field, push_null};
use crate::source::value::{ValueError, unquote};
use mapping::Filler;
pub use mapping::Misfit;
use names::Piece;
pub use schema::Generated;

/// What records are made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// One blob each, in the envelope of the settings.
    Blob,
    /// Fields.
    Tuple(TupleTopic),
}

/// A TUPLE topic, and how its fields are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TupleTopic {
    /// Its fields, in order.
    pub fields: Arc<[TopicField]>,
    /// What their names mean.
    pub names: TupleNames,
    /// Columns that are left out or masked.
    pub rules: ColumnRules,
}

impl TupleTopic {
    /// What is wrong with writing rows of these columns into the topic. Nothing fatal: they can be.
    pub fn examine(&self, table: &TableId, columns: &[(&str, &ColumnKind)]) -> Vec<Misfit> {
        mapping::examine(self, table, columns).1
    }

    /// What fills each field from rows of this table.
    ///
    /// # Errors
    /// The first fatal [`Misfit`].
    pub(super) fn fillers(&self, schema: &TableSchema) -> Result<Fillers, Misfit> {
        let columns: Vec<_> = schema
            .columns
            .iter()
            .map(|c| (c.name.as_str(), &c.kind))
            .collect();
        let (fillers, misfits) = mapping::examine(self, &schema.id, &columns);
        match misfits.into_iter().find(|misfit| misfit.fatal) {
            Some(misfit) => Err(misfit),
            None => Ok(Fillers(fillers)),
        }
    }
}

/// What fills each field, in the topic's order.
#[derive(Debug)]
pub(super) struct Fillers(Vec<Filler>);

/// Writes records of a TUPLE topic.
#[derive(Debug)]
pub(super) struct Tuple {
    topic: TupleTopic,
    /// Where each column's value begins in the image, `None` for NULL. Used again for each row.
    places: Vec<Option<usize>>,
}

impl Tuple {
    pub(super) fn new(topic: TupleTopic) -> Self {
        Self {
            topic,
            places: Vec::new(),
        }
    }

    pub(super) fn fillers(&self, schema: &TableSchema) -> Result<Fillers, Misfit> {
        self.topic.fillers(schema)
    }

    /// Appends the row's fields to `out`. After an error it holds a part of them, which the caller cuts off.
    pub(super) fn write(
        &mut self,
        plan: &Plan,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let (Some(fillers), Some(shown)) = (&plan.fillers, row.after.as_ref().or(row.before.as_ref())) else {
            return Err(Failed::image(
                "there is no image, or no plan for the topic's fields",
            ));
        };
        self.locate(plan, shown)?;
        for (field, filler) in self.topic.fields.iter().zip(&fillers.0) {
            match *filler {
                Filler::Nothing => push_null(out),
                Filler::Piece(piece) => write_piece(piece, field, plan, row, out)?,
                Filler::Column(ordinal, form) => {
                    let fault = |cause| Failed::column(ordinal, cause);
                    let place = self.places.get(ordinal).copied().flatten();
                    match (place, plan.columns.get(ordinal)) {
                        (None, _) | (_, None) if field.nullable => push_null(out),
                        (None, _) | (_, None) => return Err(fault(ValueError::Null)),
                        (Some(place), Some(column)) => {
                            let begin = begin_field(out);
                            let mut value = shown.values.get(place..).unwrap_or_default();
                            let written = match &column.rule {
                                None => column.cell.write_plain(form, &mut value, out),
                                Some(rule) => rule.write(&column.cell, &mut value, out),
                            };
                            written.map_err(fault)?;
                            if column.rule.is_some() {
                                unquote(out, begin);
                            }
                            end(out, begin)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds where in the image each column's value begins.
    fn locate(&mut self, plan: &Plan, image: &RowImage<'_>) -> Result<(), Failed> {
        self.places.clear();
        let mut values = image.values;
        if image.nulls.len() != plan.columns.len().div_ceil(8) {
            return Err(Failed::image(OTHER_COLUMNS));
        }
        for (columns, nulls) in plan.columns.chunks(8).zip(image.nulls) {
            let mut nulls = *nulls;
            for column in columns {
                if nulls & 1 == 1 {
                    self.places.push(None);
                } else {
                    self.places.push(Some(image.values.len() - values.len()));
                    let skipped = column.cell.skip(&mut values);
                    skipped.map_err(|cause| Failed::column(self.places.len() - 1, cause))?;
                }
                nulls >>= 1;
            }
        }
        if values.is_empty() {
            Ok(())
        } else {
            Err(Failed::image(LEFT_OVER))
        }
    }
}

fn end(out: &mut [u8], begin: usize) -> Result<(), Failed> {
    if end_field(out, begin) {
        Ok(())
    } else {
        Err(Failed::image("a field is longer than 4 GiB"))
    }
}

fn write_piece(
    piece: Piece,
    field: &TopicField,
    plan: &Plan,
    row: &RowChange<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failed> {
    let meta = row.meta;
    let missing = (piece == Piece::Gtid && meta.gtid.is_none())
        || (piece == Piece::Before && row.before.is_none())
        || (piece == Piece::After && row.after.is_none());
    if missing {
        push_null(out);
        return Ok(());
    }
    let begin = begin_field(out);
    let flag = |set: bool| if set { "Y" } else { "N" };
    let mut text = |text: &str| out.extend_from_slice(text.as_bytes());
    match piece {
        Piece::Id => {
            text(&meta.transaction);
            out.push(b':');
            write_number(row.row, out);
        }
        Piece::Operation => text(row.operation.letter()),
        Piece::OperationFlag => text(match row.operation {
            Operation::Create => "I",
            Operation::Update => "U",
            Operation::Delete => "D",
        }),
        Piece::Db => text(&plan.schema.id.db),
        Piece::Table => text(&plan.schema.id.table),
        Piece::Gtid => text(meta.gtid.as_deref().unwrap_or_default()),
        Piece::File => text(&meta.file),
        Piece::Pos => write_number(meta.pos, out),
        Piece::Row => write_number(row.row, out),
        Piece::Server => write_number(u64::from(meta.server_id), out),
        Piece::Micros => write_number(meta.ts_us, out),
        Piece::Time if field.kind == FieldKind::Timestamp => write_number(meta.ts_us, out),
        Piece::Time => write_number(meta.ts_us / 1000, out),
        // The columns are those of the row after wherever there is one.
        Piece::IsBefore => text(flag(row.after.is_none())),
        Piece::IsAfter => text(flag(row.after.is_some())),
        Piece::Before | Piece::After => {
            let image = if piece == Piece::Before {
                &row.before
            } else {
                &row.after
            };
            if let Some(image) = image {
                write_object(plan, image, Spelling::Json, out, None)?;
            }
        }
    }
    end(out, begin)
}

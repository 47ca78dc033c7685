//! A table as every envelope needs it, worked out once: what its columns are called and how they are written.

use std::sync::Arc;

use super::key::md5;
use crate::change::{ColumnKind, TableSchema};
use crate::source::value::{Cell, ValueError, write_json_string};

/// A table's columns, ready to be written.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: Arc<TableSchema>,
    /// Hash key of all rows where the table routes.
    pub(super) table_hash: u128,
    /// In the order of the row image.
    pub(super) columns: Vec<PlannedColumn>,
    /// Number of key columns.
    pub(super) keys: usize,
    /// What the envelope writes of the table into every record.
    pub(super) text: TableText,
}

/// What an envelope writes of the table into every record, in one or two pieces.
pub(super) type TableText = [Vec<u8>; 2];

/// One column, ready to be written.
#[derive(Debug)]
pub(super) struct PlannedColumn {
    /// `,"name":`; the first one's comma becomes the object's brace.
    pub(super) label: Box<[u8]>,
    pub(super) cell: Cell,
    /// Place in the primary key.
    pub(super) key: Option<usize>,
    /// A SET, which one envelope spells in its own way.
    pub(super) is_set: bool,
}

/// A value or a schema that cannot be written.
#[derive(Debug)]
pub(super) struct Failed {
    /// The column's ordinal; `None` where the image as a whole is wrong.
    column: Option<usize>,
    pub(super) cause: ValueError,
}

impl Failed {
    /// The column's name, for the error.
    pub(super) fn name<'s>(&self, schema: &'s TableSchema) -> &'s str {
        self.column
            .and_then(|ordinal| schema.columns.get(ordinal))
            .map_or("", |column| column.name.as_str())
    }

    pub(super) fn image(what: &'static str) -> Self {
        Self {
            column: None,
            cause: ValueError::Schema(what),
        }
    }

    pub(super) fn column(ordinal: usize, cause: ValueError) -> Self {
        Self {
            column: Some(ordinal),
            cause,
        }
    }
}

impl Plan {
    /// `text` is the envelope's own part.
    pub(super) fn new(schema: &Arc<TableSchema>, text: TableText) -> Result<Self, Failed> {
        let mut columns = Vec::with_capacity(schema.columns.len());
        for (ordinal, column) in schema.columns.iter().enumerate() {
            let mut label = b",".to_vec();
            write_json_string(&column.name, &mut label);
            label.push(b':');
            columns.push(PlannedColumn {
                label: label.into(),
                cell: Cell::new(column).map_err(|cause| Failed::column(ordinal, cause))?,
                key: schema.primary_key.iter().position(|key| *key == ordinal),
                is_set: matches!(column.kind, ColumnKind::Set { .. }),
            });
        }
        let keys = columns.iter().filter(|column| column.key.is_some()).count();
        if keys != schema.primary_key.len() {
            return Err(Failed::image("the primary key names columns that are not there"));
        }
        Ok(Self {
            schema: Arc::clone(schema),
            table_hash: md5(schema.id.to_string().as_bytes()),
            columns,
            keys,
            text,
        })
    }
}

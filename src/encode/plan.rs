//! A table as every envelope needs it, worked out once: what its columns are called and how they are written.

use std::sync::Arc;

use super::key::md5;
use super::rules::{Rule, Rules};
use super::tuple::{Fillers, Misfit};
use crate::change::{Column, ColumnKind, TableId, TableSchema};
use crate::source::value::{Cell, ValueError, write_json_string};

/// A table's columns, ready to be written.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: Arc<TableSchema>,
    /// The table's name, to be shared with its records.
    pub(super) table: Arc<TableId>,
    /// Hash key of all rows where the table routes.
    pub(super) table_hash: u128,
    /// In the order of the row image.
    pub(super) columns: Vec<PlannedColumn>,
    /// Number of key columns.
    pub(super) keys: usize,
    /// Whether any column is left out or masked.
    pub(super) is_ruled: bool,
    /// Whether a column that routes is left out or masked. Routing goes by the original all the same: only the
    /// shard tells of it.
    pub(super) rule_routes: bool,
    /// Whether a column that routes is a SET.
    pub(super) set_routes: bool,
    /// What the envelope writes of the table into every record.
    pub(super) text: TableText,
    /// What fills the fields of a TUPLE topic.
    pub(super) fillers: Option<Fillers>,
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
    /// What is shown instead of its values.
    pub(super) rule: Option<Rule>,
}

impl PlannedColumn {
    #[inline]
    pub(super) fn is_excluded(&self) -> bool {
        matches!(self.rule, Some(Rule::Exclude))
    }
}

/// A table as readers see it: without the columns that are left out.
pub(super) struct Shown<'s> {
    pub(super) id: &'s TableId,
    /// In the order of the row image.
    pub(super) columns: Vec<&'s Column>,
    /// In key order.
    pub(super) key: Vec<&'s Column>,
}

/// A value or a schema that cannot be written.
#[derive(Debug)]
pub(super) struct Failed {
    /// The column's ordinal; `None` where the image as a whole is wrong.
    column: Option<usize>,
    pub(super) cause: Cause,
}

/// What is wrong.
#[derive(Debug)]
pub(super) enum Cause {
    Value(ValueError),
    /// The column is part of the key and must not have a rule.
    RuleOnKey,
    /// The topic's fields cannot take the table.
    Misfit(Box<Misfit>),
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
            cause: Cause::Value(ValueError::Schema(what)),
        }
    }

    pub(super) fn column(ordinal: usize, cause: ValueError) -> Self {
        Self {
            column: Some(ordinal),
            cause: Cause::Value(cause),
        }
    }

    fn rule_on_key(ordinal: usize) -> Self {
        Self {
            column: Some(ordinal),
            cause: Cause::RuleOnKey,
        }
    }

    pub(super) fn misfit(misfit: Misfit) -> Self {
        Self {
            column: None,
            cause: Cause::Misfit(Box::new(misfit)),
        }
    }
}

/// Hash key of a table's rows where the table routes, and of what is told of its definition.
pub(super) fn table_hash(id: &TableId) -> u128 {
    md5(id.to_string().as_bytes())
}

impl Plan {
    /// `text` writes the envelope's own part.
    pub(super) fn new(
        schema: &Arc<TableSchema>,
        rules: &Rules,
        text: impl FnOnce(&Shown<'_>) -> TableText,
    ) -> Result<Self, Failed> {
        let id = &schema.id;
        let mut columns = Vec::with_capacity(schema.columns.len());
        for (ordinal, column) in schema.columns.iter().enumerate() {
            let mut label = b",".to_vec();
            write_json_string(&column.name, &mut label);
            label.push(b':');
            let rule = rules.of(&id.db, &id.table, &column.name);
            let key = schema.primary_key.iter().position(|key| *key == ordinal);
            if rule.is_some() && key.is_some() && !rules.on_keys {
                return Err(Failed::rule_on_key(ordinal));
            }
            columns.push(PlannedColumn {
                label: label.into(),
                cell: Cell::new(column).map_err(|cause| Failed::column(ordinal, cause))?,
                key,
                is_set: matches!(column.kind, ColumnKind::Set { .. }),
                rule,
            });
        }
        let keys = columns.iter().filter(|column| column.key.is_some()).count();
        if keys != schema.primary_key.len() {
            return Err(Failed::image("the primary key names columns that are not there"));
        }
        let is_shown = |ordinal: usize| columns.get(ordinal).is_some_and(|column| !column.is_excluded());
        let column = |ordinal: usize| schema.columns.get(ordinal).filter(|_| is_shown(ordinal));
        let shown = Shown {
            id,
            columns: (0..columns.len()).filter_map(column).collect(),
            key: schema.primary_key.iter().copied().filter_map(column).collect(),
        };
        let text = text(&shown);
        let routes = |column: &&PlannedColumn| keys == 0 || column.key.is_some();
        Ok(Self {
            schema: Arc::clone(schema),
            table: Arc::new(id.clone()),
            table_hash: table_hash(id),
            is_ruled: columns.iter().any(|column| column.rule.is_some()),
            rule_routes: columns.iter().filter(routes).any(|column| column.rule.is_some()),
            set_routes: columns.iter().filter(routes).any(|column| column.is_set),
            columns,
            keys,
            text,
            fillers: None,
        })
    }
}

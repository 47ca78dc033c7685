//! Which envelope is written. A new one is a file beside this with `new`, `text`, `set_now` and `write`, and a variant
//! here.

use super::Settings;
use super::canal::Canal;
use super::debezium::Debezium;
use super::key::KeyText;
use super::marks;
use super::maxwell::Maxwell;
use super::plan::{Failed, Plan, Shown, TableText};
use super::tuple::{Fillers, Tuple};
use crate::change::{Mark, Operation, RowChange, TableSchema};
use crate::config::Envelope;
use crate::position::Flavour;
use crate::record::Layout;

/// The envelope's writer: asked once a row, never once a cell.
#[derive(Debug)]
pub(super) enum Writer {
    Debezium(Debezium),
    Canal(Canal),
    Maxwell(Maxwell),
    /// Not an envelope: the fields of a TUPLE topic.
    Tuple(Tuple),
}

impl Writer {
    pub(super) fn new(settings: &Settings, flavour: Flavour) -> Self {
        match settings.envelope {
            Envelope::Debezium => Self::Debezium(Debezium::new(&settings.group, flavour)),
            Envelope::Canal => Self::Canal(Canal::default()),
            Envelope::Maxwell => Self::Maxwell(Maxwell::default()),
        }
    }

    pub(super) fn set_now(&mut self, ms: u64) {
        match self {
            Self::Debezium(writer) => writer.set_now(ms),
            Self::Canal(writer) => writer.set_now(ms),
            Self::Maxwell(_) | Self::Tuple(_) => {}
        }
    }

    /// What the envelope writes of the table into every record.
    pub(super) fn text(&self, table: &Shown<'_>) -> TableText {
        match self {
            Self::Debezium(_) => Debezium::text(table),
            Self::Canal(_) => Canal::text(table),
            Self::Maxwell(_) => Maxwell::text(table),
            Self::Tuple(_) => TableText::default(),
        }
    }

    /// What fills the fields of a TUPLE topic.
    pub(super) fn fillers(&self, schema: &TableSchema) -> Result<Option<Fillers>, Failed> {
        match self {
            Self::Tuple(writer) => writer.fillers(schema).map(Some).map_err(Failed::misfit),
            Self::Debezium(_) | Self::Canal(_) | Self::Maxwell(_) => Ok(None),
        }
    }

    pub(super) fn layout(&self) -> Layout {
        match self {
            Self::Tuple(_) => Layout::Tuple,
            Self::Debezium(_) | Self::Canal(_) | Self::Maxwell(_) => Layout::Blob,
        }
    }

    /// Whether [`write`](Self::write) can tell where the partition key lies: the row as it routes, or its key
    /// columns, stand in the envelope as Debezium has them.
    pub(super) fn shows_key(&self, plan: &Plan, operation: Operation) -> bool {
        match self {
            _ if plan.rule_routes => false,
            Self::Debezium(_) => true,
            Self::Canal(_) => plan.keys > 0,
            Self::Tuple(_) => false,
            Self::Maxwell(_) => (plan.keys > 0 || operation != Operation::Update) && !plan.set_routes,
        }
    }

    /// Appends the row's envelope to `out`, and tells `key` where in it the partition key lies.
    pub(super) fn write(
        &mut self,
        plan: &Plan,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
        key: &mut KeyText,
    ) -> Result<(), Failed> {
        match self {
            Self::Debezium(writer) => writer.write(plan, row, out, key),
            Self::Canal(writer) => writer.write(plan, row, out, key),
            Self::Maxwell(writer) => writer.write(plan, row, out, key),
            Self::Tuple(writer) => writer.write(plan, row, out),
        }
    }

    /// Appends a record that is no row to `out`.
    pub(super) fn write_mark(&self, mark: &Mark<'_>, out: &mut Vec<u8>) {
        match mark {
            Mark::Begin { meta } => marks::write_begin(meta, out),
            Mark::End { meta, tables } => marks::write_end(meta, tables, out),
            Mark::Gap(gap) => marks::write_gap(gap, out),
            Mark::Definition { meta, change, .. } => match self {
                Self::Debezium(writer) => marks::write_debezium(meta, change, writer.source(), out),
                Self::Canal(writer) => marks::write_canal(meta, change, writer.now_ms(), out),
                Self::Maxwell(_) => marks::write_maxwell(meta, change, out),
                // Nothing asks for it: the configuration and the topic were compared at the start.
                Self::Tuple(_) => {}
            },
        }
    }
}

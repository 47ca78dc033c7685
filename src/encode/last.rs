//! The rows event that parts of an envelope were written for, so that its next row can use them again.

use std::sync::Arc;

use super::plan::Plan;
use crate::change::{Operation, RowChange, SourceMeta, TableSchema};

/// Remembers one rows event.
#[derive(Debug, Default)]
pub(super) struct LastEvent(Option<(Arc<TableSchema>, SourceMeta, Operation)>);

impl LastEvent {
    /// Whether the row comes from the same event.
    #[inline]
    pub(super) fn is(&self, plan: &Plan, row: &RowChange<'_>) -> bool {
        self.0.as_ref().is_some_and(|(schema, meta, operation)| {
            Arc::ptr_eq(schema, &plan.schema)
                && *operation == row.operation
                && meta.pos == row.meta.pos
                && meta == row.meta
        })
    }

    pub(super) fn set(&mut self, plan: &Plan, row: &RowChange<'_>) {
        self.0 = Some((Arc::clone(&plan.schema), row.meta.clone(), row.operation));
    }

    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

//! The schema of a topic that takes a table's rows, as the service's CreateTopic wants it.

use serde_json::{Value, json};

use super::names::{self, Piece};
use super::pairs;
use crate::change::ColumnKind;
use crate::config::TupleNames;
use crate::record::{FieldKind, TopicField};

/// Longest name of a field.
const NAME_BYTES: usize = 128;

/// A generated schema, and what is left to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The fields: pieces of the change first, then the columns in their order.
    pub fields: Vec<TopicField>,
    /// One sentence for each column that has no field.
    pub notes: Vec<String>,
}

impl Generated {
    /// The topic that takes every row of a table with these columns. Key columns are NOT NULL.
    ///
    /// The images of the row have no fields of their own, unless a column cannot have one: then the row after does.
    pub fn of(names: TupleNames, columns: &[(&str, &ColumnKind)], primary_key: &[usize]) -> Self {
        let (pieces, prefix) = names::generated(names);
        let (mut notes, mut clashing) = (Vec::new(), Vec::new());
        let mut of_columns: Vec<TopicField> = Vec::new();
        for (ordinal, (column, kind)) in columns.iter().enumerate() {
            let name = format!("{prefix}{column}");
            // A field of such a name could mean the one or the other, and is refused.
            if names::piece(names, &name).is_some() {
                notes.push(format!(
                    "the column {column} is left out: a field of its name would mean a piece of the change"
                ));
                clashing.push(name);
                continue;
            }
            let taken = of_columns
                .iter()
                .any(|field| field.name.eq_ignore_ascii_case(&name));
            if !is_name(&name) || taken {
                notes.push(format!(
                    "the column {column} is left out: DataHub has no field of its name"
                ));
                continue;
            }
            of_columns.push(TopicField {
                name,
                kind: pairs::suggested(kind),
                nullable: !primary_key.contains(&ordinal),
            });
        }
        let left_out = !notes.is_empty();
        let mut fields = Vec::new();
        for (name, piece) in pieces {
            if clashing.iter().any(|clash| clash.eq_ignore_ascii_case(&name)) {
                continue;
            }
            let wanted = piece != Piece::Before && (piece != Piece::After || left_out);
            if wanted {
                fields.push(TopicField {
                    name,
                    kind: piece.kinds().first().copied().unwrap_or(FieldKind::String),
                    nullable: piece.may_be_null(),
                });
            }
        }
        fields.append(&mut of_columns);
        Self { fields, notes }
    }

    /// As CreateTopic's `RecordSchema` and the SDKs take it.
    pub fn record_schema(&self) -> Value {
        let fields: Vec<Value> = self
            .fields
            .iter()
            .map(|field| json!({"name": field.name, "type": field.kind.name(), "notnull": !field.nullable}))
            .collect();
        json!({ "fields": fields })
    }
}

/// What the service accepts as a field's name. Its documentation wants a letter first; Alibaba Cloud's own
/// DataWorks makes fields that begin with `_`.
fn is_name(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && rest && name.len() <= NAME_BYTES && !name.eq_ignore_ascii_case("system_time")
}

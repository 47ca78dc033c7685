//! The envelope as a consumer reads it: which change a record shows, and whether its images are right.

use serde_json::{Map, Value};

use crate::workload::{Cell, CommitLog, Key, Operation, Table};

type Object = Map<String, Value>;

/// A record, read.
pub(super) struct Envelope {
    pub(super) key: Key,
    /// The version that the change made; a delete makes the one after its before image.
    pub(super) version: u64,
    operation: Operation,
    before: Option<Object>,
    after: Option<Object>,
}

impl Envelope {
    /// Reads a Debezium JSON object; the error says in words what is missing.
    pub(super) fn parse(payload: &[u8]) -> Result<Envelope, String> {
        let value: Value = serde_json::from_slice(payload).map_err(|error| format!("not JSON: {error}"))?;
        let name = value.pointer("/source/table").and_then(Value::as_str).ok_or("no source.table")?;
        let table = Table::named(name).ok_or_else(|| format!("table {name} is not the workload's"))?;
        let operation = match value.get("op").and_then(Value::as_str) {
            Some("c") => Operation::Insert,
            Some("u") => Operation::Update,
            Some("d") => Operation::Delete,
            other => return Err(format!("op is {other:?}")),
        };
        let image = |name: &str| value.get(name).and_then(Value::as_object).cloned();
        let (before, after) = (image("before"), image("after"));
        let newest = if operation == Operation::Delete { &before } else { &after };
        let newest = newest.as_ref().ok_or("the image is missing")?;
        let values: Option<Vec<String>> =
            table.key_columns().iter().map(|column| newest.get(*column).and_then(plain)).collect();
        let values = values.ok_or("the primary key is missing")?;
        let key = Key::parse(table, &values).ok_or_else(|| format!("no key of {name}: {values:?}"))?;
        let version = newest.get("version").and_then(Value::as_u64).ok_or("the version is missing")?;
        let version = if operation == Operation::Delete { version + 1 } else { version };
        Ok(Envelope { key, version, operation, before, after })
    }

    /// Holds operation and images against what was committed; the error says where they differ.
    pub(super) fn compare(&self, log: &CommitLog, committed: Operation) -> Result<(), String> {
        if self.operation != committed {
            return Err(format!("shown as {:?}, was {committed:?}", self.operation));
        }
        let (before, after) = match committed {
            Operation::Insert => (None, Some(self.version)),
            Operation::Update => (Some(self.version - 1), Some(self.version)),
            Operation::Delete => (Some(self.version - 1), None),
        };
        let expected = |version: Option<u64>| version.map(|version| log.row(self.key, version));
        compare_image("before", self.before.as_ref(), expected(before))?;
        compare_image("after", self.after.as_ref(), expected(after))
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn compare_image(
    name: &str,
    found: Option<&Object>,
    expected: Option<Vec<(&'static str, Cell)>>,
) -> Result<(), String> {
    let (found, expected) = match (found, expected) {
        (None, None) => return Ok(()),
        (Some(_), None) => return Err(format!("{name} should be null")),
        (None, Some(_)) => return Err(format!("{name} is missing")),
        (Some(found), Some(expected)) => (found, expected),
    };
    for (column, cell) in &expected {
        match found.get(*column) {
            Some(value) if cell.is_json(value) => {}
            Some(value) => return Err(format!("{name}.{column} is {value}, was {cell:?}")),
            None => return Err(format!("{name}.{column} is missing")),
        }
    }
    if found.len() != expected.len() {
        return Err(format!("{name} has {} columns, the table has {}", found.len(), expected.len()));
    }
    Ok(())
}

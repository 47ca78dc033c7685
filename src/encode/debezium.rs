//! The Debezium JSON envelope without schema: one object a row change.
//!
//! What is the same for many rows is written once: column names with a table's [`Plan`], `source` and
//! `transaction` with every rows event. A row then costs its values and a few copies.

use std::sync::Arc;

use super::key::{KeyText, md5};
use crate::change::{Operation, RowChange, RowImage, SourceMeta, TableSchema};
use crate::position::Flavour;
use crate::source::value::{Cell, ValueError, write_json_string};

/// A table as the envelope needs it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: Arc<TableSchema>,
    /// Hash key of all rows where the table routes.
    pub(super) table_hash: u128,
    columns: Vec<PlannedColumn>,
    /// Number of key columns.
    keys: usize,
    /// `"db":"…","table":"…"`
    name: Vec<u8>,
}

#[derive(Debug)]
struct PlannedColumn {
    /// `{"id":` for the first, `,"name":` for the others.
    label: Box<[u8]>,
    cell: Cell,
    /// Place in the primary key.
    key: Option<usize>,
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
    pub(super) fn column<'s>(&self, schema: &'s TableSchema) -> &'s str {
        self.column
            .and_then(|ordinal| schema.columns.get(ordinal))
            .map_or("", |column| column.name.as_str())
    }

    fn image(cause: ValueError) -> Self {
        Self { column: None, cause }
    }
}

impl Plan {
    pub(super) fn new(schema: &Arc<TableSchema>) -> Result<Self, Failed> {
        let mut columns = Vec::with_capacity(schema.columns.len());
        for (ordinal, column) in schema.columns.iter().enumerate() {
            let mut label = vec![if ordinal == 0 { b'{' } else { b',' }];
            write_json_string(&column.name, &mut label);
            label.push(b':');
            columns.push(PlannedColumn {
                label: label.into(),
                cell: Cell::new(column).map_err(|cause| Failed {
                    column: Some(ordinal),
                    cause,
                })?,
                key: schema.primary_key.iter().position(|key| *key == ordinal),
            });
        }
        let keys = columns.iter().filter(|column| column.key.is_some()).count();
        if keys != schema.primary_key.len() {
            return Err(Failed::image(ValueError::Schema(
                "the primary key names columns that are not there",
            )));
        }
        let mut name = b"\"db\":".to_vec();
        write_json_string(&schema.id.db, &mut name);
        name.extend_from_slice(b",\"table\":");
        write_json_string(&schema.id.table, &mut name);
        Ok(Self {
            schema: Arc::clone(schema),
            table_hash: md5(schema.id.to_string().as_bytes()),
            columns,
            keys,
            name,
        })
    }
}

/// Writes envelopes, and remembers the parts that the next row is likely to share.
#[derive(Debug)]
pub(super) struct Envelope {
    /// `,"source":{"version":"…","connector":"…","name":"…","ts_ms":`
    source: Vec<u8>,
    now_ms: u64,
    /// The rows event that `head` and `tail` were written for.
    event: Option<(Arc<TableSchema>, SourceMeta, Operation)>,
    /// From `,"source":` up to the row's ordinal.
    head: Vec<u8>,
    /// From behind the row's ordinal up to the order in the transaction.
    tail: Vec<u8>,
}

impl Envelope {
    pub(super) fn new(group: &str, flavour: Flavour) -> Self {
        let mut source = b",\"source\":{\"version\":".to_vec();
        write_json_string(env!("CARGO_PKG_VERSION"), &mut source);
        source.extend_from_slice(b",\"connector\":");
        let connector = match flavour {
            Flavour::MySql => "mysql",
            Flavour::MariaDb => "mariadb",
            Flavour::OceanBase => "oceanbase",
        };
        write_json_string(connector, &mut source);
        source.extend_from_slice(b",\"name\":");
        write_json_string(group, &mut source);
        source.extend_from_slice(b",\"ts_ms\":");
        Self {
            source,
            now_ms: 0,
            event: None,
            head: Vec::new(),
            tail: Vec::new(),
        }
    }

    pub(super) fn set_now(&mut self, ms: u64) {
        if self.now_ms != ms {
            self.now_ms = ms;
            self.event = None;
        }
    }

    /// Appends the row's envelope to `out`, and tells `key` where in it the partition key lies. After an error
    /// `out` holds a part of it, which the caller cuts off.
    pub(super) fn write(
        &mut self,
        plan: &Plan,
        row: &RowChange<'_>,
        out: &mut Vec<u8>,
        key: &mut KeyText,
    ) -> Result<(), Failed> {
        let complete = match row.operation {
            Operation::Create => row.before.is_none() && row.after.is_some(),
            Operation::Update => row.before.is_some() && row.after.is_some(),
            Operation::Delete => row.before.is_some() && row.after.is_none(),
        };
        if !complete {
            return Err(Failed::image(ValueError::Schema(
                "the images do not fit the operation",
            )));
        }
        self.prepare(plan, row);
        key.spans.clear();
        key.spans.resize(plan.keys.max(1), 0..0);
        out.extend_from_slice(b"{\"before\":");
        match &row.before {
            Some(image) => write_image(plan, image, out, Some(&mut *key))?,
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"after\":");
        // The before image routes where there is one.
        let key = row.before.is_none().then_some(key);
        match &row.after {
            Some(image) => write_image(plan, image, out, key)?,
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(&self.head);
        write_number(row.row, out);
        out.extend_from_slice(&self.tail);
        write_number(row.row.saturating_add(1), out);
        out.extend_from_slice(b"}}");
        Ok(())
    }

    /// Writes `head` and `tail` unless they are this rows event's already.
    fn prepare(&mut self, plan: &Plan, row: &RowChange<'_>) {
        let meta = row.meta;
        if let Some((schema, last, operation)) = &self.event
            && Arc::ptr_eq(schema, &plan.schema)
            && *operation == row.operation
            && last.pos == meta.pos
            && last == meta
        {
            return;
        }
        let out = &mut self.head;
        out.clear();
        out.extend_from_slice(&self.source);
        write_number(meta.ts_us / 1000, out);
        out.extend_from_slice(b",\"snapshot\":\"false\",");
        out.extend_from_slice(&plan.name);
        out.extend_from_slice(b",\"ts_us\":");
        write_number(meta.ts_us, out);
        out.extend_from_slice(b",\"server_id\":");
        write_number(u64::from(meta.server_id), out);
        out.extend_from_slice(b",\"gtid\":");
        match &meta.gtid {
            Some(gtid) => write_json_string(gtid, out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"file\":");
        write_json_string(&meta.file, out);
        out.extend_from_slice(b",\"pos\":");
        write_number(meta.pos, out);
        out.extend_from_slice(b",\"row\":");
        let out = &mut self.tail;
        out.clear();
        out.extend_from_slice(b"},\"op\":\"");
        out.extend_from_slice(row.operation.letter().as_bytes());
        out.extend_from_slice(b"\",\"ts_ms\":");
        write_number(self.now_ms, out);
        out.extend_from_slice(b",\"transaction\":{\"id\":");
        write_json_string(&meta.transaction, out);
        out.extend_from_slice(b",\"total_order\":");
        self.event = Some((Arc::clone(&plan.schema), meta.clone(), row.operation));
    }
}

/// Appends one image as a JSON object.
fn write_image(
    plan: &Plan,
    image: &RowImage<'_>,
    out: &mut Vec<u8>,
    mut key: Option<&mut KeyText>,
) -> Result<(), Failed> {
    let start = out.len();
    let mut values = image.values;
    if image.nulls.len() != plan.columns.len().div_ceil(8) {
        return Err(Failed::image(ValueError::Schema(
            "the image is of another number of columns",
        )));
    }
    let mut ordinal = 0;
    for (columns, nulls) in plan.columns.chunks(8).zip(image.nulls) {
        let mut nulls = *nulls;
        for column in columns {
            out.extend_from_slice(&column.label);
            let begin = out.len();
            if nulls & 1 == 1 {
                out.extend_from_slice(b"null");
            } else {
                column.cell.write_json(&mut values, out).map_err(|cause| Failed {
                    column: Some(ordinal),
                    cause,
                })?;
            }
            if let (Some(place), Some(key)) = (column.key, key.as_deref_mut())
                && let Some(span) = key.spans.get_mut(place)
            {
                *span = begin..out.len();
            }
            nulls >>= 1;
            ordinal += 1;
        }
    }
    if plan.columns.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    if !values.is_empty() {
        return Err(Failed::image(ValueError::Schema(
            "bytes are left over behind the last column",
        )));
    }
    if plan.keys == 0
        && let Some(span) = key.and_then(|key| key.spans.first_mut())
    {
        *span = start..out.len();
    }
    Ok(())
}

fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

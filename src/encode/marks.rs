//! Records that are no rows: where a transaction begins and ends, what changed a definition, and what was lost.
//!
//! Begin and end have the form of Debezium's transaction metadata in every envelope: Canal keeps them out of its flat
//! messages, and Maxwell has none. A gap has one form as well, for none of the three knows such a thing. A change of
//! definitions has the envelope's own form, as far as the statement's text goes: what the table's columns became is not
//! in it.

use super::image::write_number;
use crate::change::{Definition, DefinitionChange, DefinitionObject, Gap, SourceMeta, TableId};
use crate::position::{GtidSet, Position};
use crate::source::value::write_json_string;

pub(super) fn write_begin(meta: &SourceMeta, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":\"BEGIN\",\"id\":");
    write_json_string(&meta.transaction, out);
    out.extend_from_slice(b",\"event_count\":null,\"data_collections\":null,\"ts_ms\":");
    write_number(meta.ts_us / 1000, out);
    out.push(b'}');
}

pub(super) fn write_end(meta: &SourceMeta, tables: &[(TableId, u64)], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":\"END\",\"id\":");
    write_json_string(&meta.transaction, out);
    out.extend_from_slice(b",\"event_count\":");
    write_number(tables.iter().map(|(_, count)| count).sum(), out);
    out.extend_from_slice(b",\"data_collections\":[");
    for (place, (id, count)) in tables.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"" } else { b"," });
        out.extend_from_slice(b"{\"data_collection\":");
        write_json_string(&id.to_string(), out);
        out.extend_from_slice(b",\"event_count\":");
        write_number(*count, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"ts_ms\":");
    write_number(meta.ts_us / 1000, out);
    out.push(b'}');
}

pub(super) fn write_gap(gap: &Gap, out: &mut Vec<u8>) {
    let Gap {
        from,
        to,
        lost,
        server,
        chosen,
    } = gap;
    out.extend_from_slice(b"{\"op\":\"gap\",\"reason\":\"position_purged\",\"policy\":");
    write_json_string(chosen, out);
    out.extend_from_slice(b",\"from\":");
    write_place(from, out);
    out.extend_from_slice(b",\"to\":");
    write_place(to, out);
    out.extend_from_slice(b",\"lost_gtids\":");
    write_set(lost.as_ref(), out);
    out.extend_from_slice(b",\"server_uuid\":");
    write_json_string(&server.server_uuid, out);
    out.extend_from_slice(b",\"server_id\":");
    write_number(server.server_id, out);
    out.push(b'}');
}

fn write_place(position: &Position, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"file\":");
    write_json_string(&position.file.file, out);
    out.extend_from_slice(b",\"pos\":");
    write_number(position.file.pos, out);
    out.extend_from_slice(b",\"rows\":");
    write_number(position.open.as_ref().map_or(0, |open| open.rows), out);
    out.extend_from_slice(b",\"gtids\":");
    write_set(position.gtid_set.as_ref(), out);
    out.push(b'}');
}

fn write_set(set: Option<&GtidSet>, out: &mut Vec<u8>) {
    match set {
        Some(set) => write_json_string(&set.to_string(), out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Debezium's schema change event. `source` is its `source` up to `ts_ms`.
pub(super) fn write_debezium(
    meta: &SourceMeta,
    change: &DefinitionChange,
    (source, now_ms): (&[u8], u64),
    out: &mut Vec<u8>,
) {
    let DefinitionChange { id, sql, .. } = change;
    out.push(b'{');
    // It begins with the comma that follows a row's images.
    out.extend_from_slice(source.get(1..).unwrap_or_default());
    write_number(meta.ts_us / 1000, out);
    out.extend_from_slice(b",\"snapshot\":\"false\",\"db\":");
    write_json_string(&id.db, out);
    out.extend_from_slice(b",\"table\":");
    write_table(id, out);
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
    out.extend_from_slice(b"},\"ts_ms\":");
    write_number(now_ms, out);
    out.extend_from_slice(b",\"databaseName\":");
    write_json_string(&id.db, out);
    out.extend_from_slice(b",\"schemaName\":null,\"ddl\":");
    write_sql(sql.as_deref(), out);
    out.extend_from_slice(b",\"tableChanges\":[]}");
}

/// Canal's message of a statement.
pub(super) fn write_canal(meta: &SourceMeta, change: &DefinitionChange, now_ms: u64, out: &mut Vec<u8>) {
    let DefinitionChange {
        definition,
        object,
        id,
        sql,
    } = change;
    out.extend_from_slice(b"{\"data\":null,\"database\":");
    write_json_string(&id.db, out);
    out.extend_from_slice(b",\"es\":");
    write_number(meta.ts_us / 1000, out);
    out.extend_from_slice(b",\"gtid\":");
    write_json_string(meta.gtid.as_deref().unwrap_or_default(), out);
    out.extend_from_slice(
        b",\"id\":0,\"isDdl\":true,\"mysqlType\":null,\"old\":null,\"pkNames\":null,\"sql\":",
    );
    write_sql(sql.as_deref(), out);
    out.extend_from_slice(b",\"sqlType\":null,\"table\":");
    write_json_string(&id.table, out);
    out.extend_from_slice(b",\"ts\":");
    write_number(now_ms, out);
    out.extend_from_slice(b",\"type\":");
    let kind = match (object, definition) {
        (DefinitionObject::Database, _) => "QUERY",
        (DefinitionObject::Index, Definition::Drop) => "DINDEX",
        (DefinitionObject::Index, _) => "CINDEX",
        (DefinitionObject::Table, Definition::Create) => "CREATE",
        (DefinitionObject::Table, Definition::Alter) => "ALTER",
        (DefinitionObject::Table, Definition::Drop) => "ERASE",
        (DefinitionObject::Table, Definition::Rename) => "RENAME",
        (DefinitionObject::Table, Definition::Truncate) => "TRUNCATE",
    };
    write_json_string(kind, out);
    out.push(b'}');
}

/// Maxwell's record of a statement. Its time is in milliseconds, unlike that of its rows.
pub(super) fn write_maxwell(meta: &SourceMeta, change: &DefinitionChange, out: &mut Vec<u8>) {
    let DefinitionChange {
        definition,
        object,
        id,
        sql,
    } = change;
    out.extend_from_slice(b"{\"type\":");
    let kind = match (object, definition) {
        (DefinitionObject::Database, Definition::Create) => "database-create",
        (DefinitionObject::Database, Definition::Drop) => "database-drop",
        (DefinitionObject::Database, _) => "database-alter",
        (DefinitionObject::Table, Definition::Create) => "table-create",
        (DefinitionObject::Table, Definition::Drop) => "table-drop",
        (DefinitionObject::Table, Definition::Truncate) => "table-truncate",
        (DefinitionObject::Table | DefinitionObject::Index, _) => "table-alter",
    };
    write_json_string(kind, out);
    out.extend_from_slice(b",\"database\":");
    write_json_string(&id.db, out);
    if !id.table.is_empty() {
        out.extend_from_slice(b",\"table\":");
        write_json_string(&id.table, out);
    }
    out.extend_from_slice(b",\"ts\":");
    write_number(meta.ts_us / 1000, out);
    out.extend_from_slice(b",\"sql\":");
    write_sql(sql.as_deref(), out);
    out.extend_from_slice(b",\"position\":");
    write_json_string(&format!("{}:{}", meta.file, meta.pos), out);
    if let Some(gtid) = &meta.gtid {
        out.extend_from_slice(b",\"gtid\":");
        write_json_string(gtid, out);
    }
    out.push(b'}');
}

fn write_table(id: &TableId, out: &mut Vec<u8>) {
    if id.table.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        write_json_string(&id.table, out);
    }
}

/// The statement, or what stands for one that nobody may see.
fn write_sql(sql: Option<&str>, out: &mut Vec<u8>) {
    write_json_string(sql.unwrap_or("/* left out: it may hold credentials */"), out);
}

//! Statements, and which of the two servers behind the proxy answers each.

use std::time::{SystemTime, UNIX_EPOCH};

use super::packet::Refusal;
use super::request::Wishes;
use super::script::{Generation, Status};
use super::tenant::{SCHEMA, State};

/// What a statement is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An OK packet.
    Done,
    /// A result set.
    Rows(Vec<String>, Vec<Vec<Option<String>>>),
    /// An error.
    Error(Refusal),
    /// An error, and the end of the connection.
    HangUp(Refusal),
}

/// Statements that the proxy carries to the binlog instance.
const CARRIED: [&str; 8] = [
    "show master status",
    "show binary logs",
    "show binlog events",
    "show slave status",
    "purge binary logs",
    "reset master",
    "flush binary logs",
    "show binlog server for tenant",
];

/// Variables whose questions it carries there.
const CARRIED_VARIABLES: [&str; 12] = [
    "gtid_mode",
    "server_id",
    "server_uuid",
    "gtid_executed",
    "gtid_purged",
    "gtid_next",
    "gtid_owned",
    "enforce_gtid_consistency",
    "gtid_executed_compression_period",
    "binlog_gtid_simple_recovery",
    "binlog_gtid_recovery_ordinal",
    "binlog_gtid_recovery_ignore_duplicates",
];

const CARRIED_OF_SESSION: [&str; 3] = ["slave_uuid", "master_heartbeat_period", "master_binlog_checksum"];

fn rows(name: &str, values: impl IntoIterator<Item = Option<String>>) -> Answer {
    Answer::Rows(
        vec![name.to_owned()],
        values.into_iter().map(|value| vec![value]).collect(),
    )
}

fn one(name: &str, value: impl Into<String>) -> Answer {
    rows(name, [Some(value.into())])
}

/// Lower case, single spaces, no semicolon: how both servers tell their statements apart.
fn normal(sql: &str) -> String {
    let words: Vec<&str> = sql.trim().trim_end_matches(';').split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// The variable that is asked for by `SELECT @@x`, where that is all.
fn asked_variable(item: &str) -> Option<&str> {
    let name = item.strip_prefix("@@")?;
    let name = name.strip_prefix("global.").or(name.strip_prefix("session."));
    Some(name.unwrap_or(item.strip_prefix("@@")?))
}

/// The variable that SHOW VARIABLES LIKE asks for.
fn shown_variable(sql: &str) -> Option<&str> {
    let rest = sql.strip_prefix("show ")?;
    let rest = rest
        .strip_prefix("global ")
        .or(rest.strip_prefix("session "))
        .unwrap_or(rest);
    rest.strip_prefix("variables like ")
        .map(|name| name.trim_matches('\''))
}

/// Whether the proxy carries a statement to the instance.
fn is_carried(sql: &str) -> bool {
    if CARRIED.iter().any(|carried| sql.starts_with(carried)) {
        return true;
    }
    if let Some(name) = shown_variable(sql) {
        return CARRIED_VARIABLES.contains(&name);
    }
    let Some(list) = sql.strip_prefix("select ") else {
        return false;
    };
    // Exactly one: a list is the observer's.
    asked_variable(list).is_some_and(|name| CARRIED_VARIABLES.contains(&name))
        || list
            .strip_prefix('@')
            .is_some_and(|name| CARRIED_OF_SESSION.contains(&name))
}

/// Keeps what a session sets for its dump. The proxy carries that over as well.
pub(super) fn set(sql: &str, wishes: &mut Wishes) {
    let sql = normal(sql);
    let Some((name, value)) = sql.strip_prefix("set @").and_then(|rest| rest.split_once('=')) else {
        return;
    };
    let value = value.trim().trim_matches('\'');
    match name.trim() {
        "master_heartbeat_period" => wishes.heartbeat_ns = value.parse().ok(),
        "master_binlog_checksum" => wishes.checksum = Some(value.to_owned()),
        // `@source_heartbeat_period` among them: nobody there knows it.
        _ => {}
    }
}

/// What the proxy makes of a statement.
pub(super) fn of_proxy(state: &mut State, sql: &str, connection: u64) -> Answer {
    let plain = normal(sql);
    if is_carried(&plain) {
        if state.script.status == Status::NoService {
            return Answer::HangUp(Refusal::no_service());
        }
        if state.script.status == Status::Syntax && plain == "show master status" {
            return Answer::Error(Refusal::syntax("MASTER STATUS"));
        }
        let active = state.active;
        return of_instance(state, active, sql);
    }
    of_observer(state, sql, connection)
}

/// What a binlog instance makes of one.
pub(super) fn of_instance(state: &State, at: usize, sql: &str) -> Answer {
    let plain = normal(sql);
    let Some(instance) = state.instances.get(at) else {
        return Answer::Done;
    };
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    if plain == "show master status" {
        let file = instance.files.last();
        let row = file.map(|file| {
            let set = match state.script.generation {
                Generation::V2 => String::new(),
                Generation::V4 => executed(state, at),
            };
            let place = [file.name(), file.end().to_string()];
            place
                .into_iter()
                .chain([String::new(), String::new(), set])
                .map(Some)
                .collect()
        });
        let columns = text(&[
            "File",
            "Position",
            "Binlog_Do_DB",
            "Binlog_Ignore_DB",
            "Executed_Gtid_Set",
        ]);
        return match state.script.status {
            Status::NoResult => Answer::Done,
            Status::Empty => Answer::Rows(columns, Vec::new()),
            Status::Row | Status::Syntax | Status::NoService => {
                Answer::Rows(columns, row.into_iter().collect())
            }
        };
    }
    if plain == "show binary logs" {
        let files = instance.files.iter();
        let list = files.map(|file| vec![Some(file.name()), Some(file.end().to_string())]);
        return Answer::Rows(text(&["Log_name", "File_size"]), list.collect());
    }
    if let Some(name) = shown_variable(&plain) {
        let value = instance_variable(state, at, name);
        let row = value.map(|value| vec![Some(name.to_owned()), Some(value)]);
        return Answer::Rows(text(&["Variable_name", "Value"]), row.into_iter().collect());
    }
    let Some(list) = plain.strip_prefix("select ") else {
        // SHOW BINARY LOG STATUS among them.
        return Answer::Done;
    };
    // Whatever else is asked for is left out.
    let first = list.split(',').next().unwrap_or_default().trim();
    match asked_variable(first) {
        Some(name) => match instance_variable(state, at, name) {
            Some(value) => one(first, value),
            None => Answer::Error(Refusal::fatal(format!("Unknown system variable '{name}'"))),
        },
        None if first.starts_with('@') => rows(first, [None]),
        // Functions and tables are not in the grammar.
        None => Answer::Done,
    }
}

/// Every transaction that an instance has, as text.
fn executed(state: &State, at: usize) -> String {
    let last = state.instances.get(at).map_or(0, |i| i.written);
    set_to(state, last)
}

pub(super) fn set_to(state: &State, last: u64) -> String {
    match last {
        0 => String::new(),
        1 => format!("{}:1", uuid_text(&state.uuid)),
        last => format!("{}:1-{last}", uuid_text(&state.uuid)),
    }
}

/// As the servers write it.
pub(super) fn uuid_text(uuid: &[u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

fn instance_variable(state: &State, at: usize, name: &str) -> Option<String> {
    let instance = state.instances.get(at)?;
    let old = state.script.generation == Generation::V2;
    Some(match name {
        "version" => "8.0.23".to_owned(),
        "version_comment" => "MySQL Community Server - GPL".to_owned(),
        "log_bin" => "OFF".to_owned(),
        "max_allowed_packet" => "4194304".to_owned(),
        "socket" => "/tmp/mysql.sock".to_owned(),
        "wait_timeout" => "28800".to_owned(),
        "gtid_mode" => "ON".to_owned(),
        "server_uuid" => uuid_text(&state.uuid),
        "server_id" if old => "0".to_owned(),
        "server_id" | "master_server_id" => instance.server_id.to_string(),
        "gtid_executed" | "gtid_purged" if old => String::new(),
        "gtid_executed" => executed(state, at),
        "gtid_purged" if state.script.hides_purged => String::new(),
        "gtid_purged" => set_to(state, instance.purged),
        "master_server_uuid" if !old => uuid_text(&state.uuid),
        "binlog_expire_logs_seconds" if !old => "64800".to_owned(),
        "binlog_expire_logs_size" if !old => (50u64 << 30).to_string(),
        "max_binlog_size" if !old => state.script.max_file.to_string(),
        _ => return None,
    })
}

/// What the observer makes of a statement.
pub(super) fn of_observer(state: &mut State, sql: &str, connection: u64) -> Answer {
    let plain = normal(sql);
    if let Some(name) = shown_variable(&plain) {
        let columns = vec!["Variable_name".to_owned(), "Value".to_owned()];
        let value = state.variables.get(name);
        let row = value.map(|value| vec![Some(name.to_owned()), Some(value.clone())]);
        return Answer::Rows(columns, row.into_iter().collect());
    }
    if plain.contains(" from information_schema.") {
        return information_schema(state, sql);
    }
    match plain.as_str() {
        "select version()" => return one("version()", "5.7.25-OceanBase-v4.2.5.1"),
        "select @@version_comment" => {
            let comment = "OceanBase_CE 4.2.5.1 (r101000000000000000-0) (Built Nov 29 2026)";
            return one("@@version_comment", comment);
        }
        "select connection_id()" => return one("connection_id()", connection.to_string()),
        "select unix_timestamp()" => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            return one("unix_timestamp()", now.as_secs().to_string());
        }
        "show slave hosts" | "show relaylog events" => return Answer::Rows(vec!["x".to_owned()], Vec::new()),
        "show master status" => return Answer::Error(Refusal::syntax("MASTER STATUS")),
        _ => {}
    }
    if let Some(rest) = plain.strip_prefix("select ") {
        return select(state, rest, connection);
    }
    if plain.starts_with("set ") {
        return Answer::Done;
    }
    Answer::Error(Refusal::syntax(sql))
}

fn select(state: &mut State, what: &str, connection: u64) -> Answer {
    if let Some(name) = asked_variable(what) {
        return match state.variables.get(name) {
            Some(value) => one(what, value.clone()),
            None => Answer::Error(Refusal {
                code: 1193,
                state: "HY000",
                text: format!("Unknown system variable '{name}'"),
            }),
        };
    }
    let lock = |rest: &str| rest.split('\'').nth(1).map(str::to_owned);
    if let Some(name) = what.strip_prefix("get_lock(").and_then(lock) {
        // Kept when the connection ends: nobody who waits for a dead holder ever gets it.
        let holder = *state.locks.entry(name).or_insert(connection);
        return one(what, u8::from(holder == connection).to_string());
    }
    if let Some(name) = what.strip_prefix("is_used_lock(").and_then(lock) {
        return rows(what, [state.locks.get(&name).map(u64::to_string)]);
    }
    Answer::Error(Refusal::syntax(what))
}

/// The text in quotes behind a word of the statement.
fn quoted_behind<'a>(sql: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = sql.split_once(word)?;
    rest.split('\'').nth(1)
}

/// The columns that a statement selects, for the tables that it means.
fn information_schema(state: &State, sql: &str) -> Answer {
    let Some((list, rest)) = sql.split_once(" FROM information_schema.") else {
        return Answer::Error(Refusal::syntax(sql));
    };
    let list = list.trim_start_matches("SELECT ").trim_start_matches("DISTINCT ");
    let names: Vec<String> = list.split(", ").map(str::to_owned).collect();
    let view = rest.split_whitespace().next().unwrap_or_default();
    let wanted = quoted_behind(rest, "TABLE_NAME = ");
    let here = quoted_behind(rest, "TABLE_SCHEMA = ").is_none_or(|schema| schema == SCHEMA);
    let shapes = state.shapes.values();
    let shapes = shapes.filter(|shape| here && wanted.is_none_or(|name| name == shape.name));
    let mut found: Vec<Vec<(&str, Option<String>)>> = Vec::new();
    for shape in shapes {
        let table = [
            ("TABLE_SCHEMA", Some(SCHEMA.to_owned())),
            ("TABLE_NAME", Some(shape.name.clone())),
            ("TABLE_COLLATION", Some("utf8mb4_general_ci".to_owned())),
        ];
        let columns = shape.columns.iter().enumerate().map(|(at, column)| {
            let of_column = [
                ("COLUMN_NAME", Some(column.name.clone())),
                ("COLUMN_TYPE", Some(column.kind.sql())),
                ("CHARACTER_SET_NAME", column.kind.charset()),
                ("EXTRA", Some(String::new())),
            ];
            let row: Vec<_> = table.iter().cloned().chain(of_column).collect();
            (at, row)
        });
        match view {
            "TABLES" => found.push(table.to_vec()),
            "COLUMNS" => found.extend(columns.map(|(_, row)| row)),
            "STATISTICS" => found.extend(columns.filter(|(at, _)| *at < shape.key).map(|(_, row)| row)),
            _ => {}
        }
    }
    if view == "SCHEMATA" {
        found.push(vec![
            ("SCHEMA_NAME", Some(SCHEMA.to_owned())),
            ("DEFAULT_CHARACTER_SET_NAME", Some("utf8mb4".to_owned())),
        ]);
    }
    let pick = |row: &Vec<(&str, Option<String>)>| -> Vec<Option<String>> {
        let value = |name: &String| row.iter().find(|(known, _)| known == name);
        names
            .iter()
            .map(|name| value(name).and_then(|(_, value)| value.clone()))
            .collect()
    };
    let mut rows: Vec<_> = found.iter().map(pick).collect();
    if sql.contains("DISTINCT") {
        rows.dedup();
    }
    Answer::Rows(names, rows)
}

//! Judging the settings under which rows would be missing from the binlog, or be there in a form that is not read. Pure.

use super::super::Finding;
use super::super::observe::{Listing, Observation};
use super::{names, shown};
use crate::position::Flavour;

/// A variable that has to have one of some values.
struct Must {
    variable: &'static str,
    /// An empty text stands for a server that does not have the variable.
    good: &'static [&'static str],
    code: &'static str,
    /// The statement that puts it right, as far as one can.
    statement: &'static str,
    why: &'static str,
}

const MUST: [Must; 6] = [
    Must {
        variable: "binlog_row_image",
        // Before MySQL 5.6 and in some proxies there is no such variable: rows are always full then.
        good: &["FULL", ""],
        code: "row_image_not_full",
        statement: "SET GLOBAL binlog_row_image = 'FULL'",
        why: "and reconnect the applications: a partial image has no old or no unchanged values",
    },
    Must {
        variable: "binlog_format",
        // A server without the variable has no other format.
        good: &["ROW", ""],
        code: "binlog_format_not_row",
        statement: "SET GLOBAL binlog_format = 'ROW'",
        why: "put it into the server's configuration, and reconnect the applications",
    },
    Must {
        variable: "binlog_row_value_options",
        good: &[""],
        code: "row_values_partial",
        statement: "SET GLOBAL binlog_row_value_options = ''",
        why: "and reconnect the applications: partial JSON updates do not hold the new value",
    },
    Must {
        variable: "log_row_value_options",
        good: &[""],
        code: "row_values_partial",
        statement: "SET GLOBAL log_row_value_options = ''",
        why: "and reconnect the applications: partial JSON updates do not hold the new value",
    },
    Must {
        variable: "binlog_transaction_compression",
        good: &["OFF", "0", ""],
        code: "transaction_compression_on",
        statement: "SET GLOBAL binlog_transaction_compression = OFF",
        why: "and reconnect the applications",
    },
    Must {
        variable: "log_bin_compress",
        good: &["OFF", "0", ""],
        code: "log_bin_compress_on",
        statement: "SET GLOBAL log_bin_compress = OFF",
        why: "and put it into the server's configuration",
    },
];

pub(super) fn judge(seen: &Observation, all: &mut Vec<Finding>) {
    let mut fine = Vec::new();
    for must in &MUST {
        let value = seen.variable(must.variable);
        // OceanBase's answer to this one is canned.
        if must.variable == "binlog_format" && seen.flavour == Flavour::OceanBase {
            continue;
        }
        if !must.good.iter().any(|good| value.eq_ignore_ascii_case(good)) {
            all.push(Finding::fatal(
                must.code,
                format!("{} = {}", must.variable, shown(value)),
                format!("run `{}`, {}", must.statement, must.why),
            ));
        } else if !value.is_empty() {
            fine.push(format!("{} = {value}", must.variable));
        }
    }
    if !fine.is_empty() {
        all.push(Finding::info("settings", fine.join(", ")));
    }
    if seen.variable("binlog_checksum").eq_ignore_ascii_case("none") {
        all.push(Finding::warning(
            "checksum_off",
            "binlog_checksum = NONE",
            "run `SET GLOBAL binlog_checksum = CRC32`, so that damaged events are noticed",
        ));
    }
    metadata(seen, all);
    zone(seen, all);
    schemas_logged(seen, all);
    let relays = seen.is_on("log_replica_updates") || seen.is_on("log_slave_updates");
    if matches!(seen.sources, Listing::Refused(_)) && !relays {
        all.push(Finding::info(
            "not_checked",
            "whether the server is a replica, whose source's rows its binlog would lack: the account may not ask (REPLICA \
             MONITOR)",
        ));
    }
    if !seen.sources.rows().is_empty() && !relays {
        all.push(Finding::fatal(
            "replica_updates_not_logged",
            "the server is a replica with log_slave_updates = OFF: rows of its source are not in its binlog",
            "start it with `--log-slave-updates=ON`, or read the source itself",
        ));
    }
}

/// With the full form the binlog names the columns, and a renamed one is noticed at its place.
fn metadata(seen: &Observation, all: &mut Vec<Finding>) {
    let value = seen.variable("binlog_row_metadata");
    if value.is_empty() {
        return;
    }
    let means = if value.eq_ignore_ascii_case("full") {
        "the binlog names the columns"
    } else {
        "columns are named by definitions that are read from the server; FULL would put the names into the binlog"
    };
    all.push(Finding::info(
        "row_metadata",
        format!("binlog_row_metadata = {value}: {means}"),
    ));
}

/// No zone is wrong, but people who compare values with those of a client have to know it.
fn zone(seen: &Observation, all: &mut Vec<Finding>) {
    let zone = seen.variable("time_zone");
    if zone.is_empty() {
        return;
    }
    let system = match seen.variable("system_time_zone") {
        system if zone.eq_ignore_ascii_case("system") && !system.is_empty() => format!(" ({system})"),
        _ => String::new(),
    };
    all.push(Finding::info(
        "time_zone",
        format!("{zone}{system}: TIMESTAMP columns are relayed in UTC, DATETIME as it was written"),
    ));
}

/// binlog_do_db and binlog_ignore_db drop rows without a trace.
fn schemas_logged(seen: &Observation, all: &mut Vec<Finding>) {
    let Some(status) = seen.status.rows().first() else {
        return;
    };
    let lists = |list: &str, schema: &str| list.split(',').any(|s| s.trim().eq_ignore_ascii_case(schema));
    // A filter on a schema without captured tables is nobody's loss.
    let used = |schema: &String| seen.captured.tables.iter().any(|table| table.db == *schema);
    let missing: Vec<&String> = seen
        .captured
        .schemas
        .iter()
        .filter(|schema| seen.captured.tables.is_empty() || used(schema))
        .filter(|schema| {
            let unlisted = !status.do_db.is_empty() && !lists(&status.do_db, schema);
            unlisted || lists(&status.ignore_db, schema)
        })
        .collect();
    if !missing.is_empty() {
        all.push(Finding::fatal(
            "schema_not_logged",
            format!(
                "binlog_do_db or binlog_ignore_db keeps {} out of the binlog",
                names(missing)
            ),
            "remove binlog_do_db and binlog_ignore_db from the server's configuration and restart it",
        ));
    }
}

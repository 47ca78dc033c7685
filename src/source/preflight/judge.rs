//! Judging: from what was seen to facts and findings. Pure.

mod scope;
mod settings;

use std::collections::BTreeSet;

use super::observe::{BinlogStatus, Listing, Observation};
use super::{Finding, NOT_STARTED, ServerFacts, Severity};
use crate::config::TypePolicy;
use crate::position::{FilePosition, Flavour, GtidSet, ServerIdentity};
use crate::source::connection::FIRST_EVENT;
use crate::source::refusal::MISSING_PRIVILEGES;

/// Retention below which an ordinary outage (a night) can lose rows.
const SHORT_RETENTION_SECONDS: u64 = 6 * 3600;

/// Names listed in one finding; the rest is counted.
const MAX_NAMES: usize = 10;

/// How OceanBase's binlog is reached, for whoever ended up at the wrong port.
const REMEDY_OCEANBASE: &str = "create the tenant's binlog (CREATE BINLOG on the binlog service, usually port 2983), set binlog_service_ip on \
     the ODP, and point DATABASE_HOST and DATABASE_PORT at the ODP (usually 2883): an observer (2881) has no binlog";

pub(super) fn facts(seen: &Observation) -> ServerFacts {
    let status = seen.status.rows().first().cloned().unwrap_or_default();
    let executed = executed(seen, &status);
    let oldest = seen.binlogs.rows().first().map_or(&status.file, |(file, _)| file);
    ServerFacts {
        identity: ServerIdentity {
            flavour: seen.flavour,
            server_uuid: seen.variable("server_uuid").to_owned(),
            server_id: seen.variable("server_id").parse().unwrap_or(0),
        },
        version: seen.version.clone().unwrap_or_default(),
        version_comment: seen.version_comment.clone(),
        gtid: has_gtids(seen, executed.as_ref()),
        gtid_purged: executed.as_ref().and(seen.variable("gtid_purged").parse().ok()),
        gtid_executed: executed,
        oldest: FilePosition {
            file: oldest.clone(),
            pos: FIRST_EVENT,
        },
        head: FilePosition {
            file: status.file,
            pos: status.pos,
        },
        binlogs: seen.binlogs.rows().to_vec(),
        expire_seconds: expire_seconds(seen),
        expire_bytes: expire_bytes(seen),
        write_timeout_seconds: seen.variable("net_write_timeout").parse().ok(),
        captured_tables: seen.captured.tables.len(),
        left_out: match seen.captured.types {
            TypePolicy::Halt => BTreeSet::new(),
            TypePolicy::SkipTable => scope::unsupported(&seen.captured)
                .into_keys()
                .map(ToString::to_string)
                .collect(),
        },
    }
}

/// The executed set; `None` where the server has no such thing or it cannot be read.
fn executed(seen: &Observation, status: &BinlogStatus) -> Option<GtidSet> {
    if seen.flavour == Flavour::MariaDb {
        return None;
    }
    let text = match seen.variable("gtid_executed") {
        "" => &status.executed,
        text => text,
    };
    text.parse().ok()
}

fn has_gtids(seen: &Observation, executed: Option<&GtidSet>) -> bool {
    let on = seen.variable("gtid_mode").eq_ignore_ascii_case("on");
    match seen.flavour {
        Flavour::MariaDb => false,
        Flavour::MySql => on && executed.is_some(),
        // The mode is a canned answer there: without a set, services before 4.x cannot resume by one.
        Flavour::OceanBase => {
            on && executed.is_some_and(|set| !set.is_empty()) && !seen.variable("server_uuid").is_empty()
        }
    }
}

fn expire_seconds(seen: &Observation) -> Option<u64> {
    // MySQL can be told to purge nothing by itself.
    if seen.variables.contains_key("binlog_expire_logs_auto_purge")
        && !seen.is_on("binlog_expire_logs_auto_purge")
    {
        return None;
    }
    let seconds = match seen.variable("binlog_expire_logs_seconds").parse::<u64>() {
        Ok(seconds) if seconds > 0 => seconds,
        // Fractions of a day are possible; whole days are close enough for a warning.
        _ => days(seen.variable("expire_logs_days")).saturating_mul(86_400),
    };
    (seconds > 0).then_some(seconds)
}

/// OceanBase and MariaDB can bound the size of all files together.
fn expire_bytes(seen: &Observation) -> Option<u64> {
    ["binlog_expire_logs_size", "max_binlog_total_size"]
        .iter()
        .filter_map(|name| seen.variable(name).parse().ok())
        .find(|bytes| *bytes > 0)
}

fn days(text: &str) -> u64 {
    text.split('.')
        .next()
        .and_then(|days| days.parse().ok())
        .unwrap_or(0)
}

/// Everything there is to say, in the order in which it was looked at.
pub(super) fn findings(seen: &Observation, server_id: u32) -> Vec<Finding> {
    let facts = facts(seen);
    let mut all = vec![Finding::info(
        "server",
        format!(
            "{} {} ({})",
            facts.identity.flavour, facts.version, facts.version_comment
        ),
    )];
    binlog(seen, &facts, &mut all);
    // Of a server without a binlog the settings of one say nothing.
    if !all.iter().any(|f| f.severity == Severity::Fatal) {
        settings::judge(seen, &mut all);
        gtids(seen, &facts, &mut all);
        retention(seen, &facts, &mut all);
        replicas(seen, &facts, server_id, &mut all);
    }
    scope::privileges(seen, &mut all);
    scope::tables(seen, &facts, &mut all);
    all
}

/// Whether there is a binlog, and where it stands.
fn binlog(seen: &Observation, facts: &ServerFacts, all: &mut Vec<Finding>) {
    let answer = match &seen.status {
        Listing::Refused(reason) => reason.message.clone(),
        Listing::NoResultSet => "SHOW MASTER STATUS was answered without a result".to_owned(),
        Listing::Rows(_) => "SHOW MASTER STATUS lists no file".to_owned(),
    };
    if seen.has_observer && seen.flavour != Flavour::OceanBase {
        all.push(Finding::fatal(
            "observer_other_server",
            format!("DATABASE_OBSERVER_HOST is a {}", seen.flavour),
            "name an observer of OceanBase there, or leave it out: only OceanBase has the binlog and the tables on two servers",
        ));
    } else if seen.flavour == Flavour::OceanBase {
        if seen.version.is_none() {
            all.push(Finding::fatal(
                "binlog_instance_direct",
                "this port is a binlog instance, which cannot be asked for tables and columns",
                "point DATABASE_HOST and DATABASE_PORT at the ODP (usually port 2883), or name an observer of the tenant in \
                 DATABASE_OBSERVER_HOST and DATABASE_OBSERVER_PORT (usually port 2881)",
            ));
        } else if matches!(&seen.status, Listing::Rows(rows) if rows.is_empty()) {
            // Neither an observer, which does not know the statement, nor an instance that does not: both say so.
            all.push(Finding::fatal(
                NOT_STARTED,
                format!("{answer}: the binlog instance has none yet"),
                "wait: a binlog instance that was just made has no file until it has read the tenant's log that far; if it lasts, \
                 see in `SHOW BINLOG INSTANCES` at the binlog service (usually port 2983) whether the instance runs, and in its \
                 log what it waits for",
            ));
        } else if seen.has_observer && facts.head.file.is_empty() {
            all.push(Finding::fatal(
                "no_binlog_service",
                answer,
                "point DATABASE_HOST and DATABASE_PORT at the binlog instance of the tenant (a port from 8100 upward), or leave \
                 DATABASE_OBSERVER_HOST out and use the ODP (usually port 2883)",
            ));
        } else if facts.head.file.is_empty() {
            let claim = format!("{answer}, whatever log_bin = {} claims", seen.variable("log_bin"));
            all.push(Finding::fatal("no_binlog_service", claim, REMEDY_OCEANBASE));
        }
    } else if let Listing::Refused(reason) = &seen.status
        && MISSING_PRIVILEGES.contains(&reason.code)
    {
        all.push(Finding::fatal(
            "replication_privilege_missing",
            reason.message.clone(),
            scope::grant_replication(seen),
        ));
    } else if !seen.is_on("log_bin") || facts.head.file.is_empty() {
        all.push(Finding::fatal(
            "binlog_disabled",
            format!("log_bin = {}; {answer}", shown(seen.variable("log_bin"))),
            "start the server with `--log-bin=binlog --binlog-format=ROW`, or with log_bin and binlog_format=ROW in its \
             configuration",
        ));
    }
    if !facts.head.file.is_empty() {
        let files = facts.binlogs.len();
        all.push(Finding::info(
            "binlog",
            format!("{files} files, from {} to {}", facts.oldest, facts.head),
        ));
    }
}

fn gtids(seen: &Observation, facts: &ServerFacts, all: &mut Vec<Finding>) {
    let mode = seen.variable("gtid_mode");
    match seen.flavour {
        Flavour::MariaDb => all.push(Finding::info("position", "by file and offset")),
        Flavour::MySql | Flavour::OceanBase if facts.gtid => {
            all.push(Finding::info("position", "by GTID set"));
        }
        Flavour::MySql if facts.gtid_executed.is_none() => all.push(Finding::fatal(
            "gtid_tags_unsupported",
            "gtid_executed cannot be read; it probably holds tagged GTIDs",
            "do not use GTID tags: their transactions cannot be followed",
        )),
        Flavour::MySql => all.push(Finding::warning(
            "gtid_off",
            format!("gtid_mode = {}: positions are by file and offset", shown(mode)),
            format!("run {}, so that positions survive a failover", until_on(mode)),
        )),
        Flavour::OceanBase => all.push(Finding::warning(
            "gtid_set_unknown",
            "gtid_executed is empty: positions are by file and offset of one binlog instance",
            "use binlog service 4.x, so that positions survive a failover and gaps are noticed",
        )),
    }
}

/// The server lets the mode be raised by one step at a time.
fn until_on(mode: &str) -> String {
    const STEPS: [&str; 4] = ["OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"];
    let at = STEPS.iter().position(|step| step.eq_ignore_ascii_case(mode));
    let mut statements = vec!["`SET GLOBAL enforce_gtid_consistency = ON`".to_owned()];
    for step in STEPS.iter().skip(at.map_or(1, |at| at + 1)) {
        statements.push(format!("`SET GLOBAL gtid_mode = {step}`"));
    }
    statements.join(", ")
}

fn retention(seen: &Observation, facts: &ServerFacts, all: &mut Vec<Finding>) {
    match facts.expire_seconds {
        Some(seconds) if seconds < SHORT_RETENTION_SECONDS => {
            let raise = if seen.variables.contains_key("binlog_expire_logs_seconds") {
                "`SET GLOBAL binlog_expire_logs_seconds = 86400`"
            } else {
                "`SET GLOBAL expire_logs_days = 1`"
            };
            all.push(Finding::warning(
                "retention_short",
                format!("binlog files are kept for {seconds} s"),
                format!("run {raise}, or more: as long as the longest outage that must not lose rows"),
            ));
        }
        Some(seconds) => all.push(Finding::info(
            "retention",
            format!("binlog files are kept for {seconds} s"),
        )),
        None => all.push(Finding::info(
            "retention",
            "binlog files are not purged by their age, as far as the server says",
        )),
    }
}

fn replicas(seen: &Observation, facts: &ServerFacts, server_id: u32, all: &mut Vec<Finding>) {
    let ours = u64::from(server_id);
    let taken = |id: u64| {
        id == facts.identity.server_id || seen.replicas.rows().iter().any(|(other, _)| *other == id)
    };
    // In the range of the derived ids: far from the small numbers that people give their servers.
    let free = (ours.max(1 << 30)..).find(|id| !taken(*id)).unwrap_or(ours);
    if seen.flavour != Flavour::OceanBase && facts.identity.server_id == ours {
        all.push(Finding::fatal(
            "server_id_of_source",
            format!("{ours} is the id of the server itself"),
            format!("set `DATABASE_SERVER_ID={free}`, or leave it out: no server of this replication may have the same"),
        ));
    } else if let Some((_, host)) = seen.replicas.rows().iter().find(|(id, _)| *id == ours) {
        all.push(Finding::warning(
            "replica_id_registered",
            format!("a replica with id {ours} is connected already, from host {}", shown(host)),
            format!(
                "stop the other collector, or set `DATABASE_SERVER_ID={free}`; a lost connection of our own, and a \
                 collector of this group that is at work, show like this as well"
            ),
        ));
    } else if let Listing::Rows(others) = &seen.replicas {
        let seen = format!("{ours} is none of the {} that are connected", others.len());
        all.push(Finding::info("replica_id", seen));
    } else if seen.flavour != Flavour::OceanBase {
        all.push(Finding::info(
            "not_checked",
            format!(
                "whether {ours} is another replica's id: the account may not ask for those that are connected"
            ),
        ));
    }
}

/// Names with commas, at most [`MAX_NAMES`] of them.
fn names<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let mut text: Vec<String> = all.into_iter().map(|name| name.to_string()).collect();
    let more = text.len().saturating_sub(MAX_NAMES);
    text.truncate(MAX_NAMES);
    let listed = text.join(", ");
    if more > 0 {
        format!("{listed} and {more} more")
    } else {
        listed
    }
}

/// A value as text, visible even where it is empty.
fn shown(value: &str) -> &str {
    if value.is_empty() { "(empty)" } else { value }
}

//! From nothing to a running dump: connect, examine the server, decide where to start, request the binlog.
//!
//! Every attempt examines the server anew: behind one address there may be another server than before. A
//! position is never chosen silently: one that the server cannot continue from is a halt, or where that was chosen
//! (`ON_POSITION_LOST`) a gap that is told of.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use mysql_async::BinlogStream;

use crate::change::Gap;
use crate::config::{DatabaseConfig, RecordsConfig, StartPosition};
use crate::position::{FilePosition, Flavour, GtidSet, Position, ServerIdentity};
use crate::retry::Failure;
use crate::source::asking::Asking;
use crate::source::connection::{self, DumpStart};
use crate::source::failover::{self, BEHIND};
use crate::source::lost;
use crate::source::preflight::{self, Finding, ServerFacts};
use crate::source::schema::load;
use crate::source::transaction::FILE_START;

/// A dump that was requested.
pub struct Opened {
    /// Its events.
    pub stream: BinlogStream,
    /// Other connections, for questions.
    pub asking: Asking,
    /// The server.
    pub facts: ServerFacts,
    /// What was noticed about it.
    pub findings: Vec<Finding>,
    /// Where it starts.
    pub begin: Begin,
    /// The character set that each database gives to its new tables.
    pub charsets: BTreeMap<String, String>,
}

/// Where a dump starts, and what counts as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The point to go on from.
    pub position: Position,
    /// What the first file calls previous counts as read: nobody asked for it.
    pub adopt_previous: bool,
    /// Whether the server itself, or an earlier run, vouches for the position. One that a person wrote may lie in
    /// the middle of an event, which shows only when the server reads there: until then it must not be saved.
    pub proven: bool,
    /// Transactions before this time are left out, microseconds since 1970.
    pub not_before: Option<u64>,
    /// What was lost in front of it.
    pub gap: Option<Gap>,
    /// Whether its file is another binlog instance's than the one that was read before.
    pub moved: bool,
}

/// Connects and requests the dump from `known`, or from the configured start.
///
/// `purged` are transactions that the server is known to have purged although it does not say so, `instance` is the
/// OceanBase binlog instance whose files the position names, as far as it is known.
///
/// # Errors
/// What the network or the server refused, or a position that the server cannot continue from.
pub async fn open(
    config: Arc<DatabaseConfig>,
    records: Arc<RecordsConfig>,
    known: Option<(ServerIdentity, Position)>,
    purged: GtidSet,
    instance: Option<u64>,
) -> Result<Opened, Failure> {
    let mut asking = connection::connect(&config).await?;
    let (facts, mut findings) = preflight::inspect(&mut asking, &config).await?;
    let mut observer = match &config.observer {
        Some(_) => Some(connection::connect(&config.of_tables()).await?),
        None => None,
    };
    let of_tables = observer.as_mut().unwrap_or(&mut asking);
    findings.extend(preflight::column_rules(of_tables, &config, &records).await?);
    preflight::verdict(&findings)?;
    load::prepare(of_tables, config.connect_timeout).await?;
    let charsets = load::database_charsets(of_tables, config.connect_timeout).await?;
    let begin = begin(&config, known, &facts, purged, instance)?;
    let start = match &begin.position.gtid_set {
        Some(set) => DumpStart::Gtid(set.clone()),
        None => DumpStart::File(begin.position.file.clone()),
    };
    let conn = connection::connect(&config).await?;
    let stream = connection::request_dump(conn, facts.identity.flavour, &config, &start).await?;
    let sets = facts.identity.flavour == Flavour::OceanBase && begin.position.gtid_set.is_some();
    Ok(Opened {
        stream,
        asking: Asking::new(asking, observer, sets),
        facts,
        findings,
        begin,
        charsets,
    })
}

/// Where a dump begins on a server with these facts: at `known`, or at the configured start. As [`open`].
///
/// # Errors
/// A position that the server cannot continue from.
pub fn begin(
    config: &DatabaseConfig,
    known: Option<(ServerIdentity, Position)>,
    facts: &ServerFacts,
    purged: GtidSet,
    instance: Option<u64>,
) -> Result<Begin, Failure> {
    let Some((identity, position)) = known else {
        return choose(&config.start, facts);
    };
    failover::same_history(&identity, &position, facts)?;
    let moved = failover::has_moved(&position, facts, instance);
    let position = if moved {
        failover::placed(position, &facts.oldest)
    } else {
        position
    };
    let purged = purged.with(facts.gtid_purged.as_ref().unwrap_or(&GtidSet::default()));
    let (position, gap) = match can_continue(&position, facts, &purged) {
        Ok(()) => (position, None),
        Err(failure) if failure.reason.code == lost::PURGED => {
            let gap = lost::gap(position, facts, &purged, config.position_lost).ok_or(failure)?;
            (gap.to.clone(), Some(gap))
        }
        Err(failure) => return Err(failure),
    };
    Ok(Begin {
        position,
        adopt_previous: false,
        proven: true,
        not_before: None,
        gap,
        moved,
    })
}

/// Whether everything behind the position is still on the server, which has `purged`. OceanBase would not say if it
/// is not.
fn can_continue(position: &Position, facts: &ServerFacts, purged: &GtidSet) -> Result<(), Failure> {
    let Some(set) = &position.gtid_set else {
        return file_is_there(position, facts);
    };
    let behind = |executed: &GtidSet| {
        Failure::retry(
            BEHIND,
            format!("the position {set} has transactions that the server has not: {executed}"),
        )
    };
    // An instance that was just made has read nothing of its tenant's yet.
    if !facts.gtid && facts.identity.flavour == Flavour::OceanBase {
        return Err(behind(&GtidSet::default()));
    }
    if !facts.gtid {
        return Err(Failure::halt(
            "gtid_mode_off",
            "the position is a GTID set, but the server no longer has GTIDs",
            "set gtid_mode=ON on the server",
        ));
    }
    if !set.contains_set(purged) {
        return Err(lost::purged(set, purged));
    }
    match &facts.gtid_executed {
        // An instance that took over may be behind for a while; it must not filter out what it gets later.
        Some(executed) if !executed.is_empty() && !executed.contains_set(set) => Err(behind(executed)),
        Some(_) | None => Ok(()),
    }
}

fn file_is_there(position: &Position, facts: &ServerFacts) -> Result<(), Failure> {
    let at = &position.file;
    match facts.binlogs.iter().find(|(name, _)| *name == at.file) {
        // Of a series that begins anew nobody can say what is missing.
        None if at.order(&facts.head.file, facts.head.pos) == Some(Ordering::Greater) => {
            Err(ahead(at, "last file"))
        }
        None => Err(lost::purged_files(position, &facts.oldest)),
        Some((_, size)) if at.pos > *size => Err(ahead(at, "end of the file")),
        Some(_) => Ok(()),
    }
}

fn ahead(at: &FilePosition, what: &str) -> Failure {
    Failure::halt(
        "position_ahead",
        format!(
            "position {at} is behind the {what} that the server has: it lost its binlog, or is another one"
        ),
        "check that DATABASE_HOST is the server of the checkpoint; remove the checkpoint and set START_POSITION if it was rebuilt",
    )
}

/// The configured start as a position on this server.
fn choose(start: &StartPosition, facts: &ServerFacts) -> Result<Begin, Failure> {
    let at = |gtid_set: Option<GtidSet>, file: &FilePosition| Position {
        gtid_set,
        file: file.clone(),
        open: None,
        parked: Vec::new(),
    };
    let begin = |position, adopt_previous, not_before| Begin {
        position,
        adopt_previous,
        proven: true,
        not_before,
        gap: None,
        moved: false,
    };
    let oldest = FilePosition {
        file: facts.oldest.file.clone(),
        pos: facts.oldest.pos.max(FILE_START),
    };
    let purged = facts.gtid.then(|| facts.gtid_purged.clone().unwrap_or_default());
    match start {
        StartPosition::Latest => {
            // An old OceanBase binlog service has GTIDs and does not tell which: files say where the end is.
            let usable = |set: &GtidSet| facts.identity.flavour == Flavour::MySql || !set.is_empty();
            let set = facts
                .gtid_executed
                .clone()
                .filter(|set| facts.gtid && usable(set));
            Ok(begin(at(set, &facts.head), false, None))
        }
        StartPosition::Earliest => Ok(begin(at(purged, &oldest), true, None)),
        StartPosition::Timestamp(us) => Ok(begin(at(purged, &oldest), true, Some(*us))),
        StartPosition::Gtid(set) if facts.gtid => {
            let position = at(Some(set.clone()), &oldest);
            can_continue(
                &position,
                facts,
                facts.gtid_purged.as_ref().unwrap_or(&GtidSet::default()),
            )?;
            Ok(begin(position, false, None))
        }
        StartPosition::Gtid(_) => Err(Failure::halt(
            "start_gtid_unsupported",
            format!(
                "START_POSITION is a GTID set, but this {} has none",
                facts.identity.flavour
            ),
            "set `START_POSITION=latest`, or earliest, file:… or timestamp:…",
        )),
        StartPosition::File(file) => {
            let position = at(None, file);
            file_is_there(&position, facts)?;
            Ok(Begin {
                proven: false,
                ..begin(position, false, None)
            })
        }
    }
}

#[cfg(test)]
mod tests;

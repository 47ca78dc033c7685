//! Whether the server at the other end continues the position's history, and whether its files are the same ones. Pure.
//!
//! A MySQL or MariaDB server is one history with one series of files. An OceanBase tenant has one history and several
//! binlog instances: they number its transactions alike, under one uuid, and each writes files of its own, under the
//! same names. So there the transactions' numbers decide what a position means. A place in a file means something on the
//! instance that it was read from, and on no other, where it may exist as well.

use crate::position::{FilePosition, Flavour, GtidSet, Position, ServerIdentity};
use crate::retry::Failure;
use crate::source::preflight::ServerFacts;

/// Code of a stream that comes from another binlog instance than the one before.
pub const INSTANCE_CHANGED: &str = "binlog_instance_changed";

/// Code of a server that has fewer transactions than were read.
pub const BEHIND: &str = "server_behind_position";

/// Code of transactions under a uuid that was not met before.
pub const SOURCE_CHANGED: &str = "gtid_source_changed";

const REMEDY_SOURCE: &str = "check that DATABASE_HOST and DATABASE_USERNAME lead to the tenant of the checkpoint; if its binlog was created anew, create \
     it with the uuid that it had before; if its transactions are numbered anew, copy the captured \
     tables anew and restart with an empty data directory, another DATAHUB_CONSUMER_GROUP and START_POSITION";

fn name(identity: &ServerIdentity) -> String {
    if identity.server_uuid.is_empty() {
        format!("{} with server_id {}", identity.flavour, identity.server_id)
    } else {
        format!("{} {}", identity.flavour, identity.server_uuid)
    }
}

/// Whether positions of the one server mean the same on the other.
pub fn is_same(known: &ServerIdentity, now: &ServerIdentity) -> bool {
    known.flavour == now.flavour
        && if known.server_uuid.is_empty() {
            known.server_id == now.server_id
        } else {
            known.server_uuid == now.server_uuid
        }
}

/// Whether the server has the history that the position is of.
///
/// # Errors
/// A halt where it has another one, or where nobody can tell.
pub fn same_history(known: &ServerIdentity, position: &Position, facts: &ServerFacts) -> Result<(), Failure> {
    let now = &facts.identity;
    if known.flavour == Flavour::OceanBase && now.flavour == Flavour::OceanBase {
        match &position.gtid_set {
            Some(set) => return same_source(set, facts.gtid_executed.as_ref()),
            None if is_same(known, now) && known.server_id != now.server_id => {
                return Err(other_instance(&position.file, known.server_id, now.server_id));
            }
            None => {}
        }
    }
    if is_same(known, now) {
        return Ok(());
    }
    Err(Failure::halt(
        "checkpoint_other_server",
        format!(
            "the position belongs to {}, the server is {}",
            name(known),
            name(now)
        ),
        "point DATABASE_HOST at the server of the checkpoint, or remove the checkpoint and set START_POSITION",
    ))
}

/// An instance has a uuid of its own; its tenant's transactions keep theirs.
fn same_source(read: &GtidSet, executed: Option<&GtidSet>) -> Result<(), Failure> {
    let executed = executed.cloned().unwrap_or_default();
    let is_shared = read.iter().any(|(uuid, ..)| executed.last_gno(uuid).is_some());
    // One that has nothing yet may only be new: that is found to be behind.
    if is_shared || read.is_empty() || executed.is_empty() {
        return Ok(());
    }
    Err(Failure::halt(
        SOURCE_CHANGED,
        format!(
            "transactions up to {read} were read, and the binlog service has {executed}: none of the uuids is the same, so \
             its binlog was created anew or is another tenant's"
        ),
        REMEDY_SOURCE,
    ))
}

/// A transaction came whose uuid is not among those that were read.
pub fn unknown_source(transaction: &str, read: &GtidSet) -> Failure {
    Failure::halt(
        SOURCE_CHANGED,
        format!(
            "transaction {transaction} is not of a uuid that was read so far ({read}): the binlog was created anew under \
             another one, or is another tenant's"
        ),
        REMEDY_SOURCE,
    )
}

/// The files are another instance's, and there are no GTIDs to go by.
pub fn other_instance(at: &FilePosition, known: u64, now: u64) -> Failure {
    Failure::halt(
        "position_other_instance",
        format!(
            "{at} is a place in a file of the binlog instance {known}, the one that answers is {now}: its files have the same \
             names and other contents"
        ),
        "bring back the instance of the checkpoint, or copy the captured tables anew and set START_POSITION with an empty \
         data directory; a binlog service 4.x has GTIDs, with which this cannot happen",
    )
}

/// Whether the files of the position are another instance's than those of the server. `instance` is the one that the
/// position was read from, as far as it is known.
pub fn has_moved(position: &Position, facts: &ServerFacts, instance: Option<u64>) -> bool {
    let now = facts.identity.server_id;
    facts.identity.flavour == Flavour::OceanBase
        && position.gtid_set.is_some()
        // Services before 4.x say 0, and the stream says who it is.
        && instance.is_none_or(|instance| now != 0 && instance != now)
}

/// The position with the oldest place of another instance's files: where exactly its transactions lie there shows when
/// they are sent.
pub fn placed(position: Position, oldest: &FilePosition) -> Position {
    let mut parked = position.parked;
    for parked in &mut parked {
        parked.since.file = oldest.clone();
    }
    Position {
        file: oldest.clone(),
        parked,
        ..position
    }
}

#[cfg(test)]
mod tests;

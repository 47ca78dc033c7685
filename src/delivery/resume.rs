//! Where a run starts: the checkpoint where there is one, else what the configuration says. Pure.
//!
//! A position means something on one server's history only. A checkpoint of another history is never used and
//! never thrown away in silence: that is a person's decision.

use crate::config::StartPosition;
use crate::position::{Flavour, Position, ServerIdentity};
use crate::retry::Failure;

/// Where the read side begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Right behind what a former run has delivered.
    Continue(Position),
    /// Nothing was delivered yet: where `START_POSITION` says.
    Fresh(StartPosition),
}

/// Decides where to start.
///
/// # Errors
/// A halt with code `checkpoint_other_server` if the checkpoint belongs to another server's history.
pub fn decide(
    checkpoint: Option<(ServerIdentity, Position)>,
    server: &ServerIdentity,
    policy: &StartPosition,
) -> Result<Start, Failure> {
    match checkpoint {
        None => Ok(Start::Fresh(policy.clone())),
        Some((identity, position)) if same_history(&identity, server) => Ok(Start::Continue(position)),
        Some((identity, position)) => Err(Failure::halt(
            "checkpoint_other_server",
            format!(
                "the checkpoint {position} was written for {}, but the server is {}",
                describe(&identity),
                describe(server)
            ),
            "point DATABASE_HOST at the server of the checkpoint, or move the checkpoint file away and set \
             START_POSITION to where the new server continues",
        )),
    }
}

/// Whether positions of one can be continued on the other.
///
/// Strict: a replica with the same GTIDs has another uuid, and whether it holds the same transactions at the
/// same place is not decided here.
fn same_history(a: &ServerIdentity, b: &ServerIdentity) -> bool {
    a.flavour == b.flavour
        && match a.flavour {
            Flavour::MySql | Flavour::OceanBase => a.server_uuid.eq_ignore_ascii_case(&b.server_uuid),
            Flavour::MariaDb => a.server_id == b.server_id,
        }
}

fn describe(identity: &ServerIdentity) -> String {
    let ServerIdentity {
        flavour,
        server_uuid,
        server_id,
    } = identity;
    match flavour {
        Flavour::MySql | Flavour::OceanBase => format!("{flavour} with server_uuid {server_uuid:?}"),
        Flavour::MariaDb => format!("{flavour} with server_id {server_id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::FilePosition;
    use crate::retry::Disposition;

    fn server(flavour: Flavour, uuid: &str, id: u64) -> ServerIdentity {
        ServerIdentity {
            flavour,
            server_uuid: uuid.to_owned(),
            server_id: id,
        }
    }

    fn position() -> Position {
        Position {
            gtid_set: None,
            file: FilePosition {
                file: "binlog.000003".to_owned(),
                pos: 400,
            },
            open: None,
        }
    }

    #[test]
    fn without_a_checkpoint_the_policy_decides() {
        let own = server(Flavour::MySql, "a", 1);
        for policy in [
            StartPosition::Latest,
            StartPosition::Earliest,
            StartPosition::Timestamp(7),
        ] {
            assert_eq!(decide(None, &own, &policy), Ok(Start::Fresh(policy.clone())));
        }
    }

    #[test]
    fn a_checkpoint_outranks_the_policy_on_its_own_server() {
        let cases = [
            (server(Flavour::MySql, "ab", 1), server(Flavour::MySql, "AB", 2)),
            (
                server(Flavour::OceanBase, "a", 1),
                server(Flavour::OceanBase, "a", 9),
            ),
            (server(Flavour::MariaDb, "", 5), server(Flavour::MariaDb, "", 5)),
        ];
        for (stored, own) in cases {
            let start = decide(Some((stored, position())), &own, &StartPosition::Latest);
            assert_eq!(start, Ok(Start::Continue(position())));
        }
    }

    #[test]
    fn another_history_halts_with_both_names_and_a_remedy() {
        let cases = [
            (server(Flavour::MySql, "a", 1), server(Flavour::MySql, "b", 1)),
            (server(Flavour::MariaDb, "", 1), server(Flavour::MariaDb, "", 2)),
            (server(Flavour::MySql, "a", 1), server(Flavour::OceanBase, "a", 1)),
        ];
        for (stored, own) in cases {
            let failure = decide(Some((stored, position())), &own, &StartPosition::Latest).unwrap_err();
            assert_eq!(failure.reason.code, "checkpoint_other_server");
            assert!(failure.reason.message.contains("binlog.000003:400"));
            assert!(
                matches!(failure.disposition, Disposition::Halt { ref remedy } if remedy.contains("START_POSITION"))
            );
        }
    }
}

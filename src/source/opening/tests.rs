use super::*;
use crate::position::ServerIdentity;

const U: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(last: u64) -> GtidSet {
    format!("{U}:1-{last}").parse().unwrap()
}

fn file(name: &str, pos: u64) -> FilePosition {
    FilePosition {
        file: name.to_owned(),
        pos,
    }
}

fn facts(flavour: Flavour) -> ServerFacts {
    ServerFacts {
        identity: ServerIdentity {
            flavour,
            server_uuid: if flavour == Flavour::MariaDb {
                String::new()
            } else {
                U.to_owned()
            },
            server_id: 7,
        },
        version: "8".to_owned(),
        version_comment: String::new(),
        gtid: flavour != Flavour::MariaDb,
        gtid_executed: Some(set(100)),
        gtid_purged: Some(set(10)),
        head: file("b.2", 500),
        oldest: file("b.1", 4),
        binlogs: vec![("b.1".to_owned(), 900), ("b.2".to_owned(), 500)],
        expire_seconds: None,
        expire_bytes: None,
        write_timeout_seconds: Some(60),
        captured_tables: 1,
        left_out: Default::default(),
    }
}

fn position(gtid_set: Option<GtidSet>, at: FilePosition) -> Position {
    Position {
        gtid_set,
        file: at,
        open: None,
        parked: Vec::new(),
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Failure>) -> &'static str {
    outcome.unwrap_err().reason.code
}

#[test]
fn each_start_is_a_position() {
    let mysql = facts(Flavour::MySql);
    let maria = facts(Flavour::MariaDb);
    let latest = choose(&StartPosition::Latest, &mysql).unwrap();
    assert_eq!(latest.position, position(Some(set(100)), file("b.2", 500)));
    let latest = choose(&StartPosition::Latest, &maria).unwrap();
    assert_eq!(latest.position, position(None, file("b.2", 500)));
    let earliest = choose(&StartPosition::Earliest, &mysql).unwrap();
    assert_eq!(earliest.position, position(Some(set(10)), file("b.1", 4)));
    assert!(earliest.adopt_previous);
    let timestamp = choose(&StartPosition::Timestamp(5), &maria).unwrap();
    assert_eq!(
        (timestamp.position, timestamp.not_before),
        (position(None, file("b.1", 4)), Some(5))
    );
    assert!(choose(&StartPosition::Gtid(set(20)), &mysql).is_ok());
    assert_eq!(
        code(choose(&StartPosition::Gtid(set(5)), &mysql)),
        "position_purged"
    );
    assert_eq!(
        code(choose(&StartPosition::Gtid(set(20)), &maria)),
        "start_gtid_unsupported"
    );
    assert!(choose(&StartPosition::File(file("b.1", 900)), &maria).is_ok());
    assert_eq!(
        code(choose(&StartPosition::File(file("b.0", 4)), &maria)),
        "position_purged"
    );
}

#[test]
fn an_old_oceanbase_without_sets_starts_at_the_end_by_file() {
    let mut oceanbase = facts(Flavour::OceanBase);
    oceanbase.gtid_executed = Some(GtidSet::default());
    let latest = choose(&StartPosition::Latest, &oceanbase).unwrap();
    assert_eq!(latest.position, position(None, file("b.2", 500)));
}

#[test]
fn a_gap_is_noticed_before_the_dump() {
    let oceanbase = facts(Flavour::OceanBase);
    let gtid = |last| position(Some(set(last)), file("gone", 4));
    assert!(can_continue(&gtid(10), &oceanbase, &set(10)).is_ok());
    assert_eq!(
        code(can_continue(&gtid(9), &oceanbase, &set(10))),
        "position_purged"
    );
    let behind = can_continue(&gtid(101), &oceanbase, &set(10)).unwrap_err();
    assert_eq!(
        behind.disposition,
        crate::retry::Disposition::Retry { after: None }
    );
    let by_file = |name, pos| {
        can_continue(
            &position(None, file(name, pos)),
            &facts(Flavour::MariaDb),
            &GtidSet::default(),
        )
    };
    assert!(by_file("b.1", 900).is_ok());
    assert_eq!(code(by_file("b.1", 901)), "position_ahead");
    assert_eq!(code(by_file("b.0", 4)), "position_purged");
    assert_eq!(code(by_file("b.3", 4)), "position_ahead", "the series began anew");
}

#[test]
fn an_instance_without_transactions_is_behind_and_not_without_gtids() {
    let mut oceanbase = facts(Flavour::OceanBase);
    (oceanbase.gtid, oceanbase.gtid_executed, oceanbase.gtid_purged) = (false, None, None);
    let outcome = |facts: &ServerFacts| {
        let position = position(Some(set(10)), file("gone", 4));
        code(can_continue(&position, facts, &GtidSet::default()))
    };
    assert_eq!(outcome(&oceanbase), BEHIND);
    let mut mysql = facts(Flavour::MySql);
    mysql.gtid = false;
    assert_eq!(outcome(&mysql), "gtid_mode_off");
}

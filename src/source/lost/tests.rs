use super::*;
use crate::position::{Flavour, OpenTransaction, ServerIdentity};

const U: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const V: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    text.parse().unwrap()
}

fn file(text: &str) -> FilePosition {
    text.parse().unwrap()
}

fn facts(executed: Option<&str>) -> ServerFacts {
    ServerFacts {
        identity: ServerIdentity {
            flavour: Flavour::MySql,
            server_uuid: U.to_owned(),
            server_id: 7,
        },
        version: String::new(),
        version_comment: String::new(),
        gtid: executed.is_some(),
        gtid_executed: executed.map(set),
        gtid_purged: None,
        head: file("b.9:500"),
        oldest: file("b.4:4"),
        binlogs: Vec::new(),
        expire_seconds: None,
        expire_bytes: None,
        write_timeout_seconds: None,
        captured_tables: 1,
        left_out: Default::default(),
    }
}

fn position(gtids: Option<&str>, open: Option<&str>) -> Position {
    Position {
        gtid_set: gtids.map(set),
        file: file("b.2:70"),
        open: open.map(|id| OpenTransaction {
            id: id.to_owned(),
            rows: 3,
            fingerprint: 9,
        }),
        parked: Vec::new(),
    }
}

#[test]
fn nothing_is_chosen_unless_somebody_chose() {
    let lost = gap(
        position(None, None),
        &facts(None),
        &GtidSet::default(),
        PositionLost::Halt,
    );
    assert_eq!(lost, None);
}

#[test]
fn a_gap_by_gtids_lacks_exactly_what_was_purged_or_passed_over() {
    let server = facts(Some(&format!("{U}:1-90,{V}:1-5")));
    let read = format!("{U}:1-20:31-35,{V}:1-2");
    let purged = set(&format!("{U}:1-40"));
    let open = format!("{V}:3");
    let earliest = gap(
        position(Some(&read), Some(&open)),
        &server,
        &purged,
        PositionLost::Earliest,
    )
    .unwrap();
    assert_eq!(earliest.lost, Some(set(&format!("{U}:21-30:36-40"))));
    assert_eq!(earliest.to.gtid_set, Some(set(&format!("{U}:1-40,{V}:1-2"))));
    assert_eq!(earliest.to.file, server.oldest);
    assert_eq!(
        earliest.to.open, earliest.from.open,
        "its transaction is still there"
    );
    assert_eq!(earliest.id(), "b.2:70+3-b.4:4");
    let latest = gap(
        position(Some(&read), Some(&open)),
        &server,
        &purged,
        PositionLost::Latest,
    )
    .unwrap();
    assert_eq!(latest.lost, Some(set(&format!("{U}:21-30:36-90,{V}:3-5"))));
    assert_eq!(latest.to.gtid_set, server.gtid_executed);
    assert_eq!((&latest.to.file, &latest.to.open), (&server.head, &None));
    // A transaction of which the rest was purged is over.
    let inside = gap(
        position(Some(&format!("{U}:1-20")), Some(&format!("{U}:21"))),
        &server,
        &purged,
        PositionLost::Earliest,
    );
    assert_eq!(inside.unwrap().to.open, None);
}

#[test]
fn a_gap_by_files_reaches_from_the_position_to_the_chosen_place() {
    for (chosen, to) in [
        (PositionLost::Earliest, "b.4:4"),
        (PositionLost::Latest, "b.9:500"),
    ] {
        let gap = gap(
            position(None, Some("b.2:70")),
            &facts(None),
            &GtidSet::default(),
            chosen,
        )
        .unwrap();
        assert_eq!((gap.to.file.to_string().as_str(), &gap.to.open), (to, &None));
        assert_eq!((gap.lost, gap.to.gtid_set), (None, None));
        assert_eq!(gap.chosen, chosen.name());
    }
}

#[test]
fn the_halt_names_what_was_lost() {
    let failure = purged(&set(&format!("{U}:1-20")), &set(&format!("{U}:1-23")));
    assert_eq!(failure.reason.code, PURGED);
    assert!(
        failure
            .reason
            .message
            .contains(&format!("3 transactions that were not read: {U}:21-23;")),
        "{failure}"
    );
    let failure = purged_files(&position(None, Some("b.2:70")), &file("b.4:4"));
    assert!(
        failure.reason.message.contains("from b.2:70+3 to b.4:4"),
        "{failure}"
    );
}

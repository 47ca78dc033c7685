use super::*;

const U: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
const V: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

fn server(flavour: Flavour, server_uuid: &str, server_id: u64) -> ServerIdentity {
    ServerIdentity {
        flavour,
        server_uuid: server_uuid.to_owned(),
        server_id,
    }
}

fn facts(identity: ServerIdentity, executed: &str) -> ServerFacts {
    ServerFacts {
        identity,
        version: String::new(),
        version_comment: String::new(),
        gtid: !executed.is_empty(),
        gtid_executed: executed.parse().ok(),
        gtid_purged: None,
        head: at("mysql-bin.000002", 500),
        oldest: at("mysql-bin.000001", 4),
        binlogs: Vec::new(),
        expire_seconds: None,
        expire_bytes: None,
        write_timeout_seconds: None,
        captured_tables: 1,
        left_out: Default::default(),
    }
}

fn at(file: &str, pos: u64) -> FilePosition {
    FilePosition {
        file: file.to_owned(),
        pos,
    }
}

fn position(gtid_set: Option<&str>) -> Position {
    Position {
        gtid_set: gtid_set.map(|set| set.parse().unwrap()),
        file: at("mysql-bin.000050", 9_000),
        open: None,
        parked: Vec::new(),
    }
}

fn code(outcome: Result<(), Failure>) -> Option<&'static str> {
    outcome.err().map(|failure| failure.reason.code)
}

#[test]
fn a_position_of_another_server_halts() {
    for (flavour, known, now, expected) in [
        (Flavour::MySql, (U, 7), (U, 8), None),
        (Flavour::MySql, (U, 7), (V, 7), Some("checkpoint_other_server")),
        (Flavour::MariaDb, ("", 7), ("", 7), None),
        (
            Flavour::MariaDb,
            ("", 7),
            ("", 8),
            Some("checkpoint_other_server"),
        ),
    ] {
        let facts = facts(server(flavour, now.0, now.1), "");
        let known = server(flavour, known.0, known.1);
        assert_eq!(code(same_history(&known, &position(None), &facts)), expected);
    }
    // Another kind of server is another history, whatever it calls itself.
    let oceanbase = facts(server(Flavour::OceanBase, U, 7), &format!("{U}:1-9"));
    let known = server(Flavour::MySql, U, 7);
    assert_eq!(
        code(same_history(
            &known,
            &position(Some(&format!("{U}:1-5"))),
            &oceanbase
        )),
        Some("checkpoint_other_server")
    );
}

/// An instance that takes over has a uuid and an id of its own; the tenant's transactions keep theirs.
#[test]
fn on_oceanbase_the_transactions_decide_and_not_the_instances_uuid() {
    let known = server(Flavour::OceanBase, U, 7);
    let read = position(Some(&format!("{U}:1-5")));
    for (now, executed, expected) in [
        (V, format!("{U}:1-9"), None),
        (V, format!("{U}:1-2"), None),
        // It may only be new: that it is behind is found elsewhere.
        (V, String::new(), None),
        (U, format!("{V}:1-9"), Some(SOURCE_CHANGED)),
        (V, format!("{V}:1-9"), Some(SOURCE_CHANGED)),
    ] {
        let facts = facts(server(Flavour::OceanBase, now, 8), &executed);
        assert_eq!(
            code(same_history(&known, &read, &facts)),
            expected,
            "{now} {executed}"
        );
    }
}

/// The file may exist there, and mean something else.
#[test]
fn a_place_in_a_file_belongs_to_one_instance() {
    let known = server(Flavour::OceanBase, U, 7);
    let of = |server_id| facts(server(Flavour::OceanBase, U, server_id), "");
    let by_file = position(None);
    assert_eq!(code(same_history(&known, &by_file, &of(7))), None);
    assert_eq!(
        code(same_history(&known, &by_file, &of(8))),
        Some("position_other_instance")
    );
}

#[test]
fn files_of_an_instance_that_is_not_known_to_be_the_same_are_others() {
    let read = format!("{U}:1-5");
    let oceanbase = facts(server(Flavour::OceanBase, U, 8), &read);
    let by_set = position(Some(&read));
    for (instance, moved) in [(Some(8), false), (Some(7), true), (None, true)] {
        assert_eq!(has_moved(&by_set, &oceanbase, instance), moved, "{instance:?}");
    }
    assert!(!has_moved(&position(None), &oceanbase, Some(7)));
    let silent = facts(server(Flavour::OceanBase, U, 0), &read);
    for (instance, moved) in [(Some(8), false), (None, true)] {
        assert_eq!(has_moved(&by_set, &silent, instance), moved, "{instance:?}");
    }
    let mysql = facts(server(Flavour::MySql, U, 8), &read);
    assert!(!has_moved(&by_set, &mysql, None));
}

#[test]
fn what_was_read_is_kept_at_another_place() {
    let mut before = position(Some(&format!("{U}:1-5")));
    before.parked = vec![crate::position::Parked {
        table: crate::change::TableId {
            db: "shop".to_owned(),
            table: "t".to_owned(),
        },
        since: position(Some(&format!("{U}:1-3"))),
    }];
    let oldest = at("mysql-bin.000001", 4);
    let after = placed(before.clone(), &oldest);
    assert_eq!((&after.gtid_set, &after.file), (&before.gtid_set, &oldest));
    let (parked, was) = (&after.parked[0], &before.parked[0]);
    assert_eq!(
        (&parked.table, &parked.since.gtid_set),
        (&was.table, &was.since.gtid_set)
    );
    assert_eq!(parked.since.file, oldest);
}

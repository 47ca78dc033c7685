use super::*;
use crate::source::decode;
use crate::source::sample::{Made, SERVER};

fn set(last: u64) -> GtidSet {
    let mut set = GtidSet::default();
    set.insert_range(SERVER, 1, last);
    set
}

fn tracker(flavour: Flavour, gtid_set: Option<GtidSet>) -> Tracker {
    let position = Position {
        gtid_set,
        file: FilePosition {
            file: "a".to_owned(),
            pos: 4,
        },
        open: None,
        parked: Vec::new(),
    };
    Tracker::new(flavour, position, false, None)
}

fn run(tracker: &mut Tracker, made: &Made) -> Result<Vec<Act>, Failure> {
    made.events
        .iter()
        .map(|event| {
            let meaning = decode::parse(&event.header, &event.body)?;
            tracker.observe(&event.header, &meaning, |db| db == "shop")
        })
        .collect()
}

fn code(flavour: Flavour, gtid_set: Option<GtidSet>, made: &Made) -> &'static str {
    let mut tracker = tracker(flavour, gtid_set);
    run(&mut tracker, made).unwrap_err().reason.code
}

#[test]
fn a_gtid_counts_from_its_commit_on() {
    let mut made = Made::new("a");
    made.gtid(5).query("BEGIN").table_map().insert(&[1]);
    let mut tracker = tracker(Flavour::MySql, Some(set(4)));
    run(&mut tracker, &made).unwrap();
    assert_eq!(tracker.position().gtid_set, Some(set(4)));
    let mut rest = made.clone();
    rest.events.clear();
    rest.commit();
    assert_eq!(run(&mut tracker, &rest).unwrap(), [Act::Boundary]);
    assert_eq!(tracker.position().gtid_set, Some(set(5)));
    assert_eq!(tracker.position().file.to_string(), format!("a:{}", rest.pos));
}

#[test]
fn heartbeats_and_made_up_events_move_nothing() {
    let mut made = Made::new("a");
    made.transaction(5, &[1]);
    let mut tracker = tracker(Flavour::OceanBase, Some(set(4)));
    run(&mut tracker, &made).unwrap();
    let position = tracker.position();
    let mut rest = made.clone();
    rest.events.clear();
    rest.heartbeat().rotate("a", 4, true);
    rest.pos = 4;
    // Behind a made-up ROTATE a server repeats the file's first event with its place in the file.
    rest.push(kind::FORMAT_DESCRIPTION, vec![0; 60]);
    run(&mut tracker, &rest).unwrap();
    assert_eq!(tracker.position(), position);
}

#[test]
fn a_rotate_moves_to_the_next_file_at_once() {
    let mut made = Made::new("a");
    made.transaction(5, &[1]).rotate("b", 4, false);
    let mut tracker = tracker(Flavour::MySql, None);
    assert_eq!(run(&mut tracker, &made).unwrap().last(), Some(&Act::Boundary));
    assert_eq!(tracker.position().file.to_string(), "b:4");
}

#[test]
fn positions_pass_four_gibibytes() {
    let mut made = Made::new("a");
    made.events.clear();
    made.pos = u64::from(u32::MAX) - 40;
    let start = made.pos;
    made.transaction(5, &[1]).transaction(6, &[2]);
    assert!(made.pos > u64::from(u32::MAX));
    let mut tracker = tracker(Flavour::OceanBase, None);
    tracker.pos = start;
    run(&mut tracker, &made).unwrap();
    assert_eq!(tracker.position().file.pos, made.pos);
}

#[test]
fn definitions_end_a_transaction_of_their_own_only() {
    let mut made = Made::new("a");
    made.gtid(5).query("CREATE TABLE x (a int)");
    made.gtid(6)
        .query("BEGIN")
        .query("CREATE TABLE y (a int) START TRANSACTION");
    let acts = run(&mut tracker(Flavour::MySql, Some(set(4))), &made).unwrap();
    let definitions: Vec<_> = acts
        .into_iter()
        .filter_map(|act| {
            let Act::Definition { boundary, .. } = act else {
                return None;
            };
            Some(boundary)
        })
        .collect();
    assert_eq!(definitions, [true, false]);
}

#[test]
fn statements_that_change_rows_halt_where_they_may_matter() {
    for (text, halts) in [
        ("INSERT INTO made VALUES (1)", true),
        ("DELETE FROM `shop`.`made`", true),
        ("CREATE TEMPORARY TABLE x (a int)", false),
        ("SAVEPOINT x", false),
    ] {
        let mut made = Made::new("a");
        made.gtid(5).query("BEGIN").query(text).commit();
        let outcome = run(&mut tracker(Flavour::MySql, Some(set(4))), &made);
        assert_eq!(outcome.is_err(), halts, "{text}");
    }
}

#[test]
fn a_rollback_after_rows_halts() {
    let mut made = Made::new("a");
    made.gtid(5).query("BEGIN").query("ROLLBACK");
    let mut tracker = tracker(Flavour::MySql, Some(set(4)));
    assert_eq!(run(&mut tracker, &made).unwrap().last(), Some(&Act::Boundary));
    let mut made = Made::new("a");
    made.gtid(6).query("BEGIN");
    run(&mut tracker, &made).unwrap();
    tracker.open_mut().unwrap().rows = 1;
    let mut made = Made::new("a");
    made.events.clear();
    made.query("ROLLBACK");
    assert_eq!(
        run(&mut tracker, &made).unwrap_err().reason.code,
        "transaction_rolled_back"
    );
}

#[test]
fn gaps_are_noticed_where_the_server_would_not_say() {
    let mut gap = Made::new("a");
    gap.previous(4).transaction(7, &[1]);
    let mut behind = tracker(Flavour::OceanBase, Some(set(4)));
    let failure = run(&mut behind, &gap).unwrap_err();
    let (missing, message) = (format!("{SERVER}:5-6"), &failure.reason.message);
    assert_eq!(failure.reason.code, "gtid_gap");
    assert!(
        message.contains("the 2 transactions before it") && message.contains(&missing),
        "{message}"
    );
    assert_eq!(behind.follows_on().unwrap().to_string(), missing);
    assert_eq!(behind.position().gtid_set, Some(set(4)), "nothing was read");
    assert!(run(&mut tracker(Flavour::MySql, Some(set(5))), &gap).is_ok());
    let mut purged = Made::new("a");
    purged.previous(9).transaction(10, &[1]);
    assert_eq!(code(Flavour::OceanBase, Some(set(5)), &purged), "position_purged");
    // Whoever asked for the oldest event takes what there is.
    let mut earliest = tracker(Flavour::OceanBase, Some(GtidSet::default()));
    earliest.adopt_previous = true;
    run(&mut earliest, &purged).unwrap();
    assert_eq!(earliest.position().gtid_set, Some(set(10)));
}

/// A binlog that was created anew under another uuid: its numbers say nothing about ours.
#[test]
fn a_uuid_that_was_never_read_halts_where_there_is_one() {
    let mut other = GtidSet::default();
    other.insert_range(crate::position::Uuid([9; 16]), 1, 70);
    let mut made = Made::new("a");
    made.transaction(1, &[1]);
    assert_eq!(
        code(Flavour::OceanBase, Some(other.clone()), &made),
        "gtid_source_changed"
    );
    // A MySQL server's transactions come from all servers that it ever followed.
    assert!(run(&mut tracker(Flavour::MySql, Some(other)), &made).is_ok());
    assert!(run(&mut tracker(Flavour::OceanBase, Some(GtidSet::default())), &made).is_ok());
}

#[test]
fn rows_outside_of_a_transaction_are_left_out_only_where_a_server_leaks_them() {
    let mut stray = Made::new("a");
    stray.table_map().insert(&[1]).commit();
    assert_eq!(
        code(Flavour::MySql, Some(set(5)), &stray),
        "rows_outside_transaction"
    );
    assert_eq!(code(Flavour::MariaDb, None, &stray), "rows_outside_transaction");
    let mut tracker = tracker(Flavour::OceanBase, Some(set(5)));
    let acts = run(&mut tracker, &stray).unwrap();
    assert!(!acts.contains(&Act::Rows) && !acts.contains(&Act::Boundary));
    assert_eq!(tracker.left_out().stray, 1);
    assert_eq!(tracker.position().gtid_set, Some(set(5)));
}

#[test]
fn transactions_before_the_start_time_are_left_out_and_counted() {
    let mut made = Made::new("a");
    made.transaction(5, &[1])
        .transaction(6, &[2])
        .transaction(7, &[3]);
    let mut tracker = tracker(Flavour::OceanBase, Some(set(4)));
    tracker.not_before = Some(1_700_000_006 * MICROS + 123_456);
    let acts = run(&mut tracker, &made).unwrap();
    assert_eq!(acts.iter().filter(|act| **act == Act::Rows).count(), 2);
    assert_eq!(tracker.left_out().before_start, 1);
    assert!(!tracker.before_start());
    assert_eq!(tracker.position().gtid_set, Some(set(7)));
}

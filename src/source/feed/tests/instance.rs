//! OceanBase's binlog instances: the same transactions in other files, under the same names.

use super::*;
use crate::position::ServerIdentity;
use crate::source::failover::INSTANCE_CHANGED;
use crate::source::preflight::ServerFacts;
use crate::source::schema::history::Fate;

const OTHER: u32 = 2;

fn facts(oldest: &str, head: (&str, u64), executed: GtidSet) -> ServerFacts {
    let place = |file: &str, pos| FilePosition {
        file: file.to_owned(),
        pos,
    };
    ServerFacts {
        identity: ServerIdentity {
            flavour: Flavour::OceanBase,
            server_uuid: String::from("other"),
            server_id: u64::from(OTHER),
        },
        version: String::new(),
        version_comment: String::new(),
        gtid: true,
        gtid_executed: Some(executed),
        gtid_purged: None,
        head: place(head.0, head.1),
        oldest: place(oldest, 4),
        binlogs: Vec::new(),
        expire_seconds: None,
        expire_bytes: None,
        write_timeout_seconds: None,
        captured_tables: 1,
        left_out: Default::default(),
    }
}

/// The same transactions as [`oceanbase`] has, as another instance wrote them that began earlier.
fn elsewhere() -> Made {
    let mut made = Made::new("mysql-bin.000001");
    let first = made.events.last_mut().unwrap();
    first.header.server_id = OTHER;
    made.previous(0);
    for gno in 1..5 {
        made.transaction(gno, &[7, 7, 7]);
    }
    made.transaction(5, &[1, 2, 3]).transaction(6, &[4]);
    made.gtid(7).query("ALTER TABLE other ADD b int");
    made.transaction(8, &[5, 6]).transaction(9, &[]);
    made
}

#[test]
fn i7_a_failover_after_every_event_loses_and_repeats_nothing() {
    let here = oceanbase().events;
    let there = elsewhere();
    let start = at("mysql-bin.000001", 4, Some(read_before(4)));
    let mut whole = Vec::new();
    play(&mut feed_at(Flavour::OceanBase, start.clone()), &here, &mut whole).unwrap();
    let facts = facts(
        "mysql-bin.000001",
        ("mysql-bin.000001", there.pos),
        read_before(9),
    );
    for cut in 0..=here.len() {
        for most in [usize::MAX, 1] {
            let (mut feed, mut rows) = (feed_at(Flavour::OceanBase, start.clone()), Vec::new());
            play(&mut feed, &here[..cut.saturating_sub(1)], &mut rows).unwrap();
            if let Some(last) = cut.checked_sub(1) {
                step(&mut feed, &here[last], most, &mut rows).unwrap();
            }
            let position = feed.cut();
            let sent = dump_by_gtid(&there.events, position.gtid_set.as_ref().unwrap());
            if feed.instance().is_some() {
                let failure = play(&mut feed, &sent, &mut Vec::new()).unwrap_err();
                assert_eq!(failure.reason.code, INSTANCE_CHANGED);
                feed.cut();
                assert_eq!(feed.relocate(&facts), Fate::Kept);
            }
            play(&mut feed, &sent, &mut rows).unwrap();
            assert!(rows == whole, "failover after event {cut}, {most} rows of it");
            let end = feed.position();
            assert_eq!(end.gtid_set, Some(read_before(9)), "{cut}");
            // Of a stream without transactions only its introduction is read.
            if sent.iter().any(|event| event.header.kind == kind::XID) {
                assert_eq!(end.file.pos, there.pos, "{cut}");
            }
        }
    }
}

/// Plays events; whether the server was asked what a table is.
fn asks(feed: &mut Feed, events: &[Sample]) -> bool {
    events.iter().fold(false, |asked, event| {
        let needs = matches!(step(feed, event, usize::MAX, &mut Vec::new()), Ok(Fed::Needs(_)));
        asked || needs
    })
}

/// Of a stretch that was read before, the history knows everything and statements are passed over. Where files of another
/// instance were taken for that stretch, a renamed column would keep its old name for ever.
#[test]
fn i6_a_statement_behind_a_failover_counts_although_its_file_has_a_lower_number() {
    let mut here = Made::new("mysql-bin.000050");
    here.previous(4).transaction(5, &[1]);
    let mut there = Made::new("mysql-bin.000002");
    there
        .previous(5)
        .gtid(6)
        .query("ALTER TABLE made RENAME COLUMN a TO b");
    there.transaction(7, &[2]);
    let started = || {
        let mut feed = feed_at(
            Flavour::OceanBase,
            at("mysql-bin.000050", 4, Some(read_before(4))),
        );
        assert!(asks(&mut feed, &here.events));
        feed.cut();
        feed
    };
    // The bug, where nothing tells the instances apart.
    assert!(!asks(&mut started(), &there.events));

    there.events[1].header.server_id = OTHER;
    let mut feed = started();
    let failure = play(&mut feed, &there.events, &mut Vec::new()).unwrap_err();
    assert_eq!(failure.reason.code, INSTANCE_CHANGED);
    feed.cut();
    let facts = facts(
        "mysql-bin.000001",
        ("mysql-bin.000002", there.pos),
        read_before(7),
    );
    assert_eq!(feed.relocate(&facts), Fate::Kept);
    // What is known of the table goes along: without the statement nobody is asked.
    let mut plain = Made::new("mysql-bin.000002");
    plain.events[1].header.server_id = OTHER;
    plain.previous(5).transaction(6, &[2]);
    assert!(asks(&mut feed, &there.events));
    let mut feed = started();
    feed.cut();
    feed.relocate(&facts);
    assert!(!asks(&mut feed, &plain.events));
    assert_eq!(feed.learnt().unwrap().instance(), Some(u64::from(OTHER)));
}

#[test]
fn without_gtids_files_of_another_instance_are_not_read() {
    let here = oceanbase().events;
    let mut feed = feed_at(Flavour::OceanBase, at("mysql-bin.000001", 4, None));
    play(&mut feed, &here, &mut Vec::new()).unwrap();
    feed.cut();
    let failure = play(&mut feed, &elsewhere().events, &mut Vec::new()).unwrap_err();
    assert_eq!(failure.reason.code, "position_other_instance");
    // Other servers' ids are their own business: a source behind it may have written the file.
    for flavour in [Flavour::MySql, Flavour::MariaDb] {
        let mut feed = feed_at(flavour, at("mysql-bin.000001", 4, None));
        play(&mut feed, &here[..2], &mut Vec::new()).unwrap();
        feed.cut();
        play(&mut feed, &elsewhere().events[..2], &mut Vec::new()).unwrap();
    }
}

/// A service that restarted may have begun a transaction at the end of a file, and write it again in the next.
#[test]
fn i7_an_end_of_a_file_that_the_server_does_not_leave_is_left() {
    let mut here = Made::new("mysql-bin.000001");
    here.previous(4).transaction(5, &[1, 2, 3]);
    let mut next = Made::new("mysql-bin.000002");
    next.previous(4).transaction(5, &[1, 2, 3]).transaction(6, &[4]);
    let mut whole = Vec::new();
    let start = at("mysql-bin.000001", 4, None);
    play(
        &mut feed_at(Flavour::OceanBase, start.clone()),
        &next.events,
        &mut whole,
    )
    .unwrap();
    // From the transaction's beginning up to before its commit.
    for cut in 4..here.events.len() {
        let (mut feed, mut rows) = (feed_at(Flavour::OceanBase, start.clone()), Vec::new());
        play(&mut feed, &here.events[..cut], &mut rows).unwrap();
        feed.skip_to("mysql-bin.000002");
        let position = feed.cut();
        assert_eq!(position.file.to_string(), "mysql-bin.000002:4");
        play(&mut feed, &next.events, &mut rows).unwrap();
        assert!(rows == whole, "{cut}: {rows:?}");
    }
}

/// Its rows are there as well, and its reading goes on where it was.
#[test]
fn i7_a_table_that_is_read_alone_is_read_on_behind_a_failover() {
    let here = oceanbase().events;
    let there = elsewhere();
    let start = at("mysql-bin.000001", 4, Some(read_before(4)));
    let mut whole = Vec::new();
    play(&mut feed_at(Flavour::OceanBase, start.clone()), &here, &mut whole).unwrap();
    let unknown = Failure::halt("schema_unknown", "test", "test");
    // Cut in every place of the reading alone, which ends where all others are.
    for cut in 0..here.len() {
        let mut feed = feed_at(Flavour::OceanBase, start.clone());
        let mut parked = None;
        for event in &here {
            if let Fed::Needs(id) = feed.event(&event.header, &event.body).unwrap() {
                assert_eq!(feed.park(&unknown), Some(id.clone()));
                parked = Some(id);
            }
        }
        let table = parked.unwrap();
        feed.obey(&table, &crate::source::parked::Wish::Resume(None))
            .unwrap();
        let since = feed.turn_back(&table).unwrap();
        feed.cut();
        let mut rows = Vec::new();
        let alone = dump_by_gtid(&here, since.gtid_set.as_ref().unwrap());
        for event in &alone[..cut.min(alone.len() - 1)] {
            step(&mut feed, event, usize::MAX, &mut rows).unwrap();
        }
        feed.cut();
        let head = ("mysql-bin.000001", there.pos);
        feed.relocate(&facts("mysql-bin.000001", head, read_before(9)));
        let position = feed.cut();
        assert_eq!(position.gtid_set, Some(read_before(9)), "where all others are");
        assert_eq!(position.parked[0].since.file.to_string(), "mysql-bin.000001:4");

        assert_eq!(feed.hope(), Some(&table));
        let since = feed.turn_back(&table).unwrap();
        feed.cut();
        let alone = dump_by_gtid(&there.events, since.gtid_set.as_ref().unwrap());
        let returned = alone
            .iter()
            .any(|event| step(&mut feed, event, usize::MAX, &mut rows).unwrap() == Fed::Returned);
        assert!(returned && rows == whole, "{cut}: {rows:?}");
    }
}

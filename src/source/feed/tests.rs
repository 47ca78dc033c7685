mod instance;
mod marks;
mod parked;

use super::*;
use crate::position::{FilePosition, Flavour, Gtid, GtidSet, OpenTransaction};
use crate::source::decode::kind;
use crate::source::sample::{self, Made, RECORDED, SERVER, Sample};

/// A row as the tests compare it: everything that a record is made of.
fn show(event: &ChangeEvent<'_>) -> String {
    match event {
        ChangeEvent::Row(row) => format!(
            "{} {} {}:{} {} {:?} {:?}",
            row.operation.letter(),
            row.schema.id,
            row.meta.transaction,
            row.row,
            row.meta.ts_us,
            row.before
                .map(|image| (image.nulls.to_vec(), image.values.to_vec())),
            row.after
                .map(|image| (image.nulls.to_vec(), image.values.to_vec())),
        ),
        ChangeEvent::Filtered { operation } => format!("{} filtered", operation.letter()),
        ChangeEvent::Mark(mark) => marks::show(mark),
    }
}

fn filter() -> TableFilter {
    TableFilter::parse("shop", "*, !ctas").unwrap()
}

fn feed_at(flavour: Flavour, position: Position) -> Feed {
    Feed::new(
        Tracker::new(flavour, position, false, None),
        filter(),
        Tables::default(),
    )
}

fn at(file: &str, pos: u64, gtid_set: Option<GtidSet>) -> Position {
    Position {
        gtid_set,
        file: FilePosition {
            file: file.to_owned(),
            pos,
        },
        open: None,
        parked: Vec::new(),
    }
}

/// Feeds one event; hands on at most `most` of its rows.
fn step(feed: &mut Feed, event: &Sample, most: usize, rows: &mut Vec<String>) -> Result<Fed, Failure> {
    let fed = feed.event(&event.header, &event.body)?;
    feed.marks(&mut |change| {
        rows.push(show(&change));
        Ok(())
    })?;
    match &fed {
        Fed::Needs(id) => feed.define(sample::definition(id), 0)?,
        Fed::Rows => {
            let mut left = most;
            let stopped = feed.rows(&event.header, &event.body, |change| {
                if left == 0 {
                    return Err(Failure::retry("test", "enough"));
                }
                left -= 1;
                rows.push(show(&change));
                Ok(())
            });
            assert_eq!(stopped.is_err(), feed.has_rows());
        }
        Fed::Quiet
        | Fed::Boundary
        | Fed::Heartbeat
        | Fed::Ghost(_)
        | Fed::Returned
        | Fed::Definition { .. } => {}
    }
    Ok(fed)
}

fn play(feed: &mut Feed, events: &[Sample], rows: &mut Vec<String>) -> Result<(), Failure> {
    events
        .iter()
        .try_for_each(|event| step(feed, event, usize::MAX, rows).map(|_| ()))
}

/// What a server sends from a file position on: a made-up ROTATE, the file's first event, the rest.
fn dump(events: &[Sample], position: &Position) -> Vec<Sample> {
    if position.file.file != RECORDED {
        // Behind the ROTATE at the file's end: the next file is not part of the recording.
        return Vec::new();
    }
    let mut sent = Made::new(&position.file.file);
    sent.events.truncate(1);
    let mut sent = sent.events;
    sent[0].body[..8].copy_from_slice(&position.file.pos.to_le_bytes());
    if position.file.pos > 4 {
        let mut first = events[0].clone();
        first.header.log_pos = 0;
        sent.push(first);
    }
    sent.extend(
        events
            .iter()
            .filter(|e| u64::from(e.header.log_pos - e.header.size) >= position.file.pos)
            .cloned(),
    );
    sent
}

fn through_json(position: &Position) -> Position {
    serde_json::from_str(&serde_json::to_string(position).unwrap()).unwrap()
}

#[test]
fn i7_a_recorded_binlog_cut_after_every_event_loses_and_repeats_nothing() {
    let events = sample::recorded();
    let start = at(RECORDED, 4, None);
    let mut whole = Vec::new();
    play(&mut feed_at(Flavour::MariaDb, start.clone()), &events, &mut whole).unwrap();
    // 10 alone, 303 inserted and 203 updated in one transaction, 304 copied (and filtered).
    assert_eq!(whole.len(), 820);
    for cut in 0..=events.len() {
        // Once with the whole event before the cut, once with its first rows only.
        for most in [usize::MAX, 0, 1, 3] {
            let mut feed = feed_at(Flavour::MariaDb, start.clone());
            let mut rows = Vec::new();
            play(&mut feed, &events[..cut.saturating_sub(1)], &mut rows).unwrap();
            if let Some(last) = cut.checked_sub(1) {
                step(&mut feed, &events[last], most, &mut rows).unwrap();
            }
            // A restart has only what was stored; a reconnect goes on with the same feed.
            let position = through_json(&feed.position());
            let before_cut = rows.clone();
            let mut restarted = feed_at(Flavour::MariaDb, position.clone());
            play(&mut restarted, &dump(&events, &position), &mut rows).unwrap();
            assert!(rows == whole, "restart after event {cut}, {most} rows of it");
            let mut rows = before_cut;
            let position = feed.cut();
            play(&mut feed, &dump(&events, &position), &mut rows).unwrap();
            assert!(rows == whole, "reconnect after event {cut}, {most} rows of it");
        }
    }
}

#[test]
fn rows_that_may_still_be_rolled_back_are_refused() {
    let mut rows = Vec::new();
    let mut feed = feed_at(Flavour::MariaDb, at(RECORDED, 4, None));
    let failure = play(&mut feed, &sample::recorded_with_xa(), &mut rows).unwrap_err();
    assert_eq!(failure.reason.code, "xa_transaction");
    assert_eq!(rows.len(), 820, "everything before it was handed on");
    let others = TableFilter::parse("shop", "*, !t").unwrap();
    let mut feed = Feed::new(
        Tracker::new(Flavour::MariaDb, at(RECORDED, 4, None), false, None),
        others,
        Tables::default(),
    );
    play(&mut feed, &sample::recorded_with_xa(), &mut Vec::new()).expect("other tables do not care");
}

fn oceanbase() -> Made {
    let mut made = Made::new("mysql-bin.000001");
    made.previous(4).heartbeat();
    made.transaction(5, &[1, 2, 3]).transaction(6, &[4]);
    made.gtid(7).query("ALTER TABLE other ADD b int");
    made.transaction(8, &[5, 6]).transaction(9, &[]);
    made
}

fn read_before(last: u64) -> GtidSet {
    let mut set = GtidSet::default();
    set.insert_range(SERVER, 1, last);
    set
}

/// What a server sends that is asked for everything outside of a set: transactions as a whole, or not at all.
fn dump_by_gtid(events: &[Sample], set: &GtidSet) -> Vec<Sample> {
    let mut skipping = false;
    let mut sent = Vec::new();
    for event in events {
        if event.header.kind == kind::GTID {
            let gno = u64::from_le_bytes(event.body[17..25].try_into().unwrap());
            skipping = set.contains(Gtid { uuid: SERVER, gno });
        }
        if !skipping {
            sent.push(event.clone());
        }
    }
    sent
}

#[test]
fn i7_a_gtid_stream_cut_after_every_event_loses_and_repeats_nothing() {
    let events = oceanbase().events;
    let start = at("mysql-bin.000001", 4, Some(read_before(4)));
    let mut whole = Vec::new();
    let mut feed = feed_at(Flavour::OceanBase, start.clone());
    play(&mut feed, &events, &mut whole).unwrap();
    assert_eq!(whole.len(), 6);
    assert_eq!(feed.position().gtid_set, Some(read_before(9)));
    assert!(
        whole[0].contains("07070707-0707-0707-0707-070707070707:5:0 1700000005123456"),
        "{}",
        whole[0]
    );
    for cut in 0..=events.len() {
        let mut feed = feed_at(Flavour::OceanBase, start.clone());
        let mut rows = Vec::new();
        play(&mut feed, &events[..cut], &mut rows).unwrap();
        let position = through_json(&feed.position());
        let mut restarted = feed_at(Flavour::OceanBase, position.clone());
        play(
            &mut restarted,
            &dump_by_gtid(&events, position.gtid_set.as_ref().unwrap()),
            &mut rows,
        )
        .unwrap();
        assert!(rows == whole, "cut after event {cut}");
        assert_eq!(restarted.position().gtid_set, Some(read_before(9)));
    }
}

#[test]
fn i7_a_restarted_instance_sends_the_open_transaction_again() {
    for cut in 0..8 {
        let mut made = Made::new("mysql-bin.000001");
        made.previous(4).transaction(5, &[1, 2, 3]);
        made.events.truncate(made.events.len() - cut);
        made.rotate("mysql-bin.000002", 4, false)
            .rotate("mysql-bin.000002", 4, true);
        made.push(kind::FORMAT_DESCRIPTION, vec![0; 60]).previous(4);
        made.transaction(5, &[1, 2, 3]);
        let mut feed = feed_at(
            Flavour::OceanBase,
            at("mysql-bin.000001", 4, Some(read_before(4))),
        );
        let mut rows = Vec::new();
        play(&mut feed, &made.events, &mut rows).unwrap();
        assert_eq!(rows.len(), 3, "the last {cut} events were lost: {rows:?}");
        let position = feed.position();
        assert_eq!((position.gtid_set, position.open), (Some(read_before(5)), None));
        assert_eq!(
            position.file.to_string(),
            format!("mysql-bin.000002:{}", made.pos)
        );
        let repeated = feed.tracker().left_out().repeated;
        assert_eq!(repeated, u64::from(cut == 0));
    }
}

/// The position in the middle of transaction 5, after two rows.
fn in_the_middle() -> Position {
    let mut made = Made::new("a");
    made.previous(4).transaction(5, &[1, 2, 3]);
    let mut feed = feed_at(Flavour::OceanBase, at("a", 4, Some(read_before(4))));
    let mut rows = Vec::new();
    while rows.len() < 2 {
        let event = made.events.remove(0);
        step(&mut feed, &event, usize::MAX, &mut rows).unwrap();
    }
    let position = feed.position();
    assert_eq!(
        position.open.as_ref().map(|open: &OpenTransaction| open.rows),
        Some(2)
    );
    position
}

#[test]
fn i7_a_transaction_that_changed_halts() {
    let code = |change: &dyn Fn(&mut Made)| {
        let mut made = Made::new("a");
        made.previous(4);
        change(&mut made);
        let mut feed = feed_at(Flavour::OceanBase, in_the_middle());
        let mut rows = Vec::new();
        let outcome = play(&mut feed, &made.events, &mut rows);
        (outcome.err().map(|failure| failure.reason.code), rows.len())
    };
    assert_eq!(
        code(&|made| {
            made.transaction(5, &[1, 2, 3]);
        }),
        (None, 1)
    );
    // The same rows, packed into events in another way.
    assert_eq!(
        code(&|made| {
            made.gtid(5)
                .query("BEGIN")
                .table_map()
                .insert(&[1, 2, 3])
                .commit();
        }),
        (None, 1)
    );
    let changed = (Some("transaction_changed"), 0);
    assert_eq!(
        code(&|made| {
            made.transaction(5, &[1, 9, 3]);
        }),
        changed
    );
    assert_eq!(
        code(&|made| {
            made.transaction(5, &[1]);
        }),
        changed
    );
    assert_eq!(
        code(&|made| {
            made.transaction(5, &[]);
        }),
        changed
    );
    assert_eq!(
        code(&|made| {
            made.gtid(5).query("DROP TABLE x");
        }),
        changed
    );
    // Number 5 was rolled back on a server that lost its tail.
    let mut feed = feed_at(Flavour::MySql, in_the_middle());
    let mut made = Made::new("a");
    made.transaction(6, &[1]);
    let failure = play(&mut feed, &made.events, &mut Vec::new()).unwrap_err();
    assert_eq!(failure.reason.code, "transaction_changed");
}

#[test]
fn i6_rows_need_a_table_map_of_their_own_statement() {
    let mut made = Made::new("a");
    made.gtid(5).query("BEGIN").table_map().insert(&[1]).insert(&[2]);
    let mut feed = feed_at(Flavour::MySql, at("a", 4, Some(read_before(4))));
    let mut rows = Vec::new();
    let failure = play(&mut feed, &made.events, &mut rows).unwrap_err();
    assert_eq!((failure.reason.code, rows.len()), ("table_map_missing", 1));
}

#[test]
fn i6_a_row_that_cannot_be_read_halts() {
    let mut made = Made::new("a");
    made.gtid(5).query("BEGIN").table_map().insert(&[1]);
    made.events.last_mut().unwrap().body.pop();
    let mut feed = feed_at(Flavour::MySql, at("a", 4, Some(read_before(4))));
    let event = made.events.pop().unwrap();
    play(&mut feed, &made.events, &mut Vec::new()).unwrap();
    assert_eq!(feed.event(&event.header, &event.body), Ok(Fed::Rows));
    let failure = feed.rows(&event.header, &event.body, |_| Ok(())).unwrap_err();
    assert_eq!(failure.reason.code, "row_undecodable");
    assert!(failure.reason.message.contains("shop.made"), "{failure}");
}

#[test]
fn i6_a_table_that_is_gone_or_different_halts() {
    let mut made = Made::new("a");
    made.gtid(5).query("BEGIN").table_map();
    for (definition, code) in [
        (None, "schema_unknown"),
        (
            sample::definition(&TableId {
                db: "shop".to_owned(),
                table: "ctas".to_owned(),
            }),
            "schema_contradiction",
        ),
    ] {
        let mut feed = feed_at(Flavour::MySql, at("a", 4, Some(read_before(4))));
        let mut fed = Fed::Quiet;
        for event in &made.events {
            fed = feed.event(&event.header, &event.body).unwrap();
        }
        assert!(matches!(fed, Fed::Needs(_)));
        let failure = feed.define(definition, 0).unwrap_err();
        assert_eq!(failure.reason.code, code);
        assert!(failure.reason.message.contains("shop.made"), "{failure}");
    }
}

#[test]
fn filtered_tables_never_ask_for_a_definition() {
    let mut made = Made::new("a");
    made.transaction(5, &[1, 2]);
    let filter = TableFilter::parse("elsewhere", "*").unwrap();
    let position = at("a", 4, Some(read_before(4)));
    let mut feed = Feed::new(
        Tracker::new(Flavour::MySql, position, false, None),
        filter,
        Tables::default(),
    );
    let mut rows = Vec::new();
    play(&mut feed, &made.events, &mut rows).unwrap();
    assert_eq!(rows, ["c filtered", "c filtered"]);
}

#[test]
fn uncaptured_rows_are_counted_even_where_columns_are_left_out() {
    let mut made = Made::new("a");
    made.gtid(5).query("BEGIN");
    let mut map = vec![9, 0, 0, 0, 0, 0, 1, 0];
    map.extend_from_slice(b"\x04shop\0\x04made\0");
    map.extend_from_slice(&[2, 3, 3, 0, 0]);
    made.push(kind::TABLE_MAP, map);
    // Two columns, the first of them in the image: three rows of a NULL bit and a number.
    let mut rows = vec![9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 0b01];
    rows.extend([0, 1, 0, 0, 0].repeat(3));
    made.push(30, rows).commit();
    let read = |schemas: &str| {
        let filter = TableFilter::parse(schemas, "*").unwrap();
        let tracker = Tracker::new(Flavour::MySql, at("a", 4, Some(read_before(4))), false, None);
        let mut rows = Vec::new();
        let outcome = play(
            &mut Feed::new(tracker, filter, Tables::default()),
            &made.events,
            &mut rows,
        );
        (rows.len(), outcome.err().map(|failure| failure.reason.code))
    };
    assert_eq!(read("elsewhere"), (3, None));
    assert_eq!(read("shop").1, Some("schema_contradiction"));
}

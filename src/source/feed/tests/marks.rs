//! Begins, ends and definitions: in their place, with the right counts, whatever is cut.

use super::*;
use crate::position::ServerIdentity;

/// Begins with `*`, which no row does.
pub(super) fn show(mark: &Mark<'_>) -> String {
    match mark {
        Mark::Begin { meta } => format!("* begin {}", meta.transaction),
        Mark::End { meta, tables } => {
            let counts = tables.iter().map(|(id, count)| format!(" {id}={count}"));
            format!("* end {}{}", meta.transaction, counts.collect::<String>())
        }
        Mark::Definition {
            meta,
            ordinal,
            change,
        } => format!(
            "* ddl{ordinal} {} {} {:?} {} {}",
            meta.transaction,
            change.definition.label(),
            change.object,
            change.id,
            change.sql.as_deref().unwrap_or("hidden")
        ),
        Mark::Gap(gap) => format!("* gap {}", gap.id()),
    }
}

fn feed_with_marks(flavour: Flavour, position: Position) -> Feed {
    let mut feed = feed_at(flavour, position);
    feed.emit(Emits {
        transactions: true,
        definitions: true,
    });
    feed
}

/// Without repetitions of what is no row; a row stays as often as it came.
fn once(all: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let new = |text: &&String| !text.starts_with('*') || seen.insert((*text).clone());
    all.iter().filter(new).cloned().collect()
}

#[test]
fn i7_ends_count_the_captured_rows_of_their_transaction_wherever_it_was_cut() {
    let events = sample::recorded();
    let start = at(RECORDED, 4, None);
    let mut whole = Vec::new();
    play(
        &mut feed_with_marks(Flavour::MariaDb, start.clone()),
        &events,
        &mut whole,
    )
    .unwrap();
    assert_eq!(whole.iter().filter(|text| !text.starts_with('*')).count(), 820);
    assert_eq!(once(&whole), whole, "nothing is told twice");

    // Each end says what was seen since its begin; filtered rows lie anywhere.
    let mut open: Option<(String, std::collections::BTreeMap<String, u64>)> = None;
    let mut ends = 0;
    for text in &whole {
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            ["*", "begin", transaction] => {
                assert!(open.is_none());
                open = Some(((*transaction).to_owned(), std::collections::BTreeMap::new()));
            }
            ["*", "end", transaction, counts @ ..] => {
                let (begun, seen) = open.take().unwrap();
                let mut told: Vec<&str> = counts.to_vec();
                told.sort_unstable();
                let seen: Vec<String> = seen.iter().map(|(id, count)| format!("{id}={count}")).collect();
                assert_eq!(
                    (begun.as_str(), told),
                    (*transaction, seen.iter().map(String::as_str).collect())
                );
                ends += 1;
            }
            ["*", ..] | [_, "filtered"] => {}
            [_, table, ..] => *open.as_mut().unwrap().1.entry((*table).to_owned()).or_default() += 1,
            _ => panic!("{text}"),
        }
    }
    assert!(open.is_none() && ends > 5, "{ends}");

    for cut in 0..=events.len() {
        for most in [usize::MAX, 0, 1, 3] {
            let mut feed = feed_with_marks(Flavour::MariaDb, start.clone());
            let mut told = Vec::new();
            play(&mut feed, &events[..cut.saturating_sub(1)], &mut told).unwrap();
            if let Some(last) = cut.checked_sub(1) {
                step(&mut feed, &events[last], most, &mut told).unwrap();
            }
            let position = through_json(&feed.position());
            let mut again = told.clone();
            let mut restarted = feed_with_marks(Flavour::MariaDb, position.clone());
            play(&mut restarted, &dump(&events, &position), &mut again).unwrap();
            assert_eq!(once(&again), whole, "restarted after event {cut}");
            let position = feed.cut();
            play(&mut feed, &dump(&events, &position), &mut told).unwrap();
            assert_eq!(once(&told), whole, "reconnected after event {cut}");
            if !matches!(most, 1 | 3) {
                // Nobody refused a row behind its begin: then not even these are told twice within a run.
                assert_eq!(told, whole, "reconnected after event {cut}");
            }
        }
    }
}

#[test]
fn definitions_of_what_is_captured_are_told_without_credentials() {
    let mut set = GtidSet::default();
    set.insert(Gtid { uuid: SERVER, gno: 1 });
    let mut made = Made::new("a.1");
    made.previous(1);
    for (gno, text) in [
        (1, "CREATE TABLE before_the_start (a int)"),
        (2, "CREATE TABLE made (a int primary key)"),
        (3, "CREATE TABLE ctas (a int)"),
        (4, "CREATE USER u IDENTIFIED BY 'p4ss'"),
        (5, "RENAME TABLE other.x TO made"),
        (6, "ALTER TABLE made CONNECTION='mysql://u:p4ss@h/d'"),
        (7, "DROP DATABASE shop"),
        (8, "DROP DATABASE other"),
        (9, "GRANT ALL ON shop.* TO u"),
        (10, "CREATE TEMPORARY TABLE made (a int)"),
    ] {
        made.gtid(gno).query(text);
    }
    let mut told = Vec::new();
    let mut feed = feed_with_marks(Flavour::MySql, at("a.1", 4, Some(set)));
    play(&mut feed, &made.events, &mut told).unwrap();
    let id = |gno: u64| Gtid { uuid: SERVER, gno };
    assert_eq!(
        told,
        [
            format!(
                "* ddl0 {} create Table shop.made CREATE TABLE made (a int primary key)",
                id(2)
            ),
            format!(
                "* ddl0 {} rename Table shop.made RENAME TABLE other.x TO made",
                id(5)
            ),
            format!("* ddl0 {} alter Table shop.made hidden", id(6)),
            format!("* ddl0 {} drop Database shop. DROP DATABASE shop", id(7)),
        ]
    );
    // Nothing is told unless somebody wants to know.
    let mut told = Vec::new();
    play(
        &mut feed_at(Flavour::MySql, at("a.1", 4, None)),
        &made.events[..2],
        &mut told,
    )
    .unwrap();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_transaction_without_captured_rows_has_no_begin_and_no_end() {
    let mut made = Made::new("a.1");
    made.transaction(1, &[]).transaction(2, &[5, 6]);
    let filter = TableFilter::parse("shop", "other").unwrap();
    let tracker = Tracker::new(
        Flavour::OceanBase,
        at("a.1", 4, Some(GtidSet::default())),
        false,
        None,
    );
    let mut feed = Feed::new(tracker, filter, Tables::default());
    feed.emit(Emits {
        transactions: true,
        definitions: true,
    });
    let mut told = Vec::new();
    play(&mut feed, &made.events, &mut told).unwrap();
    assert_eq!(told, ["c filtered", "c filtered"]);
}

#[test]
fn a_definition_in_a_transaction_that_is_cut_is_told_once_in_a_run() {
    let mut made = Made::new("a.1");
    made.gtid(1)
        .query("BEGIN")
        .query("CREATE TABLE made (a int primary key)");
    let before = made.events.len();
    made.table_map().insert(&[5]).commit();
    let start = at("a.1", 4, Some(GtidSet::default()));
    let mut feed = feed_with_marks(Flavour::MySql, start);
    let mut told = Vec::new();
    play(&mut feed, &made.events[..before], &mut told).unwrap();
    assert_eq!(told.len(), 1);
    feed.cut();
    play(&mut feed, &made.events, &mut told).unwrap();
    let words: Vec<&str> = told.iter().map(|text| text.split(' ').nth(1).unwrap()).collect();
    assert_eq!(words, ["ddl0", "begin", "shop.made", "end"]);
}

#[test]
fn a_gap_is_told_once_in_front_of_everything() {
    let from = at("a", 4, Some(read_before(2)));
    let to = at("b", 4, Some(read_before(4)));
    let mut feed = feed_with_marks(Flavour::MySql, to.clone());
    feed.tell(Gap {
        lost: Some(read_before(4).without(&read_before(2))),
        from,
        to: to.clone(),
        server: ServerIdentity {
            flavour: Flavour::MySql,
            server_uuid: String::new(),
            server_id: 1,
        },
        chosen: "earliest",
    });
    assert!(feed.has_rows(), "before anything was read");
    let refused = feed.marks(&mut |_| Err(Failure::retry("test", "not now")));
    assert!(refused.is_err() && feed.has_rows(), "what was not taken waits");
    assert_eq!(feed.position(), to);
    let mut made = Made::new("b");
    made.transaction(5, &[1]);
    let mut rows = Vec::new();
    play(&mut feed, &made.events, &mut rows).unwrap();
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert_eq!(rows[0], "* gap a:4+0-b:4");
    assert!(rows[1].starts_with("* begin"), "{rows:?}");
}

//! Tables that are parked: passed over, turned back to, and read up to where all others are.

use super::*;
use crate::source::parked::{Parking, Wish};

fn unknown() -> Failure {
    Failure::halt("schema_unknown", "test", "test")
}

/// A feed that goes on from a position, as after a restart.
fn restarted(position: &Position) -> Feed {
    Feed::new(
        Tracker::new(Flavour::MariaDb, position.clone(), false, None),
        filter(),
        Tables::default().with_parking(Parking::new(&position.parked)),
    )
}

/// The table of the recording's first row; there are two others.
fn first() -> TableId {
    let mut feed = feed_at(Flavour::MariaDb, at(RECORDED, 4, None));
    let needed = sample::recorded().iter().find_map(|event| {
        let fed = feed.event(&event.header, &event.body).unwrap();
        if let Fed::Needs(id) = fed { Some(id) } else { None }
    });
    needed.unwrap()
}

/// Plays events while that table cannot be read.
fn play_unread(feed: &mut Feed, events: &[Sample], rows: &mut Vec<String>) {
    let first = first();
    for event in events {
        match feed.event(&event.header, &event.body).unwrap() {
            Fed::Needs(id) if id == first => assert_eq!(feed.park(&unknown()), Some(id)),
            Fed::Needs(id) => feed.define(sample::definition(&id), 0).unwrap(),
            Fed::Rows => feed
                .rows(&event.header, &event.body, |change| {
                    rows.push(show(&change));
                    Ok(())
                })
                .unwrap(),
            Fed::Quiet
            | Fed::Boundary
            | Fed::Heartbeat
            | Fed::Ghost(_)
            | Fed::Returned
            | Fed::Definition { .. } => {}
        }
    }
}

/// Reads a parked table alone, up to where all others are; the events of the pass, one after the other.
fn turn_back<'e>(
    feed: &mut Feed,
    events: &'e [Sample],
    rows: &'e mut Vec<String>,
) -> impl FnMut(&mut Feed) -> bool + use<'e> {
    let table = feed.hope().expect("a table that is worth a try").clone();
    let since = feed.turn_back(&table).expect("it is parked");
    let mut sent = dump(events, &since).into_iter();
    move |feed| {
        let event = sent.next().expect("an end of the pass");
        if step(feed, &event, usize::MAX, rows).unwrap() == Fed::Returned {
            feed.go_on(false);
            return true;
        }
        false
    }
}

/// A reconnect may have to leap over a gap: from there on the position alone knows the parked tables.
#[test]
fn i1_where_a_stream_is_cut_the_position_names_parked_tables() {
    let mut feed = feed_at(Flavour::MariaDb, at(RECORDED, 4, None));
    play_unread(&mut feed, &sample::recorded(), &mut Vec::new());
    let position = feed.cut();
    assert_eq!(position.parked.len(), 1);
    assert_eq!(position.parked, feed.position().parked);
}

#[test]
fn i1_a_parked_table_is_read_later_from_wherever_its_reading_was_cut() {
    let events = sample::recorded();
    let start = at(RECORDED, 4, None);
    let mut whole = Vec::new();
    play(&mut feed_at(Flavour::MariaDb, start.clone()), &events, &mut whole).unwrap();
    let name = format!(" {} ", first());
    let (captured, others): (Vec<String>, Vec<String>) =
        whole.into_iter().partition(|row| row.contains(&name));
    assert!(!captured.is_empty() && !others.is_empty());

    // All of them up to here, while the table cannot be read.
    let mut feed = feed_at(Flavour::MariaDb, start);
    let mut rows = Vec::new();
    play_unread(&mut feed, &events, &mut rows);
    assert!(rows == others, "the others flow");
    let parked = through_json(&feed.position());
    assert_eq!(parked.parked.len(), 1);
    assert_eq!(feed.tables().parking().shown()[0].rows, captured.len() as u64);
    assert_eq!(feed.hope(), None, "nothing speaks for another try");
    let table = parked.parked[0].table.clone();
    assert!(feed.obey(&table, &Wish::Resume(None)).is_ok());

    for cut in 0.. {
        let mut rows = Vec::new();
        let mut feed = restarted(&parked);
        let position = {
            let mut pass = turn_back(&mut feed, &events, &mut rows);
            (0..cut).any(|_| pass(&mut feed));
            through_json(&feed.position())
        };
        if position.parked.is_empty() {
            assert!(cut > 3);
            assert_eq!(
                position,
                Position {
                    parked: Vec::new(),
                    ..parked.clone()
                }
            );
            assert_eq!(rows, captured);
            break;
        }
        assert_eq!(position.order(&parked).map(std::cmp::Ordering::is_ge), Some(true));
        let mut feed = restarted(&position);
        let mut pass = turn_back(&mut feed, &events, &mut rows);
        while !pass(&mut feed) {}
        drop(pass);
        assert!(feed.position().parked.is_empty());
        assert!(rows == captured, "cut after event {cut} of the pass");
    }
}

/// What it had handed on by then is not handed on again.
#[test]
fn i7_a_reading_that_was_given_up_goes_on_where_it_ended() {
    let events = sample::recorded();
    let start = at(RECORDED, 4, None);
    let mut whole = Vec::new();
    play(&mut feed_at(Flavour::MariaDb, start.clone()), &events, &mut whole).unwrap();
    let name = format!(" {} ", first());
    whole.retain(|row| row.contains(&name));
    for ended in [0, 5, 20, 40] {
        let (mut feed, mut rows) = (feed_at(Flavour::MariaDb, start.clone()), Vec::new());
        play_unread(&mut feed, &events, &mut Vec::new());
        let table = feed.position().parked[0].table.clone();
        feed.obey(&table, &Wish::Resume(None)).unwrap();
        {
            let mut pass = turn_back(&mut feed, &events, &mut rows);
            assert!(!(0..ended).any(|_| pass(&mut feed)), "{ended} is behind the end");
        }
        assert!(ended < 40 || !rows.is_empty(), "nothing was handed on by then");
        feed.give_up(&unknown().reason);
        feed.obey(&table, &Wish::Resume(None)).unwrap();
        let mut pass = turn_back(&mut feed, &events, &mut rows);
        while !pass(&mut feed) {}
        drop(pass);
        assert!(rows == whole, "given up after {ended} events");
    }
}

#[test]
fn a_table_that_is_given_up_flows_again() {
    let events = sample::recorded();
    let mut feed = feed_at(Flavour::MariaDb, at(RECORDED, 4, None));
    play_unread(&mut feed, &events, &mut Vec::new());
    let table = feed.position().parked[0].table.clone();
    assert!(feed.obey(&table, &Wish::Skip).is_ok());
    assert!(feed.position().parked.is_empty());
    assert!(feed.obey(&table, &Wish::Skip).is_err(), "only once");
}

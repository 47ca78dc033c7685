//! Each decision spelled out. That they hold together among crashes, late copies and other writers is the simulation's part.

use super::*;
use crate::retry::Failure;
use crate::sink::wire::tests::batch;

const T: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562:7";

fn record(sequence: u64, group: &str, id: &str, marked: bool) -> TailRecord {
    let mut attributes = vec![(ATTRIBUTE_GROUP, group), (ATTRIBUTE_ID, id)];
    if marked {
        attributes.push((ATTRIBUTE_WATERMARK, "{}"));
    }
    let attributes = attributes.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
    TailRecord {
        sequence,
        attributes: attributes.collect(),
    }
}

/// Records of this group from number 20 on: the batch's by their index, others by `None`.
fn shard(places: &[Option<u64>]) -> Vec<TailRecord> {
    let id = |place: &Option<u64>| place.map_or("x:1:0".to_owned(), |row| format!("{T}:{row}"));
    (20..)
        .zip(places)
        .map(|(at, place)| record(at, "g", &id(place), false))
        .collect()
}

fn lost() -> Outcome {
    let reason = Failure::retry("timeout", "no answer").reason;
    Outcome::Unknown { reason }
}

#[test]
fn a_batch_is_held_as_far_as_its_records_are_there() {
    use Probe::{Holds, Lacks};
    let three = batch(&[b"a", b"b", b"c"], None);
    for (places, oldest_left, expected, repeated) in [
        (vec![], None, Holds(0), 0),
        (vec![None, None], None, Holds(0), 0),
        (vec![None, Some(0), Some(1), Some(2)], None, Holds(3), 0),
        (vec![Some(0), Some(1)], None, Holds(2), 0),
        // A late copy of an older request lies behind it, before it, or is a beginning of it.
        (vec![Some(0), Some(1), Some(2), None], None, Holds(3), 0),
        (vec![None, Some(0), None, Some(1)], None, Holds(2), 0),
        (
            vec![Some(0), Some(1), Some(2), Some(0), Some(1)],
            None,
            Holds(3),
            2,
        ),
        (vec![Some(0), Some(0), Some(0)], None, Holds(1), 2),
        // Stored in part.
        (vec![Some(1), Some(2)], None, Lacks(vec![0]), 0),
        (vec![Some(0), Some(2)], None, Lacks(vec![1]), 0),
        (vec![Some(1)], None, Lacks(vec![0, 2]), 0),
        // Its beginning was there, and its time is over; or something else was there before it.
        (vec![Some(1), Some(2)], Some(20), Holds(3), 0),
        (vec![None, Some(1), Some(2)], Some(20), Lacks(vec![0]), 0),
        (vec![Some(1)], Some(20), Lacks(vec![0, 2]), 0),
        (vec![], Some(20), Holds(0), 0),
    ] {
        let mut search = Search::new(&three, "g");
        search.look(&shard(&places));
        let finding = search.finding(oldest_left);
        assert_eq!(
            finding,
            Finding {
                probe: expected,
                repeated
            },
            "{places:?} {oldest_left:?}"
        );
    }
}

#[test]
fn another_groups_records_are_not_ours_whatever_their_ids() {
    let one = batch(&[b"a"], None);
    let mut search = Search::new(&one, "g");
    search.look(&[record(1, "h", &format!("{T}:0"), false), TailRecord::default()]);
    assert!(!search.has_all());
    assert_eq!(search.finding(None).probe, Probe::Holds(0));
}

#[test]
fn a_batch_begins_behind_what_its_shard_had_before_it_was_sent() {
    let mut lengths = Lengths::default();
    let (one, mut next) = (batch(&[b"a", b"b"], None), batch(&[b"a"], None));
    next.id = BatchId(2);
    assert_eq!(lengths.begin(&one, Some(9)), Some(0), "nothing is known");
    lengths.shows(&one.shard, Some(9));
    lengths.shows(&one.shard, Some(4));
    lengths.sends(&one);
    lengths.answered(&one, &lost());
    assert_eq!(lengths.begin(&one, Some(30)), Some(9));
    lengths.answered(&one, &Outcome::Acknowledged);
    assert_eq!(
        lengths.begin(&one, Some(30)),
        Some(9),
        "its own records are not before it"
    );
    lengths.sends(&next);
    assert_eq!(lengths.begin(&next, Some(30)), Some(11));
    assert_eq!(lengths.begin(&one, Some(30)), Some(0), "not the newest request");
    let refused = vec![(0, Failure::retry("c", "m"))];
    lengths.answered(&one, &Outcome::Partial(refused));
    lengths.sends(&next);
    assert_eq!(lengths.begin(&next, Some(30)), Some(12));
    let mut empty = Lengths::default();
    empty.shows(&one.shard, Some(0));
    empty.shows(&one.shard, None);
    empty.sends(&one);
    assert_eq!(empty.begin(&one, None), Some(0), "an empty shard may say 0");
}

#[test]
fn a_shard_that_shows_less_than_it_had_is_asked_again_and_then_believed() {
    let mut lengths = Lengths::default();
    let one = batch(&[b"a"], None);
    lengths.shows(&one.shard, Some(99));
    lengths.sends(&one);
    assert_eq!(lengths.begin(&one, Some(97)), None);
    assert_eq!(lengths.begin(&one, Some(98)), Some(99), "it has caught up");
    assert_eq!(lengths.begin(&one, Some(97)), None);
    assert_eq!(lengths.begin(&one, None), None);
    assert_eq!(lengths.begin(&one, Some(3)), Some(0), "another topic by now");
    lengths.answered(&one, &Outcome::Acknowledged);
    lengths.sends(&one);
    assert_eq!(lengths.begin(&one, Some(3)), Some(1), "counted anew");
}

#[test]
fn stretches_grow_up_to_the_bound_of_effort() {
    let stretches = |mut window: Window| std::iter::from_fn(move || window.stretch()).collect::<Vec<_>>();
    assert_eq!(stretches(Window::new(None, 0, 5)), []);
    assert_eq!(stretches(Window::new(Some(9), 10, 5)), []);
    assert_eq!(stretches(Window::new(Some(9), 7, 5)), [(7, 9)]);
    assert_eq!(stretches(Window::new(Some(9), 0, 2)), [(8, 9), (0, 7)]);
    let far = stretches(Window::new(Some(1_000_000), 0, 1));
    assert_eq!(
        far[..3],
        [(1_000_000, 1_000_000), (999_000, 999_999), (997_000, 998_999)]
    );
    let (first, _) = far[far.len() - 1];
    assert!(first <= 1_000_000 - LOOK_BACK_RECORDS && first > 1_000_000 - LOOK_BACK_RECORDS - 8_000);
    let mut cut = Window::new(Some(99), 0, 10);
    assert_eq!(cut.stretch(), Some((90, 99)));
    cut.cut(Some(95));
    assert_eq!((cut.stretch(), cut.oldest_left()), (None, Some(95)));
}

#[test]
fn a_late_copy_does_not_end_the_search_behind_a_position() {
    let position = Position {
        gtid_set: None,
        file: "b.000002:100".parse().unwrap(),
        open: None,
        parked: Vec::new(),
    };
    let at = |sequence, pos: u64, row: u64, marked| {
        let id = format!("b.000002:{pos}:{row}");
        record(sequence, "g", &id, marked)
    };
    let records = [
        at(0, 200, 9, true),
        // More requests in a row than can be late copies: the search does not get to what is before the last of them.
        at(1, 10, 0, true),
        at(2, 20, 0, true),
        at(3, 30, 0, true),
        at(4, 35, 0, true),
        at(5, 200, 0, true),
        // Two late copies, one of them twice.
        at(6, 40, 0, true),
        at(7, 50, 0, false),
        at(8, 50, 1, true),
        at(9, 40, 0, true),
        at(10, 300, 0, true),
    ];
    let mut behind = Behind::new(&position, "g");
    assert_eq!(behind.look(&records[7..]), Ok(false));
    assert_eq!(behind.look(&records[..7]), Ok(true));
    let ids: Vec<String> = behind.found().behind.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["b.000002:300:0", "b.000002:200:0"]);
    let odd = [record(0, "g", "odd", false)];
    assert!(Behind::new(&position, "g").look(&odd).is_err());
    assert_eq!(Behind::new(&position, "h").look(&odd), Ok(false));
}

//! Fences, and what a person asks of the dead letters.

use std::collections::HashMap;

use super::*;
use crate::change::TableId;
use crate::record::letter::{Action, Report, Request, Selection, Wanted};
use crate::record::{Key, Origin, Record, Turn};

fn of_table(name: &str) -> OriginRef {
    let table = TableId {
        db: "shop".to_owned(),
        table: name.to_owned(),
    };
    Origin {
        table: Some(Arc::new(table)),
        gtid: None,
        file: "b.1".into(),
        pos: 4,
    }
    .into()
}

/// Rows of these keys, of one table, from `first` on.
fn rows(first: u64, keys: &[u128]) -> Chunk {
    let behind = first + u64::try_from(keys.len()).unwrap();
    let mut chunk = chunk(first, behind);
    for (record, key) in chunk.records.iter_mut().zip(keys) {
        record.hash_key = *key;
        record.origin = of_table("items");
    }
    chunk
}

fn key(hash: u128) -> Key {
    rows(0, &[hash]).records[0].key()
}

/// The records that are to be written to the file now; nothing else happens.
fn buried(core: &mut Core) -> (Vec<u64>, &'static str) {
    match effects(core).as_slice() {
        [Effect::DeadLetter { records, reason }] => {
            (records.iter().map(|record| record.seq).collect(), reason.code)
        }
        others => panic!("{others:?}"),
    }
}

/// A core that has buried row 0 of key 7, at [`SECOND`].
fn fenced(settings: Settings) -> Core {
    let mut core = core(settings);
    core.handle_chunk(SECOND, rows(0, &[7]));
    let batch = sent(&mut core);
    core.handle_outcome(SECOND, batch.id, refused(Disposition::Poison(None)));
    assert_eq!(buried(&mut core), (vec![0], "no"));
    core.handle_dead_lettered(SECOND, 0, Ok(()));
    persisted(&mut core);
    core
}

fn persisted(core: &mut Core) {
    match effects(core).as_slice() {
        [Effect::Persist(_)] => core.handle_persisted(SECOND, Ok(())),
        others => panic!("{others:?}"),
    }
    assert!(effects(core).is_empty());
}

fn request(action: Action) -> Request {
    Request {
        id: "1".to_owned(),
        selection: Selection::All,
        action,
    }
}

/// Asks for a replay of everything; the file gives these letters for the first round.
fn replayed(core: &mut Core, letters: Chunk) -> Batch {
    core.handle_request(SECOND, request(Action::Replay));
    match effects(core).as_slice() {
        [
            Effect::ReadLetters {
                wanted: Wanted::Keys(keys),
                ..
            },
        ] => {
            assert_eq!(keys.iter().cloned().collect::<Vec<_>>(), [key(7)]);
        }
        others => panic!("{others:?}"),
    }
    core.handle_letters(SECOND, Ok(letters.records));
    sent(core)
}

fn reported(core: &mut Core) -> Report {
    match effects(core).as_slice() {
        [Effect::Report { report, .. }] => report.clone(),
        others => panic!("{others:?}"),
    }
}

#[test]
fn i3_later_rows_of_a_buried_key_go_behind_it_and_all_others_flow() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, rows(0, &[7, 8, 7, 9, 7]));
    let all = sent(&mut core);
    core.handle_outcome(SECOND, all.id, refused(Disposition::Poison(Some(0))));
    let alone = sent(&mut core);
    core.handle_outcome(SECOND, alone.id, refused(Disposition::Poison(None)));
    assert_eq!(buried(&mut core), (vec![0], "no"));
    core.handle_dead_lettered(SECOND, 0, Ok(()));
    let now = effects(&mut core);
    let [Effect::DeadLetter { records, reason }, Effect::Send(batch)] = now.as_slice() else {
        panic!("{now:?}");
    };
    assert_eq!(
        (seqs(batch), records.len(), reason.code),
        (vec![1, 3], 2, KEY_FENCED)
    );
    core.handle_outcome(SECOND, batch.id, Outcome::Acknowledged);
    assert!(core.snapshot().durable.is_none(), "i1: rows wait for the file");
    core.handle_chunk(SECOND, rows(5, &[7]));
    core.handle_dead_lettered(SECOND, 2, Ok(()));
    assert_eq!(buried_beside_a_checkpoint(&mut core), [5]);
    core.handle_dead_lettered(SECOND, 5, Ok(()));
    let seen = core.snapshot();
    assert_eq!(
        (seen.acked, seen.dead_lettered, seen.in_flight, seen.held_bytes),
        (2, 4, 0, 0)
    );
    assert_eq!((seen.dead_letters.letters, seen.dead_letters.keys), (4, 1));
    assert_eq!(seen.durable, Some(position(6)));
}

fn buried_beside_a_checkpoint(core: &mut Core) -> Vec<u64> {
    let mut seqs = Vec::new();
    for effect in effects(core) {
        if let Effect::DeadLetter { records, .. } = &effect {
            seqs.extend(records.iter().map(|record| record.seq));
        } else {
            assert!(matches!(effect, Effect::Persist(_)), "{effect:?}");
        }
    }
    seqs
}

#[test]
fn a_key_is_a_table_and_a_hash_and_an_unknown_table_is_any() {
    let known = key(7);
    let unknown = Key { table: None, hash: 7 };
    for (fence, stopped) in [(known, [true, false, true]), (unknown, [true, true, true])] {
        let mut core = core(settings());
        core.handle_fences([(fence, 1)]);
        for (row, stopped) in (0..).zip(stopped) {
            let mut chunk = rows(row, &[7]);
            if row == 1 {
                chunk.records[0].origin = of_table("notes");
            }
            core.handle_chunk(SECOND, chunk);
            let stops = match effects(&mut core).as_slice() {
                [Effect::DeadLetter { .. }] => {
                    core.handle_dead_lettered(SECOND, row, Ok(()));
                    true
                }
                [Effect::Send(batch)] => {
                    core.handle_outcome(SECOND, batch.id, Outcome::Acknowledged);
                    false
                }
                others => panic!("{others:?}"),
            };
            assert_eq!(stops, stopped, "row {row}");
            if let Some(Effect::Persist(_)) = core.poll_effect() {
                core.handle_persisted(SECOND, Ok(()));
            }
        }
    }
}

#[test]
fn a_full_file_stops_the_lane_and_goes_on_as_soon_as_there_is_room() {
    let mut core = core(settings());
    core.handle_fences([(key(9), 1)]);
    core.handle_chunk(SECOND, rows(0, &[7, 8]));
    let all = sent(&mut core);
    core.handle_outcome(SECOND, all.id, refused(Disposition::Poison(Some(0))));
    let alone = sent(&mut core);
    core.handle_outcome(SECOND, alone.id, refused(Disposition::Poison(None)));
    assert_eq!(buried(&mut core).0, [0]);
    let full = Failure::retry("dead_letters_full", "full");
    core.handle_dead_lettered(SECOND, 0, Err(full));
    assert!(effects(&mut core).is_empty(), "its record stays first");
    let seen = core.snapshot();
    let reason = seen.dead_letters.failure.map(|reason| reason.code);
    assert_eq!(
        (seen.in_flight, seen.durable, reason),
        (2, None, Some("dead_letters_full"))
    );
    let reason = "known".to_owned();
    core.handle_request(SECOND, request(Action::Discard { reason }));
    assert!(matches!(
        effects(&mut core).as_slice(),
        [Effect::DiscardLetters { .. }]
    ));
    core.handle_timeout(60 * SECOND);
    let only = effects(&mut core);
    assert!(
        matches!(only.as_slice(), [Effect::RefreshShards]),
        "nothing is appended meanwhile: {only:?}"
    );
    core.handle_discarded(60 * SECOND, Ok((1, HashMap::new())));
    let mut now = effects(&mut core);
    let Some(Effect::DeadLetter { records, .. }) = now.pop() else {
        panic!("{now:?}");
    };
    assert_eq!(records[0].seq, 0);
    assert!(matches!(now.as_slice(), [Effect::Report { report, .. }] if report.discarded == 1));
    core.handle_dead_lettered(60 * SECOND, 0, Ok(()));
    let seen = core.snapshot();
    assert_eq!((seen.dead_letters.letters, seen.dead_letters.failure), (1, None));
}

#[test]
fn i3_a_replay_sends_letters_first_and_then_what_waited_for_them() {
    let mut core = fenced(settings());
    let letters = replayed(&mut core, rows(0, &[7]));
    assert!(letters.records.iter().all(Record::is_letter));
    core.handle_chunk(SECOND * 2, rows(1, &[7, 8]));
    assert!(
        effects(&mut core).is_empty(),
        "row 1 waits for the letter, row 2 for the lane"
    );
    core.handle_outcome(SECOND * 2, letters.id, Outcome::Acknowledged);
    let now = effects(&mut core);
    let [Effect::RemoveLetters(ids), Effect::Send(other)] = now.as_slice() else {
        panic!("{now:?}");
    };
    assert_eq!(
        (ids.as_slice(), seqs(other)),
        (["t:0".to_owned()].as_slice(), vec![2])
    );
    core.handle_outcome(SECOND * 2, other.id, Outcome::Acknowledged);
    core.handle_timeout(SECOND * 20);
    assert!(
        effects(&mut core).is_empty(),
        "no checkpoint while a letter is in the topic and in the file"
    );
    core.handle_removed(SECOND * 20, Ok(()));
    let batch = match effects(&mut core).as_slice() {
        [Effect::ReadLetters { .. }, Effect::Send(batch)] => batch.clone(),
        others => panic!("{others:?}"),
    };
    assert_eq!((seqs(&batch), batch.records[0].turn), (vec![1], Turn::Late));
    core.handle_letters(SECOND * 20, Ok(Vec::new()));
    assert_eq!(reported(&mut core).replayed, 1);
    core.handle_outcome(SECOND * 20, batch.id, Outcome::Acknowledged);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Persist(at)] if *at == position(3)));
    let seen = core.snapshot();
    assert_eq!((seen.acked, seen.dead_lettered, seen.in_flight), (2, 1, 0));
    assert_eq!((seen.dead_letters.letters, seen.dead_letters.replayed), (0, 1));
}

#[test]
fn a_letter_that_is_refused_again_stays_with_all_that_follow() {
    for policy in [PoisonPolicy::DeadLetter, PoisonPolicy::Halt] {
        let mut core = core(Settings {
            poison: policy,
            ..settings()
        });
        core.handle_fences([(key(7), 2)]);
        let letters = replayed(&mut core, rows(0, &[7, 7]));
        assert_eq!(letters.records.len(), 2);
        core.handle_outcome(SECOND, letters.id, refused(Disposition::Poison(Some(0))));
        let alone = sent(&mut core);
        assert_eq!(alone.records.len(), 1);
        core.handle_chunk(SECOND, rows(0, &[7]));
        core.handle_outcome(SECOND, alone.id, refused(Disposition::Poison(None)));
        assert!(core.halted().is_none());
        let now = effects(&mut core);
        let [
            Effect::ReadLetters {
                wanted: Wanted::Keys(keys),
                ..
            },
        ] = now.as_slice()
        else {
            panic!("{now:?}");
        };
        assert!(keys.is_empty(), "the key is not tried again");
        core.handle_letters(SECOND, Ok(Vec::new()));
        let now = effects(&mut core);
        let [Effect::Report { report, .. }, Effect::DeadLetter { records, .. }] = now.as_slice() else {
            panic!("{now:?}");
        };
        assert_eq!((report.replayed, report.refused.len()), (0, 1));
        assert_eq!(records[0].seq, 0, "the row that waited goes behind them");
        core.handle_dead_lettered(SECOND, 0, Ok(()));
        assert_eq!(core.snapshot().dead_letters.letters, 3);
    }
}

#[test]
fn a_replay_makes_room_for_what_a_full_file_keeps_out() {
    let mut core = core(settings());
    core.handle_fences([(key(7), 1)]);
    core.handle_chunk(SECOND, rows(0, &[8]));
    let poison = sent(&mut core);
    core.handle_outcome(SECOND, poison.id, refused(Disposition::Poison(None)));
    assert_eq!(buried(&mut core).0, [0]);
    core.handle_dead_lettered(SECOND, 0, Err(Failure::retry("dead_letters_full", "full")));
    let letters = replayed(&mut core, rows(9, &[7]));
    assert_eq!(
        letters.records.len(),
        2,
        "the letter, and behind it the record that is tried again"
    );
    assert!(letters.records[0].is_letter() && !letters.records[1].is_letter());
}

#[test]
fn the_end_of_a_run_waits_for_letters_that_are_on_their_way_and_begins_no_round() {
    let mut core = fenced(settings());
    let letters = replayed(&mut core, rows(0, &[7]));
    core.handle_shutdown(SECOND);
    assert!(effects(&mut core).is_empty());
    core.handle_outcome(SECOND, letters.id, Outcome::Acknowledged);
    assert!(matches!(
        effects(&mut core).as_slice(),
        [Effect::RemoveLetters(_)]
    ));
    core.handle_removed(SECOND, Ok(()));
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Finished]));
}

#[test]
fn letters_move_with_their_keys_when_shards_split() {
    let mut core = core(settings());
    core.handle_fences([(key(7), 1), (key(u128::MAX), 1)]);
    core.handle_request(SECOND, request(Action::Replay));
    assert!(matches!(
        effects(&mut core).as_slice(),
        [Effect::ReadLetters { .. }]
    ));
    core.handle_letters(SECOND, Ok(rows(0, &[7, u128::MAX]).records));
    let both = sent(&mut core);
    let sealed = Disposition::Reroute;
    core.handle_outcome(SECOND, both.id, refused(sealed));
    assert!(matches!(effects(&mut core).as_slice(), [Effect::RefreshShards]));
    core.handle_shards(SECOND, Ok(vec![shard("1", 0), shard("2", 1 << 100)]));
    let batches = all_sent(&mut core);
    assert_eq!(batches.len(), 2, "{batches:?}");
    for batch in batches {
        core.handle_outcome(SECOND, batch.id, Outcome::Acknowledged);
    }
    assert!(matches!(effects(&mut core).as_slice(), [Effect::RemoveLetters(ids)] if ids.len() == 2));
}

//! Single decisions of the core, each spelled out. That they hold together is the simulation's part.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::position::{FilePosition, Flavour, ServerIdentity, Watermark};
use crate::record::letter::Action;
use crate::record::{Layout, OriginRef, Outcome, Part, Probe, RecordId, ShardState, Turn};

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> Settings {
    Settings {
        batch_bytes: 100_000,
        batch_records: 64,
        linger: Duration::ZERO,
        budget_bytes: 1 << 20,
        delays: Delays {
            base: SECOND,
            cap: 8 * SECOND,
        },
        poison: PoisonPolicy::DeadLetter,
        alarm_attempts: 3,
        checkpoint_interval: SECOND / 2,
        shard_refresh_interval: 60 * SECOND,
        probe_delay: SECOND,
        seed: 1,
    }
}

fn shard(id: &str, begin: u128) -> Shard {
    Shard {
        id: id.into(),
        state: ShardState::Active,
        begin,
        end: u128::MAX,
        parents: Vec::new(),
    }
}

fn position(pos: u64) -> Position {
    Position {
        gtid_set: None,
        file: FilePosition {
            file: "b.1".to_owned(),
            pos,
        },
        open: None,
        parked: Vec::new(),
    }
}

/// Records `first..behind`, each of a key of its own, with a payload of 100 bytes.
fn chunk(first: u64, behind: u64) -> Chunk {
    let record = |seq| Record {
        seq,
        id: RecordId {
            transaction: Arc::from("t"),
            part: Part::Row(seq),
        },
        hash_key: u128::from(seq),
        layout: Layout::Blob,
        payload: Bytes::from_static(&[0; 100]),
        origin: OriginRef::default(),
        turn: Turn::InOrder,
    };
    Chunk {
        records: (first..behind).map(record).collect(),
        end: position(behind),
        decoded: behind - first,
        filtered: 0,
    }
}

/// A core with one active shard.
fn core(settings: Settings) -> Core {
    let mut core = Core::new(settings);
    assert!(matches!(core.poll_effect(), Some(Effect::RefreshShards)));
    core.handle_shards(Duration::ZERO, Ok(vec![shard("0", 0)]));
    core
}

fn effects(core: &mut Core) -> Vec<Effect> {
    std::iter::from_fn(|| core.poll_effect()).collect()
}

/// The batches that are sent now; other effects may come beside them.
fn all_sent(core: &mut Core) -> Vec<Batch> {
    let mut batches = Vec::new();
    for effect in effects(core) {
        if let Effect::Send(batch) = effect {
            batches.push(batch);
        }
    }
    batches
}

fn sent(core: &mut Core) -> Batch {
    let mut batches = all_sent(core);
    assert_eq!(batches.len(), 1, "one batch: {batches:?}");
    batches.remove(0)
}

fn seqs(batch: &Batch) -> Vec<u64> {
    batch.records.iter().map(|r| r.seq).collect()
}

fn refused(disposition: Disposition) -> Outcome {
    Outcome::Refused(Failure {
        disposition,
        reason: Reason {
            code: "no",
            message: "no".to_owned(),
        },
    })
}

fn unknown() -> Outcome {
    Outcome::Unknown {
        reason: Reason {
            code: "timeout",
            message: "no answer".to_owned(),
        },
    }
}

#[test]
fn i3_an_idle_lane_sends_at_once_and_gathers_while_it_waits() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 1));
    let first = sent(&mut core);
    core.handle_chunk(SECOND, chunk(1, 50));
    core.handle_chunk(SECOND, chunk(50, 100));
    assert!(effects(&mut core).is_empty(), "one in flight");
    core.handle_outcome(SECOND, first.id, Outcome::Acknowledged);
    assert_eq!(
        seqs(&sent(&mut core)),
        (1..65).collect::<Vec<_>>(),
        "as many as fit"
    );
}

#[test]
fn a_lingering_lane_sends_when_it_is_full_when_time_is_up_and_when_draining() {
    let lingering = || {
        let mut core = core(Settings {
            linger: SECOND,
            ..settings()
        });
        core.handle_chunk(SECOND, chunk(0, 10));
        assert!(effects(&mut core).is_empty());
        assert_eq!(core.poll_timeout(), Some(2 * SECOND));
        core
    };
    let mut full = lingering();
    full.handle_chunk(SECOND, chunk(10, 64));
    assert_eq!(sent(&mut full).records.len(), 64);
    let mut late = lingering();
    late.handle_timeout(2 * SECOND);
    assert_eq!(sent(&mut late).records.len(), 10);
    let mut draining = lingering();
    draining.handle_shutdown(SECOND);
    assert_eq!(sent(&mut draining).records.len(), 10);
}

#[test]
fn a_record_above_the_limit_goes_alone() {
    let mut core = core(Settings {
        batch_bytes: 50,
        ..settings()
    });
    core.handle_chunk(SECOND, chunk(0, 3));
    assert_eq!(seqs(&sent(&mut core)), [0]);
}

#[test]
fn the_watermark_is_the_durable_position_with_its_server() {
    let server = ServerIdentity {
        flavour: Flavour::MariaDb,
        server_uuid: String::new(),
        server_id: 7,
    };
    let mut core = core(settings());
    core.handle_server(&server);
    core.handle_chunk(SECOND, chunk(0, 1));
    let first = sent(&mut core);
    assert_eq!(first.watermark, None);
    core.handle_chunk(SECOND, chunk(1, 2));
    core.handle_outcome(SECOND, first.id, Outcome::Acknowledged);
    let text = sent(&mut core).watermark.expect("a watermark");
    let watermark: Watermark = serde_json::from_str(&text).unwrap();
    assert_eq!((watermark.position, watermark.server), (position(1), server));
}

#[test]
fn i8_what_the_topic_has_is_resolved_without_being_sent() {
    let mut core = core(settings());
    let of = |from, to| {
        chunk(from, to)
            .records
            .into_iter()
            .map(|record| record.id)
            .collect()
    };
    core.handle_stored(Stored {
        ahead: HashMap::from([(ShardId::from("0"), of(1, 2))]),
        aside: of(2, 3),
    });
    core.handle_chunk(SECOND, chunk(0, 4));
    let batch = sent(&mut core);
    assert_eq!(seqs(&batch), [0, 3]);
    // The shard has what follows the first of them, and nothing behind the other.
    let late: Vec<_> = batch.records.iter().map(Record::late).collect();
    assert_eq!(late, [Some("held_back"), None]);
    core.handle_outcome(SECOND, batch.id, Outcome::Acknowledged);
    let seen = core.snapshot();
    assert_eq!(
        (seen.acked, seen.suppressed, seen.in_flight, seen.held_bytes),
        (2, 2, 0, 0)
    );
    assert_eq!(seen.durable, Some(position(4)));
}

#[test]
fn a_letter_that_is_replayed_before_its_place_makes_what_is_before_it_late() {
    let mut core = core(settings());
    let letter = chunk(3, 4).records.remove(0);
    core.handle_stored(Stored {
        ahead: HashMap::new(),
        aside: HashSet::from([letter.id.clone()]),
    });
    core.handle_fences(HashMap::from([(letter.key(), 1)]));
    let request = Request {
        id: "1".to_owned(),
        selection: Selection::All,
        action: Action::Replay,
    };
    core.handle_request(SECOND, request);
    drop(effects(&mut core));
    core.handle_letters(SECOND, Ok(vec![letter]));
    let first = sent(&mut core);
    assert_eq!(first.records.first().map(Record::late), Some(Some("replayed")));
    core.handle_chunk(SECOND, chunk(0, 3));
    core.handle_chunk(SECOND, chunk(3, 6));
    core.handle_outcome(SECOND, first.id, Outcome::Acknowledged);
    let next = sent(&mut core);
    let late: Vec<_> = next.records.iter().map(Record::late).collect();
    let behind = Some("held_back");
    assert_eq!(
        (seqs(&next), late),
        (vec![0, 1, 2, 4, 5], vec![behind, behind, behind, None, None])
    );
}

#[test]
fn i3_a_poison_record_is_found_by_halves_and_everything_else_is_stored_in_order() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 64));
    let (mut stored, mut requests) = (Vec::new(), 0);
    let mut pending = effects(&mut core);
    while let Some(effect) = pending.pop() {
        match effect {
            Effect::Send(batch) => {
                requests += 1;
                let seqs = seqs(&batch);
                let outcome = if seqs.contains(&41) {
                    refused(Disposition::Poison(None))
                } else {
                    stored.extend(seqs);
                    Outcome::Acknowledged
                };
                core.handle_outcome(SECOND, batch.id, outcome);
            }
            Effect::DeadLetter { records, .. } => {
                assert_eq!(records.iter().map(|r| r.seq).collect::<Vec<_>>(), [41]);
                core.handle_dead_lettered(SECOND, 41, Ok(()));
            }
            Effect::Persist(_) => core.handle_persisted(SECOND, Ok(())),
            Effect::Probe(_)
            | Effect::RefreshShards
            | Effect::ReadLetters { .. }
            | Effect::RemoveLetters(_)
            | Effect::DiscardLetters { .. }
            | Effect::Report { .. }
            | Effect::Finished => panic!("{effect:?}"),
        }
        pending.extend(effects(&mut core));
    }
    assert_eq!(stored, (0..64).filter(|n| *n != 41).collect::<Vec<_>>());
    assert!(requests <= 14, "{requests} requests for one of 64");
    let seen = core.snapshot();
    assert_eq!((seen.acked, seen.dead_lettered, seen.in_flight), (63, 1, 0));
    assert_eq!(seen.durable, Some(position(64)));
}

#[test]
fn an_index_from_the_service_is_checked_before_a_record_is_condemned() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 10));
    let whole = sent(&mut core);
    core.handle_outcome(SECOND, whole.id, refused(Disposition::Poison(Some(7))));
    let before = sent(&mut core);
    assert_eq!(seqs(&before), (0..7).collect::<Vec<_>>());
    core.handle_outcome(SECOND, before.id, Outcome::Acknowledged);
    let alone = sent(&mut core);
    assert_eq!(seqs(&alone), [7]);
    core.handle_outcome(SECOND, alone.id, Outcome::Acknowledged);
    assert_eq!(seqs(&sent(&mut core)), [8, 9], "the service was wrong about it");
}

#[test]
fn i1_a_halt_stops_sending_but_answers_still_count() {
    let mut core = core(settings());
    core.handle_shards(Duration::ZERO, Ok(vec![shard("0", 0), shard("1", 1 << 100)]));
    let mut both = chunk(0, 4);
    both.records[2].hash_key = u128::MAX;
    core.handle_chunk(SECOND, both);
    let batches = all_sent(&mut core);
    assert_eq!(batches.len(), 2);
    let halt = Disposition::Halt {
        remedy: "do something".into(),
    };
    core.handle_outcome(SECOND, batches[0].id, refused(halt));
    assert_eq!(core.halted().map(|f| f.reason.code), Some("no"));
    assert!(!core.wants_input());
    core.handle_shutdown(SECOND);
    assert!(effects(&mut core).is_empty(), "an answer is outstanding");
    core.handle_outcome(SECOND, batches[1].id, Outcome::Acknowledged);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Finished]));
    let seen = core.snapshot();
    assert_eq!((seen.acked, seen.in_flight, seen.durable), (1, 3, None));
}

#[test]
fn a_server_cannot_ask_for_an_endless_wait() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 1));
    let batch = sent(&mut core);
    let after = Some(Duration::from_secs(1_000_000));
    core.handle_outcome(SECOND, batch.id, refused(Disposition::Retry { after }));
    // The next listing of the shards comes earlier; after it the lane's own time is the next.
    core.handle_timeout(60 * SECOND);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::RefreshShards]));
    assert_eq!(core.poll_timeout(), Some(SECOND + LONGEST_WAIT));
}

#[test]
fn an_answer_about_records_that_were_not_sent_is_no_answer() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 2));
    let batch = sent(&mut core);
    let beyond = (2, Failure::retry("no", "no"));
    core.handle_outcome(SECOND, batch.id, Outcome::Partial(vec![beyond]));
    core.handle_timeout(2 * SECOND);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Probe(probe)] if probe.records.len() == 2));
}

#[test]
fn a_batch_in_doubt_is_sent_again_when_its_shard_is_gone_for_good() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 2));
    let batch = sent(&mut core);
    core.handle_outcome(SECOND, batch.id, unknown());
    let gone = || Failure {
        disposition: Disposition::Reroute,
        reason: Reason {
            code: "no_such_shard",
            message: "gone".to_owned(),
        },
    };
    core.handle_timeout(10 * SECOND);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Probe(_)]));
    core.handle_probe(10 * SECOND, batch.id, Probe::Failed(gone()));
    assert!(matches!(effects(&mut core).as_slice(), [Effect::RefreshShards]));
    core.handle_shards(10 * SECOND, Ok(vec![shard("7", 0)]));
    assert!(effects(&mut core).is_empty(), "the doubt is not over");
    core.handle_timeout(20 * SECOND);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Probe(_)]));
    core.handle_probe(20 * SECOND, batch.id, Probe::Failed(gone()));
    let again = sent(&mut core);
    assert_eq!((&*again.shard, seqs(&again)), ("7", vec![0, 1]));
}

#[test]
fn i3_what_a_batch_in_doubt_lacks_goes_again_first_and_in_order() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 5));
    let batch = sent(&mut core);
    core.handle_chunk(SECOND, chunk(5, 6));
    core.handle_outcome(SECOND, batch.id, unknown());
    core.handle_timeout(2 * SECOND);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Probe(_)]));
    core.handle_probe(2 * SECOND, batch.id, Probe::Lacks(vec![1, 3]));
    let again = sent(&mut core);
    assert_eq!(seqs(&again), [1, 3, 5]);
    let seen = core.snapshot();
    assert_eq!((seen.acked, seen.in_flight, seen.failures), (3, 3, 0));
    core.handle_outcome(2 * SECOND, again.id, Outcome::Acknowledged);
    assert_eq!(core.snapshot().durable, Some(position(6)));
}

#[test]
fn records_wait_while_no_shard_takes_them() {
    let mut core = Core::new(settings());
    let opening = Shard {
        state: ShardState::Opening,
        ..shard("0", 0)
    };
    assert_eq!(effects(&mut core).len(), 1);
    core.handle_chunk(SECOND, chunk(0, 2));
    core.handle_shards(SECOND, Ok(vec![opening]));
    assert!(effects(&mut core).is_empty());
    assert!(
        core.poll_timeout().is_some_and(|at| at <= 2 * SECOND),
        "looks again soon"
    );
    assert_eq!(core.snapshot().in_flight, 2);
    core.handle_timeout(2 * SECOND);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::RefreshShards]));
    core.handle_shards(2 * SECOND, Ok(vec![shard("0", 0)]));
    assert_eq!(seqs(&sent(&mut core)), [0, 1]);
}

#[test]
fn the_alarm_rises_after_some_failures_and_falls_with_the_first_success() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 1));
    let mut now = SECOND;
    for failures in 1..=3 {
        let batch = sent(&mut core);
        let retry = Disposition::Retry { after: None };
        core.handle_outcome(now, batch.id, refused(retry));
        let seen = core.snapshot();
        assert_eq!((seen.failures, seen.alarm), (failures, failures >= 3));
        now += 10 * SECOND;
        core.handle_timeout(now);
    }
    let batch = sent(&mut core);
    core.handle_outcome(now, batch.id, Outcome::Acknowledged);
    let seen = core.snapshot();
    assert_eq!(
        (seen.failures, seen.alarm, seen.last_success),
        (0, false, Some(now))
    );
}

#[test]
fn i2_checkpoints_are_spaced_but_the_last_one_does_not_wait() {
    let mut core = core(settings());
    core.handle_chunk(SECOND, chunk(0, 0));
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Persist(_)]));
    core.handle_persisted(SECOND, Ok(()));
    let mut idle = chunk(0, 0);
    idle.end = position(5);
    core.handle_chunk(SECOND, idle);
    assert!(effects(&mut core).is_empty());
    assert_eq!(core.poll_timeout(), Some(SECOND * 3 / 2));
    core.handle_shutdown(SECOND);
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Persist(_)]));
    core.handle_persisted(SECOND, Ok(()));
    assert!(matches!(effects(&mut core).as_slice(), [Effect::Finished]));
}

#[test]
fn i5_input_stops_at_the_high_water_mark() {
    let mut core = core(Settings {
        batch_bytes: 1_000,
        ..settings()
    });
    let high = core.snapshot().high_water_bytes;
    assert_eq!(high, 6_000, "two batches for the one lane, and the spare ones");
    let mut next = 0;
    while core.wants_input() {
        core.handle_chunk(SECOND, chunk(next, next + 1));
        next += 1;
    }
    let held = core.snapshot().held_bytes;
    assert!(held >= high && held < high + 300, "{held}");
}

mod letters;

//! The ledger against a model that keeps everything and recomputes the answer from scratch.

use proptest::prelude::*;

use super::*;
use crate::position::FilePosition;

fn position(pos: u64) -> Position {
    Position {
        gtid_set: None,
        file: FilePosition {
            file: "binlog.000001".to_owned(),
            pos,
        },
        open: None,
        parked: Vec::new(),
    }
}

/// Every chunk ever admitted as (first record, records, position), and every record ever resolved.
#[derive(Default)]
struct Model {
    chunks: Vec<(u64, u64, u64)>,
    resolved: std::collections::BTreeSet<u64>,
    admitted: u64,
}

impl Model {
    fn durable(&self) -> Option<u64> {
        let done = |&&(first, count, _): &&(u64, u64, u64)| {
            (first..first + count).all(|seq| self.resolved.contains(&seq))
        };
        self.chunks.iter().take_while(done).last().map(|&(_, _, end)| end)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Records of the chunk, and how far its end lies behind the one before.
    Admit(u64, u64),
    /// Which of the unresolved records to resolve: those whose number mod the first is below the second.
    Resolve(u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u64..6, 0u64..3).prop_map(|(count, bytes)| Step::Admit(count, bytes)),
        (1u64..5, 0u64..6).prop_map(|(of, below)| Step::Resolve(of, below)),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #[test]
    fn i1_i2_agrees_with_a_model_that_recomputes_everything(steps in steps()) {
        let (mut ledger, mut model) = (Ledger::default(), Model::default());
        let (mut pos, mut before) = (0, None);
        for step in steps {
            match step {
                Step::Admit(count, bytes) => {
                    pos += bytes;
                    let first = model.admitted;
                    model.admitted += count;
                    model.chunks.push((first, count, pos));
                    ledger.admit(Duration::ZERO, Some(first), count, position(pos));
                }
                Step::Resolve(of, below) => {
                    let picked: Vec<u64> = (0..model.admitted)
                        .filter(|seq| !model.resolved.contains(seq) && seq % of < below)
                        .collect();
                    model.resolved.extend(&picked);
                    ledger.resolve(picked.into_iter());
                }
            }
            let durable = ledger.durable().map(|p| p.file.pos);
            prop_assert_eq!(durable, model.durable());
            prop_assert!(durable >= before, "went back from {:?} to {:?}", before, durable);
            prop_assert_eq!(ledger.is_empty(), model.resolved.len() as u64 == model.admitted);
            before = durable;
        }
    }
}

#[test]
fn i2_empty_chunks_behind_an_unresolved_record_take_no_room() {
    let mut ledger = Ledger::default();
    ledger.admit(Duration::ZERO, Some(0), 1, position(10));
    for pos in 11..10_000 {
        ledger.admit(Duration::ZERO, None, 0, position(pos));
    }
    assert_eq!(ledger.open.len(), 1);
    assert_eq!(ledger.durable(), None);
    ledger.resolve([0].into_iter());
    assert_eq!(ledger.durable(), Some(&position(9_999)));
}

#[test]
fn i2_the_same_position_again_is_no_change() {
    let mut ledger = Ledger::default();
    ledger.admit(Duration::ZERO, None, 0, position(10));
    ledger.admit(Duration::ZERO, None, 0, position(10));
    assert_eq!(ledger.version(), 1);
}

#[test]
#[should_panic(expected = "unresolved")]
fn i1_a_record_cannot_be_resolved_twice() {
    let mut ledger = Ledger::default();
    ledger.admit(Duration::ZERO, Some(0), 1, position(10));
    ledger.resolve([0, 0].into_iter());
}

#[test]
#[should_panic(expected = "without holes")]
fn i1_a_hole_in_the_order_is_refused() {
    let mut ledger = Ledger::default();
    ledger.admit(Duration::ZERO, Some(0), 2, position(10));
    ledger.admit(Duration::ZERO, Some(3), 1, position(20));
}

//! The delivery core in virtual time, by seeds, against an oracle that shares nothing with it.
//!
//! Proves I1 to I5 and the core's half of I14 under lost and late answers, throttling, partial storage, poison,
//! splits and merges, failing disks, crashes at any step, lost volumes and clean stops; that what a shard is
//! asked for is found among late copies and other writers (`sink/lookback.rs`); and that nothing passes a dead letter
//! of its key, whenever a person has letters replayed or gives them up; that a collector which lost its lease without
//! knowing it, and wakes up behind its successor, sends nothing. Nothing is repeated but what the service stored after it
//! was looked for. `SIMULATION_SEEDS` or
//! `SIMULATION_SECONDS` ask for more than the default; a failure prints its seed.

mod datahub;
mod faults;
mod letters;
mod oracle;
mod plan;
mod planted;
mod standby;
mod start;
mod world;

use std::time::Duration;

/// Seeds of a plain `cargo test`.
const SEEDS: u64 = 2_000;

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own knob, not configuration of the product"
)]
fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a whole number"))
}

fn run_printing_the_seed(seed: u64) -> world::Tally {
    std::panic::catch_unwind(|| world::run(seed)).unwrap_or_else(|panic| {
        eprintln!("simulation seed {seed} failed");
        std::panic::resume_unwind(panic)
    })
}

#[test]
fn i1_i2_i3_i4_i5_i14_hold_in_every_world() {
    let began = tokio::time::Instant::now();
    let seconds = asked("SIMULATION_SECONDS");
    let seeds = asked("SIMULATION_SEEDS").unwrap_or(if seconds.is_some() { u64::MAX } else { SEEDS });
    let mut total = world::Tally::default();
    let mut lived = 0;
    for seed in 0..seeds {
        if seconds.is_some_and(|s| began.elapsed() >= Duration::from_secs(s)) {
            break;
        }
        total += run_printing_the_seed(seed);
        lived += 1;
    }
    println!("{lived} worlds in {:?}: {total:?}", began.elapsed());
    // A fault that never happens proves nothing.
    if lived >= SEEDS {
        let seen = [
            total.sends,
            total.probes,
            total.crashes,
            total.clean_stops,
            total.halts,
            total.burials,
            total.reshapes,
            total.wipes,
            total.remembered,
            total.of_parents,
            total.seen_again,
            total.stored_after_death,
            total.fenced,
            total.replayed,
            total.discarded,
            total.reports,
            total.takeovers,
            total.woken,
            total.withheld,
            total.superseded,
            total.granted_again,
        ];
        assert!(seen.iter().all(|&n| n >= 50), "{total:?}");
    }
}

#[test]
fn a_seed_is_the_whole_world() {
    let tally = |seed| format!("{:?}", world::run(seed));
    for seed in 0..20 {
        assert_eq!(tally(seed), tally(seed));
    }
}

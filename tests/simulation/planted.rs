//! Bugs planted in a copy of the core, each of which the simulation must catch.
//!
//! A simulation that never failed proves nothing. Every plant is a change of the source text; all of them are
//! built as small programs in one cargo run, in the test's own temporary directory, and must end red. The same
//! program without a plant must end green. The product itself carries no switch for this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A bug: in which file below `src` (or of the simulation), which text (exactly once in it), and what stands there instead.
struct Plant {
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const LEDGER: &str = "delivery/ledger.rs";
const LANE: &str = "delivery/lane.rs";
const ANSWERS: &str = "delivery/answers.rs";
const MEMORY: &str = "delivery/memory.rs";
const CHECKPOINT: &str = "delivery/checkpoint.rs";
const REPLAY: &str = "delivery/replay.rs";
const CORE: &str = "delivery.rs";
const TENURE: &str = "delivery/tenure.rs";
const LOOKBACK: &str = "sink/lookback.rs";
/// The simulated replaced collector, which asks before it sends as the product's client does.
const STANDBY: &str = "simulation/standby.rs";
/// The simulated start, which reads back as the product's does.
const START: &str = "simulation/start.rs";

const PLANTS: &[Plant] = &[
    Plant {
        name: "checkpoint_at_the_admitted_position",
        file: LEDGER,
        from: "self.open.push_back(Entry {",
        to: "self.advance(end.clone()); self.open.push_back(Entry {",
    },
    Plant {
        name: "boundary_off_by_one",
        file: LEDGER,
        from: "self.open.front().is_some_and(|e| e.unresolved == 0)",
        to: "self.open.front().is_some_and(|e| e.unresolved <= 1)",
    },
    Plant {
        name: "checkpoint_goes_back",
        file: LEDGER,
        from: "while self.open.front()",
        to: "let done: Vec<Position> = self.open.iter().filter(|e| e.unresolved == 0).map(|e| e.end.clone()).collect();
             self.open.retain(|e| e.unresolved > 0);
             for end in done { self.advance(end); }
             while self.open.front()",
    },
    Plant {
        name: "idle_stretch_passes_an_unresolved_record",
        file: LEDGER,
        from: "Some(last) => last.end = end,",
        to: "Some(_) => self.advance(end),",
    },
    Plant {
        name: "lane_forgets_that_it_has_sent",
        file: LANE,
        from: "self.stage = Stage::Sent { id, count };",
        to: "self.stage = Stage::Idle;",
    },
    Plant {
        name: "resend_only_the_first_refused_record",
        file: LANE,
        from: "if refused.contains(&index) {",
        to: "if refused.first() == Some(&index) {",
    },
    Plant {
        name: "refused_records_go_to_the_back",
        file: LANE,
        from: "for record in kept.into_iter().rev() {\n            self.queue.push_front(record);",
        to: "for record in kept {\n            self.queue.push_back(record);",
    },
    Plant {
        name: "linger_forgotten",
        file: LANE,
        from: "Some(if full || draining { Duration::ZERO } else { at })",
        to: "(full || draining).then_some(Duration::ZERO)",
    },
    Plant {
        name: "wait_between_tries_forgotten",
        file: LANE,
        from: "Stage::Backoff { at } => Some(at),",
        to: "Stage::Backoff { .. } => Some(Duration::ZERO),",
    },
    Plant {
        name: "first_record_condemned_for_the_batch",
        file: LANE,
        from: "};\n        count <= 1\n",
        to: "};\n        true\n",
    },
    Plant {
        name: "batch_above_the_limit",
        file: LANE,
        from: "if bytes > limits.bytes {",
        to: "if bytes > limits.bytes.saturating_mul(2) {",
    },
    Plant {
        name: "drop_after_retries",
        file: ANSWERS,
        from: "lane.failed(failure.reason.clone());\n                let wait = self.wait(attempt, failure);",
        to: "if attempt >= 3 { return self.stored(now, at, count); }
             lane.failed(failure.reason.clone());\n                let wait = self.wait(attempt, failure);",
    },
    Plant {
        name: "acknowledge_the_whole_lane",
        file: ANSWERS,
        from: "fn stored(&mut self, now: Duration, at: usize, count: usize) {",
        to: "fn stored(&mut self, now: Duration, at: usize, count: usize) {
             let count = count.max(self.lane_mut(at).len());",
    },
    Plant {
        name: "unknown_treated_as_failed",
        file: ANSWERS,
        from: "lane.stage = Stage::Doubtful { id, count, at };",
        to: "lane.stage = Stage::Backoff { at };",
    },
    Plant {
        name: "probe_without_waiting",
        file: ANSWERS,
        from: "let probe_at = now.saturating_add(self.settings.probe_delay);",
        to: "let probe_at = now;",
    },
    Plant {
        name: "stored_prefix_sent_again",
        file: ANSWERS,
        from: "self.settle(now, at, held);",
        to: "self.settle(now, at, 0);",
    },
    Plant {
        name: "nothing_found_read_as_all_stored",
        file: ANSWERS,
        from: "Probe::Holds(held) if held < count => {",
        to: "Probe::Holds(held) if held > 0 && held < count => {",
    },
    Plant {
        name: "poison_skipped_in_silence",
        file: ANSWERS,
        from: "let retry = Some(now);\n                self.lane_mut(at).stage = Stage::Burying { reason, retry };",
        to: "self.stored(now, at, 1);",
    },
    Plant {
        name: "failed_dead_letter_never_repeated",
        file: ANSWERS,
        from: "*retry = Some(now.saturating_add(wait));",
        to: "*retry = None;",
    },
    Plant {
        name: "failed_persist_ignored",
        file: ANSWERS,
        from: "self.checkpoint.failed(failure.reason, now.saturating_add(wait));",
        to: "self.checkpoint.succeeded(now);",
    },
    Plant {
        name: "two_checkpoint_writes_at_once",
        file: CHECKPOINT,
        from: "if self.writing.is_some() || self.saved == version {",
        to: "if self.writing == Some(version) || self.saved == version {",
    },
    Plant {
        name: "shutdown_drops_the_queue",
        file: CORE,
        from: "quiet && (self.ledger.is_empty()",
        to: "quiet && (true",
    },
    Plant {
        name: "reroute_without_drain",
        file: CORE,
        from: "lane.leaving && !lane.at_rest()",
        to: "lane.leaving && false",
    },
    Plant {
        name: "records_of_sealed_shards_forgotten",
        file: CORE,
        from: "waiting.extend(lane.take_all());",
        to: "lane.take_all();",
    },
    Plant {
        name: "waiting_records_dealt_out_of_order",
        file: CORE,
        from: "waiting.sort_unstable_by_key(|record| record.seq);",
        to: "waiting.sort_unstable_by_key(|record| std::cmp::Reverse(record.seq));",
    },
    Plant {
        name: "budget_ignored",
        file: CORE,
        from: " && self.held_bytes < self.high_water()",
        to: "",
    },
    Plant {
        name: "topic_forgotten",
        file: MEMORY,
        from: "        is_kept\n",
        to: "        is_kept && false\n",
    },
    Plant {
        name: "transaction_remembered_for_its_rows",
        file: MEMORY,
        from: "let mut is_kept = !self",
        to: "let of = |ids: &HashSet<RecordId>| ids.iter().any(|known| known.transaction == id.transaction);
             if self.stored.ahead.values().any(of) { return true; }
             let mut is_kept = !self",
    },
    Plant {
        name: "what_comes_behind_its_followers_is_not_marked",
        file: MEMORY,
        from: "Some(shard) => self.stored.ahead.contains_key(shard),",
        to: "Some(_) => false,",
    },
    Plant {
        name: "suppressed_record_never_resolved",
        file: CORE,
        from: "self.ledger.resolve(std::iter::once(record.seq));",
        to: "",
    },
    Plant {
        name: "suppressed_bytes_held_for_ever",
        file: CORE,
        from: "self.held_bytes = self.held_bytes.saturating_sub(record.cost());",
        to: "",
    },
    Plant {
        name: "later_rows_of_a_fenced_key_are_sent",
        file: CORE,
        from: "if self.letters.fences(&record) {",
        to: "if false {",
    },
    Plant {
        name: "no_fence_behind_a_dead_letter",
        file: REPLAY,
        from: "self.letters.add(key, 1);\n        let letters",
        to: "let letters",
    },
    Plant {
        name: "rows_in_the_lane_pass_the_fence",
        file: REPLAY,
        from: "for record in lane.take(|record| letters.fences(record)) {",
        to: "for record in lane.take(|_| false) {",
    },
    Plant {
        name: "fence_falls_before_the_letters_are_out",
        file: REPLAY,
        from: "self.letters.replayed = self.letters.replayed.saturating_add(count);",
        to: "for letter in &letters { self.letters.remove(&letter.key(), 1); }
             self.letters.replayed = self.letters.replayed.saturating_add(count);",
    },
    Plant {
        name: "letters_behind_a_refused_one_are_sent",
        file: REPLAY,
        from: "lane.take(|record| record.is_letter() && record.key().meets(&key));",
        to: "lane.take(|record| record.is_letter() && record.id.to_string() == id);",
    },
    Plant {
        name: "rows_wait_for_ever_behind_a_fence_that_fell",
        file: REPLAY,
        from: ".filter(|row| !letters.fences(row))",
        to: ".filter(|_| false)",
    },
    Plant {
        name: "sending_after_a_halt",
        file: CORE,
        from: "if self.halted.is_none() {\n            for at",
        to: "if true {\n            for at",
    },
    Plant {
        name: "failed_probe_read_as_nothing_there",
        file: ANSWERS,
        from: "Probe::Failed(failure) => self.probe_failed(now, at, id, count, failure),",
        to: "Probe::Failed(_) => self.back_off(at, now.saturating_add(Duration::from_secs(1))),",
    },
    Plant {
        name: "failed_probe_never_repeated",
        file: ANSWERS,
        from: "lane.stage = Stage::Doubtful { id, count, at: again };",
        to: "lane.stage = Stage::Doubtful { id, count, at: Duration::MAX };",
    },
    Plant {
        name: "hole_read_as_all_stored",
        file: ANSWERS,
        from: "Probe::Lacks(missing) => self.stored_except(now, at, count, &missing),",
        to: "Probe::Lacks(_) => self.stored(now, at, count),",
    },
    Plant {
        name: "hole_read_as_the_end",
        file: LOOKBACK,
        from: "Probe::Lacks(missing)\n        };",
        to: "Probe::Holds(prefix)\n        };",
    },
    Plant {
        name: "another_request_of_ours_ends_the_look_back",
        file: LOOKBACK,
        from: "for record in records.iter().filter(|record| is_of(record, self.group)) {",
        to: "for record in records.iter().rev().filter(|record| is_of(record, self.group))
                .take_while(|record| self.ids.contains_key(&record.attributes[ATTRIBUTE_ID])) {",
    },
    Plant {
        name: "request_counted_before_its_answer",
        file: LOOKBACK,
        from: "length.sent = Some((batch.id, length.least));",
        to: "length.least += batch.records.len() as u64; length.sent = Some((batch.id, length.least));",
    },
    Plant {
        name: "lost_request_counted_as_stored",
        file: LOOKBACK,
        from: "Outcome::Refused(_) | Outcome::Unknown { .. } => 0,",
        to: "Outcome::Refused(_) => 0, Outcome::Unknown { .. } => batch.records.len(),",
    },
    Plant {
        name: "refused_records_counted_as_stored",
        file: LOOKBACK,
        from: "batch.records.len().saturating_sub(refused.len()),",
        to: "batch.records.len(),",
    },
    Plant {
        name: "others_taken_for_ours",
        file: LOOKBACK,
        from: "is_some_and(|of| of == group)",
        to: "is_some()",
    },
    Plant {
        name: "late_copy_ends_the_starts_reading",
        file: LOOKBACK,
        from: "if self.passed.len() > LATE_REQUESTS {",
        to: "if true {",
    },
    Plant {
        name: "look_back_ends_two_records_early",
        file: LOOKBACK,
        from: "self.end <= self.begin ||",
        to: "self.end <= self.begin + 2 ||",
    },
    Plant {
        name: "parents_not_read_at_the_start",
        file: START,
        from: "for shard in &shards {",
        to: "for shard in shards.iter().filter(|shard| shard.state != ShardState::Closed) {",
    },
    Plant {
        name: "lease_trusted_longer_than_a_successor_waits",
        file: TENURE,
        from: "FENCE: Duration = Duration::from_secs(3);",
        to: "FENCE: Duration = Duration::from_secs(9);",
    },
    Plant {
        name: "successor_begins_at_once",
        file: TENURE,
        from: "self.confirmed.is_some_and(|asked| asked >= stopped)",
        to: "self.confirmed.is_some()",
    },
    Plant {
        name: "granted_again_goes_on_whatever_happened",
        file: TENURE,
        from: "self.cleared && trusted.is_some_and(|until| answered < until)",
        to: "self.cleared",
    },
    Plant {
        name: "no_look_at_the_lease_before_a_put",
        file: STANDBY,
        from: "self.tenure.open_until().is_some_and(|until| now < until)",
        to: "true",
    },
];

/// The name of the program that has no plant.
const HEALTHY: &str = "healthy";

/// Files of the core and of the simulation, copied for each program.
const CORE_FILES: &[&str] = &[
    "delivery.rs",
    "delivery/answers.rs",
    "delivery/checkpoint.rs",
    "delivery/lane.rs",
    "delivery/ledger.rs",
    "delivery/letters.rs",
    "delivery/memory.rs",
    "delivery/replay.rs",
    "delivery/resume.rs",
    "delivery/routing.rs",
    "delivery/snapshot.rs",
    "delivery/tenure.rs",
    "sink/lookback.rs",
];
const SIMULATION_FILES: &[&str] = &[
    "datahub.rs",
    "faults.rs",
    "letters.rs",
    "oracle.rs",
    "plan.rs",
    "standby.rs",
    "start.rs",
    "world.rs",
];

/// What the core imports, copied once.
const VOCABULARY_FILES: &[&str] = &[
    "change.rs",
    "position.rs",
    "position/order.rs",
    "position/sets.rs",
    "record.rs",
    "record/letter.rs",
    "record/origin.rs",
    "record/tuple.rs",
    "retry.rs",
];

/// Dependencies of the core and its vocabulary; their versions are the workspace's.
const DEPENDENCIES: &[&str] = &["backoff", "bytes", "fastrand", "serde", "serde_json", "thiserror"];

/// The root of the core's imports, built once. `config.rs` itself would bring half of the product with it.
const VOCABULARY: &str = r#"#![allow(warnings)]
pub mod change;
pub mod position;
pub mod record;
pub mod retry;
pub mod config {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum PoisonPolicy { Halt, DeadLetter }
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum StartPosition { Latest }
}
"#;

/// Lives through worlds until one breaks a promise: says which, and exits with 3; with 0 if none does.
const MAIN: &str = r#"#![allow(warnings)]
extern crate self as cdc_collector;
pub use vocabulary::{change, config, position, record, retry};
pub mod delivery;
pub mod sink {
    pub mod lookback;
    pub mod wire { pub mod limits { pub const PAGE_RECORDS: u32 = 1000; } }
}
mod simulation {
    mod datahub;
    mod faults;
    mod letters;
    mod oracle;
    mod plan;
    mod standby;
    mod start;
    mod world;
    pub fn holds(seed: u64) -> bool { std::panic::catch_unwind(|| world::run(seed)).is_ok() }
}
fn main() -> std::process::ExitCode {
    std::panic::set_hook(Box::new(|panic| println!("{panic}")));
    for seed in 0..6_000 {
        if !simulation::holds(seed) {
            println!("caught by seed {seed}");
            return std::process::ExitCode::from(3);
        }
    }
    std::process::ExitCode::SUCCESS
}
"#;

fn write_if_changed(path: &Path, text: &str) {
    // An untouched file keeps its time, and cargo its result.
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Writes one program: the core with the plant, the simulation, and a `main`.
fn write_program(root: &Path, name: &str, plant: Option<&Plant>) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut planted = false;
    let core = CORE_FILES.iter().map(|file| ("src", String::from(*file)));
    let simulation = SIMULATION_FILES.iter();
    let simulation = simulation.map(|file| ("tests", format!("simulation/{file}")));
    for (place, file) in core.chain(simulation) {
        let mut text = fs::read_to_string(repository.join(place).join(&file)).unwrap();
        if let Some(plant) = plant.filter(|plant| plant.file == file) {
            let found = text.matches(plant.from).count();
            assert_eq!(
                found, 1,
                "{name}: its text occurs {found} times in {file}; move the plant along"
            );
            text = text.replacen(plant.from, plant.to, 1);
            planted = true;
        }
        write_if_changed(&root.join(name).join(file), &text);
    }
    assert_eq!(
        planted,
        plant.is_some(),
        "{name}: its file is not part of the core"
    );
    write_if_changed(&root.join(name).join("main.rs"), MAIN);
}

/// Writes the package that holds all programs.
fn write_package(root: &Path) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(repository.join("Cargo.toml")).unwrap();
    let mut text = String::from(
        "[workspace]\n[package]\nname = \"planted\"\nversion = \"0.0.0\"\nedition = \"2024\"\nautobins = false\n\
         [lib]\nname = \"vocabulary\"\npath = \"vocabulary.rs\"\n[profile.dev]\ndebug = false\nincremental = false\n",
    );
    let names = PLANTS.iter().map(|plant| plant.name).chain([HEALTHY]);
    for name in names {
        text.push_str(&format!(
            "[[bin]]\nname = \"{name}\"\npath = \"{name}/main.rs\"\n"
        ));
    }
    text.push_str("[dependencies]\n");
    for name in DEPENDENCIES {
        let line = manifest
            .lines()
            .find(|line| line.starts_with(&format!("{name} =")));
        text.push_str(line.expect("a dependency of the workspace"));
        text.push('\n');
    }
    write_if_changed(&root.join("Cargo.toml"), &text);
    write_if_changed(&root.join("vocabulary.rs"), VOCABULARY);
    for file in VOCABULARY_FILES {
        let text = fs::read_to_string(repository.join("src").join(file)).unwrap();
        write_if_changed(&root.join(file), &text);
    }
    // The workspace's own versions, which are on this machine already. Cargo drops what is not needed.
    if !root.join("Cargo.lock").exists() {
        fs::copy(repository.join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    }
}

/// Builds all programs; the directory they are in.
fn build(root: &Path) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--bins", "--offline", "--quiet"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", root.join("target"))
        // The outer build's flags (coverage, say) would only slow these down.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo runs");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the planted programs do not build:\n{messages}"
    );
    root.join("target/debug")
}

#[test]
fn every_planted_bug_is_caught_and_the_healthy_core_is_not() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    write_package(&root);
    write_program(&root, HEALTHY, None);
    for plant in PLANTS {
        write_program(&root, plant.name, Some(plant));
    }
    let programs = build(&root);
    let mut escaped = Vec::new();
    for name in PLANTS.iter().map(|plant| plant.name).chain([HEALTHY]) {
        let output = Command::new(programs.join(name))
            .output()
            .expect("a program that was built");
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{name}: {}", said.replace('\n', " "));
        let expected = if name == HEALTHY { 0 } else { 3 };
        if output.status.code() != Some(expected) {
            escaped.push(name);
        }
    }
    assert!(escaped.is_empty(), "not as expected: {escaped:?}");
}

//! A bounded run of every target: the kept seeds, then random bytes, then kept seeds that random bytes change.
//!
//! `FUZZ_SECONDS` is how long each target runs (a few seconds without it). The seeds lie in `__fuzz__/<target>/corpus`;
//! an input that was a finding is kept there too, under a name that begins with `found`. The same targets run under
//! libFuzzer or AFL with `cargo bolero test -p cdc-collector-fuzz --test fuzz <target>`, which needs a nightly compiler.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cdc_collector::store::Store;
use cdc_collector_fuzz::{ALLOCATED_AT_ALL, ALLOCATED_PER_BYTE, GROUP, mutated};

/// Seconds of a plain `cargo test`.
const SECONDS: u64 = 2;
/// Longest random input: a script of some dozen changes.
const LONGEST: usize = 96;

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own knob, not configuration of the product"
)]
fn seconds() -> Duration {
    let asked = std::env::var("FUZZ_SECONDS").ok();
    Duration::from_secs(asked.map_or(SECONDS, |text| text.parse().expect("a whole number")))
}

/// The kept seeds of a target, by name.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/__fuzz__/{target}/corpus"));
    let files = std::fs::read_dir(&place).expect("kept seeds");
    let mut paths: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no seeds", place.display());
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a seed");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Runs the target on an input, and checks what it asked the allocator for.
fn measured(target: &impl Fn(&[u8]) -> bool, input: &[u8]) -> bool {
    let mut understood = false;
    let allocated = allocation_counter::measure(|| understood = target(input));
    let length = u64::try_from(input.len()).expect("a length");
    let allowed = ALLOCATED_AT_ALL + ALLOCATED_PER_BYTE * length;
    assert!(
        allocated.bytes_max <= allowed,
        "{} bytes allocated for {length}",
        allocated.bytes_max
    );
    understood
}

/// Each kept seed is understood, unless it was a finding; then random bytes have their time.
macro_rules! fuzz {
    ($name:literal, $target:expr) => {{
        let target = $target;
        let seeds = corpus($name);
        // What is made once and kept, such as tables of characters, is not the input's.
        for (_, seed) in &seeds {
            target(seed);
        }
        for (path, seed) in &seeds {
            let found = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("found"));
            assert!(
                measured(&target, seed) || found,
                "{} is not understood",
                path.display()
            );
        }
        let seeds: Vec<Vec<u8>> = seeds.into_iter().map(|(_, seed)| seed).collect();
        let inputs = AtomicU64::new(0);
        bolero::check!(name = $name)
            .with_test_time(seconds())
            .with_iterations(usize::MAX)
            .with_max_len(LONGEST)
            .for_each(|input: &[u8]| {
                measured(&target, input);
                measured(&target, &mutated(input, &seeds));
                inputs.fetch_add(2, Ordering::Relaxed);
            });
        println!("{}: {} inputs in {:?}", $name, inputs.into_inner(), seconds());
    }};
}

#[test]
fn i6_events() {
    fuzz!("events", cdc_collector_fuzz::events);
}

#[test]
fn i6_rows() {
    fuzz!("rows", cdc_collector_fuzz::rows);
}

#[test]
fn i6_jsonb() {
    fuzz!("jsonb", cdc_collector_fuzz::jsonb);
}

#[test]
fn i10_answers() {
    fuzz!("answers", cdc_collector_fuzz::answers);
}

#[test]
fn i9_files() {
    // In memory where there is such a place: a disk would be all that is tested.
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let dir = dir.expect("a directory");
    let store = Store::open(dir.path(), GROUP).expect("a store");
    fuzz!("files", |input: &[u8]| cdc_collector_fuzz::files(
        &store,
        dir.path(),
        input
    ));
}

/// A parser that believes a length is a finding: the check itself has to notice one.
#[test]
fn a_length_that_is_believed_is_noticed() {
    let believes = |input: &[u8]| {
        let declared = input.iter().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
        std::hint::black_box(Vec::<u8>::with_capacity(declared)).capacity() > 0
    };
    assert!(measured(&believes, &[0, 0, 1, 0]));
    let caught = std::panic::catch_unwind(|| measured(&believes, &[0, 64, 0, 0]));
    assert!(caught.is_err());
}

#[test]
fn a_script_changes_a_seed_and_any_script_does() {
    let seeds = [b"0123456789".to_vec(), b"abc".to_vec()];
    assert_eq!(mutated(&[], &seeds), seeds[0]);
    assert_eq!(mutated(&[1], &seeds), seeds[1]);
    assert!(mutated(&[1], &[]).is_empty());
    let mut rng = fastrand::Rng::with_seed(1);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1_000 {
        let script: Vec<u8> = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
        seen.insert(mutated(&script, &seeds));
    }
    assert!(seen.len() > 300, "{} different inputs", seen.len());
}

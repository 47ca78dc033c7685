//! The chaos scenarios, each for a few seconds: what `cargo run -p harness --bin chaos` runs for as long as one likes.

use std::time::Duration;

use harness::chaos::{Terms, scenario};

use crate::rig;

/// Runs a scenario on its first database, with a seed that is printed.
async fn kept(name: &str, seconds: u64, blows: u64) {
    let scenario = scenario(name).expect("a scenario of this name");
    let terms = Terms {
        server: *scenario.servers.first().expect("a database"),
        seed: fastrand::u64(..1_000_000),
        time: Duration::from_secs(seconds),
        blows,
        binary: rig::binary().to_owned(),
    };
    println!("{name}: seed {}", terms.seed);
    let outcome = scenario.run(terms.clone()).await;
    let outcome = outcome.unwrap_or_else(|error| panic!("{name}, seed {}: {error:#}", terms.seed));
    println!(
        "{name}: {} blows, {}\n{}",
        outcome.blows, outcome.note, outcome.report
    );
    assert!(
        outcome.is_kept(),
        "{name}, seed {}\n{}",
        terms.seed,
        outcome.report
    );
    assert!(outcome.blows > 0 && outcome.report.records > 0);
}

macro_rules! scenarios {
    ($($test:ident: $name:literal, $seconds:literal s, at most $blows:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                Box::pin(kept($name, $seconds, $blows)).await;
            }
        )*
    };
}

scenarios! {
    i1_killed_while_the_service_misbehaves: "kill9-faults", 6 s, at most 6;
    i1_killed_at_any_call: "crash-points", 5 s, at most 24;
    i1_killed_at_any_operation_on_a_file: "crash-points-files", 3 s, at most 8;
    i1_moved_without_anything_of_its_own: "filesystem-wiped", 4 s, at most 3;
    i7_cut_at_every_kind_of_event: "cut-at-events", 20 s, at most 12;
    i9_a_file_that_lacks_its_end_is_refused: "checkpoint-truncated", 3 s, at most 40;
    i9_a_full_disk_stops_no_record: "disk-full", 4 s, at most 3;
    i9_a_full_disk_loses_no_letter: "disk-full-letters", 4 s, at most 2;
    a_full_disk_costs_lines_of_the_log_alone: "disk-full-logs", 3 s, at most 4;
    i4_shards_change_and_the_collector_dies: "split-merge", 4 s, at most 12;
    i2_what_was_read_may_be_purged: "binlog-purged", 10 s, at most 3;
    a_standby_takes_over: "standby", 4 s, at most 3;
    a_second_collector_is_refused_or_told_apart: "two-collectors", 2 s, at most 1;
    a_topic_made_anew_stops_the_relay: "topic-recreated", 2 s, at most 2;
    rotated_secrets_are_found: "credentials-rotated", 12 s, at most 2;
    i10_answers_that_cannot_be_read: "wrong-answers", 4 s, at most 30;
    i10_answers_in_drops: "slow-answers", 4 s, at most 20;
    i10_some_records_refused: "partial-failures", 4 s, at most 60;
    i10_a_put_that_comes_true_too_late: "late-apply", 4 s, at most 12;
    i7_left_for_what_stands_for_an_hour: "outage-hour", 15 s, at most 1;
    a_clock_that_jumps_changes_no_row: "clock-jump", 4 s, at most 3;
    a_slow_network_costs_time_alone: "slow-network", 4 s, at most 6;
}

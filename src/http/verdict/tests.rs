use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A collector that streams and delivers at moment 1000.
fn well() -> Facts {
    Facts {
        source: SourceState::Streaming,
        has_streamed: true,
        source_failure: None,
        last_byte: Some(at(1000)),
        heartbeat: at(10),
        ready_when_standby: false,
        fenced_since: None,
        position_resolved: true,
        datahub_failing_since: None,
        datahub_failures: 0,
        datahub_failure: None,
        alarm_attempts: 3,
        oldest_unacked: None,
        max_unacked: at(30),
        parked: None,
        checkpoint_failures: 0,
        checkpoint_failure: None,
        purge_eta: None,
        purge_warn: at(3600),
        dead_letters: 0,
        fenced_keys: 0,
        dead_letter_failures: 0,
        dead_letter_failure: None,
        halted: None,
        draining: false,
        ticks: vec![("source", at(1000)), ("pipeline", at(1000))],
        liveness_stall: at(120),
    }
}

fn reason(code: &'static str) -> Reason {
    Reason {
        code,
        message: String::from("what was seen"),
    }
}

/// Status, reason code, ready; and alive, always.
#[track_caller]
fn expect(facts: &Facts, now: u64, status: State, code: &str, ready: bool) {
    let verdict = Verdict::of(facts, at(now));
    let seen = (
        verdict.status,
        verdict.reason_code.as_ref(),
        verdict.ready,
        verdict.live,
    );
    assert_eq!(seen, (status, code, ready, true), "{verdict:?}");
}

#[test]
fn flowing_and_idle_are_ok() {
    expect(&well(), 1000, State::Ok, "ok", true);
    let idle = well();
    expect(&idle, 1030, State::Ok, "ok", true);
    let busy = Facts {
        oldest_unacked: Some(at(990)),
        ..well()
    };
    expect(&busy, 1000, State::Ok, "ok", true);
}

#[test]
fn starting_until_it_streams_from_a_settled_position() {
    let mut facts = Facts {
        source: SourceState::Connecting { since: at(0) },
        has_streamed: false,
        position_resolved: false,
        last_byte: None,
        ..well()
    };
    expect(&facts, 1000, State::Starting, "starting", false);
    facts.source_failure = Some(reason("access_denied"));
    expect(&facts, 1000, State::Starting, "access_denied", false);
    assert!(Verdict::of(&facts, at(1000)).remedy.is_some());
    facts.source = SourceState::Streaming;
    expect(&facts, 1000, State::Starting, "starting", false);
    (facts.has_streamed, facts.last_byte) = (true, Some(at(1000)));
    expect(&facts, 1000, State::Starting, "starting", false);
}

#[test]
fn a_destination_that_is_away_from_the_beginning_is_named() {
    let facts = Facts {
        position_resolved: false,
        datahub_failing_since: Some(at(990)),
        datahub_failures: 3,
        datahub_failure: Some(reason("datahub_unreachable")),
        ..well()
    };
    expect(&facts, 1000, State::Degraded, "sink_unavailable", false);
}

#[test]
fn a_checkpoint_that_cannot_be_written_shows() {
    let mut facts = Facts {
        checkpoint_failures: 1,
        checkpoint_failure: Some(reason("checkpoint_write")),
        ..well()
    };
    expect(&facts, 1000, State::Degraded, "checkpoint_write", true);
    assert!(Verdict::of(&facts, at(1000)).remedy.is_some());
    facts.checkpoint_failures = 3;
    expect(&facts, 1000, State::Degraded, "checkpoint_write", false);
    facts.checkpoint_failures = 1;
    facts.position_resolved = false;
    expect(&facts, 1000, State::Degraded, "checkpoint_write", false);
}

#[test]
fn a_short_reconnect_shows_but_does_not_flap() {
    let mut facts = Facts {
        source: SourceState::Connecting { since: at(1000) },
        ..well()
    };
    expect(&facts, 1004, State::Reconnecting, "reconnecting", true);
    expect(&facts, 1005, State::Reconnecting, "reconnecting", false);
    facts.source_failure = Some(reason("connection_refused"));
    expect(&facts, 1004, State::Reconnecting, "connection_refused", true);
    expect(&facts, 1060, State::Reconnecting, "connection_refused", false);
}

#[test]
fn a_blackholed_database_shows_within_a_minute() {
    expect(&well(), 1030, State::Ok, "ok", true);
    expect(&well(), 1031, State::Degraded, "stalled", false);
    // The largest heartbeat that the configuration allows.
    let slow = Facts {
        heartbeat: at(15),
        ..well()
    };
    expect(&slow, 1060, State::Degraded, "stalled", false);
}

#[test]
fn a_blackholed_destination_shows_within_a_minute() {
    let waiting = Facts {
        oldest_unacked: Some(at(1000)),
        last_byte: Some(at(1030)),
        ..well()
    };
    expect(&waiting, 1029, State::Ok, "ok", true);
    expect(&waiting, 1030, State::Degraded, "stalled", false);
    // Nothing waits, but the call that was due keeps failing.
    let failing = Facts {
        datahub_failing_since: Some(at(1000)),
        datahub_failures: 1,
        last_byte: Some(at(1030)),
        ..well()
    };
    expect(&failing, 1029, State::Degraded, "sink_retrying", true);
    expect(&failing, 1030, State::Degraded, "sink_unavailable", false);
}

#[test]
fn repeated_failures_of_one_call_raise_the_alarm_at_once() {
    let mut facts = Facts {
        datahub_failing_since: Some(at(999)),
        datahub_failures: 2,
        datahub_failure: Some(reason("limit_exceeded")),
        ..well()
    };
    expect(&facts, 1000, State::Degraded, "sink_retrying", true);
    facts.datahub_failures = 3;
    expect(&facts, 1000, State::Degraded, "sink_unavailable", false);
    let verdict = Verdict::of(&facts, at(1000));
    assert!(verdict.summary.contains("limit_exceeded"), "{verdict:?}");
    assert!(verdict.remedy.is_some());
    (facts.datahub_failures, facts.datahub_failing_since) = (0, None);
    expect(&facts, 1000, State::Ok, "ok", true);
}

#[test]
fn halted_says_why_and_what_to_do() {
    let facts = Facts {
        halted: Some(Failure::halt(
            "no_such_topic",
            "the topic is missing",
            "create the topic",
        )),
        draining: true,
        datahub_failures: 9,
        ..well()
    };
    expect(&facts, 1000, State::Halted, "no_such_topic", false);
    assert_eq!(
        Verdict::of(&facts, at(1000)).remedy.as_deref(),
        Some("create the topic")
    );
}

#[test]
fn draining_standby_and_parked_are_not_ready() {
    let draining = Facts {
        draining: true,
        ..well()
    };
    expect(&draining, 1000, State::Draining, "draining", false);
    for (source, state, code) in [
        (SourceState::Standby, State::Standby, "standby"),
        (SourceState::Parked, State::Parked, "parked"),
    ] {
        expect(&Facts { source, ..well() }, 1000, state, code, false);
    }
}

#[test]
fn only_a_wedged_loop_is_not_alive() {
    let mut facts = well();
    facts.last_byte = Some(at(1120));
    assert!(Verdict::of(&facts, at(1120)).live);
    facts.ticks = vec![("source", at(1120)), ("pipeline", at(1000))];
    let verdict = Verdict::of(&facts, at(1120) + SECOND);
    assert_eq!((verdict.live, verdict.ready), (false, false));
    assert_eq!(
        (verdict.status, verdict.reason_code.as_ref()),
        (State::Degraded, "loop_stalled")
    );
    assert!(verdict.summary.contains("pipeline"));
}

#[test]
fn no_failure_of_either_side_touches_liveness() {
    let facts = Facts {
        source: SourceState::Connecting { since: at(0) },
        datahub_failing_since: Some(at(0)),
        datahub_failures: 1_000,
        oldest_unacked: Some(at(0)),
        halted: Some(Failure::halt("x", "y", "z")),
        last_byte: None,
        ..well()
    };
    assert!(Verdict::of(&facts, at(1000)).live);
}

#[test]
fn a_clock_that_seems_to_run_backwards_is_no_trouble() {
    expect(&well(), 0, State::Ok, "ok", true);
}

#[test]
fn every_state_has_its_word() {
    for state in State::ALL {
        assert_eq!(serde_json::json!(state), state.name());
    }
}

#[test]
fn binlog_that_is_purged_soon_shows_and_rows_still_flow() {
    let with = |eta| Facts {
        purge_eta: eta,
        ..well()
    };
    expect(&with(None), 1000, State::Ok, "ok", true);
    expect(&with(Some(at(3600))), 1000, State::Ok, "ok", true);
    expect(&with(Some(at(3599))), 1000, State::Degraded, "purge_near", true);
    assert!(Verdict::of(&with(Some(at(60))), at(1000)).remedy.is_some());
    let never = Facts {
        purge_warn: at(0),
        ..with(Some(at(0)))
    };
    expect(&never, 1000, State::Ok, "ok", true);
    let parked = Facts {
        source: SourceState::Parked,
        ..with(Some(at(60)))
    };
    expect(&parked, 1000, State::Parked, "parked", false);
    let summary = Verdict::of(&parked, at(1000)).summary;
    assert!(summary.contains("still needed in 60 s"), "{summary}");
}

#[test]
fn a_full_dead_letter_file_is_not_ready_and_says_what_to_do() {
    let failing = |code, failures| Facts {
        dead_letters: 3,
        fenced_keys: 2,
        dead_letter_failures: failures,
        dead_letter_failure: Some(reason(code)),
        // It is the file that the oldest record waits for, not DataHub.
        oldest_unacked: Some(at(900)),
        ..well()
    };
    expect(
        &failing("dead_letters_full", 1),
        1000,
        State::Degraded,
        "dead_letters_full",
        false,
    );
    expect(
        &failing("dead_letter_write", 1),
        1000,
        State::Degraded,
        "dead_letter_write",
        true,
    );
    expect(
        &failing("dead_letter_write", 3),
        1000,
        State::Degraded,
        "dead_letter_write",
        false,
    );
    let verdict = Verdict::of(&failing("dead_letters_full", 1), at(1000));
    assert!(
        verdict
            .remedy
            .is_some_and(|text| text.contains("dead-letters replay"))
    );
}

#[test]
fn fenced_keys_show_while_the_others_flow() {
    let fenced = Facts {
        dead_letters: 3,
        fenced_keys: 2,
        ..well()
    };
    expect(&fenced, 1000, State::Degraded, "keys_fenced", true);
}

#[test]
fn a_standby_is_ready_only_where_that_is_wanted() {
    let mut facts = Facts {
        source: SourceState::Standby,
        has_streamed: false,
        position_resolved: false,
        ..well()
    };
    expect(&facts, 1000, State::Standby, "standby", false);
    facts.ready_when_standby = true;
    expect(&facts, 1000, State::Standby, "standby", true);
    facts.source = SourceState::TakingOver;
    expect(&facts, 1000, State::Starting, "starting", false);
    facts.draining = true;
    expect(&facts, 1000, State::Draining, "draining", false);
}

#[test]
fn puts_that_are_held_back_show_at_once() {
    let mut facts = Facts {
        fenced_since: Some(at(990)),
        ..well()
    };
    expect(&facts, 1000, State::Degraded, "lease_unconfirmed", false);
    // What keeps the lease from being confirmed is the better reason.
    facts.source = SourceState::Connecting { since: at(990) };
    facts.source_failure = Some(reason("connection_refused"));
    expect(&facts, 1000, State::Reconnecting, "connection_refused", false);
}

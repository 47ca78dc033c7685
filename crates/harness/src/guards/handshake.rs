//! Points 1 to 3: who answers, and what. The tests are those of `tests/oceanbase/handshake.rs`.

use super::{Edit, Guard, Test};

pub(super) const GUARDS: &[Guard] = &[
    Guard {
        name: "no_lock_asked_of_oceanbase",
        points: &[1],
        edits: &[Edit {
            file: "source/lease.rs",
            from: "is_usable: flavour != Flavour::OceanBase,",
            to: "is_usable: true,",
        }],
        tests: &[Test {
            name: "handshake::point_1_rows_come_through_the_proxy_without_a_lock_to_rely_on",
            seen: "GET_LOCK",
        }],
    },
    Guard {
        name: "binlog_instance_direct",
        points: &[1],
        edits: &[Edit {
            file: "source/preflight/judge.rs",
            from: "if seen.version.is_none() {",
            to: "if false {",
        }],
        tests: &[Test {
            name: "handshake::point_1_an_instance_and_an_observer_are_not_taken_for_the_proxy",
            seen: "",
        }],
    },
    Guard {
        name: "tables_are_asked_of_the_observer",
        points: &[1],
        edits: &[Edit {
            file: "source/asking.rs",
            from: "let of_observer = config.observer.is_some() && matches!(question, Question::Definition(_));",
            to: "let of_observer = false;",
        }],
        tests: &[Test {
            name: "handshake::point_1_rows_come_from_an_instance_beside_an_observer",
            seen: "",
        }],
    },
    Guard {
        name: "no_binlog_service",
        points: &[1, 2],
        edits: &[Edit {
            file: "source/preflight/judge.rs",
            from: "        } else if facts.head.file.is_empty() {\n            let claim",
            to: "        } else if false {\n            let claim",
        }],
        tests: &[
            Test {
                name: "handshake::point_1_an_instance_and_an_observer_are_not_taken_for_the_proxy",
                seen: "",
            },
            Test {
                name: "handshake::point_2_a_status_without_a_place_is_told_apart",
                seen: "a halt",
            },
        ],
    },
    Guard {
        name: "binlog_not_started",
        points: &[2],
        edits: &[Edit {
            file: "source/preflight/judge.rs",
            from: "matches!(&seen.status, Listing::Rows(rows) if rows.is_empty())",
            to: "false",
        }],
        tests: &[Test {
            name: "handshake::point_2_an_instance_without_a_file_is_waited_for",
            seen: "no_binlog_service",
        }],
    },
    Guard {
        name: "what_has_not_begun_is_no_halt",
        points: &[2],
        edits: &[Edit {
            file: "source/preflight.rs",
            from: "if first.code == NOT_STARTED {",
            to: "if false {",
        }],
        tests: &[Test {
            name: "handshake::point_2_an_instance_without_a_file_is_waited_for",
            seen: "ready",
        }],
    },
    Guard {
        name: "binlog_service_unreachable",
        points: &[2],
        edits: &[Edit {
            file: "source/refusal.rs",
            from: "if text.contains(\"connect binlog service failed\") {",
            to: "if false {",
        }],
        tests: &[Test {
            name: "handshake::point_2_a_service_that_is_away_is_waited_for",
            seen: "a reason",
        }],
    },
    Guard {
        name: "the_library_asks_for_no_list",
        points: &[3],
        edits: &[Edit {
            file: "source/connection.rs",
            from: "\n        .wait_timeout(Some(WAIT_TIMEOUT_SECONDS))",
            to: "",
        }],
        tests: &[Test {
            name: "handshake::point_3_no_list_of_variables_is_asked_for",
            seen: "",
        }],
    },
];

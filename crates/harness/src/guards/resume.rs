//! Points 11 to 14, 18 and 19: where a dump starts and on which instance, where it ends, and how it is refused.

use super::{Edit, Guard, Test};

pub(super) const GUARDS: &[Guard] = &[
    Guard {
        name: "a_dump_by_set",
        points: &[11],
        edits: &[
            Edit {
                file: "source/opening.rs",
                from: "Some(set) => DumpStart::Gtid(set.clone()),",
                to: "Some(_) => DumpStart::File(begin.position.file.clone()),",
            },
            // Else the file of another instance is replaced by the oldest one.
            Edit {
                file: "source/failover.rs",
                from: "&& instance.is_none_or(|instance| now != 0 && instance != now)",
                to: "&& instance.is_some_and(|instance| now == 0 && instance == now)",
            },
        ],
        tests: &[Test {
            name: "failover::point_11_a_restart_on_another_instance_goes_by_the_set",
            seen: "",
        }],
    },
    Guard {
        name: "another_instances_oldest_file",
        points: &[11],
        edits: &[Edit {
            file: "source/failover.rs",
            from: "&& instance.is_none_or(|instance| now != 0 && instance != now)",
            to: "&& instance.is_some_and(|instance| now == 0 && instance == now)",
        }],
        tests: &[Test {
            name: "failover::point_11_a_restart_on_another_instance_goes_by_the_set",
            seen: "binlog_instance_changed",
        }],
    },
    Guard {
        name: "an_instance_that_lags",
        points: &[11, 12],
        edits: &[Edit {
            file: "source/opening.rs",
            from: "        Some(executed) if !executed.is_empty() && !executed.contains_set(set) => Err(behind(executed)),\n",
            to: "",
        }],
        tests: &[
            Test {
                name: "failover::point_11_an_instance_that_lags_is_waited_for",
                seen: "a reason",
            },
            Test {
                name: "resume::point_12_a_set_ahead_of_the_service_waits_for_it",
                seen: "a reason",
            },
        ],
    },
    Guard {
        name: "an_offset_beyond_the_file",
        points: &[11],
        edits: &[
            Edit {
                file: "source/opening.rs",
                from: "        Some((_, size)) if at.pos > *size => Err(ahead(at, \"end of the file\")),\n",
                to: "",
            },
            // The service refuses such an offset as well.
            Edit {
                file: "source/refusal/dump.rs",
                from: "(\"position > file size\", \"position_ahead\", Do::Halt(REMEDY_FOREIGN)),",
                to: "",
            },
        ],
        tests: &[Test {
            name: "failover::point_11_an_offset_is_not_taken_to_another_instance",
            seen: "a halt",
        }],
    },
    Guard {
        name: "what_a_file_follows_on",
        points: &[12],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "if !first || mine.contains_set(previous) {",
            to: "if !first || !previous.is_empty() || mine.contains_set(previous) {",
        }],
        tests: &[Test {
            name: "resume::point_12_an_empty_set_does_not_pass_over_what_was_purged",
            seen: "a halt",
        }],
    },
    Guard {
        name: "a_set_that_is_refused",
        points: &[12],
        edits: &[Edit {
            file: "source/refusal/dump.rs",
            from: "        \"may have been cleaned up\",",
            to: "        \"may have been swept away\",",
        }],
        tests: &[Test {
            name: "resume::point_12_a_set_behind_the_oldest_file_is_a_gap",
            seen: "a halt",
        }],
    },
    Guard {
        name: "same_source",
        points: &[12],
        edits: &[Edit {
            file: "source/failover.rs",
            from: "if is_shared || read.is_empty() || executed.is_empty() {",
            to: "if is_shared || !read.is_empty() || executed.is_empty() {",
        }],
        tests: &[Test {
            name: "resume::point_12_a_set_of_another_tenant_is_not_taken",
            seen: "a halt",
        }],
    },
    Guard {
        name: "a_tail_is_followed_nowhere",
        points: &[12],
        edits: &[Edit {
            file: "source/transaction/statement.rs",
            from: "None if self.flavour == Flavour::OceanBase && self.gtid_set.is_some() => {",
            to: "None if self.flavour == Flavour::OceanBase && self.gtid_set.is_none() => {",
        }],
        tests: &[Test {
            name: "resume::point_12_the_tail_of_a_transaction_that_was_left_out_is_discarded",
            seen: "",
        }],
    },
    Guard {
        name: "gtid_gap",
        points: &[12],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "if missing.insert_range(head.uuid, last.saturating_add(1), head.gno.saturating_sub(1)) {",
            to: "if last == 0 && missing.insert_range(head.uuid, last.saturating_add(1), head.gno.saturating_sub(1)) {",
        }],
        tests: &[Test {
            name: "resume::point_12_transactions_that_were_never_sent_are_missed",
            seen: "a halt",
        }],
    },
    Guard {
        name: "a_rotate_moves_at_once",
        points: &[13],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "        if self.cut.is_none() {\n            // At once",
            to: "        if false {\n            // At once",
        }],
        tests: &[Test {
            name: "resume::point_13_the_end_of_a_file_is_never_where_a_dump_is_asked_for",
            seen: "",
        }],
    },
    Guard {
        name: "file_end_not_left",
        points: &[13],
        edits: &[Edit {
            file: "source/stall.rs",
            from: "(_, Some((next, _))) => Some(Doubt::AtEnd(next.clone())),",
            to: "(_, Some(_)) => None,",
        }],
        tests: &[Test {
            name: "resume::point_13_a_start_at_the_end_of_a_file_goes_on_with_the_next",
            seen: "",
        }],
    },
    Guard {
        name: "the_texts_of_1236",
        points: &[14],
        edits: &[Edit {
            file: "source/refusal/dump.rs",
            from: "TEXTS.iter().find(|(part, ..)| text.contains(part))",
            to: "TEXTS.iter().find(|(part, ..)| text == *part)",
        }],
        tests: &[Test {
            name: "resume::point_14_a_refusal_is_judged_by_its_text",
            seen: "a halt",
        }],
    },
    Guard {
        name: "a_closed_socket_is_a_cut",
        points: &[14, 19],
        edits: &[Edit {
            file: "source/refusal.rs",
            from: "retry(known.map_or(\"network_error\", |(_, code)| code))",
            to: "Failure::halt(known.map_or(\"network_error\", |(_, code)| code), text, \"\")",
        }],
        tests: &[
            Test {
                name: "resume::point_14_sockets_that_close_without_a_word_are_opened_again",
                seen: "connection_closed",
            },
            Test {
                name: "network::point_19_connections_that_end_in_a_packet_are_gone_on_with",
                seen: "connection_closed",
            },
        ],
    },
    Guard {
        name: "no_answer_is_tried_again",
        points: &[14],
        edits: &[Edit {
            file: "source/chances.rs",
            from: "Some(_) => Failure::retry(UNANSWERED, message),",
            to: "Some(_) => Failure::halt(UNANSWERED, message, \"\"),",
        }],
        tests: &[Test {
            name: "resume::point_14_sockets_that_close_without_a_word_are_opened_again",
            seen: "position_unanswered",
        }],
    },
    Guard {
        name: "subscriber_limit",
        points: &[14],
        edits: &[Edit {
            file: "source/refusal/dump.rs",
            from: "        \"subscriber_limit\",\n        Do::Retry,",
            to: "        \"subscriber_limit\",\n        Do::Halt(REMEDY_FOREIGN),",
        }],
        tests: &[Test {
            name: "resume::point_14_a_full_service_is_tried_again",
            seen: "subscriber_limit",
        }],
    },
    Guard {
        name: "an_end_is_a_cut",
        points: &[18],
        edits: &[Edit {
            file: "source/intake.rs",
            from: "Ok(None) => Err(Failure::retry(\n                \"connection_closed\",\n                \"the server ended the binlog stream\",",
            to: "Ok(None) => Err(Failure::halt(\n                \"connection_closed\",\n                \"the server ended the binlog stream\",\n                \"\",",
        }],
        tests: &[Test {
            name: "resume::point_18_a_dump_that_ends_with_its_file_is_asked_for_again",
            seen: "connection_closed",
        }],
    },
    Guard {
        name: "source_silent",
        points: &[19],
        edits: &[Edit {
            file: "source/intake.rs",
            from: "(self.last_poll >= dead).then(|| {",
            to: "(self.last_poll < self.silent_since).then(|| {",
        }],
        tests: &[Test {
            name: "network::point_19_a_connection_that_falls_silent_is_given_up",
            seen: "",
        }],
    },
];

//! Points 15 to 17: what rows and files may hold. The tests are those of `tests/oceanbase/content.rs`.

use super::{Edit, Guard, Test};

pub(super) const GUARDS: &[Guard] = &[
    Guard {
        name: "row_image_not_full",
        points: &[15],
        edits: &[Edit {
            file: "source/preflight/judge/settings.rs",
            from: "good: &[\"FULL\", \"\"],",
            to: "good: &[\"FULL\", \"MINIMAL\", \"\"],",
        }],
        tests: &[Test {
            name: "content::point_15_partial_images_are_refused_before_they_are_read",
            seen: "a halt",
        }],
    },
    Guard {
        name: "large_containers",
        points: &[16],
        edits: &[Edit {
            file: "source/value/jsonb.rs",
            from: "let large = kind & 1 == 1;",
            to: "let large = false;",
        }],
        tests: &[Test {
            name: "content::point_16_documents_in_large_containers_with_unsorted_keys_are_read",
            seen: "",
        }],
    },
    Guard {
        name: "partial_json_event",
        points: &[16],
        edits: &[Edit {
            file: "source/decode.rs",
            from: "23..=25 | 30..=32 => Some(Meaning::Rows),",
            to: "23..=25 | 30..=32 | 39 => Some(Meaning::Rows),",
        }],
        tests: &[Test {
            name: "content::point_16_what_cannot_be_read_stops_the_relay",
            seen: "row_undecodable",
        }],
    },
    Guard {
        name: "an_error_is_no_end_of_rows",
        points: &[16],
        edits: &[Edit {
            file: "source/feed.rs",
            from: "            let (before, after) = pair.map_err(unreadable)?;",
            to: "            let Ok((before, after)) = pair else { break };",
        }],
        tests: &[Test {
            name: "content::point_16_what_cannot_be_read_stops_the_relay",
            seen: "a halt",
        }],
    },
    Guard {
        name: "what_is_in_front_of_a_halt",
        points: &[16],
        edits: &[Edit {
            file: "pipeline/intake.rs",
            from: "if ended.is_err() {",
            to: "if false {",
        }],
        tests: &[Test {
            name: "content::point_16_what_cannot_be_read_stops_the_relay",
            seen: "",
        }],
    },
    Guard {
        name: "a_packet_may_have_a_gigabyte",
        points: &[17],
        edits: &[Edit {
            file: "source/connection.rs",
            from: ".max_allowed_packet(Some(MAX_PACKET_BYTES))",
            to: ".max_allowed_packet(Some(4 << 20))",
        }],
        tests: &[Test {
            name: "content::point_17_an_event_of_many_packets_is_read",
            seen: "",
        }],
    },
    Guard {
        name: "wraps_are_counted",
        points: &[17],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "if next % wrap == low {\n            next\n",
            to: "if next > 0 {\n            low\n",
        }],
        tests: &[Test {
            name: "content::point_17_positions_wrap_at_four_gigabytes",
            seen: "",
        }],
    },
    Guard {
        name: "dump_offset",
        points: &[17],
        edits: &[Edit {
            file: "source/connection.rs",
            from: "u32::try_from(at.pos.max(FIRST_EVENT)).map_err(",
            to: "u32::try_from(at.pos.max(FIRST_EVENT) & 0xffff_ffff).map_err(",
        }],
        tests: &[Test {
            name: "content::point_17_an_offset_that_cannot_be_asked_for_stops_the_relay",
            seen: "position_corrupt",
        }],
    },
    Guard {
        name: "rows_before_a_cut_are_passed_over",
        points: &[17],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "Some((cut.rows, cut.fingerprint))",
            to: "None",
        }],
        tests: &[Test {
            name: "content::point_17_a_transaction_of_a_million_rows_arrives_whole",
            seen: "",
        }],
    },
    Guard {
        name: "rows_are_counted_in_full",
        points: &[17],
        edits: &[Edit {
            file: "source/transaction/open.rs",
            from: "Some(_) | None => (self.rows, self.fingerprint.value()),",
            to: "Some(_) | None => (self.rows & 0xffff, self.fingerprint.value()),",
        }],
        tests: &[Test {
            name: "content::point_17_a_transaction_of_a_million_rows_arrives_whole",
            seen: "transaction_changed",
        }],
    },
];

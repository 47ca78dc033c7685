//! Points 4 to 10: what a dump looks like, event by event. The tests are those of `tests/oceanbase/stream.rs`, but for the
//! flags, which every test meets.

use super::{Edit, Guard, Test};

pub(super) const GUARDS: &[Guard] = &[
    Guard {
        name: "repair_rotate",
        points: &[4],
        edits: &[Edit {
            file: "source/decode/header.rs",
            from: "Some(cut) => Some([body, &cut].concat()),",
            to: "Some(_) => None,",
        }],
        tests: &[Test {
            name: "stream::point_4_the_made_up_rotate_has_no_checksum_and_the_first_event_either_length",
            seen: "mysql-bin.00",
        }],
    },
    Guard {
        name: "no_length_is_expected",
        points: &[4],
        edits: &[Edit {
            file: "source/decode.rs",
            from: "kind::FORMAT_DESCRIPTION => Some(Meaning::FormatDescription),",
            to: "kind::FORMAT_DESCRIPTION => (body.len() != 57 + 39).then_some(Meaning::FormatDescription),",
        }],
        tests: &[Test {
            name: "stream::point_4_the_made_up_rotate_has_no_checksum_and_the_first_event_either_length",
            seen: "",
        }],
    },
    Guard {
        name: "checksum_missing",
        points: &[4],
        edits: &[Edit {
            file: "source/intake.rs",
            from: "!has_sums && flavour == Flavour::OceanBase {",
            to: "!has_sums && flavour == Flavour::MySql {",
        }],
        tests: &[Test {
            name: "stream::point_4_events_without_checksums_are_refused",
            seen: "",
        }],
    },
    Guard {
        name: "flags_as_they_are",
        points: &[5],
        edits: &[Edit {
            file: "source/decode/header.rs",
            from: "return sum(self, &[]);",
            to: "return sum(&Self { flags: self.flags & !FLAG_IN_USE, ..*self }, &[]);",
        }],
        tests: &[Test {
            name: "handshake::point_1_rows_come_through_the_proxy_without_a_lock_to_rely_on",
            seen: "event_checksum",
        }],
    },
    Guard {
        name: "checksum_matches",
        points: &[5],
        edits: &[Edit {
            file: "source/intake.rs",
            from: ".is_some_and(|sum| !header.checksum_matches(event.data(), sum))",
            to: ".is_some_and(|_| false)",
        }],
        tests: &[Test {
            name: "stream::point_5_a_damaged_event_is_read_again",
            seen: "",
        }],
    },
    Guard {
        name: "is_past_cut",
        points: &[5],
        edits: &[Edit {
            file: "source.rs",
            from: "self.wrong_sums > 0 && self.is_past_cut()",
            to: "self.wrong_sums > 0",
        }],
        tests: &[Test {
            name: "stream::point_5_damage_that_stays_stops_the_relay",
            seen: "a halt",
        }],
    },
    Guard {
        name: "commit_time",
        points: &[6],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "\n            .or(of_clock)",
            to: "",
        }],
        tests: &[Test {
            name: "stream::point_6_commit_times_are_read_to_the_microsecond",
            seen: "",
        }],
    },
    Guard {
        name: "maps_are_of_their_file",
        points: &[7],
        edits: &[
            Edit {
                file: "source/tables.rs",
                from: "            && known.body == body\n",
                to: "",
            },
            Edit {
                file: "source/tables.rs",
                from: "        self.maps.clear();\n        self.wanted = None;",
                to: "        self.wanted = None;",
            },
        ],
        tests: &[Test {
            name: "stream::point_7_table_ids_change_with_statements_and_restarts",
            seen: "",
        }],
    },
    Guard {
        name: "a_heartbeat_moves_nothing",
        points: &[8, 19],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "Meaning::Heartbeat => return Ok(Act::Heartbeat),",
            to: "Meaning::Heartbeat => {
                        self.advance(header);
                        self.boundary = self.here(self.pos);
                        let here = self.here(self.pos);
                        self.open.iter_mut().for_each(|open| open.start = here.clone());
                        return Ok(Act::Heartbeat);
                    }",
        }],
        tests: &[
            Test {
                name: "stream::point_8_heartbeats_move_nothing_where_positions_are_offsets",
                seen: "",
            },
            Test {
                name: "network::point_19_connections_that_end_in_a_packet_are_gone_on_with",
                seen: "",
            },
        ],
    },
    Guard {
        name: "a_number_counts_from_its_commit_on",
        points: &[8, 11, 19],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "self.begin(Some(gtid), Some(text), ts_us, false)?;",
            to: "self.begin(Some(gtid), Some(text), ts_us, false)?; self.gtid_set.iter_mut().for_each(|set| { set.insert(gtid); });",
        }],
        tests: &[
            Test {
                name: "stream::point_8_heartbeats_move_nothing_where_positions_are_sets",
                seen: "",
            },
            Test {
                name: "failover::point_11_fifty_failovers_under_load_lose_and_repeat_nothing",
                seen: "",
            },
            Test {
                name: "network::point_19_connections_that_end_in_a_packet_are_gone_on_with",
                seen: "",
            },
        ],
    },
    Guard {
        name: "a_statement_ends_its_transaction",
        points: &[9],
        edits: &[Edit {
            file: "source/transaction/statement.rs",
            from: "let boundary = !begun && self.commit()? == Act::Boundary;",
            to: "let boundary = false;",
        }],
        tests: &[Test {
            name: "stream::point_7_table_ids_change_with_statements_and_restarts",
            seen: "",
        }],
    },
    Guard {
        name: "a_definition_fits_its_table_map",
        points: &[9],
        edits: &[Edit {
            file: "source/schema.rs",
            from: "if definition.columns.len() != map.columns.len() {",
            to: "if false {",
        }],
        tests: &[Test {
            name: "stream::point_9_a_definition_that_no_event_announces_is_noticed_by_its_table_map",
            seen: "",
        }],
    },
    Guard {
        name: "the_periodic_comparison",
        points: &[9],
        edits: &[Edit {
            file: "source/audit.rs",
            from: "if differences.is_empty() {",
            to: "if true {",
        }],
        tests: &[Test {
            name: "stream::point_9_columns_that_swap_unannounced_raise_an_alarm",
            seen: "an alarm",
        }],
    },
    Guard {
        name: "what_broke_off_is_expected_again",
        points: &[10, 11, 19],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "            self.cut = Some(state);",
            to: "            drop(state);",
        }],
        tests: &[
            Test {
                name: "stream::point_10_a_transaction_that_a_restart_cut_is_read_once",
                seen: "",
            },
            Test {
                name: "failover::point_11_fifty_failovers_under_load_lose_and_repeat_nothing",
                seen: "",
            },
            Test {
                name: "network::point_19_connections_that_end_in_a_packet_are_gone_on_with",
                seen: "",
            },
        ],
    },
    Guard {
        name: "the_fingerprint",
        points: &[10],
        edits: &[Edit {
            file: "source/transaction/open.rs",
            from: "self.rows == rows && self.fingerprint.value() != expected",
            to: "self.rows > rows && self.fingerprint.value() != expected",
        }],
        tests: &[Test {
            name: "stream::point_10_another_transaction_under_the_same_number_is_not_believed",
            seen: "a halt",
        }],
    },
    Guard {
        name: "numbers_that_were_read",
        points: &[10],
        edits: &[Edit {
            file: "source/transaction.rs",
            from: "gtid.is_some_and(|gtid| self.gtid_set.as_ref().is_some_and(|set| set.contains(gtid)));",
            to: "false;",
        }],
        tests: &[Test {
            name: "stream::point_10_transactions_that_a_restart_writes_again_are_left_out",
            seen: "",
        }],
    },
];

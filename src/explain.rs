//! The page on each code that the collector shows: `docs/errors/<code>.md`, as it was when the program was built.

/// Below this share of equal letters a suggestion confuses more than it helps.
const LEAST_ALIKE: f64 = 0.6;

/// A code and its page.
type Page = (&'static str, &'static str);

macro_rules! pages {
    ($($code:ident)*) => {
        /// Every code, in alphabetical order.
        const PAGES: &[Page] = &[$((
            stringify!($code),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors/", stringify!($code), ".md")),
        )),*];
    };
}

pages! {
    account_locked
    anonymous_transaction
    answer_out_of_range
    audit_write
    auth_plugin_unsupported
    batch_too_large
    binlog
    binlog_disabled
    binlog_format_not_row
    binlog_instance_changed
    binlog_instance_direct
    binlog_not_started
    binlog_service_unreachable
    binlog_unreadable
    checkpoint
    checkpoint_corrupt
    checkpoint_newer_format
    checkpoint_other_group
    checkpoint_other_server
    checkpoint_unreadable
    checkpoint_write
    checksum_missing
    checksum_off
    checksum_refused
    collector_does_not_answer
    collector_not_running
    column_rule_idle
    column_rule_on_key
    column_type_unsupported
    compressed_event
    compressed_transaction
    config_document_unreadable
    config_doubtful
    config_file_unreadable
    config_given_twice
    config_option_missing
    config_option_unknown
    config_value_invalid
    config_values_conflict
    connection_closed
    connection_refused
    data_dir
    data_dir_in_use
    data_dir_unusable
    database_access_denied
    database_busy
    database_clock
    database_clock_differs
    database_error
    database_shutting_down
    database_timeout
    datahub_already_exists
    datahub_answer_too_large
    datahub_body_too_large
    datahub_clock
    datahub_clock_differs
    datahub_clock_skew
    datahub_connection_lost
    datahub_foreign_answer
    datahub_group_in_process
    datahub_internal_error
    datahub_invalid_cursor
    datahub_invalid_endpoint
    datahub_invalid_key
    datahub_invalid_name
    datahub_invalid_operation
    datahub_invalid_parameter
    datahub_invalid_schema
    datahub_invalid_shard_id
    datahub_invalid_uri
    datahub_limit_exceeded
    datahub_malformed_record
    datahub_mysql_error
    datahub_no_active_shard
    datahub_no_permission
    datahub_no_such_project
    datahub_no_such_shard
    datahub_no_such_topic
    datahub_not_found
    datahub_odps_error
    datahub_operation_denied
    datahub_proxy_error
    datahub_redirected
    datahub_resource_limit
    datahub_seek_out_of_range
    datahub_shard_not_ready
    datahub_shard_sealed
    datahub_slow
    datahub_stale_read
    datahub_timeout
    datahub_tls_unavailable
    datahub_token_expired
    datahub_topic
    datahub_topic_exists
    datahub_topic_offline
    datahub_unauthorized
    datahub_unexpected_error
    datahub_unknown_error
    datahub_unreachable
    datahub_unreadable_answer
    datahub_unreadable_body
    datahub_write
    datahub_write_lost
    dead_letter_request_unreadable
    dead_letter_write
    dead_letters_busy
    dead_letters_full
    dead_letters_unattended
    dead_letters_unreadable
    discard_without_reason
    disk_full
    disk_space_low
    draining
    dump
    dump_refused
    event_checksum
    event_malformed
    field_too_large
    file_end_not_left
    generated_column_virtual
    gtid_gap
    gtid_mode_off
    gtid_off
    gtid_set_unknown
    gtid_source_changed
    gtid_tags_unsupported
    host_blocked
    host_not_allowed
    host_unknown
    host_unreachable
    incident_event
    internal
    key_fenced
    keys_fenced
    lease
    lease_lost
    lease_refused
    lease_unconfirmed
    lease_unsupported
    listen_failed
    log_bin_compress_on
    log_dir
    log_dir_unusable
    loop_stalled
    network_error
    no_binlog_service
    no_such_dead_letter
    no_table_captured
    not_checked
    observer_other_server
    ok
    order_refused
    packet_too_large
    parked
    partial_json_event
    password_expired
    port
    port_in_use
    port_not_allowed
    position
    position_ahead
    position_beyond_protocol
    position_corrupt
    position_foreign
    position_lost
    position_other_instance
    position_purged
    position_unanswered
    positions_contradict
    primary_key_missing
    privilege_missing
    privileges
    protocol_error
    purge_near
    reconnecting
    record_too_large
    replay_stopped
    replica_id
    replica_id_conflict
    replica_id_registered
    replica_updates_not_logged
    replication_privilege_missing
    retention
    retention_short
    row_image_not_full
    row_metadata
    row_not_encodable
    row_undecodable
    row_values_partial
    rows_outside_transaction
    schema_changed_silently
    schema_contradiction
    schema_history_corrupt
    schema_history_foreign
    schema_history_newer_format
    schema_history_other_group
    schema_history_unreadable
    schema_history_write
    schema_missing
    schema_not_logged
    schema_read_late
    schema_unknown
    schema_unreadable
    schema_unsupported
    select_privilege_missing
    server
    server_behind_position
    server_id_of_source
    settings
    shards_too_few
    shutting_down
    sink_retrying
    sink_unavailable
    source_rate
    source_silent
    source_stalled
    source_unknown
    stalled
    standby
    start_gtid_unsupported
    starting
    statement_event
    statement_unsupported
    store_panicked
    subscriber_limit
    superseded
    table_left_out
    table_map_missing
    table_not_captured
    table_not_named
    table_parked
    tables
    tagged_gtid
    time_zone
    tls
    tls_certificate_expired
    tls_certificate_expires
    tls_certificate_invalid
    tls_error
    tls_file_unreadable
    tls_host_name_invalid
    tls_key_unreadable
    tls_name_mismatch
    tls_refused_by_server
    tls_required_by_server
    tls_unavailable
    tls_unknown_authority
    tls_version_unsupported
    too_many_connections
    topic_recreated
    topic_without_watermark
    transaction_changed
    transaction_compression_on
    transaction_rolled_back
    tuple_column_without_field
    tuple_field_ambiguous
    tuple_field_not_null
    tuple_field_unfilled
    tuple_type_mismatch
    tuple_without_marks
    unknown_event
    unknown_variable
    value_damage_possible
    xa_transaction
}

/// Every code that has a page.
pub fn codes() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(code, _)| *code)
}

/// The page on a code.
///
/// # Errors
/// There is none; the sentence names the code that was most likely meant.
pub fn page(code: &str) -> Result<&'static str, String> {
    let wanted = code.trim().to_ascii_lowercase().replace('-', "_");
    if let Some((_, page)) = PAGES.iter().find(|(known, _)| *known == wanted) {
        return Ok(page);
    }
    let alike = |known: &str| strsim::normalized_damerau_levenshtein(&wanted, known);
    let closest = codes()
        .map(|known| (alike(known), known))
        .filter(|(share, _)| *share >= LEAST_ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    Err(match closest {
        Some((_, known)) => format!("there is no code {code}; did you mean {known}?"),
        None => format!("there is no code {code}; `cdc-collector explain` lists them all"),
    })
}

/// One line for each code: what it says first.
pub fn list() -> String {
    let width = codes().map(str::len).max().unwrap_or(0);
    let mut text = String::new();
    for (code, page) in PAGES {
        text.push_str(&format!("{code:<width$}  {}\n", gist(page)));
    }
    text
}

/// The first paragraph below the heading.
fn gist(page: &str) -> &str {
    page.lines()
        .skip(1)
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_as_people_type_it() {
        assert!(page("port_in_use").unwrap().starts_with("# port_in_use\n"));
        assert_eq!(page(" Port-In-Use "), page("port_in_use"));
        let unknown = page("prt_in_use").unwrap_err();
        assert!(unknown.ends_with("did you mean port_in_use?"), "{unknown}");
        assert!(page("zzz").unwrap_err().contains("lists them all"));
    }

    #[test]
    fn every_page_has_a_heading_a_gist_and_a_way_out() {
        let mut last = "";
        for (code, page) in PAGES {
            assert!(*code > last, "{code} stands behind {last}");
            last = code;
            assert!(page.starts_with(&format!("# {code}\n\n")), "{code}");
            assert!(page.ends_with('\n'), "{code}");
            let lines = page.lines().count();
            assert!((5..=25).contains(&lines), "{code}: {lines} lines");
            assert!((20..=140).contains(&gist(page).len()), "{code}: {}", gist(page));
            assert!(page.contains("\n**What to do.** "), "{code}");
        }
        assert_eq!(list().lines().count(), PAGES.len());
    }
}

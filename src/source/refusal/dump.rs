//! Error 1236 is a dozen conditions under one number: they differ by text alone.

use std::borrow::Cow;

use crate::retry::Failure;

/// What to do about rows that are no longer on the server.
pub(super) const REMEDY_GAP: &str = "reload the affected tables downstream, and set `ON_POSITION_LOST=earliest`, or latest, to go on behind a \
     record of the gap";

const REMEDY_FOREIGN: &str = "check that DATABASE_HOST is the server of the checkpoint; if it was rebuilt, reload downstream and restart \
     with an explicit START_POSITION and an empty data directory";

/// A length that is too large for the server is most often read from the middle of an event.
const REMEDY_PACKET: &str = "raise max_allowed_packet on the server, up to 1 GiB; if it is that large, the position is not the start of an \
     event: correct START_POSITION";

enum Do {
    Retry,
    Halt(&'static str),
}

/// The first row with a text that the message contains decides. Texts are lower case.
const TEXTS: &[(&str, &str, Do)] = &[
    // Not about the dump at all: the binlog instance of OceanBase uses the same number for variables.
    ("unknown system variable", super::UNKNOWN_VARIABLE, Do::Retry),
    (
        "could not find first log file",
        "position_purged",
        Do::Halt(REMEDY_GAP),
    ),
    (
        "failed to open binlog file",
        "position_purged",
        Do::Halt(REMEDY_GAP),
    ),
    (
        "failed to open first binlog",
        "position_purged",
        Do::Halt(REMEDY_GAP),
    ),
    (
        "may have been cleaned up",
        "position_purged",
        Do::Halt(REMEDY_GAP),
    ),
    (
        "purged required binary logs",
        "position_purged",
        Do::Halt(REMEDY_GAP),
    ),
    ("purged required gtids", "position_purged", Do::Halt(REMEDY_GAP)),
    (
        "could not find gtid state",
        "position_purged",
        Do::Halt(REMEDY_GAP),
    ),
    ("position > file size", "position_ahead", Do::Halt(REMEDY_FOREIGN)),
    ("impossible position", "position_ahead", Do::Halt(REMEDY_FOREIGN)),
    (
        "offset of the current subscription is illegal",
        "position_ahead",
        Do::Halt(REMEDY_FOREIGN),
    ),
    ("has more gtids", "position_foreign", Do::Halt(REMEDY_FOREIGN)),
    (
        "not in the master's binlog",
        "position_foreign",
        Do::Halt(REMEDY_FOREIGN),
    ),
    (
        "position < 4",
        "position_corrupt",
        Do::Halt("correct START_POSITION: a binlog file's first event is at offset 4"),
    ),
    (
        "same server_uuid/server_id",
        "replica_id_conflict",
        Do::Halt("stop the other collector or replica with this id, or set another DATABASE_SERVER_ID"),
    ),
    (
        "insufficient binlog instance resources",
        "subscriber_limit",
        Do::Retry,
    ),
    // Its reason may name a checksum.
    (
        "failed to verify first event",
        "position_corrupt",
        Do::Halt(REMEDY_FOREIGN),
    ),
    (
        "checksum",
        "checksum_refused",
        Do::Halt("report this: the server did not understand that the collector takes checksums"),
    ),
    // Before the corruption texts: some of these messages name a position as well.
    ("max_allowed_packet", "packet_too_large", Do::Halt(REMEDY_PACKET)),
    (
        "log event entry exceeded",
        "packet_too_large",
        Do::Halt(REMEDY_PACKET),
    ),
    ("bogus data", "position_corrupt", Do::Halt(REMEDY_FOREIGN)),
    (
        "truncated in the middle of event",
        "position_corrupt",
        Do::Halt(REMEDY_FOREIGN),
    ),
    ("crc", "position_corrupt", Do::Halt(REMEDY_FOREIGN)),
    ("could not find next log", "binlog_unreadable", Do::Retry),
    ("i/o error reading log event", "binlog_unreadable", Do::Retry),
    (
        "log is not open",
        "binlog_disabled",
        Do::Halt("start the server with log_bin, then restart"),
    ),
    (
        "binary log is not open",
        "binlog_disabled",
        Do::Halt("start the server with log_bin, then restart"),
    ),
    ("no binlog instances", "binlog_service_unreachable", Do::Retry),
    (
        "no master service instance",
        "binlog_service_unreachable",
        Do::Retry,
    ),
    (
        "master instance of tenant is unavailable",
        "binlog_service_unreachable",
        Do::Retry,
    ),
];

/// `text` is the server's text in lower case, `message` the sentence to show.
pub(super) fn of_1236(text: &str, message: String) -> Failure {
    match TEXTS.iter().find(|(part, ..)| text.contains(part)) {
        Some((_, code, Do::Retry)) => Failure::retry(code, message),
        Some((_, code, Do::Halt(remedy))) => Failure::halt(code, message, Cow::Borrowed(*remedy)),
        None => Failure::retry(super::DUMP_REFUSED, message),
    }
}

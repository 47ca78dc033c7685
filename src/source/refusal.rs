//! What a refusal by the database, the network or TLS means, and whether a person is needed. Pure.
//!
//! The source's part of I10: every error has exactly one disposition, and an error that is not in the tables
//! below is retried, never dropped and never fatal. Codes are stable: they are metric labels and the
//! `reason_code` of `/health`. Messages repeat what the server said, on one line and bounded; no server, and
//! nothing here, puts a password into one. This file does not retry and does not log.

mod dump;
mod tls;

use std::io::ErrorKind;
use std::time::Duration;

use mysql_async::{DriverError, Error, IoError, ServerError};

use crate::retry::Failure;
pub use tls::{certified_name, lacks_tls};

/// Code of the refusal of a system variable that the server does not have.
pub const UNKNOWN_VARIABLE: &str = "unknown_variable";

/// Code of the refusal of a statement that the server's grammar lacks.
pub const STATEMENT_UNSUPPORTED: &str = "statement_unsupported";

/// Code of error 1236 with a text that is in no table.
pub const DUMP_REFUSED: &str = "dump_refused";

/// Codes that mean "this account may not", by what it takes to allow it.
pub const MISSING_PRIVILEGES: [&str; 3] = [REPLICATION_PRIVILEGE, SELECT_PRIVILEGE, PRIVILEGE];
const REPLICATION_PRIVILEGE: &str = "replication_privilege_missing";
const SELECT_PRIVILEGE: &str = "select_privilege_missing";
const PRIVILEGE: &str = "privilege_missing";

/// How to give an account what reading the binlog takes.
pub const GRANT_REPLICATION: &str = "run GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the account in DATABASE_USERNAME, then restart";

/// How to give an account what reading column names and types takes.
pub const GRANT_SELECT: &str =
    "run GRANT SELECT ON the captured schema.* TO the account in DATABASE_USERNAME, then restart";

/// MySQL names a plugin at random for accounts that do not exist, so that nobody can find out which do.
const GIVE_PLUGIN: &str = "correct DATABASE_USERNAME (MySQL answers like this for an unknown account, too), or give \
                           the account caching_sha2_password or mysql_native_password";

/// Longest piece of a server's text that is repeated, in characters; servers send at most 512 bytes.
const MAX_TEXT: usize = 512;

/// What the kernel reports, all of it worth another try.
const NETWORK: [(ErrorKind, &str); 10] = [
    (ErrorKind::ConnectionRefused, "connection_refused"),
    (ErrorKind::HostUnreachable, "host_unreachable"),
    (ErrorKind::NetworkUnreachable, "host_unreachable"),
    (ErrorKind::NetworkDown, "host_unreachable"),
    (ErrorKind::TimedOut, "database_timeout"),
    (ErrorKind::ConnectionReset, "connection_closed"),
    (ErrorKind::ConnectionAborted, "connection_closed"),
    (ErrorKind::BrokenPipe, "connection_closed"),
    (ErrorKind::NotConnected, "connection_closed"),
    (ErrorKind::UnexpectedEof, "connection_closed"),
];

/// An error of a connection attempt or of a statement.
pub fn classify(error: &Error) -> Failure {
    match error {
        Error::Server(server) => of_server(server),
        Error::Io(IoError::Io(error)) => of_io(error),
        Error::Io(IoError::Tls(error)) => tls::of_tls(&error.to_string()),
        Error::Driver(error) => of_driver(error),
        Error::Other(error) => Failure::retry("database_error", one_line(&error.to_string())),
        // Built from parts, never from a URL; the text of such an error might repeat one.
        Error::Url(_) => Failure::retry("database_error", "the connection options were refused"),
    }
}

/// An error of the dump: in the answer to its request, or in the stream that follows.
///
/// The account has logged in by then, so "access denied" speaks of privileges and not of the password.
pub fn classify_stream(error: &Error) -> Failure {
    match error {
        Error::Server(server) if matches!(server.code, 1044 | 1045 | 1227) => {
            Failure::halt(REPLICATION_PRIVILEGE, said(server), GRANT_REPLICATION)
        }
        Error::Server(_) | Error::Io(_) | Error::Driver(_) | Error::Other(_) | Error::Url(_) => {
            classify(error)
        }
    }
}

/// Nothing came within `limit`. `what` completes "the database did not …".
pub fn timed_out(what: &str, limit: Duration) -> Failure {
    Failure::retry(
        "database_timeout",
        format!("the database did not {what} within {} s", limit.as_secs_f64()),
    )
}

fn of_server(error: &ServerError) -> Failure {
    let text = error.message.to_ascii_lowercase();
    let message = said(error);
    // A proxy's internal codes do not fit the wire's two bytes: only the text is dependable.
    if text.contains("connect binlog service failed") {
        return Failure::retry("binlog_service_unreachable", message);
    }
    // MariaDB and MySQL number this one differently.
    if text.contains("insecure transport") {
        return Failure::halt(
            "tls_required_by_server",
            message,
            "set `DATABASE_TLS_MODE=required`, or verify_ca or verify_identity",
        );
    }
    let halt = |code, remedy| Failure::halt(code, message.clone(), remedy);
    let retry = |code| Failure::retry(code, message.clone());
    match error.code {
        // MariaDB gives a few of the conditions of 1236 numbers of their own, with the same texts.
        1236 | 4052 => dump::of_1236(&text, message),
        1045 | 1698 => halt(
            "database_access_denied",
            "correct DATABASE_USERNAME and DATABASE_PASSWORD (on OceanBase user@tenant#cluster), and check that \
             the account may connect from this host and with this TLS mode",
        ),
        1044 | 1142 | 1143 => halt(SELECT_PRIVILEGE, GRANT_SELECT),
        1227 | 1370 if text.contains("replication") || text.contains("binlog") => {
            halt(REPLICATION_PRIVILEGE, GRANT_REPLICATION)
        }
        1227 | 1370 => halt(
            PRIVILEGE,
            "grant the privilege named in the message to the account in DATABASE_USERNAME",
        ),
        1049 => halt("schema_missing", "create the schema, or correct DATABASE_SCHEMA"),
        1129 => halt(
            "host_blocked",
            "run FLUSH HOSTS on the server after removing the cause of the failed connections",
        ),
        1130 => halt(
            "host_not_allowed",
            "create the account for this client's address (CREATE USER 'name'@'address')",
        ),
        1251 | 2059 => halt("auth_plugin_unsupported", GIVE_PLUGIN),
        1820 | 1862 => halt(
            "password_expired",
            "set a new password for the account and put it into DATABASE_PASSWORD",
        ),
        3118 | 4151 => halt(
            "account_locked",
            "run ALTER USER … ACCOUNT UNLOCK for the account",
        ),
        1040 | 1203 | 1226 => retry("too_many_connections"),
        1053 | 1927 | 1317 | 1077 | 1079 | 3169 | 4031 => retry("database_shutting_down"),
        1158..=1161 => retry("connection_closed"),
        1193 => retry(UNKNOWN_VARIABLE),
        1047 | 1064 | 1235 | 1305 => retry(STATEMENT_UNSUPPORTED),
        1153 => halt(
            "packet_too_large",
            "raise max_allowed_packet on the server, up to 1 GiB",
        ),
        1205 | 1213 => retry("database_busy"),
        1373 => halt("position_purged", dump::REMEDY_GAP),
        1381 => halt("binlog_disabled", "start the server with log_bin, then restart"),
        _ => retry("database_error"),
    }
}

fn of_driver(error: &DriverError) -> Failure {
    // Some variants carry what was received, which may be row data: only texts known to be fixed are shown.
    match error {
        DriverError::ConnectionClosed | DriverError::PoolDisconnected => {
            Failure::retry("connection_closed", "the database closed the connection")
        }
        DriverError::NoClientSslFlagFromServer => Failure::halt(
            "tls_unavailable",
            "the server offers no TLS",
            "enable TLS on the server, or set `DATABASE_TLS_MODE=preferred`",
        ),
        DriverError::NoKeyFound => Failure::halt(
            "tls_key_unreadable",
            "the file in DATABASE_TLS_KEY holds no private key",
            "point DATABASE_TLS_KEY at a PEM file with a PRIVATE KEY section",
        ),
        DriverError::UnknownAuthPlugin { .. }
        | DriverError::MysqlOldPasswordDisabled
        | DriverError::CleartextPluginDisabled => Failure::halt(
            "auth_plugin_unsupported",
            one_line(&error.to_string()),
            GIVE_PLUGIN,
        ),
        DriverError::PacketTooLarge => Failure::halt(
            "packet_too_large",
            "the server sent a packet of more than 1 GiB",
            "split the transaction that wrote it: no replica can read an event of that size",
        ),
        DriverError::PacketOutOfOrder
        | DriverError::UnexpectedPacket { .. }
        | DriverError::BadCompressedPacketHeader
        | DriverError::CantParseServerVersion { .. }
        | DriverError::InvalidParsecSalt => Failure::retry(
            "protocol_error",
            "the server broke the protocol; is there a database at this port",
        ),
        DriverError::FromValue { .. }
        | DriverError::FromRow { .. }
        | DriverError::Params(_)
        | DriverError::MixedParams
        | DriverError::NestedTransaction
        | DriverError::ReadOnlyTransNotSupported
        | DriverError::StmtParamsMismatch { .. }
        | DriverError::StmtParamsNumberExceedsLimit { .. }
        | DriverError::NamedPipesDisabled
        | DriverError::LocalInfile(_)
        | DriverError::BulkExecute(_) => Failure::retry("database_error", "the database library failed"),
    }
}

fn of_io(error: &std::io::Error) -> Failure {
    let text = one_line(&error.to_string());
    let retry = |code| Failure::retry(code, text.clone());
    if text.contains("peer certificate") || text.contains("received fatal alert") {
        return tls::of_tls(&text);
    }
    // The resolver has no kind of its own.
    if text.contains("failed to lookup address") {
        return retry("host_unknown");
    }
    let kind = error.kind();
    if matches!(
        kind,
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::IsADirectory
    ) {
        return Failure::halt(
            "tls_file_unreadable",
            format!(
                "a file of DATABASE_TLS_CA, DATABASE_TLS_CERT or DATABASE_TLS_KEY cannot be read: {text}"
            ),
            "correct the path, or make the file readable for the collector's user",
        );
    }
    // The library reads what it does not understand.
    if kind == ErrorKind::InvalidData || kind == ErrorKind::InvalidInput {
        return Failure::retry(
            "protocol_error",
            format!("{text}; is there a database at this port"),
        );
    }
    let known = NETWORK.iter().find(|(known, _)| *known == kind);
    retry(known.map_or("network_error", |(_, code)| code))
}

/// The server's own words: number, state and text.
fn said(error: &ServerError) -> String {
    format!(
        "the server answered error {} ({}): {}",
        error.code,
        one_line(&error.state),
        one_line(&error.message)
    )
}

/// Text from outside on one line, without a full stop at its end, of at most [`MAX_TEXT`] characters.
fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .take(MAX_TEXT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;

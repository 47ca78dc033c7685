use super::*;
use crate::retry::Disposition;

fn server(code: u16, message: &str) -> Error {
    Error::Server(ServerError {
        code,
        message: message.to_owned(),
        state: "HY000".to_owned(),
    })
}

fn io(kind: ErrorKind, message: &str) -> Error {
    Error::Io(IoError::Io(std::io::Error::new(kind, message.to_owned())))
}

fn halts(failure: &Failure) -> bool {
    match &failure.disposition {
        Disposition::Halt { remedy } => {
            assert!(
                !remedy.is_empty() && !remedy.ends_with('.'),
                "{failure}: {remedy}"
            );
            true
        }
        Disposition::Retry { .. } => false,
        Disposition::Reroute | Disposition::Poison(_) => panic!("{failure} is not the source's"),
    }
}

/// Real texts of MySQL 9.7, MariaDB 10.11 and the binlog service.
#[test]
fn i10_server_errors_have_one_disposition() {
    for (number, text, code, halt) in [
        (
            1045,
            "Access denied for user 'cdc'@'localhost' (using password: YES)",
            "database_access_denied",
            true,
        ),
        (
            1698,
            "Access denied for user 'root'@'localhost'",
            "database_access_denied",
            true,
        ),
        (
            1044,
            "Access denied for user 'cdc'@'%' to database 'shop'",
            "select_privilege_missing",
            true,
        ),
        (
            1142,
            "SELECT command denied to user 'cdc'@'%' for table 't'",
            "select_privilege_missing",
            true,
        ),
        (
            1227,
            "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s) for this operation",
            "replication_privilege_missing",
            true,
        ),
        (
            1227,
            "Access denied; you need (at least one of) the SUPER, BINLOG MONITOR privilege(s) for this operation",
            "replication_privilege_missing",
            true,
        ),
        (
            1227,
            "Access denied; you need the PROCESS privilege",
            "privilege_missing",
            true,
        ),
        (1049, "Unknown database 'shop'", "schema_missing", true),
        (
            1129,
            "Host '10.0.0.1' is blocked because of many connection errors",
            "host_blocked",
            true,
        ),
        (
            1130,
            "Host '10.0.0.1' is not allowed to connect to this server",
            "host_not_allowed",
            true,
        ),
        (
            1251,
            "Client does not support authentication protocol",
            "auth_plugin_unsupported",
            true,
        ),
        (
            1820,
            "You must reset your password using ALTER USER statement",
            "password_expired",
            true,
        ),
        (
            3118,
            "Access denied for user 'cdc'@'%'. Account is locked.",
            "account_locked",
            true,
        ),
        (
            3159,
            "Connections using insecure transport are prohibited while --require_secure_transport=ON.",
            "tls_required_by_server",
            true,
        ),
        (1381, "You are not using binary logging", "binlog_disabled", true),
        (
            1153,
            "Got a packet bigger than 'max_allowed_packet' bytes",
            "packet_too_large",
            true,
        ),
        (1040, "Too many connections", "too_many_connections", false),
        (
            1203,
            "User cdc already has more than 'max_user_connections'",
            "too_many_connections",
            false,
        ),
        (
            1053,
            "Server shutdown in progress",
            "database_shutting_down",
            false,
        ),
        (1927, "Connection was killed", "database_shutting_down", false),
        (1193, "Unknown system variable 'x'", "unknown_variable", false),
        (
            1064,
            "You have an error in your SQL syntax",
            "statement_unsupported",
            false,
        ),
        (1205, "Lock wait timeout exceeded", "database_busy", false),
        (
            4669,
            "OBProxy connect binlog service failed",
            "binlog_service_unreachable",
            false,
        ),
        (9999, "something new", "database_error", false),
    ] {
        let failure = classify(&server(number, text));
        assert_eq!(
            (failure.reason.code, halts(&failure)),
            (code, halt),
            "{number} {text}"
        );
        assert!(
            failure.reason.message.contains(text.trim_end_matches('.')),
            "{failure}"
        );
    }
}

#[test]
fn i10_error_1236_is_told_apart_by_text() {
    for (text, code, halt) in [
        ("Unknown system variable 'x'", "unknown_variable", false),
        (
            "Could not find first log file name in binary log index file",
            "position_purged",
            true,
        ),
        ("Failed to open binlog file", "position_purged", true),
        (
            "The requested gtid transaction no longer exists and may have been cleaned up",
            "position_purged",
            true,
        ),
        (
            "Cannot replicate because the source purged required binary logs. Replicate the missing transactions",
            "position_purged",
            true,
        ),
        (
            "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old",
            "position_purged",
            true,
        ),
        (
            "Client requested source to start replication from position > file size",
            "position_ahead",
            true,
        ),
        (
            "Client requested master to start replication from impossible position; the first event 'b.1' at 999",
            "position_ahead",
            true,
        ),
        (
            "The offset of the current subscription is illegal",
            "position_ahead",
            true,
        ),
        (
            "Replica has more GTIDs than the source has, using the source's SERVER_UUID",
            "position_foreign",
            true,
        ),
        (
            "Error: connecting slave requested to start from GTID 0-1-9, which is not in the master's binlog",
            "position_foreign",
            true,
        ),
        (
            "Client requested source to start replication from position < 4",
            "position_corrupt",
            true,
        ),
        ("Failed to verify first event", "position_corrupt", true),
        (
            "Failed to verify first event, checksum mismatch at 1234",
            "position_corrupt",
            true,
        ),
        ("event CRC32 is wrong", "position_corrupt", true),
        ("Failed to open first binlog", "position_purged", true),
        (
            "tenant has no binlog instances yet",
            "binlog_service_unreachable",
            false,
        ),
        ("no master service instance", "binlog_service_unreachable", false),
        (
            "master instance of tenant is unavailable",
            "binlog_service_unreachable",
            false,
        ),
        (
            "bogus data in log event; the first event 'b.1' at 5",
            "position_corrupt",
            true,
        ),
        (
            "binlog truncated in the middle of event; consider out of disk space",
            "position_corrupt",
            true,
        ),
        (
            "A replica with the same server_uuid/server_id as this replica has connected to the source",
            "replica_id_conflict",
            true,
        ),
        (
            "Insufficient binlog instance resources",
            "subscriber_limit",
            false,
        ),
        (
            "Slave can not handle replication events with the checksum that master is configured to log",
            "checksum_refused",
            true,
        ),
        (
            "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on master",
            "packet_too_large",
            true,
        ),
        (
            "could not find next log; the first event 'b.1'",
            "binlog_unreadable",
            false,
        ),
        ("I/O error reading log event", "binlog_unreadable", false),
        ("Binary log is not open", "binlog_disabled", true),
        ("a sentence that nobody has seen", "dump_refused", false),
    ] {
        let failure = classify_stream(&server(1236, text));
        assert_eq!((failure.reason.code, halts(&failure)), (code, halt), "{text}");
    }
    let mariadb = server(
        4052,
        "A slave with the same server_uuid/server_id is already connected",
    );
    assert_eq!(classify_stream(&mariadb).reason.code, "replica_id_conflict");
}

/// Whoever asks for the dump has logged in: the password cannot be what is wrong.
#[test]
fn a_refused_dump_names_the_missing_grant() {
    let denied = server(1045, "Access denied for user 'cdc'@'%' (using password: YES)");
    let failure = classify_stream(&denied);
    assert_eq!(failure.reason.code, "replication_privilege_missing");
    assert!(
        matches!(&failure.disposition, Disposition::Halt { remedy } if remedy.contains("GRANT REPLICATION SLAVE"))
    );
    assert_eq!(classify(&denied).reason.code, "database_access_denied");
}

#[test]
fn i10_network_failures_are_retried() {
    for (error, code) in [
        (
            io(ErrorKind::ConnectionRefused, "Connection refused"),
            "connection_refused",
        ),
        (
            io(ErrorKind::ConnectionReset, "Connection reset by peer"),
            "connection_closed",
        ),
        (io(ErrorKind::UnexpectedEof, "early eof"), "connection_closed"),
        (io(ErrorKind::BrokenPipe, "Broken pipe"), "connection_closed"),
        (
            io(ErrorKind::HostUnreachable, "No route to host"),
            "host_unreachable",
        ),
        (
            io(ErrorKind::TimedOut, "Connection timed out"),
            "database_timeout",
        ),
        (
            io(
                ErrorKind::Other,
                "failed to lookup address information: Name or service not known",
            ),
            "host_unknown",
        ),
        (io(ErrorKind::Other, "odd"), "network_error"),
        (Error::Driver(DriverError::ConnectionClosed), "connection_closed"),
        (Error::Driver(DriverError::PacketOutOfOrder), "protocol_error"),
        (Error::Other("odd".into()), "database_error"),
    ] {
        let failure = classify(&error);
        assert_eq!(failure.reason.code, code, "{error}");
        assert!(!halts(&failure), "{error}");
    }
    let failure = timed_out("answer", Duration::from_millis(2500));
    assert_eq!(failure.reason.message, "the database did not answer within 2.5 s");
    assert!(!halts(&failure));
}

#[test]
fn tls_failures_say_which_setting_to_change() {
    for (text, code, halt) in [
        (
            "invalid peer certificate: UnknownIssuer",
            "tls_unknown_authority",
            true,
        ),
        (
            "invalid peer certificate: certificate not valid for name \"10.0.0.1\"; certificate is only valid for \
             DnsName(\"db.example\") or DnsName(\"localhost\")",
            "tls_name_mismatch",
            true,
        ),
        (
            "invalid peer certificate: certificate not valid for name \"db\"; certificate is not valid for any names \
             (according to its subjectAltName extension)",
            "tls_name_mismatch",
            true,
        ),
        (
            "invalid peer certificate: certificate expired: verification time 9 (UNIX), but certificate is not valid \
             after 8 (1 seconds ago)",
            "tls_certificate_expired",
            true,
        ),
        (
            "invalid peer certificate: CaUsedAsEndEntity",
            "tls_certificate_invalid",
            true,
        ),
        (
            "invalid peer certificate: BadEncoding",
            "tls_file_unreadable",
            true,
        ),
        (
            "received fatal alert: HandshakeFailure",
            "tls_refused_by_server",
            true,
        ),
    ] {
        let failure = classify(&io(ErrorKind::InvalidData, text));
        assert_eq!((failure.reason.code, halts(&failure)), (code, halt), "{text}");
    }
    let missing = classify(&io(ErrorKind::NotFound, "No such file or directory (os error 2)"));
    assert_eq!(missing.reason.code, "tls_file_unreadable");
    let none = Error::Driver(DriverError::NoClientSslFlagFromServer);
    assert!(lacks_tls(&none) && classify(&none).reason.code == "tls_unavailable");
}

#[test]
fn a_certificates_own_name_is_found() {
    let mismatch = |names: &str| {
        let text = format!(
            "invalid peer certificate: certificate not valid for name \"10.0.0.1\"; certificate {names}"
        );
        certified_name(&io(ErrorKind::InvalidData, &text))
    };
    let found = mismatch("is only valid for DnsName(\"db.example\") or IpAddress(10.0.0.2)");
    assert_eq!(found.as_deref(), Some("db.example"));
    assert_eq!(
        mismatch("is only valid for DnsName(\"*.db.example\")").as_deref(),
        Some("any.db.example")
    );
    assert_eq!(
        mismatch("is only valid for IpAddress(10.0.0.2)").as_deref(),
        Some("10.0.0.2")
    );
    assert_eq!(
        mismatch("is not valid for any names (according to its subjectAltName extension)"),
        None
    );
    // Any other fault of the certificate must not lead to a second attempt under another name.
    for text in [
        "invalid peer certificate: UnknownIssuer",
        "only valid for DnsName(\"db.example\")",
    ] {
        assert_eq!(certified_name(&io(ErrorKind::InvalidData, text)), None);
    }
}

#[test]
fn text_from_outside_is_one_bounded_line() {
    let failure = classify(&server(9999, &format!("two\nlines\u{7}{}", "x".repeat(10_000))));
    assert!(!failure.reason.message.chars().any(char::is_control));
    assert!(failure.reason.message.len() < 700);
}

/// Received bytes may be a row: they must not show.
#[test]
fn unexpected_packets_are_not_repeated() {
    let packet = Error::Driver(DriverError::UnexpectedPacket {
        payload: b"secret row".to_vec(),
    });
    assert!(!classify(&packet).to_string().contains("secret"));
}

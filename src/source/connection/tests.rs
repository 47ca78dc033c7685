use super::*;
use crate::config::Secret;
use crate::config::filter::TableFilter;
use crate::retry::Disposition;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn config(port: u16, mode: TlsMode) -> DatabaseConfig {
    DatabaseConfig {
        host: "127.0.0.1".to_owned(),
        port,
        username: "root@tenant#cluster".to_owned(),
        password: Secret::new("hunter2-secret"),
        observer: None,
        tables: TableFilter::parse("shop", "*").unwrap(),
        tls: TlsConfig {
            mode,
            ca: None,
            client: None,
        },
        server_id: 0xA1,
        heartbeat: Duration::from_secs(10),
        connect_timeout: Duration::from_millis(200),
        types: crate::config::TypePolicy::Halt,
        schemas: crate::config::SchemaPolicy::Halt,
        start: crate::config::StartPosition::Latest,
        position_lost: crate::config::PositionLost::Halt,
        schema_check: Duration::ZERO,
    }
}

#[test]
fn gtid_ranges_get_an_exclusive_end() {
    let set: GtidSet = format!("{UUID}:1-5:8,4e11fa47-71ca-11e1-9e33-c80aa9429562:7-9")
        .parse()
        .unwrap();
    let sids = sids(&set);
    let ranges: Vec<Vec<(u64, u64)>> = sids
        .iter()
        .map(|sid| sid.intervals().iter().map(|i| (i.start(), i.end())).collect())
        .collect();
    assert_eq!(ranges, [vec![(1, 6), (8, 9)], vec![(7, 10)]]);
    assert!(sids.iter().all(|sid| sid.tag().is_none()));
    assert!(self::sids(&GtidSet::default()).is_empty());
}

#[test]
fn offsets_beyond_the_protocol_are_refused_not_cut() {
    let at = |pos| FilePosition {
        file: "binlog.000007".to_owned(),
        pos,
    };
    assert_eq!(dump_offset(&at(4)), Ok(4));
    // The magic number is no event.
    assert_eq!(dump_offset(&at(0)), Ok(4));
    assert_eq!(dump_offset(&at(u64::from(u32::MAX))), Ok(u32::MAX));
    let failure = dump_offset(&at(u64::from(u32::MAX) + 1)).unwrap_err();
    assert_eq!(failure.reason.code, "position_beyond_protocol");
    assert!(matches!(failure.disposition, Disposition::Halt { .. }));
}

#[test]
fn each_server_is_told_what_it_understands() {
    let text = |flavour| preparations(flavour, 0xA1, Duration::from_secs(10)).join("; ");
    let mysql = text(Flavour::MySql);
    assert!(mysql.contains("@master_heartbeat_period = 10000000000"));
    assert!(mysql.contains("@source_heartbeat_period = 10000000000"));
    assert!(mysql.contains("@replica_uuid = 'cdc00000-0000-4000-8000-0000000000a1'"));
    assert!(text(Flavour::MariaDb).contains("@mariadb_slave_capability = 4"));
    let oceanbase = text(Flavour::OceanBase);
    assert!(!oceanbase.contains("source_") && !oceanbase.contains("mariadb"));
    for statement in preparations(Flavour::OceanBase, 1, Duration::from_secs(10)) {
        assert_eq!(
            statement.matches('=').count(),
            1,
            "one variable a statement: {statement}"
        );
    }
}

#[test]
fn every_column_type_reads_as_text() {
    let values = [
        (Value::NULL, None),
        (Value::Bytes(b"ON".to_vec()), Some("ON")),
        (Value::Int(-1), Some("-1")),
        (Value::UInt(u64::MAX), Some("18446744073709551615")),
        (Value::Double(1.5), Some("1.5")),
        (Value::Date(2026, 1, 2, 3, 4, 5, 0), Some("2026-01-02 03:04:05")),
    ];
    for (value, text) in values {
        assert_eq!(text_of(&value).as_deref(), text);
    }
}

#[tokio::test]
async fn a_silent_server_is_left_in_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(listener.local_addr().unwrap().port(), TlsMode::Preferred);
    let failure = connect(&config).await.unwrap_err();
    assert_eq!(failure.reason.code, "database_timeout");
    assert!(!format!("{failure:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_closed_port_is_worth_another_try() {
    let port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let failure = connect(&config(port, TlsMode::Disabled)).await.unwrap_err();
    assert_eq!(failure.reason.code, "connection_refused");
    assert!(
        failure
            .reason
            .message
            .starts_with(&format!("database 127.0.0.1:{port}: "))
    );
}

#[test]
fn only_a_missing_tls_or_a_wrong_name_is_tried_again() {
    let tls = |mode| TlsConfig {
        mode,
        ca: None,
        client: None,
    };
    let none = || Unconnected::Library(mysql_async::DriverError::NoClientSslFlagFromServer.into());
    let name = || {
        let text = "certificate not valid for name \"a\"; certificate is only valid for DnsName(\"b\")";
        Unconnected::Library(std::io::Error::new(std::io::ErrorKind::InvalidData, text).into())
    };
    assert!(matches!(
        second_attempt(&tls(TlsMode::Preferred), &none()),
        Some(None)
    ));
    for mode in [TlsMode::Required, TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        assert!(
            second_attempt(&tls(mode), &none()).is_none(),
            "{mode:?} never goes on in plain text"
        );
    }
    let again = second_attempt(&tls(TlsMode::VerifyCa), &name())
        .flatten()
        .unwrap();
    assert_eq!(again.tls_hostname_override(), Some("b"));
    assert!(!again.accept_invalid_certs());
    assert!(second_attempt(&tls(TlsMode::VerifyIdentity), &name()).is_none());
    assert!(second_attempt(&tls(TlsMode::VerifyCa), &Unconnected::TimedOut).is_none());
}

use super::*;

#[test]
fn endpoints_are_origins() {
    for (given, kept) in [
        ("https://dh.example.com", "https://dh.example.com"),
        ("HTTP://dh.example.com:8080/", "http://dh.example.com:8080"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
    ] {
        assert_eq!(endpoint(given), Ok(kept.to_owned()));
    }
    for given in [
        "dh.example.com",
        "ftp://dh",
        "https://",
        "https://:80",
        "https://a/b",
        "https://a?x=1",
        "https://u:p@a",
        "https://a:0",
        "https://a:99999",
        "https://a b",
        "https://[zz]",
    ] {
        assert!(endpoint(given).is_err(), "{given}");
    }
}

#[test]
fn start_positions_in_all_their_forms() {
    let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    assert_eq!(start_position("EARLIEST"), Ok(StartPosition::Earliest));
    assert_eq!(
        start_position("file:mysql-bin.000012:4"),
        Ok(StartPosition::File(FilePosition {
            file: String::from("mysql-bin.000012"),
            pos: 4
        }))
    );
    assert_eq!(
        start_position("timestamp:1970-01-01T08:00:01.5+08:00"),
        Ok(StartPosition::Timestamp(1_500_000))
    );
    assert!(matches!(
        start_position(&format!("gtid:{uuid}:1-5")),
        Ok(StartPosition::Gtid(_))
    ));
    for text in [
        "latest:1",
        "gtid:",
        "gtid:x",
        "file:a",
        "file:a:3",
        "file::9",
        "file:a:b",
        "timestamp:",
        "now",
        "timestamp:1969-01-01T00:00:00Z",
        "timestamp:2026-01-31",
    ] {
        assert!(start_position(text).is_err(), "{text}");
    }
}

#[test]
fn hosts_stand_alone() {
    for (given, kept) in [
        ("db.example.com", "db.example.com"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
    ] {
        assert_eq!(host(given), Ok(kept.to_owned()));
    }
    for given in ["db:3306", "mysql://db", "user@db", "a b"] {
        assert!(host(given).is_err(), "{given}");
    }
}

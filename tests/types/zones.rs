//! Time zones change nothing: not the server's, not a session's, not the collector's.

use harness::servers::{Kind, Options, Server};
use mysql_async::prelude::Queryable;
use serde_json::Value;

use super::arrivals::{Relay, selected};
use super::cases::Form;

/// A zone with summer time, as both servers keep zones: Central European Time in 2024.
const DEFINE_ZONE: [&str; 4] = [
    "INSERT INTO mysql.time_zone VALUES (4711, 'N')",
    "INSERT INTO mysql.time_zone_name VALUES ('Test/Summer', 4711)",
    "INSERT INTO mysql.time_zone_transition_type VALUES (4711, 0, 3600, 0, 'CET'), (4711, 1, 7200, 1, 'CEST')",
    // 2024-03-31 01:00 UTC, 2024-10-27 01:00 UTC.
    "INSERT INTO mysql.time_zone_transition VALUES (4711, 0, 0), (4711, 1711846800, 1), (4711, 1729990800, 0)",
];

/// Zone of the writing session, local time, the instant that it is.
const WRITTEN: [(&str, &str, &str); 12] = [
    ("+00:00", "2024-07-01 12:00:00.5", "2024-07-01 12:00:00.500000Z"),
    ("+09:00", "2024-07-01 12:00:00.5", "2024-07-01 03:00:00.500000Z"),
    (
        "-08:00",
        "2024-07-01 12:00:00.000001",
        "2024-07-01 20:00:00.000001Z",
    ),
    ("SYSTEM", "2024-01-02 00:00:00", "2024-01-01 18:30:00.000000Z"),
    // Around the hour that does not exist, around the one that comes twice, and the instants of both.
    (
        "Test/Summer",
        "2024-03-31 01:59:59",
        "2024-03-31 00:59:59.000000Z",
    ),
    (
        "Test/Summer",
        "2024-03-31 03:00:00",
        "2024-03-31 01:00:00.000000Z",
    ),
    (
        "Test/Summer",
        "2024-10-27 01:59:59",
        "2024-10-26 23:59:59.000000Z",
    ),
    (
        "Test/Summer",
        "2024-10-27 03:00:00",
        "2024-10-27 02:00:00.000000Z",
    ),
    ("+00:00", "2024-10-27 00:30:00", "2024-10-27 00:30:00.000000Z"),
    ("+00:00", "2024-10-27 01:30:00", "2024-10-27 01:30:00.000000Z"),
    ("+00:00", "2038-01-19 03:14:07", "2038-01-19 03:14:07.000000Z"),
    ("-11:00", "1969-12-31 13:00:01", "1970-01-01 00:00:01.000000Z"),
];

async fn zones_change_nothing(kind: Kind) {
    // The server in India, the collector in New York, sessions everywhere.
    let options = Options::default().arg("--default-time-zone=+05:30");
    let server = Server::start(kind, options).await.expect("a server");
    let mut relay = Relay::start(server, |settings| settings.env("TZ", "America/New_York")).await;
    let mut conn = relay.connect().await;
    for statement in DEFINE_ZONE {
        conn.query_drop(statement).await.expect(statement);
    }
    // MySQL reads its zones at the first use of a name, MariaDB as well.
    conn.query_drop("CREATE TABLE test.zones (id INT PRIMARY KEY, ts TIMESTAMP(6) NULL, dt DATETIME(6), d DATE, t TIME(6))")
        .await
        .expect("a table");
    for (id, (zone, local, _)) in WRITTEN.iter().enumerate() {
        let zone = if *zone == "SYSTEM" {
            "@@GLOBAL.time_zone".to_owned()
        } else {
            format!("'{zone}'")
        };
        conn.query_drop(format!("SET time_zone = {zone}"))
            .await
            .expect("a zone");
        let insert =
            format!("INSERT INTO test.zones VALUES ({id}, '{local}', '{local}', '{local}', TIME('{local}'))");
        conn.query_drop(&insert).await.expect(&insert);
    }
    // Local times that do not exist or exist twice: the server decides which instant it is.
    conn.query_drop("SET time_zone = 'Test/Summer'")
        .await
        .expect("a zone");
    for (id, local) in [(100, "2024-03-31 02:30:00"), (101, "2024-10-27 02:30:00")] {
        conn.query_drop(format!(
            "INSERT IGNORE INTO test.zones VALUES ({id}, '{local}', '{local}', NULL, NULL)"
        ))
        .await
        .expect("a row");
    }
    // Written in one zone, updated in another.
    conn.query_drop("SET time_zone = '-03:30'").await.expect("a zone");
    conn.query_drop("UPDATE test.zones SET id = id + 1000")
        .await
        .expect("an update");
    conn.query_drop("SET time_zone = '+00:00'").await.expect("a zone");
    let forms = [
        ("ts", Form::Instant),
        ("dt", Form::Text),
        ("d", Form::Text),
        ("t", Form::Text),
    ];
    let columns = forms.map(|(name, form)| (name.to_owned(), form));
    let rows = selected(&mut conn, "test.zones", &columns).await;
    relay.caught_up().await;
    let news = relay.news();
    assert_eq!(news.len(), 2 * (WRITTEN.len() + 2), "inserts and updates");
    for envelope in news {
        let image = &envelope["after"];
        let id = image["id"].as_u64().expect("an id");
        for ((name, form), expected) in columns.iter().zip(&rows[&(id % 1000 + 1000)]) {
            let right = match expected {
                Some(expected) => form.matches(expected, &image[name]),
                None => image[name].is_null(),
            };
            assert!(
                right,
                "{kind}, row {id}: {name} is {expected:?}, {} arrived",
                image[name]
            );
        }
        if let Some((zone, local, instant)) = usize::try_from(id % 1000).ok().and_then(|id| WRITTEN.get(id)) {
            assert_eq!(image["ts"], *instant, "{kind}: {local} in {zone}");
            let text = image["dt"].as_str().expect("text");
            assert!(text.starts_with(local), "{kind}: {local} became {text}");
        }
        assert!(matches!(envelope["source"]["ts_ms"], Value::Number(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_change_nothing_on_mysql() {
    zones_change_nothing(Kind::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zones_change_nothing_on_mariadb() {
    zones_change_nothing(Kind::MariaDb).await;
}

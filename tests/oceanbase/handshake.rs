//! Points 1 to 3: who answers, and what.

use harness::collector::Collector;
use harness::oceanbase::{Profile, Status, Tenant};
use harness::servers::RELAY;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder, Row};
use serde_json::Value;

use super::{READY, STOPPED, Service, source_says};

/// A plain connection that asks for nothing on its own.
async fn connect(door: &harness::oceanbase::Door) -> Conn {
    let opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(door.address().port())
        .user(Some(RELAY.user))
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 30))
        .wait_timeout(Some(60));
    Conn::new(opts).await.expect("a login")
}

fn code(error: Error) -> u16 {
    match error {
        Error::Server(error) => error.code,
        Error::Driver(_) | Error::Io(_) | Error::Other(_) | Error::Url(_) => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn point_1_rows_come_through_the_proxy_without_a_lock_to_rely_on() {
    let service = Service::scripted(1, |script| script.enable_auth = true).await;
    let collector = service.start().await;
    service.tenant.load(300, 30);
    let asked = service.tenant.asked();
    assert!(
        asked
            .iter()
            .any(|sql| sql.contains("information_schema.STATISTICS")),
        "{asked:?}"
    );
    // OceanBase keeps such a lock when its holder is gone: it must not be asked for.
    assert!(!asked.iter().any(|sql| sql.contains("LOCK")), "{asked:?}");
    service.ends_exact(collector).await;

    let door = service.tenant.open(Profile::Proxy).await.expect("a port");
    let mut first = connect(&door).await;
    let held: Option<u8> = first
        .query_first("SELECT GET_LOCK('l', 0)")
        .await
        .expect("a lock");
    drop(first);
    let mut second = connect(&door).await;
    let given: Option<u8> = second
        .query_first("SELECT GET_LOCK('l', 0)")
        .await
        .expect("an answer");
    assert_eq!((held, given), (Some(1), Some(0)));
}

/// A collector that is sent to something that is no proxy says so, and reads nothing.
async fn refused(profile: Profile, code: &str) {
    let mut service = Service::new(1).await;
    let door = service.tenant.open(profile).await.expect("a port");
    service.settings = service
        .settings
        .env("DATABASE_PORT", door.address().port().to_string());
    let mut collector = Collector::start(&service.settings).expect("a start");
    let lost = service.tenant.log().totals().changes;
    service.halts(&mut collector, code, lost).await;
    assert_eq!(service.tenant.dumps_requested(), 0);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn point_1_an_instance_and_an_observer_are_not_taken_for_the_proxy() {
    tokio::join!(
        refused(Profile::Instance(0), "binlog_instance_direct"),
        refused(Profile::Observer, "no_binlog_service"),
    );
}

/// Where there is no proxy, one address has the binlog and another the tables.
#[tokio::test(flavor = "multi_thread")]
async fn point_1_rows_come_from_an_instance_beside_an_observer() {
    let mut service = Service::scripted(1, |script| script.enable_auth = true).await;
    let instance = service.tenant.open(Profile::Instance(0)).await.expect("a port");
    let observer = service.tenant.open(Profile::Observer).await.expect("a port");
    service.settings = service
        .settings
        .env("DATABASE_PORT", instance.address().port().to_string())
        .env("DATABASE_OBSERVER_HOST", "127.0.0.1")
        .env("DATABASE_OBSERVER_PORT", observer.address().port().to_string());
    let mut collector = service.start().await;
    service.tenant.load(100, 30);
    service.exact(&mut collector).await;
    service.tenant.end_dumps();
    service.tenant.restart();
    service.tenant.load(100, 30);
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_2_the_instance_answers_as_the_service_does() {
    let tenant = Tenant::new(2);
    tenant.load(3, 5);
    let door = tenant.open(Profile::Instance(0)).await.expect("a port");
    let mut conn = connect(&door).await;
    assert_eq!(conn.server_version(), (5, 7, 35));
    assert_eq!(conn.id(), 0);
    // Unknown statements are answered with OK, and a new name of a known one is unknown.
    for sql in ["SHOW BINARY LOG STATUS", "SHOW GRANTS", "whatever"] {
        let result = conn.query_iter(sql).await.expect("an answer");
        assert!(result.columns_ref().is_empty(), "{sql}");
        result.drop_result().await.expect("no rows");
    }
    let unknown = conn.query_drop("SELECT @@nothing").await.expect_err("a refusal");
    assert_eq!(code(unknown), 1236);
    // Of a list only the first item counts.
    let list = "SELECT @@max_allowed_packet,@@wait_timeout,@@socket";
    let row: Row = conn.query_first(list).await.expect("an answer").expect("a row");
    assert_eq!((row.len(), row.get(0)), (1, Some("4194304".to_owned())));
    let uuid: Option<String> = conn.query_first("SELECT @@server_uuid").await.expect("a uuid");
    assert_eq!(uuid, Some(tenant.uuid()));
    // Whatever is no query and no dump ends the connection.
    conn.ping().await.expect_err("a closed socket");
}

#[tokio::test(flavor = "multi_thread")]
async fn point_2_a_status_without_a_place_is_told_apart() {
    let by_status = |status, code: &'static str| async move {
        let service = Service::scripted(2, |script| script.status = status).await;
        let mut collector = Collector::start(&service.settings).expect("a start");
        let lost = service.tenant.log().totals().changes;
        service.halts(&mut collector, code, lost).await;
        assert!(collector.stop(STOPPED).await.expect("a stop").success());
    };
    tokio::join!(
        by_status(Status::Syntax, "no_binlog_service"),
        by_status(Status::NoResult, "no_binlog_service"),
    );
}

/// An instance that was just made has no file: there is nothing to start at, and no one to call.
#[tokio::test(flavor = "multi_thread")]
async fn point_2_an_instance_without_a_file_is_waited_for() {
    let service = Service::scripted(2, |script| script.status = Status::Empty).await;
    let check = service
        .settings
        .clone()
        .arg("check")
        .arg("--json")
        .arg("--measure=0");
    let (_, report, _) = check.run_to_end(READY).await.expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let found = findings
        .iter()
        .find(|finding| finding["code"] == "binlog_not_started")
        .unwrap_or_else(|| panic!("{report:#}"));
    let remedy = found["remedy"].as_str().expect("a remedy");
    assert!(
        found["severity"] == "fatal" && remedy.starts_with("wait"),
        "{found}"
    );

    let mut collector = Collector::start(&service.settings).expect("a start");
    source_says(&mut collector, "binlog_not_started").await;
    assert_eq!(service.tenant.dumps_requested(), 0);
    service.tenant.script(|script| script.status = Status::Row);
    collector.wait_ready(READY).await.expect("ready");
    service.tenant.load(50, 20);
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_2_a_service_that_is_away_is_waited_for() {
    let service = Service::scripted(2, |script| script.status = Status::NoService).await;
    let mut collector = Collector::start(&service.settings).expect("a start");
    source_says(&mut collector, "binlog_service_unreachable").await;
    service.tenant.script(|script| script.status = Status::Row);
    collector.wait_ready(READY).await.expect("ready");
    service.tenant.load(50, 20);
    service.exact(&mut collector).await;

    // And again, in the middle of the work.
    service.tenant.script(|script| script.status = Status::NoService);
    service.tenant.end_dumps();
    service.tenant.load(50, 20);
    source_says(&mut collector, "binlog_service_unreachable").await;
    service.tenant.script(|script| script.status = Status::Row);
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_3_no_list_of_variables_is_asked_for() {
    let service = Service::new(3).await;
    let collector = service.start().await;
    service.tenant.load(20, 20);
    service.ends_exact(collector).await;
    let asked = service.tenant.asked();
    let lists = asked.iter().filter(|sql| sql.matches("@@").count() > 1);
    assert_eq!(lists.count(), 0, "{asked:?}");
    assert!(
        asked.iter().any(|sql| sql == "SELECT @@gtid_executed"),
        "{asked:?}"
    );
}

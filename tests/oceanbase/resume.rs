//! Points 12 to 14 and 18: where a dump starts, where it ends, and how it is refused.

use std::time::Duration;

use futures_util::StreamExt as _;
use harness::collector::Collector;
use harness::oceanbase::{Generation, Profile, Refusal, Tenant};
use mysql_async::{BinlogStreamRequest, Conn, OptsBuilder};

use super::{READY, STOPPED, Service, source_says};

/// Event type.
const HEARTBEAT: u8 = 27;

/// An empty set is not refused where files are gone: the stream begins with the oldest, without a word.
#[tokio::test(flavor = "multi_thread")]
async fn point_12_an_empty_set_does_not_pass_over_what_was_purged() {
    let service = Service::scripted(12, |script| {
        script.hides_purged = true;
        script.holds = true;
    })
    .await;
    let mut collector = service.start().await;
    collector
        .wait_health("a saved start", READY, |health| health["position"]["gtid"] == "")
        .await
        .expect("a saved start");
    collector.kill9().expect("a kill");
    let missing = service.tenant.log().totals().changes;
    service.tenant.rotate();
    service.tenant.purge(1);
    service.tenant.script(|script| script.holds = false);
    service.tenant.load(10, 10);
    let all = service.tenant.log().totals().changes;
    let mut collector = Collector::start(&service.settings).expect("a restart");
    let health = service.halts(&mut collector, "position_purged", all).await;
    let summary = health["summary"].as_str().expect("a sentence");
    let gone = format!("{}:1-5", service.tenant.uuid());
    assert!(summary.contains(&gone), "{health}");
    assert!(missing > 0 && service.verdict().records == 0);
}

/// Stops the collector, makes changes, and has their files purged. Returns how many changes are not there any more.
async fn purged(service: &Service, mut collector: Collector) -> u64 {
    service.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    let before = service.tenant.log().totals().changes;
    service.tenant.load(20, 20);
    service.tenant.rotate();
    service.tenant.purge(1);
    service.tenant.log().totals().changes - before
}

#[tokio::test(flavor = "multi_thread")]
async fn point_12_a_set_behind_the_oldest_file_is_a_gap() {
    let with = |hides: bool| async move {
        let service = Service::scripted(12, |script| script.hides_purged = hides).await;
        let collector = service.start().await;
        let missing = purged(&service, collector).await;
        let mut collector = Collector::start(&service.settings).expect("a restart");
        service.halts(&mut collector, "position_purged", missing).await;
    };
    // Whether the service says what it purged, or only refuses the dump.
    tokio::join!(with(false), with(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn point_12_a_set_ahead_of_the_service_waits_for_it() {
    let service = Service::new(12).await;
    let last = service.tenant.last();
    let ahead = format!("gtid:{}:1-{}", service.tenant.uuid(), last + 50);
    let service = service.set("START_POSITION", &ahead);
    let mut collector = Collector::start(&service.settings).expect("a start");
    source_says(&mut collector, "server_behind_position").await;
    assert_eq!(service.tenant.dumps_requested(), 0);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn point_12_a_set_of_another_tenant_is_not_taken() {
    let service = Service::new(12).await;
    let stranger = "gtid:3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5";
    let service = service.set("START_POSITION", stranger);
    let mut collector = Collector::start(&service.settings).expect("a start");
    source_says(&mut collector, "server_behind_position").await;
    assert_eq!(service.tenant.dumps_requested(), 0);
    assert!(collector.stop(STOPPED).await.expect("a stop").success());

    // A tenant that was made anew under the same address.
    let first = Service::new(1).await;
    let mut collector = first.start().await;
    first.exact(&mut collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
    let second = Tenant::new(2);
    second.load(5, 5);
    let door = second.open(Profile::Proxy).await.expect("a port");
    let settings = first
        .settings
        .clone()
        .env("DATABASE_PORT", door.address().port().to_string());
    let mut collector = Collector::start(&settings).expect("a restart");
    first.halts(&mut collector, "gtid_source_changed", 0).await;
    assert_eq!(second.dumps_requested(), 0);
}

/// The service forgets between two batches that it leaves a transaction out: its tail comes without a beginning.
#[tokio::test(flavor = "multi_thread")]
async fn point_12_the_tail_of_a_transaction_that_was_left_out_is_discarded() {
    let service = Service::scripted(12, |script| {
        script.leak = true;
        script.batch = 9;
    })
    .await;
    let mut collector = service.start().await;
    for _ in 0..6 {
        service.tenant.load(20, 30);
        service.exact(&mut collector).await;
        service.tenant.end_dumps();
    }
    service.exact(&mut collector).await;
    assert!(service.tenant.leaked() > 50, "{}", service.tenant.leaked());
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_12_transactions_that_were_never_sent_are_missed() {
    let service = Service::new(12).await;
    let mut collector = service.start().await;
    service.tenant.load(10, 10);
    service.exact(&mut collector).await;
    let last = service.tenant.last();
    service.tenant.script(|script| script.loses = vec![last + 4]);
    let mut missing = 0;
    // What is in front of the gap is delivered all the same.
    let around_the_gap = |tenant: &Tenant| {
        tenant.load(3, 10);
        let there = tenant.log().totals().changes;
        tenant.load(10, 10);
        missing = tenant.log().totals().changes - there;
    };
    service.in_one_go(around_the_gap).await;
    service.halts(&mut collector, "gtid_gap", missing).await;
}

/// Without sets: every transaction ends a file, so that the end of one is where any restart would be.
#[tokio::test(flavor = "multi_thread")]
async fn point_13_the_end_of_a_file_is_never_where_a_dump_is_asked_for() {
    let service = Service::scripted(13, |script| {
        script.generation = Generation::V2;
        script.max_file = 10;
    })
    .await;
    let mut collector = service.start().await;
    for round in 0..8 {
        // Every other time the stream breaks off behind the file's last event, before it names the next.
        service
            .tenant
            .script(|script| script.ends_with_file = round % 2 == 0);
        service.tenant.load(5, 10);
        service.exact(&mut collector).await;
        service.tenant.end_dumps();
        service.tenant.load(5, 10);
        collector.kill9().expect("a kill");
        collector = Collector::start(&service.settings).expect("a restart");
    }
    service.ends_exact(collector).await;
}

/// Asked for the end of a file that is not the newest, the service sends heartbeats without end and without a pause.
#[tokio::test(flavor = "multi_thread")]
async fn point_13_the_end_of_a_file_is_a_flood_of_heartbeats() {
    let service = Service::new(13).await;
    service.tenant.rotate();
    service.tenant.load(5, 5);
    let door = service.tenant.open(Profile::Proxy).await.expect("a port");
    let (file, end) = service.tenant.end_of_oldest();
    let request = BinlogStreamRequest::new(7)
        .with_filename(file.as_bytes())
        .with_pos(end);
    let conn = plain(&door).await;
    let mut stream = conn.get_binlog_stream(request).await.expect("a dump");
    let mut beats = 0;
    let read = async {
        while beats < 1_000 {
            let event = stream.next().await.expect("an event").expect("an event");
            let header = event.header();
            // What comes first is the made-up ROTATE and the format.
            if header.event_type_raw() == HEARTBEAT {
                beats += 1;
                assert_eq!(u64::from(header.log_pos()), end);
            }
        }
    };
    tokio::time::timeout(READY, read).await.expect("a flood");
}

/// Without sets, a start that a person chose may be such an end.
#[tokio::test(flavor = "multi_thread")]
async fn point_13_a_start_at_the_end_of_a_file_goes_on_with_the_next() {
    let service = Service::scripted(13, |script| script.generation = Generation::V2).await;
    let before = service.tenant.log().totals().changes;
    service.tenant.rotate();
    let (file, end) = service.tenant.end_of_oldest();
    service.tenant.load(30, 10);
    let service = service.set("START_POSITION", &format!("file:{file}:{end}"));
    let mut collector = Collector::start(&service.settings).expect("a start");
    service.caught_up(&mut collector).await;
    let report = service.verdict();
    assert_eq!(
        (
            report.lost,
            report.repeated(),
            report.out_of_order,
            report.foreign
        ),
        (before, 0, 0, 0),
        "{report}"
    );
    crate::rig::i14_conserved(&collector).await;
    assert!(collector.stop(STOPPED).await.expect("a stop").success());
}

/// What a dump is refused with, and whether that is for a person (a code of a halt) or passes.
const REFUSALS: &[(&str, Option<&str>)] = &[
    (
        "Could not find first log file name in binary log index file",
        Some("position_purged"),
    ),
    ("failed to open binlog file", Some("position_purged")),
    ("Failed to open first binlog", Some("position_purged")),
    (
        "The requested gtid transaction no longer exists and may have been cleaned up",
        Some("position_purged"),
    ),
    (
        "Client requested source to start replication from position > file size",
        Some("position_ahead"),
    ),
    (
        "Client requested master to start replication from impossible position",
        Some("position_ahead"),
    ),
    (
        "The offset of the current subscription is illegal",
        Some("position_ahead"),
    ),
    ("Failed to verify first event at 4711", Some("position_corrupt")),
    ("bogus data in log event", Some("position_corrupt")),
    (
        "binlog truncated in the middle of event",
        Some("position_corrupt"),
    ),
    (
        "event read from binlog did not pass crc check",
        Some("position_corrupt"),
    ),
    (
        "Client requested source to start replication from position < 4",
        Some("position_corrupt"),
    ),
    (
        "A replica with the same server_uuid/server_id as this replica has connected",
        Some("replica_id_conflict"),
    ),
    (
        "log event entry exceeded max_allowed_packet",
        Some("packet_too_large"),
    ),
    (
        "Slave can not handle replication events with the checksum that master is configured to log",
        Some("checksum_refused"),
    ),
    ("Insufficient binlog instance resources", None),
    ("could not find next log", None),
    ("I/O error reading log event", None),
    ("tenant has no binlog instances yet", None),
    ("no master service instance", None),
    ("master instance of tenant is unavailable", None),
    ("something that nobody has heard of", None),
];

#[tokio::test(flavor = "multi_thread")]
async fn point_14_a_refusal_is_judged_by_its_text() {
    for chunk in REFUSALS.chunks(4) {
        let runs = chunk.iter().map(|(text, halt)| async move {
            let service = Service::new(14).await;
            let mut collector = service.start().await;
            service.exact(&mut collector).await;
            let refusals = |script: &mut harness::oceanbase::Script| {
                // Twice: the first refusal of a purged position is looked into.
                script.refusals = vec![Refusal::fatal(*text); 2].into();
            };
            service.tenant.script(refusals);
            service.tenant.end_dumps();
            match halt {
                Some(code) => {
                    service.halts(&mut collector, code, 0).await;
                }
                None => {
                    service.tenant.load(10, 10);
                    service.ends_exact(collector).await;
                    assert!(service.tenant.script_now().refusals.is_empty());
                }
            }
        });
        futures_util::future::join_all(runs).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn point_14_sockets_that_close_without_a_word_are_opened_again() {
    let service = Service::new(14).await;
    let mut collector = service.start().await;
    for closed in [1, 2, 5] {
        service.tenant.script(|script| script.closed_dumps = closed);
        service.tenant.end_dumps();
        service.tenant.load(10, 20);
        service.exact(&mut collector).await;
        assert_eq!(service.tenant.script_now().closed_dumps, 0);
    }
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_14_a_full_service_is_tried_again() {
    let service = Service::new(14).await;
    let mut collector = service.start().await;
    service.tenant.script(|script| script.max_dumps = 0);
    service.tenant.end_dumps();
    service.tenant.load(10, 20);
    source_says(&mut collector, "subscriber_limit").await;
    service.tenant.script(|script| script.max_dumps = 1);
    service.ends_exact(collector).await;
}

/// A plain connection that asks for nothing on its own.
async fn plain(door: &harness::oceanbase::Door) -> Conn {
    let opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(door.address().port())
        .user(Some("u"))
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 30))
        .wait_timeout(Some(60));
    Conn::new(opts).await.expect("a login")
}

/// A dump with the flag NON_BLOCK, by file: how many events it has, up to its end.
async fn events_of(door: &harness::oceanbase::Door) -> usize {
    let conn = plain(door).await;
    let request = BinlogStreamRequest::new(7).with_non_blocking();
    let mut stream = conn.get_binlog_stream(request).await.expect("a dump");
    let mut events = 0;
    let read = async {
        while let Some(event) = stream.next().await {
            event.expect("an event");
            events += 1;
        }
    };
    tokio::time::timeout(READY, read).await.expect("an end");
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn point_18_a_dump_that_ends_with_its_file_is_asked_for_again() {
    let service = Service::new(18).await;
    service.tenant.rotate();
    let door = service.tenant.open(Profile::Proxy).await.expect("a port");
    let first = events_of(&door).await;
    service.tenant.load(50, 10);
    assert_eq!(events_of(&door).await, first, "the second file is never reached");

    // The collector does not ask for that; a stream that ends all the same is only cut.
    service.tenant.script(|script| {
        script.ends_with_file = true;
        script.max_file = 4_000;
    });
    let collector = service.start().await;
    let mut load = tokio::task::JoinSet::new();
    let tenant = service.tenant.clone();
    load.spawn(async move {
        for _ in 0..40 {
            tenant.load(1, 20);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    load.join_next().await.expect("a load").expect("its end");
    service.tenant.script(|script| script.ends_with_file = false);
    service.tenant.end_dumps();
    service.ends_exact(collector).await;
}

//! Point 19: bytes that come one by one, connections that end in a packet, and those that only fall silent.

use std::time::Duration;

use harness::collector::Collector;
use harness::oceanbase::{Cuts, Generation, Stall};

use super::Service;

#[tokio::test(flavor = "multi_thread")]
async fn point_19_events_that_trickle_are_read() {
    let service = Service::new(19).await;
    service
        .tenant
        .script(|script| script.dribble = Some((3, Duration::ZERO)));
    let collector = service.start().await;
    service.tenant.load(10, 10);
    service.ends_exact(collector).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn point_19_connections_that_end_in_a_packet_are_gone_on_with() {
    for generation in [Generation::V4, Generation::V2] {
        let service = Service::scripted(19, |script| script.generation = generation).await;
        let mut collector = service.start().await;
        let cuts = Cuts {
            times: 40,
            within: 120,
        };
        service.tenant.script(|script| script.cuts = Some(cuts));
        service.tenant.end_dumps();
        for _ in 0..10 {
            service.tenant.load(10, 40);
            service.caught_up(&mut collector).await;
            service.tenant.end_dumps();
        }
        let left = service.tenant.script_now().cuts.map(|cuts| cuts.times);
        assert!(left.is_some_and(|left| left < 30), "{left:?}");
        service.ends_exact(collector).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn point_19_a_connection_that_falls_silent_is_given_up() {
    let service = Service::new(19).await.set("DATABASE_HEARTBEAT_SECONDS", "1");
    service.tenant.script(|script| {
        script.stall = Some(Stall { times: 2, after: 30 });
    });
    let mut collector = Collector::start(&service.settings).expect("a start");
    service.tenant.load(20, 20);
    service.exact(&mut collector).await;
    let metrics = collector.metrics().await.expect("metrics");
    let silent = metrics.value("cdc_source_reconnects_total", &[("reason", "source_silent")]);
    assert_eq!(silent, Some(2.0));
    service.ends_exact(collector).await;
}

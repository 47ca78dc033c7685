//! Point 11: another instance of the same tenant takes over, with files, positions and a server id of its own.

use std::time::Duration;

use harness::collector::Collector;
use harness::oceanbase::{Cuts, Generation};
use tokio::task::JoinSet;

use super::{READY, Service, source_says};

/// A tenant that is changed all the time, by a few transactions a second.
fn under_load(service: &Service) -> JoinSet<()> {
    let tenant = service.tenant.clone();
    let mut load = JoinSet::new();
    load.spawn(async move {
        loop {
            tenant.load(1, 30);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    load
}

/// Waits for more transactions than there are.
async fn more(service: &Service, transactions: u64) {
    let wanted = service.tenant.last() + transactions;
    while service.tenant.last() < wanted {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until a dump is requested again.
async fn asked_again(service: &Service, before: u64) {
    let asked = async {
        while service.tenant.dumps_requested() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(READY, asked).await.expect("a new dump");
}

#[tokio::test(flavor = "multi_thread")]
async fn point_11_fifty_failovers_under_load_lose_and_repeat_nothing() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let service = Service::new(seed).await;
    let others = [
        service.tenant.add_instance(20_000),
        service.tenant.add_instance(90_000),
    ];
    service.tenant.script(|script| script.max_file = 150_000);
    let instances = [0, others[0], others[1]];
    let collector = service.start().await;
    let mut load = under_load(&service);
    for _ in 0..50 {
        more(&service, rng.u64(5..40)).await;
        if rng.u32(..3) == 0 {
            // Some connections end on their own, in the middle of a packet.
            let cuts = Cuts {
                times: 1,
                within: 200,
            };
            service.tenant.script(|script| script.cuts = Some(cuts));
        }
        let to = instances[rng.usize(..instances.len())];
        let lags = rng.u32(..4) == 0;
        if lags {
            // Its files end before what was read, for a while.
            service.tenant.lag(to, true);
            more(&service, rng.u64(1..30)).await;
        }
        let before = service.tenant.dumps_requested();
        service.tenant.fail_over(to);
        service.tenant.end_dumps();
        if lags {
            more(&service, rng.u64(1..30)).await;
            service.tenant.lag(to, false);
        }
        asked_again(&service, before).await;
    }
    load.shutdown().await;
    service.ends_exact(collector).await;
}

/// The one that takes over is behind: what it still gets must not be filtered out, and nothing is read twice.
#[tokio::test(flavor = "multi_thread")]
async fn point_11_an_instance_that_lags_is_waited_for() {
    let service = Service::new(11).await;
    let second = service.tenant.add_instance(30_000);
    let mut collector = service.start().await;
    for round in 0..8 {
        let (here, there) = if round % 2 == 0 { (0, second) } else { (second, 0) };
        service.tenant.fail_over(here);
        service.tenant.lag(there, true);
        service.tenant.load(30, 30);
        service.caught_up(&mut collector).await;
        service.tenant.fail_over(there);
        source_says(&mut collector, "server_behind_position").await;
        service.tenant.load(10, 30);
        service.tenant.lag(there, false);
        service.exact(&mut collector).await;
    }
    service.ends_exact(collector).await;
}

/// A restart of the collector on another instance than before: the file of the checkpoint means nothing there.
#[tokio::test(flavor = "multi_thread")]
async fn point_11_a_restart_on_another_instance_goes_by_the_set() {
    let service = Service::new(12).await;
    let second = service.tenant.add_instance(10_000);
    let mut collector = service.start().await;
    let mut load = under_load(&service);
    let mut saved = String::new();
    // The last one ends on the other instance than the first position was of.
    for round in 0..5 {
        let moved = |health: &serde_json::Value| {
            let set = health["position"]["gtid"].as_str().unwrap_or_default();
            set != saved && !set.is_empty()
        };
        let health = collector.wait_health("a later checkpoint", READY, moved).await;
        saved = health.expect("a checkpoint")["position"]["gtid"]
            .as_str()
            .expect("a set")
            .to_owned();
        collector.kill9().expect("a kill");
        service.tenant.fail_over(if round % 2 == 0 { second } else { 0 });
        collector = Collector::start(&service.settings).expect("a restart");
        let before = service.tenant.dumps_requested();
        asked_again(&service, before).await;
    }
    load.shutdown().await;
    service.ends_exact(collector).await;
}

/// Without sets a position belongs to one instance, and its offsets mean nothing at another.
#[tokio::test(flavor = "multi_thread")]
async fn point_11_an_offset_is_not_taken_to_another_instance() {
    let service = Service::scripted(13, |script| script.generation = Generation::V2).await;
    let second = service.tenant.add_instance(2_000);
    let mut collector = service.start().await;
    service.tenant.load(30, 30);
    service.exact(&mut collector).await;
    service.tenant.fail_over(second);
    service.halts(&mut collector, "position_ahead", 0).await;
}

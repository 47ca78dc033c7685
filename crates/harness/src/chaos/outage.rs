//! DataHub is away for what stands for an hour, with everything that waits for it scaled down alike.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use datahub_emulator::{Action, Matcher, Rule, When};
use mysql_async::Row;
use serde_json::Value;

use super::{BOTH, Outcome, Scenario, Terms};
use crate::collector::Collector;
use crate::proxy::{Cut, Direction, Proxy};
use crate::servers::{Options, Server};
use crate::stage::{ARRIVED, STOPPED, Stage};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "outage-hour",
    proves: "when DataHub is away for an hour the collector leaves the database before it is thrown out, holds no more than \
             its budget, and reads on at the same row when DataHub is back; nothing is lost, nothing repeated.",
    steps: "2 shards under load; the service refuses connections, falls silent or answers 503, as the seed says, for as long \
            as the scenario goes on, which stands for one hour: the binlog is kept for two such hours and warned of at \
            one and a half, a new file is begun every six, and the database waits 4 s for a reader. The state is parked \
            all that time; no connection is lost, no client aborted but those that left.",
    needs: "MySQL and MariaDB.",
    servers: BOTH,
    run: |terms| Box::pin(away(terms)),
}];

/// After so long without a reader the database ends a connection, seconds; half of it is the collector's.
const NET_WRITE_TIMEOUT: u64 = 4;
/// The shortest outage in which all that is asserted can be seen.
const SHORTEST: Duration = Duration::from_secs(15);
/// Files that are begun while DataHub is away: one every ten minutes of the hour.
const FILES: u32 = 6;
/// The least budget that can be configured.
const BUDGET: &str = "16m";
/// Most memory: the budget, and what a process needs that holds nothing, compiled without optimisation.
const RESIDENT: u64 = (16 + 64) << 20;

/// How DataHub is away.
#[derive(Clone, Copy, Debug)]
enum Away {
    Refused,
    Silent,
    Unavailable,
}

async fn away(terms: Terms) -> Result<Outcome> {
    let mut rng = terms.rng();
    let hour = terms.time.max(SHORTEST);
    let options = Options::default()
        .arg(format!("--net-write-timeout={NET_WRITE_TIMEOUT}"))
        .arg(format!("--binlog-expire-logs-seconds={}", 2 * hour.as_secs()));
    let mut stage = Stage::new(&terms.binary, terms.server, options, terms.plan(), 2).await?;
    let proxy = Proxy::start(stage.emulator.addr()).await?;
    stage.settings = stage
        .settings
        .env("DATAHUB_ENDPOINT", format!("http://{}", proxy.address()))
        .env("DATAHUB_TIMEOUT_SECONDS", "5")
        .env("HEAP_SIZE", BUDGET)
        // A small part of the budget is enough to wait with, and full while the load is what it is.
        .env("BATCH_MAX_BYTES", "64k")
        .env("RETRY_BACKOFF_MS", "50")
        .env("RETRY_BACKOFF_MAX_MS", "500")
        .env("READY_MAX_UNACKED_SECONDS", "5")
        .env("DATABASE_HEARTBEAT_SECONDS", "1")
        .env("PURGE_WARN_SECONDS", (hour.as_secs() * 3 / 2).to_string());
    let mut collector = stage.start().await?;
    stage.workload.run(200, |_| {}).await?;
    stage.caught_up(&mut collector).await?;
    let aborted_before = aborted_clients(&stage.server).await?;

    let ways = [Away::Refused, Away::Silent, Away::Unavailable];
    let way = *rng.choice(&ways).context("a way")?;
    let mut left = Duration::ZERO;
    let outage = async {
        begin(way, &stage, &proxy);
        let begun = Instant::now();
        collector.wait_health("leaving", hour, parked).await?;
        left = begun.elapsed();
        for tenth in 1..=FILES {
            while begun.elapsed() < hour * tenth / FILES {
                still_parked(&collector).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            stage.server.execute(&["FLUSH BINARY LOGS"]).await?;
        }
        let aborted = aborted_clients(&stage.server).await? - aborted_before;
        end(&stage, &proxy);
        collector.wait_ready(ARRIVED).await?;
        Ok((Instant::now(), aborted))
    };
    let (back, aborted) = Box::pin(stage.workload.during(outage)).await?;
    let report = stage.settled(&mut collector).await?;
    let caught_up = back.elapsed();

    let metrics = collector.metrics().await?;
    let count = |name: &str| metrics.sum(name).unwrap_or_default();
    let (parks, lost) = (
        count("cdc_source_parks_total"),
        count("cdc_source_reconnects_total"),
    );
    ensure!(
        aborted as f64 <= parks,
        "{aborted} clients aborted, {parks} times left"
    );
    ensure!(
        lost == 0.0,
        "{lost} connections were lost\n{}",
        collector.output().tail()
    );
    let peak = collector.rss_bytes()?.peak;
    ensure!(peak <= RESIDENT, "{} MiB were resident", peak >> 20);
    let warned = collector.output().stdout().matches("purge_near").count();
    ensure!(collector.stop(STOPPED).await?.success(), "no clean stop");
    let note = format!(
        "{way:?} for {} s, left after {:.1} s, {parks} times in all, {} MiB at most, caught up {:.1} s after it was back, \
         {warned} warnings of a purge",
        hour.as_secs(),
        left.as_secs_f64(),
        peak >> 20,
        caught_up.as_secs_f64(),
    );
    Ok(Outcome::exact(1, report, note))
}

fn begin(way: Away, stage: &Stage, proxy: &Proxy) {
    match way {
        Away::Refused => {
            proxy.refuse();
            proxy.cut(Cut::Reset);
        }
        Away::Silent => proxy.blackhole(Direction::Both),
        Away::Unavailable => {
            stage.emulator.add_fault(Rule {
                matcher: Matcher::default(),
                count: None,
                for_ms: None,
                action: Action::Error {
                    code: "InternalServerError".to_owned(),
                    status: Some(503),
                    message: None,
                    when: When::Before,
                },
            });
        }
    }
}

fn end(stage: &Stage, proxy: &Proxy) {
    proxy.pass();
    stage.emulator.clear_faults();
}

fn parked(health: &Value) -> bool {
    health["status"] == "parked"
}

/// Parked, alive, not ready, and for a reason that is told.
async fn still_parked(collector: &Collector) -> Result<()> {
    let health = collector.health().await?;
    ensure!(
        parked(&health) && health["reason_code"] == "parked" && health["live"] == true,
        "{health}"
    );
    let (ready, _) = collector.get("/health/ready").await?;
    ensure!(ready == 503, "ready with {ready}: {health}");
    Ok(())
}

/// Connections that the server counts as lost.
async fn aborted_clients(server: &Server) -> Result<u64> {
    let status: Vec<Row> = server.query("SHOW GLOBAL STATUS LIKE 'Aborted_clients'").await?;
    let count = status.first().and_then(|row| row.get(1));
    count.context("no Aborted_clients")
}

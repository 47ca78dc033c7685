//! The network between the collector and either side.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{MARIADB, Outcome, Scenario, Terms};
use crate::collector::Collector;
use crate::proxy::{Direction, Proxy};
use crate::servers::Options;
use crate::stage::Stage;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "half-open",
        proves: "a connection whose other end is gone without a word is noticed and replaced, on either side, and the \
                 process stays alive meanwhile.",
        steps: "2 shards under load between two proxies; one direction or both of one side go silent, without anything \
                closed, until /health/ready says 503; then good weather until it says 200; each side and direction, \
                again while there is time.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| Box::pin(half_open(terms)),
    },
    Scenario {
        name: "slow-network",
        proves: "latency and narrow lines cost time and nothing else.",
        steps: "2 shards under load between two proxies; every piece of data is held back by up to 80 ms and no more than \
                20 to 400 KB a second pass, on either side or both, for some records each.",
        needs: "MariaDB.",
        servers: MARIADB,
        run: |terms| Box::pin(slow(terms)),
    },
];

/// How long either side may be silent before the collector says so.
const NOTICED: Duration = Duration::from_secs(60);

struct Between {
    stage: Stage,
    source: Proxy,
    sink: Proxy,
    collector: Collector,
}

/// A collector between two proxies; silence is noticed as soon as the options allow.
async fn between_proxies(terms: &Terms) -> Result<Between> {
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    let source = Proxy::start(stage.server.address()).await?;
    let sink = Proxy::start(stage.emulator.addr()).await?;
    stage.settings = stage
        .settings
        .env("DATABASE_PORT", source.port().to_string())
        .env("DATAHUB_ENDPOINT", format!("http://{}", sink.address()))
        .env("DATABASE_HEARTBEAT_SECONDS", "1")
        .env("DATABASE_CONNECT_TIMEOUT_SECONDS", "3")
        .env("DATAHUB_TIMEOUT_SECONDS", "5")
        .env("READY_MAX_UNACKED_SECONDS", "5")
        .env("RETRY_BACKOFF_MS", "50")
        .env("RETRY_BACKOFF_MAX_MS", "500");
    let collector = stage.start().await?;
    Ok(Between {
        stage,
        source,
        sink,
        collector,
    })
}

async fn half_open(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let Between {
        stage,
        source,
        sink,
        mut collector,
    } = between_proxies(&terms).await?;
    let mut ways = Vec::new();
    for proxy in [&source, &sink] {
        for direction in [Direction::ToServer, Direction::ToClient, Direction::Both] {
            ways.push((proxy, direction));
        }
    }
    rng.shuffle(&mut ways);
    let mut longest = Duration::ZERO;
    let silences = async {
        for (proxy, direction) in ways.iter().cycle() {
            if !storm.goes_on() {
                break;
            }
            // What the collector says to the database is so little that silence that way is not felt before it
            // connects again.
            let felt = proxy.port() == sink.port() || *direction != Direction::ToServer;
            proxy.blackhole(*direction);
            let begun = Instant::now();
            if felt {
                collector.wait_for_status("/health/ready", 503, NOTICED).await?;
                longest = longest.max(begun.elapsed());
            } else {
                stage.workload.more(500).await?;
            }
            let (live, body) = collector.get("/health/live").await?;
            ensure!(live == 200, "not alive: {body}");
            proxy.pass();
            collector.wait_for_status("/health/ready", 200, NOTICED).await?;
        }
        Ok(())
    };
    Box::pin(stage.workload.during(silences)).await?;
    let report = stage.settled(&mut collector).await?;
    let note = format!("noticed after at most {:.1} s", longest.as_secs_f64());
    Ok(Outcome::exact(storm.blows, report, note))
}

async fn slow(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let Between {
        stage,
        source,
        sink,
        mut collector,
    } = between_proxies(&terms).await?;
    let weathers = async {
        while storm.goes_on() {
            for proxy in [&source, &sink] {
                proxy.pass();
                if rng.bool() {
                    proxy.latency(Duration::from_millis(rng.u64(1..80)));
                }
                if rng.bool() {
                    proxy.bandwidth(rng.u64(20_000..400_000));
                }
            }
            stage.workload.more(rng.u64(100..400)).await?;
        }
        source.pass();
        sink.pass();
        Ok(())
    };
    Box::pin(stage.workload.during(weathers)).await?;
    let report = stage.settled(&mut collector).await?;
    Ok(Outcome::exact(storm.blows, report, ""))
}

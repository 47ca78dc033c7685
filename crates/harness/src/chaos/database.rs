//! The database dies, throws its binlog away, and is cut off at every event.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mysql_async::Row;

use super::{BOTH, Outcome, Scenario, Terms};
use crate::collector::Collector;
use crate::proxy::{Cut, Place, Proxy, event_name};
use crate::servers::{Options, Server};
use crate::stage::{READY, Stage};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "database-killed",
        proves: "a database that dies and comes back loses nothing and repeats nothing of what it committed.",
        steps: "2 shards under load; kill -9 of the database after some changes, restart on the same data, some changes \
                more; and so on.",
        needs: "MySQL and MariaDB.",
        servers: BOTH,
        run: |terms| Box::pin(killed(terms)),
    },
    Scenario {
        name: "binlog-purged",
        proves: "binlog files that were read may go: what is still needed is never among them, not even after a crash.",
        steps: "2 shards under load; FLUSH BINARY LOGS, then PURGE of every file before the checkpoint's, now and then \
                kill -9 of the collector and a start behind the purge; and so on.",
        needs: "MySQL and MariaDB.",
        servers: BOTH,
        run: |terms| Box::pin(purged(terms)),
    },
    Scenario {
        name: "cut-at-events",
        proves: "wherever in the event stream a connection ends, reading goes on at exactly the next row.",
        steps: "2 shards under load without TLS; a proxy that sees the events cuts the connection inside and behind an \
                event of every type that comes along, by RST and by FIN; heartbeats when the load is over; all of it \
                again while there is time.",
        needs: "MySQL and MariaDB.",
        servers: BOTH,
        run: |terms| Box::pin(cut_at_events(terms)),
    },
];

async fn killed(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    stage.settings = stage.settings.env("RETRY_BACKOFF_MS", "50");
    let mut collector = stage.start().await?;
    let workload = stage.workload.clone();
    let server: &mut Server = &mut stage.server;
    let kills = async {
        while storm.goes_on() {
            workload.more(rng.u64(1..600)).await?;
            server.kill()?;
            tokio::time::sleep(Duration::from_millis(rng.u64(..500))).await;
            server.restart().await?;
            // Writers and collector are there again.
            workload.more(1).await?;
            collector.wait_ready(READY).await?;
        }
        Ok(())
    };
    Box::pin(workload.during(kills)).await?;
    let report = stage.settled(&mut collector).await?;
    Ok(Outcome::exact(storm.blows, report, ""))
}

async fn purged(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    let mut collector = stage.start().await?;
    let mut kills = 0;
    let purges = async {
        while storm.goes_on() {
            stage.workload.more(rng.u64(1..300)).await?;
            stage.server.execute(&["FLUSH BINARY LOGS"]).await?;
            stage.workload.more(rng.u64(1..300)).await?;
            let saved = |health: &serde_json::Value| health["position"]["file"].is_string();
            let health = collector.wait_health("checkpoint", READY, saved).await?;
            // What is before the checkpoint's file is not needed.
            let file = health["position"]["file"].as_str().unwrap_or_default();
            let purge = format!("PURGE BINARY LOGS TO '{file}'");
            if rng.u32(..3) == 0 {
                kills += 1;
                collector.kill9()?;
                stage.server.execute(&[&purge]).await?;
                collector = Collector::start(&stage.settings)?;
            } else {
                stage.server.execute(&[&purge]).await?;
            }
        }
        Ok(())
    };
    Box::pin(stage.workload.during(purges)).await?;
    let report = stage.settled(&mut collector).await?;
    let left: Vec<Row> = stage.server.query("SHOW BINARY LOGS").await?;
    let first: Option<String> = left.first().and_then(|row| row.get(0));
    let note = format!(
        "{kills} kills before a purge; {} files left, the first is {}",
        left.len(),
        first.unwrap_or_default()
    );
    Ok(Outcome::exact(storm.blows, report, note))
}

/// Events that only come where nothing else does.
const HEARTBEATS: [u8; 2] = [27, 41];
/// How long an idle server may take to send a heartbeat, asked for one a second.
const IDLE: Duration = Duration::from_secs(10);

async fn cut_at_events(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let mut stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 2).await?;
    let proxy = Proxy::start(stage.server.address()).await?;
    stage.settings = stage
        .settings
        .env("DATABASE_PORT", proxy.port().to_string())
        .env("DATABASE_TLS_MODE", "disabled")
        .env("DATABASE_HEARTBEAT_SECONDS", "1")
        .env("RETRY_BACKOFF_MS", "20");
    let mut collector = stage.start().await?;
    let mut cut: BTreeSet<u8> = BTreeSet::new();
    let cuts = async {
        // Which types there are, is seen.
        stage.workload.more(1_000).await?;
        stage.server.execute(&["FLUSH BINARY LOGS"]).await?;
        stage.workload.more(200).await?;
        let mut events: Vec<u8> = proxy.events().into_keys().collect();
        events.retain(|event| !HEARTBEATS.contains(event));
        ensure!(!events.is_empty(), "the proxy saw no events");
        rng.shuffle(&mut events);
        // Every type comes early, and every way for each of them when there is time.
        let ways: Vec<(Place, Cut)> = every_way().collect();
        let rounds = (0..ways.len()).cycle();
        let turns = rounds.flat_map(|round| events.iter().zip(ways.iter().cycle().skip(round)));
        for (event, (place, by)) in turns {
            if !storm.goes_on() {
                break;
            }
            let before = proxy.cuts();
            proxy.cut_at_event(*event, *place, *by);
            // Some types come at the beginning of a file alone, which must not have passed before.
            stage.server.execute(&["FLUSH BINARY LOGS"]).await?;
            was_cut(&proxy, before, *event, READY).await?;
            cut.insert(*event);
        }
        Ok(())
    };
    Box::pin(stage.workload.during(cuts)).await?;
    let mut idle = 0;
    stage.caught_up(&mut collector).await?;
    for (place, by) in every_way() {
        let before = proxy.cuts();
        proxy.cut_at_event(HEARTBEATS[0], place, by);
        was_cut(&proxy, before, HEARTBEATS[0], IDLE).await?;
        idle += 1;
    }
    cut.insert(HEARTBEATS[0]);
    stage.workload.run(200, |_| {}).await?;
    let report = stage.settled(&mut collector).await?;
    let names: Vec<String> = cut.into_iter().map(event_name).collect();
    Ok(Outcome::exact(storm.blows + idle, report, names.join(" ")))
}

fn every_way() -> impl Iterator<Item = (Place, Cut)> {
    [Place::Inside, Place::Behind]
        .into_iter()
        .flat_map(|place| [Cut::Reset, Cut::Close].map(|cut| (place, cut)))
}

/// Waits until there was another cut than those before.
async fn was_cut(proxy: &Proxy, before: u64, event: u8, within: Duration) -> Result<()> {
    let cut = async {
        while proxy.cuts() == before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(within, cut)
        .await
        .with_context(|| format!("no {} came within {within:?}", event_name(event)))
}

//! Two collectors of one group, one of which stands by.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::kills::{any_moment, stage};
use super::{BOTH, Outcome, Scenario, Terms};
use crate::collector::{Collector, Settings};
use crate::stage::{self, READY};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "standby",
    proves: "when the collector at work dies, the one that stands by relays within 10 seconds; nothing is lost, nothing \
             comes twice.",
    steps: "two collectors of a group, each with its own volume, on 3 shards under load; kill -9 the one at work, at \
            times wipe its volume, wait until the other relays, start the first one again, which stands by; and so on.",
    needs: "MySQL and MariaDB.",
    servers: BOTH,
    run: |terms| Box::pin(in_turn(terms)),
}];

/// How long it may take until the other relays.
const TAKEN_OVER: Duration = Duration::from_secs(10);

async fn standing_by(settings: &Settings) -> Result<Collector> {
    let mut collector = Collector::start(settings)?;
    let stands_by = |health: &serde_json::Value| health["status"] == "standby";
    collector.wait_health("standby", READY, stands_by).await?;
    Ok(collector)
}

async fn in_turn(terms: Terms) -> Result<Outcome> {
    let (mut rng, mut storm) = (terms.rng(), terms.storm());
    let stage = stage(&terms).await?;
    let elsewhere = stage::settings(&terms.binary, stage.server.address(), &stage.emulator.endpoint())?
        .env("START_POSITION", "earliest");
    let mut seats = [stage.settings.clone(), elsewhere];
    let [mut active, mut standby] = [stage.start().await?, standing_by(&seats[1]).await?];
    let (mut longest, mut volumes) = (Duration::ZERO, 0);
    let turns = async {
        while storm.goes_on() {
            any_moment(&stage, &mut rng, &active).await?;
            active.kill9()?;
            let died = Instant::now();
            let relays = |health: &serde_json::Value| health["status"] == "ok";
            standby.wait_health("takeover", READY, relays).await?;
            longest = longest.max(died.elapsed());
            if rng.u32(..3) == 0 {
                volumes += 1;
                fs::remove_dir_all(seats[0].data_dir()).context("losing the volume")?;
            }
            active = standing_by(&seats[0]).await?;
            std::mem::swap(&mut active, &mut standby);
            seats.swap(0, 1);
        }
        Ok(())
    };
    Box::pin(stage.workload.during(turns)).await?;
    let report = stage.settled(&mut active).await?;
    ensure!(longest <= TAKEN_OVER, "a takeover took {longest:?}");
    let note = format!(
        "longest takeover {:.1} s, {volumes} volumes lost",
        longest.as_secs_f64()
    );
    Ok(Outcome::exact(storm.blows, report, note))
}

//! kill -9 at every call of a run, once before the service did what the call asks for and once after.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use datahub_emulator::{Action, CallKind, Emulator, Matcher, Rule, When};
use tokio::task::JoinSet;

use super::{MYSQL, Outcome, Scenario, Terms};
use crate::collector::{Collector, Settings};
use crate::oracle::{DatabaseRows, Report, check_topic};
use crate::servers::{Options, SCHEMA};
use crate::stage::{self, PROJECT, READY, Stage, TOPIC};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "crash-points",
    proves: "there is no call to DataHub at which a death loses or repeats anything: each is tried, not sampled.",
    steps: "one binlog of 2,000 changes, relayed anew for each point in batches of 10; the n-th call is held by the \
            emulator before or after it was applied, the collector is killed by its process id, the volume is kept or \
            lost, a successor relays the rest; for every n of an undisturbed run, several at once, in an order from the \
            seed.",
    needs: "MySQL.",
    servers: MYSQL,
    run: |terms| Box::pin(every_point(terms)),
}];

/// Changes in the binlog that each run relays.
const CHANGES: u64 = 2_000;
/// Records of a batch: some two hundred batches a run.
const BATCH: u64 = 10;
/// Runs at the same time: each spends most of its time waiting.
const AT_ONCE: usize = 8;
/// Replication server ids begin here, one for each run.
pub(super) const FIRST_SERVER_ID: u64 = 10_000;

/// Where a collector dies.
#[derive(Clone, Copy, Debug)]
struct Point {
    call: u64,
    when: When,
    volume_lost: bool,
}

/// What all runs share.
pub(super) struct Binlog {
    pub(super) stage: Stage,
    pub(super) terms: Terms,
    rows: DatabaseRows,
}

/// What came of the points that were tried.
#[derive(Default)]
pub(super) struct Deaths {
    /// Points that were tried.
    pub(super) tried: u64,
    /// Of these, runs that were over before they came to their point.
    pub(super) beyond: u64,
    /// What the oracle said of all others, in sums.
    pub(super) total: Report,
}

/// Tries points for as long as the terms say, several at once, in an order from the seed; each run gets a replication
/// server id of its own. `None` says that a run was over before it came to its point.
pub(super) async fn each<P, R>(
    terms: &Terms,
    mut points: Vec<P>,
    dies_at: impl Fn(P, u64) -> R,
) -> Result<Deaths>
where
    P: Debug + Clone,
    R: Future<Output = Result<Option<Report>>> + Send + 'static,
{
    terms.rng().shuffle(&mut points);
    points.truncate(usize::try_from(terms.blows).unwrap_or(usize::MAX));
    let until = Instant::now() + terms.time;
    let (mut waiting, mut running) = (points.into_iter().zip(FIRST_SERVER_ID + 1..), JoinSet::new());
    let mut deaths = Deaths::default();
    loop {
        while running.len() < AT_ONCE
            && (deaths.tried == 0 || Instant::now() < until)
            && let Some((point, server_id)) = waiting.next()
        {
            deaths.tried += 1;
            let place = format!("at {point:?}");
            let run = dies_at(point, server_id);
            running.spawn(async move { run.await.context(place) });
        }
        let Some(ended) = running.join_next().await else {
            return Ok(deaths);
        };
        match ended.context("a run panicked")?? {
            Some(report) => add(&mut deaths.total, report),
            None => deaths.beyond += 1,
        }
    }
}

async fn every_point(terms: Terms) -> Result<Outcome> {
    let stage = Stage::new(&terms.binary, terms.server, Options::default(), terms.plan(), 3).await?;
    stage.workload.run(CHANGES, |_| {}).await?;
    let binlog = Arc::new(Binlog::of(stage, terms).await?);

    let (calls, puts) = binlog.undisturbed().await?;
    let mut points = Vec::new();
    for call in 1..=calls {
        for (when, volume_lost) in [
            (When::Before, false),
            (When::After, false),
            (When::Before, true),
            (When::After, true),
        ] {
            points.push(Point {
                call,
                when,
                volume_lost,
            });
        }
    }
    let all = points.len();
    let deaths = each(&binlog.terms, points, |point, server_id| {
        let binlog = Arc::clone(&binlog);
        async move { binlog.dies_at(point, server_id).await }
    })
    .await?;
    let Deaths { tried, beyond, total } = deaths;
    let note = format!("{tried} of {all} points ({calls} calls, {puts} of them puts), {beyond} not reached");
    Ok(Outcome::exact(tried - beyond, total, note))
}

impl Binlog {
    /// All that the stage's workload has committed.
    pub(super) async fn of(stage: Stage, terms: Terms) -> Result<Binlog> {
        let mut conn = stage.server.connect().await?;
        let rows = DatabaseRows::read(&mut conn, SCHEMA).await?;
        conn.disconnect().await.context("closing a connection")?;
        Ok(Binlog { stage, rows, terms })
    }

    /// A topic of its own, and the settings of a collector that relays the binlog to it from its beginning.
    pub(super) async fn collector(&self, server_id: u64) -> Result<(Emulator, Settings)> {
        let emulator = stage::emulator(3).await?;
        let settings = stage::settings(
            &self.terms.binary,
            self.stage.server.address(),
            &emulator.endpoint(),
        )?;
        let settings = settings
            .env("START_POSITION", "earliest")
            .env("BATCH_MAX_RECORDS", BATCH.to_string())
            .env("DATABASE_SERVER_ID", server_id.to_string())
            // Many at once read one database, and each has a topic of its own.
            .env("DATAHUB_CONSUMER_GROUP", format!("crash-{server_id}"));
        Ok((emulator, settings))
    }

    /// The calls of a run in which nothing happens, and how many of them are puts.
    async fn undisturbed(&self) -> Result<(u64, u64)> {
        let (emulator, settings) = self.collector(FIRST_SERVER_ID).await?;
        let mut collector = Collector::start_ready(&settings, READY).await?;
        let report = self.settled(&emulator, &mut collector).await?;
        ensure!(report.is_exact(), "an undisturbed run is not exact\n{report}");
        let requests = emulator.stats().requests;
        let puts = requests.get(&CallKind::Put).copied().unwrap_or_default();
        Ok((requests.values().sum(), puts))
    }

    /// A run that ends at this point, and its successor; `None` if it was over before it came to it.
    async fn dies_at(&self, point: Point, server_id: u64) -> Result<Option<Report>> {
        let (emulator, settings) = self.collector(server_id).await?;
        emulator.add_fault(Rule {
            matcher: Matcher {
                nth: Some(point.call),
                ..Matcher::default()
            },
            count: None,
            for_ms: None,
            action: Action::Hang { when: point.when },
        });
        let (file, offset) = self.stage.server.binlog_end().await?;
        let mut collector = Collector::start(&settings)?;
        let begun = Instant::now();
        while emulator.stats().hung == 0 {
            let health = collector.health().await.unwrap_or_default();
            if stage::is_at(&health, &file, offset) {
                return Ok(None);
            }
            if collector.exited()?.is_some() || begun.elapsed() > READY {
                bail!(
                    "neither at the call nor at the end: {health}\n{}",
                    collector.output().tail()
                );
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        collector.kill9()?;
        if point.volume_lost {
            std::fs::remove_dir_all(settings.data_dir()).context("losing the volume")?;
        }
        let mut successor = Collector::start(&settings)?;
        let report = self.settled(&emulator, &mut successor).await?;
        ensure!(report.is_exact(), "{report}\n{}", successor.output().tail());
        Ok(Some(report))
    }

    /// Waits until the collector is at the end of the binlog, and gives the verdict.
    pub(super) async fn settled(&self, emulator: &Emulator, collector: &mut Collector) -> Result<Report> {
        stage::caught_up(&self.stage.server, collector).await?;
        collector.metrics().await?.conserved()?;
        check_topic(
            emulator,
            PROJECT,
            TOPIC,
            &self.stage.workload.log(),
            Some(&self.rows),
        )
    }
}

/// The sums of what the table shows.
fn add(total: &mut Report, report: Report) {
    total.committed += report.committed;
    total.records += report.records;
    total.lost += report.lost;
    total.repeated_same_id += report.repeated_same_id;
    total.repeated_other_id += report.repeated_other_id;
    total.out_of_order += report.out_of_order;
}

//! Writers that change rows of a real database and remember exactly what was committed.
//!
//! Every change of a row raises its `version` by one; a delete counts as a version, and a row that is inserted
//! again goes on from there. So a key's history in the topic must read 1, 2, 3 … whatever happened on the way.
//! A change enters the [`CommitLog`] only when its commit was acknowledged, or, where the answer was lost with
//! the server, when the row itself says that it was committed. Bounded by the number of changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

pub mod bulk;
mod commit_log;
mod content;
mod writer;

pub use commit_log::{Commit, CommitLog, Operation, Totals};
pub use content::{Cell, Key, Table, row};

/// Changes before and after what [`Workload::during`] surrounds.
const A_LITTLE: u64 = 200;

/// What the writers do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything but the timing.
    pub seed: u64,
    /// Writers at once, each with a connection of its own.
    pub writers: u32,
    /// Rows that may exist in each of the tables `accounts` and `stock`.
    pub keys: u32,
    /// Whether all writers change all keys; else each has its own.
    pub overlapping: bool,
    /// The largest transaction, in rows. Small ones are far more frequent.
    pub max_rows: u32,
    /// Of 100 transactions, how many are rolled back.
    pub rollback_percent: u32,
    /// A pause of every writer after each transaction.
    pub pause: Duration,
    /// How long a writer waits for a server that is away.
    pub patience: Duration,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            seed: 1,
            writers: 4,
            keys: 1_000,
            overlapping: true,
            max_rows: 40,
            rollback_percent: 5,
            pause: Duration::ZERO,
            patience: Duration::from_secs(60),
        }
    }
}

/// The workload: a plan, the state of every key, and what was committed so far.
#[derive(Clone, Debug)]
pub struct Workload {
    plan: Plan,
    opts: Opts,
    log: Arc<CommitLog>,
    /// Of each key, whether its row exists, and its version; held by the writer that changes it.
    accounts: Arc<[Mutex<RowState>]>,
    stock: Arc<[Mutex<RowState>]>,
    /// Rows of `journal` handed to huge transactions so far.
    journal: Arc<AtomicU64>,
    runs: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct RowState {
    exists: bool,
    version: u64,
}

impl Workload {
    /// Creates the tables. `opts` needs the rights to do so and a database in which they shall be.
    pub async fn new(opts: Opts, schema: &str, plan: Plan) -> Result<Workload> {
        let opts: Opts = mysql_async::OptsBuilder::from_opts(opts)
            .db_name(Some(schema))
            .init(vec![
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                "SET NAMES utf8mb4",
            ])
            .into();
        let mut conn = Conn::new(opts.clone()).await.context("connecting the workload")?;
        for table in Table::ALL {
            conn.query_drop(table.create())
                .await
                .with_context(|| format!("creating {}", table.name()))?;
        }
        conn.disconnect().await.context("closing a connection")?;
        let states = || (0..plan.keys).map(|_| Mutex::default()).collect();
        Ok(Workload {
            log: Arc::new(CommitLog::new(plan.seed)),
            accounts: states(),
            stock: states(),
            journal: Arc::default(),
            runs: Arc::default(),
            stopped: Arc::default(),
            plan,
            opts,
        })
    }

    /// The same workload, its keys and its log, with another pause of every writer after each transaction.
    #[must_use]
    pub fn with_pause(&self, pause: Duration) -> Workload {
        let plan = Plan {
            pause,
            ..self.plan.clone()
        };
        Workload { plan, ..self.clone() }
    }

    /// What was committed; grows while the workload runs.
    pub fn log(&self) -> Arc<CommitLog> {
        Arc::clone(&self.log)
    }

    /// Ends a run early: each writer finishes its transaction.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Makes at least `changes` more changes (at most one transaction per writer more than that).
    ///
    /// `on_progress` is called after every commit with the changes of this run so far.
    ///
    /// # Errors
    /// A statement that the server refuses for good, or a server that stays away longer than the plan's patience.
    pub async fn run(&self, changes: u64, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Result<()> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let done = Arc::new(AtomicU64::new(0));
        let on_progress = Arc::new(on_progress);
        let mut writers = JoinSet::new();
        for number in 0..self.plan.writers {
            let seed = self.plan.seed ^ (run << 32) ^ u64::from(number + 1).wrapping_mul(0x9e37_79b9);
            let mut writer = writer::Writer::new(self.clone(), number, Rng::with_seed(seed));
            let (done, on_progress) = (Arc::clone(&done), Arc::clone(&on_progress));
            writers.spawn(async move {
                while done.load(Ordering::Relaxed) < changes
                    && !writer.workload.stopped.load(Ordering::Relaxed)
                {
                    let committed = writer.transaction().await?;
                    let total = done.fetch_add(committed, Ordering::Relaxed) + committed;
                    if committed > 0 {
                        on_progress(total);
                    }
                    if !writer.workload.plan.pause.is_zero() {
                        tokio::time::sleep(writer.workload.plan.pause).await;
                    }
                }
                writer.close().await
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.context("a writer panicked")??;
        }
        self.stopped.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Keeps the writers busy for as long as `during` takes, and a little before and after it.
    ///
    /// # Errors
    /// As [`Workload::run`], what `during` fails with, or writers that make no progress.
    pub async fn during<T>(&self, during: impl Future<Output = Result<T>>) -> Result<T> {
        let load = self.run(u64::MAX, |_| {});
        let during = async {
            let result = async {
                self.more(A_LITTLE).await?;
                let result = during.await?;
                self.more(A_LITTLE).await?;
                Ok(result)
            };
            let result = result.await;
            self.stop();
            result
        };
        let (load, result) = tokio::join!(load, during);
        load?;
        result
    }

    /// Waits until so many more changes are committed by writers that are at it.
    ///
    /// # Errors
    /// If they need longer than they may wait for a server.
    pub async fn more(&self, changes: u64) -> Result<()> {
        let wanted = self.log.totals().changes + changes;
        let grown = async {
            while self.log.totals().changes < wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let patience = self.plan.patience;
        tokio::time::timeout(patience, grown)
            .await
            .with_context(|| format!("the workload made no {changes} changes in {patience:?}"))
    }

    fn state(&self, key: Key) -> Result<&Mutex<RowState>> {
        let states = match key.table {
            Table::Accounts => &self.accounts,
            Table::Stock => &self.stock,
            Table::Journal => bail!("journal rows are only inserted"),
        };
        states
            .get(key.number as usize)
            .with_context(|| format!("no key {key:?}"))
    }
}

/// This machine's clock, microseconds since 1970.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

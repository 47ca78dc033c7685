//! Much data quickly: one huge transaction, and the narrow load that the benchmarks quote.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::task::JoinSet;

use super::{Key, Operation, Table, Workload, content, now_us};

/// Rows in one INSERT statement of a huge transaction.
const ROWS_PER_STATEMENT: u64 = 1_000;
/// Rows in one transaction of the narrow load.
const NARROW_TRANSACTION: u64 = 10;
/// Transactions of the narrow load that are sent to the server at once.
const NARROW_PIPELINE: u64 = 20;

impl Workload {
    /// Inserts so many rows into `journal` in a single transaction.
    pub async fn huge_transaction(&self, rows: u64) -> Result<Duration> {
        let begun = Instant::now();
        let first = self.journal.fetch_add(rows, Ordering::Relaxed);
        let mut conn = Conn::new(self.opts.clone()).await.context("connecting the workload")?;
        conn.query_drop("START TRANSACTION").await?;
        let mut changes = Vec::new();
        let mut sql = String::new();
        for number in first..first + rows {
            let key = Key { table: Table::Journal, number: u32::try_from(number).context("journal is full")? };
            sql.push_str(if sql.is_empty() { "INSERT INTO journal VALUES (" } else { ",(" });
            for (index, (_, cell)) in content::row(self.plan.seed, key, 1).iter().enumerate() {
                if index > 0 {
                    sql.push(',');
                }
                sql.push_str(&cell.sql());
            }
            sql.push(')');
            changes.push((key, Operation::Insert));
            if (changes.len() as u64).is_multiple_of(ROWS_PER_STATEMENT) || number + 1 == first + rows {
                conn.query_drop(&sql).await.context("inserting into journal")?;
                sql.clear();
            }
        }
        let at_us = now_us();
        conn.query_drop("COMMIT").await.context("committing a huge transaction")?;
        self.log.committed(&changes, at_us);
        conn.disconnect().await.context("closing a connection")?;
        Ok(begun.elapsed())
    }
}

/// Fills `narrow (id, k, c, pad)` with rows, 10 a transaction, by several writers; ids run from 1 without holes.
///
/// Not in a commit log: a benchmark counts. `opts` names the database. Returns the time it took.
pub async fn narrow(opts: Opts, rows: u64, writers: u64) -> Result<Duration> {
    if writers == 0 || !rows.is_multiple_of(NARROW_TRANSACTION) {
        bail!("the narrow load needs a writer and a multiple of {NARROW_TRANSACTION} rows");
    }
    let opts: Opts = OptsBuilder::from_opts(opts).into();
    let mut conn = Conn::new(opts.clone()).await.context("connecting the narrow load")?;
    conn.query_drop(
        "CREATE TABLE IF NOT EXISTS narrow (id INT NOT NULL PRIMARY KEY, k INT NOT NULL, \
         c CHAR(120) NOT NULL, pad CHAR(60) NOT NULL)",
    )
    .await?;
    let last: Option<u64> = conn.query_first("SELECT COALESCE(MAX(id), 0) FROM narrow").await?;
    let last = last.unwrap_or_default();
    conn.disconnect().await.context("closing a connection")?;

    let begun = Instant::now();
    let transactions = rows / NARROW_TRANSACTION;
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        // Each writer has a stretch of its own: ids ascend, which InnoDB likes.
        let from = transactions * writer / writers;
        let to = transactions * (writer + 1) / writers;
        tasks.spawn(narrow_writer(opts.clone(), last, from, to));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("a writer panicked")??;
    }
    Ok(begun.elapsed())
}

async fn narrow_writer(opts: Opts, last: u64, from: u64, to: u64) -> Result<()> {
    let mut conn = Conn::new(opts).await.context("connecting the narrow load")?;
    let mut rng = Rng::with_seed(from);
    let mut sql = String::new();
    for transaction in from..to {
        // A single statement is a transaction of its own; several travel together to save round trips.
        let rows = (1..=NARROW_TRANSACTION).map(|row| last + transaction * NARROW_TRANSACTION + row);
        for (index, id) in rows.enumerate() {
            sql.push_str(if index == 0 { "INSERT INTO narrow VALUES (" } else { ",(" });
            sql.push_str(&format!("{id},{},'", rng.i32(0..1_000_000)));
            digits(&mut rng, &mut sql, 119);
            sql.push_str("','");
            digits(&mut rng, &mut sql, 59);
            sql.push_str("')");
        }
        sql.push(';');
        if (transaction + 1 - from).is_multiple_of(NARROW_PIPELINE) || transaction + 1 == to {
            conn.query_drop(&sql).await.context("inserting into narrow")?;
            sql.clear();
        }
    }
    conn.disconnect().await.context("closing a connection")
}

/// Groups of eleven digits with dashes between them, as the well-known benchmark has them.
fn digits(rng: &mut Rng, out: &mut String, length: usize) {
    for place in 0..length {
        out.push(if place % 12 == 11 { '-' } else { char::from(b'0' + rng.u8(0..10)) });
    }
}

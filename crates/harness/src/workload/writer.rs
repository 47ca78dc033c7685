//! One writer: a connection, a random transaction at a time, and the truth about each of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::MutexGuard;

use super::{Key, Operation, RowState, Table, Workload, content, now_us};

/// Server errors after which the transaction is gone and may be tried again: lock wait timeout, deadlock.
const TRY_AGAIN: [u16; 2] = [1205, 1213];
/// Server errors that mean the connection is gone: shutdown in progress, query interrupted, connection killed.
const GONE: [u16; 4] = [1053, 1317, 1927, 4031];

pub(super) struct Writer {
    pub(super) workload: Workload,
    number: u32,
    rng: Rng,
    conn: Option<Conn>,
}

/// A transaction's statements and what they change, in order.
struct Script {
    sql: String,
    changes: Vec<(Key, Operation)>,
    /// Keys and the state they have afterwards.
    states: Vec<(Key, RowState)>,
}

impl Writer {
    pub(super) fn new(workload: Workload, number: u32, rng: Rng) -> Writer {
        Writer { workload, number, rng, conn: None }
    }

    pub(super) async fn close(mut self) -> Result<()> {
        match self.conn.take() {
            // The server may have been killed meanwhile; everything is committed already.
            Some(conn) => conn.disconnect().await.or(Ok(())),
            None => Ok(()),
        }
    }

    /// Runs one transaction; returns how many changes it committed.
    pub(super) async fn transaction(&mut self) -> Result<u64> {
        // The keys stay locked until the outcome is known: a key's commits have one order. Taken in ascending
        // order, so two writers never wait for each other.
        let keys = self.choose_keys();
        let workload = self.workload.clone();
        let mut guards = Vec::with_capacity(keys.len());
        for key in keys {
            guards.push((key, workload.state(key)?.lock().await));
        }
        if guards.is_empty() {
            return Ok(0);
        }
        let script = self.write_script(&guards);
        let roll_back = self.rng.u32(0..100) < self.workload.plan.rollback_percent;
        loop {
            let mut conn = self.connection().await?;
            if let Err(error) = conn.query_drop(&script.sql).await {
                // Nothing is committed before COMMIT was sent. The connection is dropped, its transaction with it.
                retryable(&error).then_some(()).with_context(|| format!("running a transaction: {error}"))?;
                continue;
            }
            if roll_back {
                match conn.query_drop("ROLLBACK").await {
                    Ok(()) => self.conn = Some(conn),
                    Err(error) => drop((error, conn)),
                }
                workload.log.rolled_back();
                return Ok(0);
            }
            let at_us = now_us();
            if let Err(error) = conn.query_drop("COMMIT").await {
                drop(conn);
                if !self.was_committed(&script).await.with_context(|| format!("after {error}"))? {
                    continue;
                }
                workload.log.resolved();
            } else {
                self.conn = Some(conn);
            }
            workload.log.committed(&script.changes, at_us);
            settle(&mut guards, &script);
            return Ok(script.changes.len() as u64);
        }
    }

    /// An ascending set of keys, more often few than many.
    fn choose_keys(&mut self) -> BTreeSet<Key> {
        let plan = &self.workload.plan;
        let limit = plan.max_rows.max(1);
        let count = if self.rng.u8(..) < 16 { limit } else { self.rng.u32(1..=limit.min(6)) };
        let mut keys = BTreeSet::new();
        for _ in 0..count {
            let table = if self.rng.bool() { Table::Accounts } else { Table::Stock };
            let mut number = self.rng.u32(0..plan.keys.max(1));
            if !plan.overlapping {
                number = number - number % plan.writers + self.number;
                if number >= plan.keys {
                    continue;
                }
            }
            keys.insert(Key { table, number });
        }
        keys
    }

    fn write_script(&mut self, guards: &[(Key, MutexGuard<'_, RowState>)]) -> Script {
        let mut script =
            Script { sql: "START TRANSACTION".to_owned(), changes: Vec::new(), states: Vec::new() };
        for (key, guard) in guards {
            let mut state = **guard;
            // Now and then a row changes several times in one transaction. The first row changes once: it is
            // the one that is read back, and an insert and a delete together would leave no trace.
            let several = !script.changes.is_empty() && self.rng.u8(..) < 24;
            let steps = if several { self.rng.u32(2..=3) } else { 1 };
            for _ in 0..steps {
                let operation = match state.exists {
                    false => Operation::Insert,
                    true if self.rng.u8(..) < 48 => Operation::Delete,
                    true => Operation::Update,
                };
                state.version += 1;
                state.exists = operation != Operation::Delete;
                script.sql.push(';');
                script.sql.push_str(&statement(self.workload.plan.seed, *key, operation, state.version));
                script.changes.push((*key, operation));
            }
            script.states.push((*key, state));
        }
        script
    }

    /// The open connection, or a new one; waits for a server that is away.
    async fn connection(&mut self) -> Result<Conn> {
        if let Some(conn) = self.conn.take() {
            return Ok(conn);
        }
        let patience = self.workload.plan.patience;
        let deadline = Instant::now() + patience;
        loop {
            match Conn::new(self.workload.opts.clone()).await {
                Ok(conn) => return Ok(conn),
                Err(error) if Instant::now() > deadline => {
                    bail!("writer {}: no server for {patience:?}: {error}", self.number);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Asks the database whether a commit without an answer took place. The read waits for the row's lock, so
    /// a commit that is still under way is waited for; and nobody else may change the key meanwhile.
    async fn was_committed(&mut self, script: &Script) -> Result<bool> {
        let Some((key, state)) = script.states.first() else { return Ok(false) };
        let sql = format!("SELECT version FROM {} WHERE {} FOR UPDATE", key.table.name(), key.condition());
        loop {
            let mut conn = self.connection().await?;
            let found: Result<Option<u64>, Error> = conn.query_first(&sql).await;
            match found {
                Ok(version) => {
                    self.conn = Some(conn);
                    return Ok(version == state.exists.then_some(state.version));
                }
                Err(error) if retryable(&error) => {}
                Err(error) => return Err(error).context("reading back a commit"),
            }
        }
    }
}

fn settle(guards: &mut [(Key, MutexGuard<'_, RowState>)], script: &Script) {
    for ((_, guard), (_, state)) in guards.iter_mut().zip(&script.states) {
        **guard = *state;
    }
}

fn retryable(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Driver(_) => true,
        Error::Server(error) => TRY_AGAIN.contains(&error.code) || GONE.contains(&error.code),
        Error::Other(_) | Error::Url(_) => false,
    }
}

fn statement(seed: u64, key: Key, operation: Operation, version: u64) -> String {
    let table = key.table.name();
    let row = content::row(seed, key, version);
    match operation {
        Operation::Insert => {
            let values: Vec<String> = row.iter().map(|(_, cell)| cell.sql()).collect();
            format!("INSERT INTO {table} VALUES ({})", values.join(","))
        }
        Operation::Update => {
            let set: Vec<String> = row
                .iter()
                .skip(key.table.key_columns().len())
                .map(|(column, cell)| format!("{column}={}", cell.sql()))
                .collect();
            format!("UPDATE {table} SET {} WHERE {}", set.join(","), key.condition())
        }
        Operation::Delete => format!("DELETE FROM {table} WHERE {}", key.condition()),
    }
}

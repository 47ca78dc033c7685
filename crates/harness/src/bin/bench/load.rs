//! What is in the binlog before anything is measured.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use clap::ValueEnum;
use fastrand::Rng;
use harness::servers::{SCHEMA, Server};
use harness::workload::bulk;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tokio::task::JoinSet;

/// Connections that fill the tables.
const WRITERS: u64 = 4;
/// Statements that are sent to the server at once.
const PIPELINE: u64 = 50;
/// Rows of one statement of the huge transaction, and of one transaction of the wide load.
const STATEMENT_ROWS: u64 = 500;
/// Rows of one transaction of the narrow and the wide load.
const TRANSACTION_ROWS: u64 = 10;

/// The loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// Of four columns: 1,000,000 inserts, 200,000 updates, 100,000 deletes, 10 rows a transaction.
    Narrow,
    /// One transaction of 1,000,000 narrow rows.
    Huge,
    /// 200,000 transactions of one narrow row.
    Oltp,
    /// 200,000 rows of 40 columns of all common types, 10 rows a transaction.
    Wide,
}

impl Load {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Load::Narrow => "narrow",
            Load::Huge => "huge",
            Load::Oltp => "oltp",
            Load::Wide => "wide",
        }
    }

    /// Writes it; returns how many row changes are in the binlog.
    pub(crate) async fn fill(self, server: &Server, rows: Option<u64>) -> Result<u64> {
        let opts: Opts = OptsBuilder::from_opts(server.opts(server.admin()))
            .db_name(Some(SCHEMA))
            .into();
        let usual = match self {
            Load::Narrow | Load::Huge => 1_000_000,
            Load::Oltp | Load::Wide => 200_000,
        };
        let rows = rows.unwrap_or(usual).next_multiple_of(100);
        match self {
            Load::Narrow => {
                bulk::narrow(opts.clone(), rows, WRITERS).await?;
                let (updates, deletes) = (rows / 5, rows / 10);
                each(&opts, updates / TRANSACTION_ROWS, |_, n| {
                    let from = 1 + n * TRANSACTION_ROWS;
                    format!(
                        "UPDATE narrow SET k = k + 1 WHERE id BETWEEN {from} AND {}",
                        from + 9
                    )
                })
                .await?;
                each(&opts, deletes / TRANSACTION_ROWS, |_, n| {
                    let from = 1 + n * TRANSACTION_ROWS;
                    format!("DELETE FROM narrow WHERE id BETWEEN {from} AND {}", from + 9)
                })
                .await?;
                Ok(rows + updates + deletes)
            }
            Load::Huge => huge(&opts, rows).await,
            Load::Oltp => {
                create_narrow(&opts).await?;
                each(&opts, rows, |rng, n| {
                    let mut sql = "INSERT INTO narrow VALUES ".to_owned();
                    narrow_row(rng, n + 1, &mut sql);
                    sql
                })
                .await?;
                Ok(rows)
            }
            Load::Wide => {
                let mut conn = Conn::new(opts.clone()).await?;
                conn.query_drop(wide_table())
                    .await
                    .context("creating the wide table")?;
                conn.disconnect().await?;
                each(&opts, rows / TRANSACTION_ROWS, |rng, n| {
                    let from = n * TRANSACTION_ROWS;
                    let rows: Vec<String> = (from..from + TRANSACTION_ROWS)
                        .map(|id| wide_row(rng, id + 1))
                        .collect();
                    format!("INSERT INTO wide VALUES {}", rows.join(","))
                })
                .await?;
                Ok(rows)
            }
        }
    }
}

/// Runs `count` statements, each a transaction of its own, over several connections.
async fn each(opts: &Opts, count: u64, sql: fn(&mut Rng, u64) -> String) -> Result<()> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        // Each has a stretch of its own: ids ascend, which InnoDB likes.
        let stretch = count * writer / WRITERS..count * (writer + 1) / WRITERS;
        let opts = opts.clone();
        writers.spawn(async move {
            let mut conn = Conn::new(opts).await.context("connecting")?;
            let mut rng = Rng::with_seed(writer);
            let mut batch = String::new();
            for number in stretch.clone() {
                batch.push_str(&sql(&mut rng, number));
                batch.push(';');
                if (number + 1).is_multiple_of(PIPELINE) || number + 1 == stretch.end {
                    conn.query_drop(&batch).await.context("writing the load")?;
                    batch.clear();
                }
            }
            conn.disconnect().await.context("closing a connection")
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.context("a writer panicked")??;
    }
    Ok(())
}

async fn create_narrow(opts: &Opts) -> Result<()> {
    // No rows: only its table is wanted.
    bulk::narrow(opts.clone(), 0, 1).await.map(drop)
}

async fn huge(opts: &Opts, rows: u64) -> Result<u64> {
    create_narrow(opts).await?;
    let mut conn = Conn::new(opts.clone()).await?;
    let mut rng = Rng::with_seed(7);
    conn.query_drop("START TRANSACTION").await?;
    let mut sql = String::new();
    for id in 1..=rows {
        sql.push_str(if sql.is_empty() {
            "INSERT INTO narrow VALUES "
        } else {
            ","
        });
        narrow_row(&mut rng, id, &mut sql);
        if id.is_multiple_of(STATEMENT_ROWS) || id == rows {
            conn.query_drop(&sql).await.context("writing the load")?;
            sql.clear();
        }
    }
    conn.query_drop("COMMIT")
        .await
        .context("committing the huge transaction")?;
    conn.disconnect().await?;
    Ok(rows)
}

fn narrow_row(rng: &mut Rng, id: u64, out: &mut String) {
    out.push_str(&format!(
        "({id},{},'{}','{}')",
        rng.i32(0..1_000_000),
        text(rng, 119),
        text(rng, 59)
    ));
}

/// Groups of eleven digits with dashes between them.
fn text(rng: &mut Rng, length: usize) -> String {
    (0..length)
        .map(|place| {
            if place % 12 == 11 {
                '-'
            } else {
                char::from(rng.u8(b'0'..=b'9'))
            }
        })
        .collect()
}

/// Name suffix, type, and a value of each column of the wide table, its key left out.
type Column = (&'static str, fn(&mut Rng) -> String);

/// Thirteen types, three columns of each: with the key there are 40 columns.
const COLUMNS: [Column; 13] = [
    ("INT", |rng| rng.i32(..).to_string()),
    ("BIGINT UNSIGNED", |rng| rng.u64(..).to_string()),
    ("TINYINT", |rng| rng.i8(..).to_string()),
    ("DECIMAL(20,4)", |rng| {
        format!(
            "{}.{:04}",
            rng.i64(-1_000_000_000..1_000_000_000),
            rng.u16(0..10_000)
        )
    }),
    ("DOUBLE", |rng| format!("{}", rng.f64() * 1e6)),
    ("FLOAT", |rng| format!("{}", rng.f32() * 1e3)),
    ("DATETIME(6)", |rng| {
        format!(
            "'2026-{:02}-{:02} 12:34:56.{:06}'",
            rng.u8(1..13),
            rng.u8(1..29),
            rng.u32(0..1_000_000)
        )
    }),
    ("TIMESTAMP(3)", |rng| {
        format!(
            "'2026-{:02}-{:02} 01:02:03.{:03}'",
            rng.u8(1..13),
            rng.u8(1..29),
            rng.u16(0..1_000)
        )
    }),
    ("DATE", |rng| {
        format!(
            "'20{:02}-{:02}-{:02}'",
            rng.u8(0..100),
            rng.u8(1..13),
            rng.u8(1..29)
        )
    }),
    ("VARCHAR(100)", |rng| format!("'{}'", text(rng, 60))),
    ("TEXT", |rng| format!("'été, 東京, {}'", text(rng, 40))),
    ("VARBINARY(40)", |rng| {
        format!("X'{:016x}{:016x}'", rng.u64(..), rng.u64(..))
    }),
    ("JSON", |rng| {
        format!(
            "'{{\"a\": {}, \"b\": [true, null, \"x{}\"]}}'",
            rng.u16(..),
            rng.u8(..)
        )
    }),
];

fn wide_table() -> String {
    let mut sql = "CREATE TABLE wide (id BIGINT NOT NULL PRIMARY KEY".to_owned();
    for copy in 0..3 {
        for (index, (kind, _)) in COLUMNS.iter().enumerate() {
            // Nothing can go wrong when writing to a string.
            write!(sql, ", c{}_{copy} {kind} NULL", index + 1).ok();
        }
    }
    sql + ")"
}

fn wide_row(rng: &mut Rng, id: u64) -> String {
    let mut row = format!("({id}");
    for (_, value) in (0..3).flat_map(|_| COLUMNS) {
        row.push(',');
        // One value in sixteen is NULL.
        row.push_str(&if rng.u8(..) < 16 {
            "NULL".to_owned()
        } else {
            value(rng)
        });
    }
    row + ")"
}

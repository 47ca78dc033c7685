//! What the workload believes was committed is what the database holds, also when the server is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use harness::oracle::{DatabaseRows, check};
use harness::proxy::{Cut, Direction, Proxy};
use harness::servers::{Kind, Options, SCHEMA, Server};
use harness::workload::{Plan, Table, Workload, bulk};
use mysql_async::OptsBuilder;

async fn rows(server: &Server) -> Result<DatabaseRows> {
    let mut conn = server.connect().await?;
    let rows = DatabaseRows::read(&mut conn, SCHEMA).await?;
    conn.disconnect().await?;
    Ok(rows)
}

async fn believes_the_truth(kind: Kind, kills: u32) -> Result<()> {
    let mut server = Server::start(kind, Options::default()).await?;
    let plan = Plan {
        seed: 7,
        keys: 200,
        ..Plan::default()
    };
    let workload = Workload::new(server.opts(server.admin()), SCHEMA, plan).await?;
    let seen = Arc::new(AtomicU64::new(0));
    let progress = Arc::clone(&seen);
    let changes = 1_500 * u64::from(kills + 1);
    let running = workload.clone();
    let run = tokio::spawn(async move {
        running
            .run(changes, move |done| progress.store(done, Ordering::Relaxed))
            .await
    });
    for kill in 1..=kills {
        // Spread over the run, at whatever the writers happen to do then.
        while seen.load(Ordering::Relaxed) < 1_500 * u64::from(kill) && !run.is_finished() {
            tokio::task::yield_now().await;
        }
        server.kill()?;
        server.restart().await?;
    }
    run.await??;
    let totals = workload.log().totals();
    eprintln!("{kind}: {totals:?}");
    ensure!(totals.changes >= changes && totals.rolled_back > 0);
    let rows = rows(&server).await?;
    let differences = rows.differences(&workload.log());
    ensure!(differences.is_empty(), "{differences:#?}");
    ensure!(!rows.is_empty());
    // An empty topic against a full database: everything is lost, and every final row differs.
    let report = check(&workload.log(), [], Some(&rows));
    ensure!(report.lost == totals.changes && report.final_differs == rows.len() as u64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_holds_what_was_committed() -> Result<()> {
    believes_the_truth(Kind::MariaDb, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_holds_what_was_committed() -> Result<()> {
    believes_the_truth(Kind::MySql, 0).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_holds_what_was_committed_over_kills() -> Result<()> {
    believes_the_truth(Kind::MariaDb, 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_holds_what_was_committed_over_kills() -> Result<()> {
    believes_the_truth(Kind::MySql, 3).await
}

/// Cuts the writers off at random bytes, many of them between a COMMIT and its answer.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_commits_are_settled_by_reading_back() -> Result<()> {
    let server = Server::start(Kind::MySql, Options::default()).await?;
    let proxy = Proxy::start(server.address()).await?;
    let opts = OptsBuilder::from_opts(server.opts(server.admin())).tcp_port(proxy.port());
    let plan = Plan {
        keys: 200,
        max_rows: 4,
        ..Plan::default()
    };
    let workload = Workload::new(opts.into(), SCHEMA, plan).await?;
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..40 {
        let direction = if rng.bool() {
            Direction::ToClient
        } else {
            Direction::ToServer
        };
        proxy.cut_after(direction, rng.u64(200..20_000), Cut::Reset);
        workload.run(100, |_| ()).await?;
    }
    let totals = workload.log().totals();
    eprintln!("{} cuts, {totals:?}", proxy.cuts());
    ensure!(proxy.cuts() > 10 && totals.resolved > 0);
    let differences = rows(&server).await?.differences(&workload.log());
    ensure!(differences.is_empty(), "{differences:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn partitioned_keys_runs_in_a_row_and_bulk_loads() -> Result<()> {
    let server = Server::start(Kind::MariaDb, Options::default()).await?;
    let opts = server.opts(server.admin());
    let plan = Plan {
        overlapping: false,
        writers: 3,
        ..Plan::default()
    };
    let workload = Workload::new(opts.clone(), SCHEMA, plan).await?;
    workload.run(500, |_| ()).await?;
    workload.run(500, |_| ()).await?;
    workload.huge_transaction(2_500).await?;
    workload.huge_transaction(10).await?;
    ensure!(workload.log().rows(Table::Journal).len() == 2_510);
    ensure!(server.binlog_bytes()? > 100_000);
    let differences = rows(&server).await?.differences(&workload.log());
    ensure!(differences.is_empty(), "{differences:#?}");

    let narrow = OptsBuilder::from_opts(opts).db_name(Some(SCHEMA)).into();
    bulk::narrow(narrow, 5_000, 3).await?;
    let found: Vec<(u64, u64, u64, u64)> = server
        .query("SELECT COUNT(*), MAX(id), MIN(LENGTH(c)), MIN(LENGTH(pad)) FROM narrow")
        .await?;
    ensure!(found == [(5_000, 5_000, 119, 59)], "{found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_a_run_early() -> Result<()> {
    let server = Server::start(Kind::MariaDb, Options::default()).await?;
    let workload = Workload::new(server.opts(server.admin()), SCHEMA, Plan::default()).await?;
    let stopper = workload.clone();
    workload
        .run(u64::MAX, move |done| {
            if done > 100 {
                stopper.stop()
            }
        })
        .await?;
    let differences = rows(&server).await?.differences(&workload.log());
    ensure!(differences.is_empty(), "{differences:#?}");
    Ok(())
}

//! Tables change while they are written to and relayed: no row is shown under names or types that were not its own.

mod alter;
mod credentials;
mod kinds;
mod migration;
mod model;
mod random;
mod script;
mod topic;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::servers::SCHEMA;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::rig::{ARRIVED, Rig};

/// A session of the administrator in the captured database, in UTF-8.
async fn connection(rig: &Rig) -> Conn {
    let mut conn = rig.server.connect().await.expect("a connection");
    for sql in [format!("USE {SCHEMA}"), "SET NAMES utf8mb4".to_owned()] {
        conn.query_drop(sql).await.expect("a session");
    }
    conn
}

/// Waits until so many more are done.
async fn more(done: &AtomicU64, rows: u64) {
    let wanted = done.load(Ordering::Acquire) + rows;
    let written = async {
        while done.load(Ordering::Acquire) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(ARRIVED, written).await.expect("rows");
}

//! `cdc-collector tables`: parked tables, listed, read after all, or given up. And the other side of it: the orders
//! that a running collector finds.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::change::TableId;
use crate::config::Config;
use crate::retry::Failure;
use crate::source::parked::{self, Wish};
use crate::store::{self, Answer, Order, Orders, Store};

/// How long a running collector may take to answer: it looks once a second, and a transaction may be open.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a command looks for the answer.
const LOOK: Duration = Duration::from_millis(100);

/// How often a collector looks for orders.
const ORDERS_INTERVAL: Duration = Duration::from_secs(1);

/// What is asked of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablesCommand {
    /// Which are parked.
    List,
    /// Read the rows of one after all.
    Resume {
        /// `db.table`.
        table: String,
        /// The text of a CREATE TABLE statement that the rows fit.
        statement: Option<String>,
    },
    /// Give up its rows that were passed over.
    Skip {
        /// `db.table`.
        table: String,
        /// Why.
        reason: String,
    },
}

/// Does what is asked; the text to print.
///
/// # Errors
/// What keeps it from being done.
pub async fn tables(config: &Config, command: TablesCommand) -> Result<String, Failure> {
    let order = match command {
        TablesCommand::List => return list(config),
        TablesCommand::Resume { table, statement } => Order::ResumeTable {
            table: named(&table)?,
            statement,
        },
        TablesCommand::Skip { table, reason } => Order::SkipTable {
            table: named(&table)?,
            reason,
        },
    };
    if !store::is_held(&config.data_dir, &config.datahub.group) {
        return Err(Failure::halt(
            "collector_not_running",
            format!(
                "no collector of group {} runs on {}",
                config.datahub.group,
                config.data_dir.display()
            ),
            "start it, with the same DATA_DIR and DATAHUB_CONSUMER_GROUP, and ask again",
        ));
    }
    let orders = store::orders(&config.data_dir, &config.datahub.group);
    let id = format!("{:020}-{}", super::wall_clock().as_nanos(), std::process::id());
    orders
        .place(&id, &order)
        .map_err(|e| unusable(&config.data_dir, &e))?;
    let answered = async {
        loop {
            match orders.answered(&id) {
                Ok(None) => tokio::time::sleep(LOOK).await,
                Ok(Some(answer)) => return Ok(answer),
                Err(e) => return Err(unusable(&config.data_dir, &e)),
            }
        }
    };
    let Ok(answer) = tokio::time::timeout(PATIENCE, answered).await else {
        orders.withdraw(&id).map_err(|e| unusable(&config.data_dir, &e))?;
        return Err(Failure::halt(
            "collector_does_not_answer",
            format!(
                "the collector has not taken the order for {} s; it is withdrawn",
                PATIENCE.as_secs()
            ),
            "see in /health what the collector is doing; it takes orders while it reads the binlog",
        ));
    };
    match answer? {
        Answer { done: true, sentence } => Ok(format!("{sentence}\n")),
        Answer { sentence, .. } => Err(Failure::halt(
            "order_refused",
            sentence,
            "see which tables are parked with `cdc-collector tables list`, and why in /health",
        )),
    }
}

fn unusable(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::halt(
        "data_dir_unusable",
        format!("orders in {} cannot be written or read: {error}", dir.display()),
        "run the command as the collector's user, with the same DATA_DIR",
    )
}

fn named(table: &str) -> Result<TableId, Failure> {
    match table.split_once('.') {
        Some((db, table)) if !db.is_empty() && !table.is_empty() => Ok(TableId {
            db: db.to_owned(),
            table: table.to_owned(),
        }),
        _ => Err(Failure::halt(
            "table_not_named",
            format!("{table:?} is not the name of a table"),
            "name it as db.table",
        )),
    }
}

fn list(config: &Config) -> Result<String, Failure> {
    let checkpoint = store::look(&config.data_dir, &config.datahub.group)?;
    let parked = checkpoint.map(|c| c.position.parked).unwrap_or_default();
    if parked.is_empty() {
        return Ok(String::from("no table is parked\n"));
    }
    let line = |parked: &crate::position::Parked| format!("{} since {}\n", parked.table, parked.since);
    Ok(parked.iter().map(line).collect())
}

/// A line of the audit file.
#[derive(Serialize)]
struct Audit<'a> {
    at_ms: u64,
    #[serde(flatten)]
    order: &'a Order,
}

/// Looks for orders and sees them done, for ever.
pub(super) async fn obey(store: &Store, source: &mpsc::Sender<parked::Order>) {
    let mut interval = tokio::time::interval(ORDERS_INTERVAL);
    loop {
        interval.tick().await;
        obey_one(store, source).await;
    }
}

async fn obey_one(store: &Store, source: &mpsc::Sender<parked::Order>) {
    let orders: &Orders = store.orders();
    let (id, order) = match orders.next() {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(%error, "an order cannot be read");
            return;
        }
    };
    let audited = match &order {
        Order::SkipTable { .. } => store.append_audit(&Audit {
            at_ms: super::wall_clock_ms(),
            order: &order,
        }),
        Order::ResumeTable { .. } => Ok(()),
    };
    let done = match audited {
        Ok(()) => tokio::select! {
            done = ask(source, order) => done,
            () = withdrawn(orders, &id) => return,
        },
        Err(failure) => Err(failure.reason.message),
    };
    let answer = Answer {
        done: done.is_ok(),
        sentence: done.unwrap_or_else(|why| why),
    };
    if let Err(error) = orders.answer(&id, &answer) {
        tracing::warn!(%error, "an order cannot be answered");
    }
}

/// Waits until whoever placed the order has lost patience.
async fn withdrawn(orders: &Orders, id: &str) {
    while orders.is_open(id) {
        tokio::time::sleep(LOOK).await;
    }
}

async fn ask(source: &mpsc::Sender<parked::Order>, order: Order) -> Result<String, String> {
    let (table, wish) = match order {
        Order::ResumeTable { table, statement } => (table, Wish::Resume(statement)),
        Order::SkipTable { table, .. } => (table, Wish::Skip),
    };
    let (answer, told) = oneshot::channel();
    let order = parked::Order { table, wish, answer };
    let gone = || String::from("the source has stopped");
    source.send(order).await.map_err(|_| gone())?;
    let replaced = |_| {
        Err(String::from(
            "the connection to the database was just replaced: try again in a moment",
        ))
    };
    told.await.unwrap_or_else(replaced)
}

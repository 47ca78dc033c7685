//! A server with the shape of OceanBase's binlog service, for tests: one tenant, its binlog instances, and the doors
//! through which a client comes in.
//!
//! Everything on the wire is made here, from the protocol's and the service's descriptions; none of the product's code
//! is used, and no library's event writer. What it serves can be judged: the rows are those of the
//! [`workload`](crate::workload), and every committed change is in the [`CommitLog`] before anybody can read it.
//!
//! | part | holds |
//! |---|---|
//! | `tenant` | tables, rows, transactions and their numbers |
//! | `instance` | an instance's files, positions, server id |
//! | `request` | what a client asks for, and where a dump starts |
//! | `dump` | what it sends, and what goes wrong on the way |
//! | `sql` | which of the two servers answers a statement, and what |
//! | `session`, `packet` | the protocol of a connection |
//! | `event`, `column` | the bytes of events and rows |
//! | `json` | documents in the binary form that the service writes |
//! | `script` | what a test can switch on |

mod column;
mod dump;
mod event;
mod instance;
pub mod json;
mod packet;
mod request;
mod script;
mod session;
mod sql;
mod tenant;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::oracle::DatabaseRows;
use crate::workload::{Cell, CommitLog, Key, Operation, Table};

pub use column::{Column, Shape, Type, Value};
pub use packet::Refusal;
pub use script::{Cuts, Damage, Generation, Script, Stall, Status};
pub use tenant::{Change, SCHEMA};

use instance::Instance;
use tenant::{Body, State};

/// How long [`Tenant::drained`] waits for the readers.
const PATIENCE: Duration = Duration::from_secs(60);

/// What answers behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// ODP: all capabilities; carries the binlog's statements to the instance that it knows, all others to the observer.
    Proxy,
    /// The observer alone.
    Observer,
    /// A binlog instance itself, by its number.
    Instance(usize),
}

/// What all connections share.
#[derive(Debug)]
struct World {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

/// A tenant with its binlog instances.
#[derive(Clone, Debug)]
pub struct Tenant {
    world: Arc<World>,
    log: Arc<CommitLog>,
    seed: u64,
}

/// An open door; closed, with all connections through it, when dropped.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Door {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tenant {
    /// A tenant with the workload's tables, no rows, and one instance. All that happens by chance follows from `seed`.
    pub fn new(seed: u64) -> Tenant {
        Tenant::scripted(seed, |_| {})
    }

    /// The same under a script that holds from the first file on.
    pub fn scripted(seed: u64, script: impl FnOnce(&mut Script)) -> Tenant {
        let mut first = Script::default();
        script(&mut first);
        Tenant {
            world: Arc::new(World {
                state: Mutex::new(State::new(seed, first)),
                changed: watch::Sender::new(0),
            }),
            log: Arc::new(CommitLog::new(seed)),
            seed,
        }
    }

    /// Opens a door on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn open(&self, profile: Profile) -> Result<Door> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a free port")?;
        let address = listener.local_addr()?;
        let world = Arc::clone(&self.world);
        let task = tokio::spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // What becomes of a connection shows at its client.
                sessions.spawn(session::serve(Arc::clone(&world), profile, stream));
                while sessions.try_join_next().is_some() {}
            }
        });
        Ok(Door { address, task })
    }

    /// Changes the script.
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.world.state().script);
        self.world.notify();
    }

    /// What is left of it.
    pub fn script_now(&self) -> Script {
        self.world.state().script.clone()
    }

    /// What the observer says of a variable.
    pub fn variable(&self, name: &str, value: &str) {
        let mut state = self.world.state();
        state.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Statements that were asked so far, of whoever answered.
    pub fn asked(&self) -> Vec<String> {
        self.world.state().asked.clone()
    }

    /// Requests for a dump so far.
    pub fn dumps_requested(&self) -> u64 {
        self.world.state().dumps_requested
    }

    /// How often the end of a transaction was sent that should have been left out, see [`Script::leak`].
    pub fn leaked(&self) -> u64 {
        self.world.state().leaked
    }

    /// What was committed.
    pub fn log(&self) -> Arc<CommitLog> {
        Arc::clone(&self.log)
    }

    /// The workload's rows as they are now, as a SELECT would show them.
    pub fn rows(&self) -> DatabaseRows {
        let mut rows = DatabaseRows::default();
        for (key, version) in self.world.state().rows() {
            let cells = crate::workload::row(self.seed, key, version);
            let texts = cells.into_iter().map(|(_, cell)| match cell {
                Cell::Null => None,
                Cell::Integer(number) => Some(number.to_string()),
                Cell::Double(number) => Some(number.to_string()),
                Cell::Decimal(text) | Cell::Text(text) => Some(text),
            });
            rows.insert(key, version, texts.collect());
        }
        rows
    }

    /// The tenant's uuid.
    pub fn uuid(&self) -> String {
        sql::uuid_text(&self.world.state().uuid)
    }

    /// Every transaction of the tenant, as a GTID set.
    pub fn executed(&self) -> String {
        let state = self.world.state();
        sql::set_to(&state, state.last())
    }

    /// The end of the active instance's binlog.
    pub fn end(&self) -> (String, u64) {
        let state = self.world.state();
        let instance = state.instances.get(state.active);
        let file = instance.and_then(|instance| instance.files.last());
        file.map(|file| (file.name(), file.end())).unwrap_or_default()
    }

    /// The end of its oldest file.
    pub fn end_of_oldest(&self) -> (String, u64) {
        let state = self.world.state();
        let instance = state.instances.get(state.active);
        let file = instance.and_then(|instance| instance.files.first());
        file.map(|file| (file.name(), file.end())).unwrap_or_default()
    }

    /// The number of the last transaction.
    pub fn last(&self) -> u64 {
        self.world.state().last()
    }

    /// Commits so many random transactions, each of at most so many rows.
    pub fn load(&self, transactions: u32, rows: u32) {
        for _ in 0..transactions {
            let mut state = self.world.state();
            let changes = state.random(rows, 300);
            state.commit(Body::Rows(changes), &self.log);
            drop(state);
            self.world.notify();
        }
    }

    /// Commits a transaction of rows that the oracle does not know, or none.
    pub fn commit(&self, changes: Vec<Change>) -> u64 {
        self.commit_body(Body::Rows(changes))
    }

    /// Commits one transaction of `known` changes of the workload's rows, with so many new rows of `journal` behind each
    /// that the oracle is not told of.
    pub fn huge(&self, known: u32, each: u32) -> u64 {
        let mut state = self.world.state();
        let mut changes = Vec::new();
        for number in 0..known {
            let table = Table::Accounts;
            changes.push(state.next_change(Key { table, number }));
            for at in 0..each {
                let id = i128::from(number * each + at);
                let text = Cell::Text("a row of no consequence".to_owned());
                let row = [Cell::Integer(id), Cell::Integer(1), text].map(Value::from);
                changes.push(Change::insert(Table::Journal.name(), row.to_vec()));
            }
        }
        let gno = state.commit(Body::Rows(changes), &self.log);
        drop(state);
        self.world.notify();
        gno
    }

    /// Gives a table this shape. Its statement enters the binlog if there is one; a table of that name is as the shape
    /// says from here on either way.
    pub fn define(&self, shape: Shape, statement: Option<&str>) {
        let mut state = self.world.state();
        state.define(shape);
        if let Some(text) = statement {
            state.commit(Body::Statement(text.to_owned()), &self.log);
        }
        drop(state);
        self.world.notify();
    }

    /// The shape of a table now.
    pub fn shape(&self, table: &str) -> Option<Shape> {
        let state = self.world.state();
        state.shapes.get(table).map(|shape| shape.as_ref().clone())
    }

    fn commit_body(&self, body: Body) -> u64 {
        let gno = self.world.state().commit(body, &self.log);
        self.world.notify();
        gno
    }

    /// Adds an instance that has everything so far in files of its own, of at most `max_file` bytes.
    pub fn add_instance(&self, max_file: usize) -> usize {
        let mut state = self.world.state();
        let server_id = state.below(1 << 30) + 1;
        let mut instance = Instance::new(state.uuid, server_id, &state.script);
        instance.max_file = Some(max_file);
        state.instances.push(instance);
        state.catch_up();
        state.instances.len() - 1
    }

    /// The proxy asks this instance from now on; all dumps of the others end.
    pub fn fail_over(&self, to: usize) {
        let mut state = self.world.state();
        state.active = to;
        for (at, instance) in state.instances.iter_mut().enumerate() {
            instance.kills += u64::from(at != to);
        }
        drop(state);
        self.world.notify();
    }

    /// An instance stands still, or goes on and writes what it lacks.
    pub fn lag(&self, instance: usize, lags: bool) {
        let mut state = self.world.state();
        if let Some(instance) = state.instances.get_mut(instance) {
            instance.lags = lags;
        }
        state.catch_up();
        drop(state);
        self.world.notify();
    }

    /// Begins a new file at every instance.
    pub fn rotate(&self) {
        self.with_instances(|instance, script| instance.rotate(seconds(), script));
    }

    /// Restarts every instance: new table ids, new file. Dumps go on.
    pub fn restart(&self) {
        self.with_instances(|instance, script| instance.restart(seconds(), script));
    }

    /// Restarts every instance, which then writes the last so many transactions once more, under their numbers.
    pub fn restart_writing_again(&self, transactions: usize) {
        let mut state = self.world.state();
        state.write_again(transactions, seconds());
        drop(state);
        self.world.notify();
    }

    /// Leaves so many bytes out of the file that the next rotation begins: positions count them.
    pub fn leave_hole(&self, bytes: u64) {
        self.with_instances(|instance, _| instance.leave_hole(bytes));
    }

    /// Removes all files but the newest so many, at every instance.
    pub fn purge(&self, keep: usize) {
        self.with_instances(|instance, _| instance.purge(keep));
    }

    fn with_instances(&self, change: impl Fn(&mut Instance, &Script)) {
        let mut state = self.world.state();
        let script = state.script.clone();
        for instance in &mut state.instances {
            change(instance, &script);
        }
        drop(state);
        self.world.notify();
    }

    /// Commits a random transaction that the active instance first writes only in part: once every reader has that,
    /// the instance restarts, cuts the part off, and writes the transaction in full into a new file. `twist` may change
    /// what is written the second time.
    ///
    /// # Errors
    /// If the readers do not come that far.
    pub async fn interrupted(
        &self,
        rows: u32,
        part: usize,
        twist: impl FnOnce(&mut Vec<Change>),
    ) -> Result<()> {
        let (transaction, at, cut) = {
            let mut state = self.world.state();
            let mut changes = Vec::new();
            for number in 0..rows {
                let table = Table::Accounts;
                changes.push(state.next_change(Key { table, number }));
            }
            let at = state.active;
            let transaction = state.number(Body::Rows(changes), &self.log);
            let script = state.script.clone();
            let instance = state.instances.get_mut(at).context("no instance")?;
            let cut = instance.write_half(&transaction, part, &script);
            (transaction, at, cut)
        };
        self.world.notify();
        self.drained().await?;
        let mut again = transaction.as_ref().clone();
        if let Body::Rows(changes) = &mut again.body {
            twist(changes);
        }
        {
            let mut state = self.world.state();
            let script = state.script.clone();
            let instance = state.instances.get_mut(at).context("no instance")?;
            instance.truncate(cut);
            instance.restart(seconds(), &script);
            instance.write(&again, &script);
            state.catch_up();
        }
        self.world.notify();
        Ok(())
    }

    /// Waits until there is a dump, and every one has sent all that its instance has.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn drained(&self) -> Result<()> {
        let mut changed = self.world.changed.subscribe();
        let waiting = async {
            while !self.world.state().is_drained() {
                changed.changed().await.context("the tenant is gone")?;
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .context("the readers do not come to the end of the binlog")?
    }

    /// Ends all dumps.
    pub fn end_dumps(&self) {
        self.with_instances(|instance, _| instance.kills += 1);
    }
}

fn seconds() -> u32 {
    u32::try_from(crate::workload::now_us() / 1_000_000).unwrap_or(u32::MAX)
}

/// An update of a row that the oracle does not know.
pub fn update(table: &str, before: Vec<Value>, after: Vec<Value>) -> Change {
    Change::Free {
        table: table.to_owned(),
        operation: Operation::Update,
        before,
        after,
        partial: false,
    }
}

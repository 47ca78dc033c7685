//! Sockets and connections, and the state that all of them share.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::call::{CallKind, Section, Target};
use crate::faults::{Faults, Rule};
use crate::http::{self, Dropped};
use crate::manage;
use crate::options::Options;
use crate::refusal::Refusal;
use crate::sign::Credentials;
use crate::socket::Socket;
use crate::stats::Stats;
use crate::topic::{Moment, Topic};
use crate::world::World;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    stats: Mutex<Stats>,
    credentials: Mutex<Credentials>,
    /// Records ever stored; changes wake who waits for records.
    pub(crate) stored: watch::Sender<u64>,
    /// Requests that are applied after their connection was dropped.
    late: Mutex<JoinSet<()>>,
    requests: AtomicU64,
}

/// Every critical section leaves its data whole, so a panic in a test's callback need not spoil the rest.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new(options: Options) -> Result<Shared, Refusal> {
        let shared = Shared {
            world: Mutex::default(),
            faults: Mutex::default(),
            stats: Mutex::default(),
            credentials: Mutex::new(Credentials {
                access_id: options.access_id.clone(),
                access_key: options.access_key.clone(),
                security_token: options.security_token.clone(),
            }),
            stored: watch::Sender::new(0),
            late: Mutex::default(),
            requests: AtomicU64::new(0),
            options,
        };
        shared.reset()?;
        Ok(shared)
    }

    /// Back to how it was at the start: topics of the options, no records, no faults, counters at zero.
    pub(crate) fn reset(&self) -> Result<(), Refusal> {
        let mut fresh = World {
            strict_names: self.options.strict_names,
            ..World::default()
        };
        for spec in &self.options.create {
            manage::create_from_spec(&mut fresh, spec, &self.options, self.options.clock.now_us())?;
        }
        *self.world() = fresh;
        *self.faults() = Faults::default();
        *self.stats() = Stats::default();
        Ok(())
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn stats(&self) -> MutexGuard<'_, Stats> {
        lock(&self.stats)
    }

    pub(crate) fn credentials(&self) -> MutexGuard<'_, Credentials> {
        lock(&self.credentials)
    }

    pub(crate) fn now(&self) -> Moment<'_> {
        Moment {
            us: self.options.clock.now_us(),
            options: &self.options,
        }
    }

    /// A new request id.
    pub(crate) fn request_id(&self) -> String {
        format!("emulator-{:016x}", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs something to its end after its connection is gone.
    pub(crate) fn later(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut late = lock(&self.late);
        while late.try_join_next().is_some() {}
        late.spawn(task);
    }
}

/// A running emulator; dropping it closes everything.
pub struct Emulator {
    pub(crate) shared: Arc<Shared>,
    addr: SocketAddr,
    server: JoinSet<()>,
}

impl Emulator {
    /// Listens and serves until stopped. Fails when the address cannot be had or a topic of the options is not
    /// allowed.
    pub async fn start(options: Options) -> io::Result<Emulator> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let shared = Shared::new(options)
            .map_err(|refusal| io::Error::new(io::ErrorKind::InvalidInput, refusal.message))?;
        let shared = Arc::new(shared);
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&shared)));
        Ok(Emulator { shared, addr, server })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL for clients, e.g. `http://127.0.0.1:41234`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Closes the port and all connections, answered or not. Requests that a fault plan put off are dropped.
    pub async fn stop(mut self) {
        lock(&self.shared.late).abort_all();
        self.server.shutdown().await;
    }

    /// Arms a fault and gives its id.
    pub fn add_fault(&self, rule: Rule) -> u64 {
        self.shared.faults().add(rule)
    }

    /// Disarms all faults.
    pub fn clear_faults(&self) {
        self.shared.faults().rules.clear();
    }

    /// How often a fault fired; 0 for one that is not armed any more.
    pub fn fault_fired(&self, id: u64) -> u64 {
        let faults = self.shared.faults();
        faults
            .rules
            .iter()
            .find(|rule| rule.id == id)
            .map_or(0, |rule| rule.fired)
    }

    /// The counters now.
    pub fn stats(&self) -> Stats {
        self.shared.stats().clone()
    }

    /// Requests that are still to be applied, their connections long gone.
    pub fn outstanding(&self) -> usize {
        let mut late = lock(&self.shared.late);
        while late.try_join_next().is_some() {}
        late.len()
    }

    /// Changes who is let in from now on.
    pub fn set_credentials(&self, access_id: &str, access_key: &str) {
        let mut credentials = self.shared.credentials();
        access_id.clone_into(&mut credentials.access_id);
        access_key.clone_into(&mut credentials.access_key);
    }

    /// Makes a BLOB or TUPLE topic, and its project when missing.
    pub fn create_topic(&self, spec: &crate::TopicSpec) -> Result<(), String> {
        let now_us = self.shared.options.clock.now_us();
        manage::create_from_spec(&mut self.shared.world(), spec, &self.shared.options, now_us)
            .map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))
    }

    /// Deletes a topic with all that it holds.
    pub fn delete_topic(&self, project: &str, topic: &str) -> Result<(), String> {
        let target = Target {
            project: project.to_owned(),
            topic: topic.to_owned(),
            section: Section::Topic,
        };
        let (now, request) = (self.shared.now(), serde_json::Value::Null);
        let deleted = manage::handle(
            &mut self.shared.world(),
            CallKind::DeleteTopic,
            &target,
            &request,
            now,
        );
        deleted
            .map(drop)
            .map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))
    }

    /// Splits a shard in its middle, at once however young it is; gives the children's ids.
    pub fn split(&self, project: &str, topic: &str, shard: u32) -> Result<(u32, u32), String> {
        let next = self.reshape(project, topic, |topic, now| {
            topic.split(&shard.to_string(), None, now)
        })?;
        Ok((next - 2, next - 1))
    }

    /// Merges two neighbours, at once however young they are; gives the child's id.
    pub fn merge(&self, project: &str, topic: &str, shard: u32, other: u32) -> Result<u32, String> {
        let (shard, other) = (shard.to_string(), other.to_string());
        let next = self.reshape(project, topic, |topic, now| topic.merge(&shard, &other, now))?;
        Ok(next - 1)
    }

    /// The time of everything stored so far is over: no client finds it any more. What reads the topic from this process
    /// still does.
    pub fn expire(&self, project: &str, topic: &str) -> Result<(), String> {
        let mut world = self.shared.world();
        let topic = world.topic(project, topic);
        let topic = topic.map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))?;
        for shard in &mut topic.shards {
            shard.oldest = shard.records.len();
        }
        Ok(())
    }

    /// Changes a topic's shards and gives the number of them.
    fn reshape(
        &self,
        project: &str,
        topic: &str,
        change: impl FnOnce(&mut Topic, Moment<'_>) -> Result<serde_json::Value, Refusal>,
    ) -> Result<u32, String> {
        let at_once = at_once(&self.shared.options);
        let now = Moment {
            us: self.shared.options.clock.now_us(),
            options: &at_once,
        };
        let mut world = self.shared.world();
        let changed = world.topic(project, topic).and_then(|topic| {
            change(topic, now)?;
            Ok(u32::try_from(topic.shards.len()).unwrap_or(u32::MAX))
        });
        changed.map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))
    }
}

/// The options under which even a young shard may be split or merged.
pub(crate) fn at_once(options: &Options) -> Options {
    Options {
        shard_guard: std::time::Duration::ZERO,
        ..options.clone()
    }
}

/// Accepts connections for ever; ends, with all of them, when its task is ended.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    shared.stats().connections += 1;
                    connections.spawn(connection(stream, Arc::clone(&shared)));
                }
                // Out of file handles: some will be given back.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection. How it ends is the client's affair: it broke off, or a fault plan did.
async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (socket, reset) = Socket::new(stream);
    let service = service_fn(move |request| {
        let (shared, reset) = (Arc::clone(&shared), Arc::clone(&reset));
        async move {
            let answer = http::answer(shared, request).await;
            if let Err(Dropped::Reset) = answer {
                reset.store(true, Ordering::Relaxed);
            }
            answer
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(1 << 20)
        .serve_connection(TokioIo::new(socket), service);
    drop(connection.await);
}

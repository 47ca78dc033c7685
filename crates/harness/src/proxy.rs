//! A TCP proxy that misbehaves on command: stands between the collector and a server and plays the network.
//!
//! All faults are set at run time and hold for connections that are open as well as for new ones. Bytes are
//! never changed, reordered or invented: they pass, wait, or are cut off.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::ports::free_port;

mod events;
mod pump;

use events::{EventFuse, Events};
pub use events::{Place, event_name};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both ways.
    Both,
}

impl Direction {
    fn covers(self, other: Direction) -> bool {
        self == Direction::Both || self == other
    }
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both ends see a reset (RST).
    Reset,
    /// Both ends see an orderly end (FIN).
    Close,
}

/// What happens to a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Arrival {
    #[default]
    Pass,
    /// Nobody listens.
    Refuse,
    /// Accepted and reset at once.
    Drop,
}

#[derive(Clone, Debug, Default)]
struct Weather {
    arrival: Arrival,
    blackhole: Option<Direction>,
    latency: Duration,
    bytes_per_second: Option<u64>,
}

/// The first bytes in one direction still pass, then all connections are cut.
#[derive(Debug)]
struct Fuse {
    direction: Direction,
    bytes: u64,
    cut: Cut,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    weather: watch::Sender<Weather>,
    /// Raised by one for every cut.
    cut: watch::Sender<(u64, Cut)>,
    fuse: Mutex<Option<Fuse>>,
    event_fuse: Mutex<Option<EventFuse>>,
    /// Binlog events passed on to clients, by type.
    events: Mutex<BTreeMap<u8, u64>>,
    accepted: AtomicU64,
    open: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

/// The proxy; clones steer the same one. It ends, with all its connections, when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `target`.
    pub async fn start(target: SocketAddr) -> Result<Proxy> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"))?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            weather: watch::Sender::new(Weather::default()),
            cut: watch::Sender::new((0, Cut::Reset)),
            fuse: Mutex::new(None),
            event_fuse: Mutex::new(None),
            events: Mutex::default(),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
        });
        let task = tokio::spawn(accept_loop(address, listener, Arc::clone(&shared)));
        Ok(Proxy {
            address,
            shared,
            _task: Arc::new(AbortOnDrop(task)),
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port where clients connect.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Fine weather: every fault ends, a pending [`Proxy::cut_after`] or [`Proxy::cut_at_event`] too. What was held back is delivered.
    pub fn pass(&self) {
        *self.fuse() = None;
        self.shared.clear_event_fuse();
        self.shared.weather.send_replace(Weather::default());
    }

    /// New connections are refused: nobody listens. Open ones are not touched, see [`Proxy::cut`].
    pub fn refuse(&self) {
        self.shared
            .weather
            .send_modify(|weather| weather.arrival = Arrival::Refuse);
    }

    /// New connections are accepted and reset at once. Open ones are not touched.
    pub fn drop_new(&self) {
        self.shared
            .weather
            .send_modify(|weather| weather.arrival = Arrival::Drop);
    }

    /// Connections stay open (new ones are accepted), but no byte moves in that direction.
    pub fn blackhole(&self, direction: Direction) {
        self.shared
            .weather
            .send_modify(|weather| weather.blackhole = Some(direction));
    }

    /// Holds every piece of data back for so long, each way.
    pub fn latency(&self, latency: Duration) {
        self.shared
            .weather
            .send_modify(|weather| weather.latency = latency);
    }

    /// At most so many bytes a second, for each connection and each way.
    pub fn bandwidth(&self, bytes_per_second: u64) {
        self.shared
            .weather
            .send_modify(|weather| weather.bytes_per_second = Some(bytes_per_second.max(1)));
    }

    /// Cuts all open connections now.
    pub fn cut(&self, cut: Cut) {
        self.shared.cut_all(cut);
    }

    /// Lets exactly so many more bytes pass in a direction, over all connections, then cuts them all. Once.
    pub fn cut_after(&self, direction: Direction, bytes: u64, cut: Cut) {
        *self.fuse() = Some(Fuse {
            direction,
            bytes,
            cut,
        });
    }

    /// New connections go to another server from now on.
    pub fn retarget(&self, target: SocketAddr) {
        *self.shared.target.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Cuts so far: by [`Proxy::cut`], [`Proxy::cut_after`] and [`Proxy::cut_at_event`].
    pub fn cuts(&self) -> u64 {
        self.shared.cut.borrow().0
    }

    /// Bytes passed on so far: to the server, and to the client.
    pub fn bytes(&self) -> (u64, u64) {
        (
            self.shared.to_server.load(Ordering::Relaxed),
            self.shared.to_client.load(Ordering::Relaxed),
        )
    }

    fn fuse(&self) -> std::sync::MutexGuard<'_, Option<Fuse>> {
        self.shared.fuse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn cut_all(&self, cut: Cut) {
        self.cut.send_modify(|state| *state = (state.0 + 1, cut));
    }

    /// How many of `bytes` may pass; burns the fuses, and says how to cut once one has burnt down.
    fn burn(&self, direction: Direction, bytes: &[u8], events: &mut Events) -> (usize, Option<Cut>) {
        if direction == Direction::ToClient
            && let Some((allowed, cut)) = self.burn_at_event(events, bytes)
        {
            return (allowed, Some(cut));
        }
        self.burn_bytes(direction, bytes.len())
    }

    fn burn_bytes(&self, direction: Direction, bytes: usize) -> (usize, Option<Cut>) {
        let mut guard = self.fuse.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(fuse) = guard.as_mut().filter(|fuse| fuse.direction.covers(direction)) else {
            return (bytes, None);
        };
        let length = bytes as u64;
        if length < fuse.bytes {
            fuse.bytes -= length;
            return (bytes, None);
        }
        let (allowed, cut) = (fuse.bytes as usize, fuse.cut);
        *guard = None;
        (allowed, Some(cut))
    }
}

async fn accept_loop(address: SocketAddr, first: TcpListener, shared: Arc<Shared>) {
    let mut weather = shared.weather.subscribe();
    let mut listener = Some(first);
    // Dropping the set ends every connection.
    let mut connections = JoinSet::new();
    loop {
        let arrival = weather.borrow_and_update().arrival;
        if arrival == Arrival::Refuse {
            listener = None;
            if weather.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            // The port was ours a moment ago; what still holds it lets go within milliseconds.
            match TcpListener::bind(address).await {
                Ok(again) => listener = Some(again),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
            continue;
        };
        tokio::select! {
            changed = weather.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next() => {}
            client = open.accept() => {
                let Ok((client, _)) = client else { continue };
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                if arrival == Arrival::Drop {
                    reset(client);
                } else {
                    connections.spawn(connection(client, Arc::clone(&shared)));
                }
            }
        }
    }
}

/// Ends a connection with RST instead of FIN.
fn reset(stream: TcpStream) {
    // An error means that the connection has ended already.
    stream.set_zero_linger().ok();
}

async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    let _open = OpenConnection::count(&shared.open);
    let mut cuts = shared.cut.subscribe();
    let target = *shared.target.lock().unwrap_or_else(PoisonError::into_inner);
    let server = tokio::select! {
        server = pump::connect(target, &shared) => server,
        _ = cuts.changed() => Err(std::io::ErrorKind::ConnectionAborted.into()),
    };
    match server {
        Err(_) => reset(client),
        Ok(mut server) => {
            let cut = tokio::select! {
                biased;
                _ = cuts.changed() => Some(cuts.borrow().1),
                ended = pump::both_ways(&mut client, &mut server, &shared) => ended.err().map(|_| Cut::Reset),
            };
            match cut {
                None => {}
                Some(Cut::Reset) => {
                    reset(client);
                    reset(server);
                }
                Some(Cut::Close) => pump::close(client, server).await,
            }
        }
    }
}

/// Counts a connection for as long as it lives, also when its task is ended from outside.
struct OpenConnection<'a>(&'a AtomicU64);

impl<'a> OpenConnection<'a> {
    fn count(counter: &'a AtomicU64) -> OpenConnection<'a> {
        counter.fetch_add(1, Ordering::Relaxed);
        OpenConnection(counter)
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

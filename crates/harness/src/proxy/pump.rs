//! Moves the bytes of one proxied connection, as far as the weather lets it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::events::Events;
use super::{Direction, Shared, Weather};

/// How much is read at once; also how coarse the bandwidth limit is at high rates.
const PIECE: usize = 64 * 1024;

/// Connects to the server once bytes may reach it.
pub(super) async fn connect(target: SocketAddr, shared: &Shared) -> io::Result<TcpStream> {
    let mut weather = shared.weather.subscribe();
    passable(&mut weather, Direction::ToServer).await;
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Runs until both sides have ended; an error ends both at once.
pub(super) async fn both_ways(
    client: &mut TcpStream,
    server: &mut TcpStream,
    shared: &Shared,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        one_way(
            from_client,
            to_server,
            Direction::ToServer,
            shared,
            &shared.to_server
        ),
        one_way(
            from_server,
            to_client,
            Direction::ToClient,
            shared,
            &shared.to_client
        ),
    )
    .map(drop)
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    shared: &Shared,
    counter: &AtomicU64,
) -> io::Result<()> {
    let mut weather = shared.weather.subscribe();
    let mut buffer = vec![0; PIECE];
    let mut events = Events::default();
    loop {
        let limit = passable(&mut weather, direction).await.bytes_per_second;
        // A tenth of a second's worth at a time keeps a slow link smooth.
        let piece = limit.map_or(PIECE, |rate| {
            usize::try_from(rate / 10).map_or(PIECE, |n| n.clamp(1, PIECE))
        });
        let length = tokio::select! {
            length = from.read(&mut buffer[..piece]) => length?,
            _ = weather.changed() => continue,
        };
        let now = passable(&mut weather, direction).await;
        if length == 0 {
            return to.shutdown().await;
        }
        let transfer = now.bytes_per_second.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(length as f64 / rate as f64)
        });
        let delay = now.latency + transfer;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
            // A blackhole may have opened meanwhile.
            passable(&mut weather, direction).await;
        }
        let (allowed, cut) = shared.burn(direction, &buffer[..length], &mut events);
        to.write_all(&buffer[..allowed]).await?;
        counter.fetch_add(allowed as u64, Ordering::Relaxed);
        if let Some(cut) = cut {
            to.flush().await?;
            shared.cut_all(cut);
            // The cut reaches this connection through its own signal.
            std::future::pending::<()>().await;
        }
    }
}

/// Waits until no blackhole swallows this direction, and returns the weather.
async fn passable(weather: &mut watch::Receiver<Weather>, direction: Direction) -> Weather {
    let open = |weather: &Weather| !weather.blackhole.is_some_and(|closed| closed.covers(direction));
    let now = weather.wait_for(open).await.ok().map(|weather| weather.clone());
    match now {
        Some(now) => now,
        // The proxy is going away, and this connection with it.
        None => std::future::pending().await,
    }
}

/// An orderly end on both sides. Bytes that arrive meanwhile are read and thrown away, since closing a socket
/// with unread bytes would send a reset instead.
pub(super) async fn close(mut client: TcpStream, mut server: TcpStream) {
    let drain = async |stream: &mut TcpStream| {
        stream.shutdown().await?;
        tokio::io::copy(stream, &mut tokio::io::sink()).await
    };
    // Whoever does not answer the end within this time is reset.
    let patience = Duration::from_secs(2);
    tokio::time::timeout(patience, async {
        tokio::join!(drain(&mut client), drain(&mut server))
    })
    .await
    .ok();
}

//! Each fault of the proxy, seen from a client and an echo server.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::proxy::{Cut, Direction, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for loopback, short enough to prove that nothing comes.
const SILENCE: Duration = Duration::from_millis(100);

async fn echo() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Ok(address)
}

async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

async fn pair() -> Result<(Proxy, TcpStream)> {
    let proxy = Proxy::start(echo().await?).await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    ensure!(round_trip(&mut client, b"hello").await? == b"hello");
    Ok((proxy, client))
}

#[tokio::test]
async fn passes_bytes_and_counts_them() -> Result<()> {
    let (proxy, mut client) = pair().await?;
    let large = vec![7; 1 << 20];
    let (mut from, mut to) = client.split();
    let mut answer = vec![0; large.len()];
    tokio::try_join!(to.write_all(&large), async { from.read_exact(&mut answer).await.map(drop) })?;
    ensure!(answer == large);
    ensure!(proxy.bytes() == (5 + (1 << 20), 5 + (1 << 20)));
    ensure!(proxy.accepted() == 1 && proxy.open() == 1);
    Ok(())
}

#[tokio::test]
async fn refuses_new_connections_and_keeps_open_ones() -> Result<()> {
    let (proxy, mut client) = pair().await?;
    proxy.refuse();
    // The listener closes as soon as the proxy's task runs.
    let refused = async {
        while TcpStream::connect(proxy.address()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await?;
    ensure!(round_trip(&mut client, b"still").await? == b"still");
    proxy.pass();
    let again = async {
        loop {
            if let Ok(stream) = TcpStream::connect(proxy.address()).await {
                return stream;
            }
            tokio::task::yield_now().await;
        }
    };
    let mut stream = tokio::time::timeout(Duration::from_secs(5), again).await?;
    ensure!(round_trip(&mut stream, b"back").await? == b"back");
    Ok(())
}

#[tokio::test]
async fn drops_new_connections_and_keeps_open_ones() -> Result<()> {
    let (proxy, mut client) = pair().await?;
    proxy.drop_new();
    ensure!(round_trip(&mut client, b"still").await? == b"still");
    let mut dropped = TcpStream::connect(proxy.address()).await?;
    let error = round_trip(&mut dropped, b"x").await.expect_err("must be reset");
    ensure!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    Ok(())
}

#[tokio::test]
async fn blackhole_holds_bytes_back_and_delivers_them_later() -> Result<()> {
    for direction in [Direction::Both, Direction::ToServer, Direction::ToClient] {
        let (proxy, mut client) = pair().await?;
        proxy.blackhole(direction);
        client.write_all(b"held").await?;
        let mut answer = [0; 4];
        let silent = tokio::time::timeout(SILENCE, client.read_exact(&mut answer)).await;
        ensure!(silent.is_err(), "{direction:?} let bytes through");
        ensure!((proxy.bytes().0 == 9) == (direction == Direction::ToClient), "the other direction must pass");
        // New connections are accepted and stay silent too.
        let mut other = TcpStream::connect(proxy.address()).await?;
        ensure!(tokio::time::timeout(SILENCE, round_trip(&mut other, b"x")).await.is_err());
        proxy.pass();
        client.read_exact(&mut answer).await?;
        ensure!(&answer == b"held");
    }
    Ok(())
}

#[tokio::test]
async fn cuts_open_connections_both_ways() -> Result<()> {
    let (proxy, mut client) = pair().await?;
    proxy.cut(Cut::Reset);
    let error = client.read(&mut [0; 1]).await.expect_err("must be reset");
    ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}");

    let mut client = TcpStream::connect(proxy.address()).await?;
    ensure!(round_trip(&mut client, b"fresh").await? == b"fresh");
    proxy.cut(Cut::Close);
    ensure!(client.read(&mut [0; 1]).await? == 0, "an orderly end reads as end of file");
    ensure!(proxy.cuts() == 2);
    Ok(())
}

#[tokio::test]
async fn cuts_after_exactly_so_many_bytes() -> Result<()> {
    let (proxy, mut client) = pair().await?;
    proxy.cut_after(Direction::ToClient, 10, Cut::Close);
    client.write_all(&[1; 64]).await?;
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await?;
    ensure!(answer == [1; 10], "{} bytes passed", answer.len());
    // Once only: the next connection is whole.
    let mut client = TcpStream::connect(proxy.address()).await?;
    ensure!(round_trip(&mut client, &[2; 64]).await? == [2; 64]);
    Ok(())
}

#[tokio::test]
async fn delays_and_limits() -> Result<()> {
    let (proxy, mut client) = pair().await?;
    proxy.latency(Duration::from_millis(40));
    let begun = Instant::now();
    round_trip(&mut client, b"slow").await?;
    ensure!(begun.elapsed() >= Duration::from_millis(80), "each way takes 40 ms: {:?}", begun.elapsed());
    proxy.pass();
    proxy.bandwidth(100_000);
    let begun = Instant::now();
    round_trip(&mut client, &[3; 20_000]).await?;
    ensure!(begun.elapsed() >= Duration::from_millis(200), "20 kB at 100 kB/s: {:?}", begun.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_dead_target_resets_the_client_until_it_is_replaced() -> Result<()> {
    let unused = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let proxy = Proxy::start(unused).await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    ensure!(round_trip(&mut client, b"x").await.is_err());
    proxy.retarget(echo().await?);
    let mut client = TcpStream::connect(proxy.address()).await?;
    ensure!(round_trip(&mut client, b"there").await? == b"there");
    Ok(())
}

#[tokio::test]
async fn dropping_the_last_handle_ends_everything() -> Result<()> {
    let (proxy, mut client) = pair().await?;
    let clone = proxy.clone();
    drop(proxy);
    ensure!(round_trip(&mut client, b"clone").await? == b"clone");
    drop(clone);
    let ended = client.read(&mut [0; 1]).await;
    ensure!(!matches!(ended, Ok(1..)), "the connection must end");
    Ok(())
}

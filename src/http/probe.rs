//! The client side of `/health/live`, for a container's health check: no curl, no runtime, three seconds.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The server answers from memory: whoever needs longer is wedged.
const PATIENCE: Duration = Duration::from_secs(3);

/// An answer is a few hundred bytes; whatever else listens there must not fill our memory.
const LARGEST_ANSWER: u64 = 64 * 1024;

/// Asks the collector that listens on `listen` whether it is alive.
///
/// # Errors
/// One sentence: what was answered instead, or why nothing was.
pub fn live(listen: SocketAddr) -> Result<(), String> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let answer = ask(address).map_err(|error| format!("no answer from {address}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(format!("{address} answered {status:?} {body}"))
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET /health/live HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn server(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_200_is_alive() {
        assert_eq!(live(server("HTTP/1.1 200 OK\r\n\r\n{}")), Ok(()));
        let error = live(server("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"ok\":false}")).unwrap_err();
        assert!(error.contains("503") && error.contains("false"), "{error}");
        assert!(live(server("SSH-2.0-OpenSSH\r\n")).is_err());
        assert!(live(server("")).is_err());
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(live(closed).is_err());
    }

    #[test]
    fn an_address_for_everybody_is_asked_on_this_machine() {
        let mut address = server("HTTP/1.1 200 OK\r\n\r\n");
        address.set_ip(Ipv4Addr::UNSPECIFIED.into());
        assert_eq!(live(address), Ok(()));
    }
}

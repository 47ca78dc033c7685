//! Free loopback ports that stay free.
//!
//! A port given by the kernel for port 0 lies in the range that it also uses for outgoing connections: a
//! server that is killed and restarted on it may find it taken by some client. So ports come from below that
//! range, and none is given out twice by one process.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Result, bail};

/// Below Linux's default range for outgoing connections (32768 and up), above the well-known services.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A loopback port that nobody listens on, and that this process has not given out before.
pub fn free_port() -> Result<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1_000 {
        let port = fastrand::u16(RANGE);
        if given.contains(&port) {
            continue;
        }
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    bail!("no free loopback port found in {}..{}", RANGE.start, RANGE.end)
}

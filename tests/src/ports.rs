//! Ports for the processes that tests start.
//!
//! Invariant: below what the operating system gives to outgoing connections. A port it chose could be taken by one of
//! the hundreds of connections of a test between its choice and its use, also while its process restarts.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

const FIRST: u16 = 10_000;
/// Linux's `ip_local_port_range` begins at 32,768.
const COUNT: u16 = 22_768;

/// A port nobody listens on, another one at each call.
///
/// # Errors
/// All are taken.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Tests of several checkouts may run at a time: each process begins elsewhere.
    let begin = u16::try_from(u64::from(std::process::id()) * 97 % u64::from(COUNT))?;
    for _ in 0..COUNT {
        let place = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = FIRST + place;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} to {} is free", FIRST + COUNT - 1)
}

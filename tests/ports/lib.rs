//! Ports for what tests and benchmarks start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// The first port that is given out. All are below the system's ephemeral ports, so that no outgoing connection and nobody who asks
/// for any free port takes one before its server listens or while it is down, and below those that nodes choose from.
const FIRST: u32 = 10_000;
/// How many there are.
const COUNT: u32 = 9_000;
/// How far apart processes begin that are started one after another.
const APART: u32 = 61;

/// A port of this machine that nobody listens on. A process gives out each once until all were.
///
/// # Panics
///
/// When all are in use.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(APART) % COUNT;
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap_or_else(|| panic!("all ports from {FIRST} on are in use"))
}

//! Ports for processes that are about to start.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// `count` ports of 127.0.0.1 that nobody listens on, below the range from which outgoing connections take theirs: a process that is down
/// for a moment finds its port again.
///
/// # Errors
/// When the machine has none.
pub fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    /// Those of this process are somebody's even while nobody listens on them.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = Vec::new();
    for _ in 0..10_000 {
        if ports.len() == count {
            return Ok(ports);
        }
        let port = rand::random_range(15_000..32_000);
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            ports.push(port);
        }
    }
    Err(std::io::Error::other("no free port between 15000 and 32000"))
}

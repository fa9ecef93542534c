//! Free ports that stay free while a process is down.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range out of which systems give ports to outgoing connections and to port 0 (32768 on
/// Linux): otherwise somebody could get the port of a gateway that is just being restarted.
const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// Ports that one process of tests may use before it runs into the next one's.
const PER_PROCESS: u16 = 250;

static USED: AtomicU16 = AtomicU16::new(0);

/// A port on the loopback that nobody listens on. No two calls in a process give the same one, and
/// other processes begin elsewhere.
pub(crate) fn free() -> u16 {
    let blocks = u32::from((RANGE.end - RANGE.start) / PER_PROCESS);
    let block = u16::try_from(std::process::id() % blocks).unwrap_or(0);
    for _ in RANGE {
        let used = USED.fetch_add(1, Ordering::Relaxed) % (RANGE.end - RANGE.start);
        let offset = (block * PER_PROCESS + used) % (RANGE.end - RANGE.start);
        let port = RANGE.start + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free in {RANGE:?}");
}

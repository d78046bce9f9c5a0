//! The bounds that both HTTP clients observe.

use std::time::Duration;

use tokio::time::Instant;

use crate::transport::descriptors;
use crate::transport::limits::Limits;

/// The instant at which an exchange that began at `start` has to be over.
pub(in crate::transport) fn deadline_of(limits: &Limits, start: Instant) -> Instant {
    start.checked_add(limits.deadline).unwrap_or_else(|| start + FOREVER)
}

pub(in crate::transport) const DEFAULT_USER_AGENT: &str = concat!("hookwire/", env!("CARGO_PKG_VERSION"));

/// As many idle connections per host as a dispatcher has attempts in flight.
pub(in crate::transport) const DEFAULT_MAX_IDLE: usize = 256;

/// Half of what the process may have open, and no more than are worth their memory.
pub(in crate::transport) fn default_max_connections() -> usize {
    (descriptors::limit() / 2).min(MOST_CONNECTIONS)
}

const MOST_CONNECTIONS: usize = 4_096;

pub(in crate::transport) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How old a connection may become before another takes its place.
pub(in crate::transport) const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// How long an address has to itself before the next one is dialled beside it: the value that RFC 8305
/// section 5 recommends.
pub(in crate::transport) const STAGGER: Duration = Duration::from_millis(250);

/// How long an address has where the next one cannot be dialled beside it: eight of them fit into 15 s.
pub(in crate::transport) const GIVE_UP: Duration = Duration::from_millis(2_000);

/// How often a request is sent again that its HTTP/2 peer certainly did not process.
pub(in crate::transport) const MAX_RESENDS: u32 = 3;

/// The bytes that the head of a response may have.
pub(in crate::transport) const MAX_HEAD: usize = 64 * 1024;

/// The bytes that an HTTP/2 peer may send on one stream before its body is read.
pub(in crate::transport) const STREAM_WINDOW: u32 = 64 * 1024;

/// The bytes that an HTTP/2 peer may send on all streams before their bodies are read.
pub(in crate::transport) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Replaces a deadline beyond the range of an instant.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

//! [`Reuse`]: whether another connection may stay open when its request has ended.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::hyper::bounds::IDLE_TIMEOUT;

/// Estimates how many connections reqwest's pool holds, which has a bound for each host and none in total.
///
/// It counts the local ends that responses came over lately. A connection that its peer closed counts until
/// its time is over, so the estimate is never too low.
pub(super) struct Reuse {
    max: usize,
    idle: Mutex<Idle>,
}

struct Idle {
    /// When a response last came over the connection.
    used: HashMap<SocketAddr, Instant>,
    swept_at: Instant,
}

impl Reuse {
    pub(super) fn new(max: usize) -> Self {
        Self { max, idle: Mutex::new(Idle { used: HashMap::new(), swept_at: Instant::now() }) }
    }

    /// Whether the connection of the next request may be used again.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        let idle = &mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.used.len() < self.max {
            return true;
        }
        // A walk at most once a second, because a full pool is asked at every request.
        if now.saturating_duration_since(idle.swept_at) >= SWEEP_INTERVAL {
            idle.swept_at = now;
            idle.used.retain(|_, used| now.saturating_duration_since(*used) <= IDLE_TIMEOUT);
        }
        idle.used.len() < self.max
    }

    /// Notes that a response came over a connection, which stays open or not.
    pub(super) fn used(&self, local: SocketAddr, stays: bool, now: Instant) {
        let used = &mut self.idle.lock().unwrap_or_else(PoisonError::into_inner).used;
        match stays {
            true => drop(used.insert(local, now)),
            false => drop(used.remove(&local)),
        }
    }
}

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_count_until_they_are_closed_or_their_time_is_over() {
        let reuse = Reuse::new(2);
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let start = Instant::now();
        for port in 1..=2 {
            assert!(reuse.has_room(start));
            reuse.used(local(port), true, start);
        }
        assert!(!reuse.has_room(start));
        reuse.used(local(1), false, start);
        assert!(reuse.has_room(start));
        reuse.used(local(3), true, start);
        assert!(!reuse.has_room(start + IDLE_TIMEOUT));
        assert!(reuse.has_room(start + IDLE_TIMEOUT + SWEEP_INTERVAL));
    }
}

//! [`Origin`]: the connections to one origin that are unused or shared.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::bounds::IDLE_TIMEOUT;
use super::budget::{Budget, Slot};
use super::connection::Connection;
use crate::address::AddressPolicy;

/// The connections to one origin that are not in use, or can be used by several.
pub(super) struct Origin {
    pub(super) policy: Arc<AddressPolicy>,
    /// The way to speak TLS, if it is not the client's.
    pub(super) tls: Option<TlsConnector>,
    limits: PoolLimits,
    budget: Arc<Budget<Connection>>,
    /// Wakes a request when a stream of an HTTP/2 connection has ended.
    pub(super) freed: Arc<Notify>,
    state: Mutex<State>,
}

/// The bounds of the connections to one origin.
#[derive(Clone, Copy)]
pub(super) struct PoolLimits {
    pub(super) max_idle: usize,
    pub(super) max_age: Duration,
}

impl Origin {
    pub(super) fn new(
        policy: Arc<AddressPolicy>,
        tls: Option<TlsConnector>,
        limits: PoolLimits,
        budget: Arc<Budget<Connection>>,
    ) -> Self {
        Self { policy, tls, limits, budget, freed: Arc::default(), state: Mutex::new(State::new()) }
    }

    /// Takes a connection that accepts a request at once.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let mut state = self.lock();
        state.used = now;
        // Those that carry as many requests as their peers take.
        let mut full = Vec::new();
        let mut found = None;
        while let Some(Idle { slot, since }) = state.idle.pop() {
            if has_expired(since, now) {
                // The others were put before it, so they have expired too.
                state.idle.clear();
                break;
            }
            let connection = match slot.take().filter(|connection| self.is_good(connection, now)) {
                Some(Connection::Http2(shared)) => {
                    let taken = shared.for_request();
                    let since = if taken.is_some() { now } else { since };
                    full.push(Idle { slot: self.budget.keep(Connection::Http2(shared)), since });
                    taken.map(Connection::Http2)
                }
                other => other,
            };
            if connection.is_some() {
                found = connection;
                break;
            }
        }
        state.idle.extend(full.into_iter().rev());
        found
    }

    /// Whether a connection takes requests, and is young enough for them. A request on an older one ends, and
    /// another connection takes the next: its name, address and certificate are judged again.
    fn is_good(&self, connection: &Connection, now: Instant) -> bool {
        let age = now.saturating_duration_since(connection.opened_at());
        connection.is_ready() && age < self.limits.max_age
    }

    /// Whether a connection is open that takes requests, and other requests have all of its streams. Asked
    /// after [`take`](Self::take) has found none.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        let is_alive =
            |connection: &Connection| Some(connection.is_shared() && self.is_good(connection, now));
        self.lock().idle.iter().any(|idle| idle.slot.ask(is_alive).unwrap_or(false))
    }

    /// Queues for a connection that comes free.
    pub(super) fn wait(self: &Arc<Self>) -> Waiting {
        let (waiter, receiver) = oneshot::channel();
        self.lock().waiters.push_back(waiter);
        Waiting { receiver, origin: Arc::clone(self) }
    }

    /// Shares a connection that was just opened, if it can be, and returns the one to use.
    pub(super) fn share(&self, connection: Connection) -> Connection {
        let Connection::Http2(shared) = &connection else { return connection };
        let now = Instant::now();
        let mut state = self.lock();
        // Requests that began together have opened a connection each, because none knew that one is enough.
        let shared_one = |other: &Connection| match other {
            Connection::Http2(shared) if self.is_good(other, now) => shared.for_request(),
            _ => None,
        };
        if let Some(shared) = state.idle.iter().find_map(|idle| idle.slot.ask(shared_one)) {
            return Connection::Http2(shared);
        }
        if self.limits.max_idle > 0 {
            shared.streams.wakes(&self.freed);
            while let Some(waiter) = state.waiters.pop_front() {
                let Some(shared) = shared.for_request() else {
                    state.waiters.push_front(waiter);
                    break;
                };
                // A failed send means that the request no longer waits.
                drop(waiter.send(Connection::Http2(shared)));
            }
            self.put(&mut state, Connection::Http2(shared.idle()), now);
        }
        connection
    }

    /// Takes back a connection whose response was read to its end, and drops it unless it is ready by
    /// `deadline`.
    pub(super) fn give_back(self: &Arc<Self>, connection: Connection, now: Instant, deadline: Instant) {
        if connection.is_ready() {
            return self.keep(connection, now);
        }
        // Its task may need another turn, or may still write a request that was answered early.
        if let Connection::Http1(mut sender, task) = connection
            && !sender.is_closed()
        {
            let origin = Arc::clone(self);
            tokio::spawn(async move {
                match timeout_at(deadline, sender.ready()).await {
                    Ok(Ok(())) => origin.keep(Connection::Http1(sender, task), Instant::now()),
                    Ok(Err(_)) => {}
                    // While the task writes, it does not notice that its handles are gone: a peer that
                    // answers early and then reads nothing would keep the connection and the unwritten bytes
                    // for ever.
                    Err(_) => task.abort(),
                }
            });
        }
    }

    /// Hands an unused connection to the first request that waits for one, or keeps it for a while.
    pub(super) fn keep(&self, mut connection: Connection, now: Instant) {
        // An HTTP/2 connection has been kept since it was opened.
        let is_shared = matches!(connection, Connection::Http2(_));
        if self.limits.max_idle == 0 || is_shared || !self.is_good(&connection, now) {
            return;
        }
        let mut state = self.lock();
        while let Some(waiter) = state.waiters.pop_front() {
            match waiter.send(connection) {
                Ok(()) => return,
                Err(unwanted) => connection = unwanted,
            }
        }
        self.put(&mut state, connection, now);
    }

    fn put(&self, state: &mut State, connection: Connection, now: Instant) {
        if state.idle.len() >= self.limits.max_idle {
            // Some may have been closed to make room elsewhere.
            state.idle.retain(Idle::is_ready);
        }
        if state.idle.len() < self.limits.max_idle {
            state.used = now;
            state.idle.push(Idle { slot: self.budget.keep(connection), since: now });
        }
    }

    /// Drops connections that are closed or were idle for long, and returns whether the origin is still in
    /// use.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.idle.retain(|idle| {
            let is_good = |connection: &Connection| Some(self.is_good(connection, now));
            idle.slot.ask(is_good).unwrap_or(false) && !has_expired(idle.since, now)
        });
        !state.idle.is_empty() || !has_expired(state.used, now)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct State {
    /// The last one in is the first one out, so that surplus connections expire.
    pub(super) idle: Vec<Idle>,
    pub(super) waiters: VecDeque<oneshot::Sender<Connection>>,
    used: Instant,
}

impl State {
    fn new() -> Self {
        Self { idle: Vec::new(), waiters: VecDeque::new(), used: Instant::now() }
    }
}

pub(super) struct Idle {
    slot: Arc<Slot<Connection>>,
    since: Instant,
}

impl Idle {
    fn is_ready(&self) -> bool {
        self.slot.ask(|connection| Some(connection.is_ready())).unwrap_or(false)
    }
}

/// A place in the queue for connections that come free.
pub(super) struct Waiting {
    pub(super) receiver: oneshot::Receiver<Connection>,
    origin: Arc<Origin>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.receiver.close();
        match self.receiver.try_recv() {
            // The connection came after this request stopped waiting.
            Ok(connection) => self.origin.keep(connection, Instant::now()),
            Err(_) => self.origin.lock().waiters.retain(|waiter| !waiter.is_closed()),
        }
    }
}

fn has_expired(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) > IDLE_TIMEOUT
}

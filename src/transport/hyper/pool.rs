//! [`Pools`]: the connections that are kept, by the policy they were opened under and the origin they lead to.
//!
//! No library's pool, each for a reason. hyper-util's `legacy::Client` costs twice of what a request over a kept connection costs
//! without it: a dozen allocations, the largest of 3 KiB, which threads then hand each other through the allocator's locks. The
//! parts in its `client::pool` know no idle time-out and no bound, do not tell a fresh connection from a kept one, on which
//! depend what may be sent again and whose time it was, and have types without names, to be boxed for each request.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::header::HeaderValue;
use http::{Uri, uri};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::Connection;
use super::{IDLE_TIMEOUT, endpoint_of};
use crate::{AddressPolicy, TransportError};

/// The pools of a client.
pub(super) struct Pools {
    max_idle: usize,
    all: Mutex<All>,
}

impl Pools {
    /// Pools that keep up to `max_idle` connections for each origin.
    pub(super) fn new(max_idle: usize) -> Self {
        Self { max_idle, all: Mutex::default() }
    }

    /// The way to `asked` over the connections that `policy` has allowed.
    pub(super) fn route(&self, asked: Asked, policy: &AddressPolicy) -> Result<Arc<Route>, TransportError> {
        let mut all = self.lock();
        let pools = &mut all.pools;
        if let Some(at) = pools.iter().position(|pool| *pool.policy == *policy) {
            // The most recently used last, the first to go first.
            pools[at..].rotate_left(1);
        } else {
            if pools.len() == MAX_POOLS {
                pools.remove(0);
            }
            pools.push(Pool {
                policy: Arc::new(policy.clone()),
                routes: HashMap::new(),
                origins: HashMap::new(),
            });
        }
        pools.last_mut().expect("invariant: the pool was just put last").route(asked, self.max_idle)
    }

    /// Sees to it that what has been idle for long is dropped.
    pub(super) fn keep_swept(self: &Arc<Self>) {
        let sweeper = &mut self.lock().sweeper;
        // One of a runtime that is no more has finished too.
        if sweeper.as_ref().is_none_or(JoinHandle::is_finished) {
            *sweeper = Some(tokio::spawn(sweep(Arc::downgrade(self))));
        }
    }

    /// Drops what has been idle for long, and tells whether there is more that may become so.
    fn sweep(&self, now: Instant) -> bool {
        let mut all = self.lock();
        for Pool { routes, origins, .. } in &mut all.pools {
            origins.retain(|_, origin| origin.sweep(now));
            routes.retain(|_, route| route.origin.sweep(now));
        }
        let is_more = all.pools.iter().any(|pool| !pool.origins.is_empty());
        if !is_more {
            all.sweeper = None;
        }
        is_more
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pools {
    fn drop(&mut self) {
        if let Some(sweeper) = self.lock().sweeper.take() {
            sweeper.abort();
        }
    }
}

async fn sweep(pools: Weak<Pools>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        if !pools.upgrade().is_some_and(|pools| pools.sweep(Instant::now())) {
            return;
        }
    }
}

#[derive(Default)]
struct All {
    pools: Vec<Pool>,
    sweeper: Option<JoinHandle<()>>,
}

struct Pool {
    policy: Arc<AddressPolicy>,
    /// Ways to URLs that the policy allows.
    routes: HashMap<Asked, Arc<Route>>,
    /// By scheme and authority.
    origins: HashMap<String, Arc<Origin>>,
}

impl Pool {
    fn route(&mut self, asked: Asked, max_idle: usize) -> Result<Arc<Route>, TransportError> {
        if let Some(route) = self.routes.get(&asked) {
            return Ok(Arc::clone(route));
        }
        let url = endpoint_of(&asked.0, &self.policy)?.uri().clone();
        let parts = url.clone().into_parts();
        let (Some(scheme), Some(authority)) = (&parts.scheme, &parts.authority) else {
            unreachable!("invariant: the URL of an endpoint is absolute")
        };
        let origin = self.origins.entry(format!("{scheme}://{authority}")).or_insert_with(|| {
            Arc::new(Origin { policy: Arc::clone(&self.policy), max_idle, state: Mutex::new(State::new()) })
        });
        let mut path = uri::Parts::default();
        path.path_and_query = parts.path_and_query;
        let route = Arc::new(Route {
            path: Uri::from_parts(path).expect("invariant: a path alone is a URI"),
            host: HeaderValue::try_from(authority.as_str())
                .expect("invariant: the host of an endpoint is ASCII without controls"),
            origin: Arc::clone(origin),
            url,
        });
        if self.routes.len() >= MAX_ROUTES {
            self.routes.clear();
        }
        self.routes.insert(asked, Arc::clone(&route));
        Ok(route)
    }
}

/// A URL as the caller wrote it. Compared byte by byte, where a [`Uri`] takes every letter for itself and its case.
#[derive(Eq)]
pub(super) struct Asked(pub(super) Uri);

impl Asked {
    fn authority(&self) -> &str {
        self.0.authority().map_or("", uri::Authority::as_str)
    }

    fn path(&self) -> &str {
        self.0.path_and_query().map_or("", uri::PathAndQuery::as_str)
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.authority() == other.authority()
            && self.path() == other.path()
            && self.0.scheme() == other.0.scheme()
    }
}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.authority().hash(state);
        self.path().hash(state);
    }
}

/// The way to one URL that a policy allows.
pub(super) struct Route {
    pub(super) url: Uri,
    /// What of the URL goes out over HTTP/1.1, beside the host.
    pub(super) path: Uri,
    pub(super) host: HeaderValue,
    pub(super) origin: Arc<Origin>,
}

/// The connections to one origin that are not in use, or can be used by several.
pub(super) struct Origin {
    pub(super) policy: Arc<AddressPolicy>,
    max_idle: usize,
    state: Mutex<State>,
}

impl Origin {
    /// A connection that takes a request at once.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let mut state = self.lock();
        state.used = now;
        while let Some(Idle { connection, since }) = state.idle.pop() {
            if has_expired(since, now) {
                // And so have the others, which were put before it.
                state.idle.clear();
            } else if connection.is_ready() {
                if let Connection::Http2(shared) = &connection {
                    let connection = Connection::Http2(shared.clone());
                    state.idle.push(Idle { connection, since: now });
                }
                return Some(connection);
            }
        }
        None
    }

    /// Waits for a connection that comes free.
    pub(super) fn wait(self: &Arc<Self>) -> Waiting {
        let (waiter, receiver) = oneshot::channel();
        self.lock().waiters.push_back(waiter);
        Waiting { receiver, origin: Arc::clone(self) }
    }

    /// Shares a connection that was just opened, if it can be, and returns the one to use.
    pub(super) fn share(&self, connection: Connection) -> Connection {
        let Connection::Http2(shared) = &connection else { return connection };
        let mut state = self.lock();
        let others = state.idle.iter().map(|idle| &idle.connection);
        // Requests that began together have opened one each, for want of knowing that one is enough.
        if let Some(Connection::Http2(shared)) = others.filter(|other| other.is_ready()).last() {
            return Connection::Http2(shared.clone());
        }
        if self.max_idle > 0 {
            for waiter in state.waiters.drain(..) {
                // Who no longer waits needs none.
                drop(waiter.send(Connection::Http2(shared.clone())));
            }
            state.put(Connection::Http2(shared.clone()), Instant::now(), self.max_idle);
        }
        connection
    }

    /// Takes back a connection whose response was read whole, and drops it if it does not come free until `deadline`.
    pub(super) fn give_back(self: &Arc<Self>, connection: Connection, now: Instant, deadline: Instant) {
        if connection.is_ready() {
            return self.keep(connection, now);
        }
        // It may have a turn of its task to go, or a request to write out that was answered before.
        if let Connection::Http1(mut sender) = connection
            && !sender.is_closed()
        {
            let origin = Arc::clone(self);
            tokio::spawn(async move {
                if let Ok(Ok(())) = timeout_at(deadline, sender.ready()).await {
                    origin.keep(Connection::Http1(sender), Instant::now());
                }
            });
        }
    }

    /// Hands a connection that is not in use to who waits for one, or keeps it for a while.
    pub(super) fn keep(&self, mut connection: Connection, now: Instant) {
        // One of HTTP/2 has been kept since it was opened.
        if self.max_idle == 0 || matches!(connection, Connection::Http2(_)) {
            return;
        }
        let mut state = self.lock();
        while let Some(waiter) = state.waiters.pop_front() {
            match waiter.send(connection) {
                Ok(()) => return,
                Err(unwanted) => connection = unwanted,
            }
        }
        state.put(connection, now, self.max_idle);
    }

    /// Drops connections that are closed or were not used for long, and tells whether the origin itself was.
    fn sweep(&self, now: Instant) -> bool {
        let mut state = self.lock();
        state.idle.retain(|idle| idle.connection.is_ready() && !has_expired(idle.since, now));
        !state.idle.is_empty() || !has_expired(state.used, now)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State {
    /// The last that was put is the first to be used, so that those that are not needed expire.
    idle: Vec<Idle>,
    waiters: VecDeque<oneshot::Sender<Connection>>,
    used: Instant,
}

impl State {
    fn new() -> Self {
        Self { idle: Vec::new(), waiters: VecDeque::new(), used: Instant::now() }
    }

    fn put(&mut self, connection: Connection, now: Instant, max_idle: usize) {
        if self.idle.len() < max_idle {
            self.used = now;
            self.idle.push(Idle { connection, since: now });
        }
    }
}

struct Idle {
    connection: Connection,
    since: Instant,
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
            // It came too late for this one.
            Ok(connection) => self.origin.keep(connection, Instant::now()),
            Err(_) => self.origin.lock().waiters.retain(|waiter| !waiter.is_closed()),
        }
    }
}

fn has_expired(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) > IDLE_TIMEOUT
}

const SWEEP_INTERVAL: Duration = Duration::from_secs(IDLE_TIMEOUT.as_secs() / 2);
// More than an application has policies, few enough to search in a row.
const MAX_POOLS: usize = 16;
// More than are busy at once, few enough to forget.
const MAX_ROUTES: usize = 1_024;

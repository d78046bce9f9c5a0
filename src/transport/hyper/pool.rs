//! [`Pools`]: a client's connections, by the policy they were opened under and the origin they lead to.
//!
//! Why not a library's pool: hyper-util's `legacy::Client` doubles the cost of a request over a pooled
//! connection, by a dozen allocations, the largest of 3 KiB, which threads pass to each other through the
//! allocator's locks. The parts in its `client::pool` have no idle time-out and no bound; they do not
//! distinguish a fresh connection from a reused one, which decides whether a request may be sent again and
//! which timings are its own; and their types have no names, so they would be boxed for each request.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Uri, uri};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

use super::bounds::IDLE_TIMEOUT;
use super::budget::Budget;
use super::connection::Connection;
use super::origin::{Origin, PoolLimits};
use super::target::{Target, endpoint_of};
use crate::address::AddressPolicy;
use crate::transport::error::TransportError;

/// The pools of a client.
pub(super) struct Pools {
    limits: PoolLimits,
    budget: Arc<Budget<Connection>>,
    all: Mutex<All>,
}

impl Pools {
    /// Makes pools whose connections to each origin are within `limits`.
    pub(super) fn new(limits: PoolLimits, budget: Arc<Budget<Connection>>) -> Self {
        Self { limits, budget, all: Mutex::default() }
    }

    /// Returns the route to `asked` over connections that were opened under `policy`.
    /// `tls` makes the way to speak TLS, where the request has one of its own.
    pub(super) fn route(
        &self,
        asked: Asked,
        policy: &AddressPolicy,
        tls: impl FnOnce() -> Result<Option<TlsConnector>, TransportError>,
    ) -> Result<Arc<Route>, TransportError> {
        let mut all = self.lock();
        let pools = &mut all.pools;
        if let Some(at) = pools.iter().position(|pool| *pool.policy == *policy) {
            // The most recently used one stands last, and the first one is dropped first.
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
        pools.last_mut().expect("invariant: the pool was just put last").route(
            asked,
            self.limits,
            &self.budget,
            tls,
        )
    }

    /// Starts the task that drops idle connections, unless it runs.
    pub(super) fn keep_swept(self: &Arc<Self>) {
        let sweeper = &mut self.lock().sweeper;
        // The task of a runtime that was shut down counts as finished.
        if sweeper.as_ref().is_none_or(JoinHandle::is_finished) {
            *sweeper = Some(tokio::spawn(sweep(Arc::downgrade(self))));
        }
    }

    /// Drops what has been idle for long, and returns whether anything is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut all = self.lock();
        for Pool { routes, origins, .. } in &mut all.pools {
            origins.retain(|_, origin| origin.sweep(now));
            routes.retain(|_, route| route.origin.sweep(now));
        }
        let is_more = all.pools.iter().any(|pool| !pool.origins.is_empty() || !pool.routes.is_empty());
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
    /// The URLs that the policy allows.
    routes: HashMap<Asked, Arc<Route>>,
    /// By scheme, authority and identity.
    origins: HashMap<(String, Option<[u8; 32]>), Arc<Origin>>,
}

impl Pool {
    fn route(
        &mut self,
        asked: Asked,
        limits: PoolLimits,
        budget: &Arc<Budget<Connection>>,
        tls: impl FnOnce() -> Result<Option<TlsConnector>, TransportError>,
    ) -> Result<Arc<Route>, TransportError> {
        if let Some(route) = self.routes.get(&asked) {
            return Ok(Arc::clone(route));
        }
        let target = Target::new(&endpoint_of(&asked.uri, &self.policy)?);
        let policy = &self.policy;
        let new = |tls| Arc::new(Origin::new(Arc::clone(policy), tls, limits, Arc::clone(budget)));
        let origin = match self.origins.entry((target.origin(), asked.identity)) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(place) => Arc::clone(place.insert(new(tls()?))),
        };
        let route = Arc::new(Route { target, origin });
        if self.routes.len() >= MAX_ROUTES {
            self.routes.clear();
        }
        self.routes.insert(asked, Arc::clone(&route));
        Ok(route)
    }
}

/// A URL as the caller wrote it, and the digest of the identity to present there. Compared byte by byte: a
/// [`Uri`] compares letter by letter without regard to case, which is slower.
#[derive(Eq)]
pub(super) struct Asked {
    pub(super) uri: Uri,
    pub(super) identity: Option<[u8; 32]>,
}

impl Asked {
    fn authority(&self) -> &str {
        self.uri.authority().map_or("", uri::Authority::as_str)
    }

    fn path(&self) -> &str {
        self.uri.path_and_query().map_or("", uri::PathAndQuery::as_str)
    }
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.authority() == other.authority()
            && self.path() == other.path()
            && self.uri.scheme() == other.uri.scheme()
            && self.identity == other.identity
    }
}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.authority().hash(state);
        self.path().hash(state);
    }
}

/// A URL that a policy allows, and the connections to its origin.
pub(super) struct Route {
    pub(super) target: Target,
    pub(super) origin: Arc<Origin>,
}

const SWEEP_INTERVAL: Duration = Duration::from_secs(IDLE_TIMEOUT.as_secs() / 2);
// More than an application has policies, few enough to search one by one.
const MAX_POOLS: usize = 16;
// More than are in use at once, few enough to rebuild.
const MAX_ROUTES: usize = 1_024;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Request, StatusCode};
    use http_body_util::{BodyExt, Full};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::net::TcpListener;

    use super::*;
    use crate::transport::client::HttpClient;
    use crate::transport::hyper::client::HyperClient;
    use crate::transport::limits::Limits;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_dropped_when_its_idle_time_is_over_and_not_before() {
        let (pools, route) = pools_to(ENDPOINT);
        pools.keep_swept();
        let (connection, mut peer) = connected().await;
        route.origin.keep(connection, Instant::now());
        sleep(IDLE_TIMEOUT - Duration::from_secs(1)).await;
        assert_eq!(route.origin.lock().idle.len(), 1);
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(route.origin.lock().idle.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_past_its_time_is_not_used_though_nobody_swept() {
        let (_pools, route) = pools_to(ENDPOINT);
        let (connection, _peer) = connected().await;
        route.origin.keep(connection, Instant::now());
        assert!(route.origin.take(Instant::now() + IDLE_TIMEOUT * 2).is_none());
        assert!(route.origin.lock().idle.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_its_peer_closed_is_swept_before_its_time() {
        let (pools, route) = pools_to(ENDPOINT);
        let (connection, peer) = connected().await;
        route.origin.keep(connection, Instant::now());
        drop(peer);
        tokio::task::yield_now().await;
        assert!(pools.sweep(Instant::now()));
        assert!(route.origin.lock().idle.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn origins_that_are_not_used_again_are_forgotten_and_the_sweeper_ends() {
        let pools = Arc::new(pools_with(8));
        for n in 0..5_000 {
            let route =
                pools.route(asked(&format!("https://e{n}.example.com/")), &policy(), || Ok(None)).unwrap();
            route.origin.take(Instant::now());
        }
        pools.keep_swept();
        assert_eq!(pools.lock().pools[0].origins.len(), 5_000);
        assert!(pools.lock().pools[0].routes.len() <= MAX_ROUTES);
        sleep(IDLE_TIMEOUT * 2).await;
        let all = pools.lock();
        assert!(all.pools[0].origins.is_empty() && all.pools[0].routes.is_empty());
        assert!(all.sweeper.is_none());
    }

    #[tokio::test]
    async fn the_sweeper_ends_with_its_pools() {
        let (pools, _route) = pools_to(ENDPOINT);
        pools.keep_swept();
        let sweeper = pools.lock().sweeper.as_ref().map(JoinHandle::abort_handle).unwrap();
        drop(pools);
        tokio::task::yield_now().await;
        assert!(sweeper.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_in_use_is_kept_with_its_connections() {
        let (pools, route) = pools_to(ENDPOINT);
        pools.keep_swept();
        let (connection, _peer) = connected().await;
        route.origin.keep(connection, Instant::now());
        // Less than a connection's greatest age.
        for _ in 0..9 {
            sleep(IDLE_TIMEOUT / 2).await;
            let connection = route.origin.take(Instant::now()).expect("the connection is still good");
            route.origin.keep(connection, Instant::now());
        }
        let again = pools.route(asked(ENDPOINT), &policy(), || Ok(None)).unwrap();
        assert!(Arc::ptr_eq(&again.origin, &route.origin));
        assert!(pools.lock().sweeper.is_some());
    }

    #[tokio::test]
    async fn urls_of_one_origin_share_its_connections_and_others_do_not() {
        let (pools, route) = pools_to("https://hooks.example.com/a");
        let to = |url| pools.route(asked(url), &policy(), || Ok(None)).unwrap();
        for same in ["https://hooks.example.com/b?c", "https://HOOKS.example.com:443/a"] {
            assert!(Arc::ptr_eq(&to(same).origin, &route.origin), "{same}");
        }
        let route_b = to("https://hooks.example.com/b?c");
        assert_eq!(
            (route_b.target.path.to_string().as_str(), route_b.target.host.as_bytes()),
            ("/b?c", &b"hooks.example.com"[..])
        );
        assert_eq!(to("https://hooks.example.com:8443/").target.host, "hooks.example.com:8443");
        for other in
            ["http://hooks.example.com/a", "https://hooks.example.com:8443/a", "https://example.com/a"]
        {
            assert!(!Arc::ptr_eq(&to(other).origin, &route.origin), "{other}");
        }
    }

    #[tokio::test]
    async fn no_more_connections_are_kept_than_may_be_idle() {
        for max_idle in [0, 2] {
            let pools = pools_with(max_idle);
            let route = pools.route(asked(ENDPOINT), &policy(), || Ok(None)).unwrap();
            let mut peers = Vec::new();
            for _ in 0..4 {
                let (connection, peer) = connected().await;
                route.origin.give_back(connection, Instant::now(), Instant::now());
                peers.push(peer);
            }
            assert_eq!(route.origin.lock().idle.len(), max_idle);
            for peer in &mut peers[max_idle..] {
                assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_not_free_yet_is_kept_if_it_comes_free_before_the_deadline() {
        for is_in_time in [true, false] {
            let (_pools, route) = pools_to(ENDPOINT);
            let (mut connection, mut peer) = connected().await;
            let mut request = Some(Request::post("/").body(Full::new(Bytes::new())).unwrap());
            let (response, ()) = tokio::join!(connection.send(&mut request, &route.target), async {
                assert!(peer.read(&mut [0; 1_024]).await.unwrap() > 0);
                peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            });
            let deadline = Instant::now() + Duration::from_secs(10);
            route.origin.give_back(connection, Instant::now(), deadline);
            sleep(Duration::from_secs(if is_in_time { 9 } else { 11 })).await;
            assert!(route.origin.lock().idle.is_empty());
            assert_eq!(peer.write_all(b"ok").await.is_ok(), is_in_time);
            assert_eq!(response.unwrap().into_body().collect().await.is_ok(), is_in_time);
            sleep(Duration::from_millis(1)).await;
            assert_eq!(route.origin.take(Instant::now()).is_some(), is_in_time);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_peer_answers_and_never_reads_is_closed_at_the_deadline() {
        let (_pools, route) = pools_to(ENDPOINT);
        let (mut connection, mut peer) = connected().await;
        let much = Full::new(Bytes::from(vec![b'x'; 1 << 20]));
        let mut request = Some(Request::post("/").body(much).unwrap());
        let (response, ()) = tokio::join!(connection.send(&mut request, &route.target), async {
            assert!(peer.read(&mut [0; 16]).await.unwrap() > 0);
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        });
        response.unwrap().into_body().collect().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        route.origin.give_back(connection, Instant::now(), deadline);
        sleep(Duration::from_secs(11)).await;
        assert!(peer.write_all(b"x").await.is_err(), "nobody holds the other end");
    }

    #[tokio::test]
    async fn with_no_connections_that_may_be_idle_none_changes_hands() {
        let pools = pools_with(0);
        let origin = Arc::clone(&pools.route(asked(ENDPOINT), &policy(), || Ok(None)).unwrap().origin);
        let mut waiting = origin.wait();
        origin.keep(connected().await.0, Instant::now());
        origin.share(connected_over_http_2().await.0);
        assert!(waiting.receiver.try_recv().is_err());
        assert!(origin.take(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn an_http_2_connection_goes_to_all_who_wait_and_another_one_is_dropped() {
        let (_pools, route) = pools_to(ENDPOINT);
        let (mut first, mut second) = (route.origin.wait(), route.origin.wait());
        let (connection, _peer) = connected_over_http_2().await;
        route.origin.share(connection);
        assert!(first.receiver.try_recv().is_ok() && second.receiver.try_recv().is_ok());
        let (another, mut its_peer) = connected_over_http_2().await;
        assert!(route.origin.share(another).is_ready());
        its_peer.read_to_end(&mut Vec::new()).await.unwrap();
        for _ in 0..3 {
            assert!(route.origin.take(Instant::now()).is_some());
        }
        assert_eq!(route.origin.lock().idle.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_past_its_age_takes_no_more_requests_however_busy_it_is() {
        for is_h2 in [false, true] {
            let (_pools, route) = pools_to(ENDPOINT);
            let (connection, _peer) = if is_h2 { connected_over_http_2().await } else { connected().await };
            let mut connection = Some(route.origin.share(connection));
            for second in 0..299 {
                route.origin.keep(connection.take().unwrap(), Instant::now());
                connection = route.origin.take(Instant::now());
                assert!(connection.is_some(), "after {second} s");
                sleep(Duration::from_secs(1)).await;
            }
            sleep(Duration::from_secs(1)).await;
            route.origin.keep(connection.take().unwrap(), Instant::now());
            assert!(route.origin.take(Instant::now()).is_none());
            assert!(route.origin.lock().idle.is_empty());
        }
    }

    #[tokio::test]
    async fn a_poisoned_connection_is_not_used_and_another_takes_its_place() {
        let (_pools, route) = pools_to(ENDPOINT);
        let (connection, _peer) = connected_over_http_2().await;
        route.origin.share(connection);
        let given_up = route.origin.take(Instant::now()).unwrap();
        given_up.poison().unwrap().poison();
        assert!(route.origin.take(Instant::now()).is_none());
        // It is there until somebody looks for one that is good.
        route.origin.share(given_up);
        let (another, _other_peer) = connected_over_http_2().await;
        assert!(route.origin.share(another).is_ready());
        assert!(route.origin.take(Instant::now()).is_some_and(|connection| connection.is_ready()));
    }

    #[tokio::test]
    async fn a_connection_goes_to_the_first_who_still_waits() {
        let (_pools, route) = pools_to(ENDPOINT);
        let (gone, mut first, mut second) = (route.origin.wait(), route.origin.wait(), route.origin.wait());
        drop(gone);
        let (connection, _peer) = connected().await;
        route.origin.keep(connection, Instant::now());
        assert!(second.receiver.try_recv().is_err());
        assert!(first.receiver.try_recv().is_ok());
        assert!(route.origin.take(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_came_too_late_for_who_waited_goes_to_the_next_or_is_kept() {
        let (_pools, route) = pools_to(ENDPOINT);
        let (first, second) = (route.origin.wait(), route.origin.wait());
        let (connection, _peer) = connected().await;
        route.origin.keep(connection, Instant::now());
        drop(first);
        drop(second);
        assert!(route.origin.lock().waiters.is_empty());
        assert!(route.origin.take(Instant::now()).is_some());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_nothing_behind() {
        let (_pools, route) = pools_to(ENDPOINT);
        for _ in 0..100 {
            drop(route.origin.wait());
        }
        assert!(route.origin.lock().waiters.is_empty());
    }

    #[tokio::test]
    async fn a_request_that_a_dead_connection_did_not_take_is_sent_over_a_fresh_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = HyperClient::new();
        let route = client.pools.route(asked(&url), &policy(), || Ok(None)).unwrap();
        let (connection, peer) = connected().await;
        route.origin.keep(connection, Instant::now());
        // The connection's task had no turn yet to see it.
        drop(peer);
        let limits = Limits::new(Duration::from_secs(10)).with_addresses(policy());
        let request = Request::post(&url).body(Bytes::from_static(b"ping")).unwrap();
        let (exchange, ()) = tokio::join!(client.send(request, &limits), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"ping") {
                read.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        });
        let exchange = exchange.unwrap();
        assert_eq!(exchange.response.status(), StatusCode::NO_CONTENT);
        assert!(exchange.timings.connect.is_some());
    }

    #[tokio::test]
    async fn all_who_wait_for_a_stream_get_one_when_the_peer_takes_more() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (url, client) = (format!("http://{nobody}/"), HyperClient::new());
        let route = client.pools.route(asked(&url), &policy(), || Ok(None)).unwrap();
        let settings = |max| [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, max];
        let (near, mut far) = duplex(1 << 20);
        far.write_all(&settings(1)).await.unwrap();
        let connection = Connection::over(Box::new(near), true, Budget::<()>::new(1).open()).await.unwrap();
        let Connection::Http2(held) = route.origin.share(connection) else { panic!("it is shared") };
        for _ in 0..3 {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                let limits = Limits::new(Duration::from_secs(60)).with_addresses(policy());
                client.send(Request::post(url).body(Bytes::new()).unwrap(), &limits).await
            });
        }
        while route.origin.lock().waiters.len() < 3 {
            tokio::task::yield_now().await;
        }
        // Each is refused a connection meanwhile.
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
        assert_eq!(held.streams.opened(), 1);
        far.write_all(&settings(4)).await.unwrap();
        let all = async {
            while held.streams.opened() < 4 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
    }

    #[tokio::test]
    async fn a_request_is_put_back_by_a_connection_that_did_not_take_it() {
        let (_pools, route) = pools_to(ENDPOINT);
        let (mut connection, peer) = connected().await;
        drop(peer);
        let mut request = Some(Request::post("/").body(Full::new(Bytes::from_static(b"ping"))).unwrap());
        connection.send(&mut request, &route.target).await.unwrap_err();
        assert!(request.is_some());
    }

    fn pools_with(max_idle: usize) -> Pools {
        let limits = PoolLimits { max_idle, max_age: Duration::from_secs(300) };
        Pools::new(limits, Arc::new(Budget::new(100)))
    }

    fn pools_to(url: &str) -> (Arc<Pools>, Arc<Route>) {
        let pools = Arc::new(pools_with(8));
        let route = pools.route(asked(url), &policy(), || Ok(None)).unwrap();
        (pools, route)
    }

    fn asked(url: &str) -> Asked {
        Asked { uri: url.parse().unwrap(), identity: None }
    }

    /// A connection, and the end that it is open to.
    async fn connected() -> (Connection, DuplexStream) {
        let (near, far) = duplex(1_024);
        (Connection::over(Box::new(near), false, Budget::<()>::new(1).open()).await.unwrap(), far)
    }

    async fn connected_over_http_2() -> (Connection, DuplexStream) {
        let (near, mut far) = duplex(1_024);
        // A frame of settings that names no limit.
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        (Connection::over(Box::new(near), true, Budget::<()>::new(1).open()).await.unwrap(), far)
    }

    fn policy() -> AddressPolicy {
        AddressPolicy::new().allow_plain_http().allow_loopback()
    }

    const ENDPOINT: &str = "https://hooks.example.com/in";
}

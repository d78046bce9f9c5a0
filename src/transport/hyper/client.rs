//! [`HyperClient`]: sends requests over a pool of connections.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{Extensions, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::body::read_body;
use super::bounds::{MAX_RESENDS, deadline_of};
use super::connection::{Connection, Poison};
use super::dial::Dial;
use super::dialler::Dialler;
use super::fault::{BoxError, may_wait, unprocessed};
use super::origin::Origin;
use super::pool::{Asked, Pools, Route};
use super::watch::Watch;
use crate::transport::client::HttpClient;
use crate::transport::error::TransportError;
use crate::transport::exchange::Exchange;
use crate::transport::identity::ClientIdentity;
use crate::transport::limits::Limits;

/// An [`HttpClient`] on a pool of HTTP/1.1 and HTTP/2 connections; needs a tokio runtime with I/O and time.
///
/// Cloning is cheap and shares the pool. There is one pool per [`AddressPolicy`](crate::AddressPolicy), so
/// that a connection opened under a lax policy never serves a strict one; the 16 policies used last have a
/// pool each.
///
/// Requests get `User-Agent: hookwire/<version>` unless they have one, and no `Accept-Encoding`. A response
/// head may have 100 headers (HTTP/1.1) and 64 KiB.
///
/// TLS goes through `ring`, which builds in seconds and without cmake, and trusts Mozilla's root
/// certificates, compiled in because a minimal container has no certificate store of its own. Both can be
/// replaced.
///
/// ```no_run
/// use std::time::Duration;
/// use bytes::Bytes;
/// use hookwire::{HttpClient, HyperClient, Limits};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = HyperClient::builder().with_user_agent("crm/1.0").build()?;
/// let request = http::Request::post("https://hooks.example.com/in").body(Bytes::from_static(b"{}"))?;
/// let exchange = client.send(request, &Limits::new(Duration::from_secs(10))).await?;
/// println!("{}", exchange.response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct HyperClient {
    pub(super) dialler: Arc<Dialler>,
    pub(super) user_agent: HeaderValue,
    pub(super) pools: Arc<Pools>,
}

impl HyperClient {
    /// Does the part of an exchange that needs no waiting.
    fn start(&self, request: Request<Bytes>, limits: &Limits) -> Result<Sending, TransportError> {
        let start = Instant::now();
        let mut request = request.map(Full::new);
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        let identity = limits.identity.as_deref();
        let asked =
            Asked { uri: std::mem::take(request.uri_mut()), identity: identity.map(ClientIdentity::digest) };
        let tls = || identity.map(|identity| self.dialler.tls.identified(identity)).transpose();
        let route = self.pools.route(asked, &limits.addresses, tls)?;
        let watch = Watch::new(start, deadline_of(limits, start));
        Ok(Sending { request: Some(request), route, watch })
    }
}

impl HttpClient for HyperClient {
    fn send(
        &self,
        request: Request<Bytes>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Exchange, TransportError>> + Send {
        let mut sending = self.start(request, limits);
        // Borrowed and not moved: a future has room for each place that a value has been in, and this one is
        // boxed for each request.
        async move {
            match sending {
                Ok(ref mut sending) => sending.finish(self, limits).await,
                Err(error) => Err(error),
            }
        }
    }
}

impl fmt::Debug for HyperClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperClient").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

/// An exchange under way.
struct Sending {
    /// Until a connection takes it.
    request: Option<Request<Full<Bytes>>>,
    route: Arc<Route>,
    watch: Watch,
}

impl Sending {
    async fn finish(&mut self, client: &HyperClient, limits: &Limits) -> Result<Exchange, TransportError> {
        // One timer for both halves: each costs a turn in the runtime's wheel.
        let mut expired = pin!(sleep_until(self.watch.deadline));
        let answered = tokio::select! {
            biased;
            answered = self.answer(client) => answered,
            () = &mut expired => {
                self.watch.is_queued |= self.route.origin.is_full(Instant::now());
                return Err(self.watch.timeout(limits));
            }
        };
        let (response, connection) = answered.map_err(|error| self.watch.failure(error, limits))?;
        self.watch.status = Some(response.status());
        self.watch.first_byte = Some(self.watch.start.elapsed());
        let (mut head, body) = response.into_parts();
        head.extensions = Extensions::new();
        let (body, truncated) = tokio::select! {
            biased;
            read = read_body(body, limits.body_cap) => {
                read.map_err(|error| self.watch.failure(error.into(), limits))?
            }
            () = &mut expired => return Err(self.watch.timeout(limits)),
        };
        let now = Instant::now();
        if !truncated {
            self.route.origin.give_back(connection, now, self.watch.deadline);
        }
        Ok(Exchange::new(Response::from_parts(head, body))
            .with_truncated(truncated)
            .with_timings(self.watch.timings(now)))
    }

    async fn answer(&mut self, client: &HyperClient) -> Result<(Response<Incoming>, Connection), BoxError> {
        let mut resends = 0;
        loop {
            let idle = self.route.origin.take(Instant::now());
            let mut is_reused = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => {
                    let opened = self.open(client).await?;
                    is_reused = self.watch.dial.is_none();
                    opened
                }
            };
            self.watch.poison = connection.poison();
            if let Some(streams) = connection.barred() {
                self.watch.is_barred = true;
                streams.taking().await;
                self.watch.is_barred = false;
            }
            self.watch.is_sent = true;
            // Only HTTP/2 tells which requests were not processed.
            let copy = self.watch.poison.as_ref().and_then(|_| self.request.clone());
            match connection.send(&mut self.request, &self.route.target).await {
                Ok(response) => {
                    connection.answered();
                    return Ok((response, connection));
                }
                Err(error) => {
                    self.watch.is_sent = self.request.is_none();
                    if self.watch.is_sent
                        && let Some(unprocessed) = unprocessed(&error)
                    {
                        self.watch.is_sent = false;
                        connection.refused(unprocessed);
                        if resends < MAX_RESENDS && copy.is_some() {
                            resends += 1;
                            self.request = copy;
                            continue;
                        }
                        return Err(error.into());
                    }
                    // If a fresh connection takes no request, neither would another fresh one, unless its
                    // server was about to end it (HTTP/2).
                    let may_try = is_reused || self.watch.poison.is_some() && resends < MAX_RESENDS;
                    if self.watch.is_sent || !may_try {
                        return Err(error.into());
                    }
                    resends += u32::from(!is_reused);
                    self.watch.poison.take().iter().for_each(Poison::poison);
                }
            }
        }
    }

    /// Opens a connection, unless one comes free before; the opened one then serves the next request.
    ///
    /// An endpoint whose HTTP/2 connection is full may take no further connection. Then the request waits for
    /// a stream.
    async fn open(&mut self, client: &HyperClient) -> Result<Connection, BoxError> {
        client.pools.keep_swept();
        let origin = Arc::clone(&self.route.origin);
        let mut waiting = origin.wait();
        loop {
            // A connection may have come free just before the wait began.
            if let Some(connection) = origin.take(Instant::now()) {
                self.watch.dial = None;
                return Ok(connection);
            }
            let mut opening = self.dial(client);
            let mut has_failed = false;
            self.watch.is_queued = false;
            let came_free = loop {
                // Made before the connections are looked at, so that none of them ends unnoticed.
                let freed = origin.freed.notified();
                if has_failed {
                    let now = Instant::now();
                    let taken = origin.take(now);
                    if taken.is_some() || !origin.is_full(now) {
                        break taken;
                    }
                }
                tokio::select! {
                    biased;
                    Ok(connection) = &mut waiting.receiver => break Some(connection),
                    opened = &mut opening, if !has_failed => match opened {
                        Err(error) if may_wait(&*error) && origin.is_full(Instant::now()) => {
                            has_failed = true;
                            self.watch.is_queued = true;
                        }
                        opened => return opened,
                    },
                    // A stream of an HTTP/2 connection; another request may be faster.
                    () = freed => {
                        if let Some(connection) = origin.take(Instant::now()) {
                            break Some(connection);
                        }
                    }
                }
            };
            // The connection that the request waited for is gone, so it is dialled again.
            let Some(came_free) = came_free else { continue };
            let extra = Arc::clone(&client.dialler.extra_dials).try_acquire_owned();
            if let (false, Ok(permit)) = (has_failed, extra) {
                tokio::spawn(async move {
                    if let Ok(connection) = opening.await {
                        origin.keep(connection, Instant::now());
                    }
                    drop(permit);
                });
            }
            // A connection opened for another request cost this one nothing.
            self.watch.dial = None;
            self.watch.is_queued = false;
            return Ok(came_free);
        }
    }

    /// Begins to open a connection. Boxed because it is seldom needed, and has to move when another task
    /// finishes it.
    fn dial(
        &mut self,
        client: &HyperClient,
    ) -> Pin<Box<impl Future<Output = Result<Connection, BoxError>> + use<>>> {
        let dial = Arc::new(Dial::new(self.watch.deadline));
        self.watch.dial = Some(Arc::clone(&dial));
        let (dialler, route) = (Arc::clone(&client.dialler), Arc::clone(&self.route));
        Box::pin(async move {
            let Origin { policy, tls, .. } = &*route.origin;
            let opened = dialler.open(&route.target.url, policy, tls.as_ref(), &dial).await?;
            Ok(route.origin.share(opened))
        })
    }
}

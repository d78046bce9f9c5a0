//! [`ReqwestClient`]: an [`HttpClient`] on reqwest, for programs that already use it.
#![cfg(feature = "reqwest")]

mod connector;
mod reuse;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use ::reqwest::{Client, ClientBuilder, redirect, retry};
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Extensions, HeaderMap, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper_util::client::legacy::connect::HttpInfo;
use rustls::crypto::{CryptoProvider, ring};
use tokio::time::{Instant, timeout_at};

use self::connector::{CheckedLayer, CheckedResolver, OPENING, Opening};
use self::reuse::Reuse;
use super::client::HttpClient;
use super::error::{OwnFault, TransportError};
use super::exchange::Exchange;
use super::hyper::body::read_body;
use super::hyper::bounds::{
    CONNECTION_WINDOW, DEFAULT_MAX_IDLE, DEFAULT_USER_AGENT, IDLE_TIMEOUT, MAX_HEAD, MAX_RESENDS,
    STREAM_WINDOW, deadline_of, default_max_connections,
};
use super::hyper::dial::Phase;
use super::hyper::fault::{diagnose, message, own_fault};
use super::hyper::resolver::{ErasedResolve, Resolve, SystemResolver};
use super::hyper::target::endpoint_of;
use super::hyper::tls::{over_http, tls_config};
use super::limits::Limits;
use crate::address::AddressPolicy;
use crate::error::{Error, ErrorKind};
use crate::outcome::{ErrorClass, FailureReason, Timings};

/// An [`HttpClient`] on [`reqwest`], with the caller's own settings; needs a tokio runtime with
/// I/O and time.
///
/// Cloning is cheap and shares the pool. reqwest's pool cannot be divided, and a connection that was opened
/// under a lax [`AddressPolicy`] must not serve a strict one. So the client takes the policy that it is first
/// used under, and refuses requests under another policy with [`ErrorClass::Internal`]. Make a client for
/// each policy.
///
/// # Settings of the builder that count
///
/// TLS (roots, identities, versions, a whole configuration), time-outs, default headers, the user agent, the
/// local address, the size of the pool, HTTP/2's windows, a cookie store, layers around the connector. A
/// time-out of the builder can only end an exchange before its deadline. A default header is added to every
/// request that has no header of its name; reqwest starts with `Accept: */*`.
///
/// The client overrides the builder in these points: no redirect, no `Referer`, no proxy (neither the
/// builder's nor the environment's), no decompression, no retries, at most 100 headers and 64 KiB of them,
/// names resolved and checked as by [`HyperClient`](crate::HyperClient), and every connection's address
/// checked once more.
///
/// # Limits of reqwest
///
/// - Pins by [`resolve`](ClientBuilder::resolve) and `unix_socket` cannot be undone. A pinned address is
///   checked when it is connected to, before anything of the request is sent; a connection that leads to no
///   address is refused.
/// - The addresses of a name are tried one after the other only within a
///   [`connect_timeout`](ClientBuilder::connect_timeout); without it, the first one that hangs takes the
///   whole deadline.
/// - Up to 400 KiB of a response's head are read over HTTP/1.1 before more than 64 KiB are refused.
/// - A connection may become as old as it is used without a pause. For a maximum age, use
///   [`HyperClient`](crate::HyperClient), which has
///   [one](crate::transport::hyper::HyperClientBuilder::with_max_connection_age).
/// - Each host has one HTTP/2 connection. A request for which it has no stream until the deadline fails with
///   [`OwnFault::Streams`]: it costs no attempt, and the subscription slows down. The first few that wait are
///   told as time-outs of the endpoint, because the connection has taken them already.
/// - There is no proxy and no certificate for each subscription: reqwest's pool divides connections by
///   neither. A request whose [`Limits`] name a client certificate is refused with
///   [`OwnFault::ClientCertificate`].
/// - An HTTP/2 connection on which a request timed out is used again until it is found dead: see
///   [`http2_keep_alive_interval`](ClientBuilder::http2_keep_alive_interval).
/// - reqwest's pool has no bound over all hosts, so this client closes HTTP/1.1 connections after their
///   request (`Connection: close`) while it has [`with_max_connections`](Self::with_max_connections) in
///   reserve. HTTP/2 connections, of which each host has one, stay for the builder's idle time-out.
/// - [`Timings::tls`] stays empty, and over `https` [`Timings::connect`] too: reqwest does not tell where a
///   phase begins.
///
/// ```no_run
/// use std::time::Duration;
/// use bytes::Bytes;
/// use hookwire::{HttpClient, Limits, ReqwestClient};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = ReqwestClient::builder().user_agent("crm/1.0").connect_timeout(Duration::from_secs(3));
/// let client = ReqwestClient::from_builder(builder)?;
/// let request = http::Request::post("https://hooks.example.com/in").body(Bytes::from_static(b"{}"))?;
/// let exchange = client.send(request, &Limits::new(Duration::from_secs(10))).await?;
/// println!("{}", exchange.response.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReqwestClient {
    client: Client,
    policy: Arc<OnceLock<AddressPolicy>>,
    reuse: Arc<Reuse>,
}

impl ReqwestClient {
    /// Makes a client with every setting at its default, the same as [`HyperClient`](crate::HyperClient)'s.
    pub fn new() -> Self {
        Self::build(Self::builder(), Arc::new(SystemResolver::new()))
            .expect("invariant: the default settings are valid")
    }

    /// Returns reqwest's builder with the settings of [`new`](Self::new): TLS through `ring`, Mozilla's roots
    /// compiled in, and `User-Agent: hookwire/<version>`. Change it and give it to
    /// [`from_builder`](Self::from_builder).
    ///
    /// Its TLS is [preconfigured](ClientBuilder::tls_backend_preconfigured): reqwest's own TLS settings have
    /// no effect.
    pub fn builder() -> ClientBuilder {
        let tls = tls_config(None, None, Vec::new())
            .map(over_http)
            .expect("invariant: ring supports TLS 1.2 and 1.3, and the compiled-in roots are well formed");
        Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(DEFAULT_USER_AGENT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(DEFAULT_MAX_IDLE)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
    }

    /// Makes a client with the builder's settings, except those that would break the rules of [`HttpClient`].
    ///
    /// If the builder has no TLS configuration, reqwest takes the process's
    /// [`CryptoProvider`] and panics when there is none; so this function
    /// installs `ring` in the process when it has none. [`builder`](Self::builder) and [`new`](Self::new) do
    /// not need one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Client`] when reqwest refuses the builder: a malformed certificate, no roots on this
    /// machine, a header value with a line break.
    pub fn from_builder(builder: ClientBuilder) -> Result<Self, Error> {
        Self::from_builder_with_resolver(builder, SystemResolver::new())
    }

    /// Makes a client that resolves names with `resolver` in place of the operating system; a resolver of the
    /// builder has no effect.
    ///
    /// # Errors
    ///
    /// As [`from_builder`](Self::from_builder).
    pub fn from_builder_with_resolver(
        builder: ClientBuilder,
        resolver: impl Resolve + 'static,
    ) -> Result<Self, Error> {
        if CryptoProvider::get_default().is_none() {
            // An error means that another thread was first, which is just as well.
            let _ = ring::default_provider().install_default();
        }
        Self::build(builder, Arc::new(resolver))
    }

    fn build(builder: ClientBuilder, resolver: Arc<dyn ErasedResolve>) -> Result<Self, Error> {
        let policy = Arc::default();
        let client = builder
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(retry::never())
            // Another crate of the program may have switched on these features.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEAD as u32)
            .dns_resolver(CheckedResolver::new(resolver, Arc::clone(&policy)))
            .connector_layer(CheckedLayer::new(Arc::clone(&policy)))
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Client, "reqwest refused the builder's settings").with_source(error)
            })?;
        Ok(Self { client, policy, reuse: Arc::new(Reuse::new(default_max_connections())) })
    }

    /// Sets how many connections may stay open for further requests, to all hosts together. Unless set, it is
    /// half as many as the process may have descriptors (`ulimit -n`), and 4,096 at most.
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.reuse = Arc::new(Reuse::new(connections));
        self
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        limits: &Limits,
        start: Instant,
    ) -> Result<Exchange, TransportError> {
        let endpoint = endpoint_of(request.uri(), &limits.addresses)?;
        if self.policy.get_or_init(|| limits.addresses.clone()) != &limits.addresses {
            return Err(TransportError::new(
                ErrorClass::Internal,
                "client serves the address policy it was first used under, and this request has another",
            )
            .with_own_fault(OwnFault::Client)
            .with_maybe_sent(false));
        }
        if limits.identity.is_some() {
            return Err(TransportError::new(
                ErrorClass::Internal,
                "reqwest presents one client certificate to all endpoints, expected `HyperClient`",
            )
            .with_reason(FailureReason::ClientCertificate)
            .with_own_fault(OwnFault::ClientCertificate)
            .with_maybe_sent(false));
        }
        let deadline = deadline_of(limits, start);
        let is_taken = Arc::new(AtomicBool::new(false));
        let (mut parts, body) = request.into_parts();
        parts.uri = endpoint.uri().clone();
        parts.version = Version::HTTP_11;
        // The connection is chosen by the URL; another Host would reach a neighbour on the same server.
        parts.headers.remove(HOST);
        let stays = self.reuse.has_room(start);
        if !stays {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let body = ::reqwest::Body::wrap(Watched { bytes: Some(body), is_taken: Arc::clone(&is_taken) });
        let opening = Arc::new(Opening::new(deadline, &endpoint));
        let mut watch = Watch {
            opening,
            is_taken,
            is_https: endpoint.is_https(),
            start,
            first_byte: None,
            status: None,
            local: None,
        };
        let request = ::reqwest::Request::try_from(Request::from_parts(parts, body))
            .map_err(|error| watch.failure(error, limits))?;

        let answer = OPENING.scope(Arc::clone(&watch.opening), self.client.execute(request));
        let response = match timeout_at(deadline, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(watch.failure(error, limits)),
            Err(_) => return Err(watch.timeout(limits)),
        };
        watch.first_byte = Some(start.elapsed());
        watch.local = response.extensions().get().map(HttpInfo::local_addr);
        if let Some(local) = watch.local {
            self.reuse.used(local, stays, Instant::now());
        }
        // HTTP/0.9 is anything at all.
        if response.version() == Version::HTTP_09 {
            return Err(watch.error(FailureReason::NotHttp));
        }
        if size_of_head(response.headers()) > MAX_HEAD {
            return Err(watch.error(FailureReason::HeadTooLarge));
        }
        watch.status = Some(response.status());
        let (mut head, body) = Response::from(response).into_parts();
        head.extensions = Extensions::new();
        match timeout_at(deadline, read_body(body, limits.body_cap)).await {
            Ok(Ok((body, truncated))) => Ok(Exchange::new(Response::from_parts(head, body))
                .with_truncated(truncated)
                .with_timings(watch.timings())),
            Ok(Err(error)) => Err(watch.failure(error, limits)),
            Err(_) => Err(watch.timeout(limits)),
        }
    }
}

impl Default for ReqwestClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient for ReqwestClient {
    async fn send(&self, request: Request<Bytes>, limits: &Limits) -> Result<Exchange, TransportError> {
        let start = Instant::now();
        for _ in 0..MAX_RESENDS {
            match self.exchange(request.clone(), limits, start).await {
                // The peer certainly did not process it.
                Err(error) if error.reason() == FailureReason::RefusedStream => {}
                ended => return ended,
            }
        }
        self.exchange(request, limits, start).await
    }
}

impl fmt::Debug for ReqwestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the client: its default headers may hold a secret.
        f.debug_struct("ReqwestClient").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The progress of one exchange, from which its timings and its error are made.
struct Watch {
    opening: Arc<Opening>,
    is_taken: Arc<AtomicBool>,
    is_https: bool,
    start: Instant,
    first_byte: Option<Duration>,
    /// The status, once the response's head has come.
    status: Option<StatusCode>,
    /// This end of the connection that the response came over.
    local: Option<SocketAddr>,
}

impl Watch {
    fn failure(&self, error: ::reqwest::Error, limits: &Limits) -> TransportError {
        // The text and `Debug` of the error hold the URL, which may hold a token.
        let error = error.without_url();
        let reason = match self.reason(&error) {
            reason if self.status.is_some() => reason.after_status(),
            reason => reason,
        };
        let failed = match reason.class() {
            ErrorClass::Timeout if self.start.elapsed() >= limits.deadline => self.timeout(limits),
            class @ ErrorClass::Timeout => {
                let message = "time-out of the client's own settings passed, sooner than the deadline";
                self.finish(TransportError::new(class, message), self.timed_out())
            }
            _ => self.error(reason),
        };
        match own_fault(&error) {
            Some(fault) => failed.with_own_fault(fault),
            None => failed,
        }
        .with_source(error)
    }

    fn timeout(&self, limits: &Limits) -> TransportError {
        let phase = match (self.first_byte, self.is_taken()) {
            (Some(_), _) => "reading the response body",
            (None, true) => "waiting for the response",
            (None, false) => self.opening.dial.phase().doing(),
        };
        let message = format!("deadline of {:?} passed while {phase}", limits.deadline);
        let error = self.finish(TransportError::new(ErrorClass::Timeout, message), self.timed_out());
        match error.reason() {
            FailureReason::DnsTimeout => error.with_own_fault(OwnFault::Resolver),
            FailureReason::Streams => error.with_own_fault(OwnFault::Streams),
            _ => error,
        }
    }

    fn timed_out(&self) -> FailureReason {
        match (self.first_byte, self.is_taken()) {
            (Some(_), _) => FailureReason::BodyTimeout,
            (None, true) => FailureReason::ResponseTimeout,
            // No connection was opened for it, and the one that there is did not take it.
            (None, false) if self.opening.dial.phase() == Phase::Pool => FailureReason::Streams,
            (None, false) => self.opening.dial.phase().timed_out(),
        }
    }

    fn error(&self, reason: FailureReason) -> TransportError {
        self.finish(TransportError::new(reason.class(), message(reason.class())), reason)
    }

    fn finish(&self, error: TransportError, reason: FailureReason) -> TransportError {
        error
            .with_reason(reason)
            .with_status(self.status)
            .with_maybe_sent(self.is_taken() && reason != FailureReason::RefusedStream)
            .with_timings(self.timings())
    }

    fn reason(&self, error: &::reqwest::Error) -> FailureReason {
        if let Some(error) = connector::dial_error_of(error) {
            return error.reason();
        }
        // With an `io::Error` inside, this means that the peer is gone.
        if error.is_timeout() && !connector::causes(error).any(|error| error.is::<io::Error>()) {
            return FailureReason::TimedOut;
        }
        if error.is_builder() {
            // Before: settings such as `https_only`. After: a `Location` that reqwest could not read.
            return if self.is_taken() { FailureReason::NotHttp } else { FailureReason::Client };
        }
        diagnose(error)
    }

    fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Relaxed)
    }

    fn timings(&self) -> Timings {
        // A connection opened by an earlier request cost this one nothing.
        let is_own = match self.local {
            Some(local) => self.opening.local.get() == Some(&local),
            None => !self.is_taken() || self.opening.local.get().is_some(),
        };
        let mut timings = if is_own { self.opening.dial.timings() } else { Timings::default() };
        if self.is_https {
            // TLS is in it.
            timings.connect = None;
        }
        timings.first_byte = self.first_byte;
        timings.total = self.start.elapsed();
        timings
    }
}

/// A request's body that notes when a connection has taken the request. Before that, nothing of it was sent.
struct Watched {
    bytes: Option<Bytes>,
    is_taken: Arc<AtomicBool>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.is_taken.store(true, Ordering::Relaxed);
        Poll::Ready(self.bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
    }

    // hyper calls this when it writes the head, and nobody calls it before.
    fn is_end_stream(&self) -> bool {
        self.is_taken.store(true, Ordering::Relaxed);
        self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

fn size_of_head(headers: &HeaderMap) -> usize {
    // Each header has a colon, a space and a line end besides.
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

// hyper's own default, which the builder may have raised.
const MAX_HEADERS: usize = 100;

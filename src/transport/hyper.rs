//! [`HyperClient`]: the default [`HttpClient`], on hyper's connections and rustls.

#![cfg(feature = "hyper")]

mod connection;
pub(super) mod dial;
mod dialler;
mod pool;
mod resolver;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderValue, USER_AGENT};
use http::{Extensions, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;

use self::connection::{Connection, Poison};
use self::dial::{Dial, DialError, Phase};
use self::dialler::Dialler;
use self::pool::{Asked, Pools, Route};
pub(super) use self::resolver::ErasedResolve;
pub use self::resolver::{Resolve, SystemResolver};
use super::names::Names;
use crate::{
    AddressPolicy, EndpointUrl, Error, ErrorClass, ErrorKind, Exchange, HttpClient, Limits, Timings,
    TransportError,
};

/// An [`HttpClient`] on a pool of HTTP/1.1 and HTTP/2 connections; needs a tokio runtime with I/O and time.
///
/// Cloning is cheap and shares the pool. There is one pool per [`AddressPolicy`], so that a connection opened under a
/// lax policy never serves a strict one; the last 16 policies in use keep theirs.
///
/// Requests get `User-Agent: hookwire/<version>` unless they have one, and no `Accept-Encoding`. A response head may
/// have 100 headers (HTTP/1.1) and 64 KiB.
///
/// TLS goes through `ring`, which builds in seconds and without cmake, and trusts Mozilla's root certificates, compiled
/// in because a minimal container has no store of its own. Both can be replaced.
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
    dialler: Arc<Dialler>,
    user_agent: HeaderValue,
    pools: Arc<Pools>,
}

impl HyperClient {
    /// A client with every setting at its default.
    pub fn new() -> Self {
        Self::builder().build().expect("invariant: the default settings are valid")
    }

    /// Starts from the defaults.
    pub fn builder() -> HyperClientBuilder {
        HyperClientBuilder {
            provider: None,
            roots: None,
            extra_roots: Vec::new(),
            tls: None,
            user_agent: None,
            local_v4: None,
            local_v6: None,
            max_idle_per_host: DEFAULT_MAX_IDLE,
            resolver: Arc::new(SystemResolver::new()),
        }
    }

    /// What needs no waiting.
    fn begin(&self, request: Request<Bytes>, limits: &Limits) -> Result<Begun, TransportError> {
        let start = Instant::now();
        let mut request = request.map(Full::new);
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        let route = self.pools.route(Asked(std::mem::take(request.uri_mut())), &limits.addresses)?;
        let watch = Watch {
            start,
            deadline: deadline_of(limits, start),
            first_byte: None,
            dial: None,
            is_sent: false,
            poison: None,
        };
        Ok(Begun { request: Some(request), route, watch })
    }
}

impl Default for HyperClient {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpClient for HyperClient {
    fn send(
        &self,
        request: Request<Bytes>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Exchange, TransportError>> + Send {
        let mut begun = self.begin(request, limits);
        // Borrowed and not moved: a future has room for each place that a value has been in, and this one is boxed for each request.
        async move {
            match begun {
                Ok(ref mut begun) => begun.finish(self, limits).await,
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

/// The settings of a [`HyperClient`].
#[must_use]
pub struct HyperClientBuilder {
    provider: Option<Arc<CryptoProvider>>,
    roots: Option<Vec<CertificateDer<'static>>>,
    extra_roots: Vec<CertificateDer<'static>>,
    tls: Option<ClientConfig>,
    user_agent: Option<String>,
    local_v4: Option<Ipv4Addr>,
    local_v6: Option<Ipv6Addr>,
    max_idle_per_host: usize,
    resolver: Arc<dyn ErasedResolve>,
}

impl HyperClientBuilder {
    /// Trusts these root certificates in place of the compiled-in ones.
    pub fn with_root_certificates(
        mut self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        self.roots = Some(roots.into_iter().collect());
        self
    }

    /// Trusts these root certificates beside the others.
    pub fn with_extra_root_certificates(
        mut self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        self.extra_roots.extend(roots);
        self
    }

    /// Uses this cryptography in place of `ring`.
    pub fn with_crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Uses this configuration of TLS: client certificates, versions, a verifier of one's own.
    ///
    /// It replaces the root certificates and the provider set here. Its ALPN protocols are set to `h2` and
    /// `http/1.1`, and early data is switched off: it could be replayed.
    pub fn with_tls_config(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sends this `User-Agent` with requests that have none.
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Connects from this address; call it once per family.
    ///
    /// Endpoints of a family without a local address are then not reached, so that nothing leaves from an address
    /// that customers have not been told.
    pub fn with_local_address(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.local_v4 = Some(address),
            IpAddr::V6(address) => self.local_v6 = Some(address),
        }
        self
    }

    /// Keeps up to this many idle connections per host; 256 unless set, as many as a dispatcher has in flight.
    pub fn with_max_idle_per_host(mut self, connections: usize) -> Self {
        self.max_idle_per_host = connections;
        self
    }

    /// Resolves names with `resolver` in place of the operating system.
    pub fn with_resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    ///
    /// [`Error`] of kind [`Client`](ErrorKind::Client) when a root certificate is malformed, the provider supports
    /// no version of TLS, or the user agent is no header value.
    pub fn build(self) -> Result<HyperClient, Error> {
        let user_agent = match self.user_agent {
            Some(text) => HeaderValue::try_from(text).map_err(|error| {
                Error::new(ErrorKind::Client, "user agent is no header value, expected visible ASCII")
                    .with_source(error)
            })?,
            None => HeaderValue::from_static(DEFAULT_USER_AGENT),
        };
        let tls = match self.tls {
            Some(config) => config,
            None => tls_config(self.provider, self.roots, self.extra_roots)?,
        };
        Ok(HyperClient {
            dialler: Arc::new(Dialler {
                tls: TlsConnector::from(Arc::new(over_http(tls))),
                resolver: self.resolver,
                names: Names::default(),
                local_v4: self.local_v4,
                local_v6: self.local_v6,
            }),
            user_agent,
            pools: Arc::new(Pools::new(self.max_idle_per_host)),
        })
    }
}

impl fmt::Debug for HyperClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperClientBuilder").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

/// An exchange that goes on.
struct Begun {
    /// Until a connection takes it.
    request: Option<Request<Full<Bytes>>>,
    route: Arc<Route>,
    watch: Watch,
}

impl Begun {
    async fn finish(&mut self, client: &HyperClient, limits: &Limits) -> Result<Exchange, TransportError> {
        // One timer for both halves: each costs a turn in the runtime's wheel.
        let mut expired = pin!(sleep_until(self.watch.deadline));
        let answered = tokio::select! {
            biased;
            answered = self.answer(client) => answered,
            () = &mut expired => return Err(self.watch.failure(ErrorClass::Timeout, None, limits)),
        };
        let (response, connection) =
            answered.map_err(|error| self.watch.failure(classify(&*error), Some(error), limits))?;
        self.watch.first_byte = Some(self.watch.start.elapsed());
        let (mut head, body) = response.into_parts();
        head.extensions = Extensions::new();
        let (body, truncated) = tokio::select! {
            biased;
            read = read_body(body, limits.body_cap) => {
                read.map_err(|error| self.watch.failure(classify(&error), Some(error.into()), limits))?
            }
            () = &mut expired => return Err(self.watch.failure(ErrorClass::Timeout, None, limits)),
        };
        let now = Instant::now();
        if !truncated {
            self.route.origin.give_back(connection, now, self.watch.deadline);
        }
        Ok(Exchange::new(Response::from_parts(head, body))
            .with_truncated(truncated)
            .with_timings(self.watch.timings(now)))
    }

    async fn answer(&mut self, client: &HyperClient) -> Result<(Response<Incoming>, Connection), Failure> {
        loop {
            let kept = self.route.origin.take(self.watch.start);
            let mut is_reused = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => {
                    let opened = self.open(client).await?;
                    is_reused = self.watch.dial.is_none();
                    opened
                }
            };
            self.watch.is_sent = true;
            self.watch.poison = connection.poison();
            match connection.send(&mut self.request, &self.route).await {
                Ok(response) => return Ok((response, connection)),
                Err(error) => {
                    self.watch.is_sent = self.request.is_none();
                    // A fresh connection that takes nothing would be followed by another such.
                    if self.watch.is_sent || !is_reused {
                        return Err(error.into());
                    }
                    self.watch.poison.take().iter().for_each(Poison::poison);
                }
            }
        }
    }

    /// Opens a connection, unless one comes free before; what is opened is then kept for the next request.
    async fn open(&mut self, client: &HyperClient) -> Result<Connection, Failure> {
        client.pools.keep_swept();
        let mut waiting = self.route.origin.wait();
        // One that came free just before this one waited.
        if let Some(connection) = self.route.origin.take(self.watch.start) {
            return Ok(connection);
        }
        let dial = Arc::new(Dial::new(self.watch.deadline));
        self.watch.dial = Some(Arc::clone(&dial));
        let (dialler, route) = (Arc::clone(&client.dialler), Arc::clone(&self.route));
        // Boxed because it is seldom needed, and has to move where it is finished for another.
        let mut opening = Box::pin(async move {
            let opened = dialler.open(&route.url, &route.origin.policy, &dial).await?;
            Ok::<_, Failure>(route.origin.share(opened))
        });
        tokio::select! {
            biased;
            Ok(connection) = &mut waiting.receiver => {
                let origin = Arc::clone(&self.route.origin);
                tokio::spawn(async move {
                    if let Ok(connection) = opening.await {
                        origin.keep(connection, Instant::now());
                    }
                });
                // A connection opened for another request cost this one nothing.
                self.watch.dial = None;
                Ok(connection)
            }
            opened = &mut opening => opened,
        }
    }
}

/// What is seen of one exchange while it goes on.
struct Watch {
    start: Instant,
    deadline: Instant,
    first_byte: Option<Duration>,
    /// The connection that is opened for it, if one is.
    dial: Option<Arc<Dial>>,
    /// Whether a connection has the request.
    is_sent: bool,
    poison: Option<Poison>,
}

impl Watch {
    fn failure(&self, class: ErrorClass, source: Option<Failure>, limits: &Limits) -> TransportError {
        let error = match class {
            ErrorClass::Timeout => {
                // An HTTP/2 connection outlives a request that was given up. If it is dead, so would be the next one.
                self.poison.iter().for_each(Poison::poison);
                let phase = match (self.first_byte, self.is_sent) {
                    (Some(_), _) => "reading the response body",
                    (None, true) => "waiting for the response",
                    (None, false) => self.dial.as_ref().map_or(Phase::Pool, |dial| dial.phase()).doing(),
                };
                TransportError::new(class, format!("deadline of {:?} passed while {phase}", limits.deadline))
            }
            class => TransportError::new(class, message(class)),
        };
        let error = error.with_maybe_sent(self.is_sent).with_timings(self.timings(Instant::now()));
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    fn timings(&self, now: Instant) -> Timings {
        let mut timings = self.dial.as_ref().map_or_else(Timings::default, |dial| dial.timings());
        timings.first_byte = self.first_byte;
        timings.total = now.saturating_duration_since(self.start);
        timings
    }
}

/// When an exchange that began at `start` has to be over.
pub(super) fn deadline_of(limits: &Limits, start: Instant) -> Instant {
    start.checked_add(limits.deadline).unwrap_or_else(|| start + FOREVER)
}

/// The URL of a request, judged once more: the caller may have stored it under another policy.
pub(super) fn endpoint_of(uri: &Uri, policy: &AddressPolicy) -> Result<EndpointUrl, TransportError> {
    EndpointUrl::parse(&uri.to_string(), policy).map_err(|error| {
        TransportError::new(ErrorClass::AddressDenied, message(ErrorClass::AddressDenied))
            .with_source(error)
            .with_maybe_sent(false)
    })
}

/// Reads up to `cap` bytes; the flag says that there was more, and the connection is then given up with the body.
pub(super) async fn read_body<B>(mut body: B, cap: usize) -> Result<(Bytes, bool), B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = cap - kept.len();
        if data.len() > room {
            kept.extend_from_slice(&data[..room]);
            return Ok((kept.freeze(), true));
        }
        kept.extend_from_slice(&data);
    }
    Ok((kept.freeze(), false))
}

/// Judges by the first cause that says what happened; the outer errors only say where.
pub(super) fn classify(error: &(dyn StdError + 'static)) -> ErrorClass {
    let mut class = ErrorClass::Connect;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<DialError>() {
            return error.class();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse() {
                return ErrorClass::Protocol;
            }
            let is_gone = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
            class = match (is_gone, error.is_user()) {
                (true, _) => ErrorClass::Reset,
                (false, true) => ErrorClass::Internal,
                (false, false) => ErrorClass::Protocol,
            };
        }
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return match error.get_io() {
                Some(error) => classify_io(error),
                None if error.is_remote() => ErrorClass::Reset,
                None => ErrorClass::Protocol,
            };
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return classify_io(error);
        }
        cause = error.source();
    }
    class
}

fn classify_io(error: &io::Error) -> ErrorClass {
    // With TLS 1.3 a server's verdict on the handshake arrives after the client's part of it.
    if error.get_ref().is_some_and(|error| error.is::<rustls::Error>()) {
        return ErrorClass::Tls;
    }
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ErrorClass::Protocol,
        _ => ErrorClass::Reset,
    }
}

pub(super) fn message(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Dns => "host name of the endpoint could not be resolved",
        ErrorClass::AddressDenied => "endpoint is refused by the address policy",
        ErrorClass::Connect => "no connection to the endpoint could be made",
        ErrorClass::Tls => "TLS handshake with the endpoint failed",
        ErrorClass::Timeout => "deadline passed",
        ErrorClass::Reset => "endpoint closed the connection before the response was complete",
        ErrorClass::Protocol => "response is not valid HTTP, or its head is larger than allowed",
        ErrorClass::Internal => "request could not be sent for want of local resources",
    }
}

pub(super) fn tls_config(
    provider: Option<Arc<CryptoProvider>>,
    roots: Option<Vec<CertificateDer<'static>>>,
    extra_roots: Vec<CertificateDer<'static>>,
) -> Result<ClientConfig, Error> {
    let mut store = RootCertStore::empty();
    if roots.is_none() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in roots.into_iter().flatten().chain(extra_roots) {
        store.add(root).map_err(|error| {
            Error::new(
                ErrorKind::Client,
                "root certificate is malformed, expected an X.509 certificate in DER",
            )
            .with_source(error)
        })?;
    }
    // Never the process-wide default: two providers in one tree make rustls panic when it must guess.
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            Error::new(ErrorKind::Client, "crypto provider supports neither TLS 1.2 nor TLS 1.3")
                .with_source(error)
        })?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}

/// The same configuration for HTTP: its versions, and no early data, which could be replayed.
pub(super) fn over_http(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.enable_early_data = false;
    config
}

pub(super) const DEFAULT_USER_AGENT: &str = concat!("hookwire/", env!("CARGO_PKG_VERSION"));
pub(super) const DEFAULT_MAX_IDLE: usize = 256;
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const MAX_HEAD: usize = 64 * 1024;
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 1024 * 1024;
// For a deadline beyond what an instant can hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

type Failure = Box<dyn StdError + Send + Sync>;

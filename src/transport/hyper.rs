//! [`HyperClient`]: the default [`HttpClient`], on hyper's connection pool and rustls.

#![cfg(feature = "hyper")]

mod connector;
pub(super) mod dial;
mod resolver;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Extensions, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::futures::TaskLocalFuture;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;

use self::connector::{Connector, Dialler, Opened};
use self::dial::{Dial, DialError};
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
    max_idle_per_host: usize,
    pools: Arc<Mutex<Vec<Pool>>>,
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

    /// What needs no waiting, so that the future, which is boxed for each request, does not carry the request.
    fn begin<'a>(&self, request: Request<Bytes>, limits: &'a Limits) -> Result<Begun<'a>, TransportError> {
        let start = Instant::now();
        let deadline = deadline_of(limits, start);
        let dial = Arc::new(Dial::new(deadline));
        let mut request = request.map(Full::new);
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        // The connection is chosen by the URL; another Host would reach a neighbour on the same server.
        headers.remove(HOST);
        let captured = capture_connection(&mut request);

        let answer = self.start(request, &limits.addresses)?;
        let answer = connector::DIAL.scope(Arc::clone(&dial), answer);
        Ok(Begun { answer, watch: Watch { captured, dial, start, first_byte: None }, limits })
    }

    /// Starts `request` on the pool of the connections that `policy` has allowed.
    fn start(
        &self,
        mut request: Request<Full<Bytes>>,
        policy: &AddressPolicy,
    ) -> Result<ResponseFuture, TransportError> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = pools.iter().position(|pool| pool.policy == *policy) {
            // The most recently used last, the first to go first.
            pools[at..].rotate_left(1);
        } else {
            if pools.len() == MAX_POOLS {
                pools.remove(0);
            }
            let client = Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(self.max_idle_per_host)
                // hyper gives a request back only when nothing of it was written; just that one is sent again.
                .retry_canceled_requests(true)
                // hyper compares before each read, which may bring as much again.
                .http1_max_buf_size(MAX_HEAD / 2)
                .http2_max_header_list_size(MAX_HEAD as u32)
                // What a peer may send before its body is read, so what it can make us hold.
                .http2_initial_stream_window_size(STREAM_WINDOW)
                .http2_initial_connection_window_size(CONNECTION_WINDOW)
                .build(Connector::new(Arc::clone(&self.dialler), policy.clone()));
            pools.push(Pool { policy: policy.clone(), judged: HashMap::new(), client });
        }
        let pool = pools.last_mut().expect("invariant: the pool was just put last");
        *request.uri_mut() = pool.judge(request.uri())?;
        Ok(pool.client.request(request))
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
        let begun = self.begin(request, limits);
        async move { begun?.finish().await }
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
            max_idle_per_host: self.max_idle_per_host,
            pools: Arc::default(),
        })
    }
}

impl fmt::Debug for HyperClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperClientBuilder").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

struct Pool {
    policy: AddressPolicy,
    /// URLs that the policy allows, in the form in which they are sent.
    judged: HashMap<Uri, Uri>,
    client: Client<Connector, Full<Bytes>>,
}

impl Pool {
    fn judge(&mut self, uri: &Uri) -> Result<Uri, TransportError> {
        if let Some(judged) = self.judged.get(uri) {
            return Ok(judged.clone());
        }
        let judged = endpoint_of(uri, &self.policy)?.uri().clone();
        if self.judged.len() >= MAX_JUDGED {
            self.judged.clear();
        }
        self.judged.insert(uri.clone(), judged.clone());
        Ok(judged)
    }
}

/// An exchange that goes on.
struct Begun<'a> {
    answer: TaskLocalFuture<Arc<Dial>, ResponseFuture>,
    watch: Watch,
    limits: &'a Limits,
}

impl Begun<'_> {
    async fn finish(self) -> Result<Exchange, TransportError> {
        let Self { answer, mut watch, limits } = self;
        // One timer for both halves: each costs a turn in the runtime's wheel.
        let mut expired = pin!(sleep_until(watch.dial.deadline));
        let response = tokio::select! {
            biased;
            answer = answer => answer.map_err(|error| {
                let reached = !error.is_connect();
                watch.failure(classify(&error), Some(error.into()), limits, reached)
            })?,
            () = &mut expired => return Err(watch.failure(ErrorClass::Timeout, None, limits, true)),
        };
        watch.first_byte = Some(watch.start.elapsed());
        let (mut head, body) = response.into_parts();
        let came_with = std::mem::take(&mut head.extensions);
        let (body, truncated) = tokio::select! {
            biased;
            read = read_body(body, limits.body_cap) => {
                read.map_err(|error| watch.failure(classify(&error), Some(error.into()), limits, true))?
            }
            () = &mut expired => return Err(watch.failure(ErrorClass::Timeout, None, limits, true)),
        };
        Ok(Exchange::new(Response::from_parts(head, body))
            .with_truncated(truncated)
            .with_timings(watch.timings(&came_with)))
    }
}

/// What is seen of one exchange while it goes on.
struct Watch {
    captured: CaptureConnection,
    dial: Arc<Dial>,
    start: Instant,
    first_byte: Option<Duration>,
}

impl Watch {
    fn failure(
        &self,
        class: ErrorClass,
        source: Option<Box<dyn StdError + Send + Sync>>,
        limits: &Limits,
        reached: bool,
    ) -> TransportError {
        let connection = self.captured.connection_metadata();
        let has_connection = connection.is_some();
        if class == ErrorClass::Timeout
            && let Some(connection) = connection.as_ref()
        {
            // An HTTP/2 connection outlives a request that was given up. If it is dead, so would be the next one.
            connection.poison();
        }
        drop(connection);
        let error = match class {
            ErrorClass::Timeout => {
                let phase = match (self.first_byte, has_connection) {
                    (Some(_), _) => "reading the response body",
                    (None, true) => "waiting for the response",
                    (None, false) => self.dial.phase().doing(),
                };
                TransportError::new(class, format!("deadline of {:?} passed while {phase}", limits.deadline))
            }
            class => TransportError::new(class, message(class)),
        };
        let mut opened_by = Extensions::new();
        if let Some(connection) = self.captured.connection_metadata().as_ref() {
            connection.get_extras(&mut opened_by);
        }
        let error = error.with_maybe_sent(reached && has_connection).with_timings(self.timings(&opened_by));
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }

    /// `opened_by` is what the connection carries.
    fn timings(&self, opened_by: &Extensions) -> Timings {
        // A connection opened by an earlier request cost this one nothing.
        let is_own = opened_by.get().is_none_or(|Opened(dial)| Arc::ptr_eq(dial, &self.dial));
        let mut timings = if is_own { self.dial.timings() } else { Timings::default() };
        timings.first_byte = self.first_byte;
        timings.total = self.start.elapsed();
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
// More than an application has policies, few enough to search in a row.
const MAX_POOLS: usize = 16;
// More than are busy at once, few enough to forget.
const MAX_JUDGED: usize = 1_024;
// For a deadline beyond what an instant can hold.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

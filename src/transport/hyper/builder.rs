//! [`HyperClientBuilder`]: the settings of a [`HyperClient`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

use super::bounds::{DEFAULT_MAX_IDLE, DEFAULT_USER_AGENT, MAX_AGE, default_max_connections};
use super::budget::Budget;
use super::client::HyperClient;
use super::dialler::Dialler;
use super::origin::PoolLimits;
use super::pool::Pools;
use super::proxy::Proxy;
use super::resolver::{ErasedResolve, Resolve, SystemResolver};
use super::tls::{Tls, over_http, tls_config};
use crate::error::{Error, ErrorKind};

impl HyperClient {
    /// Makes a client with every setting at its default.
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
            max_connections: default_max_connections(),
            max_age: MAX_AGE,
            proxy: None,
            resolver: Arc::new(SystemResolver::new()),
        }
    }
}

impl Default for HyperClient {
    fn default() -> Self {
        Self::new()
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
    max_connections: usize,
    max_age: Duration,
    proxy: Option<Proxy>,
    resolver: Arc<dyn ErasedResolve>,
}

impl HyperClientBuilder {
    /// Sets the root certificates to trust in place of the compiled-in ones.
    pub fn with_root_certificates(
        mut self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        self.roots = Some(roots.into_iter().collect());
        self
    }

    /// Adds root certificates to trust beside the others.
    pub fn with_extra_root_certificates(
        mut self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        self.extra_roots.extend(roots);
        self
    }

    /// Sets the cryptography to use in place of `ring`.
    pub fn with_crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Sets the whole TLS configuration: client certificates, versions, a verifier of your own.
    ///
    /// It replaces the root certificates and the provider that were set here. Its ALPN protocols are set to
    /// `h2` and `http/1.1`. Early data is switched off, because it could be replayed, and so is the
    /// resumption of sessions, because it would use a certificate without verifying it again.
    pub fn with_tls_config(mut self, config: ClientConfig) -> Self {
        self.tls = Some(config);
        self
    }

    /// Sets the `User-Agent` of requests that have none.
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Sets the local address to connect from; call it once per family.
    ///
    /// Endpoints of the other family are then not reached unless it has a local address too, so that no
    /// request leaves from an address that customers do not expect.
    pub fn with_local_address(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.local_v4 = Some(address),
            IpAddr::V6(address) => self.local_v6 = Some(address),
        }
        self
    }

    /// Sets the maximum of idle connections per host; 256 unless set, as many as a dispatcher has attempts in
    /// flight.
    pub fn with_max_idle_per_host(mut self, connections: usize) -> Self {
        self.max_idle_per_host = connections;
        self
    }

    /// Sets how many connections may be open at once, to all hosts together.
    ///
    /// When one more is opened, the connection that has been idle longest is closed. A connection that is in
    /// use is not: with more requests than this at once, no connection stays idle, and the number of requests
    /// is the number of connections.
    ///
    /// Unless set, it is half as many as the process may have descriptors (`ulimit -n`) when the client is
    /// made, and 4,096 at most. The other half is left to the attempts in flight beyond it, the database and
    /// the application.
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets how old a connection may become; 5 minutes unless set.
    ///
    /// An older one takes no more requests, however busy it is. The connection in its place resolves the name
    /// again, and has its addresses judged by the policy and its certificate verified, so that a change of
    /// any of them takes effect within this time.
    pub fn with_max_connection_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets the proxy that all requests go through. A proxy in the environment is never used.
    ///
    /// The proxy is dialled as it is set, and no [`AddressPolicy`](crate::AddressPolicy) judges it. The
    /// policy judges the endpoint's URL: its scheme, its port, its address if it names one, and otherwise its
    /// name. The addresses of a name are the proxy's to resolve and to judge.
    pub fn with_proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sets the resolver of host names, in place of the operating system.
    pub fn with_resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Client`] when a root certificate is malformed, the provider supports no version of TLS,
    /// or the user agent is not a header value.
    pub fn build(self) -> Result<HyperClient, Error> {
        let user_agent = match self.user_agent {
            Some(text) => HeaderValue::try_from(text).map_err(|error| {
                Error::new(ErrorKind::Client, "user agent is not a header value")
                    .with_expected("visible ASCII; see `with_user_agent`")
                    .with_source(error)
            })?,
            None => HeaderValue::from_static(DEFAULT_USER_AGENT),
        };
        let tls = match self.tls {
            Some(config) => config,
            None => tls_config(self.provider, self.roots, self.extra_roots)?,
        };
        let budget = Arc::new(Budget::new(self.max_connections));
        Ok(HyperClient {
            dialler: Arc::new(Dialler {
                tls: Tls::new(over_http(tls)),
                resolver: self.resolver,
                budget: Arc::clone(&budget),
                local_v4: self.local_v4,
                local_v6: self.local_v6,
                proxy: self.proxy,
                extra_dials: Arc::new(Semaphore::new(
                    (self.max_connections / 8).clamp(1, Semaphore::MAX_PERMITS),
                )),
            }),
            user_agent,
            pools: Arc::new(Pools::new(
                PoolLimits { max_idle: self.max_idle_per_host, max_age: self.max_age },
                budget,
            )),
        })
    }
}

impl fmt::Debug for HyperClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperClientBuilder").field("user_agent", &self.user_agent).finish_non_exhaustive()
    }
}

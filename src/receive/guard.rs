//! [`Guard`]: what proves a request whose sender signs nothing.

use std::fmt;
use std::net::IpAddr;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq;

use crate::signature::Secret;

/// What proves a request whose sender signs nothing.
///
/// ```
/// use hookwire::receive::{Arrival, Guard};
///
/// /// Only what a proxy of ours let through.
/// struct OurProxy;
///
/// impl Guard for OurProxy {
///     fn name(&self) -> &'static str {
///         "our_proxy"
///     }
///
///     fn admits(&self, arrival: &Arrival<'_>) -> bool {
///         arrival.peer.is_some_and(|peer| peer.is_loopback())
///     }
/// }
///
/// let headers = http::HeaderMap::new();
/// assert!(!OurProxy.admits(&Arrival::new(&headers)));
/// ```
pub trait Guard: Send + Sync {
    /// What the guard is called in [`Proof::Guard`](crate::Proof::Guard).
    fn name(&self) -> &'static str;

    /// Whether the request may pass. Secrets are compared in constant time.
    fn admits(&self, arrival: &Arrival<'_>) -> bool;
}

/// What a [`Guard`] may look at: everything of a request but its body.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Arrival<'a> {
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The path of the request's URL.
    pub path: Option<&'a str>,
    /// The address of the connection's other end.
    pub peer: Option<IpAddr>,
}

impl<'a> Arrival<'a> {
    /// A request of which only the headers are known.
    pub const fn new(headers: &'a HeaderMap) -> Self {
        Self { headers, path: None, peer: None }
    }

    /// The same request, to this path.
    pub const fn with_path(mut self, path: &'a str) -> Self {
        self.path = Some(path);
        self
    }

    /// The same request, from this address.
    pub const fn with_peer(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer);
        self
    }
}

/// Admits requests that show a secret in a header, exactly once.
///
/// ```
/// use hookwire::receive::{Arrival, Guard, HeaderGuard};
///
/// let guard = HeaderGuard::bearer(&"a-long-random-token".parse()?);
/// let mut headers = http::HeaderMap::new();
/// assert!(!guard.admits(&Arrival::new(&headers)));
/// headers.insert("authorization", http::HeaderValue::from_static("Bearer a-long-random-token"));
/// assert!(guard.admits(&Arrival::new(&headers)));
/// # Ok::<(), hookwire::Error>(())
/// ```
pub struct HeaderGuard {
    name: &'static str,
    header: HeaderName,
    scheme: &'static str,
    secret: Secret,
}

impl HeaderGuard {
    /// Demands `Authorization: Bearer` and the secret's text (RFC 6750 section 2.1).
    pub fn bearer(secret: &Secret) -> Self {
        Self { name: "bearer", header: AUTHORIZATION, scheme: "Bearer ", secret: secret.clone() }
    }

    /// Demands the secret's text as the whole value of `header`.
    pub fn api_key(header: HeaderName, secret: &Secret) -> Self {
        Self { name: "api_key", header, scheme: "", secret: secret.clone() }
    }
}

impl Guard for HeaderGuard {
    fn name(&self) -> &'static str {
        self.name
    }

    fn admits(&self, arrival: &Arrival<'_>) -> bool {
        let mut values = arrival.headers.get_all(&self.header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let (scheme, shown) = value.as_bytes().split_at(self.scheme.len().min(value.len()));
        // RFC 9110 section 11.1: the name of a scheme is case-insensitive.
        scheme.eq_ignore_ascii_case(self.scheme.as_bytes())
            && bool::from(shown.ct_eq(self.secret.expose().as_bytes()))
    }
}

impl fmt::Debug for HeaderGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeaderGuard")
            .field("name", &self.name)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

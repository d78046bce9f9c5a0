//! [`Guard`]: what proves a request whose sender signs nothing, or what a request must show besides its signature.

mod forwarded;
mod header;
mod network;
mod path;

pub use header::HeaderGuard;
pub use network::NetworkGuard;
pub use path::PathGuard;

use std::net::IpAddr;

use http::HeaderMap;

/// What proves a request whose sender signs nothing, or what a request must show besides its signature.
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
    ///
    /// It is asked before the body is read. A guard that panics admits nobody: the sender is answered 503.
    fn admits(&self, arrival: &Arrival<'_>) -> bool;

    /// What a request that is answered 401 should show next time, as a challenge of `WWW-Authenticate` (RFC 9110 section 11.6.1),
    /// such as `Bearer realm="webhooks"`. Every 401 of the receiver has it, whatever the reason, so that it tells a stranger nothing.
    /// One that no header can hold, as with a line break, is left out, and so is that of a guard that panics.
    fn challenge(&self) -> Option<&'static str> {
        None
    }
}

/// What a [`Guard`] may look at: everything of a request but its body.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Arrival<'a> {
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The path of the request's URL, as it was sent.
    pub path: Option<&'a str>,
    /// The address of the connection's other end.
    pub peer: Option<IpAddr>,
    /// Whose secrets prove the request, where the receiver looks them up: a name from the path or the host.
    pub tenant: Option<&'a str>,
}

impl<'a> Arrival<'a> {
    /// A request of which only the headers are known.
    pub const fn new(headers: &'a HeaderMap) -> Self {
        Self { headers, path: None, peer: None, tenant: None }
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

    /// The same request, for this tenant.
    pub const fn with_tenant(mut self, tenant: &'a str) -> Self {
        self.tenant = Some(tenant);
        self
    }
}

//! [`Guard`]: a rule that a request has to pass before its body is read.

use crate::receive::arrival::Arrival;

/// A rule that a request has to pass before its body is read. A guard proves requests whose sender signs
/// nothing, and narrows those of a sender that signs.
///
/// ```
/// use hookwire::receive::{Arrival, Guard};
///
/// /// Admits only what our own proxy let through.
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
/// assert!(!OurProxy.admits(&Arrival::post(&headers)));
/// ```
pub trait Guard: Send + Sync {
    /// The guard's name in [`Proof::Guard`](crate::signature::Proof::Guard) and in log lines.
    fn name(&self) -> &'static str;

    /// Whether the request may pass. Compare secrets in constant time.
    ///
    /// The receiver asks once per request, before it reads the body. If a guard panics, the request is
    /// answered 503.
    fn admits(&self, arrival: &Arrival<'_>) -> bool;

    /// The challenge for the header `WWW-Authenticate` of a 401 (RFC 9110 section 11.6.1), such as
    /// `Bearer realm="webhooks"`.
    ///
    /// Every 401 of the receiver carries it, whatever the reason, so that it tells a stranger nothing. The
    /// receiver leaves out a challenge that a header cannot hold, for example one with a line break, and the
    /// challenge of a guard that panics.
    fn challenge(&self) -> Option<&'static str> {
        None
    }
}

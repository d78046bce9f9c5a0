//! [`HttpClient`]: sends one request, returns one response.

use std::sync::Arc;

use bytes::Bytes;

use super::error::TransportError;
use super::exchange::Exchange;
use super::limits::Limits;

/// Sends one request and returns one response, within [`Limits`].
///
/// To ensure correctness:
///
/// - End within the deadline, which covers name resolution, connecting, TLS, the response's head and its
///   body.
/// - Read the body up to the cap, cut it there and set [`Exchange::truncated`].
/// - Refuse a URL, and every address that its name resolves to, unless the policy allows it, and dial only
///   addresses that were checked. Reuse a connection only under a policy equal to the one it was opened
///   under.
/// - Follow no redirect, decode no content coding, and use no proxy from the environment.
/// - Present [`Limits::identity`] to the endpoint, and use a connection only for requests with the same
///   identity; or refuse such a request with
///   [`OwnFault::ClientCertificate`](crate::transport::OwnFault::ClientCertificate).
/// - Send a request again only when nothing of it was sent, or when the peer certainly did not process it
///   (RFC 9113 sections 6.8 and 8.7), and then only a few times.
///
/// ```
/// use bytes::Bytes;
/// use hookwire::{Exchange, HttpClient, Limits, TransportError};
///
/// /// Answers every request with 204, for tests of the code behind it.
/// struct Yes;
///
/// impl HttpClient for Yes {
///     async fn send(&self, _: http::Request<Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
///         let mut response = http::Response::new(Bytes::new());
///         *response.status_mut() = http::StatusCode::NO_CONTENT;
///         Ok(Exchange::new(response))
///     }
/// }
/// ```
pub trait HttpClient: Send + Sync {
    /// Sends `request`, whose URI is absolute, and reads the response.
    ///
    /// # Errors
    ///
    /// [`TransportError`] when no complete response (or none up to the cap) came. A response of any status is
    /// not an error.
    fn send(
        &self,
        request: http::Request<Bytes>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Exchange, TransportError>> + Send;
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient + ?Sized> HttpClient for &C {
    fn send(
        &self,
        request: http::Request<Bytes>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Exchange, TransportError>> + Send {
        C::send(self, request, limits)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient + ?Sized> HttpClient for Arc<C> {
    fn send(
        &self,
        request: http::Request<Bytes>,
        limits: &Limits,
    ) -> impl Future<Output = Result<Exchange, TransportError>> + Send {
        C::send(self, request, limits)
    }
}

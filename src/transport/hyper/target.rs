//! [`Target`]: a URL that the policy allows, in the forms in which requests carry it.

use http::header::HeaderValue;
use http::{Uri, uri};

use super::fault::{message, of_policy};
use crate::address::{AddressPolicy, EndpointUrl};
use crate::outcome::ErrorClass;
use crate::transport::error::TransportError;

/// A URL that the policy allows, in the forms in which requests carry it.
pub(super) struct Target {
    /// The whole URL, for HTTP/2 and for dialling.
    pub(super) url: Uri,
    /// The path and the query alone, for HTTP/1.1.
    pub(super) path: Uri,
    /// The value of the header `Host`, for HTTP/1.1.
    pub(super) host: HeaderValue,
}

impl Target {
    pub(super) fn new(url: &EndpointUrl) -> Self {
        let url = url.uri().clone();
        let authority = url.authority().expect("invariant: the URL of an endpoint is absolute");
        let host = HeaderValue::try_from(authority.as_str())
            .expect("invariant: the host of an endpoint is ASCII without controls");
        let mut path = uri::Parts::default();
        path.path_and_query = url.path_and_query().cloned();
        Self { path: Uri::from_parts(path).expect("invariant: a path alone is a URI"), host, url }
    }

    /// The scheme and the authority: the part of the URL that connections depend on.
    pub(super) fn origin(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or_default();
        format!("{scheme}://{}", self.url.authority().map_or("", uri::Authority::as_str))
    }
}

/// Judges the URL of a request once more: the caller may have stored it under another policy.
pub(in crate::transport) fn endpoint_of(
    uri: &Uri,
    policy: &AddressPolicy,
) -> Result<EndpointUrl, TransportError> {
    EndpointUrl::parse(&uri.to_string(), policy).map_err(|error| {
        TransportError::new(ErrorClass::AddressDenied, message(ErrorClass::AddressDenied))
            .with_reason(of_policy(&error))
            .with_source(error)
            .with_maybe_sent(false)
    })
}

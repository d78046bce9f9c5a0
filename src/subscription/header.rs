//! The headers that a subscription may set: [`header_name`], [`header_value`].

use std::borrow::Cow;
use std::str::FromStr as _;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderName, HeaderValue};

use crate::error::{Error, ErrorKind};
use crate::signature::Scheme;

/// Reads the name of a header that a subscription may set.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Error> {
    // Somebody may have put the value in place of the name, so the text is not repeated.
    let name = HeaderName::from_str(name)
        .map_err(|_| refused("header name is not valid").with_expected("letters, digits and hyphens"))?;
    let reason = if HOP_BY_HOP.contains(&name) || HOP_BY_HOP_UNNAMED.contains(&name.as_str()) {
        "belongs to one connection (RFC 9110 section 7.6.1)"
    } else if [HOST, USER_AGENT, ACCEPT_ENCODING, EXPECT].contains(&name) {
        "is the HTTP client's"
    } else if name.as_str().starts_with("content-") {
        "describes the body"
    } else if SCHEMES.iter().any(|scheme| scheme.headers().any(|taken| name == taken)) {
        "carries a signature"
    } else {
        return Ok(name);
    };
    Err(refused(format!("header {name} {reason}")).with_expected("one that a subscription may set"))
}

/// Reads a header value, marked sensitive, if every hop passes it on unchanged (RFC 9110 section 5.5).
pub(super) fn header_value(value: &str) -> Option<HeaderValue> {
    let kept = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !kept || value.trim() != value {
        return None;
    }
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn refused(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Subscription, message)
}

static HOP_BY_HOP: &[HeaderName] = &[CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Hop-by-hop headers that `http` has no names for, and `Proxy-Authenticate` and `Proxy-Authorization`, which
/// RFC 2616 named so and which are meant for the next proxy alone.
const HOP_BY_HOP_UNNAMED: &[&str] =
    &["http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"];

/// The schemes with headers of their own; Ed25519 uses the headers of Standard Webhooks.
const SCHEMES: &[Scheme] = &[
    Scheme::ALLISON,
    Scheme::STANDARD_WEBHOOKS,
    Scheme::SVIX,
    Scheme::STRIPE,
    Scheme::GITHUB,
    Scheme::SLACK,
    Scheme::SHOPIFY,
];

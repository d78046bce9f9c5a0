//! [`HeaderGuard`]: admits requests that show a secret in a header.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::receive::arrival::Arrival;
use crate::receive::guard::Guard;
use crate::signature::Secret;

/// Admits requests that show a secret in a header, exactly once.
///
/// ```
/// use hookwire::receive::{Arrival, Guard, HeaderGuard};
///
/// let guard = HeaderGuard::bearer(&"a-long-random-token".parse()?);
/// let mut headers = http::HeaderMap::new();
/// assert!(!guard.admits(&Arrival::post(&headers)));
/// headers.insert("authorization", http::HeaderValue::from_static("Bearer a-long-random-token"));
/// assert!(guard.admits(&Arrival::post(&headers)));
/// # Ok::<(), hookwire::Error>(())
/// ```
pub struct HeaderGuard {
    name: &'static str,
    header: HeaderName,
    scheme: &'static str,
    expected: Expected,
}

enum Expected {
    Text(Zeroizing<String>),
    Check(Box<dyn Fn(&str) -> bool + Send + Sync>),
}

impl HeaderGuard {
    /// Demands `Authorization: Bearer` and the secret's text (RFC 6750 section 2.1).
    pub fn bearer(secret: &Secret) -> Self {
        Self::new("bearer", AUTHORIZATION, "Bearer ", Expected::Text(secret.expose().to_owned().into()))
    }

    /// Demands `Authorization: Bearer` and a token that `check` accepts, such as a token that is signed or
    /// looked up.
    ///
    /// Compare secrets in constant time.
    ///
    /// ```
    /// use hookwire::receive::HeaderGuard;
    ///
    /// # fn is_signed_by_us(token: &str) -> bool { !token.is_empty() }
    /// let guard = HeaderGuard::bearer_checked(is_signed_by_us);
    /// ```
    pub fn bearer_checked(check: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::new("bearer", AUTHORIZATION, "Bearer ", Expected::Check(Box::new(check)))
    }

    /// Demands `Authorization: Basic` with this name and password (RFC 7617).
    pub fn basic(user: &str, password: &Secret) -> Self {
        let credentials = Zeroizing::new(format!("{user}:{}", password.expose()));
        let expected = Expected::Text(STANDARD.encode(credentials.as_bytes()).into());
        Self::new("basic", AUTHORIZATION, "Basic ", expected)
    }

    /// Demands the secret's text as the whole value of `header`.
    pub fn api_key(header: HeaderName, secret: &Secret) -> Self {
        Self::new("api_key", header, "", Expected::Text(secret.expose().to_owned().into()))
    }

    fn new(name: &'static str, header: HeaderName, scheme: &'static str, expected: Expected) -> Self {
        Self { name, header, scheme, expected }
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
        if !scheme.eq_ignore_ascii_case(self.scheme.as_bytes()) {
            return false;
        }
        match &self.expected {
            Expected::Text(text) => shown.ct_eq(text.as_bytes()).into(),
            Expected::Check(check) => std::str::from_utf8(shown).is_ok_and(check),
        }
    }

    fn challenge(&self) -> Option<&'static str> {
        match self.scheme {
            // RFC 7617 section 2 demands a realm, RFC 6750 section 3 any parameter.
            "Basic " => Some(r#"Basic realm="webhooks", charset="UTF-8""#),
            "Bearer " => Some(r#"Bearer realm="webhooks""#),
            _ => None,
        }
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

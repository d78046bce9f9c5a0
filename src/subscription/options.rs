//! [`Options`]: how a subscription's requests are sent.

use std::borrow::Cow;
use std::str::FromStr as _;
use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Authentication;
use super::authentication::StoredAuthentication;
use crate::contract::Contract;
use crate::error::{Error, ErrorKind};
use crate::rate::Rate;
use crate::retry::RetryPolicy;
use crate::signature::{Scheme, StoredSecret};

/// How a subscription's requests are sent: caps, credentials, extra headers.
///
/// What these hold can be sent: every setter refuses what could not, and says what could. Whether the headers keep clear of
/// a contract's signature is for [`check`](Self::check) to say.
///
/// ```
/// use hookwire::{Authentication, Options};
///
/// let options = Options::new()
///     .with_max_in_flight(4)?
///     .with_rate(10.0, 20)?
///     .with_authentication(Authentication::bearer("mF_9.B5f-4.1JqM".parse()?)?)?
///     .with_header("x-tenant", "acme")?;
/// assert!(options.clone().with_header("host", "elsewhere.example.com").is_err());
///
/// let mut headers = http::HeaderMap::new();
/// options.apply(&mut headers, None)?;
/// assert_eq!(headers["authorization"], "Bearer mF_9.B5f-4.1JqM");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    max_in_flight: Option<u32>,
    rate: Option<Rate>,
    retry_delays: Option<Vec<Duration>>,
    authentication: Authentication,
    /// Each name once; every value is marked sensitive, so that `Debug` does not show it.
    headers: HeaderMap,
    /// Which writing of the subscription this is, where management wrote it.
    edition: u64,
    /// Of the request that made it, where that could be sent twice.
    request: Option<u64>,
}

impl Options {
    /// How many retries there may be of its own.
    pub const MAX_RETRIES: usize = 100;

    /// How many extra headers there may be.
    pub const MAX_HEADERS: usize = 32;

    /// How many bytes the names and values of the extra headers may have together: what common servers take in a head.
    pub const MAX_HEADERS_LEN: usize = 8 * 1024;

    /// No caps of its own, no credentials, no extra headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same options with at most this many attempts under way at once in one process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for 0, under which nothing would ever be sent.
    pub fn with_max_in_flight(mut self, attempts: u32) -> Result<Self, Error> {
        if attempts == 0 {
            return Err(refused("max in flight is 0, expected 1 or more"));
        }
        self.max_in_flight = Some(attempts);
        Ok(self)
    }

    /// The same options with at most `per_second` attempts beginning in a second in one process, and `burst` at once
    /// after a quiet time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for what [`Rate::new`] refuses.
    pub fn with_rate(mut self, per_second: f64, burst: u32) -> Result<Self, Error> {
        self.rate = Some(Rate::new(per_second, burst).map_err(|error| refused(error.to_string()))?);
        Ok(self)
    }

    /// The same options with a retry after each of `delays`, in place of the contract's: one attempt more than there are delays, and
    /// none but the first where there are none. They are spread as the contract spreads its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for more than [`MAX_RETRIES`](Self::MAX_RETRIES), and for delays that [`RetryPolicy::delays`]
    /// refuses.
    pub fn with_retry_delays(mut self, delays: impl IntoIterator<Item = Duration>) -> Result<Self, Error> {
        // Judged as it is stored: in whole microseconds.
        let whole =
            |delay: Duration| Duration::from_micros(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
        let delays: Vec<_> = delays.into_iter().take(Self::MAX_RETRIES + 1).map(whole).collect();
        if delays.len() > Self::MAX_RETRIES {
            return Err(refused(format!("more than {} retries, expected fewer", Self::MAX_RETRIES)));
        }
        if !delays.is_empty() {
            RetryPolicy::delays(delays.iter().copied()).map_err(|error| refused(error.to_string()))?;
        }
        self.retry_delays = Some(delays);
        Ok(self)
    }

    /// The same options, showing `authentication`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] when an extra header already has the name that it would be sent under.
    pub fn with_authentication(mut self, authentication: Authentication) -> Result<Self, Error> {
        if let Some(name) = authentication.header()
            && self.headers.contains_key(name)
        {
            return Err(clash(name));
        }
        self.authentication = authentication;
        Ok(self)
    }

    /// The same options with another key, password or token of the same authentication.
    pub(crate) fn with_credential(mut self, credential: StoredSecret) -> Result<Self, Error> {
        self.authentication = self.authentication.with_secret(credential)?;
        Ok(self)
    }

    /// The same options with one more header, in place of the one of this name if there is one.
    ///
    /// Names are compared without regard to case. Not for subscriptions to set are: the headers of one connection
    /// ([RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)), `Host`, `User-Agent` (it says who
    /// sends), `Content-*` and `Transfer-Encoding`, `Accept-Encoding` and `Expect` (responses are not decoded, nor waited for
    /// before the body), and the signature headers of every [`Scheme`] that this crate knows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for one of those, for the header that carries the [`Authentication`], for a name or value that
    /// is none, and for more than [`MAX_HEADERS`](Self::MAX_HEADERS) or [`MAX_HEADERS_LEN`](Self::MAX_HEADERS_LEN).
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let name = header_name(name)?;
        if self.authentication.header() == Some(&name) {
            return Err(clash(&name));
        }
        let value = header_value(value).ok_or_else(|| {
            refused(format!(
                "value of header {name} cannot be sent, expected visible ASCII with spaces only between"
            ))
        })?;
        self.headers.insert(name, value);
        if self.headers.len() > Self::MAX_HEADERS {
            return Err(refused(format!("more than {} headers, expected fewer", Self::MAX_HEADERS)));
        }
        let len: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if len > Self::MAX_HEADERS_LEN {
            return Err(refused(format!(
                "headers have {len} bytes together, expected at most {}",
                Self::MAX_HEADERS_LEN
            )));
        }
        Ok(self)
    }

    /// How many attempts may be under way at once in one process; nothing for the dispatcher's own default.
    pub const fn max_in_flight(&self) -> Option<u32> {
        self.max_in_flight
    }

    /// How many attempts may begin in a second in one process; nothing for no limit.
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// The waits between attempts; nothing for the contract's.
    pub fn retry_delays(&self) -> Option<&[Duration]> {
        self.retry_delays.as_deref()
    }

    /// When a failed delivery is tried again: by these options' own delays, or else as `contract` has it.
    pub fn retry<'a>(&self, contract: &'a Contract) -> Cow<'a, RetryPolicy> {
        let Some(delays) = &self.retry_delays else { return Cow::Borrowed(contract.retry()) };
        Cow::Owned(match delays.is_empty() {
            true => RetryPolicy::none(),
            false => RetryPolicy::delays(delays.iter().copied())
                .and_then(|policy| policy.with_jitter(contract.retry().jitter()))
                .expect("invariant: delays and jitter were judged when they were set"),
        })
    }

    /// What the requests show besides a signature.
    pub const fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// The extra headers, without those of the authentication. `Debug` does not show their values.
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether requests signed under `scheme` (a contract's, if it has one) can carry these headers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] when a header has the name of one that the scheme sends.
    pub fn check(&self, scheme: Option<Scheme>) -> Result<(), Error> {
        let names = || self.headers.keys().chain(self.authentication.header());
        let taken =
            scheme.and_then(|scheme| scheme.headers().find(|taken| names().any(|name| name == taken)));
        taken.map_or(Ok(()), |taken| {
            Err(refused(format!("header {taken} carries the signature, expected another name")))
        })
    }

    /// Puts the extra headers and the credentials on a request, all marked sensitive. Sign the request first: what it
    /// already has is not replaced.
    ///
    /// `token` is the token source's, for [`Authentication::BearerFromSource`]; without that it is not used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] when `token` is missing or no bearer token, or the request already has a header of the name
    /// that one of these has, or the credentials are sealed. The request's headers are then as they were.
    pub fn apply(&self, headers: &mut HeaderMap, token: Option<&str>) -> Result<(), Error> {
        let credentials = self.authentication.credentials(token)?;
        let credentials = credentials.as_ref().map(|(name, value)| (name, value));
        let added = || self.headers.iter().chain(credentials);
        if let Some((taken, _)) = added().find(|(name, _)| headers.contains_key(*name)) {
            return Err(refused(format!("request already has a header {taken}, expected another name")));
        }
        headers.extend(added().map(|(name, value)| (name.clone(), value.clone())));
        Ok(())
    }

    /// Which writing of the subscription this is; 0 where management did not write it.
    #[cfg(feature = "manage")]
    pub(crate) const fn edition(&self) -> u64 {
        self.edition
    }

    #[cfg(feature = "manage")]
    pub(crate) const fn with_edition(mut self, edition: u64) -> Self {
        self.edition = edition;
        self
    }

    /// What tells the request that made the subscription from others, where that could be sent twice.
    #[cfg(feature = "manage")]
    pub(crate) const fn request(&self) -> Option<u64> {
        self.request
    }

    #[cfg(feature = "manage")]
    pub(crate) const fn with_request(mut self, request: Option<u64>) -> Self {
        self.request = request;
        self
    }

    /// A text that [`from_storage`](Self::from_storage) reads back, with the credentials in it: for stores.
    #[doc(hidden)]
    pub fn to_storage(&self) -> Zeroizing<String> {
        let stored = Stored {
            max_in_flight: self.max_in_flight,
            retry: self.retry_delays.as_ref().map(|delays| {
                delays.iter().map(|delay| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)).collect()
            }),
            rate: self.rate.map(|rate| (rate.per_second().to_string(), rate.burst())),
            authentication: self.authentication.to_stored(),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| {
                    let value = value.to_str().expect("invariant: values are ASCII");
                    (name.to_string(), Zeroizing::new(value.to_owned()))
                })
                .collect(),
            edition: self.edition,
            request: self.request,
        };
        Zeroizing::new(
            serde_json::to_string(&stored).expect("invariant: numbers and text can be written as JSON"),
        )
    }

    /// The options that [`to_storage`](Self::to_storage) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for a text that it did not write. The text is not repeated.
    #[doc(hidden)]
    pub fn from_storage(text: &str) -> Result<Self, Error> {
        let unread = || refused("stored options cannot be read");
        // Its error would repeat a value, which may be a secret.
        let stored: Stored = serde_json::from_str(text).map_err(|_| unread())?;
        let mut options = Self::new();
        if let Some(attempts) = stored.max_in_flight {
            options = options.with_max_in_flight(attempts)?;
        }
        if let Some((per_second, burst)) = stored.rate {
            options = options.with_rate(f64::from_str(&per_second).map_err(|_| unread())?, burst)?;
        }
        if let Some(delays) = stored.retry {
            options = options.with_retry_delays(delays.into_iter().map(Duration::from_micros))?;
        }
        options.authentication = Authentication::from_stored(stored.authentication)?;
        for (name, value) in stored.headers {
            options = options.with_header(&name, &value)?;
        }
        options.edition = stored.edition;
        options.request = stored.request;
        Ok(options)
    }
}

/// A header that a subscription may set.
pub(super) fn header_name(name: &str) -> Result<HeaderName, Error> {
    // What was given as a name may be a value in the wrong place, so it is not repeated.
    let name = HeaderName::from_str(name)
        .map_err(|_| refused("header name is not valid, expected letters, digits and hyphens"))?;
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
    Err(refused(format!("header {name} {reason}, expected one that a subscription may set")))
}

/// A sensitive value, if every hop passes it on as it is (RFC 9110 section 5.5).
pub(super) fn header_value(value: &str) -> Option<HeaderValue> {
    let kept = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !kept || value.trim() != value {
        return None;
    }
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(super) fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Subscription, message)
}

fn clash(name: &HeaderName) -> Error {
    refused(format!(
        "header {name} carries the subscription's credentials, expected it either there or as an extra header"
    ))
}

/// Numbers with a fraction are stored as text: JSON's parser may be off by the last bit.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_in_flight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<(String, u32)>,
    /// In microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "StoredAuthentication::is_none")]
    authentication: StoredAuthentication,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, Zeroizing<String>)>,
    #[serde(default, skip_serializing_if = "is_none")]
    edition: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
}

const fn is_none(edition: &u64) -> bool {
    *edition == 0
}

const HOP_BY_HOP: [HeaderName; 5] = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// `Proxy-Authenticate` and `Proxy-Authorization` were named by RFC 2616 and are meant for the next proxy alone.
const HOP_BY_HOP_UNNAMED: [&str; 5] =
    ["http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"];

/// Those with a header of their own; Ed25519 uses the names of Standard Webhooks.
const SCHEMES: [Scheme; 7] = [
    Scheme::ALLISON,
    Scheme::STANDARD_WEBHOOKS,
    Scheme::SVIX,
    Scheme::STRIPE,
    Scheme::GITHUB,
    Scheme::SLACK,
    Scheme::SHOPIFY,
];

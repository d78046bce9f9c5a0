//! [`Options`]: how a subscription's requests are sent.

use std::borrow::Cow;
use std::str::FromStr as _;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::about::About;
use super::authentication::{Authentication, StoredAuthentication};
use super::certificate::{ClientCertificate, StoredCertificate};
use super::header::{header_name, header_value, refused};
use crate::bounds;
use crate::contract::Contract;
use crate::error::{Error, ErrorKind};
use crate::rate::Rate;
use crate::retry::RetryPolicy;
use crate::signature::{Scheme, StoredSecret};

/// How a subscription's requests are sent: caps, credentials, extra headers.
///
/// Every setter refuses a value that could not be sent, and says which values can. [`check`](Self::check)
/// finds headers that clash with a contract's signature.
///
/// ```
/// use hookwire::subscription::{Authentication, Options};
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
    client_certificate: Option<ClientCertificate>,
    /// Each name once. Every value is marked sensitive, so that `Debug` does not show it.
    headers: HeaderMap,
    about: About,
    /// A number that management changes with each write of the subscription; 0 where management did not write
    /// it.
    pub(super) edition: u64,
    /// A number for the request that created the subscription, where that request could be sent twice.
    pub(super) request: Option<u64>,
}

impl Options {
    /// The maximum of retry delays.
    pub const MAX_RETRIES: usize = bounds::RETRIES;

    /// The maximum of extra headers.
    pub const MAX_HEADERS: usize = bounds::HEADERS;

    /// The maximum of bytes that the names and values of the extra headers have together; common servers
    /// accept as much in a head.
    pub const MAX_HEADERS_LEN: usize = bounds::HEADERS_LEN;

    /// Makes options without caps, credentials and extra headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum of attempts that are under way at once in one process. It lowers the dispatcher's and
    /// does not raise it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for 0, with which nothing would ever be
    /// sent.
    pub fn with_max_in_flight(mut self, attempts: u32) -> Result<Self, Error> {
        if attempts == 0 {
            return Err(refused("max in flight is 0").with_expected("1 or more"));
        }
        self.max_in_flight = Some(attempts);
        Ok(self)
    }

    /// Sets the maximum of attempts that one process begins per second, and of attempts at once after a quiet
    /// time. It lowers the dispatcher's and does not raise it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for values that [`Rate::new`] refuses.
    pub fn with_rate(mut self, per_second: f64, burst: u32) -> Result<Self, Error> {
        self.rate =
            Some(Rate::new(per_second, burst).map_err(|error| error.with_kind(ErrorKind::Subscription))?);
        Ok(self)
    }

    /// Sets the delays before retries, in place of the contract's. There is one attempt more than there are
    /// delays; an empty list means no retry. The contract's jitter applies.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for more than
    /// [`MAX_RETRIES`](Self::MAX_RETRIES) delays, and for delays that [`RetryPolicy::delays`] refuses.
    pub fn with_retry_delays(mut self, delays: impl IntoIterator<Item = Duration>) -> Result<Self, Error> {
        // Check the delays as they are stored: in whole microseconds.
        let whole =
            |delay: Duration| Duration::from_micros(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX));
        let delays: Vec<_> = delays.into_iter().take(Self::MAX_RETRIES + 1).map(whole).collect();
        if delays.len() > Self::MAX_RETRIES {
            return Err(refused(format!("more than {} retries", Self::MAX_RETRIES)).with_expected("fewer"));
        }
        if !delays.is_empty() {
            RetryPolicy::delays(delays.iter().copied())
                .map_err(|error| error.with_kind(ErrorKind::Subscription))?;
        }
        self.retry_delays = Some(delays);
        Ok(self)
    }

    /// Sets the authentication.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) when an extra header has the name of the
    /// authentication's header.
    pub fn with_authentication(mut self, authentication: Authentication) -> Result<Self, Error> {
        if let Some(name) = authentication.header()
            && self.headers.contains_key(name)
        {
            return Err(clash(name));
        }
        self.authentication = authentication;
        Ok(self)
    }

    /// Sets another key, password or token of the same authentication.
    pub(crate) fn with_credential(mut self, credential: StoredSecret) -> Result<Self, Error> {
        self.authentication = self.authentication.with_secret(credential)?;
        Ok(self)
    }

    /// Sets the certificate by which the endpoint knows the requests (mutual TLS); `None` takes it out.
    ///
    /// [`HyperClient`](https://docs.rs/hookwire/latest/hookwire/struct.HyperClient.html) presents it to this
    /// subscription's endpoint alone. A client that cannot do so sends nothing.
    #[must_use]
    pub fn with_client_certificate(mut self, certificate: Option<ClientCertificate>) -> Self {
        self.client_certificate = certificate;
        self
    }

    /// Sets the same key of the client certificate, sealed or opened.
    pub(crate) fn with_client_key(mut self, key: StoredSecret) -> Result<Self, Error> {
        self.client_certificate =
            self.client_certificate.map(|certificate| certificate.with_key(key)).transpose()?;
        Ok(self)
    }

    /// Sets the words and names that people and programs give the subscription.
    pub fn with_about(mut self, about: About) -> Self {
        self.about = about;
        self
    }

    /// The words and names that people and programs give the subscription.
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// Adds a header, or replaces the header of this name. Names are compared without regard to case.
    ///
    /// A subscription may not set: the headers of one connection
    /// ([RFC 9110 section 7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)), `Host`, `User-Agent`
    /// (it names the sender), `Content-*`, `Transfer-Encoding`, `Accept-Encoding` and `Expect` (responses are
    /// not decoded, and the body does not wait for one), and the signature headers of every [`Scheme`] that
    /// this crate knows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for such a header, for the header of the
    /// [`Authentication`], for a malformed name or value, and for more than
    /// [`MAX_HEADERS`](Self::MAX_HEADERS) or [`MAX_HEADERS_LEN`](Self::MAX_HEADERS_LEN).
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, Error> {
        let name = header_name(name)?;
        if self.authentication.header() == Some(&name) {
            return Err(clash(&name));
        }
        let value = header_value(value).ok_or_else(|| {
            refused(format!("value of header {name} cannot be sent"))
                .with_expected("visible ASCII with spaces only between")
        })?;
        self.headers.insert(name, value);
        if self.headers.len() > Self::MAX_HEADERS {
            return Err(refused(format!("more than {} headers", Self::MAX_HEADERS)).with_expected("fewer"));
        }
        let len: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if len > Self::MAX_HEADERS_LEN {
            return Err(refused(format!("headers have {len} bytes together"))
                .with_expected(format!("at most {}", Self::MAX_HEADERS_LEN)));
        }
        Ok(self)
    }

    /// The maximum of attempts under way at once in one process; `None` for the dispatcher's default.
    pub const fn max_in_flight(&self) -> Option<u32> {
        self.max_in_flight
    }

    /// The maximum of attempts that one process begins per second; `None` for no limit.
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// The delays before retries; `None` for the contract's.
    pub fn retry_delays(&self) -> Option<&[Duration]> {
        self.retry_delays.as_deref()
    }

    /// The retry policy: the delays of these options, or else the policy of `contract`.
    pub fn retry<'a>(&self, contract: &'a Contract) -> Cow<'a, RetryPolicy> {
        let Some(delays) = &self.retry_delays else { return Cow::Borrowed(contract.retry()) };
        Cow::Owned(match delays.is_empty() {
            true => RetryPolicy::none(),
            false => RetryPolicy::delays(delays.iter().copied())
                .and_then(|policy| policy.with_jitter(contract.retry().jitter()))
                .expect("invariant: delays and jitter were checked when they were set"),
        })
    }

    /// How requests authenticate besides their signature.
    pub const fn authentication(&self) -> &Authentication {
        &self.authentication
    }

    /// The certificate by which the endpoint knows the requests.
    pub const fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_ref()
    }

    /// The extra headers, without the header of the authentication. `Debug` does not show their values.
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Checks that requests signed under `scheme` (a contract's, if it has one) can carry these headers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) when a header has the name of a header of
    /// the scheme.
    pub fn check(&self, scheme: Option<Scheme>) -> Result<(), Error> {
        let names = || self.headers.keys().chain(self.authentication.header());
        let taken =
            scheme.and_then(|scheme| scheme.headers().find(|taken| names().any(|name| name == taken)));
        taken.map_or(Ok(()), |taken| {
            Err(refused(format!("header {taken} carries the signature")).with_expected("another name"))
        })
    }

    /// Adds the extra headers and the credentials to a request, all marked sensitive. Sign the request first:
    /// headers that it already has are not replaced.
    ///
    /// `token` comes from the token source, for [`Authentication::BearerFromSource`]; other authentications
    /// ignore it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) when `token` is missing or malformed, the
    /// request already has a header of the same name, or the credentials are sealed. The request's headers
    /// are then unchanged.
    pub fn apply(&self, headers: &mut HeaderMap, token: Option<&str>) -> Result<(), Error> {
        let credentials = self.authentication.credentials(token)?;
        let credentials = credentials.as_ref().map(|(name, value)| (name, value));
        let added = || self.headers.iter().chain(credentials);
        if let Some((taken, _)) = added().find(|(name, _)| headers.contains_key(*name)) {
            return Err(
                refused(format!("request already has a header {taken}")).with_expected("another name")
            );
        }
        headers.extend(added().map(|(name, value)| (name.clone(), value.clone())));
        Ok(())
    }

    /// Writes a text for stores that [`from_storage`](Self::from_storage) reads back. It contains the
    /// credentials.
    #[doc(hidden)]
    pub fn to_storage(&self) -> Zeroizing<String> {
        let stored = Stored {
            max_in_flight: self.max_in_flight,
            retry: self.retry_delays.as_ref().map(|delays| {
                delays.iter().map(|delay| u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)).collect()
            }),
            rate: self.rate.map(|rate| (rate.per_second().to_string(), rate.burst())),
            authentication: self.authentication.to_stored(),
            client_certificate: self.client_certificate.as_ref().map(ClientCertificate::to_stored),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| {
                    let value = value.to_str().expect("invariant: values are ASCII");
                    (name.to_string(), Zeroizing::new(value.to_owned()))
                })
                .collect(),
            about: self.about.clone(),
            edition: self.edition,
            request: self.request,
        };
        Zeroizing::new(
            serde_json::to_string(&stored).expect("invariant: numbers and text can be written as JSON"),
        )
    }

    /// Reads the text that [`to_storage`](Self::to_storage) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for any other text. The error does not
    /// repeat it.
    #[doc(hidden)]
    pub fn from_storage(text: &str) -> Result<Self, Error> {
        let unread = || refused("stored options cannot be read");
        // The cause is dropped: it would repeat a value, which may be a secret.
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
        options.client_certificate =
            stored.client_certificate.map(ClientCertificate::from_stored).transpose()?;
        for (name, value) in stored.headers {
            options = options.with_header(&name, &value)?;
        }
        options.about = stored.about;
        options.edition = stored.edition;
        options.request = stored.request;
        Ok(options)
    }
}

fn clash(name: &HeaderName) -> Error {
    refused(format!("header {name} carries the subscription's credentials"))
        .with_expected("it either there or as an extra header")
}

/// Numbers with a fraction are stored as text, because JSON's parser may be off by the last bit.
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate: Option<StoredCertificate>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, Zeroizing<String>)>,
    #[serde(default, skip_serializing_if = "is_empty")]
    about: About,
    #[serde(default, skip_serializing_if = "is_none")]
    edition: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
}

fn is_empty(about: &About) -> bool {
    *about == About::default()
}

const fn is_none(edition: &u64) -> bool {
    *edition == 0
}

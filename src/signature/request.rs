//! [`Request`]: everything about a request that a signature may cover.

use std::fmt;

use http::{HeaderMap, Method};

/// Everything about a request that a signature may cover: method, URL, headers and body.
///
/// Most senders sign headers and body alone. Some sign the URL that they were given, which behind a proxy
/// differs from the one that a server sees, so say it with [`with_url`](Self::with_url).
///
/// ```
/// use hookwire::signature::Request;
///
/// let headers = http::HeaderMap::new();
/// let request = Request::post(&headers, b"{}").with_url("https://hooks.example.com/square");
/// assert_eq!(request.url, Some("https://hooks.example.com/square"));
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The whole URL that the sender was given, with its query.
    pub url: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The raw body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// A request of which the method, the headers and the body are known.
    pub const fn new(method: &'a Method, headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { method, url: None, headers, body }
    }

    /// A POST of which the headers and the body are known.
    pub const fn post(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self::new(&POST, headers, body)
    }

    /// Sets the whole URL that the sender was given, with its query.
    pub const fn with_url(mut self, url: &'a str) -> Self {
        self.url = Some(url);
        self
    }

    /// The URL without its query and fragment.
    pub(crate) fn url_without_query(&self) -> Option<&'a str> {
        self.url.map(|url| url.split(['?', '#']).next().unwrap_or_default())
    }

    /// The query of the URL, without the question mark.
    pub(crate) fn query(&self) -> Option<&'a str> {
        self.url?.split('#').next()?.split_once('?').map(|(_, query)| query)
    }

    /// The host and the port of the URL, as they stand there.
    pub(crate) fn authority(&self) -> Option<&'a str> {
        let (_, rest) = self.url_without_query()?.split_once("://")?;
        rest.split('/').next()
    }

    /// The path of the URL, at least a slash.
    pub(crate) fn path(&self) -> Option<&'a str> {
        let (_, rest) = self.url_without_query()?.split_once("://")?;
        Some(rest.find('/').map_or("/", |at| &rest[at..]))
    }

    /// The one value of a header, if it stands there once.
    pub(crate) fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value.as_bytes()),
            _ => None,
        }
    }

    /// The one value of a header, if it stands there once and is visible ASCII.
    pub(crate) fn header_text(&self, name: &str) -> Option<&'a str> {
        self.header(name).and_then(|value| str::from_utf8(value).ok())
    }
}

/// Headers, URL and body may hold credentials and payloads, and stay out.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).finish_non_exhaustive()
    }
}

static POST: Method = Method::POST;

//! [`Arrival`]: everything about a request except its body.

use std::fmt;
use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderMap, Method, Request};

/// Everything about a request except its body: what a receiver and its [guards](crate::receive::Guard) judge
/// first.
///
/// Build it from the request that your server gives you, and add what the request itself does not say:
///
/// ```
/// use hookwire::receive::Arrival;
/// use http::Request;
///
/// let request = Request::post("/hooks/acme?v=2").body(())?;
/// let arrival = Arrival::from(&request).with_peer([203, 0, 113, 9].into()).with_tenant("acme");
/// assert_eq!(arrival.path, Some("/hooks/acme"));
/// assert_eq!(arrival.query, Some("v=2"));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Arrival<'a> {
    /// The method.
    pub method: &'a Method,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The path of the request's URL, as it was sent.
    pub path: Option<&'a str>,
    /// The query of the request's URL, as it was sent, without the question mark.
    pub query: Option<&'a str>,
    /// The whole URL that the sender was given, which differs from the URL that a server behind a proxy sees.
    pub url: Option<&'a str>,
    /// The address of the connection's other end.
    pub peer: Option<IpAddr>,
    /// The name under which the receiver looks secrets up, if it has many tenants: from the path or the host.
    pub tenant: Option<&'a str>,
    /// The least length of the body in bytes, as far as it is known. If it is `None`, the header
    /// `Content-Length` counts.
    pub body_length: Option<u64>,
}

impl<'a> Arrival<'a> {
    /// A request of which the method and the headers are known.
    pub const fn new(method: &'a Method, headers: &'a HeaderMap) -> Self {
        Self {
            method,
            headers,
            path: None,
            query: None,
            url: None,
            peer: None,
            tenant: None,
            body_length: None,
        }
    }

    /// A POST of which the headers are known.
    pub const fn post(headers: &'a HeaderMap) -> Self {
        Self::new(&POST, headers)
    }

    /// Sets the path of the request's URL, as it was sent.
    pub const fn with_path(mut self, path: &'a str) -> Self {
        self.path = Some(path);
        self
    }

    /// Sets the query of the request's URL, as it was sent, without the question mark.
    pub const fn with_query(mut self, query: &'a str) -> Self {
        self.query = Some(query);
        self
    }

    /// Sets the whole URL that the sender was given, such as `https://hooks.example.com/twilio?v=2`.
    ///
    /// Some senders sign it. Behind a proxy, a server sees another URL than the sender.
    pub const fn with_url(mut self, url: &'a str) -> Self {
        self.url = Some(url);
        self
    }

    /// Sets the address of the connection's other end.
    pub const fn with_peer(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Sets the name under which the receiver looks secrets up.
    pub const fn with_tenant(mut self, tenant: &'a str) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Sets the least length of the body in bytes, instead of what the header `Content-Length` says.
    pub const fn with_body_length(mut self, bytes: u64) -> Self {
        self.body_length = Some(bytes);
        self
    }
}

/// The method, the headers, and the URL's path and query.
impl<'a> From<&'a Parts> for Arrival<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self {
            path: Some(parts.uri.path()),
            query: parts.uri.query(),
            ..Self::new(&parts.method, &parts.headers)
        }
    }
}

/// The method, the headers, and the URL's path and query.
impl<'a, B> From<&'a Request<B>> for Arrival<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self {
            path: Some(request.uri().path()),
            query: request.uri().query(),
            ..Self::new(request.method(), request.headers())
        }
    }
}

/// Headers, path and query may hold credentials and stay out.
impl fmt::Debug for Arrival<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("method", &self.method)
            .field("peer", &self.peer)
            .field("tenant", &self.tenant)
            .field("body_length", &self.body_length)
            .finish_non_exhaustive()
    }
}

static POST: Method = Method::POST;

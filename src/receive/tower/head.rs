//! [`Head`]: a request without its body, as a server hands it on.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Request, Uri, Version};
use http_body::Body;

use super::body::IncomingBody;
use super::tenant::Tenant;
use crate::receive::answer::Answer;
use crate::receive::arrival::Arrival;

/// A request without its body, as a server hands it on.
pub(in crate::receive) struct Head {
    parts: Parts,
    /// The URI that the sender asked for, if a router has changed it.
    original_uri: Option<Uri>,
    peer: Option<IpAddr>,
    tenant: Option<String>,
    body_length: u64,
}

impl Head {
    /// Parts a request's head from its body. The peer and the tenant come from the request's extensions.
    pub(super) fn split<B: Body<Data = Bytes> + Unpin>(request: Request<B>) -> (Self, IncomingBody<B>) {
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<SocketAddr>().map(SocketAddr::ip);
        let tenant = parts.extensions.get::<Tenant>().map(|tenant| tenant.0.clone());
        Self::part(parts, body).with(None, peer, tenant)
    }

    /// A head without a peer and a tenant.
    pub(in crate::receive) fn part<B: Body<Data = Bytes> + Unpin>(parts: Parts, body: B) -> HeadAndBody<B> {
        let body = IncomingBody::new(body);
        let head = Self { parts, original_uri: None, peer: None, tenant: None, body_length: body.length() };
        HeadAndBody(head, body)
    }

    pub(super) fn into_parts(self) -> Parts {
        self.parts
    }

    pub(in crate::receive) fn arrival(&self) -> Arrival<'_> {
        let uri = self.original_uri.as_ref().unwrap_or(&self.parts.uri);
        Arrival {
            path: Some(uri.path()),
            query: uri.query(),
            peer: self.peer,
            tenant: self.tenant.as_deref(),
            ..Arrival::new(&self.parts.method, &self.parts.headers).with_body_length(self.body_length)
        }
    }

    /// The answer to a request that was refused. If a part of the body is left on an HTTP/1 connection, the
    /// answer says that the connection ends, so that the sender sends no other request behind it.
    pub(in crate::receive) async fn refused<B: Body<Data = Bytes> + Unpin>(
        &self,
        mut body: IncomingBody<B>,
        answer: Answer,
    ) -> Answer {
        // A sender that waits for a 100 has not sent the body, and reading it would send the 100.
        let is_awaited = || self.parts.headers.contains_key(EXPECT);
        let is_free = self.parts.version > Version::HTTP_11 || body.is_read();
        if is_free || !is_awaited() && body.drain().await {
            return answer;
        }
        answer.with_header(CONNECTION, HeaderValue::from_static("close"))
    }
}

/// A request in two parts.
pub(in crate::receive) struct HeadAndBody<B>(Head, IncomingBody<B>);

impl<B> HeadAndBody<B> {
    /// Sets the parts of the head that a server tells in its own way.
    pub(in crate::receive) fn with(
        self,
        original_uri: Option<Uri>,
        peer: Option<IpAddr>,
        tenant: Option<String>,
    ) -> (Head, IncomingBody<B>) {
        let Self(head, body) = self;
        (Head { original_uri, peer, tenant, ..head }, body)
    }
}

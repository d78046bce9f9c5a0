//! A request of axum in two parts.

use std::net::SocketAddr;

use ::axum::body::Body;
use ::axum::extract::{ConnectInfo, FromRequestParts as _, OriginalUri, RawPathParams, Request};
use http::request::Parts;

use crate::receive::tower::body::IncomingBody;
use crate::receive::tower::head::Head;

/// Parts a request's head from its body.
pub(super) async fn split(request: Request) -> (Head, IncomingBody<Body>) {
    let (mut parts, body) = request.into_parts();
    let tenant = tenant(&mut parts).await;
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    // Inside a nested router, the request's own URI lacks the router's prefix.
    let original_uri = parts.extensions.remove::<OriginalUri>().map(|OriginalUri(uri)| uri);
    Head::part(parts, body).with(original_uri, peer, tenant)
}

/// The path's parameter `tenant`.
async fn tenant(parts: &mut Parts) -> Option<String> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    parameters.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value.to_owned())
}

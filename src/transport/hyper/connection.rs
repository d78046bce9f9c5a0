//! [`Connection`]: what requests are handed to, over HTTP/1.1 or HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::pool::Route;
use super::{CONNECTION_WINDOW, MAX_HEAD, STREAM_WINDOW};

/// An open connection. A task of its own carries it, until it is closed, or nobody holds it any more and all is written.
pub(super) enum Connection {
    /// Carries one request at a time; with what ends its task, for a peer that reads nothing.
    Http1(http1::SendRequest<Full<Bytes>>, AbortHandle),
    /// One of any number of handles.
    Http2(Shared),
}

impl Connection {
    /// Begins to speak HTTP over a stream that was just opened.
    pub(super) async fn over(stream: Box<dyn AsyncStream>, is_h2: bool) -> hyper::Result<Self> {
        let stream = TokioIo::new(stream);
        if is_h2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(MAX_HEAD as u32)
                // What a peer may send before its body is read, so what it can make us hold.
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(stream)
                .await?;
            tokio::spawn(connection);
            return Ok(Self::Http2(Shared { sender, is_poisoned: Arc::default() }));
        }
        let (mut sender, connection) = http1::Builder::new()
            // hyper compares before each read, which may bring as much again.
            .max_buf_size(MAX_HEAD / 2)
            .handshake(stream)
            .await?;
        let (tell, why) = oneshot::channel();
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Nobody listens once the connection has been in use.
                let _ = tell.send(error);
            }
        });
        match sender.ready().await {
            Ok(()) => Ok(Self::Http1(sender, task.abort_handle())),
            // The sender only knows that it is over.
            Err(closed) => Err(why.await.unwrap_or(closed)),
        }
    }

    /// Sends `request`, which is taken. With an error it is put back where nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: &mut Option<Request<Full<Bytes>>>,
        route: &Route,
    ) -> hyper::Result<Response<Incoming>> {
        // Changed in its place: one that was borrowed before it is handed on would leave its room in the future for good.
        if let Some(request) = request {
            self.address(request, route);
        }
        let taken = request.take().expect("invariant: a request is sent again only when it was put back");
        let sent = match self {
            Self::Http1(sender, _) => sender.try_send_request(taken).await,
            Self::Http2(shared) => shared.sender.try_send_request(taken).await,
        };
        sent.map_err(|mut error: TrySendError<_>| {
            *request = error.take_message();
            error.into_error()
        })
    }

    fn address(&self, request: &mut Request<Full<Bytes>>, route: &Route) {
        match self {
            Self::Http1(..) => {
                *request.uri_mut() = route.path.clone();
                // The connection was chosen by the URL; another Host would reach a neighbour on the same server.
                request.headers_mut().insert(HOST, route.host.clone());
            }
            Self::Http2(_) => {
                *request.uri_mut() = route.url.clone();
                request.headers_mut().remove(HOST);
            }
        }
    }

    /// Whether it would take a request at once.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender, _) => sender.is_ready(),
            Self::Http2(shared) => shared.sender.is_ready() && !shared.is_poisoned.load(Ordering::Relaxed),
        }
    }

    /// How it is kept from further use, where it would be used again by itself.
    pub(super) fn poison(&self) -> Option<Poison> {
        match self {
            Self::Http1(..) => None,
            Self::Http2(shared) => Some(Poison(Arc::clone(&shared.is_poisoned))),
        }
    }
}

#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    is_poisoned: Arc<AtomicBool>,
}

/// Keeps a connection from further use; requests that it carries go on.
pub(super) struct Poison(Arc<AtomicBool>);

impl Poison {
    pub(super) fn poison(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a TCP and a TLS stream have in common.
pub(super) trait AsyncStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for S {}

//! [`Connection`]: sends requests over HTTP/1.1 or HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::bounds::{CONNECTION_WINDOW, MAX_HEAD, STREAM_WINDOW};
use super::budget::Opened;
use super::fault::Unprocessed;
use super::streams::{EndOfStreams, SettingsTap, Stream, Streams};
use super::target::Target;

/// An open connection. A task of its own drives it, until it is closed, or all handles are dropped and all
/// bytes are written.
pub(super) enum Connection {
    /// Carries one request at a time.
    Http1(http1::SendRequest<Full<Bytes>>, Task),
    /// Carries many requests at a time; this is one of any number of handles.
    Http2(Shared),
}

impl Connection {
    /// Starts HTTP over a stream that was just opened.
    pub(super) async fn over(
        stream: Box<dyn AsyncStream>,
        is_h2: bool,
        opened: Opened,
    ) -> hyper::Result<Self> {
        let opened_at = Instant::now();
        if is_h2 {
            let streams = Streams::new();
            let stream = TokioIo::new(SettingsTap::new(stream, Arc::clone(&streams)));
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(MAX_HEAD as u32)
                // Bounds the bytes that a peer can make us hold before its body is read.
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .handshake(stream)
                .await?;
            let (counted, end) = (opened.clone(), EndOfStreams(Arc::clone(&streams)));
            let task = tokio::spawn(async move {
                // Dropped with the task, however that ends.
                let _end = (counted, end);
                // The peer's errors reach the requests that they concern.
                drop(connection.await);
            });
            let task = Arc::new(Task { handle: task.abort_handle(), opened, opened_at });
            // A peer's first frame tells how many requests it takes at a time (RFC 9113 section 3.4). A peer
            // that is late with it gets one.
            let _ = timeout(SETTINGS, streams.known()).await;
            let stream = Some(streams.open_one());
            let is_poisoned = Arc::default();
            return Ok(Self::Http2(Shared { sender, is_poisoned, task, streams, _stream: stream }));
        }
        let stream = TokioIo::new(stream);
        let (mut sender, connection) = http1::Builder::new()
            // hyper checks the size before each read, which may add as much again.
            .max_buf_size(MAX_HEAD / 2)
            .handshake(stream)
            .await?;
        let (tell, why) = oneshot::channel();
        let counted = opened.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Nobody listens once the connection was used.
                let _ = tell.send(error);
            }
            drop(counted);
        });
        let task = Task { handle: task.abort_handle(), opened, opened_at };
        match sender.ready().await {
            Ok(()) => Ok(Self::Http1(sender, task)),
            // The sender knows only that the connection ended; the task knows why.
            Err(closed) => Err(why.await.unwrap_or(closed)),
        }
    }

    /// Sends `request`, which is taken. After an error it is put back if nothing of it was sent.
    pub(super) async fn send(
        &mut self,
        request: &mut Option<Request<Full<Bytes>>>,
        target: &Target,
    ) -> hyper::Result<Response<Incoming>> {
        // Changed in place: a request that is moved out first would take room in the future until its end.
        if let Some(request) = request {
            self.address(request, target);
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

    fn address(&self, request: &mut Request<Full<Bytes>>, target: &Target) {
        match self {
            Self::Http1(..) => {
                *request.uri_mut() = target.path.clone();
                // The URL chose the connection; another `Host` would reach a neighbour on the same server.
                request.headers_mut().insert(HOST, target.host.clone());
            }
            Self::Http2(_) => {
                *request.uri_mut() = target.url.clone();
                request.headers_mut().remove(HOST);
            }
        }
    }

    /// Takes note that the peer has answered a request.
    pub(super) fn answered(&self) {
        if let Self::Http2(shared) = self {
            shared.streams.answered();
        }
    }

    /// Takes note that the peer did not process a request.
    pub(super) fn refused(&self, how: Unprocessed) {
        let Self::Http2(shared) = self else { return };
        match how {
            Unprocessed::Refused if shared.streams.has_others() => shared.streams.refused(),
            // It refuses requests that come alone, or takes no more.
            Unprocessed::Refused | Unprocessed::GoneAway => {
                shared.is_poisoned.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Closes an idle connection to make room for another one.
    pub(super) fn close(self) {
        match &self {
            Self::Http1(_, task) => task.opened.release(),
            Self::Http2(shared) => shared.task.opened.release(),
        }
    }

    /// When the connection was opened.
    pub(super) fn opened_at(&self) -> Instant {
        match self {
            Self::Http1(_, task) => task.opened_at,
            Self::Http2(shared) => shared.task.opened_at,
        }
    }

    /// Whether the connection takes a request at once.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender, _) => sender.is_ready(),
            Self::Http2(shared) => shared.sender.is_ready() && !shared.is_poisoned.load(Ordering::Relaxed),
        }
    }

    /// Returns the streams if the peer takes no request at the moment: hyper would take the request, and keep
    /// it until the peer takes some.
    pub(super) fn barred(&self) -> Option<Arc<Streams>> {
        let Self::Http2(shared) = self else { return None };
        (!shared.streams.takes_some()).then(|| Arc::clone(&shared.streams))
    }

    /// Whether the connection is shared and its peer takes requests. If it has no stream for one more, other
    /// requests have them.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Http2(shared) if shared.streams.takes_some())
    }

    /// Returns the means to keep other requests off the connection, where it is shared.
    pub(super) fn poison(&self) -> Option<Poison> {
        match self {
            Self::Http1(..) => None,
            Self::Http2(shared) => Some(Poison {
                is_poisoned: Arc::clone(&shared.is_poisoned),
                streams: Arc::clone(&shared.streams),
                since: Instant::now(),
            }),
        }
    }
}

/// A handle to an HTTP/2 connection.
pub(super) struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    is_poisoned: Arc<AtomicBool>,
    task: Arc<Task>,
    pub(super) streams: Arc<Streams>,
    /// The stream of the request that has the handle. A handle that waits for requests has none.
    _stream: Option<Stream>,
}

impl Shared {
    /// Makes a handle that waits for requests.
    pub(super) fn idle(&self) -> Self {
        self.with(None)
    }

    /// Makes a handle for a request, unless the peer takes no more at a time.
    pub(super) fn for_request(&self) -> Option<Self> {
        self.streams.open().map(|stream| self.with(Some(stream)))
    }

    fn with(&self, stream: Option<Stream>) -> Self {
        Self {
            sender: self.sender.clone(),
            is_poisoned: Arc::clone(&self.is_poisoned),
            task: Arc::clone(&self.task),
            streams: Arc::clone(&self.streams),
            _stream: stream,
        }
    }
}

/// The task that drives a connection. When nobody holds the connection any more, the task gets a moment to
/// close it in good order, and is then aborted: a peer that never reads would keep the socket for ever.
pub(super) struct Task {
    handle: AbortHandle,
    opened: Opened,
    opened_at: Instant,
}

impl Task {
    pub(super) fn abort(&self) {
        self.handle.abort();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.handle.is_finished() {
            return;
        }
        let task = self.handle.clone();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                sleep(FAREWELL).await;
                task.abort();
            })),
            Err(_) => task.abort(),
        }
    }
}

/// Keeps further requests off a connection; requests that it carries go on.
pub(super) struct Poison {
    is_poisoned: Arc<AtomicBool>,
    streams: Arc<Streams>,
    since: Instant,
}

impl Poison {
    pub(super) fn poison(&self) {
        self.is_poisoned.store(true, Ordering::Relaxed);
    }

    /// Keeps them off unless the peer has answered another request meanwhile, which proves that it can.
    pub(super) fn poison_if_silent(&self) {
        if !self.streams.has_answered_since(self.since) {
            self.poison();
        }
    }
}

/// A TCP or a TLS stream.
pub(super) trait AsyncStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for S {}

/// How long a peer has to say how many streams it allows.
const SETTINGS: Duration = Duration::from_secs(1);
/// How long a connection that nobody holds has to close.
const FAREWELL: Duration = Duration::from_secs(1);

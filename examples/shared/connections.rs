//! The connections of a server: a bound, a deadline for each head, and an orderly end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Serves connections with `answer` until `ending` is ready, then answers the requests that have arrived.
///
/// At most 512 connections are open. Beyond that, the one that has waited longest for a request is closed, so
/// that strangers who open connections and send half a head keep nobody out.
pub(crate) async fn serve<F, R, B>(listener: TcpListener, answer: F, ending: impl Future<Output = ()>)
where
    F: Fn(SocketAddr, Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let connections = Arc::new(Connections::default());
    let mut ending = pin!(ending);
    loop {
        connections.make_room().await;
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut ending => break,
        };
        match accepted {
            Ok((stream, peer)) => connections.open(&graceful, stream, peer, answer.clone()),
            // Usually the file descriptors are used up.
            Err(_) => {
                connections.close_idle();
                sleep(Duration::from_millis(10)).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(GRACE, graceful.shutdown()).await;
}

#[derive(Default)]
struct Connections {
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
    /// Rings when a connection was closed, or began to wait.
    changed: Notify,
}

struct Connection {
    /// Whether a request is being answered.
    is_busy: AtomicBool,
    waits_since: Mutex<Instant>,
    closes: Notify,
}

impl Connections {
    /// Waits until one more connection may be opened.
    async fn make_room(&self) {
        while lock(&self.open).len() >= MOST {
            let changed = self.changed.notified();
            self.close_idle();
            // Every connection may be busy, and then one of them is done soon.
            let _ = timeout(Duration::from_millis(100), changed).await;
        }
    }

    /// Closes the connection that has waited longest for a request.
    fn close_idle(&self) {
        let open = lock(&self.open);
        let waiting = open.values().filter(|connection| !connection.is_busy.load(Ordering::Acquire));
        if let Some(longest) = waiting.min_by_key(|connection| *lock(&connection.waits_since)) {
            longest.closes.notify_one();
        }
    }

    fn open<F, R, B>(
        self: &Arc<Self>,
        graceful: &GracefulShutdown,
        stream: TcpStream,
        peer: SocketAddr,
        answer: F,
    ) where
        F: Fn(SocketAddr, Request<Incoming>) -> R + Send + 'static,
        R: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let connection = Arc::new(Connection {
            is_busy: AtomicBool::new(false),
            waits_since: Mutex::new(Instant::now()),
            closes: Notify::new(),
        });
        let number = {
            let mut open = lock(&self.open);
            let number = open.last_key_value().map_or(0, |(last, _)| last + 1);
            open.insert(number, Arc::clone(&connection));
            number
        };
        let own = Arc::clone(&connection);
        let service = service_fn(move |request| {
            own.is_busy.store(true, Ordering::Release);
            let (answered, own) = (answer(peer, request), Arc::clone(&own));
            async move {
                let response = answered.await;
                *lock(&own.waits_since) = Instant::now();
                own.is_busy.store(false, Ordering::Release);
                Ok::<_, Infallible>(response)
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .serve_connection(TokioIo::new(stream), service);
        let served = graceful.watch(served);
        let connections = Arc::clone(self);
        tokio::spawn(async move {
            // An error of the connection is the peer's, and there is nobody left to answer.
            tokio::select! {
                _ = served => {}
                () = connection.closes.notified() => {}
            }
            lock(&connections.open).remove(&number);
            connections.changed.notify_one();
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Half of the descriptors that a process usually may have open.
const MOST: usize = 512;
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// Longer than a receiver waits for a body.
const GRACE: Duration = Duration::from_secs(15);

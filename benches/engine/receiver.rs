//! The endpoints, as cheap as hyper allows, and the board on which they mark arrivals. All contestants use
//! the same ones.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The time at which each event was emitted and first arrived.
pub(crate) struct Board {
    began: Instant,
    emitted: Box<[AtomicU64]>,
    arrived: Box<[AtomicU64]>,
    count: AtomicUsize,
    wanted: AtomicUsize,
    reached: Notify,
}

impl Board {
    /// A board for event numbers below `room`.
    pub(crate) fn new(room: usize) -> Arc<Self> {
        let marks = || (0..room).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self {
            began: Instant::now(),
            emitted: marks(),
            arrived: marks(),
            count: AtomicUsize::new(0),
            wanted: AtomicUsize::new(usize::MAX),
            reached: Notify::new(),
        })
    }

    pub(crate) fn emitting(&self, number: u64) {
        self.emitted[number as usize].store(self.nanos(), Ordering::Relaxed);
    }

    /// Waits until `count` different events have arrived.
    pub(crate) async fn arrived(&self, count: usize) {
        self.wanted.store(count, Ordering::SeqCst);
        while self.count.load(Ordering::SeqCst) < count {
            self.reached.notified().await;
        }
    }

    /// Milliseconds from emit to receipt of those events that arrived.
    pub(crate) fn latencies(&self, numbers: std::ops::Range<u64>) -> Vec<f64> {
        let marks = numbers.map(|number| {
            let load = |marks: &[AtomicU64]| marks[number as usize].load(Ordering::Relaxed);
            (load(&self.emitted), load(&self.arrived))
        });
        marks
            .filter(|(_, arrived)| *arrived > 0)
            .map(|(emitted, arrived)| arrived.saturating_sub(emitted) as f64 / 1e6)
            .collect()
    }

    fn mark(&self, number: usize) {
        let Some(arrived) = self.arrived.get(number) else { return };
        if arrived.compare_exchange(0, self.nanos(), Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 >= self.wanted.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }

    fn nanos(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

/// A server on loopback. Dropping it closes its connections.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Starts a server that answers 200 at once. A request to the path `/n` marks the event whose number is
    /// `n` higher.
    pub(crate) async fn start(board: &Arc<Board>) -> Self {
        Self::serve(Manner::Marks(Arc::clone(board))).await
    }

    /// Starts a server that reads requests and never answers.
    pub(crate) async fn hanging() -> Self {
        Self::slow(Duration::MAX).await
    }

    /// Starts a server that answers 200 after this time.
    pub(crate) async fn slow(delay: Duration) -> Self {
        Self::serve(Manner::Waits(delay)).await
    }

    async fn serve(manner: Manner) -> Self {
        let socket = TcpSocket::new_v4().expect("the system gives sockets");
        // On all addresses of loopback, so that one server can be many endpoints.
        socket.bind("0.0.0.0:0".parse().expect("the address is one")).expect("loopback has a free port");
        // A backlog for all clients that connect at once: a client that finds no room retries only after a
        // second.
        let listener = socket.listen(1_024).expect("a bound socket listens");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                // Accepting can fail for a moment, for example without free file descriptors.
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                };
                drop(stream.set_nodelay(true));
                let manner = manner.clone();
                let service = service_fn(move |request| answer(manner.clone(), request));
                connections.spawn(async move {
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, server }
    }
}

/// How a server treats requests.
#[derive(Clone)]
enum Manner {
    Marks(Arc<Board>),
    Waits(Duration),
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(manner: Manner, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let board = match manner {
        Manner::Marks(board) => board,
        Manner::Waits(delay) => {
            tokio::time::sleep(delay).await;
            return Ok(Response::new(Empty::new()));
        }
    };
    let id = request.headers().get(ID_HEADER).and_then(|id| id.to_str().ok());
    let number = id.and_then(|id| u64::from_str_radix(&id[id.len().saturating_sub(16)..], 16).ok());
    let offset: u64 = request.uri().path()[1..].parse().unwrap_or(0);
    drop(request.into_body().collect().await);
    if let Some(number) = number {
        board.mark((number + offset) as usize);
    }
    Ok(Response::new(Empty::new()))
}

pub(crate) const ID_HEADER: &str = "x-allison-event-id";

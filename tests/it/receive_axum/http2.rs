//! The same route over HTTP/2 in clear text on loopback: bodies that are too long, too slow or cut off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, SendStream};
use hookwire::receive::Admission;
use hookwire::receive::axum::handler;
use hookwire::testing::Samples;
use hookwire::{Contract, MemoryStore};
use http::{Request, StatusCode};
use time::OffsetDateTime;
use tokio::net::TcpStream;

use super::{Arrived, receiver, secret, serve};

#[tokio::test]
async fn events_on_the_streams_of_one_connection_are_handled_once_each() {
    let site = Site::open(PATIENT, 1).await;
    let mut connection = connect(site.address).await;
    for id in ["evt_1", "evt_2", "evt_1"] {
        let (request, body) = parts(genuine(id));
        assert_eq!(connection.whole(request, body).await, 200, "{id}");
    }
    let (mut forged, body) = parts(genuine("evt_3"));
    forged.headers_mut().insert("x-allison-timestamp", "1".parse().unwrap());
    assert_eq!(connection.whole(forged, body).await, 401);
    assert_eq!(site.handled(), 2);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_by_what_it_says_and_by_what_comes() {
    let site = Site::open(PATIENT, 1).await;
    let mut connection = connect(site.address).await;
    let (mut said, _) = parts(genuine("evt_1"));
    said.headers_mut().insert("content-length", LONG.len().into());
    let (answer, _unsent) = connection.begin(said).await;
    assert_eq!(answer.await.unwrap().status(), 413, "and nothing of it has come");
    // A body without a declared length, in frames of any size.
    let (unsaid, _) = parts(genuine("evt_1"));
    let (answer, mut open) = connection.begin(unsaid).await;
    open.send_data(Bytes::from_static(LONG), false).unwrap();
    assert_eq!(answer.await.unwrap().status(), 413, "and its end is not waited for");
    let (request, body) = parts(genuine("evt_1"));
    assert_eq!(connection.whole(request, body).await, 200, "the connection goes on");
    assert_eq!(site.handled(), 1);
}

#[tokio::test]
async fn a_body_that_stalls_is_refused_and_the_streams_beside_it_are_not() {
    let site = Site::open(Duration::from_millis(50), 2).await;
    let mut connection = connect(site.address).await;
    let (request, body) = parts(genuine("evt_1"));
    let (answer, mut stalled) = connection.begin(request).await;
    stalled.send_data(body.slice(..10), false).unwrap();
    let (request, body) = parts(genuine("evt_2"));
    assert_eq!(connection.whole(request, body).await, 200);
    assert_eq!(answer.await.unwrap().status(), 408);
    assert_eq!(site.handled(), 1);
}

#[tokio::test]
async fn a_stream_that_is_reset_in_its_body_costs_nothing_but_itself() {
    let site = Site::open(PATIENT, 1).await;
    let mut connection = connect(site.address).await;
    let (request, body) = parts(genuine("evt_1"));
    let (answer, mut aborted) = connection.begin(request).await;
    aborted.send_data(body.slice(..10), false).unwrap();
    aborted.send_reset(Reason::CANCEL);
    assert!(answer.await.is_err());
    // The only place is free as soon as the server has dropped the stream's task.
    let mut status = StatusCode::TOO_MANY_REQUESTS;
    for _ in 0..1_000 {
        let (request, body) = parts(genuine("evt_1"));
        status = connection.whole(request, body).await;
        if status != StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(status, 200);
    assert_eq!(site.handled(), 1);
}

/// A receiver of bodies up to 1,000 bytes, with a deadline and a limit of concurrent requests.
struct Site {
    address: SocketAddr,
    handled: Arc<AtomicU32>,
}

impl Site {
    async fn open(deadline: Duration, at_once: usize) -> Self {
        let handled = Arc::new(AtomicU32::new(0));
        let counts = Arc::clone(&handled);
        let receiver = receiver()
            .with_inbox(MemoryStore::new())
            .with_max_body(1_000)
            .with_body_deadline(deadline)
            .with_admission(Admission::new().with_max_concurrent(at_once));
        let app = Router::new().route(
            "/",
            handler(receiver, move |event: Arrived| {
                let counts = Arc::clone(&counts);
                async move {
                    event?;
                    counts.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                }
            }),
        );
        Self { address: serve(app).await, handled }
    }

    fn handled(&self) -> u32 {
        self.handled.load(Ordering::SeqCst)
    }
}

struct Connection(SendRequest<Bytes>);

async fn connect(address: SocketAddr) -> Connection {
    let stream = TcpStream::connect(address).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    Connection(send)
}

impl Connection {
    /// Sends a head, and leaves the body open.
    async fn begin(&mut self, request: Request<()>) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut send = self.0.clone().ready().await.unwrap();
        send.send_request(request, false).unwrap()
    }

    async fn whole(&mut self, request: Request<()>, body: Bytes) -> StatusCode {
        let (answer, mut stream) = self.begin(request).await;
        stream.send_data(body, true).unwrap();
        answer.await.unwrap().status()
    }
}

fn genuine(id: &str) -> Request<Bytes> {
    let uri = "http://hooks.example/".parse().unwrap();
    let samples = Samples::new(Contract::allison(), &secret()).unwrap().with_uri(uri);
    samples.request("call.ended", &id.parse().unwrap(), OffsetDateTime::now_utc()).unwrap()
}

fn parts(request: Request<Bytes>) -> (Request<()>, Bytes) {
    let (mut head, body) = request.into_parts();
    head.version = http::Version::HTTP_2;
    (Request::from_parts(head, ()), body)
}

/// Longer than any passing test takes.
const PATIENT: Duration = Duration::from_secs(30);
/// One byte over the receiver's limit.
const LONG: &[u8] = &[b' '; 1_001];

//! The bodies of refused requests on a connection, and the number of body bytes that are held at once.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::post;
use bytes::Bytes;
use hookwire::receive::axum::{Incoming, handler, senders, store_first};
use hookwire::receive::{Admission, Answer, Senders};
use hookwire::testing::Samples;
use hookwire::{Contract, MemoryStore, Secret, allison};
use http::{HeaderMap, StatusCode, Version};
use http_body::{Frame, SizeHint};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_service::Service as _;

use super::{Arrived, receiver, secret, serve, signed};

#[tokio::test]
async fn a_refused_request_whose_body_is_left_ends_its_connection() {
    let unread = |pieces, length| Body::new(Pieces { left: pieces, length, then: Then::Stalls });
    let whole = |length| Body::new(Pieces { left: 1, length, then: Then::Ends });
    for (body, is_closed, why) in [
        (Body::empty(), false, "there is no body"),
        (whole(Some(PIECE.len())), false, "it is short and has arrived"),
        (whole(None), true, "nobody knows how long it is"),
        (unread(1, Some(PIECE.len() + 1)), true, "a part of it has not arrived"),
        (Body::from(vec![b'x'; 16 << 10]), false, "it is as long as is read"),
        (Body::from(vec![b'x'; (16 << 10) + 1]), true, "it is longer than is read"),
    ] {
        let answer = call(app(), unsigned(body)).await;
        assert_eq!(answer, (401, is_closed), "{why}");
    }
}

#[tokio::test]
async fn every_route_and_extractor_ends_the_connection() {
    async fn extracted(_: Incoming<allison::Event>) -> Answer {
        panic!("nothing is to be handled")
    }
    let handle = async |_: Arrived| panic!("nothing is to be handled");
    for app in [
        app(),
        Router::new().route("/", senders(Senders::new().with_handler(receiver(), handle))),
        Router::new().route("/", store_first(receiver().with_intake(MemoryStore::new()))),
        Router::new().route("/", post(extracted)).with_state(std::sync::Arc::new(receiver())),
    ] {
        let left = Pieces { left: 0, length: Some(100), then: Then::Stalls };
        assert_eq!(call(app, unsigned(Body::new(left))).await, (401, true));
    }
}

#[tokio::test]
async fn a_connection_goes_on_behind_a_body_that_was_read() {
    let samples = Samples::new(Contract::allison(), &Secret::from_random([9; 32])).unwrap();
    let forged = samples.request("call.ended", &"evt_1".parse().unwrap(), OffsetDateTime::now_utc()).unwrap();
    // Without a known length, the receiver cannot see that the body has ended.
    let body = Pieces { left: 1, length: None, then: Then::Ends };
    let request = forged.map(|_| Body::new(body));
    assert_eq!(call(app(), request).await, (401, false));
}

#[tokio::test]
async fn streams_of_http2_are_ended_by_themselves() {
    let left = Pieces { left: 0, length: Some(100), then: Then::Stalls };
    let mut request = unsigned(Body::new(left));
    *request.version_mut() = Version::HTTP_2;
    assert_eq!(call(app(), request).await, (401, false));
}

#[tokio::test]
async fn on_a_wire_a_short_body_is_passed_over_and_the_rest_ends_the_connection() {
    let address = serve(app()).await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    // Two requests at once, the first without a signature.
    let first = format!("{head}content-length: 2\r\n\r\n{{}}").into_bytes();
    let answers = exchange(address, &[first, signed("evt_1", &secret(), "/")].concat(), 2).await;
    assert!(answers.contains("401") && answers.contains("200"), "{answers}");
    assert!(!answers.contains("connection: close"), "{answers}");
    // A sender that asks whether it may send its body gets no `100 Continue`.
    let asks = format!("{head}content-length: 2\r\nexpect: 100-continue\r\n\r\n");
    for closed in [asks, format!("{head}content-length: 9000\r\n\r\n{{")] {
        let answer = exchange(address, closed.as_bytes(), 1).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn bodies_that_do_not_end_keep_out_large_ones_and_no_small_one() {
    let admission = Admission::new().with_max_bytes(100 << 10);
    let receiver = receiver().with_admission(admission);
    let mut app: Router = Router::new().route("/", handler(receiver, async |_: Arrived| Ok(())));
    let genuine = |body| {
        let samples = Samples::new(Contract::allison(), &secret()).unwrap();
        let now = OffsetDateTime::now_utc();
        let request = samples.request("call.ended", &"evt_1".parse().unwrap(), now).unwrap();
        match body {
            None => request.map(Body::from),
            Some(body) => request.map(|_| Body::new(body)),
        }
    };
    let large = || Some(Pieces { left: 8, length: None, then: Then::Stalls });
    let stalled = tokio::spawn(app.call(genuine(large())));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(app.call(genuine(large())).await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(app.call(genuine(None)).await.unwrap().status(), StatusCode::OK);
    stalled.abort();
    assert!(stalled.await.unwrap_err().is_cancelled());
    // Its bytes are free again, so the next request may take them.
    let next = tokio::spawn(app.call(genuine(large())));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!next.is_finished());
    next.abort();
}

/// A receiver that handles every signed event.
fn app() -> Router {
    Router::new().route("/", handler(receiver(), async |event: Arrived| Ok(event.map(drop)?)))
}

fn unsigned(body: Body) -> Request {
    Request::post("/").header("content-type", "application/json").body(body).unwrap()
}

/// The status of the answer, and whether it closes the connection.
async fn call(mut app: Router, request: Request) -> (u16, bool) {
    let response = app.call(request).await.unwrap();
    let closes = |headers: &HeaderMap| headers.get("connection").is_some_and(|value| value == "close");
    (response.status().as_u16(), closes(response.headers()))
}

/// Sends bytes on a new connection, and returns the text of the first `answers` answers.
async fn exchange(address: std::net::SocketAddr, bytes: &[u8], answers: usize) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut read = Vec::new();
    while String::from_utf8_lossy(&read).matches("\r\n\r\n").count() < answers {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}

/// A body of this many pieces.
struct Pieces {
    left: usize,
    length: Option<usize>,
    then: Then,
}

enum Then {
    Ends,
    Stalls,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.left, &self.then) {
            (0, Then::Ends) => Poll::Ready(None),
            (0, Then::Stalls) => Poll::Pending,
            _ => {
                self.left -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, |length| SizeHint::with_exact(length as u64))
    }
}

const PIECE: &[u8] = &[b' '; 10 << 10];

//! [`Receiver`]: customers' endpoints on loopback. They record every request and accept most of them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookwire::{Contract, Verifier};
use http::header::USER_AGENT;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use super::Dice;
use super::child::secret;

/// A server with an endpoint at each path.
pub(super) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    verifier: Verifier,
    book: Mutex<Book>,
}

struct Book {
    dice: Dice,
    receptions: Vec<Reception>,
    seen: HashMap<(String, String), u32>,
    is_slow: bool,
}

/// A request that arrived completely.
#[derive(Clone, Debug)]
pub(super) struct Reception {
    pub(super) path: String,
    pub(super) event: String,
    /// The SHA-256 of its body, in hex.
    pub(super) digest: String,
    /// The process that sent it.
    pub(super) sender: String,
    /// Whether the answer was success, even if the sender did not live to read it.
    pub(super) is_taken: bool,
}

impl Receiver {
    pub(super) async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let verifier = Contract::allison().verifier(&secret()).unwrap();
        let book = Book { dice: Dice(seed), receptions: Vec::new(), seen: HashMap::new(), is_slow: false };
        let shared = Arc::new(Shared { verifier, book: Mutex::new(book) });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                let service = service_fn(move |request| receive(Arc::clone(&shared), request));
                // The connection ends in an error if its sender died or if it is closed without an answer.
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, shared }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes every answer slow, or most answers quick again.
    pub(super) fn set_slow(&self, is_slow: bool) {
        self.shared.book.lock().unwrap().is_slow = is_slow;
    }

    pub(super) fn count(&self) -> usize {
        self.shared.book.lock().unwrap().receptions.len()
    }

    /// Every request, in the order of arrival.
    pub(super) fn receptions(&self) -> Vec<Reception> {
        self.shared.book.lock().unwrap().receptions.clone()
    }
}

async fn receive(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let verified = shared.verifier.verify(&head.headers, &body).expect("every request is signed");
    let (path, event) = (head.uri.path().to_owned(), verified.id().unwrap().to_owned());
    let sender = head.headers[USER_AGENT].to_str().unwrap().to_owned();
    let digest = hex::encode(Sha256::digest(&body));
    let answer = {
        let mut book = shared.book.lock().unwrap();
        let seen = book.seen.entry((path.clone(), event.clone())).or_default();
        *seen += 1;
        // Some events are refused until they were replayed.
        let is_refused = digest.as_str() < "08" && *seen <= REFUSALS;
        let is_slow = book.is_slow;
        let answer = if is_refused { Answer::ServerError } else { Answer::draw(&mut book.dice, is_slow) };
        let is_taken = matches!(answer, Answer::Taken | Answer::TakenLate(_));
        book.receptions.push(Reception { path, event, digest, sender, is_taken });
        answer
    };
    match answer {
        Answer::Taken => Ok(Response::new(Full::default())),
        Answer::TakenLate(wait) => {
            tokio::time::sleep(wait).await;
            Ok(Response::new(Full::default()))
        }
        Answer::ServerError => Ok(Response::builder().status(500).body(Full::default()).unwrap()),
        Answer::Closed => Err(Closed),
        Answer::ClosedLate(wait) => {
            tokio::time::sleep(wait).await;
            Err(Closed)
        }
    }
}

enum Answer {
    Taken,
    TakenLate(Duration),
    ServerError,
    Closed,
    ClosedLate(Duration),
}

impl Answer {
    fn draw(dice: &mut Dice, is_slow: bool) -> Self {
        let wait = Duration::from_millis(dice.below(120));
        match dice.below(100) {
            0..6 => Self::ServerError,
            6..9 => Self::Closed,
            9..11 => Self::ClosedLate(wait),
            11..18 => Self::TakenLate(wait),
            _ if is_slow => Self::TakenLate(wait),
            _ => Self::Taken,
        }
    }
}

/// An error with which hyper closes the connection without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

/// More than the attempts of one delivery, fewer than those of two.
const REFUSALS: u32 = 6;

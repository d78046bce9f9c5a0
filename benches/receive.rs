//! The receiver compared with its lower bounds: verifying and decoding alone, and an axum handler that only
//! reads the body.
//!
//! ```text
//! cargo bench --bench receive --features axum,memory                       both parts, in about a minute
//! cargo bench --bench receive --features axum,memory -- requests --strict  one part
//! ```
//!
//! With `--strict`, a missed bound is a failure.
//!
//! `receive` is a `call.ended` of about 600 bytes: verified, reserved in an inbox in memory, decoded and
//! committed. Each request is another event, so the inbox grows as in production. "inbox by hand" is
//! verifying and decoding too, and the least that keeps copies out: a map of ids behind a lock, asked before
//! the event and written after it. The last line compares the receiver with that.
//!
//! `requests` is the same over HTTP: eight kept connections, each with one request at a time, to a server
//! started as axum's documentation shows. All servers get the same bytes, in turns.
//!
//! "by hand" is the least that a receiver can do: a handwritten handler verifies the signature and decodes
//! the event, and remembers nothing. It is compared with a handler that only reads the body. The route is
//! compared with both. "together" is the hardest case: the eight requests are written together to a server
//! of one thread, which saves the server most of its waiting.

mod rounds;

use std::cell::Cell;
use std::collections::HashMap;
use std::future::Future;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use hookwire::allison::{CallEnded, Direction, Disposition, Event};
use hookwire::receive::axum::handler;
use hookwire::receive::{Arrival, Received, Receiver, Rejection};
use hookwire::{Contract, DataError, Envelope, MemoryStore, Secret, Verifier};
use http::{HeaderMap, StatusCode};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::rounds::{heading, interleaved, row};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |argument: &str| arguments.iter().any(|had| had == argument);
    // `cargo test --benches` only checks that the program starts.
    if has("--test") || has("--list") {
        return ExitCode::SUCCESS;
    }
    let wants = |part: &str| has(part) || !PARTS.iter().any(|other| has(other));
    let mut is_kept = true;
    if wants("receive") {
        is_kept &= receive();
    }
    if wants("requests") {
        is_kept &= requests();
    }
    if has("--strict") && !is_kept { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

// In process.

fn receive() -> bool {
    let contract = Contract::allison();
    let verifier = contract.verifier(&secret()).expect("the secret is long enough");
    let receiver = receiver().with_inbox(MemoryStore::new());
    let (forgetful, by_hand) = (self::receiver(), InboxByHand::default());
    // One request for each call of all rounds.
    let requests: Vec<Request> =
        (0..CALLS * rounds::ROUNDS).map(|number| Request::new(number, NOW)).collect();
    let len = requests[0].body.len();
    let decoded = |request: &Request| -> Envelope<Event> {
        contract.decode(&request.verified_by(&verifier)).expect("the event is good")
    };
    let [bare, noted, forgets, remembers] = interleaved(
        CALLS,
        [
            &in_turn(&requests, |request| drop(black_box(decoded(request)))),
            &in_turn(&requests, |request| {
                let envelope = decoded(request);
                let id = envelope.id.clone();
                assert!(by_hand.reserve(id.as_str(), NOW));
                drop(black_box(envelope));
                by_hand.commit(id.as_str(), NOW);
            }),
            &in_turn(&requests, |request| received(&forgetful, request)),
            &in_turn(&requests, |request| received(&receiver, request)),
        ],
    );
    heading();
    row("inbox by hand", len, &noted, &bare, None);
    let mut is_kept = row("without an inbox", len, &forgets, &bare, Some(1.2));
    is_kept &= row("receive", len, &remembers, &bare, Some(1.3));
    is_kept & row("receive", len, &remembers, &noted, Some(1.2))
}

/// The inbox that a careful colleague would write.
#[derive(Default)]
struct InboxByHand(Mutex<HashMap<String, Remembered>>);

struct Remembered {
    is_handled: bool,
    until: OffsetDateTime,
}

impl InboxByHand {
    /// Returns whether the event is new.
    fn reserve(&self, id: &str, now: OffsetDateTime) -> bool {
        let mut events = self.0.lock().expect("nobody panics with the lock");
        if events.get(id).is_some_and(|known| now < known.until) {
            return false;
        }
        events.insert(id.to_owned(), Remembered { is_handled: false, until: now + Duration::from_secs(60) });
        true
    }

    fn commit(&self, id: &str, now: OffsetDateTime) {
        let mut events = self.0.lock().expect("nobody panics with the lock");
        if let Some(event) = events.get_mut(id) {
            assert!(!event.is_handled, "every event is new");
            *event = Remembered { is_handled: true, until: now + Duration::from_secs(7 * 24 * 3600) };
        }
    }
}

/// Passes the next request to `work` at each call.
fn in_turn<'a>(requests: &'a [Request], work: impl Fn(&'a Request) + 'a) -> impl Fn() + 'a {
    let next = Cell::new(0);
    move || {
        work(&requests[next.get()]);
        next.set((next.get() + 1) % requests.len());
    }
}

fn received<I: hookwire::Inbox>(receiver: &Receiver<I>, request: &Request) {
    let body = black_box(&request.body);
    let handled = at_once(async {
        let admitted = receiver.admit(Arrival::post(black_box(&request.headers)), black_box(NOW))?;
        match admitted.prove(body, black_box(NOW)).await?.receive::<Event>().await? {
            Received::Event { envelope, receipt, .. } => {
                drop(black_box(envelope));
                Ok::<_, Rejection>(receipt.commit(NOW).await?)
            }
            _ => panic!("the event is good and new"),
        }
    });
    assert!(handled.expect("the request is good, and memory does not fail"));
}

fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("memory answers at once"),
    }
}

// Over HTTP.

fn requests() -> bool {
    println!("\n{:<32}{:>14}{:>14}{:>8}{:>8}", "", "requests/s", "against", "ratio", "bound");
    let is_kept =
        contest("axum", Some(0.85), tokio::runtime::Builder::new_multi_thread, Client::each_for_itself);
    contest("axum, together", None, tokio::runtime::Builder::new_current_thread, Client::together);
    is_kept
}

fn contest(
    name: &str,
    least: Option<f64>,
    runtime: fn() -> tokio::runtime::Builder,
    send: fn(&mut Client, &[Vec<u8>]),
) -> bool {
    let received = Router::new().route("/", handler(receiver().with_inbox(MemoryStore::new()), handle));
    let contract = Contract::allison();
    let verifier = contract.verifier(&secret()).expect("the secret is long enough");
    let by_hand = Router::new().route("/", post(read_and_decode)).with_state(Arc::new((contract, verifier)));
    let mut clients = [
        Client::connect(serve("bare", runtime(), Router::new().route("/", post(read_only)))),
        Client::connect(serve("by hand", runtime(), by_hand)),
        Client::connect(serve("handler", runtime(), received)),
    ];
    let mut times = [const { Vec::new() }; 3];
    let mut number = 0;
    for round in 0..HTTP_ROUNDS {
        let now = OffsetDateTime::now_utc();
        let wires: Vec<Vec<u8>> = (0..HTTP_REQUESTS)
            .map(|_| {
                number += 1;
                Request::new(number, now).wire()
            })
            .collect();
        for turn in 0..clients.len() {
            // Each round begins with another client.
            let which = (round + turn) % clients.len();
            let began = Instant::now();
            send(&mut clients[which], &wires);
            times[which].push(began.elapsed().as_secs_f64() / HTTP_REQUESTS as f64);
        }
    }
    let [bare, by_hand, received] = times.map(|times| times[HTTP_WARM_UP..].to_vec());
    speed(&format!("{name} by hand"), &by_hand, &bare, None);
    speed(&format!("{name} beside reading"), &received, &bare, None);
    speed(name, &received, &by_hand, least)
}

fn speed(name: &str, of: &[f64], against: &[f64], least: Option<f64>) -> bool {
    let ratio = median(against.iter().zip(of).map(|(against, of)| against / of).collect());
    let is_kept = least.is_none_or(|least| ratio >= least);
    let (per_second, against) = (1.0 / median(of.to_vec()), 1.0 / median(against.to_vec()));
    print!("{name:<32}{per_second:>14.0}{against:>14.0}{ratio:>8.3}");
    match least {
        Some(least) => println!("{least:>8.2}  {}", if is_kept { "PASS" } else { "under" }),
        None => println!("{:>8}", "-"),
    }
    is_kept
}

async fn read_only(body: Bytes) -> StatusCode {
    black_box(body);
    StatusCode::OK
}

/// The least that a receiver does: verify and decode.
async fn read_and_decode(
    State(proof): State<Arc<(Contract, Verifier)>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let (contract, verifier) = &*proof;
    let Ok(verified) = verifier.verify(&headers, &body) else { return StatusCode::UNAUTHORIZED };
    let Ok(envelope) = contract.decode::<Event>(&verified) else { return StatusCode::BAD_REQUEST };
    drop(black_box(envelope));
    StatusCode::OK
}

async fn handle(
    event: Result<Envelope<Event>, Box<DataError>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    drop(black_box(event?));
    Ok(())
}

/// Starts a server on its own threads.
fn serve(name: &str, mut runtime: tokio::runtime::Builder, app: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a socket can be told not to block");
    let address = listener.local_addr().expect("a bound socket has an address");
    // The name helps to read a profile.
    let runtime = runtime.thread_name(name).enable_all().build().expect("the system gives a runtime");
    let server = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("the socket is one of TCP");
            axum::serve(listener, app).await.expect("the server runs for ever");
        });
    });
    server.expect("the system gives a thread");
    address
}

/// Kept connections of a cheap client: it writes prepared bytes, and it looks only at the start and the end
/// of an answer.
struct Client {
    connections: Vec<TcpStream>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let connect = |_| {
            let stream = TcpStream::connect(address).expect("the server listens");
            stream.set_nodelay(true).expect("the socket is one of TCP");
            stream
        };
        Self { connections: (0..CONNECTIONS).map(connect).collect() }
    }

    /// On each connection, the next request follows the answer to the previous one.
    fn each_for_itself(&mut self, wires: &[Vec<u8>]) {
        let share = wires.len().div_ceil(self.connections.len());
        std::thread::scope(|scope| {
            for (connection, wires) in self.connections.iter_mut().zip(wires.chunks(share)) {
                scope.spawn(move || {
                    for wire in wires {
                        connection.write_all(wire).expect("the server reads");
                        answered(connection);
                    }
                });
            }
        });
    }

    /// Writes a request to every connection and then reads all answers.
    fn together(&mut self, wires: &[Vec<u8>]) {
        for wires in wires.chunks(self.connections.len()) {
            for (connection, wire) in self.connections.iter_mut().zip(wires) {
                connection.write_all(wire).expect("the server reads");
            }
            self.connections[..wires.len()].iter_mut().for_each(answered);
        }
    }
}

fn answered(connection: &mut TcpStream) {
    let mut buffer = [0; 1_024];
    let mut read = 0;
    while !buffer[..read].ends_with(b"\r\n\r\n") {
        let more = connection.read(&mut buffer[read..]).expect("the server answers");
        assert!(more > 0, "the server closed");
        read += more;
    }
    assert!(buffer.starts_with(b"HTTP/1.1 200"), "every event is good and new");
}

// The requests.

struct Request {
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    fn new(number: usize, now: OffsetDateTime) -> Self {
        let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
        call.location_id = Some("loc_12".into());
        call.started_at = Some(datetime!(2026-04-17 19:09:40 UTC));
        call.ended_at = Some(datetime!(2026-04-17 19:12:03 UTC));
        call.duration_seconds = Some(143);
        call.direction = Some(Direction::Inbound);
        call.from_number = Some("+15550100142".into());
        call.disposition = Some(Disposition::Completed);
        call.summary = Some("The caller moved the appointment to Friday and asked for a reminder.".into());
        call.outcome_tags = vec!["rescheduled".into(), "reminder".into()];
        call.contact_id = Some("con_7f3a".into());
        call.call_url = Some("https://app.allison.example/calls/5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11".into());
        let id = format!("evt_{number:032x}").parse().expect("the id is valid");
        let envelope = Envelope::from_parts(id, now, call);
        let contract = Contract::allison();
        let body = contract.encode(&envelope).expect("the event can be written");
        let signer = contract.signer(&secret()).expect("the secret is long enough");
        let headers = signer.sign(envelope.id.as_str(), now, &body).expect("the id and the time are fine");
        Self { headers, body }
    }

    fn verified_by(&self, verifier: &Verifier) -> hookwire::Verified<'_> {
        verifier
            .verify_at(black_box(&self.headers), black_box(&self.body), black_box(NOW))
            .expect("the signature is good")
    }

    /// The request's bytes on the wire.
    fn wire(&self) -> Vec<u8> {
        let mut wire =
            b"POST / HTTP/1.1\r\nhost: hooks.example\r\ncontent-type: application/json\r\n".to_vec();
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                wire.extend_from_slice(part);
            }
        }
        wire.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        wire.extend_from_slice(&self.body);
        wire
    }
}

fn receiver() -> Receiver {
    Receiver::signed(Contract::allison(), &secret()).expect("the secret is long enough")
}

fn secret() -> Secret {
    Secret::from_random([7; 32])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const PARTS: [&str; 2] = ["receive", "requests"];
/// Few calls, because each round needs this many new events.
const CALLS: usize = 100;
const CONNECTIONS: usize = 8;
const HTTP_ROUNDS: usize = 61;
const HTTP_WARM_UP: usize = 5;
const HTTP_REQUESTS: usize = 2_000;
const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);

//! Receiving without a framework: hyper reads the request, and the receiver does the rest on types of crate
//! `http`.
//!
//! ```text
//! cargo run --example bare_hyper --features memory -- --listen 127.0.0.1:8080 --secret "$WEBHOOK_SECRET"
//! ```
//!
//! The program does what a framework would do: it reads the body up to a limit and within a deadline, closes
//! connections that send nothing, bounds their number, and answers the requests that have arrived before it
//! ends. It prints the events of Allison.

#[path = "shared/connections.rs"]
mod connections;
#[path = "shared/ending.rs"]
mod ending;
#[path = "shared/flags.rs"]
mod flags;
#[path = "shared/refused.rs"]
mod refused;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flags::{Flags, Names};
use hookwire::receive::{Admitted, Answer, Arrival, Receiver, Rejection};
use hookwire::{Contract, DataError, Envelope, MemoryStore, allison};
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::{Request, Response};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::time::timeout;

type Endpoint = Receiver<MemoryStore>;

#[tokio::main]
async fn main() -> ExitCode {
    let names = Names { needed: &["--listen", "--secret"], ..Names::default() };
    flags::main(USAGE, names, Options::parse, run).await
}

struct Options {
    listen: String,
    receiver: Endpoint,
}

impl Options {
    fn parse(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        let receiver = Receiver::signed(Contract::allison(), &flags.needed("--secret").parse()?)?;
        Ok(Self {
            listen: flags.needed("--listen").to_owned(),
            receiver: receiver.with_inbox(MemoryStore::new()).with_rejection_observer(refused::log),
        })
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(&options.listen)
        .await
        .map_err(|error| format!("--listen {} is not possible: {error}", options.listen))?;
    let ending = ending::ending()?;
    eprintln!("listening on http://{}/", listener.local_addr()?);
    serve(listener, Arc::new(options.receiver), ending).await;
    Ok(())
}

async fn serve(listener: TcpListener, receiver: Arc<Endpoint>, ending: impl Future<Output = ()>) {
    let answer = move |peer, request| {
        let receiver = Arc::clone(&receiver);
        // In a task of its own, a handler runs to its end even if the sender hangs up.
        let answered = tokio::spawn(async move { respond(&receiver, peer, request).await });
        async move { answered.await.unwrap_or_else(|_panic| unavailable()) }
    };
    connections::serve(listener, answer, ending).await;
}

/// The answer if the task panics, which the receiver's own code does not.
fn unavailable() -> Response<Full<Bytes>> {
    Answer::new(StatusCode::SERVICE_UNAVAILABLE).into_response().map(Full::new)
}

async fn respond(receiver: &Endpoint, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, mut body) = request.into_parts();
    let answered = async {
        let arrival = Arrival::from(&head).with_peer(peer.ip());
        // If the head is refused, the body is not read.
        let mut admitted = receiver.admit(arrival, OffsetDateTime::now_utc())?;
        let reading = read(&mut admitted, &mut body);
        let read = timeout(receiver.body_deadline(), reading).await;
        let body = read.unwrap_or(Err(Rejection::Incomplete))?;
        admitted.prove(&body, OffsetDateTime::now_utc()).await?.handle(handle).await
    };
    let answer = match answered.await {
        Ok(answer) => answer,
        // If a part of the body is left, no other request may follow it on the connection.
        Err(rejection) if !body.is_end_stream() => {
            receiver.refuse(&rejection).with_header(CONNECTION, HeaderValue::from_static("close"))
        }
        Err(rejection) => receiver.refuse(&rejection),
    };
    answer.into_response().map(Full::new)
}

/// Reads the body, unless it is too long.
async fn read(admitted: &mut Admitted<'_, '_, MemoryStore>, body: &mut Incoming) -> Result<Bytes, Rejection> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Rejection::Truncated)?;
        let Some(data) = frame.data_ref() else { continue };
        admitted.accept(data.len())?;
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

/// Prints an event. After an error, the sender repeats it.
async fn handle(
    event: Result<Envelope<allison::Event>, Box<DataError>>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let envelope = event?;
    match &envelope.data {
        allison::Event::CallEnded(call) => println!("call {} ended: {:?}", call.call_id, call.summary),
        other => println!("{} {}", envelope.id, other.event_type()),
    }
    Ok(())
}

const USAGE: &str = "\
usage: bare_hyper --listen ADDR --secret S

  --listen ADDR  such as 127.0.0.1:8080; port 0 takes a free one and says which
  --secret S     the secret of Allison's subscription
";

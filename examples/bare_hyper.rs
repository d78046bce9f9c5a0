//! Receiving without a framework: hyper reads the request, `Receiver::answer` does the rest on `http` types.
//!
//! ```text
//! cargo run --example bare_hyper --features memory -- --listen 127.0.0.1:8080 --secret "$WEBHOOK_SECRET"
//! ```
//!
//! What a framework would take care of is here: the body is read within a deadline and up to a cap, a connection that says
//! nothing is closed, and at the end what has arrived is answered first. It prints the events of Allison.

#[path = "shared/ending.rs"]
mod ending;
#[path = "shared/flags.rs"]
mod flags;
#[path = "shared/refused.rs"]
mod refused;

use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flags::{Flags, Names};
use hookwire::receive::{Arrival, Receiver, Rejection};
use hookwire::{Contract, DataError, Envelope, MemoryStore, allison};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

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
    let connections = GracefulShutdown::new();
    let mut ending = pin!(ending);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Out of file descriptors, as a rule: others have to go first.
                Err(_) => {
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut ending => break,
        };
        let receiver = Arc::clone(&receiver);
        let service = service_fn(move |request| {
            let receiver = Arc::clone(&receiver);
            // In a task of its own, so that a handler comes to its end though the sender hangs up.
            tokio::spawn(async move { respond(&receiver, peer, request).await })
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(10))
            .serve_connection(TokioIo::new(stream), service);
        // How a connection ends is the peer's affair.
        let connection = connections.watch(connection);
        tokio::spawn(async move { drop(connection.await) });
    }
    let _ = timeout(Duration::from_secs(15), connections.shutdown()).await;
}

async fn respond(receiver: &Endpoint, peer: SocketAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let arrival = Arrival::new(&head.headers).with_path(head.uri.path()).with_peer(peer.ip());
    let answered = async {
        // Nothing is read of what is refused anyway.
        receiver.check_head(&head.method, &arrival)?;
        let body = read(receiver, body).await?;
        receiver.answer(&head.method, &arrival, &body, OffsetDateTime::now_utc(), handle).await
    };
    let answer = answered.await.unwrap_or_else(|rejection| receiver.refuse(&rejection));
    answer.into_response().map(Full::new)
}

/// The body, or just enough of it for the receiver to find it too long.
async fn read(receiver: &Endpoint, mut body: Incoming) -> Result<Bytes, Rejection> {
    let reading = async {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Rejection::Truncated)?;
            whole.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if whole.len() > receiver.max_body() {
                break;
            }
        }
        Ok(whole.freeze())
    };
    timeout(receiver.body_deadline(), reading).await.unwrap_or(Err(Rejection::Incomplete))
}

/// An error here has the sender repeat the event.
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

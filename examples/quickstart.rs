//! One event through all its steps: emit, store, sign, POST, verify, decode. Then a retry, a duplicate and a
//! forgery.
//!
//! One process on real parts: SQLite files in a temporary folder, real HTTP on loopback.
//!
//! ```text
//! cargo run --example quickstart --features full
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use hookwire::allison::{self, CallEnded, Direction};
use hookwire::dispatch::{Dispatcher, Outbox, Wake};
use hookwire::receive::{Arrival, Received, Receiver};
use hookwire::store::DeliveryQuery;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{
    AddressPolicy, Contract, EndpointUrl, Envelope, EventFilter, HttpClient, HyperClient, Limits, Records,
    RetryPolicy, Secret, Subscription, Subscriptions,
};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;

    step("1. The contract: how Allison signs, what counts as success, when it tries again.");
    // Allison waits a minute before the second attempt. A shorter delay keeps this example quick.
    let contract = Contract::allison().with_retry(RetryPolicy::delays([Duration::from_millis(300)])?);
    println!("   {} attempts in production, {} here", Contract::allison().retry().timeline(now()).count(), 2);

    step("2. A subscription, with a secret that both sides know.");
    let secret = Secret::generate();
    println!("   secret {} (shown once in full, as a preview ever after)", secret.preview());
    let (address, handled) = receiver(&contract, &secret, folder.path()).await?;
    // The default policy allows https to public addresses only. Loopback is for development.
    let policy = AddressPolicy::new().allow_loopback().allow_plain_http();
    let url = EndpointUrl::parse(&format!("http://{address}/hooks"), &policy)?;
    let subscription = Subscription::new("org_1", &Contract::allison(), url, EventFilter::new(["call.*"])?)
        .with_secret(secret.clone());
    let store = Arc::new(SqliteStore::open(folder.path().join("sender.db")).await?);
    store.put(&subscription).await?;
    println!("   {} wants call.* at {}", subscription.id, subscription.url);

    step("3. An event is emitted: encoded once, stored with its delivery.");
    let wake = Wake::new();
    let outbox = Outbox::new(Arc::clone(&store), contract.clone()).with_wake(&wake);
    let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
    call.direction = Some(Direction::Inbound);
    call.duration_seconds = Some(143);
    call.summary = Some("rescheduled to Friday".into());
    let envelope = Envelope::new(call);
    let emitted = outbox.emit("org_1", &envelope).await?;
    println!("   {} stored, {} delivery pending", emitted.id, emitted.deliveries);
    let again = outbox.emit("org_1", &envelope).await?;
    println!("   emitted once more: duplicate = {}, nothing changed", again.duplicate);

    step("4. The dispatcher signs and POSTs it. The handler fails once (500), so it is tried again.");
    let (stop, stopped) = oneshot::channel::<()>();
    let dispatcher = Dispatcher::new(Arc::clone(&store), HyperClient::new(), contract.clone())
        .with_address_policy(policy.clone())
        .with_wake(&wake);
    let running = tokio::spawn(async move { dispatcher.run(async { drop(stopped.await) }).await });
    let delivery = loop {
        let page = store.list_deliveries("org_1", &DeliveryQuery::new(subscription.id), None, 1).await?;
        let [delivery] = page.items.try_into().map_err(|_| "one delivery")?;
        if delivery.due_at.is_none() {
            break delivery;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    stop.send(()).map_err(|()| "the dispatcher stopped by itself")?;
    running.await?;
    println!("   the sender's log of {}: {}", delivery.id, delivery.state.as_str());
    for attempt in store.list_attempts(delivery.id).await? {
        println!("   attempt {}: {:?} in {:?}", attempt.number, attempt.outcome.status(), attempt.duration);
    }

    step("5. The same event comes once more, as senders may: answered 200, not handled again.");
    let body = contract.encode(&envelope)?;
    let signed = contract.signer(&secret)?.sign(envelope.id.as_str(), now(), &body)?;
    println!("   answered {}", post_to(address, &policy, signed.clone(), body.clone()).await?);

    step("6. Somebody forges an event: one byte changed under a good signature. Answered 401.");
    let forged = Bytes::from(String::from_utf8(body.to_vec())?.replace("Friday", "Monday"));
    println!("   answered {}", post_to(address, &policy, signed, forged).await?);

    let handled = handled.load(Ordering::SeqCst);
    println!("\nHandled {handled} time: once, of one failure, one success, one duplicate and one forgery.");
    if handled == 1 { Ok(()) } else { Err("the event was not handled exactly once".into()) }
}

/// The receiving side: the code that a customer of the platform writes.
async fn receiver(
    contract: &Contract,
    secret: &Secret,
    folder: &std::path::Path,
) -> Result<(SocketAddr, Arc<AtomicU32>), Box<dyn Error>> {
    let inbox = SqliteStore::open(folder.join("receiver.db")).await?;
    let receiver = Receiver::signed(contract.clone(), secret)?.with_inbox(inbox);
    let endpoint = Arc::new(Endpoint { receiver, arrivals: AtomicU32::new(0), handled: Arc::default() });
    let handled = Arc::clone(&endpoint.handled);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/hooks", post(receive)).with_state(endpoint);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((address, handled))
}

struct Endpoint {
    receiver: Receiver<SqliteStore>,
    arrivals: AtomicU32,
    handled: Arc<AtomicU32>,
}

async fn receive(State(endpoint): State<Arc<Endpoint>>, headers: HeaderMap, body: Bytes) -> Response {
    let is_first = endpoint.arrivals.fetch_add(1, Ordering::SeqCst) == 0;
    if is_first {
        show(&headers, &body);
    }
    let received = async {
        let admitted = endpoint.receiver.admit(Arrival::post(&headers), now())?;
        admitted.prove(&body, now()).await?.receive::<allison::Event>().await
    };
    let status = match received.await {
        Ok(Received::Event { envelope, receipt, .. }) => {
            if is_first {
                println!(
                    "   receiver: {} is genuine, but the handler fails; it gives the event up",
                    envelope.id
                );
                drop(receipt.release().await);
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            match &envelope.data {
                allison::Event::CallEnded(call) => {
                    println!(
                        "   receiver: call {} took {:?} s: {:?}",
                        call.call_id, call.duration_seconds, call.summary
                    );
                }
                other => println!("   receiver: {} is not for us", other.event_type()),
            }
            endpoint.handled.fetch_add(1, Ordering::SeqCst);
            match receipt.commit(now()).await {
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::SERVICE_UNAVAILABLE,
            }
        }
        Ok(Received::Duplicate { id, .. }) => {
            println!("   receiver: {id} was handled before");
            StatusCode::OK
        }
        Ok(_) => StatusCode::OK,
        Err(rejection) => {
            println!(
                "   receiver: {rejection}: {}",
                rejection.source().map(ToString::to_string).unwrap_or_default()
            );
            // If the request could not be handled now, the answer says when to repeat it.
            if let Some(wait) = rejection.retry_after() {
                let header = (RETRY_AFTER, wait.as_secs().to_string());
                return (rejection.status(), [header]).into_response();
            }
            rejection.status()
        }
    };
    status.into_response()
}

/// Prints the request: the signed bytes and the signature.
fn show(headers: &HeaderMap, body: &[u8]) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("(none)");
    // The signature is no secret and proves nothing without the body. It is cut because it is long.
    let signature: String = text("x-allison-signature").chars().take(16).collect();
    let start: String = String::from_utf8_lossy(body).chars().take(100).collect();
    println!("   on the wire:");
    println!("   | POST /hooks HTTP/1.1");
    println!("   | x-allison-event-id: {}", text("x-allison-event-id"));
    println!("   | x-allison-timestamp: {}", text("x-allison-timestamp"));
    println!("   | x-allison-signature: {signature}...");
    println!("   |");
    println!("   | {start}...");
    println!(
        "   the signature is HMAC-SHA256 over the timestamp, a full stop and the {} bytes of the body",
        body.len()
    );
}

async fn post_to(
    address: SocketAddr,
    policy: &AddressPolicy,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Box<dyn Error>> {
    let mut request = Request::post(format!("http://{address}/hooks")).body(body)?;
    *request.headers_mut() = headers;
    let limits = Limits::new(Duration::from_secs(10)).with_addresses(policy.clone());
    Ok(HyperClient::new().send(request, &limits).await?.response.status())
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn step(text: &str) {
    println!("\n{text}");
}

//! Receiving in axum over real HTTP: slow, long and incomplete requests, and the handlers' arguments.

mod body;
mod extractors;
mod head;
mod http2;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use hookwire::receive::axum::{handler, senders, store_first};
use hookwire::receive::{Handlers, NetworkGuard, PathGuard, Receiver, SecretSource, Senders};
use hookwire::testing::Samples;
use hookwire::{Contract, DataError, Envelope, MemoryStore, Secret, allison};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tower_service::Service as _;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Arrived = Result<Envelope<allison::Event>, Box<DataError>>;

#[tokio::test]
async fn an_event_is_handled_once_and_its_copy_answered_200() {
    let handled = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&handled);
    let receiver = receiver().with_inbox(MemoryStore::new());
    let app = Router::new().route(
        "/",
        handler(receiver, move |event: Arrived| {
            let counts = Arc::clone(&counts);
            async move {
                assert_eq!(event?.event_type(), "call.ended");
                counts.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }),
    );
    let address = serve(app).await;
    let request = signed("evt_1", &secret(), "/");
    for _ in 0..2 {
        assert_eq!(send(address, &request).await, 200);
    }
    assert_eq!(handled.load(Ordering::SeqCst), 1);
    let forged = String::from_utf8(request).unwrap().replace("call.ended", "call.Ended");
    assert_eq!(send(address, forged.as_bytes()).await, 401);
    assert_eq!(send(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await, 405);
}

#[tokio::test]
async fn a_compressed_body_is_decoded_over_http_and_a_bomb_refused() {
    use std::io::Write as _;

    let receiver = receiver().with_gzip(10_000).with_max_body(100_000);
    let app = Router::new().route("/", handler(receiver, async |event: Arrived| Ok(event.map(drop)?)));
    let address = serve(app).await;
    let plain = signed("evt_1", &secret(), "/");
    let at = plain.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let post = async |body: &[u8], encoding: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        let body = encoder.finish().unwrap();
        let now = OffsetDateTime::now_utc();
        let headers = Contract::allison().signer(&secret()).unwrap().sign("evt_1", now, &body).unwrap();
        let mut request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-encoding: {encoding}\r\n\
             content-length: {}\r\n",
            body.len()
        );
        for (name, value) in &headers {
            request += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        send(address, &[request.as_bytes(), b"\r\n", &body].concat()).await
    };
    assert_eq!(post(&plain[at..], "gzip").await, 200);
    assert_eq!(post(&plain[at..], "br").await, 415);
    assert_eq!(post(&vec![b' '; 5 << 20], "gzip").await, 413);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_too_slow_or_never_ends_is_refused() {
    let receiver = receiver().with_max_body(1_000).with_body_deadline(Duration::from_millis(50));
    let app =
        Router::new().route("/", handler(receiver, async |_: Arrived| panic!("nothing is to be handled")));
    let address = serve(app).await;
    // A head that is not refused.
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-allison-signature: v1=00\r\n\
                x-allison-timestamp: 1\r\nx-allison-event-id: evt_1\r\n";
    // The first is refused by its declared length without waiting, the second by its actual length.
    assert_eq!(send(address, format!("{head}content-length: 1001\r\n\r\n").as_bytes()).await, 413);
    let chunks = format!("{head}transfer-encoding: chunked\r\n\r\n3e9\r\n{}\r\n", "x".repeat(1001));
    assert_eq!(send(address, chunks.as_bytes()).await, 413);
    assert_eq!(send(address, format!("{head}content-length: 1000\r\n\r\n{{").as_bytes()).await, 408);
    // The framing is invalid, so the receiver waits for no more bytes.
    assert_eq!(
        send(address, format!("{head}transfer-encoding: chunked\r\n\r\nxyz\r\n").as_bytes()).await,
        400
    );
    // The connection ends before the body does. Nobody can be answered, and the next request is served.
    let mut aborted = TcpStream::connect(address).await.unwrap();
    aborted.write_all(format!("{head}content-length: 900\r\n\r\n{{").as_bytes()).await.unwrap();
    drop(aborted);
    assert_eq!(send(address, format!("{head}content-length: 2\r\n\r\n{{}}").as_bytes()).await, 401);
}

#[tokio::test]
async fn a_handler_that_fails_has_the_sender_repeat() {
    let fails = Arc::new(AtomicU32::new(2));
    let left = Arc::clone(&fails);
    let receiver = receiver().with_inbox(MemoryStore::new());
    let app = Router::new().route(
        "/",
        handler(receiver, move |_: Arrived| {
            let left = Arc::clone(&left);
            async move {
                match left.fetch_sub(1, Ordering::SeqCst) {
                    2 => Err("the disk is full".into()),
                    1 => panic!("a bug of the handler's"),
                    _ => Ok(()),
                }
            }
        }),
    );
    let address = serve(app).await;
    let request = signed("evt_1", &secret(), "/");
    let answers =
        [send(address, &request).await, send(address, &request).await, send(address, &request).await];
    assert_eq!(answers, [503, 503, 200]);
}

#[tokio::test]
async fn a_handler_comes_to_its_end_though_the_sender_has_hung_up() {
    let shared = |handler| Senders::new().with_handler(receiver().with_inbox(MemoryStore::new()), handler);
    let alone = |by| handler(receiver().with_inbox(MemoryStore::new()), by);
    for is_shared in [false, true] {
        let (begins, mut begun) = mpsc::unbounded_channel();
        let (hangs_up, mut hung_up) = mpsc::unbounded_channel();
        let (ends, mut is_over) = mpsc::unbounded_channel();
        let (may_end, ended) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let (waits, counts) = (Arc::clone(&may_end), Arc::clone(&ended));
        let handler = move |event: Arrived| {
            let (begins, waits, counts) = (begins.clone(), Arc::clone(&waits), Arc::clone(&counts));
            let over = Told(ends.clone());
            Box::pin(async move {
                let _over = over;
                begins.send(event?.id).unwrap();
                waits.notified().await;
                counts.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }) as Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>
        };
        let route = if is_shared { senders(shared(handler)) } else { alone(handler) };
        // Reports that the server has dropped the connection's task.
        let app = Router::new().route("/", route).layer(middleware::from_fn(
            move |request: Request, next: Next| {
                let ending = Told(hangs_up.clone());
                async move {
                    let answer = next.run(request).await;
                    drop(ending);
                    answer
                }
            },
        ));
        let address = serve(app).await;
        let request = signed("evt_1", &secret(), "/");
        let mut sender = TcpStream::connect(address).await.unwrap();
        sender.write_all(&request).await.unwrap();
        begun.recv().await.unwrap();
        drop(sender);
        hung_up.recv().await.unwrap();
        assert_eq!(send(address, &request).await, 503, "it is being handled");
        may_end.notify_one();
        is_over.recv().await.unwrap();
        assert_eq!(ended.load(Ordering::SeqCst), 1, "it was dropped in the middle");
        // The commit comes next.
        while send(address, &request).await == 503 {}
        assert_eq!(send(address, &request).await, 200);
        assert_eq!(ended.load(Ordering::SeqCst), 1, "handled once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_is_dropped_a_lease_after_the_sender_has_hung_up() {
    let (drops, mut dropped) = mpsc::unbounded_channel();
    let (begins, mut begun) = mpsc::unbounded_channel();
    let receiver = receiver().with_handling_lease(Duration::from_secs(40));
    let mut app: Router = Router::new().route(
        "/",
        handler(receiver, move |_: Arrived| {
            let told = Told(drops.clone());
            begins.send(()).unwrap();
            async move {
                let _told = told;
                std::future::pending().await
            }
        }),
    );
    let samples = Samples::new(Contract::allison(), &secret()).unwrap();
    let id = "evt_1".parse().unwrap();
    let request = samples.request("call.ended", &id, OffsetDateTime::now_utc()).unwrap();
    let serving = tokio::spawn(app.call(request.map(Body::from)));
    begun.recv().await.unwrap();
    let hung_up = tokio::time::Instant::now();
    serving.abort();
    dropped.recv().await.unwrap();
    assert_eq!(hung_up.elapsed().as_secs(), 40);
}

/// Sends a message when it is dropped.
struct Told(mpsc::UnboundedSender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn each_type_has_a_closure_of_its_own() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (calls, contacts, others) = (Arc::clone(&seen), Arc::clone(&seen), Arc::clone(&seen));
    let handlers = Handlers::new()
        .with(move |call: Envelope<allison::CallEnded>| {
            calls.lock().unwrap().push(format!("call {}", call.data.call_id));
            std::future::ready(Ok(()))
        })
        .with(move |contact: Envelope<allison::ContactCreated>| {
            contacts.lock().unwrap().push(format!("contact {}", contact.data.contact_id));
            std::future::ready(Ok(()))
        })
        .with_fallback(move |other| {
            others.lock().unwrap().push(format!("other {}", other.data.event_type()));
            std::future::ready(Ok(()))
        });
    let app = Router::new().route(
        "/",
        handler(receiver(), move |event| {
            let handlers = handlers.clone();
            async move { handlers.handle(event).await }
        }),
    );
    let address = serve(app).await;
    for (kind, data) in [
        ("call.ended", r#"{"call_id":"c"}"#),
        ("contact.created", r#"{"contact_id":"p"}"#),
        ("call_order.status_changed", "{}"),
    ] {
        let body = format!(
            r#"{{"id":"evt_1","type":"{kind}","created_at":"2026-04-17T12:00:00.000Z","api_version":"v1","data":{data}}}"#
        );
        assert_eq!(send(address, &signed_body("evt_1", body.as_bytes(), &secret(), "/")).await, 200);
    }
    assert_eq!(*seen.lock().unwrap(), ["call c", "contact p", "other call_order.status_changed"]);
}

#[tokio::test]
async fn a_request_that_is_kept_is_answered_before_its_handler_is_done() {
    let receiver = Arc::new(receiver().with_intake(Arc::new(MemoryStore::new())));
    let address = serve(Router::new().route("/", store_first(Arc::clone(&receiver)))).await;
    let (begun, is_begun) = tokio::sync::oneshot::channel();
    let begun = Mutex::new(Some(begun));
    let worker = receiver.worker(move |event: Arrived| {
        let begun = begun.lock().unwrap().take().expect("one call");
        async move {
            begun.send(event?.id).unwrap();
            std::future::pending().await
        }
    });
    tokio::spawn(async move { worker.run(std::future::pending()).await });
    let request = signed("evt_1", &secret(), "/");
    assert_eq!(send(address, &request).await, 200);
    assert_eq!(is_begun.await.unwrap().as_str(), "evt_1");
    assert_eq!(send(address, &request).await, 200, "a copy, while it is handled");
    assert_eq!(send(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await, 405);
    let forged = String::from_utf8(request).unwrap().replace("call.ended", "call.Ended");
    assert_eq!(send(address, forged.as_bytes()).await, 401);
}

struct Tenants;

impl SecretSource for Tenants {
    async fn secrets(&self, tenant: &str) -> Result<Vec<Secret>, Failure> {
        Ok(if tenant == "acme" { vec![secret()] } else { Vec::new() })
    }
}

#[tokio::test]
async fn the_tenant_is_in_the_path_and_the_peer_is_the_connections() {
    let receiver = Receiver::by_tenant(Contract::allison(), Tenants)
        .unwrap()
        .with_guard(NetworkGuard::new(["127.0.0.1"]).unwrap());
    let app = Router::new()
        .route("/hooks/{tenant}", handler(receiver, async |event: Arrived| Ok(event.map(drop)?)));
    let address = serve(app.clone()).await;
    assert_eq!(send(address, &signed("evt_1", &secret(), "/hooks/acme")).await, 200);
    assert_eq!(send(address, &signed("evt_1", &secret(), "/hooks/other")).await, 401);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let without_peers = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let refused = send(without_peers, &signed("evt_1", &secret(), "/hooks/acme")).await;
    assert_eq!(refused, 401, "from nobody knows where");
}

#[tokio::test]
async fn a_guard_sees_the_whole_path_inside_a_nested_router() {
    let path = format!("/hooks/{}", "Zk3v9QpX7rT2mB8wLc5nH1yD");
    let token = path.rsplit('/').next().unwrap().parse().unwrap();
    let receiver = receiver().with_guard(PathGuard::new(&token).unwrap());
    let inner = Router::new().route("/", handler(receiver, async |event: Arrived| Ok(event.map(drop)?)));
    let address = serve(Router::new().nest(&path, inner)).await;
    assert_eq!(send(address, &signed("evt_1", &secret(), &path)).await, 200);
}

fn receiver() -> Receiver {
    Receiver::signed(Contract::allison(), &secret()).unwrap()
}

fn secret() -> Secret {
    Secret::from_random([7; 32])
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    address
}

/// The bytes of a request on the wire, signed now.
fn signed(id: &str, secret: &Secret, path: &str) -> Vec<u8> {
    let envelope =
        Envelope::from_parts(id.parse().unwrap(), OffsetDateTime::now_utc(), allison::CallEnded::new("c"));
    signed_body(id, &Contract::allison().encode(&envelope).unwrap(), secret, path)
}

fn signed_body(id: &str, body: &[u8], secret: &Secret, path: &str) -> Vec<u8> {
    let signer = Contract::allison().signer(secret).unwrap();
    let headers = signer.sign(id, OffsetDateTime::now_utc(), body).unwrap();
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    for (name, value) in &headers {
        request += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    request += &format!("content-length: {}\r\n\r\n", body.len());
    [request.as_bytes(), body].concat()
}

/// Sends bytes on a new connection and returns the status of the answer.
async fn send(address: SocketAddr, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

//! Receiving through services of tower, over real HTTP: hyper calls them, and axum.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use hookwire::provider::Provider;
use hookwire::receive::tower::{ProofLayer, Tenant, handler, senders, store_first};
use hookwire::receive::{NetworkGuard, Receiver, SecretSource, Senders};
use hookwire::testing::Samples;
use hookwire::{
    Contract, DataError, Envelope, Intake as _, MemoryStore, RawEvent, Secret, Verified, allison,
};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower_layer::Layer as _;
use tower_service::Service;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Arrived = Result<Envelope<allison::Event>, Box<DataError>>;

#[tokio::test]
async fn a_service_handles_an_event_once_and_refuses_what_is_forged_long_or_no_post() {
    let handled = Arc::new(AtomicU32::new(0));
    let counts = Arc::clone(&handled);
    let receiver = receiver().with_inbox(MemoryStore::new()).with_max_body(2_000);
    let service = handler(receiver, move |event: Arrived| {
        let counts = Arc::clone(&counts);
        async move {
            assert_eq!(event?.event_type(), "call.ended");
            counts.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    });
    for address in [serve(service.clone()).await, on_axum(service).await] {
        handled.store(0, Ordering::SeqCst);
        let request = signed(&format!("evt_{}", address.port()));
        for _ in 0..2 {
            let answer = send(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        assert_eq!(handled.load(Ordering::SeqCst), 1);
        let forged = String::from_utf8(request.clone()).unwrap().replace("call.ended", "call.Ended");
        assert!(send(address, forged.as_bytes()).await.starts_with("HTTP/1.1 401"));
        let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2001\r\n\r\n";
        let long = send(address, head.as_bytes()).await;
        // Its body was not read, so the connection carries no other request.
        assert!(long.starts_with("HTTP/1.1 413") && long.contains("connection: close"), "{long}");
        let get = send(address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(get.starts_with("HTTP/1.1 405") && get.contains("allow: POST"), "{get}");
    }
}

#[tokio::test]
async fn a_service_answers_challenges_stores_first_and_serves_several_senders() {
    let dropbox = Receiver::of(Provider::by_name("dropbox").unwrap(), secret()).unwrap();
    let service = handler(dropbox, async |_: Result<Envelope<RawEvent>, Box<DataError>>| Ok(()));
    let answer = send(serve(service).await, b"GET /?challenge=abc HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nabc"), "{answer}");

    let store = Arc::new(MemoryStore::new());
    let address = serve(store_first(receiver().with_intake(Arc::clone(&store)))).await;
    assert!(send(address, &signed("evt_1")).await.starts_with("HTTP/1.1 200"));
    let now = OffsetDateTime::now_utc();
    assert_eq!(store.waiting("allison", 10, now).await.unwrap().count, 1);

    let shared = Senders::new().with_handler(receiver(), async |event: Arrived| Ok(event.map(drop)?));
    let address = serve(senders(shared)).await;
    assert!(send(address, &signed("evt_1")).await.starts_with("HTTP/1.1 200"));
    assert!(send(address, b"POST / HTTP/1.1\r\nhost: x\r\n\r\n").await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn a_layer_passes_proven_requests_on_with_their_bodies_and_answers_the_others() {
    let inner = tower_fn(async |request: Request<Full<Bytes>>| {
        let verified = request.extensions().get::<Verified<'static>>().expect("it is proven").clone();
        let read: Envelope<allison::Event> = Contract::allison().decode(&verified).unwrap();
        assert_eq!(request.body().size_hint().exact(), Some(verified.body().len() as u64));
        Response::builder().status(202).body(Full::new(Bytes::from(read.id.to_string()))).unwrap()
    });
    let address = serve(ProofLayer::new(receiver()).layer(inner)).await;
    let answer = send(address, &signed("evt_1")).await;
    assert!(answer.starts_with("HTTP/1.1 202") && answer.ends_with("\r\n\r\nevt_1"), "{answer}");
    let forged = String::from_utf8(signed("evt_1")).unwrap().replace("call.ended", "call.Ended");
    let answer = send(address, forged.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate"), "{answer}");
}

#[tokio::test]
async fn peer_and_tenant_come_from_the_requests_extensions() {
    struct Acme;

    impl SecretSource for Acme {
        async fn secrets(&self, tenant: &str) -> Result<Vec<Secret>, Failure> {
            Ok(if tenant == "acme" { vec![secret()] } else { Vec::new() })
        }
    }

    let guard = NetworkGuard::new(["203.0.113.0/24"]).unwrap();
    let receiver = Receiver::by_tenant(Contract::allison(), Acme).unwrap().with_guard(guard);
    let service = handler(receiver, async |event: Arrived| Ok(event.map(drop)?));
    let status = async |peer: &str, tenant: Option<&str>| {
        let sample = sample("evt_1");
        let mut request = sample.map(Full::new);
        request.extensions_mut().insert(peer.parse::<SocketAddr>().unwrap());
        if let Some(tenant) = tenant {
            request.extensions_mut().insert(Tenant(tenant.to_owned()));
        }
        service.clone().call(request).await.unwrap().status().as_u16()
    };
    assert_eq!(status("203.0.113.9:1", Some("acme")).await, 200);
    assert_eq!(status("203.0.113.9:1", Some("other")).await, 401);
    assert_eq!(status("203.0.113.9:1", None).await, 401);
    assert_eq!(status("198.51.100.1:1", Some("acme")).await, 401);
}

/// Serves a service with hyper alone.
async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Future: Send> + Clone + Send + 'static,
    S::Error: Into<Failure>,
    B: Body<Data: Send, Error: Into<Failure>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone();
            let service = service_fn(move |request| service.clone().call(request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Serves a service as a route of axum.
async fn on_axum(service: hookwire::receive::tower::EventService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route_service("/", service);
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[derive(Clone)]
struct TowerFn<F>(F);

fn tower_fn<F, R>(answer: F) -> TowerFn<F>
where
    F: Fn(Request<Full<Bytes>>) -> R,
    R: Future<Output = Response<Full<Bytes>>>,
{
    TowerFn(answer)
}

impl<F, R> Service<Request<Full<Bytes>>> for TowerFn<F>
where
    F: Fn(Request<Full<Bytes>>) -> R,
    R: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

fn sample(id: &str) -> Request<Bytes> {
    let samples = Samples::new(Contract::allison(), &secret()).unwrap();
    let now = OffsetDateTime::now_utc();
    let envelope = Envelope::from_parts(id.parse().unwrap(), now, allison::CallEnded::new("c1"));
    samples.request_of(&envelope, now).unwrap()
}

/// A signed request as bytes on the wire.
fn signed(id: &str) -> Vec<u8> {
    let (head, body) = sample(id).into_parts();
    let mut wire = b"POST / HTTP/1.1\r\nhost: x\r\n".to_vec();
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != "content-length") {
        wire.extend_from_slice(format!("{name}: {}\r\n", value.to_str().unwrap()).as_bytes());
    }
    wire.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    wire.extend_from_slice(&body);
    wire
}

/// Sends bytes on a connection of their own, and returns the answer.
async fn send(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn receiver() -> Receiver {
    Receiver::signed(Contract::allison(), &secret()).unwrap()
}

fn secret() -> Secret {
    Secret::from_random([7; 32])
}

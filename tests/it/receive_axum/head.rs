//! Requests that are refused by their head: their bodies are never read.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::post;
use bytes::Bytes;
use hookwire::receive::axum::{Incoming, handler, senders, store_first};
use hookwire::receive::{Answer, Arrival, HeaderGuard, PathGuard, Receiver, Senders};
use hookwire::testing::Samples;
use hookwire::{Contract, MemoryStore, Secret, allison};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Frame;
use time::OffsetDateTime;
use tower_service::Service as _;

use crate::received::{handled, received};

use super::{Arrived, Tenants, receiver, secret};

#[tokio::test]
async fn a_request_that_its_head_refuses_is_answered_without_a_look_at_its_body() {
    let token: Secret = "Zk3v9QpX7rT2mB8wLc5nH1yD".parse().unwrap();
    let by_path = || Receiver::guarded(Contract::nectar_desk(), PathGuard::new(&token).unwrap());
    let by_bearer = || Receiver::guarded(Contract::allo_v1(), HeaderGuard::bearer(&token));
    let handle = async |_: Arrived| panic!("nothing is to be handled");
    async fn extracted(_: Incoming<allison::Event>) -> Answer {
        panic!("nothing is to be handled")
    }
    let several = || {
        Senders::new()
            .with_handler(receiver(), handle)
            .with_handler(by_path(), handle)
            .with_handler(by_bearer(), handle)
    };
    let tenants = Receiver::by_tenant(Contract::allison(), Tenants).unwrap();
    let mut app = Router::new()
        .route("/signed", handler(receiver(), handle))
        .route("/guarded/{token}", handler(by_path(), handle))
        .route("/bearer", handler(by_bearer(), handle))
        .route("/kept", store_first(receiver().with_intake(MemoryStore::new())))
        .route("/several", senders(several()))
        .route("/tenant", handler(Arc::new(tenants), handle))
        .merge(Router::new().route("/extracted", post(extracted)).with_state(Arc::new(receiver())));
    for path in [
        "/signed",
        "/guarded/Zk3v9QpX7rT2mB8wLc5nH1yE",
        "/bearer",
        "/kept",
        "/several",
        "/tenant",
        "/extracted",
    ] {
        let request = Request::post(path).header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::new(Untouched)).unwrap();
        assert_eq!(app.call(request).await.unwrap().status(), 401, "{path}");
    }
    let doubled = Request::post("/signed")
        .header("x-allison-signature", "v1=00")
        .header("x-allison-signature", "v1=00")
        .body(Body::new(Untouched))
        .unwrap();
    assert_eq!(app.call(doubled).await.unwrap().status(), 401);
}

/// A body that panics if it is read.
struct Untouched;

impl http_body::Body for Untouched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was read")
    }
}

#[tokio::test]
async fn a_guard_is_asked_once_for_a_request_that_it_admits() {
    let asked = Arc::new(AtomicU32::new(0));
    let guarded = || {
        let asked = Arc::clone(&asked);
        receiver().with_guard(HeaderGuard::bearer_checked(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            true
        }))
    };
    let handle = async |event: Arrived| Ok(event.map(drop)?);
    async fn extracted(incoming: Incoming<allison::Event>) -> Answer {
        incoming.receipt.commit(OffsetDateTime::now_utc()).await.unwrap();
        Answer::OK
    }
    let mut app = Router::new()
        .route("/hook", handler(guarded(), handle))
        .route("/kept", store_first(guarded().with_intake(MemoryStore::new())))
        .route("/several", senders(Senders::new().with_handler(guarded(), handle)))
        .merge(Router::new().route("/extracted", post(extracted)).with_state(Arc::new(guarded())));
    let samples = Samples::new(Contract::allison(), &secret())
        .unwrap()
        .with_header(AUTHORIZATION, HeaderValue::from_static("Bearer x"));
    let request = |path: &str| {
        let samples = samples.clone().with_uri(path.parse().unwrap());
        samples.request("call.ended", &"evt_1".parse().unwrap(), OffsetDateTime::now_utc()).unwrap()
    };
    for path in ["/hook", "/kept", "/several", "/extracted"] {
        assert_eq!(app.call(request(path).map(Body::from)).await.unwrap().status(), 200, "{path}");
        assert_eq!(asked.swap(0, Ordering::SeqCst), 1, "{path}");
    }
    let (receiver, request) = (guarded(), request("/"));
    let arrival = Arrival::post(request.headers());
    let now = OffsetDateTime::now_utc();
    handled(&receiver, arrival, request.body(), now, handle).await.unwrap();
    received::<allison::Event, _>(&receiver, Arrival::post(request.headers()), request.body(), now)
        .await
        .map(drop)
        .unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn whoever_reads_the_body_can_have_the_head_judged_first() {
    let guard = HeaderGuard::bearer(&"a-long-random-token".parse().unwrap());
    let receiver = receiver().with_guard(guard).with_max_body(1_000);
    let (mut headers, now) = (HeaderMap::new(), OffsetDateTime::now_utc());
    let status = |method, headers: &HeaderMap| {
        receiver.admit(Arrival::new(&method, headers), now).err().map(|rejection| rejection.status())
    };
    assert_eq!(status(Method::GET, &headers), Some(StatusCode::METHOD_NOT_ALLOWED));
    assert_eq!(status(Method::POST, &headers), Some(StatusCode::UNAUTHORIZED), "no token");
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a-long-random-token"));
    assert_eq!(status(Method::POST, &headers), Some(StatusCode::UNAUTHORIZED), "no signature");
    let signer = Contract::allison().signer(&secret()).unwrap();
    headers.extend(signer.sign("evt_1", now, b"").unwrap());
    assert_eq!(status(Method::POST, &headers), None);
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("1001"));
    assert_eq!(status(Method::POST, &headers), Some(StatusCode::PAYLOAD_TOO_LARGE));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    assert_eq!(status(Method::POST, &headers), Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    let retired = receiver.with_retirement();
    let retired = retired.admit(Arrival::post(&headers), now).unwrap_err();
    assert_eq!(retired.status(), StatusCode::GONE);
}

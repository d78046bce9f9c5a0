//! The answers of every HTTP client, and their forwarding through handles.

use std::error::Error;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hookwire::outcome::Timings;
use hookwire::{AddressPolicy, ErrorClass, Exchange, HttpClient, Limits, Outcome, TransportError};
use http::{Request, Response, StatusCode};

#[test]
fn references_and_arcs_forward_to_the_client() {
    let client = Arc::new(Echo);
    for exchange in [now(send(Echo)), now(send(&Echo)), now(send(Arc::clone(&client))), now(send(&client))] {
        assert_eq!(exchange.unwrap().response.body(), "ping");
    }
}

#[test]
fn limits_are_strict_unless_told_otherwise() {
    let limits = Limits::new(Duration::from_secs(10));
    assert_eq!(limits.addresses, AddressPolicy::new());
    assert_eq!((limits.deadline, limits.body_cap), (Duration::from_secs(10), 16 * 1024));
    let lax = limits.with_body_cap(7).with_addresses(AddressPolicy::new().allow_loopback());
    assert_eq!((lax.body_cap, lax.addresses), (7, AddressPolicy::new().allow_loopback()));
}

#[test]
fn an_exchange_is_an_answer_whatever_its_status() {
    let mut response = Response::new(Bytes::from_static(b"a-secret-token"));
    *response.status_mut() = StatusCode::FOUND;
    let exchange =
        Exchange::new(response).with_truncated(true).with_timings(Timings::new(Duration::from_millis(5)));
    assert_eq!(exchange.outcome(), Outcome::answered(StatusCode::FOUND));
    assert_eq!(exchange.timings.total, Duration::from_millis(5));
    let debug = format!("{exchange:?}");
    assert!(debug.contains("302") && !debug.contains("a-secret-token"), "{debug}");
}

#[test]
fn a_transport_error_keeps_class_cause_and_timings() {
    let error = TransportError::new(ErrorClass::Reset, "connection was closed")
        .with_source("broken pipe")
        .with_timings(Timings::new(Duration::from_secs(1)));
    assert_eq!(error.class(), ErrorClass::Reset);
    assert_eq!(error.outcome(), Outcome::Failed(ErrorClass::Reset));
    assert_eq!(error.source().unwrap().to_string(), "broken pipe");
    assert_eq!(error.timings().total, Duration::from_secs(1));
    assert!(error.maybe_sent(), "without better knowledge");
    assert!(!error.with_maybe_sent(false).maybe_sent());
}

struct Echo;

impl HttpClient for Echo {
    async fn send(&self, request: Request<Bytes>, _: &Limits) -> Result<Exchange, TransportError> {
        Ok(Exchange::new(Response::new(request.into_body())))
    }
}

async fn send(client: impl HttpClient) -> Result<Exchange, TransportError> {
    client.send(Request::new(Bytes::from_static(b"ping")), &Limits::new(Duration::from_secs(1))).await
}

/// Polls once: no future here ever waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is not ready at once"),
    }
}

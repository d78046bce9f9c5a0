//! Spans and numbers of receivers and workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hookwire::provider::Provider;
use hookwire::receive::tower::ProofLayer;
use hookwire::receive::{Arrival, Receiver, Worker};
use hookwire::{Contract, MemoryStore};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::Full;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use time::OffsetDateTime;
use tower_layer::Layer as _;
use tower_service::Service as _;

use super::{Arrived, Failure, NOON, Request, receiver, secret};
use crate::log_lines::logged;
use crate::received::{handled, stored};
use crate::telemetry::ALONE;

#[test]
fn requests_are_counted_by_provider_outcome_and_reason() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let receiver = receiver().with_inbox(Arc::new(MemoryStore::new()));
            let request = Request::new("evt_1");
            let fine = async |event: Arrived| event.map(drop);
            let arrival = Arrival::post(&request.headers);
            // New, then a duplicate.
            for _ in 0..2 {
                handled(&receiver, arrival, &request.body, NOON, fine).await.unwrap();
            }
            // Refused by its head, by its signature, and by the handler; and handled too late.
            let headers = HeaderMap::new();
            for arrival in [Arrival::new(&Method::PUT, &headers), Arrival::post(&headers)] {
                receiver.refuse(&receiver.admit(arrival, NOON).map(drop).unwrap_err());
            }
            for body in [&b"forged"[..], &request.body] {
                let other = Request::new("evt_2");
                let body = if body == b"forged" { body } else { &other.body };
                let fails = async |_: Arrived| Err::<(), Failure>("away".into());
                let rejection =
                    handled(&receiver, Arrival::post(&other.headers), body, NOON, fails).await.unwrap_err();
                receiver.refuse(&rejection);
            }
            // A challenge is neither an event nor refused.
            let dropbox = Receiver::of(Provider::by_name("dropbox").unwrap(), secret(0)).unwrap();
            let challenge = Arrival::new(&Method::GET, &headers).with_query("challenge=abc");
            dropbox.refuse(&dropbox.admit(challenge, NOON).map(drop).unwrap_err());
        });
    });
    let numbers = numbers(&snapshotter);
    let increased: Vec<_> = numbers
        .iter()
        .filter(|(_, value)| **value > 0.0)
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let expected = [
        ("hookwire_duplicates_total provider=allison", 1.0),
        ("hookwire_handler_duration_seconds provider=allison", 2.0),
        ("hookwire_requests_total provider=allison,outcome=accepted,reason=none", 2.0),
        ("hookwire_requests_total provider=allison,outcome=failed,reason=handler", 1.0),
        ("hookwire_requests_total provider=allison,outcome=refused,reason=method", 1.0),
        ("hookwire_requests_total provider=allison,outcome=refused,reason=missing_header", 1.0),
        ("hookwire_requests_total provider=allison,outcome=refused,reason=signature", 1.0),
        ("hookwire_requests_total provider=dropbox,outcome=challenge,reason=none", 1.0),
    ];
    assert_eq!(increased, expected);
    // Every counter was there before the first request, so that an alert sees it increase.
    assert!(numbers.contains_key("hookwire_overruns_total provider=allison"));
    assert!(numbers.contains_key("hookwire_undecodable_events_total provider=allison"));
    assert_eq!(numbers.keys().filter(|name| name.contains("provider=allison,outcome")).count(), 30);
}

#[test]
fn a_worker_reports_its_backlog_and_the_requests_that_it_gives_up() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let store = Arc::new(MemoryStore::new());
            let receiver = receiver().with_intake(Arc::clone(&store));
            for id in ["evt_1", "evt_2"] {
                let request = Request::new(id);
                stored(&receiver, Arrival::post(&request.headers), &request.body, NOON).await.unwrap();
                stored(&receiver, Arrival::post(&request.headers), &request.body, NOON).await.unwrap();
            }
            let hour = std::time::Duration::from_secs(3_600);
            let later = hookwire::RetryPolicy::delays([hour]).unwrap();
            let failing =
                receiver.worker(async |_: Arrived| Err::<(), Failure>("away".into())).with_retry(later);
            assert_eq!(failing.step(NOON).await.unwrap().retried, 2);
            // Both wait for their next attempts when another worker begins.
            let clock = hookwire::testing::ManualClock::new(NOON + std::time::Duration::from_secs(30));
            let idle = Worker::new(Contract::allison(), Arc::clone(&store), async |event: Arrived| {
                Ok(event.map(drop)?)
            });
            let seen = async {
                loop {
                    // A snapshot takes the values away.
                    let numbers = numbers(&snapshotter);
                    if numbers.get("hookwire_stored_requests queue=allison") == Some(&2.0) {
                        return numbers["hookwire_oldest_stored_request_seconds queue=allison"];
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            };
            let age = Mutex::new(0.0);
            idle.with_clock(clock).run(async { *age.lock().unwrap() = seen.await }).await;
            assert_eq!(age.into_inner().unwrap(), 30.0);
        });
    });
}

#[test]
fn requests_that_a_layer_proves_are_counted_too() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let inner = axum::Router::new().fallback(async || "handled");
            let mut service = ProofLayer::new(receiver()).layer(inner);
            let now = OffsetDateTime::now_utc();
            let body = Bytes::from_static(b"{}");
            let headers = Contract::allison().signer(&secret(0)).unwrap().sign("evt_1", now, &body).unwrap();
            for headers in [headers, HeaderMap::new()] {
                let mut request = http::Request::post("/").body(Full::new(body.clone())).unwrap();
                *request.headers_mut() = headers;
                service.call(request).await.unwrap();
            }
        });
    });
    let numbers = numbers(&snapshotter);
    let requests = |outcome: &str| {
        let of_outcome = numbers.iter().filter(|(name, _)| {
            name.starts_with("hookwire_requests_total") && name.contains(&format!("outcome={outcome}"))
        });
        of_outcome.map(|(_, value)| value).sum::<f64>()
    };
    assert_eq!((requests("accepted"), requests("refused")), (1.0, 1.0));
}

#[test]
fn an_attempt_that_fails_and_one_that_is_given_up_are_counted() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let receiver = receiver().with_intake(Arc::new(MemoryStore::new()));
            let request = Request::new("evt_1");
            stored(&receiver, Arrival::post(&request.headers), &request.body, NOON).await.unwrap();
            let second = std::time::Duration::from_secs(1);
            let twice = hookwire::RetryPolicy::delays([second]).unwrap();
            let failing =
                receiver.worker(async |_: Arrived| Err::<(), Failure>("away".into())).with_retry(twice);
            assert_eq!(failing.step(NOON).await.unwrap().retried, 1);
            assert_eq!(failing.step(NOON + 2 * second).await.unwrap().given_up, 1);
        });
    });
    let numbers = numbers(&snapshotter);
    assert_eq!(numbers["hookwire_stored_request_failures_total queue=allison"], 1.0);
    assert_eq!(numbers["hookwire_stored_requests_given_up_total queue=allison"], 1.0);
    assert_eq!(numbers["hookwire_handler_duration_seconds queue=allison"], 2.0);
}

#[test]
fn the_span_of_an_event_continues_the_senders_trace_and_shows_no_payload() {
    let ((), text) = logged(tracing::Level::DEBUG, || block_on(one_traced_one_odd_one_forged()));
    let spoken: Vec<_> = text.lines().filter(|line| line.contains("handler speaks")).collect();
    assert_eq!(spoken.len(), 2, "{text}");
    for part in [
        "event{provider=allison event=evt_1 type=\"call.ended\"",
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
        "parent_id=00f067aa0ba902b7",
    ] {
        assert!(spoken[0].contains(part), "{part} is not in {}", spoken[0]);
    }
    assert!(!spoken[1].contains("trace_id"), "{}", spoken[1]);
    assert!(text.contains("request refused") && text.contains("reason=\"signature\""), "{text}");
    assert!(!text.contains("MARKER"), "{text}");
}

async fn one_traced_one_odd_one_forged() {
    let receiver = receiver();
    let mut request = Request::new("evt_1");
    let speaks = async |_: Arrived| {
        tracing::info!("handler speaks");
        Ok::<(), Failure>(())
    };
    // A header that anybody may write is read by its grammar, or not at all.
    for trace in ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-MARKER-00-01"] {
        request.headers.insert("traceparent", HeaderValue::from_static(trace));
        handled(&receiver, Arrival::post(&request.headers), &request.body, NOON, speaks).await.unwrap();
    }
    let forged = handled(&receiver, Arrival::post(&request.headers), b"MARKER", NOON, speaks).await;
    receiver.refuse(&forged.unwrap_err());
}

fn numbers(snapshotter: &Snapshotter) -> BTreeMap<String, f64> {
    let mut numbers = BTreeMap::new();
    for (key, _, description, value) in snapshotter.snapshot().into_vec() {
        let (name, labels) = key.key().clone().into_parts();
        // A single step of a worker has no start that describes its numbers.
        if let Some(text) = description {
            assert!(text.ends_with('.'), "{}: {text}", name.as_str());
        }
        let labels: Vec<_> =
            labels.iter().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Histogram(values) => values.len() as f64,
            DebugValue::Gauge(value) => value.into_inner(),
        };
        numbers.insert(format!("{} {}", name.as_str(), labels.join(",")), value);
    }
    numbers
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

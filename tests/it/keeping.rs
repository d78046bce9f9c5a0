//! Store first, handle later: stored requests, their answers, and the worker that handles them.

mod away;
mod keep;
mod lease;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
mod sql;
mod worker;

use std::error::Error as StdError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::receive::Receiver;
use hookwire::{Contract, DataError, Envelope, MemoryStore, RawEvent, Secret, allison};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;
use time::macros::datetime;

type Failure = Box<dyn StdError + Send + Sync>;
type Arrived = Result<Envelope<allison::Event>, Box<DataError>>;

/// A receiver with the tests' secret that stores requests in `intake`.
fn receiver<I: hookwire::Intake>(intake: I) -> Receiver<I> {
    Receiver::signed(Contract::allison(), &secret()).unwrap().with_intake(intake)
}

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new())
}

/// A signed request.
struct Request {
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A `call.ended` event, signed at `at`.
fn call(id: &str, at: OffsetDateTime) -> Request {
    let envelope = Envelope::from_parts(id.parse().unwrap(), at, allison::CallEnded::new(id));
    signed(id, at, Contract::allison().encode(&envelope).unwrap().to_vec())
}

/// An event of this type. Its data need not fit the type.
fn event(id: &str, event_type: &str, data: serde_json::Value, at: OffsetDateTime) -> Request {
    let raw = RawEvent::new(event_type, data).unwrap();
    let envelope = Envelope::from_parts(id.parse().unwrap(), at, raw);
    signed(id, at, Contract::allison().encode(&envelope).unwrap().to_vec())
}

fn signed(id: &str, at: OffsetDateTime, body: Vec<u8>) -> Request {
    let mut headers = Contract::allison().signer(&secret()).unwrap().sign(id, at, &body).unwrap();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Request { headers, body }
}

/// The events of a test, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn secret() -> Secret {
    Secret::from_random([7; 32])
}

const SECOND: Duration = Duration::from_secs(1);
const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);

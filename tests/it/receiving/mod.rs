//! The receiver around its events: admission, guards, tenants, answers, the handler's transaction.

mod admission;
mod copies;
mod guards;
mod leases;
mod panics;
mod robust;
mod states;
mod telemetry;
mod tenants;

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookwire::receive::{Answer, Arrival, Received, Receiver, Rejection};
use hookwire::{Contract, DataError, Envelope, EventId, Inbox, Secret, allison, nectar_desk};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::received::{handled, received};

type Failure = Box<dyn StdError + Send + Sync>;
type Arrived = Result<Envelope<allison::Event>, Box<DataError>>;

// Answers.

#[test]
fn the_longest_wait_that_there_is_can_be_asked_for() {
    let answer = Answer::new(StatusCode::TOO_MANY_REQUESTS).with_retry_after(Duration::MAX);
    assert_eq!(answer.into_response().headers()["retry-after"], u64::MAX.to_string());
}

#[tokio::test]
async fn a_retired_endpoint_answers_410_to_everybody() {
    let request = Request::new("evt_1");
    let receiver = receiver().with_retirement();
    for body in [&request.body[..], b"{}"] {
        let rejection = answer(&receiver, &Arrival::post(&request.headers), body).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::GONE);
    }
}

#[tokio::test]
async fn only_a_post_of_json_within_the_limit_is_looked_at() {
    let request = Request::new("evt_1");
    let receiver = receiver().with_max_body(request.body.len());
    let status = async |method: Method, content_type: &[&str], body: &[u8]| {
        let mut headers = request.headers.clone();
        headers.remove(CONTENT_TYPE);
        for value in content_type {
            headers.append(CONTENT_TYPE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let handle = async |event: Arrived| event.map(drop);
        let answered = handled(&receiver, Arrival::new(&method, &headers), body, NOON, handle).await;
        answered.unwrap_or_else(|rejection| Answer::from(&rejection)).status.as_u16()
    };
    let body = &request.body[..];
    for fine in [
        &["application/json"][..],
        &["Application/JSON; charset=utf-8"],
        &["application/cloudevents+json"],
        &[],
    ] {
        assert_eq!(status(Method::POST, fine, body).await, 200, "{fine:?}");
    }
    for wrong in [
        &["text/plain"][..],
        &["application/xml"],
        &[""],
        &["application/json", "application/json"],
        &["\u{e9}"],
    ] {
        assert_eq!(status(Method::POST, wrong, body).await, 415, "{wrong:?}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
        assert_eq!(status(method, &["application/json"], body).await, 405);
    }
    let long = [body, b" "].concat();
    assert_eq!(status(Method::POST, &["application/json"], &long).await, 413);
    let not_allowed = Answer::from(&Rejection::Method).into_response();
    assert_eq!(not_allowed.headers()["allow"], "POST");
    assert!(not_allowed.body().is_empty());
}

mod handling {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_fails_or_panics_gets_the_event_again() {
        let receiver = receiver().with_inbox(hookwire::MemoryStore::new());
        let request = Request::new("evt_1");
        let arrival = Arrival::post(&request.headers);
        let fails = async |_: Arrived| Err::<(), Failure>("the disk is full".into());
        let rejection = handled(&receiver, arrival, &request.body, NOON, fails).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(rejection.retry_after().is_some());
        assert_eq!(rejection.source().unwrap().to_string(), "the disk is full");
        let panics = async |_: Arrived| -> Result<(), Failure> { panic!("a bug of the handler's") };
        let rejection = handled(&receiver, arrival, &request.body, NOON, panics).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
        // The handler panics before it returns a future.
        let panics =
            |_: Arrived| -> std::future::Ready<Result<(), Failure>> { panic!("a bug of the handler's") };
        let rejection = handled(&receiver, arrival, &request.body, NOON, panics).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
        let mut count = 0;
        for _ in 0..3 {
            let handle = async |event: Arrived| {
                count += 1;
                event.map(drop)
            };
            let answer = handled(&receiver, arrival, &request.body, NOON, handle).await.unwrap();
            assert_eq!(answer, Answer::OK);
        }
        assert_eq!(count, 1, "once; then it is a duplicate");
    }

    #[tokio::test]
    async fn an_event_is_the_handlers_for_as_long_as_its_lease() {
        let request = Request::new("evt_1");
        for (seconds, receiver) in
            [(60, receiver()), (5, receiver().with_handling_lease(Duration::from_secs(5)))]
        {
            let receiver = receiver.with_inbox(hookwire::MemoryStore::new());
            let at = async |seconds| {
                let now = NOON + Duration::from_secs(seconds);
                received::<allison::Event, _>(&receiver, Arrival::post(&request.headers), &request.body, now)
                    .await
            };
            let Received::Event { receipt: first, .. } = at(0).await.unwrap() else { panic!("it is new") };
            let copy = at(seconds - 1).await.unwrap_err();
            assert!(matches!(copy, Rejection::InFlight), "{copy:?}");
            let second = at(seconds).await.unwrap();
            assert!(!first.commit(NOON + Duration::from_secs(seconds)).await.unwrap(), "it is another's now");
            let Received::Event { receipt: second, .. } = second else { panic!("the lease has ended") };
            assert!(second.commit(NOON + Duration::from_secs(seconds)).await.unwrap());
            assert!(matches!(at(seconds).await.unwrap(), Received::Duplicate { .. }));
        }
    }

    #[tokio::test]
    async fn data_that_does_not_fit_is_the_handlers_to_decide() {
        let receiver = receiver().with_inbox(hookwire::MemoryStore::new()).with_repetition_of_unfit_data();
        let request = Request::of(
            br#"{"id":"evt_9","type":"call.ended","created_at":"2026-04-17T12:00:00.000Z","api_version":"v1","data":{"call_id":[7]}}"#,
            "evt_9",
        );
        let arrival = Arrival::post(&request.headers);
        let passes_on = async |event: Arrived| event.map(drop);
        let rejection = handled(&receiver, arrival, &request.body, NOON, passes_on).await.unwrap_err();
        assert_eq!(
            rejection.status(),
            StatusCode::SERVICE_UNAVAILABLE,
            "to be sent again to a mended program"
        );
        let shelves = async |event: Arrived| {
            assert_eq!(event.unwrap_err().event_type().as_str(), "call.ended");
            Ok::<(), Failure>(())
        };
        let answer = handled(&receiver, arrival, &request.body, NOON, shelves).await.unwrap();
        assert_eq!(answer, Answer::OK);
    }

    #[tokio::test]
    async fn events_are_told_apart_by_the_callers_key_and_tenants_by_their_names() {
        let inbox = Arc::new(hookwire::MemoryStore::new());
        let receiver = Receiver::dangerous_unguarded(Contract::nectar_desk())
            .with_inbox(Arc::clone(&inbox))
            .with_key(|verified| {
                let body: serde_json::Value = serde_json::from_slice(verified.body()).ok()?;
                body["data"]["change"].as_str()?.parse::<EventId>().ok()
            });
        let is_new = async |body: &str| {
            let received = received::<nectar_desk::Event, _>(
                &receiver,
                Arrival::post(&HeaderMap::new()),
                body.as_bytes(),
                NOON,
            )
            .await;
            match received.unwrap() {
                Received::Event { receipt, .. } => receipt.commit(NOON).await.unwrap(),
                _ => false,
            }
        };
        assert!(is_new(r#"{"event":"Call Ended","data":{"change":"c1","seconds":1}}"#).await);
        assert!(!is_new(r#"{"event":"Call Ended","data":{"change":"c1","seconds":2}}"#).await);
        assert!(is_new(r#"{"event":"Call Ended","data":{"change":"c2","seconds":1}}"#).await);
        assert!(is_new(r#"{"event":"Call Ended","data":{"seconds":1}}"#).await, "by its body");
        assert!(!is_new(r#"{"event":"Call Ended","data":{"seconds":1}}"#).await);

        let tenants = tenants::Tenants::default();
        tenants.set("a", &[&secret(1)]);
        tenants.set("b", &[&secret(1)]);
        let receiver = Receiver::by_tenant(Contract::allison(), tenants).unwrap().with_inbox(inbox);
        let request = Request::signed_by("evt_1", &secret(1));
        for tenant in ["a", "b"] {
            let mut count = 0;
            for _ in 0..2 {
                let arrival = Arrival::post(&request.headers).with_tenant(tenant);
                let handle = async |event: Arrived| {
                    count += 1;
                    event.map(drop)
                };
                handled(&receiver, arrival, &request.body, NOON, handle).await.unwrap();
            }
            assert_eq!(count, 1, "{tenant}");
        }
    }
}

// The handler's own transaction.

#[tokio::test]
async fn what_the_handler_wrote_and_that_it_handled_are_one_transaction_in_sqlite() {
    use hookwire::sqlx::{Connection as _, SqliteConnection};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let inbox = hookwire::store::sqlite::SqliteStore::open(&path).await.unwrap();
    let mut application = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    hookwire::sqlx::raw_sql("CREATE TABLE calls (id TEXT)").execute(&mut application).await.unwrap();
    let receiver = receiver().with_inbox(inbox);
    let request = Request::new("evt_1");
    for (commits, rows) in [(false, 0), (true, 1), (true, 1)] {
        let Received::Event { receipt, .. } = event(&receiver, &request).await else {
            assert_eq!((commits, rows), (true, 1), "the third is a duplicate");
            break;
        };
        let mut transaction = application.begin_with("BEGIN IMMEDIATE").await.unwrap();
        hookwire::sqlx::query("INSERT INTO calls VALUES ('c')").execute(&mut *transaction).await.unwrap();
        assert!(receipt.commit_in(&mut transaction, NOON).await.unwrap());
        if commits {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
            // As after a crash, the event is free when its lease ends.
            assert!(matches!(refused(&receiver, &request).await, Rejection::InFlight));
        }
        let count: i64 = hookwire::sqlx::query_scalar("SELECT count(*) FROM calls")
            .fetch_one(&mut application)
            .await
            .unwrap();
        assert_eq!(count, rows);
        if !commits {
            let key = hookwire::store::InboxKey::new("allison", "evt_1".parse().unwrap());
            let later = NOON + Duration::from_secs(60);
            let again = receiver.inbox().reserve(&key, Duration::from_secs(1), later).await.unwrap();
            let hookwire::store::Reservation::New(lease) = again else { panic!("its lease has ended") };
            assert!(receiver.inbox().release(&key, lease).await.unwrap());
        }
    }
    assert!(matches!(event(&receiver, &request).await, Received::Duplicate { .. }));
}

#[tokio::test]
async fn a_commit_after_the_lease_was_lost_tells_the_handler_to_roll_back_in_postgres() {
    use hookwire::sqlx::{Connection as _, PgConnection};
    let prefix = crate::postgres_server::prefix();
    let inbox = hookwire::store::postgres::PostgresStore::builder()
        .with_prefix(&prefix)
        .with_caller_time()
        .connect(crate::postgres_server::url())
        .await
        .unwrap();
    let mut application = PgConnection::connect(crate::postgres_server::url()).await.unwrap();
    let receiver = receiver().with_inbox(inbox);
    let request = Request::new("evt_1");
    let Received::Event { receipt: slow, .. } = event(&receiver, &request).await else { panic!("an event") };
    let key = hookwire::store::InboxKey::new("allison", "evt_1".parse().unwrap());
    let later = NOON + Duration::from_secs(60);
    let taken = receiver.inbox().reserve(&key, Duration::from_secs(60), later).await.unwrap();
    let hookwire::store::Reservation::New(lease) = taken else { panic!("its lease had ended") };

    let mut transaction = application.begin().await.unwrap();
    assert!(!slow.commit_in(&mut transaction, later).await.unwrap());
    transaction.rollback().await.unwrap();
    use hookwire::store::TransactionalInbox as _;
    let mut transaction = application.begin().await.unwrap();
    let week = Duration::from_secs(7 * 86_400);
    assert!(receiver.inbox().commit_in(&mut transaction, &key, lease, week, later).await.unwrap());
    transaction.commit().await.unwrap();
    assert!(matches!(event(&receiver, &request).await, Received::Duplicate { .. }));
}

// Helpers.

struct Request {
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    fn new(id: &str) -> Self {
        Self::signed_by(id, &secret(0))
    }

    fn signed_by(id: &str, secret: &Secret) -> Self {
        let contract = Contract::allison();
        let envelope = Envelope::from_parts(id.parse().unwrap(), NOON, allison::CallEnded::new("c"));
        let body = contract.encode(&envelope).unwrap();
        let headers = contract.signer(secret).unwrap().sign(id, NOON, &body).unwrap();
        Self { headers, body }
    }

    fn of(body: &'static [u8], id: &str) -> Self {
        let headers = Contract::allison().signer(&secret(0)).unwrap().sign(id, NOON, body).unwrap();
        Self { headers, body: Bytes::from_static(body) }
    }
}

fn receiver() -> Receiver {
    Receiver::signed(Contract::allison(), &secret(0)).unwrap()
}

async fn event<'r, I: Inbox>(
    receiver: &'r Receiver<I>,
    request: &Request,
) -> Received<'r, allison::Event, I> {
    received(receiver, Arrival::post(&request.headers), &request.body, NOON).await.unwrap()
}

async fn refused<I: Inbox>(receiver: &Receiver<I>, request: &Request) -> Rejection {
    received::<allison::Event, _>(receiver, Arrival::post(&request.headers), &request.body, NOON)
        .await
        .map(drop)
        .unwrap_err()
}

async fn answer(receiver: &Receiver, arrival: &Arrival<'_>, body: &[u8]) -> Result<Answer, Rejection> {
    answer_at(receiver, arrival, body, NOON).await
}

async fn answer_at(
    receiver: &Receiver,
    arrival: &Arrival<'_>,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<Answer, Rejection> {
    let handle = async |event: Arrived| event.map(drop);
    handled(receiver, *arrival, body, now, handle).await
}

fn secret(number: u8) -> Secret {
    Secret::from_random([number; 32])
}

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

//! Intakes in SQL: rows that cannot be read, and PostgreSQL's own clock.

use bytes::Bytes;
use hookwire::sqlx::sqlite::SqliteConnectOptions;
use hookwire::sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::store::{InboxKey, LeaseRequests, StoreErrorKind, Stored, StoredRequest};
use hookwire::{Intake, RetryPolicy};

use crate::received::stored;

use super::{Arrived, Log, NOW, SECOND, call, receiver};
use crate::postgres_server;

#[tokio::test]
async fn a_row_that_cannot_be_read_is_given_up_and_stops_no_others_in_sqlite() {
    for damage in DAMAGES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hooks.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let damaging = async |damage: String| {
            let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
            connection.execute(AssertSqlSafe(damage)).await.unwrap();
        };
        is_given_up_alone(store, async || damaging(damage.replace("{p}", "hookwire_")).await).await;
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_given_up_and_stops_no_others_in_postgres() {
    for damage in DAMAGES {
        let prefix = postgres_server::prefix();
        let builder = PostgresStore::builder().with_prefix(&prefix).with_caller_time();
        let store = builder.connect(postgres_server::url()).await.unwrap();
        let damaging = async |damage: String| {
            let mut connection = PgConnection::connect(postgres_server::url()).await.unwrap();
            connection.execute(AssertSqlSafe(damage)).await.unwrap();
        };
        is_given_up_alone(store, async || damaging(damage.replace("{p}", &prefix)).await).await;
    }
}

async fn is_given_up_alone<I: Intake + Clone + 'static>(intake: I, damage: impl AsyncFn()) {
    let receiver = receiver(intake);
    for id in ["evt_1", "evt_2", "evt_3"] {
        let request = call(id, NOW);
        let arrival = hookwire::receive::Arrival::post(&request.headers);
        stored(&receiver, arrival, &request.body, NOW).await.unwrap();
    }
    damage().await;
    let (log, told) = (Log::default(), Log::default());
    let (handled, given_up) = (log.clone(), told.clone());
    let worker = receiver
        .worker(move |event: Arrived| {
            handled.add(event.unwrap().id.to_string());
            async { Ok(()) }
        })
        .with_retry(RetryPolicy::none())
        .with_observer(move |incident| given_up.add(incident.to_string()));
    let worked = worker.step(NOW + SECOND).await.unwrap();
    assert_eq!((worked.done, worked.given_up, worked.stale), (2, 1, 0));
    assert_eq!(log.lines(), ["evt_1", "evt_3"]);
    let [line] = &told.lines()[..] else { panic!("one incident: {:?}", told.lines()) };
    assert!(line.contains("evt_2") && line.contains("stored row cannot be read"), "{line}");
    let [listed] = &receiver.intake().given_up("allison", None, 10).await.unwrap()[..] else {
        panic!("one is given up")
    };
    assert_eq!(listed.request.key.id.as_str(), "evt_2");
    assert!(line.ends_with(&listed.reason));
}

#[tokio::test]
async fn a_running_worker_gives_up_at_once_what_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hooks.db");
    let receiver = receiver(SqliteStore::open(&path).await.unwrap());
    let request = call("evt_2", NOW);
    let arrival = hookwire::receive::Arrival::post(&request.headers);
    stored(&receiver, arrival, &request.body, NOW).await.unwrap();
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    connection.execute(AssertSqlSafe(DAMAGES[0].replace("{p}", "hookwire_"))).await.unwrap();
    let (tells, mut told) = tokio::sync::mpsc::unbounded_channel();
    let worker = receiver
        .worker(async |_: Arrived| panic!("there is nothing to handle"))
        // A longer lease, or the request would be given up for another reason when the lease ends.
        .with_lease(SECOND / 5)
        .with_retry(RetryPolicy::none())
        .with_observer(move |incident| tells.send(incident.to_string()).unwrap());
    let mut line = None;
    worker.run(async { line = told.recv().await }).await;
    let line = line.unwrap();
    assert!(line.contains("evt_2") && line.contains("stored row cannot be read"), "{line}");
}

#[tokio::test]
async fn due_times_and_leases_are_on_the_databases_clock_in_postgres() {
    let builder = PostgresStore::builder().with_prefix(postgres_server::prefix());
    let store = builder.connect(postgres_server::url()).await.unwrap();
    let day = 86_400 * SECOND;
    // A machine with a clock a day ahead stores, a machine with a clock a day behind leases.
    let request = |id: &str| StoredRequest::new(key(id), NOW + 40_000 * day, Bytes::from_static(b"{}"));
    assert_eq!(
        store.store_requests(&[request("a"), request("b")]).await.unwrap(),
        [Stored::New, Stored::New]
    );
    let take = async || {
        store.lease_requests(&LeaseRequests::new("allison", 3_600 * SECOND, 1, NOW - day)).await.unwrap()
    };
    assert_eq!(take().await.requests.len(), 1);
    assert_eq!(store.next_due("allison", NOW - day).await.unwrap(), Some(std::time::Duration::ZERO));
    assert_eq!(take().await.requests.len(), 1);
    assert!(take().await.requests.is_empty());
    let wait = store.next_due("allison", NOW - day).await.unwrap().unwrap();
    assert!(wait > 1_800 * SECOND && wait <= 3_600 * SECOND, "{wait:?}");
}

#[tokio::test]
async fn what_postgres_cannot_hold_is_refused_or_not_there() {
    let builder = PostgresStore::builder().with_prefix(postgres_server::prefix());
    let store = builder.connect(postgres_server::url()).await.unwrap();
    let odd = InboxKey::new("a\0b", key("a").id);
    let kept = store.store_requests(&[StoredRequest::new(odd.clone(), NOW, Bytes::new())]).await;
    assert_eq!(kept.unwrap_err().kind(), StoreErrorKind::Backend);
    assert_eq!(store.next_due("a\0b", NOW).await.unwrap(), None);
    assert!(
        store.lease_requests(&LeaseRequests::new("a\0b", SECOND, 1, NOW)).await.unwrap().requests.is_empty()
    );
    assert!(store.given_up("a\0b", None, 1).await.unwrap().is_empty());
    assert!(!store.put_back(&odd, NOW).await.unwrap());
    // The reason is free text and is stored as far as possible.
    store.store_requests(&[StoredRequest::new(key("a"), NOW, Bytes::new())]).await.unwrap();
    let taken = store
        .lease_requests(&LeaseRequests::new("allison", SECOND, 1, NOW))
        .await
        .unwrap()
        .requests
        .remove(0);
    let give_up = hookwire::delivery::Next::dead(hookwire::DeadReason::Exhausted);
    let settlement =
        hookwire::store::implement::Settlement::failed(key("a"), taken.lease, "odd\0words", give_up, NOW);
    store.settle_requests(&[settlement], SECOND).await.unwrap();
    assert_eq!(store.given_up("allison", None, 1).await.unwrap()[0].reason, "odd\u{fffd}words");
}

fn key(id: &str) -> InboxKey {
    InboxKey::new("allison", id.parse().unwrap())
}

/// Each change makes the second request unreadable.
const DAMAGES: [&str; 5] = [
    "UPDATE {p}intake SET event = 'two words' WHERE id = 'evt_2'",
    "UPDATE {p}intake SET body = NULL WHERE id = 'evt_2'",
    "UPDATE {p}intake SET attempts = -5 WHERE id = 'evt_2'",
    "UPDATE {p}intake SET received_at = 9223372036854775807 WHERE id = 'evt_2'",
    "UPDATE {p}intake SET signed_at = 9223372036854775807 WHERE id = 'evt_2'",
];

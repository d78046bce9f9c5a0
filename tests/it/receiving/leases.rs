//! Handling leases: shorter than the sender's retries, and the report of a handler that was overtaken.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::receive::{Answer, Arrival, Received, Receiver};
use hookwire::store::{InboxKey, Reservation};
use hookwire::{Contract, Envelope, EventId, Inbox as _, MemoryStore, RawEvent, RetryPolicy};
use http::{HeaderMap, Method};
use time::OffsetDateTime;

use crate::received::{handled, received};

use super::{Arrived, NOON, Request, receiver};

#[tokio::test]
async fn what_a_receiver_was_told_before_it_was_given_an_inbox_still_holds() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (refused, overrun) = (Arc::clone(&told), Arc::clone(&told));
    let store = Arc::new(MemoryStore::new());
    let receiver = receiver()
        .with_body_deadline(Duration::from_secs(7))
        .with_rejection_observer(move |rejection| refused.lock().unwrap().push(rejection.to_string()))
        .with_overrun_observer(move |key| overrun.lock().unwrap().push(key.id.to_string()))
        .with_inbox(Arc::clone(&store));
    assert_eq!(receiver.body_deadline(), Duration::from_secs(7));
    let request = Request::new("evt_1");
    let arrival = Arrival::post(&request.headers);
    let hour = Duration::from_secs(3_600);
    let handle = async |_: Arrived| {
        let key = InboxKey::new("allison", "evt_1".parse().unwrap());
        store.reserve(&key, hour, NOON + hour).await.map(drop)
    };
    let answered = handled(&receiver, arrival, &request.body, NOON, handle).await;
    assert_eq!(answered.unwrap(), Answer::OK);
    let rejection = handled(&receiver, Arrival::new(&Method::GET, &request.headers), b"", NOON, handle)
        .await
        .unwrap_err();
    receiver.refuse(&rejection);
    assert_eq!(*told.lock().unwrap(), ["evt_1", "method is not POST"]);
}

/// The process dies during the first attempt. Another process takes the later attempts.
#[tokio::test]
async fn an_event_whose_process_died_is_handled_before_any_contracts_sender_gives_it_up() {
    let mut tried_again = Vec::new();
    for name in Contract::NAMES {
        let contract: Contract = name.parse().unwrap();
        let receiver = unguarded(&contract);
        let body = body(&contract);
        let mut attempts = contract.retry().timeline(NOON);
        let at = async |at: OffsetDateTime| match received::<RawEvent, _>(
            &receiver,
            Arrival::post(&HeaderMap::new()),
            &body,
            at,
        )
        .await
        {
            Ok(Received::Event { receipt, .. }) => Some(receipt),
            Ok(other) => panic!("{name}: {other:?}"),
            Err(rejection) => {
                assert_eq!(rejection.status(), 503, "{name}: {rejection}");
                None
            }
        };
        let first = attempts.next().unwrap();
        drop(at(first.at).await.expect("it is new"));
        let mut is_handled = false;
        for planned in attempts {
            if let Some(receipt) = at(planned.at).await {
                is_handled = receipt.commit(planned.at).await.unwrap();
                break;
            }
        }
        let tries = contract.retry().max_attempts().unwrap();
        assert_eq!(is_handled, tries > 1, "{name}: what is sent once is lost, and nothing else");
        if is_handled {
            tried_again.push(*name);
        }
    }
    assert_eq!(tried_again, ["allison", "allo", "nectar_desk", "recept_ai", "standard_webhooks"]);
}

#[tokio::test]
async fn a_lease_is_a_minute_or_three_quarters_of_the_time_for_which_the_sender_tries() {
    let seconds = Duration::from_secs_f64;
    let retrying = |retry| Contract::nectar_desk().with_retry(retry);
    let every = |delay: f64| RetryPolicy::exponential(seconds(delay), 1.0).build().unwrap();
    let once = RetryPolicy::delays([seconds(100.0)]).unwrap();
    for (contract, lease) in [
        (Contract::nectar_desk(), seconds(5.25)),
        (Contract::allo_v1(), seconds(60.0)),
        (Contract::allison(), seconds(60.0)),
        (Contract::allo(), seconds(60.0)),
        (retrying(once), seconds(60.0)),
        (retrying(RetryPolicy::delays([seconds(40.0), seconds(20.0)]).unwrap()), seconds(45.0)),
        (retrying(every(10.0)), seconds(60.0)),
    ] {
        assert_eq!(held_for(&unguarded(&contract)).await, lease, "{contract:?}");
    }
    let told = unguarded(&Contract::nectar_desk()).with_handling_lease(seconds(3.0));
    assert_eq!(held_for(&told).await, seconds(3.0));
}

/// The time for which an event in progress is reserved, measured in quarters of a second.
async fn held_for(receiver: &Receiver<MemoryStore>) -> Duration {
    let name = receiver.contract().name();
    let body = body(receiver.contract());
    let received =
        received::<RawEvent, _>(receiver, Arrival::post(&HeaderMap::new()), &body, NOON).await.unwrap();
    assert!(matches!(received, Received::Event { .. }));
    drop(received);
    let key = &InboxKey::new(name, id());
    let quarter = Duration::from_millis(250);
    for quarters in 0..1_000 {
        let at = NOON + quarter * quarters;
        if let Reservation::New(_) = receiver.inbox().reserve(key, quarter, at).await.unwrap() {
            return quarter * quarters;
        }
    }
    panic!("it is never free");
}

#[tokio::test]
async fn an_event_that_another_was_given_meanwhile_is_told_of_when_its_handler_is_done() {
    let told: Arc<Mutex<Vec<InboxKey>>> = Arc::default();
    let tells = Arc::clone(&told);
    let receiver = receiver().with_inbox(MemoryStore::new()).with_overrun_observer(move |key| {
        tells.lock().unwrap().push(key.clone());
        panic!("an observer that panics costs nothing");
    });
    let key = InboxKey::new("allison", id());
    let request = Request::new("evt_1");
    let arrival = Arrival::post(&request.headers);
    // The handler is in time, has another event, and no copy arrives.
    let other = Request::new("evt_2");
    let handle = async |event: Arrived| event.map(drop);
    let at = Arrival::post(&other.headers);
    assert_eq!(handled(&receiver, at, &other.body, NOON, handle).await.unwrap(), Answer::OK);
    assert!(told.lock().unwrap().is_empty());
    let slow = async |event: Arrived| {
        let later = NOON + Duration::from_secs(60);
        let taken = receiver.inbox().reserve(&key, Duration::from_secs(60), later).await.unwrap();
        assert!(matches!(taken, Reservation::New(_)), "its lease has ended");
        event.map(drop)
    };
    let answered = handled(&receiver, arrival, &request.body, NOON, slow).await;
    assert_eq!(answered.unwrap(), Answer::OK, "it was handled");
    assert_eq!(*told.lock().unwrap(), [key]);
}

/// This test does not depend on the proof.
fn unguarded(contract: &Contract) -> Receiver<MemoryStore> {
    Receiver::dangerous_unguarded(contract.clone()).with_key(|_| Some(id())).with_inbox(MemoryStore::new())
}

fn body(contract: &Contract) -> bytes::Bytes {
    let kind = contract.catalogue().iter().next().map_or("order.paid", |kind| kind.name());
    let event = RawEvent::new(kind, serde_json::json!({"id": "1"})).unwrap();
    contract.encode(&Envelope::from_parts(id(), NOON, event)).unwrap()
}

fn id() -> EventId {
    "evt_1".parse().unwrap()
}

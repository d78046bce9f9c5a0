//! Passes every event type of every platform from its sender's encoding through a receiver: typed, verified,
//! handled once.

use std::fmt::Debug;

use hookwire::event::Catalogue;
use hookwire::receive::{Arrival, HeaderGuard, Received, Receiver};
use hookwire::{
    Contract, Envelope, EventData, EventId, MemoryStore, RawEvent, Secret, allison, allo, allo_v1,
    nectar_desk, recept_ai,
};
use http::{HeaderMap, HeaderName};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::received::received;

#[tokio::test]
async fn every_event_type_of_every_platform_is_received_as_it_was_sent_and_once() {
    each(Contract::allison(), allison::Event::CATALOGUE, allison::Event::samples()).await;
    each(Contract::allo(), allo::Event::CATALOGUE, allo::Event::samples()).await;
    each(Contract::allo_v1(), allo_v1::Event::CATALOGUE, allo_v1::Event::samples()).await;
    each(Contract::nectar_desk(), nectar_desk::Event::CATALOGUE, nectar_desk::Event::samples()).await;
    each(Contract::recept_ai(), recept_ai::Event::CATALOGUE, recept_ai::Event::samples()).await;
    each(Contract::standard_webhooks(), allison::Event::CATALOGUE, allison::Event::samples()).await;
}

/// Passes each event twice: decoded with its catalogue, and as a type that is newer than the receiver's
/// program.
async fn each<T: EventData + Clone + Debug + PartialEq>(
    contract: Contract,
    catalogue: Catalogue,
    events: impl Iterator<Item = T>,
) {
    let name = contract.name().to_owned();
    let receiver = receiver(contract.clone()).with_inbox(MemoryStore::new());
    let mut kinds = catalogue.iter();
    for (number, event) in events.enumerate() {
        let kind = kinds.next().unwrap();
        assert_eq!(event.event_type(), kind.name());
        let id: EventId = format!("evt_{number}").parse().unwrap();
        let sent = Envelope::from_parts(id, AT, event);
        let (headers, body) = sent_by(&contract, &sent);
        let received = receive::<T>(&receiver, &headers, &body).await;
        let received = received.unwrap_or_else(|| panic!("{name}: {} is no event", kind.name()));
        assert_eq!(received.data, sent.data, "{name}: {}", kind.name());
        assert_eq!(received.created_at, AT, "{name}: {}", kind.name());
        let is_named = contract.scheme().is_some() || contract.format().carries_id();
        assert_eq!(received.id, if is_named { sent.id } else { EventId::of_body(&body) }, "{name}");
        assert!(receive::<T>(&receiver, &headers, &body).await.is_none(), "{name}: {} twice", kind.name());

        let id: EventId = format!("evt_newer_{number}").parse().unwrap();
        let newer = RawEvent::new(&format!("{} 2", kind.name()), kind.sample()).unwrap();
        let (headers, body) = sent_by(&contract, &Envelope::from_parts(id, AT, newer.clone()));
        let received = receive::<T>(&receiver, &headers, &body).await.unwrap();
        assert_eq!(received.event_type(), newer.event_type(), "{name}");
        let kept = contract.encode(&received).unwrap();
        let data = kind.sample();
        assert!(
            kept.ends_with(format!("{}}}", data.get()).as_bytes()),
            "{name}: its data is kept to the byte"
        );
    }
    assert!(kinds.next().is_none(), "{name} has a type without a sample");
}

fn receiver(contract: Contract) -> Receiver {
    match contract.scheme() {
        Some(_) => Receiver::signed(contract, &secret()).unwrap(),
        None => Receiver::guarded(contract, HeaderGuard::api_key(API_KEY, &secret())),
    }
}

fn sent_by<T: EventData>(contract: &Contract, envelope: &Envelope<T>) -> (HeaderMap, bytes::Bytes) {
    let body = contract.encode(envelope).unwrap();
    let headers = match contract.scheme() {
        Some(_) => contract.signer(&secret()).unwrap().sign(envelope.id.as_str(), AT, &body).unwrap(),
        None => HeaderMap::from_iter([(API_KEY, secret().expose().parse().unwrap())]),
    };
    (headers, body)
}

/// Receives and commits the event. Returns `None` if it was handled before.
async fn receive<T: EventData + Debug>(
    receiver: &Receiver<MemoryStore>,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Envelope<T>> {
    match received(receiver, Arrival::post(headers), body, AT).await.unwrap() {
        Received::Event { envelope, receipt, .. } => {
            assert!(receipt.commit(AT).await.unwrap());
            Some(envelope)
        }
        Received::Duplicate { .. } => None,
        other => panic!("{other:?}"),
    }
}

fn secret() -> Secret {
    Secret::from_random([7; 32])
}

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const AT: OffsetDateTime = datetime!(2026-04-17 19:12:03.482 UTC);

//! Sends requests of every contract and scheme, changed in any way, to a receiver with an inbox. There is no
//! panic and no 500. A refused request blocks no event. A genuine request is handled once. A changed request
//! never passes as another event.
#![no_main]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arbitrary::Arbitrary;
use hookwire::receive::{Arrival, HeaderGuard, Received, Receiver, Rejection, SecretSource};
use hookwire::event::{EnvelopeFormat, Field};
use hookwire::{
    Contract, Envelope, EventData, EventId, MemoryStore, RawEvent, Scheme, Secret, allison, allo, allo_v1,
    nectar_desk, recept_ai,
};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;
use time::macros::datetime;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    sender: u8,
    /// The receiver requires a password besides the signature.
    is_guarded: bool,
    /// The receiver looks the secret up by the tenant's name.
    tenant: Option<&'a str>,
    says: Says<'a>,
    changes: Changes<'a>,
}

/// The genuine body.
#[derive(Arbitrary, Debug)]
enum Says<'a> {
    /// The sample of an event type.
    Sample(u8),
    /// An event of any type with any JSON as its data.
    Event(&'a str, &'a str),
    /// Arbitrary bytes that a sender has signed.
    Bytes(&'a [u8]),
}

/// Changes to the request after it was signed.
#[derive(Arbitrary, Debug)]
struct Changes<'a> {
    /// The index of a header, whether the value replaces it or is added, and the value.
    headers: Vec<(u8, bool, &'a [u8])>,
    /// The index of the header to cut, and the byte to change.
    spoilt: Option<(u8, u16, u8)>,
    /// The position, the number of bytes to replace, and their replacement.
    body: Option<(u16, u8, &'a [u8])>,
    /// The delay of the request, in seconds.
    seconds: u32,
}

fuzz_target!(|input: Input<'_>| {
    let sender = &SENDERS[usize::from(input.sender) % SENDERS.len()]();
    match sender.name() {
        "allison" => receives::<allison::Event>(sender, &input),
        "allo" => receives::<allo::Event>(sender, &input),
        "allo_v1" => receives::<allo_v1::Event>(sender, &input),
        "nectar_desk" => receives::<nectar_desk::Event>(sender, &input),
        "recept_ai" => receives::<recept_ai::Event>(sender, &input),
        "calls" => receives::<allison::CallEnded>(sender, &input),
        _ => receives::<RawEvent>(sender, &input),
    }
});

fn receives<T: EventData>(contract: &Contract, input: &Input<'_>) {
    let Some(body) = body(contract, &input.says) else { return };
    let receiver = receiver(contract, input).with_inbox(MemoryStore::new());
    let headers = headers(contract, input, &body);
    let (changed_headers, changed_body, now) = changed(&headers, &body, &input.changes);
    let is_proven = contract.scheme().is_some();

    // The changed request comes first. If it passes, it is the genuine one in other words and names the same
    // event.
    let first = receive::<T>(&receiver, input, &changed_headers, &changed_body, now);
    if is_proven && matches!(first, Outcome::Event(_) | Outcome::Misfit(_)) {
        assert_eq!(changed_body, body, "another body under the proof of this one");
    }
    let genuine = receive::<T>(&receiver, input, &headers, &body, NOW);
    match &first {
        Outcome::Refused if is_genuine(&input.says) => {
            assert!(matches!(genuine, Outcome::Event(_) | Outcome::OtherType), "blocked by what was refused");
        }
        Outcome::Event(id) | Outcome::Misfit(id) if is_proven || changed_body == body => {
            assert_eq!(genuine, Outcome::Duplicate(id.clone()), "the same event under another name");
        }
        _ => {}
    }
    // After the event was handled, neither the genuine nor the changed request is handled again.
    if matches!(genuine, Outcome::Event(_) | Outcome::Misfit(_)) {
        let again = receive::<T>(&receiver, input, &headers, &body, NOW);
        assert!(matches!(again, Outcome::Duplicate(_)), "taken twice: {again:?}");
        let changed = receive::<T>(&receiver, input, &changed_headers, &changed_body, now);
        let is_same = !is_proven && changed_body != body;
        assert!(is_same || matches!(changed, Outcome::Duplicate(_) | Outcome::Refused), "taken anew: {changed:?}");
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Event(EventId),
    Misfit(EventId),
    OtherType,
    Duplicate(EventId),
    Refused,
}

/// Receives a request and commits its event, also if the data does not fit its type.
fn receive<T: EventData>(
    receiver: &Receiver<MemoryStore>,
    input: &Input<'_>,
    headers: &HeaderMap,
    body: &[u8],
    now: OffsetDateTime,
) -> Outcome {
    let mut arrival = Arrival::post(headers);
    if let Some(tenant) = input.tenant {
        arrival = arrival.with_tenant(tenant);
    }
    let received = at_once(async {
        receiver.admit(arrival, now)?.prove(body, now).await?.receive::<T>().await
    });
    match received {
        Ok(Received::Event { envelope, receipt, .. }) => {
            assert!(at_once(receipt.commit(NOW)).expect("memory does not fail"));
            Outcome::Event(envelope.id)
        }
        Ok(Received::Undecodable { error, receipt, .. }) => {
            let _ = format!("{error} {error:?}");
            assert!(at_once(receipt.commit(NOW)).expect("memory does not fail"));
            Outcome::Misfit(error.id().expect("what was received has an id").clone())
        }
        Ok(Received::Duplicate { id, .. }) => Outcome::Duplicate(id),
        Ok(Received::OtherType { .. }) => Outcome::OtherType,
        Ok(_) => unreachable!("there is nothing else"),
        Err(rejection) => {
            silent(&rejection);
            Outcome::Refused
        }
    }
}

/// A refusal has a status for the client's fault and shows no secret.
fn silent(rejection: &Rejection) {
    assert!(matches!(rejection.status().as_u16(), 400 | 401 | 413), "{rejection:?}");
    let text = format!("{rejection} {rejection:?}");
    assert!(!text.contains(secret().expose()) && !text.contains("Basic "), "{text}");
}

/// The genuine body, if the contract can encode it.
fn body(contract: &Contract, says: &Says<'_>) -> Option<Vec<u8>> {
    let event = match *says {
        Says::Bytes(bytes) => return Some(bytes.to_vec()),
        Says::Event(event_type, data) => {
            let data: &serde_json::value::RawValue = serde_json::from_str(data).ok()?;
            RawEvent::new(event_type, data).ok()?
        }
        Says::Sample(number) => {
            let count = contract.catalogue().iter().len().max(1);
            match contract.catalogue().iter().nth(usize::from(number) % count) {
                Some(kind) => RawEvent::new(kind.name(), kind.sample()).expect("a sample can be sent"),
                None => RawEvent::new("order.paid", number).expect("a number is JSON"),
            }
        }
    };
    let envelope = Envelope::from_parts(ID.parse().expect("the id is one"), NOW, event);
    Some(contract.encode(&envelope).expect("an event of a name can be written").to_vec())
}

/// Whether every receiver has to accept the body.
fn is_genuine(says: &Says<'_>) -> bool {
    matches!(says, Says::Sample(_))
}

fn receiver(contract: &Contract, input: &Input<'_>) -> Receiver {
    let receiver = match (contract.scheme(), input.tenant) {
        (None, _) => Receiver::guarded(contract.clone(), HeaderGuard::basic("u", &secret())),
        (Some(_), None) => Receiver::signed(contract.clone(), &secret()).expect("the secret is fine"),
        (Some(_), Some(_)) => Receiver::by_tenant(contract.clone(), Everybody).expect("the contract signs"),
    };
    let receiver = receiver.with_max_body(MAX_BODY).with_handling_lease(Duration::from_secs(60));
    match input.is_guarded {
        true => receiver.with_guard(HeaderGuard::basic("u", &secret())),
        false => receiver,
    }
}

struct Everybody;

impl SecretSource for Everybody {
    async fn secrets(&self, _: &str) -> Result<Vec<Secret>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![Secret::from_bytes([9; 32]), secret()])
    }
}

fn headers(contract: &Contract, input: &Input<'_>, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if contract.scheme().is_some() {
        let signer = contract.signer(&secret()).expect("the secret is fine");
        signer.sign_into(&mut headers, ID, NOW, body).expect("the id and the time are fine");
    }
    if input.is_guarded || contract.scheme().is_none() {
        let mut password = HeaderMap::new();
        password.insert(AUTHORIZATION, HeaderValue::from_static(PASSWORD));
        headers.extend(password);
    }
    headers
}

fn changed(headers: &HeaderMap, body: &[u8], changes: &Changes<'_>) -> (HeaderMap, Vec<u8>, OffsetDateTime) {
    let mut changed = headers.clone();
    let mut names: Vec<HeaderName> = headers.keys().cloned().collect();
    names.push(HeaderName::from_static("webhook-id"));
    if let Some((which, at, with)) = changes.spoilt {
        let name = &names[usize::from(which) % names.len()];
        if let Some(value) = headers.get(name) {
            let mut value = value.as_bytes().to_vec();
            let at = usize::from(at) % value.len();
            if with == 0 {
                value.truncate(at)
            } else {
                value[at] = with
            }
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                changed.insert(name, value);
            }
        }
    }
    for (which, beside, value) in &changes.headers {
        let name = &names[usize::from(*which) % names.len()];
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        if *beside {
            changed.append(name, value);
        } else {
            changed.insert(name, value);
        }
    }
    let mut bytes = body.to_vec();
    if let Some((at, len, with)) = changes.body {
        let start = usize::from(at) % (bytes.len() + 1);
        let end = (start + usize::from(len)).min(bytes.len());
        bytes.splice(start..end, with.iter().copied());
    }
    (changed, bytes, NOW + Duration::from_secs(u64::from(changes.seconds % A_DAY)))
}

/// Polls once: no future here ever waits.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("memory answers at once"),
    }
}

fn secret() -> Secret {
    Secret::from_bytes([7; 32])
}

fn scheme(name: &'static str, scheme: Scheme) -> Contract {
    Contract::standard_webhooks().with_name(name).expect("name is right").with_scheme(scheme)
}

const SENDERS: [fn() -> Contract; 12] = [
    Contract::allison,
    Contract::allo,
    Contract::allo_v1,
    Contract::nectar_desk,
    Contract::recept_ai,
    Contract::standard_webhooks,
    || scheme("svix", Scheme::SVIX),
    || scheme("stripe", Scheme::STRIPE).with_format(ID_IN_THE_BODY),
    || scheme("github", Scheme::GITHUB),
    || scheme("slack", Scheme::SLACK),
    || scheme("shopify", Scheme::SHOPIFY),
    || Contract::allison().with_name("calls").expect("name is right"),
];
const ID_IN_THE_BODY: EnvelopeFormat =
    EnvelopeFormat::new(&[Field::Id("id"), Field::Type("type"), Field::Data("data")]);
const ID: &str = "evt_00000000000000000000000000000001";
const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);
/// Within every contract's window for duplicates.
const A_DAY: u32 = 86_400;
const MAX_BODY: usize = 64 * 1024;
/// The user `u` and the secret as Basic credentials.
const PASSWORD: &str = "Basic dTp3aHNlY19Cd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjPQ==";

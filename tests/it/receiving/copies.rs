//! Copies of events that have no id, and equal events that are no copies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::event::{EnvelopeFormat, Field};
use hookwire::provider::{Place, Provider};
use hookwire::receive::{Arrival, Received, Receiver, StoredFirst};
use hookwire::store::sqlite::SqliteStore;
use hookwire::{Contract, Inbox, Intake, MemoryStore, RawEvent, RetryPolicy, Scheme, Secret};
use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;

use super::NOON;
use crate::received::{handled, received, stored};

/// Both stores have the rule in their conformance suites; here the receiver asks for it.
macro_rules! on_every_store {
    ($($name:ident: $test:ident;)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$test(super::Arc::new(super::MemoryStore::new())).await;
            })*
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(super::SqliteStore::open(folder.path().join("in.db")).await.unwrap()).await;
            })*
        }
    };
}

on_every_store! {
    a_contact_that_is_renamed_and_back_is_three_events: renamed_and_back;
    a_stored_contact_that_is_renamed_and_back_is_three_events: stored_renamed_and_back;
}

async fn renamed_and_back<I: Inbox + Clone>(inbox: I) {
    for contract in [Contract::nectar_desk(), Contract::allo_v1()] {
        let receiver = Receiver::dangerous_unguarded(contract.clone()).with_inbox(inbox.clone());
        let names = Mutex::new(Vec::new());
        let arrive = async |name: &str, second: u64| {
            let (headers, body) = (HeaderMap::new(), renamed(&contract, name));
            let handler = async |event: Result<hookwire::Envelope<RawEvent>, _>| {
                names.lock().unwrap().push(event?.data.data().get().to_owned());
                Ok::<_, Box<hookwire::DataError>>(())
            };
            let now = NOON + Duration::from_secs(second);
            handled(&receiver, Arrival::post(&headers), &body, now, handler).await.unwrap();
        };
        for (name, second) in [
            ("Smith", 0),
            // The sender's retries, and a proxy's repeat.
            ("Smith", 1),
            ("Smith", 7),
            ("Smith", 59),
            ("Jones", 120),
            ("Smith", 240),
            ("Smith", 247),
        ] {
            arrive(name, second).await;
        }
        let names = names.into_inner().unwrap();
        assert_eq!(names.len(), 3, "{}: {names:?}", contract.name());
        assert!(names[0].contains("Smith") && names[1].contains("Jones") && names[2].contains("Smith"));
    }
}

/// The first request still waits when the equal one arrives, as behind a backlog.
async fn stored_renamed_and_back<I: Intake + Clone + 'static>(intake: I) {
    for contract in [Contract::nectar_desk(), Contract::allo_v1()] {
        let receiver = Receiver::dangerous_unguarded(contract.clone()).with_intake(intake.clone());
        let arrive = async |name: &str, second: u64| {
            let (headers, body) = (HeaderMap::new(), renamed(&contract, name));
            let now = NOON + Duration::from_secs(second);
            stored(&receiver, Arrival::post(&headers), &body, now).await.unwrap() == StoredFirst::New
        };
        let (new, copy) = (true, false);
        for (name, second, expected) in [
            ("Smith", 0, new),
            ("Smith", 7, copy),
            ("Jones", 120, new),
            ("Smith", 179, new),
            // Within a minute of the one before, although another minute has begun.
            ("Smith", 181, copy),
            ("Smith", 238, copy),
            ("Smith", 239, new),
            ("Smith", 298, copy),
        ] {
            assert_eq!(arrive(name, second).await, expected, "{} {name} {second}", contract.name());
        }
        let keys = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&keys);
        let worker = receiver.worker_in_batches(10, move |jobs: Vec<hookwire::receive::Job<RawEvent>>| {
            seen.lock().unwrap().extend(jobs.iter().map(|job| job.key.id.clone()));
            async move { jobs.iter().map(|_| Ok(())).collect() }
        });
        let done = worker.step(NOON + Duration::from_secs(600)).await.unwrap().done;
        let mut keys = keys.lock().unwrap().clone();
        keys.sort();
        keys.dedup();
        assert_eq!((done, keys.len()), (4, 4), "a handler that writes by its key wrote one over another");
        assert_eq!(arrive("Smith", 298).await, copy);
    }
}

#[test]
fn a_copy_window_follows_the_senders_retries_and_is_never_longer_than_the_dedupe_window() {
    let minute = Duration::from_secs(60);
    assert_eq!(Contract::nectar_desk().copy_window(), minute);
    assert_eq!(Contract::allo_v1().copy_window(), minute);
    let stubborn = RetryPolicy::delays([600, 1_200].map(Duration::from_secs)).unwrap();
    let unsigned = Contract::nectar_desk().with_retry(stubborn);
    assert_eq!(unsigned.copy_window(), Duration::from_secs(1_800 + 3 * 10));
    assert_eq!(unsigned.clone().with_dedupe_window(minute).copy_window(), minute);
    let endless = RetryPolicy::exponential(minute, 1.0).build().unwrap();
    assert_eq!(unsigned.with_retry(endless).copy_window(), Duration::from_secs(7 * 24 * 3_600));
    // A stranger cannot make up a signed request, but send a captured one again.
    assert_eq!(Contract::allo().copy_window(), Contract::allo().dedupe_window());
}

#[tokio::test]
async fn an_id_a_time_or_a_key_of_ones_own_counts_for_the_whole_dedupe_window() {
    const TIMED: EnvelopeFormat = EnvelopeFormat::new(&[
        Field::Type("event"),
        Field::CreatedAt("at", hookwire::event::TimePrecision::Milliseconds),
        Field::Data("data"),
    ]);
    let timed = Contract::new("timed", TIMED).unwrap();
    let store = Arc::new(MemoryStore::new());
    let plain = Receiver::dangerous_unguarded(timed).with_inbox(Arc::clone(&store));
    let body = br#"{"event":"a","at":"2026-04-17T19:12:03.482Z","data":{}}"#;
    assert!(!is_copy(&plain, body, 0).await);
    assert!(is_copy(&plain, body, 86_400).await);
    let keyed = Receiver::dangerous_unguarded(Contract::nectar_desk())
        .with_inbox(store)
        .with_key(|_| "one".parse().ok());
    let body = br#"{"event":"Call Ended","data":{}}"#;
    assert!(!is_copy(&keyed, body, 0).await);
    assert!(is_copy(&keyed, body, 86_400).await);
}

#[tokio::test]
async fn a_signed_id_of_the_message_is_the_key_of_a_contracts_delivery() {
    let secret = Secret::from_random([7; 32]);
    let contract = Contract::allison().with_scheme(Scheme::STANDARD_WEBHOOKS);
    let receiver =
        Receiver::signed(contract.clone(), &secret).unwrap().with_inbox(Arc::new(MemoryStore::new()));
    let sent = hookwire::Envelope::from_parts(
        "evt_1".parse().unwrap(),
        NOON,
        hookwire::allison::CallEnded::new("c1"),
    );
    let body = contract.encode(&sent).unwrap();
    let signer = contract.signer(&secret).unwrap();
    for (message, is_new) in [("wh_1", true), ("wh_1", false), ("wh_2", true)] {
        let headers = signer.sign(message, NOON, &body).unwrap();
        match received::<RawEvent, _>(&receiver, Arrival::post(&headers), &body, NOON).await.unwrap() {
            Received::Event { envelope, receipt, .. } => {
                assert!(is_new);
                assert_eq!((envelope.id.as_str(), receipt.key().id.as_str()), ("evt_1", message));
                receipt.commit(NOON).await.unwrap();
            }
            Received::Duplicate { id, .. } => assert_eq!((is_new, id.as_str()), (false, "wh_1")),
            other => panic!("{other:?}"),
        }
    }
}

// Providers.

static SHOWN: Provider = Provider::new(
    "shown",
    hookwire::provider::Authentication::Token(&[hookwire::provider::TokenPlace::Header("x-token")]),
)
.with_events("")
.with_type(&[Place::Fixed("changed")]);

#[tokio::test]
async fn a_provider_without_ids_has_a_window_of_its_own() {
    let by_name = |name| Provider::by_name(name).unwrap().copy_window();
    assert_eq!(by_name("dropbox"), Duration::ZERO);
    assert_eq!(by_name("mollie_classic"), Duration::ZERO);
    assert_eq!(by_name("cloudflare_notifications"), Duration::from_secs(60));
    assert_eq!(by_name("plaid"), Duration::from_secs(600));
    assert_eq!(by_name("zoom"), Duration::from_secs(7 * 24 * 3_600));
    let mut headers = HeaderMap::new();
    headers.insert("cf-webhook-auth", HeaderValue::from_static("hush"));
    let cloudflare = Provider::by_name("cloudflare_notifications").unwrap();
    let receiver = Receiver::of(cloudflare, "hush".parse::<Secret>().unwrap()).unwrap();
    let receiver = receiver.with_inbox(Arc::new(MemoryStore::new()));
    let body = br#"{"alert_type":"health","text":"down"}"#;
    for (second, expected) in [(0, false), (59, true), (61, false), (120, true), (122, false)] {
        assert_eq!(is_copy_of(&receiver, &headers, body, second).await, expected, "{second}");
    }
}

/// The body names what changed and not the change: the next change has the same body.
#[tokio::test]
async fn no_notice_of_a_change_is_a_copy_of_the_one_before() {
    let secret: Secret = "hush".parse().unwrap();
    let dropbox = Provider::by_name("dropbox").unwrap();
    let body: &[u8] = br#"{"list_folder":{"accounts":["dbid:1"]}}"#;
    let signer = hookwire::Signer::new(dropbox.scheme().unwrap(), &secret).unwrap();
    let signed = signer.sign("", NOON, body).unwrap();
    let mut form = HeaderMap::new();
    form.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    let mollie = Provider::by_name("mollie_classic").unwrap();
    for (provider, headers, body) in [(dropbox, &signed, body), (mollie, &form, b"id=tr_d0b0E3EA3v")] {
        let receiver = Receiver::of(provider, &secret).unwrap().with_inbox(Arc::new(MemoryStore::new()));
        for second in [0, 0, 1, 59, 61] {
            assert!(!is_copy_of(&receiver, headers, body, second).await, "{} {second}", provider.name());
        }
        let receiver = Receiver::of(provider, &secret).unwrap().with_intake(Arc::new(MemoryStore::new()));
        for second in 0..3 {
            let now = NOON + Duration::from_secs(second);
            let stored = stored(&receiver, Arrival::post(headers), body, now).await.unwrap();
            assert_eq!(stored, StoredFirst::New, "{} {second}", provider.name());
        }
    }
}

#[tokio::test]
async fn equal_events_of_one_request_are_events_of_their_own_and_copies_when_the_request_is_repeated() {
    let secret: Secret = "hush".parse().unwrap();
    let receiver = Receiver::of(&SHOWN, &secret).unwrap().with_inbox(Arc::new(MemoryStore::new()));
    let mut headers = HeaderMap::new();
    headers.insert("x-token", HeaderValue::from_static("hush"));
    let body = br#"[{"a":1},{"a":1},{"a":2},{"a":1}]"#;
    for (second, expected) in [(0, 4), (30, 0), (90, 4)] {
        let now = NOON + Duration::from_secs(second);
        let admitted = receiver.admit(Arrival::post(&headers), now).unwrap();
        let all = admitted.prove(body, now).await.unwrap().receive_all::<RawEvent>().await.unwrap();
        let mut new = 0;
        for received in all {
            if let Received::Event { receipt, .. } = received {
                receipt.commit(now).await.unwrap();
                new += 1;
            }
        }
        assert_eq!(new, expected, "after {second} s");
    }
}

async fn is_copy<I: Inbox>(receiver: &Receiver<I>, body: &[u8], second: u64) -> bool {
    is_copy_of(receiver, &HeaderMap::new(), body, second).await
}

async fn is_copy_of<I: Inbox>(receiver: &Receiver<I>, headers: &HeaderMap, body: &[u8], second: u64) -> bool {
    let now: OffsetDateTime = NOON + Duration::from_secs(second);
    match received::<RawEvent, _>(receiver, Arrival::post(headers), body, now).await.unwrap() {
        Received::Event { receipt, .. } => !receipt.commit(now).await.unwrap(),
        Received::Duplicate { .. } => true,
        _ => panic!("neither new nor a copy"),
    }
}

fn renamed(contract: &Contract, name: &str) -> Vec<u8> {
    let kind = if contract.name() == "allo_v1" { "CONTACT_UPDATED" } else { "Contact Modified" };
    let field = if contract.name() == "allo_v1" { "topic" } else { "event" };
    format!(r#"{{"{field}":"{kind}","data":{{"id":"c1","last_name":"{name}"}}}}"#).into_bytes()
}

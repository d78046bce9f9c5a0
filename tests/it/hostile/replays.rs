//! Captured requests that are sent again, unchanged and under other ids, and forgeries that arrive before the
//! real request.

use std::time::Duration;

use hookwire::receive::{Arrival, Received};
use hookwire::store::{InboxKey, Reservation};
use hookwire::{EventId, Inbox as _, allison};
use time::OffsetDateTime;

use crate::received::received;

use super::request::Request;
use super::sender::{Sender, stamp, token};
use super::site::Site;
use super::watch::Seen;
use super::wire;

#[tokio::test]
async fn a_captured_request_under_fresh_ids_passes_once_and_poisons_no_other_event() {
    let site = Site::open().await;
    for sender in Sender::ALL {
        let captured = sender.genuine();
        assert_eq!(send(&site, &captured).await, (200, ONE), "{sender:?}");
        assert_eq!(send(&site, &captured).await, (200, COPY), "{sender:?}: as it was");
        let fresh: Vec<String> = (0..10).map(|n| format!("evt_fresh_{sender:?}_{n}")).collect();
        for id in &fresh {
            // Set the id in every header that may carry one. If the header is signed, this breaks the
            // signature.
            let replay = ID_HEADERS.into_iter().fold(captured.clone(), |replay, name| replay.with(name, id));
            let expected = match sender {
                // The header is not signed, and it differs from the body's id.
                Sender::Allison => (400, Seen::default()),
                Sender::Allo | Sender::ReceptAi | Sender::StandardWebhooks | Sender::Svix => {
                    (401, Seen::default())
                }
                // The event's key comes from the body: its id or its hash.
                _ => (200, COPY),
            };
            assert_eq!(send(&site, &replay).await, expected, "{sender:?} as {id}");
        }
        for id in &fresh {
            let body = super::sender::replace(sender.event().as_bytes(), b"%id%", id.as_bytes());
            let real = sender.signs_as(id.as_bytes(), &stamp(0), body);
            assert_eq!(send(&site, &real).await, (200, ONE), "{sender:?}: the event that {id} is of");
        }
    }
}

#[tokio::test]
async fn a_forged_request_never_blocks_the_event_whose_id_it_bears() {
    let site = Site::open().await;
    for sender in Sender::ALL {
        let real = sender.genuine();
        for (what, forged) in forgeries(sender, &real) {
            let (status, seen) = send(&site, &forged).await;
            assert!(status == 401 || status == 400, "{sender:?}, {what}: {status}");
            assert_eq!(seen, Seen::default(), "{sender:?}, {what}: not recorded, not handled");
        }
        assert_eq!(send(&site, &real).await, (200, ONE), "{sender:?}: the real one");
        for (what, forged) in forgeries(sender, &real) {
            let (status, seen) = send(&site, &forged).await;
            assert!(status == 401 || status == 400, "{sender:?}, {what}: a copy is not told to a stranger");
            assert_eq!(seen, Seen::default(), "{sender:?}, {what}");
        }
    }
}

/// Requests with the real request's id but without its proof.
fn forgeries(sender: Sender, real: &Request) -> Vec<(&'static str, Request)> {
    let id = ID_HEADERS.into_iter().find(|name| real.headers.iter().any(|(had, _)| had == name));
    let unproven = Request {
        headers: real
            .headers
            .iter()
            .filter(|(name, _)| Some(name.as_str()) == id || name == "content-type")
            .cloned()
            .collect(),
        path: real.path.replace(token().expose(), "x"),
        ..real.clone()
    };
    let mut forgeries = vec![("nothing but the id", unproven)];
    if matches!(sender, Sender::AlloV1 | Sender::NectarDesk) {
        return forgeries;
    }
    let with_tail = |tail: &'static [u8]| real.clone().tampered(|body| [body, tail].concat());
    forgeries.push(("another body", with_tail(b" ")));
    forgeries.push(("no body", real.clone().tampered(|_| Vec::new())));
    if !matches!(sender, Sender::Github | Sender::Shopify) {
        forgeries
            .push(("an old signature", sender.signs_as(&id_of(real, id), &stamp(-1_000), real.body.clone())));
    }
    if let Some(id) = id {
        // Another event of the same sender, whose proof was captured.
        let other = sender.genuine();
        forgeries.push(("another event's proof", other.with(id, real.header(id))));
        // A body that the sender has signed under this id, and that is not an event.
        forgeries.push((
            "a proven body that is no event",
            sender.signs_as(&id_of(real, Some(id)), &stamp(0), "{}"),
        ));
    }
    forgeries
}

fn id_of(request: &Request, header: Option<&str>) -> Vec<u8> {
    header.map_or_else(Vec::new, |name| request.header(name).as_bytes().to_vec())
}

#[tokio::test]
async fn copies_that_come_while_the_first_is_handled_are_to_come_again() {
    let site = Site::open().await;
    for sender in Sender::ALL {
        let captured = sender.genuine();
        let handling = site.watch.gate.write().await;
        let mut sending: tokio::task::JoinSet<_> =
            (0..8).map(|_| wire::send(site.address, wire::all(captured.bytes()))).collect();
        for _ in 1..8 {
            let responses = sending.join_next().await.unwrap().unwrap();
            assert_eq!(responses[0].status, 503, "{sender:?}: one of them is being handled");
            assert!(responses[0].headers.iter().any(|(name, _)| name == "retry-after"), "{sender:?}");
        }
        drop(handling);
        assert_eq!(sending.join_next().await.unwrap().unwrap()[0].status, 200, "{sender:?}: the first");
        assert_eq!(site.watch.take(), Seen { reserved: 8, events: 1, misfits: 0 }, "{sender:?}");
        assert_eq!(send(&site, &captured).await, (200, COPY), "{sender:?}: again, when it was handled");
    }
}

#[tokio::test]
async fn a_copy_that_is_signed_anew_is_a_duplicate_for_a_week_and_a_captured_one_stale_long_before() {
    let watch = std::sync::Arc::default();
    let receiver = Sender::Allison.receiver(&watch);
    let sent_at = OffsetDateTime::now_utc();
    let signer = receiver.contract().signer(&super::sender::secret()).unwrap();
    let body = Sender::Allison.event().replace("%id%", "evt_1");
    let captured = signer.sign("evt_1", sent_at, body.as_bytes()).unwrap();
    let receive = async |headers: &http::HeaderMap, after: Duration| {
        let now = sent_at + after;
        match received::<allison::Event, _>(&receiver, Arrival::post(headers), body.as_bytes(), now).await {
            Ok(Received::Event { receipt, .. }) => {
                assert!(receipt.commit(now).await.unwrap());
                "an event"
            }
            Ok(_) => "a duplicate",
            Err(rejection) if rejection.status() == 401 => "refused",
            Err(rejection) => panic!("{rejection}"),
        }
    };
    const HOUR: Duration = Duration::from_secs(3_600);
    assert_eq!(receive(&captured, Duration::ZERO).await, "an event");
    // The platform's last attempt, and an operator's replay. The third is after the window, but no captured
    // request is fresh then.
    for (after, told) in [(32 * HOUR, "a duplicate"), (167 * HOUR, "a duplicate"), (169 * HOUR, "an event")] {
        assert_eq!(receive(&captured, after).await, "refused", "{after:?}");
        let anew = signer.sign("evt_1", sent_at + after, body.as_bytes()).unwrap();
        assert_eq!(receive(&anew, after).await, told, "{after:?}");
    }
}

#[tokio::test]
async fn what_a_sender_has_not_signed_names_nothing_in_the_inbox() {
    let site = Site::open().await;
    for sender in Sender::ALL {
        let real = sender.genuine();
        let forged = ["x-request-id", "x-github-delivery", "idempotency-key", "x-shopify-webhook-id"]
            .into_iter()
            .fold(real.clone(), |request, name| request.also(name, "evt_chosen"));
        assert_eq!(send(&site, &forged).await, (200, ONE), "{sender:?}");
        let source = sender.contract().name().to_owned();
        let key = InboxKey::new(source.clone(), "evt_chosen".parse().unwrap());
        let chosen = site.watch.reserve(&key, Duration::ZERO, OffsetDateTime::now_utc()).await.unwrap();
        assert!(matches!(chosen, Reservation::New(_)), "{sender:?}: the id of a stranger's choice is free");
        // The real event's key is signed.
        let id = match ID_HEADERS.into_iter().find(|name| real.headers.iter().any(|(had, _)| had == name)) {
            Some(name) => real.header(name).parse().unwrap(),
            None if sender == Sender::Stripe => id_in(&real.body),
            None => EventId::of_body(&real.body),
        };
        let key = InboxKey::new(source, id);
        let named = site.watch.reserve(&key, Duration::ZERO, OffsetDateTime::now_utc()).await.unwrap();
        assert_eq!(named, Reservation::Done, "{sender:?}: {}", key.id);
        site.watch.take();
    }
}

fn id_in(body: &[u8]) -> EventId {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    body["id"].as_str().unwrap().parse().unwrap()
}

/// The answer to a request over HTTP, and its effects.
async fn send(site: &Site, request: &Request) -> (u16, Seen) {
    let responses = wire::send(site.address, wire::all(request.bytes())).await;
    let [response] = &responses[..] else { panic!("one answer expected: {responses:?}") };
    assert!(response.body.is_empty());
    (response.status, site.watch.take())
}

const ONE: Seen = Seen { reserved: 1, events: 1, misfits: 0 };
const COPY: Seen = Seen { reserved: 1, events: 0, misfits: 0 };
const ID_HEADERS: [&str; 3] = ["x-allison-event-id", "webhook-id", "svix-id"];

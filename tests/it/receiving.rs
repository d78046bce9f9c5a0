//! What a receiver does before and around its events: guards, tenants, admission, answers, the handler's transaction.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hookwire::receive::{
    Admission, Answer, Arrival, Guard, HeaderGuard, NetworkGuard, PathGuard, Received, Receiver, Rejection,
    SecretSource,
};
use hookwire::{
    Contract, DataError, Envelope, ErrorKind, EventId, Inbox, Rate, Secret, VerifyError, allison, nectar_desk,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::Notify;

type Failure = Box<dyn StdError + Send + Sync>;
type Arrived = Result<Envelope<allison::Event>, Box<DataError>>;

// Guards.

#[test]
fn basic_credentials_are_compared_whole() {
    // RFC 7617 section 2's own example.
    let guard = HeaderGuard::basic("Aladdin", &"open sesame".parse().unwrap());
    let admits = |value: &str| admits(&guard, AUTHORIZATION.as_str(), value);
    assert!(admits("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    assert!(admits("bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    for wrong in ["", "Basic", "Basic ", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="] {
        assert!(!admits(wrong), "{wrong}");
    }
    assert_eq!(guard.name(), "basic");
}

#[test]
fn a_bearer_token_is_judged_by_the_callers_check() {
    let guard = HeaderGuard::bearer_checked(|token| token.len() == 3);
    let admits = |value: &str| admits(&guard, AUTHORIZATION.as_str(), value);
    assert!(admits("Bearer abc"));
    assert!(!admits("Bearer abcd") && !admits("Basic abc") && !admits("abc"));
}

#[test]
fn a_path_token_is_the_last_segment_and_nothing_less() {
    const TOKEN: &str = "Zk3v9QpX7rT2mB8wLc5nH1yD";
    let guard = PathGuard::new(&TOKEN.parse().unwrap()).unwrap();
    let headers = HeaderMap::new();
    let admits = |path: &str| guard.admits(&Arrival::new(&headers).with_path(path));
    assert!(admits(&format!("/hooks/{TOKEN}")) && admits(&format!("/{TOKEN}")) && admits(TOKEN));
    for wrong in
        [format!("/{TOKEN}/"), format!("/{TOKEN}x"), format!("/{}", &TOKEN[1..]), format!("/{TOKEN}?a")]
    {
        assert!(!admits(&wrong), "{wrong}");
    }
    assert!(!guard.admits(&Arrival::new(&headers)), "no path is known");
    for weak in ["short", "with/slash-and-long-enough-for-all", "percent%20encoded-and-long-enough"] {
        assert_eq!(PathGuard::new(&weak.parse().unwrap()).unwrap_err().kind(), ErrorKind::Secret);
    }
    assert!(!format!("{guard:?}").contains(TOKEN));
}

#[test]
fn a_network_guard_goes_by_the_connection_and_by_no_header() {
    let guard = NetworkGuard::new(["203.0.113.0/24", "2001:db8::/48", "198.51.100.7"]).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.5"));
    let admits = |peer: &str| guard.admits(&Arrival::new(&headers).with_peer(peer.parse().unwrap()));
    for inside in ["203.0.113.0", "203.0.113.255", "2001:db8::1", "198.51.100.7", "::ffff:203.0.113.9"] {
        assert!(admits(inside), "{inside}");
    }
    for outside in ["203.0.114.0", "198.51.100.8", "2001:db8:1::1", "127.0.0.1", "::1"] {
        assert!(!admits(outside), "{outside}");
    }
    // A list may hold what a dual-stack socket says of its peers.
    let mapped = NetworkGuard::new(["::ffff:203.0.113.0/120", "::ffff:198.51.100.7"]).unwrap();
    let admits = |peer: &str| mapped.admits(&Arrival::new(&headers).with_peer(peer.parse().unwrap()));
    for inside in ["203.0.113.255", "::ffff:203.0.113.9", "198.51.100.7"] {
        assert!(admits(inside), "{inside}");
    }
    for outside in ["203.0.114.0", "198.51.100.8", "::1"] {
        assert!(!admits(outside), "{outside}");
    }
    for wrong in ["", "203.0.113.0/33", "203.0.113", "example.com", "::/129"] {
        let error = NetworkGuard::new([wrong]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Guard, "{wrong}");
    }
}

#[test]
fn behind_a_trusted_proxy_the_last_address_that_is_no_proxys_counts() {
    let guard = NetworkGuard::new(["203.0.113.0/24"]).unwrap().behind(["10.0.0.0/8", "fd00::/8"]).unwrap();
    let admits = |peer: &str, forwarded: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        guard.admits(&Arrival::new(&headers).with_peer(peer.parse().unwrap()))
    };
    assert!(admits("10.1.1.1", &["203.0.113.9"]));
    assert!(admits("10.1.1.1", &["6.6.6.6, 203.0.113.9, 10.2.2.2"]));
    assert!(admits("10.1.1.1", &["6.6.6.6", "203.0.113.9:4711"]));
    assert!(admits("fd00::1", &["203.0.113.9,[fd00::2]:80"]));
    assert!(admits("203.0.113.9", &["6.6.6.6"]), "not from a proxy: the header is anybody's");
    for (peer, forwarded) in [
        // What the sender wrote itself stands before what the proxy saw.
        ("10.1.1.1", &["203.0.113.9, 6.6.6.6"][..]),
        ("10.1.1.1", &["203.0.113.9", "6.6.6.6"]),
        ("10.1.1.1", &[]),
        ("10.1.1.1", &["203.0.113.9, unknown"]),
        ("10.1.1.1", &["203.0.113.9, "]),
        ("10.1.1.1", &["203.0.113.9", "\u{e9}"]),
        ("6.6.6.6", &["203.0.113.9"]),
    ] {
        assert!(!admits(peer, forwarded), "{peer} {forwarded:?}");
    }
}

#[tokio::test]
async fn every_guard_has_to_admit_before_the_signature_is_looked_at() {
    let request = Request::new("evt_1");
    let receiver = receiver()
        .with_guard(NetworkGuard::new(["127.0.0.1"]).unwrap())
        .with_guard(HeaderGuard::api_key("x-key".parse().unwrap(), &"k".parse().unwrap()));
    let refused = |rejection: Result<Answer, Rejection>| rejection.unwrap_err().to_string();
    let at = Arrival::new(&request.headers);
    assert_eq!(
        refused(answer(&receiver, &at, &request.body).await),
        "request is not admitted by guard `network`"
    );
    let at = at.with_peer(IpAddr::from([127, 0, 0, 1]));
    assert_eq!(
        refused(answer(&receiver, &at, &request.body).await),
        "request is not admitted by guard `api_key`"
    );
    let mut headers = request.headers.clone();
    headers.insert("x-key", HeaderValue::from_static("k"));
    let at = Arrival::new(&headers).with_peer(IpAddr::from([127, 0, 0, 1]));
    assert_eq!(answer(&receiver, &at, &request.body).await.unwrap(), Answer::OK);
    assert_eq!(refused(answer(&receiver, &at, b"{}").await), "request is not proven");
}

// Tenants.

#[derive(Clone, Default)]
struct Tenants(Arc<Mutex<HashMap<String, Vec<Secret>>>>, Arc<AtomicU32>);

impl Tenants {
    fn set(&self, tenant: &str, secrets: &[&Secret]) {
        self.0
            .lock()
            .unwrap()
            .insert(tenant.to_owned(), secrets.iter().map(|secret| (*secret).clone()).collect());
    }

    fn asked(&self) -> u32 {
        self.1.load(Ordering::SeqCst)
    }
}

impl SecretSource for Tenants {
    async fn secrets(&self, tenant: &str) -> Result<Vec<Secret>, Failure> {
        self.1.fetch_add(1, Ordering::SeqCst);
        match tenant {
            "down" => Err("the table of secrets is away".into()),
            _ => Ok(self.0.lock().unwrap().get(tenant).cloned().unwrap_or_default()),
        }
    }
}

#[tokio::test]
async fn each_tenants_requests_are_proven_by_its_own_secrets() {
    let (acme, other) = (secret(1), secret(2));
    let tenants = Tenants::default();
    tenants.set("acme", &[&acme]);
    tenants.set("other", &[&other]);
    let receiver = Receiver::by_tenant(Contract::allison(), tenants.clone()).unwrap();
    let request = Request::signed_by("evt_1", &acme);
    let to = |tenant| Arrival::new(&request.headers).with_tenant(tenant);
    assert_eq!(answer(&receiver, &to("acme"), &request.body).await.unwrap(), Answer::OK);
    for tenant in ["other", "nobody"] {
        let rejection = answer(&receiver, &to(tenant), &request.body).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED, "{rejection}");
        // A signature is looked at for either: how long that takes tells nobody who is a tenant.
        assert!(matches!(rejection, Rejection::Unverified(VerifyError::SignatureMismatch)), "{rejection:?}");
    }
    let rejection = answer(&receiver, &Arrival::new(&request.headers), &request.body).await.unwrap_err();
    assert!(matches!(rejection, Rejection::UnknownTenant));
    let rejection = answer(&receiver, &to("down"), &request.body).await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(rejection.retry_after().is_some());
}

#[tokio::test]
async fn secrets_are_looked_up_once_in_a_while_and_anew_when_forgotten() {
    let (old, new) = (secret(1), secret(2));
    let tenants = Tenants::default();
    tenants.set("acme", &[&old]);
    let age = Duration::from_secs(60);
    let receiver = Receiver::by_tenant_kept(Contract::allison(), tenants.clone(), age, 2).unwrap();
    let at = async |request: &Request, now| {
        let arrival = Arrival::new(&request.headers).with_tenant("acme");
        answer_at(&receiver, &arrival, &request.body, now).await.map_err(|rejection| rejection.status())
    };
    let (by_old, by_new) = (Request::signed_by("evt_1", &old), Request::signed_by("evt_2", &new));
    for _ in 0..3 {
        assert!(at(&by_old, NOON).await.is_ok());
    }
    assert_eq!(tenants.asked(), 1);
    tenants.set("acme", &[&new, &old]);
    assert!(at(&by_new, NOON + age / 2).await.is_err(), "not yet known");
    receiver.forget_secrets("acme");
    assert!(at(&by_new, NOON + age / 2).await.is_ok());
    assert!(at(&by_old, NOON + age / 2).await.is_ok(), "either may have signed");
    assert_eq!(tenants.asked(), 2);
    assert!(at(&by_old, NOON + age + age / 2).await.is_ok());
    assert_eq!(tenants.asked(), 3, "it got old");
    // Strangers that make names up displace nobody.
    for number in 0..10 {
        let name = format!("made-up-{number}");
        let arrival = Arrival::new(&by_old.headers).with_tenant(&name);
        assert!(answer_at(&receiver, &arrival, &by_old.body, NOON + 2 * age).await.is_err());
    }
    let asked = tenants.asked();
    assert!(at(&by_old, NOON + 2 * age).await.is_ok());
    assert_eq!(tenants.asked(), asked);
}

#[tokio::test]
async fn no_more_secrets_are_kept_than_the_bound_nor_any_that_are_of_a_later_time() {
    let tenants = Tenants::default();
    let key = secret(1);
    let names = ["a", "b", "c"];
    for name in names {
        tenants.set(name, &[&key]);
    }
    let age = Duration::from_secs(60);
    let receiver = Receiver::by_tenant_kept(Contract::allison(), tenants.clone(), age, 2).unwrap();
    let request = Request::signed_by("evt_1", &key);
    // How often the source was asked for it.
    let asked = async |name, now| {
        let before = tenants.asked();
        let arrival = Arrival::new(&request.headers).with_tenant(name);
        answer_at(&receiver, &arrival, &request.body, now).await.unwrap();
        tenants.asked() - before
    };
    let second = Duration::from_secs(1);
    for (number, name) in (0..).zip(names) {
        assert_eq!(asked(name, NOON + number * second).await, 1);
    }
    assert_eq!((asked("b", NOON + 3 * second).await, asked("c", NOON + 3 * second).await), (0, 0));
    assert_eq!(asked("a", NOON + 3 * second).await, 1, "the oldest made room");
    assert_eq!(asked("b", NOON + 3 * second).await, 1, "and then the next");
    assert_eq!(asked("b", NOON).await, 1, "of a time that has not come, since the clock was set back");
    assert_eq!(asked("b", NOON + second).await, 0);
}

#[tokio::test]
async fn secrets_that_are_rotated_while_they_are_looked_up_are_not_kept() {
    /// Answers what it knew when it was asked, and takes its time the first time.
    struct Slow(Tenants, Arc<Notify>, Arc<Notify>);

    impl SecretSource for Slow {
        async fn secrets(&self, tenant: &str) -> Result<Vec<Secret>, Failure> {
            let secrets = self.0.secrets(tenant).await;
            if self.0.asked() == 1 {
                self.1.notify_one();
                self.2.notified().await;
            }
            secrets
        }
    }

    let (old, new) = (secret(1), secret(2));
    let (tenants, begun, may_end) = (Tenants::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    tenants.set("acme", &[&old]);
    let slow = Slow(tenants.clone(), Arc::clone(&begun), Arc::clone(&may_end));
    let receiver = Receiver::by_tenant(Contract::allison(), slow).unwrap();
    let at = async |request: &Request| {
        let arrival = Arrival::new(&request.headers).with_tenant("acme");
        answer_at(&receiver, &arrival, &request.body, NOON).await.map_err(|rejection| rejection.status())
    };
    let rotate = async {
        begun.notified().await;
        tenants.set("acme", &[&new]);
        receiver.forget_secrets("acme");
        may_end.notify_one();
    };
    let by_old = Request::signed_by("evt_1", &old);
    let (answered, ()) = tokio::join!(at(&by_old), rotate);
    assert_eq!(answered, Ok(Answer::OK), "it was asked for before");
    assert_eq!(at(&Request::signed_by("evt_2", &new)).await, Ok(Answer::OK));
    assert_eq!(at(&by_old).await, Err(StatusCode::UNAUTHORIZED));
}

// Admission.

#[tokio::test]
async fn more_than_are_handled_at_once_are_answered_429_and_told_to_wait() {
    let receiver = Arc::new(receiver().with_admission(Admission::new().with_max_concurrent(2)));
    let (let_go, hold) = tokio::sync::watch::channel(false);
    let handling: Vec<_> = (0..2)
        .map(|number| {
            let (receiver, mut hold) = (Arc::clone(&receiver), hold.clone());
            tokio::spawn(async move {
                let request = Request::new(&format!("evt_{number}"));
                let arrival = Arrival::new(&request.headers);
                let handle = async |_: Arrived| hold.wait_for(|go| *go).await.map(drop);
                receiver.answer(&Method::POST, &arrival, &request.body, NOON, handle).await.unwrap()
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let request = Request::new("evt_3");
    let arrival = Arrival::new(&request.headers);
    let rejection = answer(&receiver, &arrival, b"not even read").await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(rejection.retry_after().unwrap() > Duration::ZERO);
    let_go.send(true).unwrap();
    for handled in handling {
        assert_eq!(handled.await.unwrap(), Answer::OK);
    }
    assert_eq!(answer(&receiver, &arrival, &request.body).await.unwrap(), Answer::OK);
}

#[tokio::test]
async fn a_rate_is_kept_before_anything_is_verified() {
    let admission = Admission::new().with_rate(Rate::new(0.5, 2).unwrap());
    let receiver = receiver().with_admission(admission);
    let headers = HeaderMap::new();
    let arrival = Arrival::new(&headers);
    for _ in 0..2 {
        let rejection = answer(&receiver, &arrival, b"").await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED);
    }
    let rejection = answer(&receiver, &arrival, b"").await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::TOO_MANY_REQUESTS);
    let response = Answer::from(&rejection).into_response();
    assert_eq!(response.headers()["retry-after"], "3", "whole seconds, rounded up");
    let wait = rejection.retry_after().unwrap();
    let later = NOON + wait;
    let set_back = later - Duration::from_secs(86_400);
    // One is admitted after the wait; then the clock is set back by a day, and the next one has its wait and no day more.
    for (now, status) in [
        (later, StatusCode::UNAUTHORIZED),
        (set_back, StatusCode::TOO_MANY_REQUESTS),
        (set_back + wait, StatusCode::UNAUTHORIZED),
    ] {
        let rejection = answer_at(&receiver, &arrival, b"", now).await.unwrap_err();
        assert_eq!(rejection.status(), status, "{now}");
    }
}

// Answers.

#[tokio::test]
async fn a_retired_endpoint_answers_410_to_everybody() {
    let request = Request::new("evt_1");
    let receiver = receiver().retired();
    for body in [&request.body[..], b"{}"] {
        let rejection = answer(&receiver, &Arrival::new(&request.headers), body).await.unwrap_err();
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
        let answered = receiver.answer(&method, &Arrival::new(&headers), body, NOON, handle).await;
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
        let arrival = Arrival::new(&request.headers);
        let fails = async |_: Arrived| Err::<(), Failure>("the disk is full".into());
        let rejection =
            receiver.answer(&Method::POST, &arrival, &request.body, NOON, fails).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(rejection.retry_after().is_some());
        assert_eq!(rejection.source().unwrap().to_string(), "the disk is full");
        let panics = async |_: Arrived| -> Result<(), Failure> { panic!("a bug of the handler's") };
        let rejection =
            receiver.answer(&Method::POST, &arrival, &request.body, NOON, panics).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
        // One that panics before there is a future of it.
        let panics =
            |_: Arrived| -> std::future::Ready<Result<(), Failure>> { panic!("a bug of the handler's") };
        let rejection =
            receiver.answer(&Method::POST, &arrival, &request.body, NOON, panics).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
        let mut handled = 0;
        for _ in 0..3 {
            let handle = async |event: Arrived| {
                handled += 1;
                event.map(drop)
            };
            let answer = receiver.answer(&Method::POST, &arrival, &request.body, NOON, handle).await.unwrap();
            assert_eq!(answer, Answer::OK);
        }
        assert_eq!(handled, 1, "once; then it is a duplicate");
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
                receiver.receive::<allison::Event>(&request.headers, &request.body, now).await
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
        let receiver = receiver().with_inbox(hookwire::MemoryStore::new());
        let request = Request::of(
            br#"{"id":"evt_9","type":"call.ended","created_at":"2026-04-17T12:00:00.000Z","api_version":"v1","data":{"call_id":[7]}}"#,
            "evt_9",
        );
        let arrival = Arrival::new(&request.headers);
        let passes_on = async |event: Arrived| event.map(drop);
        let rejection =
            receiver.answer(&Method::POST, &arrival, &request.body, NOON, passes_on).await.unwrap_err();
        assert_eq!(
            rejection.status(),
            StatusCode::SERVICE_UNAVAILABLE,
            "to be sent again to a mended program"
        );
        let shelves = async |event: Arrived| {
            assert_eq!(event.unwrap_err().event_type().as_str(), "call.ended");
            Ok::<(), Failure>(())
        };
        let answer = receiver.answer(&Method::POST, &arrival, &request.body, NOON, shelves).await.unwrap();
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
            let received =
                receiver.receive::<nectar_desk::Event>(&HeaderMap::new(), body.as_bytes(), NOON).await;
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

        let tenants = Tenants::default();
        tenants.set("a", &[&secret(1)]);
        tenants.set("b", &[&secret(1)]);
        let receiver = Receiver::by_tenant(Contract::allison(), tenants).unwrap().with_inbox(inbox);
        let request = Request::signed_by("evt_1", &secret(1));
        for tenant in ["a", "b"] {
            let mut handled = 0;
            for _ in 0..2 {
                let arrival = Arrival::new(&request.headers).with_tenant(tenant);
                let handle = async |event: Arrived| {
                    handled += 1;
                    event.map(drop)
                };
                receiver.answer(&Method::POST, &arrival, &request.body, NOON, handle).await.unwrap();
            }
            assert_eq!(handled, 1, "{tenant}");
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
        let Received::Event { receipt, .. } = received(&receiver, &request).await else {
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
            // As after a crash: it is free when its lease ends.
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
            let again = receiver.inbox().reserve(&key, later, Duration::from_secs(1)).await.unwrap();
            let hookwire::store::Reservation::New(lease) = again else { panic!("its lease has ended") };
            assert!(receiver.inbox().release(&key, lease).await.unwrap());
        }
    }
    assert!(matches!(received(&receiver, &request).await, Received::Duplicate { .. }));
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
    let Received::Event { receipt: slow, .. } = received(&receiver, &request).await else {
        panic!("an event")
    };
    let key = hookwire::store::InboxKey::new("allison", "evt_1".parse().unwrap());
    let later = NOON + Duration::from_secs(60);
    let taken = receiver.inbox().reserve(&key, later, Duration::from_secs(60)).await.unwrap();
    let hookwire::store::Reservation::New(lease) = taken else { panic!("its lease had ended") };

    let mut transaction = application.begin().await.unwrap();
    assert!(!slow.commit_in(&mut transaction, later).await.unwrap());
    transaction.rollback().await.unwrap();
    use hookwire::store::TransactionalInbox as _;
    let mut transaction = application.begin().await.unwrap();
    let week = Duration::from_secs(7 * 86_400);
    assert!(receiver.inbox().commit_in(&mut transaction, &key, lease, later, week).await.unwrap());
    transaction.commit().await.unwrap();
    assert!(matches!(received(&receiver, &request).await, Received::Duplicate { .. }));
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

async fn received<'r, I: Inbox>(
    receiver: &'r Receiver<I>,
    request: &Request,
) -> Received<'r, allison::Event, I> {
    receiver.receive(&request.headers, &request.body, NOON).await.unwrap()
}

async fn refused<I: Inbox>(receiver: &Receiver<I>, request: &Request) -> Rejection {
    receiver.receive::<allison::Event>(&request.headers, &request.body, NOON).await.map(drop).unwrap_err()
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
    receiver.answer(&Method::POST, arrival, body, now, handle).await
}

fn admits(guard: &impl Guard, header: &'static str, value: &str) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert(header, HeaderValue::from_str(value).unwrap());
    let once = guard.admits(&Arrival::new(&headers));
    headers.append(header, HeaderValue::from_str(value).unwrap());
    assert!(!guard.admits(&Arrival::new(&headers)), "twice is no proof");
    once
}

fn secret(number: u8) -> Secret {
    Secret::from_random([number; 32])
}

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

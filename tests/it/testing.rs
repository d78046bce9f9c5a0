//! `hookwire::testing`, for users who test a receiver or a sender.

use std::collections::HashSet;
use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use hookwire::address::AddressError;
use hookwire::receive::{
    Arrival, Guard as _, HeaderGuard, NetworkGuard, PathGuard, Received, Receiver, Rejection, SecretSource,
};
use hookwire::testing::{Faults, Miss, RecordingClient, RecordingReceiver, Reply, Samples};
use hookwire::{
    AddressPolicy, Contract, DataError, Envelope, ErrorClass, ErrorKind, HttpClient as _, Limits,
    MemoryStore, Outcome, RawEvent, Scheme, Secret, allison, allo, nectar_desk,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, StatusCode};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::received::received;

// Samples.

#[tokio::test]
async fn every_contract_has_a_request_of_each_of_its_types_that_its_receiver_takes() {
    let mut types = 0;
    for contract in contracts() {
        let receiver = receiver_of(&contract);
        let mut ids = HashSet::new();
        for (kind, request) in samples(&contract).requests(NOW).unwrap() {
            let received =
                received::<RawEvent, _>(&receiver, Arrival::post(request.headers()), request.body(), NOW)
                    .await
                    .unwrap();
            let Received::Event { envelope, receipt, .. } = received else {
                panic!("{}: {kind:?} is no event", contract.name())
            };
            assert_eq!(envelope.event_type(), kind.name());
            assert_eq!(envelope.created_at, NOW, "{}", contract.name());
            kind.check(envelope.data.data()).unwrap();
            assert!(ids.insert(envelope.id), "{}: {kind:?} has the id of another", contract.name());
            receipt.commit(NOW).await.unwrap();
            types += 1;
        }
    }
    assert_eq!(types, 6 + 10 + 5 + 12 + 16);
}

#[test]
fn the_same_arguments_make_the_same_request_and_other_ids_and_times_another() {
    let samples = samples(&Contract::allison());
    let make = |id: &str, now| samples.request("call.ended", &id.parse().unwrap(), now).unwrap();
    let (one, same) = (make("evt_1", NOW), make("evt_1", NOW));
    assert_eq!((one.headers(), one.body()), (same.headers(), same.body()));
    for other in [make("evt_2", NOW), make("evt_1", NOW + Duration::from_secs(1))] {
        assert_ne!(one.body(), other.body());
        assert_ne!(one.headers()["x-allison-signature"], other.headers()["x-allison-signature"]);
    }
}

#[test]
fn a_platform_that_does_not_sign_sends_its_envelope_without_a_signature() {
    let samples = samples(&Contract::nectar_desk())
        .with_uri("/hooks/nectar".parse().unwrap())
        .with_header(AUTHORIZATION, HeaderValue::from_static("Bearer t"));
    let request = samples.request("Call Ended", &"evt_1".parse().unwrap(), NOW).unwrap();
    assert!(request.body().starts_with(br#"{"event":"Call Ended","data":{"#));
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "/hooks/nectar");
    let mut names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "content-type"]);
}

#[test]
fn what_no_platform_could_send_is_an_error() {
    let samples = samples(&Contract::allo());
    let request = |event_type: &str, id: &str, now| {
        samples.request(event_type, &id.parse().unwrap(), now).unwrap_err().kind()
    };
    assert_eq!(request("call.exploded", "msg_1", NOW), ErrorKind::Event);
    assert_eq!(request("call.completed", "msg.1", NOW), ErrorKind::Event);
    assert_eq!(request("call.completed", "msg_1", datetime!(1969-07-20 20:17 UTC)), ErrorKind::Sign);
    let short = Samples::new(Contract::allo(), &"whsec_AAAA".parse().unwrap()).unwrap_err();
    assert_eq!(short.kind(), ErrorKind::Secret);
    assert!(!format!("{samples:?}").contains(secret().expose()));
}

// Faults.

#[tokio::test]
async fn our_receiver_gives_the_right_answer_to_every_fault_of_every_contract() {
    let mut requests = 0;
    for contract in contracts().chain(schemes()) {
        let faults = faults(&contract).with_max_body(4096).unwrap();
        let receiver = receiver_of(&contract).with_inbox(MemoryStore::new()).with_max_body(4096);
        assert_eq!(faults.drive_receiver(&receiver).await, [], "{} {:?}", contract.name(), contract.scheme());
        requests += faults.iter().map(|fault| fault.requests().len()).sum::<usize>();
    }
    assert!(requests > 300, "{requests}");
}

#[tokio::test]
async fn guards_and_keys_of_ed25519_are_driven_too() {
    let guard = HeaderGuard::bearer(&"a-long-random-token".parse().unwrap());
    let samples = samples(&Contract::allo_v1())
        .with_header(AUTHORIZATION, HeaderValue::from_static("Bearer a-long-random-token"));
    let receiver = Receiver::guarded(Contract::allo_v1(), guard).with_inbox(MemoryStore::new());
    assert_eq!(Faults::new(&samples, NOW).unwrap().drive_receiver(&receiver).await, []);

    #[cfg(feature = "ed25519")]
    {
        let contract = Contract::standard_webhooks().with_scheme(Scheme::STANDARD_WEBHOOKS_ED25519);
        let key: Secret = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".parse().unwrap();
        let faults = Faults::new(&Samples::new(contract.clone(), &key).unwrap(), NOW).unwrap();
        let receiver = Receiver::signed(contract, &key).unwrap().with_inbox(MemoryStore::new());
        assert_eq!(faults.drive_receiver(&receiver).await, []);
    }
}

#[tokio::test]
async fn each_fault_is_missed_by_who_believes_all_or_by_who_refuses_all() {
    for contract in contracts().chain(schemes()) {
        let faults = faults(&contract).with_max_body(4096).unwrap();
        let mut missed = HashSet::new();
        for answer in [StatusCode::OK, StatusCode::UNAUTHORIZED] {
            for miss in faults.drive(|_| std::future::ready(answer)).await {
                let Miss::Answer { fault, answered, expected, .. } = miss else { panic!("{miss}") };
                assert_eq!(answered, answer);
                assert_ne!(expected, answer);
                missed.insert(fault);
            }
        }
        let names: HashSet<_> = faults.iter().map(|fault| fault.name()).collect();
        assert_eq!(names, missed);
        assert_eq!(names.len(), faults.iter().len(), "two faults have the same name");
    }
}

#[tokio::test]
async fn receivers_that_lack_a_check_are_found_out() {
    let contract = Contract::allison();
    let faults = faults(&contract);
    let missed = async |receiver: Receiver| -> HashSet<String> {
        faults.drive_receiver(&receiver).await.iter().map(|miss| miss.to_string()).collect()
    };
    let forgetful = missed(receiver_of(&contract)).await;
    assert!(forgetful.contains("duplicate: 2 events were handled, expected 1"), "{forgetful:?}");
    assert!(forgetful.contains("retried: 2 events were handled, expected 1"), "{forgetful:?}");
    assert_eq!(forgetful.len(), 3, "and the genuine one that comes twice after its forgery: {forgetful:?}");

    let patient = contract.clone().with_tolerance(Duration::from_secs(3600));
    let patient = missed(receiver_of(&patient)).await;
    assert!(patient.contains("late: request 1 was answered 200, expected 401"), "{patient:?}");
    assert!(patient.contains("from_the_future: request 1 was answered 200, expected 401"), "{patient:?}");

    let credulous = missed(Receiver::dangerous_unguarded(contract.clone())).await;
    for fault in ["wrong_secret", "tampered_body", "reserialized_body", "missing_signature", "freshened"] {
        let line = format!("{fault}: request 1 was answered 200, expected 401");
        assert!(credulous.contains(&line), "{line}\n{credulous:?}");
    }
}

#[test]
fn faults_that_a_receiver_has_other_rules_for_can_be_left_out() {
    let all = faults(&Contract::allison());
    let fewer = all.clone().without(&["late", "duplicate"]);
    assert_eq!(fewer.iter().len(), all.iter().len() - 2);
    assert_eq!(fewer.handled(), all.handled() - 1);
    assert!(!format!("{all:?}").contains("evt_"), "requests are payloads");
    assert!(all.iter().all(|fault| !fault.description().is_empty()));
}

// Recording.

#[tokio::test]
async fn replies_come_in_the_order_of_the_script_and_clones_share_it() {
    let client = RecordingClient::new()
        .with_script([
            Reply::status(StatusCode::TOO_MANY_REQUESTS).with_retry_after(Duration::from_millis(1_200)),
            Reply::failure(ErrorClass::Connect),
            Reply::failure(ErrorClass::Reset),
        ])
        .with_otherwise(Reply::status(StatusCode::CREATED))
        .with_clock(|| NOW);
    let given_away = client.clone();
    let busy = given_away.send(post(URL), &limits()).await.unwrap();
    assert_eq!(busy.response.headers()["retry-after"], "2");
    let refused = given_away.send(post(URL), &limits()).await.unwrap_err();
    assert_eq!((refused.class(), refused.maybe_sent()), (ErrorClass::Connect, false));
    let reset = given_away.send(post(URL), &limits()).await.unwrap_err();
    assert_eq!((reset.class(), reset.maybe_sent()), (ErrorClass::Reset, true));
    for _ in 0..2 {
        assert_eq!(given_away.send(post(URL), &limits()).await.unwrap().response.status(), 201);
    }

    let recorded = client.recorded();
    let two_seconds =
        Outcome::answered(StatusCode::TOO_MANY_REQUESTS).with_retry_after(Some(Duration::from_secs(2)));
    assert_eq!(recorded[0].outcome, two_seconds);
    assert_eq!(recorded[4].outcome, Outcome::answered(StatusCode::CREATED));
    let reached: Vec<_> = recorded.iter().map(|recorded| recorded.reached).collect();
    assert_eq!(reached, [true, false, true, true, true]);
    assert!(recorded.iter().all(|recorded| recorded.at == NOW && recorded.request.uri() == URL));
    assert!(!format!("{client:?}").contains("ping"), "a body is a payload");
}

#[tokio::test]
async fn what_the_address_policy_refuses_is_refused_and_takes_no_reply() {
    let client = RecordingClient::new().with_script([Reply::status(StatusCode::ACCEPTED)]);
    for url in ["http://hooks.example.com/", "https://127.0.0.1/", "https://192.168.0.1/"] {
        let error = client.send(post(url), &limits()).await.unwrap_err();
        assert_eq!((error.class(), error.maybe_sent()), (ErrorClass::AddressDenied, false), "{url}");
        assert!(error.source().unwrap().is::<AddressError>());
    }
    let local = limits().with_addresses(AddressPolicy::new().allow_loopback().allow_plain_http());
    let exchange = client.send(post("http://127.0.0.1:8080/"), &local).await.unwrap();
    assert_eq!(exchange.response.status(), StatusCode::ACCEPTED);
    let reached: Vec<_> = client.recorded().iter().map(|recorded| recorded.reached).collect();
    assert_eq!(reached, [false, false, false, true]);
}

#[tokio::test]
async fn a_body_is_cut_at_the_cap_and_a_redirect_is_an_answer() {
    let client = RecordingClient::new().with_otherwise(
        Reply::status(StatusCode::FOUND)
            .with_header(http::header::LOCATION, HeaderValue::from_static("https://elsewhere.example.com/"))
            .with_body("0123456789"),
    );
    for (cap, kept, truncated) in [(10, "0123456789", false), (9, "012345678", true), (0, "", true)] {
        let exchange = client.send(post(URL), &limits().with_body_cap(cap)).await.unwrap();
        assert_eq!((&exchange.response.body()[..], exchange.truncated), (kept.as_bytes(), truncated));
        assert_eq!(exchange.response.status(), 302);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_longer_than_the_deadline_is_a_time_out_in_time_or_without() {
    let slow = |seconds| Reply::status(StatusCode::OK).with_delay(Duration::from_secs(seconds));
    let started = tokio::time::Instant::now();
    let timeless = RecordingClient::new().with_script([slow(9), slow(10)]);
    assert_eq!(timeless.send(post(URL), &limits()).await.unwrap().timings.total, Duration::from_secs(9));
    let error = timeless.send(post(URL), &limits()).await.unwrap_err();
    assert_eq!((error.class(), error.timings().total), (ErrorClass::Timeout, limits().deadline));
    assert!(started.elapsed().is_zero());

    let timely = RecordingClient::new().with_script([slow(9), slow(60)]).with_sleep(tokio::time::sleep);
    timely.send(post(URL), &limits()).await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(9));
    assert_eq!(timely.send(post(URL), &limits()).await.unwrap_err().class(), ErrorClass::Timeout);
    assert_eq!(started.elapsed(), Duration::from_secs(19));
    assert_eq!(timely.recorded()[1].outcome, Outcome::Failed(ErrorClass::Timeout));
    assert!(timely.recorded()[1].reached, "it may have");
}

#[tokio::test]
async fn a_recorded_request_is_judged_as_a_receiver_would() {
    let client = RecordingClient::new();
    let (contract, secret) = (Contract::allison(), secret());
    let sample = samples(&contract)
        .with_uri(URL.parse().unwrap())
        .request("call.ended", &"evt_1".parse().unwrap(), NOW)
        .unwrap();
    let mut plain = sample.clone();
    plain.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let mut other = sample.clone();
    *other.method_mut() = http::Method::PUT;
    for request in [sample, plain, other] {
        client.send(request, &limits()).await.unwrap();
    }
    let [sent, plain, other] = client.recorded().try_into().unwrap();
    let envelope: Envelope<allison::Event> = sent.event(&contract, &secret, NOW).unwrap();
    assert_eq!(envelope.event_type(), "call.ended");
    let refused = |rejection: Result<Envelope<allison::Event>, Rejection>| rejection.unwrap_err().status();
    assert_eq!(refused(sent.event(&contract, &secret, NOW + Duration::from_secs(301))), 401);
    assert_eq!(refused(sent.event(&contract, &Secret::generate(), NOW)), 401);
    assert_eq!(refused(plain.event(&contract, &secret, NOW)), 415);
    assert_eq!(refused(other.event(&contract, &secret, NOW)), 405);
    let as_another = sent.event::<nectar_desk::Event>(&Contract::nectar_desk(), &secret, NOW);
    assert_eq!(as_another.unwrap_err().status(), 400);
}

#[tokio::test]
async fn a_recording_receiver_tells_of_each_request_what_was_handled_and_what_was_answered() {
    let contract = Contract::allison();
    let receiver = RecordingReceiver::new(
        receiver_of(&contract).with_inbox(MemoryStore::new()),
        async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
            let envelope = event?;
            if envelope.event_type() == "contact.created" {
                return Err("no room for contacts".into());
            }
            Ok(())
        },
    );
    let samples = samples(&contract);
    let sample = |event_type, id: &str| samples.request(event_type, &id.parse().unwrap(), NOW).unwrap();
    let misfit = br#"{"id":"evt_3","type":"call.ended","created_at":"2026-04-16T12:00:00.000Z","api_version":"v1","data":{"call_id":[7]}}"#;
    let mut forged = sample("call.ended", "evt_4");
    forged.headers_mut().insert("x-allison-signature", HeaderValue::from_static("v1=00"));
    let mut got = sample("call.ended", "evt_5");
    *got.method_mut() = http::Method::GET;
    for request in [
        sample("call.ended", "evt_1"),
        sample("call.ended", "evt_1"),
        sample("contact.created", "evt_2"),
        samples.request_with(&misfit[..], &"evt_3".parse().unwrap(), NOW).unwrap(),
        forged,
        got,
    ] {
        let uri = request.uri().clone();
        let told = receiver.receive(request, NOW).await;
        assert_eq!((told.request.uri(), told.at), (&uri, NOW));
    }
    let recorded = receiver.clone().recorded();
    let answers: Vec<_> = recorded.iter().map(|told| told.answer.status.as_u16()).collect();
    assert_eq!(answers, [200, 200, 503, 200, 401, 405]);
    let handled: Vec<_> = recorded
        .iter()
        .map(|told| told.event.as_ref().map(|event| (event.id.as_str(), event.event_type())))
        .collect();
    let expected = [
        Some(("evt_1", "call.ended")),
        None,
        Some(("evt_2", "contact.created")),
        Some(("evt_3", "call.ended")),
        None,
        None,
    ];
    assert_eq!(handled, expected);
    let [first, copy, failed, misfit, forged, _] = &recorded[..] else { panic!("six requests") };
    assert!(first.rejection.is_none() && copy.rejection.is_none());
    assert_eq!(first.event.as_ref().unwrap().created_at, NOW);
    assert_eq!(misfit.event.as_ref().unwrap().data.data().get(), r#"{"call_id":[7]}"#);
    assert_eq!(misfit.event.as_ref().unwrap().created_at, datetime!(2026-04-16 12:00 UTC), "as it came");
    let cause = failed.rejection.as_ref().unwrap().source().unwrap().to_string();
    assert_eq!(cause, "no room for contacts");
    assert!(matches!(**forged.rejection.as_ref().unwrap(), Rejection::Unverified(_)));
    assert!(!format!("{receiver:?}").contains("[7]"), "{receiver:?}");
    // The failed event was released, so its next copy is handled.
    assert!(receiver.receive(sample("contact.created", "evt_2"), NOW).await.event.is_some());
}

#[tokio::test]
async fn a_recording_receivers_requests_come_from_an_address_to_a_path_for_a_tenant() {
    struct Tenants;

    impl SecretSource for Tenants {
        async fn secrets(
            &self,
            tenant: &str,
        ) -> Result<Vec<Secret>, Box<dyn std::error::Error + Send + Sync>> {
            Ok(if tenant == "acme" { vec![secret()] } else { Vec::new() })
        }
    }

    let token: Secret = "Zk3v9QpX7rT2mB8wLc5nH1yD".parse().unwrap();
    let receiver = Receiver::by_tenant(Contract::allo(), Tenants)
        .unwrap()
        .with_guard(NetworkGuard::new(["203.0.113.0/24"]).unwrap())
        .with_guard(PathGuard::new(&token).unwrap());
    let handler = async |event: Result<Envelope<RawEvent>, Box<DataError>>| Ok(event.map(drop)?);
    let plain = RecordingReceiver::new(receiver, handler);
    let samples = samples(&Contract::allo()).with_uri(format!("/hooks/{}", token.expose()).parse().unwrap());
    let status = async |receiver: &RecordingReceiver| {
        let request = samples.request("call.completed", &"msg_1".parse().unwrap(), NOW).unwrap();
        receiver.receive(request, NOW).await.answer.status.as_u16()
    };
    let near = plain.clone().with_peer([203, 0, 113, 9]);
    assert_eq!(status(&plain).await, 401);
    assert_eq!(status(&near).await, 401);
    assert_eq!(status(&near.clone().with_tenant("other")).await, 401);
    assert_eq!(status(&near.with_tenant("acme")).await, 200);
    let recorded = plain.recorded();
    assert_eq!(recorded.len(), 4, "of all of them");
    // The id stands only in the header, and is signed.
    assert_eq!(recorded[3].event.as_ref().unwrap().id.as_str(), "msg_1");
}

#[tokio::test]
async fn a_recording_receiver_answers_as_its_receiver_refuses_and_knows_a_misfits_id_from_its_header() {
    let contract = Contract::allo();
    let guard = HeaderGuard::bearer(&"a-long-random-token".parse().unwrap());
    let challenge = guard.challenge();
    let handler = async |event: Result<Envelope<allo::Event>, Box<DataError>>| Ok(event.map(drop)?);
    let guarded = RecordingReceiver::new(receiver_of(&contract).with_guard(guard), handler);
    let body =
        br#"{"topic":"call.completed","version":"2.0","timestamp":"2026-04-17T12:00:00.000000Z","data":[7]}"#;
    let misfit = samples(&contract).request_with(&body[..], &"msg_7".parse().unwrap(), NOW).unwrap();
    let refused = guarded.receive(misfit.clone(), NOW).await;
    let shown = refused.answer.header(&WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
    assert!(challenge.is_some() && shown == challenge, "{:?}", refused.answer);
    assert!(refused.event.is_none());
    let told = RecordingReceiver::new(receiver_of(&contract), handler).receive(misfit, NOW).await;
    assert_eq!(told.answer.status, 200);
    let event = told.event.expect("the handler was given it");
    assert_eq!((event.id.as_str(), event.data.data().get()), ("msg_7", "[7]"));
}

/// All contracts that have a name.
fn contracts() -> impl Iterator<Item = Contract> {
    Contract::NAMES.iter().map(|name| name.parse().unwrap())
}

/// The schemes that belong to no built-in contract.
fn schemes() -> impl Iterator<Item = Contract> {
    let schemes = [Scheme::SVIX, Scheme::STRIPE, Scheme::GITHUB, Scheme::SLACK, Scheme::SHOPIFY];
    // A contract with the id in its envelope, and one without.
    schemes.into_iter().flat_map(|scheme| {
        [Contract::allison().with_scheme(scheme), Contract::standard_webhooks().with_scheme(scheme)]
    })
}

fn faults(contract: &Contract) -> Faults {
    Faults::new(&samples(contract), NOW).unwrap()
}

fn samples(contract: &Contract) -> Samples {
    Samples::new(contract.clone(), &secret()).unwrap()
}

fn receiver_of(contract: &Contract) -> Receiver {
    match contract.scheme() {
        Some(_) => Receiver::signed(contract.clone(), &secret()).unwrap(),
        None => Receiver::dangerous_unguarded(contract.clone()),
    }
}

fn post(url: &str) -> Request<Bytes> {
    Request::post(url).body(Bytes::from_static(b"ping")).unwrap()
}

fn limits() -> Limits {
    Limits::new(Duration::from_secs(10))
}

fn secret() -> Secret {
    Secret::from_random([7; 32])
}

const NOW: OffsetDateTime = datetime!(2026-04-17 19:12:03 UTC);
const URL: &str = "https://hooks.example.com/calls";

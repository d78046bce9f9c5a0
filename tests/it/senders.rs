//! Several senders on one path: the receiver of each request, and the answer to a request that none proves.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hookwire::receive::{Admission, Answer, Arrival, PathGuard, Receiver, Rejection, SecretSource, Senders};
use hookwire::testing::Samples;
use hookwire::{
    Contract, DataError, Envelope, EventData, MemoryStore, Secret, VerifyError, allison, allo, nectar_desk,
    recept_ai,
};
use http::{HeaderMap, Method, Request, StatusCode};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::received::handled_by_any;

const NOW: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
const ALLISON: [u8; 32] = [1; 32];
const ALLO: [u8; 32] = [2; 32];
const RECEPT_AI: [u8; 32] = [3; 32];
const PATH: &str = "/hooks/a9c1f4e07b2d4d0c8e5bf003";

/// The handler and the event of each call, in order.
type Log = Arc<Mutex<Vec<(&'static str, String)>>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Handled = std::future::Ready<Result<(), Failure>>;

/// Two senders with one scheme, one with another, and one that does not sign, all with one inbox.
fn senders(log: &Log) -> Senders {
    let inbox = Arc::new(MemoryStore::new());
    let signed = |contract: Contract, key| {
        Receiver::signed(contract, &Secret::from_random(key)).unwrap().with_inbox(Arc::clone(&inbox))
    };
    let token: Secret = PATH.rsplit('/').next().unwrap().parse().unwrap();
    let guard = PathGuard::new(&token).unwrap();
    Senders::new()
        .with_handler(signed(Contract::allison(), ALLISON), into::<allison::Event>(log, "allison"))
        .with_handler(signed(Contract::allo(), ALLO), into::<allo::Event>(log, "allo"))
        .with_handler(signed(Contract::recept_ai(), RECEPT_AI), into::<recept_ai::Event>(log, "recept_ai"))
        .with_handler(
            Receiver::guarded(Contract::nectar_desk(), guard).with_inbox(inbox),
            into::<nectar_desk::Event>(log, "nectar_desk"),
        )
}

fn into<T: EventData + Send + 'static>(
    log: &Log,
    name: &'static str,
) -> impl Fn(Result<Envelope<T>, Box<DataError>>) -> Handled + Send + Sync + 'static {
    let log = Arc::clone(log);
    move |event| {
        let handled =
            event.map(|envelope| log.lock().unwrap().push((name, envelope.event_type().to_owned())));
        std::future::ready(handled.map_err(Into::into))
    }
}

fn sample(contract: Contract, key: [u8; 32], event_type: &str, id: &str) -> Request<Bytes> {
    let samples = Samples::new(contract, &Secret::from_random(key)).unwrap();
    samples.request(event_type, &id.parse().unwrap(), NOW).unwrap()
}

async fn answer(senders: &Senders, request: &Request<Bytes>) -> Result<Answer, Rejection> {
    let arrival = Arrival::post(request.headers()).with_path(PATH);
    handled_by_any(senders, arrival, request.body(), NOW).await
}

#[tokio::test]
async fn each_request_is_handled_by_the_receiver_that_proves_it_and_once() {
    let log = Log::default();
    let senders = senders(&log);
    let requests = [
        sample(Contract::recept_ai(), RECEPT_AI, "Call Ended", "msg_1"),
        sample(Contract::allo(), ALLO, "call.completed", "msg_1"),
        sample(Contract::allison(), ALLISON, "call.ended", "evt_00000000000000000000000000000001"),
        sample(Contract::nectar_desk(), [4; 32], "Call Ended", "msg_1"),
    ];
    for _ in 0..2 {
        for request in &requests {
            assert_eq!(answer(&senders, request).await.unwrap(), Answer::OK);
        }
    }
    let handled: Vec<_> = log.lock().unwrap().iter().map(|(name, _)| *name).collect();
    assert_eq!(
        handled,
        ["recept_ai", "allo", "allison", "nectar_desk"],
        "the same id of two senders is two events"
    );
}

#[tokio::test]
async fn what_nobody_proves_is_answered_by_the_one_it_claims_and_blocks_no_real_one() {
    let log = Log::default();
    let senders = Senders::new()
        .with_handler(
            Receiver::signed(Contract::allo(), &Secret::from_random(ALLO))
                .unwrap()
                .with_inbox(MemoryStore::new()),
            into::<allo::Event>(&log, "allo"),
        )
        .with_handler(
            Receiver::signed(Contract::allison(), &Secret::from_random(ALLISON))
                .unwrap()
                .with_inbox(MemoryStore::new()),
            into::<allison::Event>(&log, "allison"),
        );
    let id = "evt_00000000000000000000000000000001";
    let forged = sample(Contract::allison(), ALLO, "call.ended", id);
    let rejection = answer(&senders, &forged).await.unwrap_err();
    assert!(matches!(rejection, Rejection::Unverified(VerifyError::SignatureMismatch)), "{rejection:?}");
    assert!(log.lock().unwrap().is_empty());
    let real = sample(Contract::allison(), ALLISON, "call.ended", id);
    assert_eq!(answer(&senders, &real).await.unwrap(), Answer::OK);
    assert_eq!(log.lock().unwrap().len(), 1);

    // A stranger without a signature, where no receiver is unsigned.
    let arrival = |headers| Arrival::post(headers);
    let empty = HeaderMap::new();
    let rejection = handled_by_any(&senders, arrival(&empty), b"{}", NOW).await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED);
    let nobody = handled_by_any(&Senders::new(), arrival(&empty), b"", NOW).await.unwrap_err();
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    let method = handled_by_any(&senders, Arrival::new(&Method::GET, &empty), b"{}", NOW).await.unwrap_err();
    assert_eq!(method.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_one_cannot_read_is_refused_and_not_offered_to_the_next() {
    let log = Log::default();
    let key = Secret::from_random(ALLISON);
    let senders = Senders::new()
        .with_handler(
            Receiver::signed(Contract::allison(), &key).unwrap(),
            into::<allison::Event>(&log, "allison"),
        )
        .with_handler(
            Receiver::dangerous_unguarded(Contract::nectar_desk()),
            into::<nectar_desk::Event>(&log, "anybody"),
        );
    let body = br#"{"id":"evt_00000000000000000000000000000001","event":"Call Ended","data":{}}"#;
    let headers =
        Contract::allison().signer(&key).unwrap().sign("evt_00000000000000000000000000000001", NOW, body);
    let rejection = handled_by_any(&senders, Arrival::post(&headers.unwrap()), body, NOW).await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::BAD_REQUEST);
    assert!(log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn one_that_takes_less_or_is_retired_leaves_the_others_be() {
    let log = Log::default();
    let allo = Receiver::signed(Contract::allo(), &Secret::from_random(ALLO)).unwrap();
    let allison = Receiver::signed(Contract::allison(), &Secret::from_random(ALLISON)).unwrap();
    let senders = Senders::new()
        .with_handler(allo.with_max_body(10), into::<allo::Event>(&log, "allo"))
        .with_handler(
            Receiver::signed(Contract::recept_ai(), &Secret::from_random(RECEPT_AI))
                .unwrap()
                .with_retirement(),
            into::<recept_ai::Event>(&log, "recept_ai"),
        )
        .with_handler(allison, into::<allison::Event>(&log, "allison"));
    assert_eq!(senders.max_body(), 1024 * 1024, "of the one that takes most");
    let id = "evt_00000000000000000000000000000001";
    let request = sample(Contract::allison(), ALLISON, "call.ended", id);
    assert_eq!(answer(&senders, &request).await.unwrap(), Answer::OK);
    let request = sample(Contract::recept_ai(), RECEPT_AI, "Call Ended", "msg_1");
    assert_eq!(answer(&senders, &request).await.unwrap_err().status(), StatusCode::GONE, "its own sender's");
    let forged = sample(Contract::recept_ai(), ALLO, "Call Ended", "msg_2");
    assert_ne!(answer(&senders, &forged).await.unwrap_err().status(), StatusCode::GONE, "nobody's");
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_retired_one_before_its_successor_takes_nothing_from_it_and_all_retired_answer_410() {
    let log = Log::default();
    let allison = || Receiver::signed(Contract::allison(), &Secret::from_random(ALLISON)).unwrap();
    let retired =
        || Senders::new().with_handler(allison().with_retirement(), into::<allison::Event>(&log, "retired"));
    let request = sample(Contract::allison(), ALLISON, "call.ended", "evt_00000000000000000000000000000001");
    let with_successor = retired().with_handler(allison(), into::<allison::Event>(&log, "successor"));
    assert_eq!(answer(&with_successor, &request).await.unwrap(), Answer::OK);
    assert_eq!(log.lock().unwrap()[..], [("successor", "call.ended".to_owned())]);

    let kept = allison().with_retirement().with_max_body(10).with_intake(MemoryStore::new());
    let all = retired().with_store_first(kept);
    assert_eq!(answer(&all, &request).await.unwrap_err().status(), StatusCode::GONE);
    let stranger = Request::new(Bytes::new());
    assert_eq!(answer(&all, &stranger).await.unwrap_err().status(), StatusCode::GONE);

    // An unguarded retired receiver proves everything, so it ends a subscription only if all are retired.
    let anybodys = Receiver::dangerous_unguarded(Contract::nectar_desk()).with_retirement();
    let senders = Senders::new()
        .with_handler(allison(), into::<allison::Event>(&log, "allison"))
        .with_handler(anybodys, into::<nectar_desk::Event>(&log, "retired"));
    let rotated = sample(Contract::allison(), ALLO, "call.ended", "evt_00000000000000000000000000000002");
    assert_eq!(answer(&senders, &rotated).await.unwrap_err().status(), StatusCode::UNAUTHORIZED);

    // A retired receiver has the same limits as a live one.
    let busy = allison().with_retirement().with_admission(Admission::new().with_max_concurrent(0));
    let live = Receiver::signed(Contract::allo(), &Secret::from_random(ALLO)).unwrap();
    let senders = Senders::new()
        .with_handler(busy, into::<allison::Event>(&log, "retired"))
        .with_handler(live, into::<allo::Event>(&log, "allo"));
    assert_eq!(answer(&senders, &request).await.unwrap_err().status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn one_that_is_busy_or_cannot_look_its_secrets_up_costs_the_others_nothing() {
    struct Away;
    impl SecretSource for Away {
        async fn secrets(&self, _: &str) -> Result<Vec<Secret>, Failure> {
            Err("the database is away".into())
        }
    }
    let log = Log::default();
    let busy = Admission::new().with_max_concurrent(0);
    let first = [
        Receiver::signed(Contract::allo(), &Secret::from_random(ALLO)).unwrap().with_admission(busy),
        Receiver::by_tenant(Contract::allo(), Away).unwrap(),
    ];
    for (first, status) in first.into_iter().zip([429, 503]) {
        let allison = Receiver::signed(Contract::allison(), &Secret::from_random(ALLISON)).unwrap();
        let senders = Senders::new()
            .with_handler(first, into::<allo::Event>(&log, "allo"))
            .with_handler(
                Receiver::signed(Contract::recept_ai(), &Secret::from_random(RECEPT_AI)).unwrap(),
                into::<recept_ai::Event>(&log, "recept_ai"),
            )
            .with_handler(allison, into::<allison::Event>(&log, "allison"));
        let answer = async |request: &Request<Bytes>| {
            let arrival = Arrival::post(request.headers()).with_tenant("acme");
            handled_by_any(&senders, arrival, request.body(), NOW).await
        };
        let id = "evt_00000000000000000000000000000001";
        let others = sample(Contract::allison(), ALLISON, "call.ended", id);
        assert_eq!(answer(&others).await.unwrap(), Answer::OK);
        // The same holds for a sender with the same headers, so that the head does not tell them apart.
        let twins = sample(Contract::recept_ai(), RECEPT_AI, "Call Ended", "msg_1");
        assert_eq!(answer(&twins).await.unwrap(), Answer::OK);
        // The busy receiver's own sender has to repeat the request.
        let own = sample(Contract::allo(), ALLO, "call.completed", "msg_1");
        let rejection = answer(&own).await.unwrap_err();
        assert_eq!(rejection.status().as_u16(), status);
        assert!(rejection.retry_after().is_some());
    }
    assert_eq!(log.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn one_whose_guard_or_tenant_is_missing_leaves_those_behind_it_be() {
    struct Nobody;
    impl SecretSource for Nobody {
        async fn secrets(&self, _: &str) -> Result<Vec<Secret>, Failure> {
            Ok(Vec::new())
        }
    }
    let log = Log::default();
    let token: Secret = "another-path-of-22-bytes".parse().unwrap();
    let guarded = Receiver::guarded(Contract::nectar_desk(), PathGuard::new(&token).unwrap());
    let senders = Senders::new()
        .with_handler(guarded.with_body_deadline(SECOND), into::<nectar_desk::Event>(&log, "nectar_desk"))
        .with_handler(
            Receiver::by_tenant(Contract::allison(), Nobody).unwrap().with_body_deadline(3 * SECOND),
            into::<allison::Event>(&log, "tenants"),
        )
        .with_handler(
            Receiver::signed(Contract::allison(), &Secret::from_random(ALLISON))
                .unwrap()
                .with_body_deadline(2 * SECOND),
            into::<allison::Event>(&log, "allison"),
        );
    assert_eq!(senders.body_deadline(), 3 * SECOND, "of the one that waits longest");
    let request = sample(Contract::allison(), ALLISON, "call.ended", "evt_00000000000000000000000000000001");
    assert_eq!(answer(&senders, &request).await.unwrap(), Answer::OK, "it names no tenant");
    let arrival = Arrival::post(request.headers()).with_tenant("acme");
    let told = handled_by_any(&senders, arrival, request.body(), NOW).await;
    assert_eq!(told.unwrap(), Answer::OK, "it names one that is not known");
    assert_eq!(log.lock().unwrap().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["allison", "allison"]);
}

#[tokio::test]
async fn what_one_keeps_is_answered_at_once_and_handled_by_its_worker() {
    let log = Log::default();
    let store = Arc::new(MemoryStore::new());
    let token: Secret = PATH.rsplit('/').next().unwrap().parse().unwrap();
    let desk = Receiver::guarded(Contract::nectar_desk(), PathGuard::new(&token).unwrap());
    let desk = Arc::new(desk.with_max_body(500).with_intake(Arc::clone(&store)));
    let key = Secret::from_random(ALLISON);
    let allison = Receiver::signed(Contract::allison(), &key).unwrap().with_inbox(Arc::clone(&store));
    let senders = Senders::new()
        .with_handler(allison, into::<allison::Event>(&log, "allison"))
        .with_store_first(Arc::clone(&desk));
    let kept = sample(Contract::nectar_desk(), [4; 32], "Call Ended", "unsent");
    let handled = sample(Contract::allison(), ALLISON, "call.ended", "evt_00000000000000000000000000000001");
    for request in [&kept, &handled, &kept] {
        assert_eq!(answer(&senders, request).await.unwrap(), Answer::OK);
    }
    let names = || log.lock().unwrap().iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(names(), ["allison"], "nothing has handled the other yet");
    let stranger = Arrival::post(kept.headers()).with_path("/hooks/x");
    let rejection = handled_by_any(&senders, stranger, kept.body(), NOW).await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED);
    let no_event = Request::new(Bytes::from_static(b"[]"));
    assert_eq!(answer(&senders, &no_event).await.unwrap_err().status(), StatusCode::BAD_REQUEST);
    let long = Request::new(Bytes::from(vec![b' '; 501]));
    assert_eq!(answer(&senders, &long).await.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let busy = Receiver::guarded(Contract::nectar_desk(), PathGuard::new(&token).unwrap())
        .with_admission(Admission::new().with_max_concurrent(0))
        .with_intake(Arc::clone(&store));
    let busy = Senders::new().with_store_first(busy);
    assert_eq!(answer(&busy, &kept).await.unwrap_err().status(), StatusCode::TOO_MANY_REQUESTS);

    let all = hookwire::store::LeaseRequests::new("nectar_desk", SECOND, 9, NOW);
    let [taken] = &hookwire::Intake::lease_requests(&*store, &all).await.unwrap().requests[..] else {
        panic!("it was kept, once")
    };
    assert_eq!(&taken.body, kept.body());
    #[cfg(feature = "dispatch")]
    {
        let worker = desk.worker(into::<nectar_desk::Event>(&log, "nectar_desk"));
        assert_eq!(worker.step(NOW + SECOND).await.unwrap().done, 1);
        assert_eq!(names(), ["allison", "nectar_desk"]);
    }
}

#[tokio::test]
async fn no_more_is_looked_at_than_they_all_admit() {
    let log = Log::default();
    let senders = senders(&log).with_admission(Admission::new().with_max_concurrent(0));
    let request = sample(Contract::allo(), ALLO, "call.completed", "msg_1");
    assert_eq!(answer(&senders, &request).await.unwrap_err().status(), StatusCode::TOO_MANY_REQUESTS);
}

#[cfg(all(feature = "axum", feature = "hyper"))]
#[tokio::test]
async fn a_route_of_several_answers_as_they_do_and_tells_what_it_refuses() {
    use axum::Router;
    use axum::body::Body;
    use hookwire::receive::axum::senders as route;
    use tower_service::Service as _;

    let log = Log::default();
    let refused = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&refused);
    let shared = senders(&log).with_rejection_observer(move |rejection| {
        told.lock().unwrap().push(rejection.status());
        panic!("an observer that panics costs nothing");
    });
    let mut app: Router = Router::new().route("/hooks", route(shared));
    // The route uses the system's clock.
    let samples = Samples::new(Contract::allo(), &Secret::from_random(ALLO))
        .unwrap()
        .with_uri("/hooks".parse().unwrap());
    let now = OffsetDateTime::now_utc();
    let genuine = samples.request("call.completed", &"msg_1".parse().unwrap(), now).unwrap();
    let mut late = genuine.clone();
    late.headers_mut().insert("webhook-timestamp", "1".parse().unwrap());
    for (request, status) in [(genuine, 200), (late, 401)] {
        let response = app.call(request.map(Body::from)).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
    assert_eq!(*refused.lock().unwrap(), [StatusCode::UNAUTHORIZED]);
    assert_eq!(log.lock().unwrap().len(), 1);
}

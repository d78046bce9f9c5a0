//! Tenants: their secrets, and how often the source is asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use hookwire::receive::{Answer, Arrival, Receiver, Rejection, SecretSource};
use hookwire::{Contract, Secret, VerifyError};
use http::StatusCode;
use tokio::sync::{Notify, Semaphore};

use crate::received::received;

use super::{Failure, NOON, Request, answer, answer_at, secret};

#[derive(Clone, Default)]
pub(super) struct Tenants(Arc<Mutex<HashMap<String, Vec<Secret>>>>, Arc<AtomicU32>);

impl Tenants {
    pub(super) fn set(&self, tenant: &str, secrets: &[&Secret]) {
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
    let to = |tenant| Arrival::post(&request.headers).with_tenant(tenant);
    assert_eq!(answer(&receiver, &to("acme"), &request.body).await.unwrap(), Answer::OK);
    for tenant in ["other", "nobody"] {
        let rejection = answer(&receiver, &to(tenant), &request.body).await.unwrap_err();
        assert_eq!(rejection.status(), StatusCode::UNAUTHORIZED, "{rejection}");
        // Both are compared with a signature, so the response time does not show whether the tenant exists.
        assert!(matches!(rejection, Rejection::Unverified(VerifyError::SignatureMismatch)), "{rejection:?}");
    }
    let rejection = answer(&receiver, &Arrival::post(&request.headers), &request.body).await.unwrap_err();
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
    let receiver = Receiver::by_tenant_cached(Contract::allison(), tenants.clone(), age, 2).unwrap();
    let at = async |request: &Request, now| {
        let arrival = Arrival::post(&request.headers).with_tenant("acme");
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
    // Invented names do not displace known tenants.
    for number in 0..10 {
        let name = format!("made-up-{number}");
        let arrival = Arrival::post(&by_old.headers).with_tenant(&name);
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
    let receiver = Receiver::by_tenant_cached(Contract::allison(), tenants.clone(), age, 2).unwrap();
    let request = Request::signed_by("evt_1", &key);
    // The number of times the source was asked for this tenant.
    let asked = async |name, now| {
        let before = tenants.asked();
        let arrival = Arrival::post(&request.headers).with_tenant(name);
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
    /// Answers with the secrets of the time of the question; the first answer is slow.
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
        let arrival = Arrival::post(&request.headers).with_tenant("acme");
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

/// Answers when it is allowed to.
struct Held {
    tenants: Tenants,
    lets_go: Arc<Semaphore>,
}

impl SecretSource for Held {
    async fn secrets(&self, tenant: &str) -> Result<Vec<Secret>, Failure> {
        let secrets = self.tenants.secrets(tenant).await;
        self.lets_go.acquire().await.unwrap().forget();
        secrets
    }
}

/// A receiver whose source holds back every answer, its tenants, and the semaphore that releases an answer.
fn held(age: Duration, most: usize) -> (Receiver, Tenants, Arc<Semaphore>) {
    let (tenants, lets_go) = (Tenants::default(), Arc::new(Semaphore::new(0)));
    tenants.set("acme", &[&secret(1)]);
    let source = Held { tenants: tenants.clone(), lets_go: Arc::clone(&lets_go) };
    let receiver = Receiver::by_tenant_cached(Contract::allison(), source, age, most).unwrap();
    (receiver, tenants, lets_go)
}

/// The statuses of concurrent requests for a tenant. The source's answers are released one after the other.
async fn at_once(receiver: &Receiver, tenant: &str, requests: u32, lets_go: &Semaphore) -> Vec<u16> {
    lets_go.forget_permits(usize::MAX);
    let all = join_all((0..requests).map(async |number| {
        let request = Request::signed_by(&format!("evt_{number}"), &secret(1));
        let arrival = Arrival::post(&request.headers).with_tenant(tenant);
        let answered = answer(receiver, &arrival, &request.body).await;
        answered.unwrap_or_else(|rejection| Answer::from(&rejection)).status.as_u16()
    }));
    let letting_go = async {
        loop {
            tokio::task::yield_now().await;
            lets_go.add_permits(1);
        }
    };
    tokio::select! {
        statuses = all => statuses,
        () = letting_go => unreachable!("it goes on"),
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn who_comes_while_a_tenants_secrets_are_looked_up_shares_the_answer() {
    let (receiver, tenants, lets_go) = held(MINUTE, 10);
    assert_eq!(at_once(&receiver, "acme", 20, &lets_go).await, [200; 20]);
    assert_eq!(tenants.asked(), 1);
    // An unknown name is not cached, but concurrent requests share one question.
    assert_eq!(at_once(&receiver, "nobody", 20, &lets_go).await, [401; 20]);
    assert_eq!(tenants.asked(), 2);
    // A failure is shared too, for as long as the question takes.
    assert_eq!(at_once(&receiver, "down", 20, &lets_go).await, [503; 20]);
    assert_eq!(tenants.asked(), 3);
    assert_eq!(at_once(&receiver, "down", 1, &lets_go).await, [503]);
    assert_eq!(tenants.asked(), 4, "and no longer");
    for (age, most) in [(Duration::ZERO, 10), (MINUTE, 0)] {
        let (receiver, tenants, lets_go) = held(age, most);
        assert_eq!(at_once(&receiver, "acme", 20, &lets_go).await, [200; 20]);
        assert_eq!(tenants.asked(), 20, "each asks, as it was told to");
    }
}

#[tokio::test]
async fn no_more_tenants_are_asked_for_together_than_are_kept() {
    let (receiver, tenants, lets_go) = held(MINUTE, 1);
    tenants.set("other", &[&secret(1)]);
    let requests = [("acme", "evt_1"), ("other", "evt_2"), ("other", "evt_3"), ("acme", "evt_4")];
    let all = join_all(requests.map(async |(tenant, id)| {
        let request = Request::signed_by(id, &secret(1));
        answer(&receiver, &Arrival::post(&request.headers).with_tenant(tenant), &request.body).await.unwrap()
    }));
    // Wait until all of them wait.
    let letting_go = async {
        tokio::task::yield_now().await;
        lets_go.add_permits(3);
    };
    assert_eq!(tokio::join!(all, letting_go).0, [Answer::OK; 4]);
    assert_eq!(tenants.asked(), 3, "those of acme together, those of the other each for itself");
}

#[tokio::test]
async fn when_the_one_who_asked_is_gone_another_asks() {
    let (receiver, tenants, lets_go) = held(MINUTE, 10);
    let receiver = Arc::new(receiver);
    let ask = |id: &'static str| {
        let receiver = Arc::clone(&receiver);
        tokio::spawn(async move {
            let request = Request::signed_by(id, &secret(1));
            answer(&receiver, &Arrival::post(&request.headers).with_tenant("acme"), &request.body).await
        })
    };
    let first = ask("evt_1");
    tokio::task::yield_now().await;
    let others = [ask("evt_2"), ask("evt_3")];
    tokio::task::yield_now().await;
    assert_eq!(tenants.asked(), 1);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    lets_go.add_permits(1);
    for other in others {
        assert_eq!(other.await.unwrap().unwrap(), Answer::OK);
    }
    assert_eq!(tenants.asked(), 2);
}

#[tokio::test]
async fn who_comes_after_a_rotation_does_not_share_what_was_asked_for_before() {
    let (receiver, tenants, lets_go) = held(MINUTE, 10);
    let (old, new) = (Request::signed_by("evt_1", &secret(1)), Request::signed_by("evt_2", &secret(2)));
    let ask = async |request: &Request| {
        answer(&receiver, &Arrival::post(&request.headers).with_tenant("acme"), &request.body).await.unwrap()
    };
    let rotated = async {
        tokio::task::yield_now().await;
        tenants.set("acme", &[&secret(2)]);
        receiver.forget_secrets("acme");
        let after = ask(&new);
        lets_go.add_permits(2);
        after.await
    };
    assert_eq!(tokio::join!(ask(&old), rotated), (Answer::OK, Answer::OK));
    assert_eq!(tenants.asked(), 2);
    assert_eq!(ask(&new).await, Answer::OK);
    assert_eq!(tenants.asked(), 2, "what came last is kept");
}

#[tokio::test]
async fn a_source_that_panics_is_answered_503_to_all_who_wait_for_it_and_asked_again() {
    struct Panics(AtomicU32);

    impl SecretSource for Panics {
        async fn secrets(&self, _: &str) -> Result<Vec<Secret>, Failure> {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "a bug of the application's");
            Ok(vec![secret(1)])
        }
    }

    let receiver = Receiver::by_tenant(Contract::allison(), Panics(AtomicU32::new(0))).unwrap();
    let request = Request::signed_by("evt_1", &secret(1));
    let arrival = Arrival::post(&request.headers).with_tenant("acme");
    let rejection = answer(&receiver, &arrival, &request.body).await.unwrap_err();
    assert!(matches!(&rejection, Rejection::Secrets(_)), "{rejection:?}");
    assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer(&receiver, &arrival, &request.body).await.unwrap(), Answer::OK);
}

#[tokio::test]
async fn a_malformed_secret_beside_a_good_one_locks_nobody_out() {
    let tenants = Tenants::default();
    // Not base64, and a key that is too short for Standard Webhooks.
    let malformed: [Secret; 2] = ["not base64 at all".parse().unwrap(), "whsec_AAAA".parse().unwrap()];
    let [first, second] = &malformed;
    tenants.set("good", &[first, &secret(1), second, &secret(2)]);
    tenants.set("none", &[first, second]);
    let receiver = Receiver::by_tenant(Contract::allo(), tenants).unwrap();
    let signed = |key: &Secret| {
        let contract = Contract::allo();
        let body = br#"{"topic":"call.completed","version":"2.0","timestamp":"2026-04-17T12:00:00.000000Z","data":{"id":"c"}}"#;
        (contract.signer(key).unwrap().sign("msg_1", NOON, body).unwrap(), &body[..])
    };
    let told = async |tenant, key: &Secret| {
        let (headers, body) = signed(key);
        let arrival = Arrival::post(&headers).with_tenant(tenant);
        let received = received::<hookwire::RawEvent, _>(&receiver, arrival, body, NOON).await;
        received.map(drop).map_err(|rejection| rejection.status().as_u16())
    };
    for key in [secret(1), secret(2)] {
        assert_eq!(told("good", &key).await, Ok(()));
        assert_eq!(told("none", &key).await, Err(503), "to be sent again when the row is mended");
    }
    assert_eq!(told("good", &secret(3)).await, Err(401));
}

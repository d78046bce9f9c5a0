//! The promises of docs/retries.md, on a clock that runs with the test.

use std::time::Duration;

use hookwire::allison::CallEnded;
use hookwire::dispatch::EmitError;
use hookwire::store::Replay;
use hookwire::{
    Clock as _, Contract, DeadReason, Delivery, DeliveryState, DisabledReason, Envelope, Jitter,
    Records as _, RetryPolicy, Store as _, SubscriptionId, SubscriptionStatus,
};
use tokio::time::{Instant, sleep};

use super::world::{Act, Endpoints, MS, SECOND, World};
use crate::stores::deliveries;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The waits of the table in docs/retries.md, in seconds.
const TABLE: [(&str, &[u64]); 6] = [
    ("allison", &[MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY]),
    ("allo", &[5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR]),
    ("allo_v1", &[]),
    ("nectar_desk", &[1, 2, 4]),
    ("recept_ai", &[30, 60, 120, 240, 480, 960, 1_920]),
    (
        "standard_webhooks",
        &[5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, DAY],
    ),
];

struct Sent {
    world: World,
    subscription: SubscriptionId,
    /// The times from the emit to each request.
    at: Vec<Duration>,
}

impl Sent {
    async fn delivery(&self) -> Delivery {
        let [delivery] =
            deliveries(&self.world.store, "org", self.subscription).await.try_into().expect("one delivery");
        delivery
    }
}

/// Sends one event, and waits until every contract has made all of its attempts.
async fn send(contract: Contract, act: impl Fn(usize) -> Act + Send + Sync + 'static) -> Sent {
    let mut world = World::new(contract, Endpoints::new(move |_, number| act(number)));
    let subscription = world.subscribe("org", "/in").await;
    // Retries are not left to the next poll.
    world.poll = 3_600 * SECOND;
    world.start();
    let emitted = Instant::now();
    world.emit("org").await;
    let retry = world.contract.retry();
    let waits: Duration = (1..).map_while(|attempt| retry.delay_after(attempt)).sum();
    sleep(waits + 10 * (world.contract.timeout() + 60 * SECOND)).await;
    if retry.max_attempts() != Some(1) {
        // An endpoint may have asked for a longer wait.
        sleep(Duration::from_secs(DAY)).await;
    }
    world.stop().await;
    let at = world.endpoints.seen("/in").iter().map(|seen| seen.at - emitted).collect();
    Sent { world, subscription, at }
}

/// Checks that requests began at these times in seconds, at most 20 ms later for each attempt before.
fn assert_on_time(sent: &[Duration], planned: &[u64], what: &str) {
    assert_eq!(sent.len(), planned.len(), "{what}: {sent:?}");
    for (number, (sent, planned)) in (1..).zip(sent.iter().zip(planned)) {
        let planned = Duration::from_secs(*planned);
        assert!(
            (planned..=planned + 20 * number * MS).contains(sent),
            "{what}: {sent:?}, planned {planned:?}"
        );
    }
}

/// The times of attempts whose waits are these, where each attempt takes `took`.
fn times(waits: &[u64], took: u64) -> Vec<u64> {
    let next = |at: &mut u64, wait: &u64| {
        *at += took + wait;
        Some(*at)
    };
    std::iter::once(0).chain(waits.iter().scan(0, next)).collect()
}

#[tokio::test(start_paused = true)]
async fn attempts_are_made_at_the_times_of_the_table() {
    for (name, waits) in TABLE {
        let sent = send(name.parse().unwrap(), |_| Act::Answer(500, Duration::ZERO)).await;
        assert_on_time(&sent.at, &times(waits, 0), name);
        assert_eq!(sent.delivery().await.state, DeliveryState::Dead(DeadReason::Exhausted), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_do_not_answer_are_attempted_at_the_times_of_the_table_too() {
    for (name, waits) in TABLE {
        let contract: Contract = name.parse().unwrap();
        let timeout = contract.timeout().as_secs();
        let sent = send(contract.clone(), |_| Act::Hang).await;
        assert_on_time(&sent.at, &times(waits, timeout), name);
        let sent = send(contract, |_| Act::Refuse).await;
        assert_on_time(&sent.at, &times(waits, 0), name);
    }
}

#[tokio::test(start_paused = true)]
async fn each_wait_starts_at_the_previous_failure() {
    for (name, waits) in TABLE {
        let sent = send(name.parse().unwrap(), |_| Act::Answer(502, 7 * SECOND)).await;
        assert_on_time(&sent.at, &times(waits, 7), name);
    }
}

#[tokio::test(start_paused = true)]
async fn every_status_that_is_no_success_is_a_failure_and_no_redirect_is_followed() {
    for status in [301, 302, 307, 400, 404, 429, 500] {
        let sent = send(Contract::allison(), move |_| Act::Answer(status, Duration::ZERO)).await;
        assert_eq!(sent.at.len(), 6, "{status}");
    }
    for status in [301, 400, 410, 429] {
        let sent = send(Contract::nectar_desk(), move |_| Act::Answer(status, Duration::ZERO)).await;
        assert_eq!(sent.at.len(), 1, "{status}: only if the server failed or did not answer");
        assert_eq!(sent.delivery().await.state, DeliveryState::Dead(DeadReason::Refused));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_within_bounds() {
    for (asked, planned) in [("10", MINUTE), ("300", 5 * MINUTE), ("9999999", DAY)] {
        let sent = send(Contract::allison(), move |number| match number {
            0 => Act::Busy(asked),
            _ => Act::Answer(200, Duration::ZERO),
        })
        .await;
        assert_on_time(&sent.at, &[0, planned], asked);
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_is_the_same_in_every_process_and_differs_between_endpoints() {
    let jitter =
        || RetryPolicy::delays([60 * SECOND]).unwrap().with_jitter(Jitter::Proportional(0.5)).unwrap();
    let contract = Contract::allison().with_retry(jitter());
    let mut world = World::new(contract, Endpoints::new(|_, _| Act::Answer(500, Duration::ZERO)));
    let mut subscriptions = Vec::new();
    for number in 0..20 {
        subscriptions.push(world.subscribe("org", &format!("/{number}")).await);
    }
    world.start();
    let emitted = Instant::now();
    world.emit("org").await;
    sleep(10 * SECOND).await;
    // Another process makes the retries.
    world.stop().await;
    world.start();
    sleep(120 * SECOND).await;
    world.stop().await;
    let mut retried = Vec::new();
    for (number, subscription) in subscriptions.into_iter().enumerate() {
        let seen = world.endpoints.seen(&format!("/{number}"));
        let [delivery] = deliveries(&world.store, "org", subscription).await.try_into().expect("one");
        let seed = delivery.id.as_u128() as u64;
        let planned = jitter().next(1, Duration::ZERO, seed, None).expect("one retry");
        let at = seen[1].at - emitted;
        assert!(at >= planned && at <= planned + 50 * MS, "{at:?}, planned {planned:?}");
        retried.push(at.as_secs());
    }
    retried.sort_unstable();
    retried.dedup();
    assert!(retried.len() > 10, "at different times: {retried:?}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_gone_is_disabled_if_its_contract_says_so() {
    for (name, _) in TABLE {
        let contract: Contract = name.parse().unwrap();
        let disables = contract.disables_on_gone();
        let sent = send(contract, |_| Act::Answer(410, Duration::ZERO)).await;
        let stored = sent.world.store.subscription(sent.subscription).await.unwrap().unwrap();
        let is_disabled =
            matches!(stored.status, SubscriptionStatus::Disabled { reason: DisabledReason::Gone, .. });
        assert_eq!(is_disabled, disables, "{name}");
        if disables {
            assert_eq!(sent.at.len(), 1, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_only_fails_is_disabled_by_its_contracts_rule() {
    for (act, is_disabled) in
        [(Act::Answer(500, MS), true), (Act::Refuse, true), (Act::Answer(200, MS), false)]
    {
        let mut world = World::new(Contract::allison(), Endpoints::new(move |_, _| act));
        let subscription = world.subscribe("org", "/in").await;
        world.poll = 3_600 * SECOND;
        world.start();
        // Allison's rule is five days of nothing but failures.
        for _ in 0..11 {
            let stored = world.store.subscription(subscription).await.unwrap().unwrap();
            assert_eq!(stored.status, SubscriptionStatus::Enabled);
            world.emit("org").await;
            sleep(Duration::from_secs(DAY / 2 - HOUR)).await;
        }
        sleep(Duration::from_secs(DAY)).await;
        world.stop().await;
        let stored = world.store.subscription(subscription).await.unwrap().unwrap();
        assert_eq!(stored.status != SubscriptionStatus::Enabled, is_disabled, "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_sends_the_same_bytes_under_the_same_id_with_a_new_signature() {
    let sent = send(Contract::allison(), |_| Act::Answer(500, Duration::ZERO)).await;
    let seen = sent.world.endpoints.seen("/in");
    for pair in seen.windows(2) {
        assert_eq!(pair[0].body, pair[1].body);
        let header = |name: &str| (pair[0].headers[name].clone(), pair[1].headers[name].clone());
        let (before, after) = header("x-allison-event-id");
        assert_eq!(before, after);
        for name in ["x-allison-timestamp", "x-allison-signature"] {
            let (before, after) = header(name);
            assert_ne!(before, after, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_stays_visible_and_is_sent_again_by_each_kind_of_replay() {
    let ways: [fn(&Delivery, SubscriptionId) -> Replay; 3] = [
        |dead, _| Replay::Delivery(dead.id),
        |_, subscription| Replay::DeadLetters(subscription),
        |dead, subscription| Replay::Since(subscription, dead.created_at - SECOND),
    ];
    for way in ways {
        let mut sent = send(Contract::nectar_desk(), |number| {
            Act::Answer(if number < 4 { 500 } else { 200 }, Duration::ZERO)
        })
        .await;
        let dead = sent.delivery().await;
        assert_eq!(dead.state, DeliveryState::Dead(DeadReason::Exhausted));
        let replay = way(&dead, sent.subscription);
        let replayed = sent.world.store.replay(&replay, 100, sent.world.clock.now()).await.unwrap();
        assert_eq!(replayed.made, 1, "{replay:?}");
        sent.world.start();
        sleep(10 * SECOND).await;
        sent.world.stop().await;
        let seen = sent.world.endpoints.seen("/in");
        assert_eq!(seen.len(), 5, "{replay:?}");
        assert_eq!(seen[4].body, seen[0].body);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_emitted_twice_is_sent_once() {
    let mut world = World::new(Contract::allison(), Endpoints::new(|_, _| Act::Answer(200, MS)));
    world.subscribe("org", "/in").await;
    world.start();
    let envelope = Envelope::new(CallEnded::new("c-1"));
    for is_duplicate in [false, true, true] {
        assert_eq!(world.outbox.emit("org", &envelope).await.unwrap().duplicate, is_duplicate);
        sleep(SECOND).await;
    }
    let other = Envelope::from_parts(envelope.id.clone(), envelope.created_at, CallEnded::new("c-2"));
    let error = world.outbox.emit("org", &other).await.unwrap_err();
    assert!(matches!(error, EmitError::Conflict { .. }), "{error}");
    sleep(SECOND).await;
    world.stop().await;
    assert_eq!(world.endpoints.seen("/in").len(), 1);
}

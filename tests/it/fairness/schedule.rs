//! The published schedule holds while there is capacity, whatever an endpoint answers.

use std::time::Duration;

use hookwire::{Contract, DeliveryState, Records as _, SubscriptionId};
use tokio::time::{Instant, sleep};

use super::world::{Act, Endpoints, MS, SECOND, Seen, World, quantile};
use crate::stores::deliveries;

/// How much later than the contract plans each attempt but the first began.
async fn lateness(world: &World, subscription: SubscriptionId) -> Vec<Duration> {
    let mut lateness = Vec::new();
    for delivery in deliveries(&world.store, "org", subscription).await {
        let attempts = world.store.list_attempts(delivery.id).await.unwrap();
        for pair in attempts.windows(2) {
            let planned = world.contract.retry().delay_after(pair[0].number).unwrap();
            let due_at = pair[0].started_at + pair[0].duration + planned;
            lateness.push(Duration::try_from(pair[1].started_at - due_at).expect("no attempt is early"));
        }
    }
    lateness
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_events_that_are_answered_500_at_once_keep_to_the_schedule() {
    let endpoints = Endpoints::new(|_, _| Act::Answer(500, 2 * MS));
    let mut world = World::new(Contract::nectar_desk(), endpoints);
    let subscription = world.subscribe("org", "/in").await;
    world.start();
    for _ in 0..10_000 {
        world.emit("org").await;
        sleep(2 * MS).await;
    }
    sleep(30 * SECOND).await;
    world.stop().await;
    assert_eq!(world.endpoints.seen("/in").len(), 40_000, "four attempts of each");
    let lateness = lateness(&world, subscription).await;
    assert_eq!(lateness.len(), 30_000);
    let p99 = quantile(&lateness, 0.99);
    assert!(p99 <= SECOND, "p99 is {p99:?}");
}

/// The time from the emit of a good event to its receipt, behind as many that are answered `status`.
async fn behind(bad: usize, status: u16, contract: Contract) -> Duration {
    // The number of a request is its event's, because no retry is due before the last event is sent.
    let endpoints =
        Endpoints::new(move |_, number| Act::Answer(if number == bad { 200 } else { status }, 5 * MS));
    let mut world = World::new(contract, endpoints);
    world.subscribe("org", "/in").await;
    for _ in 0..bad {
        world.emit("org").await;
    }
    let emitted = Instant::now();
    let good = world.emit("org").await;
    world.start();
    sleep(120 * SECOND).await;
    world.stop().await;
    let seen = world.endpoints.seen("/in");
    let is_good = |body: &[u8]| body.windows(good.len()).any(|part| part == good.as_bytes());
    seen.iter().find(|seen| is_good(&seen.body)).expect("it arrives").at - emitted
}

#[tokio::test(start_paused = true)]
async fn a_good_event_behind_a_thousand_refused_ones_waits_for_no_breaker() {
    let alone = behind(0, 200, Contract::allison()).await;
    for status in [400, 404, 429, 500, 503] {
        let behind = behind(1_000, status, Contract::allison()).await;
        assert!(behind <= 2 * alone + SECOND, "{status}: {behind:?}, alone {alone:?}");
    }
}

/// The time from the emit of a good event to its receipt, while retries of so many others are due that the
/// endpoint takes seconds for them. The dispatcher finds all of them when it starts, or has made the first
/// attempts itself.
async fn behind_retries(bad: usize, status: u16, is_restarted: bool) -> Duration {
    // No second attempt begins before all first ones have.
    let endpoints = Endpoints::new(move |_, number| match number {
        number if number < bad => Act::Answer(status, 200 * MS),
        _ => Act::Answer(200, 200 * MS),
    });
    let mut world = World::new(Contract::standard_webhooks(), endpoints);
    world.subscribe("org", "/in").await;
    for _ in 0..bad {
        world.emit("org").await;
    }
    world.start();
    let firsts = bad as u32 * 200 * MS / 64;
    sleep(firsts + 150 * MS).await;
    if is_restarted {
        world.stop().await;
        sleep(60 * SECOND).await;
    }
    let emitted = Instant::now();
    let good = world.emit("org").await;
    if is_restarted {
        world.start();
    }
    sleep(60 * SECOND).await;
    world.stop().await;
    let seen = world.endpoints.seen("/in");
    let is_good = |seen: &&Seen| seen.headers["webhook-id"] == good;
    seen.iter().find(is_good).expect("it arrives").at - emitted
}

#[tokio::test(start_paused = true)]
async fn a_new_event_goes_before_the_retries_of_its_endpoint() {
    let alone = behind_retries(0, 200, true).await;
    for status in [404, 429, 503] {
        for (bad, is_restarted) in [(1_000, true), (3_000, false)] {
            let behind = behind_retries(bad, status, is_restarted).await;
            assert!(behind <= 2 * alone + SECOND, "{status}, {bad}: {behind:?}, alone {alone:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_at_an_endpoint_that_refuses_connections_for_three_seconds_are_made_on_time() {
    let began = std::sync::OnceLock::new();
    let endpoints = Endpoints::new(move |_, _| {
        let is_down = began.get_or_init(Instant::now).elapsed() < 3 * SECOND;
        if is_down { Act::Refuse } else { Act::Answer(200, MS) }
    });
    let mut world = World::new(Contract::nectar_desk(), endpoints);
    let subscription = world.subscribe("org", "/in").await;
    world.start();
    for _ in 0..40 {
        world.emit("org").await;
    }
    sleep(30 * SECOND).await;
    world.stop().await;
    let lateness = lateness(&world, subscription).await;
    assert_eq!(lateness.len(), 80, "at once, after 1 s and after 3 s");
    let worst = quantile(&lateness, 1.0);
    assert!(worst <= 100 * MS, "{worst:?}");
    for delivery in deliveries(&world.store, "org", subscription).await {
        assert_eq!(delivery.state, DeliveryState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_takes_every_second_event_drains() {
    for refusal in [Act::Answer(500, MS), Act::Refuse, Act::Hang] {
        let endpoints =
            Endpoints::new(move |_, number| if number % 2 == 0 { refusal } else { Act::Answer(200, MS) });
        let mut world = World::new(Contract::standard_webhooks(), endpoints);
        let subscription = world.subscribe("org", "/in").await;
        world.backlog(subscription, "org", 1_000).await;
        world.poll = 3_600 * SECOND;
        world.start();
        // Half of those that are left are taken at each step of the schedule.
        sleep(3_600 * 48 * SECOND).await;
        world.stop().await;
        let deliveries = deliveries(&world.store, "org", subscription).await;
        let left = deliveries.iter().filter(|delivery| delivery.state != DeliveryState::Delivered).count();
        assert!(left <= 1_000 / 100, "{refusal:?}: {left} of {} are left", deliveries.len());
    }
}

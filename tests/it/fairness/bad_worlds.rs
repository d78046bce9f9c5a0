//! The delay of a healthy endpoint beside many bad ones: at most twice its delay alone and 50 ms.

use std::time::Duration;

use hookwire::Contract;
use tokio::time::{Instant, sleep, sleep_until};

use super::world::{Act, Endpoints, HEALTHY, MS, SECOND, World, quantile};

/// The bad endpoints of a world.
struct Bad {
    act: Act,
    count: usize,
    /// The due deliveries of each.
    backlog: usize,
    /// Whether each has an organization of its own. Otherwise they are in the healthy endpoint's.
    is_apart: bool,
}

const NONE: Bad = Bad { act: Act::Hang, count: 0, backlog: 0, is_apart: true };

fn endpoints(bad: Act) -> Endpoints {
    Endpoints::new(move |path, _| if path.starts_with("/bad") { bad } else { HEALTHY })
}

/// The times from emit to receipt of events for one healthy endpoint: of the first event after a cold start,
/// and of those in the next minute.
async fn delays(bad: &Bad) -> (Duration, Vec<Duration>) {
    let mut world = World::new(Contract::allison(), endpoints(bad.act));
    for number in 0..bad.count {
        let organization = if bad.is_apart { format!("bad_{number}") } else { "good".to_owned() };
        let mut subscription = world.subscription(&organization, &format!("/bad/{number}"));
        if !bad.is_apart {
            // It wants another type of event than the healthy endpoint.
            subscription.filter = hookwire::EventFilter::new(["call.started"]).unwrap();
        }
        hookwire::Subscriptions::put(&*world.store, &subscription).await.unwrap();
        world.backlog(subscription.id, &organization, bad.backlog).await;
    }
    world.subscribe("good", "/good").await;
    world.start();
    // The bad ones are found before the first event.
    sleep(SECOND).await;
    let mut emitted = Vec::new();
    let begin = Instant::now();
    for number in 0..600 {
        sleep_until(begin + 100 * MS * number).await;
        emitted.push(Instant::now());
        world.emit("good").await;
    }
    sleep(60 * SECOND).await;
    world.stop().await;
    let seen = world.endpoints.seen("/good");
    assert_eq!(seen.len(), emitted.len(), "each event arrived once");
    let delays: Vec<_> = emitted.iter().zip(&seen).map(|(emitted, seen)| seen.at - *emitted).collect();
    (delays[0], delays[1..].to_vec())
}

async fn costs_nobody_anything(bad: Bad) {
    let (first_alone, alone) = delays(&NONE).await;
    let (first, beside) = delays(&bad).await;
    assert!(first <= 2 * first_alone + 50 * MS, "the first took {first:?}, alone {first_alone:?}");
    let (alone, beside) = (quantile(&alone, 0.99), quantile(&beside, 0.99));
    assert!(beside <= 2 * alone + 50 * MS, "p99 is {beside:?}, alone {alone:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_endpoints_that_hang_cost_a_healthy_one_nothing() {
    costs_nobody_anything(Bad { act: Act::Hang, count: 1_000, backlog: 3, is_apart: true }).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_endpoints_of_the_same_organization_that_hang_cost_a_healthy_one_nothing() {
    costs_nobody_anything(Bad { act: Act::Hang, count: 1_000, backlog: 3, is_apart: false }).await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_refuse_with_many_pending_cost_a_healthy_one_nothing() {
    costs_nobody_anything(Bad { act: Act::Refuse, count: 1_000, backlog: 20, is_apart: true }).await;
}

#[tokio::test(start_paused = true)]
async fn twenty_slow_endpoints_cost_a_healthy_one_nothing() {
    let slow = Act::Answer(200, 8 * SECOND);
    costs_nobody_anything(Bad { act: slow, count: 20, backlog: 100, is_apart: true }).await;
    costs_nobody_anything(Bad { act: slow, count: 20, backlog: 100, is_apart: false }).await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_answer_500_at_once_cost_a_healthy_one_nothing() {
    let failing = Act::Answer(500, MS);
    costs_nobody_anything(Bad { act: failing, count: 200, backlog: 50, is_apart: true }).await;
}

/// How long after a cold start a healthy endpoint gets the delivery that was left for it, beside endpoints
/// that hang. `is_recorded` says whether a process before this one has recorded that they fail.
async fn left_over(bad: usize, organization: fn(usize) -> String, is_recorded: bool) -> Duration {
    let mut world = World::new(Contract::allison(), endpoints(Act::Hang));
    for number in 0..bad {
        let (organization, path) = (organization(number), format!("/bad/{number}"));
        let id = if is_recorded {
            world.subscribe_failing(&organization, &path).await
        } else {
            world.subscribe(&organization, &path).await
        };
        world.backlog(id, &organization, 3).await;
    }
    let healthy = world.subscribe("good", "/good").await;
    world.backlog(healthy, "good", 1).await;
    let started = Instant::now();
    world.start();
    // For as long as three turns of all endpoints at the share of those that do not answer.
    let limit = Duration::from_secs(60 + 2 * bad as u64);
    while world.endpoints.seen("/good").is_empty() && started.elapsed() < limit {
        sleep(MS).await;
    }
    world.stop().await;
    world.endpoints.seen("/good").first().map_or(limit, |seen| seen.at - started)
}

#[tokio::test(start_paused = true)]
async fn thousands_of_endpoints_that_are_recorded_as_failing_cost_a_healthy_one_nothing_after_a_cold_start() {
    let alone = left_over(0, |_| String::new(), true).await;
    for organization in [|number| format!("bad_{number}"), |_| "bad".to_owned(), |_| "good".to_owned()] {
        let beside = left_over(3_000, organization, true).await;
        assert!(beside <= 2 * alone + 50 * MS, "it took {beside:?}, alone {alone:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_organization_of_endpoints_that_hang_has_one_turn_of_those_after_a_cold_start() {
    let beside = left_over(500, |_| "bad".to_owned(), false).await;
    assert!(beside <= 31 * SECOND, "it took {beside:?}, and an attempt that hangs 30 s");
}

/// The times from emit to receipt at a healthy endpoint, beside endpoints that answer for ten seconds and
/// then hang all at once, as when their host fails. Each gets an event a second.
async fn beside_an_outage(bad: usize) -> Vec<Duration> {
    let acts =
        |path: &str, number| if path.starts_with("/bad") && number >= 10 { Act::Hang } else { HEALTHY };
    let mut world = World::new(Contract::allison(), Endpoints::new(acts));
    for number in 0..bad {
        world.subscribe(&format!("bad_{number}"), &format!("/bad/{number}")).await;
    }
    world.subscribe("good", "/good").await;
    world.start();
    let (mut emitted, begin) = (Vec::new(), Instant::now());
    for round in 0..400 {
        sleep_until(begin + 100 * MS * round).await;
        emitted.push(Instant::now());
        world.emit("good").await;
        for number in (round as usize % 10..bad).step_by(10) {
            world.emit(&format!("bad_{number}")).await;
        }
    }
    sleep(60 * SECOND).await;
    world.stop().await;
    let seen = world.endpoints.seen("/good");
    assert_eq!(seen.len(), emitted.len(), "each event arrived once");
    emitted.iter().zip(&seen).map(|(emitted, seen)| seen.at - *emitted).collect()
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_answered_and_then_hang_all_at_once_cost_a_healthy_one_nothing() {
    let (alone, beside) = (beside_an_outage(0).await, beside_an_outage(100).await);
    let (alone, beside) = (quantile(&alone, 1.0), quantile(&beside, 1.0));
    assert!(beside <= 2 * alone + 50 * MS, "at most {beside:?}, alone {alone:?}");
}

/// The times from emit to receipt at each of the healthy endpoints of an organization, after a cold start and
/// in the next half hour.
async fn fan_out(healthy: usize, dead: usize, act: Act) -> (Vec<Duration>, Vec<Duration>) {
    let mut world = World::new(Contract::allison(), endpoints(act));
    for number in 0..dead {
        // A process before this one has recorded that they fail.
        world.subscribe_failing("org", &format!("/bad/{number}")).await;
    }
    for number in 0..healthy {
        world.subscribe("org", &format!("/good/{number}")).await;
    }
    world.start();
    sleep(SECOND).await;
    let mut emitted = Vec::new();
    for _ in 0..10 {
        emitted.push(Instant::now());
        world.emit("org").await;
        sleep(180 * SECOND).await;
    }
    world.stop().await;
    let mut delays = vec![Vec::new(); emitted.len()];
    for number in 0..healthy {
        let seen = world.endpoints.seen(&format!("/good/{number}"));
        assert_eq!(seen.len(), emitted.len());
        for ((emitted, seen), delays) in emitted.iter().zip(&seen).zip(&mut delays) {
            delays.push(seen.at - *emitted);
        }
    }
    (delays[0].clone(), delays[1..].concat())
}

#[tokio::test(start_paused = true)]
async fn nine_dead_endpoints_of_ten_in_one_organization_cost_the_others_nothing() {
    let (first_alone, alone) = fan_out(100, 0, Act::Hang).await;
    for act in [Act::Hang, Act::Refuse] {
        let (first, beside) = fan_out(100, 900, act).await;
        for (when, alone, beside) in [("first", &first_alone, &first), ("then", &alone, &beside)] {
            let (alone, beside) = (quantile(alone, 0.99), quantile(beside, 0.99));
            assert!(beside <= 2 * alone + 50 * MS, "{when}, {act:?}: p99 is {beside:?}, alone {alone:?}");
        }
    }
}

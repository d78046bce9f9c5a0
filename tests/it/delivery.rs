//! Deliveries: the state after an attempt, the stored form, and the subscriptions of an event.

use std::collections::BTreeSet;
use std::time::Duration;

use hookwire::delivery::{Next, Progress};
use hookwire::event::EventPattern;
use hookwire::{
    AddressPolicy, Attempt, Contract, ContractId, DeadReason, Delivery, DeliveryId, DeliveryState,
    DisabledReason, EndpointUrl, ErrorClass, ErrorKind, EventFilter, Jitter, Outcome, RetryPolicy, Secret,
    Subscription, SubscriptionId, SubscriptionStatus,
};
use http::StatusCode;
use proptest::prelude::*;
use time::macros::datetime;

// The next state.

#[test]
fn every_judgement_has_its_consequence() {
    let allison = Contract::allison();
    let nectar_desk = Contract::nectar_desk();
    let exhausted = Next::dead(DeadReason::Exhausted);
    for (contract, attempt, outcome, next) in [
        (&allison, 1, status(200), Next::Done),
        (&allison, 6, status(299), Next::Done),
        (&allison, 1, status(500), Next::retry(seconds(60))),
        (&allison, 2, status(301), Next::retry(seconds(900))),
        (&allison, 3, status(404), Next::retry(seconds(3_600))),
        (&allison, 4, Outcome::Failed(ErrorClass::Timeout), Next::retry(seconds(21_600))),
        (&allison, 5, Outcome::Failed(ErrorClass::Internal), Next::retry(seconds(86_400))),
        (&allison, 6, status(500), exhausted),
        (&allison, 7, status(500), exhausted),
        (&allison, u32::MAX, status(500), exhausted),
        (&allison, 0, status(500), exhausted),
        (&allison, 1, status(410), Next::dead(DeadReason::Gone)),
        (&allison, 6, status(410), Next::dead(DeadReason::Gone)),
        (&nectar_desk, 1, status(410), Next::dead(DeadReason::Refused)),
        (&nectar_desk, 1, status(429), Next::dead(DeadReason::Refused)),
        (&nectar_desk, 1, status(302), Next::dead(DeadReason::Refused)),
        (&nectar_desk, 1, status(503), Next::retry(seconds(1))),
        (&nectar_desk, 3, Outcome::Failed(ErrorClass::Connect), Next::retry(seconds(4))),
        (&nectar_desk, 4, status(503), exhausted),
        (&Contract::allo_v1(), 1, status(500), exhausted),
        (&Contract::allo_v1(), 1, status(200), Next::Done),
    ] {
        let progress = Progress::new(attempt, Duration::ZERO, 7);
        assert_eq!(
            Next::after(contract, progress, &outcome),
            next,
            "{} {attempt} {outcome:?}",
            contract.name()
        );
    }
}

#[test]
fn a_seed_gives_each_delivery_waits_of_its_own_and_always_the_same() {
    let policy = Contract::allison().retry().clone().with_jitter(Jitter::Proportional(0.1)).unwrap();
    let contract = Contract::allison().with_retry(policy);
    let wait = |seed, attempt| match Next::after(
        &contract,
        Progress::new(attempt, Duration::ZERO, seed),
        &status(500),
    ) {
        Next::Retry { after, .. } => after,
        next => panic!("{next:?}"),
    };
    let waits: BTreeSet<_> = (0..50).map(|seed| wait(seed, 1)).collect();
    assert!(waits.len() > 45, "{waits:?}");
    for seed in 0..50 {
        assert_eq!(wait(seed, 1), wait(seed, 1));
        assert!((seconds(54)..=seconds(66)).contains(&wait(seed, 1)));
        assert!((seconds(810)..=seconds(990)).contains(&wait(seed, 2)));
    }
    assert_ne!(wait(1, 1) * 15, wait(1, 2), "each attempt draws anew");
}

#[test]
fn the_time_since_the_first_attempt_is_limited() {
    let policy =
        RetryPolicy::delays([seconds(60), seconds(60)]).unwrap().with_max_elapsed(seconds(150)).unwrap();
    let contract = Contract::allison().with_retry(policy);
    let next =
        |attempt, elapsed| Next::after(&contract, Progress::new(attempt, seconds(elapsed), 7), &status(500));
    assert_eq!(next(1, 0), Next::retry(seconds(60)));
    assert_eq!(next(2, 90), Next::retry(seconds(60)), "the bound is inclusive");
    assert_eq!(next(2, 91), Next::dead(DeadReason::Exhausted));
    assert_eq!(next(1, 1_000), Next::dead(DeadReason::Exhausted), "a slow endpoint used the time up");
}

#[test]
fn retry_after_is_honoured_within_bounds() {
    let allison = Contract::allison();
    let next = |code: u16, asked| {
        let outcome = status(code).with_retry_after(Some(seconds(asked)));
        Next::after(&allison, Progress::new(1, Duration::ZERO, 7), &outcome)
    };
    for code in [429, 503] {
        assert_eq!(next(code, 0), Next::retry(seconds(60)), "not before the planned delay");
        assert_eq!(next(code, 59), Next::retry(seconds(60)));
        assert_eq!(next(code, 300), Next::retry(seconds(300)));
        assert_eq!(next(code, u64::MAX), Next::retry(seconds(86_400)), "at most the policy's largest");
    }
}

#[test]
fn retry_after_saves_nothing_that_is_over() {
    let asked = |code: u16| status(code).with_retry_after(Some(seconds(300)));
    let after = |contract: &Contract, attempt, code| {
        Next::after(contract, Progress::new(attempt, Duration::ZERO, 7), &asked(code))
    };
    assert_eq!(after(&Contract::nectar_desk(), 1, 429), Next::dead(DeadReason::Refused));
    assert_eq!(after(&Contract::nectar_desk(), 1, 301), Next::dead(DeadReason::Refused));
    assert_eq!(after(&Contract::nectar_desk(), 4, 503), Next::dead(DeadReason::Exhausted));
    assert_eq!(after(&Contract::allison(), 1, 410), Next::dead(DeadReason::Gone));
    assert_eq!(after(&Contract::allison(), 6, 429), Next::dead(DeadReason::Exhausted));
    assert_eq!(after(&Contract::allo_v1(), 1, 503), Next::dead(DeadReason::Exhausted));
    assert_eq!(after(&Contract::allison(), 1, 200), Next::Done);
}

proptest! {
    #[test]
    fn every_failure_ends_and_no_wait_leaves_the_policys_bounds(
        name in prop::sample::select(Contract::NAMES.to_vec()),
        attempt in 0..20u32,
        elapsed in any::<u32>(),
        seed in any::<u64>(),
        code in 100..1000u16,
        asked in prop::option::of(any::<u64>()),
    ) {
        let contract: Contract = name.parse().unwrap();
        let outcome = status(code).with_retry_after(asked.map(seconds));
        let progress = Progress::new(attempt, seconds(elapsed.into()), seed);
        match Next::after(&contract, progress, &outcome) {
            Next::Done => prop_assert!((200..300).contains(&code)),
            Next::Retry { after, .. } => {
                prop_assert!(attempt >= 1 && attempt < contract.retry().max_attempts().unwrap());
                prop_assert!(after >= contract.retry().delay_after(attempt).unwrap());
                prop_assert!(after <= contract.retry().largest_delay().unwrap());
            }
            Next::Dead { .. } => prop_assert!(!(200..300).contains(&code)),
            _ => prop_assert!(false),
        }
    }
}

// Storage.

#[test]
fn a_new_delivery_is_pending_and_due_at_once() {
    let at = datetime!(2026-04-17 19:12:03 UTC);
    let (id, subscription) = (DeliveryId::generate(), SubscriptionId::generate());
    let contract = ContractId::new("allison", "v1").unwrap();
    let delivery = Delivery::new(
        id,
        subscription,
        contract.clone(),
        "evt_1".parse().unwrap(),
        "call.ended".parse().unwrap(),
        at,
    );
    assert_eq!((delivery.id, delivery.subscription, delivery.contract), (id, subscription, contract));
    assert_eq!((delivery.event.as_str(), delivery.event_type.as_str()), ("evt_1", "call.ended"));
    assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Pending, 0));
    assert_eq!((delivery.due_at, delivery.created_at), (Some(at), at));
}

#[test]
fn an_attempt_has_what_the_endpoint_answered() {
    let at = datetime!(2026-04-17 19:12:03 UTC);
    let attempt = Attempt::new(2, at, seconds(1), status(500));
    assert_eq!((attempt.number, attempt.started_at, attempt.duration), (2, at, seconds(1)));
    assert_eq!((attempt.outcome, attempt.response_excerpt.as_str()), (status(500), ""));
    assert_eq!(attempt.with_response_excerpt("oops").response_excerpt, "oops");
}

// Subscriptions.

#[test]
fn a_filter_passes_what_one_of_its_patterns_matches() {
    let filter = EventFilter::new(["call.*", "contact.created"]).unwrap();
    for (event_type, passes) in [
        ("call.ended", true),
        ("call.a.b", true),
        ("call.", false),
        ("call", false),
        ("callback.requested", false),
        ("contact.created", true),
        ("contact.created.again", false),
        ("contact", false),
        ("", false),
    ] {
        assert_eq!(filter.matches(event_type), passes, "{event_type}");
    }
    assert_eq!(
        filter.patterns(),
        [EventPattern::Prefix("call.".into()), EventPattern::Exact("contact.created".parse().unwrap())]
    );
    assert!(EventFilter::all().matches("Call Ended"));
    assert_eq!(EventFilter::new(["*"]).unwrap(), EventFilter::all());
    assert!(EventFilter::new(["Call Ended"]).unwrap().matches("Call Ended"));
}

#[test]
fn a_filter_without_patterns_is_refused() {
    let error = EventFilter::new::<&str>([]).unwrap_err();
    assert_eq!(
        (error.kind(), error.expected()),
        (ErrorKind::Subscription, Some("one or more, or EventFilter::all"))
    );
    assert!(EventFilter::from_storage("[]").is_err());
}

#[test]
fn a_pattern_that_is_none_refuses_the_whole_filter() {
    for pattern in ["", "a\nb", &"x".repeat(257)] {
        assert_eq!(EventFilter::new(["call.*", pattern]).unwrap_err().kind(), ErrorKind::Event);
    }
}

#[test]
fn a_subscription_wants_what_its_filter_matches_also_while_it_is_disabled() {
    let at = datetime!(2026-04-17 19:12:03 UTC);
    let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new()).unwrap();
    let filter = EventFilter::new(["call.*"]).unwrap();
    let mut subscription =
        Subscription::from_parts(SubscriptionId::generate(), at, "org_1", &Contract::allison(), url, filter);
    assert_eq!((subscription.organization.as_str(), subscription.created_at), ("org_1", at));
    assert_eq!(subscription.status, SubscriptionStatus::Enabled);
    assert!(subscription.wants("call.ended") && !subscription.wants("contact.created"));
    subscription.status = SubscriptionStatus::disabled(DisabledReason::Gone, at);
    assert!(subscription.wants("call.ended"), "its events wait until it is enabled again");
}

#[test]
fn the_newest_secret_is_the_first_and_none_is_shown() {
    let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new()).unwrap();
    let (old, new) = (Secret::generate(), Secret::generate());
    let subscription = Subscription::new("org_1", &Contract::allison(), url, EventFilter::all());
    assert!(subscription.secrets.is_empty());
    let subscription = subscription.with_secret(old.clone()).with_secret(new.clone());
    assert_eq!(subscription.secrets, [new.clone(), old.clone()]);
    let shown = format!("{subscription:?}");
    for secret in [old, new] {
        assert!(!shown.contains(&secret.expose()[6..]), "{shown}");
    }
}

// Ids.

#[test]
fn ids_are_a_prefix_and_32_hex_digits_ordered_by_time() {
    let first = datetime!(2026-04-17 19:12:03.482 UTC);
    let one = SubscriptionId::from_parts(first, [0xff; 10]);
    let two = SubscriptionId::from_parts(first + Duration::from_millis(1), [0; 10]);
    assert!(one < two && one.to_string() < two.to_string());
    // RFC 9562 section 5.7: 48 bits of milliseconds, the version, the variant.
    assert_eq!(one.to_string(), "sub_019d9cdb7d9a7fffbfffffffffffffff");
    assert_eq!(format!("{one:?}"), one.to_string());
    let delivery = DeliveryId::from_parts(first, [0xff; 10]);
    assert_eq!(delivery.to_string(), "dlv_019d9cdb7d9a7fffbfffffffffffffff");
    assert_ne!(DeliveryId::generate(), DeliveryId::generate());
    // A time before 1970 counts as 1970.
    assert_eq!(
        DeliveryId::from_parts(datetime!(1969-12-31 23:59:59 UTC), [0; 10]).to_string(),
        "dlv_00000000000070008000000000000000"
    );
}

#[test]
fn an_id_is_read_back_from_text_number_and_json() {
    let id = DeliveryId::generate();
    assert_eq!(id.to_string().parse::<DeliveryId>().unwrap(), id);
    assert_eq!(DeliveryId::from_u128(id.as_u128()), id);
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, format!("\"{id}\""));
    assert_eq!(serde_json::from_str::<DeliveryId>(&json).unwrap(), id);
    assert!(serde_json::from_str::<DeliveryId>("5").is_err());
    assert!(serde_json::from_str::<SubscriptionId>(&json).is_err(), "another kind of id");
}

#[test]
fn what_is_no_id_is_refused() {
    let hex = "019d9cdb7d9a7fffbfffffffffffffff";
    for text in [
        "".to_owned(),
        hex.to_owned(),
        format!("dlv_{hex}"),
        format!("SUB_{hex}"),
        format!("sub_{hex}0"),
        format!("sub_{}", &hex[1..]),
        format!("sub_{}g", &hex[1..]),
        format!(" sub_{hex}"),
        "sub_019d9cf7-b35a-7fff-bfff-ffffffffffff".to_owned(),
        format!("sub_{}é", &hex[2..]),
        format!("sub_{{{}}}", &hex[2..]),
    ] {
        let error = text.parse::<SubscriptionId>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Subscription, "{text}");
        assert_eq!(error.to_string(), "id is not valid, expected sub_ and 32 hex digits");
    }
    assert_eq!("sub_".parse::<DeliveryId>().unwrap_err().kind(), ErrorKind::Delivery);
}

fn status(code: u16) -> Outcome {
    Outcome::answered(StatusCode::from_u16(code).unwrap())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

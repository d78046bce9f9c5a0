//! The texts of enums and outcomes: databases, logs and configuration files contain them.

use std::error::Error as _;
use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use hookwire::subscription::Subject;
use hookwire::{
    DeadReason, DeliveryState, DisabledReason, Error, ErrorClass, ErrorKind, Outcome, SubscriptionStatus,
};
use http::StatusCode;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::macros::datetime;

#[test]
fn no_text_of_an_enum_ever_changes() {
    let states = [
        "pending",
        "delivered",
        "exhausted",
        "refused",
        "gone",
        "expired",
        "cancelled",
        "replayed",
        "discarded",
    ];
    holds(DeliveryState::ALL, &states, ErrorKind::Delivery);
    holds(DeadReason::ALL, &states[2..], ErrorKind::Delivery);
    holds(DisabledReason::ALL, &["gone", "failing", "manual"], ErrorKind::Subscription);
    holds(Subject::ALL, &["envelope", "data"], ErrorKind::Subscription);
    let classes = ["dns", "address_denied", "connect", "tls", "timeout", "reset", "protocol", "internal"];
    holds(ErrorClass::ALL, &classes, ErrorKind::Outcome);
}

#[test]
fn an_unknown_text_names_the_known_ones_and_is_not_repeated() {
    let error = "s3cret".parse::<DisabledReason>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "reason of a disabled subscription is not known, expected one of gone, failing, manual"
    );
}

#[test]
fn the_status_of_a_subscription_reads_the_same_again() {
    same(SubscriptionStatus::Enabled, "enabled");
    let at = datetime!(2026-04-17 21:12:03.5 +2);
    same(SubscriptionStatus::disabled(DisabledReason::Gone, at), "disabled (gone at 2026-04-17T19:12:03.5Z)");
    let first = SubscriptionStatus::disabled(DisabledReason::Manual, OffsetDateTime::UNIX_EPOCH);
    same(first, "disabled (manual at 1970-01-01T00:00:00Z)");
    for odd in [
        "",
        "disabled",
        "disabled (gone)",
        "disabled (gone at noon)",
        "disabled (tired at 1970-01-01T00:00:00Z)",
    ] {
        let error = odd.parse::<SubscriptionStatus>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Subscription, "{odd:?}");
        assert!(error.expected().is_some(), "{odd:?}");
    }
}

#[test]
fn every_failure_and_every_status_reads_the_same_again() {
    for class in ErrorClass::ALL {
        same(Outcome::Failed(*class), class.as_str());
    }
    for status in 100..=999 {
        same(Outcome::answered(StatusCode::from_u16(status).unwrap()), &status.to_string());
    }
}

#[test]
fn the_wait_that_an_endpoint_asked_for_is_part_of_an_outcome() {
    let busy = Outcome::answered(StatusCode::TOO_MANY_REQUESTS);
    let after = |wait| busy.with_retry_after(Some(wait));
    same(after(Duration::ZERO), "429 (retry after 0s)");
    same(after(Duration::from_secs(90)), "429 (retry after 1m 30s)");
    same(after(Duration::new(1, 1)), "429 (retry after 1s 1ns)");
}

#[test]
fn a_status_may_be_a_number_in_a_file() {
    assert_eq!(
        serde_json::from_str::<Outcome>("503").unwrap().status(),
        Some(StatusCode::SERVICE_UNAVAILABLE)
    );
    for odd in ["99", "1000", "-200", "200.0", "true", "null", "[]"] {
        let error = serde_json::from_str::<Outcome>(odd).unwrap_err().to_string();
        assert!(error.contains("503 (retry after 2m)"), "{odd}: {error}");
    }
}

#[test]
fn a_text_that_is_no_outcome_is_refused() {
    for text in [
        "",
        "TIMEOUT",
        "timeout ",
        "99",
        "2000",
        "503 (retry after )",
        "503 (retry after 2m",
        "(retry after 2m)",
    ] {
        let error = text.parse::<Outcome>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Outcome, "{text:?}");
        assert!(error.source().is_some(), "{text:?} has a cause");
    }
}

proptest! {
    #[test]
    fn any_outcome_reads_the_same_again(status in 100..1000_u16, seconds in any::<u64>(), nanos in 0..1_000_000_000_u32) {
        let wait = Duration::new(seconds, nanos);
        let outcome = Outcome::answered(StatusCode::from_u16(status).unwrap()).with_retry_after(Some(wait));
        prop_assert_eq!(outcome.to_string().parse::<Outcome>().unwrap(), outcome);
    }
}

/// Each value has its text in every format, and no other text is accepted.
fn holds<T>(values: &[T], texts: &[&str], kind: ErrorKind)
where
    T: Copy + Debug + Display + DeserializeOwned + FromStr<Err = Error> + PartialEq + Serialize,
{
    assert_eq!(values.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
    for (value, text) in values.iter().zip(texts) {
        same(*value, text);
    }
    for text in ["", "GONE", "gone ", "dead", "disabled"] {
        assert_eq!(text.parse::<T>().unwrap_err().kind(), kind, "{text:?}");
        assert!(serde_json::from_value::<T>(text.into()).is_err(), "{text:?}");
    }
}

fn same<T>(value: T, text: &str)
where
    T: Debug + Display + DeserializeOwned + FromStr<Err = Error> + PartialEq + Serialize,
{
    assert_eq!(value.to_string(), text);
    assert_eq!(text.parse::<T>().unwrap(), value);
    assert_eq!(serde_json::to_value(&value).unwrap(), text);
    assert_eq!(serde_json::from_value::<T>(text.into()).unwrap(), value);
}

//! Subscription management, over every store.
#![cfg(all(
    feature = "keyring",
    feature = "manage",
    feature = "memory",
    feature = "postgres",
    feature = "sqlite",
    feature = "testing"
))]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::join_all;
use hookwire::allison::{CallEnded, ContactCreated};
use hookwire::contract::Rotation;
use hookwire::dispatch::{Dispatcher, Outbox, Routing};
use hookwire::keyring::{Key, KeyRing};
use hookwire::manage::{
    ConditionDraft, ManageError, Recovery, RetryDraft, Rotate, Service, Shown, SubscriptionDraft,
    SubscriptionPatch, SubscriptionQuery, SubscriptionView,
};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::store::{DeliveryQuery, Period};
use hookwire::testing::{ManualClock, RecordingClient, Reply};
use hookwire::{
    AddressPolicy, Contract, DeadReason, DeliveryState, DisabledReason, Envelope, Scheme, Secret,
    SubscriptionId, SubscriptionStatus,
};
use http::StatusCode;
use serde_json::json;
use time::OffsetDateTime;

use crate::postgres_server;
use crate::stores::Whole;

/// Writes a test of every story for each store.
macro_rules! stories {
    ($($story:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $story() {
                super::$story(std::sync::Arc::new(hookwire::MemoryStore::new())).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $story() {
                let directory = tempfile::tempdir().unwrap();
                super::$story(super::sqlite_in(&directory).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $story() {
                super::$story(super::on_postgres().await).await;
            })*
        }
    };
}

stories! {
    a_subscription_is_made_shown_once_and_read_without_its_secret
    what_cannot_be_used_is_refused_with_its_field
    secrets_are_checked_and_nobody_elses
    an_organization_has_no_more_subscriptions_than_it_may
    a_patch_merges_and_a_replacement_replaces
    an_update_of_what_was_changed_since_is_told
    disabling_says_why_and_when_and_enabling_sends_what_waited
    updates_and_rotations_at_once_lose_nothing
    old_secrets_sign_until_their_time_and_no_longer
    ten_old_secrets_sign_and_no_more
    with_a_key_ring_nothing_secret_is_stored_in_the_clear
    a_filter_decides_which_events_are_delivered
    a_test_event_is_sent_at_once_also_to_a_disabled_endpoint
    a_test_event_is_listed_and_in_no_statistics
    a_subscription_retries_by_a_plan_of_its_own
    dead_letters_are_listed_replayed_discarded_and_recovered
    a_delivery_is_shown_cancelled_and_sent_again
    nobody_sees_or_changes_what_is_anothers
    descriptions_names_and_metadata_are_kept_and_choose_what_is_listed
    a_recovery_of_a_period_and_of_types_is_counted_before_it_is_made
    a_deletion_of_what_was_changed_since_is_refused
    a_retry_tells_the_id_of_the_new_delivery
}

async fn a_subscription_is_made_shown_once_and_read_without_its_secret(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let made = stage.create("call.*").await;
    let secret = made.secret.unwrap();
    assert_eq!(secret.decoded_len(), Some(32));
    assert!(Shown::WARNING.contains("not be shown again"));
    let read = stage.service.get(ORG, made.subscription.id).await.unwrap();
    assert_eq!(read, made.subscription);
    assert_eq!(read.secret_preview, Some(secret.preview()));
    assert_eq!(
        (read.enabled, read.created_at, &read.events[..]),
        (true, start(), &["call.*".to_owned()][..])
    );
    let page = stage.service.list(ORG, None, 10).await.unwrap();
    assert_eq!(page.items, [read]);
    for text in
        [format!("{page:?}"), serde_json::to_string(&page.items).unwrap(), format!("{:?}", stage.service)]
    {
        assert!(!text.contains(secret.expose()), "{text}");
    }
    stage.service.delete(ORG, made.subscription.id).await.unwrap();
    assert!(is_missing(stage.service.get(ORG, made.subscription.id).await, "subscription"));
    assert!(is_missing(stage.service.delete(ORG, made.subscription.id).await, "subscription"));
}

async fn what_cannot_be_used_is_refused_with_its_field(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let right = || SubscriptionDraft::new(URL, ["call.*"]);
    let json = |text: &str| serde_json::from_str::<SubscriptionDraft>(text).unwrap();
    let with = |rest: &str| json(&format!(r#"{{"url": "{URL}", "events": ["*"], {rest}}}"#));
    for (draft, field, text) in [
        (SubscriptionDraft::new("http://hooks.example.com/", ["*"]), "url", "scheme"),
        (SubscriptionDraft::new("https://127.0.0.1/", ["*"]), "url", "address:loopback"),
        (SubscriptionDraft::new("nonsense", ["*"]), "url", "expected"),
        (SubscriptionDraft::new(URL, Vec::<String>::new()), "events", "call.ended, "),
        (
            SubscriptionDraft::new(URL, ["call.*", "call.begun"]),
            "events[1]",
            "call.ended, call.callback_requested",
        ),
        (SubscriptionDraft::new(URL, ["invoice.*"]), "events[0]", "call.ended, "),
        (SubscriptionDraft::new(URL, ["ca*ll"]), "events[0]", "full stop"),
        (right().with_header("host", "x"), "headers", "is the HTTP client's"),
        (right().with_condition(ConditionDraft::data("a", ["x"])), "conditions[0]", "RFC 6901"),
        (right().with_attribute("list", Vec::<String>::new()), "attributes.list", "no values"),
        (with(r#""max_in_flight": 0"#), "max_in_flight", "1 or more"),
        (with(r#""rate": {"per_second": 0}"#), "rate", "0.00001"),
        (
            with(r#""authentication": {"type": "basic", "user": "a:b", "password": "p"}"#),
            "authentication.user",
            "RFC 7617",
        ),
        (with(r#""allo_number": "+49301234""#), "allo_number", "has no such field"),
    ] {
        let told = stage.service.create(ORG, draft).await.unwrap_err();
        assert_eq!(told.field(), Some(field), "{told}");
        let ManageError::Refused(refusal) = &told else { panic!("{told:?}") };
        assert!(told.to_string().contains(text) || refusal.rule.is_some_and(|rule| rule == text), "{told}");
        assert!(!refusal.what.is_empty() && !refusal.expected.is_empty(), "{refusal:?}");
        assert_eq!(told.to_string().matches(" expected ").count(), 1, "{told}");
        assert_ne!(refusal.expected, "another value", "{told}");
    }
    assert!(stage.service.list(ORG, None, 10).await.unwrap().items.is_empty());
    for limit in [0, 201] {
        assert_eq!(stage.service.list(ORG, None, limit).await.unwrap_err().field(), Some("limit"));
    }
    let allo = Service::new(stage.store.clone(), Contract::allo_v1());
    let draft =
        json(&format!(r#"{{"url": "{URL}", "topics": ["CALL_RECEIVED"], "allo_number": "+49301234"}}"#));
    let made = allo.create(ORG, draft).await.unwrap();
    assert!(made.secret.is_none(), "its contract does not sign");
    assert_eq!(made.subscription.attributes["allo_number"], ["+49301234"]);
    assert_eq!(made.subscription.fields["allo_number"], "+49301234");
    let kept = SubscriptionPatch::new().with_enabled(false);
    let kept = allo.update(ORG, made.subscription.id, kept, None).await.unwrap();
    assert_eq!(kept.fields, made.subscription.fields);
    let patch = serde_json::from_str(r#"{"allo_number": null}"#).unwrap();
    let changed = allo.update(ORG, made.subscription.id, patch, None).await.unwrap();
    assert!(changed.attributes.is_empty() && changed.fields.is_empty());
}

async fn secrets_are_checked_and_nobody_elses(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    for (secret, is_right) in [
        (Secret::from_bytes([1; 23]), false),
        (Secret::from_bytes([2; 24]), true),
        (Secret::from_bytes([3; 64]), true),
        (Secret::from_bytes([4; 65]), false),
        ("not base64, but long enough to be one".parse().unwrap(), false),
    ] {
        let text = secret.expose().to_owned();
        let told = stage.service.create(ORG, SubscriptionDraft::new(URL, ["*"]).with_secret(secret)).await;
        assert_eq!(told.is_ok(), is_right, "{told:?}");
        if let Err(error) = told {
            assert_eq!(error.field(), Some("secret"));
            assert!(!error.to_string().contains(&text) && !format!("{error:?}").contains(&text));
        }
    }
    let made = stage.create("*").await;
    let (id, secret) = (made.subscription.id, made.secret.unwrap());
    let other =
        stage.service.create("org_2", SubscriptionDraft::new(URL, ["*"]).with_secret(secret.clone())).await;
    assert_eq!(other.unwrap_err().field(), Some("secret"));
    let other =
        stage.service.create("org_2", SubscriptionDraft::new(URL, ["*"])).await.unwrap().subscription.id;
    let told = stage.service.rotate("org_2", other, Rotate::new().with_secret(secret.clone())).await;
    assert_eq!(told.unwrap_err().field(), Some("secret"));
    // A rotation at once frees the old secret, and so does deleting a subscription.
    stage.service.rotate(ORG, id, Rotate::new().with_overlap(Duration::ZERO)).await.unwrap();
    let again = || Rotate::new().with_secret(secret.clone());
    stage.service.rotate("org_2", other, again()).await.unwrap();
    assert_eq!(stage.service.rotate(ORG, id, again()).await.unwrap_err().field(), Some("secret"));
    stage.service.delete("org_2", other).await.unwrap();
    stage.service.rotate(ORG, id, again()).await.unwrap();
    let unsigned = Service::new(stage.store.clone(), Contract::nectar_desk());
    assert!(matches!(unsigned.rotate(ORG, id, Rotate::new()).await, Err(ManageError::Conflict { .. })));
}

async fn an_organization_has_no_more_subscriptions_than_it_may(store: impl Whole + Clone) {
    let mut stage = Stage::new(store);
    stage.service = stage.service.with_limit(3);
    let made = join_all((0..6).map(|_| stage.service.create(ORG, SubscriptionDraft::new(URL, ["*"])))).await;
    let refused = |told: &&Result<Shown, _>| matches!(told, Err(ManageError::LimitReached { limit: 3, .. }));
    assert_eq!(made.iter().filter(refused).count(), 3, "{made:?}");
    assert_eq!(stage.service.list(ORG, None, 10).await.unwrap().items.len(), 3);
    assert!(stage.service.create("org_2", SubscriptionDraft::new(URL, ["*"])).await.is_ok());
}

async fn a_patch_merges_and_a_replacement_replaces(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let draft = || {
        SubscriptionDraft::new(URL, ["call.*"])
            .with_header("x-tenant", "acme")
            .with_attribute("list", ["a"])
            .with_condition(ConditionDraft::data("/location_id", ["loc_1"]))
    };
    let mut with_cap = draft();
    with_cap.max_in_flight = Some(4);
    let made = stage.service.create(ORG, with_cap).await.unwrap().subscription;
    let patch = SubscriptionPatch::new().with_events(["contact.created"]);
    let patched = stage.service.update(ORG, made.id, patch, None).await.unwrap();
    assert_eq!(patched.events, ["contact.created"]);
    assert_eq!((&patched.headers, &patched.attributes), (&made.headers, &made.attributes));
    assert_eq!((&patched.conditions, patched.max_in_flight), (&made.conditions, Some(4)));
    let patch = serde_json::from_str(r#"{"max_in_flight": null, "headers": {"x-other": "1"}}"#).unwrap();
    let patched = stage.service.update(ORG, made.id, patch, None).await.unwrap();
    assert_eq!(patched.max_in_flight, None);
    assert!(patched.headers.keys().eq(["x-other", "x-tenant"]), "they are merged by name");
    let bare = SubscriptionDraft::new("https://other.example.com/", ["*"]);
    let replaced = stage.service.replace(ORG, made.id, bare, None).await.unwrap();
    assert_eq!(replaced.url, "https://other.example.com/");
    assert!(replaced.attributes.is_empty() && replaced.conditions.is_empty());
    assert_eq!(replaced.headers, patched.headers, "what no read shows stays");
    assert_eq!((replaced.secret_preview, replaced.created_at), (made.secret_preview, made.created_at));
    let secret = draft().with_secret(Secret::generate());
    assert_eq!(stage.service.replace(ORG, made.id, secret, None).await.unwrap_err().field(), Some("secret"));
    let wrong = SubscriptionPatch::new().with_url("ftp://x").with_enabled(false);
    assert_eq!(stage.service.update(ORG, made.id, wrong, None).await.unwrap_err().field(), Some("url"));
    assert!(stage.service.get(ORG, made.id).await.unwrap().enabled, "nothing of it was written");
}

async fn an_update_of_what_was_changed_since_is_told(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let made = stage.create("*").await.subscription;
    let patch = || SubscriptionPatch::new().with_max_in_flight(Some(2));
    let first = stage.service.update(ORG, made.id, patch(), Some(made.revision)).await.unwrap();
    assert_ne!(first.revision, made.revision);
    let told = stage.service.update(ORG, made.id, patch(), Some(made.revision)).await;
    assert!(matches!(told, Err(ManageError::Changed)), "{told:?}");
    // The dispatcher's changes count too.
    let status = SubscriptionStatus::disabled(DisabledReason::Failing, start());
    assert!(stage.store.set_status(made.id, &status).await.unwrap());
    let told = stage.service.update(ORG, made.id, patch(), Some(first.revision)).await;
    assert!(matches!(told, Err(ManageError::Changed)), "{told:?}");
    let read = stage.service.get(ORG, made.id).await.unwrap();
    assert_eq!((read.enabled, read.auto_disabled_reason), (false, Some("failing")));
}

async fn disabling_says_why_and_when_and_enabling_sends_what_waited(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let id = stage.create("*").await.subscription.id;
    stage.clock.advance(SECOND);
    let enabled = |enabled| SubscriptionPatch::new().with_enabled(enabled);
    let off = stage.service.update(ORG, id, enabled(false), None).await.unwrap();
    assert_eq!((off.enabled, off.disabled_reason, off.auto_disabled_reason), (false, Some("manual"), None));
    assert_eq!(off.disabled_at, Some(start() + SECOND));
    stage.clock.advance(SECOND);
    let again = stage.service.update(ORG, id, enabled(false), None).await.unwrap();
    assert_eq!(again.disabled_at, off.disabled_at, "it was disabled then");
    stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    assert!(stage.client.recorded().is_empty());
    let on = stage.service.update(ORG, id, enabled(true), None).await.unwrap();
    assert_eq!((on.enabled, on.disabled_reason, on.disabled_at), (true, None, None));
    stage.deliver().await;
    assert_eq!(stage.client.recorded().len(), 1);
}

async fn updates_and_rotations_at_once_lose_nothing(store: impl Whole + Clone) {
    let stage = Stage::under(store, overlapping());
    let made = stage.create("*").await;
    let id = made.subscription.id;
    let overlap = Rotate::new().with_overlap(Duration::from_secs(3_600));
    let rotations = join_all((0..5).map(|_| stage.service.rotate(ORG, id, overlap.clone())));
    let updates = join_all((1..=5).map(|number| {
        let patch: SubscriptionPatch = serde_json::from_str(&match number {
            1 => r#"{"url": "https://other.example.com/"}"#.to_owned(),
            2 => r#"{"events": ["contact.*"]}"#.to_owned(),
            3 => r#"{"headers": {"x-a": "1"}}"#.to_owned(),
            4 => r#"{"max_in_flight": 9}"#.to_owned(),
            _ => r#"{"attributes": {"list": ["a"]}}"#.to_owned(),
        })
        .unwrap();
        stage.service.update(ORG, id, patch, None)
    }));
    let (rotated, updated) = tokio::join!(rotations, updates);
    assert!(updated.iter().all(Result::is_ok), "{updated:?}");
    let read = stage.service.get(ORG, id).await.unwrap();
    assert_eq!(read.url, "https://other.example.com/");
    assert_eq!(
        (&read.events[..], read.headers.keys().map(String::as_str).collect::<Vec<_>>()),
        (&["contact.*".to_owned()][..], vec!["x-a"])
    );
    assert_eq!((read.max_in_flight, read.attributes.len()), (Some(9), 1));
    assert_eq!(read.signing_secrets, 6, "each rotation's, and the first");
    // Every secret that was shown is stored.
    let stored = stage.store.subscription(id).await.unwrap().unwrap();
    for shown in rotated {
        let secret = shown.unwrap().secret.unwrap();
        assert!(stored.secrets.iter().any(|stored| *stored == secret));
    }
    let first = made.secret.unwrap();
    assert!(stored.secrets.iter().any(|stored| *stored == first));
}

async fn old_secrets_sign_until_their_time_and_no_longer(store: impl Whole + Clone) {
    let stage = Stage::under(store, overlapping());
    let made = stage.create("*").await;
    let (id, old) = (made.subscription.id, made.secret.unwrap());
    let shown = stage.service.rotate(ORG, id, Rotate::new()).await.unwrap();
    let new = shown.secret.unwrap();
    assert_eq!(shown.subscription.signing_secrets, 2);
    assert_ne!(shown.subscription.secret_preview, made.subscription.secret_preview);
    for (wait, old_signs) in [(59, true), (1, false)] {
        stage.clock.advance(wait * SECOND);
        stage.emit(CallEnded::new("c1")).await;
        stage.deliver().await;
        let sent = stage.client.recorded().pop().unwrap();
        let now = stage.now();
        assert!(sent.event::<CallEnded>(&stage.contract, &new, now).is_ok());
        let by_old = sent.event::<CallEnded>(&stage.contract, &old, now);
        assert_eq!(by_old.is_ok(), old_signs, "{:?}", by_old.err());
    }
    assert_eq!(stage.service.get(ORG, id).await.unwrap().signing_secrets, 1);
    // Without overlap, the old secret stops signing at once.
    let last = stage.service.rotate(ORG, id, Rotate::new().with_overlap(Duration::ZERO)).await.unwrap();
    stage.emit(CallEnded::new("c2")).await;
    stage.deliver().await;
    let sent = stage.client.recorded().pop().unwrap();
    assert!(sent.event::<CallEnded>(&stage.contract, &last.secret.unwrap(), stage.now()).is_ok());
    assert!(sent.event::<CallEnded>(&stage.contract, &new, stage.now()).is_err());
}

async fn ten_old_secrets_sign_and_no_more(store: impl Whole + Clone) {
    let stage = Stage::under(store, overlapping());
    let id = stage.create("*").await.subscription.id;
    let rotate = || Rotate::new().with_overlap(60 * SECOND);
    for number in 1..=10 {
        let shown = stage.service.rotate(ORG, id, rotate()).await.unwrap();
        assert_eq!(shown.subscription.signing_secrets, number + 1);
    }
    let told = stage.service.rotate(ORG, id, rotate()).await;
    assert!(matches!(told, Err(ManageError::Conflict { .. })), "{told:?}");
    let long = Rotate::new().with_overlap(31 * 86_400 * SECOND);
    assert_eq!(stage.service.rotate(ORG, id, long).await.unwrap_err().field(), Some("overlap"));
    let alone = Service::new(stage.store.clone(), overlapping().with_scheme(Scheme::ALLISON));
    assert_eq!(alone.rotate(ORG, id, rotate()).await.unwrap_err().field(), Some("overlap"), "it signs once");
    // Expired secrets make room and are deleted.
    stage.clock.advance(60 * SECOND);
    let shown = stage.service.rotate(ORG, id, rotate()).await.unwrap();
    assert_eq!(shown.subscription.signing_secrets, 2);
    assert_eq!(stage.store.subscription(id).await.unwrap().unwrap().secrets.len(), 2);
}

async fn with_a_key_ring_nothing_secret_is_stored_in_the_clear(store: impl Whole + Clone) {
    let contract = overlapping().with_catalogue(*Contract::allison().catalogue());
    let mut stage = Stage::under(store, contract);
    let ring = Arc::new(KeyRing::new("2026-11", Key::generate()).unwrap());
    stage.service = stage.service.with_key_ring(Arc::clone(&ring));
    stage.dispatcher = stage.dispatcher.with_key_ring(Arc::clone(&ring));
    let draft = format!(
        r#"{{"url": "{URL}", "events": ["*"], "authentication": {{"type": "bearer", "token": "a-token-of-theirs"}}}}"#
    );
    let made = stage.service.create(ORG, serde_json::from_str(&draft).unwrap()).await.unwrap();
    let (id, old) = (made.subscription.id, made.secret.unwrap());
    assert_eq!(made.subscription.secret_preview, Some(old.preview()));
    let new = stage.service.rotate(ORG, id, Rotate::new()).await.unwrap().secret.unwrap();
    let patch = SubscriptionPatch::new().with_max_in_flight(Some(2));
    let read = stage.service.update(ORG, id, patch, None).await.unwrap();
    assert_eq!((read.secret_preview, read.signing_secrets), (Some(new.preview()), 2));
    let stored = stage.store.subscription(id).await.unwrap().unwrap();
    assert!(stored.secrets.iter().all(|secret| secret.plain().is_none()), "{:?}", stored.secrets);
    assert!(stored.options.authentication().secret().is_some_and(|token| token.plain().is_none()));
    // The secret is sealed, but the store still refuses it for another subscription, and requests are still
    // signed with it.
    for used in [&old, &new] {
        let draft = SubscriptionDraft::new(URL, ["*"]).with_secret(used.clone());
        assert_eq!(stage.service.create("org_2", draft).await.unwrap_err().field(), Some("secret"));
    }
    stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    assert!(stage.service.send_test(ORG, id, Some("call.ended")).await.unwrap().is_delivered);
    let sent = stage.client.recorded();
    assert_eq!(sent.len(), 2);
    for sent in sent {
        assert_eq!(sent.request.headers()["authorization"], "Bearer a-token-of-theirs");
        for secret in [&old, &new] {
            assert!(sent.event::<CallEnded>(&stage.contract, secret, stage.now()).is_ok());
        }
    }
}

async fn a_filter_decides_which_events_are_delivered(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let draft = SubscriptionDraft::new(URL, ["call.*"])
        .with_condition(ConditionDraft::data("/location_id", ["loc_1", "loc_2"]))
        .with_attribute("contact_list", ["leads"]);
    stage.service.create(ORG, draft).await.unwrap();
    for (location, list, deliveries) in
        [("loc_1", "leads", 1), ("loc_2", "leads", 1), ("loc_3", "leads", 0), ("loc_1", "others", 0)]
    {
        let mut call = CallEnded::new("c1");
        call.location_id = Some(location.into());
        let routing = Routing::new().with_attribute("contact_list", list);
        let emitted = stage.outbox.emit_with(ORG, &Envelope::new(call), routing).await.unwrap();
        assert_eq!(emitted.deliveries, deliveries, "{location} {list}");
    }
    stage.emit(CallEnded::new("c1")).await;
    stage.emit(ContactCreated::new("p1")).await;
    assert_eq!(stage.service.events(ORG, None, 10).await.unwrap().items.len(), 6);
    stage.deliver().await;
    assert_eq!(stage.client.recorded().len(), 2);
}

async fn a_test_event_is_sent_at_once_also_to_a_disabled_endpoint(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let made = stage.service.create(ORG, SubscriptionDraft::new(URL, ["contact.*"]).with_enabled(false));
    let made = made.await.unwrap();
    let (id, secret) = (made.subscription.id, made.secret.unwrap());
    assert!(!made.subscription.enabled);
    let tested = stage.service.send_test(ORG, id, None).await.unwrap();
    assert!(tested.is_delivered);
    assert_eq!(tested.event_type.as_str(), "contact.created");
    assert_eq!(tested.attempt.outcome.status(), Some(StatusCode::OK));
    let sent = stage.client.recorded().pop().unwrap();
    assert_eq!(sent.request.headers()["webhook-test"], "true");
    let event: Envelope<ContactCreated> = sent.event(&stage.contract, &secret, stage.now()).unwrap();
    assert_eq!(event.id, tested.event);
    stage.client.clone().with_script([Reply::status(StatusCode::GONE).with_body("gone away")]);
    let tested = stage.service.send_test(ORG, id, Some("contact.created")).await.unwrap();
    assert!(!tested.is_delivered);
    assert_eq!(tested.attempt.response_excerpt, "gone away");
    let told = stage.service.send_test(ORG, id, Some("call.ended")).await.unwrap_err();
    assert_eq!(told.field(), Some("event_type"));
    assert!(told.to_string().contains("contact.created"), "{told}");
    let read = stage.service.get(ORG, id).await.unwrap();
    assert_eq!(read, made.subscription, "it counts nothing and changes nothing");
    let without = Service::new(stage.store.clone(), Contract::allison());
    assert!(matches!(without.send_test(ORG, id, None).await, Err(ManageError::NoClient)));
}

async fn a_test_event_is_listed_and_in_no_statistics(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let id = stage.create("*").await.subscription.id;
    let real = stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    stage.client.clone().with_script([
        Reply::status(StatusCode::OK),
        Reply::status(StatusCode::INTERNAL_SERVER_ERROR).with_body("oh no"),
    ]);
    for is_delivered in [true, false] {
        let tested = stage.service.send_test(ORG, id, Some("call.ended")).await.unwrap();
        assert_eq!(tested.is_delivered, is_delivered);
        let shown = stage.service.delivery(ORG, tested.delivery).await.unwrap();
        let ended = match is_delivered {
            true => DeliveryState::Delivered,
            false => DeliveryState::Dead(DeadReason::Discarded),
        };
        assert_eq!((shown.delivery.state, shown.delivery.is_test), (ended, true));
        assert_eq!(shown.delivery.note.is_some(), !is_delivered);
        let [attempt] = &shown.attempts[..] else { panic!("{:?}", shown.attempts) };
        assert_eq!(attempt.outcome, tested.attempt.outcome);
        assert_eq!(attempt.response_excerpt, tested.attempt.response_excerpt);
        assert_eq!(shown.delivery.event, tested.event);
        let event = stage.service.event(ORG, &tested.event).await.unwrap();
        assert!(event.is_test() && event.payload.is_some());
        let told = stage.service.retry(ORG, tested.delivery).await;
        assert!(matches!(told, Err(ManageError::Conflict { .. })), "{told:?}");
    }
    let listed = stage.service.deliveries(ORG, &DeliveryQuery::new(id), None, 10).await.unwrap().items;
    assert_eq!((listed.len(), listed.iter().filter(|delivery| delivery.is_test).count()), (3, 2));
    let events = stage.service.events(ORG, None, 10).await.unwrap().items;
    assert_eq!(events.iter().map(|event| event.is_test()).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(events[2].id, real);
    let period = Period::new(start(), start() + 3_600 * SECOND, 60 * SECOND);
    assert_eq!(stage.service.statistics(ORG, id, &period).await.unwrap().attempts(), 1);
    assert!(stage.service.dead_letters(ORG, None, 10).await.unwrap().items.is_empty());
    assert_eq!(stage.service.recover(ORG, id, start() - 3_600 * SECOND).await.unwrap(), 0);
    assert_eq!(stage.service.get(ORG, id).await.unwrap().failing_since, None);
    stage.deliver().await;
    assert_eq!(stage.client.recorded().len(), 3, "nothing of it is sent again");
}

async fn a_subscription_retries_by_a_plan_of_its_own(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let draft = || SubscriptionDraft::new(URL, ["*"]);
    let own = draft().with_retry(RetryDraft::delays([2.0, 0.5]));
    let own = stage.service.create(ORG, own).await.unwrap().subscription;
    assert_eq!(shown(&own), json!({"type": "delays", "seconds": [2.0, 0.5]}));
    stage.client.clone().with_script((0..3).map(|_| Reply::status(StatusCode::INTERNAL_SERVER_ERROR)));
    let emitted = stage.now();
    stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    let query = DeliveryQuery::new(own.id);
    let delivery = stage.service.deliveries(ORG, &query, None, 1).await.unwrap().items.remove(0);
    assert_eq!(delivery.state, DeliveryState::Dead(DeadReason::Exhausted));
    let attempts = stage.service.delivery(ORG, delivery.id).await.unwrap().attempts;
    let after: Vec<_> =
        attempts.iter().map(|attempt| (attempt.started_at - emitted).as_seconds_f64()).collect();
    assert_eq!(after.len(), 3, "{after:?}");
    assert!(after[1] >= 2.0 && after[2] >= 2.5 && after[2] < 60.0, "not by the contract's minute: {after:?}");
    let patch = serde_json::from_str(
        r#"{"retry": {"type": "exponential", "first_seconds": 1, "factor": 3, "max_delay_seconds": 5, "max_attempts": 4}}"#,
    );
    let changed = stage.service.update(ORG, own.id, patch.unwrap(), None).await.unwrap();
    assert_eq!(shown(&changed), json!({"type": "delays", "seconds": [1.0, 3.0, 5.0]}));
    let patch = serde_json::from_str(r#"{"retry": {"type": "none"}}"#).unwrap();
    let changed = stage.service.update(ORG, own.id, patch, None).await.unwrap();
    assert_eq!(shown(&changed), json!({"type": "none"}));
    let patch = serde_json::from_str(r#"{"retry": null}"#).unwrap();
    assert_eq!(stage.service.update(ORG, own.id, patch, None).await.unwrap().retry, None);
    for wrong in [
        RetryDraft::delays([-1.0]),
        RetryDraft::delays([f64::NAN]),
        RetryDraft::delays([0.0]),
        RetryDraft::delays([1.0; 101]),
        RetryDraft::delays([1e12]),
    ] {
        let told = stage.service.create(ORG, draft().with_retry(wrong)).await.unwrap_err();
        assert_eq!(told.field(), Some("retry"), "{told}");
    }
}

async fn descriptions_names_and_metadata_are_kept_and_choose_what_is_listed(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let draft = |rest: &str| {
        let text = format!(r#"{{"url": "{URL}", "events": ["call.*"], {rest}}}"#);
        serde_json::from_str::<SubscriptionDraft>(&text).unwrap()
    };
    let with = r#""description": "Calls", "uid": "crm-7", "metadata": {"team": "sales", "tier": "1"}"#;
    let made = stage.service.create(ORG, draft(with)).await.unwrap().subscription;
    let other = draft(r#""uid": "x", "description": "Contacts""#);
    let other = stage.service.create(ORG, other).await.unwrap().subscription;
    let patch = SubscriptionPatch::new().with_events(["contact.*"]).with_enabled(false);
    stage.service.update(ORG, other.id, patch, None).await.unwrap();
    let read = stage.service.get(ORG, made.id).await.unwrap();
    assert_eq!((read.description.as_deref(), read.uid.as_deref()), (Some("Calls"), Some("crm-7")));
    assert_eq!(read.metadata.len(), 2);
    let patch =
        serde_json::from_str(r#"{"metadata": {"tier": null, "zone": "eu"}, "description": null}"#).unwrap();
    let read = stage.service.update(ORG, made.id, patch, None).await.unwrap();
    assert_eq!((read.description.as_deref(), read.uid.as_deref()), (None, Some("crm-7")));
    assert_eq!(serde_json::to_value(&read.metadata).unwrap(), json!({"team": "sales", "zone": "eu"}));
    let stage = &stage;
    let ids = async |query: SubscriptionQuery| {
        let listed = stage.service.list_that(ORG, &query, None, 10).await.unwrap();
        listed.items.into_iter().map(|view| view.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(SubscriptionQuery::new()).await.len(), 2);
    assert_eq!(ids(SubscriptionQuery::new().with_uid("crm-7")).await, [made.id]);
    assert_eq!(ids(SubscriptionQuery::new().with_enabled(false)).await, [other.id]);
    assert_eq!(ids(SubscriptionQuery::new().with_event_type("call.ended".parse().unwrap())).await, [made.id]);
    assert!(ids(SubscriptionQuery::new().with_uid("nobody")).await.is_empty());
    for (wrong, field) in [
        (format!(r#""description": "{}""#, "x".repeat(1_001)), "description"),
        (r#""uid": """#.to_owned(), "uid"),
        (r#""metadata": {"": "x"}"#.to_owned(), "metadata"),
    ] {
        assert_eq!(stage.service.create(ORG, draft(&wrong)).await.unwrap_err().field(), Some(field));
    }
}

async fn a_recovery_of_a_period_and_of_types_is_counted_before_it_is_made(store: impl Whole + Clone) {
    let stage = Stage::under(store, Contract::allison().with_retry(hookwire::RetryPolicy::none()));
    let id = stage.create("*").await.subscription.id;
    stage.client.clone().with_script((0..3).map(|_| Reply::status(StatusCode::INTERNAL_SERVER_ERROR)));
    // Deliveries have the time of the system clock in their ids.
    let before = OffsetDateTime::now_utc() - SECOND;
    stage.emit(CallEnded::new("c1")).await;
    stage.emit(CallEnded::new("c2")).await;
    stage.emit(ContactCreated::new("p1")).await;
    stage.deliver().await;
    let recover = async |recovery: Recovery, is_preview: bool| {
        stage.service.recover_that(ORG, id, &recovery, is_preview).await.unwrap()
    };
    let calls = || Recovery::since(before).with_event_type("call.ended".parse().unwrap());
    assert_eq!(recover(Recovery::since(before), true).await, 3);
    assert_eq!(recover(Recovery::since(before).with_until(before), true).await, 0);
    assert_eq!(recover(Recovery::since(before + 3_600 * SECOND), true).await, 0);
    assert_eq!(recover(calls(), true).await, 2);
    assert_eq!(stage.service.dead_letters(ORG, None, 10).await.unwrap().items.len(), 3, "nothing was sent");
    assert_eq!(recover(calls(), false).await, 2);
    stage.deliver().await;
    assert_eq!(stage.client.recorded().len(), 5);
    assert_eq!(recover(Recovery::since(before), true).await, 1);
    assert_eq!(recover(calls(), false).await, 0, "they are delivered");
}

async fn a_deletion_of_what_was_changed_since_is_refused(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let made = stage.create("*").await.subscription;
    let patch = SubscriptionPatch::new().with_max_in_flight(Some(2));
    let changed = stage.service.update(ORG, made.id, patch, None).await.unwrap();
    let told = stage.service.delete_seen(ORG, made.id, made.revision).await;
    assert!(matches!(told, Err(ManageError::Changed)), "{told:?}");
    // One of a change and a deletion of one revision at once is refused.
    let patch = SubscriptionPatch::new().with_max_in_flight(Some(3));
    let (updated, deleted) = tokio::join!(
        stage.service.update(ORG, made.id, patch, Some(changed.revision)),
        stage.service.delete_seen(ORG, made.id, changed.revision),
    );
    assert!(updated.is_ok() != deleted.is_ok(), "{updated:?} {deleted:?}");
    let read = stage.service.get(ORG, made.id).await;
    assert_eq!(read.is_ok(), deleted.is_err());
}

async fn a_retry_tells_the_id_of_the_new_delivery(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let id = stage.create("*").await.subscription.id;
    stage.create("*").await;
    stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    let query = DeliveryQuery::new(id);
    let old = stage.service.deliveries(ORG, &query, None, 10).await.unwrap().items.remove(0);
    let new = stage.service.retry(ORG, old.id).await.unwrap().unwrap();
    let found = stage.service.delivery(ORG, new).await.unwrap().delivery;
    assert_eq!((found.subscription, found.event), (id, old.event));
    assert!(new != old.id && found.state == DeliveryState::Pending);
}

/// The schedule of its own that a read shows.
fn shown(view: &SubscriptionView) -> serde_json::Value {
    serde_json::to_value(&view.retry).unwrap()
}

async fn dead_letters_are_listed_replayed_discarded_and_recovered(store: impl Whole + Clone) {
    let stage = Stage::under(store, Contract::allison().with_retry(hookwire::RetryPolicy::none()));
    let id = stage.create("*").await.subscription.id;
    stage.client.clone().with_script((0..4).map(|_| Reply::status(StatusCode::INTERNAL_SERVER_ERROR)));
    for number in 0..4 {
        stage.emit(CallEnded::new(format!("c{number}"))).await;
        stage.clock.advance(SECOND);
        stage.deliver().await;
    }
    let mut letters = stage.service.dead_letters(ORG, None, 10).await.unwrap().items;
    // Ids of one millisecond may be in any order.
    letters.sort_by_key(|letter| std::cmp::Reverse(letter.created_at));
    assert_eq!(letters.len(), 4);
    assert!(letters.iter().all(|letter| letter.state == DeliveryState::Dead(DeadReason::Exhausted)));
    let told = stage.service.discard(ORG, letters[0].id, "a\0b").await;
    assert_eq!(told.unwrap_err().field(), Some("note"));
    stage.service.discard(ORG, letters[0].id, "done by hand").await.unwrap();
    let told = stage.service.discard(ORG, letters[0].id, "again").await;
    assert!(matches!(told, Err(ManageError::Conflict { .. })));
    assert_eq!(
        stage.service.discard(ORG, letters[1].id, &"x".repeat(1_001)).await.unwrap_err().field(),
        Some("note")
    );
    let shown = stage.service.delivery(ORG, letters[0].id).await.unwrap();
    assert_eq!(shown.delivery.note.as_deref(), Some("done by hand"));
    // Everything that was created since the third.
    assert_eq!(stage.service.recover(ORG, id, letters[1].created_at).await.unwrap(), 1);
    assert_eq!(stage.service.replay_dead_letters(ORG, id).await.unwrap(), 2);
    assert!(stage.service.dead_letters(ORG, None, 10).await.unwrap().items.is_empty());
    stage.deliver().await;
    let delivered = DeliveryQuery::new(id).with_state(DeliveryState::Delivered);
    assert_eq!(stage.service.deliveries(ORG, &delivered, None, 10).await.unwrap().items.len(), 3);
    let period = Period::new(start(), start() + 86_400 * SECOND, 600 * SECOND);
    let statistics = stage.service.statistics(ORG, id, &period).await.unwrap();
    assert_eq!((statistics.attempts(), statistics.backlog.pending), (7, 0));
    assert_eq!(stage.service.success_rate(&statistics), Some(3.0 / 7.0));
    let backwards = Period::new(start(), start() - SECOND, SECOND);
    assert_eq!(stage.service.statistics(ORG, id, &backwards).await.unwrap_err().field(), Some("until"));
    let fine = Period::new(start(), start() + 60 * SECOND, Duration::from_millis(1));
    assert_eq!(stage.service.statistics(ORG, id, &fine).await.unwrap_err().field(), Some("slot"));
}

async fn a_delivery_is_shown_cancelled_and_sent_again(store: impl Whole + Clone) {
    let stage = Stage::new(store);
    let id = stage.create("*").await.subscription.id;
    stage.emit(CallEnded::new("c1")).await;
    let query = DeliveryQuery::new(id);
    let pending = stage.service.deliveries(ORG, &query, None, 10).await.unwrap().items.remove(0);
    let told = stage.service.retry(ORG, pending.id).await;
    assert!(matches!(told, Err(ManageError::Conflict { .. })), "it is on its way: {told:?}");
    stage.service.cancel(ORG, pending.id).await.unwrap();
    let told = stage.service.cancel(ORG, pending.id).await;
    assert!(matches!(told, Err(ManageError::Conflict { .. })), "{told:?}");
    stage.service.retry(ORG, pending.id).await.unwrap();
    stage.client.clone().with_script([Reply::status(StatusCode::OK).with_body("thanks")]);
    stage.deliver().await;
    let all = stage.service.event_deliveries(ORG, &pending.event, None, 10).await.unwrap().items;
    assert_eq!(all.len(), 2);
    let sent = all.iter().find(|delivery| delivery.id != pending.id).unwrap();
    let detail = stage.service.delivery(ORG, sent.id).await.unwrap();
    assert_eq!(detail.delivery.state, DeliveryState::Delivered);
    assert_eq!(detail.attempts[0].response_excerpt, "thanks");
    let event = stage.service.event(ORG, &pending.event).await.unwrap();
    assert_eq!(event.payload.as_deref(), Some(&stage.client.recorded()[0].request.body()[..]));
}

/// Makes every call as the owner, as another organization and as an unknown one, and with ids that do not
/// exist.
async fn nobody_sees_or_changes_what_is_anothers(store: impl Whole + Clone) {
    let stage = Stage::under(store, Contract::allison().with_retry(hookwire::RetryPolicy::none()));
    let made = stage.create("*").await;
    let id = made.subscription.id;
    stage.service.create("org_2", SubscriptionDraft::new(URL, ["*"])).await.unwrap();
    stage.client.clone().with_script([Reply::status(StatusCode::INTERNAL_SERVER_ERROR)]);
    let event = stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    let letter = stage.service.dead_letters(ORG, None, 10).await.unwrap().items.remove(0).id;
    let service = &stage.service;
    let period = Period::new(start(), start() + SECOND, SECOND);
    let unknown = (SubscriptionId::generate(), hookwire::DeliveryId::generate(), "evt_none".parse().unwrap());
    for (org, id, letter, event) in [
        ("org_2", id, letter, event.clone()),
        ("org_3", id, letter, event.clone()),
        (ORG, unknown.0, unknown.1, unknown.2),
    ] {
        let patch = || SubscriptionPatch::new().with_enabled(false);
        let draft = || SubscriptionDraft::new(URL, ["*"]);
        assert!(is_missing(service.get(org, id).await, "subscription"));
        assert!(is_missing(service.update(org, id, patch(), None).await, "subscription"));
        let seen = Some(made.subscription.revision);
        assert!(is_missing(service.update(org, id, patch(), seen).await, "subscription"));
        assert!(is_missing(service.replace(org, id, draft(), None).await, "subscription"));
        assert!(is_missing(service.delete(org, id).await, "subscription"));
        assert!(is_missing(service.rotate(org, id, Rotate::new()).await, "subscription"));
        let known = Rotate::new().with_secret(made.secret.clone().unwrap());
        assert!(is_missing(service.rotate(org, id, known).await, "subscription"));
        assert!(is_missing(service.send_test(org, id, None).await, "subscription"));
        let query = DeliveryQuery::new(id);
        assert!(is_missing(service.deliveries(org, &query, None, 10).await, "subscription"));
        assert!(is_missing(service.replay_dead_letters(org, id).await, "subscription"));
        assert!(is_missing(service.recover(org, id, start()).await, "subscription"));
        assert!(is_missing(service.statistics(org, id, &period).await, "subscription"));
        assert!(is_missing(service.delivery(org, letter).await, "delivery"));
        assert!(is_missing(service.retry(org, letter).await, "delivery"));
        assert!(is_missing(service.cancel(org, letter).await, "delivery"));
        assert!(is_missing(service.discard(org, letter, "").await, "delivery"));
        assert!(is_missing(service.event(org, &event).await, "event"));
        assert!(is_missing(service.event_deliveries(org, &event, None, 10).await, "event"));
        if org != ORG {
            assert!(service.dead_letters(org, None, 10).await.unwrap().items.is_empty());
            assert!(service.events(org, None, 10).await.unwrap().items.is_empty());
            let own = service.list(org, None, 10).await.unwrap().items;
            assert!(own.iter().all(|subscription| subscription.id != made.subscription.id));
        }
    }
    assert_eq!(service.get(ORG, id).await.unwrap(), SubscriptionViewOf(&made).with_health(service, id).await);
    assert_eq!(service.replay_dead_letters(ORG, id).await.unwrap(), 1, "it was left alone");
}

/// The view that was shown at creation, with the health since then.
struct SubscriptionViewOf<'a>(&'a Shown);

impl SubscriptionViewOf<'_> {
    async fn with_health<S: Whole>(
        &self,
        service: &Service<S>,
        id: SubscriptionId,
    ) -> hookwire::manage::SubscriptionView {
        let mut view = self.0.subscription.clone();
        view.failing_since = service.get(ORG, id).await.unwrap().failing_since;
        view
    }
}

/// Both secrets sign for a minute.
fn overlapping() -> Contract {
    Contract::standard_webhooks().with_rotation(Rotation::Overlap(60 * SECOND))
}

/// A service, an outbox and a dispatcher on one store, with one clock.
struct Stage<S> {
    store: S,
    contract: Contract,
    service: Service<S>,
    outbox: Outbox<S>,
    dispatcher: Dispatcher,
    client: RecordingClient,
    clock: ManualClock,
}

impl<S: Whole + Clone> Stage<S> {
    fn new(store: S) -> Self {
        Self::under(store, Contract::allison())
    }

    fn under(store: S, contract: Contract) -> Self {
        let clock = ManualClock::new(start());
        let client = RecordingClient::new().with_clock(clock.clone());
        let service = Service::new(store.clone(), contract.clone());
        Self {
            service: service
                .with_address_policy(AddressPolicy::new())
                .with_clock(clock.clone())
                .with_client(client.clone()),
            outbox: Outbox::new(store.clone(), contract.clone()).with_clock(clock.clone()),
            dispatcher: Dispatcher::new(store.clone(), client.clone(), contract.clone())
                .with_clock(clock.clone()),
            store,
            contract,
            client,
            clock,
        }
    }

    async fn create(&self, events: &str) -> Shown {
        self.service.create(ORG, SubscriptionDraft::new(URL, [events])).await.unwrap()
    }

    async fn emit<T: hookwire::EventData>(&self, data: T) -> hookwire::EventId {
        self.outbox.emit(ORG, &Envelope::new(data)).await.unwrap().id
    }

    /// Delivers all pending deliveries and advances the clock past the pauses of failing endpoints.
    async fn deliver(&self) {
        for _ in 0..50 {
            let step = self.dispatcher.step(self.now()).await.unwrap();
            if step.delivered + step.retried + step.dead > 0 {
                continue;
            }
            match step.next_due {
                Some(wait) => self.clock.advance(wait.max(Duration::from_millis(1))),
                None => return,
            }
        }
        panic!("it never ends");
    }

    fn now(&self) -> OffsetDateTime {
        use hookwire::Clock as _;
        self.clock.now()
    }
}

async fn sqlite_in(directory: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(directory.path().join("hooks.db")).await.unwrap()
}

async fn on_postgres() -> PostgresStore {
    let store = PostgresStore::builder().with_prefix(postgres_server::prefix()).with_caller_time();
    store.connect(postgres_server::url()).await.unwrap()
}

fn is_missing<T: std::fmt::Debug>(told: Result<T, ManageError>, expected: &str) -> bool {
    match told {
        Err(ManageError::NotFound { what, .. }) => what == expected,
        told => panic!("{expected} is not there, not {told:?}"),
    }
}

const ORG: &str = "org_1";
const URL: &str = "https://hooks.example.com/in";
const SECOND: Duration = Duration::from_secs(1);
/// The system's time when the tests began, because ids contain it and statistics find deliveries by their
/// ids.
static STARTED: LazyLock<OffsetDateTime> = LazyLock::new(|| {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(u32::from(now.millisecond()) * 1_000_000).unwrap()
});

fn start() -> OffsetDateTime {
    *STARTED
}

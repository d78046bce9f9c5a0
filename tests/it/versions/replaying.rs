//! Replays in the version that the subscription speaks by then.

use std::sync::Arc;

use hookwire::contract::Versions;
use hookwire::event::Catalogue;
use hookwire::manage::{ManageError, Service};
use hookwire::testing::RecordingClient;
use hookwire::{DeadReason, DeliveryId, DeliveryState, EventFilter, RawEvent, SubscriptionId};
use time::OffsetDateTime;

use super::*;
use crate::stores::deliveries;

on_every_store! {
    a_replay_sends_the_current_version_and_makes_its_bytes
    without_the_chain_a_replay_is_an_error_and_sends_nothing
    a_chain_does_not_lead_to_a_newer_version
    an_event_whose_type_the_version_lacks_is_left_out_of_a_replay
    a_failing_function_fails_the_replay_and_nothing_is_sent
    an_expunged_event_is_not_made_again
    a_delivery_is_retried_in_the_current_version
}

async fn a_replay_sends_the_current_version_and_makes_its_bytes<S: Whole>(store: Arc<S>) {
    let to = subscribe(&store, "to", "v2", EventFilter::all()).await.id;
    for (id, cents) in [("e1", 100), ("e2", 250)] {
        outbox(&store).emit("org_1", &paid(id, cents)).await.unwrap();
    }
    all_die(&store).await;
    // A third event is stored in the older version too.
    subscribe(&store, "old", "v1", EventFilter::new(["parcel.*"]).unwrap()).await;
    outbox(&store).emit("org_1", &paid("e3", 1999)).await.unwrap();
    all_die(&store).await;
    speak(&store, to, "v1").await;
    assert_eq!(service(&store, versions()).replay_dead_letters("org_1", to).await.unwrap(), 3);
    let expected = [body_v1("e1", 1.0), body_v1("e2", 2.5), body_v1("e3", 19.99)];
    assert_eq!(sent_now(&store).await, expected.map(|body| ("to".to_owned(), body)));
    // The bytes that were made are stored: they are compared, and need no chain any more.
    let again = old_outbox(&store).emit("org_1", &paid_v1("e1", 1.0)).await.unwrap();
    assert!(again.duplicate);
    assert!(old_outbox(&store).emit("org_1", &paid_v1("e1", 1.1)).await.is_err());
    let made = deliveries(&*store, "org_1", to).await;
    let first = made.iter().find(|delivery| delivery.event == event_id("e1")).unwrap().id;
    service(&store, shop_v1()).retry("org_1", first).await.unwrap();
    assert_eq!(sent_now(&store).await, [("to".to_owned(), body_v1("e1", 1.0))]);
    // And back to the newest.
    speak(&store, to, "v2").await;
    let recovered =
        service(&store, shop_v2()).recover("org_1", to, OffsetDateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(recovered, 0, "everything was delivered");
    service(&store, shop_v2()).retry("org_1", first).await.unwrap();
    assert_eq!(sent_now(&store).await, [("to".to_owned(), body_v2("e1", 100))]);
}

async fn without_the_chain_a_replay_is_an_error_and_sends_nothing<S: Whole>(store: Arc<S>) {
    let to = subscribe(&store, "to", "v1", EventFilter::all()).await.id;
    outbox(&store).emit("org_1", &paid("e1", 100)).await.unwrap();
    speak(&store, to, "v2").await;
    outbox(&store).emit("org_1", &paid("e2", 100)).await.unwrap();
    all_die(&store).await;
    speak(&store, to, "v1").await;
    let service = service(&store, shop_v2());
    let made = deliveries(&*store, "org_1", to).await;
    let of_e2 = made.iter().find(|delivery| delivery.event == event_id("e2")).unwrap();
    for error in [
        service.replay_dead_letters("org_1", to).await.unwrap_err(),
        service.recover("org_1", to, OffsetDateTime::UNIX_EPOCH).await.unwrap_err(),
        service.retry("org_1", of_e2.id).await.unwrap_err(),
    ] {
        let ManageError::NotInVersion { event, contract, .. } = &error else { panic!("{error}") };
        assert_eq!((event, contract.to_string()), (&event_id("e2"), "shop/v1".to_owned()));
    }
    // Event e1 is stored in that version, and was not sent either.
    assert_eq!(sent_now(&store).await, []);
    assert_eq!(letters(&store, to).await, 2);
}

async fn a_chain_does_not_lead_to_a_newer_version<S: Whole>(store: Arc<S>) {
    let to = subscribe(&store, "to", "v1", EventFilter::all()).await.id;
    old_outbox(&store).emit("org_1", &paid_v1("e1", 5.0)).await.unwrap();
    all_die(&store).await;
    speak(&store, to, "v2").await;
    let error = service(&store, versions()).replay_dead_letters("org_1", to).await.unwrap_err();
    assert!(matches!(error, ManageError::NotInVersion { .. }), "{error}");
    assert_eq!(letters(&store, to).await, 1);
}

async fn an_event_whose_type_the_version_lacks_is_left_out_of_a_replay<S: Whole>(store: Arc<S>) {
    let to = subscribe(&store, "to", "v2", EventFilter::all()).await.id;
    outbox(&store).emit("org_1", &envelope("e1", v2::OrderRefunded { cents: 5 })).await.unwrap();
    outbox(&store).emit("org_1", &paid("e2", 100)).await.unwrap();
    all_die(&store).await;
    speak(&store, to, "v1").await;
    let service = service(&store, versions());
    assert_eq!(service.replay_dead_letters("org_1", to).await.unwrap(), 1);
    assert_eq!(sent_now(&store).await, [("to".to_owned(), body_v1("e2", 1.0))]);
    assert_eq!(service.replay_dead_letters("org_1", to).await.unwrap(), 0);
    assert_eq!(letters(&store, to).await, 1, "the refund is still a dead letter");
    let refund = deliveries(&*store, "org_1", to).await;
    let refund = refund.iter().find(|delivery| delivery.event == event_id("e1")).unwrap().id;
    assert!(matches!(service.retry("org_1", refund).await, Err(ManageError::Conflict { .. })));
    // In the newest version it is sent.
    speak(&store, to, "v2").await;
    assert_eq!(service.replay_dead_letters("org_1", to).await.unwrap(), 1);
}

async fn a_failing_function_fails_the_replay_and_nothing_is_sent<S: Whole>(store: Arc<S>) {
    let to = subscribe(&store, "to", "v2", EventFilter::all()).await.id;
    for (id, cents) in [("e1", 100), ("e2", FAILING)] {
        outbox(&store).emit("org_1", &paid(id, cents)).await.unwrap();
    }
    all_die(&store).await;
    speak(&store, to, "v1").await;
    let error = service(&store, versions()).replay_dead_letters("org_1", to).await.unwrap_err();
    let ManageError::NotInVersion { event, source, .. } = error else { panic!("{error}") };
    assert_eq!(event, event_id("e2"));
    let cause = source.unwrap();
    assert_eq!(std::error::Error::source(&cause).unwrap().to_string(), "no price has so many cents");
    assert_eq!(sent_now(&store).await, []);
    assert_eq!(letters(&store, to).await, 2);
}

async fn an_expunged_event_is_not_made_again<S: Whole>(store: Arc<S>) {
    let to = subscribe(&store, "to", "v2", EventFilter::all()).await.id;
    outbox(&store).emit("org_1", &paid("e1", 100)).await.unwrap();
    all_die(&store).await;
    speak(&store, to, "v1").await;
    assert!(store.expunge("org_1", "shop", &event_id("e1"), NOON).await.unwrap());
    assert_eq!(service(&store, versions()).replay_dead_letters("org_1", to).await.unwrap(), 0);
    let replay = hookwire::store::Replay::DeadLetters(to);
    assert_eq!(store.missing_payloads(&replay, 10, NOON).await.unwrap(), []);
}

/// More events than one batch makes.
async fn a_delivery_is_retried_in_the_current_version<S: Whole>(store: Arc<S>) {
    let to = subscribe(&store, "to", "v2", EventFilter::all()).await.id;
    let open = |version: &str, format| shop(version, Catalogue::OPEN, format);
    let same = |event: RawEvent| Ok(Some(event));
    let versions = Versions::new(open("v2", FORMAT_2)).with_older(open("v1", FORMAT_1), same).unwrap();
    let outbox = Outbox::of(Arc::clone(&store), versions.clone()).with_clock(|| NOON);
    for number in 0..510 {
        outbox.emit("org_1", &raw(&format!("e{number}"), "a")).await.unwrap();
    }
    all_die(&store).await;
    speak(&store, to, "v1").await;
    let one: DeliveryId = deliveries(&*store, "org_1", to).await[0].id;
    let service = service(&store, versions);
    service.retry("org_1", one).await.unwrap();
    assert_eq!(sent_now(&store).await.len(), 1);
    assert_eq!(service.replay_dead_letters("org_1", to).await.unwrap(), 509);
    let sent = sent_now(&store).await;
    assert_eq!(sent.len(), 509);
    assert!(sent.iter().all(|(_, body)| body["version"] == "1" && body["data"]["parcel"] == "p_1"));
}

fn service<S: Whole>(store: &Arc<S>, versions: impl Into<Versions>) -> Service<Arc<S>> {
    Service::of(Arc::clone(store), versions.into()).with_clock(|| NOON)
}

/// The requests of everything that is due.
async fn sent_now<S: Whole>(store: &Arc<S>) -> Vec<(String, Value)> {
    let client = RecordingClient::new();
    let dispatcher = dispatcher(store, &client, shop_v2());
    drain(&dispatcher, NOON).await;
    sent(&client)
}

async fn letters<S: Whole>(store: &Arc<S>, to: SubscriptionId) -> usize {
    let all = deliveries(&**store, "org_1", to).await;
    let dead = DeliveryState::Dead(DeadReason::Exhausted);
    all.iter().filter(|delivery| delivery.state == dead).count()
}

//! Deliveries of one ordering key to one subscription keep their order.

use hookwire::{
    Contract, DeadReason, DeliveryState, Envelope, Records, SubscriptionStatus, Subscriptions, nectar_desk,
};

use super::{MINUTE, NOON, Stage, on_every_store, received};
use crate::endpoint::{Answer, Endpoint};
use crate::stores::Tested;

on_every_store! {
    the_next_of_a_key_waits_until_the_first_is_delivered_and_other_keys_go_on
    the_next_of_a_key_goes_on_when_the_first_is_given_up
    a_contract_finds_the_key_in_the_data
}

async fn the_next_of_a_key_waits_until_the_first_is_delivered_and_other_keys_go_on<S: Tested>(
    stage: Stage<S>,
) {
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    stage.subscribe(&endpoint).await;
    let first = stage.emit_keyed("call-1").await;
    let dispatcher = stage.dispatcher();
    assert_eq!(stage.drain(&dispatcher, NOON).await.retried, 1);
    let second = stage.emit_keyed("call-1").await;
    let other = stage.emit_keyed("call-2").await;
    let keyless = stage.emit().await;

    let step = stage.drain(&dispatcher, NOON).await;
    assert_eq!(
        (step.delivered, step.next_due),
        (2, Some(MINUTE)),
        "the second of the key waits for the first"
    );
    let step = stage.drain(&dispatcher, NOON + MINUTE).await;
    assert_eq!((step.delivered, step.next_due), (2, None));
    let got = received(&endpoint);
    assert_eq!(got.len(), 5);
    assert_eq!([&got[0], &got[3], &got[4]], [first.as_str(), first.as_str(), second.as_str()]);
    assert!(got[1..3].contains(&other.to_string()) && got[1..3].contains(&keyless.to_string()));
}

async fn the_next_of_a_key_goes_on_when_the_first_is_given_up<S: Tested>(stage: Stage<S>) {
    // Both a final answer and a cancel let the next delivery go.
    let stage = stage.under(Contract::allo());
    let endpoint = Endpoint::start([Answer::Status(410)]).await;
    let subscription = stage.subscribe(&endpoint).await;
    for _ in 0..4 {
        stage.emit_keyed("contact-1").await;
    }
    let dispatcher = stage.dispatcher();
    assert_eq!(dispatcher.step(NOON).await.unwrap().dead, 1);
    let second = stage.deliveries(&subscription).await[1].id;
    assert!(stage.plain().cancel(second, NOON).await.unwrap());
    // The 410 disabled the subscription. Its pending deliveries are sent after it is enabled again.
    assert!(stage.plain().set_status(subscription.id, &SubscriptionStatus::Enabled).await.unwrap());
    assert_eq!(stage.drain(&stage.dispatcher(), NOON).await.delivered, 2);
    let dead = DeliveryState::Dead;
    assert_eq!(
        stage.states(&subscription).await,
        [
            dead(DeadReason::Gone),
            dead(DeadReason::Cancelled),
            DeliveryState::Delivered,
            DeliveryState::Delivered
        ]
    );
}

async fn a_contract_finds_the_key_in_the_data<S: Tested>(stage: Stage<S>) {
    let stage = stage.under(Contract::nectar_desk());
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    stage.subscribe(&endpoint).await;
    let outbox = stage.outbox();
    for call in ["call-1", "call-1", "call-2"] {
        let event = nectar_desk::Event::CallEnded(nectar_desk::Data::new().with("call_id", call));
        outbox.emit("org_1", &Envelope::new(event)).await.unwrap();
    }
    let step = stage.drain(&stage.dispatcher(), NOON).await;
    assert_eq!((step.delivered, step.retried), (1, 1), "of the second call, and the first of the first");
}

//! Rolling deploys: a first and a second binary on one store.
//!
//! The first binary has version `v1` of the shop's contract. The second has both versions and a contract that
//! the first lacks.

use std::sync::Arc;
use std::time::Duration;

use hookwire::dispatch::Outbox;
use hookwire::store::ContractBacklog;
use hookwire::testing::RecordingClient;
use hookwire::{Contract, DeliveryState, EventFilter};

use super::*;
use crate::stores::deliveries;

on_every_store! {
    old_and_new_binaries_share_a_store
    a_binary_never_claims_a_contract_that_it_lacks
    an_older_version_needs_no_code_to_be_sent
}

fn courier() -> Contract {
    shop_v1().with_name("courier").unwrap()
}

async fn old_and_new_binaries_share_a_store<S: Whole>(store: Arc<S>) {
    let (old_client, new_client) = (RecordingClient::new(), RecordingClient::new());
    let old = dispatcher(&store, &old_client, shop_v1());
    let new = dispatcher(&store, &new_client, shop_v2()).with_contract(courier()).unwrap();
    // Before and during the deploy, every subscription speaks the old version.
    let one = subscribe(&store, "one", "v1", EventFilter::all()).await;
    old_outbox(&store).emit("org_1", &paid_v1("e1", 1.0)).await.unwrap();
    outbox(&store).emit("org_1", &paid("e2", 200)).await.unwrap();
    assert_eq!(drain(&new, NOON).await, 2);
    outbox(&store).emit("org_1", &paid("e3", 300)).await.unwrap();
    old_outbox(&store).emit("org_1", &paid_v1("e4", 4.0)).await.unwrap();
    assert_eq!(drain(&old, NOON).await, 2);
    // One event, emitted by both: equal in the version that both have.
    let again = old_outbox(&store).emit("org_1", &paid_v1("e3", 3.0)).await.unwrap();
    assert!(again.duplicate);
    // Once the second binary runs everywhere, a subscription moves on.
    speak(&store, one.id, "v2").await;
    outbox(&store).emit("org_1", &paid("e5", 500)).await.unwrap();
    assert_eq!(drain(&new, NOON).await, 1);
    // A first binary that still runs stores its own version, which is sent as what it is.
    old_outbox(&store).emit("org_1", &paid_v1("e6", 6.0)).await.unwrap();
    assert_eq!(drain(&new, NOON).await, 1);

    let to_one = |body: Value| ("one".to_owned(), body);
    assert_eq!(sent(&old_client), [body_v1("e3", 3.0), body_v1("e4", 4.0)].map(to_one));
    let by_new = [body_v1("e1", 1.0), body_v1("e2", 2.0), body_v2("e5", 500), body_v1("e6", 6.0)];
    assert_eq!(sent(&new_client), by_new.map(to_one));
    let versions: Vec<_> = deliveries(&*store, "org_1", one.id)
        .await
        .iter()
        .map(|made| made.contract.version().to_owned())
        .collect();
    assert_eq!(versions.iter().filter(|version| *version == "v2").count(), 1);
    assert_eq!(versions.len(), 6);
}

async fn a_binary_never_claims_a_contract_that_it_lacks<S: Whole>(store: Arc<S>) {
    let (old_client, new_client) = (RecordingClient::new(), RecordingClient::new());
    let old = dispatcher(&store, &old_client, shop_v1());
    let new = dispatcher(&store, &new_client, shop_v2()).with_contract(courier()).unwrap();
    let shop = subscribe(&store, "shop", "v1", EventFilter::all()).await;
    let other = subscribe_to(&store, "courier", (&courier()).into(), EventFilter::all()).await;
    let courier_outbox = Outbox::new(Arc::clone(&store), courier()).with_clock(|| NOON);
    for number in 0..20 {
        let id = format!("e{number:02}");
        outbox(&store).emit("org_1", &paid(&id, 100)).await.unwrap();
        courier_outbox.emit("org_1", &paid_v1(&id, 1.0)).await.unwrap();
    }
    let later = NOON + Duration::from_secs(30);
    assert_eq!(drain(&old, later).await, 20);
    assert_eq!(old.step(later).await.unwrap().next_due, None, "the other contract is no work of its own");
    for made in deliveries(&*store, "org_1", other.id).await {
        assert_eq!((made.state, made.attempts), (DeliveryState::Pending, 0));
    }
    // Nobody claims them, and an operator sees it.
    let waiting = [ContractBacklog::new("courier", 20, Duration::from_secs(30))];
    assert_eq!(store.backlog_by_contract(later).await.unwrap(), waiting);
    assert_eq!(drain(&new, later).await, 20);
    assert_eq!(store.backlog_by_contract(later).await.unwrap(), []);
    let paths = |client: &RecordingClient| {
        let mut paths: Vec<_> = sent(client).into_iter().map(|(path, _)| path).collect();
        paths.dedup();
        paths
    };
    assert_eq!(
        (paths(&old_client), paths(&new_client)),
        (vec!["shop".to_owned()], vec!["courier".to_owned()])
    );
    assert_eq!(deliveries(&*store, "org_1", shop.id).await.len(), 20);
}

/// Deliveries send the bytes that are stored, whichever versions the dispatcher's binary knows.
async fn an_older_version_needs_no_code_to_be_sent<S: Whole>(store: Arc<S>) {
    subscribe(&store, "old", "v1", EventFilter::all()).await;
    subscribe(&store, "new", "v2", EventFilter::all()).await;
    for (number, sender) in
        [shop_v1(), shop_v2(), shop("v3", Catalogue::OPEN, FORMAT_2)].into_iter().enumerate()
    {
        let id = format!("e{number}");
        outbox(&store).emit("org_1", &paid(&id, 1999)).await.unwrap();
        let client = RecordingClient::new();
        assert_eq!(dispatcher(&store, &client, sender).step(NOON).await.unwrap().delivered, 2);
        let expected = [("new", body_v2(&id, 1999)), ("old", body_v1(&id, 19.99))];
        assert_eq!(sent(&client), expected.map(|(path, body)| (path.to_owned(), body)));
        for recorded in client.recorded() {
            let request = recorded.request;
            let verifier = shop_v1().verifier(&Secret::from_random([7; 32])).unwrap();
            verifier.verify_at(request.headers(), request.body(), NOON).unwrap();
        }
    }
}

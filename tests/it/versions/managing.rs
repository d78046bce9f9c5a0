//! Contracts and versions in management.

use std::sync::Arc;

use hookwire::manage::{ConditionDraft, ManageError, Service, SubscriptionDraft, SubscriptionPatch};
use hookwire::testing::RecordingClient;
use hookwire::{Contract, ErrorKind, MemoryStore};

use super::*;

const URL: &str = "https://hooks.example.com/in";

fn service() -> Service<MemoryStore> {
    Service::of(MemoryStore::new(), versions()).with_contract(Contract::nectar_desk()).unwrap()
}

fn draft() -> SubscriptionDraft {
    SubscriptionDraft::new(URL, ["order.paid"])
}

fn field(refused: Result<impl Sized, ManageError>) -> String {
    refused.err().unwrap().field().expect("a field is wrong").to_owned()
}

#[tokio::test]
async fn a_subscription_speaks_the_contract_and_the_version_that_its_draft_names() {
    let service = service();
    for (draft, contract, version, is_signed) in [
        (draft(), "shop", "v2", true),
        (draft().with_version("v1"), "shop", "v1", true),
        (draft().with_contract("shop"), "shop", "v2", true),
        (
            SubscriptionDraft::new(URL, ["Call Ended"]).with_contract("nectar_desk"),
            "nectar_desk",
            "v1",
            false,
        ),
    ] {
        let made = service.create("org_1", draft).await.unwrap();
        let shown = &made.subscription;
        assert_eq!((&*shown.contract, &*shown.version), (contract, version));
        assert_eq!(made.secret.is_some(), is_signed, "the contract decides whether there is a secret");
        assert_eq!(service.get("org_1", shown.id).await.unwrap(), *shown);
        assert_eq!(service.contract_of("org_1", shown.id).await.unwrap().name(), contract);
    }
    for (draft, wrong) in [
        (draft().with_version("v3"), "version"),
        (draft().with_contract("courier"), "contract"),
        // The catalogue is that of the version.
        (SubscriptionDraft::new(URL, ["parcel.lost"]), "events[0]"),
        (SubscriptionDraft::new(URL, ["order.refunded"]).with_version("v1"), "events[0]"),
    ] {
        assert_eq!(field(service.create("org_1", draft).await), wrong);
    }
    service.create("org_1", SubscriptionDraft::new(URL, ["parcel.lost"]).with_version("v1")).await.unwrap();
    let json =
        r#"{"url": "https://hooks.example.com/in", "events": ["*"], "contract": "shop", "version": "v1"}"#;
    let made = service.create("org_1", serde_json::from_str(json).unwrap()).await.unwrap();
    assert_eq!(made.subscription.version, "v1");
}

#[tokio::test]
async fn a_change_of_the_version_checks_events_and_conditions_again() {
    let service = service();
    let asking = |pointer: &str| ConditionDraft::data(pointer, [1]);
    let made = service.create("org_1", draft().with_condition(asking("/cents"))).await.unwrap().subscription;
    let to_v1 = || SubscriptionPatch::new().with_version("v1");
    // Version v1 has no cents.
    assert_eq!(field(service.update("org_1", made.id, to_v1(), None).await), "conditions[0]");
    assert_eq!(service.get("org_1", made.id).await.unwrap().version, "v2", "nothing was changed");
    let mut patch = to_v1();
    patch.conditions = Some(vec![asking("/shop"), asking("/price")]);
    assert_eq!(service.update("org_1", made.id, patch, None).await.unwrap().version, "v1");
    // And back, where there is no price.
    let to_v2 = || SubscriptionPatch::new().with_version("v2");
    assert_eq!(field(service.update("org_1", made.id, to_v2(), None).await), "conditions[1]");
    let mut patch = to_v2();
    patch.conditions = Some(Vec::new());
    assert_eq!(service.update("org_1", made.id, patch, None).await.unwrap().version, "v2");
    // A type that only the newer version has.
    let patch = SubscriptionPatch::new().with_events(["order.paid", "order.refunded"]);
    service.update("org_1", made.id, patch, None).await.unwrap();
    assert_eq!(field(service.update("org_1", made.id, to_v1(), None).await), "events[1]");
    // A place that neither version publishes says nothing about the version.
    let patch = || SubscriptionPatch::new().with_events(["order.paid"]);
    let mut own = patch();
    own.conditions = Some(vec![asking("/own_field")]);
    service.update("org_1", made.id, own, None).await.unwrap();
    assert_eq!(service.update("org_1", made.id, to_v1(), None).await.unwrap().version, "v1");
    // A replacement keeps the version, unless it names one.
    assert_eq!(service.replace("org_1", made.id, draft(), None).await.unwrap().version, "v1");
    let replaced = service.replace("org_1", made.id, draft().with_version("v2"), None).await.unwrap();
    assert_eq!(replaced.version, "v2");
}

#[tokio::test]
async fn a_subscription_keeps_its_contract() {
    let service = service();
    let made = service.create("org_1", draft()).await.unwrap().subscription;
    let mut patch = SubscriptionPatch::new();
    patch.contract = Some("nectar_desk".to_owned());
    assert_eq!(field(service.update("org_1", made.id, patch.clone(), None).await), "contract");
    let other = SubscriptionDraft::new(URL, ["Call Ended"]).with_contract("nectar_desk");
    assert_eq!(field(service.replace("org_1", made.id, other, None).await), "contract");
    patch.contract = Some("shop".to_owned());
    service.update("org_1", made.id, patch, None).await.unwrap();
    let twice = self::service().with_contract(shop_v1()).err().unwrap();
    assert_eq!(twice.kind(), ErrorKind::Contract);
}

/// A service of another binary shows it, and changes nothing under terms that it does not know.
#[tokio::test]
async fn a_subscription_of_an_unknown_contract_is_shown_and_left_alone() {
    let store = Arc::new(MemoryStore::new());
    let other = subscribe_to(&store, "in", (&shop_v1()).into(), EventFilter::all()).await;
    let client = RecordingClient::new();
    let service = Service::new(Arc::clone(&store), Contract::allison()).with_client(client.clone());
    assert_eq!(service.get("org_1", other.id).await.unwrap().contract, "shop");
    let patch = SubscriptionPatch::new().with_enabled(false);
    for refused in [
        service.update("org_1", other.id, patch, None).await.err().unwrap(),
        service.send_test("org_1", other.id, None).await.err().unwrap(),
        service.rotate("org_1", other.id, hookwire::manage::Rotate::new()).await.err().unwrap(),
    ] {
        assert!(matches!(refused, ManageError::Conflict { .. }), "{refused}");
    }
    assert!(client.recorded().is_empty());
    service.delete("org_1", other.id).await.unwrap();
}

#[tokio::test]
async fn a_test_event_is_sent_in_the_version_of_its_subscription() {
    let client = RecordingClient::new();
    let service = service().with_client(client.clone());
    for version in ["v1", "v2"] {
        let made = service.create("org_1", draft().with_version(version)).await.unwrap().subscription;
        let tested = service.send_test("org_1", made.id, None).await.unwrap();
        let kept = service.event("org_1", &tested.event).await.unwrap();
        assert_eq!(kept.contract.version(), version);
    }
    let bodies: Vec<_> = sent(&client).into_iter().map(|(_, body)| body["version"].clone()).collect();
    let mut versions: Vec<_> = bodies.iter().map(|version| version.as_str().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["1", "2"]);
}

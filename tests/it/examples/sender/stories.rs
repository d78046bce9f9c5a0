//! A subscription's life from creation to replay, as the platform's customers see it.

use http::Method;
use serde_json::{Value, json};

use super::{EVENTS, SUBSCRIPTIONS, Sender, ids};
use crate::endpoint::Endpoint;

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_new_one_until_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let sender = Sender::on_sqlite("standard_webhooks", &folder.path().join("sender.db"), &[]);
    let (id, first) = sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["order.*"]})).await;
    let path = format!("{SUBSCRIPTIONS}/{id}");
    let signed_with = async |count: usize| {
        let emitted = sender.post(EVENTS, json!({"type": "order.paid", "data": {"order": count}})).await;
        assert_eq!(emitted.json()["deliveries"], 1);
        endpoint.arrived(count).await;
        endpoint.requests()[count - 1].clone()
    };
    let request = signed_with(1).await;
    assert!(sender.received(&request, first.as_ref()).is_ok());

    let rotated = sender.post(&format!("{path}/rotate-secret"), json!({"overlap_seconds": 3600})).await;
    assert_eq!(rotated.status(), 200, "{}", rotated.text());
    let second = Some(rotated.json()["secret"].as_str().unwrap().parse().unwrap());
    assert_ne!(first, second);
    let request = signed_with(2).await;
    for secret in [&first, &second] {
        assert!(sender.received(&request, secret.as_ref()).is_ok(), "both sign");
    }
    assert_eq!(sender.get(&path).await.json()["data"]["signing_secrets"], 2);

    // The shorter overlap also applies to all older secrets.
    let rotated = sender.post(&format!("{path}/rotate-secret"), json!({"overlap_seconds": 1})).await;
    let third: hookwire::Secret = rotated.json()["secret"].as_str().unwrap().parse().unwrap();
    sender.until(&path, |told| told["data"]["signing_secrets"] == 1).await;
    let request = signed_with(3).await;
    assert!(sender.received(&request, Some(&third)).is_ok());
    for secret in [&first, &second] {
        assert!(sender.received(&request, secret.as_ref()).is_err(), "the old ones have stopped");
    }
    let previewed = sender.get(&path).await.json()["data"]["secret_preview"].as_str().unwrap().to_owned();
    let preview = previewed.strip_suffix("...").unwrap();
    assert!(third.expose().starts_with(preview), "the newest is previewed");
}

#[tokio::test]
async fn a_secret_of_allison_is_replaced_at_once() {
    let endpoint = Endpoint::start([]).await;
    let sender = Sender::start("allison", "memory", &[]);
    let (id, first) = sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["*"]})).await;
    let rotate = format!("{SUBSCRIPTIONS}/{id}/rotate-secret");
    let rotated = sender.call(Method::POST, &rotate, None).await.json();
    let second = Some(rotated["secret"].as_str().unwrap().parse().unwrap());
    sender.emit_call("c-1").await;
    endpoint.arrived(1).await;
    let request = endpoint.requests()[0].clone();
    assert!(sender.received(&request, second.as_ref()).is_ok());
    assert!(sender.received(&request, first.as_ref()).is_err());
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_with_the_reason_and_gets_what_it_missed_once_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    endpoint.answers(410);
    let sender = Sender::on_sqlite("allison", &folder.path().join("sender.db"), &[]);
    let (id, secret) = sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["call.*"]})).await;
    let path = format!("{SUBSCRIPTIONS}/{id}");
    let gone = sender.emit_call("c-1").await;
    let disabled = sender.until(&path, |told| told["data"]["enabled"] == false).await;
    assert_eq!(disabled["data"]["auto_disabled_reason"], "gone");
    assert!(disabled["data"]["disabled_at"].is_string(), "{disabled}");
    let missed = [sender.emit_call("c-2").await, sender.emit_call("c-3").await];
    let waiting = sender.get(&format!("{path}/deliveries?state=pending")).await.json();
    assert_eq!(waiting["data"].as_array().unwrap().len(), 2, "{waiting}");
    assert_eq!(endpoint.requests().len(), 1, "one that is disabled is sent nothing");

    endpoint.answers(200);
    let enabled = sender.call(Method::PATCH, &path, Some(json!({"enabled": true}))).await.json();
    assert_eq!(
        (&enabled["data"]["enabled"], &enabled["data"]["auto_disabled_reason"]),
        (&json!(true), &Value::Null)
    );
    // Pending deliveries are sent without a request. A refused one is replayed on request.
    endpoint.arrived(3).await;
    let since = enabled["data"]["created_at"].clone();
    let recovered = sender.post(&format!("{path}/recover"), json!({"since": since})).await;
    assert_eq!((recovered.status(), recovered.json()), (200, json!({"data": {"replayed": 1}})));
    endpoint.arrived(4).await;
    let mut arrived = ids(&sender, &endpoint);
    assert_eq!((arrived.remove(0), arrived.pop()), (gone.clone(), Some(gone.clone())));
    arrived.sort();
    assert_eq!(arrived, missed);
    for request in endpoint.requests().iter() {
        assert!(sender.received(request, secret.as_ref()).is_ok());
    }
    sender
        .until(&format!("{path}/deliveries?state=delivered"), |told| {
            told["data"].as_array().unwrap().len() == 3
        })
        .await;
}

#[tokio::test]
async fn a_dead_letter_is_listed_with_its_reason_and_replayed_or_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    endpoint.answers(500);
    let sender = Sender::on_sqlite("allison", &folder.path().join("sender.db"), &[]);
    let draft = json!({"url": endpoint.url().as_str(), "events": ["*"], "retry": {"type": "delays", "seconds": [0.01]}});
    let (id, _) = sender.subscribe(draft).await;
    let path = format!("{SUBSCRIPTIONS}/{id}");
    let [one, two] = [sender.emit_call("c-1").await, sender.emit_call("c-2").await];
    let dead = sender.until("/v1/dead-letters", |told| told["data"].as_array().unwrap().len() == 2).await;
    for letter in dead["data"].as_array().unwrap() {
        assert_eq!((&letter["state"], &letter["attempts"]), (&json!("exhausted"), &json!(2)), "{letter}");
        let delivery = letter["id"].as_str().unwrap();
        let told = sender.get(&format!("{path}/deliveries/{delivery}")).await.json();
        let statuses: Vec<_> = told["data"]["attempt_log"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| &attempt["status"])
            .collect();
        assert_eq!(statuses, [500, 500], "{told}");
    }
    assert_eq!(endpoint.requests().len(), 4);

    let letter = dead["data"].as_array().unwrap().iter().find(|letter| letter["event_id"] == *two).unwrap();
    let discard = format!("{path}/deliveries/{}/discard", letter["id"].as_str().unwrap());
    assert_eq!(sender.post(&discard, json!({"note": "the customer has it from a mail"})).await.status(), 204);
    endpoint.answers(200);
    let replayed = sender.call(Method::POST, &format!("{path}/replay"), None).await;
    assert_eq!(replayed.json(), json!({"data": {"replayed": 1}}));
    endpoint.arrived(5).await;
    assert_eq!(ids(&sender, &endpoint)[4], one);
    assert_eq!(sender.get("/v1/dead-letters").await.json()["data"], json!([]));
    sender
        .until(&format!("{path}/deliveries?state=delivered"), |told| told["data"][0]["event_id"] == *one)
        .await;
}

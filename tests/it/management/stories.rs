//! Complete stories, over real HTTP on both sides.

use std::time::Duration;

use futures_util::future::join_all;
use hookwire::allison::CallEnded;
use hookwire::contract::Rotation;
use hookwire::{Clock as _, Secret};
use serde_json::json;

use super::*;

/// Create, deliver, rotate: both secrets sign during the overlap, then only the new one.
#[tokio::test]
async fn a_secret_is_rotated_with_an_overlap_and_then_the_old_one_stops() {
    let contract = Contract::standard_webhooks()
        .with_catalogue(*Contract::allison().catalogue())
        .with_rotation(Rotation::Overlap(Duration::from_secs(600)));
    let stage = Stage::under(contract).await;
    let (id, old) = stage.subscribe(&["call.*"]).await;
    let old: Secret = old.unwrap().parse().unwrap();
    let mut count = 0;
    let mut proves = async |secret: &Secret, new: Option<&Secret>| {
        stage.emit(CallEnded::new("c1")).await;
        stage.deliver().await;
        count += 1;
        let requests = stage.endpoint.requests();
        assert_eq!(requests.len(), count);
        let (headers, body) = requests.last().unwrap().clone();
        let by = |secret: &Secret| {
            stage.contract.verifier(secret).unwrap().verify_at(&headers, &body, stage.clock.now()).is_ok()
        };
        (by(secret), new.map(by))
    };
    assert_eq!(proves(&old, None).await, (true, None));
    let rotated = stage.post(&at("/rotate-secret", &id), json!({"overlap_seconds": 60})).await.json();
    let new: Secret = text(&rotated["secret"]).parse().unwrap();
    assert_eq!(rotated["data"]["signing_secrets"], 2);
    assert_eq!(proves(&old, Some(&new)).await, (true, Some(true)));
    stage.clock.advance(Duration::from_secs(60));
    assert_eq!(proves(&old, Some(&new)).await, (false, Some(true)));
    assert_eq!(stage.get(&at("", &id)).await["data"]["signing_secrets"], 1);
}

/// An endpoint that is gone is disabled with the reason. After it is enabled again, its missed events are
/// recovered.
#[tokio::test]
async fn what_an_endpoint_that_was_gone_missed_is_recovered() {
    let stage = Stage::new().await;
    let (id, _) = stage.subscribe(&["*"]).await;
    let since = stage.clock.now();
    stage.endpoint.answers(410);
    stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    let gone = stage.get(&at("", &id)).await["data"].clone();
    assert_eq!((&gone["enabled"], &gone["auto_disabled_reason"]), (&json!(false), &json!("gone")));
    assert!(gone["disabled_at"].is_string());
    stage.emit(CallEnded::new("c2")).await;
    stage.deliver().await;
    assert_eq!(stage.endpoint.requests().len(), 1, "what came since waits");
    stage.endpoint.answers(200);
    let tested = stage.wire.raw(POST, &at("/test", &id), WRITER, &[], "").await.json();
    assert_eq!(tested["data"]["delivered"], true, "a disabled one takes a test");
    let on = stage.wire.send("PATCH", &at("", &id), WRITER, &json!({"enabled": true})).await.json();
    assert_eq!((&on["data"]["enabled"], &on["data"]["auto_disabled_reason"]), (&json!(true), &Value::Null));
    let body = json!({"since": since.format(&time::format_description::well_known::Rfc3339).unwrap()});
    let recovered = stage.post(&at("/recover", &id), body).await.json();
    assert_eq!(recovered["data"]["replayed"], 1);
    stage.deliver().await;
    assert_eq!(stage.endpoint.requests().len(), 4, "the gone one, the test, what waited, what was recovered");
    let delivered = stage.get(&at("/deliveries?state=delivered", &id)).await;
    assert_eq!(delivered["data"].as_array().unwrap().len(), 3);
}

/// In any order of calls, each delivery is signed with a known secret, and no change is lost.
#[tokio::test]
async fn rotations_updates_and_deliveries_at_once_lose_nothing_and_sign_everything() {
    let stage = Stage::new().await;
    let (id, first) = stage.subscribe(&["*"]).await;
    let path = at("/rotate-secret", &id);
    let rotations = join_all((0..10).map(|_| stage.wire.raw(POST, &path, WRITER, &[], "")));
    let own = at("", &id);
    let bodies = [
        json!({"max_in_flight": 7}),
        json!({"rate": {"per_second": 500, "burst": 100}}),
        json!({"headers": {"x-tenant": "acme"}}),
        json!({"retry": {"type": "delays", "seconds": [1, 2]}}),
        json!({"events": ["call.*"]}),
    ];
    let updates = join_all(bodies.iter().map(|body| stage.wire.send("PATCH", &own, WRITER, body)));
    let deliveries = async {
        for number in 0..30 {
            stage.emit(CallEnded::new(format!("c{number}"))).await;
            stage.dispatcher.step(stage.clock.now()).await.unwrap();
        }
    };
    let (rotated, updated, ()) = tokio::join!(rotations, updates, deliveries);
    stage.deliver().await;
    assert!(updated.iter().all(|answer| answer.status == 200), "{updated:?}");
    let mut secrets: Vec<Secret> = vec![first.unwrap().parse().unwrap()];
    for answer in &rotated {
        assert_eq!(answer.status, 200, "{answer:?}");
        secrets.push(text(&answer.json()["secret"]).parse().unwrap());
    }
    let read = stage.get(&own).await["data"].clone();
    assert_eq!((&read["max_in_flight"], &read["events"]), (&json!(7), &json!(["call.*"])));
    assert_eq!(read["headers"], json!({"x-tenant": {"hidden": true}}));
    assert_eq!(read["retry"], json!({"type": "delays", "seconds": [1.0, 2.0]}));
    assert_eq!(read["rate"]["burst"], 100);
    assert!(secrets.iter().any(|secret| read["secret_preview"] == secret.preview()));
    let requests = stage.endpoint.requests().clone();
    assert_eq!(requests.len(), 30);
    for (headers, body) in &requests {
        let is_by = |secret: &&Secret| {
            stage.contract.verifier(secret).unwrap().verify_at(headers, body, stage.clock.now()).is_ok()
        };
        assert_eq!(secrets.iter().filter(is_by).count(), 1, "{headers:?}");
    }
}

/// A dead letter shows its reason and its attempts. One is replayed, another discarded with a note.
#[tokio::test]
async fn dead_letters_are_looked_into_replayed_and_discarded() {
    let stage = Stage::new().await;
    let draft = json!({
        "url": stage.endpoint.url().as_str(),
        "events": ["*"],
        "retry": {"type": "delays", "seconds": [1]},
    });
    let id = text(&stage.post(SUBSCRIPTIONS, draft).await.json()["data"]["id"]);
    stage.endpoint.answers(503);
    for number in 0..2 {
        stage.emit(CallEnded::new(format!("c{number}"))).await;
    }
    stage.deliver().await;
    let letters = stage.get("/v1/dead-letters").await;
    let letters = letters["data"].as_array().unwrap();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0]["state"], "exhausted");
    assert!(text(&letters[0]["reason"]).contains("none is left"));
    let first = format!("/deliveries/{}", text(&letters[0]["id"]));
    let shown = stage.get(&at(&first, &id)).await;
    let log = shown["data"]["attempt_log"].as_array().unwrap();
    assert_eq!(log.iter().map(|attempt| &attempt["status"]).collect::<Vec<_>>(), [503, 503]);
    stage.clock.advance(Duration::from_secs(1));
    let statistics = stage.get(&at("/statistics", &id)).await["data"].clone();
    assert_eq!((&statistics["attempts"], &statistics["success_rate"]), (&json!(4), &json!(0.0)));
    assert!(statistics["failing_since"].is_string());
    let discarded = stage.post(&at(&format!("{first}/discard"), &id), json!({"note": "done by hand"})).await;
    assert_eq!(discarded.status, 204);
    let shown = stage.get(&at(&first, &id)).await["data"].clone();
    assert_eq!((&shown["state"], &shown["note"]), (&json!("discarded"), &json!("done by hand")));
    stage.endpoint.answers(200);
    let replayed = stage.wire.raw(POST, &at("/replay", &id), WRITER, &[], "").await.json();
    assert_eq!(replayed["data"]["replayed"], 1, "the discarded one is not wanted");
    stage.deliver().await;
    assert!(stage.get("/v1/dead-letters").await["data"].as_array().unwrap().is_empty());
    let retried = stage.wire.raw(POST, &at(&format!("{first}/retry"), &id), WRITER, &[], "").await;
    assert_eq!(retried.status, 200, "whoever asks for that one gets it all the same");
    stage.deliver().await;
    let delivered = stage.get(&at("/deliveries?state=delivered", &id)).await;
    assert_eq!(delivered["data"].as_array().unwrap().len(), 2);
}

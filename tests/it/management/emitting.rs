//! `POST /v1/events`.

use serde_json::json;

use super::*;

const EVENTS: &str = "/v1/events";

#[tokio::test]
async fn an_event_is_emitted_once_and_several_are_emitted_together() {
    let stage = Stage::new().await;
    let (id, _) = stage.subscribe(&["*"]).await;
    let one = |call: &str| json!({"type": "call.ended", "data": {"call_id": call}});
    let first = stage.post(EVENTS, one("c1")).await;
    assert_eq!((first.status, &first.json()["deliveries"]), (202, &json!(1)), "{first:?}");
    let several = stage.post(EVENTS, json!({"events": [one("c2"), one("c3")]})).await;
    assert_eq!((several.status, several.json()["data"].as_array().unwrap().len()), (202, 2));
    stage.deliver().await;
    assert_eq!(stage.endpoint.requests().len(), 3);
    let listed = stage.get(&at("/deliveries", &id)).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
    // All or none.
    let wrong = json!({"events": [one("c4"), {"type": "call.ended", "data": {"call_id": 7}}]});
    let told = stage.post(EVENTS, wrong).await;
    assert_eq!((told.status, told.field().as_str()), (400, "events[1].data.call_id"));
    assert_eq!(stage.get(EVENTS).await["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn with_an_idempotency_key_a_repeat_emits_nothing_twice() {
    let stage = Stage::new().await;
    stage.subscribe(&["*"]).await;
    let emit = async |key: &str, access, body: &Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        stage.wire.raw(POST, EVENTS, access, &headers, &body.to_string()).await
    };
    let event = json!({"type": "call.ended", "data": {"call_id": "c1"}});
    let (a, b) = tokio::join!(emit("k", WRITER, &event), emit("k", WRITER, &event));
    assert_eq!(a.json()["id"], b.json()["id"]);
    assert!(a.status + b.status == 402, "one of them emitted it: {a:?} {b:?}");
    stage.clock.advance(std::time::Duration::from_secs(5));
    let again = emit("k", WRITER, &event).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
    let other = json!({"type": "call.ended", "data": {"call_id": "c2"}});
    assert_eq!(emit("k", WRITER, &other).await.status, 422);
    let batch = json!({"events": [event, other]});
    assert_eq!(emit("k2", WRITER, &batch).await.status, 202);
    let again = emit("k2", WRITER, &batch).await;
    assert_eq!((again.status, &again.json()["data"][1]["duplicate"]), (200, &json!(true)));
    assert_eq!(emit("k", STRANGER, &event).await.status, 202, "another organization's key is another key");
    assert_eq!(emit("a b", WRITER, &event).await.field(), "Idempotency-Key");
    assert_eq!(stage.get(EVENTS).await["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_emitted_is_refused_with_its_field() {
    let stage = Stage::new().await;
    let with = |mut fields: Value| {
        fields["type"] = fields.get("type").cloned().unwrap_or_else(|| json!("call.ended"));
        fields["data"] = fields.get("data").cloned().unwrap_or_else(|| json!({"call_id": "c1"}));
        fields
    };
    for (body, status, field) in [
        (json!({"data": {}}), 400, "type"),
        (json!({"type": "call.ended"}), 400, "data"),
        (with(json!({"type": "call.begun"})), 400, "type"),
        (with(json!({"data": {}})), 400, "data.call_id"),
        (with(json!({"data": {"call_id": "c", "started_at": "yesterday"}})), 400, "data.started_at"),
        (with(json!({"id": "a b"})), 400, "id"),
        (with(json!({"contract": "allo"})), 400, "contract"),
        (with(json!({"ordering_key": "k".repeat(300)})), 400, "ordering_key"),
        (with(json!({"attributes": {"a": 1}})), 400, "attributes.a"),
        (with(json!({"colour": "red"})), 400, "colour"),
        (json!({"events": []}), 400, "events"),
        (json!({"events": vec![with(json!({})); 101]}), 400, "events"),
        (json!({"events": [with(json!({})), with(json!({"id": "a b"}))]}), 400, "events[1].id"),
        (json!({"events": [with(json!({}))], "type": "call.ended"}), 400, "type"),
        (with(json!({"data": {"call_id": "c".repeat(1_050_000)}})), 413, ""),
        (with(json!({"data": {"call_id": "c".repeat(2_000_000)}})), 413, ""),
    ] {
        let told = stage.post(EVENTS, body.clone()).await;
        assert_eq!((told.status, told.field().as_str()), (status, field), "{told:?}");
    }
    let event = with(json!({"id": "evt_1"}));
    assert_eq!(stage.post(EVENTS, event.clone()).await.status, 202);
    assert_eq!(stage.post(EVENTS, event).await.status, 200);
    let other = with(json!({"id": "evt_1", "data": {"call_id": "c2"}}));
    let told = stage.post(EVENTS, other).await;
    assert_eq!((told.status, told.field().as_str()), (409, "id"));
}

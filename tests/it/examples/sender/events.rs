//! Emitted events: accepted once, refused with the field's name, delivered with a signature that verifies.

use hookwire::Contract;
use http::Method;
use serde_json::{Value, json};

use super::{EVENTS, Sender, ids};
use crate::endpoint::{Answer, Endpoint};

#[tokio::test]
async fn an_emitted_event_arrives_as_its_contract_has_it_and_with_a_signature_that_verifies() {
    for name in Contract::NAMES {
        let endpoint = Endpoint::start([]).await;
        let sender = Sender::start(name, "memory", &[]);
        let contract = &sender.contract;
        let (_, secret) = sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["*"]})).await;
        assert_eq!(secret.is_some(), contract.scheme().is_some(), "{name}");
        let (event_type, data) = match contract.catalogue().iter().next() {
            Some(kind) => (kind.name(), serde_json::from_str(kind.sample().get()).unwrap()),
            None => ("order.paid", json!({"order": [1, "two"]})),
        };
        let emitted = sender.post(EVENTS, json!({"type": event_type, "data": data})).await;
        assert_eq!(emitted.status(), 202, "{name}: {}", emitted.text());
        let emitted = emitted.json();
        assert_eq!((&emitted["deliveries"], &emitted["duplicate"]), (&json!(1), &json!(false)), "{name}");

        endpoint.arrived(1).await;
        let request = endpoint.requests()[0].clone();
        let received = sender.received(&request, secret.as_ref()).unwrap();
        assert_eq!(received.event_type(), event_type, "{name}");
        assert_eq!(serde_json::from_str::<Value>(received.data.data().get()).unwrap(), data, "{name}");
        if contract.scheme().is_some() {
            assert_eq!(received.id.as_str(), emitted["id"], "{name}");
            let other = hookwire::Secret::generate();
            assert!(sender.received(&request, Some(&other)).is_err(), "{name}");
        }
        // The store records the delivery, too.
        let path = format!("{EVENTS}/{}/deliveries", emitted["id"].as_str().unwrap());
        sender.until(&path, |told| told["data"][0]["state"] == "delivered").await;
    }
}

#[tokio::test]
async fn a_repeat_is_told_from_another_event_under_the_same_id_also_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sender.db");
    let endpoint = Endpoint::start([]).await;
    let event = json!({"id": "evt_7", "type": "call.ended", "data": {"call_id": "c-1"}});
    let (mut other_data, mut other_type) = (event.clone(), event.clone());
    other_data["data"]["call_id"] = "c-2".into();
    other_type["type"] = "call.message_taken".into();
    let mut sender = Sender::on_sqlite("allison", &file, &[]);
    sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["*"]})).await;
    for process in 0..2 {
        let first = sender.post(EVENTS, event.clone()).await;
        let expected = [(202, json!({"id": "evt_7", "deliveries": 1, "duplicate": false})), repeated()];
        assert_eq!((first.status(), first.json()), expected[process]);
        for _ in 0..2 {
            let repeat = sender.post(EVENTS, event.clone()).await;
            assert_eq!((repeat.status(), repeat.json()), repeated());
            for other in [&other_data, &other_type] {
                let conflict = sender.post(EVENTS, other.clone()).await;
                assert_eq!((conflict.status(), &conflict.json()["field"]), (409, &json!("id")));
            }
        }
        sender.ended_by_sigterm().await;
        sender = Sender::on_sqlite("allison", &file, &[]);
    }
    // Another organization may use the same id.
    let theirs = sender.call_as("Bearer globex=", Method::POST, EVENTS, Some(other_data)).await;
    assert_eq!((theirs.status(), theirs.json()["deliveries"].clone()), (202, json!(0)));
    let last = sender.emit_call("c-9").await;
    endpoint.arrived(2).await;
    assert_eq!(ids(&sender, &endpoint), ["evt_7".to_owned(), last]);
}

/// The answer to an event that was accepted before.
fn repeated() -> (u16, Value) {
    (200, json!({"id": "evt_7", "deliveries": 0, "duplicate": true}))
}

#[tokio::test]
async fn an_event_that_cannot_be_used_is_refused_with_the_field_and_leaves_nothing_behind() {
    let sender = Sender::start("allison", "memory", &[]);
    let call = json!({"call_id": "c-1"});
    for (body, field) in [
        (json!({"data": call}), "type"),
        (json!({"type": "call.ended"}), "data"),
        (json!({"type": "call.began", "data": call}), "type"),
        (json!({"type": "", "data": call}), "type"),
        (json!({"type": 7, "data": call}), "type"),
        (json!({"type": "call.ended", "data": {}}), "data.call_id"),
        (json!({"type": "call.ended", "data": [call]}), "data"),
        (
            json!({"type": "call.ended", "data": {"call_id": "c-1", "outcome_tags": ["a", 2]}}),
            "data.outcome_tags[1]",
        ),
        (
            json!({"type": "call.ended", "data": {"call_id": "c-1", "duration_seconds": "9"}}),
            "data.duration_seconds",
        ),
        (json!({"type": "call.ended", "data": call, "id": "two words"}), "id"),
        (json!({"type": "call.ended", "data": call, "id": "x".repeat(257)}), "id"),
        (json!({"type": "call.ended", "data": call, "ordering": "k"}), "ordering"),
        (json!({"type": "call.ended", "data": call, "ordering_key": 7}), "ordering_key"),
        (json!({"type": "call.ended", "data": call, "attributes": {"list": ["a", 7]}}), "attributes.list[1]"),
    ] {
        let refused = sender.post(EVENTS, body.clone()).await;
        assert_eq!(refused.status(), 400, "{body}: {}", refused.text());
        assert_eq!(refused.header("content-type"), "application/problem+json");
        let problem = refused.json();
        assert_eq!(problem["field"], field, "{body}: {problem}");
        assert_eq!(problem["status"], 400);
        assert!(problem["detail"].as_str().unwrap().contains(", expected "), "{problem}");
    }
    let unknown = sender.post(EVENTS, json!({"type": "call.began", "data": call})).await.json();
    assert!(
        unknown["expected"].as_str().unwrap().contains("call.ended, call.callback_requested"),
        "{unknown}"
    );
    for body in ["", "{", "[]", "7", r#"{"type":"call.ended","data":{"call_id":"c-1"}} x"#] {
        let answer = raw(&sender, "application/json", body.to_owned()).await;
        assert_eq!((answer.0, answer.1["field"].clone()), (400, Value::Null), "{body}");
    }
    let event = json!({"type": "call.ended", "data": call}).to_string();
    assert_eq!(raw(&sender, "application/x-www-form-urlencoded", event.clone()).await.0, 415);
    let long =
        json!({"type": "call.ended", "data": {"call_id": "c-1", "summary": "x".repeat(1 << 20)}}).to_string();
    assert_eq!(raw(&sender, "application/json", long).await.0, 413);
    assert_eq!(raw(&sender, "application/json", " ".repeat(2 << 20)).await.0, 413);
    assert_eq!(sender.get(EVENTS).await.json()["data"], json!([]));
    assert_eq!(raw(&sender, "application/json; charset=utf-8", event).await.0, 202);
}

#[tokio::test]
async fn an_id_that_no_receiver_could_verify_is_refused_where_the_contract_signs_it() {
    for (contract, event_type, expected) in
        [("standard_webhooks", "order.paid", 400), ("allison", "call.ended", 202)]
    {
        let sender = Sender::start(contract, "memory", &[]);
        let event = json!({"id": "order.7", "type": event_type, "data": {"call_id": "c-1"}});
        let answer = sender.post(EVENTS, event).await;
        assert_eq!(answer.status(), expected, "{contract}: {}", answer.text());
        assert_eq!(answer.json().get("field"), (expected == 400).then_some(&json!("id")));
    }
}

#[tokio::test]
async fn attributes_choose_who_gets_an_event() {
    let endpoint = Endpoint::start([]).await;
    let sender = Sender::start("allison", "memory", &[]);
    let draft =
        json!({"url": endpoint.url().as_str(), "events": ["*"], "attributes": {"list": ["vip", "press"]}});
    sender.subscribe(draft).await;
    for (attributes, deliveries) in [
        (json!({"list": "vip"}), 1),
        (json!({"list": ["new", "press"]}), 1),
        (json!({"list": []}), 0),
        (json!({"list": ["new"]}), 0),
        (json!({"lists": "vip"}), 0),
        (Value::Null, 0),
    ] {
        let event = json!({"type": "call.ended", "data": {"call_id": "c-1"}, "attributes": attributes});
        let emitted = sender.post(EVENTS, event).await.json();
        assert_eq!(emitted["deliveries"], deliveries, "{attributes}");
    }
    endpoint.arrived(2).await;
    assert!(!endpoint.requests().iter().any(|(_, body)| body.windows(3).any(|part| part == b"vip")));
}

#[tokio::test]
async fn an_event_waits_behind_another_of_its_ordering_key() {
    let endpoint = Endpoint::start([Answer::Status(503)]).await;
    let sender = Sender::start("allison", "memory", &[]);
    let draft =
        json!({"url": endpoint.url().as_str(), "events": ["*"], "retry": {"type": "delays", "seconds": [2]}});
    sender.subscribe(draft).await;
    let event = |id: &str| json!({"id": id, "type": "call.ended", "data": {"call_id": "c-1"}, "ordering_key": "call c-1"});
    sender.post(EVENTS, event("evt_1")).await;
    let is_to_be_retried = |told: &Value| told["data"][0]["attempts"] == 1;
    sender.until(&format!("{EVENTS}/evt_1/deliveries"), is_to_be_retried).await;
    sender.post(EVENTS, event("evt_2")).await;
    endpoint.arrived(3).await;
    assert_eq!(ids(&sender, &endpoint), ["evt_1", "evt_1", "evt_2"]);
}

async fn raw(sender: &Sender, content_type: &str, body: String) -> (u16, Value) {
    let request = http::Request::post(format!("{}{EVENTS}", sender.url))
        .header("authorization", "bearer acme-key")
        .header("content-type", content_type)
        .body(body.into())
        .unwrap();
    let answer = sender.send(request).await.unwrap();
    (answer.status(), answer.json())
}

#[tokio::test]
async fn several_contracts_are_sent_each_in_its_own_form() {
    let endpoint = Endpoint::start([]).await;
    let sender = Sender::start("allison", "memory", &["--contract", "nectar_desk", "--contract=recept_ai"]);
    let url = endpoint.url();
    let call = json!({"type": "Call Ended", "data": {"call_id": "c-2"}, "contract": "nectar_desk"});
    let (_, allison) = sender.subscribe(json!({"url": url.as_str(), "events": ["*"]})).await;
    let desk = json!({"url": url.as_str(), "events": ["*"], "contract": "nectar_desk"});
    let (id, none) = sender.subscribe(desk).await;
    assert_eq!(none, None, "this contract does not sign");
    let shown = sender.get(&format!("{}/{id}", super::SUBSCRIPTIONS)).await.json();
    assert_eq!(
        (&shown["data"]["contract"], &shown["data"]["version"]),
        (&json!("nectar_desk"), &json!("v1"))
    );
    sender.emit_call("c-1").await;
    let emitted = sender.post(EVENTS, call.clone()).await;
    assert_eq!((emitted.status(), &emitted.json()["deliveries"]), (202, &json!(1)), "{}", emitted.text());
    endpoint.arrived(2).await;
    for request in endpoint.requests().iter() {
        let is_desk = !request.0.contains_key("x-allison-signature");
        let body: Value = serde_json::from_slice(&request.1).unwrap();
        match is_desk {
            true => assert_eq!(body, json!({"event": "Call Ended", "data": {"call_id": "c-2"}})),
            false => assert!(sender.received(request, allison.as_ref()).is_ok()),
        }
    }
    let mut wrong = call;
    wrong["contract"] = "allo".into();
    let refused = sender.post(EVENTS, wrong).await;
    assert_eq!((refused.status(), &refused.json()["field"]), (400, &json!("contract")), "{}", refused.text());
    let path = format!("{}/{id}/deliveries?state=delivered", super::SUBSCRIPTIONS);
    let delivered = sender.until(&path, |told| !told["data"].as_array().unwrap().is_empty()).await;
    assert_eq!(delivered["data"][0]["contract"], "nectar_desk");
    let numbers = sender.get("/metrics").await;
    for name in ["allison", "nectar_desk", "recept_ai"] {
        let gauge = format!("hookwire_oldest_due_seconds{{contract=\"{name}\"}} ");
        assert!(numbers.text().contains(&gauge), "{gauge}{}", numbers.text());
    }
    assert!(numbers.text().contains("# TYPE hookwire_backlog_waited_seconds gauge"), "{}", numbers.text());
}

/// Another program has sent under a contract that this one lacks.
#[tokio::test]
async fn deliveries_of_a_contract_that_the_program_lacks_stay_and_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sender.db");
    let endpoint = Endpoint::start([]).await;
    endpoint.answers(500);
    let mut both = Sender::on_sqlite("allison", &file, &["--contract", "standard_webhooks"]);
    let draft = json!({"url": endpoint.url().as_str(), "events": ["*"], "contract": "standard_webhooks"});
    let (id, _) = both.subscribe(draft).await;
    let event = json!({"type": "order.paid", "data": 1, "contract": "standard_webhooks"});
    assert_eq!(both.post(EVENTS, event).await.json()["deliveries"], 1);
    endpoint.arrived(1).await;
    let path = format!("{}/{id}/deliveries", super::SUBSCRIPTIONS);
    both.until(&path, |told| told["data"][0]["attempts"] == 1).await;
    both.ended_by_sigterm().await;
    // The retry is due 5 s after the first attempt, and this program leaves it alone.
    let alone = Sender::on_sqlite("allison", &file, &[]);
    let shown = loop {
        let numbers = alone.get("/metrics").await.text().to_owned();
        if numbers.contains("hookwire_backlog_due{contract=\"standard_webhooks\"} 1") {
            break numbers;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert!(shown.contains("hookwire_backlog_waited_seconds{contract=\"standard_webhooks\"} "), "{shown}");
    assert!(!shown.contains("hookwire_oldest_due_seconds{contract=\"standard_webhooks\"}"), "{shown}");
    assert_eq!(alone.get(&path).await.json()["data"][0]["attempts"], 1);
    assert_eq!(endpoint.requests().len(), 1);
}

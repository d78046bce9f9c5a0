//! Access control: every route, called by nobody, a reader, a writer and a stranger.

use std::collections::BTreeSet;

use hookwire::allison::CallEnded;
use serde_json::{Value, json};

use super::*;

/// A route with a valid body.
struct Route {
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    writes: bool,
}

fn routes() -> Vec<Route> {
    let read = |path| Route { method: "GET", path, body: None, writes: false };
    let write = |method, path, body: Option<Value>| Route { method, path, body, writes: true };
    let url = "https://hooks.example.com/in";
    let id = "/v1/webhook-subscriptions/{id}";
    let draft = || Some(json!({"url": url, "events": ["*"]}));
    vec![
        read("/v1/webhook-subscriptions"),
        read(id),
        read("/v1/webhook-subscriptions/{id}/statistics"),
        read("/v1/webhook-subscriptions/{id}/deliveries"),
        read("/v1/webhook-subscriptions/{id}/deliveries/{delivery}"),
        read("/v1/deliveries/{delivery}"),
        read("/v1/session"),
        read("/v1/contract"),
        read("/v1/dead-letters"),
        read("/v1/event-types"),
        read("/v1/events"),
        read("/v1/events/{event}"),
        read("/v1/events/{event}/deliveries"),
        read("/v1/openapi.json"),
        write("POST", "/v1/events", Some(json!({"type": "call.ended", "data": {"call_id": "c9"}}))),
        write("POST", "/v1/webhook-subscriptions", draft()),
        write("PATCH", id, Some(json!({"max_in_flight": 3}))),
        write("POST", "/v1/webhook-subscriptions/{id}/rotate-secret", None),
        write("POST", "/v1/webhook-subscriptions/{id}/test", None),
        write(
            "POST",
            "/v1/webhook-subscriptions/{id}/recover",
            Some(json!({"since": "2026-01-01T00:00:00Z"})),
        ),
        write("POST", "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/cancel", None),
        write(
            "POST",
            "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/discard",
            Some(json!({"note": "x"})),
        ),
        write("POST", "/v1/webhook-subscriptions/{id}/deliveries/{delivery}/retry", None),
        write("POST", "/v1/webhook-subscriptions/{id}/replay", None),
        write("PUT", id, draft()),
        write("DELETE", id, None),
    ]
}

#[tokio::test]
async fn the_table_has_every_route_that_there_is() {
    let document = Stage::new().await.document;
    let documented: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let tabled: BTreeSet<_> =
        routes().into_iter().map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
    assert_eq!(tabled, documented);
}

#[tokio::test]
async fn without_access_nothing_is_answered() {
    let (stage, ids) = set().await;
    for key in [None, Some("of-nobody")] {
        for route in routes() {
            let answer = call(&stage, &route, &ids, key).await;
            assert_eq!(answer.status, 401, "{} {}: {answer:?}", route.method, route.path);
            assert_eq!(answer.field(), "");
            ids.assert_absent(&answer);
        }
    }
    ids.assert_untouched(&stage).await;
}

#[tokio::test]
async fn a_reader_reads_everything_and_changes_nothing() {
    let (stage, ids) = set().await;
    for route in routes() {
        let answer = call(&stage, &route, &ids, READER).await;
        let expected = if route.writes { 403 } else { 200 };
        assert_eq!(answer.status, expected, "{} {}: {answer:?}", route.method, route.path);
        if route.writes {
            answer.field();
        }
    }
    ids.assert_untouched(&stage).await;
}

#[tokio::test]
async fn a_writer_may_call_everything() {
    let (stage, ids) = set().await;
    for route in routes() {
        let answer = call(&stage, &route, &ids, WRITER).await;
        // A conflict is fine here: a delivery that has ended cannot be cancelled, and one replay is enough.
        let is_allowed = (200..300).contains(&answer.status) || answer.status == 409;
        assert!(is_allowed, "{} {}: {answer:?}", route.method, route.path);
    }
    assert_eq!(stage.wire.get(&at("", &ids.subscription), READER).await.status, 404, "it was deleted");
}

/// Another organization's id and an unknown id get exactly the same answer.
#[tokio::test]
async fn a_stranger_finds_nothing_and_cannot_tell_what_there_is() {
    let (stage, ids) = set().await;
    let unknown = Ids {
        subscription: format!("sub_{}", "0".repeat(32)),
        delivery: format!("dlv_{}", "0".repeat(32)),
        event: "evt_of_nobody".to_owned(),
        before: Value::Null,
    };
    let nonsense = Ids {
        subscription: "1".to_owned(),
        delivery: "%27%3B--".to_owned(),
        event: "%00".to_owned(),
        before: Value::Null,
    };
    for route in routes() {
        let answer = call(&stage, &route, &ids, STRANGER).await;
        ids.assert_absent(&answer);
        if !route.path.contains('{') {
            assert!(answer.status < 300, "{} {}: {answer:?}", route.method, route.path);
            continue;
        }
        assert_eq!(answer.status, 404, "{} {}: {answer:?}", route.method, route.path);
        for other in [&unknown, &nonsense] {
            let mut same = call(&stage, &route, other, STRANGER).await;
            same.headers.remove("date");
            let mut answer = answer.clone();
            answer.headers.remove("date");
            assert_eq!(same, answer, "{} {}", route.method, route.path);
        }
    }
    ids.assert_untouched(&stage).await;
}

/// A delivery belongs only to its own subscription, even in the same organization.
#[tokio::test]
async fn a_delivery_is_found_under_its_own_subscription_alone() {
    let (stage, ids) = set().await;
    let (other, _) = stage.subscribe(&["contact.*"]).await;
    let mixed = Ids { subscription: other, ..ids.clone() };
    for route in routes().into_iter().filter(|route| route.path.contains("{id}/deliveries/{delivery}")) {
        let answer = call(&stage, &route, &mixed, WRITER).await;
        assert_eq!(answer.status, 404, "{} {}: {answer:?}", route.method, route.path);
    }
    assert_eq!(
        stage.get(&at(&format!("/deliveries/{}", ids.delivery), &ids.subscription)).await["data"]["state"],
        "exhausted"
    );
}

#[tokio::test]
async fn other_methods_are_answered_405() {
    let (stage, ids) = set().await;
    let known: BTreeSet<_> = routes().iter().map(|route| (route.method, route.path)).collect();
    for (_, path) in &known {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if !known.contains(&(method, path)) {
                let answer = stage.wire.raw(method, &ids.fill(path), WRITER, &[], "").await;
                assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
                assert!(!answer.header("allow").contains(method), "{answer:?}");
                assert_eq!(answer.field(), "", "it is problem details");
            }
        }
    }
}

/// The objects of `org_1`: a subscription, an event, and its dead letter.
#[derive(Clone)]
struct Ids {
    subscription: String,
    delivery: String,
    event: String,
    before: Value,
}

async fn set() -> (Stage, Ids) {
    let stage = Stage::under(Contract::allison().with_retry(hookwire::RetryPolicy::none())).await;
    let (subscription, _) = stage.subscribe(&["*"]).await;
    stage.endpoint.answers(500);
    let event = stage.emit(CallEnded::new("c1")).await.to_string();
    stage.deliver().await;
    let letters = stage.get("/v1/dead-letters").await;
    let delivery = text(&letters["data"][0]["id"]);
    let before = stage.get(&at("", &subscription)).await;
    (stage, Ids { subscription, delivery, event, before })
}

impl Ids {
    fn fill(&self, path: &str) -> String {
        path.replace("{id}", &self.subscription)
            .replace("{delivery}", &self.delivery)
            .replace("{event}", &self.event)
    }

    fn assert_absent(&self, answer: &Answer) {
        for id in [&self.subscription, &self.delivery, &self.event] {
            assert!(!answer.body.contains(id.as_str()), "{answer:?}");
        }
    }

    async fn assert_untouched(&self, stage: &Stage) {
        assert_eq!(stage.get(&at("", &self.subscription)).await, self.before);
        let all = stage.get(SUBSCRIPTIONS).await;
        assert_eq!(all["data"].as_array().unwrap().len(), 1);
        let listed = stage.get(&at("/deliveries", &self.subscription)).await;
        assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed["data"][0]["state"], "exhausted");
        assert_eq!(stage.endpoint.requests().len(), 1, "nothing was sent");
    }
}

async fn call(stage: &Stage, route: &Route, ids: &Ids, key: Option<&str>) -> Answer {
    let path = ids.fill(route.path);
    match &route.body {
        Some(body) => stage.wire.send(route.method, &path, key, body).await,
        None => stage.wire.raw(route.method, &path, key, &[], "").await,
    }
}

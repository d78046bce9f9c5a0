//! Requests and answers of each call.

use hookwire::allison::{CallEnded, ContactCreated};
use hookwire::{Secret, Store as _};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_subscription_is_made_with_its_secret_shown_once() {
    let stage = Stage::new().await;
    let url = stage.endpoint.url();
    let made = stage.post(SUBSCRIPTIONS, json!({"url": url.as_str(), "events": ["call.*"]})).await;
    assert_eq!(made.status, 201);
    let body = made.json();
    let secret: Secret = text(&body["secret"]).parse().unwrap();
    assert!(text(&body["warning"]).contains("not be shown again"));
    let id = text(&body["data"]["id"]);
    assert_eq!(made.header("location"), at("", &id));
    assert_eq!(made.header("cache-control"), "no-store");
    assert_eq!(body["data"]["secret_preview"], secret.preview());
    assert_eq!(body["data"]["enabled"], true);
    let read = stage.wire.get(&at("", &id), READER).await;
    assert_eq!(read.json()["data"], body["data"]);
    assert_eq!(read.header("etag"), made.header("etag"));
    for path in [at("", &id), SUBSCRIPTIONS.to_owned()] {
        assert!(!stage.wire.get(&path, READER).await.body.contains(secret.expose()));
    }
    assert_eq!(stage.wire.raw("DELETE", &at("", &id), WRITER, &[], "").await.status, 204);
    assert_eq!(stage.wire.get(&at("", &id), READER).await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_by_its_field() {
    let stage = Stage::new().await;
    let url = stage.endpoint.url();
    let with = |mut body: Value| {
        body["url"] = body.get("url").cloned().unwrap_or_else(|| url.as_str().into());
        body["events"] = body.get("events").cloned().unwrap_or_else(|| json!(["*"]));
        body
    };
    for (body, field) in [
        (json!({"events": ["*"]}), "url"),
        (with(json!({"url": 7})), "url"),
        (with(json!({"url": "https://10.0.0.1/"})), "url"),
        (with(json!({"events": ["call.begun"]})), "events[0]"),
        (with(json!({"events": "call.*"})), "events"),
        (with(json!({"colour": "red"})), "colour"),
        (with(json!({"rate": {"per_second": "x"}})), "rate.per_second"),
        (with(json!({"rate": {"per_second": 1, "every": 2}})), "rate.every"),
        (with(json!({"max_in_flight": -1})), "max_in_flight"),
        (
            with(json!({"conditions": [{"pointer": "/a", "values": [1]}, {"pointer": "a", "values": [1]}]})),
            "conditions[1]",
        ),
        (with(json!({"conditions": [{"values": [1]}]})), "conditions[0].pointer"),
        (with(json!({"headers": {"host": "x"}})), "headers"),
        (with(json!({"authentication": {"type": "magic"}})), "authentication.type"),
        (with(json!({"retry": {"type": "delays", "seconds": [0]}})), "retry"),
        (with(json!({"secret": "whsec_short"})), "secret"),
        (with(json!({"allo_number": "+1"})), "allo_number"),
        (json!([]), ""),
    ] {
        let answer = stage.post(SUBSCRIPTIONS, body.clone()).await;
        assert_eq!((answer.status, answer.field().as_str()), (400, field), "{body}: {answer:?}");
    }
    let refused = stage.post(SUBSCRIPTIONS, with(json!({"url": "https://169.254.169.254/"}))).await.json();
    assert!(text(&refused["rule"]).starts_with("address:"), "{refused}");
    assert!(!text(&refused["expected"]).is_empty());
    // The error does not repeat the input, because it may be a secret in the wrong place.
    let secret = Secret::generate();
    for body in [
        json!({"max_in_flight": secret.expose()}),
        json!({"enabled": secret.expose()}),
        json!({"rate": secret.expose()}),
    ] {
        let answer = stage.post(SUBSCRIPTIONS, with(body)).await;
        assert_eq!(answer.status, 400);
        assert!(!answer.body.contains(secret.expose()), "{answer:?}");
    }
    for (headers, body, status) in [
        (&[("content-type", "text/plain")][..], "{}", 415),
        (&[][..], "{}", 415),
        (&[("content-type", "application/json")][..], "{", 400),
        (&[("content-type", "application/json")][..], "{} {}", 400),
        (&[("content-type", "application/json")][..], "", 400),
    ] {
        let answer = stage.wire.raw("PATCH", &at("", "sub_x"), WRITER, headers, body).await;
        assert_eq!(answer.status, 404, "what is not there comes first: {answer:?}");
        let answer = stage.wire.raw(POST, SUBSCRIPTIONS, WRITER, headers, body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    let long = format!(r#"{{"url": "{}"}}"#, "x".repeat(300_000));
    let answer =
        stage.wire.raw(POST, SUBSCRIPTIONS, WRITER, &[("content-type", "application/json")], &long).await;
    assert_eq!(answer.status, 413);
    assert!(stage.get(SUBSCRIPTIONS).await["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_told_by_its_parameter() {
    let stage = Stage::new().await;
    let (id, _) = stage.subscribe(&["*"]).await;
    for (path, field) in [
        (format!("{SUBSCRIPTIONS}?limit=0"), "limit"),
        (format!("{SUBSCRIPTIONS}?limit=201"), "limit"),
        (format!("{SUBSCRIPTIONS}?limit=many"), "limit"),
        (format!("{SUBSCRIPTIONS}?limit=1&limit=2"), "limit"),
        (format!("{SUBSCRIPTIONS}?after=x"), "after"),
        (format!("{SUBSCRIPTIONS}?colour=red"), "colour"),
        (at("?limit=1", &id), "limit"),
        (at("/deliveries?state=lost", &id), "state"),
        (at("/deliveries?since=yesterday", &id), "since"),
        (at("/deliveries?event_type=", &id), "event_type"),
        (at("/statistics?slot_seconds=0", &id), "slot_seconds"),
        (at("/statistics?slot_seconds=1", &id), "slot_seconds"),
        (at("/statistics?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", &id), "until"),
        ("/v1/event-types?x=1".to_owned(), "x"),
    ] {
        let answer = stage.wire.get(&path, READER).await;
        assert_eq!((answer.status, answer.field().as_str()), (400, field), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_creation_that_is_sent_twice_makes_one_subscription_and_shows_its_secret_once() {
    let stage = Stage::new().await;
    let body = json!({"url": stage.endpoint.url().as_str(), "events": ["*"]}).to_string();
    let create = async |key: &str, access, body: &str| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        stage.wire.raw(POST, SUBSCRIPTIONS, access, &headers, body).await
    };
    let (first, second) = tokio::join!(create("k-1", WRITER, &body), create("k-1", WRITER, &body));
    assert_eq!((first.status, second.status), (201, 201));
    let shown = [&first, &second].map(|answer| answer.json()["secret"].is_string());
    assert!(shown[0] != shown[1], "one of two answers has the secret: {first:?} {second:?}");
    let (with, without) = if shown[0] { (first, second) } else { (second, first) };
    assert_eq!(with.json()["data"], without.json()["data"]);
    assert_eq!(without.header("idempotency-replayed"), "true");
    assert!(text(&without.json()["warning"]).contains("Rotate"));
    assert_eq!(stage.get(SUBSCRIPTIONS).await["data"].as_array().unwrap().len(), 1);
    // The same holds after the subscription was changed.
    let id = text(&with.json()["data"]["id"]);
    let changed = stage.wire.send("PATCH", &at("", &id), WRITER, &json!({"enabled": false})).await;
    assert_eq!(changed.status, 200);
    let again = create("k-1", WRITER, &body).await;
    assert_eq!((again.status, &again.json()["data"]["enabled"]), (201, &json!(false)));
    let other = json!({"url": stage.endpoint.url().as_str(), "events": ["call.*"]}).to_string();
    assert_eq!(create("k-1", WRITER, &other).await.status, 422);
    // Another key creates another subscription. So does the same key in another organization.
    assert!(create("k-2", WRITER, &body).await.json()["secret"].is_string());
    assert!(create("k-1", STRANGER, &body).await.json()["secret"].is_string());
    for key in ["", "a b", &"x".repeat(256)] {
        assert_eq!(create(key, WRITER, &body).await.field(), "Idempotency-Key");
    }
    assert_eq!(stage.get(SUBSCRIPTIONS).await["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_update_of_another_revision_is_refused() {
    let stage = Stage::new().await;
    let (id, _) = stage.subscribe(&["*"]).await;
    let tag = async || stage.wire.get(&at("", &id), READER).await.header("etag").to_owned();
    let old = tag().await;
    let change = async |method: &str, tag: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("if-match", tag)];
        stage.wire.raw(method, &at("", &id), WRITER, &headers, &body.to_string()).await
    };
    let answer = change("PATCH", &old, json!({"max_in_flight": 1})).await;
    assert_eq!(answer.status, 200);
    let new = tag().await;
    assert_eq!(answer.header("etag"), new);
    assert_ne!(new, old);
    let draft = json!({"url": stage.endpoint.url().as_str(), "events": ["*"]});
    let stale = [old.as_str(), "\"x\"", "\"00000000000000000000000000000000\"", &format!("W/{new}")]
        .map(str::to_owned);
    for tag in &stale {
        for (method, body) in
            [("PATCH", json!({"max_in_flight": 2})), ("PUT", draft.clone()), ("DELETE", json!({}))]
        {
            let answer = change(method, tag, body).await;
            assert_eq!((answer.status, answer.field().as_str()), (412, ""), "{method} {tag}: {answer:?}");
        }
        let headers = [("if-match", tag.as_str())];
        let answer = stage.wire.raw(POST, &at("/rotate-secret", &id), WRITER, &headers, "").await;
        assert_eq!(answer.status, 412);
    }
    assert_eq!(tag().await, new, "nothing of it was done");
    assert_eq!(change("PATCH", "nonsense", json!({})).await.field(), "If-Match");
    assert_eq!(change("PATCH", &format!("{old}, {new}"), json!({"max_in_flight": 2})).await.status, 200);
    assert_eq!(change("PUT", "*", draft).await.status, 200);
    assert_eq!(change("DELETE", &tag().await, json!({})).await.status, 204);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let stage = Stage::new().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(stage.subscribe(&["*"]).await.0);
        stage.clock.advance(std::time::Duration::from_millis(1));
    }
    let pages = async |path: String| {
        let mut ids = Vec::new();
        let mut after = String::new();
        loop {
            let page = stage.get(&format!("{path}limit=2{after}")).await;
            let items = page["data"].as_array().unwrap();
            assert!(items.len() <= 2);
            ids.extend(items.iter().map(|item| text(&item["id"])));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return ids,
            }
        }
    };
    assert_eq!(pages(format!("{SUBSCRIPTIONS}?")).await, made);
    let mut events = Vec::new();
    for number in 0..3 {
        events.push(stage.emit(CallEnded::new(format!("c{number}"))).await.to_string());
    }
    events.push(stage.emit(ContactCreated::new("p1")).await.to_string());
    events.reverse();
    assert_eq!(pages("/v1/events?".to_owned()).await, events);
    assert_eq!(pages(at("/deliveries?", &made[0])).await.len(), 4);
    assert_eq!(pages(at("/deliveries?event_type=contact.created&state=pending&", &made[0])).await.len(), 1);
    assert_eq!(pages(format!("/v1/events/{}/deliveries?", events[0])).await.len(), 5);
}

#[tokio::test]
async fn event_types_come_with_samples_that_fit_their_schemas() {
    let stage = Stage::new().await;
    let types = stage.get("/v1/event-types").await;
    let types = types["data"].as_array().unwrap();
    assert_eq!(types.len(), 6);
    for kind in types {
        assert!(!text(&kind["description"]).is_empty());
        document::assert_fits(&kind["schema"], &kind["sample"]);
    }
}

#[tokio::test]
async fn a_test_event_tells_what_came_of_it_and_is_listed() {
    let stage = Stage::new().await;
    let (id, _) = stage.subscribe(&["call.*"]).await;
    let tested = stage.post(&at("/test", &id), json!({"event_type": "call.message_taken"})).await;
    let tested = tested.json()["data"].clone();
    assert_eq!((&tested["delivered"], &tested["event_type"]), (&json!(true), &json!("call.message_taken")));
    assert_eq!(tested["attempt"]["status"], 200);
    assert!(tested["attempt"]["timings"]["total_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(stage.endpoint.requests()[0].0["webhook-test"], "true");
    let delivery = stage.get(&at(&format!("/deliveries/{}", text(&tested["delivery_id"])), &id)).await;
    assert_eq!((&delivery["data"]["test"], &delivery["data"]["state"]), (&json!(true), &json!("delivered")));
    assert_eq!(delivery["data"]["attempt_log"][0]["status"], 200);
    let event = stage.get(&format!("/v1/events/{}", text(&tested["event_id"]))).await;
    assert_eq!(event["data"]["test"], true);
    assert_eq!(event["data"]["payload"]["type"], "call.message_taken");
    // Without waiting for the attempt.
    let answer = stage.post(&at("/test", &id), json!({"wait": false})).await;
    assert_eq!(answer.status, 202);
    stage.endpoint.arrived(2).await;
    let refused =
        stage.post(&at("/test", &id), json!({"event_type": "contact.created", "wait": false})).await;
    assert_eq!((refused.status, refused.field().as_str()), (400, "event_type"));
}

#[tokio::test]
async fn test_events_beyond_the_organizations_limit_are_refused_and_say_how_long_to_wait() {
    let stage = Stage::new().await;
    let ids = [stage.subscribe(&["call.*"]).await.0, stage.subscribe(&["call.*"]).await.0];
    // Ten may be sent at once, whichever endpoint they go to and whether the client waits or not.
    let mut statuses = Vec::new();
    for number in 0..14 {
        let body = if number % 4 < 2 { json!({}) } else { json!({"wait": false}) };
        let answer = stage.post(&at("/test", &ids[number % 2]), body).await;
        if answer.status == 429 {
            let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=3).contains(&wait), "{wait}");
            assert!(text(&answer.json()["detail"]).starts_with("too many test events"), "{answer:?}");
        }
        statuses.push(answer.status);
    }
    let taken = statuses.iter().filter(|status| **status < 300).count();
    assert!((5..=11).contains(&taken) && statuses.contains(&429), "{statuses:?}");
}

/// Allo's first API uses its own names for fields.
#[tokio::test]
async fn allos_first_api_is_spoken_in_its_own_names() {
    let stage = Stage::under(Contract::allo_v1()).await;
    let body =
        json!({"url": stage.endpoint.url().as_str(), "topics": ["CALL_RECEIVED"], "allo_number": "+4930123"});
    let made = stage.post(SUBSCRIPTIONS, body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert!(made["secret"].is_null() && made["warning"].is_null(), "it does not sign");
    assert_eq!(made["data"]["allo_number"], "+4930123");
    let unknown = json!({"url": stage.endpoint.url().as_str(), "topics": ["CALL_LOST"]});
    let refused = stage.post(SUBSCRIPTIONS, unknown).await;
    assert_eq!(refused.field(), "topics[0]");
    assert!(refused.body.contains("CALL_RECEIVED"), "the known ones are listed: {refused:?}");
    for (fields, field) in [
        (json!({"topics": ["*"], "events": ["*"]}), "topics"),
        (json!({"topics": null}), "topics"),
        (json!({"topics": []}), "topics"),
        (json!({"topics": ["*", 7]}), "topics[1]"),
        (json!({}), "events"),
        (json!({"topics": ["*"], "allo_number": "030 123"}), "allo_number"),
        (json!({"topics": ["*"], "allo_number": ["+4930123"]}), "allo_number"),
        (json!({"topics": ["*"], "contact_lists": ["leads"]}), "contact_lists"),
    ] {
        let mut body = fields;
        body["url"] = stage.endpoint.url().as_str().into();
        let refused = stage.post(SUBSCRIPTIONS, body.clone()).await;
        assert_eq!((refused.status, refused.field().as_str()), (400, field), "{body}: {refused:?}");
    }
    let twice = format!(
        r#"{{"url": "{}", "topics": ["*"], "allo_number": "+1", "allo_number": "+2"}}"#,
        stage.endpoint.url()
    );
    let json = &[("content-type", "application/json")];
    let refused = stage.wire.raw(POST, SUBSCRIPTIONS, WRITER, json, &twice).await;
    assert_eq!((refused.status, refused.field().as_str()), (400, "allo_number"), "{refused:?}");
    let rotated =
        stage.wire.raw(POST, &at("/rotate-secret", &text(&made["data"]["id"])), WRITER, &[], "").await;
    assert_eq!(rotated.status, 409);
}

#[tokio::test]
async fn a_subscription_of_nectar_desk_is_narrowed_to_contact_lists() {
    let stage = Stage::under(Contract::nectar_desk()).await;
    let body = json!({
        "url": stage.endpoint.url().as_str(), "events": ["*"], "contact_lists": ["leads", "customers"],
    });
    let made = stage.post(SUBSCRIPTIONS, body).await.json();
    assert_eq!(made["data"]["contact_lists"], json!(["leads", "customers"]));
    let id = text(&made["data"]["id"]);
    let filter = stage.store.subscription(id.parse().unwrap()).await.unwrap().unwrap().filter;
    assert_eq!(filter.attributes()["contact_list"], ["leads", "customers"]);
    // A patch of other attributes keeps the lists, and null removes them.
    let path = at("", &id);
    let patch = json!({"attributes": {"region": ["eu"]}});
    let changed = stage.wire.send("PATCH", &path, WRITER, &patch).await.json();
    assert_eq!(changed["data"]["contact_lists"], json!(["leads", "customers"]));
    let changed = stage.wire.send("PATCH", &path, WRITER, &json!({"contact_lists": null})).await.json();
    assert_eq!(changed["data"].get("contact_lists"), None);
    assert_eq!(changed["data"]["attributes"], json!({"region": ["eu"]}));
    let replaced = json!({"url": stage.endpoint.url().as_str(), "events": ["*"], "contact_lists": []});
    assert_eq!(stage.wire.send("PUT", &path, WRITER, &replaced).await.field(), "contact_lists");
}

/// A program may accept events under the path that lists them.
#[tokio::test]
async fn an_application_adds_methods_of_its_own() {
    let service = Service::new(Arc::new(MemoryStore::new()), Contract::allison());
    let own = axum::Router::new().route("/v1/events", axum::routing::post(async || "taken"));
    let app = own.merge(router(service)).layer(axum::middleware::from_fn(authenticate));
    let wire = Wire::serve(app).await;
    let taken = wire.raw(POST, "/v1/events", WRITER, &[], "").await;
    assert_eq!((taken.status, taken.body.as_str()), (200, "taken"));
    assert_eq!(wire.get("/v1/events", READER).await.json(), json!({"data": [], "next": null}));
    assert_eq!(wire.raw("PUT", "/v1/events", WRITER, &[], "").await.header("allow"), "POST,GET,HEAD");
}

#[tokio::test]
async fn nothing_secret_is_stored_or_answered_but_once() {
    let stage = Stage::new().await;
    let (id, secret) = stage.subscribe(&["*"]).await;
    let rotated = stage.wire.raw(POST, &at("/rotate-secret", &id), WRITER, &[], "").await;
    let secrets = [secret.unwrap(), text(&rotated.json()["secret"])];
    assert_ne!(secrets[0], secrets[1]);
    stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    let subscription = stage.store.subscription(id.parse().unwrap()).await.unwrap().unwrap();
    assert!(subscription.secrets.iter().all(|secret| secret.plain().is_none()));
    for path in [
        SUBSCRIPTIONS.to_owned(),
        at("", &id),
        at("/deliveries", &id),
        at("/statistics", &id),
        "/v1/events".to_owned(),
    ] {
        let answer = stage.wire.get(&path, WRITER).await;
        assert_eq!(answer.status, 200);
        for secret in &secrets {
            assert!(!answer.body.contains(secret.as_str()), "{path}: {answer:?}");
        }
    }
}

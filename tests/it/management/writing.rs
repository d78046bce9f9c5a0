//! Read, change, write: what a read shows can be written back, and only objects are objects.

use serde_json::json;

use super::*;

async fn full(stage: &Stage) -> (String, Value) {
    let draft = json!({
        "url": stage.endpoint.url().as_str(), "events": ["call.*"], "headers": {"X-Tenant": "acme", "x-b": "1"},
        "authentication": {"type": "api_key", "header": "x-key", "key": "of-theirs"}, "max_in_flight": 2,
        "rate": {"per_second": 5, "burst": 7}, "retry": {"type": "delays", "seconds": [1, 2.5]},
        "conditions": [{"pointer": "/call_id", "values": ["c1", 7, null]}], "attributes": {"list": ["a"], "b": ["c"]},
    });
    let made = stage.post(SUBSCRIPTIONS, draft).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json()["data"].clone();
    (text(&made["id"]), made)
}

#[tokio::test]
async fn what_a_read_shows_can_be_written_back_and_hidden_values_stay() {
    let stage = Stage::new().await;
    let (id, read) = full(&stage).await;
    assert_eq!(read["authentication"], json!({"type": "api_key", "header": "x-key"}));
    assert_eq!(read["headers"], json!({"x-tenant": {"hidden": true}, "x-b": {"hidden": true}}));
    let written = stage.wire.send("PUT", &at("", &id), WRITER, &read).await;
    assert_eq!((written.status, &written.json()["data"]), (200, &read), "{written:?}");
    // Written back with one change and without what is hidden.
    let mut changed = read.clone();
    let fields = changed.as_object_mut().unwrap();
    fields.insert("max_in_flight".into(), json!(9));
    for name in ["headers", "authentication", "client_certificate"] {
        fields.remove(name);
    }
    let written = stage.wire.send("PUT", &at("", &id), WRITER, &changed).await.json()["data"].clone();
    assert_eq!((&written["max_in_flight"], &written["headers"]), (&json!(9), &read["headers"]));
    // Named headers alone stay.
    changed["headers"] = json!({"X-Tenant": {"hidden": true}, "x-new": "2"});
    let written = stage.wire.send("PUT", &at("", &id), WRITER, &changed).await.json()["data"].clone();
    assert_eq!(written["headers"], json!({"x-tenant": {"hidden": true}, "x-new": {"hidden": true}}));
    stage.emit(hookwire::allison::CallEnded::new("c1")).await;
    let mut open = changed.clone();
    (open["conditions"], open["attributes"]) = (json!([]), json!({}));
    assert_eq!(stage.wire.send("PUT", &at("", &id), WRITER, &open).await.status, 200);
    stage.emit(hookwire::allison::CallEnded::new("c2")).await;
    stage.deliver().await;
    let sent = stage.endpoint.requests()[0].0.clone();
    assert_eq!(
        (&sent["x-tenant"], &sent["x-new"], &sent["x-key"]),
        (&"acme".parse().unwrap(), &"2".parse().unwrap(), &"of-theirs".parse().unwrap())
    );
    assert!(!sent.contains_key("x-b"));
}

#[tokio::test]
async fn a_replacement_says_what_is_missing_and_a_new_subscription_has_nothing_to_keep() {
    let stage = Stage::new().await;
    let (id, _) = full(&stage).await;
    let told = stage.wire.send("PUT", &at("", &id), WRITER, &json!({"enabled": false})).await;
    assert_eq!((told.status, told.field().as_str()), (400, "url"));
    assert!(text(&told.json()["detail"]).contains("PATCH changes the fields that it names"), "{told:?}");
    let url = stage.endpoint.url();
    let draft = |name: &str, value: Value| json!({"url": url.as_str(), "events": ["*"], name: value});
    for (name, value, field) in [
        ("headers", json!({"x-a": {"hidden": true}}), "headers.x-a"),
        ("client_certificate", json!({"hidden": true}), "client_certificate"),
        ("authentication", json!({"type": "bearer"}), "authentication.token"),
        ("authentication", json!({"type": "basic", "user": "a"}), "authentication.password"),
        ("authentication", json!({"type": "none", "token": "a"}), "authentication.token"),
        ("authentication", json!({}), "authentication.type"),
        ("retry", json!({"type": "none", "seconds": [1]}), "retry.seconds"),
        ("retry", json!({"type": "delays"}), "retry.seconds"),
        ("id", json!("sub_1"), "id"),
    ] {
        let told = stage.post(SUBSCRIPTIONS, draft(name, value.clone())).await;
        assert_eq!((told.status, told.field().as_str()), (400, field), "{name} {value}: {told:?}");
    }
}

/// RFC 7396, at every level.
#[tokio::test]
async fn a_patch_merges_maps_by_name_and_null_takes_a_member_out() {
    let stage = Stage::new().await;
    let (id, read) = full(&stage).await;
    let patch = async |body: Value| {
        let told = stage.wire.send("PATCH", &at("", &id), WRITER, &body).await;
        assert_eq!(told.status, 200, "{body}: {told:?}");
        told.json()["data"].clone()
    };
    assert_eq!(patch(json!({})).await, read);
    let told = patch(json!({"headers": {"x-B": null, "x-c": "3"}})).await;
    assert_eq!(told["headers"], json!({"x-tenant": {"hidden": true}, "x-c": {"hidden": true}}));
    assert_eq!(
        patch(json!({"headers": read["headers"].clone()})).await["headers"],
        told["headers"],
        "they stay"
    );
    assert_eq!(
        patch(json!({"attributes": {"list": null, "d": ["e"]}})).await["attributes"],
        json!({"b": ["c"], "d": ["e"]})
    );
    assert_eq!(patch(json!({"rate": {"burst": 3}})).await["rate"], json!({"per_second": 5.0, "burst": 3}));
    assert_eq!(patch(json!({"rate": {"burst": null}})).await["rate"], json!({"per_second": 5.0, "burst": 1}));
    let told = patch(json!({"authentication": {"header": "x-other"}})).await;
    assert_eq!(told["authentication"], json!({"type": "api_key", "header": "x-other"}));
    let told = patch(json!({"authentication": {"type": "bearer", "token": "abc"}})).await;
    assert_eq!(told["authentication"], json!({"type": "bearer"}));
    assert_eq!(patch(json!({"authentication": null})).await["authentication"], json!({"type": "none"}));
    assert_eq!(patch(json!({"headers": null})).await["headers"], json!({}));
    for (body, field) in [
        (json!({"rate": null}), None),
        (json!({"rate": {"burst": 3}}), Some("rate.per_second")),
        (json!({"authentication": {"type": "bearer"}}), Some("authentication.token")),
        (json!({"authentication": {"token": null}}), Some("authentication.token")),
        (json!({"id": "sub_1"}), Some("id")),
    ] {
        let told = stage.wire.send("PATCH", &at("", &id), WRITER, &body).await;
        match field {
            Some(field) => assert_eq!((told.status, told.field().as_str()), (400, field), "{body}: {told:?}"),
            None => assert_eq!(told.status, 200),
        }
    }
}

/// serde's derived readers take a list for a struct, by the order of its fields.
#[tokio::test]
async fn a_list_is_no_object_at_any_depth() {
    let stage = Stage::new().await;
    let (id, read) = full(&stage).await;
    for path in ["/rotate-secret", "/test", "/recover", ""] {
        for body in [json!([]), json!([null]), json!(["2026-01-01T00:00:00Z"])] {
            let method = if path.is_empty() { "PATCH" } else { POST };
            let told = stage.wire.send(method, &at(path, &id), WRITER, &body).await;
            assert_eq!(told.status, 400, "{path} {body}: {told:?}");
        }
    }
    for body in [json!([]), json!(["call.ended", {}]), json!({"events": [["call.ended", {}]]})] {
        assert_eq!(stage.post("/v1/events", body.clone()).await.status, 400, "{body}");
    }
    for (name, value) in [
        ("conditions", json!([["data", "/a", [1]]])),
        ("rate", json!([5, 7])),
        ("authentication", json!(["bearer", "abc"])),
        ("authentication", json!(["none"])),
        ("retry", json!(["none"])),
        ("retry", json!(["delays", [1]])),
        ("client_certificate", json!(["a", "b"])),
        ("headers", json!([["x-a", "1"]])),
        ("headers", json!({"x-a": ["1"]})),
        ("attributes", json!([])),
    ] {
        for method in ["PATCH", "PUT"] {
            let mut body = json!({name: value});
            if method == "PUT" {
                (body["url"], body["events"]) = (read["url"].clone(), read["events"].clone());
            }
            let told = stage.wire.send(method, &at("", &id), WRITER, &body).await;
            assert_eq!(told.status, 400, "{method} {body}: {told:?}");
            assert!(told.field().starts_with(name), "{told:?}");
        }
    }
    assert_eq!(stage.get(&at("", &id)).await["data"], read, "nothing of it was done");
}

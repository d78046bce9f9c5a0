//! Cursors, entity tags and small reads.

use hookwire::allison::CallEnded;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(stage.subscribe(&["*"]).await.0);
    }
    for number in 0..3 {
        stage.emit(CallEnded::new(format!("c{number}"))).await;
    }
    let next = async |path: &str| text(&stage.get(path).await["next"]);
    let subscriptions = next(&format!("{SUBSCRIPTIONS}?limit=1")).await;
    let deliveries = next(&at("/deliveries?limit=1", &ids[0])).await;
    let pending = next(&at("/deliveries?limit=1&state=pending", &ids[0])).await;
    let events = next("/v1/events?limit=1").await;
    for (path, own) in [
        (format!("{SUBSCRIPTIONS}?"), &subscriptions),
        (at("/deliveries?", &ids[0]), &deliveries),
        (at("/deliveries?state=pending&", &ids[0]), &pending),
        ("/v1/events?".to_owned(), &events),
    ] {
        for cursor in [&subscriptions, &deliveries, &pending, &events] {
            let told = stage.wire.get(&format!("{path}limit=2&after={cursor}"), READER).await;
            let expected = if cursor == own { 200 } else { 400 };
            assert_eq!(told.status, expected, "{path} {cursor}: {told:?}");
        }
        let told = stage.wire.get(&format!("{path}after={own}"), STRANGER).await;
        assert!([400, 404].contains(&told.status), "another organization's list is another list: {told:?}");
    }
    let told = stage.wire.get(&at(&format!("/deliveries?after={deliveries}"), &ids[1]), READER).await;
    assert_eq!((told.status, told.field().as_str()), (400, "after"));
}

#[tokio::test]
async fn an_answer_that_the_caller_has_is_not_sent_again() {
    let stage = Stage::new().await;
    let (id, _) = stage.subscribe(&["*"]).await;
    for path in [SUBSCRIPTIONS.to_owned(), at("", &id), at("/deliveries", &id), "/v1/events".to_owned()] {
        let get = async |tag: &str| stage.wire.raw("GET", &path, READER, &[("if-none-match", tag)], "").await;
        let first = get("\"x\"").await;
        assert_eq!(first.status, 200);
        let tag = first.header("etag").to_owned();
        let again = get(&format!("\"y\", W/{tag}")).await;
        assert_eq!(
            (again.status, again.body.as_str(), again.header("etag")),
            (304, "", tag.as_str()),
            "{path}"
        );
    }
    let tag = stage.wire.get("/v1/events", READER).await.header("etag").to_owned();
    stage.emit(CallEnded::new("c1")).await;
    let changed = stage.wire.raw("GET", "/v1/events", READER, &[("if-none-match", &tag)], "").await;
    assert_eq!(changed.status, 200);
}

#[tokio::test]
async fn a_caller_reads_what_it_may_and_how_requests_are_sent() {
    let stage = Stage::new().await;
    let session = stage.get("/v1/session").await["data"].clone();
    assert_eq!((&session["organization"], &session["scope"]), (&json!("org_1"), &json!("read")));
    let writer = stage.wire.get("/v1/session", WRITER).await.json();
    assert_eq!(writer["data"]["scope"], "write");
    let contract = stage.get("/v1/contract").await["data"][0].clone();
    assert_eq!(contract["name"], "allison");
    assert_eq!(contract["timeout_seconds"], stage.contract.timeout().as_secs_f64());
    assert!(!contract["retry_seconds"].as_array().unwrap().is_empty());
    assert!(!contract["signature_headers"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_delivery_is_read_by_its_id_alone_and_times_have_milliseconds() {
    let stage = Stage::new().await;
    let (id, _) = stage.subscribe(&["*"]).await;
    stage.emit(CallEnded::new("c1")).await;
    stage.deliver().await;
    let listed = stage.get(&at("/deliveries", &id)).await;
    let delivery = text(&listed["data"][0]["id"]);
    let own = stage.get(&at(&format!("/deliveries/{delivery}"), &id)).await;
    assert_eq!(stage.get(&format!("/v1/deliveries/{delivery}")).await, own);
    for time in [&own["data"]["created_at"], &own["data"]["attempt_log"][0]["started_at"]] {
        let time = text(time);
        assert!(time.len() == 24 && time.as_bytes()[19] == b'.' && time.ends_with('Z'), "{time}");
    }
    let narrowed = stage.get(&format!("{SUBSCRIPTIONS}?status=enabled&event_type=call.ended")).await;
    assert_eq!(narrowed["data"].as_array().unwrap().len(), 1);
    let narrowed = stage.get(&format!("{SUBSCRIPTIONS}?status=failing")).await;
    assert_eq!(narrowed["data"], json!([]));
    let told = stage.wire.get(&format!("{SUBSCRIPTIONS}?status=odd"), READER).await;
    assert_eq!((told.status, told.field().as_str()), (400, "status"));
}

#[tokio::test]
async fn a_prefix_with_a_space_asks_for_the_names_of_nectar_desk() {
    let stage = Stage::under(Contract::nectar_desk()).await;
    let (id, _) = stage.subscribe(&["Call *"]).await;
    for (name, is_wanted) in [("Call Ended", true), ("Contact Created", false)] {
        let kind = stage.contract.catalogue().find(name).unwrap();
        let data: Value = serde_json::from_str(kind.sample().get()).unwrap();
        let told = stage.post("/v1/events", json!({"type": name, "data": data})).await;
        assert_eq!(told.json()["deliveries"], u8::from(is_wanted), "{name}: {told:?}");
    }
    assert_eq!(stage.get(&at("", &id)).await["data"]["events"], json!(["Call *"]));
    let told =
        stage.post(SUBSCRIPTIONS, json!({"url": stage.endpoint.url().as_str(), "events": ["Fax *"]})).await;
    assert_eq!((told.status, told.field().as_str()), (400, "events[0]"));
}

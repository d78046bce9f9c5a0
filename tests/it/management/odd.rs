//! Odd but valid requests.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;

#[tokio::test]
async fn null_in_a_patch_takes_a_field_out_or_is_refused() {
    let stage = Stage::new().await;
    let draft = json!({
        "url": stage.endpoint.url().as_str(),
        "events": ["*"],
        "enabled": false,
        "headers": {"x-tenant": "acme"},
        "attributes": {"list": ["a"]},
        "conditions": [{"pointer": "/call_id", "values": ["c1"]}],
        "authentication": {"type": "bearer", "token": "abc"},
    });
    let id = text(&stage.post(SUBSCRIPTIONS, draft).await.json()["data"]["id"]);
    for (name, out) in [
        ("headers", json!({})),
        ("attributes", json!({})),
        ("conditions", json!([])),
        ("authentication", json!({"type": "none"})),
        ("enabled", json!(true)),
    ] {
        let told = stage.wire.send("PATCH", &at("", &id), WRITER, &json!({name: null})).await;
        assert_eq!((told.status, &told.json()["data"][name]), (200, &out), "{name}: {told:?}");
    }
    for name in ["url", "events"] {
        let told = stage.wire.send("PATCH", &at("", &id), WRITER, &json!({name: null})).await;
        assert_eq!((told.status, told.field().as_str()), (400, name), "{told:?}");
    }
}

/// A stored value can be read again, and no odd value closes the connection without an answer.
#[tokio::test]
async fn what_is_taken_can_be_read_and_what_is_odd_is_answered() {
    let stage = Stage::new().await;
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let url = stage.endpoint.url();
    let id = stage.subscribe(&["*"]).await.0;
    let mut bad = Vec::new();
    let with = |name: &str, value: &str| format!(r#"{{"url": "{url}", "events": ["*"], "{name}": {value}}}"#);
    let mut bodies: Vec<String> = (115..128)
        .map(|depth| with("conditions", &format!(r#"[{{"pointer": "/a", "values": [{}]}}]"#, nested(depth))))
        .collect();
    for (name, value) in [
        ("retry", r#"{"type": "delays", "seconds": [1e-9]}"#),
        ("retry", r#"{"type": "delays", "seconds": [1e-7, 1]}"#),
        ("retry", r#"{"type": "delays", "seconds": [1e13]}"#),
        ("retry", r#"{"type": "delays", "seconds": [1e19]}"#),
        ("retry", r#"{"type": "exponential", "first_seconds": 1e-9, "max_attempts": 3}"#),
        (
            "retry",
            r#"{"type": "exponential", "first_seconds": 1, "factor": 1e308, "max_attempts": 4294967295}"#,
        ),
        ("retry", r#"{"type": "exponential", "first_seconds": 1e18, "factor": 1e30, "max_attempts": 9}"#),
        ("rate", r#"{"per_second": 1e-300}"#),
        ("rate", r#"{"per_second": 1e308, "burst": 4294967295}"#),
        ("rate", r#"{"per_second": 5e-324}"#),
        ("conditions", r#"[{"pointer": "/a", "values": [1e308, -0.0, 18446744073709551615, 1e-320]}]"#),
        ("conditions", r#"[{"pointer": "/a\u0000", "values": ["\u0000", "\uffff"]}]"#),
        ("attributes", r#"{"\u0000": ["\u0000"]}"#),
        ("attributes", r#"{"": [""]}"#),
        ("headers", r#"{"X-A": "1", "x-a": "2"}"#),
        ("headers", r#"{"x-a": ""}"#),
        ("max_in_flight", "4294967295"),
        ("authentication", r#"{"type": "basic", "user": "", "password": ""}"#),
        ("authentication", r#"{"type": "api_key", "header": "x", "key": ""}"#),
        ("url", r#""https://example.com/""#),
    ] {
        bodies.push(with(name, value));
    }
    for body in &bodies {
        let json_type = [("content-type", "application/json")];
        let own = at("", &id);
        for (method, path) in [(POST, SUBSCRIPTIONS), ("PUT", own.as_str())] {
            let told = stage.wire.raw(method, path, WRITER, &json_type, body).await;
            if told.status >= 500 {
                bad.push(format!("{method} {body}: {told:?}"));
            }
            if told.status < 300 {
                let id = told.json()["data"]["id"].as_str().unwrap().to_owned();
                // A text column would store it like this.
                use hookwire::Store as _;
                let found = stage.store.subscription(id.parse().unwrap()).await.unwrap().unwrap();
                let filter = found.filter.to_storage();
                if hookwire::EventFilter::from_storage(&filter).is_err() {
                    bad.push(format!("filter unread: {body}"));
                }
                let options = found.options.to_storage();
                if hookwire::subscription::Options::from_storage(&options).is_err() {
                    bad.push(format!("options unread: {body}"));
                }
            }
            if method == POST && told.status == 201 {
                let id = told.json()["data"]["id"].as_str().unwrap().to_owned();
                stage.wire.raw("DELETE", &at("", &id), WRITER, &[], "").await;
            }
        }
    }
    let times = [
        "0000-01-01T00:00:00Z",
        "0000-01-01T00:00:00%2B23:59",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31T23:59:60Z",
        "1969-12-31T23:59:59.999999999Z",
    ];
    let mut paths = Vec::new();
    for time in times {
        for name in ["since", "until"] {
            paths.push(at(&format!("/deliveries?{name}={time}"), &id));
            paths.push(at(&format!("/statistics?{name}={time}"), &id));
            paths.push(at(&format!("/statistics?{name}={time}&slot_seconds=18446744073709551615"), &id));
        }
        paths.push(at(
            &format!(
                "/statistics?since={time}&until=9999-12-31T23:59:59-23:59&slot_seconds=18446744073709551615"
            ),
            &id,
        ));
        paths.push(at(
            &format!("/statistics?since={time}&until=9999-12-31T23:59:59Z&slot_seconds=400000000000"),
            &id,
        ));
        paths.push(at(
            &format!("/statistics?since=0000-01-01T00:00:00%2B23:59&until={time}&slot_seconds=400000000000"),
            &id,
        ));
    }
    let most = "ffffffffffffffffffffffffffffffff";
    for list in
        [SUBSCRIPTIONS.to_owned(), at("/deliveries", &id), "/v1/dead-letters".into(), "/v1/events".into()]
    {
        for cursor in [format!("{most}-{most}"), "0-0".into(), format!("0-{most}"), format!("{most}-0")] {
            paths.push(format!("{list}?after={cursor}"));
        }
    }
    for path in ["%00", "%ff", "a%2Fb", "..", "%2e%2e", &"x".repeat(5000)] {
        paths.push(at("", path));
        paths.push(at(&format!("/deliveries/{path}"), &id));
        paths.push(format!("/v1/events/{path}"));
        paths.push(format!("/v1/events/{path}/deliveries"));
        paths.push(at(&format!("/deliveries?event_type={path}"), &id));
    }
    for path in &paths {
        let told = std::panic::AssertUnwindSafe(stage.wire.get(path, READER));
        match futures_util::FutureExt::catch_unwind(told).await {
            Ok(told) if told.status < 500 => {}
            told => bad.push(format!("GET {path}: {:?}", told.ok())),
        }
    }
    for time in times {
        let time = time.replace("%2B", "+");
        let body = json!({"since": time}).to_string();
        let recover = at("/recover", &id);
        let json_type = [("content-type", "application/json")];
        let told = std::panic::AssertUnwindSafe(stage.wire.raw(POST, &recover, WRITER, &json_type, &body));
        match futures_util::FutureExt::catch_unwind(told).await {
            Ok(told) if told.status < 500 => {}
            told => bad.push(format!("recover {body}: {:?}", told.ok())),
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// A body of these pieces that then never ends.
struct Endless(Arc<Mutex<Vec<Result<bytes::Bytes, std::io::ErrorKind>>>>);

impl http_body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::io::Error>>> {
        match self.0.lock().unwrap().pop() {
            Some(piece) => {
                std::task::Poll::Ready(Some(piece.map(http_body::Frame::data).map_err(Into::into)))
            }
            None => std::task::Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_slow_cut_short_or_too_long_is_told_as_what_it_is() {
    use tower_service::Service as _;

    let service = Service::new(MemoryStore::new(), Contract::allison());
    let mut app: axum::Router = router(service).layer(middleware::from_fn(authenticate));
    let request = |body| {
        Request::post(SUBSCRIPTIONS)
            .header("authorization", format!("Bearer {}", WRITER.unwrap()))
            .header("content-type", "application/json")
            .body(axum::body::Body::new(body))
            .unwrap()
    };
    for (pieces, status) in [
        (vec![Ok("{".into())], 408),
        (vec![Err(std::io::ErrorKind::UnexpectedEof), Ok("{".into())], 400),
        (vec![Ok(vec![b' '; 300_000].into())], 413),
    ] {
        let request = request(Endless(Arc::new(Mutex::new(pieces))));
        let answer = tokio::time::timeout(std::time::Duration::from_secs(60), app.call(request));
        assert_eq!(answer.await.expect("it is answered in time").unwrap().status(), status);
    }
    // A client sees the answer only if its body was read, and no server reads a body of any size.
    for (pieces, left) in [(10, 0..=0), (100, 70..=90)] {
        let pieces = Arc::new(Mutex::new(vec![Ok(vec![b' '; 256 * 1024].into()); pieces]));
        let request = request(Endless(Arc::clone(&pieces)));
        assert_eq!(app.call(request).await.unwrap().status(), 413);
        let pieces = pieces.lock().unwrap().len();
        assert!(left.contains(&pieces), "{pieces}");
    }
}

//! Callers, command lines, health and metrics.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::json;

use super::super::run;
use super::{EVENTS, SUBSCRIPTIONS, Sender};
use crate::endpoint::Endpoint;
use crate::postgres_server::Server;

#[tokio::test]
async fn nothing_of_an_organization_is_told_or_changed_without_its_key() {
    let endpoint = Endpoint::start([]).await;
    let sender = Sender::start("allison", "memory", &[]);
    let draft = json!({"url": endpoint.url().as_str(), "events": ["*"]});
    let (id, _) = sender.subscribe(draft.clone()).await;
    let own = format!("{SUBSCRIPTIONS}/{id}");
    let event = json!({"type": "call.ended", "data": {"call_id": "c-1"}});
    let calls = [
        (Method::GET, SUBSCRIPTIONS, None),
        (Method::POST, SUBSCRIPTIONS, Some(draft.clone())),
        (Method::GET, &own, None),
        (Method::DELETE, &own, None),
        (Method::GET, EVENTS, None),
        (Method::POST, EVENTS, Some(event.clone())),
        (Method::GET, "/v1/event-types", None),
        (Method::GET, "/v1/openapi.json", None),
    ];
    for credentials in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer acme-kez",
        "Bearer acme",
        "Basic acme-key",
        "acme-key",
        "Bearer looks=acme:read",
    ] {
        for (method, path, body) in &calls {
            let answer = sender.call_as(credentials, method.clone(), path, body.clone()).await;
            assert_eq!(answer.status(), 401, "{credentials} {method} {path}");
            assert!(
                answer.header("www-authenticate").starts_with("Bearer "),
                "{credentials} {method} {path}"
            );
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    let doubled = Request::get(format!("{}{EVENTS}", sender.url))
        .header("authorization", "Bearer acme-key")
        .header("authorization", "Bearer acme-key");
    assert_eq!(sender.send(doubled.body(Bytes::new()).unwrap()).await.unwrap().status(), 401);

    for (method, path, body) in &calls {
        let answer = sender.call_as("Bearer looks", method.clone(), path, body.clone()).await;
        let expected = if *method == Method::GET { 200 } else { 403 };
        assert_eq!(answer.status(), expected, "{method} {path}: {}", answer.text());
    }
    for method in [Method::GET, Method::DELETE] {
        let theirs = sender.call_as("Bearer globex=", method, &own, None).await;
        assert_eq!(theirs.status(), 404);
    }
    assert_eq!(sender.get(EVENTS).await.json()["data"], json!([]), "nobody has emitted anything");
    assert_eq!(sender.get(&own).await.status(), 200, "it is still there");
    assert_eq!(sender.get("/v1/nothing").await.status(), 404);
}

#[tokio::test]
async fn those_who_watch_it_are_told_of_its_health_and_its_numbers() {
    let server = Server::start();
    let sender = Sender::start("allison", &server.url(), &[]);
    let watch = async |path| sender.call_as("", Method::GET, path, None).await;
    assert_eq!(watch("/healthz").await.status(), 200);

    let endpoint = Endpoint::start([]).await;
    sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["*"]})).await;
    let event = sender.emit_call("c-1").await;
    let delivered = |told: &serde_json::Value| told["data"][0]["state"] == "delivered";
    sender.until(&format!("{EVENTS}/{event}/deliveries"), delivered).await;
    let numbers = watch("/metrics").await;
    assert_eq!(numbers.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in [
        "# TYPE hookwire_attempts_total counter",
        "hookwire_attempts_total{outcome=\"delivered\"} 1",
        "hookwire_attempt_duration_seconds_bucket{le=\"30\"} 1",
        "hookwire_attempt_duration_seconds_count 1",
    ] {
        assert!(numbers.text().lines().any(|told| told == line), "{line}:\n{}", numbers.text());
    }

    server.stop();
    assert_eq!(watch("/healthz").await.status(), 503);
    server.restart();
    while watch("/healthz").await.status() != 200 {}
    sender.emit_call("c-2").await;
    endpoint.arrived(2).await;
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_without_repeating_what_is_secret() {
    let good = ["--listen", "127.0.0.1:0", "--contract", "allison", "--api-key", "hush-key=acme"];
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring");
    std::fs::write(&ring, "2026 hush-hush\n").unwrap();
    for more in [
        &["--store", "mysql://hush@db/hooks"][..],
        &["--store", "sqlite:"],
        &["--store", "postgres:hush"],
        &["--api-key", "hush"],
        &["--api-key", "=hush"],
        &["--api-key", "hush="],
        &["--api-key", "hush=:read"],
        &["--api-key", "hu sh=acme"],
        &["--api-key", "hush-key=globex"],
        &["--contract", "allison"],
        &["--key-ring", folder.path().join("none").to_str().unwrap()],
        &["--key-ring", ring.to_str().unwrap()],
        &["--allow-loopback=hush"],
    ] {
        let refused = run("sender", &[&good[..], more].concat(), b"");
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{more:?}: {}", refused.err);
        assert!(refused.err.contains("usage: sender "), "{}", refused.err);
        assert!(!refused.err.contains("hush"), "{more:?}: {}", refused.err);
    }
    for missing in [0, 2, 4] {
        let mut args = good.to_vec();
        args.drain(missing..missing + 2);
        assert_eq!(run("sender", &args, b"").code, 2, "{args:?}");
    }
    assert_eq!(run("sender", &["--help"], b"").code, 0);
}

#[tokio::test]
async fn a_network_that_is_allowed_is_reached_and_a_metadata_address_is_not() {
    let endpoint = Endpoint::start([]).await;
    let networks = ["--allow-network", "127.0.0.0/8", "--allow-network=169.254.0.0/16"];
    let sender = Sender::start_for_the_public("allison", "memory", &networks);
    let (_, _) = sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["*"]})).await;
    let event = json!({"type": "call.ended", "data": {"call_id": "c-1"}});
    sender.post(EVENTS, event).await;
    endpoint.arrived(1).await;
    for url in ["http://169.254.169.254/", "http://10.0.0.1/"] {
        let refused = sender.post(SUBSCRIPTIONS, json!({"url": url, "events": ["*"]})).await;
        assert_eq!((refused.status(), &refused.json()["field"]), (400, &json!("url")), "{url}");
    }
}

#[tokio::test]
async fn endpoints_of_this_machine_are_for_development_alone() {
    let sender = Sender::start_for_the_public("allison", "memory", &[]);
    for (url, rule) in [("http://127.0.0.1:9/", "scheme"), ("https://127.0.0.1/", "address:loopback")] {
        let refused = sender.post(SUBSCRIPTIONS, json!({"url": url, "events": ["*"]})).await;
        assert_eq!((refused.status(), &refused.json()["field"]), (400, &json!("url")), "{url}");
        assert_eq!(refused.json()["rule"], rule, "{url}");
    }
}

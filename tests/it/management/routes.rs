//! The settings of the routes: what the document says of them, and where they are.

use axum::Router;
use hookwire::manage::axum::Cors;
use serde_json::json;

use super::*;

fn service() -> Service<Arc<MemoryStore>> {
    Service::new(Arc::new(MemoryStore::new()), Contract::allison())
}

fn draft() -> Value {
    json!({"url": "https://hooks.example.com/", "events": ["*"]})
}

#[tokio::test]
async fn a_nested_router_knows_its_path_and_a_prefix_says_it_for_a_proxy() {
    let nested = Router::new().nest("/api/hooks", Routes::new(service()).into_router());
    let behind = Routes::new(service()).with_prefix("/api/hooks").into_router();
    for (app, prefix) in [(nested, "/api/hooks"), (behind, "")] {
        let wire = Wire::serve(app.layer(middleware::from_fn(authenticate))).await;
        let made = wire.send(POST, &format!("{prefix}{SUBSCRIPTIONS}"), WRITER, &draft()).await;
        let id = text(&made.json()["data"]["id"]);
        assert_eq!(made.header("location"), format!("/api/hooks{SUBSCRIPTIONS}/{id}"));
        let document = wire.get(&format!("{prefix}/v1/openapi.json"), READER).await.json();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.keys().all(|path| path.starts_with("/api/hooks/v1/")), "{:?}", paths.keys());
    }
}

#[tokio::test]
async fn the_document_has_the_applications_title_version_servers_security_and_paths() {
    let own =
        json!({"get": {"operationId": "ReadHealth", "responses": {"200": {"description": "It runs."}}}});
    let routes = Routes::new(service())
        .with_title("Webhooks of Acme")
        .with_version("7")
        .with_server("https://api.acme.example")
        .with_security_scheme("token", json!({"type": "http", "scheme": "bearer"}))
        .with_path("/healthz", own.clone())
        .with_path("/v1/events", json!({"post": {"operationId": "Emit"}}));
    let document = routes.document();
    assert_eq!(document["info"]["title"], "Webhooks of Acme");
    assert_eq!(document["info"]["version"], "7");
    assert_eq!(document["servers"], json!([{"url": "https://api.acme.example"}]));
    assert_eq!(document["security"], json!([{"token": []}]));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(document["paths"]["/healthz"], own);
    let events = &document["paths"]["/v1/events"];
    assert!(events["get"].is_object() && events["post"]["operationId"] == "Emit");
    assert!(Routes::new(service()).document()["paths"]["/v1/events"].get("post").is_none());
}

/// Each type's webhook has the headers and the body that an endpoint gets.
#[tokio::test]
async fn the_webhooks_of_the_document_are_the_requests_that_endpoints_get() {
    for name in Contract::NAMES {
        let contract: Contract = name.parse().unwrap();
        let stage = Stage::under(contract.clone()).await;
        let webhooks = stage.document["webhooks"].as_object().unwrap();
        let kinds: Vec<_> = contract.catalogue().iter().collect();
        assert_eq!(webhooks.len(), kinds.len().max(1), "{name}");
        stage.subscribe(&["*"]).await;
        for kind in kinds {
            let before = stage.endpoint.requests().len();
            let body = json!({"type": kind.name(), "data": serde_json::from_str::<Value>(kind.sample().get()).unwrap()});
            assert_eq!(stage.post("/v1/events", body).await.status, 202, "{name} {}", kind.name());
            stage.deliver().await;
            let (headers, body) = stage.endpoint.requests()[before].clone();
            let webhook = &webhooks[kind.name()]["post"];
            for header in webhook["parameters"].as_array().unwrap() {
                let is_there = headers.contains_key(header["name"].as_str().unwrap());
                assert!(is_there || header["required"] == false, "{name} {}: {header}", kind.name());
            }
            let schema = &webhook["requestBody"]["content"]["application/json"]["schema"];
            document::assert_fits_in(&stage.document, schema, &serde_json::from_slice(&body).unwrap());
        }
    }
}

#[tokio::test]
async fn pages_of_allowed_origins_may_call_and_others_may_not() {
    let routes = Routes::new(service()).with_cors(Cors::new(["https://app.example.com"]));
    let wire = Wire::serve(routes.into_router().layer(middleware::from_fn(authenticate))).await;
    let preflight = async |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        wire.raw("OPTIONS", SUBSCRIPTIONS, None, &headers, "").await
    };
    let told = preflight("https://app.example.com").await;
    assert_eq!(told.status, 204);
    assert_eq!(told.header("access-control-allow-origin"), "https://app.example.com");
    assert!(told.header("access-control-allow-methods").contains("POST"));
    assert!(told.header("access-control-allow-headers").contains("authorization"));
    let told = preflight("https://evil.example.com").await;
    assert_eq!((told.status, told.headers.get("access-control-allow-origin")), (405, None));
    let get = async |origin| wire.raw("GET", SUBSCRIPTIONS, READER, &[("origin", origin)], "").await;
    let told = get("https://app.example.com").await;
    assert_eq!((told.status, told.header("access-control-allow-origin")), (200, "https://app.example.com"));
    assert_eq!(get("https://evil.example.com").await.headers.get("access-control-allow-origin"), None);
}

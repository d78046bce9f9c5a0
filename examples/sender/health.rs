//! `GET /healthz`: whether the store answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use hookwire::Subscriptions;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::time::timeout;

/// Answers 200 if the store answers, and 503 if it fails or is slow.
pub(crate) async fn health<S: Subscriptions>(
    State(store): State<Arc<S>>,
) -> (StatusCode, [(http::HeaderName, &'static str); 1], &'static str) {
    let (status, body) = match timeout(PATIENCE, store.scan(None, 1)).await {
        Ok(Ok(_)) => (StatusCode::OK, r#"{"status":"ok"}"#),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"store does not answer"}"#),
    };
    (status, [(CONTENT_TYPE, "application/json")], body)
}

/// Shorter than the patience of load balancers.
const PATIENCE: Duration = Duration::from_secs(2);

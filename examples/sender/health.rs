//! `GET /healthz`: whether the store answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use hookwire::Store;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::time::timeout;

/// 200 when it does, 503 when it does not or takes its time.
pub(crate) async fn health<S: Store>(
    State(store): State<Arc<S>>,
) -> (StatusCode, [(http::HeaderName, &'static str); 1], &'static str) {
    let (status, told) = match timeout(PATIENCE, store.subscription_ids(None, 1)).await {
        Ok(Ok(_)) => (StatusCode::OK, r#"{"status":"ok"}"#),
        Ok(Err(_)) | Err(_) => (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"store does not answer"}"#),
    };
    (status, [(CONTENT_TYPE, "application/json")], told)
}

/// Less than load balancers wait.
const PATIENCE: Duration = Duration::from_secs(2);

//! `GET /metrics`: what the dispatcher tells the `metrics` facade, as Prometheus reads it.

use std::time::Duration;

use axum::extract::State;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::sleep;

/// Has the numbers taken down from now on.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let attempts = Matcher::Full("hookwire_attempt_duration_seconds".to_owned());
    let taken = PrometheusBuilder::new().set_buckets_for_metric(attempts, &BUCKETS)?.install_recorder()?;
    let kept = taken.clone();
    tokio::spawn(async move {
        // What was measured would pile up while nobody asks.
        loop {
            sleep(UPKEEP).await;
            kept.run_upkeep();
        }
    });
    Ok(taken)
}

pub(crate) async fn numbers(
    State(taken): State<PrometheusHandle>,
) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], taken.render())
}

/// In seconds, up to the longest time-out of a contract.
const BUCKETS: [f64; 10] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0];
const UPKEEP: Duration = Duration::from_secs(5);

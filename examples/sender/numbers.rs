//! `GET /metrics`: the dispatcher's numbers from the `metrics` facade, and what is due of each contract in
//! the store, in the format of Prometheus.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use hookwire::Records;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use time::OffsetDateTime;
use tokio::time::sleep;

/// Records the numbers from now on.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let times = Matcher::Suffix("_seconds".to_owned());
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(times, &BUCKETS)?.install_recorder()?;
    let upkeep = recorder.clone();
    tokio::spawn(async move {
        // Measurements would accumulate while nobody reads them.
        loop {
            sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(recorder)
}

pub(crate) async fn numbers<S: Records>(
    State((recorder, store)): State<(PrometheusHandle, Arc<S>)>,
) -> ([(HeaderName, &'static str); 1], String) {
    let mut text = recorder.render();
    // A store that does not answer is another alert's concern.
    if let Ok(backlogs) = store.backlog_by_contract(OffsetDateTime::now_utc()).await {
        text += "# TYPE hookwire_backlog_due gauge\n# TYPE hookwire_backlog_waited_seconds gauge\n";
        for backlog in backlogs {
            let contract = backlog.contract.replace('\\', r"\\").replace('"', "\\\"");
            let (due, waited) = (backlog.due, backlog.waited.as_secs_f64());
            text += &format!("hookwire_backlog_due{{contract=\"{contract}\"}} {due}\n");
            text += &format!("hookwire_backlog_waited_seconds{{contract=\"{contract}\"}} {waited}\n");
        }
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// The buckets in seconds: up to 30, the longest time-out of a contract, and beyond for what is retried.
const BUCKETS: [f64; 13] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 5.0, 10.0, 20.0, 30.0, 300.0, 3_600.0, 86_400.0];
const UPKEEP: Duration = Duration::from_secs(5);

//! Spans and metrics as the application's subscriber and recorder receive them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hookwire::Contract;
use hookwire::Subscriptions as _;
use hookwire::store::sqlite::SqliteStore;
use hookwire::subscription::Authentication;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use crate::endpoint::{Answer, Endpoint};
use crate::engine::{MINUTE, NOON, Stage};
use crate::log_lines::logged;

#[test]
fn every_attempt_is_counted_by_its_outcome_and_its_fault() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || block_on(one_failure_one_success_one_dead_letter()));
    let mut numbers = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (name, labels) = key.key().clone().into_parts();
        let labels: Vec<_> =
            labels.iter().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count,
            DebugValue::Histogram(values) => values.len() as u64,
            DebugValue::Gauge(_) => continue,
        };
        numbers.insert(format!("{} {}", name.as_str(), labels.join(",")), value);
    }
    let expected = [
        ("hookwire_attempt_duration_seconds ", 3),
        ("hookwire_attempt_failures_total class=410", 1),
        ("hookwire_attempt_failures_total class=500", 1),
        ("hookwire_attempts_total outcome=dead", 1),
        ("hookwire_attempts_total outcome=delivered", 1),
        ("hookwire_attempts_total outcome=retry", 1),
        ("hookwire_emit_to_delivered_seconds ", 1),
        ("hookwire_lateness_seconds ", 3),
        ("hookwire_stale_settlements_total ", 0),
    ];
    assert_eq!(numbers, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

#[test]
fn the_age_of_the_oldest_due_delivery_is_a_gauge_for_each_contract() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let ages = || {
        let all = snapshotter.snapshot().into_vec().into_iter();
        let mut ages: Vec<_> = all
            .filter(|(key, ..)| key.key().name() == "hookwire_oldest_due_seconds")
            .map(|(key, _, _, value)| {
                let DebugValue::Gauge(age) = value else { panic!("{value:?}") };
                (key.key().labels().map(|label| label.value().to_owned()).collect::<String>(), *age)
            })
            .collect();
        ages.sort_by(|one, two| one.0.cmp(&two.0));
        ages
    };
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let stage: Stage<SqliteStore> = Stage::sqlite().await;
            let endpoint = Endpoint::start([200, 200].map(Answer::Status)).await;
            stage.subscribe(&endpoint).await;
            // It sends one delivery at a step, and sees the other one due.
            let dispatcher = stage.dispatcher().with_max_in_flight_per_subscription(1);
            let dispatcher = dispatcher.with_contract(Contract::nectar_desk()).unwrap();
            stage.emit().await;
            stage.emit().await;
            for age in [60.0, 0.0] {
                assert_eq!(dispatcher.step(NOON + MINUTE).await.unwrap().delivered, 1);
                assert_eq!(ages(), [("allison".to_owned(), age), ("nectar_desk".to_owned(), 0.0)]);
            }
        });
    });
}

#[test]
fn subscriptions_whose_endpoints_give_no_answer_are_a_gauge() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let limited = || {
        let all = snapshotter.snapshot().into_vec().into_iter();
        let found = all.filter(|(key, ..)| key.key().name() == "hookwire_endpoints_limited");
        found.map(|(.., value)| value).next() == Some(DebugValue::Gauge(1.0.into()))
    };
    // Its listener ends with its runtime, so connections to it are refused.
    let gone = block_on(Endpoint::start([]));
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let stage: Stage<SqliteStore> = Stage::sqlite().await;
            let endpoint = Endpoint::start([]).await;
            stage.subscribe(&endpoint).await;
            stage.subscribe(&gone).await;
            stage.emit().await;
            let seen = async {
                while !limited() {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                endpoint.arrived(1).await;
            };
            stage.dispatcher().run(seen).await;
            assert!(limited(), "the endpoint that answers is none of them");
        });
    });
}

#[test]
fn every_number_is_described_and_every_counter_begins_at_zero() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let stage: Stage<SqliteStore> = Stage::sqlite().await;
            stage.dispatcher().run(std::future::ready(())).await;
        });
    });
    let mut counters = BTreeMap::new();
    for (key, _, description, value) in snapshotter.snapshot().into_vec() {
        let (name, labels) = key.key().clone().into_parts();
        assert!(description.is_some_and(|text| text.ends_with('.')), "{} has no description", name.as_str());
        if let DebugValue::Counter(count) = value {
            assert_eq!(count, 0, "{} {labels:?}", name.as_str());
            *counters.entry(name.as_str().to_owned()).or_insert(0) += 1;
        }
    }
    let expected = [
        ("hookwire_attempt_failures_total", 8),
        ("hookwire_attempts_total", 3),
        ("hookwire_expired_deliveries_total", 1),
        ("hookwire_own_faults_total", 19),
        ("hookwire_pruned_rows_total", 1),
        ("hookwire_stale_settlements_total", 1),
        ("hookwire_store_errors_total", 10),
        ("hookwire_unreadable_subscriptions_total", 1),
    ];
    assert_eq!(counters, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

#[test]
fn faults_on_this_side_and_odd_statuses_have_classes_that_no_peer_chooses() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        block_on(async {
            let stage: Stage<SqliteStore> = Stage::sqlite().await;
            let endpoint = Endpoint::start([Answer::Status(600), Answer::Status(999)]).await;
            stage.subscribe(&endpoint).await;
            let tokenless = Endpoint::start([]).await;
            let mut subscription = stage.subscribe(&tokenless).await;
            let authentication = Authentication::BearerFromSource;
            subscription.options = subscription.options.with_authentication(authentication).unwrap();
            stage.plain().put(&subscription).await.unwrap();
            stage.emit().await;
            stage.emit().await;
            let dispatcher = stage.dispatcher();
            stage.drain(&dispatcher, NOON + MINUTE).await;
        });
    });
    let mut numbers = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let (name, labels) = key.key().clone().into_parts();
        let labels: Vec<_> =
            labels.iter().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(count) => count as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(values) => values.iter().map(|value| value.into_inner()).sum(),
        };
        numbers.insert(format!("{} {}", name.as_str(), labels.join(",")), value);
    }
    assert_eq!(numbers["hookwire_attempt_failures_total class=other_status"], 2.0);
    assert!(!numbers.keys().any(|name| name.contains("600") || name.contains("999")), "{numbers:?}");
    assert_eq!(numbers["hookwire_own_faults_total scope=subscription,kind=token"], 1.0);
    // Both were a minute late, and so was the one that is kept back.
    assert_eq!(numbers["hookwire_lateness_seconds "], 180.0);
    // The other delivery of the subscription without a token is due since then.
    assert_eq!(numbers["hookwire_oldest_due_seconds contract=allison"], 60.0);
}

#[test]
fn an_attempts_span_names_its_delivery_and_the_log_shows_no_secret() {
    let run = || block_on(one_failure_one_success_one_dead_letter());
    let (delivery, log) = logged(tracing::Level::TRACE, run);
    let of_first = log.lines().find(|line| line.contains("hookwire") && line.contains("attempt{")).unwrap();
    for part in
        [&format!("delivery={delivery}"), "subscription=sub_", "event=evt_", "attempt=1", "result=\"500\""]
    {
        assert!(of_first.contains(part), "{part} is not in {of_first}");
    }
    let dead = log.lines().find(|line| line.contains("delivery given up")).unwrap();
    assert!(dead.contains("WARN") && dead.contains("Gone"), "{dead}");
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("subscription disabled")), "{log}");
    // Every byte of the secret is 7.
    for secret in ["whsec_", "BwcHBwcH", "07070707", "[7, 7, 7"] {
        assert!(!log.contains(secret), "the log has {secret}");
    }
}

/// Returns the id of the first delivery.
async fn one_failure_one_success_one_dead_letter() -> String {
    let stage: Stage<SqliteStore> = Stage::sqlite().await;
    let endpoint = Endpoint::start([500, 200, 410].map(Answer::Status)).await;
    let subscription = stage.subscribe(&endpoint).await;
    let dispatcher = stage.dispatcher();
    stage.emit().await;
    assert_eq!(dispatcher.step(NOON).await.unwrap().retried, 1);
    assert_eq!(dispatcher.step(NOON + MINUTE).await.unwrap().delivered, 1);
    stage.emit().await;
    assert_eq!(dispatcher.step(NOON + MINUTE).await.unwrap().dead, 1);
    stage.deliveries(&subscription).await[0].id.to_string()
}

/// Runs on this thread, because the test's recorder and subscriber are set only here.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Held by each of these tests.
pub(crate) static ALONE: Mutex<()> = Mutex::new(());

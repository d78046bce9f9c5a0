//! Spans and numbers, as a subscriber and a recorder of the application's get them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hookwire::store::sqlite::SqliteStore;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tracing_subscriber::fmt::MakeWriter;

use crate::endpoint::{Answer, Endpoint};
use crate::engine::{MINUTE, NOON, Stage};

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
        ("hookwire_stale_settlements_total ", 0),
    ];
    assert_eq!(numbers, expected.map(|(name, count)| (name.to_owned(), count)).into());
}

#[test]
fn an_attempts_span_names_its_delivery_and_the_log_shows_no_secret() {
    // Once before, and not beside the other: a place in the code that another test's thread reaches first, just while this
    // subscriber is made, may be taken down as wanted by nobody (tracing-core 0.1).
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    block_on(one_failure_one_success_one_dead_letter());
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .finish();
    let delivery =
        tracing::subscriber::with_default(subscriber, || block_on(one_failure_one_success_one_dead_letter()));
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let of_first = log.lines().find(|line| line.contains("hookwire") && line.contains("attempt{")).unwrap();
    for part in
        [&format!("delivery={delivery}"), "subscription=sub_", "event=evt_", "attempt=1", "result=\"500\""]
    {
        assert!(of_first.contains(part), "{part} is not in {of_first}");
    }
    let dead = log.lines().find(|line| line.contains("delivery given up")).unwrap();
    assert!(dead.contains("WARN") && dead.contains("Gone"), "{dead}");
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains("subscription disabled")), "{log}");
    // The secret's bytes are all sevens.
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

/// On this thread alone, whose recorder and subscriber are the test's.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Held by each of these tests.
static ALONE: Mutex<()> = Mutex::new(());

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

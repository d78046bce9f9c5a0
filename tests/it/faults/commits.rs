//! Store calls that fail, or succeed but return an error; emits that die around their commit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookwire::dispatch::{AttemptEvent, EmitError, Observer, Outbox};
use hookwire::sqlx::{Connection as _, PgConnection, SqliteConnection};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::subscription::Health;
use hookwire::{Contract, DeadReason, EventId, RetryPolicy, Store as _, SubscriptionId};
use time::OffsetDateTime;

use super::{Database, Opens, Site, accounted_for, copies, on_both_databases};
use crate::endpoint::{Answer, Endpoint};
use crate::engine::running::Running;
use crate::engine::{DAY, HOUR, NOON, call};
use crate::stores::Tested as _;
use crate::watched_store::{Call, Trouble};

on_both_databases! {
    a_call_that_fails_or_whose_answer_is_lost_loses_and_doubles_nothing
    an_event_whose_commit_was_done_and_told_as_failed_is_a_duplicate_when_it_is_emitted_again
    a_settlement_that_was_done_and_told_as_failed_is_written_once
    a_failure_that_was_written_and_reported_as_failed_reaches_the_observer_and_the_health
    an_endpoint_whose_health_cannot_be_written_costs_no_others_theirs
    an_emit_that_dies_before_the_commit_leaves_nothing
    an_emit_that_dies_after_the_commit_is_delivered
}

async fn a_call_that_fails_or_whose_answer_is_lost_loses_and_doubles_nothing<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let mut accepted = Vec::new();
    let mut now = NOON;
    for call in [Call::Look, Call::Claim, Call::Settle] {
        for trouble in [Trouble::Fails, Trouble::AnswerLost] {
            accepted.push(site.emit_at(now).await);
            site.store.meets(call, trouble);
            let dispatcher = site.dispatcher();
            assert!(dispatcher.step(now).await.unwrap_err().is_retryable(), "{call:?} {trouble:?}");
            // The same dispatcher goes on after the end of a lease that it may have left behind.
            now += HOUR;
            site.drain(&dispatcher, now).await;
            let times = copies(&endpoint)[accepted.last().unwrap().as_str()];
            let is_sent_twice = matches!((call, trouble), (Call::Settle, Trouble::Fails));
            assert_eq!(times, if is_sent_twice { 2 } else { 1 }, "{call:?} {trouble:?}");
        }
    }
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

async fn an_event_whose_commit_was_done_and_told_as_failed_is_a_duplicate_when_it_is_emitted_again<
    S: Opens,
>(
    site: Site<S>,
) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let mut accepted = Vec::new();
    for (trouble, was_done) in [(Trouble::Fails, false), (Trouble::AnswerLost, true)] {
        let envelope = call();
        site.store.meets(Call::Insert, trouble);
        let told = site.outbox().emit("org_1", &envelope).await.unwrap_err();
        assert!(matches!(&told, EmitError::Store(error) if error.is_retryable()), "{told:?}");
        let again = site.outbox().emit("org_1", &envelope).await.unwrap();
        assert_eq!(again.duplicate, was_done);
        accepted.push(again.id);
    }
    assert_eq!(site.drain(&site.dispatcher(), NOON).await.delivered, 2);
    assert!(copies(&endpoint).values().all(|times| *times == 1));
    accounted_for(&site, &subscription, &endpoint, &accepted).await;
}

async fn a_settlement_that_was_done_and_told_as_failed_is_written_once<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let event = site.emit().await;
    site.store.meets(Call::Settle, Trouble::AnswerLost);
    // No lease ends during the test, so the repeated settlement is stale and nothing is sent again.
    let running = Running::start(site.dispatcher().with_lease(DAY));
    site.store.struck().await;
    let settled = site.store.settles();
    while site.store.settles() == settled {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stop().await;
    assert_eq!(copies(&endpoint)[event.as_str()], 1);
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

/// Records the deliveries that were given up and the endpoints that recovered.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Recorder {
    fn given_up(&self, _: &AttemptEvent<'_>, reason: DeadReason) {
        self.0.lock().unwrap().push(format!("given up: {reason:?}"));
    }

    fn recovered(&self, subscription: SubscriptionId, _: OffsetDateTime) {
        self.0.lock().unwrap().push(format!("recovered: {subscription}"));
    }
}

async fn a_failure_that_was_written_and_reported_as_failed_reaches_the_observer_and_the_health<S: Opens>(
    mut site: Site<S>,
) {
    site.contract = Contract::allison().with_retry(RetryPolicy::none());
    let endpoint = Endpoint::start([Answer::Status(500)]).await;
    let subscription = site.subscribe(&endpoint).await;
    let event = site.emit().await;
    site.store.meets(Call::Settle, Trouble::AnswerLost);
    let recorder = Recorder::default();
    let running = Running::start(site.dispatcher().with_lease(DAY).with_observer(recorder.clone()));
    site.store.struck().await;
    running.stop().await;
    assert_eq!(recorder.lines(), ["given up: Exhausted"]);
    assert!(site.read(&subscription).await.health.failing_since().is_some());
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

async fn an_endpoint_whose_health_cannot_be_written_costs_no_others_theirs<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let ids = [site.subscribe(&endpoint).await.id, site.subscribe(&endpoint).await.id];
    let failing = Health::default().failed(NOON, None);
    for (refused, other) in [(ids[0], ids[1]), (ids[1], ids[0])] {
        for id in ids {
            let seen = site.store.subscription(id).await.unwrap().unwrap().health;
            site.store.plain().put_health(id, &seen, &failing, None, NOON).await.unwrap();
        }
        site.emit().await;
        site.store.refuses_health_of(refused);
        let recorder = Recorder::default();
        let dispatcher = site.dispatcher().with_observer(recorder.clone());
        // A failing endpoint is probed first, and each batch is settled at once.
        assert_eq!(site.drain(&dispatcher, NOON + HOUR).await.delivered, 2);
        assert_eq!(recorder.lines(), [format!("recovered: {other}")]);
        let health = site.store.subscription(other).await.unwrap().unwrap().health;
        assert_eq!(health, Health::default());
    }
}

/// Emits in the caller's own transaction, on a connection that dies with it.
trait Emits: Opens {
    /// Emits in a transaction that is committed or dies with its connection.
    async fn emit_and_die(database: &Database, is_committed: bool) -> EventId;
}

impl Emits for SqliteStore {
    async fn emit_and_die(database: &Database, is_committed: bool) -> EventId {
        let Database::Sqlite(path) = database else { panic!("not a SQLite database") };
        let outbox = outbox(Self::on_database(database).await);
        let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let emitted = outbox.emit_in(&mut transaction, "org_1", &call()).await.unwrap();
        if is_committed {
            transaction.commit().await.unwrap();
        } else {
            drop(transaction);
        }
        emitted.id
    }
}

impl Emits for PostgresStore {
    async fn emit_and_die(database: &Database, is_committed: bool) -> EventId {
        let Database::Postgres { url, .. } = database else { panic!("not a PostgreSQL database") };
        let outbox = outbox(Self::on_database(database).await);
        let mut connection = PgConnection::connect(url).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let emitted = outbox.emit_in(&mut transaction, "org_1", &call()).await.unwrap();
        if is_committed {
            transaction.commit().await.unwrap();
        } else {
            drop(transaction);
        }
        emitted.id
    }
}

fn outbox<S: Opens>(store: S) -> Outbox<S> {
    Outbox::new(store, Contract::allison()).with_clock(|| NOON)
}

async fn an_emit_that_dies_before_the_commit_leaves_nothing<S: Emits>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    S::emit_and_die(&site.database, false).await;
    assert_eq!(site.drain(&site.dispatcher(), NOON + DAY).await.delivered, 0);
    accounted_for(&site, &subscription, &endpoint, &[]).await;
}

async fn an_emit_that_dies_after_the_commit_is_delivered<S: Emits>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    // Nothing wakes the dispatcher. It finds the event in the store.
    let running = Running::start(site.dispatcher().with_poll_interval(Duration::from_millis(10)));
    let event = S::emit_and_die(&site.database, true).await;
    endpoint.arrived(1).await;
    running.stop().await;
    accounted_for(&site, &subscription, &endpoint, &[event]).await;
}

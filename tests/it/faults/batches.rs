//! Events that are emitted together.

use hookwire::allison::CallEnded;
use hookwire::dispatch::{EmitError, EmittedAll, Outbox, Routing};
use hookwire::sqlx::{Connection as _, PgConnection, SqliteConnection};
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{DeliveryState, Envelope, Records as _};

use super::hand_over::{Process, settled};
use super::{Database, Opens, Site, copies, on_both_databases};
use crate::endpoint::Endpoint;
use crate::engine::{NOON, call, received};
use crate::watched_store::{Call, Trouble};

on_both_databases! {
    events_of_one_call_have_each_their_own_result_and_one_insert
    a_call_that_cannot_write_one_of_its_events_writes_none
    events_of_one_call_are_handed_over_as_far_as_there_are_slots
    events_of_one_call_with_a_key_arrive_in_their_order
    events_of_one_call_are_written_with_the_callers_transaction_or_not_at_all
}

/// Emits several events in a transaction of the caller.
trait EmitsAll: Opens {
    async fn emit_all_in(
        database: &Database,
        outbox: &Outbox<Self>,
        envelopes: &[Envelope<CallEnded>],
        is_committed: bool,
    ) -> EmittedAll;
}

impl EmitsAll for SqliteStore {
    async fn emit_all_in(
        database: &Database,
        outbox: &Outbox<Self>,
        envelopes: &[Envelope<CallEnded>],
        is_committed: bool,
    ) -> EmittedAll {
        let Database::Sqlite(path) = database else { panic!("not a SQLite database") };
        let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let emitted = outbox.emit_all_in(&mut transaction, "org_1", envelopes).await.unwrap();
        match is_committed {
            true => transaction.commit().await.unwrap(),
            false => transaction.rollback().await.unwrap(),
        }
        emitted
    }
}

impl EmitsAll for PostgresStore {
    async fn emit_all_in(
        database: &Database,
        outbox: &Outbox<Self>,
        envelopes: &[Envelope<CallEnded>],
        is_committed: bool,
    ) -> EmittedAll {
        let Database::Postgres { url, .. } = database else { panic!("not a PostgreSQL database") };
        let mut connection = PgConnection::connect(url).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let emitted = outbox.emit_all_in(&mut transaction, "org_1", envelopes).await.unwrap();
        match is_committed {
            true => transaction.commit().await.unwrap(),
            false => transaction.rollback().await.unwrap(),
        }
        emitted
    }
}

fn results(emitted: &EmittedAll) -> Vec<Option<bool>> {
    let result = |event: &Result<hookwire::dispatch::Emitted, EmitError>| match event {
        Ok(emitted) => Some(emitted.duplicate),
        Err(EmitError::Conflict { .. }) => None,
        Err(error) => panic!("{error:?}"),
    };
    emitted.events.iter().map(result).collect()
}

fn calls<const N: usize>() -> [Envelope<CallEnded>; N] {
    std::array::from_fn(|_| call())
}

async fn events_of_one_call_have_each_their_own_result_and_one_insert<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let outbox = site.outbox();
    let [known, taken, new, twice] = calls();
    outbox.emit("org_1", &known).await.unwrap();
    outbox.emit("org_1", &taken).await.unwrap();
    let mut other = CallEnded::new("c1");
    other.summary = Some("other".to_owned());
    let other = Envelope::from_parts(taken.id.clone(), taken.created_at, other);
    let (inserts, readings) = (site.store.inserts(), site.store.readings());
    let emitted = outbox.emit_all("org_1", [&new, &known, &other, &twice, &twice]).await.unwrap();
    assert_eq!((site.store.inserts(), site.store.readings()), (inserts + 1, readings));
    assert_eq!(results(&emitted), [Some(false), Some(true), None, Some(false), Some(true)]);
    let deliveries: Vec<_> = emitted.events.iter().flatten().map(|emitted| emitted.deliveries).collect();
    assert_eq!(deliveries, [1, 0, 1, 0]);
    assert!(outbox.emit_all("org_1", Vec::<&Envelope<CallEnded>>::new()).await.unwrap().events.is_empty());
    assert_eq!(site.drain(&site.dispatcher(), NOON).await.delivered, 4);
    assert_eq!(copies(&endpoint).len(), 4);
    assert_eq!(site.states(&subscription).await, [DeliveryState::Delivered; 4]);
}

async fn a_call_that_cannot_write_one_of_its_events_writes_none<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let outbox = site.outbox().with_max_payload(1_000);
    let [one, two] = calls();
    let mut large = CallEnded::new("c1");
    large.summary = Some("x".repeat(2_000));
    let large = Envelope::new(large);
    let refused = outbox.emit_all("org_1", [&one, &large, &two]).await.unwrap_err();
    assert!(matches!(refused, EmitError::TooLarge { limit: 1_000, .. }), "{refused:?}");
    let unbounded = Routing::new().with_ordering_key("k".repeat(10_000));
    let refused =
        outbox.emit_all_with("org_1", [(&one, Routing::new()), (&two, unbounded)]).await.unwrap_err();
    assert!(matches!(refused, EmitError::OutOfBounds(_)), "{refused:?}");
    site.store.meets(Call::Insert, Trouble::Fails);
    let failed = outbox.emit_all("org_1", [&one, &two]).await.unwrap_err();
    assert!(matches!(&failed, EmitError::Store(error) if error.is_retryable()), "{failed:?}");
    assert!(site.deliveries(&subscription).await.is_empty());
    for envelope in [&one, &two] {
        let found = site.plain().find_event("org_1", "allison", &envelope.id).await.unwrap();
        assert!(found.is_none(), "none was written");
    }
    assert_eq!(results(&outbox.emit_all("org_1", [&one, &two]).await.unwrap()), [Some(false); 2]);
}

async fn events_of_one_call_are_handed_over_as_far_as_there_are_slots<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let process = Process::start(&site);
    process.warm_up(&site, &endpoint).await;
    let (claims, before) = (site.store.claims(), endpoint.requests().len());
    let few = calls::<20>();
    process.outbox.emit_all("org_1", &few).await.unwrap();
    endpoint.arrived(before + 20).await;
    settled(&site).await;
    assert_eq!(site.store.claims(), claims);
    // More than a subscription may have in flight: the others are claimed.
    let many = calls::<100>();
    process.outbox.emit_all("org_1", &many).await.unwrap();
    endpoint.arrived(before + 120).await;
    settled(&site).await;
    assert!(site.store.claims() > claims);
    assert!(copies(&endpoint).values().all(|times| *times == 1));
    assert!(site.deliveries(&subscription).await.iter().all(|delivery| delivery.attempts == 1));
    process.running.stop().await;
}

async fn events_of_one_call_with_a_key_arrive_in_their_order<S: Opens>(site: Site<S>) {
    let endpoint = Endpoint::start([]).await;
    site.subscribe(&endpoint).await;
    let process = Process::start(&site);
    process.warm_up(&site, &endpoint).await;
    let before = endpoint.requests().len();
    let all = calls::<10>();
    let keyed = all.iter().map(|envelope| (envelope, Routing::new().with_ordering_key("call")));
    process.outbox.emit_all_with("org_1", keyed).await.unwrap();
    endpoint.arrived(before + 10).await;
    let arrived = received(&endpoint).split_off(before);
    assert_eq!(arrived, all.each_ref().map(|envelope| envelope.id.as_str().to_owned()));
    process.running.stop().await;
}

async fn events_of_one_call_are_written_with_the_callers_transaction_or_not_at_all<S: EmitsAll>(
    site: Site<S>,
) {
    let endpoint = Endpoint::start([]).await;
    let subscription = site.subscribe(&endpoint).await;
    let process = Process::start(&site);
    process.warm_up(&site, &endpoint).await;
    let before = endpoint.requests().len();
    let outbox = Outbox::new(S::on_database(&site.database).await, site.contract.clone());
    let [one, two, three] = calls();
    S::emit_all_in(&site.database, &outbox, &[one.clone(), two.clone()], false).await;
    assert_eq!(site.deliveries(&subscription).await.len(), before, "it was rolled back");
    let emitted = S::emit_all_in(&site.database, &outbox, &[one.clone(), two, three], true).await;
    assert_eq!(results(&emitted), [Some(false); 3]);
    assert_eq!(results(&outbox.emit_all("org_1", [&one]).await.unwrap()), [Some(true)]);
    process.wake.wake();
    endpoint.arrived(before + 3).await;
    settled(&site).await;
    process.running.stop().await;
}

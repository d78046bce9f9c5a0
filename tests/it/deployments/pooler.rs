//! Behind PgBouncer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use hookwire::sqlx::ConnectOptions as _;
use hookwire::sqlx::postgres::{PgConnection, PgPoolOptions};
use hookwire::store::implement::InsertOutcome;
use hookwire::store::postgres::{PoolMode, PostgresStore};
use hookwire::store::{InboxKey, Notifications as _, Reservation, StoreErrorKind, TransactionalInbox as _};
use hookwire::{Inbox as _, Store as _, Subscriptions as _, TransactionalStore as _};
use tokio::time::timeout;

use super::{builder, connect, execute, reason, text, url_with};
use crate::door::Door;
use crate::pgbouncer::PgBouncer;
use crate::postgres_server::{self, Server, prefix};
use crate::store_parts::{NOW, SUBSCRIPTION, deliver_all, event, subscription};
use crate::store_postgres::Handler;

mod transaction_mode {
    crate::stores::every_suite!(crate::deployments::pooler::pooled);
    crate::stores::every_transactional_suite!(crate::deployments::pooler::pooled_with_handler);
}

/// The PgBouncer of the suites.
fn shared() -> &'static PgBouncer {
    static SHARED: OnceLock<PgBouncer> = OnceLock::new();
    SHARED.get_or_init(|| PgBouncer::start(postgres_server::url(), "transaction", 20))
}

async fn pooled() -> (PostgresStore, ()) {
    (builder().connect(&shared().url("postgres")).await.expect("store opens"), ())
}

async fn pooled_with_handler() -> (PostgresStore, Handler, ()) {
    (pooled().await.0, Handler(shared().options().connect().await.unwrap()), ())
}

/// In a database whose transactions are serializable by default, and whose sessions an application shares.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shared_session_is_left_as_it_was_and_every_event_is_stored() {
    let database = format!("{}db", prefix());
    let url = url_with(postgres_server::url(), "postgres", &database);
    let mut server = connect(postgres_server::url()).await;
    execute(&mut server, &format!("CREATE DATABASE {database}")).await;
    let isolation = format!("ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'");
    execute(&mut server, &isolation).await;
    let bouncer = PgBouncer::start(&url, "transaction", SESSIONS);
    let url = bouncer.url(&database);
    let options = bouncer.options().database(&database).application_name("shop");
    let mut application = Vec::new();
    for _ in 0..SESSIONS {
        application.push(options.connect().await.unwrap());
    }
    let before = sessions(&mut application).await;

    let store = builder().connect(&url).await.unwrap();
    let other = builder().connect(&url).await.unwrap();
    store.put(&subscription()).await.unwrap();
    let emit = async |number: u32| {
        // An event with an ordering key is written alone.
        let key = number.is_multiple_of(2).then(|| number.to_string());
        let stored = store.insert(&[event(number).with_ordering_key(key)]).await;
        assert_eq!(stored.unwrap(), [InsertOutcome::New]);
        assert!(store.subscription(SUBSCRIPTION).await.unwrap().is_some());
    };
    join_all((1..=300).map(emit)).await;
    let notifications = store.notifications();
    notifications.notify().await.unwrap();
    assert!(
        timeout(Duration::from_millis(100), notifications.notified()).await.is_err(),
        "it does not listen"
    );
    other.look(&crate::stores::poll(1, NOW)).await.unwrap();
    assert_eq!(deliver_all(store.clone()).await, 300);
    assert_eq!(sessions(&mut application).await, before);
    store.close().await;
    assert_eq!(notifications.notified().await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

/// The state of each session of the pooler, which has as many as there are connections here.
async fn sessions(application: &mut [PgConnection]) -> Vec<String> {
    let mut sessions = Vec::new();
    for connection in application.iter_mut() {
        // The session stays with this connection until the end of the transaction.
        execute(connection, "BEGIN").await;
        sessions.push(
            text(
                connection,
                "SELECT concat_ws(E'\\n', \
                 (SELECT string_agg(name || ' = ' || setting, E'\\n' ORDER BY name) FROM pg_settings \
                  WHERE source = 'session' AND name NOT LIKE 'transaction%'), \
                 current_setting('default_transaction_isolation'), current_setting('application_name'), \
                 (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels()), \
                 (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), \
                 (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()))",
            )
            .await,
        );
    }
    for connection in application {
        execute(connection, "COMMIT").await;
    }
    sessions
}

/// PgBouncer lends out the session that was given back last, or each in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sharing_is_noticed_beside_a_busy_application_too() {
    for size in [1, 2, 5] {
        let bouncer = PgBouncer::start(postgres_server::url(), "transaction", size);
        let busy: Vec<_> = (0..8)
            .map(|_| {
                let options = bouncer.options();
                tokio::spawn(async move {
                    let mut connection = options.connect().await.unwrap();
                    loop {
                        execute(&mut connection, "SELECT count(*) FROM generate_series(1, 1000)").await;
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            let store = builder().connect(&bouncer.url("postgres")).await.unwrap();
            assert!(format!("{store:?}").contains("is_shared: true"), "{store:?}");
            store.close().await;
        }
        busy.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test]
async fn a_session_of_ones_own_is_noticed_and_used() {
    let bouncer = PgBouncer::start(postgres_server::url(), "session", 10);
    for url in [bouncer.url("postgres"), postgres_server::url().to_owned()] {
        let builder = builder();
        let store = builder.clone().connect(&url).await.unwrap();
        assert!(format!("{store:?}").contains("is_shared: false"), "{store:?}");
        store.put(&subscription()).await.unwrap();
        join_all((1..=50).map(async |number| store.insert(&[event(number)]).await.unwrap())).await;
        assert_eq!(deliver_all(store.clone()).await, 50);
        let listening = store.notifications();
        listening.notified().await.unwrap();
        let other = builder.connect(&url).await.unwrap();
        other.notifications().notify().await.unwrap();
        listening.notified().await.unwrap();
        store.close().await;
        other.close().await;
    }
    // The next client of the pooler finds its sessions clean.
    let mut next = bouncer.options().connect().await.unwrap();
    assert_eq!(text(&mut next, "SELECT count(*)::text FROM pg_prepared_statements").await, "0");
    assert_eq!(text(&mut next, "SELECT count(*)::text FROM pg_listening_channels()").await, "0");
}

#[tokio::test]
async fn a_pooler_without_transactions_is_refused_in_words() {
    let bouncer = PgBouncer::start(postgres_server::url(), "statement", 3);
    for mode in [PoolMode::Detect, PoolMode::Transaction] {
        let opened = builder().with_pool_mode(mode).connect(&bouncer.url("postgres")).await;
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Backend);
        assert!(reason(&error).contains("set pool_mode to transaction or session"), "{}", reason(&error));
    }
}

#[tokio::test]
async fn notifications_arrive_on_a_connection_past_the_pooler() {
    let bouncer = PgBouncer::start(postgres_server::url(), "transaction", 3);
    let store = builder().connect(&bouncer.url("postgres")).await.unwrap();
    let direct = store.notifications().listen_at(postgres_server::url()).unwrap();
    direct.notified().await.unwrap();
    // Two notifications would count as one.
    let other = store.notifications();
    let mut sender = connect(postgres_server::url()).await;
    let channel = format!("{store:?}").split('"').nth(1).unwrap().to_owned();
    execute(&mut sender, &format!("SELECT pg_notify('{channel}', 'another process')")).await;
    direct.notified().await.unwrap();
    assert!(other.listen_at("mysql://db/shop").is_err());
}

#[tokio::test]
async fn a_pool_of_the_application_behind_a_pooler_will_do() {
    let bouncer = PgBouncer::start(postgres_server::url(), "transaction", 3);
    let pool = PgPoolOptions::new().max_connections(8).connect_with(bouncer.options()).await.unwrap();
    let store = builder().open_pool(pool.clone()).await.unwrap();
    store.put(&subscription()).await.unwrap();
    join_all((1..=100).map(async |number| {
        let mut transaction = pool.begin().await.unwrap();
        assert_eq!(store.subscriptions_in(&mut transaction, "org_1").await.unwrap().subscriptions.len(), 1);
        let keyed = event(number).with_ordering_key(Some(number.to_string()));
        assert_eq!(store.insert_in(&mut transaction, &[keyed]).await.unwrap(), [InsertOutcome::New]);
        transaction.commit().await.unwrap();
        let alone = event(1_000 + number).with_ordering_key(Some(number.to_string()));
        assert_eq!(store.insert(&[alone]).await.unwrap(), [InsertOutcome::New]);
    }))
    .await;
    assert_eq!(deliver_all(store).await, 200);
}

/// The store goes past the pooler, for its notifications, and the application goes through it.
#[tokio::test]
async fn an_application_behind_a_pooler_beside_a_store_that_is_not_will_do_if_it_says_so() {
    let bouncer = PgBouncer::start(postgres_server::url(), "transaction", SESSIONS);
    let builder = builder().with_application_pool_mode(PoolMode::Transaction);
    let store = builder.connect(postgres_server::url()).await.unwrap();
    assert!(format!("{store:?}").contains("is_shared: false"), "{store:?}");
    store.put(&subscription()).await.unwrap();
    let pool = PgPoolOptions::new().max_connections(8).connect_with(bouncer.options()).await.unwrap();
    let key = InboxKey::new("shop", "evt_1".parse().unwrap());
    let Reservation::New(lease) = store.reserve(&key, Duration::from_secs(60), NOW).await.unwrap() else {
        panic!("it is new");
    };
    let mut transaction = pool.begin().await.unwrap();
    assert!(store.commit_in(&mut transaction, &key, lease, Duration::from_secs(60), NOW).await.unwrap());
    transaction.commit().await.unwrap();
    join_all((1..=100).map(async |number| {
        let mut transaction = pool.begin().await.unwrap();
        assert_eq!(store.subscriptions_in(&mut transaction, "org_1").await.unwrap().subscriptions.len(), 1);
        assert_eq!(store.insert_in(&mut transaction, &[event(number)]).await.unwrap(), [InsertOutcome::New]);
        transaction.commit().await.unwrap();
    }))
    .await;
    assert_eq!(deliver_all(store).await, 100);
    let mut application = Vec::new();
    for _ in 0..SESSIONS {
        application.push(bouncer.options().connect().await.unwrap());
    }
    for connection in &mut application {
        execute(connection, "BEGIN").await;
        assert_eq!(text(connection, "SELECT count(*)::text FROM pg_prepared_statements").await, "0");
    }
}

#[tokio::test]
async fn a_pooler_that_is_put_in_later_is_noticed_at_its_first_clash() {
    noticed_at_its_first_clash(postgres_server::url()).await;
}

/// The server words its errors in German.
#[tokio::test]
async fn a_clash_is_noticed_in_any_language_of_the_server() {
    // Without the source of the locale, there is nothing to test on this machine.
    let Some(server) = tokio::task::spawn_blocking(Server::start_in_german).await.unwrap() else { return };
    let mut connection = connect(&server.url()).await;
    let error = hookwire::sqlx::raw_sql("SELECT 1 / 0").execute(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("Division durch Null"), "{error}");
    noticed_at_its_first_clash(&server.url()).await;
    super::connections::replaced_when_plans_are_outdated(&server.url()).await;
}

async fn noticed_at_its_first_clash(url: &str) {
    let server: hookwire::sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let door = Door::to(server.get_port()).await;
    let store = builder().connect(&format!("postgres://postgres@127.0.0.1:{}/postgres", door.port())).await;
    let store = Arc::new(store.unwrap());
    store.put(&subscription()).await.unwrap();
    store.insert(&[event(1)]).await.unwrap();
    let bouncer = PgBouncer::start(url, "transaction", 2);
    door.lead_to(bouncer.port());
    door.cut();
    let mut number = 1;
    while number < 300 {
        let batch = (number + 1..=number + 20).map(|number| {
            let store = Arc::clone(&store);
            async move {
                let keyed = [event(number).with_ordering_key(Some(number.to_string()))];
                // The connections that were cut are noticed one by one.
                while let Err(error) = store.insert(&keyed).await {
                    assert!(error.is_retryable(), "{error:?}");
                }
            }
        });
        join_all(batch).await;
        number += 20;
    }
    assert_eq!(deliver_all(Arc::clone(&store)).await, 301);
}

const SESSIONS: u32 = 3;

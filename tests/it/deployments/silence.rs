//! Servers that answer late or never, and what is left of the calls that gave them up.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hookwire::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use hookwire::store::StoreErrorKind;
use hookwire::store::implement::InsertOutcome;
use hookwire::store::postgres::{PoolMode, PostgresStore, PostgresStoreBuilder};
use hookwire::{Store as _, Subscriptions as _};
use tokio::time::timeout;

use super::{connect, execute, reason, text, until_running, url_with};
use crate::door::Door;
use crate::pgbouncer::PgBouncer;
use crate::postgres_server::{self, prefix};
use crate::store_parts::{event, subscription};

/// Another session holds the table of events. The call gives up, and so does the server.
#[tokio::test]
async fn a_statement_that_is_given_up_is_cancelled_on_the_server() {
    let bouncer = PgBouncer::start(postgres_server::url(), "transaction", 3);
    for (url, mode) in [
        (postgres_server::url().to_owned(), PoolMode::Session),
        (bouncer.url("postgres"), PoolMode::Transaction),
    ] {
        let prefix = prefix();
        let store = impatient(&prefix).with_pool_mode(mode).connect(&url).await.unwrap();
        store.put(&subscription()).await.unwrap();
        let mut application = connect(postgres_server::url()).await;
        execute(&mut application, &format!("BEGIN; LOCK TABLE {prefix}events IN ACCESS EXCLUSIVE MODE"))
            .await;
        let error = store.insert(&[event(1)]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        until_running(&prefix, 0).await;
        execute(&mut application, "COMMIT").await;
        assert_eq!(store.insert(&[event(1)]).await.unwrap(), [InsertOutcome::New], "{mode:?}");
    }
    // The limit went with its transaction.
    let mut next =
        <hookwire::sqlx::PgConnection as hookwire::sqlx::Connection>::connect_with(&bouncer.options())
            .await
            .unwrap();
    assert_eq!(text(&mut next, "SHOW statement_timeout").await, "0");
}

/// The server cancels after the time that its operator has set, which is less than the store's.
#[tokio::test]
async fn a_lower_limit_of_the_operator_stays() {
    let (prefix, database) = (prefix(), format!("{}db", prefix()));
    let mut server = connect(postgres_server::url()).await;
    execute(&mut server, &format!("CREATE DATABASE {database}")).await;
    // In this isolation level, each call is a transaction of several statements.
    for setting in ["default_transaction_isolation = 'serializable'", "statement_timeout = '300ms'"] {
        execute(&mut server, &format!("ALTER DATABASE {database} SET {setting}")).await;
    }
    let url = url_with(postgres_server::url(), "postgres", &database);
    let store = PostgresStore::builder().with_prefix(&prefix).with_call_timeout(Duration::from_secs(600));
    let store = store.connect(&url).await.unwrap();
    let mut application = connect(&url).await;
    execute(&mut application, &format!("BEGIN; LOCK TABLE {prefix}events IN ACCESS EXCLUSIVE MODE")).await;
    let events = [event(1)];
    let insert = timeout(Duration::from_secs(60), store.insert(&events));
    let error = insert.await.expect("the limit is the operator's").unwrap_err();
    assert!(reason(&error).contains("statement timeout"), "{error:?}");
}

/// The only connection falls silent while a call waits that is dropped. Another call needs it.
#[tokio::test]
async fn a_call_that_was_dropped_does_not_keep_the_connection_to_a_silent_server() {
    let door = door().await;
    let builder = PostgresStore::builder().with_prefix(prefix()).with_connections(1);
    let builder = builder.with_acquire_timeout(Duration::from_secs(30));
    let store = builder.with_call_timeout(Duration::from_secs(600)).connect(&url_of(&door)).await.unwrap();
    store.put(&subscription()).await.unwrap();
    door.silence();
    let keyed = [event(1).with_ordering_key(Some("a".to_owned()))];
    assert!(timeout(Duration::from_millis(200), store.insert(&keyed)).await.is_err());
    assert_eq!(store.insert(&[event(2)]).await.unwrap(), [InsertOutcome::New]);
}

/// Ten idle connections have fallen silent. To test each of them would take longer than the call may wait.
#[tokio::test]
async fn idle_connections_that_fell_silent_together_are_given_up_together() {
    let door = door().await;
    let store = PostgresStore::builder().with_prefix(prefix()).with_connections(10).with_caller_time();
    let store = Arc::new(store.connect(&url_of(&door)).await.unwrap());
    store.put(&subscription()).await.unwrap();
    let keyed = (1..=40).map(|number| event(number).with_ordering_key(Some(number.to_string())));
    let all = keyed.map(|event| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.insert(&[event]).await.unwrap() })
    });
    join_all(all).await;
    // A connection that was used within the last second is not tested.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    door.silence();
    assert_eq!(store.insert(&[event(99)]).await.unwrap(), [InsertOutcome::New]);
}

#[tokio::test]
async fn a_store_that_was_closed_says_so_at_once() {
    let store = PostgresStore::builder().with_prefix(prefix()).connect(postgres_server::url()).await.unwrap();
    store.close().await;
    let pool = PgPoolOptions::new().connect(postgres_server::url()).await.unwrap();
    let on_pool = PostgresStore::builder().with_prefix(prefix()).open_pool(pool).await.unwrap();
    on_pool.close().await;
    for store in [store, on_pool] {
        let error = store.insert(&[event(1)]).await.unwrap_err();
        assert_eq!((error.kind(), reason(&error)), (StoreErrorKind::Unavailable, CLOSED.to_owned()));
    }
}

/// A call that waits for a server ends when the store is closed, and not when its time is over.
#[tokio::test]
async fn a_store_is_closed_while_calls_wait_for_a_server_that_is_gone() {
    let door = door().await;
    let builder = PostgresStore::builder().with_prefix(prefix());
    let builder = builder.with_acquire_timeout(Duration::from_secs(600));
    let store = builder.connect(&url_of(&door)).await.unwrap();
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    door.lead_to(nobody.port());
    door.cut();
    let events = [event(1)];
    let closing = async {
        // The first call finds that the connections are cut.
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.close().await;
    };
    let inserting = async {
        loop {
            let error = store.insert(&events).await.unwrap_err();
            if reason(&error) == CLOSED {
                return;
            }
        }
    };
    timeout(Duration::from_secs(60), async { tokio::join!(inserting, closing) }).await.unwrap();
}

const CLOSED: &str = "the store was closed";

/// A store whose calls wait for a second.
fn impatient(prefix: &str) -> PostgresStoreBuilder {
    let builder = PostgresStore::builder().with_prefix(prefix).with_caller_time();
    builder.with_call_timeout(Duration::from_secs(1))
}

async fn door() -> Door {
    Door::to(postgres_server::url().parse::<PgConnectOptions>().unwrap().get_port()).await
}

fn url_of(door: &Door) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres", door.port())
}

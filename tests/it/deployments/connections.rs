//! Fewer connections than asked for, and connections that lead elsewhere.

use std::time::Duration;

use futures_util::future::join_all;
use hookwire::sqlx::postgres::PgPoolOptions;
use hookwire::store::StoreErrorKind;
use hookwire::store::implement::InsertOutcome;
use hookwire::store::postgres::PostgresStore;
use hookwire::{Store as _, Subscriptions as _};

use super::{builder, connect, execute, reason, text, url_with};
use crate::door::Door;
use crate::postgres_server::{self, Server, prefix};
use crate::store_parts::{SUBSCRIPTION, deliver_all, event, subscription};

/// A role with at most 3 connections, which may create tables.
async fn role() -> String {
    let role = format!("{}role", prefix());
    let mut server = connect(postgres_server::url()).await;
    let create = format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 3; CREATE SCHEMA AUTHORIZATION {role}");
    execute(&mut server, &create).await;
    url_with(postgres_server::url(), &role, "postgres")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_role_with_three_connections_serves_48_emitters() {
    let url = role().await;
    let own = builder().with_connections(10).connect(&url).await.unwrap();
    emit_from_48(&own).await;
    own.close().await;

    let pool = PgPoolOptions::new().max_connections(10).connect(&url).await.unwrap();
    emit_from_48(&builder().open_pool(pool).await.unwrap()).await;
}

async fn emit_from_48(store: &PostgresStore) {
    store.put(&subscription()).await.unwrap();
    let emitters = (0..48_u32).map(|emitter| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 1..=10 {
                let number = 100 * emitter + number;
                // An event with an ordering key is written alone.
                let keyed = event(number).with_ordering_key(Some(number.to_string()));
                assert_eq!(store.insert(&[keyed]).await.unwrap(), [InsertOutcome::New]);
                assert!(store.subscription(SUBSCRIPTION).await.unwrap().is_some());
            }
        })
    });
    join_all(emitters).await.into_iter().for_each(|emitter| emitter.unwrap());
    assert_eq!(deliver_all(store.clone()).await, 480);
}

#[tokio::test]
async fn a_process_that_finds_no_connection_left_says_so_and_has_one_when_there_is_one() {
    let url = role().await;
    let builder = builder().with_acquire_timeout(Duration::from_millis(500));
    let first = builder.clone().connect(&url).await.unwrap();
    let mut held = Vec::new();
    while let Ok(connection) =
        <hookwire::sqlx::PgConnection as hookwire::sqlx::Connection>::connect(&url).await
    {
        held.push(connection);
    }
    let error = builder.clone().connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let reason = reason(&error);
    assert!(reason.contains("CONNECTION LIMIT") && reason.contains("too many connections"), "{reason}");
    // The store that has one goes on with it.
    first.put(&subscription()).await.unwrap();
    join_all((1..=20).map(async |number| first.insert(&[event(number)]).await.unwrap())).await;
    drop(held);
    builder.connect(&url).await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_to_another_database_with_tables_of_the_same_names() {
    let (right, wrong) = (Server::start(), Server::start());
    let door = Door::to(right.port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", door.port());
    let builder = builder().with_prefix("hookwire_").with_acquire_timeout(Duration::from_secs(1));
    builder.clone().connect(&wrong.url()).await.unwrap();
    let store = builder.connect(&url).await.unwrap();
    store.put(&subscription()).await.unwrap();
    store.insert(&[event(1)]).await.unwrap();
    door.lead_to(wrong.port());
    door.cut();
    let mut said = String::new();
    for _ in 0..8 {
        let error = store.insert(&[event(2)]).await.unwrap_err();
        assert!(error.is_retryable());
        said = reason(&error);
    }
    assert!(said.contains("leads to another database"), "{said}");
    let mut there = connect(&wrong.url()).await;
    assert_eq!(text(&mut there, "SELECT count(*)::text FROM hookwire_events").await, "0");
    door.lead_to(right.port());
    while store.insert(&[event(2)]).await.is_err() {}
    assert_eq!(deliver_all(store).await, 2);
}

#[tokio::test]
async fn a_session_that_lost_its_statements_or_whose_plans_are_outdated_is_replaced() {
    replaced_when_plans_are_outdated(postgres_server::url()).await;
}

pub(super) async fn replaced_when_plans_are_outdated(url: &str) {
    let (prefix, mut server) = (prefix(), connect(url).await);
    let store = PostgresStore::builder().with_prefix(&prefix).with_connections(1).with_caller_time();
    let store = store.connect(url).await.unwrap();
    store.put(&subscription()).await.unwrap();
    store.insert(&[event(1)]).await.unwrap();
    // As a migration of newer code does. Statements that return all columns are prepared already.
    let claims = hookwire::Records::find_delivery(&store, "org_1", crate::store_parts::delivery_id(1)).await;
    assert!(claims.unwrap().is_some());
    execute(&mut server, &format!("ALTER TABLE {prefix}deliveries ADD COLUMN newer bigint")).await;
    let found = hookwire::Records::find_delivery(&store, "org_1", crate::store_parts::delivery_id(1)).await;
    assert!(found.unwrap().is_some());
    assert_eq!(deliver_all(store).await, 1);
}

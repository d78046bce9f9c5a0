//! The triggers that tell an outbox of changed subscriptions: what they need, and what they hold up.

use hookwire::store::postgres::PostgresStore;
use hookwire::{Contract, EventFilter, Secret, Store as _, Subscription, SubscriptionId, Subscriptions as _};

use super::{connect, execute, text, url_with};
use crate::postgres_server::{self, prefix};
use crate::store_parts::subscription;

#[tokio::test]
async fn subscriptions_change_in_a_database_whose_tables_are_all_published() {
    let database = format!("{}db", prefix());
    let mut server = connect(postgres_server::url()).await;
    execute(&mut server, &format!("CREATE DATABASE {database}")).await;
    let url = url_with(postgres_server::url(), "postgres", &database);
    execute(&mut connect(&url).await, "CREATE PUBLICATION everything FOR ALL TABLES").await;
    let store = super::builder().connect(&url).await.unwrap();
    let mut subscription = subscription();
    store.put(&subscription).await.unwrap();
    subscription.filter = EventFilter::new(["call.ended"]).unwrap();
    store.put(&subscription).await.unwrap();
    assert!(store.delete(subscription.id, time::OffsetDateTime::now_utc()).await.unwrap());
}

#[tokio::test]
async fn no_function_runs_with_the_rights_of_its_owner() {
    let prefix = prefix();
    let builder = PostgresStore::builder().with_prefix(&prefix);
    let _store = builder.connect(postgres_server::url()).await.unwrap();
    let mut server = connect(postgres_server::url()).await;
    let functions = format!("SELECT count(*)::text FROM pg_proc WHERE starts_with(proname, '{prefix}')");
    assert_ne!(text(&mut server, &functions).await, "0");
    assert_eq!(text(&mut server, &format!("{functions} AND prosecdef")).await, "0");
}

/// Changes of different subscriptions of an organization do not wait for each other, whatever the order, and
/// the edition is another one after each commit.
#[tokio::test]
async fn changes_of_an_organizations_subscriptions_do_not_wait_for_each_other() {
    let prefix = prefix();
    let builder = PostgresStore::builder().with_prefix(&prefix).with_connections(2);
    let store = builder.connect(postgres_server::url()).await.unwrap();
    let one = subscription();
    let two =
        Subscription::new(&*one.organization, &Contract::allison(), one.url.clone(), EventFilter::all())
            .with_secret(Secret::generate());
    for subscription in [&one, &two] {
        store.put(subscription).await.unwrap();
    }
    let edition = async || store.subscriptions(&one.organization).await.unwrap().edition.unwrap();
    let mut seen = vec![edition().await];
    let change = |id: SubscriptionId| {
        format!(
            "UPDATE {prefix}subscriptions SET version = version || 'x' WHERE id = '{:032x}'",
            id.as_u128()
        )
    };
    let (mut first, mut second) =
        (connect(postgres_server::url()).await, connect(postgres_server::url()).await);
    for connection in [&mut first, &mut second] {
        execute(connection, "SET lock_timeout = '30s'; BEGIN").await;
    }
    execute(&mut first, &change(one.id)).await;
    execute(&mut second, &change(two.id)).await;
    assert_eq!(edition().await, seen[0], "nothing is committed");
    for connection in [&mut second, &mut first] {
        execute(connection, "COMMIT").await;
        let edition = edition().await;
        assert!(!seen.contains(&edition));
        seen.push(edition);
    }
    // Old rows are deleted by later changes.
    for _ in 0..5 {
        execute(&mut first, &change(one.id)).await;
    }
    let rows = format!("SELECT count(*)::text FROM {prefix}editions");
    assert_eq!(text(&mut first, &rows).await, "1");
}

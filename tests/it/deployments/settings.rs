//! Schemas, search paths, encodings and isolation levels.

use std::time::Duration;

use hookwire::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use hookwire::store::StoreErrorKind;
use hookwire::store::postgres::PostgresStore;
use hookwire::{Store as _, Subscriptions as _};
use tokio::sync::OnceCell;

use super::{connect, execute, reason, text, url_with};
use crate::postgres_server::{self, prefix};
use crate::store_parts::{deliver_all, event, subscription};

/// In a database of another encoding and isolation level, in a schema that needs quotes, with a search path
/// that names no schema.
mod unusual {
    crate::stores::every_suite!(crate::deployments::settings::unusual);
}

async fn unusual() -> (PostgresStore, ()) {
    static URL: OnceCell<String> = OnceCell::const_new();
    let url = URL.get_or_init(|| async {
        let database = format!("{}db", prefix());
        let mut server = connect(postgres_server::url()).await;
        let create = format!(
            "CREATE DATABASE {database} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        execute(&mut server, &create).await;
        let settings = [
            "default_transaction_isolation = 'serializable'",
            "search_path = ''",
            "standard_conforming_strings = off",
            "bytea_output = 'escape'",
            "DateStyle = 'SQL, DMY'",
            "quote_all_identifiers = on",
        ];
        for setting in settings {
            execute(&mut server, &format!("ALTER DATABASE {database} SET {setting}")).await;
        }
        let url = url_with(postgres_server::url(), "postgres", &database);
        execute(&mut connect(&url).await, &format!("CREATE SCHEMA {QUOTED}")).await;
        url
    });
    let store = super::builder().with_schema(SCHEMA).connect(url.await).await;
    (store.expect("store opens"), ())
}

const SCHEMA: &str = "It's \"our\" \\Schema";
const QUOTED: &str = "\"It's \"\"our\"\" \\Schema\"";

#[tokio::test]
async fn a_schema_that_is_renamed_or_restored_beside_the_old_one_is_used_alone() {
    let (old, new, prefix) = (prefix(), prefix(), prefix());
    let mut server = connect(postgres_server::url()).await;
    execute(&mut server, &format!("CREATE SCHEMA {old}")).await;
    let builder = PostgresStore::builder().with_prefix(&prefix).with_connections(2).with_caller_time();
    let store = builder.clone().with_schema(&old).connect(postgres_server::url()).await.unwrap();
    store.put(&subscription()).await.unwrap();
    store.insert(&[event(1)]).await.unwrap();
    execute(&mut server, &format!("ALTER SCHEMA {old} RENAME TO {new}")).await;
    let error = store.insert(&[event(2)]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema, "{error:?}");

    // Another store takes the old name, to which the functions of the first would lead.
    execute(&mut server, &format!("CREATE SCHEMA {old}")).await;
    let other = builder.clone().with_schema(&old).connect(postgres_server::url()).await.unwrap();
    let role = format!("{prefix}role");
    let rights = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {new} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {new} TO {role}"
    );
    execute(&mut server, &rights).await;
    let as_role = url_with(postgres_server::url(), &role, "postgres");
    let error = builder.clone().with_schema(&new).connect(&as_role).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Schema);
    assert!(reason(&error).contains("open the store once as their owner"), "{}", reason(&error));

    let store = builder.clone().with_schema(&new).connect(postgres_server::url()).await.unwrap();
    store.insert(&[event(2)]).await.unwrap();
    assert_eq!(deliver_all(store).await, 2);
    assert_eq!(deliver_all(other).await, 0, "nothing went to the schema of the old name");
    let restricted = builder.clone().with_schema(&new).connect(&as_role).await.unwrap();
    restricted.insert(&[event(3)]).await.unwrap();

    execute(&mut server, &format!("DROP FUNCTION {new}.{prefix}settle_1")).await;
    let error = builder.with_schema(&new).connect(postgres_server::url()).await.unwrap_err();
    assert!(reason(&error).contains(&format!("{prefix}settle_1")), "{}", reason(&error));
}

#[tokio::test]
async fn the_search_path_may_lead_elsewhere_once_a_store_is_open() {
    let (schema, prefix) = (prefix(), prefix());
    let mut server = connect(postgres_server::url()).await;
    execute(&mut server, &format!("CREATE SCHEMA {schema}")).await;
    let options: PgConnectOptions = postgres_server::url().parse().unwrap();
    let options = options.options([("search_path", &*schema)]);
    let builder = PostgresStore::builder().with_prefix(&prefix).with_caller_time();
    let first = builder.clone().connect_with(options).await.unwrap();
    first.put(&subscription()).await.unwrap();
    let pool = PgPoolOptions::new().max_connections(2).after_connect(|connection, _| {
        Box::pin(async move {
            hookwire::sqlx::Executor::execute(&mut *connection, "SET search_path = pg_catalog")
                .await
                .map(drop)
        })
    });
    let pool = pool.connect(postgres_server::url()).await.unwrap();
    let store = builder.with_schema(&schema).open_pool(pool).await.unwrap();
    store.insert(&[event(1)]).await.unwrap();
    assert_eq!(deliver_all(first).await, 1);
    let tables = format!(
        "SELECT count(*)::text FROM pg_tables WHERE tablename LIKE '{prefix}%' AND schemaname <> '{schema}'"
    );
    assert_eq!(text(&mut server, &tables).await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_open_at_once_can_all_use_the_tables_in_a_serializable_database() {
    let database = format!("{}db", prefix());
    let mut server = connect(postgres_server::url()).await;
    execute(&mut server, &format!("CREATE DATABASE {database}")).await;
    let isolation = format!("ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'");
    execute(&mut server, &isolation).await;
    let url = url_with(postgres_server::url(), "postgres", &database);
    let builder = super::builder().with_acquire_timeout(Duration::from_secs(30));
    let opening: Vec<_> = (0..8).map(|_| tokio::spawn(open(builder.clone(), url.clone()))).collect();
    for (number, opened) in (1..).zip(opening) {
        opened.await.unwrap().insert(&[event(number)]).await.unwrap();
    }
}

async fn open(builder: hookwire::store::postgres::PostgresStoreBuilder, url: String) -> PostgresStore {
    let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
    builder.open_pool(pool).await.unwrap()
}

//! Errors of a start: each keeps its cause and says what to change.

use std::time::Duration;

use hookwire::sqlx::postgres::PgPoolOptions;
use hookwire::store::StoreErrorKind::{self, Backend, Schema, Unavailable};
use hookwire::store::postgres::PostgresStoreBuilder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{connect, execute, reason, url_with};
use crate::pgbouncer::PgBouncer;
use crate::postgres_server::{Server, prefix};

fn builder() -> PostgresStoreBuilder {
    super::builder().with_acquire_timeout(Duration::from_secs(1))
}

async fn refused(builder: PostgresStoreBuilder, url: &str, kind: StoreErrorKind, words: &[&str]) {
    let error = builder.connect(url).await.unwrap_err();
    let reason = reason(&error);
    for word in words {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    assert_eq!(error.kind(), kind, "{reason}");
    assert!(!reason.contains("hunter2"), "{reason}");
}

#[tokio::test]
async fn a_url_that_is_none_of_postgresqls_is_refused() {
    for (url, words) in [
        ("mysql://shop:hunter2@db/shop", &["mysql", "postgres://"][..]),
        ("sqlite:hooks.db", &["postgres://"]),
        ("shop:hunter2@db/shop", &["postgres://"]),
        ("hunter2 is a secret://db/shop", &["other text"]),
        ("postgres://shop:hunter2@one,two/shop", &["several hosts", "primary"]),
        ("postgres://shop:hunter2@one:5432,two:5432/shop", &["several hosts"]),
        ("postgres://shop:hunter2@db:port/shop", &["port"]),
    ] {
        refused(builder(), url, Backend, words).await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_is_none_of_postgresqls_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = format!("postgres://shop:hunter2@{free}/shop");
    refused(builder(), &nobody, Unavailable, &[&free.to_string(), "refused", "check host and port"]).await;
    refused(builder(), "postgres://shop:hunter2@nowhere.invalid/shop", Unavailable, &["nowhere.invalid"])
        .await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("postgres://shop:hunter2@{}/shop?sslmode=disable", listener.local_addr().unwrap());
    refused(builder(), &silent, Unavailable, &["gives no answer", "with_acquire_timeout"]).await;

    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            _ = client.read(&mut [0; 1_000]).await;
            _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    refused(builder(), &silent, Unavailable, &["127.0.0.1"]).await;
}

#[tokio::test]
async fn a_missing_database_password_or_right_is_named() {
    let server = Server::start();
    let (url, mut owner) = (server.url(), connect(&server.url()).await);
    refused(builder(), &url_with(&url, "postgres", "shop"), Backend, &["no such database", "shop"]).await;
    refused(builder(), &url_with(&url, "nobody", "postgres"), Backend, &["role nobody"]).await;

    execute(&mut owner, "CREATE ROLE locked LOGIN PASSWORD 'right'").await;
    server.ask_for_password("locked");
    let locked = url_with(&url, "locked:hunter2", "postgres");
    let words = ["does not accept the role locked", "password authentication failed"];
    refused(builder(), &locked, Backend, &words).await;

    let rights = "CREATE ROLE guest LOGIN; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC; \
                  REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    execute(&mut owner, rights).await;
    let guest = url_with(&url, "guest", "template1");
    refused(builder(), &guest, Backend, &["GRANT CONNECT", "permission denied"]).await;
    let guest = url_with(&url, "guest", "postgres");
    refused(builder(), &guest, Backend, &["GRANT CREATE", "schema_sql", "permission denied"]).await;
    refused(builder().with_schema("none"), &url, Schema, &["with_schema"]).await;
    execute(&mut owner, "ALTER ROLE guest SET search_path = ''").await;
    refused(builder(), &guest, Schema, &["search_path"]).await;
    execute(&mut owner, "ALTER ROLE guest SET default_transaction_read_only = on").await;
    refused(builder(), &guest, Unavailable, &["default_transaction_read_only"]).await;
}

/// A pooler refuses by itself, with one code for every reason, and in its own words.
#[tokio::test]
async fn a_missing_database_and_a_wrong_password_are_named_behind_a_pooler_too() {
    let bouncer = PgBouncer::start_strict(crate::postgres_server::url());
    let url = |role: &str, database: &str| url_with(&bouncer.url("postgres"), role, database);
    let words = ["no such database", "change the name in the URL"];
    refused(builder(), &url("postgres:right", "shop"), Backend, &words).await;
    for role in ["postgres:hunter2", "nobody:hunter2"] {
        let words = ["does not accept the role", "password authentication failed"];
        refused(builder(), &url(role, "postgres"), Backend, &words).await;
    }
    builder().connect(&url("postgres:right", "postgres")).await.unwrap();
}

#[tokio::test]
async fn a_pool_of_the_application_that_is_used_up_is_named() {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(1));
    let pool = pool.connect(crate::postgres_server::url()).await.unwrap();
    let _only_one = pool.acquire().await.unwrap();
    let error = builder().open_pool(pool).await.unwrap_err();
    assert_eq!(error.kind(), Unavailable);
    assert!(reason(&error).contains("raise its max_connections"), "{}", reason(&error));
}

#[tokio::test]
async fn a_standby_is_refused_until_it_is_promoted() {
    let primary = Server::start();
    let prefix = prefix();
    let builder = builder().with_prefix(&prefix);
    builder.clone().connect(&primary.url()).await.unwrap();
    let standby = primary.start_standby();
    refused(builder.clone(), &standby.url(), Unavailable, &["standby", "primary"]).await;
    standby.promote();
    builder.connect(&standby.url()).await.unwrap();
}

#[tokio::test]
async fn an_encoding_that_cannot_hold_every_text_is_refused() {
    let mut server = connect(crate::postgres_server::url()).await;
    for (encoding, locale) in [("LATIN1", "C"), ("WIN1252", "C"), ("EUC_JP", "C")] {
        let database = format!("{}db", prefix());
        let create = format!(
            "CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE '{locale}' LC_CTYPE '{locale}'"
        );
        execute(&mut server, &create).await;
        let url = url_with(crate::postgres_server::url(), "postgres", &database);
        refused(builder(), &url, Backend, &[encoding, "UTF8"]).await;
    }
}

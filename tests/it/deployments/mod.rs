//! PostgreSQL as people run it: behind PgBouncer, with a restricted role, in any schema, encoding and
//! isolation level, and with errors that say what to change.

mod connections;
mod editions;
mod pooler;
mod settings;
mod silence;
mod start;

use std::error::Error as _;
use std::time::Duration;

use hookwire::StoreError;
use hookwire::sqlx::postgres::PgConnection;
use hookwire::sqlx::{self, AssertSqlSafe, Connection as _, Row as _};
use hookwire::store::postgres::{PostgresStore, PostgresStoreBuilder};

use crate::postgres_server::{self, prefix};

fn builder() -> PostgresStoreBuilder {
    PostgresStore::builder().with_prefix(prefix()).with_connections(4).with_caller_time()
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// The first column of the first row. Nothing is prepared for it.
async fn text(connection: &mut PgConnection, sql: &str) -> String {
    let row = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap();
    row.try_get_unchecked(0).unwrap()
}

/// Waits until as many statements of this prefix's store run as `expected`.
async fn until_running(prefix: &str, expected: i64) {
    let mut watcher = connect(postgres_server::url()).await;
    let running = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%{prefix}%' \
         AND pid <> pg_backend_pid()"
    );
    let watch = async {
        while text(&mut watcher, &running).await != expected.to_string() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), watch).await.expect("other statements run");
}

/// The sentence of an error, with its causes.
fn reason(error: &StoreError) -> String {
    let mut reasons = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        reasons.push(error.to_string());
        cause = error.source();
    }
    reasons.join(": ")
}

/// The URL of another database or role of the same server.
fn url_with(url: &str, role: &str, database: &str) -> String {
    let (_, place) = url.split_once('@').unwrap();
    let (place, _) = place.split_once('/').unwrap();
    format!("postgres://{role}@{place}/{database}")
}

//! What may go wrong with a store or a dispatcher, on SQLite and PostgreSQL, with real files, servers and sockets.
//!
//! After each fault [`accounted_for`] asks the same: every accepted event was delivered or is visibly dead, nothing is pending
//! for ever, each attempt is in the log once, and whatever an endpoint got twice was the same event in the same bytes.

mod database;
mod disk;
mod proxy;
mod rows;
mod workers;

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{DeadReason, DeliveryState, EventId, Judgement, Store, Subscription};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::endpoint::Endpoint;
use crate::engine::Stage;
use crate::postgres_server;
use crate::watched_store::Watched;

use hookwire::sqlx;

/// Writes each test for each database.
macro_rules! on_both_databases {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::faults::Site::sqlite().await).await;
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(crate::faults::Site::postgres().await).await;
            })*
        }
    };
}
use on_both_databases;

/// A stage whose store meets trouble as told, on a database that others reach too.
struct Site<S> {
    stage: Stage<Watched<S>>,
    database: Database,
}

impl Site<SqliteStore> {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("hooks.db"));
        Self::on(database, folder).await
    }
}

impl Site<PostgresStore> {
    async fn postgres() -> Self {
        let (url, prefix) = (postgres_server::url().to_owned(), postgres_server::prefix());
        Self::on(Database::Postgres { url, prefix }, ()).await
    }
}

impl<S: Opens> Site<S> {
    async fn on(database: Database, keep: impl Send + Sync + 'static) -> Self {
        let store = Watched::new(std::sync::Arc::new(S::on_database(&database).await));
        Self { stage: Stage::on(store, keep), database }
    }
}

impl<S> Deref for Site<S> {
    type Target = Stage<Watched<S>>;

    fn deref(&self) -> &Self::Target {
        &self.stage
    }
}

impl<S> DerefMut for Site<S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.stage
    }
}

/// A store as another process would open it.
trait Opens: Store + Sized + 'static {
    fn on_database(database: &Database) -> impl Future<Output = Self> + Send;
}

impl Opens for SqliteStore {
    async fn on_database(database: &Database) -> Self {
        let Database::Sqlite(path) = database else { panic!("not a SQLite database") };
        Self::open(path).await.unwrap()
    }
}

/// On the caller's time.
impl Opens for PostgresStore {
    async fn on_database(database: &Database) -> Self {
        let Database::Postgres { url, prefix } = database else { panic!("not a PostgreSQL database") };
        let builder = Self::builder().with_prefix(prefix).with_connections(4).with_caller_time();
        builder.connect(url).await.unwrap()
    }
}

/// Where a store's tables are.
#[derive(Clone)]
enum Database {
    Sqlite(PathBuf),
    Postgres { url: String, prefix: String },
}

impl Database {
    /// Does to the tables what no store would; `{p}` is what their names begin with.
    async fn tamper(&self, sql: &str) {
        match self {
            Self::Sqlite(path) => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                connection.execute(AssertSqlSafe(sql.replace("{p}", "hookwire_"))).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Postgres { url, prefix } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                connection.execute(AssertSqlSafe(sql.replace("{p}", prefix))).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    /// An id as a literal.
    fn id(&self, id: u128) -> String {
        match self {
            Self::Sqlite(_) => format!("X'{id:032x}'"),
            Self::Postgres { .. } => format!("'{}'", uuid_text(id)),
        }
    }
}

fn uuid_text(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Every accepted event was delivered to this subscription's endpoint or is visibly dead, and nothing is pending.
async fn accounted_for<S: Store + 'static>(
    stage: &Stage<S>,
    subscription: &Subscription,
    endpoint: &Endpoint,
    accepted: &[EventId],
) {
    let copies = copies(endpoint);
    let deliveries = stage.deliveries(subscription).await;
    for event in accepted {
        assert!(deliveries.iter().any(|delivery| delivery.event == *event), "{event} has no delivery");
    }
    for delivery in deliveries {
        let event = &delivery.event;
        assert!(accepted.contains(event), "{event} was never accepted");
        let attempts = stage.store.attempts(delivery.id).await.unwrap();
        let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, (1..=delivery.attempts).collect::<Vec<_>>(), "each attempt is in the log once");
        let last = attempts.last().map(|attempt| stage.contract.judge(&attempt.outcome));
        match delivery.state {
            DeliveryState::Delivered => {
                assert_eq!(last, Some(Judgement::Success), "{event}");
                assert!(copies.contains_key(event.as_str()), "{event} is told as delivered and never came");
            }
            DeliveryState::Dead(DeadReason::Cancelled | DeadReason::Replayed) => {}
            DeliveryState::Dead(reason) => {
                assert!(
                    last.is_some_and(|last| last != Judgement::Success),
                    "{event} is {reason:?} without cause"
                );
            }
            state => panic!("{event} is left {state:?}"),
        }
    }
    assert!(
        copies.keys().all(|id| accepted.iter().any(|event| event.as_str() == id)),
        "only what was accepted"
    );
}

/// How often an endpoint got each event; the same event in the same bytes each time.
fn copies(endpoint: &Endpoint) -> HashMap<String, usize> {
    let mut seen: HashMap<String, (usize, bytes::Bytes)> = HashMap::new();
    for (headers, body) in endpoint.requests().iter() {
        let envelope: serde_json::Value = serde_json::from_slice(body).unwrap();
        let id = envelope["id"].as_str().unwrap().to_owned();
        assert!(
            headers.values().any(|value| value.as_bytes() == id.as_bytes()),
            "{headers:?} name another event"
        );
        let (times, first) = seen.entry(id).or_insert_with(|| (0, body.clone()));
        *times += 1;
        assert_eq!(first, body, "duplicates are the same bytes");
    }
    seen.into_iter().map(|(id, (times, _))| (id, times)).collect()
}

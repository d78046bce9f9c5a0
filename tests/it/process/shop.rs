//! [`Shop`]: an application with a table of its own, in the same database as the store.

use std::error::Error as StdError;
use std::str::FromStr as _;
use std::time::Duration;

use hookwire::allison::ContactCreated;
use hookwire::dispatch::{Emitted, Outbox, Routing};
use hookwire::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use hookwire::sqlx::{self, Row as _};
use hookwire::store::sqlite::SqliteStore;
use hookwire::{Envelope, TransactionalStore};
#[cfg(feature = "postgres")]
use hookwire::{sqlx::PgPool, store::postgres::PostgresStore};

use super::child::ORGANIZATION;
use super::told::Told;
use crate::stores::Whole;

pub(super) type Fault = Box<dyn StdError + Send + Sync>;

/// An application that writes an order and its event in one transaction.
pub(super) trait Shop: Clone + Send + Sync + 'static {
    type Store: TransactionalStore + Whole + Clone;

    const NAME: &'static str;

    /// Opens the database and creates missing tables.
    fn open(url: &str) -> impl Future<Output = Result<Self, Fault>> + Send;

    fn store(&self) -> &Self::Store;

    /// Writes an order, named by its event's id, and the event, then ends the transaction as `end` says.
    fn order(
        &self,
        outbox: &Outbox<Told<Self::Store>>,
        envelope: &Envelope<ContactCreated>,
        routing: Routing,
        end: End,
    ) -> impl Future<Output = Result<Emitted, Fault>> + Send;

    /// The ids of all orders.
    fn orders(&self) -> impl Future<Output = Vec<String>> + Send;

    /// Lets the database check itself for damage.
    fn check(&self) -> impl Future<Output = ()> + Send;
}

/// The end of a transaction.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    Commit,
    RollBack,
    /// The application drops it.
    Drop,
}

#[derive(Clone)]
pub(super) struct SqliteShop {
    store: SqliteStore,
    pool: SqlitePool,
}

impl Shop for SqliteShop {
    type Store = SqliteStore;

    const NAME: &'static str = "sqlite";

    async fn open(url: &str) -> Result<Self, Fault> {
        let options =
            SqliteConnectOptions::from_str(url)?.journal_mode(SqliteJournalMode::Wal).busy_timeout(PATIENCE);
        let path = options.get_filename().to_owned();
        let store = SqliteStore::builder().with_busy_timeout(PATIENCE).open(path).await?;
        let pool = SqlitePool::connect_with(options).await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY) STRICT").execute(&pool).await?;
        Ok(Self { store, pool })
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn order(
        &self,
        outbox: &Outbox<Told<SqliteStore>>,
        envelope: &Envelope<ContactCreated>,
        routing: Routing,
        end: End,
    ) -> Result<Emitted, Fault> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let insert = sqlx::query("INSERT INTO orders (id) VALUES (?1)").bind(envelope.id.as_str());
        insert.execute(&mut *transaction).await?;
        let emitted = outbox.emit_in_with(&mut transaction, ORGANIZATION, envelope, routing).await?;
        match end {
            End::Commit => transaction.commit().await?,
            End::RollBack => transaction.rollback().await?,
            End::Drop => drop(transaction),
        }
        Ok(emitted)
    }

    async fn orders(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT id FROM orders").fetch_all(&self.pool).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn check(&self) {
        let rows = sqlx::query("PRAGMA integrity_check").fetch_all(&self.pool).await.unwrap();
        let told: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(told, ["ok"]);
    }
}

/// The same on PostgreSQL, where two processes may create the table at once and no process waits for a file's
/// lock.
#[cfg(feature = "postgres")]
#[derive(Clone)]
pub(super) struct PostgresShop {
    store: PostgresStore,
    pool: PgPool,
}

#[cfg(feature = "postgres")]
impl Shop for PostgresShop {
    type Store = PostgresStore;

    const NAME: &'static str = "postgres";

    async fn open(url: &str) -> Result<Self, Fault> {
        let store = PostgresStore::builder().with_acquire_timeout(PATIENCE).connect(url).await?;
        let pool = PgPool::connect(url).await?;
        let mut transaction = pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(1)").execute(&mut *transaction).await?;
        let create = sqlx::query("CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY)");
        create.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Self { store, pool })
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn order(
        &self,
        outbox: &Outbox<Told<PostgresStore>>,
        envelope: &Envelope<ContactCreated>,
        routing: Routing,
        end: End,
    ) -> Result<Emitted, Fault> {
        let mut transaction = self.pool.begin().await?;
        let insert = sqlx::query("INSERT INTO orders (id) VALUES ($1)").bind(envelope.id.as_str());
        insert.execute(&mut *transaction).await?;
        let emitted = outbox.emit_in_with(&mut transaction, ORGANIZATION, envelope, routing).await?;
        match end {
            End::Commit => transaction.commit().await?,
            End::RollBack => transaction.rollback().await?,
            End::Drop => drop(transaction),
        }
        Ok(emitted)
    }

    async fn orders(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT id FROM orders").fetch_all(&self.pool).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn check(&self) {
        sqlx::query("CREATE EXTENSION IF NOT EXISTS amcheck").execute(&self.pool).await.unwrap();
        // Checks that every index is in order, and that every row of its table has an entry.
        let check = "SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid \
                     JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relpersistence = 'p' AND i.indisvalid";
        sqlx::query(check).execute(&self.pool).await.unwrap();
    }
}

/// Longer than another process is stopped while it holds the database's lock.
const PATIENCE: Duration = Duration::from_secs(30);

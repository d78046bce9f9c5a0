//! [`Book`]: an application with a table of handled events, in the same database as the store.

use std::str::FromStr as _;
use std::time::Duration;

use hookwire::Intake;
use hookwire::receive::Receipt;
use hookwire::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use hookwire::sqlx::{self, Row as _};
use hookwire::store::TransactionalInbox;
use hookwire::store::sqlite::SqliteStore;
#[cfg(feature = "postgres")]
use hookwire::{sqlx::PgPool, store::postgres::PostgresStore};
use time::OffsetDateTime;

use super::super::shop::Fault;

/// An application that writes a row for each event that it handles. The table may have several rows for an
/// event.
pub(super) trait Book: Clone + Send + Sync + 'static {
    type Store: TransactionalInbox + Intake + Clone + 'static;

    const NAME: &'static str;

    /// Opens the database and creates missing tables.
    fn open(url: &str) -> impl Future<Output = Result<Self, Fault>> + Send;

    fn store(&self) -> &Self::Store;

    /// Writes the row and commits the event in one transaction, with a pause before each step. Returns
    /// `false` if another process has taken the event over; then nothing is written.
    fn handle_and_commit(
        &self,
        event: &str,
        by: &str,
        receipt: Receipt<'static, Self::Store>,
        rest: Duration,
    ) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// Writes the row.
    fn handle(&self, event: &str, by: &str) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Every row: the event, and the process that handled it.
    fn rows(&self) -> impl Future<Output = Vec<(String, String)>> + Send;
}

#[derive(Clone)]
pub(super) struct SqliteBook {
    store: SqliteStore,
    pool: SqlitePool,
}

impl Book for SqliteBook {
    type Store = SqliteStore;

    const NAME: &'static str = "sqlite";

    async fn open(url: &str) -> Result<Self, Fault> {
        let options =
            SqliteConnectOptions::from_str(url)?.journal_mode(SqliteJournalMode::Wal).busy_timeout(PATIENCE);
        let path = options.get_filename().to_owned();
        let store = SqliteStore::builder().with_busy_timeout(PATIENCE).open(path).await?;
        let pool = SqlitePool::connect_with(options).await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS handled (event TEXT NOT NULL, run TEXT NOT NULL) STRICT")
            .execute(&pool)
            .await?;
        Ok(Self { store, pool })
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn handle_and_commit(
        &self,
        event: &str,
        by: &str,
        receipt: Receipt<'static, SqliteStore>,
        rest: Duration,
    ) -> Result<bool, Fault> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let insert = sqlx::query("INSERT INTO handled (event, run) VALUES (?1, ?2)").bind(event).bind(by);
        insert.execute(&mut *transaction).await?;
        tokio::time::sleep(rest).await;
        if !receipt.commit_in(&mut transaction, OffsetDateTime::now_utc()).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        tokio::time::sleep(rest).await;
        transaction.commit().await?;
        Ok(true)
    }

    async fn handle(&self, event: &str, by: &str) -> Result<(), Fault> {
        let insert = sqlx::query("INSERT INTO handled (event, run) VALUES (?1, ?2)").bind(event).bind(by);
        insert.execute(&self.pool).await?;
        Ok(())
    }

    async fn rows(&self) -> Vec<(String, String)> {
        let rows = sqlx::query("SELECT event, run FROM handled").fetch_all(&self.pool).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// The same on PostgreSQL, where two processes may create the table at once and no process waits for a file's
/// lock.
#[cfg(feature = "postgres")]
#[derive(Clone)]
pub(super) struct PostgresBook {
    store: PostgresStore,
    pool: PgPool,
}

#[cfg(feature = "postgres")]
impl Book for PostgresBook {
    type Store = PostgresStore;

    const NAME: &'static str = "postgres";

    async fn open(url: &str) -> Result<Self, Fault> {
        let store = PostgresStore::builder().with_acquire_timeout(PATIENCE).connect(url).await?;
        let pool = PgPool::connect(url).await?;
        let mut transaction = pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock(1)").execute(&mut *transaction).await?;
        sqlx::query("CREATE TABLE IF NOT EXISTS handled (event text NOT NULL, run text NOT NULL)")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Self { store, pool })
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn handle_and_commit(
        &self,
        event: &str,
        by: &str,
        receipt: Receipt<'static, PostgresStore>,
        rest: Duration,
    ) -> Result<bool, Fault> {
        let mut transaction = self.pool.begin().await?;
        let insert = sqlx::query("INSERT INTO handled (event, run) VALUES ($1, $2)").bind(event).bind(by);
        insert.execute(&mut *transaction).await?;
        tokio::time::sleep(rest).await;
        if !receipt.commit_in(&mut transaction, OffsetDateTime::now_utc()).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        tokio::time::sleep(rest).await;
        transaction.commit().await?;
        Ok(true)
    }

    async fn handle(&self, event: &str, by: &str) -> Result<(), Fault> {
        let insert = sqlx::query("INSERT INTO handled (event, run) VALUES ($1, $2)").bind(event).bind(by);
        insert.execute(&self.pool).await?;
        Ok(())
    }

    async fn rows(&self) -> Vec<(String, String)> {
        let rows = sqlx::query("SELECT event, run FROM handled").fetch_all(&self.pool).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

/// Longer than any process holds the file's lock.
const PATIENCE: Duration = Duration::from_secs(30);

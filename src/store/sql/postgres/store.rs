//! [`PostgresStore`]: the type, and how it runs a statement.

use std::fmt;
use std::sync::{Arc, Mutex};

use sqlx::SqlStr;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use time::OffsetDateTime;

use super::connections::Connections;
use super::errors::failed;
use super::insert_queue::InsertQueue;
use super::session::PoolMode;
use super::statements::Statements;
use super::values::{DIALECT, query};
use crate::store::built_in::PollCursors;
use crate::store::sql::columns::{bounded, corrupt};
use crate::store::sql::database::Database;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::statements::Shared as CommonStatements;
use crate::store::sql::value::Value;
use crate::store::{StoreError, StoreId};

/// Subscriptions, events, deliveries and attempts in a PostgreSQL database, with an [`Inbox`](crate::Inbox)
/// and an [`Intake`](crate::Intake).
///
/// A clone is the same store. Instants and durations are stored in microseconds. An organization, an inbox's
/// source and an intake's queue have at most 1,000 bytes and no NUL.
///
/// ```no_run
/// use hookwire::store::postgres::PostgresStore;
///
/// # async fn open() -> Result<(), hookwire::StoreError> {
/// let store = PostgresStore::connect("postgres://crm@db.internal/crm").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) id: StoreId,
    pub(super) sql: Statements,
    /// The statements that every SQL store runs.
    pub(super) common: CommonStatements,
    pub(super) connections: Connections,
    /// How a pooler lends out the sessions of the application's own connections.
    pub(super) application_pool_mode: PoolMode,
    /// Whether due times and leases go by the caller's time, for tests and simulations.
    pub(super) caller_time: bool,
    pub(super) inserts: InsertQueue,
    pub(super) cursors: Mutex<PollCursors>,
    /// The channel on which processes notify each other.
    pub(super) channel: String,
    /// The payload of this process's notifications, by which it ignores its own.
    pub(super) tag: String,
}

impl PostgresStore {
    /// Closes the store's connections after the statements that are running. Clones of this store are closed
    /// as well.
    ///
    /// If the store was opened on a pool of the application, that pool is closed.
    pub async fn close(&self) {
        self.shared.connections.close().await;
    }

    /// The caller's time where the store goes by it, or `None` where it goes by the database's clock.
    pub(super) fn caller(&self, now: OffsetDateTime) -> Option<i64> {
        self.shared.caller_time.then(|| bounded(now))
    }

    pub(super) async fn rows(
        &self,
        query: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.shared.connections.rows(query).await
    }

    pub(super) async fn one(
        &self,
        query: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
    ) -> Result<PgRow, StoreError> {
        self.rows(query).await?.pop().ok_or_else(|| corrupt("a statement that returns a row returned none"))
    }
}

impl PostgresStore {
    /// Runs a statement on a connection of the application. Where sessions are shared, it is not prepared
    /// under a name, which another client's statement might have.
    pub(super) async fn rows_on(
        &self,
        connection: &mut PgConnection,
        query: Query<'static, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let Shared { connections, application_pool_mode, .. } = &*self.shared;
        let query = query.persistent(connections.may_prepare_for_application(*application_pool_mode));
        query.fetch_all(connection).await.map_err(failed)
    }
}

impl Database for PostgresStore {
    type Row = PgRow;

    fn shared(&self) -> &CommonStatements {
        &self.shared.common
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn time(&self, now: OffsetDateTime) -> Option<i64> {
        self.caller(now)
    }

    async fn read(&self, statement: &SqlStr, values: &[Value<'_>]) -> Result<Vec<PgRow>, StoreError> {
        self.rows(|| query(statement, values)).await
    }

    // Each statement is a transaction of its own.
    async fn change(&self, statement: &SqlStr, values: &[Value<'_>]) -> Result<Vec<PgRow>, StoreError> {
        self.rows(|| query(statement, values)).await
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("channel", &self.shared.channel)
            .field("caller_time", &self.shared.caller_time)
            .field("connections", &self.shared.connections)
            .finish_non_exhaustive()
    }
}

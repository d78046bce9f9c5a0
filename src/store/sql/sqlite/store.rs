//! [`SqliteStore`]: the type, and how it runs a statement.

use std::sync::{Arc, Mutex};

use sqlx::SqlStr;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use time::OffsetDateTime;

use super::clock::Clocks;
use super::error::failed;
use super::rows::{DIALECT, query};
use super::statements::{OWN_WORDING, Statements};
use super::writer::Writer;
use crate::store::built_in::PollCursors;
use crate::store::sql::columns::bounded;
use crate::store::sql::database::Database;
use crate::store::sql::dialect::Dialect;
use crate::store::sql::statements::Shared;
use crate::store::sql::tables::Prefix;
use crate::store::sql::value::Value;
use crate::store::{StoreError, StoreId};

/// Subscriptions, events, deliveries and attempts in a SQLite file, with an [`Inbox`](crate::Inbox) and an
/// [`Intake`](crate::Intake).
///
/// A clone is the same store. Instants and durations are stored in microseconds. It needs SQLite 3.51, which
/// the feature brings along unless another crate of the program has an older one linked.
///
/// ```no_run
/// use hookwire::store::sqlite::SqliteStore;
///
/// # async fn open() -> Result<(), hookwire::StoreError> {
/// let store = SqliteStore::open("hooks.db").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteStore {
    pub(super) id: StoreId,
    pub(super) sql: Arc<Statements>,
    /// The statements that every SQL store runs.
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Arc<Writer>,
    pub(super) readers: SqlitePool,
    pub(super) cursors: Arc<Mutex<PollCursors>>,
    pub(super) clocks: Clocks,
}

impl SqliteStore {
    /// Makes a store whose writer is made by `writer`.
    pub(super) fn new(
        prefix: &Prefix,
        readers: SqlitePool,
        writer: impl FnOnce(Arc<Statements>) -> Result<Arc<Writer>, StoreError>,
    ) -> Result<Self, StoreError> {
        let sql = Arc::new(Statements::new(&DIALECT, prefix));
        let shared = Arc::new(Shared::new(&DIALECT, prefix, OWN_WORDING));
        let writer = writer(Arc::clone(&sql))?;
        let (id, cursors, clocks) = (StoreId::unique(), Arc::default(), Clocks::default());
        Ok(Self { id, sql, shared, writer, readers, cursors, clocks })
    }

    /// Closes the store's connections after the statements that are running. Clones of this store are closed
    /// as well.
    ///
    /// If the store was opened on a pool of the application, that pool is closed.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl Database for SqliteStore {
    type Row = SqliteRow;

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn time(&self, now: OffsetDateTime) -> Option<i64> {
        Some(bounded(now))
    }

    async fn read(&self, statement: &SqlStr, values: &[Value<'_>]) -> Result<Vec<SqliteRow>, StoreError> {
        query(statement, values).fetch_all(&self.readers).await.map_err(failed)
    }

    async fn change(&self, statement: &SqlStr, values: &[Value<'_>]) -> Result<Vec<SqliteRow>, StoreError> {
        let mut writing = self.writer.begin().await?;
        let changed = query(statement, values).fetch_all(writing.connection()).await.map_err(failed)?;
        writing.commit().await?;
        Ok(changed)
    }
}

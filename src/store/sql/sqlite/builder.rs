//! [`SqliteStoreBuilder`]: the settings of a store, and how it is opened.

use std::path::Path;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::time::{Instant, sleep};

use super::error::{failed, is_busy, is_too_old};
use super::native::DatabaseFile;
use super::schema::{self, parse_prefix};
use super::store::SqliteStore;
use super::writer::Writer;
use crate::store::sql::tables::Prefix;
use crate::store::{StoreError, StoreErrorKind};

impl SqliteStore {
    /// Opens the database file at this path, and creates the file and the tables if they do not exist.
    ///
    /// For other settings, see [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`SqliteStoreBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder().open(path).await
    }

    /// Returns a builder for a store with other settings than those of [`open`](Self::open).
    pub fn builder() -> SqliteStoreBuilder {
        SqliteStoreBuilder::default()
    }

    /// Returns the statements that create the tables whose names begin with `prefix`.
    ///
    /// Read them, or apply them by hand. A store that finds them applied creates nothing.
    ///
    /// ```
    /// use hookwire::store::sqlite::SqliteStore;
    ///
    /// assert!(SqliteStore::schema_sql("crm_hooks_")?.contains("CREATE TABLE crm_hooks_pending"));
    /// # Ok::<(), hookwire::StoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Backend`] when `prefix` is not an identifier.
    pub fn schema_sql(prefix: &str) -> Result<String, StoreError> {
        Ok(schema::script(&parse_prefix(prefix)?))
    }
}

/// The settings of a [`SqliteStore`].
///
/// ```no_run
/// use hookwire::store::sqlite::SqliteStore;
///
/// # async fn open() -> Result<(), hookwire::StoreError> {
/// let store = SqliteStore::builder().with_prefix("crm_hooks_").open("crm.db").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteStoreBuilder {
    prefix: String,
    synchronous: SqliteSynchronous,
    busy_timeout: Duration,
    readers: u32,
}

impl Default for SqliteStoreBuilder {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            synchronous: SqliteSynchronous::Full,
            busy_timeout: DEFAULT_BUSY_TIMEOUT,
            readers: DEFAULT_READERS,
        }
    }
}

impl SqliteStoreBuilder {
    /// Sets how the names of the tables begin: letters, digits and underscores, at most 40. Default
    /// `hookwire_`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets when SQLite waits for the disk. Default [`Full`](SqliteSynchronous::Full).
    ///
    /// With [`Normal`](SqliteSynchronous::Normal), a power cut may undo the last commits, and with them
    /// events that were accepted.
    #[must_use]
    pub fn with_synchronous(mut self, synchronous: SqliteSynchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Sets how long a call waits for other writers before it fails as unavailable. Default 5 s.
    #[must_use]
    pub fn with_busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Sets how many connections read at once; at least one. Default 4.
    #[must_use]
    pub fn with_readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Opens the database file at this path, and creates the file and the tables if they do not exist.
    ///
    /// The file is put into WAL mode.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] when the file cannot be opened or is locked;
    /// [`StoreErrorKind::Schema`] when its tables need newer code; [`StoreErrorKind::Backend`] when the
    /// prefix is not an identifier, when the linked SQLite is too old, and for `:memory:`, which is private
    /// to one connection.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        let prefix = parse_prefix(&self.prefix)?;
        let path = path.as_ref().to_owned();
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            .busy_timeout(self.busy_timeout)
            .pragma("temp_store", "MEMORY");
        // A file does not disconnect, so connections are not tested before use.
        let pool =
            || SqlitePoolOptions::new().test_before_acquire(false).idle_timeout(None).max_lifetime(None);
        let began = Instant::now();
        let writers = loop {
            match pool().max_connections(1).connect_with(options.clone()).await {
                // SQLite does not wait for another connection that is putting the same new file into WAL
                // mode.
                Err(error) if is_busy(&error) && began.elapsed() < self.busy_timeout => {
                    sleep(OPEN_AGAIN).await;
                }
                connected => break connected.map_err(failed)?,
            }
        };
        prepare(&writers, &prefix).await?;
        // Connections are opened later, too, when the working directory may be another one. A URI stays as
        // it is.
        let path = std::fs::canonicalize(&path).unwrap_or(path);
        let options = options.filename(&path).create_if_missing(false);
        writers.set_connect_options(options.clone());
        let options = options.pragma("query_only", "ON");
        let readers = pool().max_connections(self.readers).connect_lazy_with(options);
        let file = DatabaseFile { path, synchronous: self.synchronous, busy_timeout: self.busy_timeout };
        SqliteStore::new(&prefix, readers, |sql| Writer::on_thread(sql, writers, self.busy_timeout, file))
    }

    /// Opens a store on a pool of the application. The pool's settings are left as they are, so
    /// [`with_synchronous`](Self::with_synchronous) and [`with_readers`](Self::with_readers) have no effect.
    ///
    /// Use WAL mode. Without it, readers and writers wait for each other. A store that [`open`](Self::open)
    /// opens is faster: it writes on a thread of its own, without the pool's thread switches.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_pool(self, pool: SqlitePool) -> Result<SqliteStore, StoreError> {
        let prefix = parse_prefix(&self.prefix)?;
        prepare(&pool, &prefix).await?;
        SqliteStore::new(&prefix, pool.clone(), |sql| Ok(Writer::on_pool(sql, pool, self.busy_timeout)))
    }
}

async fn prepare(pool: &SqlitePool, prefix: &Prefix) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await.map_err(failed)?;
    let file: Option<String> = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    if file.is_none_or(|file| file.is_empty()) {
        return Err(StoreError::new(
            StoreErrorKind::Backend,
            "database is in memory and private to one connection, expected a file (in a temporary directory for tests)",
        ));
    }
    // Another crate of the program may pin an older SQLite, or link the system's.
    match sqlx::query("SELECT count(*) FROM jsonb_each('[]')").fetch_one(&mut *connection).await {
        Ok(_) => schema::migrate(&mut connection, prefix).await,
        Err(error) if is_too_old(&error) => Err(StoreError::new(
            StoreErrorKind::Backend,
            "linked SQLite is too old, expected 3.51 or later, as feature `sqlite` brings it along",
        )),
        Err(error) => Err(failed(error)),
    }
}

const DEFAULT_PREFIX: &str = "hookwire_";
const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_READERS: u32 = 4;
const OPEN_AGAIN: Duration = Duration::from_millis(5);

//! [`PostgresStoreBuilder`]: the settings of a [`PostgresStore`], and how one is opened.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool};

use super::connections::Connections;
use super::insert_queue::InsertQueue;
use super::pool::Identity;
use super::refusal::options_of;
use super::schema::{self, parse_prefix};
use super::session::PoolMode;
use super::statements::{OWN_WORDING, Statements};
use super::store::{PostgresStore, Shared};
use super::values::DIALECT;
use crate::store::sql::statements::Shared as CommonStatements;
use crate::store::sql::tables::Prefix;
use crate::store::{StoreError, StoreErrorKind, StoreId};

impl PostgresStore {
    /// Connects to the database at this URL, and creates the tables if they do not exist.
    ///
    /// For other settings, see [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// As [`PostgresStoreBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder().connect(url).await
    }

    /// Returns the settings of [`connect`](Self::connect), to be changed.
    pub fn builder() -> PostgresStoreBuilder {
        PostgresStoreBuilder::default()
    }

    /// Returns the statements that create the tables and functions whose names begin with `prefix`.
    ///
    /// Read them, or apply them by hand: in one transaction, and in the schema that comes first in the search
    /// path. A store that finds them applied creates nothing, and needs the rights to read and write the
    /// tables only.
    ///
    /// ```
    /// use hookwire::store::postgres::PostgresStore;
    ///
    /// assert!(PostgresStore::schema_sql("crm_hooks_")?.contains("CREATE TABLE crm_hooks_deliveries"));
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

/// The settings of a [`PostgresStore`].
///
/// ```no_run
/// use hookwire::store::postgres::PostgresStore;
///
/// # async fn open(pool: hookwire::sqlx::PgPool) -> Result<(), hookwire::StoreError> {
/// let store = PostgresStore::builder().with_prefix("crm_hooks_").open_pool(pool).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresStoreBuilder {
    prefix: String,
    schema: Option<String>,
    pool_mode: PoolMode,
    application_pool_mode: PoolMode,
    connections: u32,
    acquire_timeout: Duration,
    call_timeout: Duration,
    caller_time: bool,
}

impl Default for PostgresStoreBuilder {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            schema: None,
            pool_mode: PoolMode::Detect,
            application_pool_mode: PoolMode::Detect,
            connections: DEFAULT_CONNECTIONS,
            acquire_timeout: DEFAULT_ACQUIRE_TIMEOUT,
            call_timeout: DEFAULT_CALL_TIMEOUT,
            caller_time: false,
        }
    }
}

impl PostgresStoreBuilder {
    /// Sets how the names of the tables begin: letters, digits and underscores, at most 30. Default
    /// `hookwire_`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the schema of the tables, which has to exist. By default they are where the search path finds
    /// them, or else in its first schema.
    ///
    /// Name the schema if the search path differs between roles, or if a pooler lends out sessions whose
    /// search path another client has changed. The name is taken as it is, upper case included.
    #[must_use]
    pub fn with_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Sets how a pooler between the store and the database lends out sessions. By default the store finds
    /// out when it is opened.
    #[must_use]
    pub fn with_pool_mode(mut self, mode: PoolMode) -> Self {
        self.pool_mode = mode;
        self
    }

    /// Sets how a pooler between the application's own connections and the database lends out sessions: those
    /// that [`emit_in`](crate::dispatch::Outbox::emit_in) and
    /// [`TransactionalInbox`](crate::store::TransactionalInbox) get. By default it is as on the store's
    /// connections.
    ///
    /// Say [`PoolMode::Transaction`] if the application goes through a pooler and the store past it. Then
    /// nothing is prepared under a name on the application's connections, and each statement takes two round
    /// trips instead of one. Without that, statements clash with those of other clients, and the
    /// application's transactions fail.
    #[must_use]
    pub fn with_application_pool_mode(mut self, mode: PoolMode) -> Self {
        self.application_pool_mode = mode;
        self
    }

    /// Sets how many connections the store opens at most; at least one. Default 10.
    ///
    /// If the server allows fewer, the store works with those that it gets, and tries one more every 10 s.
    #[must_use]
    pub fn with_connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// Sets how long a call waits for a connection before it fails as unavailable. Default 5 s.
    #[must_use]
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets how long a call waits for the database's answer before it fails as unavailable. Default 30 s.
    /// Each step by which the store is opened has as long: finding the tables, waiting for another process
    /// that creates them, and creating them.
    ///
    /// The database may have carried the call out all the same. For repeating it, see
    /// [`StoreError::is_retryable`]. A statement that still runs is cancelled on the server. Only on a
    /// [pool of the application](Self::open_pool) whose transactions are `READ COMMITTED` it goes on: set
    /// `statement_timeout` there.
    #[must_use]
    pub fn with_call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets that the store goes by its caller's time and not by the database's clock, for tests and
    /// simulations.
    #[must_use]
    pub fn with_caller_time(mut self) -> Self {
        self.caller_time = true;
        self
    }

    /// Connects to the database at this URL, and creates the tables if they do not exist.
    ///
    /// # Errors
    ///
    /// The cause of an error ([`source`](std::error::Error::source)) says what to change.
    ///
    /// - [`StoreErrorKind::Unavailable`] when no server that can be written to is reached within the
    ///   [time-out](Self::with_acquire_timeout), when it has no connection left, and when it does not answer
    ///   a statement within the [time of a call](Self::with_call_timeout).
    /// - [`StoreErrorKind::Schema`] when the tables need newer code, when the schema for them does not exist,
    ///   and when it was renamed and the role does not own the functions in it.
    /// - [`StoreErrorKind::Backend`] when the URL is none of PostgreSQL's, when the database, the role or a
    ///   right does not exist, when the database's encoding is neither `UTF8` nor `SQL_ASCII`, when a pooler
    ///   allows no transactions, and when the prefix is not an identifier.
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        self.connect_with(options_of(url)?).await
    }

    /// Does [`connect`](Self::connect) with options of the driver, for example for certificates.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: PgConnectOptions) -> Result<PostgresStore, StoreError> {
        let prefix = parse_prefix(&self.prefix)?;
        let connections = Connections::connect(
            options,
            self.connections,
            self.acquire_timeout,
            self.call_timeout,
            self.pool_mode,
        );
        let connections = connections.await?;
        self.open(&prefix, connections).await
    }

    /// Opens a store on a pool of the application. The pool's settings are left as they are, so
    /// [`with_connections`](Self::with_connections) and [`with_acquire_timeout`](Self::with_acquire_timeout)
    /// have no effect.
    ///
    /// If the pool's transactions are not `READ COMMITTED` by default, each call of the store takes three
    /// round trips instead of one.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn open_pool(self, pool: PgPool) -> Result<PostgresStore, StoreError> {
        let prefix = parse_prefix(&self.prefix)?;
        let connections = Connections::on(pool, self.call_timeout, self.pool_mode).await?;
        self.open(&prefix, connections).await
    }

    async fn open(self, prefix: &Prefix, connections: Connections) -> Result<PostgresStore, StoreError> {
        let mut call = connections.begin().await?.closes();
        let steps = connections.steps();
        let place = schema::migrate(call.connection(), prefix, self.schema.as_deref(), &steps).await?;
        call.give_back();
        let prefix_within = prefix.within(&place.schema);
        connections.recognize(Identity {
            sql: prefix_within.apply("SELECT identity::text AS identity FROM {p}schema"),
            identity: place.identity,
        });
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.to_string()))?;
        Ok(PostgresStore {
            shared: Arc::new(Shared {
                id: StoreId::unique(),
                sql: Statements::new(&DIALECT, &prefix_within),
                common: CommonStatements::new(&DIALECT, &prefix_within, OWN_WORDING),
                connections,
                application_pool_mode: self.application_pool_mode,
                caller_time: self.caller_time,
                inserts: InsertQueue::new(),
                cursors: Mutex::default(),
                channel: prefix.apply("{p}work"),
                tag: format!("{:032x}", u128::from_be_bytes(random)),
            }),
        })
    }
}

const DEFAULT_PREFIX: &str = "hookwire_";
const DEFAULT_CONNECTIONS: u32 = 10;
const DEFAULT_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(30);

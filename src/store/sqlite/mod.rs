//! [`SqliteStore`]: a [`Store`], an [`Inbox`](crate::Inbox) and an [`Intake`](crate::Intake) in a SQLite file.
//!
//! One store is for one machine. Several processes may open the same file, and the application may keep its own tables
//! in it: the store writes in short `BEGIN IMMEDIATE` transactions, one at a time, and waits for others that write. Events,
//! settlements and kept requests that come while one commits share the next one, so that many callers cost few commits.
//!
//! Due deliveries are indexed by subscription, so a look takes one step for each subscription and a claim reads only what it
//! takes, whatever else is due. A delivery that waits behind another of its ordering key is in no index that they read.
//!
//! Signing secrets and credentials are in the columns `secrets` and `options` of `subscriptions`, in the clear unless a key ring
//! sealed them (module `keyring`): without one, whoever can read the file, its `-wal` or a copy of it can sign. Payloads and
//! extra headers are in the clear always.
#![cfg(feature = "sqlite")]

mod history;
mod inbox;
mod intake;
mod queue;
mod records;
mod rows;
mod savepoint;
mod schema;
mod script;
mod statements;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _, SqliteConnection, SqliteExecutor};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use self::savepoint::Savepoint;
use self::schema::parse_prefix;
use self::statements::Statements;
use self::writer::Writer;
use crate::delivery::{Attempt, Delivery};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{self, Columns as _, corrupt, fault};
use crate::store::tables::Prefix;
use crate::store::{
    Claim, Claims, Inserted, Lease, Look, NewEvent, Replay, Replayed, Retention, Settled, Settlement, Store,
    StoreError, StoreErrorKind, TransactionalStore,
};
use crate::subscription::{Health, Subscription, SubscriptionStatus};

/// Subscriptions, events, deliveries and attempts in a SQLite file, and the [`Inbox`](crate::Inbox) and the
/// [`Intake`](crate::Intake) beside them.
///
/// A clone is the same store. Of instants and durations the microseconds are kept. Needs SQLite 3.51, which the feature brings along
/// unless another crate of the program has an older one linked.
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
    sql: Arc<Statements>,
    writer: Arc<Writer>,
    readers: SqlitePool,
    // The last subscription that a look listed before its limit cut it: the next one goes on behind it.
    looked_at: Arc<Lock<Vec<u8>>>,
}

impl SqliteStore {
    /// Opens the database file of this path, creating it and the tables where they are missing.
    ///
    /// [`builder`](Self::builder) has the settings.
    ///
    /// # Errors
    ///
    /// As [`SqliteStoreBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder().open(path).await
    }

    /// A store with other settings than [`open`](Self::open)'s.
    pub fn builder() -> SqliteStoreBuilder {
        SqliteStoreBuilder::default()
    }

    /// The statements that create the tables whose names begin with `prefix`, to be read or applied by hand.
    ///
    /// A store that finds them applied writes no schema itself.
    ///
    /// ```
    /// use hookwire::store::sqlite::SqliteStore;
    ///
    /// assert!(SqliteStore::schema_sql("crm_hooks_")?.contains("CREATE TABLE crm_hooks_deliveries"));
    /// # Ok::<(), hookwire::StoreError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Backend`] when `prefix` is no identifier.
    pub fn schema_sql(prefix: &str) -> Result<String, StoreError> {
        Ok(schema::script(&parse_prefix(prefix)?))
    }

    /// Closes the store's connections, after what they are doing; clones of this store are closed with it.
    ///
    /// Of a store on the application's own pool it closes that pool.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn subscriptions_by<'e>(
        &self,
        connection: impl SqliteExecutor<'e>,
        organization: &str,
    ) -> Result<Vec<Subscription>, StoreError> {
        let rows = sqlx::query(self.sql.subscriptions.clone())
            .bind(organization)
            .fetch_all(connection)
            .await
            .map_err(failed)?;
        rows.iter().map(|row| columns::subscription(row, "id")).collect::<Result<_, _>>().map_err(corrupt)
    }

    /// Adds to `look` what is ready among the subscriptions behind `from` up to `to`; `false` when the limit cut it.
    async fn look_between(
        &self,
        from: &[u8],
        to: &[u8],
        now: i64,
        limit: usize,
        look: &mut Look,
    ) -> Result<bool, StoreError> {
        let mut rows = sqlx::query(self.sql.look.clone()).bind(from).bind(to).fetch(&self.readers);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            // A subscription whose last due delivery was taken since is none that waits.
            let Some(ready_at) = row.try_get::<Option<i64>, _>("ready_at").map_err(failed)? else { continue };
            let wait = Duration::from_micros(u64::try_from(ready_at.saturating_sub(now)).unwrap_or(0));
            if wait.is_zero() && look.ready.len() < limit {
                look.ready.push(SubscriptionId::from_u128(row.uuid("id").map_err(corrupt)?));
                continue;
            }
            look.wait = Some(look.wait.map_or(wait, |least| least.min(wait)));
            if wait.is_zero() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Store for SqliteStore {
    async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        let mut writing = self.writer.begin().await?;
        records::write(&self.sql.put_subscription, writing.connection(), subscription, None).await?;
        writing.commit().await
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        let row = sqlx::query(self.sql.subscription.clone())
            .bind(rows::blob(id.as_u128()))
            .fetch_optional(&self.readers)
            .await
            .map_err(failed)?;
        row.as_ref().map(|row| columns::subscription(row, "id")).transpose().map_err(corrupt)
    }

    async fn subscriptions(&self, organization: &str) -> Result<Vec<Subscription>, StoreError> {
        self.subscriptions_by(&self.readers, organization).await
    }

    async fn subscription_ids(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        let Some(first) = columns::behind(after) else { return Ok(Vec::new()) };
        let rows = sqlx::query(self.sql.subscription_ids.clone())
            .bind(rows::blob(first))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?;
        let ids = rows.iter().map(|row| row.uuid("id").map(SubscriptionId::from_u128));
        ids.collect::<Result<_, _>>().map_err(corrupt)
    }

    async fn replace_subscription(
        &self,
        seen: &Subscription,
        subscription: &Subscription,
    ) -> Result<bool, StoreError> {
        if seen.id != subscription.id {
            return Ok(false);
        }
        let secrets = [subscription, seen].map(columns::secrets_text);
        let options = [subscription, seen].map(|written| written.options.to_storage());
        let mut query =
            sqlx::query(self.sql.replace_subscription.clone()).bind(rows::blob(subscription.id.as_u128()));
        for (written, (secrets, options)) in
            [subscription, seen].into_iter().zip(secrets.iter().zip(&options))
        {
            let (status, disabled_at) = columns::status_columns(&written.status);
            query = query
                .bind(written.organization.as_str())
                .bind(written.url.as_str())
                .bind(written.filter.to_storage())
                .bind(secrets.as_str())
                .bind(status)
                .bind(disabled_at)
                .bind(options.as_str())
                .bind(columns::micros(written.created_at));
        }
        let mut writing = self.writer.begin().await?;
        let done = query.execute(writing.connection()).await.map_err(failed)?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    async fn set_subscription_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> Result<bool, StoreError> {
        let (text, disabled_at) = columns::status_columns(status);
        let mut writing = self.writer.begin().await?;
        let done = sqlx::query(self.sql.set_status.clone())
            .bind(rows::blob(id.as_u128()))
            .bind(text)
            .bind(disabled_at)
            .execute(writing.connection())
            .await
            .map_err(failed)?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let is_deleted = history::delete_subscription(&self.sql, writing.connection(), id, now).await?;
        writing.commit().await?;
        Ok(is_deleted)
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.insert(events).await
    }

    async fn look(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
        let (now, limit) = (columns::micros(now), usize::try_from(limit).unwrap_or(usize::MAX));
        let begin = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut look = Look::default();
        let mut is_whole = self.look_between(&begin, AFTER_EVERY_ID, now, limit, &mut look).await?;
        if is_whole && !begin.is_empty() {
            is_whole = self.look_between(&[], &begin, now, limit, &mut look).await?;
        }
        let next = match look.ready.last() {
            Some(last) if !is_whole => rows::blob(last.as_u128()),
            _ => Vec::new(),
        };
        *self.looked_at.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(look)
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        if claim.shares.is_empty() {
            return Ok(Claims::default());
        }
        self.writer.claim(claim).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.settle(settlements).await
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let mut writing = self.writer.begin().await?;
        let until = rows::later(now, lease);
        let told = queue::extend(&self.sql, writing.connection(), leases, until).await?;
        writing.commit().await?;
        Ok(told)
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
    ) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let done = sqlx::query(self.sql.put_health.clone())
            .bind(rows::blob(id.as_u128()))
            .bind(seen.to_storage())
            .bind(health.to_storage())
            .execute(writing.connection())
            .await
            .map_err(failed)?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let is_cancelled = history::cancel(&self.sql, writing.connection(), id, now).await?;
        writing.commit().await?;
        Ok(is_cancelled)
    }

    async fn replay(&self, replay: &Replay, now: OffsetDateTime, limit: u32) -> Result<Replayed, StoreError> {
        let mut writing = self.writer.begin().await?;
        let replayed = history::replay(&self.sql, writing.connection(), replay, now, limit).await?;
        writing.commit().await?;
        Ok(replayed)
    }

    async fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut writing = self.writer.begin().await?;
        let is_known = history::expunge(&self.sql, writing.connection(), organization, event, now).await?;
        writing.commit().await?;
        Ok(is_known)
    }

    async fn prune(&self, retention: &Retention, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        if limit == 0 {
            return Ok(0);
        }
        let mut rows = 0;
        for (kind, age) in [
            (Prunable::Payloads, retention.payloads),
            (Prunable::Attempts, retention.attempts),
            (Prunable::Deliveries, retention.deliveries),
        ] {
            let Some(age) = age else { continue };
            let before = columns::micros(now).saturating_sub(columns::span(age));
            // A batch may find nothing to delete, as where an event's other deliveries are pending; each is short, and is
            // looked at once, so that it ends.
            loop {
                let mut writing = self.writer.begin().await?;
                let connection = writing.connection();
                let pruned = match kind {
                    Prunable::Payloads => {
                        history::prune_payloads(&self.sql, connection, before, limit).await?
                    }
                    Prunable::Attempts => {
                        history::prune_attempts(&self.sql, connection, before, limit).await?
                    }
                    Prunable::Deliveries => {
                        history::prune_deliveries(&self.sql, connection, before, limit).await?
                    }
                };
                writing.commit().await?;
                rows += pruned.rows;
                if pruned.rows > 0 || pruned.is_last {
                    break;
                }
            }
        }
        Ok(rows)
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let row = sqlx::query(self.sql.delivery.clone())
            .bind(rows::blob(id.as_u128()))
            .fetch_optional(&self.readers)
            .await
            .map_err(failed)?;
        row.as_ref().map(columns::delivery).transpose().map_err(corrupt)
    }

    async fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let before = after.map_or_else(|| AFTER_EVERY_ID.to_vec(), |after| rows::blob(after.as_u128()));
        let rows = sqlx::query(self.sql.deliveries.clone())
            .bind(rows::blob(subscription.as_u128()))
            .bind(Vec::new())
            .bind(before)
            .bind(limit)
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?;
        rows.iter().map(columns::delivery).collect::<Result<_, _>>().map_err(corrupt)
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let rows = sqlx::query(self.sql.attempts.clone())
            .bind(rows::blob(delivery.as_u128()))
            .fetch_all(&self.readers)
            .await
            .map_err(failed)?;
        rows.iter().map(columns::attempt).collect::<Result<_, _>>().map_err(corrupt)
    }
}

/// Joins the transaction that the connection has open; without one the events are written in a transaction of their own.
///
/// A transaction that reads before it emits should begin with `BEGIN IMMEDIATE`: SQLite refuses the first write of one
/// that began as a reader when somebody else wrote in between.
///
/// A batch that fails, or whose future is dropped, leaves nothing behind and the rest of the transaction as it was.
impl TransactionalStore for SqliteStore {
    type Connection = SqliteConnection;

    async fn subscriptions_in(
        &self,
        connection: &mut SqliteConnection,
        organization: &str,
    ) -> Result<Vec<Subscription>, StoreError> {
        self.subscriptions_by(connection, organization).await
    }

    async fn insert_in(
        &self,
        connection: &mut SqliteConnection,
        events: &[NewEvent],
    ) -> Result<Vec<Inserted>, StoreError> {
        let events: Vec<_> = events.iter().collect();
        // Not inside a transaction: a nested `begin` that is dropped half way rolls all of it back (sqlx 0.9).
        if !connection.is_in_transaction() {
            match connection.begin().await {
                Ok(mut transaction) => {
                    let told = queue::insert(&self.sql, &mut transaction, &events).await?;
                    transaction.commit().await.map_err(failed)?;
                    return Ok(told);
                }
                Err(error) if is_within_transaction(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let mut savepoint = Savepoint::begin(connection).await?;
        let told = queue::insert(&self.sql, savepoint.connection(), &events).await?;
        savepoint.release().await?;
        Ok(told)
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
    /// What the tables' names begin with, `hookwire_` unless set: letters, digits and underscores.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// When a commit is on the disk, [`Full`](SqliteSynchronous::Full) unless set.
    ///
    /// With [`Normal`](SqliteSynchronous::Normal) a power cut may take back the last commits: events that were accepted.
    #[must_use]
    pub fn with_synchronous(mut self, synchronous: SqliteSynchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// How long a call waits while others write before it is told as unavailable, 5 s unless set.
    #[must_use]
    pub fn with_busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many connections read at once, 4 unless set; at least one does.
    #[must_use]
    pub fn with_readers(mut self, readers: u32) -> Self {
        self.readers = readers.max(1);
        self
    }

    /// Opens the database file of this path, creating it and the tables where they are missing.
    ///
    /// The file is put into WAL mode.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] when the file cannot be opened or is locked, [`StoreErrorKind::Schema`] when its
    /// tables are too new, [`StoreErrorKind::Backend`] for a prefix that is no identifier and for `:memory:`: such a
    /// database is private to one connection.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<SqliteStore, StoreError> {
        let prefix = parse_prefix(&self.prefix)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            .busy_timeout(self.busy_timeout)
            .pragma("temp_store", "MEMORY");
        // Nothing to ask a file whether it is still there.
        let pool =
            || SqlitePoolOptions::new().test_before_acquire(false).idle_timeout(None).max_lifetime(None);
        let began = Instant::now();
        let writers = loop {
            match pool().max_connections(1).connect_with(options.clone().row_buffer_size(ROW_BUFFER)).await {
                // SQLite does not wait for another connection that is putting the same new file into WAL mode.
                Err(error) if primary_code(&error) == Some(BUSY) && began.elapsed() < self.busy_timeout => {
                    sleep(OPEN_AGAIN).await;
                }
                connected => break connected.map_err(failed)?,
            }
        };
        prepare(&writers, &prefix).await?;
        let options = options.create_if_missing(false).pragma("query_only", "ON");
        let readers = pool().max_connections(self.readers).connect_lazy_with(options);
        Ok(SqliteStore::new(&prefix, writers, readers, self.busy_timeout))
    }

    /// A store on the application's own pool, whose settings are left as they are: journal mode, durability, time-outs.
    ///
    /// WAL mode is advised: without it readers and writers wait for each other.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_pool(self, pool: SqlitePool) -> Result<SqliteStore, StoreError> {
        let prefix = parse_prefix(&self.prefix)?;
        prepare(&pool, &prefix).await?;
        Ok(SqliteStore::new(&prefix, pool.clone(), pool, self.busy_timeout))
    }
}

impl SqliteStore {
    fn new(prefix: &Prefix, writers: SqlitePool, readers: SqlitePool, busy_timeout: Duration) -> Self {
        let sql = Arc::new(Statements::new(prefix));
        let writer = Writer::new(Arc::clone(&sql), writers, busy_timeout);
        Self { sql, writer, readers, looked_at: Arc::default() }
    }
}

/// What retention deletes, in turn.
#[derive(Clone, Copy)]
enum Prunable {
    Payloads,
    Attempts,
    Deliveries,
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
    // Another crate of the program may have pinned an older one, or had it linked from the system.
    match sqlx::query("SELECT count(*) FROM jsonb_each('[]')").fetch_one(&mut *connection).await {
        Ok(_) => schema::migrate(&mut connection, prefix).await,
        Err(error)
            if error.as_database_error().is_some_and(|error| error.message().contains("jsonb_each")) =>
        {
            Err(StoreError::new(
                StoreErrorKind::Backend,
                "linked SQLite is too old, expected 3.51 or later, as feature `sqlite` brings it along",
            ))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Whether the connection is in a transaction that `sqlx` knows nothing of, as after a bare `BEGIN`.
fn is_within_transaction(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("within a transaction"))
}

fn failed(error: sqlx::Error) -> StoreError {
    fault(error, |code| match code.parse().ok().map(|code: u32| code & 0xff) {
        Some(BUSY | LOCKED | NO_MEMORY | INTERRUPTED | IO_ERROR | FULL | CANNOT_OPEN) => {
            StoreErrorKind::Unavailable
        }
        _ => StoreErrorKind::Backend,
    })
}

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Longer than every id, and so after the last.
const AFTER_EVERY_ID: &[u8] = &[u8::MAX; 17];

const DEFAULT_PREFIX: &str = "hookwire_";
const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_READERS: u32 = 4;
/// A batch of rows without a wait for who reads them.
const ROW_BUFFER: usize = 1_024;
const OPEN_AGAIN: Duration = Duration::from_millis(5);

// Primary result codes: https://www.sqlite.org/rescode.html
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const NO_MEMORY: u32 = 7;
const INTERRUPTED: u32 = 9;
const IO_ERROR: u32 = 10;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;

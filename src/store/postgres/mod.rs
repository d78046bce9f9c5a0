//! [`PostgresStore`]: a [`Store`], an [`Inbox`](crate::Inbox) and an [`Intake`](crate::Intake) in a PostgreSQL database.
//!
//! Any number of processes on any number of machines may use the same tables: what is claimed by one is skipped by the others.
//! Due times and leases count on the database's clock, so the machines' own clocks need not agree.
//!
//! Inserting, looking, claiming, extending and settling take one round trip each: the tables come with functions that do
//! the work of a call, each named with a version so that older code finds its own while newer code is rolled out. Due deliveries
//! are indexed by subscription; a look takes one step for each subscription, and a claim reads what it takes.
//!
//! Signing secrets and credentials are in the columns `secrets` and `options` of `subscriptions`, in the clear unless a key ring
//! sealed them (module `keyring`): without one, whoever can read the table, the server's log of writes or a backup can sign.
//! Payloads and extra headers are in the clear always.
//!
//! # Order
//!
//! Deliveries of one ordering key to one subscription are a *lane*. [`insert`](Store::insert) writes those that wait behind
//! another without a due time, under a lock of the lane that ends with its transaction.
//! [`insert_in`](TransactionalStore::insert_in) must hold no lock until somebody else's commit and gives all of them a due time; a
//! claim that finds one out of its turn takes the due time away. Whatever ends a delivery waits for the lane's lock and lets the
//! next one be due. A claim waits for no lock at all. What is inserted first comes first among what was committed when the lane's
//! turn came; what was begun stays in front.
//!
//! Such waits have one direction but for a parked delivery that is cancelled while the one before it ends. PostgreSQL
//! dissolves that as a deadlock, and the store repeats its own part.
#![cfg(feature = "postgres")]

mod connections;
mod gather;
mod history;
mod inbox;
mod intake;
mod notifications;
mod queue;
mod records;
mod rows;
mod schema;
mod statements;

pub use notifications::PostgresNotifications;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgRow, Postgres};
use sqlx::query::Query;
use time::OffsetDateTime;
use uuid::Uuid;

use self::connections::{Connections, failed};
use self::gather::Gathered;
use self::history::MOST_LANES;
use self::rows::{bounded, indexed};
use self::schema::parse_prefix;
use self::statements::Statements;
use crate::delivery::{Attempt, Delivery};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{self, Columns as _, corrupt};
use crate::store::tables::Prefix;
use crate::store::{
    Claim, Claims, Inserted, Lease, Look, NewEvent, Replay, Replayed, Retention, Settled, Settlement, Store,
    StoreError, StoreErrorKind, TransactionalStore,
};
use crate::subscription::{Health, Subscription, SubscriptionStatus};

/// Subscriptions, events, deliveries and attempts in a PostgreSQL database, and the [`Inbox`](crate::Inbox) and the
/// [`Intake`](crate::Intake) beside them.
///
/// A clone is the same store. Of instants and durations the microseconds are kept. An organization, an inbox's source and an
/// intake's queue have at most 1,000 bytes and no NUL.
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
    shared: Arc<Shared>,
}

struct Shared {
    sql: Statements,
    connections: Connections,
    caller_time: bool,
    gathered: Gathered,
    // Where the next look begins: behind the last subscription that a look listed before its limit cut it.
    looked_at: Mutex<u128>,
    /// On which other processes are told of work.
    channel: String,
    /// Tells what this process told from what others did.
    tag: String,
}

impl PostgresStore {
    /// Connects to the database of this URL, creating the tables where they are missing.
    ///
    /// [`builder`](Self::builder) has the settings.
    ///
    /// # Errors
    ///
    /// As [`PostgresStoreBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder().connect(url).await
    }

    /// A store with other settings than [`connect`](Self::connect)'s.
    pub fn builder() -> PostgresStoreBuilder {
        PostgresStoreBuilder::default()
    }

    /// The statements that create the tables and functions whose names begin with `prefix`, to be read or applied by hand, in
    /// one transaction and in the schema that comes first in the search path.
    ///
    /// A store that finds them applied writes no schema itself; it needs the right to read and write the tables.
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
    /// [`StoreErrorKind::Backend`] when `prefix` is no identifier.
    pub fn schema_sql(prefix: &str) -> Result<String, StoreError> {
        Ok(schema::script(&parse_prefix(prefix)?))
    }

    /// How this store's processes tell each other of work: by `LISTEN` and `NOTIFY`, on a connection of its own.
    pub fn notifications(&self) -> PostgresNotifications {
        PostgresNotifications::new(Arc::clone(&self.shared))
    }

    /// Closes the store's connections, after what they are doing; clones of this store are closed with it.
    ///
    /// Of a store on the application's own pool it closes that pool.
    pub async fn close(&self) {
        self.shared.connections.close().await;
    }

    /// The caller's time, where the store goes by it.
    fn caller(&self, now: OffsetDateTime) -> Option<i64> {
        self.shared.caller_time.then(|| bounded(now))
    }

    async fn rows(
        &self,
        query: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
    ) -> Result<Vec<PgRow>, StoreError> {
        self.shared.connections.rows(query).await
    }

    async fn one(
        &self,
        query: impl Fn() -> Query<'static, Postgres, PgArguments> + Send,
    ) -> Result<PgRow, StoreError> {
        self.rows(query).await?.pop().ok_or_else(|| corrupt("a statement that gives a row gave none"))
    }
}

impl Store for PostgresStore {
    async fn put_subscription(&self, subscription: &Subscription) -> Result<(), StoreError> {
        let organization = indexed("organization", &subscription.organization)?;
        let (status, disabled_at) = columns::status_columns(&subscription.status);
        let filter = subscription.filter.to_storage();
        let secrets = columns::secrets_text(subscription);
        let options = subscription.options.to_storage();
        let health = subscription.health.to_storage();
        self.rows(|| {
            sqlx::query(self.shared.sql.put_subscription.clone())
                .bind(Uuid::from_u128(subscription.id.as_u128()))
                .bind(organization)
                .bind(subscription.url.as_str())
                .bind(&filter)
                .bind(secrets.as_str())
                .bind(status)
                .bind(disabled_at)
                .bind(options.as_str())
                .bind(&health)
                .bind(columns::micros(subscription.created_at))
        })
        .await?;
        Ok(())
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        let query = || sqlx::query(self.shared.sql.subscription.clone()).bind(Uuid::from_u128(id.as_u128()));
        let row = self.rows(query).await?.pop();
        row.map(|row| columns::subscription(&row, "id")).transpose().map_err(corrupt)
    }

    async fn subscriptions(&self, organization: &str) -> Result<Vec<Subscription>, StoreError> {
        // What could not be written is not there.
        let Ok(organization) = indexed("organization", organization) else { return Ok(Vec::new()) };
        let query = || sqlx::query(self.shared.sql.subscriptions.clone()).bind(organization);
        all_subscriptions(&self.rows(query).await?)
    }

    async fn subscription_ids(
        &self,
        after: Option<SubscriptionId>,
        limit: u32,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        let Some(first) = columns::behind(after) else { return Ok(Vec::new()) };
        let query = || {
            sqlx::query(self.shared.sql.subscription_ids.clone())
                .bind(Uuid::from_u128(first))
                .bind(i64::from(limit))
        };
        let rows = self.rows(query).await?;
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
        indexed("organization", &subscription.organization)?;
        let both = [subscription, seen].map(|written| {
            let texts =
                (columns::secrets_text(written), written.options.to_storage(), written.filter.to_storage());
            (written, texts, columns::status_columns(&written.status))
        });
        let done = self
            .rows(|| {
                let query = sqlx::query(self.shared.sql.replace_subscription.clone())
                    .bind(Uuid::from_u128(subscription.id.as_u128()));
                both.iter().fold(
                    query,
                    |query, (written, (secrets, options, filter), (status, disabled_at))| {
                        query
                            .bind(written.organization.as_str())
                            .bind(written.url.as_str())
                            .bind(filter)
                            .bind(secrets.as_str())
                            .bind(*status)
                            .bind(*disabled_at)
                            .bind(options.as_str())
                            .bind(columns::micros(written.created_at))
                    },
                )
            })
            .await?;
        Ok(!done.is_empty())
    }

    async fn set_subscription_status(
        &self,
        id: SubscriptionId,
        status: &SubscriptionStatus,
    ) -> Result<bool, StoreError> {
        let (text, disabled_at) = columns::status_columns(status);
        let done = self
            .rows(|| {
                sqlx::query(self.shared.sql.set_status.clone())
                    .bind(Uuid::from_u128(id.as_u128()))
                    .bind(text)
                    .bind(disabled_at)
            })
            .await?;
        Ok(!done.is_empty())
    }

    async fn delete_subscription(&self, id: SubscriptionId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.end(&self.shared.sql.delete_subscription, id.as_u128(), now).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        // What may wait for the lock of a lane holds up nobody else.
        if events.iter().any(|event| event.ordering_key.is_some()) {
            return self.insert_events(&events.iter().collect::<Vec<_>>()).await;
        }
        self.insert_together(events).await
    }

    async fn look(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
        self.look_for(now, limit).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        if claim.shares.is_empty() {
            return Ok(Claims::default());
        }
        self.claim_due(claim).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let most = usize::try_from(MOST_LANES).unwrap_or(usize::MAX);
        let mut told = Vec::with_capacity(settlements.len());
        for batch in settlements.chunks(most) {
            told.extend(self.settle_batch(batch).await?);
        }
        Ok(told)
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
        self.extend_leases(leases, now, lease).await
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
    ) -> Result<bool, StoreError> {
        let (seen, health) = (seen.to_storage(), health.to_storage());
        let done = self
            .rows(|| {
                sqlx::query(self.shared.sql.put_health.clone())
                    .bind(Uuid::from_u128(id.as_u128()))
                    .bind(&seen)
                    .bind(&health)
            })
            .await?;
        Ok(!done.is_empty())
    }

    async fn cancel(&self, id: DeliveryId, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.end(&self.shared.sql.cancel, id.as_u128(), now).await
    }

    async fn replay(&self, replay: &Replay, now: OffsetDateTime, limit: u32) -> Result<Replayed, StoreError> {
        self.replay_batch(replay, now, limit).await
    }

    async fn expunge(
        &self,
        organization: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.expunge_event(organization, event, now).await
    }

    async fn prune(&self, retention: &Retention, now: OffsetDateTime, limit: u32) -> Result<u64, StoreError> {
        self.prune_all(retention, now, limit).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let query = || sqlx::query(self.shared.sql.delivery.clone()).bind(Uuid::from_u128(id.as_u128()));
        let row = self.rows(query).await?.pop();
        row.as_ref().map(columns::delivery).transpose().map_err(corrupt)
    }

    async fn deliveries(
        &self,
        subscription: SubscriptionId,
        after: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let before = after.map_or(u128::MAX, DeliveryId::as_u128);
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.deliveries.clone())
                    .bind(Uuid::from_u128(subscription.as_u128()))
                    .bind(Uuid::nil())
                    .bind(Uuid::from_u128(before))
                    .bind(i64::from(limit))
            })
            .await?;
        rows.iter().map(columns::delivery).collect::<Result<_, _>>().map_err(corrupt)
    }

    async fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let query =
            || sqlx::query(self.shared.sql.attempts.clone()).bind(Uuid::from_u128(delivery.as_u128()));
        let rows = self.rows(query).await?;
        rows.iter().map(columns::attempt).collect::<Result<_, _>>().map_err(corrupt)
    }
}

/// Joins the transaction that the connection has open; without one the events are written in a transaction of their own.
///
/// One statement writes a batch, so it is written as a whole or not at all, also when its future is dropped. As after any
/// statement that PostgreSQL refuses, a transaction in which a batch failed can only be rolled back (to a savepoint, if it
/// has one).
impl TransactionalStore for PostgresStore {
    type Connection = PgConnection;

    async fn subscriptions_in(
        &self,
        connection: &mut PgConnection,
        organization: &str,
    ) -> Result<Vec<Subscription>, StoreError> {
        let Ok(organization) = indexed("organization", organization) else { return Ok(Vec::new()) };
        let query = sqlx::query(self.shared.sql.subscriptions.clone()).bind(organization);
        all_subscriptions(&query.fetch_all(connection).await.map_err(failed)?)
    }

    async fn insert_in(
        &self,
        connection: &mut PgConnection,
        events: &[NewEvent],
    ) -> Result<Vec<Inserted>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.insert_events_in(connection, events).await
    }
}

fn all_subscriptions(rows: &[PgRow]) -> Result<Vec<Subscription>, StoreError> {
    rows.iter().map(|row| columns::subscription(row, "id")).collect::<Result<_, _>>().map_err(corrupt)
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("channel", &self.shared.channel)
            .field("caller_time", &self.shared.caller_time)
            .field("pool", self.shared.connections.pool())
            .finish_non_exhaustive()
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
    connections: u32,
    acquire_timeout: Duration,
    call_timeout: Duration,
    caller_time: bool,
}

impl Default for PostgresStoreBuilder {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            connections: DEFAULT_CONNECTIONS,
            acquire_timeout: DEFAULT_ACQUIRE_TIMEOUT,
            call_timeout: DEFAULT_CALL_TIMEOUT,
            caller_time: false,
        }
    }
}

impl PostgresStoreBuilder {
    /// What the tables' names begin with, `hookwire_` unless set: letters, digits and underscores, at most 30.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many connections the store has at the most, 10 unless set; at least one.
    #[must_use]
    pub fn with_connections(mut self, connections: u32) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How long a call waits for a connection before it is told as unavailable, 5 s unless set.
    #[must_use]
    pub fn with_acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How long a call waits for the database's answer before it is told as unavailable, 30 s unless set. It may have been
    /// carried out all the same, and may be repeated safely.
    #[must_use]
    pub fn with_call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Goes by the time that its caller tells and not by the database's clock, for tests and simulations.
    #[must_use]
    pub fn with_caller_time(mut self) -> Self {
        self.caller_time = true;
        self
    }

    /// Connects to the database of this URL, creating the tables where they are missing.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] when the database cannot be reached,
    /// [`StoreErrorKind::Schema`] when its tables are too new,
    /// [`StoreErrorKind::Backend`] for a URL that is none, a prefix that is no identifier, and where the
    /// tables are missing and may not be created.
    pub async fn connect(self, url: &str) -> Result<PostgresStore, StoreError> {
        self.connect_with(url.parse().map_err(failed)?).await
    }

    /// [`connect`](Self::connect) with the driver's own options, as for certificates.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: PgConnectOptions) -> Result<PostgresStore, StoreError> {
        let prefix = parse_prefix(&self.prefix)?;
        let connections =
            Connections::connect(options, self.connections, self.acquire_timeout, self.call_timeout).await?;
        self.open(&prefix, connections).await
    }

    /// A store on the application's own pool, whose settings are left as they are.
    ///
    /// Where its transactions are not `READ COMMITTED` by default, each call of the store takes three round trips, not one.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn open_pool(self, pool: PgPool) -> Result<PostgresStore, StoreError> {
        let prefix = parse_prefix(&self.prefix)?;
        let connections = Connections::on(pool, self.call_timeout).await?;
        self.open(&prefix, connections).await
    }

    async fn open(self, prefix: &Prefix, connections: Connections) -> Result<PostgresStore, StoreError> {
        let mut connection = connections.pool().acquire().await.map_err(failed)?;
        let schema = schema::migrate(&mut connection, prefix).await?;
        drop(connection);
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.to_string()))?;
        Ok(PostgresStore {
            shared: Arc::new(Shared {
                sql: Statements::new(&prefix.within(&schema)),
                connections,
                caller_time: self.caller_time,
                gathered: Gathered::new(),
                looked_at: Mutex::default(),
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

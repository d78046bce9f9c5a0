//! [`Writer`]: one write transaction at a time, shared by the inserts, settlements, stored requests and
//! claims that wait for it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use time::OffsetDateTime;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;

use super::error::failed;
use super::queue::{self, Ends};
use super::requests;
use super::rows::query;
use super::script::{Failure, Script};
use super::statements::Statements;
use crate::id::SubscriptionId;
use crate::store::sql::columns::micros;
use crate::store::sql::waiting::{Part, ReplySender, Serving, Waiting, runtime_ended};
use crate::store::{
    Claim, Claims, HealthWritten, Inserted, Leased, NewEvent, Settled, Settlement, StoreError,
    StoreErrorKind, Stored, StoredRequest,
};
use crate::subscription::DisabledReason;

/// The store's only way to write outside of the application's transactions.
///
/// Callers get their results after the commit. If a part fails, everything is rolled back and each part is
/// written alone, so that no part fails because of another.
#[derive(Debug)]
pub(super) struct Writer {
    sql: Arc<Statements>,
    pool: SqlitePool,
    // Writers queue here: SQLite's own wait is unfair and holds a connection for each.
    turn: Arc<Mutex<Kept>>,
    /// Whether nobody else uses the pool, so that its connection may be kept.
    owns_pool: bool,
    busy_timeout: Duration,
    waiting: Waiting<Write>,
}

/// The write of one caller.
#[derive(Debug)]
enum Write {
    Insert(Vec<NewEvent>, ReplySender<Vec<Inserted>>),
    Settle(Vec<Settlement>, ReplySender<Vec<Settled>>),
    Claim(Claim, ReplySender<Claims>),
    StoreRequests(Vec<StoredRequest>, ReplySender<Vec<Stored>>),
    Health(PutHealth, ReplySender<HealthWritten>),
}

/// The health of an endpoint, to be written where nobody else has since `seen` was read.
#[derive(Debug)]
pub(super) struct PutHealth {
    pub(super) id: SubscriptionId,
    pub(super) seen: String,
    pub(super) health: String,
    pub(super) disable: Option<DisabledReason>,
    pub(super) now: OffsetDateTime,
}

impl Writer {
    pub(super) fn new(
        sql: Arc<Statements>,
        pool: SqlitePool,
        owns_pool: bool,
        busy_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { sql, pool, turn: Arc::default(), owns_pool, busy_timeout, waiting: Waiting::new() })
    }

    pub(super) async fn close(&self) {
        let closing = self.pool.close();
        // The pool waits for the connection that is kept.
        drop(self.turn.lock().await.0.take());
        closing.await;
    }

    /// Begins a transaction for the caller alone.
    pub(super) async fn begin(&self) -> Result<Writing, StoreError> {
        // The busy timeout also covers the wait for other writers of this process.
        let mut turn =
            timeout(self.busy_timeout, Arc::clone(&self.turn).lock_owned()).await.map_err(|_| busy())?;
        drop(turn.0.take());
        let transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        Ok(Writing { transaction, _turn: turn })
    }

    pub(super) async fn insert(self: &Arc<Self>, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        self.share(|reply| Write::Insert(events.to_vec(), reply)).await
    }

    pub(super) async fn settle(
        self: &Arc<Self>,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        self.share(|reply| Write::Settle(settlements.to_vec(), reply)).await
    }

    /// Leases due deliveries. Settlements of the same transaction are written first, so the next delivery of
    /// an ordering key can be claimed at once.
    pub(super) async fn claim(self: &Arc<Self>, claim: &Claim) -> Result<Claims, StoreError> {
        self.share(|reply| Write::Claim(claim.clone(), reply)).await
    }

    pub(super) async fn store_requests(
        self: &Arc<Self>,
        requests: &[StoredRequest],
    ) -> Result<Vec<Stored>, StoreError> {
        self.share(|reply| Write::StoreRequests(requests.to_vec(), reply)).await
    }

    pub(super) async fn put_health(self: &Arc<Self>, put: PutHealth) -> Result<HealthWritten, StoreError> {
        self.share(|reply| Write::Health(put, reply)).await
    }

    /// Writes a part together with others. If the future is dropped, the part may still be written.
    async fn share<T>(self: &Arc<Self>, part: impl FnOnce(ReplySender<T>) -> Write) -> Result<T, StoreError> {
        let (reply, mut receiver) = oneshot::channel();
        let number = self.join(part(reply));
        let result = match timeout(self.busy_timeout, &mut receiver).await {
            Ok(result) => result,
            Err(_) if self.waiting.withdraw(number) => return Err(busy()),
            // It is being written.
            Err(_) => receiver.await,
        };
        result.map_err(|_| runtime_ended())?
    }

    fn join(self: &Arc<Self>, part: Write) -> u64 {
        let (number, serves) = self.waiting.join(part);
        if serves {
            // If the lock is free, take it here, so that no other writer comes first.
            let turn = Arc::clone(&self.turn).try_lock_owned().ok();
            let first = turn.map(|turn| (turn, self.waiting.take()));
            tokio::spawn(Arc::clone(self).serve(first));
        }
        number
    }

    async fn serve(self: Arc<Self>, first: Option<(OwnedMutexGuard<Kept>, Vec<Write>)>) {
        let mut serving = Serving::new(&self.waiting);
        if let Some((mut turn, parts)) = first {
            self.write(&mut turn, parts).await;
        }
        while serving.goes_on() {
            let mut turn = self.turn.lock().await;
            // Include the writes that arrived while this task waited for the lock.
            let parts = self.waiting.take();
            if !parts.is_empty() {
                self.write(&mut turn, parts).await;
            }
        }
    }

    /// Writes parts together, or each alone if one of them fails.
    async fn write(&self, kept: &mut Kept, parts: Vec<Write>) {
        match self.try_write(kept, &parts).await {
            Ok(written) => {
                let undelivered = written.reply(parts);
                if !undelivered.is_empty() {
                    // No caller is left to send these deliveries. Make them due at once, and not when their
                    // leases end.
                    let (reply, _) = oneshot::channel();
                    _ = self.try_write(kept, &[Write::Settle(undelivered, reply)]).await;
                }
            }
            Err(Failure::Part(_)) if parts.len() > 1 => {
                for part in parts {
                    Box::pin(self.write(kept, vec![part])).await;
                }
            }
            Err(Failure::Part(error) | Failure::Whole(error)) => {
                parts.into_iter().for_each(|part| part.fail(error.clone()));
            }
        }
    }

    async fn try_write(&self, kept: &mut Kept, parts: &[Write]) -> Result<Written, Failure> {
        let connection = match kept.0.take() {
            Some(connection) => connection,
            None => self.pool.acquire().await.map_err(|error| Failure::Whole(failed(error)))?,
        };
        let mut begun = Begun { connection: Some(connection), is_over: false };
        let written = self.write_in(begun.connection(), parts).await;
        match written {
            Ok(_) => {
                begun.is_over = true;
                kept.0 = begun.connection.take().filter(|_| self.owns_pool && !self.pool.is_closed());
            }
            Err(_) => begun.roll_back().await,
        }
        written
    }

    /// Writes parts in one transaction.
    async fn write_in(&self, connection: &mut SqliteConnection, parts: &[Write]) -> Result<Written, Failure> {
        let mut events = Vec::new();
        let mut settlements = Vec::new();
        let mut claims = Vec::new();
        let mut stored = Vec::new();
        let mut healths = Vec::new();
        for part in parts {
            match part {
                Write::Insert(some, _) => events.extend(some),
                Write::Settle(some, _) => settlements.extend(some),
                Write::Claim(claim, _) => claims.push(claim),
                Write::StoreRequests(some, _) => stored.extend(some),
                Write::Health(put, _) => healths.push(put),
            }
        }
        // Commit after everything was read: if a read fails, the leases are rolled back.
        let is_all = stored.is_empty() && healths.is_empty() && claims.len() <= 1;
        let ends = if is_all { Ends::Here } else { Ends::Later };
        let mut claims = claims.into_iter();
        let queue::Written { inserted, settled, claimed, is_committed } =
            queue::write(&self.sql, connection, ends, &events, &settlements, claims.next()).await?;
        let mut written =
            Written { inserted, settled, claimed: claimed.into_iter().collect(), ..Written::default() };
        if !stored.is_empty() {
            written.stored = requests::store(&self.sql, connection, &stored).await?;
        }
        for claim in claims {
            written.claimed.push(queue::claim(&self.sql, connection, claim).await?);
        }
        for put in healths {
            written.healths.push(put.write(&self.sql, connection).await?);
        }
        if !is_committed {
            let mut script = Script::default();
            script.commit();
            script.run(connection).await?;
        }
        Ok(written)
    }
}

/// The connection of the last transaction. A pool tests each connection that it gets back, which takes two
/// more thread switches, and the next transaction waits for them.
#[derive(Debug, Default)]
struct Kept(Option<PoolConnection<Sqlite>>);

impl Drop for Kept {
    fn drop(&mut self) {
        // Outside of a runtime, giving it back would panic.
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// A connection with a transaction that sqlx does not track. sqlx's `Transaction` sends BEGIN and COMMIT
/// alone, which would add two thread switches each to a batch.
struct Begun {
    connection: Option<PoolConnection<Sqlite>>,
    is_over: bool,
}

impl Begun {
    fn connection(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("invariant: it is taken when the transaction is over")
    }

    async fn roll_back(&mut self) {
        let rolled_back = sqlx::query("ROLLBACK").execute(self.connection()).await;
        let was_none = |error: &dyn DatabaseError| error.message().contains("no transaction is active");
        self.is_over = match rolled_back {
            Ok(_) => true,
            Err(error) => error.as_database_error().is_some_and(was_none),
        };
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection
            && !self.is_over
        {
            // Closing the connection ends the transaction.
            connection.close_on_drop();
        }
    }
}

impl PutHealth {
    async fn write(
        &self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Result<HealthWritten, StoreError> {
        let put = query(&sql.put_health, &[self.id.into(), (&*self.seen).into(), (&*self.health).into()]);
        if put.execute(&mut *connection).await.map_err(failed)?.rows_affected() == 0 {
            return Ok(HealthWritten::Stale);
        }
        let Some(reason) = self.disable else { return Ok(HealthWritten::Done) };
        let at = micros(self.now);
        let disable = query(&sql.disable, &[self.id.into(), reason.as_str().into(), at.into()]);
        Ok(match disable.execute(connection).await.map_err(failed)?.rows_affected() {
            0 => HealthWritten::Done,
            _ => HealthWritten::Disabled,
        })
    }
}

impl Write {
    fn fail(self, error: StoreError) {
        match self {
            Self::Insert(_, reply) => _ = reply.send(Err(error)),
            Self::Settle(_, reply) => _ = reply.send(Err(error)),
            Self::Claim(_, reply) => _ = reply.send(Err(error)),
            Self::StoreRequests(_, reply) => _ = reply.send(Err(error)),
            Self::Health(_, reply) => _ = reply.send(Err(error)),
        }
    }
}

impl Part for Write {
    fn rows(&self) -> usize {
        match self {
            Self::Insert(events, _) => events.iter().map(|event| 1 + event.deliveries.len()).sum(),
            Self::Settle(settlements, _) => settlements.len(),
            Self::Claim(claim, _) => claim.shares.iter().map(|share| share.limit as usize).sum(),
            Self::StoreRequests(requests, _) => requests.len(),
            Self::Health(..) => 1,
        }
    }

    fn is_wanted(&self) -> bool {
        match self {
            Self::Insert(_, reply) => !reply.is_closed(),
            Self::Settle(_, reply) => !reply.is_closed(),
            Self::Claim(_, reply) => !reply.is_closed(),
            Self::StoreRequests(_, reply) => !reply.is_closed(),
            Self::Health(_, reply) => !reply.is_closed(),
        }
    }
}

/// The results of all parts together.
#[derive(Default)]
struct Written {
    inserted: Vec<Inserted>,
    settled: Vec<Settled>,
    stored: Vec<Stored>,
    claimed: Vec<Claims>,
    healths: Vec<HealthWritten>,
}

impl Written {
    /// Sends each caller its results. Returns settlements that hand back the deliveries leased for callers
    /// that stopped waiting.
    fn reply(self, parts: Vec<Write>) -> Vec<Settlement> {
        let mut undelivered = Vec::new();
        let Self { inserted, settled, stored, claimed, healths } = self;
        let mut healths = healths.into_iter();
        let (mut inserted, mut settled) = (inserted.into_iter(), settled.into_iter());
        let (mut stored, mut claimed) = (stored.into_iter(), claimed.into_iter());
        for part in parts {
            // The caller may have stopped waiting; its part was written all the same.
            match part {
                Write::Insert(events, reply) => {
                    let own: Vec<Inserted> = inserted.by_ref().take(events.len()).collect();
                    if let Err(Ok(own)) = reply.send(Ok(own)) {
                        let leased = |(event, inserted): (&NewEvent, Inserted)| {
                            let now = event.inserted_at;
                            let hand_back = move |claimed: Leased| {
                                Settlement::hand_back(claimed.delivery, claimed.lease, now)
                            };
                            inserted.leased.into_iter().map(hand_back)
                        };
                        undelivered.extend(events.iter().zip(own).flat_map(leased));
                    }
                }
                Write::Settle(settlements, reply) => {
                    _ = reply.send(Ok(settled.by_ref().take(settlements.len()).collect()));
                }
                Write::Claim(claim, reply) => {
                    if let Err(Ok(claims)) = reply.send(Ok(claimed.next().unwrap_or_default())) {
                        let hand_back = |claimed: &Leased| {
                            Settlement::hand_back(claimed.delivery, claimed.lease, claim.now)
                        };
                        undelivered.extend(claims.deliveries.iter().map(hand_back));
                        let unreadable = claims.unreadable.iter();
                        undelivered.extend(
                            unreadable.map(|row| Settlement::hand_back(row.key, row.lease, claim.now)),
                        );
                    }
                }
                Write::Health(_, reply) => {
                    _ = reply.send(Ok(healths.next().unwrap_or(HealthWritten::Stale)));
                }
                Write::StoreRequests(requests, reply) => {
                    _ = reply.send(Ok(stored.by_ref().take(requests.len()).collect()));
                }
            }
        }
        undelivered
    }
}

/// The one write transaction of this store. If it is dropped without a commit, it changes nothing.
pub(super) struct Writing {
    transaction: Transaction<'static, Sqlite>,
    _turn: OwnedMutexGuard<Kept>,
}

impl Writing {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(failed)
    }
}

fn busy() -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        "the write lock was not free within the busy timeout; see with_busy_timeout",
    )
}

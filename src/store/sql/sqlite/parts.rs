//! [`Write`]: the writes of callers that share a transaction, and how they are written and told.

use std::future::Future;

use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::connection::Connection;
use super::queue::claiming::claim;
use super::queue::inserting::insert;
use super::queue::settling::settle;
use super::requests;
use super::statements::Statements;
use crate::id::SubscriptionId;
use crate::store::sql::columns::micros;
use crate::store::sql::waiting::{Part, ReplySender};
use crate::store::{
    Claim, Claims, HealthWritten, Inserted, Leased, NewEvent, Settled, Settlement, StoreError, Stored,
    StoredRequest,
};
use crate::subscription::DisabledReason;

/// The write of one caller.
#[derive(Debug)]
pub(super) enum Write {
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

impl PutHealth {
    async fn write<C: Connection>(
        &self,
        sql: &Statements,
        connection: &mut C,
    ) -> Result<HealthWritten, StoreError> {
        let values = [self.id.into(), self.seen[..].into(), self.health[..].into()];
        if !connection.execute(&sql.put_health, &values).await?.is_any() {
            return Ok(HealthWritten::Stale);
        }
        let Some(reason) = self.disable else { return Ok(HealthWritten::Done) };
        let values = [self.id.into(), reason.as_str().into(), micros(self.now).into()];
        let disabled = connection.execute(&sql.disable, &values).await?;
        Ok(if disabled.is_any() { HealthWritten::Disabled } else { HealthWritten::Done })
    }
}

impl Write {
    pub(super) fn fail(self, error: StoreError) {
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

/// A database in which parts are written in a transaction.
pub(super) trait Transactions {
    /// Writes parts in one transaction, and commits it.
    fn commit(&mut self, parts: &[Write]) -> impl Future<Output = Result<Written, Failure>> + Send;
}

/// An error after which nothing was written.
pub(super) enum Failure {
    /// A statement failed. It is not known which caller's part caused it.
    Part(StoreError),
    /// The transaction could not begin, or not be committed.
    Whole(StoreError),
}

/// Writes parts together, or each alone if one of them fails, and tells their callers.
pub(super) async fn write_all<T: Transactions>(database: &mut T, parts: Vec<Write>) {
    for part in write_together(database, parts).await {
        write_together(database, vec![part]).await;
    }
}

/// Writes parts in one transaction; returns those that have to be written alone.
async fn write_together<T: Transactions>(database: &mut T, parts: Vec<Write>) -> Vec<Write> {
    match database.commit(&parts).await {
        Ok(written) => {
            let undelivered = written.reply(parts);
            if !undelivered.is_empty() {
                // No caller is left to send these deliveries. Make them due at once, and not when their
                // leases end.
                let (reply, _) = oneshot::channel();
                _ = database.commit(&[Write::Settle(undelivered, reply)]).await;
            }
        }
        Err(Failure::Part(_)) if parts.len() > 1 => return parts,
        Err(Failure::Part(error) | Failure::Whole(error)) => {
            parts.into_iter().for_each(|part| part.fail(error.clone()));
        }
    }
    Vec::new()
}

/// Writes parts in the caller's transaction: inserts first and settlements next, so that a claim of the same
/// transaction finds what they made due.
pub(super) async fn write<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    parts: &[Write],
) -> Result<Written, StoreError> {
    let events: Vec<_> = parts.iter().filter_map(Write::events).flatten().collect();
    let mut written = Written::default();
    if !events.is_empty() {
        written.inserted = insert(sql, connection, &events, true).await?;
    }
    for part in parts {
        if let Write::Settle(settlements, _) = part {
            let settlements: Vec<_> = settlements.iter().collect();
            written.settled.extend(settle(sql, connection, &settlements).await?);
        }
    }
    for part in parts {
        match part {
            Write::Insert(..) | Write::Settle(..) => {}
            Write::Claim(wanted, _) => written.claimed.push(claim(sql, connection, wanted).await?),
            Write::StoreRequests(some, _) => {
                let some: Vec<_> = some.iter().collect();
                written.stored.extend(requests::store(sql, connection, &some).await?);
            }
            Write::Health(put, _) => written.healths.push(put.write(sql, connection).await?),
        }
    }
    Ok(written)
}

impl Write {
    fn events(&self) -> Option<&[NewEvent]> {
        if let Self::Insert(events, _) = self { Some(events) } else { None }
    }
}

/// The results of all parts together.
#[derive(Default)]
pub(super) struct Written {
    inserted: Vec<Inserted>,
    settled: Vec<Settled>,
    stored: Vec<Stored>,
    claimed: Vec<Claims>,
    healths: Vec<HealthWritten>,
}

impl Written {
    /// Sends each caller its results. Returns settlements that hand back the deliveries leased for callers
    /// that stopped waiting.
    pub(super) fn reply(self, parts: Vec<Write>) -> Vec<Settlement> {
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

//! [`PostgresStore`] as a [`Store`] and a [`TransactionalStore`]: one statement for each call.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::errors::failed;
use super::settlement_rows::SettlementRows;
use super::store::PostgresStore;
use super::values::{indexed, places, query};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::sql::columns::{self, Columns, Unread, bounded, corrupt, reach, stored_lease};
use crate::store::sql::leased::{Event, LeasedRow, Parents};
use crate::store::sql::subscriptions;
use crate::store::{
    Claim, Claims, HealthWritten, Inserted, Lease, NewEvent, Poll, Polled, ReadyDetails, Settled, Settlement,
    Share, Store, StoreError, StoreId, Subscribed, TransactionalStore,
};
use crate::subscription::{DisabledReason, Health, Subscription};

impl Store for PostgresStore {
    fn id(&self) -> Option<StoreId> {
        Some(self.shared.id)
    }

    async fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        subscriptions::find(self, id).await
    }

    async fn subscriptions(&self, organization: &str) -> Result<Subscribed, StoreError> {
        subscriptions::of_organization(self, organization).await
    }

    async fn insert(&self, events: &[NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        // An insert that locks order groups may have to wait, so it goes alone and holds up no other caller.
        if events.iter().any(|event| event.ordering_key.is_some()) {
            return self.insert_events(&events.iter().collect::<Vec<_>>()).await;
        }
        self.insert_together(events).await
    }

    async fn look(&self, poll: &Poll) -> Result<Polled, StoreError> {
        if poll.contracts.is_empty() {
            return Ok(Polled::default());
        }
        let cursors = || self.shared.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let last = cursors().last_listed(&poll.contracts);
        let from = last.map_or(0, |last| last.as_u128().wrapping_add(1));
        let row = self
            .one(|| {
                sqlx::query(self.shared.sql.look.clone())
                    .bind(&poll.contracts)
                    .bind(self.caller(poll.now))
                    .bind(i64::from(poll.limit))
                    .bind(Uuid::from_u128(from))
                    .bind(from.checked_sub(1).map(Uuid::from_u128))
            })
            .await?;
        let ready: Vec<Uuid> = row.try_get("ready").map_err(failed)?;
        let is_whole: bool = row.try_get("is_whole").map_err(failed)?;
        let wait = row.optional_duration("wait").map_err(corrupt)?;
        let waited: Vec<Option<i64>> = row.try_get("waited").map_err(failed)?;
        let oldest = poll.contracts.iter().zip(waited).filter_map(|(contract, waited)| {
            Some((contract.clone(), Duration::from_micros(u64::try_from(waited?).ok()?)))
        });
        let ready: Vec<_> = ready.iter().map(|id| SubscriptionId::from_u128(id.as_u128())).collect();
        cursors().set(&poll.contracts, ready.last().copied().filter(|_| !is_whole));
        let organizations: Vec<String> = row.try_get("organizations").map_err(failed)?;
        let failing: Vec<bool> = row.try_get("failing").map_err(failed)?;
        let details = ready.iter().zip(organizations).zip(failing);
        let details =
            details.map(|((id, organization), is)| ReadyDetails::new(*id, organization, is)).collect();
        Ok(Polled::new(ready, wait).with_oldest_due(oldest.collect()).with_details(details))
    }

    async fn claim(&self, claim: &Claim) -> Result<Claims, StoreError> {
        if claim.shares.is_empty() {
            return Ok(Claims::default());
        }
        let share = |share: &Share| Uuid::from_u128(share.subscription.as_u128());
        let subscriptions: Vec<_> = claim.shares.iter().map(share).collect();
        let limits: Vec<_> = claim.shares.iter().map(|share| i64::from(share.limit)).collect();
        let since: Vec<_> = claim.shares.iter().map(|share| share.since.map_or(i64::MIN, bounded)).collect();
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.claim.clone())
                    .bind(&claim.contracts)
                    .bind(self.caller(claim.now))
                    .bind(reach(claim.lease))
                    .bind(&subscriptions)
                    .bind(&limits)
                    .bind(&since)
            })
            .await?;
        let leased = rows.iter().map(LeasedRow::read).collect::<Result<Vec<_>, _>>()?;
        let mut parents = Parents::default();
        for (row, leased) in rows.iter().zip(&leased) {
            add_parents(row, leased, &mut parents)?;
        }
        Ok(LeasedRow::claims(leased, &parents))
    }

    async fn extend(
        &self,
        leases: &[(DeliveryId, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> Result<Vec<Settled>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked: Vec<_> =
            leases.iter().filter_map(|asked| Some((asked.0, stored_lease(asked.1)?))).collect();
        asked.sort_unstable();
        let ids: Vec<_> = asked.iter().map(|(delivery, _)| Uuid::from_u128(delivery.as_u128())).collect();
        let numbers: Vec<_> = asked.iter().map(|(_, lease)| *lease).collect();
        let row = self
            .one(|| {
                sqlx::query(self.shared.sql.extend.clone())
                    .bind(&ids)
                    .bind(&numbers)
                    .bind(self.caller(now))
                    .bind(reach(lease))
            })
            .await?;
        let extended: HashSet<_> = places(&row, "done")?.filter_map(|place| asked.get(place)).collect();
        let outcome = |lease: &(DeliveryId, Lease)| match stored_lease(lease.1) {
            Some(number) if extended.contains(&(lease.0, number)) => Settled::Done,
            _ => Settled::Stale,
        };
        Ok(leases.iter().map(outcome).collect())
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let mut outcomes = Vec::with_capacity(settlements.len());
        for batch in settlements.chunks(usize::from(MAX_SETTLED)) {
            let rows = SettlementRows::new(batch, |now| self.caller(now));
            let row = self.one(|| rows.query(&self.shared.sql.settle)).await?;
            outcomes.extend(rows.outcomes(&row, batch.len())?);
        }
        Ok(outcomes)
    }

    async fn put_health(
        &self,
        id: SubscriptionId,
        seen: &Health,
        health: &Health,
        disable: Option<DisabledReason>,
        now: OffsetDateTime,
    ) -> Result<HealthWritten, StoreError> {
        let (seen, health) = (seen.to_storage(), health.to_storage());
        let put = || {
            sqlx::query(self.shared.sql.put_health.clone())
                .bind(Uuid::from_u128(id.as_u128()))
                .bind(&seen)
                .bind(&health)
                .bind(disable.map(DisabledReason::as_str))
                .bind(columns::micros(now))
        };
        let Some(row) = self.rows(put).await?.pop() else { return Ok(HealthWritten::Stale) };
        Ok(match row.number("is_disabled").map_err(corrupt)? {
            0 => HealthWritten::Done,
            _ => HealthWritten::Disabled,
        })
    }

    async fn expire(&self, age: Duration, limit: u32, now: OffsetDateTime) -> Result<u64, StoreError> {
        self.expire_deliveries(age, limit, now).await
    }
}

/// Joins the transaction that the connection has open. Without one, the events are written in a transaction
/// of their own.
///
/// One statement writes a batch, so it is written as a whole or not at all, also when its future is dropped.
/// As after any statement that PostgreSQL refuses, a transaction in which a batch failed can only be rolled
/// back (to a savepoint, if it has one).
impl TransactionalStore for PostgresStore {
    type Connection = PgConnection;

    async fn subscriptions_in(
        &self,
        connection: &mut PgConnection,
        organization: &str,
    ) -> Result<Subscribed, StoreError> {
        let Ok(organization) = indexed("organization", organization) else {
            return Ok(Subscribed::new(Vec::new()));
        };
        let statement = query(&self.shared.common.subscriptions, &[organization.into()]);
        subscriptions::subscribed(&self.rows_on(connection, statement).await?)
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

/// Reads the event and the subscription of a leased row, if it comes with them.
fn add_parents(row: &PgRow, leased: &LeasedRow, parents: &mut Parents) -> Result<(), StoreError> {
    let comes_with = |column: &str| row.try_get::<bool, _>(column).map_err(failed);
    if let Some(payload) = leased.payload()
        && comes_with("has_event")?
    {
        parents.events.insert(payload.clone(), Event::read(row, "event_id", payload.1.as_deref()));
    }
    if comes_with("has_subscription")? {
        let id = SubscriptionId::from_u128(row.uuid("subscription").map_err(corrupt)?);
        parents
            .subscriptions
            .insert(id, columns::subscription(&SubscriptionOf(row), "subscription").map(Arc::new));
    }
    Ok(())
}

/// The subscription's columns of a claim's row, in which those of the delivery have the same names.
struct SubscriptionOf<'a>(&'a PgRow);

impl SubscriptionOf<'_> {
    fn name(column: &str) -> &str {
        match column {
            "contract" => "subscription_contract",
            "version" => "subscription_version",
            column => column,
        }
    }
}

impl Columns for SubscriptionOf<'_> {
    fn text(&self, column: &str) -> Result<&str, Unread> {
        self.0.text(Self::name(column))
    }

    fn optional_bytes(&self, column: &str) -> Result<Option<&[u8]>, Unread> {
        self.0.optional_bytes(Self::name(column))
    }

    fn optional_text(&self, column: &str) -> Result<Option<&str>, Unread> {
        self.0.optional_text(Self::name(column))
    }

    fn optional_number(&self, column: &str) -> Result<Option<i64>, Unread> {
        self.0.optional_number(Self::name(column))
    }

    fn uuid(&self, column: &str) -> Result<u128, Unread> {
        self.0.uuid(Self::name(column))
    }
}

/// The most deliveries that one statement settles. Each may have an order group to lock, and the server has
/// room for some thousand locks in all.
const MAX_SETTLED: u8 = 250;

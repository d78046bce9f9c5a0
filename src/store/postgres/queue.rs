//! Inserting, looking, claiming, extending and settling: one statement each.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::rows::{EventRows, SettlementRows, bounded, reach};
use super::{PostgresStore, failed};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{self, Columns as _, corrupt, stored_lease};
use crate::store::leased::{Event, Leased, Parents};
use crate::store::{Claim, Claims, Inserted, Lease, Look, NewEvent, Settled, Settlement, Share, StoreError};

impl PostgresStore {
    pub(super) async fn insert_events(&self, events: &[&NewEvent]) -> Result<Vec<Inserted>, StoreError> {
        let rows = EventRows::new(events)?;
        let row = self.one(|| self.insert_query(&rows, true)).await?;
        told(&rows, &row)
    }

    /// Nothing is parked, for the locks that parking takes would be held until the caller's commit.
    pub(super) async fn insert_events_in(
        &self,
        connection: &mut PgConnection,
        events: &[NewEvent],
    ) -> Result<Vec<Inserted>, StoreError> {
        let events: Vec<_> = events.iter().collect();
        let rows = EventRows::new(&events)?;
        let row = self.insert_query(&rows, false).fetch_one(connection).await.map_err(failed)?;
        told(&rows, &row)
    }

    fn insert_query(&self, rows: &EventRows<'_>, parks: bool) -> Query<'static, Postgres, PgArguments> {
        rows.query(&self.shared.sql.insert).bind(parks).bind(self.shared.caller_time)
    }

    pub(super) async fn look_for(&self, now: OffsetDateTime, limit: u32) -> Result<Look, StoreError> {
        let looked_at = || self.shared.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let from = *looked_at();
        let row = self
            .one(|| {
                sqlx::query(self.shared.sql.look.clone())
                    .bind(self.caller(now))
                    .bind(i64::from(limit))
                    .bind(Uuid::from_u128(from))
                    .bind(from.checked_sub(1).map(Uuid::from_u128))
            })
            .await?;
        let ready: Vec<Uuid> = row.try_get("ready").map_err(failed)?;
        let is_whole: bool = row.try_get("is_whole").map_err(failed)?;
        let wait = row.optional_duration("wait").map_err(corrupt)?;
        *looked_at() = match ready.last() {
            Some(last) if !is_whole => last.as_u128().wrapping_add(1),
            _ => 0,
        };
        Ok(Look::new(ready.iter().map(|id| SubscriptionId::from_u128(id.as_u128())).collect(), wait))
    }

    pub(super) async fn claim_due(&self, claim: &Claim) -> Result<Claims, StoreError> {
        let share = |share: &Share| Uuid::from_u128(share.subscription.as_u128());
        let subscriptions: Vec<_> = claim.shares.iter().map(share).collect();
        let limits: Vec<_> = claim.shares.iter().map(|share| i64::from(share.limit)).collect();
        let since: Vec<_> = claim.shares.iter().map(|share| share.since.map_or(i64::MIN, bounded)).collect();
        let rows = self
            .rows(|| {
                sqlx::query(self.shared.sql.claim.clone())
                    .bind(self.caller(claim.now))
                    .bind(reach(claim.lease))
                    .bind(&subscriptions)
                    .bind(&limits)
                    .bind(&since)
            })
            .await?;
        let leased = rows.iter().map(Leased::read).collect::<Result<Vec<_>, _>>()?;
        let mut parents = Parents::default();
        for (row, leased) in rows.iter().zip(&leased) {
            add_parents(row, leased, &mut parents)?;
        }
        Ok(Leased::claims(leased, &parents))
    }

    pub(super) async fn extend_leases(
        &self,
        leases: &[(DeliveryId, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> Result<Vec<Settled>, StoreError> {
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
        let extended: HashSet<_> = places(&row)?.filter_map(|place| asked.get(place)).collect();
        let tell = |lease: &(DeliveryId, Lease)| match stored_lease(lease.1) {
            Some(number) if extended.contains(&(lease.0, number)) => Settled::Done,
            _ => Settled::Stale,
        };
        Ok(leases.iter().map(tell).collect())
    }

    pub(super) async fn settle_batch(&self, settlements: &[Settlement]) -> Result<Vec<Settled>, StoreError> {
        let rows = SettlementRows::new(settlements, |now| self.caller(now));
        let row = self.one(|| rows.query(&self.shared.sql.settle)).await?;
        let mut told = vec![Settled::Stale; settlements.len()];
        for place in places(&row)?.filter_map(|place| rows.places.get(place)) {
            told[*place] = Settled::Done;
        }
        Ok(told)
    }
}

fn told(rows: &EventRows<'_>, row: &PgRow) -> Result<Vec<Inserted>, StoreError> {
    let found: Vec<i16> = row.try_get("told").map_err(failed)?;
    let mut told = vec![Inserted::New; rows.places.len()];
    for (place, found) in rows.places.iter().zip(found) {
        told[*place] = match found {
            0 => Inserted::New,
            1 => Inserted::Duplicate,
            _ => Inserted::Conflict,
        };
    }
    Ok(told)
}

/// Takes the event and the subscription that come with a claim's row, if any do.
fn add_parents(row: &PgRow, leased: &Leased, parents: &mut Parents) -> Result<(), StoreError> {
    let comes = |column: &str| row.try_get::<bool, _>(column).map_err(failed);
    if let Some(event) = leased.event()
        && comes("has_event")?
    {
        parents.events.insert(event, Event::read(row, "event_id"));
    }
    if comes("has_subscription")? {
        let id = SubscriptionId::from_u128(row.uuid("subscription").map_err(corrupt)?);
        parents.subscriptions.insert(id, columns::subscription(row, "subscription").map(Arc::new));
    }
    Ok(())
}

/// The places, from 0, of what was done.
fn places(row: &PgRow) -> Result<impl Iterator<Item = usize>, StoreError> {
    let done: Vec<i64> = row.try_get("done").map_err(failed)?;
    Ok(done.into_iter().filter_map(|place| usize::try_from(place).ok()?.checked_sub(1)))
}

//! Inserting, claiming and settling on one connection, inside whatever transaction it has.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use time::OffsetDateTime;

use super::rows::{self, AttemptRow, SettlementRow, Unread, blob, hex, json, micros};
use super::statements::Statements;
use super::{corrupt, failed};
use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{
    Claim, Claimed, Claims, Inserted, Lease, NewEvent, Settled, Settlement, StoreError, Unreadable,
};
use crate::subscription::{DisabledReason, Subscription};

pub(super) async fn insert(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &[NewEvent],
) -> Result<Vec<Inserted>, StoreError> {
    let mut told = Vec::with_capacity(events.len());
    for event in events {
        told.push(insert_one(sql, connection, event).await?);
    }
    Ok(told)
}

async fn insert_one(
    sql: &Statements,
    connection: &mut SqliteConnection,
    event: &NewEvent,
) -> Result<Inserted, StoreError> {
    let at = micros(event.inserted_at);
    let inserted = sqlx::query(sql.insert_event.clone())
        .bind(event.organization.as_str())
        .bind(event.id.as_str())
        .bind(event.event_type.as_str())
        .bind(event.payload.as_ref())
        .bind(at)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    let Some(row) = inserted else {
        let same: bool = sqlx::query(sql.same_payload.clone())
            .bind(event.organization.as_str())
            .bind(event.id.as_str())
            .bind(event.payload.as_ref())
            .fetch_one(connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(failed)?;
        return Ok(if same { Inserted::Duplicate } else { Inserted::Conflict });
    };
    if !event.deliveries.is_empty() {
        let pk: i64 = row.try_get(0).map_err(failed)?;
        sqlx::query(sql.insert_deliveries.clone())
            .bind(rows::new_deliveries(event))
            .bind(pk)
            .bind(at)
            .execute(connection)
            .await
            .map_err(failed)?;
    }
    Ok(Inserted::New)
}

/// Three statements whatever the number of deliveries: lease them, read each of their events once, each of their
/// subscriptions once.
pub(super) async fn claim(
    sql: &Statements,
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Claims, StoreError> {
    let leased = sqlx::query(sql.claim.clone())
        .bind(micros(claim.now))
        .bind(rows::later(claim.now, claim.lease))
        .bind(claim.limit)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let mut leased = leased.iter().map(Leased::read).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
    if leased.is_empty() {
        return Ok(Claims::default());
    }
    leased.sort_by_key(|leased| (leased.was_due_at, leased.delivery));
    let events = events(sql, connection, &leased).await?;
    let subscriptions = claimed_subscriptions(sql, connection, &leased).await?;
    let mut claims = Claims::default();
    for leased in leased {
        match leased.join(&events, &subscriptions) {
            Ok(claimed) => claims.deliveries.push(claimed),
            Err(unread) => claims.unreadable.push(leased.unreadable(unread)),
        }
    }
    Ok(claims)
}

/// A row that the claim returned. The columns that name it and its lease are read strictly, the rest as far as it goes:
/// without the former nothing can be told about it.
struct Leased {
    delivery: DeliveryId,
    lease: Lease,
    was_due_at: Option<i64>,
    attempt: u32,
    rest: Result<Rest, Unread>,
}

struct Rest {
    event: i64,
    subscription: SubscriptionId,
    first_attempt_at: Option<OffsetDateTime>,
}

impl Leased {
    fn read(row: &SqliteRow) -> Result<Self, Unread> {
        Ok(Self {
            delivery: DeliveryId::from_u128(rows::uuid(row, "id")?),
            lease: Lease::new(u64::try_from(row.try_get::<i64, _>("lease")?)?),
            was_due_at: row.try_get("was_due_at")?,
            attempt: row.try_get::<u32, _>("attempts").unwrap_or(0).saturating_add(1),
            rest: Rest::read(row),
        })
    }

    fn join(
        &self,
        events: &HashMap<i64, Result<Event, Unread>>,
        subscriptions: &HashMap<SubscriptionId, Result<Arc<Subscription>, Unread>>,
    ) -> Result<Claimed, String> {
        let rest = self.rest.as_ref().map_err(ToString::to_string)?;
        let event = events
            .get(&rest.event)
            .ok_or("the delivery's event is missing")?
            .as_ref()
            .map_err(|unread| format!("the delivery's event: {unread}"))?;
        let subscription = subscriptions
            .get(&rest.subscription)
            .ok_or("the delivery's subscription is missing")?
            .as_ref()
            .map_err(|unread| format!("the delivery's subscription: {unread}"))?;
        Ok(Claimed::new(
            self.delivery,
            self.lease,
            event.id.clone(),
            event.event_type.clone(),
            event.payload.clone(),
            Arc::clone(subscription),
        )
        .at_attempt(self.attempt, rest.first_attempt_at))
    }

    fn unreadable(&self, unread: String) -> Unreadable {
        let first_attempt_at = self.rest.as_ref().ok().and_then(|rest| rest.first_attempt_at);
        Unreadable::new(self.delivery, self.lease, corrupt(unread)).at_attempt(self.attempt, first_attempt_at)
    }
}

impl Rest {
    fn read(row: &SqliteRow) -> Result<Self, Unread> {
        // Read again, so that a count that cannot be is told and not taken for the first attempt.
        row.try_get::<u32, _>("attempts")?;
        Ok(Self {
            event: row.try_get("event")?,
            subscription: SubscriptionId::from_u128(rows::uuid(row, "subscription")?),
            first_attempt_at: rows::optional_instant(row.try_get("first_attempt_at")?)?,
        })
    }
}

/// What a delivery takes from its event's row.
struct Event {
    id: EventId,
    event_type: EventType,
    payload: Bytes,
}

impl Event {
    fn read(row: &SqliteRow) -> Result<Self, Unread> {
        Ok(Self {
            id: row.try_get::<&str, _>("id")?.parse()?,
            event_type: row.try_get::<&str, _>("type")?.parse()?,
            payload: row.try_get::<Vec<u8>, _>("payload")?.into(),
        })
    }
}

async fn events(
    sql: &Statements,
    connection: &mut SqliteConnection,
    leased: &[Leased],
) -> Result<HashMap<i64, Result<Event, Unread>>, StoreError> {
    let wanted: HashSet<i64> =
        leased.iter().filter_map(|leased| leased.rest.as_ref().ok()).map(|rest| rest.event).collect();
    let found =
        sqlx::query(sql.events.clone()).bind(json(&wanted)).fetch_all(connection).await.map_err(failed)?;
    found.iter().map(|row| Ok((row.try_get("pk").map_err(failed)?, Event::read(row)))).collect()
}

async fn claimed_subscriptions(
    sql: &Statements,
    connection: &mut SqliteConnection,
    leased: &[Leased],
) -> Result<HashMap<SubscriptionId, Result<Arc<Subscription>, Unread>>, StoreError> {
    let wanted: HashSet<SubscriptionId> =
        leased.iter().filter_map(|leased| leased.rest.as_ref().ok()).map(|rest| rest.subscription).collect();
    let wanted: Vec<_> = wanted.into_iter().map(|id| hex(id.as_u128())).collect();
    let found = sqlx::query(sql.subscriptions_of_claim.clone())
        .bind(json(&wanted))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    found
        .iter()
        .map(|row| {
            let id = SubscriptionId::from_u128(rows::uuid(row, "id").map_err(corrupt)?);
            Ok((id, rows::subscription(row).map(Arc::new)))
        })
        .collect()
}

/// Two statements whatever the number of settlements, and two more for each subscription that is disabled along.
pub(super) async fn settle(
    sql: &Statements,
    connection: &mut SqliteConnection,
    settlements: &[Settlement],
) -> Result<Vec<Settled>, StoreError> {
    // The same lease twice in one batch: the first counts, as it would in two batches.
    let mut seen = HashSet::new();
    let asked: Vec<_> = settlements
        .iter()
        .filter(|settlement| seen.insert((settlement.delivery, settlement.lease)))
        .filter_map(|settlement| {
            // A number that no row can hold is stale.
            let lease = i64::try_from(settlement.lease.number()).ok()?;
            Some(SettlementRow::new(settlement, lease))
        })
        .collect();
    let changed = sqlx::query(sql.settle.clone())
        .bind(json(&asked))
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let mut changed = changed
        .iter()
        .map(|row| {
            let lease = u64::try_from(row.try_get::<i64, _>("lease")?)?;
            // Settling ends the lease by raising it, so that the same settlement again is stale.
            Ok((DeliveryId::from_u128(rows::uuid(row, "id")?), Lease::new(lease.saturating_sub(1))))
        })
        .collect::<Result<HashSet<_>, Unread>>()
        .map_err(corrupt)?;
    let told: Vec<_> = settlements
        .iter()
        .map(|settlement| match changed.remove(&(settlement.delivery, settlement.lease)) {
            true => Settled::Done,
            false => Settled::Stale,
        })
        .collect();
    let done =
        || settlements.iter().zip(&told).filter(|(_, told)| **told == Settled::Done).map(|(done, _)| done);
    let attempts: Vec<_> = done()
        .filter_map(|settlement| Some(AttemptRow::new(settlement.delivery, settlement.attempt.as_ref()?)))
        .collect();
    if !attempts.is_empty() {
        sqlx::query(sql.insert_attempts.clone())
            .bind(json(&attempts))
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    for settlement in done() {
        if let Some(reason) = settlement.disable {
            disable(sql, connection, settlement, reason).await?;
        }
    }
    Ok(told)
}

async fn disable(
    sql: &Statements,
    connection: &mut SqliteConnection,
    settlement: &Settlement,
    reason: DisabledReason,
) -> Result<(), StoreError> {
    let disabled = sqlx::query(sql.disable_of_delivery.clone())
        .bind(blob(settlement.delivery.as_u128()))
        .bind(reason.as_str())
        .bind(micros(settlement.now))
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    let Some(row) = disabled else { return Ok(()) };
    let subscription = SubscriptionId::from_u128(rows::uuid(&row, "id").map_err(corrupt)?);
    hold(sql, connection, subscription, true).await
}

/// Takes a subscription's pending deliveries out of the claim's reach, or puts them back.
pub(super) async fn hold(
    sql: &Statements,
    connection: &mut SqliteConnection,
    subscription: SubscriptionId,
    held: bool,
) -> Result<(), StoreError> {
    sqlx::query(sql.hold.clone())
        .bind(blob(subscription.as_u128()))
        .bind(held)
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(())
}

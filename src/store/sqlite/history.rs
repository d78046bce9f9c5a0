//! What is done to deliveries besides sending them: cancelling, replaying, forgetting; on one connection, inside whatever
//! transaction it has.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlStr, SqliteConnection};
use time::OffsetDateTime;

use super::failed;
use super::queue::{Deliveries, Place, next_of_keys};
use super::rows::{blob, hex};
use super::statements::Statements;
use crate::delivery::{DeadReason, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{Columns as _, Unread, corrupt, json, micros};
use crate::store::{Replay, Replayed, StoreError, StoreErrorKind};

pub(super) async fn delete_subscription(
    sql: &Statements,
    connection: &mut SqliteConnection,
    id: SubscriptionId,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let id = blob(id.as_u128());
    let delete = sqlx::query(sql.delete_subscription.clone()).bind(id.as_slice());
    if delete.execute(&mut *connection).await.map_err(failed)?.rows_affected() == 0 {
        return Ok(false);
    }
    let forget = sqlx::query(sql.forget_secrets.clone()).bind(id.as_slice());
    forget.execute(&mut *connection).await.map_err(failed)?;
    for cancel in [&sql.cancel_due_of_subscription, &sql.cancel_waiting_of_subscription] {
        let cancel = sqlx::query(cancel.clone()).bind(id.as_slice()).bind(micros(now));
        cancel.execute(&mut *connection).await.map_err(failed)?;
    }
    Ok(true)
}

pub(super) async fn cancel(
    sql: &Statements,
    connection: &mut SqliteConnection,
    id: DeliveryId,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let cancel = sqlx::query(sql.cancel.clone()).bind(blob(id.as_u128())).bind(micros(now));
    let cancelled = cancel.fetch_all(&mut *connection).await.map_err(failed)?;
    go_on(sql, connection, &cancelled, now).await?;
    Ok(!cancelled.is_empty())
}

pub(super) async fn expunge(
    sql: &Statements,
    connection: &mut SqliteConnection,
    organization: &str,
    event: &EventId,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let expunge = sqlx::query(sql.expunge.clone()).bind(organization).bind(event.as_str());
    let Some(row) = expunge.fetch_optional(&mut *connection).await.map_err(failed)? else {
        return Ok(false);
    };
    let pk: i64 = row.try_get(0).map_err(failed)?;
    let cancel = sqlx::query(sql.cancel_of_event.clone()).bind(pk).bind(micros(now));
    let cancelled = cancel.fetch_all(&mut *connection).await.map_err(failed)?;
    go_on(sql, connection, &cancelled, now).await?;
    Ok(true)
}

/// Whoever waited behind deliveries that were cancelled waits no longer.
async fn go_on(
    sql: &Statements,
    connection: &mut SqliteConnection,
    cancelled: &[SqliteRow],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let places: Vec<_> = cancelled.iter().map(Place::read).collect::<Result<_, _>>().map_err(corrupt)?;
    let ended: Vec<_> = places.into_iter().filter_map(|place| place.ended_at(micros(now))).collect();
    next_of_keys(sql, connection, &ended).await
}

/// Three statements, whatever the limit.
pub(super) async fn replay(
    sql: &Statements,
    connection: &mut SqliteConnection,
    replay: &Replay,
    now: OffsetDateTime,
    limit: u32,
) -> Result<Replayed, StoreError> {
    let many = |subscription: &SubscriptionId, since: i64, without: &'static str| {
        sqlx::query(sql.replay_many.clone())
            .bind(blob(subscription.as_u128()))
            .bind(since)
            .bind(without)
            .bind(limit)
            .bind(micros(now))
    };
    let query = match replay {
        _ if limit == 0 => return Ok(Replayed::default()),
        Replay::Delivery(id) => sqlx::query(sql.replay_one.clone()).bind(blob(id.as_u128())),
        Replay::DeadLetters(subscription) => {
            many(subscription, i64::MIN, DeliveryState::Dead(DeadReason::Cancelled).as_str())
        }
        Replay::Since(subscription, since) => many(subscription, micros(*since), ""),
    };
    let found = query.fetch_all(&mut *connection).await.map_err(failed)?;
    let found = found.iter().map(Again::read).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
    let Some(first) = found.first() else { return Ok(Replayed::default()) };
    let more =
        !matches!(replay, Replay::Delivery(_)) && found.len() == usize::try_from(limit).unwrap_or(usize::MAX);

    // An event that is a dead letter twice is sent again once.
    let mut events = HashSet::new();
    let again: Vec<_> = found.iter().filter(|again| events.insert(again.event)).collect();
    let mut ids = again.iter().map(|_| fresh_id(now)).collect::<Result<Vec<_>, _>>()?;
    // Made at one instant, they are listed in the order of their events.
    ids.sort_unstable();
    let mut deliveries = Deliveries::default();
    for (id, again) in ids.into_iter().zip(&again) {
        deliveries.push(id, again.event, again.subscription, again.key.as_deref(), micros(now));
    }
    deliveries.insert(sql, connection).await?;
    sqlx::query(sql.mark_replayed.clone())
        .bind(json(&events))
        .bind(blob(first.subscription.as_u128()))
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(Replayed::new(u32::try_from(again.len()).unwrap_or(u32::MAX), more))
}

/// A delivery to be made again.
struct Again {
    event: i64,
    subscription: SubscriptionId,
    key: Option<String>,
}

impl Again {
    fn read(row: &SqliteRow) -> Result<Self, Unread> {
        Ok(Self {
            event: row.try_get("event")?,
            subscription: SubscriptionId::from_u128(row.uuid("subscription")?),
            key: row.try_get("ordering_key")?,
        })
    }
}

fn fresh_id(now: OffsetDateTime) -> Result<DeliveryId, StoreError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.to_string()))?;
    Ok(DeliveryId::from_parts(now, random))
}

/// What a batch of pruning did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pruned {
    /// How many rows it deleted, or emptied.
    pub(super) rows: u64,
    /// Whether no delivery was left to look at.
    pub(super) is_last: bool,
}

/// Attempts of deliveries that ended by `before`.
pub(super) async fn prune_attempts(
    sql: &Statements,
    connection: &mut SqliteConnection,
    before: i64,
    limit: u32,
) -> Result<Pruned, StoreError> {
    let batch = Batch::find(&sql.finished_with_attempts, connection, before, limit).await?;
    if batch.ids.is_empty() {
        return Ok(Pruned { rows: 0, is_last: true });
    }
    let rows = run(connection, &sql.prune_attempts, &batch.ids, Some(limit.into())).await?;
    run(connection, &sql.mark_without_attempts, &batch.ids, None).await?;
    Ok(Pruned { rows, is_last: false })
}

/// Payloads of events whose last delivery ended by `before`, or that were inserted by then without one.
pub(super) async fn prune_payloads(
    sql: &Statements,
    connection: &mut SqliteConnection,
    before: i64,
    limit: u32,
) -> Result<Pruned, StoreError> {
    let batch = Batch::find(&sql.finished_with_payload, connection, before, limit).await?;
    let mut rows = 0;
    if !batch.ids.is_empty() {
        rows += run(connection, &sql.prune_payloads, &batch.events, Some(before)).await?;
        run(connection, &sql.mark_payload_seen_to, &batch.ids, None).await?;
    }
    let left = i64::from(limit).saturating_sub_unsigned(rows);
    let unwanted = prune_unwanted(connection, &sql.prune_unwanted_payloads, before, left).await?;
    Ok(Pruned { rows: rows + unwanted, is_last: batch.ids.is_empty() })
}

/// Deliveries that ended by `before` with their attempts, and the events that have none left.
pub(super) async fn prune_deliveries(
    sql: &Statements,
    connection: &mut SqliteConnection,
    before: i64,
    limit: u32,
) -> Result<Pruned, StoreError> {
    let batch = Batch::find(&sql.finished, connection, before, limit).await?;
    let (mut rows, mut events) = (0, 0);
    if !batch.ids.is_empty() {
        rows += run(connection, &sql.prune_attempts, &batch.ids, Some(limit.into())).await?;
        rows += run(connection, &sql.prune_deliveries, &batch.ids, None).await?;
        events = run(connection, &sql.prune_events, &batch.events, None).await?;
    }
    let left = i64::from(limit).saturating_sub_unsigned(events);
    let unwanted = prune_unwanted(connection, &sql.prune_unwanted_events, before, left).await?;
    Ok(Pruned { rows: rows + events + unwanted, is_last: batch.ids.is_empty() })
}

/// Some deliveries that ended, in hex, and their events.
struct Batch {
    ids: Vec<String>,
    events: HashSet<i64>,
}

impl Batch {
    async fn find(
        finished: &SqlStr,
        connection: &mut SqliteConnection,
        before: i64,
        limit: u32,
    ) -> Result<Self, StoreError> {
        let found = sqlx::query(finished.clone()).bind(before).bind(limit);
        let found = found.fetch_all(connection).await.map_err(failed)?;
        let mut batch = Self { ids: Vec::with_capacity(found.len()), events: HashSet::new() };
        for row in &found {
            batch.ids.push(hex(row.uuid("id").map_err(corrupt)?));
            batch.events.insert(row.try_get("event").map_err(failed)?);
        }
        Ok(batch)
    }
}

/// Runs a statement on a list, and one more value where it takes one.
async fn run(
    connection: &mut SqliteConnection,
    sql: &SqlStr,
    list: &impl Serialize,
    value: Option<i64>,
) -> Result<u64, StoreError> {
    let mut query = sqlx::query(sql.clone()).bind(json(list));
    if let Some(value) = value {
        query = query.bind(value);
    }
    Ok(query.execute(connection).await.map_err(failed)?.rows_affected())
}

async fn prune_unwanted(
    connection: &mut SqliteConnection,
    sql: &SqlStr,
    before: i64,
    limit: i64,
) -> Result<u64, StoreError> {
    let query = sqlx::query(sql.clone()).bind(before).bind(limit);
    Ok(query.execute(connection).await.map_err(failed)?.rows_affected())
}

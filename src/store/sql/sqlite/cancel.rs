//! Ending deliveries without an attempt, in the caller's transaction.

use sqlx::{Row as _, SqlStr, SqliteConnection};
use time::OffsetDateTime;

use super::connection::Connection as _;
use super::error::failed;
use super::queue::settling::Place;
use super::row::Row;
use super::rows::{hex, query};
use super::statements::Statements;
use crate::delivery::{DeadReason, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::StoreError;
use crate::store::sql::columns::{Columns as _, Unread, corrupt, json, micros};
use crate::store::sql::value::Value;

pub(super) async fn delete_subscription(
    sql: &Statements,
    connection: &mut SqliteConnection,
    id: SubscriptionId,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let delete = query(&sql.delete_subscription, &[id.into()]);
    if delete.execute(&mut *connection).await.map_err(failed)?.rows_affected() == 0 {
        return Ok(false);
    }
    query(&sql.forget_secrets, &[id.into()]).execute(&mut *connection).await.map_err(failed)?;
    loop {
        let values = [id.into(), MOST_AT_ONCE.into()];
        let found = pending(&sql.cancelling_of_subscription, connection, &values).await?;
        if found.is_empty() {
            return Ok(true);
        }
        // Nothing is unblocked, because no delivery of a deleted subscription is sent.
        end(sql, connection, &found, CANCELLED, now).await?;
    }
}

pub(super) async fn cancel(
    sql: &Statements,
    connection: &mut SqliteConnection,
    id: DeliveryId,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let found = pending(&sql.cancelling, connection, &[id.into()]).await?;
    let ended = end(sql, connection, &found, CANCELLED, now).await?;
    go_on(sql, connection, ended, now).await?;
    Ok(!found.is_empty())
}

pub(super) async fn expunge(
    sql: &Statements,
    connection: &mut SqliteConnection,
    (organization, contract): (&str, &str),
    event: &EventId,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let expunge = query(&sql.expunge, &[organization.into(), contract.into(), event.into()]);
    let Some(row) = expunge.fetch_optional(&mut *connection).await.map_err(failed)? else {
        return Ok(false);
    };
    let pk: i64 = row.try_get("pk").map_err(failed)?;
    query(&sql.expunge_older, &[pk.into()]).execute(&mut *connection).await.map_err(failed)?;
    let found = pending(&sql.cancelling_of_event, connection, &[pk.into()]).await?;
    let ended = end(sql, connection, &found, CANCELLED, now).await?;
    go_on(sql, connection, ended, now).await?;
    Ok(true)
}

/// Ends about `limit` deliveries whose wait began by `before`, and returns how many.
pub(super) async fn expire(
    sql: &Statements,
    connection: &mut SqliteConnection,
    before: OffsetDateTime,
    limit: u32,
    now: OffsetDateTime,
) -> Result<u64, StoreError> {
    let (before, at) = (micros(before), micros(now));
    let kept = pending(&sql.expiring_kept, connection, &[before.into(), limit.into()]).await?;
    let ended = end(sql, connection, &kept, EXPIRED, now).await?;
    go_on(sql, connection, ended, now).await?;
    let left = limit.saturating_sub(u32::try_from(kept.len()).unwrap_or(u32::MAX));
    let mut waiting = pending(&sql.expiring_disabled, connection, &[before.into(), left.into()]).await?;
    let left = left.saturating_sub(u32::try_from(waiting.len()).unwrap_or(u32::MAX));
    waiting
        .extend(pending(&sql.expiring_paused, connection, &[before.into(), left.into(), at.into()]).await?);
    if waiting.is_empty() {
        return Ok(kept.len() as u64);
    }
    let heads = json(&waiting);
    let behind = pending(&sql.expiring_behind, connection, &[(&*heads).into(), before.into()]).await?;
    waiting.extend(behind);
    let ended = end(sql, connection, &waiting, EXPIRED, now).await?;
    for place in places(ended)? {
        if let Some(key) = &place.key {
            let unblock = query(&sql.unblock_waiting, &[place.subscription[..].into(), key[..].into()]);
            unblock.execute(&mut *connection).await.map_err(failed)?;
        }
    }
    Ok((kept.len() + waiting.len()) as u64)
}

/// Returns the ids, in hex, of the pending deliveries that a statement finds.
async fn pending(
    sql: &SqlStr,
    connection: &mut SqliteConnection,
    values: &[Value<'_>],
) -> Result<Vec<String>, StoreError> {
    let found = query(sql, values).fetch_all(connection).await.map_err(failed)?;
    let ids = found.iter().map(|row| Ok(hex(row.uuid("id")?)));
    ids.collect::<Result<_, Unread>>().map_err(corrupt)
}

/// Moves pending deliveries to the history, in this state; returns their subscriptions and ordering keys.
async fn end(
    sql: &Statements,
    connection: &mut SqliteConnection,
    ids: &[String],
    state: DeliveryState,
    now: OffsetDateTime,
) -> Result<Vec<Row>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = json(ids);
    let values = [(&*ids).into(), micros(now).into(), state.as_str().into()];
    let append = query(&sql.append_dead, &values);
    append.execute(&mut *connection).await.map_err(failed)?;
    connection.fetch(&sql.remove_dead, &[(&*ids).into()]).await
}

/// Unblocks the deliveries behind those that were cancelled.
async fn go_on(
    sql: &Statements,
    connection: &mut SqliteConnection,
    cancelled: Vec<Row>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    for place in places(cancelled)? {
        place.unblock(sql, connection, micros(now)).await?;
    }
    Ok(())
}

/// Where these deliveries were pending.
fn places(ended: Vec<Row>) -> Result<Vec<Place>, StoreError> {
    ended.iter().map(Place::read).collect::<Result<_, _>>().map_err(corrupt)
}

const CANCELLED: DeliveryState = DeliveryState::Dead(DeadReason::Cancelled);
const EXPIRED: DeliveryState = DeliveryState::Dead(DeadReason::Expired);

/// How many deliveries of a subscription are cancelled by one statement.
const MOST_AT_ONCE: u32 = 1_000;

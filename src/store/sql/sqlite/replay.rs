//! Making deliveries again, on the caller's connection.

use std::collections::HashSet;

use sqlx::sqlite::SqliteRow;
use sqlx::{SqlStr, SqliteConnection};
use time::OffsetDateTime;

use super::error::failed;
use super::queue::inserting::{DeliveryRow, insert_deliveries};
use super::rows::query;
use super::statements::Statements;
use super::store::SqliteStore;
use crate::contract::ContractId;
use crate::delivery::{DeadReason, DeliveryState};
use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::sql::columns::{Columns as _, Unread, corrupt, json, micros};
use crate::store::sql::database::Database as _;
use crate::store::sql::value::Value;
use crate::store::{MissingPayload, NewDelivery, Replay, Replayed, StoreError, StoreErrorKind};

/// Makes up to `limit` deliveries again.
pub(super) async fn replay(
    sql: &Statements,
    connection: &mut SqliteConnection,
    replay: &Replay,
    limit: u32,
    now: OffsetDateTime,
) -> Result<Replayed, StoreError> {
    if limit == 0 {
        return Ok(Replayed::default());
    }
    let (statement, values) = named(sql, replay, true, limit, now);
    let found = query(statement, &values).fetch_all(&mut *connection).await.map_err(failed)?;
    let found = found.iter().map(Again::read).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
    let missing = missing(found.iter().filter(|again| !again.has_bytes));
    if !missing.is_empty() {
        return Ok(Replayed::default().with_missing(missing));
    }
    let Some(first) = found.first() else { return Ok(Replayed::default()) };
    let more =
        !matches!(replay, Replay::Delivery(_)) && found.len() == usize::try_from(limit).unwrap_or(usize::MAX);

    // An event that is a dead letter twice is sent again once.
    let mut events = HashSet::new();
    let again: Vec<_> = found.iter().filter(|again| events.insert(again.event)).collect();
    let mut ids = again.iter().map(|_| fresh_id(now)).collect::<Result<Vec<_>, _>>()?;
    // The deliveries are made at one instant. Sorted ids list them in the order of their events.
    ids.sort_unstable();
    let rows: Vec<_> = ids.into_iter().zip(&again).map(|(id, again)| again.row(id, now)).collect();
    insert_deliveries(sql, connection, &rows).await?;
    let events = json(&events);
    let values = [(&*events).into(), first.subscription.into()];
    query(&sql.mark_replayed, &values).execute(connection).await.map_err(failed)?;
    Ok(Replayed::new(u32::try_from(again.len()).unwrap_or(u32::MAX), more))
}

/// Finds up to `limit` of the events that a replay names and that are not stored in the version that the
/// subscription speaks.
pub(super) async fn missing_payloads(
    store: &SqliteStore,
    replay: &Replay,
    limit: u32,
    now: OffsetDateTime,
) -> Result<Vec<MissingPayload>, StoreError> {
    let (statement, values) = named(&store.sql, replay, false, limit, now);
    let found = store.read(statement, &values).await?;
    let found = found.iter().map(Again::read).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
    Ok(missing(found.iter()))
}

/// The statement that finds up to `limit` of the deliveries that a replay names, with its parameters: all, or
/// those without their bytes.
fn named<'a>(
    sql: &'a Statements,
    replay: &Replay,
    all: bool,
    limit: u32,
    now: OffsetDateTime,
) -> (&'a SqlStr, Vec<Value<'static>>) {
    let all = Value::from(i64::from(all));
    let many = |subscription: SubscriptionId, since: i64, without: &'static str| {
        let at = micros(now).into();
        vec![subscription.into(), since.into(), without.into(), limit.into(), at, all]
    };
    match *replay {
        Replay::Delivery(id) => (&sql.replay_one, vec![id.into(), all]),
        Replay::DeadLetters(subscription) => {
            let cancelled = DeliveryState::Dead(DeadReason::Cancelled).as_str();
            (&sql.replay_many, many(subscription, i64::MIN, cancelled))
        }
        Replay::Since(subscription, since) => (&sql.replay_many, many(subscription, micros(since), "")),
    }
}

/// Returns each event once.
fn missing<'a>(found: impl Iterator<Item = &'a Again>) -> Vec<MissingPayload> {
    let mut events = HashSet::new();
    let once = found.filter(|again| events.insert(again.event));
    once.map(|again| MissingPayload::new(again.wanted.clone(), again.id.clone())).collect()
}

/// A delivery to be made again.
struct Again {
    event: i64,
    id: EventId,
    subscription: SubscriptionId,
    /// The contract in the version that the subscription speaks, and that version if it is not the event's
    /// newest.
    wanted: ContractId,
    version: Option<String>,
    has_bytes: bool,
    key: Option<String>,
}

impl Again {
    /// Returns the new delivery.
    fn row(&self, id: DeliveryId, now: OffsetDateTime) -> DeliveryRow<'_> {
        let delivery = NewDelivery::new(id, self.subscription);
        DeliveryRow::new(&delivery, self.event, self.version.as_deref(), self.key.as_deref(), now)
    }

    fn read(row: &SqliteRow) -> Result<Self, Unread> {
        let text = |column| Ok::<_, Unread>(row.optional_text(column)?.map(str::to_owned));
        Ok(Self {
            event: row.number("event")?,
            id: row.text("id")?.parse()?,
            wanted: ContractId::new(row.text("contract")?, row.text("wanted")?)?,
            has_bytes: row.number("has_bytes")? != 0,
            subscription: SubscriptionId::from_u128(row.uuid("subscription")?),
            version: text("version")?,
            key: text("ordering_key")?,
        })
    }
}

fn fresh_id(now: OffsetDateTime) -> Result<DeliveryId, StoreError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.to_string()))?;
    Ok(DeliveryId::from_parts(now, random))
}

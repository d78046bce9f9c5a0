//! Inserting, claiming, extending and settling on one connection, inside whatever transaction it has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::failed;
use super::rows::{AttemptRow, DeliveryRow, SettlementRow, SubscriptionRow, blob, hex, later};
use super::statements::{MAX_SHARES, Statements};
use crate::delivery::Next;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{self, Columns as _, Unread, corrupt, json, micros, stored_lease};
use crate::store::leased::{Event, Leased, Parents};
use crate::store::{Claim, Claims, Inserted, Lease, NewEvent, Settled, Settlement, Share, StoreError};
use crate::subscription::Subscription;

/// A few statements for all events, one more for each that was there already, and one for all deliveries.
pub(super) async fn insert(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &[&NewEvent],
) -> Result<Vec<Inserted>, StoreError> {
    let digests: Vec<_> = events.iter().map(|event| Sha256::digest(&event.payload)).collect();
    let mut rows = Vec::with_capacity(events.len());
    let (mut events_left, mut digests_left) = (events, digests.as_slice());
    while !events_left.is_empty() {
        let (size, insert) = sql.insert_events(events_left.len());
        let (some, rest) = events_left.split_at(size);
        let (some_digests, rest_digests) = digests_left.split_at(size);
        let mut query = sqlx::query(insert);
        for (event, digest) in some.iter().zip(some_digests) {
            let at = micros(event.inserted_at);
            query = query
                .bind(event.organization.as_str())
                .bind(event.id.as_str())
                .bind(event.event_type.as_str())
                .bind(digest.as_slice())
                .bind(at)
                .bind(event.deliveries.is_empty().then_some(at))
                .bind((!event.attributes.is_empty()).then(|| json(&event.attributes)))
                .bind(event.payload.as_ref());
        }
        rows.extend(query.fetch_all(&mut *connection).await.map_err(failed)?);
        (events_left, digests_left) = (rest, rest_digests);
    }
    // The rows come in no order, and those that were there already do not.
    let mut new = HashMap::with_capacity(rows.len());
    for row in &rows {
        let name: (&str, &str) =
            (row.try_get("organization").map_err(failed)?, row.try_get("id").map_err(failed)?);
        new.insert(name, row.try_get::<i64, _>("pk").map_err(failed)?);
    }
    let mut told = Vec::with_capacity(events.len());
    let mut deliveries = Deliveries::default();
    for (event, digest) in events.iter().zip(&digests) {
        // Of one that is there twice, the first is new.
        let Some(pk) = new.remove(&(event.organization.as_str(), event.id.as_str())) else {
            told.push(known(sql, connection, event, digest).await?);
            continue;
        };
        let at = micros(event.inserted_at);
        for (delivery, subscription) in &event.deliveries {
            deliveries.push(*delivery, pk, *subscription, event.ordering_key.as_deref(), at);
        }
        told.push(Inserted::New);
    }
    deliveries.insert(sql, connection).await?;
    Ok(told)
}

/// What became of an event that was there already.
async fn known(
    sql: &Statements,
    connection: &mut SqliteConnection,
    event: &NewEvent,
    digest: &[u8],
) -> Result<Inserted, StoreError> {
    let same: bool = sqlx::query(sql.same_payload.clone())
        .bind(event.organization.as_str())
        .bind(event.id.as_str())
        .bind(digest)
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    Ok(if same { Inserted::Duplicate } else { Inserted::Conflict })
}

/// Deliveries to be made in one statement.
#[derive(Default)]
pub(super) struct Deliveries<'a> {
    rows: Vec<DeliveryRow<'a>>,
    ranks: HashMap<(SubscriptionId, &'a str), u32>,
}

impl<'a> Deliveries<'a> {
    pub(super) fn push(
        &mut self,
        delivery: DeliveryId,
        event: i64,
        subscription: SubscriptionId,
        key: Option<&'a str>,
        at: i64,
    ) {
        let rank = match key {
            None => 0,
            Some(key) => {
                let next = self.ranks.entry((subscription, key)).or_default();
                *next += 1;
                *next - 1
            }
        };
        self.rows.push(DeliveryRow::new(delivery, event, subscription, key, rank, at));
    }

    pub(super) async fn insert(
        self,
        sql: &Statements,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let insert = sqlx::query(sql.insert_deliveries.clone()).bind(json(&self.rows));
        insert.execute(connection).await.map_err(failed)?;
        Ok(())
    }
}

/// Three statements whatever the number of deliveries: read the subscriptions that may be claimed from, lease, read each
/// event once. Many shares are leased by a statement for each [`MAX_SHARES`].
pub(super) async fn claim(
    sql: &Statements,
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<Claims, StoreError> {
    let subscriptions = claimable_subscriptions(sql, connection, claim).await?;
    let shares: Vec<_> = claim
        .shares
        .iter()
        .filter(|share| share.limit > 0 && subscriptions.contains_key(&share.subscription))
        .collect();
    let mut leased = Vec::new();
    for shares in shares.chunks(MAX_SHARES) {
        leased.extend(lease(sql, connection, claim, shares).await?);
    }
    if leased.is_empty() {
        return Ok(Claims::default());
    }
    let events = events(sql, connection, &leased).await?;
    Ok(Leased::claims(leased, &Parents { events, subscriptions }))
}

async fn lease(
    sql: &Statements,
    connection: &mut SqliteConnection,
    claim: &Claim,
    shares: &[&Share],
) -> Result<Vec<Leased>, StoreError> {
    let (size, lease) = sql.lease(shares.len());
    let mut query = sqlx::query(lease).bind(micros(claim.now)).bind(later(claim.now, claim.lease));
    for share in shares {
        query = query
            .bind(blob(share.subscription.as_u128()))
            .bind(share.since.map_or(i64::MIN, micros))
            .bind(share.limit);
    }
    for _ in shares.len()..size {
        query = query.bind(Vec::new()).bind(i64::MIN).bind(0);
    }
    let leased = query.fetch_all(connection).await.map_err(failed)?;
    leased.iter().map(Leased::read).collect()
}

async fn events(
    sql: &Statements,
    connection: &mut SqliteConnection,
    leased: &[Leased],
) -> Result<HashMap<i64, Result<Event, Unread>>, StoreError> {
    let wanted: HashSet<i64> = leased.iter().filter_map(Leased::event).collect();
    let found =
        sqlx::query(sql.events.clone()).bind(json(&wanted)).fetch_all(connection).await.map_err(failed)?;
    found.iter().map(|row| Ok((row.try_get("pk").map_err(failed)?, Event::read(row, "id")))).collect()
}

/// Those that the claim names and that are enabled and not paused.
async fn claimable_subscriptions(
    sql: &Statements,
    connection: &mut SqliteConnection,
    claim: &Claim,
) -> Result<HashMap<SubscriptionId, Result<Arc<Subscription>, Unread>>, StoreError> {
    let wanted: Vec<_> = claim.shares.iter().map(|share| hex(share.subscription.as_u128())).collect();
    let found = sqlx::query(sql.subscriptions_of_claim.clone())
        .bind(json(&wanted))
        .bind(micros(claim.now))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    found
        .iter()
        .map(|row| {
            let id = SubscriptionId::from_u128(row.uuid("id").map_err(corrupt)?);
            Ok((id, columns::subscription(row, "id").map(Arc::new)))
        })
        .collect()
}

/// Has leases end at `until`.
pub(super) async fn extend(
    sql: &Statements,
    connection: &mut SqliteConnection,
    leases: &[(DeliveryId, Lease)],
    until: i64,
) -> Result<Vec<Settled>, StoreError> {
    let asked: Vec<_> = leases
        .iter()
        .filter_map(|(delivery, lease)| Some((hex(delivery.as_u128()), stored_lease(*lease)?)))
        .collect();
    let extended = sqlx::query(sql.extend.clone())
        .bind(json(&asked))
        .bind(until)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let extended = extended
        .iter()
        .map(|row| Ok((DeliveryId::from_u128(row.uuid("id")?), row.lease()?)))
        .collect::<Result<HashSet<_>, Unread>>()
        .map_err(corrupt)?;
    let tell = |lease| if extended.contains(lease) { Settled::Done } else { Settled::Stale };
    Ok(leases.iter().map(tell).collect())
}

/// Two statements whatever the number of settlements; one more when subscriptions are paused or disabled along, and one
/// more when deliveries with an ordering key end.
pub(super) async fn settle(
    sql: &Statements,
    connection: &mut SqliteConnection,
    settlements: &[&Settlement],
) -> Result<Vec<Settled>, StoreError> {
    // The same lease twice in one batch: the first counts, as it would in two batches.
    let mut seen = HashSet::new();
    let asked: Vec<_> = settlements
        .iter()
        .filter(|settlement| seen.insert((settlement.delivery, settlement.lease)))
        .filter_map(|settlement| Some(SettlementRow::new(settlement, stored_lease(settlement.lease)?)))
        .collect();
    let changed = sqlx::query(sql.settle.clone())
        .bind(json(&asked))
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let mut changed = changed
        .iter()
        .map(|row| {
            // Settling ends the lease by raising it, so that the same settlement again is stale.
            let lease = Lease::new(row.lease()?.number().saturating_sub(1));
            Ok(((DeliveryId::from_u128(row.uuid("id")?), lease), Place::read(row)?))
        })
        .collect::<Result<HashMap<_, _>, Unread>>()
        .map_err(corrupt)?;
    let mut told = Vec::with_capacity(settlements.len());
    let mut attempts = Vec::with_capacity(settlements.len());
    let mut subscriptions = BTreeMap::new();
    let mut ended = Vec::new();
    for settlement in settlements {
        let Some(place) = changed.remove(&(settlement.delivery, settlement.lease)) else {
            told.push(Settled::Stale);
            continue;
        };
        told.push(Settled::Done);
        attempts
            .extend(settlement.attempt.as_ref().map(|attempt| AttemptRow::new(settlement.delivery, attempt)));
        if settlement.pause.is_some() || settlement.disable.is_some() {
            subscriptions
                .entry(place.subscription.clone())
                .or_insert_with_key(|id| SubscriptionRow::new(id))
                .add(settlement);
        }
        if !matches!(settlement.next, Next::Retry { .. }) {
            ended.extend(place.ended_at(micros(settlement.now)));
        }
    }
    for (statement, rows) in [
        (&sql.insert_attempts, (!attempts.is_empty()).then(|| json(&attempts))),
        (
            &sql.settle_subscriptions,
            (!subscriptions.is_empty()).then(|| json(&subscriptions.values().collect::<Vec<_>>())),
        ),
    ] {
        let Some(rows) = rows else { continue };
        sqlx::query(statement.clone()).bind(rows).execute(&mut *connection).await.map_err(failed)?;
    }
    next_of_keys(sql, connection, &ended).await?;
    Ok(told)
}

/// Lets the next delivery of each of these keys be due.
pub(super) async fn next_of_keys(
    sql: &Statements,
    connection: &mut SqliteConnection,
    ended: &[(String, String, i64)],
) -> Result<(), StoreError> {
    if !ended.is_empty() {
        let next = sqlx::query(sql.next_of_keys.clone()).bind(json(ended));
        next.execute(connection).await.map_err(failed)?;
    }
    Ok(())
}

/// Where a delivery stood: its subscription, in hex as it is stored, and its ordering key.
pub(super) struct Place {
    subscription: String,
    key: Option<String>,
}

impl Place {
    pub(super) fn read(row: &SqliteRow) -> Result<Self, Unread> {
        let subscription: &[u8] = row.try_get("subscription")?;
        Ok(Self {
            subscription: subscription.iter().map(|byte| format!("{byte:02x}")).collect(),
            key: row.try_get("ordering_key")?,
        })
    }

    /// What [`next_of_keys`] wants to know of a delivery that ended here.
    pub(super) fn ended_at(self, at: i64) -> Option<(String, String, i64)> {
        Some((self.subscription, self.key?, at))
    }
}

//! Inserting, claiming, extending and settling on one connection, inside whatever transaction it has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::failed;
use super::rows::{
    AttemptRow, DIGEST, DeliveryRow, DueRow, EventRow, SettlementRow, SubscriptionRow, blob, hex, later,
};
use super::statements::{MAX_SHARES, Statements};
use crate::delivery::Next;
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{self, Columns as _, Unread, corrupt, json, micros, stored_lease};
use crate::store::leased::{Event, Leased, Parents};
use crate::store::{Claim, Claims, Inserted, Lease, NewEvent, Settled, Settlement, Share, StoreError};
use crate::subscription::Subscription;

/// One statement for all events, one more where some were there already, and one for all deliveries.
pub(super) async fn insert(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &[&NewEvent],
) -> Result<Vec<Inserted>, StoreError> {
    let (rows, payloads) = event_rows(events);
    let rows = json(&rows);
    let inserted = sqlx::query(sql.insert_events.clone())
        .bind(&rows)
        .bind(payloads.as_slice())
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    let new = i64::try_from(inserted.rows_affected()).unwrap_or(i64::MAX);
    // What was written last has the highest number: nobody else writes meanwhile.
    let before = if new > 0 { inserted.last_insert_rowid() - new } else { i64::MAX };
    let places = match new == events.len() as i64 {
        true => (1..=new).map(|place| (before + place, Inserted::New)).collect(),
        false => known(sql, connection, &rows, &payloads, before).await?,
    };
    if places.len() != events.len() {
        return Err(corrupt("an event that was written is not there"));
    }
    let mut deliveries = Deliveries::default();
    for (event, (pk, told)) in events.iter().zip(&places) {
        if *told == Inserted::New {
            let at = micros(event.inserted_at);
            for (delivery, subscription) in &event.deliveries {
                deliveries.push(*delivery, *pk, *subscription, event.ordering_key.as_deref(), at);
            }
        }
    }
    deliveries.insert(sql, connection).await?;
    Ok(places.into_iter().map(|(_, told)| told).collect())
}

/// What is written of events, and their digests and payloads behind one another.
fn event_rows<'a>(events: &[&'a NewEvent]) -> (Vec<EventRow<'a>>, Vec<u8>) {
    let len = events.iter().map(|event| DIGEST + event.payload.len()).sum();
    let mut payloads = Vec::with_capacity(len);
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        // SQLite counts from one.
        rows.push(EventRow::new(event, payloads.len() + 1));
        payloads.extend_from_slice(&Sha256::digest(&event.payload));
        payloads.extend_from_slice(&event.payload);
    }
    (rows, payloads)
}

/// The number of each event's row and what became of it, where some had one already: new are the first to name a row behind
/// `before`.
async fn known(
    sql: &Statements,
    connection: &mut SqliteConnection,
    rows: &str,
    payloads: &[u8],
    before: i64,
) -> Result<Vec<(i64, Inserted)>, StoreError> {
    let found = sqlx::query(sql.events_named.clone())
        .bind(rows)
        .bind(payloads)
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let read = |row: &SqliteRow| Ok((row.try_get("place")?, row.try_get("pk")?, row.try_get("is_same")?));
    let mut found: Vec<(i64, i64, bool)> =
        found.iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(failed)?;
    found.sort_unstable();
    let mut seen = HashSet::new();
    let told = |(_, pk, is_same)| match (pk > before && seen.insert(pk), is_same) {
        (true, _) => (pk, Inserted::New),
        (false, true) => (pk, Inserted::Duplicate),
        (false, false) => (pk, Inserted::Conflict),
    };
    Ok(found.into_iter().map(told).collect())
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

/// Four statements whatever the number of deliveries: read the subscriptions that may be claimed from, find what is due, lease it,
/// read each event once. Many shares are looked through by a statement for each [`MAX_SHARES`].
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
    let (size, due) = sql.due(shares.len());
    let mut query = sqlx::query(due).bind(micros(claim.now));
    for share in shares {
        query = query
            .bind(blob(share.subscription.as_u128()))
            .bind(share.since.map_or(i64::MIN, micros))
            .bind(share.limit);
    }
    for _ in shares.len()..size {
        query = query.bind(Vec::new()).bind(i64::MIN).bind(0);
    }
    let row = query.fetch_one(&mut *connection).await.map_err(failed)?;
    let due: &str = row.try_get(0).map_err(failed)?;
    let rows: Vec<DueRow<'_>> = serde_json::from_str(due).map_err(corrupt)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query(sql.lease.clone())
        .bind(due)
        .bind(later(claim.now, claim.lease))
        .execute(connection)
        .await
        .map_err(failed)?;
    rows.iter().map(Leased::read).collect()
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

/// Three statements whatever the number of settlements; one more when subscriptions are paused or disabled along, and one
/// more when deliveries with an ordering key end.
pub(super) async fn settle(
    sql: &Statements,
    connection: &mut SqliteConnection,
    settlements: &[&Settlement],
) -> Result<Vec<Settled>, StoreError> {
    // The same lease twice in one batch: the first counts, as it would in two batches.
    let mut seen = HashSet::new();
    let (leases, asked): (Vec<_>, Vec<_>) = settlements
        .iter()
        .filter(|settlement| seen.insert((settlement.delivery, settlement.lease)))
        .filter_map(|settlement| {
            let row = SettlementRow::new(settlement, stored_lease(settlement.lease)?);
            Some(((settlement.delivery, settlement.lease), row))
        })
        .unzip();
    let rows = json(&asked);
    let row =
        sqlx::query(sql.settling.clone()).bind(&rows).fetch_one(&mut *connection).await.map_err(failed)?;
    let leased: &str = row.try_get(0).map_err(failed)?;
    let leased: Vec<(usize, String, Option<String>)> = serde_json::from_str(leased).map_err(corrupt)?;
    if !leased.is_empty() {
        sqlx::query(sql.settle.clone()).bind(&rows).execute(&mut *connection).await.map_err(failed)?;
    }
    let mut changed: HashMap<_, _> = leased
        .into_iter()
        .filter_map(|(place, subscription, key)| Some((*leases.get(place)?, Place { subscription, key })))
        .collect();
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

//! Inserting events with their payloads and deliveries.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::id::{DeliveryId, SubscriptionId};
use crate::store::sql::columns::{self, Columns as _, ENABLED, Unread, corrupt, json, micros};
use crate::store::sql::sqlite::connection::Connection;
use crate::store::sql::sqlite::rows::later;
use crate::store::sql::sqlite::statements::Statements;
use crate::store::sql::value::Value;
use crate::store::{
    DueDelivery, InsertOutcome, Inserted, Lease, Leased, NewDelivery, NewEvent, NewPayload, StoreError,
};
use crate::subscription::Subscription;

/// Writes events and their deliveries. A delivery that asks for a lease gets it if `leases` is set and its
/// subscription takes deliveries; it is in the result then.
pub(in crate::store::sql::sqlite) async fn insert<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    events: &[&NewEvent],
    leases: bool,
) -> Result<Vec<Inserted>, StoreError> {
    let places = insert_events(sql, connection, events).await?;
    let mut payloads = Vec::new();
    let mut deliveries = Vec::new();
    for (event, pk) in events.iter().zip(&places) {
        if let Some(pk) = pk {
            payloads.extend(event.older.iter().map(|payload| (*pk, payload, digest(&payload.bytes))));
            let rows = event.deliveries.iter().map(|delivery| DeliveryRow::of_event(event, *pk, delivery));
            deliveries.extend(rows);
        }
    }
    let rows: Vec<_> = payloads
        .iter()
        .map(|(pk, payload, digest)| {
            [(*pk).into(), payload.contract.version().into(), digest[..].into(), payload.bytes[..].into()]
        })
        .collect();
    connection.execute_each(&sql.insert_payload, &rows).await?;
    let leasing =
        if leases { Leasing::ask(sql, connection, &mut deliveries).await? } else { Leasing::default() };
    insert_deliveries(sql, connection, &deliveries).await?;
    let mut deliveries = deliveries.iter();
    let mut told = Vec::with_capacity(events.len());
    for (event, pk) in events.iter().zip(places) {
        if pk.is_none() {
            // After the payloads of this batch, which may have the same event.
            told.push(Inserted::new(known(sql, connection, event).await?));
            continue;
        }
        let rows = event.deliveries.iter().zip(deliveries.by_ref());
        let leased = rows.filter_map(|(delivery, row)| leasing.leased(event, delivery, row)).collect();
        told.push(Inserted::new(InsertOutcome::New).with_leased(leased));
    }
    Ok(told)
}

/// Writes the rows of events; returns the number of each that was written.
async fn insert_events<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    events: &[&NewEvent],
) -> Result<Vec<Option<i64>>, StoreError> {
    let texts: Vec<_> = events
        .iter()
        .map(|event| {
            let attributes = (!event.attributes.is_empty()).then(|| json(&event.attributes));
            (digest(&event.payload), attributes, event.trace.map(|trace| trace.to_string()))
        })
        .collect();
    let is_current = current(sql, connection, events).await?;
    let rows: Vec<_> = events
        .iter()
        .zip(&texts)
        .zip(&is_current)
        .filter(|(_, is_current)| **is_current)
        .map(|((event, (digest, attributes, trace)), _)| {
            let at = micros(event.inserted_at);
            [
                event.organization[..].into(),
                event.contract.name().into(),
                (&event.id).into(),
                event.contract.version().into(),
                event.event_type.as_str().into(),
                digest[..].into(),
                at.into(),
                event.deliveries.is_empty().then_some(at).into(),
                attributes.as_deref().into(),
                trace.as_deref().into(),
                event.payload[..].into(),
            ]
        })
        .collect();
    let mut changed = connection.execute_each(&sql.insert_event, &rows).await?.into_iter();
    let written = is_current.into_iter().map(|is_current| {
        let changed = if is_current { changed.next() } else { None };
        changed.filter(|changed| changed.is_any()).map(|changed| changed.last_row)
    });
    Ok(written.collect())
}

/// Returns for each event whether its organization's subscriptions have its edition, where it names one.
async fn current<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    events: &[&NewEvent],
) -> Result<Vec<bool>, StoreError> {
    let mut editions = HashMap::new();
    let mut told = Vec::with_capacity(events.len());
    for event in events {
        let Some(own) = event.edition else {
            told.push(true);
            continue;
        };
        let organization = &event.organization[..];
        if !editions.contains_key(organization) {
            let row = connection.find(&sql.edition, &[organization.into()]).await?;
            let edition = row.map_or(Ok(0), |row| row.number("edition")).map_err(corrupt)?;
            editions.insert(organization, edition);
        }
        told.push(editions.get(organization) == Some(&own.number().cast_signed()));
    }
    Ok(told)
}

/// Returns the outcome of an event that was not written.
async fn known<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    event: &NewEvent,
) -> Result<InsertOutcome, StoreError> {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let older = event.older.iter().map(|payload| (payload.contract.version(), hex(&digest(&payload.bytes))));
    let digests: Vec<_> =
        [(event.contract.version(), hex(&digest(&event.payload)))].into_iter().chain(older).collect();
    let digests = json(&digests);
    let values =
        [event.organization[..].into(), event.contract.name().into(), (&event.id).into(), digests[..].into()];
    match connection.find(&sql.known_event, &values).await? {
        Some(row) if row.number("is_same").map_err(corrupt)? != 0 => Ok(InsertOutcome::Duplicate),
        Some(_) => Ok(InsertOutcome::Conflict),
        None if event.edition.is_some() => Ok(InsertOutcome::Stale),
        None => Err(corrupt("an event that was written is not there")),
    }
}

/// A delivery to be made.
pub(in crate::store::sql::sqlite) struct DeliveryRow<'a> {
    id: DeliveryId,
    subscription: SubscriptionId,
    /// The row number of its event.
    event: i64,
    version: Option<&'a str>,
    key: Option<&'a str>,
    at: i64,
    /// The end of the lease that it asks for.
    until: Option<i64>,
    is_leased: bool,
}

impl<'a> DeliveryRow<'a> {
    pub(in crate::store::sql::sqlite) fn new(
        delivery: &NewDelivery,
        event: i64,
        version: Option<&'a str>,
        key: Option<&'a str>,
        at: OffsetDateTime,
    ) -> Self {
        let (id, subscription, until) = (delivery.id, delivery.subscription, None);
        Self { id, subscription, event, version, key, at: micros(at), until, is_leased: false }
    }

    fn of_event(event: &'a NewEvent, pk: i64, delivery: &NewDelivery) -> Self {
        let version = older(event, delivery).map(|payload| payload.contract.version());
        let row = Self::new(delivery, pk, version, event.ordering_key.as_deref(), event.inserted_at);
        Self { until: delivery.lease.map(|lease| later(event.inserted_at, lease)), ..row }
    }

    /// Returns the number of its lease, which is odd while it is leased. A lease that is asked for and not
    /// given uses up its number all the same: the caller may not hear the outcome, and hand back that lease.
    fn lease(&self) -> i64 {
        match (self.is_leased, self.until) {
            (true, _) => 1,
            (false, Some(_)) if self.key.is_none() => 2,
            (false, _) => 0,
        }
    }

    fn due_at(&self) -> i64 {
        self.until.filter(|_| self.is_leased).unwrap_or(self.at)
    }
}

/// Writes deliveries of events that are there.
pub(in crate::store::sql::sqlite) async fn insert_deliveries<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    rows: &[DeliveryRow<'_>],
) -> Result<(), StoreError> {
    let places: Vec<_> =
        rows.iter().map(|row| [row.subscription.into(), row.id.into(), row.event.into()]).collect();
    connection.execute_each(&sql.insert_place, &places).await?;
    let pending: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.id.into(),
                row.subscription.into(),
                row.event.into(),
                row.lease().into(),
                row.due_at().into(),
                row.at.into(),
                row.version.into(),
                row.key.into(),
            ]
        })
        .collect();
    let changed = connection.execute_each(&sql.insert_pending, &pending).await?;
    for (row, _) in rows.iter().zip(changed).filter(|(_, changed)| !changed.is_any()) {
        // Its subscription does not exist.
        let values: [Value<'_>; 6] = [
            row.id.into(),
            row.subscription.into(),
            row.event.into(),
            row.at.into(),
            row.version.into(),
            row.key.into(),
        ];
        connection.execute(&sql.insert_cancelled, &values).await?;
    }
    Ok(())
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Returns the payload that a delivery sends, if it is one of the event's older ones.
pub(in crate::store::sql::sqlite) fn older<'a>(
    event: &'a NewEvent,
    delivery: &NewDelivery,
) -> Option<&'a NewPayload> {
    let version = delivery.version.as_deref()?;
    event.older.iter().find(|payload| payload.contract.version() == version)
}

/// The subscriptions from which deliveries are leased as they are inserted, as this transaction reads them.
#[derive(Default)]
struct Leasing(HashMap<SubscriptionId, Arc<Subscription>>);

impl Leasing {
    /// Leases the deliveries that ask for it and have no ordering key, where their subscriptions are enabled
    /// and not paused. A claim reports those that cannot be read.
    async fn ask<C: Connection>(
        sql: &Statements,
        connection: &mut C,
        deliveries: &mut [DeliveryRow<'_>],
    ) -> Result<Self, StoreError> {
        let mut read = HashMap::new();
        for row in deliveries.iter_mut().filter(|row| row.until.is_some() && row.key.is_none()) {
            let found = match read.entry(row.subscription) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => {
                    let found = connection.find(&sql.subscription, &[row.subscription.into()]).await?;
                    let facts = |found| {
                        let open_from = open_from(&found)?;
                        Ok::<_, Unread>((open_from, Arc::new(columns::subscription(&found, "id")?)))
                    };
                    place.insert(found.and_then(|found| facts(found).ok()))
                }
            };
            row.is_leased = found.as_ref().is_some_and(|(from, _)| from.is_some_and(|from| from <= row.at));
        }
        Ok(Self(read.into_iter().filter_map(|(id, found)| Some((id, found?.1))).collect()))
    }

    fn leased(&self, event: &NewEvent, delivery: &NewDelivery, row: &DeliveryRow<'_>) -> Option<Leased> {
        if !row.is_leased {
            return None;
        }
        let subscription = self.0.get(&delivery.subscription)?;
        let (contract, payload) = match older(event, delivery) {
            None => (event.contract.clone(), &event.payload),
            Some(older) => (older.contract.clone(), &older.bytes),
        };
        let due = DueDelivery::new(
            delivery.id,
            contract,
            event.id.clone(),
            event.event_type.clone(),
            payload.clone(),
            Arc::clone(subscription),
        );
        Some(Leased::new(due.with_due_at(event.inserted_at).with_trace(event.trace), Lease::new(1)))
    }
}

/// Returns from when on deliveries of a subscription may be leased, or `None` while it is disabled.
pub(super) fn open_from(subscription: &impl columns::Columns) -> Result<Option<i64>, Unread> {
    let from = subscription.number("paused_until")?;
    Ok((subscription.text("status")? == ENABLED).then_some(from))
}

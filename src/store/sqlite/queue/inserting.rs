//! [`Inserting`]: events and their deliveries on their way into their tables.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::id::{DeliveryId, SubscriptionId};
use crate::store::columns::{corrupt, json, micros};
use crate::store::sqlite::failed;
use crate::store::sqlite::rows::{DIGEST, DeliveryRow, EventRow};
use crate::store::sqlite::script::{Answer, Answers, Script};
use crate::store::sqlite::statements::Statements;
use crate::store::{Inserted, NewEvent, StoreError};

/// Events on their way into their table.
pub(super) struct Inserting<'a> {
    events: &'a [&'a NewEvent],
}

impl<'a> Inserting<'a> {
    /// One statement for all events, and one for all deliveries, which inserts nothing unless every event was new.
    pub(super) fn ask(sql: &Statements, script: &mut Script, events: &'a [&'a NewEvent]) -> Self {
        let rows = EventRows::new(events);
        script.statement(&sql.insert_events).bind(rows.json).bind(rows.digests).bind(rows.payloads);
        let mut deliveries = Deliveries::default();
        for (event, place) in events.iter().zip(1..) {
            deliveries.push_all(event, place);
        }
        script.statement(&sql.insert_new_deliveries).bind(json(&deliveries.rows)).bind(events.len() as i64);
        Self { events }
    }

    /// Whether it took more statements, too: where some events were there already.
    pub(super) async fn finish(
        self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        answers: &mut Answers,
    ) -> Result<(Vec<Inserted>, bool), StoreError> {
        let Answer { changed: new, last_row, .. } = answers.take()?;
        answers.take()?;
        if new == self.events.len() as i64 {
            return Ok((vec![Inserted::New; self.events.len()], false));
        }
        // What was written last has the highest number: nobody else writes meanwhile.
        let before = if new > 0 { last_row - new } else { i64::MAX };
        let places = known(sql, connection, self.events, before).await?;
        if places.len() != self.events.len() {
            return Err(corrupt("an event that was written is not there"));
        }
        let mut deliveries = Deliveries::default();
        for (event, (pk, told)) in self.events.iter().zip(&places) {
            if *told == Inserted::New {
                deliveries.push_all(event, *pk);
            }
        }
        deliveries.insert(sql, connection).await?;
        Ok((places.into_iter().map(|(_, told)| told).collect(), true))
    }
}

/// What is written of events.
struct EventRows {
    json: String,
    digests: Vec<u8>,
    payloads: Vec<u8>,
}

impl EventRows {
    fn new(events: &[&NewEvent]) -> Self {
        let mut digests = Vec::with_capacity(events.len() * DIGEST);
        let mut payloads = Vec::with_capacity(events.iter().map(|event| event.payload.len()).sum());
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            // SQLite counts from one.
            rows.push(EventRow::new(event, payloads.len() + 1));
            digests.extend_from_slice(&Sha256::digest(&event.payload));
            payloads.extend_from_slice(&event.payload);
        }
        Self { json: json(&rows), digests, payloads }
    }
}

/// The number of each event's row and what became of it, where some had one already: new are the first to name a row behind
/// `before`.
async fn known(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &[&NewEvent],
    before: i64,
) -> Result<Vec<(i64, Inserted)>, StoreError> {
    let rows = EventRows::new(events);
    let found = sqlx::query(sql.events_named.clone())
        .bind(rows.digests)
        .bind(rows.json)
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
pub(in crate::store::sqlite) struct Deliveries<'a> {
    rows: Vec<DeliveryRow<'a>>,
    ranks: HashMap<(SubscriptionId, &'a str), u32>,
}

impl<'a> Deliveries<'a> {
    /// Those of an event whose row has this number.
    fn push_all(&mut self, event: &'a NewEvent, number: i64) {
        let at = micros(event.inserted_at);
        for (delivery, subscription) in &event.deliveries {
            self.push(*delivery, number, *subscription, event.ordering_key.as_deref(), at);
        }
    }

    pub(in crate::store::sqlite) fn push(
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

    pub(in crate::store::sqlite) async fn insert(
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

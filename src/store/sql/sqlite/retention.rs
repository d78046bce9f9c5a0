//! Deleting old rows, in the caller's transaction.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::{Row as _, SqlStr, SqliteConnection};

use super::error::failed;
use super::rows::hex;
use super::statements::Statements;
use crate::store::StoreError;
use crate::store::sql::columns::{Columns as _, corrupt, json};

/// The result of pruning a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pruned {
    /// The number of rows that were deleted or emptied.
    pub(super) rows: u64,
    /// Whether no delivery was left.
    pub(super) is_last: bool,
}

/// Deletes attempts of deliveries that ended by `before`.
pub(super) async fn prune_attempts(
    sql: &Statements,
    connection: &mut SqliteConnection,
    before: i64,
    limit: u32,
) -> Result<Pruned, StoreError> {
    let batch = Batch::find(&sql.finished_with_attempts, connection, before, limit).await?;
    if batch.deliveries.is_empty() {
        return Ok(Pruned { rows: 0, is_last: true });
    }
    let deleted = run(connection, &sql.prune_attempts, &batch.ids(), Some(limit.into())).await?;
    // The attempt in a delivery's own row counts as well, and is deleted last.
    let ids = batch.rest(limit, deleted);
    let last = count(connection, &sql.last_attempts, &ids).await?;
    run(connection, &sql.prune_last_attempts, &ids, None).await?;
    Ok(Pruned { rows: deleted + last, is_last: false })
}

/// Deletes payloads of events whose last delivery ended by `before`, or that were inserted by then without
/// one.
pub(super) async fn prune_payloads(
    sql: &Statements,
    connection: &mut SqliteConnection,
    before: i64,
    limit: u32,
) -> Result<Pruned, StoreError> {
    let batch = Batch::find(&sql.finished_with_payload, connection, before, limit).await?;
    let mut rows = 0;
    if !batch.deliveries.is_empty() {
        rows += empty_payloads(sql, connection, &batch.events, before).await?;
        run(connection, &sql.mark_payload_seen_to, &batch.ids(), None).await?;
    }
    let left = i64::from(limit).saturating_sub_unsigned(rows);
    let unwanted = unwanted(connection, &sql.unwanted_payloads, before, left).await?;
    rows += empty_payloads(sql, connection, &unwanted, before).await?;
    Ok(Pruned { rows, is_last: batch.deliveries.is_empty() })
}

/// Deletes deliveries that ended by `before` with their attempts, and the events that have none left.
pub(super) async fn prune_deliveries(
    sql: &Statements,
    connection: &mut SqliteConnection,
    before: i64,
    limit: u32,
) -> Result<Pruned, StoreError> {
    let batch = Batch::find(&sql.finished, connection, before, limit).await?;
    let (mut rows, mut events) = (0, 0);
    if !batch.deliveries.is_empty() {
        let deleted = run(connection, &sql.prune_attempts, &batch.ids(), Some(limit.into())).await?;
        let ids = batch.rest(limit, deleted);
        rows += deleted + count(connection, &sql.last_attempts, &ids).await?;
        rows += run(connection, &sql.prune_history, &ids, None).await?;
        run(connection, &sql.prune_directory, &batch.places(), None).await?;
        events = delete_events(sql, connection, &batch.events).await?;
    }
    let left = i64::from(limit).saturating_sub_unsigned(events);
    let unwanted = unwanted(connection, &sql.unwanted_events, before, left).await?;
    events += delete_events(sql, connection, &unwanted).await?;
    Ok(Pruned { rows: rows + events, is_last: batch.deliveries.is_empty() })
}

/// Deletes the payloads, in all versions, of the events among these whose last delivery ended by `before`,
/// and returns the number of events.
async fn empty_payloads(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &HashSet<i64>,
    before: i64,
) -> Result<u64, StoreError> {
    if events.is_empty() {
        return Ok(0);
    }
    let emptied = run(connection, &sql.prune_payloads, events, Some(before)).await?;
    run(connection, &sql.prune_older_payloads, events, None).await?;
    Ok(emptied)
}

/// Deletes the events among these that have no delivery left, and returns their number.
async fn delete_events(
    sql: &Statements,
    connection: &mut SqliteConnection,
    events: &HashSet<i64>,
) -> Result<u64, StoreError> {
    if events.is_empty() {
        return Ok(0);
    }
    let deleted = run(connection, &sql.prune_events, events, None).await?;
    run(connection, &sql.prune_payload_rows, events, None).await?;
    Ok(deleted)
}

/// Some deliveries that ended: their ids and subscriptions in hex, and their events.
struct Batch {
    deliveries: Vec<(String, String)>,
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
        let mut batch = Self { deliveries: Vec::with_capacity(found.len()), events: HashSet::new() };
        for row in &found {
            let read = |column| row.uuid(column).map(hex).map_err(corrupt);
            batch.deliveries.push((read("id")?, read("subscription")?));
            batch.events.insert(row.try_get("event").map_err(failed)?);
        }
        Ok(batch)
    }

    fn ids(&self) -> Vec<&str> {
        self.deliveries.iter().map(|(id, _)| &**id).collect()
    }

    /// Returns the first deliveries, as many as the limit leaves after `deleted` attempts.
    fn rest(&self, limit: u32, deleted: u64) -> Vec<&str> {
        let left = usize::try_from(u64::from(limit).saturating_sub(deleted)).unwrap_or(usize::MAX);
        self.ids().into_iter().take(left).collect()
    }

    /// Returns the subscriptions and ids, which are the key of `directory`.
    fn places(&self) -> Vec<(&str, &str)> {
        self.deliveries.iter().map(|(id, subscription)| (&**subscription, &**id)).collect()
    }
}

/// Runs a statement with a list, and with a value if it takes one, and returns the number of rows that it
/// changed.
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

async fn count(
    connection: &mut SqliteConnection,
    sql: &SqlStr,
    list: &impl Serialize,
) -> Result<u64, StoreError> {
    let row = sqlx::query(sql.clone()).bind(json(list)).fetch_one(connection).await.map_err(failed)?;
    Ok(row.count("attempts").map_err(corrupt)?.into())
}

/// Finds up to `limit` events that were inserted without deliveries by `before`.
async fn unwanted(
    connection: &mut SqliteConnection,
    sql: &SqlStr,
    before: i64,
    limit: i64,
) -> Result<HashSet<i64>, StoreError> {
    let found = sqlx::query(sql.clone()).bind(before).bind(limit.max(0));
    let found = found.fetch_all(connection).await.map_err(failed)?;
    found.iter().map(|row| row.try_get("pk").map_err(failed)).collect()
}

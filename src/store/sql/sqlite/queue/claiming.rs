//! Leasing due deliveries.

use std::sync::Arc;

use super::inserting::open_from;
use crate::id::SubscriptionId;
use crate::store::sql::columns::{self, Columns as _, corrupt, micros};
use crate::store::sql::leased::{Event, LeasedRow, Parents};
use crate::store::sql::sqlite::connection::Connection;
use crate::store::sql::sqlite::rows::later;
use crate::store::sql::sqlite::statements::Statements;
use crate::store::sql::value::Value;
use crate::store::{Claim, Claims, StoreError};

/// Leases due deliveries, and reads each of their events and subscriptions once.
pub(in crate::store::sql::sqlite) async fn claim<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    claim: &Claim,
) -> Result<Claims, StoreError> {
    let (now, until) = (micros(claim.now), later(claim.now, claim.lease));
    let mut parents = Parents::default();
    let mut leased = Vec::new();
    for share in &claim.shares {
        let since = share.since.map_or(i64::MIN, micros);
        let values = [share.subscription.into(), since.into(), now.into(), share.limit.into(), now.into()];
        let due = connection.fetch(&sql.due, &values).await?;
        if due.is_empty() || !is_claimable(sql, connection, claim, share.subscription, &mut parents).await? {
            continue;
        }
        for row in &due {
            let number = row.number("lease").map_err(corrupt)?;
            let values = [Value::Id(row.uuid("id").map_err(corrupt)?), number.into(), until.into()];
            connection.execute(&sql.lease, &values).await?;
            leased.push(LeasedRow::read(row)?);
        }
    }
    for key in leased.iter().filter_map(LeasedRow::payload) {
        if parents.events.contains_key(key) {
            continue;
        }
        let (event, version) = (key.0, key.1.as_deref());
        if let Some(row) = connection.find(&sql.event_of_claim, &[event.into(), version.into()]).await? {
            parents.events.insert(key.clone(), Event::read(&row, "id", version));
        }
    }
    Ok(LeasedRow::claims(leased, &parents))
}

/// Returns whether a subscription may be claimed from: enabled, not paused, and of a contract of the claim.
async fn is_claimable<C: Connection>(
    sql: &Statements,
    connection: &mut C,
    claim: &Claim,
    id: SubscriptionId,
    parents: &mut Parents,
) -> Result<bool, StoreError> {
    if parents.subscriptions.contains_key(&id) {
        return Ok(true);
    }
    let Some(row) = connection.find(&sql.subscription, &[id.into()]).await? else { return Ok(false) };
    let open = open_from(&row).map_err(corrupt)?.is_some_and(|from| from <= micros(claim.now));
    let contract = row.text("contract").map_err(corrupt)?;
    if !open || !claim.contracts.iter().any(|name| **name == *contract) {
        return Ok(false);
    }
    parents.subscriptions.insert(id, columns::subscription(&row, "id").map(Arc::new));
    Ok(true)
}

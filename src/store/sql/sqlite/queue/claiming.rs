//! Leasing due deliveries.

use std::sync::Arc;

use super::inserting::open_from;
use crate::id::SubscriptionId;
use crate::store::sql::columns::{self, Columns as _, Unread, corrupt, micros};
use crate::store::sql::leased::{Event, LeasedRow, Parents};
use crate::store::sql::sqlite::connection::Connection;
use crate::store::sql::sqlite::row::Row;
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
        let lease = |row: &Row| {
            Ok::<_, Unread>([row.number("lease")?.into(), until.into(), Value::Id(row.uuid("id")?)])
        };
        let leases = due.iter().map(lease).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
        connection.execute_each(&sql.lease, &leases).await?;
        for row in &due {
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
    // A subscription of which these cannot be read gives nothing, like a disabled one.
    let is_open = open_from(&row).ok().flatten().is_some_and(|from| from <= micros(claim.now));
    let speaks = |contract: &str| claim.contracts.iter().any(|name| **name == *contract);
    if !is_open || !row.text("contract").is_ok_and(speaks) {
        return Ok(false);
    }
    parents.subscriptions.insert(id, columns::subscription(&row, "id").map(Arc::new));
    Ok(true)
}

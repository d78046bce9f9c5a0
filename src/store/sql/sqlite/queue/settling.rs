//! [`Settling`]: a batch of settlements in progress.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::delivery::Next;
use crate::id::DeliveryId;
use crate::store::sql::columns::{Unread, corrupt, json, micros, stored_lease};
use crate::store::sql::sqlite::error::failed;
use crate::store::sql::sqlite::rows::{LeaseRow, SettlementRow, SubscriptionChange};
use crate::store::sql::sqlite::script::{Script, StatementResults};
use crate::store::sql::sqlite::statements::Statements;
use crate::store::{Lease, Settled, Settlement, StoreError};

/// A batch of settlements in progress.
pub(super) struct Settling<'a> {
    settlements: &'a [&'a Settlement],
    /// The leases in the order in which they were sent.
    leases: Vec<(DeliveryId, Lease)>,
    /// The number of statements that write.
    statements: usize,
}

impl<'a> Settling<'a> {
    /// Adds one statement for the leases that still hold, two for the deliveries that end, and two for the
    /// others, whatever the number of settlements.
    pub(super) fn ask(sql: &Statements, script: &mut Script, settlements: &'a [&'a Settlement]) -> Self {
        // If two settlements have one lease, the first counts, as it would in two batches.
        let mut seen = HashSet::new();
        let mut leases = Vec::with_capacity(settlements.len());
        let mut rows = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            let Some(lease) = stored_lease(settlement.lease) else { continue };
            if seen.insert((settlement.key, settlement.lease)) {
                leases.push((settlement.key, settlement.lease));
                rows.push(SettlementRow::new(settlement, lease));
            }
        }
        let asked: Vec<_> = rows.iter().map(SettlementRow::lease).collect();
        script.statement(&sql.settling).bind(json(&asked));
        let (ends, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(SettlementRow::is_end);
        let mut statements = 0;
        if !ends.is_empty() {
            let removed: Vec<LeaseRow> = ends.iter().map(SettlementRow::lease).collect();
            script.statement(&sql.append_ended).bind(json(&ends));
            script.statement(&sql.remove_ended).bind(json(&removed));
            statements += 2;
        }
        let tried: Vec<_> = others.iter().filter(|row| row.is_tried()).collect();
        if !tried.is_empty() {
            script.statement(&sql.log_attempts).bind(json(&tried));
            statements += 1;
        }
        if !others.is_empty() {
            script.statement(&sql.put_off).bind(json(&others));
            statements += 1;
        }
        Self { settlements, leases, statements }
    }

    /// Returns the results, and whether extra statements ran: one if subscriptions are paused or disabled,
    /// and one if deliveries with an ordering key end.
    pub(super) async fn finish(
        self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        results: &mut StatementResults,
    ) -> Result<(Vec<Settled>, bool), StoreError> {
        let settling = results.take()?;
        let leased: &str = settling.row()?.try_get(0).map_err(failed)?;
        let leased: Vec<(usize, String, Option<String>)> = serde_json::from_str(leased).map_err(corrupt)?;
        for _ in 0..self.statements {
            results.take()?;
        }
        let mut changed: HashMap<_, _> = leased
            .into_iter()
            .filter_map(|(place, subscription, key)| {
                Some((*self.leases.get(place)?, Place { subscription, key }))
            })
            .collect();
        let mut told = Vec::with_capacity(self.settlements.len());
        let mut subscriptions = BTreeMap::new();
        let mut ended = Vec::new();
        for settlement in self.settlements {
            let Some(place) = changed.remove(&(settlement.key, settlement.lease)) else {
                told.push(Settled::Stale);
                continue;
            };
            told.push(Settled::Done);
            if settlement.pause().is_some() || settlement.disable().is_some() {
                subscriptions
                    .entry(place.subscription.clone())
                    .or_insert_with_key(|id| SubscriptionChange::new(id))
                    .add(settlement);
            }
            if !matches!(settlement.next, Next::Retry { .. }) {
                ended.extend(place.ended_at(micros(settlement.now)));
            }
        }
        if !subscriptions.is_empty() {
            let rows = json(&subscriptions.values().collect::<Vec<_>>());
            let settle = sqlx::query(sql.settle_subscriptions.clone()).bind(rows);
            settle.execute(&mut *connection).await.map_err(failed)?;
        }
        unblock(sql, connection, &ended).await?;
        Ok((told, !subscriptions.is_empty() || !ended.is_empty()))
    }
}

/// Makes the next delivery of each of these ordering keys due.
pub(in crate::store::sql::sqlite) async fn unblock(
    sql: &Statements,
    connection: &mut SqliteConnection,
    ended: &[(String, String, i64)],
) -> Result<(), StoreError> {
    if !ended.is_empty() {
        let unblock = sqlx::query(sql.unblock.clone()).bind(json(ended));
        unblock.execute(connection).await.map_err(failed)?;
    }
    Ok(())
}

/// The subscription of a pending delivery, in hex, and its ordering key.
pub(in crate::store::sql::sqlite) struct Place {
    subscription: String,
    key: Option<String>,
}

impl Place {
    pub(in crate::store::sql::sqlite) fn read(row: &SqliteRow) -> Result<Self, Unread> {
        let subscription: &[u8] = row.try_get("subscription")?;
        Ok(Self {
            subscription: subscription.iter().map(|byte| format!("{byte:02x}")).collect(),
            key: row.try_get("ordering_key")?,
        })
    }

    /// Returns the row for [`unblock`], or `None` without an ordering key.
    pub(in crate::store::sql::sqlite) fn ended_at(self, at: i64) -> Option<(String, String, i64)> {
        Some((self.subscription, self.key?, at))
    }
}

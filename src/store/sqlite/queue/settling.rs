//! [`Settling`]: settlements on their way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use crate::delivery::Next;
use crate::id::DeliveryId;
use crate::store::columns::{Unread, corrupt, json, micros, stored_lease};
use crate::store::sqlite::failed;
use crate::store::sqlite::rows::{AttemptRow, SettlementRow, SubscriptionRow};
use crate::store::sqlite::script::{Answers, Script};
use crate::store::sqlite::statements::Statements;
use crate::store::{Lease, Settled, Settlement, StoreError};

/// Settlements on their way.
pub(super) struct Settling<'a> {
    settlements: &'a [&'a Settlement],
    /// Which leases were asked for, in that order.
    leases: Vec<(DeliveryId, Lease)>,
}

impl<'a> Settling<'a> {
    /// Three statements whatever the number of settlements: which of the leases still hold, their attempts, their new states.
    pub(super) fn ask(sql: &Statements, script: &mut Script, settlements: &'a [&'a Settlement]) -> Self {
        // The same lease twice in one batch: the first counts, as it would in two batches.
        let mut seen = HashSet::new();
        let mut leases = Vec::with_capacity(settlements.len());
        let mut rows = Vec::with_capacity(settlements.len());
        let mut attempts = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            let Some(lease) = stored_lease(settlement.lease) else { continue };
            if !seen.insert((settlement.delivery, settlement.lease)) {
                continue;
            }
            leases.push((settlement.delivery, settlement.lease));
            rows.push(SettlementRow::new(settlement, lease));
            let attempt = settlement.attempt.as_ref();
            attempts
                .extend(attempt.map(|attempt| AttemptRow::new(settlement.delivery, Some(lease), attempt)));
        }
        let rows: Arc<str> = json(&rows).into();
        script.statement(&sql.settling).bind(Arc::clone(&rows));
        script.statement(&sql.insert_attempts).bind(json(&attempts));
        script.statement(&sql.settle).bind(rows);
        Self { settlements, leases }
    }

    /// Whether it took more statements, too: one when subscriptions are paused or disabled along, and one when deliveries with an
    /// ordering key end.
    pub(super) async fn finish(
        self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        answers: &mut Answers,
    ) -> Result<(Vec<Settled>, bool), StoreError> {
        let settling = answers.take()?;
        let leased: &str = settling.row()?.try_get(0).map_err(failed)?;
        let leased: Vec<(usize, String, Option<String>)> = serde_json::from_str(leased).map_err(corrupt)?;
        answers.take()?;
        answers.take()?;
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
            let Some(place) = changed.remove(&(settlement.delivery, settlement.lease)) else {
                told.push(Settled::Stale);
                continue;
            };
            told.push(Settled::Done);
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
        if !subscriptions.is_empty() {
            let rows = json(&subscriptions.values().collect::<Vec<_>>());
            let settle = sqlx::query(sql.settle_subscriptions.clone()).bind(rows);
            settle.execute(&mut *connection).await.map_err(failed)?;
        }
        next_of_keys(sql, connection, &ended).await?;
        Ok((told, !subscriptions.is_empty() || !ended.is_empty()))
    }
}

/// Lets the next delivery of each of these keys be due.
pub(in crate::store::sqlite) async fn next_of_keys(
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
pub(in crate::store::sqlite) struct Place {
    subscription: String,
    key: Option<String>,
}

impl Place {
    pub(in crate::store::sqlite) fn read(row: &SqliteRow) -> Result<Self, Unread> {
        let subscription: &[u8] = row.try_get("subscription")?;
        Ok(Self {
            subscription: subscription.iter().map(|byte| format!("{byte:02x}")).collect(),
            key: row.try_get("ordering_key")?,
        })
    }

    /// What [`next_of_keys`] wants to know of a delivery that ended here.
    pub(in crate::store::sqlite) fn ended_at(self, at: i64) -> Option<(String, String, i64)> {
        Some((self.subscription, self.key?, at))
    }
}

//! [`Claiming`]: a claim in progress.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::{Row as _, SqliteConnection};

use crate::id::SubscriptionId;
use crate::store::sql::columns::{self, Columns as _, Unread, corrupt, json, micros};
use crate::store::sql::leased::{Event, LeasedRow, Parents, PayloadKey};
use crate::store::sql::sqlite::error::failed;
use crate::store::sql::sqlite::rows::{DueRow, blob, hex, later};
use crate::store::sql::sqlite::script::{Failure, Script, StatementResult, StatementResults};
use crate::store::sql::sqlite::statements::{MAX_SHARES, Statements};
use crate::store::{Claim, Claims, Share, StoreError};
use crate::subscription::Subscription;

/// A claim in progress.
pub(super) struct Claiming<'a> {
    claim: &'a Claim,
    /// The shares of the first message, and those of later messages.
    asked: &'a [Share],
    later: &'a [Share],
}

impl<'a> Claiming<'a> {
    /// Adds two of four statements, whatever the number of deliveries: one reads the subscriptions that may
    /// be claimed from, one finds the due rows. [`finish`](Self::finish) leases the rows and reads each event
    /// once. Each further [`MAX_SHARES`] shares take three more statements.
    pub(super) fn ask(sql: &Statements, script: &mut Script, claim: &'a Claim) -> Self {
        let wanted: Vec<_> = claim.shares.iter().map(|share| hex(share.subscription.as_u128())).collect();
        script.statement(&sql.subscriptions_of_claim).bind(json(&wanted)).bind(micros(claim.now));
        script.bind(json(&claim.contracts));
        let (asked, later) = claim.shares.split_at(claim.shares.len().min(MAX_SHARES));
        ask_due(sql, script, claim, &asked.iter().collect::<Vec<_>>());
        Self { claim, asked, later }
    }

    /// Leases the due rows of all shares. Returns the claims, and whether the lease message also committed
    /// the transaction.
    ///
    /// It commits only if `commits` is set and one lease message is enough.
    pub(super) async fn finish(
        self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        results: &mut StatementResults,
        commits: bool,
    ) -> Result<(Claims, bool), Failure> {
        let subscriptions = claimable_subscriptions(&results.take()?)?;
        let due = results.take()?;
        let is_claimable = |share: &Share| subscriptions.contains_key(&share.subscription);
        let mut taken = Taken::default();
        // The first message did not know yet which subscriptions are claimable. If one is not, ask again for
        // the others.
        let all = self.asked.iter().all(is_claimable);
        let rest = if all { self.later } else { &self.claim.shares };
        let rest: Vec<_> = rest.iter().filter(|share| is_claimable(share)).collect();
        let mut is_committed = false;
        if all {
            let commits = commits && rest.is_empty();
            is_committed = taken.lease(sql, connection, self.claim, &due, commits).await? && commits;
        }
        for shares in rest.chunks(MAX_SHARES) {
            let mut script = Script::default();
            ask_due(sql, &mut script, self.claim, shares);
            let due = script.run(connection).await?.take()?;
            taken.lease(sql, connection, self.claim, &due, false).await?;
        }
        let Taken { leased, events } = taken;
        Ok((LeasedRow::claims(leased, &Parents { events, subscriptions }), is_committed))
    }
}

fn ask_due(sql: &Statements, script: &mut Script, claim: &Claim, shares: &[&Share]) {
    let (size, due) = sql.due(shares.len());
    let now = micros(claim.now);
    script.statement(&due).bind(now);
    for share in shares {
        let since = share.since.map_or(i64::MIN, micros);
        script.bind(blob(share.subscription.as_u128())).bind(since).bind(now).bind(share.limit);
    }
    for _ in shares.len()..size {
        script.bind(Vec::new()).bind(i64::MIN).bind(now).bind(0);
    }
}

/// The deliveries that a claim has leased so far, and their events.
#[derive(Default)]
struct Taken {
    leased: Vec<LeasedRow>,
    events: HashMap<PayloadKey, Result<Event, Unread>>,
}

impl Taken {
    /// Leases the due rows; returns whether there were any.
    async fn lease(
        &mut self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        claim: &Claim,
        due: &StatementResult,
        commits: bool,
    ) -> Result<bool, Failure> {
        let due: &str = due.row()?.try_get(0).map_err(failed)?;
        let rows: Vec<DueRow<'_>> = serde_json::from_str(due).map_err(corrupt)?;
        if rows.is_empty() {
            return Ok(false);
        }
        let leased = rows.iter().map(LeasedRow::read).collect::<Result<Vec<_>, _>>()?;
        let wanted: HashSet<&PayloadKey> = leased.iter().filter_map(LeasedRow::payload).collect();
        let mut script = Script::default();
        script.statement(&sql.lease).bind(later(claim.now, claim.lease)).bind(due);
        script.statement(&sql.events_of_claim).bind(json(&wanted));
        if commits {
            script.commit();
        }
        let mut results = script.run(connection).await?;
        results.take()?;
        for row in &results.take()?.rows {
            let asked: Option<&str> = row.try_get("asked").map_err(failed)?;
            let key = (row.try_get("pk").map_err(failed)?, asked.map(str::to_owned));
            self.events.insert(key, Event::read(row, "id", asked));
        }
        self.leased.extend(leased);
        Ok(true)
    }
}

/// Reads the subscriptions that may be claimed from, among those that the claim names.
fn claimable_subscriptions(
    found: &StatementResult,
) -> Result<HashMap<SubscriptionId, Result<Arc<Subscription>, Unread>>, StoreError> {
    found
        .rows
        .iter()
        .map(|row| {
            let id = SubscriptionId::from_u128(row.uuid("id").map_err(corrupt)?);
            Ok((id, columns::subscription(row, "id").map(Arc::new)))
        })
        .collect()
}

//! [`Claiming`]: a claim under way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::{Row as _, SqliteConnection};

use crate::id::SubscriptionId;
use crate::store::columns::{self, Columns as _, Unread, corrupt, json, micros};
use crate::store::leased::{Event, Leased, Parents};
use crate::store::sqlite::failed;
use crate::store::sqlite::rows::{DueRow, blob, hex, later};
use crate::store::sqlite::script::{Answer, Answers, Failure, Script};
use crate::store::sqlite::statements::{MAX_SHARES, Statements};
use crate::store::{Claim, Claims, Share, StoreError};
use crate::subscription::Subscription;

/// A claim under way.
pub(super) struct Claiming<'a> {
    claim: &'a Claim,
    /// Those that it was asked for what is due of them.
    asked: &'a [Share],
    later: &'a [Share],
}

impl<'a> Claiming<'a> {
    /// Four statements whatever the number of deliveries: read the subscriptions that may be claimed from, find what is due; then
    /// lease it, and read each event once. More shares are looked through by two statements for each [`MAX_SHARES`].
    pub(super) fn ask(sql: &Statements, script: &mut Script, claim: &'a Claim) -> Self {
        let wanted: Vec<_> = claim.shares.iter().map(|share| hex(share.subscription.as_u128())).collect();
        script.statement(&sql.subscriptions_of_claim).bind(json(&wanted)).bind(micros(claim.now));
        let (asked, later) = claim.shares.split_at(claim.shares.len().min(MAX_SHARES));
        ask_due(sql, script, claim, &asked.iter().collect::<Vec<_>>());
        Self { claim, asked, later }
    }

    /// Whether the transaction was committed along, too, where it `commits`: with the only lease there was to be taken.
    pub(super) async fn finish(
        self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        answers: &mut Answers,
        commits: bool,
    ) -> Result<(Claims, bool), Failure> {
        let subscriptions = claimable_subscriptions(&answers.take()?)?;
        let due = answers.take()?;
        let is_claimable = |share: &Share| subscriptions.contains_key(&share.subscription);
        let mut taken = Taken::default();
        // They were asked for before it was known of which of them something may be claimed.
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
        Ok((Leased::claims(leased, &Parents { events, subscriptions }), is_committed))
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

/// What a claim has taken so far, and the events of it.
#[derive(Default)]
struct Taken {
    leased: Vec<Leased>,
    events: HashMap<i64, Result<Event, Unread>>,
}

impl Taken {
    /// Whether there was anything to be leased.
    async fn lease(
        &mut self,
        sql: &Statements,
        connection: &mut SqliteConnection,
        claim: &Claim,
        due: &Answer,
        commits: bool,
    ) -> Result<bool, Failure> {
        let due: &str = due.row()?.try_get(0).map_err(failed)?;
        let rows: Vec<DueRow<'_>> = serde_json::from_str(due).map_err(corrupt)?;
        if rows.is_empty() {
            return Ok(false);
        }
        let leased = rows.iter().map(Leased::read).collect::<Result<Vec<_>, _>>()?;
        let wanted: HashSet<i64> = leased.iter().filter_map(Leased::event).collect();
        let mut script = Script::default();
        script.statement(&sql.lease).bind(later(claim.now, claim.lease)).bind(due);
        script.statement(&sql.events).bind(json(&wanted));
        if commits {
            script.commit();
        }
        let mut answers = script.run(connection).await?;
        answers.take()?;
        for row in &answers.take()?.rows {
            self.events.insert(row.try_get("pk").map_err(failed)?, Event::read(row, "id"));
        }
        self.leased.extend(leased);
        Ok(true)
    }
}

/// Those that the claim names and that are enabled and not paused.
fn claimable_subscriptions(
    found: &Answer,
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

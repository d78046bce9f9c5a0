//! Keeping the endpoints' health in the store, and telling of what it means.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::contract::Contract;
use crate::delivery::Next;
use crate::dispatch::attempt::{Ended, is_ours};
use crate::dispatch::erased::ErasedStore;
use crate::id::SubscriptionId;
use crate::store::StoreError;
use crate::subscription::{DisabledReason, Health, Subscription, SubscriptionStatus};

/// What became of an endpoint's health.
#[derive(Debug)]
pub(super) enum Change {
    Recovered {
        failing_since: OffsetDateTime,
    },
    /// It has failed for longer than this threshold for the first time.
    Failing {
        since: OffsetDateTime,
        threshold: Duration,
    },
    Disabled,
}

/// Attempts of one endpoint, in the order they ended.
struct Run {
    subscription: Arc<Subscription>,
    /// When each ended, and whether it was delivered.
    ends: Vec<(OffsetDateTime, bool)>,
}

/// Writes down what `settled` says of the endpoints' health. Endpoints that were healthy and still are cost nothing.
pub(super) async fn record(
    store: &dyn ErasedStore,
    contract: &Contract,
    thresholds: &[Duration],
    settled: &[Ended],
) -> Result<Vec<(SubscriptionId, Change)>, StoreError> {
    let mut runs: HashMap<SubscriptionId, Run> = HashMap::new();
    for ended in settled {
        let (Some(claimed), Some(attempt)) = (&ended.claimed, &ended.settlement.attempt) else { continue };
        if is_ours(&attempt.outcome) {
            continue;
        }
        runs.entry(claimed.subscription.id)
            .or_insert_with(|| Run { subscription: Arc::clone(&claimed.subscription), ends: Vec::new() })
            .ends
            .push((ended.settlement.now, ended.settlement.next == Next::Delivered));
    }
    let mut changes = Vec::new();
    for (id, run) in runs {
        let healthy =
            run.subscription.health == Health::default() && run.ends.iter().all(|(_, delivered)| *delivered);
        if !healthy {
            record_one(store, contract, thresholds, id, run, &mut changes).await?;
        }
    }
    Ok(changes)
}

async fn record_one(
    store: &dyn ErasedStore,
    contract: &Contract,
    thresholds: &[Duration],
    id: SubscriptionId,
    run: Run,
    changes: &mut Vec<(SubscriptionId, Change)>,
) -> Result<(), StoreError> {
    let rule = contract.auto_disable();
    let mut seen = run.subscription.health.clone();
    for _ in 0..TRIES {
        let health = run.ends.iter().fold(seen.clone(), |health, (at, delivered)| match delivered {
            true => health.succeeded(),
            false => health.failed(*at, rule),
        });
        if health == seen {
            return Ok(());
        }
        if store.put_health_dyn(id, &seen, &health).await? {
            let Some(now) = run.ends.last().map(|(at, _)| *at) else { return Ok(()) };
            tell(id, &seen, &health, thresholds, now, changes);
            if rule.is_some_and(|rule| health.is_hopeless(now, rule)) {
                let status = SubscriptionStatus::disabled(DisabledReason::Failing, now);
                if store.set_status_dyn(id, &status).await? {
                    changes.push((id, Change::Disabled));
                }
            }
            return Ok(());
        }
        // Another attempt, perhaps of another process, was written down in between.
        match store.subscription_dyn(id).await? {
            Some(subscription) => seen = subscription.health,
            None => return Ok(()),
        }
    }
    // So busy an endpoint is written down by the others.
    Ok(())
}

fn tell(
    id: SubscriptionId,
    seen: &Health,
    health: &Health,
    thresholds: &[Duration],
    now: OffsetDateTime,
    changes: &mut Vec<(SubscriptionId, Change)>,
) {
    match (seen.failing_since(), health.failing_since()) {
        (Some(failing_since), None) => changes.push((id, Change::Recovered { failing_since })),
        (_, Some(since)) => {
            let for_long = |at: OffsetDateTime| Duration::try_from(at - since).unwrap_or(Duration::ZERO);
            let before = seen
                .last_failure_at()
                .filter(|_| seen.failing_since().is_some())
                .map_or(Duration::ZERO, for_long);
            let (before, after) = (before, for_long(now));
            for threshold in
                thresholds.iter().filter(|threshold| before < **threshold && **threshold <= after)
            {
                changes.push((id, Change::Failing { since, threshold: *threshold }));
            }
        }
        (None, None) => {}
    }
}

const TRIES: usize = 4;

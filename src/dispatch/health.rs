//! Keeping the endpoints' health in the store, and telling of what it means.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::contract::Contract;
use crate::delivery::Next;
use crate::dispatch::attempt::{Ended, is_ours};
use crate::dispatch::erased::ErasedStore;
use crate::id::SubscriptionId;
use crate::store::{Claimed, StoreError};
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

/// Attempts of some endpoints, in the order they ended.
pub(super) struct Runs(BTreeMap<SubscriptionId, Run>);

/// Attempts of one endpoint.
struct Run {
    subscription: Arc<Subscription>,
    /// When each ended, and whether it was delivered.
    ends: Vec<(OffsetDateTime, bool)>,
    /// Whether the attempt before the first of them failed.
    was_failing: bool,
    /// Whether the subscription is known to be older than what the store has.
    is_stale: bool,
}

impl Runs {
    /// Leaves out endpoints that were healthy and still are: they cost the store nothing. What was claimed with an attempt may
    /// have got old since, so what this process saw counts too.
    pub(super) fn of<'a>(ended: impl Iterator<Item = &'a Ended> + Clone) -> Self {
        let mut runs: BTreeMap<SubscriptionId, Run> = BTreeMap::new();
        // Most batches have nothing to tell.
        if ended.clone().all(is_well) {
            return Self(runs);
        }
        for ended in ended {
            let (Some(claimed), Some(attempt)) = (&ended.claimed, &ended.settlement.attempt) else {
                continue;
            };
            if is_ours(&attempt.outcome) {
                continue;
            }
            runs.entry(claimed.subscription.id)
                .or_insert_with(|| Run {
                    subscription: Arc::clone(&claimed.subscription),
                    ends: Vec::new(),
                    was_failing: ended.was_failing,
                    is_stale: false,
                })
                .ends
                .push((ended.settlement.now, ended.settlement.next == Next::Delivered));
        }
        runs.retain(|_, run| {
            let looked_healthy = run.subscription.health == Health::default();
            run.is_stale = looked_healthy && run.was_failing;
            !looked_healthy || run.is_stale || run.ends.iter().any(|(_, delivered)| !delivered)
        });
        Self(runs)
    }

    /// Writes down what the attempts say of the endpoints' health.
    pub(super) async fn record(
        self,
        store: &dyn ErasedStore,
        contract: &Contract,
        thresholds: &[Duration],
    ) -> Result<Vec<(SubscriptionId, Change)>, StoreError> {
        let mut changes = Vec::new();
        for (id, run) in self.0 {
            record_one(store, contract, thresholds, id, run, &mut changes).await?;
        }
        Ok(changes)
    }
}

/// Whether an attempt was delivered to an endpoint that was healthy.
fn is_well(ended: &Ended) -> bool {
    let was_healthy = |claimed: &Claimed| claimed.subscription.health == Health::default();
    ended.settlement.next == Next::Delivered
        && !ended.was_failing
        && ended.claimed.as_ref().is_some_and(was_healthy)
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
    let mut seen = (!run.is_stale).then(|| run.subscription.health.clone());
    for _ in 0..TRIES {
        let seen = match seen.take() {
            Some(seen) => seen,
            // Older than another attempt, perhaps of another process, that was written down in between.
            None => match store.subscription_dyn(id).await? {
                Some(subscription) => subscription.health,
                None => return Ok(()),
            },
        };
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
            if rule.is_some_and(|rule| health.is_hopeless(now, rule)) && disable(store, id, now).await? {
                changes.push((id, Change::Disabled));
            }
            return Ok(());
        }
    }
    // So busy an endpoint is written down by the others.
    Ok(())
}

/// Whoever disabled it before had a reason that stays.
async fn disable(
    store: &dyn ErasedStore,
    id: SubscriptionId,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    match store.subscription_dyn(id).await? {
        Some(Subscription { status: SubscriptionStatus::Enabled, .. }) => {
            store.set_status_dyn(id, &SubscriptionStatus::disabled(DisabledReason::Failing, now)).await
        }
        _ => Ok(false),
    }
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

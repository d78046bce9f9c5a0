//! [`Runs`]: the attempts of a batch by endpoint, which are recorded as the endpoints' health.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use time::OffsetDateTime;

use crate::contract::Contract;
use crate::delivery::Next;
use crate::dispatch::contracts::Contracts;
use crate::dispatch::erased::ErasedStore;
use crate::dispatch::finished::{Finished, is_ours};
use crate::dispatch::telemetry;
use crate::id::SubscriptionId;
use crate::store::{HealthWritten, Leased, StoreError};
use crate::subscription::{DisabledReason, Health, Subscription};

/// A change of an endpoint's health that the observer is told about.
#[derive(Debug)]
pub(super) enum Change {
    Recovered {
        failing_since: OffsetDateTime,
    },
    /// The endpoint has failed for longer than this threshold, and had not before.
    Failing {
        since: OffsetDateTime,
        threshold: Duration,
    },
    Disabled,
}

/// Attempts by endpoint, in the order in which they ended.
pub(super) struct Runs(BTreeMap<SubscriptionId, Run>);

/// The attempts of one endpoint.
struct Run {
    subscription: Arc<Subscription>,
    /// When each attempt ended, and whether it delivered.
    ends: Vec<(OffsetDateTime, bool)>,
    /// Whether the attempt before the first of them failed.
    was_failing: bool,
    /// Whether the store is known to have a newer health than the subscription.
    is_stale: bool,
}

impl Runs {
    /// Leaves out endpoints that were healthy and still are: they cost the store no call. The health that was
    /// claimed with an attempt may be outdated, so failures that this process has seen count too.
    pub(super) fn of<'a>(ended: impl Iterator<Item = &'a Finished> + Clone) -> Self {
        let mut runs: BTreeMap<SubscriptionId, Run> = BTreeMap::new();
        // Most batches change no endpoint's health.
        if ended.clone().all(is_well) {
            return Self(runs);
        }
        for ended in ended {
            let (Some(claimed), Some(attempt)) = (&ended.claimed, ended.settlement.log()) else {
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
                .push((ended.settlement.now, ended.settlement.next == Next::Done));
        }
        runs.retain(|_, run| {
            let looked_healthy = run.subscription.health == Health::default();
            run.is_stale = looked_healthy && run.was_failing;
            !looked_healthy || run.is_stale || run.ends.iter().any(|(_, delivered)| !delivered)
        });
        Self(runs)
    }

    /// Writes the endpoints' health into the store, and returns how it changed. An endpoint whose health
    /// cannot be written costs no others theirs.
    pub(super) async fn record(
        self,
        store: &dyn ErasedStore,
        contracts: &Contracts,
        thresholds: &[Duration],
    ) -> Vec<(SubscriptionId, Change)> {
        // Where an attempt was made, the contract is there.
        let records = self.0.into_iter().filter_map(|(id, run)| {
            let terms = contracts.of(run.subscription.contract.name())?;
            Some(record_one(store, &terms.contract, thresholds, id, run))
        });
        let recorded: Vec<_> = stream::iter(records).buffered(AT_ONCE).collect().await;
        let recorded = recorded.into_iter().filter_map(|recorded| {
            recorded.inspect_err(|error| telemetry::store_failed("put_health", error)).ok()
        });
        recorded.flatten().collect()
    }
}

/// Whether an attempt delivered to an endpoint that was healthy.
fn is_well(ended: &Finished) -> bool {
    let was_healthy = |claimed: &Leased| claimed.subscription.health == Health::default();
    ended.settlement.next == Next::Done
        && !ended.was_failing
        && ended.claimed.as_ref().is_some_and(was_healthy)
}

async fn record_one(
    store: &dyn ErasedStore,
    contract: &Contract,
    thresholds: &[Duration],
    id: SubscriptionId,
    run: Run,
) -> Result<Vec<(SubscriptionId, Change)>, StoreError> {
    let mut changes = Vec::new();
    let rule = contract.auto_disable();
    let mut seen = (!run.is_stale).then(|| run.subscription.health.clone());
    for _ in 0..TRIES {
        let seen = match seen.take() {
            Some(seen) => seen,
            // Another attempt, perhaps of another process, was written in between.
            None => match store.subscription_dyn(id).await? {
                Some(subscription) => subscription.health,
                None => return Ok(changes),
            },
        };
        let health = run.ends.iter().fold(seen.clone(), |health, (at, delivered)| match delivered {
            true => health.succeeded(),
            false => health.failed(*at, rule),
        });
        if health == seen {
            return Ok(changes);
        }
        let Some(now) = run.ends.last().map(|(at, _)| *at) else { return Ok(changes) };
        let is_hopeless = rule.is_some_and(|rule| health.is_hopeless(rule, now));
        let disable = is_hopeless.then_some(DisabledReason::Failing);
        let written = store.put_health_dyn(id, &seen, &health, disable, now).await?;
        if written != HealthWritten::Stale {
            tell(id, &seen, &health, thresholds, now, &mut changes);
            if written == HealthWritten::Disabled {
                changes.push((id, Change::Disabled));
            }
            return Ok(changes);
        }
    }
    // If an endpoint is this busy, the others write its health.
    Ok(changes)
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
/// How many endpoints' healths are written at once: among many failing endpoints, one after the other would
/// hold up the next claim, and all at once would take every connection.
const AT_ONCE: usize = 8;

//! [`Routes`]: what an outbox knows of an organization's subscriptions, kept for a while.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::SubscriptionId;
use crate::subscription::{EventFilter, Subscription, SubscriptionStatus};

/// Where an event may go: of a subscription what decides it, and no secret.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) subscription: SubscriptionId,
    pub(super) is_enabled: bool,
    filter: EventFilter,
}

impl Route {
    pub(super) fn of(subscription: &Subscription) -> Self {
        Self {
            subscription: subscription.id,
            is_enabled: subscription.status == SubscriptionStatus::Enabled,
            filter: subscription.filter.clone(),
        }
    }

    pub(super) fn wants(&self, event_type: &str) -> bool {
        self.filter.matches(event_type)
    }
}

/// The routes of organizations that emitted lately. Clones share them.
#[derive(Clone)]
pub(super) struct Routes {
    kept: Arc<Mutex<HashMap<String, Kept>>>,
    age: Duration,
}

struct Kept {
    read_at: Instant,
    routes: Arc<[Route]>,
}

impl Routes {
    /// Routes that are believed for `age`; none are when it is zero.
    pub(super) fn new(age: Duration) -> Self {
        Self { kept: Arc::default(), age }
    }

    pub(super) fn find(&self, organization: &str) -> Option<Arc<[Route]>> {
        if self.age.is_zero() {
            return None;
        }
        let kept = self.kept();
        kept.get(organization).filter(|kept| self.is_fresh(kept)).map(|kept| Arc::clone(&kept.routes))
    }

    /// Keeps what was asked for at `asked_at`, which is when it begins to age.
    pub(super) fn keep(&self, organization: &str, routes: &Arc<[Route]>, asked_at: Instant) {
        if self.age.is_zero() {
            return;
        }
        let mut kept = self.kept();
        if kept.len() >= MOST_KEPT && !kept.contains_key(organization) {
            kept.retain(|_, kept| self.is_fresh(kept));
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
        }
        kept.insert(organization.to_owned(), Kept { read_at: asked_at, routes: Arc::clone(routes) });
    }

    pub(super) fn forget(&self, organization: &str) {
        self.kept().remove(organization);
    }

    fn is_fresh(&self, kept: &Kept) -> bool {
        kept.read_at.elapsed() < self.age
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        // Whoever panicked left a map behind that is whole at any time.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("age", &self.age).finish_non_exhaustive()
    }
}

/// How many organizations are kept, which bounds the memory.
const MOST_KEPT: usize = 10_000;

//! [`Routes`]: what an outbox knows of an organization's subscriptions, asked for by many at once or kept for a while.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::id::SubscriptionId;
use crate::store::StoreError;
use crate::subscription::{Candidate, EventFilter, Subscription, SubscriptionStatus};

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

    pub(super) fn wants(&self, event: &Candidate<'_>) -> bool {
        self.filter.passes(event)
    }
}

/// The routes of organizations that emitted lately. Clones share them.
#[derive(Clone)]
pub(super) struct Routes {
    kept: Arc<Mutex<HashMap<String, Kept>>>,
    /// Organizations whose subscriptions are being asked for, with those who came since.
    asked: Arc<Mutex<HashMap<String, VecDeque<Waits>>>>,
    age: Duration,
}

struct Kept {
    read_at: Instant,
    routes: Arc<[Route]>,
}

impl Routes {
    /// Routes that are believed for `age`; none are when it is zero.
    pub(super) fn new(age: Duration) -> Self {
        Self { kept: Arc::default(), asked: Arc::default(), age }
    }

    /// The routes as `ask` finds them, which is called after this was and not before. Who comes while another asks for the same
    /// organization waits, and one of those asks next for all of them: a query for many events, and none that is older than an event.
    pub(super) async fn ask<F>(
        &self,
        organization: &str,
        ask: impl FnOnce() -> F,
    ) -> Result<Arc<[Route]>, StoreError>
    where
        F: Future<Output = Result<Arc<[Route]>, StoreError>>,
    {
        let mut asking = loop {
            let answered = {
                let mut asked = self.asked();
                match asked.get_mut(organization) {
                    Some(waiting) => {
                        let (answer, answered) = oneshot::channel();
                        waiting.push_back(answer);
                        answered
                    }
                    None => {
                        asked.insert(organization.to_owned(), VecDeque::new());
                        break Asking::new(self, organization, VecDeque::new());
                    }
                }
            };
            match answered.await {
                Ok(Told::Routes(routes)) => return routes,
                Ok(Told::Ask(asking)) => break asking,
                // Whoever asked is gone, and could not pass it on.
                Err(_) => {}
            }
        };
        let routes = ask().await;
        for answer in asking.waiting.drain(..) {
            _ = answer.send(Told::Routes(routes.clone()));
        }
        routes
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

    fn asked(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Waits>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Where somebody waits for routes.
type Waits = oneshot::Sender<Told>;

/// What somebody who waits for routes is told.
enum Told {
    Routes(Result<Arc<[Route]>, StoreError>),
    /// To ask.
    Ask(Asking),
}

/// Held by whoever asks for an organization's routes, for those who waited when it began. Dropped, it has another one ask for those
/// who came since, and for those whom it did not tell.
struct Asking {
    routes: Routes,
    organization: String,
    waiting: VecDeque<Waits>,
    is_passed_on: bool,
}

impl Asking {
    fn new(routes: &Routes, organization: &str, waiting: VecDeque<Waits>) -> Self {
        Self { routes: routes.clone(), organization: organization.to_owned(), waiting, is_passed_on: false }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.is_passed_on {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut asked = self.routes.asked();
        if let Some(since) = asked.get_mut(&self.organization) {
            waiting.append(since);
        }
        while let Some(next) = waiting.pop_front() {
            let asking = Self::new(&self.routes, &self.organization, std::mem::take(&mut waiting));
            match next.send(Told::Ask(asking)) {
                Ok(()) => return,
                Err(Told::Ask(mut asking)) => {
                    asking.is_passed_on = true;
                    waiting = std::mem::take(&mut asking.waiting);
                }
                Err(Told::Routes(_)) => {}
            }
        }
        asked.remove(&self.organization);
    }
}

/// How many organizations are kept, which bounds the memory.
const MOST_KEPT: usize = 10_000;

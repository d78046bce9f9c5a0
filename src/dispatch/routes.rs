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
    /// Organizations whose subscriptions are being asked for.
    asked: Arc<Mutex<HashMap<String, Asked>>>,
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
        let mut turn = None;
        let mut asking = loop {
            let answered = {
                let mut asked = self.asked();
                match asked.get_mut(organization) {
                    None => {
                        asked.insert(
                            organization.to_owned(),
                            Asked { is_asking: true, waiting: VecDeque::new() },
                        );
                        break Asking { routes: self, organization, waiting: VecDeque::new() };
                    }
                    // Whose turn it was told to be may not be running yet. Who is, asks for all; or the next would wait as well.
                    Some(asked) if !asked.is_asking => {
                        asked.is_asking = true;
                        let waiting = std::mem::take(&mut asked.waiting);
                        break Asking { routes: self, organization, waiting };
                    }
                    Some(asked) => {
                        let (answer, answered) = oneshot::channel();
                        asked.waiting.push_back(answer);
                        answered
                    }
                }
            };
            // What it was told before has come to nothing.
            drop(turn.take());
            match answered.await {
                Ok(Told::Routes(routes)) => return routes,
                Ok(Told::Ask(told)) => turn = Some(told),
                // Whoever asked is gone, and could not pass it on.
                Err(_) => {}
            }
        };
        // Its turn is taken.
        drop(turn);
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

    fn asked(&self) -> MutexGuard<'_, HashMap<String, Asked>> {
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

/// Those who want to know of an organization's routes.
struct Asked {
    /// Whether one of them asks. Otherwise one was told to.
    is_asking: bool,
    waiting: VecDeque<Waits>,
}

/// Where somebody waits for routes.
type Waits = oneshot::Sender<Told>;

/// What somebody who waits for routes is told.
enum Told {
    Routes(Result<Arc<[Route]>, StoreError>),
    /// To ask, unless somebody does.
    Ask(Turn),
}

/// Held by whoever asks for an organization's routes, for those who waited when it began. Dropped, it has another one ask for those
/// who came since, and for those whom it did not tell.
struct Asking<'a> {
    routes: &'a Routes,
    organization: &'a str,
    waiting: VecDeque<Waits>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asked = self.routes.asked();
        let Some(own) = asked.get_mut(self.organization) else { return };
        own.is_asking = false;
        self.waiting.append(&mut own.waiting);
        own.waiting = std::mem::take(&mut self.waiting);
        Turn::tell(self.routes, self.organization, &mut asked);
    }
}

/// Held by whoever was told to ask. Dropped, it has another one told, unless somebody asks.
struct Turn {
    routes: Routes,
    organization: String,
    is_told: bool,
}

impl Turn {
    /// Has the first of those who wait ask; nobody is remembered when there is none.
    fn tell(routes: &Routes, organization: &str, asked: &mut HashMap<String, Asked>) {
        let Some(own) = asked.get_mut(organization) else { return };
        while let Some(next) = own.waiting.pop_front() {
            let turn = Self { routes: routes.clone(), organization: organization.to_owned(), is_told: true };
            match next.send(Told::Ask(turn)) {
                Ok(()) => return,
                Err(Told::Ask(mut turn)) => turn.is_told = false,
                Err(Told::Routes(_)) => {}
            }
        }
        asked.remove(organization);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_told {
            return;
        }
        let mut asked = self.routes.asked();
        if asked.get(&self.organization).is_some_and(|asked| !asked.is_asking) {
            Self::tell(&self.routes, &self.organization, &mut asked);
        }
    }
}

/// How many organizations are kept, which bounds the memory.
const MOST_KEPT: usize = 10_000;

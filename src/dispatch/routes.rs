//! [`Routes`]: the subscriptions of an organization as an outbox needs them; [`RouteCache`]: those of many
//! organizations, each read once until its subscriptions change.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::dispatch::scheduling::Known;
use crate::id::SubscriptionId;
use crate::store::{Edition, Scanned, StoreError};
use crate::subscription::{Candidate, EventFilter, SubscriptionStatus};

/// The parts of a subscription that decide whether an event goes there; no secret is among them.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) subscription: SubscriptionId,
    pub(super) is_enabled: bool,
    /// The place of its version among those of the outbox; 0 for one that the outbox does not have.
    pub(super) place: usize,
    /// The facts that the dispatcher is given with a wake.
    pub(super) known: Known,
    /// `None` where these parts cannot be read.
    filter: Option<EventFilter>,
}

impl Route {
    /// The route to a subscription that speaks the contract of this name, as far as it can be read. `place`
    /// finds the place of a version.
    pub(super) fn of(
        scanned: &Scanned,
        contract: &str,
        place: impl Fn(&str) -> usize,
        organization: &Arc<str>,
    ) -> Option<Self> {
        let mut known = Known { organization: Some(Arc::clone(organization)), is_failing: None };
        let (spoken, is_enabled, filter) = match (&scanned.subscription, &scanned.routing) {
            (Ok(read), _) => {
                known.is_failing = Some(read.health.failing_since().is_some());
                (&read.contract, read.status == SubscriptionStatus::Enabled, &read.filter)
            }
            (Err(_), Some(parts)) => (&parts.contract, !parts.is_disabled, &parts.filter),
            (Err(_), None) => {
                let subscription = scanned.id;
                return Some(Self { subscription, is_enabled: false, place: 0, known, filter: None });
            }
        };
        let (subscription, place) = (scanned.id, place(spoken.version()));
        let filter = Some(filter.clone());
        (spoken.name() == contract).then_some(Self { subscription, is_enabled, place, known, filter })
    }

    /// Whether it asks for events of this type.
    pub(super) fn asks_for(&self, event_type: &str) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.matches(event_type))
    }

    pub(super) fn wants(&self, event: &Candidate<'_>) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.passes(event))
    }

    /// Whether it is not known which events go there.
    pub(super) const fn is_unknown(&self) -> bool {
        self.filter.is_none()
    }
}

/// The routes of an organization.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    pub(super) all: Arc<[Route]>,
    /// The edition of the subscriptions that they were made of, in a store that has editions.
    pub(super) edition: Option<Edition>,
    /// Whether they were read for an earlier event, so that endpoints may have failed or recovered since.
    pub(super) is_cached: bool,
}

/// The routes of organizations that emitted lately. Clones share them.
///
/// An insert tells whether the routes are still those of the organization's subscriptions. They are read
/// again after a while nevertheless, in case a database is restored or replicated without its triggers.
#[derive(Clone, Default)]
pub(super) struct RouteCache {
    cached: Arc<Mutex<Cached>>,
    /// The organizations whose subscriptions are being read.
    readers: Arc<Mutex<HashMap<String, Readers>>>,
}

#[derive(Default)]
struct Cached {
    /// The routes of each, and when their read began.
    organizations: HashMap<String, (Routes, Instant)>,
    /// How many routes they have together.
    routes: usize,
}

impl RouteCache {
    /// Reads the routes of an organization by `read`, which begins after this call and not before.
    ///
    /// Calls that come during a read wait for its end. Then one of them reads for all that wait. So one query
    /// serves many events, and no event gets routes that were read before it came.
    pub(super) async fn read<F>(
        &self,
        organization: &str,
        read: impl FnOnce() -> F,
    ) -> Result<Routes, StoreError>
    where
        F: Future<Output = Result<Routes, StoreError>>,
    {
        let mut turn = None;
        let mut reading = loop {
            let waiting = {
                let mut readers = self.readers();
                match readers.get_mut(organization) {
                    None => {
                        readers.insert(
                            organization.to_owned(),
                            Readers { is_reading: true, waiting: VecDeque::new() },
                        );
                        break Reading { routes: self, organization, waiting: VecDeque::new() };
                    }
                    // The caller whose turn it is may not run for a while. Read for all instead of waiting
                    // for it.
                    Some(readers) if !readers.is_reading => {
                        readers.is_reading = true;
                        let waiting = std::mem::take(&mut readers.waiting);
                        break Reading { routes: self, organization, waiting };
                    }
                    Some(readers) => {
                        let (answer, waiting) = oneshot::channel();
                        readers.waiting.push_back(answer);
                        waiting
                    }
                }
            };
            // Another caller took the turn.
            drop(turn.take());
            match waiting.await {
                Ok(Reply::Routes(routes)) => return routes,
                Ok(Reply::Turn(next)) => turn = Some(next),
                // The reader is gone and could not pass its turn on.
                Err(_) => {}
            }
        };
        // The turn is used.
        drop(turn);
        let routes = read().await;
        for answer in reading.waiting.drain(..) {
            _ = answer.send(Reply::Routes(routes.clone()));
        }
        routes
    }

    /// The cached routes of an organization.
    pub(super) fn find(&self, organization: &str) -> Option<Routes> {
        let cached = self.cached();
        let (routes, read_at) = cached.organizations.get(organization)?;
        (read_at.elapsed() < MOST_AGE).then(|| Routes { is_cached: true, ..routes.clone() })
    }

    /// Caches routes whose read began at `read_at`, if their edition is known.
    pub(super) fn cache(&self, organization: &str, routes: &Routes, read_at: Instant) {
        if routes.edition.is_none() {
            return;
        }
        let mut cached = self.cached();
        cached.forget(organization);
        let more = routes.all.len();
        if more > MOST_ROUTES {
            return;
        }
        if cached.organizations.len() >= MOST_CACHED || cached.routes + more > MOST_ROUTES {
            *cached = Cached::default();
        }
        cached.routes += more;
        cached.organizations.insert(organization.to_owned(), (routes.clone(), read_at));
    }

    /// Forgets the cached routes of an organization, if they are of this edition.
    pub(super) fn forget(&self, organization: &str, edition: Option<Edition>) {
        let mut cached = self.cached();
        if cached.organizations.get(organization).is_some_and(|(routes, _)| routes.edition == edition) {
            cached.forget(organization);
        }
    }

    fn readers(&self) -> MutexGuard<'_, HashMap<String, Readers>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self) -> MutexGuard<'_, Cached> {
        // Nothing panics between two changes that belong together.
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cached {
    fn forget(&mut self, organization: &str) {
        if let Some(old) = self.organizations.remove(organization) {
            self.routes -= old.0.all.len();
        }
    }
}

impl fmt::Debug for RouteCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteCache").finish_non_exhaustive()
    }
}

/// The callers that need an organization's routes.
struct Readers {
    /// Whether one of them reads. Otherwise one has the turn.
    is_reading: bool,
    waiting: VecDeque<oneshot::Sender<Reply>>,
}

/// The end of a caller's wait.
enum Reply {
    Routes(Result<Routes, StoreError>),
    /// The caller reads, unless another one does by then.
    Turn(Turn),
}

/// Held by the caller that reads, for those that waited when it began. On drop, the turn passes to one of
/// those that came since, or that got no answer.
struct Reading<'a> {
    routes: &'a RouteCache,
    organization: &'a str,
    waiting: VecDeque<oneshot::Sender<Reply>>,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut readers = self.routes.readers();
        let Some(own) = readers.get_mut(self.organization) else { return };
        own.is_reading = false;
        self.waiting.append(&mut own.waiting);
        own.waiting = std::mem::take(&mut self.waiting);
        Turn::pass(self.routes, self.organization, &mut readers);
    }
}

/// The turn to read. On drop, it passes to the next caller, unless one reads.
struct Turn {
    routes: RouteCache,
    organization: String,
    /// Whether a caller got it.
    is_given: bool,
}

impl Turn {
    /// Passes the turn to the first caller that still waits. Forgets the organization when none does.
    fn pass(routes: &RouteCache, organization: &str, readers: &mut HashMap<String, Readers>) {
        let Some(own) = readers.get_mut(organization) else { return };
        while let Some(next) = own.waiting.pop_front() {
            let turn = Self { routes: routes.clone(), organization: organization.to_owned(), is_given: true };
            match next.send(Reply::Turn(turn)) {
                Ok(()) => return,
                Err(Reply::Turn(mut turn)) => turn.is_given = false,
                Err(Reply::Routes(_)) => {}
            }
        }
        readers.remove(organization);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_given {
            return;
        }
        let mut readers = self.routes.readers();
        if readers.get(&self.organization).is_some_and(|readers| !readers.is_reading) {
            Self::pass(&self.routes, &self.organization, &mut readers);
        }
    }
}

/// How many organizations are cached at most, which bounds the memory.
const MOST_CACHED: usize = 10_000;

/// How many routes they may have together.
const MOST_ROUTES: usize = 50_000;

/// After how long routes are read again, although no change of them was seen.
const MOST_AGE: Duration = Duration::from_secs(60);

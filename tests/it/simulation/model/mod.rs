//! The expected behaviour: a naive store and all observations. Every answer and every request is compared
//! with it.
//!
//! It shares no code with the code under test. It has no indexes and walks over everything.

mod claims;
mod end;
mod records;
mod requests;
mod settlements;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use hookwire::signature::StoredSecret;
use hookwire::store::Lease;
use hookwire::{Attempt, DeadReason, DeliveryId, DeliveryState, EventId, SubscriptionId, SubscriptionStatus};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::terms::{End, Terms};

pub(crate) struct Model {
    pub(crate) terms: Terms,
    start: Instant,
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Sub>,
    pub(crate) filters: BTreeMap<SubscriptionId, &'static str>,
    pub(crate) events: BTreeMap<EventId, Event>,
    by_payload: BTreeMap<Bytes, EventId>,
    pub(crate) rows: BTreeMap<DeliveryId, Row>,
    pending: BTreeMap<SubscriptionId, BTreeSet<DeliveryId>>,
    holds: Vec<Hold>,
    workers: Vec<Worker>,
    numbers: u64,
    last_jump: Option<Instant>,
    pub(crate) counts: Counts,
    pub(crate) violations: Vec<String>,
    pub(crate) trace: Option<Vec<String>>,
}

/// Counts of each kind of event, so that a test can tell that it happened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) deliveries: u64,
    pub(crate) delivered: u64,
    pub(crate) dead: u64,
    pub(crate) left: u64,
    pub(crate) requests: u64,
    pub(crate) doubled: u64,
    pub(crate) stale: u64,
    pub(crate) taken_over: u64,
    pub(crate) handed_back: u64,
    /// Deliveries that an insert leased for the dispatcher of its process.
    pub(crate) handed_over: u64,
    pub(crate) store_faults: u64,
    pub(crate) kills: u64,
    pub(crate) jumps: u64,
    pub(crate) replays: u64,
    pub(crate) disabled: u64,
    /// How many of those were disabled for failing as long as the contract allows.
    pub(crate) hopeless: u64,
}

impl Counts {
    /// Whether each kind was seen.
    pub(crate) fn has_everything(&self) -> bool {
        let Self { delivered, dead, left, doubled, stale, taken_over, handed_back, handed_over, .. } = *self;
        let Self { store_faults, kills, jumps, replays, disabled, .. } = *self;
        let ends = [delivered, dead, left, doubled, stale, taken_over, handed_back, handed_over];
        ends.into_iter().chain([store_faults, kills, jumps, replays, disabled]).all(|count| count > 0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            events,
            deliveries,
            delivered,
            dead,
            left,
            requests,
            doubled,
            stale,
            taken_over,
            handed_back,
            handed_over,
            store_faults,
            kills,
            jumps,
            replays,
            disabled,
            hopeless,
        } = other;
        self.events += events;
        self.deliveries += deliveries;
        self.delivered += delivered;
        self.dead += dead;
        self.left += left;
        self.requests += requests;
        self.doubled += doubled;
        self.stale += stale;
        self.taken_over += taken_over;
        self.handed_back += handed_back;
        self.handed_over += handed_over;
        self.store_faults += store_faults;
        self.kills += kills;
        self.jumps += jumps;
        self.replays += replays;
        self.disabled += disabled;
        self.hopeless += hopeless;
    }
}

pub(crate) struct Sub {
    pub(crate) organization: String,
    pub(crate) url: String,
    /// The one event type of its filter; `None` for all types.
    only: Option<&'static str>,
    pub(crate) status: SubscriptionStatus,
    pub(crate) secrets: Vec<StoredSecret>,
    pub(crate) cap: Option<u32>,
    pub(crate) rate: Option<(f64, u32)>,
    pub(crate) is_deleted: bool,
    paused_until: Option<OffsetDateTime>,
    last_success: Option<Instant>,
    /// Whether a read or a write of its health has failed.
    health_faulted: bool,
}

pub(crate) struct Event {
    organization: String,
    event_type: String,
    payload: Bytes,
    key: Option<String>,
    is_expunged: bool,
}

pub(crate) struct Row {
    pub(crate) event: EventId,
    pub(crate) subscription: SubscriptionId,
    key: Option<String>,
    number: u64,
    pub(crate) state: DeliveryState,
    due: OffsetDateTime,
    created_at: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
    hold: Option<usize>,
    last_lease: Option<Lease>,
    log: Vec<Attempt>,
    /// The time that does not count towards the total time of its retries.
    late: Duration,
    first_arrival: Option<Instant>,
    taken: u32,
    arrivals: u32,
    was_cancelled: bool,
    was_replayed: bool,
    last_end: Option<(Instant, Duration)>,
    /// Claims without a logged attempt that are explained by a fault.
    spared: u32,
}

/// One claim of one delivery.
struct Hold {
    delivery: DeliveryId,
    lease: Lease,
    worker: usize,
    /// The time of its claim or of its last extension.
    renewed: Instant,
    answered: Option<Instant>,
    is_unreadable: bool,
    /// Whether its subscription is what cannot be read.
    is_kept_back: bool,
    /// Whether its lease had ended when the claim was answered.
    is_late: bool,
    /// Whether its delivery was leased by the insert and handed over.
    is_given: bool,
    secrets: Vec<StoredSecret>,
    attempt: u32,
    request: Option<Request>,
    /// Whether the store refused to settle it.
    was_refused: bool,
    is_settled: bool,
}

#[derive(Clone, Copy)]
struct Request {
    began: Instant,
    began_at: OffsetDateTime,
    ended: Option<(OffsetDateTime, Instant, End)>,
}

/// One dispatcher, from its start to its end.
#[derive(Default)]
pub(crate) struct Worker {
    cap: u32,
    in_flight: usize,
    clock: usize,
    /// Killed, or ended after a shutdown.
    is_over: bool,
    is_stopping: bool,
    last_fault: Option<Instant>,
    /// Whether a slow call of its store is on its way.
    is_slow: bool,
    active: BTreeSet<usize>,
    open: BTreeSet<usize>,
    buckets: BTreeMap<SubscriptionId, Bucket>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Model {
    pub(crate) fn new(terms: Terms, is_traced: bool) -> Self {
        Self {
            terms,
            start: Instant::now(),
            subscriptions: BTreeMap::new(),
            filters: BTreeMap::new(),
            events: BTreeMap::new(),
            by_payload: BTreeMap::new(),
            rows: BTreeMap::new(),
            pending: BTreeMap::new(),
            holds: Vec::new(),
            workers: Vec::new(),
            numbers: 0,
            last_jump: None,
            counts: Counts::default(),
            violations: Vec::new(),
            trace: is_traced.then(Vec::new),
        }
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>14.3} s  {}", self.start.elapsed().as_secs_f64(), line()));
        }
    }

    pub(crate) fn violated(&mut self, what: String) {
        self.note(|| format!("VIOLATED: {what}"));
        self.violations.push(format!("after {:.3} s: {what}", self.start.elapsed().as_secs_f64()));
    }

    /// Whether there are so many violations that the run should stop.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.violations.len() >= 50
    }

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(what());
        }
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = &DeliveryId> {
        self.pending.values().flatten()
    }

    /// Pending deliveries that only wait for their due time: the first of each key.
    fn first_of_keys(&self, subscription: SubscriptionId) -> Vec<(OffsetDateTime, u64, DeliveryId)> {
        let mut firsts: BTreeMap<&str, (OffsetDateTime, u64, DeliveryId)> = BTreeMap::new();
        let mut free = Vec::new();
        for id in self.pending.get(&subscription).into_iter().flatten() {
            let row = &self.rows[id];
            let place = (row.due, row.number, *id);
            match &row.key {
                None => free.push(place),
                Some(key) => {
                    let first = firsts.entry(key).or_insert(place);
                    if place.1 < first.1 {
                        *first = place;
                    }
                }
            }
        }
        free.extend(firsts.into_values());
        free.sort_unstable();
        free
    }

    fn is_open(&self, id: SubscriptionId) -> Option<&Sub> {
        self.subscriptions.get(&id).filter(|sub| !sub.is_deleted && sub.status == SubscriptionStatus::Enabled)
    }

    fn eligible(&self, id: SubscriptionId, now: OffsetDateTime) -> Vec<(OffsetDateTime, u64, DeliveryId)> {
        if self.is_open(id).is_none_or(|sub| sub.paused_until.is_some_and(|until| until > now)) {
            return Vec::new();
        }
        let mut firsts = self.first_of_keys(id);
        firsts.retain(|(due, ..)| *due <= now);
        firsts
    }

    /// The claim with this lease, if the lease is still valid.
    fn holding(&self, id: DeliveryId, lease: Lease) -> Option<usize> {
        let row = self.rows.get(&id).filter(|row| row.state == DeliveryState::Pending)?;
        row.hold.filter(|hold| self.holds[*hold].lease == lease && !self.holds[*hold].is_settled)
    }

    fn ended(&mut self, id: DeliveryId, state: DeliveryState, now: OffsetDateTime) {
        let row = &self.rows[&id];
        let was_first =
            row.key.is_some() && self.first_of_keys(row.subscription).iter().any(|(.., first)| *first == id);
        let row = self.rows.get_mut(&id).expect("it is there");
        self.pending.entry(row.subscription).or_default().remove(&id);
        row.state = state;
        row.ended_at = Some(now);
        let (subscription, key) = (row.subscription, row.key.clone());
        if was_first {
            let next = self.first_of_keys(subscription).into_iter().find(|(.., id)| self.rows[id].key == key);
            if let Some((.., next)) = next {
                self.rows.get_mut(&next).expect("it is pending").due = now;
            }
        }
    }

    fn cancelled(&mut self, id: DeliveryId, now: OffsetDateTime) {
        self.rows.get_mut(&id).expect("it is there").was_cancelled = true;
        self.ended(id, DeliveryState::Dead(DeadReason::Cancelled), now);
    }
}

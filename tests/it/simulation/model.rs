//! What ought to be: a naive store, and everything that was seen, against which every answer and every request is held.
//!
//! It shares no code with what it judges. Where the code keeps indexes, this walks over everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use hookwire::store::{
    Claim, Claims, Inserted, Lease, Look, NewEvent, Replay, Settled, Settlement, Unreadable,
};
use hookwire::{
    Attempt, DeadReason, Delivery, DeliveryId, DeliveryState, DisabledReason, EventId, Health, Next, Secret,
    Subscription, SubscriptionId, SubscriptionStatus,
};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::terms::{End, Terms, Verdict};

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

/// How much of what has happened, so that a test can tell that it did.
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
    pub(crate) store_faults: u64,
    pub(crate) kills: u64,
    pub(crate) jumps: u64,
    pub(crate) replays: u64,
    pub(crate) disabled: u64,
}

impl Counts {
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
            store_faults,
            kills,
            jumps,
            replays,
            disabled,
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
        self.store_faults += store_faults;
        self.kills += kills;
        self.jumps += jumps;
        self.replays += replays;
        self.disabled += disabled;
    }
}

pub(crate) struct Sub {
    pub(crate) organization: String,
    pub(crate) url: String,
    /// The one type that it asks for, if not for all.
    only: Option<&'static str>,
    pub(crate) status: SubscriptionStatus,
    pub(crate) secrets: Vec<Secret>,
    pub(crate) cap: Option<u32>,
    pub(crate) rate: Option<(f64, u32)>,
    pub(crate) is_deleted: bool,
    paused_until: Option<OffsetDateTime>,
    last_success: Option<Instant>,
    /// Whether its health could not be written or read at some time.
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
    hold: Option<usize>,
    last_lease: Option<Lease>,
    log: Vec<Attempt>,
    first_arrival: Option<Instant>,
    taken: u32,
    arrivals: u32,
    was_cancelled: bool,
    was_replayed: bool,
    last_end: Option<(Instant, Duration)>,
    /// Claims that logged no attempt, and that a fault explains.
    spared: u32,
}

/// One claim of one delivery.
struct Hold {
    delivery: DeliveryId,
    lease: Lease,
    worker: usize,
    /// When it was claimed or last extended.
    renewed: Instant,
    answered: Option<Instant>,
    is_unreadable: bool,
    /// Whether its lease was over when the claim was answered.
    is_late: bool,
    secrets: Vec<Secret>,
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

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(what());
        }
    }

    // What the store was asked and answered.

    pub(crate) fn subscribed(&mut self, subscription: &Subscription) {
        let id = subscription.id;
        self.note(|| {
            format!("{id} written, {:?}, {} secrets", subscription.status, subscription.secrets.len())
        });
        let only = self.filters.get(&id).copied();
        let sub = self.subscriptions.entry(id).or_insert_with(|| Sub {
            organization: subscription.organization.clone(),
            url: subscription.url.as_str().to_owned(),
            only,
            status: subscription.status.clone(),
            secrets: Vec::new(),
            cap: subscription.options.max_in_flight(),
            rate: subscription.options.rate().map(|rate| (rate.per_second(), rate.burst())),
            is_deleted: false,
            paused_until: None,
            last_success: None,
            health_faulted: false,
        });
        sub.status = subscription.status.clone();
        sub.secrets = subscription.secrets.clone();
    }

    pub(crate) fn inserted(&mut self, events: &[NewEvent], inserted: &[Inserted]) {
        self.expect(events.len() == inserted.len(), || "an insert answered for other events".to_owned());
        for (event, inserted) in events.iter().zip(inserted) {
            self.note(|| format!("insert {} -> {inserted:?}", event.id));
            let expected = match self.events.get(&event.id) {
                None => Inserted::New,
                Some(known) if known.payload == event.payload => Inserted::Duplicate,
                Some(_) => Inserted::Conflict,
            };
            self.expect(expected == *inserted, || {
                format!("insert of {} answered {inserted:?}, expected {expected:?}", event.id)
            });
            if *inserted == Inserted::New {
                self.insert_one(event);
            }
        }
    }

    fn insert_one(&mut self, event: &NewEvent) {
        self.counts.events += 1;
        let wanting: BTreeSet<_> = self
            .subscriptions
            .iter()
            .filter(|(_, sub)| {
                !sub.is_deleted
                    && sub.organization == event.organization
                    && sub.only.is_none_or(|only| event.event_type.as_str() == only)
            })
            .map(|(id, _)| *id)
            .collect();
        let given: BTreeSet<_> = event.deliveries.iter().map(|(_, to)| *to).collect();
        self.expect(wanting == given && given.len() == event.deliveries.len(), || {
            format!("{} goes to {given:?}, expected {wanting:?}", event.id)
        });
        self.by_payload.insert(event.payload.clone(), event.id.clone());
        self.events.insert(
            event.id.clone(),
            Event {
                organization: event.organization.clone(),
                event_type: event.event_type.as_str().to_owned(),
                payload: event.payload.clone(),
                key: event.ordering_key.clone(),
                is_expunged: false,
            },
        );
        for (delivery, subscription) in &event.deliveries {
            self.add(*delivery, *subscription, &event.id, event.inserted_at);
        }
    }

    fn add(&mut self, id: DeliveryId, subscription: SubscriptionId, event: &EventId, at: OffsetDateTime) {
        self.counts.deliveries += 1;
        self.numbers += 1;
        let row = Row {
            event: event.clone(),
            subscription,
            key: self.events[event].key.clone(),
            number: self.numbers,
            state: DeliveryState::Pending,
            due: at,
            created_at: at,
            hold: None,
            last_lease: None,
            log: Vec::new(),
            first_arrival: None,
            taken: 0,
            arrivals: 0,
            was_cancelled: false,
            was_replayed: false,
            last_end: None,
            spared: 0,
        };
        self.note(|| format!("{id} of {event} to {subscription}, key {:?}, due {at}", row.key));
        self.rows.insert(id, row);
        self.pending.entry(subscription).or_default().insert(id);
        if self.subscriptions[&subscription].is_deleted {
            self.cancelled(id, at);
        }
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = &DeliveryId> {
        self.pending.values().flatten()
    }

    /// Pending ones that wait for nothing but their time: the first of each key.
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

    pub(crate) fn looked(&mut self, now: OffsetDateTime, limit: u32, look: &Look) {
        let mut ready = BTreeSet::new();
        let mut wait = None;
        for id in self.subscriptions.keys() {
            let Some(sub) = self.is_open(*id) else { continue };
            let Some((due, ..)) = self.first_of_keys(*id).first().copied() else { continue };
            let turn = sub.paused_until.map_or(due, |until| until.max(due));
            if turn <= now {
                ready.insert(*id);
            } else {
                let left = Duration::try_from(turn - now).unwrap();
                wait = Some(wait.map_or(left, |wait: Duration| wait.min(left)));
            }
        }
        let told: BTreeSet<_> = look.ready.iter().copied().collect();
        if ready.len() <= limit as usize {
            self.expect(told == ready && told.len() == look.ready.len(), || {
                format!("a look told {told:?}, expected {ready:?}")
            });
            self.expect(look.wait == wait, || {
                format!("a look told to wait {:?}, expected {wait:?}", look.wait)
            });
        }
    }

    /// Takes down a claim at the instant that the store made it; tells what to call back with when it is answered.
    pub(crate) fn claimed(&mut self, worker: usize, claim: &Claim, claims: &Claims) -> Vec<usize> {
        let now = claim.now;
        for share in &claim.shares {
            let eligible = self.eligible(share.subscription, now);
            let taken: BTreeSet<_> = claims
                .deliveries
                .iter()
                .filter(|claimed| claimed.subscription.id == share.subscription)
                .map(|claimed| claimed.delivery)
                .collect();
            self.expect(taken.len() <= share.limit as usize, || {
                format!("a claim took {} of {}, asked for {}", taken.len(), share.subscription, share.limit)
            });
            for id in &taken {
                if !eligible.iter().any(|(.., eligible)| eligible == id) {
                    let why = self.why_not(*id, now);
                    self.violated(format!("{id} was claimed and {why}"));
                }
            }
            let last = eligible.iter().filter(|(.., id)| taken.contains(id)).map(|(due, ..)| *due).max();
            let left: Vec<_> = eligible
                .iter()
                .filter(|(due, _, id)| !taken.contains(id) && share.since.is_none_or(|since| *due >= since))
                .collect();
            let passed_over = left
                .iter()
                .find(|(due, ..)| taken.len() < share.limit as usize || last.is_some_and(|last| *due < last));
            if let Some((due, _, id)) = passed_over {
                let what = format!("{id}, due at {due}, was passed over by a claim at {now}");
                self.violated(what);
            }
        }
        claims.deliveries.iter().map(|claimed| self.claimed_one(worker, claim, claimed)).collect()
    }

    fn claimed_one(&mut self, worker: usize, claim: &Claim, claimed: &hookwire::store::Claimed) -> usize {
        let id = claimed.delivery;
        let subscription = claimed.subscription.id;
        self.note(|| {
            format!("worker {worker} claims {id}, attempt {}, {:?}", claimed.attempt, claimed.lease)
        });
        self.expect(claim.shares.iter().any(|share| share.subscription == subscription), || {
            format!("{id} was claimed without a share of {subscription}")
        });
        let attempts = self.terms.attempts();
        let Some(row) = self.rows.get(&id) else {
            self.violated(format!("{id} was claimed and never made"));
            return 0;
        };
        let event = &self.events[&row.event];
        let sub = &self.subscriptions[&subscription];
        let mut faults = Vec::new();
        if row.last_lease.is_some_and(|last| last >= claimed.lease) {
            faults.push("its lease is not above the last");
        }
        if claimed.attempt as usize != row.log.len() + 1 {
            faults.push("its attempt is not the next");
        }
        if claimed.attempt > attempts {
            faults.push("the policy has no attempt left");
        }
        if claimed.payload != event.payload
            || claimed.event != row.event
            || claimed.event_type.as_str() != event.event_type
            || row.subscription != subscription
        {
            faults.push("it is another event or has other bytes");
        }
        if claimed.first_attempt_at != row.log.first().map(|attempt| attempt.started_at) {
            faults.push("its first attempt was at another time");
        }
        if claimed.subscription.secrets != sub.secrets {
            faults.push("its secrets are not the subscription's");
        }
        // Whose lease was it, if it was not given back?
        let previous = row.hold.map(|hold| &self.holds[hold]).filter(|hold| !hold.is_settled);
        let taken_over = previous.is_some();
        if let Some(previous) = previous {
            let old = &self.workers[previous.worker];
            let since = previous.renewed;
            let jumped = self.last_jump.is_some_and(|jump| jump >= since);
            let faulted = old.last_fault.is_some_and(|fault| fault >= since);
            let skewed = old.clock != self.workers[worker].clock && self.last_jump.is_some();
            let lost = previous.answered.is_none() || previous.was_refused;
            if !(old.is_over || jumped || faulted || skewed || lost) {
                faults.push("the lease of a living worker had ended without a fault");
            }
        }
        for fault in faults {
            self.violated(format!("{id} was claimed by worker {worker} and {fault}"));
        }
        self.counts.taken_over += u64::from(taken_over);
        let hold = self.holds.len();
        self.holds.push(Hold {
            delivery: id,
            lease: claimed.lease,
            worker,
            renewed: Instant::now(),
            answered: None,
            is_unreadable: false,
            is_late: false,
            secrets: claimed.subscription.secrets.clone(),
            attempt: claimed.attempt,
            request: None,
            was_refused: false,
            is_settled: false,
        });
        let row = self.rows.get_mut(&id).expect("looked up above");
        row.spared += u32::from(taken_over);
        row.hold = Some(hold);
        row.last_lease = Some(claimed.lease);
        row.due = claim.now + claim.lease;
        hold
    }

    fn why_not(&self, id: DeliveryId, now: OffsetDateTime) -> String {
        let Some(row) = self.rows.get(&id) else { return "was never made".to_owned() };
        if row.state != DeliveryState::Pending {
            return format!("is {}", row.state.as_str());
        }
        let sub = &self.subscriptions[&row.subscription];
        if sub.is_deleted || sub.status != SubscriptionStatus::Enabled {
            return format!("its subscription is {:?}", sub.status);
        }
        if sub.paused_until.is_some_and(|until| until > now) {
            return "its subscription is paused".to_owned();
        }
        match row.hold.map(|hold| &self.holds[hold]) {
            Some(hold) if !hold.is_settled && row.due > now => {
                format!("is leased to worker {} until {}", hold.worker, row.due)
            }
            _ if row.due > now => format!("is due at {}", row.due),
            _ => format!("is not the first of its key {:?}", row.key),
        }
    }

    /// The answer to a claim has reached its worker: whatever of it is not a broken row is sent at once.
    pub(crate) fn answered(
        &mut self,
        worker: usize,
        holds: &[usize],
        unreadable: &[Unreadable],
        claim: &Claim,
        asked: Instant,
    ) {
        for hold in holds {
            let id = self.holds[*hold].delivery;
            let hold_mut = &mut self.holds[*hold];
            hold_mut.answered = Some(Instant::now());
            hold_mut.is_unreadable = unreadable.iter().any(|row| row.delivery == id);
            // Its lease may be over: then it is not sent any more, and handed back.
            hold_mut.is_late = asked.elapsed() >= claim.lease;
            if !hold_mut.is_unreadable && !hold_mut.is_late {
                self.workers[worker].open.insert(*hold);
            }
        }
        self.spend(worker, holds, claim, asked);
    }

    /// Tokens are spent when a claim is asked for, so that its time counts and not that of the requests.
    fn spend(&mut self, worker: usize, holds: &[usize], claim: &Claim, made: Instant) {
        for share in &claim.shares {
            let id = share.subscription;
            let Some((per_second, burst)) = self.subscriptions.get(&id).and_then(|sub| sub.rate) else {
                continue;
            };
            let of_this = |hold: &&usize| {
                self.rows[&self.holds[**hold].delivery].subscription == id
                    && !self.holds[**hold].is_unreadable
            };
            let taken = holds.iter().filter(of_this).count();
            let burst = f64::from(burst);
            let bucket = self.workers[worker].buckets.entry(id).or_insert(Bucket { tokens: burst, at: made });
            let passed = made.saturating_duration_since(bucket.at).as_secs_f64();
            // A clock that jumps ahead fills it: time has passed as far as anybody can tell.
            let jumped = self.last_jump.is_some_and(|jump| jump >= bucket.at);
            bucket.tokens = if jumped { burst } else { (bucket.tokens + passed * per_second).min(burst) };
            bucket.at = made;
            bucket.tokens -= taken as f64;
            let left = bucket.tokens;
            self.expect(left > -0.01, || {
                format!("worker {worker} claimed {taken} of {id} beyond its rate, {left:.2} tokens left")
            });
        }
    }

    pub(crate) fn extended(
        &mut self,
        leases: &[(DeliveryId, Lease)],
        until: OffsetDateTime,
        answers: &[Settled],
    ) {
        for ((id, lease), answer) in leases.iter().zip(answers) {
            let expected = self.holding(*id, *lease);
            self.note(|| format!("{id} {lease:?} extended until {until} -> {answer:?}"));
            self.expect((*answer == Settled::Done) == expected.is_some(), || {
                format!("{id} was extended under {lease:?} -> {answer:?}")
            });
            if let Some(hold) = expected {
                self.holds[hold].renewed = Instant::now();
                self.rows.get_mut(id).expect("it is held").due = until;
            }
        }
    }

    /// The claim that this lease is of, if it is still good.
    fn holding(&self, id: DeliveryId, lease: Lease) -> Option<usize> {
        let row = self.rows.get(&id).filter(|row| row.state == DeliveryState::Pending)?;
        row.hold.filter(|hold| self.holds[*hold].lease == lease && !self.holds[*hold].is_settled)
    }

    pub(crate) fn settled(&mut self, worker: usize, settlements: &[Settlement], answers: &[Settled]) {
        self.expect(settlements.len() == answers.len(), || "a settlement answered for others".to_owned());
        for (settlement, answer) in settlements.iter().zip(answers) {
            let id = settlement.delivery;
            let held = self.holding(id, settlement.lease);
            self.note(|| {
                format!(
                    "worker {worker} settles {id} {:?} {:?} -> {answer:?}",
                    settlement.lease, settlement.next
                )
            });
            self.expect((*answer == Settled::Done) == held.is_some(), || {
                format!("{id} was settled under {:?} -> {answer:?}", settlement.lease)
            });
            match held {
                Some(hold) => self.settled_one(worker, settlement, hold),
                None => self.counts.stale += 1,
            }
        }
    }

    fn settled_one(&mut self, worker: usize, settlement: &Settlement, hold: usize) {
        let id = settlement.delivery;
        self.holds[hold].is_settled = true;
        let now = settlement.now;
        let subscription = self.rows[&id].subscription;
        match &settlement.attempt {
            Some(attempt) => {
                self.judge(settlement, attempt, hold);
                let row = self.rows.get_mut(&id).expect("it is held");
                row.log.push(attempt.clone());
                let (at, after) =
                    match (self.holds[hold].request.and_then(|request| request.ended), settlement.next) {
                        (Some((_, at, _)), Next::Retry { after, .. }) => (at, after),
                        _ => (Instant::now(), Duration::ZERO),
                    };
                row.last_end = Some((at, after));
            }
            None => {
                self.counts.handed_back += 1;
                self.rows.get_mut(&id).expect("it is held").spared += 1;
                let stopping = self.workers[worker].is_stopping || self.holds[hold].is_late;
                let back = settlement.next == Next::retry(Duration::ZERO);
                self.expect(stopping && back, || {
                    format!("{id} was handed back by worker {worker}, which runs on")
                });
            }
        }
        match settlement.next {
            Next::Delivered => {
                self.subscriptions.get_mut(&subscription).expect("it was made").last_success =
                    Some(Instant::now());
                self.ended(id, DeliveryState::Delivered, now);
            }
            Next::Dead { reason, .. } => self.ended(id, DeliveryState::Dead(reason), now),
            Next::Retry { after, .. } => self.rows.get_mut(&id).expect("it is held").due = now + after,
            _ => self.violated(format!("{id} becomes something new: {:?}", settlement.next)),
        }
        let sub = self.subscriptions.get_mut(&subscription).expect("it was made");
        if let Some(pause) = settlement.pause {
            sub.paused_until = sub.paused_until.max(Some(now + pause));
        }
        if let Some(reason) = settlement.disable.filter(|_| sub.status == SubscriptionStatus::Enabled) {
            sub.status = SubscriptionStatus::disabled(reason, now);
            self.counts.disabled += 1;
        }
    }

    /// Whether an attempt says what the endpoint did, and what follows is what the terms make of it.
    fn judge(&mut self, settlement: &Settlement, attempt: &Attempt, hold: usize) {
        let id = settlement.delivery;
        let Hold { is_unreadable, request, attempt: number, .. } = self.holds[hold];
        let end = match (is_unreadable, request) {
            (true, None) => End::Failed,
            (false, Some(Request { began_at, ended: Some((ended_at, _, end)), .. })) => {
                if (attempt.started_at, settlement.now) != (began_at, ended_at) {
                    let what = format!(
                        "{id} was attempted from {began_at} to {ended_at}, logged are {} and {}",
                        attempt.started_at, settlement.now
                    );
                    self.violated(what);
                }
                end
            }
            _ => return self.violated(format!("{id} has an attempt settled that was not made")),
        };
        let status = match end {
            End::Answered { status, .. } => Some(status),
            End::Failed => None,
        };
        let logged = attempt.outcome.status().map(|status| status.as_u16());
        self.expect(logged == status && attempt.number == number, || {
            format!(
                "{id} logged attempt {} with {logged:?}, expected {number} with {status:?}",
                attempt.number
            )
        });
        let verdict = self.terms.verdict(number, end);
        let fits = match (&verdict, settlement.next) {
            (Verdict::Delivered, Next::Delivered)
            | (Verdict::Gone, Next::Dead { reason: DeadReason::Gone, .. })
            | (Verdict::Refused, Next::Dead { reason: DeadReason::Refused, .. })
            | (Verdict::Exhausted, Next::Dead { reason: DeadReason::Exhausted, .. }) => {
                settlement.pause.is_none()
            }
            (Verdict::Retry { low, high, pause }, Next::Retry { after, .. }) => {
                (*low..=*high).contains(&after) && settlement.pause == *pause
            }
            _ => false,
        };
        let disables = (verdict == Verdict::Gone).then_some(DisabledReason::Gone);
        self.expect(fits && settlement.disable == disables, || {
            format!(
                "{id}, attempt {number} ended {end:?}, settled {:?} with pause {:?} and {:?}, expected {verdict:?}",
                settlement.next, settlement.pause, settlement.disable
            )
        });
    }

    fn ended(&mut self, id: DeliveryId, state: DeliveryState, now: OffsetDateTime) {
        let row = &self.rows[&id];
        let was_first =
            row.key.is_some() && self.first_of_keys(row.subscription).iter().any(|(.., first)| *first == id);
        let row = self.rows.get_mut(&id).expect("it is there");
        self.pending.entry(row.subscription).or_default().remove(&id);
        row.state = state;
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

    pub(crate) fn cancel(&mut self, id: DeliveryId, now: OffsetDateTime, did: bool) {
        self.note(|| format!("cancel {id} -> {did}"));
        let pending = self.rows.get(&id).is_some_and(|row| row.state == DeliveryState::Pending);
        self.expect(pending == did, || format!("cancel of {id} answered {did}"));
        if pending {
            self.cancelled(id, now);
        }
    }

    pub(crate) fn deleted(&mut self, id: SubscriptionId, now: OffsetDateTime, did: bool) {
        self.note(|| format!("delete {id} -> {did}"));
        let was_there = !self.subscriptions[&id].is_deleted;
        self.expect(was_there == did, || format!("delete of {id} answered {did}"));
        let theirs: Vec<_> = self.pending.get(&id).into_iter().flatten().copied().collect();
        for delivery in theirs {
            self.cancelled(delivery, now);
        }
        let sub = self.subscriptions.get_mut(&id).expect("it was made");
        sub.is_deleted = true;
        sub.paused_until = None;
    }

    pub(crate) fn status_set(
        &mut self,
        by: Option<usize>,
        id: SubscriptionId,
        status: &SubscriptionStatus,
        did: bool,
    ) {
        self.note(|| format!("{id} set to {status:?} by {by:?} -> {did}"));
        let sub = &self.subscriptions[&id];
        let was_there = !sub.is_deleted;
        // Somebody else's doing is a wish; a dispatcher's needs a reason.
        if by.is_some() {
            let allowed = self.terms.failing_for.is_some_and(|rule| {
                let quiet = sub.last_success.unwrap_or(self.start).elapsed() >= rule;
                quiet || self.last_jump.is_some() || sub.health_faulted
            });
            let failing =
                matches!(status, SubscriptionStatus::Disabled { reason: DisabledReason::Failing, .. });
            self.counts.disabled += 1;
            self.expect(allowed && failing, || {
                format!("{id} was disabled without the contract's reason: {status:?}")
            });
        }
        self.expect(was_there == did, || format!("the status of {id} was set -> {did}"));
        self.subscriptions.get_mut(&id).expect("it was made").status = status.clone();
    }

    pub(crate) fn health_put(&mut self, id: SubscriptionId, health: &Health, did: bool) {
        self.note(|| {
            format!("{id} has {} failures since {:?} -> {did}", health.failures(), health.failing_since())
        });
    }

    pub(crate) fn health_faulted(&mut self, id: SubscriptionId) {
        if let Some(sub) = self.subscriptions.get_mut(&id) {
            sub.health_faulted = true;
        }
    }

    pub(crate) fn expunged(&mut self, organization: &str, event: &EventId, now: OffsetDateTime, did: bool) {
        self.note(|| format!("expunge {event} -> {did}"));
        let is_theirs = self.events.get(event).is_some_and(|event| event.organization == organization);
        self.expect(did == is_theirs, || format!("expunge of {event} answered {did}"));
        let theirs: Vec<_> = self.pending().filter(|id| self.rows[*id].event == *event).copied().collect();
        for delivery in theirs {
            self.cancelled(delivery, now);
        }
        if let Some(event) = self.events.get_mut(event) {
            event.is_expunged = true;
        }
    }

    /// What a replay may make again, each with what it is made from: oldest first, one of each event.
    pub(crate) fn replayable(&self, replay: &Replay) -> Vec<DeliveryId> {
        let chosen = |id: &DeliveryId, row: &Row| match replay {
            Replay::Delivery(wanted) => id == wanted,
            Replay::DeadLetters(subscription) => {
                row.subscription == *subscription
                    && matches!(
                        row.state,
                        DeliveryState::Dead(DeadReason::Exhausted | DeadReason::Refused | DeadReason::Gone)
                    )
            }
            Replay::Since(subscription, since) => {
                row.subscription == *subscription
                    && row.created_at >= *since
                    && matches!(row.state, DeliveryState::Dead(reason) if reason != DeadReason::Replayed)
            }
            _ => false,
        };
        let mut sources: Vec<_> = self
            .rows
            .iter()
            .filter(|(id, row)| {
                chosen(id, row)
                    && !self.subscriptions[&row.subscription].is_deleted
                    && !self.events[&row.event].is_expunged
                    && !self.pending().any(|other| {
                        self.rows[other].event == row.event
                            && self.rows[other].subscription == row.subscription
                    })
            })
            .map(|(id, row)| (row.created_at, row.number, *id))
            .collect();
        sources.sort_unstable();
        let mut events = BTreeSet::new();
        sources.retain(|(.., id)| events.insert(self.rows[id].event.clone()));
        sources.into_iter().map(|(.., id)| id).collect()
    }

    pub(crate) fn replayed(
        &mut self,
        sources: &[DeliveryId],
        made: &[Delivery],
        told: u32,
        now: OffsetDateTime,
    ) {
        self.note(|| format!("replay of {sources:?} made {told}"));
        self.counts.replays += u64::from(told);
        self.expect(sources.len() == told as usize && made.len() == sources.len(), || {
            format!("a replay told {told} and made {}, expected {}", made.len(), sources.len())
        });
        for source in sources {
            let row = self.rows.get_mut(source).expect("it is there");
            let event = row.event.clone();
            let subscription = row.subscription;
            if let DeliveryState::Dead(_) = row.state {
                row.state = DeliveryState::Dead(DeadReason::Replayed);
                row.was_replayed = true;
            }
            match made.iter().find(|delivery| delivery.event == event) {
                Some(delivery) => self.add(delivery.id, subscription, &event, now),
                None => self.violated(format!("a replay left {event} out")),
            }
        }
    }

    // What the workers and the endpoints did.

    /// A dispatcher starts with these caps, on the machine of this clock.
    pub(crate) fn starts(&mut self, cap: u32, in_flight: usize, clock: usize) -> usize {
        let worker = self.workers.len();
        self.workers.push(Worker { cap, in_flight, clock, ..Worker::default() });
        self.note(|| format!("worker {worker} starts in slot {clock}, cap {cap}, {in_flight} in flight"));
        worker
    }

    pub(crate) fn stopping(&mut self, worker: usize) {
        self.note(|| format!("worker {worker} is told to stop"));
        self.workers[worker].is_stopping = true;
    }

    /// A call of this worker's failed, was slow, or its answer was lost.
    pub(crate) fn faulted(&mut self, worker: Option<usize>, what: impl FnOnce() -> String) {
        self.counts.store_faults += 1;
        self.note(|| format!("worker {worker:?}: {}", what()));
        if let Some(worker) = worker {
            self.workers[worker].last_fault = Some(Instant::now());
        }
    }

    pub(crate) fn refused(&mut self, id: DeliveryId) {
        self.note(|| format!("the store refuses to settle {id}"));
        if let Some(hold) = self.rows.get(&id).and_then(|row| row.hold) {
            self.holds[hold].was_refused = true;
        }
    }

    pub(crate) fn jumped(&mut self, what: impl FnOnce() -> String) {
        self.counts.jumps += 1;
        self.note(what);
        self.last_jump = Some(Instant::now());
    }

    pub(crate) fn over(&mut self, worker: usize, how: &str) {
        self.note(|| format!("worker {worker} {how}"));
        self.workers[worker].is_over = true;
    }

    /// A worker was told to stop and its store was well: it leaves nothing behind that others would have to wait for.
    pub(crate) fn stopped(&mut self, worker: usize, since: Instant) {
        self.over(worker, "has stopped");
        if self.workers[worker].last_fault.is_some_and(|fault| fault >= since) {
            return;
        }
        let kept: Vec<_> = self
            .pending()
            .filter(|id| {
                self.rows[*id].hold.map(|hold| &self.holds[hold]).is_some_and(|hold| {
                    hold.worker == worker && !hold.is_settled && hold.answered.is_some() && !hold.was_refused
                })
            })
            .filter(|id| {
                // What was away when it ended and was given up before is explained.
                let hold = &self.holds[self.rows[*id].hold.expect("filtered above")];
                self.workers[worker].last_fault.is_none_or(|fault| fault < hold.renewed)
            })
            .copied()
            .collect();
        self.expect(kept.is_empty(), || format!("worker {worker} has stopped and keeps {kept:?}"));
    }

    /// A request begins: it has to be one that was claimed, and nothing may speak against it.
    pub(crate) fn request_begins(
        &mut self,
        worker: usize,
        request: &http::Request<Bytes>,
        now: OffsetDateTime,
    ) -> Option<(usize, SubscriptionId)> {
        self.counts.requests += 1;
        let url = request.uri().to_string();
        let found = self.subscriptions.iter().find(|(_, sub)| sub.url == url).map(|(id, _)| *id);
        let event = self.by_payload.get(request.body()).cloned();
        let (Some(subscription), Some(event)) = (found, event) else {
            self.violated(format!("a request to {url} has a body that nobody emitted"));
            return None;
        };
        let open = self.workers[worker].open.iter().copied().find(|hold| {
            let row = &self.rows[&self.holds[*hold].delivery];
            row.event == event && row.subscription == subscription
        });
        let Some(hold) = open else {
            self.violated(format!("worker {worker} sent {event} to {subscription} and had not claimed it"));
            return None;
        };
        self.workers[worker].open.remove(&hold);
        self.holds[hold].request = Some(Request { began: Instant::now(), began_at: now, ended: None });
        let id = self.holds[hold].delivery;
        self.note(|| format!("worker {worker} sends {id}"));
        let at_once = self.holds[hold].answered == Some(Instant::now());
        self.expect(at_once, || format!("{id} was sent later than it was claimed"));
        if let Err(error) = self.check_signature(hold, &event, request, now) {
            self.violated(format!("{id} was sent with a signature that does not hold: {error}"));
        }
        self.check_room(worker, hold, subscription);
        self.check_key(hold);
        self.check_interval(id);
        self.workers[worker].active.insert(hold);
        Some((hold, subscription))
    }

    fn check_signature(
        &self,
        hold: usize,
        event: &EventId,
        request: &http::Request<Bytes>,
        now: OffsetDateTime,
    ) -> Result<(), String> {
        if !self.terms.is_signed {
            return Ok(());
        }
        // Each of the secrets that were the subscription's when it was claimed has to do alone, if the scheme has room for all.
        let known = if self.terms.signs_with_all { usize::MAX } else { 1 };
        for secret in self.holds[hold].secrets.iter().take(known) {
            let verifier = self.terms.contract.verifier(secret).map_err(|error| error.to_string())?;
            let verified = verifier
                .verify_at(request.headers(), request.body(), now)
                .map_err(|error| error.to_string())?;
            if verified.id() != Some(event.as_str()) {
                return Err("it is of another event".to_owned());
            }
        }
        Ok(())
    }

    fn check_room(&mut self, worker: usize, hold: usize, subscription: SubscriptionId) {
        let of_this = |other: &&usize| {
            self.rows[&self.holds[**other].delivery].subscription == subscription && **other != hold
        };
        let busy = self.workers[worker].active.iter().filter(of_this).count() + 1;
        let cap = self.subscriptions[&subscription].cap.unwrap_or(self.workers[worker].cap) as usize;
        self.expect(busy <= cap, || {
            format!("worker {worker} has {busy} in flight to {subscription}, cap {cap}")
        });
        let (all, most) = (self.workers[worker].active.len() + 1, self.workers[worker].in_flight);
        self.expect(all <= most, || format!("worker {worker} has {all} in flight, at most {most}"));
    }

    /// Never two of one key in flight at once, unless the other was ended over its worker's head.
    fn check_key(&mut self, hold: usize) {
        let id = self.holds[hold].delivery;
        let row = &self.rows[&id];
        let Some(key) = &row.key else { return };
        let beside =
            self.workers.iter().flat_map(|worker| &worker.active).map(|other| self.holds[*other].delivery);
        let clash = beside.filter(|other| *other != id).find(|other| {
            let other = &self.rows[other];
            other.subscription == row.subscription
                && other.key.as_ref() == Some(key)
                && other.state == DeliveryState::Pending
        });
        if let Some(other) = clash {
            let what = format!("{id} was sent while {other} of the same key was in flight");
            self.violated(what);
        }
    }

    /// By the real time too, no retry comes earlier than its delay, unless a clock jumped or the attempt was not settled.
    fn check_interval(&mut self, id: DeliveryId) {
        let Some((ended, after)) = self.rows[&id].last_end else { return };
        if self.last_jump.is_none() && ended.elapsed() < after {
            self.violated(format!("{id} was sent again after {:?}, expected {after:?}", ended.elapsed()));
        }
    }

    /// The event has reached its endpoint.
    pub(crate) fn arrived(&mut self, hold: usize, is_taken: bool) {
        let id = self.holds[hold].delivery;
        self.note(|| format!("{id} arrives, {}", if is_taken { "taken" } else { "not taken" }));
        let row = self.rows.get_mut(&id).expect("it was claimed");
        row.arrivals += 1;
        row.taken += u32::from(is_taken);
        if is_taken && row.taken > 1 {
            self.counts.doubled += 1;
        }
        if row.first_arrival.is_some() {
            return;
        }
        row.first_arrival = Some(Instant::now());
        let row = &self.rows[&id];
        // A dead letter may arrive late: a packet that outlived its attempt.
        if row.key.is_none() || matches!(row.state, DeliveryState::Dead(_)) {
            return;
        }
        let later = self.rows.iter().find(|(_, other)| {
            other.subscription == row.subscription
                && other.key == row.key
                && other.number > row.number
                && other.first_arrival.is_some()
        });
        if let Some((later, _)) = later {
            let what = format!("{id} arrives first after {later}, which is behind it in order");
            self.violated(what);
        }
    }

    pub(crate) fn request_ended(&mut self, worker: usize, hold: usize, now: OffsetDateTime, end: End) {
        let id = self.holds[hold].delivery;
        self.note(|| format!("{id} of worker {worker} ends {end:?}"));
        self.workers[worker].active.remove(&hold);
        let Some(request) = &mut self.holds[hold].request else { return };
        request.ended = Some((now, Instant::now(), end));
        let (took, most) = (request.began.elapsed(), self.terms.timeout() + Duration::from_secs(1));
        self.expect(took <= most, || format!("an attempt of {id} took {took:?}, expected at most {most:?}"));
    }

    // The end.

    /// Pending deliveries that nothing keeps from being sent.
    pub(crate) fn undelivered(&self) -> Vec<DeliveryId> {
        self.pending().filter(|id| self.is_open(self.rows[*id].subscription).is_some()).copied().collect()
    }

    /// Every event that was accepted went to everybody who wanted it, and what became of each delivery has its reason.
    pub(crate) fn check_end(&mut self) {
        let left = self.undelivered();
        self.expect(left.is_empty(), || format!("still pending at the end: {left:?}"));
        let attempts = self.terms.attempts() as usize;
        let mut wrong = Vec::new();
        for (id, row) in &self.rows {
            let last = row.log.last();
            let answered = |wanted: fn(u16) -> bool| {
                last.and_then(|attempt| attempt.outcome.status())
                    .is_some_and(|status| wanted(status.as_u16()))
            };
            let has_reason = match row.state {
                DeliveryState::Pending => self.is_open(row.subscription).is_none(),
                DeliveryState::Delivered => row.taken > 0 && answered(|status| (200..300).contains(&status)),
                DeliveryState::Dead(DeadReason::Exhausted) => row.log.len() == attempts,
                DeliveryState::Dead(DeadReason::Refused) => {
                    !self.terms.retries_all && answered(|status| status < 500)
                }
                DeliveryState::Dead(DeadReason::Gone) => self.terms.gone && answered(|status| status == 410),
                DeliveryState::Dead(DeadReason::Cancelled) => row.was_cancelled,
                DeliveryState::Dead(DeadReason::Replayed) => row.was_replayed,
                _ => false,
            };
            if !has_reason {
                wrong.push(format!("{id} is {} without a reason", row.state.as_str()));
            }
            if row.log.len() > attempts {
                wrong.push(format!("{id} has {} attempts, the policy {attempts}", row.log.len()));
            }
            let requests = self.holds.iter().filter(|hold| hold.delivery == *id && hold.request.is_some());
            let unsettled = self.holds.iter().filter(|hold| hold.delivery == *id && !hold.is_settled).count();
            let requests = requests.count();
            if requests > row.log.len() + unsettled + row.spared as usize {
                wrong.push(format!("{id} was sent {requests} times, logged {}", row.log.len()));
            }
            if row.arrivals as usize > requests {
                wrong.push(format!("{id} arrived {} times and was sent {requests} times", row.arrivals));
            }
        }
        for what in wrong {
            self.violated(what);
        }
        let of = |wanted: fn(&DeliveryState) -> bool| {
            self.rows.values().filter(|row| wanted(&row.state)).count() as u64
        };
        self.counts.delivered = of(|state| *state == DeliveryState::Delivered);
        self.counts.dead = of(|state| matches!(state, DeliveryState::Dead(_)));
        self.counts.left = of(|state| *state == DeliveryState::Pending);
    }

    /// The store's own account of a delivery is the same.
    pub(crate) fn check_stored(&mut self, id: DeliveryId, stored: Option<Delivery>, log: &[Attempt]) {
        let row = &self.rows[&id];
        let same = stored.is_some_and(|stored| {
            stored.state == row.state
                && stored.event == row.event
                && stored.subscription == row.subscription
                && stored.attempts as usize == row.log.len()
        });
        let same = same && log == row.log;
        self.expect(same, || format!("the store's account of {id} is another"));
    }
}

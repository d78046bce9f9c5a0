//! Checks the answers of polls, claims and extensions, and their use by the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hookwire::store::Lease;
use hookwire::store::implement::{
    Claim, Claims, InsertOutcome, Inserted, NewEvent, Poll, Polled, Settled, Unreadable,
};
use hookwire::{DeliveryId, DeliveryState, SubscriptionId, SubscriptionStatus};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Bucket, Hold, Model};

impl Model {
    pub(crate) fn looked(&mut self, poll: &Poll, look: &Polled) {
        let Poll { limit, now, .. } = *poll;
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

    /// Records a claim at the instant of the store's answer. Returns the holds, for the call when the answer
    /// arrives.
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
            // New deliveries go before retries.
            let turn = |due, id| (self.is_retry(id), due);
            let last = eligible
                .iter()
                .filter(|(.., id)| taken.contains(id))
                .map(|(due, _, id)| turn(*due, *id))
                .max();
            let left: Vec<_> = eligible
                .iter()
                .filter(|(due, _, id)| !taken.contains(id) && share.since.is_none_or(|since| *due >= since))
                .collect();
            let passed_over = left.iter().find(|(due, _, id)| {
                taken.len() < share.limit as usize || last.is_some_and(|last| turn(*due, *id) < last)
            });
            if let Some((due, _, id)) = passed_over {
                let what = format!("{id}, due at {due}, was passed over by a claim at {now}");
                self.violated(what);
            }
        }
        claims.deliveries.iter().map(|claimed| self.claimed_one(worker, claim, claimed)).collect()
    }

    fn is_retry(&self, id: DeliveryId) -> bool {
        self.rows.get(&id).is_some_and(|row| !row.log.is_empty())
    }

    fn claimed_one(
        &mut self,
        worker: usize,
        claim: &Claim,
        claimed: &hookwire::store::implement::Leased,
    ) -> usize {
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
        if claimed.first_attempt_at != row.log.first().map(|attempt| attempt.started_at + row.late) {
            faults.push("its first attempt was at another time");
        }
        if claimed.subscription.secrets != sub.secrets {
            faults.push("its secrets are not the subscription's");
        }
        // The previous lease, if it was not handed back.
        let previous = row.hold.map(|hold| &self.holds[hold]).filter(|hold| !hold.is_settled);
        let taken_over = previous.is_some();
        if let Some(previous) = previous {
            let old = &self.workers[previous.worker];
            let since = previous.renewed;
            let jumped = self.last_jump.is_some_and(|jump| jump >= since);
            // While a call of the store takes its time, nothing is extended, nor started that is given.
            let faulted = old.is_slow || old.last_fault.is_some_and(|fault| fault >= since);
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
        let hold = self.hold(worker, claimed, Instant::now(), false);
        let row = self.rows.get_mut(&id).expect("looked up above");
        row.spared += u32::from(taken_over);
        row.hold = Some(hold);
        row.last_lease = Some(claimed.lease);
        row.due = claim.now + claim.lease;
        hold
    }

    fn hold(
        &mut self,
        worker: usize,
        leased: &hookwire::store::implement::Leased,
        renewed: Instant,
        is_given: bool,
    ) -> usize {
        self.holds.push(Hold {
            delivery: leased.delivery,
            lease: leased.lease,
            worker,
            renewed,
            answered: None,
            is_unreadable: false,
            is_kept_back: false,
            is_late: false,
            is_given,
            secrets: leased.subscription.secrets.clone(),
            attempt: leased.attempt,
            request: None,
            was_refused: false,
            is_settled: false,
        });
        self.holds.len() - 1
    }

    /// Checks which deliveries an insert leased for this worker. Returns their holds, for the call when the
    /// answer arrives.
    pub(crate) fn leased(
        &mut self,
        worker: Option<usize>,
        events: &[NewEvent],
        inserted: &[Inserted],
        began: Instant,
    ) -> Vec<usize> {
        let mut holds = Vec::new();
        for (event, inserted) in events.iter().zip(inserted) {
            let is_new = inserted.outcome == InsertOutcome::New;
            let asked = event.deliveries.iter().filter(|delivery| is_new && delivery.lease.is_some());
            let asked: Vec<_> = asked.map(|delivery| (delivery.id, delivery.subscription)).collect();
            self.expect(asked.is_empty() || (worker.is_some() && event.ordering_key.is_none()), || {
                format!("{} asks for leases of {asked:?}", event.id)
            });
            let now = event.inserted_at;
            for (id, subscription) in asked {
                let is_open = self
                    .is_open(subscription)
                    .is_some_and(|sub| sub.paused_until.is_none_or(|until| until <= now));
                let leased = inserted.leased.iter().find(|leased| leased.delivery == id);
                self.expect(leased.is_some() == is_open, || {
                    format!("{id} was leased by its insert: {}, expected {is_open}", leased.is_some())
                });
                if let Some(row) = self.rows.get_mut(&id) {
                    // The number is used up in both cases.
                    row.last_lease = Some(Lease::new(1));
                }
                let Some((leased, worker)) = leased.zip(worker) else { continue };
                self.note(|| format!("{id} is leased by its insert for worker {worker}"));
                self.expect((leased.lease, leased.attempt) == (Lease::new(1), 1), || {
                    format!("{id} was leased by its insert as {:?}, attempt {}", leased.lease, leased.attempt)
                });
                let is_same = leased.subscription.secrets == self.subscriptions[&subscription].secrets;
                self.expect(is_same && leased.payload == event.payload, || {
                    format!("{id} was leased with other secrets or bytes")
                });
                let hold = self.hold(worker, leased, began, true);
                let lease = event.deliveries.iter().find(|delivery| delivery.id == id);
                if let (Some(row), Some(lease)) = (self.rows.get_mut(&id), lease.and_then(|it| it.lease)) {
                    (row.hold, row.due) = (Some(hold), now + lease);
                }
                holds.push(hold);
            }
        }
        holds
    }

    /// The answer to an insert has reached the outbox, which hands over what it leased.
    pub(crate) fn handed_over(
        &mut self,
        worker: usize,
        holds: &[usize],
        events: &[NewEvent],
        [began, reserved]: [Instant; 2],
    ) {
        let asked = events.iter().flat_map(|event| &event.deliveries);
        let lease = asked.filter_map(|delivery| delivery.lease).max().unwrap_or_default();
        for hold in holds {
            let is_late = began.elapsed() >= lease;
            let hold_mut = &mut self.holds[*hold];
            (hold_mut.answered, hold_mut.is_late) = (Some(Instant::now()), is_late);
            if !is_late {
                self.workers[worker].open.insert(*hold);
            }
        }
        self.counts.handed_over += holds.len() as u64;
        let mut taken: BTreeMap<SubscriptionId, usize> = BTreeMap::new();
        for hold in holds {
            *taken.entry(self.rows[&self.holds[*hold].delivery].subscription).or_default() += 1;
        }
        for (id, taken) in taken {
            self.spend_of(worker, id, taken, reserved);
        }
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

    /// The answer to a claim has reached its worker. All its readable deliveries are sent at once.
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
            let unread = unreadable.iter().find(|row| row.key == id);
            hold_mut.is_unreadable = unread.is_some();
            hold_mut.is_kept_back = unread.is_some_and(|row| row.subscription.is_some());
            // If its lease has ended already, the delivery is handed back unsent.
            hold_mut.is_late = asked.elapsed() >= claim.lease;
            if !hold_mut.is_unreadable && !hold_mut.is_late {
                self.workers[worker].open.insert(*hold);
            }
        }
        self.spend(worker, holds, claim, asked);
    }

    /// Spends tokens at the time of the claim's question, not at the time of its requests.
    fn spend(&mut self, worker: usize, holds: &[usize], claim: &Claim, made: Instant) {
        for share in &claim.shares {
            let id = share.subscription;
            let of_this = |hold: &&usize| {
                self.rows[&self.holds[**hold].delivery].subscription == id
                    && !self.holds[**hold].is_unreadable
            };
            let taken = holds.iter().filter(of_this).count();
            self.spend_of(worker, id, taken, made);
        }
    }

    fn spend_of(&mut self, worker: usize, id: SubscriptionId, taken: usize, made: Instant) {
        let Some((per_second, burst)) = self.subscriptions.get(&id).and_then(|sub| sub.rate) else { return };
        let burst = f64::from(burst);
        let bucket = self.workers[worker].buckets.entry(id).or_insert(Bucket { tokens: burst, at: made });
        let passed = made.saturating_duration_since(bucket.at).as_secs_f64();
        // An insert that was slow is reported after claims that were made later. Its tokens came back by
        // then, as far as there was time.
        let late = bucket.at.saturating_duration_since(made).as_secs_f64();
        // A clock that jumps ahead fills the bucket, because the time seems to have passed.
        let jumped = self.last_jump.is_some_and(|jump| jump >= bucket.at);
        bucket.tokens = if jumped { burst } else { (bucket.tokens + passed * per_second).min(burst) };
        bucket.at = bucket.at.max(made);
        bucket.tokens -= taken as f64;
        bucket.tokens = (bucket.tokens + (late * per_second).min(taken as f64)).min(burst);
        let left = bucket.tokens;
        self.expect(left > -0.01, || {
            format!("worker {worker} took {taken} of {id} beyond its rate, {left:.2} tokens left")
        });
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
}

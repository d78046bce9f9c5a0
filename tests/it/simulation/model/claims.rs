//! What looks, claims and extensions may answer, and what a worker may do with it.

use std::collections::BTreeSet;
use std::time::Duration;

use hookwire::store::{Claim, Claims, Lease, Look, Settled, Unreadable};
use hookwire::{DeliveryId, DeliveryState, SubscriptionStatus};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{Bucket, Hold, Model};

impl Model {
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
}

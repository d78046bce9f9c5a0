//! [`Lane`]: one subscription's limits, pause and place in the queues.

use std::collections::BTreeSet;
use std::time::Duration;

use time::OffsetDateTime;

use super::class::Class;
use super::endpoint::{End, Endpoint};
use super::limits::Limits;
use super::organizations::OrganizationId;
use crate::rate::Bucket;

/// One subscription's limits, pause and place in the queues.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) organization: OrganizationId,
    pub(super) endpoint: Endpoint,
    /// The slots of its attempts in flight and of those that a claim may take now.
    pub(super) held: u32,
    /// How many of those the claim that is being planned may take, and how many it might at most.
    pub(super) granted: u32,
    pub(super) grantable: u32,
    cap: u32,
    bucket: Option<Bucket>,
    paused_until: Option<OffsetDateTime>,
    /// Where the next claim begins in its queue.
    pub(super) since: Option<OffsetDateTime>,
    since_begins: Option<OffsetDateTime>,
    /// When deliveries that this process has attempted are due again: not too many times, the soonest ones.
    retries: BTreeSet<OffsetDateTime>,
    /// Whether there may be something to claim.
    pub(super) wants: bool,
    /// Whether a claim of it is on its way.
    pub(super) is_claiming: bool,
    pub(super) place: Place,
    /// Since when all of its slots are held without an answer.
    pub(super) quiet_since: OffsetDateTime,
    /// Whether it stands among the lanes that are asked whether their endpoints still answer.
    pub(super) is_watched: bool,
    /// Whether nothing of it was claimed yet, so that its own limits are not known.
    is_new: bool,
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// In no queue: it has nothing to claim, or no room until an attempt ends.
    Idle,
    /// In the fair queue, with this turn.
    Ready(u64),
    /// Among the lanes that may claim from this time on.
    Waiting(OffsetDateTime),
}

/// The part of a lane that is counted elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seat {
    pub(super) organization: OrganizationId,
    pub(super) class: Class,
    pub(super) held: u32,
}

impl Lane {
    pub(super) fn new(cap: u32) -> Self {
        Self {
            organization: OrganizationId::default(),
            endpoint: Endpoint::default(),
            held: 0,
            granted: 0,
            grantable: 0,
            cap,
            bucket: None,
            paused_until: None,
            since: None,
            since_begins: None,
            retries: BTreeSet::new(),
            wants: false,
            is_claiming: false,
            place: Place::Idle,
            quiet_since: OffsetDateTime::UNIX_EPOCH,
            is_watched: false,
            is_new: true,
        }
    }

    pub(super) fn seat(&self) -> Seat {
        Seat { organization: self.organization, class: self.endpoint.class(), held: self.held }
    }

    /// Whether it may have something to claim and room for it.
    pub(super) const fn has_room(&self) -> bool {
        self.wants && self.held < self.cap
    }

    pub(super) fn may(&self, now: OffsetDateTime) -> bool {
        self.held < self.cap && self.opens_at(now).is_none()
    }

    /// Takes note that a delivery is due again after this wait. Times that are close together are one, and
    /// those beyond [`MOST_RETRIES`] are left to looks.
    pub(super) fn retry(&mut self, now: OffsetDateTime, wait: Duration) {
        let grain = (wait / 32).clamp(Duration::from_millis(1), Duration::from_millis(50)).as_nanos() as i128;
        let Some(at) = wait.try_into().ok().and_then(|wait: time::Duration| now.checked_add(wait)) else {
            return;
        };
        let rounded = at.unix_timestamp_nanos().div_euclid(grain).saturating_add(1).saturating_mul(grain);
        let Ok(rounded) = OffsetDateTime::from_unix_timestamp_nanos(rounded) else { return };
        self.retries.insert(rounded);
        if self.retries.len() > MOST_RETRIES {
            self.retries.pop_last();
        }
    }

    /// Wants a claim for retries that have become due.
    pub(super) fn remember(&mut self, now: OffsetDateTime) {
        while self.retries.first().is_some_and(|at| *at <= now) {
            self.retries.pop_first();
            self.wants = true;
        }
    }

    /// When the next retry is due, where it has nothing to claim until then.
    pub(super) fn retries_at(&self) -> Option<OffsetDateTime> {
        self.retries.first().copied().filter(|_| !self.wants && self.held < self.cap)
    }

    /// Whether a delivery that is about to be inserted may take a slot of it: nothing of it is known to be
    /// due, and its cap, pause and bucket allow one more.
    pub(super) fn may_reserve(&self, now: OffsetDateTime) -> bool {
        let is_behind = self.wants
            || self.is_claiming
            || self.granted > 0
            || self.retries.first().is_some_and(|at| *at <= now);
        !is_behind && self.may(now)
    }

    pub(super) fn reserve(&mut self, now: OffsetDateTime) {
        self.held += 1;
        if let Some(bucket) = &mut self.bucket {
            // Fill it first: a token taken from a full bucket is missing from then on, and not from the last
            // filling on.
            bucket.fill(now);
            bucket.spend(1);
        }
    }

    /// Frees a slot that was reserved and not used.
    pub(super) fn unreserve(&mut self) {
        self.held = self.held.saturating_sub(1);
        if let Some(bucket) = &mut self.bucket {
            bucket.give_back();
        }
    }

    /// When its pause and bucket let it claim again; `None` where they do now.
    pub(super) fn opens_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let paused = self.paused_until.filter(|until| *until > now);
        let empty = self.bucket.as_ref().and_then(|bucket| bucket.opens_at(now));
        paused.max(empty)
    }

    /// How many deliveries it may claim.
    pub(super) fn allowance(&mut self, now: OffsetDateTime) -> u32 {
        if self.paused_until.is_some_and(|until| until > now) {
            return 0;
        }
        let free = self.cap.saturating_sub(self.held);
        // The subscription's limits come with the first delivery.
        let free = if self.is_new { free.min(1) } else { free };
        match &mut self.bucket {
            Some(bucket) => free.min(bucket.fill(now)),
            None => free,
        }
    }

    pub(super) fn limit(&mut self, limits: Limits, now: OffsetDateTime) {
        self.is_new = false;
        self.cap = limits.cap;
        match (limits.rate, &self.bucket) {
            (Some(rate), Some(bucket)) if bucket.rate() == rate => {}
            (rate, _) => self.bucket = rate.map(|rate| Bucket::new(rate, now)),
        }
    }

    pub(super) fn ended(&mut self, end: End, now: OffsetDateTime) {
        self.held = self.held.saturating_sub(1);
        self.endpoint.ended(end);
        if let End::Answered { pause: Some(pause), .. } = end {
            let until = pause.try_into().ok().and_then(|pause: time::Duration| now.checked_add(pause));
            self.paused_until = self.paused_until.max(until);
        }
    }

    pub(super) fn pause_until(&mut self, until: OffsetDateTime) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub(super) fn spend(&mut self, count: u32) {
        if let Some(bucket) = &mut self.bucket {
            bucket.spend(count);
        }
    }

    /// Where a claim begins in the queue. Once a second it begins at the start, so that late commits
    /// and retries are found.
    pub(super) fn hint(&mut self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let begins = *self.since_begins.get_or_insert(now);
        if !(Duration::ZERO..HINT_AGE).contains(&Duration::try_from(now - begins).unwrap_or(HINT_AGE)) {
            self.since_begins = Some(now);
            self.since = None;
        }
        self.since
    }

    pub(super) fn set_back(&mut self, back: time::Duration) {
        self.paused_until = self.paused_until.and_then(|until| until.checked_sub(back));
        self.since = None;
        self.quiet_since = self.quiet_since.saturating_sub(back);
        self.retries = self.retries.iter().filter_map(|at| at.checked_sub(back)).collect();
        if let Some(bucket) = &mut self.bucket {
            bucket.set_back(back);
        }
    }

    /// Whether it may be forgotten: nothing of it is claimed or known to be due, and its limits are open. A
    /// failing endpoint may be forgotten too, or those of deleted subscriptions would stay for ever; the
    /// store's record of it comes with the next claim.
    pub(super) fn is_at_rest(&self, now: OffsetDateTime) -> bool {
        !self.wants
            && self.held == 0
            && self.retries.is_empty()
            && self.opens_at(now).is_none()
            && self.bucket.as_ref().is_none_or(|bucket| bucket.is_full(now))
    }
}

/// The most times of retries that a lane remembers.
const MOST_RETRIES: usize = 128;
pub(super) const HINT_AGE: Duration = Duration::from_secs(1);

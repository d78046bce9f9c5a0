//! [`Scheduler`]: the lanes of one dispatcher, and the claims that it makes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::capacity::Capacity;
use super::class::{Class, Group};
use super::endpoint::End;
use super::fair_queue::{Entry, FairQueue, First};
use super::known::Known;
use super::lane::{Lane, Place};
use super::limits::Limits;
use super::organizations::Organizations;
use crate::id::SubscriptionId;
use crate::id_hash::IdHash;
use crate::rate::Rate;
use crate::store::Share;
use crate::subscription::Subscription;

/// The lanes of one dispatcher. They only know how busy this process is; the store knows the rest.
///
/// No call that is made for every attempt or at every turn of the dispatcher's loop walks all lanes.
#[derive(Debug)]
pub(in crate::dispatch) struct Scheduler {
    lanes: HashMap<SubscriptionId, Lane, IdHash>,
    organizations: Organizations,
    /// Lanes that may claim.
    queue: FairQueue,
    /// Lanes that may claim later, by the time when their pause ends, their bucket has a token or a retry is
    /// due.
    waiting: BTreeSet<(OffsetDateTime, SubscriptionId)>,
    /// Lanes of fast endpoints that hold slots, by the time when the endpoint is stalled unless it answers.
    watched: BTreeSet<(OffsetDateTime, SubscriptionId)>,
    capacity: Capacity,
    limits: Limits,
    /// How many lanes are fresh.
    fresh: u32,
    /// How many lanes are silent.
    silent: usize,
    /// The claimed rows of which a quarter is still due to endpoints that do not answer.
    credit: u32,
    /// The time of the last tick.
    clock: Option<OffsetDateTime>,
    /// The number of lanes above which those at rest are forgotten.
    sweep_at: usize,
}

/// The deliveries that a claim took of one lane.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::dispatch) struct Taken {
    pub(in crate::dispatch) count: u32,
    /// When the last of them was due: of the retries where there are any, because those come after the new
    /// deliveries.
    last_due_at: Option<OffsetDateTime>,
    has_retries: bool,
}

impl Taken {
    pub(in crate::dispatch) fn add(&mut self, due_at: Option<OffsetDateTime>, is_retry: bool) {
        self.count += 1;
        if is_retry && !self.has_retries {
            self.has_retries = true;
            self.last_due_at = None;
        }
        if is_retry == self.has_retries {
            self.last_due_at = self.last_due_at.max(due_at);
        }
    }
}

impl Scheduler {
    /// Shares `slots` among lanes that have these limits, where the subscriptions do not lower them.
    pub(in crate::dispatch) fn new(slots: usize, limits: Limits) -> Self {
        Self {
            lanes: HashMap::default(),
            organizations: Organizations::default(),
            queue: FairQueue::default(),
            waiting: BTreeSet::new(),
            watched: BTreeSet::new(),
            capacity: Capacity::new(bounded(slots)),
            limits,
            fresh: 0,
            silent: 0,
            credit: 0,
            clock: None,
            sweep_at: REMEMBERED,
        }
    }

    pub(in crate::dispatch) fn set_slots(&mut self, slots: usize) {
        self.capacity.set_slots(bounded(slots));
    }

    pub(in crate::dispatch) fn set_cap(&mut self, cap: u32) {
        self.limits.cap = cap;
    }

    pub(in crate::dispatch) fn set_rate(&mut self, rate: Rate) {
        self.limits.rate = Some(rate);
    }

    /// These subscriptions may have something to claim.
    pub(in crate::dispatch) fn found(
        &mut self,
        subscriptions: impl IntoIterator<Item = SubscriptionId>,
        now: OffsetDateTime,
    ) {
        for id in subscriptions {
            self.add(id);
            self.change(id, now, |lane| lane.wants = true);
        }
    }

    /// These subscriptions have something new to claim. Those that this process has not tried yet may use the
    /// room that is kept for such endpoints: at most half of what is left of it for each organization, so
    /// that an event for a thousand endpoints does not use up all of it.
    pub(in crate::dispatch) fn woken(
        &mut self,
        subscriptions: impl IntoIterator<Item = (SubscriptionId, Known)>,
        now: OffsetDateTime,
    ) {
        let mut left: HashMap<Option<Arc<str>>, u32> = HashMap::new();
        for (id, known) in subscriptions {
            self.add(id);
            self.know(id, known.organization.as_deref(), known.is_failing, now);
            let is_new = self.lanes.get(&id).is_some_and(|lane| {
                let endpoint = &lane.endpoint;
                lane.held == 0
                    && endpoint.is_untried()
                    && !endpoint.is_fresh
                    && !endpoint.is_failing_by_record
            });
            let mut is_fresh = false;
            if is_new {
                let free = self.capacity.free_for_newcomers().saturating_sub(self.fresh);
                let left = left.entry(known.organization).or_insert_with(|| free.div_ceil(2));
                is_fresh = *left > 0 && free > 0;
                *left = left.saturating_sub(1);
                self.fresh += u32::from(is_fresh);
            }
            self.change(id, now, |lane| {
                lane.wants = true;
                lane.endpoint.is_fresh |= is_fresh;
            });
        }
    }

    /// The shares of a claim of at most `rows` deliveries.
    pub(in crate::dispatch) fn shares(&mut self, now: OffsetDateTime, rows: u32) -> Vec<Share> {
        let mut picked = Vec::new();
        self.credit = self.credit.saturating_add(rows).min(rows.max(4));
        let is_shared = self.next(Group::Answering, now).is_some();
        let quota = if is_shared { rows.min(self.credit / 4) } else { rows };
        let granted = self.grant(Group::Unanswering, quota, now, &mut picked);
        self.credit = self.credit.saturating_sub(granted.saturating_mul(4));
        self.grant(Group::Answering, rows - granted, now, &mut picked);
        let share = |id| {
            let lane = self.lanes.get_mut(&id)?;
            let share = Share::new(id, lane.granted).with_since(lane.hint(now));
            lane.granted = 0;
            Some(share)
        };
        let shares: Vec<_> = picked.into_iter().filter_map(share).collect();
        for share in &shares {
            // Until the claim is answered, only a new wake tells that there is more.
            self.change(share.subscription, now, |lane| {
                // The claim finds all that is due.
                lane.remember(now);
                lane.wants = false;
                lane.is_claiming = true;
            });
        }
        shares
    }

    /// Takes note of a claim of `shares` that took `taken` of each lane.
    pub(in crate::dispatch) fn claimed(
        &mut self,
        now: OffsetDateTime,
        shares: &[Share],
        taken: &HashMap<SubscriptionId, Taken>,
    ) {
        for share in shares {
            let taken = taken.get(&share.subscription).copied().unwrap_or_default();
            self.change(share.subscription, now, |lane| {
                lane.is_claiming = false;
                lane.held = lane.held.saturating_sub(share.limit.saturating_sub(taken.count));
                lane.spend(taken.count);
                let is_full = taken.count >= share.limit;
                // A share that was not used up has seen the end of the queue. A delivery that was committed
                // late may stand before the share's beginning.
                lane.wants |= is_full || share.since.is_some();
                lane.since = taken.last_due_at.filter(|_| is_full);
            });
        }
    }

    /// Takes note that the claim of `shares` failed. Their lanes take their turns again.
    pub(in crate::dispatch) fn not_claimed(&mut self, now: OffsetDateTime, shares: &[Share]) {
        for share in shares {
            self.change(share.subscription, now, |lane| {
                lane.is_claiming = false;
                lane.held = lane.held.saturating_sub(share.limit);
                lane.wants = true;
            });
        }
    }

    /// Takes a slot for a delivery that is about to be inserted, so that it can be sent without a claim.
    /// Returns whether there is one for it.
    ///
    /// The endpoint has to have answered last: others wait for the share of the capacity that claims give
    /// them. Nothing of the subscription may be known to be due, and its cap, rate and pause allow one more.
    /// Once half of the slots are held, the subscription also has to come before all that wait for a claim.
    pub(in crate::dispatch) fn reserve(&mut self, id: SubscriptionId, now: OffsetDateTime) -> bool {
        // The clock was set back. The next tick sets the lanes back with it: until then, a bucket would be
        // filled for time that did not pass.
        if self.clock.is_some_and(|last| last - now > SET_BACK) {
            return false;
        }
        self.watch(now);
        let Some(lane) = self.lanes.get(&id) else { return false };
        let class = lane.endpoint.class();
        let may = class.group() == Group::Answering
            && lane.may_reserve(now)
            && self.capacity.free() > 0
            && self.capacity.admits(class);
        if !may || (self.capacity.is_scarce() && !self.is_next(id, now)) {
            return false;
        }
        self.change(id, now, |lane| lane.reserve(now));
        true
    }

    /// How many slots are free.
    pub(in crate::dispatch) const fn free(&self) -> u32 {
        self.capacity.free()
    }

    /// How many slots inserts may have reserved at once: half of all, so that inserts that take long leave
    /// the other half to claims. None while no slot is free.
    pub(in crate::dispatch) const fn reservable(&self) -> usize {
        match self.capacity.free() {
            0 => 0,
            _ => self.capacity.slots().div_ceil(2) as usize,
        }
    }

    /// Frees a slot that was reserved and not used.
    pub(in crate::dispatch) fn unreserve(&mut self, id: SubscriptionId, now: OffsetDateTime) {
        self.change(id, now, Lane::unreserve);
    }

    /// Whether this lane, with something to claim, would be granted the next slot of all.
    fn is_next(&mut self, id: SubscriptionId, now: OffsetDateTime) -> bool {
        if self.next(Group::Unanswering, now).is_some() {
            return false;
        }
        let Some(first) = self.next(Group::Answering, now) else { return true };
        let Some(lane) = self.lanes.get(&id) else { return false };
        let held = |organization| self.queue.held(organization, Group::Answering);
        (held(lane.organization), lane.held) < (held(first.organization), first.held)
    }

    /// Takes over a subscription's own limits, organization and record, which come with a claim.
    pub(in crate::dispatch) fn learn(&mut self, subscription: &Subscription, now: OffsetDateTime) {
        let limits = self.limits.lowered_by(&subscription.options);
        let is_failing = subscription.health.failing_since().is_some();
        self.know(subscription.id, Some(&subscription.organization), Some(is_failing), now);
        self.change(subscription.id, now, |lane| lane.limit(limits, now));
    }

    /// Takes note that an attempt ended.
    pub(in crate::dispatch) fn ended(&mut self, id: SubscriptionId, now: OffsetDateTime, end: End) {
        self.change(id, now, |lane| lane.ended(end, now));
    }

    /// Claims nothing of a subscription until this time, for a fault on this side.
    pub(in crate::dispatch) fn keep_back(
        &mut self,
        id: SubscriptionId,
        until: OffsetDateTime,
        now: OffsetDateTime,
    ) {
        self.change(id, now, |lane| lane.pause_until(until));
    }

    /// Lowers a share that was just granted.
    pub(in crate::dispatch) fn lower(&mut self, share: &mut Share, limit: u32, now: OffsetDateTime) {
        let less = share.limit.saturating_sub(limit);
        self.change(share.subscription, now, |lane| lane.held = lane.held.saturating_sub(less));
        share.limit -= less;
    }

    /// Takes note that a delivery is due again after this wait.
    pub(in crate::dispatch) fn retried(&mut self, id: SubscriptionId, now: OffsetDateTime, wait: Duration) {
        self.change(id, now, |lane| lane.retry(now, wait));
    }

    /// Takes note that an attempt was dropped before it ended.
    pub(in crate::dispatch) fn left(&mut self, id: SubscriptionId) {
        self.ended(id, self.clock.unwrap_or(OffsetDateTime::UNIX_EPOCH), End::Ours);
    }

    /// Whether the last attempt of this subscription that this process knows of failed.
    pub(in crate::dispatch) fn is_failing(&self, id: SubscriptionId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.endpoint.is_failing)
    }

    /// How many subscriptions have endpoints that give no answer.
    pub(in crate::dispatch) const fn silent(&self) -> usize {
        self.silent
    }

    /// How long after `now` a lane may claim: zero where one may at once, `None` where none will until an
    /// attempt ends.
    pub(in crate::dispatch) fn wait(&mut self, now: OffsetDateTime) -> Option<Duration> {
        if self.is_ready(now) {
            return Some(Duration::ZERO);
        }
        let (at, _) = self.waiting.first()?;
        Some(Duration::try_from(*at - now).unwrap_or(Duration::ZERO))
    }

    /// How long after `now` one of these lanes, which have something to claim, may claim it.
    pub(in crate::dispatch) fn opening(
        &self,
        ids: &[SubscriptionId],
        now: OffsetDateTime,
    ) -> Option<Duration> {
        let lanes = ids.iter().filter_map(|id| self.lanes.get(id)).filter(|lane| lane.has_room());
        lanes
            .map(|lane| {
                lane.opens_at(now).map_or(Duration::ZERO, |at| (at - now).try_into().unwrap_or_default())
            })
            .min()
    }

    /// Whether a lane may claim at once.
    pub(in crate::dispatch) fn is_ready(&mut self, now: OffsetDateTime) -> bool {
        self.next(Group::Unanswering, now).is_some() || self.next(Group::Answering, now).is_some()
    }

    /// Gives lanes their turn whose pause has ended or whose bucket has a token, and forgets lanes at rest
    /// when there are many.
    pub(in crate::dispatch) fn tick(&mut self, now: OffsetDateTime) {
        if let Some(back) = self.clock.map(|last| last - now).filter(|back| back.is_positive()) {
            // The clock was set back. Set the lanes back with it, or a pause of a second would last a day.
            self.lanes.values_mut().for_each(|lane| lane.set_back(back));
            let waiting: Vec<_> = self.waiting.iter().map(|(_, id)| *id).collect();
            let watched: Vec<_> = std::mem::take(&mut self.watched).into_iter().map(|(_, id)| id).collect();
            waiting.into_iter().for_each(|id| self.change(id, now, |_| {}));
            watched.into_iter().for_each(|id| self.change(id, now, |lane| lane.is_watched = false));
        }
        self.clock = Some(now);
        self.watch(now);
        while let Some((_, id)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.change(id, now, |lane| lane.remember(now));
        }
        if self.lanes.len() > self.sweep_at {
            self.sweep(now);
        }
    }

    /// Finds endpoints that answered fast, and now keep all of their attempts waiting. They are not known to
    /// be silent before an attempt has timed out, and might hold every slot until then.
    fn watch(&mut self, now: OffsetDateTime) {
        while let Some((_, id)) = self.watched.first().copied().filter(|(at, _)| *at <= now) {
            self.watched.pop_first();
            self.change(id, now, |lane| {
                lane.is_watched = false;
                if lane.is_claiming {
                    // The store takes its time, and not the endpoint.
                    lane.quiet_since = now;
                }
                let is_quiet = lane.quiet_since.saturating_add(lane.endpoint.patience()) <= now;
                lane.endpoint.is_stalled |= lane.held > 0 && is_quiet;
            });
        }
    }

    fn sweep(&mut self, now: OffsetDateTime) {
        let (organizations, fresh, silent) = (&mut self.organizations, &mut self.fresh, &mut self.silent);
        self.lanes.retain(|_, lane| {
            let is_kept = !lane.is_at_rest(now);
            if !is_kept {
                organizations.leave(lane.organization);
                *fresh -= u32::from(lane.endpoint.is_fresh);
                *silent -= usize::from(lane.endpoint.class() == Class::Silent);
            }
            is_kept
        });
        // Another walk is worth it once the number of lanes has doubled.
        self.sweep_at = REMEMBERED.max(2 * self.lanes.len());
    }

    fn add(&mut self, id: SubscriptionId) {
        let (cap, organizations) = (self.limits.cap, &mut self.organizations);
        self.lanes.entry(id).or_insert_with(|| {
            let mut lane = Lane::new(cap);
            lane.organization = organizations.join("");
            lane
        });
    }

    /// Takes over the organization of a lane, and what the store's record says of its endpoint.
    pub(in crate::dispatch) fn know(
        &mut self,
        id: SubscriptionId,
        organization: Option<&str>,
        is_failing: Option<bool>,
        now: OffsetDateTime,
    ) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let is_failing = is_failing.unwrap_or(lane.endpoint.is_failing_by_record);
        let old = lane.organization;
        let other = organization.filter(|name| !self.organizations.is(old, name));
        let new = other.map(|name| self.organizations.join(name));
        if new.is_none() && lane.endpoint.is_failing_by_record == is_failing {
            return;
        }
        self.change(id, now, |lane| {
            lane.organization = new.unwrap_or(old);
            lane.endpoint.is_failing_by_record = is_failing;
        });
        if new.is_some() {
            self.organizations.leave(old);
        }
    }

    /// Grants up to `rows` deliveries to lanes of this group, one by one to the lane whose turn it is, and
    /// returns how many.
    fn grant(
        &mut self,
        group: Group,
        rows: u32,
        now: OffsetDateTime,
        picked: &mut Vec<SubscriptionId>,
    ) -> u32 {
        let mut granted = 0;
        while granted < rows {
            let Some(Entry { id, organization, class, .. }) = self.next(group, now) else { break };
            let Some(lane) = self.lanes.get_mut(&id) else { break };
            if lane.granted == 0 {
                if picked.len() == MAX_SHARES {
                    return granted + self.spread(group, rows - granted, now, picked);
                }
                lane.grantable = lane.allowance(now);
                picked.push(id);
            }
            granted += 1;
            self.grant_one(id, now);
            self.queue.served(organization, class);
        }
        granted
    }

    /// Grants up to `rows` more deliveries to lanes that have a share already, as no more lanes fit into the
    /// claim. Returns how many.
    fn spread(&mut self, group: Group, rows: u32, now: OffsetDateTime, picked: &[SubscriptionId]) -> u32 {
        for granted in 0..rows {
            let open = picked.iter().filter_map(|id| Some((self.lanes.get(id)?, *id))).filter(|(lane, _)| {
                let class = lane.endpoint.class();
                class.group() == group && lane.granted < lane.grantable && self.capacity.admits(class)
            });
            let Some((_, id)) = open.min_by_key(|(lane, _)| lane.held) else { return granted };
            self.grant_one(id, now);
        }
        rows
    }

    fn grant_one(&mut self, id: SubscriptionId, now: OffsetDateTime) {
        self.change(id, now, |lane| {
            lane.held += 1;
            lane.granted += 1;
            lane.endpoint.is_fresh = false;
        });
    }

    /// The lane of this group that is granted the next delivery.
    fn next(&mut self, group: Group, now: OffsetDateTime) -> Option<Entry> {
        loop {
            let firsts = group.classes().iter().filter(|class| self.capacity.admits(**class));
            let next = firsts.filter_map(|class| self.queue.first(*class)).min_by_key(precedence)?.entry;
            if self.lanes.get(&next.id).is_some_and(|lane| lane.may(now)) {
                return Some(next);
            }
            // The clock was set back, perhaps. A lane that is gone stands in no queue.
            self.queue.leave(&next);
            if let Some(lane) = self.lanes.get_mut(&next.id) {
                lane.place = Place::Idle;
            }
            self.change(next.id, now, |_| {});
        }
    }

    /// Changes a lane, and puts it where it then belongs: among those that may claim, among those that may
    /// later, or in neither. A lane that already may claim keeps its turn.
    fn change(&mut self, id: SubscriptionId, now: OffsetDateTime, change: impl FnOnce(&mut Lane)) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let (before, place, was_fresh) = (lane.seat(), lane.place, lane.endpoint.is_fresh);
        change(lane);
        if before.held == 0 || lane.held < before.held {
            lane.quiet_since = now;
        }
        let after = lane.seat();
        if after.held > 0 && after.class == Class::Fast && !lane.is_watched {
            lane.is_watched = true;
            self.watched.insert((lane.quiet_since.saturating_add(lane.endpoint.patience()), id));
        }
        self.fresh -= u32::from(was_fresh && !lane.endpoint.is_fresh);
        self.silent += usize::from(after.class == Class::Silent);
        self.silent -= usize::from(before.class == Class::Silent);
        // A lane that has its share of the claim that is being planned leaves the queue.
        let is_open = lane.has_room() && (lane.granted == 0 || lane.granted < lane.grantable);
        let opens_at = lane.opens_at(now).filter(|_| lane.granted == 0);
        lane.place = match (is_open, opens_at, place) {
            (true, None, Place::Ready(turn)) if after.held <= before.held => Place::Ready(turn),
            (true, None, _) => Place::Ready(self.queue.next_turn()),
            (true, Some(at), _) => Place::Waiting(at),
            (false, ..) => lane.retries_at().map_or(Place::Idle, Place::Waiting),
        };
        if before == after && lane.place == place {
            return;
        }
        let now_at = lane.place;
        let entry = |seat: super::lane::Seat, turn| Entry {
            organization: seat.organization,
            class: seat.class,
            held: seat.held,
            turn,
            id,
        };
        match place {
            Place::Ready(turn) => self.queue.leave(&entry(before, turn)),
            Place::Waiting(at) => drop(self.waiting.remove(&(at, id))),
            Place::Idle => {}
        }
        if before != after {
            self.capacity.give_back(before.class, before.held);
            self.capacity.take(after.class, after.held);
            // Taken first, so that an organization is not forgotten and remembered again.
            self.queue.take(after.organization, after.class.group(), after.held);
            self.queue.give_back(before.organization, before.class.group(), before.held);
        }
        match now_at {
            Place::Ready(turn) => self.queue.enter(entry(after, turn)),
            Place::Waiting(at) => drop(self.waiting.insert((at, id))),
            Place::Idle => {}
        }
    }
}

/// Fresh lanes come first. Then comes the organization that holds the fewest slots, and there the lane that
/// holds the fewest; of equals, one that was not tried yet, and then the one that has waited longest.
fn precedence(first: &First) -> (bool, u32, u32, bool, u64) {
    let Entry { class, held, .. } = first.entry;
    (
        class != Class::Fresh && class.group() == Group::Unanswering,
        first.organization_held,
        held,
        class == Class::Silent,
        first.organization_turn,
    )
}

fn bounded(slots: usize) -> u32 {
    u32::try_from(slots).unwrap_or(u32::MAX)
}

/// The most lanes that one claim serves.
const MAX_SHARES: usize = 100;
/// How far an emit's time may lie before that of the last tick, as the two read the clock one after the
/// other.
const SET_BACK: Duration = Duration::from_millis(100);
/// The number of lanes up to which those at rest are kept, so that an endpoint that has answered counts as
/// one that answers.
const REMEMBERED: usize = 50_000;

#[cfg(test)]
mod tests;

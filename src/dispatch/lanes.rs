//! [`Lanes`]: how much of each subscription is attempted at once, pure.
//!
//! Every subscription has a lane: a cap on what is in flight, a token bucket, a pause. An endpoint that keeps failing is
//! probed with one delivery at a time, at growing intervals; when it answers again its window opens by one with
//! each success, so that a backlog drains in a ramp. Lanes that want something take turns.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use time::OffsetDateTime;

use crate::id::SubscriptionId;
use crate::rate::Bucket;
use crate::store::Share;
use crate::subscription::Subscription;

/// The lanes of one dispatcher. What they know besides the store is only how busy this process is.
///
/// Nothing that is done for every attempt or at every turn of the dispatcher's loop walks all lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: HashMap<SubscriptionId, Lane>,
    /// Lanes that may claim, in turn, by the tickets that they drew. One that lost its turn has another ticket or none.
    ready: VecDeque<(u64, SubscriptionId)>,
    /// Lanes that want something and have room for it once a pause or a bucket lets them, by when that is.
    waiting: BTreeSet<(OffsetDateTime, SubscriptionId)>,
    tickets: u64,
    cap: u32,
    /// The latest time that was told.
    clock: Option<OffsetDateTime>,
    /// How many lanes there have to be before those at rest are looked for.
    sweep_at: usize,
}

impl Lanes {
    /// Lanes that have at most `cap` in flight each, unless the subscription has a cap of its own.
    pub(super) fn new(cap: u32) -> Self {
        Self {
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
            tickets: 0,
            cap,
            clock: None,
            sweep_at: REMEMBERED,
        }
    }

    pub(super) fn set_cap(&mut self, cap: u32) {
        self.cap = cap;
    }

    /// These subscriptions may have something to claim.
    pub(super) fn found(
        &mut self,
        subscriptions: impl IntoIterator<Item = SubscriptionId>,
        now: OffsetDateTime,
    ) {
        for id in subscriptions {
            self.lanes.entry(id).or_insert_with(|| Lane::new(self.cap)).wants = true;
            self.place(id, now);
        }
    }

    /// What to claim at `now` with room for `room` more attempts: each lane in turn, as much as it may of what there is for each.
    ///
    /// Of many lanes none gets all of the room, which it would use in a burst over more connections than the others leave it later.
    pub(super) fn shares(&mut self, now: OffsetDateTime, mut room: u32) -> Vec<Share> {
        let mut shares = Vec::new();
        let turns = u32::try_from(self.ready.len().clamp(1, MAX_SHARES)).unwrap_or(u32::MAX);
        let each = room.div_ceil(turns);
        for _ in 0..self.ready.len() {
            if room == 0 || shares.len() == MAX_SHARES {
                break;
            }
            let Some((ticket, id)) = self.ready.pop_front() else { break };
            let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.place == Place::Ready(ticket)) else {
                continue;
            };
            lane.place = Place::Idle;
            let share = lane.allowance(now).min(each).min(room);
            if share > 0 {
                room -= share;
                shares.push(Share::new(id, share).with_since(lane.hint(now)));
            } else {
                self.place(id, now);
            }
        }
        shares
    }

    /// A claim of `shares` took `taken` of each lane.
    pub(super) fn claimed(
        &mut self,
        now: OffsetDateTime,
        shares: &[Share],
        taken: &HashMap<SubscriptionId, Taken>,
    ) {
        for share in shares {
            let Some(lane) = self.lanes.get_mut(&share.subscription) else { continue };
            let taken = taken.get(&share.subscription).copied().unwrap_or_default();
            lane.in_flight += taken.count;
            lane.spend(taken.count);
            let is_full = taken.count >= share.limit;
            // A share that was not full has seen the end of the queue; what was committed late stands before its beginning.
            lane.wants = is_full || share.since.is_some();
            lane.since = taken.last_due_at.filter(|_| is_full);
        }
        self.not_claimed(now, shares);
    }

    /// The claim of `shares` failed: they are wanted as before.
    pub(super) fn not_claimed(&mut self, now: OffsetDateTime, shares: &[Share]) {
        for share in shares {
            self.place(share.subscription, now);
        }
    }

    /// What this process learned of a subscription when it claimed from it.
    pub(super) fn learn(&mut self, subscription: &Subscription, now: OffsetDateTime) {
        let cap = subscription.options.max_in_flight().unwrap_or(self.cap).max(1);
        let Some(lane) = self.lanes.get_mut(&subscription.id) else { return };
        if lane.cap != cap {
            lane.cap = cap;
            lane.window = lane.window.min(cap);
        }
        match (subscription.options.rate(), &mut lane.bucket) {
            (Some(rate), Some(bucket)) if bucket.rate() == rate => {}
            (Some(rate), bucket) => *bucket = Some(Bucket::new(rate, now)),
            (None, bucket) => *bucket = None,
        }
        // What failed before this process began is not forgotten: it starts with a probe, and opens from there.
        if lane.is_new && subscription.health.failures() >= PROBE_AFTER {
            lane.failures = subscription.health.failures();
            lane.window = 1;
        }
        lane.is_new = false;
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, id: SubscriptionId, now: OffsetDateTime, end: End) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        match end {
            End::Delivered => {
                lane.window = if lane.failures == 0 { lane.window } else { 1 };
                lane.failures = 0;
                lane.window = lane.window.saturating_add(1).min(lane.cap);
            }
            End::Failed { pause } => {
                lane.failures = lane.failures.saturating_add(1);
                let mut until = pause.and_then(|pause| now.checked_add(pause.try_into().ok()?));
                if lane.failures >= PROBE_AFTER {
                    lane.window = 1;
                    until = until.max(
                        now.checked_add(probe_interval(id, lane.failures).try_into().unwrap_or_default()),
                    );
                }
                lane.paused_until = lane.paused_until.max(until);
            }
            // This side's fault says nothing about the endpoint.
            End::Ours => {}
        }
        self.place(id, now);
    }

    /// An attempt will never be told to have ended: whoever made it, or was to settle it, is gone.
    pub(super) fn left(&mut self, id: SubscriptionId) {
        self.ended(id, self.clock.unwrap_or(OffsetDateTime::UNIX_EPOCH), End::Ours);
    }

    /// Whether the last attempt of this subscription that this process knows of failed.
    pub(super) fn is_failing(&self, id: SubscriptionId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| lane.failures > 0)
    }

    /// How long after `now` a lane may claim: nothing when none will, zero when one may at once.
    pub(super) fn wait(&mut self, now: OffsetDateTime) -> Option<Duration> {
        if self.is_ready(now) {
            return Some(Duration::ZERO);
        }
        let (at, _) = self.waiting.first()?;
        Some(Duration::try_from(*at - now).unwrap_or(Duration::ZERO))
    }

    /// How long after `now` one of these, which have something to claim, may have it.
    pub(super) fn opening(&self, ids: &[SubscriptionId], now: OffsetDateTime) -> Option<Duration> {
        let lanes =
            ids.iter().filter_map(|id| self.lanes.get(id)).filter(|lane| lane.in_flight < lane.window);
        lanes
            .map(|lane| {
                lane.opens_at(now).map_or(Duration::ZERO, |at| (at - now).try_into().unwrap_or_default())
            })
            .min()
    }

    /// Whether a lane may claim at once.
    pub(super) fn is_ready(&mut self, now: OffsetDateTime) -> bool {
        while let Some((ticket, id)) = self.ready.front().copied() {
            match self.lanes.get(&id) {
                Some(lane) if lane.place == Place::Ready(ticket) && lane.may(now) => return true,
                Some(lane) if lane.place == Place::Ready(ticket) => self.place(id, now),
                _ => {}
            }
            self.ready.pop_front();
        }
        false
    }

    /// Lets lanes whose pause or bucket held them back take their turn again, and forgets those at rest when there are many.
    pub(super) fn tick(&mut self, now: OffsetDateTime) {
        if let Some(back) = self.clock.map(|last| last - now).filter(|back| back.is_positive()) {
            // A clock that was set back takes what lanes remember with it, or a pause of a second would last a day.
            self.lanes.values_mut().for_each(|lane| lane.set_back(back));
            let waiting: Vec<_> = self.waiting.iter().map(|(_, id)| *id).collect();
            waiting.into_iter().for_each(|id| self.place(id, now));
        }
        self.clock = Some(now);
        while let Some((_, id)) = self.waiting.first().copied().filter(|(at, _)| *at <= now) {
            self.place(id, now);
        }
        if self.lanes.len() > self.sweep_at {
            self.lanes.retain(|_, lane| lane.wants || lane.in_flight > 0 || !lane.at_rest(now));
            self.ready.retain(|(_, id)| self.lanes.contains_key(id));
            // As many again have to come before it is worth another walk.
            self.sweep_at = REMEMBERED.max(2 * self.lanes.len());
        }
    }

    /// Puts a lane where it belongs: among those that may claim, among those that may later, or nowhere. One that stands among
    /// the former keeps its turn.
    fn place(&mut self, id: SubscriptionId, now: OffsetDateTime) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let has_room = lane.wants && lane.in_flight < lane.window;
        let opens_at = lane.opens_at(now);
        if let Place::Waiting(at) = lane.place {
            self.waiting.remove(&(at, id));
        }
        lane.place = match (has_room, opens_at, lane.place) {
            (true, None, Place::Ready(ticket)) => Place::Ready(ticket),
            (true, None, _) => {
                self.tickets += 1;
                self.ready.push_back((self.tickets, id));
                Place::Ready(self.tickets)
            }
            (true, Some(at), _) => {
                self.waiting.insert((at, id));
                Place::Waiting(at)
            }
            (false, ..) => Place::Idle,
        };
    }
}

/// How much a claim took of one lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) count: u32,
    pub(super) last_due_at: Option<OffsetDateTime>,
}

/// How an attempt ended, as far as a lane cares.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Delivered,
    Failed { pause: Option<Duration> },
    Ours,
}

#[derive(Debug)]
struct Lane {
    in_flight: u32,
    cap: u32,
    /// How many may be in flight now: the cap, or less while the endpoint recovers.
    window: u32,
    /// In a row.
    failures: u32,
    bucket: Option<Bucket>,
    paused_until: Option<OffsetDateTime>,
    since: Option<OffsetDateTime>,
    since_begins: Option<OffsetDateTime>,
    /// Whether there may be something to claim.
    wants: bool,
    place: Place,
    is_new: bool,
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// In no queue: it wants nothing, or has no room until an attempt ends.
    Idle,
    /// Among those that may claim, with this ticket.
    Ready(u64),
    /// Among those that may claim from this time on.
    Waiting(OffsetDateTime),
}

impl Lane {
    fn new(cap: u32) -> Self {
        Self {
            in_flight: 0,
            cap,
            window: cap,
            failures: 0,
            bucket: None,
            paused_until: None,
            since: None,
            since_begins: None,
            wants: false,
            place: Place::Idle,
            is_new: true,
        }
    }

    /// How many it may claim.
    fn allowance(&mut self, now: OffsetDateTime) -> u32 {
        if self.paused_until.is_some_and(|until| until > now) {
            return 0;
        }
        // Not yet known whether the endpoint fails or has a limit: one, and the subscription comes with it.
        let window = if self.is_new { FIRST_SHARE.min(self.window) } else { self.window };
        let free = window.saturating_sub(self.in_flight);
        match &mut self.bucket {
            Some(bucket) => free.min(bucket.fill(now)),
            None => free,
        }
    }

    fn may(&self, now: OffsetDateTime) -> bool {
        self.in_flight < self.window && self.opens_at(now).is_none()
    }

    /// When its pause or bucket lets it claim again; nothing when they do now.
    fn opens_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let paused = self.paused_until.filter(|until| *until > now);
        let empty = self.bucket.as_ref().and_then(|bucket| bucket.opens_at(now));
        paused.max(empty)
    }

    fn spend(&mut self, count: u32) {
        if let Some(bucket) = &mut self.bucket {
            bucket.spend(count);
        }
    }

    /// Where to begin in the queue. About once a second from its start, so that late commits and retries are found.
    fn hint(&mut self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let begins = *self.since_begins.get_or_insert(now);
        if !(Duration::ZERO..HINT_AGE).contains(&Duration::try_from(now - begins).unwrap_or(HINT_AGE)) {
            self.since_begins = Some(now);
            self.since = None;
        }
        self.since
    }

    fn set_back(&mut self, back: time::Duration) {
        self.paused_until = self.paused_until.and_then(|until| until.checked_sub(back));
        self.since = None;
        if let Some(bucket) = &mut self.bucket {
            bucket.set_back(back);
        }
    }

    fn at_rest(&self, now: OffsetDateTime) -> bool {
        self.failures == 0
            && self.window == self.cap
            && self.opens_at(now).is_none()
            && self.bucket.as_ref().is_none_or(|bucket| bucket.is_full(now))
    }
}

/// The wait between probes: it doubles with each failure up to a bound, less up to a quarter that differs between
/// endpoints and failures, so that many that failed together are not probed together.
fn probe_interval(id: SubscriptionId, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(PROBE_AFTER).min(16);
    let whole = FIRST_PROBE.saturating_mul(1 << doublings).min(LAST_PROBE);
    // SplitMix64's finisher: well mixed and the same everywhere.
    let mut mixed =
        (id.as_u128() as u64).wrapping_add(u64::from(failures).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let part = ((mixed ^ (mixed >> 31)) >> 40) as f64 / f64::from(1 << 24);
    whole.mul_f64(1.0 - part / 4.0)
}

/// After how many failures in a row an endpoint is probed instead of attempted at full width.
const PROBE_AFTER: u32 = 3;
const FIRST_PROBE: Duration = Duration::from_millis(100);
const LAST_PROBE: Duration = Duration::from_secs(5);
/// What a lane takes before anything is known of its subscription's own limits.
const FIRST_SHARE: u32 = 1;
/// How many lanes one claim serves.
const MAX_SHARES: usize = 100;
/// How many lanes are kept, at rest or not, before those at rest are forgotten.
const REMEMBERED: usize = 10_000;
const HINT_AGE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::address::{AddressPolicy, EndpointUrl};
    use crate::subscription::EventFilter;

    const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

    fn id(number: u128) -> SubscriptionId {
        SubscriptionId::from_u128(number)
    }

    fn subscription(number: u128) -> Subscription {
        let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
        Subscription::from_parts(id(number), NOON, "org", url, EventFilter::all())
    }

    /// Lanes that know these subscriptions already.
    fn known(cap: u32, subscriptions: &[Subscription]) -> Lanes {
        let mut lanes = Lanes::new(cap);
        for subscription in subscriptions {
            lanes.found([subscription.id], NOON);
            lanes.learn(subscription, NOON);
        }
        lanes
    }

    /// Claims as much as the store has, `backlog` of each, and tells who got how many.
    fn claim(lanes: &mut Lanes, now: OffsetDateTime, room: u32, backlog: u32) -> HashMap<u128, u32> {
        let shares = lanes.shares(now, room);
        let taken: HashMap<_, _> = shares
            .iter()
            .map(|share| {
                (share.subscription, Taken { count: share.limit.min(backlog), last_due_at: Some(now) })
            })
            .collect();
        lanes.claimed(now, &shares, &taken);
        taken.into_iter().map(|(id, taken)| (id.as_u128(), taken.count)).collect()
    }

    #[test]
    fn a_lane_has_no_more_in_flight_than_its_cap_and_goes_on_when_one_ends() {
        let mut lanes = known(4, &[subscription(1)]);
        assert_eq!(claim(&mut lanes, NOON, 100, 1000), HashMap::from([(1, 4)]));
        assert!(!lanes.is_ready(NOON));
        lanes.ended(id(1), NOON, End::Delivered);
        assert_eq!(claim(&mut lanes, NOON, 100, 1000), HashMap::from([(1, 1)]));
    }

    #[test]
    fn a_subscriptions_own_cap_comes_before_the_dispatchers() {
        let mut own = subscription(1);
        own.options = own.options.with_max_in_flight(2).unwrap();
        let mut lanes = known(64, &[own]);
        assert_eq!(claim(&mut lanes, NOON, 100, 1000), HashMap::from([(1, 2)]));
    }

    #[test]
    fn lanes_take_turns_when_there_is_little_room() {
        let mut lanes = known(2, &[subscription(1), subscription(2), subscription(3)]);
        assert_eq!(claim(&mut lanes, NOON, 1, 1000), HashMap::from([(1, 1)]));
        assert_eq!(claim(&mut lanes, NOON, 1, 1000), HashMap::from([(2, 1)]));
        lanes.ended(id(1), NOON, End::Delivered);
        assert_eq!(
            claim(&mut lanes, NOON, 1, 1000),
            HashMap::from([(3, 1)]),
            "before the first has another turn"
        );
    }

    #[test]
    fn the_room_is_shared_by_all_who_may_claim() {
        let mut lanes = known(64, &[subscription(1), subscription(2), subscription(3)]);
        assert_eq!(claim(&mut lanes, NOON, 100, 1000), HashMap::from([(1, 34), (2, 34), (3, 32)]));
        // What one leaves is the others' at the next turn.
        let mut lanes = known(64, &[subscription(1), subscription(2)]);
        assert_eq!(claim(&mut lanes, NOON, 100, 20), HashMap::from([(1, 20), (2, 20)]));
        let mut lanes = known(64, &[subscription(1)]);
        assert_eq!(claim(&mut lanes, NOON, 100, 1000), HashMap::from([(1, 64)]));
        // Of more than fit in one claim, those that do share all of it.
        let all: Vec<_> = (1..=200).map(subscription).collect();
        let claimed = claim(&mut known(64, &all), NOON, 1_000, 1000);
        assert_eq!((claimed.len(), claimed.values().sum::<u32>()), (100, 1_000));
    }

    #[test]
    fn an_endpoint_that_keeps_failing_is_probed_one_at_a_time_at_growing_intervals() {
        let mut lanes = known(8, &[subscription(1)]);
        claim(&mut lanes, NOON, 100, 1000);
        for _ in 0..8 {
            lanes.ended(id(1), NOON, End::Failed { pause: None });
        }
        let mut now = NOON;
        let mut last = Duration::ZERO;
        for _ in 0..3 {
            assert!(!lanes.is_ready(now), "paused");
            let wait = lanes.wait(now).unwrap();
            assert!(wait > last || wait > LAST_PROBE * 3 / 4, "{wait:?} after {last:?}");
            assert!(wait <= LAST_PROBE);
            now += wait;
            lanes.tick(now);
            assert_eq!(claim(&mut lanes, now, 100, 1000), HashMap::from([(1, 1)]));
            lanes.ended(id(1), now, End::Failed { pause: None });
            last = wait;
        }
    }

    #[test]
    fn an_endpoint_that_answers_again_is_opened_in_a_ramp() {
        let mut lanes = known(8, &[subscription(1)]);
        claim(&mut lanes, NOON, 3, 1000);
        for _ in 0..3 {
            lanes.ended(id(1), NOON, End::Failed { pause: None });
        }
        let mut now = NOON + lanes.wait(NOON).unwrap();
        lanes.tick(now);
        let mut widths = Vec::new();
        for _ in 0..5 {
            let width = claim(&mut lanes, now, 100, 1000)[&1];
            widths.push(width);
            now += Duration::from_millis(1);
            for _ in 0..width {
                lanes.ended(id(1), now, End::Delivered);
            }
        }
        assert_eq!(widths, [1, 2, 4, 8, 8]);
    }

    #[test]
    fn what_failed_before_this_process_began_is_probed_first() {
        let mut failing = subscription(1);
        failing.health = (0..5).fold(failing.health, |health, _| health.failed(NOON, None));
        let mut lanes = known(8, &[failing]);
        assert_eq!(claim(&mut lanes, NOON, 100, 1000), HashMap::from([(1, 1)]));
    }

    #[test]
    fn this_sides_faults_are_not_held_against_an_endpoint() {
        let mut lanes = known(8, &[subscription(1)]);
        for _ in 0..5 {
            claim(&mut lanes, NOON, 8, 1000);
            for _ in 0..8 {
                lanes.ended(id(1), NOON, End::Ours);
            }
        }
        assert_eq!(claim(&mut lanes, NOON, 100, 1000), HashMap::from([(1, 8)]));
    }

    #[test]
    fn a_rate_is_kept_and_a_quiet_time_saves_no_more_than_the_burst() {
        let mut limited = subscription(1);
        limited.options = limited.options.with_rate(10.0, 3).unwrap();
        let mut lanes = known(64, &[limited]);
        let mut sent = 0;
        let mut now = NOON;
        while now < NOON + Duration::from_secs(10) {
            lanes.tick(now);
            lanes.found([id(1)], now);
            for _ in 0..claim(&mut lanes, now, 100, 1000).remove(&1).unwrap_or(0) {
                sent += 1;
                lanes.ended(id(1), now, End::Delivered);
            }
            now += lanes.wait(now).unwrap_or(Duration::from_millis(1));
        }
        assert!((95..=103).contains(&sent), "{sent} in ten seconds at ten a second");
        let later = now + Duration::from_secs(3_600);
        lanes.tick(later);
        assert_eq!(claim(&mut lanes, later, 100, 1000), HashMap::from([(1, 3)]));
    }

    #[test]
    fn a_pause_that_the_endpoint_asked_for_holds_its_lane_and_no_other() {
        let mut lanes = known(4, &[subscription(1), subscription(2)]);
        claim(&mut lanes, NOON, 100, 1000);
        lanes.ended(id(1), NOON, End::Failed { pause: Some(Duration::from_secs(30)) });
        lanes.ended(id(2), NOON, End::Delivered);
        let soon = NOON + Duration::from_secs(29);
        lanes.tick(soon);
        assert_eq!(claim(&mut lanes, soon, 100, 1000), HashMap::from([(2, 1)]));
        let later = NOON + Duration::from_secs(30);
        lanes.tick(later);
        assert_eq!(claim(&mut lanes, later, 100, 1000).get(&1), Some(&1));
    }

    #[test]
    fn a_clock_that_jumps_back_a_day_holds_no_lane_for_a_day() {
        let mut limited = subscription(1);
        limited.options = limited.options.with_rate(1.0, 1).unwrap();
        let mut lanes = known(64, &[limited, subscription(2)]);
        lanes.tick(NOON);
        assert_eq!(claim(&mut lanes, NOON, 2, 1), HashMap::from([(1, 1), (2, 1)]));
        lanes.found([id(1), id(2)], NOON);
        lanes.ended(id(1), NOON, End::Delivered);
        lanes.ended(id(2), NOON, End::Failed { pause: Some(Duration::from_secs(1)) });
        let back = NOON - Duration::from_secs(86_400);
        lanes.tick(back);
        let later = back + Duration::from_secs(2);
        lanes.tick(later);
        assert_eq!(claim(&mut lanes, later, 100, 1), HashMap::from([(1, 1), (2, 1)]));
    }

    #[test]
    fn a_claim_begins_where_the_last_one_ended_and_every_second_at_the_start() {
        let mut lanes = known(4, &[subscription(1)]);
        assert_eq!(lanes.shares(NOON, 1)[0].since, None);
        let share = [Share::new(id(1), 1)];
        let taken = HashMap::from([(id(1), Taken { count: 1, last_due_at: Some(NOON) })]);
        lanes.claimed(NOON, &share, &taken);
        assert_eq!(lanes.shares(NOON, 1)[0].since, Some(NOON));
        lanes.claimed(NOON, &share, &taken);
        assert_eq!(lanes.shares(NOON + HINT_AGE, 1)[0].since, None);
    }

    #[test]
    fn what_was_committed_late_stands_before_the_hint_and_is_asked_for_once_more() {
        let mut lanes = known(4, &[subscription(1)]);
        assert_eq!(claim(&mut lanes, NOON, 2, 2), HashMap::from([(1, 2)]));
        let share = lanes.shares(NOON, 2);
        assert_eq!(share[0].since, Some(NOON));
        lanes.claimed(NOON, &share, &HashMap::new());
        assert_eq!(lanes.shares(NOON, 2)[0].since, None, "from the start");
        lanes.claimed(NOON, &[Share::new(id(1), 2)], &HashMap::new());
        assert!(!lanes.is_ready(NOON), "and then it is known to be empty");
    }

    #[test]
    fn a_lane_that_loses_its_turn_is_told_by_none_of_its_tickets() {
        let mut lanes = known(4, &[subscription(1), subscription(2)]);
        lanes.ended(id(1), NOON, End::Failed { pause: Some(Duration::from_secs(1)) });
        assert_eq!(lanes.wait(NOON), Some(Duration::ZERO), "the other may");
        assert_eq!(claim(&mut lanes, NOON, 100, 1), HashMap::from([(2, 1)]));
        assert_eq!(lanes.wait(NOON), Some(Duration::from_secs(1)));
        let later = NOON + Duration::from_secs(1);
        lanes.tick(later);
        assert_eq!(claim(&mut lanes, later, 100, 1), HashMap::from([(1, 1)]), "once");
    }

    #[test]
    fn lanes_at_rest_are_forgotten_when_there_are_many() {
        let mut lanes = Lanes::new(4);
        for number in 0..REMEMBERED as u128 + 50 {
            lanes.found([id(number)], NOON);
            claim(&mut lanes, NOON, 1, 0);
        }
        lanes.tick(NOON);
        assert!(lanes.lanes.is_empty(), "{} kept", lanes.lanes.len());
    }
}

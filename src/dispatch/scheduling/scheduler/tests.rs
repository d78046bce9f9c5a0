use time::macros::datetime;

use super::super::lane::HINT_AGE;
use super::*;
use crate::address::{AddressPolicy, EndpointUrl};
use crate::contract::Contract;
use crate::subscription::EventFilter;

const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
const SLOTS: usize = 256;
const DELIVERED: End = End::Answered { held: Duration::from_millis(5), is_delivered: true, pause: None };
const REFUSED: End = End::Answered { held: Duration::from_millis(5), is_delivered: false, pause: None };

fn id(number: u128) -> SubscriptionId {
    SubscriptionId::from_u128(number)
}

fn of(organization: &str, number: u128) -> Subscription {
    let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
    Subscription::from_parts(id(number), NOON, organization, &Contract::allison(), url, EventFilter::all())
}

fn subscription(number: u128) -> Subscription {
    of("org", number)
}

/// So many new deliveries, the last of which was due then.
fn taken(count: u32, due_at: OffsetDateTime) -> Taken {
    Taken { count, last_due_at: Some(due_at), has_retries: false }
}

fn scheduler(cap: u32) -> Scheduler {
    Scheduler::new(SLOTS, Limits { cap, rate: None })
}

/// A scheduler whose subscriptions ended one attempt each in this way, and have more to claim.
fn tried(cap: u32, subscriptions: &[Subscription], end: End) -> Scheduler {
    let mut scheduler = scheduler(cap);
    for subscription in subscriptions {
        scheduler.found([subscription.id], NOON);
        let share = [Share::new(subscription.id, 0)];
        scheduler.learn(subscription, NOON);
        scheduler.change(subscription.id, NOON, |lane| lane.held += 1);
        scheduler.claimed(NOON, &share, &HashMap::new());
        scheduler.ended(subscription.id, NOON, end);
        scheduler.change(subscription.id, NOON, |lane| lane.wants = false);
    }
    for subscription in subscriptions {
        scheduler.found([subscription.id], NOON);
    }
    scheduler
}

/// A scheduler whose subscriptions are known to answer.
fn answering(cap: u32, subscriptions: &[Subscription]) -> Scheduler {
    tried(cap, subscriptions, DELIVERED)
}

/// Claims from a store that has `backlog` deliveries of each subscription, and returns how many each got.
fn claim(scheduler: &mut Scheduler, now: OffsetDateTime, rows: u32, backlog: u32) -> HashMap<u128, u32> {
    let shares = scheduler.shares(now, rows);
    let taken: HashMap<_, _> =
        shares.iter().map(|share| (share.subscription, taken(share.limit.min(backlog), now))).collect();
    scheduler.claimed(now, &shares, &taken);
    taken.into_iter().map(|(id, taken)| (id.as_u128(), taken.count)).collect()
}

/// Claims until nothing more may be claimed, and returns how many each subscription has in all.
fn fill(scheduler: &mut Scheduler, now: OffsetDateTime) -> HashMap<u128, u32> {
    let mut held = HashMap::new();
    while scheduler.is_ready(now) {
        let claimed = claim(scheduler, now, 100, u32::MAX);
        assert!(!claimed.is_empty(), "ready, and yet nothing to claim");
        for (id, count) in claimed {
            *held.entry(id).or_default() += count;
        }
    }
    held
}

#[test]
fn a_lane_has_no_more_in_flight_than_its_cap_and_goes_on_when_one_ends() {
    let mut scheduler = answering(4, &[subscription(1)]);
    assert_eq!(claim(&mut scheduler, NOON, 100, 1000), HashMap::from([(1, 4)]));
    assert!(!scheduler.is_ready(NOON));
    scheduler.ended(id(1), NOON, DELIVERED);
    assert_eq!(claim(&mut scheduler, NOON, 100, 1000), HashMap::from([(1, 1)]));
}

#[test]
fn a_subscriptions_own_cap_lowers_the_dispatchers_and_does_not_raise_it() {
    for (own, expected) in [(2, 2), (64, 8)] {
        let mut limited = subscription(1);
        limited.options = limited.options.with_max_in_flight(own).unwrap();
        let mut scheduler = answering(8, &[limited]);
        assert_eq!(claim(&mut scheduler, NOON, 100, 1000), HashMap::from([(1, expected)]));
    }
}

#[test]
fn lanes_take_turns_when_there_is_little_room() {
    let mut scheduler = answering(2, &[subscription(1), subscription(2), subscription(3)]);
    let mut turns = Vec::new();
    for _ in 0..6 {
        turns.extend(claim(&mut scheduler, NOON, 1, 1000).into_keys());
    }
    assert_eq!(turns, [1, 2, 3, 1, 2, 3], "none has a second before each has a first");
}

#[test]
fn the_room_is_shared_by_all_who_may_claim() {
    let mut scheduler = answering(64, &[subscription(1), subscription(2), subscription(3)]);
    assert_eq!(claim(&mut scheduler, NOON, 100, 1000), HashMap::from([(1, 34), (2, 33), (3, 33)]));
    let mut scheduler = answering(64, &[subscription(1)]);
    assert_eq!(claim(&mut scheduler, NOON, 100, 1000), HashMap::from([(1, 64)]));
    // If not all lanes fit in one claim, those that do share all of its room.
    let all: Vec<_> = (1..=200).map(subscription).collect();
    let claimed = claim(&mut answering(64, &all), NOON, 1_000, 1000);
    assert_eq!((claimed.len(), claimed.values().sum::<u32>()), (100, 1_000));
}

#[test]
fn a_lane_that_holds_little_is_served_before_one_that_holds_much() {
    let mut scheduler = answering(64, &[subscription(1)]);
    assert_eq!(claim(&mut scheduler, NOON, 40, 1000), HashMap::from([(1, 40)]));
    scheduler.found([id(2)], NOON);
    scheduler.learn(&subscription(2), NOON);
    scheduler.change(id(2), NOON, |lane| lane.held += 1);
    scheduler.ended(id(2), NOON, DELIVERED);
    assert_eq!(claim(&mut scheduler, NOON, 50, 1000), HashMap::from([(1, 5), (2, 45)]), "45 each");
}

#[test]
fn organizations_have_equal_parts_whatever_the_number_of_their_subscriptions() {
    let mut all: Vec<_> = (1..=30).map(|number| of("large", number)).collect();
    all.push(of("small", 100));
    let claimed = claim(&mut answering(64, &all), NOON, 60, 1000);
    assert_eq!(claimed[&100], 30);
    assert_eq!(claimed.values().sum::<u32>(), 60);
    assert_eq!(claimed.len(), 31, "and each of the other's has one");
}

#[test]
fn an_endpoint_that_answers_is_attempted_at_full_width_however_often_it_refuses() {
    let mut scheduler = answering(8, &[subscription(1)]);
    for _ in 0..10 {
        assert_eq!(claim(&mut scheduler, NOON, 100, 1000), HashMap::from([(1, 8)]));
        for _ in 0..8 {
            scheduler.ended(id(1), NOON, REFUSED);
        }
        assert!(scheduler.is_failing(id(1)));
        assert!(scheduler.is_ready(NOON), "it does not wait");
    }
}

#[test]
fn endpoints_that_do_not_answer_share_a_quarter_and_leave_it_with_an_answer() {
    let all: Vec<_> = (1..=1_000).map(|number| of(&format!("org_{number}"), number)).collect();
    let mut scheduler = tried(64, &all, End::Silent);
    let held = fill(&mut scheduler, NOON);
    assert_eq!(held.values().sum::<u32>(), 48, "a quarter, and a quarter of that is kept");
    assert!(held.values().all(|held| *held == 1));
    assert_eq!(scheduler.wait(NOON), None, "until one ends");
    let (first, _) = held.iter().next().unwrap();
    scheduler.ended(id(*first), NOON, DELIVERED);
    let held = fill(&mut scheduler, NOON);
    assert_eq!(held[first], 64, "it is limited by its cap alone");
    assert_eq!(held.len(), 2, "and another one has its slot");
}

#[test]
fn fast_endpoints_that_stop_answering_leave_a_quarter_to_those_that_answer() {
    let all: Vec<_> = (1..=8).map(|number| of(&format!("org_{number}"), number)).collect();
    let mut scheduler = answering(64, &all);
    assert_eq!(claim(&mut scheduler, NOON, 8, 1_000).len(), 8, "each holds a slot");
    let later = NOON + Duration::from_millis(250);
    scheduler.ended(id(8), later, DELIVERED);
    scheduler.tick(later);
    let held = fill(&mut scheduler, later);
    assert_eq!(held[&8], 64, "it is limited by its cap alone");
    let stalled: u32 = held.iter().filter(|(id, _)| **id != 8).map(|(_, held)| held).sum();
    assert_eq!(stalled + 7, 176);
    // The first answer is enough.
    scheduler.ended(id(1), later, DELIVERED);
    assert!(scheduler.is_ready(later));
}

#[test]
fn an_endpoint_is_not_stalled_by_a_store_that_takes_its_time_for_a_claim() {
    let mut scheduler = answering(64, &[subscription(1)]);
    let shares = scheduler.shares(NOON, 8);
    let later = NOON + Duration::from_secs(10);
    scheduler.tick(later);
    assert!(!scheduler.lanes[&id(1)].endpoint.is_stalled);
    let taken = HashMap::from([(id(1), taken(8, NOON))]);
    scheduler.claimed(later, &shares, &taken);
    scheduler.tick(later + Duration::from_millis(500));
    assert!(scheduler.lanes[&id(1)].endpoint.is_stalled);
}

#[test]
fn an_endpoint_that_answers_now_and_then_is_not_stalled() {
    let mut scheduler = answering(64, &[subscription(1)]);
    claim(&mut scheduler, NOON, 32, 1_000);
    let mut now = NOON;
    for _ in 0..20 {
        now += Duration::from_millis(240);
        scheduler.ended(id(1), now, DELIVERED);
        scheduler.tick(now);
        assert!(!scheduler.lanes[&id(1)].endpoint.is_stalled);
    }
    // A clock that is set back stalls nothing, and hides nothing that stalls.
    now -= Duration::from_secs(86_400);
    scheduler.tick(now);
    assert!(!scheduler.lanes[&id(1)].endpoint.is_stalled);
    scheduler.tick(now + Duration::from_millis(500));
    assert!(scheduler.lanes[&id(1)].endpoint.is_stalled);
}

#[test]
fn a_single_endpoint_that_does_not_answer_may_use_the_share_of_all() {
    let mut scheduler = tried(64, &[subscription(1)], End::Silent);
    assert_eq!(fill(&mut scheduler, NOON), HashMap::from([(1, 48)]));
}

#[test]
fn endpoints_that_do_not_answer_get_a_quarter_of_the_rows_while_others_have_something() {
    let mut scheduler = tried(64, &[subscription(1), subscription(2)], End::Silent);
    scheduler.found([id(3)], NOON);
    scheduler.learn(&of("other", 3), NOON);
    scheduler.change(id(3), NOON, |lane| lane.held += 1);
    scheduler.ended(id(3), NOON, DELIVERED);
    let claimed = claim(&mut scheduler, NOON, 40, 1000);
    assert_eq!(claimed, HashMap::from([(1, 5), (2, 5), (3, 30)]));
    assert_eq!(scheduler.shares(NOON, 0), [], "without room");
    // They get every fourth of single rows.
    let single: Vec<_> = (0..8).flat_map(|_| claim(&mut scheduler, NOON, 1, 1000).into_keys()).collect();
    assert_eq!(single.iter().filter(|id| **id != 3).count(), 2, "{single:?}");
}

#[test]
fn an_endpoint_that_is_woken_for_is_tried_at_once_beside_a_thousand_that_hang() {
    // They were never tried, and a look has found them; then they hang.
    let mut scheduler = scheduler(64);
    scheduler.found((1..=1_000).map(id), NOON);
    let held = fill(&mut scheduler, NOON);
    assert_eq!(held.values().sum::<u32>(), 56);
    for (round, number) in (0..8).zip(2_000..) {
        let known = Known { organization: Some("healthy".into()), is_failing: Some(false) };
        scheduler.woken([(id(number), known)], NOON);
        assert!(scheduler.is_ready(NOON), "after {round} others");
        assert_eq!(claim(&mut scheduler, NOON, 100, 1), HashMap::from([(number, 1)]));
    }
}

#[test]
fn an_event_for_a_thousand_endpoints_leaves_room_for_the_next_event() {
    let mut scheduler = scheduler(64);
    let known =
        |organization: &str| Known { organization: Some(organization.into()), is_failing: Some(false) };
    scheduler.woken((1..=1_000).map(|number| (id(number), known("large"))), NOON);
    let held = fill(&mut scheduler, NOON);
    assert!(held.values().sum::<u32>() < 64, "{} slots", held.values().sum::<u32>());
    for (number, organization) in [(2_001, "large"), (2_002, "small")] {
        scheduler.woken([(id(number), known(organization))], NOON);
        assert_eq!(claim(&mut scheduler, NOON, 100, 1), HashMap::from([(number, 1)]), "{organization}");
    }
}

#[test]
fn an_endpoint_that_fails_by_its_record_waits_behind_those_that_do_not() {
    let mut scheduler = scheduler(64);
    let known = |is_failing| Known { organization: Some("org".into()), is_failing: Some(is_failing) };
    scheduler.woken((1..=9_000).map(|number| (id(number), known(number % 10 != 0))), NOON);
    let mut sound = HashMap::new();
    while scheduler.is_ready(NOON) && sound.len() < 900 {
        let claimed = claim(&mut scheduler, NOON, 100, 1);
        for number in claimed.into_keys().filter(|number| number % 10 == 0) {
            sound.insert(number, ());
            scheduler.ended(id(number), NOON, DELIVERED);
        }
    }
    assert_eq!(sound.len(), 900, "all that are sound were tried while the others hang");
}

#[test]
fn a_wake_without_the_record_leaves_what_is_known_of_it() {
    let mut scheduler = scheduler(64);
    let known = |is_failing| Known { organization: Some("org".into()), is_failing };
    scheduler.woken([(id(1), known(Some(true)))], NOON);
    scheduler.woken([(id(1), known(None)), (id(2), known(None))], NOON);
    let class = |number| scheduler.lanes[&id(number)].endpoint.class();
    assert_eq!((class(1), class(2)), (Class::Silent, Class::Fresh));
    scheduler.woken([(id(1), known(Some(false)))], NOON);
    assert_eq!(scheduler.lanes[&id(1)].endpoint.class(), Class::Fresh);
}

#[test]
fn slow_endpoints_leave_a_quarter_to_fast_ones() {
    let slow: Vec<_> = (1..=20).map(|number| of(&format!("org_{number}"), number)).collect();
    let eight_seconds = End::Answered { held: Duration::from_secs(8), is_delivered: true, pause: None };
    let mut scheduler = tried(64, &slow, eight_seconds);
    assert_eq!(fill(&mut scheduler, NOON).values().sum::<u32>(), 176);
    scheduler.found([id(100)], NOON);
    assert_eq!(fill(&mut scheduler, NOON), HashMap::from([(100, 8)]), "the limits come with a claim");
    scheduler.learn(&of("fast", 100), NOON);
    for _ in 0..8 {
        scheduler.ended(id(100), NOON, DELIVERED);
    }
    assert_eq!(fill(&mut scheduler, NOON), HashMap::from([(100, 64)]));
}

#[test]
fn this_sides_faults_are_not_held_against_an_endpoint() {
    let mut scheduler = answering(8, &[subscription(1)]);
    for _ in 0..5 {
        claim(&mut scheduler, NOON, 8, 1000);
        for _ in 0..8 {
            scheduler.ended(id(1), NOON, End::Ours);
        }
    }
    assert_eq!(claim(&mut scheduler, NOON, 100, 1000), HashMap::from([(1, 8)]));
}

#[test]
fn a_claim_that_fails_gives_its_slots_back() {
    let mut scheduler = answering(8, &[subscription(1)]);
    for _ in 0..3 {
        let shares = scheduler.shares(NOON, 100);
        assert_eq!(shares[0].limit, 8);
        assert!(!scheduler.is_ready(NOON), "they are granted");
        scheduler.not_claimed(NOON, &shares);
    }
    let shares = scheduler.shares(NOON, 100);
    // Another delivery became due while the claim was under way.
    scheduler.found([id(1)], NOON);
    scheduler.claimed(NOON, &shares, &HashMap::new());
    assert!(scheduler.is_ready(NOON));
}

#[test]
fn a_rate_is_kept_and_a_quiet_time_saves_no_more_than_the_burst() {
    let mut limited = subscription(1);
    limited.options = limited.options.with_rate(10.0, 3).unwrap();
    let mut scheduler = answering(64, &[limited]);
    let mut sent = 0;
    let mut now = NOON;
    while now < NOON + Duration::from_secs(10) {
        scheduler.tick(now);
        scheduler.found([id(1)], now);
        for _ in 0..claim(&mut scheduler, now, 100, 1000).remove(&1).unwrap_or(0) {
            sent += 1;
            scheduler.ended(id(1), now, DELIVERED);
        }
        now += scheduler.wait(now).unwrap_or(Duration::from_millis(1));
    }
    assert!((95..=103).contains(&sent), "{sent} in ten seconds at ten a second");
    let later = now + Duration::from_secs(3_600);
    scheduler.tick(later);
    assert_eq!(claim(&mut scheduler, later, 100, 1000), HashMap::from([(1, 3)]));
}

#[test]
fn a_pause_that_the_endpoint_asked_for_holds_its_lane_and_no_other() {
    let mut scheduler = answering(4, &[subscription(1), subscription(2)]);
    claim(&mut scheduler, NOON, 100, 1000);
    let pause = Some(Duration::from_secs(30));
    scheduler.ended(id(1), NOON, End::Answered { held: Duration::ZERO, is_delivered: false, pause });
    scheduler.ended(id(2), NOON, DELIVERED);
    let soon = NOON + Duration::from_secs(29);
    scheduler.tick(soon);
    assert_eq!(claim(&mut scheduler, soon, 100, 1000), HashMap::from([(2, 1)]));
    let later = NOON + Duration::from_secs(30);
    scheduler.tick(later);
    assert_eq!(claim(&mut scheduler, later, 100, 1000).get(&1), Some(&1));
}

#[test]
fn a_clock_that_jumps_back_a_day_holds_no_lane_for_a_day() {
    let mut limited = subscription(1);
    limited.options = limited.options.with_rate(1.0, 1).unwrap();
    let mut scheduler = answering(64, &[limited, subscription(2)]);
    scheduler.tick(NOON);
    assert_eq!(claim(&mut scheduler, NOON, 2, 1), HashMap::from([(1, 1), (2, 1)]));
    scheduler.found([id(1), id(2)], NOON);
    scheduler.ended(id(1), NOON, DELIVERED);
    let pause = Some(Duration::from_secs(1));
    scheduler.ended(id(2), NOON, End::Answered { held: Duration::ZERO, is_delivered: false, pause });
    let back = NOON - Duration::from_secs(86_400);
    scheduler.tick(back);
    let later = back + Duration::from_secs(2);
    scheduler.tick(later);
    assert_eq!(claim(&mut scheduler, later, 100, 1), HashMap::from([(1, 1), (2, 1)]));
}

#[test]
fn a_claim_begins_where_the_last_one_ended_and_every_second_at_the_start() {
    let mut scheduler = answering(4, &[subscription(1)]);
    let shares = scheduler.shares(NOON, 1);
    assert_eq!(shares[0].since, None);
    let taken = HashMap::from([(id(1), taken(1, NOON))]);
    scheduler.claimed(NOON, &shares, &taken);
    let shares = scheduler.shares(NOON, 1);
    assert_eq!(shares[0].since, Some(NOON));
    scheduler.claimed(NOON, &shares, &taken);
    assert_eq!(scheduler.shares(NOON + HINT_AGE, 1)[0].since, None);
}

#[test]
fn a_claim_that_took_retries_is_followed_by_one_that_begins_at_the_last_of_them() {
    let mut scheduler = answering(4, &[subscription(1)]);
    let (early, late) = (NOON - Duration::from_secs(60), NOON - Duration::from_secs(1));
    let shares = scheduler.shares(NOON, 2);
    let mut both = Taken::default();
    both.add(Some(late), false);
    both.add(Some(early), true);
    scheduler.claimed(NOON, &shares, &HashMap::from([(id(1), both)]));
    assert_eq!(scheduler.shares(NOON, 1)[0].since, Some(early), "the new delivery was due later");
}

#[test]
fn what_was_committed_late_stands_before_the_hint_and_is_asked_for_once_more() {
    let mut scheduler = answering(4, &[subscription(1)]);
    assert_eq!(claim(&mut scheduler, NOON, 2, 2), HashMap::from([(1, 2)]));
    let shares = scheduler.shares(NOON, 2);
    assert_eq!(shares[0].since, Some(NOON));
    scheduler.claimed(NOON, &shares, &HashMap::new());
    let shares = scheduler.shares(NOON, 2);
    assert_eq!(shares[0].since, None, "from the start");
    scheduler.claimed(NOON, &shares, &HashMap::new());
    assert!(!scheduler.is_ready(NOON), "and then it is known to be empty");
}

#[test]
fn a_lane_claims_its_retries_when_they_are_due_without_a_look() {
    let mut scheduler = answering(64, &[subscription(1)]);
    assert_eq!(claim(&mut scheduler, NOON, 100, 1), HashMap::from([(1, 1)]));
    scheduler.ended(id(1), NOON, REFUSED);
    claim(&mut scheduler, NOON, 100, 0);
    for wait in [1, 1, 4, 2] {
        scheduler.retried(id(1), NOON, Duration::from_secs(wait));
    }
    let mut now = NOON;
    for seconds in [1, 2, 4] {
        let wait = scheduler.wait(now).unwrap();
        now += wait;
        let late = now - NOON - Duration::from_secs(seconds);
        assert!(late.is_positive() && late <= Duration::from_millis(50), "{late} late");
        scheduler.tick(now);
        assert_eq!(claim(&mut scheduler, now, 100, 0), HashMap::from([(1, 0)]));
    }
    assert_eq!(scheduler.wait(now), None);
}

#[test]
fn lanes_at_rest_are_forgotten_when_there_are_many() {
    let mut scheduler = scheduler(4);
    for number in 0..REMEMBERED as u128 + 50 {
        let known = Known { organization: Some(format!("org_{number}").into()), is_failing: Some(false) };
        scheduler.woken([(id(number), known)], NOON);
        claim(&mut scheduler, NOON, 1, 0);
    }
    scheduler.tick(NOON);
    assert!(scheduler.lanes.is_empty(), "{} kept", scheduler.lanes.len());
    assert_eq!((scheduler.fresh, scheduler.capacity.free_for_newcomers()), (0, 64));
}

#[test]
fn a_failing_lane_is_forgotten_too_once_none_of_its_retries_is_left() {
    let mut scheduler = tried(4, &[subscription(1), subscription(2)], End::Silent);
    assert_eq!(scheduler.silent(), 2);
    while claim(&mut scheduler, NOON, 100, 0).values().sum::<u32>() > 0 || scheduler.is_ready(NOON) {}
    scheduler.retried(id(2), NOON, Duration::from_secs(60));
    scheduler.sweep_at = 0;
    scheduler.tick(NOON);
    assert_eq!(
        (scheduler.lanes.len(), scheduler.silent()),
        (1, 1),
        "the one that waits for its retry is kept"
    );
    let later = NOON + Duration::from_secs(61);
    scheduler.sweep_at = 0;
    scheduler.tick(later);
    assert_eq!(claim(&mut scheduler, later, 100, 0).get(&2), Some(&0), "it is claimed");
    scheduler.sweep_at = 0;
    scheduler.tick(later);
    assert_eq!((scheduler.lanes.len(), scheduler.silent()), (0, 0));
}

#[test]
fn a_lane_whose_retry_waits_for_a_fault_of_our_own_is_not_forgotten() {
    let mut scheduler = answering(4, &[subscription(1)]);
    claim(&mut scheduler, NOON, 100, 0);
    scheduler.retried(id(1), NOON, Duration::from_secs(1));
    scheduler.sweep_at = 0;
    scheduler.tick(NOON);
    let later = NOON + Duration::from_secs(2);
    scheduler.tick(later);
    assert!(scheduler.is_ready(later));
}

/// Ten thousand lanes with something to claim, in as many organizations and in one.
#[test]
fn a_claim_beside_ten_thousand_subscriptions_touches_those_it_serves_and_no_others() {
    for organizations in [1, 10_000] {
        let all: Vec<_> =
            (1..=10_000).map(|number| of(&format!("org_{}", number % organizations), number)).collect();
        let mut scheduler = answering(64, &all);
        let before = scheduler.queue.next_turn();
        let shares = scheduler.shares(NOON, 100);
        assert_eq!(shares.len(), 100);
        let turns = scheduler.queue.next_turn() - before;
        assert!(turns < 1_000, "{turns} turns were given for 100 shares");
    }
}

/// A scheduler whose subscriptions answered and have nothing more to claim.
fn at_rest(slots: usize, cap: u32, subscriptions: &[Subscription]) -> Scheduler {
    let mut scheduler = answering(cap, subscriptions);
    scheduler.set_slots(slots);
    subscriptions.iter().for_each(|subscription| {
        scheduler.change(subscription.id, NOON, |lane| lane.wants = false);
    });
    scheduler
}

/// How many slots a subscription can reserve at once.
fn reserved(scheduler: &mut Scheduler, number: u128, now: OffsetDateTime) -> usize {
    (0..1_000).take_while(|_| scheduler.reserve(id(number), now)).count()
}

#[test]
fn a_reservation_counts_against_the_cap_and_frees_its_place_when_it_is_given_back() {
    let mut scheduler = at_rest(SLOTS, 4, &[subscription(1)]);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 4);
    scheduler.unreserve(id(1), NOON);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 1);
    scheduler.ended(id(1), NOON, DELIVERED);
    scheduler.found([id(1)], NOON);
    assert_eq!(claim(&mut scheduler, NOON, 100, 1_000), HashMap::from([(1, 1)]), "claims count it too");
}

#[test]
fn a_reservation_counts_against_the_slots_of_all() {
    let all = [subscription(1), of("other", 2)];
    let mut scheduler = at_rest(10, 64, &all);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 10);
    assert_eq!(reserved(&mut scheduler, 2, NOON), 0);
    scheduler.unreserve(id(1), NOON);
    assert_eq!(reserved(&mut scheduler, 2, NOON), 1);
}

#[test]
fn a_reservation_takes_a_token_and_gives_it_back_when_it_is_not_used() {
    let mut limited = subscription(1);
    limited.options = limited.options.with_rate(1.0, 3).unwrap();
    let mut scheduler = at_rest(SLOTS, 64, &[limited]);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 3);
    scheduler.unreserve(id(1), NOON);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 1);
    scheduler.ended(id(1), NOON, DELIVERED);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 0, "a sent delivery has used its token");
    assert_eq!(reserved(&mut scheduler, 1, NOON + Duration::from_millis(1_100)), 1);
    let later = NOON + Duration::from_secs(60);
    assert_eq!(reserved(&mut scheduler, 1, later), 3, "the bucket is full");
    scheduler.unreserve(id(1), later + Duration::from_millis(100));
    assert_eq!(reserved(&mut scheduler, 1, later + Duration::from_millis(200)), 1, "and no fuller");
}

#[test]
fn nothing_is_reserved_by_a_clock_that_was_set_back_until_the_lanes_are_set_back_too() {
    let mut scheduler = at_rest(SLOTS, 4, &[subscription(1)]);
    scheduler.tick(NOON + Duration::from_secs(60));
    assert_eq!(reserved(&mut scheduler, 1, NOON), 0);
    scheduler.tick(NOON);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 4);
}

#[test]
fn inserts_may_reserve_half_of_the_slots_while_one_is_free() {
    for (slots, half) in [(1, 1), (2, 1), (5, 3), (256, 128)] {
        let mut scheduler = at_rest(slots, 300, &[subscription(1)]);
        assert_eq!(scheduler.reservable(), half);
        assert_eq!(reserved(&mut scheduler, 1, NOON), slots);
        assert_eq!(scheduler.reservable(), 0);
    }
}

#[test]
fn nothing_is_reserved_while_a_claim_is_on_its_way() {
    let mut scheduler = at_rest(SLOTS, 64, &[subscription(1)]);
    scheduler.found([id(1)], NOON);
    let shares = scheduler.shares(NOON, 3);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 0, "what it claims was due before");
    scheduler.claimed(NOON, &shares, &HashMap::from([(id(1), taken(2, NOON))]));
    assert_eq!(reserved(&mut scheduler, 1, NOON), 62);
}

#[test]
fn nothing_is_reserved_while_a_claim_of_a_limited_rate_is_on_its_way() {
    let mut limited = subscription(1);
    limited.options = limited.options.with_rate(1.0, 3).unwrap();
    let mut scheduler = at_rest(SLOTS, 64, &[limited]);
    scheduler.found([id(1)], NOON);
    let shares = scheduler.shares(NOON, 100);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 0);
    let taken = HashMap::from([(id(1), taken(2, NOON))]);
    scheduler.claimed(NOON, &shares, &taken);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 1, "its claim left one");
}

#[test]
fn nothing_is_reserved_behind_known_due_work_or_for_an_endpoint_that_did_not_answer() {
    let mut scheduler = at_rest(SLOTS, 64, &[subscription(1)]);
    scheduler.found([id(1)], NOON);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 0, "something is due");
    claim(&mut scheduler, NOON, 100, 1);
    scheduler.retried(id(1), NOON, Duration::from_secs(1));
    assert!(scheduler.reserve(id(1), NOON));
    assert_eq!(reserved(&mut scheduler, 1, NOON + Duration::from_secs(2)), 0, "a retry is due");
    let mut scheduler = at_rest(SLOTS, 64, &[subscription(1)]);
    scheduler.keep_back(id(1), NOON + Duration::from_secs(1), NOON);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 0, "it is paused");
    assert_eq!(reserved(&mut scheduler, 2, NOON), 0, "it was never tried");
    let mut scheduler = tried(64, &[subscription(1)], End::Silent);
    scheduler.change(id(1), NOON, |lane| lane.wants = false);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 0, "it gave no answer");
    let mut scheduler = tried(64, &[subscription(1)], REFUSED);
    scheduler.change(id(1), NOON, |lane| lane.wants = false);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 64, "an answer of any status is one");
}

#[test]
fn reservations_leave_the_second_half_of_the_slots_to_those_whose_turn_it_is() {
    let all = [of("busy", 1), of("quiet", 2), of("third", 3)];
    let mut scheduler = at_rest(20, 64, &all);
    scheduler.found([id(2)], NOON);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 10, "half of them without asking whose turn it is");
    assert_eq!(reserved(&mut scheduler, 3, NOON), 0, "of equals, the one that waits comes first");
    assert_eq!(claim(&mut scheduler, NOON, 4, 1), HashMap::from([(2, 1)]));
    assert_eq!(reserved(&mut scheduler, 3, NOON), 9, "nobody waits any more");
}

#[test]
fn slow_endpoints_reserve_no_slot_of_the_quarter_for_fast_ones() {
    let slow = End::Answered { held: Duration::from_secs(5), is_delivered: true, pause: None };
    let mut scheduler = tried(256, &[subscription(1)], slow);
    scheduler.change(id(1), NOON, |lane| lane.wants = false);
    assert_eq!(reserved(&mut scheduler, 1, NOON), 176);
}

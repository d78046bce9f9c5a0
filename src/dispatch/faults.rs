//! [`Faults`]: how far faults on this side slow down the sending, pure.
//!
//! One failed look-up or one missing port says little: the name's servers may be silent, and one busy
//! endpoint may use up the ports that lead to it. Such failures count as the process's fault only when three
//! organizations meet them with no success in between, so that no customer can slow down the others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use super::fault::{FaultKind, FaultScope};
use super::telemetry;
use crate::id::SubscriptionId;

/// The faults of a dispatcher's own side.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// While it lasts, little is claimed.
    process: Option<Outage>,
    subscriptions: HashMap<SubscriptionId, Kept>,
    /// The number of them at which the old ones are forgotten.
    sweep_at: usize,
    /// How many of them have secrets that do not open.
    keyless: usize,
    /// The organizations whose names got no answer, since a name was last resolved.
    silent: Evidence,
    /// The organizations that had no local port, since a connection was last opened.
    portless: Evidence,
    /// The organizations that the proxy failed, since a connection was last opened.
    proxyless: Evidence,
}

#[derive(Debug)]
struct Outage {
    kind: FaultKind,
    streak: Streak,
    /// When the next few deliveries are claimed, to see whether it is over.
    probes_at: OffsetDateTime,
    /// Whether an attempt began since it did.
    is_probing: bool,
}

#[derive(Debug, Default)]
struct Kept {
    kind: Option<FaultKind>,
    streak: Streak,
}

impl Faults {
    /// Takes note that a name of this organization got no answer, or a connection no port, and returns
    /// whether that is the process's fault.
    pub(super) fn suspect(&self, kind: FaultKind, organization: &str) -> bool {
        let mut state = self.state();
        let evidence = match kind {
            FaultKind::Resolver => &mut state.silent,
            FaultKind::Proxy => &mut state.proxyless,
            _ => &mut state.portless,
        };
        evidence.add(organization)
    }

    /// Keeps back what a fault at `now` concerns, and returns for how long.
    pub(super) fn keep_back(
        &self,
        scope: FaultScope,
        kind: FaultKind,
        subscription: SubscriptionId,
        now: OffsetDateTime,
    ) -> Duration {
        let mut state = self.state();
        let state = &mut *state;
        if scope == FaultScope::Process {
            let outage = state.process.get_or_insert_with(|| {
                telemetry::outage_began(kind);
                Outage { kind, streak: Streak::default(), probes_at: now, is_probing: false }
            });
            (outage.kind, outage.is_probing) = (kind, false);
            let wait = outage.streak.add(now);
            let gate = if state.is_nobody_held_up() { Duration::ZERO } else { wait.min(LONGEST_GATE) };
            if let Some(outage) = &mut state.process {
                outage.probes_at = later(now, gate);
            }
            return wait;
        }
        if state.subscriptions.len() >= state.sweep_at.max(MOST_KEPT) {
            state.sweep(subscription, now);
        }
        let kept = state.subscriptions.entry(subscription).or_default();
        let was = kept.kind.replace(kind);
        let wait = kept.streak.add(now);
        state.change_keyless(was, Some(kind));
        wait
    }

    /// Takes note that an attempt of a subscription met no fault on this side, with what it proves.
    pub(super) fn passed(&self, subscription: SubscriptionId, proof: Proof) {
        let mut state = self.state();
        if proof.is_resolved {
            state.silent = Evidence::default();
        }
        if proof.is_connected {
            state.portless = Evidence::default();
            state.proxyless = Evidence::default();
        }
        state.silent.is_answered |= proof.is_answered && !state.silent.organizations.is_empty();
        if let Some(outage) = &state.process {
            let is_over = match outage.kind {
                FaultKind::Resolver => proof.is_resolved,
                _ => proof.is_connected,
            };
            // A client that does not tell its timings proves no more than an answer.
            if is_over || (outage.is_probing && proof.is_answered) {
                telemetry::outage_ended(outage.kind);
                state.process = None;
            }
        }
        if let Some(kept) = state.subscriptions.remove(&subscription) {
            state.change_keyless(kept.kind, None);
        }
    }

    /// How long nothing is to be claimed.
    pub(super) fn wait(&self, now: OffsetDateTime) -> Duration {
        match &self.state().process {
            Some(outage) => remaining(outage.probes_at, now).min(LONGEST_GATE),
            None => Duration::ZERO,
        }
    }

    /// How many of `room` attempts may begin: a few during an outage of the process.
    pub(super) fn room(&self, room: u32, now: OffsetDateTime) -> u32 {
        let state = self.state();
        match &state.process {
            None => room,
            Some(outage) if !remaining(outage.probes_at, now).is_zero() => 0,
            Some(_) if state.is_nobody_held_up() => room,
            Some(_) => room.min(PROBES),
        }
    }

    /// Whether a subscription's last attempt met a fault on this side, so that one delivery is to be tried
    /// next and not many.
    pub(super) fn is_kept(&self, subscription: SubscriptionId) -> bool {
        self.state().subscriptions.contains_key(&subscription)
    }

    /// Whether no fault on this side is known that keeps back deliveries of this subscription.
    pub(super) fn are_clear_of(&self, subscription: SubscriptionId) -> bool {
        let state = self.state();
        state.process.is_none() && !state.subscriptions.contains_key(&subscription)
    }

    /// Takes note that attempts begin.
    pub(super) fn began(&self, now: OffsetDateTime) {
        let mut state = self.state();
        let wait = if state.is_nobody_held_up() { Duration::ZERO } else { FIRST };
        if let Some(outage) = &mut state.process {
            outage.is_probing = true;
            outage.probes_at = later(now, wait);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets subscriptions whose wait was over long ago and that had no attempt since.
    fn sweep(&mut self, but: SubscriptionId, now: OffsetDateTime) {
        self.subscriptions.retain(|id, kept| *id == but || !kept.streak.is_old(now));
        // Another walk is worth it once their number has doubled.
        self.sweep_at = 2 * self.subscriptions.len();
        let keyless = self.subscriptions.values().filter(|kept| kept.kind == Some(FaultKind::Key)).count();
        let before = std::mem::replace(&mut self.keyless, keyless);
        if keyless != before {
            telemetry::keyless(before, keyless);
        }
    }

    /// Whether a resolver that is silent holds up nobody: other endpoints answer, over connections that are
    /// open already or under names that resolve.
    fn is_nobody_held_up(&self) -> bool {
        let is_silence = |outage: &Outage| outage.kind == FaultKind::Resolver;
        self.process.as_ref().is_none_or(is_silence) && self.silent.is_answered
    }

    /// Counts a subscription whose fault was one and is another, if either is a key that does not open.
    fn change_keyless(&mut self, was: Option<FaultKind>, is: Option<FaultKind>) {
        let before = self.keyless;
        self.keyless += usize::from(is == Some(FaultKind::Key));
        self.keyless = self.keyless.saturating_sub(usize::from(was == Some(FaultKind::Key)));
        if self.keyless != before {
            telemetry::keyless(before, self.keyless);
        }
    }
}

/// The proof that an attempt without a fault on this side gives.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Proof {
    /// A name was resolved, or is known not to exist.
    pub(super) is_resolved: bool,
    /// A socket was opened.
    pub(super) is_connected: bool,
    /// The endpoint answered.
    pub(super) is_answered: bool,
}

/// The different organizations that met a failure of one kind, at most [`OUTAGE`].
#[derive(Debug, Default)]
struct Evidence {
    organizations: Vec<String>,
    /// Whether any endpoint answered since the first of them.
    is_answered: bool,
}

impl Evidence {
    fn add(&mut self, organization: &str) -> bool {
        let is_known = self.organizations.iter().any(|known| known == organization);
        if !is_known && self.organizations.len() < OUTAGE {
            self.organizations.push(organization.to_owned());
        }
        self.organizations.len() >= OUTAGE
    }
}

/// Faults in a row. Faults of attempts that were under way together count as one.
#[derive(Debug, Default)]
struct Streak {
    length: u32,
    until: Option<OffsetDateTime>,
}

impl Streak {
    /// Adds a fault at `now`, and returns how long to wait.
    fn add(&mut self, now: OffsetDateTime) -> Duration {
        let left = self.remaining(now);
        if left > Duration::ZERO {
            return left.max(FIRST);
        }
        let wait = FIRST.saturating_mul(1 << self.length.min(16)).min(LONGEST);
        self.length = self.length.saturating_add(1);
        self.until = Some(later(now, wait));
        wait
    }

    /// Whether its wait was over for longer than any wait lasts.
    fn is_old(&self, now: OffsetDateTime) -> bool {
        self.until.is_none_or(|until| later(until, LONGEST) < now || remaining(until, now) > LONGEST)
    }

    fn remaining(&self, now: OffsetDateTime) -> Duration {
        let left = self.until.map_or(Duration::ZERO, |until| remaining(until, now));
        // More than the longest wait means that the clock was set back.
        if left > LONGEST { Duration::ZERO } else { left }
    }
}

fn remaining(until: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(until - now).unwrap_or(Duration::ZERO)
}

fn later(now: OffsetDateTime, wait: Duration) -> OffsetDateTime {
    now.saturating_add(time::Duration::try_from(wait).unwrap_or(time::Duration::MAX))
}

/// So many organizations without an answer are no coincidence.
const OUTAGE: usize = 3;
/// The waits of a delivery that is kept back.
pub(super) const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5 * 60);
/// The longest time without a probe during an outage, so that sending goes on soon after its end.
const LONGEST_GATE: Duration = Duration::from_secs(5);
/// How many attempts are made at a time during an outage.
const PROBES: u32 = 8;
/// The number of subscriptions above which those whose wait was over long ago are forgotten.
const MOST_KEPT: usize = 10_000;

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);
    const ANSWERED: Proof = Proof { is_resolved: false, is_connected: false, is_answered: true };
    const CONNECTED: Proof = Proof { is_resolved: false, is_connected: true, is_answered: true };
    const RESOLVED: Proof = Proof { is_resolved: true, is_connected: false, is_answered: false };

    fn id(number: u128) -> SubscriptionId {
        SubscriptionId::from_u128(number)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_subscription_waits_a_second_then_twice_as_long_each_time_up_to_five_minutes() {
        let (faults, mut now) = (Faults::default(), NOON);
        let keep_back = |now| faults.keep_back(FaultScope::Subscription, FaultKind::Key, id(1), now);
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(keep_back(now), seconds(expected));
            // An attempt that was under way at the same time adds nothing.
            assert_eq!(keep_back(now), seconds(expected));
            now += seconds(expected);
        }
        assert_eq!(faults.wait(now), Duration::ZERO, "nobody else waits");
        faults.passed(id(2), CONNECTED);
        assert_eq!(keep_back(now), seconds(300));
        faults.passed(id(1), ANSWERED);
        assert_eq!(keep_back(now), seconds(1));
    }

    #[test]
    fn no_number_of_subscriptions_makes_their_waits_short_again() {
        let (faults, mut now) = (Faults::default(), NOON);
        let many = 2 * MOST_KEPT as u128 + 10;
        for expected in [1, 2, 4, 8] {
            for number in 0..many {
                let wait = faults.keep_back(FaultScope::Subscription, FaultKind::Key, id(number), now);
                assert_eq!(wait, seconds(expected), "subscription {number}");
            }
            now += seconds(expected);
        }
        // Those that had no attempt for long are forgotten.
        now += 2 * LONGEST;
        (many..2 * many).for_each(|number| {
            faults.keep_back(FaultScope::Subscription, FaultKind::Token, id(number), now);
        });
        let state = faults.state();
        assert_eq!((state.subscriptions.len(), state.keyless), (many as usize, 0));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_for_longer() {
        let faults = Faults::default();
        let keep_back = |now| faults.keep_back(FaultScope::Subscription, FaultKind::Key, id(1), now);
        keep_back(NOON);
        assert_eq!(keep_back(NOON - seconds(86_400)), seconds(2));
        faults.keep_back(FaultScope::Process, FaultKind::Descriptors, id(1), NOON);
        assert!(faults.wait(NOON - seconds(86_400)) <= LONGEST_GATE);
    }

    #[test]
    fn a_fault_of_the_process_lets_a_few_attempts_through_until_one_of_them_passes() {
        let faults = Faults::default();
        assert_eq!(faults.room(256, NOON), 256);
        assert_eq!(faults.keep_back(FaultScope::Process, FaultKind::Descriptors, id(1), NOON), seconds(1));
        assert_eq!((faults.wait(NOON), faults.room(256, NOON)), (seconds(1), 0));
        // An answer over a connection that is open already proves nothing.
        faults.passed(id(2), ANSWERED);
        assert_eq!(faults.room(256, NOON), 0);
        let now = NOON + seconds(1);
        assert_eq!(faults.room(256, now), PROBES);
        faults.began(now);
        assert_eq!((faults.room(256, now), faults.wait(now)), (0, FIRST));
        assert_eq!(faults.keep_back(FaultScope::Process, FaultKind::Descriptors, id(1), now), seconds(2));
        let now = now + seconds(2);
        assert_eq!(faults.room(256, now), PROBES);
        faults.began(now);
        faults.passed(id(2), CONNECTED);
        assert_eq!((faults.wait(now), faults.room(256, now)), (Duration::ZERO, 256));
    }

    #[test]
    fn one_organization_alone_causes_no_fault_of_the_process() {
        let faults = Faults::default();
        for kind in [FaultKind::Resolver, FaultKind::Ports] {
            for _ in 0..1_000 {
                assert!(!faults.suspect(kind, "org_1") && !faults.suspect(kind, "org_2"));
            }
            faults.passed(id(1), RESOLVED);
            faults.passed(id(1), CONNECTED);
            assert!(!faults.suspect(kind, "org_3"), "others succeeded in between");
            assert!(!faults.suspect(kind, "org_1"));
            assert!(faults.suspect(kind, "org_2"));
        }
    }

    #[test]
    fn silent_names_of_three_organizations_hold_up_nobody_whose_endpoint_answers() {
        let faults = Faults::default();
        let silence = |now| {
            for organization in ["org_1", "org_2", "org_3"] {
                faults.suspect(FaultKind::Resolver, organization);
            }
            faults.keep_back(FaultScope::Process, FaultKind::Resolver, id(1), now)
        };
        silence(NOON);
        assert_eq!(faults.wait(NOON), seconds(1));
        let now = NOON + seconds(1);
        assert_eq!(faults.room(256, now), PROBES);
        faults.began(now);
        faults.passed(id(9), ANSWERED);
        assert_eq!(faults.room(256, now), 256);
        silence(now);
        faults.passed(id(9), ANSWERED);
        silence(now);
        assert_eq!((faults.wait(now), faults.room(256, now)), (Duration::ZERO, 256));
    }
}

//! The checks of a crowd: what each endpoint saw and what the store holds, against the contracts' rules.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookwire::{
    Attempt, DeadReason, Delivery, DeliveryState, ErrorClass, Outcome, Records as _, SubscriptionId,
};
use time::OffsetDateTime;

use super::endpoints::{End, Endpoint, Kind, Request, Scene, Stage, Token};
use super::platforms::Platform;
use super::store::Connection;
use crate::stores::deliveries;

/// A promise that is checked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Check {
    /// Nothing is attempted under another contract, or by a process that lacks the contract.
    Contract,
    /// Each body is the event in the subscription's version.
    Version,
    /// No attempt is spent on a fault on this side.
    OwnFault,
    /// Every wait ends, and none before its time.
    Wait,
    /// No attempt is early.
    Early,
    /// Attempts at endpoints that answer at once are on time, and no endpoint is left out for long.
    Late,
    /// The bad endpoints do not delay the healthy ones.
    Delay,
    /// Endpoints without an answer have at most a quarter of the slots.
    Share,
    /// Each event has its deliveries, and each ends as its contract says.
    End,
}

impl Check {
    pub(super) const ALL: [Self; 9] = [
        Self::Contract,
        Self::Version,
        Self::OwnFault,
        Self::Wait,
        Self::Early,
        Self::Late,
        Self::Delay,
        Self::Share,
        Self::End,
    ];
}

#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) check: Check,
    pub(super) what: String,
}

/// The result of a run.
pub(super) struct Report {
    pub(super) seen: Seen,
    pub(super) violations: Vec<Violation>,
    /// The times from emit to receipt at healthy endpoints.
    delays: Vec<Duration>,
}

/// Counts of what happened, so that a test can tell that it did.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    fn count(&mut self, what: &'static str, more: usize) {
        *self.0.entry(what).or_default() += more as u64;
    }

    pub(super) fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, more)| *self.0.entry(what).or_default() += more);
    }

    /// Whether everything happened that the checks are about.
    pub(super) fn is_whole(&self) -> bool {
        let all = [
            "delivered",
            "exhausted",
            "refused",
            "gone",
            "expired",
            "left to nobody",
            "panics",
            "own faults",
            "unreadable",
            "in an older version",
            "retries judged",
            "first attempts judged",
            "handed over",
        ];
        all.iter().all(|what| self.0.get(what).is_some_and(|count| *count > 0))
    }
}

impl Report {
    /// Compares the delays of healthy endpoints with those that they have alone.
    pub(super) fn compare(&mut self, alone: &Self) {
        if self.delays.is_empty() {
            return;
        }
        let (beside, alone) = (quantile(&self.delays, 99), quantile(&alone.delays, 99));
        if beside > 2 * alone + Duration::from_millis(50) {
            let what = format!("p99 is {beside:?}, alone {alone:?}");
            self.violations.push(Violation { check: Check::Delay, what });
        }
    }
}

pub(super) struct Judge {
    stage: Stage,
    store: Connection,
    slots: [usize; 2],
    seen: Seen,
    delays: Vec<Duration>,
    /// How late retries at endpoints were that answer at once.
    lateness: Vec<Duration>,
}

/// A delivery with its attempts, and its requests as the endpoint saw them.
struct Case<'a> {
    endpoint: &'a Endpoint,
    platform: &'a Platform,
    delivery: Delivery,
    log: Vec<Attempt>,
    requests: &'a [Request],
    emitted: OffsetDateTime,
    /// How often its row could not be read.
    unread: usize,
}

impl Judge {
    pub(super) fn new(stage: Stage, store: Connection, slots: [usize; 2]) -> Self {
        let (seen, delays, lateness) = (Seen::default(), Vec::new(), Vec::new());
        Self { stage, store, slots, seen, delays, lateness }
    }

    async fn deliveries(&self) -> Vec<(String, Vec<(Delivery, Vec<Attempt>)>)> {
        let endpoints: Vec<_> = {
            let scene = self.stage.scene();
            let all = scene.endpoints.iter();
            all.map(|(url, of)| (url.clone(), of.subscription.organization.clone(), of.subscription.id))
                .collect()
        };
        let mut all = Vec::new();
        for (url, organization, id) in endpoints {
            let mut own = Vec::new();
            for delivery in deliveries(&*self.store.inner, &organization, id).await {
                let log = self.store.inner.list_attempts(delivery.id).await.unwrap();
                own.push((delivery, log));
            }
            all.push((url, own));
        }
        all
    }

    /// Checks that no delivery has expired yet.
    pub(super) async fn nothing_has_expired(&mut self) {
        let all = self.deliveries().await;
        let is_expired = |(delivery, _): &&(Delivery, _)| delivery.state == EXPIRED;
        let early = all.iter().flat_map(|(_, own)| own).filter(is_expired).count();
        if early > 0 {
            self.stage.scene().violated(Check::Wait, format!("{early} deliveries expired early"));
        }
    }

    pub(super) async fn judge(mut self) -> Report {
        let all = self.deliveries().await;
        let stage = self.stage.clone();
        let scene = &mut *stage.scene();
        let unread = self.store.unread.lock().unwrap().clone();
        let mut broken = Vec::new();
        for (url, own) in all {
            let endpoint = &scene.endpoints[&url];
            let platform = &scene.platforms[endpoint.platform];
            self.judge_number(scene, endpoint, own.len(), &mut broken);
            let none = Vec::new();
            let cases: Vec<_> = own
                .into_iter()
                .map(|(delivery, log)| Case {
                    endpoint,
                    platform,
                    requests: endpoint.requests.get(&delivery.event).unwrap_or(&none),
                    emitted: scene.events[&delivery.event].at,
                    unread: unread.get(&delivery.id).copied().unwrap_or(0) as usize,
                    delivery,
                    log,
                })
                .collect();
            for case in &cases {
                self.judge_end(case, &mut broken);
                self.judge_faults(case, scene, &mut broken);
                self.judge_times(case, scene, &mut broken);
            }
            self.judge_turns(&cases, scene, &mut broken);
        }
        self.judge_shares(scene, &mut broken);
        let late = self.lateness.iter().max().copied().unwrap_or_default();
        if !self.lateness.is_empty() && (quantile(&self.lateness, 99) > SECOND || late > 5 * SECOND) {
            let p99 = quantile(&self.lateness, 99);
            broken.push((Check::Late, format!("retries are late, p99 {p99:?}, at most {late:?}")));
        }
        self.seen.count("retries judged", self.lateness.len());
        self.seen.count("first attempts judged", self.delays.len());
        self.seen.count("handed over", self.store.handed_over.load(Ordering::Relaxed));
        let mut violations = std::mem::take(&mut scene.violations);
        violations.extend(broken.into_iter().map(|(check, what)| Violation { check, what }));
        Report { seen: self.seen, violations, delays: self.delays }
    }

    /// Each event of its contract and organization has a delivery.
    fn judge_number(&self, scene: &Scene, endpoint: &Endpoint, count: usize, broken: &mut Broken) {
        let organization = &endpoint.subscription.organization;
        let is_own = |of: &&super::endpoints::Emitted| {
            of.platform == endpoint.platform && of.organization == *organization
        };
        let expected = scene.events.values().filter(is_own).count();
        // An outbox may leave out a disabled subscription.
        let may_lack = endpoint.disabled_at.is_some() || matches!(endpoint.kind, Kind::Gone(_));
        if count != expected && !(may_lack && count < expected) {
            broken.push((Check::End, format!("{count} deliveries of {expected} events")));
        }
    }

    fn judge_end(&mut self, case: &Case<'_>, broken: &mut Broken) {
        let Case { endpoint, platform, delivery, log, .. } = case;
        let state = delivery.state;
        let is_served = endpoint.platform != 3;
        if endpoint.subscription.contract.version() == "v1" && !log.is_empty() {
            self.seen.count("in an older version", 1);
        }
        if !is_served && endpoint.disabled_at.is_none() {
            self.seen.count("left to nobody", 1);
            if state != DeliveryState::Pending || !log.is_empty() {
                broken.push((Check::Contract, format!("{} is {state:?} and nobody serves it", delivery.id)));
            }
            return;
        }
        let waits_for_somebody = endpoint.disabled_at.is_some()
            || matches!(endpoint.kind, Kind::Gone(_))
            || endpoint.token != Token::None;
        let expected = match log.last().map(|last| &last.outcome) {
            Some(Outcome::Answered { status, .. }) if status.is_success() => DeliveryState::Delivered,
            Some(Outcome::Answered { status, .. })
                if status.as_u16() == 410 && platform.is_disabled_when_gone =>
            {
                DeliveryState::Dead(DeadReason::Gone)
            }
            Some(Outcome::Answered { status, .. }) if status.as_u16() < 500 && !platform.retries_all => {
                DeliveryState::Dead(DeadReason::Refused)
            }
            _ if log.len() > platform.waits.len() => DeliveryState::Dead(DeadReason::Exhausted),
            _ => EXPIRED,
        };
        let what = match state {
            DeliveryState::Delivered => "delivered",
            DeliveryState::Dead(DeadReason::Exhausted) => "exhausted",
            DeliveryState::Dead(DeadReason::Refused) => "refused",
            DeliveryState::Dead(DeadReason::Gone) => "gone",
            EXPIRED => "expired",
            _ => "other",
        };
        self.seen.count(what, 1);
        let what = || format!("{} of {:?} is {state:?} after {log:?}", delivery.id, endpoint.kind);
        if state == DeliveryState::Pending {
            broken.push((Check::Wait, what()));
        } else if state != expected || (state == EXPIRED && !waits_for_somebody) {
            broken.push((Check::End, what()));
        }
    }

    fn judge_faults(&mut self, case: &Case<'_>, scene: &Scene, broken: &mut Broken) {
        let count = |end: End| case.requests.iter().filter(|request| request.end == Some(end)).count();
        let (panics, ours) = (count(End::Panicked), count(End::Ours));
        self.seen.count("panics", panics);
        self.seen.count("own faults", ours);
        self.seen.count("unreadable", case.unread);
        let internal = Outcome::Failed(ErrorClass::Internal);
        let spent = case.log.iter().filter(|attempt| attempt.outcome == internal).count();
        if spent > panics + case.unread {
            let what = format!("{} lost {spent} attempts to own faults, {panics} panics", case.delivery.id);
            broken.push((Check::OwnFault, what));
        }
        // While the store is away, a lease may end before its attempt is settled.
        let made = case.requests.len() - ours + case.unread;
        let is_calm = case
            .requests
            .iter()
            .all(|request| !scene.is_exempt(case.endpoint, request.began, request.began + LONGEST));
        if case.log.len() > made || (is_calm && case.log.len() < made) {
            let what = format!("{} has {} attempts of {made}", case.delivery.id, case.log.len());
            broken.push((Check::OwnFault, what));
        }
    }

    fn judge_times(&mut self, case: &Case<'_>, scene: &Scene, broken: &mut Broken) {
        let Case { endpoint, platform, log, .. } = case;
        for pair in log.windows(2) {
            let [last, next] = pair else { continue };
            let Some(due_at) = due_after(platform, last) else { continue };
            let late = next.started_at - due_at;
            if late.is_negative() {
                broken.push((Check::Early, format!("{} was early by {late}", case.delivery.id)));
            }
            let ended = last.started_at + last.duration;
            let is_judged = endpoint.kind.is_prompt()
                && endpoint.token == Token::None
                && !scene.is_exempt(endpoint, ended, next.started_at);
            if is_judged {
                self.lateness.push(Duration::try_from(late).unwrap_or_default());
            }
        }
        let Some(first) = case.requests.first().filter(|_| endpoint.is_healthy()) else { return };
        if case.unread == 0 && !scene.is_exempt(endpoint, case.emitted, first.began) {
            self.delays.push(Duration::try_from(first.began - case.emitted).unwrap_or_default());
        }
    }

    /// While an endpoint has something due, it has its turn within some rounds of all endpoints that may be
    /// as bad.
    fn judge_turns(&self, cases: &[Case<'_>], scene: &Scene, broken: &mut Broken) {
        let Some(Case { endpoint, .. }) = cases.first() else { return };
        let is_closed =
            endpoint.disabled_at.is_some() || matches!(endpoint.kind, Kind::Gone(_) | Kind::Busy(_));
        if is_closed || endpoint.token != Token::None || endpoint.platform == 3 {
            return;
        }
        let bad = scene.endpoints.values().filter(|endpoint| endpoint.kind != Kind::Good).count();
        let slots = *self.slots.iter().min().expect("there are two");
        let rounds = u32::try_from(bad / (slots / 8) + 2).expect("a small number");
        let most = 2 * rounds * LONGEST + 30 * SECOND;
        let mut starts: Vec<_> =
            cases.iter().flat_map(|case| case.requests).map(|request| request.began).collect();
        starts.sort_unstable();
        for case in cases {
            let firsts = case.log.first().map(|first| (case.emitted, first.started_at));
            let later = case
                .log
                .windows(2)
                .filter_map(|pair| Some((due_after(case.platform, &pair[0])?, pair[1].started_at)));
            for (due_at, started_at) in firsts.into_iter().chain(later) {
                let own = starts.iter().copied().filter(|start| due_at < *start && *start <= started_at);
                let mut since = due_at;
                for start in own {
                    if start - since > most && !scene.is_exempt(endpoint, since, start) {
                        let what = format!("{:?} had no turn for {}", endpoint.kind, start - since);
                        broken.push((Check::Late, what));
                    }
                    since = start;
                }
            }
        }
    }

    fn judge_shares(&self, scene: &Scene, broken: &mut Broken) {
        for (process, (slots, (_, most))) in self.slots.iter().zip(scene.silent).enumerate() {
            if most as usize > (slots / 4).max(1) {
                broken.push((Check::Share, format!("{most} of {slots} slots of process {process} hang")));
            }
        }
    }
}

impl Endpoint {
    /// Whether it answers at once and delivers, and nothing on this side keeps it back.
    pub(super) fn is_healthy(&self) -> bool {
        let is_open = self.token == Token::None && self.disabled_at.is_none() && self.platform != 3;
        self.kind == Kind::Good && is_open
    }
}

impl Scene {
    /// Whether a fault on this side, or a restart, may have delayed an attempt in this time.
    fn is_exempt(&self, endpoint: &Endpoint, from: OffsetDateTime, until: OffsetDateTime) -> bool {
        let own = self.kept.get(&endpoint.subscription.id).into_iter().flatten();
        self.outages.iter().chain(own).any(|(begin, end)| *begin <= until && from <= *end)
    }

    /// Takes note that one subscription is kept back from now on.
    pub(super) fn keeps_back(&mut self, id: SubscriptionId, now: OffsetDateTime) {
        self.kept.entry(id).or_default().push((now, now + 10 * SECOND));
    }
}

/// When the attempt after this one is due; `None` where the contract alone does not say so.
fn due_after(platform: &Platform, last: &Attempt) -> Option<OffsetDateTime> {
    let wait = Duration::from_secs(*platform.waits.get(last.number as usize - 1)?);
    let longest = platform.waits.iter().max().copied().map(Duration::from_secs)?;
    let asked = match last.outcome {
        Outcome::Failed(ErrorClass::Internal) => return None,
        Outcome::Answered { retry_after, .. } => retry_after.unwrap_or_default().min(longest),
        _ => Duration::ZERO,
    };
    Some(last.started_at + last.duration + wait.max(asked))
}

fn quantile(values: &[Duration], percent: usize) -> Duration {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get((values.len().saturating_sub(1) * percent).div_ceil(100)).copied().unwrap_or_default()
}

type Broken = Vec<(Check, String)>;
const EXPIRED: DeliveryState = DeliveryState::Dead(DeadReason::Expired);
const SECOND: Duration = Duration::from_secs(1);
/// The longest time of an attempt.
const LONGEST: Duration = Duration::from_secs(20);

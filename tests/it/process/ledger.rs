//! [`Ledger`]: compares the children's output, the endpoints' requests and the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use hookwire::{Attempt, DeadReason, Delivery, DeliveryState, Records};

use super::child::{ATTEMPTS, BATCH, ENDPOINTS, IN_FLIGHT, ORGANIZATION};
use super::receiver::Reception;
use super::shop::Shop;
use crate::stores::deliveries;

/// The life of one child process.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) lines: Vec<String>,
    pub(super) was_killed: bool,
    /// Whether its database went away, so that calls failed.
    pub(super) had_outage: bool,
}

/// Everything that is known about some runs on one store.
#[derive(Default)]
pub(super) struct Ledger {
    emissions: BTreeMap<String, Emission>,
    /// The events of each ordering key, in the order of their emits.
    keys: BTreeMap<String, Vec<String>>,
    /// Deliveries that somebody tried to cancel, and whether the cancel is known to be done.
    cancels: HashMap<String, bool>,
    replays: HashSet<String>,
    claims: BTreeMap<(String, u64), Claimed>,
    /// The time at which a claim's settlement began.
    settling: HashMap<(String, u64), i64>,
    settled: Vec<Settled>,
    killed: Vec<String>,
    /// The number of children that were killed before they had opened the store.
    killed_early: usize,
    /// The number of successful attempts that were not logged because of a kill.
    lost: usize,
    /// The number of runs that lost their database, and of the calls that failed because of it.
    outages: usize,
    failed: usize,
    receptions: Vec<Reception>,
    faults: Vec<String>,
}

struct Emission {
    kind: Kind,
    digest: String,
    is_done: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Order,
    /// An order whose transaction is rolled back.
    GivenUp,
}

/// A reported claim. Times here are in microseconds.
struct Claimed {
    begun: i64,
    ended: i64,
}

struct Settled {
    delivery: String,
    lease: u64,
    attempt: u32,
    is_success: bool,
    told: Tale,
}

#[derive(Clone, Copy, PartialEq)]
enum Tale {
    Done,
    Stale,
    /// The call failed.
    Unknown,
}

/// A delivery as it is in the store at the end.
struct Ended {
    delivery: Delivery,
    attempts: Vec<Attempt>,
}

/// The deliveries of one event to one endpoint, oldest first.
type Ends = BTreeMap<(&'static str, String), Vec<Ended>>;

impl Ledger {
    pub(super) fn read(runs: &[Run], receptions: Vec<Reception>) -> Self {
        let mut ledger = Self { receptions, ..Self::default() };
        for run in runs {
            for line in &run.lines {
                ledger.enter(run, line);
            }
            ledger.outages += usize::from(run.had_outage);
            if run.was_killed {
                ledger.killed_early += usize::from(!run.lines.iter().any(|line| line == "opened"));
                ledger.killed.push(run.name.clone());
            }
        }
        ledger
    }

    fn enter(&mut self, run: &Run, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["opening" | "opened"] => {}
            ["trying_to", "cancel", delivery] => {
                self.cancels.entry(delivery.to_owned()).or_default();
            }
            ["cancelled", delivery] => {
                self.cancels.insert(delivery.to_owned(), true);
            }
            ["trying_to", "replay", delivery] => {
                self.replays.insert(delivery.to_owned());
            }
            ["trying_to", what, event, digest, key] => {
                let kind = match what {
                    "emit" => Kind::Plain,
                    "order" => Kind::Order,
                    "give_up" => Kind::GivenUp,
                    other => panic!("unknown kind of event {other}"),
                };
                let emission = Emission { kind, digest: digest.to_owned(), is_done: false };
                self.emissions.insert(event.to_owned(), emission);
                if key != "-" {
                    self.keys.entry(key.to_owned()).or_default().push(event.to_owned());
                }
            }
            ["accepted" | "committed" | "given_up", event] => {
                self.emissions.get_mut(event).unwrap().is_done = true;
            }
            ["claimed", delivery, lease, begun, ended] => {
                let claimed = Claimed { begun: begun.parse().unwrap(), ended: ended.parse().unwrap() };
                let known = self.claims.insert((delivery.to_owned(), lease.parse().unwrap()), claimed);
                if known.is_some() {
                    self.fault(format!("{delivery} was claimed twice under lease {lease}"));
                }
            }
            ["settling", delivery, lease, at] => {
                let key = (delivery.to_owned(), lease.parse().unwrap());
                self.settling.entry(key).or_insert_with(|| at.parse().unwrap());
            }
            ["settled", delivery, lease, attempt, outcome, told] => {
                let told = match told {
                    "done" => Tale::Done,
                    "stale" => Tale::Stale,
                    _ => Tale::Unknown,
                };
                self.settled.push(Settled {
                    delivery: delivery.to_owned(),
                    lease: lease.parse().unwrap(),
                    attempt: attempt.parse().unwrap(),
                    is_success: outcome == "success",
                    told,
                });
            }
            // The result of this call is unknown.
            ["failed", ..] if run.had_outage => self.failed += 1,
            _ => self.fault(format!("{} said: {line}", run.name)),
        }
    }

    /// Finds all contradictions and prints a summary.
    pub(super) async fn prove<S: Shop>(mut self, url: &str, seed: u64, lease: Duration) {
        let shop = S::open(url).await.unwrap();
        shop.check().await;
        let ends = ends(shop.store()).await;
        self.leases_are_never_shared(lease);
        self.what_arrived_was_emitted_so();
        self.what_was_accepted_is_there(&ends);
        self.orders_and_their_events_are_there_together(&ends, shop.orders().await);
        self.everything_ended_for_a_reason(&ends);
        self.what_was_settled_is_written_once(&ends);
        self.what_arrived_again_was_in_flight_or_refused(&ends);
        self.what_shares_a_key_arrived_in_order(&ends);

        let arrived: HashSet<_> =
            self.receptions.iter().map(|reception| (&reception.path, &reception.event)).collect();
        let refused = self.receptions.iter().filter(|reception| !reception.is_taken).count();
        let stale = self.settled.iter().filter(|settled| settled.told == Tale::Stale).count();
        let doubtful = self.emissions.values().filter(|emission| !emission.is_done).count();
        println!(
            "{}, seed {seed}: {} kills ({} before the store was open), {} outages ({} calls failed), {} events ({doubtful} in doubt), {} deliveries, \
             {} requests: {} duplicates ({refused} requests were answered badly, {} were in flight at a kill, \
             {stale} came too late for their leases)",
            S::NAME,
            self.killed.len(),
            self.killed_early,
            self.outages,
            self.failed,
            self.emissions.len(),
            ends.values().map(Vec::len).sum::<usize>(),
            self.receptions.len(),
            self.receptions.len() - arrived.len(),
            self.lost,
        );
        let told: Vec<_> = self.faults.iter().take(20).map(String::as_str).collect();
        let count = self.faults.len();
        assert!(count == 0, "HOOKWIRE_SEED={seed}: {count} faults, such as\n{}", told.join("\n"));
    }

    fn leases_are_never_shared(&mut self, lease: Duration) {
        let lease = i64::try_from(lease.as_micros()).unwrap();
        let mut faults = Vec::new();
        let mut last: Option<(&(String, u64), &Claimed)> = None;
        for (key, claimed) in &self.claims {
            if let Some((before, was)) = last.filter(|(before, _)| before.0 == key.0) {
                // If the earlier claim was settled by then, or may have been, anybody may claim again.
                let is_free = self.settling.get(before).is_some_and(|at| *at <= claimed.ended);
                if !is_free && claimed.ended < was.begun + lease {
                    let after = claimed.ended - was.begun;
                    faults.push(format!("{} was claimed again {after} us after {}", key.0, before.1));
                }
            }
            last = Some((key, claimed));
        }
        self.faults.append(&mut faults);
    }

    fn what_arrived_was_emitted_so(&mut self) {
        let mut faults = Vec::new();
        for Reception { path, event, digest, sender, .. } in &self.receptions {
            match self.emissions.get(event) {
                None => faults.push(format!("{path} got {event}, which nobody emitted")),
                Some(emission) if emission.kind == Kind::GivenUp => {
                    faults
                        .push(format!("{path} got {event} from {sender}, whose transaction was rolled back"));
                }
                Some(emission) if emission.digest != *digest => {
                    faults
                        .push(format!("{path} got {event} from {sender} with other bytes than were emitted"));
                }
                Some(_) => {}
            }
        }
        self.faults.append(&mut faults);
    }

    fn what_was_accepted_is_there(&mut self, ends: &Ends) {
        let mut faults = Vec::new();
        for (event, emission) in &self.emissions {
            let to = ENDPOINTS.iter().filter(|(_, path)| ends.contains_key(&(*path, event.clone()))).count();
            let is_right = match emission.kind {
                Kind::GivenUp => to == 0,
                _ if emission.is_done => to == ENDPOINTS.len(),
                // The result of the emit is unknown, so all endpoints or none.
                _ => to == 0 || to == ENDPOINTS.len(),
            };
            if !is_right {
                let known = if emission.is_done { "known" } else { "in doubt" };
                faults.push(format!("{event}, which is {known}, goes to {to} endpoints"));
            }
        }
        self.faults.append(&mut faults);
    }

    fn orders_and_their_events_are_there_together(&mut self, ends: &Ends, orders: Vec<String>) {
        let orders: HashSet<_> = orders.into_iter().collect();
        let (_, path) = ENDPOINTS[0];
        for (event, emission) in &self.emissions {
            let is_there = ends.contains_key(&(path, event.clone()));
            if emission.kind != Kind::Plain && orders.contains(event) != is_there {
                let which = if is_there { "an event and no row" } else { "a row and no event" };
                self.faults.push(format!("order {event} has {which}"));
            }
        }
    }

    /// Checks the reason of each end: delivered after an accepted request; dead after all attempts, a cancel
    /// or a replay.
    fn everything_ended_for_a_reason(&mut self, ends: &Ends) {
        let mut taken: HashMap<(&str, &str), usize> = HashMap::new();
        for reception in self.receptions.iter().filter(|reception| reception.is_taken) {
            *taken.entry((&reception.path, &reception.event)).or_default() += 1;
        }
        for ((path, event), ends) in ends {
            let taken = taken.get(&(*path, event.as_str())).copied().unwrap_or(0);
            for (at, Ended { delivery, attempts }) in ends.iter().enumerate() {
                let id = delivery.id.to_string();
                let successes = attempts.iter().filter(|attempt| is_success(attempt)).count();
                let is_cancelled = self.cancels.get(&id);
                let is_right = match delivery.state {
                    DeliveryState::Delivered => {
                        taken > 0 && successes == 1 && attempts.last().is_some_and(is_success)
                    }
                    DeliveryState::Dead(DeadReason::Exhausted) => {
                        attempts.len() == ATTEMPTS && successes == 0
                    }
                    DeliveryState::Dead(DeadReason::Cancelled) => is_cancelled.is_some() && successes == 0,
                    DeliveryState::Dead(DeadReason::Replayed) => at + 1 < ends.len() && successes == 0,
                    _ => false,
                };
                let is_kept = is_cancelled != Some(&true)
                    || matches!(
                        delivery.state,
                        DeliveryState::Dead(DeadReason::Cancelled | DeadReason::Replayed)
                    );
                if !is_right || !is_kept {
                    self.faults.push(format!(
                        "{id} of {event} to {path} is {} after {} attempts, taken {taken} times",
                        delivery.state.as_str(),
                        attempts.len()
                    ));
                }
            }
            let is_replayed = ends.iter().any(|end| {
                end.delivery.state == DeliveryState::Dead(DeadReason::Replayed)
                    || self.replays.contains(&end.delivery.id.to_string())
            });
            if ends.len() > 1 && !is_replayed {
                self.faults.push(format!("{event} has {} deliveries to {path}", ends.len()));
            }
        }
    }

    fn what_was_settled_is_written_once(&mut self, ends: &Ends) {
        let mut written = HashMap::new();
        for Ended { delivery, attempts } in ends.values().flatten() {
            let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
            if numbers != (1..=delivery.attempts).collect::<Vec<_>>() {
                let (id, counted) = (delivery.id, delivery.attempts);
                self.faults.push(format!("{id} has attempts {numbers:?} and counted {counted}"));
            }
            let id = delivery.id.to_string();
            written
                .extend(attempts.iter().map(|attempt| ((id.clone(), attempt.number), is_success(attempt))));
        }
        let mut done = HashSet::new();
        for settled in self.settled.iter().filter(|settled| settled.told == Tale::Done) {
            let Settled { delivery, lease, attempt, is_success, .. } = settled;
            if !done.insert((delivery, lease)) {
                self.faults.push(format!("{delivery} was settled twice under lease {lease}"));
            }
            if written.get(&(delivery.clone(), *attempt)) != Some(is_success) {
                self.faults
                    .push(format!("attempt {attempt} of {delivery} was told as settled and is not so"));
            }
        }
    }

    /// Checks each accepted request whose success is not in the log: it was in flight when its process was
    /// killed, or its lease had expired.
    fn what_arrived_again_was_in_flight_or_refused(&mut self, ends: &Ends) {
        let mut unsettled: HashMap<&str, usize> = HashMap::new();
        for settled in &self.settled {
            if settled.is_success && settled.told != Tale::Done {
                *unsettled.entry(&settled.delivery).or_default() += 1;
            }
        }
        let mut taken: HashMap<(&str, &str), Vec<&str>> = HashMap::new();
        for Reception { path, event, sender, .. } in self.receptions.iter().filter(|got| got.is_taken) {
            taken.entry((path, event)).or_default().push(sender);
        }
        let mut faults = Vec::new();
        for ((path, event), ends) in ends {
            let senders = taken.remove(&(*path, event.as_str())).unwrap_or_default();
            let attempts = ends.iter().flat_map(|end| &end.attempts);
            let logged = attempts.filter(|attempt| is_success(attempt)).count();
            let told = ends.iter().filter_map(|end| unsettled.get(end.delivery.id.to_string().as_str()));
            let unlogged = senders.len().saturating_sub(logged + told.sum::<usize>());
            let killed: HashSet<_> =
                senders.iter().filter(|sender| self.killed.iter().any(|name| name == *sender)).collect();
            if logged > senders.len() || unlogged > killed.len() {
                faults.push(format!(
                    "{event} to {path} is delivered {logged} times and was taken from {senders:?}"
                ));
            }
            self.lost += unlogged;
        }
        let in_flight = IN_FLIGHT + usize::try_from(BATCH).unwrap();
        let (lost, kills) = (self.lost, self.killed.len());
        if lost > kills * in_flight {
            faults
                .push(format!("{lost} attempts were lost by {kills} kills, with {in_flight} in flight each"));
        }
        self.faults.append(&mut faults);
    }

    fn what_shares_a_key_arrived_in_order(&mut self, ends: &Ends) {
        let mut faults = Vec::new();
        for (_, path) in ENDPOINTS {
            let mut arrived: HashMap<&str, (usize, usize)> = HashMap::new();
            for (at, reception) in self.receptions.iter().enumerate().filter(|(_, got)| got.path == path) {
                arrived.entry(&reception.event).or_insert((at, at)).1 = at;
            }
            for (key, events) in &self.keys {
                let mut before: Option<(&str, usize)> = None;
                for event in events {
                    let Some([only]) = ends.get(&(path, event.clone())).map(Vec::as_slice) else { continue };
                    // The order of a cancelled delivery is not guaranteed.
                    if self.cancels.contains_key(&only.delivery.id.to_string()) {
                        continue;
                    }
                    let Some(&(first, last)) = arrived.get(event.as_str()) else { continue };
                    if let Some((earlier, at)) = before.filter(|(_, at)| *at > first) {
                        faults.push(format!("{event} of {key} came to {path} as {first}, {earlier} as {at}"));
                    }
                    // A stopped process may send a claimed delivery at any time after it continues.
                    before = Some((event, if self.killed.is_empty() { first } else { last }));
                }
            }
        }
        self.faults.append(&mut faults);
    }

    fn fault(&mut self, text: String) {
        self.faults.push(text);
    }
}

async fn ends(store: &impl Records) -> Ends {
    let mut ends = Ends::new();
    for (subscription, path) in ENDPOINTS {
        for delivery in deliveries(store, ORGANIZATION, subscription).await {
            let attempts = store.list_attempts(delivery.id).await.unwrap();
            let event = delivery.event.to_string();
            ends.entry((path, event)).or_default().push(Ended { delivery, attempts });
        }
    }
    for ends in ends.values_mut() {
        ends.reverse();
    }
    ends
}

fn is_success(attempt: &Attempt) -> bool {
    attempt.outcome.status().is_some_and(|status| status.is_success())
}

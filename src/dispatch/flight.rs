//! [`Flight`]: attempts under way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::dispatch::attempt::{Ended, Sender};
use crate::dispatch::clock::SharedClock;
use crate::dispatch::crew::Crew;
use crate::dispatch::lanes::Lanes;
use crate::id::{DeliveryId, SubscriptionId};
use crate::id_hash::IdHash;
use crate::store::{Claimed, Lease};

/// Attempts under way, and those that ended and are not settled yet. Dropped, it gives the room of the former back.
pub(super) struct Flight<'a> {
    lanes: &'a Mutex<Lanes>,
    pub(super) crew: Crew,
    /// What is under way. A delivery whose lease ended too early may be so twice, under two leases.
    pub(super) leases: HashSet<Leased, IdHash>,
    pub(super) ended: Vec<Ended>,
    /// Those of them that are being settled.
    pub(super) settling: Arc<Vec<Ended>>,
    /// Whether the store refused the last settlement.
    pub(super) is_refused: bool,
    /// Subscriptions of attempts that panicked: they have left room behind.
    pub(super) lost: Vec<SubscriptionId>,
}

/// What an attempt under way was leased as.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(super) struct Leased {
    pub(super) delivery: DeliveryId,
    pub(super) lease: Lease,
    pub(super) subscription: SubscriptionId,
}

impl Leased {
    pub(super) fn of(claimed: &Claimed) -> Self {
        Self { delivery: claimed.delivery, lease: claimed.lease, subscription: claimed.subscription.id }
    }
}

impl<'a> Flight<'a> {
    pub(super) fn of(lanes: &'a Mutex<Lanes>, sender: &Arc<Sender>, clock: &SharedClock) -> Self {
        Self {
            lanes,
            crew: Crew::new(sender, clock),
            leases: HashSet::default(),
            ended: Vec::new(),
            settling: Arc::default(),
            is_refused: false,
            lost: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.leases.len() + self.ended.len() + self.settling.len()
    }

    /// What is to be settled now. It stays in here until it is [settled](Self::settled), for its settlement may be given up.
    pub(super) fn settle(&mut self) -> Arc<Vec<Ended>> {
        self.unsettled();
        // As many will have ended by the next time.
        let next = Vec::with_capacity(self.ended.len());
        self.settling = Arc::new(std::mem::replace(&mut self.ended, next));
        Arc::clone(&self.settling)
    }

    /// What was being settled is, whoever else still holds it.
    pub(super) fn settled(&mut self) -> Arc<Vec<Ended>> {
        std::mem::take(&mut self.settling)
    }

    /// What was being settled is not, and waits as before.
    pub(super) fn unsettled(&mut self) {
        if self.settling.is_empty() {
            return;
        }
        let settling = Arc::try_unwrap(self.settled()).expect("invariant: whoever was to settle it is gone");
        // First as it was first.
        let since = std::mem::replace(&mut self.ended, settling);
        self.ended.extend(since);
    }

    pub(super) fn begin(&mut self, claimed: Claimed) {
        self.leases.insert(Leased::of(&claimed));
        self.crew.give(claimed);
    }

    /// An attempt ended, if only by not being made: its lane has room again, and it waits to be settled.
    pub(super) fn land(&mut self, mut ended: Ended) {
        ended.leave(&mut self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        self.ended.push(ended);
    }

    /// What is leased, in an order that does not change from run to run.
    pub(super) fn leased(&self) -> Vec<Leased> {
        let mut leased: Vec<_> = self.leases.iter().copied().collect();
        leased.sort_unstable_by_key(|leased| (leased.delivery, leased.lease));
        leased
    }

    /// Gathers what has ended by now, so that it is settled together. An attempt that panicked has no lease here any longer: it is
    /// due again when that ends.
    pub(super) fn gather(&mut self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for (leased, ended) in self.crew.gather() {
            self.leases.remove(&leased);
            match ended {
                Some(mut ended) => {
                    ended.leave(&mut lanes);
                    self.ended.push(ended);
                }
                None => self.lost.push(leased.subscription),
            }
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let under_way = self.leases.iter().map(|leased| leased.subscription);
        leave(self.lanes, under_way.chain(self.lost.iter().copied()));
    }
}

/// Room that a step's attempts have taken, given back unless they ended.
pub(super) struct Room<'a> {
    lanes: &'a Mutex<Lanes>,
    taken: Vec<SubscriptionId>,
}

impl<'a> Room<'a> {
    pub(super) fn of(lanes: &'a Mutex<Lanes>, claimed: &[Claimed]) -> Self {
        Self { lanes, taken: claimed.iter().map(|claimed| claimed.subscription.id).collect() }
    }

    pub(super) fn ended(mut self) {
        self.taken.clear();
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        leave(self.lanes, self.taken.drain(..));
    }
}

fn leave(lanes: &Mutex<Lanes>, ids: impl Iterator<Item = SubscriptionId>) {
    let mut lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner);
    ids.for_each(|id| lanes.left(id));
}

//! [`FairQueue`]: lanes that may claim, the next one first.

use std::collections::{BTreeSet, HashMap};

use super::class::{Class, Group};
use super::organizations::OrganizationId;
use crate::id::SubscriptionId;
use crate::id_hash::IdHash;

/// Lanes that may claim, by class. The first one is of the organization that holds the fewest slots of the
/// class's group, and has itself the fewest; of equals, it has waited longest for its turn.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    organizations: HashMap<OrganizationId, Organization, IdHash>,
    /// The organizations that have lanes of a class, by the slots that they hold and their turns.
    order: [BTreeSet<(u32, u64, OrganizationId)>; Class::COUNT],
    turns: u64,
}

#[derive(Debug, Default)]
struct Organization {
    held: [u32; Group::COUNT],
    queues: [Queue; Class::COUNT],
}

/// The lanes of one organization and class, by the slots that they hold and their turns.
#[derive(Debug, Default)]
struct Queue {
    lanes: BTreeSet<(u32, u64, SubscriptionId)>,
    turn: u64,
}

/// A lane in the queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) organization: OrganizationId,
    pub(super) class: Class,
    pub(super) held: u32,
    pub(super) turn: u64,
    pub(super) id: SubscriptionId,
}

/// The first lane of a class. The least of several is served first.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) organization_held: u32,
    pub(super) organization_turn: u64,
    pub(super) entry: Entry,
}

impl FairQueue {
    /// A turn after all others.
    pub(super) fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    pub(super) fn enter(&mut self, entry: Entry) {
        let class = entry.class;
        let turn = self.next_turn();
        let organization = self.organizations.entry(entry.organization).or_default();
        let queue = &mut organization.queues[class as usize];
        if queue.lanes.is_empty() {
            // An organization that had nothing to claim is not served before those that waited.
            queue.turn = turn;
            let held = organization.held[class.group() as usize];
            self.order[class as usize].insert((held, turn, entry.organization));
        }
        queue.lanes.insert((entry.held, entry.turn, entry.id));
    }

    pub(super) fn leave(&mut self, entry: &Entry) {
        let Some(organization) = self.organizations.get_mut(&entry.organization) else { return };
        let queue = &mut organization.queues[entry.class as usize];
        queue.lanes.remove(&(entry.held, entry.turn, entry.id));
        if queue.lanes.is_empty() {
            let held = organization.held[entry.class.group() as usize];
            self.order[entry.class as usize].remove(&(held, queue.turn, entry.organization));
            self.forget(entry.organization);
        }
    }

    pub(super) fn first(&self, class: Class) -> Option<First> {
        let (organization_held, organization_turn, organization) = *self.order[class as usize].first()?;
        let queue = &self.organizations.get(&organization)?.queues[class as usize];
        let (held, turn, id) = *queue.lanes.first()?;
        let entry = Entry { organization, class, held, turn, id };
        Some(First { organization_held, organization_turn, entry })
    }

    /// Puts an organization that was served behind others that hold as many slots.
    pub(super) fn served(&mut self, id: OrganizationId, class: Class) {
        let turn = self.next_turn();
        let Some(organization) = self.organizations.get_mut(&id) else { return };
        let (held, queue) =
            (organization.held[class.group() as usize], &mut organization.queues[class as usize]);
        if self.order[class as usize].remove(&(held, queue.turn, id)) {
            self.order[class as usize].insert((held, turn, id));
        }
        queue.turn = turn;
    }

    /// Takes note that an organization holds this many slots more.
    pub(super) fn take(&mut self, id: OrganizationId, group: Group, slots: u32) {
        if slots > 0 {
            self.hold(id, group, |held| held + slots);
        }
    }

    /// Takes note that an organization holds this many slots less.
    pub(super) fn give_back(&mut self, id: OrganizationId, group: Group, slots: u32) {
        if slots > 0 {
            self.hold(id, group, |held| held.saturating_sub(slots));
            self.forget(id);
        }
    }

    /// The slots of a group that an organization holds.
    pub(super) fn held(&self, id: OrganizationId, group: Group) -> u32 {
        self.organizations.get(&id).map_or(0, |organization| organization.held[group as usize])
    }

    fn hold(&mut self, id: OrganizationId, group: Group, change: impl FnOnce(u32) -> u32) {
        let organization = self.organizations.entry(id).or_default();
        let before = organization.held[group as usize];
        let after = change(before);
        organization.held[group as usize] = after;
        for class in group.classes() {
            let (order, turn) = (&mut self.order[*class as usize], organization.queues[*class as usize].turn);
            if order.remove(&(before, turn, id)) {
                order.insert((after, turn, id));
            }
        }
    }

    fn forget(&mut self, id: OrganizationId) {
        let is_idle = |organization: &Organization| {
            organization.held == [0; Group::COUNT]
                && organization.queues.iter().all(|queue| queue.lanes.is_empty())
        };
        if self.organizations.get(&id).is_some_and(is_idle) {
            self.organizations.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::scheduling::organizations::Organizations;

    fn entry(organization: OrganizationId, held: u32, turn: u64, id: u128) -> Entry {
        Entry { organization, class: Class::Fast, held, turn, id: SubscriptionId::from_u128(id) }
    }

    fn first(queue: &FairQueue) -> Option<u128> {
        queue.first(Class::Fast).map(|first| first.entry.id.as_u128())
    }

    #[test]
    fn the_organization_with_the_fewest_slots_is_first_and_there_the_subscription() {
        let (mut names, mut queue) = (Organizations::default(), FairQueue::default());
        let (large, small) = (names.join("large"), names.join("small"));
        queue.take(large, Group::Answering, 5);
        queue.take(small, Group::Answering, 4);
        queue.take(small, Group::Unanswering, 9);
        for (turn, id) in [(1, 10), (2, 11)] {
            queue.enter(entry(large, 0, turn, id));
        }
        for (held, turn, id) in [(3, 3, 20), (1, 5, 21), (1, 4, 22)] {
            queue.enter(entry(small, held, turn, id));
        }
        assert_eq!(first(&queue), Some(22));
        queue.leave(&entry(small, 1, 4, 22));
        assert_eq!(first(&queue), Some(21));
        queue.take(small, Group::Answering, 2);
        assert_eq!(first(&queue), Some(10), "now the other organization holds less");
        queue.give_back(small, Group::Answering, 1);
        queue.served(large, Class::Fast);
        assert_eq!(first(&queue), Some(21), "of equals, the one that was served longer ago");
    }

    #[test]
    fn organizations_without_lanes_and_slots_are_forgotten() {
        let (mut names, mut queue) = (Organizations::default(), FairQueue::default());
        let organization = names.join("org");
        queue.take(organization, Group::Answering, 1);
        queue.enter(entry(organization, 1, 1, 1));
        queue.leave(&entry(organization, 1, 1, 1));
        assert_eq!((first(&queue), queue.held(organization, Group::Answering)), (None, 1));
        queue.give_back(organization, Group::Answering, 1);
        assert!(queue.organizations.is_empty());
    }
}

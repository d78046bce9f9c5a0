//! [`Organizations`]: numbers for the names of organizations, which are compared often.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id_hash::IdHash;

/// The number of an organization.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct OrganizationId(u64);

/// Gives a number to each organization that has a lane. Lanes whose organization is not known share the
/// default number.
#[derive(Debug, Default)]
pub(super) struct Organizations {
    numbers: HashMap<Arc<str>, u64>,
    /// The name behind each number, and how many lanes have it.
    names: HashMap<u64, (Arc<str>, u32), IdHash>,
    last: u64,
}

impl Organizations {
    /// The number of an organization, for one more lane.
    pub(super) fn join(&mut self, name: &str) -> OrganizationId {
        if let Some(number) = self.numbers.get(name) {
            if let Some((_, lanes)) = self.names.get_mut(number) {
                *lanes += 1;
            }
            return OrganizationId(*number);
        }
        self.last += 1;
        let name: Arc<str> = name.into();
        self.numbers.insert(Arc::clone(&name), self.last);
        self.names.insert(self.last, (name, 1));
        OrganizationId(self.last)
    }

    /// Takes one lane from an organization, and forgets it with its last one.
    pub(super) fn leave(&mut self, OrganizationId(number): OrganizationId) {
        let Some((name, lanes)) = self.names.get_mut(&number) else { return };
        *lanes -= 1;
        if *lanes == 0 {
            self.numbers.remove(name);
            self.names.remove(&number);
        }
    }

    /// Whether this is the number of that organization.
    pub(super) fn is(&self, OrganizationId(number): OrganizationId, name: &str) -> bool {
        self.names.get(&number).is_some_and(|(own, _)| **own == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organization_keeps_its_number_until_its_last_lane_leaves() {
        let mut organizations = Organizations::default();
        let first = organizations.join("org_1");
        assert_eq!(organizations.join("org_1"), first);
        assert_ne!(organizations.join("org_2"), first);
        assert!(organizations.is(first, "org_1") && !organizations.is(first, "org_2"));
        organizations.leave(first);
        assert!(organizations.is(first, "org_1"));
        organizations.leave(first);
        assert!(organizations.numbers.len() == 1 && organizations.names.len() == 1);
        assert!(!organizations.is(OrganizationId::default(), "org_1"), "not known");
    }
}

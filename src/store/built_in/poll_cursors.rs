//! [`PollCursors`]: where the next poll of each set of contracts goes on.

use std::collections::BTreeMap;

use crate::id::SubscriptionId;

/// The last subscription that a poll listed when it had no room for all, for each set of contracts.
///
/// Dispatchers with other contracts share the store. With one cursor for all of them, the polls of one could
/// skip the same subscriptions of another each time.
#[derive(Debug, Default)]
pub(in crate::store) struct PollCursors(BTreeMap<Vec<String>, SubscriptionId>);

impl PollCursors {
    pub(in crate::store) fn last_listed(&self, contracts: &[String]) -> Option<SubscriptionId> {
        // Most polls list all.
        if self.0.is_empty() { None } else { self.0.get(&key(contracts)).copied() }
    }

    /// Lets the next poll of these contracts go on behind `last`, or begin with the first subscription.
    pub(in crate::store) fn set(&mut self, contracts: &[String], last: Option<SubscriptionId>) {
        match last {
            Some(last) => {
                let key = key(contracts);
                if self.0.len() >= MOST_SETS && !self.0.contains_key(&key) {
                    self.0.pop_first();
                }
                self.0.insert(key, last);
            }
            None if self.0.is_empty() => {}
            None => _ = self.0.remove(&key(contracts)),
        }
    }
}

fn key(contracts: &[String]) -> Vec<String> {
    let mut key = contracts.to_vec();
    key.sort_unstable();
    key.dedup();
    key
}

/// Far more sets than one process has dispatchers.
const MOST_SETS: usize = 1_000;

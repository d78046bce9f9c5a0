//! Stores that each break one rule, to test the checks.

use std::time::Duration;

use hookwire::store::implement::{Claim, Claims, Inserted, NewEvent, Settled, Settlement};
use hookwire::{MemoryStore, Store as _, StoreError};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Defect {
    /// Claims leased deliveries, as if the leases had ended.
    SharesLeases,
    /// Reports a settlement as written but drops it.
    ForgetsSettlements,
    /// Accepts an event but drops one of its deliveries.
    LosesDeliveries,
    /// Ignores ordering keys.
    ForgetsOrder,
}

impl Defect {
    pub(crate) const ALL: [Self; 4] =
        [Self::SharesLeases, Self::ForgetsSettlements, Self::LosesDeliveries, Self::ForgetsOrder];

    pub(crate) async fn insert(
        defect: Option<Self>,
        store: &MemoryStore,
        events: &[NewEvent],
    ) -> Result<Vec<Inserted>, StoreError> {
        let mut events = events.to_vec();
        for event in &mut events {
            match defect {
                Some(Self::LosesDeliveries) => drop(event.deliveries.pop()),
                Some(Self::ForgetsOrder) => event.ordering_key = None,
                _ => {}
            }
        }
        store.insert(&events).await
    }

    pub(crate) async fn claim(
        defect: Option<Self>,
        store: &MemoryStore,
        claim: &Claim,
    ) -> Result<Claims, StoreError> {
        match defect {
            Some(Self::SharesLeases) => {
                let mut short = claim.clone();
                short.lease = Duration::from_millis(1);
                store.claim(&short).await
            }
            _ => store.claim(claim).await,
        }
    }

    pub(crate) async fn settle(
        defect: Option<Self>,
        store: &MemoryStore,
        settlements: &[Settlement],
    ) -> Result<Vec<Settled>, StoreError> {
        match (defect, settlements) {
            (Some(Self::ForgetsSettlements), [rest @ .., _forgotten]) => {
                let mut settled = store.settle(rest).await?;
                settled.push(Settled::Done);
                Ok(settled)
            }
            _ => store.settle(settlements).await,
        }
    }
}

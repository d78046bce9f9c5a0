//! [`TestSender`]: sends test events, by the path of every attempt but without a delivery.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::address::AddressPolicy;
use crate::contract::Contract;
use crate::delivery::Attempt;
use crate::dispatch::attempt::Sender;
use crate::dispatch::clock::{AttemptTime, SharedClock};
use crate::dispatch::contracts::Contracts;
use crate::dispatch::erased::{ErasedClient, ErasedTokens};
use crate::dispatch::keys::Keys;
use crate::event::{EventId, EventType};
use crate::id::DeliveryId;
use crate::store::{DueDelivery, Lease, Leased};
use crate::subscription::{Subscription, TokenSource};
use crate::transport::HttpClient;

/// Sends test events, once it has a client. Nothing is claimed before, or settled afterwards.
#[derive(Default)]
pub(crate) struct TestSender {
    client: Option<Arc<dyn ErasedClient>>,
    tokens: Option<Arc<dyn ErasedTokens>>,
    /// Opens sealed secrets.
    pub(crate) keys: Keys,
}

impl TestSender {
    pub(crate) fn set_client(&mut self, client: impl HttpClient + 'static) {
        self.client = Some(Arc::new(client));
    }

    pub(crate) fn set_token_source(&mut self, tokens: impl TokenSource + 'static) {
        self.tokens = Some(Arc::new(tokens));
    }

    pub(crate) const fn has_client(&self) -> bool {
        self.client.is_some()
    }

    /// Carries out one attempt, and settles nothing. `None` where there is no client.
    pub(crate) async fn send(
        &self,
        contract: &Contract,
        addresses: &AddressPolicy,
        event: (EventId, EventType, Bytes),
        subscription: Arc<Subscription>,
        clock: &SharedClock,
    ) -> Option<Attempt> {
        let mut contracts = Contracts::new(contract.clone());
        contracts.set_limits(|limits| limits.addresses = addresses.clone());
        let sender = Sender {
            client: Arc::clone(self.client.as_ref()?),
            contracts,
            excerpt: EXCERPT,
            tokens: self.tokens.clone(),
            keys: self.keys.clone(),
            faults: Arc::default(),
            is_traced: false,
        };
        let (id, event_type, payload) = event;
        let (delivery, contract) = (DeliveryId::generate(), contract.id().clone());
        let due = DueDelivery::new(delivery, contract, id, event_type, payload, subscription);
        let claimed = Leased::new(due, Lease::new(1));
        let time = AttemptTime::Running(clock.clone());
        let terms = sender.contracts.of(claimed.contract.name())?;
        Some(sender.try_once(&claimed, terms, &time, &mut HeaderMap::new()).await.attempt)
    }
}

/// As many bytes of a response as a dispatcher keeps by default.
const EXCERPT: usize = 1024;

//! [`Probe`]: one attempt beside the queue, by the path that every attempt takes.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::address::AddressPolicy;
use crate::contract::Contract;
use crate::delivery::Attempt;
use crate::dispatch::attempt::Sender;
use crate::dispatch::clock::{AttemptTime, SharedClock};
use crate::dispatch::erased::{ErasedClient, ErasedTokens};
use crate::dispatch::sealing::Keys;
use crate::event::{EventId, EventType};
use crate::id::DeliveryId;
use crate::store::{Claimed, Lease};
use crate::subscription::{Subscription, TokenSource};
use crate::transport::{HttpClient, Limits};

/// Sends what is in no queue, once it has a client.
#[derive(Default)]
pub(crate) struct Probe {
    client: Option<Arc<dyn ErasedClient>>,
    tokens: Option<Arc<dyn ErasedTokens>>,
    keys: Keys,
}

impl Probe {
    pub(crate) fn set_client(&mut self, client: impl HttpClient + 'static) {
        self.client = Some(Arc::new(client));
    }

    pub(crate) fn set_token_source(&mut self, tokens: impl TokenSource + 'static) {
        self.tokens = Some(Arc::new(tokens));
    }

    /// What opens sealed secrets.
    #[cfg(feature = "keyring")]
    pub(crate) const fn keys_mut(&mut self) -> &mut Keys {
        &mut self.keys
    }

    pub(crate) const fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) const fn has_client(&self) -> bool {
        self.client.is_some()
    }

    /// Carries out one attempt, and settles nothing; `None` without a client.
    pub(crate) async fn send(
        &self,
        contract: &Contract,
        addresses: &AddressPolicy,
        event: (EventId, EventType, Bytes),
        subscription: Arc<Subscription>,
        clock: &SharedClock,
    ) -> Option<Attempt> {
        let mut limits = Limits::new(contract.timeout());
        limits.addresses = addresses.clone();
        let sender = Sender {
            client: Arc::clone(self.client.as_ref()?),
            contract: Arc::new(contract.clone()),
            limits,
            excerpt: EXCERPT,
            tokens: self.tokens.clone(),
            keys: self.keys.clone(),
        };
        let (id, event_type, payload) = event;
        let claimed =
            Claimed::new(DeliveryId::generate(), Lease::new(1), id, event_type, payload, subscription);
        let time = AttemptTime::Running(clock.clone());
        sender.attempt(claimed, &time, &mut HeaderMap::new()).await.settlement.attempt
    }
}

/// As many bytes of an answer as the dispatcher keeps unless told otherwise.
const EXCERPT: usize = 1024;

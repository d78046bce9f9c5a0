//! [`Outbox`]: puts an event and its deliveries into the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::dispatch::Wake;
use crate::dispatch::clock::SharedClock;
use crate::dispatch::routes::{Route, Routes};
use crate::error::{Error, ErrorKind};
use crate::event::{DataOf, Envelope, EventData, EventId};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{Inserted, NewEvent, Store, StoreError, TransactionalStore};
use crate::subscription::{Candidate, Subscription};

/// Puts an event and its deliveries into the store: one delivery for each subscription of the organization that asks for
/// it.
///
/// The envelope is encoded once; those bytes are stored, signed and sent. In a [`TransactionalStore`] the event can join
/// the caller's transaction with [`emit_in`](Self::emit_in), so that no event is without its business row and no row
/// without its event.
#[derive(Clone, Debug)]
pub struct Outbox<S> {
    store: S,
    contract: Contract,
    wake: Wake,
    clock: SharedClock,
    while_disabled: WhileDisabled,
    routes: Routes,
    max_payload: usize,
}

impl<S: Store> Outbox<S> {
    /// An outbox that writes envelopes as `contract` has them.
    pub fn new(store: S, contract: Contract) -> Self {
        Self {
            store,
            contract,
            wake: Wake::new(),
            clock: SharedClock::new(SystemClock),
            while_disabled: WhileDisabled::Keep,
            routes: Routes::new(Duration::ZERO),
            max_payload: DEFAULT_MAX_PAYLOAD,
        }
    }

    /// The same outbox, waking the dispatcher that listens to `wake`.
    pub fn with_wake(mut self, wake: &Wake) -> Self {
        self.wake = wake.clone();
        self
    }

    /// The same outbox, reading another clock: deliveries are due from its time on.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// The same outbox, doing this with events for endpoints that are disabled. The default keeps them.
    pub fn with_disabled(mut self, while_disabled: WhileDisabled) -> Self {
        self.while_disabled = while_disabled;
        self
    }

    /// The same outbox, refusing events whose encoded envelope is longer than this many bytes. The default is 1 MiB: few receivers
    /// take more, and every attempt holds a payload in memory.
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// The same outbox, asking the store for an organization's subscriptions once in `age` instead of anew for every event (or for
    /// several events of one moment together).
    ///
    /// It saves a query for each event. For up to `age` an event may miss a subscription that was just made, or go by the filter
    /// that one had before; to one that was deleted, or whose making was rolled back, nothing is sent in any case. [`forget`](Self::forget) ends that early. The
    /// default is to ask every time.
    pub fn with_subscriptions_kept_for(mut self, age: Duration) -> Self {
        self.routes = Routes::new(age);
        self
    }

    /// Has the next event of this organization ask the store for its subscriptions, after one was written: by this outbox and its
    /// clones.
    pub fn forget(&self, organization: &str) {
        self.routes.forget(organization);
    }

    /// Writes the event down in a transaction of its own and wakes the dispatcher.
    ///
    /// When this returns, the event is stored and will be delivered. It can be repeated safely: the same envelope is a
    /// duplicate and changes nothing.
    ///
    /// # Errors
    ///
    /// [`EmitError`] tells an envelope that cannot be written from a store that cannot be reached and from an id that the
    /// organization has used for another event.
    pub async fn emit<T: EventData>(
        &self,
        organization: &str,
        envelope: &Envelope<T>,
    ) -> Result<Emitted, EmitError> {
        self.emit_with(organization, envelope, Routing::new()).await
    }

    /// [`emit`](Self::emit) with an ordering key or attributes.
    ///
    /// # Errors
    ///
    /// As for [`emit`](Self::emit).
    pub async fn emit_with<T: EventData>(
        &self,
        organization: &str,
        envelope: &Envelope<T>,
        routing: Routing,
    ) -> Result<Emitted, EmitError> {
        let mut event = self.new_event(organization, envelope, routing)?;
        let routes = match self.routes.find(organization) {
            Some(routes) => routes,
            None => {
                let ask = || async {
                    let asked_at = Instant::now();
                    let subscriptions = self.store.subscriptions(organization).await?;
                    Ok(self.learn(organization, asked_at, &subscriptions))
                };
                self.routes.ask(organization, ask).await?
            }
        };
        event.deliveries = self.fan_out(&event, &routes);
        let inserted = self.store.insert(std::slice::from_ref(&event)).await?;
        let emitted = self.emitted(event, &inserted)?;
        emitted.wake();
        Ok(emitted)
    }

    /// Writes the event down in the caller's transaction. Nobody is woken: call [`Emitted::wake`] after the commit.
    ///
    /// # Errors
    ///
    /// As for [`emit`](Self::emit). After a [`StoreError`] the database may have ended the transaction.
    pub async fn emit_in<T: EventData>(
        &self,
        connection: &mut S::Connection,
        organization: &str,
        envelope: &Envelope<T>,
    ) -> Result<Emitted, EmitError>
    where
        S: TransactionalStore,
    {
        self.emit_in_with(connection, organization, envelope, Routing::new()).await
    }

    /// [`emit_in`](Self::emit_in) with an ordering key or attributes.
    ///
    /// # Errors
    ///
    /// As for [`emit_in`](Self::emit_in).
    pub async fn emit_in_with<T: EventData>(
        &self,
        connection: &mut S::Connection,
        organization: &str,
        envelope: &Envelope<T>,
        routing: Routing,
    ) -> Result<Emitted, EmitError>
    where
        S: TransactionalStore,
    {
        let mut event = self.new_event(organization, envelope, routing)?;
        let routes = match self.routes.find(organization) {
            Some(routes) => routes,
            None => {
                let asked_at = Instant::now();
                // By the same connection: the transaction may hold the pool's last one, and would wait for itself.
                self.learn(
                    organization,
                    asked_at,
                    &self.store.subscriptions_in(connection, organization).await?,
                )
            }
        };
        event.deliveries = self.fan_out(&event, &routes);
        let inserted = self.store.insert_in(connection, std::slice::from_ref(&event)).await?;
        self.emitted(event, &inserted)
    }

    fn new_event<T: EventData>(
        &self,
        organization: &str,
        envelope: &Envelope<T>,
        routing: Routing,
    ) -> Result<NewEvent, EmitError> {
        let payload = self.contract.encode(envelope).map_err(EmitError::Envelope)?;
        if payload.len() > self.max_payload {
            return Err(EmitError::TooLarge { len: payload.len(), limit: self.max_payload });
        }
        let event_type = envelope.event_type().parse().map_err(EmitError::Envelope)?;
        let mut event =
            NewEvent::new(organization, envelope.id.clone(), event_type, self.clock.now(), payload);
        event.ordering_key = routing.ordering_key;
        event.attributes = routing.attributes;
        if event.ordering_key.is_none() && !self.contract.ordering().is_empty() {
            let data = serde_json::value::to_raw_value(&DataOf(&envelope.data)).map_err(|source| {
                let error = Error::new(ErrorKind::Encode, "event data cannot be written as JSON");
                EmitError::Envelope(error.with_source(source))
            })?;
            event.ordering_key = self.contract.ordering_key(envelope.event_type(), &data);
        }
        Ok(event)
    }

    fn learn(&self, organization: &str, asked_at: Instant, subscriptions: &[Subscription]) -> Arc<[Route]> {
        let routes: Arc<[Route]> = subscriptions.iter().map(Route::of).collect();
        self.routes.keep(organization, &routes, asked_at);
        routes
    }

    /// One delivery for each subscription that asks for the event.
    fn fan_out(&self, event: &NewEvent, routes: &[Route]) -> Vec<(DeliveryId, SubscriptionId)> {
        let kept = |route: &&Route| self.while_disabled == WhileDisabled::Keep || route.is_enabled;
        let judged =
            Candidate::new(&self.contract, event.event_type.as_str(), &event.payload, &event.attributes);
        let wanted = |route: &&Route| route.wants(&judged);
        let targets = routes.iter().filter(kept).filter(wanted).map(|route| route.subscription);
        let targets: Vec<_> = targets.collect();
        DeliveryId::generate_all(targets.len()).zip(targets).collect()
    }

    fn emitted(&self, event: NewEvent, inserted: &[Inserted]) -> Result<Emitted, EmitError> {
        let duplicate = match inserted {
            [Inserted::New] => false,
            [Inserted::Duplicate] => true,
            _ => return Err(EmitError::Conflict { id: event.id }),
        };
        let made = if duplicate { Vec::new() } else { event.deliveries };
        Ok(Emitted { id: event.id, deliveries: made.len(), duplicate, made, wake: self.wake.clone() })
    }
}

/// What guides an event besides its type.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Routing {
    /// Keeps the deliveries to one subscription in order with others of the same key. Nothing leaves it to the contract,
    /// which may find a key in the data ([`Contract::ordering_key`]).
    pub ordering_key: Option<String>,
    /// Names and values by which filters choose the event; never sent.
    pub attributes: BTreeMap<String, Vec<String>>,
}

impl Routing {
    /// No guidance.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same routing in order with other events of `key`.
    pub fn with_ordering_key(mut self, key: impl Into<String>) -> Self {
        self.ordering_key = Some(key.into());
        self
    }

    /// The same routing with one more value of the attribute `name`.
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.entry(name.into()).or_default().push(value.into());
        self
    }
}

/// What becomes of events for an endpoint while it is disabled.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum WhileDisabled {
    /// They wait, within retention, and are sent when the endpoint is enabled again.
    #[default]
    Keep,
    /// No delivery is made.
    Drop,
}

/// An event that was written down.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Emitted {
    /// The event's id.
    pub id: EventId,
    /// How many deliveries were made; none for a duplicate.
    pub deliveries: usize,
    /// Whether the same event had been written down before, so that nothing was changed.
    pub duplicate: bool,
    made: Vec<(DeliveryId, SubscriptionId)>,
    wake: Wake,
}

impl Emitted {
    /// Wakes the dispatcher: call it after the commit of the transaction that [`Outbox::emit_in`] joined.
    pub fn wake(&self) {
        if self.deliveries > 0 {
            self.wake.wake_for(self.made.iter().map(|(_, to)| *to));
        }
    }
}

/// Why an event was not written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The envelope cannot be written under the contract.
    #[error("event cannot be written as the contract has it")]
    Envelope(#[source] Error),
    /// The encoded envelope is longer than [`Outbox::with_max_payload`] allows.
    #[error("event takes {len} bytes, at most {limit} are allowed")]
    #[non_exhaustive]
    TooLarge {
        /// How many bytes it takes.
        len: usize,
        /// How many it may take.
        limit: usize,
    },
    /// The organization has another event of this id.
    #[error("event id `{id}` was used for another event of this organization, expected a fresh one")]
    #[non_exhaustive]
    Conflict {
        /// The id.
        id: EventId,
    },
    /// The store could not take it.
    #[error("event could not be stored")]
    Store(#[from] StoreError),
}

const DEFAULT_MAX_PAYLOAD: usize = 1024 * 1024;

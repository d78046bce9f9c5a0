//! [`Outbox`]: puts an event and its deliveries into the store.

use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::dispatch::Wake;
use crate::dispatch::clock::SharedClock;
use crate::error::Error;
use crate::event::{Envelope, EventData, EventId};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{Inserted, NewEvent, Store, StoreError, TransactionalStore};
use crate::subscription::Subscription;

/// Puts an event and its deliveries into the store: one delivery for each enabled subscription of the organization that
/// asks for the event's type.
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
}

impl<S: Store> Outbox<S> {
    /// An outbox that writes envelopes as `contract` has them.
    pub fn new(store: S, contract: Contract) -> Self {
        Self { store, contract, wake: Wake::new(), clock: SharedClock::new(SystemClock) }
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
        let mut event = self.event(organization, envelope)?;
        event.deliveries = fan_out(&event, &self.store.subscriptions(organization).await?);
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
        let mut event = self.event(organization, envelope)?;
        // By the same connection: the transaction may hold the pool's last one, and would wait for itself.
        event.deliveries = fan_out(&event, &self.store.subscriptions_in(connection, organization).await?);
        let inserted = self.store.insert_in(connection, std::slice::from_ref(&event)).await?;
        self.emitted(event, &inserted)
    }

    /// The event as it is stored, going nowhere yet.
    fn event<T: EventData>(&self, organization: &str, envelope: &Envelope<T>) -> Result<NewEvent, EmitError> {
        let payload = self.contract.encode(envelope).map_err(EmitError::Envelope)?;
        let event_type = envelope.event_type().parse().map_err(EmitError::Envelope)?;
        Ok(NewEvent::new(organization, envelope.id.clone(), event_type, self.clock.now(), payload))
    }

    fn emitted(&self, event: NewEvent, inserted: &[Inserted]) -> Result<Emitted, EmitError> {
        let duplicate = match inserted {
            [Inserted::New] => false,
            [Inserted::Duplicate] => true,
            _ => return Err(EmitError::Conflict { id: event.id }),
        };
        let deliveries = if duplicate { 0 } else { event.deliveries.len() };
        Ok(Emitted { id: event.id, deliveries, duplicate, wake: self.wake.clone() })
    }
}

/// One delivery for each subscription that asks for the event.
fn fan_out(event: &NewEvent, subscriptions: &[Subscription]) -> Vec<(DeliveryId, SubscriptionId)> {
    let wanted = subscriptions.iter().filter(|subscription| subscription.wants(event.event_type.as_str()));
    wanted.map(|subscription| (DeliveryId::generate(), subscription.id)).collect()
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
    wake: Wake,
}

impl Emitted {
    /// Wakes the dispatcher: call it after the commit of the transaction that [`Outbox::emit_in`] joined.
    pub fn wake(&self) {
        if self.deliveries > 0 {
            self.wake.wake();
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

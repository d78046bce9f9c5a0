//! Test events: a sample to an endpoint, now.

use std::sync::Arc;

use super::{ManageError, Service};
use crate::contract::Judgement;
use crate::delivery::Attempt;
use crate::event::{Envelope, EventId, EventKind, EventType, RawEvent};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{NewEvent, Records};
use crate::subscription::Subscription;

/// What came of a test event.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tested {
    /// The event's id.
    pub event: EventId,
    /// Its type.
    pub event_type: EventType,
    /// Its delivery, as it is listed.
    pub delivery: DeliveryId,
    /// What came of it: status or fault, timings, the beginning of the response.
    pub attempt: Attempt,
    /// Whether the contract takes that as delivered.
    pub is_delivered: bool,
}

impl<S: Records> Service<S> {
    /// Sends a sample of the type `event_type`, or of the first that the subscription asks for, and waits for what comes of it.
    ///
    /// It is signed, sent and judged as any delivery is, under the same limits and policy for addresses, and carries the header
    /// `webhook-test: true`. A disabled subscription takes it too. Event and delivery are listed as the others are, marked as a test;
    /// it is neither retried nor replayed, counts nothing against the endpoint, disables nothing, and is in no statistics.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for a type that the subscription does not ask for or that has no sample, and where the subscription's
    /// headers leave no room for the mark; [`ManageError::NoClient`], [`ManageError::NotFound`] and [`ManageError::Store`]. What comes
    /// of the attempt is no error.
    pub async fn send_test(
        &self,
        organization: &str,
        id: SubscriptionId,
        event_type: Option<&str>,
    ) -> Result<Tested, ManageError> {
        let mut subscription = self.find(organization, id).await?;
        let kind = self.sample_of(&subscription, event_type)?;
        let told = |error| ManageError::told("event_type", &error);
        let event = RawEvent::new(kind.name(), kind.sample()).map_err(told)?;
        let now = self.now();
        let whole = now.replace_nanosecond(u32::from(now.millisecond()) * 1_000_000).unwrap_or(now);
        let envelope = Envelope::from_parts(EventId::generate(), whole, event);
        let payload = self.contract.encode(&envelope).map_err(told)?;
        let event_type: EventType = kind.name().parse().map_err(told)?;
        subscription.options = subscription
            .options
            .with_header(NewEvent::TEST, "true")
            .map_err(|error| ManageError::told("headers", &error))?;
        let subscription = Arc::new(subscription);
        let mut tested =
            NewEvent::new(organization, envelope.id.clone(), event_type.clone(), now, payload.clone());
        tested.attributes.insert(NewEvent::TEST.to_owned(), vec!["true".to_owned()]);
        let delivery = DeliveryId::generate();
        let tested = tested.with_delivery(delivery, id);
        let sent = (envelope.id.clone(), event_type.clone(), payload);
        let attempt = self.probe.send(&self.contract, &self.addresses, sent, subscription, &self.clock).await;
        let attempt = attempt.ok_or(ManageError::NoClient)?;
        let is_delivered = self.contract.judge(&attempt.outcome) == Judgement::Success;
        let failed = (!is_delivered).then_some("a test event is not tried again");
        self.store.add_test(&tested, &attempt, failed).await?;
        Ok(Tested { event: envelope.id, event_type, delivery, attempt, is_delivered })
    }
    /// Whether a test event could be sent.
    #[cfg(feature = "axum")]
    pub(super) async fn check_test(
        &self,
        organization: &str,
        id: SubscriptionId,
        event_type: Option<&str>,
    ) -> Result<(), ManageError> {
        self.sample_of(&self.find(organization, id).await?, event_type).map(drop)
    }

    fn sample_of(
        &self,
        subscription: &Subscription,
        event_type: Option<&str>,
    ) -> Result<&'static EventKind, ManageError> {
        if !self.probe.has_client() {
            return Err(ManageError::NoClient);
        }
        let catalogue = self.contract.catalogue();
        let refused = |what: String| {
            let samples = catalogue.iter().filter(|kind| subscription.wants(kind.name()));
            let names: Vec<_> = samples.map(|kind| kind.name()).collect();
            ManageError::refused("event_type", what, format!("of these: {}", names.join(", ")))
        };
        match event_type {
            Some(name) => catalogue
                .find(name)
                .filter(|kind| subscription.wants(kind.name()))
                .ok_or_else(|| refused("the subscription asks for no such event with a sample".to_owned())),
            None => catalogue
                .iter()
                .find(|kind| subscription.wants(kind.name()))
                .ok_or_else(|| refused("the subscription asks for no event with a sample".to_owned())),
        }
    }
}

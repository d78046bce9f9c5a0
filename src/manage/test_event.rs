//! The call that sends a test event to an endpoint.

use std::sync::Arc;

use super::error::ManageError;
use super::service::Service;
use crate::contract::{Contract, Judgement};
use crate::delivery::Attempt;
use crate::dispatch::test_limits::TestPermit;
use crate::event::{Envelope, EventId, EventKind, EventType, RawEvent};
use crate::id::{DeliveryId, SubscriptionId};
use crate::store::{NewEvent, Records, Store, Subscriptions};
use crate::subscription::Subscription;

/// A test event that was sent, with the outcome.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tested {
    /// The event's id.
    pub event: EventId,
    /// Its type.
    pub event_type: EventType,
    /// The id of its delivery, as lists show it.
    pub delivery: DeliveryId,
    /// The attempt: status or fault, timings, the beginning of the response.
    pub attempt: Attempt,
    /// Whether the contract judges the attempt as delivered.
    pub is_delivered: bool,
}

/// A test event that may be sent.
pub(super) struct AdmittedTest {
    subscription: Subscription,
    kind: &'static EventKind,
    permit: TestPermit,
}

impl<S: Store + Subscriptions + Records> Service<S> {
    /// Sends a sample of the type `event_type`, or of the first type that the subscription asks for, and
    /// waits for the outcome.
    ///
    /// The event is signed, sent and judged like any delivery, under the same limits and address policy, and
    /// carries the header `webhook-test: true`. It is sent to a disabled subscription too. Lists show the
    /// event and its delivery, marked as a test. The delivery is neither retried nor replayed, does not count
    /// against the endpoint, and is in no statistics.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] for a type that the subscription does not ask for or that has no sample, and
    /// if the subscription's headers leave no room for the mark; [`ManageError::TooManyTests`] beyond
    /// [the limit](Service::with_test_limit) or the subscription's own cap and rate;
    /// [`ManageError::NoClient`], [`ManageError::NotFound`] and [`ManageError::Store`]. If an attempt fails,
    /// the call does not.
    pub async fn send_test(
        &self,
        organization: &str,
        id: SubscriptionId,
        event_type: Option<&str>,
    ) -> Result<Tested, ManageError> {
        self.send_admitted(self.admit_test(organization, id, event_type).await?).await
    }

    /// Checks whether a test event may be sent, and counts it from now on.
    pub(super) async fn admit_test(
        &self,
        organization: &str,
        id: SubscriptionId,
        event_type: Option<&str>,
    ) -> Result<AdmittedTest, ManageError> {
        let subscription = self.find(organization, id).await?;
        let kind = self.sample_of(self.terms_of(&subscription)?, &subscription, event_type)?;
        let permit = self.test_limits.admit(&subscription, self.now());
        let permit = permit.map_err(|retry_after| ManageError::TooManyTests { retry_after })?;
        Ok(AdmittedTest { subscription, kind, permit })
    }

    /// Sends a test event that was admitted.
    pub(super) async fn send_admitted(&self, admitted: AdmittedTest) -> Result<Tested, ManageError> {
        let AdmittedTest { mut subscription, kind, permit } = admitted;
        let contract = self.terms_of(&subscription)?;
        let (organization, id) = (subscription.organization.clone(), subscription.id);
        let unusable = |error| ManageError::unusable("event_type", &error);
        let event = RawEvent::new(kind.name(), kind.sample()).map_err(unusable)?;
        let now = self.now();
        let whole = now.replace_nanosecond(u32::from(now.millisecond()) * 1_000_000).unwrap_or(now);
        let envelope = Envelope::from_parts(EventId::generate(), whole, event);
        let payload = contract.encode(&envelope).map_err(unusable)?;
        let event_type: EventType = kind.name().parse().map_err(unusable)?;
        subscription.options = subscription
            .options
            .with_header(NewEvent::TEST, "true")
            .map_err(|error| ManageError::unusable("headers", &error))?;
        let subscription = Arc::new(subscription);
        let event = envelope.id.clone();
        let mut tested =
            NewEvent::new(&*organization, contract, event, event_type.clone(), payload.clone(), now);
        tested.attributes.insert(NewEvent::TEST.to_owned(), vec!["true".to_owned()]);
        let delivery = DeliveryId::generate();
        let tested = tested.with_delivery(delivery, id);
        let sent = (envelope.id.clone(), event_type.clone(), payload);
        let attempt = self.test_sender.send(contract, &self.addresses, sent, subscription, &self.clock).await;
        drop(permit);
        let attempt = attempt.ok_or(ManageError::NoClient)?;
        let is_delivered = contract.judge(&attempt.outcome) == Judgement::Success;
        let failed = (!is_delivered).then_some("a test event is not tried again");
        self.store.add_test(&tested, &attempt, failed).await?;
        Ok(Tested { event: envelope.id, event_type, delivery, attempt, is_delivered })
    }

    fn sample_of(
        &self,
        contract: &Contract,
        subscription: &Subscription,
        event_type: Option<&str>,
    ) -> Result<&'static EventKind, ManageError> {
        if !self.test_sender.has_client() {
            return Err(ManageError::NoClient);
        }
        let catalogue = contract.catalogue();
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

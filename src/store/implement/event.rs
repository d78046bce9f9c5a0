//! [`NewEvent`]: an event to be written; [`Inserted`]: the result of inserting it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use super::edition::Edition;
use super::leased::Leased;
use crate::bounds::{self, Excess};
use crate::contract::ContractId;
use crate::event::{EventId, EventType, TraceParent};
use crate::id::{DeliveryId, SubscriptionId};

/// An event to be written, with its payloads and its deliveries.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewEvent {
    /// The organization that it belongs to.
    pub organization: String,
    /// The contract that it is sent under, and the version of `payload`, which is the newest.
    pub contract: ContractId,
    /// The event's id, which is unique among the events of this organization and contract.
    pub id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// The caller's time at the insert. Its deliveries are due from then on.
    pub inserted_at: OffsetDateTime,
    /// The encoded envelope in the newest version: the bytes that are signed and sent.
    pub payload: Bytes,
    /// The encoded envelope in older versions, for subscriptions that speak those; none twice, nor the
    /// newest.
    pub older: Vec<NewPayload>,
    /// Its deliveries. Their subscriptions speak this contract.
    pub deliveries: Vec<NewDelivery>,
    /// The key that keeps its deliveries to one subscription in order with others of the same key.
    pub ordering_key: Option<String>,
    /// Names and values by which filters choose it; never sent.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The place in a trace that it comes from. It says nothing of whether two events are the same.
    pub trace: Option<TraceParent>,
    /// The edition of the organization's subscriptions that its deliveries were chosen from. `None` inserts
    /// them whatever the edition is.
    pub edition: Option<Edition>,
}

impl NewEvent {
    /// The attribute of a test event.
    pub const TEST: &str = "webhook-test";

    /// Makes an event without deliveries, whose `payload` is of the version that `contract` names.
    pub fn new(
        organization: impl Into<String>,
        contract: impl Into<ContractId>,
        id: EventId,
        event_type: EventType,
        payload: Bytes,
        inserted_at: OffsetDateTime,
    ) -> Self {
        Self {
            organization: organization.into(),
            contract: contract.into(),
            id,
            event_type,
            inserted_at,
            payload,
            older: Vec::new(),
            deliveries: Vec::new(),
            ordering_key: None,
            attributes: BTreeMap::new(),
            trace: None,
            edition: None,
        }
    }

    /// Adds the encoded envelope in an older version.
    pub fn with_older(mut self, payload: NewPayload) -> Self {
        self.older.push(payload);
        self
    }

    /// Sets the ordering key.
    pub fn with_ordering_key(mut self, key: impl Into<Option<String>>) -> Self {
        self.ordering_key = key.into();
        self
    }

    /// Checks the [bounds] of organization, ordering key and attributes. The outbox calls it before it
    /// inserts, and so do the stores of this crate.
    ///
    /// # Errors
    ///
    /// [`Excess`] with the first input that is out of its bounds.
    pub fn check(&self) -> Result<(), Excess> {
        Excess::of_bytes("organization", self.organization.len(), bounds::ORGANIZATION)?;
        let key = self.ordering_key.as_ref().map_or(0, String::len);
        Excess::of_bytes("ordering key", key, bounds::ORDERING_KEY)?;
        Excess::of("event", "attributes", self.attributes.len(), bounds::ATTRIBUTES)?;
        let values = || self.attributes.values().flatten();
        Excess::of("set of attributes", "values", values().count(), bounds::ATTRIBUTE_VALUES)?;
        let len = self.attributes.keys().chain(values()).map(String::len).sum();
        Excess::of_bytes("set of attributes", len, bounds::ATTRIBUTES_LEN)
    }

    /// Sets the place in a trace that it comes from.
    pub const fn with_trace(mut self, trace: Option<TraceParent>) -> Self {
        self.trace = trace;
        self
    }

    /// Sets the edition of the organization's subscriptions that its deliveries were chosen from.
    pub const fn with_edition(mut self, edition: Option<Edition>) -> Self {
        self.edition = edition;
        self
    }

    /// The payload that a delivery sends, and the contract in its version.
    pub fn payload_of(&self, delivery: &NewDelivery) -> (&ContractId, &Bytes) {
        let is_of = |payload: &&NewPayload| Some(payload.contract.version()) == delivery.version.as_deref();
        let older = self.older.iter().find(is_of).map(|older| (&older.contract, &older.bytes));
        older.unwrap_or((&self.contract, &self.payload))
    }

    /// The outcome of inserting this event beside `known`: a duplicate or a conflict where that has the same
    /// organization, contract and id, otherwise `None`.
    pub fn compare(&self, known: &Self) -> Option<InsertOutcome> {
        let is_same = self.id == known.id
            && self.contract.name() == known.contract.name()
            && self.organization == known.organization;
        let differs =
            |one: (&ContractId, &Bytes)| known.payloads().any(|two| one.0 == two.0 && one.1 != two.1);
        is_same.then(|| match self.payloads().any(differs) {
            true => InsertOutcome::Conflict,
            false => InsertOutcome::Duplicate,
        })
    }

    /// The payloads of all versions, each with the contract in its version, the newest first.
    pub fn payloads(&self) -> impl Iterator<Item = (&ContractId, &Bytes)> {
        let older = self.older.iter().map(|older| (&older.contract, &older.bytes));
        std::iter::once((&self.contract, &self.payload)).chain(older)
    }

    /// Adds a delivery of the newest payload, which is due at once.
    pub fn with_delivery(mut self, delivery: DeliveryId, subscription: SubscriptionId) -> Self {
        self.deliveries.push(NewDelivery::new(delivery, subscription));
        self
    }
}

/// An encoded envelope in an older version of its contract's data.
///
/// The SHA-256 digest of each payload outlives it: after the bytes were pruned or expunged, it still tells
/// whether an event that is inserted again is the same.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NewPayload {
    /// The event's contract in this version.
    pub contract: ContractId,
    /// The bytes that are signed and sent.
    pub bytes: Bytes,
}

impl NewPayload {
    /// Makes a payload of the version that `contract` names.
    pub fn new(contract: impl Into<ContractId>, bytes: Bytes) -> Self {
        Self { contract: contract.into(), bytes }
    }
}

/// A delivery to be written with its event.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NewDelivery {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The subscription that it goes to.
    pub subscription: SubscriptionId,
    /// The version of the payload that it sends; `None`, or one that the event does not have, for the newest.
    pub version: Option<String>,
    /// How long the insert leases it for, so that it is sent without a claim.
    ///
    /// The insert leases the row where it finds, in the statement that writes it, that the subscription is
    /// enabled and not paused, and that the event has no ordering key. The lease has the number 1 and ends on
    /// the store's clock. Otherwise, and with `None`, the row is inserted due. Where the subscription is what
    /// kept it from a lease, the number 1 is used up all the same, because a caller that does not hear the
    /// outcome hands back the lease of that number.
    pub lease: Option<Duration>,
}

impl NewDelivery {
    /// Makes a delivery of the event's newest payload, which is due at once.
    pub const fn new(id: DeliveryId, subscription: SubscriptionId) -> Self {
        Self { id, subscription, version: None, lease: None }
    }

    /// Sets the version of the payload that it sends.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets how long the insert leases it for.
    pub const fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }
}

/// The result of inserting one event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inserted {
    /// Whether the event was new.
    pub outcome: InsertOutcome,
    /// The deliveries that the insert leased, in the order of the event's, as a claim would read them: with
    /// the subscription's URL, secrets and options as they are stored now.
    pub leased: Vec<Leased>,
}

impl Inserted {
    /// Reports an event of which no delivery was leased.
    pub const fn new(outcome: InsertOutcome) -> Self {
        Self { outcome, leased: Vec::new() }
    }

    /// Adds the deliveries that the insert leased.
    pub fn with_leased(mut self, leased: Vec<Leased>) -> Self {
        self.leased = leased;
        self
    }
}

/// Compares the outcome alone.
impl PartialEq<InsertOutcome> for Inserted {
    fn eq(&self, outcome: &InsertOutcome) -> bool {
        self.outcome == *outcome
    }
}

/// Whether an event that was inserted is new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InsertOutcome {
    /// It was written.
    New,
    /// There is an event of this organization, contract and id already, and no payload differs from one that
    /// it has in the same version. Nothing was changed.
    Duplicate,
    /// There is an event of this organization, contract and id already, with another payload in the same
    /// version. Nothing was changed.
    Conflict,
    /// The organization's subscriptions have another [edition](NewEvent::edition) than the event's deliveries
    /// were chosen from. Nothing was changed. A store may report this of an event that is there already, too.
    Stale,
}

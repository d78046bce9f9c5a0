//! [`Records`]: reading and changing deliveries and events, for management.

use std::collections::BTreeMap;
use std::future::Future;

use bytes::Bytes;
use time::OffsetDateTime;

use super::StoreError;
use super::implement::NewEvent;
use super::page::{Cursor, Page};
use super::period::Period;
use super::statistics::{ContractBacklog, Statistics};
use crate::contract::ContractId;
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};

/// Reads and changes deliveries and events: for management, which delivering does not need.
///
/// `Arc<S>` and `&S` have this trait where `S` has it.
///
/// To ensure correctness:
///
/// - **Scope**: a call that names an organization answers as if the rows of others did not exist.
/// - **Pages** cost a page and not a walk, however much is stored. A list has no item twice and misses none
///   that was there when its first page was read and still is, whatever is written in between. Where a list
///   is narrowed by something without an index, a page reads [`Page::LOOKED_THROUGH`] deliveries and no more:
///   it may have fewer items than its limit, even none, and say where the next one begins.
/// - **Cancel** and **expunge** end deliveries that are being attempted too: their settlements are stale.
/// - **Replay** never makes a second pending delivery of one event to one subscription.
/// - **Versions**: a replay sends the version that the subscription speaks. Events that are not stored in it
///   are reported, and [`add_payloads`](Self::add_payloads) stores them.
/// - **Expunge** deletes the bytes of an event for good, and keeps its id and digest.
///
/// `records_conformance!` (feature `testing`) has a test for each rule but those on cost.
pub trait Records: Send + Sync {
    /// Reads a delivery.
    fn find_delivery(
        &self,
        organization: &str,
        id: DeliveryId,
    ) -> impl Future<Output = Result<Option<Delivery>, StoreError>> + Send;

    /// Lists the deliveries of a subscription that match `query`, newest first by their ids.
    fn list_deliveries(
        &self,
        organization: &str,
        query: &DeliveryQuery,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Delivery>, StoreError>> + Send;

    /// Lists the dead letters of an organization's subscriptions, newest first by their ids: dead deliveries
    /// that nobody cancelled, discarded or replayed. Those of a deleted subscription are not listed.
    ///
    /// A page costs one index lookup for each of the organization's subscriptions.
    fn list_dead_letters(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Delivery>, StoreError>> + Send;

    /// Takes a dead letter from the list and notes why; no replay of many makes it again. Returns `false`
    /// when there is no dead letter of this id.
    ///
    /// A note of more than [`NOTE`](crate::bounds::NOTE) bytes is refused with
    /// [`StoreErrorKind::Backend`](super::StoreErrorKind::Backend).
    fn discard(
        &self,
        organization: &str,
        id: DeliveryId,
        note: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Writes a test event with its deliveries, all of which have ended with this attempt. They are marked as
    /// tests; where the attempt failed, they are discarded with the note `failed`.
    fn add_test(
        &self,
        event: &NewEvent,
        attempt: &Attempt,
        failed: Option<&str>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads an event of the contract of this name.
    fn find_event(
        &self,
        organization: &str,
        contract: &str,
        id: &EventId,
    ) -> impl Future<Output = Result<Option<EventRecord>, StoreError>> + Send;

    /// Lists an organization's events, the last inserted first.
    fn list_events(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<EventRecord>, StoreError>> + Send;

    /// Lists an event's deliveries, sorted by their subscriptions.
    fn list_event_deliveries(
        &self,
        organization: &str,
        contract: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Delivery>, StoreError>> + Send;

    /// Counts the outcomes of a subscription's attempts that began in `period`, and its pending deliveries;
    /// `None` when there is no subscription of this id. Test events are left out.
    ///
    /// It costs a walk over the deliveries that were made in the period and [`Period::reach`] before it, at
    /// most [`Period::MOST_DELIVERIES`] of them.
    fn statistics(
        &self,
        organization: &str,
        subscription: SubscriptionId,
        period: &Period,
    ) -> impl Future<Output = Result<Option<Statistics>, StoreError>> + Send;

    /// Counts what is due of each contract, whichever organizations it belongs to: the deliveries that a
    /// dispatcher with that contract could claim at `now`. Contracts of which nothing is due are left out;
    /// the others are sorted by their names.
    ///
    /// No dispatcher claims the deliveries of a contract that it does not have. So those of a contract that
    /// no dispatcher has stay where they are, and their [`waited`](ContractBacklog::waited) grows.
    ///
    /// It costs an index lookup for each subscription that has something pending, and a walk over the
    /// deliveries that are counted: at most [`Backlog::MOST`](super::Backlog::MOST) of each contract.
    fn backlog_by_contract(
        &self,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Vec<ContractBacklog>, StoreError>> + Send;

    /// Lists a delivery's attempts, first to last.
    fn list_attempts(
        &self,
        delivery: DeliveryId,
    ) -> impl Future<Output = Result<Vec<Attempt>, StoreError>> + Send;

    /// Cancels a pending delivery, also one that is being attempted: its settlement is stale then. Returns
    /// `false` when there is no pending delivery of this id.
    fn cancel(
        &self,
        id: DeliveryId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes new pending deliveries, due at `now`, of the events whose deliveries `replay` names; at most
    /// `limit`, oldest first. An event that already has a pending delivery to the subscription, or whose
    /// payload or subscription is gone, or whose type does not exist in the version that the subscription
    /// speaks, gets none.
    ///
    /// A new delivery sends the version that the subscription speaks now. Where one of these events is not
    /// stored in that version, the call makes no delivery and reports such events
    /// ([`Replayed::missing`]); [`add_payloads`](Self::add_payloads) stores them.
    ///
    /// A replay of many leaves out the deliveries that ended after `now`: calls with one `now` come to an
    /// end, however fast an endpoint refuses what they make.
    /// [`StoreExt::replay_all`](super::StoreExt::replay_all) makes those calls.
    ///
    /// A dead letter in whose place a delivery was made becomes [`Replayed`](crate::DeadReason::Replayed),
    /// whichever kind of replay it was; a delivered one stays delivered. A new delivery has its event's
    /// ordering key and takes the last place there.
    fn replay(
        &self,
        replay: &Replay,
        limit: u32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Replayed, StoreError>> + Send;

    /// Lists events that `replay` names and that are not stored in the version that the subscription speaks:
    /// at most `limit` of all that a replay of many names, in however many calls.
    fn missing_payloads(
        &self,
        replay: &Replay,
        limit: u32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Vec<MissingPayload>, StoreError>> + Send;

    /// Stores events of this organization in further versions, for replays. An event that the organization
    /// does not have, whose payload is gone, or that is stored in that version already, is left as it is.
    fn add_payloads(
        &self,
        organization: &str,
        payloads: &[MadePayload],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Deletes one event's payload, in all versions, and cancels its pending deliveries, also those that are
    /// being attempted. The event's id stays taken. Returns `false` when there is no event of this id, `true`
    /// also when its payload was gone already.
    fn expunge(
        &self,
        organization: &str,
        contract: &str,
        event: &EventId,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Which of a subscription's deliveries are listed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeliveryQuery {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those of events of this type.
    pub event_type: Option<EventType>,
    /// Only those made at this time or later, to the millisecond and by the time in their ids, which is that
    /// of the system clock where they were made.
    pub since: Option<OffsetDateTime>,
    /// Only those made before this time, to the millisecond.
    pub until: Option<OffsetDateTime>,
}

impl DeliveryQuery {
    /// All deliveries of this subscription.
    pub const fn new(subscription: SubscriptionId) -> Self {
        Self { subscription, state: None, event_type: None, since: None, until: None }
    }

    /// Only those in this state.
    pub const fn with_state(mut self, state: DeliveryState) -> Self {
        self.state = Some(state);
        self
    }

    /// Only those of events of this type.
    pub fn with_event_type(mut self, event_type: EventType) -> Self {
        self.event_type = Some(event_type);
        self
    }

    /// Only those made at this time or later, to the millisecond.
    pub const fn with_since(mut self, since: OffsetDateTime) -> Self {
        self.since = Some(since);
        self
    }

    /// Only those made before this time, to the millisecond.
    pub const fn with_until(mut self, until: OffsetDateTime) -> Self {
        self.until = Some(until);
        self
    }
}

/// An event as it was stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EventRecord {
    /// The contract that it is sent under, in its newest version.
    pub contract: ContractId,
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// When it was inserted.
    pub created_at: OffsetDateTime,
    /// Its routing attributes; gone with the payload.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The encoded envelope in its newest version: in no list, and gone once it was expunged or pruned.
    pub payload: Option<Bytes>,
}

impl EventRecord {
    /// An event without its payload.
    pub const fn new(
        contract: ContractId,
        id: EventId,
        event_type: EventType,
        created_at: OffsetDateTime,
    ) -> Self {
        Self { contract, id, event_type, created_at, attributes: BTreeMap::new(), payload: None }
    }

    /// Whether it is a test event: one with the attribute [`NewEvent::TEST`], for as long as that is kept.
    pub fn is_test(&self) -> bool {
        self.attributes.contains_key(NewEvent::TEST)
    }
}

/// Which deliveries are made again, as new deliveries of the same events.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Replay {
    /// This one, however it ended.
    Delivery(DeliveryId),
    /// Every dead letter of this subscription, except those that were cancelled or discarded (somebody did
    /// not want them sent) or replayed already.
    DeadLetters(SubscriptionId),
    /// Every delivery of this subscription that was made at this time or later and was not delivered,
    /// cancelled ones too; except those that were discarded or replayed already.
    Since(SubscriptionId, OffsetDateTime),
}

/// The result of [`Records::replay`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// How many new deliveries were made.
    pub made: u32,
    /// Whether the limit was reached, so that another call may find more.
    pub more: bool,
    /// The events that kept the call from making any delivery, because they are not stored in the version
    /// that the subscription speaks.
    pub missing: Vec<MissingPayload>,
}

impl Replayed {
    /// A replay that made this many deliveries, and may find more.
    pub const fn new(made: u32, more: bool) -> Self {
        Self { made, more, missing: Vec::new() }
    }

    /// Adds the events that are not stored in the version that is asked for.
    pub fn with_missing(mut self, missing: Vec<MissingPayload>) -> Self {
        self.missing = missing;
        self
    }
}

/// An event that is not stored in the version in which a replay would send it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MissingPayload {
    /// The event's contract, in the version that the subscription speaks.
    pub contract: ContractId,
    /// The event.
    pub event: EventId,
}

impl MissingPayload {
    /// Reports an event that is not stored in the version that `contract` names.
    pub const fn new(contract: ContractId, event: EventId) -> Self {
        Self { contract, event }
    }
}

/// An event in a further version, for [`Records::add_payloads`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MadePayload {
    /// The event's contract, in this version.
    pub contract: ContractId,
    /// The event.
    pub event: EventId,
    /// The encoded envelope; `None` where the event's type does not exist in this version. A replay leaves
    /// the event out then.
    pub bytes: Option<Bytes>,
}

impl MadePayload {
    /// Makes the payload of an event in the version that `contract` names.
    pub const fn new(contract: ContractId, event: EventId, bytes: Option<Bytes>) -> Self {
        Self { contract, event, bytes }
    }
}

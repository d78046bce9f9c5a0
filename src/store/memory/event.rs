//! [`Event`]: an event with its payloads; [`OwnEvents`]: the events of one organization.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::contract::ContractId;
use crate::event::{EventId, EventType, TraceParent};
use crate::id::DeliveryId;
use crate::store::implement::NewEvent;

/// The events of one organization, by their numbers.
pub(super) struct OwnEvents {
    pub(super) organization: Arc<str>,
    /// By the names of their contracts, then by their ids.
    pub(super) numbers: HashMap<String, HashMap<EventId, u64>>,
    pub(super) in_order: BTreeSet<u64>,
}

impl OwnEvents {
    pub(super) fn of(organization: Arc<str>) -> Self {
        Self { organization, numbers: HashMap::new(), in_order: BTreeSet::new() }
    }
}

pub(super) struct Event {
    pub(super) organization: Arc<str>,
    pub(super) id: EventId,
    pub(super) event_type: EventType,
    pub(super) created_at: OffsetDateTime,
    pub(super) attributes: BTreeMap<String, Vec<String>>,
    /// The payload of the newest version.
    pub(super) newest: Payload,
    /// The payloads of other versions.
    pub(super) older: Vec<Payload>,
    pub(super) ordering_key: Option<Arc<str>>,
    pub(super) trace: Option<TraceParent>,
    /// In the order in which they were made, which is about that of pruning.
    pub(super) deliveries: VecDeque<DeliveryId>,
    pub(super) pending: u32,
    /// When the last of its deliveries ended; when it was inserted, if none has ended.
    pub(super) ended_at: OffsetDateTime,
}

impl Event {
    /// Returns the payload at a row's place.
    pub(super) fn payload(&self, place: usize) -> &Payload {
        place.checked_sub(1).map_or(&self.newest, |older| &self.older[older])
    }

    /// Returns the place of the payload of this version, or of the newest if there is none.
    pub(super) fn place_of(&self, version: Option<&str>) -> usize {
        let older = |version| self.older.iter().position(|payload| payload.contract.version() == version);
        version.and_then(older).map_or(0, |older| older + 1)
    }

    /// Returns the place of the payload of this version, if it is stored.
    pub(super) fn stored_place(&self, version: &str) -> Option<usize> {
        self.payloads().position(|payload| payload.contract.version() == version && payload.bytes().is_some())
    }

    /// Returns whether the event's type may exist in this version.
    pub(super) fn may_exist_in(&self, version: &str) -> bool {
        self.payloads().all(|payload| payload.contract.version() != version || payload.exists())
    }

    pub(super) fn payloads(&self) -> impl Iterator<Item = &Payload> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// Returns whether the payload is stored. The payloads of all versions are deleted together.
    pub(super) const fn has_payload(&self) -> bool {
        self.newest.bytes().is_some()
    }

    pub(super) fn expunge(&mut self) {
        self.newest.expunge();
        self.older.iter_mut().for_each(Payload::expunge);
    }

    /// Returns whether an event that is inserted again differs in a version that both have.
    pub(super) fn conflicts_with(&self, new: &NewEvent) -> bool {
        let older = new.older.iter().map(|older| (&older.contract, &older.bytes));
        let mut new = std::iter::once((&new.contract, &new.payload)).chain(older);
        new.any(|(contract, bytes)| self.payloads().any(|own| own.contract == *contract && !own.is(bytes)))
    }
}

/// An encoded envelope in one version.
pub(super) struct Payload {
    pub(super) contract: ContractId,
    content: Content,
}

enum Content {
    Kept(Bytes),
    /// The digest of bytes that were deleted, for when the event is inserted again.
    Gone([u8; 32]),
    /// The event's type does not exist in this version.
    None,
}

impl Payload {
    pub(super) fn new(contract: &ContractId, bytes: &Bytes) -> Self {
        Self { contract: contract.clone(), content: Content::Kept(bytes.clone()) }
    }

    /// Makes the payload of a version, or records that the event does not exist in it.
    pub(super) fn made(contract: &ContractId, bytes: Option<&Bytes>) -> Self {
        let content = bytes.map_or(Content::None, |bytes| Content::Kept(bytes.clone()));
        Self { contract: contract.clone(), content }
    }

    /// Returns whether the event's type exists in this version.
    pub(super) const fn exists(&self) -> bool {
        !matches!(self.content, Content::None)
    }

    pub(super) fn is(&self, payload: &[u8]) -> bool {
        match &self.content {
            Content::Kept(kept) => kept == payload,
            Content::Gone(digest) => *digest == <[u8; 32]>::from(Sha256::digest(payload)),
            // There is nothing to compare with.
            Content::None => true,
        }
    }

    pub(super) const fn bytes(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Kept(payload) => Some(payload),
            Content::Gone(_) | Content::None => None,
        }
    }

    pub(super) fn expunge(&mut self) {
        if let Content::Kept(payload) = &self.content {
            self.content = Content::Gone(Sha256::digest(payload).into());
        }
    }
}

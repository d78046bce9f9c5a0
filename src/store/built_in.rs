//! Rules that the stores of this crate share: places in lists, ranges of ids, the end of a test.

mod poll_cursors;

use std::time::Duration;

use time::OffsetDateTime;

use super::implement::NewEvent;
use super::page::{Cursor, Page};
use super::period::Period;
use super::records::DeliveryQuery;
use super::{StoreError, StoreErrorKind};
use crate::bounds::{self, Excess};
use crate::delivery::{DeadReason, DeliveryState};
use crate::id::DeliveryId;
use crate::subscription::Subscription;

pub(super) use poll_cursors::PollCursors;

impl<T> Page<T> {
    /// Sets `next` if the page was cut by the read limit and not by its size.
    pub(super) fn or_from(mut self, next: Option<Cursor>) -> Self {
        self.next = self.next.or(next);
        self
    }
}

impl DeliveryQuery {
    /// Returns the range of ids that it asks for after `after`: the first id, and the one after the last.
    pub(super) fn ids(&self, after: Option<Cursor>) -> (u128, u128) {
        let from = self.since.map_or(0, first_id);
        let before = self.until.map_or(u128::MAX, first_id);
        (from, after.map_or(before, |after| before.min(after.minor())))
    }
}

impl Period {
    /// Returns the range of ids of the deliveries whose attempts are counted: the first id, and the one after
    /// the last.
    pub(super) fn ids(&self) -> (u128, u128) {
        let since = time::Duration::try_from(self.reach).ok().and_then(|reach| self.since.checked_sub(reach));
        (since.map_or(0, first_id), first_id(self.until))
    }
}

/// Returns the state in which a test's delivery ends; `failed` is the note of a test that failed.
pub(super) const fn tested(failed: Option<&str>) -> DeliveryState {
    match failed {
        Some(_) => DeliveryState::Dead(DeadReason::Discarded),
        None => DeliveryState::Delivered,
    }
}

/// Refuses a subscription in place of one that speaks another contract, as deliveries find their contract's
/// name there, or of another organization, as an organization's lists are read by its subscriptions.
pub(super) fn same_owner(seen: &Subscription, subscription: &Subscription) -> Result<(), StoreError> {
    let error = if seen.contract.name() != subscription.contract.name() {
        format!(
            "subscription {} speaks contract `{}`, which never changes; expected a new subscription for `{}`",
            seen.id,
            seen.contract.name(),
            subscription.contract.name()
        )
    } else if seen.organization != subscription.organization {
        format!(
            "subscription {} belongs to organization `{}`, which never changes; expected a new subscription \
             for `{}`",
            seen.id, seen.organization, subscription.organization
        )
    } else {
        return Ok(());
    };
    Err(StoreError::new(StoreErrorKind::Backend, error))
}

/// Refuses an event that is out of its bounds.
pub(super) fn check_event(event: &NewEvent) -> Result<(), StoreError> {
    event.check().map_err(|excess| StoreError::new(StoreErrorKind::Backend, excess))
}

/// Refuses a subscription that could not be sent to, or that is out of its bounds.
pub(super) fn check_subscription(subscription: &Subscription) -> Result<(), StoreError> {
    subscription.check().map_err(|error| StoreError::new(StoreErrorKind::Backend, error))
}

/// Refuses a note that is out of its bounds.
pub(super) fn check_note(note: &str) -> Result<(), StoreError> {
    Excess::of_bytes("note", note.len(), bounds::NOTE)
        .map_err(|excess| StoreError::new(StoreErrorKind::Backend, excess))
}

/// The maximum of secrets that a subscription holds: those that it has, and those of rotations that were not
/// completed.
pub(super) const MOST_HELD: usize = 2 * bounds::SECRETS;

/// How long a reservation that was neither committed nor released is kept after its lease, so that a slow
/// handler can still commit it.
pub(super) const ABANDONED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The least id of a delivery that was made at this time or later: an id begins with the millisecond it was
/// made in.
fn first_id(at: OffsetDateTime) -> u128 {
    DeliveryId::from_parts(at, [0; 10]).as_u128() & !LOW_BITS
}

/// The bits of an id that do not hold its time.
const LOW_BITS: u128 = (1 << 80) - 1;

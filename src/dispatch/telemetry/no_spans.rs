//! The functions of `spans` without the feature `tracing`: they do nothing.

use crate::delivery::{Attempt, Next};
use crate::dispatch::fault::{FaultEvent, FaultKind};
use crate::dispatch::finished::Finished;
use crate::event::TraceParent;
use crate::id::SubscriptionId;
use crate::store::{Leased, Settled, StoreError};

pub(in crate::dispatch) fn in_span<F: Future>(_: &Leased, _: Option<TraceParent>, future: F) -> F {
    future
}

pub(super) const fn attempted(_: &Attempt, _: &Next) {}

pub(super) const fn settled(_: &[Finished], _: &[Settled]) {}

pub(super) const fn store_failed(_: &'static str, _: &StoreError) {}

pub(super) const fn own_fault(_: &FaultEvent<'_>) {}

pub(super) const fn keyless(_: usize, _: usize) {}

pub(in crate::dispatch) const fn outage_began(_: FaultKind) {}

pub(in crate::dispatch) const fn outage_ended(_: FaultKind) {}

pub(super) const fn subscription_unread(_: SubscriptionId, _: &StoreError) {}

pub(super) const fn expired(_: u64) {}

pub(super) const fn pruned(_: u64) {}

//! The functions of `numbers` without the feature `metrics`: they do nothing.

use std::time::Duration;

use crate::delivery::{Attempt, Next};
use crate::dispatch::fault::FaultEvent;
use crate::store::Settled;

pub(in crate::dispatch) const fn begin() {}

pub(super) const fn attempted(_: &Attempt, _: &Next) {}

pub(in crate::dispatch) const fn late(_: Duration) {}

pub(super) const fn delivered(_: Duration) {}

pub(super) const fn settled(_: &[Settled]) {}

pub(super) const fn store_failed(_: &'static str) {}

pub(super) const fn own_fault(_: &FaultEvent<'_>) {}

pub(super) const fn keyless(_: usize) {}

pub(in crate::dispatch) const fn oldest_due(_: &str, _: Duration) {}

pub(super) const fn subscription_unread() {}

pub(super) const fn expired(_: u64) {}

pub(super) const fn pruned(_: u64) {}

pub(in crate::dispatch) const fn limited(_: usize) {}

pub(in crate::dispatch) const fn in_flight(_: usize) {}

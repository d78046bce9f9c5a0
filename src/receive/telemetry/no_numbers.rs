//! The functions of `numbers` without the feature `metrics`: they do nothing.

use std::sync::Arc;

use crate::receive::rejection::Rejection;

/// The numbers of nobody.
pub(in crate::receive) struct Numbers;

impl Numbers {
    pub(in crate::receive) const fn begin(_: &Arc<str>) -> Self {
        Self
    }

    pub(in crate::receive) const fn accepted(&self) {}

    pub(in crate::receive) const fn duplicate(&self) {}
}

pub(super) const fn refused(_: &Arc<str>, _: &Rejection) {}

pub(super) const fn overran(_: &Arc<str>) {}

pub(super) const fn undecodable(_: &Arc<str>) {}

/// Measures nothing.
pub(in crate::receive) struct Stopwatch;

impl Stopwatch {
    pub(in crate::receive) const fn start() -> Self {
        Self
    }

    pub(in crate::receive) const fn stop(self, _: &'static str, _: &Arc<str>) {}
}

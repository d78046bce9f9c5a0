//! The functions of `spans` without the feature `tracing`: they do nothing.

use std::sync::Arc;

use http::HeaderMap;

use crate::event::{DataError, Envelope, EventData};
use crate::receive::rejection::Rejection;
use crate::store::InboxKey;

/// Reads nothing.
#[derive(Clone, Copy)]
pub(in crate::receive) struct Trace;

impl Trace {
    pub(in crate::receive) const fn of(_: &HeaderMap) -> Self {
        Self
    }
}

/// The span of nothing.
pub(in crate::receive) struct EventSpan;

impl EventSpan {
    pub(in crate::receive) const fn of<T: EventData>(
        _: &Arc<str>,
        _: &Result<Envelope<T>, Box<DataError>>,
        _: Trace,
    ) -> Self {
        Self
    }

    pub(in crate::receive) fn around<F: Future>(self, future: F) -> F {
        future
    }
}

pub(super) const fn refused(_: &Arc<str>, _: &Rejection) {}

pub(super) const fn overran(_: &InboxKey) {}

pub(super) const fn undecodable(_: &Arc<str>, _: &DataError) {}

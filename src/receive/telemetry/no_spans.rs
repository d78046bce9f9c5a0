//! The functions of `spans` without the feature `tracing`: they do nothing.

use std::marker::PhantomData;
use std::sync::Arc;

use http::HeaderMap;

use crate::event::{DataError, Envelope, EventData};
use crate::receive::rejection::Rejection;
use crate::store::InboxKey;

/// Reads nothing.
#[derive(Clone, Copy)]
pub(in crate::receive) struct Trace<'a>(PhantomData<&'a HeaderMap>);

impl<'a> Trace<'a> {
    pub(in crate::receive) const fn of(_: &'a HeaderMap) -> Self {
        Self(PhantomData)
    }
}

/// The span of nothing.
pub(in crate::receive) struct EventSpan;

impl EventSpan {
    pub(in crate::receive) const fn of<T: EventData>(
        _: &Arc<str>,
        _: &Result<Envelope<T>, Box<DataError>>,
        _: Trace<'_>,
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

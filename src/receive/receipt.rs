//! [`Received`]: a genuine request, and what there is to do about it; [`Receipt`]: the right to handle one event.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::event::{DataError, Envelope, EventId, EventType};
use crate::receive::admission::Permit;
use crate::receive::receiver::Receiver;
use crate::store::{Inbox, InboxKey, Lease, StoreError, TransactionalInbox};

/// A genuine request, and what there is to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<'r, T, I: Inbox> {
    /// An event to handle.
    #[non_exhaustive]
    Event {
        /// The event.
        envelope: Envelope<T>,
        /// To be committed when the event was handled, or released when it could not be.
        receipt: Receipt<'r, I>,
    },
    /// An event that was handled before. Answer 200.
    #[non_exhaustive]
    Duplicate {
        /// The event's id.
        id: EventId,
    },
    /// An event of another type than the one asked for, where `T` is one type's data. Answer 200: an error would make the
    /// sender repeat it, and in the end give the endpoint up.
    #[non_exhaustive]
    OtherType {
        /// The event's type.
        event_type: EventType,
    },
    /// An event of a known type with data that does not fit it.
    #[non_exhaustive]
    Undecodable {
        /// What did not fit, with the data as it came.
        error: Box<DataError>,
        /// To be committed when nothing more will be done about it, or released to see it again.
        receipt: Receipt<'r, I>,
    },
}

/// The right to handle one event, until its lease ends.
///
/// Dropped without a word it acts like a crash: the event stays reserved until the lease ends, and is handled then if the
/// sender repeats it. The one that an extractor of `receive::axum` gave has its event released then, so that the sender's next attempt
/// is handled.
#[derive(Debug)]
#[must_use = "an event that is neither committed nor released stays reserved until its lease ends"]
pub struct Receipt<'r, I: Inbox> {
    pub(super) inbox: Held<'r, I>,
    pub(super) key: InboxKey,
    pub(super) lease: Lease,
    pub(super) keep: Duration,
    pub(super) _permit: Permit,
    pub(super) dropped: Option<Box<Dropped<I>>>,
}

/// Has an event released whose receipt was dropped without a word.
#[derive(Debug)]
pub(super) struct Dropped<I> {
    held: Option<(Arc<Receiver<I>>, InboxKey, Lease)>,
    release: Release<I>,
}

pub(super) type Release<I> = fn(Arc<Receiver<I>>, InboxKey, Lease);

impl<I> Drop for Dropped<I> {
    fn drop(&mut self) {
        if let Some((receiver, key, lease)) = self.held.take() {
            (self.release)(receiver, key, lease);
        }
    }
}

/// An inbox, for as long as its receiver is borrowed, or for as long as it is held.
#[derive(Debug)]
pub(super) enum Held<'r, I> {
    By(&'r I),
    With(Arc<Receiver<I>>),
}

impl<I> Held<'_, I> {
    fn inbox(&self) -> &I {
        match self {
            Self::By(inbox) => inbox,
            Self::With(receiver) => &receiver.inbox,
        }
    }
}

impl<I: Inbox> Receipt<'_, I> {
    /// The same receipt, for a task that outlives the borrow of its receiver.
    pub(super) fn held_with(self, receiver: Arc<Receiver<I>>) -> Receipt<'static, I> {
        Receipt {
            inbox: Held::With(receiver),
            key: self.key,
            lease: self.lease,
            keep: self.keep,
            _permit: self._permit,
            dropped: self.dropped,
        }
    }

    /// The same receipt, which has `release` called when it is dropped without a word.
    #[cfg_attr(not(feature = "axum"), allow(dead_code, reason = "an adapter's"))]
    pub(super) fn released_by(mut self, release: Release<I>) -> Self {
        if let Held::With(receiver) = &self.inbox {
            let held = Some((Arc::clone(receiver), self.key.clone(), self.lease));
            self.dropped = Some(Box::new(Dropped { held, release }));
        }
        self
    }

    /// What is said about the event from here on counts, though it may be that nobody waits for the inbox to hear it.
    fn speak(&mut self) {
        if let Some(dropped) = &mut self.dropped {
            dropped.held = None;
        }
    }

    /// What tells the event from others.
    pub fn key(&self) -> &InboxKey {
        &self.key
    }

    /// The event was handled: copies of it are duplicates for as long as the contract's
    /// [`dedupe_window`](crate::Contract::dedupe_window).
    ///
    /// `false` tells that the lease had ended and somebody else took the event meanwhile.
    ///
    /// # Errors
    ///
    /// The inbox's. The event will then be handled again when the sender repeats it.
    pub async fn commit(mut self, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.speak();
        self.inbox.inbox().commit(&self.key, self.lease, now, self.keep).await
    }

    /// [`commit`](Self::commit) on the handler's own connection, inside its open transaction: what the handler wrote and that the
    /// event was handled are committed together, or neither is. A copy that comes later is a duplicate exactly when the
    /// transaction was committed.
    ///
    /// `false` tells that the lease had ended and somebody else took the event meanwhile: roll the transaction back.
    ///
    /// # Errors
    ///
    /// The inbox's. Roll the transaction back; the event will be handled again when the sender repeats it.
    pub async fn commit_in(
        mut self,
        connection: &mut I::Connection,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError>
    where
        I: TransactionalInbox,
    {
        self.speak();
        self.inbox.inbox().commit_in(connection, &self.key, self.lease, now, self.keep).await
    }

    /// The event could not be handled: the next copy of it is.
    ///
    /// # Errors
    ///
    /// The inbox's. The event is then free when its lease ends.
    pub async fn release(mut self) -> Result<bool, StoreError> {
        self.speak();
        self.inbox.inbox().release(&self.key, self.lease).await
    }
}

//! [`Receipt`]: the right to handle one event.

use std::fmt;
use std::pin::Pin;

use time::OffsetDateTime;

use crate::receive::admission::Permit;
use crate::receive::receiver::Receiver;
use crate::receive::receiver_ref::ReceiverRef;
use crate::receive::window::Window;
use crate::store::{Inbox, InboxKey, Lease, StoreError, TransactionalInbox};

/// The right to handle one event, until its lease ends.
///
/// If you drop it without a commit or a release, that acts like a crash: the event stays reserved until the
/// lease ends, and is handled after that if the sender repeats it.
/// [`with_release_on_drop`](Self::with_release_on_drop) releases the event instead, as the extractors of
/// `receive::axum` do.
#[must_use = "an event that is neither committed nor released stays reserved until its lease ends"]
pub struct Receipt<'r, I: Inbox> {
    permit: Permit<ReceiverRef<'r, I>>,
    key: InboxKey,
    lease: Lease,
    window: Window,
    on_drop: Option<OnDrop<'r, I>>,
}

/// How an event is released if its receipt is dropped.
struct OnDrop<'r, I> {
    release: fn(ReceiverRef<'r, I>, InboxKey, Lease) -> Release,
    spawn: fn(Release),
}

type Release = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<'r, I: Inbox> Receipt<'r, I> {
    pub(super) fn new(
        permit: Permit<ReceiverRef<'r, I>>,
        key: InboxKey,
        lease: Lease,
        window: Window,
    ) -> Self {
        Self { permit, key, lease, window, on_drop: None }
    }

    /// The key that tells the event from others.
    pub fn key(&self) -> &InboxKey {
        &self.key
    }

    /// Records that the event was handled. Copies of it are duplicates for as long as the contract's
    /// [`dedupe_window`](crate::Contract::dedupe_window). If the sender gives its events no id, copies are
    /// duplicates until the [`copy_window`](crate::Contract::copy_window) has passed since the event arrived.
    ///
    /// Returns `false` if the lease had ended and somebody else had taken the event.
    ///
    /// # Errors
    ///
    /// The inbox's. The event is then handled again when the sender repeats it.
    pub async fn commit(mut self, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.write_commit(now).await
    }

    /// Records that the event was handled on the handler's own connection, inside its open transaction. The
    /// handler's rows and this record are then committed together or not at all: a later copy is a duplicate
    /// exactly if the transaction was committed.
    ///
    /// Returns `false` if the lease had ended and somebody else had taken the event. Then roll the
    /// transaction back.
    ///
    /// # Errors
    ///
    /// The inbox's. Roll the transaction back. The event is handled again when the sender repeats it.
    pub async fn commit_in(
        mut self,
        connection: &mut I::Connection,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError>
    where
        I: TransactionalInbox,
    {
        self.on_drop = None;
        let (receiver, keep) = (self.receiver(), self.window.left(now));
        receiver.inbox().commit_in(connection, &self.key, self.lease, keep, now).await
    }

    /// Gives the event up, so that its next copy is handled.
    ///
    /// # Errors
    ///
    /// The inbox's. The event is then free when its lease ends.
    pub async fn release(mut self) -> Result<bool, StoreError> {
        self.on_drop = None;
        self.receiver().inbox().release(&self.key, self.lease).await
    }

    pub(super) async fn write_commit(&mut self, now: OffsetDateTime) -> Result<bool, StoreError> {
        // The application has decided, even if it does not wait for the inbox.
        self.on_drop = None;
        let (receiver, keep) = (self.receiver(), self.window.left(now));
        receiver.inbox().commit(&self.key, self.lease, keep, now).await
    }

    pub(super) fn receiver(&self) -> &Receiver<I> {
        self.permit.of()
    }
}

impl<I: Inbox + 'static> Receipt<'static, I> {
    /// Sets the receipt to release its event if it is dropped without a commit or a release. `spawn` runs the
    /// future that does so, for example as a task.
    ///
    /// Use it if your framework drops the handler when the sender hangs up: the sender's next attempt is then
    /// handled. The receipt is `'static` if the request was [admitted by a shared
    /// receiver](Receiver::admit_shared).
    ///
    /// ```
    /// use hookwire::receive::Receipt;
    /// use hookwire::Inbox;
    ///
    /// fn releasing<I: Inbox + 'static>(receipt: Receipt<'static, I>) -> Receipt<'static, I> {
    ///     receipt.with_release_on_drop(|release| drop(tokio::spawn(release)))
    /// }
    /// ```
    pub fn with_release_on_drop(mut self, spawn: fn(Pin<Box<dyn Future<Output = ()> + Send>>)) -> Self {
        self.on_drop = Some(OnDrop { release: release_of, spawn });
        self
    }
}

/// Releases an event. If that fails, the event is free when its lease ends.
fn release_of<I: Inbox + 'static>(receiver: ReceiverRef<'static, I>, key: InboxKey, lease: Lease) -> Release {
    Box::pin(async move { drop(receiver.inbox().release(&key, lease).await) })
}

impl<I: Inbox> Drop for Receipt<'_, I> {
    fn drop(&mut self) {
        if let Some(OnDrop { release, spawn }) = self.on_drop.take() {
            spawn(release(self.permit.of().clone(), self.key.clone(), self.lease));
        }
    }
}

impl<I: Inbox> fmt::Debug for Receipt<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("key", &self.key).field("lease", &self.lease).finish_non_exhaustive()
    }
}

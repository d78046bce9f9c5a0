//! [`Sender`]: a receiver and what it does with its requests, without their types.

use std::error::Error as StdError;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::event::{DataError, Envelope, EventData};
use crate::receive::admitted::Admitted;
use crate::receive::answer::Answer;
use crate::receive::arrival::Arrival;
use crate::receive::proven::Proven;
use crate::receive::receiver::Receiver;
use crate::receive::rejection::Rejection;
use crate::signature::Proof;
use crate::store::{Inbox, Intake};

pub(super) type HandlerError = Box<dyn StdError + Send + Sync>;
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One of several senders on a path: a receiver and what it does with its requests, without their types.
pub(super) trait Sender: Send + Sync {
    /// Judges a request by its head.
    fn judge(&self, arrival: &Arrival<'_>) -> Result<(), Rejection>;
    /// Proves and handles a request that was judged by its head.
    fn handle<'a>(
        &'a self,
        arrival: Arrival<'a>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Boxed<'a, Result<Answer, Rejection>>;
    fn max_body(&self) -> usize;
    fn body_deadline(&self) -> Duration;
    fn handling_lease(&self) -> Duration;
    fn challenge(&self) -> Option<&'static str>;
    fn is_retired(&self) -> bool;
}

/// Calls a handler with each event.
pub(super) struct Handled<T, I, F> {
    receiver: Arc<Receiver<I>>,
    handler: F,
    event: PhantomData<fn() -> T>,
}

impl<T, I, F> Handled<T, I, F> {
    pub(super) fn new(receiver: Arc<Receiver<I>>, handler: F) -> Self {
        Self { receiver, handler, event: PhantomData }
    }
}

/// Stores each request first.
pub(super) struct Stored<I> {
    receiver: Arc<Receiver<I>>,
}

impl<I> Stored<I> {
    pub(super) fn new(receiver: Arc<Receiver<I>>) -> Self {
        Self { receiver }
    }
}

/// Proves a request. If the receiver is retired, it answers 410 to requests that it proves, and to no others:
/// the subscriptions of other senders must not end.
async fn prove<'a, I>(
    receiver: &'a Receiver<I>,
    arrival: Arrival<'a>,
    body: &'a [u8],
    now: OffsetDateTime,
) -> Result<Proven<'a, 'a, I>, Rejection> {
    let proven = Admitted::judged(receiver, arrival, now)?.prove(body, now).await?;
    match (receiver.is_retired, proven.verified().by()) {
        (false, _) => Ok(proven),
        // If anybody passes, the forged requests of the other senders do too.
        (true, Proof::Nothing) => Err(Rejection::NotAdmitted { guard: "retired" }),
        (true, _) => Err(Rejection::Retired),
    }
}

/// The methods that a sender's receiver answers.
macro_rules! of_receiver {
    () => {
        fn judge(&self, arrival: &Arrival<'_>) -> Result<(), Rejection> {
            self.receiver.judge(arrival).map(drop)
        }

        fn max_body(&self) -> usize {
            self.receiver.max_body()
        }

        fn body_deadline(&self) -> Duration {
            self.receiver.body_deadline()
        }

        fn handling_lease(&self) -> Duration {
            self.receiver.handling_lease()
        }

        fn challenge(&self) -> Option<&'static str> {
            self.receiver.challenge()
        }

        fn is_retired(&self) -> bool {
            self.receiver.is_retired
        }
    };
}

impl<T, I, F, R> Sender for Handled<T, I, F>
where
    T: EventData + Send + 'static,
    I: Inbox + 'static,
    F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync,
    R: Future<Output = Result<(), HandlerError>> + Send,
{
    of_receiver!();

    fn handle<'a>(
        &'a self,
        arrival: Arrival<'a>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Boxed<'a, Result<Answer, Rejection>> {
        Box::pin(
            async move { prove(&self.receiver, arrival, body, now).await?.handle_each(&self.handler).await },
        )
    }
}

impl<I: Intake + 'static> Sender for Stored<I> {
    of_receiver!();

    fn handle<'a>(
        &'a self,
        arrival: Arrival<'a>,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> Boxed<'a, Result<Answer, Rejection>> {
        Box::pin(async move {
            let stored = prove(&self.receiver, arrival, body, now).await?.store_first().await?;
            Ok(stored.into())
        })
    }
}

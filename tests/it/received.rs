//! A receiver's calls in one function each, for tests that are not about the states of a request.

use std::error::Error;

use hookwire::receive::{Answer, Arrival, Received, Receiver, Rejection, Senders, StoredFirst};
use hookwire::{DataError, Envelope, EventData, Inbox, Intake};
use time::OffsetDateTime;

/// Admits and proves a request, and receives its event.
pub(crate) async fn received<'r, T: EventData, I: Inbox>(
    receiver: &'r Receiver<I>,
    arrival: Arrival<'_>,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<Received<'r, T, I>, Rejection> {
    receiver.admit(arrival, now)?.prove(body, now).await?.receive().await
}

/// Admits and proves a request, and passes its event to `handler`.
pub(crate) async fn handled<I, T, F, R, E>(
    receiver: &Receiver<I>,
    arrival: Arrival<'_>,
    body: &[u8],
    now: OffsetDateTime,
    handler: F,
) -> Result<Answer, Rejection>
where
    I: Inbox,
    T: EventData,
    F: FnOnce(Result<Envelope<T>, Box<DataError>>) -> R,
    R: Future<Output = Result<(), E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    receiver.admit(arrival, now)?.prove(body, now).await?.handle(handler).await
}

/// Admits and proves a request, and stores it for a worker.
pub(crate) async fn stored<I: Intake>(
    receiver: &Receiver<I>,
    arrival: Arrival<'_>,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<StoredFirst, Rejection> {
    receiver.admit(arrival, now)?.prove(body, now).await?.store_first().await
}

/// Lets the sender that proves a request handle it.
pub(crate) async fn handled_by_any(
    senders: &Senders,
    arrival: Arrival<'_>,
    body: &[u8],
    now: OffsetDateTime,
) -> Result<Answer, Rejection> {
    senders.admit(arrival, now)?.handle(body, now).await
}

//! The ways of a request through a receiver, whatever the server.

use std::error::Error as StdError;

use bytes::Bytes;
use http_body::Body;
use time::OffsetDateTime;

use super::body::IncomingBody;
use super::finish::has_to_finish;
use super::head::Head;
use crate::event::{DataError, Envelope, EventData};
use crate::receive::answer::Answer;
use crate::receive::receiver::Receiver;
use crate::receive::rejection::Rejection;
use crate::receive::senders::Senders;
use crate::store::{Inbox, Intake};

/// Has `handler` handle the events of a request.
pub(in crate::receive) async fn handle<T, I, F, R, B>(
    receiver: &Receiver<I>,
    head: &Head,
    body: &mut IncomingBody<B>,
    handler: F,
) -> Result<Answer, Rejection>
where
    T: EventData,
    I: Inbox,
    F: Fn(Result<Envelope<T>, Box<DataError>>) -> R,
    R: Future<Output = Result<(), Box<dyn StdError + Send + Sync>>>,
    B: Body<Data = Bytes> + Unpin,
{
    let mut admitted = receiver.admit(head.arrival(), OffsetDateTime::now_utc())?;
    let body = body.read(receiver.body_deadline(), |bytes| admitted.accept(bytes)).await?;
    has_to_finish();
    admitted.prove(&body, OffsetDateTime::now_utc()).await?.handle_each(handler).await
}

/// Has the sender that proves a request handle it.
pub(in crate::receive) async fn handle_by_any<B: Body<Data = Bytes> + Unpin>(
    senders: &Senders,
    head: &Head,
    body: &mut IncomingBody<B>,
) -> Result<Answer, Rejection> {
    let mut admitted = senders.admit(head.arrival(), OffsetDateTime::now_utc())?;
    let body = body.read(senders.body_deadline(), |bytes| admitted.accept(bytes)).await?;
    has_to_finish();
    admitted.handle(&body, OffsetDateTime::now_utc()).await
}

/// Stores a request for a worker.
pub(in crate::receive) async fn store<I: Intake, B: Body<Data = Bytes> + Unpin>(
    receiver: &Receiver<I>,
    head: &Head,
    body: &mut IncomingBody<B>,
) -> Result<Answer, Rejection> {
    let mut admitted = receiver.admit(head.arrival(), OffsetDateTime::now_utc())?;
    let body = body.read(receiver.body_deadline(), |bytes| admitted.accept(bytes)).await?;
    let stored = admitted.prove(&body, OffsetDateTime::now_utc()).await?.store_first().await?;
    Ok(stored.into())
}

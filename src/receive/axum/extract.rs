//! The extractors: [`Incoming`], [`Received`] and [`Envelope`].

use std::pin::Pin;
use std::sync::Arc;

use ::axum::body::Body;
use ::axum::extract::{FromRef, FromRequest, Request};
use time::OffsetDateTime;
use tokio::runtime::Handle;

use super::head::split;
use crate::event::{Envelope, EventData};
use crate::receive::answer::Answer;
use crate::receive::no_inbox::NoInbox;
use crate::receive::receipt::Receipt;
use crate::receive::received::Received;
use crate::receive::receiver::Receiver;
use crate::receive::rejection::Rejection;
use crate::receive::tower::body::IncomingBody;
use crate::receive::tower::head::Head;
use crate::store::Inbox;

/// An event to handle, and its receipt. Commit it when the event was handled.
///
/// This is an extractor for routers whose state has an `Arc<Receiver<I>>`. A request that is not to be
/// handled is answered without your handler: a duplicate with 200, a request that is not proven with 401.
/// Data that does not fit its type is [shelved](Receiver::with_shelf) and answered 200. If your handler is to
/// decide about such data, extract [`Received`].
///
/// If the sender hangs up, axum drops your handler where it is, and the receipt with it. The event is then
/// released, as it is if you drop the receipt. The handler's work until then stays done, and the
/// sender's next attempt is handled from the start. If your handler has to run to its end, use the route
/// [`handler`](super::handler), or move the receipt to a task of its own.
///
/// ```
/// use hookwire::receive::axum::Incoming;
/// use hookwire::receive::{Answer, Rejection};
/// use hookwire::allison;
/// use time::OffsetDateTime;
///
/// async fn receive(incoming: Incoming<allison::Event>) -> Result<Answer, Rejection> {
///     println!("{}", incoming.envelope.event_type());
///     incoming.receipt.commit(OffsetDateTime::now_utc()).await?;
///     Ok(Answer::OK)
/// }
/// # use hookwire::receive::{NoInbox, Receiver};
/// # use std::sync::Arc;
/// # let route = axum::routing::post(receive);
/// # let _: axum::Router<Arc<Receiver<NoInbox>>> = axum::Router::new().route("/", route);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming<T, I: Inbox + 'static = NoInbox> {
    /// The event.
    pub envelope: Envelope<T>,
    /// The right to handle it: commit it when the event was handled, or release it if it could not be.
    pub receipt: Receipt<'static, I>,
}

/// A proven request, for a handler that decides by itself about duplicates and about data that does not fit
/// its type. A request that is not proven is answered without it.
///
/// This is an extractor for routers whose state has an `Arc<Receiver<I>>`. For a sender that hangs up, see
/// [`Incoming`].
///
/// ```
/// use hookwire::receive::{Answer, NoInbox, Received, Rejection};
/// use hookwire::{allison, DataError};
/// use time::OffsetDateTime;
///
/// async fn receive(received: Received<'static, allison::Event, NoInbox>) -> Result<Answer, Rejection> {
///     let receipt = match received {
///         Received::Event { envelope, receipt, .. } => {
///             println!("{}", envelope.event_type());
///             receipt
///         }
///         // Shelve the data as it was sent, and answer 200: a repetition would not fit either.
///         Received::Undecodable { error, receipt, .. } => {
///             shelve(*error);
///             receipt
///         }
///         _ => return Ok(Answer::OK),
///     };
///     receipt.commit(OffsetDateTime::now_utc()).await?;
///     Ok(Answer::OK)
/// }
/// # fn shelve(_: DataError) {}
/// # use hookwire::receive::Receiver;
/// # use std::sync::Arc;
/// # let route = axum::routing::post(receive);
/// # let _: axum::Router<Arc<Receiver<NoInbox>>> = axum::Router::new().route("/", route);
/// ```
impl<S, T, I> FromRequest<S> for Received<'static, T, I>
where
    S: Send + Sync,
    T: EventData + Send,
    I: Inbox + 'static,
    Arc<Receiver<I>>: FromRef<S>,
{
    type Rejection = Answer;

    async fn from_request(request: Request, state: &S) -> Result<Self, Answer> {
        let receiver = Arc::<Receiver<I>>::from_ref(state);
        let (head, mut body) = split(request).await;
        match receive(&receiver, &head, &mut body).await {
            Ok(Self::Event { envelope, receipt }) => {
                Ok(Self::Event { envelope, receipt: receipt.with_release_on_drop(spawn) })
            }
            Ok(Self::Undecodable { error, receipt }) => {
                Ok(Self::Undecodable { error, receipt: receipt.with_release_on_drop(spawn) })
            }
            Ok(nothing_to_handle) => Ok(nothing_to_handle),
            Err(rejection) => Err(head.refused(body, receiver.refuse(&rejection)).await),
        }
    }
}

async fn receive<T: EventData, I: Inbox + 'static>(
    receiver: &Arc<Receiver<I>>,
    head: &Head,
    body: &mut IncomingBody<Body>,
) -> Result<Received<'static, T, I>, Rejection> {
    let mut admitted = receiver.admit_shared(head.arrival(), OffsetDateTime::now_utc())?;
    let body = body.read(receiver.body_deadline(), |bytes| admitted.accept(bytes)).await?;
    admitted.prove(&body, OffsetDateTime::now_utc()).await?.receive().await
}

/// Runs the release of an event as a task, because nobody waits where its receipt is dropped.
fn spawn(release: Pin<Box<dyn Future<Output = ()> + Send>>) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(release);
    }
}

impl<S, T, I> FromRequest<S> for Incoming<T, I>
where
    S: Send + Sync,
    T: EventData + Send,
    I: Inbox + 'static,
    Arc<Receiver<I>>: FromRef<S>,
{
    type Rejection = Answer;

    async fn from_request(request: Request, state: &S) -> Result<Self, Answer> {
        match Received::from_request(request, state).await? {
            Received::Event { envelope, receipt } => Ok(Self { envelope, receipt }),
            Received::Undecodable { error, receipt } => {
                let receiver = Arc::<Receiver<I>>::from_ref(state);
                if receiver.shelf.takes(&*error) {
                    let committed = receipt.commit(OffsetDateTime::now_utc()).await;
                    return Err(committed.map_or_else(|error| receiver.refuse(&error.into()), |_| Answer::OK));
                }
                // If the event cannot be released, it is free when its lease ends.
                drop(receipt.release().await);
                Err(receiver.refuse(&Rejection::Handler(error)))
            }
            Received::Duplicate { .. } | Received::OtherType { .. } | Received::NoEvent => Err(Answer::OK),
        }
    }
}

/// The event alone, for handlers that can be repeated safely. A receiver without an inbox remembers nothing.
impl<S, T> FromRequest<S> for Envelope<T>
where
    S: Send + Sync,
    T: EventData + Send,
    Arc<Receiver<NoInbox>>: FromRef<S>,
{
    type Rejection = Answer;

    async fn from_request(request: Request, state: &S) -> Result<Self, Answer> {
        let incoming = Incoming::from_request(request, state).await?;
        // Without an inbox, this cannot fail.
        drop(incoming.receipt.commit(OffsetDateTime::now_utc()).await);
        Ok(incoming.envelope)
    }
}

//! [`EventService`]: a receiver and its handler as a service of tower.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::any_body::{AnyBody, BoxError};
use super::finish::Finish;
use super::head::Head;
use super::respond::{handle, handle_by_any, store};
use crate::event::{DataError, Envelope, EventData};
use crate::receive::answer::Answer;
use crate::receive::receiver::Receiver;
use crate::receive::senders::Senders;
use crate::store::{Inbox, Intake};

type Respond = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A receiver and what it does with its requests, as a service of tower: it takes a request with any body and
/// answers it. It never fails, and is always ready.
///
/// Make one with [`handler`], [`senders`] or [`store_first`].
#[derive(Clone)]
pub struct EventService {
    respond: Arc<dyn Fn(Request<AnyBody>) -> Respond + Send + Sync>,
}

/// A service that has `handler` handle each event once.
///
/// If the server drops the response's future because the sender hangs up, the handler still runs to its end,
/// for at most one [lease](Receiver::with_handling_lease) more. The answers are those of
/// [`Proven::handle_each`](crate::receive::Proven::handle_each).
///
/// ```
/// use bytes::Bytes;
/// use hookwire::receive::{Receiver, tower::handler};
/// use hookwire::{allison, Contract, DataError, Envelope, Secret};
/// use http::Request;
/// use http_body_util::Full;
/// use tower_service::Service as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?;
/// let mut service = handler(receiver, async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
///     println!("{}", event?.event_type());
///     Ok(())
/// });
/// // In an application, the server calls it.
/// let request = Request::post("/hooks").body(Full::new(Bytes::from("{}")))?;
/// assert_eq!(service.call(request).await?.status(), 401);
/// # Ok(()) }
/// ```
pub fn handler<T, I, F, R>(receiver: impl Into<Arc<Receiver<I>>>, handler: F) -> EventService
where
    T: EventData + Send + 'static,
    I: Inbox + 'static,
    F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let receiver = receiver.into();
    EventService::new(move |request| {
        let (receiver, handler) = (Arc::clone(&receiver), handler.clone());
        Box::pin(Finish::new(receiver.handling_lease(), async move {
            let (head, mut body) = Head::split(request);
            match handle(&receiver, &head, &mut body, handler).await {
                Ok(answer) => answer,
                Err(rejection) => head.refused(body, receiver.refuse(&rejection)).await,
            }
        }))
    })
}

/// A service that several senders share: each request is handled by the receiver that proves it.
pub fn senders(senders: impl Into<Arc<Senders>>) -> EventService {
    let senders = senders.into();
    EventService::new(move |request| {
        let senders = Arc::clone(&senders);
        Box::pin(Finish::new(senders.handling_lease(), async move {
            let (head, mut body) = Head::split(request);
            match handle_by_any(&senders, &head, &mut body).await {
                Ok(answer) => answer,
                Err(rejection) => head.refused(body, senders.refuse(&rejection)).await,
            }
        }))
    })
}

/// A service that stores requests for a worker and answers each as soon as it is stored.
///
/// The answers are those of [`Proven::store_first`](crate::receive::Proven::store_first).
pub fn store_first<I: Intake + 'static>(receiver: impl Into<Arc<Receiver<I>>>) -> EventService {
    let receiver = receiver.into();
    EventService::new(move |request| {
        let receiver = Arc::clone(&receiver);
        Box::pin(async move {
            let (head, mut body) = Head::split(request);
            match store(&receiver, &head, &mut body).await {
                Ok(answer) => answer,
                Err(rejection) => head.refused(body, receiver.refuse(&rejection)).await,
            }
        })
    })
}

impl EventService {
    fn new(respond: impl Fn(Request<AnyBody>) -> Respond + Send + Sync + 'static) -> Self {
        Self { respond: Arc::new(respond) }
    }
}

impl<B> Service<Request<B>> for EventService
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = (self.respond)(request.map(AnyBody::new));
        Box::pin(async move { Ok(answer.await.into_response().map(Full::new)) })
    }
}

impl fmt::Debug for EventService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventService").finish_non_exhaustive()
    }
}

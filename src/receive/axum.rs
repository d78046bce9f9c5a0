//! For axum: [`hook`], [`senders`] and [`keep`], ready handlers; [`Incoming`], [`Received`] and [`Envelope`], extractors.
//!
//! The raw body is read once, up to the receiver's limit and within its deadline, before anything parses it, and not at all of a
//! request that its head refuses; no other extractor of the body may stand beside these. A guard sees the request's path, and the peer's address where the application is
//! served with [`into_make_service_with_connect_info`](::axum::Router::into_make_service_with_connect_info). The tenant is the
//! path's parameter of that name.
//!
//! ```
//! use std::sync::Arc;
//! use axum::Router;
//! use hookwire::receive::axum::hook;
//! use hookwire::receive::Receiver;
//! use hookwire::{allison, Contract, DataError, Envelope, Secret};
//!
//! let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?;
//! let app: Router = Router::new().route(
//!     "/hooks/allison",
//!     hook(receiver, async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
//!         println!("{}", event?.event_type());
//!         Ok(())
//!     }),
//! );
//! # let _ = app;
//! # Ok::<(), hookwire::Error>(())
//! ```
#![cfg(feature = "axum")]

use std::error::Error as StdError;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::axum::body::Body;
use ::axum::extract::{ConnectInfo, FromRef, FromRequest, OriginalUri, RawPathParams, Request};
use ::axum::response::{IntoResponse, Response};
use ::axum::routing::{MethodRouter, any};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt as _;
use time::OffsetDateTime;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::event::{DataError, Envelope, EventData};
use crate::receive::admission::Permit;
use crate::receive::answer::{Answer, acceptable};
use crate::receive::guard::Arrival;
use crate::receive::no_inbox::NoInbox;
use crate::receive::receipt::{Receipt, Received};
use crate::receive::receiver::Receiver;
use crate::receive::rejection::Rejection;
use crate::receive::senders::{Refused, Senders};
use crate::store::{Inbox, InboxKey, Intake, Kept, Lease};

type Failure = Box<dyn StdError + Send + Sync>;

/// A route that receives events and has `handler` handle each once, whatever the method: what is no POST is answered 405.
///
/// A sender that hangs up does not end the handler: it has until one more [lease](Receiver::with_handling_lease) is over to come to
/// its end, so that the sender's next attempt finds the event handled.
///
/// The event of a process that dies is handled when its sender repeats it. [`keep`] the requests instead where the sender tries once
/// ([`Contract::allo_v1`](crate::Contract::allo_v1)) or for a few seconds ([`Contract::nectar_desk`](crate::Contract::nectar_desk)).
///
/// The answers are those of [`Receiver::answer`]. [`Handlers`](crate::receive::Handlers) gives a closure for each type:
/// `hook(receiver, move |event| { let handlers = handlers.clone(); async move { handlers.handle(event).await } })`.
pub fn hook<T, I, F, R, S>(receiver: impl Into<Arc<Receiver<I>>>, handler: F) -> MethodRouter<S>
where
    T: EventData + Send + 'static,
    I: Inbox + 'static,
    F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<(), Failure>> + Send + 'static,
    S: Clone + Send + Sync + 'static,
{
    let receiver = receiver.into();
    any(move |request: Request| {
        let (receiver, handler) = (Arc::clone(&receiver), handler.clone());
        async move {
            match Whole::read(&*receiver, request).await {
                Ok(admitted) => ToItsEnd::new(receiver.lease(), handled(receiver, admitted, handler)).await,
                Err(rejection) => receiver.refuse(&rejection),
            }
        }
    })
}

async fn handled<T, I, F, R>(
    receiver: Arc<Receiver<I>>,
    (permit, whole): (Permit, Whole),
    handler: F,
) -> Answer
where
    T: EventData,
    I: Inbox,
    F: FnOnce(Result<Envelope<T>, Box<DataError>>) -> R,
    R: Future<Output = Result<(), Failure>>,
{
    let (now, arrival) = (OffsetDateTime::now_utc(), whole.arrival());
    match receiver.answer_admitted(permit, &arrival, &whole.body, now, handler).await {
        Ok(answer) => answer,
        Err(rejection) => receiver.refuse(&rejection),
    }
}

/// A route that several senders share: each request is handled by the receiver that proves it.
///
/// The answers are those of [`Senders::answer`](crate::receive::Senders::answer).
///
/// ```
/// use axum::Router;
/// use hookwire::receive::axum::senders;
/// use hookwire::receive::{Receiver, Senders};
/// use hookwire::{allison, Contract, DataError, Envelope, Secret};
///
/// let allisons = Receiver::signed(Contract::allison(), &Secret::generate())?;
/// let shared = Senders::new().with(allisons, async |event: Result<Envelope<allison::Event>, Box<DataError>>| {
///     println!("{}", event?.event_type());
///     Ok(())
/// });
/// let app: Router = Router::new().route("/hooks", senders(shared));
/// # let _ = app;
/// # Ok::<(), hookwire::Error>(())
/// ```
pub fn senders<S>(senders: impl Into<Arc<Senders>>) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let senders = senders.into();
    any(move |request: Request| {
        let senders = Arc::clone(&senders);
        async move {
            match Whole::read(&*senders, request).await {
                Ok(admitted) => ToItsEnd::new(senders.lease(), answered(senders, admitted)).await,
                Err(rejection) => senders.refuse(&rejection),
            }
        }
    })
}

async fn answered(senders: Arc<Senders>, (admitted, whole): ((Permit, Refused), Whole)) -> Answer {
    let (now, arrival) = (OffsetDateTime::now_utc(), whole.arrival());
    match senders.answer_admitted(admitted, &arrival, &whole.body, now).await {
        Ok(answer) => answer,
        Err(rejection) => senders.refuse(&rejection),
    }
}

/// A route that keeps requests for a worker, and answers each as soon as it is kept: for handlers that may take longer than a
/// sender waits.
///
/// The answers are those of [`Receiver::keep`]: 200 for what is kept, now or before.
///
/// ```
/// use std::sync::Arc;
/// use axum::Router;
/// use hookwire::receive::Receiver;
/// use hookwire::receive::axum::keep;
/// use hookwire::{Contract, MemoryStore, Secret};
///
/// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?.with_intake(MemoryStore::new());
/// let app: Router = Router::new().route("/hooks/allison", keep(receiver));
/// # let _ = app;
/// # Ok::<(), hookwire::Error>(())
/// ```
pub fn keep<I, S>(receiver: impl Into<Arc<Receiver<I>>>) -> MethodRouter<S>
where
    I: Intake + 'static,
    S: Clone + Send + Sync + 'static,
{
    let receiver = receiver.into();
    any(move |request: Request| {
        let receiver = Arc::clone(&receiver);
        async move {
            match kept(&receiver, request).await {
                Ok(kept) => Answer::from(kept),
                Err(rejection) => receiver.refuse(&rejection),
            }
        }
    })
}

async fn kept<I: Intake>(receiver: &Receiver<I>, request: Request) -> Result<Kept, Rejection> {
    let (permit, whole) = Whole::read(receiver, request).await?;
    receiver.keep_admitted(permit, &whole.arrival(), &whole.body, OffsetDateTime::now_utc()).await
}

/// An event to handle, and its receipt: commit it when the event was handled.
///
/// An extractor for routers whose state has an `Arc<Receiver<I>>`. What is not to be handled is answered without the handler:
/// duplicates with 200, what is not proven with 401. Data that does not fit its type is answered 503, to be sent again to a mended
/// program: a handler that decides about it itself takes [`Received`], an extractor too.
///
/// A sender that hangs up has axum drop your handler where it is. The event of a receipt that goes with it is released, as that of one
/// that you drop: what the handler has done until then stays done, and the sender's next attempt is handled from the start. A
/// handler that has to come to its end is a [`hook`]'s, or goes on in a task of its own with the receipt.
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
/// # let _: axum::Router<Arc<Receiver<NoInbox>>> = axum::Router::new().route("/", axum::routing::post(receive));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Incoming<T, I: Inbox + 'static = NoInbox> {
    /// The event.
    pub envelope: Envelope<T>,
    /// To be committed when the event was handled, or released when it could not be.
    pub receipt: Receipt<'static, I>,
}

/// A genuine request, and what there is to do about it: for a handler that decides about duplicates, and about data that does not fit
/// its type, by itself. What is not proven is answered without it.
///
/// An extractor for routers whose state has an `Arc<Receiver<I>>`. Of a sender that hangs up holds what [`Incoming`] says.
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
///         // Shelved with the data as it came, and answered 200: it is of no use to have it repeated.
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
/// # let _: axum::Router<Arc<Receiver<NoInbox>>> = axum::Router::new().route("/", axum::routing::post(receive));
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
        let refuse = |rejection: Rejection| receiver.refuse(&rejection);
        let (permit, whole) = Whole::read(&*receiver, request).await.map_err(refuse)?;
        let now = OffsetDateTime::now_utc();
        let arrival = whole.arrival();
        let received = receiver.receive_shared_admitted(permit, &arrival, &whole.body, now).await;
        Ok(match received.map_err(refuse)? {
            Self::Event { envelope, receipt } => {
                Self::Event { envelope, receipt: receipt.released_by(release) }
            }
            Self::Undecodable { error, receipt } => {
                Self::Undecodable { error, receipt: receipt.released_by(release) }
            }
            nothing_to_do => nothing_to_do,
        })
    }
}

/// Has an event released in a task: who dropped its receipt waits for nothing. What cannot be released is free when its lease ends.
fn release<I: Inbox + 'static>(receiver: Arc<Receiver<I>>, key: InboxKey, lease: Lease) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move { drop(receiver.inbox().release(&key, lease).await) });
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
                // What cannot be released is free when its lease ends.
                drop(receipt.release().await);
                Err(Arc::<Receiver<I>>::from_ref(state).refuse(&Rejection::Handler(error)))
            }
            Received::Duplicate { .. } | Received::OtherType { .. } => Err(Answer::OK),
        }
    }
}

/// The event alone, for handlers that can be repeated safely: a receiver without an inbox remembers nothing.
impl<S, T> FromRequest<S> for Envelope<T>
where
    S: Send + Sync,
    T: EventData + Send,
    Arc<Receiver<NoInbox>>: FromRef<S>,
{
    type Rejection = Answer;

    async fn from_request(request: Request, state: &S) -> Result<Self, Answer> {
        let incoming = Incoming::from_request(request, state).await?;
        // Nothing is remembered, and so there is nothing to release.
        drop(incoming.receipt.commit(OffsetDateTime::now_utc()).await);
        Ok(incoming.envelope)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.into_response().map(Body::from)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        IntoResponse::into_response(Answer::from(&self))
    }
}

/// What a request has to keep to until its body has arrived.
trait Bounds {
    /// What is known of a request that was judged by its head.
    type Judged;

    fn admitted(&self, now: OffsetDateTime) -> Result<Permit, Rejection>;
    fn judged(&self, permit: Permit, arrival: &Arrival<'_>, length: u64) -> Result<Self::Judged, Rejection>;
    fn limit(&self) -> usize;
    fn deadline(&self) -> Duration;
}

impl<I> Bounds for Receiver<I> {
    type Judged = Permit;

    fn admitted(&self, now: OffsetDateTime) -> Result<Permit, Rejection> {
        self.admit(now)
    }

    fn judged(&self, permit: Permit, arrival: &Arrival<'_>, length: u64) -> Result<Permit, Rejection> {
        self.judge(arrival, length)?;
        self.check_presence(arrival)?;
        Ok(permit)
    }

    fn limit(&self) -> usize {
        self.max_body()
    }

    fn deadline(&self) -> Duration {
        self.body_deadline()
    }
}

impl Bounds for Senders {
    type Judged = (Permit, Refused);

    fn admitted(&self, now: OffsetDateTime) -> Result<Permit, Rejection> {
        self.admit(now)
    }

    fn judged(
        &self,
        permit: Permit,
        arrival: &Arrival<'_>,
        length: u64,
    ) -> Result<(Permit, Refused), Rejection> {
        Ok((permit, self.judge(arrival, length)?))
    }

    fn limit(&self) -> usize {
        self.max_body()
    }

    fn deadline(&self) -> Duration {
        self.body_deadline()
    }
}

/// A request whose body has arrived.
struct Whole {
    parts: Parts,
    tenant: Option<String>,
    body: Bytes,
}

impl Whole {
    /// Judges what can be judged without the body, and then reads it.
    async fn read<B: Bounds>(bounds: &B, request: Request) -> Result<(B::Judged, Self), Rejection> {
        use http_body::Body as _;

        let permit = bounds.admitted(OffsetDateTime::now_utc())?;
        let (mut parts, body) = request.into_parts();
        acceptable(&parts.method, &parts.headers)?;
        let tenant = tenant(&mut parts).await;
        let mut whole = Self { parts, tenant, body: Bytes::new() };
        let judged = bounds.judged(permit, &whole.arrival(), body.size_hint().lower())?;
        whole.body = within(bounds.deadline(), collect(body, bounds.limit())).await?;
        Ok((judged, whole))
    }

    fn arrival(&self) -> Arrival<'_> {
        // Inside a nested router the URI is cut.
        let original = self.parts.extensions.get::<OriginalUri>().map(|uri| uri.0.path());
        let arrival = Arrival {
            tenant: self.tenant.as_deref(),
            ..Arrival::new(&self.parts.headers).with_path(original.unwrap_or_else(|| self.parts.uri.path()))
        };
        match self.parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(peer)) => arrival.with_peer(peer.ip()),
            None => arrival,
        }
    }
}

/// The path's parameter `tenant`.
async fn tenant(parts: &mut Parts) -> Option<String> {
    use ::axum::extract::FromRequestParts as _;

    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    parameters.iter().find(|(name, _)| *name == "tenant").map(|(_, value)| value.to_owned())
}

/// Handles in a task of its own what is dropped before its end, as a server does when the sender hangs up.
///
/// A handler that was dropped in the middle would leave its event reserved until the lease ends, and a sender that repeats it sooner
/// and then no more (Nectar Desk, within 7 s) would be refused each time.
struct ToItsEnd<F: Future<Output = Answer> + Send + 'static> {
    rest: Option<Pin<Box<F>>>,
    lease: Duration,
}

impl<F: Future<Output = Answer> + Send + 'static> ToItsEnd<F> {
    fn new(lease: Duration, handling: F) -> Self {
        Self { rest: Some(Box::pin(handling)), lease }
    }
}

impl<F: Future<Output = Answer> + Send + 'static> Future for ToItsEnd<F> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        // Not there while it is polled: one that panics is not polled again.
        let mut rest = self.rest.take().expect("invariant: a future is not polled after its end");
        let polled = rest.as_mut().poll(context);
        if polled.is_pending() {
            self.rest = Some(rest);
        }
        polled
    }
}

impl<F: Future<Output = Answer> + Send + 'static> Drop for ToItsEnd<F> {
    fn drop(&mut self) {
        if let (Some(rest), Ok(runtime)) = (self.rest.take(), Handle::try_current()) {
            // Not for ever: when the lease has ended, another copy may be handled.
            let lease = self.lease;
            runtime.spawn(async move { drop(timeout(lease, rest).await) });
        }
    }
}

/// What `reading` reads, if it does so within the deadline.
///
/// Nearly every body arrives with its head, and a timer costs a system call: it is set when there is something to wait for.
async fn within(
    deadline: Duration,
    reading: impl Future<Output = Result<Bytes, Rejection>>,
) -> Result<Bytes, Rejection> {
    let mut reading = pin!(reading);
    let mut was_asked = false;
    let at_hand = poll_fn(|context| match reading.as_mut().poll(context) {
        Poll::Ready(body) => Poll::Ready(Some(body)),
        Poll::Pending if was_asked => Poll::Ready(None),
        Poll::Pending => {
            // The server hands the body on when it is asked for it, and asks again right after.
            was_asked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match at_hand.await {
        Some(body) => body,
        None => timeout(deadline, reading).await.map_err(|_| Rejection::Incomplete)?,
    }
}

/// The whole body, unless it is longer than `limit`.
async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Rejection> {
    let too_large = || Rejection::TooLarge { limit };
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Rejection::Truncated)?.into_data() else { continue };
        if data.len() > limit - whole.len().max(first.len()) {
            return Err(too_large());
        }
        // Most bodies come in one piece, which is taken as it is.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

//! [`RecordingReceiver`]: a receiver without a network, which keeps what it got and what became of it.

use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Request;
use time::OffsetDateTime;

use crate::contract::Contract;
use crate::event::{DataError, Envelope, EventData, EventId, RawEvent};
use crate::receive::{Answer, Arrival, Receiver, Rejection};
use crate::store::Inbox;

type Failure = Box<dyn StdError + Send + Sync>;

/// A handler behind a real [`Receiver`], given requests without a network, and a record of what became of each.
///
/// Everything that the receiver does is done: guards, signature, age, inbox, decoding, the handler, commit or release, the answer.
/// Requests are those of [`Samples`](super::Samples) and [`Faults`](super::Faults), or any other. Clones share the record, so that one
/// can be given away.
///
/// ```
/// use hookwire::receive::Receiver;
/// use hookwire::testing::{Faults, RecordingReceiver, Samples};
/// use hookwire::{allison, Contract, DataError, Envelope, MemoryStore, Secret};
/// use std::error::Error;
/// use time::OffsetDateTime;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// // The code under test.
/// async fn handle(event: Result<Envelope<allison::Event>, Box<DataError>>) -> Result<(), Box<dyn Error + Send + Sync>> {
///     match event?.data {
///         allison::Event::CallEnded(call) if call.call_id.is_empty() => Err("a call without an id".into()),
///         _ => Ok(()),
///     }
/// }
///
/// let (contract, secret, now) = (Contract::allison(), Secret::generate(), OffsetDateTime::now_utc());
/// let samples = Samples::new(contract.clone(), &secret)?;
/// let receiver = RecordingReceiver::new(
///     Receiver::signed(contract.clone(), &secret)?.with_inbox(MemoryStore::new()),
///     handle,
/// );
///
/// // Each type of event is taken, and no sender that goes wrong gets further than it should.
/// for (_, request) in samples.requests(now)? {
///     assert_eq!(receiver.receive(request, now).await.answer.status, 200);
/// }
/// let send = async |request| receiver.receive(request, now).await.answer.status;
/// assert_eq!(Faults::new(&samples, now)?.drive(send).await, []);
///
/// let unnamed = Envelope::new(allison::CallEnded::new(""));
/// let failed = receiver.receive(samples.request_of(&unnamed, now)?, now).await;
/// assert_eq!(failed.answer.status, 503);
/// assert_eq!(failed.event.expect("the handler was called").event_type(), "call.ended");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct RecordingReceiver {
    take: Take,
    peer: Option<IpAddr>,
    tenant: Option<Arc<str>>,
    recorded: Arc<Mutex<Vec<Reception>>>,
}

type Take = Arc<dyn Fn(Sent) -> Pin<Box<dyn Future<Output = Reception> + Send>> + Send + Sync>;

/// A request on its way, and where it comes from.
struct Sent {
    request: Request<Bytes>,
    at: OffsetDateTime,
    peer: Option<IpAddr>,
    tenant: Option<Arc<str>>,
}

impl RecordingReceiver {
    /// Has `handler` handle what `receiver` proves, as [`Receiver::answer`] has it.
    pub fn new<T, I, F, R>(receiver: impl Into<Arc<Receiver<I>>>, handler: F) -> Self
    where
        T: EventData + Send + 'static,
        I: Inbox + 'static,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let taker = Arc::new((receiver.into(), handler));
        let take = move |sent: Sent| -> Pin<Box<dyn Future<Output = Reception> + Send>> {
            let taker = Arc::clone(&taker);
            Box::pin(async move {
                let (receiver, handler) = &*taker;
                take(receiver, handler, sent).await
            })
        };
        Self { take: Arc::new(take), peer: None, tenant: None, recorded: Arc::default() }
    }

    /// The same receiver, whose requests come from this address: for its guards.
    pub fn with_peer(mut self, peer: impl Into<IpAddr>) -> Self {
        self.peer = Some(peer.into());
        self
    }

    /// The same receiver, whose requests are for this tenant: for its secrets.
    pub fn with_tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Receives a request that arrives at `now`, and tells what became of it. Its path is that of its URI.
    pub async fn receive(&self, request: Request<Bytes>, now: OffsetDateTime) -> Reception {
        let sent = Sent { request, at: now, peer: self.peer, tenant: self.tenant.clone() };
        let reception = (self.take)(sent).await;
        self.lock().push(reception.clone());
        reception
    }

    /// What became of each request until now, in the order in which they were answered.
    pub fn recorded(&self) -> Vec<Reception> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reception>> {
        // Nothing panics while it is held.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take<T, I, F, R>(receiver: &Receiver<I>, handler: &F, sent: Sent) -> Reception
where
    T: EventData,
    I: Inbox,
    F: Fn(Result<Envelope<T>, Box<DataError>>) -> R,
    R: Future<Output = Result<(), Failure>>,
{
    let Sent { request, at, peer, tenant } = sent;
    let arrival = Arrival {
        peer,
        tenant: tenant.as_deref(),
        ..Arrival::new(request.headers()).with_path(request.uri().path())
    };
    let mut given = None;
    let watched = |event: Result<Envelope<T>, Box<DataError>>| {
        given = Some(match &event {
            Ok(envelope) => (Some(envelope.id.clone()), Some(envelope.created_at)),
            Err(error) => (error.id().cloned(), None),
        });
        handler(event)
    };
    let answered = receiver.answer(request.method(), &arrival, request.body(), at, watched).await;
    let event =
        given.and_then(|(id, made_at)| as_it_came(receiver.contract(), &request, id, made_at.unwrap_or(at)));
    let (answer, rejection) = match answered {
        Ok(answer) => (answer, None),
        Err(rejection) => (receiver.refuse(&rejection), Some(Arc::new(rejection))),
    };
    Reception { request, at, answer, rejection, event }
}

/// The event of a request whose handler was given it.
fn as_it_came(
    contract: &Contract,
    request: &Request<Bytes>,
    id: Option<EventId>,
    at: OffsetDateTime,
) -> Option<Envelope<RawEvent>> {
    let read = contract.format().decode::<RawEvent>(request.body()).ok()?;
    Some(Envelope {
        id: id.or(read.id)?,
        created_at: read.created_at.unwrap_or(at),
        version: read.version,
        data: read.data,
    })
}

/// A request that a [`RecordingReceiver`] was given, and what became of it.
///
/// `Debug` shows neither headers nor body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Reception {
    /// The request.
    pub request: Request<Bytes>,
    /// When it came.
    pub at: OffsetDateTime,
    /// What was answered.
    pub answer: Answer,
    /// Why it was refused, if it was: the handler's error too is a source of this.
    pub rejection: Option<Arc<Rejection>>,
    /// What the handler was given, with its data as they came, whether or not they fit their type; nothing where it was not called,
    /// as for a duplicate.
    pub event: Option<Envelope<RawEvent>>,
}

impl fmt::Debug for Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reception")
            .field("method", self.request.method())
            .field("at", &self.at)
            .field("answer", &self.answer)
            .field("rejection", &self.rejection)
            .field("event", &self.event.as_ref().map(Envelope::event_type))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RecordingReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingReceiver").field("recorded", &self.lock()).finish_non_exhaustive()
    }
}

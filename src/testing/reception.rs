//! [`RecordingReceiver`]: a receiver without a network that records its requests and their outcomes.

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

type HandlerError = Box<dyn StdError + Send + Sync>;

/// A handler behind a real [`Receiver`] that gets requests without a network, and a record of the outcomes.
///
/// The receiver does everything that it does on a network: guards, signature, age, inbox, decoding, the
/// handler, commit or release, and the answer. Give it the requests of [`Samples`](super::Samples) and
/// [`Faults`](super::Faults), or your own. Clones share the record, so you can give one away.
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
/// async fn handle(
///     event: Result<Envelope<allison::Event>, Box<DataError>>,
/// ) -> Result<(), Box<dyn Error + Send + Sync>> {
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
/// // The handler takes each type of event, and no sender that goes wrong gets further than it should.
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
    receive: Receive,
    peer: Option<IpAddr>,
    tenant: Option<Arc<str>>,
    recorded: Arc<Mutex<Vec<Reception>>>,
}

type Receive = Arc<dyn Fn(Sent) -> Pin<Box<dyn Future<Output = Reception> + Send>> + Send + Sync>;

/// A request on its way, with its origin.
struct Sent {
    request: Request<Bytes>,
    at: OffsetDateTime,
    peer: Option<IpAddr>,
    tenant: Option<Arc<str>>,
}

impl RecordingReceiver {
    /// Has `handler` handle the events that `receiver` proves, as
    /// [`Proven::handle`](crate::receive::Proven::handle) describes.
    pub fn new<T, I, F, R>(receiver: impl Into<Arc<Receiver<I>>>, handler: F) -> Self
    where
        T: EventData + Send + 'static,
        I: Inbox + 'static,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        let receiving = Arc::new((receiver.into(), handler));
        let receive = move |sent: Sent| -> Pin<Box<dyn Future<Output = Reception> + Send>> {
            let receiving = Arc::clone(&receiving);
            Box::pin(async move {
                let (receiver, handler) = &*receiving;
                receive(receiver, handler, sent).await
            })
        };
        Self { receive: Arc::new(receive), peer: None, tenant: None, recorded: Arc::default() }
    }

    /// Sets the address from which the requests come, for the receiver's guards.
    pub fn with_peer(mut self, peer: impl Into<IpAddr>) -> Self {
        self.peer = Some(peer.into());
        self
    }

    /// Sets the tenant that the requests are for, for the receiver's secrets.
    pub fn with_tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Receives a request that arrives at `now`, and returns its outcome. Its path is that of its URI.
    pub async fn receive(&self, request: Request<Bytes>, now: OffsetDateTime) -> Reception {
        let sent = Sent { request, at: now, peer: self.peer, tenant: self.tenant.clone() };
        let reception = (self.receive)(sent).await;
        self.lock().push(reception.clone());
        reception
    }

    /// The outcomes of all requests until now, in the order of their answers.
    pub fn recorded(&self) -> Vec<Reception> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reception>> {
        // Nothing panics while the lock is held.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive<T, I, F, R>(receiver: &Receiver<I>, handler: &F, sent: Sent) -> Reception
where
    T: EventData,
    I: Inbox,
    F: Fn(Result<Envelope<T>, Box<DataError>>) -> R,
    R: Future<Output = Result<(), HandlerError>>,
{
    let Sent { request, at, peer, tenant } = sent;
    let mut handled = None;
    let watched = |event: Result<Envelope<T>, Box<DataError>>| {
        handled = Some(match &event {
            Ok(envelope) => (Some(envelope.id.clone()), Some(envelope.created_at)),
            Err(error) => (error.id().cloned(), None),
        });
        handler(event)
    };
    let answered = async {
        let arrival = Arrival { peer, tenant: tenant.as_deref(), ..Arrival::from(&request) };
        receiver.admit(arrival, at)?.prove(request.body(), at).await?.handle(watched).await
    }
    .await;
    let event =
        handled.and_then(|(id, made_at)| raw_event(receiver.contract(), &request, id, made_at.unwrap_or(at)));
    let (answer, rejection) = match answered {
        Ok(answer) => (answer, None),
        Err(rejection) => (receiver.refuse(&rejection), Some(Arc::new(rejection))),
    };
    Reception { request, at, answer, rejection, event }
}

/// The event of a request, with its data as they were sent.
fn raw_event(
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

/// A request that a [`RecordingReceiver`] received, and its outcome.
///
/// `Debug` shows neither headers nor body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Reception {
    /// The request.
    pub request: Request<Bytes>,
    /// The time of its arrival.
    pub at: OffsetDateTime,
    /// The answer.
    pub answer: Answer,
    /// Why it was refused, if it was. The handler's error is a source of this.
    pub rejection: Option<Arc<Rejection>>,
    /// The handler's event, with its data as they were sent, whether or not they fit their type. `None` if
    /// the handler was not called, for example for a duplicate.
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

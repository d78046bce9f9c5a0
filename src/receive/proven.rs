//! [`Proven`]: a request whose body is proven.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use time::OffsetDateTime;

use crate::event::{DataError, DecodeError, Envelope, EventData, EventId};
use crate::provider::ProviderEvent;
use crate::receive::admission::Permit;
use crate::receive::admitted::Admitted;
use crate::receive::answer::Answer;
use crate::receive::arrival::Arrival;
use crate::receive::panic::catch_panic;
use crate::receive::provider_check::ProviderCheck;
use crate::receive::receipt::Receipt;
use crate::receive::received::Received;
use crate::receive::receiver::Receiver;
use crate::receive::receiver_ref::ReceiverRef;
use crate::receive::rejection::Rejection;
use crate::receive::telemetry::{self, EventSpan, Stopwatch, Trace};
use crate::receive::window::Window;
use crate::signature::{Request, Verified};
use crate::store::{Inbox, InboxKey, Lease, Reservation};

/// A request whose body is proven.
///
/// Three ways lead on. [`receive`](Self::receive) gives you the event and its receipt.
/// [`handle`](Self::handle) calls a handler and makes the answer. [`store_first`](Self::store_first) stores
/// the request for a worker.
#[must_use = "a proven request is not yet handled"]
pub struct Proven<'r, 'a, I> {
    pub(super) permit: Permit<ReceiverRef<'r, I>>,
    /// The name of the sender in the inbox, if it differs from the receiver's.
    source: Option<Arc<str>>,
    pub(super) verified: Verified<'a>,
    /// The head of a provider's request, which may have the event's id and type.
    arrival: Option<Box<Arrival<'a>>>,
    /// The place in a trace that the sender named.
    trace: Trace<'a>,
}

/// One event of a proven request, not yet decoded.
pub(super) struct Message<'m> {
    /// The name that tells its copies apart, if it is another than the event's id.
    key: Option<EventId>,
    /// Whether an id or a time of its own tells it apart from an equal event.
    is_told_apart: bool,
    pub(super) verified: Cow<'m, Verified<'m>>,
}

/// The place of an event in the inbox, or why it is not to be handled.
enum Reserved {
    New { key: InboxKey, lease: Lease, window: Window },
    Duplicate { id: EventId },
}

/// An event, or the error of data that does not fit its type.
pub(super) type Read<T> = Result<Envelope<T>, Box<DataError>>;

impl<'r, 'a, I> Admitted<'r, 'a, I> {
    /// Proves the request by its body, which arrived at `now`.
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log; [`Receiver::refuse`] makes an answer of it.
    #[allow(clippy::manual_async_fn, reason = "an async fn moves its arguments once more")]
    pub fn prove(
        self,
        body: &'a [u8],
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Proven<'r, 'a, I>, Rejection>> {
        async move {
            let receiver = self.permit.of();
            if body.len() > receiver.max_body {
                return Err(Rejection::TooLarge { limit: receiver.max_body });
            }
            let guard = receiver.guards.first().map(|guard| guard.name());
            let (check, arrival) = (&receiver.check, &self.arrival);
            let verified = match check.prove(guard, arrival, self.found, body, now) {
                Some(proof) => proof?,
                // In a box, so that requests that wait for nothing do not carry its future's size.
                None => {
                    let (contract, types) = (&receiver.contract, &receiver.content_types);
                    Box::pin(check.prove_slowly(contract, types, arrival, self.found, body, now)).await?
                }
            };
            let verified = match receiver.decoder {
                Some(decoder) => decoder.decoded(self.arrival.headers, verified)?,
                None => verified,
            };
            let source = receiver.check.source(&receiver.source, &self.arrival);
            let trace = Trace::of(self.arrival.headers);
            let arrival = receiver.check.provider().map(|_| Box::new(self.arrival));
            Ok(Proven { permit: self.permit, source, verified, arrival, trace })
        }
    }
}

impl<'r, 'a, I> Proven<'r, 'a, I> {
    /// The request's body, and its proof.
    pub fn verified(&self) -> &Verified<'a> {
        &self.verified
    }

    /// The events of the request, not yet decoded: the request itself, or what its provider puts into it.
    pub(super) fn messages(&self) -> Result<Vec<Message<'_>>, Rejection> {
        let (Some(arrival), Some(provider)) = (&self.arrival, self.receiver().provider()) else {
            return Ok(vec![self.message()]);
        };
        let request = Request::new(arrival.method, arrival.headers, self.verified.body());
        let limit = self.receiver().max_events;
        let events = provider.events_within(&request, &self.verified, limit);
        let events = events.map_err(Rejection::Malformed)?.ok_or(Rejection::TooManyEvents { limit })?;
        let message = |event: ProviderEvent| {
            let at = self.verified.timestamp().unwrap_or_else(|| self.verified.received_at());
            let verified = self.verified.event(event.envelope(at));
            Message {
                key: Some(event.key),
                is_told_apart: event.is_told_apart,
                verified: Cow::Owned(verified),
            }
        };
        Ok(events.into_iter().map(message).collect())
    }

    /// The one event of a request under a contract.
    fn message(&self) -> Message<'_> {
        let is_told_apart = self.receiver().contract.tells_apart(&self.verified);
        Message { key: None, is_told_apart, verified: Cow::Borrowed(&self.verified) }
    }

    /// The one event of the request, if it has any.
    fn one_message(&self) -> Result<Option<Message<'_>>, Rejection> {
        if self.arrival.is_none() {
            return Ok(Some(self.message()));
        }
        let mut all = self.messages()?;
        let last = all.pop();
        if all.is_empty() { Ok(last) } else { Err(Rejection::SeveralEvents) }
    }

    /// Reads an event, as far as its data fits.
    pub(super) fn read<T: EventData>(&self, message: &Verified<'_>) -> Result<Read<T>, DecodeError> {
        match self.receiver().contract.decode::<T>(message) {
            Ok(envelope) => Ok(Ok(envelope)),
            Err(DecodeError::Data(error)) => Ok(Err(error)),
            Err(error) => Err(error),
        }
    }

    /// The event's id, or the digest of the body if the platform sends no id.
    pub(super) fn id<T>(message: &Verified<'_>, read: &Read<T>) -> EventId {
        match read {
            Ok(envelope) => envelope.id.clone(),
            Err(error) => error.id().cloned().unwrap_or_else(|| EventId::of_body(message.body())),
        }
    }

    /// The key of the event with this id, and how long its copies are duplicates.
    pub(super) fn key(
        &self,
        message: &Message<'_>,
        id: impl FnOnce() -> EventId,
    ) -> Result<(InboxKey, Window), Rejection> {
        let receiver = self.receiver();
        let own = match &receiver.key {
            // The function is the application's own, so its panic fails this request and nothing else.
            Some(key) => catch_unwind(AssertUnwindSafe(|| key(&message.verified)))
                .map_err(|_panic| Rejection::KeyPanicked)?,
            None => None,
        };
        let window = match own.is_some() || message.is_told_apart {
            true => Window::Handled(receiver.contract.dedupe_window()),
            false => {
                let (length, since) = (receiver.contract.copy_window(), self.verified.received_at());
                Window::Arrived { length, since }
            }
        };
        let source = self.source.as_ref().unwrap_or(&receiver.source);
        let key =
            own.or_else(|| message.key.clone()).unwrap_or_else(|| delivery_key(&message.verified, id()));
        Ok((InboxKey::new(Arc::clone(source), key), window))
    }

    pub(super) fn receiver(&self) -> &Receiver<I> {
        self.permit.of()
    }

    /// The answer to an event that is handled or stored, now or before.
    pub(super) fn accepted(receiver: &Receiver<I>) -> Answer {
        receiver.numbers.accepted();
        receiver.check.provider().map_or(Answer::OK, ProviderCheck::accepted)
    }
}

impl<'r, I: Inbox> Proven<'r, '_, I> {
    /// Decodes the event, and reserves it in the inbox unless it was handled before.
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log; [`Receiver::refuse`] makes an answer of it.
    /// [`Rejection::SeveralEvents`] if the request has more than one event, for which
    /// [`receive_all`](Self::receive_all) is made.
    #[allow(clippy::manual_async_fn, reason = "an async fn moves its arguments once more")]
    pub fn receive<T: EventData>(self) -> impl Future<Output = Result<Received<'r, T, I>, Rejection>> {
        async move {
            let Some(message) = self.one_message()? else {
                self.receiver().numbers.accepted();
                return Ok(Received::NoEvent);
            };
            let read = match self.read(&message.verified) {
                Ok(read) => read,
                Err(DecodeError::UnexpectedType { event_type }) => {
                    self.receiver().numbers.accepted();
                    return Ok(Received::OtherType { event_type });
                }
                Err(error) => return Err(Rejection::Malformed(error)),
            };
            let key = self.key(&message, || Self::id(&message.verified, &read))?;
            let reserved = self.reserve(key).await?;
            self.receiver().numbers.accepted();
            Ok(received(read, reserved, self.permit))
        }
    }

    /// Decodes every event of the request, and reserves each in the inbox unless it was handled before. Most
    /// requests have one event; some providers put several into one, or none.
    ///
    /// Answer the request as a whole: with a success if every event is handled, or else so that the sender
    /// repeats it. The events that you committed are then duplicates.
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log; [`Receiver::refuse`] makes an answer of it. Events that were reserved
    /// before the error stay reserved until their lease ends.
    pub async fn receive_all<T: EventData>(self) -> Result<Vec<Received<'r, T, I>>, Rejection> {
        let mut reserved = Vec::new();
        for message in self.messages()? {
            reserved.push(match self.read(&message.verified) {
                Ok(read) => {
                    let key = self.key(&message, || Self::id(&message.verified, &read))?;
                    Ok((read, self.reserve(key).await?))
                }
                Err(DecodeError::UnexpectedType { event_type }) => Err(event_type),
                Err(error) => return Err(Rejection::Malformed(error)),
            });
        }
        self.receiver().numbers.accepted();
        // The place and the bytes of the request are held until its last receipt is settled.
        let mut permits = reserved.iter().skip(1).map(|_| self.permit.share()).collect::<Vec<_>>();
        permits.push(self.permit);
        let event = |(event, permit)| match event {
            Ok((read, place)) => received(read, place, permit),
            Err(event_type) => Received::OtherType { event_type },
        };
        Ok(reserved.into_iter().zip(permits).map(event).collect())
    }

    /// Reserves an event in the inbox. The event itself stays with the caller, because it is large.
    async fn reserve(&self, (key, window): (InboxKey, Window)) -> Result<Reserved, Rejection> {
        let receiver = self.receiver();
        let reserved = receiver.inbox.reserve(&key, receiver.lease, self.verified.received_at());
        match reserved.await? {
            Reservation::New(lease) => Ok(Reserved::New { key, lease, window }),
            Reservation::InFlight => Err(Rejection::InFlight),
            Reservation::Done => {
                receiver.numbers.duplicate();
                Ok(Reserved::Duplicate { id: key.id })
            }
        }
    }

    /// Has `handler` handle the event once, and makes the answer.
    ///
    /// The handler gets the envelope, or an error if an event of a known type has data that does not fit. If
    /// the handler passes the error on with `?`, the event is [shelved](Receiver::with_shelf): it counts as
    /// handled, because a repetition would not fit either.
    ///
    /// If the handler succeeds, the event is committed. If it fails or panics, the event is released and the
    /// sender is asked to repeat it. Duplicates are answered 200 without the handler. So are types other than
    /// `T`, if `T` is the data of one type.
    ///
    /// If the future is dropped before it is ready, that acts like a crash: the event stays reserved until
    /// its [lease](Receiver::with_handling_lease) ends. Servers drop their futures when the sender hangs up.
    /// In a task of its own, the handler runs to its end.
    ///
    /// # Errors
    ///
    /// [`Rejection`], for your own log; [`Receiver::refuse`] makes an answer of it.
    /// [`Rejection::SeveralEvents`] if the request has more than one event, for which
    /// [`handle_each`](Self::handle_each) is made.
    pub async fn handle<T, F, R, E>(self, handler: F) -> Result<Answer, Rejection>
    where
        T: EventData,
        F: FnOnce(Result<Envelope<T>, Box<DataError>>) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        if let Some(message) = self.one_message()? {
            self.handle_message(&message, handler).await?;
        }
        Ok(Self::accepted(self.receiver()))
    }

    /// Has `handler` handle each event of the request once, as [`handle`](Self::handle) does with one, and
    /// makes the answer. Some providers put several events into a request, or none.
    ///
    /// The sender is asked to repeat the request if one of its events fails. The others are duplicates then.
    ///
    /// # Errors
    ///
    /// [`Rejection`] of the first event that failed.
    pub async fn handle_each<T, F, R, E>(self, handler: F) -> Result<Answer, Rejection>
    where
        T: EventData,
        F: Fn(Result<Envelope<T>, Box<DataError>>) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        if self.arrival.is_none() {
            return self.handle(handler).await;
        }
        let mut failed = None;
        for message in self.messages()? {
            if let Err(rejection) = self.handle_message(&message, &handler).await {
                failed = failed.or(Some(rejection));
            }
        }
        match failed {
            Some(rejection) => Err(rejection),
            None => Ok(Self::accepted(self.receiver())),
        }
    }

    async fn handle_message<T, F, R, E>(&self, message: &Message<'_>, handler: F) -> Result<(), Rejection>
    where
        T: EventData,
        F: FnOnce(Result<Envelope<T>, Box<DataError>>) -> R,
        R: Future<Output = Result<(), E>>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let now = self.verified.received_at();
        let event = match self.read::<T>(&message.verified) {
            Ok(event) => event,
            Err(DecodeError::UnexpectedType { .. }) => return Ok(()),
            Err(error) => return Err(Rejection::Malformed(error)),
        };
        let key = self.key(message, || Self::id(&message.verified, &event))?;
        let mut receipt = match self.reserve(key).await? {
            Reserved::New { key, lease, window } => Receipt::new(self.permit.share(), key, lease, window),
            Reserved::Duplicate { .. } => return Ok(()),
        };
        let receiver = self.receiver();
        if let Err(error) = &event {
            telemetry::undecodable(&receiver.label, error);
        }
        let span = EventSpan::of(&receiver.label, &event, self.trace);
        let stopwatch = Stopwatch::start();
        // The call itself may panic too, if the handler is a closure that returns a future.
        let handled = span.around(catch_panic(async { handler(event).await })).await;
        stopwatch.stop("provider", &receiver.label);
        let error: Box<dyn StdError + Send + Sync> = match handled {
            Ok(Ok(())) => return Self::commit(&mut receipt, now).await,
            Ok(Err(error)) => error.into(),
            Err(_panic) => "handler panicked".into(),
        };
        if receiver.shelf.takes(&*error) {
            return Self::commit(&mut receipt, now).await;
        }
        // If the event cannot be released, it is free when its lease ends.
        drop(receipt.release().await);
        Err(Rejection::Handler(error))
    }

    async fn commit(receipt: &mut Receipt<'_, I>, now: OffsetDateTime) -> Result<(), Rejection> {
        if !receipt.write_commit(now).await? {
            receipt.receiver().report_overrun(receipt.key());
        }
        Ok(())
    }
}

#[inline]
fn received<T, I: Inbox>(
    read: Read<T>,
    reserved: Reserved,
    permit: Permit<ReceiverRef<'_, I>>,
) -> Received<'_, T, I> {
    match (reserved, read) {
        (Reserved::New { key, lease, window }, Ok(envelope)) => {
            Received::Event { envelope, receipt: Receipt::new(permit, key, lease, window) }
        }
        (Reserved::New { key, lease, window }, Err(error)) => {
            telemetry::undecodable(&permit.of().label, &error);
            Received::Undecodable { error, receipt: Receipt::new(permit, key, lease, window) }
        }
        (Reserved::Duplicate { id }, _) => Received::Duplicate { id },
    }
}

/// The name that tells the copies of a delivery apart: the id of the message if it is signed, or else the
/// event's.
fn delivery_key(verified: &Verified<'_>, event: EventId) -> EventId {
    match verified.id() {
        Some(id) if verified.id_is_signed() && id != event.as_str() => {
            id.parse().unwrap_or_else(|_| EventId::of_body(id.as_bytes()))
        }
        _ => event,
    }
}

impl<I> fmt::Debug for Proven<'_, '_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proven").field("verified", &self.verified).finish_non_exhaustive()
    }
}

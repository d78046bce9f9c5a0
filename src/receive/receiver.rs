//! [`Receiver`]: verify, dedupe, decode.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use time::OffsetDateTime;

use crate::contract::Contract;
use crate::error::Error;
use crate::event::{DataError, DecodeError, Envelope, EventData, EventId, EventType};
use crate::receive::{Arrival, Guard};
use crate::signature::{Secret, Verified, Verifier, VerifyError};
use crate::store::{Inbox, InboxKey, Lease, Reservation, StoreError};

/// Verifies, dedupes and decodes what arrives, in that order.
///
/// ```
/// use hookwire::receive::{Received, Receiver};
/// use hookwire::{allison, Contract, Envelope, Secret};
/// use time::OffsetDateTime;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let contract = Contract::allison();
/// let secret = Secret::generate();
/// let receiver = Receiver::signed(contract.clone(), &secret)?;
/// # let now = OffsetDateTime::now_utc();
/// # let sent = Envelope::new(allison::CallEnded::new("c1"));
/// # let body = contract.encode(&sent)?;
/// # let headers = contract.signer(&secret)?.sign(sent.id.as_str(), now, &body)?;
/// match receiver.receive::<allison::Event>(&headers, &body, now).await {
///     Ok(Received::Event { envelope, receipt, .. }) => {
///         println!("{} happened at {}", envelope.event_type(), envelope.created_at);
///         receipt.commit(now).await?;
///     }
///     Ok(_) => {} // handled before, or not to be handled: answer 200
///     Err(rejection) => println!("answer {}", rejection.status()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Receiver<I = NoInbox> {
    contract: Contract,
    check: Check,
    inbox: I,
    source: String,
    lease: Duration,
}

enum Check {
    Signature(Box<Verifier>),
    Guard(Arc<dyn Guard>),
    Nothing,
}

impl Receiver {
    /// A receiver of signed requests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsigned`](crate::ErrorKind::Unsigned) when the contract does not sign,
    /// [`ErrorKind::Secret`](crate::ErrorKind::Secret) for a secret of the wrong form.
    pub fn signed(contract: Contract, secret: &Secret) -> Result<Self, Error> {
        let verifier = contract.verifier(secret)?;
        Ok(Self::new(contract, Check::Signature(Box::new(verifier))))
    }

    /// A receiver of requests that a verifier of your own making proves, such as one with several secrets.
    pub fn verified(contract: Contract, verifier: Verifier) -> Self {
        Self::new(contract, Check::Signature(Box::new(verifier)))
    }

    /// A receiver of requests that a guard admits, for senders that sign nothing.
    pub fn guarded(contract: Contract, guard: impl Guard + 'static) -> Self {
        Self::new(contract, Check::Guard(Arc::new(guard)))
    }

    /// A receiver that takes anything from anybody. Whoever finds its URL can make events up.
    pub fn dangerous_unguarded(contract: Contract) -> Self {
        Self::new(contract, Check::Nothing)
    }

    fn new(contract: Contract, check: Check) -> Self {
        let source = contract.name().to_owned();
        Self { contract, check, inbox: NoInbox, source, lease: LEASE }
    }
}

impl<I: Inbox> Receiver<I> {
    /// The same receiver, remembering in `inbox` what was handled, so that a duplicate is not handled again.
    pub fn with_inbox<J: Inbox>(self, inbox: J) -> Receiver<J> {
        Receiver { contract: self.contract, check: self.check, inbox, source: self.source, lease: self.lease }
    }

    /// The same receiver, naming the sender `source` in its inbox: needed where several senders of one contract share an
    /// inbox. The default is the contract's name.
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// The same receiver, giving a handler this long before another copy of the event may be handled. The default is one
    /// minute.
    pub fn with_handling_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The contract whose requests are received.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Verifies a request that arrived at `now`, asks the inbox whether it was handled, and decodes it.
    ///
    /// # Errors
    ///
    /// [`Rejection`] knows its status code.
    pub async fn receive<T: EventData>(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Received<'_, T, I>, Rejection> {
        self.receive_arrival(&Arrival::new(headers), body, now).await
    }

    /// [`receive`](Self::receive) for guards that look at more than the headers.
    ///
    /// # Errors
    ///
    /// [`Rejection`] knows its status code.
    pub async fn receive_arrival<T: EventData>(
        &self,
        arrival: &Arrival<'_>,
        body: &[u8],
        now: OffsetDateTime,
    ) -> Result<Received<'_, T, I>, Rejection> {
        let verified = self.prove(arrival, body, now)?;
        let (id, decoded) = match self.contract.decode::<T>(&verified) {
            Ok(envelope) => (envelope.id.clone(), Ok(envelope)),
            Err(DecodeError::Data(error)) => {
                (error.id().cloned().unwrap_or_else(|| EventId::of_body(body)), Err(error))
            }
            Err(DecodeError::UnexpectedType { event_type }) => return Ok(Received::OtherType { event_type }),
            Err(error) => return Err(Rejection::Malformed(error)),
        };
        let key = InboxKey::new(self.source.clone(), id);
        let lease = match self.inbox.reserve(&key, now, self.lease).await? {
            Reservation::New(lease) => lease,
            Reservation::InFlight => return Err(Rejection::InFlight),
            Reservation::Done => return Ok(Received::Duplicate { id: key.id }),
        };
        let receipt = Receipt { inbox: &self.inbox, key, lease, keep: self.contract.dedupe_window() };
        Ok(match decoded {
            Ok(envelope) => Received::Event { envelope, receipt },
            Err(error) => Received::Undecodable { error, receipt },
        })
    }

    fn prove<'r>(
        &self,
        arrival: &Arrival<'r>,
        body: &'r [u8],
        now: OffsetDateTime,
    ) -> Result<Verified<'r>, Rejection> {
        match &self.check {
            Check::Signature(verifier) => Ok(verifier.verify_at(arrival.headers, body, now)?),
            Check::Guard(guard) if guard.admits(arrival) => {
                Ok(Verified::guarded_at(guard.name(), arrival.headers, body, now))
            }
            Check::Guard(guard) => Err(Rejection::NotAdmitted { guard: guard.name() }),
            Check::Nothing => Ok(Verified::dangerous_unsigned_at(arrival.headers, body, now)),
        }
    }
}

impl<I> fmt::Debug for Receiver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A genuine request, and what there is to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received<'r, T, I: Inbox> {
    /// An event to handle.
    #[non_exhaustive]
    Event {
        /// The event.
        envelope: Envelope<T>,
        /// To be committed when the event was handled, or released when it could not be.
        receipt: Receipt<'r, I>,
    },
    /// An event that was handled before. Answer 200.
    #[non_exhaustive]
    Duplicate {
        /// The event's id.
        id: EventId,
    },
    /// An event of another type than the one asked for, where `T` is one type's data. Answer 200: an error would make the
    /// sender repeat it, and in the end give the endpoint up.
    #[non_exhaustive]
    OtherType {
        /// The event's type.
        event_type: EventType,
    },
    /// An event of a known type with data that does not fit it.
    #[non_exhaustive]
    Undecodable {
        /// What did not fit, with the data as it came.
        error: Box<DataError>,
        /// To be committed when nothing more will be done about it, or released to see it again.
        receipt: Receipt<'r, I>,
    },
}

/// The right to handle one event, until its lease ends.
///
/// Dropped without a word it acts like a crash: the event stays reserved until the lease ends, and is handled then if the
/// sender repeats it.
#[derive(Debug)]
#[must_use = "an event that is neither committed nor released stays reserved until its lease ends"]
pub struct Receipt<'r, I: Inbox> {
    inbox: &'r I,
    key: InboxKey,
    lease: Lease,
    keep: Duration,
}

impl<I: Inbox> Receipt<'_, I> {
    /// The event was handled: copies of it are duplicates for as long as the contract's
    /// [`dedupe_window`](Contract::dedupe_window).
    ///
    /// `false` tells that the lease had ended and somebody else took the event meanwhile.
    ///
    /// # Errors
    ///
    /// The inbox's. The event will then be handled again when the sender repeats it.
    pub async fn commit(self, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.inbox.commit(&self.key, self.lease, now, self.keep).await
    }

    /// The event could not be handled: the next copy of it is.
    ///
    /// # Errors
    ///
    /// The inbox's. The event is then free when its lease ends.
    pub async fn release(self) -> Result<bool, StoreError> {
        self.inbox.release(&self.key, self.lease).await
    }
}

/// A request that is not handled, and the answer that it gets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The signature does not prove the request.
    #[error("request is not proven")]
    Unverified(#[from] VerifyError),
    /// The guard did not admit the request.
    #[error("request is not admitted by guard `{guard}`")]
    #[non_exhaustive]
    NotAdmitted {
        /// The guard's name.
        guard: &'static str,
    },
    /// The request is proven and its body is not the contract's envelope.
    #[error("request is genuine and its body is not an event")]
    Malformed(#[source] DecodeError),
    /// Another copy of the same event is being handled right now.
    #[error("another copy of the same event is being handled")]
    InFlight,
    /// The inbox cannot be asked.
    #[error("inbox is unavailable")]
    Inbox(#[from] StoreError),
}

impl Rejection {
    /// The status code to answer: 401 for what is not proven, 400 for what is not an event, 503 when the sender should repeat.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unverified(_) | Self::NotAdmitted { .. } => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::InFlight | Self::Inbox(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The wait to ask for in `Retry-After`, for a sender that should repeat.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::InFlight | Self::Inbox(_) => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

/// Remembers nothing: every copy of an event is handled. For handlers that can be repeated safely.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "it has no parts and will have none")]
pub struct NoInbox;

impl Inbox for NoInbox {
    async fn reserve(&self, _: &InboxKey, _: OffsetDateTime, _: Duration) -> Result<Reservation, StoreError> {
        Ok(Reservation::New(Lease::new(1)))
    }

    async fn commit(
        &self,
        _: &InboxKey,
        _: Lease,
        _: OffsetDateTime,
        _: Duration,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn release(&self, _: &InboxKey, _: Lease) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn prune(&self, _: OffsetDateTime, _: u32) -> Result<u64, StoreError> {
        Ok(0)
    }
}

const LEASE: Duration = Duration::from_secs(60);
const RETRY_AFTER: Duration = Duration::from_secs(5);

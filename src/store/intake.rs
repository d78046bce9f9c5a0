//! [`Intake`]: keeps proven requests until they are handled.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use crate::event::EventId;
use crate::signature::Verified;
use crate::store::{InboxKey, Lease, Settled, StoreError};

/// Keeps proven requests until they are handled, so that their senders are answered at once.
///
/// A request is kept, taken under a lease, and settled: done, tried again later, or given up. A lease whose holder died ends by
/// itself, so a crash loses nothing; but it costs an attempt, so that a request that kills its process is given up in the end
/// and not tried for ever. What was given up stays, with the reason, until somebody puts it back or closes it.
///
/// Only requests that were proven may be kept, or a forged id could block the real one. What is kept is remembered by its
/// [`InboxKey`] until it is done and for a while after, so that copies of it are duplicates. An [`Inbox`](crate::Inbox) of the
/// same store remembers on its own: a receiver uses one of the two.
///
/// Every call may be repeated when its answer was lost. `now` is the caller's time; a store that has a better clock may use its
/// own instead, which is why settlements carry delays and not instants.
/// `intake_conformance!` (feature `testing`) has a test for each rule.
pub trait Intake: Send + Sync {
    /// Writes requests down, due at once, and tells of each whether it was new, in the order given.
    fn keep(&self, requests: &[KeptRequest]) -> impl Future<Output = Result<Vec<Kept>, StoreError>> + Send;

    /// How long until a request of this queue is due: zero when one is, `None` when none waits. One that is taken is due when
    /// its lease ends.
    fn next_due(
        &self,
        queue: &str,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Option<Duration>, StoreError>> + Send;

    /// Leases due requests, those that are due longest first. Until the lease ends nobody else is given them. Every taking of a
    /// request counts as an attempt and has a [`Lease`] that no earlier one had. A request that has no attempt left is given up
    /// instead.
    fn take(&self, take: &Take) -> impl Future<Output = Result<Taken, StoreError>> + Send;

    /// Has leases end at `now` and `lease`, and tells of each whether it was still good, in the order given.
    fn extend_taken(
        &self,
        leases: &[(InboxKey, Lease)],
        now: OffsetDateTime,
        lease: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Writes what becomes of taken requests, and tells of each whether its lease was still good, in the order given. A stale one
    /// changes nothing. Settling uses the lease up: the same settlement again is stale.
    fn settle_taken(
        &self,
        settlements: &[RequestSettlement],
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Requests of this queue that were given up, by their keys in ascending order (source, then id, byte by byte), at most
    /// `limit`, beginning after the key `after`. Of a row that cannot be read, there is what can be.
    fn given_up(
        &self,
        queue: &str,
        after: Option<&InboxKey>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<GivenUpRequest>, StoreError>> + Send;

    /// Has a request that was given up be due at once with all of its attempts before it; `false` when there is none of this key.
    fn put_back(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes a request that was given up as done, and remembers it until `keep` after `now`; `false` when there is none of this
    /// key.
    fn close_given_up(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
        keep: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Forgets up to `limit` requests that are done and whose time to be remembered ended before `now`, and tells how many.
    fn prune_kept(
        &self,
        now: OffsetDateTime,
        limit: u32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A proven request, with what it takes to read its event later.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeptRequest {
    /// What tells it from others.
    pub key: InboxKey,
    /// Which workers take it: those of this name, whatever sender or tenant the key names.
    pub queue: String,
    /// The event's id, as its [`Envelope`](crate::Envelope) will have it: from the body, or from a header that is proven.
    pub event: EventId,
    /// When it arrived; it is due from then on.
    pub received_at: OffsetDateTime,
    /// When it was signed, where the proof covers a time.
    pub signed_at: Option<OffsetDateTime>,
    /// What proved it, for people to read: `signature`, the name of a guard, or `nothing`.
    pub proof: String,
    /// The raw body, as it was proven.
    pub body: Bytes,
}

impl KeptRequest {
    /// A request of event `key.id` that was proven by nothing, in the queue of its source's name.
    pub fn new(key: InboxKey, received_at: OffsetDateTime, body: Bytes) -> Self {
        Self {
            queue: (*key.source).to_owned(),
            event: key.id.clone(),
            key,
            received_at,
            signed_at: None,
            proof: "nothing".to_owned(),
            body,
        }
    }

    /// The same request for the workers of this queue.
    pub fn with_queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// The same request, whose event has this id.
    pub fn with_event(mut self, event: EventId) -> Self {
        self.event = event;
        self
    }

    /// The same request, proven by `proof` and, where that covers a time, signed at this one.
    pub fn with_proof(mut self, proof: impl Into<String>, signed_at: Option<OffsetDateTime>) -> Self {
        self.proof = proof.into();
        self.signed_at = signed_at;
        self
    }

    /// The request as it can be decoded, proven by the intake that kept it when it was proven.
    ///
    /// ```
    /// use hookwire::store::{InboxKey, KeptRequest};
    /// use hookwire::{allison, Contract, Envelope};
    /// use time::OffsetDateTime;
    ///
    /// let contract = Contract::allison();
    /// let sent = Envelope::new(allison::CallEnded::new("c1"));
    /// let key = InboxKey::new(contract.name(), sent.id.clone());
    /// let kept = KeptRequest::new(key, OffsetDateTime::now_utc(), contract.encode(&sent)?);
    /// let read: Envelope<allison::Event> = contract.decode(&kept.verified())?;
    /// assert_eq!(read.id, sent.id);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verified(&self) -> Verified<'_> {
        Verified::kept(self.event.as_str(), self.signed_at, &self.body, self.received_at)
    }
}

/// The body is a payload and stays out.
impl fmt::Debug for KeptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRequest")
            .field("key", &self.key)
            .field("queue", &self.queue)
            .field("event", &self.event)
            .field("received_at", &self.received_at)
            .field("signed_at", &self.signed_at)
            .field("proof", &self.proof)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// What became of a request that was to be kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Kept {
    /// It was written down.
    New,
    /// A request of this key was kept before, and is remembered.
    Duplicate,
}

/// A wish for due requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Take {
    /// Whose.
    pub queue: String,
    /// The caller's time.
    pub now: OffsetDateTime,
    /// How long they are nobody else's.
    pub lease: Duration,
    /// How many at the most, those given up included.
    pub limit: u32,
    /// How often a request may be taken; `None` for no limit.
    pub max_attempts: Option<u32>,
}

impl Take {
    /// Up to `limit` requests of this queue, for `lease` from `now` on.
    pub fn new(queue: impl Into<String>, now: OffsetDateTime, lease: Duration, limit: u32) -> Self {
        Self { queue: queue.into(), now, lease, limit, max_attempts: None }
    }

    /// The same wish, giving up what was taken this often.
    pub fn with_max_attempts(mut self, attempts: impl Into<Option<u32>>) -> Self {
        self.max_attempts = attempts.into();
        self
    }
}

/// What a [`Take`] took.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Taken {
    /// The requests to handle, those that were due longest first.
    pub requests: Vec<TakenRequest>,
    /// Requests that had no attempt left, and were given up. Their last lease ended without a word of its holder.
    pub given_up: Vec<InboxKey>,
    /// Requests that were leased and whose rows could not be read, so that one bad row stops no others.
    pub unreadable: Vec<UnreadableRequest>,
}

/// A leased request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TakenRequest {
    /// The request.
    pub request: KeptRequest,
    /// What its settlement has to show.
    pub lease: Lease,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the first attempt began.
    pub first_attempt_at: OffsetDateTime,
}

impl TakenRequest {
    /// A request leased at its first attempt, which begins at `now`.
    pub const fn new(request: KeptRequest, lease: Lease, now: OffsetDateTime) -> Self {
        Self { request, lease, attempt: 1, first_attempt_at: now }
    }

    /// The same request at a later attempt.
    pub const fn at_attempt(mut self, attempt: u32, first_attempt_at: OffsetDateTime) -> Self {
        self.attempt = attempt;
        self.first_attempt_at = first_attempt_at;
        self
    }
}

/// A leased request whose stored row could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnreadableRequest {
    /// Its key.
    pub key: InboxKey,
    /// What its settlement has to show.
    pub lease: Lease,
    /// What was wrong.
    pub error: StoreError,
}

impl UnreadableRequest {
    /// A request that `error` kept from being read.
    pub const fn new(key: InboxKey, lease: Lease, error: StoreError) -> Self {
        Self { key, lease, error }
    }
}

/// What becomes of a taken request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RequestSettlement {
    /// The request's key.
    pub key: InboxKey,
    /// The lease it was taken under.
    pub lease: Lease,
    /// The caller's time: delays count from it.
    pub now: OffsetDateTime,
    /// What becomes of it.
    pub conclusion: Conclusion,
}

impl RequestSettlement {
    /// The end of an attempt at `now`.
    pub const fn new(key: InboxKey, lease: Lease, now: OffsetDateTime, conclusion: Conclusion) -> Self {
        Self { key, lease, now, conclusion }
    }
}

/// How an attempt to handle a request ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Conclusion {
    /// It was handled. Its body is deleted, and its key remembered for `keep`.
    #[non_exhaustive]
    Done {
        /// For how long copies of it are duplicates.
        keep: Duration,
    },
    /// It is due again after a while.
    #[non_exhaustive]
    Retry {
        /// How long to wait.
        after: Duration,
        /// What went wrong.
        reason: String,
    },
    /// It is given up.
    #[non_exhaustive]
    GiveUp {
        /// What went wrong.
        reason: String,
    },
    /// It was not tried, is due at once, and the attempt does not count.
    HandBack,
}

impl Conclusion {
    /// It was handled, and is remembered for `keep`.
    pub const fn done(keep: Duration) -> Self {
        Self::Done { keep }
    }

    /// It is due again after `after`, because of `reason`.
    pub fn retry(after: Duration, reason: impl Into<String>) -> Self {
        Self::Retry { after, reason: reason.into() }
    }

    /// It is given up because of `reason`.
    pub fn give_up(reason: impl Into<String>) -> Self {
        Self::GiveUp { reason: reason.into() }
    }
}

/// A request that was given up.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GivenUpRequest {
    /// The request.
    pub request: KeptRequest,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub given_up_at: OffsetDateTime,
    /// What went wrong.
    pub reason: String,
}

impl GivenUpRequest {
    /// A request that was given up at this time, after so many attempts.
    pub fn new(
        request: KeptRequest,
        attempts: u32,
        given_up_at: OffsetDateTime,
        reason: impl Into<String>,
    ) -> Self {
        Self { request, attempts, given_up_at, reason: reason.into() }
    }
}

/// Why a request is given up when it is taken, word for word in every store: one of its attempts was made and never settled.
pub const NO_ATTEMPT_LEFT: &str = "no attempt is left, and of the last one nothing was heard";

//! [`Intake`]: stores proven requests until they are handled.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;

use crate::event::EventId;
use crate::signature::Verified;
use crate::store::{InboxKey, Lease, Leased, RequestAttempt, Settled, Settlement, StoreError, Unreadable};

/// Stores proven requests until they are handled, so that their senders are answered at once.
///
/// A request is stored, leased, and settled: done, tried again later, or given up. A request that was given
/// up stays, with the reason, until somebody puts it back or closes it. `Arc<S>` and `&S` have this trait
/// where `S` has it.
///
/// To ensure correctness:
///
/// - **Duplicates**: a request is remembered by its [`InboxKey`] until it is done and for a while after, and
///   copies of it are duplicates. An [`Inbox`](crate::Inbox) of the same store remembers on its own; a
///   receiver uses one of the two.
/// - **Copies**: a request may name other ids of its source under which an equal request may be stored
///   ([`StoredRequest::copies`]). If one of them arrived after the time that it also names, in whatever state
///   it is, the request is a duplicate.
/// - **Leases** end by themselves, so that a worker that crashed loses nothing. A lease counts as an
///   attempt unless it is handed back, so that a request that kills its process is given up in the end.
/// - **Settle** and **extend** count only with the request's last [`Lease`]; each lease is greater than all
///   before. A settlement uses up its lease: the same settlement again is stale.
/// - **Repeat**: a call whose answer was lost can be repeated. The second one finds its work done: requests
///   are duplicates, settlements stale, and [`put_back`](Self::put_back) and
///   [`close_given_up`](Self::close_given_up) return `false`. Requests that a lost answer leased are due
///   again when their leases end.
/// - **Time**: `now` is the caller's time; a store with a better clock may use its own instead. That is why
///   settlements carry delays and not instants.
///
/// Only proven requests may be stored; otherwise a forged id could block the real one.
/// `intake_conformance!` (feature `testing`) has a test for each rule.
pub trait Intake: Send + Sync {
    /// Stores requests, due at once. Reports for each whether it was new, in the order given.
    fn store_requests(
        &self,
        requests: &[StoredRequest],
    ) -> impl Future<Output = Result<Vec<Stored>, StoreError>> + Send;

    /// Returns how long until a request of this queue is due: zero when one is, `None` when none waits. A
    /// leased request is due when its lease ends.
    fn next_due(
        &self,
        queue: &str,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Option<Duration>, StoreError>> + Send;

    /// Counts the requests of this queue that wait or are leased, up to `limit`, and finds out how long
    /// before `now` the oldest of those counted arrived. The ones due first are counted.
    fn waiting(
        &self,
        queue: &str,
        limit: u32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<WaitingRequests, StoreError>> + Send;

    /// Leases due requests, the longest due first. Until the lease ends no other call gets them. A request
    /// that has no attempt left is given up instead.
    fn lease_requests(
        &self,
        take: &LeaseRequests,
    ) -> impl Future<Output = Result<LeasedRequests, StoreError>> + Send;

    /// Moves the end of leases to `lease` after `now`. Reports for each whether it was still good, in the
    /// order given.
    fn extend_requests(
        &self,
        leases: &[(InboxKey, Lease)],
        lease: Duration,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Writes the results of leased requests. Reports for each whether its lease was still good, in the order
    /// given. A stale settlement changes nothing. The body of a request that was handled is deleted, and
    /// copies of the request are duplicates until `keep` after its settlement. A request that is given up
    /// keeps the reason why its attempt failed.
    fn settle_requests(
        &self,
        settlements: &[Settlement<InboxKey, RequestAttempt>],
        keep: Duration,
    ) -> impl Future<Output = Result<Vec<Settled>, StoreError>> + Send;

    /// Lists the requests of this queue that were given up, by their keys in ascending order (source, then
    /// id, byte by byte), at most `limit`, beginning after the key `after`. A row that cannot be read has the
    /// parts that can.
    fn given_up(
        &self,
        queue: &str,
        after: Option<&InboxKey>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<GivenUpRequest>, StoreError>> + Send;

    /// Makes a request that was given up due at once, with all of its attempts before it. Returns `false`
    /// when none of this key was given up.
    fn put_back(
        &self,
        key: &InboxKey,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Marks a request that was given up as done, and remembers it until `keep` after `now`. Returns `false`
    /// when none of this key was given up.
    fn close_given_up(
        &self,
        key: &InboxKey,
        keep: Duration,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Ends requests of this queue that were given up `age` before `now` or earlier, the oldest first and at
    /// most `limit`: each is done as [`close_given_up`](Self::close_given_up) does it. Returns their keys.
    fn expire_given_up(
        &self,
        queue: &str,
        age: Duration,
        keep: Duration,
        limit: u32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<Vec<InboxKey>, StoreError>> + Send;

    /// Deletes up to `limit` requests that are done and whose time was over before `now`, and returns how
    /// many.
    fn prune_done(
        &self,
        limit: u32,
        now: OffsetDateTime,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// A proven request, with what it takes to read its event later.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct StoredRequest {
    /// The key that tells it from others.
    pub key: InboxKey,
    /// The queue whose workers handle it, whatever sender or tenant the key names.
    pub queue: String,
    /// The event's id, as its [`Envelope`](crate::Envelope) will have it: from the body, or from a header
    /// that is proven.
    pub event: EventId,
    /// When it arrived; it is due from then on.
    pub received_at: OffsetDateTime,
    /// When it was signed, where the proof covers a time.
    pub signed_at: Option<OffsetDateTime>,
    /// The name of its proof, for people to read: `signature`, the name of a guard, or `nothing`.
    pub proof: String,
    /// The raw body, as it was proven.
    pub body: Bytes,
    /// The requests of other ids of which it would be a copy. An intake looks at it when it stores the
    /// request, and does not store it.
    pub copies: Option<Copies>,
}

/// The requests of which a new one would be a copy, although its id is another.
///
/// An event whose sender gives it no id has an id that is made of its body and the period of its arrival. An
/// equal request that arrives shortly before may have the id of the period before.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Copies {
    /// Their ids, of the source of the new request.
    pub ids: Vec<EventId>,
    /// Requests that arrived at this time or before are no copies.
    pub since: OffsetDateTime,
}

impl StoredRequest {
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
            copies: None,
        }
    }

    /// Sets the queue whose workers handle it.
    pub fn with_queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Sets the id of its event.
    pub fn with_event(mut self, event: EventId) -> Self {
        self.event = event;
        self
    }

    /// Sets how it was proven, and when it was signed, where the proof covers a time.
    pub fn with_proof(mut self, proof: impl Into<String>, signed_at: Option<OffsetDateTime>) -> Self {
        self.proof = proof.into();
        self.signed_at = signed_at;
        self
    }

    /// Sets the ids of requests of the same source of which it is a copy if they arrived after `since`.
    pub fn with_copies(mut self, ids: Vec<EventId>, since: OffsetDateTime) -> Self {
        self.copies = Some(Copies { ids, since });
        self
    }

    /// Returns the request in the form that can be decoded. It was proven before it was stored.
    ///
    /// ```
    /// use hookwire::store::{InboxKey, StoredRequest};
    /// use hookwire::{allison, Contract, Envelope};
    /// use time::OffsetDateTime;
    ///
    /// let contract = Contract::allison();
    /// let sent = Envelope::new(allison::CallEnded::new("c1"));
    /// let key = InboxKey::new(contract.name(), sent.id.clone());
    /// let stored = StoredRequest::new(key, OffsetDateTime::now_utc(), contract.encode(&sent)?);
    /// let read: Envelope<allison::Event> = contract.decode(&stored.verified())?;
    /// assert_eq!(read.id, sent.id);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verified(&self) -> Verified<'_> {
        Verified::stored(self.event.as_str(), self.signed_at, &self.body, self.received_at)
    }
}

/// The body is a payload and stays out.
impl fmt::Debug for StoredRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRequest")
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

/// How many stored requests wait: the result of [`Intake::waiting`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct WaitingRequests {
    /// How many wait or are leased, up to the limit.
    pub count: u64,
    /// How long ago the oldest of them arrived; `None` if none waits.
    pub oldest: Option<Duration>,
}

impl WaitingRequests {
    /// Makes a count of requests, the oldest of which arrived `oldest` ago.
    pub const fn new(count: u64, oldest: Option<Duration>) -> Self {
        Self { count, oldest }
    }
}

/// The result of storing a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Stored {
    /// It was stored.
    New,
    /// A request of this key was stored before, and is remembered.
    Duplicate,
}

/// A wish for due requests: the input of [`Intake::lease_requests`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LeaseRequests {
    /// The queue whose requests are leased.
    pub queue: String,
    /// The caller's time.
    pub now: OffsetDateTime,
    /// How long nobody else is given them.
    pub lease: Duration,
    /// How many at most, including those that are given up.
    pub limit: u32,
    /// How often a request may be leased; `None` for no limit.
    pub max_attempts: Option<u32>,
}

impl LeaseRequests {
    /// Leases up to `limit` requests of this queue, for `lease` from `now` on.
    pub fn new(queue: impl Into<String>, lease: Duration, limit: u32, now: OffsetDateTime) -> Self {
        Self { queue: queue.into(), now, lease, limit, max_attempts: None }
    }

    /// Sets after how many leases a request is given up.
    pub fn with_max_attempts(mut self, attempts: impl Into<Option<u32>>) -> Self {
        self.max_attempts = attempts.into();
        self
    }
}

/// The requests that a [`LeaseRequests`] leased.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LeasedRequests {
    /// The requests to handle, those that were due longest first.
    pub requests: Vec<Leased<StoredRequest>>,
    /// Requests that had no attempt left, and were given up. Their last lease ended without a word of its
    /// holder.
    pub given_up: Vec<InboxKey>,
    /// Requests that were leased and whose rows could not be read, so that one bad row stops no others.
    pub unreadable: Vec<Unreadable<InboxKey>>,
}

/// A request that was given up.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GivenUpRequest {
    /// The request.
    pub request: StoredRequest,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub given_up_at: OffsetDateTime,
    /// The cause.
    pub reason: String,
}

impl GivenUpRequest {
    /// A request that was given up at this time, after so many attempts.
    pub fn new(
        request: StoredRequest,
        attempts: u32,
        given_up_at: OffsetDateTime,
        reason: impl Into<String>,
    ) -> Self {
        Self { request, attempts, given_up_at, reason: reason.into() }
    }
}

/// The reason for which a lease gives a request up, the same in every store: the last attempt was never
/// settled.
pub const NO_ATTEMPT_LEFT: &str = "no attempts left; the last one ended without a result";

//! [`Records`]: what people ask a store and change in it, beside what delivers.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use time::OffsetDateTime;

use super::{NewEvent, Statistics, Store, StoreError};
use crate::delivery::{Attempt, Delivery, DeliveryState};
use crate::error::{Error, ErrorKind};
use crate::event::{EventId, EventType};
use crate::id::{DeliveryId, SubscriptionId};
use crate::signature::Secret;
use crate::subscription::Subscription;

/// What people ask a store and change in it: the reads and writes of management, which no delivery needs.
///
/// Its rules, which an implementation has to keep:
///
/// - **Scope**: every call that names an organization answers what is another's as what is not there.
/// - **Pages**: a list costs a page and not a walk, however much is stored. It has no item twice and misses none that was there
///   when its first page was read and still is, whatever is written in between. Where a list is narrowed by something that no index
///   has, a page looks through [`Page::LOOKED_THROUGH`] deliveries and no more: it may have fewer items than its limit, even
///   none, and say where the next one begins.
/// - **Secrets**: what [`add_subscription`](Self::add_subscription) and [`hold_secret`](Self::hold_secret) were given is its
///   subscription's until that is deleted; another one that asks for it is refused, whoever's it is. Of two at once one succeeds.
///
/// `store::conformance` (feature `testing`) has a test for each rule. `Arc<S>` and `&S` are such stores where `S` is one.
pub trait Records: Store {
    /// An organization's subscriptions, oldest first.
    fn list_subscriptions(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Subscription>, StoreError>> + Send;

    /// Writes a new subscription that holds the secret of this digest, unless its organization has `limit` of them already.
    fn add_subscription(
        &self,
        subscription: &Subscription,
        secret: Option<&SecretDigest>,
        limit: u32,
    ) -> impl Future<Output = Result<Added, StoreError>> + Send;

    /// Has a subscription hold one more secret; `false` where another one holds it, or there is no such subscription.
    fn hold_secret(
        &self,
        id: SubscriptionId,
        secret: &SecretDigest,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The delivery of this id.
    fn find_delivery(
        &self,
        organization: &str,
        id: DeliveryId,
    ) -> impl Future<Output = Result<Option<Delivery>, StoreError>> + Send;

    /// A subscription's deliveries that `query` asks for, newest first by their ids.
    fn list_deliveries(
        &self,
        organization: &str,
        query: &DeliveryQuery,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Delivery>, StoreError>> + Send;

    /// The dead letters of an organization's subscriptions, newest first by their ids: those that nobody cancelled, discarded or
    /// replayed. What was deleted with its subscription's is in no list.
    ///
    /// A page costs a look at each of the organization's subscriptions.
    fn list_dead_letters(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Delivery>, StoreError>> + Send;

    /// Takes a dead letter from the list with a note why; no replay of many makes it again. `false` when there is no such letter.
    fn discard(
        &self,
        organization: &str,
        id: DeliveryId,
        note: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Writes a test event with its deliveries, all of which have ended with this attempt: marked as tests, and discarded with
    /// `note` where it failed.
    fn add_test(
        &self,
        event: &NewEvent,
        attempt: &Attempt,
        failed: Option<&str>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The event of this id.
    fn find_event(
        &self,
        organization: &str,
        id: &EventId,
    ) -> impl Future<Output = Result<Option<EventRecord>, StoreError>> + Send;

    /// An organization's events, the last inserted first.
    fn list_events(
        &self,
        organization: &str,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<EventRecord>, StoreError>> + Send;

    /// An event's deliveries, those to one subscription behind one another.
    fn list_event_deliveries(
        &self,
        organization: &str,
        event: &EventId,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Page<Delivery>, StoreError>> + Send;

    /// What came of a subscription's attempts that began in `period`, and what it has pending now; `None` when there is no such
    /// subscription. Test events are none of it.
    ///
    /// It costs a walk over the deliveries that were made in the period and [`Period::reach`] before it, at most
    /// [`Period::MOST_DELIVERIES`] of them.
    fn statistics(
        &self,
        organization: &str,
        subscription: SubscriptionId,
        period: &Period,
    ) -> impl Future<Output = Result<Option<Statistics>, StoreError>> + Send;
}

/// What tells a secret from others without holding it: a hash of its bytes. Of 24 random bytes or more it tells nothing about them.
///
/// ```
/// use hookwire::Secret;
/// use hookwire::store::SecretDigest;
///
/// let secret = Secret::generate();
/// assert_eq!(SecretDigest::of(&secret), SecretDigest::of(&secret.clone()));
/// assert_ne!(SecretDigest::of(&secret), SecretDigest::of(&Secret::generate()));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// That of this secret: the same for any two of which one could be taken for the other.
    pub fn of(secret: &Secret) -> Self {
        Self(secret.digest())
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What became of a subscription that was to be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Added {
    /// It was written.
    Done,
    /// There is one of its id already.
    Exists,
    /// The organization has as many subscriptions as it may have.
    Full,
    /// Another subscription holds its secret.
    SecretInUse,
}

/// Some items of a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Page<T> {
    /// No more than were asked for.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// How many deliveries are looked through for a page of a list that no index has.
    pub const LOOKED_THROUGH: u32 = 1_000;

    /// A page that ends the list.
    pub const fn last(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// The page of `limit` items that one more was asked for to tell whether there is another.
    pub fn cut(mut items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> Cursor) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if items.len() <= limit {
            return Self::last(items);
        }
        items.truncate(limit);
        let next = items.last().map(cursor);
        Self { items, next }
    }

    /// The same page, on which the list does not end where no more was looked through than from `next` on.
    #[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
    pub(super) fn or_from(mut self, next: Option<Cursor>) -> Self {
        self.next = self.next.or(next);
        self
    }

    /// The same page of something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// A place in a list: behind which item a page begins. Its text is for clients to hand back and not to read.
///
/// ```
/// use hookwire::store::Cursor;
///
/// let cursor = Cursor::new(7, 9);
/// assert_eq!(cursor.to_string().parse::<Cursor>()?, cursor);
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    major: u128,
    minor: u128,
}

impl Cursor {
    /// The place behind the item that sorts by these two.
    pub const fn new(major: u128, minor: u128) -> Self {
        Self { major, minor }
    }

    /// The place behind the item of this time and id.
    #[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
    pub(super) const fn at(at: OffsetDateTime, id: u128) -> Self {
        // Shifted, so that times before 1970 are none that is negative.
        Self { major: at.unix_timestamp_nanos().wrapping_add(1 << 100) as u128, minor: id }
    }

    /// The time that [`at`](Self::at) was given.
    #[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
    pub(super) fn time(self) -> OffsetDateTime {
        let nanos = i128::try_from(self.major).unwrap_or(i128::MAX).saturating_sub(1 << 100);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// What the list sorts by first.
    pub const fn major(self) -> u128 {
        self.major
    }

    /// What it sorts by among equals.
    pub const fn minor(self) -> u128 {
        self.minor
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.major, self.minor)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let part = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            u128::from_str_radix(text, 16).ok().filter(|_| is_plain)
        };
        let (major, minor) = text.split_once('-').unwrap_or_default();
        part(major).zip(part(minor)).map(|(major, minor)| Self { major, minor }).ok_or_else(|| {
            Error::new(ErrorKind::Delivery, "cursor is not valid, expected one that a page gave")
        })
    }
}

/// Which of a subscription's deliveries are listed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DeliveryQuery {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Only those in this state.
    pub state: Option<DeliveryState>,
    /// Only those of events of this type.
    pub event_type: Option<EventType>,
    /// Only those made at this time or later, to the millisecond and by the time in their ids: the system clock's of who made them.
    pub since: Option<OffsetDateTime>,
    /// Only those made before this time, to the millisecond.
    pub until: Option<OffsetDateTime>,
}

impl DeliveryQuery {
    /// All deliveries of this subscription.
    pub const fn new(subscription: SubscriptionId) -> Self {
        Self { subscription, state: None, event_type: None, since: None, until: None }
    }

    /// Only those in this state.
    pub const fn with_state(mut self, state: DeliveryState) -> Self {
        self.state = Some(state);
        self
    }

    /// Only those of events of this type.
    pub fn with_event_type(mut self, event_type: EventType) -> Self {
        self.event_type = Some(event_type);
        self
    }

    /// Only those made at this time or later, to the millisecond.
    pub const fn with_since(mut self, since: OffsetDateTime) -> Self {
        self.since = Some(since);
        self
    }

    /// Only those made before this time, to the millisecond.
    pub const fn with_until(mut self, until: OffsetDateTime) -> Self {
        self.until = Some(until);
        self
    }

    /// The ids from `.0` on and before `.1` that it asks for behind `after`.
    #[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
    pub(super) fn ids(&self, after: Option<Cursor>) -> (u128, u128) {
        let from = self.since.map_or(0, first_id);
        let before = self.until.map_or(u128::MAX, first_id);
        (from, after.map_or(before, |after| before.min(after.minor)))
    }
}

/// An event as it was stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EventRecord {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// When it was inserted.
    pub created_at: OffsetDateTime,
    /// Its routing attributes; gone with the payload.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The encoded envelope: in no list, and gone once it was expunged or pruned.
    pub payload: Option<bytes::Bytes>,
}

impl EventRecord {
    /// An event without its payload.
    pub const fn new(id: EventId, event_type: EventType, created_at: OffsetDateTime) -> Self {
        Self { id, event_type, created_at, attributes: BTreeMap::new(), payload: None }
    }

    /// Whether it is a test event: one with the attribute [`NewEvent::TEST`], for as long as that is kept.
    pub fn is_test(&self) -> bool {
        self.attributes.contains_key(NewEvent::TEST)
    }
}

/// A span of time, and the length of the slots that it is told in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Period {
    /// Where it begins.
    pub since: OffsetDateTime,
    /// Where it ends: this instant is none of it.
    pub until: OffsetDateTime,
    /// How long a slot is.
    pub slot: Duration,
    /// How long before its begin the deliveries were made whose attempts are looked for in it: as long as retries go on.
    pub reach: Duration,
}

impl Period {
    /// How many deliveries are looked at, the newest ones.
    pub const MOST_DELIVERIES: u32 = 50_000;

    /// The time from `since` to `until` in slots of this length, and a reach of two days.
    pub const fn new(since: OffsetDateTime, until: OffsetDateTime, slot: Duration) -> Self {
        Self { since, until, slot, reach: Duration::from_secs(2 * 24 * 3600) }
    }

    /// The same period, with retries going on for so long.
    pub const fn with_reach(mut self, reach: Duration) -> Self {
        self.reach = reach;
        self
    }

    /// Whether it has this instant.
    pub fn has(&self, at: OffsetDateTime) -> bool {
        self.since <= at && at < self.until
    }

    /// Which slot this instant is in.
    pub fn slot_of(&self, at: OffsetDateTime) -> u64 {
        let since = Duration::try_from(at - self.since).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_micros() / self.slot_micros()).unwrap_or(u64::MAX)
    }

    /// When the slot of this number begins.
    pub fn slot_at(&self, number: u64) -> OffsetDateTime {
        let micros = u128::from(number).saturating_mul(self.slot_micros());
        let micros = i64::try_from(micros).unwrap_or(i64::MAX);
        self.since.checked_add(time::Duration::microseconds(micros)).unwrap_or(self.until)
    }

    /// The ids from `.0` on and before `.1` of the deliveries that are looked at.
    #[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
    pub(super) fn ids(&self) -> (u128, u128) {
        let since = time::Duration::try_from(self.reach).ok().and_then(|reach| self.since.checked_sub(reach));
        (since.map_or(0, first_id), first_id(self.until))
    }

    fn slot_micros(&self) -> u128 {
        self.slot.as_micros().max(1)
    }
}

/// How a test's delivery ended.
#[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
pub(super) const fn tested(failed: Option<&str>) -> DeliveryState {
    match failed {
        Some(_) => DeliveryState::Dead(crate::delivery::DeadReason::Discarded),
        None => DeliveryState::Delivered,
    }
}

/// The least id of a delivery that was made at this time or later: an id begins with the millisecond it was made in.
#[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
fn first_id(at: OffsetDateTime) -> u128 {
    DeliveryId::from_parts(at, [0; 10]).as_u128() & !LOW_BITS
}

/// What of an id is not its time.
#[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
const LOW_BITS: u128 = (1 << 80) - 1;

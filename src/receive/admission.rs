//! [`Admission`]: how many requests, and how much of their bodies, a receiver takes at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::rate::{Bucket, Rate};
use crate::receive::rejection::Rejection;

/// How many requests, and how much of their bodies, a receiver takes at once, and how many requests per
/// second. A request beyond that is answered 429 before it is verified.
///
/// So the memory that strangers can use is bounded. By default, a receiver takes 4,096 requests at once, and
/// 64 MiB of bodies. The first 16 KiB of each body do not count, so that large bodies do not keep out the
/// small ones that most senders send.
///
/// ```
/// use hookwire::subscription::Rate;
/// use hookwire::receive::Admission;
///
/// let admission = Admission::new().with_max_concurrent(64).with_rate(Rate::new(500.0, 1_000)?);
/// # let _ = admission;
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Debug)]
pub struct Admission {
    max_concurrent: usize,
    max_bytes: usize,
    rate: Option<Rate>,
    concurrent: AtomicUsize,
    bytes: AtomicUsize,
    bucket: Mutex<Option<Bucket>>,
}

impl Admission {
    /// The default limits, without a rate.
    pub fn new() -> Self {
        Self {
            max_concurrent: MAX_CONCURRENT,
            max_bytes: MAX_BYTES,
            rate: None,
            concurrent: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            bucket: Mutex::new(None),
        }
    }

    /// Sets how many requests may be handled at once, each from its arrival until its event is committed or
    /// released. The default is 4,096. `usize::MAX` stands for any number.
    pub fn with_max_concurrent(mut self, requests: usize) -> Self {
        self.max_concurrent = requests;
        self
    }

    /// Sets how many bytes of bodies may be held at once, without the first 16 KiB of each body. The default
    /// is 64 MiB. `usize::MAX` stands for any number.
    ///
    /// Choose it larger than [`Receiver::with_max_body`](crate::receive::Receiver::with_max_body), or the
    /// receiver cannot take a body of that length.
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how many requests are admitted per second, whether genuine or not. By default there is no limit.
    pub fn with_rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Counts a request in, or returns how long it should wait.
    fn enter(&self, now: OffsetDateTime) -> Result<(), Duration> {
        if self.concurrent.fetch_add(1, Ordering::AcqRel) >= self.max_concurrent {
            self.leave();
            return Err(BUSY);
        }
        self.spend(now).inspect_err(|_| self.leave())
    }

    fn spend(&self, now: OffsetDateTime) -> Result<(), Duration> {
        let Some(rate) = self.rate else { return Ok(()) };
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        // If the clock is set back, the bucket fills from the earlier time on.
        let bucket = bucket.get_or_insert_with(|| Bucket::new(rate, now));
        if bucket.fill(now) == 0 {
            let opens_at = bucket.opens_at(now).unwrap_or(now);
            return Err(Duration::try_from(opens_at - now).unwrap_or(Duration::ZERO));
        }
        bucket.spend(1);
        Ok(())
    }

    fn leave(&self) {
        self.concurrent.fetch_sub(1, Ordering::AcqRel);
    }

    /// Counts bytes in, or returns how long the request should wait.
    fn hold(&self, bytes: usize) -> Result<(), Duration> {
        let held = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if held.saturating_add(bytes) > self.max_bytes {
            self.let_go(bytes);
            return Err(BUSY);
        }
        Ok(())
    }

    fn let_go(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new()
    }
}

/// The owner of an [`Admission`], such as a receiver.
pub(super) trait Admits {
    fn admission(&self) -> &Admission;
}

/// A request's place among those that are handled at once, and the bytes of its body. Both are free again
/// when the permit is dropped.
pub(super) struct Permit<A: Admits> {
    of: A,
    /// How much of the body was accepted.
    body: usize,
    takes_place: bool,
}

impl<A: Admits> Permit<A> {
    /// Takes a place.
    pub(super) fn take(of: A, now: OffsetDateTime) -> Result<Self, Rejection> {
        of.admission().enter(now).map_err(busy)?;
        Ok(Self { of, body: 0, takes_place: true })
    }

    /// Another permit of the same request, which takes no place of its own.
    pub(super) fn share(&self) -> Self
    where
        A: Clone,
    {
        Self { of: self.of.clone(), body: 0, takes_place: false }
    }

    /// The owner of the admission that gave the place.
    pub(super) fn of(&self) -> &A {
        &self.of
    }

    /// Accepts more bytes of the body, up to `limit` in all.
    pub(super) fn accept(&mut self, bytes: usize, limit: usize) -> Result<(), Rejection> {
        let body = self.body.saturating_add(bytes);
        if body > limit {
            return Err(Rejection::TooLarge { limit });
        }
        let more = counted(body) - counted(self.body);
        if more > 0 {
            self.of.admission().hold(more).map_err(busy)?;
        }
        self.body = body;
        Ok(())
    }
}

impl<A: Admits> Drop for Permit<A> {
    fn drop(&mut self) {
        let admission = self.of.admission();
        let counted = counted(self.body);
        if counted > 0 {
            admission.let_go(counted);
        }
        if self.takes_place {
            admission.leave();
        }
    }
}

fn busy(retry_after: Duration) -> Rejection {
    Rejection::Busy { retry_after }
}

/// The bytes of a body that count.
fn counted(body: usize) -> usize {
    body.saturating_sub(UNCOUNTED)
}

/// The wait while other requests are handled, which end at an unknown time.
const BUSY: Duration = Duration::from_secs(1);
const MAX_CONCURRENT: usize = 4_096;
const MAX_BYTES: usize = 64 << 20;
const UNCOUNTED: usize = 16 << 10;

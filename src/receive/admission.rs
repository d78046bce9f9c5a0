//! [`Admission`]: how many requests are looked at, before anything of them is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::rate::{Bucket, Rate};

/// How many requests are handled at once and in a second; the rest is answered 429 before it is verified.
///
/// ```
/// use hookwire::Rate;
/// use hookwire::receive::Admission;
///
/// let admission = Admission::new().with_max_concurrent(64).with_rate(Rate::new(500.0, 1_000)?);
/// # let _ = admission;
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Admission {
    max_concurrent: Option<usize>,
    rate: Option<Rate>,
    concurrent: Arc<AtomicUsize>,
    bucket: Mutex<Option<Bucket>>,
}

impl Admission {
    /// Admits everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Admits a request only while fewer than `requests` are being handled, from their arrival until their event is committed or
    /// released.
    pub fn with_max_concurrent(mut self, requests: usize) -> Self {
        self.max_concurrent = Some(requests);
        self
    }

    /// Admits so many requests in a second, genuine or not.
    pub fn with_rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Admits a request, or tells how long to wait.
    pub(super) fn admit(&self, now: OffsetDateTime) -> Result<Permit, Duration> {
        let permit = Permit::take(&self.concurrent, self.max_concurrent.unwrap_or(usize::MAX))?;
        if let Some(rate) = self.rate {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            // A clock that was set back takes the bucket with it: it is filled from then on.
            let bucket = bucket.get_or_insert_with(|| Bucket::new(rate, now));
            if bucket.fill(now) == 0 {
                let opens_at = bucket.opens_at(now).unwrap_or(now);
                return Err(Duration::try_from(opens_at - now).unwrap_or(Duration::ZERO));
            }
            bucket.spend(1);
        }
        Ok(permit)
    }
}

/// A request's place among those that are handled at once; free again when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn take(concurrent: &Arc<AtomicUsize>, most: usize) -> Result<Self, Duration> {
        if concurrent.fetch_add(1, Ordering::AcqRel) >= most {
            concurrent.fetch_sub(1, Ordering::AcqRel);
            return Err(BUSY);
        }
        Ok(Self(Arc::clone(concurrent)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What to wait while others are handled, whose time nobody knows.
const BUSY: Duration = Duration::from_secs(1);

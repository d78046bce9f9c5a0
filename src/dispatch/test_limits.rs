//! [`TestLimits`]: how many test events may be sent, and how many at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::dispatch::scheduling::Limits;
use crate::id::SubscriptionId;
use crate::rate::{Bucket, Rate};
use crate::subscription::Subscription;

/// How many test events may be sent, and how many at once: by each organization, to each subscription, and in
/// all. Clones share the counts.
#[derive(Clone)]
pub(crate) struct TestLimits {
    rate: Rate,
    at_once: u32,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    organizations: HashMap<String, Count>,
    subscriptions: HashMap<SubscriptionId, Count>,
    in_flight: u32,
}

/// The test events of one organization or to one subscription.
#[derive(Default)]
struct Count {
    in_flight: u32,
    bucket: Option<Bucket>,
}

/// One test event may be sent. It counts until the permit is dropped.
pub(crate) struct TestPermit {
    counts: Arc<Mutex<Counts>>,
    organization: String,
    subscription: SubscriptionId,
}

impl TestLimits {
    /// Each organization may send test events at this rate, and has this many in flight at once.
    pub(crate) fn new(rate: Rate, at_once: u32) -> Self {
        Self { rate, at_once: at_once.max(1), counts: Arc::default() }
    }

    /// Admits a test event to a subscription, or says how long to wait.
    pub(crate) fn admit(
        &self,
        subscription: &Subscription,
        now: OffsetDateTime,
    ) -> Result<TestPermit, Duration> {
        let own = Limits { cap: self.at_once, rate: None }.lowered_by(&subscription.options);
        let mut counts = lock(&self.counts);
        if counts.organizations.len() + counts.subscriptions.len() > MOST_COUNTED {
            counts.forget(now);
        }
        let Counts { organizations, subscriptions, in_flight } = &mut *counts;
        let organization = organizations.entry(subscription.organization.clone()).or_default();
        let endpoint = subscriptions.entry(subscription.id).or_default();
        if *in_flight >= AT_ONCE_IN_ALL {
            return Err(SHORTLY);
        }
        organization.check(Limits { cap: self.at_once, rate: Some(self.rate) }, now)?;
        endpoint.check(own, now)?;
        organization.begin();
        endpoint.begin();
        *in_flight += 1;
        Ok(TestPermit {
            counts: Arc::clone(&self.counts),
            organization: subscription.organization.clone(),
            subscription: subscription.id,
        })
    }
}

impl Default for TestLimits {
    /// 30 a minute and 10 at once after a quiet time, of which 5 are in flight together.
    fn default() -> Self {
        Self::new(Rate::new(0.5, 10).expect("invariant: the rate is one"), 5)
    }
}

impl Counts {
    /// Forgets who sent nothing lately.
    fn forget(&mut self, now: OffsetDateTime) {
        self.organizations.retain(|_, count| !count.is_at_rest(now));
        self.subscriptions.retain(|_, count| !count.is_at_rest(now));
    }
}

impl Count {
    fn check(&mut self, limits: Limits, now: OffsetDateTime) -> Result<(), Duration> {
        if self.in_flight >= limits.cap {
            return Err(SHORTLY);
        }
        match (limits.rate, &self.bucket) {
            (Some(rate), Some(bucket)) if bucket.rate() == rate => {}
            (rate, _) => self.bucket = rate.map(|rate| Bucket::new(rate, now)),
        }
        let Some(bucket) = &mut self.bucket else { return Ok(()) };
        bucket.fill(now);
        match bucket.opens_at(now) {
            Some(at) => Err(Duration::try_from(at - now).unwrap_or(SHORTLY)),
            None => Ok(()),
        }
    }

    fn begin(&mut self) {
        self.in_flight += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.spend(1);
        }
    }

    fn end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    fn is_at_rest(&self, now: OffsetDateTime) -> bool {
        self.in_flight == 0 && self.bucket.as_ref().is_none_or(|bucket| bucket.is_full(now))
    }
}

impl Drop for TestPermit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.in_flight = counts.in_flight.saturating_sub(1);
        if let Some(count) = counts.organizations.get_mut(&self.organization) {
            count.end();
        }
        if let Some(count) = counts.subscriptions.get_mut(&self.subscription) {
            count.end();
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    // Nothing panics between two counts that belong together.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most test events in flight, of all organizations.
const AT_ONCE_IN_ALL: u32 = 64;
/// How long to wait for a test event in flight to end.
const SHORTLY: Duration = Duration::from_secs(1);
/// The number of organizations and subscriptions above which those that sent nothing lately are forgotten.
const MOST_COUNTED: usize = 10_000;

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::address::{AddressPolicy, EndpointUrl};
    use crate::contract::Contract;
    use crate::subscription::{EventFilter, Options};

    const NOON: OffsetDateTime = datetime!(2026-04-17 12:00 UTC);

    fn subscription(organization: &str, options: Options) -> Subscription {
        let url = EndpointUrl::parse("https://hooks.example.com/", &AddressPolicy::new()).unwrap();
        Subscription::new(organization, &Contract::allison(), url, EventFilter::all()).with_options(options)
    }

    #[test]
    fn an_organization_has_a_rate_and_a_number_at_once_whatever_its_subscriptions() {
        let limits = TestLimits::new(Rate::new(1.0, 4).unwrap(), 3);
        let of = |organization| limits.admit(&subscription(organization, Options::new()), NOON);
        let mut permits: Vec<_> = (0..3).map(|_| of("org_1").ok().unwrap()).collect();
        assert_eq!(of("org_1").err(), Some(SHORTLY), "three are in flight");
        assert!(of("org_2").is_ok());
        permits.clear();
        assert!(of("org_1").is_ok());
        let wait = of("org_1").err().unwrap();
        assert!((Duration::from_secs(1)..Duration::from_millis(1_010)).contains(&wait), "{wait:?}");
        let later = NOON + wait;
        assert!(limits.admit(&subscription("org_1", Options::new()), later).is_ok());
    }

    #[test]
    fn a_subscriptions_own_cap_and_rate_hold_for_test_events_too() {
        let limits = TestLimits::new(Rate::new(100.0, 100).unwrap(), 50);
        let capped = subscription("org", Options::new().with_max_in_flight(2).unwrap());
        let _permits: Vec<_> = (0..2).map(|_| limits.admit(&capped, NOON).ok().unwrap()).collect();
        assert!(limits.admit(&capped, NOON).is_err());
        let slow = subscription("org", Options::new().with_rate(0.1, 1).unwrap());
        assert!(limits.admit(&slow, NOON).is_ok());
        let wait = limits.admit(&slow, NOON).err().unwrap();
        assert!(wait > Duration::from_secs(9), "{wait:?}");
    }

    #[test]
    fn all_organizations_together_have_a_number_at_once_and_little_is_remembered() {
        let limits = TestLimits::default();
        let of =
            |number: usize, at| limits.admit(&subscription(&format!("org_{number}"), Options::new()), at);
        let permits: Vec<_> = (0..64).map(|number| of(number, NOON).ok().unwrap()).collect();
        assert!(of(64, NOON).is_err());
        drop(permits);
        assert!(of(64, NOON).is_ok());
        for number in 0..20_000_u32 {
            drop(of(number as usize, NOON + Duration::from_secs(30) * number));
        }
        let counts = lock(&limits.counts);
        assert!(counts.organizations.len() + counts.subscriptions.len() <= MOST_COUNTED + 2);
    }
}

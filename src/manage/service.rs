//! [`Service`]: the calls of management, over a store.

use std::fmt;
use std::sync::Arc;

use time::OffsetDateTime;

use super::error::ManageError;
use super::sealing::Sealing;
use crate::address::AddressPolicy;
use crate::clock::{Clock, SystemClock};
use crate::contract::{Contract, Versions};
use crate::dispatch::Wake;
use crate::dispatch::clock::SharedClock;
use crate::dispatch::test_limits::TestLimits;
use crate::dispatch::test_sender::TestSender;
use crate::store::{Records, Store, Subscriptions};
use crate::subscription::{Rate, TokenSource};
use crate::transport::HttpClient;

/// The calls of management, over a store.
///
/// ```
/// # #[cfg(all(feature = "memory", feature = "manage"))]
/// # async fn manage() -> Result<(), hookwire::manage::ManageError> {
/// use hookwire::manage::{Service, SubscriptionDraft};
/// use hookwire::{Contract, MemoryStore};
///
/// let service = Service::new(MemoryStore::new(), Contract::allison());
/// let draft = SubscriptionDraft::new("https://hooks.example.com/calls", ["call.*"]);
/// let made = service.create("org_1", draft).await?;
/// assert!(made.secret.is_some(), "shown now and never again");
///
/// let refused = service.create("org_1", SubscriptionDraft::new("http://hooks.example.com/", ["*"])).await;
/// assert_eq!(refused.unwrap_err().field(), Some("url"));
/// # Ok(()) }
/// # #[cfg(all(feature = "memory", feature = "manage"))]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(manage()).unwrap();
/// ```
pub struct Service<S> {
    pub(super) store: S,
    pub(super) first: Versions,
    pub(super) others: Vec<Versions>,
    pub(super) addresses: AddressPolicy,
    pub(super) limit: u32,
    pub(super) clock: SharedClock,
    pub(super) wake: Wake,
    pub(super) test_sender: TestSender,
    pub(super) test_limits: TestLimits,
    pub(super) sealing: Option<Arc<dyn Sealing>>,
}

impl<S: Store + Subscriptions + Records> Service<S> {
    /// Makes a service over `store` for deliveries under `contract`.
    /// [`with_contract`](Self::with_contract) adds further contracts.
    ///
    /// It takes URLs that [`AddressPolicy::new`] allows, and 100 subscriptions per organization.
    pub fn new(store: S, contract: Contract) -> Self {
        Self::of(store, Versions::new(contract))
    }

    /// Makes a service over `store` for deliveries under a contract in several versions.
    ///
    /// A subscription speaks the newest version, unless its draft or patch names another one of the chain. A
    /// replay sends the version that the subscription speaks by then; where an event is not stored in that
    /// version, the service makes its bytes by the chain.
    pub fn of(store: S, versions: Versions) -> Self {
        Self {
            store,
            first: versions,
            others: Vec::new(),
            addresses: AddressPolicy::new(),
            limit: DEFAULT_LIMIT,
            clock: SharedClock::new(SystemClock),
            wake: Wake::new(),
            test_sender: TestSender::default(),
            test_limits: TestLimits::default(),
            sealing: None,
        }
    }

    /// Sets the policy for the addresses of endpoints. Give the dispatcher the same policy.
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.addresses = policy;
        self
    }

    /// Sets the number of subscriptions that an organization may have.
    pub const fn with_limit(mut self, subscriptions: u32) -> Self {
        self.limit = subscriptions;
        self
    }

    /// Sets the clock.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// Sets the signal that wakes the dispatcher when a change makes deliveries due.
    pub fn with_wake(mut self, wake: &Wake) -> Self {
        self.wake = wake.clone();
        self
    }

    /// Sets the client that sends test events.
    pub fn with_client(mut self, client: impl HttpClient + 'static) -> Self {
        self.test_sender.set_client(client);
        self
    }

    /// Sets the source of bearer tokens for test events.
    pub fn with_token_source(mut self, tokens: impl TokenSource + 'static) -> Self {
        self.test_sender.set_token_source(tokens);
        self
    }

    /// Sets how many test events an organization may send, and how many of them may be in flight at once, at
    /// least one. The default is 30 a minute, 10 of them in a burst, and 5 at once.
    ///
    /// A subscription's own cap and rate hold for test events as well. All organizations together have at
    /// most 64 in flight.
    pub fn with_test_limit(mut self, rate: Rate, at_once: u32) -> Self {
        self.test_limits = TestLimits::new(rate, at_once);
        self
    }

    /// The store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    pub(super) fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }
}

impl<S> fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("contract", self.first.newest().id())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Checks the number of items that a caller wants in a page.
pub(super) fn page_size(limit: u32) -> Result<u32, ManageError> {
    match limit {
        1..=MAX_PAGE => Ok(limit),
        _ => Err(ManageError::refused("limit", format!("limit is {limit}"), format!("1 to {MAX_PAGE}"))),
    }
}

const DEFAULT_LIMIT: u32 = 100;
pub(super) const MAX_PAGE: u32 = 200;

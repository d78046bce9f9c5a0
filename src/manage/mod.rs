//! [`Service`]: subscriptions as a product, for a platform's own users: registering a URL, seeing what was delivered, fixing it.
//!
//! Every call names an organization; what is another's is answered as what is not there. A secret is shown when it is made and never
//! again. Whom the organization is, and what the caller may do, is the application's to know before it calls.
#![cfg(feature = "manage")]

pub mod axum;
mod build;
mod deliveries;
mod draft;
mod error;
mod idempotency;
mod revision;
mod sealing;
mod secrets;
mod subscriptions;
mod test_event;
mod view;

pub use deliveries::DeliveryDetail;
pub use draft::{
    AuthenticationDraft, ConditionDraft, RateDraft, RetryDraft, SubscriptionDraft, SubscriptionPatch,
};
pub use error::{ManageError, Refusal};
pub use idempotency::IdempotencyKey;
pub use revision::Revision;
pub use secrets::Rotate;
pub use test_event::Tested;
pub use view::{RateView, Shown, SubscriptionView};

use std::fmt;

use time::OffsetDateTime;

use crate::address::AddressPolicy;
use crate::clock::{Clock, SystemClock};
use crate::contract::Contract;
use crate::dispatch::Wake;
use crate::dispatch::clock::SharedClock;
use crate::dispatch::probe::Probe;
use crate::store::Records;
use crate::subscription::TokenSource;
use crate::transport::HttpClient;

/// Subscriptions as a product, over a store.
///
/// ```
/// # #[cfg(all(feature = "memory", feature = "manage"))]
/// # async fn manage() -> Result<(), hookwire::manage::ManageError> {
/// use hookwire::manage::{Service, SubscriptionDraft};
/// use hookwire::{Contract, MemoryStore};
///
/// let service = Service::new(MemoryStore::new(), Contract::allison());
/// let made = service.create("org_1", SubscriptionDraft::new("https://hooks.example.com/calls", ["call.*"])).await?;
/// assert!(made.secret.is_some(), "shown now and never again");
///
/// let refused = service.create("org_1", SubscriptionDraft::new("http://hooks.example.com/", ["*"])).await;
/// assert_eq!(refused.unwrap_err().field(), Some("url"));
/// # Ok(()) }
/// # #[cfg(all(feature = "memory", feature = "manage"))]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(manage()).unwrap();
/// ```
pub struct Service<S> {
    store: S,
    contract: Contract,
    addresses: AddressPolicy,
    limit: u32,
    clock: SharedClock,
    wake: Wake,
    probe: Probe,
}

impl<S: Records> Service<S> {
    /// A service over `store` for what is delivered as `contract` has it.
    ///
    /// It takes URLs that [`AddressPolicy::new`] allows and 100 subscriptions of an organization.
    pub fn new(store: S, contract: Contract) -> Self {
        Self {
            store,
            contract,
            addresses: AddressPolicy::new(),
            limit: DEFAULT_LIMIT,
            clock: SharedClock::new(SystemClock),
            wake: Wake::new(),
            probe: Probe::default(),
        }
    }

    /// The same service under another policy for addresses: the dispatcher's.
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.addresses = policy;
        self
    }

    /// The same service, allowing an organization this many subscriptions.
    pub const fn with_limit(mut self, subscriptions: u32) -> Self {
        self.limit = subscriptions;
        self
    }

    /// The same service, reading another clock.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = SharedClock::new(clock);
        self
    }

    /// The same service, waking the dispatcher that listens to `wake`.
    pub fn with_wake(mut self, wake: &Wake) -> Self {
        self.wake = wake.clone();
        self
    }

    /// The same service, sending test events by `client`.
    pub fn with_client(mut self, client: impl HttpClient + 'static) -> Self {
        self.probe.set_client(client);
        self
    }

    /// The same service, asking `tokens` for the bearer tokens of test events that want one.
    pub fn with_token_source(mut self, tokens: impl TokenSource + 'static) -> Self {
        self.probe.set_token_source(tokens);
        self
    }

    /// The contract.
    pub const fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }
}

impl<S> fmt::Debug for Service<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("contract", &self.contract.name())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// How many items a page may have.
fn page_size(limit: u32) -> Result<u32, ManageError> {
    match limit {
        1..=MAX_PAGE => Ok(limit),
        _ => Err(ManageError::refused("limit", format!("limit is {limit}"), format!("1 to {MAX_PAGE}"))),
    }
}

const DEFAULT_LIMIT: u32 = 100;
const MAX_PAGE: u32 = 200;

//! [`Subscription`]: an organization's endpoint, its events, and the secrets that sign for it.

mod about;
mod authentication;
mod certificate;
mod condition;
mod edition;
mod filter;
mod header;
mod health;
mod options;
mod status;

pub use about::About;
pub use authentication::{Authentication, TokenSource};
pub use certificate::ClientCertificate;
pub use condition::{Candidate, Condition, Subject};
pub use filter::EventFilter;
pub use health::Health;
pub use options::Options;
pub use status::{DisabledReason, SubscriptionStatus};

pub use crate::rate::Rate;

use time::OffsetDateTime;

use crate::address::EndpointUrl;
use crate::bounds::{self, Excess};
use crate::contract::ContractId;
use crate::error::{Error, ErrorKind};
use crate::id::SubscriptionId;
use crate::signature::{Secret, SecretUse, StoredSecret};

/// An organization's endpoint and which events go there.
///
/// ```
/// use hookwire::{AddressPolicy, Contract, EndpointUrl, EventFilter, Secret, Subscription};
///
/// let contract = Contract::allison();
/// let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new())?;
/// let filter = EventFilter::new(["call.*"])?;
/// let subscription = Subscription::new("org_1", &contract, url, filter).with_secret(Secret::generate());
/// assert!(subscription.wants("call.ended"));
/// assert!(!subscription.wants("contact.created"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subscription {
    /// The subscription's id.
    pub id: SubscriptionId,
    /// The organization that it belongs to: the application's own key for a tenant, any text.
    pub organization: String,
    /// The contract that it speaks: its name never changes, its version may.
    pub contract: ContractId,
    /// Where its events go.
    pub url: EndpointUrl,
    /// The events that go there.
    pub filter: EventFilter,
    /// The secrets that sign its requests, newest first; none where the contract does not sign. In the clear,
    /// unless a key ring sealed them.
    pub secrets: Vec<StoredSecret>,
    /// Until when each secret but the newest signs, in their order: the first time is the second secret's.
    /// One without a time signs until it is taken out.
    pub secrets_until: Vec<OffsetDateTime>,
    /// Whether it is sent to.
    pub status: SubscriptionStatus,
    /// How its requests are sent: caps, credentials, extra headers.
    pub options: Options,
    /// How its endpoint fares. The store keeps it: [`Subscriptions::put`](crate::Subscriptions::put) writes
    /// it for a new subscription only.
    pub health: Health,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

impl Subscription {
    /// Makes an enabled subscription with a fresh id and the time of the system's clock, without a secret.
    /// `contract` is the contract that it speaks.
    ///
    /// [`from_parts`](Self::from_parts) is the pure twin.
    pub fn new(
        organization: impl Into<String>,
        contract: impl Into<ContractId>,
        url: EndpointUrl,
        filter: EventFilter,
    ) -> Self {
        let (id, created_at) = (SubscriptionId::generate(), OffsetDateTime::now_utc());
        Self::from_parts(id, created_at, organization, contract, url, filter)
    }

    /// Makes an enabled subscription of these parts, without a secret.
    pub fn from_parts(
        id: SubscriptionId,
        created_at: OffsetDateTime,
        organization: impl Into<String>,
        contract: impl Into<ContractId>,
        url: EndpointUrl,
        filter: EventFilter,
    ) -> Self {
        Self {
            id,
            organization: organization.into(),
            contract: contract.into(),
            url,
            filter,
            secrets: Vec::new(),
            secrets_until: Vec::new(),
            status: SubscriptionStatus::Enabled,
            options: Options::new(),
            health: Health::default(),
            created_at,
        }
    }

    /// Adds a secret that signs before those that it has.
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secrets.insert(0, secret.into());
        if !self.secrets_until.is_empty() {
            self.secrets_until.insert(0, FOR_EVER);
        }
        self
    }

    /// The secrets that sign at `now`, newest first: old ones until their time.
    pub fn signing_secrets(&self, now: OffsetDateTime) -> impl Iterator<Item = &StoredSecret> {
        let until = self.secrets_until.iter().map(Some).chain(std::iter::repeat(None));
        let old = self.secrets.iter().skip(1).zip(until);
        let signing = old.filter(move |(_, until)| until.is_none_or(|until| now < *until));
        self.secrets.first().into_iter().chain(signing.map(|(secret, _)| secret))
    }

    /// Sets how its requests are sent.
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Disables it for `reason`, if it is enabled; one that is disabled already keeps its reason. Returns
    /// whether it was enabled.
    pub fn disable(&mut self, reason: DisabledReason, at: OffsetDateTime) -> bool {
        let is_enabled = self.status == SubscriptionStatus::Enabled;
        if is_enabled {
            self.status = SubscriptionStatus::disabled(reason, at);
        }
        is_enabled
    }

    /// Changes each secret, the credential of its authentication too.
    ///
    /// # Errors
    ///
    /// Those of `change`, and of [`Authentication`]'s constructors for a credential that cannot be sent.
    pub fn try_map_secrets(
        mut self,
        mut change: impl FnMut(SecretUse, &StoredSecret) -> Result<StoredSecret, Error>,
    ) -> Result<Self, Error> {
        for secret in &mut self.secrets {
            *secret = change(SecretUse::Signing, secret)?;
        }
        if let Some(credential) = self.options.authentication().secret() {
            let changed = change(SecretUse::Credential, credential)?;
            self.options = self.options.with_credential(changed)?;
        }
        if let Some(certificate) = self.options.client_certificate() {
            let changed = change(SecretUse::ClientKey, certificate.key())?;
            self.options = self.options.with_client_key(changed)?;
        }
        Ok(self)
    }

    /// Checks what a store checks before it writes a subscription.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] when it has no secret and its contract signs, so that nothing could be
    /// sent; and for an organization or secrets that are out of their [bounds]. The id of a contract that was
    /// read from a text does not tell whether the contract signs: make the subscription with a
    /// [`Contract`](crate::Contract).
    ///
    /// ```
    /// use hookwire::{AddressPolicy, Contract, EndpointUrl, EventFilter, Secret, Subscription};
    ///
    /// let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new())?;
    /// let subscription = Subscription::new("org_1", &Contract::allison(), url, EventFilter::all());
    /// assert!(subscription.check().is_err());
    /// assert!(subscription.with_secret(Secret::generate()).check().is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self) -> Result<(), Error> {
        if self.secrets.is_empty() && self.contract.is_known_to_sign() {
            let reason = format!("subscription has no secret and contract `{}` signs", self.contract.name());
            return Err(Error::new(ErrorKind::Subscription, reason).with_expected("one"));
        }
        self.excess().map_err(|excess| excess.into_error(ErrorKind::Subscription))
    }

    fn excess(&self) -> Result<(), Excess> {
        Excess::of_bytes("organization", self.organization.len(), bounds::ORGANIZATION)?;
        let times = self.secrets_until.len() + usize::from(!self.secrets_until.is_empty());
        Excess::of("subscription", "secrets", self.secrets.len().max(times), bounds::SECRETS)?;
        let mut stored = self.secrets.iter().map(|secret| secret.to_storage().len());
        stored.try_for_each(|len| Excess::of_bytes("secret", len, bounds::SECRET))
    }

    /// Whether everything but the health is as in `other`: the comparison of
    /// [`Subscriptions::replace`](crate::Subscriptions::replace).
    pub fn is_as(&self, other: &Self) -> bool {
        self.id == other.id
            && self.organization == other.organization
            && self.contract == other.contract
            && self.url == other.url
            && self.filter == other.filter
            && self.secrets == other.secrets
            && self.secrets_until == other.secrets_until
            && self.status == other.status
            && self.options == other.options
            && self.created_at == other.created_at
    }

    /// Whether an event of the type named `event_type` may go to this endpoint. [`EventFilter::passes`]
    /// judges the conditions too.
    ///
    /// An event for a disabled endpoint waits until the endpoint is enabled again, for 30 days unless
    /// `Dispatcher::with_expiry` says otherwise, and not at all if the outbox is set to drop it.
    pub fn wants(&self, event_type: &str) -> bool {
        self.filter.matches(event_type)
    }
}

/// The last instant that every store can hold.
const FOR_EVER: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);

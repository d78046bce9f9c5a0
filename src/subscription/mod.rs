//! [`Subscription`]: an organization's endpoint, what it asks for, and the secrets that sign for it.

mod authentication;
mod filter;
mod health;
mod options;

pub use authentication::{Authentication, TokenSource};
pub use filter::{Candidate, Condition, EventFilter, Subject};
pub use health::Health;
pub use options::Options;

use time::OffsetDateTime;

use crate::address::EndpointUrl;
use crate::error::Error;
use crate::id::SubscriptionId;
use crate::signature::{Secret, SecretUse, StoredSecret};

/// An organization's endpoint and which events go there.
///
/// ```
/// use hookwire::{AddressPolicy, EndpointUrl, EventFilter, Secret, Subscription};
///
/// let url = EndpointUrl::parse("https://hooks.example.com/calls", &AddressPolicy::new())?;
/// let subscription = Subscription::new("org_1", url, EventFilter::new(["call.*"])?).with_secret(Secret::generate());
/// assert!(subscription.wants("call.ended"));
/// assert!(!subscription.wants("contact.created"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Subscription {
    /// The subscription's id.
    pub id: SubscriptionId,
    /// Whose it is: the application's own key for a tenant, any text.
    pub organization: String,
    /// Where its events go.
    pub url: EndpointUrl,
    /// Which events those are.
    pub filter: EventFilter,
    /// What signs its requests, newest first; none where the contract does not sign. In the clear, unless a key ring sealed them.
    pub secrets: Vec<StoredSecret>,
    /// Until when each secret but the newest signs, in their order: the first time is the second secret's. One without a time signs
    /// until it is taken out.
    pub secrets_until: Vec<OffsetDateTime>,
    /// Whether it is sent to.
    pub status: SubscriptionStatus,
    /// How its requests are sent: caps, credentials, extra headers.
    pub options: Options,
    /// How its endpoint fares. A store keeps it; [`Store::put_subscription`](crate::Store::put_subscription) writes it for a new
    /// subscription only.
    pub health: Health,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

impl Subscription {
    /// An enabled subscription with a fresh id, made now, without a secret.
    ///
    /// [`from_parts`](Self::from_parts) is the pure twin.
    pub fn new(organization: impl Into<String>, url: EndpointUrl, filter: EventFilter) -> Self {
        Self::from_parts(SubscriptionId::generate(), OffsetDateTime::now_utc(), organization, url, filter)
    }

    /// An enabled subscription of these parts, without a secret.
    pub fn from_parts(
        id: SubscriptionId,
        created_at: OffsetDateTime,
        organization: impl Into<String>,
        url: EndpointUrl,
        filter: EventFilter,
    ) -> Self {
        Self {
            id,
            organization: organization.into(),
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

    /// The same subscription, signing with `secret` before any that it had.
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

    /// The same subscription, sent to in this way.
    pub fn with_options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The same subscription with each secret, the credential of its authentication too, as `change` makes it.
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
        Ok(self)
    }

    /// Whether everything but the health is as in `other`: what [`Store::replace_subscription`](crate::Store::replace_subscription)
    /// asks.
    pub fn is_as(&self, other: &Self) -> bool {
        self.id == other.id
            && self.organization == other.organization
            && self.url == other.url
            && self.filter == other.filter
            && self.secrets == other.secrets
            && self.secrets_until == other.secrets_until
            && self.status == other.status
            && self.options == other.options
            && self.created_at == other.created_at
    }

    /// Whether an event of the type named `event_type` may go to this endpoint, as far as the type says;
    /// [`EventFilter::passes`] judges the rest.
    ///
    /// One for a disabled endpoint waits until the endpoint is enabled again, unless the outbox is told to drop it.
    pub fn wants(&self, event_type: &str) -> bool {
        self.filter.matches(event_type)
    }
}

/// Whether a subscription is sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SubscriptionStatus {
    /// It is.
    Enabled,
    /// It is not, until somebody enables it again.
    #[non_exhaustive]
    Disabled {
        /// Why.
        reason: DisabledReason,
        /// Since when.
        at: OffsetDateTime,
    },
}

impl SubscriptionStatus {
    /// Disabled for `reason` since `at`.
    pub const fn disabled(reason: DisabledReason, at: OffsetDateTime) -> Self {
        Self::Disabled { reason, at }
    }
}

/// Why a subscription is disabled.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DisabledReason {
    /// The endpoint answered `410 Gone`.
    Gone,
    /// Nothing but failures for as long as the contract allows.
    Failing,
    /// Somebody switched it off.
    Manual,
}

impl DisabledReason {
    /// The reason as stored and shown: `snake_case`, stable across versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::Manual => "manual",
        }
    }

    /// The reason that [`as_str`](Self::as_str) gives as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Gone, Self::Failing, Self::Manual].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// The last instant that every store can hold.
const FOR_EVER: OffsetDateTime = time::macros::datetime!(9999-12-31 23:59:59 UTC);

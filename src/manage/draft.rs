//! [`SubscriptionDraft`]: a subscription that a caller asks for; [`SubscriptionPatch`]: changes of a
//! subscription.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroizing;

use super::fields::ExtraFields;
use crate::error::{Error, ErrorKind};
use crate::retry::RetryPolicy;
use crate::signature::Secret;
use crate::subscription::{Authentication, ClientCertificate, Options, Subject};

/// A subscription that a caller asks for, for [`Service::create`](super::Service::create) and
/// [`Service::replace`](super::Service::replace).
///
/// ```
/// use hookwire::manage::SubscriptionDraft;
///
/// let draft = SubscriptionDraft::new("https://a.example/calls", ["call.*"]).with_header("x-tenant", "acme");
/// let same: SubscriptionDraft = serde_json::from_str(
///     r#"{"url": "https://a.example/calls", "events": ["call.*"], "headers": {"x-tenant": "acme"}}"#,
/// )?;
/// assert_eq!(draft.url, same.url);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize)]
#[non_exhaustive]
pub struct SubscriptionDraft {
    /// The URL that the events go to.
    pub url: String,
    /// The event types, prefixes such as `call.*`, or `*`. Empty if they are given under the contract's own
    /// name for them.
    #[serde(default)]
    pub events: Vec<String>,
    /// The conditions that an event's JSON must meet, all of them.
    #[serde(default)]
    pub conditions: Vec<ConditionDraft>,
    /// The routing attributes that an event must have, each with one of these values.
    #[serde(default)]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The extra headers of its requests.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The authentication of its requests beside their signature.
    #[serde(default)]
    pub authentication: AuthenticationDraft,
    /// The client certificate that its requests present (mutual TLS).
    #[serde(default)]
    pub client_certificate: Option<ClientCertificateDraft>,
    /// The most attempts that may be under way at once.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// The most attempts that may begin in a second.
    #[serde(default)]
    pub rate: Option<RateDraft>,
    /// The schedule of retries, in place of the contract's.
    #[serde(default)]
    pub retry: Option<RetryDraft>,
    /// Whether deliveries are sent.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The name of the contract that it speaks; `None` for the service's first. A subscription keeps it.
    #[serde(default)]
    pub contract: Option<String>,
    /// The version of the contract's data; `None` for the newest, or for the one that a subscription speaks
    /// that is there already.
    #[serde(default)]
    pub version: Option<String>,
    /// The first secret; `None` for a fresh one. Only a new subscription takes it.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Fields of the contract's own; any other is refused when the draft is used.
    #[serde(flatten)]
    pub(super) fields: ExtraFields,
}

impl SubscriptionDraft {
    /// The names of the fields that every draft may have.
    pub(super) const FIELDS: &[&str] = &[
        "url",
        "events",
        "conditions",
        "attributes",
        "headers",
        "authentication",
        "client_certificate",
        "max_in_flight",
        "rate",
        "retry",
        "enabled",
        "contract",
        "version",
        "secret",
    ];

    /// Makes a draft of an enabled subscription that sends these events to `url`.
    pub fn new<E: Into<String>>(url: impl Into<String>, events: impl IntoIterator<Item = E>) -> Self {
        Self {
            url: url.into(),
            events: events.into_iter().map(Into::into).collect(),
            conditions: Vec::new(),
            attributes: BTreeMap::new(),
            headers: BTreeMap::new(),
            authentication: AuthenticationDraft::None,
            client_certificate: None,
            max_in_flight: None,
            rate: None,
            retry: None,
            enabled: true,
            contract: None,
            version: None,
            secret: None,
            fields: ExtraFields::default(),
        }
    }

    /// Sets a field of the contract's own, such as `allo_number` ([`Contract::subscription_fields`]).
    ///
    /// [`Contract::subscription_fields`]: crate::Contract::subscription_fields
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Sets the contract that it speaks.
    pub fn with_contract(mut self, name: impl Into<String>) -> Self {
        self.contract = Some(name.into());
        self
    }

    /// Sets the version of the contract's data.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets the first secret.
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Adds an extra header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets the schedule of retries.
    pub fn with_retry(mut self, retry: RetryDraft) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets whether deliveries are sent.
    pub const fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Adds a routing attribute: an event must have one of `values` in its attribute `name`.
    pub fn with_attribute<V: Into<String>>(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.attributes.insert(name.into(), values.into_iter().map(Into::into).collect());
        self
    }

    /// Adds a condition.
    pub fn with_condition(mut self, condition: ConditionDraft) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Every field but the secret, as a patch. The contract and the version stay where they are not given.
    pub(super) fn into_patch(self) -> SubscriptionPatch {
        SubscriptionPatch {
            url: Some(self.url),
            events: Some(self.events),
            conditions: Some(self.conditions),
            attributes: Some(self.attributes),
            headers: Some(self.headers),
            authentication: Some(self.authentication),
            client_certificate: Some(self.client_certificate),
            max_in_flight: Some(self.max_in_flight),
            rate: Some(self.rate),
            retry: Some(self.retry),
            enabled: Some(self.enabled),
            contract: self.contract,
            version: self.version,
            fields: self.fields,
        }
    }
}

/// Shows the events alone, because URL and headers often hold secrets.
impl fmt::Debug for SubscriptionDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionDraft").field("events", &self.events).finish_non_exhaustive()
    }
}

/// Changes of a subscription. A field that is `None` stays, and `Some(None)` takes the field out.
///
/// In JSON it is a merge patch (RFC 7396) of the first level of fields: a missing field stays, and `null`
/// takes the field out.
#[derive(Clone, Default, Deserialize)]
#[non_exhaustive]
#[serde(default)]
pub struct SubscriptionPatch {
    /// The new URL.
    #[serde(deserialize_with = "required")]
    pub url: Option<String>,
    /// The new event types, in place of all.
    #[serde(deserialize_with = "required")]
    pub events: Option<Vec<String>>,
    /// The new conditions, in place of all.
    #[serde(deserialize_with = "or_none")]
    pub conditions: Option<Vec<ConditionDraft>>,
    /// The new attributes, in place of all.
    #[serde(deserialize_with = "or_none")]
    pub attributes: Option<BTreeMap<String, Vec<String>>>,
    /// The new extra headers, in place of all.
    #[serde(deserialize_with = "or_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// The new authentication.
    #[serde(deserialize_with = "or_none")]
    pub authentication: Option<AuthenticationDraft>,
    /// The new client certificate.
    #[serde(deserialize_with = "given")]
    pub client_certificate: Option<Option<ClientCertificateDraft>>,
    /// The new cap of attempts under way.
    #[serde(deserialize_with = "given")]
    pub max_in_flight: Option<Option<u32>>,
    /// The new rate.
    #[serde(deserialize_with = "given")]
    pub rate: Option<Option<RateDraft>>,
    /// The new schedule of retries.
    #[serde(deserialize_with = "given")]
    pub retry: Option<Option<RetryDraft>>,
    /// Whether deliveries are sent.
    #[serde(deserialize_with = "or_yes")]
    pub enabled: Option<bool>,
    /// The name of the contract that it speaks, which never changes: another one is refused.
    #[serde(deserialize_with = "required")]
    pub contract: Option<String>,
    /// The new version of the contract's data. The events and conditions that the subscription asks for are
    /// checked against it.
    #[serde(deserialize_with = "required")]
    pub version: Option<String>,
    /// Fields of the contract's own; any other is refused when the patch is used.
    #[serde(flatten)]
    pub(super) fields: ExtraFields,
}

impl SubscriptionPatch {
    /// Makes a patch that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the new URL.
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Sets the new event types.
    pub fn with_events<E: Into<String>>(mut self, events: impl IntoIterator<Item = E>) -> Self {
        self.events = Some(events.into_iter().map(Into::into).collect());
        self
    }

    /// Sets a field of the contract's own, such as `allo_number` ([`Contract::subscription_fields`]); `null`
    /// takes it out.
    ///
    /// [`Contract::subscription_fields`]: crate::Contract::subscription_fields
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Sets whether deliveries are sent.
    pub const fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = Some(enabled);
        self
    }

    /// Sets the new version of the contract's data.
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Sets the new cap of attempts under way; `None` takes it out.
    pub const fn with_max_in_flight(mut self, attempts: Option<u32>) -> Self {
        self.max_in_flight = Some(attempts);
        self
    }
}

/// Shows the events alone, because URL and headers often hold secrets.
impl fmt::Debug for SubscriptionPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionPatch").field("events", &self.events).finish_non_exhaustive()
    }
}

/// A [`Condition`](crate::subscription::Condition) that a caller asks for.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct ConditionDraft {
    /// The part of the event that it is about; the default is the data.
    #[serde(default = "data")]
    pub part: Subject,
    /// The place in that part (RFC 6901).
    pub pointer: String,
    /// The values, of which one has to stand there.
    pub values: Vec<Value>,
}

impl ConditionDraft {
    /// Makes a condition on the event's data.
    pub fn data<V: Into<Value>>(pointer: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self { part: Subject::Data, pointer: pointer.into(), values }
    }
}

/// An [`Authentication`] that a caller asks for. `Debug` shows no credentials.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "type")]
pub enum AuthenticationDraft {
    /// No authentication beside the signature.
    #[default]
    None,
    /// A key as the whole value of a header.
    #[non_exhaustive]
    ApiKey {
        /// The header.
        header: String,
        /// The key.
        key: Secret,
    },
    /// A name and a password.
    #[non_exhaustive]
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A fixed bearer token.
    #[non_exhaustive]
    Bearer {
        /// The token.
        token: Secret,
    },
    /// A bearer token from the dispatcher's token source.
    BearerFromSource,
}

impl AuthenticationDraft {
    pub(super) fn build(self) -> Result<Authentication, crate::Error> {
        match self {
            Self::None => Ok(Authentication::None),
            Self::ApiKey { header, key } => Authentication::api_key(&header, key),
            Self::Basic { user, password } => Authentication::basic(user, password),
            Self::Bearer { token } => Authentication::bearer(token),
            Self::BearerFromSource => Ok(Authentication::BearerFromSource),
        }
    }
}

/// A [`ClientCertificate`] that a caller asks for. `Debug` shows nothing of it.
#[derive(Clone, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateDraft {
    /// The certificates in PEM, the own one first.
    pub certificates: String,
    /// The private key in PEM.
    pub key: Zeroizing<String>,
}

impl ClientCertificateDraft {
    /// Makes a client certificate of these texts in PEM.
    pub fn new(certificates: impl Into<String>, key: impl Into<Zeroizing<String>>) -> Self {
        Self { certificates: certificates.into(), key: key.into() }
    }

    pub(super) fn build(&self) -> Result<ClientCertificate, crate::Error> {
        ClientCertificate::from_pem(&self.certificates, &self.key)
    }
}

impl fmt::Debug for ClientCertificateDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificateDraft(..)")
    }
}

/// A rate that a caller asks for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct RateDraft {
    /// The most attempts that may begin in a second.
    pub per_second: f64,
    /// The most attempts that may begin at once after a quiet time.
    #[serde(default = "one")]
    pub burst: u32,
}

impl RateDraft {
    /// Makes a rate of `per_second` attempts, and of `burst` at once.
    pub const fn new(per_second: f64, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// A schedule of retries that a caller asks for, in place of the contract's. It has the contract's jitter.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "type")]
pub enum RetryDraft {
    /// One attempt and no retry.
    None,
    /// A retry after each of these delays.
    #[non_exhaustive]
    Delays {
        /// The delays, each counted from the failure before it.
        seconds: Vec<f64>,
    },
    /// Delays that grow.
    #[non_exhaustive]
    Exponential {
        /// The first delay.
        first_seconds: f64,
        /// The factor by which each delay is longer than the one before.
        #[serde(default = "two")]
        factor: f64,
        /// The longest delay.
        #[serde(default)]
        max_delay_seconds: Option<f64>,
        /// The number of attempts, with the first one.
        max_attempts: u32,
    },
}

impl RetryDraft {
    /// Makes a schedule with a retry after each of these delays.
    pub fn delays(seconds: impl IntoIterator<Item = f64>) -> Self {
        Self::Delays { seconds: seconds.into_iter().collect() }
    }

    /// The delays between the attempts.
    pub(super) fn build(&self) -> Result<Vec<Duration>, Error> {
        let wait = |seconds: f64| {
            Duration::try_from_secs_f64(seconds).map_err(|_| {
                Error::new(ErrorKind::RetryPolicy, "delay is negative or too long")
                    .with_expected("seconds from 0 on")
            })
        };
        match self {
            Self::None => Ok(Vec::new()),
            Self::Delays { seconds } => {
                seconds.iter().take(Options::MAX_RETRIES + 1).map(|seconds| wait(*seconds)).collect()
            }
            Self::Exponential { first_seconds, factor, max_delay_seconds, max_attempts } => {
                let mut policy = RetryPolicy::exponential(wait(*first_seconds)?, *factor);
                if let Some(max) = max_delay_seconds {
                    policy = policy.with_max_delay(wait(*max)?);
                }
                let policy = policy.with_max_attempts(*max_attempts).build()?;
                Ok((1..)
                    .map_while(|attempt| policy.delay_after(attempt))
                    .take(Options::MAX_RETRIES + 1)
                    .collect())
            }
        }
    }
}

/// Distinguishes `null` from a missing field.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Refuses `null`, for a field that cannot be taken out.
fn required<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads `null` as empty.
fn or_none<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(|value| Some(value.unwrap_or_default()))
}

/// Reads `null` as enabled, as a new subscription is.
fn or_yes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Option::deserialize(deserializer).map(|value| Some(value.unwrap_or_else(yes)))
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

const fn two() -> f64 {
    2.0
}

const fn data() -> Subject {
    Subject::Data
}

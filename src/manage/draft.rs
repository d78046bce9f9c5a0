//! [`SubscriptionDraft`]: a subscription as somebody asks for it; [`SubscriptionPatch`]: what is to be changed of one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::retry::RetryPolicy;
use crate::signature::Secret;
use crate::subscription::{Authentication, Options, Subject};

/// A subscription as somebody asks for it: what [`create`](super::Service::create) makes and
/// [`replace`](super::Service::replace) puts in a subscription's place.
///
/// ```
/// use hookwire::manage::SubscriptionDraft;
///
/// let draft = SubscriptionDraft::new("https://hooks.example.com/calls", ["call.*"]).with_header("x-tenant", "acme");
/// let same: SubscriptionDraft = serde_json::from_str(
///     r#"{"url": "https://hooks.example.com/calls", "events": ["call.*"], "headers": {"x-tenant": "acme"}}"#,
/// )?;
/// assert_eq!(draft.url, same.url);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct SubscriptionDraft {
    /// Where its events go.
    pub url: String,
    /// Types, prefixes such as `call.*`, or `*`; Allo's first API calls them `topics`.
    #[serde(alias = "topics")]
    pub events: Vec<String>,
    /// Of Allo's first API: the number whose events these are.
    #[serde(default)]
    pub allo_number: Option<String>,
    /// What the events must hold beyond their type, all of it.
    #[serde(default)]
    pub conditions: Vec<ConditionDraft>,
    /// Routing attributes that the events must have, each with one of these values.
    #[serde(default)]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Extra headers of its requests.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What its requests show besides a signature.
    #[serde(default)]
    pub authentication: AuthenticationDraft,
    /// How many attempts may be under way at once.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// How many attempts may begin in a second.
    #[serde(default)]
    pub rate: Option<RateDraft>,
    /// When failed deliveries are tried again, in place of the contract's rule.
    #[serde(default)]
    pub retry: Option<RetryDraft>,
    /// Whether it is sent to.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its first secret; one is made where none is given. Only for a new subscription.
    #[serde(default)]
    pub secret: Option<Secret>,
}

impl SubscriptionDraft {
    /// An enabled subscription for these events to `url`, without anything else.
    pub fn new<E: Into<String>>(url: impl Into<String>, events: impl IntoIterator<Item = E>) -> Self {
        Self {
            url: url.into(),
            events: events.into_iter().map(Into::into).collect(),
            allo_number: None,
            conditions: Vec::new(),
            attributes: BTreeMap::new(),
            headers: BTreeMap::new(),
            authentication: AuthenticationDraft::None,
            max_in_flight: None,
            rate: None,
            retry: None,
            enabled: true,
            secret: None,
        }
    }

    /// The same draft with this secret as its first.
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The same draft with one more header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// The same draft with retries of its own.
    pub fn with_retry(mut self, retry: RetryDraft) -> Self {
        self.retry = Some(retry);
        self
    }

    /// The same draft, enabled or not.
    pub const fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// The same draft, asking that the routing attribute `name` has one of `values`.
    pub fn with_attribute<V: Into<String>>(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.attributes.insert(name.into(), values.into_iter().map(Into::into).collect());
        self
    }

    /// The same draft with one more condition.
    pub fn with_condition(mut self, condition: ConditionDraft) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Everything but the secret, as a change of whatever there is.
    pub(super) fn into_patch(self) -> SubscriptionPatch {
        SubscriptionPatch {
            url: Some(self.url),
            events: Some(self.events),
            allo_number: Some(self.allo_number),
            conditions: Some(self.conditions),
            attributes: Some(self.attributes),
            headers: Some(self.headers),
            authentication: Some(self.authentication),
            max_in_flight: Some(self.max_in_flight),
            rate: Some(self.rate),
            retry: Some(self.retry),
            enabled: Some(self.enabled),
        }
    }
}

/// Shows which events are asked for: URL and headers often hold what is secret.
impl fmt::Debug for SubscriptionDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionDraft").field("events", &self.events).finish_non_exhaustive()
    }
}

/// What is to be changed of a subscription; what is `None` stays, and what is `Some(None)` is taken out.
///
/// As JSON it is a merge patch (RFC 7396) of the fields' first level: a missing field stays, `null` takes out.
#[derive(Clone, Default, Deserialize)]
#[non_exhaustive]
#[serde(default, deny_unknown_fields)]
pub struct SubscriptionPatch {
    /// Another URL.
    #[serde(deserialize_with = "required")]
    pub url: Option<String>,
    /// Other events.
    #[serde(alias = "topics", deserialize_with = "required")]
    pub events: Option<Vec<String>>,
    /// Of Allo's first API: another number.
    #[serde(deserialize_with = "given")]
    pub allo_number: Option<Option<String>>,
    /// Other conditions, in place of all.
    #[serde(deserialize_with = "or_none")]
    pub conditions: Option<Vec<ConditionDraft>>,
    /// Other attributes, in place of all.
    #[serde(deserialize_with = "or_none")]
    pub attributes: Option<BTreeMap<String, Vec<String>>>,
    /// Other headers, in place of all.
    #[serde(deserialize_with = "or_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Another authentication.
    #[serde(deserialize_with = "or_none")]
    pub authentication: Option<AuthenticationDraft>,
    /// Another cap.
    #[serde(deserialize_with = "given")]
    pub max_in_flight: Option<Option<u32>>,
    /// Another rate.
    #[serde(deserialize_with = "given")]
    pub rate: Option<Option<RateDraft>>,
    /// Other retries.
    #[serde(deserialize_with = "given")]
    pub retry: Option<Option<RetryDraft>>,
    /// Whether it is sent to.
    #[serde(deserialize_with = "or_yes")]
    pub enabled: Option<bool>,
}

impl SubscriptionPatch {
    /// A patch that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same patch, setting another URL.
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// The same patch, asking for other events.
    pub fn with_events<E: Into<String>>(mut self, events: impl IntoIterator<Item = E>) -> Self {
        self.events = Some(events.into_iter().map(Into::into).collect());
        self
    }

    /// The same patch, enabling or disabling.
    pub const fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = Some(enabled);
        self
    }

    /// The same patch, setting the cap of attempts under way, or taking it out.
    pub const fn with_max_in_flight(mut self, attempts: Option<u32>) -> Self {
        self.max_in_flight = Some(attempts);
        self
    }
}

/// Shows which events are asked for: URL and headers often hold what is secret.
impl fmt::Debug for SubscriptionPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionPatch").field("events", &self.events).finish_non_exhaustive()
    }
}

/// A [`Condition`](crate::Condition) as somebody asks for it.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct ConditionDraft {
    /// Which part of the event it is about, its data unless told.
    #[serde(default = "data")]
    pub part: Subject,
    /// The place in that part (RFC 6901).
    pub pointer: String,
    /// The values of which one has to stand there.
    pub values: Vec<Value>,
}

impl ConditionDraft {
    /// A condition on the event's data.
    pub fn data<V: Into<Value>>(pointer: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        Self { part: Subject::Data, pointer: pointer.into(), values }
    }
}

/// An [`Authentication`] as somebody asks for it. `Debug` shows no credentials.
#[derive(Clone, Debug, Default, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "type")]
pub enum AuthenticationDraft {
    /// Nothing.
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

/// A rate as somebody asks for it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields)]
pub struct RateDraft {
    /// How many attempts may begin in a second.
    pub per_second: f64,
    /// How many at once after a quiet time.
    #[serde(default = "one")]
    pub burst: u32,
}

impl RateDraft {
    /// This many per second, and `burst` at once.
    pub const fn new(per_second: f64, burst: u32) -> Self {
        Self { per_second, burst }
    }
}

/// Retries as somebody asks for them: in place of the contract's plan, and spread as the contract spreads its own.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "type")]
pub enum RetryDraft {
    /// One attempt and no retry.
    None,
    /// A retry after each of these.
    #[non_exhaustive]
    Delays {
        /// Each counted from the failure before it.
        seconds: Vec<f64>,
    },
    /// Waits that grow.
    #[non_exhaustive]
    Exponential {
        /// The first wait.
        first_seconds: f64,
        /// By what each is longer than the one before.
        #[serde(default = "two")]
        factor: f64,
        /// What no wait grows past.
        #[serde(default)]
        max_delay_seconds: Option<f64>,
        /// How many attempts there are, the first one included.
        max_attempts: u32,
    },
}

impl RetryDraft {
    /// A retry after each of these.
    pub fn delays(seconds: impl IntoIterator<Item = f64>) -> Self {
        Self::Delays { seconds: seconds.into_iter().collect() }
    }

    /// The waits between its attempts.
    pub(super) fn build(&self) -> Result<Vec<Duration>, Error> {
        let wait = |seconds: f64| {
            Duration::try_from_secs_f64(seconds).map_err(|_| {
                Error::new(ErrorKind::RetryPolicy, "delay is no span of time, expected seconds from 0 on")
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

/// Tells a `null` from a field that is missing.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What cannot be taken out: a `null` is refused.
fn required<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A `null` takes out all there is.
fn or_none<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::<T>::deserialize(deserializer).map(|value| Some(value.unwrap_or_default()))
}

/// A `null` leaves it as a new one is.
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

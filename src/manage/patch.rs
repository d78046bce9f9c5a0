//! [`SubscriptionPatch`]: changes of a subscription.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::fields::ExtraFields;
use super::parts::{
    AuthenticationDraft, ClientCertificateDraft, ConditionDraft, Hideable, RatePatch, RetryDraft,
};
use super::reading::{given, or_none, or_yes, required};

/// Changes of a subscription. A field that is `None` stays, and `Some(None)` takes the field out.
///
/// In JSON it is a merge patch (RFC 7396): a missing field stays, `null` takes a field out, and the members
/// of `attributes`, `headers`, `metadata`, `authentication` and `rate` are merged by name. An authentication
/// of another type takes the place of the one that is there, and so does `retry`.
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
    /// The new description.
    #[serde(deserialize_with = "given")]
    pub description: Option<Option<String>>,
    /// The application's new name of it.
    #[serde(deserialize_with = "given")]
    pub uid: Option<Option<String>>,
    /// The metadata that changes; a name that is `None` is taken out, and `Some(None)` takes out all.
    #[serde(deserialize_with = "given")]
    pub metadata: Option<Option<BTreeMap<String, Option<String>>>>,
    /// The new conditions, in place of all.
    #[serde(deserialize_with = "or_none")]
    pub conditions: Option<Vec<ConditionDraft>>,
    /// The attributes that change; one that is `None` is taken out, and `Some(None)` takes out all.
    #[serde(deserialize_with = "given")]
    pub attributes: Option<Option<BTreeMap<String, Option<Vec<String>>>>>,
    /// The extra headers that change; one that is `None` is taken out, and `Some(None)` takes out all.
    #[serde(deserialize_with = "given")]
    pub headers: Option<Option<BTreeMap<String, Option<Hideable<String>>>>>,
    /// The parts of the authentication that change; `Some(None)` takes it out.
    #[serde(deserialize_with = "given")]
    pub authentication: Option<Option<AuthenticationDraft>>,
    /// The new client certificate.
    #[serde(deserialize_with = "given")]
    pub client_certificate: Option<Option<Hideable<ClientCertificateDraft>>>,
    /// The new cap of attempts under way.
    #[serde(deserialize_with = "given")]
    pub max_in_flight: Option<Option<u32>>,
    /// The parts of the rate that change.
    #[serde(deserialize_with = "given")]
    pub rate: Option<Option<RatePatch>>,
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
    /// Whether attributes and headers take the place of all that are there, as those of a draft do.
    #[serde(skip)]
    pub(super) replaces: bool,
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

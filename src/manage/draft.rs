//! [`SubscriptionDraft`]: a subscription that a caller asks for.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::error::ManageError;
use super::fields::ExtraFields;
use super::parts::{
    AuthenticationDraft, ClientCertificateDraft, ConditionDraft, Hideable, RateDraft, RetryDraft, typed,
};
use super::patch::SubscriptionPatch;
use super::reading::{given, or_default, or_none, yes};
use crate::signature::Secret;

/// A subscription that a caller asks for, for [`Service::create`](super::Service::create) and
/// [`Service::replace`](super::Service::replace).
///
/// The JSON of a [`SubscriptionView`](super::SubscriptionView) is a draft too: a replacement ignores the
/// fields that only the service sets ([`READ_ONLY`](Self::READ_ONLY)).
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
    /// The description, for people.
    #[serde(default)]
    pub description: Option<String>,
    /// The application's own name of it.
    #[serde(default)]
    pub uid: Option<String>,
    /// Names and values for programs.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: BTreeMap<String, String>,
    /// The conditions that an event's JSON must meet, all of them.
    #[serde(default, deserialize_with = "or_default")]
    pub conditions: Vec<ConditionDraft>,
    /// The routing attributes that an event must have, each with one of these values.
    #[serde(default, deserialize_with = "or_default")]
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The extra headers of its requests; `None` leaves those that are stored.
    #[serde(default, deserialize_with = "or_none")]
    pub headers: Option<BTreeMap<String, Hideable<String>>>,
    /// The authentication of its requests beside their signature; `None` leaves the one that is stored.
    #[serde(default, deserialize_with = "typed")]
    pub authentication: Option<AuthenticationDraft>,
    /// The client certificate that its requests present (mutual TLS); `None` leaves the one that is stored,
    /// and `Some(None)` is none.
    #[serde(default, deserialize_with = "given")]
    pub client_certificate: Option<Option<Hideable<ClientCertificateDraft>>>,
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
        "description",
        "uid",
        "metadata",
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

    /// The names of the fields that a read shows and only the service sets. A replacement may have them, as
    /// they were read; they change nothing.
    pub const READ_ONLY: &[&str] = &[
        "id",
        "auto_disabled_reason",
        "created_at",
        "disabled_at",
        "disabled_reason",
        "failing_since",
        "secret_preview",
        "secrets",
        "signing_secrets",
    ];

    /// Makes a draft of an enabled subscription that sends these events to `url`.
    pub fn new<E: Into<String>>(url: impl Into<String>, events: impl IntoIterator<Item = E>) -> Self {
        Self {
            url: url.into(),
            events: events.into_iter().map(Into::into).collect(),
            description: None,
            uid: None,
            metadata: BTreeMap::new(),
            conditions: Vec::new(),
            attributes: BTreeMap::new(),
            headers: None,
            authentication: None,
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
        self.headers.get_or_insert_default().insert(name.into(), Hideable::New(value.into()));
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

    /// Refuses values that would stay as they are stored, for a subscription that is not there yet.
    pub(super) fn check_new(&self) -> Result<(), ManageError> {
        let refused = |field: String| {
            let expected = "a value: a new subscription has none that could stay";
            Err(ManageError::refused(field, "value cannot be used", expected))
        };
        if matches!(self.client_certificate, Some(Some(Hideable::Hidden))) {
            return refused("client_certificate".to_owned());
        }
        let mut headers = self.headers.iter().flatten();
        match headers.find(|(_, value)| matches!(value, Hideable::Hidden)) {
            Some((name, _)) => refused(format!("headers.{name}")),
            None => Ok(()),
        }
    }

    /// Drops the fields that only the service sets.
    pub(super) fn drop_read_only(&mut self) {
        self.fields.retain(|name| !Self::READ_ONLY.contains(&name));
    }

    /// Every field but the secret, as a patch that replaces. The contract, the version and the values that no
    /// read shows stay where they are not given.
    pub(super) fn into_patch(self) -> SubscriptionPatch {
        let attributes = self.attributes.into_iter().map(|(name, values)| (name, Some(values)));
        let headers =
            self.headers.map(|it| it.into_iter().map(|(name, value)| (name, Some(value))).collect());
        SubscriptionPatch {
            replaces: true,
            url: Some(self.url),
            events: Some(self.events),
            description: Some(self.description),
            uid: Some(self.uid),
            metadata: Some(Some(
                self.metadata.into_iter().map(|(name, value)| (name, Some(value))).collect(),
            )),
            conditions: Some(self.conditions),
            attributes: Some(Some(attributes.collect())),
            headers: headers.map(Some),
            authentication: self.authentication.map(Some),
            client_certificate: self.client_certificate,
            max_in_flight: Some(self.max_in_flight),
            rate: Some(self.rate.map(Into::into)),
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

//! [`SubscriptionView`]: a subscription without its secret, as every read shows it; [`Shown`]: a subscription
//! with the secret that it was just given.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::parts::{AuthenticationKind, Hidden};
use super::revision::Revision;
use super::{fields, instant};
use crate::contract::Contract;
use crate::id::SubscriptionId;
use crate::signature::{Secret, StoredSecret};
use crate::store::Cursor;
use crate::subscription::{Authentication, Condition, DisabledReason, Subscription, SubscriptionStatus};

/// A subscription as every read shows it, without its secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SubscriptionView {
    /// The id.
    pub id: SubscriptionId,
    /// The name of the contract that it speaks.
    pub contract: String,
    /// The version of the contract's data that it gets.
    pub version: String,
    /// The URL that the events go to.
    pub url: String,
    /// The description, for people.
    pub description: Option<String>,
    /// The application's own name of it.
    pub uid: Option<String>,
    /// Names and values for programs.
    pub metadata: BTreeMap<String, String>,
    /// The event types, prefixes such as `call.*`, or `*`.
    pub events: Vec<String>,
    /// The conditions that an event's JSON must meet.
    pub conditions: Vec<Condition>,
    /// The routing attributes that an event must have.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// The fields of the contract's own, such as `allo_number`, with their values.
    #[serde(flatten)]
    pub fields: BTreeMap<&'static str, Value>,
    /// The extra headers. The values are not shown, because they may be credentials.
    pub headers: BTreeMap<String, Hidden>,
    /// The authentication of the requests beside their signature, without credentials.
    pub authentication: AuthenticationView,
    /// The client certificate that its requests present (mutual TLS), which no read shows.
    pub client_certificate: Option<Hidden>,
    /// The most attempts that may be under way at once.
    pub max_in_flight: Option<u32>,
    /// The most attempts that may begin in a second.
    pub rate: Option<RateView>,
    /// The schedule of retries, if it is the subscription's own and not the contract's.
    pub retry: Option<RetryView>,
    /// Whether deliveries are sent.
    pub enabled: bool,
    /// The reason why no deliveries are sent: `gone`, `failing` or `manual`.
    pub disabled_reason: Option<&'static str>,
    /// The reason, if the subscription was disabled automatically.
    pub auto_disabled_reason: Option<&'static str>,
    /// The time at which it was disabled.
    #[serde(serialize_with = "instant::option")]
    pub disabled_at: Option<OffsetDateTime>,
    /// The time since which the endpoint only fails.
    #[serde(serialize_with = "instant::option")]
    pub failing_since: Option<OffsetDateTime>,
    /// The beginning of the newest secret, enough to tell it from others.
    pub secret_preview: Option<String>,
    /// The secrets that sign now, the newest first.
    pub secrets: Vec<SecretView>,
    /// The number of secrets that sign now: more than one while a rotation overlaps.
    pub signing_secrets: usize,
    /// The time at which it was made.
    #[serde(serialize_with = "instant::serialize")]
    pub created_at: OffsetDateTime,
    /// The revision, for an update that must not undo another.
    #[serde(skip)]
    pub revision: Revision,
}

impl SubscriptionView {
    /// Without its contract, no field of the contract's own is shown.
    pub(super) fn of(subscription: &Subscription, contract: Option<&Contract>, now: OffsetDateTime) -> Self {
        let options = &subscription.options;
        let disabled = match &subscription.status {
            SubscriptionStatus::Disabled { reason, at } => Some((*reason, *at)),
            SubscriptionStatus::Enabled => None,
        };
        Self {
            id: subscription.id,
            contract: subscription.contract.name().to_owned(),
            version: subscription.contract.version().to_owned(),
            url: subscription.url.to_string(),
            description: options.about().description().map(str::to_owned),
            uid: options.about().uid().map(str::to_owned),
            metadata: options.about().metadata().clone(),
            events: subscription.filter.patterns().iter().map(ToString::to_string).collect(),
            conditions: subscription.filter.conditions().to_vec(),
            attributes: subscription.filter.attributes().clone(),
            fields: contract
                .map_or_else(BTreeMap::new, |contract| fields::shown(&subscription.filter, contract)),
            headers: options.headers().keys().map(|name| (name.to_string(), Hidden::VALUE)).collect(),
            authentication: AuthenticationView {
                kind: AuthenticationKind::of(options.authentication()),
                header: match options.authentication() {
                    Authentication::ApiKey(header, _) => Some(header.to_string()),
                    _ => None,
                },
            },
            client_certificate: options.client_certificate().map(|_| Hidden::VALUE),
            max_in_flight: options.max_in_flight(),
            rate: options.rate().map(|rate| RateView { per_second: rate.per_second(), burst: rate.burst() }),
            retry: options.retry_delays().map(RetryView::of),
            enabled: disabled.is_none(),
            disabled_reason: disabled.map(|(reason, _)| reason.as_str()),
            auto_disabled_reason: disabled
                .filter(|(reason, _)| *reason != DisabledReason::Manual)
                .map(|(reason, _)| reason.as_str()),
            disabled_at: disabled.map(|(_, at)| at),
            failing_since: subscription.health.failing_since(),
            secret_preview: subscription.secrets.first().map(StoredSecret::preview),
            secrets: {
                let ends = std::iter::once(None).chain(subscription.secrets_until.iter().copied().map(Some));
                let all = subscription.secrets.iter().zip(ends.chain(std::iter::repeat(None)));
                let signing = all.filter(|(_, until)| until.is_none_or(|until| until > now));
                signing.map(|(secret, until)| SecretView { preview: secret.preview(), until }).collect()
            },
            signing_secrets: subscription.signing_secrets(now).count(),
            created_at: subscription.created_at,
            revision: Revision::of(subscription),
        }
    }
}

/// A page of an organization's subscriptions.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Listed {
    /// The subscriptions that can be read, oldest first.
    pub items: Vec<SubscriptionView>,
    /// The ids of those that cannot. Their events wait: mend the rows, or delete the subscriptions.
    pub unreadable: Vec<SubscriptionId>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
}

/// The rate of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RateView {
    /// The most attempts that may begin in a second.
    pub per_second: f64,
    /// The most attempts that may begin at once after a quiet time.
    pub burst: u32,
}

/// A secret that signs, without the secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SecretView {
    /// The beginning of it.
    pub preview: String,
    /// The time until which it signs; `None` for the newest.
    #[serde(serialize_with = "instant::option")]
    pub until: Option<OffsetDateTime>,
}

/// The authentication of a subscription's requests, without credentials.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AuthenticationView {
    /// The kind.
    #[serde(rename = "type")]
    pub kind: AuthenticationKind,
    /// The header of an API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

/// The schedule of a subscription's retries.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum RetryView {
    /// One attempt and no retry.
    None,
    /// A retry after each of these delays.
    #[non_exhaustive]
    Delays {
        /// The delays in seconds.
        seconds: Vec<f64>,
    },
}

impl RetryView {
    fn of(delays: &[Duration]) -> Self {
        match delays {
            [] => Self::None,
            delays => Self::Delays { seconds: delays.iter().map(Duration::as_secs_f64).collect() },
        }
    }
}

/// A subscription with the secret that it was just given. The secret is never shown again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shown {
    /// The subscription.
    pub subscription: SubscriptionView,
    /// The secret; `None` if the contract does not sign, or if the secret was shown before.
    pub secret: Option<Secret>,
    /// Whether the same request made the subscription before.
    pub is_repeat: bool,
}

impl Shown {
    /// The warning to show beside the secret.
    pub const WARNING: &'static str =
        "Store this secret now. It signs every delivery to this endpoint and will not be shown again.";
}

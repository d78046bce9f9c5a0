//! [`SubscriptionView`]: a subscription as it is shown, without a secret; [`Shown`]: one with its secret, the only time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use crate::id::SubscriptionId;
use crate::manage::Revision;
use crate::manage::build::ALLO_NUMBER;
use crate::signature::{Secret, StoredSecret};
use crate::subscription::{Authentication, Condition, DisabledReason, Subscription, SubscriptionStatus};

/// A subscription as it is shown: nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SubscriptionView {
    /// Its id.
    pub id: SubscriptionId,
    /// Where its events go.
    pub url: String,
    /// Types, prefixes, or `*`.
    pub events: Vec<String>,
    /// What the events must hold beyond their type.
    pub conditions: Vec<Condition>,
    /// Routing attributes that the events must have.
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Of Allo's first API: the number whose events these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allo_number: Option<String>,
    /// The names of its extra headers: their values may be credentials.
    pub headers: Vec<String>,
    /// What its requests show besides a signature: `none`, `api_key`, `basic`, `bearer`, `bearer_from_source`.
    pub authentication: &'static str,
    /// How many attempts may be under way at once.
    pub max_in_flight: Option<u32>,
    /// How many attempts may begin in a second.
    pub rate: Option<RateView>,
    /// The waits between attempts, where they are its own and not the contract's.
    pub retry_seconds: Option<Vec<f64>>,
    /// Whether it is sent to.
    pub enabled: bool,
    /// Why it is not: `gone`, `failing` or `manual`.
    pub disabled_reason: Option<&'static str>,
    /// Why it was disabled without anybody's doing.
    pub auto_disabled_reason: Option<&'static str>,
    /// Since when it is not.
    #[serde(with = "time::serde::rfc3339::option")]
    pub disabled_at: Option<OffsetDateTime>,
    /// Since when its endpoint does nothing but fail.
    #[serde(with = "time::serde::rfc3339::option")]
    pub failing_since: Option<OffsetDateTime>,
    /// Enough of the newest secret to tell it from others.
    pub secret_preview: Option<String>,
    /// How many secrets sign now: more than one while a rotation overlaps.
    pub signing_secrets: usize,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Which writing of it this is, for an update that must not undo another.
    #[serde(skip)]
    pub revision: Revision,
}

impl SubscriptionView {
    pub(super) fn of(subscription: &Subscription, now: OffsetDateTime) -> Self {
        let options = &subscription.options;
        let disabled = match &subscription.status {
            SubscriptionStatus::Disabled { reason, at } => Some((*reason, *at)),
            SubscriptionStatus::Enabled => None,
        };
        Self {
            id: subscription.id,
            url: subscription.url.to_string(),
            events: subscription.filter.patterns().iter().map(ToString::to_string).collect(),
            conditions: subscription.filter.conditions().to_vec(),
            attributes: subscription.filter.attributes().clone(),
            allo_number: subscription
                .filter
                .attributes()
                .get(ALLO_NUMBER)
                .and_then(|numbers| numbers.first().cloned()),
            headers: options.headers().keys().map(ToString::to_string).collect(),
            authentication: match options.authentication() {
                Authentication::None => "none",
                Authentication::ApiKey(..) => "api_key",
                Authentication::Basic(..) => "basic",
                Authentication::Bearer(_) => "bearer",
                Authentication::BearerFromSource => "bearer_from_source",
            },
            max_in_flight: options.max_in_flight(),
            rate: options.rate().map(|rate| RateView { per_second: rate.per_second(), burst: rate.burst() }),
            retry_seconds: options
                .retry_delays()
                .map(|delays| delays.iter().map(Duration::as_secs_f64).collect()),
            enabled: disabled.is_none(),
            disabled_reason: disabled.map(|(reason, _)| reason.as_str()),
            auto_disabled_reason: disabled
                .filter(|(reason, _)| *reason != DisabledReason::Manual)
                .map(|(reason, _)| reason.as_str()),
            disabled_at: disabled.map(|(_, at)| at),
            failing_since: subscription.health.failing_since(),
            secret_preview: subscription.secrets.first().map(StoredSecret::preview),
            signing_secrets: subscription.signing_secrets(now).count(),
            created_at: subscription.created_at,
            revision: Revision::of(subscription),
        }
    }
}

/// A rate as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RateView {
    /// How many attempts may begin in a second.
    pub per_second: f64,
    /// How many at once after a quiet time.
    pub burst: u32,
}

/// A subscription with the secret that it was just given, which is never shown again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shown {
    /// The subscription.
    pub subscription: SubscriptionView,
    /// The secret; `None` where the contract does not sign, and where it was shown before.
    pub secret: Option<Secret>,
    /// Whether it was made before, by the same request.
    pub is_repeat: bool,
}

impl Shown {
    /// What whoever is shown the secret has to be told.
    pub const WARNING: &'static str =
        "Store this secret now. It signs every delivery to this endpoint and will not be shown again.";
}

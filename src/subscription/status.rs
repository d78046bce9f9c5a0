//! [`SubscriptionStatus`]: whether a subscription is sent to, and [`DisabledReason`]: why it is not.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::error::{Error, ErrorKind};
use crate::text::stored_as_text;

/// Whether a subscription is sent to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SubscriptionStatus {
    /// It is sent to.
    Enabled,
    /// It is not sent to until somebody enables it again.
    #[non_exhaustive]
    Disabled {
        /// The reason.
        reason: DisabledReason,
        /// When it was disabled.
        at: OffsetDateTime,
    },
}

impl SubscriptionStatus {
    /// Makes the status of a subscription that was disabled for `reason` at `at`.
    pub const fn disabled(reason: DisabledReason, at: OffsetDateTime) -> Self {
        Self::Disabled { reason, at }
    }
}

/// `enabled`, or the reason and the time, such as `disabled (gone at 2026-04-17T19:12:03Z)`.
impl fmt::Display for SubscriptionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enabled => f.pad(ENABLED),
            Self::Disabled { reason, at } => {
                let at = at.to_offset(UtcOffset::UTC).format(&Rfc3339).map_err(|_| fmt::Error)?;
                f.pad(&format!("{DISABLED}{reason}{AT}{at}{END}"))
            }
        }
    }
}

/// Reads the text of `Display`.
impl FromStr for SubscriptionStatus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == ENABLED {
            return Ok(Self::Enabled);
        }
        let disabled = text.strip_prefix(DISABLED).and_then(|text| text.strip_suffix(END));
        let parts = disabled.and_then(|text| text.split_once(AT)).ok_or_else(unreadable)?;
        let at = OffsetDateTime::parse(parts.1, &Rfc3339).map_err(|error| unreadable().with_source(error))?;
        Ok(Self::disabled(parts.0.parse()?, at))
    }
}

impl Serialize for SubscriptionStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SubscriptionStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The reason why a subscription is disabled.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DisabledReason {
    /// The endpoint answered `410 Gone`.
    Gone,
    /// Its attempts failed for as long as the contract allows.
    Failing,
    /// Somebody switched it off.
    Manual,
}

impl DisabledReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[Self::Gone, Self::Failing, Self::Manual];

    /// The reason as stored and shown: `snake_case`, stable across versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::Manual => "manual",
        }
    }
}

stored_as_text!(DisabledReason, "reason of a disabled subscription", ErrorKind::Subscription);

fn unreadable() -> Error {
    Error::new(ErrorKind::Subscription, "status of a subscription cannot be read")
        .with_expected("`enabled`, or a reason and a time such as `disabled (gone at 2026-04-17T19:12:03Z)`")
}

const ENABLED: &str = "enabled";
const DISABLED: &str = "disabled (";
const AT: &str = " at ";
const END: &str = ")";

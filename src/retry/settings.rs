//! A [`RetryPolicy`] in a configuration file: [`Settings`], its fields.

use std::fmt;
use std::time::Duration;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::jitter::Jitter;
use super::plan::{Curve, Plan, nonsense};
use super::policy::RetryPolicy;
use crate::error::Error;

/// The fields of a policy, as serde reads and writes them.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delays: Option<Vec<Text>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_delay: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_delay: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_elapsed: Option<Text>,
    #[serde(default, skip_serializing_if = "is_none")]
    jitter: Jitter,
}

impl From<&RetryPolicy> for Settings {
    fn from(policy: &RetryPolicy) -> Self {
        let limits = Self {
            max_attempts: policy.attempt_limit,
            max_elapsed: policy.max_elapsed.map(Text),
            jitter: policy.jitter,
            ..Self::default()
        };
        match &policy.plan {
            Plan::Once => Self { delays: Some(Vec::new()), ..limits },
            Plan::Delays(delays) => {
                Self { delays: Some(delays.iter().copied().map(Text).collect()), ..limits }
            }
            Plan::Exponential(curve) => Self {
                first_delay: Some(Text(curve.first)),
                factor: Some(curve.factor),
                max_delay: curve.max_delay.map(Text),
                ..limits
            },
        }
    }
}

impl TryFrom<Settings> for RetryPolicy {
    type Error = Error;

    fn try_from(settings: Settings) -> Result<Self, Error> {
        let Settings { delays, first_delay, factor, max_delay, max_attempts, max_elapsed, jitter } = settings;
        let plan = match (delays, first_delay, factor) {
            (Some(_), Some(_), _) => {
                return Err(nonsense("policy has `delays` and `first_delay`").with_expected("one of them"));
            }
            (Some(_), None, _) if factor.is_some() || max_delay.is_some() => {
                return Err(nonsense("policy has `delays` and `factor` or `max_delay`")
                    .with_expected("those only with `first_delay`"));
            }
            (Some(delays), None, _) if delays.is_empty() => Plan::Once,
            (Some(delays), None, _) => Plan::Delays(delays.into_iter().map(|delay| delay.0).collect()),
            (None, Some(first), Some(factor)) => {
                Plan::Exponential(Curve { first: first.0, factor, max_delay: max_delay.map(|delay| delay.0) })
            }
            (None, Some(_), None) => {
                return Err(nonsense("policy has `first_delay` and no `factor`").with_expected("both"));
            }
            (None, None, _) => {
                return Err(nonsense("policy has no delays")
                    .with_expected("`delays` (an empty list for no retry) or `first_delay` and `factor`"));
            }
        };
        let max_elapsed = max_elapsed.map(|elapsed| elapsed.0);
        Self { plan, jitter, attempt_limit: max_attempts, max_elapsed }.checked()
    }
}

impl Serialize for RetryPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Settings::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RetryPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Settings::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

/// A duration as text with units.
struct Text(Duration);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Units;

        impl Visitor<'_> for Units {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration as text with units, such as \"1m 30s\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                humantime::parse_duration(text).map(Text).map_err(|error| {
                    E::custom(format!(
                        "duration {text:?} cannot be read ({error}), expected text with units, such as \"1m 30s\""
                    ))
                })
            }
        }

        deserializer.deserialize_str(Units)
    }
}

fn is_none(jitter: &Jitter) -> bool {
    *jitter == Jitter::None
}

//! [`SubscriptionId`] and [`DeliveryId`]: a prefix and a time-ordered UUID.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use uuid::{Builder, Uuid};

use crate::error::{Error, ErrorKind};

macro_rules! prefixed_id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $kind:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id from the system's clock and random source.
            ///
            /// # Panics
            ///
            /// When the operating system gives no random bytes; [`std::collections::HashMap`] panics then
            /// too.
            pub fn generate() -> Self {
                Self::generate_at(OffsetDateTime::now_utc())
            }

            /// Makes a new id of time `at` from the system's random source.
            ///
            /// # Panics
            ///
            /// As [`generate`](Self::generate).
            pub fn generate_at(at: OffsetDateTime) -> Self {
                let mut random = [0; 10];
                getrandom::fill(&mut random).expect("the operating system gives random bytes");
                Self::from_parts(at, random)
            }

            /// Makes the id of time `at` (to the millisecond; before 1970 counts as 1970) and these random
            /// bytes: the pure twin of [`generate`](Self::generate).
            pub fn from_parts(at: OffsetDateTime, random: [u8; 10]) -> Self {
                Self(uuid_v7(at, random))
            }

            /// The UUID as a number, for stores that have a type for UUIDs.
            pub const fn as_u128(self) -> u128 {
                self.0.as_u128()
            }

            /// Makes the id of a UUID that [`as_u128`](Self::as_u128) returned.
            pub const fn from_u128(uuid: u128) -> Self {
                Self(Uuid::from_u128(uuid))
            }
        }

        /// Hashes one number, without a length.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u128(self.as_u128());
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                text.strip_prefix($prefix)
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| Error::new($kind, "id is not valid").with_expected(concat!($prefix, " and 32 hex digits")))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

prefixed_id! {
    /// The id of a subscription: `sub_` and the 32 hex digits of a UUID version 7 (RFC 9562).
    ///
    /// ```
    /// use hookwire::SubscriptionId;
    ///
    /// let id = SubscriptionId::generate();
    /// assert_eq!(id.to_string().parse::<SubscriptionId>()?, id);
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    SubscriptionId, "sub_", ErrorKind::Subscription
}

prefixed_id! {
    /// The id of a delivery: `dlv_` and the 32 hex digits of a UUID version 7 (RFC 9562).
    ///
    /// ```
    /// use hookwire::DeliveryId;
    ///
    /// let id = DeliveryId::generate();
    /// assert_eq!(id.to_string().parse::<DeliveryId>()?, id);
    /// # Ok::<(), hookwire::Error>(())
    /// ```
    DeliveryId, "dlv_", ErrorKind::Delivery
}

/// RFC 9562 section 5.7.
pub(crate) fn uuid_v7(at: OffsetDateTime, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

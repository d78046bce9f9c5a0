//! [`EventId`]: the id of one event, the same on every delivery.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::bounds;
use crate::error::{Error, ErrorKind};
use crate::id::uuid_v7;

/// The id of one event: the same on every attempt and for every subscription, so that receivers can
/// deduplicate by it.
///
/// It can be any platform's id: 1 to 256 visible ASCII characters. Ids that are made here are `evt_` and the
/// 32 hex digits of a UUID version 7 (RFC 9562), so they sort by time.
///
/// ```
/// use hookwire::EventId;
///
/// let id = EventId::generate();
/// assert!(id.as_str().starts_with("evt_"));
/// assert_eq!(id.as_str().len(), 36);
/// assert!("two words".parse::<EventId>().is_err());
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The greatest length of an id, in characters.
    pub const MAX_LEN: usize = bounds::EVENT_ID;

    /// Makes an id from the system's clock and random source.
    ///
    /// # Panics
    ///
    /// When the operating system has no random bytes to give, as [`std::collections::HashMap`] would.
    pub fn generate() -> Self {
        let mut random = [0; 10];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        Self::from_parts(OffsetDateTime::now_utc(), random)
    }

    /// Makes the id of an event at `at` from these random bytes: the pure twin of
    /// [`generate`](Self::generate).
    ///
    /// The id holds the time in milliseconds; a time before 1970 counts as 1970.
    pub fn from_parts(at: OffsetDateTime, random: [u8; 10]) -> Self {
        Self(format!("evt_{}", uuid_v7(at, random).simple()).into())
    }

    /// Makes the id of an event that its sender gave none: `sha256_` and the hex digits of the raw body's
    /// SHA-256.
    pub fn of_body(body: &[u8]) -> Self {
        let mut id = String::from("sha256_");
        for byte in Sha256::digest(body) {
            id.push_str(&format!("{byte:02x}"));
        }
        Self(id.into())
    }

    /// The id, as requests carry it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::new(ErrorKind::Event, "event id is empty")
                .with_expected("1 to 256 visible ASCII characters"));
        }
        if text.len() > Self::MAX_LEN {
            return Err(Error::new(ErrorKind::Event, format!("event id has {} bytes", text.len()))
                .with_expected(format!("at most {}", Self::MAX_LEN)));
        }
        if let Some(at) = text.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(Error::new(
                ErrorKind::Event,
                format!("event id has a byte at {at} that is not visible ASCII"),
            ));
        }
        Ok(Self(text.into()))
    }
}

impl AsRef<str> for EventId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

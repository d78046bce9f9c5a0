//! The bounds of what callers hand in and a store keeps. Whatever is longer is refused with an error that
//! says how long it was and how long it may be.
//!
//! | input | bound | where it is refused |
//! |---|---|---|
//! | organization | [`ORGANIZATION`] bytes | `Outbox::emit`, writing a subscription |
//! | event id, event type | [`EVENT_ID`] and [`EVENT_TYPE`] bytes | [`EventId`](crate::EventId), [`EventType`](crate::EventType) |
//! | encoded event | `Outbox::with_max_payload`, 1 MiB unless it is set | `Outbox::emit` |
//! | ordering key | [`ORDERING_KEY`] bytes | `Outbox::emit` |
//! | routing attributes of an event | [`ATTRIBUTES`], with [`ATTRIBUTE_VALUES`] values, in [`ATTRIBUTES_LEN`] bytes | `Outbox::emit` |
//! | filter of a subscription | [`CONDITIONS`] conditions and attributes, in [`FILTER_LEN`] bytes | [`EventFilter`](crate::EventFilter) |
//! | place in a condition | [`POINTER`] bytes | [`Condition`](crate::subscription::Condition) |
//! | extra headers | [`HEADERS`], in [`HEADERS_LEN`] bytes | [`Options`](crate::subscription::Options) |
//! | credential: name, key, password, token | [`CREDENTIAL`] bytes each | [`Authentication`](crate::subscription::Authentication) |
//! | client certificate | [`CERTIFICATES`] bytes, and a key of [`CREDENTIAL`] bytes | [`ClientCertificate`](crate::subscription::ClientCertificate) |
//! | description, uid, metadata of a subscription | [`DESCRIPTION`], [`UID`] and [`METADATA_LEN`] bytes | [`About`](crate::subscription::About) |
//! | delays before retries | [`RETRIES`] | [`Options`](crate::subscription::Options) |
//! | secrets of a subscription | [`SECRETS`], each in [`SECRET`] bytes as it is stored | writing a subscription |
//! | note on a dead letter | [`NOTE`] bytes | [`Records::discard`](crate::Records::discard) |
//!
//! [`EndpointUrl::parse`](crate::EndpointUrl) takes 8,000 bytes, and a body of a management call has at most
//! 256 KiB. The stores of this crate refuse an event or a subscription that is out of bounds with
//! [`StoreErrorKind::Backend`](crate::store::StoreErrorKind::Backend), whoever writes it.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// The maximum of bytes of an organization's name.
pub const ORGANIZATION: usize = 1_000;

/// The maximum of bytes of an event's id.
pub const EVENT_ID: usize = 256;

/// The maximum of bytes of the name of an event's type.
pub const EVENT_TYPE: usize = 256;

/// The maximum of bytes of an ordering key.
pub const ORDERING_KEY: usize = 256;

/// The maximum of routing attributes of an event.
pub const ATTRIBUTES: usize = 32;

/// The maximum of values that the routing attributes of an event have together.
pub const ATTRIBUTE_VALUES: usize = 256;

/// The maximum of bytes that the names and values of an event's routing attributes have together.
pub const ATTRIBUTES_LEN: usize = 16 * 1024;

/// The maximum of conditions and attributes of a filter together.
pub const CONDITIONS: usize = 32;

/// The maximum of bytes of a filter: patterns, pointers, names and values together, written as JSON.
pub const FILTER_LEN: usize = 16 * 1024;

/// The maximum of bytes of the JSON pointer of a condition.
pub const POINTER: usize = 512;

/// The maximum of extra headers of a subscription.
pub const HEADERS: usize = 32;

/// The maximum of bytes that the names and values of a subscription's extra headers have together; common
/// servers accept as much in a head.
pub const HEADERS_LEN: usize = 8 * 1024;

/// The maximum of bytes of a credential's name, key, password or token.
pub const CREDENTIAL: usize = 8 * 1024;

/// The maximum of bytes of a client certificate with those that lead to its root, in DER and base64.
pub const CERTIFICATES: usize = 16 * 1024;

/// The maximum of bytes of a subscription's description.
pub const DESCRIPTION: usize = 1_000;

/// The maximum of bytes of the application's own name of a subscription.
pub const UID: usize = 256;

/// The maximum of names in a subscription's metadata.
pub const METADATA: usize = 32;

/// The maximum of bytes that the names and values of a subscription's metadata have together.
pub const METADATA_LEN: usize = 4 * 1024;

/// The maximum of delays before a subscription's retries.
pub const RETRIES: usize = 100;

/// The maximum of secrets of a subscription: the newest, and ten old ones that still sign.
pub const SECRETS: usize = 11;

/// The maximum of bytes of a secret as it is stored, in the clear or sealed.
pub const SECRET: usize = 16 * 1024;

/// The maximum of bytes of the note that says why a dead letter was discarded.
pub const NOTE: usize = 1_000;

/// An input that is out of its bounds.
///
/// ```
/// use hookwire::store::implement::NewEvent;
/// use hookwire::{Contract, EventId, bounds};
///
/// let (id, event_type) = (EventId::generate(), "call.ended".parse()?);
/// let at = time::OffsetDateTime::now_utc();
/// let event = NewEvent::new("org_1", &Contract::allison(), id, event_type, "{}".into(), at);
/// let excess = event.with_ordering_key("k".repeat(300)).check().unwrap_err();
/// assert_eq!((excess.input, excess.found, excess.limit), ("ordering key", 300, bounds::ORDERING_KEY));
/// assert_eq!(excess.to_string(), "ordering key has 300 bytes, expected at most 256");
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Excess {
    /// The input.
    pub input: &'static str,
    /// The unit in which it is measured: `bytes`, `attributes`, `values`, `secrets`.
    pub unit: &'static str,
    /// How many it has.
    pub found: usize,
    /// How many it may have.
    pub limit: usize,
}

impl Excess {
    /// Checks the number of bytes of an input.
    pub(crate) const fn of_bytes(input: &'static str, found: usize, limit: usize) -> Result<(), Self> {
        Self::of(input, "bytes", found, limit)
    }

    /// Checks the number of an input's parts.
    pub(crate) const fn of(
        input: &'static str,
        unit: &'static str,
        found: usize,
        limit: usize,
    ) -> Result<(), Self> {
        if found > limit { Err(Self { input, unit, found, limit }) } else { Ok(()) }
    }

    /// The same as an error of this kind.
    pub(crate) fn into_error(self, kind: ErrorKind) -> Error {
        let Self { input, unit, found, limit } = self;
        Error::new(kind, format!("{input} has {found} {unit}")).with_expected(format!("at most {limit}"))
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { input, unit, found, limit } = self;
        write!(f, "{input} has {found} {unit}, expected at most {limit}")
    }
}

impl std::error::Error for Excess {}

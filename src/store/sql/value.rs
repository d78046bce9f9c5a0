//! [`Value`]: a parameter of a shared statement.

use crate::event::EventId;
use crate::id::{DeliveryId, SubscriptionId};

/// A parameter of a statement. A NULL keeps its type, which PostgreSQL has to know.
#[derive(Clone, Copy)]
pub(in crate::store) enum Value<'a> {
    /// An id: 16 bytes in SQLite, a UUID in PostgreSQL.
    Id(u128),
    Number(Option<i64>),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
}

impl From<SubscriptionId> for Value<'_> {
    fn from(id: SubscriptionId) -> Self {
        Self::Id(id.as_u128())
    }
}

impl From<DeliveryId> for Value<'_> {
    fn from(id: DeliveryId) -> Self {
        Self::Id(id.as_u128())
    }
}

impl<'a> From<&'a EventId> for Value<'a> {
    fn from(id: &'a EventId) -> Self {
        Self::Text(Some(id.as_str()))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Self::Number(Some(number.into()))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Some(bytes))
    }
}

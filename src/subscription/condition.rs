//! [`Condition`]: requires a value in an event's JSON; [`Candidate`]: an event that is judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::header::refused;
use crate::bounds;
use crate::contract::Contract;
use crate::error::{Error, ErrorKind};
use crate::event::{Field, Json};
use crate::text::stored_as_text;

/// Requires one of some values at a place in an event's JSON.
///
/// The place is a JSON pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)). If it leads to a list,
/// one of the items must be one of the values; if it leads nowhere, the condition is not met.
///
/// A condition reads every payload that an outbox takes, as JavaScript and Python read it: at any depth,
/// beside numbers of any size, and with the last of two members of one name. Whole numbers are compared
/// exactly, others as 64-bit floating-point numbers; `-0` is `0`, and `1e400` is no number that a condition
/// can ask for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    pub(super) part: Subject,
    pub(super) pointer: String,
    pub(super) values: Vec<Value>,
}

impl Condition {
    /// The maximum of bytes of a pointer.
    pub const MAX_POINTER_LEN: usize = bounds::POINTER;

    /// Makes a condition on the event's data.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn data<V: Into<Value>>(
        pointer: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, Error> {
        Self::new(Subject::Data, pointer, values)
    }

    /// Makes a condition on the whole envelope, as it is sent.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn envelope<V: Into<Value>>(
        pointer: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, Error> {
        Self::new(Subject::Envelope, pointer, values)
    }

    /// Makes a condition on this part of an event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for a text that is not a JSON pointer or
    /// longer than [`MAX_POINTER_LEN`](Self::MAX_POINTER_LEN), for an empty list of values, and for a value
    /// that is a list or an object.
    pub fn new<V: Into<Value>>(
        part: Subject,
        pointer: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, Error> {
        let (pointer, values) = (pointer.into(), values.into_iter().map(Into::into).collect::<Vec<_>>());
        if pointer.len() > Self::MAX_POINTER_LEN {
            return Err(refused(format!("JSON pointer has {} bytes", pointer.len()))
                .with_expected(format!("at most {}", Self::MAX_POINTER_LEN)));
        }
        let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
        if !pointer.is_empty() && !pointer.starts_with('/') || !pointer.split('~').skip(1).all(is_escaped) {
            let expected = "nothing or names that each begin with `/`, with `~` written as `~0` and `/` as `~1` \
                            (RFC 6901)";
            return Err(refused("JSON pointer is not valid").with_expected(expected));
        }
        if values.is_empty() {
            return Err(
                refused("condition has no values, so that no event would pass").with_expected("one or more")
            );
        }
        if values.iter().any(|value| value.is_array() || value.is_object()) {
            return Err(refused("condition has a list or an object as a value")
                .with_expected("text, numbers, true, false or null"));
        }
        Ok(Self { part, pointer, values })
    }

    /// The part of an event that the condition is about.
    pub const fn part(&self) -> Subject {
        self.part
    }

    /// The place in that part.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// The values, one of which has to be at that place.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    pub(super) fn is_met(&self, event: &Candidate<'_>) -> bool {
        let part = match self.part {
            Subject::Envelope => event.json.as_ref(),
            Subject::Data => event.json.as_ref().and_then(|envelope| envelope.member(event.data)),
        };
        let Some(found) = part.and_then(|part| part.at(&self.pointer)) else { return false };
        let is_one = |found: &Json<'_>| self.values.iter().any(|value| found.is(value));
        found.items().map_or_else(|| is_one(found), |items| items.iter().any(is_one))
    }
}

/// The part of an event that a [`Condition`] is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Subject {
    /// The whole envelope.
    Envelope,
    /// The event's data.
    Data,
}

impl Subject {
    /// Every part.
    pub const ALL: &'static [Self] = &[Self::Envelope, Self::Data];

    /// The part as stored and shown: `snake_case`, stable across versions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Data => "data",
        }
    }
}

stored_as_text!(Subject, "part of an event", ErrorKind::Subscription);

/// An event that filters judge. Each part of its JSON is parsed once, and only when a condition asks for it.
#[derive(Debug)]
pub struct Candidate<'a> {
    pub(super) event_type: &'a str,
    /// The name of the envelope's field with the data.
    data: &'static str,
    pub(super) attributes: &'a BTreeMap<String, Vec<String>>,
    /// The payload; `None` for bytes that are no text.
    json: Option<Json<'a>>,
}

impl<'a> Candidate<'a> {
    /// Makes a candidate of an event type, the payload that `contract` encoded, and routing attributes.
    pub fn new(
        contract: &Contract,
        event_type: &'a str,
        payload: &'a [u8],
        attributes: &'a BTreeMap<String, Vec<String>>,
    ) -> Self {
        let data = contract.format().fields().iter().find_map(|field| match field {
            Field::Data(name) => Some(*name),
            _ => None,
        });
        let json = std::str::from_utf8(payload).ok().map(|text| Json::new(text.trim()));
        Self { event_type, data: data.unwrap_or("data"), attributes, json }
    }
}

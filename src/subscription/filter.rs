//! [`EventFilter`]: which events a subscription asks for; [`Condition`]: what their JSON must hold; [`Candidate`]: one that is
//! judged.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::Contract;
use crate::error::{Error, ErrorKind};
use crate::event::{EventPattern, Field};

/// Which events a subscription asks for: those whose type one of its patterns matches, that meet every one of its conditions and
/// have, of every attribute that it names, one of the values.
///
/// ```
/// use hookwire::{Candidate, Condition, Contract, Envelope, EventFilter, allison::CallEnded};
///
/// let filter = EventFilter::new(["call.*", "contact.created"])?;
/// assert!(filter.matches("call.ended") && filter.matches("contact.created"));
/// assert!(EventFilter::all().matches("anything"));
///
/// // Only calls of one location, and of these contact lists.
/// let filter = filter
///     .with_condition(Condition::data("/location_id", ["loc_1"])?)?
///     .with_attribute("contact_list", ["customers", "leads"])?;
/// let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
/// call.location_id = Some("loc_1".into());
/// let contract = Contract::allison();
/// let body = contract.encode(&Envelope::new(call))?;
/// let attributes = [("contact_list".to_owned(), vec!["leads".to_owned()])].into();
/// assert!(filter.passes(&Candidate::new(&contract, "call.ended", &body, &attributes)));
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventFilter {
    patterns: Vec<EventPattern>,
    conditions: Vec<Condition>,
    attributes: BTreeMap<String, Vec<String>>,
}

impl EventFilter {
    /// How many conditions and attributes a filter may have together.
    pub const MAX_CONDITIONS: usize = 32;

    /// How many bytes the patterns, pointers, names and values may have together, written as JSON.
    pub const MAX_LEN: usize = 16 * 1024;

    /// Every event.
    pub fn all() -> Self {
        Self { patterns: vec![EventPattern::All], conditions: Vec::new(), attributes: BTreeMap::new() }
    }

    /// The events that one of `patterns` matches: a type's name, `prefix.*` or `*`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Event`] for a pattern that is neither.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        let patterns =
            patterns.into_iter().map(|pattern| pattern.as_ref().parse()).collect::<Result<_, _>>()?;
        Ok(Self { patterns, conditions: Vec::new(), attributes: BTreeMap::new() })
    }

    /// The same filter with one more condition.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for more than [`MAX_CONDITIONS`](Self::MAX_CONDITIONS) or [`MAX_LEN`](Self::MAX_LEN).
    pub fn with_condition(mut self, condition: Condition) -> Result<Self, Error> {
        self.conditions.push(condition);
        self.bounded()
    }

    /// The same filter, asking that the routing attribute `name` has one of `values` (any of what it has, if it has several).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for no value, for an empty name, and for more than [`MAX_CONDITIONS`](Self::MAX_CONDITIONS) or
    /// [`MAX_LEN`](Self::MAX_LEN).
    pub fn with_attribute<V: Into<String>>(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, Error> {
        let (name, values) = (name.into(), values.into_iter().map(Into::into).collect::<Vec<_>>());
        if name.is_empty() {
            return Err(refused("attribute has no name, expected one"));
        }
        if values.is_empty() {
            return Err(refused(
                "attribute has no values, so that no event would pass; expected one or more",
            ));
        }
        self.attributes.insert(name, values);
        self.bounded()
    }

    /// The patterns, in the order given.
    pub fn patterns(&self) -> &[EventPattern] {
        &self.patterns
    }

    /// The conditions, in the order given.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// The attributes with the values that pass.
    pub const fn attributes(&self) -> &BTreeMap<String, Vec<String>> {
        &self.attributes
    }

    /// Whether an event of the type named `event_type` may pass: what it holds is not looked at. A filter of no patterns passes none.
    pub fn matches(&self, event_type: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(event_type))
    }

    /// Whether an event passes.
    pub fn passes(&self, event: &Candidate<'_>) -> bool {
        let has = |name: &String, values: &Vec<String>| {
            event.attributes.get(name).is_some_and(|own| own.iter().any(|value| values.contains(value)))
        };
        self.matches(event.event_type)
            && self.attributes.iter().all(|(name, values)| has(name, values))
            && self.conditions.iter().all(|condition| condition.is_met(event))
    }

    /// A text that [`from_storage`](Self::from_storage) reads back.
    #[doc(hidden)]
    pub fn to_storage(&self) -> String {
        let patterns: Vec<_> = self.patterns.iter().map(ToString::to_string).collect();
        let stored = match self.conditions.is_empty() && self.attributes.is_empty() {
            true => Stored::Patterns(patterns),
            false => Stored::Whole(StoredFilter {
                patterns,
                conditions: self.conditions.clone(),
                attributes: self.attributes.clone(),
            }),
        };
        serde_json::to_string(&stored).expect("invariant: text and values can be written as JSON")
    }

    /// The filter that [`to_storage`](Self::to_storage) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for a text that it did not write.
    #[doc(hidden)]
    pub fn from_storage(text: &str) -> Result<Self, Error> {
        let stored = serde_json::from_str(text)
            .map_err(|_| refused("stored filter cannot be read, expected patterns or a filter in JSON"))?;
        let stored = match stored {
            Stored::Patterns(patterns) => return Self::new(patterns),
            Stored::Whole(stored) => stored,
        };
        let mut filter = Self::new(stored.patterns)?;
        for Condition { part, pointer, values } in stored.conditions {
            filter = filter.with_condition(Condition::new(part, pointer, values)?)?;
        }
        for (name, values) in stored.attributes {
            filter = filter.with_attribute(name, values)?;
        }
        Ok(filter)
    }

    fn bounded(self) -> Result<Self, Error> {
        let count = self.conditions.len() + self.attributes.len();
        if count > Self::MAX_CONDITIONS {
            return Err(refused(format!(
                "filter has {count} conditions and attributes, expected at most {}",
                Self::MAX_CONDITIONS
            )));
        }
        let len = self.to_storage().len();
        if len > Self::MAX_LEN {
            return Err(refused(format!("filter has {len} bytes, expected at most {}", Self::MAX_LEN)));
        }
        Ok(self)
    }
}

/// What an event's JSON must hold: at a place, one of some values.
///
/// The place is a JSON pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)). Where a list stands there, one of its items
/// has to be one of the values; where nothing does, the condition is not met.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    part: Subject,
    pointer: String,
    values: Vec<Value>,
}

impl Condition {
    /// How many bytes a pointer may have.
    pub const MAX_POINTER_LEN: usize = 512;

    /// A condition on the event's data.
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

    /// A condition on the whole envelope, as it is sent.
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

    /// A condition on this part of an event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`] for a text that is no JSON pointer or longer than
    /// [`MAX_POINTER_LEN`](Self::MAX_POINTER_LEN), for no value, and for a value that is a list or an object.
    pub fn new<V: Into<Value>>(
        part: Subject,
        pointer: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, Error> {
        let (pointer, values) = (pointer.into(), values.into_iter().map(Into::into).collect::<Vec<_>>());
        if pointer.len() > Self::MAX_POINTER_LEN {
            return Err(refused(format!(
                "JSON pointer has {} bytes, expected at most {}",
                pointer.len(),
                Self::MAX_POINTER_LEN
            )));
        }
        let is_escaped = |rest: &str| rest.starts_with(['0', '1']);
        if !pointer.is_empty() && !pointer.starts_with('/') || !pointer.split('~').skip(1).all(is_escaped) {
            return Err(refused(
                "JSON pointer is not valid, expected nothing or names that each begin with `/`, \
                 with `~` written as `~0` and `/` as `~1` (RFC 6901)",
            ));
        }
        if values.is_empty() {
            return Err(refused(
                "condition has no values, so that no event would pass; expected one or more",
            ));
        }
        if values.iter().any(|value| value.is_array() || value.is_object()) {
            return Err(refused(
                "condition has a list or an object as a value, expected text, numbers, true, false or null",
            ));
        }
        Ok(Self { part, pointer, values })
    }

    /// Which part of an event it is about.
    pub const fn part(&self) -> Subject {
        self.part
    }

    /// The place in that part.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// The values of which one has to stand there.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    fn is_met(&self, event: &Candidate<'_>) -> bool {
        let part = match self.part {
            Subject::Envelope => Some(event.json()),
            Subject::Data => event.json().get(event.data),
        };
        let is_one = |found: &Value| self.values.iter().any(|value| is_same(value, found));
        match part.and_then(|part| part.pointer(&self.pointer)) {
            Some(Value::Array(items)) => items.iter().any(is_one),
            Some(found) => is_one(found),
            None => false,
        }
    }
}

/// Which part of an event a [`Condition`] is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The whole envelope.
    Envelope,
    /// The event's data.
    Data,
}

/// An event that filters judge. Its JSON is read once, and only when a filter has a condition.
#[derive(Debug)]
pub struct Candidate<'a> {
    event_type: &'a str,
    payload: &'a [u8],
    /// The envelope's name for it.
    data: &'static str,
    attributes: &'a BTreeMap<String, Vec<String>>,
    json: OnceCell<Value>,
}

impl<'a> Candidate<'a> {
    /// The event of this type that `contract` encoded as `payload`, with these routing attributes.
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
        Self { event_type, payload, data: data.unwrap_or("data"), attributes, json: OnceCell::new() }
    }

    fn json(&self) -> &Value {
        self.json.get_or_init(|| serde_json::from_slice(self.payload).unwrap_or(Value::Null))
    }
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Stored {
    Patterns(Vec<String>),
    Whole(StoredFilter),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct StoredFilter {
    patterns: Vec<String>,
    conditions: Vec<Condition>,
    attributes: BTreeMap<String, Vec<String>>,
}

/// A number is the same however it is written.
fn is_same(one: &Value, two: &Value) -> bool {
    one == two
        || one.is_number()
            && two.is_number()
            && one.as_f64() == two.as_f64()
            && (one.is_f64() || two.is_f64())
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Subscription, message)
}

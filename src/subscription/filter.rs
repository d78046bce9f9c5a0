//! [`EventFilter`]: selects the events that a subscription gets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::condition::{Candidate, Condition};
use super::header::refused;
use crate::bounds;
use crate::error::Error;
use crate::event::EventPattern;

/// Selects the events that a subscription gets.
///
/// An event passes when one of the patterns matches its type, it meets every condition, and it has one of the
/// values of every attribute that the filter names.
///
/// ```
/// use hookwire::subscription::{Candidate, Condition};
/// use hookwire::{Contract, Envelope, EventFilter, allison::CallEnded};
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
    /// The maximum of conditions and attributes together.
    pub const MAX_CONDITIONS: usize = bounds::CONDITIONS;

    /// The maximum of bytes of the patterns, pointers, names and values together, written as JSON.
    pub const MAX_LEN: usize = bounds::FILTER_LEN;

    /// Makes a filter that every event passes.
    pub fn all() -> Self {
        Self { patterns: vec![EventPattern::All], conditions: Vec::new(), attributes: BTreeMap::new() }
    }

    /// Makes a filter of patterns: a type's name, `prefix.*` or `*`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Event`](crate::ErrorKind::Event) for a pattern of another form;
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for no pattern, which no event would pass,
    /// and for more than [`MAX_LEN`](Self::MAX_LEN).
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, Error> {
        let patterns =
            patterns.into_iter().map(|pattern| pattern.as_ref().parse()).collect::<Result<Vec<_>, _>>()?;
        if patterns.is_empty() {
            return Err(refused("filter has no patterns, so that no event would pass")
                .with_expected("one or more, or EventFilter::all"));
        }
        Self { patterns, conditions: Vec::new(), attributes: BTreeMap::new() }.bounded()
    }

    /// Adds a condition.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for more than
    /// [`MAX_CONDITIONS`](Self::MAX_CONDITIONS) or [`MAX_LEN`](Self::MAX_LEN).
    pub fn with_condition(mut self, condition: Condition) -> Result<Self, Error> {
        self.conditions.push(condition);
        self.bounded()
    }

    /// Requires that the routing attribute `name` of an event has one of `values`; an attribute with several
    /// values needs one match.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for an empty list of values, for an empty
    /// name, and for more than [`MAX_CONDITIONS`](Self::MAX_CONDITIONS) or [`MAX_LEN`](Self::MAX_LEN).
    pub fn with_attribute<V: Into<String>>(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, Error> {
        let (name, values) = (name.into(), values.into_iter().map(Into::into).collect::<Vec<_>>());
        if name.is_empty() {
            return Err(refused("attribute has no name").with_expected("one"));
        }
        if values.is_empty() {
            return Err(
                refused("attribute has no values, so that no event would pass").with_expected("one or more")
            );
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

    /// Whether an event of this type may pass, by the patterns alone.
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

    /// Writes a text for stores that [`from_storage`](Self::from_storage) reads back.
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

    /// Reads the text that [`to_storage`](Self::to_storage) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Subscription`](crate::ErrorKind::Subscription) for any other text.
    #[doc(hidden)]
    pub fn from_storage(text: &str) -> Result<Self, Error> {
        let stored = serde_json::from_str(text).map_err(|error| {
            refused("stored filter cannot be read")
                .with_expected("patterns or a filter in JSON")
                .with_source(error)
        })?;
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
            return Err(refused(format!("filter has {count} conditions and attributes"))
                .with_expected(format!("at most {}", Self::MAX_CONDITIONS)));
        }
        let len = self.to_storage().len();
        if len > Self::MAX_LEN {
            return Err(refused(format!("filter has {len} bytes"))
                .with_expected(format!("at most {}", Self::MAX_LEN)));
        }
        Ok(self)
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

//! [`Catalogue`]: the event types of one platform, for programs that choose the platform at run time.

use std::fmt;

use serde_json::value::RawValue;

use crate::event::format::same;
use crate::event::{DataError, DataSchema, EventPattern, EventType};

/// The event types that a platform publishes: their names, descriptions, samples, and a check of data against
/// a type.
///
/// It is the form for run time of an enum that [`catalogue!`](crate::catalogue) defines.
///
/// ```
/// use hookwire::Contract;
///
/// let contract: Contract = "allison".parse()?;
/// let names: Vec<_> = contract.catalogue().iter().map(|kind| kind.name()).collect();
/// assert_eq!(names.len(), 6);
/// let kind = contract.catalogue().find("call.ended").expect("a type of Allison");
/// assert!(kind.sample().get().contains("call_id"));
/// # Ok::<(), hookwire::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Catalogue {
    kinds: &'static [EventKind],
}

impl Catalogue {
    /// A catalogue that publishes no types, so that every name is allowed.
    pub const OPEN: Self = Self { kinds: &[] };

    /// Makes a catalogue of these types.
    ///
    /// # Panics
    ///
    /// When two types have the same name, because events of the second would be read as the first. In a
    /// constant, such as [`catalogue!`](crate::catalogue) makes, the compiler reports it.
    pub const fn new(kinds: &'static [EventKind]) -> Self {
        let mut i = 0;
        while i < kinds.len() {
            let mut j = 0;
            while j < i {
                assert!(!same(kinds[i].name, kinds[j].name), "two types of the catalogue have the same name");
                j += 1;
            }
            i += 1;
        }
        Self { kinds }
    }

    /// Whether no types are published, so that no type is unknown.
    pub const fn is_open(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The types, in the order of their definition.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'static EventKind> + use<> {
        self.kinds.iter()
    }

    /// The type of this name.
    pub fn find(&self, event_type: &str) -> Option<&'static EventKind> {
        self.iter().find(|kind| kind.name == event_type)
    }

    /// Whether events of this type may be sent: it is published, or no types are.
    pub fn allows(&self, event_type: &str) -> bool {
        self.is_open() || self.find(event_type).is_some()
    }

    /// The types that a pattern matches.
    pub fn matching<'a>(
        &self,
        pattern: &'a EventPattern,
    ) -> impl Iterator<Item = &'static EventKind> + use<'a> {
        self.iter().filter(|kind| pattern.matches(kind.name))
    }

    /// Checks that a receiver can read `data` as the type of this name. Any data fits a name that is not in
    /// the catalogue.
    ///
    /// # Errors
    ///
    /// [`DataError`] with the field that does not fit.
    pub fn check(&self, event_type: &str, data: &RawValue) -> Result<(), DataError> {
        self.find(event_type).map_or(Ok(()), |kind| kind.check(data))
    }

    /// Checks that `data` keeps the [schema](EventKind::schema) of the type of this name. Any data fits a
    /// name that is not in the catalogue.
    ///
    /// # Errors
    ///
    /// [`DataError`] with the field that breaks the schema.
    pub fn check_schema(&self, event_type: &str, data: &RawValue) -> Result<(), DataError> {
        self.find(event_type).map_or(Ok(()), |kind| kind.check_schema(data))
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(EventKind::name)).finish()
    }
}

/// One event type of a [`Catalogue`].
#[derive(Clone, Copy)]
pub struct EventKind {
    name: &'static str,
    description: &'static str,
    sample: fn() -> Box<RawValue>,
    check: fn(&RawValue) -> Result<(), DataError>,
    pub(super) schema: Option<DataSchema>,
}

impl EventKind {
    /// Makes a type by hand; [`catalogue!`](crate::catalogue) writes these calls.
    ///
    /// # Panics
    ///
    /// When the name is no [`EventType`], because no such event could be encoded. In a constant the compiler
    /// reports it.
    pub const fn new(
        name: &'static str,
        description: &'static str,
        sample: fn() -> Box<RawValue>,
        check: fn(&RawValue) -> Result<(), DataError>,
    ) -> Self {
        assert!(
            EventType::check(name).is_ok(),
            "the name of an event type has 1 to 256 bytes and no control character"
        );
        Self { name, description, sample, check, schema: None }
    }

    /// Sets the data that the sender promises, which is narrower than what a receiver reads.
    ///
    /// ```
    /// use hookwire::event::{DataSchema, EventKind, Property};
    ///
    /// use serde_json::value::{RawValue, to_raw_value};
    ///
    /// const SMS: DataSchema =
    ///     DataSchema::object(&[Property::required("id", DataSchema::STRING)]);
    /// fn sample() -> Box<RawValue> {
    ///     to_raw_value(&serde_json::json!({"id": "sms_1"})).expect("it is JSON")
    /// }
    /// // This receiver reads any data; the sender promises an id.
    /// const KIND: EventKind =
    ///     EventKind::new("sms", "A message came in.", sample, |_| Ok(())).with_schema(SMS);
    /// assert!(KIND.check_schema(&KIND.sample()).is_ok());
    /// assert!(KIND.check_schema(&to_raw_value(&7)?).is_err());
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub const fn with_schema(mut self, schema: DataSchema) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The type's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The occasion on which such an event is sent.
    pub fn description(&self) -> &'static str {
        self.description.trim_ascii()
    }

    /// Data of this type with every documented field, as test events carry it.
    pub fn sample(&self) -> Box<RawValue> {
        (self.sample)()
    }

    /// Checks that a receiver can read `data` as the type. It tolerates more than the sender promises.
    ///
    /// # Errors
    ///
    /// [`DataError`] with the field that does not fit.
    pub fn check(&self, data: &RawValue) -> Result<(), DataError> {
        (self.check)(data)
    }

    /// Whether the type has a schema of its own, beside what its struct reads.
    #[cfg(feature = "dispatch")]
    pub(crate) const fn has_schema(&self) -> bool {
        self.schema.is_some()
    }

    /// Checks that `data` keeps the [schema](Self::schema). An outbox does so with untyped data, and with
    /// every event of a type that has a schema of its own.
    ///
    /// ```
    /// use serde_json::value::to_raw_value;
    ///
    /// let catalogue = hookwire::allo_v1::Event::CATALOGUE;
    /// let kind = catalogue.find("CONTACT_CREATED").expect("a type of Allo");
    /// // A receiver reads a contact without names, and the platform promises the fields.
    /// let data = to_raw_value(&serde_json::json!({"id": "con_1"}))?;
    /// assert!(kind.check(&data).is_ok());
    /// let error = kind.check_schema(&data).unwrap_err();
    /// assert_eq!(error.expected(), Some("a field `name`"));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DataError`] with the field that breaks the schema.
    pub fn check_schema(&self, data: &RawValue) -> Result<(), DataError> {
        let Some(schema) = &self.schema else { return self.check(data) };
        match schema.fault(data.get()) {
            None => Ok(()),
            Some(fault) => Err(DataError::of_schema(self.name, fault, data)),
        }
    }
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventKind").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "two types of the catalogue have the same name")]
    fn two_types_of_one_name_are_refused() {
        // It is no constant, because that would not compile.
        let kinds = Box::leak(Box::new([kind("call.ended"), kind("call.begun"), kind("call.ended")]));
        Catalogue::new(kinds);
    }

    #[test]
    fn a_name_that_no_event_could_travel_under_is_refused() {
        for name in ["", "a\nb", "a\u{7f}", "a\u{85}b"] {
            assert!(std::panic::catch_unwind(|| kind(name)).is_err(), "{name:?}");
        }
        for name in ["Call Ended", "anrufbeantworter.gehört", "\u{a0}"] {
            assert_eq!(kind(name).name(), name);
        }
    }

    fn kind(name: &'static str) -> EventKind {
        EventKind::new(name, "", || unreachable!("no sample is asked for"), |_| Ok(()))
    }
}

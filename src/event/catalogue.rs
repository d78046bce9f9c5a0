//! [`Catalogue`]: the event types of one platform, for programs that choose the platform at run time.

use std::fmt;

use serde_json::value::RawValue;

use crate::event::{DataError, EventPattern};

/// The event types a platform publishes: their names, descriptions, samples, and a check of data against a type.
///
/// The run-time face of an enum that [`catalogue!`](crate::catalogue) defined.
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
    /// A catalogue that publishes no types: any name is as good as another.
    pub const OPEN: Self = Self { kinds: &[] };

    /// A catalogue of these types.
    pub const fn new(kinds: &'static [EventKind]) -> Self {
        Self { kinds }
    }

    /// Whether no types are published, so that none can be called unknown.
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

    /// The types that a pattern asks for.
    pub fn matching<'a>(
        &self,
        pattern: &'a EventPattern,
    ) -> impl Iterator<Item = &'static EventKind> + use<'a> {
        self.iter().filter(|kind| pattern.matches(kind.name))
    }

    /// Checks `data` against the type of this name; a name that is not in the catalogue fits anything.
    ///
    /// # Errors
    ///
    /// [`DataError`] names the field that did not fit.
    pub fn check(&self, event_type: &str, data: &RawValue) -> Result<(), DataError> {
        self.find(event_type).map_or(Ok(()), |kind| kind.check(data))
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
}

impl EventKind {
    /// A type by hand; [`catalogue!`](crate::catalogue) writes these.
    pub const fn new(
        name: &'static str,
        description: &'static str,
        sample: fn() -> Box<RawValue>,
        check: fn(&RawValue) -> Result<(), DataError>,
    ) -> Self {
        Self { name, description, sample, check }
    }

    /// The type's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// When such an event is sent.
    pub fn description(&self) -> &'static str {
        self.description.trim_ascii()
    }

    /// Data of this type with every documented field, as test events carry it.
    pub fn sample(&self) -> Box<RawValue> {
        (self.sample)()
    }

    /// Checks that `data` fits the type.
    ///
    /// # Errors
    ///
    /// [`DataError`] names the field that did not fit.
    pub fn check(&self, data: &RawValue) -> Result<(), DataError> {
        (self.check)(data)
    }
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventKind").field(&self.name).finish()
    }
}

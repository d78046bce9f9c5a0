//! [`Place`]: where a provider's request carries something; [`Shape`]: where its events are.

use crate::signature::TimeForm;

/// Where a request carries an id, a type or a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Place {
    /// In the event's JSON, by its JSON Pointer (RFC 6901) from the event.
    Field(&'static str),
    /// In the body's JSON, by its JSON Pointer from the body. It differs from a field where one body has
    /// several events.
    Body(&'static str),
    /// In a header, by its lower-case name.
    Header(&'static str),
    /// Several places, joined by a full stop. All have to be there.
    Join(&'static [Self]),
    /// The name of the first field of the event that is none of these.
    FieldName(&'static [&'static str]),
    /// In XML that a field of the event has in base64: the text of the first element of this name. First the
    /// field's JSON Pointer, then the element's name.
    Xml(&'static str, &'static str),
    /// Nowhere: always this text.
    Fixed(&'static str),
}

/// Where the events of a request are, and what they have where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) id: &'static [Place],
    pub(crate) event_type: &'static [Place],
    pub(crate) time: Option<(Place, TimeForm)>,
    /// The JSON Pointer of the data in the event; empty for the whole event.
    pub(crate) data: &'static str,
    /// The JSON Pointer of the list of events in the body, if a request has several; empty if the body is the
    /// list.
    pub(crate) events: Option<&'static str>,
}

impl Shape {
    pub(crate) const WHOLE: Self = Self { id: &[], event_type: &[], time: None, data: "", events: None };
}

//! [`Emitter`]: emits the events that callers send as data, such as by `POST /v1/events`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use time::OffsetDateTime;

use super::error::ManageError;
use super::idempotency::IdempotencyKey;
use super::reading::{only_objects, or_none};
use super::service::Service;
use crate::Error;
use crate::contract::{Contract, Versions};
use crate::dispatch::clock::SharedClock;
use crate::dispatch::{EmitError, Emitted, Outbox, Routing};
use crate::event::{DataError, Envelope, EventId, RawEvent};
use crate::signature::{Secret, Signer};
use crate::store::{Records, Store, Subscriptions};

/// Emits the events that callers send as data: under the contracts of a [`Service`], to the subscriptions of
/// the caller's organization.
///
/// ```
/// # use hookwire::manage::{Emitter, EventDraft, Service};
/// # use hookwire::{Contract, MemoryStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = Service::new(std::sync::Arc::new(MemoryStore::new()), Contract::allison());
/// let emitter = Emitter::new(&service)?;
/// let event: EventDraft = serde_json::from_str(r#"{"type": "call.ended", "data": {"call_id": "c-1"}}"#)?;
/// let emitted = emitter.emit("org_1", vec![event], None).await?;
/// assert!(!emitted[0].duplicate);
///
/// let wrong: EventDraft = serde_json::from_str(r#"{"type": "call.ended", "data": {"call_id": 7}}"#)?;
/// let refused = emitter.emit("org_1", vec![wrong], None).await.unwrap_err();
/// assert_eq!(refused.field(), Some("data.call_id"));
/// # Ok(()) }
/// ```
pub struct Emitter<S> {
    store: S,
    clock: SharedClock,
    /// One for each contract, the first for events that name none.
    senders: Vec<Sender<S>>,
}

/// Emits the events of one contract.
struct Sender<S> {
    outbox: Outbox<S>,
    versions: Versions,
    /// Knows which ids can be signed. Its secret is no endpoint's.
    signer: Option<Signer>,
}

impl<S> Emitter<S> {
    /// The most events of one call.
    pub const MOST: usize = 100;
}

impl<S: Store + Subscriptions + Records + Clone> Emitter<S> {
    /// Makes an emitter over the store of `service`, for its contracts, with its clock and its wake.
    ///
    /// # Errors
    ///
    /// When the operating system gives no random bytes.
    pub fn new(service: &Service<S>) -> Result<Self, Error> {
        let sender = |versions: &Versions| {
            let signer = match versions.newest().scheme() {
                Some(_) => Some(versions.newest().signer(&Secret::try_generate()?)?),
                None => None,
            };
            let outbox = Outbox::of(service.store.clone(), versions.clone()).with_wake(&service.wake);
            Ok(Sender { outbox, versions: versions.clone(), signer })
        };
        let senders = service.chains().map(sender).collect::<Result<_, Error>>()?;
        Ok(Self { store: service.store.clone(), clock: service.clock.clone(), senders })
    }

    /// Emits events of one contract: all, or none if one of them cannot be used.
    ///
    /// An event with an id that was emitted before, with the same type and data, is a duplicate and changes
    /// nothing. With `key`, the ids of events without one are derived from it, so that a repeat of the call
    /// emits nothing twice.
    ///
    /// # Errors
    ///
    /// [`ManageError::Refused`] with the field that cannot be used: no event, more than [`MOST`](Self::MOST),
    /// a type that the contract does not have, data that breaks the type's schema, an id that cannot be
    /// signed, an input out of its [bounds](crate::bounds). [`ManageError::TooLarge`], and
    /// [`ManageError::Store`].
    /// [`ManageError::Taken`] where another event has the id, and [`ManageError::KeyReused`] where it has the
    /// id that `key` gives; then the other events of the call are emitted.
    pub async fn emit(
        &self,
        organization: &str,
        drafts: Vec<EventDraft>,
        key: Option<&IdempotencyKey>,
    ) -> Result<Vec<Emitted>, ManageError> {
        let is_one = drafts.len() == 1;
        let place = |at: usize, field: &str| match is_one {
            true => field.to_owned(),
            false => format!("events[{at}].{field}"),
        };
        if drafts.is_empty() || drafts.len() > Self::MOST {
            let what = format!("there are {} events", drafts.len());
            return Err(ManageError::refused("events", what, format!("1 to {}", Self::MOST)));
        }
        let sender = self.sender(&drafts, place)?;
        let now = self.clock.now();
        // Envelopes have the time in milliseconds.
        let now = now.replace_nanosecond(u32::from(now.millisecond()) * 1_000_000).unwrap_or(now);
        let mut events = Vec::with_capacity(drafts.len());
        for (at, draft) in drafts.into_iter().enumerate() {
            let event = sender.event(&draft).map_err(|refusal| refusal.within(|field| place(at, field)))?;
            let id = match (&draft.id, key) {
                (Some(id), _) => sender.id(id).map_err(|refusal| refusal.within(|field| place(at, field)))?,
                (None, Some(key)) => key.event(organization, at),
                (None, None) => EventId::generate(),
            };
            let is_repeatable = draft.id.is_some() || key.is_some();
            let mut routing = Routing::new();
            routing.ordering_key = draft.ordering_key;
            let attributes = draft.attributes.unwrap_or_default();
            routing.attributes = attributes.into_iter().map(|(name, values)| (name, values.0)).collect();
            events.push((Envelope::from_parts(id, now, event), routing, is_repeatable, draft.id.is_none()));
        }
        let sent = events.iter().map(|(envelope, routing, ..)| (envelope, routing.clone()));
        let outbox = sender.outbox.clone().with_clock(move || now);
        let emitted = outbox.emit_all_with(organization, sent).await;
        let emitted = emitted.map_err(|error| refused(error, None, |field| place(0, field)))?;
        let mut all = Vec::with_capacity(events.len());
        for (at, (result, (envelope, routing, is_repeatable, is_derived))) in
            emitted.events.into_iter().zip(events).enumerate()
        {
            let result = match result {
                Err(EmitError::Conflict { .. }) if is_repeatable => {
                    self.repeat(sender, organization, envelope, routing).await
                }
                result => result,
            };
            let key = key.filter(|_| is_derived);
            all.push(result.map_err(|error| refused(error, key, |field| place(at, field)))?);
        }
        Ok(all)
    }

    /// Emits an event whose id is taken. The caller either repeats its event or uses the id for another one.
    /// With the time of the first event, a repeat has the same bytes.
    async fn repeat(
        &self,
        sender: &Sender<S>,
        organization: &str,
        envelope: Envelope<RawEvent>,
        routing: Routing,
    ) -> Result<Emitted, EmitError> {
        let first = self.store.find_event(organization, sender.contract().name(), &envelope.id).await?;
        let at = first.map_or(envelope.created_at, |first| first.created_at);
        let envelope = Envelope::from_parts(envelope.id, at, envelope.data);
        sender.outbox.clone().with_clock(move || at).emit_with(organization, &envelope, routing).await
    }

    fn sender(
        &self,
        drafts: &[EventDraft],
        place: impl Fn(usize, &str) -> String,
    ) -> Result<&Sender<S>, ManageError> {
        let find = |at: usize, name: Option<&str>| {
            let found = self
                .senders
                .iter()
                .position(|sender| name.is_none_or(|name| sender.contract().name() == name));
            found.ok_or_else(|| {
                let names: Vec<_> = self.senders.iter().map(|sender| sender.contract().name()).collect();
                let expected = format!("one of {}", names.join(", "));
                ManageError::refused(place(at, "contract"), "there is no such contract", expected)
            })
        };
        let first = find(0, drafts.first().and_then(|draft| draft.contract.as_deref()))?;
        for (at, draft) in drafts.iter().enumerate().skip(1) {
            if find(at, draft.contract.as_deref())? != first {
                let what = "the events before it are of another contract";
                let expected = "events of one contract in a call";
                return Err(ManageError::refused(place(at, "contract"), what, expected));
            }
        }
        Ok(&self.senders[first])
    }
}

impl<S> fmt::Debug for Emitter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").finish_non_exhaustive()
    }
}

impl<S> Sender<S> {
    const fn contract(&self) -> &Contract {
        self.versions.newest()
    }

    /// Reads an event that the contract publishes, with data that fits.
    fn event(&self, draft: &EventDraft) -> Result<RawEvent, ManageError> {
        let name = draft.event_type.as_str();
        let event =
            RawEvent::new(name, &draft.data).map_err(|error| ManageError::unusable("type", &error))?;
        let catalogue = self.contract().catalogue();
        if !self.versions.publishes(name) {
            let names: Vec<_> = catalogue.iter().map(|kind| kind.name()).collect();
            let what = format!("contract `{}` has no such event", self.contract().name());
            return Err(ManageError::refused("type", what, format!("one of {}", names.join(", "))));
        }
        catalogue.check_schema(name, event.data()).map_err(|error| misfit(&error))?;
        Ok(event)
    }

    /// Reads an id that can be signed.
    fn id(&self, text: &str) -> Result<EventId, ManageError> {
        let id: EventId = text.parse().map_err(|error| ManageError::unusable("id", &error))?;
        if let Some(signer) = &self.signer {
            let signed = signer.signature(id.as_str(), OffsetDateTime::UNIX_EPOCH, b"");
            signed.map_err(|error| ManageError::unusable("id", &error))?;
        }
        Ok(id)
    }
}

/// An event that a caller sends as data.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct EventDraft {
    /// The name of its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its data, which are sent byte for byte.
    pub data: Box<RawValue>,
    /// Its id; `None` for a fresh one.
    #[serde(default)]
    pub id: Option<String>,
    /// The name of its contract; `None` for the service's first.
    #[serde(default)]
    pub contract: Option<String>,
    /// The key that keeps its deliveries in order with others.
    #[serde(default)]
    pub ordering_key: Option<String>,
    /// The names and values by which filters choose it.
    #[serde(default, deserialize_with = "or_none")]
    pub attributes: Option<BTreeMap<String, Values>>,
}

only_objects!(EventDraft);

impl EventDraft {
    /// Makes an event of this type with these data.
    pub fn new(event_type: impl Into<String>, data: Box<RawValue>) -> Self {
        let event_type = event_type.into();
        Self { event_type, data, id: None, contract: None, ordering_key: None, attributes: None }
    }
}

/// The values of an attribute. In JSON they are a list, or one text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Values(pub Vec<String>);

impl Values {
    /// Makes the values of an attribute.
    pub fn new<V: Into<String>>(values: impl IntoIterator<Item = V>) -> Self {
        Self(values.into_iter().map(Into::into).collect())
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Values;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E>(self, value: &str) -> Result<Values, E> {
                Ok(Values(vec![value.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// The refusal of data that do not fit their type, with the path of the field in the event.
fn misfit(error: &DataError) -> ManageError {
    let within = match error.field() {
        "." => "data".to_owned(),
        field => format!("data.{field}"),
    };
    let missing = error.expected().and_then(|expected| expected.strip_prefix("a field `")?.strip_suffix('`'));
    let what = format!("data does not fit the type `{}`", error.event_type());
    match missing {
        Some(name) => {
            ManageError::refused(format!("{within}.{name}"), what, "a value, but the field is missing")
        }
        None => {
            let expected = error.expected().unwrap_or("another value");
            let expected = if expected.starts_with("struct ") { "an object" } else { expected };
            ManageError::refused(within, what, expected.to_owned())
        }
    }
}

fn refused(error: EmitError, key: Option<&IdempotencyKey>, place: impl Fn(&str) -> String) -> ManageError {
    match error {
        EmitError::Envelope(error) => ManageError::unusable(place("data"), &error),
        EmitError::Data(error) => misfit(&error).within(place),
        EmitError::TooLarge { len, limit } => ManageError::TooLarge { len, limit },
        EmitError::OutOfBounds(excess) => {
            let field = if excess.input == "ordering key" { "ordering_key" } else { "attributes" };
            let what = format!("{} has {} {}", excess.input, excess.found, excess.unit);
            ManageError::refused(place(field), what, format!("at most {}", excess.limit))
        }
        EmitError::Conflict { .. } if key.is_some() => ManageError::KeyReused,
        EmitError::Conflict { .. } => {
            ManageError::taken(place("id"), "it was used for another event", "a fresh one")
        }
        EmitError::Store(error) => ManageError::Store(error),
        error => ManageError::conflict(error.to_string(), "another event"),
    }
}

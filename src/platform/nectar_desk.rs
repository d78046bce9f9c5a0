//! Nectar Desk, a call centre: twelve events, told apart by their name in the body.
//!
//! The payloads are unpublished: [`Data`] keeps every field and has readers for the obvious ones. The names
//! that the readers look for, and the samples, are our choice. Events that are newer than this crate arrive
//! as [`Event::Other`].
//!
//! ```
//! use hookwire::nectar_desk::{Data, Event};
//!
//! let event = Event::CallEnded(Data::new().with("id", 9041).with("contact_id", "c-7"));
//! assert_eq!(event.event_type(), "Call Ended");
//! assert_eq!(event.ordering_key().as_deref(), Some("9041"));
//! ```

use std::borrow::Cow;

use serde_json::json;

use crate::contract::{Contract, OrderingRule, Retryable, SubscriptionField};
use crate::event::{DataSchema, EnvelopeFormat, Field};
use crate::platform::open::{object, open_data, text};
use crate::platform::schedule::{listed, seconds};

impl Contract {
    /// Nectar Desk: unsigned, in order per call or message, at most 3 retries after 1 s, 2 s and 4 s, and
    /// only after network faults and 5xx.
    ///
    /// No time-out is published; 10 s is our default. The payloads are not published either. The ordering key
    /// of a call's events is `call_id`, `callId` or else `id`; that of a message's events is `message_id`,
    /// `messageId` or else `id`, as in
    /// [`nectar_desk::Event::ordering_key`](crate::nectar_desk::Event::ordering_key). No rule for `410` is
    /// published, so it is as final as any 4xx and disables nothing.
    ///
    /// Its subscriptions have the field `contact_lists`: the values of the routing attribute `contact_list`,
    /// which the sender gives when it emits an event.
    ///
    /// Its last attempt comes seven seconds after the first. A receiver that is down for longer, or fails for
    /// longer, has lost the event: [store](crate::receive::Proven::store_first) its requests rather than
    /// handling them while it waits.
    pub fn nectar_desk() -> Self {
        Self::preset("nectar_desk", EnvelopeFormat::NECTAR_DESK)
            .with_catalogue(Event::CATALOGUE)
            .with_timeout(seconds(10))
            .with_retry(listed(&[1, 2, 4]))
            .with_retryable(Retryable::FaultsAndServerErrors)
            .with_ordering(ORDERING)
            .with_subscription_fields(SUBSCRIPTION_FIELDS)
    }
}

impl EnvelopeFormat {
    /// Nectar Desk's envelope: `{"event","data"}`. The platform publishes none; this one is our choice.
    ///
    /// Reading is forgiving: data that is `null` is without fields, and a flat body such as
    /// `{"event":"Call Ended","call_id":9041}` is an event whose data is the whole body.
    pub const NECTAR_DESK: Self = Self::new(&[Field::Type("event"), Field::Data("data")]).with_flat_bodies();
}

crate::catalogue! {
    /// Any event of Nectar Desk. An event with a name that is newer than this crate is `Other`.
    pub enum Event {
        /// A contact was made.
        ContactCreated(Data) = "Contact Created", sample: contact(), schema: OPEN;
        /// A contact was changed.
        ContactModified(Data) = "Contact Modified", sample: contact(), schema: OPEN;
        /// A contact list was made.
        ContactListCreated(Data) = "Contact List Created", sample: contact_list(), schema: OPEN;
        /// A contact list was changed.
        ContactListModified(Data) = "Contact List Modified", sample: contact_list(), schema: OPEN;
        /// A call ended.
        CallEnded(Data) = "Call Ended", sample: call(), schema: OPEN;
        /// A caller hung up before anybody answered.
        CallAbandoned(Data) = "Call Abandoned", sample: call(), schema: OPEN;
        /// Nobody was free and the caller was sent to voicemail.
        CallOverflowedToVoicemail(Data) = "Call Overflowed To Voicemail", sample: call(), schema: OPEN;
        /// The agent noted the result of a call.
        CallDispositionSaved(Data) = "Call Disposition Saved", sample: disposition("Callback agreed"), schema: OPEN;
        /// The noted result of a call was changed.
        CallDispositionModified(Data) = "Call Disposition Modified", sample: disposition("Sold"), schema: OPEN;
        /// The recording of a call can be fetched.
        CallRecordingReceived(Data) = "Call Recording Received", sample: recording(), schema: OPEN;
        /// A message came in.
        MessageReceived(Data) = "Message Received", sample: message(), schema: OPEN;
        /// A message was sent.
        MessageSent(Data) = "Message Sent", sample: message(), schema: OPEN;
    }
}

impl Event {
    /// The key that the events of one call or one message share, so that they can be sent in the order in
    /// which they occur: the call's id (`call_id`, or else `id`) or the message's (`message_id`, or else
    /// `id`).
    ///
    /// `None` for other events, and where `data` has no id.
    pub fn ordering_key(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::CallEnded(data)
            | Self::CallAbandoned(data)
            | Self::CallOverflowedToVoicemail(data)
            | Self::CallDispositionSaved(data)
            | Self::CallDispositionModified(data)
            | Self::CallRecordingReceived(data) => data.call_id().or_else(|| data.id()),
            Self::MessageReceived(data) | Self::MessageSent(data) => data.message_id().or_else(|| data.id()),
            _ => None,
        }
    }
}

open_data! {
    /// The data of any of Nectar Desk's events: an open JSON object, with readers that return `None` for a
    /// field that is missing or of another kind.
    ///
    /// `null` and `[]` read as an object without fields.
    pub struct Data;
}

impl Data {
    /// The id of the event's subject: `id`.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["id"])
    }

    /// The call's id: `call_id`, or else `callId`.
    pub fn call_id(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["call_id", "callId"])
    }

    /// The message's id: `message_id`, or else `messageId`.
    pub fn message_id(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["message_id", "messageId"])
    }

    /// The contact's id: `contact_id`, or else `contactId`.
    pub fn contact_id(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["contact_id", "contactId"])
    }

    /// The number that called or wrote: `from_number`, or else `from`.
    pub fn from_number(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["from_number", "from"])
    }

    /// The number that was called or written to: `to_number`, or else `to`.
    pub fn to_number(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["to_number", "to"])
    }

    /// The URL of a recording: `recording_url`, or else `recordingUrl`.
    pub fn recording_url(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["recording_url", "recordingUrl"])
    }
}

fn contact() -> Data {
    object(json!({
        "id": "c-7",
        "name": "Rosa Lind",
        "email": "rosa@example.com",
        "phone_number": "+15550100142",
        "contact_lists": ["newcomers"],
    }))
    .into()
}

fn contact_list() -> Data {
    object(json!({"id": "newcomers", "name": "Newcomers"})).into()
}

fn call() -> Data {
    object(json!({
        "call_id": "9041",
        "contact_id": "c-7",
        "ended_at": "2026-04-17T19:12:03Z",
        "from_number": "+15550100142",
        "started_at": "2026-04-17T19:09:40Z",
        "to_number": "+15550100100",
    }))
    .into()
}

fn disposition(disposition: &str) -> Data {
    object(json!({"call_id": "9041", "contact_id": "c-7", "disposition": disposition})).into()
}

fn recording() -> Data {
    object(json!({"call_id": "9041", "recording_url": "https://recordings.example.com/9041.mp3"})).into()
}

fn message() -> Data {
    object(json!({
        "contact_id": "c-7",
        "from_number": "+15550100142",
        "message_id": "m-311",
        "text": "Is Friday at nine still free?",
        "to_number": "+15550100100",
    }))
    .into()
}

const ORDERING: &[OrderingRule] = &[
    OrderingRule::new("Call ", &["/call_id", "/callId", "/id"]),
    OrderingRule::new("Message ", &["/message_id", "/messageId", "/id"]),
];
const SUBSCRIPTION_FIELDS: &[SubscriptionField] = &[SubscriptionField::list(
    "contact_lists",
    "contact_list",
    "The contact lists of which an event has to have one.",
)
.with_example("newcomers")];
/// No field is published.
const OPEN: DataSchema = DataSchema::object(&[]);

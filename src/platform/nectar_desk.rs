//! Nectar Desk, a call centre: twelve events, told apart by their name in the body.
//!
//! The payloads are unpublished: [`Data`] keeps every field and offers readers for the obvious ones. The names they look
//! for, and the samples, are our choice. Events that are newer than this crate arrive as [`Event::Other`].
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

use crate::contract::{Contract, OrderingRule, Retryable};
use crate::event::EnvelopeFormat;
use crate::platform::open::{object, open_data, text};
use crate::platform::{listed, seconds};

impl Contract {
    /// Nectar Desk: unsigned, in order per call or message, at most 3 retries after 1 s, 2 s and 4 s, and only on network
    /// faults and 5xx.
    ///
    /// No time-out is published; 10 s is our default. The payloads are not published either: the ordering key of a call's
    /// events is `call_id`, `callId` or else `id`, that of a message's `message_id`, `messageId` or else `id`, as in
    /// [`nectar_desk::Event::ordering_key`](crate::nectar_desk::Event::ordering_key). Nothing is said of `410`, so it is as final
    /// as any 4xx and disables nothing.
    ///
    /// Its last attempt comes seven seconds after the first. A receiver that is down for longer, or fails for longer, has lost the
    /// event: [`keep`](crate::receive::Receiver::keep) its requests rather than handling them while it waits.
    pub fn nectar_desk() -> Self {
        Self::new("nectar_desk", EnvelopeFormat::NECTAR_DESK)
            .with_catalogue(Event::CATALOGUE)
            .with_timeout(seconds(10))
            .with_retry(listed(&[1, 2, 4]))
            .with_retryable(Retryable::FaultsAndServerErrors)
            .with_ordering(ORDERING)
    }
}

crate::catalogue! {
    /// Any event of Nectar Desk; one of a name that is newer than this crate is `Other`.
    pub enum Event {
        /// A contact was made.
        ContactCreated(Data) = "Contact Created", sample: contact();
        /// A contact was changed.
        ContactModified(Data) = "Contact Modified", sample: contact();
        /// A contact list was made.
        ContactListCreated(Data) = "Contact List Created", sample: contact_list();
        /// A contact list was changed.
        ContactListModified(Data) = "Contact List Modified", sample: contact_list();
        /// A call ended.
        CallEnded(Data) = "Call Ended", sample: call();
        /// A caller hung up before anybody answered.
        CallAbandoned(Data) = "Call Abandoned", sample: call();
        /// Nobody was free and the caller was sent to voicemail.
        CallOverflowedToVoicemail(Data) = "Call Overflowed To Voicemail", sample: call();
        /// The agent noted what came of a call.
        CallDispositionSaved(Data) = "Call Disposition Saved", sample: disposition("Callback agreed");
        /// The note of what came of a call was changed.
        CallDispositionModified(Data) = "Call Disposition Modified", sample: disposition("Sold");
        /// The recording of a call can be fetched.
        CallRecordingReceived(Data) = "Call Recording Received", sample: recording();
        /// A message came in.
        MessageReceived(Data) = "Message Received", sample: message();
        /// A message was sent.
        MessageSent(Data) = "Message Sent", sample: message();
    }
}

impl Event {
    /// What the events of one call or one message share, so that they can be sent in the order they occur: the call's id
    /// (`call_id`, or else `id`) or the message's (`message_id`, or else `id`).
    ///
    /// `None` for other events, and where `data` names no id.
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
    /// The data of any of Nectar Desk's events: an open JSON object, and readers that answer `None` for what is not
    /// there or is of another kind.
    ///
    /// `null` and `[]` read as an object without fields.
    pub struct Data;
}

impl Data {
    /// The id of what the event is about: `id`.
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

    /// Who called or wrote: `from_number`, or else `from`.
    pub fn from_number(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["from_number", "from"])
    }

    /// Who was called or written to: `to_number`, or else `to`.
    pub fn to_number(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["to_number", "to"])
    }

    /// Where a recording lies: `recording_url`, or else `recordingUrl`.
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

//! Allo's current API: ten topics.
//!
//! [`Data`] keeps every field of a payload and has readers for the obvious ones. The names that the readers
//! look for, and the samples, are our choice. Topics that are newer than this crate arrive as
//! [`Event::Other`].
//!
//! ```
//! use hookwire::allo::{Data, Event};
//!
//! let call = Data::new().with("from_number", "+15550100142").with("direction", "inbound");
//! assert_eq!(call.from_number().as_deref(), Some("+15550100142"));
//! assert_eq!(Event::CallCompleted(call).event_type(), "call.completed");
//! ```

use std::borrow::Cow;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::contract::{AutoDisable, Contract, Rotation, SubscriptionField};
use crate::event::{EnvelopeFormat, Field, TimePrecision};
use crate::platform::open::{object, open_data, text};
use crate::platform::schedule::{DAY, HOUR, MINUTE, listed, seconds};
use crate::signature::Scheme;

impl Contract {
    /// Allo's current API: Standard Webhooks, 8 attempts over 27 h 35 min 5 s, 2xx within 20 s.
    ///
    /// Three or more failed attempts inside 24 h, with 12 h between the first and the last, start a timer; 5
    /// days of nothing but failures then disable the endpoint. Allo says "several" where we say three. Allo
    /// does not mention `410` and rotation, so the rules of Standard Webhooks apply: `410` ends the
    /// subscription, and both secrets sign for a while, a day by our default.
    ///
    /// Its subscriptions call their events `topics`.
    pub fn allo() -> Self {
        let rule = AutoDisable::failing_for(seconds(5 * DAY));
        Self::preset("allo", EnvelopeFormat::ALLO)
            .with_catalogue(Event::CATALOGUE)
            .with_scheme(Scheme::STANDARD_WEBHOOKS)
            .with_timeout(seconds(20))
            .with_retry(listed(&[5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR]))
            .with_disables_on_gone(true)
            .with_auto_disable(rule.with_trigger(3, seconds(12 * HOUR), seconds(24 * HOUR)))
            .with_rotation(Rotation::Overlap(seconds(DAY)))
            .with_subscription_fields(SUBSCRIPTION_FIELDS)
    }
}

impl EnvelopeFormat {
    /// The envelope of Allo's current API: `{"topic","version":"2.0","timestamp","data"}`, times with
    /// microseconds.
    pub const ALLO: Self = Self::new(&[
        Field::Type("topic"),
        Field::Version("version", "2.0"),
        Field::CreatedAt("timestamp", TimePrecision::Microseconds),
        Field::Data("data"),
    ]);
}

crate::catalogue! {
    /// Any event of Allo's current API. An event of a topic that is newer than this crate is `Other`.
    pub enum Event {
        /// A call from outside rings.
        CallReceived(Data) = "call.received", sample: call();
        /// A call to outside was placed.
        CallTriggered(Data) = "call.triggered", sample: call();
        /// A call was answered.
        CallAnswered(Data) = "call.answered", sample: call();
        /// A call is over, and its recording, transcript and summary are ready.
        CallCompleted(Data) = "call.completed", sample: completed_call();
        /// A tag was put on a call.
        TagAdded(Data) = "tag.added", sample: tag();
        /// A tag was taken off a call.
        TagRemoved(Data) = "tag.removed", sample: tag();
        /// A text message came in.
        SmsReceived(Data) = "sms.received", sample: sms();
        /// A text message was sent.
        SmsSent(Data) = "sms.sent", sample: sms();
        /// A contact was made.
        ContactCreated(Data) = "contact.created", sample: contact();
        /// A contact was changed.
        ContactUpdated(Data) = "contact.updated", sample: contact();
    }
}

open_data! {
    /// The data of any of Allo's events: an open JSON object, with readers that return `None` for a field
    /// that is missing or of another kind.
    ///
    /// `null` and `[]` read as an object without fields.
    pub struct Data;
}

impl Data {
    /// The id of the call, message or contact: `id`.
    pub fn id(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["id"])
    }

    /// The id of the call that a tag is on: `call_id`.
    pub fn call_id(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["call_id"])
    }

    /// The number that called or wrote: `from_number`, or else `from`.
    pub fn from_number(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["from_number", "from"])
    }

    /// The number that was called or written to: `to_number`, or else `to`.
    pub fn to_number(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["to_number", "to"])
    }

    /// The mail address of the Allo user: `user_email`.
    pub fn user_email(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["user_email"])
    }

    /// The time at which the call began: `started_at`, or else `start_date`, read as RFC 3339 text.
    pub fn started_at(&self) -> Option<OffsetDateTime> {
        ["started_at", "start_date"]
            .iter()
            .find_map(|name| OffsetDateTime::parse(self.field(name)?.as_str()?, &Rfc3339).ok())
    }

    /// The text of a message: `content`.
    pub fn content(&self) -> Option<Cow<'_, str>> {
        text(&self.fields, &["content"])
    }
}

fn call() -> Data {
    object(json!({
        "from_number": "+15550100142",
        "id": "cll_5f0c6a56",
        "started_at": "2026-04-17T19:09:40.000Z",
        "to_number": "+15550100100",
        "user_email": "agent@example.com",
    }))
    .into()
}

fn completed_call() -> Data {
    object(json!({
        "ended_at": "2026-04-17T19:12:03.000Z",
        "from_number": "+15550100142",
        "id": "cll_5f0c6a56",
        "started_at": "2026-04-17T19:09:40.000Z",
        "summary": "The appointment was moved to Friday.",
        "to_number": "+15550100100",
        "user_email": "agent@example.com",
    }))
    .into()
}

fn tag() -> Data {
    object(json!({"call_id": "cll_5f0c6a56", "tag": "support"})).into()
}

fn sms() -> Data {
    object(json!({
        "content": "Is Friday at nine still free?",
        "from_number": "+15550100142",
        "id": "msg_7c21",
        "sent_at": "2026-04-17T19:15:00.000Z",
        "to_number": "+15550100100",
    }))
    .into()
}

fn contact() -> Data {
    object(json!({
        "id": "con_7f3a",
        "name": "Rosa",
        "last_name": "Lind",
        "emails": ["rosa@example.com"],
        "numbers": ["+15550100142"],
    }))
    .into()
}

const SUBSCRIPTION_FIELDS: &[SubscriptionField] =
    &[SubscriptionField::events("topics", "The topics that are sent.")];

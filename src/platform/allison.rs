//! Allison, a voice agent: the reference contract and its six event types.
//!
//! In `call.*` every field but `call_id` may be null or missing, in `contact.created` every field but
//! `contact_id`. Ids are kept as text. Fields that a later version adds are ignored, and event types that it
//! adds arrive as [`Event::Other`].
//!
//! ```
//! use hookwire::{allison::CallEnded, Contract, Envelope};
//!
//! let mut call = CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11");
//! call.summary = Some("rescheduled".into());
//! let body = Contract::allison().encode(&Envelope::new(call))?;
//! # assert!(body.starts_with(br#"{"id":"evt_"#));
//! # Ok::<(), hookwire::Error>(())
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use time::serde::rfc3339;

use crate::contract::{AutoDisable, Contract};
use crate::event::{
    DataSchema, EnvelopeFormat, Field, Property, TimePrecision, null_as_default, open_enum, optional,
    optional_time,
};
use crate::platform::schedule::{DAY, HOUR, MINUTE, listed, seconds};
use crate::signature::{Part, Scheme};

impl Contract {
    /// Allison: 6 attempts over 31 h 16 min, 2xx within 10 s, `410` ends a subscription.
    ///
    /// Allison publishes no number for "keeps failing"; 5 days of nothing but failures is our default. It
    /// does not publish the meaning of its version field either, so any version is read.
    pub fn allison() -> Self {
        Self::preset("allison", EnvelopeFormat::ALLISON)
            .with_catalogue(Event::CATALOGUE)
            .with_scheme(Scheme::ALLISON)
            .with_timeout(seconds(10))
            .with_retry(listed(&[MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, 24 * HOUR]))
            .with_disables_on_gone(true)
            .with_auto_disable(AutoDisable::failing_for(seconds(5 * DAY)))
    }
}

impl EnvelopeFormat {
    /// Allison's envelope: `{"id","type","created_at","api_version":"v1","data"}`, times with milliseconds.
    pub const ALLISON: Self = Self::new(&[
        Field::Id("id"),
        Field::Type("type"),
        Field::CreatedAt("created_at", TimePrecision::Milliseconds),
        Field::Version("api_version", "v1"),
        Field::Data("data"),
    ]);
}

impl Scheme {
    /// Allison's signature: `X-Allison-Signature: v1=<hex>` over `timestamp.body`; the key is the whole text
    /// of the secret.
    ///
    /// It covers the time and the body, **not the id**: `X-Allison-Event-Id` is sent and required, but only
    /// the id inside the signed body can be believed.
    pub const ALLISON: Self = Self::new("allison", "x-allison-signature")
        .with_id_header("x-allison-event-id")
        .with_timestamp_header("x-allison-timestamp")
        .with_prefix("v1=")
        .with_content(&[Part::Timestamp, Part::Text("."), Part::Body]);
}

crate::catalogue! {
    /// Any event of Allison. An event of a type that is newer than this crate is `Other`.
    pub enum Event {
        /// A customer call ended; sent after every completed call.
        CallEnded = "call.ended", sample: CallEnded::sample(), schema: CALL_ENDED;
        /// The caller asked for a human to call back.
        CallbackRequested = "call.callback_requested", sample: CallbackRequested::sample(), schema: CALLBACK_REQUESTED;
        /// The caller left a message for a team member.
        MessageTaken = "call.message_taken", sample: MessageTaken::sample(), schema: MESSAGE_TAKEN;
        /// An escalation rule matched and the call was routed out.
        EscalationTriggered = "call.escalation_triggered", sample: EscalationTriggered::sample(), schema: ESCALATION_TRIGGERED;
        /// A booking was made in the call.
        AppointmentBooked = "call.appointment_booked", sample: AppointmentBooked::sample(), schema: APPOINTMENT_BOOKED;
        /// A caller was seen for the first time.
        ContactCreated = "contact.created", sample: ContactCreated::sample(), schema: CONTACT_CREATED;
    }
}

/// `call.ended`: a customer call ended.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CallEnded {
    /// The call, a UUID as text.
    pub call_id: String,
    /// The location that was called.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub location_id: Option<String>,
    /// The time at which the call began.
    #[serde(
        default,
        deserialize_with = "optional_time",
        serialize_with = "rfc3339::option::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub started_at: Option<OffsetDateTime>,
    /// The time at which the call ended.
    #[serde(
        default,
        deserialize_with = "optional_time",
        serialize_with = "rfc3339::option::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub ended_at: Option<OffsetDateTime>,
    /// The length of the call, in seconds.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u64>,
    /// The direction of the call.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The caller's number.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub from_number: Option<String>,
    /// The way in which the call ended.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// A short summary of the call.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Labels for the result of the call.
    #[serde(default, deserialize_with = "null_as_default")]
    pub outcome_tags: Vec<String>,
    /// The caller's contact.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub contact_id: Option<String>,
    /// The call's page.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub call_url: Option<String>,
    /// The transcript of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Transcript>,
    /// The result of the call. Its shape is not published, so any JSON is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Value>,
    /// The status of the order. It comes where `outcome` is `order`.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub order_status: Option<OrderStatus>,
    /// The order. It comes where `outcome` is `order`.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

impl CallEnded {
    /// A call with its id alone.
    pub fn new(call_id: impl Into<String>) -> Self {
        Self { call_id: call_id.into(), ..Self::default() }
    }

    fn sample() -> Self {
        Self {
            call_id: CALL.into(),
            location_id: Some(LOCATION.into()),
            started_at: Some(datetime!(2026-04-17 19:09:40 UTC)),
            ended_at: Some(datetime!(2026-04-17 19:12:03 UTC)),
            duration_seconds: Some(143),
            direction: Some(Direction::Inbound),
            from_number: Some(CALLER.into()),
            disposition: Some(Disposition::Completed),
            summary: Some("The caller moved the appointment to Friday.".into()),
            outcome_tags: vec!["rescheduled".into()],
            contact_id: Some(CONTACT.into()),
            call_url: Some("https://app.allison.example/calls/5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11".into()),
            transcript: Some(Transcript::Turns(vec![
                json!({"speaker": "agent", "text": "How can I help?"}),
                json!({"speaker": "caller", "text": "Friday would suit me better."}),
            ])),
            outcome: Some("rescheduled".into()),
            order_status: None,
            order: None,
        }
    }
}

/// An order that a caller placed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Order {
    /// The number of the order.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub call_order_number: Option<u64>,
    /// The profile that the order belongs to.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub profile_id: Option<String>,
    /// The name of the profile.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub profile_name: Option<String>,
    /// The items. Their shape is not published, so any JSON is kept.
    #[serde(default, deserialize_with = "null_as_default")]
    pub items: Vec<Value>,
}

impl Order {
    /// An order without any field.
    pub fn new() -> Self {
        Self::default()
    }
}

/// `call.callback_requested`: the caller asked for a human to call back.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CallbackRequested {
    /// The call, a UUID as text.
    pub call_id: String,
    /// The location that was called.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub location_id: Option<String>,
    /// The caller's contact.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub contact_id: Option<String>,
    /// The number to call.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub callback_number: Option<String>,
    /// The time that suits the caller, in the caller's words.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub requested_window: Option<String>,
    /// The reason.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl CallbackRequested {
    /// A request with the id of its call alone.
    pub fn new(call_id: impl Into<String>) -> Self {
        Self { call_id: call_id.into(), ..Self::default() }
    }

    fn sample() -> Self {
        Self {
            call_id: CALL.into(),
            location_id: Some(LOCATION.into()),
            contact_id: Some(CONTACT.into()),
            callback_number: Some(CALLER.into()),
            requested_window: Some("tomorrow between 9 and 11".into()),
            reason: Some("A question about an invoice.".into()),
        }
    }
}

/// `call.message_taken`: the caller left a message for a team member.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MessageTaken {
    /// The call, a UUID as text.
    pub call_id: String,
    /// The location that was called.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub location_id: Option<String>,
    /// The caller's contact.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub contact_id: Option<String>,
    /// The message.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The name of the caller.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub caller_name: Option<String>,
    /// The number to call back.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub callback_number: Option<String>,
    /// The team member that the message is for.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub team_member: Option<String>,
}

impl MessageTaken {
    /// A message with the id of its call alone.
    pub fn new(call_id: impl Into<String>) -> Self {
        Self { call_id: call_id.into(), ..Self::default() }
    }

    fn sample() -> Self {
        Self {
            call_id: CALL.into(),
            location_id: Some(LOCATION.into()),
            contact_id: Some(CONTACT.into()),
            message: Some("The delivery came, thank you.".into()),
            caller_name: Some("Rosa Lind".into()),
            callback_number: Some(CALLER.into()),
            team_member: Some("Jonas".into()),
        }
    }
}

/// `call.escalation_triggered`: an escalation rule matched and the call was routed out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EscalationTriggered {
    /// The call, a UUID as text.
    pub call_id: String,
    /// The location that was called.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub location_id: Option<String>,
    /// The caller's contact.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub contact_id: Option<String>,
    /// The rule that matched.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The action that was taken.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub action: Option<EscalationAction>,
    /// The reason.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The target that the call went to.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl EscalationTriggered {
    /// An escalation with the id of its call alone.
    pub fn new(call_id: impl Into<String>) -> Self {
        Self { call_id: call_id.into(), ..Self::default() }
    }

    fn sample() -> Self {
        Self {
            call_id: CALL.into(),
            location_id: Some(LOCATION.into()),
            contact_id: Some(CONTACT.into()),
            rule: Some("emergency".into()),
            action: Some(EscalationAction::WarmTransfer),
            reason: Some("The caller reported a leak.".into()),
            target: Some("+15550100199".into()),
        }
    }
}

/// `call.appointment_booked`: a booking was made in the call.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AppointmentBooked {
    /// The call, a UUID as text.
    pub call_id: String,
    /// The location that was called.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub location_id: Option<String>,
    /// The caller's contact.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub contact_id: Option<String>,
    /// The appointment.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub appointment_id: Option<String>,
    /// The time at which the appointment begins.
    #[serde(
        default,
        deserialize_with = "optional_time",
        serialize_with = "rfc3339::option::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub starts_at: Option<OffsetDateTime>,
    /// The length of the appointment, in minutes.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub duration_minutes: Option<u64>,
    /// The service that was booked.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The person who comes. The shape is not published, so any JSON is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attendee: Option<Value>,
}

impl AppointmentBooked {
    /// A booking with the id of its call alone.
    pub fn new(call_id: impl Into<String>) -> Self {
        Self { call_id: call_id.into(), ..Self::default() }
    }

    fn sample() -> Self {
        Self {
            call_id: CALL.into(),
            location_id: Some(LOCATION.into()),
            contact_id: Some(CONTACT.into()),
            appointment_id: Some("apt_2041".into()),
            starts_at: Some(datetime!(2026-04-24 09:30:00 UTC)),
            duration_minutes: Some(45),
            service: Some("Inspection".into()),
            attendee: Some("Rosa Lind".into()),
        }
    }
}

/// `contact.created`: a caller was seen for the first time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ContactCreated {
    /// The contact.
    pub contact_id: String,
    /// The call in which the caller was first seen.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The location that was called.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub location_id: Option<String>,
    /// The caller's name.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The caller's number.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// The caller's mail address.
    #[serde(default, deserialize_with = "optional", skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The time at which the contact was made.
    #[serde(
        default,
        deserialize_with = "optional_time",
        serialize_with = "rfc3339::option::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_at: Option<OffsetDateTime>,
}

impl ContactCreated {
    /// A contact with its id alone.
    pub fn new(contact_id: impl Into<String>) -> Self {
        Self { contact_id: contact_id.into(), ..Self::default() }
    }

    fn sample() -> Self {
        Self {
            contact_id: CONTACT.into(),
            call_id: Some(CALL.into()),
            location_id: Some(LOCATION.into()),
            name: Some("Rosa Lind".into()),
            phone_number: Some(CALLER.into()),
            email: Some("rosa@example.com".into()),
            created_at: Some(datetime!(2026-04-17 19:09:41 UTC)),
        }
    }
}

open_enum! {
    /// The direction of a call.
    pub enum Direction {
        /// A customer called.
        Inbound = "inbound",
        /// The agent called.
        Outbound = "outbound",
    }
}

open_enum! {
    /// The way in which a call ended.
    pub enum Disposition {
        /// The call ran to its end.
        Completed = "completed",
        /// The caller hung up.
        Hangup = "hangup",
        /// The call was handed to somebody else.
        Transferred = "transferred",
        /// An escalation rule took the call.
        Escalated = "escalated",
        /// Nobody answered.
        Missed = "missed",
    }
}

open_enum! {
    /// The status of an order.
    pub enum OrderStatus {
        /// The order is new.
        New = "new",
        /// The order is being worked on.
        InProgress = "in_progress",
        /// The order is done.
        Fulfilled = "fulfilled",
        /// The order was canceled.
        Canceled = "canceled",
    }
}

open_enum! {
    /// The action that an escalation took.
    pub enum EscalationAction {
        /// The call was handed over with an introduction.
        WarmTransfer = "warm_transfer",
        /// A call back was planned.
        ScheduledCallback = "scheduled_callback",
        /// The caller was sent to voicemail.
        Voicemail = "voicemail",
        /// A ticket was opened.
        Ticket = "ticket",
    }
}

/// The transcript of a call: one text, or a list of turns.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(untagged)]
pub enum Transcript {
    /// One text.
    Text(String),
    /// Turns in order. The shape of a turn is not published, so any JSON is kept.
    Turns(Vec<Value>),
}

impl<'de> Deserialize<'de> for Transcript {
    // Written by hand, because an untagged derive buffers the whole text first.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Transcript;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text or a list of turns")
            }

            fn visit_str<E>(self, text: &str) -> Result<Transcript, E> {
                Ok(Transcript::Text(text.to_owned()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Transcript, A::Error> {
                let mut turns = Vec::new();
                while let Some(turn) = seq.next_element()? {
                    turns.push(turn);
                }
                Ok(Transcript::Turns(turns))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl From<&str> for Transcript {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

const CALL_ENDED: DataSchema = DataSchema::object(&[
    Property::required("call_id", DataSchema::STRING),
    Property::optional("location_id", TEXT),
    Property::optional("started_at", TIME),
    Property::optional("ended_at", TIME),
    Property::optional("duration_seconds", DataSchema::INTEGER.nullable()),
    Property::optional("direction", DIRECTION),
    Property::optional("from_number", TEXT),
    Property::optional("disposition", DISPOSITION),
    Property::optional("summary", TEXT),
    Property::optional("outcome_tags", DataSchema::array(&DataSchema::STRING).nullable()),
    Property::optional("contact_id", TEXT),
    Property::optional("call_url", TEXT),
    Property::optional("transcript", DataSchema::ANY),
    Property::optional("outcome", DataSchema::ANY),
    Property::optional("order_status", ORDER_STATUS),
    Property::optional("order", ORDER),
]);
const ORDER: DataSchema = DataSchema::object(&[
    Property::optional("call_order_number", DataSchema::INTEGER.nullable()),
    Property::optional("profile_id", TEXT),
    Property::optional("profile_name", TEXT),
    Property::optional("items", DataSchema::array(&DataSchema::ANY).nullable()),
])
.nullable();
const CALLBACK_REQUESTED: DataSchema = DataSchema::object(&[
    Property::required("call_id", DataSchema::STRING),
    Property::optional("location_id", TEXT),
    Property::optional("contact_id", TEXT),
    Property::optional("callback_number", TEXT),
    Property::optional("requested_window", TEXT),
    Property::optional("reason", TEXT),
]);
const MESSAGE_TAKEN: DataSchema = DataSchema::object(&[
    Property::required("call_id", DataSchema::STRING),
    Property::optional("location_id", TEXT),
    Property::optional("contact_id", TEXT),
    Property::optional("message", TEXT),
    Property::optional("caller_name", TEXT),
    Property::optional("callback_number", TEXT),
    Property::optional("team_member", TEXT),
]);
const ESCALATION_TRIGGERED: DataSchema = DataSchema::object(&[
    Property::required("call_id", DataSchema::STRING),
    Property::optional("location_id", TEXT),
    Property::optional("contact_id", TEXT),
    Property::optional("rule", TEXT),
    Property::optional("action", ESCALATION_ACTION),
    Property::optional("reason", TEXT),
    Property::optional("target", TEXT),
]);
const APPOINTMENT_BOOKED: DataSchema = DataSchema::object(&[
    Property::required("call_id", DataSchema::STRING),
    Property::optional("location_id", TEXT),
    Property::optional("contact_id", TEXT),
    Property::optional("appointment_id", TEXT),
    Property::optional("starts_at", TIME),
    Property::optional("duration_minutes", DataSchema::INTEGER.nullable()),
    Property::optional("service", TEXT),
    Property::optional("attendee", DataSchema::ANY),
]);
const CONTACT_CREATED: DataSchema = DataSchema::object(&[
    Property::required("contact_id", DataSchema::STRING),
    Property::optional("call_id", TEXT),
    Property::optional("location_id", TEXT),
    Property::optional("name", TEXT),
    Property::optional("phone_number", TEXT),
    Property::optional("email", TEXT),
    Property::optional("created_at", TIME),
]);
const TEXT: DataSchema = DataSchema::STRING.nullable();
const TIME: DataSchema = DataSchema::DATE_TIME.nullable();
const DIRECTION: DataSchema = DataSchema::one_of(&["inbound", "outbound"]).nullable();
const DISPOSITION: DataSchema =
    DataSchema::one_of(&["completed", "hangup", "transferred", "escalated", "missed"]).nullable();
const ORDER_STATUS: DataSchema =
    DataSchema::one_of(&["new", "in_progress", "fulfilled", "canceled"]).nullable();
const ESCALATION_ACTION: DataSchema =
    DataSchema::one_of(&["warm_transfer", "scheduled_callback", "voicemail", "ticket"]).nullable();
const CALL: &str = "5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11";
const CALLER: &str = "+15550100142";
const CONTACT: &str = "con_7f3a";
const LOCATION: &str = "loc_12";

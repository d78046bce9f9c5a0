//! Allo's first API: five topics, all with published payloads.
//!
//! A field is an [`Option`] exactly where the platform publishes it as nullable, and an absent value is
//! written as `null`. Reading is more tolerant than the publication: only `id` must be there. A required
//! field that is missing, `null` or `[]` reads as the empty value of its kind: empty text, `0`, an empty
//! list, `Other("")`, the Unix epoch.
//!
//! A subscription names an `allo_number`. No payload has that number: it is a routing attribute of the event,
//! which the sender gives when it emits the event.
//!
//! ```
//! use std::time::Duration;
//! use hookwire::allo_v1::{Call, Direction, Source, Transcription};
//! use time::macros::datetime;
//!
//! let began = datetime!(2026-04-17 19:09:40 UTC);
//! let call = Call::new("cll_1", Direction::Inbound, began, Duration::from_secs(330)).with_transcriptions([
//!     Transcription::new(Source::Agent, began, "How can I help?"),
//!     Transcription::new(Source::User, began, "Friday would suit me better."),
//! ]);
//! assert_eq!(call.length, "5m 30s");
//! assert_eq!(call.length_in_minutes, 5.5);
//! assert_eq!(call.concatenated_transcript, "AGENT: How can I help?\nUSER: Friday would suit me better.");
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::macros::datetime;
use time::serde::rfc3339;

use crate::contract::{Contract, SubscriptionField};
use crate::event::{
    DataSchema, EnvelopeFormat, Field, Property, epoch, null_as_default, open_enum, optional, or_default,
    time_or_epoch,
};
use crate::platform::schedule::seconds;

impl Contract {
    /// Allo's first API: unsigned, one attempt, 2xx within 30 s.
    ///
    /// The platform publishes no retries, and no rule that disables an endpoint, not even for `410`. You can
    /// set both.
    ///
    /// Its subscriptions call their events `topics`, and have the field `allo_number` (E.164), the routing
    /// attribute of the same name.
    ///
    /// A request that the receiver does not take at once is lost, so store requests before you handle them
    /// ([`store_first`](crate::receive::Proven::store_first)).
    pub fn allo_v1() -> Self {
        Self::preset("allo_v1", EnvelopeFormat::ALLO_V1)
            .with_catalogue(Event::CATALOGUE)
            .with_timeout(seconds(30))
            .with_subscription_fields(SUBSCRIPTION_FIELDS)
    }
}

impl EnvelopeFormat {
    /// The envelope of Allo's first API: `{"topic","data"}`.
    pub const ALLO_V1: Self = Self::new(&[Field::Type("topic"), Field::Data("data")]);
}

crate::catalogue! {
    /// Any event of Allo's first API. An event of a topic that is newer than this crate is `Other`.
    pub enum Event {
        /// A call is over, inbound or outbound.
        CallReceived(Call) = "CALL_RECEIVED", sample: Call::sample(), schema: CALL;
        /// A text message came in.
        SmsReceived(Sms) = "SMS_RECEIVED", sample: Sms::sample(), schema: SMS;
        /// A text message was sent.
        SmsSent(Sms) = "SMS_SENT", sample: Sms::sent_sample(), schema: SMS;
        /// A contact was made.
        ContactCreated(Contact) = "CONTACT_CREATED", sample: Contact::sample(), schema: CONTACT;
        /// A contact was changed.
        ContactUpdated(Contact) = "CONTACT_UPDATED", sample: Contact::sample(), schema: CONTACT;
    }
}

/// A call that is over: the data of `CALL_RECEIVED`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Call {
    /// The call.
    pub id: String,
    /// The time at which the call began.
    #[serde(default = "epoch", deserialize_with = "time_or_epoch", serialize_with = "rfc3339::serialize")]
    pub start_date: OffsetDateTime,
    /// The URL of the recording.
    #[serde(default, deserialize_with = "optional")]
    pub recording_url: Option<String>,
    /// The number that called.
    #[serde(default, deserialize_with = "or_default")]
    pub from_number: String,
    /// The name of the number's owner.
    #[serde(default, deserialize_with = "optional")]
    pub from_name: Option<String>,
    /// The number that was called.
    #[serde(default, deserialize_with = "or_default")]
    pub to: String,
    /// The name of the number's owner.
    #[serde(default, deserialize_with = "optional")]
    pub to_name: Option<String>,
    /// The length of the call in minutes, with a fraction. [`with_length`](Self::with_length) sets it with
    /// `length`.
    #[serde(default, deserialize_with = "or_default")]
    pub length_in_minutes: f64,
    /// The length of the call in words, such as `5m 30s`.
    #[serde(default, deserialize_with = "or_default")]
    pub length: String,
    /// The label of the call.
    #[serde(default, deserialize_with = "optional")]
    pub tag: Option<String>,
    /// A short summary of the call.
    #[serde(default, deserialize_with = "optional")]
    pub summary: Option<String>,
    /// A summary in one sentence.
    #[serde(default, deserialize_with = "optional")]
    pub one_sentence_summary: Option<String>,
    /// The transcript, turn by turn. [`with_transcriptions`](Self::with_transcriptions) sets it with
    /// `concatenated_transcript`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub transcriptions: Vec<Transcription>,
    /// The transcript as one text.
    #[serde(default, deserialize_with = "or_default")]
    pub concatenated_transcript: String,
    /// The answers that the agent collected in the call. The account chooses the keys, so any JSON is kept.
    #[serde(default, deserialize_with = "or_default")]
    pub data_collected: Map<String, Value>,
    /// The direction of the call. In JSON it is `type`.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub direction: Direction,
    /// The integration that the call belongs to.
    #[serde(default, deserialize_with = "optional")]
    pub integration_id: Option<String>,
    /// The side that handed the call over.
    #[serde(default, deserialize_with = "optional")]
    pub transfer_from: Option<TransferParty>,
    /// The side that took the call over.
    #[serde(default, deserialize_with = "optional")]
    pub transfer_to: Option<TransferParty>,
    /// The call that this one continues.
    #[serde(default, deserialize_with = "optional")]
    pub transfer_original_call_id: Option<String>,
    /// The mail address of the Allo user who had the call.
    #[serde(default, deserialize_with = "or_default")]
    pub user_email: String,
    /// The number that was called before a transfer.
    #[serde(default, deserialize_with = "optional")]
    pub original_to_number: Option<String>,
    /// The name of that number's owner.
    #[serde(default, deserialize_with = "optional")]
    pub original_to_name: Option<String>,
}

impl Call {
    /// A call with this id that began at `start_date` and took `length`; both length fields are set.
    pub fn new(
        id: impl Into<String>,
        direction: Direction,
        start_date: OffsetDateTime,
        length: Duration,
    ) -> Self {
        Self {
            id: id.into(),
            start_date,
            recording_url: None,
            from_number: String::new(),
            from_name: None,
            to: String::new(),
            to_name: None,
            length_in_minutes: 0.0,
            length: String::new(),
            tag: None,
            summary: None,
            one_sentence_summary: None,
            transcriptions: Vec::new(),
            concatenated_transcript: String::new(),
            data_collected: Map::new(),
            direction,
            integration_id: None,
            transfer_from: None,
            transfer_to: None,
            transfer_original_call_id: None,
            user_email: String::new(),
            original_to_number: None,
            original_to_name: None,
        }
        .with_length(length)
    }

    /// Sets the length of the call: `length_in_minutes`, and `length` in whole minutes and seconds.
    ///
    /// Minutes are not carried over into hours, because no hours are published: 65 minutes are `65m 0s`.
    pub fn with_length(mut self, length: Duration) -> Self {
        self.length_in_minutes = length.as_secs_f64() / 60.0;
        let seconds = length.as_secs();
        self.length = format!("{}m {}s", seconds / 60, seconds % 60);
        self
    }

    /// Sets the turns of the call: `transcriptions`, and `concatenated_transcript`, a line for each turn as
    /// the platform publishes it: `AGENT: Hello`.
    pub fn with_transcriptions(mut self, turns: impl IntoIterator<Item = Transcription>) -> Self {
        self.transcriptions = turns.into_iter().collect();
        let line = |turn: &Transcription| format!("{}: {}", turn.source.as_str(), turn.text);
        let lines: Vec<_> = self.transcriptions.iter().map(line).collect();
        self.concatenated_transcript = lines.join("\n");
        self
    }

    fn sample() -> Self {
        let mut call = Self::new(
            "cll_5f0c6a56",
            Direction::Inbound,
            datetime!(2026-04-17 19:06:30 UTC),
            Duration::from_secs(330),
        )
        .with_transcriptions([
            Transcription::new(Source::Agent, datetime!(2026-04-17 19:06:35 UTC), "How can I help?"),
            Transcription::new(
                Source::User,
                datetime!(2026-04-17 19:06:41 UTC),
                "Friday would suit me better.",
            ),
        ]);
        call.recording_url = Some("https://recordings.example.com/cll_5f0c6a56.mp3".into());
        call.from_number = CALLER.into();
        call.from_name = Some("Rosa Lind".into());
        call.to = OFFICE.into();
        call.to_name = Some("Front desk".into());
        call.tag = Some("support".into());
        call.summary = Some("The caller moved the appointment to Friday.".into());
        call.one_sentence_summary = Some("Appointment moved".into());
        call.data_collected.insert("preferred_day".into(), "Friday".into());
        call.integration_id = Some("int_3".into());
        call.transfer_from = Some(TransferParty {
            number: Some(OFFICE.into()),
            user_email: Some("desk@example.com".into()),
            user_name: Some("Front desk".into()),
        });
        call.transfer_to = Some(TransferParty {
            number: Some("+15550100199".into()),
            user_email: Some("service@example.com".into()),
            user_name: Some("Service".into()),
        });
        call.transfer_original_call_id = Some("cll_5f0c6a55".into());
        call.user_email = "service@example.com".into();
        call.original_to_number = Some(OFFICE.into());
        call.original_to_name = Some("Front desk".into());
        call
    }
}

/// One turn of a call.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Transcription {
    /// The speaker.
    #[serde(default, deserialize_with = "or_default")]
    pub source: Source,
    /// The time at which the speaker began.
    #[serde(default = "epoch", deserialize_with = "time_or_epoch", serialize_with = "rfc3339::serialize")]
    pub time: OffsetDateTime,
    /// The words of the speaker.
    #[serde(default, deserialize_with = "or_default")]
    pub text: String,
}

impl Transcription {
    /// A turn of `source` at `time`.
    pub fn new(source: Source, time: OffsetDateTime, text: impl Into<String>) -> Self {
        Self { source, time, text: text.into() }
    }
}

/// One side of a call's hand-over.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TransferParty {
    /// The number.
    #[serde(default, deserialize_with = "optional")]
    pub number: Option<String>,
    /// The Allo user's mail address.
    #[serde(default, deserialize_with = "optional")]
    pub user_email: Option<String>,
    /// The Allo user's name.
    #[serde(default, deserialize_with = "optional")]
    pub user_name: Option<String>,
}

impl TransferParty {
    /// A side without any field.
    pub fn new() -> Self {
        Self::default()
    }
}

/// A text message: the data of `SMS_RECEIVED` and `SMS_SENT`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Sms {
    /// The message.
    pub id: String,
    /// The direction of the message.
    #[serde(default, deserialize_with = "or_default")]
    pub direction: Direction,
    /// The kind of the message, with or without media. In JSON it is `type`.
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub message_type: MessageType,
    /// The text of the message.
    #[serde(default, deserialize_with = "or_default")]
    pub content: String,
    /// The time at which it was sent.
    #[serde(default = "epoch", deserialize_with = "time_or_epoch", serialize_with = "rfc3339::serialize")]
    pub sent_at: OffsetDateTime,
    /// The number that wrote.
    #[serde(default, deserialize_with = "or_default")]
    pub from_number: String,
    /// The number that was written to.
    #[serde(default, deserialize_with = "or_default")]
    pub to_number: String,
    /// The name of the writer.
    #[serde(default, deserialize_with = "or_default")]
    pub from_name: String,
    /// The name of the other side.
    #[serde(default, deserialize_with = "or_default")]
    pub to_name: String,
}

impl Sms {
    /// A message without media, with this id and `content`, sent at `sent_at`.
    pub fn new(
        id: impl Into<String>,
        direction: Direction,
        sent_at: OffsetDateTime,
        content: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            direction,
            message_type: MessageType::Sms,
            content: content.into(),
            sent_at,
            from_number: String::new(),
            to_number: String::new(),
            from_name: String::new(),
            to_name: String::new(),
        }
    }

    fn sample() -> Self {
        Self {
            from_number: CALLER.into(),
            to_number: OFFICE.into(),
            from_name: "Rosa Lind".into(),
            to_name: "Front desk".into(),
            ..Self::new(
                "msg_7c21",
                Direction::Inbound,
                datetime!(2026-04-17 19:15:00 UTC),
                "Is Friday at nine still free?",
            )
        }
    }

    fn sent_sample() -> Self {
        Self {
            from_number: OFFICE.into(),
            to_number: CALLER.into(),
            from_name: "Front desk".into(),
            to_name: "Rosa Lind".into(),
            ..Self::new(
                "msg_7c22",
                Direction::Outbound,
                datetime!(2026-04-17 19:16:00 UTC),
                "It is yours now.",
            )
        }
    }
}

/// A contact: the data of `CONTACT_CREATED` and `CONTACT_UPDATED`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Contact {
    /// The contact.
    pub id: String,
    /// The first name.
    #[serde(default, deserialize_with = "optional")]
    pub name: Option<String>,
    /// The last name.
    #[serde(default, deserialize_with = "optional")]
    pub last_name: Option<String>,
    /// The company.
    #[serde(default, deserialize_with = "optional")]
    pub company: Option<String>,
    /// The mail addresses.
    #[serde(default, deserialize_with = "null_as_default")]
    pub emails: Vec<String>,
    /// The phone numbers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub numbers: Vec<String>,
}

impl Contact {
    /// A contact with its id alone.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    fn sample() -> Self {
        Self {
            id: "con_7f3a".into(),
            name: Some("Rosa".into()),
            last_name: Some("Lind".into()),
            company: Some("Example Bakery".into()),
            emails: vec!["rosa@example.com".into()],
            numbers: vec![CALLER.into()],
        }
    }
}

open_enum! {
    /// The direction of a call or message.
    pub enum Direction {
        /// From outside.
        Inbound = "INBOUND",
        /// To outside.
        Outbound = "OUTBOUND",
    }
}

open_enum! {
    /// The speaker of a turn.
    pub enum Source {
        /// The agent.
        Agent = "AGENT",
        /// The person at the other end.
        User = "USER",
    }
}

open_enum! {
    /// The kind of a message.
    pub enum MessageType {
        /// Text alone.
        Sms = "SMS",
        /// Text and media.
        Mms = "MMS",
    }
}

// A missing value reads as the default.
impl Default for Direction {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl Default for MessageType {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

const CALL: DataSchema = DataSchema::object(&[
    Property::required("id", DataSchema::STRING),
    Property::required("start_date", DataSchema::DATE_TIME),
    Property::required("recording_url", TEXT_OR_NULL),
    Property::required("from_number", DataSchema::STRING),
    Property::required("from_name", TEXT_OR_NULL),
    Property::required("to", DataSchema::STRING),
    Property::required("to_name", TEXT_OR_NULL),
    Property::required("length_in_minutes", DataSchema::NUMBER),
    Property::required("length", DataSchema::STRING),
    Property::required("tag", TEXT_OR_NULL),
    Property::required("summary", TEXT_OR_NULL),
    Property::required("one_sentence_summary", TEXT_OR_NULL),
    Property::required("transcriptions", DataSchema::array(&TRANSCRIPTION)),
    Property::required("concatenated_transcript", DataSchema::STRING),
    Property::required("data_collected", DataSchema::object(&[])),
    Property::required("type", DIRECTION),
    Property::required("integration_id", TEXT_OR_NULL),
    Property::required("transfer_from", TRANSFER_PARTY.nullable()),
    Property::required("transfer_to", TRANSFER_PARTY.nullable()),
    Property::required("transfer_original_call_id", TEXT_OR_NULL),
    Property::required("user_email", DataSchema::STRING),
    Property::required("original_to_number", TEXT_OR_NULL),
    Property::required("original_to_name", TEXT_OR_NULL),
]);
const TRANSCRIPTION: DataSchema = DataSchema::object(&[
    Property::required("source", DataSchema::one_of(&["AGENT", "USER"])),
    Property::required("time", DataSchema::DATE_TIME),
    Property::required("text", DataSchema::STRING),
]);
const TRANSFER_PARTY: DataSchema = DataSchema::object(&[
    Property::required("number", TEXT_OR_NULL),
    Property::required("user_email", TEXT_OR_NULL),
    Property::required("user_name", TEXT_OR_NULL),
]);
const SMS: DataSchema = DataSchema::object(&[
    Property::required("id", DataSchema::STRING),
    Property::required("direction", DIRECTION),
    Property::required("type", DataSchema::one_of(&["SMS", "MMS"])),
    Property::required("content", DataSchema::STRING),
    Property::required("sent_at", DataSchema::DATE_TIME),
    Property::required("from_number", DataSchema::STRING),
    Property::required("to_number", DataSchema::STRING),
    Property::required("from_name", DataSchema::STRING),
    Property::required("to_name", DataSchema::STRING),
]);
const CONTACT: DataSchema = DataSchema::object(&[
    Property::required("id", DataSchema::STRING),
    Property::required("name", TEXT_OR_NULL),
    Property::required("last_name", TEXT_OR_NULL),
    Property::required("company", TEXT_OR_NULL),
    Property::required("emails", DataSchema::array(&DataSchema::STRING)),
    Property::required("numbers", DataSchema::array(&DataSchema::STRING)),
]);
const DIRECTION: DataSchema = DataSchema::one_of(&["INBOUND", "OUTBOUND"]);
const TEXT_OR_NULL: DataSchema = DataSchema::STRING.nullable();
const SUBSCRIPTION_FIELDS: &[SubscriptionField] = &[
    SubscriptionField::events("topics", "The topics that are sent."),
    SubscriptionField::text("allo_number", "allo_number", "The Allo number whose events are sent.")
        .with_check(is_e164, "a number in E.164, such as +15550100100")
        .with_pattern("^\\+[0-9]{1,15}$")
        .with_example(OFFICE),
];
const CALLER: &str = "+15550100142";
const OFFICE: &str = "+15550100100";

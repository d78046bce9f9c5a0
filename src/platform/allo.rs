//! Allo's current API: ten topics.
//!
//! The payload of `call.received` is published in full; the table says what is known of the others. Every
//! field is optional when an event is read. A field whose JSON is of another kind, and any field that is
//! newer than this crate, stays in `open`, so that no data is refused for it. Topics that are newer than this
//! crate arrive as [`Event::Other`].
//!
//! | topics | data | published |
//! |---|---|---|
//! | `call.received` | [`Call`] | every field |
//! | `call.triggered`, `call.answered` | [`Call`] | no field that we know; the names are those of `call.received` |
//! | `call.completed` | [`CompletedCall`] | a sample, and in words: recording, transcript and summary |
//! | `tag.added`, `tag.removed` | [`TagChange`] | no field that we know; the names are our choice |
//! | `sms.received`, `sms.sent` | [`Sms`] | a sample |
//! | `contact.created`, `contact.updated` | [`Contact`] | as the `person` of a call |
//!
//! The schema of a topic ([`EventKind::schema`](crate::event::EventKind::schema)) requires the fields that
//! are published as always there.
//!
//! ```
//! use hookwire::allo::{Call, Contact, Event};
//!
//! let mut call = Call::new();
//! call.from_number = Some("+15550100142".into());
//! call.person = Some(Contact::new());
//! // A property that the account has defined.
//! call.person.as_mut().unwrap().open.insert("lead_source".into(), "Inbound".into());
//! assert_eq!(Event::CallReceived(call).event_type(), "call.received");
//! ```

use serde_json::{Map, Number, Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

pub use super::allo_v1::{Direction, MessageType, Source};

use crate::contract::{AutoDisable, Contract, Rotation, SubscriptionField};
use crate::event::{DataSchema, EnvelopeFormat, Field, Property, TimePrecision, open_enum};
use crate::platform::open_struct::{open_struct, text_kind};
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
        CallReceived(Call) = "call.received", sample: Call::sample(), schema: RECEIVED_CALL;
        /// A call to outside was placed.
        CallTriggered(Call) = "call.triggered", sample: Call::outbound_sample(), schema: CALL;
        /// A call was answered.
        CallAnswered(Call) = "call.answered", sample: Call::sample(), schema: CALL;
        /// A call is over, and its recording, transcript and summary are ready.
        CallCompleted(CompletedCall) = "call.completed", sample: CompletedCall::sample(), schema: COMPLETED_CALL;
        /// A tag was put on a call.
        TagAdded(TagChange) = "tag.added", sample: TagChange::sample(), schema: TAG_CHANGE;
        /// A tag was taken off a call.
        TagRemoved(TagChange) = "tag.removed", sample: TagChange::sample(), schema: TAG_CHANGE;
        /// A text message came in.
        SmsReceived(Sms) = "sms.received", sample: Sms::sample(), schema: SMS;
        /// A text message was sent.
        SmsSent(Sms) = "sms.sent", sample: Sms::sent_sample(), schema: SMS;
        /// A contact was made.
        ContactCreated(Contact) = "contact.created", sample: Contact::sample(), schema: CONTACT;
        /// A contact was changed.
        ContactUpdated(Contact) = "contact.updated", sample: Contact::sample(), schema: CONTACT;
    }
}

open_struct! {
    /// A call that is not over: the data of `call.received`, `call.triggered` and `call.answered`.
    pub struct Call {
        /// The number that calls.
        pub from_number: String,
        /// The number that is called.
        pub to_number: String,
        /// The time at which the call began to ring.
        pub started_at: OffsetDateTime,
        /// The mail address of the Allo user who has the number.
        pub user_email: String,
        /// The contact with the other side's number. Without a match the field is missing.
        pub person: Contact,
        /// The company of the contact.
        pub company: Company,
        /// The deals of the contact.
        pub deals: Vec<Deal>,
    }
}

impl Call {
    fn sample() -> Self {
        Self {
            from_number: Some(CALLER.into()),
            to_number: Some(OFFICE.into()),
            started_at: Some(datetime!(2026-04-17 19:09:40 UTC)),
            user_email: Some(AGENT.into()),
            person: Some(Contact::sample()),
            company: Some(Company {
                id: Some("com-a1b2c3d4e5f6".into()),
                name: Some("Example Bakery".into()),
                open: Map::new(),
            }),
            deals: Some(vec![Deal::sample()]),
            open: Map::new(),
        }
    }

    fn outbound_sample() -> Self {
        Self { from_number: Some(OFFICE.into()), to_number: Some(CALLER.into()), ..Self::sample() }
    }
}

open_struct! {
    /// A contact: the data of `contact.created` and `contact.updated`, and the person of a call.
    ///
    /// Each property that the account has defined is one more field, and stands in `open`.
    pub struct Contact {
        /// The contact.
        pub id: String,
        /// The first name.
        pub name: String,
        /// The last name.
        pub last_name: String,
        /// The first of the mail addresses.
        pub email: String,
        /// The mail addresses.
        pub emails: Vec<String>,
        /// The phone numbers.
        pub numbers: Vec<String>,
        /// The title of the person's job.
        pub job_title: String,
    }
}

impl Contact {
    fn sample() -> Self {
        let mut open = Map::new();
        open.insert("lead_source".into(), "Inbound".into());
        Self {
            id: Some("con_5MiGNHp2vI1AN6sTu4Cw".into()),
            name: Some("Rosa".into()),
            last_name: Some("Lind".into()),
            email: Some("rosa@example.com".into()),
            emails: Some(vec!["rosa@example.com".into()]),
            numbers: Some(vec![CALLER.into()]),
            job_title: Some("Head baker".into()),
            open,
        }
    }
}

open_struct! {
    /// The company of a contact.
    pub struct Company {
        /// The company.
        pub id: String,
        /// The name.
        pub name: String,
    }
}

open_struct! {
    /// A deal of a contact.
    pub struct Deal {
        /// The deal.
        pub id: String,
        /// The name.
        pub name: String,
        /// The status, such as `qualified`. The account chooses the words.
        pub status: String,
        /// The value, in units of `currency`.
        pub value: Number,
        /// The currency, such as `EUR`.
        pub currency: String,
        /// The day on which the deal is to be closed, as text: `2026-06-15T00:00:00`, without an offset.
        pub close_date: String,
    }
}

impl Deal {
    fn sample() -> Self {
        Self {
            id: Some("dea-x1y2z3w4v5u6".into()),
            name: Some("Bread for a year".into()),
            status: Some("qualified".into()),
            value: Number::from_f64(25000.0),
            currency: Some("EUR".into()),
            close_date: Some("2026-06-15T00:00:00".into()),
            open: Map::new(),
        }
    }
}

open_struct! {
    /// A call that is over: the data of `call.completed`.
    pub struct CompletedCall {
        /// The call.
        pub id: String,
        /// The time at which the call began.
        pub start_date: OffsetDateTime,
        /// The URL of the recording.
        pub recording_url: String,
        /// The number that called.
        pub from_number: String,
        /// The name of the number's owner.
        pub from_name: String,
        /// The number that was called.
        pub to: String,
        /// The name of the number's owner.
        pub to_name: String,
        /// The length of the call. The unit is not published.
        pub duration: Number,
        /// The length of the call in minutes, with a fraction.
        pub length_in_minutes: Number,
        /// The length of the call in words, such as `5m 30s`.
        pub length: String,
        /// The direction of the call. In JSON it is `type`.
        pub direction as "type": Direction,
        /// The way in which the call ended.
        pub result: CallResult,
        /// A short summary of the call.
        pub summary: String,
        /// The transcript, turn by turn.
        pub transcript: Vec<Turn>,
        /// The tags on the call. Their shape is not published.
        pub tags: Vec<Value>,
        /// The mail address of the Allo user who had the call.
        pub user_email: String,
    }
}

impl CompletedCall {
    fn sample() -> Self {
        let turn = |source, time, text: &str| Turn {
            source: Some(source),
            time: Some(time),
            text: Some(text.into()),
            open: Map::new(),
        };
        Self {
            id: Some("cll_5f0c6a56".into()),
            start_date: Some(datetime!(2026-04-17 19:09:40 UTC)),
            recording_url: Some("https://recordings.example.com/cll_5f0c6a56.mp3".into()),
            from_number: Some(CALLER.into()),
            from_name: Some("Rosa Lind".into()),
            to: Some(OFFICE.into()),
            to_name: Some("Front desk".into()),
            duration: Some(143.into()),
            length_in_minutes: Number::from_f64(2.5),
            length: Some("2m 30s".into()),
            direction: Some(Direction::Inbound),
            result: Some(CallResult::Answered),
            summary: Some("The appointment was moved to Friday.".into()),
            transcript: Some(vec![
                turn(Source::Agent, json!("2026-04-17T19:09:42.000Z"), "How can I help?"),
                turn(Source::User, json!("2026-04-17T19:09:45.000Z"), "Friday would suit me better."),
            ]),
            tags: Some(vec![json!("support")]),
            user_email: Some(AGENT.into()),
            open: Map::new(),
        }
    }
}

open_struct! {
    /// One turn of a call.
    pub struct Turn {
        /// The speaker.
        pub source: Source,
        /// The time at which the speaker began. Its form is not published.
        pub time: Value,
        /// The words of the speaker.
        pub text: String,
    }
}

open_struct! {
    /// A tag that was put on a call or taken off: the data of `tag.added` and `tag.removed`.
    pub struct TagChange {
        /// The call.
        pub call_id: String,
        /// The tag. Its shape is not published.
        pub tag: Value,
    }
}

impl TagChange {
    fn sample() -> Self {
        Self { call_id: Some("cll_5f0c6a56".into()), tag: Some("support".into()), open: Map::new() }
    }
}

open_struct! {
    /// A text message: the data of `sms.received` and `sms.sent`.
    pub struct Sms {
        /// The message.
        pub id: String,
        /// The direction of the message.
        pub direction: Direction,
        /// The kind of the message, with or without media. In JSON it is `type`.
        pub message_type as "type": MessageType,
        /// The text of the message.
        pub content: String,
        /// The time at which it was sent.
        pub sent_at: OffsetDateTime,
        /// The number that wrote.
        pub from_number: String,
        /// The number that was written to.
        pub to_number: String,
        /// The name of the writer.
        pub from_name: String,
        /// The name of the other side.
        pub to_name: String,
        /// The mail address of the Allo user.
        pub user_email: String,
    }
}

impl Sms {
    fn sample() -> Self {
        Self {
            id: Some("msg_7c21".into()),
            direction: Some(Direction::Inbound),
            message_type: Some(MessageType::Sms),
            content: Some("Is Friday at nine still free?".into()),
            sent_at: Some(datetime!(2026-04-17 19:15:00 UTC)),
            from_number: Some(CALLER.into()),
            to_number: Some(OFFICE.into()),
            from_name: Some("Rosa Lind".into()),
            to_name: Some("Front desk".into()),
            user_email: Some(AGENT.into()),
            open: Map::new(),
        }
    }

    fn sent_sample() -> Self {
        Self {
            id: Some("msg_7c22".into()),
            direction: Some(Direction::Outbound),
            content: Some("It is yours now.".into()),
            sent_at: Some(datetime!(2026-04-17 19:16:00 UTC)),
            from_number: Some(OFFICE.into()),
            to_number: Some(CALLER.into()),
            from_name: Some("Front desk".into()),
            to_name: Some("Rosa Lind".into()),
            ..Self::sample()
        }
    }
}

open_enum! {
    /// The way in which a call ended.
    pub enum CallResult {
        /// Somebody answered.
        Answered = "ANSWERED",
        /// The caller left a voicemail.
        Voicemail = "VOICEMAIL",
        /// The call went to the voice agent.
        TransferredAi = "TRANSFERRED_AI",
        /// The call went to a number outside.
        TransferredExternal = "TRANSFERRED_EXTERNAL",
        /// The caller is blocked.
        Blocked = "BLOCKED",
        /// The call failed.
        Failed = "FAILED",
    }
}

text_kind!(CallResult, Direction, MessageType, Source);

const RECEIVED_CALL: DataSchema = DataSchema::object(&[
    Property::required("from_number", DataSchema::STRING),
    Property::required("to_number", DataSchema::STRING),
    Property::required("started_at", DataSchema::DATE_TIME),
    Property::required("user_email", DataSchema::STRING),
    Property::optional("person", CONTACT.nullable()),
    Property::optional("company", COMPANY.nullable()),
    Property::optional("deals", DataSchema::array(&DEAL).nullable()),
]);
const CALL: DataSchema = DataSchema::object(&[
    Property::optional("from_number", TEXT),
    Property::optional("to_number", TEXT),
    Property::optional("started_at", DataSchema::DATE_TIME.nullable()),
    Property::optional("user_email", TEXT),
    Property::optional("person", CONTACT.nullable()),
    Property::optional("company", COMPANY.nullable()),
    Property::optional("deals", DataSchema::array(&DEAL).nullable()),
]);
const CONTACT: DataSchema = DataSchema::object(&[
    Property::required("id", DataSchema::STRING),
    Property::optional("name", TEXT),
    Property::optional("last_name", TEXT),
    Property::optional("email", TEXT),
    Property::optional("emails", DataSchema::array(&DataSchema::STRING)),
    Property::optional("numbers", DataSchema::array(&DataSchema::STRING)),
    Property::optional("job_title", TEXT),
]);
const COMPANY: DataSchema =
    DataSchema::object(&[Property::required("id", DataSchema::STRING), Property::optional("name", TEXT)]);
const DEAL: DataSchema = DataSchema::object(&[
    Property::required("id", DataSchema::STRING),
    Property::optional("name", TEXT),
    Property::optional("status", TEXT),
    Property::optional("value", DataSchema::NUMBER.nullable()),
    Property::optional("currency", TEXT),
    Property::optional("close_date", TEXT),
]);
const COMPLETED_CALL: DataSchema = DataSchema::object(&[
    Property::required("id", DataSchema::STRING),
    Property::optional("start_date", DataSchema::DATE_TIME.nullable()),
    Property::optional("recording_url", TEXT),
    Property::optional("from_number", TEXT),
    Property::optional("from_name", TEXT),
    Property::optional("to", TEXT),
    Property::optional("to_name", TEXT),
    Property::optional("duration", DataSchema::NUMBER.nullable()),
    Property::optional("length_in_minutes", DataSchema::NUMBER.nullable()),
    Property::optional("length", TEXT),
    Property::optional("type", DIRECTION.nullable()),
    Property::optional("result", RESULT.nullable()),
    Property::optional("summary", TEXT),
    Property::optional("transcript", DataSchema::array(&TURN).nullable()),
    Property::optional("tags", DataSchema::array(&DataSchema::ANY).nullable()),
    Property::optional("user_email", TEXT),
]);
const TURN: DataSchema = DataSchema::object(&[
    Property::optional("source", DataSchema::one_of(&["AGENT", "USER"])),
    Property::optional("time", DataSchema::ANY),
    Property::optional("text", DataSchema::STRING),
]);
const TAG_CHANGE: DataSchema =
    DataSchema::object(&[Property::optional("call_id", TEXT), Property::optional("tag", DataSchema::ANY)]);
const SMS: DataSchema = DataSchema::object(&[
    Property::required("id", DataSchema::STRING),
    Property::optional("direction", DIRECTION.nullable()),
    Property::optional("type", DataSchema::one_of(&["SMS", "MMS"]).nullable()),
    Property::optional("content", TEXT),
    Property::optional("sent_at", DataSchema::DATE_TIME.nullable()),
    Property::optional("from_number", TEXT),
    Property::optional("to_number", TEXT),
    Property::optional("from_name", TEXT),
    Property::optional("to_name", TEXT),
    Property::optional("user_email", TEXT),
]);
const TEXT: DataSchema = DataSchema::STRING.nullable();
const DIRECTION: DataSchema = DataSchema::one_of(&["INBOUND", "OUTBOUND"]);
const RESULT: DataSchema = DataSchema::one_of(&[
    "ANSWERED",
    "VOICEMAIL",
    "TRANSFERRED_AI",
    "TRANSFERRED_EXTERNAL",
    "BLOCKED",
    "FAILED",
]);
const SUBSCRIPTION_FIELDS: &[SubscriptionField] =
    &[SubscriptionField::events("topics", "The topics that are sent.")];
const CALLER: &str = "+15550100142";
const OFFICE: &str = "+15550100100";
const AGENT: &str = "agent@example.com";

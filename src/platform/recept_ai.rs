//! ReceptAI, voice agents: sixteen events in four families.
//!
//! The platform publishes the subject of each family's data, but no field names. So each family has a struct
//! ([`CallData`], [`AgentData`], [`SystemData`], [`UserData`]) in which every field is optional, and the rest
//! of the JSON stands in `open`. The names of the fields, the family of each event and the samples are our
//! choice. A field whose JSON is of another kind than its type stays in `open`, so that no data is refused
//! for it. Events that are newer than this crate arrive as [`Event::Other`].
//!
//! ```
//! use hookwire::recept_ai::{CallData, Event, Family};
//!
//! let mut call = CallData::new();
//! call.id = Some("call_1".into());
//! call.duration = Some(143.into());
//! call.open.insert("language".into(), "en".into());
//! let event = Event::CallEnded(call);
//! assert_eq!(event.event_type(), "Call Ended");
//! assert_eq!(event.family(), Some(Family::Call));
//! ```

use serde_json::{Number, Value, json};

use crate::contract::{Contract, Rotation};
use crate::event::{DataSchema, EnvelopeFormat, Field, TimePrecision};
use crate::platform::open_struct::open_struct;
use crate::platform::schedule::{DAY, HOUR, seconds};
use crate::retry::RetryPolicy;
use crate::signature::Scheme;

impl Contract {
    /// ReceptAI: 8 attempts, exponential from 30 s by 2 up to 1 h, 2xx within 10 s.
    ///
    /// A subscription of ReceptAI chooses how its deliveries are authenticated; Standard Webhooks is our
    /// default. So are the numbers of the retries, and the day in which both secrets sign after a rotation.
    /// No rule that disables an endpoint is published, not even for `410`. You can set all of these.
    pub fn recept_ai() -> Self {
        let retry = RetryPolicy::exponential(seconds(30), 2.0)
            .with_max_delay(seconds(HOUR))
            .with_max_attempts(8)
            .build()
            .expect("invariant: these numbers make a policy");
        Self::preset("recept_ai", EnvelopeFormat::RECEPT_AI)
            .with_catalogue(Event::CATALOGUE)
            .with_scheme(Scheme::STANDARD_WEBHOOKS)
            .with_timeout(seconds(10))
            .with_retry(retry)
            .with_rotation(Rotation::Overlap(seconds(DAY)))
    }
}

impl EnvelopeFormat {
    /// ReceptAI's envelope: `{"event","timestamp","data"}`. The platform publishes no field names; these are
    /// our choice.
    pub const RECEPT_AI: Self = Self::new(&[
        Field::Type("event"),
        Field::CreatedAt("timestamp", TimePrecision::Milliseconds),
        Field::Data("data"),
    ]);
}

crate::catalogue! {
    /// Any event of ReceptAI. An event with a name that is newer than this crate is `Other`.
    pub enum Event {
        /// A call began.
        CallStarted(CallData) = "Call Started", sample: CallData::sample("in_progress"), schema: OPEN;
        /// A call ended.
        CallEnded(CallData) = "Call Ended", sample: CallData::sample("completed"), schema: OPEN;
        /// A call could not be made or broke off.
        CallFailed(CallData) = "Call Failed", sample: CallData::sample("failed"), schema: OPEN;
        /// A call waits for an agent.
        CallQueued(CallData) = "Call Queued", sample: CallData::sample("queued"), schema: OPEN;
        /// The transcript of a call can be read.
        TranscriptAvailable(CallData) = "Transcript Available", sample: CallData::sample_with("transcript_url", json!("https://calls.example.com/5f0c6a56/transcript")), schema: OPEN;
        /// The recording of a call can be fetched.
        RecordingReady(CallData) = "Recording Ready", sample: CallData::sample_with("recording_url", json!("https://calls.example.com/5f0c6a56/recording")), schema: OPEN;
        /// A call was rated.
        QualityScore(CallData) = "Quality Score", sample: CallData::sample_with("score", json!(0.92)), schema: OPEN;
        /// The cost of a call is known.
        CostCalculated(CallData) = "Cost Calculated", sample: CallData::sample("completed"), schema: OPEN;
        /// An agent's status changed.
        AgentStatusChange(AgentData) = "Agent Status Change", sample: AgentData::sample(), schema: OPEN;
        /// An agent's configuration changed.
        ConfigurationUpdate(AgentData) = "Configuration Update", sample: AgentData::sample(), schema: OPEN;
        /// The synchronization of an agent with its configuration succeeded or failed.
        SyncStatus(AgentData) = "Sync Status", sample: AgentData::sample(), schema: OPEN;
        /// An agent performs worse than it should.
        PerformanceAlerts(AgentData) = "Performance Alerts", sample: AgentData::sample(), schema: OPEN;
        /// A knowledge base changed.
        KnowledgeBaseUpdate(SystemData) = "Knowledge Base Update", sample: SystemData::sample(), schema: OPEN;
        /// A phone number was added, changed or removed.
        PhoneNumberChanges(SystemData) = "Phone Number Changes", sample: SystemData::sample(), schema: OPEN;
        /// A user of the account did something.
        UserActions(UserData) = "User Actions", sample: UserData::sample(), schema: OPEN;
        /// Maintenance is planned, begins or ends.
        SystemMaintenance(SystemData) = "System Maintenance", sample: SystemData::sample(), schema: OPEN;
    }
}

impl Event {
    /// The family of the event's data; `None` for an event that this crate does not know.
    pub fn family(&self) -> Option<Family> {
        match self {
            Self::CallStarted(_)
            | Self::CallEnded(_)
            | Self::CallFailed(_)
            | Self::CallQueued(_)
            | Self::TranscriptAvailable(_)
            | Self::RecordingReady(_)
            | Self::QualityScore(_)
            | Self::CostCalculated(_) => Some(Family::Call),
            Self::AgentStatusChange(_)
            | Self::ConfigurationUpdate(_)
            | Self::SyncStatus(_)
            | Self::PerformanceAlerts(_) => Some(Family::Agent),
            Self::KnowledgeBaseUpdate(_) | Self::PhoneNumberChanges(_) | Self::SystemMaintenance(_) => {
                Some(Family::System)
            }
            Self::UserActions(_) => Some(Family::User),
            Self::Other(_) => None,
        }
    }
}

/// Events with the same kind of data.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Family {
    /// About one call: [`CallData`].
    Call,
    /// About one voice agent: [`AgentData`].
    Agent,
    /// About the platform or the account's resources: [`SystemData`].
    System,
    /// About a user of the account: [`UserData`].
    User,
}

open_struct! {
    /// The data of an event about a call.
    pub struct CallData {
        /// The call.
        pub id: String,
        /// The length of the call. The unit is not published.
        pub duration: Number,
        /// The cost of the call. The currency is not published.
        pub cost: Number,
        /// The participants.
        pub participants: Vec<Value>,
        /// The status of the call.
        pub status: String,
    }
}

impl CallData {
    fn sample(status: &str) -> Self {
        Self {
            id: Some("call_5f0c6a56".into()),
            duration: Some(143.into()),
            cost: Number::from_f64(0.35),
            participants: Some(vec![json!("+15550100142"), json!("agent_12")]),
            status: Some(status.into()),
            open: serde_json::Map::new(),
        }
    }

    fn sample_with(name: &str, value: Value) -> Self {
        let mut call = Self::sample("completed");
        call.open.insert(name.into(), value);
        call
    }
}

open_struct! {
    /// The data of an event about a voice agent.
    pub struct AgentData {
        /// The agent.
        pub id: String,
        /// The changes. Their shape is not published.
        pub changes: Value,
        /// The status of the agent.
        pub status: String,
    }
}

impl AgentData {
    fn sample() -> Self {
        Self {
            id: Some("agent_12".into()),
            changes: Some(json!({"greeting": "Good morning"})),
            status: Some("active".into()),
            open: serde_json::Map::new(),
        }
    }
}

open_struct! {
    /// The data of an event about the platform or the account's resources.
    pub struct SystemData {
        /// The details. Their shape is not published.
        pub details: Value,
        /// The resources that are affected.
        pub affected_resources: Vec<Value>,
        /// The times. Their shape is not published.
        pub timestamps: Value,
    }
}

impl SystemData {
    fn sample() -> Self {
        Self {
            details: Some(json!("Planned work on the telephone lines.")),
            affected_resources: Some(vec![json!("+15550100100")]),
            timestamps: Some(json!({
                "ends_at": "2026-04-18T02:30:00Z",
                "starts_at": "2026-04-18T02:00:00Z",
            })),
            open: serde_json::Map::new(),
        }
    }
}

open_struct! {
    /// The data of an event about a user of the account.
    pub struct UserData {
        /// The user.
        pub id: String,
        /// The action of the user.
        pub action: String,
        /// The resource that the action changed. Its shape is not published.
        pub resource: Value,
    }
}

impl UserData {
    fn sample() -> Self {
        Self {
            id: Some("user_4".into()),
            action: Some("agent.updated".into()),
            resource: Some(json!("agent_12")),
            open: serde_json::Map::new(),
        }
    }
}
/// No field is published.
const OPEN: DataSchema = DataSchema::object(&[]);

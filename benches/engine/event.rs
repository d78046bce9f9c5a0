//! The event that all contestants send: 600 bytes of JSON, encoded anew for each event.

use hookwire::allison::{CallEnded, Direction, Disposition};
use hookwire::{Envelope, EventId};
use serde::Serialize;
use time::OffsetDateTime;

/// The event that our side emits.
pub(crate) fn envelope(number: u64) -> Envelope<CallEnded> {
    let mut call = CallEnded::new(CALL);
    call.location_id = Some(LOCATION.into());
    call.duration_seconds = Some(143);
    call.direction = Some(Direction::Inbound);
    call.disposition = Some(Disposition::Completed);
    call.from_number = Some(CALLER.into());
    call.summary = Some(SUMMARY.into());
    call.contact_id = Some(CONTACT.into());
    call.call_url = Some(URL.into());
    Envelope::from_parts(event_id(number), OffsetDateTime::now_utc(), call)
}

pub(crate) fn event_id(number: u64) -> EventId {
    format!("evt_{number:032x}").parse().expect("the id is one")
}

/// The same event, encoded by handwritten code.
pub(crate) fn body(number: u64) -> Vec<u8> {
    let by_hand = ByHand {
        id: format!("evt_{number:032x}"),
        r#type: "call.ended",
        created_at: OffsetDateTime::now_utc(),
        data: Call {
            call_id: CALL,
            location_id: LOCATION,
            duration_seconds: 143,
            direction: "inbound",
            from_number: CALLER,
            disposition: "completed",
            summary: SUMMARY,
            outcome_tags: [],
            contact_id: CONTACT,
            call_url: URL,
        },
    };
    serde_json::to_vec(&by_hand).expect("text and numbers are JSON")
}

#[derive(Serialize)]
struct ByHand {
    id: String,
    r#type: &'static str,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    data: Call,
}

#[derive(Serialize)]
struct Call {
    call_id: &'static str,
    location_id: &'static str,
    duration_seconds: u64,
    direction: &'static str,
    from_number: &'static str,
    disposition: &'static str,
    summary: &'static str,
    outcome_tags: [&'static str; 0],
    contact_id: &'static str,
    call_url: &'static str,
}

const CALL: &str = "5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11";
const LOCATION: &str = "0198c2f4-b7a9-7c1e-8f00-d1c2b3a49586";
const CALLER: &str = "+15551230042";
const CONTACT: &str = "0198c2f4-c001-7c1e-8f00-d1c2b3a49586";
const URL: &str = "https://app.allison.example/calls/5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11";
const SUMMARY: &str =
    "The caller moved the appointment to Friday at ten and asked for a confirmation by text message.";

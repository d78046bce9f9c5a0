//! Events of one subject, and the ids that tell them apart: no two events may be taken for copies of each
//! other, and a retry has to be.

use hookwire::Verified;
use hookwire::provider::Provider;
use hookwire::signature::Request;
use http::{HeaderMap, HeaderName, HeaderValue};
use time::OffsetDateTime;
use time::macros::datetime;

/// Two events of one call, message, payment or ticket.
const TWO: [(&str, &str, &str); 20] = [
    (
        "vapi",
        r#"{"message":{"type":"status-update","status":"ringing","timestamp":1700000000001,"call":{"id":"c"}}}"#,
        r#"{"message":{"type":"status-update","status":"ended","timestamp":1700000000002,"call":{"id":"c"}}}"#,
    ),
    (
        "retell",
        r#"{"event":"transcript_updated","call":{"call_id":"c","transcript":"a"}}"#,
        r#"{"event":"transcript_updated","call":{"call_id":"c","transcript":"ab"}}"#,
    ),
    ("bland", r#"{"call_id":"c","status":"started"}"#, r#"{"call_id":"c","status":"ended"}"#),
    (
        "cartesia",
        r#"{"type":"call_turn","request_id":"r","turn":{"text":"a"}}"#,
        r#"{"type":"call_turn","request_id":"r","turn":{"text":"b"}}"#,
    ),
    (
        "docusign",
        r#"{"event":"recipient-completed","generatedDateTime":"2022-09-12T18:51:08Z","data":{"envelopeId":"e"}}"#,
        r#"{"event":"recipient-completed","generatedDateTime":"2022-09-12T19:00:00Z","data":{"envelopeId":"e"}}"#,
    ),
    (
        "postmark",
        r#"{"RecordType":"Open","MessageID":"m","ReceivedAt":"2023-01-01T00:00:00Z"}"#,
        r#"{"RecordType":"Open","MessageID":"m","ReceivedAt":"2023-01-01T00:00:09Z"}"#,
    ),
    (
        "paystack",
        r#"{"event":"charge.dispute.remind","data":{"id":1,"due":"a"}}"#,
        r#"{"event":"charge.dispute.remind","data":{"id":1,"due":"b"}}"#,
    ),
    (
        "lemonsqueezy",
        r#"{"meta":{"event_name":"subscription_updated","webhook_id":"w"},"data":{"id":"1","n":1}}"#,
        r#"{"meta":{"event_name":"subscription_updated","webhook_id":"w"},"data":{"id":"1","n":2}}"#,
    ),
    ("vonage_jwt", r#"{"message_uuid":"m","status":"submitted"}"#, r#"{"message_uuid":"m","status":"read"}"#),
    (
        "vonage_jwt",
        r#"{"uuid":"u","status":"ringing","timestamp":"2023-01-01T00:00:00Z"}"#,
        r#"{"uuid":"u","status":"answered","timestamp":"2023-01-01T00:00:04Z"}"#,
    ),
    (
        "dialpad",
        r#"{"call_id":1,"state":"hold","event_timestamp":1}"#,
        r#"{"call_id":1,"state":"hold","event_timestamp":2}"#,
    ),
    ("twilio_form", "MessageSid=SM1&MessageStatus=queued", "MessageSid=SM1&MessageStatus=delivered"),
    ("twilio_form", "CallSid=CA1&CallStatus=ringing", "CallSid=CA1&CallStatus=completed"),
    ("plivo_v3", "CallUUID=1&Event=Redirect&Digits=1", "CallUUID=1&Event=Redirect&Digits=2"),
    ("plivo_v2", "CallUUID=1&Digits=1", "CallUUID=1&Digits=2"),
    (
        "sinch_voice",
        r#"{"event":"pie","callid":"c","timestamp":"2023-01-01T00:00:00Z"}"#,
        r#"{"event":"pie","callid":"c","timestamp":"2023-01-01T00:00:04Z"}"#,
    ),
    (
        "hubspot_v3",
        r#"[{"eventId":1,"subscriptionId":2,"occurredAt":1}]"#,
        r#"[{"eventId":1,"subscriptionId":3,"occurredAt":1}]"#,
    ),
    (
        "cloudflare_stream",
        r#"{"uid":"v","status":{"state":"queued"}}"#,
        r#"{"uid":"v","status":{"state":"ready"}}"#,
    ),
    ("netlify", r#"{"id":"d","state":"building"}"#, r#"{"id":"d","state":"ready"}"#),
    (
        "adyen_standard",
        r#"{"notificationItems":[{"NotificationRequestItem":{"pspReference":"p","eventCode":"AUTHORISATION","success":"false"}}]}"#,
        r#"{"notificationItems":[{"NotificationRequestItem":{"pspReference":"p","eventCode":"AUTHORISATION","success":"true"}}]}"#,
    ),
];

#[test]
fn two_events_of_one_subject_are_no_copies_of_each_other() {
    for (name, one, other) in TWO {
        let ids =
            [(one, NOW), (other, NOW + time::Duration::SECOND)].map(|(body, at)| key(name, body, &[], at));
        assert_ne!(ids[0], ids[1], "{name}: {one}");
    }
}

/// A retry comes later, with another time of its own.
#[test]
fn a_retry_is_a_copy_of_its_event() {
    for (name, one, _) in TWO {
        let ids = [NOW, NOW + time::Duration::HOUR].map(|at| key(name, one, &[], at));
        assert_eq!(ids[0], ids[1], "{name}: {one}");
    }
}

#[test]
fn the_ids_of_headers_are_those_that_a_retry_keeps() {
    let zendesk = |invocation| {
        key("zendesk", r#"{"id":"35436"}"#, &[("x-zendesk-webhook-invocation-id", invocation)], NOW)
    };
    assert_ne!(zendesk("a"), zendesk("b"), "a trigger writes the ticket's id");
    let shopify = |topic, delivery| {
        let headers =
            [("x-shopify-event-id", "e"), ("x-shopify-topic", topic), ("x-shopify-webhook-id", delivery)];
        key("shopify", "{}", &headers, NOW)
    };
    assert_ne!(shopify("orders/create", "1"), shopify("orders/paid", "2"), "one event under two topics");
    assert_eq!(shopify("orders/create", "1"), shopify("orders/create", "1"));
    let delivery =
        |id| key("box", r#"{"id":"0f8a","trigger":"FILE.UPLOADED"}"#, &[("box-delivery-id", id)], NOW);
    assert_eq!(delivery("1"), delivery("2"), "a retry has another id of delivery");
}

#[test]
fn braintree_names_the_kind_and_the_time_in_its_xml() {
    // <notification><timestamp type="datetime">2026-01-02T03:04:05Z</timestamp><kind>check</kind>..
    let payload = "PG5vdGlmaWNhdGlvbj48dGltZXN0YW1wIHR5cGU9ImRhdGV0aW1lIj4yMDI2LTAxLTAyVDAzOjA0OjA1WjwvdGltZXN0YW1wPjxraW5kPmNoZWNrPC9raW5kPjwvbm90aWZpY2F0aW9uPg%3D%3D%0A";
    let event = event("braintree", &format!("bt_signature=a&bt_payload={payload}"), &[], NOW);
    assert_eq!(event.event_type.as_str(), "check");
    assert_eq!(event.created_at, Some(datetime!(2026-01-02 03:04:05 UTC)));
}

#[test]
fn a_cloud_event_in_binary_mode_has_its_attributes_in_headers() {
    let headers = [("ce-id", "7"), ("ce-source", "/mine"), ("ce-type", "com.example.sent")];
    let event =
        event("cloudevents", r#"{"type":"of the data","id":"of the data","source":"x"}"#, &headers, NOW);
    assert_eq!((event.event_type.as_str(), event.id.as_str()), ("com.example.sent", "/mine.7"));
}

fn key(name: &str, body: &str, headers: &[(&'static str, &str)], at: OffsetDateTime) -> String {
    event(name, body, headers, at).key.as_str().to_owned()
}

fn event(
    name: &str,
    body: &str,
    headers: &[(&'static str, &str)],
    at: OffsetDateTime,
) -> hookwire::provider::ProviderEvent {
    let provider = Provider::by_name(name).unwrap();
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    if !body.starts_with(['{', '[']) {
        all.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    let token;
    let mut bytes = body.as_bytes();
    if name == "dialpad" {
        use base64::Engine as _;
        token = format!("e30.{}.e30", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(body));
        bytes = token.as_bytes();
    }
    let verified = Verified::dangerous_unsigned_at(&all, bytes, at);
    let mut events = provider.events(&Request::post(&all, bytes), &verified).unwrap();
    events.pop().unwrap()
}

const NOW: OffsetDateTime = datetime!(2026-11-30 10:20:00 UTC);

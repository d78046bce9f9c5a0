//! Providers that sign the time and the body, by HMAC.

use std::time::Duration;

use crate::provider::challenge::{Challenge, Echo, Mac, Reply, Value, When};
use crate::provider::definition::{BodyForm, Evidence, Provider};
use crate::provider::place::Place;
use crate::signature::{Column, ContentForm, Part, Scheme, TimeForm};

/// Stripe.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// While a secret is rotated, both sign for up to a day. Thin events have a reference in place of data.
///
/// Source: <https://docs.stripe.com/webhooks#verify-manually>. Proven by the provider's own code, and a
/// vector made from it.
pub static STRIPE: Provider = Provider::signed("stripe", Scheme::STRIPE)
    .with_title("Stripe")
    .with_id(&[Place::Field("/id")])
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/created"), TimeForm::Seconds)
    .with_data("/data")
    .with_notes("While a secret is rotated, both sign for up to a day. Thin events have a reference in place of data.")
    .with_source("https://docs.stripe.com/webhooks#verify-manually", Evidence::ProviderCode);

/// Slack.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Interactivity and slash commands come as forms.
///
/// Source: <https://docs.slack.dev/authentication/verifying-requests-from-slack>. Proven by the provider's
/// own code, and a vector made from it.
pub static SLACK: Provider = Provider::signed("slack", Scheme::SLACK)
    .with_title("Slack")
    .with_id(&[Place::Field("/event_id"), Place::Field("/trigger_id")])
    .with_type(&[Place::Field("/event/type"), Place::Field("/type"), Place::Field("/command")])
    .with_time(Place::Field("/event_time"), TimeForm::Seconds)
    .with_bodies(&[BodyForm::Json, BodyForm::Form])
    .with_json_in_form("payload")
    .with_challenges(&[Challenge::post(
        When::JsonIs("/type", "url_verification"),
        Echo::Json("/challenge"),
        Reply::Text,
    )
    .with_proof()])
    .with_notes("Interactivity and slash commands come as forms.")
    .with_source(
        "https://docs.slack.dev/authentication/verifying-requests-from-slack",
        Evidence::ProviderCode,
    );

/// Zoom.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// The endpoint is validated again every 72 hours.
///
/// Source: <https://developers.zoom.us/docs/api/webhooks/>. Proven by the provider's own code, and a
/// vector made from it.
pub static ZOOM: Provider = Provider::signed(
    "zoom",
    Scheme::new("zoom", "x-zm-signature")
        .with_timestamp_header("x-zm-request-timestamp")
        .with_prefix("v0=")
        .with_content(&[Part::Text("v0:"), Part::Timestamp, Part::Text(":"), Part::Body]),
)
.with_title("Zoom")
.with_type(&[Place::Field("/event")])
.with_time(Place::Field("/event_ts"), TimeForm::Milliseconds)
.with_data("/payload")
.with_challenges(&[Challenge::post(
    When::JsonIs("/event", "endpoint.url_validation"),
    Echo::Json("/payload/plainToken"),
    Reply::Json(&[("plainToken", Value::Echo), ("encryptedToken", Value::Mac)]),
)
.with_mac(Mac::Hex)
.with_proof()])
.with_notes("The endpoint is validated again every 72 hours.")
.with_source("https://developers.zoom.us/docs/api/webhooks/", Evidence::ProviderCode);

/// Paddle Billing.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Source: <https://developer.paddle.com/webhooks/signature-verification>. Proven by a vector that the
/// provider publishes.
pub static PADDLE: Provider =
    Provider::signed(
        "paddle",
        Scheme::new("paddle", "paddle-signature")
            .with_separated_fields(';', Some("ts"), "h1")
            .with_content(&[Part::Timestamp, Part::Text(":"), Part::Body]),
    )
    .with_title("Paddle Billing")
    .with_id(&[Place::Field("/event_id")])
    .with_type(&[Place::Field("/event_type")])
    .with_time(Place::Field("/occurred_at"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_source("https://developer.paddle.com/webhooks/signature-verification", Evidence::OfficialVector);

/// Calendly.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Source: <https://developer.calendly.com/api-docs/webhook-signatures>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static CALENDLY: Provider = Provider::signed(
    "calendly",
    Scheme::new("calendly", "calendly-webhook-signature").with_fields("t", "v1").with_content(&[
        Part::Timestamp,
        Part::Text("."),
        Part::Body,
    ]),
)
.with_title("Calendly")
.with_type(&[Place::Field("/event")])
.with_time(Place::Field("/created_at"), TimeForm::Rfc3339)
.with_data("/payload")
.with_source("https://developer.calendly.com/api-docs/webhook-signatures", Evidence::OtherLibrary);

/// ElevenLabs agents.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Its own library tolerates half an hour.
///
/// Source: <https://elevenlabs.io/docs/product-guides/administration/webhooks>. Proven by the provider's
/// own code, and a vector made from it.
pub static ELEVENLABS: Provider = Provider::signed(
    "elevenlabs",
    Scheme::new("elevenlabs", "elevenlabs-signature").with_fields("t", "v0").with_content(&[
        Part::Timestamp,
        Part::Text("."),
        Part::Body,
    ]),
)
.with_title("ElevenLabs agents")
.with_id(&[Place::Join(&[Place::Field("/type"), Place::Field("/data/conversation_id")])])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/event_timestamp"), TimeForm::Seconds)
.with_data("/data")
.with_tolerance(Duration::from_secs(1800))
.with_notes("Its own library tolerates half an hour.")
.with_source("https://elevenlabs.io/docs/product-guides/administration/webhooks", Evidence::ProviderCode);

/// Cloudflare Stream.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Source: <https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/>. Proven by the
/// provider's documentation, and a vector made from it.
pub static CLOUDFLARE_STREAM: Provider = Provider::signed(
    "cloudflare_stream",
    Scheme::new("cloudflare_stream", "webhook-signature").with_fields("time", "sig1").with_content(&[
        Part::Timestamp,
        Part::Text("."),
        Part::Body,
    ]),
)
.with_title("Cloudflare Stream")
.with_id(&[Place::Join(&[Place::Field("/uid"), Place::Field("/status/state")])])
.with_type(&[Place::Field("/status/state")])
.with_source(
    "https://developers.cloudflare.com/stream/manage-video-library/using-webhooks/",
    Evidence::Documentation,
);

/// WorkOS.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Source: <https://workos.com/docs/events/data-syncing/webhooks>. Proven by the provider's own code, and
/// a vector made from it.
pub static WORKOS: Provider = Provider::signed(
    "workos",
    Scheme::new("workos", "workos-signature")
        .with_fields("t", "v1")
        .with_time_form(TimeForm::Milliseconds)
        .with_content(&[Part::Timestamp, Part::Text("."), Part::Body]),
)
.with_title("WorkOS")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/event")])
.with_time(Place::Field("/created_at"), TimeForm::Rfc3339)
.with_data("/data")
.with_tolerance(Duration::from_secs(180))
.with_source("https://workos.com/docs/events/data-syncing/webhooks", Evidence::ProviderCode);

/// Webflow.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Source: <https://developers.webflow.com/data/docs/working-with-webhooks>. Proven by another library
/// that receives it, and a vector made from its rule.
pub static WEBFLOW: Provider = Provider::signed(
    "webflow",
    Scheme::new("webflow", "x-webflow-signature")
        .with_timestamp_header("x-webflow-timestamp")
        .with_time_form(TimeForm::Milliseconds)
        .with_content(&[Part::Timestamp, Part::Text(":"), Part::Body]),
)
.with_title("Webflow")
.with_type(&[Place::Field("/triggerType")])
.with_data("/payload")
.with_source("https://developers.webflow.com/data/docs/working-with-webhooks", Evidence::OtherLibrary);

/// Quo (OpenPhone), legacy.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Source: <https://www.quo.com/docs/webhooks/legacy-signature-validation>. Proven by the provider's
/// documentation, and a vector made from it.
pub static QUO_LEGACY: Provider = Provider::signed(
    "quo_legacy",
    Scheme::new("quo_legacy", "openphone-signature")
        .with_columns(
            None,
            ';',
            &[Column::Text("hmac"), Column::Text("1"), Column::Timestamp, Column::Signature],
        )
        .with_base64_signature()
        .with_base64_key()
        .with_time_form(TimeForm::Milliseconds)
        .with_content(&[Part::Timestamp, Part::Text("."), Part::Body]),
)
.with_title("Quo (OpenPhone), legacy")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/createdAt"), TimeForm::Rfc3339)
.with_data("/data")
.with_source("https://www.quo.com/docs/webhooks/legacy-signature-validation", Evidence::Documentation);

/// Retell AI.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// The key is the API key that is marked for webhooks. A call sends some events more than once, so that the
/// body itself tells copies apart.
///
/// Source: <https://docs.retellai.com/features/secure-webhook>. Proven by the provider's own code, and a
/// vector made from it.
pub static RETELL: Provider = Provider::signed(
    "retell",
    Scheme::new("retell", "x-retell-signature")
        .with_separated_fields(',', Some("v"), "d")
        .with_time_form(TimeForm::Milliseconds)
        .with_content(&[Part::Body, Part::Timestamp]),
)
.with_title("Retell AI")
.with_type(&[Place::Field("/event")])
.with_data("/call")
.with_notes("The key is the API key that is marked for webhooks.")
.with_source("https://docs.retellai.com/features/secure-webhook", Evidence::ProviderCode);

/// Zendesk.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// The body of a trigger is written by the account, so its id may be that of a ticket. The id of the event is
/// that of the invocation, in a header.
///
/// Source: <https://developer.zendesk.com/documentation/webhooks/verifying/>. Proven by the provider's
/// documentation, and a vector made from it.
pub static ZENDESK: Provider = Provider::signed(
    "zendesk",
    Scheme::new("zendesk", "x-zendesk-webhook-signature")
        .with_timestamp_header("x-zendesk-webhook-signature-timestamp")
        .with_base64_signature()
        .with_time_form(TimeForm::Rfc3339)
        .with_content(&[Part::Timestamp, Part::Body]),
)
.with_title("Zendesk")
.with_id(&[Place::Header("x-zendesk-webhook-invocation-id"), Place::Field("/id")])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/time"), TimeForm::Rfc3339)
.with_notes("The body of a trigger is written by the account.")
.with_source("https://developer.zendesk.com/documentation/webhooks/verifying/", Evidence::Documentation);

/// Twitch EventSub.
///
/// The proof covers the id, the time and the body. It does not cover the kind and the type of the message,
/// which are in headers.
///
/// An id with a colon is refused, because nothing parts the id from the time.
///
/// Source: <https://dev.twitch.tv/docs/eventsub/handling-webhook-events/>. Proven by the provider's
/// documentation, and a vector made from it.
pub static TWITCH: Provider = Provider::signed(
    "twitch",
    Scheme::new("twitch", "twitch-eventsub-message-signature")
        .with_id_header("twitch-eventsub-message-id")
        .with_timestamp_header("twitch-eventsub-message-timestamp")
        .with_prefix("sha256=")
        .with_time_form(TimeForm::Rfc3339)
        .with_content(&[Part::Id, Part::Timestamp, Part::Body]),
)
.with_title("Twitch EventSub")
.with_type(&[Place::Header("twitch-eventsub-subscription-type"), Place::Field("/subscription/type")])
.with_data("/event")
.with_tolerance(Duration::from_secs(600))
.with_challenges(&[Challenge::post(
    When::HeaderIs("twitch-eventsub-message-type", "webhook_callback_verification"),
    Echo::Json("/challenge"),
    Reply::Text,
)
.with_proof()])
.with_notes("An id with a colon is refused, because nothing parts the id from the time.")
.with_source("https://dev.twitch.tv/docs/eventsub/handling-webhook-events/", Evidence::Documentation);

/// Box.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// Two keys sign, so that one can be replaced at a time: give both. Box's libraries also take a signature
/// over the body with `\uXXXX` in place of characters beyond ASCII, and so does this. The id is that in the
/// body, because a retry has another `BOX-DELIVERY-ID`.
///
/// Source: <https://developer.box.com/guides/webhooks/v2/signatures-v2/>. Proven by a vector that the
/// provider publishes.
pub static BOX: Provider = Provider::signed(
    "box",
    Scheme::new("box", "box-signature-primary")
        .with_more_signature_headers(&["box-signature-secondary"])
        .with_timestamp_header("box-delivery-timestamp")
        .with_base64_signature()
        .with_time_form(TimeForm::Rfc3339)
        .with_content_form(ContentForm::EscapedBody)
        .with_content(&[Part::Body, Part::Timestamp]),
)
.with_title("Box")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/trigger")])
.with_time(Place::Field("/created_at"), TimeForm::Rfc3339)
.with_tolerance(Duration::from_secs(600))
.with_notes("Two keys sign, so that one can be replaced at a time: give both.")
.with_source("https://developer.box.com/guides/webhooks/v2/signatures-v2/", Evidence::OfficialVector);

/// The presets of this file.
pub(super) static ALL: &[&Provider] = &[
    &STRIPE,
    &SLACK,
    &ZOOM,
    &PADDLE,
    &CALENDLY,
    &ELEVENLABS,
    &CLOUDFLARE_STREAM,
    &WORKOS,
    &WEBFLOW,
    &QUO_LEGACY,
    &RETELL,
    &ZENDESK,
    &TWITCH,
    &BOX,
];

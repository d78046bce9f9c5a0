//! Providers that sign the URL, forms or single fields, by HMAC.

use crate::provider::challenge::{Challenge, Echo, Mac, Reply, When};
use crate::provider::definition::{BodyForm, Evidence, Provider};
use crate::provider::place::Place;
use crate::signature::{Algorithm, Column, ContentForm, Part, Scheme, TimeForm, UrlForm};

/// Square.
///
/// The proof covers the URL and the body. It covers no time: the age of a request cannot be checked, so
/// remember which events you handled.
///
/// Source: <https://developer.squareup.com/docs/webhooks/step3validate>. Proven by a vector that the
/// provider publishes.
pub static SQUARE: Provider = Provider::signed(
    "square",
    Scheme::new("square", "x-square-hmacsha256-signature")
        .with_base64_signature()
        .with_content(&[Part::Url, Part::Body]),
)
.with_title("Square")
.with_id(&[Place::Field("/event_id")])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/created_at"), TimeForm::Rfc3339)
.with_data("/data")
.with_source("https://developer.squareup.com/docs/webhooks/step3validate", Evidence::OfficialVector);

/// Trello.
///
/// The proof covers the body and the callback URL. It covers no time: the age of a request cannot be checked,
/// so remember which events you handled.
///
/// Source: <https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/>. Proven by another
/// library that receives it, and a vector made from its rule.
pub static TRELLO: Provider = Provider::signed(
    "trello",
    Scheme::new("trello", "x-trello-webhook")
        .with_algorithm(Algorithm::HmacSha1)
        .with_base64_signature()
        .with_content(&[Part::Body, Part::Url]),
)
.with_title("Trello")
.with_id(&[Place::Field("/action/id")])
.with_type(&[Place::Field("/action/type")])
.with_time(Place::Field("/action/date"), TimeForm::Rfc3339)
.with_data("/action")
.with_challenges(&[Challenge::head()])
.with_source(
    "https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/",
    Evidence::OtherLibrary,
);

/// HubSpot (version 3).
///
/// The proof covers the method, the URL, the body and the time. An id outside the body proves nothing.
///
/// Versions 1 and 2 sign without HMAC and are not supported: the same requests carry version 3.
///
/// Source: <https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests>.
/// Proven by the provider's own code, and a vector made from it.
pub static HUBSPOT_V3: Provider = Provider::signed(
    "hubspot_v3",
    Scheme::new("hubspot_v3", "x-hubspot-signature-v3")
        .with_timestamp_header("x-hubspot-request-timestamp")
        .with_base64_signature()
        .with_time_form(TimeForm::Milliseconds)
        .with_url_form(UrlForm::Unescaped)
        .with_content(&[Part::Method, Part::Url, Part::Body, Part::Timestamp]),
)
.with_title("HubSpot (version 3)")
.with_id(&[
    // HubSpot does not promise that the id of an event is unique.
    Place::Join(&[Place::Field("/subscriptionId"), Place::Field("/eventId"), Place::Field("/occurredAt")]),
    Place::Field("/eventId"),
])
.with_type(&[Place::Field("/subscriptionType")])
.with_time(Place::Field("/occurredAt"), TimeForm::Milliseconds)
.with_events("")
.with_notes("Versions 1 and 2 sign without HMAC and are not supported: the same requests carry version 3.")
.with_source(
    "https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests",
    Evidence::ProviderCode,
);

/// Twilio (forms).
///
/// The proof covers the URL with its query, and the form's names and values, sorted. It does not cover the
/// borders between names and values, which run together; nor does it cover a time: the age of a request
/// cannot be checked, so remember which events you handled.
///
/// Port 443 may be signed or not. The answer to a call is TwiML of your own. Requests under a webhooks rule
/// with a shared key are those of [`TWILIO_FORM_SHA256`].
///
/// Source: <https://www.twilio.com/docs/usage/webhooks/webhooks-security>. Proven by a vector that the
/// provider publishes.
pub static TWILIO_FORM: Provider = Provider::signed(
    "twilio_form",
    Scheme::new("twilio_form", "x-twilio-signature")
        .with_algorithm(Algorithm::HmacSha1)
        .with_base64_signature()
        .with_url_form(UrlForm::AnyPort)
        .with_content(&[Part::Url, Part::SortedForm]),
)
.with_title("Twilio (forms)")
.with_id(&[Place::Header("i-twilio-idempotency-token")])
.with_type(&[Place::Field("/CallStatus"), Place::Field("/MessageStatus"), Place::Field("/SmsStatus")])
.with_bodies(&[BodyForm::Form])
.with_notes("Port 443 may be signed or not. The answer to a call is TwiML of your own.")
.with_source("https://www.twilio.com/docs/usage/webhooks/webhooks-security", Evidence::OfficialVector);

/// Twilio (forms), HMAC-SHA256.
///
/// As [`TWILIO_FORM`], by the shared key of a webhooks rule: the requests have the header
/// `X-Twilio-Webhooks-Signature-Settings` with `algorithm=HMAC_SHA256`.
///
/// Source: <https://www.twilio.com/docs/usage/webhooks/webhook-rules>. Proven by the provider's own code.
pub static TWILIO_FORM_SHA256: Provider = Provider::signed(
    "twilio_form_sha256",
    Scheme::new("twilio_form_sha256", "x-twilio-signature")
        .with_base64_signature()
        .with_url_form(UrlForm::AnyPort)
        .with_content(&[Part::Url, Part::SortedForm]),
)
.with_title("Twilio (forms), HMAC-SHA256")
.with_id(&[Place::Header("i-twilio-idempotency-token")])
.with_type(&[Place::Field("/CallStatus"), Place::Field("/MessageStatus"), Place::Field("/SmsStatus")])
.with_bodies(&[BodyForm::Form])
.with_notes("The key is the shared key of the webhooks rule.")
.with_source("https://www.twilio.com/docs/usage/webhooks/webhook-rules", Evidence::ProviderCode);

/// Twilio (JSON), HMAC-SHA256.
///
/// As [`TWILIO_JSON`], by the shared key of a webhooks rule: the requests have the header
/// `X-Twilio-Webhooks-Signature-Settings` with `algorithm=HMAC_SHA256`.
///
/// Source: <https://www.twilio.com/docs/usage/webhooks/webhook-rules>. Proven by the provider's own code.
pub static TWILIO_JSON_SHA256: Provider = Provider::signed(
    "twilio_json_sha256",
    Scheme::new("twilio_json_sha256", "x-twilio-signature")
        .with_base64_signature()
        .with_url_form(UrlForm::AnyPort)
        .with_content(&[Part::Url])
        .with_body_digest_in_query("bodySHA256"),
)
.with_title("Twilio (JSON), HMAC-SHA256")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/time"), TimeForm::Rfc3339)
.with_notes("The key is the shared key of the webhooks rule.")
.with_source("https://www.twilio.com/docs/usage/webhooks/webhook-rules", Evidence::ProviderCode);

/// Twilio (JSON).
///
/// The proof covers the URL, whose query has the body's SHA-256. It covers no time: the age of a request
/// cannot be checked, so remember which events you handled.
///
/// Source: <https://www.twilio.com/docs/usage/webhooks/webhooks-security>. Proven by a vector that the
/// provider publishes.
pub static TWILIO_JSON: Provider = Provider::signed(
    "twilio_json",
    Scheme::new("twilio_json", "x-twilio-signature")
        .with_algorithm(Algorithm::HmacSha1)
        .with_base64_signature()
        .with_url_form(UrlForm::AnyPort)
        .with_content(&[Part::Url])
        .with_body_digest_in_query("bodySHA256"),
)
.with_title("Twilio (JSON)")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/time"), TimeForm::Rfc3339)
.with_source("https://www.twilio.com/docs/usage/webhooks/webhooks-security", Evidence::OfficialVector);

/// Plivo (version 2).
///
/// The proof covers the URL without its query, and a nonce. It does not cover **the body**: whoever sees
/// one request can send any other; prefer version 3.
///
/// The token of the sub-account signs, and that of the main account beside it (`X-Plivo-Signature-Ma-V2`).
///
/// Source: <https://www.plivo.com/docs/voice/concepts/signature-validation>. Proven by a vector that the
/// provider publishes.
pub static PLIVO_V2: Provider = Provider::signed(
    "plivo_v2",
    Scheme::new("plivo_v2", "x-plivo-signature-v2")
        .with_more_signature_headers(&["x-plivo-signature-ma-v2"])
        .with_base64_signature()
        .with_content(&[Part::UrlWithoutQuery, Part::Header("x-plivo-signature-v2-nonce")]),
)
.with_title("Plivo (version 2)")
.with_type(&[Place::Field("/Event")])
.with_bodies(&[BodyForm::Form, BodyForm::Json])
.with_source("https://www.plivo.com/docs/voice/concepts/signature-validation", Evidence::OfficialVector);

/// Plivo (version 3).
///
/// The proof covers the URL, the form's names and values, sorted, and a nonce. It does not cover the borders
/// between names and values, which run together; nor does it cover a time: the age of a request cannot be
/// checked, so remember which events you handled.
///
/// The token of the sub-account signs, and that of the main account beside it (`X-Plivo-Signature-Ma-V3`).
///
/// Source: <https://www.plivo.com/docs/voice/concepts/signature-validation>. Proven by the provider's own
/// code, and a vector made from it.
pub static PLIVO_V3: Provider = Provider::signed(
    "plivo_v3",
    Scheme::new("plivo_v3", "x-plivo-signature-v3")
        .with_more_signature_headers(&["x-plivo-signature-ma-v3"])
        .with_tags(',', "")
        .with_base64_signature()
        .with_content(&[
            Part::UrlWithoutQuery,
            Part::SortedQuery,
            Part::SortedForm,
            Part::Text("."),
            Part::Header("x-plivo-signature-v3-nonce"),
        ]),
)
.with_title("Plivo (version 3)")
.with_type(&[Place::Field("/Event")])
.with_bodies(&[BodyForm::Form])
.with_notes("The tokens of the main and of the sub-account sign.")
.with_source("https://www.plivo.com/docs/voice/concepts/signature-validation", Evidence::ProviderCode);

/// Sinch Voice.
///
/// The proof covers the method, the body's MD5, the content type, the time and the path. It does not cover
/// the host; and MD5 has collisions, so a sender that can choose bodies can make two that are signed
/// alike.
///
/// Source: <https://developers.sinch.com/docs/voice/api-reference/authentication/callback-signed-request>.
/// Proven by the provider's documentation, and a vector made from it.
pub static SINCH_VOICE: Provider = Provider::signed(
    "sinch_voice",
    Scheme::new("sinch_voice", "authorization")
        .with_columns(None, ':', &[Column::Any, Column::Signature])
        .with_timestamp_header("x-timestamp")
        .with_time_form(TimeForm::Rfc3339)
        .with_base64_signature()
        .with_base64_key()
        .with_content(&[
            Part::Method,
            Part::Text("\n"),
            Part::BodyMd5,
            Part::Text("\n"),
            Part::Header("content-type"),
            Part::Text("\nx-timestamp:"),
            Part::Timestamp,
            Part::Text("\n"),
            Part::Path,
        ]),
)
.with_title("Sinch Voice")
.with_id(&[Place::Join(&[Place::Field("/callid"), Place::Field("/event"), Place::Field("/timestamp")])])
.with_type(&[Place::Field("/event")])
.with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
.with_source(
    "https://developers.sinch.com/docs/voice/api-reference/authentication/callback-signed-request",
    Evidence::Documentation,
);

/// Mailgun.
///
/// The proof covers the time and a random token. It does not cover **the event**: whoever sees one request
/// can send another event with its token within the tolerance, so remember tokens and keep the URL secret.
///
/// Source: <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>. Proven
/// by the provider's documentation, and a vector made from it.
pub static MAILGUN: Provider = Provider::signed(
    "mailgun",
    Scheme::in_json("mailgun", "/signature/signature")
        .with_json_timestamp("/signature/timestamp")
        .with_content(&[Part::Timestamp, Part::AnyJson("/signature/token")]),
)
.with_title("Mailgun")
.with_id(&[Place::Field("/event-data/id"), Place::Field("/signature/token")])
.with_type(&[Place::Field("/event-data/event")])
.with_time(Place::Field("/event-data/timestamp"), TimeForm::Seconds)
.with_data("/event-data")
.with_source(
    "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
    Evidence::Documentation,
);

/// Adyen (standard notifications).
///
/// The proof covers eight fields of each item: the references, the account, the amount, the event code and
/// the success. It does not cover every other field, nor a time: the age of a request cannot be checked, so
/// remember which events you handled.
///
/// The key is hex. Only the merchant reference may hold a colon.
///
/// Source: <https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/>. Proven by the
/// provider's own code.
pub static ADYEN_STANDARD: Provider = Provider::signed(
    "adyen_standard",
    Scheme::in_json("adyen_standard", "/NotificationRequestItem/additionalData/hmacSignature")
        .with_each("/notificationItems")
        .with_base64_signature()
        .with_hex_key()
        .with_content(&[
            Part::Json("/NotificationRequestItem/pspReference"),
            Part::Text(":"),
            Part::Json("/NotificationRequestItem/originalReference"),
            Part::Text(":"),
            Part::Json("/NotificationRequestItem/merchantAccountCode"),
            Part::Text(":"),
            Part::AnyJson("/NotificationRequestItem/merchantReference"),
            Part::Text(":"),
            Part::Json("/NotificationRequestItem/amount/value"),
            Part::Text(":"),
            Part::Json("/NotificationRequestItem/amount/currency"),
            Part::Text(":"),
            Part::Json("/NotificationRequestItem/eventCode"),
            Part::Text(":"),
            Part::Json("/NotificationRequestItem/success"),
        ]),
)
.with_title("Adyen (standard notifications)")
.with_id(&[Place::Join(&[
    Place::Field("/NotificationRequestItem/pspReference"),
    Place::Field("/NotificationRequestItem/eventCode"),
    Place::Field("/NotificationRequestItem/success"),
])])
.with_type(&[Place::Field("/NotificationRequestItem/eventCode")])
.with_time(Place::Field("/NotificationRequestItem/eventDate"), TimeForm::Rfc3339)
.with_data("/NotificationRequestItem")
.with_events("/notificationItems")
.with_answer("text/plain", "[accepted]")
.with_notes("The key is hex. Only the merchant reference may hold a colon.")
.with_source(
    "https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/",
    Evidence::ProviderCode,
);

/// Braintree.
///
/// The proof covers the payload, which is XML in base64. It covers no time: the age of a request cannot be
/// checked, so remember which events you handled.
///
/// The secret is the private key; `Keys::with_key_id` sets the public key, which the challenge repeats.
///
/// Source: <https://developer.paypal.com/braintree/docs/guides/webhooks/parse>. Proven by the provider's
/// own code, and a vector made from it.
pub static BRAINTREE: Provider = Provider::signed(
    "braintree",
    Scheme::in_form("braintree", "bt_signature")
        .with_columns(Some('&'), '|', &[Column::Any, Column::Signature])
        .with_algorithm(Algorithm::HmacSha1)
        .with_sha1_key()
        .with_content_form(ContentForm::FinalLineFeed)
        .with_content(&[Part::Form("bt_payload")]),
)
.with_title("Braintree")
.with_bodies(&[BodyForm::Form])
.with_type(&[Place::Xml("/bt_payload", "kind"), Place::Fixed("notification")])
.with_time(Place::Xml("/bt_payload", "timestamp"), TimeForm::Rfc3339)
.with_challenges(&[Challenge::get(When::Query("bt_challenge"), Echo::Query("bt_challenge"), Reply::Text)
    .with_mac(Mac::NamedSha1)])
.with_notes(
    "The secret is the private key; Keys::with_key_id sets the public key, which the challenge repeats.",
)
.with_source("https://developer.paypal.com/braintree/docs/guides/webhooks/parse", Evidence::ProviderCode);

/// The presets of this file.
pub(super) static ALL: &[&Provider] = &[
    &SQUARE,
    &TRELLO,
    &HUBSPOT_V3,
    &TWILIO_FORM,
    &TWILIO_JSON,
    &TWILIO_FORM_SHA256,
    &TWILIO_JSON_SHA256,
    &PLIVO_V2,
    &PLIVO_V3,
    &SINCH_VOICE,
    &MAILGUN,
    &ADYEN_STANDARD,
    &BRAINTREE,
];

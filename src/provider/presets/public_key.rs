//! Providers that sign with a private key.

use crate::provider::authentication::{Authentication, HttpSignatureRule, SnsVersion};
use crate::provider::challenge::{Challenge, Echo, Reply, Value, When};
use crate::provider::definition::{BodyForm, Evidence, Provider};
use crate::provider::place::Place;
use crate::signature::{Algorithm, Part, Scheme, TimeForm};

/// Discord interactions.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// The key is the application's public key, in hex. Probes with wrong signatures want a 401. An
/// interaction wants an answer of your own within 3 s.
///
/// Source: <https://discord.com/developers/docs/interactions/overview>. Proven by the provider's own code,
/// and a vector made from it.
pub static DISCORD_INTERACTIONS: Provider = Provider::signed("discord_interactions", DISCORD_SCHEME.with_name("discord_interactions"))
    .with_title("Discord interactions")
    .with_id(&[Place::Field("/id")])
    .with_type(&[Place::Field("/data/name"), Place::Field("/type")])
    .with_challenges(&[Challenge::post(When::JsonNumber("/type", 1), Echo::Nothing, Reply::Json(&[("type", Value::Number(1))])).with_proof()])
    .with_notes("The key is the application's public key, in hex. Probes with wrong signatures want a 401. An interaction wants an answer of your own within 3 s.")
    .with_source("https://discord.com/developers/docs/interactions/overview", Evidence::ProviderCode);

/// Discord webhook events.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// The key is the application's public key, in hex.
///
/// Source: <https://discord.com/developers/docs/events/webhook-events>. Proven by the provider's own code,
/// and a vector made from it.
pub static DISCORD_EVENTS: Provider =
    Provider::signed("discord_events", DISCORD_SCHEME.with_name("discord_events"))
        .with_title("Discord webhook events")
        .with_type(&[Place::Field("/event/type")])
        .with_time(Place::Field("/event/timestamp"), TimeForm::Rfc3339)
        .with_data("/event/data")
        .with_challenges(&[Challenge::post(When::JsonNumber("/type", 0), Echo::Nothing, Reply::Empty)
            .with_status(204)
            .with_proof()])
        .with_notes("The key is the application's public key, in hex.")
        .with_source("https://discord.com/developers/docs/events/webhook-events", Evidence::ProviderCode);

/// Telnyx.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// The key is the public key of the portal, in base64.
///
/// Source: <https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks>. Proven by the
/// provider's own code, and a vector made from it.
pub static TELNYX: Provider = Provider::signed(
    "telnyx",
    Scheme::new("telnyx", "telnyx-signature-ed25519")
        .with_timestamp_header("telnyx-timestamp")
        .with_algorithm(Algorithm::Ed25519)
        .with_base64_signature()
        .with_content(&[Part::Timestamp, Part::Text("|"), Part::Body]),
)
.with_title("Telnyx")
.with_id(&[Place::Field("/data/id")])
.with_type(&[Place::Field("/data/event_type")])
.with_time(Place::Field("/data/occurred_at"), TimeForm::Rfc3339)
.with_data("/data/payload")
.with_notes("The key is the public key of the portal, in base64.")
.with_source(
    "https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks",
    Evidence::ProviderCode,
);

/// SendGrid Event Webhook.
///
/// The proof covers the time and the body. An id outside the body proves nothing.
///
/// The body ends with CRLF, which belongs to it.
///
/// Source:
/// <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>.
/// Proven by a vector that the provider publishes.
pub static SENDGRID: Provider = Provider::signed("sendgrid", Scheme::new("sendgrid", "x-twilio-email-event-webhook-signature").with_timestamp_header("x-twilio-email-event-webhook-timestamp").with_algorithm(Algorithm::EcdsaP256).with_base64_signature().with_content(&[Part::Timestamp, Part::Body]))
    .with_title("SendGrid Event Webhook")
    .with_id(&[Place::Field("/sg_event_id")])
    .with_type(&[Place::Field("/event")])
    .with_time(Place::Field("/timestamp"), TimeForm::Seconds)
    .with_events("")
    .with_notes("The body ends with CRLF, which belongs to it.")
    .with_source("https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features", Evidence::OfficialVector);

/// Amazon SNS (signature version 1).
///
/// The proof covers the message, its id, subject, time, topic and type, by RSA-SHA1. It does not cover
/// message attributes.
///
/// The key source gives the certificate of `SigningCertURL`, whose host the rule checks. A
/// `SubscriptionConfirmation` is an event: fetch its `SubscribeURL` to confirm.
///
/// Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>. Proven by the
/// provider's own code, and a vector made from it.
pub static AWS_SNS_V1: Provider = Provider::new("aws_sns_v1", Authentication::Sns(SnsVersion::V1))
    .with_title("Amazon SNS (signature version 1)")
    .with_id(&[Place::Field("/MessageId")])
    .with_type(&[Place::Field("/Type")])
    .with_time(Place::Field("/Timestamp"), TimeForm::Rfc3339)
    .with_bodies(&[BodyForm::Json, BodyForm::JsonAsText])
    .with_notes("The key source gives the certificate of SigningCertURL, whose host the rule checks. A SubscriptionConfirmation is an event: fetch its SubscribeURL to confirm.")
    .with_source("https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html", Evidence::ProviderCode);

/// Amazon SNS (signature version 2).
///
/// The proof covers the message, its id, subject, time, topic and type, by RSA-SHA256. It does not cover
/// message attributes.
///
/// The key source gives the certificate of `SigningCertURL`, whose host the rule checks. A
/// `SubscriptionConfirmation` is an event: fetch its `SubscribeURL` to confirm.
///
/// Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>. Proven by the
/// provider's own code, and a vector made from it.
pub static AWS_SNS_V2: Provider = Provider::new("aws_sns_v2", Authentication::Sns(SnsVersion::V2))
    .with_title("Amazon SNS (signature version 2)")
    .with_id(&[Place::Field("/MessageId")])
    .with_type(&[Place::Field("/Type")])
    .with_time(Place::Field("/Timestamp"), TimeForm::Rfc3339)
    .with_bodies(&[BodyForm::Json, BodyForm::JsonAsText])
    .with_notes("The key source gives the certificate of SigningCertURL, whose host the rule checks. A SubscriptionConfirmation is an event: fetch its SubscribeURL to confirm.")
    .with_source("https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html", Evidence::ProviderCode);

/// PayPal.
///
/// The proof covers the id and the time of the transmission, the id of the webhook, and the CRC-32 of the
/// body. It does not cover **the body**, strictly: anybody can make another body with the same CRC-32, so
/// whoever sees a request can send other events with its headers within the tolerance. Ask the API where an
/// event is worth money.
///
/// `Keys::with_key_id` sets the id of the webhook. The key source gives the certificate of
/// `PAYPAL-CERT-URL`, whose host the rule checks; check its chain there, or fetch it over TLS from PayPal.
///
/// Source: <https://developer.paypal.com/api/rest/webhooks/rest/>. Proven by the provider's documentation.
pub static PAYPAL: Provider = Provider::new("paypal", Authentication::PayPal)
    .with_title("PayPal")
    .with_id(&[Place::Field("/id")])
    .with_type(&[Place::Field("/event_type")])
    .with_time(Place::Field("/create_time"), TimeForm::Rfc3339)
    .with_data("/resource")
    .with_notes("The key id is the id of the webhook; the key source gives the certificate of PAYPAL-CERT-URL. The body is covered by a CRC-32 only.")
    .with_source("https://developer.paypal.com/api/rest/webhooks/rest/", Evidence::Documentation);

/// HTTP message signatures (RFC 9421), shared secret.
///
/// The proof covers the components that each signature lists. It covers nothing else: demand what you need
/// with `HttpSignatureRule::with_required`.
///
/// A `Content-Digest` (RFC 9530) is compared with the body, whether it is signed or not. The RFC's own
/// examples do not sign it, and then **the body is not proven**. A provider of your own demands it by
/// `HttpSignatureRule::with_required(&["content-digest"])`.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9421>. Proven by a vector that the provider publishes.
pub static RFC9421_HMAC: Provider = Provider::new(
    "rfc9421_hmac",
    Authentication::HttpSignature(HttpSignatureRule::HMAC),
)
.with_title("HTTP message signatures (RFC 9421), shared secret")
.with_type(&[Place::Field("/type")])
.with_notes(
    "A Content-Digest is compared with the body; where no signature covers it, the body is not proven.",
)
.with_source("https://www.rfc-editor.org/rfc/rfc9421", Evidence::OfficialVector);

/// HTTP message signatures (RFC 9421), Ed25519.
///
/// The proof covers the components that each signature lists. It covers nothing else: demand what you need
/// with `HttpSignatureRule::with_required`.
///
/// A `Content-Digest` (RFC 9530) is compared with the body, whether it is signed or not. The RFC's own
/// examples do not sign it, and then **the body is not proven**. A provider of your own demands it by
/// `HttpSignatureRule::with_required(&["content-digest"])`.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9421>. Proven by a vector that the provider publishes.
pub static RFC9421_ED25519: Provider = Provider::new(
    "rfc9421_ed25519",
    Authentication::HttpSignature(HttpSignatureRule::PUBLIC_KEY),
)
.with_title("HTTP message signatures (RFC 9421), Ed25519")
.with_type(&[Place::Field("/type")])
.with_notes(
    "A Content-Digest is compared with the body; where no signature covers it, the body is not proven.",
)
.with_source("https://www.rfc-editor.org/rfc/rfc9421", Evidence::OfficialVector);

/// HTTP message signatures (RFC 9421), ECDSA P-256.
///
/// The proof covers the components that each signature lists, among which the digest of the body
/// (`content-digest`, RFC 9530) has to be. It covers nothing else: demand what you need with
/// `HttpSignatureRule::with_required`.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9421>. Built from the RFC, without a vector.
pub static RFC9421_ECDSA_P256: Provider =
    Provider::new("rfc9421_ecdsa_p256", Authentication::HttpSignature(RFC9421_WHOLE))
        .with_title("HTTP message signatures (RFC 9421), ECDSA P-256")
        .with_type(&[Place::Field("/type")])
        .with_notes("The signature has to cover the digest of the body (content-digest).")
        .with_source("https://www.rfc-editor.org/rfc/rfc9421", Evidence::Documentation);

/// HTTP message signatures (RFC 9421), RSA-PSS.
///
/// The proof covers the components that each signature lists, among which the digest of the body
/// (`content-digest`, RFC 9530) has to be. It covers nothing else: demand what you need with
/// `HttpSignatureRule::with_required`.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc9421>. Built from the RFC, without a vector.
pub static RFC9421_RSA_PSS: Provider =
    Provider::new("rfc9421_rsa_pss", Authentication::HttpSignature(RFC9421_WHOLE))
        .with_title("HTTP message signatures (RFC 9421), RSA-PSS")
        .with_type(&[Place::Field("/type")])
        .with_notes("The signature has to cover the digest of the body (content-digest).")
        .with_source("https://www.rfc-editor.org/rfc/rfc9421", Evidence::Documentation);

/// A rule that demands the digest of the body.
const RFC9421_WHOLE: HttpSignatureRule = HttpSignatureRule::PUBLIC_KEY.with_required(&["content-digest"]);

const DISCORD_SCHEME: Scheme = Scheme::new("discord", "x-signature-ed25519")
    .with_timestamp_header("x-signature-timestamp")
    .with_algorithm(Algorithm::Ed25519)
    .with_content(&[Part::Timestamp, Part::Body]);

/// The presets of this file.
pub(super) static ALL: &[&Provider] = &[
    &DISCORD_INTERACTIONS,
    &DISCORD_EVENTS,
    &TELNYX,
    &SENDGRID,
    &AWS_SNS_V1,
    &AWS_SNS_V2,
    &PAYPAL,
    &RFC9421_HMAC,
    &RFC9421_ED25519,
    &RFC9421_ECDSA_P256,
    &RFC9421_RSA_PSS,
];

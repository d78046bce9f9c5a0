//! Providers that prove a request by a JSON Web Token.

use std::time::Duration;

use crate::provider::authentication::{Authentication, BodyHash, JwtAlgorithm, JwtPlace, JwtRule};
use crate::provider::challenge::{Challenge, Echo, Reply, Value, When};
use crate::provider::definition::{BodyForm, Evidence, Provider};
use crate::provider::place::Place;
use crate::signature::TimeForm;

/// Netlify.
///
/// The proof covers the issuer and the body's SHA-256. It does not cover the type, which is in a header; nor
/// does it cover a time: the age of a request cannot be checked, so remember which events you handled.
///
/// Source: <https://docs.netlify.com/deploy/deploy-notifications/>. Proven by the provider's
/// documentation, and a vector made from it.
pub static NETLIFY: Provider = Provider::new(
    "netlify",
    Authentication::Jwt(
        JwtRule::new(JwtPlace::Header("x-webhook-signature"), JwtAlgorithm::Hs256)
            .with_issuers(&["netlify"])
            .with_body_hash(BodyHash::hex("sha256")),
    ),
)
.with_title("Netlify")
.with_id(&[
    Place::Join(&[Place::Field("/id"), Place::Header("x-netlify-event")]),
    Place::Join(&[Place::Field("/id"), Place::Field("/state")]),
])
.with_type(&[Place::Header("x-netlify-event"), Place::Field("/state")])
.with_time(Place::Field("/updated_at"), TimeForm::Rfc3339)
.with_source("https://docs.netlify.com/deploy/deploy-notifications/", Evidence::Documentation);

/// LiveKit.
///
/// The proof covers the token's end and the body's SHA-256.
///
/// The key is the API secret.
///
/// Source: <https://docs.livekit.io/home/server/webhooks/>. Proven by the provider's own code, and a
/// vector made from it.
pub static LIVEKIT: Provider = Provider::new(
    "livekit",
    Authentication::Jwt(
        JwtRule::new(JwtPlace::Header("authorization"), JwtAlgorithm::Hs256)
            .with_body_hash(BodyHash::base64("sha256"))
            .with_expiry(),
    ),
)
.with_title("LiveKit")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/event")])
.with_time(Place::Field("/createdAt"), TimeForm::Seconds)
.with_notes("The key is the API secret.")
.with_source("https://docs.livekit.io/home/server/webhooks/", Evidence::ProviderCode);

/// Vonage (messages, voice).
///
/// The proof covers the time, and the body's SHA-256 where the token has it. It does not cover the body,
/// if the token has no `payload_hash`: use `vonage_payload_hash` wherever it does.
///
/// Source: <https://developer.vonage.com/en/getting-started/concepts/webhooks>. Proven by a vector that
/// the provider publishes.
pub static VONAGE_JWT: Provider = Provider::new(
    "vonage_jwt",
    Authentication::Jwt(
        JwtRule::new(JwtPlace::Bearer, JwtAlgorithm::Hs256)
            .with_max_age(Duration::from_secs(300))
            .with_body_hash(BodyHash::hex("payload_hash").if_there()),
    ),
)
.with_title("Vonage (messages, voice)")
.with_id(VONAGE_IDS)
.with_type(&[Place::Field("/status"), Place::Field("/message_type")])
.with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
.with_source("https://developer.vonage.com/en/getting-started/concepts/webhooks", Evidence::OfficialVector);

/// Vonage (messages, voice), with payload hash.
///
/// The proof covers the time and the body's SHA-256.
///
/// Source: <https://developer.vonage.com/en/getting-started/concepts/webhooks>. Proven by the provider's
/// own code, and a vector made from it.
pub static VONAGE_PAYLOAD_HASH: Provider = Provider::new(
    "vonage_payload_hash",
    Authentication::Jwt(
        JwtRule::new(JwtPlace::Bearer, JwtAlgorithm::Hs256)
            .with_max_age(Duration::from_secs(300))
            .with_body_hash(BodyHash::hex("payload_hash")),
    ),
)
.with_title("Vonage (messages, voice), with payload hash")
.with_id(VONAGE_IDS)
.with_type(&[Place::Field("/status"), Place::Field("/message_type")])
.with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
.with_source("https://developer.vonage.com/en/getting-started/concepts/webhooks", Evidence::ProviderCode);

/// Plaid.
///
/// The proof covers the time and the body's SHA-256.
///
/// The key source asks the API for the key of a `kid`. The body has neither an id nor a time, so two events
/// may have equal bodies: copies are told by their arrival within ten minutes, as long as a token may be sent
/// again.
///
/// Source: <https://plaid.com/docs/api/webhooks/webhook-verification/>. Proven by the provider's
/// documentation, and a vector made from it.
pub static PLAID: Provider = Provider::new(
    "plaid",
    Authentication::Jwt(
        JwtRule::new(JwtPlace::Header("plaid-verification"), JwtAlgorithm::Es256)
            .with_max_age(Duration::from_secs(300))
            .with_body_hash(BodyHash::hex("request_body_sha256")),
    ),
)
.with_title("Plaid")
.with_copy_window(Duration::from_secs(600))
.with_type(&[Place::Join(&[Place::Field("/webhook_type"), Place::Field("/webhook_code")])])
.with_notes("The key source asks the API for the key of a kid.")
.with_source("https://plaid.com/docs/api/webhooks/webhook-verification/", Evidence::Documentation);

/// Google Pub/Sub push.
///
/// The proof covers the audience and the end of the token. It does not cover the body: whoever sees one
/// request can send others until its token ends.
///
/// The keys are Google's JSON Web Key Set. Set the service account with `Keys::with_email`: without it any
/// customer of Google's can push events of his own to your URL.
///
/// Source: <https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>. Proven by the
/// provider's documentation, and a vector made from it.
pub static GOOGLE_PUBSUB: Provider = Provider::new("google_pubsub", Authentication::Jwt(JwtRule::new(JwtPlace::Bearer, JwtAlgorithm::Rs256).with_issuers(&["https://accounts.google.com", "accounts.google.com"]).with_expiry().with_audience()))
    .with_title("Google Pub/Sub push")
    .with_id(&[Place::Field("/message/messageId"), Place::Field("/message/message_id")])
    .with_type(&[Place::Field("/message/attributes/eventType"), Place::Fixed("message")])
    .with_time(Place::Field("/message/publishTime"), TimeForm::Rfc3339)
    .with_data("/message")
    .with_notes("The keys are Google's JSON Web Key Set. Set the service account (Keys::with_email), or any customer of Google's can push to your URL.")
    .with_source("https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions", Evidence::Documentation);

/// Jira Connect.
///
/// The proof covers the method, the path, the query and the end of the token. It does not cover **the
/// body**: whoever sees one request can send others to the same URL until its token ends.
///
/// The secret is the `sharedSecret` of the installation. Set the URL.
///
/// Source: <https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/>. Proven
/// by the provider's own code.
pub static JIRA_CONNECT: Provider = Provider::new(
    "jira_connect",
    Authentication::Jwt(
        JwtRule::new(JwtPlace::Credentials("JWT"), JwtAlgorithm::Hs256).with_expiry().with_query_hash("qsh"),
    ),
)
.with_title("Jira Connect")
.with_id(&[Place::Header("x-atlassian-webhook-identifier")])
.with_type(&[Place::Field("/webhookEvent"), Place::Field("/eventType")])
.with_time(Place::Field("/timestamp"), TimeForm::Milliseconds)
.with_notes("The secret is the sharedSecret of the installation.")
.with_source(
    "https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/",
    Evidence::ProviderCode,
);

/// Jira Connect, installation of an app.
///
/// The proof covers the method, the path, the query, the audience and the end of the token. It does not cover
/// **the body**, which has the secret of the installation: take it over TLS only.
///
/// The key source gives the key of a `kid`, from `https://connect-install-keys.atlassian.com/<kid>`. The
/// audience is the app's base URL (`Keys::with_audience`).
///
/// Source:
/// <https://developer.atlassian.com/cloud/jira/platform/security-for-connect-apps/#authentication-of-lifecycle-hooks>.
/// Proven by the provider's documentation.
pub static JIRA_CONNECT_LIFECYCLE: Provider = Provider::new(
    "jira_connect_lifecycle",
    Authentication::Jwt(
        JwtRule::new(JwtPlace::Credentials("JWT"), JwtAlgorithm::Rs256)
            .with_expiry()
            .with_audience()
            .with_query_hash("qsh"),
    ),
)
.with_title("Jira Connect, installation of an app")
.with_type(&[Place::Field("/eventType")])
.with_notes("The audience is the app's base URL; the key source asks Atlassian for the key of a kid.")
.with_source(
    "https://developer.atlassian.com/cloud/jira/platform/security-for-connect-apps/#authentication-of-lifecycle-hooks",
    Evidence::Documentation,
);

/// monday.com apps.
///
/// The proof covers the audience and the end of the token. It does not cover **the body**: whoever sees one
/// request can send others until its token ends.
///
/// The key is the app's signing secret. Only requests of an app have a token; for other webhooks there is
/// [`MONDAY`](super::MONDAY).
///
/// Source: <https://developer.monday.com/apps/docs/authorization-header>. Proven by the provider's
/// documentation.
pub static MONDAY_APP: Provider = Provider::new(
    "monday_app",
    Authentication::Jwt(
        JwtRule::new(JwtPlace::Header("authorization"), JwtAlgorithm::Hs256).with_expiry().with_audience(),
    ),
)
.with_title("monday.com apps")
.with_id(&[Place::Field("/event/triggerUuid")])
.with_type(&[Place::Field("/event/type"), Place::Field("/type")])
.with_time(Place::Field("/event/triggerTime"), TimeForm::Rfc3339)
.with_data("/event")
.with_challenges(&[Challenge::post(
    When::Json("/challenge"),
    Echo::Json("/challenge"),
    Reply::Json(&[("challenge", Value::Echo)]),
)])
.with_notes("The key is the app's signing secret. Only requests of an app have a token.")
.with_source("https://developer.monday.com/apps/docs/authorization-header", Evidence::Documentation);

/// Dialpad.
///
/// The proof covers the whole event, which is the token. It covers no time: the age of a request cannot be
/// checked, so remember which events you handled.
///
/// Source: <https://developers.dialpad.com/docs/event-subscriptions>. Proven by the provider's
/// documentation, and a vector made from it.
pub static DIALPAD: Provider =
    Provider::new("dialpad", Authentication::Jwt(JwtRule::new(JwtPlace::Body, JwtAlgorithm::Hs256)))
        .with_title("Dialpad")
        .with_id(&[Place::Join(&[
            Place::Field("/call_id"),
            Place::Field("/state"),
            Place::Field("/event_timestamp"),
        ])])
        .with_type(&[Place::Field("/state")])
        .with_time(Place::Field("/event_timestamp"), TimeForm::Milliseconds)
        .with_bodies(&[BodyForm::Jwt, BodyForm::Json])
        .with_source("https://developers.dialpad.com/docs/event-subscriptions", Evidence::Documentation);

/// A message, or a call, has one id in all its states.
const VONAGE_IDS: &[Place] = &[
    Place::Join(&[Place::Field("/message_uuid"), Place::Field("/status")]),
    Place::Field("/message_uuid"),
    Place::Join(&[Place::Field("/uuid"), Place::Field("/status"), Place::Field("/timestamp")]),
];

/// The presets of this file.
pub(super) static ALL: &[&Provider] = &[
    &NETLIFY,
    &LIVEKIT,
    &VONAGE_JWT,
    &VONAGE_PAYLOAD_HASH,
    &PLAID,
    &GOOGLE_PUBSUB,
    &JIRA_CONNECT,
    &JIRA_CONNECT_LIFECYCLE,
    &MONDAY_APP,
    &DIALPAD,
];

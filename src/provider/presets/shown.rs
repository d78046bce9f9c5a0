//! Providers that show a secret, and those that prove nothing.

use std::time::Duration;

use crate::provider::authentication::{Authentication, TokenPlace};
use crate::provider::challenge::{Challenge, Echo, Reply, Value, When};
use crate::provider::definition::{BodyForm, Evidence, Provider};
use crate::provider::place::Place;
use crate::signature::TimeForm;

/// GitLab (secret token).
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Prefer the signing token (`gitlab_signing`).
///
/// Source: <https://docs.gitlab.com/user/project/integrations/webhooks/>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static GITLAB_TOKEN: Provider =
    Provider::new("gitlab_token", Authentication::Token(&[TokenPlace::Header("x-gitlab-token")]))
        .with_title("GitLab (secret token)")
        .with_id(&[Place::Header("idempotency-key"), Place::Header("x-gitlab-event-uuid")])
        .with_type(&[Place::Field("/object_kind"), Place::Header("x-gitlab-event")])
        .with_notes("Prefer the signing token (gitlab_signing).")
        .with_source("https://docs.gitlab.com/user/project/integrations/webhooks/", Evidence::OtherLibrary);

/// Telegram Bot API.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Source: <https://core.telegram.org/bots/api#setwebhook>. Proven by the provider's documentation, and a
/// vector made from it.
pub static TELEGRAM: Provider = Provider::new(
    "telegram",
    Authentication::Token(&[TokenPlace::Header("x-telegram-bot-api-secret-token")]),
)
.with_title("Telegram Bot API")
.with_id(&[Place::Field("/update_id")])
.with_type(&[Place::FieldName(&["update_id"]), Place::Fixed("update")])
.with_source("https://core.telegram.org/bots/api#setwebhook", Evidence::Documentation);

/// Postmark.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// The secret is `user:password`, as in the URL. Several events have the id of one message, so that the body
/// itself tells copies apart.
///
/// Source: <https://postmarkapp.com/developer/webhooks/webhooks-overview>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static POSTMARK: Provider = Provider::new("postmark", Authentication::Token(&[TokenPlace::Basic]))
    .with_title("Postmark")
    .with_type(&[Place::Field("/RecordType")])
    .with_notes("The secret is user:password, as in the URL.")
    .with_source("https://postmarkapp.com/developer/webhooks/webhooks-overview", Evidence::OtherLibrary);

/// Chargebee.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// The secret is `user:password`.
///
/// Source: <https://www.chargebee.com/docs/2.0/webhook_settings.html>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static CHARGEBEE: Provider = Provider::new("chargebee", Authentication::Token(&[TokenPlace::Basic]))
    .with_title("Chargebee")
    .with_id(&[Place::Field("/id")])
    .with_type(&[Place::Field("/event_type")])
    .with_time(Place::Field("/occurred_at"), TimeForm::Seconds)
    .with_data("/content")
    .with_notes("The secret is user:password.")
    .with_source("https://www.chargebee.com/docs/2.0/webhook_settings.html", Evidence::OtherLibrary);

/// Cloudflare Notifications.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Source: <https://developers.cloudflare.com/notifications/get-started/configure-webhooks/>. Proven by
/// another library that receives it, and a vector made from its rule.
pub static CLOUDFLARE_NOTIFICATIONS: Provider = Provider::new(
    "cloudflare_notifications",
    Authentication::Token(&[TokenPlace::Header("cf-webhook-auth")]),
)
.with_title("Cloudflare Notifications")
.with_type(&[Place::Field("/alert_type")])
.with_time(Place::Field("/ts"), TimeForm::Seconds)
.with_source(
    "https://developers.cloudflare.com/notifications/get-started/configure-webhooks/",
    Evidence::OtherLibrary,
);

/// Okta event hooks.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Source: <https://developer.okta.com/docs/concepts/event-hooks/>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static OKTA: Provider =
    Provider::new("okta", Authentication::Token(&[TokenPlace::Header("authorization")]))
        .with_title("Okta event hooks")
        .with_id(&[Place::Field("/eventId")])
        .with_type(&[Place::Field("/data/events/0/eventType"), Place::Field("/eventType")])
        .with_time(Place::Field("/eventTime"), TimeForm::Rfc3339)
        .with_data("/data")
        .with_challenges(&[Challenge::get(
            When::Header("x-okta-verification-challenge"),
            Echo::Header("x-okta-verification-challenge"),
            Reply::Json(&[("verification", Value::Echo)]),
        )])
        .with_source("https://developer.okta.com/docs/concepts/event-hooks/", Evidence::OtherLibrary);

/// Auth0 log streams.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Set the format to a JSON array, or to an object for each event; lines of JSON are not read.
///
/// Source: <https://auth0.com/docs/customize/log-streams/custom-log-streams>. Proven by the provider's
/// documentation.
pub static AUTH0: Provider =
    Provider::new("auth0", Authentication::Token(&[TokenPlace::Header("authorization")]))
        .with_title("Auth0 log streams")
        .with_id(&[Place::Field("/log_id")])
        .with_type(&[Place::Field("/data/type")])
        .with_time(Place::Field("/data/date"), TimeForm::Rfc3339)
        .with_data("/data")
        .with_events("")
        .with_notes("Set the format to a JSON array.")
        .with_source(
            "https://auth0.com/docs/customize/log-streams/custom-log-streams",
            Evidence::Documentation,
        );

/// Aircall.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Source: <https://developer.aircall.io/tutorials/basics-webhooks/>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static AIRCALL: Provider = Provider::new("aircall", Authentication::Token(&[TokenPlace::Json("/token")]))
    .with_title("Aircall")
    .with_id(&[Place::Join(&[Place::Field("/event"), Place::Field("/timestamp"), Place::Field("/data/id")])])
    .with_type(&[Place::Field("/event")])
    .with_time(Place::Field("/timestamp"), TimeForm::Seconds)
    .with_data("/data")
    .with_source("https://developer.aircall.io/tutorials/basics-webhooks/", Evidence::OtherLibrary);

/// Microsoft Graph.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// The secret is the `clientState` of the subscription, which each item has to show.
///
/// Source: <https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks>. Proven by
/// another library that receives it, and a vector made from its rule.
pub static MS_GRAPH: Provider =
    Provider::new("ms_graph", Authentication::Token(&[TokenPlace::EachJson("/value", "/clientState")]))
        .with_title("Microsoft Graph")
        .with_id(&[Place::Join(&[Place::Field("/subscriptionId"), Place::Field("/id")]), Place::Field("/id")])
        .with_type(&[Place::Field("/changeType"), Place::Field("/lifecycleEvent")])
        .with_events("/value")
        .with_challenges(&[Challenge::post(
            When::Query("validationToken"),
            Echo::Query("validationToken"),
            Reply::Text,
        )])
        .with_notes("The secret is the clientState of the subscription, which each item has to show.")
        .with_source(
            "https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks",
            Evidence::OtherLibrary,
        );

/// RingCentral.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Source: <https://developers.ringcentral.com/guide/notifications/webhooks/receiving>. Proven by the
/// provider's own code, and a vector made from it.
pub static RINGCENTRAL: Provider =
    Provider::new("ringcentral", Authentication::Token(&[TokenPlace::Header("verification-token")]))
        .with_title("RingCentral")
        .with_id(&[Place::Field("/uuid")])
        .with_type(&[Place::Field("/event")])
        .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
        .with_data("/body")
        .with_challenges(&[Challenge::post(
            When::Header("validation-token"),
            Echo::Header("validation-token"),
            Reply::Headers(&[("validation-token", Value::Echo)]),
        )])
        .with_source(
            "https://developers.ringcentral.com/guide/notifications/webhooks/receiving",
            Evidence::ProviderCode,
        );

/// Deepgram.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Put `user:password` into the callback's URL, which comes as Basic credentials, or a secret into
/// `extra=callback_secret:...` of the request that you send, which comes in the body. The header `dg-token`
/// with the identifier of the API key is no longer supported by Deepgram, and is still read.
///
/// Source: <https://developers.deepgram.com/docs/callback>. Proven by the provider's documentation.
pub static DEEPGRAM: Provider = Provider::new(
    "deepgram",
    Authentication::Token(&[
        TokenPlace::Basic,
        TokenPlace::Json("/metadata/extra/callback_secret"),
        TokenPlace::Header("dg-token"),
    ]),
)
.with_title("Deepgram")
.with_id(&[Place::Field("/request_id"), Place::Field("/metadata/request_id")])
.with_notes(
    "Put user:password into the callback's URL, or a secret into extra=callback_secret:.. of your request.",
)
.with_source("https://developers.deepgram.com/docs/callback", Evidence::Documentation);

/// Vapi (secret).
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Source: <https://docs.vapi.ai/server-url/server-authentication>. Proven by the provider's own code.
pub static VAPI: Provider =
    Provider::new("vapi", Authentication::Token(&[TokenPlace::Header("x-vapi-secret"), TokenPlace::Bearer]))
        .with_title("Vapi (secret)")
        .with_id(&[Place::Join(&[
            Place::Field("/message/call/id"),
            Place::Field("/message/type"),
            Place::Field("/message/timestamp"),
        ])])
        .with_type(&[Place::Field("/message/type")])
        .with_time(Place::Field("/message/timestamp"), TimeForm::Milliseconds)
        .with_data("/message")
        .with_source("https://docs.vapi.ai/server-url/server-authentication", Evidence::ProviderCode);

/// Cartesia.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Source: <https://docs.cartesia.ai/agents/webhooks>. Proven by the provider's
/// documentation.
pub static CARTESIA: Provider =
    Provider::new("cartesia", Authentication::Token(&[TokenPlace::Header("x-webhook-secret")]))
        .with_title("Cartesia")
        .with_type(&[Place::Field("/type")])
        .with_source("https://docs.cartesia.ai/agents/webhooks", Evidence::Documentation);

/// Azure Event Grid.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// The secret is a key of your own in the URL that you register, such as `?code=..`.
///
/// Source:
/// <https://learn.microsoft.com/en-us/azure/event-grid/end-point-validation-event-grid-events-schema>.
/// Proven by the provider's documentation, and a vector made from it.
pub static AZURE_EVENT_GRID: Provider = Provider::new(
    "azure_event_grid",
    Authentication::Token(&[TokenPlace::AnyQuery, TokenPlace::Header("aeg-sas-key"), TokenPlace::Bearer]),
)
.with_title("Azure Event Grid")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/eventType")])
.with_time(Place::Field("/eventTime"), TimeForm::Rfc3339)
.with_data("/data")
.with_events("")
.with_challenges(&[Challenge::post(
    When::HeaderIs("aeg-event-type", "SubscriptionValidation"),
    Echo::Json("/0/data/validationCode"),
    Reply::Json(&[("validationResponse", Value::Echo)]),
)
.with_proof()])
.with_notes("The secret is a key of your own in the URL that you register, such as ?code=...")
.with_source(
    "https://learn.microsoft.com/en-us/azure/event-grid/end-point-validation-event-grid-events-schema",
    Evidence::Documentation,
);

/// CloudEvents webhooks.
///
/// The request shows a secret, which proves none of its parts: the secret is all that a stranger needs, so
/// accept it over TLS only.
///
/// Structured and binary mode are read. A batch is not.
///
/// Source: <https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md>. Proven by the
/// provider's own code, and a vector made from it.
pub static CLOUDEVENTS: Provider = Provider::new(
    "cloudevents",
    Authentication::Token(&[TokenPlace::Bearer, TokenPlace::Query("access_token")]),
)
.with_title("CloudEvents webhooks")
.with_id(&[
    Place::Join(&[Place::Header("ce-source"), Place::Header("ce-id")]),
    Place::Join(&[Place::Field("/source"), Place::Field("/id")]),
])
.with_type(&[Place::Header("ce-type"), Place::Field("/type")])
.with_time(Place::Field("/time"), TimeForm::Rfc3339)
.with_challenges(&[Challenge::options(
    When::Header("webhook-request-origin"),
    Echo::Header("webhook-request-origin"),
    Reply::Headers(&[("webhook-allowed-origin", Value::Echo), ("allow", Value::Text("POST"))]),
)])
.with_notes("Structured and binary mode are read. A batch is not.")
.with_source(
    "https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md",
    Evidence::ProviderCode,
);

/// monday.com.
///
/// Nothing is proven: add a guard, such as an unguessable path.
///
/// Source: <https://developer.monday.com/api-reference/reference/webhooks>. Proven by the provider's
/// documentation, and a vector made from it.
pub static MONDAY: Provider = Provider::new("monday", Authentication::Nothing)
    .with_title("monday.com")
    .with_id(&[Place::Field("/event/triggerUuid")])
    .with_type(&[Place::Field("/event/type")])
    .with_time(Place::Field("/event/triggerTime"), TimeForm::Rfc3339)
    .with_data("/event")
    .with_challenges(&[Challenge::post(
        When::Json("/challenge"),
        Echo::Json("/challenge"),
        Reply::Json(&[("challenge", Value::Echo)]),
    )])
    .with_source("https://developer.monday.com/api-reference/reference/webhooks", Evidence::Documentation);

/// Mollie (classic).
///
/// Nothing is proven: the request only names what changed, so ask the API for it. The id is that of the
/// payment or order, which changes again. No request counts as a copy of another, because asking twice costs
/// little, and a change that is dropped is lost.
///
/// Source: <https://docs.mollie.com/reference/webhooks>. Proven by the provider's documentation.
pub static MOLLIE_CLASSIC: Provider = Provider::new("mollie_classic", Authentication::Nothing)
    .with_title("Mollie (classic)")
    .with_id(&[Place::Field("/id")])
    .with_type(&[Place::Fixed("changed")])
    .with_subject_id()
    .with_copy_window(Duration::ZERO)
    .with_bodies(&[BodyForm::Form])
    .with_source("https://docs.mollie.com/reference/webhooks", Evidence::Documentation);

/// The presets of this file.
pub(super) static ALL: &[&Provider] = &[
    &GITLAB_TOKEN,
    &TELEGRAM,
    &POSTMARK,
    &CHARGEBEE,
    &CLOUDFLARE_NOTIFICATIONS,
    &OKTA,
    &AUTH0,
    &AIRCALL,
    &MS_GRAPH,
    &RINGCENTRAL,
    &DEEPGRAM,
    &VAPI,
    &CARTESIA,
    &AZURE_EVENT_GRID,
    &CLOUDEVENTS,
    &MONDAY,
    &MOLLIE_CLASSIC,
];

//! Providers that sign the body alone, by HMAC.

use std::time::Duration;

use crate::provider::challenge::{Challenge, Echo, Mac, Reply, Value, When};
use crate::provider::definition::{BodyForm, Evidence, Provider};
use crate::provider::place::Place;
use crate::signature::{Algorithm, Scheme, TimeForm};

/// GitHub.
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// Set the content type to JSON; a form with the field payload is read too.
///
/// Source: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>. Proven by a
/// vector that the provider publishes.
pub static GITHUB: Provider = Provider::signed("github", Scheme::GITHUB)
    .with_title("GitHub")
    .with_id(&[Place::Header("x-github-delivery")])
    .with_type(&[Place::Header("x-github-event")])
    .with_bodies(&[BodyForm::Json, BodyForm::Form])
    .with_json_in_form("payload")
    .with_notes("Set the content type to JSON; a form with the field payload is read too.")
    .with_source(
        "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        Evidence::OfficialVector,
    );

/// Bitbucket Cloud.
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// Source: <https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/>. Proven by the provider's
/// documentation, and a vector made from it.
pub static BITBUCKET: Provider =
    Provider::signed("bitbucket", Scheme::new("bitbucket", "x-hub-signature").with_prefix("sha256="))
        .with_title("Bitbucket Cloud")
        .with_id(&[Place::Header("x-request-uuid")])
        .with_type(&[Place::Header("x-event-key")])
        .with_source(
            "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
            Evidence::Documentation,
        );

/// Jira Cloud.
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// Source: <https://developer.atlassian.com/cloud/jira/platform/webhooks/>. Proven by a vector that the
/// provider publishes.
pub static JIRA: Provider =
    Provider::signed("jira", Scheme::new("jira", "x-hub-signature").with_prefix("sha256="))
        .with_title("Jira Cloud")
        .with_id(&[Place::Header("x-atlassian-webhook-identifier")])
        .with_type(&[Place::Field("/webhookEvent")])
        .with_time(Place::Field("/timestamp"), TimeForm::Milliseconds)
        .with_source(
            "https://developer.atlassian.com/cloud/jira/platform/webhooks/",
            Evidence::OfficialVector,
        );

/// Shopify.
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// After a rotation the old client secret signs for up to an hour: give both. The newer family of headers
/// (`Shopify-Hmac-Sha256`) is read too. The id is that of the delivery, which a retry keeps: one event comes
/// under several topics, each a delivery of its own.
///
/// Source: <https://shopify.dev/docs/apps/build/webhooks/verify-deliveries>. Proven by the provider's
/// documentation, and a vector made from it.
pub static SHOPIFY: Provider = Provider::signed("shopify", Scheme::SHOPIFY)
    .with_title("Shopify")
    .with_id(&[
        Place::Header("x-shopify-webhook-id"),
        Place::Header("shopify-webhook-id"),
        Place::Join(&[Place::Header("x-shopify-event-id"), Place::Header("x-shopify-topic")]),
    ])
    .with_type(&[Place::Header("x-shopify-topic"), Place::Header("shopify-topic")])
    .with_time(Place::Header("x-shopify-triggered-at"), TimeForm::Rfc3339)
    .with_notes("After a rotation the old client secret signs for up to an hour: give both.")
    .with_source("https://shopify.dev/docs/apps/build/webhooks/verify-deliveries", Evidence::Documentation);

/// WooCommerce.
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// The ping of a new webhook is an unsigned form, which is answered 200 and no event.
///
/// Source: <https://woocommerce.github.io/woocommerce-rest-api-docs/#webhooks>. Proven by the provider's
/// own code, and a vector made from it.
pub static WOOCOMMERCE: Provider = Provider::signed(
    "woocommerce",
    Scheme::new("woocommerce", "x-wc-webhook-signature").with_base64_signature(),
)
.with_title("WooCommerce")
.with_id(&[Place::Header("x-wc-webhook-delivery-id")])
.with_type(&[Place::Header("x-wc-webhook-topic")])
.with_bodies(&[BodyForm::Json, BodyForm::Form])
.with_challenges(&[Challenge::post(When::OnlyFormField("webhook_id"), Echo::Nothing, Reply::Empty)])
.with_notes("The ping of a new webhook is an unsigned form, which is answered 200 and no event.")
.with_source("https://woocommerce.github.io/woocommerce-rest-api-docs/#webhooks", Evidence::ProviderCode);

/// WhatsApp (Meta).
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// The secret is the app secret; the verify token of the challenge is another text
/// (`Keys::with_verify_token`). One request may have several entries, which arrive as one event.
///
/// Source: <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>. Proven by the
/// provider's documentation, and a vector made from it.
pub static META_WHATSAPP: Provider = Provider::signed("meta_whatsapp", Scheme::GITHUB.with_name("meta_whatsapp"))
    .with_title("WhatsApp (Meta)")
    .with_type(&[Place::Field("/object")])
    .with_challenges(&[Challenge::get(When::Query("hub.challenge"), Echo::Query("hub.challenge"), Reply::Text).with_token_in_query("hub.verify_token")])
    .with_notes("The secret is the app secret; the verify token of the challenge is another text (Keys::with_verify_token). One request may have several entries, which arrive as one event.")
    .with_source("https://developers.facebook.com/docs/graph-api/webhooks/getting-started", Evidence::Documentation);

/// Meta: Graph, Instagram, Messenger.
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// The secret is the app secret; the verify token of the challenge is another text
/// (`Keys::with_verify_token`). One request may have several entries, which arrive as one event.
///
/// Source: <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>. Proven by the
/// provider's documentation.
pub static META: Provider = Provider::signed("meta", Scheme::GITHUB.with_name("meta"))
    .with_title("Meta: Graph, Instagram, Messenger")
    .with_type(&[Place::Field("/object")])
    .with_challenges(&[Challenge::get(When::Query("hub.challenge"), Echo::Query("hub.challenge"), Reply::Text).with_token_in_query("hub.verify_token")])
    .with_notes("The secret is the app secret; the verify token of the challenge is another text (Keys::with_verify_token). One request may have several entries, which arrive as one event.")
    .with_source("https://developers.facebook.com/docs/graph-api/webhooks/getting-started", Evidence::Documentation);

/// LINE Messaging.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// The check of the console is a request without events.
///
/// Source: <https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/>. Proven by a
/// vector that the provider publishes.
pub static LINE: Provider =
    Provider::signed("line", Scheme::new("line", "x-line-signature").with_base64_signature())
        .with_title("LINE Messaging")
        .with_id(&[Place::Field("/webhookEventId")])
        .with_type(&[Place::Field("/type")])
        .with_time(Place::Field("/timestamp"), TimeForm::Milliseconds)
        .with_events("/events")
        .with_notes("The check of the console is a request without events.")
        .with_source(
            "https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/",
            Evidence::OfficialVector,
        );

/// Lemon Squeezy.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled. No id is documented, so that the body itself tells copies apart.
///
/// Source: <https://docs.lemonsqueezy.com/help/webhooks/signing-requests>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static LEMONSQUEEZY: Provider =
    Provider::signed("lemonsqueezy", Scheme::new("lemonsqueezy", "x-signature"))
        .with_title("Lemon Squeezy")
        .with_type(&[Place::Field("/meta/event_name"), Place::Header("x-event-name")])
        .with_data("/data")
        .with_source("https://docs.lemonsqueezy.com/help/webhooks/signing-requests", Evidence::OtherLibrary);

/// Coinbase Commerce.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Source: <https://docs.cdp.coinbase.com/commerce/webhooks>. Proven by a vector that the provider
/// publishes.
pub static COINBASE_COMMERCE: Provider =
    Provider::signed("coinbase_commerce", Scheme::new("coinbase_commerce", "x-cc-webhook-signature"))
        .with_title("Coinbase Commerce")
        .with_id(&[Place::Field("/event/id")])
        .with_type(&[Place::Field("/event/type")])
        .with_time(Place::Field("/event/created_at"), TimeForm::Rfc3339)
        .with_data("/event/data")
        .with_source("https://docs.cdp.coinbase.com/commerce/webhooks", Evidence::OfficialVector);

/// Razorpay.
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// Source: <https://razorpay.com/docs/webhooks/validate-test/>. Proven by a vector that the provider
/// publishes.
pub static RAZORPAY: Provider = Provider::signed("razorpay", Scheme::new("razorpay", "x-razorpay-signature"))
    .with_title("Razorpay")
    .with_id(&[Place::Header("x-razorpay-event-id")])
    .with_type(&[Place::Field("/event")])
    .with_time(Place::Field("/created_at"), TimeForm::Seconds)
    .with_data("/payload")
    .with_source("https://razorpay.com/docs/webhooks/validate-test/", Evidence::OfficialVector);

/// Mollie (next generation).
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Source: <https://docs.mollie.com/reference/webhooks-new>. Proven by the provider's own code, and a
/// vector made from it.
pub static MOLLIE_NEXTGEN: Provider = Provider::signed(
    "mollie_nextgen",
    Scheme::new("mollie_nextgen", "x-mollie-signature").with_prefix("sha256="),
)
.with_title("Mollie (next generation)")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/createdAt"), TimeForm::Rfc3339)
.with_source("https://docs.mollie.com/reference/webhooks-new", Evidence::ProviderCode);

/// Linear.
///
/// The proof covers the body. It does not cover the id in a header.
///
/// Source: <https://linear.app/developers/webhooks>. Proven by the provider's own code, and a vector made
/// from it.
pub static LINEAR: Provider = Provider::signed("linear", LINEAR_SCHEME)
    .with_title("Linear")
    .with_id(&[Place::Header("linear-delivery")])
    .with_type(&[
        Place::Join(&[Place::Field("/type"), Place::Field("/action")]),
        Place::Field("/type"),
        Place::Header("linear-event"),
    ])
    .with_data("/data")
    .with_tolerance(Duration::from_secs(60))
    .with_source("https://linear.app/developers/webhooks", Evidence::ProviderCode);

/// Vercel.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Source: <https://vercel.com/docs/webhooks/webhooks-api#securing-webhooks>. Proven by another library
/// that receives it, and a vector made from its rule.
pub static VERCEL: Provider = Provider::signed(
    "vercel",
    Scheme::new("vercel", "x-vercel-signature").with_algorithm(Algorithm::HmacSha1),
)
.with_title("Vercel")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/createdAt"), TimeForm::Milliseconds)
.with_data("/payload")
.with_source("https://vercel.com/docs/webhooks/webhooks-api#securing-webhooks", Evidence::OtherLibrary);

/// Sentry.
///
/// The proof covers the body. It covers no header: ids and types there prove nothing, and the age of a
/// request cannot be checked, so remember which events you handled.
///
/// The samples sign the JSON that they wrote; the raw bytes are equal.
///
/// Source: <https://docs.sentry.io/organization/integrations/integration-platform/webhooks/>. Proven by the
/// provider's documentation, and a vector made from it.
pub static SENTRY: Provider = Provider::signed("sentry", Scheme::new("sentry", "sentry-hook-signature"))
    .with_title("Sentry")
    .with_id(&[Place::Header("request-id")])
    .with_type(&[
        Place::Join(&[Place::Header("sentry-hook-resource"), Place::Field("/action")]),
        Place::Header("sentry-hook-resource"),
    ])
    .with_data("/data")
    .with_notes("The samples sign the JSON that they wrote; the raw bytes are equal.")
    .with_source(
        "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/",
        Evidence::Documentation,
    );

/// PagerDuty.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// While a secret is rotated, both sign.
///
/// Source: <https://developer.pagerduty.com/docs/verifying-signatures>. Proven by the provider's own code,
/// and a vector made from it.
pub static PAGERDUTY: Provider =
    Provider::signed("pagerduty", Scheme::new("pagerduty", "x-pagerduty-signature").with_tags(',', "v1="))
        .with_title("PagerDuty")
        .with_id(&[Place::Field("/event/id")])
        .with_type(&[Place::Field("/event/event_type")])
        .with_time(Place::Field("/event/occurred_at"), TimeForm::Rfc3339)
        .with_data("/event/data")
        .with_notes("While a secret is rotated, both sign.")
        .with_source("https://developer.pagerduty.com/docs/verifying-signatures", Evidence::ProviderCode);

/// Asana.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// The handshake hands the secret over (`Receiver::with_secret_observer`).
///
/// Source: <https://developers.asana.com/docs/webhooks-guide>. Proven by another library that receives it,
/// and a vector made from its rule.
pub static ASANA: Provider = Provider::signed("asana", Scheme::new("asana", "x-hook-signature"))
    .with_title("Asana")
    .with_type(&[Place::Field("/action")])
    .with_time(Place::Field("/created_at"), TimeForm::Rfc3339)
    .with_events("/events")
    .with_challenges(&[Challenge::post(
        When::Header("x-hook-secret"),
        Echo::Header("x-hook-secret"),
        Reply::Headers(&[("x-hook-secret", Value::Echo)]),
    )
    .with_secret_handed_over()])
    .with_notes("The handshake hands the secret over (Receiver::with_secret_observer).")
    .with_source("https://developers.asana.com/docs/webhooks-guide", Evidence::OtherLibrary);

/// Notion.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// The first request hands the secret over, unsigned: show it to the operator, who pastes it into Notion.
///
/// Source: <https://developers.notion.com/reference/webhooks>. Proven by the provider's own code, and a
/// vector made from it.
pub static NOTION: Provider = Provider::signed(
    "notion",
    Scheme::new("notion", "x-notion-signature").with_prefix("sha256="),
)
.with_title("Notion")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
.with_data("/data")
.with_challenges(&[Challenge::post(
    When::Json("/verification_token"),
    Echo::Json("/verification_token"),
    Reply::Empty,
)
.with_secret_handed_over()])
.with_notes(
    "The first request hands the secret over, unsigned: show it to the operator, who pastes it into Notion.",
)
.with_source("https://developers.notion.com/reference/webhooks", Evidence::ProviderCode);

/// Airtable.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// The body is a ping without data: read the changes with a cursor.
///
/// Source: <https://airtable.com/developers/web/api/webhooks-overview>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static AIRTABLE: Provider = Provider::signed(
    "airtable",
    Scheme::new("airtable", "x-airtable-content-mac").with_prefix("hmac-sha256=").with_base64_key(),
)
.with_title("Airtable")
.with_type(&[Place::Fixed("ping")])
.with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
.with_notes("The body is a ping without data: read the changes with a cursor.")
.with_source("https://airtable.com/developers/web/api/webhooks-overview", Evidence::OtherLibrary);

/// Typeform.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Source: <https://www.typeform.com/developers/webhooks/secure-your-webhooks/>. Proven by another library
/// that receives it, and a vector made from its rule.
pub static TYPEFORM: Provider = Provider::signed(
    "typeform",
    Scheme::new("typeform", "typeform-signature").with_prefix("sha256=").with_base64_signature(),
)
.with_title("Typeform")
.with_id(&[Place::Field("/event_id")])
.with_type(&[Place::Field("/event_type")])
.with_data("/form_response")
.with_source("https://www.typeform.com/developers/webhooks/secure-your-webhooks/", Evidence::OtherLibrary);

/// Intercom.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Source: <https://developers.intercom.com/docs/webhooks>. Proven by another library that receives it,
/// and a vector made from its rule.
pub static INTERCOM: Provider = Provider::signed(
    "intercom",
    Scheme::new("intercom", "x-hub-signature").with_prefix("sha1=").with_algorithm(Algorithm::HmacSha1),
)
.with_title("Intercom")
.with_id(&[Place::Field("/id")])
.with_type(&[Place::Field("/topic")])
.with_time(Place::Field("/created_at"), TimeForm::Seconds)
.with_data("/data")
.with_challenges(&[Challenge::head()])
.with_source("https://developers.intercom.com/docs/webhooks", Evidence::OtherLibrary);

/// X (Twitter).
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Source: <https://docs.x.com/x-api/webhooks/introduction>. Proven by another library that receives it,
/// and a vector made from its rule.
pub static X_TWITTER: Provider = Provider::signed(
    "x_twitter",
    Scheme::new("x_twitter", "x-twitter-webhooks-signature").with_prefix("sha256=").with_base64_signature(),
)
.with_title("X (Twitter)")
.with_type(&[Place::FieldName(&["for_user_id", "user_has_blocked"])])
.with_challenges(&[Challenge::get(
    When::Query("crc_token"),
    Echo::Query("crc_token"),
    Reply::Json(&[("response_token", Value::Mac)]),
)
.with_mac(Mac::Base64("sha256="))])
.with_source("https://docs.x.com/x-api/webhooks/introduction", Evidence::OtherLibrary);

/// Dropbox.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// The body names the accounts that changed: read the changes with a cursor. It has neither an id nor a time,
/// so the next change of an account has the same body. No request counts as a copy of another, because a
/// second reading of the changes costs little, and a change that is dropped is lost.
///
/// Source: <https://www.dropbox.com/developers/reference/webhooks>. Proven by another library that
/// receives it, and a vector made from its rule.
pub static DROPBOX: Provider = Provider::signed("dropbox", Scheme::new("dropbox", "x-dropbox-signature"))
    .with_title("Dropbox")
    .with_type(&[Place::Fixed("ping")])
    .with_challenges(&[Challenge::get(When::Query("challenge"), Echo::Query("challenge"), Reply::Text)])
    .with_copy_window(Duration::ZERO)
    .with_notes("The body names the accounts that changed: read the changes with a cursor.")
    .with_source("https://www.dropbox.com/developers/reference/webhooks", Evidence::OtherLibrary);

/// DocuSign Connect.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Each of the account's keys signs in a header of its own.
///
/// Source: <https://developers.docusign.com/platform/webhooks/connect/validate/>. Proven by another
/// library that receives it, and a vector made from its rule.
pub static DOCUSIGN: Provider = Provider::signed(
    "docusign",
    Scheme::new("docusign", "x-docusign-signature-1")
        .with_base64_signature()
        .with_numbered_signature_headers(),
)
.with_title("DocuSign Connect")
.with_id(&[Place::Join(&[
    Place::Field("/data/envelopeId"),
    Place::Field("/event"),
    Place::Field("/generatedDateTime"),
])])
.with_type(&[Place::Field("/event")])
.with_time(Place::Field("/generatedDateTime"), TimeForm::Rfc3339)
.with_data("/data")
.with_notes("Each of the account's keys signs in a header of its own.")
.with_source("https://developers.docusign.com/platform/webhooks/connect/validate/", Evidence::OtherLibrary);

/// Xero.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// The intent to receive is tried by requests without events, some of them signed wrongly: these want a
/// 401.
///
/// Source: <https://developer.xero.com/documentation/guides/webhooks/overview/>. Proven by another library
/// that receives it, and a vector made from its rule.
pub static XERO: Provider = Provider::signed("xero", Scheme::new("xero", "x-xero-signature").with_base64_signature())
    .with_title("Xero")
    .with_id(&[Place::Join(&[Place::Field("/resourceId"), Place::Field("/eventDateUtc")])])
    .with_type(&[Place::Join(&[Place::Field("/eventCategory"), Place::Field("/eventType")]), Place::Field("/eventCategory")])
    .with_events("/events")
    .with_notes("The intent to receive is tried by requests without events, some of them signed wrongly: these want a 401.")
    .with_source("https://developer.xero.com/documentation/guides/webhooks/overview/", Evidence::OtherLibrary);

/// Vapi (HMAC).
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Set the credential to HMAC-SHA256, hex, the body alone, header x-vapi-signature.
///
/// Source: <https://docs.vapi.ai/server-url/server-authentication>. Proven by the provider's own code, and
/// a vector made from it.
pub static VAPI_HMAC: Provider = Provider::signed("vapi_hmac", Scheme::new("vapi_hmac", "x-vapi-signature"))
    .with_title("Vapi (HMAC)")
    .with_id(&[Place::Join(&[
        Place::Field("/message/call/id"),
        Place::Field("/message/type"),
        Place::Field("/message/timestamp"),
    ])])
    .with_type(&[Place::Field("/message/type")])
    .with_time(Place::Field("/message/timestamp"), TimeForm::Milliseconds)
    .with_data("/message")
    .with_notes("Set the credential to HMAC-SHA256, hex, the body alone, header x-vapi-signature.")
    .with_source("https://docs.vapi.ai/server-url/server-authentication", Evidence::ProviderCode);

/// Bland.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// The samples sign the JSON that they wrote; the raw bytes are equal.
///
/// Source: <https://docs.bland.ai/tutorials/webhook-signing>. Proven by the provider's documentation.
pub static BLAND: Provider = Provider::signed("bland", Scheme::new("bland", "x-webhook-signature"))
    .with_title("Bland")
    .with_notes("The samples sign the JSON that they wrote; the raw bytes are equal.")
    .with_source("https://docs.bland.ai/tutorials/webhook-signing", Evidence::Documentation);

/// Paystack.
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// Source: <https://paystack.com/docs/payments/webhooks/>. Proven by the provider's documentation, and a
/// vector made from it.
pub static PAYSTACK: Provider = Provider::signed(
    "paystack",
    Scheme::new("paystack", "x-paystack-signature").with_algorithm(Algorithm::HmacSha512),
)
.with_title("Paystack")
.with_type(&[Place::Field("/event")])
.with_data("/data")
.with_source("https://paystack.com/docs/payments/webhooks/", Evidence::Documentation);

/// Adyen (platform, management).
///
/// The proof covers the body. It covers no time: the age of a request cannot be checked, so remember which
/// events you handled.
///
/// The key is hex.
///
/// Source: <https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/>. Proven by the
/// provider's documentation, and a vector made from it.
pub static ADYEN_PAYLOAD: Provider = Provider::signed(
    "adyen_payload",
    Scheme::new("adyen_payload", "hmacsignature").with_base64_signature().with_hex_key(),
)
.with_title("Adyen (platform, management)")
.with_type(&[Place::Field("/type")])
.with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
.with_data("/data")
.with_notes("The key is hex.")
.with_source(
    "https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/",
    Evidence::Documentation,
);

/// The time is inside the signed body, in milliseconds.
const LINEAR_SCHEME: Scheme = Scheme::new("linear", "linear-signature")
    .with_time_form(TimeForm::Milliseconds)
    .with_json_timestamp("/webhookTimestamp");

/// The presets of this file.
pub(super) static ALL: &[&Provider] = &[
    &GITHUB,
    &BITBUCKET,
    &JIRA,
    &SHOPIFY,
    &WOOCOMMERCE,
    &META,
    &META_WHATSAPP,
    &LINE,
    &LEMONSQUEEZY,
    &COINBASE_COMMERCE,
    &RAZORPAY,
    &MOLLIE_NEXTGEN,
    &LINEAR,
    &VERCEL,
    &SENTRY,
    &PAGERDUTY,
    &ASANA,
    &NOTION,
    &AIRTABLE,
    &TYPEFORM,
    &INTERCOM,
    &X_TWITTER,
    &DROPBOX,
    &DOCUSIGN,
    &XERO,
    &VAPI_HMAC,
    &BLAND,
    &PAYSTACK,
    &ADYEN_PAYLOAD,
];

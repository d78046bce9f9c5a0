//! Providers that sign by Standard Webhooks: id, time and body.

use crate::provider::definition::{Evidence, Provider};
use crate::provider::place::Place;
use crate::signature::{Scheme, TimeForm};

/// Standard Webhooks.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
/// Proven by a vector that the provider publishes.
pub static STANDARD_WEBHOOKS: Provider = Provider::signed("standard_webhooks", Scheme::STANDARD_WEBHOOKS)
    .with_title("Standard Webhooks")
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_source(
        "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        Evidence::OfficialVector,
    );

/// Svix.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://docs.svix.com/receiving/verifying-payloads/how-manual>. Proven by the provider's own
/// code, and a vector made from it.
pub static SVIX: Provider = Provider::signed("svix", Scheme::SVIX)
    .with_title("Svix")
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_source("https://docs.svix.com/receiving/verifying-payloads/how-manual", Evidence::ProviderCode);

/// GitLab (signing token).
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://docs.gitlab.com/user/project/integrations/webhooks/>. Proven by the provider's
/// documentation, and a vector made from it.
pub static GITLAB_SIGNING: Provider =
    Provider::signed("gitlab_signing", Scheme::STANDARD_WEBHOOKS.with_name("gitlab_signing"))
        .with_title("GitLab (signing token)")
        .with_type(&[Place::Field("/object_kind"), Place::Header("x-gitlab-event")])
        .with_source("https://docs.gitlab.com/user/project/integrations/webhooks/", Evidence::Documentation);

/// OpenAI.
///
/// The proof covers the id of the message, the time and the body.
///
/// The id of the message (wh_..) and that of the event (evt_..) differ, and both are genuine.
///
/// Source: <https://platform.openai.com/docs/guides/webhooks>. Proven by the provider's own code.
pub static OPENAI: Provider = Provider::signed("openai", Scheme::STANDARD_WEBHOOKS.with_name("openai"))
    .with_title("OpenAI")
    .with_id(&[Place::Field("/id")])
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/created_at"), TimeForm::Seconds)
    .with_data("/data")
    .with_notes("The id of the message (wh_..) and that of the event (evt_..) differ, and both are genuine.")
    .with_source("https://platform.openai.com/docs/guides/webhooks", Evidence::ProviderCode);

/// Anthropic.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://docs.anthropic.com/>. Proven by the provider's own code, and a vector made from it.
pub static ANTHROPIC: Provider =
    Provider::signed("anthropic", Scheme::STANDARD_WEBHOOKS.with_name("anthropic"))
        .with_title("Anthropic")
        .with_id(&[Place::Field("/id")])
        .with_type(&[Place::Field("/data/type"), Place::Field("/type")])
        .with_time(Place::Field("/created_at"), TimeForm::Rfc3339)
        .with_data("/data")
        .with_source("https://docs.anthropic.com/", Evidence::ProviderCode);

/// Quo (OpenPhone).
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://www.quo.com/docs/webhooks>. Proven by the provider's documentation, and a vector made
/// from it.
pub static QUO: Provider = Provider::signed("quo", Scheme::STANDARD_WEBHOOKS.with_name("quo"))
    .with_title("Quo (OpenPhone)")
    .with_id(&[Place::Field("/id")])
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/createdAt"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_source("https://www.quo.com/docs/webhooks", Evidence::Documentation);

/// Replicate.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://replicate.com/docs/topics/webhooks/verify-webhook>. Proven by another library that
/// receives it.
pub static REPLICATE: Provider =
    Provider::signed("replicate", Scheme::STANDARD_WEBHOOKS.with_name("replicate"))
        .with_title("Replicate")
        .with_type(&[Place::Field("/type")])
        .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
        .with_data("/data")
        .with_source("https://replicate.com/docs/topics/webhooks/verify-webhook", Evidence::OtherLibrary);

/// Render.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://render.com/docs/webhooks>. Proven by another library that receives it.
pub static RENDER: Provider = Provider::signed("render", Scheme::STANDARD_WEBHOOKS.with_name("render"))
    .with_title("Render")
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_source("https://render.com/docs/webhooks", Evidence::OtherLibrary);

/// Recall.ai.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://docs.recall.ai/docs/authenticating-requests-from-recallai>. Proven by another library
/// that receives it.
pub static RECALL_AI: Provider =
    Provider::signed("recall_ai", Scheme::STANDARD_WEBHOOKS.with_name("recall_ai"))
        .with_title("Recall.ai")
        .with_type(&[Place::Field("/type")])
        .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
        .with_data("/data")
        .with_source(
            "https://docs.recall.ai/docs/authenticating-requests-from-recallai",
            Evidence::OtherLibrary,
        );

/// Dodo Payments.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://docs.dodopayments.com/developer-resources/webhooks>. Proven by another library that
/// receives it.
pub static DODO: Provider = Provider::signed("dodo", Scheme::STANDARD_WEBHOOKS.with_name("dodo"))
    .with_title("Dodo Payments")
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_source("https://docs.dodopayments.com/developer-resources/webhooks", Evidence::OtherLibrary);

/// incident.io.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://api-docs.incident.io/tag/Webhooks/>. Proven by another library that receives it.
pub static INCIDENT_IO: Provider =
    Provider::signed("incident_io", Scheme::STANDARD_WEBHOOKS.with_name("incident_io"))
        .with_title("incident.io")
        .with_type(&[Place::Field("/type")])
        .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
        .with_data("/data")
        .with_source("https://api-docs.incident.io/tag/Webhooks/", Evidence::OtherLibrary);

/// Lithic.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://docs.lithic.com/docs/events-api>. Proven by another library that receives it.
pub static LITHIC: Provider = Provider::signed("lithic", Scheme::STANDARD_WEBHOOKS.with_name("lithic"))
    .with_title("Lithic")
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_source("https://docs.lithic.com/docs/events-api", Evidence::OtherLibrary);

/// Polar.
///
/// The proof covers the id of the message, the time and the body.
///
/// The key is the secret's own text, not what it decodes to.
///
/// Source: <https://docs.polar.sh/integrate/webhooks/delivery>. Proven by another library that receives it.
pub static POLAR: Provider = Provider::signed("polar", POLAR_SCHEME)
    .with_title("Polar")
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/timestamp"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_notes("The key is the secret's own text, not what it decodes to.")
    .with_source("https://docs.polar.sh/integrate/webhooks/delivery", Evidence::OtherLibrary);

/// Resend.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests>. Proven by the provider's
/// own code.
pub static RESEND: Provider = Provider::signed("resend", Scheme::SVIX.with_name("resend"))
    .with_title("Resend")
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/created_at"), TimeForm::Rfc3339)
    .with_data("/data")
    .with_source(
        "https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests",
        Evidence::ProviderCode,
    );

/// Clerk.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://clerk.com/docs/webhooks/sync-data>. Proven by the provider's own code.
pub static CLERK: Provider = Provider::signed("clerk", Scheme::SVIX.with_name("clerk"))
    .with_title("Clerk")
    .with_type(&[Place::Field("/type")])
    .with_time(Place::Field("/timestamp"), TimeForm::Milliseconds)
    .with_data("/data")
    .with_source("https://clerk.com/docs/webhooks/sync-data", Evidence::ProviderCode);

/// Brex.
///
/// The proof covers the id of the message, the time and the body.
///
/// Source: <https://developer.brex.com/docs/webhooks/>. Proven by the provider's own code.
pub static BREX: Provider = Provider::signed("brex", Scheme::SVIX.with_name("brex"))
    .with_title("Brex")
    .with_type(&[Place::Field("/event_type"), Place::Field("/type")])
    .with_source("https://developer.brex.com/docs/webhooks/", Evidence::ProviderCode);

const POLAR_SCHEME: Scheme = Scheme::new("polar", "webhook-signature")
    .with_id_header("webhook-id")
    .with_timestamp_header("webhook-timestamp")
    .with_list("v1")
    .with_base64_signature()
    .with_content(Scheme::STANDARD_WEBHOOKS.content());

/// The presets of this file.
pub(super) static ALL: &[&Provider] = &[
    &STANDARD_WEBHOOKS,
    &SVIX,
    &GITLAB_SIGNING,
    &OPENAI,
    &ANTHROPIC,
    &QUO,
    &REPLICATE,
    &RENDER,
    &RECALL_AI,
    &DODO,
    &INCIDENT_IO,
    &LITHIC,
    &POLAR,
    &RESEND,
    &CLERK,
    &BREX,
];

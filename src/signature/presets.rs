//! The schemes of senders that this crate verifies and has no contract of.

use super::header_family::HeaderFamily;
use super::message::Part;
use super::scheme::Scheme;

impl Scheme {
    /// Svix: Standard Webhooks under the header names `svix-id`, `svix-timestamp` and `svix-signature`.
    ///
    /// It covers the id, the time and the body. A verifier accepts the names of Standard Webhooks too. See
    /// [Svix's documentation](https://docs.svix.com/receiving/verifying-payloads/how-manual).
    pub const SVIX: Self = Self::new("svix", "svix-signature")
        .with_id_header("svix-id")
        .with_timestamp_header("svix-timestamp")
        .with_list("v1")
        .with_base64_signature()
        .with_base64_key()
        .with_content(&[Part::Id, Part::Text("."), Part::Timestamp, Part::Text("."), Part::Body])
        .with_other_headers(
            &HeaderFamily::new("webhook-signature").with_id("webhook-id").with_timestamp("webhook-timestamp"),
        );

    /// Stripe: `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>]` over `timestamp.body`; the key is the
    /// secret's text.
    ///
    /// It covers the time and the body. There is no id header; the id is inside the signed body. See
    /// [Stripe's documentation](https://docs.stripe.com/webhooks#verify-manually).
    pub const STRIPE: Self = Self::new("stripe", "stripe-signature").with_fields("t", "v1").with_content(&[
        Part::Timestamp,
        Part::Text("."),
        Part::Body,
    ]);

    /// GitHub: `X-Hub-Signature-256: sha256=<hex>` over the body; the key is the secret's text.
    ///
    /// It covers the body alone, **neither id nor time**: the age of a request cannot be checked, and an old
    /// one can be sent again at any time, so remember which events you handled. See
    /// [its documentation](https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries).
    pub const GITHUB: Self = Self::new("github", "x-hub-signature-256").with_prefix("sha256=");

    /// Slack: `X-Slack-Signature: v0=<hex>` over `v0:timestamp:body`; the key is the signing secret's text.
    ///
    /// It covers the time and the body. No id is sent. See [Slack's
    /// documentation](https://docs.slack.dev/authentication/verifying-requests-from-slack).
    pub const SLACK: Self = Self::new("slack", "x-slack-signature")
        .with_timestamp_header("x-slack-request-timestamp")
        .with_prefix("v0=")
        .with_content(&[Part::Text("v0:"), Part::Timestamp, Part::Text(":"), Part::Body]);

    /// Shopify: `X-Shopify-Hmac-Sha256: <base64>` over the body; the key is the secret's text.
    ///
    /// It covers the body alone, **neither id nor time**: the age of a request cannot be checked, and an old
    /// one can be sent again at any time, so remember which events you handled. See
    /// [Shopify's documentation](https://shopify.dev/docs/apps/build/webhooks/subscribe/https).
    ///
    /// A verifier accepts the header without `X-` too.
    pub const SHOPIFY: Self = Self::new("shopify", "x-shopify-hmac-sha256")
        .with_base64_signature()
        .with_other_headers(&HeaderFamily::new("shopify-hmac-sha256"));
}

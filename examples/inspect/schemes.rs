//! Finds the scheme of a request by its headers.

use hookwire::{Scheme, Secret};
use http::HeaderMap;

use crate::capture::Captured;

/// The schemes with at least one header in the request. Those with a signature come first, then those with
/// the most headers.
pub(crate) fn candidates(headers: &HeaderMap) -> Vec<Scheme> {
    let present = |scheme: &Scheme| scheme.headers().filter(|name| headers.contains_key(*name)).count();
    let mut schemes: Vec<_> = KNOWN.into_iter().filter(|scheme| present(scheme) > 0).collect();
    schemes.sort_by_key(|scheme| {
        std::cmp::Reverse((headers.contains_key(scheme.signature_header()), present(scheme)))
    });
    schemes
}

pub(crate) fn title(scheme: Scheme) -> &'static str {
    match scheme.name() {
        "allison" => "Allison",
        "standard_webhooks" => "Standard Webhooks",
        "svix" => "Svix",
        "stripe" => "Stripe",
        "github" => "GitHub",
        "slack" => "Slack",
        "shopify" => "Shopify",
        other => other,
    }
}

/// Whether the request has a `v1a` signature.
pub(crate) fn has_ed25519(captured: &Captured<'_>) -> bool {
    let mut values = captured.headers.get_all(Scheme::STANDARD_WEBHOOKS.signature_header()).iter();
    values.any(|value| value.as_bytes().split(|byte| *byte == b' ').any(|entry| entry.starts_with(b"v1a,")))
}

/// The scheme for a secret: an Ed25519 key has one of its own, if the feature is on.
pub(crate) fn scheme_for(scheme: Scheme, secret: &Secret) -> Scheme {
    #[cfg(feature = "ed25519")]
    if scheme == Scheme::STANDARD_WEBHOOKS
        && ["whpk_", "whsk_"].iter().any(|prefix| secret.expose().starts_with(prefix))
    {
        return Scheme::STANDARD_WEBHOOKS_ED25519;
    }
    let _ = secret;
    scheme
}

const KNOWN: [Scheme; 7] = [
    Scheme::ALLISON,
    Scheme::STANDARD_WEBHOOKS,
    Scheme::SVIX,
    Scheme::STRIPE,
    Scheme::GITHUB,
    Scheme::SLACK,
    Scheme::SHOPIFY,
];

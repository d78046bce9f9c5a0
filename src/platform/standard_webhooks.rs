//! Standard Webhooks: the contract that its specification recommends, for events of your own.

use crate::contract::{AutoDisable, Contract, Rotation};
use crate::event::{EnvelopeFormat, Field, TimePrecision};
use crate::platform::schedule::{DAY, HOUR, MINUTE, listed, seconds};
use crate::signature::{HeaderFamily, Part, Scheme};

impl Contract {
    /// Standard Webhooks as its specification recommends: 10 attempts over 3 days 3 h 35 min 5 s, 2xx within
    /// 20 s, `410` ends a subscription, both secrets sign for a day after a rotation. Its catalogue is open.
    ///
    /// The source is the
    /// [specification](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md),
    /// "Retry schedule" and "Timeouts" (which asks for 15 to 30 s).
    pub fn standard_webhooks() -> Self {
        Self::preset("standard_webhooks", EnvelopeFormat::STANDARD_WEBHOOKS)
            .with_scheme(Scheme::STANDARD_WEBHOOKS)
            .with_timeout(seconds(20))
            .with_retry(listed(&[
                5,
                5 * MINUTE,
                30 * MINUTE,
                2 * HOUR,
                5 * HOUR,
                10 * HOUR,
                14 * HOUR,
                20 * HOUR,
                24 * HOUR,
            ]))
            .with_disables_on_gone(true)
            .with_auto_disable(AutoDisable::failing_for(seconds(5 * DAY)))
            .with_rotation(Rotation::Overlap(seconds(DAY)))
    }
}

impl EnvelopeFormat {
    /// The envelope of Standard Webhooks: `{"type","timestamp","data"}`, the payload that its specification
    /// recommends.
    pub const STANDARD_WEBHOOKS: Self = Self::new(&[
        Field::Type("type"),
        Field::CreatedAt("timestamp", TimePrecision::Microseconds),
        Field::Data("data"),
    ]);
}

impl Scheme {
    /// Standard Webhooks `v1`: `webhook-signature: v1,<base64> ...` over `id.timestamp.body`; the key is the
    /// secret's base64.
    ///
    /// It covers the id, the time and the body. A verifier accepts Svix's names of the headers too. See the
    /// [specification](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
    pub const STANDARD_WEBHOOKS: Self = Self::new("standard_webhooks", "webhook-signature")
        .with_id_header("webhook-id")
        .with_timestamp_header("webhook-timestamp")
        .with_list("v1")
        .with_base64_signature()
        .with_base64_key()
        .with_content(&[Part::Id, Part::Text("."), Part::Timestamp, Part::Text("."), Part::Body])
        .with_other_headers(
            &HeaderFamily::new("svix-signature").with_id("svix-id").with_timestamp("svix-timestamp"),
        );

    /// Standard Webhooks `v1a`: `webhook-signature: v1a,<base64> ...` over `id.timestamp.body`, by Ed25519.
    ///
    /// It covers the id, the time and the body. A `whsk_` secret signs and verifies (base64 of the 32-byte
    /// seed, or of seed and public key), a `whpk_` secret only verifies; both need the feature `ed25519`. A
    /// `whsec_` secret is an HMAC key whose signatures are `v1`, for senders that move from one to the other.
    /// Verification is strict ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)) and refuses weak keys.
    pub const STANDARD_WEBHOOKS_ED25519: Self =
        Self::STANDARD_WEBHOOKS.with_name("standard_webhooks_ed25519").with_ed25519_keys();
}

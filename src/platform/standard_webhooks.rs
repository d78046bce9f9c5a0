//! Standard Webhooks: the contract that its specification recommends, for events of your own.

use crate::contract::{AutoDisable, Contract, Rotation};
use crate::event::EnvelopeFormat;
use crate::platform::{DAY, HOUR, MINUTE, listed, seconds};
use crate::signature::Scheme;

impl Contract {
    /// Standard Webhooks as its specification recommends: 10 attempts over 3 days 3 h 35 min 5 s, 2xx within 20 s, `410` ends
    /// a subscription, both secrets sign for a day after a rotation. Its catalogue is open.
    ///
    /// Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>, "Retry
    /// schedule" and "Timeouts" (which asks for 15 to 30 s).
    pub fn standard_webhooks() -> Self {
        Self::new("standard_webhooks", EnvelopeFormat::STANDARD_WEBHOOKS)
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

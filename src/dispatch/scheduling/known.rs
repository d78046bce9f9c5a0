//! [`Known`]: the facts that a caller has about a subscription with something to claim.

use std::sync::Arc;

/// The facts that a caller has about a subscription with something to claim.
#[derive(Clone, Debug, Default)]
pub(in crate::dispatch) struct Known {
    /// Its organization. Without one, it shares the turn of all subscriptions of which nothing is known.
    pub(in crate::dispatch) organization: Option<Arc<str>>,
    /// Whether the store's record says that its endpoint fails, if the record was read just now.
    pub(in crate::dispatch) is_failing: Option<bool>,
}

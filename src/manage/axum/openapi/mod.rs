//! The OpenAPI 3.1 document of the [router](super::router): every call with its parameters, body and answers,
//! and the requests that endpoints receive (`webhooks`).
//!
//! With the feature `openapi`, `document` makes it, and the router serves it at `/v1/openapi.json`. This is
//! the one module of management that knows the feature.

pub(super) use imp::document_route;
#[cfg(feature = "openapi")]
pub use imp::{document, document_of};

#[cfg(feature = "openapi")]
#[path = "document.rs"]
mod imp;
#[cfg(not(feature = "openapi"))]
mod imp {
    use ::axum::routing::MethodRouter;

    use crate::contract::Versions;
    use crate::manage::axum::about::About;
    use crate::manage::axum::cors::Cors;

    /// There is no document.
    pub(in crate::manage::axum) fn document_route<'a, S>(
        _: &About,
        _: impl Iterator<Item = &'a Versions>,
        _: Option<&Cors>,
    ) -> Option<(&'static str, MethodRouter<S>)> {
        None
    }
}

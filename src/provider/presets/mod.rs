//! The ready providers, grouped by how they prove a request.
//!
//! Each says what its proof covers, what it does not and what follows, where the rule stands, and how well it
//! is proven. [`Provider::by_name`](crate::provider::Provider::by_name) finds one by its name.

mod body;
mod jwt;
mod public_key;
mod request;
mod shown;
mod standard;
mod timed;

pub use body::*;
pub use jwt::*;
pub use public_key::*;
pub use request::*;
pub use shown::*;
pub use standard::*;
pub use timed::*;

use crate::provider::definition::Provider;

/// The groups of presets.
static GROUPS: [&[&Provider]; 7] =
    [standard::ALL, body::ALL, timed::ALL, request::ALL, public_key::ALL, jwt::ALL, shown::ALL];

impl Provider {
    /// All ready providers, grouped by how they prove a request.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        GROUPS.into_iter().flatten().copied()
    }

    /// The ready provider of this name, such as `stripe`.
    ///
    /// ```
    /// use hookwire::provider::Provider;
    ///
    /// let provider: &'static Provider = Provider::by_name("stripe").unwrap();
    /// assert_eq!(provider.title(), "Stripe");
    /// assert!(Provider::by_name("acme").is_none());
    /// ```
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::all().find(|provider| provider.name() == name)
    }
}

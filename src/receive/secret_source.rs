//! [`SecretSource`]: looks up the secrets of a tenant.

use std::error::Error as StdError;
use std::future::Future;
use std::sync::Arc;

use crate::signature::Secret;

/// Looks up the secrets of many tenants, for example in a table of the application.
///
/// Give each tenant one name, which is compared byte by byte. If `Acme` and `acme` had the same secrets, a
/// captured request could be sent again under the other name and would not count as a duplicate.
///
/// ```
/// use std::error::Error;
/// use hookwire::Secret;
/// use hookwire::receive::SecretSource;
///
/// struct OneTenant(Secret);
///
/// impl SecretSource for OneTenant {
///     async fn secrets(&self, tenant: &str) -> Result<Vec<Secret>, Box<dyn Error + Send + Sync>> {
///         Ok(if tenant == "acme" { vec![self.0.clone()] } else { Vec::new() })
///     }
/// }
/// ```
pub trait SecretSource: Send + Sync {
    /// The secrets of `tenant`, any of which may have signed, or none if the tenant is not known.
    ///
    /// A secret without the form that the contract demands proves nothing, but the others count: a row that
    /// was pasted wrong does not lock out a tenant who has a good one. If no secret has the form, or if this
    /// panics, the sender is asked to repeat the request.
    ///
    /// # Errors
    ///
    /// An error of your own if the secrets cannot be looked up. The sender is then asked to repeat the
    /// request.
    fn secrets(
        &self,
        tenant: &str,
    ) -> impl Future<Output = Result<Vec<Secret>, Box<dyn StdError + Send + Sync>>> + Send;
}

#[deny(clippy::missing_trait_methods)]
impl<S: SecretSource + ?Sized> SecretSource for Arc<S> {
    fn secrets(
        &self,
        tenant: &str,
    ) -> impl Future<Output = Result<Vec<Secret>, Box<dyn StdError + Send + Sync>>> + Send {
        S::secrets(self, tenant)
    }
}

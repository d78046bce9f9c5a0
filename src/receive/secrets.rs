//! [`SecretSource`]: whose secrets prove a request, looked up by tenant, and not for every request.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::signature::Secret;

/// Where the secrets of many tenants are, such as a table of the application's.
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
    /// The secrets of `tenant`, any of which may have signed; none for a tenant that is not known.
    ///
    /// # Errors
    ///
    /// When it cannot be asked. The sender is then asked to repeat the request.
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

type Answer<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Secret>, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// [`SecretSource`] behind a pointer, so that a receiver does not grow a parameter.
pub(super) trait ErasedSecrets: Send + Sync {
    fn secrets_dyn<'a>(&'a self, tenant: &'a str, now: OffsetDateTime) -> Answer<'a>;
    fn forget_dyn(&self, tenant: &str);
}

/// Answers of a [`SecretSource`], kept for a while: a bounded number of them, and no longer than an age.
///
/// A tenant that is not known is not kept, so that strangers who make names up take no room.
pub(super) struct CachedSecrets<S> {
    source: S,
    age: Duration,
    most: usize,
    kept: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tenants: HashMap<String, Kept>,
    /// How often something was forgotten: an answer that was asked for before that may be old.
    forgotten: u64,
}

struct Kept {
    asked_at: OffsetDateTime,
    secrets: Vec<Secret>,
}

impl<S> CachedSecrets<S> {
    pub(super) fn new(source: S, age: Duration, most: usize) -> Self {
        Self { source, age, most, kept: Mutex::default() }
    }

    /// What is known of a tenant, or else what [`keep`](Self::keep) wants to know.
    fn find(&self, tenant: &str, now: OffsetDateTime) -> Result<Vec<Secret>, u64> {
        let known = self.known();
        match known.tenants.get(tenant).filter(|kept| self.is_fresh(kept, now)) {
            Some(kept) => Ok(kept.secrets.clone()),
            None => Err(known.forgotten),
        }
    }

    fn keep(&self, tenant: &str, secrets: &[Secret], now: OffsetDateTime, forgotten: u64) {
        if self.age.is_zero() || secrets.is_empty() || self.most == 0 {
            return;
        }
        let mut known = self.known();
        if known.forgotten != forgotten {
            return;
        }
        let kept = &mut known.tenants;
        if kept.len() >= self.most && !kept.contains_key(tenant) {
            kept.retain(|_, kept| self.is_fresh(kept, now));
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.asked_at).map(|(tenant, _)| tenant.clone());
            if let Some(oldest) = oldest.filter(|_| kept.len() >= self.most) {
                kept.remove(&oldest);
            }
        }
        kept.insert(tenant.to_owned(), Kept { asked_at: now, secrets: secrets.to_vec() });
    }

    /// A clock that jumps back makes nothing fresh again.
    fn is_fresh(&self, kept: &Kept, now: OffsetDateTime) -> bool {
        Duration::try_from(now - kept.asked_at).is_ok_and(|age| age < self.age)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: SecretSource> ErasedSecrets for CachedSecrets<S> {
    fn secrets_dyn<'a>(&'a self, tenant: &'a str, now: OffsetDateTime) -> Answer<'a> {
        Box::pin(async move {
            let forgotten = match self.find(tenant, now) {
                Ok(secrets) => return Ok(secrets),
                Err(forgotten) => forgotten,
            };
            let secrets = self.source.secrets(tenant).await?;
            self.keep(tenant, &secrets, now, forgotten);
            Ok(secrets)
        })
    }

    fn forget_dyn(&self, tenant: &str) {
        let mut known = self.known();
        known.tenants.remove(tenant);
        known.forgotten += 1;
    }
}

impl<S> fmt::Debug for CachedSecrets<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSecrets").field("age", &self.age).finish_non_exhaustive()
    }
}
